//! Hashes of files: found however they are written, and never taken for the file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::process::Command;

use serde_json::Value;

mod support;

use support::{Home, packets};

fn photo(seed: u32) -> Vec<u8> {
    let body =
        (0..30_000_u32).map(|no| (no.wrapping_mul(2_654_435_761).rotate_left(seed) >> 24).to_le_bytes()[0]);
    [0xff, 0xd8, 0xff, 0xe0].into_iter().chain(body).collect()
}

/// The digest of a file as openssl prints it.
fn openssl(hash: &str, path: &std::path::Path) -> String {
    let text = support::run(Command::new("openssl").args(["dgst", "-r", hash]).arg(path));
    text.split_whitespace().next().unwrap().to_owned()
}

fn findings(home: &Home, body: &str, claim: &str) -> Value {
    let head = format!("POST /check HTTP/1.1\r\nHost: cdn.example\r\nContent-Length: {}\r\n\r\n", body.len());
    talk(home, &format!("{head}{body}"), "HTTP/1.1 204 No Content\r\n\r\n", claim)
}

/// What is found where this was sent and that was answered.
fn talk(home: &Home, sent: &str, answered: &str, claim: &str) -> Value {
    let frames = packets::connection(
        ([192, 168, 43, 17], 40_000),
        ([203, 0, 113, 9], 80),
        sent.as_bytes(),
        answered.as_bytes(),
    );
    support::write(&home.path("case/capture.pcap"), packets::pcap(&frames));
    let scenario = format!(
        "exhibit: 1\ncapture: capture.pcap\nfiles: phone/\nclaims:\n  - {{id: L2, says: photos, {claim}: photo}}\n"
    );
    support::write(&home.path("case/scenario.yaml"), scenario);
    let case = home.path("case");
    let json =
        support::run(&mut home.exhibit(&["run", "--no-bundle", "--format", "json", case.to_str().unwrap()]));
    serde_json::from_str(&json).unwrap()
}

#[test]
fn the_hash_of_a_photo_is_found_in_each_spelling_and_settles_nothing_about_the_photo() {
    if support::peer("openssl").is_none() {
        return support::skip("openssl");
    }
    let home = Home::new();
    support::write(&home.path("case/phone/IMG_0001.jpg"), photo(1));
    support::write(&home.path("case/phone/IMG_0002.jpg"), photo(2));
    let path = home.path("case/phone/IMG_0001.jpg");
    for hash in ["-md5", "-sha1", "-sha256", "-sha512"] {
        let hex = openssl(hash, &path);
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        for (written, text) in [("hex", hex.to_uppercase()), ("hex", hex), ("base64", base64)] {
            let found = findings(&home, &format!("{{\"name\":\"1.jpg\",\"etag\":\"{text}\"}}"), "uploads");
            let [finding] = found["findings"].as_array().unwrap().as_slice() else {
                panic!("{text}: {found}")
            };
            assert_eq!(finding["artifact"], "phone/IMG_0001.jpg", "{text}");
            assert_eq!(finding["grade"], "identifier");
            assert_eq!(finding["form"], format!("{} in {written}", &hash[1..]));
            assert_eq!(finding["matched_bytes"], finding["artifact_ranges"][0][1]);
            assert_eq!(finding["artifact_bytes"], 0);
            assert_eq!(finding["caveats"], serde_json::json!(["dedup"]));
            let claim = &found["claims"][0];
            assert_eq!(claim["status"], "inconclusive", "{claim}");
            assert!(claim["reasons"].as_array().unwrap().contains(&"dedup".into()), "{claim}");
        }
        let never = findings(&home, &format!("h={}", openssl(hash, &path)), "never_uploads");
        assert_eq!(never["claims"][0]["status"], "inconclusive");
    }
}

#[test]
fn the_hash_of_something_else_is_not_found() {
    if support::peer("openssl").is_none() {
        return support::skip("openssl");
    }
    let home = Home::new();
    support::write(&home.path("case/phone/IMG_0001.jpg"), photo(1));
    support::write(&home.path("other.jpg"), photo(3));
    let other = openssl("-sha1", &home.path("other.jpg"));
    let own = openssl("-sha1", &home.path("case/phone/IMG_0001.jpg"));
    // Another file's; the own one cut short; the own one inside a longer number.
    let body = format!("a={other}&b={}&c={own}00", &own[..38]);
    assert_eq!(findings(&home, &body, "uploads")["findings"], serde_json::json!([]));
}

