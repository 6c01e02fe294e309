use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use hexline_token::webhook::{self, Delivery, Keys, MEDIA_TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::app::TestApp;
use crate::within;

/// An app's server that is told of events.
pub struct WebhookReceiver {
    at: SocketAddr,
    status: Arc<AtomicU16>,
    requests: mpsc::UnboundedReceiver<WebhookRequest>,
}

/// A request as it came.
#[derive(Clone)]
pub struct WebhookRequest {
    /// The `Authorization` header.
    pub authorization: String,
    /// The body.
    pub body: Vec<u8>,
    /// The status that it was answered with; 0 if it is never answered.
    pub status: u16,
}

impl WebhookReceiver {
    /// Listens, and answers with this status; 0 is never.
    pub async fn answering(status: u16) -> Self {
        Self::start(status, String::new()).await
    }

    /// Listens, and sends everybody elsewhere.
    pub async fn redirecting(to: &str) -> Self {
        Self::start(307, format!("location: {to}\r\n")).await
    }

    async fn start(status: u16, header: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("it listens");
        let status = Arc::new(AtomicU16::new(status));
        let (sender, requests) = mpsc::unbounded_channel();
        let current = Arc::clone(&status);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (current, sender) = (Arc::clone(&current), sender.clone());
                let header = header.clone();
                tokio::spawn(async move { serve(stream, &current, &sender, &header).await });
            }
        });
        Self {
            at,
            status,
            requests,
        }
    }

    /// Its URL, with a path.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.at)
    }

    /// Where it listens.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// Answers with another status from now on.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The next request, whatever it was answered with.
    pub async fn next(&mut self) -> WebhookRequest {
        let next = within("a webhook", self.requests.recv()).await;
        next.expect("the receiver listens")
    }

    /// The next request that was answered well.
    pub async fn accepted(&mut self) -> WebhookRequest {
        loop {
            let next = self.next().await;
            if (200..300).contains(&next.status) {
                return next;
            }
        }
    }

    /// What came and was not asked for so far.
    pub fn rest(&mut self) -> Vec<WebhookRequest> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

impl WebhookRequest {
    /// Checks it as the app's server does.
    pub fn check(&self, app: &TestApp) -> Delivery {
        let keys = Keys::new().key(app.key_id(), app.secret());
        let keys = keys.expect("a good secret");
        webhook::verify(&self.authorization, &self.body, &keys, app.now()).expect("it is signed")
    }
}

async fn serve(
    mut stream: TcpStream,
    status: &AtomicU16,
    sender: &mpsc::UnboundedSender<WebhookRequest>,
    header: &str,
) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let line = lines.find(|(own, _)| own.eq_ignore_ascii_case(name));
            line.map(|(_, value)| value.to_owned())
        };
        assert!(head.starts_with("POST /hook HTTP/1.1"), "{head}");
        assert_eq!(field("content-type").as_deref(), Some(MEDIA_TYPE));
        let length: usize = field("content-length")?.parse().ok()?;
        while bytes.len() < end + 4 + length {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        let status = status.load(Ordering::SeqCst);
        let received = WebhookRequest {
            authorization: field("authorization").unwrap_or_default(),
            body: bytes[end + 4..end + 4 + length].to_vec(),
            status,
        };
        bytes.drain(..end + 4 + length);
        sender.send(received).ok()?;
        if status == 0 {
            std::future::pending::<()>().await;
        }
        let answer = format!("HTTP/1.1 {status} X\r\n{header}content-length: 5\r\n\r\nfine.");
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}
