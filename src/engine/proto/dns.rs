//! DNS messages (RFC 1035, RFC 6762).

use std::net::{Ipv4Addr, Ipv6Addr};

use simple_dns::{
    Name, Packet, PacketFlag, QTYPE, TYPE,
    rdata::{HTTPS, RData, SVCB, SVCParam},
};

use crate::evidence::ByteRange;

/// RFC 1035 section 4.1.1.
const HEADER: usize = 12;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: u16,
    /// Whether it is a response.
    pub response: bool,
    /// The response code, with the upper bits of EDNS.
    pub rcode: u8,
    /// Questions: name in lower case without the final dot, record type.
    pub questions: Vec<(String, String)>,
    /// Records of all sections but EDNS: name, record type, value in text (empty for types without a
    /// common spelling).
    pub answers: Vec<(String, String, String)>,
    /// Bytes that the grammar accounts for: the header, and type and class of each question.
    pub understood: Vec<ByteRange>,
    /// Where the first question's name stands, if it is all lower case: letters of both cases can carry a message.
    pub plain_name: Option<ByteRange>,
}

/// Parses one message.
///
/// # Errors
/// What breaks the grammar, in words.
pub fn parse(bytes: &[u8]) -> Result<Message, String> {
    let counts = counts(bytes).ok_or("shorter than a header")?;
    let [questions, records @ ..] = counts;
    // The smallest question has 5 bytes, the smallest record 11: more are announced than can be there.
    let smallest =
        usize::from(questions) * 5 + records.iter().map(|&count| usize::from(count) * 11).sum::<usize>();
    if smallest > bytes.len() - HEADER {
        return Err("announces more records than fit".to_owned());
    }
    let packet = Packet::parse(bytes).map_err(|error| error.to_string())?;
    let sections = [&packet.answers, &packet.name_servers, &packet.additional_records];
    Ok(Message {
        id: packet.id(),
        response: packet.has_flags(PacketFlag::RESPONSE),
        rcode: bytes.get(3).map_or(0, |flags| flags & 0x0f),
        questions: packet.questions.iter().map(|q| (name(&q.qname), question_type(q.qtype))).collect(),
        answers: sections
            .into_iter()
            .flatten()
            .map(|record| (name(&record.name), record_type(record.rdata.type_code()), value(&record.rdata)))
            .collect(),
        understood: understood(bytes, questions),
        plain_name: plain_name(bytes, questions),
    })
}

fn counts(bytes: &[u8]) -> Option<[u16; 4]> {
    let header = bytes.first_chunk::<HEADER>()?;
    let (fields, _) = header.as_chunks::<2>();
    let count = |index: usize| fields.get(index).map_or(0, |field| u16::from_be_bytes(*field));
    Some([count(2), count(3), count(4), count(5)])
}

fn name(name: &Name<'_>) -> String {
    name.to_string().to_lowercase()
}

fn record_type(code: TYPE) -> String {
    match code {
        // RFC 3597 section 5.
        TYPE::Unknown(number) => format!("TYPE{number}"),
        known => format!("{known:?}"),
    }
}

fn question_type(code: QTYPE) -> String {
    match code {
        QTYPE::TYPE(code) => record_type(code),
        other => format!("{other:?}"),
    }
}

