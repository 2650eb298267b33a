//! What the engine sees in one capture, without a scenario: a shorter walk on the same road.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{
    analyze::AnalysisError,
    decode::{
        self, Context, Conversation, Shared,
        sink::{
            BodyEnd, DnsMessage, LeafId, Origin, RequestHead, ResponseHead, Sink, Source, TlsHello,
            TransactionId,
        },
    },
    keys::keys,
    net::{
        self, Flow, Index, Side,
        stream::{Chunk, Stream},
    },
    subject::Subject,
};
use crate::{
    case::{
        Case,
        capture::{ByteOrder, Family},
        geoip::Table,
    },
    evidence::{
        Anomaly, AnomalyKind, ByteRange, Digest, Direction, FrameNo, Limits, ReadError, Scratch, Step,
        printable,
    },
    findings::inspection::{
        self, Body, BodyPart, Container, Dns, Hello, Inspection, Island, Phone, Response, Transaction,
    },
};

/// Odd traffic listed; the rest is counted.
const MAX_ANOMALIES: usize = 1_000;
/// Characters kept of a request target or a field.
const MAX_TEXT: usize = 8_192;

/// Walks the first capture of a case.
///
/// # Errors
/// When the capture can't be read, or two addresses could be the phone's.
pub fn inspect(case: &Case, limits: &Limits) -> Result<Inspection, AnalysisError> {
    let (plan, table) = (&case.plan, &case.addresses);
    let indexes: Vec<Index> = case
        .captures
        .values()
        .take(1)
        .map(|capture| net::index(capture, limits))
        .collect::<Result<_, _>>()?;
    // Without a phone every flow's initiator sends uplink; several candidates are no error here.
    let subject = Subject::determine(plan, &indexes).unwrap_or_else(|_| Subject::initiators());
    let Some(index) = indexes.into_iter().next() else { return Err(AnalysisError::NoCapture) };
    let mut all = Inspection {
        format: inspection::FORMAT.to_owned(),
        capture: index.capture.clone(),
        sha256: index.container.digest,
        size: index.container.bytes,
        container: container(&index),
        packets: u64::from(index.container.packets),
        first: index.container.first.map(crate::evidence::Timestamp::epoch_text),
        last: index.container.last.map(crate::evidence::Timestamp::epoch_text),
        phone: Phone {
            addresses: subject.addresses.iter().map(ToString::to_string).collect(),
            by: subject.bound_by.clone(),
        },
        flows: Vec::new(),
        transactions: Vec::new(),
        dns: Vec::new(),
        tls_hellos: Vec::new(),
        anomalies: index.container.anomalies.iter().chain(&index.anomalies).cloned().collect(),
        anomaly_count: 0,
    };
    let mut names: BTreeMap<std::net::IpAddr, Vec<String>> = BTreeMap::new();
    let keys = keys(case, std::slice::from_ref(&index))?;
    let scratch =
        case.captures.values().next().map_or_else(|| Scratch::new("."), |capture| capture.scratch().clone());
    let context = Context::new(limits, &keys, &scratch);
    for group in index.groups() {
        let mut shared = Shared::default();
        for flow in group.into_iter().filter_map(|id| index.flow(id)) {
            inspect_flow(&index, flow, (&subject, table), (&context, &mut shared), &mut all, &mut names)?;
        }
    }
    all.flows.sort_by_key(|flow| flow.first_frame);
    for flow in &mut all.flows {
        let remote: Option<std::net::SocketAddr> =
            if flow.uplink_from == "initiator" { &flow.responder } else { &flow.initiator }.parse().ok();
        let known = remote.and_then(|remote| names.get(&remote.ip())).into_iter().flatten();
        flow.names.extend(known.map(|name| format!("{name} (dns)")));
        flow.names.sort();
        flow.names.dedup();
    }
    all.dns.sort_by_key(|message| message.frame);
    all.tls_hellos.sort_by_key(|hello| hello.frame);
    all.anomalies.sort();
    all.anomaly_count += all.anomalies.len() as u64;
    all.anomalies.truncate(MAX_ANOMALIES);
    Ok(all)
}

