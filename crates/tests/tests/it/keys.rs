//! Keys that an app's server keeps to itself: only their public half is registered.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hexline_client::{Backoff, ConnectOptions, Event, FailedAttempt, Reconnecting};
use hexline_services::keys::NewKey;
use hexline_tests::{Program, TestApp, TestServer, client, refusal, refusal_of, within};
use hexline_token::{Algorithm, PrivateKey, TokenBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_opens_the_door() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let key = app.register(NewKey::generate(algorithm)).await;
        let secret = key.secret().as_bytes();
        let signer = PrivateKey::hmac(algorithm, secret).expect("a good secret");
        let token = signed(&key, &signer, None);
        key.connect_with("bob/web", &token).await;
    }
    for algorithm in [
        Algorithm::Es256,
        Algorithm::EdDsa,
        Algorithm::Rs256,
        Algorithm::Ps256,
    ] {
        let signer = PrivateKey::generate(algorithm).expect("a new key");
        let jwk = public(&signer, None);
        let key = app.register(NewKey::public_jwk(jwk)).await;
        let token = signed(&key, &signer, None);
        key.connect_with("bob/web", &token).await;
        let other = PrivateKey::generate(algorithm).expect("a new key");
        let refused = key.refused(&signed(&key, &other, None)).await;
        assert_eq!(refused, refusal(401, "signature_invalid"), "{algorithm}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_is_no_secret_to_sign_with() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let signer = PrivateKey::generate(Algorithm::EdDsa).expect("a new key");
    let jwk = public(&signer, None);
    let key = app.register(NewKey::public_jwk(&jwk)).await;
    let confused = PrivateKey::hmac(Algorithm::Hs256, jwk.as_bytes()).expect("long enough");
    let refused = key.refused(&signed(&key, &confused, None)).await;
    assert_eq!(refused, refusal(401, "algorithm_mismatch"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_registered_key_set_the_kid_picks_the_key() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let (one, two) = (
        PrivateKey::generate(Algorithm::EdDsa).expect("a new key"),
        PrivateKey::generate(Algorithm::Es256).expect("a new key"),
    );
    let set = format!(
        r#"{{"keys":[{},{}]}}"#,
        public(&one, Some("one")),
        public(&two, Some("two"))
    );
    let key = app.register(NewKey::jwks(set)).await;
    for (signer, kid) in [(&one, "one"), (&two, "two")] {
        let token = signed(&key, signer, Some(kid));
        key.connect_with("bob/web", &token).await;
    }
    for (kid, reason) in [
        (Some("three"), "key_unknown"),
        (None, "key_unknown"),
        (Some("two"), "algorithm_mismatch"),
    ] {
        let refused = key.refused(&signed(&key, &one, kid)).await;
        assert_eq!(refused, refusal(401, reason), "{kid:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_is_fetched_from_its_url_and_again_only_for_a_new_kid() {
    let server = TestServer::start_with(|config| config.dev = true).await;
    let app = server.app("one").await;
    let signer = PrivateKey::generate(Algorithm::EdDsa).expect("a new key");
    let document = format!(r#"{{"keys":[{}]}}"#, public(&signer, Some("one")));
    let site = Site::new(document).await;
    let key = app.register(NewKey::jwks_url(&site.url)).await;
    for _ in 0..3 {
        let token = signed(&key, &signer, Some("one"));
        key.connect_with("bob/web", &token).await;
    }
    assert_eq!(site.asked(), 1);
    for _ in 0..5 {
        let token = signed(&key, &signer, Some("unheard-of"));
        assert_eq!(key.refused(&token).await, refusal(401, "key_unknown"));
    }
    assert!(site.asked() <= 2, "not for every token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_at_an_address_that_is_not_allowed_any_more_is_not_fetched() {
    let mut server = TestServer::start_with(|config| config.dev = true).await;
    let signer = PrivateKey::generate(Algorithm::EdDsa).expect("a new key");
    let document = format!(r#"{{"keys":[{}]}}"#, public(&signer, Some("one")));
    let site = Site::new(document).await;
    let app = server.app("one").await;
    let key = app.register(NewKey::jwks_url(&site.url)).await;
    server.stop().await;
    let data = server.data_dir().to_owned();
    let strict = TestServer::start_with(|config| config.data_dir = data).await;
    let key = key.at(&strict);
    let token = signed(&key, &signer, Some("one"));
    assert_eq!(key.refused(&token).await, refusal(503, "unavailable"));
    assert_eq!(site.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_is_fetched_without_a_proxy_of_the_environment() {
    let signer = PrivateKey::generate(Algorithm::EdDsa).expect("a new key");
    let document = format!(r#"{{"keys":[{}]}}"#, public(&signer, Some("one")));
    let (site, proxy) = (Site::new(document).await, Site::new("{}".to_owned()).await);
    let proxy_url = proxy.url.trim_end_matches("/keys.json");
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"];
    let environment = names.map(|name| (name, proxy_url));
    let data = tempfile::tempdir().expect("a directory");
    let (program, ready) = Program::serve_dev_in(data.path(), &[], &environment).await;
    let place = data.path().to_str().expect("a path in UTF-8");
    let import = [
        "key",
        "import",
        "--jwks-url",
        &site.url,
        "--json",
        "--data",
        place,
    ];
    let imported = Program::run(&import).await;
    let imported: Value = serde_json::from_slice(&imported.stdout).expect("a key");
    let url = ready["url"].as_str().expect("a URL");
    let token = TokenBuilder::create()
        .signing_key(imported["id"].as_str().expect("an id"), signer)
        .kid("one")
        .api(url)
        .identity("bob")
        .device("web")
        .grant("signal", true)
        .build()
        .expect("all is set");
    let me = client()
        .get(format!("{url}/client/v1/me"))
        .bearer_auth(token);
    let status = me.send().await.expect("an answer").status();
    assert_eq!(status, 200, "{}", program.log());
    assert_eq!((site.asked(), proxy.asked()), (1, 0));
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_key_set_cannot_be_fetched_its_tokens_are_to_come_back() {
    let server = TestServer::start_with(|config| {
        config.dev = true;
        config.limits.failed_tokens_per_minute = 1;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let app = server.app("one").await;
    let signer = PrivateKey::generate(Algorithm::EdDsa).expect("a new key");
    let document = format!(r#"{{"keys":[{}]}}"#, public(&signer, Some("one")));
    let site = Site::new(document).await;
    site.breaks(true);
    let key = app.register(NewKey::jwks_url(&site.url)).await;
    let token = signed(&key, &signer, Some("one"));
    // Not from loopback, where dev mode counts no failures.
    let from_afar = |token: &str| {
        let request = key.upgrade(token);
        request.header("x-forwarded-for", "198.51.100.1")
    };
    for _ in 0..5 {
        let unavailable = refusal(503, "unavailable");
        assert_eq!(refusal_of(from_afar(&token)).await, unavailable);
    }
    assert_eq!(site.asked(), 1, "a server that fails is left in peace");
    let response = from_afar(&token).send().await.expect("an answer");
    assert!(response.headers().contains_key("retry-after"));

    let fetch_token = {
        let token = token.clone();
        move || std::future::ready(Ok::<_, Infallible>(token.clone()))
    };
    let often = Backoff::new(Duration::from_millis(50), Duration::from_millis(200));
    let (client, mut events) = Reconnecting::start(ConnectOptions::default(), often, fetch_token);
    let event = within("the first attempt", events.recv()).await;
    assert!(
        matches!(
            event,
            Some(Event::Failed {
                error: FailedAttempt::Connect(_),
                retry_in: Some(_)
            })
        ),
        "{event:?}"
    );
    site.breaks(false);
    let client = within("the set is fetched", client.client()).await;
    assert!(client.is_some(), "it has not given up");

    // Now the set is here, and it can be told again who is unknown.
    let stranger = signed(&key, &signer, Some("two"));
    let refused = refusal_of(from_afar(&stranger)).await;
    assert_eq!(
        refused,
        refusal(401, "key_unknown"),
        "the first that counts"
    );
    let refused = refusal_of(from_afar(&stranger)).await;
    assert_eq!(refused, refusal(429, "rate_limited"));
}

fn signed(key: &TestApp, signer: &PrivateKey, kid: Option<&str>) -> String {
    let builder = key
        .tokens("bob/web")
        .signing_key(key.key_id(), signer.clone());
    match kid {
        Some(kid) => builder.kid(kid).build(),
        None => builder.build(),
    }
    .expect("all is set")
}

fn public(key: &PrivateKey, kid: Option<&str>) -> String {
    key.verifying_key().to_jwk(kid).expect("a public key")
}

/// A web server that gives one document to whoever asks, unless it is broken.
struct Site {
    url: String,
    asked: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
}

impl Site {
    async fn new(document: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let site = Self {
            url: format!("http://{at}/keys.json"),
            asked: Arc::default(),
            broken: Arc::default(),
        };
        let (asked, broken) = (Arc::clone(&site.asked), Arc::clone(&site.broken));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::SeqCst);
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let status = if broken.load(Ordering::SeqCst) {
                    "500 Internal Server Error"
                } else {
                    "200 OK"
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{document}",
                    document.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        site
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn breaks(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }
}
