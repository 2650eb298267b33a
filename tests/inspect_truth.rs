//! `exhibit inspect`, the program itself, held to the truth files of public captures: HTTP/1 requests with their bodies
//! and multipart parts; and every capture at all: it ends well, says how many packets there are, and never panics.
//!
//! What differs stands, with its reason, in `inspect_truth.expected`; a line there that no longer differs fails too.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use exhibit::findings::inspection::{Body, Inspection, Transaction};
use serde_json::Value;

mod support;
use support::{captures, exhibit, output, text};

const CAPTURES: usize = 251;
/// Requests with a body in all truth files, and those of them whose body the capture does not hold.
const BODIES: usize = 67;
const ABSENT: usize = 10;

/// Capture, sender and number of the request (`-`: the file; `beside`: requests of senders that have none in truth), what differs.
type Key = (String, String, String);

#[derive(Default)]
struct Tally {
    captures: usize,
    requests: usize,
    bodies: usize,
    absent: usize,
    parts: usize,
    decoded: usize,
    packets: usize,
    damaged: usize,
    different: BTreeMap<Key, String>,
}

#[test]
fn inspect_equals_the_truth_of_every_capture_or_is_explained() {
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
        let inspection = inspect(home.path(), &folder, name);
        whole(name, &inspection, &truth, &mut tally);
        http(name, &inspection, &truth, &mut tally);
    }
    println!(
        "captures        {:>5} of {CAPTURES} inspected, {} of them damaged",
        tally.captures, tally.damaged
    );
    println!("packets         {:>5} captures equal", tally.packets);
    println!("requests        {:>5} compared", tally.requests);
    println!(
        "bodies          {:>5} of {BODIES} compared; {} announced and not in the capture",
        tally.bodies, tally.absent
    );
    println!("  decoded       {:>5} compared", tally.decoded);
    println!("  multipart     {:>5} parts compared", tally.parts);
    judge(&tally);
    assert_eq!((tally.captures, tally.bodies, tally.absent), (CAPTURES, BODIES, ABSENT));
}

/// Runs the program; even a damaged capture gives what was readable.
fn inspect(home: &Path, folder: &Path, name: &str) -> Inspection {
    let output = output(exhibit(home).args(["inspect", "--format", "json", name]).current_dir(folder));
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{name}: {errors}");
    assert!(!errors.contains("panicked"), "{name}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn whole(name: &str, inspection: &Inspection, truth: &Value, tally: &mut Tally) {
    tally.captures += 1;
    assert_eq!(inspection.sha256.to_string(), truth["sha256"].as_str().unwrap(), "{name}");
    assert_eq!(Some(inspection.size), truth["size"].as_u64(), "{name}");
    let format = truth["container"]["format"].as_str().unwrap();
    assert_eq!(
        inspection.container.format,
        if format.starts_with("ng") { "pcapng" } else { format },
        "{name}"
    );
    assert_eq!(Some(inspection.container.gzip), truth["container"]["gzip"].as_bool(), "{name}");
    if !truth["read"]["tshark_error"].is_null() {
        tally.damaged += 1;
        assert!(inspection.anomaly_count > 0, "{name} is damaged, and nothing is said of it");
    }
    let theirs = truth["read"]["packets"].as_u64().unwrap();
    if inspection.packets == theirs {
        tally.packets += 1;
    } else {
        differs(tally, name, "-", "packets", format!("{} here, {theirs} in truth", inspection.packets));
    }
}

fn differs(tally: &mut Tally, name: &str, request: &str, what: &str, how: String) {
    tally.different.insert((name.to_owned(), request.to_owned(), what.to_owned()), how);
}

/// Requests by sender, in the order of their streams.
fn http(name: &str, inspection: &Inspection, truth: &Value, tally: &mut Tally) {
    let mut theirs: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    // What stood inside TLS has no sender in the truth file; that is another test's matter.
    let requests = truth["http_requests_from_bytes"].as_array().into_iter().flatten();
    for request in requests
        .filter(|request| request["via"] == "own-reassembly" && request["why"] != "headers incomplete")
    {
        theirs.entry(normal(request["from"].as_str().unwrap())).or_default().push(request);
    }
    let senders: BTreeMap<&str, (String, u32)> = inspection
        .flows
        .iter()
        .map(|flow| {
            let from = if flow.uplink_from == "initiator" { &flow.initiator } else { &flow.responder };
            (flow.name.as_str(), (from.clone(), flow.first_frame.0))
        })
        .collect();
    let mut ours: BTreeMap<String, Vec<(u32, &Transaction)>> = BTreeMap::new();
    for transaction in inspection.transactions.iter().filter(|transaction| !transaction.method.is_empty()) {
        let (from, first) = &senders[transaction.flow.as_str()];
        ours.entry(from.clone()).or_default().push((*first, transaction));
    }
    let everyone: BTreeSet<String> = theirs.keys().chain(ours.keys()).cloned().collect();
    for from in everyone {
        let theirs = theirs.remove(&from).unwrap_or_default();
        let mut ours = ours.remove(&from).unwrap_or_default();
        ours.sort_by_key(|(first, transaction)| (*first, transaction.n));
        if theirs.is_empty() {
            differs(
                tally,
                name,
                "beside",
                "requests",
                format!("{} of {from} here, none in truth", ours.len()),
            );
        } else if ours.len() != theirs.len() {
            differs(
                tally,
                name,
                &from,
                "requests",
                format!("{} here, {} in truth", ours.len(), theirs.len()),
            );
        }
        for (number, truth) in theirs.into_iter().enumerate() {
            let at = format!("{from}/{number}");
            let body = !truth["body"].is_null();
            tally.bodies += usize::from(body);
            match ours.get(number) {
                Some((_, transaction)) => request(name, &at, transaction, truth, tally),
                None if body => differs(tally, name, &at, "body", "no such request here".to_owned()),
                None => {}
            }
        }
    }
}

/// Truth writes IPv6 ends without brackets.
fn normal(end: &str) -> String {
    let (address, port) = end.rsplit_once(':').unwrap();
    match address.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port.parse().unwrap()).to_string(),
        Err(_) => end.to_owned(),
    }
}

