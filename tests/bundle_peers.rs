//! Other people's tools accept a good bundle and refuse a bad one: bash, sha256sum, jq, openssl, tshark and GNU tar by the
//! very commands of `howto.txt`; bagit.py; securesystemslib; ssh-keygen.
//!
//! A tool that is not installed is skipped with a message, unless EXHIBIT_REQUIRE_PEERS=1.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use exhibit::bundle::{
    howto,
    key::{PublicKey, SealKey, load_or_make, public_path},
};
use tempfile::TempDir;

#[path = "bundles/minimal.rs"]
mod minimal;
#[path = "bundles/vectors.rs"]
mod vectors;

use vectors::{Entry, Reseal};

/// Whether all tools are there; says which is not.
fn have(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
        !found.is_ok_and(|output| output.status.success())
    });
    if let Some(tool) = missing {
        let required = std::env::var("EXHIBIT_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "{tool} is not installed");
        skipped(&format!("{tool} is not installed"));
    }
    missing.is_none()
}

/// Says it past the test harness, which keeps what passing tests print.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr().lock(), "skipped: {why}");
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

struct File {
    folder: TempDir,
    path: PathBuf,
}

fn file(bytes: &[u8]) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("minimal.private.tar.gz");
    fs::write(&path, bytes).unwrap();
    File { folder, path }
}

/// Changes members and seals up to a stage, with one of two keys.
fn changed(reseal: Option<(Reseal, SealKey)>, change: impl FnOnce(&mut Vec<Entry>)) -> File {
    let mut entries = vectors::entries(&vectors::unzip(vectors::good()));
    change(&mut entries);
    if let Some((upto, key)) = reseal {
        vectors::reseal(&mut entries, upto, &key);
    }
    file(&vectors::zip(&vectors::tar(&entries)))
}

fn flip(name: &'static str, at: usize) -> impl Fn(&mut Vec<Entry>) {
    move |entries| {
        let entry = entries.iter_mut().find(|entry| entry.name().ends_with(name)).unwrap();
        entry.data[at] ^= 1;
    }
}

/// Runs the commands of `howto.txt` that `wanted` keeps.
fn by_hand(file: &File, wanted: impl Fn(&&str) -> bool) -> Output {
    let script = howto::commands().filter(wanted).collect::<Vec<_>>().join("\n");
    Command::new("bash")
        .args(["-c", &script])
        .env("BUNDLE", &file.path)
        .env("TMPDIR", file.folder.path())
        .current_dir(file.folder.path())
        .output()
        .unwrap()
}

const TOOLS: [&str; 8] = ["bash", "tar", "gzip", "sha256sum", "jq", "openssl", "tshark", "cmp"];

#[test]
fn the_commands_of_the_howto_accept_the_good_vector() {
    if !have(&TOOLS) {
        return;
    }
    assert!(howto::commands().count() > 25);
    let output = by_hand(&file(vectors::good()), |_| true);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let id = minimal::verify(vectors::good()).bundle.unwrap().id();
    let fingerprint = minimal::test_key().public().fingerprint();
    assert!(text.contains(&format!("bundle id: {id}\n")), "{text}");
    assert!(text.contains(&format!("{fingerprint}\n")), "{text}");
    assert!(text.contains("[\"L1\",\"supported\",\"In this simulated capture"), "{text}");
    assert!(text.contains("F-0000000001\n1\t1699999999.000000000\t192.0.2.10\t198.51.100.7"), "{text}");
    // The text that was run is the text that stands in the bundle.
    let entries = vectors::entries(&vectors::unzip(vectors::good()));
    let inside = entries.iter().find(|entry| entry.name().ends_with("howto.txt")).unwrap();
    assert_eq!(inside.data, howto::TEXT.as_bytes());
}

