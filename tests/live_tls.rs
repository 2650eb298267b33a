//! Real curl uploads freshly made photos to real nginx over HTTP/2: under TLS 1.2, under TLS 1.3, in clear, and after an
//! Upgrade. `find` must say exactly what was sent, with the key log alone, and nothing of the photo that never was.
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
    path::Path,
    process::{Command, Stdio},
};

use exhibit::findings::{Findings, Grade, inspection::Inspection};

mod support;
use support::{
    exhibit, output, peer,
    recording::{Recording, fresh_photo, writable_by_all},
    run,
    servers::{Running, certificate, free_port, start_nginx},
    skip, write,
};

fn findings(at: &Path, arguments: &[&Path]) -> Findings {
    let printed = run(exhibit(at).args(["find", "--format", "json"]).args(arguments));
    serde_json::from_str(&printed).unwrap()
}

fn inspection(at: &Path, arguments: &[&Path]) -> Inspection {
    let printed = run(exhibit(at).args(["inspect", "--format", "json"]).args(arguments));
    serde_json::from_str(&printed).unwrap()
}

/// Photos that were found whole, by name; every other finding fails.
fn sent(findings: &Findings) -> Vec<String> {
    let name = |artifact: &str| artifact.rsplit('/').next().unwrap().to_owned();
    let mut names = Vec::new();
    for finding in &findings.findings {
        assert_eq!((finding.grade, finding.probative), (Grade::Exact, true), "{finding:#?}");
        assert_eq!(finding.caveats, [""; 0], "{finding:#?}");
        names.push(name(&finding.artifact));
    }
    names.sort();
    names
}

#[test]
fn curl_over_http_2_under_tls_and_in_clear() {
    let (Some(nginx), Some(tcpdump), Some(curl)) = (peer("nginx"), peer("tcpdump"), peer("curl")) else {
        return;
    };
    let Some(openssl) = peer("openssl") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    writable_by_all(at);
    let photos = at.join("DCIM");
    let ways = ["tls12", "tls13", "clear"];
    for (name, len) in [("form", 300_017), ("put", 700_003)] {
        for way in ways {
            fresh_photo(&photos.join(format!("{way}-{name}.jpg")), len);
        }
    }
    fresh_photo(&photos.join("never.jpg"), 300_000);
    let (certificate, key) = certificate(&openssl, at);
    let ports = [free_port(), free_port(), free_port()];
    let behind = free_port();
    let tls = format!("ssl_certificate {}; ssl_certificate_key {}", certificate.display(), key.display());
    let www = at.join("nginx/www");
    let server = |listen: &str| {
        format!(
            "server {{ listen 127.0.0.1:{listen}; root {};\n\
               location /put/ {{ dav_methods PUT; create_full_put_path on; }}\n\
               location / {{ proxy_pass http://127.0.0.1:{behind}; }} }}\n",
            www.display()
        )
    };
    // The form goes on to a server that is not recorded, when all of it is there.
    let servers = [
        server(&format!("{} ssl http2; ssl_protocols TLSv1.2; {tls}", ports[0])),
        server(&format!("{} ssl http2; ssl_protocols TLSv1.3; {tls}", ports[1])),
        server(&format!("{} http2", ports[2])),
        format!("server {{ listen 127.0.0.1:{behind}; location / {{ return 200 \"ok\"; }} }}"),
    ];
    let _server = start_nginx(&nginx, &at.join("nginx"), &servers.concat(), behind);
    let filter = ports.map(|port| format!("tcp port {port}")).join(" or ");
    let Some(recording) = Recording::start(&tcpdump, &at.join("live.pcap"), &filter) else { return };
    let keys = at.join("keys.log");
    for (way, port) in ways.iter().zip(ports) {
        let base = format!("http{}://127.0.0.1:{port}", if *way == "clear" { "" } else { "s" });
        let version = if *way == "clear" { "--http2-prior-knowledge" } else { "--http2" };
        let photo = |name: &str| photos.join(format!("{way}-{name}.jpg")).display().to_string();
        let curl = |arguments: &[&str]| {
            let always = ["--max-time", "60", "-sS", "-f", "-k", version, "-o", "/dev/null"];
            run(Command::new(&curl).env("SSLKEYLOGFILE", &keys).args(always).args(arguments));
        };
        let form = format!("photo=@{};type=image/jpeg", photo("form"));
        curl(&["-F", "note=hello", "-F", &form, &format!("{base}/upload")]);
        curl(&["-T", &photo("put"), &format!("{base}/put/{way}.jpg")]);
        assert_eq!(
            fs::read(www.join(format!("put/{way}.jpg"))).unwrap(),
            fs::read(photos.join(format!("{way}-put.jpg"))).unwrap(),
            "nginx has the file"
        );
    }
    let capture = recording.stop();

    let with_keys = [&capture, &photos, Path::new("--keys"), &keys];
    let all = findings(at, &with_keys);
    let whole = ["clear-form", "clear-put", "tls12-form", "tls12-put", "tls13-form", "tls13-put"];
    assert_eq!(sent(&all), whole.map(|name| format!("{name}.jpg")));
    let ledger = all.ledger.all;
    assert_eq!((ledger.matched, ledger.lost), (3 * (300_017 + 700_003), 0));
    let sum = ledger.matched + ledger.understood + ledger.undetermined + ledger.opaque + ledger.lost;
    assert_eq!(sum, ledger.total);
    // Without keys only what went in clear is seen, and the rest is opaque.
    let closed = findings(at, &[&capture, &photos]);
    assert_eq!(sent(&closed), ["clear-form.jpg", "clear-put.jpg"]);
    assert!(closed.ledger.all.opaque > 2 * (300_017 + 700_003));

    let seen = inspection(at, &[&capture, Path::new("--keys"), &keys]);
    let versions: Vec<_> = seen.tls.iter().map(|tls| tls.version.as_deref().unwrap()).collect();
    assert_eq!(versions, ["TLS 1.2", "TLS 1.2", "TLS 1.3", "TLS 1.3"]);
    assert_eq!(seen.transactions.len(), 6);
    for transaction in &seen.transactions {
        let status = transaction.response.as_ref().map(|response| response.status);
        assert_eq!((transaction.protocol.as_str(), status.is_some()), ("http2", true));
        assert!(transaction.body.as_ref().is_some_and(|body| body.complete), "{transaction:?}");
    }
    assert_eq!(seen.anomalies, []);
}

