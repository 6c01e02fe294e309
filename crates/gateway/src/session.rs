use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hexline_bus::{Link, Receiver as _};
use hexline_model::Monotonic;
use hexline_protocol::{CloseCode, ErrorCode, Incoming, Item, PONG, RawCall, Reply};
use hexline_services::keys::AppLimits;
use hexline_services::{Effect, Outcome};

use super::dispatch::{CallFailure, Services, dispatch};
use super::ending::{self, Ending};
use super::handler::{FrameHandler, Now};
use super::hub::Place;
use super::limits::Limits;
use super::log::LogLines;
use super::metrics::Metrics;
use super::outbox::{Outbox, Outgoing};
use super::rate::{CallLimits, CallRate, Patience};

/// A client's connection to the gateway.
pub struct ClientSession {
    // Dropped in this order: first out of the channels, then out of the hub.
    link: Box<dyn Link>,
    place: Place,
    context: Arc<ClientSessionContext>,
    rate: CallRate,
    patience: Patience,
    paused_until: Option<Monotonic>,
    heard: Monotonic,
    pinged: bool,
}

/// Where the response to a call goes.
enum Responses<'a> {
    /// Out.
    Single,
    /// To the others of its batch.
    Batch(&'a mut Vec<Bytes>),
}

/// What all sessions of a server have in common.
pub struct ClientSessionContext {
    /// Where calls go.
    pub services: Services,
    /// What a connection may use up.
    pub limits: Arc<Limits>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the log says of connections.
    pub log: Arc<LogLines>,
}

impl ClientSession {
    /// Begins the session of a connection that has its place and its link.
    pub fn new(
        place: Place,
        link: Box<dyn Link>,
        context: Arc<ClientSessionContext>,
        now: Now,
    ) -> Self {
        let rate = CallRate::new(now.monotonic, call_limits(&context.limits, place.limits()));
        let heard = now.monotonic;
        Self {
            link,
            place,
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
        let connection = &self.place.connection;
        tracing::debug!(
            app.id = %connection.standing.app,
            key.id = %connection.standing.key,
            route = %connection.address.route(),
            request.id = request.map(display),
            peer = self.context.log.peer(connection.peer.remote()).map(display),
            "connection opened"
        );
    }

    fn say(&self, message: Bytes) {
        // Refused only by an outbox that closes the connection anyway.
        let _ = self.outbox().push_answer(Outgoing::Text(message));
    }

    fn heard(&mut self, now: Now, calls: usize) {
        self.heard = now.monotonic;
        self.pinged = false;
        self.paused_until = self.rate.spend(calls, now.monotonic);
    }

    /// Carries out one object of a frame: its response, if it gets one, then what follows from it.
    fn answer(&mut self, item: &Item<'_>, responses: &mut Responses<'_>) {
        match item {
            Item::Response => {}
            Item::Invalid(id, why) => {
                let code = ErrorCode::InvalidRequest;
                self.context.metrics.rejected(code);
                let response = hexline_protocol::error(*id, code, why, &[]);
                responses.add(self.outbox(), response);
            }
            Item::Call(call) => self.call(call, responses),
        }
    }

    fn call(&mut self, call: &RawCall<'_>, responses: &mut Responses<'_>) {
        let Self {
            link,
            place,
            context,
            ..
        } = self;
        let connection = &place.connection;
        let caller = &connection.caller;
        let note = |method| context.metrics.called(method);
        match dispatch(&context.services, caller, link.as_mut(), call, note) {
            Ok(Outcome::Done { reply, effects }) => {
                if let Some(id) = call.id {
                    let response = hexline_protocol::result(id, &reply);
                    responses.add(&connection.outbox, response);
                }
                for effect in effects {
                    match effect {
                        Effect::Join(channel, presence) => {
                            link.join(&channel, presence);
                        }
                        Effect::Leave(channel) => {
                            link.leave(&channel);
                        }
                        Effect::Push(message) => {
                            connection.deliver(&message);
                        }
                    }
                }
            }
            Ok(Outcome::Join(join)) => {
                let mut reply = |visible| {
                    let joined = (join.reply)(join.presence, visible);
                    if let Some(id) = call.id {
                        let response = hexline_protocol::result(id, &Reply::of(&joined));
                        responses.add(&connection.outbox, response);
                    }
                };
                link.join_with(&join.channel, join.presence, &mut reply);
            }
            Err(CallFailure { code, message }) => {
                context.metrics.rejected(code);
                if call.id.is_none() {
                    let route = place.connection.address.route();
                    tracing::debug!(%route, reason = code.text(), "notification refused");
                }
                if call.id.is_some() {
                    let response = hexline_protocol::error(call.id, code, &message, &[]);
                    responses.add(&connection.outbox, response);
                }
            }
        }
    }
}

impl Responses<'_> {
    fn add(&mut self, outbox: &Outbox, response: Bytes) {
        match self {
            // Refused only by an outbox that closes the connection anyway.
            Self::Single => {
                let _ = outbox.push_answer(Outgoing::Text(response));
            }
            Self::Batch(responses) => responses.push(response),
        }
    }
}

