//! The descriptions of the API, and whether the server does as they say.

use std::collections::{BTreeMap, BTreeSet};

use hexline_tests::api::{ApiWorld, Credentials, Document, Input, Operation, Place};
use hexline_tests::{TestApp, TestServer, client};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_where_the_server_is_and_who_may_come_in() {
    let server = TestServer::start_with(|config| {
        config.public_url = Some("https://chat.example/rt".to_owned());
    })
    .await;
    for prefix in ["", "/rt"] {
        let response = client()
            .get(server.url(&format!("{prefix}/openapi.json")))
            .header("origin", "https://page.example")
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let document: Value = response.json().await.expect("JSON");
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(
            document["servers"],
            json!([{"url": "https://chat.example/rt"}])
        );
        let schemes = document["components"]["securitySchemes"].as_object();
        let schemes: Vec<&String> = schemes.expect("schemes").keys().collect();
        let wanted = ["apikey", "clientToken", "consoleSession", "platformToken"];
        assert_eq!(schemes, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_has_a_name_a_tag_and_a_line_of_text() {
    let world = ApiWorld::start().await;
    let mut names = BTreeSet::new();
    let tags: BTreeSet<&str> = world.document.value()["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .map(|tag| tag["name"].as_str().expect("a name"))
        .collect();
    let paths = world.document.value()["paths"].as_object().expect("paths");
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let place = format!("{method} {path}");
            let name = operation["operationId"].as_str().expect("an operationId");
            assert!(names.insert(name), "{place}: {name} stands twice");
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            assert!(tags.contains(tag), "{place}: the tag {tag:?} is not listed");
            let text = operation["summary"].as_str().unwrap_or_default();
            assert!(!text.is_empty() && text.len() < 100, "{place}: {text:?}");
            let held = path.split('{').skip(1).map(|part| part.split('}').next());
            let held: BTreeSet<&str> = held.flatten().collect();
            let described = world.operation(method, path).parameters.clone();
            let described: BTreeSet<String> = described
                .into_iter()
                .filter(|parameter| parameter.place == Place::Path)
                .map(|parameter| parameter.name)
                .collect();
            assert!(described.iter().eq(held.iter()), "{place}: {described:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_and_number_that_is_sent_has_its_bounds() {
    let world = ApiWorld::start().await;
    let mut unbounded = BTreeSet::new();
    for operation in world.document.operations() {
        let mut check = |name: &str, schema: &Value| {
            let kind = schema["type"].to_string();
            let wanted: &[&str] = if kind.contains("string") {
                &["enum", "pattern", "maxLength"]
            } else if kind.contains("integer") || kind.contains("number") {
                &["minimum", "maximum"]
            } else {
                return;
            };
            let is_bounded = wanted.iter().any(|word| schema.get(word).is_some());
            if !is_bounded && !UNBOUNDED.contains(&name) {
                unbounded.insert(format!("{}: {name}", operation.name()));
            }
        };
        for parameter in &operation.parameters {
            check(&parameter.name, &parameter.schema);
        }
        let (_, schema) = operation.body.clone().unwrap_or_default();
        for (place, schema) in world.document.members(&schema) {
            // The name of a list's items is that of the list.
            let names = place.rsplit('/').find(|name| *name != "0");
            check(names.unwrap_or_default(), schema);
        }
    }
    assert!(unbounded.is_empty(), "{unbounded:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_described_whatever_it_is_given() {
    let mut world = ApiWorld::start().await;
    let mut faults: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut unreached = BTreeSet::new();
    let only = std::env::var("HEXLINE_OPERATION").unwrap_or_default();
    for operation in world.document.operations() {
        let name = operation.name();
        if !name.contains(&only) {
            continue;
        }
        let (found, reached) = try_all(&mut world, &operation).await;
        if !found.is_empty() {
            faults.insert(name.clone(), found);
        }
        if !reached {
            unreached.insert(name);
        }
    }
    let shown: Vec<String> = faults
        .iter()
        .map(|(name, found)| format!("{name}\n    {}", found.join("\n    ")))
        .collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    let expected: BTreeSet<String> = UNREACHED.iter().map(|&name| name.to_owned()).collect();
    let more: Vec<&String> = unreached.difference(&expected).collect();
    assert!(more.is_empty(), "no input succeeded with {more:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_api_loads_nothing_from_elsewhere() {
    let server = TestServer::start().await;
    let response = client().get(server.url("/docs")).send().await;
    let response = response.expect("an answer");
    let policy = response.headers()["content-security-policy"].clone();
    let policy = policy.to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = response.text().await.expect("a page");
    for name in ["docs/docs.css", "docs/docs.js"] {
        assert!(page.contains(name), "{name}");
        let response = client().get(server.url(&format!("/{name}"))).send().await;
        let text = response.expect("an answer").text().await.expect("text");
        assert!(text.len() > 1000, "{name}");
        assert!(!text.contains("://"), "{name} names another server");
        assert!(!text.contains("innerHTML"), "{name}");
    }
    assert!(!page.contains("://"), "the page names another server");
    assert!(
        !page.contains("<style") && !page.contains(" style="),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_websockets_methods_are_described_too() {
    let server = TestServer::start().await;
    let response = client().get(server.url("/openrpc.json")).send().await;
    let document: Value = response.expect("an answer").json().await.expect("JSON");
    assert_eq!(document["openrpc"], "1.3.2");
    let url = document["servers"][0]["url"].as_str().expect("a URL");
    assert_eq!(
        url,
        format!(
            "{}/client/signal/v1/pubsub",
            server.base().replace("http", "ws")
        )
    );
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    for method in document["methods"].as_array().expect("methods") {
        let name = method["name"].as_str().expect("a name");
        let mut params = json!({"to": "bob", "id": "room", "presence": true});
        let known = method["params"].as_array().expect("params");
        let members = params.as_object_mut().expect("an object");
        members.retain(|name, _| known.iter().any(|param| param["name"] == name.as_str()));
        let frame = json!({"jsonrpc": "2.0", "id": 1, "method": name, "params": params});
        bob.text(frame.to_string()).await;
        let answer = bob.frame().await;
        let described = Document::new(document.clone());
        let checked = described.check(&method["result"]["schema"], &answer["result"]);
        checked.unwrap_or_else(|why| panic!("{name}: {why} in {answer}"));
    }
}

/// Whether a refusal says that a value has not the form that is wanted; else it has, and is not
/// right.
fn is_about_form(refusal: &str) -> bool {
    !NOT_ABOUT_FORM.iter().any(|words| refusal.contains(words))
}

const NOT_ABOUT_FORM: &[&str] = &[
    "does not exist",
    "the passkey cannot be taken",
    "the code does not fit",
    "is no good client token of this app",
    "tells the strategies apart",
    "one of those in the app's settings",
];

/// What is compared or judged whatever it is, comes from others, or is a moment.
const UNBOUNDED: &[&str] = &[
    // Shown to be judged.
    "token",
    "jwt",
    "subject_token",
    "refresh_token",
    "token_type_hint",
    "email",
    "password",
    "current",
    "code",
    "confirm",
    "aud",
    "strict",
    // What a provider, a browser or an authenticator says.
    "state",
    "error",
    "iss",
    "rawId",
    "authenticatorData",
    "clientDataJSON",
    "attestationObject",
    "signature",
    "client_secret",
    "private_key",
    // Documents.
    "pem",
    // Files of ours.
    "file",
    "version",
    "name",
    // Moments.
    "from_ms",
    "to_ms",
    "expires_ms",
    "issued_before_ms",
    "exp",
    "nbf",
];

/// What generated input cannot do: a handshake, a password that is not known, an event stream, ….
const UNREACHED: &[&str] = &[
    "GET /client/signal/pubsub",
    "GET /client/signal/v1/pubsub",
    "GET /client/v1/signal/pubsub",
    "GET /dev/echo",
    // An authenticator, or an app for codes, has to answer.
    "POST /console/api/profile/passkeys/finish",
    "POST /console/api/profile/totp/confirm",
    "POST /console/api/session/passkey/finish",
    // A user of the app's own sign-in, or a browser under way, has to come.
    "POST /app/auth/v1/strategies/external/token",
    "GET /app/auth/v1/callback",
    "POST /app/auth/v1/callback",
    // There is an operator already.
    "POST /console/api/setup",
    "POST /console/api/setup/check",
];

/// What is wrong with an operation, and whether any input succeeded.
async fn try_all(world: &mut ApiWorld, operation: &Operation) -> (Vec<String>, bool) {
    let app = world.app().await;
    // Somebody is there to be listed and told something.
    let mut bob = app.connect("bob/web").await;
    bob.call("signal.join", json!({"id": "room"})).await;
    let good = good_credentials(world, &app, operation).await;
    let hints = world.hints(&app, operation, &good[0]).await;
    let mut faults: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut reached = false;
    let [least, full] =
        [false, true].map(|full| Input::valid(&world.document, operation, &hints, full));
    let mut inputs = vec![least.clone(), full];
    inputs.extend(least.variations(&world.document, operation, &hints));
    for (at, input) in inputs.iter().enumerate() {
        for credentials in &good {
            let answer = attempt(world, operation, input, credentials, &mut faults).await;
            reached |= answer.as_ref().is_some_and(|(status, _)| *status < 400);
            if let (true, Some((400, why))) = (at < 2, answer)
                && is_about_form(&why)
            {
                let what = format!("what the document allows was called invalid: {why}");
                faults.insert(what, (input.label.clone(), 1));
            }
        }
    }
    for edge in least.edges(&world.document, operation, &hints) {
        let input = &edge.input;
        let answer = attempt(world, operation, input, &good[0], &mut faults).await;
        let fault = match (edge.fits, answer) {
            (true, Some((400, why))) if is_about_form(&why) => {
                format!("the document allows what was called invalid: {why}")
            }
            (false, Some((..400, _))) => "the document excludes what was accepted".to_owned(),
            _ => continue,
        };
        faults.insert(format!("{}: {fault}", input.label), (String::new(), 1));
    }
    for credentials in bad_credentials(&app, operation) {
        let answer = attempt(world, operation, &least, &credentials, &mut faults).await;
        let let_in = answer.is_some_and(|(status, _)| (200..300).contains(&status));
        if let_in && !operation.schemes.is_empty() {
            let who: String = format!("{credentials:?}").chars().take(40).collect();
            let what = format!("{who} was let in");
            faults.insert(what, (String::new(), 1));
        }
    }
    if !operator_is_signed_in(world).await {
        // An operation has ended the session, as it should.
        world.start_again().await;
    }
    let faults = faults
        .into_iter()
        .map(|(fault, (label, times))| format!("{fault} ({label}; {times} times)"));
    (faults.collect(), reached)
}

async fn attempt(
    world: &ApiWorld,
    operation: &Operation,
    input: &Input,
    credentials: &Credentials,
    faults: &mut BTreeMap<String, (String, usize)>,
) -> Option<(u16, String)> {
    let mut note = |fault: String| {
        let fault: String = fault.chars().take(400).collect();
        let label = input.label.chars().take(60).collect();
        faults.entry(fault).or_insert((label, 0)).1 += 1;
    };
    let response = match world.send(operation, input, credentials).await {
        Ok(response) => response,
        Err(error) => {
            note(format!("no answer: {error}"));
            return None;
        }
    };
    let status = response.status().as_u16();
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind
        .map_or("", |kind| kind.to_str().expect("text"))
        .to_owned();
    // A stream of events has no end.
    let body = if kind.starts_with("text/event-stream") {
        Vec::new()
    } else {
        response.bytes().await.expect("a body").to_vec()
    };
    if let Err(fault) = world.document.judge(operation, status, &kind, &body) {
        note(fault);
    }
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn operator_is_signed_in(world: &ApiWorld) -> bool {
    let request = world.operator.request(Method::GET, "/session");
    let response = request.send().await.expect("an answer");
    response.status().is_success()
}

async fn good_credentials(
    world: &ApiWorld,
    app: &TestApp,
    operation: &Operation,
) -> Vec<Credentials> {
    let mut good = Vec::new();
    for scheme in &operation.schemes {
        good.push(match scheme.as_str() {
            "clientToken" => Credentials::Bearer(app.token("bob/web")),
            "platformToken" => Credentials::Bearer(app.platform_token()),
            "consoleSession" => Credentials::Cookie(world.operator.cookie().to_owned()),
            "apikey" => Credentials::ApiKey(app.api_key().await),
            other => panic!("{other} is no scheme that this test knows"),
        });
    }
    if good.is_empty() {
        good.push(Credentials::None);
    }
    good
}

fn bad_credentials(app: &TestApp, operation: &Operation) -> Vec<Credentials> {
    let mut bad = vec![
        Credentials::None,
        Credentials::Bearer(String::new()),
        Credentials::Bearer("a.b.c".to_owned()),
        Credentials::Bearer(app.token_with_another_secret("bob/web")),
        Credentials::Bearer(app.token_of("0123456789abcdef0123456789abcdef", "bob/web")),
        Credentials::Cookie("hexline_console=forged".to_owned()),
        Credentials::Cookie(format!("hexline_console={}", "a".repeat(3000))),
        Credentials::ApiKey(String::new()),
        Credentials::ApiKey("0123456789abcdef0123456789abcdef".to_owned()),
    ];
    if !operation
        .schemes
        .iter()
        .any(|scheme| scheme == "clientToken")
    {
        bad.push(Credentials::Bearer(app.token("bob/web")));
    }
    if !operation
        .schemes
        .iter()
        .any(|scheme| scheme == "platformToken")
    {
        bad.push(Credentials::Bearer(app.platform_token()));
    }
    bad
}
