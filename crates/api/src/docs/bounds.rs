//! What a text or a number in a request may be, by the name that it has everywhere: the patterns,
//! lengths and bounds of `/openapi.json`.
//!
//! A name means one thing throughout the API, so its bounds stand once, here, and every operation
//! that takes it says the same. Where two types share a member's name, the row names the type too.
//!
//! Invariant: the code that reads a value enforces what stands here. A test sends every operation
//! values at each bound, which it has to take, and beyond it, which it has to refuse; another one
//! fails where a text has no row. Lengths count characters; where a type counts bytes, a text
//! beyond ASCII may be shorter only.
//!
//! To add one: a row in one of the functions behind [`of`].

use std::collections::BTreeSet;

use hexline_model::{ChannelName, Identity};
use hexline_services::apps::AppName;
use hexline_services::operators::{Email, PersonName};
use hexline_token::Algorithm;
use hexline_token::webhook::EventKind;
use serde_json::{Map, Value, json};

use crate::kit::paging::{Limit, Word};

/// Writes the bounds into a document: into every parameter, and into every member that a body may
/// have.
pub(crate) fn write(document: &mut Value) {
    let mut bodies = BTreeSet::new();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        let operations = item.as_object_mut().into_iter().flat_map(Map::values_mut);
        for operation in operations {
            let parameters = operation
                .get_mut("parameters")
                .and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default().to_owned();
                narrow(path, &name, &mut parameter["schema"]);
            }
            if let Some(body) = operation.get("requestBody") {
                names_in(body, &mut bodies);
            }
        }
    }
    let mut seen = BTreeSet::new();
    while let Some(name) = bodies.pop_first() {
        let schema = &mut document["components"]["schemas"][&name];
        members(&name, schema);
        names_in(schema, &mut bodies);
        seen.insert(name);
        bodies = &bodies - &seen;
    }
}

/// The components that a part of the document refers to.
fn names_in(part: &Value, names: &mut BTreeSet<String>) {
    match part {
        Value::Object(members) => {
            let name = members.get("$ref").and_then(Value::as_str);
            let name = name.and_then(|text| text.rsplit('/').next());
            names.extend(name.map(str::to_owned));
            members.values().for_each(|part| names_in(part, names));
        }
        Value::Array(parts) => parts.iter().for_each(|part| names_in(part, names)),
        _ => {}
    }
}

/// Narrows the members of a type.
fn members(owner: &str, schema: &mut Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, member) in properties.into_iter().flatten() {
        narrow(owner, name, member);
        members(owner, member);
    }
    for word in ["allOf", "oneOf", "anyOf"] {
        let parts = schema.get_mut(word).and_then(Value::as_array_mut);
        parts
            .into_iter()
            .flatten()
            .for_each(|part| members(owner, part));
    }
}

fn narrow(owner: &str, name: &str, schema: &mut Value) {
    if let Some(items) = schema.get_mut("items") {
        narrow(owner, &format!("{name}[]"), items);
    }
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    if members.contains_key("$ref") {
        return;
    }
    let bounds = of(&format!("{owner}.{name}")).or_else(|| of(name));
    let Some(Value::Object(mut bounds)) = bounds else {
        return;
    };
    let is_optional = members.get("type").is_some_and(Value::is_array);
    if let (true, Some(Value::Array(choices))) = (is_optional, bounds.get_mut("enum")) {
        choices.push(Value::Null);
    }
    members.extend(bounds);
}

/// The bounds by name.
fn of(name: &str) -> Option<Value> {
    of_names(name)
        .or_else(|| of_settings(name))
        .or_else(|| of_tokens(name))
}

