//! How programs of phones send what is on them: resumed and in parts, in JSON, protocol buffers and archives, each as a
//! small capture. All of it is found; what programs send for other reasons is not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::io::Write as _;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use exhibit::{
    evidence::{ByteRange, Digest},
    findings::{Finding, Findings, Grade},
};
use flate2::{Compression, write::GzEncoder};

mod support;
use support::{
    exhibit,
    packets::{End, connection, pcap, udp},
    run, write,
};

const PHONE: End = ([10, 0, 0, 2], 40_000);
const SERVER: End = ([203, 0, 113, 7], 80);
const IMEI: &str = "867622014512347";
/// A message in two lines, all of whose letters ISO 8859-1 has.
const LINES: &str = "Grüße aus Köln, wir treffen uns um neun\nam Hafen und fahren über Düsseldorf";
const MESSAGE: &str =
    "Grüße! Meet me at the café <5th floor> at 19:30, bring 100 & the \"keys\" – 微信: zhang_wei/7 👍";

fn noise(seed: u64, len: usize) -> Vec<u8> {
    (0..).flat_map(|no: u64| Digest::of(&[seed, no].map(u64::to_be_bytes).concat()).0).take(len).collect()
}

/// A picture as a camera writes it: Exif with an address of its own, tables, then bytes without pattern.
fn photo() -> Vec<u8> {
    let exif = [b"Exif\0\0II*\0\x08\0\0\0\0\0".as_slice(), &noise(2, 400)].concat();
    let len = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [
        b"\xff\xd8\xff\xe1".as_slice(),
        &len,
        &exif,
        b"\xff\xdb\0\x43\0",
        &noise(3, 64),
        b"\xff\xda\0\x0c",
        &noise(1, 40_000),
        b"\xff\xd9",
    ]
    .concat()
}

