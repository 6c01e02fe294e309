//! What SQLite wants beyond SQL: a file with the right mode, pragmas, a backup.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use hexline_model::Timestamp;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Row as _};

use crate::error::DatabaseError;
use crate::owner::Owner;

/// Makes the file and its directory if they are missing, readable by their owner alone, and takes
/// a file that is there from the eyes of others. SQLite gives the mode of the file to its `-wal`
/// and `-shm`, and as root its owner.
pub(crate) fn make_file(path: &Path) -> Result<(), DatabaseError> {
    let dir = parent(path);
    make_dir(dir).map_err(|source| failed("create", dir, source))?;
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(file) => Owner::of(dir)
            .and_then(|owner| owner.give(&file))
            .map_err(|source| failed("create", path, source)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => ["", "-wal", "-shm"]
            .iter()
            .map(|end| with_end(path, end))
            .try_for_each(|path| hide(&path).map_err(|source| failed("protect", &path, source))),
        Err(source) => Err(failed("create", path, source)),
    }
}

/// How to connect to the file, which has to exist. `mode` is `rw`, or `ro` for one that is only
/// looked at.
pub(crate) fn options(path: &Path, mode: &str) -> Result<AnyConnectOptions, DatabaseError> {
    let not_utf8 = || DatabaseError::Path {
        path: path.to_owned(),
    };
    let absolute = std::path::absolute(path).map_err(|source| failed("find", path, source))?;
    let text = absolute.to_str().ok_or_else(not_utf8)?;
    let url = format!("sqlite://{}?mode={mode}", percent_encoded(text));
    let options: AnyConnectOptions = url.parse().map_err(|_| not_utf8())?;
    Ok(options.disable_statement_logging())
}

/// Sets up a new connection.
pub(crate) async fn prepare(
    connection: &mut AnyConnection,
    pragmas: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(pragmas).execute(connection).await.map(|_| ())
}

/// Whether write-ahead logging took hold.
pub(crate) async fn check_journal(connection: &mut AnyConnection) -> Result<(), DatabaseError> {
    let found: String = sqlx::query("pragma journal_mode")
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(DatabaseError::Connect)?;
    if found == "wal" {
        Ok(())
    } else {
        Err(DatabaseError::JournalMode { found })
    }
}

/// Copies the database to `backups/` beside it. When it returns, the copy is whole, on disk, and
/// readable by its owner alone. A crash leaves no copy that only looks like one: under its own name
/// it is whole.
pub(crate) async fn back_up(
    connection: &mut AnyConnection,
    database: &Path,
    schema: i64,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let dir = database.with_file_name("backups");
    let owner = Owner::of(parent(database)).map_err(|source| failed("read", database, source))?;
    make_backup_dir(&dir, owner).map_err(|source| failed("create", &dir, source))?;
    let path = backup_path(&dir, schema, now);
    // Two starts within a millisecond, or a clock that was set back: never touch a backup.
    if path.exists() {
        return Err(failed("create", &path, io::ErrorKind::AlreadyExists.into()));
    }
    let part = with_end(&path, PART);
    let file = private(OpenOptions::new().write(true).create_new(true))
        .open(&part)
        .map_err(|source| failed("create", &part, source))?;
    let text = part
        .to_str()
        .ok_or_else(|| DatabaseError::Path { path: part.clone() })?;
    // `vacuum into` takes an empty file as its target and keeps its mode.
    sqlx::query("vacuum into $1")
        .bind(text)
        .execute(connection)
        .await
        .map_err(|source| {
            // If it can't be removed now, the next copy does.
            let _ = fs::remove_file(&part);
            DatabaseError::Backup {
                path: path.clone(),
                source,
            }
        })?;
    owner
        .give(&file)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&part, &path))
        .and_then(|()| File::open(&dir)?.sync_all())
        .map_err(|source| failed("write", &path, source))?;
    tracing::info!(backup.path = %path.display(), schema.version = schema, "database backed up");
    forget_old_backups(&dir, schema);
    Ok(())
}

/// Makes the directory, or clears away what a copy that came to no end left in it.
fn make_backup_dir(dir: &Path, owner: Owner) -> io::Result<()> {
    if !dir.exists() {
        make_dir(dir)?;
        return owner.give(&File::open(dir)?);
    }
    for path in names(dir, "", PART)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// A migration that fails at every start makes a copy at every start: the latest of each schema
/// version stay.
fn forget_old_backups(dir: &Path, schema: i64) {
    let forget = || -> io::Result<()> {
        let mut backups = names(dir, &format!("schema-{schema:04}-"), ".db")?;
        // The name ends in the time, so that they sort by it.
        backups.sort();
        let old = backups.len().saturating_sub(BACKUPS_KEPT);
        backups[..old].iter().try_for_each(fs::remove_file)
    };
    if let Err(error) = forget() {
        tracing::warn!(%error, "an old backup stays");
    }
}

fn names(dir: &Path, start: &str, end: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let fits = |name: &str| name.starts_with(start) && name.ends_with(end);
        if entry.file_name().to_str().is_some_and(fits) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// `schema-0001-20261124T064800.000Z.db`.
fn backup_path(dir: &Path, schema: i64, now: Timestamp) -> PathBuf {
    let time: String = now
        .to_string()
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    dir.join(format!("schema-{schema:04}-{time}.db"))
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Takes a file from the eyes of others, if they could read it and it is there.
fn hide(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = match fs::metadata(path) {
            Ok(metadata) => metadata.permissions().mode() & 0o7777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700))?;
            let shown = path.display();
            tracing::warn!("others could open {shown} (mode {mode:04o}) and can no more");
        }
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(end);
    name.into()
}

fn private(options: &mut OpenOptions) -> &OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> DatabaseError {
    DatabaseError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Everything but the plainest characters, so that no path reads as a part of the URL.
fn percent_encoded(path: &str) -> String {
    path.bytes()
        .fold(String::with_capacity(path.len()), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
                out.push(char::from(byte));
            } else {
                write!(out, "%{byte:02X}").expect("a string can always grow");
            }
            out
        })
}

const PART: &str = ".part";
const BACKUPS_KEPT: usize = 3;
// Order matters: the timeout first, for changing the journal mode may have to wait.
pub(crate) const WRITER: &str = "pragma busy_timeout = 5000; pragma journal_mode = wal; \
     pragma synchronous = full; pragma foreign_keys = on; pragma trusted_schema = off";
pub(crate) const READER: &str = "pragma busy_timeout = 5000; pragma synchronous = full; \
     pragma foreign_keys = on; pragma trusted_schema = off; pragma query_only = on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_makes_a_url() {
        assert_eq!(
            percent_encoded("/a b/c?d#e%f/é.db"),
            "/a%20b/c%3Fd%23e%25f/%C3%A9.db"
        );
    }

    #[test]
    fn a_backup_is_named_after_schema_and_time() {
        let path = backup_path(Path::new("b"), 1, Timestamp::from_millis(1_490_479_599_000));
        assert_eq!(path, Path::new("b/schema-0001-20170325T220639.000Z.db"));
    }
}
