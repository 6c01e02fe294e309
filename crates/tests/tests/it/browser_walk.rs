//! What an operator does first, from the set-up link to a revoked key.

use std::path::{Path, PathBuf};
use std::process::Output;

use hexline_tests::{Browser, OWNER_EMAIL, OWNER_PASSWORD, Program, TestServer, within};
use tempfile::TempDir;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn from_the_set_up_link_to_a_key_that_works_and_is_revoked() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;

    tab.open(&server.console_setup_url().expect("nobody is there yet"))
        .await;
    tab.shows("#setup").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_its_dialog_and_nowhere_else_in_a_browser() {
    let data = TempDir::new().expect("a directory");
    let (program, ready) = Program::serve_dev(data.path(), &["--log-level", "trace"]).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.open(ready["console_setup_url"].as_str().expect("a link"))
        .await;
    tab.shows("#setup").await;
    tab.fill("#email", OWNER_EMAIL).await;
    tab.fill("#name", "Olga").await;
    tab.fill("#password", OWNER_PASSWORD).await;
    tab.fill("#again", OWNER_PASSWORD).await;
    tab.press("Create owner").await;
    tab.press("demo").await;
    tab.press("New key").await;
    tab.press("Create key").await;
    let secret = tab.text("#made-secret code").await;
    // A slip of the finger does not close it.
    tab.key("Escape", 27).await;
    tab.press("I have copied it").await;
    tab.shows("#keys tbody tr:nth-child(2)").await;
    let keys = tab.value("location.href").await;
    let keys = keys.as_str().expect("an address");
    for page in ["keys", "tokens", "settings", "live"] {
        tab.open(&keys.replace("/keys", &format!("/{page}"))).await;
        let loaded = "[...document.querySelectorAll('[data-loading]')].every((e) => e.hidden)";
        tab.until(page, loaded).await;
        let page = tab.value("document.documentElement.outerHTML").await;
        assert!(!page.to_string().contains(&secret));
    }
    browser.close().await;
    let (well, rest, log) = program.stop().await;
    assert!(well, "{log}");
    assert!(!log.is_empty());
    for shown in [&secret, OWNER_PASSWORD] {
        assert!(!log.contains(shown) && !rest.contains(shown), "in the log");
        for file in files(data.path()) {
            let bytes = std::fs::read(&file).expect("a file");
            let found = bytes
                .windows(shown.len())
                .any(|part| part == shown.as_bytes());
            assert!(!found, "in {}", file.display());
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let (folders, mut all): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    all.retain(|path| path.is_file());
    all.extend(folders.iter().flat_map(|folder| files(folder)));
    all
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
