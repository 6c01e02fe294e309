use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use hexline_model::Monotonic;

use super::limiter::ConnectionLimiter;

/// One accepted socket's place, and what its connection is doing.
///
/// The phase is written by the connection's own task, for nearly all of its life, and read by the
/// limiter when somebody has to give way. It lives as long as the socket, as a WebSocket too.
pub(super) struct Place {
    pub(super) limiter: ConnectionLimiter,
    /// `None` for a trusted proxy's.
    pub(super) address: Option<IpAddr>,
    /// In the order of acceptance.
    pub(super) number: u64,
    /// When it began to wait for the client, in milliseconds of the clock.
    since_ms: AtomicU64,
    turn: AtomicU32,
    phase: AtomicU8,
    /// A write makes no progress: it is the server who has something to say.
    is_stalled: AtomicBool,
    /// Whether the limiter counts it; no longer so once it was told to give way.
    pub(super) is_counted: AtomicBool,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Nothing is known of it yet: its TLS handshake or first request head is not complete.
    FirstHead,
    /// A request is being answered.
    Answering,
    /// A request is being answered, which waits for the rest of its body.
    Body,
    /// It has been answered and asks nothing.
    Idle,
    /// A further request head is not complete.
    Head,
}

impl Place {
    pub(super) fn new(limiter: ConnectionLimiter, address: Option<IpAddr>, number: u64) -> Self {
        Self {
            limiter,
            address,
            number,
            since_ms: AtomicU64::new(0),
            turn: AtomicU32::new(0),
            phase: AtomicU8::new(Phase::FirstHead as u8),
            is_stalled: AtomicBool::new(false),
            is_counted: AtomicBool::new(true),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        const ALL: [Phase; 5] = [
            Phase::FirstHead,
            Phase::Answering,
            Phase::Body,
            Phase::Idle,
            Phase::Head,
        ];
        ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Begins another phase.
    pub(super) fn enter(&self, phase: Phase) {
        let before = self.phase.swap(phase as u8, Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::Relaxed);
        if before == Phase::FirstHead as u8 {
            self.limiter.head_is_complete(self);
        }
    }

    /// A write got stuck, or goes on.
    pub(super) fn set_stalled(&self, is_stalled: bool) {
        self.is_stalled.store(is_stalled, Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the server waits for the client to send something.
    pub(super) fn waits_for_client(&self) -> bool {
        self.phase() != Phase::Answering && !self.is_stalled.load(Ordering::Relaxed)
    }

    /// Whether an answer waits for a client that does not read it.
    pub(super) fn is_unread(&self) -> bool {
        self.is_stalled.load(Ordering::Relaxed)
    }

    /// Changes whenever something has happened that a patience counts from.
    pub(super) fn turn(&self) -> u32 {
        self.turn.load(Ordering::Relaxed)
    }

    pub(super) fn set_waiting_since(&self, at: Monotonic) {
        self.since_ms.store(at.as_millis(), Ordering::Relaxed);
    }

    pub(super) fn waiting_since(&self) -> Monotonic {
        Monotonic::from_millis(self.since_ms.load(Ordering::Relaxed))
    }
}
