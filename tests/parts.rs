//! A file that goes up compressed, and cut over several requests, is found whole, whichever way the parts are named; what is no
//! upload in parts is never put together.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]
#![allow(dead_code, reason = "wrappers of other tests")]

mod support;
#[path = "support/uploads.rs"]
mod uploads;
#[path = "support/wrap.rs"]
mod wrap;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use exhibit::{
    case::{
        Case, Parts,
        device::{Device, DeviceFile},
        folder::Disk,
        scenario::plan::{Phone, Run},
    },
    engine::{
        self,
        correlate::{Artifact, Catalog, Collector, FlowRef, Hit, Spool, conclude},
        decode::{
            Context, Conversation, Shared,
            sink::{LeafId, Origin, Place, Sink, Source},
            walk,
        },
        net::stream::Stream,
        proto::keylog::KeyLog,
    },
    evidence::{Anomaly, AnomalyKind, ByteRange, Direction, Limits, Scratch, Transport},
    findings::{Findings, Grade, Step},
};

use support::{packets, quic};
use uploads::{Http, Naming, SCHEMES, Sent, in_parts, noise};
use wrap::WRAPPERS;

/// A photo, and one that stays on the phone: bytes of six bits, so that each coding changes all of them.
fn photos() -> [Vec<u8>; 2] {
    [1, 2].map(|seed| {
        let pixels = noise(seed, 40_000).into_iter().map(|byte| byte & 0x3f);
        b"\xff\xd8\xff\xe0\0\x10JFIF\0".iter().copied().chain(pixels).collect()
    })
}

fn wrapped(by: &str, bytes: &[u8]) -> Vec<u8> {
    let wrapped = WRAPPERS.iter().find(|wrapper| wrapper.name == by).unwrap().wrap(bytes).unwrap();
    assert!(wrapped.len() * 10 < bytes.len() * 9, "{by} leaves bytes as they are");
    wrapped
}

struct Leaves<'c> {
    collector: Collector<'c>,
    anomalies: Vec<(AnomalyKind, String)>,
    understood: Vec<ByteRange>,
}

impl Sink for Leaves<'_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        self.collector.open(origin)
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        self.collector.write(leaf, bytes, from);
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        self.collector.close(leaf, steps);
    }

    fn place(&mut self, _: Direction, range: ByteRange, place: Place) {
        if place == Place::Understood {
            self.understood.push(range);
        }
    }

    fn anomaly(&mut self, kind: AnomalyKind, _: Option<exhibit::evidence::FrameNo>, detail: String) {
        self.anomalies.push((kind, detail));
    }
}

/// What is found of two photos in what a phone sends.
fn found_in(up: &Stream) -> Vec<Hit> {
    walked(up).0
}

/// The same, and which bytes are understood.
fn walked(up: &Stream) -> (Vec<Hit>, Vec<ByteRange>) {
    let (hits, understood, _) = walk_all(up);
    (hits, understood)
}

/// What is said of codings that bytes are not in.
fn mismatches(sent: &[u8]) -> Vec<String> {
    let (.., anomalies) = walk_all(&Stream::of_bytes(sent));
    let coding =
        |(kind, detail): (AnomalyKind, String)| (kind == AnomalyKind::CodingMismatch).then_some(detail);
    anomalies.into_iter().filter_map(coding).collect()
}

/// Hits, what is understood, and what is odd.
fn walk_all(up: &Stream) -> (Vec<Hit>, Vec<ByteRange>, Vec<(AnomalyKind, String)>) {
    let scratch = Scratch::new(std::env::temp_dir());
    let (limits, keys) = (Limits::default(), KeyLog::default());
    let files = photos().into_iter().enumerate();
    let files =
        files.map(|(no, bytes)| DeviceFile::new(format!("{no}.jpg"), Arc::new(bytes)).unwrap()).collect();
    let devices = BTreeMap::from([("phone".to_owned(), Device { files })]);
    let catalog = Catalog::build(&devices, &BTreeMap::new(), &[], &limits).unwrap();
    let down = Stream::of_bytes(b"");
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (local, remote) = (address(40_000), address(80));
    let conversation = Conversation { transport: Transport::Tcp, up, down: &down, local, remote };
    let spool = Spool::new(scratch.clone());
    let collector = Collector::new(&catalog, &spool, FlowRef { capture: 0, flow: 0 }, &limits);
    let mut leaves = Leaves { collector, anomalies: Vec::new(), understood: Vec::new() };
    walk(&conversation, &Context::new(&limits, &keys, &scratch), &mut Shared::default(), &mut leaves)
        .unwrap();
    let limited = leaves.anomalies.iter().any(|(kind, _)| *kind == AnomalyKind::LimitReached);
    assert!(!limited, "{:?}", leaves.anomalies);
    let Leaves { collector, anomalies, understood } = leaves;
    let harvest = collector.finish().unwrap();
    (conclude(&catalog, spool, vec![harvest], &limits).unwrap().hits, understood, anomalies)
}

fn found(sent: &[u8]) -> Vec<Hit> {
    found_in(&Stream::of_bytes(sent))
}

fn whole(hits: &[Hit]) -> Vec<&Hit> {
    hits.iter().filter(|hit| hit.grade == Grade::Exact).collect()
}

/// How many bytes of the photo were found.
fn covered(hits: &[Hit]) -> u64 {
    ByteRange::covered(hits.iter().map(|hit| hit.artifact_range))
}

