use std::mem;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hexline_fanout::Receiver;
use hexline_model::{Address, AppId, KeyId, Timestamp};
use hexline_protocol::CloseCode;
use hexline_services::keys::{Authorization, Revoked};
use hexline_token::Reason;

use super::metrics::Metrics;
use super::outbox::{Outbox, Outgoing};
use super::peer::Peer;
use super::traffic::Traffic;

/// One live connection, as others see it.
pub struct Connection {
    /// Whose it is.
    pub(crate) app: AppId,
    /// Where it is.
    pub(crate) address: Address,
    pub(crate) outbox: Outbox,
    pub(crate) peer: Peer,
    pub(crate) since: Timestamp,
    /// What it has said and heard.
    pub(crate) traffic: Traffic,
    /// The same of all connections of its app.
    pub(crate) app_traffic: Arc<Traffic>,
    /// How many channels it is a member of.
    channels: AtomicU32,
    authorized: Mutex<Authorized>,
    metrics: Arc<Metrics>,
}

/// What a connection may, and for how long.
pub(crate) struct Authorized {
    pub(crate) authorization: Authorization,
    /// When the token or its key ends; `None` if never.
    pub(crate) until: Option<Timestamp>,
}

impl Connection {
    pub(crate) fn new(
        address: Address,
        outbox: Outbox,
        authorization: Authorization,
        (peer, since): (Peer, Timestamp),
        app_traffic: Arc<Traffic>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            app: authorization.app,
            address,
            outbox,
            peer,
            since,
            traffic: Traffic::default(),
            app_traffic,
            channels: AtomicU32::default(),
            authorized: Mutex::new(Authorized {
                authorization,
                until: None,
            }),
            metrics,
        }
    }

    /// Checks whether the connection may go on, and acts on it: a new end of its time is kept; what
    /// is revoked closes it.
    ///
    /// Checking and keeping are one step. Of two checks at once the second begins when the first is
    /// done, so what stays is never older than what was seen last.
    pub(crate) fn reauthorize(&self, check: impl FnOnce(&Authorization) -> Reauthorized) {
        let authorized = self.lock();
        self.keep(authorized, check);
    }

    /// Goes on with another authorization, and checks it in the same step.
    ///
    /// A check that waits for this one sees the new authorization; one that came before has seen the
    /// old. So whoever changes a key first and has connections checked then misses neither.
    pub(super) fn replace_authorization(
        &self,
        new: Authorization,
        check: impl FnOnce(&Authorization) -> Reauthorized,
    ) {
        let mut authorized = self.lock();
        let old = mem::replace(&mut authorized.authorization, new);
        self.keep(authorized, check);
        drop(old);
    }

    /// What it may, and for how long. It cannot change while the answer is held.
    pub(crate) fn authorized(&self) -> impl Deref<Target = Authorized> + '_ {
        self.lock()
    }

    /// Whether it ends with this key.
    pub(crate) fn depends_on_key(&self, key: KeyId) -> bool {
        self.lock().authorization.depends_on_key(key)
    }

    /// When its token or key says that it ends; `None` if never. After that a token is still good for
    /// the difference that clocks may have.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        let authorized = self.lock();
        let ends = [authorized.authorization.expires, authorized.until];
        ends.into_iter().flatten().min()
    }

    /// When its token or key ends; `None` if never.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.lock().until
    }

    /// Queues what its client has asked for.
    pub(crate) fn answer(&self, message: Bytes) {
        // Refused only by an outbox that closes the connection anyway.
        let _ = self.outbox.push_answer(Outgoing::Text(message));
    }

    /// How many channels it is a member of.
    pub(crate) fn channels(&self) -> u32 {
        self.channels.load(Ordering::Relaxed)
    }

    fn keep(
        &self,
        mut authorized: MutexGuard<'_, Authorized>,
        check: impl FnOnce(&Authorization) -> Reauthorized,
    ) {
        match check(&authorized.authorization) {
            Ok(until) if authorized.until == until => {}
            Ok(until) => {
                authorized.until = until;
                drop(authorized);
                self.outbox.nudge();
            }
            Err(revoked) => {
                drop(authorized);
                self.outbox.close(close_code(&revoked));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Authorized> {
        self.authorized
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver for Connection {
    fn address(&self) -> &Address {
        &self.address
    }

    fn deliver(&self, message: &Bytes) -> bool {
        let taken = self.outbox.push(Outgoing::Text(message.clone()));
        if taken {
            self.metrics.deliveries.inc();
        }
        taken
    }

    fn answer(&self, reply: &Bytes) -> bool {
        self.outbox.push_answer(Outgoing::Text(reply.clone()))
    }

    fn member_of(&self, channels: usize) {
        let channels = u32::try_from(channels).unwrap_or(u32::MAX);
        self.channels.store(channels, Ordering::Relaxed);
    }
}

/// When an authorization ends by itself, if it does, or that it does not hold any more.
pub(super) type Reauthorized = Result<Option<Timestamp>, Revoked>;

/// What it means for a connection that is open already.
fn close_code(revoked: &Revoked) -> CloseCode {
    match revoked {
        Revoked::Held { .. } | Revoked::AppDisabled => CloseCode::Forbidden,
        Revoked::Token(rejection) => match rejection.reason {
            Reason::TokenExpired | Reason::KeyExpired => CloseCode::TokenExpired,
            Reason::TokenRevoked | Reason::KeyRevoked | Reason::KeyUnknown => CloseCode::Revoked,
            _ => CloseCode::Forbidden,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use hexline_model::{KeyId, Route, SeededEntropy, Subject};
    use hexline_token::{Grants, Permissions, Rejection};

    use super::*;

    fn connection() -> Connection {
        let entropy = SeededEntropy::new(1);
        let subject = Subject::parse("a/d").expect("well formed");
        let address = Address::new(&subject, Route::generate(&entropy));
        let app = AppId::generate(&entropy);
        let permissions = Arc::new(Permissions::new(Grants::all(), None));
        let authorization = Authorization {
            app,
            key: KeyId::generate(&entropy),
            jwk: None,
            subject: Some(subject),
            token_id: None,
            sources: Box::default(),
            issued: Timestamp::from_secs(0),
            expires: None,
            permissions,
        };
        let metrics = Arc::new(Metrics::default());
        let outbox = Outbox::new(1000, Arc::clone(&metrics.outbox_bytes));
        let peer = Peer::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let from = (peer, Timestamp::from_secs(0));
        Connection::new(
            address,
            outbox,
            authorization,
            from,
            Arc::default(),
            metrics,
        )
    }

    #[test]
    fn nobody_keeps_what_another_has_seen_to_be_old() {
        let connection = connection();
        let at = |secs| Ok(Some(Timestamp::from_secs(secs)));
        std::thread::scope(|scope| {
            connection.reauthorize(|_| {
                assert!(connection.authorized.try_lock().is_err(), "others wait");
                scope.spawn(|| connection.reauthorize(|_| at(2)));
                at(1)
            });
        });
        assert_eq!(connection.until(), Some(Timestamp::from_secs(2)));
        connection.reauthorize(|_| Ok(None));
        assert_eq!(connection.until(), None);
    }

    #[test]
    fn each_way_to_be_revoked_has_its_close_code() {
        let token = |reason| Revoked::Token(Rejection::new(reason, "", ""));
        for (revoked, code) in [
            (Revoked::AppDisabled, CloseCode::Forbidden),
            (
                Revoked::Held {
                    until: Timestamp::from_secs(9),
                },
                CloseCode::Forbidden,
            ),
            (token(Reason::TokenRevoked), CloseCode::Revoked),
            (token(Reason::KeyRevoked), CloseCode::Revoked),
            (token(Reason::KeyUnknown), CloseCode::Revoked),
            (token(Reason::TokenExpired), CloseCode::TokenExpired),
            (token(Reason::KeyExpired), CloseCode::TokenExpired),
        ] {
            let connection = connection();
            connection.reauthorize(|_| Err(revoked));
            assert_eq!(connection.outbox.closing(), Some(code));
        }
    }
}
