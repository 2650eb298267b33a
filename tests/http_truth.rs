//! HTTP/1 requests, DNS messages and TLS hellos of public captures, held to what tshark and an independent
//! reader of the reassembled bytes made of them.
//!
//! Every request, body, part, DNS message and hello of a truth file must come out of the road from capture
//! to leaves with the same digests and names. What differs stands, with its reason, in `http_truth.expected`;
//! a line there that no longer differs fails too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use exhibit::{
    case::capture::Capture,
    engine::{
        decode::{Context, Conversation, Shared, sink::*, walk},
        net::{self, Index, Side},
        proto::keylog::KeyLog,
    },
    evidence::{AnomalyKind, Blob, Digest, Direction, FileBlob, FrameNo, Limits, Scratch, Transport},
    findings::Step,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What all truth files hold; fewer compared is a failure.
const REQUESTS: usize = 612;
const CUT_OFF_HEADS: usize = 30;
const BODIES: usize = 67;
const DECODED: usize = 4;
const PARTS: usize = 12;
const DNS: usize = 1_548;
const HELLOS: usize = 420;

fn captures() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    let folder = std::env::var_os("EXHIBIT_CAPTURES").map_or(beside, PathBuf::from);
    if folder.join("truth").is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("EXHIBIT_REQUIRE_PEERS").is_none(),
        "the captures are required and not at {}",
        folder.display()
    );
    println!("skipped: no captures at {} (set EXHIBIT_CAPTURES)", folder.display());
    None
}

fn index(folder: &Path, name: &str) -> Index {
    let file: Arc<dyn Blob> = Arc::new(FileBlob::new(File::open(folder.join(name)).unwrap()).unwrap());
    let scratch = Scratch::new(std::env::temp_dir());
    let capture = Capture::open(name, file, &scratch).unwrap();
    net::index(&capture, &Limits::default()).unwrap()
}

/// Bytes by length and digest.
type Sum = (u64, String);

struct Leaf {
    direction: Direction,
    transaction: Option<TransactionId>,
    ops: Vec<String>,
    param: Option<String>,
    hasher: Sha256,
    len: u64,
}

impl Leaf {
    fn sum(&self) -> Sum {
        (self.len, Digest::finish(self.hasher.clone()).to_string())
    }
}

/// One flow, as it came out.
#[derive(Default)]
struct Flow {
    leaves: Vec<Leaf>,
    requests: Vec<RequestHead>,
    dns: Vec<DnsMessage>,
    hellos: Vec<TlsHello>,
    anomalies: Vec<(Option<FrameNo>, String)>,
}

impl Sink for Flow {
    fn open(&mut self, origin: Origin) -> LeafId {
        let Origin { direction, transaction, .. } = origin;
        let (ops, hasher) = (Vec::new(), Sha256::new());
        self.leaves.push(Leaf { direction, transaction, ops, param: None, hasher, len: 0 });
        LeafId(u32::try_from(self.leaves.len() - 1).unwrap())
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], _: Source) {
        let leaf = &mut self.leaves[leaf.0 as usize];
        leaf.hasher.update(bytes);
        leaf.len += bytes.len() as u64;
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        let leaf = &mut self.leaves[leaf.0 as usize];
        leaf.ops = steps.iter().map(|step| step.op.clone()).collect();
        leaf.param = steps.last().and_then(|step| step.param.clone());
        assert_eq!(steps.last().unwrap().output, leaf.len, "{steps:?}");
    }

    fn request(&mut self, head: &RequestHead) {
        self.requests.push(head.clone());
    }

    fn dns(&mut self, message: &DnsMessage) {
        self.dns.push(message.clone());
    }

    fn tls_hello(&mut self, hello: &TlsHello) {
        self.hellos.push(hello.clone());
    }

    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        self.anomalies.push((frame, format!("{kind}: {detail}")));
    }
}

impl Flow {
    /// Digests of the leaves of a request's body with these operations.
    fn body(&self, request: &RequestHead, ops: &[&str]) -> Vec<(Option<String>, Sum)> {
        self.leaves
            .iter()
            .filter(|leaf| leaf.transaction == Some(request.transaction) && leaf.direction == Direction::Up)
            .filter(|leaf| leaf.ops == ops)
            .map(|leaf| (leaf.param.clone(), leaf.sum()))
            .collect()
    }
}

