//! JSON-RPC 2.0 on the socket.

use hexline_tests::{Socket, TestServer};
use serde_json::{Value, json};

async fn connected() -> (TestServer, Socket) {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let socket = app.connect("bob/web").await;
    (server, socket)
}

async fn answer(socket: &mut Socket, frame: &str) -> Value {
    socket.text(frame.to_owned()).await;
    let answer = socket.frame().await;
    for answer in answer.as_array().unwrap_or(&vec![answer.clone()]) {
        assert_eq!(answer["jsonrpc"], "2.0", "{frame}: {answer}");
        let result = answer.get("result");
        assert_ne!(result, Some(&Value::Null), "never result:null");
        assert_ne!(
            result.is_some(),
            answer.get("error").is_some(),
            "a result or an error: {answer}"
        );
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_under_the_id_that_it_was_given() {
    let (_server, mut bob) = connected().await;
    for id in [
        "7",
        "0",
        "-3",
        "1.5",
        "1e3",
        r#""x""#,
        r#""""#,
        r#""\u00e9\"""#,
    ] {
        let frame = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"signal.leave","params":{{"id":"a"}}}}"#
        );
        bob.text(frame).await;
        assert_eq!(
            bob.frame_text().await,
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_json_is_a_parse_error() {
    let (_server, mut bob) = connected().await;
    for frame in [
        "{",
        "hello",
        "",
        "{]",
        r#"{"a":1,}"#,
        "[1,",
        "\u{feff}{}",
        "_PING",
    ] {
        let answer = answer(&mut bob, frame).await;
        assert_eq!(answer["error"]["code"], -32700, "{frame:?}: {answer}");
        assert_eq!(answer["error"]["data"]["code"], "parse_error");
        assert_eq!(answer.get("id"), Some(&Value::Null), "{frame:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_an_invalid_request() {
    let (_server, mut bob) = connected().await;
    for (frame, id) in [
        ("5", Value::Null),
        ("null", Value::Null),
        (r#""text""#, Value::Null),
        ("{}", Value::Null),
        (r#"{"jsonrpc":"2.0","id":1}"#, json!(1)),
        (r#"{"id":2,"method":"signal.leave"}"#, json!(2)),
        (
            r#"{"jsonrpc":"1.0","id":3,"method":"signal.leave"}"#,
            json!(3),
        ),
        (r#"{"jsonrpc":"2.0","id":4,"method":7}"#, json!(4)),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"signal.leave"}"#,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"2.0","id":5,"method":"signal.leave","params":"x"}"#,
            json!(5),
        ),
        (
            r#"{"jsonrpc":"2.0","id":6,"id":7,"method":"signal.leave"}"#,
            Value::Null,
        ),
    ] {
        let answer = answer(&mut bob, frame).await;
        assert_eq!(answer["error"]["code"], -32600, "{frame}: {answer}");
        assert_eq!(answer["error"]["data"]["code"], "invalid_request");
        assert_eq!(answer.get("id"), Some(&id), "{frame}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_method_and_wrong_params_are_told_apart() {
    let (_server, mut bob) = connected().await;
    for method in ["signal.dance", "nodot", "", "SIGNAL.send", "signal.send "] {
        let error = bob.refused(method, json!({})).await;
        assert_eq!(error["code"], -32601, "{method}: {error}");
        assert_eq!(error["data"]["code"], "method_not_found");
    }
    for (method, params) in [
        ("signal.send", json!({})),
        ("signal.send", json!({"to": null})),
        ("signal.send", json!({"to": 5.5})),
        ("signal.send", json!({"to": "bob", "id": false})),
        ("signal.send", json!([])),
        ("signal.join", json!({})),
        ("signal.join", json!({"id": "a", "presence": "yes"})),
        ("signal.leave", json!({"id": {}})),
        ("signal.publish", json!({"text": "x"})),
    ] {
        let error = bob.refused(method, params.clone()).await;
        assert_eq!(error["code"], -32602, "{method} {params}: {error}");
        assert_eq!(error["data"]["code"], "invalid_params");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_is_never_answered() {
    let (_server, mut bob) = connected().await;
    for (method, params) in [
        ("signal.join", json!({"id": "a"})),
        ("signal.join", json!({"id": "_reserved"})),
        ("signal.send", json!({"to": "nobody"})),
        ("signal.send", json!({})),
        ("signal.dance", json!({})),
    ] {
        bob.notify(method, params).await;
    }
    bob.text(r#"{"jsonrpc":"2.0","method":"signal.leave"}"#.to_owned())
        .await;
    assert_eq!(bob.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_client_is_passed_over() {
    let (_server, mut bob) = connected().await;
    for frame in [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Cannot handle this rpc call"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
    ] {
        bob.text(frame.to_owned()).await;
    }
    assert_eq!(bob.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_as_a_batch_of_what_wants_an_answer() {
    let (_server, mut bob) = connected().await;
    let answer = answer(
        &mut bob,
        r#"[{"jsonrpc":"2.0","id":1,"method":"signal.join","params":{"id":"a"}},
            {"jsonrpc":"2.0","method":"signal.join","params":{"id":"b"}},
            5,
            {"jsonrpc":"2.0","id":"x","method":"signal.dance"}]"#,
    )
    .await;
    let answers = answer.as_array().expect("an array");
    assert_eq!(answers.len(), 3, "{answer}");
    assert_eq!(answers[0]["id"], 1);
    assert_eq!(answers[0]["result"], json!({}));
    assert_eq!(answers[1]["id"], Value::Null);
    assert_eq!(answers[1]["error"]["code"], -32600);
    assert_eq!(answers[2]["id"], "x");
    assert_eq!(answers[2]["error"]["code"], -32601);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_before_the_pushes_that_follow_from_its_call() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let join =
        r#"{"jsonrpc":"2.0","id":1,"method":"signal.join","params":{"id":"room","presence":true}}"#;
    let mut alice = app.connect("alice/web").await;
    answer(&mut alice, join).await;
    for frame in [join.to_owned(), format!("[{join}]")] {
        let mut bob = app.connect("bob/web").await;
        let answer = answer(&mut bob, &frame).await;
        assert_eq!(answer.is_array(), frame.starts_with('['));
        assert_eq!(bob.frame().await["method"], "signal.join_back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_notifications_is_not_answered_and_an_empty_one_is_an_error() {
    let (_server, mut bob) = connected().await;
    bob.text(r#"[{"jsonrpc":"2.0","method":"signal.join","params":{"id":"b"}}]"#.to_owned())
        .await;
    assert_eq!(bob.after_ping().await, []);
    let empty = answer(&mut bob, "[]").await;
    assert_eq!(empty["error"]["code"], -32600);
    assert_eq!(empty["id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn params_may_not_name_a_member_twice() {
    let (_server, mut bob) = connected().await;
    let answer = answer(
        &mut bob,
        r#"{"jsonrpc":"2.0","id":1,"method":"signal.send","params":{"to":"a","to":"b"}}"#,
    )
    .await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_deep_a_frame_is_refused_and_the_connection_lives_on() {
    let (_server, mut bob) = connected().await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"signal.send","params":{{"to":"a","x":{}1{}}}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    let answer = answer(&mut bob, &deep).await;
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    assert_eq!(bob.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_repeats_what_the_client_wrote() {
    let (_server, mut bob) = connected().await;
    for frame in [
        r#"{"jsonrpc":"2.0","id":1,"method":"secret-7f.x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"signal.send","params":{"to":"secret-7f/"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"signal.send","params":{"to":["secret-7f"]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"signal.join","params":{"id":"_secret-7f"}}"#,
        "secret-7f",
    ] {
        let answer = answer(&mut bob, frame).await.to_string();
        assert!(!answer.contains("secret-7f"), "{answer}");
    }
}
