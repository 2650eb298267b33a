//! Input that is damaged, missing, wrong or hostile: a clear error with a way out, the documented exit code, no
//! panic, no half-written file, nothing that controls the terminal.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use flate2::{Compression, GzBuilder, write::GzEncoder};

mod support;
use support::{
    Home, case, control, ends, listing, member, packets, peer, refused, said, skip, text, unpacked, write,
};

const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
    oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The gzip header of a bundle before any content, so that only the content decides.
fn sealed_gzip(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::default());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

mod captures {
    use super::*;

    /// Runs the three commands that take a capture; `hello` is a case whose capture was replaced.
    fn each(home: &Home, bytes: &[u8], check: &dyn Fn(&mut Command)) {
        write(&home.case.join("hotspot.pcapng"), bytes);
        let before = listing(&home.path("."));
        check(&mut home.exhibit(&["find", "hello/hotspot.pcapng", "hello/DCIM"]));
        check(&mut home.exhibit(&["inspect", "hello/hotspot.pcapng"]));
        check(&mut home.exhibit(&["run", "hello", "-o", "a.tar.gz", "--unsigned"]));
        check(&mut home.exhibit(&["report", "hello", "--format", "md"]));
        let _ = fs::remove_file(home.path("a.tar.gz"));
        assert_eq!(listing(&home.path(".")), before);
    }

    #[test]
    fn what_is_no_capture_is_said_and_what_to_give_instead() {
        let home = Home::new();
        let pcap = "tcpdump -w, dumpcap and Wireshark";
        for (bytes, why, hint) in [
            (&b""[..], "the file is empty", pcap),
            (b"10:00:41 IP 192.168.43.17 > 203.0.113.9\n", "looks like text that starts", pcap),
            (b"PK\x03\x04\x14\0\0\0\x08\0\x1b]0;owned\x07", "neither pcap nor pcapng", pcap),
            (&[0; 4_096], "neither pcap nor pcapng", pcap),
            (LFS_POINTER.as_bytes(), "Git LFS pointer to 12345 bytes", "git lfs pull"),
            (&gzip(b"no capture inside"), "neither pcap nor pcapng", pcap),
            (&gzip(b""), "empty", pcap),
        ] {
            each(&home, bytes, &|command| {
                let said = refused(why, hint, command);
                assert!(said.err.contains("hotspot.pcapng"), "{}", said.err);
            });
        }
    }