fn container(index: &Index) -> Container {
    let container = &index.container;
    let order = if container.format.order == ByteOrder::Little { "LE" } else { "BE" };
    Container {
        format: match container.format.family {
            Family::PcapMicro => format!("us{order}"),
            Family::PcapNano => format!("ns{order}"),
            Family::PcapNg => "pcapng".to_owned(),
        },
        gzip: container.format.gzip,
        link_types: container.link_types.iter().map(|link| link.0).collect(),
        secrets: container.secrets.len() as u64,
        dropped: container.dropped,
    }
}

fn inspect_flow(
    index: &Index,
    flow: &Flow,
    (subject, table): (&Subject, &Table),
    (context, shared): (&Context<'_>, &mut Shared),
    all: &mut Inspection,
    names: &mut BTreeMap<std::net::IpAddr, Vec<String>>,
) -> Result<(), ReadError> {
    let uplink = subject.uplink_side(flow).unwrap_or(Side::Initiator);
    let name = flow.name(&index.capture);
    let up = index.stream(flow.id, uplink)?;
    let down = index.stream(flow.id, uplink.other())?;
    let mut walk = Walk::new(&index.capture, &name);
    let local = flow.address(uplink);
    let remote = flow.address(uplink.other());
    let conversation = Conversation { transport: flow.transport, local, remote, up: &up, down: &down };
    decode::walk(&conversation, context, shared, &mut walk)?;
    let mut directions = Vec::new();
    for (side, stream) in if uplink == Side::Initiator {
        [(Side::Initiator, &up), (Side::Responder, &down)]
    } else {
        [(Side::Initiator, &down), (Side::Responder, &up)]
    } {
        directions.push(direction(index, flow, side, stream)?);
        walk.anomalies.extend(stream.anomalies(&name));
    }
    let mut seen: Vec<String> = walk
        .hellos
        .iter()
        .filter_map(|hello| hello.sni.clone())
        .map(|name| format!("{name} (sni)"))
        .collect();
    seen.extend(
        walk.transactions
            .values()
            .filter(|tx| !tx.host.is_empty())
            .map(|tx| format!("{} (http host)", tx.host)),
    );
    for (address, name) in walk.resolved {
        names.entry(address).or_default().push(name);
    }
    all.flows.push(inspection::Flow {
        name: name.clone(),
        transport: match flow.transport {
            crate::evidence::Transport::Tcp => "tcp",
            crate::evidence::Transport::Udp => "udp",
        }
        .to_owned(),
        initiator: flow.initiator.to_string(),
        responder: flow.responder.to_string(),
        first_frame: flow.first_frame,
        frames: u64::from(flow.frames),
        protocol: walk.protocol.unwrap_or("unknown").to_owned(),
        names: seen,
        registered_country: table.lookup(remote.ip()).country,
        uplink_from: if uplink == Side::Initiator { "initiator" } else { "responder" }.to_owned(),
        directions,
    });
    all.transactions.extend(walk.transactions.into_values());
    all.dns.extend(walk.dns);
    all.tls_hellos.extend(walk.hellos);
    let room = MAX_ANOMALIES.saturating_sub(all.anomalies.len());
    all.anomaly_count += walk.anomalies.len().saturating_sub(room) as u64;
    all.anomalies.extend(walk.anomalies.into_iter().take(room));
    Ok(())
}

fn direction(index: &Index, flow: &Flow, side: Side, stream: &Stream) -> Result<inspection::Side, ReadError> {
    let conflict_bytes = ByteRange::covered(stream.conflicts.iter().map(|conflict| conflict.range));
    let last =
        if conflict_bytes > 0 { islands(&index.stream_last_wins(flow.id, side)?)? } else { Vec::new() };
    Ok(inspection::Side {
        from: flow.address(side).to_string(),
        from_start: stream.from_start,
        bytes_present: stream.present(),
        islands: islands(stream)?,
        islands_last_wins: last,
        gaps: stream.gaps.clone(),
        conflict_bytes,
    })
}

/// Digests every run of bytes without a gap.
fn islands(stream: &Stream) -> Result<Vec<Island>, ReadError> {
    let mut islands = Vec::new();
    let mut open: Option<(ByteRange, Sha256)> = None;
    let mut reader = stream.reader();
    let mut end = |open: &mut Option<(ByteRange, Sha256)>| {
        if let Some((range, hasher)) = open.take() {
            islands.push(Island { offset: range.start, len: range.len(), sha256: Digest::finish(hasher) });
        }
    };
    while let Some(chunk) = reader.next_chunk()? {
        match chunk {
            Chunk::Gap(_) => end(&mut open),
            Chunk::Bytes { range, data } => {
                if open.as_ref().is_some_and(|(before, _)| before.end != range.start) {
                    end(&mut open);
                }
                let (whole, hasher) =
                    open.get_or_insert_with(|| (ByteRange::new(range.start, range.start), Sha256::new()));
                whole.end = range.end;
                hasher.update(data);
            }
        }
    }
    end(&mut open);
    Ok(islands)
}

/// An open leaf: its digest on the way.
struct OpenLeaf {
    direction: Direction,
    transaction: Option<TransactionId>,
    /// Where in the stream its first byte came from.
    start: Option<u64>,
    hasher: Sha256,
    len: u64,
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
    /// Without chunk framing, where there is any.
    content: Option<Runs>,
    /// By the number of codings taken off.
    decoded: BTreeMap<usize, Runs>,
}

/// Collects what one flow shows.
struct Walk<'w> {
    capture: &'w str,
    flow: &'w str,
    protocol: Option<&'static str>,
    next: u32,
    open: BTreeMap<LeafId, OpenLeaf>,
    transactions: BTreeMap<u32, Transaction>,
    forms: BTreeMap<(TransactionId, Direction), Forms>,
    dns: Vec<Dns>,
    hellos: Vec<Hello>,
    resolved: Vec<(std::net::IpAddr, String)>,
    anomalies: Vec<Anomaly>,
}

