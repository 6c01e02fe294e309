//! Many wrong sign-ins from many addresses: they keep no operator out, tell nothing, and cost no
//! more memory than a few.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hexline_tests::{
    OWNER_EMAIL, OWNER_PASSWORD, Program, TestOperator, TestServer, client, refusal,
};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::sync::Semaphore;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_elsewhere_keeps_no_operator_at_a_familiar_address_out() {
    let server = behind_a_proxy().await;
    server.operator().await;
    let stranger = TestOperator::stranger(&server);
    let is_over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let flood = (0..40).map(|worker| {
        let (stranger, is_over) = (stranger.clone(), Arc::clone(&is_over));
        let answered = Arc::clone(&answered);
        tokio::spawn(async move {
            let mut n: u8 = worker;
            while !is_over.load(Ordering::SeqCst) {
                n = (n + 7) % 60;
                let somebody = format!("nobody{n}@example.org");
                let email = if n.is_multiple_of(2) {
                    OWNER_EMAIL
                } else {
                    &somebody
                };
                let guess = sign_in(&stranger, email, "a wrong password");
                let guess = from(guess, &format!("198.51.100.{n}")).send();
                let status = guess.await.expect("an answer").status().as_u16();
                assert!([401, 429].contains(&status), "{status}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
        })
    });
    let flood: Vec<_> = flood.collect();
    for round in 0..10 {
        let own = sign_in(&stranger, OWNER_EMAIL, OWNER_PASSWORD);
        let response = own.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200, "round {round}");
    }
    assert!(answered.load(Ordering::SeqCst) > 0, "there was a flood");
    is_over.store(true, Ordering::SeqCst);
    for guesser in flood {
        guesser.await.expect("all were answered");
    }
    // It was counted: at an address that is not familiar there is no getting in meanwhile.
    let away = sign_in(&stranger, OWNER_EMAIL, OWNER_PASSWORD);
    let response = from(away, "203.0.113.1").send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_changes_the_password_in_a_loop_keeps_no_operator_out() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let adam = owner
        .invited(&server, "adam@example.org", "viewer", None)
        .await;
    let flood = (0..60).map(|n| {
        let adam = adam.clone();
        tokio::spawn(async move {
            let change = json!({"new": format!("another good password {n}")});
            let request = adam.request(Method::POST, "/profile/password");
            let response = request.json(&change).send().await.expect("an answer");
            response.status().as_u16()
        })
    });
    let flood: Vec<_> = flood.collect();
    let stranger = TestOperator::stranger(&server);
    for round in 0..10 {
        let own = sign_in(&stranger, OWNER_EMAIL, OWNER_PASSWORD);
        let response = own.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200, "round {round}");
    }
    let mut changed = 0;
    for answer in flood {
        match answer.await.expect("ends") {
            200 => changed += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(changed, 10);
    // Good ones count as well, and are forgiven one by one.
    let change = json!({"new": "another good password"});
    let refused = adam.refused(Method::POST, "/profile/password", &change);
    assert_eq!(refused.await, refusal(429, "rate_limited"));
    server.advance(Duration::from_mins(1));
    adam.post("/profile/password", &change).await;
}

#[tokio::test]
async fn an_operator_is_told_from_nobody_at_no_address() {
    let server = behind_a_proxy().await;
    let owner = server.operator().await;
    owner
        .invited(&server, "adam@example.org", "viewer", None)
        .await;
    // Adam signs in from two more places.
    let stranger = TestOperator::stranger(&server);
    for home in ["192.0.2.1", "192.0.2.2"] {
        let adam = sign_in(&stranger, "adam@example.org", OWNER_PASSWORD);
        let response = from(adam, home).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
    }
    // The counters of all three accounts are used up from elsewhere.
    let accounts = ["adam@example.org", OWNER_EMAIL, "nobody@example.org"];
    let mut answers = Vec::new();
    for email in accounts {
        let mut seen = Vec::new();
        for n in 0..24 {
            seen.push(told(&stranger, email, &format!("198.51.100.{n}")).await);
        }
        // From where Adam was, and from where nobody was.
        for address in ["192.0.2.1", "192.0.2.2", "203.0.113.9"] {
            for _ in 0..2 {
                seen.push(told(&stranger, email, address).await);
            }
        }
        answers.push(seen);
    }
    let statuses: Vec<u16> = answers[0].iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses[..20], [401; 20]);
    assert_eq!(statuses[20..24], [429; 4]);
    assert_eq!(statuses[24..], [401, 401, 401, 401, 429, 429]);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_what_a_few_sign_ins_need() {
    let data = tempfile::tempdir().expect("a directory");
    let config = data.path().join("hexline.toml");
    std::fs::write(&config, "trusted_proxies = [\"127.0.0.1\"]\n").expect("it is written");
    let config = config.to_str().expect("a path in UTF-8");
    let (program, ready) = Program::serve_dev(data.path(), &["--config", config]).await;
    let url = ready["url"].as_str().expect("a URL").to_owned();
    let before = program.memory();
    // As many at once as find a place.
    let room = Arc::new(Semaphore::new(32));
    let client = client();
    let mut tries = Vec::new();
    for n in 0..1000_u32 {
        let room = Arc::clone(&room);
        let permit = room.acquire_owned().await.expect("it is never closed");
        let body =
            json!({"email": format!("nobody{n}@example.org"), "password": "a guess of theirs"});
        let [.., high, low] = n.to_be_bytes();
        let guess = client
            .post(format!("{url}/console/api/session"))
            .header("x-hexline-console", "1")
            .header("x-forwarded-for", format!("10.0.{high}.{low}"))
            .json(&body);
        tries.push(tokio::spawn(async move {
            let _permit = permit;
            guess.send().await.expect("an answer").status().as_u16()
        }));
    }
    for guess in tries {
        assert_eq!(guess.await.expect("ends"), 401);
    }
    let blocks = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(3)
        + 1;
    let grown = program.memory().saturating_sub(before);
    let allowed = (blocks as u64 * 19 + 16) << 20;
    assert!(
        grown <= allowed,
        "{} MiB, allowed {}",
        grown >> 20,
        allowed >> 20
    );
    program.stop().await;
}

/// A server that takes the word of a proxy on this machine for where a request comes from.
async fn behind_a_proxy() -> TestServer {
    TestServer::start_with(|config| {
        config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await
}

fn sign_in(stranger: &TestOperator, email: &str, password: &str) -> RequestBuilder {
    let body = json!({"email": email, "password": password});
    stranger.request(Method::POST, "/session").json(&body)
}

fn from(request: RequestBuilder, address: &str) -> RequestBuilder {
    request.header("x-forwarded-for", address)
}

/// What a wrong password is told: the status, and the code.
async fn told(stranger: &TestOperator, email: &str, address: &str) -> (u16, String) {
    let request = from(sign_in(stranger, email, "a wrong password"), address);
    let refused = hexline_tests::refusal_of(request).await;
    (refused.status, refused.code)
}
