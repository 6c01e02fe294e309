use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hexline_model::Timestamp;
use hexline_token::{
    Access, Audiences, Claims, Grants, KeyEntry, KeySet, KeyStatus, MediaKind, Outcome,
    Permissions, PlatformArea, Reason, Registry, RevocationScope, RevokedBy, Rules, Service,
    VerifyingKey, explain, jws, kid_fits, verify,
};
use serde_json::Value;

use crate::build;
use crate::keys::KEYS;

/// Runs every case; what does not hold, in words.
pub(crate) fn failures(document: &Value) -> Vec<String> {
    let cases = document["cases"].as_array().expect("a list of cases");
    cases
        .iter()
        .filter_map(|case| {
            let failure = run(document, case).err()?;
            Some(format!(
                "case {} ({}): {failure}",
                case["number"], case["title"]
            ))
        })
        .collect()
}

fn run(document: &Value, case: &Value) -> Result<(), String> {
    match case["kind"].as_str().unwrap_or_default() {
        "build" => {
            let token = build::run(text(&case["key"]), millis(case), &case["calls"])?;
            let expected = text(&case["token"]);
            let same = if case["signature"] == "exact" {
                token == expected
            } else {
                token.rsplit_once('.').map(|p| p.0) == expected.rsplit_once('.').map(|p| p.0)
            };
            expect(same, "another token came out")?;
            signature_holds(text(&case["key"]), expected)
        }
        "build_refused" => {
            let token = build::run(text(&case["key"]), millis(case), &case["calls"]);
            expect(token.is_err(), "a token came out")
        }
        "verify" => verdict(document, case),
        "key" => {
            let validated = VerifyingKey::from_jwk(&case["jwk"].to_string());
            expect(
                validated.is_ok() == case["accepted"],
                &format!("{validated:?}"),
            )
        }
        "key_set" => {
            let validated = KeySet::parse(&case["jwks"].to_string());
            expect(
                validated.is_ok() == case["accepted"],
                &format!("{validated:?}"),
            )
        }
        "line" => {
            let verdict = jws::verify_line(&case["line"].to_string());
            expect(verdict.is_valid() == case["valid"], &verdict.to_string())
        }
        other => Err(format!("no such kind: {other}")),
    }
}

/// The sample token of a case that is built verifies with the key's public half.
fn signature_holds(key: &str, token: &str) -> Result<(), String> {
    let key = crate::keys::Key::of(key);
    let jwk = if key.algorithm.is_symmetric() {
        return Ok(());
    } else {
        key.jwk(None)
    };
    let line = serde_json::json!({"jwk": jwk, "jws": token}).to_string();
    expect(
        jws::verify_line(&line).is_valid(),
        "the sample's signature does not verify",
    )
}

fn verdict(document: &Value, case: &Value) -> Result<(), String> {
    let registry = CaseRegistry::new(&document["policy"], &case["policy"]);
    let token = text(&case["token"]);
    let access = Access::parse(text(&case["access"])).expect("an access");
    let now = Timestamp::from_millis(millis(case));
    let needs = case["needs"].as_str().and_then(Service::parse);
    let verified = verify(token, access, &registry, now);
    let found = match &verified {
        Err(rejection) => Some(rejection.reason),
        Ok(verified) => needs
            .and_then(|service| verified.permissions().may_use(service).err())
            .map(|rejection| rejection.reason),
    };
    let found = found.map(Reason::code);
    let expected = case["reason"].as_str();
    expect(
        found == expected,
        &format!("found {found:?}, expected {expected:?}"),
    )?;
    let explanation = explain(token, access, &registry, needs, now);
    let explained = explanation.reason().map(Reason::code);
    expect(
        explained == expected,
        &format!("explained {explained:?}, expected {expected:?}"),
    )?;
    let reached = explanation
        .checks
        .iter()
        .skip_while(|check| check.outcome == Outcome::Pass);
    expect(
        reached
            .skip(1)
            .all(|check| check.outcome == Outcome::NotReached),
        "a check after the first failure",
    )?;
    let Ok(verified) = verified else {
        return Ok(());
    };
    for ask in case["asks"].as_array().into_iter().flatten() {
        let answer = answer(&verified.permissions(), text(&ask[0]), text(&ask[1]));
        expect(answer == ask[2], &format!("{ask} was answered {answer}"))?;
    }
    Ok(())
}

fn answer(may: &Permissions, question: &str, name: &str) -> bool {
    match question {
        "join_channel" => may.may_join_channel(name),
        "publish" => may.may_publish(name),
        "use_conversation" => may.may_use_conversation(name),
        "create_conversation" => may.may_create_conversation(),
        "join_session" => may.may_join_session(name),
        "publish_media" => {
            let kind = MediaKind::ALL.into_iter().find(|kind| kind.name() == name);
            may.may_publish_media(kind.expect("a kind of media"))
        }
        _ => {
            let area = PlatformArea::ALL
                .into_iter()
                .find(|area| area.name() == name);
            may.may_platform(area.expect("a part of the platform API"))
        }
    }
    .is_ok()
}

/// The keys of the document under a case's policy.
struct CaseRegistry {
    policy: BTreeMap<String, Value>,
    keys: BTreeMap<String, Registered>,
}

