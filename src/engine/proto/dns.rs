//! DNS messages (RFC 1035, RFC 6762).

use simple_dns::{Name, Packet, PacketFlag, QTYPE, TYPE, rdata::RData};

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
        RData::A(a) => std::net::Ipv4Addr::from(a.address).to_string(),
        RData::AAAA(a) => std::net::Ipv6Addr::from(a.address).to_string(),
        RData::CNAME(to) => name(&to.0),
        RData::NS(to) => name(&to.0),
        RData::PTR(to) => name(&to.0),
        RData::MX(mx) => format!("{} {}", mx.preference, name(&mx.exchange)),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, name(&srv.target)),
        RData::SOA(soa) => format!("{} {} {}", name(&soa.mname), name(&soa.rname), soa.serial),
        RData::TXT(text) => String::try_from(text.clone()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// The header, and what follows each question's name.
fn understood(bytes: &[u8], questions: u16) -> Vec<ByteRange> {
    let range = |start: usize, end: usize| ByteRange::new(start as u64, end as u64);
    let mut ranges = vec![range(0, HEADER)];
    let mut at = HEADER;
    for _ in 0..questions {
        let Some(end) = name_end(bytes, at) else { break };
        ranges.push(range(end, end + 4));
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
