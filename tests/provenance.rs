//! Bytes that went up and prove nothing all the same, each with its named caveat: a server's challenge that is answered,
//! bytes that go up without the phone too, what all pictures of a camera begin with, values that luck writes.
//!
//! Uploads before the photo was taken, photos that came down first and other devices are in `tests/mutations.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use exhibit::{
    evidence::{AnomalyKind, Digest},
    findings::{Finding, Findings, Status, Verdict},
};

mod support;
use support::{
    exhibit,
    packets::{End, connection, pcap},
    run, write,
};

const PHONE: End = ([10, 0, 0, 2], 40_000);
const OTHER_PHONE: End = ([10, 0, 0, 3], 40_000);
const SERVER: End = ([203, 0, 113, 7], 80);
const OTHER_SERVER: End = ([203, 0, 113, 8], 80);
const ANDROID_ID: &str = "9774d56d682e549c";

/// A picture as far as first bytes go, then bytes without pattern.
fn photo(seed: u64, len: usize) -> Vec<u8> {
    let noise = (0..).flat_map(|no: u64| Digest::of(&[seed, no].map(u64::to_be_bytes).concat()).0);
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".iter().copied().chain(noise).take(len).collect()
}

fn post(server: End, body: &[u8]) -> Vec<u8> {
    let host = if server == SERVER { "up.example" } else { "other.example" };
    let head = format!("POST /up HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn answer(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// One connection of a client: what it posts, what comes back.
fn talk(client: End, port: u16, server: End, sent: &[u8], answered: &[u8]) -> Vec<Vec<u8>> {
    connection((client.0, port), server, &post(server, sent), &answer(answered))
}

/// Runs a case: captures by phase, files of the device, identifiers. The phase `no-phone` must show nothing.
fn judge(phases: &[(&str, Vec<Vec<u8>>)], device: &[(&str, &[u8])], identifiers: &str) -> Findings {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut listed = String::new();
    for (phase, frames) in phases {
        write(&at.join(format!("{phase}.pcap")), pcap(frames));
        let role = if *phase == "no-phone" { ", role: negative_control" } else { "" };
        let files = if *phase == "stock" { ", files: device/" } else { "" };
        listed.push_str(&format!("  - {{id: {phase}, capture: {phase}.pcap{files}{role}}}\n"));
    }
    write(&at.join("device/empty.txt"), b"");
    device.iter().for_each(|(name, bytes)| write(&at.join("device").join(name), bytes));
    write(
        &at.join("scenario.yaml"),
        format!(
            "exhibit: 1\nid: made\nphone: {{addresses: [10.0.0.2], identifiers: {{{identifiers}}}}}\nphases:\n{listed}\
             claims:\n  - {{id: photo, says: uploads, in: stock, uploads: photo}}\n\
             \x20 - {{id: value, says: uploads, in: stock, uploads: identifier}}\n"
        ),
    );
    serde_json::from_str(&run(exhibit(at).args(["run", "--no-bundle", "--format", "json"]).arg(at))).unwrap()
}

fn claim<'f>(findings: &'f Findings, id: &str) -> &'f Verdict {
    findings.claims.iter().find(|claim| claim.id == id).unwrap()
}

/// The one finding of the phase `stock`.
#[track_caller]
fn only(findings: &Findings) -> &Finding {
    let stock: Vec<&Finding> = findings.findings.iter().filter(|finding| finding.phase == "stock").collect();
    assert_eq!(stock.len(), 1, "{:#?}", findings.findings);
    stock[0]
}

/// A claim that the caveat leaves open.
#[track_caller]
fn open(findings: &Findings, id: &str, caveat: &str) {
    let claim = claim(findings, id);
    assert_eq!(claim.status, Status::Inconclusive, "{:#?}", findings.findings);
    assert!(claim.reasons.iter().any(|reason| reason == caveat), "{caveat}: {:?}", claim.reasons);
}

