use base64_simd::URL_SAFE_NO_PAD;

/// Appends the bytes that a text stands for; `None` unless it is their one canonical spelling:
/// the URL-safe alphabet, no padding, no white space, unused bits zero (RFC 7515 §2).
pub(crate) fn decode_into(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    URL_SAFE_NO_PAD.decode_append(text, bytes).ok()
}

/// The bytes that a text stands for, as in [`decode_into`].
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

pub(crate) fn encode_into(bytes: &[u8], text: &mut String) {
    URL_SAFE_NO_PAD.encode_append(bytes, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_taken() {
        assert_eq!(decode("_-8"), Some(vec![0xff, 0xef]));
        for bad in [
            "_-8=", "_-9", "/+8", "_-8\n", " _-8", "_", "_-8_-", "_\u{e9}8",
        ] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
