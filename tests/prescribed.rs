//! What the protocol prescribes in a TLS handshake is understood where the client's Finished verifies, and nowhere else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::fs;

use exhibit::findings::{Findings, Places};

mod support;
use support::{captures, exhibit, run, write};

/// The ledger of what a client sent, with a key log or without.
fn ledger(capture: &str, client: &str, keys: Option<&[u8]>) -> Option<Places> {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(&at.join("files/a.jpg"), [7; 5_000]);
    let mut command = exhibit(at);
    command
        .args(["find", "--format", "json", "--phone", client])
        .arg(captures()?.join(capture))
        .arg(at.join("files"));
    if let Some(keys) = keys {
        write(&at.join("keys.log"), keys);
        command.arg("--keys").arg(at.join("keys.log"));
    }
    let findings: Findings = serde_json::from_str(&run(&mut command)).unwrap();
    Some(findings.ledger.all)
}

/// Each capture with its client, what its hellos and other messages hold that is not prescribed, and what the
/// application sent, in bytes. All lengths stand in TShark's `tls.handshake.extension.len` and `tls.segment.data`.
///
/// - dhe1 (TLS 1.0, resumed once): the heartbeat extension (RFC 6520), 5 bytes; 19 of the application, in no protocol.
/// - zeek (TLS 1.2): the server name, 8 bytes; of the request its target and values, 193, and of the line
///   `Upgrade-Insecure-Requests`, which is no ordinary field, the other 29.
const HANDSHAKES: [(&str, &str, u64); 2] = [
    ("wireshark__dhe1.pcapng.gz", "127.0.0.1", 5),
    ("zeek__tls12-decryption.pcap", "192.168.100.70", 8 + 193 + 29),
];

#[test]
fn what_a_handshake_must_hold_is_understood_where_its_finished_verifies() {
    let Some(folder) = captures() else { return };
    for (capture, client, left) in HANDSHAKES {
        let keys = fs::read(folder.join(format!("{capture}.keylog"))).unwrap();
        let with = ledger(capture, client, Some(&keys)).unwrap();
        assert_eq!(with.undetermined, left, "{capture}");
        assert_eq!(with.matched + with.understood + with.undetermined + with.opaque + with.lost, with.total);
        // Without keys nobody can say that a handshake took place: its messages may hold anything.
        let without = ledger(capture, client, None).unwrap();
        assert!(without.undetermined > 200, "{capture}: {without:?}");
        // A secret that is not this connection's opens nothing, and shows nothing.
        let wrong: String = String::from_utf8(keys).unwrap().lines().map(other_secret).collect();
        let wrong = ledger(capture, client, Some(wrong.as_bytes())).unwrap();
        assert!(wrong.undetermined >= without.undetermined, "{capture}: {wrong:?}");
    }
}

/// DTLS 1.2 with a pre-shared key, whose secret stands in a block of the capture. Of the client's handshake the cookie is
/// left, 16 bytes, and the ClientKeyExchange, 12 and 6, with its identity; of the application all is opaque. All lengths
/// stand in TShark's `dtls.handshake.cookie_length` and `dtls.handshake.length`.
const DATAGRAMS: (&str, &str, u64) = ("wireshark__dtls12-aes128ccm8-dsb.pcapng", "127.0.0.1", 16 + 12 + 6);

#[test]
fn what_a_handshake_of_dtls_must_hold_is_understood_where_its_finished_verifies() {
    let (capture, client, left) = DATAGRAMS;
    let Some(folder) = captures() else { return };
    let with = ledger(capture, client, None).unwrap();
    assert_eq!(with.undetermined, left, "{with:?}");
    assert_eq!(with.matched + with.understood + with.undetermined + with.opaque + with.lost, with.total);
    let bytes = fs::read(folder.join(capture)).unwrap();
    // Before a cookie the client offered another suite: its Finished is not about that hello, a head of 12 and 58 bytes.
    let suites = [0, 2, 0xc0, 0xa8, 1, 0];
    let first = changed(&bytes, &suites, &[0, 2, 0xc0, 0xa4, 1, 0]);
    assert_eq!(ledger_of(&first, client).undetermined, left + 12 + 58);
    // Another extension in the server's hello: the keys are the same, and the Finished does not verify.
    let other = changed(&bytes, &[0, 0, 5, 0xff, 1, 0, 1], &[0, 0, 5, 0xff, 2, 0, 1]);
    assert!(ledger_of(&other, client).undetermined > left + 100, "{:?}", ledger_of(&other, client));
}

#[test]
fn what_a_hello_in_quic_must_hold_is_understood_where_the_finished_verifies() {
    let Some(folder) = captures() else { return };
    let bytes = fs::read(folder.join("wireshark__quic_follow_multistream.pcapng")).unwrap();
    let client = "10.0.2.15";
    let with = ledger_of(&bytes, client);
    // Under another secret of the handshake no Finished is seen; what stands in the Initial packets is the same.
    let name = b"CLIENT_HANDSHAKE_TRAFFIC_SECRET";
    let without = ledger_of(&changed(&bytes, name, b"XLIENT_HANDSHAKE_TRAFFIC_SECRET"), client);
    assert_eq!(with.total, without.total);
    assert!(without.undetermined > with.undetermined + 100, "{with:?} {without:?}");
    assert!(without.opaque > with.opaque, "{with:?} {without:?}");
}

/// A capture in which bytes are others where they first stand.
fn changed(capture: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = capture.windows(from.len()).position(|part| part == from).unwrap();
    let mut capture = capture.to_vec();
    capture.splice(at..at + from.len(), to.iter().copied());
    capture
}

fn ledger_of(capture: &[u8], client: &str) -> Places {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(&at.join("files/a.jpg"), [7; 5_000]);
    write(&at.join("c.pcapng"), capture);
    let mut command = exhibit(at);
    command
        .args(["find", "--format", "json", "--phone", client])
        .arg(at.join("c.pcapng"))
        .arg(at.join("files"));
    let printed = run(&mut command);
    let findings: Findings = serde_json::from_str(&printed).unwrap();
    findings.ledger.all
}

/// A line of a key log with another secret.
fn other_secret(line: &str) -> String {
    let (start, secret) = line.rsplit_once(' ').unwrap_or((line, ""));
    format!("{start} {}\n", secret.replace(['1', '2', '3'], "0"))
}
