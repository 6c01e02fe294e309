use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use hexline_api::{
    Api, App, AuthState, ClientState, ConsoleState, DEMO_APP, DemoTokens, Doorkeeper, Feed,
    OperationsState, Options, Places, PlatformState, Probe, Proxies, RateLimits, RequestIds, Tasks,
    Throttle,
};
use hexline_fanout::Fanout;
use hexline_gateway::{ClientSessionContext, Hub, LogLines, Services};
use hexline_model::{Clock, Entropy, KeyId, NodeId, Secret, SystemClock, SystemEntropy};
use hexline_services::apps::{AppName, AppSettings};
use hexline_services::audit::AuditService;
use hexline_services::auth::{AuthOptions, AuthService};
use hexline_services::idempotency::IdempotencyService;
use hexline_services::keys::{KeyError, KeyService, NewKey};
use hexline_services::reach::{Reach, UrlRule};
use hexline_services::signal::{Announcements, SignalService};
use hexline_services::tokens::TokenService;
use hexline_services::webhooks::{Backoff, WebhookOptions, WebhookService};
use hexline_store::{Backend, Database, NodeError};
use hexline_token::Algorithm;
use socket2::{Domain, Protocol, Socket, Type};
use tokio_util::sync::CancellationToken;

use crate::accept::{
    Doors, DoorsOptions, Gate, GateLimits, Upgrades, files_for_sockets, most_sockets,
};
use crate::adapters::store_probe::DatabaseProbe;
use crate::adapters::webhooks::hooks::Hooks;
use crate::adapters::webhooks::{Post, PostOptions};
use crate::adapters::{jwks::JwksFetcher, outbound::OutboundHttp, tls::Tls};
use crate::claim::claim;
use crate::config::{Config, Limits, TlsConfig};
use crate::control::{self, ControlSocket, Desk};
use crate::datadir::DataLock;
use crate::node::Registration;
use crate::records;
use crate::telemetry::Metrics;

/// A Hexline server. Several may run in one process, each with its own data directory.
#[derive(Debug)]
pub struct Server;

/// How a server starts.
pub struct ServerBuilder {
    config: Config,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A server that listens.
pub struct Running {
    parts: Arc<Parts>,
    local_addr: SocketAddr,
    dev: Option<DevApp>,
    setup: Option<Secret<String>>,
    doors: Doors,
    upkeep: CancellationToken,
    upkeep_tasks: Tasks,
    control: ControlSocket,
    post: Post,
    _lock: DataLock,
}

/// What runs beside the doors and what they stand on.
struct Parts {
    api: Api,
    hooks: Arc<Hooks>,
    key_sets: Arc<JwksFetcher>,
    metrics: Arc<Metrics>,
    database: Database,
    /// Its place among the servers on the database.
    registration: Arc<Registration>,
    /// One task per live connection, and what else has to end before the records close.
    tasks: Arc<Tasks>,
    config: Config,
}

/// What `--dev` made, or found from an earlier start.
#[derive(Debug, Clone)]
pub struct DevApp {
    /// The app's name.
    pub app: String,
    /// Its key.
    pub key_id: KeyId,
    /// The key's secret.
    pub key_secret: Secret<String>,
}

impl Server {
    /// A server that is about to start, by the machine's clock and randomness unless told otherwise.
    pub fn builder(config: Config) -> ServerBuilder {
        ServerBuilder {
            config,
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
        }
    }

    /// Starts a server as [`builder`](Self::builder) makes it.
    pub async fn start(config: Config) -> anyhow::Result<Running> {
        Self::builder(config).start().await
    }
}

impl ServerBuilder {
    /// What the server goes by in all that it does, its timers included.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Where ids, secrets and nonces come from.
    #[must_use]
    pub fn entropy(self, entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, ..self }
    }

