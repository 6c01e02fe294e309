//! What an app's server sees of its users, and says to them.

use std::collections::BTreeSet;

use hexline_tests::{TestServer, refusal, refusal_of};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_complete_and_show_nothing_twice() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let mut sockets = Vec::new();
    for n in 0..7 {
        let mut socket = app.connect(&format!("user{n}/web")).await;
        socket.call("signal.join", json!({"id": "room"})).await;
        socket
            .call("signal.join", json!({"id": format!("own.{n}")}))
            .await;
        sockets.push(socket);
        platform
            .posted("/revocations", &json!({"jti": format!("j{n}")}))
            .await;
        platform.posted("/keys", &json!({})).await;
    }
    for (path, name, wanted) in [
        ("/connections", "address", 7),
        ("/connections?identity=user3", "address", 1),
        ("/connections?search=USER3%2F", "address", 1),
        ("/channels", "channel", 8),
        ("/channels?prefix=own.", "channel", 7),
        ("/channels/room/members", "address", 7),
        ("/revocations", "target", 7),
        ("/keys", "id", 8),
    ] {
        let whole = platform.all(path, 200).await.0;
        assert_eq!(whole.len(), wanted, "{path}");
        for limit in [1, 3] {
            let (items, pages) = platform.all(path, limit).await;
            assert_eq!(pages, wanted.div_ceil(limit), "{path}");
            let names: Vec<&Value> = items.iter().map(|item| &item[name]).collect();
            let unique: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
            assert_eq!(unique.len(), wanted, "{path}: {names:?}");
        }
    }
    for bad in [
        "limit=0",
        "limit=201",
        "cursor=%25",
        "cursor=AAAA",
        "more=1",
    ] {
        let request = platform.request(reqwest::Method::GET, &format!("/connections?{bad}"));
        assert_eq!(
            refusal_of(request).await,
            refusal(400, "invalid_request"),
            "{bad}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_tells_devices_and_batches_keep_their_order() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let _web = app.connect("bob/web").await;
    let _phone = app.connect("bob/phone").await;
    let presence = platform.got("/users/bob/presence").await;
    assert_eq!(presence["online"], true);
    let devices = json!([
        {"device": "phone", "connections": 1},
        {"device": "web", "connections": 1},
    ]);
    assert_eq!(presence["devices"], devices);
    let asked = json!({"identities": ["al", "bob", "al"]});
    let found = platform.posted("/users/presence", &asked).await;
    let online: Vec<&Value> = found["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["online"])
        .collect();
    assert_eq!(online, [false, true, false]);
    let many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    for identities in [json!([]), json!(many), json!(["a/b"])] {
        let request = platform.post("/users/presence", &json!({"identities": identities}));
        assert_eq!(refusal_of(request).await, refusal(400, "invalid_request"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_speaks_by_an_address_that_no_user_has() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let mut web = app.connect("bob/web").await;
    let mut phone = app.connect("bob/phone").await;
    let sent = platform
        .posted(
            "/users/bob/messages",
            &json!({"message": {"text": "hi", "n": 1.50}}),
        )
        .await;
    assert_eq!(sent["delivered"], 2);
    for socket in [&mut web, &mut phone] {
        let said = socket.expect("signal.send").await;
        let wanted = json!({"to": "bob", "text": "hi", "n": 1.5, "from": "//server"});
        assert_eq!(said, wanted);
    }
    let order = json!({"device": "web", "from": "alice", "message": {"text": "ho"}});
    let sent = platform.posted("/users/bob/messages", &order).await;
    assert_eq!(sent["delivered"], 1);
    let said = web.expect("signal.send").await;
    assert_eq!(
        said,
        json!({"to": "bob/web", "text": "ho", "from": "alice//server"})
    );
    web.call("signal.join", json!({"id": "room"})).await;
    let order = json!({"messages": [
        {"channel": "room", "message": {"n": 1}, "from": "al/web"},
        {"channel": "room", "message": {"n": 2}},
        {"channel": "empty", "message": {}},
    ]});
    let sent = platform.posted("/channels/messages", &order).await;
    assert_eq!(
        sent["items"],
        json!([{"delivered": 1}, {"delivered": 1}, {"delivered": 0}])
    );
    let said = web.expect("signal.publish").await;
    assert_eq!(said, json!({"id": "room", "n": 1, "from": "al/web/server"}));
    let said = web.expect("signal.publish").await;
    assert_eq!(said, json!({"id": "room", "n": 2, "from": "//server"}));
    // An answer to it reaches nobody, and a user cannot take its address.
    let answered = web.call("signal.send", json!({"to": "al/web/server", "text": "?"}));
    assert_eq!(answered.await["delivered"], 0);
    for message in [
        json!({"from": "x"}),
        json!({"id": "x"}),
        json!({"to": "x"}),
        json!([]),
    ] {
        let request = platform.post("/users/bob/messages", &json!({"message": message}));
        assert_eq!(refusal_of(request).await, refusal(400, "invalid_request"));
    }
    let order = json!({"messages": [
        {"channel": "room", "message": {}},
        {"channel": "_c.1", "message": {}},
    ]});
    let request = platform.post("/channels/messages", &order);
    assert_eq!(refusal_of(request).await, refusal(403, "forbidden"));
    assert_eq!(web.after_ping().await, [], "all of them or none");
    assert_eq!(phone.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_alone_or_with_its_device_or_identity() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let mut web = app.connect("bob/web").await;
    let mut phone = app.connect("bob/phone").await;
    let mut al = app.connect("al/web").await;
    let listed = platform.got("/connections?identity=al").await;
    let route = listed["items"][0]["route"].clone();
    for (order, socket) in [
        (json!({"identity": "bob", "device": "web"}), &mut web),
        (json!({"route": route}), &mut al),
        (json!({"identity": "bob"}), &mut phone),
    ] {
        let done = platform.posted("/connections/disconnect", &order).await;
        assert_eq!(done["closed"], 1, "{order}");
        assert_eq!(socket.closed().await, 4503, "{order}");
    }
    // The token is good still.
    app.connect("bob/web").await;
    for order in [json!({}), json!({"device": "web"}), json!({"route": "x"})] {
        let request = platform.post("/connections/disconnect", &order);
        assert_eq!(refusal_of(request).await, refusal(400, "invalid_request"));
    }
}
