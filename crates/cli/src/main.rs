//! The `hexline` program: the command line of `hexline_cli`, and nothing else.

use std::process::ExitCode;

/// The C library's allocator keeps what is freed below anything that is still in use: after a flood
/// of sockets that would be hundreds of megabytes, until the process ends. See
/// docs/adr/0007-memory-goes-back.md.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // The one cryptography of the process, for TLS at both ends. Nobody was here before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    hexline_cli::run()
}
