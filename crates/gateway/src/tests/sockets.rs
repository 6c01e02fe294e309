//! A session in a real socket: what ends elsewhere is written here.

use std::thread;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use super::slow::{answer, call, done};
use super::*;
use crate::socket::{self, SocketOptions};
use crate::socket_tests::frame;

/// Opens a socket over a pipe.
fn open(rig: &Rig) -> (DuplexStream, JoinHandle<()>) {
    let (client, server) = tokio::io::duplex(1024);
    let session = rig.session("alice/d", None);
    let options = SocketOptions {
        max_message: 1 << 16,
        write_stall: Duration::from_secs(10),
        clock: Arc::clone(&rig.clock) as _,
        metrics: Arc::clone(&rig.context.metrics),
    };
    let task = tokio::spawn(async move {
        socket::run(server, Bytes::new(), session, &options).await;
    });
    (client, task)
}

/// Calls `slow.a`. When it has begun, the socket waits: one thread has them both.
async fn begin(rig: &Rig, client: &mut DuplexStream) {
    let call = frame(&call(1, "slow.a"));
    client.write_all(&call).await.expect("it is open");
    while rig.slow.begun().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// Ends `slow.a` on a thread of its own.
fn end_elsewhere(rig: &Rig) -> thread::JoinHandle<()> {
    let (slow, tasks) = (Arc::clone(&rig.slow), Arc::clone(&rig.tasks));
    thread::spawn(move || {
        slow.end("a", Ok(done("a")));
        tasks.run();
    })
}

/// The first byte of a frame, and its payload.
#[expect(
    clippy::disallowed_methods,
    reason = "a socket that nobody wakes has no clock of its own"
)]
async fn read(client: &mut DuplexStream) -> (u8, Vec<u8>) {
    let reading = async {
        let mut head = [0; 2];
        client.read_exact(&mut head).await.expect("a frame");
        let mut payload = vec![0; usize::from(head[1])];
        client.read_exact(&mut payload).await.expect("all of it");
        (head[0], payload)
    };
    let read = tokio::time::timeout(Duration::from_secs(10), reading);
    read.await.expect("the socket was woken")
}

#[tokio::test]
async fn a_call_that_ends_on_another_thread_wakes_its_socket() {
    let rig = Rig::new(|_| ()).await;
    let (mut client, task) = open(&rig);
    begin(&rig, &mut client).await;
    let ending = end_elsewhere(&rig);
    let expected = (0x81, answer(1, "a").into_bytes());
    assert_eq!(read(&mut client).await, expected);
    ending.join().expect("no panic");
    drop(client);
    task.await.expect("no panic");
}

#[tokio::test]
async fn a_stop_waits_for_a_call_that_ends_on_another_thread() {
    let rig = Rig::new(|_| ()).await;
    let (mut client, task) = open(&rig);
    begin(&rig, &mut client).await;
    rig.hub.drain(Duration::ZERO).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
        assert!(client.read_u8().now_or_never().is_none());
    }
    let ending = end_elsewhere(&rig);
    let expected = (0x81, answer(1, "a").into_bytes());
    assert_eq!(read(&mut client).await, expected);
    let (kind, payload) = read(&mut client).await;
    assert_eq!((kind, &payload[..2]), (0x88, &4012u16.to_be_bytes()[..]));
    ending.join().expect("no panic");
    drop(client);
    task.await.expect("no panic");
}
