//! How a push becomes bytes: once, however many receive it.

use bytes::Bytes;
use serde::Serialize;

use crate::fields::Fields;
use crate::rows::PushRow;

/// A push of the kind `typed`.
pub(crate) fn typed(row: &PushRow, params: &impl Serialize) -> Bytes {
    let mut text = start(row, 120);
    serde_json::to_writer(&mut text, params).expect("params are plain data");
    text.push(b'}');
    text.into()
}

/// What a client wrote, with its true sender. `names` are members that were read as names: one that
/// was a number goes out as text.
pub(crate) fn relay(row: &PushRow, names: &[&str], fields: &Fields<'_>, from: &str) -> Bytes {
    let size: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.get().len() + 6)
        .sum();
    let mut push = open(row, size + from.len());
    for (n, (name, value)) in fields
        .iter()
        .filter(|(name, _)| *name != "from")
        .enumerate()
    {
        if n > 0 {
            push.push(b',');
        }
        push_string(&mut push, name);
        push.push(b':');
        let number = names.contains(&name) && !value.get().starts_with('"');
        if number {
            push.push(b'"');
        }
        push.extend_from_slice(value.get().as_bytes());
        if number {
            push.push(b'"');
        }
    }
    close(push, from)
}

/// What an app's server wrote, after one member that the server writes.
pub(crate) fn compose(
    row: &PushRow,
    (name, value): (&str, &str),
    fields: &Fields<'_>,
    from: &str,
) -> Bytes {
    let mut push = open(row, value.len() + from.len());
    push_string(&mut push, name);
    push.push(b':');
    push_string(&mut push, value);
    for (name, value) in fields.iter().filter(|(name, _)| *name != "from") {
        push.push(b',');
        push_string(&mut push, name);
        push.push(b':');
        push.extend_from_slice(value.get().as_bytes());
    }
    close(push, from)
}

/// A push up to its params.
fn start(row: &PushRow, size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size + 80);
    text.extend_from_slice(br#"{"jsonrpc":"2.0","method":""#);
    text.extend_from_slice(row.name.as_bytes());
    text.extend_from_slice(br#"","params":"#);
    text
}

/// A push up to the members of its params; there is always one before `from`.
fn open(row: &PushRow, size: usize) -> Vec<u8> {
    let mut text = start(row, size);
    text.push(b'{');
    text
}

fn close(mut push: Vec<u8>, from: &str) -> Bytes {
    push.extend_from_slice(b",\"from\":");
    push_string(&mut push, from);
    push.extend_from_slice(b"}}");
    push.into()
}

fn push_string(push: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(push, text).expect("a string is JSON, and memory takes all of it");
}
