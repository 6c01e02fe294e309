//! The API's own page, opened and read.

use hexline_tests::{Browser, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_api_page_opens_and_fits_at_every_width() {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    for width in [360, 1440] {
        tab.size(width, 900).await;
        tab.open(&server.url("/docs")).await;
        tab.until(
            "the operations",
            "document.querySelectorAll('details.operation').length > 100",
        )
        .await;
        tab.value("location.hash = document.querySelectorAll('details.operation')[3].id")
            .await;
        tab.shows("details.operation[open] .body").await;
        tab.picture(&format!("docs-{width}-light")).await;
        tab.value("document.querySelectorAll('details.operation').forEach(d => d.open = true)")
            .await;
        tab.until(
            "all of them drawn",
            "[...document.querySelectorAll('details.operation')].every(d => d.children.length > 1)",
        )
        .await;
        tab.fits(&format!("docs at {width}")).await;
    }
    tab.fill("#search", "presence").await;
    tab.until(
        "fewer operations",
        "[...document.querySelectorAll('details.operation')].filter(d => d.offsetParent).length < 30",
    )
    .await;
    tab.is_faultless();
    browser.close().await;
}
