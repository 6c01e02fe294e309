use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hexline_model::Clock;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::command::{Command, Failure, Outcome};
use super::desk::Desk;

/// A control socket that is served; gone when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    accepting: JoinHandle<()>,
}

/// Why a running server could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Nobody listens: no server runs on this data directory.
    #[error("no server runs on this data directory")]
    NoServer,
    /// Somebody listens and cannot be asked.
    #[error("the server's control socket {} cannot be used: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server runs and does nothing.
    #[error(
        "the server that has the control socket {} gave no answer within {} s: it is stopped or \
         overloaded; it may still do what was asked",
        path.display(), after.as_secs()
    )]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        after: Duration,
    },
    /// The command is longer than the server reads.
    #[error("the command has {found} bytes, expected at most {MAX_REQUEST}: give it less at once")]
    TooLong {
        /// Its bytes.
        found: usize,
    },
    /// The answer is not one that this version understands.
    #[error("the server's answer is not understood; does it run the same version?")]
    Answer,
}

/// Serves a control socket at `path`, in the place of one that a dead server left.
///
/// The caller holds the lock of the data directory, so nobody else serves there.
pub fn serve(path: &Path, desk: Arc<Desk>) -> io::Result<ControlSocket> {
    // Bound under another name first, so that the socket is there only once its mode is right.
    let draft = path.with_extension("new");
    for stale in [path, &draft] {
        match fs::remove_file(stale) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    let listener = at_short_path(&draft, |draft| UnixListener::bind(draft))?;
    fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
    let owner = fs::metadata(&draft)?.uid();
    fs::rename(&draft, path)?;
    let accepting = tokio::spawn(accept(listener, owner, desk));
    Ok(ControlSocket {
        path: path.to_owned(),
        accepting,
    })
}

/// Asks the server that listens at `path`.
pub async fn call(path: &Path, command: &Command) -> Result<Outcome, CallError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CallError::NoServer,
        _ => CallError::Io {
            path: path.to_owned(),
            source,
        },
    };
    let mut line = serde_json::to_vec(command).expect("a command is JSON");
    let stream =
        at_short_path(path, |path| std::os::unix::net::UnixStream::connect(path)).map_err(io)?;
    stream.set_nonblocking(true).map_err(io)?;
    let stream = UnixStream::from_std(stream).map_err(io)?;
    if line.len() as u64 > MAX_REQUEST {
        return Err(CallError::TooLong { found: line.len() });
    }
    line.push(b'\n');
    let after = match command {
        Command::MasterKeyRotate => ROTATED_WITHIN,
        _ => ANSWER_WITHIN,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "another process is waited for, which goes by the machine's clock"
    )]
    let answer = tokio::time::timeout(after, exchange(stream, &line)).await;
    let answer = match answer {
        Ok(answer) => answer.map_err(io)?,
        Err(_) => {
            return Err(CallError::Silent {
                path: path.to_owned(),
                after,
            });
        }
    };
    serde_json::from_slice(&answer).map_err(|_| CallError::Answer)
}

impl ControlSocket {
    /// Stops serving. A command under way is not carried on with.
    pub async fn close(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.accepting.abort();
        // If it stays, the next start replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

async fn exchange(mut stream: UnixStream, line: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(line).await?;
    let mut reader = BufReader::new(stream);
    read_line(&mut reader, MAX_ANSWER)
        .await?
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

async fn accept(listener: UnixListener, owner: u32, desk: Arc<Desk>) {
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // They end with this task.
    let mut conversations = JoinSet::new();
    loop {
        let seat = Arc::clone(&seats)
            .acquire_owned()
            .await
            .expect("never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "control socket cannot accept");
                desk.clock().sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == owner || peer.uid() == 0 => {}
            _ => {
                tracing::warn!("control socket refused a peer of another user");
                continue;
            }
        }
        let desk = Arc::clone(&desk);
        while conversations.try_join_next().is_some() {}
        conversations.spawn(async move {
            let _seat = seat;
            if let Err(error) = converse(stream, &desk).await {
                tracing::debug!(%error, "control connection ended early");
            }
        });
    }
}

async fn converse(stream: UnixStream, desk: &Desk) -> io::Result<()> {
    let clock = desk.clock();
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read);
    loop {
        let reading = read_line(&mut reader, MAX_REQUEST);
        let line = match clock.timeout(REQUEST_WITHIN, reading).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) | Err(_) => return Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                return refuse(&mut reader, &mut write, clock).await;
            }
            Ok(Err(error)) => return Err(error),
        };
        let outcome = match serde_json::from_slice::<Command>(&line) {
            Ok(command) => desk.execute(command).await,
            Err(error) => Err(Failure::invalid(format!(
                "the request is no command: {error}"
            ))),
        };
        let mut answer = serde_json::to_vec(&outcome)?;
        answer.push(b'\n');
        within(clock, write.write_all(&answer)).await?;
    }
}

// Answers a line that is too long. What is still on its way is read away, for closing before that
// would take the answer back.
async fn refuse(
    reader: &mut BufReader<OwnedReadHalf>,
    write: &mut OwnedWriteHalf,
    clock: &dyn Clock,
) -> io::Result<()> {
    let outcome: Outcome = Err(Failure::invalid(format!(
        "the request is longer than {MAX_REQUEST} bytes"
    )));
    let mut answer = serde_json::to_vec(&outcome)?;
    answer.push(b'\n');
    within(clock, write.write_all(&answer)).await?;
    write.shutdown().await?;
    let mut rest = reader.take(MAX_ANSWER);
    within(clock, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await?;
    Ok(())
}

async fn within<T>(
    clock: &dyn Clock,
    transfer: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    clock
        .timeout(REQUEST_WITHIN, transfer)
        .await
        .map_err(late)?
}

// `None` at the end of the stream; an error for a line that is too long or has no end.
async fn read_line<R: AsyncRead + Unpin>(
    reader: &mut BufReader<R>,
    limit: u64,
) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(limit + 1).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() as u64 >= limit => Err(io::ErrorKind::FileTooLarge.into()),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

// A socket's path may have little more than 100 bytes; a longer one is reached through the
// descriptor of its directory.
fn at_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return act(path);
    };
    if path.as_os_str().len() < 100 {
        return act(path);
    }
    let dir = File::open(parent)?;
    act(&PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name))
}

const MAX_REQUEST: u64 = 256 << 10;
const MAX_ANSWER: u64 = 64 << 20;
const MAX_CONNECTIONS: usize = 16;
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// It seals every secret anew.
const ROTATED_WITHIN: Duration = Duration::from_mins(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
