//! What one client may use up, and what happens then. The table: docs/limits.md.

use std::time::Duration;

use hexline_model::Secret;
use hexline_tests::{Socket, TestServer, refusal};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_the_rate_are_read_later_and_none_is_dropped() {
    let server = TestServer::start_with(|config| {
        config.limits.calls_per_second = 100;
        config.limits.call_burst = 10;
        config.limits.opening_calls = 0;
    })
    .await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    for n in 0..60 {
        alice
            .notify("signal.send", json!({"to": "bob", "n": n}))
            .await;
    }
    for n in 0..10 {
        assert_eq!(bob.expect("signal.send").await["n"], n);
    }
    for n in 10..60 {
        assert_eq!(bob.after_ping().await, [], "it is not read yet");
        server.advance(Duration::from_millis(10));
        assert_eq!(bob.expect("signal.send").await["n"], n);
    }
}

/// A client that sends and neither reads nor pauses, until it is closed.
async fn flood(alice: &mut Socket) {
    let text = json!({"jsonrpc": "2.0", "id": 1, "method": "signal.dance", "params": {"text": "x".repeat(400)}});
    let call = Message::text(text.to_string());
    let flood = async { while alice.try_message(call.clone()).await.is_ok() {} };
    hexline_tests::within("the server closes", flood).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_asked_for_at_once_after_connecting_is_answered_on_that_connection() {
    let server = TestServer::start_with(|config| {
        config.limits.calls_per_second = 500;
        config.limits.call_burst = 100;
    })
    .await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let params = json!({"to": "x", "text": "x".repeat(1000)});
    for id in 1..=1501 {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "signal.send", "params": params});
        alice.text(call.to_string()).await;
    }
    let answers = async {
        for id in 1..=1501 {
            assert_eq!(alice.frame().await["id"], id);
        }
        // At its pace it is never closed.
        for _ in 0..500 {
            alice.call("signal.leave", json!({"id": "x"})).await;
        }
    };
    server
        .advance_until(Duration::from_millis(20), answers)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_without_pause_is_closed_with_4029_and_its_neighbours_go_on() {
    let server = TestServer::start_with(|config| {
        config.limits.calls_per_second = 1;
        config.limits.call_burst = 100;
        config.limits.rate_patience = Duration::from_secs(10);
        config.metrics_bearer = Some(Secret::new("figures-7f".to_owned()));
    })
    .await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    bob.call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    let mut alice = app.connect("alice/web").await;
    alice
        .call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    bob.expect("signal.join").await;
    let flood = flood(&mut alice);
    // Its neighbour reads meanwhile, and so answers pings.
    let step = Duration::from_millis(100);
    let end = async { tokio::join!(flood, bob.expect("signal.leave")) };
    server.advance_until(step, end).await;
    assert_eq!(bob.after_ping().await, []);
    let metrics = hexline_tests::client()
        .get(server.url("/metrics"))
        .bearer_auth("figures-7f");
    let metrics = metrics.send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let closes = metrics
        .lines()
        .filter(|line| line.starts_with("hexline_closes_total"));
    let closes: Vec<_> = closes.collect();
    assert_eq!(closes, [r#"hexline_closes_total{code="4029"} 1"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_a_batch_counts() {
    let server = TestServer::start_with(|config| {
        config.limits.calls_per_second = 100;
        config.limits.call_burst = 10;
        config.limits.opening_calls = 0;
    })
    .await;
    let app = server.app("one").await;
    let call = r#"{"jsonrpc":"2.0","method":"signal.send","params":{"to":"x"}}"#;
    let mut alice = app.connect("alice/web").await;
    let started = server.passed();
    for _ in 0..6 {
        alice.text(format!("[{}]", [call; 10].join(","))).await;
    }
    let step = Duration::from_millis(10);
    let pushes = server.advance_until(step, alice.after_ping()).await;
    assert_eq!(pushes, []);
    let took = server.passed().saturating_sub(started);
    assert!(
        took >= Duration::from_millis(450),
        "51 calls over the burst at 100 a second, in {took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_larger_than_the_outbox_reaches_a_client_that_reads() {
    let server = TestServer::start_with(|config| {
        config.limits.outbox_bytes = 64 * 1024;
        config.limits.call_burst = 20_000;
    })
    .await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    let request = app.request(&app.token("alice/web"));
    let mut alice = Socket::open_narrow(server.at(), "alice/web", request).await;
    // Each is answered with why it is no call.
    let batch = format!("[{}]", vec!["1"; 20_000].join(","));
    for _ in 0..3 {
        alice.text(batch.clone()).await;
        for n in 0..10 {
            bob.call("signal.send", json!({"to": "alice", "n": n}))
                .await;
        }
    }
    let (mut answers, mut pushes) = (0, 0);
    let reading = async {
        while answers < 3 || pushes < 30 {
            match alice.frame().await {
                serde_json::Value::Array(answer) => {
                    assert_eq!(answer.len(), 20_000);
                    answers += 1;
                }
                push => {
                    assert_eq!(push["params"]["n"], pushes % 10);
                    pushes += 1;
                }
            }
        }
    };
    let step = Duration::from_millis(10);
    server.advance_until(step, reading).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_could_never_be_paid_for_is_refused_whole() {
    let server = TestServer::start_with(|config| config.limits.call_burst = 100).await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    let mut alice = app.connect("alice/web").await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"signal.send","params":{"to":"bob"}}"#;
    alice.text(format!("[{}]", [call; 101].join(","))).await;
    let answer = alice.frame().await;
    assert_eq!(answer["error"]["data"]["code"], "too_large");
    assert_eq!(answer["id"], json!(null));
    assert_eq!(alice.after_ping().await, []);
    assert_eq!(bob.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_without_reading_the_answers_is_closed_and_harms_nobody() {
    let server = TestServer::start_with(|config| {
        config.limits.outbox_bytes = 64 * 1024;
    })
    .await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    bob.call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    let request = app.request(&app.token("alice/web"));
    let mut alice = Socket::open_narrow(server.at(), "alice/web", request).await;
    alice
        .call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    bob.expect("signal.join").await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"signal.dance"}"#;
    let flood = async { while alice.try_message(Message::text(call)).await.is_ok() {} };
    server.advance_until(Duration::from_secs(1), flood).await;
    bob.expect("signal.leave").await;
    assert_eq!(bob.after_ping().await, []);
    // What it had not read by then may have been lost with the connection.
    let code = alice.try_closed().await;
    assert!([None, Some(4008)].contains(&code), "{code:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_129th_channel_is_refused_until_one_is_left() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    for n in 0..128 {
        bob.call("signal.join", json!({"id": format!("room{n}")}))
            .await;
    }
    let error = bob.refused("signal.join", json!({"id": "one-more"})).await;
    assert_eq!(error["code"], -32013, "{error}");
    assert_eq!(error["data"]["code"], "too_large", "{error}");
    bob.call("signal.join", json!({"id": "room0"})).await;
    bob.call("signal.leave", json!({"id": "room5"})).await;
    bob.call("signal.join", json!({"id": "one-more"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_21st_device_of_an_identity_gets_429() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut devices = Vec::new();
    for n in 0..20 {
        devices.push(app.connect(&format!("bob/device{n}")).await);
    }
    let again = app.connect("bob/device7").await;
    let refused = app.refused(&app.token("bob/device20")).await;
    assert_eq!(refused, refusal(429, "rate_limited"));
    app.connect("alice/device20").await;
    let mut observer = app.connect("observer/web").await;
    let mut last = devices.pop().expect("20 devices");
    last.call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    observer
        .call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    observer.expect("signal.join_back").await;
    last.close().await;
    observer.expect("signal.leave").await;
    app.connect("bob/device20").await;
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_device_so_many_connections_are_let_in_and_the_next_gets_429() {
    let server = TestServer::start_with(|config| config.limits.connections_per_device = 3).await;
    let app = server.app("one").await;
    let mut tabs = Vec::new();
    for _ in 0..3 {
        tabs.push(app.connect("bob/web").await);
    }
    let token = app.token("bob/web");
    assert_eq!(app.refused(&token).await, refusal(429, "rate_limited"));
    let _phone = app.connect("bob/phone").await;
    let _other = app.connect("alice/web").await;
    // The server knows of the end a moment after the client.
    tabs.pop().expect("three tabs").close().await;
    let reopened = async {
        loop {
            if let Ok(socket) = Socket::open(server.at(), "bob/web", app.request(&token)).await {
                break socket;
            }
        }
    };
    hexline_tests::within("a place becomes free", reopened).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_full_of_presence_is_joined_without_and_the_answer_says_so() {
    let server = TestServer::start_with(|config| config.limits.presence_per_channel = 2).await;
    let app = server.app("one").await;
    let mut members = Vec::new();
    for n in 0..2 {
        let mut member = app.connect(&format!("member{n}/web")).await;
        member
            .call("signal.join", json!({"id": "room", "presence": true}))
            .await;
        members.push(member);
    }
    members[0].expect("signal.join").await;
    let mut late = app.connect("late/web").await;
    let presence = json!({"id": "room", "presence": true});
    let without = json!({"presence": false});
    assert_eq!(late.call("signal.join", presence.clone()).await, without);
    assert_eq!(late.call("signal.join", presence.clone()).await, without);
    members[0].hears_nothing_of(&mut late).await;
    members[0]
        .call("signal.publish", json!({"id": "room", "n": 1}))
        .await;
    assert_eq!(late.expect("signal.publish").await["n"], 1);
    let hidden = json!({"id": "room"});
    assert_eq!(late.call("signal.join", hidden).await, json!({}));
    members[0].call("signal.leave", json!({"id": "room"})).await;
    assert_eq!(late.call("signal.join", presence).await, json!({}));
    late.expect("signal.join_back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited_by_address_app_and_key() {
    for what in ["address", "app", "key", "server"] {
        let server = TestServer::start_with(|config| {
            let limits = &mut config.limits;
            match what {
                "address" => limits.connections_per_address = 2,
                "app" => limits.connections_per_app = 2,
                "key" => limits.connections_per_key = 2,
                _ => limits.connections = 2,
            }
        })
        .await;
        let app = server.app("one").await;
        let other_key = app.another_key(None).await;
        let other_app = server.app("two").await;
        let first = app.connect("a/web").await;
        let _second = app.connect("b/web").await;
        let refused = app.refused(&app.token("c/web")).await;
        assert!([429, 503].contains(&refused.status), "{what}: {refused:?}");
        match what {
            "app" => drop(other_app.connect("c/web").await),
            "key" => drop(other_key.connect("c/web").await),
            _ => {}
        }
        first.close().await;
        // The server knows of the end a moment after the client.
        let reopened = async {
            loop {
                let request = app.request(&app.token("c/web"));
                if let Ok(socket) = Socket::open(server.at(), "c/web", request).await {
                    break socket;
                }
            }
        };
        hexline_tests::within("a place becomes free", reopened).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_too_many_failing_tokens_only_failing_ones_get_429() {
    let server = TestServer::start_with(|config| {
        config.limits.failed_tokens_per_minute = 3;
    })
    .await;
    let app = server.app("one").await;
    let bad = app.token_with_another_secret("bob/web");
    for _ in 0..3 {
        let refused = app.refused(&bad).await;
        assert_eq!(refused, refusal(401, "signature_invalid"));
    }
    for _ in 0..3 {
        assert_eq!(app.refused(&bad).await, refusal(429, "rate_limited"));
    }
    app.connect("bob/web").await;
    assert_eq!(app.refused(&bad).await, refusal(429, "rate_limited"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_addresses_count_only_from_a_trusted_proxy() {
    for trusted in [false, true] {
        let server = TestServer::start_with(|config| {
            config.limits.failed_tokens_per_minute = 2;
            if trusted {
                config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
            }
        })
        .await;
        let app = server.app("one").await;
        let bad = app.token_with_another_secret("bob/web");
        let mut statuses = Vec::new();
        for n in 0..4 {
            let request = app
                .upgrade(&bad)
                .header("x-forwarded-for", format!("198.51.100.{n}"));
            statuses.push(hexline_tests::refusal_of(request).await.status);
        }
        let wanted = if trusted {
            [401, 401, 401, 401]
        } else {
            [401, 401, 429, 429]
        };
        assert_eq!(statuses, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_closed_with_4008_and_the_others_go_on() {
    const BATCHES: u64 = 80;
    let server = TestServer::start_with(|config| {
        config.limits.outbox_bytes = 128 * 1024;
    })
    .await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut reader = app.connect("reader/web").await;
    let request = app.request(&app.token("slow/web"));
    let mut slow = Socket::open_narrow(server.at(), "slow/web", request).await;
    slow.call("signal.join", json!({"id": "room"})).await;
    slow.call("signal.join", json!({"id": "watch", "presence": true}))
        .await;
    for member in [&mut alice, &mut reader] {
        member.call("signal.join", json!({"id": "room"})).await;
    }
    let mut watcher = app.connect("watcher/web").await;
    watcher
        .call("signal.join", json!({"id": "watch", "presence": true}))
        .await;
    watcher.expect("signal.join_back").await;

    let text = "x".repeat(500);
    for batch in 0..BATCHES {
        for n in 0..50 {
            let params = json!({"id": "room", "batch": batch, "n": n, "text": text});
            alice.notify("signal.publish", params).await;
        }
        for n in 0..50 {
            let params = reader.expect("signal.publish").await;
            assert_eq!((&params["batch"], &params["n"]), (&json!(batch), &json!(n)));
        }
        if !watcher.after_ping().await.is_empty() {
            break;
        }
        assert!(batch < BATCHES - 1, "it was closed long before");
    }
    // Now it reads again: what was under way, and then why it was closed.
    assert_eq!(slow.closed().await, 4008);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_stalls_closes_with_4008_although_the_outbox_has_room() {
    let server = TestServer::start_with(|config| {
        config.limits.outbox_bytes = 64 * 1024 * 1024;
    })
    .await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let request = app.request(&app.token("slow/web"));
    let mut slow = Socket::open_narrow(server.at(), "slow/web", request).await;
    slow.call("signal.join", json!({"id": "watch", "presence": true}))
        .await;
    alice
        .call("signal.join", json!({"id": "watch", "presence": true}))
        .await;
    alice.expect("signal.join_back").await;
    let text = "x".repeat(1000);
    for n in 0..2000 {
        alice
            .notify("signal.send", json!({"to": "slow", "n": n, "text": text}))
            .await;
    }
    let left = alice.expect("signal.leave");
    server.advance_until(Duration::from_secs(1), left).await;
    assert_eq!(slow.closed().await, 4008);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_too_large() {
    let server = TestServer::start_with(|config| {
        config.token_service.enabled = true;
        config.limits.body_bytes = 1000;
    })
    .await;
    server.app("one").await;
    let request = hexline_tests::client()
        .post(server.url("/token"))
        .header("content-type", "application/json")
        .body(format!(r#"{{"identity":"{}"}}"#, "x".repeat(2000)));
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 413);
}
