/// One option: its key in the file, its default as it would stand there, and whether it is secret.
pub(crate) struct Spec {
    pub(crate) key: &'static str,
    /// TOML; `None` for an option that is unset by default.
    pub(crate) default: Option<&'static str>,
    pub(crate) secret: bool,
}

impl Spec {
    /// The name in the environment.
    pub(crate) fn env_name(&self) -> String {
        format!(
            "{ENV_PREFIX}{}",
            self.key.to_ascii_uppercase().replace('.', "_")
        )
    }
}

/// The row of an option.
pub(crate) fn find(key: &str) -> Option<&'static Spec> {
    OPTIONS.iter().find(|option| option.key == key)
}

/// The known name that is nearest to an unknown one, if one is near.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<_> = known.into_iter().collect();
    let near = known
        .iter()
        .copied()
        .map(|name| {
            (
                distance(unknown, name).min(distance_to_last(unknown, name)),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= (unknown.len() / 3).max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name);
    // A beginning is far from the whole, and still a hint.
    let begun = |name: &&str| {
        name.strip_prefix(unknown)
            .is_some_and(|rest| rest.starts_with(['_', '.']))
    };
    near.or_else(|| known.iter().copied().find(begun))
}

// A key that stands in the wrong table is as near as its last part.
fn distance_to_last(unknown: &str, name: &str) -> usize {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    if last(unknown).len() < 4 {
        return usize::MAX;
    }
    distance(&last(unknown), &last(name)).saturating_add(1)
}

// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

const fn option(key: &'static str, default: &'static str) -> Spec {
    Spec {
        key,
        default: Some(default),
        secret: false,
    }
}

const fn unset(key: &'static str) -> Spec {
    Spec {
        key,
        default: None,
        secret: false,
    }
}

const fn secret(key: &'static str) -> Spec {
    Spec {
        key,
        default: None,
        secret: true,
    }
}

pub(crate) const ENV_PREFIX: &str = "HEXLINE_";

/// Every option there is.
pub(crate) const OPTIONS: &[Spec] = &[
    option("listen", "\"127.0.0.1:8000\""),
    unset("public_url"),
    option("extra_urls", "[]"),
    option("data_dir", "\"hexline-data\""),
    secret("database"),
    option("isolated", "false"),
    unset("master_key_file"),
    option("dev", "false"),
    option("allow_public_dev", "false"),
    option("trusted_proxies", "[]"),
    secret("metrics_bearer"),
    unset("metrics_bearer_file"),
    option("shutdown.spread", "\"10 s\""),
    option("drain", "\"10 s\""),
    option("token_service.enabled", "false"),
    unset("token_service.app"),
    option("token_service.allow_public_token", "false"),
    unset("tls.cert_file"),
    unset("tls.key_file"),
    option("log.level", "\"info\""),
    option("log.format", "\"text\""),
    option("log.peer", "\"prefix\""),
    option("log.access", "false"),
    option("audit.retention_days", "400"),
    option("providers.allow_private", "false"),
    option("webhooks.allow_private", "false"),
    option("webhooks.answer_timeout", "\"10 s\""),
    option("webhooks.retry_first", "\"5 s\""),
    option("webhooks.retry_longest", "\"1 h\""),
    option("webhooks.give_up_after", "\"24 h\""),
    option("webhooks.keep", "\"7 d\""),
    option("webhooks.keep_most", "10_000"),
    option("limits.webhooks_per_app", "16"),
    option("limits.webhook_queue", "100_000"),
    option("limits.webhook_memory", "16_384"),
    option("limits.frame_bytes", "65536"),
    option("limits.json_depth", "64"),
    option("limits.channels_per_connection", "128"),
    option("limits.presence_per_channel", "1_000"),
    option("limits.calls_per_second", "50"),
    option("limits.call_burst", "100"),
    option("limits.opening_calls", "1_000"),
    option("limits.rate_patience", "\"60 s\""),
    option("limits.devices_per_identity", "20"),
    option("limits.connections_per_device", "100"),
    option("limits.failed_tokens_per_minute", "10"),
    option("limits.platform_calls_per_minute", "6_000"),
    option("limits.audit_bytes_per_app", "\"256 MiB\""),
    option("limits.idempotency_bytes_per_app", "\"64 MiB\""),
    option("limits.connections", "200_000"),
    option("limits.connections_per_app", "100_000"),
    option("limits.connections_per_key", "100_000"),
    option("limits.connections_per_address", "1_000"),
    option("limits.sockets_per_address", "2_000"),
    option("limits.header_patience", "\"15 s\""),
    option("limits.outbox_bytes", "\"1 MiB\""),
    option("limits.write_stall", "\"10 s\""),
    option("limits.ping_after", "\"25 s\""),
    option("limits.idle_close", "\"75 s\""),
    option("limits.send_buffer_bytes", "65536"),
    option("limits.body_bytes", "65536"),
];
