use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hexline_fanout::{Announcer, Fanout, Link, Presence, Receiver};
use hexline_model::{
    Address, AppId, ChannelName, Destination, Route, SeededEntropy, Subject, SystemEntropy,
};

/// Fan-out without connections.
pub(crate) fn fanout() -> Fanout {
    Fanout::new(Arc::new(Plain))
}

/// Announces in words that a test can read.
struct Plain;

impl Announcer for Plain {
    fn joined(&self, channel: &ChannelName, from: &Address) -> Bytes {
        format!("join {channel} {}", from.subject()).into()
    }

    fn join_back(&self, channel: &ChannelName, from: &Address) -> Bytes {
        format!("join_back {channel} {}", from.subject()).into()
    }

    fn left(&self, channel: &ChannelName, from: &Address) -> Bytes {
        format!("leave {channel} {}", from.subject()).into()
    }
}

pub(crate) struct TestReceiver {
    pub(crate) address: Address,
    heard: Mutex<Vec<Bytes>>,
    full: bool,
    pub(crate) channels: AtomicUsize,
}

impl TestReceiver {
    pub(crate) fn heard(&self) -> Vec<String> {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        self.take().into_iter().map(text).collect()
    }

    /// Where in memory the messages lie.
    pub(crate) fn places(&self) -> Vec<usize> {
        let place = |bytes: &Bytes| bytes.as_ptr().addr();
        self.take().iter().map(place).collect()
    }

    fn take(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.heard.lock().expect("no test thread panics here"))
    }
}

impl Receiver for TestReceiver {
    fn address(&self) -> &Address {
        &self.address
    }

    fn deliver(&self, message: &Bytes) -> bool {
        let mut heard = self.heard.lock().expect("no test thread panics here");
        heard.push(message.clone());
        !self.full
    }

    fn member_of(&self, channels: usize) {
        self.channels.store(channels, Ordering::SeqCst);
    }
}

pub(crate) type End = (Arc<TestReceiver>, Link);

pub(crate) fn app(n: u64) -> AppId {
    AppId::generate(&SeededEntropy::new(n))
}

pub(crate) fn attach_to(fanout: &Fanout, app: AppId, subject: &str, full: bool) -> End {
    let subject = Subject::parse(subject).expect("well formed");
    let address = Address::new(&subject, Route::generate(&SystemEntropy));
    let receiver = Arc::new(TestReceiver {
        address,
        heard: Mutex::default(),
        full,
        channels: AtomicUsize::default(),
    });
    let link = fanout.attach(app, Arc::clone(&receiver) as Arc<dyn Receiver>);
    (receiver, link)
}

pub(crate) fn attach(fanout: &Fanout, subject: &str) -> End {
    attach_to(fanout, app(1), subject, false)
}

pub(crate) fn to(text: &str) -> Destination {
    Destination::parse(text).expect("well formed")
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("well formed")
}

pub(crate) fn msg(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Joins a channel that has room.
pub(crate) fn join(link: &mut Link, channel: &ChannelName, presence: bool) {
    let wanted = if presence {
        Presence::Visible { at_most: 100 }
    } else {
        Presence::Hidden
    };
    assert_eq!(link.join(channel, wanted, |_| None), presence);
}
