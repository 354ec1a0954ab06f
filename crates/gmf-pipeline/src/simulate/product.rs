//! Writing a simulation as a Digital RF product.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use digital_rf::{
    ChannelConfig, ChannelWriter, MetadataLayout, MetadataWriter, SampleRate, Value, WriteError,
};
use gmf_api::Experiment;
use num_complex::Complex;

use super::config::POINTING_CHANNEL;
use super::dtype::Stored;
use super::synthesis::store;
use super::{Dtype, Pointing, ProductError, Synthesis};
use crate::stamp::stamp;

const METADATA_INI: &str = "metadata.ini";
/// Files that tell a folder to be a channel, or Digital Metadata.
const PROPERTIES: [&str; 2] = ["drf_properties.h5", "dmd_properties.h5"];
/// Names that are tried for a temporary folder before giving up.
const MAX_TRIES: u32 = 1000;

/// How a product is written; [`ProductOptions::default`] replaces nothing and cannot be stopped.
#[derive(Default)]
pub struct ProductOptions<'a> {
    /// Whether a product that is there already is replaced. What is not clearly a product is never
    /// replaced: a folder with `metadata.ini` and channels, and nothing else.
    pub clobber: bool,
    /// Told, after each period, how many are done and how many there are.
    pub on_progress: Option<&'a mut dyn FnMut(u64, u64)>,
    /// Asked before each period whether to stop.
    pub is_cancelled: Option<&'a dyn Fn() -> bool>,
}

impl fmt::Debug for ProductOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProductOptions").field("clobber", &self.clobber).finish_non_exhaustive()
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductReport {
    /// The product's folder.
    pub path: PathBuf,
    /// The channels in it, the pointing's included.
    pub channels: Vec<String>,
    /// Number of the first sample, from the Unix epoch.
    pub first_sample: u64,
    /// Samples in each channel.
    pub n_samples: u64,
    /// Samples, of all channels, that had to be clipped.
    pub n_clipped: u64,
}

impl Synthesis {
    /// Writes the product into the folder `dir`, which appears whole or not at all.
    ///
    /// It holds `metadata.ini`, a folder for each channel, and `pointing`, where there is one. It
    /// is made in a folder beside `dir`, whose name begins with a dot, and then renamed; an error
    /// leaves nothing there (a killed process does). The same simulation gives the same bytes.
    /// Only one period and one file of samples are kept in memory.
    ///
    /// Clipped samples are no error: they are counted in the report, and a warning is logged.
    ///
    /// # Errors
    ///
    /// [`ProductError`]; what was at `dir` before is still there then.
    pub fn write_product(
        &self,
        dir: impl AsRef<Path>,
        mut options: ProductOptions<'_>,
    ) -> Result<ProductReport, ProductError> {
        let _simulation = gtimer_core::subdivision!("simulation");
        let dir = dir.as_ref();
        check_place(dir, options.clobber)?;
        let partial = Partial::create(dir)?;
        let n_clipped = match self.simulation.dtype {
            Dtype::ComplexI8 => self.write_channels::<Complex<i8>>(&partial.path, &mut options),
            Dtype::ComplexI16 => self.write_channels::<Complex<i16>>(&partial.path, &mut options),
            Dtype::ComplexF32 => self.write_channels::<Complex<f32>>(&partial.path, &mut options),
            Dtype::ComplexF64 => self.write_channels::<Complex<f64>>(&partial.path, &mut options),
        }?;
        let mut channels = vec![self.simulation.rx_channel.clone()];
        channels.extend(self.simulation.tx_channel.clone());
        if let Some(pointing) = &self.simulation.pointing {
            self.write_pointing(&partial.path, pointing)
                .map_err(channel_error(POINTING_CHANNEL))?;
            channels.push(POINTING_CHANNEL.to_owned());
        }
        let ini = partial.path.join(METADATA_INI);
        fs::write(&ini, self.experiment().to_ini()).map_err(io_error("write", &ini))?;
        partial.publish(dir, options.clobber)?;
        stamp!("finish");
        if n_clipped > 0 {
            let (dtype, n_samples) = (self.simulation.dtype, self.n_samples());
            tracing::warn!(
                "{n_clipped} of {n_samples} samples of {} were clipped: \
                 they are greater than {dtype} can hold",
                dir.display(),
            );
        }
        Ok(ProductReport {
            path: dir.to_path_buf(),
            channels,
            first_sample: self.first_sample,
            n_samples: self.n_samples(),
            n_clipped,
        })
    }

