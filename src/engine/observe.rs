//! What one conversation gives beside its leaves: the protocol, names, places of bytes, odd traffic.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    engine::{
        correlate::Collector,
        declared::{self, Declared, Seen, Watch},
        decode::sink::{
            DnsMessage, LeafId, Origin, Place, QuicConnection, RequestHead, Sink, Source, TlsConnection,
            TlsHello,
        },
        hidden,
        ledger::PlaceMap,
    },
    evidence::{Anomaly, AnomalyKind, ByteRange, Direction, FrameNo, Step, printable},
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
}

impl Observation {
    /// Names that the flow gives for its other end, with who says so.
    pub(super) fn names(&self) -> Vec<String> {
        let sni = self.sni.iter().map(|name| format!("{name} (sni)"));
        sni.chain(self.hosts.iter().map(|name| format!("{name} (http host)"))).collect()
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

impl Sink for Observer<'_, '_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        let watched = self.watch.wants(&origin);
        let leaf = self.collector.open(origin);
        if watched {
            self.watch.open(leaf);
        }
        leaf
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        self.watch.write(leaf, bytes, from);
        self.collector.write(leaf, bytes, from);
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
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

    fn name(&mut self, direction: Direction, range: ByteRange, name: &str) {
        if direction == Direction::Up && self.declared.text(name) {
            self.seen.places.say(range, Place::Understood);
        }
    }

    fn protocol(&mut self, name: &'static str) {
        self.seen.protocol.get_or_insert(name);
    }

    fn request(&mut self, head: &RequestHead) {
        if let Some(sign) = hidden::asks_for_differences(head) {
            self.anomaly(AnomalyKind::DeltaProtocol, head.frame, sign);
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
        if let Some(name) = hello.sni.as_ref().filter(|_| self.seen.sni.len() < MAX_HOSTS) {
            self.seen.sni.insert(printable(name.as_bytes(), MAX_NAME).to_ascii_lowercase());
        }
    }

    fn quic_connection(&mut self, connection: &QuicConnection) {
        self.seen.opened_connections += u64::from(connection.decrypted);
    }

    fn tls(&mut self, connection: &TlsConnection) {
        self.seen.opened_connections += u64::from(connection.opened);
    }

    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        self.seen.limits_reached += u64::from(kind == AnomalyKind::LimitReached);
        if self.seen.anomalies.len() >= MAX_ANOMALIES {
            self.seen.more_anomalies += 1;
            return;
        }
        self.seen.anomalies.push(Anomaly {
            kind,
            capture: self.capture.to_owned(),
            frame,
            flow: Some(self.flow.to_owned()),
            detail,
        });
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
