mod answers;
mod batches;
mod exchange;
mod in_flight;
mod recall;
mod slow;
mod sockets;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use hexline_model::{
    AppId, Clock, KeyId, ManualClock, NodeId, Route, Subject, SystemEntropy, Timestamp,
};
use hexline_protocol::CloseCode;
use hexline_protocol::session::SessionLimits;
use hexline_services::RegistryServices;
use hexline_services::apps::{AppChanges, AppLimits, AppName, AppSettings};
use hexline_services::keys::{Authorization, KeyOptions, NewKey};
use hexline_services::session::{SessionService, SessionSettings};
use hexline_services::signal::SignalService;
use hexline_services::vault::{MasterKey, Sealer};
use hexline_store::{Database, DatabaseConfig};
use hexline_token::{Algorithm, Grants, Permissions};

use super::connections::{AppStats, Connections, Filter, Target};
use super::dispatch::Services;
use super::handler::{FrameHandler, Now};
use super::hub::{Admission, AdmissionError, Hub};
use super::limits::Limits;
use super::log::LogLines;
use super::log::LogPeer;
use super::metrics::Metrics;
use super::outbox::{Outgoing, Take};
use super::peer::Peer;
use super::session::{ClientSession, ClientSessionContext};
use recall::SlowHistory;
use slow::{HandDriven, SlowService, WithSlow};

/// A hub over real keys, with a clock that stands still.
struct Rig {
    clock: Arc<ManualClock>,
    services: RegistryServices,
    hub: Arc<Hub>,
    connections: Connections,
    context: Arc<ClientSessionContext>,
    slow: Arc<SlowService>,
    tasks: Arc<HandDriven>,
    history: SlowHistory,
    app: AppId,
    key: KeyId,
    _dir: tempfile::TempDir,
}

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

impl Rig {
    async fn new(edit: impl FnOnce(&mut Limits)) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let dir = tempfile::tempdir().expect("a temporary directory");
        let place = DatabaseConfig::parse(None, dir.path()).expect("SQLite");
        let shared = || Arc::clone(&clock) as Arc<dyn Clock>;
        let database = Database::open(&place, shared()).await.expect("opened");
        let sealer = Sealer::new(&MasterKey::generate(&SystemEntropy));
        let options = KeyOptions::default();
        let entropy = Arc::new(SystemEntropy);
        let services =
            RegistryServices::open(database.stores(), sealer, shared(), entropy, options)
                .await
                .expect("opened");
        let name = AppName::parse("app").expect("a name");
        let app = services
            .apps
            .create(name, AppSettings::default())
            .await
            .expect("made")
            .id;
        let order = NewKey::generate(Algorithm::Hs256);
        let key = services
            .keys
            .create_key(app, order)
            .await
            .expect("made")
            .record
            .id;
        let mut limits = Limits::default();
        edit(&mut limits);
        let (limits, metrics) = (Arc::new(limits), Arc::new(Metrics::default()));
        let history = SlowHistory::default();
        let hub = Hub::new(
            Arc::clone(&limits),
            Arc::clone(services.registry()),
            history.fanout(),
            shared(),
            Arc::clone(&metrics),
        );
        let called = Services {
            signal: SignalService::new(128),
            session: SessionService::new(
                Arc::clone(services.registry()),
                SessionSettings {
                    limits: SessionLimits {
                        frame_bytes: 65536,
                        calls_per_second: 50,
                        call_burst: 100,
                        channels: 128,
                    },
                    features: Vec::new(),
                    node: NodeId::generate(&SystemEntropy),
                    server: "hexline".to_owned(),
                },
            ),
        };
        let (slow, tasks) = (Arc::<SlowService>::default(), Arc::<HandDriven>::default());
        let log = Arc::new(LogLines::new(LogPeer::None, clock.clone()));
        let context = Arc::new(ClientSessionContext {
            dispatcher: Box::new(WithSlow(called, Arc::clone(&slow))),
            spawn: Arc::clone(&tasks) as _,
            clock: shared(),
            limits,
            metrics,
            log,
        });
        let observer = Arc::clone(&hub);
        services
            .keys
            .on_event(Box::new(move |event| observer.on_key_event(event)));
        Self {
            clock,
            services,
            connections: Connections::new(NodeId::generate(&SystemEntropy), Arc::clone(&hub)),
            hub,
            context,
            slow,
            tasks,
            history,
            app,
            key,
            _dir: dir,
        }
    }

    fn now(&self) -> Now {
        Now::of(self.clock.as_ref())
    }

    /// What a token of a device allows, signed by the rig's first key.
    fn authorization(&self, subject: &str, ttl: Option<Duration>) -> Authorization {
        let issued = self.clock.now();
        Authorization {
            app: self.app,
            key: self.key,
            jwk: None,
            subject: Some(Subject::parse(subject).expect("well formed")),
            token_id: Some("t1".into()),
            sources: Box::default(),
            issued,
            expires: ttl.map(|ttl| issued.plus(ttl)),
            permissions: Arc::new(Permissions::new(Grants::all(), None)),
        }
    }

    fn admit(&self, subject: &str, ttl: Option<Duration>) -> Result<Admission, AdmissionError> {
        self.admit_with(self.authorization(subject, ttl))
    }

    fn admit_with(&self, authorization: Authorization) -> Result<Admission, AdmissionError> {
        let caller = authorization.connected(Route::generate(&SystemEntropy));
        let caller = caller.expect("a client's");
        self.hub.admit(caller, authorization, Peer::of(PEER))
    }

    fn session(&self, subject: &str, ttl: Option<Duration>) -> ClientSession {
        self.session_of(self.admit(subject, ttl).expect("let in"))
    }

    fn session_of(&self, admission: Admission) -> ClientSession {
        ClientSession::new(admission, Arc::clone(&self.context), self.now())
    }

    /// Lets time pass as the socket does: from one deadline of the session to the next.
    fn pass(&self, session: &mut ClientSession, span: Duration) -> usize {
        let end = self.now().monotonic.plus(span);
        let mut pings = 0;
        loop {
            let now = self.now();
            let next = session
                .poll_timeout(now)
                .max(now.monotonic.plus(Duration::from_millis(1)));
            if next > end {
                self.clock.advance(end.since(now.monotonic));
                return pings;
            }
            self.clock.advance(next.since(now.monotonic));
            pings += usize::from(session.handle_timeout(self.now()));
            if closing(session).is_some() {
                return pings;
            }
        }
    }
}

