use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hexline_model::{SystemClock, Timestamp};
use hexline_server::config::{Config, Limits, TlsConfig};
use hexline_server::control::StatusView;
use hexline_server::datadir::{DataDir, MasterKeyError, MasterKeyFile};
use hexline_server::files_for_sockets;
use hexline_services::vault::Fingerprint;
use hexline_store::{Database, DatabaseConfig, DatabaseError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Finding, certificate};

pub(super) fn configuration(file: &Path) -> Finding {
    let read = if file.exists() {
        format!("{} and the environment are well formed", file.display())
    } else {
        format!("no {}; the environment is well formed", file.display())
    };
    Finding::ok("configuration", read)
}

/// What the configuration allows and is probably not meant.
pub(super) fn doors(config: &Config) -> Option<Finding> {
    let concerns = config.concerns();
    (!concerns.is_empty()).then(|| Finding::warn("network", concerns.join("; ")))
}

/// Which other servers work on the database.
pub(super) async fn nodes(config: &Config, own: Option<&StatusView>) -> Option<Finding> {
    const NAME: &str = "other servers";
    if !config.uses_postgres() {
        return None;
    }
    // What is wrong with the database is another check's.
    let place = DatabaseConfig::parse(config.database.as_deref(), &config.data_dir).ok()?;
    let database = Database::open_read_only(&place, Arc::new(SystemClock::new())).await;
    let database = database.ok()?;
    let nodes = database.nodes().await;
    database.close().await;
    let own = own.and_then(|own| own.node);
    let others: Vec<String> = nodes
        .ok()?
        .iter()
        .filter(|node| Some(node.id) != own)
        .map(|node| format!("{} (node {}, {})", node.url, node.id, node.mode.as_str()))
        .collect();
    if others.is_empty() {
        return Some(Finding::ok(NAME, "none works on the database"));
    }
    let found = format!(
        "another server uses this database: {}; users of two servers do not reach each other",
        others.join(", ")
    );
    Some(if own.is_some() || config.isolated {
        Finding::warn(NAME, found).remedy("stop all but one, unless that is what you want")
    } else {
        Finding::fail(NAME, found)
            .remedy("a start here is refused: stop the other, or set isolated (--isolated)")
    })
}

pub(super) fn data_directory(config: &Config) -> Finding {
    const NAME: &str = "data directory";
    let dir = &config.data_dir;
    let shown = dir.display();
    let Ok(metadata) = fs::metadata(dir) else {
        return Finding::ok(
            NAME,
            format!("{shown} is not there yet; the first start makes it"),
        );
    };
    if !metadata.is_dir() {
        return Finding::fail(NAME, format!("{shown} is not a directory"))
            .remedy("name another with --data or data_dir");
    }
    let mode = metadata.mode() & 0o777;
    let draft = dir.join(format!(".doctor.{}", std::process::id()));
    let written = fs::File::create_new(&draft).and_then(|mut file| file.write_all(b"doctor"));
    // It may never have been made.
    let _ = fs::remove_file(&draft);
    match written {
        Err(error) => Finding::fail(NAME, format!("{shown} cannot be written to: {error}")).remedy(
            format!("run as the user that owns {shown}, or give it to this one"),
        ),
        Ok(()) if mode & 0o077 != 0 => Finding::warn(
            NAME,
            format!("{shown} has mode {mode:04o}: others can look into it"),
        )
        .remedy(format!("chmod 700 {shown}")),
        Ok(()) => Finding::ok(NAME, format!("{shown}, mode {mode:04o}, writable")),
    }
}

/// Compares the file with what the database says, which is looked at and nothing more.
pub(super) async fn master_key(config: &Config) -> Finding {
    let file = MasterKeyFile::at(&config.master_key_path());
    let sealed_with = match sealed_with(config).await {
        // What is wrong with the database is another check's.
        Err(_) => return uncompared(&file),
        Ok(None) => return unsealed(&file),
        Ok(Some(sealed_with)) => sealed_with,
    };
    let finding = sealed(&file, &sealed_with);
    // A rotation may have come in between.
    match self::sealed_with(config).await {
        Ok(Some(now)) if now != sealed_with => sealed(&file, &now),
        _ => finding,
    }
}

