//! What one delivery costs, without sockets: `cargo bench -p hexline-fanout`.

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hexline_fanout::{Announcer, Fanout, Link, Presence, Receiver};
use hexline_model::{Address, AppId, ChannelName, Destination, Route, Subject, SystemEntropy};

struct Silent;

impl Announcer for Silent {
    fn joined(&self, _channel: &ChannelName, _from: &Address) -> Bytes {
        Bytes::new()
    }

    fn join_back(&self, _channel: &ChannelName, _from: &Address) -> Bytes {
        Bytes::new()
    }

    fn left(&self, _channel: &ChannelName, _from: &Address) -> Bytes {
        Bytes::new()
    }
}

/// Takes a message as an outbox does: a lock and a queue, which holds the last one only.
struct TestReceiver {
    address: Address,
    last: Mutex<Bytes>,
}

impl Receiver for TestReceiver {
    fn address(&self) -> &Address {
        &self.address
    }

    fn deliver(&self, message: &Bytes) -> bool {
        *self.last.lock().expect("no panic here") = message.clone();
        true
    }
}

fn attach(fanout: &Fanout, app: AppId, name: usize) -> Link {
    let subject = Subject::parse(&format!("user{name}/web")).expect("well formed");
    let address = Address::new(&subject, Route::generate(&SystemEntropy));
    let last = Mutex::default();
    fanout.attach(app, Arc::new(TestReceiver { address, last }))
}

fn deliveries(criterion: &mut Criterion) {
    let message = Bytes::from_static(&[b'x'; 200]);
    let mut group = criterion.benchmark_group("publish");
    for members in [1, 10, 100, 1000] {
        let fanout = Fanout::new(Arc::new(Silent));
        let app = AppId::generate(&SystemEntropy);
        let channel = ChannelName::parse("news").expect("well formed");
        let mut links: Vec<Link> = (0..=members).map(|n| attach(&fanout, app, n)).collect();
        for link in &mut links {
            link.join(&channel, Presence::Hidden, |_| None);
        }
        let mut sender = links.pop().expect("one more than the members");
        group.throughput(Throughput::Elements(members as u64));
        group.bench_function(format!("{members} members"), |bencher| {
            bencher.iter(|| sender.publish(black_box(&channel), |_| message.clone()));
        });
    }
    group.finish();

    let fanout = Fanout::new(Arc::new(Silent));
    let app = AppId::generate(&SystemEntropy);
    let links: Vec<Link> = (0..1000).map(|n| attach(&fanout, app, n)).collect();
    let mut sender = attach(&fanout, app, 1000);
    let to = Destination::parse("user500").expect("well formed");
    criterion.bench_function("send", |bencher| {
        bencher.iter(|| sender.send(black_box(&to), &message));
    });
    drop(links);
}

criterion_group!(benches, deliveries);
criterion_main!(benches);
