use hexline_tests::{
    Authenticator, OWNER_EMAIL, OWNER_PASSWORD, Refusal, TestOperator, TestServer, one_time_code,
    refusal,
};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_one_time_code_is_wanted_once_it_is_on_and_good_once() {
    let mut server = TestServer::start().await;
    let owner = server.operator().await;
    let offer = owner.post("/profile/totp", &json!({})).await;
    let secret = offer["secret"].as_str().expect("a secret").to_owned();
    let uri = offer["uri"].as_str().expect("a URI");
    assert!(uri.starts_with("otpauth://totp/Hexline:olga%40example.org?secret="));
    assert!(offer["svg"].as_str().expect("a picture").contains("<svg"));
    // It is not on before a code has shown that the app has it.
    TestOperator::sign_in(&server, OWNER_EMAIL, OWNER_PASSWORD).await;
    let wrong = json!({"code": "000000x"});
    let path = "/profile/totp/confirm";
    assert_eq!(
        owner.refused(Method::POST, path, &wrong).await,
        refusal(400, "invalid_params")
    );
    let first = one_time_code(&secret, 0);
    let confirmed = owner.post(path, &json!({"code": first})).await;
    let recovery = confirmed["recovery_codes"].as_array().expect("codes");
    assert_eq!(recovery.len(), 10);
    server.restart().await;

    let attempt = async |code: Option<&str>| sign_in_refused(&server, code).await;
    assert_eq!(attempt(None).await, refusal(401, "totp_required"));
    let failed = refusal(401, "sign_in_failed");
    assert_eq!(attempt(Some("not a code")).await, failed);
    assert_eq!(attempt(Some(&first)).await, failed, "it confirmed the app");
    let next = one_time_code(&secret, 1);
    sign_in(&server, &next).await;
    assert_eq!(attempt(Some(&next)).await, failed, "it was used");

    let code = recovery[0].as_str().expect("a code").to_uppercase();
    let owner = sign_in(&server, &code).await;
    assert_eq!(attempt(Some(&code)).await, failed, "it was used");
    assert_eq!(owner.get("/session").await["operator"]["totp"], true);
    let off = "/profile/totp/remove";
    owner.post(off, &json!({})).await;
    TestOperator::sign_in(&server, OWNER_EMAIL, OWNER_PASSWORD).await;
}

#[tokio::test]
async fn a_passkey_signs_in_alone() {
    let mut server = TestServer::start().await;
    let owner = server.operator().await;
    let mut key = Authenticator::new(&server.base());
    let made = register(&owner, &mut key).await;
    assert_eq!(made["label"], "my laptop");
    let id = made["id"].as_str().expect("an id").to_owned();
    assert_eq!(owner.get("/session").await["operator"]["passkeys"], 1);
    server.restart().await;
    // The port is another one, and so is the page.
    key.origin = server.base();
    let there = use_passkey(&server, &mut key).await.expect("signed in");
    assert_eq!(
        there.get("/session").await["operator"]["email"],
        OWNER_EMAIL
    );
    let listed = there.get("/profile/passkeys").await;
    assert!(listed["items"][0]["last_used_ms"].is_i64());
    there.delete(&format!("/profile/passkeys/{id}")).await;
    assert_eq!(use_passkey(&server, &mut key).await.err(), Some(failed()));
}

#[tokio::test]
async fn a_passkey_does_not_sign_in_for_another_site_server_or_user() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let mut key = Authenticator::new(&server.base());
    register(&owner, &mut key).await;
    let refused = Some(failed());
    let own = key.origin.clone();
    key.origin = "https://evil.example".to_owned();
    assert_eq!(use_passkey(&server, &mut key).await.err(), refused);
    key.origin = own;
    key.verifies = false;
    assert_eq!(use_passkey(&server, &mut key).await.err(), refused);
    key.verifies = true;
    let stranger = TestOperator::stranger(&server);
    let mut question = stranger.post("/session/passkey/start", &json!({})).await;
    question["options"]["rpId"] = json!("evil.example");
    let forged = json!({"id": question["id"], "credential": key.get(&question["options"])});
    assert_eq!(finish(&server, &forged).await.err(), refused, "another rp");
    let mut other = Authenticator::new(&server.base());
    assert_eq!(use_passkey(&server, &mut other).await.err(), refused);
    use_passkey(&server, &mut key).await.expect("all is well");
    // A copy of it has signed less often.
    key.count = Some(1);
    assert_eq!(use_passkey(&server, &mut key).await.err(), refused);
}

