//! What commands that look at a recording share.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use polychron::gmf::Experiment;

/// The experiment of a product, from its `metadata.ini`.
pub(crate) fn experiment(product: &Path) -> anyhow::Result<Experiment> {
    let path = product.join("metadata.ini");
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "could not read {}: a product is a folder with metadata.ini and its channels",
            path.display()
        )
    })?;
    Ok(Experiment::from_ini(&path.display().to_string(), &text)?)
}

/// A time of the radar's period in samples, rounded as the analysis rounds it.
pub(crate) fn samples(us: f64, sample_rate_hz: u64) -> i64 {
    (us * 1e-6 * sample_rate_hz as f64).round_ties_even() as i64
}
