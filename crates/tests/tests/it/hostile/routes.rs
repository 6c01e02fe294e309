//! Every route is in the table and so in `/openapi.json`: none can escape the other classes. What a
//! path does not take is refused as such, in every form of the path.

use std::path::{Path, PathBuf};

use hexline_tests::{TestServer, client};
use reqwest::Method;
use serde_json::Value;

use super::CRATES;

#[test]
fn a_route_is_mounted_by_the_table_and_by_nothing_else() {
    let sources = PathBuf::from(format!("{CRATES}/api/src"));
    let table = sources.join("routes.rs");
    let mut found = Vec::new();
    let mut seen = 0;
    for file in rust_files(&sources) {
        seen += 1;
        let text = std::fs::read_to_string(&file).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let mounts = |call: &str| {
                let called = code.split_once(call);
                called.is_some_and(|(_, arguments)| !arguments.starts_with(')'))
            };
            let forbidden = NEVER.iter().any(|call| mounts(call))
                || file != table && ONCE.iter().any(|call| mounts(call));
            if forbidden {
                found.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(seen > 50, "{seen} files");
    assert!(
        found.is_empty(),
        "mount it by .routes(routes!(…)), which describes it:\n{}",
        found.join("\n")
    );
    let text = std::fs::read_to_string(&table).expect("the table");
    let code = text.lines().filter(|line| !line.trim().starts_with("//"));
    let code: String = code.collect();
    for call in ONCE {
        assert_eq!(code.matches(call).count(), 1, "{call} stands once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_path_does_not_take_is_refused_in_every_form_of_the_path() {
    let server = TestServer::start_with(|config| {
        config.dev = true;
        config.public_url = Some("http://localhost:8000/below/here".to_owned());
    })
    .await;
    let document = client().get(server.url("/openapi.json")).send().await;
    let document: Value = document.expect("an answer").json().await.expect("JSON");
    let caller = client();
    let mut sockets = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let described: Vec<String> = item
            .as_object()
            .expect("operations")
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        let is_socket = item["get"]["responses"].get("101").is_some();
        sockets += usize::from(is_socket);
        for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            if described.iter().any(|known| known == method) {
                continue;
            }
            for prefix in ["", "/below/here"] {
                let place = format!("{method} {prefix}{path}");
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let request = caller
                    .request(method, server.url(&format!("{prefix}{path}")))
                    .header("x-hexline-console", "1");
                let response = request.send().await.expect("an answer");
                let status = response.status().as_u16();
                let allowed = response.headers().get("allow").cloned();
                let body: Value = response.json().await.expect("a JSON body");
                assert!(body["code"].is_string(), "{place}: {status} {body}");
                // A door may ask who calls first.
                let at_the_door = !is_socket && [401, 403].contains(&status);
                if at_the_door {
                    continue;
                }
                assert_eq!(status, 405, "{place}: {body}");
                let allowed = allowed.expect("405 says what is allowed");
                let allowed = allowed.to_str().expect("text").split(',');
                let mut allowed: Vec<&str> = allowed.map(str::trim).collect();
                allowed.retain(|method| *method != "HEAD");
                allowed.sort_unstable();
                let mut described = described.clone();
                described.sort_unstable();
                assert_eq!(allowed, described, "{place}");
            }
        }
    }
    assert_eq!(
        sockets, 4,
        "three forms of the gateway's path, and the echo"
    );
}

/// Every Rust file below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Calls that mount a handler without describing it.
const NEVER: &[&str] = &[
    ".route(",
    ".route_service(",
    ".nest_service(",
    ".fallback_service(",
];

/// Calls that stand in the table alone.
const ONCE: &[&str] = &[".nest(", ".fallback("];