async fn sealed_with(config: &Config) -> Result<Option<Fingerprint>, String> {
    if !config.uses_postgres() && !config.sqlite_path().exists() {
        return Ok(None);
    }
    let place = DatabaseConfig::parse(config.database.as_deref(), &config.data_dir)
        .map_err(|e| e.to_string())?;
    let database = Database::open_read_only(&place, Arc::new(SystemClock::new()))
        .await
        .map_err(|e| e.to_string())?;
    let sealed_with = database.stores().seals.master_key().await;
    database.close().await;
    sealed_with.map_err(|e| e.to_string())
}

fn sealed(file: &MasterKeyFile, sealed_with: &Fingerprint) -> Finding {
    let shown = file.path().display();
    match file.find(sealed_with) {
        Ok(found) if found.unsettled => Finding::warn(
            MASTER_KEY,
            format!("{shown} and {shown}.next: a rotation was interrupted, no key is lost"),
        )
        .remedy("the next start settles it"),
        Ok(_) => Finding::ok(
            MASTER_KEY,
            format!("{shown}, fingerprint {sealed_with}, which the database is sealed with"),
        ),
        Err(error @ MasterKeyError::Wrong { .. }) => {
            let found = file.read().ok().flatten().map(|key| key.fingerprint());
            let found = found.map_or("none".to_owned(), |found| found.to_string());
            Finding::fail(
                MASTER_KEY,
                format!("{error} (fingerprint {found}, expected {sealed_with})"),
            )
            .remedy("put the right one there, from where the key is backed up; no other opens it")
        }
        Err(error) => Finding::fail(MASTER_KEY, error.to_string()),
    }
}

fn unsealed(file: &MasterKeyFile) -> Finding {
    let shown = file.path().display();
    match file.read() {
        Ok(Some(key)) => Finding::ok(
            MASTER_KEY,
            format!(
                "{shown}, fingerprint {}; nothing is sealed with it yet",
                key.fingerprint()
            ),
        ),
        Ok(None) => Finding::ok(
            MASTER_KEY,
            format!("{shown} is not there yet; the first start makes it"),
        ),
        Err(error) => Finding::fail(MASTER_KEY, error.to_string()),
    }
}

fn uncompared(file: &MasterKeyFile) -> Finding {
    let shown = file.path().display();
    match file.read() {
        Ok(Some(key)) => Finding::warn(
            MASTER_KEY,
            format!(
                "{shown}, fingerprint {}; the database does not tell which it is sealed with",
                key.fingerprint()
            ),
        )
        .remedy("see the database's own check"),
        Ok(None) => Finding::warn(MASTER_KEY, format!("{shown} is not there"))
            .remedy("put it back, or name its place with HEXLINE_MASTER_KEY_FILE"),
        Err(error) => Finding::fail(MASTER_KEY, error.to_string()),
    }
}

/// Opens the database as a start would, under the lock; beside a running server it only looks.
pub(super) async fn database(config: &Config, served: bool) -> Finding {
    const NAME: &str = "database";
    let place = if config.uses_postgres() {
        "PostgreSQL".to_owned()
    } else {
        config.sqlite_path().display().to_string()
    };
    if served {
        return Finding::ok(NAME, format!("{place}, open in the running server"));
    }
    if !config.uses_postgres() && !config.sqlite_path().exists() {
        return Finding::ok(
            NAME,
            format!("{place} is not there yet; the first start makes it"),
        );
    }
    let lock = match DataDir::existing(&config.data_dir).and_then(|dir| dir.lock()) {
        Ok(lock) => Some(lock),
        Err(_) if config.uses_postgres() => None,
        Err(error) => return Finding::fail(NAME, error.to_string()),
    };
    let finding = match examine(config).await {
        Ok(found) => Finding::ok(NAME, format!("{place}, {found}")),
        Err(error @ DatabaseError::SchemaTooNew { .. }) => Finding::fail(NAME, error.to_string())
            .remedy("run the release that wrote it, or a later one"),
        Err(error) => Finding::fail(NAME, error.to_string())
            .remedy("see docs/operating.md, Backup, for how to put a backup in its place"),
    };
    drop(lock);
    finding
}

