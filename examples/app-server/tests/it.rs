//! The program against a real Hexline server.

use std::process::Stdio;

use hexline_tests::{Browser, TestServer, claims, client, within};
use reqwest::StatusCode;
use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_has_signed_in_is_given_a_token_that_connects() {
    let hexline = TestServer::start().await;
    let app = hexline.app("lobby").await;
    let (_program, url) = start(&hexline.base(), &app.key_id(), app.secret()).await;
    let nobody = client().post(format!("{url}/token")).send().await;
    assert_eq!(
        nobody.expect("an answer").status(),
        StatusCode::UNAUTHORIZED
    );
    let alice = sign_in(&url, "alice").await;
    let bob = sign_in(&url, "bob").await;

    let token = token(&url, &alice).await;
    let claimed = claims(&token);
    assert_eq!(claimed["sub"], "alice/web");
    assert_eq!(claimed["profile"], json!({"name": "Alice"}));
    let mut alice = hexline.connect("alice/web", &token).await;
    alice
        .call("signal.join", json!({"id": "lobby", "presence": true}))
        .await;
    let token = self::token(&url, &bob).await;
    let mut bob = hexline.connect("bob/web", &token).await;
    bob.call("signal.join", json!({"id": "lobby", "presence": true}))
        .await;
    bob.call("signal.publish", json!({"id": "lobby", "text": "hello"}))
        .await;
    assert_eq!(alice.push().await.method, "signal.join");
    let said = alice.push().await;
    assert_eq!(said.params["text"], "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_two_who_sign_in_on_the_page_read_each_other() {
    let hexline = TestServer::start().await;
    let app = hexline.app("lobby").await;
    let (_program, url) = start(&hexline.base(), &app.key_id(), app.secret()).await;
    let browsers = [Browser::start().await, Browser::start().await];
    let (mut tabs, users) = (Vec::new(), ["alice", "bob"]);
    for (browser, user) in browsers.iter().zip(users) {
        let tab = browser.tab().await;
        tab.open(&url).await;
        tab.shows("#sign-in").await;
        tab.fill("[name=user]", user).await;
        tab.fill("[name=password]", &format!("{user}'s password"))
            .await;
        tab.press("Sign in").await;
        tab.sees("connected as").await;
        tabs.push(tab);
    }
    tabs[0].sees("bob").await;
    tabs[1].fill("#text", "hello from bob").await;
    tabs[1].press("Send").await;
    tabs[0].sees("hello from bob").await;
    for (tab, user) in tabs.iter().zip(users) {
        tab.fits(&format!("the lobby of {user}")).await;
        tab.picture(&format!("lobby-{user}")).await;
    }
    tabs[0].press("Sign out").await;
    tabs[0].shows("#sign-in").await;
    for browser in browsers {
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_name_are_refused_alike() {
    let (_program, url) = start("http://localhost:1", KEY, SECRET).await;
    let mut answers = Vec::new();
    for (user, password) in [("alice", "bob's password"), ("mallory", "alice's password")] {
        let order = json!({"user": user, "password": password});
        let response = client()
            .post(format!("{url}/session"))
            .json(&order)
            .send()
            .await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(!response.headers().contains_key(SET_COOKIE));
        answers.push(response.text().await.expect("a body"));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_signed_out_gets_no_token() {
    let (_program, url) = start("http://localhost:1", KEY, SECRET).await;
    let alice = sign_in(&url, "alice").await;
    token(&url, &alice).await;
    let out = client()
        .delete(format!("{url}/session"))
        .header(COOKIE, &alice);
    assert_eq!(
        out.send().await.expect("an answer").status(),
        StatusCode::NO_CONTENT
    );
    let request = client().post(format!("{url}/token")).header(COOKIE, &alice);
    assert_eq!(
        request.send().await.expect("an answer").status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_runs_its_own_script_and_reaches_hexline_alone() {
    let (_program, url) = start("http://localhost:1/rt", KEY, SECRET).await;
    let response = client()
        .get(format!("{url}/"))
        .send()
        .await
        .expect("an answer");
    let policy = response.headers()["content-security-policy"].clone();
    let policy = policy.to_str().expect("text");
    assert!(
        policy.contains("script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(
        policy.contains("connect-src 'self' ws://localhost:1;"),
        "{policy}"
    );
    let page = response.text().await.expect("a page");
    assert!(
        page.contains(r#"<script type="module" src="app.js"></script>"#),
        "{page}"
    );
    let script = client()
        .get(format!("{url}/app.js"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(script.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_it_says_what_is_missing() {
    let output = Command::new(PROGRAM)
        .env_remove("HEXLINE_KEY_ID")
        .env_remove("HEXLINE_KEY_SECRET")
        .output();
    let output = within("the end of the program", output)
        .await
        .expect("it starts");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("HEXLINE_KEY_ID is not set"), "{text}");
}

/// The program and its URL.
async fn start(hexline: &str, key: &str, secret: &str) -> (Child, String) {
    let mut child = Command::new(PROGRAM)
        .env("HEXLINE_URL", hexline)
        .env("HEXLINE_KEY_ID", key)
        .env("HEXLINE_KEY_SECRET", secret)
        .env("LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let line = within("its URL", lines.next_line()).await.expect("text");
    (child, line.expect("a line"))
}

async fn sign_in(url: &str, user: &str) -> String {
    let order = json!({"user": user, "password": format!("{user}'s password")});
    let response = client()
        .post(format!("{url}/session"))
        .json(&order)
        .send()
        .await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let cookie = response.headers()[SET_COOKIE]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    cookie.split(';').next().expect("a pair").to_owned()
}

async fn token(url: &str, cookie: &str) -> String {
    let request = client().post(format!("{url}/token")).header(COOKIE, cookie);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body: Value = response.json().await.expect("JSON");
    body["token"].as_str().expect("a token").to_owned()
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_hexline-example-app-server");

const KEY: &str = "0123456789abcdef0123456789abcdef";

const SECRET: &str = "0123456789-0123456789-0123456789-0123456789";
