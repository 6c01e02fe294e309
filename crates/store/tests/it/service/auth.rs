//! The Auth Service on a real database: what ends with time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hexline_model::{Device, Secret, SystemEntropy};
use hexline_services::RegistryServices;
use hexline_services::auth::{
    Anonymous, Answer, AuthError, AuthOptions, AuthService, AuthStore as _, Credentials, External,
    NewSettings, Outbound, OutboundError, Refresh, Request, SignIn, SignedIn, everything,
};
use hexline_services::keys::ApiKeyRecord;
use hexline_services::reach::UrlRule;
use hexline_services::revocations::Scope;
use hexline_services::tokens::TokenService;
use serde_json::json;

use super::{demo, hmac};
use crate::rig::Rig;

on_both!(
    a_user_without_a_name_ends_with_the_token_and_whoever_keeps_something_is_told,
    the_answer_to_a_refresh_may_be_lost_for_half_a_minute,
    refreshes_at_once_all_give_the_same_successor,
    a_line_that_ended_with_its_user_stays_ended_when_the_revocation_is_forgotten,
    a_line_ends_with_its_api_key_and_when_nobody_uses_it,
);

/// The app's own sign-in, which knows everybody as Alice.
struct Alice;

#[async_trait]
impl Outbound for Alice {
    async fn send(&self, _: Request) -> Result<Answer, OutboundError> {
        let body = json!({"identity": "alice"}).to_string();
        Ok(Answer { status: 200, body })
    }
}

struct World {
    auth: AuthService,
    services: RegistryServices,
    caller: ApiKeyRecord,
}

impl World {
    async fn on(rig: &Rig) -> Self {
        let services = rig.service().await;
        let app = demo(&services).await;
        hmac(&services, &app).await;
        let made = services.keys.create_api_key(app.id, None, "").await;
        let caller = made.expect("there is a key that signs");
        let auth = AuthService::new(
            Arc::new(rig.database.clone()),
            (Arc::clone(&services.keys), Arc::clone(&services.vault)),
            Arc::new(TokenService::new(
                Arc::clone(&services.keys),
                "http://localhost:8000",
                rig.clock.clone(),
            )),
            Arc::new(Alice),
            rig.clock.clone(),
            Arc::new(SystemEntropy),
            AuthOptions {
                url: "http://localhost:8000".to_owned(),
                dev: false,
                urls: UrlRule::default(),
            },
        );
        let settings = SignIn {
            anonymous: Anonymous {
                enabled: true,
                ttl_s: 60,
                ..Anonymous::default()
            },
            external: Some(External {
                enabled: true,
                url: "https://app.example/whoami".to_owned(),
                cookies: Vec::new(),
                prefix: String::new(),
                grants: everything(),
                ttl_s: 3600,
                shares_identities: false,
            }),
            refresh: Refresh {
                enabled: true,
                ttl_s: 200 * DAY_S,
            },
            ..SignIn::default()
        };
        let new = NewSettings {
            settings,
            secrets: BTreeMap::new(),
        };
        auth.put_settings(app.id, new).await.expect("good settings");
        Self {
            auth,
            services,
            caller,
        }
    }

    async fn signs_in(&self) -> Secret<String> {
        let credentials = Credentials {
            bearer: Some(Secret::new("a-token".to_owned())),
            cookies: BTreeMap::new(),
        };
        let signed_in = self.auth.external(&self.caller, web(), credentials).await;
        next(&signed_in.expect("Alice is let in"))
    }

    async fn refresh(&self, token: &Secret<String>) -> Result<SignedIn, &'static str> {
        let done = self.auth.refresh(&self.caller, &web(), token).await;
        done.map_err(|error| match error {
            AuthError::Refused { reason, .. } => reason,
            error => panic!("{error}"),
        })
    }
}

fn web() -> Device {
    Device::parse("web").expect("a device")
}

fn next(signed_in: &SignedIn) -> Secret<String> {
    let (token, _) = signed_in.refresh.as_ref().expect("a refresh token");
    token.clone()
}

