//! Every implementation of the broker runs the same conformance suite.

mod conformance;

use std::sync::Arc;

use conformance::{Echo, Member, SMALL};
use hexline_bus::LocalNetwork;
use hexline_model::{NodeId, SystemClock, SystemEntropy};

conformance!(local, |nodes: usize| {
    let network = LocalNetwork::with_limits(Arc::new(SystemClock::new()), SMALL);
    let member = |_| {
        let id = NodeId::generate(&SystemEntropy);
        Member {
            id,
            broker: Arc::new(network.join(id, Arc::new(Echo))),
        }
    };
    (0..nodes).map(member).collect()
});
