use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// A way to another server that can be cut and mended: what is connected then is cut off, and
/// nobody listens.
pub struct TcpProxy {
    at: SocketAddr,
    to: SocketAddr,
    work: Option<tokio::task::JoinHandle<()>>,
    pipes: Arc<Mutex<JoinSet<()>>>,
}

impl TcpProxy {
    /// Leads to a server.
    pub async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut proxy = Self {
            at: listener.local_addr().expect("it is bound"),
            to,
            work: None,
            pipes: Arc::default(),
        };
        proxy.serve(listener);
        proxy
    }

    /// Where it listens.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// Cuts every connection and lets nobody in.
    pub async fn cut(&mut self) {
        if let Some(work) = self.work.take() {
            work.abort();
            let _ = work.await;
        }
        self.pipes.lock().await.shutdown().await;
    }

    /// Listens again, where it did.
    pub fn mend(&mut self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("allowed");
        socket.bind(self.at).expect("the port is free");
        self.serve(socket.listen(64).expect("it listens"));
    }

    fn serve(&mut self, listener: TcpListener) {
        let (to, pipes) = (self.to, Arc::clone(&self.pipes));
        self.work = Some(tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                pipes.lock().await.spawn(async move {
                    if let Ok(mut there) = TcpStream::connect(to).await {
                        let _ = copy_bidirectional(&mut here, &mut there).await;
                    }
                });
            }
        }));
    }
}
