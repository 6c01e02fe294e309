use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::options::{OPTIONS, Spec};
use super::{Config, ConfigError, Layer, Layers, Limits, LogFormat};

const SAMPLE: &str = include_str!("../../../../hexline.sample.toml");

fn file(text: &str) -> Layer {
    Layer::text(Path::new("hexline.toml"), text).expect("the file is well formed")
}

fn environment(variables: &[(&str, &str)]) -> Result<Layer, ConfigError> {
    Layer::environment(
        variables
            .iter()
            .map(|(n, v)| (OsString::from(n), OsString::from(v))),
    )
}

fn load(text: &str) -> Result<Config, ConfigError> {
    Config::load(&Layers::default().with(Layer::text(Path::new("hexline.toml"), text)?))
}

fn failure(text: &str) -> String {
    load(text)
        .expect_err("the configuration is wrong")
        .to_string()
}

#[test]
fn the_defaults_are_valid() {
    let config = Config::defaults();
    config.check().expect("the defaults pass their own rules");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.limits.frame_bytes, 65_536);
    assert_eq!(config.limits.outbox_bytes, 1 << 20);
    assert_eq!(config.limits.idle_close, Duration::from_secs(75));
    assert_eq!(config.limits.connections, 200_000);
}

#[test]
fn later_layers_win_option_by_option() {
    let layers = Layers::default()
        .with(file(
            "listen = '127.0.0.1:1'\ndrain = '1 s'\n[limits]\nframe_bytes = 2048\n",
        ))
        .with(
            environment(&[
                ("HEXLINE_LISTEN", "127.0.0.1:2"),
                ("HEXLINE_LIMITS_JSON_DEPTH", "32"),
                ("HEXLINE_DEV", "true"),
                ("PATH", "/bin"),
            ])
            .expect("known names"),
        )
        .with(Layer::default().flag("--listen", "listen", Some("127.0.0.1:3".to_owned())));
    let config = Config::load(&layers).expect("valid");
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.drain, Duration::from_secs(1));
    assert_eq!(
        (config.limits.frame_bytes, config.limits.json_depth),
        (2048, 32)
    );
    assert!(config.dev);
}

#[test]
fn a_developers_server_closes_all_at_once_unless_told_otherwise() {
    let spread = |text| load(text).expect("valid").spread;
    assert_eq!(spread(""), Duration::from_secs(10));
    assert_eq!(spread("dev = true"), Duration::ZERO);
    let told = "dev = true\n[shutdown]\nspread = '10 s'";
    assert_eq!(spread(told), Duration::from_secs(10));
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    assert_eq!(
        failure("listen = '127.0.0.1:1'\nlisten_adress = 1\n[limits]\n"),
        "hexline.toml:2: unknown option 'listen_adress'"
    );
    assert_eq!(
        failure("\n\n[limits]\nframe_byte = 1\n"),
        "hexline.toml:4: unknown option 'limits.frame_byte', did you mean 'limits.frame_bytes'?"
    );
    assert_eq!(
        failure("frame_bytes = 1"),
        "hexline.toml:1: unknown option 'frame_bytes', did you mean 'limits.frame_bytes'?"
    );
    assert_eq!(
        failure("[limit]\n"),
        "hexline.toml:1: unknown option 'limit', did you mean 'limits'?"
    );
}

#[test]
fn an_unknown_name_in_the_environment_is_an_error_too() {
    let failure = environment(&[("HEXLINE_LISTNE", "x")])
        .err()
        .expect("unknown")
        .to_string();
    assert_eq!(
        failure,
        "environment HEXLINE_LISTNE: unknown option 'HEXLINE_LISTNE', \
         did you mean 'HEXLINE_LISTEN'?"
    );
    assert!(environment(&[("HEXLINE_PORT", "8080")]).is_err());
}

