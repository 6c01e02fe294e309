/// Whether a browser may be sent to this URI: a page of https or loopback, or a program by a scheme
/// of its own, but never a scheme that the browser itself runs. If not, what was found, and what
/// was expected.
pub(super) fn check(uri: &str) -> Result<(), (String, &'static str)> {
    let refuse = |found: &str| {
        let expected = "an https URL, http on loopback, or a scheme of the app's own such as \
                        com.example.app:/done; without a fragment";
        Err((found.to_owned(), expected))
    };
    if is_run_by_browsers(uri) {
        return refuse("a scheme that a browser runs or opens itself");
    }
    if uri.len() > MAX_URL {
        return refuse("a URI of more than 1,024 bytes");
    }
    if !uri.bytes().all(|b| b.is_ascii_graphic()) {
        return refuse("a space, or a character outside visible ASCII");
    }
    let Some((scheme, rest)) = uri.split_once(':') else {
        return refuse("a text without a scheme");
    };
    if uri.contains(['#', '\\', '"', '<', '>']) {
        return refuse("a fragment or a character that no URL has");
    }
    let host = |rest: &str| {
        let rest = rest.strip_prefix("//")?;
        let host = rest.split(['/', '?']).next()?;
        (!host.is_empty() && !host.contains('@')).then(|| host.to_owned())
    };
    match scheme.to_ascii_lowercase().as_str() {
        "https" if host(rest).is_some() => Ok(()),
        "https" => refuse("an https URL without a host, or with a user name"),
        "http" => {
            let host = host(rest).unwrap_or_default();
            let name = host
                .rsplit_once(':')
                .map_or(host.as_str(), |(name, _)| name);
            if ["localhost", "127.0.0.1", "[::1]"].contains(&name) {
                return Ok(());
            }
            refuse("http to another machine")
        }
        scheme if is_scheme(scheme) && !rest.is_empty() => Ok(()),
        scheme if is_scheme(scheme) => refuse("a scheme with nothing after it"),
        _ => refuse("a scheme with a character that no scheme has"),
    }
}

/// Whether a browser would run or open it itself, read as a browser reads it: white space and
/// control characters before it and line breaks and tabs within it do not count, nor does case.
fn is_run_by_browsers(uri: &str) -> bool {
    let uri = uri.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    let kept = uri.chars().filter(|c| !c.is_control());
    let uri: String = kept.map(|c| c.to_ascii_lowercase()).collect();
    uri.split_once(':')
        .is_some_and(|(scheme, _)| RUN_BY_BROWSERS.contains(&scheme.trim()))
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".+-".contains(&b))
}

/// Scripts, documents from nowhere, files of the machine, the browser's own pages, and other
/// protocols of the web, which hand the answer to another program.
const RUN_BY_BROWSERS: [&str; 28] = [
    "about",
    "blob",
    "chrome",
    "chrome-extension",
    "chrome-untrusted",
    "data",
    "devtools",
    "edge",
    "feed",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "jar",
    "javascript",
    "livescript",
    "mailto",
    "mhtml",
    "mocha",
    "moz-extension",
    "ms-appx",
    "resource",
    "vbscript",
    "view-source",
    "wyciwyg",
    "ws",
    "wss",
    "x-javascript",
];
const MAX_URL: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_apps_are_sent_to() {
        for uri in [
            "https://shop.example/done?x=1",
            "HTTPS://shop.example/",
            "http://localhost:5173/",
            "http://127.0.0.1/",
            "http://[::1]:80/",
            "com.example.app:/done",
            "myapp://done",
        ] {
            assert_eq!(check(uri), Ok(()), "{uri}");
        }
    }

    #[test]
    fn a_scheme_that_browsers_run_is_refused_however_it_is_written() {
        let plain = RUN_BY_BROWSERS.map(|scheme| format!("{scheme}:x"));
        let written = [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            " javascript:alert(1)",
            "\tjavascript:alert(1)",
            "\u{1}javascript:alert(1)",
            "\u{a0}data:text/html,x",
            "java\nscript:alert(1)",
            "javascript :alert(1)",
            "javascript://shop.example/%0aalert(1)",
            "View-Source:https://shop.example/",
        ];
        for uri in plain.iter().map(String::as_str).chain(written) {
            let (found, _) = check(uri).expect_err(uri);
            assert!(found.contains("browser"), "{uri:?}: {found}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said() {
        let long = format!("https://shop.example/{}", "x".repeat(1004));
        for (uri, wanted) in [
            (long.as_str(), "1,024 bytes"),
            ("https://shop.example/a b", "visible ASCII"),
            ("https://shop.example/\u{fc}", "visible ASCII"),
            ("myapp:", "nothing after it"),
            ("my_app:/done", "no scheme has"),
        ] {
            let (found, _) = check(uri).expect_err(uri);
            assert!(found.contains(wanted), "{uri}: {found}");
        }
        assert_eq!(check(&long[..1024]), Ok(()));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for uri in [
            "",
            "done",
            "https:///done",
            "https://user@shop.example/",
            "https://shop.example/#done",
            "http://shop.example/",
            "1app:/done",
            "my_app:/done",
            "myapp:",
            " https://shop.example/",
        ] {
            assert!(check(uri).is_err(), "{uri:?}");
        }
    }
}
