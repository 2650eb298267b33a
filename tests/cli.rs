//! The program as a person uses it: exit codes, what stands on stdout and stderr, files left and not left.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

mod support;
use support::{Home, ends, listing, member, output, peer, refused, run, skip, text, write};

fn lines_begin_with(text: &str, begin: &str) {
    for line in text.lines() {
        assert!(line.starts_with(begin), "{line:?} does not begin with {begin:?}");
    }
}

mod exit_codes {
    use super::*;

    #[test]
    fn run_gives_0_whatever_the_verdicts_and_1_when_asked_to_fail_on_one() {
        let home = Home::with("redmi-note");
        let said = ends(0, home.exhibit(&["run", "redmi-note", "--no-bundle"]).env("LANG", "C"));
        for (status, claim) in
            [("supported", "L1"), ("refuted", "X1"), ("inconclusive", "N1"), ("untestable", "X6")]
        {
            assert!(
                said.out.lines().any(|line| line.starts_with(&format!("{claim}  {status}"))),
                "{claim} {status}"
            );
            let failing =
                ends(1, &mut home.exhibit(&["run", "redmi-note", "--no-bundle", "--fail-on", status]));
            assert_eq!(failing.out, said.out);
        }
        assert_eq!(
            listing(&home.path("."))[..1],
            ["redmi-note/"],
            "--no-bundle neither seals nor makes a key"
        );
    }

    #[test]
    fn fail_on_a_status_that_no_verdict_has_gives_0_and_one_that_is_met_seals_nonetheless() {
        let home = Home::new();
        ends(
            0,
            &mut home.exhibit(&[
                "run",
                "hello",
                "--no-bundle",
                "--fail-on",
                "refuted",
                "--fail-on",
                "untestable",
            ]),
        );
        ends(
            1,
            &mut home.exhibit(&[
                "run",
                "hello",
                "-o",
                "a.tar.gz",
                "--fail-on",
                "refuted",
                "--fail-on",
                "supported",
            ]),
        );
        ends(0, &mut home.exhibit(&["verify", "a.tar.gz"]));
    }

    #[test]
    fn a_command_line_that_makes_no_sense_gives_2() {
        let home = Home::new();
        for wrong in [
            &["frob"][..],
            &["run"],
            &["run", "hello", "--unsigned", "--key", "k"],
            &["run", "hello", "--min-run", "3"],
            &["run", "hello", "--fail-on", "guilty"],
            &["run", "hello", "--threads", "many"],
            &["find", "hello/hotspot.pcapng"],
            &["test", "--check", "--accept"],
            &["verify", "a", "b"],
            &["explain", "windows", "clock"],
        ] {
            let said = refused("", "", &mut home.exhibit(wrong));
            assert!(said.out.is_empty(), "{}", said.out);
        }
        assert!(ends(2, &mut home.exhibit(&[])).err.contains("Usage: exhibit"));
    }

