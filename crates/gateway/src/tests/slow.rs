//! A service whose calls last as long as a test wants, behind the seams that the server's own use.

use std::sync::Mutex;

use hexline_protocol::{ErrorCode, RawCall, Reply};
use hexline_services::{Effect, Outcome};
use tokio::sync::oneshot;

use super::recall::recalling;
use super::*;
use crate::dispatch::{CallFailure, Dispatch, Origin, Step};
use crate::spawn::{Spawn, Task};

/// `slow.NAME` lasts until the test ends it; `quick.NAME` is done at once; `recall.all` joins a channel
/// whose past is fetched.
#[derive(Default)]
pub(super) struct SlowService {
    open: Mutex<Vec<(String, oneshot::Sender<Ended>)>>,
    begun: Mutex<Vec<String>>,
    written: Mutex<Vec<String>>,
}

/// Services of the server, and the slow one.
pub(super) struct WithSlow(pub(super) Services, pub(super) Arc<SlowService>);

/// Runs tasks when it is told to.
#[derive(Default)]
pub(super) struct HandDriven(Mutex<Vec<Task>>);

pub(super) type Ended = Result<Outcome<Reply>, CallFailure>;

impl SlowService {
    /// Ends a call that is under way.
    pub(super) fn end(&self, name: &str, ended: Ended) {
        let mut open = self.open.lock().expect("no panic here");
        let at = open.iter().position(|(open, _)| open == name);
        let (_, sender) = open.remove(at.expect("such a call is under way"));
        drop(open);
        assert!(sender.send(ended).is_ok(), "its task runs");
    }

    /// The calls that have begun, in order.
    pub(super) fn begun(&self) -> Vec<String> {
        self.begun.lock().expect("no panic here").clone()
    }

    /// The calls that have done their work.
    pub(super) fn written(&self) -> Vec<String> {
        self.written.lock().expect("no panic here").clone()
    }
}

impl Dispatch for WithSlow {
    fn dispatch(
        &self,
        origin: Origin<'_>,
        call: &RawCall<'_>,
        note: &dyn Fn(&'static str),
    ) -> Result<Step, CallFailure> {
        let Self(services, slow) = self;
        let begin = |name: &str| {
            let mut begun = slow.begun.lock().expect("no panic here");
            begun.push(name.to_owned());
        };
        if let Some(name) = call.method.strip_prefix("quick.") {
            begin(name);
            return Ok(Step::Done(done(name)));
        }
        if call.method == "recall.all" {
            return Ok(Step::Done(recalling()));
        }
        let Some(name) = call.method.strip_prefix("slow.") else {
            return services.dispatch(origin, call, note);
        };
        begin(name);
        let (sender, ended) = oneshot::channel();
        let mut open = slow.open.lock().expect("no panic here");
        open.push((name.to_owned(), sender));
        let (slow, name) = (Arc::clone(slow), name.to_owned());
        Ok(Step::Later(Box::pin(async move {
            let ended = ended.await.expect("the test ends it");
            slow.written.lock().expect("no panic here").push(name);
            ended
        })))
    }
}

impl Spawn for HandDriven {
    fn spawn(&self, task: Task) {
        self.0.lock().expect("no panic here").push(task);
    }
}

impl HandDriven {
    /// Lets every task run as far as it gets.
    pub(super) fn run(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut tasks = self.0.lock().expect("no panic here");
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
    }

    /// Cuts off what has not come to its end.
    pub(super) fn abort(&self) {
        self.0.lock().expect("no panic here").clear();
    }
}

impl Rig {
    /// Lets the tasks run, and then the session as its socket does.
    pub(super) fn go_on(&self, session: &mut ClientSession) {
        self.tasks.run();
        let mut cx = Context::from_waker(Waker::noop());
        while session.poll_calls(&mut cx).is_ready() {}
    }

    /// Ends a slow call, and lets what waited for it go on.
    pub(super) fn end(&self, session: &mut ClientSession, name: &str, ended: Ended) {
        self.slow.end(name, ended);
        self.go_on(session);
    }

    /// Takes a message in as it comes from the socket.
    pub(super) fn say(&self, session: &mut ClientSession, text: &str) {
        session.handle_text(self.now(), text);
        self.go_on(session);
    }
}

/// What a call came to that did nothing but its work.
pub(super) fn done(name: &str) -> Outcome<Reply> {
    Outcome::reply(Reply::of(&name))
}

/// The same, and something for its connection.
pub(super) fn done_and(name: &str, effects: impl IntoIterator<Item = Effect>) -> Outcome<Reply> {
    let mut outcome = done(name);
    if let Outcome::Done { effects: after, .. } = &mut outcome {
        effects.into_iter().for_each(|effect| after.push(effect));
    }
    outcome
}

pub(super) fn failed() -> CallFailure {
    CallFailure {
        code: ErrorCode::Unavailable,
        message: "not now".to_owned(),
    }
}

/// A call as a client makes it, whose answer is wanted.
pub(super) fn call(id: usize, method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#)
}

/// A call whose answer is not wanted.
pub(super) fn notification(method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#)
}

/// The answer to [`call`] with [`done`].
pub(super) fn answer(id: usize, name: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"{name}"}}"#)
}

/// Joins a channel, and is announced.
pub(super) fn join(id: usize, channel: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"signal.join","params":{{"id":"{channel}","presence":true}}}}"#
    )
}

/// Publishes without wanting an answer.
pub(super) fn publish(channel: &str, n: usize) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"signal.publish","params":{{"id":"{channel}","n":{n}}}}}"#
    )
}

/// What a session has for its client: of pushes only the method.
pub(super) fn heard(session: &ClientSession) -> Vec<String> {
    let shorten = |text: String| {
        let push = text.split_once(r#""method":""#);
        let method = push.and_then(|(_, rest)| rest.split_once('"'));
        method.map_or(text.clone(), |(method, _)| method.to_owned())
    };
    outgoing(session).0.into_iter().map(shorten).collect()
}
