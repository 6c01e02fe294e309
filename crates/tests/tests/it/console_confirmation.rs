//! Anyone who found a session that somebody left open cannot make it last: what changes how operators
//! sign in asks for the password or a passkey.

use std::time::Duration;

use hexline_tests::{
    Authenticator, OWNER_EMAIL, OWNER_PASSWORD, TestOperator, TestServer, one_time_code, refusal,
};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn every_change_of_credentials_asks_for_the_password_after_five_minutes() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let adam = owner
        .invited(&server, "adam@example.org", "viewer", None)
        .await;
    let id = id_of(&adam).await;
    let offer = owner.post("/profile/totp", &json!({})).await;
    let secret = offer["secret"].as_str().expect("a secret");
    let passkey = owner.post("/profile/passkeys/start", &Value::Null).await;
    let mut key = Authenticator::new(&server.base());
    let registration = json!({
        "id": passkey["id"], "label": "my laptop", "credential": key.create(&passkey["options"]),
    });
    server.advance(Duration::from_secs(5 * 60 - 1));
    owner
        .post("/profile/password", &json!({"new": "just in time for it"}))
        .await;
    server.advance(Duration::from_secs(1));
    let operator = format!("/operators/{id}");
    // What takes away only, or changes no credentials, is not asked about.
    owner.patch("/profile", &json!({"name": "Olga"})).await;
    let same = json!({"role": "viewer", "apps": null, "disabled": true});
    owner.patch(&operator, &same).await;
    let invitation = format!("/operators/{id}/invitation");
    let changes = [
        (
            Method::POST,
            "/profile/password",
            json!({"new": "another good password"}),
        ),
        (Method::POST, "/profile/totp", json!({})),
        (
            Method::POST,
            "/profile/totp/confirm",
            json!({"code": one_time_code(secret, 0)}),
        ),
        (Method::POST, "/profile/totp/remove", json!({})),
        (Method::POST, "/profile/passkeys/start", json!({})),
        (Method::POST, "/profile/passkeys/finish", registration),
        (Method::DELETE, "/profile/passkeys/AAAA", json!({})),
        // The ways around it: a link or another operator that opens what one is shut out of.
        (
            Method::POST,
            "/operators",
            json!({"email": "eve@example.org", "role": "owner"}),
        ),
        (Method::POST, &invitation, json!({})),
        (Method::PATCH, &operator, json!({"role": "owner"})),
        (Method::PATCH, &operator, json!({"apps": []})),
        (Method::PATCH, &operator, json!({"disabled": false})),
    ];
    for (method, path, body) in &changes {
        let refused = owner.refused(method.clone(), path, body).await;
        let wanted = refusal(403, "confirmation_required");
        assert_eq!(refused, wanted, "{method} {path} {body}");
    }
    for (password, wanted) in [
        (OWNER_PASSWORD, Some(refusal(403, "forbidden"))),
        ("just in time for it", None),
    ] {
        let confirm = owner.request(Method::POST, "/session/confirm");
        let confirm = confirm.json(&json!({"password": password}));
        match wanted {
            Some(wanted) => assert_eq!(hexline_tests::refusal_of(confirm).await, wanted),
            None => assert_eq!(
                confirm.send().await.expect("an answer").status().as_u16(),
                204
            ),
        }
        let path = "/profile/passkeys/AAAA";
        let refused = owner.refused(Method::DELETE, path, &json!({})).await;
        let code = if password == OWNER_PASSWORD {
            "confirmation_required"
        } else {
            "not_found"
        };
        assert_eq!(refused.code, code);
    }
    owner
        .post("/profile/password", &json!({"new": OWNER_PASSWORD}))
        .await;
    server.advance(Duration::from_mins(5));
    let again = owner
        .refused(Method::POST, "/profile/totp", &json!({}))
        .await;
    assert_eq!(again, refusal(403, "confirmation_required"));
    let log = owner.get("/audit?action=operator.*").await;
    let actions: Vec<&str> = log["items"]
        .as_array()
        .expect("entries")
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .filter(|action| action.starts_with("operator.confirm"))
        .collect();
    assert_eq!(actions, ["operator.confirm", "operator.confirm_failed"]);
}

#[tokio::test]
async fn a_passkey_confirms_a_session_of_its_owner_alone() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let adam = owner
        .invited(&server, "adam@example.org", "viewer", None)
        .await;
    let (mut hers, mut his) = (
        Authenticator::new(&server.base()),
        Authenticator::new(&server.base()),
    );
    register(&owner, &mut hers).await;
    register(&adam, &mut his).await;
    server.advance(Duration::from_mins(5));
    let confirm = async |key: &mut Authenticator| {
        let question = owner.post("/session/passkey/start", &json!({})).await;
        let answer = json!({"id": question["id"], "credential": key.get(&question["options"])});
        let body = json!({"passkey": answer});
        let request = owner.request(Method::POST, "/session/confirm").json(&body);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(confirm(&mut his).await, 403);
    let refused = owner
        .refused(Method::POST, "/profile/totp", &json!({}))
        .await;
    assert_eq!(refused, refusal(403, "confirmation_required"));
    assert_eq!(confirm(&mut hers).await, 204);
    owner.post("/profile/totp", &json!({})).await;
}

#[tokio::test]
async fn a_changed_password_lists_the_passkeys_that_stay() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let change = json!({"new": "another good password"});
    let changed = owner.post("/profile/password", &change).await;
    assert_eq!(changed["passkeys"], json!([]));
    let mut key = Authenticator::new(&server.base());
    let made = register(&owner, &mut key).await;
    let changed = owner.post("/profile/password", &change).await;
    assert_eq!(changed["passkeys"][0]["id"], made["id"]);
    assert!(changed["passkeys"][0]["created_ms"].is_i64());
    assert!(changed["passkeys"][0]["last_used_ms"].is_null());
}

#[tokio::test]
async fn guesses_at_a_confirmation_are_few_and_keep_nobody_from_signing_in() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let wrong = json!({"password": "a wrong password"});
    let refused = async || {
        owner
            .refused(Method::POST, "/session/confirm", &wrong)
            .await
    };
    for _ in 0..10 {
        assert_eq!(refused().await, refusal(403, "forbidden"));
    }
    assert_eq!(refused().await, refusal(429, "rate_limited"));
    TestOperator::sign_in(&server, OWNER_EMAIL, OWNER_PASSWORD).await;
}

async fn register(operator: &TestOperator, key: &mut Authenticator) -> Value {
    let question = operator.post("/profile/passkeys/start", &Value::Null).await;
    let credential = key.create(&question["options"]);
    let body = json!({"id": question["id"], "label": "my laptop", "credential": credential});
    operator.post("/profile/passkeys/finish", &body).await
}

async fn id_of(operator: &TestOperator) -> String {
    let session = operator.get("/session").await;
    let id = session["operator"]["id"].as_str().expect("an id");
    id.to_owned()
}