struct Registered {
    status: Option<(bool, Timestamp)>,
    set: Option<KeySet>,
    key: Option<VerifyingKey>,
    rules: Rules,
    ceiling: Option<Arc<Grants>>,
}

struct Entry {
    key: VerifyingKey,
    rules: Rules,
    ceiling: Option<Arc<Grants>>,
}

impl CaseRegistry {
    fn new(default: &Value, own: &Value) -> Self {
        let mut policy = BTreeMap::new();
        for (name, value) in default
            .as_object()
            .into_iter()
            .chain(own.as_object())
            .flatten()
        {
            policy.insert(name.clone(), value.clone());
        }
        let audiences = policy["audiences"]
            .as_array()
            .expect("a list")
            .iter()
            .map(text);
        let rules = Rules {
            leeway: Duration::from_millis(policy["leeway_ms"].as_u64().expect("a number")),
            longest_ttl: Duration::from_secs(policy["longest_ttl_s"].as_u64().expect("a number")),
            exp_required: policy["exp_required"] == true,
            ..Rules::new(Audiences::new(audiences))
        };
        let mut keys = BTreeMap::new();
        for key in &KEYS {
            let at = |states: &str| policy[states][key.name].as_i64().map(Timestamp::from_secs);
            let ceiling = &policy["ceilings"][key.name];
            let ceiling = (!ceiling.is_null())
                .then(|| Arc::new(Grants::parse(&ceiling.to_string()).expect("a ceiling")));
            keys.insert(
                key.id.to_owned(),
                Registered {
                    status: at("revoked_keys")
                        .map(|at| (true, at))
                        .or(at("expired_keys").map(|at| (false, at))),
                    set: None,
                    key: Some(key.private().verifying_key()),
                    rules: rules.clone(),
                    ceiling,
                },
            );
        }
        for set in policy["jwks"].as_array().expect("a list") {
            let document = KeySet::parse(&set["document"].to_string()).expect("a sound set");
            keys.insert(
                text(&set["id"]).to_owned(),
                Registered {
                    status: None,
                    set: Some(document),
                    key: None,
                    rules: rules.clone(),
                    ceiling: None,
                },
            );
        }
        Self { policy, keys }
    }
}

impl Registry for CaseRegistry {
    type Entry = Arc<Entry>;

    fn key(&self, issuer: &str, kid: Option<&str>, now: Timestamp) -> KeyStatus<Arc<Entry>> {
        let Some(registered) = self.keys.get(issuer) else {
            return KeyStatus::Unknown;
        };
        let key = match (&registered.set, &registered.key) {
            (Some(set), _) => set.select(kid),
            (None, key) => key.as_ref().filter(|_| kid_fits(issuer, kid)),
        };
        let Some(key) = key else {
            return KeyStatus::Unknown;
        };
        match registered.status {
            Some((true, at)) => KeyStatus::Revoked { at },
            Some((false, at)) if at <= now => KeyStatus::Expired { at },
            _ => KeyStatus::Usable(Arc::new(Entry {
                key: key.clone(),
                rules: registered.rules.clone(),
                ceiling: registered.ceiling.clone(),
            })),
        }
    }

    fn source(&self, _: &Arc<Entry>, issuer: &str, now: Timestamp) -> KeyStatus<()> {
        match self.keys.get(issuer).map(|registered| registered.status) {
            None => KeyStatus::Unknown,
            Some(Some((true, at))) => KeyStatus::Revoked { at },
            Some(Some((false, at))) if at <= now => KeyStatus::Expired { at },
            Some(_) => KeyStatus::Usable(()),
        }
    }

    fn revocation(&self, _: &Arc<Entry>, claims: &Claims, _: Timestamp) -> Option<RevokedBy> {
        if self.policy["app_disabled"] == true {
            return Some(RevokedBy::AppDisabled);
        }
        self.policy["revocations"]
            .as_array()?
            .iter()
            .find_map(|revocation| {
                if let Some(jti) = revocation["jti"].as_str() {
                    let mut sources = claims.sources().iter();
                    return if claims.token_id() == Some(jti) {
                        Some(RevokedBy::Token)
                    } else {
                        let is_source = sources.any(|source| source.token_id() == Some(jti));
                        is_source.then_some(RevokedBy::Source)
                    };
                }
                let at = revocation["issued_before_s"].as_i64()?;
                let subject = claims.subject();
                let identity = revocation["identity"].as_str();
                let device = revocation["device"].as_str();
                let named = identity
                    .is_none_or(|i| subject.is_some_and(|s| s.identity.as_str() == i))
                    && device.is_none_or(|d| subject.is_some_and(|s| s.device.as_str() == d));
                let scope = match (identity, device) {
                    (None, _) => RevocationScope::App,
                    (_, None) => RevocationScope::Identity,
                    _ => RevocationScope::Device,
                };
                (named && claims.issued().as_secs() <= at).then_some(RevokedBy::IssuedBefore {
                    scope,
                    at: Timestamp::from_secs(at),
                })
            })
    }
}

impl KeyEntry for Entry {
    fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn ceiling(&self) -> Option<&Arc<Grants>> {
        self.ceiling.as_ref()
    }
}

fn expect(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn millis(case: &Value) -> i64 {
    case["now_ms"].as_i64().expect("a number")
}
