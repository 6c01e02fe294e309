//! The audit log's filters: they stand in the address, which can be kept and passed on.

use hexline_tests::{Browser, OWNER_EMAIL, OWNER_PASSWORD, TestServer};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn filters_stand_in_the_address_and_survive_a_sign_in_and_the_way_back() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let made = operator.post("/apps", &json!({"name": "shop"})).await;
    let app = made["id"].as_str().expect("an id").to_owned();
    operator
        .patch(&format!("/apps/{app}"), &json!({"name": "shop-two"}))
        .await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    let page = server.base() + "/console/audit";
    tab.open(&page).await;
    tab.sees("operator.set_up").await;
    tab.choose("#filter-app", &app).await;
    tab.fill("#filter-action", "app.create").await;
    tab.fill("#filter-from", "").await;
    tab.press("Filter").await;
    tab.sees_no_more("operator.set_up").await;
    let filtered = format!("{page}?app={app}&action=app.create");
    assert_eq!(tab.value("location.href").await, filtered);
    let low = "[...document.querySelectorAll('#audit a, #audit summary')]
        .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 24)
        .map((e) => e.outerHTML)";
    assert!(tab.count("#audit tbody a").await > 0, "there is a link");
    assert_eq!(tab.value(low).await, json!([]));
    for width in [360, 1440] {
        tab.size(width, 900).await;
        tab.fits("audit").await;
        tab.picture(&format!("audit-filtered-{width}")).await;
    }
    tab.value("history.back()").await;
    tab.sees("operator.set_up").await;
    assert_eq!(
        tab.value("document.querySelector('#filter-action').value")
            .await,
        ""
    );
    tab.value("history.forward()").await;
    tab.sees_no_more("operator.set_up").await;
    tab.is_faultless();

    // Passed on to somebody who has to sign in first.
    tab.press("Sign out").await;
    tab.shows("#sign-in").await;
    let from = "from_ms=1700000000000";
    tab.open(&format!("{filtered}&{from}")).await;
    tab.fill("#email", OWNER_EMAIL).await;
    tab.fill("#password", OWNER_PASSWORD).await;
    tab.click("#sign-in [type=submit]").await;
    tab.sees("app.create").await;
    let address = tab.value("location.href").await;
    assert_eq!(address, format!("{filtered}&{from}"));
    let fields =
        "['app', 'action', 'from'].map((name) => document.querySelector(`#filter-${name}`).value)";
    let wanted = json!([app, "app.create", "2023-11-14T22:13"]);
    tab.until(
        "the filters",
        "document.querySelector('#filter-from').value",
    )
    .await;
    assert_eq!(tab.value(fields).await, wanted);
    browser.close().await;
}
