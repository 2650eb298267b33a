//! Real aioquic uploads photos over HTTP/3 to itself on loopback while real tcpdump records: with the client's key log
//! `inspect` and `find` give them byte for byte, without it nothing is known of them and nothing is made up.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use exhibit::{
    evidence::{ByteRange, Digest},
    findings::{Findings, Grade, inspection::Inspection},
};

mod support;
use support::{
    exhibit, peer,
    recording::{Recording, fresh_photo, writable_by_all},
    run, skip,
};

/// A Python that has aioquic: that of the peers' folder, or the first one in `PATH`.
fn python() -> Option<PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python3");
    let python = if peers.is_file() { peers } else { peer("python3")? };
    let has = Command::new(&python).args(["-c", "import aioquic"]).stderr(Stdio::null()).status().unwrap();
    if !has.success() {
        skip("aioquic is not installed");
        return None;
    }
    Some(python)
}

/// What `inspect` makes of a capture.
fn inspect(at: &Path, capture: &Path, keys: Option<&Path>) -> Inspection {
    let mut command = exhibit(at);
    command.args(["inspect", "--format", "json"]).arg(capture);
    if let Some(keys) = keys {
        command.arg("--keys").arg(keys);
    }
    serde_json::from_str(&run(&mut command)).unwrap()
}

/// What `find` makes of it.
fn find(at: &Path, capture: &Path, photos: &Path, keys: Option<&Path>) -> Findings {
    let mut command = exhibit(at);
    command.args(["find", "--format", "json"]);
    if let Some(keys) = keys {
        command.arg("--keys").arg(keys);
    }
    serde_json::from_str(&run(command.arg(capture).arg(photos))).unwrap()
}

#[test]
fn aioquic_over_http3_gives_exactly_what_was_sent_and_nothing_without_keys() {
    let (Some(python), Some(tcpdump)) = (python(), peer("tcpdump")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    writable_by_all(at);
    let photos = at.join("DCIM");
    for (name, len) in [("raw.jpg", 300_017), ("form.jpg", 200_003), ("never.jpg", 300_000)] {
        fresh_photo(&photos.join(name), len);
    }
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let filter = format!("udp port {port}");
    let Some(recording) = Recording::start(&tcpdump, &at.join("live.pcap"), &filter) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live_quic/upload.py");
    let keys = at.join("keys.log");
    let mut upload = Command::new(python);
    upload.arg(script).arg(port.to_string()).arg(&keys);
    let printed = run(upload.arg(photos.join("raw.jpg")).arg(photos.join("form.jpg")));
    let taken: Vec<&str> = printed.lines().collect();
    let capture = recording.stop();

    let raw = Digest::of(&fs::read(photos.join("raw.jpg")).unwrap());
    let form = Digest::of(&fs::read(photos.join("form.jpg")).unwrap());
    assert_eq!(taken[0], raw.to_string(), "the server has the photo");
    let inspect = |keys: Option<&Path>| inspect(at, &capture, keys);
    let inspection = inspect(Some(&keys));
    assert_eq!(inspection.anomalies, []);
    let [connection] = &inspection.quic_connections[..] else { panic!("{:?}", inspection.quic_connections) };
    assert_eq!((connection.alpn.as_deref(), connection.opened), (Some("h3"), connection.packets));
    let [_, one, two] = &inspection.transactions[..] else { panic!("{:?}", inspection.transactions) };
    assert_eq!((one.protocol.as_str(), one.uri.as_str(), two.uri.as_str()), ("http3", "/raw", "/form"));
    let [one, two] = [one, two].map(|transaction| transaction.body.as_ref().unwrap());
    assert!(one.complete && two.complete);
    assert_eq!((one.wire_len, one.wire_sha256), (300_017, Some(raw)));
    assert_eq!(two.wire_sha256.unwrap().to_string(), taken[1], "as the server took it");
    assert_eq!((two.multipart[0].len, two.multipart[0].sha256), (200_003, form));

    let find = |keys: Option<&Path>| find(at, &capture, &photos, keys);
    let findings = find(Some(&keys));
    let mut found: Vec<(&str, Grade)> = findings
        .findings
        .iter()
        .map(|finding| (finding.artifact.rsplit('/').next().unwrap(), finding.grade))
        .collect();
    found.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(found, [("form.jpg", Grade::Exact), ("raw.jpg", Grade::Exact)]);
    let all = findings.ledger.all;
    assert_eq!(all.matched, 300_017 + 200_003);
    assert_eq!(all.matched + all.understood + all.undetermined + all.opaque + all.lost, all.total);
    // What is not content is read as well.
    assert!(all.opaque * 100 < all.total, "{all:?}");

    // Without keys the photos may be there, and nothing says so.
    assert_eq!(inspect(None).transactions, []);
    let findings = find(None);
    assert_eq!(findings.findings, []);
    let all = findings.ledger.all;
    assert!(all.matched == 0 && all.opaque * 100 > all.total * 95, "{all:?}");
    // With those of another connection neither.
    let other = at.join("other.log");
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        let name = "ab".repeat(32);
        words[1] = &name;
        words.join(" ")
    };
    let lines: Vec<String> = fs::read_to_string(&keys).unwrap().lines().map(line).collect();
    support::write(&other, lines.join("\n"));
    assert_eq!(find(Some(&other)).findings, []);
}

