//! HTTP/2 of public captures, held to what an independent reader made of the same bytes (a Python HPACK decoder over
//! the plaintext).
//!
//! Every header list and the DATA of every stream of a truth file must come out of the road from capture to leaves.
//! What differs stands, with its reason, in `http2_truth.expected`; a line there that no longer differs fails too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "a test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
    sync::Arc,
};

use exhibit::{
    case::capture::Capture,
    engine::{
        decode::{Context, Conversation, Shared, sink::*, walk},
        net::{self, Flow, Index, Side},
        proto::keylog::KeyLog,
    },
    evidence::{Blob, Digest, Direction, FileBlob, Limits, Scratch, Transport},
    findings::Step,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Sides of streams that all truth files hold; fewer compared is a failure.
const SIDES: usize = 53;
/// Of those, the ones inside TLS.
const IN_TLS: usize = 4;
const LISTS: usize = 49;
const CONTENTS: usize = 31;

type List = Vec<(String, String)>;

/// One side of a stream.
#[derive(Debug, Default, PartialEq)]
struct Half {
    lists: Vec<List>,
    len: u64,
    sha256: Option<String>,
}

/// Streams of one connection: each side of each, and the requests that the server promised.
#[derive(Default)]
struct Streams {
    halves: BTreeMap<(String, u64), Half>,
    promised: Vec<List>,
}

#[derive(Default)]
struct Told {
    promised: Vec<List>,
    open: Vec<(Option<TransactionId>, Direction, Sha256, u64)>,
    streams: BTreeMap<TransactionId, u64>,
    halves: BTreeMap<(TransactionId, Direction), Half>,
}

fn list(fields: &[(String, Vec<u8>)]) -> List {
    fields.iter().map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).unwrap())).collect()
}

impl Sink for Told {
    fn open(&mut self, origin: Origin) -> LeafId {
        self.open.push((origin.transaction, origin.direction, Sha256::new(), 0));
        LeafId(u32::try_from(self.open.len() - 1).unwrap())
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], _: Source) {
        let (_, _, hasher, len) = &mut self.open[leaf.0 as usize];
        hasher.update(bytes);
        *len += bytes.len() as u64;
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        if steps.last().unwrap().op != "http2.body" {
            return;
        }
        let (transaction, direction, hasher, len) = &self.open[leaf.0 as usize];
        let half = self.halves.entry((transaction.unwrap(), *direction)).or_default();
        (half.len, half.sha256) = (*len, Some(Digest::finish(hasher.clone()).to_string()));
    }

    fn request(&mut self, head: &RequestHead) {
        if let Some(stream) = head.stream {
            self.streams.insert(head.transaction, stream);
            if stream.is_multiple_of(2) {
                return self.promised.push(list(&head.fields));
            }
            let half = self.halves.entry((head.transaction, head.direction)).or_default();
            half.lists.push(list(&head.fields));
        }
    }

    fn response(&mut self, head: &ResponseHead) {
        if let Some(stream) = head.stream {
            self.streams.insert(head.transaction, stream);
            let half = self.halves.entry((head.transaction, head.direction)).or_default();
            half.lists.push(list(&head.fields));
        }
    }

    fn trailer(&mut self, transaction: TransactionId, direction: Direction, fields: &[(String, Vec<u8>)]) {
        self.halves.entry((transaction, direction)).or_default().lists.push(list(fields));
    }
}

fn index(folder: &Path, name: &str) -> Index {
    let file: Arc<dyn Blob> = Arc::new(FileBlob::new(File::open(folder.join(name)).unwrap()).unwrap());
    let capture = Capture::open(name, file, &Scratch::new(std::env::temp_dir())).unwrap();
    net::index(&capture, &Limits::default()).unwrap()
}

/// The TCP flow of a number of tshark's: they are counted by first frame.
fn tcp_flow(index: &Index, number: u64) -> &Flow {
    let mut flows: Vec<&Flow> = index.flows.iter().filter(|flow| flow.transport == Transport::Tcp).collect();
    flows.sort_by_key(|flow| flow.first_frame);
    flows[usize::try_from(number).unwrap()]
}

