//! The frames of a finding as a capture of their own, read by Wireshark's reader.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::process::Command;

use serde_json::Value;

mod support;

use support::{Home, ends};

fn tshark(file: &std::path::Path, fields: &[&str]) -> Vec<Vec<String>> {
    let fields = fields.iter().flat_map(|field| ["-e", field]);
    let text = support::run(Command::new("tshark").arg("-r").arg(file).args(["-T", "fields"]).args(fields));
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn the_frames_of_a_finding_are_what_the_capture_holds_and_nothing_else() {
    if support::peer("tshark").is_none() {
        return support::skip("tshark");
    }
    let home = Home::with("hello");
    home.seal("a.tar.gz", &[]);
    let json = ends(0, &mut home.exhibit(&["report", "a.tar.gz", "--format", "json"])).out;
    let findings: Value = serde_json::from_str(&json).unwrap();
    let finding = &findings["findings"][0];
    let id = finding["id"].as_str().unwrap();
    let said = ends(0, &mut home.exhibit(&["show", "a.tar.gz", id, "--pcapng", "some.pcapng"]));

    let mut wanted = Vec::new();
    for range in
        finding["parts"].as_array().unwrap().iter().flat_map(|part| part["frames"].as_array().unwrap())
    {
        wanted.extend(range[0].as_u64().unwrap()..=range[1].as_u64().unwrap());
    }
    wanted.sort_unstable();
    wanted.dedup();
    assert!(said.err.contains(&format!("wrote {} frame", wanted.len())), "{}", said.err);

    let facts = [
        "frame.time_epoch",
        "frame.len",
        "frame.cap_len",
        "frame.interface_id",
        "tcp.seq_raw",
        "tcp.payload",
    ];
    let whole = tshark(&home.path("hello/hotspot.pcapng"), &facts);
    let expected: Vec<_> = wanted.iter().map(|&no| whole[usize::try_from(no).unwrap() - 1].clone()).collect();
    assert!(!expected.is_empty() && expected.len() < whole.len());
    assert_eq!(tshark(&home.path("some.pcapng"), &facts), expected);

    let comments = tshark(&home.path("some.pcapng"), &["frame.comment"]);
    for (comment, no) in comments.iter().zip(&wanted) {
        assert!(
            comment[0].contains(id) && comment[0].contains(&format!("frame {no} of hotspot.pcapng")),
            "{comment:?}"
        );
    }
    let simulated = findings["simulated"].as_bool().unwrap();
    let bytes = std::fs::read(home.path("some.pcapng")).unwrap();
    let says = bytes.windows(9).any(|window| window == b"SIMULATED");
    assert_eq!(says, simulated);
    // A place that holds something else than a file is refused, and an unknown finding writes nothing.
    std::fs::create_dir(home.path("folder")).unwrap();
    ends(2, &mut home.exhibit(&["show", "a.tar.gz", id, "--pcapng", "folder"]));
    ends(2, &mut home.exhibit(&["show", "a.tar.gz", "F-zz", "--pcapng", "none.pcapng"]));
    assert!(!home.path("none.pcapng").exists());
}
