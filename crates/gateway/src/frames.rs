//! WebSocket frames (RFC 6455 §5) without I/O: bytes from a client become messages, messages
//! become what a server writes.
//!
//! Invariants: a client's frame is masked, its length is in the shortest form, nothing reserved is
//! set; a message is never larger than the limit, known before its payload has arrived; memory is
//! taken for bytes that are there, not for those that were promised, and given back once a
//! message is done. Every frame comes out as an event, so that whoever counts misses none.

use bytes::{Buf as _, Bytes, BytesMut};
use hexline_protocol::CloseCode;

/// Takes a client's bytes apart.
pub(crate) struct FrameReader {
    max_message: usize,
    input: BytesMut,
    /// A message whose last fragment has not come.
    partial: Option<(DataKind, BytesMut)>,
}

/// What one frame of a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inbound {
    /// A whole text message; UTF-8.
    Text(Bytes),
    /// A whole binary message.
    Binary(Bytes),
    /// A fragment with more to come.
    Fragment,
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    /// An answer to a ping, or a sign of life by itself.
    Pong,
    /// The client leaves; its code is to be said back.
    Close(Option<u16>),
}

/// A frame on its way to a client: a header and the payload, which others may share.
#[derive(Debug)]
pub(crate) struct OutFrame {
    header: [u8; 10],
    header_len: u8,
    payload: Bytes,
    /// Bytes of header and payload that have left.
    written: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DataKind {
    Text,
    Binary,
}

impl FrameReader {
    pub(crate) fn new(max_message: usize) -> Self {
        Self {
            max_message,
            input: BytesMut::new(),
            partial: None,
        }
    }

    /// Takes bytes in as they came.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Bytes that were taken in and are no part of a frame that came out.
    pub(crate) fn buffered(&self) -> usize {
        self.input.len()
    }

    /// The next frame, once it is whole; an error is the code to close with.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Inbound>, CloseCode> {
        let Some(head) = Head::parse(&self.input)? else {
            return Ok(None);
        };
        if head.opcode.is_control() {
            if !head.last || head.payload > MAX_CONTROL {
                return Err(CloseCode::ProtocolError);
            }
        } else {
            // A continuation continues something; anything else does not interrupt.
            if (head.opcode == Opcode::Continuation) != self.partial.is_some() {
                return Err(CloseCode::ProtocolError);
            }
            let before = self
                .partial
                .as_ref()
                .map_or(0, |(_, message)| message.len());
            if head.payload > self.max_message.saturating_sub(before) {
                return Err(CloseCode::TooBig);
            }
        }
        if self.input.len() < head.len + head.payload {
            return Ok(None);
        }
        self.input.advance(head.len);
        let mut payload = self.input.split_to(head.payload);
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        unmask(&mut payload, head.mask);
        self.accept(head, payload).map(Some)
    }

    fn accept(&mut self, head: Head, payload: BytesMut) -> Result<Inbound, CloseCode> {
        let kind = match head.opcode {
            Opcode::Ping => return Ok(Inbound::Ping(payload.freeze())),
            Opcode::Pong => return Ok(Inbound::Pong),
            Opcode::Close => return close_code(&payload).map(Inbound::Close),
            Opcode::Text => DataKind::Text,
            Opcode::Binary => DataKind::Binary,
            Opcode::Continuation => {
                let (kind, mut message) = self
                    .partial
                    .take()
                    .expect("a continuation continues something");
                message.extend_from_slice(&payload);
                return self.complete(head.last, kind, message);
            }
        };
        if head.last {
            return message(kind, payload);
        }
        // A copy, so that the fragment does not hold on to all input that came with it.
        self.complete(false, kind, BytesMut::from(&payload[..]))
    }

    fn complete(
        &mut self,
        last: bool,
        kind: DataKind,
        bytes: BytesMut,
    ) -> Result<Inbound, CloseCode> {
        if last {
            return message(kind, bytes);
        }
        self.partial = Some((kind, bytes));
        Ok(Inbound::Fragment)
    }
}

