//! Replays what fuzzing keeps: the seeds of each target (`tests/fuzz/corpus`) and what it once broke on
//! (`tests/fuzz/regressions`), which are named tests as well.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test may panic and read the environment and the clock"
)]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[path = "support/fuzz/mod.rs"]
mod fuzz;
#[path = "support/soak.rs"]
mod soak;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Runs a target on an input; whether it held.
fn holds(name: &str, target: fuzz::Target, input: &[u8], what: &str) -> bool {
    let held = std::panic::catch_unwind(|| target(input)).is_ok();
    if !held {
        eprintln!("target {name} breaks on {what}");
    }
    held
}

#[test]
fn every_seed_is_read_as_it_must_be() {
    let mut broken = 0;
    for (name, target) in fuzz::all() {
        let mut check = |input: &[u8], what: &str| broken += u32::from(!holds(name, target, input, what));
        check(b"", "nothing");
        let seeds = files(&folder("corpus").join(name));
        assert!(!seeds.is_empty(), "target {name} has no seeds");
        for file in seeds {
            let (seed, file) = (fs::read(&file).unwrap(), file.display().to_string());
            check(&seed, &file);
            // Beginnings of a short seed, and one behind the other.
            if seed.len() <= 256 {
                (0..seed.len())
                    .step_by(3)
                    .for_each(|end| check(seed.get(..end).unwrap(), &format!("{file} up to {end}")));
                check(&seed.repeat(2), &format!("{file} twice"));
            }
        }
    }
    assert_eq!(broken, 0, "inputs on which a target breaks");
}

/// A change of a seed, drawn: what libFuzzer does, without looking at what is covered.
fn changed(seed: &[u8], other: &[u8], random: &mut fuzz::Random) -> Vec<u8> {
    const TOKENS: [&[u8]; 12] = [
        b"\0",
        b"\xff",
        b"\xff\xff\xff\xff",
        b"\r\n",
        b"\r\n\r\n",
        b"0",
        b"99999999999999999999",
        b" ",
        b"{1}\r\n",
        fuzz::GAP,
        b"<<<",
        b"|||",
    ];
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below((bytes.len() - at).min(64) + 1);
        match random.below(9) {
            0 => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (random.next() & 7)),
            1 => bytes.get_mut(at).into_iter().for_each(|byte| *byte = random.next() as u8),
            2 => bytes.get_mut(at).into_iter().for_each(|byte| *byte = byte.wrapping_add(1)),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.truncate(at),
            5 => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            6 => drop(bytes.splice(at..end, TOKENS[random.below(TOKENS.len())].iter().copied())),
            7 => {
                let again = bytes[at..end].repeat(1 + random.below(3));
                drop(bytes.splice(at..at, again));
            }
            _ => {
                let from = random.below(other.len() + 1);
                let to = from + random.below((other.len() - from).min(200) + 1);
                drop(bytes.splice(at..at, other[from..to].iter().copied()));
            }
        }
    }
    bytes
}

/// Changes of each seed: 20 in an ordinary run, `EXHIBIT_SOAK` in a long one where that is more; `EXHIBIT_FUZZ` names one target of all.
/// What breaks a target is written to the folder of temporary files.
#[test]
fn changed_seeds_are_read_as_they_must_be() {
    let rounds = soak::asked().map_or(20, |rounds| rounds.clamp(20, 1 << 32) as usize);
    let only = env::var("EXHIBIT_FUZZ").ok();
    let mut broken = Vec::new();
    for (name, target) in
        fuzz::all().into_iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name))
    {
        let seeds: Vec<_> =
            files(&folder("corpus").join(name)).iter().map(|seed| fs::read(seed).unwrap()).collect();
        let mut random = fuzz::Random::of(name.as_bytes());
        let (mut slowest, began) = (Duration::ZERO, Instant::now());
        let mut found = 0;
        for round in 0..rounds * seeds.len() {
            let input = changed(&seeds[round % seeds.len()], &seeds[random.below(seeds.len())], &mut random);
            let started = Instant::now();
            if found < 5 && !holds(name, target, &input, "a changed seed") {
                found += 1;
                let path = env::temp_dir().join(format!("{name}-{round}"));
                fs::write(&path, &input).unwrap();
                broken.push(path);
            }
            slowest = slowest.max(started.elapsed());
        }
        println!(
            "{name}: {} inputs, {found} broke it, slowest {slowest:?}, {:?}",
            rounds * seeds.len(),
            began.elapsed()
        );
    }
    assert!(broken.is_empty(), "{broken:?}");
}

