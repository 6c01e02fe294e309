use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hexline_model::{Entropy, SystemEntropy};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::CallError;
use crate::event::{Closed, Event, EventSender, Events, FailedAttempt, queue};
use crate::options::ConnectOptions;

/// How long to wait between attempts: twice as long each time, less a random part of up to half,
/// so that a thousand clients of a restarted server do not come back in the same instant.
#[derive(Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    entropy: Arc<dyn Entropy>,
}

/// A connection that is opened again whenever it is lost.
///
/// Each attempt gets a fresh token from the callback. After one that held, channels joined by
/// [`join`](Self::join) are joined again, with their presence. It stops for good when the server
/// says not to come back (close codes 4500-4999, refusals with 401 or 403), when an option is
/// malformed, on [`close`](Self::close), and when it and its [`Events`] have been dropped.
///
/// ```no_run
/// use hexline_client::{Backoff, ConnectOptions, Event, Reconnecting};
///
/// # async fn token_of_my_own_server() -> Result<String, std::io::Error> { Ok(String::new()) }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (connection, mut events) =
///     Reconnecting::start(ConnectOptions::default(), Backoff::default(), token_of_my_own_server);
/// connection.join("news", true).await?;
/// while let Some(event) = events.recv().await {
///     if let Event::Push(push) = event {
///         println!("{} {}", push.method, push.params);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Reconnecting {
    channels: Arc<Mutex<BTreeMap<String, bool>>>,
    current: watch::Receiver<Current>,
    stop: Arc<watch::Sender<bool>>,
}

/// What there is to call on.
#[derive(Debug, Clone)]
enum Current {
    Connecting,
    Open(Client),
    Stopped,
}

impl Backoff {
    /// From `first` up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
            entropy: Arc::new(SystemEntropy),
        }
    }

    /// The same with another source of randomness.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    fn delay(&mut self) -> Duration {
        let full = self.next.min(self.longest);
        self.next = full.saturating_mul(2).min(self.longest);
        let mut random = [0; 2];
        self.entropy.fill(&mut random);
        full.mul_f64(1.0 - f64::from(u16::from_le_bytes(random)) / 65536.0 / 2.0)
    }

    fn reset(&mut self) {
        self.next = self.first;
    }
}

impl Default for Backoff {
    /// From 1 s up to 30 s.
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(30))
    }
}

