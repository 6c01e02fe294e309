use std::sync::Arc;
use std::time::Duration;

use hexline_model::{Device, Identity};
use hexline_services::Failure as _;
use hexline_services::RegistryServices;
use hexline_services::apps::{App, AppSettings};
use hexline_services::keys::{CreatedKey, KeyHandle, NewKey};
use hexline_services::tokens::{Minted, Narrower, Order, Signer, TokenService};
use hexline_token::{Access, Algorithm, Grants, Reason, Source, TokenBuilder, Verified, verify};
use serde_json::{Value, json};

use super::{create, demo, hmac};
use crate::rig::{NOW, Rig};

on_both!(
    a_minted_token_passes_the_door,
    the_apps_signing_key_signs_or_the_one_that_asks,
    without_a_usable_key_nothing_is_minted,
    a_token_lives_as_long_as_the_app_allows,
    nobody_hands_out_more_than_they_may,
    an_exchanged_token_is_narrower,
    an_exchanged_token_ends_with_what_it_was_exchanged_for,
    a_minted_token_ends_with_the_key_that_ordered_it,
    nothing_is_exchanged_for_another_apps_token,
);

struct Mint {
    services: RegistryServices,
    tokens: TokenService,
    app: App,
    key: CreatedKey,
}

impl Mint {
    async fn new(rig: &Rig) -> Self {
        let services = rig.service().await;
        let app = demo(&services).await;
        let key = hmac(&services, &app).await;
        let url = "http://localhost:8000";
        let tokens = TokenService::new(Arc::clone(&services.keys), url, rig.clock.clone());
        Self {
            services,
            tokens,
            app,
            key,
        }
    }

    fn mint(&self, order: Order) -> Result<Minted, String> {
        let minted = self.tokens.mint(self.app.id, Signer::App, order);
        minted.map_err(|error| error.code().text().to_owned())
    }

    fn exchange(&self, old: &str, order: Narrower) -> Result<Minted, String> {
        let old = self.verified(old);
        let new = self.tokens.exchange(self.app.id, Signer::App, &old, order);
        new.map_err(|error| error.code().text().to_owned())
    }

    fn verified(&self, token: &str) -> Verified<KeyHandle> {
        let registry = self.services.keys.registry().as_ref();
        verify(token, Access::Client, registry, NOW).expect("is good")
    }
}

fn order(grants: Value) -> Order {
    Order {
        identity: Identity::parse("alice").expect("well formed"),
        device: Device::parse("web1").expect("well formed"),
        grants,
        within: None,
        ttl: None,
        until: None,
        profile: None,
        jti: None,
    }
}

fn grants(text: &str) -> Grants {
    Grants::parse(text).expect("valid")
}