    #[test]
    fn a_capture_that_is_cut_off_is_analyzed_up_to_there_and_the_result_says_so() {
        let home = Home::new();
        let whole = fs::read(home.case.join("hotspot.pcapng")).unwrap();
        let zipped = gzip(&whole);
        for (bytes, kind) in [(&whole[..9_000], "capture_cut_off"), (&zipped[..4_000], "compression_damaged")]
        {
            each(&home, bytes, &|command| {
                let said = ends(0, command);
                assert!(!said.out.contains("whole file"), "{command:?}: {}", said.out);
                let told = ["is not whole: ", kind];
                assert!(told.iter().any(|word| said.out.contains(word)), "{command:?}: {}", said.out);
            });
            let json = ends(
                0,
                &mut home.exhibit(&["find", "hello/hotspot.pcapng", "hello/DCIM", "--format", "json"]),
            )
            .out;
            let findings: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert!(
                findings["anomalies"].as_array().unwrap().iter().any(|anomaly| anomaly["kind"] == kind),
                "{json}"
            );
            ends(0, &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz"]));
            ends(0, &mut home.exhibit(&["verify", "a.tar.gz"]));
            fs::remove_file(home.path("a.tar.gz")).unwrap();
        }
        // The same bytes, whole: nothing is said.
        each(&home, &zipped, &|command| {
            let said = ends(0, command);
            assert!(!said.out.contains("is not whole") && !said.out.contains("cut_off"), "{}", said.out);
        });
    }

    #[test]
    fn a_damaged_gzip_is_analyzed_as_far_as_it_goes_and_the_result_says_so() {
        let home = Home::new();
        let zipped = gzip(&fs::read(home.case.join("hotspot.pcapng")).unwrap());
        for at in [zipped.len() / 2, zipped.len() - 6] {
            let mut damaged = zipped.clone();
            damaged[at] ^= 0x55;
            each(&home, &damaged, &|command| {
                let said = ends(0, command);
                assert!(
                    ["is not whole: ", "compression_damaged"].iter().any(|word| said.out.contains(word)),
                    "{}",
                    said.out
                );
            });
        }
    }

    #[test]
    fn no_damage_anywhere_in_a_capture_is_a_panic_or_an_undocumented_code() {
        let home = Home::new();
        let whole = fs::read(home.case.join("hotspot.pcapng")).unwrap();
        for step in 0..120 {
            let mut damaged = whole.clone();
            let at = step * whole.len() / 120;
            match step % 3 {
                0 => damaged[at] ^= 0xff,
                1 => damaged.truncate(at),
                _ => drop(damaged.splice(at..at, [0xff; 4])),
            }
            write(&home.path("damaged"), damaged);
            let said = said(&mut home.exhibit(&["find", "damaged", "hello/DCIM"]));
            match said.code {
                Some(0) => assert!(!said.out.is_empty()),
                Some(2) => assert!(said.err.starts_with("exhibit: error: cannot "), "{}", said.err),
                other => panic!("damage at {at}: exit code {other:?}\n{}", said.err),
            }
        }
    }

    #[test]
    fn a_folder_or_nothing_in_a_captures_place_and_a_file_that_may_not_be_read() {
        let home = Home::new();
        for path in ["hello", "hello/DCIM"] {
            refused(
                "it is a folder, not a file",
                "name the file in it",
                &mut home.exhibit(&["inspect", path]),
            );
            refused(
                "it is a folder, not a file",
                "name the file in it",
                &mut home.exhibit(&["find", path, "hello/DCIM"]),
            );
        }
        refused(
            "cannot open hotspit.pcapng: there is no such file",
            "",
            &mut home.exhibit(&["inspect", "hotspit.pcapng"]),
        );
        refused(
            "cannot open hello/DCIN",
            "did you mean",
            &mut home.exhibit(&["find", "hello/hotspot.pcapng", "hello/DCIN"]),
        );
        fs::remove_file(home.case.join("hotspot.pcapng")).unwrap();
        fs::create_dir(home.case.join("hotspot.pcapng")).unwrap();
        refused("hotspot.pcapng", "", &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz", "--unsigned"]));
        assert!(!home.path("a.tar.gz").exists());
    }

    #[test]
    fn a_file_that_may_not_be_read_is_said() {
        let home = Home::new();
        let locked = home.case.join("DCIM/Camera/IMG_0001.jpg");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::File::open(&locked).is_ok() {
            return skip("this user may read every file");
        }
        refused(
            "IMG_0001.jpg",
            "may not read",
            &mut home.exhibit(&["find", "hello/hotspot.pcapng", "hello/DCIM"]),
        );
        refused(
            "IMG_0001.jpg",
            "may not read",
            &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz", "--unsigned"]),
        );
        assert!(!home.path("a.tar.gz").exists());
    }

    #[test]
    fn two_phones_that_are_as_likely_are_not_guessed_between() {
        let home = Home::new();
        let server = ([203, 0, 113, 9], 80);
        let mut frames = Vec::new();
        for last in [17, 18] {
            let sent = b"POST /up HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nabcd";
            frames.extend(packets::connection(
                ([192, 168, 43, last], 50_000),
                server,
                sent,
                b"HTTP/1.1 204 No Content\r\n\r\n",
            ));
        }
        write(&home.path("two.pcap"), packets::pcap(&frames));
        let said =
            refused("192.168.43.17", "--phone IP", &mut home.exhibit(&["find", "two.pcap", "hello/DCIM"]));
        assert!(said.err.contains("192.168.43.18"), "{}", said.err);
        write(
            &home.case.join("two.yaml"),
            "exhibit: 1\ncapture: ../two.pcap\nfiles: DCIM\nclaims:\n  - {says: x, uploads: photo}\n",
        );
        refused(
            "192.168.43.18",
            "phone: {addresses: [IP]}",
            &mut home.exhibit(&["run", "hello/two.yaml", "-o", "a.tar.gz", "--unsigned"]),
        );
        assert!(!home.path("a.tar.gz").exists());
        ends(0, &mut home.exhibit(&["find", "two.pcap", "hello/DCIM", "--phone", "192.168.43.18"]));
        refused(
            "neither an IP address nor a MAC",
            "like 192.168",
            &mut home.exhibit(&["find", "two.pcap", "hello/DCIM", "--phone", "my phone"]),
        );
    }
}

mod device_files {
    use super::*;

    #[test]
    fn a_git_lfs_pointer_among_the_phones_files_is_named() {
        let home = Home::new();
        write(&home.case.join("DCIM/Camera/IMG_0002.jpg"), LFS_POINTER);
        for command in [
            &["find", "hello/hotspot.pcapng", "hello/DCIM"][..],
            &["run", "hello", "-o", "a.tar.gz", "--unsigned"],
        ] {
            let said = refused("Git LFS pointer", "", &mut home.exhibit(command));
            assert!(said.err.contains("IMG_0002.jpg") && said.err.contains("git lfs pull"), "{}", said.err);
        }
        assert!(!home.path("a.tar.gz").exists());
    }

    #[test]
    fn a_copy_of_a_file_that_was_sent_is_not_called_unseen() {
        let home = Home::new();
        for name in ["a.jpg", "b.jpg"] {
            fs::copy(home.case.join("DCIM/Camera/IMG_0003.jpg"), home.path(name)).unwrap();
        }
        let said = ends(0, &mut home.exhibit(&["find", "hello/hotspot.pcapng", "a.jpg", "b.jpg"]));
        assert!(
            said.out.contains("a.jpg   whole file sent") && said.out.contains("the same content: b.jpg"),
            "{}",
            said.out
        );
        assert!(!said.out.contains("not seen"), "{}", said.out);
    }

    #[test]
    fn a_file_named_twice_or_by_a_detour_is_one_file() {
        let home = Home::new();
        let once = ends(0, &mut home.exhibit(&["find", "hello/hotspot.pcapng", "hello/DCIM"])).out;
        for twice in [
            &["hello/DCIM", "hello/DCIM"][..],
            &["hello/DCIM", "./hello//DCIM/"],
            &["hello/DCIM/Camera", "hello/./DCIM"],
        ] {
            assert_eq!(ends(0, home.exhibit(&["find", "./hello/hotspot.pcapng"]).args(twice)).out, once);
        }
    }
}

mod scenarios {
    use super::*;

    fn scenario(home: &Home, text: &str) {
        write(&home.case.join("scenario.yaml"), text);
    }

    const CLAIMS: &str = "claims:\n  - {says: it uploads, uploads: photo}\n";

    #[test]
    fn what_is_wrong_is_shown_at_its_place_with_a_way_out() {
        let home = Home::new();
        for (text, why, hint, place) in [
            ("exhibit: 1\ncapture: [\n", "", "", "scenario.yaml"),
            ("\tx", "", "", "scenario.yaml"),
            ("exhibit: 1\nfils: DCIM/\n", "unknown key `fils`", "did you mean `files`", "scenario.yaml:2:1"),
            (
                &format!("exhibit: 1\ncapture: hotspit.pcapng\nfiles: DCIM/\n{CLAIMS}"),
                "no capture at hotspit.pcapng",
                "did you mean",
                "scenario.yaml:2:10",
            ),
            (
                &format!("exhibit: 1\ncapture: hotspot.pcapng\nfiles: DCIN/\n{CLAIMS}"),
                "no folder at DCIN/",
                "did you mean",
                "scenario.yaml:3:8",
            ),
            (
                &format!("exhibit: 1\ncapture: /etc/passwd\nfiles: DCIM/\n{CLAIMS}"),
                "absolute path",
                "relative to the scenario",
                "scenario.yaml:2:10",
            ),
            (
                &format!("exhibit: 1\nid: ../../evil\ncapture: hotspot.pcapng\n{CLAIMS}"),
                "can't be the id",
                "",
                "scenario.yaml:2:5",
            ),
        ] {
            scenario(&home, text);
            for command in [
                &["run", "hello", "-o", "a.tar.gz", "--unsigned"][..],
                &["check", "hello"],
                &["report", "hello"],
            ] {
                let said = refused(why, hint, &mut home.exhibit(command));
                assert!(said.err.contains(place), "{place} is not shown:\n{}", said.err);
            }
        }
        assert_eq!(listing(&home.path(".")), listing_of_hello(), "something was left");
    }

    fn listing_of_hello() -> Vec<String> {
        listing(&Home::new().path("."))
    }

    #[test]
    fn every_broken_scenario_of_the_corpus_is_refused_by_run() {
        let home = Home::new();
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios_bad");
        let files = listing(&corpus);
        assert!(files.len() > 20);
        for file in files {
            write(&home.case.join("bad.yaml"), fs::read(corpus.join(&file)).unwrap());
            refused("", "", &mut home.exhibit(&["run", "hello/bad.yaml", "-o", "a.tar.gz", "--unsigned"]));
            assert!(!home.path("a.tar.gz").exists(), "{file}");
        }
    }

    #[test]
    fn what_is_no_case_is_said() {
        let home = Home::new();
        refused("cannot open the case nothing", "exhibit new", &mut home.exhibit(&["run", "nothing"]));
        refused("scenario.yaml", "", &mut home.exhibit(&["run", "hello/DCIM"]));
        refused("not UTF-8", "", &mut home.exhibit(&["run", "hello/hotspot.pcapng", "--no-bundle"]));
        write(&home.case.join("record.jsonl"), "{\"run\": \n");
        refused("record.jsonl", "", &mut home.exhibit(&["run", "hello", "--no-bundle"]));
    }

    #[test]
    fn an_input_named_with_a_dot_or_twice_has_one_logical_path_and_verifies() {
        let home = Home::new();
        for inputs in [
            "capture: ./hotspot.pcapng\nfiles: ./DCIM/\n",
            "capture: hotspot.pcapng\nfiles: ./\n",
            "captures: [hotspot.pcapng, ./hotspot.pcapng]\nfiles: DCIM\n",
            "capture: hotspot.pcapng\nkeys: [./keys.log]\nfiles: DCIM\n",
        ] {
            write(&home.case.join("keys.log"), "# none\n");
            scenario(&home, &format!("exhibit: 1\n{inputs}{CLAIMS}"));
            let said = ends(0, &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz"]));
            assert!(said.out.contains("C1  supported (whole file)"), "{inputs}{}", said.out);
            ends(0, &mut home.exhibit(&["verify", "a.tar.gz"]));
            let inventory = text(&member(&home.path("a.tar.gz"), "data/inventory.json"));
            assert!(!inventory.contains("\"./"), "{inventory}");
        }
    }
}

mod bundles {
    use super::*;

    fn sealed() -> (Home, Vec<u8>) {
        let home = Home::new();
        let path = home.seal("good.tar.gz", &[]);
        let bytes = fs::read(path).unwrap();
        (home, bytes)
    }

    /// The bundle doesn't hold, and no other command takes it for one.
    fn does_not_hold(home: &Home, bytes: &[u8], what: &str) {
        write(&home.path("bad.tar.gz"), bytes);
        let said = ends(1, &mut home.exhibit(&["verify", "bad.tar.gz", "--report", "r.html"]));
        let lines: Vec<&str> = said.out.lines().collect();
        assert!(lines.len() == 5 && lines[0].starts_with("Integrity   FAILED: "), "{what}: {}", said.out);
        assert!(!home.path("r.html").exists(), "{what}: a report of a bundle that doesn't hold");
        for command in [&["show", "bad.tar.gz"][..], &["report", "bad.tar.gz"]] {
            let said = refused("cannot open bad.tar.gz", "exhibit verify", &mut home.exhibit(command));
            assert!(said.out.is_empty(), "{what}: {}", said.out);
        }
    }

    #[test]
    fn one_changed_byte_of_the_file_does_not_hold() {
        let (home, good) = sealed();
        let tar = unpacked(&home.path("good.tar.gz"));
        let (mut failed, mut same) = (0, 0);
        let ends_of_it = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11].into_iter().chain(good.len() - 9..good.len());
        for at in ends_of_it.chain((1..60).map(|step| step * good.len() / 60)) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            // Deflate has bits that mean nothing (RFC 1951 section 3.2.4); what is sealed is the content.
            let mut content = Vec::new();
            let read = flate2::read::MultiGzDecoder::new(&bad[..]).read_to_end(&mut content);
            if read.is_ok() && content == tar && (10..good.len() - 8).contains(&at) {
                same += 1;
                write(&home.path("bad.tar.gz"), &bad);
                ends(0, &mut home.exhibit(&["verify", "bad.tar.gz"]));
            } else {
                failed += 1;
                does_not_hold(&home, &bad, &format!("byte {at} of {}", good.len()));
            }
        }
        assert!(failed > 70 && same < 8, "{failed} failed, {same} changed nothing");
    }

    /// Where a member's header begins.
    fn header_of(tar: &[u8], name: &str) -> usize {
        let name = format!("exhibit/{name}");
        tar.chunks(512).position(|block| block.starts_with(name.as_bytes())).unwrap() * 512
    }

    #[test]
    fn one_changed_byte_of_the_content_compressed_again_does_not_hold() {
        let (home, _) = sealed();
        let tar = unpacked(&home.path("good.tar.gz"));
        write(&home.path("again.tar.gz"), sealed_gzip(&tar));
        ends(0, &mut home.exhibit(&["verify", "again.tar.gz"]));
        for name in [
            "bagit.txt",
            "manifest-sha256.txt",
            "data/findings.json",
            "data/bundle.json",
            "data/captures/0001",
            "data/private/seed",
            "data/howto.txt",
        ] {
            let at = header_of(&tar, name);
            // Its header's name, mode, time and checksum; its first content.
            for offset in [10, 103, 140, 150, 512] {
                let mut bad = tar.clone();
                bad[at + offset] ^= 1;
                does_not_hold(&home, &sealed_gzip(&bad), &format!("{name} at {offset}"));
            }
        }
        // A changed seal leaves the content whole and is no signature.
        let mut bad = tar.clone();
        let payload = header_of(&tar, "attestations/seal.dsse.json") + 512;
        bad[payload + 120] ^= 1;
        write(&home.path("bad.tar.gz"), sealed_gzip(&bad));
        let said = ends(1, &mut home.exhibit(&["verify", "bad.tar.gz"]));
        assert!(said.out.contains("FAILED") && !said.out.contains("You may write"), "{}", said.out);
        let mut stuffed = tar.clone();
        *stuffed.last_mut().unwrap() = 1;
        does_not_hold(&home, &sealed_gzip(&stuffed), "the last byte of the end");
        does_not_hold(&home, &sealed_gzip(&[&tar[..], &[0; 512]].concat()), "one more block of zeros");
        does_not_hold(&home, &sealed_gzip(&tar[..tar.len() - 512]), "one block less");
    }

    #[test]
    fn a_cut_off_or_continued_file_and_what_is_no_bundle_do_not_hold() {
        let (home, good) = sealed();
        for len in [1, 9, 10, 11, 600, good.len() / 2, good.len() - 8, good.len() - 1] {
            does_not_hold(&home, &good[..len], &format!("cut off after {len}"));
        }
        does_not_hold(&home, &[&good[..], b"x"].concat(), "a byte behind it");
        does_not_hold(&home, &[&good[..], &good[..]].concat(), "two in one file");
        for (bytes, what) in [
            (Vec::new(), "empty"),
            (b"no bundle".to_vec(), "text"),
            (LFS_POINTER.as_bytes().to_vec(), "a Git LFS pointer"),
            (gzip(b"no bundle"), "gzip"),
            (sealed_gzip(b"no bundle"), "text in the right gzip"),
            (sealed_gzip(&[0; 1_024]), "an empty tar"),
            (fs::read(home.case.join("hotspot.pcapng")).unwrap(), "a capture"),
        ] {
            does_not_hold(&home, &bytes, what);
        }
    }

    #[test]
    fn a_tar_of_the_same_files_made_by_another_program_does_not_hold() {
        let Some(tar) = peer("tar") else { return };
        let (home, _) = sealed();
        let unpack = Command::new(&tar)
            .args(["-xzf", "good.tar.gz"])
            .current_dir(home.folder.path())
            .status()
            .unwrap();
        assert!(unpack.success());
        let pack = Command::new(&tar)
            .args(["-czf", "theirs.tar.gz", "exhibit"])
            .current_dir(home.folder.path())
            .status()
            .unwrap();
        assert!(pack.success());
        does_not_hold(&home, &fs::read(home.path("theirs.tar.gz")).unwrap(), "GNU tar");
    }
}

mod places {
    use super::*;

