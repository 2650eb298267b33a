//! Cases on captures of real traffic that others published: a body that tshark cut out is found whole, a constant that
//! a field is filled with is no identifier, and what is not there is not found.
#![allow(
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use exhibit::{
    evidence::{ByteRange, Digest},
    findings::{Finding, Findings, Grade, Status, Verdict},
};
use serde_json::Value;
use tempfile::TempDir;

mod support;
use support::{captures, exhibit, peer, run, write};

/// A case folder on one capture.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new(capture: &Path, device: &[(&str, &[u8])], scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(capture, folder.path().join("capture.pcap")).unwrap();
        for (name, bytes) in device {
            write(&folder.path().join("device").join(name), bytes);
        }
        write(
            &folder.path().join("scenario.yaml"),
            format!("exhibit: 1\nid: real\ncapture: capture.pcap\n{scenario}"),
        );
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the case and seals a bundle beside it.
    fn run(&self) -> Findings {
        let arguments = ["run", ".", "--unsigned", "-o", "real.tar.gz", "--format", "json"];
        serde_json::from_str(&run(exhibit(self.path()).args(arguments).current_dir(self.path()))).unwrap()
    }

    fn show(&self, finding: &str) -> String {
        run(exhibit(self.path()).args(["show", "real.tar.gz", finding]).current_dir(self.path()))
    }
}

fn claim<'f>(findings: &'f Findings, id: &str) -> &'f Verdict {
    findings.claims.iter().find(|claim| claim.id == id).unwrap()
}

fn only(findings: &Findings) -> &Finding {
    assert_eq!(findings.findings.len(), 1, "{:#?}", findings.findings);
    &findings.findings[0]
}

/// tshark with its one dangerous default mended.
fn tshark(tshark: &Path, capture: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(tshark);
    run(command.args(["-o", "tcp.reassemble_out_of_order:TRUE", "-r"]).arg(capture).args(arguments))
}

/// What tshark takes for bodies of HTTP messages.
fn objects(program: &Path, capture: &Path) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    tshark(program, capture, &["-q", "--export-objects", &format!("http,{}", folder.path().display())]);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Frames of one sender that hold bytes of a range of its stream, as tshark numbers both.
fn frames(program: &Path, capture: &Path, from: SocketAddr, range: ByteRange) -> BTreeSet<u32> {
    // Of bytes that came twice the first copy stands.
    let filter = format!(
        "ip.src=={} && tcp.srcport=={} && tcp.len>0 && !tcp.analysis.retransmission",
        from.ip(),
        from.port()
    );
    let fields = ["-T", "fields", "-e", "frame.number", "-e", "tcp.seq", "-e", "tcp.len"];
    let lines = tshark(program, capture, &[&["-Y", filter.as_str()], &fields[..]].concat());
    let rows =
        lines.lines().map(|line| line.split('\t').map(|field| field.parse().unwrap()).collect::<Vec<u64>>());
    // Relative sequence numbers count the SYN.
    rows.filter(|row| row[1] - 1 < range.end && row[1] - 1 + row[2] > range.start)
        .map(|row| row[0] as u32)
        .collect()
}

