//! The server's signature in a handshake: openssl's server with each kind of key under TLS 1.2 and 1.3, as `find` tells of
//! it. A handshake that somebody changed must not verify, and one that signs nothing must not be said to.
#![allow(
    clippy::zombie_processes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{
    collections::BTreeMap,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use exhibit::findings::{Findings, inspection::Inspection};

mod support;
use support::{
    captures, exhibit, output, peer,
    recording::{Recording, writable_by_all},
    run,
    servers::{Running, free_port},
};

/// A way to shake hands: its key, the arguments of both ends, and what must be said of the signature: with the key log, and
/// without.
struct Way {
    key: &'static [&'static str],
    server: &'static [&'static str],
    client: &'static [&'static str],
    with_keys: &'static str,
    without: &'static str,
}

const RSA: &[&str] = &["rsa:2048"];
const SMALL_RSA: &[&str] = &["rsa:1024"];
const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
const P521: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
const ED25519: &[&str] = &["ed25519"];

const fn tls_12(key: &'static [&'static str], client: &'static [&'static str], said: &'static str) -> Way {
    Way { key, server: &["-tls1_2"], client, with_keys: said, without: said }
}

const fn tls_13(key: &'static [&'static str], with_keys: &'static str) -> Way {
    Way { key, server: &["-tls1_3"], client: &[], with_keys, without: "not checkable" }
}

const WAYS: &[Way] = &[
    tls_12(RSA, &[], "verified"),
    tls_12(RSA, &["-sigalgs", "RSA+SHA256"], "verified"),
    tls_12(RSA, &["-sigalgs", "RSA+SHA512"], "verified"),
    tls_12(RSA, &["-cipher", "DHE-RSA-AES128-GCM-SHA256"], "verified"),
    tls_12(P256, &[], "verified"),
    tls_12(P384, &[], "verified"),
    tls_12(ED25519, &[], "verified"),
    tls_13(RSA, "verified"),
    tls_13(P256, "verified"),
    tls_13(P384, "verified"),
    tls_13(ED25519, "verified"),
    // A server that asks for another hello: the client offers a key share that it does not take.
    Way {
        key: P256,
        server: &["-tls1_3", "-groups", "P-384"],
        client: &["-groups", "X25519:P-384"],
        with_keys: "verified",
        without: "not checkable",
    },
    // Nothing is signed: the client encrypts with the server's key.
    tls_12(RSA, &["-cipher", "AES128-SHA256"], "absent"),
    // Not read here: honest all the same.
    tls_12(P521, &[], "not checkable"),
    tls_13(P521, "not checkable"),
    Way {
        key: SMALL_RSA,
        server: &["-tls1_2", "-cipher", "DEFAULT:@SECLEVEL=0"],
        client: &["-cipher", "DEFAULT:@SECLEVEL=0", "-sigalgs", "RSA-PSS+SHA256"],
        with_keys: "not checkable",
        without: "not checkable",
    },
];

/// Waits until a server takes connections.
fn listens(port: u16) {
    let end = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "openssl does not listen on {port}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn pair(openssl: &Path, folder: &Path, number: usize, key: &[&str]) -> (PathBuf, PathBuf) {
    let (certificate, file) = (folder.join(format!("{number}.pem")), folder.join(format!("{number}.key")));
    run(Command::new(openssl)
        .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=signed.example", "-newkey"])
        .args(key)
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&file)
        .stderr(Stdio::null()));
    (certificate, file)
}

fn signatures(at: &Path, capture: &Path, keys: Option<&Path>) -> Vec<(u16, String)> {
    let mut command = exhibit(at);
    command.args(["find", "--format", "json"]).arg(capture).arg(at.join("DCIM"));
    if let Some(keys) = keys {
        command.arg("--keys").arg(keys);
    }
    let findings: Findings = serde_json::from_str(&run(&mut command)).unwrap();
    findings.endpoints.iter().map(|end| (end.port, end.server_signature.clone())).collect()
}

