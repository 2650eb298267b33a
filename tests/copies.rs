//! A capture that stands in a case twice is refused: the time that it shows would count twice.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic")]

use std::{fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};

mod support;
use support::{case, ends, exhibit, refused, write};

fn two_runs(home: &Path, second: &str, bytes: impl AsRef<[u8]>) -> std::path::PathBuf {
    let folder = case(home, "hello");
    write(&folder.join(second), bytes);
    write(
        &folder.join("scenario.yaml"),
        format!(
            "exhibit: 1\nsimulated: true\nphone: {{addresses: [192.168.43.17]}}\nphases: [{{id: stock, captures: [hotspot.pcapng, {second}], files: DCIM/}}]\nclaims: [{{says: photos, uploads: photo}}]\n"
        ),
    );
    folder
}

fn capture() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/hello/hotspot.pcapng")).unwrap()
}

#[test]
fn the_same_file_twice_is_refused_whatever_it_is_called_and_packed_in() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&capture()).unwrap();
    for (second, bytes) in [("again.pcapng", capture()), ("again.pcapng.gz", packed.finish().unwrap())] {
        let home = tempfile::tempdir().unwrap();
        let folder = two_runs(home.path(), second, bytes);
        refused(
            "they are the same capture, and the time that it shows would count twice",
            "take one of them out of the plan and the record",
            exhibit(home.path()).args(["run", "--no-bundle"]).arg(folder),
        );
    }
}

/// The capture without its last packets.
fn cut() -> Vec<u8> {
    let mut cut = capture();
    let len = cut.len() - 3_000;
    cut.truncate(len);
    cut
}

#[test]
fn captures_of_two_runs_with_a_conversation_in_common_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let folder = two_runs(home.path(), "other.pcapng", cut());
    refused(
        "from its first packet on, and what was seen once would count for two runs",
        "give both to one run, or cut them so that no packet stands in two of them",
        exhibit(home.path()).args(["run", "--no-bundle"]).arg(folder),
    );
}

#[test]
fn two_captures_of_one_run_may_hold_the_same_conversation() {
    let home = tempfile::tempdir().unwrap();
    let folder = two_runs(home.path(), "other.pcapng", cut());
    write(
        &folder.join("scenario.yaml"),
        "exhibit: 1\nsimulated: true\nphases: [{id: stock}]\nclaims: [{says: photos, uploads: photo}]\n",
    );
    let prev = "0".repeat(64);
    write(
        &folder.join("record.jsonl"),
        format!(
            r#"{{"prev":"{prev}","run":"stock/01","captures":["hotspot.pcapng","other.pcapng"],"keys":[],"files":"DCIM","actions":[]}}"#
        ) + "\n",
    );
    ends(0, exhibit(home.path()).args(["run", "--no-bundle"]).arg(folder));
}

#[test]
fn another_capture_beside_it_is_taken() {
    let home = tempfile::tempdir().unwrap();
    let other =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/redmi-note/captures/apps-removed-01.pcapng");
    let folder = two_runs(home.path(), "other.pcapng", fs::read(other).unwrap());
    ends(0, exhibit(home.path()).args(["run", "--no-bundle"]).arg(folder));
}