    /// Opens the data directory, listens, and serves until [`Running::shutdown`].
    #[expect(
        clippy::too_many_lines,
        reason = "one list of parts, each made once and handed on"
    )]
    pub async fn start(self) -> anyhow::Result<Running> {
        let Self {
            config,
            clock,
            entropy,
        } = self;
        config.check()?;
        let lock = claim(&config).await?;
        // A connection is an open file. What the system allows at most is not ours to exceed.
        let files = rlimit::increase_nofile_limit(u64::MAX).ok();
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        let listener = listen(config.listen, config.limits.send_buffer_bytes)
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let local_addr = listener.local_addr()?;
        let port = local_addr.port();
        let (at, random) = (Arc::clone(&clock), Arc::clone(&entropy));
        let url = config.base_url(port);
        let node = NodeId::generate(&*entropy);
        let register = async || Registration::new(&config, node, &url, clock.now()).await;
        // A server that is refused leaves the schema as the other one knows it.
        let early = match register().await {
            Err(NodeError::NoTable) => None,
            registered => Some(registered?),
        };
        let records = records::open_at(&config, port, at, random, &lock).await?;
        let registration = match early {
            Some(registration) => registration,
            None => register().await?,
        };
        let dev = if config.dev {
            Some(demo_app(&records.keys).await?)
        } else {
            None
        };

        let metrics = Arc::new(Metrics::new());
        let limits = Arc::new(config.limits.gateway());
        let log = Arc::new(LogLines::new(config.log.peer, Arc::clone(&clock)));
        let registry = Arc::clone(records.keys.registry());
        let tasks = Arc::new(Tasks::default());
        let proxies = Proxies::new(config.trusted_proxies.clone());
        let gate = Gate::new(
            gate_limits(&config.limits, files),
            proxies.clone(),
            Arc::clone(&clock),
            Arc::clone(&metrics),
        );
        let webhook_rule = webhook_rule(&config);
        let provider_rule = config.provider_rule();
        let (webhooks, waiting) = WebhookService::new(
            Arc::new(records.database.clone()),
            Arc::clone(&records.keys),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            webhook_options(&config, webhook_rule),
        );
        let hooks = Hooks::new(
            Arc::clone(&webhooks),
            Arc::clone(&registry),
            Arc::clone(&clock),
        );
        let fanout = Fanout::new(Arc::new(Announcements)).observed_by(Arc::clone(&hooks) as _);
        let fanout = Arc::new(fanout);
        let hub = Hub::new(
            Arc::clone(&limits),
            Arc::clone(&registry),
            Arc::clone(&fanout),
            Arc::clone(&clock),
            Arc::clone(&metrics.gateway),
        );
        let key_sets = Arc::new(JwksFetcher::new(
            Arc::clone(&clock),
            Arc::clone(&tasks),
            provider_rule,
        )?);
        let door = Doorkeeper::new(
            registry,
            Arc::clone(&key_sets) as _,
            config.limits.failed_tokens_per_minute,
            config.dev,
            proxies,
            Arc::clone(&clock),
            Arc::clone(&metrics.gateway),
        )
        .observed_by(Arc::clone(&hooks) as _);
        let operators = records.operators;
        let setup = operators.open_setup().await?;
        let audit = Arc::new(AuditService::new(
            Arc::new(records.database.clone()),
            Arc::clone(&clock),
            Arc::clone(&entropy),
        ));
        let auth = Arc::new(AuthService::new(
            Arc::new(records.database.clone()),
            Arc::clone(&records.keys),
            Arc::new(TokenService::new(
                Arc::clone(&records.keys),
                url.as_str(),
                Arc::clone(&clock),
            )),
            Arc::new(OutboundHttp::new(provider_rule)?),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            AuthOptions {
                url: url.clone(),
                dev: config.dev,
                urls: provider_rule,
            },
        ));
        let app = Arc::new(App {
            options: Options {
                dev: config.dev,
                tls: config.tls.is_some(),
                access_log: config.log.access,
                body_bytes: config.limits.body_bytes,
            },
            auth,
            idempotency: IdempotencyService::new(
                Arc::new(records.database.clone()),
                Arc::clone(&records.keys),
                Arc::clone(&clock),
                Arc::clone(&entropy),
            )
            .keeping(u64::try_from(config.limits.idempotency_bytes_per_app).unwrap_or(u64::MAX)),
            tokens: TokenService::new(Arc::clone(&records.keys), url.as_str(), Arc::clone(&clock)),
            url,
            node,
            operators: Arc::clone(&operators),
            webhooks: Arc::clone(&webhooks),
            audit: Arc::clone(&audit),
            keys: records.keys,
            fanout,
            hub,
            door,
            sessions: Arc::new(ClientSessionContext {
                dispatcher: Box::new(Services {
                    signal: SignalService::new(config.limits.channels_per_connection)
                        .presence_per_channel(config.limits.presence_per_channel),
                }),
                spawn: Arc::clone(&tasks) as _,
                limits,
                metrics: Arc::clone(&metrics.gateway),
                log: Arc::clone(&log),
            }),
            log: Arc::clone(&log),
            request_ids: RequestIds::new(entropy.as_ref()),
            metrics: Arc::clone(&metrics.gateway),
            http_duration: metrics.http_duration.clone(),
            started: (clock.now(), clock.monotonic()),
            clock,
            entropy: Arc::clone(&entropy),
        });
        let registration = Arc::new(registration);
        let api = doors(
            &config,
            &app,
            &tasks,
            &metrics,
            Probe::new(
                entropy.as_ref(),
                Arc::new(DatabaseProbe(records.database.clone())),
                Arc::clone(&registration) as _,
                metrics.probe_duration.clone(),
            ),
        )?;
        let hub = Arc::clone(&app.hub);
        app.keys
            .on_event(Box::new(move |event| hub.on_key_event(event)));
        let post = Post::start(
            &webhooks,
            waiting,
            app.node,
            log,
            Arc::clone(&app.clock),
            PostOptions {
                rule: webhook_rule,
                answer_timeout: config.webhooks.answer_timeout,
                alone: records.database.backend() == Backend::Sqlite,
            },
        )
        .await?;
        let told = Arc::clone(&hooks);
        app.keys
            .on_event(Box::new(move |event| told.on_key_event(event)));

        let desk = Desk::new(
            Arc::clone(&app.keys),
            Arc::clone(&app.operators),
            records.master_key,
            Arc::clone(&app.clock),
            entropy,
        )
        .serving(&app.url, local_addr, app.node)
        .audited(audit)
        .connected(Arc::clone(&app.hub));
        let control = control::serve(&config.control_path(), Arc::new(desk))
            .context("cannot open the control socket")?;
        let bases = config.audience_bases(local_addr.port());
        let options = DoorsOptions {
            tls: tls.clone(),
            patience: config.limits.header_patience,
        };
        let doors = Doors::open(listener, gate, api.front(&bases), options)?;
        let parts = Arc::new(Parts {
            api,
            hooks,
            key_sets,
            metrics,
            database: records.database,
            registration,
            tasks,
            config,
        });
        let (upkeep, upkeep_tasks) = start_upkeep(&parts, tls);
        let config = &parts.config;
        tracing::info!(
            listen = %local_addr,
            tls = config.tls.is_some(),
            dev = config.dev,
            open_files = files,
            "listening"
        );
        for concern in config.concerns() {
            tracing::warn!("{concern}");
        }
        warn_of_few_files(files, config.limits.connections);
        Ok(Running {
            parts,
            local_addr,
            dev,
            setup,
            doors,
            upkeep,
            upkeep_tasks,
            control,
            post,
            _lock: lock,
        })
    }
}

