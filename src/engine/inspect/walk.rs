//! What one conversation shows, collected while it is walked.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    conflicts,
    islands::{self, islands, lock},
    lockstep::Slot,
};
use crate::{
    engine::{
        decode::sink::{
            self, AFTER_GAP, BodyEnd, CONTENT_CODINGS, CONTENT_OPS, DnsMessage, DnsOver, LeafId, Origin,
            QuicConnection, RequestHead, ResponseHead, Sink, Source, TlsConnection, TlsHello, TransactionId,
        },
        net::{Flow, Side, stream::Stream},
        proto::tls::{self, Suite, Version},
    },
    evidence::{
        Anomaly, AnomalyKind, ByteRange, Digest, Direction, FrameNo, ReadError, Step, hex, printable,
    },
    findings::inspection::{
        self, Body, BodyPart, Dns, Hello, Inner, Message, Response, Tls, TlsSide, Transaction,
    },
};

/// Characters kept of a request target or a field.
pub(super) const MAX_TEXT: usize = 8_192;
/// Protocols named of one flow; a flow that turns into more than this is no real one.
const MAX_PROTOCOLS: usize = 8;
/// Field lines kept of one head or trailer; servers refuse more than some hundred.
const MAX_FIELDS: usize = 1_000;
/// Bytes of field lines kept of one flow: those of some ten thousand requests. A table of the compression makes a long
/// line out of each byte of a hostile header block.
const MAX_FLOW_TEXT: usize = 32 << 20;
/// Interim responses listed of one request: 100, 102 and 103 come once or a few times.
const MAX_INTERIM: usize = 16;
/// Pairs of inner streams listed of one flow.
const MAX_INNER: usize = 100_000;

/// An open leaf: its digest on the way.
struct OpenLeaf {
    direction: Direction,
    transaction: TransactionId,
    form: Form,
    /// Where in the stream its first byte came from.
    start: Option<u64>,
    digest: Option<Slot>,
    len: u64,
    /// Its first bytes.
    first: Vec<u8>,
}

/// Bytes that a message is shown to begin with: a line of hexadecimal, or some words.
const MAX_FIRST: usize = 64;

/// What a leaf is of its message's content.
#[derive(Clone, Copy)]
enum Form {
    Wire,
    /// A mail without the dots that were stuffed into it (RFC 5321 section 4.5.2, RFC 1939 section 3).
    Unstuffed,
    Dechunked,
    /// The framing of chunks: that there is one.
    Framing,
    /// With so many codings taken off.
    Decoded(usize),
    /// A part of a multipart body or of a mail.
    Part,
}

impl Form {
    fn of(steps: &[Step]) -> Option<Self> {
        // What stands before is that of the streams around it.
        let content = steps.iter().rposition(|step| CONTENT_OPS.contains(&step.op.as_str()))?;
        // What several bodies make together is the body of none of them.
        if steps.iter().any(|step| step.op == sink::PARTS) {
            return None;
        }
        let op = steps.get(content).map(|step| step.op.as_str());
        let inside = steps.iter().skip(content + 1).map(|step| step.op.as_str());
        // What comes after a gap is one more run of the same.
        let ops: Vec<&str> = inside.filter(|op| *op != AFTER_GAP).collect();
        match ops.as_slice() {
            [] if matches!(op, Some("smtp.data" | "pop3.message")) => Some(Self::Unstuffed),
            [] => Some(Self::Wire),
            ["chunked"] => Some(Self::Dechunked),
            ["chunked.framing"] => Some(Self::Framing),
            [.., "multipart.part" | "mime.part"] => Some(Self::Part),
            ["chunked", codings @ ..] | codings if codings.iter().all(|op| CONTENT_CODINGS.contains(op)) => {
                Some(Self::Decoded(codings.len()))
            }
            _ => None,
        }
    }
}

/// Runs of one form of a body, by where they start in the stream: a gap ends one, and a body that is read twice
/// (because its coding broke) gives the same one twice.
#[derive(Default)]
struct Runs(BTreeMap<u64, (u64, Digest)>);

impl Runs {
    fn bytes(&self) -> u64 {
        self.0.values().map(|(len, _)| len).sum()
    }