#[test]
fn the_commands_of_the_howto_refuse_one_changed_byte_at_every_stage() {
    if !have(&TOOLS) {
        return;
    }
    let key = minimal::test_key;
    let stages = [
        ("a capture", None, "0001.pcap: FAILED"),
        ("a capture with its manifest", Some((Reseal::Manifest, key())), "manifest-sha256.txt: FAILED"),
        // The seal still names the id of before.
        ("a capture with all tag files", Some((Reseal::Tags, key())), ""),
    ];
    for (what, reseal, says) in stages {
        let output = by_hand(&changed(reseal, flip("0001.pcap", 100)), |_| true);
        assert!(!output.status.success(), "{what}");
        assert!(said(&output).contains(says), "{what}: {}", said(&output));
    }
    for (what, bad) in [
        ("the statement", changed(None, flip("seal.dsse.json", 20))),
        ("the signature", changed(None, flip("seal.dsse.json", 740))),
        ("the key", changed(None, flip("seal.keys.pem", 60))),
        ("a file's mode", changed(None, |entries| entries[9].set(100, 8, b"0000755"))),
        ("an unlisted file", {
            changed(None, |entries| {
                let mut extra = entries.last().unwrap().clone();
                extra.set(0, 100, b"exhibit/data/zzz");
                entries.push(extra);
            })
        }),
    ] {
        let output = by_hand(&bad, |_| true);
        assert!(!output.status.success(), "{what}: {}", said(&output));
    }
}

#[test]
fn by_hand_another_sealer_shows_by_the_fingerprint_alone() {
    if !have(&TOOLS) {
        return;
    }
    let other = SealKey::from_secret(&[5; 32]);
    let fingerprint = other.public().fingerprint().to_string();
    let forged = changed(Some((Reseal::Seal, other)), flip("0001.pcap", 100));
    let text = said(&by_hand(&forged, |_| true));
    assert!(text.contains(&fingerprint), "{text}");
    assert!(!text.contains(&minimal::test_key().public().fingerprint().to_string()), "{text}");
}

#[test]
fn gnu_tar_writes_the_same_bytes_and_no_others() {
    if !have(&TOOLS) {
        return;
    }
    // The good vector passes the whole text above; with another time the archive would be another.
    let script = howto::commands().collect::<Vec<_>>().join("\n");
    let other = script.replace("epoch=$(jq -r .epoch data/bundle.json)", "epoch=1");
    assert_ne!(script, other);
    let file = file(vectors::good());
    let output = Command::new("bash").args(["-c", &other]).env("BUNDLE", &file.path).output().unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("differ"), "{}", said(&output));
}

fn unpack(file: &File) -> PathBuf {
    let status = Command::new("tar").arg("-xzf").arg(&file.path).arg("-C").arg(file.folder.path()).status();
    assert!(status.unwrap().success());
    file.folder.path().join("exhibit")
}

fn bagit(folder: &Path) -> Output {
    Command::new("bagit.py").args(["--validate", "--quiet"]).arg(folder).output().unwrap()
}

#[test]
fn bagit_py_accepts_the_bag_and_refuses_changes() {
    if !have(&["bagit.py", "tar"]) {
        return;
    }
    let good = bagit(&unpack(&file(vectors::good())));
    assert!(good.status.success(), "{}", said(&good));
    let manifest = Some((Reseal::Manifest, minimal::test_key()));
    for (what, bad) in [
        ("a changed capture", changed(None, flip("0001.pcap", 100))),
        ("a changed capture with its manifest", changed(manifest, flip("0001.pcap", 100))),
        (
            "a missing file",
            changed(None, |entries| {
                entries.remove(8);
            }),
        ),
        ("another size", changed(None, flip("bag-info.txt", 92))),
    ] {
        assert!(!bagit(&unpack(&bad)).status.success(), "{what}");
    }
}

