use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hexline_client::{
    Backoff, CallError, ConnectOptions, Event, Events, FailedAttempt, Reconnecting,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::server::Server;

/// Numbers its tokens.
fn start(server: &Server) -> (Reconnecting, Events) {
    let tokens = Arc::new(AtomicU32::new(1));
    let options = ConnectOptions::default().url(server.url());
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(4));
    Reconnecting::start(options, backoff, move || {
        let number = tokens.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, Infallible>(format!("e30.e30.{number}")) }
    })
}

#[tokio::test]
async fn after_a_lost_connection_it_comes_back_with_a_new_token_and_joins_again() {
    let server = Server::start().await;
    let (connection, mut events) = start(&server);
    let serve = async {
        let mut first = server.accept().await;
        assert_eq!(first.authorization, "Bearer e30.e30.1");
        for _ in 0..3 {
            let call = first.call().await;
            first.answer(&call, "{}").await;
        }
        first.close(4001, "token expired").await;

        let mut second = server.accept().await;
        assert_eq!(second.authorization, "Bearer e30.e30.2");
        let call = second.call().await;
        assert_eq!(call["method"], "signal.join");
        assert_eq!(
            call["params"],
            serde_json::json!({"id": "kept", "presence": true})
        );
        second
            .say(r#"{"method":"signal.join_back","params":{"id":"kept","from":"a/b/c"}}"#)
            .await;
        second.answer(&call, "{}").await;
        second
    };
    let used = async {
        assert!(matches!(events.recv().await, Some(Event::Opened)));
        connection.join("kept", true).await.expect("joined");
        connection.join("left", false).await.expect("joined");
        connection.leave("left").await.expect("left");
        assert!(matches!(events.recv().await, Some(Event::Closed(c)) if c.code == Some(4001)));
        assert!(matches!(events.recv().await, Some(Event::Opened)));
        assert!(matches!(events.recv().await, Some(Event::Push(_))));
        connection.client().await.expect("open again")
    };
    let (mut peer, client) = tokio::join!(serve, used);

    let (said_goodbye, ()) = tokio::join!(peer.text(), connection.close());
    assert_eq!(said_goodbye, None);
    assert!(client.is_closed());
    assert!(connection.client().await.is_none());
    assert!(matches!(
        connection.join("c", false).await,
        Err(CallError::Closed)
    ));
}

#[tokio::test]
async fn it_stops_when_the_server_says_not_to_come_back() {
    let server = Server::start().await;
    let (connection, mut events) = start(&server);
    server.accept().await.close(4501, "revoked").await;
    assert!(matches!(events.recv().await, Some(Event::Opened)));
    assert!(matches!(events.recv().await, Some(Event::Closed(c)) if c.code == Some(4501)));
    assert!(events.recv().await.is_none());
    assert!(connection.client().await.is_none());
}

#[tokio::test]
async fn a_busy_server_is_tried_again_and_one_that_forbids_is_not() {
    let server = Server::start().await;
    let (_connection, mut events) = start(&server);
    for (status, again) in [
        ("429 Too Many Requests", true),
        ("503 Busy", true),
        ("403 No", false),
    ] {
        let mut stream = server.tcp().await;
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.expect("a request");
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("written");
        match events.recv().await {
            Some(Event::Failed {
                error: FailedAttempt::Connect(_),
                retry_in,
            }) => {
                assert_eq!(retry_in.is_some(), again, "{status}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn a_channel_that_is_refused_on_coming_back_is_told_and_forgotten() {
    let server = Server::start().await;
    let (connection, mut events) = start(&server);
    let serve = async {
        let mut peer = server.accept().await;
        let call = peer.call().await;
        peer.answer(&call, "{}").await;
        peer.close(4012, "going away").await;
        let mut peer = server.accept().await;
        let call = peer.call().await;
        let error = r#"{"code":-32003,"message":"no","data":{"code":"grant_missing"}}"#;
        peer.say(format!(r#"{{"id":{},"error":{error}}}"#, call["id"]))
            .await;
        peer
    };
    let used = async {
        connection.join("c", false).await.expect("joined");
        loop {
            if let Some(Event::ChannelLost { channel, .. }) = events.recv().await {
                return channel;
            }
        }
    };
    let (_peer, lost) = tokio::join!(serve, used);
    assert_eq!(lost, "c");
}

#[tokio::test]
async fn a_channel_that_is_left_while_the_others_are_joined_again_stays_left() {
    let server = Server::start().await;
    let (connection, mut events) = start(&server);
    let serve = async {
        let mut peer = server.accept().await;
        for _ in 0..3 {
            let call = peer.call().await;
            peer.answer(&call, "{}").await;
        }
        peer.close(4012, "going away").await;
        let mut peer = server.accept().await;
        let call = peer.call().await;
        assert_eq!(call["params"]["id"], "a");
        (peer, call)
    };
    let used = async {
        for channel in ["a", "b", "c"] {
            connection.join(channel, false).await.expect("joined");
        }
    };
    let ((mut peer, joining), ()) = tokio::join!(serve, used);

    // The first is on its way, the second is still to come.
    connection.leave("a").await.expect("left");
    connection.leave("b").await.expect("left");
    peer.answer(&joining, "{}").await;
    for (method, channel) in [("signal.join", "c"), ("signal.leave", "a")] {
        let call = peer.call().await;
        assert_eq!(
            (&call["method"], &call["params"]["id"]),
            (&method.into(), &channel.into())
        );
        peer.answer(&call, "{}").await;
    }

    // Then it is open, and says nothing more of its own.
    let next = async {
        let call = peer.call().await;
        peer.answer(&call, "{}").await;
        call
    };
    let (call, left) = tokio::join!(next, async {
        let client = connection.client().await.expect("open");
        client.leave("z").await
    });
    left.expect("left");
    assert_eq!(call["params"]["id"], "z");
    assert!(matches!(events.recv().await, Some(Event::Opened)));
}

#[tokio::test]
async fn without_a_token_it_tries_again_and_dropping_both_ends_stops_it() {
    let asked = Arc::new(tokio::sync::Semaphore::new(0));
    let asking = Arc::clone(&asked);
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
    let (connection, mut events) =
        Reconnecting::start(ConnectOptions::default(), backoff, move || {
            asking.add_permits(1);
            async { Err::<String, _>("the app's server is down") }
        });
    match events.recv().await {
        Some(Event::Failed {
            error,
            retry_in: Some(_),
        }) => {
            assert_eq!(error.to_string(), "no token: the app's server is down");
        }
        other => panic!("{other:?}"),
    }
    let _ = asked.acquire_many(3).await.expect("asked again");
    drop(connection);
    drop(events);
    // The callback, and with it its handle on the semaphore, goes when the task ends.
    while Arc::strong_count(&asked) > 1 {
        tokio::task::yield_now().await;
    }
}
