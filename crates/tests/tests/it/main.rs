//! Behaviours of a whole server, seen from outside.

mod addressing;
mod apps;
mod browser_entrance;
mod browser_passkey;
mod channels;
mod console_second_factor;
mod console_sign_in;
mod door;
mod frames;
mod grants;
mod http;
mod keys;
mod lifetime;
mod limits;
mod openapi;
mod order;
mod postgres;
mod presence;
mod privacy;
mod program;
mod rpc;
mod shutdown;
mod sockets;
mod tls;
