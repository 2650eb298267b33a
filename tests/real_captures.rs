//! Cases on captures of real traffic that others published: a body that tshark cut out is found whole, a constant that
//! a field is filled with is no identifier, what is not there is not found, and every uplink byte has its place.
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
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use exhibit::{
    evidence::{ByteRange, Digest, Transport},
    findings::{Finding, Findings, FlowSummary, Grade, Status, Verdict},
};
use serde_json::Value;
use tempfile::TempDir;

mod support;
use support::{captures, exhibit, output, peer, run, text, write};

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

fn bodies_of(truth: &Value) -> BTreeSet<String> {
    let requests = truth["http_requests_from_bytes"].as_array().into_iter().flatten();
    requests.filter_map(|request| Some(request["body"]["sha256"].as_str()?.to_owned())).collect()
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
        result = find(&["--phone", after.split_whitespace().next().unwrap()]);
    }
    assert_eq!(result.status.code(), Some(0), "{}: {}", capture.display(), text(&result.stderr));
    serde_json::from_slice(&result.stdout).unwrap()
}

/// Bodies below this are too short to be told from boilerplate by anyone.
const MIN_BODY: usize = 256;
const BODIES: usize = 20;
/// Captures of one conversation, cut in different ways: what is in one is in the others.
const SAME_CONVERSATION: &str = "pcapplusplus__one_tcp_stream";
const CUT_FROM_IT: &str = "pcapplusplus__unidirectional_tcp_stream_with_missing_packet.pcap";

#[test]
fn bodies_of_one_capture_are_not_found_in_another() {
    let (Some(folder), Some(program)) = (captures(), peer("tshark")) else { return };
    let truths = truths(&folder);
    let home = tempfile::tempdir().unwrap();
    let device = home.path().join("device");
    let mut digests = BTreeMap::new();
    for (name, truth) in &truths {
        let wanted = bodies_of(truth);
        if wanted.is_empty() || digests.len() >= BODIES {
            continue;
        }
        // At most three of each capture, so that they come from many.
        let bodies = objects(&program, &folder.join(name)).into_iter().filter(|body| body.len() >= MIN_BODY);
        for body in bodies.filter(|body| wanted.contains(&Digest::of(body).to_string())).take(3) {
            let digest = Digest::of(&body).to_string();
            write(&device.join(&digest), &body);
            digests.insert(digest, name.clone());
        }
    }
    let sources: BTreeSet<&String> = digests.values().collect();
    println!("{} bodies of {} captures", digests.len(), sources.len());
    assert!(digests.len() >= 15 && sources.len() >= 8, "{digests:#?}");
    let (mut there, mut weak) = (0, 0);
    for (name, truth) in &truths {
        let present = bodies_of(truth);
        let findings = find_files(home.path(), &folder.join(name), &device);
        for finding in &findings.findings {
            let digest = finding.artifact.rsplit('/').next().unwrap();
            if present.contains(digest) {
                there += usize::from(finding.grade == Grade::Exact);
                continue;
            }
            if name == CUT_FROM_IT && digests[digest].starts_with(SAME_CONVERSATION) {
                continue;
            }
            weak += usize::from(!finding.probative);
            assert!(!finding.probative, "{name} does not hold the body of {}: {finding:#?}", digests[digest]);
        }
    }
    println!("found whole in {there} captures that hold them; {weak} weak resemblances elsewhere");
    assert!(there >= 15, "the bodies are found where they are");
}

/// Captures of which tshark is asked for UDP payload too.
const UDP_SAMPLE: usize = 20;

#[test]
fn every_uplink_byte_has_one_place_and_none_is_forgotten() {
    let Some(folder) = captures() else { return };
    let program = peer("tshark");
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("nothing"), b"a file that nobody sent");
    let (mut directions, mut bytes, mut sampled, mut datagrams) = (0, 0, 0, 0);
    let mut different = Vec::new();
    for (name, truth) in truths(&folder) {
        let capture = folder.join(&name);
        let findings = find_files(home.path(), &capture, &home.path().join("nothing"));
        let all = findings.ledger.all;
        assert_eq!(
            all.matched + all.understood + all.undetermined + all.opaque + all.lost,
            all.total,
            "{name}"
        );
        assert_eq!(findings.flow_count, findings.flows.len() as u64, "{name}: this test looks at all flows");
        let of_flows: u64 = findings.flows.iter().map(|flow| flow.uplink.total).sum();
        assert_eq!(all.total, of_flows, "{name}");
        for (what, ours, theirs) in tcp(&findings, &truth) {
            directions += 1;
            bytes += theirs;
            if ours != theirs {
                different.push(format!("{name} {what}: {ours} here, {theirs} in truth"));
            }
        }
        let plain = truth["counts"]["frames_shorter_than_wire"] == 0
            && truth["counts"]["udp_streams"].as_u64() > Some(0);
        let asked = program.as_ref().filter(|_| plain && sampled < UDP_SAMPLE);
        if let Some((ours, theirs)) = asked.and_then(|program| udp(&findings, program, &capture)) {
            sampled += 1;
            datagrams += theirs;
            if ours != theirs {
                different.push(format!("{name} udp: {ours} here, {theirs} by tshark"));
            }
        }
    }
    println!(
        "TCP: {directions} uplink directions, {bytes} bytes; UDP: {datagrams} bytes in {sampled} captures"
    );
    assert_eq!(different, EXPLAINED, "uplink bytes that differ");
    assert!(directions > 600, "{directions}");
}

