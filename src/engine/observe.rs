//! What one conversation gives beside its leaves: the protocol, names, places of bytes, odd traffic.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Range,
};

use crate::{
    engine::{
        answers::Answers,
        correlate::Collector,
        declared::{self, Declared, Seen, Watch},
        decode::sink::{
            DnsMessage, LeafId, NamedPart, Origin, Place, QuicConnection, RequestHead, ResponseHead, Sink,
            Source, TlsConnection, TlsHello, TransactionId,
        },
        hidden,
        ledger::PlaceMap,
        proto::tls::{Identity, Proof},
    },
    evidence::{Anomaly, AnomalyKind, ByteRange, Digest, Direction, FrameNo, Step, Timestamp, printable},
    findings::Signer,
};

/// Names kept of one flow: a keep-alive connection to a proxy may carry many hosts.
const MAX_HOSTS: usize = 64;
/// Name-to-address pairs kept of one flow.
const MAX_RESOLVED: usize = 65_536;
/// Odd traffic listed of one flow; the rest is counted.
const MAX_ANOMALIES: usize = 100;
/// Characters kept of a name; RFC 1035 allows 255.
const MAX_NAME: usize = 255;

/// What was seen of one flow.
#[derive(Debug, Default)]
pub(super) struct Observation {
    /// What was recognised.
    pub(super) protocol: Option<&'static str>,
    /// Places of uplink bytes.
    pub(super) places: PlaceMap,
    /// Uplink bytes that stand in encrypted records or packets.
    pub(super) sealed: Vec<ByteRange>,
    /// Signs that a copy might go unsent, or hide: protocols that send differences, cover traffic.
    pub(super) signs: BTreeSet<AnomalyKind>,
    /// By the second, how many other bytes uplink segments said than those that stand in the stream.
    pub(super) disputed: BTreeMap<Timestamp, u64>,
    /// Messages that a declared schema accounts for.
    pub(super) declared: Vec<Seen>,
    /// Hosts that requests name, in order of appearance, without port.
    pub(super) hosts: Vec<String>,
    /// Server names of client hellos.
    pub(super) sni: BTreeSet<String>,
    /// Addresses that DNS gave for names.
    pub(super) resolved: Vec<(IpAddr, String)>,
    /// Odd traffic.
    pub(super) anomalies: Vec<Anomaly>,
    /// Odd traffic that is not listed.
    pub(super) more_anomalies: u64,
    /// Limits that were reached, listed or not.
    pub(super) limits_reached: u64,
    /// Encrypted connections that a secret of a key log opened.
    pub(super) opened_connections: u64,
    /// What signatures of the other end show.
    pub(super) signatures: Signatures,
    /// What servers answered.
    pub(super) answers: Answers,
    /// Leaves that the phone sends and of which nothing came yet.
    pub(super) fresh: BTreeSet<LeafId>,
}

/// Signers kept of one end: a server has one, or one for each of its names.
const MAX_SIGNERS: usize = 8;

/// What signatures of one end show.
#[derive(Clone, Debug, Default)]
pub(super) struct Signatures {
    /// What is to be said of all of them together.
    pub(super) word: Option<Signed>,
    /// Certificates whose keys made those that verify.
    by: BTreeSet<(String, Digest)>,
}

/// What is said of several signatures of one end: the last of these that occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signed {
    Absent,
    NotCheckable,
    Verified,
    Failed,
}

impl Signed {
    /// As findings say it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::NotCheckable => "not checkable",
            Self::Verified => "verified",
            Self::Failed => "failed",
        }
    }
}

impl Signatures {
    /// Adds what a handshake shows.
    fn take(&mut self, identity: &Identity) {
        let word = match identity.proof {
            Proof::Absent(_) => Signed::Absent,
            Proof::NotCheckable(_) => Signed::NotCheckable,
            Proof::Verified(_) => Signed::Verified,
            Proof::Failed(_) => Signed::Failed,
        };
        self.word = self.word.max(Some(word));
        let certificate = identity.certificate().filter(|_| word == Signed::Verified);
        if let Some(certificate) = certificate.filter(|_| self.by.len() < MAX_SIGNERS) {
            let name = certificate.names.into_iter().next().unwrap_or(certificate.subject);
            self.by.insert((name, certificate.sha256));
        }
    }

