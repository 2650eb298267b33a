//! `lab spike`: known uploads in captures that nobody here made. What stood there stays as it was, tshark reads what was
//! merged, and the analysis says how many were found.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use exhibit::findings::{Findings, GateState};

mod support;
use support::{captures, ends, exhibit, peer, refused, run, said, text};

/// Real captures of each link type that frames are written for, small ones first: two of each.
fn real() -> Option<Vec<PathBuf>> {
    let folder = captures()?;
    let index = fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let mut lines = index.lines();
    let head: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |name: &str| head.iter().position(|cell| *cell == name).unwrap();
    let (file, links, size) = (column("file"), column("link_types"), column("size"));
    let mut by_link: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        by_link.entry(cells[links]).or_default().push((cells[size].parse().unwrap(), cells[file]));
    }
    let home = tempfile::tempdir().unwrap();
    let mut taken = Vec::new();
    for link in ["1", "113", "276", "101", "228", "12"] {
        let mut all = by_link.remove(link).unwrap_or_default();
        all.sort_unstable();
        let fit = all.into_iter().map(|(_, name)| folder.join(name)).filter(|path| {
            let out = home.path().join(path.file_name().unwrap());
            said(exhibit(home.path()).args(["lab", "spike", "--count", "1", "--out"]).arg(&out).arg(path))
                .code
                == Some(0)
        });
        taken.extend(fit.take(2));
    }
    Some(taken)
}

fn spike(home: &Path, capture: &Path, more: &[&str]) -> PathBuf {
    let out = home.join("spiked");
    ends(0, exhibit(home).args(["lab", "spike", "--out"]).arg(&out).args(more).arg(capture));
    out
}

fn findings(home: &Path, case: &Path) -> Findings {
    let printed = run(exhibit(home).args(["run", "--no-bundle", "--format", "json"]).arg(case));
    serde_json::from_str(&printed).unwrap()
}

/// `N of M found` of each control.
fn found(findings: &Findings) -> Vec<(u32, u32)> {
    let count = |figure: &str| {
        let mut words = figure.split(' ');
        (words.next().unwrap().parse().unwrap(), words.nth(1).unwrap().parse().unwrap())
    };
    let spikes = findings.controls.iter().filter(|control| control.id.starts_with("spikes"));
    spikes.map(|control| count(&control.figure)).collect()
}

/// Each record of a classic little-endian pcap behind its header.
fn records(pcap: &[u8]) -> Vec<&[u8]> {
    let (mut at, mut records) = (24, Vec::new());
    while at < pcap.len() {
        let len = u32::from_le_bytes(pcap[at + 8..at + 12].try_into().unwrap());
        let next = at + 16 + usize::try_from(len).unwrap();
        records.push(&pcap[at..next]);
        at = next;
    }
    records
}

#[test]
fn every_spike_is_found_in_real_captures_and_what_stood_there_stays() {
    let Some(all) = real() else { return };
    assert!(all.len() >= 6, "{all:?}");
    for capture in all {
        let home = tempfile::tempdir().unwrap();
        let over = "http1,http2,tls12,tls13,websocket";
        let case = spike(home.path(), &capture, &["--count", "2", "--over", over]);
        let name = capture.file_name().unwrap();
        let (before, after) = (fs::read(&capture).unwrap(), fs::read(case.join(name)).unwrap());
        if before.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]) {
            let merged = records(&after);
            let mut left = merged.iter();
            for record in records(&before) {
                assert!(
                    left.any(|other| *other == record),
                    "{name:?}: a frame of it is gone, or stands elsewhere"
                );
            }
        }
        let found = found(&findings(home.path(), &case));
        assert_eq!(found, [(2, 2); 15], "{name:?}");
        let Some(tshark) = peer("tshark") else { return };
        let posts = run(Command::new(tshark)
            .current_dir(&case)
            .args(["-o", "tcp.reassemble_out_of_order:TRUE", "-o", "tls.keylog_file:spikes.keys", "-r"])
            .arg(name)
            .args(["-Y", "http.request.uri == \"/spike\" || http2.headers.path == \"/spike\""])
            .args(["-T", "fields", "-e", "frame.number"]));
        // Three classes, twice, over HTTP/1.1 in clear and in two versions of TLS, and over HTTP/2.
        assert_eq!(posts.lines().count(), 24, "{name:?}");
    }
}

