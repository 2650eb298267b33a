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
            "exhibit: 1\nsimulated: true\nphases: [{{id: stock, captures: [hotspot.pcapng, {second}], files: DCIM/}}]\nclaims: [{{says: photos, uploads: photo}}]\n"
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

#[test]
fn another_capture_beside_it_is_taken() {
    let home = tempfile::tempdir().unwrap();
    // Without its last packets it is another one.
    let mut other = capture();
    let len = other.len() - 3_000;
    other.truncate(len);
    let folder = two_runs(home.path(), "other.pcapng", other);
    ends(0, exhibit(home.path()).args(["run", "--no-bundle"]).arg(folder));
}
