//! Keeping a user out for a while, whatever token comes.

use hexline_tests::{Browser, Program, Socket, TestServer, client, refusal, refusal_of};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_held_out_is_closed_and_refused_with_whatever_token_until_it_is_lifted() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let mut web = app.connect("alice/web").await;
    let mut phone = app.connect("alice/phone").await;
    let mut bob = app.connect("bob/web").await;
    let order = json!({"identity": "alice", "device": "web", "hold_s": 600});
    let done = platform.posted("/connections/disconnect", &order).await;
    assert_eq!(done["closed"], 1);
    let until = done["held_until_ms"].as_i64().expect("a time");
    assert_eq!(web.closed().await, 4503);
    assert_eq!(phone.after_ping().await, []);

    // A token that was made after that, at the socket and over HTTP.
    let token = app.token("alice/web");
    assert_eq!(app.refused(&token).await, refusal(401, "token_revoked"));
    let response = client()
        .get(server.url("/client/v1/me"))
        .bearer_auth(&token)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 401);
    let after = response.headers()["retry-after"].to_str().expect("text");
    let after: u64 = after.parse().expect("seconds");
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["code"], "token_revoked");
    let left = body["details"]["retry_after_ms"]
        .as_u64()
        .expect("a number");
    assert!(
        left <= 600_000 && left.div_ceil(1000) == after,
        "{left} {after}"
    );

    let order = json!({"identity": "alice", "hold_s": 60});
    let done = platform.posted("/connections/disconnect", &order).await;
    assert_eq!(done["closed"], 1);
    assert_eq!(phone.closed().await, 4503);
    let refused = app.refused(&app.token("alice/phone")).await;
    assert_eq!(refused, refusal(401, "token_revoked"));
    assert_eq!(bob.after_ping().await, [], "nobody else");

    let (holds, _) = platform.all("/holds", 200).await;
    assert_eq!(holds.len(), 2);
    let web = json!({"identity": "alice", "device": "web", "until_ms": until});
    assert_eq!(holds[0], web);
    assert_eq!(
        (&holds[1]["identity"], &holds[1]["device"]),
        (&json!("alice"), &Value::Null)
    );
    assert_eq!(platform.all("/holds", 1).await.0, holds);

    let lifted = platform
        .posted("/holds/lift", &json!({"identity": "alice"}))
        .await;
    assert_eq!(lifted, json!({"lifted": true}));
    app.connect("alice/phone").await;
    let refused = app.refused(&app.token("alice/web")).await;
    assert_eq!(refused, refusal(401, "token_revoked"), "the device still");
    let device = json!({"identity": "alice", "device": "web"});
    assert_eq!(
        platform.posted("/holds/lift", &device).await,
        json!({"lifted": true})
    );
    assert_eq!(
        platform.posted("/holds/lift", &device).await,
        json!({"lifted": false})
    );
    app.connect("alice/web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_by_itself_and_outlives_a_restart() {
    let mut server = TestServer::start().await;
    let app = server.app("one").await;
    let order = json!({"identity": "alice", "hold_s": 1});
    app.platform()
        .posted("/connections/disconnect", &order)
        .await;
    let refused = app.refused(&app.token("alice/web")).await;
    assert_eq!(refused, refusal(401, "token_revoked"));
    let enters = async {
        loop {
            let request = app.request(&app.token("alice/web"));
            if let Ok(socket) = Socket::open(server.at(), "alice/web", request).await {
                break socket.close().await;
            }
        }
    };
    hexline_tests::within("the end of the hold", enters).await;
    let order = json!({"identity": "bob", "hold_s": 3600});
    app.platform()
        .posted("/connections/disconnect", &order)
        .await;
    server.restart().await;
    let app = app.at(&server);
    let refused = app.refused(&app.token("bob/web")).await;
    assert_eq!(refused, refusal(401, "token_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_hold_is_refused_and_closes_nothing() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let other = server.app("two").await;
    let platform = app.platform();
    let mut alice = app.connect("alice/web").await;
    let listed = platform.got("/connections").await;
    let route = &listed["items"][0]["route"];
    for order in [
        json!({"identity": "alice", "hold_s": 86_401}),
        json!({"identity": "alice", "hold_s": -1}),
        json!({"identity": "alice", "hold_s": "60"}),
        json!({"route": route, "hold_s": 60}),
    ] {
        let request = platform.post("/connections/disconnect", &order);
        assert_eq!(refusal_of(request).await.status, 400, "{order}");
    }
    // The same name in another app is another user.
    let order = json!({"identity": "alice", "hold_s": 60});
    let done = other
        .platform()
        .posted("/connections/disconnect", &order)
        .await;
    assert_eq!(done["closed"], 0);
    let lifted = platform
        .posted("/holds/lift", &json!({"identity": "alice"}))
        .await;
    assert_eq!(lifted, json!({"lifted": false}));
    assert_eq!(alice.after_ping().await, []);
    app.connect("alice/web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_holds_a_user_out_and_lets_it_in_again() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let mut alice = app.connect("alice/web").await;
    let path = format!("/apps/{}", app.id());
    let order = json!({"identity": "alice", "hold_s": 3600});
    let done = owner
        .post(&format!("{path}/connections/disconnect"), &order)
        .await;
    assert_eq!(done["disconnected"], 1);
    assert_eq!(alice.closed().await, 4503);
    let refused = app.refused(&app.token("alice/web")).await;
    assert_eq!(refused, refusal(401, "token_revoked"));
    let holds = owner.get(&format!("{path}/holds")).await;
    let shown = json!({"identity": "alice", "device": null, "until_ms": done["held_until_ms"]});
    assert_eq!(holds["items"], json!([shown]));
    let lift = format!("{path}/holds/lift");
    let lifted = owner.post(&lift, &json!({"identity": "alice"})).await;
    assert_eq!(lifted, json!({"lifted": true}));
    app.connect("alice/web").await;
    let refused = owner
        .refused(Method::POST, &lift, &json!({"identity": "a/b"}))
        .await;
    assert_eq!(refused, refusal(400, "invalid_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_holds_out_lists_and_lifts_on_the_server_and_from_elsewhere() {
    let server = TestServer::start().await;
    let app = server.app("shop").await;
    let token = app.platform_token();
    let data = server.data_dir().display().to_string();
    let url = server.base();
    let here = ["--data", data.as_str()];
    let there = ["--url", url.as_str(), "--token", token.as_str()];
    for place in [&here[..], &there[..]] {
        let run = async |line: &[&str]| {
            let line = [line, place, &["--json"]].concat();
            let done = Program::run(&line).await;
            let told = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(0), "{told}");
            serde_json::from_slice::<Value>(&done.stdout).expect("JSON")
        };
        let mut alice = app.connect("alice/web").await;
        let who = ["shop", "--identity", "alice", "--device", "web"];
        let held = run(&[&["app", "disconnect"], &who[..], &["--hold", "1h"]].concat()).await;
        assert_eq!(held["closed"], 1);
        assert_eq!(alice.closed().await, 4503);
        let refused = app.refused(&app.token("alice/web")).await;
        assert_eq!(refused, refusal(401, "token_revoked"));
        let holds = run(&["app", "holds", "shop"]).await;
        assert_eq!(holds[0]["until_ms"], held["held_until_ms"]);
        assert_eq!(holds[0]["device"], "web");
        let lifted = run(&[&["app", "lift-hold"], &who[..]].concat()).await;
        assert_eq!(lifted["lifted"], true);
        app.connect("alice/web").await.close().await;
    }
    let long = [
        "app",
        "disconnect",
        "shop",
        "--identity",
        "a",
        "--hold",
        "25h",
    ];
    let refused = Program::run(&[&long[..], &here[..]].concat()).await;
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("86400"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_console_a_user_is_kept_out_and_let_in_again() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let mut alice = app.connect("alice/web").await;
    let browser = Browser::start().await;
    let tab = browser.tab().await;
    tab.cookie(&(server.base() + "/console/"), owner.cookie())
        .await;
    let page = format!("{}/console/apps/{}/live", server.base(), app.app_id());
    tab.open(&page).await;
    tab.sees("alice").await;
    tab.press("Disconnect").await;
    tab.shows("#hold:disabled").await;
    tab.click("#disconnect input[value=identity]").await;
    tab.choose("#hold", "3600").await;
    for (width, height) in [(360, 800), (1440, 900)] {
        tab.size(width, height).await;
        tab.picture(&format!("dialog-hold-{width}")).await;
        tab.fits("the dialog").await;
    }
    tab.click("#disconnect button[type=submit]").await;
    assert_eq!(alice.closed().await, 4503);
    tab.sees("Held out").await;
    for (width, height) in [(360, 800), (1440, 900)] {
        tab.size(width, height).await;
        tab.picture(&format!("held-out-{width}")).await;
        tab.fits("the list of holds").await;
    }
    let refused = app.refused(&app.token("alice/phone")).await;
    assert_eq!(refused, refusal(401, "token_revoked"));
    tab.press("Lift").await;
    tab.sees_no_more("Held out").await;
    app.connect("alice/web").await;
    browser.close().await;
}
