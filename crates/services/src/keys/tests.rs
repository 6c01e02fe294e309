//! The registry without a store, and what is taken for a key. What needs a database is
//! tested on both of them, in the store crate.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hexline_model::{
    AppId, Entropy, Identity, KeyId, Secret, SeededEntropy, Subject, SystemEntropy, Timestamp,
};
use hexline_token::{
    Access, Algorithm, KeySet, PrivateKey, Reason, Registry as _, TokenBuilder, Verified, verify,
};
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use super::key::KeySource;
use super::store::Changes;
use super::validate::{KeyValidator, new_secret};
use super::{
    Authorization, KeyEvent, KeyHandle, KeyMaterial, KeyRecord, KeyRegistry, KeyState, NewKey,
};
use crate::apps::{App, AppName, AppSettings, TokenLife};
use crate::reach::UrlRule;
use crate::revocations::{Revocation, Scope, SweepHorizon, Target, TokenId};
use crate::store::Revision;
use crate::vault::{MasterKey, Purpose, Sealer};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A registry that is told what a store would tell it.
struct Rig {
    registry: KeyRegistry,
    sealer: Sealer,
    app: App,
    events: Arc<Mutex<Vec<KeyEvent>>>,
}

impl Rig {
    fn new() -> Self {
        let registry = KeyRegistry::new(vec!["http://localhost:8000".to_owned()]);
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = events.clone();
        registry.on_event(Box::new(move |event| {
            log.lock().expect("no panic").push(*event);
        }));
        let app = App {
            id: AppId::generate(&SeededEntropy::new(1)),
            name: AppName::parse("demo").expect("a name"),
            created: NOW,
            disabled: None,
            settings: AppSettings::default(),
            longest_life: TokenLife::of(&AppSettings::default()),
            signing_key: None,
        };
        let sealer = Sealer::new(&MasterKey::generate(&SeededEntropy::new(2)));
        let rig = Self {
            registry,
            sealer,
            app: app.clone(),
            events,
        };
        rig.apply(vec![app], Vec::new(), Vec::new());
        rig.take_events();
        rig
    }

    fn apply(&self, apps: Vec<App>, keys: Vec<KeyRecord>, revocations: Vec<Revocation>) {
        let changes = Changes {
            apps,
            keys,
            revocations,
            ..Changes::none(Revision::default())
        };
        self.registry.apply(changes, &self.sealer);
    }

    fn take_events(&self) -> Vec<KeyEvent> {
        std::mem::take(&mut *self.events.lock().expect("no panic"))
    }

    fn record(&self, material: KeyMaterial, algorithm: Option<Algorithm>) -> KeyRecord {
        KeyRecord {
            id: KeyId::generate(&SystemEntropy),
            app: self.app.id,
            label: String::new(),
            algorithm,
            state: KeyState::Active,
            created: NOW,
            expires: None,
            last_used: None,
            ceiling: None,
            made_by: None,
            released: None,
            material,
        }
    }

    /// An HMAC key that the registry holds, and its secret.
    fn hmac(&self) -> (KeyRecord, String) {
        let secret = new_secret(None, &SystemEntropy).expose().clone();
        let mut record = self.record(KeyMaterial::Jwks(String::new()), Some(Algorithm::Hs256));
        record.material = KeyMaterial::Hmac(self.sealer.seal(purpose(&record), &secret));
        self.apply(Vec::new(), vec![record.clone()], Vec::new());
        (record, secret)
    }

    fn revoke(&self, target: Target, at: Timestamp) {
        self.apply(Vec::new(), Vec::new(), vec![self.revocation(target, at)]);
    }