#[test]
fn a_challenge_that_is_answered_is_an_echo() {
    let identifiers = format!("android_id: {ANDROID_ID}");
    let sent = format!("{{\"nonce\":\"{ANDROID_ID}\"}}");
    let world = |server: End| {
        let frames = [
            talk(PHONE, 40_000, server, b"hello", sent.as_bytes()),
            talk(PHONE, 40_001, SERVER, sent.as_bytes(), b""),
        ];
        judge(&[("stock", frames.concat())], &[], &identifiers)
    };
    let echoed = world(SERVER);
    assert_eq!(only(&echoed).caveats, ["echo", "seen_downlink_first"]);
    open(&echoed, "value", "echo");
    // Another server sent it: it came down first, and nobody's challenge was answered.
    let elsewhere = world(OTHER_SERVER);
    assert_eq!(only(&elsewhere).caveats, ["seen_downlink_first"]);
    open(&elsewhere, "value", "seen_downlink_first");
    // The phone said it first.
    let first = [
        talk(PHONE, 40_000, SERVER, sent.as_bytes(), sent.as_bytes()),
        talk(PHONE, 40_001, SERVER, b"hello", sent.as_bytes()),
    ];
    let first = judge(&[("stock", first.concat())], &[], &identifiers);
    assert_eq!(claim(&first, "value").status, Status::Supported, "{:#?}", first.findings);
    assert_eq!(only(&first).caveats, [""; 0]);
}

#[test]
fn what_goes_up_without_the_phone_is_not_its_own() {
    let (own, wallpaper) = (photo(1, 20_000), photo(2, 20_000));
    let device: [(&str, &[u8]); 2] = [("own.jpg", &own), ("wallpaper.jpg", &wallpaper)];
    let stock = |body: &[u8]| talk(PHONE, 40_000, SERVER, body, b"");
    let without = |body: &[u8]| ("no-phone", talk(OTHER_PHONE, 40_000, OTHER_SERVER, body, b""));
    let same = judge(&[("stock", stock(&wallpaper)), without(&wallpaper)], &device, "");
    assert_eq!(only(&same).caveats, ["identical_in_other_phases"]);
    open(&same, "photo", "identical_in_other_phases");
    let other = judge(&[("stock", stock(&own)), without(&wallpaper)], &device, "");
    assert_eq!(only(&other).caveats, [""; 0]);
    assert_eq!(claim(&other, "photo").status, Status::Supported);
    // A part went up elsewhere: it is not counted, and the rest is enough.
    let part = judge(&[("stock", stock(&own)), without(&own[..9_000])], &device, "");
    assert_eq!((only(&part).probative_bytes, &only(&part).caveats[..]), (11_000, &[][..]));
    assert_eq!(claim(&part, "photo").status, Status::Supported);
    // In a phase that is no control the same bytes are one more upload.
    let later = talk(PHONE, 40_001, SERVER, &own, b"");
    let twice = judge(&[("stock", stock(&own)), ("later", later)], &device, "");
    assert_eq!(claim(&twice, "photo").status, Status::Supported);
    assert_eq!(only(&twice).caveats, [""; 0]);
}

#[test]
fn what_all_pictures_of_a_camera_share_points_to_none_of_them() {
    let shared = photo(9, 6_000);
    let with = |seed| [&shared[..], &photo(seed, 14_000)].concat();
    let (one, two) = (with(1), with(2));
    let device: [(&str, &[u8]); 2] = [("one.jpg", &one), ("two.jpg", &two)];
    let sent = |body: &[u8]| judge(&[("stock", talk(PHONE, 40_000, SERVER, body, b""))], &device, "");
    let boilerplate = sent(&shared);
    assert!(!boilerplate.findings.is_empty());
    for finding in &boilerplate.findings {
        assert_eq!((finding.probative_bytes, finding.probative), (0, false));
        assert!(finding.caveats.iter().any(|caveat| caveat == "common_content"), "{:?}", finding.caveats);
    }
    open(&boilerplate, "photo", "not_probative");
    let more = sent(&one[..16_000]);
    let finding = more.findings.iter().find(|finding| finding.artifact == "device/one.jpg").unwrap();
    assert!((9_900..=10_000).contains(&finding.probative_bytes), "{}", finding.probative_bytes);
    assert_eq!(claim(&more, "photo").status, Status::Supported);
}

