use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use hexline_model::Secret;
use ipnet::IpNet;
use toml::Value;

use super::error::{ConfigError, Place};
use super::layer::Layers;
use super::options;
use super::value::{is_log_filter, parse_size, parse_span, shown};
use super::{
    Config, Limits, LogConfig, LogFormat, LogPeer, TlsConfig, TokenServiceConfig, WebhooksConfig,
};

/// Reads every option as its type.
pub(crate) fn config(layers: &Layers) -> Result<Config, ConfigError> {
    let read = Reader(layers);
    Ok(Config {
        listen: read.must(
            "listen",
            "an address and port such as 127.0.0.1:8000",
            listen,
        )?,
        public_url: read.may(
            "public_url",
            "an http:// or https:// URL without query",
            base_url,
        )?,
        extra_urls: read.must(
            "extra_urls",
            "a list of http:// or https:// URLs",
            |value| list(value, base_url),
        )?,
        data_dir: read.must("data_dir", PATH, path)?,
        database: read.secret("database", "a postgres:// URL", scheme, |value| {
            text(value)
                .filter(|url| url.starts_with("postgres://") || url.starts_with("postgresql://"))
        })?,
        isolated: read.flag("isolated")?,
        master_key_file: read.may("master_key_file", PATH, path)?,
        dev: read.flag("dev")?,
        allow_public_dev: read.flag("allow_public_dev")?,
        token_service: TokenServiceConfig {
            enabled: read.flag("token_service.enabled")?,
            app: read.may("token_service.app", "the name or id of an app", text)?,
            allow_public_token: read.flag("token_service.allow_public_token")?,
        },
        trusted_proxies: read.must(
            "trusted_proxies",
            "a list of addresses or networks such as 10.0.0.0/8",
            |value| list(value, network),
        )?,
        metrics_bearer: metrics_bearer(&read)?,
        tls: tls(&read)?,
        log: LogConfig {
            level: read.must(
                "log.level",
                "off, error, warn, info, debug, trace, or a filter such as \
                 info,hexline_server=debug",
                |value| text(value).filter(|filter| is_log_filter(filter)),
            )?,
            format: read.must("log.format", "\"text\" or \"json\"", |value| {
                match value.as_str()? {
                    "text" => Some(LogFormat::Text),
                    "json" => Some(LogFormat::Json),
                    _ => None,
                }
            })?,
            peer: read.must(
                "log.peer",
                "\"prefix\", \"full\" or \"none\"",
                |value| match value.as_str()? {
                    "prefix" => Some(LogPeer::Prefix),
                    "full" => Some(LogPeer::Full),
                    "none" => Some(LogPeer::None),
                    _ => None,
                },
            )?,
            access: read.flag("log.access")?,
        },
        spread: spread(&read)?,
        drain: read.span("drain", Duration::ZERO..=Duration::from_hours(1))?,
        audit_retention: {
            let days: u64 = read.number("audit.retention_days", 1..=36_500)?;
            Duration::from_hours(24 * days)
        },
        allow_private_providers: read.flag("providers.allow_private")?,
        webhooks: webhooks(&read)?,
        limits: limits(&read)?,
    })
}

// A developer's server has nobody whose coming back has to be spread.
fn spread(read: &Reader<'_>) -> Result<Duration, ConfigError> {
    let spread = read.span("shutdown.spread", Duration::ZERO..=Duration::from_hours(1))?;
    let is_default = matches!(read.place("shutdown.spread"), Place::Default);
    Ok(if is_default && read.flag("dev")? {
        Duration::ZERO
    } else {
        spread
    })
}

fn webhooks(read: &Reader<'_>) -> Result<WebhooksConfig, ConfigError> {
    let ms = Duration::from_millis(1);
    let days = Duration::from_hours(24 * 365);
    Ok(WebhooksConfig {
        allow_private: read.flag("webhooks.allow_private")?,
        answer_timeout: read.span("webhooks.answer_timeout", ms * 100..=Duration::from_mins(2))?,
        retry_first: read.span("webhooks.retry_first", ms..=Duration::from_hours(1))?,
        retry_longest: read.span("webhooks.retry_longest", ms..=Duration::from_hours(24))?,
        give_up_after: read.span("webhooks.give_up_after", Duration::ZERO..=days)?,
        keep: read.span("webhooks.keep", Duration::from_hours(1)..=days)?,
        keep_most: read.number("webhooks.keep_most", 1..=10_000_000)?,
    })
}

