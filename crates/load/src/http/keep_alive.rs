use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One HTTP/1.1 connection with one request at a time. Understands what this project's servers
/// answer, and no more: a body with a length.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body_bytes: usize,
}

impl KeepAlive {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends a whole request and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).await?;
        let (head, answer) = loop {
            if let Some(found) = parse_head(&self.buffer)? {
                break found;
            }
            ensure!(
                self.buffer.len() < MAX_HEAD,
                "the head of the answer is too long"
            );
            self.read().await?;
        };
        while self.buffer.len() < head + answer.body_bytes {
            self.read().await?;
        }
        self.buffer.drain(..head + answer.body_bytes);
        Ok(answer)
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server hung up");
        }
        Ok(())
    }
}

/// Length of the head, and what it says; `None` while it is not complete.
fn parse_head(bytes: &[u8]) -> anyhow::Result<Option<(usize, Answer)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..end]).context("the answer's head is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3)?.parse().ok())
        .context("the answer is not HTTP/1.1")?;
    let body_bytes = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse().ok())
        .context("the answer has no Content-Length")?;
    ensure!(body_bytes <= MAX_BODY, "the answer's body is too long");
    Ok(Some((end + 4, Answer { status, body_bytes })))
}

const MAX_HEAD: usize = 16 << 10;
const MAX_BODY: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\nContent-Length: 12\r\n\r\n";
        let answer = Answer {
            status: 200,
            body_bytes: 12,
        };
        assert_eq!(
            parse_head(head).expect("well formed"),
            Some((head.len(), answer))
        );
        assert_eq!(parse_head(&head[..head.len() - 1]).expect("so far"), None);
        for bad in [
            "SSH-2\r\n\r\n",
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
        ] {
            assert!(parse_head(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
