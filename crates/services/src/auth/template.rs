use hexline_model::Identity;

/// How an identity follows from one claim of a provider, e.g. `google-{sub}`.
///
/// Injective: two users never get the same identity. There is exactly one `{…}`, and what a claim
/// holds beyond letters, digits and `.` `_` `-` `@` `+` `|` `:` is written as `%XX`, `%` itself too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityTemplate {
    prefix: String,
    claim: Claim,
    suffix: String,
}

/// Claims that name one user for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The provider's own id of the user.
    Sub,
    /// The e-mail address, if the provider has verified it.
    Email,
}

impl IdentityTemplate {
    /// Reads a template; else what is expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "a beginning and {sub} or {email} once, e.g. google-{sub}; letters, \
                        digits and . _ - @ + | : besides, at most 64";
        let (prefix, rest) = text.split_once('{').ok_or(expected)?;
        let (claim, suffix) = rest.split_once('}').ok_or(expected)?;
        let claim = match claim {
            "sub" => Claim::Sub,
            "email" => Claim::Email,
            _ => return Err(expected),
        };
        let plain = |text: &str| text.bytes().all(is_plain);
        if prefix.is_empty() || text.len() > MAX_TEMPLATE || !plain(prefix) || !plain(suffix) {
            return Err(expected);
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            claim,
            suffix: suffix.to_owned(),
        })
    }

    /// What every identity of it begins with; never empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The claim that it takes.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// The identity of whom the claim names; `None` if it is empty or too long.
    pub fn identity(&self, claim: &str) -> Option<Identity> {
        if claim.is_empty() {
            return None;
        }
        let mut text = self.prefix.clone();
        for byte in claim.bytes() {
            if is_plain(byte) {
                text.push(char::from(byte));
            } else {
                text.push('%');
                text.push(char::from(HEX[usize::from(byte >> 4)]));
                text.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
        text.push_str(&self.suffix);
        Identity::parse(&text).ok()
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-@+|:".contains(&byte)
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";
pub(super) const MAX_TEMPLATE: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_template_has_a_beginning_and_one_claim() {
        for bad in [
            "{sub}",
            "a",
            "a-{name}",
            "a-{sub}{sub}",
            "a-{sub",
            "a/{sub}",
            "a%{sub}",
        ] {
            assert!(IdentityTemplate::parse(bad).is_err(), "{bad}");
        }
        let template = IdentityTemplate::parse("google-{sub}").expect("a template");
        let identity = template.identity("1 /%ä").expect("it fits");
        assert_eq!(identity.as_str(), "google-1%20%2F%25%C3%A4");
        assert_eq!(template.identity(""), None);
        assert_eq!(template.identity(&"x".repeat(300)), None);
    }

    proptest! {
        #[test]
        fn two_users_never_become_one(claims in proptest::collection::hash_set(".{1,8}", 2..20)) {
            let template = IdentityTemplate::parse("x-{sub}-y").expect("a template");
            let mut seen = HashMap::new();
            for claim in claims {
                let identity = template.identity(&claim).expect("it fits").to_string();
                prop_assert!(seen.insert(identity, claim).is_none());
            }
        }
    }
}