impl Running {
    /// The public URL.
    pub fn url(&self) -> &str {
        &self.parts.api.app.url
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Apps, keys and revocations.
    pub fn keys(&self) -> &Arc<KeyService> {
        &self.parts.api.app.keys
    }

    /// With `--dev`: the demo app and its key.
    pub fn dev(&self) -> Option<&DevApp> {
        self.dev.as_ref()
    }

    /// The link by which the first operator is made, if there was none at the start. For the
    /// terminal alone: whoever opens it first owns the server.
    pub fn console_setup_url(&self) -> Option<Secret<String>> {
        let token = self.setup.as_ref()?;
        let url = self.url().trim_end_matches('/');
        Some(Secret::new(format!(
            "{url}/console/setup#{}",
            token.expose()
        )))
    }

    /// Live WebSocket connections.
    pub fn connections(&self) -> usize {
        self.parts.api.app.hub.len()
    }

    /// Returns once the server has stopped by itself, which only a fault makes it do.
    pub async fn failed(&mut self) -> anyhow::Error {
        self.doors.failed().await
    }

    /// Stops, and takes all the time that is configured for it: see
    /// [`shutdown_unless_hurried`](Self::shutdown_unless_hurried).
    pub async fn shutdown(self) {
        self.shutdown_unless_hurried(&CancellationToken::new())
            .await;
    }

    /// Stops: no new connection, what waits is written, every client is told to come back later,
    /// spread over the configured time; other requests are answered until all were told. What takes
    /// longer than the configured drain after that is cut off: once this returns, nothing runs.
    ///
    /// Cancelling `hurry` skips the rest of the spread. It is cancelled when the spread is over.
    pub async fn shutdown_unless_hurried(mut self, hurry: &CancellationToken) {
        let (hub, feed) = (&self.parts.api.app.hub, &self.parts.api.console.feed);
        tracing::info!(connections = self.connections(), "stopping");
        feed.refuse();
        let spread = hub.drain(self.parts.config.spread);
        if hurry.run_until_cancelled(spread).await.is_none() {
            hub.drain(Duration::ZERO).await;
        }
        hurry.cancel();
        feed.close();
        let clock = &self.parts.api.app.clock;
        let deadline = clock.monotonic().plus(self.parts.config.drain);
        self.doors.end(deadline).await;
        // After HTTP, which is where new ones come from.
        let cut_off = self.parts.tasks.end(deadline, clock.as_ref()).await;
        if cut_off > 0 {
            tracing::warn!(connections = cut_off, "cut off");
        }
        self.upkeep.cancel();
        self.upkeep_tasks.end(deadline, clock.as_ref()).await;
        self.parts.api.app.log.settle();
        self.control.close().await;
        // After everything that may have something to tell.
        let last_writes = clock.monotonic().plus(LAST_WRITES);
        self.post.end(deadline.max(last_writes)).await;
        let closing = async {
            if let Err(error) = self.parts.api.app.keys.flush_last_used().await {
                tracing::warn!(%error, "cannot note when keys were last used");
            }
            if let Err(error) = self.parts.api.app.audit.flush().await {
                tracing::error!(%error, "audit entries are lost");
            }
            self.parts.registration.end().await;
            self.parts.database.close().await;
        };
        if clock.timeout(LAST_WRITES, closing).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
        tracing::info!("stopped");
    }
}

fn webhook_rule(config: &Config) -> UrlRule {
    UrlRule::webhooks(if config.webhooks.allow_private {
        Reach::Private
    } else if config.dev {
        Reach::PublicAndLoopback
    } else {
        Reach::Public
    })
}

fn webhook_options(config: &Config, urls: UrlRule) -> WebhookOptions {
    let (webhooks, limits) = (&config.webhooks, &config.limits);
    WebhookOptions {
        urls,
        backoff: Backoff {
            first: webhooks.retry_first,
            longest: webhooks.retry_longest,
            give_up_after: webhooks.give_up_after,
        },
        per_app: limits.webhooks_per_app,
        queue: limits.webhook_queue,
        keep: webhooks.keep,
        keep_most: webhooks.keep_most,
        memory: limits.webhook_memory,
    }
}

fn gate_limits(limits: &Limits, open_files: Option<u64>) -> GateLimits {
    GateLimits {
        per_address: limits.sockets_per_address,
        total: most_sockets(open_files, limits.connections),
        heads_per_address: HEADS_PER_ADDRESS,
        stall: limits.write_stall + STALL_GRACE,
    }
}

/// The default of `limits.connections` is more than many systems allow, and no news; another number
/// was meant.
fn warn_of_few_files(open_files: Option<u64>, connections: usize) {
    let meant = connections != Limits::default().connections;
    let few = open_files.filter(|files| meant && files_for_sockets(*files) < connections);
    if let Some(open_files) = few {
        tracing::warn!(
            connections,
            open_files,
            "limits.connections is more than the open files allow; raise the one (LimitNOFILE, \
             ulimit -n) or lower the other"
        );
    }
}

/// A listening socket whose accepted sockets inherit a small send buffer: what a slow reader
/// leaves lying stays with us, where it is counted, and not in the kernel.
fn listen(address: SocketAddr, send_buffer: usize) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(send_buffer)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The demo app with a key whose secret is known: made on the first start, found on later ones.
async fn demo_app(keys: &KeyService) -> anyhow::Result<DevApp> {
    let app = if let Ok(app) = keys.find_app(DEMO_APP) {
        app
    } else {
        let name = AppName::parse(DEMO_APP).expect("a valid name");
        keys.create_app(name, AppSettings::default()).await?
    };
    let (key_id, key_secret) = match keys.signing_key(app.id) {
        Ok(key) => (key.id, key.secret),
        Err(KeyError::NoSigningKey { .. }) => {
            let order = NewKey::generate(Algorithm::Hs256).label("made by --dev");
            let made = keys.create_key(app.id, order).await?;
            (
                made.record.id,
                made.secret.context("a generated key has a secret")?,
            )
        }
        Err(error) => return Err(error.into()),
    };
    Ok(DevApp {
        app: app.name.to_string(),
        key_id,
        key_secret,
    })
}

/// Every door with what it stands on.
fn doors(
    config: &Config,
    app: &Arc<App>,
    tasks: &Arc<Tasks>,
    metrics: &Metrics,
    probe: Probe,
) -> anyhow::Result<Api> {
    let probe = Arc::new(probe);
    Ok(Api {
        client: ClientState {
            app: Arc::clone(app),
            demo_tokens: Arc::new(DemoTokens::new(
                config.token_service.app.as_deref(),
                &app.url,
            )?),
            sockets: Arc::new(Upgrades::new(Arc::clone(tasks))),
        },
        auth: AuthState {
            app: Arc::clone(app),
            throttle: Arc::new(Throttle::new(config.dev, &app.clock)),
        },
        platform: PlatformState {
            app: Arc::clone(app),
            rate_limits: Arc::new(RateLimits::new(config.limits.platform_calls_per_minute)),
            tasks: Arc::clone(tasks),
            audit_bytes: u64::try_from(config.limits.audit_bytes_per_app).unwrap_or(u64::MAX),
        },
        console: ConsoleState {
            app: Arc::clone(app),
            feed: Arc::new(Feed::new(Arc::clone(&app.clock))),
            probe: Arc::clone(&probe),
            places: Arc::new(Places {
                data_dir: config.data_dir.clone(),
                sqlite: config.sqlite_path(),
                urls: config
                    .public_url
                    .iter()
                    .chain(&config.extra_urls)
                    .cloned()
                    .collect(),
            }),
        },
        operations: OperationsState {
            app: Arc::clone(app),
            probe,
            figures: Arc::clone(&metrics.registry),
            bearer: config.metrics_bearer.clone(),
        },
        serves_tokens: config.serves_tokens(),
        app: Arc::clone(app),
    })
}

/// What has to be done every now and then.
fn start_upkeep(parts: &Arc<Parts>, tls: Option<Tls>) -> (CancellationToken, Tasks) {
    let (stop, tasks) = (CancellationToken::new(), Tasks::default());
    let every = |period: Duration, duty: Duty| {
        let (parts, stop) = (Arc::clone(parts), stop.clone());
        let clock = Arc::clone(&parts.api.app.clock);
        // Set here and not by the task, which may run later.
        let mut due = clock.sleep(if duty.is_due_at_start() {
            Duration::ZERO
        } else {
            period
        });
        tasks.spawn(async move {
            while stop.run_until_cancelled(due).await.is_some() {
                due = clock.sleep(period);
                duty.perform(&parts).await;
            }
        });
    };
    // Another process on a shared database, or a change whose end nobody here saw.
    every(Duration::from_millis(500), Duty::CatchUp);
    every(Duration::from_secs(1), Duty::KeepRegistration);
    every(Duration::from_secs(1), Duty::SettleLog);
    every(Duration::from_secs(30), Duty::FlushLastUsed);
    every(Duration::from_mins(1), Duty::RefreshKeySets);
    every(Duration::from_mins(1), Duty::ForgetFailures);
    every(Duration::from_mins(10), Duty::SweepRevocations);
    every(Duration::from_mins(10), Duty::SweepSessions);
    every(Duration::from_secs(5), Duty::FollowWebhooks);
    every(Duration::from_mins(1), Duty::SweepWebhooks);
    every(Duration::from_mins(10), Duty::SweepIdempotency);
    every(Duration::from_secs(30), Duty::FlushAudit);
    every(Duration::from_hours(1), Duty::SweepAudit);
    if let (Some(tls), Some(files)) = (tls, parts.config.tls.clone()) {
        let following = follow_certificate(tls, files, Arc::clone(&parts.api.app.clock));
        let stop = stop.clone();
        tasks.spawn(async move {
            stop.run_until_cancelled(following).await;
        });
    }
    (stop, tasks)
}

#[derive(Clone, Copy)]
enum Duty {
    CatchUp,
    KeepRegistration,
    SettleLog,
    FlushLastUsed,
    RefreshKeySets,
    ForgetFailures,
    SweepRevocations,
    SweepSessions,
    FollowWebhooks,
    SweepWebhooks,
    SweepIdempotency,
    FlushAudit,
    SweepAudit,
}

impl Duty {
    /// Key sets are fetched before the first token needs one. What is old is swept even by a
    /// server that never runs for an hour.
    fn is_due_at_start(self) -> bool {
        matches!(self, Self::RefreshKeySets | Self::SweepAudit)
    }

