//! The `hexline` program: the command line of `hexline_server`, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The one cryptography of the process, for TLS at both ends. Nobody was here before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    hexline_server::cli::run()
}
