//! The two tasks behind a [`Client`](crate::Client): one reads the socket, one writes it.
//!
//! Apart, so that a server that does not read keeps nobody from hearing it. The reader alone ends
//! a connection: it fails what waits for an answer and sends the last event.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use hexline_protocol::{CloseCode, PING, PONG};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::error::{CallError, printable};
use crate::event::{Closed, Event, EventSender, Push};

/// What the writer is told.
pub(crate) enum Outgoing {
    Text(String),
    Close,
}

/// The calls that wait for an answer.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<WaitingState>);

#[derive(Default)]
struct WaitingState {
    ended: bool,
    calls: HashMap<u64, oneshot::Sender<Answer>>,
}

pub(crate) type Answer = Result<Box<RawValue>, CallError>;

impl Waiting {
    /// Notes a call; `None` if the connection has ended.
    pub(crate) fn add(&self, id: u64) -> Option<oneshot::Receiver<Answer>> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        state.calls.insert(id, answer);
        Some(answered)
    }

    /// Forgets a call that nobody waits for any more.
    pub(crate) fn remove(&self, id: u64) {
        self.lock().calls.remove(&id);
    }

    fn answer(&self, id: u64, answer: Answer) {
        let waiting = self.lock().calls.remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }

    /// Fails all that wait, and all that come later.
    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.calls.clear();
    }

    fn lock(&self) -> MutexGuard<'_, WaitingState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the writer has ended.
enum WriterEnd {
    /// It sent a close frame, which the server answers with its own.
    Closing,
    /// It could not write.
    Failed(String),
}

/// What a connection is made of, and its settings.
pub(crate) struct Connection<S> {
    pub(crate) socket: WebSocketStream<S>,
    pub(crate) outgoing: mpsc::Receiver<Outgoing>,
    pub(crate) events: EventSender,
    pub(crate) waiting: std::sync::Arc<Waiting>,
    pub(crate) ended: watch::Sender<Option<Closed>>,
    pub(crate) ping_every: Option<Duration>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<S> {
    /// Runs both tasks until the connection ends.
    pub(crate) fn spawn(self) {
        let (sink, stream) = self.socket.split();
        let (writer_end, writer_ended) = oneshot::channel();
        let writer = tokio::spawn(write(sink, self.outgoing, self.ping_every, writer_end));
        tokio::spawn(async move {
            let silence = self.ping_every.map(|every| every * PINGS_WITHOUT_A_SOUND);
            let mut reader = Reader {
                stream,
                events: &self.events,
                waiting: &self.waiting,
                silence,
            };
            let closed = reader.run(writer_ended).await;
            writer.abort();
            self.waiting.end();
            self.events.last(Event::Closed(closed.clone()));
            self.ended.send_replace(Some(closed));
            // Lets the library answer a close frame, and the server be the one who hangs up.
            let _ = timeout(LINGER, reader.stream.next()).await;
        });
    }
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    ping_every: Option<Duration>,
    end: oneshot::Sender<WriterEnd>,
) {
    let every = ping_every.unwrap_or(FOREVER);
    let mut ping = interval_at(Instant::now() + every, every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        let mut next = tokio::select! {
            next = outgoing.recv() => next.unwrap_or(Outgoing::Close),
            _ = ping.tick() => Outgoing::Text(PING.to_owned()),
        };
        // Everything that is ready goes out in as few writes as possible.
        let batch = async {
            loop {
                match next {
                    Outgoing::Text(text) => sink.feed(Message::text(text)).await?,
                    Outgoing::Close => {
                        let code = CloseCode::Normal;
                        let frame = CloseFrame {
                            code: code.number().into(),
                            reason: Utf8Bytes::from_static(code.reason()),
                        };
                        sink.send(Message::Close(Some(frame))).await?;
                        return Ok(true);
                    }
                }
                match outgoing.try_recv() {
                    Ok(more) => next = more,
                    Err(_) => break,
                }
            }
            sink.flush().await?;
            Ok::<_, Error>(false)
        };
        match timeout(WRITE_STALL, batch).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => break WriterEnd::Closing,
            Ok(Err(error)) => break WriterEnd::Failed(describe(&error)),
            Err(_) => break WriterEnd::Failed("the server reads no more".to_owned()),
        }
    };
    let _ = end.send(ended);
}

struct Reader<'a, S> {
    stream: SplitStream<WebSocketStream<S>>,
    events: &'a EventSender,
    waiting: &'a Waiting,
    silence: Option<Duration>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Reader<'_, S> {
    async fn run(&mut self, mut writer_ended: oneshot::Receiver<WriterEnd>) -> Closed {
        tokio::select! {
            closed = self.read() => return closed,
            ended = &mut writer_ended => match ended {
                Ok(WriterEnd::Failed(reason)) => return Closed::lost(reason),
                Ok(WriterEnd::Closing) | Err(_) => {}
            },
        }
        // The server may still say something before it answers the close frame.
        tokio::select! {
            closed = self.read() => closed,
            () = sleep(CLOSE_PATIENCE) => Closed::lost("the server did not answer the close"),
        }
    }

    async fn read(&mut self) -> Closed {
        let silence = self.silence.unwrap_or(FOREVER);
        loop {
            let Ok(message) = timeout(silence, self.stream.next()).await else {
                return Closed::lost(format!("nothing was heard for {} s", silence.as_secs_f32()));
            };
            match message {
                Some(Ok(Message::Text(text))) => self.frame(&text).await,
                Some(Ok(Message::Close(frame))) => {
                    return Closed {
                        code: frame.as_ref().map(|f| f.code.into()),
                        reason: frame.map_or_else(String::new, |f| printable(&f.reason, None)),
                    };
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Closed::lost(describe(&error)),
                None => return Closed::lost("the connection was lost"),
            }
        }
    }

    async fn frame(&self, text: &str) {
        match Incoming::parse(text) {
            Incoming::Push(push) => self.events.push(Event::Push(push)).await,
            Incoming::Answer(id, answer) => self.waiting.answer(id, answer),
            Incoming::Other => {}
        }
    }
}

