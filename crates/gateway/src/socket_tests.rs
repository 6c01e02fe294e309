mod in_flight;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hexline_model::{Clock as _, ManualClock, Monotonic, Timestamp};
use hexline_protocol::CloseCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use super::handler::{FrameHandler, Now};
use super::metrics::Metrics;
use super::outbox::{Outbox, Outgoing};
use super::socket::{self, SocketOptions};
use super::transport::Transport;

/// What a test sees of a handler.
struct Shared {
    outbox: Outbox,
    heard: Mutex<Vec<String>>,
    /// Closes once so many messages were heard.
    enough: usize,
    pause: Mutex<Option<Monotonic>>,
    /// How much waited unread after each pause.
    unread: Mutex<Vec<usize>>,
    /// How many messages had been heard each time it was read again.
    unblocked: Mutex<Vec<usize>>,
}

/// What is in a pipe cannot be seen from outside.
impl Transport for DuplexStream {
    fn unread(&self) -> usize {
        0
    }
}

struct Talk(Arc<Shared>);

impl FrameHandler for Talk {
    fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    fn handle_text(&mut self, _now: Now, text: &str) {
        let mut heard = self.0.heard.lock().expect("no panic here");
        heard.push(text.to_owned());
        if heard.len() == self.0.enough {
            self.0.outbox.close_after_queue(CloseCode::RateLimited);
        }
    }

    fn handle_binary(&mut self, _now: Now, _bytes: Bytes) {}

    fn handle_control(&mut self, _now: Now) {}

    /// Asks for a ping whenever it may.
    fn handle_timeout(&mut self, _now: Now) -> bool {
        true
    }

    fn poll_timeout(&self, now: Now) -> Monotonic {
        now.monotonic.plus(Duration::from_secs(3))
    }

    fn paused_until(&self) -> Option<Monotonic> {
        *self.0.pause.lock().expect("no panic here")
    }

    fn handle_resume(&mut self, _now: Now, unread: usize) {
        *self.0.pause.lock().expect("no panic here") = None;
        self.0.unread.lock().expect("no panic here").push(unread);
    }

    fn handle_unblocked(&mut self, _now: Now) {
        let heard = self.0.heard.lock().expect("no panic here").len();
        self.0.unblocked.lock().expect("no panic here").push(heard);
    }
}

const STALL: Duration = Duration::from_secs(10);

/// A handler, and the clock that it goes by.
struct Running {
    clock: ManualClock,
    task: JoinHandle<()>,
}

impl Running {
    /// Lets time pass, a second at a time, and everybody do what there is to do in each.
    async fn pass(&self, seconds: u64) {
        settle().await;
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            settle().await;
        }
    }

    /// It ends before so much time has passed.
    async fn ended(self, within: Duration) {
        self.pass(within.as_secs()).await;
        assert!(self.task.is_finished(), "it ends in time");
        self.task.await.expect("no panic");
    }
}

/// Returns when every task waits: Tokio's own clock, which is paused and which nothing here goes by,
/// moves on only then.
#[expect(
    clippy::disallowed_methods,
    reason = "of Tokio's clock it is known when it moves"
)]
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A handler over a pipe that takes a kilobyte.
fn talk(enough: usize) -> (Arc<Shared>, DuplexStream, Running) {
    let outbox = Outbox::new(1 << 20, Arc::default());
    let shared = Arc::new(Shared {
        outbox,
        heard: Mutex::default(),
        enough,
        pause: Mutex::default(),
        unread: Mutex::default(),
        unblocked: Mutex::default(),
    });
    let (client, running) = run(Talk(Arc::clone(&shared)));
    (shared, client, running)
}

fn run(handler: impl FrameHandler + 'static) -> (DuplexStream, Running) {
    let (client, server) = tokio::io::duplex(1024);
    let clock = ManualClock::new(Timestamp::default());
    let options = SocketOptions {
        max_message: 1 << 16,
        write_stall: STALL,
        clock: Arc::new(clock.clone()),
        metrics: Arc::new(Metrics::default()),
    };
    let task = tokio::spawn(async move {
        socket::run(server, Bytes::new(), handler, &options).await;
    });
    (client, Running { clock, task })
}

fn big() -> Outgoing {
    Outgoing::Text(Bytes::from(vec![b'x'; 60_000]))
}

