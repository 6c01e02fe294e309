use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hexline_model::{Clock, Monotonic, Sleep, Stopwatch};
use hexline_protocol::CloseCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use super::ending::Ending;
use super::frames::{FrameReader, Inbound, OutFrame};
use super::handler::{FrameHandler, Now};
use super::metrics::Metrics;
use super::outbox::{Outgoing, Take};
use super::rate::TOLERATED;
use super::transport::Transport;

/// How one connection's bytes are moved.
pub struct SocketOptions {
    /// The largest message.
    pub max_message: usize,
    /// How long a write may make no progress, and how long a closing connection may take to
    /// write what waits.
    pub write_stall: Duration,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Reads, writes and waits for one handler until it ends.
///
/// Reading, writing and time are polled together, and nothing else is ever awaited while the
/// handler lives: a client that sends without reading is served until its outbox is full,
/// and a client whose writes are stuck can still be closed. An idle connection holds no buffer.
/// `begun` is what was read already.
pub async fn run<S, C>(io: S, begun: Bytes, mut handler: C, options: &SocketOptions)
where
    S: Transport,
    C: FrameHandler,
{
    let mut reader = FrameReader::new(options.max_message);
    reader.feed(&begun);
    drop(begun);
    let mut socket = Socket {
        io,
        reader,
        ended: false,
        writing: VecDeque::new(),
        unwritten: 0,
        pong: None,
        ping_due: false,
        blocked_since: None,
        held_up: false,
        closing_since: None,
    };
    let end = run_until_end(&mut socket, &mut handler, options).await;
    handler.ended(end.told(), Now::of(options.clock.as_ref()));
    // It leaves its channels before we say goodbye.
    drop(handler);
    // Boxed, or every connection would have room for its end from the beginning.
    let goodbye = Box::pin(async {
        match end {
            End::ByServer(code) => {
                options.metrics.closed(code);
                socket.say_goodbye(code).await
            }
            End::Broken(code) => {
                options.metrics.closed(code);
                socket.hang_up(code).await
            }
            End::ByClient(code) => socket.answer_goodbye(code).await,
            End::Lost => Ok(()),
        }
    });
    // Whether the client takes its leave or not, the connection is over.
    let _ = options.clock.timeout(GOODBYE, goodbye).await;
}

struct Socket<S> {
    io: S,
    reader: FrameReader,
    /// Nothing more will come.
    ended: bool,
    writing: VecDeque<OutFrame>,
    /// What of the outbox's bytes is in `writing`.
    unwritten: usize,
    /// The answer to the latest ping; earlier ones need none any more (RFC 6455 §5.5.3).
    pong: Option<Bytes>,
    ping_due: bool,
    /// Since when the socket has taken nothing of what is to be written.
    blocked_since: Option<Monotonic>,
    /// Nothing is read until a large answer is written, or calls under way are answered.
    held_up: bool,
    closing_since: Option<Monotonic>,
}

/// What is read.
#[derive(Clone, Copy)]
enum Reading {
    Frames,
    /// Bytes, up to what may wait; the rest stays in the socket.
    Ahead,
    Nothing,
}

enum Event {
    Frame(Inbound),
    Timer,
    /// Look at the deadlines again.
    Nudge,
    End(End),
}

enum End {
    ByServer(CloseCode),
    /// What the client sends can't be understood any more.
    Broken(CloseCode),
    ByClient(Option<u16>),
    Lost,
}

impl End {
    fn told(&self) -> Ending {
        match self {
            Self::ByServer(code) | Self::Broken(code) => Ending::ByServer(*code),
            Self::ByClient(code) => Ending::ByClient(*code),
            Self::Lost => Ending::Lost,
        }
    }
}

async fn run_until_end<S, C>(
    socket: &mut Socket<S>,
    handler: &mut C,
    options: &SocketOptions,
) -> End
where
    S: Transport,
    C: FrameHandler,
{
    let clock = options.clock.as_ref();
    let mut now = Now::of(clock);
    let mut armed = handler.poll_timeout(now);
    let mut sleep = clock.sleep_until(armed);
    loop {
        // What a closing connection still has to say does not matter any more.
        let reading = if socket.closing_since.is_some() {
            Reading::Nothing
        } else if handler.paused_until().is_some() {
            Reading::Ahead
        } else {
            Reading::Frames
        };
        let event =
            poll_fn(|cx| socket.poll(cx, &mut *handler, reading, &mut sleep, options)).await;
        now = Now::of(clock);
        if handler
            .paused_until()
            .is_some_and(|until| until <= now.monotonic)
        {
            handler.handle_resume(now, socket.unread());
        }
        let mut fired = false;
        match event {
            Event::Frame(frame) => {
                if let Some(end) = socket.take_in(frame, &mut *handler, now, &options.metrics) {
                    return end;
                }
            }
            Event::Timer => {
                fired = true;
                if socket.closing_since.is_none() {
                    socket.ping_due |= handler.handle_timeout(now);
                }
            }
            Event::Nudge => {}
            Event::End(end) => return end,
        }
        let closing = handler.outbox().closing();
        if closing.is_some() {
            socket.closing_since.get_or_insert(now.monotonic);
        }
        let due = |since: Option<Monotonic>| since.map(|since| since.plus(options.write_stall));
        let (blocked, drained) = (due(socket.blocked_since), due(socket.closing_since));
        let over = |deadline: Option<Monotonic>| deadline.is_some_and(|at| at <= now.monotonic);
        if over(blocked) {
            return End::ByServer(closing.unwrap_or(CloseCode::TooSlow));
        }
        if let Some(code) = closing.filter(|_| over(drained)) {
            return End::ByServer(code);
        }
        let mut next = drained.unwrap_or_else(|| handler.poll_timeout(now));
        if let Some(blocked) = blocked {
            next = next.min(blocked);
        }
        // A later deadline needs no new alarm: the old one rings, and we look again.
        if fired || next < armed {
            // One that has rung does not ring again at once.
            let soonest = now.monotonic.plus(Duration::from_millis(u64::from(fired)));
            armed = next.max(soonest);
            sleep.reset(armed);
        }
    }
}

impl<S: Transport> Socket<S> {
    fn take_in(
        &mut self,
        frame: Inbound,
        handler: &mut impl FrameHandler,
        now: Now,
        metrics: &Metrics,
    ) -> Option<End> {
        match frame {
            Inbound::Text(text) => {
                metrics.messages_in.inc();
                metrics.bytes_in.inc_by(text.len() as u64);
                handler.count_received(text.len());
                let stopwatch = Stopwatch::start();
                let text = std::str::from_utf8(&text).expect("a text message is UTF-8");
                handler.handle_text(now, text);
                metrics
                    .call_duration
                    .observe(stopwatch.elapsed().as_secs_f64());
            }
            Inbound::Binary(bytes) => {
                metrics.messages_in.inc();
                metrics.bytes_in.inc_by(bytes.len() as u64);
                handler.count_received(bytes.len());
                handler.handle_binary(now, bytes);
            }
            Inbound::Ping(payload) => {
                self.pong = Some(payload);
                handler.handle_control(now);
            }
            Inbound::Pong | Inbound::Fragment => handler.handle_control(now),
            Inbound::Close(code) => return Some(End::ByClient(code)),
        }
        None
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        handler: &mut impl FrameHandler,
        reading: Reading,
        sleep: &mut Sleep,
        options: &SocketOptions,
    ) -> Poll<Event> {
        let was_blocked = self.blocked_since.is_some();
        loop {
            if let Poll::Ready(event) = self.poll_write(cx, handler, options) {
                return Poll::Ready(event);
            }
            if handler.poll_calls(cx).is_pending() {
                break;
            }
        }
        match reading {
            Reading::Frames | Reading::Ahead if handler.is_full() => self.held_up = true,
            // The answers to what is read now might find no room.
            Reading::Frames if self.blocked_since.is_some() && handler.outbox().is_beyond() => {
                self.held_up = true;
            }
            Reading::Frames => {
                if std::mem::take(&mut self.held_up) {
                    handler.handle_unblocked(Now::of(options.clock.as_ref()));
                }
                if let Poll::Ready(read) = self.poll_read(cx) {
                    return Poll::Ready(match read {
                        Ok(Some(frame)) => Event::Frame(frame),
                        Ok(None) => Event::End(End::Lost),
                        Err(code) => Event::End(End::Broken(code)),
                    });
                }
            }
            // How far a kernel fills a socket up again differs: of a flood there is always enough
            // here, of a burst there is not.
            Reading::Ahead => {
                while self.reader.buffered() <= TOLERATED && self.poll_more(cx).is_ready() {}
            }
            Reading::Nothing => {}
        }
        if Pin::new(sleep).poll(cx).is_ready() {
            return Poll::Ready(Event::Timer);
        }
        // A write that has just got stuck, or a close that has just been asked for, needs its
        // own alarm.
        let stuck = !was_blocked && self.blocked_since.is_some();
        if stuck || (self.closing_since.is_none() && handler.outbox().closing().is_some()) {
            return Poll::Ready(Event::Nudge);
        }
        Poll::Pending
    }

