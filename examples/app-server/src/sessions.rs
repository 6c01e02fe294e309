use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Who is signed in, by the cookie that their browser sends.
#[derive(Default)]
pub(crate) struct Sessions {
    users: Mutex<HashMap<String, String>>,
}

impl Sessions {
    /// Signs a user in: the `Set-Cookie` to answer with.
    pub(crate) fn open(&self, user: &str) -> anyhow::Result<String> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        let id = BASE64_URL_SAFE_NO_PAD.encode(random);
        // No script reads it, and no other site's page makes a browser send it. Behind https: also
        // `Secure`.
        let cookie = format!("{NAME}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age=86400");
        self.lock().insert(id, user.to_owned());
        Ok(cookie)
    }

    /// Signs out whoever sends this cookie.
    pub(crate) fn close(&self, headers: &HeaderMap) -> String {
        if let Some(id) = cookie(headers) {
            self.lock().remove(id);
        }
        format!("{NAME}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")
    }

    /// Whose request it is.
    pub(crate) fn user(&self, headers: &HeaderMap) -> Option<String> {
        self.lock().get(cookie(headers)?).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get(COOKIE)?.to_str().ok()?;
    cookies
        .split(';')
        .find_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='))
}

const NAME: &str = "app_session";