    #[test]
    fn help_and_version_are_results() {
        let home = Home::new();
        for asked in [
            &["--help"][..],
            &["help"],
            &["-h"],
            &["--version"],
            &["help", "run"],
            &["lab", "make", "--help"],
        ] {
            let said = ends(0, &mut home.exhibit(asked));
            assert!(!said.out.is_empty() && said.err.is_empty(), "{asked:?}: {}", said.err);
        }
        let help = ends(0, &mut home.exhibit(&["--help"])).out;
        for code in ["0 done", "1 it does not hold", "2 it could not be done", "3 it holds in part", "130"] {
            let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(code), "--help does not document {code}");
        }
    }

    #[test]
    fn an_interrupt_while_sealing_gives_130_and_leaves_nothing() {
        let home = Home::new();
        // Enough that writing takes a while; content that does not repeat, so that nothing is saved.
        let mut seed = 1_u64;
        let large: Vec<u8> = std::iter::repeat_with(|| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()
        })
        .take(8 << 20)
        .flatten()
        .collect();
        write(&home.case.join("DCIM/Camera/IMG_0009.jpg"), large);
        let before = listing(&home.path("."));
        // A test that runs in the background must not pass its ignored signals on.
        let Some(env) = peer("env") else { return };
        for signal in ["INT", "TERM"] {
            let mut plain = home.exhibit(&["run", "hello", "-o", "out/case.tar.gz", "--unsigned"]);
            fs::create_dir_all(home.path("out")).unwrap();
            let mut command = Command::new(&env);
            command.args(["--default-signal=INT", "--default-signal=TERM", "--default-signal=HUP"]);
            command.arg(plain.get_program()).args(plain.get_args()).current_dir(home.folder.path());
            command
                .env_clear()
                .env("TMPDIR", std::env::temp_dir())
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            plain.env_clear();
            let child = command.spawn().unwrap();
            let deadline = Instant::now() + Duration::from_secs(60);
            while listing(&home.path("out")).iter().filter(|path| !path.ends_with('/')).count() == 0 {
                assert!(Instant::now() < deadline, "nothing is being written");
                std::thread::sleep(Duration::from_millis(1));
            }
            run(Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()));
            let ended = child.wait_with_output().unwrap();
            let stderr = text(&ended.stderr);
            assert_eq!((ended.status.code(), ended.status.signal()), (Some(130), None), "{signal}: {stderr}");
            assert!(!stderr.contains("panicked") && !stderr.contains("sealed"), "{stderr}");
            assert_eq!(listing(&home.path("out")), [""; 0], "{signal} left something behind");
            fs::remove_dir(home.path("out")).unwrap();
            assert_eq!(listing(&home.path(".")), before);
        }
    }

    #[test]
    fn a_run_that_fails_leaves_the_older_bundle_as_it_was() {
        let home = Home::new();
        let path = home.seal("a.tar.gz", &[]);
        let old = fs::read(&path).unwrap();
        refused("cannot", "", &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz", "--key", "nothing"]));
        assert_eq!(fs::read(&path).unwrap(), old);
    }
}

mod verifying {
    use super::*;

    #[test]
    fn the_own_key_holds_and_a_key_nobody_vouched_for_holds_in_part() {
        let home = Home::new();
        home.seal("a.tar.gz", &[]);
        let said = ends(0, &mut home.exhibit(&["verify", "a.tar.gz"]));
        let checks: Vec<&str> =
            said.out.lines().take(5).map(|line| line.split_whitespace().next().unwrap()).collect();
        assert_eq!(checks, ["Integrity", "Signature", "Time", "Re-run", "Origin"]);
        assert!(said.err.is_empty(), "{}", said.err);
        assert!(said.out.contains("your own key") && said.out.contains("Contains 3 photos"), "{}", said.out);

        let stranger = Home::new();
        fs::copy(home.path("a.tar.gz"), stranger.path("a.tar.gz")).unwrap();
        let said = ends(3, &mut stranger.exhibit(&["verify", "a.tar.gz"]));
        assert!(said.out.contains("nobody vouched for"), "{}", said.out);
        assert!(!stranger.path("config").exists(), "verify makes no key");
    }

    #[test]
    fn a_named_signer_holds_in_each_spelling_and_another_does_not() {
        let (home, stranger) = (Home::new(), Home::new());
        home.seal("a.tar.gz", &[]);
        fs::copy(home.path("a.tar.gz"), stranger.path("a.tar.gz")).unwrap();
        let fingerprint = home.fingerprint();
        for (name, format) in [("k.pem", "pem"), ("k.pub", "openssh")] {
            write(&stranger.path(name), ends(0, &mut home.exhibit(&["key", "--format", format])).out);
        }
        for signer in [fingerprint.as_str(), "k.pem", "k.pub"] {
            let said = ends(0, &mut stranger.exhibit(&["verify", "a.tar.gz", "--signer", signer]));
            assert!(said.out.contains(&fingerprint) && !said.out.contains("FAILED"), "{}", said.out);
        }
        let other = stranger.fingerprint();
        assert_ne!(other, fingerprint);
        for home in [&home, &stranger] {
            let said = ends(1, &mut home.exhibit(&["verify", "a.tar.gz", "--signer", &other]));
            assert!(said.out.contains("Signature   FAILED"), "{}", said.out);
            assert!(
                !said.out.to_lowercase().contains("you may write"),
                "a failed bundle permits nothing:\n{}",
                said.out
            );
        }
        refused(
            "cannot read the key 12ab",
            "--signer takes a fingerprint",
            &mut home.exhibit(&["verify", "a.tar.gz", "--signer", "12ab"]),
        );
    }

