//! `exhibit inspect --extract`: the files that Wireshark's reader exports, and a list that says the truth about each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "a test")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use exhibit::evidence::Digest;
use serde_json::Value;

mod support;

use support::{Home, ends, packets, write};

/// The list of an extraction; each file is what its line says.
fn listed(folder: &Path) -> Vec<Value> {
    let list = fs::read_to_string(folder.join("extracted.jsonl")).unwrap();
    let lines: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let bytes = fs::read(folder.join(line["file"].as_str().unwrap())).unwrap();
        assert_eq!(line["sha256"], Digest::of(&bytes).to_string());
        assert_eq!(line["bytes"], bytes.len());
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), lines.len() + 1, "nothing else lies there");
    lines
}

#[test]
fn what_wireshark_exports_is_among_it() {
    let Some(captures) = support::captures() else { return support::skip("captures") };
    if support::peer("tshark").is_none() {
        return support::skip("tshark");
    }
    let home = Home::new();
    let mut objects = 0;
    for name in [
        "arkime__http-content-gzip.pcap",
        "arkime__http-post-upload.pcap",
        "arkime__http-no-length.pcap",
        "zeek__get.trace",
    ] {
        let capture = captures.join(name);
        if !capture.exists() {
            continue;
        }
        let (ours, theirs) = (home.path(&format!("{name}.ours")), home.path(&format!("{name}.theirs")));
        ends(
            0,
            &mut home.exhibit(&["inspect", capture.to_str().unwrap(), "--extract", ours.to_str().unwrap()]),
        );
        let digests: BTreeSet<String> =
            listed(&ours).iter().map(|line| line["sha256"].as_str().unwrap().to_owned()).collect();
        let mut tshark = Command::new("tshark");
        tshark.args(["-q", "-o", "tcp.reassemble_out_of_order:TRUE", "-r"]).arg(&capture);
        support::run(tshark.arg("--export-objects").arg(format!("http,{}", theirs.display())));
        for object in fs::read_dir(&theirs).unwrap().map(|entry| entry.unwrap().path()) {
            let bytes = fs::read(&object).unwrap();
            // Whole multipart bodies stand in ours as their parts and as a whole.
            assert!(digests.contains(&Digest::of(&bytes).to_string()), "{name}: {}", object.display());
            objects += 1;
        }
    }
    assert!(objects >= 6, "{objects} objects");
}

#[test]
fn one_flow_alone_can_be_extracted_and_nothing_leaves_the_folder() {
    let home = Home::new();
    let (phone, server) = ([192, 168, 1, 2], ([203, 0, 113, 9], 80));
    let request = |target: &str, body: &str| {
        format!("PUT {target} HTTP/1.1\r\nHost: h.example\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let first = packets::connection(
        (phone, 40_000),
        server,
        request("/../../../../tmp/owned.jpg", "photo").as_bytes(),
        b"",
    );
    let second = packets::connection((phone, 40_001), server, request("/b.txt", "other").as_bytes(), b"");
    write(&home.path("c.pcap"), packets::pcap(&[first.clone(), second].concat()));
    ends(0, &mut home.exhibit(&["inspect", "c.pcap", "--extract", "all"]));
    let names: BTreeSet<String> =
        listed(&home.path("all")).iter().map(|line| line["file"].as_str().unwrap().to_owned()).collect();
    let frame = first.len() + 1;
    assert_eq!(names, ["1-0-up-owned.jpg".to_owned(), format!("{frame}-0-up-b.txt")].into());
    ends(0, &mut home.exhibit(&["inspect", "c.pcap", "--extract", "one", "--flow", "1"]));
    let lines = listed(&home.path("one"));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["name"], "/../../../../tmp/owned.jpg");
    assert_eq!(fs::read(home.path("one/1-0-up-owned.jpg")).unwrap(), b"photo");
    ends(2, &mut home.exhibit(&["inspect", "c.pcap", "--extract", "one"]));
    ends(2, &mut home.exhibit(&["inspect", "c.pcap", "--extract", "none", "--flow", "3"]));
}