    /// Of all bytes; absent where a gap lies between them.
    fn digest(&self) -> Option<Digest> {
        let mut runs = self.0.values();
        match (runs.next(), runs.next()) {
            (None, _) => Some(Digest::of(b"")),
            (Some((_, only)), None) => Some(*only),
            _ => None,
        }
    }
}

/// The forms of a body while its leaves are closed.
#[derive(Default)]
struct Forms {
    wire: Runs,
    /// Without stuffed dots.
    unstuffed: Runs,
    /// Without chunk framing, where there is any.
    content: Option<Runs>,
    /// By the number of codings taken off.
    decoded: BTreeMap<usize, Runs>,
}

/// Collects what one flow shows.
pub(super) struct Walk<'w> {
    capture: &'w str,
    name: &'w str,
    flow: &'w Flow,
    uplink: Side,
    /// What was recognised, in order of appearance.
    pub(super) protocols: Vec<&'static str>,
    next: u32,
    open: BTreeMap<LeafId, OpenLeaf>,
    /// In boxes, as what follows: most flows have one or two, and a node of the map has room for eleven.
    pub(super) transactions: BTreeMap<u32, Box<Transaction>>,
    pub(super) messages: BTreeMap<u32, Message>,
    forms: BTreeMap<(TransactionId, Direction), Box<Forms>>,
    bodies: BTreeMap<(u32, Direction), Box<Body>>,
    /// Bytes of field lines that may still be kept; `None` where one found no room.
    room: Option<usize>,
    /// Which way each transaction's request went.
    requests: BTreeMap<u32, Direction>,
    pub(super) inner: Vec<Inner>,
    pub(super) dns: Vec<Dns>,
    pub(super) hellos: Vec<Hello>,
    pub(super) quic_connections: Vec<inspection::QuicConnection>,
    pub(super) tls: Vec<Tls>,
    pub(super) resolved: Vec<(std::net::IpAddr, String)>,
    pub(super) anomalies: Vec<Anomaly>,
    digests: &'w islands::Shared,
}

impl<'w> Walk<'w> {
    pub(super) fn new(
        capture: &'w str,
        name: &'w str,
        flow: &'w Flow,
        uplink: Side,
        digests: &'w islands::Shared,
    ) -> Self {
        Self {
            capture,
            name,
            flow,
            uplink,
            protocols: Vec::new(),
            next: 0,
            open: BTreeMap::new(),
            transactions: BTreeMap::new(),
            messages: BTreeMap::new(),
            inner: Vec::new(),
            forms: BTreeMap::new(),
            bodies: BTreeMap::new(),
            room: Some(MAX_FLOW_TEXT),
            requests: BTreeMap::new(),
            dns: Vec::new(),
            hellos: Vec::new(),
            quic_connections: Vec::new(),
            tls: Vec::new(),
            resolved: Vec::new(),
            anomalies: Vec::new(),
            digests,
        }
    }

    fn transaction(&mut self, id: TransactionId) -> &mut Transaction {
        self.transactions.entry(id.0).or_insert_with(|| {
            Box::new(Transaction {
                flow: self.name.to_owned(),
                n: id.0,
                protocol: String::new(),
                stream: None,
                from: String::new(),
                frame: None,
                method: String::new(),
                uri: String::new(),
                host: String::new(),
                version: String::new(),
                stream_offset: 0,
                header_bytes: 0,
                content_type: String::new(),
                fields: Vec::new(),
                body: None,
                response: None,
            })
        })
    }

    /// Field lines as text, as far as there is room for them.
    fn lines(&mut self, fields: &[(String, Vec<u8>)]) -> Vec<[String; 2]> {
        let had_room = self.room.is_some();
        let lines = kept(fields, &mut self.room);
        if had_room && self.room.is_none() {
            let detail = format!("more than {MAX_FLOW_TEXT} bytes of field lines; the rest is not listed");
            self.anomaly(AnomalyKind::LimitReached, None, detail);
        }
        lines
    }

    /// Who sends in this direction.
    fn side(&self, direction: Direction) -> Side {
        if direction == Direction::Up { self.uplink } else { self.uplink.other() }
    }

