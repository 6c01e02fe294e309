use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use hexline_model::{Clock, Moment};
use hexline_protocol::CloseCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::outbox::{Outgoing, Take};
use super::session::{Conversation, Now};
use crate::telemetry::Metrics;

/// How one connection's bytes are moved.
pub(crate) struct SocketOptions {
    /// The largest message, and the largest frame.
    pub(crate) max_message: usize,
    /// How long a write may make no progress.
    pub(crate) write_stall: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Reads, writes and waits for one conversation until it ends.
///
/// Reading goes on while a write is blocked, and the other way round: a client that sends without
/// reading is served until its outbox is full.
pub(crate) async fn run<S, C>(io: S, conversation: C, options: &SocketOptions)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    C: Conversation,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER + 2 * options.max_message)
        .max_message_size(Some(options.max_message))
        .max_frame_size(Some(options.max_message));
    let ws = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let mut socket = Socket {
        ws,
        batch: VecDeque::new(),
        unwritten: 0,
        blocked_since: None,
    };
    let end = converse(&mut socket, conversation, options).await;
    // The conversation is gone by now: it has left its channels before we say goodbye.
    match end {
        End::ByServer(code) => {
            options.metrics.closed(code);
            socket.say_goodbye(code).await;
        }
        End::ByClient => socket.answer_goodbye().await,
        End::Lost => {}
    }
}

struct Socket<S> {
    ws: WebSocketStream<S>,
    batch: VecDeque<Outgoing>,
    /// Bytes handed to `ws` and not flushed yet.
    unwritten: usize,
    blocked_since: Option<Moment>,
}

enum Event {
    Message(Message),
    /// The client's stream has failed in a way that RFC 6455 has a close code for.
    Broken(CloseCode),
    Timer,
    Nudge,
    End(End),
}

enum End {
    ByServer(CloseCode),
    ByClient,
    Lost,
}

