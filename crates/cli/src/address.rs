//! Where the server is that a token is for.

use hexline_server::config::Config;
use hexline_server::control::{self, Answer, Command, StatusView};

use super::exit::CliError;

/// The URL of the server that runs on the data directory, or the one that a server with this
/// configuration would have.
pub(crate) async fn base_url(config: &Config) -> Result<String, CliError> {
    let asked = control::call(&config.control_path(), &Command::Status).await;
    if let Ok(Ok(Answer::Status(StatusView { url: Some(url), .. }))) = asked {
        return Ok(url);
    }
    match (&config.public_url, config.listen.port()) {
        (None, 0) => Err(CliError::usage(
            "no server runs on this data directory, and its port is not known before it does: \
             give --api URL, or set public_url",
        )),
        (_, port) => Ok(config.base_url(port)),
    }
}
