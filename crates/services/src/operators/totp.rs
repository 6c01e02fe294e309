//! One-time codes of an authenticator app: RFC 6238 with what every such app understands, SHA-1,
//! six digits and thirty seconds.

use aws_lc_rs::{constant_time, hmac};
use hexline_model::{Entropy, Secret, Timestamp};

use super::operator::Email;

/// What the authenticator app and the server share.
pub(super) struct TotpSecret(Secret<Vec<u8>>);

impl TotpSecret {
    pub(super) fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Secret::new(vec![0; SECRET_BYTES]);
        entropy.fill(bytes.expose_mut());
        Self(bytes)
    }

    /// As it was kept.
    pub(super) fn from_base32(text: &str) -> Option<Self> {
        from_base32(text).map(|bytes| Self(Secret::new(bytes)))
    }

    /// To keep it, and for who has no camera.
    pub(super) fn base32(&self) -> Secret<String> {
        Secret::new(to_base32(self.0.expose()))
    }

    /// What the picture says to the authenticator app.
    pub(super) fn uri(&self, email: &Email) -> Secret<String> {
        let account: String = email.as_str().bytes().map(percent).collect();
        let secret = self.base32();
        Secret::new(format!(
            "otpauth://totp/Hexline:{account}?secret={}&issuer=Hexline&algorithm=SHA1&digits=6&period=30",
            secret.expose()
        ))
    }

    /// The step that a code belongs to: this one, the one before or the one after.
    pub(super) fn step_of(&self, code: &str, now: Timestamp) -> Option<i64> {
        let current = now.as_secs().div_euclid(PERIOD_S);
        let mut found = None;
        for step in [current - 1, current, current + 1] {
            let expected = self.code(step);
            let fits = constant_time::verify_slices_are_equal(expected.as_bytes(), code.as_bytes());
            if fits.is_ok() {
                found = Some(step);
            }
        }
        found
    }

    pub(super) fn code(&self, step: i64) -> String {
        let number = self.truncated(step) % 1_000_000;
        format!("{number:06}")
    }

    fn truncated(&self, step: i64) -> u32 {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.0.expose());
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag[tag.len() - 1] & 15);
        let word = tag[offset..offset + 4].try_into();
        u32::from_be_bytes(word.expect("four bytes")) & 0x7fff_ffff
    }
}

/// A code that works once without the authenticator app: 80 bits, in groups that can be read.
pub(super) fn recovery_code(entropy: &dyn Entropy) -> Secret<String> {
    let mut bytes = Secret::new(vec![0; 10]);
    entropy.fill(bytes.expose_mut());
    let text = to_base32(bytes.expose()).to_lowercase();
    Secret::new(format!(
        "{}-{}-{}-{}",
        &text[..4],
        &text[4..8],
        &text[8..12],
        &text[12..]
    ))
}

/// A code without what people put between its digits.
pub(super) fn tidied(code: &str) -> String {
    let kept = code.chars().filter(|c| !c.is_whitespace() && *c != '-');
    kept.take(MAX_CODE).flat_map(char::to_lowercase).collect()
}

fn percent(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

fn to_base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(held >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(held << (5 - bits) & 31) as usize]));
    }
    text
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut held, mut bits) = (0u32, 0);
    for c in text.bytes() {
        let value = ALPHABET.iter().position(|letter| *letter == c)?;
        held = held << 5 | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 255).ok()?);
        }
    }
    Some(bytes)
}

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_BYTES: usize = 20;
const PERIOD_S: i64 = 30;

/// Longer than any code.
const MAX_CODE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6238, appendix B, with six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = TotpSecret(Secret::new(b"12345678901234567890".to_vec()));
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret.code(seconds / 30), code);
            let now = Timestamp::from_secs(seconds);
            assert_eq!(secret.step_of(code, now), Some(seconds / 30));
        }
    }

    #[test]
    fn a_code_is_good_one_step_before_and_after() {
        let secret = TotpSecret(Secret::new(b"12345678901234567890".to_vec()));
        let now = Timestamp::from_secs(3000);
        for (step, good) in [
            (98, false),
            (99, true),
            (100, true),
            (101, true),
            (102, false),
        ] {
            let found = secret.step_of(&secret.code(step), now);
            assert_eq!(found, good.then_some(step));
        }
        assert_eq!(secret.step_of("", now), None);
        assert_eq!(secret.step_of("00000000", now), None);
    }

    // RFC 4648, section 10.
    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(to_base32(bytes.as_bytes()), text);
            assert_eq!(from_base32(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(from_base32("m1"), None);
    }

    #[test]
    fn a_code_may_be_typed_with_spaces_and_hyphens() {
        assert_eq!(tidied(" 123 456 "), "123456");
        assert_eq!(tidied("ABCD-efgh"), "abcdefgh");
    }
}
