//! The Console below a path of somebody else's site, whether the proxy in front strips it or not.

use std::net::SocketAddr;

use hexline_tests::{Browser, OWNER_EMAIL, OWNER_PASSWORD, TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn the_console_works_below_a_prefix() {
    let server = below_a_prefix().await;
    walk(&server, server.at().port()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_works_behind_a_proxy_that_strips_the_prefix() {
    let server = below_a_prefix().await;
    let strip = |head: String| head.replacen(&format!(" {PREFIX}"), " ", 1);
    let proxy = proxy_that_changes_heads(server.at(), strip).await;
    walk(&server, proxy.port()).await;
}

async fn below_a_prefix() -> TestServer {
    TestServer::start_in_real_time(|config| {
        config.public_url = Some(format!("http://localhost{PREFIX}"));
    })
    .await
}

async fn walk(server: &TestServer, port: u16) {
    server.operator().await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    let base = format!("http://localhost:{port}{PREFIX}/console");
    tab.open(&base).await;
    tab.fill("#email", OWNER_EMAIL).await;
    tab.fill("#password", OWNER_PASSWORD).await;
    tab.click("#sign-in [type=submit]").await;
    tab.press("Olga").await;
    tab.sees("this one").await;
    let address = tab.value("location.href").await;
    assert_eq!(address, base.clone() + "/profile");
    tab.press("Operators").await;
    tab.shows("#operators tbody tr").await;
    tab.press("Sign out").await;
    tab.shows("#sign-in").await;
    tab.open(&(base + "/a/b/c")).await;
    tab.press("To your apps").await;
    tab.shows("#sign-in").await;
    browser.close().await;
}

/// A proxy in front of the server that changes the head of each request, one a connection.
pub(crate) async fn proxy_that_changes_heads(
    server: SocketAddr,
    change: fn(String) -> String,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match client.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let head = String::from_utf8(head).expect("a head is text");
                let head = change(head).replacen("Connection: keep-alive", "Connection: close", 1);
                let mut upstream = TcpStream::connect(server).await.expect("it listens");
                upstream.write_all(head.as_bytes()).await.expect("it reads");
                let _ = copy_bidirectional(&mut client, &mut upstream).await;
            });
        }
    });
    at
}

const PREFIX: &str = "/deep/down";
