//! What tshark cuts out of real captures is found where it was sent, and in no other capture: pictures in MQTT, parts of
//! mails and forms, bodies whose declared gzip is not there.
#![allow(
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use base64::Engine as _;
use exhibit::{
    evidence::{ByteRange, Digest},
    findings::{Findings, Grade},
};
use serde_json::Value;

mod support;
use support::{captures, exhibit, output, peer, run, text, write};

/// tshark with its one dangerous default mended.
fn tshark(tshark: &Path, capture: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(tshark);
    run(command.args(["-o", "tcp.reassemble_out_of_order:TRUE", "-r"]).arg(capture).args(arguments))
}

/// What tshark exports: bodies of HTTP (`http`), mails (`imf`), files of TFTP (`tftp`).
fn objects(program: &Path, capture: &Path, kind: &str) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    tshark(program, capture, &["-q", "--export-objects", &format!("{kind},{}", folder.path().display())]);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks_exact(2).map(byte).collect()
}

/// Payloads that were published, as tshark has them.
fn published(program: &Path, capture: &Path) -> Vec<Vec<u8>> {
    let lines =
        tshark(program, capture, &["-Y", "mqtt.msg", "-T", "fields", "-E", "aggregator=;", "-e", "mqtt.msg"]);
    lines.lines().flat_map(|line| line.split(';')).map(unhex).collect()
}

/// Every value of that name, anywhere in a document.
fn all<'v>(json: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    match json {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            if key == name {
                found.push(value);
            }
            all(value, name, found);
        }),
        Value::Array(list) => list.iter().for_each(|value| all(value, name, found)),
        _ => {}
    }
}

/// What the parts of forms hold.
fn parts(program: &Path, capture: &Path) -> Vec<Vec<u8>> {
    raw_parts(program, capture).iter().filter_map(|part| content(part)).collect()
}

/// What the parts of mails hold. tshark leaves the dot that SMTP puts before a dot at the start of a line (RFC 5321
/// section 4.5.2).
fn mail_parts(program: &Path, capture: &Path) -> Vec<Vec<u8>> {
    let unstuffed = |part: &Vec<u8>| {
        let text = part.iter().map(|byte| char::from(*byte)).collect::<String>().replace("\r\n..", "\r\n.");
        text.chars().map(|char| char as u8).collect::<Vec<u8>>()
    };
    raw_parts(program, capture).iter().map(unstuffed).filter_map(|part| content(&part)).collect()
}

/// Parts of multipart messages with their heads.
fn raw_parts(program: &Path, capture: &Path) -> Vec<Vec<u8>> {
    let shown = tshark(program, capture, &["-Y", "mime_multipart", "--no-duplicate-keys", "-T", "jsonraw"]);
    if shown.trim().is_empty() {
        return Vec::new();
    }
    let json: Value = serde_json::from_str(&shown).unwrap();
    let mut fields = Vec::new();
    all(&json, "mime_multipart.part_raw", &mut fields);
    // One part is `[hex, place, length, …]`; several are a list of them.
    let several = |field: &'_ Value| match &field[0] {
        Value::String(_) => vec![field[0].clone()],
        _ => field.as_array().unwrap().iter().map(|one| one[0].clone()).collect(),
    };
    fields.into_iter().flat_map(several).map(|part| unhex(part.as_str().unwrap())).collect()
}

/// The content of a part, without its head and what its transfer encoding adds; none where the rest of it did not come.
fn content(part: &[u8]) -> Option<Vec<u8>> {
    let end = part.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (String::from_utf8_lossy(&part[..end]).to_ascii_lowercase(), &part[end + 4..]);
    let encoding = head.lines().find_map(|line| line.strip_prefix("content-transfer-encoding:"));
    match encoding.map(str::trim) {
        Some("base64") => {
            let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            Some(base64::engine::general_purpose::STANDARD.decode(text).unwrap())
        }
        Some("quoted-printable") => Some(unquoted(body)),
        _ => Some(body.to_vec()),
    }
}

/// RFC 2045 section 6.7: white space at the end of a line is none of it, and `=` there takes the line's end away.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut lines = str::from_utf8(text).unwrap().split("\r\n").peekable();
    while let Some(line) = lines.next() {
        let line = line.trim_end_matches([' ', '\t']);
        let (line, end) = line.strip_suffix('=').map_or((line, "\r\n"), |line| (line, ""));
        let mut pieces = line.split('=');
        bytes.extend(pieces.next().unwrap_or_default().bytes());
        for piece in pieces {
            match piece.split_at_checked(2) {
                Some((digits, rest)) => bytes.extend([unhex(digits), rest.as_bytes().to_vec()].concat()),
                None => bytes.extend([b"=", piece.as_bytes()].concat()),
            }
        }
        bytes.extend(lines.peek().map_or("", |_| end).bytes());
    }
    bytes
}