impl<'w> Walk<'w> {
    fn new(capture: &'w str, flow: &'w str) -> Self {
        Self {
            capture,
            flow,
            protocol: None,
            next: 0,
            open: BTreeMap::new(),
            transactions: BTreeMap::new(),
            forms: BTreeMap::new(),
            dns: Vec::new(),
            hellos: Vec::new(),
            resolved: Vec::new(),
            anomalies: Vec::new(),
        }
    }

    fn transaction(&mut self, id: TransactionId) -> &mut Transaction {
        self.transactions.entry(id.0).or_insert_with(|| Transaction {
            flow: self.flow.to_owned(),
            n: id.0,
            protocol: "http1".to_owned(),
            method: String::new(),
            uri: String::new(),
            host: String::new(),
            version: String::new(),
            stream_offset: 0,
            header_bytes: 0,
            content_type: String::new(),
            body: None,
            response: None,
        })
    }

    fn body(&mut self, id: TransactionId, direction: Direction) -> &mut Body {
        let empty = || Body {
            complete: false,
            wire_len: 0,
            wire_sha256: None,
            len: 0,
            sha256: None,
            decoded_len: None,
            decoded_sha256: None,
            multipart: Vec::new(),
        };
        let transaction = self.transaction(id);
        match direction {
            Direction::Up => transaction.body.get_or_insert_with(empty),
            Direction::Down => transaction
                .response
                .get_or_insert_with(|| Response { status: 0, content_type: String::new(), body: None })
                .body
                .get_or_insert_with(empty),
        }
    }
}

/// Codings of RFC 9110 section 8.4.1 that are taken off.
fn is_content_coding(op: &str) -> bool {
    matches!(op, "gzip" | "zlib" | "deflate")
}

fn field(fields: &[(String, Vec<u8>)], name: &str) -> String {
    let value = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
    value.map(|(_, value)| printable(value, MAX_TEXT)).unwrap_or_default()
}

