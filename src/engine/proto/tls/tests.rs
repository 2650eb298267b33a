//! The traces of RFC 8448: its records, with its secrets as a key log, must give what it says that they hold.

use super::{records::HEADER, *};
use crate::{
    engine::{net::stream::Stream, proto::keylog::KeyLog},
    evidence::{ByteRange, hex, hex_bytes},
};

/// A record of a trace.
#[derive(Clone, Debug)]
struct Record {
    from: Peer,
    /// The content type that the RFC gives it.
    kind: u8,
    payload: Vec<u8>,
    wire: Vec<u8>,
}

impl Record {
    fn is_protected(&self) -> bool {
        self.wire[0] == 23
    }
}

/// Key and IV that the RFC makes of a traffic secret.
#[derive(Clone, Debug)]
struct Derived {
    label: String,
    secret: Vec<u8>,
    key: Vec<u8>,
    iv: Vec<u8>,
}

/// A section of the RFC.
#[derive(Clone, Debug)]
struct Trace {
    random: String,
    secrets: Vec<(String, String)>,
    derived: Vec<Derived>,
    records: Vec<Record>,
}

impl Trace {
    /// The section of this number.
    fn of(section: u8) -> Self {
        let text = include_str!("tests/rfc_8448.txt");
        let sections = text.split("\nsection ").skip(1);
        let text = sections.into_iter().find_map(|text| text.strip_prefix(&format!("{section}\n"))).unwrap();
        let mut items: Vec<(&str, String)> = Vec::new();
        for line in text.lines() {
            match (line.strip_prefix("  "), items.last_mut()) {
                (Some(bytes), Some((_, hex))) => hex.push_str(bytes),
                _ => items.push((line, String::new())),
            }
        }
        let find = |name: &str| items.iter().find(|item| item.0 == name).map(|item| item.1.clone()).unwrap();
        let bytes = |text: &str| hex_bytes(text).unwrap();
        let labels = items.iter().filter_map(|item| item.0.strip_prefix("secret "));
        let secrets: Vec<_> =
            labels.map(|label| (label.to_owned(), find(&format!("secret {label}")))).collect();
        let derived = secrets.iter().map(|(label, secret)| Derived {
            label: label.clone(),
            secret: bytes(secret),
            key: bytes(&find(&format!("key {label}"))),
            iv: bytes(&find(&format!("iv {label}"))),
        });
        let pairs = items.windows(2).filter_map(|pair| {
            let (name, wire) = (pair[1].0.strip_suffix(" record")?, bytes(&pair[1].1));
            assert_eq!(pair[0].0, format!("{name} payload"));
            let (from, kind) = name.split_once(' ').unwrap();
            let kind = match kind {
                "change_cipher_spec" => 20,
                "alert" => 21,
                "handshake" => 22,
                "application_data" => 23,
                other => panic!("no content type: {other}"),
            };
            let from = if from == "client" { Peer::Client } else { Peer::Server };
            Some(Record { from, kind, payload: bytes(&pair[0].1), wire })
        });
        Self { random: find("random"), derived: derived.collect(), records: pairs.collect(), secrets }
    }

    /// Its secrets as a key log, without those under some labels.
    fn keys_without(&self, left_out: &[&str]) -> KeyLog {
        let lines = self.secrets.iter().filter(|(label, _)| !left_out.contains(&label.as_str()));
        let lines = lines.map(|(label, secret)| format!("{label} {} {secret}\n", self.random));
        let mut keys = KeyLog::default();
        keys.add(lines.collect::<String>().as_bytes());
        keys
    }

    fn keys(&self) -> KeyLog {
        self.keys_without(&[])
    }

    fn sent(&self, peer: Peer) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.from == peer)
    }

    /// What a peer sends protected, by content type.
    fn protected(&self, peer: Peer) -> Vec<(u8, Vec<u8>)> {
        let sent = self.sent(peer).filter(|record| record.is_protected());
        sent.map(|record| (record.kind, record.payload.clone())).collect()
    }

    fn stream(&self, peer: Peer) -> Vec<u8> {
        self.sent(peer).flat_map(|record| record.wire.clone()).collect()
    }

    fn read(&self, keys: &KeyLog) -> Read {
        Read::of(&self.stream(Peer::Client), &self.stream(Peer::Server), keys)
    }
}

/// What the reader said of a connection.
#[derive(Default)]
struct Read {
    opened: [Vec<(u8, Vec<u8>)>; 2],
    refused: usize,
    closed: [Vec<ByteRange>; 2],
    missing: [u64; 2],
    damaged: [usize; 2],
    malformed: usize,
    outcome: Outcome,
}

