//! Whom a direct message reaches, and what it looks like there.

use hexline_tests::{Socket, TestServer};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_reaches_every_connection_of_it_and_nobody_else() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut web = app.connect("bob/web").await;
    let mut phone = app.connect("bob/phone").await;
    let mut bobby = app.connect("bobby/web").await;
    let result = alice
        .call("signal.send", json!({"to": "bob", "text": "hello"}))
        .await;
    assert_eq!(result, json!({"delivered": 2}));
    for bob in [&mut web, &mut phone] {
        assert_eq!(bob.expect("signal.send").await["text"], "hello");
        bob.hears_nothing_of(&mut alice).await;
    }
    bobby.hears_nothing_of(&mut alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_reaches_every_connection_of_that_device() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut tab = app.connect("bob/web").await;
    let mut other_tab = app.connect("bob/web").await;
    let mut phone = app.connect("bob/phone").await;
    let result = alice
        .call("signal.send", json!({"to": "bob/web", "text": "hello"}))
        .await;
    assert_eq!(result, json!({"delivered": 2}));
    for tab in [&mut tab, &mut other_tab] {
        assert_eq!(tab.expect("signal.send").await["text"], "hello");
    }
    phone.hears_nothing_of(&mut alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_address_reaches_exactly_the_connection_that_sent_from_it() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut tab = app.connect("bob/web").await;
    let mut other_tab = app.connect("bob/web").await;
    let address = tab.address_seen_by(&mut alice).await;
    let result = alice
        .call("signal.send", json!({"to": address, "text": "you"}))
        .await;
    assert_eq!(result, json!({"delivered": 1}));
    assert_eq!(tab.expect("signal.send").await["text"], "you");
    other_tab.hears_nothing_of(&mut alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_identity_reaches_the_other_connections_but_not_the_sending_one() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut web = app.connect("bob/web").await;
    let mut phone = app.connect("bob/phone").await;
    let address = web.address_seen_by(&mut phone).await;
    for to in ["bob", "bob/web", &address] {
        web.call("signal.send", json!({"to": to, "text": to})).await;
    }
    assert_eq!(phone.expect("signal.send").await["text"], "bob");
    phone.hears_nothing_of(&mut web).await;
    assert_eq!(web.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_from_is_overwritten() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    let address = alice.address_seen_by(&mut bob).await;
    alice
        .text(
            r#"{"jsonrpc":"2.0","method":"signal.send","params":{"to":"bob","from":"eve/web/x","\u0066rom":"eve"}}"#
                .to_owned(),
        )
        .await;
    alice
        .notify("signal.send", json!({"to": "bob", "from": "eve/web/x"}))
        .await;
    let pushes = bob.caused_by(&mut alice).await;
    assert!(!pushes.is_empty());
    for push in pushes {
        assert_eq!(push.params["from"], address.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_and_the_applications_members_arrive_as_they_were_written() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    let address = alice.address_seen_by(&mut bob).await;
    alice
        .text(
            r#"{"jsonrpc":"2.0","method":"signal.send","params":{"type":"x","to":"bob/web","n":1.50,"deep":[{"a": null}],"é":"\u00e9"}}"#
                .to_owned(),
        )
        .await;
    let frame = bob.frame_text().await;
    assert_eq!(
        frame,
        format!(
            r#"{{"jsonrpc":"2.0","method":"signal.send","params":{{"type":"x","to":"bob/web","n":1.50,"deep":[{{"a": null}}],"é":"\u00e9","from":"{address}"}}}}"#
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_message_never_carries_an_id() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    for params in [
        json!({"to": "bob", "text": "hello"}),
        json!({"to": "bob", "id": null, "text": "hello"}),
    ] {
        alice.call("signal.send", params).await;
        let params = bob.expect("signal.send").await;
        assert!(params.get("id").is_none(), "{params}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_nobody_is_dropped_and_counted() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    for to in [
        "bob",
        "bob/web",
        "bob/web/000000000000000000000000",
        "bob/web/x",
    ] {
        let result = alice.call("signal.send", json!({"to": to})).await;
        assert_eq!(result, json!({"delivered": 0}), "{to}");
        alice.notify("signal.send", json!({"to": to})).await;
    }
    assert_eq!(alice.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_destination_is_refused() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    for to in ["", "/", "bob/", "/web", "a/b/c/d", " bob", "b\u{7}b"] {
        let error = alice.refused("signal.send", json!({"to": to})).await;
        assert_eq!(error["code"], -32602, "{to:?}: {error}");
        assert_eq!(error["data"]["code"], "invalid_params", "{to:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_has_a_new_route_free_of_slash_and_dot() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    let mut routes = Vec::new();
    for _ in 0..3 {
        let mut alice: Socket = app.connect("alice/web").await;
        let address = alice.address_seen_by(&mut bob).await;
        let route = address
            .strip_prefix("alice/web/")
            .expect("the address begins with the token's sub");
        assert!(!route.is_empty() && !route.contains(['/', '.']), "{route}");
        routes.push(route.to_owned());
        alice.close().await;
    }
    routes.sort();
    routes.dedup();
    assert_eq!(routes.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_may_hold_any_printable_text() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice@example.org/Web 1").await;
    let mut bob = app.connect("Бо\"б\\/web").await;
    alice
        .call("signal.send", json!({"to": "Бо\"б\\", "text": "привет"}))
        .await;
    let params = bob.expect("signal.send").await;
    assert_eq!(params["text"], "привет");
    let from = params["from"].as_str().expect("a string");
    assert!(from.starts_with("alice@example.org/Web 1/"), "{from}");
}