    #[test]
    fn unsigned_and_without_a_re_run_hold_in_part() {
        let home = Home::new();
        home.seal("unsigned.tar.gz", &["--unsigned"]);
        assert!(ends(3, &mut home.exhibit(&["verify", "unsigned.tar.gz"])).out.contains("unsigned"));
        ends(1, &mut home.exhibit(&["verify", "unsigned.tar.gz", "--signer", &"0".repeat(64)]));
        home.seal("a.tar.gz", &[]);
        let said = ends(3, &mut home.exhibit(&["verify", "a.tar.gz", "--no-rerun"]));
        assert!(said.out.contains("Re-run      not checked"), "{}", said.out);
    }

    #[test]
    fn a_bundle_that_does_not_hold_gives_1_even_into_a_closed_pipe() {
        let home = Home::new();
        let path = home.seal("a.tar.gz", &[]);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        write(&home.path("bad.tar.gz"), &bytes);
        let said = ends(1, &mut home.exhibit(&["verify", "bad.tar.gz"]));
        assert!(said.out.contains("Integrity   FAILED"), "{}", said.out);
        let child = home.exhibit(&["verify", "bad.tar.gz"]).stdout(closed_pipe()).output().unwrap();
        assert_eq!(child.status.code(), Some(1), "{}", text(&child.stderr));
        refused("cannot open nothing.tar.gz", "", &mut home.exhibit(&["verify", "nothing.tar.gz"]));
        refused("it is a folder, not a bundle", "one file", &mut home.exhibit(&["verify", "hello"]));
    }

    #[test]
    fn a_verified_report_says_so_and_only_for_a_bundle_that_holds() {
        let home = Home::new();
        let path = home.seal("a.tar.gz", &[]);
        for (name, begin) in [("r.html", "<!"), ("r.md", "")] {
            ends(0, &mut home.exhibit(&["verify", "a.tar.gz", "--report", name]));
            let report = fs::read_to_string(home.path(name)).unwrap();
            assert!(report.to_lowercase().starts_with(begin));
            assert!(
                report.contains("Re-run") && report.contains("identical"),
                "{name} does not say what was verified"
            );
        }
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 9);
        write(&home.path("bad.tar.gz"), &bytes);
        ends(1, &mut home.exhibit(&["verify", "bad.tar.gz", "--report", "no.html"]));
        assert!(!home.path("no.html").exists());
    }
}

mod keys {
    use super::*;

