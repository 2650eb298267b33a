//! Real Chromium uploads freshly made photos while real tcpdump records: a form over HTTP/2 under TLS, messages over
//! WebSocket in clear and under TLS. Each photo comes out byte for byte, with the browser's own key log.
#![allow(
    clippy::zombie_processes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use base64::Engine as _;
use exhibit::{
    evidence::Digest,
    findings::{Findings, Grade, inspection::Inspection},
};

mod support;
use support::{
    exhibit, output, peer,
    recording::{Recording, fresh_photo, writable_by_all},
    run,
    servers::{Running, certificate, free_port, start_nginx},
    skip, write,
};

/// Takes uploads by POST and messages by WebSocket, and says the length of each.
const SERVERS: &str = r#"
import asyncio, http.server, ssl, sys, threading
import websockets
post, plain, secure = map(int, sys.argv[1:4])
class Upload(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers()
        self.wfile.write(b'ok')
        print('post', len(body), flush=True)
    def log_message(self, *_): pass
threading.Thread(target=http.server.ThreadingHTTPServer(('127.0.0.1', post), Upload).serve_forever, daemon=True).start()
async def take(connection):
    async for message in connection:
        print('message', len(message), flush=True)
        await connection.send('ok')
async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4], sys.argv[5])
    async with websockets.serve(take, '127.0.0.1', plain, max_size=None), \
            websockets.serve(take, '127.0.0.1', secure, ssl=context, max_size=None):
        print('ready', flush=True)
        await asyncio.Future()
asyncio.run(main())
"#;

/// The page that does it: its photos stand in it, and it is no part of the traffic.
fn page(photos: &Path, https: u16, plain: u16, secure: u16) -> String {
    let data =
        |name: &str| base64::engine::general_purpose::STANDARD.encode(fs::read(photos.join(name)).unwrap());
    format!(
        "<script>\n\
         const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));\n\
         const form = new FormData();\n\
         form.append('note', 'hello');\n\
         form.append('photo', new Blob([bytes('{}')], {{type: 'image/jpeg'}}), 'form.jpg');\n\
         fetch('https://127.0.0.1:{https}/upload', {{method: 'POST', mode: 'no-cors', body: form}});\n\
         const send = (url, message) => {{ const socket = new WebSocket(url); socket.onopen = () => socket.send(message); }};\n\
         send('ws://127.0.0.1:{plain}/', bytes('{}'));\n\
         send('wss://127.0.0.1:{secure}/', JSON.stringify({{photo: '{}'}}));\n\
         </script>",
        data("form.jpg"),
        data("plain.jpg"),
        data("secure.jpg")
    )
}

#[test]
fn chromium_sends_a_form_and_messages() {
    let (Some(nginx), Some(tcpdump), Some(chromium)) = (peer("nginx"), peer("tcpdump"), peer("chromium"))
    else {
        return;
    };
    let (Some(python), Some(openssl)) = (peer("python3"), peer("openssl")) else { return };
    if !output(Command::new(&python).args(["-c", "import websockets"])).status.success() {
        return skip("the python package websockets is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    writable_by_all(at);
    let photos = at.join("DCIM");
    for (name, len) in
        [("form.jpg", 300_017), ("plain.jpg", 200_003), ("secure.jpg", 150_001), ("never.jpg", 100_000)]
    {
        fresh_photo(&photos.join(name), len);
    }
    let (certificate, key) = certificate(&openssl, at);
    let [https, behind, plain, secure] = [(); 4].map(|()| free_port());
    let server = format!(
        "server {{ listen 127.0.0.1:{https} ssl http2; ssl_certificate {}; ssl_certificate_key {};\n\
           location / {{ proxy_pass http://127.0.0.1:{behind}; }} }}\n",
        certificate.display(),
        key.display()
    );
    let _nginx = start_nginx(&nginx, &at.join("nginx"), &server, https);
    write(&at.join("servers.py"), SERVERS);
    let mut servers = Running(
        Command::new(&python)
            .arg(at.join("servers.py"))
            .args([behind, plain, secure].map(|port| port.to_string()))
            .args([&certificate, &key])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let (tell, told) = mpsc::channel();
    let lines = BufReader::new(servers.0.stdout.take().unwrap()).lines();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let wait = || told.recv_timeout(Duration::from_secs(60)).expect("nothing came in a minute");
    assert_eq!(wait(), "ready");
    let filter = [https, plain, secure].map(|port| format!("tcp port {port}")).join(" or ");
    let Some(recording) = Recording::start(&tcpdump, &at.join("live.pcap"), &filter) else { return };
    write(&at.join("page.html"), page(&photos, https, plain, secure));
    let keys = at.join("keys.log");
    let mut browser = Running(
        Command::new(&chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--ignore-certificate-errors", "--disable-dev-shm-usage", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", at.join("profile").display()))
            .arg(format!("--ssl-key-log-file={}", keys.display()))
            .arg(format!("file://{}", at.join("page.html").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let came: BTreeSet<String> = (0..3).map(|_| wait().split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(came.into_iter().collect::<Vec<_>>(), ["message", "post"]);
    // Its last words, and its key log, are written when it ends.
    run(Command::new("kill").args(["-TERM", &browser.0.id().to_string()]));
    browser.0.wait().unwrap();
    let capture = recording.stop();

    let with_keys = [capture.as_path(), Path::new("--keys"), &keys];
    let printed = run(exhibit(at).args(["find", "--format", "json"]).args(with_keys).arg(&photos));
    let all: Findings = serde_json::from_str(&printed).unwrap();
    let mut names: Vec<&str> = Vec::new();
    for finding in &all.findings {
        assert_eq!((finding.grade, finding.probative), (Grade::Exact, true), "{finding:#?}");
        assert_eq!(finding.caveats, [""; 0], "{finding:#?}");
        names.push(finding.artifact.rsplit('/').next().unwrap());
    }
    names.sort_unstable();
    assert_eq!(names, ["form.jpg", "plain.jpg", "secure.jpg"]);
    assert_eq!(all.ledger.all.lost, 0);

    let printed = run(exhibit(at).args(["inspect", "--format", "json"]).args(with_keys));
    let seen: Inspection = serde_json::from_str(&printed).unwrap();
    let digest = |name: &str| Digest::of(&fs::read(photos.join(name)).unwrap());
    let form = seen.transactions.iter().find(|transaction| transaction.protocol == "http2").unwrap();
    let parts = &form.body.as_ref().unwrap().multipart;
    assert!(parts.iter().any(|part| part.sha256 == digest("form.jpg")), "{parts:?}");
    let messages: Vec<_> = seen
        .messages
        .iter()
        .filter(|message| message.from == "initiator" && matches!(message.kind.as_str(), "text" | "binary"))
        .collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    for message in messages {
        let body = message.body.as_ref().unwrap();
        assert!(body.complete, "{message:?}");
        if message.kind == "binary" {
            let content = body.decoded_sha256.or(body.sha256);
            assert_eq!(content, Some(digest("plain.jpg")), "{message:?}");
        }
    }
    assert_eq!(seen.anomalies, []);
}