/// Ids, names of people and things, and what lists are asked by.
fn of_names(name: &str) -> Option<Value> {
    Some(match name {
        "app"
        | "apps[]"
        | "key"
        | "signing_key"
        | "apikey"
        | "webhook"
        | "delivery"
        | "operator"
        | "session"
        | "PlatformKeyImport.id"
        | "ConsoleKeyImport.id" => {
            json!({"pattern": "^[0-9a-f]{32}$"})
        }
        "route" => json!({"pattern": "^[0-9a-f]{24}$"}),
        "passkey" => text("^[A-Za-z0-9_-]+$", 1, 1400),
        "NewPasskey.id" | "Answer.id" => length(0, 128),
        "strategy" | "ProviderSettings.id" => json!({"pattern": "^[a-z0-9-]{1,32}$"}),
        "jti" => text(&format!("^{PLAIN}+$"), 1, 1024),
        // What lists are filtered by.
        "actor"
        | "action"
        | "search"
        | "prefix"
        | "/platform/v1/connections.identity"
        | "/platform/v1/connections.device"
        | "/console/api/apps/{app}/connections.identity"
        | "/console/api/apps/{app}/connections.device" => {
            text(&format!("^{PLAIN}*$"), 0, Word::MAX_BYTES)
        }
        // Who, where to.
        "identity" | "identities[]" | "device" => {
            text(&format!("^{PART}$"), 1, Identity::MAX_BYTES)
        }
        "from" => {
            let part = PART.replace('*', &format!("{{0,{}}}", Identity::MAX_BYTES - 2));
            json!({"pattern": format!("^{part}(?:/{part})?$")})
        }
        "channel" => text(&format!("^{PLAIN}+$"), 1, ChannelName::MAX_BYTES),
        // Names for people.
        "label" => text(&format!("^{PLAIN}*$"), 0, 200),
        "ConsoleAppNewApp.name" | "ConsoleAppChanges.name" => {
            text("^[a-z0-9-]+$", 1, AppName::MAX_BYTES)
        }
        "SetUp.name" | "Acceptance.name" | "ConsoleProfileChanges.name" | "NewPasskey.label" => {
            let pattern = format!("^{PLAIN}*{VISIBLE}{PLAIN}*$");
            text(&pattern, 1, PersonName::MAX_CHARS)
        }
        "Invite.email" | "SetUp.email" => {
            let mut email = text(EMAIL, 3, Email::MAX_BYTES);
            email["format"] = json!("email");
            email
        }
        // Pages of lists. A cursor is what an answer gave, so it has a format that says so.
        "limit" => json!({"minimum": Limit::LEAST, "maximum": Limit::MOST, "default": 50}),
        "cursor" => json!({"format": "cursor", "pattern": "^[A-Za-z0-9_-]*$"}),
        _ => return None,
    })
}

/// What apps and their users' sign-in are set to.
fn of_settings(name: &str) -> Option<Value> {
    Some(match name {
        // Secrets.
        "NewPassword.new" | "SetUp.password" | "Acceptance.password" => length(12, 1024),
        "ConsoleKeyImport.secret" | "PlatformKeyImport.secret" => length(43, 65536),
        "access_token" | "id_token" | "code_verifier" | "login_code" | "nonce" => length(0, 8192),
        "code_challenge" => json!({"pattern": "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"}),
        // URLs. With `uri`: the server itself will ask there.
        "WebhookOrder.url" | "WebhookPatch.url" => uri("^https://[!-~]+$", 2048),
        "ExternalSettings.url" | "ConsoleKeyImport.url" | "issuer" | "base_url" => uri(ASKED, 1024),
        "redirect_uris[]" | "redirect_uri" => {
            // What a browser runs is refused besides.
            text("^[A-Za-z][A-Za-z0-9+.-]*:[!$-;=?-\\[\\]-~]+$", 1, 1024)
        }
        "audiences[]" => json!({"pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[!-\"$->A-Z\\[-~]+$"}),
        "origins[]" => json!({"pattern": "^[A-Za-z0-9+.-]+://[!-\"$-.0->A-Z\\[-~]+$"}),
        "audiences" | "origins" => json!({"maxItems": 64}),
        "events" => json!({"minItems": 1}),
        "events[]" => {
            let names = EventKind::ALL.iter().map(|kind| kind.text());
            json!({"enum": names.chain(["*"]).collect::<Vec<_>>()})
        }
        // Sign-in.
        "RefreshSettings.ttl_s" => json!({"minimum": 10, "maximum": 365 * DAY_S}),
        "AnonymousSettings.ttl_s" | "ProviderSettings.ttl_s" | "ExternalSettings.ttl_s" => {
            json!({"minimum": 10, "maximum": 30 * DAY_S})
        }
        "per_minute" => json!({"minimum": 1, "maximum": 100_000}),
        "client_id" | "other_client_ids[]" => text("^[!-~]+$", 1, 256),
        "other_client_ids" | "scopes" | "oidc" => json!({"maxItems": 20}),
        "redirect_uris" => json!({"maxItems": 50}),
        "scopes[]" | "team_id" | "key_id" => text("^[!-~]+$", 1, 100),
        "identity_template" => {
            let plain = "[A-Za-z0-9._@+|:-]";
            text(&format!("^{plain}+\\{{(?:sub|email)\\}}{plain}*$"), 6, 64)
        }
        "cookies" => json!({"maxItems": 10}),
        "cookies[]" => text("^[A-Za-z0-9_.-]+$", 1, 100),
        "ExternalSettings.prefix" => text("^[!-.0-~]*$", 0, 64),
        "/app/auth/v1/strategies/{strategy}/authorize.state" => length(0, 512),
        "longest_ttl_s" => json!({"minimum": 1, "maximum": 3660 * DAY_S}),
        "connections" | "devices_per_identity" | "messages_per_second" => json!({"minimum": 1}),
        _ => return None,
    })
}

