//! What only a graphics processor shows: skipped where there is none, which every run may say.

mod common;

use common::{hardware, lengths};
use gmf_api::{
    GmfPlan as _, GridRow, KernelOptions, Method, PreparedSamples, ReferencePlan, ZeroFrequency,
};

#[test]
fn a_graphics_processor_keeps_the_promises() {
    let Some(kernel) = hardware("a_graphics_processor_keeps_the_promises") else { return };
    gmf_conformance::check_all(&kernel);
}

#[test]
fn a_graphics_processor_agrees_on_the_recorded_lengths() {
    const TEST: &str = "a_graphics_processor_agrees_on_the_recorded_lengths";
    let Some(kernel) = hardware(TEST) else { return };
    for (points, pulse, dec) in [(2000, 192, 10), (1250, 120, 16)] {
        let (derived, samples) = lengths(points, pulse, dec, 10, 0);
        let mut prepared = PreparedSamples::new(&derived);
        prepared.load(&samples, &samples[..derived.integration_samples()]).unwrap();
        for method in [Method::Fgmf, Method::Fdpt] {
            let options = KernelOptions::new(method).zero_frequency(ZeroFrequency::Sum);
            let mut plan = kernel.gpu_plan(&derived, &options).unwrap();
            let mut row = GridRow::new(derived.n_ranges());
            plan.execute(prepared.integration(), row.as_mut()).unwrap();
            let mut reference = ReferencePlan::new(&derived, &options);
            assert_eq!(reference.compare(prepared.integration(), &row).unwrap(), []);
        }
    }
}