/// Only the photo that was sent is found.
fn assert_honest(hits: &[Hit], what: &str) {
    let first = hits.iter().map(|hit| hit.artifact).min();
    assert!(hits.iter().all(|hit| matches!(hit.artifact, Artifact::Content(_))), "{what}");
    assert!(hits.iter().all(|hit| Some(hit.artifact) == first), "{what}: a photo that was not sent");
}

/// What the ranges of a hit hold, in order.
fn bytes_of(hit: &Hit, sent: &[u8]) -> Vec<u8> {
    let ranges = hit.stream_ranges.iter();
    ranges.flat_map(|range| sent[range.start as usize..range.end as usize].iter().copied()).collect()
}

/// A hit's ranges hold the compressed bytes, each once, and nothing of what stands between parts. Magic bytes and checksums are none
/// of the content.
fn assert_of_parts(hit: &Hit, sent: &[u8], body: &[u8], what: &str) {
    let held = bytes_of(hit, sent);
    let at = body.windows(held.len()).position(|window| window == held);
    assert!(
        at.is_some_and(|at| at <= 18) && held.len() + 18 >= body.len(),
        "{what}: {} of {}",
        held.len(),
        body.len()
    );
}

const PHONE: [u8; 4] = [192, 168, 43, 17];
const SERVER: [u8; 4] = [203, 0, 113, 9];

/// What is found in a capture of a phone with both photos.
fn analysed(frames: &[Vec<u8>]) -> Findings {
    analysed_in_runs(&[frames], &["find"])
}

/// The same of a capture for each run, with its phase.
fn analysed_in_runs(captures: &[&[Vec<u8>]], phases: &[&str]) -> Findings {
    let [photo, kept] = photos();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("DCIM")).unwrap();
    fs::write(folder.path().join("DCIM/sent.jpg"), &photo).unwrap();
    fs::write(folder.path().join("DCIM/kept.jpg"), &kept).unwrap();
    let names: Vec<String> = (0..captures.len()).map(|no| format!("{no}.pcap")).collect();
    for (name, frames) in names.iter().zip(captures) {
        fs::write(folder.path().join(name), packets::pcap(frames)).unwrap();
    }
    fs::write(folder.path().join("keys.log"), quic::key_log()).unwrap();
    let scratch = Scratch::new(folder.path());
    let phone = Phone { addresses: vec![Ipv4Addr::from(PHONE).into()], ..Phone::default() };
    let parts = Parts {
        captures: names.clone(),
        keys: vec!["keys.log".to_owned()],
        files: vec!["DCIM".to_owned()],
        phone,
    };
    let mut case = Case::from_parts(&Disk::new(folder.path()), parts, &scratch).unwrap();
    if let ([run], true) = (&case.runs[..], phases.len() > 1) {
        let one = |(name, phase): (&String, &&str)| Run {
            id: format!("{phase}/{name}"),
            phase: (*phase).to_owned(),
            captures: vec![name.clone()],
            ..run.clone()
        };
        case.runs = names.iter().zip(phases).map(one).collect();
    }
    engine::analyze(&case, &scratch, &Limits::default()).unwrap().findings
}

/// What is found: names, grades, and how many bytes of each.
fn listed(findings: &Findings) -> Vec<(&str, Grade, u64)> {
    findings.findings.iter().map(|one| (one.artifact.as_str(), one.grade, one.matched_bytes)).collect()
}

/// A QUIC connection of HTTP/3 (RFC 9114) with these requests; packets of two streams that follow one another alternate. `ports`
/// are those that the phone sends from, one after the other: it moves the connection (RFC 9000 section 9).
fn http3(parts: &[Sent], ports: &[u16]) -> Vec<Vec<u8>> {
    let server = (SERVER, 443);
    let first = (PHONE, ports[0]);
    let mut frames = vec![
        packets::udp(first, server, &quic::opening("h3")),
        packets::udp(server, first, &quic::answer("h3")),
    ];
    let sealer = quic::Sealer::of(quic::DATA, quic::From::Client);
    let streams = uploads::http3(parts);
    let pairs = streams.chunks(2).zip((0_u64..).step_by(8));
    let mut payloads = vec![quic::stream(2, 0, &[0, 4, 0], false)];
    for (pair, id) in pairs {
        let mut ways: Vec<_> = (id..)
            .step_by(4)
            .zip(pair)
            .map(|(id, bytes)| (id, bytes.chunks(1_000).enumerate().peekable()))
            .collect();
        while ways.iter_mut().any(|(_, chunks)| chunks.peek().is_some()) {
            for (id, chunks) in &mut ways {
                if let Some((no, chunk)) = chunks.next() {
                    payloads.push(quic::stream(*id, no as u64 * 1_000, chunk, chunks.peek().is_none()));
                }
            }
        }
    }
    for (number, payload) in payloads.iter().enumerate() {
        let port = ports[number * ports.len() / payloads.len()];
        let packet = quic::short(
            &sealer,
            &quic::SERVER_ID,
            false,
            number as u64,
            2,
            &quic::padded(payload.clone(), 4),
        );
        frames.push(packets::udp((PHONE, port), server, &packet));
    }
    frames
}