    fn channel_config(&self) -> ChannelConfig {
        let simulation = &self.simulation;
        ChannelConfig {
            subdir_cadence_secs: simulation.subdir_cadence_secs,
            file_cadence_ms: simulation.file_cadence_ms,
            // A "continuous" channel without filters is padded to whole files with "no data", and
            // readers would take that for a part of the recording.
            is_continuous: false,
            compression: simulation.compression,
            checksum: simulation.checksum,
            uuid: format!("{:032x}", simulation.seed),
            ..ChannelConfig::new(self.rate, self.first_sample)
        }
    }

    fn write_channels<T: Stored>(
        &self,
        dir: &Path,
        options: &mut ProductOptions<'_>,
    ) -> Result<u64, ProductError> {
        let open = |channel: &str| {
            ChannelWriter::<T>::create(dir.join(channel), self.channel_config())
                .map_err(channel_error(channel))
        };
        let rx_channel = self.simulation.rx_channel.as_str();
        let mut rx = open(rx_channel)?;
        let mut tx = match self.simulation.tx_channel.as_deref() {
            Some(channel) => Some((channel, open(channel)?)),
            None => None,
        };
        let n_periods = self.n_periods;
        let mut period = self.new_period();
        let mut stored: Vec<T> = Vec::with_capacity(self.ipp_samples);
        let mut n_clipped = 0;
        for done in 0..n_periods {
            if options.is_cancelled.is_some_and(|is_cancelled| is_cancelled()) {
                return Err(ProductError::Cancelled { done, n_periods });
            }
            self.synthesise(done, &mut period);
            n_clipped += store(&period.rx, &mut stored);
            stamp!("synthesise");
            rx.write(&stored).map_err(channel_error(rx_channel))?;
            if let (Some((channel, tx)), Some(samples)) = (&mut tx, &period.tx) {
                n_clipped += store(samples, &mut stored);
                tx.write(&stored).map_err(channel_error(channel))?;
            }
            stamp!("write");
            if let Some(on_progress) = &mut options.on_progress {
                on_progress(done + 1, n_periods);
            }
        }
        rx.finish().map_err(channel_error(rx_channel))?;
        if let Some((channel, tx)) = tx {
            tx.finish().map_err(channel_error(channel))?;
        }
        Ok(n_clipped)
    }

    /// One entry for each time of the pointing's own rate, from the last at or before the first
    /// sample on. Divided into files, and these named, as hardtarget does it.
    fn write_pointing(&self, dir: &Path, pointing: &Pointing) -> Result<(), WriteError> {
        let rate = SampleRate::from_hz(pointing.rate_hz)?;
        let layout = MetadataLayout {
            rate,
            subdir_cadence_secs: 3600,
            file_cadence_secs: 3600,
            file_name: "meta".to_owned(),
        };
        let start_ns = self.rate.unix_ns(self.first_sample);
        let end_ns = self.rate.unix_ns(self.first_sample + self.n_samples());
        let mut writer = MetadataWriter::create(dir.join(POINTING_CHANNEL), layout)?;
        for entry in rate.sample_at_ns(start_ns)..rate.sample_from_ns(end_ns) {
            // Times are exact integers until here, so the difference is too.
            let since_start_ns = rate.unix_ns(entry).saturating_sub(start_ns);
            let (azimuth, elevation) = pointing.at(since_start_ns as f64 * 1e-9);
            let fields = BTreeMap::from([
                ("azimuth".to_owned(), Value::Float(azimuth)),
                ("elevation".to_owned(), Value::Float(elevation)),
            ]);
            writer.write(entry, fields)?;
        }
        writer.finish()
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ProductError {
    let path = path.to_path_buf();
    move |source| ProductError::Io { action, path, source }
}

fn channel_error(channel: &str) -> impl FnOnce(WriteError) -> ProductError {
    move |source| ProductError::Channel { channel: channel.to_owned(), source: Box::new(source) }
}

/// Whether a product may be made at `dir`.
fn check_place(dir: &Path, clobber: bool) -> Result<(), ProductError> {
    match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("look at", dir)(error)),
        Ok(_) if !clobber => Err(ProductError::Exists { path: dir.to_path_buf() }),
        Ok(found) if found.is_dir() => check_product(dir),
        Ok(_) => {
            let reason = "it is no folder".to_owned();
            Err(ProductError::NotAProduct { path: dir.to_path_buf(), reason })
        }
    }
}