async fn examine(config: &Config) -> Result<String, DatabaseError> {
    let place = DatabaseConfig::parse(config.database.as_deref(), &config.data_dir)?;
    let database = Database::open(&place, Arc::new(SystemClock::new())).await?;
    database.probe().await?;
    let health = database.health().await?;
    database.close().await;
    Ok(format!(
        "version {}, schema {}",
        health.version, health.schema
    ))
}

pub(super) fn clock(config: &Config) -> Finding {
    const NAME: &str = "clock";
    const REMEDY: &str =
        "set the clock, best by NTP: tokens are checked against it, with 10 s leeway";
    let now = SystemClock::new().now();
    if now < RELEASED {
        return Finding::fail(NAME, format!("it says {now}, which has passed")).remedy(REMEDY);
    }
    let newest = [config.sqlite_path(), config.data_dir.join("hexline.lock")]
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        .map(|metadata| Timestamp::from_secs(metadata.mtime()))
        .max();
    match newest {
        Some(written) if written > now.plus(Duration::from_secs(10)) => Finding::warn(
            NAME,
            format!("it says {now}, and the data was written at {written}"),
        )
        .remedy(REMEDY),
        _ => Finding::ok(NAME, now.to_string()),
    }
}

pub(super) fn open_files(config: &Config) -> Finding {
    const NAME: &str = "open files";
    let Ok((_, hard)) = rlimit::Resource::NOFILE.get() else {
        return Finding::warn(NAME, "the limit cannot be read");
    };
    let wanted = config.limits.connections;
    let sockets = files_for_sockets(hard);
    // The default is more than many systems allow; another number was meant.
    if sockets < wanted && wanted != Limits::default().connections {
        Finding::warn(
            NAME,
            format!(
                "the limit is {hard}, for {sockets} sockets, less than limits.connections, which \
                 is {wanted}"
            ),
        )
        .remedy("raise it (ulimit -Hn, LimitNOFILE= in systemd) or lower limits.connections")
    } else {
        Finding::ok(NAME, format!("the limit is {hard}, for {sockets} sockets"))
    }
}

pub(super) fn tls(config: &Config) -> Option<Finding> {
    const NAME: &str = "TLS";
    let files = config.tls.as_ref()?;
    Some(match pair(files) {
        Err(problem) => Finding::fail(NAME, problem)
            .remedy("tls.cert_file: PEM, leaf first; tls.key_file: its private key, PEM"),
        Ok(None) => Finding::warn(NAME, "the pair matches; its end cannot be read"),
        Ok(Some(end)) => {
            let left = end.since(SystemClock::new().now());
            let days = left.as_secs() / 86_400;
            if left.is_zero() {
                Finding::fail(NAME, format!("the certificate ended at {end}")).remedy("renew it")
            } else if days < 14 {
                Finding::warn(
                    NAME,
                    format!("the certificate ends in {days} days, at {end}"),
                )
                .remedy("renew it")
            } else {
                Finding::ok(
                    NAME,
                    format!("the pair matches; it ends in {days} days, at {end}"),
                )
            }
        }
    })
}

fn pair(files: &TlsConfig) -> Result<Option<Timestamp>, String> {
    let shown = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(&files.cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| shown(&files.cert_file, &e))?;
    let leaf = chain
        .first()
        .ok_or_else(|| shown(&files.cert_file, &"it holds no certificate"))?;
    let end = certificate::not_after(leaf);
    let key =
        PrivateKeyDer::from_pem_file(&files.key_file).map_err(|e| shown(&files.key_file, &e))?;
    rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| format!("the certificate and the key do not go together: {e}"))?;
    Ok(end)
}

const MASTER_KEY: &str = "master key";

/// No clock that is right says less.
const RELEASED: Timestamp = Timestamp::from_secs(1_735_689_600);