fn outgoing(session: &ClientSession) -> (Vec<String>, Option<CloseCode>) {
    let mut batch = std::collections::VecDeque::new();
    let mut cx = Context::from_waker(Waker::noop());
    let outbox = session.outbox();
    let mut close = None;
    loop {
        match outbox.poll_take(&mut cx, usize::MAX, |message| batch.push_back(message)) {
            Poll::Ready(Take::Messages(bytes)) => outbox.written(bytes),
            Poll::Ready(Take::Close(code)) => close = Some(code),
            Poll::Ready(Take::Nudge) => {}
            Poll::Pending => break,
        }
    }
    let text = |message| match message {
        Outgoing::Text(bytes) => String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        Outgoing::Binary(_) => panic!("the gateway says text only"),
    };
    (batch.into_iter().map(text).collect(), close)
}

fn closing(session: &ClientSession) -> Option<CloseCode> {
    session.outbox().closing()
}

#[tokio::test]
async fn a_silent_connection_is_pinged_and_then_closed() {
    let rig = Rig::new(|_| ()).await;
    let mut session = rig.session("a/d", None);
    assert_eq!(rig.pass(&mut session, Duration::from_millis(24_999)), 0);
    assert_eq!(
        rig.pass(&mut session, Duration::from_secs(50)),
        1,
        "one ping, no more"
    );
    assert_eq!(closing(&session), None);
    rig.pass(&mut session, Duration::from_millis(1));
    assert_eq!(closing(&session), Some(CloseCode::Idle));
}

#[tokio::test]
async fn any_frame_is_a_sign_of_life() {
    let rig = Rig::new(|_| ()).await;
    let mut session = rig.session("a/d", None);
    for _ in 0..4 {
        assert_eq!(rig.pass(&mut session, Duration::from_mins(1)), 1);
        session.handle_control(rig.now());
        rig.pass(&mut session, Duration::from_secs(24));
        session.handle_text(rig.now(), "_ping");
    }
    assert_eq!(outgoing(&session), (vec!["_pong".to_owned(); 4], None));
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let rig = Rig::new(|_| ()).await;
    let mut session = rig.session("a/d", Some(Duration::from_secs(5)));
    rig.pass(&mut session, Duration::from_millis(14_999));
    assert_eq!(closing(&session), None, "the leeway counts");
    rig.pass(&mut session, Duration::from_millis(1));
    assert_eq!(closing(&session), Some(CloseCode::TokenExpired));
}

