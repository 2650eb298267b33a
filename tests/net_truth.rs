//! Containers and TCP streams of public captures, held to what tshark, tcpflow and an independent
//! reassembler made of them.
//!
//! Every capture must give the packets, link types and times of its truth file, and every direction that
//! carried data must give the same islands of bytes. What differs stands, with its reason, in
//! `net_truth.expected`; a line there that no longer differs fails too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use exhibit::{
    case::capture::Capture,
    engine::net::{self, Index, Side, stream::Chunk, stream::Stream},
    evidence::{AnomalyKind, Blob, Digest, FileBlob, Limits, Scratch, Timestamp, Transport},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Directions with data in all truth files.
const DIRECTIONS: usize = 1_409;
const CAPTURES: usize = 251;

/// One run of bytes without a gap: offset, length, SHA-256.
type Island = (i64, u64, String);

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

fn open(folder: &Path, name: &str) -> Capture {
    let file: Arc<dyn Blob> = Arc::new(FileBlob::new(File::open(folder.join(name)).unwrap()).unwrap());
    let scratch = Scratch::new(std::env::temp_dir());
    Capture::open(name, file, &scratch).unwrap()
}

fn islands(stream: &Stream) -> Vec<Island> {
    let mut islands: Vec<(u64, u64, Sha256)> = Vec::new();
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        let Chunk::Bytes { range, data } = chunk else { continue };
        match islands.last_mut() {
            Some((_, end, hasher)) if *end == range.start => {
                hasher.update(data);
                *end = range.end;
            }
            _ => islands.push((range.start, range.end, Sha256::new_with_prefix(data))),
        }
    }
    let digest = |hasher| Digest::finish(hasher).to_string();
    islands.into_iter().map(|(start, end, h)| (start as i64, end - start, digest(h))).collect()
}

fn truth_islands(reassembly: &Value, field: &str) -> Vec<Island> {
    let list = reassembly[field].as_array().map_or(&[][..], |list| list);
    let island = |i: &Value| {
        (i["offset"].as_i64().unwrap(), i["len"].as_u64().unwrap(), i["sha256"].as_str().unwrap().to_owned())
    };
    list.iter().map(island).collect()
}

/// Truth counts from the first byte seen where there was no SYN; a stream counts from the lowest.
fn from_lowest(mut islands: Vec<Island>, syn_seen: bool) -> Vec<Island> {
    let lowest = islands.first().map_or(0, |island| island.0);
    if !syn_seen {
        islands.iter_mut().for_each(|island| island.0 -= lowest);
    }
    islands
}

#[derive(Default)]
struct Tally {
    captures: usize,
    packets: usize,
    links: usize,
    times: usize,
    directions: usize,
    equal: usize,
    last_wins: usize,
    different: BTreeMap<(String, String, String), String>,
}

