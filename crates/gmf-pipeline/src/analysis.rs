//! What is to be analysed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gmf_api::{Derived, Experiment, KernelOptions, Method, Optimize, Processing};

use crate::plan::AnalysisPlan;
use crate::{AnalysisError, KernelChoice, Source, TimeSpan};

/// A program whose habits are kept where ours differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compat {
    /// hardtarget 0.5.1: the last sample of the recording is not used, so that a recording of
    /// exactly so many integrations loses one.
    Hardtarget,
}

/// What is to be analysed, and how. Everything in it is public; what does not fit together is
/// found by [`Analysis::plan`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Analysis {
    /// The received samples.
    pub rx: Source,
    /// The transmitted samples; `None` where they are in the received ones.
    pub tx: Option<Source>,
    /// How the radar worked.
    pub experiment: Experiment,
    /// What is searched.
    pub processing: Processing,
    /// Which part of the recording is analysed.
    pub span: TimeSpan,
    /// What the kernel computes.
    pub options: KernelOptions,
    /// How the peak of each integration is refined after the search; `None` leaves it as it is.
    pub optimize: Option<Optimize>,
    /// Which kernel computes it; `None` is the first of the program's [`crate::KernelSet`].
    pub kernel: Option<KernelChoice>,
    /// Folder of the Digital Metadata with the fields `azimuth` and `elevation`, if there is one.
    pub pointing: Option<PathBuf>,
    /// Whose habits are kept.
    pub compat: Option<Compat>,
}

impl Analysis {
    /// The whole of a recording that holds transmitter and receiver, with the method and the
    /// refinement that `processing` names, or `fgmf` and none.
    #[must_use]
    pub fn new(rx: Source, experiment: Experiment, processing: Processing) -> Self {
        Self {
            rx,
            tx: None,
            options: KernelOptions::new(processing.gmf_method.unwrap_or(Method::Fgmf)),
            optimize: processing.optimize,
            experiment,
            processing,
            span: TimeSpan::default(),
            kernel: None,
            pointing: None,
            compat: None,
        }
    }

    /// The whole of a channel of a product as hardtarget lays it out: the channel's folder,
    /// `metadata.ini`, and perhaps `pointing` in the folder `dir`. Without a `config` file the
    /// defaults of [`Processing`] are searched.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::Read`] and [`AnalysisError::Config`], which name the file.
    pub fn of_product(
        dir: &Path,
        channel: &str,
        config: Option<&Path>,
    ) -> Result<Self, AnalysisError> {
        let metadata = dir.join("metadata.ini");
        let text = read(&metadata, "a product is a folder with metadata.ini and its channels")?;
        let experiment = Experiment::from_ini(&metadata.display().to_string(), &text)?;
        let processing = match config {
            None => Processing::default(),
            Some(path) => {
                let text = read(path, "give an INI file with a section [signal-processing]")?;
                Processing::from_ini(&path.display().to_string(), &text)?
            }
        };
        let rx = Source::DigitalRf { dir: dir.to_owned(), channel: channel.to_owned() };
        let pointing = Some(dir.join("pointing")).filter(|dir| dir.is_dir());
        Ok(Self { pointing, ..Self::new(rx, experiment, processing) })
    }

    /// Checks that all fits together, and fixes the coherent integrations and the output files.
    ///
    /// # Errors
    ///
    /// [`AnalysisError`], before anything is computed or written.
    pub fn plan(self) -> Result<AnalysisPlan, AnalysisError> {
        let derived = Arc::new(Derived::new(&self.experiment, &self.processing)?);
        AnalysisPlan::new(self, derived)
    }
}

fn read(path: &Path, hint: &'static str) -> Result<String, AnalysisError> {
    let error = |source| AnalysisError::Read { path: path.to_owned(), hint, source };
    let bytes = fs::read(path).map_err(error)?;
    String::from_utf8(bytes)
        .map_err(|_| error(io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8")))
}
