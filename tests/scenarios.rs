//! Our own scenarios, re-run by `exhibit test` against their snapshots.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic")]

use std::path::Path;

mod support;
use support::{copy, exhibit, output, text};

#[test]
fn every_scenario_gives_its_snapshot() {
    let home = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let done = output(exhibit(home.path()).current_dir(root).args([
        "test",
        "--check",
        "--unreferenced",
        "reject",
        "scenarios",
    ]));
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    assert_eq!(text(&done.stdout), "15 same\n");
}

#[test]
fn a_scenario_without_its_upload_differs() {
    let home = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let case = home.path().join("scenarios/hello");
    copy(&root.join("scenarios/hello"), &case);
    // Another phone, on which the photo that was sent never was.
    std::fs::remove_file(case.join("DCIM/Camera/IMG_0003.jpg")).unwrap();
    copy(&root.join("snapshots"), &home.path().join("snapshots"));
    let done = output(exhibit(home.path()).current_dir(home.path()).args(["test", "--check", "scenarios"]));
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("-C1 supported (whole file)") && said.contains("+C1 inconclusive"), "{said}");
}