#[test]
fn over_http3_parts_are_put_together_as_over_the_others() {
    let [photo, other] = photos();
    for (naming, wrapper, coding) in [
        (Naming::ContentRange, "gzip", Some("gzip")),
        (Naming::ContentRange, "br", Some("br")),
        (Naming::UploadOffset, "zstd", None),
        (Naming::PartNumber, "zlib", None),
        (Naming::None, "gzip", Some("gzip")),
        (Naming::None, "zstd", None),
    ] {
        let what = format!("{wrapper} {naming:?} {coding:?}");
        let body = wrapped(wrapper, &photo);
        let parts = in_parts(&body, 4, naming, coding);
        let findings = analysed(&http3(&parts, &[40_000]));
        assert_eq!(listed(&findings), [("DCIM/sent.jpg", Grade::Exact, photo.len() as u64)], "{what}");
        assert_eq!(findings.anomalies, [], "{what}");
        let [part] = &findings.findings[0].parts[..] else { panic!("{what}: one leaf holds it") };
        let step = part.steps.iter().find(|step| step.op == "parts").unwrap();
        assert_eq!(step.param.as_deref(), Some("stream 0, stream 4, stream 8, stream 12"), "{what}");
        // It is told where they were captured, behind the client's hello.
        assert!(step.input.start > 1_200, "{what}: {step:?}");
        // What stands around the bytes of a packet, 64 at most of 1,000, may be among what was consumed for them.
        let (matched, sent) = (findings.ledger.all.matched, body.len() as u64);
        assert!((sent - 18..sent + sent / 10).contains(&matched), "{what}: {matched} of {sent}");

        let mut gone = parts.clone();
        gone.remove(2);
        let findings = analysed(&http3(&gone, &[40_000]));
        assert!(findings.findings.iter().all(|one| one.grade == Grade::Partial), "{what}");
        let most = photo.len() as u64 * if naming == Naming::None { 1 } else { 2 } / 4 + 3_000;
        assert!(
            listed(&findings).iter().all(|(name, _, bytes)| *name == "DCIM/sent.jpg" && *bytes < most),
            "{what}"
        );
        if naming != Naming::None {
            let two = in_parts(&wrapped(wrapper, &other), 4, naming, coding)
                .into_iter()
                .map(|part| part.to("/other"));
            let both: Vec<Sent> = parts.iter().cloned().zip(two).flat_map(|(one, two)| [one, two]).collect();
            let findings = analysed(&http3(&both, &[40_000]));
            let listed: Vec<_> =
                listed(&findings).into_iter().map(|(name, grade, _)| (name, grade)).collect();
            let both = ["DCIM/sent.jpg", "DCIM/kept.jpg"].map(|name| (name, Grade::Exact));
            assert_eq!(listed, both, "{what}");
        }
    }
}

