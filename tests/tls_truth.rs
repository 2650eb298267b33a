//! What TLS records hold, as `exhibit inspect` decrypts it with the key logs published beside public captures (or inside
//! them), held to what tshark decrypted.
//!
//! What differs stands, with its reason, in `tls_truth.expected`; a line there that no longer differs fails too.
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

use exhibit::findings::inspection::{Flow, Inspection, Transaction};
use serde_json::Value;

mod support;
use support::{captures, exhibit, output, text};

/// What all truth files hold; fewer compared is a failure.
const CAPTURES: usize = 12;
const STREAMS: usize = 52;
/// HTTP/1 requests in what tshark decrypted.
const REQUESTS: usize = 26;

/// Captures whose key log is a file beside them: without it nothing of them may be read.
const BESIDE: usize = 10;

/// Capture, number of the TCP stream and sender, what differs.
type Key = (String, String, String);

#[derive(Default)]
struct Tally {
    captures: usize,
    streams: usize,
    directions: usize,
    requests: usize,
    bytes: u64,
    different: BTreeMap<Key, String>,
}

#[test]
fn decrypted_streams_equal_the_truth_or_are_explained() {
    let Some(folder) = captures() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut tally = Tally::default();
    for (name, truth) in with_decrypted_streams(&folder) {
        let inspection = inspect(home.path(), &folder, &name, key_log(&folder, &name).as_deref());
        tally.captures += 1;
        for stream in truth["tls_decrypted_streams"].as_array().unwrap() {
            compare(&name, stream, &inspection, &mut tally);
        }
        requests(&name, &truth, &inspection, &mut tally);
    }
    println!("captures        {:>5} of {CAPTURES}", tally.captures);
    println!("connections     {:>5} of {STREAMS}", tally.streams);
    println!("directions      {:>5} compared, {} bytes", tally.directions, tally.bytes);
    println!("requests        {:>5} of {REQUESTS}", tally.requests);
    judge(&tally);
    let compared = (tally.captures, tally.streams, tally.directions, tally.requests);
    assert_eq!(compared, (CAPTURES, STREAMS, 2 * STREAMS, REQUESTS));
}

#[test]
fn without_keys_or_with_those_of_others_nothing_is_decrypted() {
    let Some(folder) = captures() else { return };
    let home = tempfile::tempdir().unwrap();
    let all = with_decrypted_streams(&folder);
    let logs: Vec<String> = all.iter().filter_map(|(name, _)| key_log(&folder, name)).collect();
    assert_eq!(logs.len(), BESIDE);
    for (at, log) in logs.iter().enumerate() {
        let name = log.strip_suffix(".keylog").unwrap();
        // Some captures hold the same connections: their logs are no others'.
        let own = fs::read_to_string(folder.join(log)).unwrap();
        let foreign = logs.iter().cycle().skip(at + 1).find(|other| {
            let other = fs::read_to_string(folder.join(other)).unwrap();
            !other.lines().any(|line| !line.starts_with('#') && own.contains(line))
        });
        for keys in [None, foreign.map(String::as_str)] {
            let inspection = inspect(home.path(), &folder, name, keys);
            assert!(!inspection.tls.is_empty(), "{name}: no TLS was seen");
            for connection in &inspection.tls {
                for side in &connection.directions {
                    assert_eq!(side.decrypted, 0, "{name} with {keys:?}: {connection:?}");
                    assert!(side.not_decrypted.is_some(), "{name} with {keys:?}: {connection:?}");
                }
            }
            assert!(inspection.tls_hellos.iter().all(|hello| !hello.decrypted), "{name} with {keys:?}");
            assert!(
                inspection.flows.iter().all(|flow| flow.inner.iter().all(|inner| inner.protocol != "tls"))
            );
        }
    }
}