async fn a_minted_token_passes_the_door(rig: &mut Rig) {
    let mint = Mint::new(rig).await;
    let minted = mint.mint(Order {
        ttl: Some(Duration::from_mins(5)),
        profile: Some(json!({"name": "Alice"})),
        jti: Some("t1".to_owned()),
        ..order(json!({"signal": {"publish": false}}))
    });
    let minted = minted.expect("mints");
    assert_eq!(minted.key, mint.key.record.id);
    assert_eq!(minted.expires, NOW.plus(Duration::from_mins(5)));
    let claims = mint.verified(&minted.token).claims;
    assert_eq!(claims.expires(), Some(minted.expires));
    assert_eq!(claims.token_id(), Some("t1"));
    assert_eq!(
        claims.profile().map(serde_json::value::RawValue::get),
        Some(r#"{"name":"Alice"}"#)
    );
    assert_eq!(*claims.grants(), grants(r#"{"signal":{"publish":false}}"#));
    assert!(!format!("{minted:?}").contains(&minted.token));
    let plain = mint.mint(order(json!({}))).expect("mints");
    assert_eq!(plain.expires, NOW.plus(Duration::from_hours(1)));
}

async fn the_apps_signing_key_signs_or_the_one_that_asks(rig: &mut Rig) {
    let mint = Mint::new(rig).await;
    let caller = hmac(&mint.services, &mint.app).await.record.id;
    let by = |signer| {
        let minted = mint
            .tokens
            .mint(mint.app.id, signer, order(json!({"chat": true})));
        minted.map(|minted| minted.key)
    };
    let own = mint.key.record.id;
    assert_eq!(by(Signer::App).expect("mints"), own);
    assert_eq!(by(Signer::AppOr(caller)).expect("mints"), own);
    assert_eq!(by(Signer::Key(caller)).expect("mints"), caller);
    mint.services.keys.revoke_key(own).await.expect("revokes");
    assert_eq!(by(Signer::AppOr(caller)).expect("mints"), caller);
    assert!(by(Signer::Key(own)).is_err());
}

async fn without_a_usable_key_nothing_is_minted(rig: &mut Rig) {
    let mint = Mint::new(rig).await;
    let other = create(&mint.services, "other").await.expect("creates");
    let foreign = hmac(&mint.services, &other).await.record.id;
    mint.services
        .keys
        .revoke_key(mint.key.record.id)
        .await
        .expect("revokes");
    for signer in [
        Signer::App,
        Signer::AppOr(foreign),
        Signer::Key(foreign),
        Signer::Key(mint.key.record.id),
    ] {
        let refused = mint.tokens.mint(mint.app.id, signer, order(json!({})));
        let refused = refused.expect_err("has none");
        assert_eq!(refused.code().text(), "no_signing_key", "{signer:?}");
        assert_eq!(refused.code().http_status(), 409);
    }
}

async fn a_token_lives_as_long_as_the_app_allows(rig: &mut Rig) {
    let mint = Mint::new(rig).await;
    let settings = AppSettings {
        longest_ttl: Duration::from_mins(10),
        ..AppSettings::default()
    };
    mint.services
        .apps
        .update(mint.app.id, settings)
        .await
        .expect("changes");
    let lives = |ttl| {
        let minted = mint.mint(Order {
            ttl,
            ..order(json!({}))
        });
        minted.map(|minted| minted.expires)
    };
    let at = |secs| Ok(NOW.plus(Duration::from_secs(secs)));
    assert_eq!(lives(None), at(600), "not an hour");
    assert_eq!(lives(Some(Duration::from_mins(10))), at(600));
    for bad in [Duration::ZERO, Duration::from_secs(601), Duration::MAX] {
        assert_eq!(lives(Some(bad)), Err("invalid_request".to_owned()));
    }
    let ending = NewKey::generate(Algorithm::Hs256).expires(NOW.plus(Duration::from_secs(30)));
    let ending = mint.services.keys.create_key(mint.app.id, ending).await;
    let ending = ending.expect("creates").record.id;
    let signer = Signer::Key(ending);
    let minted = mint.tokens.mint(mint.app.id, signer, order(json!({})));
    let expires = minted.expect("mints").expires;
    assert_eq!(Ok(expires), at(30), "not longer than the key");
}

async fn nobody_hands_out_more_than_they_may(rig: &mut Rig) {
    let mint = Mint::new(rig).await;
    let within = |wanted: Value, limit: &str| {
        let minted = mint.mint(Order {
            within: Some(grants(limit)),
            ..order(wanted)
        });
        minted.map(|_| ())
    };
    let limit = r#"{"signal":{"channels":["news.*"]},"platform":true}"#;
    assert_eq!(
        within(json!({"signal": {"channels": ["news.a"]}}), limit),
        Ok(())
    );
    for (wanted, code) in [
        (json!({"signal": true}), "grant_missing"),
        (json!({"chat": true}), "grant_missing"),
        (json!({"platform": true}), "invalid_request"),
        (json!({"singal": true}), "invalid_request"),
        (json!({"signal": {"channel": []}}), "invalid_request"),
        (json!([]), "invalid_request"),
        (json!(null), "invalid_request"),
    ] {
        assert_eq!(
            within(wanted.clone(), limit),
            Err(code.to_owned()),
            "{wanted}"
        );
    }
    let long = Order {
        jti: Some("x".repeat(2000)),
        ..order(json!({}))
    };
    assert_eq!(mint.mint(long).err().as_deref(), Some("invalid_request"));
    let huge = Order {
        profile: Some(json!("x".repeat(9000))),
        ..order(json!({}))
    };
    assert_eq!(mint.mint(huge).err().as_deref(), Some("too_large"));
}

async fn an_exchanged_token_is_narrower(rig: &mut Rig) {
    let mint = Mint::new(rig).await;
    let old = mint.mint(Order {
        ttl: Some(Duration::from_mins(10)),
        profile: Some(json!({"name": "Alice"})),
        jti: Some("t1".to_owned()),
        ..order(json!({"signal": true, "chat": true}))
    });
    let old = old.expect("mints");
    let new = mint.exchange(
        &old.token,
        Narrower {
            grants: Some(json!({"signal": {"channels": ["a"]}})),
            ttl: Some(Duration::from_mins(1)),
            ..Narrower::default()
        },
    );
    let new = new.expect("exchanges");
    assert_eq!(new.expires, NOW.plus(Duration::from_mins(1)));
    let claims = mint.verified(&new.token).claims;
    assert_eq!(
        claims.subject().map(ToString::to_string).as_deref(),
        Some("alice/web1")
    );
    assert_eq!(
        claims.token_id(),
        Some("t1"),
        "who revokes one revokes both"
    );
    assert!(claims.profile().is_some());
    assert!(claims.grants().chat().is_none());
    let wider = mint.exchange(
        &new.token,
        Narrower {
            grants: Some(json!({"chat": true})),
            ..Narrower::default()
        },
    );
    assert_eq!(wider.err().as_deref(), Some("grant_missing"));
    let longer = mint.exchange(
        &new.token,
        Narrower {
            ttl: Some(Duration::from_hours(1)),
            ..Narrower::default()
        },
    );
    assert_eq!(longer.expect("exchanges").expires, new.expires);
    let same = mint.exchange(&old.token, Narrower::default());
    let same = same.expect("exchanges");
    assert_eq!((same.expires, same.grants), (old.expires, old.grants));
}

async fn an_exchanged_token_ends_with_what_it_was_exchanged_for(rig: &mut Rig) {
    let mint = Mint::new(rig).await;
    let source = hmac(&mint.services, &mint.app).await;
    let secret = source.secret.as_ref().expect("an HMAC key has one");
    let token = TokenBuilder::create()
        .key(source.record.id.to_string(), secret.expose())
        .identity("alice")
        .device("web1")
        .grants(json!({"signal": true}))
        .jti("s1")
        .build_at(NOW)
        .expect("builds");
    let named = |jti: &str| Narrower {
        jti: Some(jti.to_owned()),
        ..Narrower::default()
    };
    let once = mint.exchange(&token, named("e1")).expect("exchanges");
    let twice = mint.exchange(&once.token, named("e2")).expect("exchanges");
    let claims = mint.verified(&twice.token).claims;
    let (source_id, signer) = (source.record.id.to_string(), mint.key.record.id.to_string());
    assert_eq!(
        claims.sources(),
        [
            Source::new(source_id, Some("s1")),
            Source::new(signer, Some("e1"))
        ]
    );
    let mut last = twice.token.clone();
    for n in 3..=4 {
        let next = mint.exchange(&last, named(&format!("e{n}")));
        last = next.expect("exchanges").token;
    }
    let refused = mint.exchange(&last, named("e5"));
    assert_eq!(refused.err().as_deref(), Some("invalid_request"));
    let refusal = |token: &str| {
        let registry = mint.services.keys.registry().as_ref();
        let refused = verify(token, Access::Client, registry, NOW).err();
        refused.map(|rejection| rejection.reason)
    };
    mint.services
        .revocations
        .revoke_token(mint.app.id, "e1", None)
        .await
        .expect("revokes");
    for token in [&once.token, &twice.token, &last] {
        assert_eq!(refusal(token), Some(Reason::TokenRevoked));
    }
    assert_eq!(refusal(&token), None);
    mint.services
        .keys
        .revoke_key(source.record.id)
        .await
        .expect("revokes");
    for token in [&token, &once.token, &twice.token, &last] {
        assert_eq!(
            refusal(token),
            Some(Reason::KeyRevoked),
            "the key comes first"
        );
    }
}

async fn a_minted_token_ends_with_the_key_that_ordered_it(rig: &mut Rig) {
    let mint = Mint::new(rig).await;
    let ends = NOW.plus(Duration::from_mins(2));
    let minted = mint.mint(Order {
        until: Some(ends),
        ..order(json!({"signal": true}))
    });
    let minted = minted.expect("mints");
    assert_eq!(minted.expires, ends);
    let whole = mint.mint(order(json!({"signal": true}))).expect("mints");
    let sooner = Narrower {
        until: Some(NOW.plus(Duration::from_mins(1))),
        ..Narrower::default()
    };
    let new = mint.exchange(&whole.token, sooner).expect("exchanges");
    assert_eq!(new.expires, NOW.plus(Duration::from_mins(1)));
}

async fn nothing_is_exchanged_for_another_apps_token(rig: &mut Rig) {
    let mint = Mint::new(rig).await;
    let other = create(&mint.services, "other").await.expect("creates");
    let key = hmac(&mint.services, &other).await;
    let secret = key.secret.as_ref().expect("an HMAC key has one");
    let token = TokenBuilder::create()
        .key(key.record.id.to_string(), secret.expose())
        .identity("alice")
        .device("web1")
        .build_at(NOW)
        .expect("builds");
    let refused = mint.exchange(&token, Narrower::default());
    assert_eq!(refused.err().as_deref(), Some("key_unknown"));
    // What the key's ceiling takes away is not given back by exchanging.
    let order = NewKey::generate(Algorithm::Hs256).ceiling(grants(r#"{"signal":true}"#));
    let low = mint.services.keys.create_key(mint.app.id, order).await;
    let low = low.expect("creates");
    let secret = low.secret.as_ref().expect("an HMAC key has one");
    let token = TokenBuilder::create()
        .key(low.record.id.to_string(), secret.expose())
        .identity("alice")
        .device("web1")
        .grants(json!({"signal": true, "chat": true}))
        .build_at(NOW)
        .expect("builds");
    let chat = Narrower {
        grants: Some(json!({"chat": true})),
        ..Narrower::default()
    };
    let refused = mint.exchange(&token, chat);
    assert_eq!(refused.err().as_deref(), Some("grant_missing"));
}