/// A short text as a client sends it, masked with zeros.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short");
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend(text.as_bytes());
    frame
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_falls_due_while_the_client_does_not_read_holds_nothing_up() {
    let (shared, _client, running) = talk(usize::MAX);
    shared.outbox.push(big());
    running.ended(STALL + Duration::from_secs(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_can_be_closed() {
    let (shared, _client, running) = talk(usize::MAX);
    shared.outbox.push(big());
    running.pass(5).await;
    shared.outbox.close(CloseCode::Revoked);
    running.ended(Duration::from_secs(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_but_steadily_gets_everything() {
    let (shared, mut client, running) = talk(usize::MAX);
    shared.outbox.push(big());
    let (mut space, mut got) = ([0; 300], 0);
    while got < 60_004 {
        running.pass(1).await;
        got += client.read(&mut space).await.expect("it is open");
    }
    assert!(!running.task.is_finished());
    drop(client);
    running.ended(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_closing_connection_is_not_listened_to_any_more() {
    let (shared, mut client, running) = talk(2);
    shared.outbox.push(big());
    for text in ["one", "two", "three", "four"] {
        client.write_all(&frame(text)).await.expect("it is open");
    }
    running.pass(1).await;
    assert_eq!(*shared.heard.lock().expect("no panic here"), ["one", "two"]);
    running.ended(STALL + Duration::from_secs(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_closing_connection_has_so_long_to_take_what_waits_and_no_longer() {
    let (shared, mut client, running) = talk(usize::MAX);
    for _ in 0..10 {
        shared.outbox.push(big());
    }
    running.pass(1).await;
    shared.outbox.close_after_queue(CloseCode::TokenExpired);
    let clock = running.clock.clone();
    let reading = tokio::spawn(async move {
        let mut space = [0; 300];
        while client.read(&mut space).await.is_ok_and(|read| read > 0) {
            clock.sleep(Duration::from_secs(1)).await;
        }
    });
    let clock = running.clock.clone();
    running.ended(STALL + Duration::from_secs(4)).await;
    while !reading.is_finished() {
        clock.advance(Duration::from_secs(1));
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_written_before_the_close_frame() {
    let (shared, mut client, running) = talk(usize::MAX);
    for text in ["a", "b"] {
        shared
            .outbox
            .push(Outgoing::Text(Bytes::from_static(text.as_bytes())));
    }
    shared.outbox.close_after_queue(CloseCode::GoingAway);
    let mut said = [0; 19];
    client.read_exact(&mut said).await.expect("all of it");
    assert_eq!(said[..8], [0x81, 1, b'a', 0x81, 1, b'b', 0x88, 12]);
    assert_eq!(said[8..10], 4012u16.to_be_bytes());
    client
        .write_all(&[0x88, 0x80, 0, 0, 0, 0])
        .await
        .expect("it is open");
    running.ended(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_connection_is_read_ahead_so_far_and_then_gets_everything_in_order() {
    let (shared, mut client, running) = talk(usize::MAX);
    *shared.pause.lock().expect("no panic here") = Some(Monotonic::from_millis(2900));
    let sent: Vec<String> = (0..2000).map(|n| format!("{n:0>100}")).collect();
    let frames = sent.concat().len() + 2000 * frame("").len();
    let writing = {
        let frames: Vec<u8> = sent.iter().flat_map(|text| frame(text)).collect();
        tokio::spawn(async move {
            client.write_all(&frames).await.expect("it is open");
            client
        })
    };
    running.pass(2).await;
    assert!(shared.heard.lock().expect("no panic here").is_empty());
    assert!(!writing.is_finished(), "the rest waits where it is");
    running.pass(1).await;
    let client = writing.await.expect("no panic");
    drop(client);
    running.ended(Duration::from_secs(1)).await;
    assert!(*shared.heard.lock().expect("no panic here") == sent);
    let unread = shared.unread.lock().expect("no panic here");
    assert!(unread.len() == 1 && unread[0] > 64 << 10 && unread[0] < frames);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_read_again_once_it_has_a_large_answer_and_its_silence_begins_then() {
    let (shared, mut client, running) = talk(usize::MAX);
    let answer = Bytes::from(vec![b'x'; 2 << 20]);
    assert!(shared.outbox.push_answer(Outgoing::Text(answer)));
    running.pass(1).await;
    client.write_all(&frame("one")).await.expect("it is open");
    running.pass(1).await;
    assert!(shared.heard.lock().expect("no panic here").is_empty());
    let mut rest = vec![0; 10 + (2 << 20)];
    client.read_exact(&mut rest).await.expect("all of it");
    running.pass(1).await;
    assert_eq!(*shared.heard.lock().expect("no panic here"), ["one"]);
    assert_eq!(*shared.unblocked.lock().expect("no panic here"), [0]);
    drop(client);
    running.ended(Duration::from_secs(1)).await;
}