#[test]
fn a_body_that_tshark_cut_out_is_found_whole_and_the_printed_commands_show_it() {
    let (Some(folder), Some(program), Some(_)) = (captures(), peer("tshark"), peer("xxd")) else { return };
    let capture = folder.join("pcapplusplus__one_tcp_stream.pcap");
    let bodies = objects(&program, &capture);
    let body =
        bodies.iter().find(|body| body.len() == 6_634).expect("tshark exports the body of 6,634 bytes");
    // The answer to it came down in the same connection; nobody uploaded that.
    let answer = bodies.iter().find(|body| body.len() == 6_649).expect("tshark exports the answer to it");
    let case = Case::new(
        &capture,
        &[("body", body), ("answer", answer)],
        "files: device/\nterms:\n  body: {artifacts: [device/body]}\n  answer: {artifacts: [device/answer]}\n\
         claims:\n  - {id: A, says: it uploads this, uploads: body}\n  - {id: B, says: it uploads that, uploads: answer}\n\
         \x20 - {id: C, says: it never uploads this, never_uploads: body}\n",
    );
    let findings = case.run();
    let found: Vec<&Finding> =
        findings.findings.iter().filter(|finding| finding.artifact == "device/body").collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = found[0];
    assert_eq!(
        (found.grade, found.probative, found.matched_bytes, found.artifact_bytes),
        (Grade::Exact, true, 6_634, 6_634)
    );
    assert_eq!(found.artifact_ranges, [ByteRange::new(0, 6_634)]);
    assert_eq!(found.sha256, Some(Digest::of(body)));
    assert_eq!(found.caveats, [""; 0]);
    assert_eq!(found.parts.len(), 1);
    assert_eq!(claim(&findings, "A").status, Status::Supported);
    assert_eq!(claim(&findings, "A").grade.as_deref(), Some("exact"));
    assert_eq!(claim(&findings, "B").status, Status::Inconclusive, "{:#?}", claim(&findings, "B"));
    assert_eq!(claim(&findings, "C").status, Status::Refuted);

    let part = &found.parts[0];
    let flow = findings.flows.iter().find(|flow| flow.name == part.flow).unwrap();
    let listed: BTreeSet<u32> = part.frames.iter().flat_map(|range| range.first.0..=range.last.0).collect();
    assert_eq!(listed, frames(&program, &capture, flow.local.parse().unwrap(), part.stream_range));
    assert_eq!(part.leaf_range, ByteRange::new(0, 6_634));

    let shown = case.show(&found.id);
    let commands: Vec<&str> = shown.lines().skip_while(|line| *line != "by hand").map(str::trim).collect();
    let commands: Vec<&str> =
        commands.into_iter().filter(|line| !line.starts_with('#') && *line != "by hand").collect();
    assert!(commands.iter().any(|line| line.contains("follow,tcp")), "{shown}");
    let printed: Vec<String> = commands
        .iter()
        .map(|line| run(Command::new("bash").args(["-c", line]).current_dir(case.path())))
        .collect();
    let stream = fs::read(case.path().join("stream.bin")).unwrap();
    let range = part.stream_range.start as usize..part.stream_range.end as usize;
    assert_eq!(&stream[range], body.as_slice(), "tshark's stream at the finding's range");
    let all = printed.concat();
    for digest in [&findings.captures[0].sha256, &Digest::of(body)] {
        assert!(all.contains(&digest.to_string()), "sha256sum says {digest}: {all}");
    }
    assert!(all.contains(&part.excerpt), "the excerpt in the device file");
}

#[test]
fn a_whole_file_of_repeated_letters_is_named_and_carries_no_verdict() {
    let (Some(folder), Some(program)) = (captures(), peer("tshark")) else { return };
    let capture = folder.join("zeek__multipart-form-data.pcap");
    let json: Value =
        serde_json::from_str(&tshark(&program, &capture, &["-Y", "mime_multipart", "-T", "jsonraw"]))
            .unwrap();
    let part =
        unhex(find(&json, "data-text-lines_raw").expect("tshark shows the part's text")[0].as_str().unwrap());
    assert_eq!(part.len(), 584);
    let case = Case::new(
        &capture,
        &[
            ("test.txt", &part),
            ("other.txt", b"1 bbbbbbbbbbbbbbbb, and nothing of that was sent by anyone at all"),
        ],
        "files: device/\nclaims:\n  - {id: A, says: it uploads files, uploads: file}\n  - {id: B, says: it never does, never_uploads: file}\n",
    );
    let findings = case.run();
    let found = only(&findings);
    assert_eq!(
        (found.artifact.as_str(), found.grade, found.matched_bytes),
        ("device/test.txt", Grade::Exact, 584)
    );
    assert_eq!((found.probative, &found.caveats[..]), (false, &["not_probative".to_owned()][..]));
    assert_eq!(
        found.parts[0].steps.iter().map(|step| step.op.as_str()).collect::<Vec<_>>(),
        ["http1.body", "multipart.part"]
    );
    // Ten lines of one letter could be in anybody's file: the whole file is named, and no verdict rests on it.
    for id in ["A", "B"] {
        let verdict = claim(&findings, id);
        assert_eq!(verdict.status, Status::Inconclusive);
        assert!(verdict.reasons.iter().any(|reason| reason == "not_probative"), "{:?}", verdict.reasons);
    }
    let printed = run(exhibit(case.path()).args(["find", "capture.pcap", "device"]).current_dir(case.path()));
    let line = printed.lines().find(|line| line.contains("test.txt")).unwrap_or_else(|| panic!("{printed}"));
    assert!(line.contains("whole file") && printed.contains("not probative"), "{printed}");
}

