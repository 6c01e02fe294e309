use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use hexline_model::{KeyId, ManualClock, Secret, SystemEntropy};
use hexline_services::RegistryServices;
use hexline_services::apps::AppSettings;
use hexline_services::keys::{KeyState, NewKey};
use hexline_services::vault::Sealer;
use hexline_store::{Database, DatabaseConfig};
use hexline_token::Algorithm;

use crate::rig::{NOW, Rig, key, master_key, options};

on_both!(
    no_key_that_was_printed_is_lost_when_the_process_is_killed,
    what_was_acknowledged_is_there_for_another_connection_at_once,
);

async fn no_key_that_was_printed_is_lost_when_the_process_is_killed(rig: &mut Rig) {
    let (kind, place) = match &rig.config {
        DatabaseConfig::Sqlite { path } => ("sqlite", path.to_str().expect("UTF-8").to_owned()),
        DatabaseConfig::Postgres { url } => ("postgres", url.expose().clone()),
    };
    for round in 0..3_usize {
        let mut child = Command::new(std::env::current_exe().expect("knows itself"))
            .args([CHILD, "--exact", "--nocapture"])
            .env(CHILD_KIND, kind)
            .env(CHILD_PLACE, &place)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
        let mut printed = Vec::new();
        for line in lines.by_ref() {
            printed.extend(read_key(&line.expect("reads")));
            if printed.len() > 7 + 5 * round {
                break;
            }
        }
        child.kill().expect("is killed");
        // What was on its way when the process died was printed as well.
        printed.extend(
            lines
                .map_while(Result::ok)
                .filter_map(|line| read_key(&line)),
        );
        child.wait().expect("ends");
        assert!(
            printed.len() > 7,
            "only {} keys were printed",
            printed.len()
        );

        rig.reopen().await;
        let service = rig.service().await;
        for (id, secret) in printed {
            let revealed = service.keys.reveal_secret(id).expect("is there");
            assert_eq!(*revealed.expose(), secret);
        }
    }
}

fn read_key(line: &str) -> Option<(KeyId, String)> {
    let mut words = line.strip_prefix("KEY ")?.split(' ');
    Some((KeyId::parse(words.next()?).ok()?, words.next()?.to_owned()))
}

/// The process that is killed: makes keys and prints each as soon as it may. Does nothing unless
/// the test above started it.
#[tokio::test]
async fn keys_are_made_and_printed_until_the_process_is_killed() {
    let Ok(place) = std::env::var(CHILD_PLACE) else {
        return;
    };
    let config = match std::env::var(CHILD_KIND).as_deref() {
        Ok("sqlite") => DatabaseConfig::Sqlite { path: place.into() },
        _ => DatabaseConfig::Postgres {
            url: Secret::new(place),
        },
    };
    let clock = Arc::new(ManualClock::new(NOW));
    let database = Database::open(&config, clock.clone()).await.expect("opens");
    let service = RegistryServices::open(
        database.stores(),
        Sealer::new(&master_key(1)),
        clock,
        Arc::new(SystemEntropy),
        options(),
    )
    .await
    .expect("opens");
    let name = format!("app-{}", std::process::id());
    let app = service
        .apps
        .create(name.parse().expect("a name"), AppSettings::default())
        .await
        .expect("creates");
    loop {
        let made = service
            .keys
            .create_key(app.id, NewKey::generate(Algorithm::Hs256))
            .await
            .expect("creates");
        // A line of its own, written at once.
        println!(
            "\nKEY {} {} .",
            made.record.id,
            made.secret.expect("has one").expose()
        );
    }
}

async fn what_was_acknowledged_is_there_for_another_connection_at_once(rig: &mut Rig) {
    let (demo, mut revision) = rig.add_app("demo").await;
    let another = rig.another().await;
    for _ in 0..20 {
        let one = key(&demo);
        revision = rig
            .stores()
            .keys
            .add(&one, false, revision)
            .await
            .expect("adds");
        let found = another.stores().keys.lookup(one.id).await.expect("reads");
        assert_eq!(found.as_ref(), Some(&one));
        let state = KeyState::Revoked { at: NOW };
        revision = another
            .stores()
            .keys
            .set_state(&[one.id], state, revision)
            .await
            .expect("changes");
        let found = rig
            .stores()
            .keys
            .lookup(one.id)
            .await
            .expect("reads")
            .expect("is there");
        assert_eq!(found.state, state);
    }
    another.close().await;
}

const CHILD: &str = "durability::keys_are_made_and_printed_until_the_process_is_killed";
const CHILD_KIND: &str = "HEXLINE_TEST_CHILD_KIND";
const CHILD_PLACE: &str = "HEXLINE_TEST_CHILD_PLACE";