impl OutFrame {
    pub(crate) fn text(payload: Bytes) -> Self {
        Self::new(0x1, payload)
    }

    pub(crate) fn binary(payload: Bytes) -> Self {
        Self::new(0x2, payload)
    }

    pub(crate) fn ping() -> Self {
        Self::new(0x9, Bytes::new())
    }

    /// The payload is a ping's, so at most 125 bytes.
    pub(crate) fn pong(payload: Bytes) -> Self {
        Self::new(0xa, payload)
    }

    /// `None` says nothing, as a client that gave no code is answered.
    pub(crate) fn close(code: Option<(u16, &str)>) -> Self {
        let payload = code.map(|(number, reason)| {
            let mut payload = number.to_be_bytes().to_vec();
            payload.extend_from_slice(reason.as_bytes());
            debug_assert!(payload.len() <= MAX_CONTROL, "reasons are short");
            payload
        });
        Self::new(0x8, payload.unwrap_or_default().into())
    }

    /// The header's and the payload's bytes that have not left.
    pub(crate) fn rest(&self) -> [&[u8]; 2] {
        let header = usize::from(self.header_len);
        let in_header = self.written.min(header);
        [
            &self.header[in_header..header],
            &self.payload[self.written - in_header..],
        ]
    }

    pub(crate) fn payload_len(&self) -> usize {
        self.payload.len()
    }

    /// Takes note that up to `bytes` have left; returns how many of them belong to later frames.
    pub(crate) fn advance(&mut self, bytes: usize) -> usize {
        let left = usize::from(self.header_len) + self.payload.len() - self.written;
        let taken = bytes.min(left);
        self.written += taken;
        bytes - taken
    }

    pub(crate) fn is_written(&self) -> bool {
        self.written == usize::from(self.header_len) + self.payload.len()
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.written > 0
    }

