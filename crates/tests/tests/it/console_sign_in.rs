use hexline_tests::{
    OWNER_EMAIL, OWNER_PASSWORD, TestOperator, TestServer, client, refusal, refusal_of,
};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn the_set_up_link_makes_one_operator_and_is_dead_then() {
    let mut server = TestServer::start().await;
    let stranger = TestOperator::stranger(&server);
    assert_eq!(
        stranger.get_refused("/session").await,
        refusal(401, "signed_out")
    );
    let link = server.console_setup_url().expect("there is no operator");
    server.restart().await;
    let newer = server.console_setup_url().expect("there is none still");
    assert_ne!(link, newer, "each start has a link of its own");
    let stranger = TestOperator::stranger(&server);
    let dead = refusal(403, "forbidden");
    assert_eq!(set_up_refused(&stranger, &link).await, dead);

    let owner = server.operator().await;
    let session = owner.get("/session").await;
    assert_eq!(session["operator"]["email"], OWNER_EMAIL);
    assert_eq!(session["operator"]["role"], "owner");
    assert_eq!(set_up_refused(&stranger, &newer).await, dead);
    server.restart().await;
    assert_eq!(server.console_setup_url(), None);
}

#[tokio::test]
async fn of_two_that_race_with_the_set_up_link_one_makes_an_operator() {
    let server = TestServer::start().await;
    let link = server.console_setup_url().expect("there is no operator");
    let stranger = TestOperator::stranger(&server);
    let racer = |email: &str| {
        let request = stranger.request(Method::POST, "/setup");
        let request = request.json(&set_up(&link, email));
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    let (a, b, c) = tokio::join!(
        racer("a@example.org"),
        racer("b@example.org"),
        racer("c@example.org")
    );
    let mut statuses = [a, b, c];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403, 403]);
}

#[tokio::test]
async fn the_cookie_is_for_this_site_the_console_and_no_script() {
    let server = TestServer::start_with(|config| {
        config.public_url = Some("https://rt.example.org/hex/".to_owned());
    })
    .await;
    server.operator().await;
    let stranger = TestOperator::stranger(&server);
    let body = json!({"email": OWNER_EMAIL, "password": OWNER_PASSWORD});
    let request = stranger.request(Method::POST, "/session").json(&body);
    let response = request.send().await.expect("an answer");
    let cookie = response.headers()["set-cookie"].to_str().expect("text");
    let (pair, rest) = cookie.split_once("; ").expect("attributes");
    assert_eq!(
        rest,
        "Path=/hex/console; Max-Age=604800; HttpOnly; SameSite=Strict; Secure"
    );
    let token = pair.strip_prefix("hexline_console=").expect("its name");
    assert_eq!(token.len(), 43);
}

#[tokio::test]
async fn on_https_without_a_path_no_other_host_can_plant_the_cookie() {
    let server = TestServer::start_with(|config| {
        config.public_url = Some("https://rt.example.org".to_owned());
    })
    .await;
    let owner = server.operator().await;
    let body = json!({"email": OWNER_EMAIL, "password": OWNER_PASSWORD});
    let stranger = TestOperator::stranger(&server);
    let request = stranger.request(Method::POST, "/session").json(&body);
    let response = request.send().await.expect("an answer");
    let cookie = response.headers()["set-cookie"].to_str().expect("text");
    let (pair, rest) = cookie.split_once("; ").expect("attributes");
    // What browsers ask of this name: Secure, the whole host, and no domain.
    assert_eq!(
        rest,
        "Path=/; Max-Age=604800; HttpOnly; SameSite=Strict; Secure"
    );
    let (name, token) = pair.split_once('=').expect("a pair");
    assert_eq!(name, "__Host-hexline_console");
    owner.get("/session").await;
    let planted = stranger.request(Method::GET, "/session");
    let planted = planted.header("cookie", format!("hexline_console={token}"));
    assert_eq!(refusal_of(planted).await, refusal(401, "signed_out"));
    let request = owner.request(Method::DELETE, "/session");
    let response = request.send().await.expect("an answer");
    let cookie = response.headers()["set-cookie"].to_str().expect("text");
    assert!(cookie.starts_with("__Host-hexline_console=; Path=/; Max-Age=0;"));
}

