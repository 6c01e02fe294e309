use std::net::TcpListener;
use std::time::Duration;

use super::Finding;
use crate::config::Config;
use crate::control::{self, Answer, Command, StatusView};

/// Asks the server that runs on the data directory who it is.
pub(super) async fn server(config: &Config) -> Option<StatusView> {
    match control::call(&config.control_path(), &Command::Status).await {
        Ok(Ok(Answer::Status(status))) => Some(status),
        _ => None,
    }
}

pub(super) fn port(config: &Config, server: Option<&StatusView>) -> Finding {
    const NAME: &str = "listen";
    let listen = config.listen;
    if let Some(server) = server {
        let at = server.listen.unwrap_or(listen);
        let StatusView { pid, version, .. } = server;
        return Finding::ok(NAME, format!("{at}, by process {pid}, version {version}"));
    }
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(NAME, format!("{listen} is free")),
        Err(error) => Finding::fail(NAME, format!("{listen} cannot be listened on: {error}"))
            .remedy("stop what has the port, or choose another with --listen or listen"),
    }
}

pub(super) async fn ready(config: &Config, server: Option<&StatusView>) -> Finding {
    const NAME: &str = "reachable";
    let Some(server) = server else {
        return Finding::ok(NAME, "no server runs on this data directory");
    };
    let known = server.url.clone();
    let url = known.unwrap_or_else(|| config.base_url(config.listen.port()));
    match ask(&format!("{url}/readyz")).await {
        Ok(200) => Finding::ok(NAME, format!("{url}/readyz answers 200")),
        Ok(status) => Finding::fail(NAME, format!("{url}/readyz answers {status}, expected 200"))
            .remedy("a proxy in between, or the server's log, says why"),
        Err(error) => Finding::fail(NAME, format!("{url}/readyz: {error}"))
            .remedy("check public_url, name resolution, proxy and firewall"),
    }
}

async fn ask(url: &str) -> Result<u16, String> {
    let client = reqwest::Client::builder()
        .timeout(WITHIN)
        .build()
        .map_err(|e| format!("no HTTP client: {e}"))?;
    let answer = client.get(url).send().await.map_err(|error| {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    })?;
    Ok(answer.status().as_u16())
}

const WITHIN: Duration = Duration::from_secs(5);
