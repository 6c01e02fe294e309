use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{ConnectInfo, Request};
use hexline_model::Entropy;
use http::{HeaderName, HeaderValue};

use crate::kit::authenticator::TokenAuthenticator;

/// The name of one HTTP request, in its answer and in its log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestId {
    /// Hex digits of ours.
    Own([u8; 16]),
    /// What a trusted proxy calls it.
    Given(HeaderValue),
}

/// Names requests. Names are unique within a server and tell nothing of how many there were.
pub struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    /// Begins where nobody can guess.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut start = [0; 8];
        entropy.fill(&mut start);
        Self {
            start: u64::from_le_bytes(start),
            count: AtomicU64::default(),
        }
    }

    /// The name of a request: its own, if a trusted proxy gave it one.
    pub(crate) fn of(&self, request: &Request, authenticator: &TokenAuthenticator) -> RequestId {
        let given = request.headers().get(X_REQUEST_ID);
        if let Some(given) = given.filter(|given| is_id(given.as_bytes()))
            && let Some(ConnectInfo(socket)) = request.extensions().get::<ConnectInfo<SocketAddr>>()
            && authenticator.trusts(*socket)
        {
            return RequestId::Given(given.clone());
        }
        self.next()
    }

    fn next(&self) -> RequestId {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        // SplitMix64, which gives no number twice.
        let mut z = self
            .start
            .wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let mut text = [0; 16];
        for (pair, byte) in text.chunks_exact_mut(2).zip(z.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        RequestId::Own(text)
    }
}

impl RequestId {
    /// As it stands in the answer.
    pub(crate) fn header(&self) -> HeaderValue {
        match self {
            Self::Own(text) => HeaderValue::from_bytes(text).expect("hex digits"),
            Self::Given(given) => given.clone(),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Own(text) => std::str::from_utf8(text).expect("hex digits"),
            Self::Given(given) => given.to_str().expect("it was looked at"),
        };
        f.write_str(text)
    }
}

fn is_id(text: &[u8]) -> bool {
    (1..=64).contains(&text.len())
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

/// Where the id of a request stands.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hexline_model::SeededEntropy;

    use super::*;

    #[test]
    fn no_two_requests_have_the_same_id() {
        let ids = RequestIds::new(&SeededEntropy::new(1));
        let seen: HashSet<String> = (0..10_000).map(|_| ids.next().to_string()).collect();
        assert_eq!(seen.len(), 10_000);
        assert!(seen.iter().all(|id| is_id(id.as_bytes())));
    }

    #[test]
    fn an_id_is_short_and_of_few_characters() {
        assert!(is_id(b"a") && is_id(b"A.9_z-") && is_id(&[b'x'; 64]));
        for bad in [
            &b""[..],
            &[b'x'; 65],
            b"a b",
            b"a/b",
            b"\xc3\xa4",
            b"a\"",
            b"a,b",
        ] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }
}