impl Reconnecting {
    /// Starts connecting, in a task of its own. The token in `options` is not used: `fetch_token`
    /// is asked for each attempt. Must be called within a tokio runtime.
    pub fn start<F, T, E>(
        options: ConnectOptions,
        backoff: Backoff,
        fetch_token: F,
    ) -> (Self, Events)
    where
        F: FnMut() -> T + Send + 'static,
        T: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let stop = Arc::new(stop);
        let (current, seen) = watch::channel(Current::Connecting);
        let (events, received) = queue(options.event_queue_bytes, Arc::clone(&stop));
        let channels = Arc::<Mutex<BTreeMap<String, bool>>>::default();
        let keeper = Keeper {
            options,
            backoff,
            channels: Arc::clone(&channels),
            current,
            events,
            stopped,
        };
        tokio::spawn(keeper.run(fetch_token));
        (
            Self {
                channels,
                current: seen,
                stop,
            },
            received,
        )
    }

    /// The open connection, waiting for one if need be; `None` once it has stopped for good.
    pub async fn client(&self) -> Option<Client> {
        let mut current = self.current.clone();
        let found = current
            .wait_for(|c| !matches!(c, Current::Connecting))
            .await
            .ok()?;
        match &*found {
            Current::Open(client) => Some(client.clone()),
            _ => None,
        }
    }

    /// Joins a channel, now and after every reconnect, until the server refuses it or
    /// [`leave`](Self::leave) is called. Waits for a connection if there is none. Returns whether
    /// there is presence.
    pub async fn join(&self, channel: &str, presence: bool) -> Result<bool, CallError> {
        self.remembered().insert(channel.to_owned(), presence);
        let client = self.client().await.ok_or(CallError::Closed)?;
        match client.join(channel, presence).await {
            // Lost on the way: it is joined again with the others.
            Err(CallError::Closed) => Ok(presence),
            Err(error @ (CallError::Refused { .. } | CallError::Params(_))) => {
                self.remembered().remove(channel);
                Err(error)
            }
            other => other,
        }
    }

    /// Leaves a channel, and does not join it again.
    pub async fn leave(&self, channel: &str) -> Result<(), CallError> {
        let open = {
            // One step with what `Keeper::rejoin` does last: either that sees that the channel is
            // forgotten, or the connection is open here.
            let mut remembered = self.remembered();
            remembered.remove(channel);
            match &*self.current.borrow() {
                Current::Open(client) => Some(client.clone()),
                _ => None,
            }
        };
        match open {
            Some(client) => match client.leave(channel).await {
                // With the connection, the channel is left.
                Err(CallError::Closed) => Ok(()),
                other => other,
            },
            None => Ok(()),
        }
    }

    /// Stops for good, and waits until the connection has ended.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        let mut current = self.current.clone();
        let _ = current.wait_for(|c| matches!(c, Current::Stopped)).await;
    }

    fn remembered(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task behind it.
struct Keeper {
    options: ConnectOptions,
    backoff: Backoff,
    channels: Arc<Mutex<BTreeMap<String, bool>>>,
    current: watch::Sender<Current>,
    events: EventSender,
    stopped: watch::Receiver<bool>,
}

impl Keeper {
    async fn run<F, T, E>(mut self, mut fetch_token: F)
    where
        F: FnMut() -> T,
        T: Future<Output = Result<String, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut stopped = self.stopped.clone();
        loop {
            let attempt = async {
                let token = fetch_token()
                    .await
                    .map_err(|e| FailedAttempt::NoToken(e.into()))?;
                Ok(Client::connect(self.options.clone().token(token)).await?)
            };
            let attempt = tokio::select! {
                attempt = attempt => attempt,
                () = stop(&mut stopped) => break,
            };
            let again = match attempt {
                Ok((client, events)) => {
                    let opened = Instant::now();
                    let closed = self.attend(client, events, &mut stopped).await;
                    let again = closed.as_ref().is_some_and(Closed::may_reconnect);
                    if let Some(closed) = closed {
                        self.events.push(Event::Closed(closed)).await;
                    }
                    // One that is accepted and dropped at once, over and over, is no success.
                    if opened.elapsed() >= self.backoff.longest {
                        self.backoff.reset();
                    }
                    again.then(|| self.backoff.delay())
                }
                Err(error) => {
                    let may = !matches!(&error, FailedAttempt::Connect(e) if !e.may_retry());
                    let retry_in = may.then(|| self.backoff.delay());
                    self.events.push(Event::Failed { error, retry_in }).await;
                    retry_in
                }
            };
            let Some(delay) = again else { break };
            tokio::select! {
                () = sleep(delay) => {}
                () = stop(&mut stopped) => break,
            }
        }
        self.current.send_replace(Current::Stopped);
    }

    /// Forwards what one connection tells, until it ends.
    async fn attend(
        &self,
        client: Client,
        mut events: Events,
        stopped: &mut watch::Receiver<bool>,
    ) -> Option<Closed> {
        self.events.push(Event::Opened).await;
        let mut rejoined = std::pin::pin!(self.rejoin(&client));
        let mut open = false;
        let mut stopping = false;
        loop {
            tokio::select! {
                () = &mut rejoined, if !open => open = true,
                event = events.recv() => match event {
                    Some(Event::Closed(closed)) => {
                        self.current.send_replace(Current::Connecting);
                        return if stopping {
                            self.events.push(Event::Closed(closed)).await;
                            None
                        } else {
                            Some(closed)
                        };
                    }
                    Some(event) => self.events.push(event).await,
                    None => return None,
                },
                () = stop(stopped), if !stopping => {
                    stopping = true;
                    let client = client.clone();
                    tokio::spawn(async move { client.close().await });
                }
            }
        }
    }

    /// Joins what is remembered, and declares the connection open.
    async fn rejoin(&self, client: &Client) {
        let channels: Vec<String> = self.remembered().keys().cloned().collect();
        let mut joined = Vec::new();
        for channel in channels {
            // It may have been left meanwhile.
            let Some(presence) = self.remembered().get(&channel).copied() else {
                continue;
            };
            match client.join(&channel, presence).await {
                Err(error @ CallError::Refused { .. }) => {
                    let lost = self.remembered().remove(&channel).is_some();
                    if lost {
                        let lost = Event::ChannelLost { channel, error };
                        self.events.push(lost).await;
                    }
                }
                _ => joined.push(channel),
            }
        }
        while let Some(left) = self.open_unless_left(client, &mut joined) {
            // With the connection, the channel is left.
            let _ = client.leave(&left).await;
        }
    }

    /// Takes out of `joined` a channel that was left meanwhile; if there is none, the connection is
    /// open from now on.
    fn open_unless_left(&self, client: &Client, joined: &mut Vec<String>) -> Option<String> {
        let remembered = self.remembered();
        let left = joined.iter().position(|c| !remembered.contains_key(c));
        if left.is_none() {
            self.current.send_replace(Current::Open(client.clone()));
        }
        left.map(|at| joined.swap_remove(at))
    }

    fn remembered(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until told to stop, or until nobody is left who could tell.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff")
            .field("first", &self.first)
            .field("longest", &self.longest)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnecting")
            .field("current", &*self.current.borrow())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hexline_model::SeededEntropy;

    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_less_a_random_part_of_up_to_half() {
        let mut backoff = Backoff::default().entropy(Arc::new(SeededEntropy::new(1)));
        for full in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let delay = backoff.delay().as_secs_f64();
            assert!(delay > full / 2.0 && delay <= full, "{delay} of {full}");
        }
        backoff.reset();
        assert!(backoff.delay() <= Duration::from_secs(1));
    }
}