#[test]
fn what_a_finding_stands_in_comes_out_of_a_bundle_and_nothing_else_does() {
    let mut files = 0;
    for case in ["hello", "redmi-note"] {
        let home = Home::with(case);
        home.seal("a.tar.gz", &[]);
        let json = ends(0, &mut home.exhibit(&["report", "a.tar.gz", "--format", "json"])).out;
        let findings: Value = serde_json::from_str(&json).unwrap();
        let exact: Vec<&Value> =
            findings["findings"].as_array().unwrap().iter().filter(|one| one["grade"] == "exact").collect();
        assert!(!exact.is_empty());
        for finding in exact {
            let id = finding["id"].as_str().unwrap();
            let said = ends(0, &mut home.exhibit(&["show", "a.tar.gz", id, "--extract", id]));
            assert!(said.err.contains("listed in extracted.jsonl"), "{}", said.err);
            let lines = listed(&home.path(id));
            assert!(lines.iter().any(|line| line["sha256"] == finding["sha256"]), "{case} {id}: {lines:?}");
            let flows: BTreeSet<&str> = finding["parts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| part["flow"].as_str().unwrap())
                .collect();
            assert!(lines.iter().all(|line| flows.contains(line["flow"].as_str().unwrap())));
            // A part may stand in a body that holds other parts; a file that is another photo has no place here.
            for other in findings["artifacts"].as_array().unwrap() {
                if other["sha256"] != finding["sha256"] && !other["sha256"].is_null() {
                    assert!(
                        lines.iter().all(|line| line["sha256"] != other["sha256"]),
                        "{case} {id}: {other}"
                    );
                }
            }
            files += lines.len();
            // What lies there is not touched again.
            ends(2, &mut home.exhibit(&["show", "a.tar.gz", id, "--extract", id]));
        }
        let claim = findings["claims"][0]["id"].as_str().unwrap();
        ends(2, &mut home.exhibit(&["show", "a.tar.gz", claim, "--extract", "none"]));
        assert!(!home.path("none").exists());
    }
    assert!(files >= 4, "{files}");
}

#[test]
fn of_two_files_on_one_connection_the_finding_gives_its_own() {
    let home = Home::new();
    let photo = |seed: u32| -> Vec<u8> {
        let noise = (0..6_000_u32)
            .map(|no| (no.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]);
        [&[0xff, 0xd8, 0xff, 0xe0][..], &noise.collect::<Vec<u8>>()].concat()
    };
    let (one, two) = (photo(1), photo(77_777));
    let mut stream = Vec::new();
    for (name, body) in [("one", &one), ("two", &two)] {
        let head =
            format!("PUT /{name}.jpg HTTP/1.1\r\nHost: h.example\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.extend([head.as_bytes(), body].concat());
    }
    let frames = packets::connection(([192, 168, 1, 2], 40_000), ([203, 0, 113, 9], 80), &stream, b"");
    write(&home.path("case/c.pcap"), packets::pcap(&frames));
    write(&home.path("case/DCIM/one.jpg"), &one);
    write(&home.path("case/DCIM/two.jpg"), &two);
    let plan = "exhibit: 1\ncapture: c.pcap\nfiles: DCIM/\nphone: {addresses: [192.168.1.2]}\n\
                claims:\n  - {says: it uploads photos, uploads: photo}\n";
    write(&home.path("case/scenario.yaml"), plan);
    ends(0, &mut home.exhibit(&["run", "case", "-o", "a.tar.gz", "--unsigned"]));
    let json = ends(0, &mut home.exhibit(&["report", "a.tar.gz", "--format", "json"])).out;
    let findings: Value = serde_json::from_str(&json).unwrap();
    let exact = findings["findings"].as_array().unwrap().iter().filter(|one| one["grade"] == "exact");
    let ids: Vec<&str> = exact.map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "{findings}");
    let mut bodies = BTreeSet::new();
    for id in ids {
        ends(0, &mut home.exhibit(&["show", "a.tar.gz", id, "--extract", id]));
        let lines = listed(&home.path(id));
        assert_eq!(lines.len(), 1, "{lines:?}");
        bodies.insert(fs::read(home.path(id).join(lines[0]["file"].as_str().unwrap())).unwrap());
    }
    assert_eq!(bodies, [one, two].into());
}
