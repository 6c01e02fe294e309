//! Live figures that no longer come: the page says how old they are.

use hexline_tests::{Browser, Tab, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn figures_that_no_longer_come_are_greyed_and_say_of_when_they_are() {
    let mut server = TestServer::start_in_real_time(|_| {}).await;
    let operator = server.operator().await;
    let app = server.app("shop").await;
    let socket = app.connect("alice/web1").await;
    let browser = Browser::start().await;
    let base = server.base() + "/console/";
    let (live, apps) = (browser.tab().await, browser.tab().await);
    live.cookie(&base, operator.cookie()).await;
    live.open(&format!("{base}apps/{}/live", app.app_id()))
        .await;
    apps.open(&base).await;
    for tab in [&live, &apps] {
        tab.sees("Following").await;
        tab.until(
            "the figures",
            "document.querySelector('#now-connections').textContent === '1'",
        )
        .await;
        assert_eq!(tab.count(".stale").await, 0);
    }
    drop(socket);
    server.stop().await;
    for (tab, name) in [(&live, "live-stale"), (&apps, "apps-stale")] {
        tab.sees("As of ").await;
        let badge = tab.text("#following").await;
        assert!(badge.contains(':'), "a time of day: {badge}");
        assert!(tab.count(".stats.stale").await == 1);
        looked_at(tab, name).await;
    }
    browser.close().await;
}

async fn looked_at(tab: &Tab, name: &str) {
    for width in [360, 1440] {
        tab.size(width, 900).await;
        tab.fits(name).await;
        tab.picture(&format!("{name}-{width}")).await;
    }
}