impl Read {
    fn of(client: &[u8], server: &[u8], keys: &KeyLog) -> Self {
        let mut read = Self::default();
        let (client, server) = (Stream::of_bytes(client), Stream::of_bytes(server));
        read.outcome = Connection::new(&client, &server, keys).run(&mut read).unwrap();
        read
    }

    /// Application data of both peers, each put together.
    fn application_data(&self) -> [Vec<u8>; 2] {
        let of = |opened: &Vec<(u8, Vec<u8>)>| {
            let data = opened.iter().filter(|(kind, _)| *kind == 23);
            data.flat_map(|(_, content)| content.clone()).collect()
        };
        [of(&self.opened[0]), of(&self.opened[1])]
    }
}

impl Handler for Read {
    fn hello(&mut self, _: Peer, _: u64, _: &Hello) {}

    fn fixed(&mut self, _: Peer, _: ByteRange) {}

    fn opaque(&mut self, _: Peer, range: ByteRange) {
        panic!("bytes of no record at {range:?}");
    }

    fn closed(&mut self, peer: Peer, range: ByteRange) {
        self.closed[peer as usize].push(range);
    }

    fn opened(&mut self, peer: Peer, record: &Opened, content: &[u8]) {
        self.refused += usize::from(record.refused);
        self.opened[peer as usize].push((record.kind, content.to_vec()));
    }

    fn missing(&mut self, peer: Peer, bytes: u64) {
        self.missing[peer as usize] += bytes;
    }

    fn malformed(&mut self, _: Peer, _: u64, _: &'static str) {
        self.malformed += 1;
    }

    fn damaged(&mut self, peer: Peer, _: u64) {
        self.damaged[peer as usize] += 1;
    }
}

const SECTIONS: [u8; 5] = [3, 4, 5, 6, 7];

/// Application data that sections 3 and 4 print: the bytes from 0 to 49.
fn fifty() -> Vec<u8> {
    (0..50).collect()
}

#[test]
fn rfc_8448_makes_these_keys_of_its_traffic_secrets() {
    let suite = Suite::of(0x1301).unwrap();
    let mut count = 0;
    for section in SECTIONS {
        for Derived { label, secret, key, iv } in Trace::of(section).derived {
            let expand = |name, len| suite.hash.expand_label(&secret, name, &[], len).unwrap();
            assert_eq!(hex(&expand("key", 16)), hex(&key), "section {section}, {label}");
            assert_eq!(hex(&expand("iv", 12)), hex(&iv), "section {section}, {label}");
            count += 1;
        }
    }
    // Four in each section, and that of early data.
    assert_eq!(count, 21);
}

#[test]
fn the_traces_of_rfc_8448_hold_what_it_prints() {
    let (mut records, mut bytes) = (0, 0);
    for section in SECTIONS {
        let trace = Trace::of(section);
        let read = trace.read(&trace.keys());
        for peer in Peer::BOTH {
            let wanted = trace.protected(peer);
            assert_eq!(read.opened[peer as usize], wanted, "section {section}, {peer:?}");
            assert!(read.closed[peer as usize].is_empty(), "section {section}, {peer:?}");
            records += wanted.len();
            bytes += wanted.iter().map(|(_, content)| content.len()).sum::<usize>();
        }
        assert_eq!((read.missing, read.damaged, read.malformed), ([0; 2], [0; 2], 0), "section {section}");
        let outcome = &read.outcome;
        assert_eq!(outcome.opened, [true; 2], "section {section}");
        assert_eq!(outcome.unread, [None; 2], "section {section}");
        assert_eq!(outcome.version, Some(Version::TLS13));
        assert_eq!(outcome.suite, Some(0x1301));
        assert_eq!(outcome.sni.as_deref(), Some("server"));
        // Only a client's Finished that verifies over the whole handshake gives these.
        assert!(!outcome.prescribed.is_empty(), "section {section}");
        assert_eq!((outcome.resumed, outcome.early_data_accepted), (section == 4, section == 4));
        let [up, down] = match section {
            3 => [fifty(), fifty()],
            4 => [[&b"ABCDEF"[..], &fifty()].concat(), fifty()],
            _ => [Vec::new(), Vec::new()],
        };
        assert_eq!(read.application_data(), [up, down], "section {section}");
        assert_eq!(read.refused, 0, "the server of section 4 takes the early data");
    }
    assert_eq!((records, bytes), (27, 3_758));
}

