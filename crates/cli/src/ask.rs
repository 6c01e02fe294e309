//! Reading what a person gives a command: spans, moments, files, stdin.

use std::io::{BufRead as _, IsTerminal as _, Read};
use std::path::Path;
use std::time::Duration;

use hexline_model::{SystemClock, Timestamp};
use hexline_server::config::parse_span;
use hexline_token::Grants;

use super::exit::CliError;

/// A span with a unit, or whole seconds.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_secs)
        .ok()
        .or_else(|| parse_span(text))
        .ok_or_else(|| {
            format!("expected seconds or a span such as 90s, 15m, 24h, 30d, found '{text}'")
        })
}

/// A moment: Unix seconds, or so long from now (`+30d`) or ago (`-1h`), or `now`.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    let now = SystemClock::new().now();
    let wrong =
        || format!("expected Unix seconds, 'now', or a span from now such as +30d, found '{text}'");
    if text == "now" {
        return Ok(now);
    }
    if let Some(ahead) = text.strip_prefix('+') {
        return parse_span(ahead)
            .map(|span| now.plus(span))
            .ok_or_else(wrong);
    }
    if let Some(span) = text.strip_prefix('-').and_then(parse_span) {
        return Ok(now.minus(span));
    }
    text.parse().map(Timestamp::from_secs).map_err(|_| wrong())
}

/// A key's ceiling. Its text is passed on as it was typed: parsed JSON would have lost a member
/// that is there twice.
pub(crate) fn ceiling(text: &str) -> Result<String, String> {
    Grants::parse_ceiling(text)
        .map(|_| text.to_owned())
        .map_err(|e| e.to_string())
}

/// Whether a file is to be read from stdin.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// A file's text, or stdin's for `-`; at most 1 MiB.
pub(crate) fn file(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if is_stdin(path) {
        std::io::stdin()
            .lock()
            .take(MAX_FILE)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
    };
    let shown = if is_stdin(path) {
        "stdin".into()
    } else {
        path.to_string_lossy()
    };
    match read {
        Ok(length) if length as u64 == MAX_FILE => Err(CliError::usage(format!(
            "{shown} has more than {MAX_FILE} bytes"
        ))),
        Ok(_) => Ok(text),
        Err(e) => Err(CliError::usage(format!("cannot read {shown}: {e}"))),
    }
}

/// A secret's text, from a file or stdin: the first line, without its end.
pub(crate) fn secret(path: &Path) -> Result<String, CliError> {
    let text = file(path)?;
    let line = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('\r')
        .to_owned();
    if line.is_empty() {
        let shown = if is_stdin(path) {
            "stdin".into()
        } else {
            path.to_string_lossy()
        };
        return Err(CliError::usage(format!(
            "{shown} holds no secret: its first line is empty"
        )));
    }
    Ok(line)
}

/// What a person types to confirm what cannot be undone; only a terminal is asked.
pub(crate) fn confirmation(question: &str) -> Result<String, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage(
            "this cannot be undone: give --confirm NAME or --yes",
        ));
    }
    eprint!("{question}");
    line()
}

/// What a person types on a line.
fn line() -> Result<String, CliError> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .take(1024)
        .read_line(&mut line)
        .map_err(|e| CliError::usage(format!("cannot read the answer: {e}")))?;
    Ok(line.trim().to_owned())
}

/// Asks whether to go on. Where nobody can be asked it fails with `unasked`.
pub(crate) fn agreement(question: &str, unasked: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage(unasked));
    }
    eprint!("{question} [y/N] ");
    let answer = line()?.to_ascii_lowercase();
    Ok(answer == "y" || answer == "yes")
}

/// A token given as an argument; `-` reads it from stdin.
pub(crate) fn token(argument: &str) -> Result<String, CliError> {
    if argument != STDIN {
        return Ok(argument.trim().to_owned());
    }
    Ok(file(Path::new(STDIN))?.trim().to_owned())
}

/// Stands for stdin.
pub(crate) const STDIN: &str = "-";

const MAX_FILE: u64 = 1 << 20;