/// Whether a folder holds a product and nothing else, so that nothing else is lost with it.
fn check_product(dir: &Path) -> Result<(), ProductError> {
    let no_product = |reason| ProductError::NotAProduct { path: dir.to_path_buf(), reason };
    let ini = dir.join(METADATA_INI);
    let text = match fs::read_to_string(&ini) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(no_product(format!("it has no {METADATA_INI}")));
        }
        Err(error) => return Err(io_error("read", &ini)(error)),
    };
    if let Err(error) = Experiment::from_ini(METADATA_INI, &text) {
        return Err(no_product(error.to_string()));
    }
    for entry in fs::read_dir(dir).map_err(io_error("list", dir))? {
        let path = entry.map_err(io_error("list", dir))?.path();
        if path != ini && !PROPERTIES.iter().any(|name| path.join(name).is_file()) {
            let name = path.file_name().unwrap_or_default().display();
            return Err(no_product(format!("it holds '{name}', which is no channel")));
        }
    }
    Ok(())
}

/// A folder beside the product's, removed unless it becomes the product.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn create(dir: &Path) -> Result<Self, ProductError> {
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent).map_err(io_error("make", parent))?;
        }
        let path = unused_sibling(dir, "partial", |path| fs::create_dir(path))?;
        Ok(Self { path })
    }

    /// Renames the folder to `dir`. What was checked before may have changed since, so it is
    /// checked again; what is replaced is put aside, and back if the renaming fails.
    fn publish(self, dir: &Path, clobber: bool) -> Result<(), ProductError> {
        check_place(dir, clobber)?;
        let replaced = if dir.exists() {
            Some(unused_sibling(dir, "replaced", |aside| {
                // Claimed by an empty folder, which nobody else has and which is renamed onto.
                fs::create_dir(aside)?;
                fs::rename(dir, aside).inspect_err(|_| {
                    // The failure to rename is what the caller should hear of.
                    let _ = fs::remove_dir(aside);
                })
            })?)
        } else {
            None
        };
        if let Err(error) = fs::rename(&self.path, dir) {
            if let Some(aside) = &replaced {
                fs::rename(aside, dir).map_err(io_error("put back", dir))?;
            }
            return Err(io_error("rename a finished product to", dir)(error));
        }
        if let Some(aside) = &replaced {
            fs::remove_dir_all(aside).map_err(io_error("remove the replaced product", aside))?;
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After publishing there is nothing at this path any more. Otherwise the error that led
        // here is what the caller should hear of, not this one.
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("could not remove {}: {error}", self.path.display());
        }
    }
}

/// Tries `claim` with names beside `dir` until one is not taken.
fn unused_sibling(
    dir: &Path,
    kind: &str,
    claim: impl Fn(&Path) -> io::Result<()>,
) -> Result<PathBuf, ProductError> {
    let name = dir.file_name().ok_or_else(|| ProductError::Io {
        action: "name",
        path: dir.to_path_buf(),
        source: io::Error::from(io::ErrorKind::InvalidFilename),
    })?;
    let process = std::process::id();
    let mut try_idx = 0;
    loop {
        let sibling = dir.with_file_name(format!(".{}.{kind}-{process}-{try_idx}", name.display()));
        match claim(&sibling) {
            Ok(()) => return Ok(sibling),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && try_idx < MAX_TRIES => {
                try_idx += 1;
            }
            Err(error) => return Err(io_error("make", &sibling)(error)),
        }
    }
}

#[cfg(test)]
#[path = "product_tests.rs"]
mod tests;