#[test]
fn what_the_servers_of_rfc_8448_sign() {
    // RSA keys of 1,024 bits, as in three of the sections, are too short for any signature to be believed.
    let short = Proof::NotCheckable("the kind or size of the server's key does not fit the scheme");
    for (section, proof, subject) in [
        (3, short, Some("CN=rsa")),
        (4, Proof::Absent("an earlier session was taken up"), None),
        (5, short, Some("CN=rsa")),
        (6, Proof::Verified("ecdsa_p256_sha256"), Some("CN=ecdsa256")),
        (7, short, Some("CN=rsa")),
    ] {
        let trace = Trace::of(section);
        let identity = trace.read(&trace.keys()).outcome.identity.unwrap();
        let certificate = identity.certificate();
        let named = certificate.as_ref().map(|certificate| certificate.subject.as_str());
        assert_eq!((identity.proof, named), (proof, subject), "section {section}");
    }
}

#[test]
fn without_secrets_nothing_of_the_traces_is_read() {
    for section in SECTIONS {
        let trace = Trace::of(section);
        // None at all; those of another section; this one's names with values of another.
        let another = Trace::of(if section == 7 { 3 } else { section + 1 });
        let swapped = Trace { random: trace.random.clone(), ..another.clone() };
        for (keys, why) in [
            (KeyLog::default(), Unread::NoSecret),
            (another.keys(), Unread::NoSecret),
            (swapped.keys(), Unread::WrongSecret),
        ] {
            let read = trace.read(&keys);
            assert_eq!(read.opened, [Vec::new(), Vec::new()], "section {section}, {why}");
            for peer in Peer::BOTH {
                let payloads = trace.sent(peer).filter(|record| record.is_protected());
                let sizes: Vec<u64> = payloads.map(|record| (record.wire.len() - HEADER) as u64).collect();
                let closed = read.closed[peer as usize].iter().map(|range| range.len());
                assert_eq!(closed.collect::<Vec<_>>(), sizes, "section {section}, {peer:?}");
            }
            let outcome = &read.outcome;
            assert_eq!((outcome.opened, outcome.unread), ([false; 2], [Some(why); 2]), "section {section}");
            assert!(
                outcome.prescribed.is_empty(),
                "section {section}: nobody proved that the hello is genuine"
            );
        }
    }
}

#[test]
fn early_data_needs_a_secret_of_its_own() {
    let trace = Trace::of(4);
    let read = trace.read(&trace.keys_without(&["CLIENT_EARLY_TRAFFIC_SECRET"]));
    // The early data and EndOfEarlyData stay closed, and nothing else does.
    assert_eq!(read.opened[0], trace.protected(Peer::Client)[2..]);
    assert_eq!(read.opened[1], trace.protected(Peer::Server));
    assert_eq!(read.closed.each_ref().map(Vec::len), [2, 0]);
    assert_eq!(read.application_data(), [fifty(), fifty()]);
    assert_eq!(read.missing, [10, 0], "the content of both, with its type");
    assert!(read.outcome.prescribed.is_empty(), "Finished covers EndOfEarlyData, which is not read");
    // And with no other than that, nothing else is read, nor whether the server takes it.
    let others = [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_TRAFFIC_SECRET_0",
    ];
    let read = trace.read(&trace.keys_without(&others));
    assert_eq!(read.opened, [trace.protected(Peer::Client)[..2].to_vec(), Vec::new()]);
    assert_eq!(read.outcome.unread, [None, Some(Unread::NoSecret)]);
    assert_eq!((read.refused, read.outcome.early_data_accepted), (2, false));
}

#[test]
fn a_record_of_a_trace_with_one_bit_changed_is_not_believed() {
    for section in SECTIONS {
        let trace = Trace::of(section);
        let keys = trace.keys();
        for at in 0..trace.records.len() {
            let mut changed = trace.clone();
            let record = &mut changed.records[at];
            if !record.is_protected() {
                continue;
            }
            // In the last byte of its tag.
            *record.wire.last_mut().unwrap() ^= 1;
            let (peer, len) = (record.from, (record.wire.len() - HEADER) as u64);
            let read = changed.read(&keys);
            let closed = |peer: Peer| -> Vec<u64> {
                read.closed[peer as usize].iter().map(|range| range.len()).collect()
            };
            assert_eq!((closed(peer), closed(peer.other())), (vec![len], vec![]), "section {section}, {at}");
            let others = |peer: Peer| -> Vec<(u8, Vec<u8>)> {
                let records = trace.records.iter().enumerate().filter(|(other, _)| *other != at);
                let records = records.map(|(_, record)| record.clone()).collect();
                Trace { records, ..trace.clone() }.protected(peer)
            };
            assert_eq!(read.opened, Peer::BOTH.map(others), "section {section}, record {at}");
            // What stands in the handshake is vouched for by Finished; what comes behind it is not its concern.
            let in_handshake = trace.records[at].kind == 22 && trace.records[at].payload[0] != 4;
            assert_eq!(read.outcome.prescribed.is_empty(), in_handshake, "section {section}, record {at}");
        }
    }
}