/// Checks the envelope with securesystemslib alone: envelope, key file.
const SECURESYSTEMSLIB: &str = r"
import json, sys, hashlib
from cryptography.hazmat.primitives.serialization import load_pem_public_key, Encoding, PublicFormat
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
key = load_pem_public_key(open(sys.argv[2], 'rb').read())
der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
key = SSlibKey.from_crypto(key, hashlib.sha256(der).hexdigest())
envelope = Envelope.from_dict(json.load(open(sys.argv[1])))
assert len(envelope.verify([key], 1)) == 1
assert envelope.payload_type == 'application/vnd.in-toto+json'
statement = json.loads(envelope.payload)
assert statement['_type'] == 'https://in-toto.io/Statement/v1'
print(statement['subject'][0]['digest']['sha256'])
";

#[test]
fn securesystemslib_accepts_the_envelope_and_refuses_a_changed_one() {
    let installed = "securesystemslib cryptography";
    let import = Command::new("python3").args(["-c", "import securesystemslib.dsse, cryptography"]).status();
    if !have(&["python3", "tar"]) || !import.is_ok_and(|status| status.success()) {
        let required = std::env::var("EXHIBIT_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "python3 has no {installed}");
        skipped(&format!("python3 has no {installed}"));
        return;
    }
    let check = |file: &File| {
        let folder = unpack(file).join("attestations");
        let arguments = [folder.join("seal.dsse.json"), folder.join("seal.keys.pem")];
        Command::new("python3").args(["-c", SECURESYSTEMSLIB]).args(arguments).output().unwrap()
    };
    let good = check(&file(vectors::good()));
    assert!(good.status.success(), "{}", said(&good));
    let id = minimal::verify(vectors::good()).bundle.unwrap().id();
    assert_eq!(said(&good).trim(), id.to_string());
    for at in [20, 740] {
        let bad = check(&changed(None, flip("seal.dsse.json", at)));
        assert!(!bad.status.success(), "byte {at}");
    }
}

#[test]
fn openssl_and_ssh_keygen_read_our_keys_and_we_read_theirs() {
    if !have(&["openssl", "ssh-keygen"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let (ours, _) = load_or_make(&path("ours.pem")).unwrap();
    assert_eq!(openssl(&["pkey", "-in", "ours.pem", "-pubout"]), ours.public().pem());
    assert_eq!(fs::read_to_string(public_path(&path("ours.pem"))).unwrap(), ours.public().pem());
    // The same spelling as openssl's own (RFC 5958, version 1), byte for byte.
    assert_eq!(openssl(&["pkey", "-in", "ours.pem"]), fs::read_to_string(path("ours.pem")).unwrap());
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "theirs.pem"]);
    let theirs = SealKey::load(&path("theirs.pem")).unwrap();
    assert_eq!(openssl(&["pkey", "-in", "theirs.pem", "-pubout"]), theirs.public().pem());

    let ssh = |arguments: &[&str]| {
        let output = Command::new("ssh-keygen").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    fs::write(path("ours.pub"), ours.public().openssh()).unwrap();
    assert!(ssh(&["-l", "-f", "ours.pub"]).ends_with("(ED25519)\n"));
    ssh(&["-q", "-t", "ed25519", "-N", "", "-C", "someone", "-f", "made"]);
    let made = PublicKey::load(&path("made.pub")).unwrap();
    assert!(fs::read_to_string(path("made.pub")).unwrap().starts_with(made.openssh().trim()));
    // Other kinds of keys are refused.
    openssl(&["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "other.pem"]);
    fs::set_permissions(path("other.pem"), fs::metadata(path("theirs.pem")).unwrap().permissions()).unwrap();
    assert!(SealKey::load(&path("other.pem")).is_err());
}

#[test]
fn the_tar_crate_reads_the_same_members() {
    let tar = vectors::unzip(vectors::good());
    let ours: Vec<(String, usize)> =
        vectors::entries(&tar).iter().map(|entry| (entry.name(), entry.data.len())).collect();
    let theirs: Vec<(String, usize)> = tar::Archive::new(&tar[..])
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), minimal::EPOCH);
            assert!(header.as_ustar().is_some());
            (entry.path().unwrap().to_str().unwrap().to_owned(), entry.size() as usize)
        })
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 18);
}
