//! Changing how one signs in, at the Console: it asks who is there and goes on with what was wanted.

use std::time::Duration;

use hexline_tests::{Browser, OWNER_PASSWORD, Tab, TestOperator, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn who_confirms_with_the_password_gets_what_was_wanted() {
    let (server, operator) = start().await;
    let browser = Browser::start().await;
    let tab = profile(&browser, &server, &operator).await;
    server.advance(Duration::from_mins(5));
    tab.press("Set up").await;
    tab.sees("Is it you?").await;
    looked_at(&tab, "dialog-confirm").await;
    tab.press("Cancel").await;
    tab.sees("Nothing was changed").await;
    assert_eq!(tab.count("#totp").await, 0);
    tab.press("Set up").await;
    tab.fill("#confirm-password", "not the password").await;
    tab.press("Confirm").await;
    tab.sees("The password does not fit.").await;
    tab.fill("#confirm-password", OWNER_PASSWORD).await;
    tab.press("Confirm").await;
    tab.shows("#totp-picture img").await;
    tab.is_faultless_but_refused();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_shows_the_passkeys_and_takes_those_that_are_not_known() {
    let (server, operator) = start().await;
    let browser = Browser::start().await;
    let tab = profile(&browser, &server, &operator).await;
    tab.press("Add passkey").await;
    tab.fill("#passkey-name", "Somebody's phone").await;
    tab.press("Continue").await;
    tab.sees("Somebody's phone").await;
    server.advance(Duration::from_mins(5));
    tab.fill("#new", "another good password").await;
    tab.press("Change password").await;
    tab.press("Use a passkey").await;
    tab.sees("Do you know these passkeys?").await;
    let shown = tab.text("#left-passkeys").await;
    let year = tab.value("String(new Date().getFullYear())").await;
    assert!(
        shown.contains("Somebody's phone") && shown.contains(year.as_str().expect("text")),
        "{shown}"
    );
    looked_at(&tab, "dialog-passkeys-left").await;
    tab.press("Remove").await;
    tab.sees("No passkey").await;
    let left = operator.get("/profile/passkeys").await;
    assert_eq!(left["items"], serde_json::json!([]));
    tab.is_faultless_but_refused();
    browser.close().await;
}

async fn start() -> (TestServer, TestOperator) {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    (server, operator)
}

async fn profile(browser: &Browser, server: &TestServer, operator: &TestOperator) -> Tab {
    let tab = browser.tab().await;
    tab.authenticator().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    tab.open(&(server.base() + "/console/profile")).await;
    tab.sees("Signed in").await;
    tab
}

async fn looked_at(tab: &Tab, name: &str) {
    for width in [360, 1440] {
        tab.size(width, 900).await;
        tab.fits(name).await;
        tab.picture(&format!("{name}-{width}")).await;
    }
}
