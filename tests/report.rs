//! Reports of findings written by hand: whole outputs under snapshots, and what no medium may let through.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a test may panic")]

#[path = "report/example.rs"]
mod example;

use exhibit::report::{self, Provenance, terminal};

fn assert_snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!(name, text) });
}

/// Colour as `<bold>` would be unreadable; escapes are taken off here as the command line does.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn terminal_verdicts() {
    assert_snapshot("report-terminal", &plain(&terminal::verdicts(&example::rich())));
}

#[test]
fn terminal_find() {
    assert_snapshot("report-find", &plain(&terminal::found(&example::rich())));
}

#[test]
fn markdown() {
    assert_snapshot("report-markdown", &report::markdown(&example::rich(), &Provenance::Unverified));
}
