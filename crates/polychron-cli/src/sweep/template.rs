//! Texts with places for the values of a point: `--a {a}`.

use polychron::param_sweep::Value;

/// A text with places for parameters, the number of the point and its seed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Parameter(usize),
    Index,
    Seed,
}

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point<'a> {
    pub(super) index: usize,
    pub(super) seed: u64,
    pub(super) values: &'a [Value],
}

impl Template {
    /// Reads a text in which `{name}` stands for a parameter of that name, and `{{` and `}}` for braces.
    pub(super) fn parse(text: &str, names: &[&str]) -> Result<Self, String> {
        let known = || {
            let braced = names.iter().map(|name| format!("{{{name}}}"));
            braced.chain(["{index}", "{seed}"].map(str::to_owned)).collect::<Vec<_>>().join(", ")
        };
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let tail = &rest[at..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                plain.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            let name = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
            let Some((name, behind)) = name else {
                return Err(format!(
                    "'{text}' has a brace without its other half: write it twice for a brace"
                ));
            };
            let part = match name {
                "index" => Part::Index,
                "seed" => Part::Seed,
                _ => match names.iter().position(|known| *known == name) {
                    Some(at) => Part::Parameter(at),
                    None => {
                        return Err(format!(
                            "'{text}' has a place for {name:?}, but there are {}; for braces \
                             write {{{{ and }}}}",
                            known()
                        ));
                    }
                },
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// Whether it differs from point to point.
    pub(super) fn varies(&self) -> bool {
        self.0.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    pub(super) fn fill(&self, point: Point<'_>) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Parameter(at) => text += &point.values[*at].to_string(),
                Part::Index => text += &point.index.to_string(),
                Part::Seed => text += &point.seed.to_string(),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_doubled_braces_stay() {
        let values = [Value::Float(0.5), Value::from("x y")];
        let point = Point { index: 7, seed: 9, values: &values };
        for (text, filled) in [
            ("", ""),
            ("plain", "plain"),
            ("{a}", "0.5"),
            ("--a={a},{b}/{index}-{seed}", "--a=0.5,x y/7-9"),
            ("{{a}}", "{a}"),
            ("{{{a}}}", "{0.5}"),
            (r#"{{"a": {a}}}"#, r#"{"a": 0.5}"#),
        ] {
            assert_eq!(Template::parse(text, &["a", "b"]).unwrap().fill(point), filled, "{text}");
        }
        for text in ["{", "}", "{a", "a}", "{c}", "{}", "{a b}", "{{a}", "{a}}"] {
            assert!(Template::parse(text, &["a", "b"]).is_err(), "{text}");
        }
    }
}
