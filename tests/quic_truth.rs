//! QUIC of public captures, held to what tshark and an independent reader of its frames made of them: connections,
//! hellos, and the bytes of each stream.
//!
//! What differs stands, with its reason, in `quic_truth.expected`; a line there that no longer differs fails too.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use exhibit::{
    evidence::Digest,
    findings::inspection::{Hello, Inspection, Side},
};
use serde_json::Value;

mod support;
use support::{captures, exhibit, output, text};

/// What all truth files hold; fewer compared is a failure.
const CAPTURES: usize = 9;
const CONNECTIONS: u64 = 27;
const HELLOS: usize = 39;
const STREAMS: usize = 63;

/// Capture, what, how.
#[derive(Default)]
struct Tally {
    captures: usize,
    connections: u64,
    hellos: usize,
    streams: usize,
    different: BTreeMap<(String, String), String>,
}

impl Tally {
    fn differs(&mut self, name: &str, what: String, how: String) {
        self.different.insert((name.to_owned(), what), how);
    }
}

#[test]
fn quic_equals_the_truth_of_every_capture_or_is_explained() {
    let Some(folder) = captures() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder.join("truth"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort_unstable();
    let mut tally = Tally::default();
    for name in &names {
        let truth: Value =
            serde_json::from_slice(&fs::read(folder.join("truth").join(format!("{name}.json"))).unwrap())
                .unwrap();
        let connections = truth["counts"]["quic_connections"].as_u64().unwrap_or(0);
        if connections == 0 {
            continue;
        }
        tally.captures += 1;
        let inspection = inspect(home.path(), &folder, name);
        let ours = inspection.quic_connections.len() as u64;
        tally.connections += connections;
        if ours != connections {
            tally.differs(name, "connections".to_owned(), format!("{ours} here, {connections} in truth"));
        }
        for connection in inspection.quic_connections.iter().filter(|connection| connection.decrypted) {
            assert_eq!(connection.opened, connection.packets, "{name}: a packet does not open");
        }
        hellos(name, &inspection, &truth, &mut tally);
        streams(name, &inspection, &truth, &mut tally);
    }
    println!("captures     {:>5} of {CAPTURES} with QUIC", tally.captures);
    println!("connections  {:>5} of {CONNECTIONS}", tally.connections);
    println!("hellos       {:>5} of {HELLOS} compared", tally.hellos);
    println!("streams      {:>5} of {STREAMS} compared", tally.streams);
    judge(&tally);
    assert_eq!(
        (tally.captures, tally.connections, tally.hellos, tally.streams),
        (CAPTURES, CONNECTIONS, HELLOS, STREAMS)
    );
}

fn inspect(home: &Path, folder: &Path, name: &str) -> Inspection {
    let output = output(exhibit(home).args(["inspect", "--format", "json", name]).current_dir(folder));
    assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|value| value.as_str().unwrap().to_owned()).collect()
}

fn hellos(name: &str, inspection: &Inspection, truth: &Value, tally: &mut Tally) {
    let udp: BTreeSet<&str> = inspection
        .flows
        .iter()
        .filter(|flow| flow.transport == "udp")
        .map(|flow| flow.name.as_str())
        .collect();
    let mut ours: Vec<&Hello> =
        inspection.tls_hellos.iter().filter(|hello| udp.contains(hello.flow.as_str())).collect();
    for value in truth["tls_hellos"].as_array().unwrap().iter().filter(|hello| hello["tcp_stream"].is_null())
    {
        tally.hellos += 1;
        let from = if list(&value["types"]).contains(&"1".to_owned()) { "client" } else { "server" };
        let frame = value["frame"].as_u64().unwrap();
        let versions = list(&value["supported_versions"]);
        // A hello over several frames is counted by its last one there, by its first one here.
        let fits = |hello: &&Hello| {
            hello.from == from
                && hello.sni.as_deref() == value["sni"].as_str()
                && u64::from(hello.frame.0) <= frame
                && hello.versions == versions
                && value["server_cipher"].as_str().is_none_or(|cipher| hello.ciphers == [cipher])
                // The server's protocol stands in another message.
                && (from == "server" || hello.alpn == list(&value["alpn"]))
        };
        match ours.iter().rposition(fits) {
            Some(position) => {
                ours.remove(position);
            }
            None => tally.differs(name, format!("hello {frame}"), format!("missing: {value}")),
        }
    }
    for hello in ours {
        tally.differs(name, format!("hello {}", hello.frame), format!("not in the truth: {hello:?}"));
    }
}