#[test]
fn the_phones_part_of_a_capture_is_what_it_was() {
    let Some(folder) = captures() else { return };
    let capture = folder.join("arkime__http-content-gzip.pcap");
    let home = tempfile::tempdir().unwrap();
    let case = spike(home.path(), &capture, &["--count", "3"]);
    let with = findings(home.path(), &case);
    // The same case without the spikes.
    let plain = home.path().join("plain");
    fs::create_dir_all(&plain).unwrap();
    fs::copy(&capture, plain.join("arkime__http-content-gzip.pcap")).unwrap();
    fs::write(
        plain.join("scenario.yaml"),
        "exhibit: 1\nphone: {addresses: [10.0.0.1]}\ncapture: arkime__http-content-gzip.pcap\nclaims: [{says: nothing, untestable: nothing}]\n",
    )
    .unwrap();
    let without = findings(home.path(), &plain);
    assert_eq!(with.subject.addresses, without.subject.addresses);
    assert_eq!(with.ledger.all, without.ledger.all);
    let flows = |findings: &Findings| -> Vec<String> {
        findings
            .flows
            .iter()
            .map(|flow| format!("{} {} {:?}", flow.community_id, flow.frames, flow.uplink))
            .collect()
    };
    assert_eq!(flows(&with), flows(&without));
}

#[test]
fn enough_spikes_reach_the_bound_and_lost_frames_miss_it() {
    let Some(folder) = captures() else { return };
    let capture = folder.join("arkime__http-content-gzip.pcap");
    let home = tempfile::tempdir().unwrap();
    let case = spike(home.path(), &capture, &["--over", "http1"]);
    let whole = findings(home.path(), &case);
    assert_eq!(found(&whole), [(59, 59); 3]);
    let gate =
        |findings: &Findings| findings.gates.iter().find(|gate| gate.id == "spike_recall").unwrap().state;
    assert_eq!(gate(&whole), GateState::Held);
    let path = case.join("arkime__http-content-gzip.pcap");
    let bytes = fs::read(&path).unwrap();
    let kept =
        records(&bytes).into_iter().enumerate().filter(|(no, _)| no % 30 != 29).map(|(_, record)| record);
    fs::write(&path, [&bytes[..24], &kept.collect::<Vec<_>>().concat()].concat()).unwrap();
    let lossy = findings(home.path(), &case);
    let missed: u32 = found(&lossy).iter().map(|(found, sent)| sent - found).sum();
    assert!(missed > 0 && gate(&lossy) == GateState::Failed, "{missed}");
}

#[test]
fn spikes_without_keys_are_not_found_in_tls() {
    let Some(folder) = captures() else { return };
    let capture = folder.join("arkime__http-content-gzip.pcap");
    let home = tempfile::tempdir().unwrap();
    let case = spike(home.path(), &capture, &["--over", "tls13", "--count", "3", "--without-keys"]);
    assert!(!case.join("spikes.keys").exists());
    assert_eq!(found(&findings(home.path(), &case)), [(0, 3); 3]);
}

#[test]
fn the_same_wishes_give_the_same_bytes_and_another_seed_others() {
    let Some(folder) = captures() else { return };
    let capture = folder.join("arkime__http-content-gzip.pcap");
    let merged = |seed: &str| {
        let home = tempfile::tempdir().unwrap();
        let case = spike(home.path(), &capture, &["--count", "1", "--seed", seed]);
        fs::read(case.join("arkime__http-content-gzip.pcap")).unwrap()
    };
    assert!(merged("1") == merged("1"));
    assert!(merged("1") != merged("2"));
}

#[test]
fn what_can_not_be_merged_is_refused_and_nothing_is_written() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = home.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let header = |link: u8| {
        let mut header = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0];
        header.extend([link, 0, 0, 0]);
        header
    };
    let cut = [header(1), vec![1, 2, 3]].concat();
    let long = at("long.pcap", &header(1));
    // Holes take no room.
    fs::File::options().write(true).open(&long).unwrap().set_len(exhibit::lab::MAX_MERGED + 1).unwrap();
    for (path, why) in [
        (at("empty.pcap", b""), "neither a pcap nor a pcapng"),
        (at("packed.pcap.gz", &[0x1f, 0x8b, 8, 0, 0, 0]), "neither a pcap nor a pcapng"),
        (at("wifi.pcap", &header(105)), "no frames can be written for its link type 105"),
        (at("cut.pcap", &cut), "it is damaged at byte 24"),
        (at("none.pcap", &header(1)), "it holds no IPv4 packets"),
        (long, "it has more than 2147483648 bytes"),
    ] {
        let out = home.path().join("out");
        let mut command = exhibit(home.path());
        refused(
            why,
            "it takes a pcap or pcapng of one section",
            command.args(["lab", "spike", "--out"]).arg(&out).arg(path),
        );
        assert!(!out.exists(), "{why}");
    }
    let Some(folder) = captures() else { return };
    let capture = folder.join("arkime__http-content-gzip.pcap");
    let out = home.path().join("twice");
    let wanted = |from: &str| {
        let mut command = exhibit(home.path());
        command.args(["lab", "spike", "--count", "1", "--from", from, "--out"]).arg(&out).arg(&capture);
        command
    };
    refused("10.0.0.1 is used in it", "it takes a pcap", &mut wanted("10.0.0.1"));
    let done = ends(0, &mut wanted("10.0.0.99"));
    assert!(text(done.out.as_bytes()).contains("known uploads of 10.0.0.99"), "{}", done.out);
    refused("it is there already", "it is never overwritten", &mut wanted("10.0.0.99"));
}
