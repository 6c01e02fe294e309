use std::time::Duration;

use toml::Value;

/// A duration with its unit: `500 ms`, `5 s`, `10 min`, `24 h`, `30 d`.
pub fn parse_span(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(ms).map(Duration::from_millis)
}

/// A number of bytes: `65536`, `64 KiB`, `1 MiB`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Whether every directive of a log filter is a level, or a target with one: the filter itself takes
/// any word for a target, and logs nothing at all if no target is called so.
pub(crate) fn is_log_filter(text: &str) -> bool {
    text.split(',').map(str::trim).all(|directive| {
        let level = match directive.rsplit_once('=') {
            Some((target, level)) if !target.trim().is_empty() => level,
            Some(_) => return false,
            None => directive,
        };
        LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known))
    })
}

/// A text from the environment or a flag, as the value that would stand in the file: `true` and
/// `false` and whole numbers are what they look like, everything else is text.
pub(crate) fn from_text(text: &str) -> Value {
    match text {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ => Value::String(text.to_owned()),
    }
}

/// How a value reads in an error.
pub(crate) fn shown(value: &Value, secret: bool) -> String {
    match value {
        _ if secret => format!("a {}", value.type_str()),
        Value::Table(_) => "a table".to_owned(),
        other => other.to_string(),
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.replace('_', "").parse().ok()?, unit.trim()))
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
