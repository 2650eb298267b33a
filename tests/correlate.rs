//! Leaves against device files and identifiers: what must be found, where exactly, and what must not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may panic")]

use std::{collections::BTreeMap, sync::Arc};

use exhibit::{
    case::device::{Device, DeviceFile},
    engine::{
        correlate::{
            Artifact, Catalog, Caveat, Closed, Collector, FlowRef, Harvest, Hit, Outcome, Spool, conclude,
        },
        decode::sink::{Keep, Origin, Source},
    },
    evidence::{ByteRange, Digest, Direction, Limits, Scratch, hex},
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
        Self { catalog: Catalog::build(&devices, &identifiers, &[], &limits).unwrap(), limits }
    }

    fn name(&self, hit: &Hit) -> String {
        match hit.artifact {
            Artifact::Content(id) => self.catalog.content(id).unwrap().names[0].path.clone(),
            Artifact::CopyOf(id) => format!("copy of {}", self.catalog.content(id).unwrap().names[0].path),
            Artifact::Value(id) => self.catalog.value(id).unwrap().kind.clone(),
            Artifact::DigestOf(id) => {
                format!("digest of {}", self.catalog.content(id).unwrap().names[0].path)
            }
            Artifact::HashOf(id) => format!("hash of {}", self.catalog.value(id).unwrap().kind),
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
            collector.write(id, chunk, Source::Copied(range(at, at + chunk.len() as u64)));
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
    let catalog = Catalog::build(&devices, &BTreeMap::new(), &[], &Limits::default()).unwrap();
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
fn phone_numbers_are_found_with_and_without_country_and_not_by_halves() {
    let bench = Bench::new(&[], &[("own_number", "+852 9876-5432")]);
    let found =
        bench.run(&[b"to=%2B85298765432&from=+85298765432;98765432", b"x85298765432", b"8529876543"], 5);
    let lengths: Vec<u64> = found.hits.iter().map(|hit| hit.leaf_range.len()).collect();
    assert_eq!(lengths, [11, 11, 8, 11], "with its country, twice, without it, and with it");
    for cut in 1..40 {
        let before = [&noise(4, 60)[..], b"=185298765432="].concat();
        let after = [&noise(4, 60)[..], b"=852987654321=", &noise(5, 60)].concat();
        let longer = bench.run(&[&before, &after], cut).hits;
        assert_eq!(longer.len(), 2, "cut {cut}");
        assert!(longer.iter().all(|hit| hit.caveats.contains(&Caveat::InsideLonger)), "cut {cut}");
    }
}

#[test]
fn constants_and_short_values_carry_no_verdict() {
    let bench = Bench::new(&[], &[("bssid", "02:00:00:00:00:00"), ("pin", "7351"), ("x", "abc")]);
    let found = bench.run(&[b"bssid=02:00:00:00:00:00&pin=7351&x=abc"], 9).hits;
    let codes: Vec<Vec<_>> =
        found.iter().map(|hit| hit.caveats.iter().map(|caveat| caveat.code()).collect()).collect();
    assert_eq!(codes, [vec!["placeholder", "not_probative"], vec!["not_probative"]]);
    assert!(!bench.catalog.values()[2].searched);
}

/// A leaf that is one field of a form.
fn field(name: &str, value: &[u8], bench: &Bench, around: usize) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(Scratch::new(folder.path()));
    let mut collector =
        Collector::new(&bench.catalog, &spool, FlowRef { capture: 0, flow: 0 }, &bench.limits);
    let step = Step { op: "form.value".into(), param: Some(name.into()), input: range(0, 0), output: 0 };
    let mut leaf = |steps: Vec<Step>, bytes: &[u8]| {
        let origin =
            Origin { direction: Direction::Up, transaction: None, steps: steps.clone(), keep: Keep::Search };
        let id = collector.open(origin);
        collector.write(id, bytes, Source::Copied(range(0, bytes.len() as u64)));
        collector.close(id, &steps);
    };
    leaf(vec![step], value);
    // Bytes that make luck likelier.
    leaf(Vec::new(), &vec![b'x'; around]);
    let harvest = collector.finish().unwrap();
    conclude(&bench.catalog, spool, vec![harvest], &bench.limits).unwrap()
}

#[test]
fn a_short_value_needs_a_field_that_is_named_for_it_or_a_second_value() {
    let bench = Bench::new(&[], &[("own_number", "+85298765432"), ("imei", IMEI)]);
    let probative = |outcome: &Outcome| outcome.hits.iter().map(|hit| hit.probative).collect::<Vec<_>>();
    const MUCH: usize = 8 << 20;
    assert_eq!(probative(&field("msisdn", b"98765432", &bench, MUCH)), [true]);
    assert_eq!(
        probative(&field("size", b"98765432", &bench, MUCH)),
        [false],
        "eight digits in eight megabytes"
    );
    assert_eq!(probative(&field("msisdn", b"at 98765432", &bench, MUCH)), [false], "the field holds more");
    // Beside the IMEI in the same leaf the number weighs more than alone.
    let both = field("q", b"98765432;867622014512347", &bench, MUCH);
    assert_eq!(probative(&both), [true, true]);
}

#[test]
fn hashes_are_found_as_hashes_and_messages_as_records() {
    let csv = b"id,body,number
sms-body-1,Meet me at the pier at nine and bring 300 dollars,+8613812345678
";
    let bench = Bench::new(&[("sms.csv", csv)], &[("imei", IMEI)]);
    let leaf = b"{\"h\":\"2B4B7A2E2F60B3CF\"}";
    assert!(bench.run(&[leaf], 9).hits.is_empty(), "another hash");
    let sha256 = hex(&<sha2::Sha256 as sha2::Digest>::digest(IMEI));
    let text = format!("h={sha256}&m=Meet me at the pier at nine and bring 300 dollars&n=13812345678");
    let outcome = bench.run(&[text.as_bytes()], 7);
    let mut names: Vec<(String, Grade, String)> =
        outcome.hits.iter().map(|hit| (bench.name(hit), hit.grade, hit.form.to_string())).collect();
    names.sort();
    let wanted = [
        ("hash of imei", Grade::Identifier, "sha256 in hex"),
        ("message", Grade::Record, "plain"),
        ("number", Grade::Record, "plain"),
    ];
    assert_eq!(names, wanted.map(|(name, grade, form)| (name.to_owned(), grade, form.to_owned())));
    assert!(outcome.hits.iter().all(|hit| hit.probative), "{:?}", outcome.hits);
}

/// A small random number below `below`, from a seed.
fn pick(seed: u64, below: usize) -> usize {
    let bytes = noise(seed, 8);
    usize::try_from(u64::from_le_bytes(bytes.try_into().unwrap()) % below as u64).unwrap()
}

fn places(hit: &Hit) -> (ByteRange, ByteRange) {
    (hit.leaf_range, hit.artifact_range)
}

#[test]
fn every_copied_run_of_128_bytes_is_found_wherever_it_stands() {
    for seed in 0..400 {
        let file = noise(seed, 1_000 + pick(seed + 1, 60_000));
        let from = pick(seed + 2, file.len() - 128);
        let mut leaf = noise(seed + 5_000, 128 + pick(seed + 3, 40_000));
        let at = pick(seed + 4, leaf.len() - 127);
        leaf[at..at + 128].copy_from_slice(&file[from..from + 128]);
        // The bytes around must differ, or the run is longer than it was made.
        for (place, other) in [(at.wrapping_sub(1), from.wrapping_sub(1)), (at + 128, from + 128)] {
            if let (Some(byte), Some(&other)) = (leaf.get_mut(place), file.get(other)) {
                *byte = !other;
            }
        }
        let bench = Bench::new(&[("phone/a", &file), ("phone/b", &noise(seed + 9_000, 30_000))], &[]);
        let found = bench.run(&[&leaf], 1 + pick(seed + 6, 3_000)).hits;
        let [hit] = found.as_slice() else { panic!("seed {seed}: {found:?}") };
        let (at, from) = (at as u64, from as u64);
        assert_eq!(places(hit), (range(at, at + 128), range(from, from + 128)), "seed {seed}");
        assert_eq!(hit.stream_ranges, [range(1_000 + at, 1_128 + at)]);
        assert_eq!((bench.name(hit).as_str(), hit.grade), ("phone/a", Grade::Partial));
        assert!(hit.probative, "{hit:?}");
    }
}

/// Leaves and contents are read in pieces of 128 KiB (of contents, whole strides of the grid).
#[test]
fn a_run_across_the_pieces_in_which_bytes_are_read_is_found() {
    let film = noise(80, 140_000);
    let bench = Bench::new(&[("phone/a", &film)], &[]);
    let many = noise(83, 1 << 20);
    for edge in (131_072 - 200..131_072 + 100).step_by(23) {
        let of_leaf = [&noise(81, edge)[..], &film[30..158], &noise(82, 300)].concat();
        let of_content = &film[edge..edge + 128];
        // Many leaves make it a search with windows, few one with a plain grid.
        for more in [&[], &many[..]] {
            let hits = bench.run(&[&of_leaf, of_content, more], 1 << 20).hits;
            assert_eq!(hits.len(), 2, "edge {edge}");
            assert!(hits.iter().all(|hit| hit.leaf_range.len() >= 128), "edge {edge}");
        }
    }
}

#[test]
fn the_shortest_run_can_be_set_down_to_64_and_up() {
    for min_run in [64_u32, 65, 100, 1_000] {
        let file = noise(7, 20_000);
        let mut bench = Bench::new(&[("phone/a", &file)], &[]);
        bench.limits.min_run = min_run;
        for at in [0, 1, 33, 500, 501, 19_000 - min_run as usize] {
            let leaf = [&noise(8, 77)[..], &file[at..at + min_run as usize], &noise(9, 1_000)].concat();
            assert_eq!(bench.run(&[&leaf], 500).hits.len(), 1, "{min_run} at {at}");
            let leaf = [&noise(8, 77)[..], &file[at..at + min_run as usize - 3], &noise(9, 1_000)].concat();
            assert_eq!(bench.run(&[&leaf], 500).hits.len(), 0, "{min_run} at {at}, too short");
        }
    }
}

#[test]
fn nothing_is_found_where_nothing_was_copied() {
    let files: Vec<Vec<u8>> = (0..20).map(|no| noise(no, 50_000)).collect();
    let named: Vec<(String, &[u8])> =
        files.iter().enumerate().map(|(no, file)| (format!("phone/{no}"), file.as_slice())).collect();
    let named: Vec<_> = named.iter().map(|(name, file)| (name.as_str(), *file)).collect();
    let bench = Bench::new(&named, &[("imei", IMEI)]);
    let masked: Vec<u8> = files[3].iter().map(|byte| byte ^ 0x5a).collect();
    let reversed: Vec<u8> = files[4].iter().rev().copied().collect();
    let every_other: Vec<u8> = files[5].iter().step_by(2).copied().collect();
    let outcome = bench.run(&[&noise(99, 900_000), &masked, &reversed, &every_other, b"", b"{}"], 1_460);
    assert_eq!(outcome.hits, []);
    assert_eq!(outcome.limits_reached, [""; 0]);
}

#[test]
fn ranges_of_one_upload_unite_over_connections_and_leave_the_hole() {
    let photo = noise(11, 90_000);
    let bench = Bench::new(&[("phone/a.jpg", &photo)], &[]);
    let sent = [&photo[60_000..], &photo[0..30_000], &photo[29_000..40_000], &photo[60_000..61_000]];
    let outcome = bench.run(&sent, 1_460);
    let groups = exhibit::engine::correlate::unite(&outcome.hits, |_| "stock");
    let [group] = groups.as_slice() else { panic!("{groups:?}") };
    assert_eq!(group.ranges, [range(0, 40_000), range(60_000, 90_000)]);
    assert_eq!((group.matched_bytes(), group.hits.len(), group.grade), (70_000, 4, Grade::Partial));
    assert!(group.probative && group.probative_bytes() > 69_000 && group.caveats.is_empty());
    let by_flow = exhibit::engine::correlate::unite(&outcome.hits, |hit| hit.leaf.flow.flow);
    assert_eq!(
        by_flow.iter().map(|group| group.matched_bytes()).collect::<Vec<_>>(),
        [30_000, 30_000, 11_000, 1_000]
    );
}

#[test]
fn zeros_and_patterns_are_no_evidence() {
    let zeros = vec![0; 200_000];
    let pattern: Vec<u8> = b"0123456789abcdef-ABCDEF.".iter().copied().cycle().take(200_000).collect();
    let short: Vec<u8> = b"xyz".iter().copied().cycle().take(200_000).collect();
    let bench = Bench::new(&[("phone/p", &pattern), ("phone/s", &short), ("phone/z", &zeros)], &[]);
    let outcome = bench.run(&[&zeros[..150_000], &pattern[5..100_000], &short[1..100_000]], 1_460);
    assert!(outcome.hits.iter().all(|hit| !hit.probative), "{:?}", outcome.hits);
    assert!(outcome.hits.iter().all(|hit| bench.name(hit) == "phone/p"), "{:?}", outcome.hits);
    // The whole file of zeros is that file, and still says nothing.
    let whole = bench.run(&[&zeros], 1_460).hits;
    assert_eq!((whole.len(), whole[0].grade, whole[0].probative), (1, Grade::Exact, false));
}

#[test]
fn runs_that_hold_periodic_stretches_are_found_by_their_ends() {
    for seed in 0..300 {
        // Stretches of zeros, of a short pattern and of noise, of random lengths.
        let mut file = Vec::new();
        for no in 0..60 {
            let len = 1 + pick(seed * 1_000 + no, 150);
            match pick(seed * 1_000 + no + 500, 3) {
                0 => file.extend(std::iter::repeat_n(0, len)),
                1 => file.extend(b"\x07\x01\x02".iter().cycle().take(len)),
                _ => file.extend(noise(seed + no, 1 + len / 8)),
            }
        }
        let from = pick(seed, file.len() - 128);
        let copied = &file[from..from + 128];
        let periodic = (1..=16).any(|period| copied.windows(period + 1).all(|w| w[0] == w[period]));
        let leaf = [&noise(seed + 1, pick(seed, 300))[..], copied, &noise(seed + 2, 300)].concat();
        let bench = Bench::new(&[("phone/a", &file)], &[]);
        let outcome = bench.run(&[&leaf], 700);
        let start = pick(seed, 300) as u64;
        let covered =
            outcome.hits.iter().any(|hit| hit.leaf_range.start <= start && hit.leaf_range.end >= start + 128);
        assert!(covered || periodic || !outcome.limits_reached.is_empty(), "seed {seed}: {outcome:?}");
    }
}

#[test]
fn content_of_several_files_counts_for_none_of_them() {
    let profile = noise(20, 3_000);
    let one = [&noise(21, 5_000)[..], &profile, &noise(22, 40_000)].concat();
    let two = [&noise(23, 900)[..], &profile, &noise(24, 50_000)].concat();
    let bench = Bench::new(&[("phone/one", &one), ("phone/two", &two)], &[]);
    let leaf = [&noise(25, 400)[..], &one[5_000..30_000], &noise(26, 10)].concat();
    let hits = bench.run(&[&leaf], 1_460).hits;
    assert_eq!(hits.iter().map(|hit| bench.name(hit)).collect::<Vec<_>>(), ["phone/two", "phone/one"]);
    assert!(hits.iter().all(|hit| hit.caveats.contains(&Caveat::CommonContent)));
    let shared: Vec<_> = hits.iter().map(|hit| hit.shared_ranges.clone()).collect();
    assert_eq!(shared, [vec![range(900, 3_900)], vec![range(5_000, 8_000)]]);
    assert_eq!((hits[0].probative, hits[0].probative_bytes()), (false, 0));
    assert!(hits[1].probative && (21_000..22_001).contains(&hits[1].probative_bytes()));
}

#[test]
fn a_byte_sent_once_is_not_counted_for_two_places_of_a_file() {
    let part = noise(30, 2_000);
    let file = [&noise(31, 500)[..], &part, &noise(32, 700), &part, &noise(33, 300)].concat();
    let bench = Bench::new(&[("phone/a", &file)], &[]);
    let hits = bench.run(&[&[&noise(34, 50)[..], &part].concat()], 1_000).hits;
    assert_eq!(hits.iter().map(places).collect::<Vec<_>>(), [(range(50, 2_050), range(500, 2_500))]);
}

#[test]
fn a_leaf_larger_than_memory_allows_is_found_whole_and_in_part() {
    let film = noise(40, 11 << 20);
    let bench = Bench::new(&[("phone/film", &film)], &[]);
    let mut altered = film.clone();
    altered[9_000_000] ^= 1;
    let hits = bench.run(&[&film, &altered, &film], 60_000).hits;
    let grades: Vec<_> = hits.iter().map(|hit| (hit.leaf.flow.flow, hit.grade, hit.leaf_range)).collect();
    let end = film.len() as u64;
    assert_eq!(
        grades,
        [
            (0, Grade::Exact, range(0, end)),
            (1, Grade::Partial, range(0, 9_000_000)),
            (1, Grade::Partial, range(9_000_001, end)),
            (2, Grade::Exact, range(0, end)),
        ]
    );
}

#[test]
fn text_weighs_less_than_photos() {
    let note =
        b"Dear all, the meeting of the third of May was moved to the small hall; bring your own cups, \
        and the list of those who can stay until the evening. Greetings, and see you there on time, as ever.";
    let bench = Bench::new(&[("phone/note.txt", note), ("phone/x", &noise(50, 200))], &[]);
    let hits = bench.run(&[note, &note[20..170], &noise(50, 200)[30..180], &noise(51, 1 << 20)], 100).hits;
    let seen: Vec<_> = hits.iter().map(|hit| (hit.grade, hit.probative)).collect();
    assert_eq!(seen, [(Grade::Exact, true), (Grade::Partial, false), (Grade::Partial, true)]);
}

#[test]
fn hostile_repetition_ends_in_bounded_time_and_says_so() {
    let unit = noise(60, 97 * 3 + 1);
    let file: Vec<u8> = unit.iter().copied().cycle().take(600_000).collect();
    let bench = Bench::new(&[("phone/a", &file), ("phone/b", &file[3..])], &[]);
    let outcome = bench.run(&[&file[1..400_000], &file[7..300_000]], 60_000);
    assert!(!outcome.limits_reached.is_empty());
    assert!(outcome.hits.iter().all(|hit| hit.probative_bytes() < 4_096));
}

#[test]
fn a_device_file_that_changes_ends_the_analysis() {
    use std::io::{Seek as _, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let bytes = noise(70, 50_000);
    std::fs::write(&path, &bytes).unwrap();
    let blob = exhibit::evidence::FileBlob::new(std::fs::File::open(&path).unwrap()).unwrap();
    let file = DeviceFile::new("phone/a".to_owned(), Arc::new(blob)).unwrap();
    let devices = BTreeMap::from([("phone".to_owned(), Device { files: vec![file] })]);
    let limits = Limits::default();
    let bench = Bench { catalog: Catalog::build(&devices, &BTreeMap::new(), &[], &limits).unwrap(), limits };
    let spool = Spool::new(Scratch::new(folder.path()));
    let harvest = bench.send(&spool, 0, &bytes[100..20_000], 1_000, Keep::Search).1;
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(std::io::SeekFrom::Start(40_000)).unwrap();
    file.write_all(b"other bytes").unwrap();
    let error = conclude(&bench.catalog, spool, vec![harvest], &bench.limits).unwrap_err();
    assert_eq!(error.to_string(), "read phone/a at byte 0");
}