/// What both sides of each stream said, from the client and from the server.
fn streams(index: &Index, flow: &Flow) -> Streams {
    let up = index.stream(flow.id, Side::Initiator).unwrap();
    let down = index.stream(flow.id, Side::Responder).unwrap();
    let conversation = Conversation {
        transport: flow.transport,
        up: &up,
        down: &down,
        local: flow.initiator,
        remote: flow.responder,
    };
    let mut told = Told::default();
    let (limits, keys, scratch) = (Limits::default(), KeyLog::default(), Scratch::new(std::env::temp_dir()));
    let context = Context::new(&limits, &keys, &scratch);
    walk(&conversation, &context, &mut Shared::default(), &mut told).unwrap();
    let mut streams = Streams { promised: told.promised, ..Streams::default() };
    for ((transaction, direction), half) in told.halves {
        // A stream that HTTP/1 opened (`Upgrade: h2c`) is told by its response; its request has no list here.
        if let Some(stream) = told.streams.get(&transaction) {
            let sender = if direction == Direction::Up { "client" } else { "server" };
            streams.halves.insert((sender.to_owned(), *stream), half);
        }
    }
    streams
}

fn expected(value: &Value) -> Half {
    let strings = |field: &Value| {
        let text = |at: usize| field[at].as_str().unwrap().to_owned();
        (text(0), text(1))
    };
    let lists = value["headers"].as_array().unwrap();
    Half {
        lists: lists.iter().map(|list| list.as_array().unwrap().iter().map(strings).collect()).collect(),
        len: value["data_len"].as_u64().unwrap(),
        sha256: value["data_sha256"].as_str().map(str::to_owned),
    }
}

#[test]
fn header_lists_and_data_are_those_of_the_truth() {
    let Some(folder) = support::captures() else { return };
    let mut names: Vec<String> = std::fs::read_dir(folder.join("truth"))
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().into_string().unwrap().strip_suffix(".json").map(str::to_owned)
        })
        .collect();
    names.sort();
    let mut explained: BTreeMap<(String, String), &str> = BTreeMap::new();
    for line in include_str!("http2_truth.expected").lines().filter(|line| !line.starts_with('#')) {
        let [capture, item, reason] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        explained.insert((capture.to_owned(), item.to_owned()), reason);
    }
    let (mut compared, mut skipped, mut lists, mut contents, mut wrong) = (0, 0, 0, 0, Vec::new());
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for name in &names {
        let file = File::open(folder.join("truth").join(format!("{name}.json"))).unwrap();
        let truth: Value = serde_json::from_reader(std::io::BufReader::new(file)).unwrap();
        let Some(sides) = truth["http2"].as_array() else { continue };
        let index = index(&folder, name);
        let mut by_flow: BTreeMap<u64, Streams> = BTreeMap::new();
        for side in sides {
            let number = side["tcp_stream"].as_u64().unwrap();
            let streams = by_flow.entry(number).or_insert_with(|| streams(&index, tcp_flow(&index, number)));
            let (sender, stream) = (side["sender"].as_str().unwrap(), side["stream"].as_u64().unwrap());
            let item = format!("{number} {sender} {stream}");
            let mut expected = expected(side);
            compared += 1;
            lists += expected.lists.len();
            contents += usize::from(expected.len > 0);
            // The truth lists a promise with the stream that it came on, the road with the one that is promised.
            for promise in expected.lists.extract_if(.., |list| sender == "server" && list[0].0 == ":method")
            {
                let place = streams.promised.iter().position(|list| *list == promise);
                streams.promised.remove(place.unwrap_or_else(|| panic!("{name}: {promise:?} is not told")));
            }
            let got = streams.halves.remove(&(sender.to_owned(), stream)).unwrap_or_default();
            if got == expected {
                continue;
            }
            let key = (name.clone(), item.clone());
            match explained.get(&key) {
                Some(reason) => {
                    skipped += usize::from(*reason == "inside TLS");
                    println!("explained: {name}: {item}: {reason}");
                    used.insert(key);
                }
                None => wrong.push(format!("{name}\t{item}\n     got {got:?}\nexpected {expected:?}")),
            }
        }
        for (number, streams) in by_flow {
            assert!(streams.promised.is_empty(), "{name}: not in the truth: {:?}", streams.promised);
            for ((sender, stream), half) in streams.halves {
                if !half.lists.is_empty() || half.len > 0 {
                    wrong.push(format!("{name}\t{number} {sender} {stream} is not in the truth: {half:?}"));
                }
            }
        }
    }
    println!(
        "{compared:>6}  sides of streams, {lists} header lists, {contents} contents; {skipped} not read yet"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unused: Vec<_> = explained.keys().filter(|key| !used.contains(key)).collect();
    assert!(unused.is_empty(), "lines that explain nothing: {unused:?}");
    assert_eq!((compared, lists, contents, skipped), (SIDES, LISTS, CONTENTS, IN_TLS));
}
