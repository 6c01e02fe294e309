//! Signing in with what a device holds: a passkey, or the codes of an authenticator app.

use hexline_tests::{Browser, OWNER_EMAIL, OWNER_PASSWORD, TestServer, one_time_code};

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_that_was_added_signs_in_alone() {
    let server = TestServer::start_in_real_time(|_| {}).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_code_of_an_authenticator_app_is_asked_for_once_it_is_set_up() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    tab.open(&(server.base() + "/console/profile")).await;
    tab.press("Set up").await;
    tab.shows("#totp-picture img").await;
    let drawn = "document.querySelector('#totp-picture img').naturalWidth > 0";
    tab.until("the code to scan is drawn", drawn).await;
    tab.picture("dialog-authenticator").await;
    tab.press("Cannot scan?").await;
    let secret = tab.text("#totp-secret code").await;
    let code = one_time_code(&secret, 0);
    tab.fill("#totp-code", &code).await;
    tab.press("Switch on").await;
    let codes = tab.text("#recovery-copy pre").await;
    assert_eq!(codes.lines().count(), 10);
    tab.picture("dialog-recovery-codes").await;
    tab.press("I have kept them").await;
    tab.press("Sign out").await;
    tab.fill("#email", OWNER_EMAIL).await;
    tab.fill("#password", OWNER_PASSWORD).await;
    tab.click("#sign-in [type=submit]").await;
    tab.sees("six digits").await;
    // Regression: half a minute later another code was made here, which fitted.
    tab.fill("#code", &code).await;
    tab.click("#sign-in [type=submit]").await;
    tab.sees("The code does not fit, or was used already.")
        .await;
    tab.fill("#code", &one_time_code(&secret, 1)).await;
    tab.click("#sign-in [type=submit]").await;
    tab.sees("Olga").await;
    tab.is_faultless_but_refused();
    browser.close().await;
}
