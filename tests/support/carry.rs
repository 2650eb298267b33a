//! How a payload travels: what both ends of one connection write, put together by hand.

use std::{fmt::Write as _, io::Write as _};

/// A carrier of one payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Carrier {
    Http1,
    Http2,
    WebSocket,
    Tcp,
}

pub(crate) const CARRIERS: [Carrier; 4] = [Carrier::Http1, Carrier::Http2, Carrier::WebSocket, Carrier::Tcp];

/// How the carrier cuts what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// In one piece: a body with its length, one message.
    Whole,
    /// In two pieces: chunks, padded DATA frames, fragments.
    Pieces,
    /// In one piece that the carrier compresses, where it can: RFC 7692.
    Compressed,
}

/// What a request says of its body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Declared {
    pub(crate) coding: Option<&'static str>,
    pub(crate) media: Option<&'static str>,
}

impl Carrier {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1",
            Self::Http2 => "HTTP/2",
            Self::WebSocket => "WebSocket",
            Self::Tcp => "raw TCP",
        }
    }

    /// What the phone sends on one connection, and what it receives.
    pub(crate) fn carry(self, payload: &[u8], declared: Declared, cut: Cut) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Tcp => (payload.to_vec(), Vec::new()),
            Self::Http1 => (http1(payload, declared, cut), Vec::new()),
            Self::Http2 => (http2(payload, declared, cut), frame(4, 0, 0, b"")),
            Self::WebSocket => web_socket(payload, cut),
        }
    }
}

fn http1(payload: &[u8], declared: Declared, cut: Cut) -> Vec<u8> {
    let mut head = "POST /up HTTP/1.1\r\nHost: collect.example\r\n".to_owned();
    if let Some(coding) = declared.coding {
        write!(head, "Content-Encoding: {coding}\r\n").unwrap();
    }
    if let Some(media) = declared.media {
        write!(head, "Content-Type: {media}\r\n").unwrap();
    }
    if cut == Cut::Pieces {
        let chunks = halves(payload).map(|chunk| {
            if chunk.is_empty() {
                return Vec::new();
            }
            [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()
        });
        return [head.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n", &chunks.concat(), b"0\r\n\r\n"]
            .concat();
    }
    [format!("{head}Content-Length: {}\r\n\r\n", payload.len()).as_bytes(), payload].concat()
}

fn halves(payload: &[u8]) -> [&[u8]; 2] {
    let (first, second) = payload.split_at(payload.len() / 2);
    [first, second]
}

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field without index whose name is new (RFC 7541 section 6.2.2), in plain letters; both shorter than 127 bytes.
fn field(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], string(name), string(value)].concat()
}

/// One request (RFC 9113 section 8.1) behind the client's preface and its settings.
fn http2(payload: &[u8], declared: Declared, cut: Cut) -> Vec<u8> {
    const FRAME: usize = 16_384;
    const HEADERS: u8 = 1;
    let mut fields =
        vec![(":method", "POST"), (":scheme", "https"), (":authority", "collect.example"), (":path", "/up")];
    fields.extend(declared.coding.map(|coding| ("content-encoding", coding)));
    fields.extend(declared.media.map(|media| ("content-type", media)));
    let block: Vec<u8> = fields.into_iter().flat_map(|(name, value)| field(name, value)).collect();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, b""));
    sent.extend(frame(HEADERS, 4, 1, &block));
    let mut data: Vec<Vec<u8>> = Vec::new();
    for half in if cut == Cut::Pieces { halves(payload) } else { [payload, b""] } {
        for piece in half.chunks(FRAME - 8) {
            data.push(match cut {
                Cut::Pieces => [&[7], piece, &[0; 7]].concat(),
                _ => piece.to_vec(),
            });
        }
    }
    let last = data.len().saturating_sub(1);
    for (no, piece) in data.iter().enumerate() {
        let padded = if cut == Cut::Pieces { 8 } else { 0 };
        sent.extend(frame(0, padded | u8::from(no == last), 1, piece));
    }
    sent
}

/// One message (RFC 6455) on a connection that began as the RFC's example (section 1.3).
fn web_socket(payload: &[u8], cut: Cut) -> (Vec<u8>, Vec<u8>) {
    let extension = match cut {
        Cut::Compressed => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        _ => "",
    };
    let mut up = format!(
        "GET /chat HTTP/1.1\r\nHost: collect.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extension}\r\n"
    )
    .into_bytes();
    let down = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{extension}\r\n"
    );
    const FIN: u8 = 0x80;
    const RSV1: u8 = 0x40;
    const BINARY: u8 = 2;
    match cut {
        Cut::Whole => up.extend(masked(FIN | BINARY, payload)),
        Cut::Pieces => {
            let [first, second] = halves(payload);
            up.extend(masked(BINARY, first));
            up.extend(masked(FIN, second));
        }
        Cut::Compressed => {
            // RFC 7692 section 7.2.1: an empty stored block ends the message, and its last four bytes are left out.
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(payload).unwrap();
            encoder.flush().unwrap();
            let deflated = encoder.get_ref();
            up.extend(masked(FIN | RSV1 | BINARY, deflated.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap()));
        }
    }
    (up, down.into_bytes())
}

/// A frame of a client (section 5.2): its payload is masked.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len @ ..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
