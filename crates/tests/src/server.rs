use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hexline_model::{Clock as _, Monotonic};
use hexline_server::config::{Config, Limits, LogConfig};
use hexline_server::{Running, Server};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_util::sync::CancellationToken;

use crate::app::TestApp;
use crate::clock::TestClock;
use crate::operator::TestOperator;
use crate::socket::Socket;
use crate::within;

/// A whole server in this process, on a port and with a data directory of its own.
pub struct TestServer {
    running: Option<Running>,
    stopping: Option<JoinHandle<()>>,
    config: Config,
    at: SocketAddr,
    base: String,
    data: TempDir,
    clock: TestClock,
}

impl TestServer {
    /// Starts a server as an operator would, without `--dev`; only the limits that a test reaches
    /// by being fast are out of its way.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a server whose configuration was changed.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(TestClock::new(), change).await
    }

    /// Starts a server for which time passes by itself: for what the kernel or a browser does.
    pub async fn start_in_real_time(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(TestClock::of_machine(), change).await
    }

    async fn start_by(clock: TestClock, change: impl FnOnce(&mut Config)) -> Self {
        let data = TempDir::new().expect("a directory");
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            spread: Duration::ZERO,
            data_dir: data.path().to_owned(),
            log: LogConfig {
                level: "off".to_owned(),
                ..Config::defaults().log
            },
            limits: Limits {
                calls_per_second: 1_000_000,
                call_burst: 1_000_000,
                failed_tokens_per_minute: 10_000,
                ..Limits::default()
            },
            ..Config::defaults()
        };
        change(&mut config);
        let running = run(&config, &clock).await;
        Self {
            at: running.local_addr(),
            base: base(&running),
            running: Some(running),
            stopping: None,
            config,
            data,
            clock,
        }
    }

    /// Stops the server as SIGTERM would, or waits for the stop that has begun.
    pub async fn stop(&mut self) {
        if let Some(stopping) = self.stopping.take() {
            within("the stop", stopping).await.expect("no panic");
            return;
        }
        let running = self.running.take().expect("it runs");
        within("the stop", running.shutdown()).await;
    }

    /// Begins to stop the server as SIGTERM would; what is given does what a second one would.
    pub fn begin_stop(&mut self) -> CancellationToken {
        let running = self.running.take().expect("it runs");
        let hurry = CancellationToken::new();
        let hurried = hurry.clone();
        self.stopping = Some(tokio::spawn(async move {
            running.shutdown_unless_hurried(&hurried).await;
        }));
        hurry
    }

    /// Stops the server and starts another one with the same data directory.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.resume().await;
    }

    /// Starts a server again that was stopped.
    pub async fn resume(&mut self) {
        let running = run(&self.config, &self.clock).await;
        self.at = running.local_addr();
        self.base = base(&running);
        self.running = Some(running);
    }

    /// Makes an app with a key.
    pub async fn app(&self, name: &str) -> TestApp {
        TestApp::create(self.running().services().clone(), name, self).await
    }

    /// Makes the first operator by the set-up link, an owner, and signs it in.
    pub async fn operator(&self) -> TestOperator {
        TestOperator::first(self).await
    }

    /// The set-up link of this start, if there was no operator.
    pub fn console_setup_url(&self) -> Option<String> {
        let url = self.running().console_setup_url();
        url.map(|url| url.expose().clone())
    }

    /// Lets time pass for the server.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Lets time pass for the server, a little again and again, until what is waited for has
    /// happened: for what follows from several waits, of which nobody outside sees when one begins.
    pub async fn advance_until<T>(&self, step: Duration, effect: impl Future<Output = T>) -> T {
        let client = crate::client();
        let passing = async {
            loop {
                self.advance(step);
                // The server answers: it has got to do what there was to do, or most of it.
                let asked = client.get(self.url("/healthz")).send().await;
                if asked.is_err() {
                    // One that stops answers no more, and still has something to write.
                    tokio::time::sleep(step / 5).await;
                }
            }
        };
        within("what time brings", async {
            tokio::select! {
                done = effect => done,
                never = passing => never,
            }
        })
        .await
    }

    pub(crate) fn clock(&self) -> TestClock {
        self.clock.clone()
    }

    /// How much time has passed for the server since it was made.
    pub fn passed(&self) -> Duration {
        self.clock.monotonic().since(Monotonic::default())
    }

    /// Stops the server as SIGTERM would, and lets time pass: for clients that do not answer.
    pub async fn stop_while_time_passes(&mut self) {
        self.begin_stop();
        let mut stopping = self.stopping.take().expect("it has begun");
        let stopped = self.advance_until(Duration::from_millis(100), &mut stopping);
        stopped.await.expect("no panic");
    }

    /// The data directory.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.config.data_dir
    }

    /// What the files of its data directory hold.
    pub fn files(&self) -> Vec<Vec<u8>> {
        let listed = std::fs::read_dir(self.data.path()).expect("a directory");
        let paths = listed.map(|entry| entry.expect("an entry").path());
        let files = paths.filter(|path| path.is_file());
        files
            .map(|path| std::fs::read(path).expect("a file"))
            .collect()
    }

    /// Where it listens.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// The public URL: what audiences begin with.
    pub fn base(&self) -> String {
        self.base.clone()
    }

    /// The URL of a path, by the address that it listens on.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// Opens a socket with a token.
    pub async fn connect(&self, subject: &str, token: &str) -> Socket {
        Socket::open(self.at, subject, self.request(token))
            .await
            .unwrap_or_else(|error| panic!("{subject} is let in: {error}"))
    }

    /// The upgrade request with a token.
    pub fn request(&self, token: &str) -> Request<()> {
        Socket::request(&self.pubsub(token))
    }

    pub(crate) fn services(&self) -> hexline_services::RegistryServices {
        self.running().services().clone()
    }

    pub(crate) fn pubsub(&self, token: &str) -> String {
        self.url(&format!("/client/signal/v1/pubsub?jwt={token}"))
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }
}

async fn run(config: &Config, clock: &TestClock) -> Running {
    let clock = Arc::new(clock.clone());
    let starting = Server::builder(config.clone()).clock(clock).start();
    within("the start", starting)
        .await
        .unwrap_or_else(|error| panic!("the server starts: {error:#}"))
}

fn base(running: &Running) -> String {
    running.url().trim_end_matches('/').to_owned()
}
