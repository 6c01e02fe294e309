//! Signing in with what the device holds.

use hexline_tests::{Browser, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_that_was_added_signs_in_alone() {
    let server = TestServer::start().await;
    let operator = server.operator().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.authenticator().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    tab.open(&(server.base() + "/console/profile")).await;
    tab.press("Add passkey").await;
    tab.fill("#passkey-name", "Test laptop").await;
    tab.press("Continue").await;
    tab.sees("Test laptop").await;

    tab.press("Sign out").await;
    tab.press("Sign in with a passkey").await;
    tab.until("the first page", "location.pathname === '/console/'")
        .await;
    tab.sees("Olga").await;
    tab.is_faultless();
    browser.close().await;
}