    #[test]
    fn the_first_run_makes_a_key_says_so_and_no_run_overwrites_it() {
        let home = Home::new();
        let said = ends(0, &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz"]));
        let file = home.path("config/seal.pem");
        let key = fs::read(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let fingerprint = home.fingerprint();
        assert_eq!(
            said.err.matches(&fingerprint).count(),
            2,
            "when it is made and when it signs:\n{}",
            said.err
        );
        assert!(said.err.contains("made your signing key"), "{}", said.err);

        let again = ends(0, &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz"]));
        assert!(!again.err.contains("made your signing key"), "{}", again.err);
        assert_eq!(fs::read(&file).unwrap(), key);
        assert_eq!(home.fingerprint(), fingerprint);
        // A file that is no key is not taken for a missing one.
        write(&file, "not a key");
        refused(
            "it is not an Ed25519 key",
            "--key takes",
            &mut home.exhibit(&["run", "hello", "-o", "b.tar.gz"]),
        );
        refused("it is not an Ed25519 key", "", &mut home.exhibit(&["key"]));
        assert_eq!(fs::read(&file).unwrap(), b"not a key");
    }

    #[test]
    fn openssl_and_ssh_keygen_read_the_public_half_and_count_the_same_fingerprint() {
        let home = Home::new();
        let fingerprint = home.fingerprint();
        assert!(
            fingerprint.len() == 64 && fingerprint.bytes().all(|c| c.is_ascii_hexdigit()),
            "{fingerprint}"
        );
        if let Some(openssl) = peer("openssl") {
            write(&home.path("k.pem"), ends(0, &mut home.exhibit(&["key", "--format", "pem"])).out);
            let mut der = Command::new(openssl);
            der.args(["pkey", "-pubin", "-outform", "DER", "-in"]).arg(home.path("k.pem"));
            assert_eq!(exhibit::evidence::Digest::of(&output(&mut der).stdout).to_string(), fingerprint);
        }
        if let Some(ssh_keygen) = peer("ssh-keygen") {
            write(&home.path("k.pub"), ends(0, &mut home.exhibit(&["key", "--format", "openssh"])).out);
            assert!(run(Command::new(ssh_keygen).arg("-lf").arg(home.path("k.pub"))).contains("ED25519"));
        }
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused_before_anything_is_sealed() {
        let home = Home::new();
        home.fingerprint();
        let key = home.path("config/seal.pem");
        for mode in [0o644, 0o640, 0o604] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            refused(
                "others can read it",
                "chmod 600",
                &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz", "--key", "config/seal.pem"]),
            );
            refused(
                "others can read it",
                "chmod 600",
                &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz"]),
            );
            refused("others can read it", "chmod 600", &mut home.exhibit(&["key"]));
        }
        if let Some(openssl) = peer("openssl") {
            for (name, algorithm) in [("rsa.pem", "rsa"), ("x.pem", "x25519")] {
                run(Command::new(&openssl)
                    .args(["genpkey", "-quiet", "-algorithm", algorithm, "-out"])
                    .arg(home.path(name)));
                fs::set_permissions(home.path(name), fs::Permissions::from_mode(0o600)).unwrap();
                refused(
                    "not an Ed25519 key",
                    "openssl genpkey",
                    &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz", "--key", name]),
                );
            }
        }
        refused(
            "No such file",
            "--unsigned",
            &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz", "--key", "no.pem"]),
        );
        let mut nowhere = home.exhibit(&["key"]);
        refused("configuration folder", "EXHIBIT_CONFIG", nowhere.env_remove("EXHIBIT_CONFIG"));
        assert!(!home.path("a.tar.gz").exists());
    }

    #[test]
    fn a_key_from_openssl_seals() {
        let Some(openssl) = peer("openssl") else { return };
        let home = Home::new();
        run(Command::new(openssl)
            .args(["genpkey", "-algorithm", "ed25519", "-out"])
            .arg(home.path("own.pem")));
        fs::set_permissions(home.path("own.pem"), fs::Permissions::from_mode(0o600)).unwrap();
        home.seal("a.tar.gz", &["--key", "own.pem"]);
        ends(3, &mut home.exhibit(&["verify", "a.tar.gz"]));
        assert!(!home.path("config").exists(), "with --key no other is made");
    }
}

mod output_streams {
    use super::*;

    #[test]
    fn results_stand_on_stdout_and_everything_else_on_stderr() {
        let home = Home::new();
        let sealed = ends(0, &mut home.exhibit(&["run", "hello", "-o", "a.tar.gz"]));
        lines_begin_with(&sealed.err, "exhibit: ");
        assert!(sealed.err.contains("bundle id ") && sealed.err.contains("do not publish"), "{}", sealed.err);
        assert!(sealed.out.contains("C1  supported") && !sealed.out.contains("exhibit: "), "{}", sealed.out);
        for (arguments, result) in [
            (&["find", "hello/hotspot.pcapng", "hello/DCIM"][..], "IMG_0003.jpg   whole file sent"),
            (&["inspect", "hello/hotspot.pcapng"], "gallery.example"),
            (&["show", "a.tar.gz"], "IMG_0003.jpg"),
            (&["report", "a.tar.gz", "--format", "md"], "supported"),
            (&["explain", "windows"], "windows"),
            (&["check", "hello"], "can be reached"),
            (&["verify", "a.tar.gz"], "Integrity"),
            (&["test", "hello"], "no snapshot"),
        ] {
            let said = support::said(&mut home.exhibit(arguments));
            assert!(said.out.contains(result), "{arguments:?}: {}", said.out);
            lines_begin_with(&said.err, "exhibit: ");
            assert!(!said.out.contains("exhibit: "), "{arguments:?}: {}", said.out);
        }
    }

    #[test]
    fn json_of_run_is_the_findings_in_the_bundle_byte_for_byte() {
        let home = Home::with("redmi-note");
        let printed = output(&mut home.exhibit(&["run", "redmi-note", "-o", "a.tar.gz", "--format", "json"]));
        assert!(printed.status.success());
        let findings = member(&home.path("a.tar.gz"), "data/findings.json");
        assert!(printed.stdout == findings, "run --format json differs from data/findings.json");
        for of in ["a.tar.gz", "redmi-note"] {
            let report = output(&mut home.exhibit(&["report", of, "--format", "json"]));
            assert!(report.stdout == findings, "report {of} --format json differs");
        }
        let value: serde_json::Value = serde_json::from_slice(&findings).unwrap();
        assert_eq!(
            (value["format"].as_str(), value["simulated"].as_bool()),
            (Some("exhibit-findings/1"), Some(true))
        );
    }

    #[test]
    fn reports_of_a_case_and_of_its_bundle_are_the_same_and_say_that_nobody_verified_them() {
        let home = Home::new();
        home.seal("a.tar.gz", &[]);
        for (format, sealed) in [("html", "data/report/report.html"), ("md", "data/report/report.md")] {
            let of_case = ends(0, &mut home.exhibit(&["report", "hello", "--format", format]));
            assert!(of_case.out.to_lowercase().contains("not verified"), "{format}");
            let of_bundle = ends(0, &mut home.exhibit(&["report", "a.tar.gz", "--format", format]));
            assert_eq!(of_case.out, of_bundle.out);
            assert_eq!(of_case.out.as_bytes(), member(&home.path("a.tar.gz"), sealed));
            let printed = ends(0, &mut home.exhibit(&["run", "hello", "--no-bundle", "--format", format]));
            assert_eq!(printed.out, of_case.out);
            let to_file = ends(0, &mut home.exhibit(&["report", "hello", "--format", format, "-o", "r"]));
            assert_eq!(
                (to_file.out.as_str(), fs::read_to_string(home.path("r")).unwrap()),
                ("", of_case.out)
            );
        }
    }

    #[test]
    fn colours_are_for_terminals_unless_asked_for() {
        let home = Home::new();
        home.seal("a.tar.gz", &[]);
        let escaped = |command: &mut Command| text(&output(command).stdout).contains('\u{1b}');
        for arguments in [
            &["run", "hello", "--no-bundle"][..],
            &["show", "a.tar.gz"],
            &["find", "hello/hotspot.pcapng", "hello/DCIM"],
        ] {
            let with = |more: &[&str]| {
                let mut command = home.exhibit(arguments);
                command.args(more);
                command
            };
            assert!(!escaped(&mut with(&[])), "{arguments:?} into a pipe");
            assert!(!escaped(&mut with(&["--color", "never"])));
            assert!(escaped(&mut with(&["--color", "always"])), "{arguments:?} --color always");
            assert!(
                escaped(with(&["--color=always"]).env("NO_COLOR", "1")),
                "what was typed goes before NO_COLOR"
            );
            let plain = ends(0, &mut with(&[])).out;
            let coloured = ends(0, &mut with(&["--color", "always"])).out;
            assert_eq!(without_colours(&coloured), plain);
        }
        // A terminal: `script` is one.
        let Some(script) = peer("script") else { return };
        let typed = format!("{} --color auto show a.tar.gz", env!("CARGO_BIN_EXE_exhibit"));
        let mut terminal = Command::new(script);
        terminal.args(["-qec", &typed, "/dev/null"]).current_dir(home.folder.path()).stdin(Stdio::null());
        terminal.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        assert!(escaped(&mut terminal), "no colours on a terminal");
        assert!(!escaped(terminal.env("NO_COLOR", "1")), "NO_COLOR is not heeded");
    }

    #[test]
    fn a_closed_pipe_is_no_panic_and_costs_neither_bundle_nor_exit_code() {
        let home = Home::new();
        let mut command = home.exhibit(&["run", "hello", "-o", "a.tar.gz"]);
        let ended = command.stdout(closed_pipe()).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
        assert!(
            !text(&ended.stderr).contains("panicked") && !text(&ended.stderr).contains("error"),
            "{}",
            text(&ended.stderr)
        );
        ends(0, &mut home.exhibit(&["verify", "a.tar.gz"]));
        for (arguments, code) in [
            (&["run", "hello", "--no-bundle", "--fail-on", "supported"][..], 1),
            (&["run", "hello", "--no-bundle", "--format", "html"], 0),
            (&["find", "hello/hotspot.pcapng", "hello/DCIM"], 0),
            (&["inspect", "hello/hotspot.pcapng", "--format", "jsonl"], 0),
            (&["verify", "a.tar.gz"], 0),
            (&["show", "a.tar.gz"], 0),
            (&["explain"], 0),
            (&["report", "a.tar.gz"], 0),
            (&["check", "hello"], 0),
            (&["key"], 0),
            (&["--help"], 0),
        ] {
            let ended =
                home.exhibit(arguments).stdout(closed_pipe()).stderr(Stdio::piped()).output().unwrap();
            assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}", text(&ended.stderr));
            assert!(!text(&ended.stderr).contains("panicked"), "{}", text(&ended.stderr));
        }
        let shell = format!("{} run hello -o b.tar.gz --unsigned | head -n 1", env!("CARGO_BIN_EXE_exhibit"));
        let head = ends(0, Command::new("sh").args(["-c", &shell]).current_dir(home.folder.path()));
        assert_eq!(head.out.lines().count(), 1);
        ends(3, &mut home.exhibit(&["verify", "b.tar.gz"]));
        let both = home
            .exhibit(&["find", "nothing", "hello"])
            .stdout(closed_pipe())
            .stderr(closed_pipe())
            .status()
            .unwrap();
        assert_eq!(both.code(), Some(2), "a closed stderr is no panic");
    }

    #[test]
    fn a_full_disk_behind_stdout_is_an_error() {
        if !Path::new("/dev/full").exists() {
            return skip("there is no /dev/full");
        }
        let home = Home::new();
        for arguments in [
            &["find", "hello/hotspot.pcapng", "hello/DCIM"][..],
            &["explain"],
            &["inspect", "hello/hotspot.pcapng"],
        ] {
            let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            let ended = home.exhibit(arguments).stdout(full).output().unwrap();
            assert_eq!(ended.status.code(), Some(2));
            assert!(
                text(&ended.stderr).starts_with("exhibit: error: cannot write the result: No space left"),
                "{}",
                text(&ended.stderr)
            );
        }
    }
}

/// The writing end of a pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').unwrap().1);
    }
    plain
}

