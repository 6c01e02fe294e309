use std::task::{Context, Poll};

use bytes::Bytes;
use hexline_fanout::{Joining, Link, Recall};
use hexline_protocol::{ErrorCode, Id, Incoming, Item, PONG, RawCall, Reply};
use hexline_services::signal::Outlet;
use hexline_services::{Caller, Effect, Join, Outcome};
use tokio::sync::oneshot;

use super::connection::Connection;
use super::dispatch::{CallFailure, Origin, Step};
use super::in_flight::{CallsInFlight, Finished, Frame, RunningCall, Waiting};
use super::responses::Responses;
use super::session::ClientSessionContext;

/// The calls of one connection: each is carried out when those before it were answered.
///
/// A call that is done at once is answered at once. One that takes its time runs as a task of the
/// server, and what arrives meanwhile waits here, in order. Of each call the response is queued first,
/// and then what follows from it happens to the connection.
pub(super) struct Calls {
    link: Link,
    /// `None` while nothing takes its time: an idle connection pays a pointer.
    in_flight: Option<Box<CallsInFlight>>,
}

/// Whose calls they are, and what all connections share.
#[derive(Clone, Copy)]
pub(super) struct CallContext<'a> {
    /// As whom they are made, and what that may: as it is when a call begins.
    pub(super) caller: &'a Caller,
    pub(super) connection: &'a Connection,
    pub(super) shared: &'a ClientSessionContext,
}

