//! How a person comes into the Console: set-up link, password, passkey, and how one is kept out.

use hexline_tests::{Browser, OWNER_EMAIL, OWNER_PASSWORD, Tab, TestServer};

use crate::browser_prefix::proxy_that_changes_heads;

#[tokio::test(flavor = "multi_thread")]
async fn the_set_up_link_makes_an_owner_and_leaves_the_address_bar() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    let link = server.console_setup_url().expect("nobody is there yet");
    tab.open(&link).await;
    tab.shows("#setup").await;
    looked_at(&tab, "setup-form").await;
    let address = tab.value("location.href").await;
    assert_eq!(address, server.base() + "/console/setup");
    tab.fill("#email", OWNER_EMAIL).await;
    tab.fill("#name", "Olga").await;
    tab.fill("#password", OWNER_PASSWORD).await;
    tab.fill("#again", "something else").await;
    tab.press("Create owner").await;
    tab.sees("The two passwords differ.").await;
    tab.fill("#again", OWNER_PASSWORD).await;
    tab.press("Create owner").await;
    tab.sees("Olga").await;

    // A link that was used says so at once.
    tab.open(&link).await;
    tab.sees("It was used to make the first operator").await;
    assert_eq!(tab.count("#setup").await, 0);
    looked_at(&tab, "setup-used").await;
    tab.is_faultless_but_refused();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_says_whom_it_is_for_and_when_it_is_used_up() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let owner = server.operator().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    let invite = async |email: &str| {
        let order = serde_json::json!({"email": email, "role": "viewer", "apps": null});
        let made = owner.post("/operators", &order).await;
        made["invitation_url"].as_str().expect("a link").to_owned()
    };
    let (adam, eve) = (
        invite("adam@example.org").await,
        invite("eve@example.org").await,
    );
    tab.open(&adam).await;
    tab.sees("adam@example.org").await;
    looked_at(&tab, "invitation-form").await;
    tab.fill("#name", "Adam").await;
    tab.fill("#password", OWNER_PASSWORD).await;
    tab.fill("#again", OWNER_PASSWORD).await;
    tab.press("Come in").await;
    tab.sees("Adam").await;
    tab.open(&adam).await;
    tab.sees("The invitation was used").await;
    assert_eq!(tab.count("#invitation").await, 0);
    looked_at(&tab, "invitation-used").await;
    // Another link in the same tab is another page, though only its fragment differs.
    tab.value(&format!("location.href = '{eve}'")).await;
    tab.sees("eve@example.org").await;
    assert_eq!(tab.value("location.hash").await, "");
    tab.is_faultless_but_refused();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_not_used_is_not_called_used_behind_a_proxy_that_changes_host() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let inside = |head: String| head.replacen("Host: 127.0.0.1", "Host: inside", 1);
    let proxy = proxy_that_changes_heads(server.at(), inside).await;
    let outside = |link: &str| link.replacen(&server.base(), &format!("http://{proxy}"), 1);
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    let setup = server.console_setup_url().expect("nobody is there yet");
    tab.open(&outside(&setup)).await;
    tab.sees(OTHER_SITE).await;
    tab.fill("#email", OWNER_EMAIL).await;
    tab.fill("#name", "Olga").await;
    tab.fill("#password", OWNER_PASSWORD).await;
    tab.fill("#again", OWNER_PASSWORD).await;
    tab.press("Create owner").await;
    let told = tab
        .until(
            "an answer",
            "!document.querySelector('#setup').dataset.busy && document.querySelector('#setup [data-error]').textContent",
        )
        .await;
    assert_eq!(told, OTHER_SITE);

    let order = serde_json::json!({"email": "adam@example.org", "role": "viewer", "apps": null});
    let made = server.operator().await.post("/operators", &order).await;
    let invitation = made["invitation_url"].as_str().expect("a link");
    tab.open(&outside(invitation)).await;
    tab.sees(OTHER_SITE).await;
    tab.shows("#invitation").await;
    tab.is_faultless_but_refused();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_signed_in_signs_in_and_goes_on_to_the_page_that_was_wanted() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    server.operator().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.open(&(server.base() + "/console/health")).await;
    tab.shows("#sign-in").await;
    sign_in(&tab, OWNER_PASSWORD).await;
    tab.until(
        "the wanted page",
        "location.pathname.endsWith('/console/health')",
    )
    .await;
    tab.press("Sign out").await;
    tab.shows("#sign-in").await;
    tab.open(&(server.base() + "/console/")).await;
    tab.shows("#sign-in").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guesser_is_told_to_wait() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    server.operator().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.open(&(server.base() + "/console/sign-in")).await;
    for guess in 0..100 {
        sign_in(&tab, &format!("a wrong password {guess}")).await;
        let told = tab
            .until(
                "an answer",
                "!document.querySelector('#sign-in').dataset.busy && document.querySelector('[data-error]').textContent",
            )
            .await;
        let told = told.as_str().expect("text");
        if told.starts_with("Too many attempts") {
            tab.is_faultless_but_refused();
            return browser.close().await;
        }
        assert!(told.contains("does not fit"), "{told}");
    }
    panic!("a hundred guesses were answered");
}

async fn looked_at(tab: &Tab, name: &str) {
    for width in [360, 1440] {
        tab.size(width, 900).await;
        tab.fits(name).await;
        tab.picture(&format!("{name}-{width}")).await;
    }
}

async fn sign_in(tab: &Tab, password: &str) {
    tab.fill("#email", OWNER_EMAIL).await;
    tab.fill("#password", password).await;
    tab.click("#sign-in [type=submit]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_a_page_of_somebody_else_leads_in() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    let page = server.base() + "/console/profile";
    tab.open(&format!("data:text/html,<a href='{page}'>your Console</a>"))
        .await;
    tab.press("your Console").await;
    tab.sees("Your profile").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_is_enough() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.open(&(server.base() + "/console/sign-in")).await;
    let focus = "document.activeElement.id";
    assert_eq!(tab.value(focus).await, "email");
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    tab.open(&(server.base() + "/console/profile")).await;
    tab.key("Tab", 9).await;
    let first = tab.value("document.activeElement.textContent").await;
    assert_eq!(first, "Skip to content");
    tab.value("document.activeElement.click()").await;
    tab.until(
        "the content has the focus",
        "document.activeElement.id === 'main'",
    )
    .await;
    let unnamed = tab
        .value("[...document.querySelectorAll('button, a, input, select, textarea')].filter((e) => !(e.type === 'hidden' || e.textContent.trim() || e.labels?.length || e.getAttribute('aria-label'))).map((e) => e.outerHTML)")
        .await;
    assert_eq!(unnamed, serde_json::json!([]), "without a name");
    browser.close().await;
}

const OTHER_SITE: &str = "The request comes from a page of another site.";