/// What a text frame from the server is. Classified as the original clients do, but for a null
/// result, which is taken for one here.
enum Incoming {
    Push(Push),
    Answer(u64, Answer),
    /// `_pong`, or nothing that a client understands: ignored.
    Other,
}

impl Incoming {
    fn parse(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Frame<'a> {
            #[serde(borrow, default)]
            id: Option<&'a RawValue>,
            #[serde(borrow, default)]
            method: Option<Cow<'a, str>>,
            #[serde(borrow, default)]
            params: Option<&'a RawValue>,
            #[serde(borrow, default)]
            result: Option<&'a RawValue>,
            #[serde(borrow, default)]
            error: Option<&'a RawValue>,
        }
        if text == PONG {
            return Self::Other;
        }
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else {
            return Self::Other;
        };
        match frame {
            Frame {
                id: None,
                method: Some(method),
                params: Some(params),
                ..
            } => Self::Push(Push {
                method: method.into_owned(),
                params: params.to_owned(),
            }),
            Frame {
                id: Some(id),
                method: None,
                result,
                error,
                ..
            } => {
                let Ok(id) = id.get().parse() else {
                    return Self::Other;
                };
                let answer = match (error, result) {
                    (Some(error), _) => Err(refused(error.get())),
                    (None, Some(result)) => Ok(result.to_owned()),
                    (None, None) => Ok(RawValue::NULL.to_owned()),
                };
                Self::Answer(id, answer)
            }
            _ => Self::Other,
        }
    }
}

fn refused(error: &str) -> CallError {
    #[derive(Deserialize)]
    struct ErrorObject {
        #[serde(default)]
        code: i64,
        #[serde(default)]
        message: String,
        #[serde(default)]
        data: Option<Box<RawValue>>,
    }
    match serde_json::from_str::<ErrorObject>(error) {
        Ok(error) => CallError::Refused {
            code: error.code,
            message: printable(&error.message, None),
            data: error.data,
        },
        Err(_) => CallError::Refused {
            code: 0,
            message: "the error is not an object with a code and a message".to_owned(),
            data: None,
        },
    }
}

/// An error's text. Never [`Error::Http`]'s: the upgrade is over.
fn describe(error: &Error) -> String {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => "the connection was lost".to_owned(),
        // Holds the message, which is between people.
        Error::WriteBufferFull(_) => "the write buffer is full".to_owned(),
        other => printable(&other.to_string(), None),
    }
}

/// How long the server may take to read something before the connection counts as lost.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// How long the server may take to answer a close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection that has ended is kept for the last bytes.
const LINGER: Duration = Duration::from_secs(1);
const PINGS_WITHOUT_A_SOUND: u32 = 3;
const FOREVER: Duration = Duration::from_hours(24 * 365);

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match Incoming::parse(text) {
            Incoming::Push(push) => format!("{} {}", push.method, push.params),
            Incoming::Answer(id, Ok(result)) => format!("{id} = {result}"),
            Incoming::Answer(id, Err(error)) => format!("{id}: {error}"),
            Incoming::Other => "ignored".to_owned(),
        }
    }

    #[test]
    fn a_frame_is_a_push_an_answer_or_ignored() {
        for (text, what) in [
            ("_pong", "ignored"),
            (
                r#"{"method":"signal.send","params":{"a": 1}}"#,
                r#"signal.send {"a": 1}"#,
            ),
            (r#"{"method":"a\u002eb","params":{},"id":null}"#, "a.b {}"),
            (r#"{"id":7,"result":{}}"#, "7 = {}"),
            (r#"{"id":7,"result":false}"#, "7 = false"),
            (r#"{"id":7,"result":null}"#, "7 = null"),
            (
                r#"{"id":7,"error":{"code":-32601,"message":"no\u0007"}}"#,
                "7: the server refused the call (-32601): no",
            ),
            (
                r#"{"id":7,"error":"x"}"#,
                "7: the server refused the call (0): the error is not an object with a code and a \
                 message",
            ),
        ] {
            assert_eq!(shown(text), what, "{text}");
        }
    }

    #[test]
    fn what_no_server_should_send_is_ignored() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep_id = format!(r#"{{"id":{deep},"result":1}}"#);
        for text in [
            "",
            "{",
            "null",
            "[]",
            "[{}]",
            "7",
            "{}",
            r#"{"id":7}{"#,
            r#"{"method":"a.b"}"#,
            r#"{"method":7,"params":{}}"#,
            r#"{"id":"7","result":1}"#,
            r#"{"id":-7,"result":1}"#,
            r#"{"id":18446744073709551616,"result":1}"#,
            r#"{"id":1,"method":"a","params":{}}"#,
            r#"{"id":1,"id":2,"result":1}"#,
            &deep,
            &deep_id,
        ] {
            assert_eq!(shown(text), "ignored", "{}", &text[..text.len().min(50)]);
        }
    }
}
