use std::time::Duration;

/// What one client, address, key or app may use up of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame or message from a client.
    pub frame_bytes: usize,
    /// The deepest nesting of a frame's JSON.
    pub json_depth: usize,
    /// Calls per second that one connection may make on average.
    pub calls_per_second: u32,
    /// Calls that one connection may make at once.
    pub call_burst: u32,
    /// Calls that it may make beyond that, once, when it opens.
    pub opening_calls: u32,
    /// How long what an overfast connection has waiting may not become less before it is closed.
    pub rate_patience: Duration,
    /// Devices of one identity that may be connected at once.
    pub devices_per_identity: usize,
    /// Connections of one device of an identity.
    pub connections_per_device: usize,
    /// Connections of the whole server.
    pub connections: usize,
    /// Connections of one app.
    pub connections_per_app: usize,
    /// Connections opened with tokens of one key.
    pub connections_per_key: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Bytes that may wait for one connection.
    pub outbox_bytes: usize,
    /// How long a write may make no progress.
    pub write_stall: Duration,
    /// Silence after which the server pings.
    pub ping_after: Duration,
    /// Silence after which the server closes.
    pub idle_close: Duration,
}

impl Limits {
    /// Calls that one batch may hold: as many as may be made at once.
    pub(crate) fn batch(&self) -> usize {
        usize::try_from(self.call_burst).unwrap_or(usize::MAX)
    }
}

impl Default for Limits {
    /// The defaults of the configuration, which a test holds to these.
    fn default() -> Self {
        Self {
            frame_bytes: 64 << 10,
            json_depth: 64,
            calls_per_second: 50,
            call_burst: 100,
            opening_calls: 1000,
            rate_patience: Duration::from_mins(1),
            devices_per_identity: 20,
            connections_per_device: 100,
            connections: 200_000,
            connections_per_app: 100_000,
            connections_per_key: 100_000,
            connections_per_address: 1000,
            outbox_bytes: 1 << 20,
            write_stall: Duration::from_secs(10),
            ping_after: Duration::from_secs(25),
            idle_close: Duration::from_secs(75),
        }
    }
}
