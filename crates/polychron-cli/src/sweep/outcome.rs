//! What a program gave, as named outputs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use polychron::param_sweep::{Value, columns_of, csv_records};
use regex::Regex;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

/// The outputs of one program, by name.
pub(super) type Outputs = Vec<(String, Value)>;

/// The most that is read of a file of results, and kept of an output.
pub(super) const MOST: usize = 1 << 20;

/// Outputs of the last line that is not blank.
pub(super) fn of_last_line(output: &str) -> Result<Outputs, String> {
    let line = output.lines().rev().find(|line| !line.trim().is_empty());
    of_line(line.ok_or("it printed nothing")?.trim())
}

fn of_line(line: &str) -> Result<Outputs, String> {
    if line.starts_with('{') {
        return of_json(line);
    }
    if let value @ (Value::Float(_) | Value::Int(_) | Value::Bool(_)) = Value::from_plain(line) {
        return Ok(vec![("result".to_owned(), value)]);
    }
    of_pairs(line).ok_or_else(|| {
        let start: String = line.chars().take(60).collect();
        let more = if start.len() < line.len() { "…" } else { "" };
        format!("its last line is no JSON object, no key=value pairs and no number: {start}{more}")
    })?
}

/// `y=1.5 z=2, name="a b"`; `None` if the line is something else.
fn of_pairs(line: &str) -> Option<Result<Outputs, String>> {
    let pair = Regex::new(r#"^([A-Za-z_][\w.]*)\s*=\s*("[^"]*"|[^\s,;"]+)\s*[,;]?\s*"#);
    let pair = pair.expect("the expression is sound");
    let mut outputs = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let found = pair.captures(rest)?;
        outputs.push((found[1].to_owned(), Value::from_cell(&found[2])?));
        rest = &rest[found[0].len()..];
    }
    Some(without_doubles(outputs))
}

/// An object whose members keep their order.
struct Object(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The members of a JSON object; `flow.max` for an object in it, `flow_0` for an array.
fn of_json(text: &str) -> Result<Outputs, String> {
    let object: Object = serde_json::from_str(&spelled(text))
        .map_err(|error| format!("what it gave is no JSON object: {error}"))?;
    let mut outputs = Vec::new();
    for (name, value) in object.0 {
        outputs.extend(columns_of(&name, &value).map_err(|error| error.to_string())?);
    }
    for (_, value) in &mut outputs {
        if let Value::Text(text) = value
            && let Some(number) = text.strip_prefix(MARK)
        {
            *value = Value::from_plain(number);
        }
    }
    without_doubles(outputs)
}

/// Stands before numbers that JSON has no word for.
const MARK: char = '\u{1}';

/// Puts `NaN`, `Infinity` and `-Infinity`, which Python and others write as bare words although JSON
/// has none of them, into texts with a mark.
fn spelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let (mut in_text, mut escaped) = (false, false);
    while let Some(c) = rest.chars().next() {
        if !in_text {
            let word = ["NaN", "-Infinity", "Infinity"].into_iter().find(|w| rest.starts_with(w));
            if let Some(word) = word {
                // The mark as JSON has to write it.
                out += &format!("\"\\u0001{word}\"");
                rest = &rest[word.len()..];
                continue;
            }
        }
        match c {
            '"' if !escaped => in_text = !in_text,
            _ => {}
        }
        escaped = in_text && c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

fn without_doubles(outputs: Outputs) -> Result<Outputs, String> {
    let mut names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("it gave {} twice", pair[0])),
        None => Ok(outputs),
    }
}

/// Outputs of the named groups of an expression, where it matches last.
pub(super) fn of_capture(regex: &Regex, output: &str) -> Result<Outputs, String> {
    let found = regex.captures_iter(output).last();
    let found = found.ok_or_else(|| format!("nothing it printed matches {regex}"))?;
    let named = regex.capture_names().flatten();
    let value = |name: &str| {
        let text = found.name(name)?.as_str().trim();
        Some((name.to_owned(), Value::from_plain(text)))
    };
    Ok(named.filter_map(value).collect())
}