    fn new(opcode: u8, payload: Bytes) -> Self {
        let mut header = [0; 10];
        header[0] = 0x80 | opcode;
        let len = payload.len();
        let header_len = match (u8::try_from(len), u16::try_from(len)) {
            (Ok(len @ 0..=125), _) => {
                header[1] = len;
                2
            }
            (_, Ok(len)) => {
                header[1] = 126;
                header[2..4].copy_from_slice(&len.to_be_bytes());
                4
            }
            _ => {
                header[1] = 127;
                header[2..10].copy_from_slice(&(len as u64).to_be_bytes());
                10
            }
        };
        Self {
            header,
            header_len,
            payload,
            written: 0,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame's header.
#[derive(Clone, Copy)]
struct Head {
    last: bool,
    opcode: Opcode,
    mask: [u8; 4],
    /// Bytes of the header itself.
    len: usize,
    /// Bytes of the payload.
    payload: usize,
}

impl Head {
    fn parse(input: &[u8]) -> Result<Option<Self>, CloseCode> {
        let [first, second, rest @ ..] = input else {
            return Ok(None);
        };
        let opcode = match first & 0x0f {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            _ => return Err(CloseCode::ProtocolError),
        };
        // Reserved bits are for extensions, and none was negotiated; a client masks.
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(CloseCode::ProtocolError);
        }
        let (payload, extended) = match second & 0x7f {
            126 => match rest.first_chunk::<2>() {
                Some(len) => (u64::from(u16::from_be_bytes(*len)), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(len) => (u64::from_be_bytes(*len), 8),
                None => return Ok(None),
            },
            len => (u64::from(len), 0),
        };
        let shortest = match extended {
            2 => payload > 125,
            8 => payload > 0xffff && payload >> 63 == 0,
            _ => true,
        };
        if !shortest {
            return Err(CloseCode::ProtocolError);
        }
        let Ok(payload) = usize::try_from(payload) else {
            return Err(CloseCode::TooBig);
        };
        let Some(mask) = rest
            .get(extended..)
            .and_then(|rest| rest.first_chunk::<4>())
        else {
            return Ok(None);
        };
        let last = first & 0x80 != 0;
        Ok(Some(Self {
            last,
            opcode,
            mask: *mask,
            len: 2 + extended + 4,
            payload,
        }))
    }
}

fn message(kind: DataKind, bytes: BytesMut) -> Result<Inbound, CloseCode> {
    match kind {
        DataKind::Binary => Ok(Inbound::Binary(bytes.freeze())),
        DataKind::Text if std::str::from_utf8(&bytes).is_ok() => Ok(Inbound::Text(bytes.freeze())),
        DataKind::Text => Err(CloseCode::InvalidUtf8),
    }
}

/// RFC 6455 §7.4: which codes may stand in a close frame.
fn close_code(payload: &[u8]) -> Result<Option<u16>, CloseCode> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(CloseCode::ProtocolError)
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(CloseCode::ProtocolError);
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(CloseCode::InvalidUtf8);
    }
    Ok(Some(code))
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let mut eight = [0; 8];
    eight[..4].copy_from_slice(&mask);
    eight[4..].copy_from_slice(&mask);
    let wide = u64::from_ne_bytes(eight);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let word = u64::from_ne_bytes((&*chunk).try_into().expect("a chunk has eight bytes"));
        chunk.copy_from_slice(&(word ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

const MAX_CONTROL: usize = 125;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1000;

    /// A frame as a client sends it.
    fn client(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut frame = OutFrame::new(first & 0x0f, Bytes::copy_from_slice(payload));
        frame.header[0] = first;
        frame.header[1] |= 0x80;
        let mut bytes = frame.header[..usize::from(frame.header_len)].to_vec();
        bytes.extend(mask);
        bytes.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        bytes
    }

    fn read(input: &[u8]) -> Result<Vec<Inbound>, CloseCode> {
        let mut reader = FrameReader::new(MAX);
        reader.feed(input);
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[test]
    fn the_examples_of_the_rfc_read_as_it_says() {
        let hello = Bytes::from_static(b"Hello");
        let masked = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(read(&masked), Ok(vec![Inbound::Text(hello.clone())]));
        let fragments = [
            client(0x01, b"Hel"),
            client(0x89, b"?"),
            client(0x80, b"lo"),
        ]
        .concat();
        let ping = Inbound::Ping(Bytes::from_static(b"?"));
        assert_eq!(
            read(&fragments),
            Ok(vec![Inbound::Fragment, ping, Inbound::Text(hello)])
        );
        let out = OutFrame::text(Bytes::from_static(b"Hello"));
        assert_eq!(out.rest().concat(), [0x81, 5, b'H', b'e', b'l', b'l', b'o']);
    }

    #[test]
    fn what_the_rfc_forbids_has_its_close_code() {
        use CloseCode::{InvalidUtf8, ProtocolError, TooBig};

        let unmasked = vec![0x81, 0x01, b'x'];
        let long_form = vec![0x81, 0xfe, 0x00, 0x05, 0, 0, 0, 0, 1, 2, 3, 4, 5];
        let too_long = [&[0x81, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
        let promised = [&[0x81, 0xfe][..], &1001u16.to_be_bytes(), &[0; 4]].concat();
        let together = [client(0x01, &[b'x'; 600]), client(0x80, &[b'x'; 401])].concat();
        for (what, bytes, code) in [
            ("unmasked", unmasked, ProtocolError),
            ("not the shortest length", long_form, ProtocolError),
            ("a length above 2^63", too_long, ProtocolError),
            ("a reserved bit", client(0xc1, b"x"), ProtocolError),
            ("a reserved opcode", client(0x83, b"x"), ProtocolError),
            (
                "a reserved control opcode",
                client(0x8b, b""),
                ProtocolError,
            ),
            ("a ping in fragments", client(0x09, b""), ProtocolError),
            (
                "a ping of 126 bytes",
                client(0x89, &[0; 126]),
                ProtocolError,
            ),
            (
                "a continuation of nothing",
                client(0x80, b"x"),
                ProtocolError,
            ),
            (
                "a new message amid fragments",
                [client(0x01, b"x"), client(0x81, b"x")].concat(),
                ProtocolError,
            ),
            ("half a close code", client(0x88, b"x"), ProtocolError),
            (
                "a close code for nobody",
                client(0x88, &1006u16.to_be_bytes()),
                ProtocolError,
            ),
            (
                "a close reason that is no text",
                client(0x88, &[0x03, 0xe8, 0xff]),
                InvalidUtf8,
            ),
            (
                "text that is none",
                client(0x81, &[0xc3, 0x28]),
                InvalidUtf8,
            ),
            (
                "a character cut in half",
                [client(0x01, &[0xc3]), client(0x80, b"")].concat(),
                InvalidUtf8,
            ),
            ("more than the limit, before it arrives", promised, TooBig),
            ("more than the limit in fragments", together, TooBig),
        ] {
            assert_eq!(read(&bytes), Err(code), "{what}");
        }
    }

    #[test]
    fn a_close_is_read_with_and_without_a_code() {
        assert_eq!(read(&client(0x88, b"")), Ok(vec![Inbound::Close(None)]));
        let code = [&1000u16.to_be_bytes()[..], b"bye"].concat();
        assert_eq!(
            read(&client(0x88, &code)),
            Ok(vec![Inbound::Close(Some(1000))])
        );
    }

    #[test]
    fn a_character_may_be_split_between_fragments() {
        let bytes = [client(0x01, &[0xc3]), client(0x80, &[0xa9])].concat();
        let text = Inbound::Text(Bytes::from_static("é".as_bytes()));
        assert_eq!(read(&bytes), Ok(vec![Inbound::Fragment, text]));
    }

    #[test]
    fn a_reader_that_waits_holds_no_memory() {
        let mut reader = FrameReader::new(MAX);
        reader.feed(&client(0x82, &[7; 900]));
        assert!(matches!(reader.next_frame(), Ok(Some(Inbound::Binary(_)))));
        assert_eq!(
            (reader.next_frame(), reader.input.capacity()),
            (Ok(None), 0)
        );
    }

    proptest! {
        #[test]
        fn a_message_arrives_however_it_is_cut(
            text in "\\PC{0,300}",
            cuts in proptest::collection::vec(0usize..1000, 0..6),
            chunk in 1usize..50,
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at % (bytes.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let (mut wire, mut start) = (Vec::new(), 0);
            for (n, end) in cuts.iter().enumerate() {
                let opcode = u8::from(n == 0);
                let last = if n + 1 == cuts.len() { 0x80 } else { 0x00 };
                wire.extend(client(opcode | last, &bytes[start..*end]));
                start = *end;
            }
            let mut reader = FrameReader::new(2000);
            let mut messages = Vec::new();
            for piece in wire.chunks(chunk) {
                reader.feed(piece);
                while let Some(frame) = reader.next_frame().expect("well formed") {
                    if frame != Inbound::Fragment {
                        messages.push(frame);
                    }
                }
            }
            prop_assert_eq!(messages, vec![Inbound::Text(Bytes::from(text))]);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_frame_leaves_whole_however_little_the_socket_takes(
            len in prop_oneof![0usize..200, 65_530usize..65_540],
            step in 1usize..5000,
        ) {
            let payload = Bytes::from(vec![b'x'; len]);
            let whole = OutFrame::text(payload.clone()).rest().concat();
            let mut frame = OutFrame::text(payload);
            let mut left = Vec::new();
            while !frame.is_written() {
                let rest = frame.rest().concat();
                let taken = step.min(rest.len());
                left.extend_from_slice(&rest[..taken]);
                prop_assert_eq!(frame.advance(taken), 0);
            }
            prop_assert!(left == whole);
            prop_assert_eq!(frame.advance(3), 3);
        }
    }
}
