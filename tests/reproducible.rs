//! The same case gives the same bytes: from any folder, in any time zone and language, with any number of threads.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

mod support;
use support::{copy, ends, exhibit, listing, member, peer, run, skip, text, unpacked, write};

const SEED: &str = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
/// RFC 8032 section 7.1, TEST 1, as `openssl genpkey` would write it (RFC 8410).
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

/// One machine: where the case lies and how it is set up.
struct Machine {
    home: tempfile::TempDir,
    case: PathBuf,
    settings: &'static [(&'static str, &'static str)],
    threads: &'static str,
}

/// Copies a folder file by file in the order given, with times a day apart.
fn copy_in_order(from: &Path, to: &Path, backwards: bool) {
    let mut files: Vec<String> = listing(from).into_iter().filter(|path| !path.ends_with('/')).collect();
    if backwards {
        files.reverse();
    }
    for (day, file) in (1_u64..).zip(&files) {
        write(&to.join(file), fs::read(from.join(file)).unwrap());
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400 + u64::from(backwards));
        fs::File::options().write(true).open(to.join(file)).unwrap().set_modified(time).unwrap();
    }
}

impl Machine {
    fn new(
        scenario: &str,
        folder: &str,
        backwards: bool,
        settings: &'static [(&'static str, &'static str)],
        threads: &'static str,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let case = home.path().join(folder);
        copy_in_order(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(scenario),
            &case,
            backwards,
        );
        write(&home.path().join("key.pem"), KEY);
        run(Command::new("chmod").arg("600").arg(home.path().join("key.pem")));
        Self { home, case, settings, threads }
    }

    fn exhibit(&self, arguments: &[&str]) -> Command {
        let mut command = exhibit(self.home.path());
        command.current_dir(self.home.path()).args(arguments);
        command.args(["--threads", self.threads]).envs(self.settings.iter().copied());
        command
    }

    /// Seals the case and gives what was printed and where the bundle is.
    fn seal(&self, more: &[&str]) -> (String, PathBuf) {
        let bundle = self.home.path().join("case.tar.gz");
        let mut command = self.exhibit(&["run"]);
        command.arg(&self.case).arg("-o").arg(&bundle).args(["--key", "key.pem", "--seed", SEED]).args(more);
        (ends(0, command.env("SOURCE_DATE_EPOCH", "1790000000")).out, bundle)
    }
}

fn machines(scenario: &str) -> [Machine; 3] {
    [
        Machine::new(scenario, "case", false, &[("TZ", "UTC"), ("LANG", "C"), ("LC_ALL", "C")], "1"),
        Machine::new(
            scenario,
            "very/much/deeper/in a folder with spaces/другой",
            true,
            &[
                ("TZ", "Asia/Hong_Kong"),
                ("LANG", "zh_HK.UTF-8"),
                ("LC_ALL", "zh_HK.UTF-8"),
                ("LANGUAGE", "zh_HK"),
                ("COLUMNS", "40"),
                ("RUST_LOG", "trace"),
            ],
            "4",
        ),
        Machine::new(
            scenario,
            "c",
            true,
            &[
                ("TZ", "Pacific/Chatham"),
                ("LANG", "tr_TR.UTF-8"),
                ("USER", "somebody"),
                ("HOSTNAME", "elsewhere"),
            ],
            "3",
        ),
    ]
}

fn bundle_id(bundle: &Path) -> exhibit::evidence::Digest {
    let tar = unpacked(bundle);
    let mut archive = tar::Archive::new(&tar[..]);
    let mut entry = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find(|entry| entry.path().unwrap().ends_with("tagmanifest-sha256.txt"))
        .unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
    exhibit::evidence::Digest::of(&bytes)
}

/// Says where two archives differ rather than printing them.
fn same_archive(one: &Path, other: &Path) {
    let (a, b) = (unpacked(one), unpacked(other));
    if a != b {
        let at = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
        let near = |bytes: &[u8]| text(&bytes[at.saturating_sub(60)..(at + 60).min(bytes.len())]);
        panic!("the archives differ at byte {at}:\n{:?}\n{:?}", near(&a), near(&b));
    }
}

fn the_same_everywhere(scenario: &str) {
    let machines = machines(scenario);
    let sealed: Vec<(String, PathBuf)> = machines.iter().map(|machine| machine.seal(&[])).collect();
    let (out, bundle) = &sealed[0];
    assert!(!out.is_empty());
    for (machine, (other_out, other)) in machines.iter().zip(&sealed) {
        assert_eq!(other_out, out, "stdout differs");
        same_archive(bundle, other);
        assert_eq!(bundle_id(other), bundle_id(bundle));
        assert_eq!(member(other, "data/findings.json"), member(bundle, "data/findings.json"));
        // A stranger's machine, with threads of its own.
        let mut verify = machine.exhibit(&["verify", "--signer", "key.pub"]);
        write(&machine.home.path().join("key.pub"), PUBLIC);
        let said = ends(0, verify.arg(bundle));
        assert!(said.out.contains("identical findings"), "{}", said.out);
    }
}

