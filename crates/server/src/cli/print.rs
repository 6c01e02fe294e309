use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use hexline_model::Timestamp;
use serde::Serialize;

use super::exit::CliError;

/// Writes to stdout and makes sure that it left.
pub(crate) fn text(text: &str) -> Result<(), CliError> {
    match once(text) {
        // Whoever closed the pipe has read enough.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::failed(format!("cannot write to stdout: {e}")))
        }
        _ => Ok(()),
    }
}

/// Writes to stdout what cannot be had again, such as a secret: whoever closed the pipe early has
/// lost it, and the caller says what to do.
pub(crate) fn once(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{text}{newline}")?;
    out.flush()
}

/// Writes one JSON value on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    text(&to_json(value))
}

/// A JSON value on one line.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what we print is JSON")
}

/// A table without lines.
pub(crate) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().copied());
    table
}

/// The table as text, without the space at the ends of lines.
pub(crate) fn lines(table: &Table) -> String {
    let lines = table.lines();
    lines
        .map(|line| line.trim().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A moment for people; `-` if there is none.
pub(crate) fn when(ms: Option<i64>) -> String {
    ms.map_or_else(
        || "-".to_owned(),
        |ms| Timestamp::from_millis(ms).to_string(),
    )
}
