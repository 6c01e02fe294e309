use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

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

/// What others wrote must not steer the terminal: characters that control it, that turn the direction
/// of text or that cannot be seen become `\uXXXX`, which in JSON says the same.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(shown, "\\u{unit:04x}").expect("a String takes all");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether stdout is read by a person.
pub(crate) fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

// Unicode's controls, its bidirectional formatting, line separators, annotations and tags.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A moment for people; `-` if there is none.
pub(crate) fn when(ms: Option<i64>) -> String {
    ms.map_or_else(
        || "-".to_owned(),
        |ms| Timestamp::from_millis(ms).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_made_visible() {
        assert_eq!(
            visible("a\u{1b}[2J\u{9b}b\u{202e}c\u{2066}\u{e0041}\n\u{7f}"),
            r"a\u001b[2J\u009bb\u202ec\u2066\udb40\udc41\u000a\u007f"
        );
        let plain = "é ‍👨‍👩 עברית \\ \"";
        assert_eq!(visible(plain), plain);
    }
}
