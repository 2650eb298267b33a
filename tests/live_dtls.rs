//! DTLS: openssl's client sends a freshly made photo to openssl's server, whose handshake is cut into fragments; `find` must
//! say exactly what was sent, with the key log alone. And what TShark reads of DTLS in real captures.
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
    io::Write as _,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use exhibit::findings::{Findings, Grade, inspection::Inspection};

mod support;
use support::{
    captures, exhibit, peer,
    recording::{Recording, fresh_photo, writable_by_all},
    run,
    servers::{Running, certificate},
    text,
};

fn findings(at: &Path, arguments: &[&Path]) -> Findings {
    let printed = run(exhibit(at).args(["find", "--format", "json"]).args(arguments));
    serde_json::from_str(&printed).unwrap()
}

fn inspection(at: &Path, arguments: &[&Path]) -> Inspection {
    let printed = run(exhibit(at).args(["inspect", "--format", "json"]).args(arguments));
    serde_json::from_str(&printed).unwrap()
}

/// How much s_client is given at once: a datagram that every machine's socket buffers hold.
const AT_ONCE: usize = 4 << 10;

/// Waits, ten seconds at most, until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what} did not happen");
        thread::sleep(Duration::from_millis(50));
    }
}

/// How openssl sends a photo to itself.
struct Send<'a> {
    openssl: &'a Path,
    tcpdump: &'a Path,
    certificate: &'a Path,
    key: &'a Path,
    version: &'a str,
    cipher: &'a str,
}

impl Send<'_> {
    /// The recording of one time, and how much of the photo the server got; `None` where this user may not record.
    fn recorded(&self, at: &Path) -> Option<(PathBuf, u64)> {
        let Self { openssl, tcpdump, certificate, key, version, cipher } = *self;
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let recording = Recording::start(tcpdump, &at.join("live.pcap"), &format!("udp port {port}"))?;
        let address = format!("127.0.0.1:{port}");
        let common = [version, "-cipher", cipher, "-mtu", "300", "-quiet"];
        let got = at.join("got");
        let mut server = Command::new(openssl)
            .args(["s_server", "-accept", &address, "-listen", "-cert"])
            .arg(certificate)
            .arg("-key")
            .arg(key)
            .args(common)
            .stdin(Stdio::piped())
            .stdout(fs::File::create(&got).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It ends when nobody talks to it any more.
        let _keyboard = server.stdin.take();
        let _server = Running(server);
        until("listening", || {
            fs::read_to_string("/proc/net/udp").unwrap().contains(&format!("0100007F:{port:04X}"))
        });
        let keys = at.join("keys.log");
        let client = Command::new(openssl)
            .args(["s_client", "-connect", &address, "-servername", "dtls.example", "-keylogfile"])
            .arg(&keys)
            .args(common)
            .args(["-no_ign_eof", "-nocommands"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut client = Running(client);
        let photo = fs::read(at.join("DCIM/sent.jpg")).unwrap();
        let mut keyboard = client.0.stdin.take().unwrap();
        let received = || fs::metadata(&got).unwrap().len();
        let mut given = 0;
        for part in photo.chunks(AT_ONCE) {
            // It may have ended by itself: then the recording shows less.
            if keyboard.write_all(part).is_err() {
                break;
            }
            given += part.len() as u64;
            // Datagrams may get lost at the server, on a busy machine; then no waiting helps.
            let began = Instant::now();
            while received() < given && began.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(10));
            }
            if received() < given {
                break;
            }
        }
        drop(keyboard);
        until("the client's end", || client.0.try_wait().unwrap().is_some());
        Some((recording.stop(), received()))
    }
}

