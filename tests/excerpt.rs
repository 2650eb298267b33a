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

/// Which frames of the whole capture an excerpt holds, by their times and lengths, and each frame's block.
fn frames_of(file: &std::path::Path) -> Vec<String> {
    tshark(file, &["frame.time_epoch", "frame.len"]).into_iter().map(|row| row.join(" ")).collect()
}

/// What `find` says of photos in a capture: the line of each that was sent.
fn found(home: &Home, capture: &str) -> Vec<String> {
    let said =
        support::output(&mut home.exhibit(&["find", capture, "hello/DCIM", "--phone", "192.168.43.17"]));
    let said = support::text(&said.stdout);
    said.lines()
        .filter(|line| line.contains("whole file sent"))
        .map(|line| line.split("   ").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_smallest_frames_of_a_verdict_carry_it_alone_and_no_fewer_do() {
    if support::peer("tshark").is_none() || support::peer("editcap").is_none() {
        return support::skip("tshark or editcap");
    }
    let home = Home::with("hello");
    home.seal("a.tar.gz", &[]);
    let json = ends(0, &mut home.exhibit(&["report", "a.tar.gz", "--format", "json"])).out;
    let findings: Value = serde_json::from_str(&json).unwrap();
    let claim = findings["claims"][0]["id"].as_str().unwrap();
    assert_eq!(findings["claims"][0]["status"], "supported");
    let said = ends(0, &mut home.exhibit(&["show", "a.tar.gz", claim, "--pcapng", "least.pcapng"]));
    assert!(said.err.contains("with any one of them less they do not"), "{}", said.err);
    assert!(said.out.contains("to fall: without all of F-"), "{}", said.out);
    assert!(said.out.contains("you may write"), "{}", said.out);

    let least = frames_of(&home.path("least.pcapng"));
    let whole = frames_of(&home.path("hello/hotspot.pcapng"));
    assert!(!least.is_empty() && least.len() < whole.len());
    assert!(least.iter().all(|frame| whole.contains(frame)));
    let comments = tshark(&home.path("least.pcapng"), &["frame.comment"]);
    assert!(comments.iter().all(|row| row[0].starts_with(&format!("{claim} supported: F-"))), "{comments:?}");
    let sent = found(&home, "hello/hotspot.pcapng");
    assert_eq!(found(&home, "least.pcapng"), sent[..1]);
    for no in 1..=least.len() {
        support::run(
            Command::new("editcap")
                .arg(home.path("least.pcapng"))
                .arg(home.path("less.pcapng"))
                .arg(no.to_string()),
        );
        assert_eq!(frames_of(&home.path("less.pcapng")).len(), least.len() - 1);
        assert_eq!(found(&home, "less.pcapng"), [""; 0], "without frame {no}");
    }
    ends(2, &mut home.exhibit(&["show", "a.tar.gz", "X9", "--pcapng", "none.pcapng"]));
    assert!(!home.path("none.pcapng").exists());
}

#[test]
fn a_verdict_that_rests_on_absence_or_is_open_gives_no_frames() {
    let home = Home::with("redmi-note");
    home.seal("a.tar.gz", &[]);
    for (claim, says) in [("L3", "nothing settles it"), ("X6", "nothing settles it")] {
        let said = ends(2, &mut home.exhibit(&["show", "a.tar.gz", claim, "--pcapng", "none.pcapng"]));
        assert!(said.err.contains(says), "{claim}: {}", said.err);
        assert!(!home.path("none.pcapng").exists());
    }
    for claim in ["L2", "X1", "L5"] {
        let file = format!("{claim}.pcapng");
        let said = ends(0, &mut home.exhibit(&["show", "a.tar.gz", claim, "--pcapng", &file]));
        assert!(said.err.contains("with any one of them less they do not"), "{claim}: {}", said.err);
    }
}

#[test]
fn a_connection_is_carried_by_its_handshake_and_what_was_first_sent() {
    if support::peer("tshark").is_none() {
        return support::skip("tshark");
    }
    let home = Home::with("redmi-note");
    home.seal("a.tar.gz", &[]);
    let said = ends(0, &mut home.exhibit(&["show", "a.tar.gz", "L1", "--pcapng", "least.pcapng"]));
    assert!(said.err.contains("with any one of them less they do not"), "{}", said.err);
    let rows = tshark(&home.path("least.pcapng"), &["ip.dst", "tcp.flags", "tcp.len", "frame.comment"]);
    let server = rows[0][0].clone();
    assert!(said.err.contains(&format!("{server}:")), "{}", said.err);
    // SYN, SYN and ACK, and the ACK of that with something sent (RFC 9293, section 3.5).
    let flags: Vec<&str> = rows.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(flags, ["0x0002", "0x0012", "0x0018"]);
    assert!(rows[2][0] == server && rows[2][2] != "0", "{rows:?}");
    let comment = format!("L1 supported: connection to {server}:");
    assert!(rows.iter().all(|row| row[3].starts_with(&comment)), "{rows:?}");
}