/// Keys, tokens, and how long they last.
fn of_tokens(name: &str) -> Option<Value> {
    Some(match name {
        "PlatformKeyOrder.algorithm" | "ConsoleKeyOrder.algorithm" => {
            json!({"enum": ["HS256", "HS384", "HS512"]})
        }
        "algorithm" => json!({"enum": Algorithm::ALL.map(Algorithm::name)}),
        "overlap_ms" => json!({"minimum": 0, "maximum": 365 * DAY_S * 1000}),
        "hold_s" => json!({"minimum": 0, "maximum": DAY_S}),
        "grants" => json!({"example": {"signal": true}}),
        "expires_ms" => json!({"example": 4_102_444_800_000_i64}),
        "issued_before_ms" => json!({"example": 1_700_000_000_000_i64}),
        "exp" => json!({"example": 4_102_444_800_i64}),
        "nbf" => json!({"example": 1_700_000_000_i64}),
        "grant_type" => json!({"enum": ["urn:ietf:params:oauth:grant-type:token-exchange"]}),
        "subject_token_type" | "requested_token_type" => json!({"enum": [
            "urn:ietf:params:oauth:token-type:jwt",
            "urn:ietf:params:oauth:token-type:access_token",
        ]}),
        "scope" => {
            let service = "(?:signal|chat|push|video)";
            json!({"pattern": format!("^{service}(?: {service})*$")})
        }
        _ => return None,
    })
}

fn text(pattern: &str, least: usize, most: usize) -> Value {
    json!({"pattern": pattern, "minLength": least, "maxLength": most})
}

fn length(least: usize, most: usize) -> Value {
    json!({"minLength": least, "maxLength": most})
}

/// No user, query or fragment: where the server asks for providers and keys.
const ASKED: &str = "^https://[A-Za-z0-9\\[][!$->A-\\[\\]-~]*$";

fn uri(pattern: &str, most: usize) -> Value {
    json!({"format": "uri", "pattern": pattern, "maxLength": most})
}

/// What no name has: control characters.
macro_rules! control {
    () => {
        "\\u0000-\\u001F\\u007F-\\u009F"
    };
}

/// White space, spelled out: not every language's `\s` is the same.
macro_rules! space {
    () => {
        "\\u0009-\\u000D\\u0020\\u0085\\u00A0\\u1680\\u2000-\\u200A\\u2028\\u2029\\u202F\\u205F\\u3000"
    };
}

/// What hides or reorders text.
macro_rules! hidden {
    () => {
        "\\u200B\\u2060\\uFEFF\\u202A-\\u202E\\u2066-\\u2069"
    };
}

/// What an e-mail address has no more than once, or not at all.
macro_rules! odd {
    () => {
        "@<>()\\[\\],;:\\\\\""
    };
}

/// A character that a name may have.
const PLAIN: &str = concat!("[^", control!(), "]");

/// One that is no space either.
const VISIBLE: &str = concat!("[^", space!(), control!(), "]");

/// An identity or a device: no `/` and nothing that hides or reorders text, no space at its ends.
const PART: &str = concat!(
    "[^/",
    space!(),
    control!(),
    hidden!(),
    "](?:[^/",
    control!(),
    hidden!(),
    "]*[^/",
    space!(),
    control!(),
    hidden!(),
    "])?"
);

/// One `@`, no space, none of the characters that have a meaning in a header, a host without a dot
/// at its ends.
const EMAIL: &str = concat!(
    "^[^",
    odd!(),
    space!(),
    control!(),
    "]+@[^.",
    odd!(),
    space!(),
    control!(),
    "](?:[^",
    odd!(),
    space!(),
    control!(),
    "]*[^.",
    odd!(),
    space!(),
    control!(),
    "])?$"
);

const DAY_S: u64 = 24 * 3600;
