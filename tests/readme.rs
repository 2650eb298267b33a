//! What README shows is what the program prints.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{fs, path::Path};

mod support;
use support::{exhibit, output, text};

/// The console blocks: the command after `$ exhibit`, and the lines that must be among what it prints, in order.
fn transcripts(readme: &str) -> Vec<(String, Vec<String>)> {
    readme
        .split("```console\n")
        .skip(1)
        .map(|block| {
            let mut lines = block.split("\n```").next().unwrap().lines();
            let command = lines.next().unwrap().strip_prefix("$ exhibit ").unwrap().to_owned();
            (command, lines.map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn every_transcript_is_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = tempfile::tempdir().unwrap();
    let transcripts = transcripts(&fs::read_to_string(root.join("README.md")).unwrap());
    assert_eq!(transcripts.len(), 3, "README shows find, run and verify");
    for (command, expected) in transcripts {
        // Bundles go to and come from a folder of this test.
        let mut arguments: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let bundle = home.path().join("redmi-note.private.tar.gz").display().to_string();
        match arguments[0].as_str() {
            "run" => arguments.extend(["-o".to_owned(), bundle]),
            "verify" => arguments[1] = bundle,
            _ => {}
        }
        let output = output(exhibit(home.path()).current_dir(root).args(&arguments));
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        let printed = text(&output.stdout);
        let mut rest = printed.lines();
        for line in expected {
            assert!(
                rest.any(|shown| shown.starts_with(&line)),
                "{command}: {line:?} is not (any more) among\n{printed}"
            );
        }
    }
}
