//! Every implementation of the bus runs the same conformance suite.

mod conformance;

use std::sync::Arc;

use hexline_bus::LocalBus;

conformance!(local, |announcer| Arc::new(LocalBus::new(announcer)));