    /// Ready only with an event; writes as much as the socket takes.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        handler: &mut impl FrameHandler,
        options: &SocketOptions,
    ) -> Poll<Event> {
        let outbox = handler.outbox();
        loop {
            match self.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.blocked_since = None;
                    outbox.written(std::mem::take(&mut self.unwritten));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Event::End(End::Lost)),
                Poll::Pending => {
                    self.blocked_since
                        .get_or_insert_with(|| options.clock.monotonic());
                    return outbox
                        .poll_close(cx)
                        .map(|code| Event::End(End::ByServer(code)));
                }
            }
            if let Some(payload) = self.pong.take() {
                self.writing.push_back(OutFrame::pong(payload));
            }
            if std::mem::take(&mut self.ping_due) {
                self.writing.push_back(OutFrame::ping());
            }
            let (writing, metrics) = (&mut self.writing, &options.metrics);
            let (mut messages, mut sent) = (0, 0);
            let take = outbox.poll_take(cx, BATCH, |message| {
                let frame = match message {
                    Outgoing::Text(bytes) => OutFrame::text(bytes),
                    Outgoing::Binary(bytes) => OutFrame::binary(bytes),
                };
                messages += 1;
                sent += frame.payload_len();
                writing.push_back(frame);
            });
            if messages > 0 {
                metrics.messages_out.inc_by(messages as u64);
                metrics.bytes_out.inc_by(sent as u64);
                handler.count_sent(messages, sent);
            }
            match take {
                Poll::Ready(Take::Messages(bytes)) => self.unwritten = bytes,
                Poll::Ready(Take::Close(code)) => {
                    return Poll::Ready(Event::End(End::ByServer(code)));
                }
                Poll::Ready(Take::Nudge) => return Poll::Ready(Event::Nudge),
                Poll::Pending if self.writing.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }

