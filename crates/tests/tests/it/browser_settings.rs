//! Settings that were changed and not saved, and disabling an app: the Console asks first.

use hexline_tests::{Browser, Tab, TestApp, TestOperator, TestServer};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_not_saved_are_not_left_without_a_question() {
    let (server, operator, app) = start().await;
    let browser = Browser::start().await;
    for (name, form, field) in [
        ("settings", "#limits", "#limits [name=connections]"),
        ("sign-in", "#refresh", "#refresh [name=ttl]"),
    ] {
        let tab = page(&browser, &server, &operator, &app, name).await;
        assert_eq!(closes(&tab).await, true, "nothing was changed");
        tab.press("Audit log").await;
        tab.shows("#audit").await;
        let tab = page(&browser, &server, &operator, &app, name).await;
        tab.fill(field, "7").await;
        assert_eq!(closes(&tab).await, false);
        let here = tab.value("location.href").await;
        for (leaves, button) in [("a link", "Audit log"), ("the way out", "Sign out")] {
            tab.press(button).await;
            tab.sees("Leave without saving?").await;
            if name == "settings" {
                looked_at(&tab, "dialog-unsaved").await;
            }
            tab.press("Stay").await;
            tab.sees_no_more("Leave without saving?").await;
            assert_eq!(tab.value("location.href").await, here, "{leaves}");
        }
        let typed = format!("document.querySelector('{field}').value");
        assert_eq!(tab.value(&typed).await, "7");
        tab.click(&format!("{form} [type=submit]")).await;
        tab.sees("Saved.").await;
        assert_eq!(closes(&tab).await, true, "it is saved");
        tab.fill(field, "8").await;
        tab.press("Audit log").await;
        tab.press("Leave").await;
        tab.shows("#audit").await;
        tab.is_faultless();
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn saving_one_form_keeps_what_was_entered_in_another() {
    let (server, operator, app) = start().await;
    let browser = Browser::start().await;
    let tab = page(&browser, &server, &operator, &app, "settings").await;
    tab.fill("#limits [name=connections]", "7").await;
    tab.fill("#longest", "12").await;
    tab.click("#policy [type=submit]").await;
    tab.sees("Saved.").await;
    let typed = "document.querySelector('#limits [name=connections]').value";
    assert_eq!(tab.value(typed).await, "7");
    assert_eq!(closes(&tab).await, false);
    let shown = operator.get(&format!("/apps/{}", app.app_id())).await;
    assert_eq!(shown["settings"]["longest_ttl_s"], 12 * 3600);
    assert_eq!(shown["settings"]["limits"]["connections"], json!(null));
    tab.click("#limits [type=submit]").await;
    tab.until(
        "all is saved",
        "!document.querySelector('#limits').dataset.busy",
    )
    .await;
    let shown = operator.get(&format!("/apps/{}", app.app_id())).await;
    assert_eq!(shown["settings"]["longest_ttl_s"], 12 * 3600);
    assert_eq!(shown["settings"]["limits"]["connections"], 7);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_an_app_names_its_connections_and_asks() {
    let (server, operator, app) = start().await;
    let _sockets = [
        app.connect("alice/web1").await,
        app.connect("bob/phone").await,
    ];
    let browser = Browser::start().await;
    let tab = page(&browser, &server, &operator, &app, "settings").await;
    tab.click("#switch").await;
    tab.sees("2 live connections").await;
    looked_at(&tab, "dialog-disable-app").await;
    tab.press("Cancel").await;
    let shown = operator.get(&format!("/apps/{}", app.app_id())).await;
    assert_eq!(shown["disabled_ms"], json!(null));
    assert_eq!(shown["connections"], 2);
    tab.click("#switch").await;
    tab.press("Disable app").await;
    tab.sees("This app is disabled").await;
    tab.press("Enable").await;
    tab.sees_no_more("This app is disabled").await;
    tab.is_faultless();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_disable_the_app_after_all_loses_no_settings() {
    let (server, owner, app) = start().await;
    let admin = owner
        .invited(&server, "adam@example.org", "admin", None)
        .await;
    let browser = Browser::start().await;
    let tab = page(&browser, &server, &admin, &app, "settings").await;
    tab.fill("#limits [name=connections]", "7").await;
    tab.click("#switch").await;
    tab.sees("0 live connections").await;
    tab.press("Cancel").await;
    assert_eq!(closes(&tab).await, false);
    tab.click("#switch").await;
    tab.press("Disable app").await;
    tab.press("Stay").await;
    tab.press("Cancel").await;
    assert_eq!(closes(&tab).await, false);

    // The page stays, though it was to be left: the server refuses.
    let me = admin.get("/session").await;
    let id = me["operator"]["id"].as_str().expect("an id");
    let viewer = json!({"role": "viewer"});
    owner.patch(&format!("/operators/{id}"), &viewer).await;
    tab.click("#switch").await;
    tab.press("Disable app").await;
    tab.press("Leave").await;
    tab.sees("Your role does not allow this").await;
    tab.press("Cancel").await;
    assert_eq!(closes(&tab).await, false);
    let again = json!({"role": "admin"});
    owner.patch(&format!("/operators/{id}"), &again).await;
    tab.fill("#longest", "12").await;
    tab.click("#policy [type=submit]").await;
    tab.sees("Saved.").await;
    let typed = "document.querySelector('#limits [name=connections]').value";
    assert_eq!(tab.value(typed).await, "7");
    assert_eq!(closes(&tab).await, false);

    tab.click("#switch").await;
    tab.press("Disable app").await;
    tab.press("Leave").await;
    tab.sees("This app is disabled").await;
    tab.is_faultless_but_refused();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_an_app_asks_nothing_about_its_settings() {
    let (server, operator, app) = start().await;
    let browser = Browser::start().await;
    let tab = page(&browser, &server, &operator, &app, "settings").await;
    // The browser's own question would hold up the test: it is noted instead.
    tab.value("addEventListener('beforeunload', (event) => { event.preventDefault = () => sessionStorage.setItem('asked', 'yes'); }, {capture: true})")
        .await;
    tab.fill("#limits [name=connections]", "7").await;
    tab.click("#delete").await;
    tab.fill("#confirm", "shop").await;
    tab.press("Delete app").await;
    tab.until("all apps", "location.pathname.endsWith('/console/')")
        .await;
    assert_eq!(
        tab.value("sessionStorage.getItem('asked')").await,
        json!(null)
    );
    tab.is_faultless();
    browser.close().await;
}

/// Whether the tab would close without a question.
async fn closes(tab: &Tab) -> serde_json::Value {
    tab.value("dispatchEvent(new Event('beforeunload', {cancelable: true}))")
        .await
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
    page: &str,
) -> Tab {
    let tab = browser.tab().await;
    let base = server.base() + "/console/";
    tab.cookie(&base, operator.cookie()).await;
    tab.open(&format!("{base}apps/{}/{page}", app.app_id()))
        .await;
    let filled = match page {
        "settings" => "document.querySelector('#limits [name=connections]')",
        _ => "document.querySelector('#refresh-state .badge')",
    };
    tab.until("the forms are filled", filled).await;
    tab
}

async fn looked_at(tab: &Tab, name: &str) {
    for width in [360, 1440] {
        tab.size(width, 900).await;
        tab.fits(name).await;
        tab.picture(&format!("{name}-{width}")).await;
    }
}
