use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Mutex as Turn, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::within;

/// The `DevTools` protocol: numbered calls, and events of each session.
pub(super) struct Cdp {
    sink: Turn<SplitSink<WebSocketStream<TcpStream>, Message>>,
    calls: AtomicU64,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    faults: HashMap<String, Vec<String>>,
}

impl Cdp {
    pub(super) async fn connect(address: &str) -> Arc<Self> {
        let request = address.into_client_request().expect("an address");
        let host = request.uri().authority().expect("a host").to_string();
        let stream = TcpStream::connect(host).await.expect("Chromium listens");
        let (stream, _) = within("DevTools", client_async(request, stream))
            .await
            .expect("Chromium speaks WebSocket");
        let (sink, mut stream) = stream.split();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                let Ok(text) = message.to_text() else {
                    continue;
                };
                if let Ok(message) = serde_json::from_str(text) {
                    kept.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .hear(message);
                }
            }
        });
        Arc::new(Self {
            sink: Turn::new(sink),
            calls: AtomicU64::new(1),
            heard,
        })
    }

    /// Calls a method; an error is the protocol's message.
    pub(super) async fn call(
        &self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Result<Value, String> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.heard().waiting.insert(id, answer);
        self.send(&call(id, session, method, &params)).await;
        // How long that may take, the caller knows.
        let mut answer = answered.await.map_err(|_| "Chromium has gone".to_owned())?;
        match answer.get("error") {
            Some(error) => Err(error["message"].as_str().unwrap_or("?").to_owned()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Says something that may have no answer any more.
    pub(super) async fn tell(&self, method: &str) {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        self.send(&call(id, None, method, &json!({}))).await;
    }

    /// What went wrong in a session so far.
    pub(super) fn faults(&self, session: &str) -> Vec<String> {
        self.heard()
            .faults
            .get(session)
            .cloned()
            .unwrap_or_default()
    }

    async fn send(&self, message: &Value) {
        let message = Message::text(message.to_string());
        let sent = self.sink.lock().await.send(message).await;
        sent.expect("Chromium runs");
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn hear(&mut self, message: Value) {
        if let Some(id) = message["id"].as_u64() {
            if let Some(waiting) = self.waiting.remove(&id) {
                // Whoever asked may have lost patience.
                let _ = waiting.send(message);
            }
            return;
        }
        if let (Some(session), Some(fault)) = (message["sessionId"].as_str(), fault(&message)) {
            let faults = self.faults.entry(session.to_owned()).or_default();
            faults.push(fault);
        }
    }
}

fn call(id: u64, session: Option<&str>, method: &str, params: &Value) -> Value {
    let mut call = json!({"id": id, "method": method, "params": params});
    if let Some(session) = session {
        call["sessionId"] = json!(session);
    }
    call
}

/// What an event says went wrong, if it does.
fn fault(event: &Value) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => {
            let details = &params["exceptionDetails"];
            let thrown = &details["exception"]["description"];
            Some(format!("exception: {} {thrown}", details["text"]))
        }
        "Runtime.consoleAPICalled" if params["type"] == "error" => {
            Some(format!("console.error: {}", params["args"]))
        }
        "Log.entryAdded" if params["entry"]["level"] == "error" => {
            let entry = &params["entry"];
            let source = entry["source"].as_str().unwrap_or("?");
            Some(format!("{source}: {} {}", entry["text"], entry["url"]))
        }
        "Audits.issueAdded"
            if !params["issue"]["details"]["contentSecurityPolicyIssueDetails"].is_null() =>
        {
            Some(format!("policy: {}", params["issue"]["details"]))
        }
        _ => None,
    }
}