/// A request as the truth file and the road both can say it.
#[derive(Debug, PartialEq)]
struct Request {
    method: String,
    uri: String,
    host: String,
    /// On the wire; without chunks; decoded.
    body: Option<[Sum; 3]>,
    parts: Vec<Sum>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn sum(value: &Value, len: &str, sha256: &str) -> Option<Sum> {
    Some((value[len].as_u64()?, text(&value[sha256])))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn truth_request(value: &Value) -> Request {
    let body = &value["body"];
    let content = sum(body, "len", "sha256");
    Request {
        method: text(&value["method"]),
        uri: text(&value["uri"]),
        host: text(&value["host"]),
        body: sum(body, "wire_len", "wire_sha256").map(|wire| {
            let content = content.unwrap();
            let decoded = sum(body, "decoded_len", "decoded_sha256").unwrap_or_else(|| content.clone());
            [wire, content, decoded]
        }),
        parts: list(&body["multipart"]).iter().map(|part| sum(part, "len", "sha256").unwrap()).collect(),
    }
}

fn our_request(flow: &Flow, head: &RequestHead, has_body: bool) -> Request {
    let value = |name: &str| {
        let field = head.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let first = |ops: &[&str]| flow.body(head, ops).into_iter().next().map(|(_, sum)| sum);
    let wire = first(&["http1.body"]).unwrap_or_else(|| (0, Digest::of(b"").to_string()));
    let chunked = first(&["http1.body", "chunked"]);
    let content: &[&str] = if chunked.is_some() { &["http1.body", "chunked"] } else { &["http1.body"] };
    let unchunked = chunked.clone().unwrap_or_else(|| wire.clone());
    let decoded = first(&[content, &["gzip"]].concat()).unwrap_or_else(|| unchunked.clone());
    let parts = flow.body(head, &[content, &["multipart.part"]].concat());
    Request {
        method: head.method.clone(),
        uri: String::from_utf8_lossy(&head.uri).into_owned(),
        host: value("host"),
        body: has_body.then_some([wire, unchunked, decoded]),
        parts: parts.into_iter().map(|(_, sum)| sum).collect(),
    }
}

/// What was compared, and what differs: capture, item and how.
#[derive(Default)]
struct Tally {
    compared: BTreeMap<&'static str, usize>,
    different: BTreeMap<(String, String), String>,
}

impl Tally {
    fn count(&mut self, what: &'static str, number: usize) {
        *self.compared.entry(what).or_default() += number;
    }

    fn differs(&mut self, capture: &str, item: String, how: String) {
        self.different.insert((capture.to_owned(), item), how);
    }
}

/// Each endpoint's requests in order, with the flow they came in.
fn requests(flows: &[(String, Flow)]) -> BTreeMap<&str, Vec<(&Flow, &RequestHead)>> {
    let mut by_sender: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (sender, flow) in flows {
        let all = flow.requests.iter().map(|head| (flow, head));
        by_sender.entry(sender).or_default().extend(all);
    }
    by_sender
}

fn compare_requests(tally: &mut Tally, name: &str, truth: &Value, flows: &[(String, Flow)]) {
    let ours = requests(flows);
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for value in list(&truth["http_requests_from_bytes"]) {
        let from = text(&value["from"]);
        if value["why"] == "headers incomplete" {
            tally.count("heads cut off (left raw)", 1);
            continue;
        }
        if from.is_empty() {
            tally.count("requests inside TLS (not decrypted here)", 1);
            continue;
        }
        let expected = truth_request(value);
        tally.count("requests", 1);
        tally.count("bodies", usize::from(expected.body.is_some()));
        tally.count("decoded bodies", usize::from(!value["body"]["decoded_len"].is_null()));
        tally.count("parts", expected.parts.len());
        let position = next.entry(from.clone()).or_default();
        let found = ours.get(from.as_str()).and_then(|all| all.get(*position));
        let item = format!("request {from} {}", *position);
        *position += 1;
        let Some((flow, head)) = found else {
            tally.differs(name, item, format!("{} {} is missing", expected.method, expected.uri));
            continue;
        };
        let got = our_request(flow, head, expected.body.is_some());
        if got == expected {
            tally.count("requests that are the same", 1);
            tally.count("bodies that are the same", usize::from(expected.body.is_some()));
            tally.count("parts that are the same", expected.parts.len());
        } else {
            tally.differs(name, item, format!("\n     got {got:?}\nexpected {expected:?}"));
        }
        compare_names(tally, name, value, &flow.body(head, &["http1.body", "multipart.part"]));
    }
    for (from, all) in &ours {
        let wanted = next.get(*from).copied().unwrap_or(0);
        for (position, (_, head)) in all.iter().enumerate().skip(wanted) {
            let by_tshark = list(&truth["http_requests_tshark"]).iter().any(|request| {
                text(&request["method"]) == head.method && text(&request["uri"]).as_bytes() == head.uri
            });
            if by_tshark {
                tally.count("requests beside those that tshark lists too", 1);
                continue;
            }
            let how = format!("{} {:?} is not in the truth", head.method, String::from_utf8_lossy(&head.uri));
            tally.differs(name, format!("beside {from} {position}"), how);
        }
    }
}

fn compare_names(tally: &mut Tally, name: &str, value: &Value, parts: &[(Option<String>, Sum)]) {
    for (part, (param, _)) in list(&value["body"]["multipart"]).iter().zip(parts) {
        let names = [text(&part["name"]), text(&part["filename"])];
        if !param.as_ref().is_some_and(|param| names.contains(param)) {
            tally.differs(name, format!("part {names:?}"), format!("named {param:?}"));
        }
    }
}

type Names = (bool, String, BTreeSet<String>, BTreeSet<String>);

fn compare_dns(tally: &mut Tally, name: &str, truth: &Value, flows: &[(String, Flow)]) {
    let mut ours: BTreeMap<u64, Names> = BTreeMap::new();
    for message in flows.iter().flat_map(|(_, flow)| &flow.dns) {
        let kinds = ["A", "AAAA", "CNAME"];
        let values = message.answers.iter().filter(|(_, kind, _)| kinds.contains(&kind.as_str()));
        let names = (
            message.response,
            format!("0x{:04x}", message.id),
            message.questions.iter().map(|(name, _)| name.clone()).collect(),
            values.map(|(.., value)| value.clone()).collect(),
        );
        ours.insert(u64::from(message.frame.0), names);
    }
    for value in list(&truth["dns"]) {
        tally.count("DNS messages", 1);
        let frame = value["frame"].as_u64().unwrap();
        let values = ["a", "aaaa", "cname"].iter().flat_map(|kind| list(&value[kind]));
        let lower = |value: &Value| text(value).to_lowercase().replace("<root>", "");
        let expected = (
            value["response"] == "1",
            text(&value["id"]),
            // Where there is no question the truth has one empty name; the root is `<Root>`.
            list(&value["query"]).iter().filter(|name| **name != "").map(lower).collect(),
            values.map(lower).collect(),
        );
        match ours.remove(&frame) {
            Some(got) if got == expected => {}
            Some(got) => {
                let how = format!("\n     got {got:?}\nexpected {expected:?}");
                tally.differs(name, format!("dns {frame}"), how);
            }
            None => {
                let said = flows.iter().flat_map(|(_, flow)| &flow.anomalies);
                let said = said.filter(|(at, _)| at.is_some_and(|at| u64::from(at.0) == frame));
                let said: Vec<&String> = said.map(|(_, said)| said).collect();
                tally.differs(name, format!("dns {frame}"), format!("missing: {said:?} {expected:?}"));
            }
        }
    }
    for (frame, got) in ours {
        tally.differs(name, format!("dns {frame}"), format!("not in the truth: {got:?}"));
    }
}

fn compare_hellos(tally: &mut Tally, name: &str, truth: &Value, flows: &[(String, Flow)]) {
    let mut ours: Vec<&TlsHello> = flows.iter().flat_map(|(_, flow)| &flow.hellos).collect();
    ours.sort_by_key(|hello| hello.frame);
    for value in list(&truth["tls_hellos"]) {
        if value["tcp_stream"].is_null() {
            tally.count("hellos in QUIC (quic_truth) and DTLS (not read here)", 1);
            continue;
        }
        tally.count("hellos", 1);
        let client = list(&value["types"]).iter().any(|kind| kind == "1");
        let sni = value["sni"].as_str().map(str::to_lowercase);
        let frame = value["frame"].as_u64().unwrap();
        // A hello over several frames is counted by its last one there, by its first one here.
        let fits = |hello: &&TlsHello| {
            hello.client == client && hello.sni == sni && u64::from(hello.frame.0) <= frame
        };
        match ours.iter().rposition(fits) {
            Some(position) => {
                let hello = ours.remove(position);
                let cipher = value["server_cipher"].as_str();
                let chosen = hello.ciphers.first().map(|cipher| format!("0x{cipher:04x}"));
                if !client && cipher.is_some() && cipher != chosen.as_deref() {
                    tally.differs(name, format!("hello {frame}"), format!("{chosen:?}, not {cipher:?}"));
                }
            }
            None => tally.differs(name, format!("hello {frame}"), format!("missing: {client} {sni:?}")),
        }
    }
    for hello in ours {
        let how = format!("not in the truth: {hello:?}");
        tally.differs(name, format!("hello {}", hello.frame), how);
    }
}

fn flows(index: &Index) -> Vec<(String, Flow)> {
    let walked = |flow: &net::Flow| {
        let up = index.stream(flow.id, Side::Initiator).unwrap();
        let down = index.stream(flow.id, Side::Responder).unwrap();
        let conversation = Conversation {
            transport: flow.transport,
            up: &up,
            down: &down,
            local: flow.initiator,
            remote: flow.responder,
        };
        let mut result = Flow::default();
        let (limits, keys, scratch) = (Limits::default(), KeyLog::default(), Scratch::new("."));
        let context = Context::new(&limits, &keys, &scratch);
        walk(&conversation, &context, &mut Shared::default(), &mut result).unwrap();
        if flow.transport == Transport::Udp {
            // Those of QUIC are held to the truth in quic_truth.
            result.hellos.clear();
        }
        (flow.initiator.to_string().replace(['[', ']'], ""), result)
    };
    index.flows.iter().map(walked).collect()
}

#[test]
fn requests_names_and_hellos_are_those_of_the_truth() {
    let Some(folder) = captures() else { return };
    let mut names: Vec<String> = std::fs::read_dir(folder.join("truth"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    let mut tally = Tally::default();
    for name in &names {
        let file = File::open(folder.join("truth").join(format!("{name}.json"))).unwrap();
        let truth: Value = serde_json::from_reader(std::io::BufReader::new(file)).unwrap();
        let flows = flows(&index(&folder, name));
        compare_requests(&mut tally, name, &truth, &flows);
        compare_dns(&mut tally, name, &truth, &flows);
        compare_hellos(&mut tally, name, &truth, &flows);
    }
    for (what, number) in &tally.compared {
        println!("{number:>6}  {what}");
    }
    let counts = [
        ("requests", REQUESTS - CUT_OFF_HEADS),
        ("heads cut off (left raw)", CUT_OFF_HEADS),
        ("bodies", BODIES),
        ("decoded bodies", DECODED),
        ("parts", PARTS),
        ("DNS messages", DNS),
        ("hellos", HELLOS),
    ];
    for (what, number) in counts {
        assert_eq!(tally.compared.get(what), Some(&number), "{what}");
    }
    let mut expected: BTreeMap<(String, String), &str> = BTreeMap::new();
    for line in include_str!("http_truth.expected").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), 3, "{line}");
        expected.insert((fields[0].to_owned(), fields[1].to_owned()), fields[2]);
    }
    let mut wrong = 0;
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for ((capture, item), how) in &tally.different {
        // `dns *` stands for every item of that kind.
        let kind = format!("{} *", item.split(' ').next().unwrap());
        let keys = [(capture.clone(), item.clone()), (capture.clone(), kind)];
        match keys.iter().find_map(|key| expected.get_key_value(key)) {
            Some((key, reason)) => {
                used.insert(key.clone());
                println!("explained: {capture}: {item}: {reason}");
            }
            None => {
                wrong += 1;
                println!("DIFFERS: {capture}\t{item}\t{how}");
            }
        }
    }
    for (capture, item) in expected.keys().filter(|key| !used.contains(key)) {
        wrong += 1;
        println!("no longer differs: {capture}\t{item}");
    }
    assert_eq!(wrong, 0, "differences that nothing explains");
}
