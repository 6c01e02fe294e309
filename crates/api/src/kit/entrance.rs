use axum::extract::Request;
use hexline_protocol::ErrorCode;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Uri, Version};

use crate::kit::error::Refusal;

/// What every request passes before it is routed: RFC 9112 §3.2 wants one `Host`, and repeated
/// slashes in the path become one, as old clients glue `…/client/` and `/signal/…` together.
pub(crate) fn enter(request: &mut Request) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => {}
        (None, _) if request.version() < Version::HTTP_11 => {}
        (None, _) => return Err(bad_host("no Host header")),
        (Some(_), Some(_)) => return Err(bad_host("several Host headers")),
    }
    if request.uri().path().contains("//")
        && let Some(single) = single_slashes(request.uri())
    {
        *request.uri_mut() = single;
    }
    Ok(())
}

fn bad_host(found: &str) -> Refusal {
    let message = format!("found {found}, expected one");
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// The query is left as it is.
fn single_slashes(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let mut text = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !text.ends_with('/') {
            text.push(c);
        }
    }
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn repeated_slashes_become_one_in_the_path_and_stay_in_the_query() {
        for (asked, meant) in [
            ("//", "/"),
            ("/client//signal///v1/pubsub", "/client/signal/v1/pubsub"),
            ("/rt//client/?jwt=a//b", "/rt/client/?jwt=a//b"),
            ("http://x//a", "http://x/a"),
        ] {
            let uri: Uri = asked.parse().expect("a URI");
            assert_eq!(single_slashes(&uri).expect("a URI").to_string(), meant);
        }
    }

    #[test]
    fn one_host_is_wanted_except_of_http_1_0() {
        let entered = |version, hosts: &[&str]| {
            let mut request = Request::new(Body::empty());
            *request.version_mut() = version;
            for host in hosts {
                let host = host.parse().expect("a header value");
                request.headers_mut().append(HOST, host);
            }
            enter(&mut request).is_ok()
        };
        assert!(entered(Version::HTTP_11, &["x"]) && entered(Version::HTTP_10, &[]));
        assert!(!entered(Version::HTTP_11, &[]));
        assert!(!entered(Version::HTTP_11, &["x", "x"]) && !entered(Version::HTTP_10, &["x", "y"]));
    }
}