/// The public half of [`KEY`]: SPKI of the same test vector (RFC 8410 section 4).
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

#[test]
fn redmi_note_seals_to_the_same_bytes_everywhere() {
    the_same_everywhere("redmi-note");
}

#[test]
fn hello_seals_to_the_same_bytes_everywhere() {
    the_same_everywhere("hello");
}

#[test]
fn another_seed_key_or_epoch_changes_the_bundle_and_no_finding() {
    let machine = Machine::new("hello", "case", false, &[], "2");
    let (out, bundle) = machine.seal(&[]);
    let kept = machine.home.path().join("kept.tar.gz");
    fs::rename(&bundle, &kept).unwrap();
    let changed = |command: &mut Command| {
        assert_eq!(ends(0, command).out, out);
        assert_ne!(bundle_id(&bundle), bundle_id(&kept));
        assert_eq!(member(&bundle, "data/findings.json"), member(&kept, "data/findings.json"));
        assert_eq!(member(&bundle, "data/report/report.html"), member(&kept, "data/report/report.html"));
    };
    let sealing = |seed: &str, epoch: &str| {
        let mut command =
            machine.exhibit(&["run", "case", "-o", "case.tar.gz", "--key", "key.pem", "--seed", seed]);
        command.env("SOURCE_DATE_EPOCH", epoch);
        command
    };
    changed(&mut sealing(&SEED.replace('6', "7"), "1790000000"));
    changed(&mut sealing(SEED, "1790000001"));
}

#[test]
fn the_same_key_and_case_give_the_same_bundle_without_seed_and_epoch() {
    // The seed is derived from key and inputs, the epoch is the capture's end.
    let machines = machines("hello");
    let bundles: Vec<PathBuf> = machines
        .iter()
        .map(|machine| {
            let bundle = machine.home.path().join("plain.tar.gz");
            let mut command = machine.exhibit(&["run", "--key", "key.pem"]);
            ends(0, command.arg("-o").arg(&bundle).arg(&machine.case));
            bundle
        })
        .collect();
    for other in &bundles[1..] {
        same_archive(&bundles[0], other);
    }
}

#[test]
fn reports_and_json_are_the_same_everywhere() {
    let machines = machines("redmi-note");
    for format in ["json", "md", "html", "text"] {
        let printed = |machine: &Machine| {
            ends(0, machine.exhibit(&["run", "--no-bundle", "--format", format]).arg(&machine.case)).out
        };
        let first = printed(&machines[0]);
        for machine in &machines[1..] {
            assert!(printed(machine) == first, "--format {format} differs");
        }
    }
}

#[test]
fn find_and_inspect_say_the_same_with_any_number_of_threads() {
    let home = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/redmi-note"), &home.path().join("case"));
    let captures = listing(&home.path().join("case/captures"));
    assert!(captures.len() > 3);
    for capture in &captures {
        let capture = format!("case/captures/{capture}");
        for format in ["text", "json"] {
            let found = |threads: &str, zone: &str| {
                let mut command = exhibit(home.path());
                command.current_dir(home.path()).args([
                    "find",
                    &capture,
                    "case/device",
                    "--format",
                    format,
                    "--threads",
                    threads,
                ]);
                ends(0, command.env("TZ", zone)).out
            };
            let one = found("1", "UTC");
            assert!(one.len() > 100, "{one}");
            for threads in ["2", "4", "8"] {
                assert_eq!(found(threads, "Asia/Hong_Kong"), one, "{capture} --threads {threads}");
            }
        }
        let inspected = |zone: &str| {
            let mut command = exhibit(home.path());
            ends(0, command.current_dir(home.path()).args(["inspect", &capture]).env("TZ", zone)).out
        };
        assert_eq!(inspected("UTC"), inspected("Asia/Hong_Kong"));
    }
}

#[test]
fn compressing_the_capture_changes_no_match() {
    let Some(gzip) = peer("gzip") else { return };
    let home = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/hello"), &home.path().join("hello"));
    if !Command::new(gzip).arg("-k").arg(home.path().join("hello/hotspot.pcapng")).status().unwrap().success()
    {
        return skip("gzip does not run");
    }
    let found = |capture: &str| {
        let mut command = exhibit(home.path());
        ends(0, command.current_dir(home.path()).args(["find", capture, "hello/DCIM"])).out
    };
    assert_eq!(found("hello/hotspot.pcapng.gz"), found("hello/hotspot.pcapng"));
}
