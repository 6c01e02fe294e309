use std::path::Path;
use std::sync::Arc;

use hexline_model::{SystemClock, SystemEntropy};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{
    Answer, AppChanges, CallError, Command, ControlSocket, Desk, FailureKind, ImportedKey,
    KeyOptions, NewKeyView, TokenScope, call, serve,
};
use crate::config::Config;
use crate::datadir::DataDir;
use crate::records::{self, Records};

struct House {
    dir: tempfile::TempDir,
    desk: Arc<Desk>,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let desk = desk_of(dir.path()).await;
        Self { dir, desk }
    }

    async fn ask(&self, command: Command) -> Answer {
        self.desk.execute(command).await.expect("carried out")
    }

    async fn refused(&self, command: Command) -> FailureKind {
        self.desk.execute(command).await.expect_err("refused").kind
    }

    async fn key(&self) -> NewKeyView {
        let command = Command::KeyCreate {
            app: Some("demo".to_owned()),
            options: KeyOptions::default(),
            algorithm: None,
        };
        match self.ask(command).await {
            Answer::NewKey(key) => *key,
            other => panic!("{other:?}"),
        }
    }

    fn serve(&self, name: &str) -> (std::path::PathBuf, ControlSocket) {
        let path = self.dir.path().join(name);
        let socket = serve(&path, Arc::clone(&self.desk)).expect("bound");
        (path, socket)
    }
}

async fn desk_of(dir: &Path) -> Arc<Desk> {
    let config = Config {
        data_dir: dir.to_owned(),
        ..Config::defaults()
    };
    let Records {
        services,
        operators,
        master_key,
        ..
    } = open(dir, &config).await;
    Arc::new(Desk::new(
        services,
        operators,
        master_key,
        Arc::new(SystemClock::new()),
        Arc::new(SystemEntropy),
    ))
}

async fn open(dir: &Path, config: &Config) -> Records {
    let lock = DataDir::existing(dir).and_then(|dir| dir.lock());
    let entropy = Arc::new(SystemEntropy);
    records::open(config, 8000, entropy, &lock.expect("free"))
        .await
        .expect("opened")
}

fn create_app(name: &str) -> Command {
    Command::AppCreate {
        name: name.to_owned(),
    }
}

#[tokio::test]
async fn the_socket_answers_each_line_with_a_line() {
    let house = House::new().await;
    let (path, socket) = house.serve("control.sock");
    let app = call(&path, &create_app("demo"))
        .await
        .expect("answered")
        .expect("made");
    assert!(matches!(app, Answer::App(app) if app.name == "demo"));
    let twice = call(&path, &create_app("demo"))
        .await
        .expect("answered")
        .expect_err("there");
    assert_eq!(twice.kind, FailureKind::Conflict);
    drop(socket);
    assert!(matches!(
        call(&path, &Command::Status).await,
        Err(CallError::NoServer)
    ));
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_replaces_a_dead_one() {
    use std::os::unix::fs::PermissionsExt;
    let house = House::new().await;
    std::os::unix::net::UnixListener::bind(house.dir.path().join("control.sock")).expect("bound");
    let (path, _socket) = house.serve("control.sock");
    let mode = path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(call(&path, &Command::Status).await.is_ok());
}

#[tokio::test]
async fn a_path_longer_than_a_socket_address_works_too() {
    let house = House::new().await;
    let deep = house.dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).expect("made");
    let path = deep.join("control.sock");
    let _socket = serve(&path, Arc::clone(&house.desk)).expect("bound");
    assert!(call(&path, &Command::Status).await.is_ok());
}

