//! `exhibit inspect` in its two machine-readable forms: the same facts, one flow after the other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use exhibit::findings::inspection::{Inspection, Line};

mod support;

use support::{Home, ends, packets, write};

const PHONE: [u8; 4] = [192, 168, 1, 2];
const RESOLVER: [u8; 4] = [192, 168, 1, 1];

/// A connection, many DNS answers (the last name the connections' servers), another connection, and frames of the
/// first one again.
fn capture() -> Vec<u8> {
    let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    let first = packets::connection((PHONE, 40_000), ([203, 0, 113, 9], 80), &request("one.example"), answer);
    let second =
        packets::connection((PHONE, 40_001), ([203, 0, 113, 10], 80), &request("two.example"), answer);
    let (early, late) = first.split_at(4);
    let mut frames = early.to_vec();
    // Enough that a list does not fit in what is held in memory.
    for n in 0..4_000_u32 {
        let label = format!("name-{n}-with-some-more-letters-to-make-it-longer");
        let [.., high, low] = n.to_be_bytes();
        let address = [198, 51, high, low];
        frames.push(packets::dns_answer((PHONE, 5_353), RESOLVER, &[label.as_bytes(), b"example"], address));
    }
    for (name, last) in [(b"older", 9), (b"newer", 10)] {
        frames.push(packets::dns_answer((PHONE, 5_000), RESOLVER, &[name, b"example"], [203, 0, 113, last]));
    }
    packets::pcap(&[frames, second, late.to_vec()].concat())
}

#[test]
fn lines_and_document_say_the_same_by_first_frame() {
    let home = Home::new();
    write(&home.path("c.pcap"), capture());
    let document = ends(0, &mut home.exhibit(&["inspect", "c.pcap", "--format", "json"])).out;
    let document: Inspection = serde_json::from_str(&document).unwrap();
    let lines = ends(0, &mut home.exhibit(&["inspect", "c.pcap", "--format", "jsonl"])).out;
    let lines: Vec<Line> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    let frames: Vec<u32> = document.flows.iter().map(|flow| flow.first_frame.0).collect();
    assert_eq!(frames, [1, 5, 4_005, 4_007]);
    // A connection is named by an answer that came after it too.
    let names: Vec<&[String]> = document.flows.iter().map(|flow| &flow.names[..]).collect();
    assert_eq!(names[0], ["older.example (dns)", "one.example (http host)"]);
    assert_eq!(names[3], ["newer.example (dns)", "two.example (http host)"]);
    assert_eq!((document.dns.len(), document.transactions.len()), (4_002, 2));

    assert!(matches!(&lines[0], Line::Head(head) if head.sha256 == document.sha256 && head.packets == 4_018));
    assert!(matches!(lines.last(), Some(Line::End(end)) if end.anomaly_count == document.anomaly_count));
    let mut seen = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        match line {
            Line::Flow(flow) => seen.0.push(flow),
            Line::Transaction(transaction) => {
                assert_eq!(seen.0.last().unwrap().name, transaction.flow, "beside its flow");
                seen.1.push(transaction);
            }
            Line::Dns(message) => seen.2.push(message),
            _ => {}
        }
    }
    assert_eq!(seen, (document.flows, document.transactions, document.dns));
}

/// PCAPdroid's trailer: its magic number, user number, app name, and the frame check sequence.
fn trailer(frame: &[u8], uid: i32, app: &str) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.resize(frame.len().next_multiple_of(4), 0);
    frame.extend([1, 7, 0x20, 0x21]);
    frame.extend(uid.to_be_bytes());
    let mut name = app.as_bytes().to_vec();
    name.resize(20, 0);
    frame.extend(name);
    frame.extend(crc32fast::hash(&frame).to_le_bytes());
    frame
}

#[test]
fn a_flow_belongs_to_the_app_that_pcapdroid_names() {
    let home = Home::new();
    let server = ([203, 0, 113, 9], 80);
    let request = b"POST / HTTP/1.1\r\nHost: h.example\r\nContent-Length: 1400\r\n\r\n";
    let body = [b'x'; 1_400];
    let first = packets::connection((PHONE, 40_000), server, &[&request[..], &body].concat(), b"");
    let second = packets::connection((PHONE, 40_001), server, b"x", b"");
    // Bytes like a trailer that someone sends, at the end of a packet.
    let forged = trailer(b"", 10_666, "Forged");
    let third = packets::connection((PHONE, 40_002), server, &forged, b"");
    let with = |frames: &[Vec<u8>], uids: &[i32]| -> Vec<Vec<u8>> {
        let uids = uids.iter().chain(uids.last()).cycle();
        frames.iter().zip(uids).map(|(frame, &uid)| trailer(frame, uid, "Gallery")).collect()
    };
    let frames = [with(&first, &[-1, 10_123]), with(&second, &[1_000]), third].concat();
    write(&home.path("c.pcap"), packets::pcap(&frames));
    let document = ends(0, &mut home.exhibit(&["inspect", "c.pcap", "--format", "json"])).out;
    let document: Inspection = serde_json::from_str(&document).unwrap();
    assert_eq!(document.container.vantage.as_deref(), Some("vpn_app"));
    let apps: Vec<Option<i32>> =
        document.flows.iter().map(|flow| flow.app.as_ref().map(|app| app.uid)).collect();
    assert_eq!(apps, [Some(10_123), Some(1_000), None]);
    assert_eq!(document.flows[0].app.as_ref().unwrap().name, "Gallery");
    // The trailer is none of the stream's bytes.
    let body = document.transactions[0].body.as_ref().unwrap();
    assert_eq!((body.len, document.flows[1].directions[0].bytes_present), (1_400, 1));
    assert_eq!(document.anomalies, []);
    let text = ends(0, &mut home.exhibit(&["inspect", "c.pcap"])).out;
    assert!(text.contains("captured at vpn_app") && text.contains("app Gallery (uid 10123)"), "{text}");
}