fn limits(read: &Reader<'_>) -> Result<Limits, ConfigError> {
    const MIB: usize = 1 << 20;
    let second = Duration::from_secs(1);
    let hour = Duration::from_hours(1);
    Ok(Limits {
        frame_bytes: read.size("limits.frame_bytes", 1024..=16 * MIB)?,
        json_depth: read.number("limits.json_depth", 4..=120)?,
        channels_per_connection: read.number("limits.channels_per_connection", 1..=100_000)?,
        presence_per_channel: read.number("limits.presence_per_channel", 1..=1_000_000)?,
        calls_per_second: read.number("limits.calls_per_second", 1..=1_000_000)?,
        call_burst: read.number("limits.call_burst", 1..=1_000_000)?,
        opening_calls: read.number("limits.opening_calls", 0..=1_000_000)?,
        rate_patience: read.span("limits.rate_patience", Duration::ZERO..=hour)?,
        devices_per_identity: read.number("limits.devices_per_identity", 1..=1_000_000)?,
        connections_per_device: read.number("limits.connections_per_device", 1..=10_000_000)?,
        failed_tokens_per_minute: read.number("limits.failed_tokens_per_minute", 1..=1_000_000)?,
        platform_calls_per_minute: read
            .number("limits.platform_calls_per_minute", 1..=10_000_000)?,
        audit_bytes_per_app: read.size("limits.audit_bytes_per_app", 4096..=1024 * 1024 * MIB)?,
        idempotency_bytes_per_app: read
            .size("limits.idempotency_bytes_per_app", 4096..=1024 * 1024 * MIB)?,
        connections: read.number("limits.connections", 1..=10_000_000)?,
        connections_per_app: read.number("limits.connections_per_app", 1..=10_000_000)?,
        connections_per_key: read.number("limits.connections_per_key", 1..=10_000_000)?,
        connections_per_address: read.number("limits.connections_per_address", 1..=10_000_000)?,
        sockets_per_address: read.number("limits.sockets_per_address", 1..=10_000_000)?,
        header_patience: read.span("limits.header_patience", second..=hour)?,
        outbox_bytes: read.size("limits.outbox_bytes", 64 << 10..=1024 * MIB)?,
        write_stall: read.span("limits.write_stall", second..=hour)?,
        ping_after: read.span("limits.ping_after", second..=hour)?,
        idle_close: read.span("limits.idle_close", second..=hour)?,
        send_buffer_bytes: read.size("limits.send_buffer_bytes", 4096..=64 * MIB)?,
        webhooks_per_app: read.number("limits.webhooks_per_app", 1..=10_000)?,
        webhook_queue: read.number("limits.webhook_queue", 1..=100_000_000)?,
        webhook_memory: read.number("limits.webhook_memory", 1..=10_000_000)?,
        body_bytes: read.size("limits.body_bytes", 1024..=64 * MIB)?,
    })
}