fn value(data: &RData<'_>) -> String {
    match data {
        RData::A(a) => Ipv4Addr::from(a.address).to_string(),
        RData::AAAA(a) => Ipv6Addr::from(a.address).to_string(),
        RData::CNAME(to) => name(&to.0),
        RData::NS(to) => name(&to.0),
        RData::PTR(to) => name(&to.0),
        RData::MX(mx) => format!("{} {}", mx.preference, name(&mx.exchange)),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, name(&srv.target)),
        RData::SOA(soa) => format!("{} {} {}", name(&soa.mname), name(&soa.rname), soa.serial),
        RData::HTTPS(HTTPS(service)) | RData::SVCB(service) => self::service(service),
        RData::TXT(text) => String::try_from(text.clone()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// A record of RFC 9460 as its section 2.1 writes it, without quotes; of a key for encrypted hellos only its length.
fn service(record: &SVCB<'_>) -> String {
    let target = name(&record.target);
    let mut text = format!("{} {}", record.priority, if target.is_empty() { "." } else { &target });
    for param in record.iter_params() {
        let list = |values: Vec<String>| values.join(",");
        let param = match param {
            SVCParam::Mandatory(keys) => {
                format!("mandatory={}", list(keys.iter().map(|&key| key_name(key)).collect()))
            }
            SVCParam::Alpn(names) => {
                let names = names.iter().map(|name| String::try_from(name.clone()).unwrap_or_default());
                format!("alpn={}", list(names.collect()))
            }
            SVCParam::NoDefaultAlpn => "no-default-alpn".to_owned(),
            SVCParam::Port(port) => format!("port={port}"),
            SVCParam::Ipv4Hint(hints) => {
                format!(
                    "ipv4hint={}",
                    list(hints.iter().map(|&hint| Ipv4Addr::from(hint).to_string()).collect())
                )
            }
            SVCParam::Ipv6Hint(hints) => {
                format!(
                    "ipv6hint={}",
                    list(hints.iter().map(|&hint| Ipv6Addr::from(hint).to_string()).collect())
                )
            }
            SVCParam::Ech(config) => format!("ech=({} bytes)", config.len()),
            other => key_name(other.key_code()),
        };
        text.push(' ');
        text.push_str(&param);
    }
    text
}

/// The name of a parameter (RFC 9460 section 14.3.2).
fn key_name(key: u16) -> String {
    const NAMES: [&str; 7] = ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint"];
    NAMES.get(usize::from(key)).map_or_else(|| format!("key{key}"), |name| (*name).to_owned())
}

/// Types that hosts ask for (IANA's registry of DNS parameters): addresses, names, texts, services, keys, and all of them.
const ASKED: [u16; 16] = [1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 35, 43, 48, 64, 65, 255];

/// The header, and what follows each question's name, as far as they are ordinary: of a query the flags that ask for recursion,
/// for what is authentic and for what is not checked, of a response all (RFC 1035 section 4.1.1, RFC 4035 section 3.1.6);
/// types that hosts ask for, in the Internet, with the bit that asks for one answer to one host (RFC 6762 section 5.4).
fn understood(bytes: &[u8], questions: u16) -> Vec<ByteRange> {
    let range = |start: usize, end: usize| ByteRange::new(start as u64, end as u64);
    let plain = match bytes.get(2..4) {
        Some(&[high, low]) => high & 0x80 != 0 || (high & !0x01 == 0 && low & !0x30 == 0),
        _ => false,
    };
    let mut ranges = if plain { vec![range(0, HEADER)] } else { vec![range(0, 2), range(4, HEADER)] };
    let mut at = HEADER;
    for _ in 0..questions {
        let Some(end) = name_end(bytes, at) else { break };
        if let Some(&[t0, t1, c0, c1]) = bytes.get(end..end + 4)
            && ASKED.contains(&u16::from_be_bytes([t0, t1]))
            && matches!((c0, c1), (0 | 0x80, 1))
        {
            ranges.push(range(end, end + 4));
        }
        at = end + 4;
    }
    ranges
}

fn plain_name(bytes: &[u8], questions: u16) -> Option<ByteRange> {
    let end = name_end(bytes, HEADER).filter(|_| questions > 0)?;
    let name = bytes.get(HEADER..end)?;
    let plain = !name.iter().any(u8::is_ascii_uppercase);
    plain.then(|| ByteRange::new(HEADER as u64, end as u64))
}

/// One past a name.
fn name_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += usize::from(*length) + 1,
        }
    }
}

/// Splits a TCP stream into messages by their lengths (RFC 1035 section 4.2.2).
#[derive(Debug, Default)]
pub struct Framer {
    held: Vec<u8>,
}

impl Framer {
    /// Takes bytes; gives each whole message.
    pub fn push(&mut self, mut data: &[u8], message: &mut dyn FnMut(&[u8])) {
        while !data.is_empty() {
            let wanted = match self.held.first_chunk::<2>() {
                Some(length) => 2 + usize::from(u16::from_be_bytes(*length)),
                None => 2,
            };
            let (now, rest) = data.split_at((wanted - self.held.len()).min(data.len()));
            self.held.extend_from_slice(now);
            data = rest;
            if self.held.len() == wanted && (wanted > 2 || self.held == [0, 0]) {
                message(self.held.get(2..).unwrap_or_default());
                self.held.clear();
            }
        }
    }

    /// Whether a message has begun.
    pub fn is_inside(&self) -> bool {
        !self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The query of RFC 1035's own kind: `f.isi.arpa`, A, IN, and a response with an alias.
    fn response() -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        bytes.extend(b"\x01F\x03ISI\x04ARPA\0\0\x01\0\x01");
        bytes.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01x\xc0\x12");
        bytes.extend(b"\xc0\x28\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x02\0\x34");
        bytes
    }

