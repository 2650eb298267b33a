//! Leaves against device files and identifiers: what must be found, where exactly, and what must not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may panic")]

use std::{collections::BTreeMap, sync::Arc};

use exhibit::{
    case::device::{Device, DeviceFile},
    engine::{
        correlate::{
            Artifact, Catalog, Caveat, Closed, Collector, FlowRef, Harvest, Hit, Outcome, Spool, conclude,
        },
        decode::sink::{Keep, Origin},
    },
    evidence::{ByteRange, Digest, Direction, Limits, Scratch},
    findings::{Grade, Step},
};

/// Bytes that look random and are the same on each machine (splitmix64).
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end)
}

fn device(files: &[(&str, &[u8])]) -> Device {
    let file =
        |&(path, bytes): &(&str, &[u8])| DeviceFile::new(path.to_owned(), Arc::new(bytes.to_vec())).unwrap();
    Device { files: files.iter().map(file).collect() }
}

/// A case in small: device files, identifiers, and leaves cut into chunks.
struct Bench {
    catalog: Catalog,
    limits: Limits,
}

impl Bench {
    fn new(files: &[(&str, &[u8])], identifiers: &[(&str, &str)]) -> Self {
        let limits = Limits::default();
        let devices = BTreeMap::from([("phone".to_owned(), device(files))]);
        let identifiers =
            identifiers.iter().map(|&(kind, value)| (kind.to_owned(), value.to_owned())).collect();
        Self { catalog: Catalog::build(&devices, &identifiers, &limits).unwrap(), limits }
    }

    fn name(&self, hit: &Hit) -> String {
        match hit.artifact {
            Artifact::Content(id) => self.catalog.content(id).unwrap().names[0].path.clone(),
            Artifact::Identifier(id) => self.catalog.identifiers()[id.0 as usize].kind.clone(),
        }
    }

    /// Sends each leaf as a flow of its own, in chunks of `cut` bytes, at stream offset 1000.
    fn run(&self, leaves: &[&[u8]], cut: usize) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(Scratch::new(folder.path()));
        let harvests = (0..)
            .zip(leaves)
            .map(|(flow, leaf)| self.send(&spool, flow, leaf, cut, Keep::Search).1)
            .collect();
        conclude(&self.catalog, spool, harvests, &self.limits).unwrap()
    }

    fn send(&self, spool: &Spool, flow: u32, leaf: &[u8], cut: usize, keep: Keep) -> (Closed, Harvest) {
        let mut collector = Collector::new(&self.catalog, spool, FlowRef { capture: 0, flow }, &self.limits);
        let id = collector.open(origin(keep));
        let mut at = 1_000;
        for chunk in leaf.chunks(cut) {
            collector.write(id, chunk, range(at, at + chunk.len() as u64));
            at += chunk.len() as u64;
        }
        let closed = collector.close(id, &steps(leaf.len() as u64)).unwrap();
        (closed, collector.finish().unwrap())
    }
}

fn steps(len: u64) -> Vec<Step> {
    vec![Step { op: "http1.body".to_owned(), param: None, input: range(1_000, 1_000 + len), output: len }]
}

fn origin(keep: Keep) -> Origin {
    Origin { direction: Direction::Up, transaction: None, steps: steps(0), keep }
}

#[test]
fn a_whole_file_is_found_by_its_digest_and_keeps_its_place() {
    let (photo, other) = (noise(1, 70_000), noise(2, 70_000));
    let bench = Bench::new(&[("phone/a.jpg", &photo), ("phone/b.jpg", &other)], &[]);
    let outcome = bench.run(&[&photo], 1_460);
    let [hit] = outcome.hits.as_slice() else { panic!("{:?}", outcome.hits) };
    assert_eq!((bench.name(hit).as_str(), hit.grade), ("phone/a.jpg", Grade::Exact));
    assert_eq!(hit.artifact_range, range(0, 70_000));
    assert_eq!(hit.stream_ranges, [range(1_000, 71_000)]);
    assert_eq!((hit.leaf.steps.as_slice(), hit.transformed), (steps(70_000).as_slice(), false));
    assert!(hit.probative && hit.probative_bytes() >= 4_096 && hit.caveats.is_empty());
}

