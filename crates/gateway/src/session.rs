use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hexline_model::{Clock, Monotonic};
use hexline_protocol::CloseCode;
use hexline_services::apps::AppLimits;
use hexline_services::keys::Authorization;

use super::calls::{CallContext, Calls};
use super::dispatch::Dispatch;
use super::ending::{self, Ending};
use super::exchange::ExchangeError;
use super::handler::{FrameHandler, Now};
use super::hub::{Admission, Permit};
use super::limits::Limits;
use super::log::LogLines;
use super::metrics::Metrics;
use super::outbox::Outbox;
use super::rate::{CallLimits, CallRate, Patience};
use super::spawn::Spawn;

/// A client's connection to the gateway.
pub struct ClientSession {
    // Dropped in this order: out of the channels and of fan-out, then out of the counts.
    calls: Calls,
    permit: Permit,
    context: Arc<ClientSessionContext>,
    rate: CallRate,
    patience: Patience,
    paused_until: Option<Monotonic>,
    heard: Monotonic,
    pinged: bool,
}

/// What all sessions of a server have in common.
pub struct ClientSessionContext {
    /// Where calls go.
    pub dispatcher: Box<dyn Dispatch>,
    /// Runs the calls that take their time.
    pub spawn: Arc<dyn Spawn>,
    /// What calls that take their time are held to.
    pub clock: Arc<dyn Clock>,
    /// What a connection may use up.
    pub limits: Arc<Limits>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the log says of connections.
    pub log: Arc<LogLines>,
}

impl ClientSession {
    /// Begins the session of a connection that was let in.
    pub fn new(admission: Admission, context: Arc<ClientSessionContext>, now: Now) -> Self {
        let Admission { link, permit } = admission;
        let rate = CallRate::new(now.monotonic, call_limits(&context.limits, permit.limits()));
        let heard = now.monotonic;
        Self {
            calls: Calls::new(link),
            permit,
            context,
            rate,
            patience: Patience::new(),
            paused_until: None,
            heard,
            pinged: false,
        }
    }

    /// Logs that the connection was opened by a request.
    pub fn log_opening(&self, request: Option<&dyn fmt::Display>) {
        let connection = &self.permit.connection;
        tracing::debug!(
            app.id = %connection.app,
            key.id = %connection.authorized().authorization.key,
            route = %connection.address.route(),
            request.id = request.map(display),
            peer = self.context.log.peer(connection.peer.remote()).map(display),
            "connection opened"
        );
    }

    /// Goes on with another token of the same device.
    pub fn exchange(&mut self, new: Authorization) -> Result<(), ExchangeError> {
        self.permit.exchange(new)?;
        let connection = &self.permit.connection;
        tracing::debug!(
            app.id = %connection.app,
            key.id = %connection.authorized().authorization.key,
            route = %connection.address.route(),
            "authorization exchanged"
        );
        Ok(())
    }

    fn heard(&mut self, now: Now, calls: usize) {
        self.heard = now.monotonic;
        self.pinged = false;
        self.paused_until = self.rate.spend(calls, now.monotonic);
    }
}

impl FrameHandler for ClientSession {
    fn outbox(&self) -> &Outbox {
        &self.permit.connection.outbox
    }

    fn handle_text(&mut self, now: Now, text: &str) {
        let frame = hexline_protocol::parse(text, self.context.limits.json_depth);
        let context = CallContext {
            caller: &self.permit.caller,
            connection: &self.permit.connection,
            shared: &self.context,
        };
        let calls = self.calls.take(context, frame, text.len());
        self.heard(now, calls);
    }

    fn handle_binary(&mut self, _now: Now, _bytes: Bytes) {
        self.outbox().close_after_queue(CloseCode::Unsupported);
    }

    fn handle_control(&mut self, now: Now) {
        self.heard(now, 1);
    }

    fn handle_timeout(&mut self, now: Now) -> bool {
        if self
            .permit
            .connection
            .until()
            .is_some_and(|until| until <= now.wall)
        {
            self.outbox().close_after_queue(CloseCode::TokenExpired);
            return false;
        }
        let limits = &self.context.limits;
        let silence = now.monotonic.since(self.heard);
        // While it is not read, its silence is ours.
        if silence >= limits.idle_close && self.paused_until.is_none() {
            if self.outbox().is_beyond() || self.calls.are_full() {
                self.heard = now.monotonic;
                self.pinged = false;
            } else {
                self.outbox().close_after_queue(CloseCode::Idle);
            }
            return false;
        }
        let ping = silence >= limits.ping_after && !self.pinged;
        self.pinged |= ping;
        ping
    }

    fn poll_timeout(&self, now: Now) -> Monotonic {
        let limits = &self.context.limits;
        let mut next = match (self.paused_until, self.pinged) {
            // Nothing is due for its silence until it is read again.
            (Some(until), true) => until,
            (None, true) => self.heard.plus(limits.idle_close),
            (Some(until), false) => until.min(self.heard.plus(limits.ping_after)),
            (None, false) => self.heard.plus(limits.ping_after),
        };
        if let Some(until) = self.permit.connection.until() {
            // The calendar may be set: look again at the latest when the silence is due.
            let left = until.since(now.wall).max(Duration::from_millis(1));
            next = next.min(now.monotonic.plus(left));
        }
        next
    }

    fn paused_until(&self) -> Option<Monotonic> {
        self.paused_until
    }

    fn poll_calls(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let context = CallContext {
            caller: &self.permit.caller,
            connection: &self.permit.connection,
            shared: &self.context,
        };
        self.calls.poll(context, cx)
    }

    fn is_full(&self) -> bool {
        self.calls.are_full()
    }

    fn handle_resume(&mut self, now: Now, unread: usize) {
        // The last frame began the pause.
        let Some(until) = self.paused_until.take_if(|until| *until <= now.monotonic) else {
            return;
        };
        let (span, most) = (until.since(self.heard), self.context.limits.rate_patience);
        // Nor was it the rate that held it back.
        if !self.calls.are_full() && self.patience.held(span, unread, most) {
            self.outbox().close_after_queue(CloseCode::RateLimited);
        }
        // While it was not read, its silence was ours.
        self.heard = now.monotonic;
    }

    fn handle_unblocked(&mut self, now: Now) {
        // As after a pause. A ping that waited behind the answer has only now gone out.
        self.heard = now.monotonic;
        self.pinged = false;
    }

    fn ended(&self, ending: Ending, now: Now) {
        ending::log(&self.context.log, &self.permit.connection, ending, now);
    }

    fn count_received(&self, bytes: usize) {
        self.permit.connection.traffic.received(bytes);
        self.permit.connection.app_traffic.received(bytes);
    }

    fn count_sent(&self, messages: usize, bytes: usize) {
        self.permit.connection.traffic.sent(messages, bytes);
        self.permit.connection.app_traffic.sent(messages, bytes);
    }
}

/// What a connection of an app may call. An app may be stricter with itself than the server is, never
/// looser, and then is so from the opening on.
fn call_limits(limits: &Limits, app_limits: AppLimits) -> CallLimits {
    let per_second = app_limits.calls_per_second(limits.calls_per_second);
    let opening = u64::from(limits.opening_calls) * u64::from(per_second)
        / u64::from(limits.calls_per_second.max(1));
    CallLimits {
        per_second,
        burst: app_limits.call_burst(limits.call_burst),
        opening: u32::try_from(opening).unwrap_or(u32::MAX),
    }
}