    /// Writes what is at hand: many frames in one system call, their payloads where they are.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.writing.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut used = 0;
            for frame in self.writing.iter().take(SLICES / 2) {
                for part in frame.rest() {
                    if !part.is_empty() {
                        slices[used] = IoSlice::new(part);
                        used += 1;
                    }
                }
            }
            let io = Pin::new(&mut self.io);
            let mut written = ready!(io.poll_write_vectored(cx, &slices[..used]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.blocked_since = None;
            while let Some(frame) = self.writing.front_mut() {
                written = frame.advance(written);
                if !frame.is_written() {
                    break;
                }
                self.writing.pop_front();
            }
        }
        if self.writing.capacity() > KEPT_FRAMES {
            self.writing = VecDeque::new();
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// The next frame; `None` if the client has gone without a word.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Inbound>, CloseCode>> {
        loop {
            if let Some(frame) = self.reader.next_frame()? {
                return Poll::Ready(Ok(Some(frame)));
            }
            if self.ended {
                return Poll::Ready(Ok(None));
            }
            ready!(self.poll_more(cx));
        }
    }

    /// Takes in what has arrived, or that it was the last; pending if nothing has or will.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended {
            return Poll::Pending;
        }
        // On the stack: a connection that waits for its client owns no buffer.
        let mut space = [MaybeUninit::<u8>::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => self.reader.feed(buffer.filled()),
            _ => self.ended = true,
        }
        Poll::Ready(())
    }

    /// Bytes that wait to be handed over, here and in the socket.
    fn unread(&self) -> usize {
        self.reader.buffered() + self.io.unread()
    }

    /// Closes as RFC 6455 §7.1.2 has it: our close frame, the client's, the end.
    async fn say_goodbye(&mut self, code: CloseCode) -> io::Result<()> {
        self.write_close(Some(code)).await?;
        // Messages on their way here are too late, and of a flood there is no end.
        let mut unread = MAX_UNREAD;
        while let Ok(Some(frame)) = poll_fn(|cx| self.poll_read(cx)).await {
            unread = match frame {
                Inbound::Text(bytes) | Inbound::Binary(bytes) => unread.saturating_sub(bytes.len()),
                Inbound::Close(_) => break,
                Inbound::Fragment | Inbound::Ping(_) | Inbound::Pong => unread,
            };
            if unread == 0 {
                break;
            }
        }
        self.io.shutdown().await
    }

    /// Closes towards a client whose bytes mean nothing any more.
    async fn hang_up(&mut self, code: CloseCode) -> io::Result<()> {
        self.write_close(Some(code)).await?;
        self.io.shutdown().await?;
        // What arrives unread would reset the connection, and the close frame with it.
        let mut rest = [0; 1024];
        for _ in 0..MAX_UNREAD / rest.len() {
            if self.io.read(&mut rest).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    async fn answer_goodbye(&mut self, code: Option<u16>) -> io::Result<()> {
        self.keep_begun_frame();
        self.writing
            .push_back(OutFrame::close(code.map(|code| (code, ""))));
        poll_fn(|cx| self.poll_flush(cx)).await?;
        self.io.shutdown().await
    }

    async fn write_close(&mut self, code: Option<CloseCode>) -> io::Result<()> {
        self.keep_begun_frame();
        let close = OutFrame::close(code.map(|code| (code.number(), code.reason())));
        self.writing.push_back(close);
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// A frame that is half written has to be completed; those behind it are dropped.
    fn keep_begun_frame(&mut self) {
        let begun = self.writing.front().is_some_and(OutFrame::is_begun);
        self.writing.truncate(usize::from(begun));
    }
}

/// Bytes read at once.
const READ: usize = 4096;

/// Messages of so many bytes are taken from the outbox at once.
const BATCH: usize = 16 << 10;

/// Pieces of memory in one system call: a header and a payload for each frame.
const SLICES: usize = 64;

/// A queue that once was long gives its memory back.
const KEPT_FRAMES: usize = 8;

/// How long a client has to take its leave.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a client that broke the protocol may still send before it is cut off.
const MAX_UNREAD: usize = 1 << 20;
