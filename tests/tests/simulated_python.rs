//! The real digital_rf reads what we simulate, sample by sample.

use std::fs;

use polychron::gmf::Complex64;
use polychron::gmf_pipeline::Source;
use polychron::gmf_pipeline::simulate::{Dtype, ProductOptions, Simulation};
use polychron_tests::{require_python, run_python, temp_dir};

/// Every type of sample, plain and compressed with checksums, one channel and two, files that end
/// within a period.
fn simulations() -> Vec<Simulation> {
    let mut simulations = Vec::new();
    for dtype in Dtype::ALL {
        for filtered in [false, true] {
            simulations.push(Simulation {
                targets: vec!["r=1996e3,v=400,a=60,amp=3".parse().expect("is sound")],
                duration_s: 0.26,
                seed: 3,
                tx_amplitude: 100.0,
                dtype,
                compression: if filtered { 4 } else { 0 },
                checksum: filtered,
                tx_channel: filtered.then(|| "tx".to_owned()),
                file_cadence_ms: 50,
                ..Simulation::default()
            });
        }
    }
    simulations
}

#[test]
fn digital_rf_reads_simulated_products_sample_by_sample() {
    let python = require_python!();
    let dir = temp_dir();
    let out = dir.path().join("samples.bin");
    let mut args = vec![out.to_str().expect("is UTF-8").to_owned()];
    let mut expected = Vec::new();
    for (idx, simulation) in simulations().iter().enumerate() {
        let synthesis = simulation.check().unwrap();
        let product = dir.path().join(format!("product-{idx}"));
        let report = synthesis.write_product(&product, ProductOptions::default()).unwrap();
        assert_eq!(report.n_clipped, 0);
        let samples = synthesis.samples().unwrap();
        for (channel, samples) in
            [(Some("rx"), Some(samples.rx)), (simulation.tx_channel.as_deref(), samples.tx)]
        {
            let (Some(channel), Some(samples)) = (channel, samples) else { continue };
            args.extend([product.to_str().expect("is UTF-8").to_owned(), channel.to_owned()]);

            // Our own reader, too.
            let source = Source::DigitalRf { dir: product.clone(), channel: channel.to_owned() };
            let mut reader = source.open().unwrap();
            let bounds = reader.extent().unwrap().samples;
            assert_eq!(
                bounds,
                synthesis.first_sample()..synthesis.first_sample() + synthesis.n_samples()
            );
            let mut ours = vec![Default::default(); samples.len()];
            reader.read(bounds.start, &mut ours).unwrap();
            assert!(ours == samples, "{} {channel}", simulation.dtype);
            expected.push((simulation.dtype, bounds, samples));
        }
    }
    let printed = run_python(&python, "digital_rf_dump.py", &args);
    let bytes = fs::read(&out).unwrap();
    let mut values = bytes.as_chunks::<16>().0.iter().map(|bytes| {
        let part = |at: usize| f64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        Complex64::new(part(0), part(8))
    });
    assert_eq!(printed.lines().count(), expected.len());
    for (line, (dtype, bounds, samples)) in printed.lines().zip(expected) {
        let kind = match dtype {
            Dtype::ComplexI8 | Dtype::ComplexI16 => "V", // a compound of two integers
            _ => "c",
        };
        assert_eq!(line, format!("{} {} 1 {kind}", bounds.start, bounds.end - 1), "{dtype}");
        for (idx, sample) in samples.into_iter().enumerate() {
            let value = values.next().expect("as many as there are");
            // What we keep in memory is single precision.
            let narrow = [value.re as f32, value.im as f32];
            assert_eq!(narrow, [sample.re, sample.im], "{dtype}, sample {idx}");
        }
    }
    assert!(values.next().is_none());
}
