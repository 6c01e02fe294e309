//! Lists that are longer than an answer: `limit` and `cursor` in, `items` and `next` out.
//!
//! A cursor is the sort key of the last item that was shown, so that no item comes twice and none
//! that was there all the time is left out, whatever comes and goes meanwhile. To a client it is
//! opaque.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hexline_protocol::ErrorCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::kit::error::Refusal;

/// How many items an answer has at most: 1 to 200, unless set 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Limit(u16);

/// Where a list goes on: what `next` was in the answer before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor(String);

/// A text that a list is filtered by: at most 300 bytes on one line. Empty, it filters nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Word(String);

/// A part of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items of this part.
    pub(crate) items: Vec<T>,
    /// The `cursor` of the next part; null after the last.
    pub(crate) next: Option<String>,
}

impl Limit {
    /// The smallest page.
    pub(crate) const LEAST: u16 = 1;

    /// The largest page.
    pub(crate) const MOST: u16 = 200;

    /// The number.
    pub(crate) fn get(self) -> usize {
        usize::from(self.0)
    }

    /// One more than the number: with it a page is known to be the last.
    pub(crate) fn and_one(self) -> usize {
        self.get() + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u32> for Limit {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        match u16::try_from(number) {
            Ok(number @ Self::LEAST..=Self::MOST) => Ok(Self(number)),
            _ => Err("limit is out of its bounds, expected 1 to 200"),
        }
    }
}

impl Word {
    /// How many bytes it has at most.
    pub(crate) const MAX_BYTES: usize = 300;

    /// The text, if there is any.
    pub(crate) fn given(self) -> Option<String> {
        Some(self.0).filter(|text| !text.is_empty())
    }
}

impl TryFrom<String> for Word {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() > Self::MAX_BYTES || text.contains(char::is_control) {
            return Err(
                "the filter is too long or has control characters, expected at most 300 bytes on one \
                 line",
            );
        }
        Ok(Self(text))
    }
}

impl Cursor {
    /// The sort key that it stands for.
    pub(crate) fn key(&self) -> &str {
        &self.0
    }

    /// The sort key as a value; what no server can have given is refused.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Refusal> {
        read(&self.0).ok_or_else(|| Refusal::new(ErrorCode::InvalidRequest, NO_CURSOR))
    }

    /// The text that clients see of a sort key.
    pub(crate) fn text(key: &str) -> String {
        URL_SAFE_NO_PAD.encode(key)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        key.map(Self)
            .ok_or_else(|| serde::de::Error::custom(NO_CURSOR))
    }
}

impl<T> Page<T> {
    /// A page of what was found with a limit of [one more](Limit::and_one).
    pub(crate) fn cut<F>(
        mut found: Vec<F>,
        limit: Limit,
        key: impl Fn(&F) -> String,
        show: impl FnMut(F) -> T,
    ) -> Self {
        let more = found.len() > limit.get();
        found.truncate(limit.get());
        let next = found.last().filter(|_| more);
        Self {
            next: next.map(|last| Cursor::text(&key(last))),
            items: found.into_iter().map(show).collect(),
        }
    }
}

const NO_CURSOR: &str = "cursor is none that this server gave, expected the next of another page";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_the_next_begins() {
        let limit = Limit::try_from(2).expect("within bounds");
        let page = |found: &[u8]| {
            let found = found[..found.len().min(limit.and_one())].to_vec();
            Page::cut(found, limit, |n| format!("k{n}"), |n| n)
        };
        let first = page(&[1, 2, 3]);
        assert_eq!(first.items, [1, 2]);
        let next = first.next.expect("there is more");
        let cursor: Cursor = serde_json::from_value(next.into()).expect("a cursor");
        assert_eq!(cursor.key(), "k2");
        assert_eq!(page(&[3, 4]).next, None);
    }

    #[test]
    fn a_limit_has_bounds_and_a_cursor_a_form() {
        for bad in [0, 201, u32::MAX] {
            assert!(Limit::try_from(bad).is_err());
        }
        assert!(serde_json::from_str::<Cursor>("\"%%\"").is_err());
    }
}