#[test]
fn every_kind_of_key_is_told_of_as_openssl_used_it() {
    let (Some(openssl), Some(tcpdump)) = (peer("openssl"), peer("tcpdump")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    writable_by_all(at);
    fs::create_dir(at.join("DCIM")).unwrap();
    support::recording::fresh_photo(&at.join("DCIM/never.jpg"), 20_000);
    let (mut servers, mut ports) = (Vec::new(), Vec::new());
    for (number, way) in WAYS.iter().enumerate() {
        let port = free_port();
        let (certificate, key) = pair(&openssl, at, number, way.key);
        let server = Command::new(&openssl)
            .args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}"), "-cert"])
            .arg(certificate)
            .arg("-key")
            .arg(key)
            .args(way.server)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        servers.push(Running(server));
        ports.push(port);
        listens(port);
    }
    let filter = ports.iter().map(|port| format!("tcp port {port}")).collect::<Vec<_>>().join(" or ");
    let Some(recording) = Recording::start(&tcpdump, &at.join("live.pcap"), &filter) else { return };
    let keys = at.join("keys.log");
    for (way, port) in WAYS.iter().zip(&ports) {
        let version = way.server[0];
        let said = output(
            Command::new(&openssl)
                .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), version, "-keylogfile"])
                .arg(&keys)
                .args(way.client)
                .stdin(Stdio::null()),
        );
        assert!(said.status.success(), "{:?} {:?}: {}", way.key, way.client, support::text(&said.stderr));
    }
    let capture = recording.stop();

    let wanted = |of: fn(&Way) -> &str| -> Vec<(u16, String)> {
        let mut all: Vec<_> = ports.iter().zip(WAYS).map(|(port, way)| (*port, of(way).to_owned())).collect();
        all.sort();
        all
    };
    let told = |capture: &Path, keys| {
        let mut all = signatures(at, capture, keys);
        all.sort();
        all
    };
    assert_eq!(told(&capture, Some(&keys)), wanted(|way| way.with_keys));
    assert_eq!(told(&capture, None), wanted(|way| way.without));

    // Somebody changes a byte of each server's random: what was signed is not what is there.
    let mut bytes = fs::read(&capture).unwrap();
    let hellos: Vec<usize> = memchr::memmem::find_iter(&bytes, &[2, 0, 0])
        .filter(|at| {
            bytes.get(at - 5..*at).is_some_and(|head| head[..3] == [22, 3, 3])
                && bytes[at + 4..at + 6] == [3, 3]
        })
        .collect();
    assert!(hellos.len() >= WAYS.len(), "{} of {}", hellos.len(), WAYS.len());
    for hello in hellos {
        bytes[hello + 6 + 20] ^= 1;
    }
    let changed = at.join("changed.pcap");
    fs::write(&changed, bytes).unwrap();
    for (port, said) in told(&changed, Some(&keys)) {
        let way = &WAYS[ports.iter().position(|own| *own == port).unwrap()];
        let expected = if way.with_keys == "verified" { "failed" } else { way.with_keys };
        assert_eq!(said, expected, "{:?} {:?} {:?}", way.key, way.server, way.client);
    }
}

#[test]
fn signatures_in_real_captures_verify_and_none_fails() {
    let Some(folder) = captures() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let mut names: Vec<_> =
        fs::read_dir(folder.join("truth")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let name = name.to_str().unwrap().strip_suffix(".json").unwrap();
        let mut command = exhibit(home.path());
        command.args(["inspect", "--format", "json", name]).current_dir(&folder);
        let keys = format!("{name}.keylog");
        if folder.join(&keys).is_file() {
            command.args(["--keys", &keys]);
        }
        let seen: Inspection = serde_json::from_str(&run(&mut command)).unwrap();
        let tls = seen.tls.iter().map(|one| ("tls", &one.server_signature, &one.certificate));
        let quic = seen.quic_connections.iter().map(|one| ("quic", &one.server_signature, &one.certificate));
        for (protocol, signature, certificate) in tls.chain(quic) {
            let Some(signature) = signature else { continue };
            assert_ne!(signature.state, "failed", "{name}: {signature:?}");
            assert!(signature.state != "verified" || certificate.is_some(), "{name}: {signature:?}");
            *counts.entry((protocol, signature.state.clone())).or_default() += 1;
        }
    }
    println!("{counts:?}");
    // Two of them were verified by hand with openssl, from what TShark takes out of ndpi__443-curl (RSA) and
    // wireshark__http2-data-reassembly (ECDSA).
    let verified = ["tls", "quic"].map(|protocol| counts.get(&(protocol, "verified".to_owned())).copied());
    assert_eq!(verified, [Some(74), Some(4)]);
}
