//! What an operator does first, from the set-up link to a revoked key.

use std::process::Output;

use hexline_tests::{Browser, OWNER_EMAIL, OWNER_PASSWORD, TestServer, within};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn from_the_set_up_link_to_a_key_that_works_and_is_revoked() {
    let server = TestServer::start().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;

    tab.open(&server.console_setup_url().expect("nobody is there yet"))
        .await;
    tab.fill("#email", OWNER_EMAIL).await;
    tab.fill("#name", "Olga").await;
    tab.fill("#password", OWNER_PASSWORD).await;
    tab.fill("#again", OWNER_PASSWORD).await;
    tab.press("Create owner").await;

    tab.press("Make the first app").await;
    tab.fill("#app-name", "shop").await;
    tab.press("Create app").await;

    tab.press("Make the first key").await;
    tab.fill("#key-label", "Shop server").await;
    tab.press("Create key").await;
    tab.sees("Copy the secret now").await;
    let id = tab.text("#made-id code").await;
    let secret = tab.text("#made-secret code").await;
    assert!(secret.len() >= 43, "{} characters", secret.len());
    tab.picture("dialog-new-key").await;
    tab.fits("the new key").await;
    tab.press("Rust").await;
    tab.press("I have copied it").await;
    tab.sees("Shop server").await;
    let page = tab.value("document.documentElement.outerHTML").await;
    assert!(!page.to_string().contains(&secret), "it is shown once");

    let token = token(&server, &id, &secret);
    let url = format!("{}/client/v1/me", server.base());
    let answer = curl(&[
        "-sS",
        "--fail",
        "-H",
        &format!("Authorization: Bearer {token}"),
        &url,
    ])
    .await;
    assert!(answer.status.success(), "{answer:?}");
    let answer = String::from_utf8(answer.stdout).expect("text");
    assert!(answer.contains("alice"), "{answer}");

    tab.press("Token workbench").await;
    tab.fill("#token", &token).await;
    tab.choose("#inspect-grant", "signal").await;
    tab.press("Inspect").await;
    tab.sees("Accepted: it passes every check.").await;
    assert_eq!(tab.count("#checks .pass").await, 9);
    tab.picture("workbench-inspected").await;

    let mut socket = server.connect("alice/web1", &token).await;
    tab.press("Live").await;
    tab.shows("#connections tbody tr").await;
    tab.sees("alice").await;
    let keys = browser.tab().await;
    let address = tab.value("location.href").await;
    let address = address
        .as_str()
        .expect("an address")
        .replace("/live", "/keys");
    keys.open(&address).await;
    keys.press("Revoke").await;
    keys.sees("This closes 1 live connection at once.").await;
    keys.picture("dialog-revoke-key").await;
    keys.press("Revoke key").await;
    keys.sees("Revoked; 1 connection closed.").await;
    tab.sees("Nobody is connected").await;
    assert_eq!(socket.closed().await, 4501);

    let refused = curl(&["-sS", "-H", &format!("Authorization: Bearer {token}"), &url]).await;
    let refused = String::from_utf8(refused.stdout).expect("text");
    assert!(refused.contains("key_revoked"), "{refused}");
    tab.is_faultless();
    keys.is_faultless();
    browser.close().await;
}

fn token(server: &TestServer, id: &str, secret: &str) -> String {
    hexline_token::TokenBuilder::create()
        .key(id, secret)
        .access("client")
        .api(server.base())
        .identity("alice")
        .device("web1")
        .grant("signal", true)
        .build()
        .expect("all is set")
}

async fn curl(arguments: &[&str]) -> Output {
    let output = Command::new("curl").args(arguments).output();
    within("curl", output).await.expect("curl is installed")
}
