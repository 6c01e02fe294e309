use std::collections::HashMap;

use anyhow::anyhow;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

/// The app's user table: names, and what is left of their passwords.
pub(crate) struct Users {
    by_name: HashMap<String, User>,
    /// What the password of somebody who is not there is checked against, so that it takes as long.
    nobody: String,
}

/// A row of it.
struct User {
    display_name: String,
    password_hash: String,
}

impl Users {
    /// Three users, as a database would hold them.
    pub(crate) fn sample() -> anyhow::Result<Self> {
        let mut users = Self {
            by_name: HashMap::new(),
            nobody: hash("nobody has this password")?,
        };
        for (name, display_name, password) in [
            ("alice", "Alice", "alice's password"),
            ("bob", "Bob", "bob's password"),
            ("carol", "Carol", "carol's password"),
        ] {
            let user = User {
                display_name: display_name.to_owned(),
                password_hash: hash(password)?,
            };
            users.by_name.insert(name.to_owned(), user);
        }
        Ok(users)
    }

    /// Whether that is the user's password. Slow on purpose: call it where blocking is allowed.
    pub(crate) fn verify(&self, name: &str, password: &str) -> bool {
        let user = self.by_name.get(name);
        let stored = user.map_or(&self.nobody, |user| &user.password_hash);
        let fits = PasswordHash::new(stored).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        });
        fits && user.is_some()
    }

    /// What others call the user.
    pub(crate) fn display_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.by_name
            .get(name)
            .map_or(name, |user| &user.display_name)
    }
}

fn hash(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash
        .map_err(|error| anyhow!("cannot hash: {error}"))?
        .to_string())
}
