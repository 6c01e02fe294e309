//! Every page as it looks: at two widths, light and dark, with nothing wrong and nothing too wide.
//! The pictures are left in `target/screenshots` for people.

use hexline_tests::{Browser, OWNER_PASSWORD, Tab, TestApp, TestOperator, TestServer, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn the_entrance_looks_well() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    server.operator().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    for page in [
        "sign-in",
        "setup",
        "setup#token",
        "invitation#token",
        "apps/none/keys",
    ] {
        look(&tab, &server.base(), page).await;
    }
    tab.open(&(server.base() + "/console/apps/nowhere")).await;
    tab.sees("There is nothing here").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_looks_well_with_something_on_it() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let app = server.app("shop").await;
    seed(&operator, &server, &app).await;
    let _sockets = [
        app.connect("alice/web1").await,
        app.connect("bob/phone").await,
    ];
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    for page in SERVER_PAGES {
        look(&tab, &server.base(), page).await;
    }
    for page in APP_PAGES {
        look(
            &tab,
            &server.base(),
            &format!("apps/{}/{page}", app.app_id()),
        )
        .await;
    }
    tab.is_faultless();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_looks_well_with_nothing_on_it() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    tab.open(&(server.base() + "/console/")).await;
    tab.sees("Make the first app").await;
    let app = operator
        .post("/apps", &serde_json::json!({"name": "empty"}))
        .await;
    let app = app["id"].as_str().expect("an id");
    for page in APP_PAGES {
        tab.open(&format!("{}/console/apps/{app}/{page}", server.base()))
            .await;
        settled(&tab).await;
        tab.size(360, 800).await;
        tab.fits(page).await;
        tab.picture(&format!("empty-{page}-360-light")).await;
    }
    tab.is_faultless();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_shown_nothing_to_write_with() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let app = server.app("shop").await;
    let hidden = server.app("hidden").await;
    seed(&operator, &server, &app).await;
    let id = app.app_id();
    let viewer = operator
        .invited(&server, "vera@example.org", "viewer", Some(&[&id]))
        .await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), viewer.cookie())
        .await;
    for page in [
        "",
        "apps/{}/keys",
        "apps/{}/tokens",
        "apps/{}/live",
        "apps/{}/webhooks",
        "apps/{}/sign-in",
        "apps/{}/settings",
    ] {
        let page = page.replace("{}", &id);
        tab.open(&format!("{}/console/{page}", server.base())).await;
        settled(&tab).await;
        assert_eq!(tab.count("[data-write], [data-owner]").await, 0, "{page}");
        for word in [
            "New", "Revoke", "Rotate", "Delete", "Save", "Disable", "Add",
        ] {
            let shown = format!(
                "[...document.querySelectorAll('main button')].filter((e) => e.checkVisibility() && e.textContent.trim().startsWith('{word}')).length"
            );
            assert_eq!(tab.value(&shown).await, 0, "{word} on {page}");
        }
    }
    tab.open(&format!(
        "{}/console/apps/{}/keys",
        server.base(),
        hidden.app_id()
    ))
    .await;
    tab.sees("There is nothing here").await;
    tab.open(&(server.base() + "/console/operators")).await;
    tab.sees("There is nothing here").await;
    // What is not shown is refused as well.
    for path in ["keys", "disable", "tokens/build", "webhooks"] {
        let path = format!("/apps/{id}/{path}");
        let order = match path.rsplit('/').next() {
            Some("build") => serde_json::json!({"identity": "a", "device": "b", "grants": {}}),
            Some("webhooks") => serde_json::json!({"url": "https://a.example", "events": ["*"]}),
            _ => serde_json::json!({}),
        };
        let refused = viewer.refused(reqwest::Method::POST, &path, &order).await;
        assert_eq!(refused, refusal(403, "forbidden"), "{path}");
    }
    browser.close().await;
}

async fn seed(operator: &TestOperator, server: &TestServer, app: &TestApp) {
    let app = app.app_id();
    let order = serde_json::json!({"label": "Production server", "algorithm": "HS256"});
    let made = operator.post(&format!("/apps/{app}/keys"), &order).await;
    let key = made["key"]["id"].as_str().expect("an id");
    let rotate = format!("/apps/{app}/keys/{key}/rotate");
    operator
        .post(&rotate, &serde_json::json!({"overlap_ms": 3_600_000}))
        .await;
    let order = serde_json::json!({"label": "Web app"});
    operator
        .post(&format!("/apps/{app}/api-keys"), &order)
        .await;
    let order = serde_json::json!({"identity": "mallory"});
    operator
        .post(&format!("/apps/{app}/revocations"), &order)
        .await;
    let order = serde_json::json!({
        "url": "https://shop.example/hexline/events", "label": "Shop backend",
        "events": ["user.online", "user.offline", "key.revoked"],
    });
    operator
        .post(&format!("/apps/{app}/webhooks"), &order)
        .await;
    let order = serde_json::json!({
        "anonymous": {"enabled": true, "ttl_s": 7200, "grants": {"signal": {"channels": ["lobby.*"]}}, "per_minute": 60},
        "oidc": [{"id": "company", "issuer": "https://id.example.com", "client_id": "hexline-shop", "client_secret": "not for eyes"}],
        "redirect_uris": ["https://shop.example/signed-in"],
    });
    operator.put(&format!("/apps/{app}/sign-in"), &order).await;
    operator
        .invited(
            server,
            "andrea.with-a-long-name@subsidiary.example.org",
            "admin",
            None,
        )
        .await;
    TestOperator::sign_in(
        server,
        "andrea.with-a-long-name@subsidiary.example.org",
        OWNER_PASSWORD,
    )
    .await;
}

async fn look(tab: &Tab, base: &str, page: &str) {
    tab.open("about:blank").await;
    tab.open(&format!("{base}/console/{page}")).await;
    settled(tab).await;
    let name = page
        .split('/')
        .next_back()
        .unwrap_or_default()
        .replace('#', "-");
    let name = match (page, name.as_str()) {
        ("", _) => "apps",
        ("sign-in", _) => "entrance",
        (_, name) => name,
    };
    for (width, scheme) in [
        (1440, "light"),
        (1440, "dark"),
        (1200, "light"),
        (360, "light"),
        (360, "dark"),
    ] {
        tab.size(width, 900).await;
        tab.scheme(scheme).await;
        tab.fits(&format!("{name} at {width}")).await;
        if width != 1200 {
            tab.picture(&format!("{name}-{width}-{scheme}")).await;
        }
    }
}

/// What had to be fetched is there.
async fn settled(tab: &Tab) {
    tab.until(
        "everything is loaded",
        "document.readyState === 'complete' && [...document.querySelectorAll('[data-loading]')].every((e) => !e.checkVisibility())",
    )
    .await;
}

const SERVER_PAGES: [&str; 6] = ["", "inspect", "audit", "operators", "health", "profile"];
const APP_PAGES: [&str; 6] = ["keys", "tokens", "live", "webhooks", "sign-in", "settings"];