#[tokio::test]
async fn another_site_gets_nowhere_even_with_the_cookie() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let api = |path: &str| server.url(&format!("/console/api{path}"));
    let with_cookie = |method, path: &str| {
        client()
            .request(method, api(path))
            .header("cookie", owner.cookie())
    };
    let refused = refusal(403, "origin_refused");
    let post = || with_cookie(Method::POST, "/operators");
    let order = json!({"email": "eve@example.org", "role": "owner", "apps": null});
    let form = post()
        .header("content-type", "text/plain")
        .body(order.to_string());
    assert_eq!(refusal_of(form).await, refused, "as a form would");
    assert_eq!(refusal_of(post().json(&order)).await, refused, "no header");
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let request = post().header("x-hexline-console", "1").header(name, value);
        assert_eq!(refusal_of(request.json(&order)).await, refused, "{value}");
        let read = with_cookie(Method::GET, "/session").header(name, value);
        assert_eq!(refusal_of(read).await, refused, "{value} reads");
    }
    let request = post().header("x-hexline-console", "1");
    let request = request.header("content-type", "text/plain").body("{}");
    assert_eq!(refusal_of(request).await, refusal(415, "invalid_request"));
    // And no other site may even ask whether it may.
    let preflight = client()
        .request(Method::OPTIONS, api("/operators"))
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-hexline-console")
        .send()
        .await
        .expect("an answer");
    assert!(!preflight.status().is_success());
    assert!(
        preflight
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
    let operators = owner.get("/operators").await;
    assert_eq!(operators["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_told_the_same() {
    let server = TestServer::start().await;
    server.operator().await;
    let stranger = TestOperator::stranger(&server);
    let mut answers = Vec::new();
    for (email, password) in [
        (OWNER_EMAIL, "not the password"),
        ("nobody@example.org", OWNER_PASSWORD),
        ("no address", OWNER_PASSWORD),
    ] {
        let body = json!({"email": email, "password": password});
        let request = stranger.request(Method::POST, "/session").json(&body);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 401);
        answers.push(response.json::<Value>().await.expect("JSON"));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["code"], "sign_in_failed");
    // Letter case and space around do not make another address.
    TestOperator::sign_in(&server, " OLGA@Example.org ", OWNER_PASSWORD).await;
}

#[tokio::test]
async fn who_fails_too_often_waits_also_after_a_restart() {
    let mut server = TestServer::start().await;
    let owner = server.operator().await;
    let wrong = json!({"email": OWNER_EMAIL, "password": "not the password"});
    let right = json!({"email": OWNER_EMAIL, "password": OWNER_PASSWORD});
    let stranger = TestOperator::stranger(&server);
    for _ in 0..10 {
        assert_eq!(
            stranger.refused(Method::POST, "/session", &wrong).await,
            refusal(401, "sign_in_failed")
        );
    }
    let limited = refusal(429, "rate_limited");
    assert_eq!(
        stranger.refused(Method::POST, "/session", &wrong).await,
        limited
    );
    server.restart().await;
    let stranger = TestOperator::stranger(&server);
    let request = stranger.request(Method::POST, "/session").json(&right);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 429);
    let wait = response.headers()["retry-after"].to_str().expect("text");
    assert!((1..=60).contains(&wait.parse::<u32>().expect("a number")));
    // A session that is open stays so.
    owner.at(&server).get("/session").await;
}

