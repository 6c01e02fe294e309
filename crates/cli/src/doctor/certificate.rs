use hexline_model::Timestamp;

/// When an X.509 certificate ends to be valid; `None` if the bytes are no certificate.
///
/// Reads just as much DER as it takes to get there: `Certificate { tbsCertificate { [0] version,
/// serialNumber, signature, issuer, validity { notBefore, notAfter } … } … }`, RFC 5280 §4.1.
pub(super) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest, VERSION)?.1;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        rest = element(rest, tag)?.1;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, rest) = element(validity, *validity.first()?)?;
    let tag = *rest.first()?;
    let (text, _) = element(rest, tag)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

// The content of the element that starts here, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        length @ 0..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                bytes
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte)),
                rest,
            )
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}

// UTCTime `YYMMDDHHMMSSZ`, where 50 and above mean 19YY, or GeneralizedTime `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let digits = text
        .strip_suffix('Z')
        .filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i64 = digits[..2].parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                &digits[2..],
            )
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    // A civil date to days since the epoch, counted in years that start on 1 March.
    let shifted = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted.div_euclid(4) - shifted.div_euclid(100)
        + shifted.div_euclid(400)
        + day_of_year
        - 719_468;
    Some(Timestamp::from_secs(
        days * 86_400 + part(4)? * 3600 + part(6)? * 60 + part(8)?,
    ))
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_time_are_read() {
        for (tag, text, shown) in [
            (UTC_TIME, "260301000000Z", "2026-03-01T00:00:00.000Z"),
            (UTC_TIME, "491231235959Z", "2049-12-31T23:59:59.000Z"),
            (UTC_TIME, "500101000000Z", "1950-01-01T00:00:00.000Z"),
            (
                GENERALIZED_TIME,
                "20500228120000Z",
                "2050-02-28T12:00:00.000Z",
            ),
        ] {
            assert_eq!(
                time(tag, text).map(|at| at.to_string()).as_deref(),
                Some(shown)
            );
        }
        assert_eq!(time(UTC_TIME, "20500228120000Z"), None);
        assert_eq!(time(UTC_TIME, "2601010000é0Z"), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for der in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x03\x30\x01\x02",
        ] {
            assert_eq!(not_after(der), None);
        }
    }
}
