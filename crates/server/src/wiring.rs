use std::sync::Arc;

use hexline_api::{
    Api, App, AuthState, ClientState, ConsoleState, DemoTokens, Feed, NodeStanding,
    OperationsState, Options, Places, PlatformState, Probe, Proxies, RateLimits, RequestIds, Tasks,
    Throttle, TokenAuthenticator,
};
use hexline_fanout::Fanout;
use hexline_gateway::{ClientSessionContext, Connections, Hub, Limits, LogLines, Services};
use hexline_model::{Clock, Entropy, NodeId};
use hexline_protocol::session::SessionLimits;
use hexline_services::RegistryServices;
use hexline_services::audit::AuditService;
use hexline_services::auth::{AuthOptions, AuthService};
use hexline_services::idempotency::IdempotencyService;
use hexline_services::operators::OperatorService;
use hexline_services::reach::{Reach, UrlRule};
use hexline_services::session::{SessionService, SessionSettings};
use hexline_services::signal::{Announcements, SignalService};
use hexline_services::tokens::TokenService;
use hexline_services::webhooks::{Backoff, Entry, WebhookOptions, WebhookService};
use hexline_store::{Backend, Database};
use tokio::sync::mpsc;

use crate::accept::{ConnectionLimiter, SocketLimits, Upgrades};
use crate::adapters::jwks::JwksFetcher;
use crate::adapters::outbound::OutboundHttp;
use crate::adapters::store_probe::DatabaseProbe;
use crate::adapters::webhooks::hooks::Hooks;
use crate::adapters::webhooks::{Post, PostOptions};
use crate::config::Config;
use crate::node::Registration;
use crate::telemetry::Metrics;

/// What runs beside the doors and what they stand on.
pub(crate) struct Parts {
    pub(crate) api: Api,
    pub(crate) services: RegistryServices,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) key_sets: Arc<JwksFetcher>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) database: Database,
    /// Its place among the servers on the database.
    pub(crate) registration: Arc<Registration>,
    /// One task per live connection, and what else has to end before the records close.
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) config: Config,
}

/// Makes the parts of a server, each from the configuration and what it stands on.
pub(crate) struct Wiring<'a> {
    pub(crate) config: &'a Config,
    pub(crate) database: &'a Database,
    pub(crate) services: &'a RegistryServices,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) entropy: &'a Arc<dyn Entropy>,
    /// The public URL.
    pub(crate) url: &'a str,
    pub(crate) metrics: &'a Arc<Metrics>,
    pub(crate) log: &'a Arc<LogLines>,
    pub(crate) tasks: &'a Arc<Tasks>,
}