#[test]
fn a_value_that_luck_writes_proves_nothing() {
    let sent = |body: &[u8], identifiers: &str| {
        judge(&[("stock", talk(PHONE, 40_000, SERVER, body, b""))], &[], identifiers)
    };
    // Six digits are written by luck once in a million places.
    let short = sent(b"{\"total\":\"471150\"}", "account: \"471150\"");
    let finding = only(&short);
    assert!(!finding.probative && finding.caveats == ["not_probative"], "{finding:#?}");
    open(&short, "value", "not_probative");
    // Eight digits are a telephone number where a field says so, and nothing where it does not.
    let number = "own_number: \"+85298765432\"";
    for (body, probative) in [
        ("{\"total\":\"98765432\"}", false),
        ("{\"phone\":\"98765432\"}", true),
        ("{\"phone\":\"98765432 or so\"}", false),
        ("total=98765432&x=1", false),
        ("mobile=98765432&x=1", true),
        ("mobile=9%38765432&x=1", true),
        ("{\"phone\":\"98765433\",\"x\":\"98765432\"}", false),
    ] {
        // Beside so much else that luck would write eight digits somewhere.
        let frames = [
            talk(PHONE, 40_000, SERVER, body.as_bytes(), b""),
            talk(PHONE, 40_001, SERVER, &photo(7, 60_000), b""),
        ];
        let findings = judge(&[("stock", frames.concat())], &[], number);
        let finding = only(&findings);
        assert_eq!(finding.probative, probative, "{body}: {finding:#?}");
        assert_eq!(finding.parts.len(), 1, "{body}: {finding:#?}");
        if !probative {
            open(&findings, "value", "not_probative");
        }
    }
    let long = sent(b"{\"total\":\"471150883926\"}", "account: \"471150883926\"");
    assert!(only(&long).probative, "{long:#?}");
    assert_eq!(claim(&long, "value").status, Status::Supported);
}

#[test]
fn protocols_that_send_differences_are_named() {
    let details = |sent: &[u8]| -> Vec<String> {
        let frames = connection((PHONE.0, 40_000), SERVER, sent, b"@RSYNCD: 31.0\n");
        let findings = judge(&[("stock", frames)], &[], "");
        let named = findings.anomalies.into_iter().filter(|one| one.kind == AnomalyKind::DeltaProtocol);
        named.map(|one| one.detail).collect()
    };
    assert_eq!(details(b"@RSYNCD: 31.0\nphotos\n"), ["rsync"]);
    let get = |field: &str| format!("GET /f HTTP/1.1\r\nHost: up.example\r\n{field}\r\n\r\n").into_bytes();
    assert_eq!(details(&get("A-IM: vcdiff, gdiff")), ["delta encoding (RFC 3229): a-im"]);
    assert_eq!(details(&get("Content-Type: Application/VCDIFF; x=1")), ["application/vcdiff"]);
    assert_eq!(details(&get("Content-Type: image/jpeg")), [""; 0]);
    assert_eq!(details(b"say @RSYNCD: 31.0\n"), [""; 0]);
    // What files of sums and differences begin with, whatever carries them.
    let sums = [b"rs\x01\x37\0\0\x08\0\0\0\0\x20".as_slice(), &photo(4, 400)].concat();
    assert_eq!(details(&post(SERVER, &sums)), ["sums of blocks (librsync)"]);
    assert_eq!(
        details(&post(SERVER, &[b"\xd6\xc3\xc4\0\0".as_slice(), &photo(5, 99)].concat())),
        ["differences (VCDIFF)"]
    );
    assert_eq!(details(&post(SERVER, b"rs and more")), [""; 0]);
}