/// The first value of that name anywhere in a document.
fn find<'v>(json: &'v Value, name: &str) -> Option<&'v Value> {
    match json {
        Value::Object(map) => map.get(name).or_else(|| map.values().find_map(|value| find(value, name))),
        Value::Array(list) => list.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

const XIAOMI: &str = "phone:\n  addresses: [192.168.2.100]\n  identifiers: {bssid: \"BSSID\"}\nterms:\n  mainland: {registered_country: CN}\n  access_point: {identifiers: [bssid]}\n\
    claims:\n  - {id: connects, says: it connects to an address in mainland China, connects: mainland}\n\
    \x20 - {id: alone, says: it does so by itself, connects: mainland, attended: false}\n\
    \x20 - {id: bssid, says: it uploads the access point's address, uploads: access_point}\n";

#[test]
fn a_real_phone_connects_to_the_mainland_and_a_placeholder_is_no_access_points_address() {
    let Some(folder) = captures() else { return };
    let capture = folder.join("ndpi__xiaomi.pcap");
    let case = Case::new(&capture, &[], &XIAOMI.replace("BSSID", "02:00:00:00:00:00"));
    let findings = case.run();
    let connects = claim(&findings, "connects");
    assert_eq!(connects.status, Status::Supported);
    assert_eq!(connects.endpoints, ["203.107.1.65:80"]);
    let endpoint = findings.endpoints.iter().find(|endpoint| endpoint.address == "203.107.1.65").unwrap();
    assert_eq!((endpoint.port, endpoint.registered_country.as_deref()), (80, Some("CN")));
    assert!(endpoint.table.starts_with("iptocc ") && endpoint.table.contains(" of 20"), "{}", endpoint.table);
    assert!(
        connects.permits.contains(&format!("203.107.1.65:80 (registered to CN in {})", endpoint.table)),
        "{}",
        connects.permits
    );
    assert!(connects.permits.contains("2022-04-18"), "{}", connects.permits);
    assert_eq!(claim(&findings, "alone").status, Status::Inconclusive);
    assert!(claim(&findings, "alone").reasons.iter().any(|reason| reason == "no_actions"));

    // `bssid=02%3A00%3A00%3A00%3A00%3A00` is what Android gives an app that may not know it.
    let found = only(&findings);
    assert_eq!(
        (found.artifact.as_str(), found.grade, found.probative),
        ("identifier:bssid", Grade::Identifier, false)
    );
    assert!(found.caveats.iter().any(|caveat| caveat == "placeholder"), "{:?}", found.caveats);
    assert_eq!(found.parts[0].frames[0].first.0, 52);
    let bssid = claim(&findings, "bssid");
    assert_eq!(bssid.status, Status::Inconclusive);
    assert!(bssid.reasons.iter().any(|reason| reason == "placeholder"), "{:?}", bssid.reasons);
    let shown = case.show(&found.id);
    assert!(shown.contains("placeholder"), "{shown}");
}

#[test]
fn an_access_point_that_is_not_named_is_not_found() {
    let Some(folder) = captures() else { return };
    let case =
        Case::new(&folder.join("ndpi__xiaomi.pcap"), &[], &XIAOMI.replace("BSSID", "9c:3d:cf:51:7a:e6"));
    let findings = case.run();
    assert_eq!(findings.findings, []);
    assert_eq!(claim(&findings, "bssid").status, Status::Inconclusive);
    assert!(claim(&findings, "bssid").reasons.iter().any(|reason| reason == "not_observed"));
}

#[test]
fn a_hardware_address_that_is_there_is_found_behind_percent_signs() {
    let Some(folder) = captures() else { return };
    // One digit of the capture's constant changed in the file, so that it is no placeholder any more.
    let mut bytes = fs::read(folder.join("ndpi__xiaomi.pcap")).unwrap();
    let field = b"bssid=02%3A00%3A00%3A00%3A00%3A00";
    let at = bytes.windows(field.len()).position(|window| window == field).unwrap();
    bytes[at..at + field.len()].copy_from_slice(b"bssid=9c%3A3d%3Acf%3A51%3A7a%3Ae6");
    let changed = tempfile::tempdir().unwrap();
    write(&changed.path().join("changed.pcap"), bytes);
    let case =
        Case::new(&changed.path().join("changed.pcap"), &[], &XIAOMI.replace("BSSID", "9c:3d:cf:51:7a:e6"));
    let findings = case.run();
    assert_eq!(claim(&findings, "bssid").status, Status::Supported, "{:#?}", findings.findings);
}
