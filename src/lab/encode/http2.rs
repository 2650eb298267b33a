//! HTTP/2 (RFC 9113) as a plain client and server write it: one request after the other, header fields as literals
//! that are never indexed (RFC 7541, section 6.2.2), no padding and no Huffman code.

use super::http::{self, Body, Encoded, Field};
use crate::evidence::ByteRange;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest frame without asking (RFC 9113, section 4.2), and so that of a part of a body.
const LARGEST: usize = 16_384;
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// What both sides may send without waiting on one connection here: more than a model sends.
const WINDOW: u32 = 64 << 20;
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];

/// Writes the request with number `index` (from 0) of a connection; the first one opens it.
pub(in crate::lab) fn request(
    host: &str,
    path: &str,
    query: &[Field],
    body: &Body<'_>,
    index: usize,
) -> Encoded {
    let mut bytes = Vec::new();
    let mut places = Vec::new();
    if index == 0 {
        bytes.extend(PREFACE);
        bytes.extend(opening());
    }
    let stream = u32::try_from(2 * index + 1).unwrap_or(u32::MAX >> 1);
    let (target, in_target) = http::target(path, query);
    let content = http::content(body);
    let mut block = Vec::new();
    literal(&mut block, ":method", http::method(body));
    literal(&mut block, ":scheme", "https");
    literal(&mut block, ":authority", host);
    let at = literal(&mut block, ":path", &target);
    literal(&mut block, "user-agent", "SimulatedPhone/1.0 (exhibit lab)");
    literal(&mut block, "accept", "*/*");
    if let Some(content) = &content {
        literal(&mut block, "content-type", &content.kind);
        literal(&mut block, "content-length", &content.bytes.len().to_string());
    }
    let start = (bytes.len() + HEAD + at) as u64;
    places.extend(in_target.into_iter().map(|(label, at)| (label, shifted(at, start))));
    let flags = END_HEADERS | if content.is_none() { END_STREAM } else { 0 };
    frame(&mut bytes, (HEADERS, flags, stream), &block);
    if let Some(content) = content {
        let parts = content.bytes.chunks(LARGEST).enumerate();
        let last = content.bytes.len().div_ceil(LARGEST).saturating_sub(1);
        for (index, part) in parts {
            let start = (bytes.len() + HEAD) as u64;
            let covers = ByteRange::new((index * LARGEST) as u64, (index * LARGEST + part.len()) as u64);
            for (label, at) in &content.places {
                let (from, to) = (at.start.max(covers.start), at.end.min(covers.end));
                if from < to {
                    let part = ByteRange::new(from - covers.start, to - covers.start);
                    places.push((label.clone(), shifted(part, start)));
                }
            }
            frame(&mut bytes, (DATA, if index == last { END_STREAM } else { 0 }, stream), part);
        }
    }
    Encoded { bytes, places }
}

/// Writes the answer to the request with number `index` of a connection.
pub(in crate::lab) fn response(status: &str, body: &str, index: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    if index == 0 {
        bytes.extend(opening());
        frame(&mut bytes, (SETTINGS, ACK, 0), &[]);
    }
    let stream = u32::try_from(2 * index + 1).unwrap_or(u32::MAX >> 1);
    let mut block = Vec::new();
    literal(&mut block, ":status", status);
    literal(&mut block, "server", "SimulatedServer (exhibit lab)");
    if body.is_empty() {
        frame(&mut bytes, (HEADERS, END_HEADERS | END_STREAM, stream), &block);
    } else {
        literal(&mut block, "content-type", "application/json");
        literal(&mut block, "content-length", &body.len().to_string());
        frame(&mut bytes, (HEADERS, END_HEADERS, stream), &block);
        frame(&mut bytes, (DATA, END_STREAM, stream), body.as_bytes());
    }
    bytes
}

/// What a client says before it goes: it has seen the server's settings, and asks for nothing more.
pub(in crate::lab) fn farewell() -> Vec<u8> {
    let mut bytes = Vec::new();
    frame(&mut bytes, (SETTINGS, ACK, 0), &[]);
    frame(&mut bytes, (GOAWAY, 0, 0), &[0; 8]);
    bytes
}

/// Whether `bytes` open a connection.
pub(in crate::lab) fn opens(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE)
}

/// Whether the first message in `bytes` is a GET.
pub(in crate::lab) fn is_get(bytes: &[u8]) -> bool {
    frames(bytes).find(|frame| frame.kind == HEADERS).is_some_and(|frame| {
        let mut get = Vec::new();
        literal(&mut get, ":method", "GET");
        frame.payload.starts_with(&get)
    })
}