    fn sender(&self, direction: Direction) -> &'static str {
        if self.side(direction) == Side::Initiator { "initiator" } else { "responder" }
    }

    fn response_of(&mut self, id: TransactionId) -> &mut Response {
        self.transaction(id).response.get_or_insert_with(|| Response {
            status: 0,
            frame: None,
            interim: Vec::new(),
            content_type: String::new(),
            fields: Vec::new(),
            body: None,
        })
    }

    fn body(&mut self, id: TransactionId, direction: Direction) -> &mut Body {
        self.bodies.entry((id.0, direction)).or_insert_with(|| {
            Box::new(Body {
                complete: false,
                wire_len: 0,
                wire_sha256: None,
                len: 0,
                sha256: None,
                decoded_len: None,
                decoded_sha256: None,
                multipart: Vec::new(),
            })
        })
    }

    /// Names that the flow itself gives for its other end.
    pub(super) fn names(&self) -> Vec<String> {
        let hellos = self.hellos.iter().filter_map(|hello| hello.sni.as_ref());
        // Where a client moved its connection (RFC 9000 section 9) the hello stands in another flow.
        let connections = self.quic_connections.iter().filter(|connection| connection.opened > 0);
        let moved: BTreeSet<&String> = if self.hellos.is_empty() {
            connections.filter_map(|connection| connection.sni.as_ref()).collect()
        } else {
            BTreeSet::new()
        };
        let sni = hellos.chain(moved).map(|name| format!("{name} (sni)"));
        let hosts = self.transactions.values().map(|tx| &tx.host).filter(|host| !host.is_empty());
        sni.chain(hosts.map(|host| [host.as_str(), " (http host)"].concat())).collect()
    }

    /// Gives each body to its request, response or message.
    pub(super) fn finish(&mut self) {
        for ((id, direction), body) in std::mem::take(&mut self.bodies) {
            if let Some(message) = self.messages.get_mut(&id) {
                message.body = Some(*body);
                continue;
            }
            if self.requests.get(&id).is_none_or(|request| *request == direction) {
                self.transaction(TransactionId(id)).body = Some(*body);
            } else {
                self.response_of(TransactionId(id)).body = Some(*body);
            }
        }
    }
}

fn field(fields: &[(String, Vec<u8>)], name: &str) -> String {
    let value = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
    value.map(|(_, value)| printable(value, MAX_TEXT)).unwrap_or_default()
}

fn named(fields: &[(String, Vec<u8>)], name: &str) -> bool {
    fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name))
}

fn inner_side(
    from: String,
    stream: &Stream,
    digests: &islands::Shared,
) -> Result<inspection::Side, ReadError> {
    Ok(inspection::Side {
        from,
        from_start: stream.from_start,
        bytes_present: stream.present(),
        islands: islands(stream, digests)?,
        islands_last_wins: Vec::new(),
        gaps: stream.gaps.clone(),
        conflict_bytes: ByteRange::covered(stream.conflicts.iter().map(|conflict| conflict.range)),
        conflicts: conflicts(stream),
    })
}

/// Field lines as text up to the first for which there is no room; then there is none any more.
fn kept(fields: &[(String, Vec<u8>)], room: &mut Option<usize>) -> Vec<[String; 2]> {
    let mut lines = Vec::new();
    for (name, value) in fields.iter().take(MAX_FIELDS) {
        let line = [printable(name.as_bytes(), MAX_TEXT), printable(value, MAX_TEXT)];
        let size: usize = line.iter().map(String::len).sum();
        *room = room.and_then(|room| room.checked_sub(size));
        if room.is_none() {
            break;
        }
        lines.push(line);
    }
    lines
}