#[tokio::test]
async fn sessions_outlive_a_restart_are_listed_and_end_one_by_one() {
    let mut server = TestServer::start().await;
    let first = server.operator().await;
    let second = TestOperator::sign_in(&server, OWNER_EMAIL, OWNER_PASSWORD).await;
    server.restart().await;
    let (first, second) = (first.at(&server), second.at(&server));
    let listed = first.get("/profile/sessions").await;
    let sessions = listed["items"].as_array().expect("a list");
    assert_eq!(sessions.len(), 2);
    let other = sessions
        .iter()
        .find(|session| session["current"] == false)
        .expect("the second one");
    assert_eq!(other["address"], "127.0.0.1");
    let path = format!("/profile/sessions/{}", other["id"].as_str().expect("an id"));
    first.delete(&path).await;
    let signed_out = refusal(401, "signed_out");
    assert_eq!(second.get_refused("/session").await, signed_out);
    first.delete("/session").await;
    assert_eq!(first.get_refused("/session").await, signed_out);
}

#[tokio::test]
async fn another_password_ends_the_other_sessions() {
    let server = TestServer::start().await;
    let here = server.operator().await;
    let there = TestOperator::sign_in(&server, OWNER_EMAIL, OWNER_PASSWORD).await;
    let path = "/profile/password";
    for wrong in ["too short".to_owned(), "x".repeat(1025)] {
        let change = json!({"new": wrong});
        let refused = here.refused(Method::POST, path, &change).await;
        assert_eq!(refused, refusal(400, "invalid_params"));
    }
    there.get("/session").await;
    here.post(path, &json!({"new": "another good password"}))
        .await;
    here.get("/session").await;
    assert_eq!(
        there.get_refused("/session").await,
        refusal(401, "signed_out")
    );
    TestOperator::sign_in(&server, OWNER_EMAIL, "another good password").await;
}

#[tokio::test]
async fn an_invitation_is_good_once_and_gives_the_role_it_says() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let order = json!({"email": "Vic@example.org", "role": "viewer", "apps": []});
    let made = owner.post("/operators", &order).await;
    assert_eq!(made["operator"]["state"], "invited");
    assert_eq!(made["operator"]["email"], "vic@example.org");
    assert_eq!(
        owner.refused(Method::POST, "/operators", &order).await,
        refusal(409, "conflict")
    );
    let link = made["invitation_url"].as_str().expect("a link");
    let (page, token) = link.split_once('#').expect("a fragment");
    assert!(page.ends_with("/console/invitation"));
    let accept = json!({"token": token, "name": "Vic", "password": OWNER_PASSWORD});
    let viewer = TestOperator::begin(&server, "/invitation", &accept).await;
    let stranger = TestOperator::stranger(&server);
    assert_eq!(
        stranger.refused(Method::POST, "/invitation", &accept).await,
        refusal(403, "forbidden")
    );
    assert_eq!(viewer.get("/session").await["operator"]["role"], "viewer");
    let forbidden = refusal(403, "forbidden");
    assert_eq!(viewer.get_refused("/operators").await, forbidden);
    let order = json!({"email": "eve@example.org", "role": "owner", "apps": null});
    assert_eq!(
        viewer.refused(Method::POST, "/operators", &order).await,
        forbidden
    );
}

#[tokio::test]
async fn a_disabled_or_removed_operator_is_out_at_once() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let admin = owner
        .invited(&server, "adam@example.org", "admin", None)
        .await;
    let id = id_of(&admin).await;
    let path = format!("/operators/{id}");
    owner.patch(&path, &json!({"disabled": true})).await;
    let signed_out = refusal(401, "signed_out");
    assert_eq!(admin.get_refused("/session").await, signed_out);
    let stranger = TestOperator::stranger(&server);
    let right = json!({"email": "adam@example.org", "password": OWNER_PASSWORD});
    assert_eq!(
        stranger.refused(Method::POST, "/session", &right).await,
        refusal(401, "sign_in_failed")
    );
    owner.patch(&path, &json!({"disabled": false})).await;
    let admin = TestOperator::sign_in(&server, "adam@example.org", OWNER_PASSWORD).await;
    owner.delete(&path).await;
    assert_eq!(admin.get_refused("/session").await, signed_out);
}

