//! Replays what fuzzing keeps: the seeds of each target (`tests/fuzz/corpus`) and what it once broke on
//! (`tests/fuzz/regressions`), which are named tests as well.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[path = "support/fuzz/mod.rs"]
mod fuzz;

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
    http2_padding_that_is_not_zero_is_said_once_however_it_is_cut "http2-padding-in-parts"
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
