//! What commands print: columns for people, JSON for programs.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::OutputFormat;

/// Rows with the same columns.
pub(super) struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    pub(super) fn print(self, output: OutputFormat) {
        match output {
            OutputFormat::Json => println!("{}", self.into_json()),
            OutputFormat::Text => print!("{}", self.into_text()),
        }
    }

    fn into_json(self) -> Value {
        let object = |row: Vec<Value>| self.columns.iter().map(|it| (*it).to_owned()).zip(row).collect::<Value>();
        self.rows.into_iter().map(object).collect()
    }

    fn into_text(self) -> String {
        let header = self.columns.iter().map(|column| column.to_uppercase()).collect::<Vec<_>>();
        let rows = self.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>());
        let lines: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
        let width = |column: usize| lines.iter().filter_map(|line| Some(line.get(column)?.chars().count())).max();
        let widths: Vec<_> = (0..self.columns.len()).map(|column| width(column).unwrap_or_default()).collect();
        let mut text = String::new();
        for line in &lines {
            let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How often people and logs are told how far something is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Tells on standard error how far something long is: one line that changes on a terminal, else lines in the log.
#[derive(Default)]
pub(super) struct Progress {
    last: Option<(Instant, String, u64)>,
}

impl Progress {
    /// Tells it, unless it is told already or was told just now and there is more to come.
    pub(super) fn tell(&mut self, what: String, done: u64, total: u64) {
        let is_new = match &self.last {
            Some((told, of, so_far)) if *of == what => {
                *so_far != done && (done >= total || told.elapsed() >= TELL_EVERY)
            }
            _ => true,
        };
        if !is_new {
            return;
        }
        if stderr().is_terminal() {
            self.end_line_unless_of(&what);
            let _ = write!(stderr(), "\r{what}: {done} of {total} rows");
        } else {
            tracing::info!(done, total, "{what}");
        }
        self.last = Some((Instant::now(), what, done));
    }

    fn end_line_unless_of(&self, what: &str) {
        if self.last.as_ref().is_some_and(|(_, of, _)| of != what) && stderr().is_terminal() {
            let _ = writeln!(stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end_line_unless_of("");
    }
}

/// A time as ISO 8601, in UTC.
pub(super) fn time(milliseconds: i64) -> Value {
    let format = time::format_description::well_known::Rfc3339;
    let time = time::OffsetDateTime::from_unix_timestamp(milliseconds / 1000).ok();
    time.and_then(|time| time.format(&format).ok()).map_or(Value::Null, Value::String)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["name", "role"]);
        table.push(vec![json!("ingestion"), json!("worker")]);
        table.push(vec![json!("ada"), Value::Null]);

        insta::assert_snapshot!(table.into_text(), @r"
        NAME       ROLE
        ingestion  worker
        ada        -
        ");
    }
}