/// One direction of a stream, of those that hold anything.
struct Stream<'a> {
    id: u64,
    sender: String,
    side: &'a Side,
}

impl Stream<'_> {
    /// Bytes from its start to the first that is missing, and their digest.
    fn start(&self) -> String {
        let first = self.side.islands.first().filter(|island| island.offset == 0);
        let (len, digest) = first.map_or((0, Digest::of(b"")), |island| (island.len, island.sha256));
        format!("{len} bytes {digest}")
    }
}

fn ours(inspection: &Inspection) -> Vec<Stream<'_>> {
    let inner = inspection.flows.iter().flat_map(|flow| &flow.inner).filter(|inner| inner.protocol == "quic");
    let sides = inner.flat_map(|inner| inner.directions.iter().map(|side| (inner.id.unwrap(), side)));
    let streams = sides.map(|(id, side)| Stream { id, sender: side.from.replace(['[', ']'], ""), side });
    streams.filter(|stream| stream.side.bytes_present > 0 || !stream.side.gaps.is_empty()).collect()
}

fn streams(name: &str, inspection: &Inspection, truth: &Value, tally: &mut Tally) {
    let mut ours = ours(inspection);
    let mut theirs: Vec<&Value> = truth["quic_streams"].as_array().into_iter().flatten().collect();
    // Where tshark shows one port for both ends, the truth has none for one of them: those take what is left.
    theirs.sort_by_key(|stream| stream["sender"].as_str().unwrap().ends_with(":None"));
    for value in theirs {
        tally.streams += 1;
        let (id, from) = (value["stream"].as_u64().unwrap(), value["sender"].as_str().unwrap());
        let fits =
            |stream: &Stream<'_>| stream.id == id && (stream.sender == from || from.ends_with(":None"));
        let Some(position) = ours.iter().position(fits) else {
            tally.differs(name, format!("stream {id} {from}"), "missing".to_owned());
            continue;
        };
        let here = ours.remove(position).start();
        let there = format!("{} bytes {}", value["contiguous_len"], value["sha256"].as_str().unwrap());
        if here != there {
            let how = format!("{here} here, {there} in truth");
            tally.differs(name, format!("stream {id} {from}"), how);
        }
    }
    for stream in ours {
        let what = format!("stream {} {}", stream.id, stream.sender);
        tally.differs(name, what, format!("{}, not in the truth", stream.start()));
    }
}

fn judge(tally: &Tally) {
    let lines =
        include_str!("quic_truth.expected").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let expected: BTreeSet<(String, String)> = lines
        .map(|line| {
            let mut fields = line.splitn(3, '\t');
            let mut field = || fields.next().expect("capture, what, reason, with tabs between").to_owned();
            let key = (field(), field());
            assert!(!field().is_empty(), "no reason: {line}");
            key
        })
        .collect();
    let found: BTreeSet<(String, String)> = tally.different.keys().cloned().collect();
    for key in found.difference(&expected) {
        println!("DIFFERS  {}\t{}\t{}", key.0, key.1, tally.different[key]);
    }
    for key in expected.difference(&found) {
        println!("EXPLAINED BUT EQUAL  {key:?}");
    }
    println!("explained    {:>5}", expected.len());
    assert_eq!(found, expected, "what differs and what quic_truth.expected explains");
}