#[tokio::test]
async fn a_line_that_is_no_command_is_answered_and_so_is_one_without_end() {
    let house = House::new().await;
    let (path, _socket) = house.serve("control.sock");
    let mut stream = BufReader::new(UnixStream::connect(&path).await.expect("connected"));
    stream
        .write_all(b"{\"command\":\"dance\"}\n")
        .await
        .expect("written");
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("answered");
    assert!(
        line.contains("\"Err\"") && line.contains("invalid"),
        "{line}"
    );
    let long = vec![b'x'; 300 << 10];
    stream.write_all(&long).await.expect("read away");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("closed");
    assert!(
        rest.contains("invalid") && rest.contains("262144"),
        "{rest}"
    );
}

#[tokio::test]
async fn a_command_that_is_too_long_is_not_even_sent() {
    let house = House::new().await;
    let (path, _socket) = house.serve("control.sock");
    let long = call(&path, &create_app(&"x".repeat(300 << 10))).await;
    assert!(matches!(long, Err(CallError::TooLong { found }) if found > 300 << 10));
}

#[tokio::test]
async fn keys_are_made_shown_rotated_and_revoked() {
    let house = House::new().await;
    assert_eq!(
        house
            .refused(Command::KeyCreate {
                app: None,
                options: KeyOptions::default(),
                algorithm: None
            })
            .await,
        FailureKind::NotFound
    );
    house.ask(create_app("demo")).await;
    let first = house.key().await;
    assert!(!format!("{first:?}").contains(&first.secret));
    let rotate = Command::KeyRotate {
        key: first.key.id.clone(),
        overlap_ms: Some(1000),
    };
    let Answer::NewKey(second) = house.ask(rotate).await else {
        panic!("a new key")
    };
    assert_eq!(second.replaces.expect("the old one").state, "retiring");
    assert!(second.key.signs);
    let revoke = Command::KeyRevoke {
        key: second.key.id.clone(),
        keep_made: false,
    };
    let Answer::RevokedKey(revoked) = house.ask(revoke).await else {
        panic!("a revoked key")
    };
    assert_eq!(revoked.key.state, "revoked");
    let Answer::Keys(keys) = house.ask(Command::KeyList { app: None }).await else {
        panic!("keys")
    };
    assert_eq!(keys.len(), 2);
    let rotate = Command::KeyRotate {
        key: second.key.id,
        overlap_ms: None,
    };
    assert_eq!(house.refused(rotate).await, FailureKind::Conflict);
    let show = Command::KeyShow {
        key: "f".repeat(32),
    };
    assert_eq!(house.refused(show).await, FailureKind::NotFound);
    assert_eq!(
        house
            .refused(Command::KeyShow {
                key: "x".to_owned()
            })
            .await,
        FailureKind::Invalid
    );
}

#[tokio::test]
async fn an_apps_settings_change_one_by_one() {
    let house = House::new().await;
    house.ask(create_app("demo")).await;
    let set = |changes| Command::AppSet {
        app: "demo".to_owned(),
        changes,
    };
    let changes = AppChanges {
        longest_ttl_ms: Some(60_000),
        origins: Some(vec!["https://a.example".to_owned()]),
        ..AppChanges::default()
    };
    house.ask(set(changes)).await;
    let changes = AppChanges {
        exp_required: Some(false),
        ..AppChanges::default()
    };
    let Answer::App(app) = house.ask(set(changes)).await else {
        panic!("an app")
    };
    assert_eq!(app.settings.longest_ttl.as_secs(), 60);
    assert_eq!(app.settings.origins, ["https://a.example"]);
    assert!(!app.settings.exp_required);
    let changes = AppChanges {
        longest_ttl_ms: Some(0),
        ..AppChanges::default()
    };
    assert_eq!(house.refused(set(changes)).await, FailureKind::Invalid);
}

