//! Tables as comma-separated values.

use crate::{Row, RowFailure, SweepError, Table, Value};

impl Table {
    /// The table as comma-separated values: `index`, the parameters, `status`, the outputs, `error`.
    ///
    /// Doubles have the shortest digits that give them back to the last bit, `NaN` and `inf` are spelled
    /// out, what a row does not have is empty, and texts that look like numbers are in quotation marks.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let name = |name: &String| Value::Text(name.clone()).to_cell();
        let mut header = vec!["index".to_owned()];
        header.extend(self.parameters().iter().map(name));
        header.push("status".to_owned());
        header.extend(self.outputs().iter().map(name));
        header.push("error".to_owned());
        let mut csv = header.join(",");
        csv.push('\n');
        for row in self.rows() {
            let mut cells = vec![row.index.to_string()];
            cells.extend(row.parameters.iter().map(Value::to_cell));
            cells.push(Value::from(row.status()).to_cell());
            let output = |name: &String| row.output(name).map_or_else(String::new, Value::to_cell);
            cells.extend(self.outputs().iter().map(output));
            cells.push(match &row.outcome {
                Err(failure) if !failure.message.is_empty() => {
                    Value::from(failure.message.as_str()).to_cell()
                }
                _ => String::new(),
            });
            csv += &cells.join(",");
            csv.push('\n');
        }
        csv
    }

    /// Reads what [`to_csv`](Self::to_csv) wrote.
    ///
    /// # Errors
    ///
    /// [`SweepError::Table`] with the line that is none of such a table.
    pub fn from_csv(text: &str) -> Result<Self, SweepError> {
        let mut records = csv_records(text)?.into_iter();
        let fail = |line: usize, reason: String| SweepError::Table { line, reason };
        let (_, header) = records.next().ok_or_else(|| fail(1, "it is empty".to_owned()))?;
        let header: Vec<String> = header
            .iter()
            .map(|cell| Value::from_cell(cell).map_or_else(String::new, |name| name.to_string()))
            .collect();
        let status_at = header.iter().position(|name| name == "status");
        let (Some(status_at), Some("index"), Some("error")) =
            (status_at, header.first().map(String::as_str), header.last().map(String::as_str))
        else {
            let what = "its columns are not index, parameters, status, outputs, error";
            return Err(fail(1, what.to_owned()));
        };
        let mut rows = Vec::new();
        for (line, cells) in records {
            if cells.len() != header.len() {
                let (has, of) = (cells.len(), header.len());
                return Err(fail(line, format!("it has {has} cells for {of} columns")));
            }
            let index = cells[0].parse().map_err(|_| {
                fail(line, format!("its index is '{}', which is no number", cells[0]))
            })?;
            let value = |cell: &String| {
                let empty = || {
                    fail(line, "a value is missing or its quotation marks do not match".to_owned())
                };
                Value::from_cell(cell).ok_or_else(empty)
            };
            let parameters = cells[1..status_at].iter().map(value).collect::<Result<_, _>>()?;
            let kind = value(&cells[status_at])?.to_string();
            let outcome = if kind == "ok" {
                let last = cells.len() - 1;
                let there = (status_at + 1..last).filter(|at| !cells[*at].is_empty());
                let output = |at: usize| Ok((header[at].clone(), value(&cells[at])?));
                Ok(there.map(output).collect::<Result<_, SweepError>>()?)
            } else {
                let last = cells.last().filter(|cell| !cell.is_empty());
                let message = last.map(value).transpose()?.map(|value| value.to_string());
                Err(RowFailure { kind, message: message.unwrap_or_default(), worker: None })
            };
            rows.push(Row { index, parameters, outcome });
        }
        let mut table = Self::new(header[1..status_at].to_vec(), rows)?;
        // Also those that no row has.
        table.outputs = header[status_at + 1..header.len() - 1].to_vec();
        Ok(table)
    }
}

/// The cells of each line as they are written, with quotation marks, and the number of the line. A text
/// may go over several.
///
/// # Errors
///
/// [`SweepError::Table`] when the last line has no end, or is in quotation marks that have none.
pub fn csv_records(text: &str) -> Result<Vec<(usize, Vec<String>)>, SweepError> {
    let mut records = Vec::new();
    let (mut cells, mut cell) = (Vec::new(), String::new());
    let (mut line, mut begun, mut quoted) = (1, 1, false);
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                cell.push(c);
            }
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                if cell.ends_with('\r') {
                    cell.pop();
                }
                cells.push(std::mem::take(&mut cell));
                records.push((begun, std::mem::take(&mut cells)));
                line += 1;
                begun = line;
            }
            _ => {
                line += usize::from(c == '\n');
                cell.push(c);
            }
        }
    }
    if quoted || !cell.is_empty() || !cells.is_empty() {
        let reason = "it was cut off".to_owned();
        return Err(SweepError::Table { line: begun, reason });
    }
    Ok(records)
}
