//! Apps in the Console's API, and who may do what to them.

use hexline_tests::{TestOperator, TestServer, refusal};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_made_changed_disabled_and_deleted() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let made = owner.post("/apps", &json!({"name": "shop"})).await;
    assert_eq!((&made["name"], &made["keys"]), (&json!("shop"), &json!(0)));
    let path = format!("/apps/{}", text(&made["id"]));
    let twice = owner
        .refused(Method::POST, "/apps", &json!({"name": "shop"}))
        .await;
    assert_eq!(twice, refusal(409, "conflict"));

    let changes = json!({"name": "store", "settings": {
        "longest_ttl_s": 600, "exp_required": true, "audiences": ["https://a.example"],
        "origins": ["https://b.example"],
        "limits": {"connections": 3, "devices_per_identity": null, "messages_per_second": 5},
    }});
    let changed = owner.patch(&path, &changes).await;
    assert_eq!(changed["name"], "store");
    assert_eq!(changed["settings"], changes["settings"]);
    let one = json!({"settings": {"longest_ttl_s": 60}});
    let changed = owner.patch(&path, &one).await;
    assert_eq!(changed["settings"]["longest_ttl_s"], 60);
    assert_eq!(changed["settings"]["limits"]["connections"], 3, "it stays");
    assert_eq!(owner.get(&path).await, changed);
    let bad = json!({"settings": {"longest_ttl_s": 0}});
    assert_eq!(owner.refused(Method::PATCH, &path, &bad).await.status, 400);

    let disabled = owner.post(&format!("{path}/disable"), &Value::Null).await;
    assert!(disabled["disabled_ms"].is_i64());
    let enabled = owner.post(&format!("{path}/enable"), &Value::Null).await;
    assert!(enabled["disabled_ms"].is_null());

    let deletion = format!("{path}/delete");
    for wrong in ["shop", "Store", "store ", ""] {
        let refused = owner
            .refused(Method::POST, &deletion, &json!({"confirm": wrong}))
            .await;
        assert_eq!(refused, refusal(400, "invalid_request"), "{wrong:?}");
    }
    assert_eq!(
        owner.get(&path).await["name"],
        "store",
        "nothing was deleted"
    );
    owner.post(&deletion, &json!({"confirm": "store"})).await;
    assert_eq!(owner.get_refused(&path).await, refusal(404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_an_app_closes_what_it_has_open() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let mut socket = app.connect("alice/web").await;
    let path = format!("/apps/{}/delete", app.id());
    owner.post(&path, &json!({"confirm": "shop"})).await;
    assert_eq!(socket.closed().await, 4501);
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_are_listed_by_the_page_and_only_those_that_are_seen() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(server.app(name).await.id());
    }
    let names = async |who: &TestOperator| -> Vec<String> {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = who.get(&format!("/apps?limit=1{cursor}")).await;
            let items = page["items"].as_array().expect("a list");
            assert!(items.len() <= 1);
            names.extend(items.iter().map(|app| text(&app["name"]).to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return names,
            }
        }
    };
    assert_eq!(names(&owner).await, ["a", "b", "c"]);
    let seen = [ids[0].as_str(), ids[2].as_str()];
    let admin = owner
        .invited(&server, "ann@example.org", "admin", Some(&seen))
        .await;
    assert_eq!(names(&admin).await, ["a", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_changes_nothing_and_an_app_that_is_not_seen_does_not_exist() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let (own, other) = (server.app("own").await, server.app("other").await);
    let own_id = own.id();
    let only = Some(&[own_id.as_str()][..]);
    let viewer = owner
        .invited(&server, "vic@example.org", "viewer", only)
        .await;
    let admin = owner
        .invited(&server, "ann@example.org", "admin", only)
        .await;
    let any = owner
        .invited(&server, "any@example.org", "admin", None)
        .await;
    let stranger = TestOperator::stranger(&server);

    let forbidden = refusal(403, "forbidden");
    let missing = refusal(404, "not_found");
    for (method, tail, body) in writes(&own.key_id()) {
        let path = format!("/apps/{own_id}{tail}");
        let found = viewer.refused(method.clone(), &path, &body).await;
        assert_eq!(found, forbidden, "a viewer: {method} {path}");
        let found = stranger.refused(method.clone(), &path, &body).await;
        assert_eq!(found, refusal(401, "signed_out"), "{method} {path}");
    }
    for (method, tail, body) in writes(&other.key_id()) {
        for who in [&viewer, &admin] {
            let path = format!("/apps/{}{tail}", other.id());
            let found = who.refused(method.clone(), &path, &body).await;
            assert_eq!(found, missing, "{method} {path}");
            // By one's own app another's key is not reached either.
            if tail.contains(&other.key_id())
                && who.get("/session").await["operator"]["role"] == "admin"
            {
                let path = format!("/apps/{own_id}{tail}");
                let found = who.refused(method.clone(), &path, &body).await;
                assert_eq!(found, missing, "{method} {path}");
            }
        }
    }
    for tail in READS {
        for who in [&viewer, &admin] {
            let path = format!("/apps/{}{tail}", other.id());
            assert_eq!(who.get_refused(&path).await, missing, "{path}");
            let nowhere = format!("/apps/0123456789abcdef0123456789abcdef{tail}");
            assert_eq!(who.get_refused(&nowhere).await, missing, "{nowhere}");
            who.get(&format!("/apps/{own_id}{tail}")).await;
        }
        let path = format!("/apps/{own_id}{tail}");
        let unknown = refusal(401, "signed_out");
        assert_eq!(stranger.get_refused(&path).await, unknown, "{path}");
    }
    let order = json!({"name": "new"});
    for who in [&viewer, &admin] {
        assert_eq!(who.refused(Method::POST, "/apps", &order).await, forbidden);
    }
    any.post("/apps", &order).await;
    let label = json!({"label": "renamed"});
    let key = format!("/apps/{own_id}/keys/{}", own.key_id());
    assert_eq!(admin.patch(&key, &label).await["label"], "renamed");
}

fn writes(key: &str) -> Vec<(Method, String, Value)> {
    let post = |tail: &str, body| (Method::POST, tail.to_owned(), body);
    vec![
        (Method::PATCH, String::new(), json!({"name": "x"})),
        post("/delete", json!({"confirm": "own"})),
        post("/disable", Value::Null),
        post("/enable", Value::Null),
        post("/keys", json!({})),
        post(
            "/keys/import",
            json!({"kind": "jwks_url", "url": "https://k.example"}),
        ),
        (Method::PATCH, format!("/keys/{key}"), json!({"label": "x"})),
        post(&format!("/keys/{key}/rotate"), json!({})),
        post(&format!("/keys/{key}/revoke"), Value::Null),
        post("/api-keys", json!({})),
        post(
            "/tokens/build",
            json!({"identity": "a", "device": "b", "grants": {}}),
        ),
        post("/revocations", json!({"all": true})),
        post("/connections/disconnect", json!({"identity": "a"})),
    ]
}

const READS: [&str; 5] = ["", "/keys", "/api-keys", "/revocations", "/connections"];

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}