// Regression: the settings were read before the change had its turn, so of two changes at once the
// later took the earlier back.
#[tokio::test]
async fn two_changes_at_once_both_stay() {
    let house = House::new().await;
    house.ask(create_app("demo")).await;
    let set = |changes| Command::AppSet {
        app: "demo".to_owned(),
        changes,
    };
    let (one, two) = tokio::join!(
        house.ask(set(AppChanges {
            longest_ttl_ms: Some(60_000),
            ..AppChanges::default()
        })),
        house.ask(set(AppChanges {
            origins: Some(vec!["https://a.example".to_owned()]),
            ..AppChanges::default()
        })),
    );
    drop((one, two));
    let show = Command::AppShow {
        app: "demo".to_owned(),
    };
    let Answer::App(app) = house.ask(show).await else {
        panic!("an app")
    };
    assert_eq!(app.settings.longest_ttl.as_secs(), 60);
    assert_eq!(app.settings.origins, ["https://a.example"]);
}

// Regression: with a signing key that is none, the other settings were changed and an error told.
#[tokio::test]
async fn a_change_that_is_refused_in_part_is_not_made_at_all() {
    let house = House::new().await;
    house.ask(create_app("demo")).await;
    house.ask(create_app("other")).await;
    let key = house.key().await;
    let set = |app: &str, changes| Command::AppSet {
        app: app.to_owned(),
        changes,
    };
    let with = |key: &str| AppChanges {
        origins: Some(vec!["https://a.example".to_owned()]),
        signing_key: Some(key.to_owned()),
        ..AppChanges::default()
    };
    let nobody = "f".repeat(32);
    assert_eq!(
        house.refused(set("demo", with(&nobody))).await,
        FailureKind::NotFound
    );
    assert_eq!(
        house.refused(set("other", with(&key.key.id))).await,
        FailureKind::NotFound
    );
    let part = AppChanges {
        longest_ttl_ms: Some(1_500),
        ..AppChanges::default()
    };
    assert_eq!(house.refused(set("demo", part)).await, FailureKind::Invalid);
    let Answer::Apps(apps) = house.ask(Command::AppList).await else {
        panic!("apps")
    };
    assert!(apps.iter().all(|app| app.settings.origins.is_empty()));
    let Answer::App(app) = house.ask(set("demo", with(&key.key.id))).await else {
        panic!("an app")
    };
    assert_eq!(app.settings.origins, ["https://a.example"]);
}

// Regression: a time that lies ahead refused every token of the app until then, and could not be
// taken back.
#[tokio::test]
async fn no_token_is_revoked_before_it_can_have_been_issued() {
    let house = House::new().await;
    house.ask(create_app("demo")).await;
    let tokens = TokenScope::All {
        issued_before_ms: Some(4_000_000_000_000),
    };
    let revoke = Command::TokensRevoke {
        app: "demo".to_owned(),
        tokens,
    };
    assert_eq!(house.refused(revoke).await, FailureKind::Invalid);
}

// Regression: an app could be called as another's id, and was then taken for it.
#[tokio::test]
async fn no_app_is_called_like_the_id_of_another() {
    let house = House::new().await;
    let Answer::App(app) = house.ask(create_app("demo")).await else {
        panic!("an app")
    };
    assert_eq!(
        house.refused(create_app(&app.id)).await,
        FailureKind::Invalid
    );
}