impl Wiring<'_> {
    /// What apps are told of, and what waits to be written to their queues.
    pub(crate) fn webhooks(&self) -> (Arc<WebhookService>, mpsc::Receiver<Entry>) {
        WebhookService::new(
            Arc::new(self.database.clone()),
            Arc::clone(&self.services.keys),
            Arc::clone(self.clock),
            Arc::clone(self.entropy),
            webhook_options(self.config, self.webhook_rule()),
        )
    }

    /// The proxies whose word counts.
    pub(crate) fn proxies(&self) -> Proxies {
        Proxies::new(self.config.trusted_proxies.clone())
    }

    /// What bounds the sockets.
    pub(crate) fn limiter(&self, limits: SocketLimits) -> ConnectionLimiter {
        let (clock, metrics) = (Arc::clone(self.clock), Arc::clone(self.metrics));
        ConnectionLimiter::new(limits, self.proxies(), clock, metrics)
    }

    /// What tells webhooks of what happens.
    pub(crate) fn hooks(&self, webhooks: &Arc<WebhookService>) -> Arc<Hooks> {
        let registry = Arc::clone(self.services.registry());
        Hooks::new(Arc::clone(webhooks), registry, Arc::clone(self.clock))
    }

    /// Who changed what.
    pub(crate) fn audit(&self) -> Arc<AuditService> {
        Arc::new(AuditService::new(
            Arc::new(self.database.clone()),
            Arc::clone(self.clock),
            Arc::clone(self.entropy),
        ))
    }

    /// What makes tokens.
    pub(crate) fn tokens(&self) -> TokenService {
        TokenService::new(
            Arc::clone(&self.services.keys),
            self.url,
            Arc::clone(self.clock),
        )
    }

    /// How users of apps without a server of their own sign in.
    pub(crate) fn auth(&self) -> anyhow::Result<Arc<AuthService>> {
        let urls = self.config.provider_rule();
        Ok(Arc::new(AuthService::new(
            Arc::new(self.database.clone()),
            (
                Arc::clone(&self.services.keys),
                Arc::clone(&self.services.vault),
            ),
            Arc::new(self.tokens()),
            Arc::new(OutboundHttp::new(urls)?),
            Arc::clone(self.clock),
            Arc::clone(self.entropy),
            AuthOptions {
                url: self.url.to_owned(),
                dev: self.config.dev,
                urls,
            },
        )))
    }

    /// Writes that come twice.
    pub(crate) fn idempotency(&self) -> IdempotencyService {
        let most = self.config.limits.idempotency_bytes_per_app;
        IdempotencyService::new(
            Arc::new(self.database.clone()),
            Arc::clone(&self.services.vault),
            Arc::clone(self.clock),
            Arc::clone(self.entropy),
        )
        .keeping(u64::try_from(most).unwrap_or(u64::MAX))
    }

    /// What every door is told.
    pub(crate) fn options(&self) -> Options {
        Options {
            dev: self.config.dev,
            tls: self.config.tls.is_some(),
            access_log: self.config.log.access,
            body_bytes: self.config.limits.body_bytes,
        }
    }

    /// What all doors share.
    pub(crate) fn app(
        &self,
        node: NodeId,
        operators: &Arc<OperatorService>,
        webhooks: &Arc<WebhookService>,
        hooks: &Arc<Hooks>,
        key_sets: &Arc<JwksFetcher>,
    ) -> anyhow::Result<Arc<App>> {
        let limits = Arc::new(self.config.limits.gateway());
        let fanout = Fanout::new(Arc::new(Announcements)).observed_by(Arc::clone(hooks) as _);
        let fanout = Arc::new(fanout);
        let hub = Hub::new(
            Arc::clone(&limits),
            Arc::clone(self.services.registry()),
            Arc::clone(&fanout),
            Arc::clone(self.clock),
            Arc::clone(&self.metrics.gateway),
        );
        Ok(Arc::new(App {
            options: self.options(),
            auth: self.auth()?,
            idempotency: self.idempotency(),
            tokens: self.tokens(),
            url: self.url.to_owned(),
            node,
            operators: Arc::clone(operators),
            webhooks: Arc::clone(webhooks),
            audit: self.audit(),
            apps: Arc::clone(&self.services.apps),
            keys: Arc::clone(&self.services.keys),
            revocations: Arc::clone(&self.services.revocations),
            signal: self.signal(),
            fanout,
            connections: Arc::new(Connections::new(node, Arc::clone(&hub))),
            hub,
            authenticator: self.authenticator(hooks, key_sets),
            sessions: self.sessions(node, limits),
            log: Arc::clone(self.log),
            request_ids: RequestIds::new(self.entropy.as_ref()),
            metrics: Arc::clone(&self.metrics.gateway),
            http_duration: self.metrics.http_duration.clone(),
            started: (self.clock.now(), self.clock.monotonic()),
            clock: Arc::clone(self.clock),
            entropy: Arc::clone(self.entropy),
        }))
    }

    fn authenticator(&self, hooks: &Arc<Hooks>, key_sets: &Arc<JwksFetcher>) -> TokenAuthenticator {
        TokenAuthenticator::new(
            Arc::clone(self.services.registry()),
            Arc::clone(key_sets) as _,
            self.config.limits.failed_tokens_per_minute,
            self.config.dev,
            self.proxies(),
            Arc::clone(self.clock),
            Arc::clone(&self.metrics.gateway),
        )
        .observed_by(Arc::clone(hooks) as _)
    }

    fn signal(&self) -> SignalService {
        let limits = &self.config.limits;
        SignalService::new(limits.channels_per_connection)
            .presence_per_channel(limits.presence_per_channel)
    }

    fn sessions(&self, node: NodeId, limits: Arc<Limits>) -> Arc<ClientSessionContext> {
        Arc::new(ClientSessionContext {
            dispatcher: Box::new(Services {
                signal: self.signal(),
                session: SessionService::new(
                    Arc::clone(self.services.registry()),
                    session_settings(self.config, node),
                ),
            }),
            spawn: Arc::clone(self.tasks) as _,
            clock: Arc::clone(self.clock),
            limits,
            metrics: Arc::clone(&self.metrics.gateway),
            log: Arc::clone(self.log),
        })
    }

    /// What writes events down and delivers them.
    pub(crate) async fn post(
        &self,
        app: &App,
        waiting: mpsc::Receiver<Entry>,
    ) -> anyhow::Result<Post> {
        let options = PostOptions {
            rule: self.webhook_rule(),
            answer_timeout: self.config.webhooks.answer_timeout,
            alone: self.database.backend() == Backend::Sqlite,
        };
        let (log, clock) = (Arc::clone(self.log), Arc::clone(self.clock));
        let started = Post::start(&app.webhooks, waiting, app.node, log, clock, options);
        started.await
    }

    /// Every door with what it stands on.
    pub(crate) fn doors(&self, app: &Arc<App>, node: Arc<dyn NodeStanding>) -> anyhow::Result<Api> {
        let config = self.config;
        let probe = Arc::new(Probe::new(
            self.entropy.as_ref(),
            Arc::new(DatabaseProbe(self.database.clone())),
            node,
            self.metrics.probe_duration.clone(),
        ));
        Ok(Api {
            client: ClientState {
                app: Arc::clone(app),
                demo_tokens: Arc::new(DemoTokens::new(
                    config.token_service.app.as_deref(),
                    &app.url,
                )?),
                sockets: Arc::new(Upgrades::new(Arc::clone(self.tasks))),
                buckets: Arc::default(),
                tasks: Arc::clone(self.tasks),
            },
            auth: AuthState {
                app: Arc::clone(app),
                throttle: Arc::new(Throttle::new(config.dev, &app.clock)),
            },
            platform: PlatformState {
                app: Arc::clone(app),
                rate_limits: Arc::new(RateLimits::new(config.limits.platform_calls_per_minute)),
                tasks: Arc::clone(self.tasks),
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
                figures: Arc::clone(&self.metrics.registry),
                bearer: config.metrics_bearer.clone(),
            },
            serves_tokens: config.serves_tokens(),
            app: Arc::clone(app),
        })
    }

    /// Where webhooks may be.
    pub(crate) fn webhook_rule(&self) -> UrlRule {
        let config = self.config;
        UrlRule::webhooks(if config.webhooks.allow_private {
            Reach::Private
        } else if config.dev {
            Reach::PublicAndLoopback
        } else {
            Reach::Public
        })
    }
}

/// What `session.info` says of the server.
fn session_settings(config: &Config, node: NodeId) -> SessionSettings {
    let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let limits = &config.limits;
    SessionSettings {
        limits: SessionLimits {
            frame_bytes: bytes(limits.frame_bytes),
            calls_per_second: limits.calls_per_second,
            call_burst: limits.call_burst,
            channels: bytes(limits.channels_per_connection),
        },
        features: Vec::new(),
        node,
        server: concat!("hexline/", env!("CARGO_PKG_VERSION")).to_owned(),
    }
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
