use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hexline_api::{DEMO_APP, Tasks};
use hexline_gateway::LogLines;
use hexline_model::{Clock, Entropy, KeyId, NodeId, Secret, SystemClock, SystemEntropy};
use hexline_services::RegistryServices;
use hexline_services::apps::{AppName, AppSettings};
use hexline_services::keys::{KeyError, NewKey};
use hexline_store::NodeError;
use hexline_token::Algorithm;
use socket2::{Domain, Protocol, Socket, Type};
use tokio_util::sync::CancellationToken;

use crate::accept::{Doors, DoorsOptions, SocketLimits, files_for_sockets, most_sockets};
use crate::adapters::webhooks::Post;
use crate::adapters::{jwks::JwksFetcher, tls::Tls};
use crate::claim::claim;
use crate::config::{Config, Limits};
use crate::control::{self, ControlSocket, Desk};
use crate::datadir::DataLock;
use crate::node::Registration;
use crate::records::{self, Records};
use crate::telemetry::Metrics;
use crate::upkeep;
use crate::wiring::{Parts, Wiring};

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
    pub async fn start(self) -> anyhow::Result<Running> {
        let Self {
            config,
            clock,
            entropy,
        } = self;
        config.check()?;
        let Opened {
            lock,
            files,
            tls,
            listener,
            url,
            node,
            records,
            registration,
            dev,
        } = Opened::open(&config, &clock, &entropy).await?;
        let local_addr = listener.local_addr()?;
        let metrics = Arc::new(Metrics::new());
        let log = Arc::new(LogLines::new(config.log.peer, Arc::clone(&clock)));
        let tasks = Arc::new(Tasks::default());
        let wiring = Wiring {
            config: &config,
            database: &records.database,
            services: &records.services,
            clock: &clock,
            entropy: &entropy,
            url: &url,
            metrics: &metrics,
            log: &log,
            tasks: &tasks,
        };
        let limiter = wiring.limiter(socket_limits(&config.limits, files));
        let (webhooks, waiting) = wiring.webhooks();
        let hooks = wiring.hooks(&webhooks);
        let key_sets = Arc::new(JwksFetcher::new(
            Arc::clone(&clock),
            Arc::clone(&tasks),
            config.provider_rule(),
        )?);
        let setup = records.operators.open_setup().await?;
        let app = wiring.app(node, &records.operators, &webhooks, &hooks, &key_sets)?;
        let registration = Arc::new(registration);
        let api = wiring.doors(&app, Arc::clone(&registration) as _)?;
        let hub = Arc::clone(&app.hub);
        app.keys
            .on_event(Box::new(move |event| hub.on_key_event(event)));
        let post = wiring.post(&app, waiting).await?;
        let told = Arc::clone(&hooks);
        app.keys
            .on_event(Box::new(move |event| told.on_key_event(event)));

        let desk = Desk::new(
            records.services.clone(),
            Arc::clone(&app.operators),
            records.master_key,
            Arc::clone(&app.clock),
            entropy,
        )
        .serving(&app.url, local_addr, app.node)
        .audited(Arc::clone(&app.audit))
        .connected(Arc::clone(&app.hub), Arc::clone(&app.connections));
        let control = control::serve(&config.control_path(), Arc::new(desk))
            .context("cannot open the control socket")?;
        let bases = config.audience_bases(local_addr.port());
        let options = DoorsOptions {
            tls: tls.clone(),
            patience: config.limits.header_patience,
        };
        let doors = Doors::open(listener, limiter, api.front(&bases), options)?;
        let parts = Arc::new(Parts {
            api,
            services: records.services.clone(),
            hooks,
            key_sets,
            metrics,
            database: records.database,
            registration,
            tasks,
            config,
        });
        let (upkeep, upkeep_tasks) = upkeep::start(&parts, tls);
        announce(&parts.config, local_addr, files);
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

/// What a server has before it serves.
struct Opened {
    lock: DataLock,
    /// How many files the system lets it open.
    files: Option<u64>,
    tls: Option<Tls>,
    listener: TcpListener,
    /// The public URL.
    url: String,
    node: NodeId,
    records: Records,
    registration: Registration,
    dev: Option<DevApp>,
}

impl Opened {
    async fn open(
        config: &Config,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> anyhow::Result<Self> {
        let lock = claim(config).await?;
        // A connection is an open file. What the system allows at most is not ours to exceed.
        let files = rlimit::increase_nofile_limit(u64::MAX).ok();
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        let listener = listen(config.listen, config.limits.send_buffer_bytes)
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let port = listener.local_addr()?.port();
        let (at, random) = (Arc::clone(clock), Arc::clone(entropy));
        let url = config.base_url(port);
        let node = NodeId::generate(entropy.as_ref());
        let register = async || Registration::new(config, node, &url, clock.now()).await;
        // A server that is refused leaves the schema as the other one knows it.
        let early = match register().await {
            Err(NodeError::NoTable) => None,
            registered => Some(registered?),
        };
        let records = records::open_at(config, port, at, random, &lock).await?;
        let registration = match early {
            Some(registration) => registration,
            None => register().await?,
        };
        let dev = if config.dev {
            Some(demo_app(&records.services).await?)
        } else {
            None
        };
        Ok(Self {
            lock,
            files,
            tls,
            listener,
            url,
            node,
            records,
            registration,
            dev,
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

    /// Apps, keys, revocations and secrets.
    pub fn services(&self) -> &RegistryServices {
        &self.parts.services
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
        self.parts.api.app.hub.total()
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
            tracing::warn!(tasks = cut_off, "cut off");
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

fn socket_limits(limits: &Limits, open_files: Option<u64>) -> SocketLimits {
    SocketLimits {
        per_address: limits.sockets_per_address,
        total: most_sockets(open_files, limits.connections),
        heads_per_address: HEADS_PER_ADDRESS,
        stall: limits.write_stall + STALL_GRACE,
    }
}

fn announce(config: &Config, local_addr: SocketAddr, files: Option<u64>) {
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
async fn demo_app(services: &RegistryServices) -> anyhow::Result<DevApp> {
    let app = if let Ok(app) = services.apps.find(DEMO_APP) {
        app
    } else {
        let name = AppName::parse(DEMO_APP).expect("a valid name");
        services.apps.create(name, AppSettings::default()).await?
    };
    let (key_id, key_secret) = match services.keys.signing_key(app.id) {
        Ok(key) => (key.id, key.secret),
        Err(KeyError::NoSigningKey { .. }) => {
            let order = NewKey::generate(Algorithm::Hs256).label("made by --dev");
            let made = services.keys.create_key(app.id, order).await?;
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

const BACKLOG: i32 = 4096;

/// How much longer than the gateway a socket waits for a stalled write: the gateway has something to
/// say about it.
const STALL_GRACE: Duration = Duration::from_secs(5);

/// How long the last records and the database may take when everything else has ended.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Of one address, sockets without a complete request head.
const HEADS_PER_ADDRESS: usize = 256;
