use std::borrow::Cow;
use std::sync::OnceLock;

use aws_lc_rs::digest::{Context, SHA256};
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use hexline_protocol::ErrorCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::RustEmbed;

use crate::kit::error::Refusal;
use crate::kit::json::Ids;

/// Styles, modules and the picture: in a release they are in the binary, in a debug build they are
/// read from the source.
#[derive(RustEmbed)]
#[folder = "assets/console"]
struct Assets;

/// The folder of the assets as a page names it. It has the hash of all of them in it, so modules
/// find each other by relative paths, and none is ever mixed with one of another release.
pub(super) fn folder(root: &str) -> String {
    format!("{root}assets/{}", version())
}

/// `GET /console/assets/{version}/{name}`.
pub(super) async fn serve(
    Ids((asked, name)): Ids<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let (Some(file), Some(kind)) = (Assets::get(&name), kind(&name)) else {
        return Refusal::new(ErrorCode::NotFound, "there is nothing at this path").into_response();
    };
    let tag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..16]));
    let is_known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|known| known.to_str().is_ok_and(|known| known.contains(&tag)));
    // While somebody works on them, or by the address of another release, they may change.
    let is_final = !cfg!(debug_assertions) && asked == version();
    let caching = if is_final {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static(caching)),
        (ETAG, HeaderValue::from_str(&tag).expect("hex in quotes")),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    // What is in the binary is sent from there: a reader that is slow, or a thousand, cost no copy.
    let content = match file.data {
        Cow::Borrowed(content) => Bytes::from_static(content),
        Cow::Owned(content) => Bytes::from(content),
    };
    (headers, content).into_response()
}

fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut all = Context::new(&SHA256);
        let mut names: Vec<_> = Assets::iter().collect();
        names.sort();
        for name in names {
            let file = Assets::get(&name).expect("it was just listed");
            all.update(name.as_bytes());
            all.update(&file.metadata.sha256_hash());
        }
        hex(&all.finish().as_ref()[..8])
    })
}

fn kind(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to memory does not fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_has_a_kind_and_the_version_holds_still() {
        assert!(Assets::iter().all(|name| kind(&name).is_some()));
        assert_eq!(version().len(), 16);
        assert_eq!(version(), version());
    }

    #[test]
    fn what_is_no_asset_of_ours_is_not_served() {
        for name in ["../../Cargo.toml", "/etc/passwd", "page.html", ""] {
            assert!(
                Assets::get(name).is_none() || kind(name).is_none(),
                "{name}"
            );
        }
    }
}