impl Calls {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            in_flight: None,
        }
    }

    /// Takes a frame of so many bytes in. Returns how many calls it counts as.
    pub(super) fn take(
        &mut self,
        context: CallContext<'_>,
        frame: Incoming<'_>,
        bytes: usize,
    ) -> usize {
        match frame {
            // Overtakes what waits: it asks whether somebody is there.
            Incoming::Ping => {
                let pong = Bytes::from_static(PONG.as_bytes());
                context.connection.answer(pong);
                1
            }
            Incoming::Single(item) => {
                self.take_calls(context, &[item], Responses::Single, bytes);
                1
            }
            // What could never be paid for is not carried out first.
            Incoming::Batch(items) if items.len() > context.shared.limits.batch() => {
                let (count, limit) = (items.len(), context.shared.limits.batch());
                let why = format!("the batch has {count} calls, at most {limit} are allowed");
                self.take_refused(context, ErrorCode::TooLarge, &why, bytes);
                1
            }
            Incoming::Batch(items) => {
                let responses = Responses::Batch(Vec::with_capacity(items.len()));
                self.take_calls(context, &items, responses, bytes);
                items.len()
            }
            Incoming::Unreadable(code, why) => {
                self.take_refused(context, code, why, bytes);
                1
            }
        }
    }

    /// Goes on with the calls that take their time, as far as possible. Ready if anything was done:
    /// ask again.
    pub(super) fn poll(&mut self, context: CallContext<'_>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut flight) = self.in_flight.take() else {
            return Poll::Pending;
        };
        let mut progress = Poll::Pending;
        while context.connection.outbox.has_room_for_answers() {
            if let Some(running) = &mut flight.running {
                let Poll::Ready(finished) = running.poll(cx) else {
                    break;
                };
                let (id, responses) = (running.id(), &mut flight.frame.responses);
                flight.running = match finished {
                    Finished::Call(Ok(outcome)) => self.carry_out(context, id, outcome, responses),
                    Finished::Call(Err(failure)) => {
                        context.fail(id, &failure, responses);
                        None
                    }
                    Finished::Join(response) => {
                        responses.add_all(response);
                        None
                    }
                };
            } else if let Some(waiting) = flight.frame.rest.pop_front() {
                let responses = &mut flight.frame.responses;
                match waiting {
                    Waiting::Call(call) => {
                        flight.running = self.begin(context, &call.as_call(), responses);
                    }
                    Waiting::Response(response) => responses.add(context.connection, response),
                }
            } else if !flight.next_frame(context.connection) {
                context.connection.outbox.owe_answers(false);
                return Poll::Ready(());
            }
            progress = Poll::Ready(());
        }
        self.in_flight = Some(flight);
        progress
    }

    /// Whether so much is in flight that nothing more may be taken in.
    pub(super) fn are_full(&self) -> bool {
        self.in_flight
            .as_ref()
            .is_some_and(|flight| flight.is_full())
    }

    fn take_calls(
        &mut self,
        context: CallContext<'_>,
        items: &[Item<'_>],
        mut responses: Responses,
        bytes: usize,
    ) {
        let calls = items.len();
        let mut rest = items.iter();
        if let Some(flight) = &mut self.in_flight {
            let rest = rest.filter_map(|item| context.keep(item)).collect();
            flight.wait(Frame::new(rest, responses, calls, bytes));
            return;
        }
        responses.begin(context.connection);
        let running = rest.find_map(|item| match item {
            Item::Call(call) => self.begin(context, call, &mut responses),
            Item::Invalid(id, why) => {
                let response = context.refuse(*id, ErrorCode::InvalidRequest, why);
                responses.add(context.connection, response);
                None
            }
            Item::Response => None,
        });
        let Some(running) = running else {
            responses.finish(context.connection);
            return;
        };
        let rest = rest.filter_map(|item| context.keep(item)).collect();
        let frame = Frame::new(rest, responses, calls, bytes);
        self.in_flight = Some(Box::new(CallsInFlight::new(running, frame)));
        context.connection.outbox.owe_answers(true);
    }

    /// Takes in what is no call, and is answered in its turn all the same.
    fn take_refused(&mut self, context: CallContext<'_>, code: ErrorCode, why: &str, bytes: usize) {
        let response = context.refuse(None, code, why);
        match &mut self.in_flight {
            None => context.connection.answer(response),
            Some(flight) => {
                let rest = [Waiting::Response(response)].into();
                flight.wait(Frame::new(rest, Responses::Single, 1, bytes));
            }
        }
    }

    /// Carries a call out, or begins to.
    fn begin(
        &mut self,
        context: CallContext<'_>,
        call: &RawCall<'_>,
        responses: &mut Responses,
    ) -> Option<RunningCall> {
        let CallContext {
            caller,
            connection,
            shared,
        } = context;
        let note = |method| shared.metrics.called(method);
        let origin = Origin {
            caller,
            outlet: Outlet::Connection(&mut self.link),
            expires: &|| connection.expires(),
        };
        let result = shared.dispatcher.dispatch(origin, call, &note);
        match result {
            Ok(Step::Done(outcome)) => self.carry_out(context, call.id, outcome, responses),
            Ok(Step::Later(future)) => {
                Some(RunningCall::spawn(shared.spawn.as_ref(), call.id, future))
            }
            Err(failure) => {
                context.fail(call.id, &failure, responses);
                None
            }
        }
    }

    /// Queues the reply; then what follows from it happens. A join may have to fetch what it missed
    /// first.
    fn carry_out(
        &mut self,
        context: CallContext<'_>,
        id: Option<Id<'_>>,
        outcome: Outcome<Reply>,
        responses: &mut Responses,
    ) -> Option<RunningCall> {
        match outcome {
            Outcome::Done { reply, effects } => {
                if let Some(id) = id {
                    let response = hexline_protocol::result(id, &reply);
                    responses.add(context.connection, response);
                }
                for effect in effects {
                    self.apply(effect);
                }
                None
            }
            Outcome::Join(join) => {
                if let Some(recall) = join.recall {
                    return self.join_recalling(context, id, &join, recall, responses);
                }
                self.link.join(&join.channel, join.presence, |joined| {
                    let id = id?;
                    let reply = (join.reply)(join.presence, joined);
                    responses.keep(hexline_protocol::result(id, &reply))
                });
                None
            }
        }
    }

    /// Joins, and asks for the past. The holder of the replay makes the response and queues it;
    /// that of a batch comes here.
    fn join_recalling(
        &mut self,
        context: CallContext<'_>,
        id: Option<Id<'_>>,
        join: &Join,
        recall: Recall,
        responses: &mut Responses,
    ) -> Option<RunningCall> {
        let (sender, mut response) = oneshot::channel();
        let (is_batch, id) = (responses.are_batch(), id.map(Id::to_owned));
        let (presence, reply) = (join.presence, join.reply);
        let reply = move |joined| {
            let reply = reply(presence, joined);
            let response = hexline_protocol::result(id.as_ref()?.as_id(), &reply);
            if !is_batch {
                return Some(response);
            }
            // Nobody waits for it if the connection has gone.
            let _ = sender.send(response);
            None
        };
        let link = &mut self.link;
        match link.join_recalling(&join.channel, presence, recall, reply) {
            Joining::Done => {
                responses.add_all(response.try_recv().ok());
                None
            }
            Joining::Later(fetch) => {
                let spawn = context.shared.spawn.as_ref();
                let clock = &context.shared.clock;
                Some(RunningCall::fetch(spawn, clock, fetch, response))
            }
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Join(channel, presence) => {
                self.link.join(&channel, presence, |_| None);
            }
            Effect::Leave(channel) => {
                self.link.leave(&channel);
            }
            Effect::Push(message) => {
                self.link.push(&message);
            }
        }
    }
}

impl CallContext<'_> {
    /// The response to a failed call; a notification gets none.
    fn fail(self, id: Option<Id<'_>>, failure: &CallFailure, responses: &mut Responses) {
        let CallFailure { code, message } = failure;
        if let Some(id) = id {
            responses.add(self.connection, self.refuse(Some(id), *code, message));
        } else {
            self.shared.metrics.rejected(*code);
            let route = self.connection.address.route();
            tracing::debug!(%route, reason = code.text(), "notification refused");
        }
    }

    fn refuse(self, id: Option<Id<'_>>, code: ErrorCode, why: &str) -> Bytes {
        self.shared.metrics.rejected(code);
        hexline_protocol::error(id, code, why, &[])
    }

    /// What waits of an object of a frame.
    fn keep(self, item: &Item<'_>) -> Option<Waiting> {
        match item {
            Item::Call(call) => Some(Waiting::Call(call.to_owned())),
            Item::Invalid(id, why) => {
                let response = self.refuse(*id, ErrorCode::InvalidRequest, why);
                Some(Waiting::Response(response))
            }
            Item::Response => None,
        }
    }
}