#[tokio::test]
async fn explaining_names_the_check_that_a_revocation_fails() {
    let house = House::new().await;
    house.ask(create_app("demo")).await;
    let key = house.key().await;
    let token = hexline_token::TokenBuilder::create()
        .key(&key.key.id, &key.secret)
        .identity("alice")
        .device("web1")
        .build()
        .expect("built");
    let explain = || Command::TokenExplain {
        token: token.clone(),
        access: None,
        grant: None,
        at_ms: None,
        urls: Vec::new(),
    };
    let failing = async || match house.ask(explain()).await {
        Answer::Explanation(value) => serde_json::from_str::<serde_json::Value>(value.get())
            .expect("JSON")["checks"]
            .as_array()
            .expect("checks")
            .iter()
            .find(|check| check["outcome"] == "fail")
            .map(|check| check["reason"].as_str().unwrap_or_default().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(failing().await, None);
    let tokens = TokenScope::Identity {
        identity: "alice".to_owned(),
        device: None,
        issued_before_ms: None,
    };
    house
        .ask(Command::TokensRevoke {
            app: "demo".to_owned(),
            tokens,
        })
        .await;
    assert_eq!(failing().await.as_deref(), Some("token_revoked"));
    house
        .ask(Command::KeyRevoke {
            key: key.key.id.clone(),
            keep_made: false,
        })
        .await;
    assert_eq!(failing().await.as_deref(), Some("key_revoked"));
}

#[tokio::test]
async fn explaining_takes_more_audiences_and_forgets_no_revocation() {
    let house = House::new().await;
    house.ask(create_app("demo")).await;
    let key = house.key().await;
    let token = hexline_token::TokenBuilder::create()
        .key(&key.key.id, &key.secret)
        .api("https://else.example")
        .identity("alice")
        .device("web1")
        .jti("t1")
        .build()
        .expect("built");
    let reason = async |urls: &[&str]| {
        let command = Command::TokenExplain {
            token: token.clone(),
            access: None,
            grant: None,
            at_ms: None,
            urls: urls.iter().map(|&url| url.to_owned()).collect(),
        };
        let Answer::Explanation(value) = house.ask(command).await else {
            panic!("an explanation")
        };
        let value: serde_json::Value = serde_json::from_str(value.get()).expect("JSON");
        value["checks"]
            .as_array()
            .expect("checks")
            .iter()
            .find(|check| check["outcome"] == "fail")
            .map(|check| check["reason"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(reason(&[]).await.as_deref(), Some("audience_mismatch"));
    assert_eq!(reason(&["https://else.example"]).await, None);
    let tokens = TokenScope::Jti {
        jti: "t1".to_owned(),
        until_ms: None,
    };
    house
        .ask(Command::TokensRevoke {
            app: "demo".to_owned(),
            tokens,
        })
        .await;
    assert_eq!(
        reason(&["https://else.example"]).await.as_deref(),
        Some("token_revoked")
    );
}

#[tokio::test]
async fn an_imported_secret_is_not_shown_again() {
    let house = House::new().await;
    house.ask(create_app("demo")).await;
    let id = "b234fdb83571400f9b62e204d735126e";
    let import = |secret: &str| Command::KeyImport {
        app: None,
        options: KeyOptions::default(),
        material: ImportedKey::Hmac {
            id: id.to_owned(),
            secret: secret.to_owned(),
            algorithm: None,
        },
    };
    assert_eq!(
        house.refused(import("too short")).await,
        FailureKind::Invalid
    );
    let answer = house
        .ask(import("zW3tYm0dGm1jJm0yL0sQ0mOqVf6Wb3mB5kQm4rJx2nE"))
        .await;
    assert!(
        matches!(answer, Answer::Key(key) if key.id == id),
        "no secret comes back"
    );
}

#[tokio::test]
async fn the_master_key_is_rotated_under_a_running_server() {
    let house = House::new().await;
    house.ask(create_app("demo")).await;
    house.key().await;
    let path = house.dir.path().join("master.key");
    let before = std::fs::read(&path).expect("there");
    // What an interrupted rotation left is no obstacle.
    let next = house.dir.path().join("master.key.next");
    std::fs::copy(&path, &next).expect("copied");
    for _ in 0..2 {
        let Answer::MasterKeyRotated(rotated) = house.ask(Command::MasterKeyRotate).await else {
            panic!("rotated")
        };
        assert_eq!(rotated.secrets, 1);
    }
    assert_ne!(std::fs::read(&path).expect("there"), before);
    assert!(!next.exists());
    house.key().await;
    let House { dir, desk } = house;
    drop(desk);
    let restarted = desk_of(dir.path()).await;
    let answer = restarted
        .execute(Command::KeyList { app: None })
        .await
        .expect("listed");
    assert!(matches!(answer, Answer::Keys(keys) if keys.len() == 2));
}
