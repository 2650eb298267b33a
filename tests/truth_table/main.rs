//! The one table: what `exhibit inspect` says of every public capture, held to its truth file.
//!
//! The truth files were made by tshark, tcpflow and an independent reassembler; what the table compares is the
//! program's JSON, as a stranger would read it. For each category the table counts what the truth holds, what was
//! compared, what is equal, what `expected` explains, what waits for a decoder, and what is wrong. The test fails when
//! fewer things are compared than the truth holds, when a difference has no line there, and when a line explains
//! nothing any more.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic and read files by name"
)]

use std::{fs, path::Path};

use exhibit::findings::inspection::Inspection;
use serde_json::Value;

mod containers;
mod http1;
mod http2;
mod keys;
mod messages;
mod names;
mod pair;
mod quic;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod tally;

use pair::Pair;
use support::{captures, exhibit, output, text};
use tally::{Expected, Tally};

#[test]
fn every_capture_equals_its_truth_or_is_explained() {
    let Some(folder) = captures() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut tally = Tally::default();
    for name in names(&folder) {
        let path = folder.join("truth").join(format!("{name}.json"));
        let truth: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let ours = inspect(home.path(), &folder, &name, key_log(&folder, &name).as_deref());
        let pair = Pair::new(&name, &truth, &ours);
        tally.hold(&truth);
        containers::compare(&pair, &mut tally);
        streams::compare(&pair, &mut tally);
        http1::compare(&pair, &mut tally);
        names::compare(&pair, &mut tally);
        http2::compare(&pair, &mut tally);
        quic::compare(&pair, &mut tally);
        messages::compare(&pair, &mut tally);
    }
    let expected = Expected::parse(include_str!("expected"));
    let wrong = tally.judge(&expected);
    assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.join("truth"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort_unstable();
    names
}

/// The key log that was published with a capture.
fn key_log(folder: &Path, name: &str) -> Option<String> {
    let log = format!("{name}.keylog");
    folder.join(&log).is_file().then_some(log)
}

/// Runs the program; even a damaged capture gives what was readable. A key log that stands inside the capture is found
/// there.
fn inspect(home: &Path, folder: &Path, name: &str, keys: Option<&str>) -> Inspection {
    let mut command = exhibit(home);
    command.args(["inspect", "--format", "json", name]).current_dir(folder);
    if let Some(keys) = keys {
        command.args(["--keys", keys]);
    }
    let output = output(&mut command);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{name}: {errors}");
    assert!(!errors.contains("panicked"), "{name}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{name}: {error}"))
}