    #[test]
    fn a_place_where_no_file_can_stand_is_refused_before_the_work_and_left_as_it_is() {
        let home = Home::new();
        let made = Command::new("mkfifo").arg(home.path("pipe")).status();
        assert!(made.unwrap().success());
        home.seal("good.tar.gz", &["--unsigned"]);
        for (place, why) in [
            ("pipe", "a device or a pipe"),
            ("hello", "it is a folder"),
            ("nowhere/a.tar.gz", "its folder can't be opened"),
            ("hello/scenario.yaml/a", "not a folder"),
        ] {
            for command in [
                &["run", "hello", "--unsigned", "-o"][..],
                &["report", "hello", "-o"],
                &["verify", "good.tar.gz", "--report"],
            ] {
                let said = refused(why, "", home.exhibit(command).arg(place));
                assert!(said.out.is_empty() || command[0] == "report", "refused too late: {}", said.out);
            }
        }
        let kind = fs::symlink_metadata(home.path("pipe")).unwrap().file_type();
        assert!(std::os::unix::fs::FileTypeExt::is_fifo(&kind), "the pipe was replaced by a file");
        assert!(!home.path("nowhere").exists());
    }

    /// Runs a script in a folder where `small` is a disk of 64 KiB; it prints what the test is to see.
    fn on_a_small_disk(home: &Home, script: &str) -> Option<support::Said> {
        let unshare = peer("unshare")?;
        fs::create_dir_all(home.path("small")).unwrap();
        let script =
            format!("mount -t tmpfs -o size=64k none small 2>/dev/null || exit 99\n{script}\nexit 0");
        for flags in ["-m", "-rm"] {
            let mut command = Command::new(&unshare);
            command.args([flags, "sh", "-c", &script]).current_dir(home.folder.path());
            command.env("EXHIBIT", env!("CARGO_BIN_EXE_exhibit")).env("EXHIBIT_CONFIG", home.path("config"));
            let said = said(&mut command);
            if said.code == Some(0) {
                return Some(said);
            }
        }
        skip("this machine gives no disk of one's own (unshare, mount)");
        None
    }

