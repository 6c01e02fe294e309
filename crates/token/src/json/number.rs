use std::fmt::Write as _;

/// Writes a finite number as ECMAScript's `Number::toString` does (ECMA-262 §6.1.6.1.20); false,
/// with nothing written, if it is not finite.
pub(crate) fn write_number(value: f64, text: &mut String) -> bool {
    if !value.is_finite() {
        return false;
    }
    if value == 0.0 {
        text.push('0'); // -0 as well
        return true;
    }
    // Rust's `{:e}` gives the shortest digits that read back as the same number.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent
        .parse()
        .expect("an exponent of a double is a small integer");
    let mantissa = match mantissa.strip_prefix('-') {
        Some(rest) => {
            text.push('-');
            rest
        }
        None => mantissa,
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let count = i32::try_from(digits.len()).expect("a double has at most 17 digits");
    let point = exponent + 1; // 0.digits × 10^point
    if count <= point && point <= 21 {
        text.push_str(&digits);
        text.extend((count..point).map(|_| '0'));
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        text.push_str(whole);
        text.push('.');
        text.push_str(fraction);
    } else if -6 < point && point <= 0 {
        text.push_str("0.");
        text.extend((point..0).map(|_| '0'));
        text.push_str(&digits);
    } else {
        let (first, rest) = digits.split_at(1);
        text.push_str(first);
        if !rest.is_empty() {
            text.push('.');
            text.push_str(rest);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(text, "e{sign}{}", exponent.abs());
    }
    true
}

/// The number that JSON text of a number stands for; `None` beyond the range of a double.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    if bytes.len() <= 15 && bytes.iter().all(u8::is_ascii_digit) {
        let whole = bytes
            .iter()
            .fold(0_u64, |n, c| n * 10 + u64::from(c - b'0'));
        #[expect(clippy::cast_precision_loss, reason = "15 digits fit into 53 bits")]
        return Some(whole as f64);
    }
    text.parse::<f64>().ok().filter(|n| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_ecmascript_prints_them() {
        for (value, expected) in [
            (1.0, "1"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1.234_567_890_123_456_8e21, "1.2345678901234568e+21"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "1e-7"),
            (1.25e-9, "1.25e-9"),
            (0.000_012_5, "0.0000125"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (1_490_479_599.25, "1490479599.25"),
            (5e-7, "5e-7"),
            (4.35, "4.35"),
            (1e23, "1e+23"),
        ] {
            let mut text = String::new();
            assert!(write_number(value, &mut text));
            assert_eq!(text, expected);
        }
        assert!(!write_number(f64::NAN, &mut String::new()));
        assert!(!write_number(f64::INFINITY, &mut String::new()));
    }

    #[test]
    fn the_short_way_of_reading_agrees_with_the_long_one() {
        for text in [
            "0",
            "7",
            "1490479599",
            "999999999999999",
            "1e3",
            "-0",
            "0.5",
            "1490479599.25",
        ] {
            assert_eq!(parse_number(text), Some(text.parse().expect("a number")));
        }
        assert_eq!(parse_number("1e999"), None);
    }
}