#[test]
fn the_table_stands_in_columns_and_one_flow_can_be_followed() {
    let home = Home::new();
    let server = ([203, 0, 113, 9], 80);
    let request = b"POST /up?a=b HTTP/1.1\r\nHost: cdn.example\r\nContent-Length: 5\r\n\r\nphoto";
    let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";
    let first = packets::connection((PHONE, 40_000), server, request, answer);
    let second = packets::connection((PHONE, 40_001), ([198, 51, 100, 7], 5_222), b"\x01\x02\x03", b"");
    write(&home.path("c.pcap"), packets::pcap(&[first, second].concat()));
    let text = ends(0, &mut home.exhibit(&["inspect", "c.pcap"])).out;
    let line =
        |begins: &str| text.lines().find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("{text}"));
    // Every row's first column ends where its title does, and the flow's facts stand under their titles.
    let title = line("frame  time");
    let row = line("    1  14:13:20.000");
    for (name, value) in [
        ("from", ":40000"),
        ("to", "203.0.113.9:80"),
        ("name", "cdn.example"),
        ("notes", "1 upload of 5 bytes"),
    ] {
        let at = title.find(name).unwrap_or_else(|| panic!("{name}\n{text}"));
        assert!(row[at..].starts_with(value), "{name}\n{text}");
    }
    assert!(line("    9  ").contains("unknown"), "{text}");
    assert!(text.contains("from 2026-09-21 14:13:20.000 UTC to 2026-09-21"), "{text}");
    assert!(line("    4  POST").ends_with(&exhibit::evidence::Digest::of(b"photo").to_string()), "{text}");

    let flow = ends(0, &mut home.exhibit(&["inspect", "c.pcap", "--flow", "1"])).out;
    for wanted in
        ["> POST cdn.example/up?a=", "Host: cdn.example", "[body of 5 bytes, sha256 ", "< 201 for POST"]
    {
        assert!(flow.contains(wanted), "{wanted}\n{flow}");
    }
    assert!(!flow.contains('\x1b') && !text.contains('\x1b') && !flow.contains("198.51.100.7"), "{flow}");
    let failed = ends(2, &mut home.exhibit(&["inspect", "c.pcap", "--flow", "2"]));
    assert!(failed.err.contains("no flow begins with frame 2"), "{}", failed.err);
}

#[test]
fn a_body_has_the_digest_of_what_each_content_coding_holds() {
    let home = Home::new();
    let text = b"what was sent, what was sent, what was sent".repeat(40);
    let mut brotli = Vec::new();
    brotli::BrotliCompress(&mut &text[..], &mut brotli, &brotli::enc::BrotliEncoderParams::default())
        .unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, &text).unwrap();
    let gzip = gzip.finish().unwrap();
    // RFC 8878: a frame of one raw block.
    let len = u32::try_from(text.len()).unwrap();
    let header = (len << 3 | 1).to_le_bytes();
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &len.to_le_bytes(), &header[..3], &text].concat();
    let mut frames = Vec::new();
    for (no, (coding, body)) in (0..).zip([("br", &brotli), ("gzip", &gzip), ("zstd", &zstd)]) {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = [head.as_bytes(), body.as_slice()].concat();
        frames.extend(packets::connection((PHONE, 40_000 + no), ([203, 0, 113, 9], 80), &sent, b""));
    }
    write(&home.path("c.pcap"), packets::pcap(&frames));
    let document = ends(0, &mut home.exhibit(&["inspect", "c.pcap", "--format", "json"])).out;
    let document: Inspection = serde_json::from_str(&document).unwrap();
    let decoded: Vec<_> =
        document.transactions.iter().map(|one| one.body.as_ref().unwrap().decoded_sha256).collect();
    assert_eq!(decoded, [Some(exhibit::evidence::Digest::of(&text)); 3]);
}

#[test]
fn a_key_log_that_opens_nothing_is_said_and_one_that_fits_is_not() {
    let Some(captures) = support::captures() else { return support::skip("captures") };
    let home = support::Home::new();
    support::write(
        &home.path("wrong.log"),
        format!("CLIENT_RANDOM {} {}\n", "ab".repeat(32), "cd".repeat(48)),
    );
    let capture = captures.join("wireshark__tls13-rfc8446.pcap");
    if !capture.exists() {
        return support::skip("tls13-rfc8446.pcap");
    }
    let capture = capture.to_str().unwrap();
    let wrong = support::ends(0, &mut home.exhibit(&["inspect", capture, "--keys", "wrong.log"]));
    assert!(wrong.err.contains("the key logs open nothing"), "{}", wrong.err);
    let right = format!("{capture}.keylog");
    let right = support::ends(0, &mut home.exhibit(&["inspect", capture, "--keys", &right]));
    assert_eq!(right.err, "");
    let without = support::ends(0, &mut home.exhibit(&["inspect", capture, "--quiet"]));
    assert_eq!(without.err, "");
}