    #[test]
    fn a_full_disk_under_the_output_leaves_what_was_there() {
        let home = Home::with("redmi-note");
        case(home.folder.path(), "hello");
        let script = "
            $EXHIBIT run redmi-note -o small/a.tar.gz --unsigned >/dev/null; echo code $?
            ls -A small
            $EXHIBIT run hello -o small/a.tar.gz --unsigned >/dev/null 2>&1; echo code $?
            $EXHIBIT run redmi-note -o small/a.tar.gz --unsigned >/dev/null 2>&1; echo code $?
            ls -A small
            $EXHIBIT verify small/a.tar.gz --no-rerun | cut -c -21 | head -n 1";
        let Some(said) = on_a_small_disk(&home, script) else { return };
        assert_eq!(said.out, "code 2\ncode 0\ncode 2\na.tar.gz\nIntegrity   held: 14 \n");
        assert!(
            said.err.contains("exhibit: error: cannot seal small/a.tar.gz: No space left on device"),
            "{}",
            said.err
        );
        assert!(said.err.contains("exhibit: hint: nothing was left behind"), "{}", said.err);
    }

    #[test]
    fn a_full_disk_under_reports_keys_cases_and_snapshots_leaves_nothing() {
        let home = Home::new();
        let script = "
            head -c 100000 /dev/zero >small/full 2>/dev/null
            $EXHIBIT report hello -o small/r.html; echo code $?
            $EXHIBIT run hello -o small/a.tar.gz --unsigned >/dev/null; echo code $?
            EXHIBIT_CONFIG=small/config $EXHIBIT key; echo code $?
            $EXHIBIT new small/case --capture hello/hotspot.pcapng; echo code $?
            $EXHIBIT test hello --accept --snapshots small/snapshots >/dev/null; echo code $?
            find small -type f";
        let Some(said) = on_a_small_disk(&home, script) else { return };
        assert_eq!(said.out, format!("{}small/full\n", "code 2\n".repeat(5)), "{}", said.err);
        assert_eq!(said.err.matches("exhibit: error: cannot ").count(), 5, "{}", said.err);
        assert_eq!(said.err.matches("No space left").count(), 5, "{}", said.err);
    }