#[test]
fn the_proof_of_a_hash_leads_to_the_program_that_makes_it() {
    if support::peer("openssl").is_none() {
        return support::skip("openssl");
    }
    let home = Home::new();
    support::write(&home.path("case/phone/IMG_0001.jpg"), photo(1));
    let hash = openssl("-sha1", &home.path("case/phone/IMG_0001.jpg"));
    let found = findings(&home, &format!("h={hash}"), "uploads");
    let id = found["findings"][0]["id"].as_str().unwrap();
    support::run(&mut home.exhibit(&["run", "--unsigned", "-o", "a.tar.gz", "case"]));
    let proof = support::run(&mut home.exhibit(&["show", "a.tar.gz", id]));
    assert!(proof.contains("of that are the artifact's sha1 in hex"), "{proof}");
    assert!(!proof.contains("of the artifact") && proof.contains("seen        its hash alone"), "{proof}");
    let command = proof.lines().last().unwrap().trim();
    assert_eq!(command, "sha1sum -- phone/IMG_0001.jpg");
    let said = support::run(Command::new("sh").args(["-c", command]).current_dir(home.path("case")));
    assert!(said.starts_with(&hash), "{said}");
}

#[test]
fn half_of_a_hash_is_found_and_less_never_counts() {
    if support::peer("openssl").is_none() {
        return support::skip("openssl");
    }
    let home = Home::new();
    support::write(&home.path("case/phone/IMG_0001.jpg"), photo(1));
    let hash = openssl("-sha256", &home.path("case/phone/IMG_0001.jpg"));
    // As many digits as MD5 has among them.
    for (digits, wanted) in [(64, 1), (62, 1), (32, 1), (16, 1), (15, 0), (14, 0)] {
        let found = findings(&home, &format!("{{\"h\":\"{}\"}}", &hash[..digits]), "uploads");
        let all = found["findings"].as_array().unwrap();
        assert_eq!(all.len(), wanted, "{digits}: {found}");
        for finding in all {
            assert_eq!((&finding["form"], &finding["probative"]), (&"sha256 in hex".into(), &true.into()));
        }
    }
    let other = format!("{{\"h\":\"{}0{}\"}}", &hash[..8], &hash[9..17]);
    assert_eq!(findings(&home, &other, "uploads")["findings"], serde_json::json!([]));
}

#[test]
fn what_the_server_answers_to_a_hash_is_said() {
    if support::peer("openssl").is_none() {
        return support::skip("openssl");
    }
    let home = Home::new();
    support::write(&home.path("case/phone/IMG_0001.jpg"), photo(1));
    let hash = openssl("-md5", &home.path("case/phone/IMG_0001.jpg"));
    let json = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let empty = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    let post = format!("POST /check HTTP/1.1\r\nHost: cdn.example\r\nContent-Length: 34\r\n\r\nh={hash}");
    let head = format!("HEAD /files/{hash} HTTP/1.1\r\nHost: cdn.example\r\n\r\n");
    let get = format!("GET /files/{hash} HTTP/1.1\r\nHost: cdn.example\r\n\r\n");
    for (sent, answered, answer) in [
        (&post, json("200 OK", "{\"exists\": true}"), "already_there"),
        (&post, json("200 OK", "{\"status\":\"File already uploaded\"}"), "already_there"),
        (&post, empty("409 Conflict"), "already_there"),
        (&get, "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(), "already_there"),
        (&head, "HTTP/1.1 200 OK\r\nContent-Length: 30004\r\n\r\n".to_owned(), "already_there"),
        (&head, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), "not_there"),
        (&post, json("200 OK", "{\"exists\":false,\"url\":\"/up\"}"), "not_there"),
        (&post, json("200 OK", "{\"ok\":1}"), "other"),
        (&get, json("200 OK", "a page"), "other"),
        (&post, String::new(), "not_seen"),
        // An interim answer is none.
        (&post, format!("HTTP/1.1 100 Continue\r\n\r\n{}", empty("409 Conflict")), "already_there"),
    ] {
        let found = talk(&home, sent, &answered, "never_uploads");
        let [probe] = found["probes"].as_array().unwrap().as_slice() else { panic!("{answered}: {found}") };
        assert_eq!(probe["answer"], answer, "{answered}: {probe}");
        let place =
            ["artifact", "phase", "run"].map(|key| probe[key].as_str().unwrap_or_else(|| panic!("{found}")));
        assert_eq!(place, ["phone/IMG_0001.jpg", "capture", "capture/01"]);
        let odd = found["anomalies"].as_array().unwrap().iter();
        let named = odd.filter(|one| one["kind"] == "delta_protocol").count();
        assert_eq!(named, usize::from(answer == "already_there"), "{found}");
    }
    let nothing =
        talk(&home, &post.replace(&hash, &hash.replace('0', "1")), &empty("409 Conflict"), "uploads");
    assert!(nothing.get("probes").is_none(), "{nothing}");
}