/// Bodies that tshark could not decode as their heads declare, as they stood on the wire.
fn undecoded(program: &Path, capture: &Path) -> Vec<Vec<u8>> {
    let lines = tshark(program, capture, &["-Y", "http && data.data", "-T", "fields", "-e", "data.data"]);
    lines.lines().flat_map(|line| line.split(',')).map(unhex).collect()
}

/// Bodies without the codings that their heads declare.
fn decoded(program: &Path, capture: &Path) -> Vec<Vec<u8>> {
    objects(program, capture, "http")
}

type Cut = fn(&Path, &Path) -> Vec<Vec<u8>>;

/// Captures, how they are cut, and the bytes of each piece that went up; what else is cut out came down.
const SENT: [(&str, Cut, &[usize]); 10] = [
    ("suricata__mqtt5_pub_jpeg.pcap", published, &[35_758]),
    ("csanders__mail_sender_attachment.pcapng", mail_parts, &[298, 55_180]),
    ("suricata__smtp-rfc2231.pcap", mail_parts, &[20, 51_675]),
    ("arkime__smtp-zip.pcap", mail_parts, &[12, 310]),
    // tshark counts the lines of retransmitted segments twice, which spoils the attachment that it shows.
    ("zeek__smtp.pcap", mail_parts, &[77, 1_866, 2_328]),
    ("suricata__http-multipart-post.pcap", parts, &[24, 25]),
    ("zeek__multipart-form-data.pcap", parts, &[584]),
    ("arkime__http-post-upload.pcap", parts, &[6]),
    // Both say `Content-Encoding: gzip`; in the first there is none.
    ("suricata__http-encoding-gzip-uncompressed.pcap", undecoded, &[106]),
    ("suricata__http-post-data-decompression.pcap", decoded, &[25]),
];

#[test]
fn what_tshark_cuts_out_is_found_where_it_was_sent() {
    let (Some(folder), Some(program)) = (captures(), peer("tshark")) else { return };
    for (name, cut, sent) in SENT {
        let home = tempfile::tempdir().unwrap();
        let capture = folder.join(name);
        let pieces: BTreeMap<String, Vec<u8>> = cut(&program, &capture)
            .into_iter()
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| (Digest::of(&bytes).to_string(), bytes))
            .collect();
        let device = home.path().join("device");
        pieces.iter().for_each(|(digest, bytes)| write(&device.join(digest), bytes));
        let findings = find_files(home.path(), &capture, &device);
        let is_found = |digest: &str, bytes: &[u8]| {
            findings.findings.iter().any(|finding| {
                finding.artifact.ends_with(digest)
                    && finding.grade == Grade::Exact
                    && finding.artifact_ranges == [ByteRange::new(0, bytes.len() as u64)]
            })
        };
        let mut found: Vec<usize> = pieces
            .iter()
            .filter(|(digest, bytes)| is_found(digest, bytes))
            .map(|(_, bytes)| bytes.len())
            .collect();
        found.sort_unstable();
        let sizes: Vec<usize> = pieces.values().map(Vec::len).collect();
        assert_eq!(found, sent, "{name}: of pieces of {sizes:?} bytes: {:#?}", findings.findings);
    }
}

fn truths(folder: &Path) -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = fs::read_dir(folder.join("truth"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        })
        .collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all
}

/// `find`; where several addresses could be the phone's, the first that it names is taken.
fn find_files(home: &Path, capture: &Path, files: &Path) -> Findings {
    let find = |more: &[&str]| {
        output(exhibit(home).args(["find", "--format", "json"]).args(more).arg(capture).arg(files))
    };
    let mut result = find(&[]);
    if result.status.code() == Some(2) {
        let words = text(&result.stderr);
        let (_, after) =
            words.split_once("the phone's: ").unwrap_or_else(|| panic!("{}: {words}", capture.display()));
        result = find(&["--phone", after.split([' ', ',']).next().unwrap()]);
    }
    assert_eq!(result.status.code(), Some(0), "{}: {}", capture.display(), text(&result.stderr));
    serde_json::from_slice(&result.stdout).unwrap()
}

/// Pieces below this are too short to be told from boilerplate by anyone.
const MIN_PIECE: usize = 256;
/// Bytes that are looked for by themselves.
const WINDOW: usize = 48;

