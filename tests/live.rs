//! Real curl uploads freshly made photos to real nginx on loopback while real tcpdump records: `find` and `run` must
//! say exactly what was sent, and nothing of the photo that never was.
#![allow(
    clippy::zombie_processes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{fs, process::Command};

use exhibit::{
    evidence::ByteRange,
    findings::{Findings, Grade, Status},
};

mod support;
use support::{
    exhibit, output, peer,
    recording::{Recording, fresh_photo, writable_by_all},
    run,
    servers::{free_port, start_nginx},
    write,
};

#[test]
fn curl_to_nginx_gives_exactly_what_was_sent() {
    let (Some(nginx), Some(tcpdump), Some(curl)) = (peer("nginx"), peer("tcpdump"), peer("curl")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    writable_by_all(at);
    let photos = at.join("case/DCIM");
    let sizes = [
        ("multipart.jpg", 300_017),
        ("put.jpg", 1_500_003),
        ("chunked.jpg", 250_001),
        ("ranges.jpg", 400_000),
        ("never.jpg", 300_000),
    ];
    for (name, len) in sizes {
        fresh_photo(&photos.join(name), len);
    }
    let port = free_port();
    let root = at.join("nginx/www");
    let servers = format!(
        "server {{ listen 127.0.0.1:{port}; root {};\n\
           location /put/ {{ dav_methods PUT; create_full_put_path on; }}\n\
           location / {{ return 200 \"ok\"; }} }}",
        root.display()
    );
    let _server = start_nginx(&nginx, &at.join("nginx"), &servers, port);
    let Some(recording) = Recording::start(&tcpdump, &at.join("live.pcap"), &format!("tcp port {port}"))
    else {
        return;
    };

    let base = format!("http://127.0.0.1:{port}");
    let send =
        |arguments: &[&str]| run(Command::new(&curl).args(["-sS", "-f", "-o", "/dev/null"]).args(arguments));
    let file = |name: &str| photos.join(name).display().to_string();
    send(&[
        "-F",
        "note=hello",
        "-F",
        &format!("photo=@{};type=image/jpeg", file("multipart.jpg")),
        &format!("{base}/upload"),
    ]);
    send(&["-T", &file("put.jpg"), &format!("{base}/put/put.jpg")]);
    run(Command::new("sh").arg("-c").arg(format!(
        "'{}' -sS -f -o /dev/null -T - -H 'Transfer-Encoding: chunked' '{base}/put/chunked.jpg' < '{}'",
        curl.display(),
        file("chunked.jpg")
    )));
    // Four ranges, each its own connection, out of order; the second is never sent.
    let whole = fs::read(photos.join("ranges.jpg")).unwrap();
    for (number, (start, end)) in [(3, (300_000, 400_000)), (0, (0, 100_000)), (2, (200_000, 300_000))] {
        let part = at.join(format!("part-{number}"));
        write(&part, &whole[start..end]);
        send(&[
            "-X",
            "POST",
            "-H",
            &format!("Content-Range: bytes {start}-{}/400000", end - 1),
            "-H",
            "Content-Type: application/octet-stream",
            "--data-binary",
            &format!("@{}", part.display()),
            &format!("{base}/resume"),
        ]);
    }
    let capture = recording.stop();
    assert_eq!(
        fs::read(at.join("nginx/www/put/chunked.jpg")).unwrap(),
        fs::read(photos.join("chunked.jpg")).unwrap(),
        "nginx has the file"
    );

    let printed = run(exhibit(at).args(["find", "--format", "json"]).arg(&capture).arg(&photos));
    let findings: Findings = serde_json::from_str(&printed).unwrap();
    let of = |name: &str| {
        findings.findings.iter().filter(|finding| finding.artifact.ends_with(name)).collect::<Vec<_>>()
    };
    for name in ["multipart.jpg", "put.jpg", "chunked.jpg"] {
        let found = of(name);
        assert_eq!(found.len(), 1, "{name}: {found:#?}");
        assert_eq!(
            (found[0].grade, found[0].probative, found[0].parts.len()),
            (Grade::Exact, true, 1),
            "{name}"
        );
        assert_eq!(found[0].caveats, [""; 0], "{name}");
    }
    let ranges = of("ranges.jpg");
    assert_eq!(ranges.len(), 1, "{ranges:#?}");
    assert_eq!(ranges[0].grade, Grade::Partial);
    assert_eq!(ranges[0].artifact_ranges, [ByteRange::new(0, 100_000), ByteRange::new(200_000, 400_000)]);
    assert_eq!(ranges[0].matched_bytes, 300_000);
    assert_eq!(of("never.jpg"), [] as [&exhibit::findings::Finding; 0]);
    let all = findings.ledger.all;
    assert_eq!(all.matched, 300_017 + 1_500_003 + 250_001 + 300_000);
    assert_eq!(all.lost, 0);
    assert_eq!(all.matched + all.understood + all.undetermined + all.opaque + all.lost, all.total);

    let printed = run(exhibit(at).arg("find").arg(&capture).arg(&photos));
    assert!(printed.contains("multipart.jpg") && printed.contains("whole file"), "{printed}");
    assert!(!printed.contains("never.jpg"), "{printed}");

    fs::copy(&capture, at.join("case/live.pcap")).unwrap();
    write(
        &at.join("case/scenario.yaml"),
        "exhibit: 1\nid: live\ncapture: live.pcap\nfiles: DCIM/\nterms:\n  sent: {artifacts: [DCIM/put.jpg]}\n  kept: {artifacts: [DCIM/never.jpg]}\n\
         claims:\n  - {id: A, says: it uploads photos, uploads: photo}\n  - {id: B, says: it uploads this one, uploads: sent}\n  - {id: C, says: it uploads that one, uploads: kept}\n\
         \x20 - {id: D, says: it never uploads photos, never_uploads: photo}\n",
    );
    let printed = run(exhibit(at).args(["run", "--no-bundle", "--format", "json"]).arg(at.join("case")));
    let findings: Findings = serde_json::from_str(&printed).unwrap();
    let status: Vec<(&str, Status)> =
        findings.claims.iter().map(|claim| (claim.id.as_str(), claim.status)).collect();
    assert_eq!(
        status,
        [
            ("A", Status::Supported),
            ("B", Status::Supported),
            ("C", Status::Inconclusive),
            ("D", Status::Refuted)
        ]
    );
    let absent =
        output(exhibit(at).args(["run", "--no-bundle", "--fail-on", "refuted"]).arg(at.join("case")));
    assert_eq!(absent.status.code(), Some(1), "--fail-on refuted");
}