#[tokio::test]
async fn the_last_owner_stays_until_there_is_another() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let path = format!("/operators/{}", id_of(&owner).await);
    let conflict = refusal(409, "conflict");
    for change in [json!({"role": "admin"}), json!({"disabled": true})] {
        assert_eq!(owner.refused(Method::PATCH, &path, &change).await, conflict);
    }
    let removal = owner.request(Method::DELETE, &path);
    assert_eq!(refusal_of(removal).await, conflict);
    // One who was invited and never came does not count.
    let order = json!({"email": "otto@example.org", "role": "owner", "apps": null});
    owner.post("/operators", &order).await;
    let removal = owner.request(Method::DELETE, &path);
    assert_eq!(refusal_of(removal).await, conflict);
    let other = owner
        .invited(&server, "oona@example.org", "owner", None)
        .await;
    other.patch(&path, &json!({"role": "viewer"})).await;
    assert_eq!(
        owner.get_refused("/operators").await,
        refusal(403, "forbidden"),
        "a role counts at once"
    );
}

#[tokio::test]
async fn what_opens_a_door_is_not_in_the_database() {
    let server = TestServer::start().await;
    let link = server.console_setup_url().expect("there is no operator");
    let owner = server.operator().await;
    let order = json!({"email": "vic@example.org", "role": "viewer", "apps": null});
    let made = owner.post("/operators", &order).await;
    let invitation = made["invitation_url"].as_str().expect("a link").to_owned();
    let token_of = |link: &str| link.split_once('#').expect("a fragment").1.to_owned();
    let cookie = owner.cookie().split_once('=').expect("a pair").1.to_owned();
    let secrets = [
        token_of(&link),
        token_of(&invitation),
        cookie,
        OWNER_PASSWORD.to_owned(),
    ];
    for entry in std::fs::read_dir(server.data_dir()).expect("a directory") {
        let path = entry.expect("an entry").path();
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
}

#[tokio::test]
async fn who_signed_in_or_failed_is_in_the_audit_log_and_no_secret() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let stranger = TestOperator::stranger(&server);
    for (email, password) in [
        (OWNER_EMAIL, "a wrong password"),
        ("typed-a-password-here", "a wrong password"),
    ] {
        let body = json!({"email": email, "password": password});
        stranger.refused(Method::POST, "/session", &body).await;
    }
    let admin = owner
        .invited(&server, "adam@example.org", "admin", None)
        .await;
    let path = format!("/operators/{}", id_of(&admin).await);
    owner.patch(&path, &json!({"role": "viewer"})).await;
    owner.delete(&path).await;
    let log = owner.get("/audit").await;
    let entries = log["items"].as_array().expect("entries");
    let told: Vec<_> = entries
        .iter()
        .rev()
        .map(|entry| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (action, target) = (text(&entry["action"]), text(&entry["target"]));
            assert_eq!(entry["peer"], "127.0.0.1", "{entry}");
            format!("{} {action} {target}", text(&entry["actor"]["kind"]))
        })
        .collect();
    assert_eq!(
        told,
        [
            "operator operator.set_up olga@example.org",
            "system operator.sign_in_failed olga@example.org",
            "system operator.sign_in_failed ",
            "operator operator.invite adam@example.org",
            "operator operator.accept_invitation adam@example.org",
            "operator operator.update adam@example.org",
            "operator operator.remove adam@example.org",
        ]
    );
    for secret in ["password", OWNER_PASSWORD, "#"] {
        assert!(!log.to_string().contains(secret), "{secret}");
    }
}

async fn id_of(operator: &TestOperator) -> String {
    let session = operator.get("/session").await;
    session["operator"]["id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

fn set_up(link: &str, email: &str) -> Value {
    let (_, token) = link.split_once('#').expect("the token is the fragment");
    json!({"token": token, "email": email, "name": "Mallory", "password": OWNER_PASSWORD})
}

async fn set_up_refused(stranger: &TestOperator, link: &str) -> hexline_tests::Refusal {
    let body = set_up(link, "mallory@example.org");
    stranger.refused(Method::POST, "/setup", &body).await
}