/// Everything that tshark cuts out of a capture, whichever way it went.
fn pieces(program: &Path, capture: &Path, truth: &Value) -> Vec<Vec<u8>> {
    let has = |name: &str| truth[name].as_array().is_some_and(|list| !list.is_empty());
    let mut all = Vec::new();
    for kind in ["http", "imf", "tftp"] {
        if has(&format!("export_objects_{kind}")) {
            all.extend(objects(program, capture, kind));
        }
    }
    if has("export_objects_http") {
        all.extend(undecoded(program, capture));
        all.extend(parts(program, capture));
    }
    if has("smtp_commands") {
        all.extend(mail_parts(program, capture));
    }
    if has("mqtt") {
        all.extend(published(program, capture));
    }
    all
}

/// Payloads of a capture as tshark puts them in order, stream by stream and direction by direction.
fn payloads(program: &Path, capture: &Path) -> Vec<Vec<u8>> {
    let fields = [
        "tcp.stream",
        "udp.stream",
        "ip.src",
        "ipv6.src",
        "tcp.srcport",
        "udp.srcport",
        "tcp.payload",
        "udp.payload",
    ];
    let mut arguments = vec!["-Y", "tcp.payload or udp.payload", "-T", "fields", "-E", "occurrence=l"];
    fields.iter().for_each(|field| arguments.extend(["-e", field]));
    let lines = tshark(program, capture, &arguments);
    let mut streams: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for line in lines.lines() {
        let values: Vec<&str> = line.split('\t').collect();
        streams.entry(values[..6].join(" ")).or_default().extend(unhex(&values[6..].concat()));
    }
    streams.into_values().collect()
}

/// Whether the capture holds these bytes of a piece, as far as a search for windows of them shows.
fn holds(haystack: &[Vec<u8>], piece: &[u8], ranges: &[ByteRange]) -> bool {
    let is_there = |window: &[u8]| haystack.iter().any(|bytes| memmem(bytes, window));
    ranges.iter().all(|range| {
        let bytes = &piece[range.start as usize..range.end as usize];
        let window = WINDOW.min(bytes.len());
        let last = bytes.len() - window;
        [0, last / 2, last].iter().any(|at| is_there(&bytes[*at..at + window]))
    })
}

fn memmem(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_tshark_cuts_out_of_one_capture_is_not_found_in_another() {
    let (Some(folder), Some(program)) = (captures(), peer("tshark")) else { return };
    let truths = truths(&folder);
    let home = tempfile::tempdir().unwrap();
    let device = home.path().join("device");
    // Each piece once, with every capture that it was cut out of.
    let mut cut: BTreeMap<String, (Vec<u8>, BTreeSet<&str>)> = BTreeMap::new();
    for (name, truth) in &truths {
        for piece in pieces(&program, &folder.join(name), truth) {
            if piece.len() >= MIN_PIECE {
                let digest = Digest::of(&piece).to_string();
                write(&device.join(&digest), &piece);
                cut.entry(digest).or_insert_with(|| (piece, BTreeSet::new())).1.insert(name);
            }
        }
    }
    let sources: BTreeSet<&str> = cut.values().flat_map(|(_, names)| names).copied().collect();
    println!("{} pieces of {} captures", cut.len(), sources.len());
    assert!(cut.len() >= 200 && sources.len() >= 40, "{sources:?}");
    let work = |captures: &[(String, Value)]| -> [usize; 3] {
        let (mut there, mut weak, mut really) = (0, 0, 0);
        for (name, _) in captures {
            let capture = folder.join(name);
            let findings = find_files(home.path(), &capture, &device);
            let mut haystack = None;
            for finding in &findings.findings {
                let (piece, names) = &cut[finding.artifact.rsplit('/').next().unwrap()];
                if names.contains(name.as_str()) {
                    there += usize::from(finding.grade == Grade::Exact);
                } else if finding.probative {
                    // Then the bytes must be there for whoever looks.
                    let haystack = haystack.get_or_insert_with(|| payloads(&program, &capture));
                    assert!(
                        holds(haystack, piece, &finding.artifact_ranges),
                        "{name} does not hold this of {names:?}: {finding:#?}"
                    );
                    really += 1;
                } else {
                    weak += 1;
                }
            }
        }
        [there, weak, really]
    };
    let (first, second) = truths.split_at(truths.len() / 2);
    let [there, weak, really] = thread::scope(|scope| {
        let other = scope.spawn(|| work(second));
        let mut sums = work(first);
        sums.iter_mut().zip(other.join().unwrap()).for_each(|(sum, more)| *sum += more);
        sums
    });
    println!(
        "found whole {there} times where they are, {really} times elsewhere and rightly; {weak} weak resemblances"
    );
    assert!(there >= 35, "the pieces are found where they are");
    // A capture that was cut from one conversation of another.
    assert!((1..=4).contains(&really), "{really} pieces in captures that tshark did not cut them out of");
}
