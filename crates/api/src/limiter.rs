use std::hash::Hash;
use std::sync::Arc;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use hexline_model::{Clock, Monotonic};

/// How often something may happen, for each key by itself, by the server's clock.
pub struct KeyedLimiter<K: Hash + Eq + Clone>(
    RateLimiter<K, DefaultKeyedStateStore<K>, Adapter, NoOpMiddleware<Nanos>>,
);

impl<K: Hash + Eq + Clone> KeyedLimiter<K> {
    /// Allows each key what the quota says, by a clock.
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        let clock = Adapter(clock);
        Self(RateLimiter::new(
            quota,
            DefaultKeyedStateStore::default(),
            clock,
        ))
    }

    /// Counts one more, if there is room for it.
    pub fn allows(&self, key: &K) -> bool {
        self.0.check_key(key).is_ok()
    }

    /// Forgets the keys that have all their room again.
    pub fn forget_the_full(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }
}

#[derive(Clone)]
struct Adapter(Arc<dyn Clock>);

impl GovernorClock for Adapter {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.monotonic().since(Monotonic::default()).into()
    }
}
