//! `polychron simulate`.

use anyhow::Context as _;
use polychron::gmf_pipeline::simulate::{
    Code, Pointing, ProductError, ProductOptions, ProductReport, Radar, Simulation, Synthesis,
};
use polychron::pm::CancelToken;

use crate::args::SimulateArgs;
use crate::output::{Interrupted, Usage, say};
use crate::timing::stamp;
use crate::{interrupt, progress};

pub(crate) fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    let mut code = Code::by_name(&args.code, args.seed).context("--code").map_err(Usage::of)?;
    if let Some(baud_us) = args.baud {
        code = code.with_baud_us(baud_us);
    }
    let simulation = Simulation {
        name: format!("simulation of {}", args.code),
        radar: Radar {
            frequency_mhz: args.frequency,
            sample_rate_hz: args.sample_rate,
            ipp_us: args.ipp,
            tx_start_us: args.tx_start,
            rx_start_us: args.rx_start,
            rx_end_us: args.rx_end.unwrap_or(args.ipp as f64),
        },
        code,
        targets: args.targets.clone(),
        start: args.start,
        duration_s: args.duration,
        seed: args.seed,
        noise_std: args.noise,
        tx_amplitude: args.tx_amplitude,
        rx_channel: args.channel.clone(),
        tx_channel: args.tx_channel.clone(),
        dtype: args.dtype,
        compression: args.compression,
        checksum: args.checksum,
        file_cadence_ms: args.file_cadence,
        pointing: args.pointing.map(|(azimuth_deg, elevation_deg)| Pointing {
            rate_hz: 1,
            azimuth_deg,
            azimuth_rate_deg_s: 0.0,
            elevation_deg,
            elevation_rate_deg_s: 0.0,
        }),
        ..Simulation::default()
    };
    let synthesis = simulation.check().map_err(Usage::of)?;
    let cancel = interrupt::token()?;
    stamp!("check");
    let report = write(&synthesis, &args.output, args.clobber, &cancel, args.progress)?;
    stamp!("simulate");
    say(format_args!(
        "{} s of channel {} written to {}",
        report.n_samples as f64 / args.sample_rate as f64,
        report.channels.join(", "),
        report.path.display(),
    ));
    Ok(())
}

/// Writes a product with a progress bar over its periods.
pub(crate) fn write(
    synthesis: &Synthesis,
    dir: &std::path::Path,
    clobber: bool,
    cancel: &CancelToken,
    wanted: bool,
) -> anyhow::Result<ProductReport> {
    let bar = progress::bar(wanted, synthesis.n_periods(), "Pulses simulated");
    let mut on_progress = |done, _| bar.set_position(done);
    let is_cancelled = || cancel.is_cancelled();
    let options = ProductOptions {
        clobber,
        on_progress: Some(&mut on_progress),
        is_cancelled: Some(&is_cancelled),
    };
    let result = synthesis.write_product(dir, options);
    bar.finish();
    result.map_err(|error| match error {
        ProductError::Cancelled { .. } => Interrupted(error.to_string()).into(),
        error => error.into(),
    })
}
