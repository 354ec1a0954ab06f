//! The record of a run: everything that determines the bytes of its files.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use gmf_api::{Experiment, Processing};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::layout::RunLayout;
use crate::{AnalysisError, AnalysisPlan, Compat, KernelChoice, Source};

/// The record's name in the output folder.
pub(crate) const RECORD_NAME: &str = "run.json";

/// Raised when the same parameters no longer give the same bytes.
const FORMAT_VERSION: u32 = 1;

/// What a folder of results is the result of.
///
/// It lies in the folder as `run.json`, is made by exactly one of the jobs of a run, and compared
/// by all others. Paths are not part of it, since they may differ from machine to machine, nor is
/// the number of jobs, the manager or the number of workers, which do not show in the results.
/// Refined peaks ([`crate::Analysis::optimize`]) are an addition to files, which may be made later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    format: String,
    format_version: u32,
    hash: String,
    parameters: Value,
    /// Files at the ends of the recording that could not be used. They are not compared: what
    /// follows from them is, the first sample and the number of integrations.
    #[serde(default)]
    damaged_ends: Vec<String>,
}

/// What determines the bytes of the files, in the order of a reader's interest.
#[derive(Serialize)]
struct Parameters<'a> {
    experiment: &'a Experiment,
    processing: Processing,
    method: &'static str,
    zero_frequency: &'static str,
    kernel: &'a str,
    compat: Option<&'static str>,
    rx: Value,
    tx: Value,
    pointing: bool,
    layout: &'a RunLayout,
}

/// A parameter in which two runs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The parameter, as `processing.n_ipp`.
    pub name: String,
    /// Its value in the run that the folder belongs to; `None` if it has none.
    pub there: Option<String>,
    /// Its value in this run.
    pub here: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        write!(f, "{} is {} there and {} here", self.name, text(&self.there), text(&self.here))
    }
}

impl RunRecord {
    /// The record of a planned analysis with a kernel.
    pub(crate) fn new(plan: &AnalysisPlan, kernel: &KernelChoice) -> Self {
        let analysis = plan.analysis();
        let tx = analysis.tx.as_ref().filter(|tx| !tx.is_same(&analysis.rx));
        let parameters = Parameters {
            experiment: plan.derived().experiment(),
            // What the config file says of kernel and method has been decided, see below. Refining
            // peaks only adds to files, so that a finished run may be completed with it: which
            // files have it is for the manifest to say (`Entry::optimize`).
            processing: Processing {
                gmf_implementation: None,
                gmf_method: None,
                optimize: None,
                ..plan.derived().processing().clone()
            },
            method: analysis.options.method.name(),
            zero_frequency: analysis.options.zero_frequency.name(),
            kernel: &kernel.name,
            compat: analysis.compat.map(|Compat::Hardtarget| "hardtarget"),
            rx: identity(&analysis.rx),
            tx: tx.map_or(Value::Null, identity),
            pointing: analysis.pointing.is_some(),
            layout: plan.layout(),
        };
        let parameters =
            serde_json::to_value(parameters).expect("parameters are numbers and texts");
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        Self {
            format: "polychron run".to_owned(),
            format_version: FORMAT_VERSION,
            hash: hash(&parameters),
            parameters,
            damaged_ends: plan.damaged_ends().iter().filter_map(|end| name(&end.path)).collect(),
        }
    }

    /// Reads the record of a folder of results; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::Record`] when it cannot be read, or is none.
    pub fn read(dir: &Path) -> Result<Option<Self>, AnalysisError> {
        let path = dir.join(RECORD_NAME);
        let error = |source: Box<dyn std::error::Error + Send + Sync>| AnalysisError::Record {
            path: path.clone(),
            source,
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // The last: the folder is a file, which will be said by whoever writes there.
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(error(e.into())),
        };
        let record: Self = serde_json::from_str(&text).map_err(|e| error(e.into()))?;
        if record.format_version != FORMAT_VERSION {
            let version = record.format_version;
            return Err(error(
                format!("it has version {version}, this program writes {FORMAT_VERSION}").into(),
            ));
        }
        if record.hash != hash(&record.parameters) {
            return Err(error("its hash is not that of its parameters".into()));
        }
        record.layout().map_err(error)?;
        Ok(Some(record))
    }

    /// Puts the record into a folder; `false` when there is one already, which is left alone unless
    /// it is to be replaced.
    pub(crate) fn write(&self, dir: &Path, replace: bool) -> Result<bool, AnalysisError> {
        let path = dir.join(RECORD_NAME);
        let error =
            |source: io::Error| AnalysisError::Write { path: path.clone(), source: source.into() };
        let mut builder = tempfile::Builder::new();
        builder.prefix("tmp.run.").suffix(".json");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(dir).map_err(error)?;
        let mut text = serde_json::to_string_pretty(self).expect("the record is text");
        text.push('\n');
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(error)?;
        let path = file.into_temp_path();
        let target = dir.join(RECORD_NAME);
        let published = if replace { path.persist(target) } else { path.persist_noclobber(target) };
        match published {
            Ok(()) => Ok(true),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(error(e.error)),
        }
    }

    /// A checksum over all parameters: two runs with the same one write the same files.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The files at the ends of the recording that could not be used, by their names.
    #[must_use]
    pub fn damaged_ends(&self) -> &[String] {
        &self.damaged_ends
    }

    /// In which parameters this run differs from the one that a folder belongs to.
    #[must_use]
    pub fn differences(&self, there: &Self) -> Vec<Difference> {
        let (here, there) = (flat(&self.parameters), flat(&there.parameters));
        let mut names: Vec<&String> = here.keys().chain(there.keys()).collect();
        // What the user chose comes before what follows from it.
        names.sort_by_key(|name| (name.starts_with("layout."), name.as_str()));
        names.dedup();
        names
            .into_iter()
            .filter(|name| here.get(*name) != there.get(*name))
            .map(|name| Difference {
                name: name.clone(),
                there: there.get(name).cloned(),
                here: here.get(name).cloned(),
            })
            .collect()
    }

    /// How the files of the run are numbered and named.
    pub(crate) fn layout(&self) -> Result<RunLayout, Box<dyn std::error::Error + Send + Sync>> {
        let layout = self.parameters.get("layout").cloned().unwrap_or_default();
        let layout: RunLayout = serde_json::from_value(layout)?;
        if layout.is_sound() { Ok(layout) } else { Err("its layout makes no sense".into()) }
    }
}

/// What is known of a source wherever it is mounted.
fn identity(source: &Source) -> Value {
    match source {
        Source::DigitalRf { channel, .. } => serde_json::json!({ "channel": channel }),
        Source::Memory(samples) => serde_json::json!({ "samples_xxh3": samples.checksum() }),
    }
}

/// Parameters by their path, each as JSON.
fn flat(parameters: &Value) -> BTreeMap<String, String> {
    fn descend(prefix: &str, value: &Value, out: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let path =
                        if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    descend(&path, value, out);
                }
            }
            Value::Null => {}
            leaf => {
                out.insert(prefix.to_owned(), leaf.to_string());
            }
        }
    }
    let mut out = BTreeMap::new();
    descend("", parameters, &mut out);
    out
}

/// Over the sorted parameters, so that neither their order in the file nor blanks matter.
fn hash(parameters: &Value) -> String {
    let mut text = format!("version={FORMAT_VERSION}\n");
    for (name, value) in flat(parameters) {
        text.push_str(&format!("{name}={value}\n"));
    }
    format!("{:032x}", xxh3_128(text.as_bytes()))
}
