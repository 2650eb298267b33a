//! What the protocol itself demands in a client's handshake: code points, framing, and fields that must be unpredictable.
//!
//! Only what TLS libraries send by themselves is named here. Names, tickets, cookies and what no list knows are not.

use std::ops::Range;

use super::{
    dtls,
    handshake::{CLIENT_HELLO, CLIENT_KEY_EXCHANGE, END_OF_EARLY_DATA, HEAD, Message},
    hello::{ALPN, Bytes, SERVER_NAME},
    ja4::is_grease,
    suite::Suite,
};

/// Values that stand among cipher suites and are none: renegotiation (RFC 5746 section 3.3), fallback (RFC 7507).
const SIGNALS: [u16; 2] = [0x00ff, 0x5600];

/// Names of protocols (the IANA registry of ALPN) that a phone's libraries ask for.
const PROTOCOLS: [&[u8]; 8] =
    [b"h2", b"http/1.1", b"http/1.0", b"h3", b"spdy/3.1", b"spdy/3", b"dot", b"acme-tls/1"];

/// Bytes of a key share by its group (RFC 8446 section 4.2.8, RFC 7919, RFC 9180's curves, the hybrids with ML-KEM).
const SHARES: [(u16, usize); 14] = [
    (0x0017, 65),
    (0x0018, 97),
    (0x0019, 133),
    (0x001d, 32),
    (0x001e, 56),
    (0x0100, 256),
    (0x0101, 384),
    (0x0102, 512),
    (0x0103, 768),
    (0x0104, 1_024),
    (0x11eb, 1_249),
    (0x11ec, 1_216),
    (0x11ed, 1_665),
    (0x6399, 1_216),
];

/// Public keys in a ClientKeyExchange: X25519, X448, points of P-256, P-384 and P-521.
const POINTS: [usize; 5] = [32, 56, 65, 97, 133];

/// Bytes of an RSA block or a finite field: up to 8,192 bits.
const MAX_MODULUS: usize = 1_024;

/// What is prescribed in a message, as ranges of its bytes, head included; sorted, without overlaps.
pub(super) fn of(message: &Message) -> Vec<Range<usize>> {
    let all = || std::iter::once(0..message.bytes.len()).collect();
    match message.kind {
        CLIENT_HELLO => hello(&message.bytes, Form::Stream).0,
        CLIENT_KEY_EXCHANGE if is_key(message.body()) => all(),
        END_OF_EARLY_DATA if message.body().is_empty() => all(),
        _ => Vec::new(),
    }
}

/// What is prescribed in a message of TLS, and where a server name stands in it, head included. In QUIC, where messages
/// come without records.
pub fn in_message(bytes: &[u8]) -> (Vec<Range<usize>>, Option<Range<usize>>) {
    match bytes.first() {
        Some(&CLIENT_HELLO) => hello(bytes, Form::Stream),
        _ => (Vec::new(), None),
    }
}

/// Where the server name stands in a client's hello, head included.
pub(super) fn server_name(message: &Message) -> Option<Range<usize>> {
    hello(&message.bytes, Form::Stream).1
}

/// What is prescribed in a message of DTLS that stands in one fragment, and its server name; from the first byte of the
/// fragment's header on.
pub(super) fn of_datagram(message: &dtls::Message) -> (Vec<Range<usize>>, Option<Range<usize>>) {
    let bytes = message.unfragmented();
    match message.kind {
        CLIENT_HELLO => hello(&bytes, Form::Datagrams),
        CLIENT_KEY_EXCHANGE if is_key(&message.body) => (std::iter::once(0..bytes.len()).collect(), None),
        _ => (Vec::new(), None),
    }
}

/// How a hello is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// TLS, over TCP or QUIC.
    Stream,
    /// DTLS: a longer head, a cookie, versions that count down (RFC 6347 sections 4.2.1 and 4.2.2).
    Datagrams,
}