/// Takes an Upgrade to h2c with the body of its request (RFC 7540 section 3.2), and answers every stream.
const H2C: &str = r#"
import socket, sys
import h2.connection, h2.config, h2.events
server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('ready', flush=True)
while True:
    client, _ = server.accept()
    data = b''
    while b'\r\n\r\n' not in data:
        data += client.recv(65536)
    head, body = data.split(b'\r\n\r\n', 1)
    fields = dict(line.split(b': ', 1) for line in head.split(b'\r\n')[1:])
    fields = {name.lower(): value for name, value in fields.items()}
    if b'expect' in fields:
        client.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
    while len(body) < int(fields.get(b'content-length', 0)):
        body += client.recv(65536)
    assert fields[b'upgrade'] == b'h2c', fields
    client.sendall(b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
    connection = h2.connection.H2Connection(config=h2.config.H2Configuration(client_side=False))
    connection.initiate_upgrade_connection(fields[b'http2-settings'])
    def answer(stream, text):
        connection.send_headers(stream, [(':status', '200'), ('content-length', str(len(text)))])
        connection.send_data(stream, text, end_stream=True)
    answer(1, b'%d bytes' % len(body))
    client.sendall(connection.data_to_send())
    got = {}
    while data := client.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                got[event.stream_id] = got.get(event.stream_id, 0) + len(event.data)
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                answer(event.stream_id, b'%d bytes' % got.get(event.stream_id, 0))
        client.sendall(connection.data_to_send())
    client.close()
"#;

#[test]
fn curl_upgrades_to_h2c_and_goes_on() {
    let (Some(python), Some(tcpdump), Some(curl)) = (peer("python3"), peer("tcpdump"), peer("curl")) else {
        return;
    };
    if !output(Command::new(&python).args(["-c", "import h2"])).status.success() {
        return skip("the python package h2 is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    writable_by_all(at);
    let photos = at.join("DCIM");
    for (name, len) in [("asking.jpg", 200_017), ("after.jpg", 300_003), ("never.jpg", 300_000)] {
        fresh_photo(&photos.join(name), len);
    }
    let port = free_port();
    write(&at.join("h2c.py"), H2C);
    let mut server = Command::new(&python)
        .arg(at.join("h2c.py"))
        .arg(port.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _server = Running(server);
    assert_eq!(line, "ready\n");
    let Some(recording) = Recording::start(&tcpdump, &at.join("live.pcap"), &format!("tcp port {port}"))
    else {
        return;
    };
    let base = format!("http://127.0.0.1:{port}");
    let photo = |name: &str| format!("@{}", photos.join(name).display());
    let said = run(Command::new(&curl)
        .args(["--max-time", "60", "-sS", "-f", "--http2", "-H", "Content-Type: image/jpeg"])
        .args(["--data-binary", &photo("asking.jpg"), &format!("{base}/first")])
        .args(["--next", "-sS", "-f", "--http2", "-H", "Content-Type: image/jpeg"])
        .args(["--data-binary", &photo("after.jpg"), &format!("{base}/second")]));
    assert_eq!(said, "200017 bytes300003 bytes");
    let capture = recording.stop();
    let all = findings(at, &[&capture, &photos]);
    assert_eq!(sent(&all), ["after.jpg", "asking.jpg"]);
    assert_eq!((all.ledger.all.matched, all.ledger.all.lost), (200_017 + 300_003, 0));
    let seen = inspection(at, &[&capture]);
    let told: Vec<_> = seen
        .transactions
        .iter()
        .map(|t| (t.protocol.as_str(), t.stream, t.response.as_ref().unwrap().status))
        .collect();
    assert_eq!(told, [("http1", Some(1), 200), ("http2", Some(3), 200)]);
    assert_eq!(seen.anomalies, []);
}