    #[test]
    fn names_are_in_lower_case_and_values_in_text() {
        let message = parse(&response()).unwrap();
        assert_eq!((message.id, message.response, message.rcode), (0xabcd, true, 0));
        assert_eq!(message.questions, [("f.isi.arpa".to_owned(), "A".to_owned())]);
        let answers = [("f.isi.arpa", "CNAME", "x.arpa"), ("x.arpa", "A", "10.2.0.52")];
        assert_eq!(message.answers, answers.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
        assert_eq!(message.understood, [ByteRange::new(0, 12), ByteRange::new(24, 28)]);
    }

    #[test]
    fn flags_types_and_classes_of_nobody_are_not_understood() {
        let query = |flags: [u8; 2], kind: [u8; 4]| {
            let head = [&[7, 7][..], &flags, &[0, 1, 0, 0, 0, 0, 0, 0]].concat();
            let bytes = [&head[..], b"\x01a\0", &kind].concat();
            let understood = parse(&bytes).unwrap().understood;
            understood.iter().map(|range| range.len()).sum::<u64>()
        };
        assert_eq!(query([1, 0], [0, 28, 0, 1]), 12 + 4);
        assert_eq!(query([1, 0x20], [0, 255, 0x80, 1]), 12 + 4, "authentic data; one answer to one host");
        // A location and another network are asked for by nobody; a number of no type breaks the grammar.
        assert_eq!(query([1, 0], [0, 29, 0, 1]), 12);
        assert_eq!(query([1, 0], [0, 1, 0, 3]), 12);
        assert_eq!(query([0x05, 0], [0, 1, 0, 1]), 10 + 4);
        assert_eq!(query([1, 0x85], [0, 1, 0, 1]), 10 + 4);
    }

    /// The vectors of RFC 9460 appendix D.1 and D.2, each as the data of an answer, against its presentation format.
    #[test]
    fn service_records_are_written_as_their_rfc_writes_them() {
        let org = b"\x03foo\x07example\x03org\0";
        let com = b"\x03foo\x07example\x03com\0";
        let data = |priority: u8, target: &[u8], params: &[u8]| [&[0, priority], target, params].concat();
        let ipv6: [u8; 32] =
            *b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\x53\0\x01";
        for (data, text) in [
            (data(0, com, b""), "0 foo.example.com"),
            (data(1, b"\0", b""), "1 ."),
            (data(16, com, b"\0\x03\0\x02\0\x35"), "16 foo.example.com port=53"),
            (
                data(1, com, &[b"\0\x06\0\x20", ipv6.as_slice()].concat()),
                "1 foo.example.com ipv6hint=2001:db8::1,2001:db8::53:1",
            ),
            (
                data(16, org, b"\0\0\0\x04\0\x01\0\x04\0\x01\0\x09\x02h2\x05h3-19\0\x04\0\x04\xc0\0\x02\x01"),
                "16 foo.example.org mandatory=alpn,ipv4hint alpn=h2,h3-19 ipv4hint=192.0.2.1",
            ),
            (data(1, com, b"\x02\x9b\0\x05hello"), "1 foo.example.com key667"),
        ] {
            let mut bytes = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
            bytes.extend(b"\x01a\x07example\0\0\x41\0\x01\xc0\x0c\0\x41\0\x01\0\0\0\x3c");
            bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend(data);
            let answers = parse(&bytes).unwrap().answers;
            assert_eq!(answers, [("a.example".to_owned(), "HTTPS".to_owned(), text.to_owned())]);
        }
    }

    #[test]
    fn lengths_frame_messages_over_tcp_however_they_are_cut() {
        let stream = b"\0\x03abc\0\0\0\x01z\0\x09cut";
        for size in 1..stream.len() {
            let (mut framer, mut messages) = (Framer::default(), Vec::new());
            for piece in stream.chunks(size) {
                framer.push(piece, &mut |message| messages.push(message.to_vec()));
            }
            assert_eq!(messages, [b"abc".to_vec(), Vec::new(), b"z".to_vec()], "by {size}");
            assert!(framer.is_inside());
        }
    }

    #[test]
    fn counts_that_can_not_be_true_are_refused_before_anything_is_reserved() {
        let mut bytes = response();
        bytes[6] = 0xff;
        assert!(parse(&bytes).is_err());
        assert!(parse(&bytes[..11]).is_err());
    }

    proptest! {
        #[test]
        fn changed_messages_never_panic(edits: Vec<(prop::sample::Index, u8)>, cut: prop::sample::Index) {
            let mut bytes = response();
            for (index, byte) in edits {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            let _ = parse(&bytes[..cut.index(bytes.len())]);
            let _ = parse(&bytes);
        }
    }
}