impl Sink for Walk<'_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        let id = LeafId(self.next);
        self.next += 1;
        let Origin { direction, transaction, steps, .. } = origin;
        if let Some((transaction, form)) = transaction.zip(Form::of(&steps)) {
            let leaf = OpenLeaf {
                direction,
                transaction,
                form,
                start: None,
                digest: None,
                len: 0,
                first: Vec::new(),
            };
            self.open.insert(id, leaf);
        }
        id
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        if let Some(leaf) = self.open.get_mut(&leaf) {
            leaf.start.get_or_insert(from.range().start);
            let mut digests = lock(self.digests);
            let slot = *leaf.digest.get_or_insert_with(|| digests.open());
            digests.write(slot, bytes);
            leaf.len += bytes.len() as u64;
            let room = MAX_FIRST.saturating_sub(leaf.first.len());
            leaf.first.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        let Some(OpenLeaf { direction, transaction: id, form, start, digest, len, first }) =
            self.open.remove(&leaf)
        else {
            return;
        };
        let digest = digest.map_or_else(|| Digest::of(b""), |slot| lock(self.digests).finish(slot));
        if let Some(message) = self.messages.get_mut(&id.0) {
            let coded = matches!(form, Form::Decoded(_));
            // The first run of it; without its compression where that is taken off.
            if len > 0 && (coded || matches!(form, Form::Wire) && message.begins.is_none()) {
                message.begins = Some(begins(&first, len));
            }
        }
        let forms = self.forms.entry((id, direction)).or_default();
        let runs = match form {
            Form::Wire => &mut forms.wire,
            Form::Unstuffed => &mut forms.unstuffed,
            Form::Dechunked => forms.content.get_or_insert_default(),
            Form::Framing => {
                forms.content.get_or_insert_default();
                return;
            }
            Form::Decoded(codings) => forms.decoded.entry(codings).or_default(),
            Form::Part => {
                let name = steps.last().and_then(|step| step.param.clone()).unwrap_or_default();
                let part = BodyPart { name: printable(name.as_bytes(), MAX_TEXT), len, sha256: digest };
                self.body(id, direction).multipart.push(part);
                return;
            }
        };
        if let Some(start) = start {
            runs.0.insert(start, (len, digest));
        }
    }

    fn protocol(&mut self, name: &'static str) {
        if self.protocols.len() < MAX_PROTOCOLS && !self.protocols.contains(&name) {
            self.protocols.push(name);
        }
    }

    fn request(&mut self, head: &RequestHead) {
        self.requests.insert(head.transaction.0, head.direction);
        let from = self.sender(head.direction).to_owned();
        let lines = self.lines(&head.fields);
        let transaction = self.transaction(head.transaction);
        (transaction.from, transaction.frame) = (from, head.frame);
        transaction.method = printable(head.method.as_bytes(), MAX_TEXT);
        transaction.uri = printable(&head.uri, MAX_TEXT);
        transaction.version = head.version.clone();
        transaction.host =
            field(&head.fields, if named(&head.fields, "host") { "host" } else { ":authority" });
        (transaction.protocol, transaction.stream) = (head.protocol.to_owned(), head.stream);
        if transaction.fields.is_empty() {
            transaction.fields = lines;
        } else {
            transaction.fields.extend(lines);
        }
        transaction.content_type = field(&head.fields, "content-type");
        transaction.stream_offset = head.range.start;
        transaction.header_bytes = head.range.len();
    }

    fn response(&mut self, head: &ResponseHead) {
        self.requests.entry(head.transaction.0).or_insert(head.direction.other());
        let from = self.sender(head.direction.other()).to_owned();
        let transaction = self.transaction(head.transaction);
        if transaction.protocol.is_empty() {
            transaction.from = from;
            transaction.protocol = head.protocol.to_owned();
        }
        // A request that asked for h2c is answered on a stream.
        transaction.stream = transaction.stream.or(head.stream);
        let lines = self.lines(&head.fields);
        let response = self.response_of(head.transaction);
        if (100..200).contains(&response.status) && response.interim.len() < MAX_INTERIM {
            response.interim.push(response.status);
        }
        response.frame = head.frame;
        (response.status, response.content_type) = (head.status, field(&head.fields, "content-type"));
        // Of several heads the last one counts: those before it are interim (RFC 9110 section 15.2).
        response.fields = lines;
    }

    fn trailer(&mut self, transaction: TransactionId, direction: Direction, fields: &[(String, Vec<u8>)]) {
        let lines = self.lines(fields);
        if self.requests.get(&transaction.0) == Some(&direction) {
            self.transaction(transaction).fields.extend(lines);
        } else {
            self.response_of(transaction).fields.extend(lines);
        }
    }

    fn message(&mut self, message: &sink::Message) {
        let from = self.sender(message.direction);
        let message = Message {
            flow: self.name.to_owned(),
            n: message.transaction.0,
            protocol: message.protocol.to_owned(),
            from: from.to_owned(),
            frame: message.frame,
            kind: printable(message.kind.as_bytes(), MAX_TEXT),
            name: printable(&message.name, MAX_TEXT),
            body: None,
            begins: None,
        };
        self.messages.insert(message.n, message);
    }

    fn inner(&mut self, inner: &sink::Inner<'_>) -> Result<(), ReadError> {
        if self.inner.len() >= MAX_INNER {
            return Ok(());
        }
        let side = |side: Side| {
            let stream = if side == self.uplink { inner.up } else { inner.down };
            inner_side(self.flow.address(side).to_string(), stream, self.digests)
        };
        let directions = vec![side(Side::Initiator)?, side(Side::Responder)?];
        let connection = inner.connection.map(ToOwned::to_owned);
        self.inner.push(Inner { protocol: inner.protocol.to_owned(), id: inner.id, connection, directions });
        Ok(())
    }

    fn body_end(&mut self, transaction: TransactionId, direction: Direction, end: BodyEnd, wire: u64) {
        let forms = self.forms.remove(&(transaction, direction)).unwrap_or_default();
        let complete = end == BodyEnd::Complete;
        if complete && wire == 0 {
            // `Content-Length: 0` says that there is none.
            return;
        }
        let body = self.body(transaction, direction);
        body.complete = complete;
        (body.wire_len, body.wire_sha256) = (forms.wire.bytes(), forms.wire.digest());
        let content = forms.content.as_ref().unwrap_or(&forms.wire);
        (body.len, body.sha256) = (content.bytes(), content.digest());
        let stuffed = forms.unstuffed.bytes() > 0 && forms.unstuffed.bytes() != forms.wire.bytes();
        if let Some(decoded) = forms.decoded.values().next_back().or(stuffed.then_some(&forms.unstuffed)) {
            (body.decoded_len, body.decoded_sha256) = (Some(decoded.bytes()), decoded.digest());
        }
    }

    fn dns(&mut self, message: &DnsMessage) {
        let text = |text: &str| printable(text.as_bytes(), MAX_TEXT);
        self.resolved.extend(message.resolved().map(|(address, name)| (address, text(name))));
        self.dns.push(Dns {
            frame: message.frame,
            id: message.id,
            response: message.response,
            rcode: message.rcode,
            query: message.questions.iter().map(|(name, _)| text(name)).collect(),
            qtype: message.questions.iter().map(|(_, kind)| kind.clone()).collect(),
            answers: message
                .answers
                .iter()
                .map(|(name, kind, value)| text(&format!("{name} {kind} {value}")))
                .collect(),
            over_https: message.over == DnsOver::Https,
        });
    }

    fn tls_hello(&mut self, hello: &TlsHello) {
        let code = |code: &u16| format!("0x{code:04x}");
        self.hellos.push(Hello {
            flow: self.name.to_owned(),
            frame: hello.frame,
            from: if hello.client { "client" } else { "server" }.to_owned(),
            sni: hello.sni.as_ref().map(|name| printable(name.as_bytes(), MAX_TEXT)),
            versions: hello.versions.iter().map(code).collect(),
            alpn: hello.alpn.iter().map(|name| printable(name.as_bytes(), MAX_TEXT)).collect(),
            ciphers: hello.ciphers.iter().map(code).collect(),
            decrypted: hello.decrypted,
            ja4: hello.ja4.clone(),
        });
    }

    fn tls(&mut self, connection: &TlsConnection) {
        let text = |text: &String| printable(text.as_bytes(), MAX_TEXT);
        let name =
            |cipher| Suite::of(cipher).map_or(format!("0x{cipher:04x}"), |suite| suite.name.to_owned());
        let [up, down] = [0, 1].map(|at| {
            let unread = connection.unread.get(at).copied().flatten();
            (
                connection.decrypted.get(at).copied().unwrap_or_default(),
                unread.map(|unread| unread.to_string()),
            )
        });
        let side = |side: Side| {
            let (decrypted, not_decrypted) = if side == self.uplink { up.clone() } else { down.clone() };
            TlsSide { from: self.flow.address(side).to_string(), decrypted, not_decrypted }
        };
        let client = connection.client.map(|direction| {
            let initiator = (direction == Direction::Up) == (self.uplink == Side::Initiator);
            if initiator { "initiator" } else { "responder" }.to_owned()
        });
        let identity = connection.identity.as_ref();
        self.tls.push(Tls {
            flow: self.name.to_owned(),
            frame: connection.frame,
            client,
            version: connection.version.map(|version| Version(version).to_string()),
            cipher_suite: connection.cipher.map(name),
            sni: connection.sni.as_ref().map(text),
            alpn: connection.alpn.as_ref().map(text),
            client_random: connection.client_random.as_deref().map(hex),
            resumed: connection.resumed,
            server_signature: identity.map(signature),
            certificate: identity.and_then(tls::Identity::certificate).map(certificate),
            chain_length: chain_length(identity),
            directions: vec![side(Side::Initiator), side(Side::Responder)],
        });
    }

    fn quic_connection(&mut self, connection: &QuicConnection) {
        let text = |text: &String| printable(text.as_bytes(), MAX_TEXT);
        let identity = connection.identity.as_ref();
        self.quic_connections.push(inspection::QuicConnection {
            flow: self.name.to_owned(),
            connection: connection.name.clone(),
            frame: connection.frame,
            version: connection.version.clone(),
            sni: connection.sni.as_ref().map(text),
            alpn: connection.alpn.as_ref().map(text),
            cipher: connection.cipher.map(|cipher| format!("0x{cipher:04x}")),
            packets: connection.packets,
            opened: connection.opened,
            decrypted: connection.decrypted,
            why_not: connection.why_not.clone(),
            ended: connection.ended.clone(),
            server_signature: identity.map(signature),
            certificate: identity.and_then(tls::Identity::certificate).map(certificate),
            chain_length: chain_length(identity),
        });
    }

    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        self.anomalies.push(Anomaly {
            kind,
            capture: self.capture.to_owned(),
            frame,
            flow: Some(self.name.to_owned()),
            detail,
        });
    }
}

