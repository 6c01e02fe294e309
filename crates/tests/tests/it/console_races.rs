//! Two things at once at the Console: the one that takes something away wins.

use std::sync::Arc;

use hexline_tests::{OWNER_EMAIL, OWNER_PASSWORD, TestOperator, TestServer, refusal};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_its_name_all_the_while_is_demoted_all_the_same() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let adam = owner
        .invited(&server, "adam@example.org", "admin", None)
        .await;
    let id = adam.get("/session").await["operator"]["id"].clone();
    let path = format!("/operators/{}", id.as_str().expect("an id"));
    for round in 0..20 {
        owner.patch(&path, &json!({"role": "admin"})).await;
        let renames = (0..8).map(|n| {
            let adam = adam.clone();
            tokio::spawn(async move {
                let name = json!({"name": format!("Adam {n}")});
                adam.patch("/profile", &name).await
            })
        });
        let renames: Vec<_> = renames.collect();
        owner.patch(&path, &json!({"role": "viewer"})).await;
        for rename in renames {
            rename.await.expect("renamed");
        }
        let role = adam.get("/session").await["operator"]["role"].clone();
        assert_eq!(role, "viewer", "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_under_way_does_not_outlive_its_password() {
    let server = Arc::new(TestServer::start().await);
    let owner = server.operator().await;
    let mut password = OWNER_PASSWORD.to_owned();
    for round in 0..4 {
        let new = format!("{OWNER_PASSWORD} {round}");
        let tries = (0..2).map(|_| {
            let (server, password) = (Arc::clone(&server), password.clone());
            tokio::spawn(async move { sign_in_as_long_as_it_is_good(&server, &password).await })
        });
        let tries: Vec<_> = tries.collect();
        let change = json!({"new": new});
        owner.post("/profile/password", &change).await;
        for sessions in tries {
            for session in sessions.await.expect("ends") {
                let found = session.get_refused("/session").await;
                assert_eq!(found, refusal(401, "signed_out"), "round {round}");
            }
        }
        password = new;
    }
}

/// Signs in again and again until the password is another; the sessions that this began.
async fn sign_in_as_long_as_it_is_good(server: &TestServer, password: &str) -> Vec<TestOperator> {
    let body = json!({"email": OWNER_EMAIL, "password": password});
    let mut sessions = Vec::new();
    loop {
        match TestOperator::try_begin(server, "/session", &body).await {
            Ok(session) => sessions.push(session),
            Err(refused) => {
                assert_eq!(refused, refusal(401, "sign_in_failed"));
                return sessions;
            }
        }
    }
}