/// Outputs of a file: a JSON object, or comma-separated values of a line of names and one more.
pub(super) fn of_file(path: &Path) -> Result<Outputs, String> {
    let text = read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("it made no file {}", path.display()),
        _ => format!("{} cannot be read: {error}", path.display()),
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    if text.starts_with('{') {
        return of_json(text).map_err(|error| format!("{}: {error}", path.display()));
    }
    of_csv(text).map_err(|error| format!("{}: {error}", path.display()))
}

fn of_csv(text: &str) -> Result<Outputs, String> {
    let records = csv_records(&format!("{text}\n")).map_err(|error| error.to_string())?;
    let [(_, names), (_, cells)] = &records[..] else {
        let n = records.len();
        return Err(format!("it is no JSON object, and {n} lines are not names and one row"));
    };
    if names.len() != cells.len() {
        return Err(format!("it has {} names and {} values", names.len(), cells.len()));
    }
    let mut outputs = Vec::new();
    for (name, cell) in names.iter().zip(cells) {
        let name = Value::from_cell(name.trim()).ok_or("a name is empty")?.to_string();
        // An empty cell is no output.
        if let Some(value) = Value::from_cell(cell.trim()) {
            outputs.push((name, value));
        }
    }
    without_doubles(outputs)
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    // Opening a pipe that nobody writes to would wait for ever.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    File::open(path)?.take(MOST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MOST {
        return Err(io::Error::other(format!("it has more than {MOST} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outputs as one text, NaN included.
    fn text(outputs: Result<Outputs, String>) -> String {
        match outputs {
            Ok(outputs) => {
                let pairs =
                    outputs.iter().map(|(name, value)| format!("{name}={}", value.to_cell()));
                pairs.collect::<Vec<_>>().join(" ")
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn the_last_line_is_an_object_pairs_or_a_number() {
        for (output, expected) in [
            ("5", "result=5"),
            ("log\n  1e-3 \n\n", "result=0.001"),
            ("-inf", "result=-inf"),
            ("true", "result=true"),
            ("y=1.5 z=2", "y=1.5 z=2"),
            ("y = 1.5, name=\"a b\"; t=x", "y=1.5 name=a b t=x"),
            (r#"{"z": 1, "a": 2.0, "t": "x", "none": null}"#, "z=1 a=2.0 t=x"),
            (r#"{"in": {"b": true, "a": [1, 2]}}"#, "in.a_0=1 in.a_1=2 in.b=true"),
            (r#"{"y": NaN, "z": -Infinity, "t": "NaN \" NaN"}"#, "y=NaN z=-inf t=\"NaN \"\" NaN\""),
            (r#"{"y": 0.1, "t": "1"}"#, "y=0.1 t=\"1\""),
            ("", "error: it printed nothing"),
            (" \n\n", "error: it printed nothing"),
            ("y=1 y=2", "error: it gave y twice"),
            (r#"{"y":1,"y":2}"#, "error: it gave y twice"),
        ] {
            assert_eq!(text(of_last_line(output)), expected, "{output}");
        }
        for output in ["done", "y=1 and more", "{", r#"{"y": 1"#, "[1]", "y=", "=1"] {
            assert!(text(of_last_line(output)).starts_with("error: "), "{output}");
        }
    }

    #[test]
    fn the_last_match_of_an_expression_counts() {
        let regex = Regex::new(r"step \d+: y=(?<y>\S+)(?: (?<note>\w+))?").unwrap();
        let output = "step 1: y=0.5 bad\nstep 2: y=0.25\nend";
        assert_eq!(text(of_capture(&regex, output)), "y=0.25");
        assert!(text(of_capture(&regex, "nothing")).starts_with("error: nothing it printed"));
    }

    #[test]
    fn a_row_of_values_below_names_is_read() {
        assert_eq!(text(of_csv("y,z,t\r\n1.5,,\"a,b\"")), "y=1.5 t=\"a,b\"");
        for bad in ["y,z\n1", "y\n1\n2", "y", "y,y\n1,2", ",y\n1,2"] {
            assert!(text(of_csv(bad)).starts_with("error: "), "{bad}");
        }
    }
}