#[test]
fn every_direction_equals_its_truth_or_is_explained() {
    let Some(folder) = captures() else { return };
    let mut names: Vec<String> = std::fs::read_dir(folder.join("truth"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort_unstable();
    let mut tally = Tally::default();
    for name in &names {
        let path = folder.join("truth").join(format!("{name}.json"));
        let truth: Value = serde_json::from_reader(File::open(path).unwrap()).unwrap();
        let capture = open(&folder, name);
        let index = net::index(&capture, &Limits::default()).unwrap();
        tally.captures += 1;
        container(&capture, &index, &truth, &mut tally);
        directions(&index, &truth, &mut tally);
    }
    println!("captures    {:>5} of {CAPTURES}", tally.captures);
    println!("packets     {:>5} captures equal", tally.packets);
    println!("link types  {:>5} captures equal", tally.links);
    println!("times       {:>5} captures equal", tally.times);
    println!("directions  {:>5} of {DIRECTIONS} compared, {} equal", tally.directions, tally.equal);
    println!("last wins   {:>5} equal", tally.last_wins);
    judge(&tally);
}

fn judge(tally: &Tally) {
    let text = include_str!("net_truth.expected");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let expected: BTreeMap<(String, String, String), String> = lines
        .map(|line| {
            let mut fields = line.splitn(4, '\t').map(str::to_owned);
            let mut field = || fields.next().expect("capture, stream, from, reason, with tabs between");
            ((field(), field(), field()), field())
        })
        .collect();
    let (explained, found): (BTreeSet<_>, BTreeSet<_>) =
        (expected.keys().collect(), tally.different.keys().collect());
    for key in found.difference(&explained) {
        println!("DIFFERS  {}\t{}\t{}\t{}", key.0, key.1, key.2, tally.different[key]);
    }
    for key in explained.difference(&found) {
        println!("EXPLAINED BUT EQUAL  {key:?}");
    }
    println!("explained   {:>5}", expected.len());
    assert_eq!(found, explained, "what differs and what net_truth.expected explains");
    assert!(tally.captures >= CAPTURES, "fewer captures than there are truth files");
    assert!(tally.directions >= DIRECTIONS, "fewer directions compared than the truth holds");
    let explained = |what| expected.keys().filter(|key| key.2 == what).count();
    assert_eq!(tally.packets + explained("packets"), tally.captures);
    assert_eq!(tally.links + explained("link types"), tally.captures);
    assert_eq!(tally.times + explained("times"), tally.captures);
}

fn container(capture: &Capture, index: &Index, truth: &Value, tally: &mut Tally) {
    let name = &index.capture;
    let container = &index.container;
    assert_eq!(container.digest.to_string(), truth["sha256"].as_str().unwrap(), "{name}");
    assert_eq!(Some(container.bytes), truth["size"].as_u64(), "{name}");
    let mut differs = |what: &str, ours: String, theirs: String| {
        let key = (name.clone(), "-".to_owned(), what.to_owned());
        tally.different.insert(key, format!("{ours} here, {theirs} in truth"));
    };
    let packets = truth["read"]["packets"].as_u64().unwrap();
    if u64::from(container.packets) == packets {
        tally.packets += 1;
    } else {
        differs("packets", container.packets.to_string(), packets.to_string());
    }
    let damaged = !truth["read"]["tshark_error"].is_null();
    let odd = |kind| container.anomalies.iter().any(|anomaly| anomaly.kind == kind);
    let noticed = odd(AnomalyKind::CaptureCutOff) || odd(AnomalyKind::ContainerDamaged);
    assert_eq!(damaged, noticed, "{name}: {:?}", container.anomalies);
    let links: Vec<u64> = container.link_types.iter().map(|link| u64::from(link.0)).collect();
    let theirs: Vec<u64> =
        truth["container"]["link_types"].as_array().unwrap().iter().map(|l| l.as_u64().unwrap()).collect();
    if links == theirs {
        tally.links += 1;
    } else {
        differs("link types", format!("{links:?}"), format!("{theirs:?}"));
    }
    times(capture, truth, tally);
}

/// Truth holds the first and the last *frame's* time as tshark prints them: none for frames without one.
fn times(capture: &Capture, truth: &Value, tally: &mut Tally) {
    let text = |time: Option<Timestamp>| time.map_or_else(String::new, |t| t.epoch_text());
    let ours = frame_times(capture).map(text);
    let field = |name: &str| truth["time"][name].as_str().unwrap_or_default().to_owned();
    let theirs = [field("first"), field("last")];
    let same = |(ours, theirs): (&String, &String)| theirs.is_empty() || ours == theirs;
    if ours.iter().zip(&theirs).all(same) {
        tally.times += 1;
    } else {
        let key = (capture.name.clone(), "-".to_owned(), "times".to_owned());
        tally.different.insert(key, format!("{ours:?} here, {theirs:?} in truth"));
    }
}

fn frame_times(capture: &Capture) -> [Option<Timestamp>; 2] {
    let (mut frames, mut first, mut last) = (capture.frames(), None, None);
    while let Some(frame) = frames.next_frame().unwrap() {
        first.get_or_insert(frame.time);
        last = Some(frame.time);
    }
    [first, last]
}

fn directions(index: &Index, truth: &Value, tally: &mut Tally) {
    // Flows of the same ends come in the same order as Wireshark's streams.
    let mut by_ends: BTreeMap<BTreeSet<String>, Vec<net::FlowId>> = BTreeMap::new();
    for flow in index.flows.iter().filter(|flow| flow.transport == Transport::Tcp) {
        by_ends.entry(ends(flow)).or_default().push(flow.id);
    }
    let mut seen: BTreeMap<BTreeSet<String>, usize> = BTreeMap::new();
    for stream in truth["tcp_streams"].as_array().unwrap() {
        let both = ["first_sender", "other"].map(|end| normal(stream[end].as_str().unwrap()));
        let both: BTreeSet<String> = both.into_iter().collect();
        let nth = seen.entry(both.clone()).or_default();
        let flow = by_ends.get(&both).and_then(|flows| flows.get(*nth)).copied();
        *nth += 1;
        for reassembly in stream["reassembly"].as_array().into_iter().flatten() {
            if reassembly["bytes_present"].as_u64().is_some_and(|bytes| bytes > 0) {
                tally.directions += 1;
                direction(index, flow, &stream["stream"], reassembly, tally);
            }
        }
    }
}

fn ends(flow: &net::Flow) -> BTreeSet<String> {
    [flow.initiator.to_string(), flow.responder.to_string()].into_iter().collect()
}

/// Truth writes IPv6 ends without brackets.
fn normal(end: &str) -> String {
    let (address, port) = end.rsplit_once(':').unwrap();
    match address.parse() {
        Ok(ip) => std::net::SocketAddr::new(ip, port.parse().unwrap()).to_string(),
        Err(_) => end.to_owned(),
    }
}

fn direction(
    index: &Index,
    flow: Option<net::FlowId>,
    number: &Value,
    reassembly: &Value,
    tally: &mut Tally,
) {
    let from = reassembly["from"].as_str().unwrap();
    let key = (index.capture.clone(), number.to_string(), from.to_owned());
    let Some(flow) = flow.and_then(|id| index.flow(id)) else {
        tally.different.insert(key, "no such flow here".to_owned());
        return;
    };
    let from = normal(from);
    let side = Side::BOTH.into_iter().find(|&side| flow.address(side).to_string() == from).unwrap();
    let syn_seen = reassembly["syn_seen"].as_bool().unwrap();
    let stream = index.stream(flow.id, side).unwrap();
    let (ours, theirs) = (islands(&stream), from_lowest(truth_islands(reassembly, "islands"), syn_seen));
    if ours != theirs || stream.from_start != syn_seen {
        let shape = |islands: &[Island]| {
            islands.iter().map(|i| format!("{}+{}", i.0, i.1)).take(8).collect::<Vec<_>>().join(" ")
        };
        let what = format!("{} here, {} in truth (SYN {syn_seen})", shape(&ours), shape(&theirs));
        tally.different.insert(key, what);
        return;
    }
    tally.equal += 1;
    let other = truth_islands(reassembly, "islands_last_wins");
    if !other.is_empty() {
        let ours = islands(&index.stream_last_wins(flow.id, side).unwrap());
        if ours == from_lowest(other, syn_seen) {
            tally.last_wins += 1;
        } else {
            tally.different.insert(key, "the last version differs".to_owned());
        }
    }
}
