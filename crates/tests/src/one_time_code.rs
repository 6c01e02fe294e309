use aws_lc_rs::hmac;

use crate::app::now;

/// The code of an authenticator app so many steps from now.
pub fn one_time_code(secret: &str, ahead: i64) -> String {
    let step = now().div_euclid(30) + ahead;
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u64, 0);
    for c in secret.bytes() {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
            .iter()
            .position(|letter| *letter == c)
            .expect("base32");
        held = (held << 5 | value as u64) & 0xffff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let word = u32::from_be_bytes(tag[at..at + 4].try_into().expect("four")) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}