fn post(media: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /up HTTP/1.1\r\nHost: up.example\r\nContent-Type: {media}\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn json(body: &str) -> Vec<u8> {
    post("application/json", "", body.as_bytes())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Each element is what one connection sends.
fn over_tcp(connections: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    (0..)
        .zip(connections)
        .flat_map(|(no, sent)| connection((PHONE.0, PHONE.1 + no), SERVER, sent, answer))
        .collect()
}

/// What is found in frames, of a phone that holds a photo, a message, contacts and identifiers.
fn judge(frames: &[Vec<u8>]) -> Findings {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(&at.join("c.pcap"), pcap(frames));
    write(&at.join("device/photo.jpg"), photo());
    write(
        &at.join("device/sms.csv"),
        format!(
            "id,body,address\nS1,\"{}\",+85291234567\nS2,OK,+85291234567\nS3,\"{LINES}\",\n",
            MESSAGE.replace('"', "\"\"")
        ),
    );
    write(
        &at.join("device/contacts.vcf"),
        "BEGIN:VCARD\nFN:Wong Siu-Ming Alexander\nTEL:+852 6123 4567\nEMAIL:siu.ming.wong@mail.example\nEND:VCARD\n",
    );
    write(&at.join("device/calls.csv"), "number,date,duration\n+85227654321,1789990000123,63\n");
    write(
        &at.join("device/packages.txt"),
        "com.example.shopping\norg.thoughtcrime.securesms\ncom.tencent.mm\ncom.whatsapp\ncom.android.phone\n",
    );
    write(
        &at.join("scenario.yaml"),
        format!(
            "exhibit: 1\nid: made\ncapture: c.pcap\nfiles: device/\nphone: {{addresses: [10.0.0.2], identifiers: \
             {{imei: \"{IMEI}\", wifi_mac: \"64:09:80:0a:0b:01\", own_number: \"+85298765432\", android_id: 9774d56d682e549c}}}}\n\
             claims:\n  - {{id: photo, says: uploads, uploads: personal}}\n"
        ),
    );
    serde_json::from_str(&run(exhibit(at).args(["run", "--no-bundle", "--format", "json"]).arg(at))).unwrap()
}

/// Names of what was found and carries weight.
fn weighty(findings: &Findings) -> Vec<&str> {
    let mut all: Vec<&str> = findings
        .findings
        .iter()
        .filter(|finding| {
            finding.probative && !finding.caveats.iter().any(|caveat| caveat == "inside_longer")
        })
        .map(|finding| finding.artifact.trim_start_matches("device/"))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn of_photo(findings: &Findings) -> Vec<&Finding> {
    findings
        .findings
        .iter()
        .filter(|finding| finding.artifact == "device/photo.jpg" && finding.probative)
        .collect()
}

/// Bytes of the photo that were found.
fn bytes_of_photo(findings: &Findings) -> u64 {
    ByteRange::covered(of_photo(findings).iter().flat_map(|finding| finding.artifact_ranges.clone()))
}

/// What the photo's bytes that were not found are: at most the few that two parts share a letter of base64 for.
#[track_caller]
fn finds_photo(frames: &[Vec<u8>], least: usize, grade: Grade) {
    let findings = judge(frames);
    let found = bytes_of_photo(&findings);
    assert!(found >= least as u64, "{found} of {least}: {:#?}", findings.findings);
    assert!(of_photo(&findings).iter().all(|finding| finding.grade == grade), "{:#?}", findings.findings);
}

/// What carries weight in one request in JSON.
#[track_caller]
fn tells(body: &str, wanted: &[&str]) {
    let findings = judge(&over_tcp(&[json(body)]));
    assert_eq!(weighty(&findings), wanted, "{body}: {:#?}", findings.findings);
}

#[test]
fn a_photo_that_is_sent_in_parts_is_found() {
    let photo = photo();
    let base64 = STANDARD.encode(&photo);
    let in_json = |parts: Vec<String>| {
        let each = |(no, part): (usize, &String)| json(&format!("{{\"i\":{no},\"data\":\"{part}\"}}"));
        over_tcp(&[parts.iter().enumerate().flat_map(each).collect()])
    };
    let coded = in_json(photo.chunks(4_096).map(|part| STANDARD.encode(part)).collect());
    finds_photo(&coded, photo.len(), Grade::Exact);
    // The whole is coded first and cut anywhere: a letter that two parts share is lost.
    for size in [1_000, 1_001, 1_002, 1_003] {
        let letters = base64.as_bytes().chunks(size);
        let cut: Vec<String> = letters.map(|part| str::from_utf8(part).unwrap().to_owned()).collect();
        let parts = cut.len();
        // Whole groups of four letters lose nothing.
        let grade = if size % 4 == 0 { Grade::Exact } else { Grade::Partial };
        finds_photo(&in_json(cut), photo.len() - 2 * parts, grade);
    }
    // Resumed: ranges (RFC 9110 section 14.4) over three connections, the second one sent twice.
    let ranges = [0..15_000, 15_000..31_000, 15_000..31_000, 31_000..photo.len()].map(|range| {
        let field = format!("Content-Range: bytes {}-{}/{}\r\n", range.start, range.end - 1, photo.len());
        post("application/octet-stream", &field, &photo[range])
    });
    finds_photo(&over_tcp(&ranges), photo.len(), Grade::Exact);
    finds_photo(&over_tcp(&ranges[1..]), photo.len() - 15_000, Grade::Partial);
    let datagrams: Vec<Vec<u8>> = (0_u8..)
        .zip(photo.chunks(1_000))
        .map(|(no, part)| udp(PHONE, (SERVER.0, 9_999), &[&[7, 1, no, 0], part].concat()))
        .collect();
    finds_photo(&datagrams, photo.len(), Grade::Partial);
    let head = post("text/plain", &format!("X-Payload: {}\r\n", STANDARD.encode(&photo[..3_000])), b"");
    finds_photo(&over_tcp(&[head]), 3_000, Grade::Partial);
}

#[test]
fn a_photo_in_what_programs_put_around_it_is_found() {
    let photo = photo();
    let base64 = STANDARD.encode(&photo);
    let numbers = |each: fn(&u8) -> String| photo.iter().map(each).collect::<Vec<_>>().join(",");
    let lines: Vec<&str> = base64.as_bytes().chunks(76).map(|part| str::from_utf8(part).unwrap()).collect();
    let part = |media: &str, body: &[u8]| {
        let head =
            format!("--X\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n{media}\r\n\r\n");
        post("multipart/form-data; boundary=X", "", &[head.as_bytes(), body, b"\r\n--X--\r\n"].concat())
    };
    let mut zip = zip_of("DCIM/1.jpg", &photo);
    zip = part("Content-Type: application/zip", &zip);
    // What JavaScript makes of bytes that it holds as a string.
    let binary_string: String = photo.iter().copied().map(char::from).collect();
    let escaped: String = photo.iter().map(|byte| format!("\\u{byte:04x}")).collect();
    let quoted = binary_string.chars().map(|char| match char {
        '"' | '\\' => format!("\\{char}"),
        '\0'..='\x1f' => format!("\\u{:04x}", u32::from(char)),
        _ => char.into(),
    });
    let quoted: String = quoted.collect();
    let form =
        |value: &str| post("application/x-www-form-urlencoded", "", format!("id=7&d={value}").as_bytes());
    let hex: String = photo.iter().chain(&photo).map(|byte| format!("{byte:02X}")).collect();
    let grpc = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        grpc(&[&[0x0a, 2, b'i', b'd', 0x12], &varint(photo.len())[..], &photo].concat()),
    ];
    for (name, sent) in [
        ("lines, as Android writes base64", json(&format!("{{\"img\":\"{}\"}}", lines.join("\\n")))),
        (
            "slashes, as PHP writes them",
            json(&format!("{{\"img\":\"data:image\\/jpeg;base64,{}\"}}", base64.replace('/', "\\/"))),
        ),
        (
            "signs, as Gson writes them",
            json(&format!("{{\"img\":\"{}\"}}", base64.replace('=', "\\u003d").replace('+', "\\u002b"))),
        ),
        (
            "bytes, as Java has them",
            json(&format!("{{\"img\":[{}]}}", numbers(|byte| byte.cast_signed().to_string()))),
        ),
        (
            "bytes, as Node.js has them",
            json(&format!("{{\"type\":\"Buffer\",\"data\":[{}]}}", numbers(u8::to_string))),
        ),
        (
            "a part with its own coding",
            part("Content-Transfer-Encoding: base64", lines.join("\r\n").as_bytes()),
        ),
        ("zip in a form", zip),
        (
            "gzip behind its length",
            post(
                "application/octet-stream",
                "",
                &[&u32::try_from(gzip(&photo).len()).unwrap().to_be_bytes()[..], &gzip(&photo)].concat(),
            ),
        ),
        ("a binary string", post("text/plain;charset=UTF-8", "", binary_string.as_bytes())),
        ("a binary string in JSON", json(&format!("{{\"d\":\"{quoted}\"}}"))),
        ("a binary string in JSON, all escaped", json(&format!("{{\"d\":\"{escaped}\"}}"))),
        ("a data: URL in a form that does not escape it", form(&format!("data:image/jpeg;base64,{base64}"))),
        (
            "indented lines in XML",
            post(
                "text/xml",
                "",
                format!("<plist><data>\n\t{}\n\t</data></plist>", lines.join("\n\t")).as_bytes(),
            ),
        ),
        ("gRPC, compressed", grpc.concat()),
        ("twice in base64", json(&format!("{{\"d\":\"{}\"}}", STANDARD.encode(&base64)))),
        (
            "gzip in base64 in a form",
            post(
                "application/x-www-form-urlencoded",
                "",
                format!("d={}", percent(&STANDARD.encode(gzip(&photo)))).as_bytes(),
            ),
        ),
    ] {
        println!("{name}");
        finds_photo(&over_tcp(&[sent]), photo.len(), Grade::Exact);
    }
    // More than is held of a value in a form.
    finds_photo(&over_tcp(&[form(&hex)]), photo.len(), Grade::Partial);
    // Heads hold less, but as deep.
    let part = &photo[..6_000];
    let digits: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
    let packed = STANDARD.encode(gzip(format!("{{\"img\":\"{}\"}}", STANDARD.encode(part)).as_bytes()));
    let url_safe = URL_SAFE_NO_PAD.encode(part);
    for head in [
        post("text/plain", &format!("X-Data: {digits}\r\n"), b""),
        post("text/plain", &format!("X-Data: {packed}\r\n"), b""),
        format!("GET /track/{url_safe}/1.gif HTTP/1.1\r\nHost: up.example\r\n\r\n").into_bytes(),
    ] {
        finds_photo(&over_tcp(&[head]), part.len(), Grade::Partial);
    }
    // Exif was written anew.
    let other = [&photo[..2], b"\xff\xe1\0\x10Exif\0\0new one!", &photo[422..]].concat();
    finds_photo(&over_tcp(&[post("image/jpeg", "", &other)]), photo.len() - 422, Grade::Partial);
}

#[test]
fn a_message_is_found_however_its_letters_are_written() {
    let units = |bytes: fn(u16) -> [u8; 2]| MESSAGE.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let ucs2: String = units(u16::to_be_bytes).iter().map(|byte| format!("{byte:02X}")).collect();
    let escapes: String = MESSAGE.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let entity =
        |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("&#x{:X};", c as u32) };
    let entities: String = MESSAGE.chars().map(entity).collect();
    let nested = format!("{{\"d\":{}}}", quoted(&format!("{{\"body\":{}}}", quoted(MESSAGE))));
    let gbk = encoding_rs::GB18030.encode(MESSAGE).0;
    for sent in [
        post("text/plain; charset=gb18030", "", &gbk),
        json(&format!("{{\"pdu\":\"{ucs2}\"}}")),
        json(&format!("{{\"b\":\"{escapes}\"}}")),
        post("text/xml", "", format!("<sms body=\"{entities}\"/>").as_bytes()),
        post("application/x-www-form-urlencoded", "", format!("p={}", percent(&nested)).as_bytes()),
        post(
            "application/octet-stream",
            "",
            &[b"\0\x01\x02".as_slice(), &units(u16::to_le_bytes), b"\0\0"].concat(),
        ),
        post("text/plain", "", &gzip(format!("log: {MESSAGE}\n").as_bytes())),
    ] {
        let findings = judge(&over_tcp(&[sent]));
        assert_eq!(weighty(&findings), ["sms.csv#S1"], "{:#?}", findings.findings);
    }
}

#[test]
fn a_message_is_found_in_mails_of_any_charset() {
    let quoted_printable = |bytes: &[u8]| {
        let mut text = String::new();
        let mut column = 0;
        for byte in bytes {
            let plain = byte.is_ascii_alphanumeric() || b" \r\n,".contains(byte);
            let piece = if plain { char::from(*byte).to_string() } else { format!("={byte:02X}") };
            if column + piece.len() > 70 {
                text.push_str("=\r\n");
                column = 0;
            }
            column = if *byte == b'\n' { 0 } else { column + piece.len() };
            text.push_str(&piece);
        }
        text
    };
    let mail = |charset: &str, coding: &str, body: &str| {
        let head = format!(
            "Subject: hi\r\nContent-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {coding}\r\n"
        );
        let sent = format!(
            "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n{head}\r\n{body}\r\n.\r\nQUIT\r\n"
        );
        let said = b"220 x ESMTP\r\n250 x\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n221 bye\r\n";
        judge(&connection(PHONE, (SERVER.0, 25), sent.as_bytes(), said))
    };
    let lines = LINES.replace('\n', "\r\n");
    let latin1 = encoding_rs::WINDOWS_1252.encode(&lines).0;
    for (name, found, wanted) in [
        ("utf-8", mail("utf-8", "quoted-printable", &quoted_printable(lines.as_bytes())), "sms.csv#S3"),
        ("iso-8859-1", mail("iso-8859-1", "quoted-printable", &quoted_printable(&latin1)), "sms.csv#S3"),
        ("base64", mail("iso-8859-1", "base64", &STANDARD.encode(&latin1)), "sms.csv#S3"),
        (
            "gb18030",
            mail("gb18030", "base64", &STANDARD.encode(encoding_rs::GB18030.encode(MESSAGE).0)),
            "sms.csv#S1",
        ),
    ] {
        assert_eq!(weighty(&found), [wanted], "{name}: {:#?}", found.findings);
    }
}

#[test]
fn the_beginning_of_a_message_is_said_and_carries_nothing() {
    let of = |chars: usize| {
        let preview: String = MESSAGE.chars().take(chars).collect();
        judge(&over_tcp(&[json(&format!("{{\"text\":{}}}", quoted(&format!("{preview}…"))))]))
    };
    let seen = of(60);
    let [finding] = seen.findings.as_slice() else { panic!("{:#?}", seen.findings) };
    assert_eq!(
        (finding.artifact.as_str(), &finding.caveats[..]),
        ("device/sms.csv#S1", &["beginning_only".to_owned()][..])
    );
    let claim = &seen.claims[0];
    assert!(claim.reasons.iter().any(|reason| reason == "beginning_only"), "{:?}", claim.reasons);
    assert_eq!(of(30).findings.len(), 0, "as many messages begin");
    // The whole is no beginning.
    let whole = judge(&over_tcp(&[json(&format!("{{\"text\":{}}}", quoted(MESSAGE)))]));
    assert!(whole.findings.iter().all(|finding| finding.caveats.is_empty()), "{:#?}", whole.findings);
}

#[test]
fn numbers_and_names_of_devices_are_found_in_their_spellings() {
    let tel = "contacts.vcf#vcard/1/tel-1";
    for body in [
        "{\"countryCode\":\"852\",\"phone\":\"61234567\"}",
        "{\"phone\":61234567}",
        "{\"x\":[85261234567]}",
        "{\"x\":\"tel:+852-6123-4567\"}",
        "{\"x\":\"+852 6123 4567\"}",
        "{\"x\":\"0085261234567\"}",
    ] {
        tells(body, &[tel]);
    }
    tells("{\"mail\":\"Siu.Ming.Wong@Mail.Example\"}", &["contacts.vcf#vcard/1/email-1"]);
    for value in ["\"64:9:80:a:b:1\"", "\"64-09-80-0A-0B-01\"", "\"6409.800a.0b01\"", "109991965625089"] {
        tells(&format!("{{\"ap\":{value}}}"), &["identifier:wifi_mac"]);
    }
    // The check digit missing, zero, or in its place; a software version; the groups that are printed.
    for value in
        ["86762201451234", "867622014512340", "867622014512347", "8676220145123401", "86-762201-451234-7"]
    {
        tells(&format!("{{\"x\":\"{value}\"}}"), &["identifier:imei"]);
    }
    for value in ["\"9774D56D682E549C\"", "-7533161610807978852", "\"10913582462901572764\""] {
        tells(&format!("{{\"id\":{value}}}"), &["identifier:android_id"]);
    }
    let cookie = post("text/plain", &format!("Cookie: did={}; x=1\r\n", STANDARD.encode(IMEI)), b"");
    assert_eq!(weighty(&judge(&over_tcp(&[cookie]))), ["identifier:imei"]);
}

#[test]
fn lists_of_programs_and_calls_are_found_where_they_stand_together() {
    let name = |name: &str| format!("packages.txt#package/{name}");
    let list = ["com.example.shopping", "com.tencent.mm", "org.thoughtcrime.securesms"];
    let wanted = list.map(name);
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    tells(&format!("{{\"apps\":[\"{}\"]}}", list.join("\",\"")), &wanted);
    tells(&format!("{{\"d\":\"{}\"}}", STANDARD.encode(list.join("\n"))), &wanted);
    tells(
        "{\"log\":[{\"n\":\"27654321\",\"t\":1789990000123,\"s\":63}]}",
        &["calls.csv#1/date", "calls.csv#1/number"],
    );
    for body in [
        // A program names itself, its shop and what it works with.
        "{\"pkg\":\"com.example.shopping\",\"installer\":\"com.android.vending\",\"share\":\"com.tencent.mm\"}",
        "{\"a\":\"com.tencent.mm.plugin\",\"b\":\"com.whatsapp.w4b\",\"c\":\"com.example.shopping2\"}",
        "{\"a\":\"com.android.phone\",\"b\":\"com.google.android.gms\",\"c\":\"android\"}",
        "{\"t\":1789990000124,\"s\":63,\"n\":\"2765432\"}",
    ] {
        tells(body, &[]);
    }
}

#[test]
fn what_is_sent_for_other_reasons_is_not_found() {
    let photo = photo();
    let other = [&photo[..20], &noise(77, 40_000)].concat();
    let tables = [
        &photo[..2],
        b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0",
        &photo[422..493],
        &noise(78, 20_000),
    ]
    .concat();
    let database =
        [b"SQLite format 3\0\x10\0\x01\x01\0\x40\x20\x20".as_slice(), &[0; 76], &noise(79, 4_096)].concat();
    for body in [
        "{\"ip\":\"10.0.0.2\",\"port\":40000,\"host\":\"203.0.113.7\"}",
        "{\"t\":1790000000123,\"taken\":\"2026:11:20 18:00:05\",\"seq\":100000001}",
        "{\"text\":\"OK\",\"title\":\"Meet me\",\"from\":\"Alexander\"}",
        // The model's code, which all phones of a kind share, and other phones.
        "{\"imei\":\"86762201\",\"tac\":86762201,\"imei2\":\"867622014512453\"}",
        "{\"imei\":\"186762201451234\",\"id\":\"86762201451234799\"}",
        "{\"mac\":\"02:00:00:00:00:00\",\"bssid\":\"64:09:80:0a:0b:02\",\"oui\":\"64:09:80\"}",
        "{\"android_id\":\"0000000000000000\",\"id\":\"9774d56d682e549d\"}",
        "{\"phone\":\"61234568\",\"total\":612345671}",
        "{\"mail\":\"support@mail.example\",\"d\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23]}",
        "{\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"etag\":\"d41d8cd98f00b204e9800998ecf8427e\"}",
    ] {
        tells(body, &[]);
    }
    for (media, sent) in
        [("image/jpeg", other), ("image/jpeg", tables), ("application/octet-stream", database)]
    {
        let findings = judge(&over_tcp(&[post(media, "", &sent)]));
        assert_eq!(weighty(&findings), [""; 0], "{:#?}", findings.findings);
    }
    // What nobody can read is not called understood.
    let xor: Vec<u8> = photo.iter().map(|byte| byte ^ 0x5a).collect();
    let findings = judge(&over_tcp(&[post("application/octet-stream", "", &xor)]));
    assert_eq!(weighty(&findings), [""; 0]);
    let all = findings.ledger.all;
    assert!(all.undetermined + all.opaque >= xor.len() as u64, "{all:?}");
}

/// An archive with one deflated member whose sizes stand behind it, as Java's `ZipOutputStream` writes it (APPNOTE 4.3).
fn zip_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    let packed = encoder.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let name_len = u16::try_from(name.len()).unwrap().to_le_bytes();
    let sizes = [&crc.sum().to_le_bytes()[..], &len(&packed), &len(content)].concat();
    let local =
        [b"PK\x03\x04\x14\0\x08\x08\x08\0\0\0\0\0".as_slice(), &[0; 12], &name_len, b"\0\0", name.as_bytes()]
            .concat();
    let entry = [
        b"PK\x01\x02\x14\0\x14\0\x08\x08\x08\0\0\0\0\0".as_slice(),
        &sizes,
        &name_len,
        &[0; 16],
        name.as_bytes(),
    ]
    .concat();
    let before = [local, packed, b"PK\x07\x08".to_vec(), sizes].concat();
    let end = [b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(), &len(&entry), &len(&before), b"\0\0"].concat();
    [before, entry, end].concat()
}

fn varint(number: usize) -> Vec<u8> {
    let (mut bytes, mut left) = (Vec::new(), number);
    while left >= 0x80 {
        bytes.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    bytes.push(u8::try_from(left).unwrap());
    bytes
}

/// One call over HTTP/2 whose message is compressed (gRPC over HTTP2, "Length-Prefixed-Message").
fn grpc(message: &[u8]) -> Vec<u8> {
    let packed = gzip(message);
    let frame = |kind: u8, flags: u8, payload: &[u8]| {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    };
    let field = |name: &str, value: &str| {
        let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        [vec![0], string(name), string(value)].concat()
    };
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "up.example"),
        (":path", "/Photos/Add"),
        ("content-type", "application/grpc"),
        ("grpc-encoding", "gzip"),
        ("te", "trailers"),
    ];
    let head: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    let data = [&[1], &u32::try_from(packed.len()).unwrap().to_be_bytes()[..], &packed].concat();
    let mut sent = frame(1, 4, &head);
    let pieces: Vec<&[u8]> = data.chunks(16_000).collect();
    for (no, piece) in pieces.iter().enumerate() {
        sent.extend(frame(0, u8::from(no + 1 == pieces.len()), piece));
    }
    sent
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}
