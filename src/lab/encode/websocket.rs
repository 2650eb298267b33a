//! WebSocket (RFC 6455): the handshake of HTTP/1.1, then one frame a message.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

use super::http::{self, Body, Encoded};
use crate::{evidence::ByteRange, lab::seeded::Seeded};

/// RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const KEY: &str = "Sec-WebSocket-Key: ";

/// The request that opens it.
pub(in crate::lab) fn opening(host: &str, path: &str, seeded: &mut Seeded) -> Vec<u8> {
    let key = STANDARD.encode(seeded.bytes(16));
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: SimulatedPhone/1.0 (exhibit lab)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{KEY}{key}\r\n\r\n"
    )
    .into_bytes()
}

/// The answer to `request`, if that opens one.
pub(in crate::lab) fn accept(request: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(request);
    let key = text.lines().find_map(|line| line.strip_prefix(KEY))?;
    let accept = STANDARD.encode(Sha1::digest(format!("{key}{GUID}")));
    Some(format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").into_bytes())
}

/// A client's message: what the body holds, masked. The places are those of the masked bytes.
pub(in crate::lab) fn message(body: &Body<'_>, seeded: &mut Seeded) -> Encoded {
    let content = http::content(body);
    let (kind, payload, places) = match (&content, body) {
        (Some(content), Body::File(_)) => (BINARY, content.bytes.as_slice(), content.places.as_slice()),
        (Some(content), _) => (TEXT, content.bytes.as_slice(), content.places.as_slice()),
        (None, _) => (TEXT, b"{}".as_slice(), [].as_slice()),
    };
    let mut bytes = head(kind, payload.len(), MASKED);
    let mask = seeded.bytes(4);
    bytes.extend(&mask);
    let start = bytes.len() as u64;
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    let places =
        places.iter().map(|(label, at)| (label.clone(), ByteRange::new(at.start + start, at.end + start)));
    Encoded { bytes, places: places.collect() }
}

/// A server's message.
pub(in crate::lab) fn answer(text: &str) -> Vec<u8> {
    let mut bytes = head(TEXT, text.len(), 0);
    bytes.extend(text.as_bytes());
    bytes
}

/// A client's last frame: it closes the connection normally (status 1000).
pub(in crate::lab) fn close(seeded: &mut Seeded) -> Vec<u8> {
    let mut bytes = head(CLOSE, 2, MASKED);
    let mask = seeded.bytes(4);
    bytes.extend(&mask);
    bytes.extend(1000_u16.to_be_bytes().iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// How many bytes the first frame in `bytes` has, once its head is there.
pub(in crate::lab) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let (&[_, second], rest) = bytes.split_first_chunk()?;
    let mask = if second & MASKED > 0 { 4 } else { 0 };
    let (extended, len) = match second & 0x7f {
        126 => (2, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (8, u64::from_be_bytes(*rest.first_chunk()?)),
        len => (0, u64::from(len)),
    };
    usize::try_from(len).ok()?.checked_add(2 + extended + mask)
}

/// Whether the first frame in `bytes` closes the connection.
pub(in crate::lab) fn is_close(bytes: &[u8]) -> bool {
    bytes.first() == Some(&(FIN | CLOSE))
}

fn head(kind: u8, len: usize, masked: u8) -> Vec<u8> {
    let mut bytes = vec![FIN | kind];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..126), _) => bytes.push(masked | len),
        (_, Ok(len)) => {
            bytes.push(masked | 126);
            bytes.extend(len.to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_that_of_the_rfc() {
        // RFC 6455, section 1.3.
        let request = b"GET /chat HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let answer = String::from_utf8(accept(request).unwrap()).unwrap();
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert_eq!(accept(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn frames_have_the_lengths_of_the_rfc() {
        // RFC 6455, section 5.7: an unmasked text, and 256 and 65,536 bytes.
        assert_eq!(answer("Hello"), b"\x81\x05Hello");
        assert_eq!(head(BINARY, 256, 0), [0x82, 0x7e, 1, 0]);
        assert_eq!(head(BINARY, 65_536, 0), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
        for len in [0, 125, 126, 65_535, 65_536] {
            let head = head(BINARY, len, MASKED);
            assert_eq!(frame_len(&head), Some(head.len() + 4 + len));
        }
        assert!(is_close(&close(&mut Seeded::new(1, "close"))));
        assert!(!is_close(&answer("{}")));
    }

    #[test]
    fn a_message_is_masked_where_its_places_say() {
        let part = http::Part { field: "", filename: "a", bytes: &[7; 300], label: "photo".to_owned() };
        let encoded = message(&Body::File(part), &mut Seeded::new(1, "mask"));
        assert_eq!(frame_len(&encoded.bytes), Some(encoded.bytes.len()));
        let [(_, at)] = encoded.places.as_slice() else { panic!("one place") };
        assert_eq!((at.start, at.end), (8, 308));
        assert!(
            encoded.bytes[8..]
                .iter()
                .zip(encoded.bytes[4..8].iter().cycle())
                .all(|(byte, mask)| byte ^ mask == 7)
        );
    }
}
