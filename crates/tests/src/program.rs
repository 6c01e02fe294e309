use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::OnceCell;

use crate::within;

/// The real `hexline` binary, running.
pub struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: Arc<Mutex<String>>,
    reader: tokio::task::JoinHandle<()>,
}

impl Program {
    /// Starts the binary; what it logs is kept.
    pub async fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[]).await
    }

    /// The same with more in its environment.
    pub async fn start_in(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = command(arguments)
            .await
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut stderr = child.stderr.take().expect("it is piped");
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        let reader = tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut bytes).await {
                let text = String::from_utf8_lossy(&bytes[..read]);
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
            }
        });
        Self {
            child,
            stdout,
            log,
            reader,
        }
    }

    /// Runs the binary to its end.
    pub async fn run(arguments: &[&str]) -> Output {
        let output = command(arguments).await.output();
        within("the end of the program", output)
            .await
            .expect("the binary starts")
    }

    /// Starts `serve --dev --json` on a free port and waits until it is ready.
    pub async fn serve_dev(data: &Path, more: &[&str]) -> (Self, Value) {
        Self::serve_dev_in(data, more, &[]).await
    }

    /// The same with more in its environment.
    pub async fn serve_dev_in(
        data: &Path,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> (Self, Value) {
        let data = data.to_str().expect("a path in UTF-8");
        let mut arguments = vec!["serve", "--dev", "--json", "--listen", "127.0.0.1:0"];
        arguments.extend(["--data", data]);
        arguments.extend(more);
        let mut program = Self::start_in(&arguments, environment).await;
        let line = program.line().await;
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error}: {line:?}\n{}", program.log()));
        assert_eq!(ready["ready"], true, "{ready}");
        (program, ready)
    }

    /// The next line on standard output.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        within("a line", self.stdout.read_line(&mut line))
            .await
            .expect("standard output is text");
        line
    }

    /// How much memory of the machine it holds, in bytes.
    pub fn memory(&self) -> u64 {
        let process = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        let status = status.expect("Linux tells of its processes");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("a number");
        kib << 10
    }

    /// What was written to standard error so far.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks it to stop and waits; gives whether it said that all went well, what was left on
    /// standard output, and the whole log.
    pub async fn stop(mut self) -> (bool, String, String) {
        self.signal("TERM").await;
        let mut rest = String::new();
        within(
            "the end of its output",
            self.stdout.read_to_string(&mut rest),
        )
        .await
        .expect("standard output is text");
        let status = within("the end of the program", self.child.wait())
            .await
            .expect("it can be waited for");
        let _ = within("the end of the log", &mut self.reader).await;
        (status.success(), rest, self.log())
    }

    /// Sends it a signal, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let process = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &process])
            .status()
            .await;
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// Waits for its end, and tells whether it said that all went well.
    pub async fn ended(&mut self) -> bool {
        within("the end of the program", self.child.wait())
            .await
            .expect("it can be waited for")
            .success()
    }

    /// Ends it without a word.
    pub async fn kill(mut self) {
        within("the end of the program", self.child.kill())
            .await
            .expect("it runs");
    }
}

async fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary().await);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("HEXLINE_") || name.starts_with("BIT6_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

/// Where the binary is. Cargo builds it before this package's tests only when it feels like it,
/// so the first caller asks for it; with the whole workspace selected that has nothing to do.
async fn binary() -> PathBuf {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT
        .get_or_init(|| async {
            let test = std::env::current_exe().expect("this program has a path");
            let target = test.parent().and_then(Path::parent).expect("target/debug");
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let status = Command::new(cargo)
                .args(["build", "--quiet", "--workspace", "--bins", "--examples"])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status()
                .await;
            assert!(status.is_ok_and(|s| s.success()), "the binary builds");
            target.join("hexline")
        })
        .await
        .clone()
}