    fn revocation(&self, target: Target, at: Timestamp) -> Revocation {
        Revocation {
            app: self.app.id,
            target,
            at,
        }
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Verified<KeyHandle>, Reason> {
        verify(token, Access::Client, &self.registry, now).map_err(|r| r.reason)
    }

    fn reauthorize(
        &self,
        authorization: &Authorization,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Reason> {
        self.registry
            .reauthorize(authorization, now)
            .map_err(|lapse| lapse.reason())
    }
}

fn purpose(record: &KeyRecord) -> Purpose<'static> {
    Purpose::HmacSecret {
        app: record.app,
        key: record.id,
    }
}

fn builder(record: &KeyRecord, secret: &str) -> TokenBuilder {
    TokenBuilder::create()
        .key(record.id.to_string(), secret)
        .identity("alice")
        .device("web1")
        .jti("a-jti")
}

fn token(record: &KeyRecord, secret: &str) -> String {
    builder(record, secret).build_at(NOW).expect("builds")
}

fn at(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

fn jti(text: &str) -> Target {
    Target::Token {
        jti: TokenId::parse(text).expect("a jti"),
        expires: None,
    }
}

fn identity(text: &str) -> Target {
    Target::IssuedBefore(Scope::Identity(Identity::parse(text).expect("one")))
}

fn device(text: &str) -> Target {
    Target::IssuedBefore(Scope::Device(Subject::parse(text).expect("one")))
}

#[test]
fn only_a_key_that_is_held_is_known() {
    let rig = Rig::new();
    let (record, secret) = rig.hmac();
    let verified = rig.verify(&token(&record, &secret), NOW).expect("verifies");
    assert_eq!(verified.entry.id(), record.id);
    assert_eq!(verified.entry.app(), rig.app.id);
    for issuer in [
        "",
        "nobody",
        "B234FDB83571400F9B62E204D735126E",
        &"0".repeat(32),
    ] {
        let stranger = TokenBuilder::create()
            .key(issuer, &secret)
            .identity("alice")
            .device("web1");
        if let Ok(token) = stranger.build_at(NOW) {
            assert_eq!(
                rig.verify(&token, NOW).err(),
                Some(Reason::KeyUnknown),
                "{issuer}"
            );
        }
    }
    let other = new_secret(None, &SystemEntropy);
    assert_eq!(
        rig.verify(&token(&record, other.expose()), NOW).err(),
        Some(Reason::SignatureInvalid)
    );
}

#[test]
fn a_kid_beside_a_key_that_is_no_set_has_to_be_its_id() {
    let rig = Rig::new();
    let (record, _) = rig.hmac();
    let id = record.id.to_string();
    let known = |kid| {
        matches!(
            rig.registry.key(&id, kid, NOW),
            hexline_token::KeyStatus::Usable(_)
        )
    };
    assert!(known(None) && known(Some(&id)));
    assert!(!known(Some("")) && !known(Some("another")));
}

#[test]
fn a_key_ends_at_its_expiry_or_at_the_end_of_its_overlap_whichever_is_first() {
    let rig = Rig::new();
    let (record, secret) = rig.hmac();
    let token = token(&record, &secret);
    for (state, expires, end) in [
        (KeyState::Active, Some(at(5)), at(5)),
        (KeyState::Retiring { until: at(7) }, None, at(7)),
        (KeyState::Retiring { until: at(7) }, Some(at(5)), at(5)),
        (KeyState::Retiring { until: at(3) }, Some(at(5)), at(3)),
    ] {
        let record = KeyRecord {
            state,
            expires,
            ..record.clone()
        };
        rig.apply(Vec::new(), vec![record], Vec::new());
        let last = end.minus(Duration::from_millis(1));
        let authorization = Authorization::of(&rig.verify(&token, last).expect("verifies"));
        assert_eq!(rig.reauthorize(&authorization, last), Ok(Some(end)));
        assert_eq!(rig.verify(&token, end).err(), Some(Reason::KeyExpired));
        assert_eq!(
            rig.reauthorize(&authorization, end),
            Err(Reason::KeyExpired)
        );
    }
}

#[test]
fn a_revoked_key_refuses_its_tokens_and_what_they_opened() {
    let rig = Rig::new();
    let (record, secret) = rig.hmac();
    let token = token(&record, &secret);
    let authorization = Authorization::of(&rig.verify(&token, NOW).expect("verifies"));
    let end = at(3600 + 10);
    assert_eq!(rig.reauthorize(&authorization, NOW), Ok(Some(end)));
    rig.take_events();
    let revoked = KeyRecord {
        state: KeyState::Revoked { at: at(1) },
        ..record.clone()
    };
    rig.apply(Vec::new(), vec![revoked.clone()], Vec::new());
    let event = KeyEvent::KeyChanged {
        app: rig.app.id,
        key: record.id,
    };
    assert_eq!(rig.take_events(), [event]);
    assert_eq!(rig.verify(&token, at(1)).err(), Some(Reason::KeyRevoked));
    assert_eq!(
        rig.reauthorize(&authorization, at(1)),
        Err(Reason::KeyRevoked)
    );
    rig.apply(Vec::new(), vec![revoked], Vec::new());
    assert_eq!(rig.take_events(), [], "nothing is new");
}

#[test]
fn a_connection_lives_until_exp_and_leeway() {
    let rig = Rig::new();
    let (record, secret) = rig.hmac();
    let short = builder(&record, &secret)
        .ttl(60)
        .build_at(NOW)
        .expect("builds");
    let authorization = Authorization::of(&rig.verify(&short, NOW).expect("verifies"));
    let last = at(70).minus(Duration::from_millis(1));
    assert_eq!(rig.reauthorize(&authorization, last), Ok(Some(at(70))));
    assert!(rig.verify(&short, last).is_ok());
    assert_eq!(
        rig.reauthorize(&authorization, at(70)),
        Err(Reason::TokenExpired)
    );
    assert_eq!(rig.verify(&short, at(70)).err(), Some(Reason::TokenExpired));
}

#[test]
fn each_revocation_catches_exactly_what_it_names() {
    // alice/web1 with the jti "a-jti", issued at NOW.
    for (target, catches) in [
        (jti("a-jti"), true),
        (jti("b-jti"), false),
        (identity("alice"), true),
        (identity("bob"), false),
        (device("alice/web1"), true),
        (device("alice/web2"), false),
        (device("bob/web1"), false),
        (Target::IssuedBefore(Scope::App), true),
    ] {
        let rig = Rig::new();
        let (record, secret) = rig.hmac();
        let token = token(&record, &secret);
        let authorization = Authorization::of(&rig.verify(&token, NOW).expect("verifies"));
        rig.take_events();
        rig.revoke(target.clone(), NOW);
        assert_eq!(
            rig.take_events(),
            [KeyEvent::TokensRevoked { app: rig.app.id }]
        );
        let expected = catches.then_some(Reason::TokenRevoked);
        assert_eq!(rig.verify(&token, NOW).err(), expected, "{target:?}");
        assert_eq!(
            rig.reauthorize(&authorization, NOW).err(),
            expected,
            "{target:?}"
        );
        rig.revoke(target, NOW);
        assert_eq!(rig.take_events(), [], "nothing is new");
    }
}

#[test]
fn a_revocation_crosses_no_app() {
    let rig = Rig::new();
    let (record, secret) = rig.hmac();
    let mut other = rig.revocation(Target::IssuedBefore(Scope::App), NOW);
    other.app = AppId::generate(&SystemEntropy);
    rig.apply(Vec::new(), Vec::new(), vec![other]);
    assert!(rig.verify(&token(&record, &secret), NOW).is_ok());
}

#[test]
fn issued_before_counts_in_whole_seconds_without_leeway() {
    let rig = Rig::new();
    let (record, secret) = rig.hmac();
    let made = |secs| {
        builder(&record, &secret)
            .build_at(at(secs))
            .expect("builds")
    };
    // Said in the middle of second 5.
    let said = at(5).plus(Duration::from_millis(500));
    rig.revoke(Target::IssuedBefore(Scope::App), said);
    for (second, revoked) in [(0, true), (4, true), (5, true), (6, false), (7, false)] {
        let expected = revoked.then_some(Reason::TokenRevoked);
        assert_eq!(rig.verify(&made(second), at(7)).err(), expected, "{second}");
    }
    // An earlier one takes nothing back.
    rig.revoke(Target::IssuedBefore(Scope::App), at(1));
    assert_eq!(
        rig.verify(&made(5), at(7)).err(),
        Some(Reason::TokenRevoked)
    );
}

#[test]
fn a_disabled_app_refuses_what_was_opened_before() {
    let rig = Rig::new();
    let (record, secret) = rig.hmac();
    let token = token(&record, &secret);
    let verified = rig.verify(&token, NOW).expect("verifies");
    let authorization = Authorization::of(&verified);
    let disabled = App {
        disabled: Some(NOW),
        ..rig.app.clone()
    };
    rig.take_events();
    rig.apply(vec![disabled], Vec::new(), Vec::new());
    assert_eq!(
        rig.take_events(),
        [KeyEvent::AppChanged { app: rig.app.id }]
    );
    assert_eq!(rig.verify(&token, NOW).err(), Some(Reason::TokenRevoked));
    assert_eq!(
        rig.reauthorize(&authorization, NOW),
        Err(Reason::TokenRevoked)
    );
    // A handle that was looked up before knows as well.
    let revoked = rig
        .registry
        .revocation(&verified.entry, &verified.claims, NOW);
    assert_eq!(revoked, Some(hexline_token::RevokedBy::AppDisabled));
}

#[test]
fn an_apps_settings_rule_its_tokens_from_then_on() {
    let rig = Rig::new();
    let (record, secret) = rig.hmac();
    let elsewhere = builder(&record, &secret)
        .api("https://chat.example.org")
        .ttl(7200)
        .build_at(NOW)
        .expect("builds");
    assert_eq!(
        rig.verify(&elsewhere, NOW).err(),
        Some(Reason::AudienceMismatch)
    );
    let with = |longest_ttl| App {
        settings: AppSettings {
            audiences: vec!["https://chat.example.org/".to_owned()],
            longest_ttl,
            ..AppSettings::default()
        },
        ..rig.app.clone()
    };
    rig.apply(vec![with(Duration::from_hours(2))], Vec::new(), Vec::new());
    assert!(rig.verify(&elsewhere, NOW).is_ok());
    rig.apply(vec![with(Duration::from_hours(1))], Vec::new(), Vec::new());
    assert_eq!(
        rig.verify(&elsewhere, NOW).err(),
        Some(Reason::TokenTooLong)
    );
}

#[test]
fn origins_are_any_until_some_are_named() {
    let rig = Rig::new();
    assert!(
        rig.registry
            .allows_origin(rig.app.id, "https://anywhere.example")
    );
    let settings = AppSettings {
        origins: vec!["https://app.example.org".to_owned()],
        ..AppSettings::default()
    };
    let app = App {
        settings,
        ..rig.app.clone()
    };
    rig.apply(vec![app], Vec::new(), Vec::new());
    assert!(
        rig.registry
            .allows_origin(rig.app.id, "https://APP.example.org")
    );
    for other in ["https://example.org", "http://app.example.org", "null", ""] {
        assert!(!rig.registry.allows_origin(rig.app.id, other), "{other}");
    }
    let nobody = AppId::generate(&SystemEntropy);
    assert!(
        !rig.registry
            .allows_origin(nobody, "https://app.example.org")
    );
}

/// A JWKS of these names, and the private key of each.
fn key_set(kids: &[&str]) -> (String, Vec<PrivateKey>) {
    let keys: Vec<_> = kids
        .iter()
        .map(|_| PrivateKey::generate(Algorithm::EdDsa).expect("generates"))
        .collect();
    let jwks: Vec<_> = keys
        .iter()
        .zip(kids)
        .map(|(key, kid)| key.verifying_key().to_jwk(Some(kid)).expect("is public"))
        .collect();
    (format!(r#"{{"keys":[{}]}}"#, jwks.join(",")), keys)
}

#[test]
fn the_kid_picks_the_key_of_a_document() {
    let rig = Rig::new();
    let (document, _) = key_set(&["a", "b"]);
    let record = rig.record(KeyMaterial::Jwks(document), None);
    rig.apply(Vec::new(), vec![record.clone()], Vec::new());
    let issuer = record.id.to_string();
    let picked = |kid| match rig.registry.key(&issuer, kid, NOW) {
        hexline_token::KeyStatus::Usable(handle) => Some(handle),
        _ => None,
    };
    assert!(picked(Some("a")).is_some() && picked(Some("b")).is_some());
    assert!(picked(None).is_none() && picked(Some("c")).is_none());
}

#[test]
fn a_fetched_set_is_ordered_sparingly() {
    let rig = Rig::new();
    let url = "https://example.org/jwks.json";
    let record = rig.record(KeyMaterial::JwksUrl(url.to_owned()), None);
    rig.apply(Vec::new(), vec![record.clone()], Vec::new());
    let issuer = record.id.to_string();
    let wanted = |kid: &str, now| rig.registry.jwks_wanted(&issuer, Some(kid), now).is_some();

    let order = rig
        .registry
        .jwks_wanted(&issuer, Some("a"), NOW)
        .expect("was never fetched");
    assert_eq!((order.key, order.url.as_str()), (record.id, url));
    assert!(!wanted("a", at(29)), "one order at a time");
    assert!(wanted("a", at(30)), "that one failed");
    let (document, _) = key_set(&["a"]);
    rig.registry
        .install_jwks(record.id, KeySet::parse(&document).expect("parses"), at(31));
    assert!(!wanted("a", at(100)), "it is there");
    assert!(wanted("b", at(100)), "it may have been added since");
    assert!(!wanted("c", at(101)), "whatever tokens ask for");
    assert_eq!(rig.registry.jwks_due(at(200)), []);
    assert_eq!(rig.registry.jwks_due(at(31 + 600)).len(), 1);
    assert_eq!(rig.registry.jwks_due(at(31 + 601)), []);

    let (other, _) = rig.hmac();
    assert!(
        rig.registry
            .jwks_wanted(&other.id.to_string(), None, NOW)
            .is_none()
    );
    assert!(rig.registry.jwks_wanted("nobody", None, NOW).is_none());
    let revoked = KeyRecord {
        state: KeyState::Revoked { at: NOW },
        ..record
    };
    rig.apply(Vec::new(), vec![revoked], Vec::new());
    assert!(!wanted("b", at(9000)), "nobody needs it");
}

#[test]
fn a_connection_ends_when_its_key_leaves_the_fetched_set() {
    let rig = Rig::new();
    let url = "https://example.org/jwks.json".to_owned();
    let record = rig.record(KeyMaterial::JwksUrl(url), None);
    rig.apply(Vec::new(), vec![record.clone()], Vec::new());
    let (document, private) = key_set(&["a"]);
    let set = KeySet::parse(&document).expect("parses");
    let token = TokenBuilder::create()
        .signing_key(record.id.to_string(), private[0].clone())
        .identity("alice")
        .device("web1")
        .build_at(NOW)
        .expect("builds");
    assert_eq!(rig.verify(&token, NOW).err(), Some(Reason::KeyUnknown));
    rig.registry.install_jwks(record.id, set.clone(), NOW);
    let authorization = Authorization::of(&rig.verify(&token, NOW).expect("verifies"));
    let kid = authorization
        .jwk
        .as_ref()
        .expect("is of a set")
        .kid
        .as_ref();
    assert_eq!(kid, None, "the only key needs no name");
    rig.take_events();
    rig.registry.install_jwks(record.id, set, at(1));
    assert_eq!(rig.take_events(), [], "nothing is gone");
    assert!(rig.reauthorize(&authorization, at(1)).is_ok());

    let (document, _) = key_set(&["a"]);
    rig.registry
        .install_jwks(record.id, KeySet::parse(&document).expect("parses"), at(2));
    let event = KeyEvent::KeyChanged {
        app: rig.app.id,
        key: record.id,
    };
    assert_eq!(rig.take_events(), [event]);
    assert_eq!(
        rig.reauthorize(&authorization, at(2)),
        Err(Reason::KeyUnknown)
    );
    assert_eq!(
        rig.verify(&token, at(2)).err(),
        Some(Reason::SignatureInvalid),
        "another key has taken its name"
    );
}

#[test]
fn a_key_that_can_not_be_used_harms_no_other() {
    let rig = Rig::new();
    let (good, secret) = rig.hmac();
    let bad = rig.record(
        KeyMaterial::PublicPem("no PEM".to_owned()),
        Some(Algorithm::Es256),
    );
    let elsewhere = Sealer::new(&MasterKey::generate(&SystemEntropy));
    let mut sealed_elsewhere = rig.record(KeyMaterial::Jwks(String::new()), Some(Algorithm::Hs256));
    let seal = elsewhere.seal(purpose(&sealed_elsewhere), &secret);
    sealed_elsewhere.material = KeyMaterial::Hmac(seal);
    rig.apply(
        Vec::new(),
        vec![bad.clone(), sealed_elsewhere.clone()],
        Vec::new(),
    );
    assert!(rig.verify(&token(&good, &secret), NOW).is_ok());
    for record in [bad, sealed_elsewhere] {
        let status = rig.registry.key(&record.id.to_string(), None, NOW);
        assert!(matches!(status, hexline_token::KeyStatus::Unknown));
    }
}

#[test]
fn a_use_is_reported_once_and_survives_a_change_of_the_key() {
    let rig = Rig::new();
    let (record, secret) = rig.hmac();
    assert_eq!(rig.registry.unflushed(), []);
    let verified = rig.verify(&token(&record, &secret), NOW).expect("verifies");
    verified.entry.touch(NOW);
    verified.entry.touch(NOW.plus(Duration::from_millis(999)));
    assert_eq!(rig.registry.unflushed(), [(record.id, NOW)]);
    let retiring = KeyRecord {
        state: KeyState::Retiring { until: at(9) },
        ..rig.registry.known_key(record.id).expect("is there")
    };
    rig.apply(Vec::new(), vec![retiring], Vec::new());
    assert_eq!(rig.registry.unflushed(), [(record.id, NOW)]);
    rig.registry.mark_flushed(&[(record.id, NOW)]);
    assert_eq!(rig.registry.unflushed(), []);
    // A handle from before the change counts too.
    verified.entry.touch(at(1));
    assert_eq!(rig.registry.unflushed(), [(record.id, at(1))]);
    let shown = rig.registry.key_record(record.id).expect("is there");
    assert_eq!(shown.last_used, Some(at(1)));
}

#[test]
fn a_jwks_url_is_validated() {
    let strict = KeyValidator {
        jwks_urls: UrlRule::providers(false, false),
    };
    let dev = KeyValidator {
        jwks_urls: UrlRule::providers(true, false),
    };
    let inside = KeyValidator {
        jwks_urls: UrlRule::providers(false, true),
    };
    let good = |validator: &KeyValidator, url: &str| {
        validator
            .validate(NewKey::jwks_url(url), NOW, &SystemEntropy)
            .is_ok()
    };
    for url in [
        "https://example.org",
        "HTTPS://example.org:8443/a?b=c",
        "https://[2606:4700::1]/jwks",
    ] {
        assert!(good(&strict, url) && good(&dev, url), "{url}");
    }
    for url in [
        "http://localhost:9/jwks",
        "http://127.0.0.1/",
        "http://[::1]:80/",
        "http://127.8.9.1",
    ] {
        assert!(!good(&strict, url) && good(&dev, url), "{url}");
    }
    for url in [
        "",
        "example.org",
        "http://example.org",
        "http://localhost.example.org",
        "http://localhost@example.org",
        "https://user:password@example.org",
        "https://example.org/#a",
        "https://example.org\\@evil.example",
        "https:///jwks",
        "https://exa mple.org",
        "https://example.org/\n",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
    ] {
        assert!(!good(&strict, url) && !good(&dev, url), "{url}");
    }
    for url in [
        "https://10.0.0.1/jwks",
        "https://192.168.7.1/",
        "https://[fd00::1]/",
        "https://0xa.1/",
    ] {
        assert!(
            !good(&strict, url) && !good(&dev, url) && good(&inside, url),
            "{url}"
        );
    }
    for url in [
        "https://169.254.169.254/",
        "https://[fe80::1]/",
        "https://0.0.0.0/",
        "http://10.0.0.1/",
    ] {
        assert!(
            !good(&strict, url) && !good(&dev, url) && !good(&inside, url),
            "{url}"
        );
    }
}

#[test]
fn what_is_registered_next_to_a_public_key_is_not_kept() {
    let validator = KeyValidator {
        jwks_urls: UrlRule::default(),
    };
    let private = PrivateKey::generate(Algorithm::Es256).expect("generates");
    let pem = private.to_pkcs8_pem().expect("has one");
    for order in [
        NewKey::public_pem(pem.expose().clone(), None),
        NewKey::public_jwk(format!(
            r#"{{"kty":"OKP","crv":"Ed25519","x":"{0}","d":"{0}"}}"#,
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        )),
        NewKey::jwks(format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(70_000))),
    ] {
        assert!(validator.validate(order, NOW, &SystemEntropy).is_err());
    }
}

#[test]
fn an_order_shows_no_secret() {
    let secret = "0123456789012345678901234567890123456789";
    let id = KeyId::generate(&SystemEntropy);
    let order = NewKey::hmac(id, Algorithm::Hs256, Secret::new(secret.to_owned()));
    assert!(matches!(order.source, KeySource::Hmac { .. }));
    let shown = format!("{order:?}");
    assert!(!shown.contains("0123456789"), "{shown}");
    let validator = KeyValidator {
        jwks_urls: UrlRule::default(),
    };
    let valid = validator
        .validate(order, NOW, &SystemEntropy)
        .expect("passes");
    assert!(!format!("{valid:?}").contains("0123456789"));
}

#[test]
fn a_secret_has_at_least_256_random_bits() {
    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
    }
    for (algorithm, chars) in [
        (None, 43),
        (Some(Algorithm::Hs256), 43),
        (Some(Algorithm::Hs384), 64),
        (Some(Algorithm::Hs512), 86),
    ] {
        let secret = new_secret(algorithm, &Fixed);
        assert_eq!(secret.expose().len(), chars);
        assert!(
            secret.expose().starts_with("______"),
            "every byte is asked for"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A revocation that a sweep takes away names no token that could still pass: for any ttl,
    /// any moment of revocation and any token that it catches.
    #[test]
    fn no_swept_revocation_catches_a_living_token(
        ttl in 1_u64..5_000,
        token_ttl in 1_u64..5_000,
        issued in 0_u64..5_000,
        said_ms in 0_u64..5_000_000,
        looked in 0_u64..20_000,
        knows_exp in any::<bool>(),
    ) {
        let rig = Rig::new();
        let (record, secret) = rig.hmac();
        let settings = AppSettings {
            longest_ttl: Duration::from_secs(ttl),
            ..AppSettings::default()
        };
        let app = App { settings: settings.clone(), ..rig.app.clone() };
        rig.apply(vec![app], Vec::new(), Vec::new());
        let token = builder(&record, &secret).ttl(token_ttl).build_at(at(issued)).expect("builds");
        let said = NOW.plus(Duration::from_millis(said_ms));
        let target = if knows_exp {
            let jti = TokenId::parse("a-jti").expect("a jti");
            Target::Token { jti, expires: Some(at(issued + token_ttl)) }
        } else {
            Target::IssuedBefore(Scope::App)
        };
        rig.revoke(target, said);
        let before = rig.verify(&token, at(looked)).err();
        let horizon = SweepHorizon::at(at(looked), TokenLife::of(&settings), Duration::from_secs(10));
        rig.registry.sweep(rig.app.id, horizon);
        prop_assert_eq!(rig.verify(&token, at(looked)).err(), before);
    }
}
