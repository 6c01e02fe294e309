use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::Quota;
use hexline_model::{AppId, Clock};
use hexline_protocol::ErrorCode;

use crate::kit::error::Refusal;
use crate::limiter::KeyedLimiter;

/// Turns away who tries to sign in too often, by app and network address.
pub struct Throttle {
    tries: Limiter,
    anonymous: Limiter,
    /// Loopback is not throttled: a developer's tries come from there.
    spare_loopback: bool,
}

type Limiter = KeyedLimiter<(AppId, IpAddr)>;

impl Throttle {
    /// `spare_loopback` lets a developer try as often as they like.
    pub fn new(spare_loopback: bool, clock: &Arc<dyn Clock>) -> Self {
        let limiter = |most| KeyedLimiter::new(Quota::per_minute(most), Arc::clone(clock));
        Self {
            tries: limiter(TRIES_PER_MINUTE),
            anonymous: limiter(ANONYMOUS_PER_MINUTE),
            spare_loopback,
        }
    }

    pub(super) fn check_try(&self, app: AppId, ip: IpAddr) -> Result<(), Refusal> {
        self.check(&self.tries, app, ip, 1)
    }

    pub(super) fn check_anonymous(&self, app: AppId, ip: IpAddr) -> Result<(), Refusal> {
        self.check(&self.anonymous, app, ip, 6)
    }

    /// Forgets addresses that have not tried for a while.
    pub fn forget(&self) {
        for limiter in [&self.tries, &self.anonymous] {
            limiter.forget_the_full();
        }
    }

    fn check(&self, limiter: &Limiter, app: AppId, ip: IpAddr, wait_s: u32) -> Result<(), Refusal> {
        let spared = self.spare_loopback && ip.is_loopback();
        if spared || limiter.allows(&(app, ip)) {
            return Ok(());
        }
        let message = "too many sign-ins from this address";
        Err(Refusal::new(ErrorCode::RateLimited, message).retry_after(wait_s))
    }
}

const TRIES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
const ANONYMOUS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
