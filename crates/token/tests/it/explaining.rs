use hexline_model::Timestamp;
use hexline_token::jws::sign_unchecked;
use hexline_token::{
    Access, Audiences, Grants, Outcome, Reason, Rules, Service, SingleKey, TokenBuilder, explain,
    explain_offline, verify,
};

use crate::keys::Key;

const NOW: Timestamp = Timestamp::from_secs(1_490_479_599);

fn builder() -> TokenBuilder {
    Key::of("hs256")
        .sign(TokenBuilder::create())
        .identity("alice")
        .device("web1")
        .grant("signal", true)
}

fn rules() -> Rules {
    Rules::new(Audiences::new(["http://localhost:8000"]))
}

fn registry() -> SingleKey {
    let key = Key::of("hs256");
    SingleKey::new(key.id, key.private().verifying_key(), rules())
}

fn outcomes(checks: &[hexline_token::Check]) -> String {
    checks
        .iter()
        .map(|check| match check.outcome {
            Outcome::Pass => 'p',
            Outcome::Fail => 'F',
            Outcome::NotReached => '-',
        })
        .collect()
}

#[test]
fn one_key_at_hand_leaves_only_revocations_out() {
    let token = builder().build_at(NOW).expect("builds");
    let explanation = explain(&token, None, &registry(), Service::Signal, NOW);
    assert_eq!(outcomes(&explanation.checks), "ppppppp-p");
    assert_eq!(explanation.access, Access::Client);
    assert_eq!(
        explanation.expires,
        Some(Timestamp::from_secs(1_490_479_599 + 3600))
    );
    let refused = explain(&token, None, &registry(), Service::Chat, NOW);
    assert_eq!(outcomes(&refused.checks), "ppppppp-F");
    assert_eq!(refused.reason(), Some(Reason::GrantMissing));
    let narrow = registry().ceiling(Grants::parse(r#"{"chat":true}"#).expect("valid"));
    assert_eq!(
        outcomes(&explain(&token, None, &narrow, Service::Signal, NOW).checks),
        "ppppppp-F"
    );
}

#[test]
fn without_keys_the_rows_that_need_none_are_run() {
    let token = builder().build_at(NOW).expect("builds");
    let explanation = explain_offline(&token, None, &rules(), None, NOW);
    assert_eq!(outcomes(&explanation.checks), "p---ppp--");
    let later = Timestamp::from_secs(1_590_479_599);
    let explanation = explain_offline(&token, None, &rules(), None, later);
    assert_eq!(outcomes(&explanation.checks), "p---pF---");
    assert_eq!(explanation.reason(), Some(Reason::TokenExpired));
    let any = Rules::new(Audiences::any_base());
    let elsewhere = builder().env("dev").build_at(NOW).expect("builds");
    assert_eq!(
        outcomes(&explain_offline(&elsewhere, None, &any, None, NOW).checks),
        "p----pp--",
        "whose audience it is, nobody can say"
    );
    assert_eq!(
        outcomes(&explain_offline(&elsewhere, None, &rules(), None, NOW).checks),
        "p---F----"
    );
    let base = builder().aud("http://localhost:8000").build_at(NOW);
    let base = base.expect("builds");
    assert_eq!(
        outcomes(&explain_offline(&base, None, &any, None, NOW).checks),
        "p---F----"
    );
}

#[test]
fn the_first_failure_ends_the_explanation() {
    let token = Key::of("other")
        .sign(TokenBuilder::create())
        .identity("a")
        .device("b");
    let token = token.build_at(NOW).expect("builds");
    let explanation = explain(&token, None, &registry(), None, NOW);
    assert_eq!(outcomes(&explanation.checks), "pF-------");
    let check = explanation.failure().expect("failed");
    assert_eq!(
        (check.number, check.name, check.reason),
        (2, "key", Some(Reason::KeyUnknown))
    );
    assert_eq!(check.found, r#"iss "ffffffffffffffffffffffffffffffff""#);
    assert_eq!(
        outcomes(&explain("x", None, &registry(), None, NOW).checks),
        "F--------"
    );
}

#[test]
fn a_malformed_token_still_shows_what_can_be_read() {
    let token = builder().build_at(NOW).expect("builds");
    let explanation = explain(&format!("{token}="), None, &registry(), None, NOW);
    assert_eq!(explanation.reason(), Some(Reason::TokenMalformed));
    let header = explanation.header.expect("readable");
    assert_eq!(header.get(), r#"{"typ":"JWT","alg":"HS256"}"#);
    assert!(explanation.claims.is_some());
}

#[test]
fn the_kind_of_token_is_told_by_its_look() {
    let platform = builder().access("platform").build_at(NOW).expect("builds");
    let explanation = explain(&platform, None, &registry(), None, NOW);
    assert_eq!(explanation.access, Access::Platform);
    assert_eq!(explanation.reason(), None);
    let explanation = explain(&platform, Access::Client, &registry(), None, NOW);
    assert_eq!(explanation.reason(), Some(Reason::AudienceMismatch));
}

#[test]
fn of_several_audiences_the_first_of_ours_tells_the_kind_of_token() {
    let claims = |aud: &str, rest: &str| {
        let key = Key::of("hs256");
        let claims = format!(
            r#"{{"aud":{aud},"iss":"{}","iat":1490479599,"exp":1490483199{rest}}}"#,
            key.id
        );
        sign_unchecked(r#"{"alg":"HS256"}"#, claims.as_bytes(), &key.private()).expect("signs")
    };
    let (user, server) = (r#","sub":"alice/web1""#, "");
    for (aud, rest, access) in [
        (
            r#"["https://else.example/platform/v1","http://localhost:8000/client/v1"]"#,
            user,
            Access::Client,
        ),
        (
            r#"["https://else.example/client/v1","http://localhost:8000/platform/v1"]"#,
            server,
            Access::Platform,
        ),
        (
            r#"["https://else.example","http://localhost:8000/platform"]"#,
            server,
            Access::Platform,
        ),
    ] {
        let token = claims(aud, rest);
        let refusal = verify(&token, access, &registry(), NOW).err();
        assert_eq!(refusal, None, "{aud}");
        let explanation = explain(&token, None, &registry(), None, NOW);
        assert_eq!((explanation.access, explanation.reason()), (access, None));
        let offline = explain_offline(&token, None, &rules(), None, NOW);
        assert_eq!((offline.access, offline.reason()), (access, None), "{aud}");
        let any = Rules::new(Audiences::any_base());
        let anywhere = explain_offline(&token, None, &any, None, NOW);
        assert_eq!(anywhere.reason(), None, "{aud}");
    }
    let elsewhere = claims(
        r#"["https://a.example","https://b.example/platform"]"#,
        user,
    );
    let explanation = explain(&elsewhere, None, &registry(), None, NOW);
    assert_eq!(explanation.access, Access::Platform, "as it looks");
}

#[test]
fn without_a_server_in_mind_other_servers_doors_are_not_held_against_a_token() {
    let any = Rules::new(Audiences::any_base());
    let token = |aud: &str| {
        let claims =
            format!(r#"{{"aud":{aud},"sub":"a/b","iss":"k","iat":1490479599,"exp":1490483199}}"#);
        let key = Key::of("hs256").private();
        sign_unchecked(r#"{"alg":"HS256"}"#, claims.as_bytes(), &key).expect("signs")
    };
    let two = token(r#"["https://a.example/client/v1","https://b.example/platform/v1"]"#);
    assert_eq!(explain_offline(&two, None, &any, None, NOW).reason(), None);
    let one = token(r#"["https://a.example/client/v1","https://a.example/platform/v1"]"#);
    assert_eq!(
        explain_offline(&one, None, &any, None, NOW).reason(),
        Some(Reason::ClaimInvalid)
    );
}

#[test]
fn an_explanation_is_written_as_json() {
    let token = builder().build_at(NOW).expect("builds");
    let json = serde_json::to_value(explain(&token, None, &registry(), None, NOW)).expect("writes");
    assert_eq!(json["access"], "client");
    assert_eq!(json["expires"], "2017-03-25T23:06:39.000Z");
    assert_eq!(json["claims"]["sub"], "alice/web1");
    assert_eq!(json["checks"][0]["outcome"], "pass");
    assert_eq!(json["checks"][7]["outcome"], "not_reached");
}
