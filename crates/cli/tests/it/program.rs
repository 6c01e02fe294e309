//! Runs the program.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

/// A directory to run the program in.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// What a run came to.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A key as it was printed.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// `hexline serve`, killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) ready: Value,
    _stdout: BufReader<ChildStdout>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// With an app `demo`.
    pub(crate) fn with_app() -> Self {
        let place = Self::new();
        place.ok(&["app", "create", "demo"]);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self, name: &str) -> std::path::PathBuf {
        self.path().join("hexline-data").join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("written");
    }

    /// The program with these arguments, ready to be run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hexline"));
        command
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("HEXLINE_") || text.starts_with("BIT6_") {
                command.env_remove(&name);
            }
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.command(args)
            .output()
            .expect("the program runs")
            .into()
    }

    pub(crate) fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Run {
        self.command(args)
            .envs(env.iter().copied())
            .output()
            .expect("the program runs")
            .into()
    }

    /// Runs it with a stdout that nobody reads.
    pub(crate) fn run_unread(&self, args: &[&str]) -> Run {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = self.command(args);
        command.stdout(writer).stderr(Stdio::piped());
        let child = command.spawn().expect("the program runs");
        child.wait_with_output().expect("the program ends").into()
    }

    /// Runs it with a text on its stdin.
    pub(crate) fn run_on(&self, args: &[&str], input: &str) -> Run {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_owned();
        // A program that does not read to the end closes the pipe.
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().expect("the program ends");
        writer.join().expect("the writer does not panic");
        output.into()
    }

    /// Runs it and expects it to do what it was told.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{args:?}: {}", run.err);
        run.out
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out}"))
    }

    pub(crate) fn create_key(&self) -> Key {
        Key::of(&self.json(&["key", "create"]))
    }

    /// A token of a key, for alice on web1, with more arguments.
    pub(crate) fn token(&self, key: &Key, more: &[&str]) -> String {
        let args = ["token", "create", "--identity", "alice", "--device", "web1"];
        let run = self.run_with(&[&args, more].concat(), &key.env());
        assert_eq!(run.code, 0, "{}", run.err);
        run.out.trim().to_owned()
    }

    pub(crate) fn serve(&self, more: &[&str]) -> Served {
        self.serve_at("127.0.0.1:0", more)
    }

    pub(crate) fn serve_at(&self, address: &str, more: &[&str]) -> Served {
        let args = [&["serve", "--json", "--listen", address], more].concat();
        let mut child = self
            .command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let ready = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        Served {
            child,
            ready,
            _stdout: stdout,
        }
    }
}

impl Key {
    pub(crate) fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().expect("a text").to_owned();
        Self {
            id: text("key_id"),
            secret: text("key_secret"),
        }
    }

    pub(crate) fn env(&self) -> [(&str, &str); 2] {
        [
            ("HEXLINE_KEY_ID", &self.id),
            ("HEXLINE_KEY_SECRET", &self.secret),
        ]
    }
}

impl Served {
    pub(crate) fn url(&self) -> String {
        self.ready["url"].as_str().expect("a URL").to_owned()
    }

    /// Tells it to stop, by its process id, and waits for its exit code.
    pub(crate) fn stop(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        let told = Command::new("kill")
            .args([signal, &pid])
            .status()
            .expect("kill runs");
        assert!(told.success());
        self.child.wait().expect("it ends").code()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
