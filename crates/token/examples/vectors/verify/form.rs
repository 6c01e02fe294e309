#![expect(clippy::too_many_lines, reason = "lists of cases")]

use hexline_token::jws::sign_unchecked;
use serde_json::json;

use super::{HEADER, List, claims_of, forge, signed, unused_bits, with};
use crate::keys::Key;

pub(super) fn form(list: &mut List) {
    let good = with(&json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let bad = "token_malformed";
    list.valid("a good token", good.clone());
    list.refused("an empty text", String::new(), bad);
    list.refused("one part", parts[1].to_owned(), bad);
    list.refused("two parts", format!("{}.{}", parts[0], parts[1]), bad);
    list.refused("four parts", format!("{good}.{}", parts[2]), bad);
    list.refused(
        "five parts, as encrypted tokens have",
        format!("{good}.."),
        bad,
    );
    list.refused("white space at the end", format!("{good}\n"), bad);
    list.refused("padding", format!("{good}="), bad);
    list.refused(
        "the alphabet of plain base64",
        format!("{}.{}.+{}", parts[0], parts[1], &parts[2][1..]),
        bad,
    );
    list.refused("unused bits that are not zero", unused_bits(&good), bad);
    list.refused(
        "the JSON serialisation",
        format!(r#"{{"payload":"{}"}}"#, parts[1]),
        bad,
    );
    list.refused(
        "a header that is no JSON",
        forge("hs256", "alg=HS256", &claims_of("hs256", &json!({}))),
        bad,
    );
    list.refused(
        "a header that is no object",
        forge("hs256", "\"HS256\"", &claims_of("hs256", &json!({}))),
        bad,
    );
    list.refused("claims that are no JSON", signed("iss=b234"), bad);
    list.refused("claims that are no object", signed("[]"), bad);
    list.refused(
        "claims followed by something",
        signed(&format!("{}x", claims_of("hs256", &json!({})))),
        bad,
    );
    list.valid("white space in the JSON", {
        let claims = claims_of("hs256", &json!({}))
            .replace(':', " :\t")
            .replace("http :\t//localhost :\t", "http://localhost:");
        forge("hs256", "{ \"alg\" : \"HS256\" }\r\n", &claims)
    });
    let duplicate = claims_of("hs256", &json!({})).replacen('{', "{\"sub\":\"bob/web1\",", 1);
    list.refused("a claim twice", signed(&duplicate), bad);
    let escaped = claims_of("hs256", &json!({})).replacen('{', "{\"s\\u0075b\":\"bob/web1\",", 1);
    list.refused(
        "a claim twice, once with an escape in its name",
        signed(&escaped),
        bad,
    );
    let deep = claims_of("hs256", &json!({})).replacen('{', "{\"profile\":[{\"a\":1,\"a\":2}],", 1);
    list.refused("a member twice deep inside the profile", signed(&deep), bad);
    list.refused(
        "a header member twice",
        forge(
            "hs256",
            r#"{"alg":"HS256","alg":"HS256"}"#,
            &claims_of("hs256", &json!({})),
        ),
        bad,
    );
    let levels = |n: usize| {
        let profile = format!("{}{}", "[".repeat(n), "]".repeat(n));
        signed(&claims_of("hs256", &json!({})).replacen(
            '{',
            &format!("{{\"profile\":{profile},"),
            1,
        ))
    };
    list.valid("16 levels", levels(15));
    list.refused("17 levels", levels(16), bad);
    let filled = |n: usize| with(&json!({"profile": "x".repeat(n)}));
    let room = (0..6144)
        .rev()
        .find(|n| filled(*n).len() <= 8192)
        .expect("fits");
    list.valid("as long as a token may be", filled(room));
    list.refused("more than 8192 bytes", filled(room + 2), bad);
    let raw = |profile: &str| {
        signed(&claims_of("hs256", &json!({})).replacen(
            '{',
            &format!("{{\"profile\":{profile},"),
            1,
        ))
    };
    list.refused("half of a surrogate pair", raw(r#""\ud83d""#), bad);
    list.valid("a whole surrogate pair, escaped", raw(r#""\ud83d\ude00""#));
    list.refused("a control character in a string", raw("\"\t\""), bad);
    list.refused("a number with a leading zero", raw("01"), bad);
    list.refused("NaN", raw("NaN"), bad);
    list.refused(
        "bytes that are not UTF-8",
        {
            let mut claims = claims_of("hs256", &json!({"profile": "?"})).into_bytes();
            let at = claims.iter().position(|b| *b == b'?').expect("there");
            claims[at] = 0xff;
            sign_unchecked(HEADER, &claims, &Key::of("hs256").private()).expect("signs")
        },
        bad,
    );
    let header = |header: &str| forge("hs256", header, &claims_of("hs256", &json!({})));
    list.refused(
        "crit",
        header(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#),
        bad,
    );
    list.refused("an empty crit", header(r#"{"alg":"HS256","crit":[]}"#), bad);
    list.refused("b64", header(r#"{"alg":"HS256","b64":true}"#), bad);
    list.valid("no typ", header(r#"{"alg":"HS256"}"#));
    list.valid(
        "typ in lower case",
        header(r#"{"alg":"HS256","typ":"jwt"}"#),
    );
    list.refused(
        "another typ",
        header(r#"{"alg":"HS256","typ":"at+jwt"}"#),
        bad,
    );
    list.refused(
        "a typ that is no string",
        header(r#"{"alg":"HS256","typ":null}"#),
        bad,
    );
    list.refused(
        "a kid that is no string",
        header(r#"{"alg":"HS256","kid":1}"#),
        bad,
    );
    list.valid(
        "members of the header that nobody knows",
        header(r#"{"alg":"HS256","x":{"y":[1]}}"#),
    );
    list.refused("no iss", with(&json!({"iss": null})), bad);
    list.refused("an iss that is no string", with(&json!({"iss": 1})), bad);
    list.refused("zip", header(r#"{"alg":"HS256","zip":"DEF"}"#), bad);
    list.refused(
        "a token in a token",
        header(r#"{"alg":"HS256","cty":"JWT"}"#),
        bad,
    );
    list.refused(
        "a token in a token, in lower case",
        header(r#"{"alg":"HS256","cty":"jwt"}"#),
        bad,
    );
    list.valid("another cty", header(r#"{"alg":"HS256","cty":"json"}"#));
}