/// What a content of `len` bytes begins with.
fn begins(first: &[u8], len: u64) -> inspection::Begins {
    let shown = first.len() as u64;
    // A character that is cut at the end is no sign against text.
    let valid = match std::str::from_utf8(first) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() && shown < len => {
            std::str::from_utf8(first.get(..error.valid_up_to()).unwrap_or_default()).ok()
        }
        Err(_) => None,
    };
    let is_text = |text: &&str| text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\r' | '\n'));
    let text = valid.filter(is_text).map(|text| printable(text.as_bytes(), MAX_FIRST));
    inspection::Begins { len: shown, hex: hex(first), text, cut: shown < len }
}

/// What a signature shows.
fn signature(identity: &tls::Identity) -> inspection::Signature {
    let (state, detail) = (identity.proof.word().to_owned(), identity.proof.detail().to_owned());
    inspection::Signature { state, detail }
}

fn chain_length(identity: Option<&tls::Identity>) -> Option<u64> {
    identity.map(|identity| identity.chain.len() as u64).filter(|count| *count > 0)
}

/// What a certificate says.
fn certificate(read: tls::Certificate) -> inspection::Certificate {
    let tls::Certificate { subject, issuer, names, serial, valid: (not_before, not_after), sha256 } = read;
    inspection::Certificate { subject, issuer, names, serial, not_before, not_after, sha256 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_lines_are_kept_while_there_is_room_and_none_after_the_first_without() {
        let field = |value: &str| ("name".to_owned(), value.as_bytes().to_vec());
        let mut room = Some(20);
        let lines = kept(&[field("123456"), field("12345678"), field("")], &mut room);
        assert_eq!((lines.len(), room), (1, None), "10 of 20, then 12");
        assert_eq!(kept(&[field("")], &mut room).len(), 0);
        let mut room = Some(22);
        assert_eq!(kept(&[field("123456"), field("12345678")], &mut room).len(), 2);
        assert_eq!(room, Some(0));
    }

    #[test]
    fn a_body_with_a_gap_has_a_length_and_no_digest() {
        let mut runs = Runs::default();
        assert_eq!((runs.bytes(), runs.digest()), (0, Some(Digest::of(b""))));
        runs.0.insert(10, (3, Digest::of(b"abc")));
        runs.0.insert(10, (3, Digest::of(b"abc")));
        assert_eq!((runs.bytes(), runs.digest()), (3, Some(Digest::of(b"abc"))), "read twice");
        runs.0.insert(20, (2, Digest::of(b"de")));
        assert_eq!((runs.bytes(), runs.digest()), (5, None));
    }
}
