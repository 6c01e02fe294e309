//! Who may hold a socket, when nothing is known of them yet but the address.
//!
//! An accepted socket is an open file, and a stranger's as much as a client's. [`ConnectionLimiter`] counts
//! them: so many per address (of IPv6, the /64 block), so many in all, which is less than the
//! process may open, so that the database and the control socket always find a file. One too many
//! is closed before a byte of it is read. A trusted proxy brings many clients and is counted in
//! the totals only.
//!
//! Sockets that have not sent a complete request head yet have a pool of their own: so many per
//! address, and a quarter of all. When the pool is full, its oldest gives way to the newcomer, of the
//! same address if it is the address that has too many. When all places are taken, the oldest of the
//! pool gives way too; if there is none, those that have let the server wait longest for a further
//! request or for the rest of a body; if there are none either, those that have left an answer unread
//! longest. So silent sockets, however many, shut nobody out.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hexline_api::Proxies;
use hexline_gateway::Peer;
use hexline_model::{Clock, Monotonic};
use tokio::task::AbortHandle;

use super::place::{Phase, Place};
use super::socket::LimitedStream;
use crate::telemetry::Metrics;

/// How many sockets there may be, and what becomes of a stalled one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketLimits {
    pub(crate) per_address: usize,
    pub(crate) total: usize,
    /// Of one address, without a complete request head.
    pub(crate) heads_per_address: usize,
    /// How long a write may make no progress.
    pub(crate) stall: Duration,
}

/// Gives accepted sockets their places.
#[derive(Clone)]
pub(crate) struct ConnectionLimiter(Arc<Shared>);

struct Shared {
    limits: SocketLimits,
    proxies: Proxies,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Those that speak HTTP, by number: who may have to give way.
    visits: HashMap<u64, Listed>,
    /// Those without a complete head, the oldest first.
    heads: BTreeSet<u64>,
    heads_by_address: HashMap<IpAddr, BTreeSet<u64>>,
    next: u64,
    refused: Complaint,
    evicted: Complaint,
    failed: Complaint,
}

struct Listed {
    place: Arc<Place>,
    /// Known as soon as the task has been started.
    task: Option<AbortHandle>,
}

/// A log line that comes at most once a second, and how often it would have come since.
#[derive(Default)]
struct Complaint {
    last: Option<Monotonic>,
    count: u64,
}

/// The time in which a socket speaks HTTP; over when this is dropped.
pub(super) struct Visit(Arc<Place>);

/// How many sockets there may be in all.
pub(crate) fn most_sockets(open_files: Option<u64>, connections: usize) -> usize {
    // Some that are no WebSockets: those that ask for a token or for health.
    let wanted = connections.saturating_add(OTHERS);
    open_files.map_or(wanted, |files| wanted.min(files_for_sockets(files)))
}

/// What is left of the open files that the system allows, once the server has its own.
pub fn files_for_sockets(open_files: u64) -> usize {
    let files = usize::try_from(open_files).unwrap_or(usize::MAX);
    files - RESERVE.min(files / 2)
}