fn tls(read: &Reader<'_>) -> Result<Option<TlsConfig>, ConfigError> {
    let cert = read.may("tls.cert_file", PATH, path)?;
    let key = read.may("tls.key_file", PATH, path)?;
    match (cert, key) {
        (Some(cert_file), Some(key_file)) => Ok(Some(TlsConfig {
            cert_file,
            key_file,
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::Half {
            place: read.place("tls.cert_file"),
            key: "tls.cert_file",
            missing: "tls.key_file",
        }),
        (None, Some(_)) => Err(ConfigError::Half {
            place: read.place("tls.key_file"),
            key: "tls.key_file",
            missing: "tls.cert_file",
        }),
    }
}

fn metrics_bearer(read: &Reader<'_>) -> Result<Option<Secret<String>>, ConfigError> {
    let bearer = "at least 16 characters, without white space";
    let given = read.secret("metrics_bearer", bearer, characters, |value| {
        text(value).filter(|bearer| is_bearer(bearer))
    })?;
    let Some(file) = read.may("metrics_bearer_file", PATH, path)? else {
        return Ok(given.map(Secret::new));
    };
    let place = read.place("metrics_bearer_file");
    if given.is_some() {
        return Err(ConfigError::Both {
            place,
            key: "metrics_bearer_file",
            other: "metrics_bearer",
        });
    }
    let content = std::fs::read_to_string(&file).map_err(|source| ConfigError::Read {
        path: file.clone(),
        source,
    })?;
    let content = content.trim().to_owned();
    if !is_bearer(&content) {
        return Err(ConfigError::Value {
            place,
            key: "metrics_bearer_file",
            found: format!("a file of {} characters", content.chars().count()),
            expected: format!("a file that holds {bearer}"),
        });
    }
    Ok(Some(Secret::new(content)))
}

struct Reader<'a>(&'a Layers);

impl Reader<'_> {
    fn may<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.read(key, expected, shown, parse)
    }

    // Of a secret, an error tells what `about` does.
    fn secret<T>(
        &self,
        key: &'static str,
        expected: &str,
        about: impl FnOnce(&str) -> String,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let shown = |value: &Value, secret| match value {
            Value::String(text) => about(text),
            other => shown(other, secret),
        };
        self.read(key, expected, shown, parse)
    }

    fn read<T>(
        &self,
        key: &'static str,
        expected: &str,
        shown: impl FnOnce(&Value, bool) -> String,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let spec = options::find(key).expect("every option that is read stands in the table");
        let Some((value, place)) = self.0.lookup(spec) else {
            return Ok(None);
        };
        parse(&value).map(Some).ok_or_else(|| ConfigError::Value {
            place,
            key: spec.key,
            found: shown(&value, spec.secret),
            expected: expected.to_owned(),
        })
    }

    fn must<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, ConfigError> {
        Ok(self
            .may(key, expected, parse)?
            .expect("an option that must be set has a default"))
    }

    fn flag(&self, key: &'static str) -> Result<bool, ConfigError> {
        self.must(key, "true or false", Value::as_bool)
    }

    fn number<N: TryFrom<u64>>(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<N, ConfigError> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.must(key, &expected, |value| {
            N::try_from(whole(value).filter(|number| range.contains(number))?).ok()
        })
    }

    fn size(&self, key: &'static str, range: RangeInclusive<usize>) -> Result<usize, ConfigError> {
        let expected = format!(
            "bytes, or a text such as \"64 KiB\", from {} to {}",
            range.start(),
            range.end()
        );
        self.must(key, &expected, |value| {
            let bytes = whole(value).or_else(|| parse_size(value.as_str()?))?;
            usize::try_from(bytes)
                .ok()
                .filter(|bytes| range.contains(bytes))
        })
    }

    fn span(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        let expected = format!(
            "a text such as \"500 ms\", \"10 s\" or \"5 min\", from {:?} to {:?}",
            range.start(),
            range.end()
        );
        self.must(key, &expected, |value| {
            parse_span(value.as_str()?).filter(|span| range.contains(span))
        })
    }

    fn place(&self, key: &str) -> Place {
        options::find(key)
            .and_then(|spec| self.0.lookup(spec))
            .map_or(Place::Default, |(_, place)| place)
    }
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => text.replace('_', "").parse().ok(),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(ToOwned::to_owned)
}

fn path(value: &Value) -> Option<PathBuf> {
    text(value).map(PathBuf::from)
}

// A list, or the same in one text with commas between, as the environment has it.
fn list<T>(value: &Value, item: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(items) => items.iter().map(item).collect(),
        Value::String(items) => items
            .split(',')
            .filter(|text| !text.trim().is_empty())
            .map(|text| item(&Value::String(text.trim().to_owned())))
            .collect(),
        _ => None,
    }
}

fn listen(value: &Value) -> Option<SocketAddr> {
    let text = text(value)?;
    let text = text
        .strip_prefix("localhost:")
        .map_or(text.clone(), |p| format!("127.0.0.1:{p}"));
    text.parse().ok()
}

fn network(value: &Value) -> Option<IpNet> {
    let text = text(value)?;
    text.parse()
        .ok()
        .or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

fn base_url(value: &Value) -> Option<String> {
    let text = text(value)?;
    let uri: http::Uri = text.parse().ok()?;
    let plain = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.query().is_none()
        && !text.contains(['#', '@']);
    plain.then(|| text.trim_end_matches('/').to_owned())
}

// The scheme alone: what follows may hold a password.
fn scheme(url: &str) -> String {
    let plain = |text: &&str| {
        text.len() <= 16
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    match url
        .split_once("://")
        .map(|(scheme, _)| scheme)
        .filter(plain)
    {
        Some(scheme) => format!("a {scheme}:// URL"),
        None => "no URL".to_owned(),
    }
}

fn characters(text: &str) -> String {
    let count = text.trim().chars().count();
    let space = if text.trim().contains(char::is_whitespace) {
        ", with white space"
    } else {
        ""
    };
    format!("a text of {count} characters{space}")
}

fn is_bearer(text: &str) -> bool {
    text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

const PATH: &str = "a path";