impl Sink for Walk<'_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        let id = LeafId(self.next);
        self.next += 1;
        let Origin { direction, transaction, .. } = origin;
        let leaf = OpenLeaf { direction, transaction, start: None, hasher: Sha256::new(), len: 0 };
        self.open.insert(id, leaf);
        id
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        if let Some(leaf) = self.open.get_mut(&leaf).filter(|leaf| leaf.transaction.is_some()) {
            leaf.start.get_or_insert(from.range().start);
            leaf.hasher.update(bytes);
            leaf.len += bytes.len() as u64;
        }
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        let Some(OpenLeaf { direction, transaction: Some(id), start, hasher, len }) = self.open.remove(&leaf)
        else {
            return;
        };
        let digest = Digest::finish(hasher);
        let ops: Vec<&str> = steps.iter().map(|step| step.op.as_str()).collect();
        let ["http1.body", inner @ ..] = ops.as_slice() else { return };
        let forms = self.forms.entry((id, direction)).or_default();
        let runs = match inner {
            [] => &mut forms.wire,
            ["chunked" | "chunked.framing"] => {
                let content = forms.content.get_or_insert_default();
                if *inner != ["chunked"] {
                    return;
                }
                content
            }
            [.., "multipart.part"] => {
                let name = steps.last().and_then(|step| step.param.clone()).unwrap_or_default();
                let part = BodyPart { name: printable(name.as_bytes(), MAX_TEXT), len, sha256: digest };
                self.body(id, direction).multipart.push(part);
                return;
            }
            ["chunked", codings @ ..] | codings if codings.iter().all(|op| is_content_coding(op)) => {
                forms.decoded.entry(codings.len()).or_default()
            }
            _ => return,
        };
        if let Some(start) = start {
            runs.0.insert(start, (len, digest));
        }
    }

    fn protocol(&mut self, name: &'static str) {
        self.protocol.get_or_insert(name);
    }

    fn request(&mut self, head: &RequestHead) {
        let transaction = self.transaction(head.transaction);
        transaction.method = printable(head.method.as_bytes(), MAX_TEXT);
        transaction.uri = printable(&head.uri, MAX_TEXT);
        transaction.version = head.version.clone();
        transaction.host = field(&head.fields, "host");
        transaction.content_type = field(&head.fields, "content-type");
        transaction.stream_offset = head.range.start;
        transaction.header_bytes = head.range.len();
    }

    fn response(&mut self, head: &ResponseHead) {
        let content_type = field(&head.fields, "content-type");
        let transaction = self.transaction(head.transaction);
        let response = transaction.response.get_or_insert_with(|| Response {
            status: 0,
            content_type: String::new(),
            body: None,
        });
        (response.status, response.content_type) = (head.status, content_type);
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
        if let Some((_, decoded)) = forms.decoded.last_key_value() {
            (body.decoded_len, body.decoded_sha256) = (Some(decoded.bytes()), decoded.digest());
        }
    }

    fn dns(&mut self, message: &DnsMessage) {
        let text = |text: &str| printable(text.as_bytes(), MAX_TEXT);
        if message.response
            && let Some((name, _)) = message.questions.first()
        {
            let addresses = message.answers.iter().filter_map(|(_, _, value)| value.parse().ok());
            self.resolved.extend(addresses.map(|address| (address, text(name))));
        }
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
        });
    }

    fn tls_hello(&mut self, hello: &TlsHello) {
        let code = |code: &u16| format!("0x{code:04x}");
        self.hellos.push(Hello {
            flow: self.flow.to_owned(),
            frame: hello.frame,
            from: if hello.client { "client" } else { "server" }.to_owned(),
            sni: hello.sni.as_ref().map(|name| printable(name.as_bytes(), MAX_TEXT)),
            versions: hello.versions.iter().map(code).collect(),
            alpn: hello.alpn.iter().map(|name| printable(name.as_bytes(), MAX_TEXT)).collect(),
            ciphers: hello.ciphers.iter().map(code).collect(),
            decrypted: false,
        });
    }

    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        self.anomalies.push(Anomaly {
            kind,
            capture: self.capture.to_owned(),
            frame,
            flow: Some(self.flow.to_owned()),
            detail,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
