//! Canaries are made the same for the same seed, are what they say, fit into a scenario as they are, and are found when
//! they are sent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;

use exhibit::{
    engine::statistics::size_codes,
    findings::{Findings, Grade, Status},
};

mod support;
use support::{
    Home, ends, listing,
    packets::{connection, pcap},
    refused, text, write,
};

const SEED: &str = "6f1c0d5b8a7e4f32910c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809aab";

/// Canaries in a folder of their own.
fn planted(home: &Home, folder: &str, seed: &str, more: &[&str]) -> String {
    ends(0, home.exhibit(&["canary", folder, "--seed", seed]).args(more)).out
}

/// Names and sizes of the photos' codes, as the scenario's part gives them.
fn codes(plan: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (name, rest) = line.trim().split_once(": {kind: photo, size_code: ")?;
        Some((name.to_owned(), rest.split('}').next()?.parse().ok()?))
    };
    plan.lines().filter_map(line).collect()
}

#[test]
fn one_seed_makes_one_set_and_nothing_is_overwritten() {
    let home = Home::new();
    let (one, two) = (planted(&home, "one", SEED, &[]), planted(&home, "two", SEED, &[]));
    assert_eq!(one, two);
    let other = planted(&home, "other", &SEED.replace('6', "7"), &[]);
    let digests = |out: &str| -> Vec<String> {
        out.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    };
    assert!(digests(&one).iter().all(|digest| !digests(&other).contains(digest)));
    let files = listing(&home.path("one"));
    for name in ["canaries.yaml", "device/DCIM/Camera/cam-05.jpg", "device/contacts.vcf", "device/sms.csv"] {
        assert!(files.iter().any(|file| file == name), "{files:?}");
    }
    let again = &mut home.exhibit(&["canary", "one", "--seed", SEED]);
    refused("it is there already", "choose another folder", again);
    refused(
        "64 lower-case hex digits",
        "openssl rand",
        &mut home.exhibit(&["canary", "three", "--seed", "7"]),
    );
    let many = &mut home.exhibit(&["canary", "three", "--seed", SEED, "--photos", "9"]);
    refused("9 photos are too many", "--help", many);
    assert!(!home.path("three").exists());
}

#[test]
fn photos_are_pictures_whose_sizes_tell_them_apart() {
    let home = Home::new();
    for seed in [SEED.to_owned(), SEED.replace('0', "1"), SEED.replace('a', "2")] {
        let folder = format!("of-{seed}");
        planted(&home, &folder, &seed, &["--photos", "8"]);
        let plan = fs::read_to_string(home.path(&folder).join("canaries.yaml")).unwrap();
        let codes = codes(&plan);
        assert_eq!(codes.len(), 8, "{plan}");
        let sizes: Vec<u64> = codes.iter().map(|(_, size)| *size).collect();
        size_codes::separated(&sizes).unwrap();
        for (name, size) in codes {
            let photo = fs::read(home.path(&folder).join(format!("device/DCIM/Camera/{name}.jpg"))).unwrap();
            assert_eq!(photo.len() as u64, size);
            // Another's decoder takes it.
            let picture = image::load_from_memory_with_format(&photo, image::ImageFormat::Jpeg).unwrap();
            assert!(picture.width() * picture.height() > 150_000, "{}", picture.width());
        }
    }
}

#[test]
fn what_is_planted_fits_into_a_scenario_and_is_found_when_it_is_sent() {
    let home = Home::new();
    planted(&home, "claim", SEED, &[]);
    let folder = home.path("claim");
    let plan = fs::read_to_string(folder.join("canaries.yaml")).unwrap();
    let read = |name: &str| fs::read(folder.join("device").join(name)).unwrap();
    let sms = text(&read("sms.csv"));
    let row: Vec<&str> = sms.lines().nth(1).unwrap().split(',').collect();
    let cards = text(&read("contacts.vcf"));
    let name = cards.lines().find_map(|line| line.strip_prefix("FN:")).unwrap();
    let account = plan.split("account: \"").nth(1).unwrap().split('"').next().unwrap();
    let sent = format!(
        "{{\"body\":\"{}\",\"sender\":\"{}\",\"name\":\"{name}\",\"account\":\"{account}\"}}",
        row[1], row[2]
    );
    let photo = read("DCIM/Camera/cam-02.jpg");
    let post = |body: &[u8]| {
        let head = format!("POST /up HTTP/1.1\r\nHost: up.example\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let ends_of = |port| (([10, 0, 0, 2], port), ([203, 0, 113, 7], 80));
    let frames: Vec<Vec<u8>> = [sent.as_bytes(), &photo]
        .into_iter()
        .zip(40_000..)
        .flat_map(|(body, port)| {
            let (phone, server) = ends_of(port);
            connection(phone, server, &post(body), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        })
        .collect();
    write(&folder.join("hotspot.pcap"), pcap(&frames));
    let scenario = format!(
        "exhibit: 1\nid: planted\ncapture: hotspot.pcap\n{plan}\
         claims:\n  - {{id: photo, says: photos, uploads: photo}}\n  - {{id: body, says: messages, uploads: message}}\n\
         \x20 - {{id: value, says: identifiers, uploads: identifier}}\n"
    );
    write(&folder.join("scenario.yaml"), scenario);
    let checked = ends(0, &mut home.exhibit(&["check", "claim"]));
    assert!(!checked.err.contains("warning"), "{}", checked.err);
    let run = ends(0, &mut home.exhibit(&["run", "claim", "--no-bundle", "--format", "json"]));
    let findings: Findings = serde_json::from_str(&run.out).unwrap();
    for claim in &findings.claims {
        assert_eq!(claim.status, Status::Supported, "{}: {:#?}", claim.id, findings.findings);
    }
    let found = |artifact: &str, grade: Grade| {
        findings.findings.iter().any(|one| one.artifact == artifact && one.grade == grade && one.probative)
    };
    assert!(found("device/DCIM/Camera/cam-02.jpg", Grade::Exact));
    assert!(found("device/sms.csv#sms-01", Grade::Record));
    assert!(found("identifier:account", Grade::Identifier));
    let names = |finding: &&exhibit::findings::Finding| finding.artifact.contains("contacts.vcf");
    assert!(findings.findings.iter().filter(names).any(|finding| finding.probative), "{name}");
    // Nothing of what was not sent is found.
    for other in ["cam-01", "cam-03", "sms-02", "sms-03"] {
        assert!(findings.findings.iter().all(|finding| !finding.artifact.contains(other)), "{other}");
    }
}