    async fn perform(self, parts: &Parts) {
        let app = &parts.api.app;
        let done = match self {
            Self::CatchUp => app.keys.refresh().await.map(|_| ()),
            Self::KeepRegistration => {
                parts.registration.keep().await;
                Ok(())
            }
            Self::SettleLog => {
                app.log.settle();
                Ok(())
            }
            Self::FlushLastUsed => app.keys.flush_last_used().await.map(|_| ()),
            Self::SweepRevocations => {
                // First, for it goes by the revocations.
                if let Err(error) = app.auth.sweep(app.clock.now()).await {
                    tracing::warn!(%error, "what is over of sign-ins is not swept; it is tried again");
                    return;
                }
                app.keys.sweep(app.clock.now()).await.map(|_| ())
            }
            Self::SweepIdempotency => app
                .idempotency
                .sweep()
                .await
                .map(|_| ())
                .map_err(Into::into),
            Self::SweepSessions => {
                if let Err(error) = app.operators.sweep().await {
                    complain(app, &error);
                }
                Ok(())
            }
            Self::FlushAudit => app.audit.flush().await.map_err(KeyError::from),
            Self::SweepAudit => {
                let swept = app.audit.sweep(parts.config.audit_retention).await;
                swept.map(|_| ()).map_err(KeyError::from)
            }
            Self::FollowWebhooks => {
                let counter = &parts.metrics.webhook_events_dropped;
                counter.inc_by(app.webhooks.dropped().saturating_sub(counter.get()));
                if let Err(error) = app.webhooks.refresh().await {
                    complain(app, &error);
                }
                Ok(())
            }
            Self::SweepWebhooks => {
                parts.hooks.forget_old_refusals();
                if let Err(error) = app.webhooks.sweep().await {
                    complain(app, &error);
                }
                Ok(())
            }
            Self::RefreshKeySets => {
                parts.key_sets.refresh(app.keys.registry()).await;
                Ok(())
            }
            Self::ForgetFailures => {
                app.door.forget_old_failures();
                parts.api.auth.throttle.forget();
                parts
                    .api
                    .platform
                    .rate_limits
                    .forget_the_full(app.clock.monotonic());
                Ok(())
            }
        };
        if let Err(error) = done {
            complain(app, &error);
        }
    }
}

/// A database that is away fails several duties a second.
fn complain(app: &App, error: &dyn std::fmt::Display) {
    if app.log.pass_once_a_minute("upkeep failed") {
        tracing::warn!(%error, "upkeep failed; it is tried again");
    }
}

/// Takes up a renewed certificate without a restart.
fn follow_certificate(
    tls: Tls,
    files: TlsConfig,
    clock: Arc<dyn Clock>,
) -> impl Future<Output = ()> {
    // As it is now and not when the task first runs, which may be later.
    let mut known = modified(&files);
    let mut due = clock.sleep(CERTIFICATE_PERIOD);
    async move {
        loop {
            due.await;
            due = clock.sleep(CERTIFICATE_PERIOD);
            let found = modified(&files);
            if found != known {
                known = found;
                match tls.reload(&files) {
                    Ok(()) => tracing::info!("took up the new certificate"),
                    Err(error) => {
                        tracing::error!(error = %format!("{error:#}"), "kept the old certificate");
                    }
                }
            }
        }
    }
}

fn modified(files: &TlsConfig) -> [Option<SystemTime>; 2] {
    [&files.cert_file, &files.key_file].map(|file| {
        std::fs::metadata(file)
            .and_then(|data| data.modified())
            .ok()
    })
}

const BACKLOG: i32 = 4096;

/// How often certificate files are looked at.
const CERTIFICATE_PERIOD: Duration = Duration::from_secs(30);

/// How much longer than the gateway a socket waits for a stalled write: the gateway has something to
/// say about it.
const STALL_GRACE: Duration = Duration::from_secs(5);

/// How long the last records and the database may take when everything else has ended.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Of one address, sockets without a complete request head.
const HEADS_PER_ADDRESS: usize = 256;
