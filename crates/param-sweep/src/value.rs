//! The value of a parameter or of an output, and how it is written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number, a truth value or a text.
///
/// It displays as a program takes it: the shortest digits that give the same double again, `1.0` and
/// `1` for a double and an integer, `NaN` and `inf`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A double.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// `true` or `false`.
    Bool(bool),
    /// A text.
    Text(String),
}

impl Value {
    /// The value as a double, if it is a number.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            // Whole numbers beyond 2^53 lose their last digits here and nowhere else.
            Self::Int(value) => Some(*value as f64),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }

    /// The value that a text without quotation marks stands for: a whole number, a double, `true` or
    /// `false`, else the text itself.
    #[must_use]
    pub fn from_plain(text: &str) -> Self {
        match text {
            "true" => return Self::Bool(true),
            "false" => return Self::Bool(false),
            _ => {}
        }
        if let Ok(value) = text.parse() {
            return Self::Int(value);
        }
        text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Float)
    }

    /// The value as a cell of comma-separated values: a text is in quotation marks unless it is a word
    /// that could be nothing else, so that numbers and texts that look like them stay what they are.
    #[must_use]
    pub fn to_cell(&self) -> String {
        match self {
            Self::Text(text) if !is_plain_text(text) => {
                format!("\"{}\"", text.replace('"', "\"\""))
            }
            value => value.to_string(),
        }
    }

    /// Reads what [`to_cell`](Self::to_cell) wrote; `None` if it is empty or its quotation marks do not
    /// match.
    #[must_use]
    pub fn from_cell(cell: &str) -> Option<Self> {
        if cell.is_empty() {
            return None;
        }
        let Some(inner) = cell.strip_prefix('"') else { return Some(Self::from_plain(cell)) };
        let inner = inner.strip_suffix('"')?;
        let halves = inner.replace("\"\"", "\0");
        if halves.contains('"') {
            return None;
        }
        Some(Self::Text(inner.replace("\"\"", "\"")))
    }
}

fn is_plain_text(text: &str) -> bool {
    let is_edged = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
    !text.is_empty()
        && !is_edged
        && !text.contains([',', '"', '\n', '\r'])
        && matches!(Value::from_plain(text), Value::Text(_))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Debug has the shortest digits, and an exponent where there would be many zeros.
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),*) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from!(f64 => Float, f32 => Float, i64 => Int, i32 => Int, u32 => Int, bool => Bool, &str => Text, String => Text);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_give_back_what_was_written_bit_by_bit() {
        let floats = [
            0.1,
            -0.0,
            1e300,
            5e-324,
            f64::MAX,
            f64::MIN_POSITIVE,
            1.0,
            0.1 + 0.2,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        for float in floats {
            let cell = Value::Float(float).to_cell();
            let Some(Value::Float(back)) = Value::from_cell(&cell) else { panic!("{cell}") };
            assert_eq!(back.to_bits(), float.to_bits(), "{cell}");
        }
        assert!(matches!(Value::from_cell("NaN"), Some(Value::Float(x)) if x.is_nan()));
        let texts =
            ["", "1", "1.0", "NaN", "inf", "true", "a b", " a", "a,b", "a\"b", "\"", "a\nb"];
        for text in texts.into_iter().chain(["plain", "ä", "\"\"", "1e5", "-", "0x10", "\0"]) {
            let value = Value::from(text);
            assert_eq!(Value::from_cell(&value.to_cell()).unwrap(), value, "{}", value.to_cell());
        }
        for value in [Value::Int(i64::MIN), Value::Int(0), Value::Bool(true)] {
            assert_eq!(Value::from_cell(&value.to_cell()).unwrap(), value);
        }
        for cell in ["", "\"", "\"a", "\"a\"b\""] {
            assert_eq!(Value::from_cell(cell), None, "{cell}");
        }
    }
}