#[test]
fn a_compressed_file_in_four_parts_is_found_whole_however_parts_are_named() {
    let [photo, _] = photos();
    for http in [Http::One, Http::OneInChunks, Http::Two] {
        for naming in SCHEMES {
            for coding in ["gzip", "zlib", "br", "zstd"] {
                // That a coding is declared is tried with and without names.
                let tried = matches!(naming, Naming::ContentRange | Naming::None);
                for declared in [None, Some(coding)].into_iter().take(1 + usize::from(tried)) {
                    // Brotli has no first bytes of its own; on the wire "deflate" is zlib.
                    let declared = declared.map(|coding| if coding == "zlib" { "deflate" } else { coding });
                    if coding == "br" && declared.is_none() && naming == Naming::None {
                        continue;
                    }
                    let body = wrapped(coding, &photo);
                    let parts = in_parts(&body, 4, naming, declared);
                    let sent = http.connection(&parts);
                    let hits = found(&sent);
                    let what = format!("{coding}, declared {declared:?}, {naming:?}, {http:?}");
                    assert_honest(&hits, &what);
                    let exact = whole(&hits);
                    assert_eq!(exact.len(), 1, "{what}: {hits:#?}");
                    assert_eq!(hits.len(), 1, "{what}: its parts are listed beside the whole: {hits:#?}");
                    assert!(exact[0].leaf.steps.iter().any(|step| step.op == "parts"), "{what}");
                    if http == Http::One {
                        assert_of_parts(exact[0], &sent, &body, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn a_plain_file_in_named_parts_is_found_whole() {
    let [photo, _] = photos();
    for naming in SCHEMES.into_iter().filter(|naming| *naming != Naming::None) {
        let sent = Http::One.connection(&in_parts(&photo, 5, naming, None));
        let hits = found(&sent);
        assert_eq!((hits.len(), whole(&hits).len()), (1, 1), "{naming:?}: {hits:#?}");
        assert_eq!(bytes_of(&hits[0], &sent), photo, "{naming:?}");
    }
}

#[test]
fn parts_may_come_in_any_order_and_again() {
    let [photo, _] = photos();
    let body = wrapped("gzip", &photo);
    for naming in SCHEMES.into_iter().filter(|naming| *naming != Naming::None) {
        let parts = in_parts(&body, 4, naming, None);
        for order in [vec![3, 1, 0, 2], vec![0, 1, 1, 2, 0, 3], vec![2, 3, 3, 1, 0]] {
            let shuffled: Vec<Sent> = order.iter().map(|&no: &usize| parts[no].clone()).collect();
            let sent = Http::One.connection(&shuffled);
            let hits = found(&sent);
            assert_eq!(whole(&hits).len(), 1, "{naming:?} {order:?}");
            assert_honest(&hits, "order");
        }
    }
    // Those that say nothing come in order; one may come twice.
    let parts = in_parts(&body, 4, Naming::None, None);
    let again: Vec<Sent> = [0, 0, 1, 2, 2, 3].iter().map(|&no: &usize| parts[no].clone()).collect();
    assert_eq!(whole(&found(&Http::One.connection(&again))).len(), 1);
}

#[test]
fn a_resumed_part_may_overlap_the_one_before() {
    let [photo, _] = photos();
    let body = wrapped("gzip", &photo);
    for naming in [Naming::ContentRange, Naming::UploadOffset] {
        for http in [Http::One, Http::OneInChunks] {
            let parts = uploads::ranges(&body, &[0..9_000, 7_000..30_000, 29_999..body.len()], naming, None);
            let sent = http.connection(&parts);
            let hits = found(&sent);
            assert_eq!(whole(&hits).len(), 1, "{naming:?} {http:?}");
            if http == Http::One {
                assert_of_parts(whole(&hits)[0], &sent, &body, "each byte once");
            }
        }
    }
}

#[test]
fn what_stands_before_a_missing_part_is_found_and_nothing_after() {
    let [photo, _] = photos();
    let body = wrapped("gzip", &photo);
    for naming in SCHEMES {
        let mut parts = in_parts(&body, 4, naming, None);
        parts.remove(2);
        let hits = found(&Http::One.connection(&parts));
        assert_honest(&hits, "a missing part");
        assert!(whole(&hits).is_empty(), "{naming:?}");
        let (half, quarter) = (photo.len() as u64 / 2, photo.len() as u64 / 4);
        let least = if naming == Naming::None { quarter } else { half } - 3_000;
        let most = if naming == Naming::None { quarter } else { half } + 3_000;
        assert!((least..most).contains(&covered(&hits)), "{naming:?}: {}", covered(&hits));
    }
}

#[test]
fn parts_behind_the_first_on_a_connection_of_their_own_are_not_found_and_not_understood() {
    let [photo, _] = photos();
    for (wrapper, coding) in [("gzip", Some("gzip")), ("gzip", None), ("zstd", None)] {
        let body = wrapped(wrapper, &photo);
        for naming in SCHEMES {
            let rest = in_parts(&body, 4, naming, coding).split_off(1);
            for http in [Http::One, Http::OneInChunks, Http::Two] {
                let what = format!("{wrapper} {naming:?} {http:?}");
                let sent = http.connection(&rest);
                let (hits, understood) = walked(&Stream::of_bytes(&sent));
                assert!(hits.is_empty(), "{what}: {hits:?}");
                let content: u64 = rest.iter().map(|part| part.body.len() as u64).sum();
                let framing = sent.len() as u64 - content;
                assert!(ByteRange::covered(understood) <= framing, "{what}: more than what frames them");
            }
        }
    }
}

#[test]
fn parts_that_are_one_coding_together_are_not_called_damaged() {
    let [photo, _] = photos();
    for http in [Http::One, Http::OneInChunks, Http::Two] {
        for naming in SCHEMES {
            let codings = [("gzip", "gzip"), ("br", "br"), ("zlib", "deflate"), ("zstd", "zstd")];
            // What differs between protocols is no matter of the coding.
            let tried = if http == Http::One { 4 } else { 1 };
            for (wrapper, coding) in codings.into_iter().take(tried) {
                let what = format!("{coding} {naming:?} {http:?}");
                let body = wrapped(wrapper, &photo);
                let parts = in_parts(&body, 4, naming, Some(coding));
                let said = |parts: &[Sent]| mismatches(&http.connection(parts));
                assert_eq!(said(&parts), [""; 0], "{what}");
                // A part that came twice is one of them; one of a whole file beside them is whole by itself.
                let again = [&parts[..2], &parts[1..]].concat();
                assert_eq!(said(&again), [""; 0], "{what}, one twice");
                // Nothing is withheld where the end is missing, nor where only the middle is there.
                assert!(said(&parts[..3]).len() >= 3, "{what}, without an end: {:?}", said(&parts[..3]));
                assert!(said(&parts[1..3]).len() >= 2, "{what}, the middle: {:?}", said(&parts[1..3]));
                // The whole is wrong: that is said of it, and of its parts. Brotli has no checksum that could tell.
                let mut wrong = parts.clone();
                let end = wrong[3].body.len();
                wrong[3].body.truncate(end - 9);
                wrong[3].body.extend([0x55; 9]);
                let said = said(&wrong);
                assert!(coding == "br" || said.len() >= 4, "{what}, damaged: {said:?}");
            }
        }
    }
}

#[test]
fn a_body_that_is_not_in_the_coding_that_it_declares_is_odd_beside_others_that_are_joined() {
    let [photo, _] = photos();
    let body = wrapped("gzip", &photo);
    for naming in SCHEMES.into_iter().filter(|naming| *naming != Naming::None) {
        let parts = in_parts(&body, 4, naming, Some("gzip"));
        let noisy =
            Sent { body: noise(7, 5_000), ..in_parts(&body, 1, Naming::None, Some("gzip"))[0].clone() };
        let sent = [&parts[..2], &[noisy], &parts[2..]].concat();
        assert_eq!(mismatches(&Http::One.connection(&sent)).len(), 1, "{naming:?}");
        // One that says that it is in another coding than the first is wrong whatever it is a part of.
        let mut other = parts.clone();
        other[2].fields.iter_mut().filter(|(name, _)| name == "content-encoding").for_each(|(_, coding)| {
            "zstd".clone_into(coding);
        });
        assert_eq!(mismatches(&Http::One.connection(&other)).len(), 1, "{naming:?}");
    }
}

#[test]
fn two_uploads_that_alternate_come_apart() {
    let [photo, other] = photos();
    for http in [Http::One, Http::Two] {
        for naming in SCHEMES {
            let one = in_parts(&wrapped("gzip", &photo), 4, naming, None);
            let two = in_parts(&wrapped("zstd", &other), 4, naming, None);
            let two = two.into_iter().map(|part| part.to("/other"));
            let both: Vec<Sent> = one.into_iter().zip(two).flat_map(|(one, two)| [one, two]).collect();
            let hits = found(&http.connection(&both));
            let mut names: Vec<Artifact> = whole(&hits).iter().map(|hit| hit.artifact).collect();
            names.dedup();
            assert_eq!(names.len(), 2, "{naming:?} {http:?}");
        }
    }
}

#[test]
fn one_target_takes_one_file_after_another() {
    let [photo, other] = photos();
    for naming in SCHEMES {
        let both = [photo.as_slice(), &other].map(|photo| in_parts(&wrapped("gzip", photo), 3, naming, None));
        let hits = found(&Http::One.connection(&both.concat()));
        assert_eq!(whole(&hits).len(), 2, "{naming:?}");
    }
}

#[test]
fn versions_of_a_part_that_differ_are_not_put_together() {
    let [photo, _] = photos();
    let body = wrapped("gzip", &photo);
    for naming in SCHEMES.into_iter().filter(|naming| *naming != Naming::None) {
        let mut parts = in_parts(&body, 4, naming, None);
        let mut other = parts[1].clone();
        other.body[3_000] ^= 1;
        parts.insert(1, other);
        let hits = found(&Http::One.connection(&parts));
        assert!(whole(&hits).is_empty(), "{naming:?}: {hits:#?}");
        assert_honest(&hits, "two versions");
    }
}

#[test]
fn bodies_that_are_no_upload_in_parts_are_not_put_together() {
    let [photo, _] = photos();
    let body = wrapped("gzip", &photo);
    let plain = in_parts(&body, 4, Naming::None, None);
    let joined = |parts: &[Sent]| {
        let hits = found(&Http::One.connection(parts));
        assert_honest(&hits, "unrelated");
        assert!(covered(&hits) < photo.len() as u64 / 2, "{}", covered(&hits));
        hits.iter().any(|hit| hit.leaf.steps.iter().any(|step| step.op == "parts"))
    };
    let noisy = |no: usize| Sent { body: noise(90 + no as u64, plain[no].body.len()), ..plain[no].clone() };
    // Another body follows; one lies between; the end is another's; paths, hosts or methods differ.
    assert!(!joined(&[plain[0].clone(), noisy(1)]));
    assert!(!joined(&[plain[0].clone(), noisy(1), plain[1].clone(), plain[2].clone(), plain[3].clone()]));
    assert!(!joined(&[plain[0].clone(), plain[1].clone(), plain[2].clone(), noisy(3)]));
    let elsewhere = |change: fn(Sent) -> Sent| {
        let mut parts = plain.clone();
        let first = parts.remove(0);
        let rest = parts.into_iter().map(change);
        std::iter::once(first).chain(rest).collect::<Vec<Sent>>()
    };
    assert!(!joined(&elsewhere(|part| part.to("/other"))));
    assert!(!joined(&elsewhere(|part| Sent { host: "other.example".into(), ..part })));
    assert!(!joined(&elsewhere(|part| Sent { method: "PUT".into(), ..part })));
    // A byte more behind the end.
    let mut more = plain.clone();
    more[3].body.push(0);
    let hits = found(&Http::One.connection(&more));
    assert!(whole(&hits).is_empty(), "what does not end with a body is none");
    // A range that is not as long as its body.
    let mut ranged = in_parts(&body, 4, Naming::ContentRange, None);
    for part in &mut ranged {
        part.body.push(0);
    }
    assert!(!joined(&ranged));
}

#[test]
fn a_capture_of_an_upload_in_parts_is_analysed_to_its_frames_and_its_ledger() {
    let [photo, _] = photos();
    let body = wrapped("gzip", &photo);
    let parts = in_parts(&body, 4, Naming::ContentRange, None);
    let sent = Http::One.connection(&parts);
    let findings = analysed(&packets::connection((PHONE, 40_000), (SERVER, 80), &sent, b""));
    let listed: Vec<_> = findings.findings.iter().map(|one| (one.artifact.as_str(), one.grade)).collect();
    assert_eq!(listed, [("DCIM/sent.jpg", Grade::Exact)]);
    // Each compressed byte is matched once, no byte of a head is; nor are the 18 of gzip's own header and trailer (RFC 1952 section 2.3).
    assert_eq!(findings.ledger.all.matched, body.len() as u64 - 18);
    assert_eq!(findings.ledger.all.total, sent.len() as u64);
    let anomalies: Vec<&Anomaly> = findings.anomalies.iter().collect();
    assert!(anomalies.is_empty(), "{anomalies:#?}");
}

/// A connection for each part, from ports that go up. `beside`: all at the same time.
fn connections(http: Http, parts: &[Sent], beside: bool) -> Vec<Vec<u8>> {
    connections_from(40_000, http, parts, beside)
}

fn connections_from(port: u16, http: Http, parts: &[Sent], beside: bool) -> Vec<Vec<u8>> {
    let one = |(port, part): (u16, &Sent)| {
        packets::connection((PHONE, port), (SERVER, 80), &http.connection(std::slice::from_ref(part)), b"")
    };
    let all: Vec<Vec<Vec<u8>>> = (port..).zip(parts).map(one).collect();
    if !beside {
        return all.concat();
    }
    let longest = all.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|no| all.iter().filter_map(move |frames| frames.get(no).cloned())).collect()
}

const TOLD: [Naming; 4] = [Naming::ContentRange, Naming::OpenRange, Naming::UploadOffset, Naming::PartNumber];

#[test]
fn parts_that_are_named_are_put_together_over_connections() {
    let [photo, _] = photos();
    let whole = [("DCIM/sent.jpg", Grade::Exact, photo.len() as u64)];
    for (no, naming) in TOLD.into_iter().enumerate() {
        for (wrapper, coding) in [("gzip", Some("gzip")), ("gzip", None), ("br", Some("br")), ("zstd", None)]
        {
            let http = [Http::One, Http::OneInChunks, Http::Two][no % 3];
            let body = wrapped(wrapper, &photo);
            let parts = in_parts(&body, 4, naming, coding);
            for (beside, order) in [(false, [0, 1, 2, 3]), (true, [0, 1, 2, 3]), (false, [2, 0, 3, 1])] {
                let what = format!("{wrapper} {coding:?} {naming:?} {http:?}, beside: {beside}, {order:?}");
                let sent: Vec<Sent> = order.iter().map(|&no: &usize| parts[no].clone()).collect();
                let findings = analysed(&connections(http, &sent, beside));
                assert_eq!(listed(&findings), whole, "{what}");
                assert_eq!(findings.anomalies, [], "{what}");
                let found = &findings.findings[0];
                assert!(found.probative && found.probative_bytes == photo.len() as u64, "{what}: {found:#?}");
                // Each connection carried bytes of its own, and says which.
                let step = |part: &exhibit::findings::Part| {
                    let step = part.steps.iter().find(|step| step.op == "parts.across");
                    step.and_then(|step| step.param.clone()).unwrap_or_default()
                };
                let told: Vec<String> = found.parts.iter().map(step).collect();
                let listed: Vec<String> = (0..4)
                    .map(|no| (order.iter().position(|&at| at == no).unwrap() + 1).to_string())
                    .collect();
                let wanted: Vec<String> = (1..5).map(|no| format!("{no} of {}", listed.join(", "))).collect();
                assert_eq!(told, wanted, "{what}");
                if http == Http::One {
                    // By hand, as docs/steps.md says: the steps of each part up to there, then all in that order.
                    let bodies = found.parts.iter().zip(&sent).map(|(part, one)| {
                        let range = part.steps.iter().find(|step| step.op == "http1.body").unwrap().input;
                        let bytes = http.connection(std::slice::from_ref(one));
                        bytes[range.start as usize..range.end as usize].to_vec()
                    });
                    let bodies: Vec<Vec<u8>> = bodies.collect();
                    let place = |no: &String| no.parse::<usize>().unwrap() - 1;
                    let by_hand: Vec<u8> =
                        listed.iter().flat_map(|no| bodies[place(no)].iter().copied()).collect();
                    assert_eq!(by_hand, body, "{what}");
                }
                let flows: BTreeSet<&str> = found.parts.iter().map(|part| part.flow.as_str()).collect();
                assert_eq!((found.parts.len(), flows.len()), (4, 4), "{what}");
                let hull = |sum: u64, part: &exhibit::findings::Part| sum + part.artifact_range.len();
                let told = found.parts.iter().fold(0, hull);
                // A block of zstd comes out when its last byte came in.
                let most = photo.len() as u64 * if wrapper == "zstd" { 4 } else { 3 };
                assert!((photo.len() as u64..=most).contains(&told), "{what}: {told}");
                // Those 18 are gzip's own header and trailer (RFC 1952 section 2.3); others have less.
                let (matched, sent) = (findings.ledger.all.matched, body.len() as u64);
                let framing = if http == Http::One { 0 } else { 200 };
                assert!((sent - 18..=sent + framing).contains(&matched), "{what}: {matched} of {sent}");
            }
        }
    }
}

#[test]
fn what_connections_carry_is_not_put_together_where_it_is_not_one_upload() {
    let [photo, _] = photos();
    let body = wrapped("gzip", &photo);
    for naming in TOLD {
        let parts = in_parts(&body, 4, naming, Some("gzip"));
        let findings = |parts: &[Sent]| analysed(&connections(Http::One, parts, false));
        let apart = |findings: &Findings, most: u64, what: &str| {
            let what = format!("{naming:?}, {what}");
            let most = photo.len() as u64 * most / 4 + 3_000;
            for (name, grade, bytes) in listed(findings) {
                assert_eq!((name, grade), ("DCIM/sent.jpg", Grade::Partial), "{what}");
                assert!(bytes < most, "{what}: {bytes}");
            }
            // What can't be joined is damaged as it stands.
            let coding = |one: &&Anomaly| one.kind == AnomalyKind::CodingMismatch;
            assert!(
                findings.anomalies.iter().filter(coding).count() >= 2,
                "{what}: {:?}",
                findings.anomalies
            );
        };
        let changed = |change: &dyn Fn(Sent) -> Sent| {
            let rest = parts[1..].iter().cloned().map(change);
            std::iter::once(parts[0].clone()).chain(rest).collect::<Vec<_>>()
        };
        apart(&findings(&changed(&|part| part.to("/other"))), 1, "another target");
        apart(&findings(&changed(&|part| Sent { host: "other.example".into(), ..part })), 1, "another host");
        apart(&findings(&changed(&|part| Sent { method: "POST".into(), ..part })), 1, "another method");
        apart(&findings(&parts[1..]), 0, "no first part");
        apart(&findings(&[&parts[..2], &parts[3..]].concat()), 2, "a part is missing");
        // Of a part there are two versions; which one the file was made of nobody knows.
        let mut other = parts[1].clone();
        other.body[3_000] ^= 1;
        apart(&findings(&[&parts[..2], &[other], &parts[2..]].concat()), 2, "versions differ");
        // Another run, of another phase or of the same.
        let halves = [(40_000, 0..2), (50_000, 2..4)];
        let halves = halves.map(|(port, half)| connections_from(port, Http::One, &parts[half], false));
        for phases in [["one", "two"], ["one", "one"]] {
            apart(&analysed_in_runs(&[&halves[0], &halves[1]], &phases), 2, "another run");
        }
        // Another machine.
        let mut frames = connections(Http::One, &parts[..1], false);
        for (port, part) in (50_000..).zip(&parts[1..]) {
            let sent = Http::One.connection(std::slice::from_ref(part));
            frames.extend(packets::connection(([192, 168, 43, 99], port), (SERVER, 80), &sent, b""));
        }
        apart(&analysed(&frames), 1, "another machine");
    }
    // Those that say nothing are put together within one connection alone.
    let parts = in_parts(&body, 4, Naming::None, Some("gzip"));
    let findings = analysed(&connections(Http::One, &parts, false));
    assert!(findings.findings.iter().all(|one| one.grade == Grade::Partial && one.matched_bytes < 14_000));
}

#[test]
fn a_plain_file_in_named_parts_over_connections_is_found_whole() {
    let [photo, _] = photos();
    for naming in TOLD {
        let parts = in_parts(&photo, 5, naming, None);
        let findings = analysed(&connections(Http::One, &parts, true));
        assert_eq!(listed(&findings), [("DCIM/sent.jpg", Grade::Exact, photo.len() as u64)], "{naming:?}");
        assert_eq!(findings.ledger.all.matched, photo.len() as u64, "{naming:?}");
    }
}

#[test]
fn a_tiny_last_part_on_a_connection_of_its_own_is_not_lost() {
    let [photo, _] = photos();
    let body = wrapped("gzip", &photo);
    let cuts = [0..9_000, 9_000..body.len() - 40, body.len() - 40..body.len()];
    let parts = uploads::ranges(&body, &cuts, Naming::ContentRange, None);
    let findings = analysed(&connections(Http::One, &parts, false));
    assert_eq!(listed(&findings), [("DCIM/sent.jpg", Grade::Exact, photo.len() as u64)]);
}

#[test]
fn named_parts_of_a_quic_connection_that_moves_are_put_together() {
    let [photo, _] = photos();
    let parts = in_parts(&wrapped("gzip", &photo), 4, Naming::ContentRange, Some("gzip"));
    // Two streams alternate: the first pair ends where the client moves.
    let findings = analysed(&http3(&parts, &[40_000, 40_001]));
    assert_eq!(listed(&findings), [("DCIM/sent.jpg", Grade::Exact, photo.len() as u64)]);
    assert_eq!(findings.anomalies, []);
}

#[test]
fn parts_that_two_connections_carry_in_pairs_are_put_together() {
    let [photo, _] = photos();
    for http in [Http::One, Http::Two] {
        let parts = in_parts(&wrapped("gzip", &photo), 4, Naming::UploadOffset, Some("gzip"));
        for pairs in [[[0, 1], [2, 3]], [[0, 2], [1, 3]]] {
            let one = |(port, pair): (u16, [usize; 2])| {
                let sent = http.connection(&pair.map(|no| parts[no].clone()));
                packets::connection((PHONE, port), (SERVER, 80), &sent, b"")
            };
            let frames: Vec<_> = (40_000..).zip(pairs).flat_map(one).collect();
            let findings = analysed(&frames);
            let whole = [("DCIM/sent.jpg", Grade::Exact, photo.len() as u64)];
            assert_eq!(listed(&findings), whole, "{http:?} {pairs:?}");
            assert_eq!(findings.anomalies, [], "{http:?} {pairs:?}");
        }
    }
}

#[test]
fn a_plain_file_that_goes_over_connections_without_names_is_whole_where_every_byte_of_it_is_there() {
    let [photo, _] = photos();
    let parts = in_parts(&photo, 4, Naming::None, None);
    let whole = [("DCIM/sent.jpg", Grade::Exact, photo.len() as u64)];
    assert_eq!(listed(&analysed(&connections(Http::One, &parts, true))), whole);
    // Over HTTP/3 while the client moves twice: parts, and one body. The hello names the host that requests name.
    for parts in [4, 1] {
        let parts = in_parts(&photo, parts, Naming::None, None).into_iter();
        let parts: Vec<Sent> = parts.map(|part| Sent { host: "quic.example".into(), ..part }).collect();
        assert_eq!(listed(&analysed(&http3(&parts, &[40_000, 40_001, 40_002]))), whole);
    }
    let partial = |frames: &[Vec<u8>], what: &str| {
        let findings = analysed(frames);
        assert!(!findings.findings.is_empty(), "{what}");
        for (name, grade, bytes) in listed(&findings) {
            assert_eq!((name, grade), ("DCIM/sent.jpg", Grade::Partial), "{what}: {bytes}");
        }
    };
    let changed = |no: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let mut parts = parts.clone();
        change(&mut parts[no].body);
        connections(Http::One, &parts, false)
    };
    partial(&changed(2, &|body| body[100] ^= 1), "a byte differs");
    partial(&changed(3, &|body| body.truncate(body.len() - 1)), "the last byte is missing");
    partial(&changed(0, &|body| *body = body.split_off(1)), "the first byte is missing");
    partial(&changed(1, &|body| body.push(7)), "a byte more");
    partial(&connections(Http::One, &[&parts[..2], &parts[3..]].concat(), false), "a part is missing");
    let elsewhere = Sent { host: "other.test".into(), ..parts[3].clone() };
    partial(&connections(Http::One, &[&parts[..3], &[elsewhere]].concat(), false), "another family");
    let halves = [(40_000, 0..2), (50_000, 2..4)];
    let halves = halves.map(|(port, half)| connections_from(port, Http::One, &parts[half], false));
    for phases in [["one", "two"], ["one", "one"]] {
        let findings = analysed_in_runs(&[&halves[0], &halves[1]], &phases);
        assert!(findings.findings.iter().all(|one| one.grade == Grade::Partial), "{phases:?}");
    }
}

#[test]
fn parts_that_a_service_names_in_its_own_way_are_put_together() {
    let [photo, other] = photos();
    for (naming, wrapper, coding) in [
        (Naming::ChunkNumber, "gzip", Some("gzip")),
        (Naming::ChunkNumber, "zstd", None),
        (Naming::Session, "gzip", Some("gzip")),
        (Naming::Session, "zlib", None),
        (Naming::Session, "zstd", None),
    ] {
        let body = wrapped(wrapper, &photo);
        let parts = in_parts(&body, 4, naming, coding);
        for http in [Http::One, Http::OneInChunks, Http::Two] {
            let what = format!("{naming:?} {wrapper} {coding:?} {http:?}");
            let hits = found(&http.connection(&parts));
            assert_honest(&hits, &what);
            assert_eq!((hits.len(), whole(&hits).len()), (1, 1), "{what}: {hits:#?}");
            assert_eq!(mismatches(&http.connection(&parts)), [""; 0], "{what}");
            let order = [0, 2, 1, 3].map(|no: usize| parts[no].clone());
            assert_eq!(whole(&found(&http.connection(&order))).len(), 1, "{what}, in another order");
            assert!(whole(&found(&http.connection(&parts[1..]))).is_empty(), "{what}, without the first");
            assert!(whole(&found(&http.connection(&parts[..3]))).is_empty(), "{what}, without the last");
        }
    }
    // Two sessions at once: which first part is whose is told by its length, and by what comes out.
    let session = |whole: &[u8], id: &str, size: usize| {
        let cuts: Vec<_> =
            (0..whole.len()).step_by(size).map(|start| start..(start + size).min(whole.len())).collect();
        let named = uploads::ranges(whole, &cuts, Naming::Session, Some("gzip")).into_iter();
        let field = |(name, value): (String, String)| (name, value.replace("AAAA", id));
        named
            .map(|part| Sent { fields: part.fields.into_iter().map(field).collect(), ..part })
            .collect::<Vec<_>>()
    };
    for (sizes, expected) in [([8_000, 9_000], 2), ([8_000, 8_000], 2)] {
        let one = session(&wrapped("gzip", &photo), "one", sizes[0]);
        let two = session(&wrapped("gzip", &other), "two", sizes[1]);
        let both: Vec<Sent> = one.into_iter().zip(two).flat_map(|(one, two)| [two, one]).collect();
        assert_eq!(whole(&found(&Http::One.connection(&both))).len(), expected, "{sizes:?}");
    }
    // The client asked twice for a session, and one answer was lost.
    let one = session(&wrapped("gzip", &photo), "one", 8_000);
    let again = [&one[..1], &one[..]].concat();
    assert_eq!(whole(&found(&Http::One.connection(&again))).len(), 1);
    // The session says that other bytes came before, or goes on behind the end of the stream.
    let moved = |(name, value): (String, String)| {
        (name, value.replace("8000", "8001").replace("16000", "16001").replace("24000", "24001"))
    };
    let shifted = one.iter().cloned().map(|part| {
        let fields = part.fields.into_iter().map(moved).collect();
        Sent { fields, ..part }
    });
    assert!(whole(&found(&Http::One.connection(&shifted.collect::<Vec<_>>()))).is_empty());
    let (body, behind) = (wrapped("gzip", &photo), noise(5, 8_000));
    let end = body.len();
    for cuts in [[0..8_000, 8_000..end, end..end + 8_000], [0..8_000, 8_000..end - 9, end - 9..end + 8_000]] {
        let more = uploads::ranges(&[&body[..], &behind].concat(), &cuts, Naming::Session, None);
        assert!(whole(&found(&Http::One.connection(&more))).is_empty(), "{cuts:?}");
    }
    // A first part that belongs to another file.
    let two = session(&wrapped("gzip", &other), "two", 8_000);
    assert!(whole(&found(&Http::One.connection(&[&two[..1], &one[1..]].concat()))).is_empty());
}

#[test]
fn parts_of_a_connection_whose_segments_disagree_are_no_ground_for_what_others_carried() {
    let [photo, _] = photos();
    let parts = in_parts(&wrapped("gzip", &photo), 4, Naming::ContentRange, None);
    let frames = connections(Http::One, &parts, false);
    let grades = |frames: &[Vec<u8>]| -> Vec<Grade> {
        analysed(frames).findings.into_iter().map(|one| one.grade).collect()
    };
    assert_eq!(grades(&frames), [Grade::Exact]);
    // A segment of the second connection comes again, and says something else: in the target that names the upload (behind 54 bytes
    // of headers and the method), or in the body.
    let port = 40_001_u16.to_be_bytes();
    let sends = |frame: &Vec<u8>| frame.len() > 1_000 && frame[34..36] == port;
    let at = frames.iter().position(sends).unwrap();
    for place in [54 + 5, frames[at].len() - 1] {
        let mut frames = frames.clone();
        let mut other = frames[at].clone();
        other[place] ^= 1;
        frames.insert(at + 1, other);
        assert!(!grades(&frames).contains(&Grade::Exact), "{place}: {:?}", grades(&frames));
    }
}