impl ConnectionLimiter {
    pub(crate) fn new(
        limits: SocketLimits,
        proxies: Proxies,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Shared {
            limits,
            proxies,
            clock,
            metrics,
            state: Mutex::default(),
        }))
    }

    /// Says in the log, though not often, that the system gives no more sockets, and lets one give
    /// way.
    pub(super) fn cannot_accept(&self, error: &io::Error) {
        let now = self.0.clock.monotonic();
        let mut state = self.lock();
        let times = state.failed.due(now);
        let evicted = state.give_way();
        drop(state);
        if let Some(times) = times {
            tracing::error!(%error, times, "cannot accept connections");
        }
        self.evict(evicted);
    }

    /// Gives a socket a place, if there is one. Another may lose its own.
    pub(super) fn admit<I>(&self, io: I, from: IpAddr) -> Option<(LimitedStream<I>, Visit)> {
        let address = (!self.0.proxies.trusts(from)).then(|| Peer::of(from).ip());
        let limits = self.0.limits;
        let mut state = self.lock();
        let held = address.map_or(0, |address| state.held(address));
        let mut evicted = Vec::new();
        if held < limits.per_address {
            evicted = state.make_room(address, &limits);
        }
        if held >= limits.per_address || state.total >= limits.total {
            self.0.metrics.sockets_refused.inc();
            let by_all = state.total >= limits.total;
            let times = state.refused.due(self.0.clock.monotonic());
            drop(state);
            if let Some(times) = times {
                let limit = if by_all { "server" } else { "address" };
                tracing::warn!(times, limit, "closed new sockets: too many are open");
            }
            return None;
        }
        let place = state.insert(self, address);
        drop(state);
        self.evict(evicted);
        let visit = Visit(Arc::clone(&place));
        Some((LimitedStream::new(io, place), visit))
    }

    /// From now on the socket can be told to give way, by ending its task.
    pub(super) fn may_end(&self, place: &Place, task: AbortHandle) {
        // It is over already if it is not listed any more.
        if let Some(listed) = self.lock().visits.get_mut(&place.number) {
            listed.task = Some(task);
        }
    }

    /// The socket is no stranger's any more.
    pub(super) fn head_is_complete(&self, place: &Place) {
        self.lock().remove_head(place);
    }

    /// The socket is closed: its place is free.
    pub(super) fn release(&self, place: &Place) {
        self.lock().uncount(place);
    }

    pub(super) fn stall(&self) -> Duration {
        self.0.limits.stall
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.0.clock.as_ref()
    }

    fn evict(&self, evicted: Vec<AbortHandle>) {
        if evicted.is_empty() {
            return;
        }
        self.0.metrics.sockets_evicted.inc_by(evicted.len() as u64);
        let times = self.lock().evicted.due(self.0.clock.monotonic());
        if let Some(times) = times {
            tracing::warn!(times, "closed silent sockets to make room for others");
        }
        for task in evicted {
            task.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets sockets give way until a newcomer finds the pool within its limits, and a place.
    fn make_room(&mut self, address: Option<IpAddr>, limits: &SocketLimits) -> Vec<AbortHandle> {
        let of_address = address.and_then(|address| self.heads_by_address.get(&address));
        let crowded = of_address.filter(|heads| heads.len() >= limits.heads_per_address);
        if let Some(oldest) = crowded.and_then(|heads| heads.first().copied()) {
            return Vec::from_iter(self.remove(oldest));
        }
        let pool = (limits.total / POOL_PART).max(1);
        if self.heads.len() >= pool || self.total >= limits.total {
            return self.give_way();
        }
        Vec::new()
    }

    /// Takes the place of the oldest socket without a head, or of those that wait longest otherwise.
    fn give_way(&mut self) -> Vec<AbortHandle> {
        if let Some(oldest) = self.heads.first().copied() {
            return Vec::from_iter(self.remove(oldest));
        }
        let resting =
            self.longest(|place| place.phase() != Phase::FirstHead && place.waits_for_client());
        let leaving = if resting.is_empty() {
            self.longest(Place::is_unread)
        } else {
            resting
        };
        leaving
            .into_iter()
            .filter_map(|number| self.remove(number))
            .collect()
    }

    /// Of the places of a kind, those that have been in their state longest. Some at once: looking
    /// through all of them should not be needed for each newcomer.
    fn longest(&self, is_meant: impl Fn(&Place) -> bool) -> Vec<u64> {
        let places = self.visits.values().map(|listed| &*listed.place);
        let mut meant: Vec<(Monotonic, u64)> = places
            .filter(|place| is_meant(place))
            .map(|place| (place.waiting_since(), place.number))
            .collect();
        meant.sort_unstable();
        meant.truncate(meant.len().div_ceil(AT_ONCE));
        meant.into_iter().map(|(_, number)| number).collect()
    }

    fn remove(&mut self, number: u64) -> Option<AbortHandle> {
        let listed = self.visits.remove(&number)?;
        self.remove_head(&listed.place);
        self.uncount(&listed.place);
        listed.task
    }

    fn insert(&mut self, limiter: &ConnectionLimiter, address: Option<IpAddr>) -> Arc<Place> {
        let number = self.next;
        self.next += 1;
        self.total += 1;
        self.heads.insert(number);
        if let Some(address) = address {
            *self.by_address.entry(address).or_default() += 1;
            let heads = self.heads_by_address.entry(address).or_default();
            heads.insert(number);
        }
        let place = Arc::new(Place::new(limiter.clone(), address, number));
        let listed = Listed {
            place: Arc::clone(&place),
            task: None,
        };
        self.visits.insert(number, listed);
        place
    }

    fn remove_head(&mut self, place: &Place) {
        self.heads.remove(&place.number);
        if let Some(address) = place.address
            && let Entry::Occupied(mut heads) = self.heads_by_address.entry(address)
        {
            heads.get_mut().remove(&place.number);
            if heads.get().is_empty() {
                heads.remove();
            }
        }
    }

    fn uncount(&mut self, place: &Place) {
        if !place.is_counted.swap(false, Ordering::Relaxed) {
            return;
        }
        self.total -= 1;
        if let Some(address) = place.address
            && let Entry::Occupied(mut held) = self.by_address.entry(address)
        {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }

    fn held(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).copied().unwrap_or(0)
    }
}

impl Complaint {
    /// How often there was reason to complain since the last time, if it is time again.
    fn due(&mut self, now: Monotonic) -> Option<u64> {
        self.count += 1;
        if self.last.is_some_and(|last| now.since(last) < LOG_PAUSE) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

impl Visit {
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let listed = {
            let mut state = self.0.limiter.lock();
            state.remove_head(&self.0);
            state.visits.remove(&self.0.number)
        };
        drop(listed);
    }
}

/// For the database, the control socket, key sets that are fetched, and what libraries open.
const RESERVE: usize = 256;

const OTHERS: usize = 10_000;

/// Sockets without a head may have one place of so many.
const POOL_PART: usize = 4;

/// Of so many that wait, one has to go at once.
const AT_ONCE: usize = 64;

const LOG_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use hexline_model::{ManualClock, Timestamp};
    use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn limits(per_address: usize, total: usize) -> SocketLimits {
        SocketLimits {
            per_address,
            total,
            heads_per_address: total,
            stall: Duration::from_millis(50),
        }
    }

    fn limiter(limits: SocketLimits, proxies: &[&str]) -> ConnectionLimiter {
        limiter_at(&ManualClock::new(Timestamp::from_secs(0)), limits, proxies)
    }

    fn limiter_at(
        clock: &ManualClock,
        limits: SocketLimits,
        proxies: &[&str],
    ) -> ConnectionLimiter {
        let proxies = proxies.iter().map(|net| net.parse().expect("a network"));
        ConnectionLimiter::new(
            limits,
            Proxies::new(proxies.collect()),
            Arc::new(clock.clone()),
            Arc::new(Metrics::new()),
        )
    }

    type Admitted = (LimitedStream<()>, Visit);

    fn admit(limiter: &ConnectionLimiter, from: &str) -> Option<Admitted> {
        limiter.admit((), from.parse().expect("an address"))
    }

    /// One that has sent its first request, and is being answered.
    fn answered(limiter: &ConnectionLimiter, from: &str) -> Option<Admitted> {
        let admitted = admit(limiter, from)?;
        admitted.1.place().enter(Phase::Answering);
        Some(admitted)
    }

    fn number((_, visit): &Admitted) -> u64 {
        visit.place().number
    }

    fn is_counted((_, visit): &Admitted) -> bool {
        visit.place().is_counted.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn an_address_has_so_many_places_and_the_server_so_many() {
        let limiter = limiter(limits(2, 4), &[]);
        let first = answered(&limiter, "192.0.2.1");
        let _second = answered(&limiter, "::ffff:192.0.2.1").expect("the same address");
        assert!(first.is_some() && admit(&limiter, "192.0.2.1").is_none());
        let _others =
            ["127.0.0.1", "127.0.0.2"].map(|from| answered(&limiter, from).expect("a place"));
        assert!(admit(&limiter, "192.0.2.9").is_none(), "the server is full");
        assert_eq!(limiter.0.metrics.sockets_refused.get(), 2);
        drop(first);
        assert!(admit(&limiter, "192.0.2.1").is_some());
    }

    #[tokio::test]
    async fn an_ipv6_block_counts_as_one_address() {
        let limiter = limiter(limits(1, 9), &[]);
        let _held = answered(&limiter, "2001:db8::1").expect("a place");
        assert!(admit(&limiter, "2001:db8::2").is_none());
        assert!(admit(&limiter, "2001:db8:0:1::1").is_some());
    }

    #[tokio::test]
    async fn a_trusted_proxy_has_places_as_long_as_the_server_has() {
        let limiter = limiter(limits(1, 3), &["10.0.0.0/8"]);
        let held: Vec<_> = (0..4)
            .map_while(|_| answered(&limiter, "10.1.2.3"))
            .collect();
        assert_eq!(held.len(), 3);
        drop(held);
        let state = limiter.lock();
        assert!(state.total == 0 && state.by_address.is_empty());
        assert!(state.visits.is_empty() && state.heads.is_empty());
    }

    #[tokio::test]
    async fn the_oldest_silent_socket_of_a_crowded_address_gives_way() {
        let two_heads = SocketLimits {
            heads_per_address: 2,
            ..limits(9, 40)
        };
        let limiter = limiter(two_heads, &[]);
        let elsewhere = admit(&limiter, "192.0.2.9").expect("a place");
        let asks = answered(&limiter, "192.0.2.1").expect("a place");
        let silent: Vec<_> = (0..3).map_while(|_| admit(&limiter, "192.0.2.1")).collect();
        let counted: Vec<bool> = silent.iter().map(is_counted).collect();
        assert_eq!(counted, [false, true, true]);
        assert!(is_counted(&asks) && is_counted(&elsewhere));
        assert_eq!(limiter.lock().total, 4);
        drop(silent);
        assert_eq!(
            limiter.lock().total,
            2,
            "what gave way is not counted twice"
        );
    }

    #[tokio::test]
    async fn silent_sockets_have_a_quarter_of_all_places() {
        let limiter = limiter(limits(40, 40), &[]);
        let silent: Vec<_> = (0..11)
            .map_while(|n| admit(&limiter, &format!("192.0.2.{n}")))
            .collect();
        assert_eq!(silent.iter().filter(|one| is_counted(one)).count(), 10);
        assert!(!is_counted(&silent[0]));
    }

    #[tokio::test]
    async fn who_waits_longest_gives_way_when_all_places_are_taken_and_who_is_answered_never() {
        let limiter = limiter(limits(9, 3), &[]);
        let held: Vec<_> = (1..4)
            .map_while(|n| answered(&limiter, &format!("192.0.2.{n}")))
            .collect();
        assert!(
            admit(&limiter, "192.0.2.9").is_none(),
            "all are being answered"
        );
        held[0].1.place().enter(Phase::Idle);
        held[0]
            .1
            .place()
            .set_waiting_since(Monotonic::from_millis(20));
        held[1].1.place().enter(Phase::Body);
        held[1]
            .1
            .place()
            .set_waiting_since(Monotonic::from_millis(10));
        let newcomer = admit(&limiter, "192.0.2.9").expect("a place");
        assert_eq!(number(&newcomer), 3);
        let counted: Vec<bool> = held.iter().map(is_counted).collect();
        assert_eq!(counted, [true, false, true]);
    }

    #[test]
    fn a_complaint_comes_once_a_second_and_says_how_often() {
        let mut complaint = Complaint::default();
        let at = Monotonic::from_millis;
        assert_eq!(complaint.due(at(0)), Some(1));
        assert_eq!(complaint.due(at(10)), None);
        assert_eq!(complaint.due(at(999)), None);
        assert_eq!(complaint.due(at(1000)), Some(3));
    }

    #[test]
    fn sockets_leave_some_open_files_to_the_server() {
        assert_eq!(most_sockets(Some(1 << 20), 200_000), 210_000);
        assert_eq!(most_sockets(Some(20_000), 200_000), 19_744);
        assert_eq!(most_sockets(Some(100), 200_000), 50);
        assert_eq!(most_sockets(Some(u64::MAX), 10), 10_010);
        assert_eq!(most_sockets(None, 10), 10_010);
    }

    // Regression: sockets that asked and never read kept newcomers out until their writes timed out.
    #[tokio::test]
    async fn who_leaves_an_answer_unread_gives_way_after_those_that_rest() {
        let limiter = limiter(limits(9, 3), &[]);
        let held: Vec<_> = (1..4)
            .map_while(|n| answered(&limiter, &format!("192.0.2.{n}")))
            .collect();
        held[0].1.place().set_stalled(true);
        held[1].1.place().enter(Phase::Idle);
        let _first = answered(&limiter, "192.0.2.9").expect("a place");
        let counted = || held.iter().map(is_counted).collect::<Vec<_>>();
        assert_eq!(counted(), [true, false, true]);
        let _second = answered(&limiter, "192.0.2.9").expect("a place");
        assert_eq!(counted(), [false, false, true]);
        assert!(admit(&limiter, "192.0.2.9").is_none(), "it is read");
    }

    #[tokio::test]
    async fn a_write_that_nobody_reads_ends_in_an_error() {
        let (io, _never_reads) = duplex(16);
        let from = IpAddr::from([127, 0, 0, 1]);
        let clock = ManualClock::new(Timestamp::from_secs(0));
        let limiter = limiter_at(&clock, limits(1, 1), &[]);
        let (mut socket, _visit) = limiter.admit(io, from).expect("a place");
        assert!(socket.is_write_vectored());
        let mut writing = pin!(socket.write_all(&[0; 64]));
        for ms in [0, 49] {
            clock.advance(Duration::from_millis(ms));
            assert!(futures_util::poll!(writing.as_mut()).is_pending());
        }
        clock.advance(Duration::from_millis(1));
        let error = writing.await.expect_err("it stalls");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_slow_reader_is_no_stall() {
        let (io, mut reader) = duplex(16);
        let from = IpAddr::from([127, 0, 0, 1]);
        let clock = ManualClock::new(Timestamp::from_secs(0));
        let limiter = limiter_at(&clock, limits(1, 1), &[]);
        let (mut socket, _visit) = limiter.admit(io, from).expect("a place");
        let reading = async {
            let mut read = [0; 8];
            for _ in 0..8 {
                tokio::task::yield_now().await;
                // Each pause is shorter than the alarm; all of them together are longer.
                clock.advance(Duration::from_millis(40));
                reader.read_exact(&mut read).await.expect("bytes");
            }
        };
        let (written, ()) = tokio::join!(socket.write_all(&[0; 64]), reading);
        written.expect("all is written");
    }
}
