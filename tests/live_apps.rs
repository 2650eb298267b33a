//! Mails and FTP on loopback between other people's programs while real tcpdump records, in clear and under TLS that is
//! asked for inside the session: with the clients' key log photos come out byte for byte, without it only those in clear.
#![allow(
    clippy::zombie_processes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use exhibit::findings::{Findings, Grade, inspection::Inspection};

mod support;
use support::{
    exhibit, peer,
    recording::{Recording, fresh_photo, writable_by_all},
    run,
    servers::{Running, certificate, free_port},
    skip, write,
};

const CLIENTS: &str = "127.0.0.2";
const SERVERS: &str = "127.0.0.1";

/// Held while packets are recorded: what one test sends must not stand in the recording of another.
static RECORDING: Mutex<()> = Mutex::new(());

/// A Python that has a module: that of the peers' folder, or the first one in `PATH`.
fn python(module: &str) -> Option<PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python3");
    let python = if peers.is_file() { peers } else { peer("python3")? };
    let import = format!("import {module}");
    let has = Command::new(&python).args(["-c", &import]).stderr(Stdio::null()).status().unwrap();
    if !has.success() {
        skip(&format!("{module} is not installed"));
        return None;
    }
    Some(python)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live_apps").join(name)
}

/// What went up from an address: that of the clients, or that of the servers.
fn findings(at: &Path, phone: &str, arguments: &[&Path]) -> Findings {
    let printed = run(exhibit(at).args(["find", "--format", "json", "--phone", phone]).args(arguments));
    serde_json::from_str(&printed).unwrap()
}

fn inspection(at: &Path, arguments: &[&Path]) -> Inspection {
    let printed = run(exhibit(at).args(["inspect", "--format", "json"]).args(arguments));
    serde_json::from_str(&printed).unwrap()
}

/// Photos that went up whole, by name; every other finding fails.
fn sent(findings: &Findings) -> Vec<String> {
    let mut names = Vec::new();
    for finding in &findings.findings {
        assert_eq!((finding.grade, finding.probative), (Grade::Exact, true), "{finding:#?}");
        names.push(finding.artifact.rsplit('/').next().unwrap().to_owned());
    }
    names.sort();
    names
}

