//! Tables as JSON.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::{Row, RowFailure, SweepError, Table, Value};

const FORMAT: &str = "polychron sweep results";
const VERSION: u32 = 1;

/// The doubles that JSON has no number for.
const SPELLED: [(&str, f64); 3] =
    [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY)];

#[derive(Deserialize)]
struct Document {
    format: String,
    version: u32,
    parameters: Vec<String>,
    outputs: Vec<String>,
    rows: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    index: usize,
    parameters: Map<String, Json>,
    status: String,
    #[serde(default)]
    outputs: Map<String, Json>,
    #[serde(default)]
    error: String,
}

impl Table {
    /// The table as JSON, a row on each line. What JSON has no number for is `"NaN"`, `"Infinity"` or
    /// `"-Infinity"`; so a text of these letters is read back as a number.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = format!(
            "{{\"format\":{},\"version\":{VERSION},\"parameters\":{},\"outputs\":{},\"rows\":[",
            json!(FORMAT),
            json!(self.parameters()),
            json!(self.outputs()),
        );
        for (n, row) in self.rows().iter().enumerate() {
            let members = |pairs: &mut dyn Iterator<Item = (&String, &Value)>| {
                let pairs: Vec<String> = pairs
                    .map(|(name, value)| format!("{}:{}", json!(name), to_json(value)))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            };
            let parameters = members(&mut self.parameters().iter().zip(&row.parameters));
            let status = json!(row.status());
            let rest = match &row.outcome {
                Ok(outputs) => {
                    format!("\"outputs\":{}", members(&mut outputs.iter().map(|(n, v)| (n, v))))
                }
                Err(failure) => format!("\"error\":{}", json!(failure.message)),
            };
            let comma = if n > 0 { "," } else { "" };
            let index = row.index;
            // A text takes everything.
            let _ = write!(
                text,
                "{comma}\n{{\"index\":{index},\"parameters\":{parameters},\"status\":{status},{rest}}}"
            );
        }
        text += "\n]}\n";
        text
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// [`SweepError::Table`] with the line that is none of such a table.
    pub fn from_json(text: &str) -> Result<Self, SweepError> {
        let fail = |line: usize, reason: String| SweepError::Table { line, reason };
        let document: Document =
            serde_json::from_str(text).map_err(|error| fail(error.line(), error.to_string()))?;
        if document.format != FORMAT || document.version != VERSION {
            let (format, version) = (document.format, document.version);
            return Err(fail(1, format!("it is '{format}', version {version}")));
        }
        let mut rows = Vec::new();
        for (at, record) in document.rows.into_iter().enumerate() {
            let line = at + 2;
            let value = |name: &String, json: &Json| {
                let known = from_json(json);
                known.ok_or_else(|| fail(line, format!("{name} is {json}, which is no value")))
            };
            let mut parameters = Vec::new();
            for name in &document.parameters {
                let json = record.parameters.get(name);
                let json = json.ok_or_else(|| fail(line, format!("it has no parameter {name}")))?;
                parameters.push(value(name, json)?);
            }
            let outcome = if record.status == "ok" {
                let mut outputs = Vec::new();
                for name in &document.outputs {
                    if let Some(json) = record.outputs.get(name) {
                        outputs.push((name.clone(), value(name, json)?));
                    }
                }
                Ok(outputs)
            } else {
                Err(RowFailure { kind: record.status, message: record.error, worker: None })
            };
            rows.push(Row { index: record.index, parameters, outcome });
        }
        let mut table = Self::new(document.parameters, rows)?;
        table.outputs = document.outputs;
        Ok(table)
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Float(value) if value.is_nan() => json!("NaN"),
        Value::Float(value) if value.is_infinite() && *value > 0.0 => json!("Infinity"),
        Value::Float(value) if value.is_infinite() => json!("-Infinity"),
        Value::Float(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Bool(value) => json!(value),
        Value::Text(text) => json!(text),
    }
}

fn from_json(json: &Json) -> Option<Value> {
    match json {
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(number) => {
            number.as_i64().map(Value::Int).or_else(|| number.as_f64().map(Value::Float))
        }
        Json::String(text) => {
            let spelled = SPELLED.iter().find(|(spelled, _)| spelled == text);
            Some(spelled.map_or_else(|| Value::Text(text.clone()), |(_, x)| Value::Float(*x)))
        }
        _ => None,
    }
}