/// Time that this thread has had of a processor.
fn busy() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// A part of each seed, repeated to 32 and to 128 KiB: four times the input may take ten times as long, not sixteen.
/// Only where `EXHIBIT_SOAK` says how many parts are tried: it takes minutes.
#[test]
fn time_grows_with_what_is_repeated() {
    let Some(rounds) = soak::asked() else { return };
    let only = env::var("EXHIBIT_FUZZ").ok();
    let mut slow = Vec::new();
    for (name, target) in
        fuzz::all().into_iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name))
    {
        let mut random = fuzz::Random::of(name.as_bytes());
        for file in files(&folder("corpus").join(name)) {
            let seed = fs::read(&file).unwrap();
            for _ in 0..rounds {
                let at = random.below(seed.len());
                let end = (at + 1 + random.below(40)).min(seed.len());
                let mut took = [Duration::ZERO; 2];
                let mut last = Vec::new();
                for (took, size) in took.iter_mut().zip([32 << 10, 128 << 10]) {
                    let again = seed[at..end].repeat(size / (end - at));
                    let input = [&seed[..at], &again, &seed[end..]].concat();
                    let before = busy();
                    if !holds(name, target, &input, "a repeated part") {
                        slow.push(format!("{name}: {} {at}..{end} breaks", file.display()));
                    }
                    *took = busy() - before;
                    last = input;
                }
                if took[1] > took[0] * 10 + Duration::from_millis(100) {
                    let path = env::temp_dir().join(format!("slow-{name}-{at}-{end}"));
                    fs::write(&path, &last).unwrap();
                    slow.push(format!("{name}: {took:?} {}", path.display()));
                    println!("{}", slow.last().unwrap());
                }
            }
        }
    }
    assert!(slow.is_empty(), "{slow:#?}");
}

#[test]
fn every_corpus_belongs_to_a_target_and_all_are_small() {
    let names: BTreeSet<&str> = fuzz::all().into_iter().map(|(name, _)| name).collect();
    let mut bytes = 0;
    for corpus in files(&folder("corpus")) {
        let name = corpus.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(names.contains(name.as_str()), "no target is called {name}");
        bytes += files(&corpus).iter().map(|seed| fs::metadata(seed).unwrap().len()).sum::<u64>();
    }
    assert!(bytes < 1 << 20, "{bytes} bytes of seeds");
    assert!(names.len() == fuzz::all().len(), "two targets of one name");
}

macro_rules! regressions {
    ($($test:ident $file:literal)+) => {
        /// What fuzzing has found, each in the words of its test.
        const REGRESSIONS: &[&str] = &[$($file),+];
        $(#[test] fn $test() { regression($file); })+
    };
}

regressions! {
    a_mail_that_ends_with_dot_and_cr_is_searched_to_its_end "application-mail-ends-in-dot-cr"
    the_head_of_a_part_ends_at_its_limit_however_it_is_cut "application-long-head-of-a-part"
    dns_is_told_by_its_first_messages_however_they_are_cut "application_dns-a-message-behind-those-looked-at"
    base64_gives_what_stands_before_damage "base64-damage-behind-groups"
    data_urls_consume_each_byte_once "data_url-groups-of-base64"
    json_gives_what_stands_before_damage "json-damage-in-a-string"
    http2_padding_that_is_not_zero_is_said_once_however_it_is_cut "http2-padding-in-parts"
    numbers_of_dtls_records_that_are_out_of_turn_are_searched "tls_connection-number-out-of-turn"
    brotli_that_is_cut_off_gives_its_last_bytes "brotli-cut-off"
    a_method_is_as_long_as_it_may_be_however_it_is_cut "http1-long-method"
    what_quic_sent_before_is_accounted_for "quic_connection-sent-again"
    a_probe_of_a_connection_is_a_byte_in_the_last_version_alone "segments-byte-of-a-probe"
    a_section_of_xml_ends_at_one_place_however_it_is_cut "xml-end-of-cdata"
}

/// Replays `TARGET-what`.
fn regression(file: &str) {
    let target = file.split_once('-').unwrap().0;
    let (name, run) = fuzz::all().into_iter().find(|(name, _)| *name == target).unwrap();
    let input = fs::read(folder("regressions").join(file)).unwrap();
    assert!(holds(name, run, &input, file), "{file}");
}

#[test]
fn every_regression_is_a_named_test() {
    let kept = files(&folder("regressions"));
    let kept: Vec<_> = kept.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    let mut named = REGRESSIONS.to_vec();
    named.sort_unstable();
    assert_eq!(kept, named);
}