#[tokio::test]
async fn a_calendar_that_jumps_ends_tokens_and_no_silence() {
    let rig = Rig::new(|_| ()).await;
    let mut lasting = rig.session("a/d", None);
    let mut ending = rig.session("b/d", Some(Duration::from_hours(1)));
    rig.clock.set(rig.clock.now().plus(Duration::from_hours(2)));
    rig.pass(&mut lasting, Duration::from_secs(26));
    ending.handle_timeout(rig.now());
    assert_eq!(closing(&lasting), None);
    assert_eq!(closing(&ending), Some(CloseCode::TokenExpired));
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"signal.leave","params":{"id":"x"}}"#;

/// Calls as often as the session lets it; how many calls it took to be closed, if it was. `unread`
/// is what waits then.
fn hammer(
    rig: &Rig,
    session: &mut ClientSession,
    calls: usize,
    unread: impl Fn(usize) -> usize,
) -> Option<usize> {
    for n in 1..=calls {
        session.handle_text(rig.now(), CALL);
        if let Some(until) = session.paused_until() {
            rig.clock.advance(until.since(rig.now().monotonic));
            session.handle_resume(rig.now(), unread(n));
            session.handle_timeout(rig.now());
        }
        if closing(session).is_some() {
            return Some(n);
        }
    }
    None
}

/// What the server's side of a socket holds; the client's fills it up again.
const SOCKET: usize = 192 << 10;

#[tokio::test]
async fn all_that_is_asked_for_at_once_after_connecting_is_answered() {
    let rig = Rig::new(|_| ()).await;
    let mut session = rig.session("a/d", None);
    let start = rig.now().monotonic;
    let waiting = |n| SOCKET.min((5000 - n) * CALL.len());
    assert_eq!(hammer(&rig, &mut session, 5000, waiting), None);
    assert_eq!(outgoing(&session).0.len(), 5000);
    // 1,099 at once, and one each 20 ms.
    let took = rig.now().monotonic.since(start);
    assert_eq!(took, Duration::from_millis(3901 * 20));
}

#[tokio::test]
async fn a_flood_is_held_back_for_a_minute_and_then_closed() {
    let rig = Rig::new(|_| ()).await;
    let mut session = rig.session("a/d", None);
    let calls = hammer(&rig, &mut session, 10_000, |_| 70_000);
    assert_eq!(calls, Some(1100 + 60 * 50), "the opening, then 50 a second");
    assert_eq!(
        outgoing(&session),
        (
            vec![r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(); 4100],
            Some(CloseCode::RateLimited)
        ),
        "each was answered"
    );
    let mut patient = rig.session("b/d", None);
    assert_eq!(hammer(&rig, &mut patient, 10_000, |_| 64 << 10), None);
}

#[tokio::test]
async fn a_burst_may_fill_the_socket_up_again_for_as_long_as_patience_lasts() {
    let rig = Rig::new(|_| ()).await;
    let size = 1 << 10;
    // The opening, a minute at 50 a second, and what the socket holds when it ends.
    let most = 1100 + 60 * 50 + SOCKET / size - 1;
    let burst = |subject, calls| {
        let mut session = rig.session(subject, None);
        let waiting = |n| SOCKET.min((calls - n) * size);
        hammer(&rig, &mut session, calls, waiting)
    };
    assert_eq!(burst("a/d", most), None);
    assert_eq!(burst("b/d", most + 1), Some(1100 + 60 * 50));
}

#[tokio::test]
async fn a_pause_longer_than_the_idle_time_is_no_silence() {
    let rig = Rig::new(|limits| {
        limits.calls_per_second = 1;
        limits.opening_calls = 0;
    })
    .await;
    let mut session = rig.session("a/d", None);
    let batch = format!("[{}]", [CALL; 100].join(","));
    for _ in 0..3 {
        session.handle_text(rig.now(), &batch);
        if let Some(until) = session.paused_until() {
            let span = until.since(rig.now().monotonic);
            let almost = span.saturating_sub(Duration::from_millis(1));
            assert!(rig.pass(&mut session, almost) <= 1);
            let next = session.poll_timeout(rig.now());
            assert_eq!(next, until, "nothing is due before the pause ends");
            rig.clock.advance(Duration::from_millis(1));
            session.handle_resume(rig.now(), 0);
            session.handle_timeout(rig.now());
        }
    }
    assert_eq!(closing(&session), None);
}