#[test]
fn names_that_are_no_options_are_left_alone() {
    environment(&[
        ("HEXLINE_KEY_ID", "x"),
        ("HEXLINE_KEY_SECRET", "x"),
        ("HEXLINE_TOKEN", "x"),
        ("HEXLINE_PLATFORM_TOKEN", "x"),
        ("HEXLINE_TEST_POSTGRES", "x"),
        ("HEXLINE_FUZZ_SECONDS", "x"),
        ("HEXLINE_SERVICE_HOST", "10.0.0.1"),
        ("HEXLINE_PORT", "tcp://10.0.0.1:8000"),
        ("HEXLINE_PORT_8000_TCP_ADDR", "10.0.0.1"),
    ])
    .expect("none of them is an option");
}

#[test]
fn a_wrong_value_is_shown_with_what_was_expected() {
    for (text, message) in [
        (
            "[limits]\nframe_bytes = 10",
            "hexline.toml:2: limits.frame_bytes is 10, expected bytes, or a text such as \
             \"64 KiB\", from 1024 to 16777216",
        ),
        (
            "dev = 'yes'",
            "hexline.toml:1: dev is \"yes\", expected true or false",
        ),
        (
            "drain = 10",
            "hexline.toml:1: drain is 10, expected a text such as \"500 ms\", \"10 s\" or \
             \"5 min\", from 0ns to 3600s",
        ),
        (
            "public_url = 'ftp://x'",
            "hexline.toml:1: public_url is \"ftp://x\", expected an http:// or https:// URL \
             without query",
        ),
        (
            "trusted_proxies = ['x']",
            "hexline.toml:1: trusted_proxies is [\"x\"], expected a list of addresses or networks \
             such as 10.0.0.0/8",
        ),
    ] {
        assert_eq!(failure(text), message);
    }
    assert!(failure("a = [").starts_with("hexline.toml:1: "));
}

#[test]
fn values_may_have_units_separators_and_commas() {
    let layers = Layers::default().with(
        environment(&[
            ("HEXLINE_LIMITS_OUTBOX_BYTES", "2 MiB"),
            ("HEXLINE_LIMITS_CONNECTIONS", "1_000"),
            ("HEXLINE_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
            (
                "HEXLINE_EXTRA_URLS",
                "https://a.example/,http://b.example:1/x",
            ),
            ("HEXLINE_DRAIN", "2min"),
            ("HEXLINE_LOG_FORMAT", "json"),
            ("HEXLINE_LISTEN", "localhost:0"),
        ])
        .expect("known names"),
    );
    let config = Config::load(&layers).expect("valid");
    assert_eq!(config.limits.outbox_bytes, 2 << 20);
    assert_eq!(config.limits.connections, 1000);
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(
        config.extra_urls,
        ["https://a.example", "http://b.example:1/x"]
    );
    assert_eq!(config.drain, Duration::from_mins(2));
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(config.listen.ip().is_loopback());
}

#[test]
fn dev_mode_on_a_public_address_must_be_told_twice() {
    assert!(failure("dev = true\nlisten = '0.0.0.0:8000'").contains("--allow-public-dev"));
    load("dev = true\nlisten = '0.0.0.0:8000'\nallow_public_dev = true").expect("told twice");
    load("dev = true\nlisten = '[::1]:8000'").expect("loopback");
}

#[test]
fn the_token_service_on_a_public_address_must_be_told_twice() {
    let text = "listen = '0.0.0.0:8000'\n[token_service]\nenabled = true\n";
    assert!(failure(text).contains("allow_public_token"));
    load(&format!("{text}allow_public_token = true")).expect("told twice");
}

#[test]
fn postgres_needs_a_master_key_file() {
    let text = "database = 'postgres://u:p@h/d'\n";
    assert!(failure(text).contains("HEXLINE_MASTER_KEY_FILE"));
    load(&format!("{text}master_key_file = '/k'")).expect("it has a place");
}

#[test]
fn tls_needs_both_files_and_the_ping_comes_before_the_close() {
    assert!(failure("[tls]\ncert_file = 'c'").contains("tls.key_file is not"));
    assert!(failure("[tls]\nkey_file = 'c'").contains("tls.cert_file is not"));
    assert!(failure("[limits]\nping_after = '75 s'").contains("idle_close"));
}

#[test]
fn every_connection_of_an_address_needs_a_socket() {
    assert_eq!(
        failure("[limits]\nconnections_per_address = 5000"),
        "limits.sockets_per_address is 2000, expected at least \
         limits.connections_per_address, which is 5000"
    );
    load("[limits]\nconnections_per_address = 5000\nsockets_per_address = 5000").expect("as many");
}

#[test]
fn secrets_do_not_print() {
    let config = load(
        "database = 'postgres://u:hunter2@h/d'\nmaster_key_file = 'k'\n\
         metrics_bearer = 'hunter2hunter2hunter2'",
    )
    .expect("valid");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!failure("database = 'mysql://u:hunter2@h/d'").contains("hunter2"));
    assert!(!failure("metrics_bearer = 'hunter2'").contains("hunter2"));
}

