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

#[test]
fn html() {
    let page = report::html(&example::rich(), &Provenance::Unverified).unwrap();
    // The style is a file of its own; the page is read without it.
    let start = page.find("<style>").unwrap();
    let end = page.find("</style>").unwrap();
    let text = format!("{}<style>{}", &page[..start], &page[end..]);
    assert_snapshot("report-html", &text);
}

/// Writes the pages to look at: `EXHIBIT_PAGES=DIR cargo test --test report pages`.
#[test]
fn pages() {
    let Some(folder) = std::env::var_os("EXHIBIT_PAGES").map(std::path::PathBuf::from) else { return };
    for (name, findings) in [("rich", example::rich()), ("hostile", example::hostile())] {
        std::fs::write(
            folder.join(format!("{name}.html")),
            report::html(&findings, &Provenance::Unverified).unwrap(),
        )
        .unwrap();
        std::fs::write(
            folder.join(format!("{name}.md")),
            report::markdown(&findings, &Provenance::Unverified),
        )
        .unwrap();
    }
}