#[tokio::test]
async fn a_large_answer_that_takes_longer_than_the_idle_time_is_no_silence() {
    let rig = Rig::new(|limits| limits.outbox_bytes = 1000).await;
    let mut session = rig.session("a/d", None);
    let answer = Outgoing::Text(vec![b'x'; 5000].into());
    assert!(session.outbox().push_answer(answer));
    // The second time that so much silence would be over is after 150 s.
    rig.pass(&mut session, Duration::from_secs(149));
    assert_eq!(closing(&session), None, "it is still on its way");
    assert_eq!(outgoing(&session).0.len(), 1);
    session.handle_unblocked(rig.now());
    assert_eq!(rig.pass(&mut session, Duration::from_secs(74)), 1);
    assert_eq!(closing(&session), None, "its silence begins now");
    rig.pass(&mut session, Duration::from_secs(1));
    assert_eq!(closing(&session), Some(CloseCode::Idle));
}

#[tokio::test]
async fn a_revocation_closes_what_it_names_at_once() {
    let rig = Rig::new(|_| ()).await;
    let (revoked, other) = (rig.session("a/d", None), rig.session("b/d", None));
    let scope = hexline_services::revocations::Scope::Identity(
        hexline_model::Identity::parse("a").expect("well formed"),
    );
    rig.services
        .revocations
        .revoke_issued_before(rig.app, scope, rig.clock.now())
        .await
        .expect("revoked");
    assert_eq!(closing(&revoked), Some(CloseCode::Revoked));
    assert_eq!(closing(&other), None);
    rig.services
        .keys
        .revoke_key(rig.key)
        .await
        .expect("revoked");
    assert_eq!(closing(&other), Some(CloseCode::Revoked));
    let late = rig.admit("c/d", None).expect("let in");
    assert_eq!(
        late.permit.connection.outbox.closing(),
        Some(CloseCode::Revoked),
        "a token that was verified just before the revocation"
    );
}

#[tokio::test]
async fn a_rotated_key_lasts_for_its_overlap_and_then_asks_for_a_new_token() {
    let rig = Rig::new(|_| ()).await;
    let mut session = rig.session("a/d", None);
    rig.services
        .keys
        .rotate_key(rig.key, Some(Duration::from_secs(30)))
        .await
        .expect("rotated");
    rig.pass(&mut session, Duration::from_millis(29_999));
    assert_eq!(closing(&session), None);
    rig.pass(&mut session, Duration::from_millis(1));
    assert_eq!(closing(&session), Some(CloseCode::TokenExpired));
}

#[tokio::test]
async fn the_hub_counts_devices_keys_and_network_addresses() {
    let full = |result: Result<Admission, AdmissionError>| result.err();
    let rig = Rig::new(|limits| limits.devices_per_identity = 2).await;
    let (one, _two) = (rig.admit("a/1", None), rig.admit("a/2", None));
    let _again = rig
        .admit("a/2", None)
        .expect("a device that is there already");
    assert_eq!(
        full(rig.admit("a/3", None)),
        Some(AdmissionError::Devices(2))
    );
    drop(one);
    assert_eq!(full(rig.admit("a/3", None)), None, "one has gone");

    let rig = Rig::new(|limits| limits.connections_per_key = 1).await;
    let _one = rig.admit("a/1", None);
    assert_eq!(full(rig.admit("b/1", None)), Some(AdmissionError::Key(1)));

    let rig = Rig::new(|limits| limits.connections_per_address = 1).await;
    let _one = rig.admit("a/1", None);
    assert_eq!(full(rig.admit("b/1", None)), Some(AdmissionError::Peer(1)));

    let rig = Rig::new(|limits| limits.connections_per_app = 1).await;
    let _one = rig.admit("a/1", None);
    assert_eq!(full(rig.admit("b/1", None)), Some(AdmissionError::App(1)));
}

#[tokio::test]
async fn a_drain_asks_everybody_to_go_and_lets_nobody_in() {
    let rig = Rig::new(|_| ()).await;
    let session = rig.session("a/d", None);
    rig.hub.drain(Duration::ZERO).await;
    assert_eq!(closing(&session), Some(CloseCode::GoingAway));
    assert_eq!(rig.admit("b/d", None).err(), Some(AdmissionError::Draining));
    drop(session);
    assert_eq!(rig.hub.total(), 0);
}

