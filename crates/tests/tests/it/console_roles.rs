//! What each role may, over every route of the Console's API that there is.

use hexline_tests::{TestOperator, TestServer, client};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn no_route_of_an_app_lets_a_stranger_an_outsider_or_a_viewers_change_in() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let make = async |name: &str| {
        let made = owner.post("/apps", &json!({"name": name})).await;
        made["id"].as_str().expect("an id").to_owned()
    };
    let (ours, theirs) = (make("ours").await, make("theirs").await);
    let outsider = owner
        .invited(&server, "o@example.org", "admin", Some(&[&theirs]))
        .await;
    let viewer = owner
        .invited(&server, "v@example.org", "viewer", Some(&[&ours]))
        .await;
    let stranger = TestOperator::stranger(&server);
    let document = client().get(server.url("/openapi.json")).send().await;
    let document: Value = document.expect("an answer").json().await.expect("JSON");
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let Some(path) = path.strip_prefix("/console/api") else {
            continue;
        };
        let is_of_app = path.contains("{app}");
        let path = path.replace("{app}", &ours);
        let path = filled(&path);
        for (method, operation) in item.as_object().expect("operations") {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                continue;
            };
            seen += 1;
            let is_open = operation.get("security").is_none();
            let call = async |who: &TestOperator| {
                let mut request = who.request(method.clone(), &path);
                if method != Method::GET {
                    request = request.json(&json!({}));
                }
                request.send().await.expect("an answer").status().as_u16()
            };
            if !is_open {
                assert_eq!(call(&stranger).await, 401, "stranger: {method} {path}");
            }
            if is_of_app {
                let found = call(&outsider).await;
                let refused = found == 404 || method != Method::GET && found == 400;
                assert!(refused, "outsider: {method} {path}: {found}");
            }
            if is_of_app && method != Method::GET {
                let found = call(&viewer).await;
                assert!(
                    [400, 403].contains(&found),
                    "viewer: {method} {path}: {found}"
                );
            }
            if path.starts_with("/operators") {
                for who in [&outsider, &viewer] {
                    let found = call(who).await;
                    let refused = found == 403 || method != Method::GET && found == 400;
                    assert!(refused, "no owner: {method} {path}: {found}");
                }
            }
        }
    }
    assert!(seen > 50, "{seen} routes");
}

/// A path with an id wherever one belongs.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| {
        if part.starts_with('{') {
            "0123456789abcdef0123456789abcdef"
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join("/")
}
