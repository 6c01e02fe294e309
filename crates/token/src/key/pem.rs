use base64_simd::STANDARD;
use zeroize::Zeroizing;

use super::KeyValidationError;

/// The one block of a PEM text (RFC 7468): its label and its bytes.
pub(super) fn read(text: &str) -> Result<(&str, Zeroizing<Vec<u8>>), KeyValidationError> {
    let begin = text
        .find(BEGIN)
        .ok_or_else(|| malformed("text without a BEGIN line"))?;
    let after = &text[begin + BEGIN.len()..];
    let (label, after) = after
        .split_once(DASHES)
        .ok_or_else(|| malformed("a broken BEGIN line"))?;
    let (body, after) = after
        .split_once("-----END ")
        .ok_or_else(|| malformed("text without an END line"))?;
    if !after
        .strip_prefix(label)
        .is_some_and(|rest| rest.starts_with(DASHES))
    {
        return Err(malformed("an END line that does not match its BEGIN line"));
    }
    if after.contains(BEGIN) {
        return Err(malformed("more than one block"));
    }
    if label.contains("ENCRYPTED") || body.contains("ENCRYPTED") {
        return Err(KeyValidationError::Encrypted);
    }
    let packed: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let bytes = STANDARD
        .decode_to_vec(packed.as_bytes())
        .map_err(|_| malformed("a block that is not base64"))?;
    Ok((label, Zeroizing::new(bytes)))
}

pub(super) fn write(label: &str, bytes: &[u8]) -> String {
    let packed = Zeroizing::new(STANDARD.encode_to_string(bytes));
    let mut text = format!("{BEGIN}{label}{DASHES}\n");
    let mut rest = packed.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str(DASHES);
    text.push('\n');
    text
}

fn malformed(found: &str) -> KeyValidationError {
    KeyValidationError::malformed(found, "one PEM block")
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";
