//! What is entered into forms of the Console, rightly and wrongly, and what it becomes.

use hexline_tests::{Browser, Tab, TestApp, TestOperator, TestServer};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_all_that_was_entered_and_stays_so_when_edited() {
    let (server, operator, app) = start().await;
    let browser = Browser::start().await;
    let tab = page(&browser, &server, &operator, &app, "sign-in").await;
    tab.press("Add provider").await;
    assert_eq!(tab.count("#provider [data-known]").await, 0);
    tab.choose("#provider-preset", "google").await;
    tab.fill("#provider-id", "google").await;
    tab.fill("#provider-client", "shop-web").await;
    tab.fill("#provider-others", "shop-ios, shop-android").await;
    tab.click("#provider summary").await;
    tab.fill("#provider-ttl", "90").await;
    tab.fill("#provider-profile", "name, photo=picture").await;
    for grant in ["chat", "video", "push"] {
        tab.click(&format!(
            "#provider-grants [data-grant={grant}] input[data-on]"
        ))
        .await;
    }
    tab.fill("#provider-grants [data-list=channels]", "lobby.*")
        .await;
    tab.size(360, 800).await;
    tab.fits("the provider's dialog").await;
    tab.picture("dialog-provider").await;
    tab.size(1440, 900).await;
    tab.click("#provider [type=submit]").await;
    tab.sees("shop-web").await;
    let path = format!("/apps/{}/sign-in", app.app_id());
    let made = operator.get(&path).await["oidc"][0].clone();
    let wanted = json!({
        "id": "google", "preset": "google", "client_id": "shop-web", "ttl_s": 5400,
        "other_client_ids": ["shop-ios", "shop-android"],
        "profile": {"name": "name", "photo": "picture"},
        "grants": {"signal": {"channels": ["lobby.*"]}},
    });
    for (member, value) in wanted.as_object().expect("an object") {
        assert_eq!(&made[member], value, "{member}");
    }

    tab.press("Edit").await;
    tab.until(
        "the grants are as they were",
        "!document.querySelector('#provider-grants [data-grant=chat] input[data-on]').checked",
    )
    .await;
    tab.fill("#provider-client", "shop-web-2").await;
    tab.click("#provider [type=submit]").await;
    tab.sees("shop-web-2").await;
    let edited = operator.get(&path).await["oidc"][0].clone();
    let mut wanted = made;
    wanted["client_id"] = json!("shop-web-2");
    assert_eq!(edited, wanted);
    tab.is_faultless();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_own_sign_in_grants_no_more_than_was_ticked() {
    let (server, operator, app) = start().await;
    let browser = Browser::start().await;
    let tab = page(&browser, &server, &operator, &app, "sign-in").await;
    tab.click("#external [name=enabled]").await;
    tab.fill("#external-url", "https://shop.example/who").await;
    tab.fill("#external-ttl", "0").await;
    tab.click("#external [type=submit]").await;
    tab.sees("Tokens last at most, in minutes: ").await;
    tab.fill("#external-ttl", "5").await;
    for grant in ["chat", "video", "push"] {
        tab.click(&format!(
            "#external-grants [data-grant={grant}] input[data-on]"
        ))
        .await;
    }
    tab.click("#external [type=submit]").await;
    tab.sees("Saved.").await;
    let made = operator
        .get(&format!("/apps/{}/sign-in", app.app_id()))
        .await;
    let external = &made["external"];
    assert_eq!(external["grants"], json!({"signal": true}));
    assert_eq!(external["ttl_s"], 300);
    tab.is_faultless();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workbench_offers_a_call_that_the_token_is_good_for() {
    let (server, operator, app) = start().await;
    let browser = Browser::start().await;
    let tab = page(&browser, &server, &operator, &app, "tokens").await;
    tab.click("#build [name=access][value=platform]").await;
    tab.press("Build token").await;
    tab.sees("Accepted:").await;
    let line = tab.text("#built-curl code").await;
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http"));
    let url = url.expect("it names a URL");
    let token = tab.text("#built-token code").await;
    let answer = reqwest::Client::new().get(url).bearer_auth(&token);
    let answer = answer.send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{url}");

    tab.click("#build [name=area][value=tokens]").await;
    tab.press("Build token").await;
    tab.sees("Choose at least one thing").await;

    // However it was copied.
    for pasted in [
        format!("Authorization: Bearer {token}"),
        format!("\"{token}\""),
        format!("ws://localhost/client/signal/v1/pubsub?jwt={token}&x=1"),
    ] {
        tab.fill("#token", &pasted).await;
        tab.press("Inspect").await;
        tab.until(
            "it is the token alone",
            &format!("document.querySelector('#token').value === '{token}'"),
        )
        .await;
        tab.sees("Accepted:").await;
    }
    tab.fill("#token", "no token").await;
    tab.press("Inspect").await;
    tab.sees("Refused at check 1").await;
    tab.is_faultless();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_invited_only_is_shown_as_such() {
    let (server, operator, _) = start().await;
    let order = json!({"email": "new@example.org", "role": "viewer"});
    operator.post("/operators", &order).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    tab.open(&(server.base() + "/console/operators")).await;
    tab.sees("new@example.org").await;
    tab.sees("Not here yet").await;
    let state = "[...document.querySelectorAll('#operators tr')].find((row) => row.textContent.includes('new@example.org')).querySelector('[data-field=state]').textContent";
    assert_eq!(tab.value(state).await, "invited");
    tab.is_faultless();
    browser.close().await;
}

async fn start() -> (TestServer, TestOperator, TestApp) {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let app = server.app("shop").await;
    (server, operator, app)
}

async fn page(
    browser: &Browser,
    server: &TestServer,
    operator: &TestOperator,
    app: &TestApp,
    name: &str,
) -> Tab {
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    let address = format!("{}/console/apps/{}/{name}", server.base(), app.app_id());
    tab.open(&address).await;
    tab.until(
        "everything is loaded",
        "[...document.querySelectorAll('[data-loading]')].every((e) => !e.checkVisibility())",
    )
    .await;
    tab
}
