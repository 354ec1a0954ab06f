//! One section of an INI file, with typed access and errors that name file, section, key and value.
//!
//! The form is that of Python's `configparser`, which hardtarget reads: keys in any case, `=` or
//! `:` between key and value, whole-line comments with `#` or `;`, values optionally in quotes.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use configparser::ini::{Ini, IniDefault};

use crate::ConfigError;

/// The keys and values of one section.
pub(crate) struct Section {
    file: String,
    name: &'static str,
    values: BTreeMap<String, String>,
}

impl Section {
    /// Parses `text` and keeps the section `name`.
    pub(crate) fn parse(file: &str, text: &str, name: &'static str) -> Result<Self, ConfigError> {
        let mut defaults = IniDefault::default();
        defaults.comment_symbols = vec!['#', ';'];
        // Python's parser keeps what follows a `;` inside a value, so a comment there is none.
        defaults.inline_comment_symbols = Some(Vec::new());
        defaults.case_sensitive = true;
        let mut ini = Ini::new_from_defaults(defaults);
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let sections = ini
            .read(text.to_owned())
            .map_err(|message| ConfigError::Syntax { file: file.to_owned(), message })?;
        let Some(section) = sections.get(name) else {
            let mut found: Vec<String> =
                sections.keys().filter(|key| *key != "default").cloned().collect();
            found.sort();
            return Err(ConfigError::MissingSection {
                file: file.to_owned(),
                section: name.to_owned(),
                found,
            });
        };
        if let Some(key) = repeated_key(text, name) {
            return Err(ConfigError::Syntax {
                file: file.to_owned(),
                message: format!("key '{key}' stands twice in section [{name}]"),
            });
        }
        let mut values = BTreeMap::new();
        for (key, value) in section {
            let value = value.as_deref().unwrap_or("").trim();
            values.insert(key.trim().to_lowercase(), unquoted(value).to_owned());
        }
        Ok(Self { file: file.to_owned(), name, values })
    }

    /// Takes the value of `key` out of the section, parsed, or `None` if the key is not there.
    pub(crate) fn take<T: FromStr>(
        &mut self,
        key: &str,
        expected: &str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.values.remove(key) else { return Ok(None) };
        match value.parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(_) => Err(ConfigError::BadValue {
                file: self.file.clone(),
                section: self.name.to_owned(),
                key: key.to_owned(),
                value,
                expected: expected.to_owned(),
            }),
        }
    }

    /// As [`Section::take`], for a key that must be there.
    pub(crate) fn require<T: FromStr>(
        &mut self,
        key: &str,
        expected: &str,
    ) -> Result<T, ConfigError> {
        self.take(key, expected)?.ok_or_else(|| ConfigError::MissingKey {
            file: self.file.clone(),
            section: self.name.to_owned(),
            key: key.to_owned(),
        })
    }

    /// What has not been taken.
    pub(crate) fn rest(self) -> BTreeMap<String, String> {
        self.values
    }

    /// Refuses what has not been taken.
    pub(crate) fn finish(self, known: &[&str]) -> Result<(), ConfigError> {
        match self.values.into_keys().next() {
            None => Ok(()),
            Some(key) => Err(ConfigError::UnknownKey {
                file: self.file,
                section: self.name.to_owned(),
                key,
                known: known.join(", "),
            }),
        }
    }
}

/// A key that stands twice in a section, of which the parser would keep the last in silence.
fn repeated_key(text: &str, section: &str) -> Option<String> {
    let mut inside = false;
    let mut seen = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            inside = header.strip_suffix(']').is_some_and(|header| header.trim() == section);
        } else if inside && !line.starts_with(['#', ';']) {
            let key = line.split(['=', ':']).next().unwrap_or("").trim().to_lowercase();
            if !key.is_empty() && !seen.insert(key.clone()) {
                return Some(key);
            }
        }
    }
    None
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if value.len() >= 2 && value.starts_with(quote) && value.ends_with(quote) {
            return &value[1..value.len() - 1];
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_stand_once_in_a_section() {
        let text = "[a]\nx = 1\n; x = 2\n[b]\nx = 3\ny: 4\n";
        for section in ["a", "b"] {
            assert!(Section::parse("f.ini", text, section).is_ok());
        }
        let twice = format!("{text}X=5\n");
        assert!(Section::parse("f.ini", &twice, "a").is_ok());
        let error = Section::parse("f.ini", &twice, "b").err().expect("is refused").to_string();
        assert_eq!(error, "f.ini: not a valid INI file: key 'x' stands twice in section [b]");
    }
}