fn with_decrypted_streams(folder: &Path) -> Vec<(String, Value)> {
    let mut found: Vec<(String, Value)> = fs::read_dir(folder.join("truth"))
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned();
            let truth: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let streams = truth["tls_decrypted_streams"].as_array();
            streams.is_some_and(|streams| !streams.is_empty()).then_some((name, truth))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn key_log(folder: &Path, name: &str) -> Option<String> {
    let log = format!("{name}.keylog");
    folder.join(&log).is_file().then_some(log)
}

fn inspect(home: &Path, folder: &Path, name: &str, keys: Option<&str>) -> Inspection {
    let mut command = exhibit(home);
    command.args(["inspect", "--format", "json", name]).current_dir(folder);
    if let Some(keys) = keys {
        command.args(["--keys", keys]);
    }
    let output = output(&mut command);
    assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The flow of a TCP stream: tshark numbers them in the order of their first frames.
fn flow<'i>(truth: &Value, inspection: &'i Inspection) -> (u64, &'i Flow) {
    let number = truth["tcp_stream"].as_u64().unwrap();
    let mut flows: Vec<&Flow> = inspection.flows.iter().filter(|flow| flow.transport == "tcp").collect();
    flows.sort_by_key(|flow| flow.first_frame);
    (number, flows[usize::try_from(number).unwrap()])
}

/// HTTP/1 requests that tshark found in what it decrypted.
fn requests(name: &str, truth: &Value, inspection: &Inspection, tally: &mut Tally) {
    let all = truth["http_requests_from_bytes"].as_array().into_iter().flatten();
    for request in all.filter(|request| request["via"] == "tls-follow") {
        tally.requests += 1;
        let (stream, flow) = flow(request, inspection);
        let of_flow =
            |transaction: &&Transaction| transaction.flow == flow.name && !transaction.method.is_empty();
        let number = usize::try_from(request["n"].as_u64().unwrap()).unwrap();
        let ours = inspection.transactions.iter().filter(of_flow).nth(number);
        let ours = ours
            .map(|ours| (ours.method.as_str(), ours.uri.as_str(), ours.host.as_str(), ours.version.as_str()));
        let text = |key: &str| request[key].as_str().unwrap();
        let theirs = Some((text("method"), text("uri"), text("host"), text("version")));
        if ours != theirs {
            let key = (name.to_owned(), format!("{stream} request {number}"), "request".to_owned());
            tally.different.insert(key, format!("{ours:?} here, {theirs:?} in truth"));
        }
    }
}

/// One connection.
fn compare(name: &str, truth: &Value, inspection: &Inspection, tally: &mut Tally) {
    tally.streams += 1;
    let (number, flow) = flow(truth, inspection);
    let first = truth["node0"].as_str().unwrap();
    assert!([&flow.initiator, &flow.responder].iter().any(|end| *end == first), "{name} stream {number}");
    let inner = flow.inner.iter().find(|inner| inner.protocol == "tls");
    for (is_first, plain) in [(true, &truth["node0_plain"]), (false, &truth["node1_plain"])] {
        let side =
            inner.and_then(|inner| inner.directions.iter().find(|side| (side.from == first) == is_first));
        let ours = side.map_or_else(
            || "nothing".to_owned(),
            |side| {
                let island = |island: &exhibit::findings::inspection::Island| {
                    format!("{} bytes at {}, {}", island.len, island.offset, island.sha256)
                };
                side.islands.iter().map(island).collect::<Vec<_>>().join("; ")
            },
        );
        let len = plain["len"].as_u64().unwrap();
        let theirs = match len {
            0 => String::new(),
            _ => format!("{len} bytes at 0, {}", plain["sha256"].as_str().unwrap()),
        };
        tally.directions += 1;
        tally.bytes += len;
        if ours != theirs {
            let at = format!("{number} from {}", if is_first { "node0" } else { "node1" });
            let how = format!("{ours} here, {theirs} in truth");
            tally.different.insert((name.to_owned(), at, "plaintext".to_owned()), how);
        }
    }
}

fn judge(tally: &Tally) {
    let lines =
        include_str!("tls_truth.expected").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let expected: BTreeSet<Key> = lines
        .map(|line| {
            let mut fields = line.splitn(4, '\t');
            let mut field = || fields.next().expect("capture, stream, what, reason, with tabs between");
            let key = (field().to_owned(), field().to_owned(), field().to_owned());
            assert!(!field().is_empty());
            key
        })
        .collect();
    let found: BTreeSet<Key> = tally.different.keys().cloned().collect();
    for key in found.difference(&expected) {
        println!("DIFFERS  {}\t{}\t{}\t{}", key.0, key.1, key.2, tally.different[key]);
    }
    for key in expected.difference(&found) {
        println!("EXPLAINED BUT EQUAL  {key:?}");
    }
    println!("explained       {:>5}", expected.len());
    assert_eq!(found, expected, "what differs and what tls_truth.expected explains");
}