async fn converse<S, C>(socket: &mut Socket<S>, mut conversation: C, options: &SocketOptions) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    C: Conversation,
{
    let clock = options.clock.as_ref();
    let metrics = &options.metrics;
    let mut now = Now::of(clock);
    let mut armed = conversation.poll_timeout(now);
    let mut sleep = Box::pin(tokio::time::sleep(armed.since(now.moment)));
    loop {
        let may_read = conversation
            .paused_until()
            .is_none_or(|until| until <= now.moment);
        let event = poll_fn(|cx| {
            socket.poll(
                cx,
                &mut conversation,
                may_read,
                sleep.as_mut(),
                clock,
                metrics,
            )
        })
        .await;
        now = Now::of(clock);
        let mut fired = false;
        match event {
            Event::Message(Message::Text(text)) => {
                metrics.messages_in.inc();
                metrics.bytes_in.inc_by(text.len() as u64);
                let start = tokio::time::Instant::now();
                conversation.handle_text(now, text.as_str());
                metrics.call_duration.observe(start.elapsed().as_secs_f64());
            }
            Event::Message(Message::Binary(bytes)) => {
                metrics.messages_in.inc();
                metrics.bytes_in.inc_by(bytes.len() as u64);
                conversation.handle_binary(now, bytes);
            }
            Event::Message(Message::Close(_)) => return End::ByClient,
            Event::Message(_) => conversation.handle_control(now),
            Event::Broken(code) => return End::ByServer(code),
            Event::Timer => {
                fired = true;
                if conversation.handle_timeout(now)
                    && socket
                        .ws
                        .feed(Message::Ping(bytes::Bytes::new()))
                        .await
                        .is_err()
                {
                    return End::Lost;
                }
            }
            Event::Nudge => {}
            Event::End(end) => return end,
        }
        if socket
            .blocked_since
            .is_some_and(|s| now.moment.since(s) >= options.write_stall)
        {
            return End::ByServer(CloseCode::TooSlow);
        }
        let mut next = conversation.poll_timeout(now);
        if let Some(since) = socket.blocked_since {
            next = next.min(since.plus(options.write_stall));
        }
        // A later deadline needs no new alarm: the old one rings, and we look again.
        if fired || next < armed {
            armed = next;
            let wait = next.since(now.moment).max(Duration::from_millis(1));
            sleep.as_mut().reset(tokio::time::Instant::now() + wait);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket<S> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        conversation: &mut impl Conversation,
        may_read: bool,
        sleep: Pin<&mut Sleep>,
        clock: &dyn Clock,
        metrics: &Metrics,
    ) -> Poll<Event> {
        let was_blocked = self.blocked_since.is_some();
        if let Poll::Ready(event) = self.poll_write(cx, conversation, clock, metrics) {
            return Poll::Ready(event);
        }
        if may_read && let Poll::Ready(message) = Pin::new(&mut self.ws).poll_next(cx) {
            return Poll::Ready(match message {
                Some(Ok(message)) => Event::Message(message),
                Some(Err(Error::Capacity(_))) => Event::Broken(CloseCode::TooBig),
                Some(Err(Error::Utf8(_))) => Event::Broken(CloseCode::InvalidUtf8),
                Some(Err(Error::Protocol(_))) => Event::Broken(CloseCode::ProtocolError),
                Some(Err(_)) | None => Event::End(End::Lost),
            });
        }
        if sleep.poll(cx).is_ready() {
            return Poll::Ready(Event::Timer);
        }
        // A write that has just got stuck needs its own alarm.
        if !was_blocked && self.blocked_since.is_some() {
            return Poll::Ready(Event::Nudge);
        }
        Poll::Pending
    }

    /// Ready only with an event; writes as much as the socket takes.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        conversation: &mut impl Conversation,
        clock: &dyn Clock,
        metrics: &Metrics,
    ) -> Poll<Event> {
        let outbox = conversation.outbox();
        loop {
            match self.poll_flush_batch(cx, metrics) {
                Poll::Ready(Ok(())) => {
                    self.blocked_since = None;
                    if self.unwritten > 0 {
                        outbox.written(self.unwritten);
                        self.unwritten = 0;
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Event::End(End::Lost)),
                Poll::Pending => {
                    self.blocked_since.get_or_insert_with(|| clock.moment());
                    return outbox
                        .poll_close(cx)
                        .map(|code| Event::End(End::ByServer(code)));
                }
            }
            match outbox.poll_take(cx, BATCH, &mut self.batch) {
                Poll::Ready(Take::Messages(bytes)) => self.unwritten = bytes,
                Poll::Ready(Take::Close(code)) => {
                    return Poll::Ready(Event::End(End::ByServer(code)));
                }
                Poll::Ready(Take::Nudge) => return Poll::Ready(Event::Nudge),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Writes the batch and flushes: one system call for all of it, if the socket takes it.
    fn poll_flush_batch(
        &mut self,
        cx: &mut Context<'_>,
        metrics: &Metrics,
    ) -> Poll<Result<(), Error>> {
        let mut ws = Pin::new(&mut self.ws);
        while !self.batch.is_empty() {
            std::task::ready!(ws.as_mut().poll_ready(cx))?;
            let Some(message) = self.batch.pop_front() else {
                break;
            };
            let (bytes, kind) = match message {
                Outgoing::Text(bytes) => (bytes, Data::Text),
                Outgoing::Binary(bytes) => (bytes, Data::Binary),
            };
            metrics.messages_out.inc();
            metrics.bytes_out.inc_by(bytes.len() as u64);
            // A frame, not a message: the text is known to be UTF-8 and need not be read again.
            let frame = Frame::message(bytes, OpCode::Data(kind), true);
            ws.as_mut().start_send(Message::Frame(frame))?;
        }
        ws.poll_flush(cx)
    }

    async fn say_goodbye(mut self, code: CloseCode) {
        let frame = CloseFrame {
            code: code.number().into(),
            reason: code.reason().into(),
        };
        let goodbye = async {
            self.ws.close(Some(frame)).await?;
            // Messages on their way here are too late. After a broken stream nothing can be read
            // as messages any more.
            while let Some(Ok(_)) = self.ws.next().await {}
            let io = self.ws.get_mut();
            io.shutdown().await?;
            // What arrives unread would reset the connection, and the close frame with it.
            let mut rest = [0; 512];
            while io.read(&mut rest).await? > 0 {}
            Ok::<(), Error>(())
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    async fn answer_goodbye(mut self) {
        let _ = tokio::time::timeout(GOODBYE, async {
            while let Some(Ok(_)) = self.ws.next().await {}
        })
        .await;
    }
}

const READ_BUFFER: usize = 4096;

/// Messages of so many bytes are handed to the socket at once.
const BATCH: usize = 16 << 10;

/// Above a batch, so that only a flush makes a system call.
const WRITE_BUFFER: usize = 2 * BATCH;

/// How long a client has to take its leave.
const GOODBYE: Duration = Duration::from_secs(2);