async fn a_user_without_a_name_ends_with_the_token_and_whoever_keeps_something_is_told(
    rig: &mut Rig,
) {
    let world = World::on(rig).await;
    let gone = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&gone);
    world.auth.on_gone(Box::new(move |app, identity| {
        let mut gone = log.lock().expect("not poisoned");
        gone.push((app, identity.clone()));
    }));
    let signed_in = world.auth.anonymous(&world.caller, web()).await;
    let signed_in = signed_in.expect("anybody is let in");
    let count = || gone.lock().expect("not poisoned").len();
    world.auth.sweep(signed_in.expires).await.expect("sweeps");
    assert_eq!(count(), 0, "the door still lets the token in");
    let later = rig.advance(Duration::from_secs(71));
    for _ in 0..2 {
        world.auth.sweep(later).await.expect("sweeps");
    }
    let told = gone.lock().expect("not poisoned").clone();
    assert_eq!(told, [(world.caller.app, signed_in.identity)]);
    let left = rig.database.ended_anonymous(later, 9).await;
    assert_eq!(left.expect("reads"), []);
}

async fn the_answer_to_a_refresh_may_be_lost_for_half_a_minute(rig: &mut Rig) {
    let world = World::on(rig).await;
    let first = world.signs_in().await;
    let lost = next(&world.refresh(&first).await.expect("the first use"));
    rig.advance(Duration::from_secs(29));
    let second = next(&world.refresh(&first).await.expect("its answer was lost"));
    assert_eq!(second.expose(), lost.expose(), "the same once more");
    let third = next(&world.refresh(&second).await.expect("it is current"));
    rig.advance(Duration::from_secs(31));
    assert_eq!(world.refresh(&second).await.err(), Some("refresh_reused"));
    assert_eq!(world.refresh(&third).await.err(), Some("refresh_token"));
    let first = world.signs_in().await;
    let second = next(&world.refresh(&first).await.expect("the first use"));
    rig.advance(Duration::from_secs(20));
    world.refresh(&first).await.expect("its answer was lost");
    rig.advance(Duration::from_secs(10));
    let late = world.refresh(&first).await.err();
    assert_eq!(late, Some("refresh_reused"), "the window does not slide");
    assert_eq!(world.refresh(&second).await.err(), Some("refresh_token"));
}

async fn refreshes_at_once_all_give_the_same_successor(rig: &mut Rig) {
    let world = World::on(rig).await;
    let first = world.signs_in().await;
    let (one, two) = tokio::join!(world.refresh(&first), world.refresh(&first));
    let one = next(&one.expect("of two, each"));
    let two = next(&two.expect("of two, each"));
    assert_eq!(one.expose(), two.expose());
    world.refresh(&one).await.expect("it is current");
    let other = world.signs_in().await;
    let other = next(&world.refresh(&other).await.expect("it is current"));
    assert_ne!(one.expose(), other.expose());
}

async fn a_line_that_ended_with_its_user_stays_ended_when_the_revocation_is_forgotten(
    rig: &mut Rig,
) {
    let world = World::on(rig).await;
    let token = world.signs_in().await;
    let app = world.caller.app;
    let alice = Scope::Identity(hexline_model::Identity::parse("alice").expect("an identity"));
    let now = rig.advance(Duration::from_secs(1));
    let revoked = world
        .services
        .revocations
        .revoke_issued_before(app, alice, now)
        .await;
    revoked.expect("revokes");
    assert_eq!(world.refresh(&token).await.err(), Some("refresh_token"));
    world.auth.sweep(now).await.expect("sweeps");
    let much_later = rig.advance(Duration::from_secs(40 * DAY_S));
    assert_eq!(
        world
            .services
            .revocations
            .sweep(much_later)
            .await
            .expect("sweeps"),
        1
    );
    assert_eq!(world.refresh(&token).await.err(), Some("refresh_token"));
    // Who signs in again is somebody new.
    let token = world.signs_in().await;
    world.refresh(&token).await.expect("it is current");
}

async fn a_line_ends_with_its_api_key_and_when_nobody_uses_it(rig: &mut Rig) {
    let world = World::on(rig).await;
    let token = world.signs_in().await;
    rig.advance(Duration::from_secs(199 * DAY_S));
    let token = next(&world.refresh(&token).await.expect("in time"));
    rig.advance(Duration::from_secs(201 * DAY_S));
    assert_eq!(world.refresh(&token).await.err(), Some("refresh_token"));
    let token = world.signs_in().await;
    let api_key = world.caller.id;
    world
        .services
        .keys
        .revoke_api_key(api_key)
        .await
        .expect("revokes");
    assert!(world.auth.caller(&api_key.to_string()).is_err());
    assert_eq!(world.refresh(&token).await.err(), Some("refresh_token"));
}

const DAY_S: u64 = 24 * 3600;