#[test]
fn a_photo_comes_out_whole_where_the_client_moves_while_it_uploads() {
    let (Some(python), Some(tcpdump)) = (python(), peer("tcpdump")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    writable_by_all(at);
    let photos = at.join("DCIM");
    for (name, len) in [("raw.jpg", 300_017), ("form.jpg", 200_003), ("never.jpg", 300_000)] {
        fresh_photo(&photos.join(name), len);
    }
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let filter = format!("udp port {port}");
    let Some(recording) = Recording::start(&tcpdump, &at.join("live.pcap"), &filter) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live_quic/upload.py");
    let keys = at.join("keys.log");
    let mut upload = Command::new(python);
    upload.arg(script).arg(port.to_string()).arg(&keys);
    let printed = run(upload.arg(photos.join("raw.jpg")).arg(photos.join("form.jpg")).arg("moves"));
    let capture = recording.stop();
    let raw = fs::read(photos.join("raw.jpg")).unwrap();
    assert_eq!(printed.lines().next(), Some(Digest::of(&raw).to_string().as_str()), "the server has it");

    // Three places, one connection, and the name that was asked for at the first one.
    let inspection = inspect(at, &capture, Some(&keys));
    let clients: Vec<SocketAddr> =
        inspection.flows.iter().map(|flow| flow.initiator.parse().unwrap()).collect();
    let [first, rebound, moved] = clients[..] else { panic!("{clients:?}") };
    assert_eq!(rebound.ip(), first.ip());
    assert_ne!(rebound.port(), first.port());
    assert_eq!(moved.ip().to_string(), "127.0.0.2");
    for flow in &inspection.flows {
        assert_eq!(flow.protocol, "quic");
        assert!(flow.names.iter().any(|name| name == "upload.example (sni)"), "{:?}", flow.names);
    }
    let [one, two, three] = &inspection.quic_connections[..] else { panic!("three rows") };
    for there in [one, two, three] {
        assert_eq!((&there.connection, there.opened), (&one.connection, there.packets));
    }
    // The bodies go on where the one before ended: each is the next piece of the photo, byte for byte.
    let mut bodies: Vec<_> = inspection.transactions.iter().filter_map(|one| one.body.as_ref()).collect();
    let (mut came, mut pieces) = (0, 0);
    while let Some(place) = bodies.iter().position(|body| {
        let end = came + usize::try_from(body.wire_len).unwrap();
        raw.get(came..end)
            .is_some_and(|piece| !piece.is_empty() && body.wire_sha256 == Some(Digest::of(piece)))
    }) {
        came += usize::try_from(bodies.remove(place).wire_len).unwrap();
        pieces += 1;
    }
    assert_eq!((came, pieces), (raw.len(), 3));

    // And united they are both photos, at one endpoint.
    let findings = find(at, &capture, &photos, Some(&keys));
    let mut found: Vec<_> = findings
        .findings
        .iter()
        .map(|finding| {
            let name = finding.artifact.rsplit('/').next().unwrap();
            (name, finding.destination.as_str(), finding.matched_bytes, finding.artifact_ranges.clone())
        })
        .collect();
    found.sort_unstable_by_key(|(name, ..)| *name);
    let whole = |name, len| (name, "upload.example", len, vec![ByteRange::new(0, len)]);
    assert_eq!(found, [whole("form.jpg", 200_003), whole("raw.jpg", 300_017)]);
    let all = findings.ledger.all;
    assert_eq!(all.matched + all.understood + all.undetermined + all.opaque + all.lost, all.total);
    assert!(all.opaque * 100 < all.total, "{all:?}");

    // Without keys nothing, at any of the places.
    let inspection = inspect(at, &capture, None);
    assert_eq!((inspection.transactions, inspection.flows.len()), (vec![], 3));
    let findings = find(at, &capture, &photos, None);
    assert_eq!(findings.findings, []);
    let all = findings.ledger.all;
    assert!(all.matched == 0 && all.opaque * 100 > all.total * 95, "{all:?}");
}
