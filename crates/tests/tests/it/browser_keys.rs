//! Keys by the Console: what goes with a key that is revoked.

use hexline_tests::{Browser, TestServer};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_key_shows_the_keys_that_it_made_and_may_leave_them() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let app = server.app("shop").await;
    let (maker, other) = (app.another_key(None).await, app.another_key(None).await);
    let made = json!({"label": "made by a server"});
    maker.platform().posted("/keys", &made).await;
    other
        .platform()
        .posted("/keys", &json!({"label": "to be kept"}))
        .await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    let page = format!("{}/console/apps/{}/keys", server.base(), app.app_id());
    tab.open(&page).await;
    tab.sees("made by a server").await;
    let revoke = |key: &str| format!(r#"tr[data-key="{key}"] [data-action="revoke"]"#);
    tab.click(&revoke(&maker.key_id())).await;
    tab.shows("#revoke-made").await;
    let named = tab.text("#revoke-made-keys").await;
    assert!(named.contains("made by a server"), "{named}");
    for width in [1440, 360] {
        tab.size(width, 900).await;
        tab.fits(&format!("the dialog at {width}")).await;
        tab.picture(&format!("dialog-revoke-key-{width}")).await;
    }
    tab.press("Revoke key").await;
    tab.sees("with 1 key that it made").await;

    tab.click(&revoke(&other.key_id())).await;
    tab.click("#revoke-made input").await;
    tab.press("Revoke key").await;
    let standing = "[...document.querySelectorAll('#keys tr')].some((row) => row.innerText.includes('to be kept') && row.innerText.includes('active'))";
    tab.until("the key that was kept stands", standing).await;

    tab.click(&revoke(&app.key_id())).await;
    tab.shows("#revoke-count").await;
    assert_eq!(tab.count("#revoke-made").await, 0, "it made none");
    tab.is_faultless();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warning_before_a_revocation_counts_no_connections_of_keys_that_are_kept() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let app = server.app("shop").await;
    let maker = app.another_key(None).await;
    let made = maker.platform().posted("/keys", &json!({})).await;
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let token = hexline_token::TokenBuilder::create()
        .key(text(&made["key"]["id"]), text(&made["secret"]))
        .api(server.base())
        .identity("bob")
        .device("web")
        .grant("signal", true)
        .build()
        .expect("all is set");
    let _alice = maker.connect("alice/web").await;
    let _bob = server.connect("bob/web", &token).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    let page = format!("{}/console/apps/{}/keys", server.base(), app.app_id());
    tab.open(&page).await;
    let revoke = format!(
        r#"tr[data-key="{}"] [data-action="revoke"]"#,
        maker.key_id()
    );
    tab.click(&revoke).await;
    tab.sees("This closes 2 live connections at once.").await;
    tab.click("#revoke-made input").await;
    tab.sees("This closes 1 live connection at once.").await;
    tab.click("#revoke-made input").await;
    tab.sees("This closes 2 live connections at once.").await;
    tab.click("#revoke-made input").await;
    tab.press("Cancel").await;
    // The next question begins with the box empty.
    tab.click(&revoke).await;
    tab.sees("This closes 2 live connections at once.").await;
    tab.is_faultless();
    browser.close().await;
}