    /// The certificates whose keys signed.
    pub(super) fn signers(&self) -> impl Iterator<Item = Signer> + '_ {
        self.by.iter().map(|(name, sha256)| Signer { name: name.clone(), certificate_sha256: *sha256 })
    }

    /// Adds those of another flow of the same end.
    pub(super) fn unite(&mut self, other: &Self) {
        self.word = self.word.max(other.word);
        let room = MAX_SIGNERS.saturating_sub(self.by.len());
        self.by.extend(other.by.iter().take(room).cloned());
    }
}

impl Observation {
    /// Names that the flow gives for its other end, with who says so.
    pub(super) fn names(&self) -> Vec<String> {
        let sni = self.sni.iter().map(|name| format!("{name} (sni)"));
        sni.chain(self.hosts.iter().map(|name| format!("{name} (http host)"))).collect()
    }
}

impl Observation {
    /// Takes odd traffic.
    pub(super) fn odd(&mut self, anomaly: Anomaly) {
        self.limits_reached += u64::from(anomaly.kind == AnomalyKind::LimitReached);
        if matches!(anomaly.kind, AnomalyKind::ConstantRate | AnomalyKind::DeltaProtocol) {
            self.signs.insert(anomaly.kind);
        }
        if self.anomalies.len() >= MAX_ANOMALIES {
            self.more_anomalies += 1;
        } else {
            self.anomalies.push(anomaly);
        }
    }

    /// Takes back what was said, where it is listed: what was seen since shows that it does not hold.
    pub(super) fn settle(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: &str) {
        let said = |one: &Anomaly| one.kind == kind && one.frame == frame && one.detail == detail;
        if let Some(place) = self.anomalies.iter().position(said) {
            self.anomalies.remove(place);
        }
    }
}

/// Hands leaves on to the collector and keeps the rest.
pub(super) struct Observer<'o, 'c> {
    pub(super) collector: &'o mut Collector<'c>,
    pub(super) capture: &'o str,
    pub(super) flow: &'o str,
    pub(super) declared: &'o Declared<'o>,
    pub(super) watch: Watch<'o>,
    pub(super) seen: Observation,
}

impl Observer<'_, '_> {
    /// Takes what a server's signature shows; where the phone is the server, it is its own.
    fn signature(&mut self, client: Option<Direction>, identity: Option<&Identity>) {
        if let Some(identity) = identity.filter(|_| client == Some(Direction::Up)) {
            self.seen.signatures.take(identity);
        }
    }

    /// Takes the server name that a client asked for.
    fn sni(&mut self, name: Option<&str>) {
        if let Some(name) = name.filter(|_| self.seen.sni.len() < MAX_HOSTS) {
            self.seen.sni.insert(printable(name.as_bytes(), MAX_NAME).to_ascii_lowercase());
        }
    }
}

