//! Webhooks by the Console: an endpoint, what it was told, what it answered.

use std::net::SocketAddr;

use hexline_tests::{Browser, TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_added_tried_out_and_told_again() {
    let server =
        TestServer::start_in_real_time(|config| config.webhooks.allow_private = true).await;
    let operator = server.operator().await;
    let app = server.app("shop").await;
    let receiver = receiver().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), operator.cookie())
        .await;
    let page = format!("{}/console/apps/{}/webhooks", server.base(), app.app_id());
    tab.open(&page).await;
    tab.press("Add the first endpoint").await;
    tab.fill("#webhook-url", &format!("http://{receiver}/events"))
        .await;
    tab.fill("#webhook-label", "Shop backend").await;
    tab.picture("dialog-webhook").await;
    tab.press("Save").await;
    tab.sees("Shop backend").await;

    tab.press("Send a test").await;
    tab.sees("webhook.test").await;
    // The receiver has answered once it is asked again.
    let done = "document.querySelector('#deliveries').innerText.includes('delivered') || (document.querySelector('#reload-deliveries:not(:disabled)')?.click(), false)";
    tab.until("the test has arrived", done).await;
    tab.press("Show").await;
    tab.sees("204").await;
    tab.sees("application/").await;
    tab.picture("dialog-delivery").await;
    tab.press("Redeliver").await;
    tab.sees("on its way again").await;

    tab.press("Edit").await;
    tab.click("#webhook-disabled input").await;
    tab.press("Save").await;
    tab.sees("paused").await;
    tab.press("Delete").await;
    tab.press("Delete endpoint").await;
    tab.sees("No endpoint yet").await;
    tab.is_faultless();
    browser.close().await;
}

/// Answers every request with 204.
async fn receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 16384];
                while socket.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                    if socket.write_all(answer).await.is_err() {
                        return;
                    }
                    let _ = socket.shutdown().await;
                }
            });
        }
    });
    at
}
