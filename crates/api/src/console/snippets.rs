//! Programs that make a token with a new key and ask the server who it is for: one for each
//! language, of what comes with that language, so that they run as they are.
//!
//! The templates are files beside this one; `__WORDS__` in them are put in.

use hexline_token::Algorithm;
use serde::Serialize;
use utoipa::ToSchema;

/// A program.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleSnippet)]
pub(crate) struct Snippet {
    /// `curl`, `rust`, `node`, `python`, `php`, `java` or `go`.
    language: &'static str,
    text: String,
}

/// What a program has to know.
pub(crate) struct Facts<'a> {
    pub(crate) url: &'a str,
    pub(crate) key: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) algorithm: Algorithm,
    pub(crate) ttl_s: u64,
}

/// All of them, for a key with a secret.
pub(crate) fn of(facts: &Facts<'_>) -> Vec<Snippet> {
    let (bits, go_package, go_hash) = match facts.algorithm {
        Algorithm::Hs384 => ("384", "sha512", "sha512.New384"),
        Algorithm::Hs512 => ("512", "sha512", "sha512.New"),
        _ => ("256", "sha256", "sha256.New"),
    };
    let ttl = facts.ttl_s.to_string();
    let words = [
        ("__URL__", facts.url.trim_end_matches('/')),
        ("__KEY_ID__", facts.key),
        ("__KEY_SECRET__", facts.secret),
        ("__BITS__", bits),
        ("__TTL__", &ttl),
        ("__GO_PACKAGE__", go_package),
        ("__GO_HASH__", go_hash),
    ];
    TEMPLATES
        .iter()
        .map(|(language, template)| {
            let put_in = |text: String, (word, value): &(&str, &str)| text.replace(word, value);
            let text = words.iter().fold((*template).to_owned(), put_in);
            Snippet { language, text }
        })
        .collect()
}

const TEMPLATES: [(&str, &str); 7] = [
    ("curl", include_str!("snippets/curl.sh")),
    ("rust", include_str!("snippets/rust.rs.txt")),
    ("node", include_str!("snippets/node.mjs")),
    ("python", include_str!("snippets/python.py")),
    ("php", include_str!("snippets/php.php")),
    ("java", include_str!("snippets/java.java")),
    ("go", include_str!("snippets/go.go.txt")),
];