fn request(name: &str, at: &str, ours: &Transaction, truth: &Value, tally: &mut Tally) {
    tally.requests += 1;
    for (what, ours) in [("method", &ours.method), ("uri", &ours.uri), ("host", &ours.host)] {
        let theirs = truth[what].as_str().unwrap_or_default();
        if ours != theirs {
            differs(tally, name, at, what, format!("{ours:?} here, {theirs:?} in truth"));
        }
    }
    let mut compare = |what: &str, ours: String, theirs: String| {
        if ours != theirs {
            differs(tally, name, at, what, format!("{ours} here, {theirs} in truth"));
        }
    };
    let theirs = &truth["body"];
    match (&ours.body, theirs.is_null()) {
        (None, true) => {}
        // A body of no bytes that ends as announced is no body in the truth file.
        (Some(body), true) => compare("body", format!("{} bytes", body.wire_len), "none".to_owned()),
        (None, false) => compare("body", "none".to_owned(), format!("{} bytes", theirs["wire_len"])),
        (Some(body), false) => {
            compare("complete", body.complete.to_string(), truth["complete"].to_string());
            let digest = |digest: &Value| digest.as_str().unwrap_or("none").to_owned();
            let shown = |digest: Option<exhibit::evidence::Digest>| {
                digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
            };
            compare("wire_len", body.wire_len.to_string(), theirs["wire_len"].to_string());
            compare("wire_sha256", shown(body.wire_sha256), digest(&theirs["wire_sha256"]));
            compare("len", body.len.to_string(), theirs["len"].to_string());
            compare("sha256", shown(body.sha256), digest(&theirs["sha256"]));
            let decoded = body.decoded_len.map_or_else(|| "null".to_owned(), |len| len.to_string());
            compare(
                "decoded_len",
                decoded,
                theirs.get("decoded_len").map_or_else(|| "null".to_owned(), Value::to_string),
            );
            compare("decoded_sha256", shown(body.decoded_sha256), digest(&theirs["decoded_sha256"]));
            compare("multipart", parts_here(body), parts_there(theirs));
            tally.decoded += usize::from(theirs["decoded_sha256"].is_string());
            tally.parts += theirs["multipart"].as_array().map_or(0, Vec::len);
            tally.absent += usize::from(theirs["wire_len"] == 0);
        }
    }
}

fn parts_here(body: &Body) -> String {
    let part = |part: &exhibit::findings::inspection::BodyPart| {
        format!("{} {} {}", part.name, part.len, part.sha256)
    };
    body.multipart.iter().map(part).collect::<Vec<_>>().join("; ")
}

fn parts_there(body: &Value) -> String {
    let part = |part: &Value| {
        format!(
            "{} {} {}",
            part["name"].as_str().unwrap_or_default(),
            part["len"],
            part["sha256"].as_str().unwrap()
        )
    };
    body["multipart"].as_array().into_iter().flatten().map(part).collect::<Vec<_>>().join("; ")
}

fn judge(tally: &Tally) {
    let lines = include_str!("inspect_truth.expected")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let expected: BTreeMap<Key, &str> = lines
        .map(|line| {
            let mut fields = line.splitn(4, '\t');
            let mut field = || fields.next().expect("capture, request, what, reason, with tabs between");
            ((field().to_owned(), field().to_owned(), field().to_owned()), field())
        })
        .collect();
    let (explained, found): (BTreeSet<_>, BTreeSet<_>) =
        (expected.keys().collect(), tally.different.keys().collect());
    for key in found.difference(&explained) {
        println!("DIFFERS  {}\t{}\t{}\t{}", key.0, key.1, key.2, tally.different[*key]);
    }
    for key in explained.difference(&found) {
        println!("EXPLAINED BUT EQUAL  {key:?}");
    }
    println!("explained       {:>5}", expected.len());
    assert_eq!(found, explained, "what differs and what inspect_truth.expected explains");
}
