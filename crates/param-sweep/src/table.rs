//! Results: a row for each point, failures among them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{SweepError, Value};

/// The results of a sweep, or of a part of it: one row for each point, ascending.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub(crate) parameters: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// What came of one point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The number of the point in its design.
    pub index: usize,
    /// The values of the parameters, in the order of the table's.
    pub parameters: Vec<Value>,
    /// The outputs by name, or why there are none. A row need not have all columns of its table.
    pub outcome: Result<Vec<(String, Value)>, RowFailure>,
}

/// Why a point has no outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFailure {
    /// In which way it failed, in a word or two: `error`, `panic`, `timeout`, `signal 9`, `exit 1`.
    pub kind: String,
    /// What it said.
    pub message: String,
    /// The worker that had it. Files of results do not say it, since they are the same for any workers.
    pub worker: Option<usize>,
}

impl Row {
    /// `ok`, or in which way it failed.
    #[must_use]
    pub fn status(&self) -> &str {
        match &self.outcome {
            Ok(_) => "ok",
            Err(failure) => &failure.kind,
        }
    }

    /// An output by its name.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&Value> {
        let outputs = self.outcome.as_ref().ok()?;
        outputs.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }
}

impl Table {
    /// Makes a table of rows in any order.
    ///
    /// The columns of outputs come in the order in which the rows, by their numbers, have them first. An
    /// output that is called as a parameter, or `index`, `status` or `error`, becomes `output.…`.
    ///
    /// # Errors
    ///
    /// [`SweepError::Merge`] if two rows have one number, or a row has not as many values as there are
    /// parameters.
    pub fn new(parameters: Vec<String>, mut rows: Vec<Row>) -> Result<Self, SweepError> {
        rows.sort_by_key(|row| row.index);
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].index == pair[1].index) {
            let reason = format!("row {} is there twice", pair[0].index);
            return Err(SweepError::Merge { reason });
        }
        let is_taken = |name: &str| {
            ["index", "status", "error"].contains(&name) || parameters.iter().any(|p| p == name)
        };
        let mut outputs = Vec::new();
        let mut known = BTreeSet::new();
        for row in &mut rows {
            if row.parameters.len() != parameters.len() {
                let (has, of) = (row.parameters.len(), parameters.len());
                let reason = format!("row {} has {has} values for {of} parameters", row.index);
                return Err(SweepError::Merge { reason });
            }
            for (name, _) in row.outcome.iter_mut().flatten() {
                if is_taken(name) {
                    *name = format!("output.{name}");
                }
                if known.insert(name.clone()) {
                    outputs.push(name.clone());
                }
            }
        }
        Ok(Self { parameters, outputs, rows })
    }

    /// Puts the tables of the parts of one sweep together.
    ///
    /// # Errors
    ///
    /// [`SweepError::Merge`] if they have other parameters, or a row is in two of them.
    pub fn merge(tables: impl IntoIterator<Item = Self>) -> Result<Self, SweepError> {
        let mut tables = tables.into_iter();
        let Some(first) = tables.next() else {
            return Err(SweepError::Merge { reason: "there are none".to_owned() });
        };
        let (parameters, mut rows) = (first.parameters, first.rows);
        for table in tables {
            if table.parameters != parameters {
                let (here, there) = (parameters.join(", "), table.parameters.join(", "));
                let reason = format!("one has the parameters {here}, another {there}");
                return Err(SweepError::Merge { reason });
            }
            rows.extend(table.rows);
        }
        Self::new(parameters, rows)
    }

    /// The names of the parameters.
    #[must_use]
    pub fn parameters(&self) -> &[String] {
        &self.parameters
    }

    /// The names of the outputs.
    #[must_use]
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// The rows, ascending.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows of points that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&Row, &RowFailure)> {
        self.rows.iter().filter_map(|row| Some((row, row.outcome.as_ref().err()?)))
    }

    /// A parameter or an output as doubles, row by row; `None` where it is no number or failed.
    #[must_use]
    pub fn column(&self, name: &str) -> Vec<Option<f64>> {
        let at = self.parameters.iter().position(|other| other == name);
        let value = |row: &Row| match at {
            Some(at) => row.parameters[at].as_f64(),
            None => row.output(name).and_then(Value::as_f64),
        };
        self.rows.iter().map(value).collect()
    }

    /// The row where an output is least; NaN is nowhere. Of equal ones the first.
    #[must_use]
    pub fn min(&self, name: &str) -> Option<&Row> {
        self.numbers(name).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(row, _)| row)
    }

    /// The row where an output is greatest; NaN is nowhere. Of equal ones the first.
    #[must_use]
    pub fn max(&self, name: &str) -> Option<&Row> {
        // `max_by` gives the last.
        self.numbers(name).min_by(|a, b| b.1.total_cmp(&a.1)).map(|(row, _)| row)
    }

    /// The mean of an output over the rows that have it, added in their order; `None` if none has.
    #[must_use]
    pub fn mean(&self, name: &str) -> Option<f64> {
        let (n, sum) = self.numbers(name).fold((0_u32, 0.0), |(n, sum), (_, x)| (n + 1, sum + x));
        (n > 0).then(|| sum / f64::from(n))
    }

    fn numbers(&self, name: &str) -> impl Iterator<Item = (&Row, f64)> {
        let values = self.column(name);
        let pairs = self.rows.iter().zip(values);
        pairs.filter_map(|(row, value)| Some((row, value.filter(|value| !value.is_nan())?)))
    }

    /// Writes the table as comma-separated values, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`SweepError::File`].
    pub fn save_csv(&self, path: &Path) -> Result<(), SweepError> {
        save(path, self.to_csv().as_bytes())
    }

    /// Writes the table as JSON, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`SweepError::File`].
    pub fn save_json(&self, path: &Path) -> Result<(), SweepError> {
        save(path, self.to_json().as_bytes())
    }

    /// Reads a file that [`save_csv`](Self::save_csv) or [`save_json`](Self::save_json) wrote; the name
    /// of the latter ends in `.json`.
    ///
    /// # Errors
    ///
    /// [`SweepError::File`] with what was wrong in it.
    pub fn load(path: &Path) -> Result<Self, SweepError> {
        let fail = |source: Box<dyn std::error::Error + Send + Sync>| SweepError::File {
            action: "read",
            path: path.to_owned(),
            source,
        };
        let text = fs::read_to_string(path).map_err(|error| fail(error.into()))?;
        let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
        let table = if is_json { Self::from_json(&text) } else { Self::from_csv(&text) };
        table.map_err(|error| fail(error.into()))
    }
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), SweepError> {
    let mut name = std::ffi::OsString::from("tmp.");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .map_err(|error| SweepError::File {
            action: "write",
            path: path.to_owned(),
            source: error.into(),
        })
}