    #[test]
    fn a_full_scratch_folder_says_nothing_about_the_bundle_or_the_capture() {
        let home = Home::with("redmi-note");
        case(home.folder.path(), "hello");
        home.seal("good.tar.gz", &[]);
        let body = [
            b"POST /up HTTP/1.1\r\nHost: a.example\r\nContent-Length: 300000\r\n\r\n".as_slice(),
            &[b'x'; 300_000],
        ]
        .concat();
        let frames = packets::connection(([192, 168, 43, 17], 50_000), ([203, 0, 113, 9], 80), &body, b"");
        write(&home.path("large.pcap.gz"), gzip(&packets::pcap(&frames)));
        let script = "
            export TMPDIR=small
            $EXHIBIT verify good.tar.gz; echo code $?
            $EXHIBIT find large.pcap.gz hello/DCIM; echo code $?
            $EXHIBIT show good.tar.gz; echo code $?
            find small -type f";
        let Some(said) = on_a_small_disk(&home, script) else { return };
        assert_eq!(said.out, "code 2\n".repeat(3), "{}", said.err);
        assert_eq!(said.err.matches("No space left").count(), 3, "{}", said.err);
        assert!(said.err.matches("TMPDIR").count() >= 2, "{}", said.err);
        // Without room for its scratch files nothing is claimed either.
        let mut nowhere = home.exhibit(&["verify", "good.tar.gz"]);
        refused("cannot write a scratch file", "TMPDIR", nowhere.env("TMPDIR", home.path("nowhere")));
        let mut nowhere = home.exhibit(&["find", "large.pcap.gz", "hello/DCIM"]);
        refused("into a scratch file", "TMPDIR", nowhere.env("TMPDIR", home.path("nowhere")));
    }
}

mod hostile_names {
    use super::*;