#[test]
fn openssl_sends_a_photo_over_dtls() {
    let (Some(openssl), Some(tcpdump)) = (peer("openssl"), peer("tcpdump")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    writable_by_all(at);
    let (certificate, key) = certificate(&openssl, at);
    let ways: [(&str, &str, &str, &str); 4] = [
        ("-dtls1_2", "ECDHE-RSA-AES128-GCM-SHA256", "DTLS 1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        (
            "-dtls1_2",
            "ECDHE-RSA-CHACHA20-POLY1305",
            "DTLS 1.2",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
        ("-dtls1_2", "ECDHE-RSA-AES256-SHA384", "DTLS 1.2", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
        ("-dtls1", "AES128-SHA:@SECLEVEL=0", "DTLS 1.0", "TLS_RSA_WITH_AES_128_CBC_SHA"),
    ];
    for (number, (version, cipher, named, suite)) in ways.into_iter().enumerate() {
        let at = at.join(number.to_string());
        fs::create_dir(&at).unwrap();
        writable_by_all(&at);
        fresh_photo(&at.join("DCIM/sent.jpg"), 40_001);
        fresh_photo(&at.join("DCIM/never.jpg"), 40_000);
        let send = Send {
            openssl: &openssl,
            tcpdump: &tcpdump,
            certificate: &certificate,
            key: &key,
            version,
            cipher,
        };
        let mut received = Vec::new();
        let capture = loop {
            let Some((capture, len)) = send.recorded(&at) else { return };
            if len == 40_001 {
                break capture;
            }
            received.push(len);
            assert!(received.len() < 10, "{named} {suite}: of 40,001 bytes the server got {received:?}");
        };
        let keys = at.join("keys.log");

        let all = findings(&at, &[&capture, &at.join("DCIM"), Path::new("--keys"), &keys]);
        let found: Vec<_> = all
            .findings
            .iter()
            .map(|finding| (finding.grade, finding.artifact.rsplit('/').next().unwrap()))
            .collect();
        assert_eq!(found, [(Grade::Exact, "sent.jpg")], "{named} {suite}");
        let ledger = all.ledger.all;
        assert_eq!((ledger.matched, ledger.lost, ledger.opaque), (40_001, 0, 0), "{named} {suite}");
        let closed = findings(&at, &[&capture, &at.join("DCIM")]);
        assert_eq!(closed.findings.len(), 0);
        assert!(closed.ledger.all.opaque > 40_001);

        let seen = inspection(&at, &[&capture, Path::new("--keys"), &keys]);
        let [connection] = seen.tls.as_slice() else { panic!("{:?}", seen.tls) };
        assert_eq!(connection.version.as_deref(), Some(named));
        assert_eq!(connection.cipher_suite.as_deref(), Some(suite));
        assert_eq!(connection.sni.as_deref(), Some("dtls.example"));
        // Only an ephemeral key exchange is signed.
        let signature = connection.server_signature.as_ref().map(|said| said.state.as_str());
        assert_eq!(signature, Some(if suite.contains("ECDHE") { "verified" } else { "absent" }));
        let certificate = connection.certificate.as_ref().unwrap();
        assert_eq!((certificate.subject.as_str(), connection.chain_length), ("CN=127.0.0.1", Some(1)));
        let ja4 = seen.tls_hellos[0].ja4.as_deref().unwrap();
        assert!(ja4.starts_with(if named == "DTLS 1.2" { "dd2d" } else { "dd1d" }), "{ja4}");
        assert_eq!(connection.directions.iter().map(|side| side.decrypted).collect::<Vec<_>>(), [40_001, 0]);
        // With a cookie there are two of the client's; the certificate is cut into fragments around the server's.
        assert_eq!(
            seen.tls_hellos.iter().map(|hello| hello.from.as_str()).collect::<Vec<_>>(),
            ["client", "client", "server"]
        );
        assert_eq!(seen.flows[0].names, ["dtls.example (sni)"]);
        assert_eq!(seen.anomalies, []);
        let closed = inspection(&at, &[&capture]);
        assert!(
            closed.tls[0].directions.iter().all(|side| side.decrypted == 0 && side.not_decrypted.is_some())
        );
    }
}

/// A hello's frame, whether it is the client's, and how many suites it names.
type Hello = (u32, bool, usize);

/// Hellos, and decrypted bytes by sender, as TShark reads a capture.
fn tshark(tshark: &Path, capture: &Path) -> (Vec<Hello>, BTreeMap<String, String>) {
    let fields = |filter: &str, names: &[&str]| {
        let mut command = Command::new(tshark);
        command.arg("-r").arg(capture).args(["-Y", filter, "-T", "fields", "-E", "occurrence=a"]);
        for name in names {
            command.args(["-e", name]);
        }
        let output = support::output(command.stderr(Stdio::null()));
        let rows = text(&output.stdout);
        rows.lines().map(|row| row.split('\t').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let hellos = fields(
        "dtls.handshake.type == 1 || dtls.handshake.type == 2",
        &["frame.number", "dtls.handshake.type", "dtls.handshake.ciphersuite"],
    );
    let hellos = hellos.into_iter().map(|row| {
        (row[0].parse().unwrap(), row[1].split(',').next() == Some("1"), row[2].split(',').count())
    });
    let mut data: BTreeMap<String, String> = BTreeMap::new();
    for row in fields("dtls && data", &["ip.src", "udp.srcport", "data.data"]) {
        data.entry(format!("{}:{}", row[0], row[1])).or_default().push_str(&row[2].replace([',', ':'], ""));
    }
    (hellos.collect(), data)
}

#[test]
fn real_captures_of_dtls_are_read_as_tshark_reads_them() {
    let (Some(folder), Some(peer)) = (captures(), peer("tshark")) else { return };
    let home = tempfile::tempdir().unwrap();
    let mut read = 0;
    for entry in fs::read_dir(folder.join("truth")).unwrap() {
        let truth: serde_json::Value =
            serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
        if truth["protocols"]["dtls"].as_u64().is_none() {
            continue;
        }
        let capture = folder.join(truth["file"].as_str().unwrap());
        let (hellos, data) = tshark(&peer, &capture);
        let seen = inspection(home.path(), &[&capture]);
        let ours: Vec<_> = seen
            .tls_hellos
            .iter()
            .map(|hello| (hello.frame.0, hello.from == "client", hello.ciphers.len()))
            .collect();
        assert_eq!(ours, hellos, "{}", capture.display());
        let mut plain = BTreeMap::new();
        for side in seen.flows.iter().flat_map(|flow| &flow.inner).flat_map(|inner| &inner.directions) {
            for island in &side.islands {
                plain.insert(side.from.clone(), island.sha256.to_string());
            }
        }
        let theirs: BTreeMap<_, _> = data
            .iter()
            .map(|(from, hex)| (from.clone(), exhibit::evidence::Digest::of(&bytes(hex)).to_string()))
            .collect();
        assert_eq!(plain, theirs, "{}", capture.display());
        read += hellos.len() + data.len();
    }
    assert!(read >= 5, "{read}");
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(&text(pair), 16).unwrap()).collect()
}