#[test]
fn photos_attached_to_mails_come_out_of_sessions_that_go_on_under_tls() {
    let (Some(python), Some(tcpdump), Some(openssl)) = (python("aiosmtpd"), peer("tcpdump"), peer("openssl"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    writable_by_all(at);
    let photos = at.join("DCIM");
    let names = ["smtp", "smtp-tls", "imap", "imap-tls", "pop3", "pop3-tls", "never"]
        .map(|name| format!("{name}.jpg"));
    for (name, more) in names.iter().zip(0..) {
        fresh_photo(&photos.join(name), 200_003 + more);
    }
    let mails = at.join("mails");
    fs::create_dir(&mails).unwrap();
    let (certificate, key) = certificate(&openssl, at);
    let ports = [free_port(), free_port(), free_port()];
    let alone = RECORDING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(recording) = Recording::start(&tcpdump, &at.join("live.pcap"), "tcp and host 127.0.0.2") else {
        return;
    };
    let mut mail = Command::new(python);
    mail.arg(script("mail.py")).arg(at).arg(certificate).arg(key).args(ports.map(|port| port.to_string()));
    let printed = run(&mut mail);
    let taken: Vec<(&str, &str)> = printed.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(taken.len(), 6, "{printed}");
    let capture = recording.stop();
    drop(alone);
    let keys = at.join("keys.log");
    let with_keys = [&capture, Path::new("--keys"), &keys];

    let all = findings(at, CLIENTS, &[&capture, &photos, Path::new("--keys"), &keys]);
    assert_eq!(sent(&all), ["imap-tls.jpg", "imap.jpg", "smtp-tls.jpg", "smtp.jpg"]);
    assert_eq!(all.ledger.all.lost, 0);
    let closed = findings(at, CLIENTS, &[&capture, &photos]);
    assert_eq!(sent(&closed), ["imap.jpg", "smtp.jpg"]);
    assert!(closed.ledger.all.opaque > 2 * 200_003);

    // Each mail has the digest that its receiver gives, what was stuffed taken out again.
    let seen = inspection(at, &with_keys);
    let text = serde_json::to_string(&seen).unwrap();
    for (name, digest) in &taken {
        assert!(text.contains(digest), "the mail {name} with {digest}");
    }
    let whole = findings(at, CLIENTS, &[&capture, &mails, Path::new("--keys"), &keys]);
    let sent_mails = ["imap-tls.jpg.eml", "imap.jpg.eml", "smtp-tls.jpg.eml", "smtp.jpg.eml"];
    assert_eq!(sent(&whole), sent_mails);
    // What was fetched went up from the server.
    let all = findings(at, SERVERS, &[&capture, &photos, Path::new("--keys"), &keys]);
    assert_eq!(sent(&all), ["pop3-tls.jpg", "pop3.jpg"]);
    assert_eq!(sent(&findings(at, SERVERS, &[&capture, &photos])), ["pop3.jpg"]);
    assert_eq!(seen.anomalies, []);
    let inner: Vec<_> =
        seen.flows.iter().map(|flow| (flow.protocol.as_str(), flow.inner_protocols.clone())).collect();
    for protocol in ["smtp", "imap", "pop3"] {
        let of = inner.iter().filter(|(name, _)| *name == protocol);
        let mut under_tls: Vec<bool> =
            of.map(|(_, inner)| inner.iter().any(|inner| inner == "tls")).collect();
        under_tls.sort_unstable();
        assert_eq!(under_tls, [false, true], "{protocol}: {inner:?}");
    }
}

#[test]
fn files_come_out_of_ftp_in_both_modes_in_clear_and_under_tls() {
    let (Some(python), Some(tcpdump), Some(openssl)) =
        (python("pyftpdlib"), peer("tcpdump"), peer("openssl"))
    else {
        return;
    };
    let Some(curl) = peer("curl") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    writable_by_all(at);
    let photos = at.join("DCIM");
    let names = ["active-tls.jpg", "active.jpg", "hello.bin", "passive-tls.jpg", "passive.jpg"];
    for (name, more) in names.iter().chain(&["never.jpg"]).zip(0..) {
        fresh_photo(&photos.join(name), 300_017 + more);
    }
    // A file that begins as a hello of TLS does.
    let hello = photos.join("hello.bin");
    let mut bytes = fs::read(&hello).unwrap();
    bytes.splice(..10, *b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03");
    write(&hello, bytes);
    let (certificate, key) = certificate(&openssl, at);
    let both = at.join("both.pem");
    write(&both, [fs::read(certificate).unwrap(), fs::read(key).unwrap()].concat());
    let served = at.join("served");
    fs::create_dir(&served).unwrap();
    let port = free_port();
    let mut server = Command::new(&python);
    server.arg(script("ftp.py")).arg(&served).arg(&both).arg(port.to_string());
    let mut server = Running(server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    // Data connections have ports that nobody knows before.
    let alone = RECORDING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(recording) = Recording::start(&tcpdump, &at.join("live.pcap"), "tcp and host 127.0.0.2") else {
        return;
    };
    let keys = at.join("keys.log");
    for name in names {
        if name == "active-tls.jpg" {
            // Curl does not begin TLS on data connections that it waits for; ftplib does.
            let mut client = Command::new(&python);
            client.arg(script("active_tls.py")).arg(photos.join(name)).arg(&keys).arg(port.to_string());
            run(&mut client);
            assert!(fs::read(served.join(name)).unwrap() == fs::read(photos.join(name)).unwrap());
            continue;
        }
        let mut curl = Command::new(&curl);
        curl.env("SSLKEYLOGFILE", &keys).args(["--max-time", "60", "-sS", "-k", "-u", "user:secret"]);
        curl.args(["--interface", "127.0.0.2", "-T"]);
        curl.arg(photos.join(name)).arg(format!("ftp://127.0.0.1:{port}/{name}"));
        if name.contains("active") {
            curl.args(["--ftp-port", "127.0.0.2"]);
        }
        if name.contains("tls") {
            curl.arg("--ssl-reqd");
        }
        run(&mut curl);
        assert!(
            fs::read(served.join(name)).unwrap() == fs::read(photos.join(name)).unwrap(),
            "{name} arrived"
        );
    }
    let capture = recording.stop();
    drop(alone);

    let all = findings(at, CLIENTS, &[&capture, &photos, Path::new("--keys"), &keys]);
    assert_eq!(sent(&all), names);
    let closed = findings(at, CLIENTS, &[&capture, &photos]);
    assert_eq!(sent(&closed), ["active.jpg", "hello.bin", "passive.jpg"]);
    let seen = inspection(at, &[&capture, Path::new("--keys"), &keys]);
    for name in names {
        let kept: Vec<_> =
            seen.messages.iter().filter(|message| message.kind == "STOR" && message.name == name).collect();
        let digest = exhibit::evidence::Digest::of(&fs::read(photos.join(name)).unwrap());
        let bodies = kept.iter().filter_map(|message| message.body.as_ref());
        assert!(bodies.into_iter().any(|body| body.sha256.as_ref() == Some(&digest)), "{name}: {kept:#?}");
    }
}