    /// Sets a terminal's title, deletes a line by C1, turns text around, breaks out of HTML and Markdown.
    const EVIL: &str =
        "x\u{1b}]0;owned\u{7}\u{9b}2K\u{202e}<script>alert(1)</script>[a](javascript:alert(1))|`";

    fn photo() -> Vec<u8> {
        let mut seed = 7_u32;
        let noise = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        });
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00".iter().copied().chain(noise.take(9_000)).collect()
    }

    /// A phone that sends a photo, with hostile text wherever it can choose: names of hosts, paths, fields, files.
    fn capture() -> Vec<u8> {
        let phone = |port| ([192, 168, 43, 17], port);
        let mut frames = vec![packets::dns_answer(
            phone(40_000),
            [192, 168, 43, 1],
            &[EVIL.as_bytes(), b"example"],
            [203, 0, 113, 9],
        )];
        // As a strict client would write it, so that it is understood …
        let tame = EVIL.replace(|c: char| c.is_ascii_control() || c == ' ', "");
        for (port, word) in [(40_001, EVIL), (40_002, tame.as_str())] {
            let body = [
                format!(
                    "--b\r\nContent-Disposition: form-data; name=\"{word}\"; filename=\"{word}.jpg\"\r\n\r\n"
                )
                .into_bytes(),
                photo(),
                b"\r\n--b--\r\n".to_vec(),
            ]
            .concat();
            let head = format!(
                "POST /{word} HTTP/1.1\r\nHost: {word}.example\r\nUser-Agent: {word}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let answer = format!("HTTP/1.1 200 {word}\r\nContent-Length: 0\r\n\r\n");
            frames.extend(packets::connection(
                phone(port),
                ([203, 0, 113, 9], 80),
                &[head.into_bytes(), body].concat(),
                answer.as_bytes(),
            ));
        }
        // … and a hello of TLS with a server's name (RFC 6066) that is none.
        let name = EVIL.as_bytes();
        let len = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
        let sni =
            [&[0, 0], &len(name.len() + 5)[..], &len(name.len() + 3), &[0], &len(name.len()), name].concat();
        let hello = [&[3, 3][..], &[9; 32], &[0, 0, 2, 0x13, 1, 1, 0], &len(sni.len()), &sni].concat();
        let handshake = [&[1, 0][..], &len(hello.len()), &hello].concat();
        let record = [&[22, 3, 1][..], &len(handshake.len()), &handshake].concat();
        frames.extend(packets::connection(phone(40_003), ([203, 0, 113, 10], 443), &record, b""));
        packets::pcap(&frames)
    }

    fn quoted(text: &str) -> String {
        // YAML's double quotes take the escapes of JSON.
        serde_json::to_string(text).unwrap().replace('\u{9b}', "\\u009b").replace('\u{202e}', "\\u202e")
    }

    fn home() -> Home {
        let home = Home::new();
        let capture_name = format!("{}.pcap", EVIL.replace('/', ""));
        let photo_name = format!("{}.jpg", EVIL.replace('/', ""));
        write(&home.case.join("photos").join(&photo_name), photo());
        write(&home.case.join(&capture_name), capture());
        let evil = quoted(EVIL);
        let scenario = format!(
            "exhibit: 1\ntitle: {evil}\ncapture: {}\nfiles: photos\nphone: {{model: {evil}, addresses: [192.168.43.17]}}\n\
             claims:\n  - says: {evil}\n    by: {evil}\n    reading: {evil}\n    uploads: photo\n    not_covered: [{{part: {evil}, test_by: {evil}}}]\n",
            quoted(&capture_name)
        );
        write(&home.case.join("scenario.yaml"), scenario);
        home
    }

    /// Whether a page or a text holds markup that somebody else wrote.
    fn injected(report: &str) -> bool {
        let page = report.trim_start().to_lowercase().starts_with("<!doctype");
        report.contains("<script>alert") || (!page && report.contains("[a](javascript:alert"))
    }

    #[test]
    fn no_command_lets_captured_text_control_a_terminal_a_page_or_a_report() {
        let home = home();
        let capture = listing(&home.case).into_iter().find(|name| name.ends_with(".pcap")).unwrap();
        let capture = format!("hello/{capture}");
        let command = |arguments: &[&str]| ends(0, home.exhibit(&["--color", "always"]).args(arguments)).out;
        let found = command(&["find", &capture, "hello/photos"]);
        assert!(found.contains("whole file sent") && found.contains("\\u{1b}]0;owned\\u{7}"), "{found}");
        let inspected = command(&["inspect", &capture]);
        assert!(inspected.contains("owned"), "{inspected}");
        let verdicts = command(&["run", "hello", "-o", "a.tar.gz"]);
        assert!(
            without_colours(&verdicts).contains("C1  supported") && verdicts.contains("owned"),
            "{verdicts}"
        );
        command(&["verify", "a.tar.gz"]);
        command(&["check", "hello"]);
        let list = command(&["show", "a.tar.gz"]);
        for id in without_colours(&list).split_whitespace().filter(|word| word.starts_with("F-")) {
            command(&["show", "a.tar.gz", id]);
        }
        for page in [
            command(&["report", "hello", "--format", "html"]),
            command(&["run", "hello", "--no-bundle", "--format", "html"]),
        ] {
            assert!(page.contains("owned") && !injected(&page), "markup of the capture stands in the page");
        }
        let markdown = command(&["report", "a.tar.gz", "--format", "md"]);
        assert!(markdown.contains("owned") && !injected(&markdown), "{markdown}");
        ends(0, &mut home.exhibit(&["verify", "a.tar.gz", "--report", "r.html"]));
        let page = fs::read_to_string(home.path("r.html")).unwrap();
        assert!(control(&page).is_none() && !injected(&page));
        for member_name in ["data/report/report.html", "data/report/report.md"] {
            let report = text(&member(&home.path("a.tar.gz"), member_name));
            assert!(control(&report).is_none() && !injected(&report), "{member_name}");
        }
    }

    #[test]
    fn json_holds_no_raw_control_characters() {
        let home = home();
        let capture = listing(&home.case).into_iter().find(|name| name.ends_with(".pcap")).unwrap();
        let capture = format!("hello/{capture}");
        for arguments in [
            &["find", &capture, "hello/photos", "--format", "json"][..],
            &["inspect", &capture, "--format", "json"],
            &["inspect", &capture, "--format", "jsonl"],
        ] {
            let output = support::output(&mut home.exhibit(arguments));
            assert!(output.status.success());
            let raw = output.stdout.iter().find(|byte| **byte < 0x20 && **byte != b'\n' || **byte == 0x7f);
            assert_eq!(raw, None, "{arguments:?}");
            for line in text(&output.stdout).lines().filter(|_| arguments.contains(&"jsonl")) {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
    }

    #[test]
    fn errors_show_names_without_obeying_them() {
        let home = home();
        let photos = listing(&home.case.join("photos"));
        let photo = format!("hello/photos/{}", photos[0]);
        for arguments in [
            &["find", EVIL, "hello"][..],
            &["find", &photo, "hello/DCIM"],
            &["find", "hello/hotspot.pcapng", EVIL],
            &["find", "hello/hotspot.pcapng", "hello/DCIM", "--phone", EVIL],
            &["run", EVIL],
            &["run", &photo],
            &["run", "hello", "--key", EVIL],
            &["run", "hello", "--seed", EVIL],
            &["run", "hello", "--unsigned", "-o", &format!("nowhere/{EVIL}")],
            &["verify", EVIL],
            &["verify", "hello", "--signer", EVIL],
            &["show", &photo, EVIL],
            &["explain", EVIL],
            &["test", EVIL],
            &["new", "x", "--capture", EVIL],
            &["lab", "make", EVIL],
            &[EVIL],
        ] {
            refused("", "", home.exhibit(&["--color", "always"]).args(arguments));
        }
        ends(0, home.exhibit(&["run", "hello", "--unsigned", "-o"]).arg(EVIL.replace('/', "")));
        ends(0, home.exhibit(&["new"]).arg(format!("new-{}", EVIL.replace('/', ""))));
        // A stored snapshot may hold what the present one never would.
        ends(0, &mut home.exhibit(&["test", "hello", "--accept"]));
        let stored = fs::read_to_string(home.path("snapshots/hello.snap")).unwrap();
        assert_eq!(control(&stored), None);
        write(&home.path("snapshots/hello.snap"), stored.replacen("supported", EVIL, 1));
        assert!(ends(1, &mut home.exhibit(&["--color", "always", "test", "hello"])).out.contains("owned"));
    }

    fn without_colours(text: &str) -> String {
        let mut parts = text.split('\u{1b}');
        let mut plain = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            plain.push_str(part.split_once('m').unwrap().1);
        }
        plain
    }
}