impl FrameHandler for ClientSession {
    fn outbox(&self) -> &Outbox {
        &self.place.connection.outbox
    }

    fn handle_text(&mut self, now: Now, text: &str) {
        let mut calls = 1;
        match hexline_protocol::parse(text, self.context.limits.json_depth) {
            Incoming::Ping => self.say(Bytes::from_static(PONG.as_bytes())),
            Incoming::Single(item) => {
                self.answer(&item, &mut Responses::Single);
            }
            // What could never be paid for is not carried out first.
            Incoming::Batch(items) if items.len() > self.context.limits.batch() => {
                let limit = self.context.limits.batch();
                let why = format!(
                    "the batch has {} calls, at most {limit} are allowed",
                    items.len()
                );
                self.context.metrics.rejected(ErrorCode::TooLarge);
                self.say(hexline_protocol::error(
                    None,
                    ErrorCode::TooLarge,
                    &why,
                    &[],
                ));
            }
            Incoming::Batch(items) => {
                calls = items.len();
                let mut responses = Vec::with_capacity(items.len());
                for item in &items {
                    self.answer(item, &mut Responses::Batch(&mut responses));
                }
                if let Some(response) = hexline_protocol::batch(&responses) {
                    self.say(response);
                }
            }
            Incoming::Unreadable(code, why) => {
                self.context.metrics.rejected(code);
                self.say(hexline_protocol::error(None, code, why, &[]));
            }
        }
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
            .place
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
            if self.outbox().is_beyond() {
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
        if let Some(until) = self.place.connection.until() {
            // The calendar may be set: look again at the latest when the silence is due.
            let left = until.since(now.wall).max(Duration::from_millis(1));
            next = next.min(now.monotonic.plus(left));
        }
        next
    }

    fn paused_until(&self) -> Option<Monotonic> {
        self.paused_until
    }

    fn handle_resume(&mut self, now: Now, unread: usize) {
        // The last frame began the pause.
        let Some(until) = self.paused_until.take_if(|until| *until <= now.monotonic) else {
            return;
        };
        let (span, most) = (until.since(self.heard), self.context.limits.rate_patience);
        if self.patience.held(span, unread, most) {
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
        ending::log(&self.context.log, &self.place.connection, ending, now);
    }

    fn count_received(&self, bytes: usize) {
        self.place.connection.traffic.received(bytes);
        self.place.connection.app_traffic.received(bytes);
    }

    fn count_sent(&self, messages: usize, bytes: usize) {
        self.place.connection.traffic.sent(messages, bytes);
        self.place.connection.app_traffic.sent(messages, bytes);
    }
}

/// What a connection of an app may call. An app may be stricter with itself than the server is, never
/// looser, and then is so from the opening on.
fn call_limits(limits: &Limits, own: AppLimits) -> CallLimits {
    let own = own.messages_per_second.unwrap_or(u32::MAX);
    let per_second = limits.calls_per_second.min(own);
    let opening = u64::from(limits.opening_calls) * u64::from(per_second)
        / u64::from(limits.calls_per_second.max(1));
    CallLimits {
        per_second,
        burst: limits.call_burst.min(own.saturating_mul(2)),
        opening: u32::try_from(opening).unwrap_or(u32::MAX),
    }
}
