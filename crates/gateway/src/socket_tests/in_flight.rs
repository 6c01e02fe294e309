//! What the socket does while calls of its handler are under way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use super::*;

/// A handler whose calls end when a test says so.
struct Busy(Arc<Work>);

struct Work {
    outbox: Outbox,
    heard: Mutex<Vec<String>>,
    /// How many calls have ended and are not answered, and who is to hear of the next.
    ended: Mutex<(usize, Option<Waker>)>,
    polls: AtomicUsize,
    unblocked: AtomicUsize,
}

/// It takes so many messages before one is answered.
const MOST: usize = 2;

impl Work {
    fn end(&self) {
        let mut ended = self.ended.lock().expect("no panic here");
        ended.0 += 1;
        if let Some(waker) = ended.1.take() {
            waker.wake();
        }
    }

    fn heard(&self) -> usize {
        self.heard.lock().expect("no panic here").len()
    }
}

impl FrameHandler for Busy {
    fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    fn handle_text(&mut self, _now: Now, text: &str) {
        let mut heard = self.0.heard.lock().expect("no panic here");
        heard.push(text.to_owned());
        self.0.outbox.owe_answers(true);
    }

    fn handle_binary(&mut self, _now: Now, _bytes: Bytes) {}

    fn handle_control(&mut self, _now: Now) {}

    fn handle_timeout(&mut self, _now: Now) -> bool {
        false
    }

    fn poll_timeout(&self, now: Now) -> Monotonic {
        now.monotonic.plus(Duration::from_hours(1))
    }

    fn paused_until(&self) -> Option<Monotonic> {
        None
    }

    fn poll_calls(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.polls.fetch_add(1, Ordering::SeqCst);
        let mut ended = self.0.ended.lock().expect("no panic here");
        if ended.0 == 0 {
            ended.1 = Some(cx.waker().clone());
            return Poll::Pending;
        }
        ended.0 -= 1;
        let first = self.0.heard.lock().expect("no panic here").remove(0);
        self.0.outbox.push_answer(Outgoing::Text(first.into()));
        self.0.outbox.owe_answers(self.0.heard() > 0);
        Poll::Ready(())
    }

    fn is_full(&self) -> bool {
        self.0.heard() == MOST
    }

    fn handle_unblocked(&mut self, _now: Now) {
        self.0.unblocked.fetch_add(1, Ordering::SeqCst);
    }
}

fn busy() -> (Arc<Work>, DuplexStream, Running) {
    let work = Arc::new(Work {
        outbox: Outbox::new(1 << 20, Arc::default()),
        heard: Mutex::default(),
        ended: Mutex::default(),
        polls: AtomicUsize::default(),
        unblocked: AtomicUsize::default(),
    });
    let (client, running) = run(Busy(Arc::clone(&work)));
    (work, client, running)
}

async fn read(client: &mut DuplexStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    client.read_exact(&mut read).await.expect("all of it");
    read
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_too_much_is_under_way_and_nobody_spins() {
    let (work, mut client, running) = busy();
    for text in ["one", "two", "six"] {
        client.write_all(&frame(text)).await.expect("it is open");
    }
    running.pass(100).await;
    assert_eq!(work.heard(), MOST);
    let polls = work.polls.load(Ordering::SeqCst);
    running.pass(100).await;
    assert_eq!(work.polls.load(Ordering::SeqCst), polls);
    for (answer, unblocked) in [(b"\x81\x03one", 1), (b"\x81\x03two", 2)] {
        work.end();
        assert_eq!(read(&mut client, 5).await, answer);
        settle().await;
        assert_eq!(work.unblocked.load(Ordering::SeqCst), unblocked);
    }
    drop(client);
    running.ended(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_when_everything_was_answered() {
    let (work, mut client, running) = busy();
    client.write_all(&frame("one")).await.expect("it is open");
    settle().await;
    work.outbox.close_after_queue(CloseCode::GoingAway);
    running.pass(STALL.as_secs() - 1).await;
    work.end();
    assert_eq!(read(&mut client, 7).await, b"\x81\x03one\x88\x0c");
    drop(client);
    running.ended(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_an_answer_as_long_as_for_a_client() {
    let (work, mut client, running) = busy();
    client.write_all(&frame("one")).await.expect("it is open");
    settle().await;
    work.outbox.close_after_queue(CloseCode::GoingAway);
    running.pass(STALL.as_secs()).await;
    assert_eq!(read(&mut client, 2).await, [0x88, 12]);
    drop(client);
    running.ended(Duration::from_secs(2)).await;
}