/// How many bytes the first message in `bytes` has, once it is whole: up to the frame that ends its stream.
pub(in crate::lab) fn message_len(bytes: &[u8]) -> Option<usize> {
    let last = |frame: &Frame<'_>| matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM > 0;
    frames(bytes).find(last).map(|frame| frame.end)
}

/// What either side opens a connection with: settings, and room for the whole of what is to come.
fn opening() -> Vec<u8> {
    let mut bytes = Vec::new();
    let settings = [INITIAL_WINDOW_SIZE.as_slice(), &WINDOW.to_be_bytes()].concat();
    frame(&mut bytes, (SETTINGS, 0, 0), &settings);
    frame(&mut bytes, (WINDOW_UPDATE, 0, 0), &WINDOW.to_be_bytes());
    bytes
}

struct Frame<'b> {
    kind: u8,
    flags: u8,
    payload: &'b [u8],
    end: usize,
}

/// The whole frames in `bytes`, behind a preface where one is there.
fn frames(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut at = if bytes.starts_with(PREFACE) { PREFACE.len() } else { 0 };
    std::iter::from_fn(move || {
        let &[a, b, c, kind, flags, ..] = bytes.get(at..at + HEAD)? else { return None };
        let end = at + HEAD + usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
        let payload = bytes.get(at + HEAD..end)?;
        at = end;
        Some(Frame { kind, flags, payload, end })
    })
}

fn frame(to: &mut Vec<u8>, (kind, flags, stream): (u8, u8, u32), payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    to.extend(len.iter().skip(1));
    to.extend([kind, flags]);
    to.extend(stream.to_be_bytes());
    to.extend(payload);
}

/// A header field, never indexed; says where its value starts in the block.
fn literal(block: &mut Vec<u8>, name: &str, value: &str) -> usize {
    block.push(0x10);
    text(block, name);
    text(block, value);
    block.len() - value.len()
}

/// A string literal without Huffman code, its length with a prefix of seven bits (RFC 7541, sections 5.1 and 5.2).
fn text(block: &mut Vec<u8>, text: &str) {
    let len = text.len();
    if let Ok(short @ ..127) = u8::try_from(len) {
        block.push(short);
    } else {
        block.push(127);
        let mut rest = len - 127;
        while let Some(low) = u8::try_from(rest & 127).ok().filter(|_| rest > 127) {
            block.push(low | 128);
            rest >>= 7;
        }
        block.push(u8::try_from(rest).unwrap_or(127));
    }
    block.extend(text.as_bytes());
}

fn shifted(range: ByteRange, by: u64) -> ByteRange {
    ByteRange::new(range.start + by, range.end + by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_the_lengths_of_the_rfc() {
        // RFC 7541, appendix C.1.2 for the integer's form: 1337 behind five bits; here behind seven.
        let mut block = Vec::new();
        text(&mut block, &"x".repeat(1337));
        assert_eq!(block[..3], [127, 0xba, 0x09]);
        let mut block = Vec::new();
        text(&mut block, &"x".repeat(127));
        assert_eq!(block[..2], [127, 0]);
        let mut block = Vec::new();
        // RFC 7541, appendix C.2.1, but for its first byte and where Huffman codes would stand.
        literal(&mut block, "custom-key", "custom-header");
        assert_eq!(block, b"\x10\x0acustom-key\x0dcustom-header");
    }

    #[test]
    fn a_body_of_two_frames_is_where_the_places_say() {
        let file = (0..20_000_u32).flat_map(u32::to_be_bytes).take(20_000).collect::<Vec<u8>>();
        let part = http::Part { field: "", filename: "a.jpg", bytes: &file, label: "photo".to_owned() };
        let encoded = request("up.example", "/photo", &[], &Body::File(part), 0);
        let at = |range: ByteRange| {
            &encoded.bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
        };
        let sent: Vec<u8> = encoded.places.iter().flat_map(|(_, place)| at(*place).to_vec()).collect();
        assert_eq!((encoded.places.len(), sent), (2, file));
        assert_eq!(message_len(&encoded.bytes), Some(encoded.bytes.len()));
        assert_eq!(message_len(&encoded.bytes[..encoded.bytes.len() - 1]), None);
        assert!(!is_get(&encoded.bytes));
        assert!(is_get(&request("up.example", "/", &[], &Body::None, 1).bytes));
    }

    #[test]
    fn an_answer_ends_with_its_stream() {
        let answer = response("200", "{}", 0);
        assert_eq!(message_len(&answer), Some(answer.len()));
        assert_eq!(message_len(&response("204", "", 1)).unwrap(), response("204", "", 1).len());
        assert_eq!(message_len(&farewell()), None);
    }
}