mod commands {
    use super::*;

    #[test]
    fn every_command_line_in_the_help_works_as_it_stands() {
        let home = Home::new();
        for name in ["hotspot.pcapng", "DCIM"] {
            fs::rename(home.case.join(name), home.path(name)).unwrap();
        }
        fs::remove_dir_all(&home.case).unwrap();
        let help = ends(0, &mut home.exhibit(&["--help"])).out;
        let examples: Vec<&str> = help
            .lines()
            .filter_map(|line| {
                line.find(" exhibit ").filter(|_| !line.contains("Usage")).map(|at| &line[at + 1..])
            })
            .collect();
        assert!(examples.len() >= 5, "{help}");
        let bin = Path::new(env!("CARGO_BIN_EXE_exhibit")).parent().unwrap();
        for example in examples {
            let typed = example.replace("FINGERPRINT", &home.fingerprint());
            let mut shell = Command::new("sh");
            shell.args(["-ec", &typed]).current_dir(home.folder.path()).env_clear();
            shell
                .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
                .env("EXHIBIT_CONFIG", home.path("config"));
            let said = ends(0, &mut shell);
            assert!(!said.out.is_empty(), "{typed} says nothing");
        }
    }

    #[test]
    fn every_command_has_help_with_a_word_about_each_option() {
        let home = Home::new();
        let help = ends(0, &mut home.exhibit(&["--help"])).out;
        let commands: Vec<&str> = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert!(commands.contains(&"run") && commands.contains(&"explain"), "{commands:?}");
        for command in commands.iter().filter(|name| **name != "help") {
            let said = ends(0, &mut home.exhibit(&[command, "--help"]));
            assert!(said.out.contains("Usage: exhibit"), "{}", said.out);
            let short = ends(0, &mut home.exhibit(&[command, "-h"])).out;
            for (at, line) in short.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with('-'))
            {
                let told = line.trim().split("  ").nth(1).is_some()
                    || short.lines().nth(at + 1).is_some_and(|next| next.starts_with("          "));
                assert!(told, "{command}: {line:?} has no word of explanation");
            }
        }
    }

    #[test]
    fn explain_knows_every_reason_that_verdicts_give_and_says_what_it_does_not_know() {
        let home = Home::with("redmi-note");
        let findings =
            ends(0, &mut home.exhibit(&["run", "redmi-note", "--no-bundle", "--format", "json"])).out;
        let findings: serde_json::Value = serde_json::from_str(&findings).unwrap();
        let claims = findings["claims"].as_array().unwrap().iter();
        let mut codes: Vec<String> = claims
            .flat_map(|claim| claim["reasons"].as_array().unwrap())
            .chain(findings["gates"].as_array().unwrap().iter().map(|gate| &gate["id"]))
            .map(|code| code.as_str().unwrap().to_owned())
            .collect();
        codes.sort();
        codes.dedup();
        assert!(codes.len() > 5, "{codes:?}");
        let all = ends(0, &mut home.exhibit(&["explain"])).out;
        for code in &codes {
            let one = ends(0, &mut home.exhibit(&["explain", code])).out;
            assert!(one.starts_with(code.as_str()) && one.lines().count() > 1 && all.contains(&one), "{one}");
        }
        refused("cannot explain \"window\"", "lists all of them", &mut home.exhibit(&["explain", "window"]));
    }

    #[test]
    fn show_lists_findings_and_gives_the_proof_of_each() {
        let home = Home::new();
        home.seal("a.tar.gz", &[]);
        let list = ends(0, &mut home.exhibit(&["show", "a.tar.gz"])).out;
        let id = list.split_whitespace().find(|word| word.starts_with("F-")).unwrap().to_owned();
        let proof = ends(0, &mut home.exhibit(&["show", "a.tar.gz", &id])).out;
        for word in ["DCIM/Camera/IMG_0003.jpg", "tshark", "sha256sum", "203.0.113.9"] {
            assert!(proof.contains(word), "{word} is missing:\n{proof}");
        }
        assert_eq!(ends(0, &mut home.exhibit(&["show", "a.tar.gz", &id[2..7]])).out, proof);
        refused(
            "cannot find the finding F-zz",
            "lists the findings",
            &mut home.exhibit(&["show", "a.tar.gz", "F-zz"]),
        );
    }

    #[test]
    fn new_writes_a_case_that_check_and_run_take_and_overwrites_nothing() {
        let home = Home::new();
        let made = [
            "new",
            "claim",
            "--capture",
            "hello/hotspot.pcapng",
            "--files",
            "hello/DCIM",
            "--claim",
            "the phone will upload photos",
        ];
        ends(0, &mut home.exhibit(&made));
        let text = fs::read_to_string(home.path("claim/scenario.yaml")).unwrap();
        assert!(text.contains("the phone will upload photos") && text.contains('#'), "{text}");
        assert!(ends(0, &mut home.exhibit(&["check", "claim"])).out.contains("the phone will upload photos"));
        let expanded = ends(0, &mut home.exhibit(&["check", "claim", "--print"])).out;
        write(&home.path("claim/expanded.yaml"), &expanded);
        assert_eq!(ends(0, &mut home.exhibit(&["check", "claim/expanded.yaml", "--print"])).out, expanded);
        let said = ends(0, &mut home.exhibit(&["run", "claim", "-o", "a.tar.gz"]));
        assert!(said.out.contains("supported (whole file)"), "{}", said.out);
        ends(0, &mut home.exhibit(&["verify", "a.tar.gz"]));
        refused("cannot write claim/scenario.yaml", "never overwritten", &mut home.exhibit(&made));
        assert_eq!(fs::read_to_string(home.path("claim/scenario.yaml")).unwrap(), text);
        let before = listing(&home.path("."));
        refused(
            "cannot open nothing.pcap",
            "",
            &mut home.exhibit(&["new", "other", "--capture", "nothing.pcap"]),
        );
        assert_eq!(listing(&home.path(".")), before);
    }

    #[test]
    fn check_gives_2_for_a_case_with_errors_and_shows_each() {
        let home = Home::new();
        write(
            &home.path("hello/two.yaml"),
            "exhibit: 1\ncapture: hotspit.pcapng\nfiles: DCIN/\nclaims:\n  - {says: it uploads, uploads: photo}\n",
        );
        let said = refused("it has 2 errors", "help: ", &mut home.exhibit(&["check", "hello/two.yaml"]));
        assert!(said.err.contains("two.yaml:2:10") && said.err.contains("two.yaml:3:8"), "{}", said.err);
    }

    #[test]
    fn bundles_go_to_the_default_name_replace_an_older_one_whole_and_are_for_their_owner() {
        let home = Home::new();
        ends(0, &mut home.exhibit(&["run", "hello/scenario.yaml", "--unsigned"]));
        let path = home.path("case.private.tar.gz");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        write(&path, "older");
        ends(0, &mut home.exhibit(&["run", "hello", "--unsigned"]));
        ends(3, &mut home.exhibit(&["verify", "case.private.tar.gz"]));
        assert_eq!(
            listing(&home.path(".")).iter().filter(|name| name.contains("exhibit")).count(),
            0,
            "{:?}",
            listing(&home.path("."))
        );
    }

    #[test]
    fn test_gives_0_for_the_same_1_for_a_difference_2_for_what_cannot_run_and_never_writes_unasked() {
        let home = Home::new();
        fs::create_dir(home.path("scenarios")).unwrap();
        fs::rename(&home.case, home.path("scenarios/hello")).unwrap();
        let same = |code: i32, what: &str, more: &[&str]| {
            let before = listing(&home.path("."));
            let said = ends(code, home.exhibit(&["test"]).args(more));
            assert!(said.out.contains(what), "{}", said.out);
            assert_eq!(listing(&home.path(".")), before, "{more:?} wrote something");
        };
        same(1, "1 new", &["--check"]);
        same(1, "1 new", &[]);
        ends(0, &mut home.exhibit(&["test", "--accept"]));
        let snapshot = home.path("snapshots/hello.snap");
        let accepted = fs::read_to_string(&snapshot).unwrap();
        same(0, "1 same", &["--check"]);
        same(0, "1 same", &["--check", "--unreferenced", "reject", "scenarios/hello"]);
        assert!(accepted.contains("supported"), "{accepted}");
        write(&snapshot, accepted.replacen("supported", "refuted", 1));
        same(1, "1 differ", &["--check"]);
        let said = ends(1, &mut home.exhibit(&["test"]));
        assert!(
            said.out.lines().any(|line| line.starts_with('-') && line.contains("refuted")),
            "{}",
            said.out
        );
        assert!(
            said.out.lines().any(|line| line.starts_with('+') && line.contains("supported")),
            "{}",
            said.out
        );
        write(&snapshot, &accepted);
        fs::copy(&snapshot, home.path("snapshots/gone.snap")).unwrap();
        write(&home.path("snapshots/gone.snap"), accepted.replace("scenarios/hello/", "scenarios/gone/"));
        same(0, "1 same", &["--check"]);
        same(1, "1 without a scenario", &["--check", "--unreferenced", "reject"]);
        write(&home.path("scenarios/broken/scenario.yaml"), "exhibit: 1\nclams: []\n");
        same(2, "1 could not be run", &["--check"]);
        refused("cannot test the scenarios: ", "", &mut home.exhibit(&["test", "--check", "nowhere"]));
        fs::create_dir(home.path("empty")).unwrap();
        refused("no scenario.yaml at or below empty", "", &mut home.exhibit(&["test", "--check", "empty"]));
    }
}

#[test]
fn an_address_of_the_phone_that_sends_nothing_is_said_with_a_way_out() {
    let home = Home::with("hello");
    let find = |phone: &str| {
        ends(0, &mut home.exhibit(&["find", "hello/hotspot.pcapng", "hello/DCIM", "--phone", phone])).err
    };
    let wrong = find("10.9.9.9");
    assert!(wrong.contains("(10.9.9.9) sends nothing") && wrong.contains("exhibit inspect"), "{wrong}");
    lines_begin_with(&wrong, "exhibit: ");
    assert!(!find("192.168.43.17").contains("sends nothing"));
}
