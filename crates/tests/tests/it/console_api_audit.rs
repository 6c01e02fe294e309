//! The audit log: who changed what, when and from where.

use std::collections::BTreeSet;
use std::time::Duration;

use hexline_server::config::Config;
use hexline_tests::{
    OWNER_EMAIL, OWNER_PASSWORD, Program, TestOperator, TestServer, refusal, within,
};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_change_in_the_console_is_in_the_log_and_no_refused_one_is() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = owner.post("/apps", &json!({"name": "shop"})).await;
    let path = format!("/apps/{}", text(&app["id"]));
    let post = async |tail: &str, body: Value| owner.post(&format!("{path}{tail}"), &body).await;
    let key = post("/keys", json!({"label": "backend"})).await;
    let key = text(&key["key"]["id"]).to_owned();
    let rotated = post(&format!("/keys/{key}/rotate"), json!({})).await;
    post(&format!("/keys/{key}/revoke"), Value::Null).await;
    let label = json!({"label": "web"});
    let new = format!("{path}/keys/{}", text(&rotated["key"]["id"]));
    owner.patch(&new, &label).await;
    let api_key = post("/api-keys", json!({})).await;
    post(
        &format!("/api-keys/{}/revoke", text(&api_key["id"])),
        Value::Null,
    )
    .await;
    post(
        "/tokens/build",
        json!({"identity": "a", "device": "b", "grants": {}}),
    )
    .await;
    post("/revocations", json!({"identity": "a"})).await;
    post("/connections/disconnect", json!({"identity": "a"})).await;
    owner
        .patch(
            &path,
            &json!({"name": "store", "settings": {"exp_required": false}}),
        )
        .await;
    post("/disable", Value::Null).await;
    post("/enable", Value::Null).await;
    let refused = owner
        .refused(
            Method::POST,
            &format!("{path}/delete"),
            &json!({"confirm": "x"}),
        )
        .await;
    assert_eq!(refused.status, 400);
    let before = actions(&owner, "").await;
    assert!(!before.contains("app.delete"), "{before:?}");
    post("/delete", json!({"confirm": "store"})).await;

    let found = actions(&owner, &format!("app={}", text(&app["id"]))).await;
    let wanted = [
        "api_key.create",
        "api_key.revoke",
        "app.create",
        "app.delete",
        "app.disable",
        "app.enable",
        "app.rename",
        "app.update",
        "connection.disconnect",
        "key.create",
        "key.revoke",
        "key.rotate",
        "key.update",
        "token.build",
        "token.revoke",
    ];
    assert!(found.iter().eq(wanted.iter()), "{found:?}");
    let entries = owner.get("/audit?action=key.rotate").await;
    let entry = &entries["items"][0];
    assert_eq!(entry["actor"]["kind"], "operator");
    assert_eq!(entry["actor"]["email"], OWNER_EMAIL);
    assert_eq!(entry["peer"], "127.0.0.1");
    assert_eq!((&entry["app"], &entry["target"]), (&app["id"], &json!(key)));
    assert_eq!(entry["detail"]["new_key"], rotated["key"]["id"]);
    let ago = hexline_tests::now() * 1000 - entry["at_ms"].as_i64().expect("a time");
    assert!((-2000..600_000).contains(&ago));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_filtered_by_app_actor_action_and_time_and_read_by_the_page() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let ann = owner
        .invited(&server, "ann@example.org", "admin", None)
        .await;
    for n in 0..5 {
        let who = if n % 2 == 0 { &owner } else { &ann };
        who.post("/apps", &json!({"name": format!("app-{n}")}))
            .await;
    }
    let targets = async |query: &str| -> Vec<String> {
        let page = owner.get(&format!("/audit?{query}")).await;
        let items = page["items"].as_array().expect("a list");
        items
            .iter()
            .map(|e| text(&e["target"]).to_owned())
            .collect()
    };
    let all = targets("action=app.create").await;
    assert_eq!(
        all,
        ["app-4", "app-3", "app-2", "app-1", "app-0"],
        "newest first"
    );
    assert_eq!(
        targets("action=app.*&actor=ann@example.org").await,
        ["app-3", "app-1"]
    );
    assert!(targets("action=app.c").await.is_empty());
    assert!(targets("actor=cli").await.is_empty());
    assert!(targets("actor=operator&action=app.*").await.len() == 5);
    let page = owner.get("/audit?action=app.create&limit=2").await;
    let second = &page["items"][1];
    let at = second["at_ms"].as_i64().expect("a time");
    let older = targets(&format!("action=app.create&to_ms={at}")).await;
    assert!(!older.contains(&"app-3".to_owned()), "{older:?}");
    assert!(
        targets(&format!("action=app.create&from_ms={at}"))
            .await
            .len()
            >= 2
    );
    let app = text(&second["app"]);
    assert_eq!(targets(&format!("app={app}")).await, ["app-3"]);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = owner
            .get(&format!("/audit?action=app.create&limit=2{cursor}"))
            .await;
        let items = page["items"].as_array().expect("a list");
        seen.extend(items.iter().map(|e| text(&e["target"]).to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, all);
    for bad in [
        "limit=0",
        "cursor=%25",
        "cursor=YQ",
        "from_ms=x",
        "actor=%00",
        "other=1",
    ] {
        let refused = owner.get_refused(&format!("/audit?{bad}")).await;
        assert_eq!(refused, refusal(400, "invalid_request"), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_reads_of_its_own_apps_alone() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let (own, other) = (server.app("own").await, server.app("other").await);
    let id = own.id();
    for app in [&own, &other] {
        owner
            .post(&format!("/apps/{}/keys", app.id()), &json!({}))
            .await;
    }
    let viewer = owner
        .invited(&server, "vic@example.org", "viewer", Some(&[&id]))
        .await;
    let seen = viewer.get("/audit").await;
    let items = seen["items"].as_array().expect("a list");
    assert!(
        !items.is_empty() && items.iter().all(|entry| entry["app"] == id.as_str()),
        "{seen}"
    );
    let export = export(&viewer, "format=jsonl").await;
    assert!(export.lines().count() == items.len() && !export.contains(&other.id()));
    let refused = viewer
        .get_refused(&format!("/audit?app={}", other.id()))
        .await;
    assert_eq!(refused, refusal(404, "not_found"));
    let none = owner
        .invited(&server, "nix@example.org", "viewer", Some(&[]))
        .await;
    assert_eq!(none.get("/audit").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_whole_and_holds_no_formula() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let close = format!("/apps/{}/connections/disconnect", app.id());
    let formula = "=HYPERLINK(\"https:\",\"x\")".replace("https:", "h");
    // More than one part of it.
    for n in 0..600 {
        let identity = if n == 0 {
            formula.clone()
        } else {
            format!("user-{n}")
        };
        owner.post(&close, &json!({"identity": identity})).await;
    }
    let lines = export(&owner, "format=jsonl&action=connection.*").await;
    let mut targets = BTreeSet::new();
    for line in lines.lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        targets.insert(text(&entry["target"]).to_owned());
    }
    assert_eq!(targets.len(), 600);
    assert!(targets.contains(&formula));
    let table = export(&owner, "format=csv&action=connection.*").await;
    let rows: Vec<&str> = table.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 601);
    assert!(rows[0].starts_with("at,at_ms,actor_kind"));
    let guarded = format!("\"'{}\"", formula.replace('"', "\"\""));
    assert!(rows[600].contains(&guarded), "{}", rows[600]);
    assert!(
        table
            .split(',')
            .all(|cell| !cell.starts_with('=') && !cell.starts_with("\"="))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_outlives_a_restart() {
    let mut server = TestServer::start().await;
    let owner = server.operator().await;
    owner.post("/apps", &json!({"name": "shop"})).await;
    let before = owner.get("/audit?action=app.create").await;
    server.restart().await;
    let after = owner.at(&server).get("/audit?action=app.create").await;
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_older_than_the_retention_is_swept() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    owner.post("/apps", &json!({"name": "shop"})).await;
    let made = "/audit?action=app.create";
    assert_eq!(owner.get(made).await["items"][0]["action"], "app.create");
    server.advance(Config::defaults().audit_retention + Duration::from_hours(1));
    let owner = TestOperator::sign_in(&server, OWNER_EMAIL, OWNER_PASSWORD).await;
    let swept = async { while owner.get(made).await["items"] != json!([]) {} };
    within("the sweep", swept).await;
    let newer = owner.get("/audit").await;
    assert_ne!(newer["items"], json!([]), "what is newer is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_changes_is_in_the_log_with_and_without_a_server() {
    let mut server = TestServer::start().await;
    let owner = server.operator().await;
    let data = server.data_dir().to_str().expect("UTF-8").to_owned();
    let run = async |arguments: &[&str]| {
        let output = Program::run(&[arguments, &["--data", &data]].concat()).await;
        assert!(output.status.success(), "{output:?}");
    };
    run(&["app", "create", "shop"]).await;
    run(&["app", "list"]).await;
    run(&["key", "create", "--app", "shop", "--label", "backend"]).await;
    let cli = async |owner: &TestOperator| -> Vec<String> {
        let page = owner.get("/audit?actor=cli").await;
        let items = page["items"].as_array().expect("a list").clone();
        assert!(items.iter().all(|entry| entry["app"].is_string()), "{page}");
        items
            .iter()
            .map(|e| text(&e["action"]).to_owned())
            .collect()
    };
    assert_eq!(cli(&owner).await, ["key.create", "app.create"]);
    server.stop().await;
    run(&["app", "disable", "shop", "--yes"]).await;
    server.resume().await;
    let found = cli(&owner.at(&server)).await;
    assert_eq!(found, ["app.disable", "key.create", "app.create"]);
}

async fn export(operator: &TestOperator, query: &str) -> String {
    let path = format!("/audit/export?{query}");
    let response = operator.request(Method::GET, &path).send().await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), 200);
    let disposition = response.headers()["content-disposition"].clone();
    assert!(
        disposition
            .to_str()
            .expect("text")
            .starts_with("attachment")
    );
    response.text().await.expect("a body")
}

async fn actions(operator: &TestOperator, query: &str) -> BTreeSet<String> {
    let page = operator.get(&format!("/audit?limit=200&{query}")).await;
    let items = page["items"].as_array().expect("a list");
    items
        .iter()
        .map(|e| text(&e["action"]).to_owned())
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is text"))
}