#[test]
fn the_metrics_bearer_may_stand_in_a_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("bearer");
    std::fs::write(&path, "0123456789abcdef\n").expect("written");
    let line = format!("metrics_bearer_file = '{}'\n", path.display());
    let config = load(&line).expect("valid");
    assert_eq!(
        config.metrics_bearer.expect("set").expose(),
        "0123456789abcdef"
    );
    assert!(failure(&format!("{line}metrics_bearer = '0123456789abcdef'")).contains("both set"));
    std::fs::write(&path, "short").expect("written");
    assert!(failure(&line).contains("a file of 5 characters"));
}

#[test]
fn the_sample_file_documents_every_option_with_its_default() {
    let text: String = SAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let sample: toml::Table = text
        .parse()
        .expect("the sample is TOML with its options switched on");
    let mut found = BTreeSet::new();
    for (key, value) in flatten("", &sample) {
        let option = OPTIONS.iter().find(|option| option.key == key);
        let option = option.unwrap_or_else(|| panic!("{key} stands in the sample only"));
        if let Some(default) = option.default {
            let default: toml::Table = format!("v = {default}").parse().expect("TOML");
            assert_eq!(value, default["v"], "{key} in the sample");
        }
        found.insert(key);
    }
    for option in OPTIONS {
        assert!(
            found.contains(option.key),
            "{} is missing in the sample",
            option.key
        );
        assert!(
            SAMPLE.contains(&option.env_name()),
            "{} is not named",
            option.env_name()
        );
    }
    // As it stands it sets nothing.
    assert!(flatten("", &SAMPLE.parse().expect("the sample is TOML")).is_empty());
}

#[test]
fn plain_http_or_no_public_url_on_a_public_address_is_a_concern() {
    let concerns = |more: &str| {
        let text = format!("listen = '0.0.0.0:8000'\n{more}");
        let config = Config::load(&Layers::default().with(file(&text))).expect("valid");
        config.concerns().join(" ")
    };
    let tls = "[tls]\ncert_file = 'c'\nkey_file = 'k'\n";
    for (more, wanted) in [
        ("", &["public_url is not set", "without TLS"][..]),
        (tls, &["public_url is not set"]),
        ("public_url = 'http://x.example'", &["without TLS"]),
        ("public_url = 'https://x.example'", &["trusted_proxies"]),
    ] {
        let found = concerns(more);
        let all = wanted.iter().all(|wanted| found.contains(wanted));
        assert!(all, "{more}: {found}");
    }
    let proxied = "public_url = 'https://x.example'\ntrusted_proxies = ['10.0.0.1']\n";
    assert_eq!(concerns(proxied), "");
    assert_eq!(
        concerns(&format!("public_url = 'https://x.example'\n{tls}")),
        ""
    );
    assert_eq!(Config::defaults().concerns(), [""; 0]);
}

#[test]
fn every_limit_stands_in_its_document() {
    let limits = include_str!("../../../../docs/limits.md");
    for Spec { key, .. } in OPTIONS {
        if key.starts_with("limits.") {
            assert!(
                limits.contains(&format!("`{key}`")),
                "{key} is missing in docs/limits.md"
            );
        }
    }
}

fn flatten(prefix: &str, table: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut flat = Vec::new();
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            toml::Value::Table(inner) => flat.extend(flatten(&format!("{key}."), inner)),
            other => flat.push((key, other.clone())),
        }
    }
    flat
}

#[test]
fn the_gateways_own_defaults_are_those_of_the_options() {
    assert_eq!(
        Limits::default().gateway(),
        hexline_gateway::Limits::default()
    );
}
