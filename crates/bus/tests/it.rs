//! Every implementation of the bus runs the same conformance suite.

mod conformance;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hexline_bus::{Bus, LocalBus, Presence, Receiver};
use hexline_model::{Address, AppId, ChannelName, Route, Subject, SystemEntropy};

conformance!(local, |announcer| Arc::new(LocalBus::new(announcer)));

#[test]
fn a_broadcast_is_one_piece_of_memory_however_many_hear_it() {
    let bus = LocalBus::new(Arc::new(conformance::Plain));
    let app = AppId::generate(&SystemEntropy);
    let channel = ChannelName::parse("news").expect("well formed");
    let ears: Vec<Arc<Ear>> = (0..3).map(|_| Arc::new(Ear::new())).collect();
    let mut links: Vec<_> = ears
        .iter()
        .map(|ear| bus.attach(app, Arc::clone(ear) as _))
        .collect();
    for link in &mut links {
        link.join(&channel, Presence::Hidden);
    }
    let message = Bytes::from("a message that was encoded once".to_owned());
    assert_eq!(bus.publish(app, &channel, &message), 3);
    for ear in ears {
        assert_eq!(
            *ear.heard_at.lock().expect("no panic here"),
            [message.as_ptr().addr()]
        );
    }
}

/// Notes where in memory a message lies.
struct Ear {
    address: Address,
    heard_at: Mutex<Vec<usize>>,
}

impl Ear {
    fn new() -> Self {
        let subject = Subject::parse("a/d").expect("well formed");
        let address = Address::new(&subject, Route::generate(&SystemEntropy));
        Self {
            address,
            heard_at: Mutex::default(),
        }
    }
}

impl Receiver for Ear {
    fn address(&self) -> &Address {
        &self.address
    }

    fn deliver(&self, message: &Bytes) -> bool {
        self.heard_at
            .lock()
            .expect("no panic here")
            .push(message.as_ptr().addr());
        true
    }
}
