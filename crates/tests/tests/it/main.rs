//! Behaviours of a whole server, seen from outside.
//!
//! A test owns its server's clock (`hexline_tests::TestServer`): no time passes but by `advance` and
//! its kin, and no option is made short for a test's sake. These alone are exempt, and say so by
//! `start_in_real_time` or by running a program, because somebody else owns the time:
//!
//! * `browser_*`: a browser, whose pages wait and ask again by the machine's clock.
//! * `program`, `console_flood`, and single tests of `keys`, `log`, `privacy`, `shutdown` and
//!   `console_api_keys`: the real `hexline` binary serves, a process with a clock of its own.
//! * `remote`: the command line waits for answers as a program does.
//! * `nodes`: PostgreSQL goes away and comes back; its driver notices in its own time.
//! * `hostile::sockets`: how the kernel's sockets and TLS meet silence and drips.
//!
//! `keys` shortens the pauses of the Rust client, which are no server's.

mod addressing;
mod apps;
mod architecture;
mod auth_browser;
mod auth_provider;
mod auth_strategies;
mod browser_audit;
mod browser_confirmation;
mod browser_docs;
mod browser_entrance;
mod browser_forms;
mod browser_keys;
mod browser_looks;
mod browser_passkey;
mod browser_prefix;
mod browser_settings;
mod browser_stale;
mod browser_walk;
mod browser_webhooks;
mod channels;
mod console_api_apps;
mod console_api_audit;
mod console_api_keys;
mod console_api_live;
mod console_api_tokens;
mod console_confirmation;
mod console_flood;
mod console_races;
mod console_roles;
mod console_second_factor;
mod console_sign_in;
mod door;
mod frames;
mod grants;
mod holds;
mod hostile;
mod http;
mod http_calls;
mod key_parentage;
mod keys;
mod lifetime;
mod limits;
mod log;
mod nodes;
mod openapi;
mod order;
mod outbound_urls;
mod platform_access;
mod platform_idempotency;
mod platform_live;
mod platform_quota;
mod platform_tokens;
mod postgres;
mod presence;
mod privacy;
mod program;
mod remote;
mod rpc;
mod security_page;
mod shutdown;
mod sockets;
mod tls;
mod webhook_deliveries;
mod webhooks;