#[test]
fn equal_files_are_one_content_with_every_name() {
    let photo = noise(1, 5_000);
    let devices = BTreeMap::from([
        ("one".to_owned(), device(&[("one/a.jpg", &photo), ("one/empty", b"")])),
        ("two".to_owned(), device(&[("two/z.jpg", &photo), ("two/b.jpg", &photo)])),
    ]);
    let catalog = Catalog::build(&devices, &BTreeMap::new(), &Limits::default()).unwrap();
    let [content] = catalog.contents.as_slice() else { panic!() };
    let paths: Vec<_> = content.names.iter().map(|name| name.path.as_str()).collect();
    assert_eq!(paths, ["one/a.jpg", "two/b.jpg", "two/z.jpg"]);
    assert_eq!(content.digest, Digest::of(&photo));
    assert_eq!(catalog.digests()["one/empty"], (Digest::of(b""), 0));
}

#[test]
fn digests_are_made_only_while_a_leaf_can_be_a_file() {
    let photo = noise(1, 5_000);
    let bench = Bench::new(&[("phone/a.jpg", &photo), ("phone/tiny", b"tiny")], &[]);
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(Scratch::new(folder.path()));
    let closed = |leaf: &[u8]| bench.send(&spool, 0, leaf, 7, Keep::Digest).0;
    assert_eq!(closed(&photo).digest, Some(Digest::of(&photo)));
    assert!(closed(&photo).content.is_some() && closed(b"tiny").content.is_some());
    assert_eq!(closed(&[&photo[..], b"x"].concat()).digest, None);
    assert_eq!(closed(&photo[..4_999]).content, None);
    assert_eq!(closed(&photo[1..]), Closed { len: 4_999, digest: None, content: None });
    assert_eq!(closed(b""), Closed { len: 0, digest: None, content: None });
}

const IMEI: &str = "867622014512347";

#[test]
fn an_identifier_is_found_across_any_cut() {
    let bench = Bench::new(&[], &[("imei", IMEI), ("wifi_mac", "64:b4:80:0a:0B:01")]);
    let mut leaf = noise(3, 300);
    leaf[100..115].copy_from_slice(IMEI.as_bytes());
    leaf[99] = b'=';
    leaf[115] = b'&';
    leaf[200..217].copy_from_slice(b"64-B4-80-0a-0b-01");
    leaf[230..242].copy_from_slice(b"64b4800A0b01");
    leaf[242] = b'"';
    for cut in [1, 2, 3, 7, 16, 101, 104, 300] {
        let found: Vec<_> = bench.run(&[&leaf], cut).hits;
        let places: Vec<_> = found.iter().map(|hit| (bench.name(hit), hit.leaf_range)).collect();
        let expected = [("imei", 100, 115), ("wifi_mac", 200, 217), ("wifi_mac", 230, 242)];
        assert_eq!(places, expected.map(|(kind, from, to)| (kind.to_owned(), range(from, to))), "cut {cut}");
        assert!(found.iter().all(|hit| hit.probative && hit.caveats.is_empty()), "{found:?}");
        assert_eq!(found[0].stream_ranges, [range(1_100, 1_115)]);
    }
}

#[test]
fn phone_numbers_are_found_with_and_without_plus_and_not_by_halves() {
    let bench = Bench::new(&[], &[("own_number", "+852 9876-5432")]);
    let found =
        bench.run(&[b"to=%2B85298765432&from=+85298765432;98765432", b"x85298765432", b"8529876543"], 5);
    assert_eq!(found.hits.len(), 3, "{:?}", found.hits);
    let longer = bench.run(&[b"=185298765432=", b"=852987654321="], 5).hits;
    assert!(longer.len() == 2 && longer.iter().all(|hit| hit.caveats.contains(&Caveat::InsideLonger)));
}

#[test]
fn constants_and_short_values_carry_no_verdict() {
    let bench = Bench::new(&[], &[("bssid", "02:00:00:00:00:00"), ("pin", "7351"), ("x", "abc")]);
    let found = bench.run(&[b"bssid=02:00:00:00:00:00&pin=7351&x=abc"], 9).hits;
    let codes: Vec<Vec<_>> =
        found.iter().map(|hit| hit.caveats.iter().map(|caveat| caveat.code()).collect()).collect();
    assert_eq!(codes, [vec!["placeholder", "not_probative"], vec!["not_probative"]]);
    assert!(!bench.catalog.identifiers()[2].searched);
}