// Regression: it went on sleeping for those that had gone.
#[tokio::test]
async fn a_drain_ends_as_soon_as_nobody_is_left() {
    let rig = Rig::new(|_| ()).await;
    let sessions = ["a/d", "b/d", "c/d"].map(|subject| rig.session(subject, None));
    let mut draining = Box::pin(rig.hub.drain(Duration::from_hours(1)));
    assert!(futures_util::poll!(&mut draining).is_pending());
    drop(sessions);
    assert!(
        futures_util::poll!(draining).is_ready(),
        "nobody is waited for"
    );
}

#[tokio::test]
async fn a_drain_is_spread_evenly_and_can_be_cut_short() {
    let rig = Rig::new(|_| ()).await;
    let sessions = ["a/d", "b/d", "c/d", "d/d"].map(|subject| rig.session(subject, None));
    let told = || sessions.iter().filter(|s| closing(s).is_some()).count();
    let mut draining = Box::pin(rig.hub.drain(Duration::from_secs(10)));
    for (at_ms, expected) in [(100, 1), (2_500, 2), (2_500, 3)] {
        rig.clock.advance(Duration::from_millis(at_ms));
        assert!(futures_util::poll!(&mut draining).is_pending());
        assert_eq!(told(), expected, "after {at_ms} ms more");
        assert_eq!(rig.admit("e/d", None).err(), Some(AdmissionError::Draining));
    }
    drop(draining);
    rig.hub.drain(Duration::ZERO).await;
    assert_eq!(told(), 4);
}

#[tokio::test]
async fn connections_are_listed_a_page_at_a_time() {
    let rig = Rig::new(|_| ()).await;
    let ttl = Some(Duration::from_mins(1));
    let admissions: Vec<Admission> = ["alice/web", "alice/phone", "bob/web", "carol/tv"]
        .map(|subject| rig.admit(subject, ttl).expect("let in"))
        .into();
    let list = |filter: &Filter, after, limit| {
        at_once(rig.connections.list(rig.app, filter, after, limit))
    };
    let all = Filter::default();
    let mut expected: Vec<Route> = admissions
        .iter()
        .map(|admission| admission.permit.connection.address.route())
        .collect();
    expected.sort_unstable();
    let (mut routes, mut after) = (Vec::new(), None);
    loop {
        let page = list(&all, after, 3);
        let Some(last) = page.last() else { break };
        after = Some(last.address.route());
        routes.extend(page.iter().map(|view| view.address.route()));
    }
    assert_eq!(routes, expected);
    let found = |filter: Filter| {
        let mut found: Vec<String> = list(&filter, None, 10)
            .iter()
            .map(|view| view.address.subject().to_owned())
            .collect();
        found.sort();
        found
    };
    let identity = Some("alice".to_owned());
    assert_eq!(
        found(Filter {
            identity: identity.clone(),
            ..Filter::default()
        }),
        ["alice/phone", "alice/web"]
    );
    assert_eq!(
        found(Filter {
            identity,
            device: Some("web".to_owned()),
            search: None,
        }),
        ["alice/web"]
    );
    let search = |text: &str| Filter {
        search: Some(text.to_owned()),
        ..Filter::default()
    };
    assert_eq!(found(search("WEB")), ["alice/web", "bob/web"]);
    assert_eq!(found(search("192.0.2")).len(), 4, "by network address");
    assert!(found(search("dave")).is_empty());
    let view = &list(&search("carol"), None, 10)[0];
    assert_eq!((view.remote, view.key), (PEER, rig.key));
    assert_eq!(view.since, rig.clock.now());
    assert!(view.expires.is_some() && view.grants == Grants::all());
    assert!(at_once(rig.connections.list(other(), &all, None, 10)).is_empty());
}

