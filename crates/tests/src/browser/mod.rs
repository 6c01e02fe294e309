//! A real Chromium, steered over its `DevTools` protocol.
//!
//! [`Browser`] starts one with a profile of its own, [`Tab`] is a tab of it: opens a page, waits for
//! what is to be seen, presses and types as a person does. `cdp.rs` is the wire.
//!
//! Invariants: nothing sleeps, a wait is a promise in the page that a `MutationObserver` keeps; a
//! click goes where a mouse would, so what is covered cannot be clicked; every fault of a page (an
//! exception, an error on its console, a violation of its policy) is collected, and
//! [`Tab::is_faultless`] fails on the first.

mod cdp;
mod tab;

use std::process::Stdio;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::within;
use cdp::Cdp;
pub use tab::Tab;

/// A Chromium without a window.
pub struct Browser {
    cdp: Arc<Cdp>,
    child: Child,
    _profile: TempDir,
    _turn: SemaphorePermit<'static>,
}

impl Browser {
    /// Starts one. More than a few at once only wait for each other, so later ones wait here.
    pub async fn start() -> Self {
        static TURNS: Semaphore = Semaphore::const_new(2);
        let turn = TURNS.acquire().await.expect("it is never closed");
        let profile = TempDir::new().expect("a directory");
        let program = std::env::var_os("CHROMIUM").unwrap_or_else(|| "chromium".into());
        let mut child = Command::new(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("HOME", profile.path())
            .env("LANG", "en_US.UTF-8")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("chromium is installed");
        let stderr = child.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines();
        let address = within("the start of Chromium", async {
            loop {
                let line = lines.next_line().await.expect("text");
                let line = line.expect("Chromium says where it listens");
                if let Some((_, address)) = line.split_once("DevTools listening on ") {
                    break address.trim().to_owned();
                }
            }
        })
        .await;
        // What nobody reads would fill the pipe and stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            cdp: Cdp::connect(&address).await,
            child,
            _profile: profile,
            _turn: turn,
        }
    }

    /// Opens a tab, which shares cookies with the others.
    pub async fn tab(&self) -> Tab {
        Tab::create(Arc::clone(&self.cdp)).await
    }

    /// Ends it and waits until it has.
    pub async fn close(mut self) {
        self.cdp.tell("Browser.close").await;
        let ended = within("the end of Chromium", self.child.wait()).await;
        ended.expect("it can be waited for");
    }
}

const FLAGS: [&str; 14] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--font-render-hinting=none",
    "--lang=en-US",
    "--remote-debugging-port=0",
];