/// What differs, and why it may.
const EXPLAINED: [&str; 1] = [
    // The segment is quoted in an ICMPv6 error: nobody sent it in this capture.
    "ndpi__6in4tunnel.pcap {[2001:470:1f17:13f:25a3:3292:16f9:2ce0]:60491, [2604:a880:1:20::224:b001]:993} is no flow here: 0 here, 46 in truth",
];

/// Uplink bytes of each TCP connection of the phone: the ledger's and the truth file's.
fn tcp(findings: &Findings, truth: &Value) -> Vec<(String, u64, u64)> {
    // Connections of the same ends come in the same order as Wireshark's streams.
    let mut by_ends: BTreeMap<BTreeSet<SocketAddr>, Vec<&FlowSummary>> = BTreeMap::new();
    for flow in findings.flows.iter().filter(|flow| flow.transport == Transport::Tcp) {
        let ends = [&flow.local, &flow.remote].map(|end| end.parse().unwrap()).into_iter().collect();
        by_ends.entry(ends).or_default().push(flow);
    }
    let phone: BTreeSet<IpAddr> =
        findings.subject.addresses.iter().map(|address| address.parse().unwrap()).collect();
    let mut seen: BTreeMap<BTreeSet<SocketAddr>, usize> = BTreeMap::new();
    let mut rows = Vec::new();
    for stream in truth["tcp_streams"].as_array().unwrap() {
        let ends: BTreeSet<SocketAddr> =
            ["first_sender", "other"].map(|end| end_of(&stream[end])).into_iter().collect();
        let nth = seen.entry(ends.clone()).or_default();
        let flow = by_ends.get(&ends).and_then(|flows| flows.get(*nth)).copied();
        *nth += 1;
        let Some(flow) = flow else {
            let its = ends.iter().any(|end| phone.contains(&end.ip()));
            let held = stream["reassembly"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|side| side["bytes_present"].as_u64())
                .sum::<u64>();
            if held > 0 && (its || phone.is_empty()) {
                rows.push((format!("{ends:?} is no flow here"), 0, held));
            }
            continue;
        };
        let local: SocketAddr = flow.local.parse().unwrap();
        assert!(phone.is_empty() || phone.contains(&local.ip()), "{}: {local} is not the phone", flow.name);
        let up =
            stream["reassembly"].as_array().into_iter().flatten().find(|side| end_of(&side["from"]) == local);
        // The truth's reader gave up on a stream that spans 1.5 GB of sequence numbers.
        if up.is_some_and(|side| side["error"].is_string()) {
            continue;
        }
        let theirs = up.and_then(|side| side["bytes_present"].as_u64()).unwrap_or(0);
        rows.push((
            format!("{} of {}", local, stream["stream"]),
            flow.uplink.total - flow.uplink.lost,
            theirs,
        ));
    }
    rows
}

/// Truth writes IPv6 ends without brackets.
fn end_of(value: &Value) -> SocketAddr {
    let (address, port) = value.as_str().unwrap().rsplit_once(':').unwrap();
    SocketAddr::new(address.parse().unwrap(), port.parse().unwrap())
}

/// UDP payload that the phone's ends sent: the ledger's and tshark's. `None` for IPv6 within IPv4, where tshark's fields
/// don't tell which is inside.
fn udp(findings: &Findings, program: &Path, capture: &Path) -> Option<(u64, u64)> {
    let flows = || findings.flows.iter().filter(|flow| flow.transport == Transport::Udp);
    let pair = |flow: &FlowSummary| (flow.local.parse().unwrap(), flow.remote.parse().unwrap());
    let uplink: BTreeSet<(SocketAddr, SocketAddr)> = flows().map(pair).collect();
    let fields = ["ip.src", "ipv6.src", "udp.srcport", "ip.dst", "ipv6.dst", "udp.dstport", "udp.length"];
    let mut arguments = vec!["-Y", "udp && !icmp && !icmpv6", "-T", "fields", "-E", "occurrence=l"];
    arguments.extend(fields.iter().flat_map(|field| ["-e", *field]));
    let lines = tshark(program, capture, &arguments);
    let mut theirs = 0;
    for line in lines.lines() {
        let field: Vec<&str> = line.split('\t').collect();
        if !field[0].is_empty() && !field[1].is_empty() {
            return None;
        }
        let end = |v4: &str, v6: &str, port: &str| -> Option<SocketAddr> {
            let address: IpAddr = if v4.is_empty() { v6 } else { v4 }.parse().ok()?;
            Some(SocketAddr::new(address, port.parse().ok()?))
        };
        let (Some(from), Some(to)) = (end(field[0], field[1], field[2]), end(field[3], field[4], field[5]))
        else {
            continue;
        };
        if uplink.contains(&(from, to)) {
            theirs += field[6].parse::<u64>().unwrap() - 8;
        }
    }
    Some((flows().map(|flow| flow.uplink.total - flow.uplink.lost).sum(), theirs))
}