impl Sink for Observer<'_, '_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        let watched = self.watch.wants(&origin);
        let (up, answered) = (origin.direction == Direction::Up, self.seen.answers.wants(&origin));
        let leaf = self.collector.open(origin);
        if up {
            self.seen.fresh.insert(leaf);
        }
        if let Some(transaction) = answered {
            self.seen.answers.open(leaf, transaction);
        }
        if watched {
            self.watch.open(leaf);
        }
        leaf
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        self.watch.write(leaf, bytes, from);
        self.seen.answers.write(leaf, bytes);
        if self.seen.fresh.remove(&leaf)
            && let Some(what) = hidden::is_difference(bytes)
        {
            self.anomaly(AnomalyKind::DeltaProtocol, None, what.to_owned());
        }
        self.collector.write(leaf, bytes, from);
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        self.seen.fresh.remove(&leaf);
        self.seen.answers.close(leaf);
        let (understood, seen) = self.watch.close(leaf, steps);
        for range in understood {
            self.seen.places.say(range, Place::Understood);
        }
        if declared::admits(&self.seen.declared) {
            self.seen.declared.extend(seen);
        }
        let _ = self.collector.close(leaf, steps);
    }

    fn place(&mut self, direction: Direction, range: ByteRange, place: Place) {
        if direction == Direction::Up {
            self.seen.places.say(range, place);
        }
    }

    fn sealed(&mut self, direction: Direction, range: ByteRange) {
        if direction == Direction::Up {
            match self.seen.sealed.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => self.seen.sealed.push(range),
            }
        }
    }

    fn name(&mut self, direction: Direction, range: ByteRange, name: &str) {
        if direction == Direction::Up && self.declared.text(name) {
            self.seen.places.say(range, Place::Understood);
        }
    }

    fn field(
        &mut self,
        direction: Direction,
        range: ByteRange,
        name: &[u8],
        value: &[u8],
    ) -> Vec<Range<usize>> {
        if direction != Direction::Up {
            return Vec::new();
        }
        let (understood, seen) = self.declared.field(range, name, value);
        if declared::admits(&self.seen.declared) {
            self.seen.declared.extend(seen);
        }
        understood
    }

    fn protocol(&mut self, name: &'static str) {
        self.seen.protocol.get_or_insert(name);
    }

    fn response(&mut self, head: &ResponseHead) {
        self.seen.answers.response(head);
    }

    fn request(&mut self, head: &RequestHead) {
        self.seen.answers.request(head);
        if let Some(sign) = hidden::asks_for_differences(head) {
            self.anomaly(AnomalyKind::DeltaProtocol, head.frame, sign);
        }
        // Whom another machine asks for, or a server says that it would be asked for, is not whom the phone asked.
        if head.promised || head.direction != Direction::Up {
            return;
        }
        let Some(host) = head.authority() else { return };
        let host = host_name(&printable(host, MAX_NAME));
        if !host.is_empty() && self.seen.hosts.len() < MAX_HOSTS && !self.seen.hosts.contains(&host) {
            self.seen.hosts.push(host);
        }
    }

    fn dns(&mut self, message: &DnsMessage) {
        for (address, name) in message.resolved() {
            if self.seen.resolved.len() < MAX_RESOLVED {
                self.seen.resolved.push((address, printable(name.as_bytes(), MAX_NAME)));
            }
        }
    }

    fn tls_hello(&mut self, hello: &TlsHello) {
        self.sni(hello.sni.as_deref());
    }

    fn quic_connection(&mut self, connection: &QuicConnection) {
        self.seen.opened_connections += u64::from(connection.decrypted);
        // Where a client moved its connection (RFC 9000 section 9) the hello stands in another flow.
        self.sni(connection.sni.as_deref().filter(|_| connection.opened > 0));
        self.signature(connection.client, connection.identity.as_ref());
    }

    fn tls(&mut self, connection: &TlsConnection) {
        self.seen.opened_connections += u64::from(connection.opened);
        self.signature(connection.client, connection.identity.as_ref());
    }

    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        let (capture, flow) = (self.capture.to_owned(), Some(self.flow.to_owned()));
        self.seen.odd(Anomaly { kind, capture, frame, flow, detail });
    }

    fn part(&mut self, transaction: TransactionId, direction: Direction, part: &NamedPart) {
        self.collector.part(transaction, direction, part);
    }

    fn part_said(&mut self, transaction: TransactionId, said: &(Option<FrameNo>, String)) {
        self.collector.part_said(transaction, said);
    }
}

/// A Host field (RFC 9110 section 7.2) without its port, in lower case.
fn host_name(field: &str) -> String {
    let field = field.trim();
    let host = match field.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => field.split(':').next().unwrap_or_default(),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_field_loses_its_port_and_brackets() {
        assert_eq!(host_name("Up.Example.:8080"), "up.example");
        assert_eq!(host_name("[2001:db8::1]:80"), "2001:db8::1");
        assert_eq!(host_name(""), "");
    }
}