/// A key with its length, in one of the forms of RFC 5246 section 7.4.7 and RFC 8422 section 5.7.
fn is_key(body: &[u8]) -> bool {
    let short = body
        .split_first()
        .is_some_and(|(&len, key)| usize::from(len) == key.len() && POINTS.contains(&key.len()));
    let long = body.split_first_chunk::<2>().is_some_and(|(len, key)| {
        usize::from(u16::from_be_bytes(*len)) == key.len() && (64..=MAX_MODULUS).contains(&key.len())
    });
    short || long
}

/// Reads on and notes what is prescribed.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    said: Vec<Range<usize>>,
    name: Option<Range<usize>>,
    form: Form,
}

impl<'a> Walk<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    /// The next bytes are prescribed.
    fn say(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.take(len)?;
        self.note(self.at - len..self.at);
        Some(taken)
    }

    fn note(&mut self, range: Range<usize>) {
        match self.said.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.said.push(range),
        }
    }

    fn u8(&mut self) -> Option<usize> {
        self.say(1)?.first().map(|&byte| byte.into())
    }

    fn u16(&mut self) -> Option<u16> {
        self.say(2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// A list of code points, each known and none twice.
    fn list(&mut self, len: usize, known: fn(u16) -> bool) -> Option<()> {
        let list = self.take(len)?;
        let (pairs, odd) = list.as_chunks::<2>();
        let mut seen: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
        let usual = odd.is_empty() && seen.iter().all(|&point| known(point) || is_grease(point));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        if usual && seen.len() == count {
            self.note(self.at - len..self.at);
        }
        Some(())
    }
}

fn hello(bytes: &[u8], form: Form) -> (Vec<Range<usize>>, Option<Range<usize>>) {
    let mut walk = Walk { bytes, at: 0, said: Vec::new(), name: None, form };
    let _ = read_hello(&mut walk);
    (walk.said, walk.name)
}

fn read_hello(walk: &mut Walk<'_>) -> Option<()> {
    walk.say(if walk.form == Form::Stream { HEAD } else { dtls::FRAGMENT_HEAD })?;
    let version = walk.take(2)?;
    let usual = match walk.form {
        Form::Stream => matches!(version, [3, 0..=3]),
        Form::Datagrams => matches!(version, [0xfe, 0xfd | 0xff]),
    };
    if usual {
        walk.note(walk.at - 2..walk.at);
    }
    walk.say(32)?;
    let session = walk.u8().filter(|len| *len <= 32)?;
    walk.say(session)?;
    if walk.form == Form::Datagrams {
        // A cookie came from the server, or did not.
        let cookie = walk.u8()?;
        walk.take(cookie)?;
    }
    let suites = walk.u16()?;
    walk.list(suites.into(), |suite| SIGNALS.contains(&suite) || Suite::of(suite).is_some())?;
    let methods = walk.u8()?;
    let methods = walk.take(methods)?;
    if matches!(methods, [0] | [1, 0]) {
        walk.note(walk.at - methods.len()..walk.at);
    }
    walk.u16()?;
    let mut seen = Vec::new();
    while walk.at < walk.bytes.len() {
        let head = walk.take(4)?;
        let mut head = Bytes(head);
        let (kind, len) = (head.u16()?, usize::from(head.u16()?));
        let (start, end) = (walk.at, walk.at.checked_add(len)?);
        let content = walk.bytes.get(start..end)?;
        // A type that stands twice is no hello's (RFC 8446 section 4.2).
        if seen.contains(&kind) {
            return None;
        }
        seen.push(kind);
        if is_grease(kind) || is_known(kind) {
            walk.note(start - 4..start);
            let all = walk.bytes;
            walk.bytes = all.get(..end)?;
            let _ = extension(walk, kind, content);
            walk.bytes = all;
        }
        walk.at = end;
    }
    Some(())
}

/// Extensions of the IANA registry that are read here.
fn is_known(kind: u16) -> bool {
    matches!(kind, 0 | 1 | 5 | 10 | 11 | 13 | 16..=18 | 21..=23 | 27 | 28 | 35 | 41..=45 | 49..=51 | 13_172 | 17_513 | 17_613)
        || kind == 0xff01
}

/// What is prescribed in an extension's content, which starts where the walk stands.
fn extension(walk: &mut Walk<'_>, kind: u16, content: &[u8]) -> Option<()> {
    let len = content.len();
    let fixed = match kind {
        SERVER_NAME => return name(walk, content),
        1 => matches!(content, [1..=4]),
        5 => content == [1, 0, 0, 0, 0],
        10 => return short_list(walk, content, 2, is_group),
        11 => content.split_first().is_some_and(|(&count, points)| {
            usize::from(count) == points.len() && points.len() <= 3 && points.iter().all(|point| *point <= 2)
        }),
        13 | 50 => return short_list(walk, content, 2, is_scheme),
        ALPN => return protocols(walk, content),
        17_513 | 17_613 => return protocols(walk, content),
        17 => content == [0, 7, 2, 0, 4, 0, 0, 0, 0],
        21 => content.iter().all(|byte| *byte == 0),
        27 => return short_list(walk, content, 1, |algorithm| (1..=3).contains(&algorithm)),
        28 => matches!(content, [0x40, 0 | 1]),
        43 if walk.form == Form::Datagrams => {
            return short_list(walk, content, 1, |version| {
                (0xfefc..=0xfefd).contains(&version) || version == 0xfeff
            });
        }
        43 => return short_list(walk, content, 1, |version| (0x0300..=0x0304).contains(&version)),
        45 => matches!(content, [1, 0 | 1] | [2, 0, 1] | [2, 1, 0]),
        51 => return shares(walk, content),
        0xff01 => content == [0],
        kind if is_grease(kind) => matches!(content, [] | [0]),
        // Those that have no content; that of others (tickets, identities, cookies) came from the server, or did not.
        _ => content.is_empty(),
    };
    if fixed {
        walk.say(len)?;
    }
    Some(())
}

/// A list behind a length of one or two bytes that fills the content.
fn short_list(walk: &mut Walk<'_>, content: &[u8], width: usize, known: fn(u16) -> bool) -> Option<()> {
    let len = if width == 1 { walk.u8()? } else { walk.u16()?.into() };
    if len + width == content.len() { walk.list(len, known) } else { None }
}

/// The framing of one host name (RFC 6066 section 3).
fn name(walk: &mut Walk<'_>, content: &[u8]) -> Option<()> {
    let mut rest = Bytes(content);
    let (list, kind, len) = (rest.u16()?, rest.u8()?, usize::from(rest.u16()?));
    if usize::from(list) + 2 == content.len() && kind == 0 && len + 5 == content.len() {
        walk.say(5)?;
        walk.name = Some(walk.at..walk.at + len);
    }
    Some(())
}

fn protocols(walk: &mut Walk<'_>, content: &[u8]) -> Option<()> {
    let list = walk.u16()?;
    if usize::from(list) + 2 != content.len() {
        return None;
    }
    let mut rest = Bytes(content.get(2..)?);
    let mut seen: Vec<&[u8]> = Vec::new();
    while let Some(protocol) = rest.vector8() {
        let usual = PROTOCOLS.contains(&protocol) || matches!(protocol, [a, b] if a == b && a & 15 == 10);
        if !usual || seen.contains(&protocol) {
            return None;
        }
        seen.push(protocol);
        walk.say(1 + protocol.len())?;
    }
    Some(())
}

/// Key shares: as many random bytes as the group demands.
fn shares(walk: &mut Walk<'_>, content: &[u8]) -> Option<()> {
    let list = walk.u16()?;
    if usize::from(list) + 2 != content.len() {
        return None;
    }
    let mut rest = Bytes(content.get(2..)?);
    let mut seen = Vec::new();
    while let (Some(group), Some(share)) = (rest.u16(), rest.vector16()) {
        let usual = if is_grease(group) { share == [0] } else { SHARES.contains(&(group, share.len())) };
        if !usual || seen.contains(&group) {
            return None;
        }
        seen.push(group);
        walk.say(4 + share.len())?;
    }
    Some(())
}

/// Groups of the IANA registry: curves, finite fields, hybrids.
fn is_group(group: u16) -> bool {
    matches!(group, 1..=0x29 | 0x0100..=0x0104) || SHARES.iter().any(|(known, _)| *known == group)
}

/// Signature schemes: a hash and an algorithm of TLS 1.2, those of RFC 8446, Brainpool's, ML-DSA.
fn is_scheme(scheme: u16) -> bool {
    let [hash, algorithm] = scheme.to_be_bytes();
    matches!((hash, algorithm), (1..=6, 1..=3) | (8, 4..=0x0b) | (8, 0x1a..=0x1c) | (9, 4..=6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::hex_bytes;

    /// The ClientHello of RFC 8448 section 3.
    fn rfc_8448() -> Vec<u8> {
        let hex = "010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7\
            000006130113031302010000910000000b0009000006736572766572ff01000100000a00140012001d0017001800\
            19010001010102010301040023000000330026002400\
            1d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020\
            001e040305030603020308040805080604010501060102010402050206020202002d00020101001c00024001";
        hex_bytes(hex).unwrap()
    }

    fn said(bytes: Vec<u8>) -> Vec<Range<usize>> {
        let kind = bytes[0];
        of(&Message { kind, bytes, at: 0, spread: false })
    }

    /// Where these bytes stand, in the hello of RFC 8448.
    fn place(hex: &str) -> Range<usize> {
        let wanted = hex_bytes(hex).unwrap();
        let bytes = rfc_8448();
        let at = bytes.windows(wanted.len()).position(|part| part == wanted).unwrap();
        at..at + wanted.len()
    }

    /// The hello with bytes changed, as many as before.
    fn changed(from: &str, to: &str) -> Vec<u8> {
        let mut bytes = rfc_8448();
        bytes.splice(place(from), hex_bytes(to).unwrap());
        bytes
    }

    fn left(said: &[Range<usize>], len: usize) -> Vec<Range<usize>> {
        let starts = std::iter::once(0).chain(said.iter().map(|range| range.end));
        let ends = said.iter().map(|range| range.start).chain([len]);
        starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end).collect()
    }

    #[test]
    fn of_the_hello_of_rfc_8448_only_the_name_is_left() {
        let bytes = rfc_8448();
        let name = place("736572766572");
        assert_eq!(left(&said(bytes.clone()), bytes.len()), std::slice::from_ref(&name));
        assert_eq!(hello(&bytes, Form::Stream).1, Some(name));
    }

    /// The hello of RFC 8448 as DTLS 1.2 would write it, with a cookie.
    fn datagram(cookie: &[u8]) -> dtls::Message {
        let mut body = rfc_8448().split_off(4);
        body.splice(0..2, [0xfe, 0xfd]);
        let len = u8::try_from(cookie.len()).unwrap();
        body.splice(35..35, std::iter::once(len).chain(cookie.iter().copied()));
        let at = body.windows(3).position(|part| part == [2, 3, 4]).unwrap();
        body.splice(at + 1..at + 3, [0xfe, 0xfd]);
        dtls::Message { kind: 1, number: 1, body, at: 0 }
    }

    #[test]
    fn of_a_hello_of_dtls_name_and_cookie_are_left() {
        for cookie in [&b""[..], b"twelve bytes"] {
            let message = datagram(cookie);
            let bytes = message.unfragmented();
            let (said, name) = of_datagram(&message);
            let name = name.unwrap();
            assert_eq!(&bytes[name.clone()], b"server");
            let left: Vec<_> = left(&said, bytes.len()).into_iter().map(|range| &bytes[range]).collect();
            let wanted: Vec<_> = [cookie, b"server"].into_iter().filter(|part| !part.is_empty()).collect();
            assert_eq!(left, wanted);
        }
        // A version of TLS has no place in it, nor has one of DTLS in TLS.
        let mut message = datagram(b"");
        message.body.splice(0..2, [3, 3]);
        let bytes = message.unfragmented();
        assert_eq!(left(&of_datagram(&message).0, bytes.len())[0], 12..14);
        let bytes = changed("0303cb34", "fefdcb34");
        assert_eq!(left(&said(bytes.clone()), bytes.len())[0], 4..6);
        let other = dtls::Message { kind: 15, ..datagram(b"") };
        assert_eq!(of_datagram(&other), (Vec::new(), None), "a signature holds what its maker chose");
    }

    #[test]
    fn what_no_list_knows_is_left() {
        let name = place("736572766572");
        for (from, to, len) in [
            // A suite that IANA does not know, and one that stands twice: the whole list.
            ("130113031302", "130113f31302", 6),
            ("130113031302", "130113021302", 6),
            // A group, a scheme and a version of nobody.
            ("001d00170018", "001d77770018", 18),
            ("04030503", "ee030503", 30),
            ("020304", "020399", 2),
            // A limit that no library asks for.
            ("001c00024001", "001c00024321", 2),
            // Content where none may be, and a type that is not known.
            ("002d00020101", "002a00020101", 2),
            ("002d00020101", "777700020101", 6),
            // A version after TLS 1.2, where none such may stand.
            ("0303cb34", "0309cb34", 2),
        ] {
            let bytes = changed(from, to);
            let rest = left(&said(bytes.clone()), bytes.len());
            assert!(rest.contains(&name), "{to}: {rest:?}");
            let others: Vec<usize> =
                rest.iter().filter(|range| **range != name).map(ExactSizeIterator::len).collect();
            assert_eq!(others, [len], "{to}");
        }
        // Of a type that stands twice nothing is said, nor of what follows.
        let bytes = changed("002d00020101", "002300020101");
        let end = bytes.len();
        assert_eq!(left(&said(bytes), end), [name, end - 12..end]);
    }

    #[test]
    fn a_key_share_has_the_length_that_its_group_demands() {
        // As P-256, 32 bytes are no point.
        let bytes = changed("001d002099", "0017002099");
        let rest = left(&said(bytes.clone()), bytes.len());
        assert_eq!(rest.iter().map(ExactSizeIterator::len).collect::<Vec<_>>(), [6, 36]);
    }

    #[test]
    fn keys_in_a_key_exchange() {
        let message = |body: &[u8]| {
            let len = u8::try_from(body.len() & 255).unwrap();
            [&[16, 0, u8::try_from(body.len() >> 8).unwrap(), len], body].concat()
        };
        let whole = |body: &[u8]| !said(message(body)).is_empty();
        assert!(whole(&[&[32][..], &[9; 32]].concat()));
        assert!(whole(&[&[1, 0][..], &[9; 256]].concat()));
        assert!(!whole(&[&[31][..], &[9; 31]].concat()), "no curve has such points");
        assert!(!whole(&[&[32][..], &[9; 40]].concat()), "bytes behind the key");
        assert!(!whole(&[&[0, 15][..], b"an identity of a", b"pre-shared key"].concat()));
        assert!(said(vec![20, 0, 0, 4, 1, 2, 3, 4]).is_empty(), "a Finished is verified elsewhere");
    }

    #[test]
    fn hellos_that_are_cut_or_changed_never_panic() {
        let bytes = rfc_8448();
        for at in 0..bytes.len() {
            let _ = said(bytes[..=at].to_vec());
            for to in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = to;
                let said = said(bytes.clone());
                assert!(said.windows(2).all(|pair| pair[0].end <= pair[1].start), "sorted");
                assert!(said.iter().all(|range| range.end <= bytes.len()));
            }
        }
    }
}