#[tokio::test]
async fn what_is_named_is_disconnected_and_nothing_else() {
    let rig = Rig::new(|_| ()).await;
    let admissions: Vec<Admission> = ["alice/web", "alice/phone", "bob/web", "carol/tv"]
        .map(|subject| rig.admit(subject, None).expect("let in"))
        .into();
    let closing = || {
        let closing = admissions
            .iter()
            .map(|admission| admission.permit.connection.outbox.closing());
        closing.collect::<Vec<_>>()
    };
    let gone = Some(CloseCode::Forbidden);
    assert_eq!(
        (rig.hub.count(rig.app), rig.hub.count_by_key(rig.key)),
        (4, 4)
    );
    let device = Subject::parse("alice/web").expect("well formed");
    let target = Target::Device(device.clone());
    let disconnect =
        |app, target: &Target| at_once(rig.connections.disconnect(app, target)).total();
    assert_eq!(disconnect(other(), &target), 0, "another app's");
    assert_eq!(disconnect(rig.app, &target), 1);
    assert_eq!(closing(), [gone, None, None, None]);
    assert_eq!(disconnect(rig.app, &Target::Identity(device.identity)), 2);
    assert_eq!(closing(), [gone, gone, None, None]);
    let route = admissions[3].permit.connection.address.route();
    assert_eq!(disconnect(rig.app, &Target::Route(route)), 1);
    assert_eq!(closing(), [gone, gone, None, gone]);
    drop(admissions);
    assert_eq!(
        (rig.hub.count(rig.app), rig.hub.count_by_key(rig.key)),
        (0, 0)
    );
}

#[tokio::test]
async fn what_a_connection_and_its_app_said_is_counted() {
    let rig = Rig::new(|_| ()).await;
    let session = rig.session("alice/web", None);
    session.count_received(10);
    session.count_sent(2, 30);
    let view = &at_once(rig.connections.list(rig.app, &Filter::default(), None, 1))[0];
    let counted = (view.traffic.messages_in, view.traffic.bytes_in);
    assert_eq!(counted, (1, 10));
    assert_eq!((view.traffic.messages_out, view.traffic.bytes_out), (2, 30));
    drop(session);
    let stats = rig.hub.stats(rig.app);
    assert_eq!(stats.connections, 0);
    assert_eq!(stats.traffic.bytes_out, 30, "what was counted stays");
    assert_eq!(rig.hub.stats(other()), AppStats::default());
}

#[tokio::test]
async fn nothing_of_a_deleted_app_stays_whoever_came_in_late() {
    let rig = Rig::new(|_| ()).await;
    let early = rig.admit("alice/web", None).expect("let in");
    let deleted = rig.services.apps.delete(rig.app).await;
    deleted.expect("deleted");
    // Their tokens were verified before.
    let late = ["bob/web", "carol/web"].map(|subject| rig.admit(subject, None).expect("let in"));
    let kept = || {
        let state = rig.hub.lock();
        (state.traffic.len(), state.turns.len())
    };
    drop(early);
    for admission in late {
        assert_eq!(kept(), (1, 1));
        assert!(admission.permit.connection.outbox.closing().is_some());
        drop(admission);
    }
    assert_eq!(kept(), (0, 0));
}

#[tokio::test]
async fn an_app_may_be_stricter_with_itself_than_the_server_is() {
    let rig = Rig::new(|limits| limits.devices_per_identity = 2).await;
    let limit = async |limits: AppLimits| {
        let changes = AppChanges {
            limits: Some(limits),
            ..AppChanges::default()
        };
        rig.services
            .apps
            .update(rig.app, changes)
            .await
            .expect("changed");
    };
    limit(AppLimits {
        devices_per_identity: Some(1),
        connections: Some(2),
        messages_per_second: Some(1),
    })
    .await;
    let _one = rig.admit("a/1", None).expect("let in");
    let full = |result: Result<Admission, AdmissionError>| result.err();
    assert_eq!(
        full(rig.admit("a/2", None)),
        Some(AdmissionError::Devices(1))
    );
    let mut two = rig.session("b/1", None);
    assert_eq!(full(rig.admit("c/1", None)), Some(AdmissionError::App(2)));
    for _ in 0..21 {
        two.handle_control(rig.now());
    }
    assert_eq!(two.paused_until(), None);
    two.handle_control(rig.now());
    assert!(
        two.paused_until().is_some(),
        "one call a second, two at once, and 20 of the opening credit"
    );
    limit(AppLimits {
        devices_per_identity: Some(100),
        ..AppLimits::default()
    })
    .await;
    let _more = rig.admit("a/2", None).expect("let in");
    assert_eq!(
        full(rig.admit("a/3", None)),
        Some(AdmissionError::Devices(2)),
        "the server's limit stands"
    );
}

/// What this node answers.
fn at_once<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("no other node is asked")
}

fn other() -> AppId {
    AppId::generate(&SystemEntropy)
}
