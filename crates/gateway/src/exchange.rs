use std::sync::Arc;

use hexline_protocol::ErrorCode;
use hexline_services::Failure;
use hexline_services::keys::Authorization;
use hexline_token::Rejection;

use super::connection::Connection;
use super::hub::{AdmissionError, Hub, Permit};

/// Why a connection cannot go on with another authorization; it stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// It is for somebody else.
    #[error("found a token of another app, identity or device, expected one of this connection's")]
    AnotherDevice,
    /// It would open no connection.
    #[error("found {}, expected {}", .0.found, .0.expected)]
    Grant(#[from] Rejection),
    /// Its key has no room for one more connection.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
}

impl Failure for ExchangeError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::AnotherDevice => ErrorCode::Forbidden,
            Self::Grant(rejection) => rejection.code(),
            Self::Admission(error) => error.code(),
        }
    }
}

impl Permit {
    /// Goes on with another token of the same device, from the next call on. Nothing else of the
    /// connection changes: it stays in its channels.
    ///
    /// What depends on the old token or its key has no hold of the connection any more. If the new
    /// one was revoked since it was verified, the connection is closed.
    pub(super) fn exchange(&mut self, new: Authorization) -> Result<(), ExchangeError> {
        let is_of_app = new.app == self.connection.app;
        let is_of_device = |subject| self.caller.is(subject);
        if !is_of_app || !new.subject.as_ref().is_some_and(is_of_device) {
            return Err(ExchangeError::AnotherDevice);
        }
        new.permissions.opens_socket()?;
        let permissions = Arc::clone(&new.permissions);
        self.hub.exchange(&self.connection, new)?;
        self.caller.permissions = permissions;
        Ok(())
    }
}

impl Hub {
    fn exchange(&self, connection: &Connection, new: Authorization) -> Result<(), AdmissionError> {
        // Held to the end: whoever looks for what depends on a key finds the counts and the
        // connection in agreement.
        let mut state = self.lock();
        {
            let authorized = connection.authorized();
            let old = &authorized.authorization;
            if old.key != new.key {
                state.check_key(new.key, &self.limits)?;
            }
            state.discount(old);
        }
        state.count(&new);
        connection.replace_authorization(new, |authorization| self.check_again(authorization));
        Ok(())
    }
}
