//! The same thing fifty times at once: one of them wins, or all are told the same, as the rule says.

use std::collections::BTreeSet;
use std::future::Future;

use hexline_tests::{
    OWNER_EMAIL, OWNER_PASSWORD, SignInWorld, Socket, TestOperator, TestServer, answer, refusal,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_by_one_idempotency_key_is_carried_out_once() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let order = || {
        let request = app.platform().post("/keys", &json!({"label": "raced"}));
        request.header("idempotency-key", "one")
    };
    let answers = at_once(|_| order().send()).await;
    let mut made = Vec::new();
    for response in answers {
        let response = response.expect("an answer");
        match response.status().as_u16() {
            201 => made.push(response.json::<Value>().await.expect("JSON")),
            409 => assert!(response.headers().contains_key("retry-after")),
            other => panic!("{other}"),
        }
    }
    let (_, later) = answer(order()).await;
    assert!(!made.is_empty());
    for one in &made {
        assert_eq!(*one, later, "all are told the same");
    }
    assert_eq!(app.platform().all("/keys", 200).await.0.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_link_makes_one_operator() {
    let server = TestServer::start().await;
    let link = server.console_setup_url().expect("nobody has used it");
    let token = link.split('#').nth(1).expect("a token").to_owned();
    let made = at_once(|n| {
        let body = json!({"token": token, "email": format!("o{n}@example.org"), "name": "Olga",
            "password": OWNER_PASSWORD});
        begin(&server, "/setup", body)
    })
    .await;
    let owner = the_only(made);
    let operators = owner.get("/operators").await;
    assert_eq!(
        operators["items"].as_array().map(Vec::len),
        Some(1),
        "{operators}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_makes_one_operator() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let order = json!({"email": "ivan@example.org", "role": "viewer", "apps": null});
    let invited = owner.post("/operators", &order).await;
    let link = invited["invitation_url"].as_str().expect("a link");
    let token = link.split('#').nth(1).expect("a token").to_owned();
    let made = at_once(|n| {
        let body = json!({"token": token, "name": format!("Ivan {n}"), "password": OWNER_PASSWORD});
        begin(&server, "/invitation", body)
    })
    .await;
    let ivan = the_only(made);
    assert_eq!(
        ivan.get("/session").await["operator"]["email"],
        "ivan@example.org"
    );
    let operators = owner.get("/operators").await;
    let items = operators["items"].as_array().expect("items");
    assert_eq!(items.len(), 2, "{operators}");
    TestOperator::sign_in(&server, OWNER_EMAIL, OWNER_PASSWORD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_once() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let key = app.another_key(None).await.key_id();
    let platform = app.platform();
    let path = format!("/keys/{key}/rotate");
    let rotated = at_once(|_| platform.post(&path, &json!({})).send()).await;
    let mut won = 0;
    for response in rotated {
        let status = response.expect("an answer").status().as_u16();
        won += usize::from(status < 300);
        assert!([200, 201, 409].contains(&status), "{status}");
    }
    assert_eq!(won, 1);
    assert_eq!(
        platform.all("/keys", 200).await.0.len(),
        3,
        "and one successor"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_stays_connected_who_came_in_while_the_key_was_revoked() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let key = app.another_key(None).await;
    let connecting = at_once(|n| {
        let subject = format!("user-{n}/web");
        let request = key.request(&key.token(&subject));
        let (at, key) = (server.at(), key.clone());
        async move {
            if n == COUNT / 2 {
                key.revoke_key().await;
            }
            Socket::open(at, &subject, request).await
        }
    })
    .await;
    for mut socket in connecting.into_iter().flatten() {
        assert_eq!(socket.closed().await, 4501);
    }
    let left = app.platform().got("/connections").await;
    assert_eq!(left["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_many_show_at_once_has_one_successor() {
    let world = SignInWorld::with_provider().await;
    let id_token = world.provider.id_token(&json!({}));
    let body = json!({"device": "web", "id_token": id_token});
    let first = world.signs_in("acme", &body).await["refresh_token"].clone();
    let answers = at_once(|_| world.refreshes(&first)).await;
    let successors: BTreeSet<&str> = answers
        .iter()
        .map(|answer| answer["refresh_token"].as_str().expect("a refresh token"))
        .collect();
    assert_eq!(successors.len(), 1);
    for answer in &answers[..3] {
        world.connects(answer).await;
    }
    world.refreshes(&answers[0]["refresh_token"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_good_that_was_exchanged_while_its_source_was_revoked() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let source = app.tokens("bob/web").jti("raced").build().expect("a token");
    let order = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": source,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "jti": "another",
    });
    let answers = at_once(|n| {
        let exchange = platform.post("/tokens/exchange", &order);
        let revoke = platform.post("/revocations", &json!({"jti": "raced"}));
        async move {
            let request = if n == COUNT / 2 { revoke } else { exchange };
            let response = request.send().await.expect("an answer");
            assert!(response.status().as_u16() < 500, "{}", response.status());
            response.json::<Value>().await.expect("JSON")
        }
    })
    .await;
    let tokens = answers.iter().filter_map(|a| a["access_token"].as_str());
    for token in tokens {
        assert_eq!(app.refused(token).await, refusal(401, "token_revoked"));
    }
    assert_eq!(app.refused(&source).await, refusal(401, "token_revoked"));
}

/// Begins a session where that may be refused.
async fn begin(server: &TestServer, path: &str, body: Value) -> Option<TestOperator> {
    let begun = TestOperator::try_begin(server, path, &body).await;
    begun
        .map_err(|refusal| assert!(refusal.status < 500 || refusal.status == 503))
        .ok()
}

fn the_only<T>(made: Vec<Option<T>>) -> T {
    let mut made: Vec<T> = made.into_iter().flatten().collect();
    assert_eq!(made.len(), 1, "one of them won");
    made.remove(0)
}

/// The outcomes of as many at once, none of which waits for another.
async fn at_once<F: Future>(make: impl Fn(usize) -> F) -> Vec<F::Output> {
    futures_util::future::join_all((0..COUNT).map(make)).await
}

const COUNT: usize = 50;