#[tokio::test]
async fn a_passkeys_answer_is_good_once_and_for_its_question() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let mut key = Authenticator::new(&server.base());
    key.count = None;
    register(&owner, &mut key).await;
    let stranger = TestOperator::stranger(&server);
    let start = || stranger.post("/session/passkey/start", &Value::Null);
    let question = start().await;
    let answer = json!({"id": question["id"], "credential": key.get(&question["options"])});
    finish(&server, &answer).await.expect("signed in");
    assert_eq!(finish(&server, &answer).await.err(), Some(failed()));
    let other = start().await;
    let mixed = json!({"id": other["id"], "credential": key.get(&question["options"])});
    assert_eq!(finish(&server, &mixed).await.err(), Some(failed()));
    let mut altered = json!({"id": other["id"], "credential": key.get(&other["options"])});
    let data = &mut altered["credential"]["response"]["signature"];
    *data = json!(data.as_str().expect("text").replacen('M', "N", 1));
    assert_eq!(finish(&server, &altered).await.err(), Some(failed()));
    // A question to register a passkey is no question to sign in.
    let offered = owner.post("/profile/passkeys/start", &Value::Null).await;
    let options = json!({"challenge": offered["options"]["challenge"], "rpId": "localhost"});
    let confused = json!({"id": offered["id"], "credential": key.get(&options)});
    assert_eq!(finish(&server, &confused).await.err(), Some(failed()));
}

#[tokio::test]
async fn a_passkey_that_was_lost_is_of_no_use_after_a_new_link() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let email = "adam@example.org";
    let adam = owner.invited(&server, email, "viewer", None).await;
    let id = adam.get("/session").await["operator"]["id"].clone();
    let mut lost = Authenticator::new(&server.base());
    register(&adam, &mut lost).await;
    let path = format!("/operators/{}/invitation", id.as_str().expect("an id"));
    let link = owner.post(&path, &json!({})).await;
    use_passkey(&server, &mut lost).await.expect("not yet");
    let link = link["invitation_url"].as_str().expect("a link");
    let (_, token) = link.split_once('#').expect("the token is the fragment");
    let body = json!({"token": token, "name": "Adam", "password": "another good password"});
    let adam = TestOperator::begin(&server, "/invitation", &body).await;
    assert_eq!(adam.get("/session").await["operator"]["passkeys"], 0);
    assert_eq!(use_passkey(&server, &mut lost).await.err(), Some(failed()));
}

async fn register(operator: &TestOperator, key: &mut Authenticator) -> Value {
    let question = operator.post("/profile/passkeys/start", &Value::Null).await;
    let credential = key.create(&question["options"]);
    let body = json!({"id": question["id"], "label": "my laptop", "credential": credential});
    operator.post("/profile/passkeys/finish", &body).await
}

async fn use_passkey(
    server: &TestServer,
    key: &mut Authenticator,
) -> Result<TestOperator, Refusal> {
    let stranger = TestOperator::stranger(server);
    let question = stranger.post("/session/passkey/start", &Value::Null).await;
    let credential = key.get(&question["options"]);
    finish(
        server,
        &json!({"id": question["id"], "credential": credential}),
    )
    .await
}

async fn finish(server: &TestServer, answer: &Value) -> Result<TestOperator, Refusal> {
    TestOperator::try_begin(server, "/session/passkey/finish", answer).await
}

fn failed() -> Refusal {
    refusal(401, "sign_in_failed")
}

async fn sign_in(server: &TestServer, code: &str) -> TestOperator {
    let body = json!({"email": OWNER_EMAIL, "password": OWNER_PASSWORD, "code": code});
    TestOperator::begin(server, "/session", &body).await
}

async fn sign_in_refused(server: &TestServer, code: Option<&str>) -> Refusal {
    let stranger = TestOperator::stranger(server);
    let mut body = json!({"email": OWNER_EMAIL, "password": OWNER_PASSWORD});
    if let Some(code) = code {
        body["code"] = json!(code);
    }
    stranger.refused(Method::POST, "/session", &body).await
}
