use super::*;

fn check(text: &str) -> Result<(), Flaw> {
    let mut reader = Reader::new(text);
    reader.skip()?;
    reader.end()
}

#[test]
fn it_takes_what_rfc_8259_takes() {
    for good in [
        "{}",
        "[]",
        " { \"a\" : [ 1 , -0.5e+3 , true , false , null , \"\\u00e9\\ud83d\\ude00\\/\" ] } ",
        "0",
        "-0",
        "1E5",
        "\"\u{7f}é\"",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
        assert!(
            serde_json::from_str::<serde_json::Value>(good).is_ok(),
            "{good}"
        );
    }
    for bad in [
        "",
        " ",
        "{",
        "}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "[1 2]",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "tru",
        "nul",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "{} {}",
        "'a'",
        "{a:1}",
        "NaN",
        "\u{feff}{}",
    ] {
        assert_eq!(check(bad), Err(Flaw::Syntax), "{bad}");
        assert!(
            serde_json::from_str::<serde_json::Value>(bad).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn a_member_twice_is_refused_however_it_is_spelt_and_however_deep() {
    for twice in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\u0061":1,"b":2,"a":3}"#,
        r#"{"\u0061":1,"b":2,"b":3}"#,
        r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#,
        r#"{"":1,"":2}"#,
    ] {
        assert!(matches!(check(twice), Err(Flaw::Duplicate(_))), "{twice}");
    }
    assert_eq!(
        check(r#"{"a":{"a":{"a":1}},"b":{"a":1},"c":[{"a":1},{"a":1}]}"#),
        Ok(())
    );
}

#[test]
fn a_member_twice_is_refused_among_many() {
    let mut members: Vec<String> = (0..500)
        .map(|n| format!("\"m{n}\":{{\"m{n}\":1}}"))
        .collect();
    assert_eq!(check(&format!("{{{}}}", members.join(","))), Ok(()));
    for again in [
        "\"m0\":1",
        "\"m11\":1",
        "\"m12\":1",
        "\"m499\":1",
        "\"\\u006d0\":1",
    ] {
        members.push(again.to_owned());
        let text = format!("{{{}}}", members.join(","));
        assert!(matches!(check(&text), Err(Flaw::Duplicate(_))), "{again}");
        members.pop();
    }
}

#[test]
fn sixteen_levels_are_the_limit() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(check(&nested(16)), Ok(()));
    assert_eq!(check(&nested(17)), Err(Flaw::TooDeep));
    let objects = format!("{}1{}", "{\"a\":".repeat(17), "}".repeat(17));
    assert_eq!(check(&objects), Err(Flaw::TooDeep));
}

#[test]
fn half_a_character_is_refused() {
    for half in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\n""#,
        r#""\ud800\ud800""#,
        r#""\ud83dx""#,
    ] {
        assert_eq!(check(half), Err(Flaw::LoneSurrogate), "{half}");
    }
}

#[test]
fn strings_unescape_as_the_general_reader_does() {
    for text in [
        r#""""#,
        r#""plain é""#,
        r#""\"\\\/\b\f\n\r\t\u0000\ud83d\ude00x\u00e9""#,
    ] {
        let ours = Reader::new(text).string().map(Cow::into_owned);
        assert_eq!(ours.ok(), serde_json::from_str(text).ok());
    }
}
