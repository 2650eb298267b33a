//! The bodies of `show` and `test`, on findings written by hand.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::path::{Path, PathBuf};

use exhibit::{evidence::hex_bytes, findings::Findings, report::proof};

use super::{
    show::show,
    test::{Mode, Options, Unreferenced, test},
};

#[allow(dead_code, reason = "tests/report.rs uses the rest")]
#[path = "../../tests/report/example.rs"]
mod example;

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn not_at_hand(_: &proof::Wanted<'_>) -> Option<Vec<u8>> {
    None
}

#[test]
fn show_one_finding() {
    let findings = example::rich();
    let mut out = Vec::new();
    let excerpt = hex_bytes(&findings.findings[0].parts[0].excerpt).unwrap();
    let bytes = |wanted: &proof::Wanted<'_>| {
        assert_eq!((wanted.offset, wanted.length), (0, excerpt.len()));
        Some([&excerpt[..wanted.length - 1], b"?"].concat())
    };
    show(&findings, Some("3fa9"), &bytes, &mut out).unwrap();
    insta::with_settings!({
        snapshot_path => "../../snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!("report-show", plain(&String::from_utf8(out).unwrap())) });
}

#[test]
fn show_knows_findings_by_the_start_of_their_id() {
    let findings = example::rich();
    let shown = |id| {
        let mut out = Vec::new();
        show(&findings, id, &not_at_hand, &mut out).map(|()| plain(&String::from_utf8(out).unwrap()))
    };
    let list = shown(None).unwrap();
    assert!(findings.findings.iter().all(|finding| list.contains(&finding.id)));
    assert!(shown(Some("F-77aa")).unwrap().contains("not at hand"));
    assert_eq!(shown(Some("F-9")).unwrap_err().to_string(), "find the finding F-9: there are 3");
    assert!(shown(Some("F-")).unwrap_err().to_string().contains("F-3fa94c01de, F-77aa00bb12"));
}

struct World {
    folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

impl World {
    fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let case = folder.path().join("scenarios").join(name);
            std::fs::create_dir_all(&case).unwrap();
            std::fs::write(case.join("scenario.yaml"), "exhibit: 1\n").unwrap();
        }
        Self { folder, paths: vec![PathBuf::from("scenarios")] }
    }

    fn snapshot(&self, name: &str) -> PathBuf {
        self.folder.path().join("snapshots").join(name)
    }

    /// Runs with findings changed by `change`; gives the exit code and what was said.
    fn run(
        &self,
        mode: Mode,
        unreferenced: Unreferenced,
        answers: &str,
        change: impl Fn(&mut Findings),
    ) -> (u8, String) {
        let options = Options {
            root: self.folder.path(),
            paths: &self.paths,
            snapshots: Path::new("snapshots"),
            mode,
            unreferenced,
        };
        let rerun = |case: &Path| {
            if case.ends_with("broken") {
                return Err("the scenario has\u{1b}[2J no claims".into());
            }
            let mut findings = example::rich();
            findings.case = case.file_name().unwrap().to_str().unwrap().to_owned();
            change(&mut findings);
            Ok(findings)
        };
        let mut out = Vec::new();
        let code = test(&options, &rerun, &mut answers.as_bytes(), &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }
}

fn downgrade(findings: &mut Findings) {
    if findings.case == "hello" {
        findings.claims[1].status = exhibit::findings::Status::Inconclusive;
        findings.claims[1].grade = None;
        findings.claims[1].reasons = vec!["residual_capacity".to_owned()];
    }
}

#[test]
fn scenarios_are_stored_compared_and_accepted() {
    let world = World::new(&["hello", "redmi-note"]);
    let same = |_: &mut Findings| ();
    let (code, said) = world.run(Mode::Check, Unreferenced::Ignore, "", same);
    assert_eq!((code, said.lines().last()), (1, Some("0 same, 2 new")));
    assert!(!world.snapshot("").exists(), "check never writes");
    assert_eq!(world.run(Mode::Accept, Unreferenced::Ignore, "", same).0, 0);
    assert_eq!(world.run(Mode::Check, Unreferenced::Reject, "", same), (0, "2 same\n".to_owned()));
    let (code, said) = world.run(Mode::Propose, Unreferenced::Ignore, "", downgrade);
    assert_eq!((code, said.lines().last()), (1, Some("1 same, 1 differ")));
    assert!(
        said.contains("-L2 supported (whole file)\n")
            && said.contains("+L2 inconclusive (residual_capacity)\n"),
        "{said}"
    );
    assert!(world.snapshot("hello.snap.new").exists() && !world.snapshot("redmi-note.snap.new").exists());
    let (code, _) = world.run(Mode::Review, Unreferenced::Ignore, "n\n", downgrade);
    assert_eq!(code, 1);
    let (code, said) = world.run(Mode::Review, Unreferenced::Ignore, "y\n", downgrade);
    assert!(code == 0 && said.ends_with("[y/N] 1 same, 1 accepted\n"), "{said}");
    assert!(!world.snapshot("hello.snap.new").exists());
    assert_eq!(world.run(Mode::Check, Unreferenced::Reject, "", downgrade).0, 0);
}

#[test]
fn a_scenario_that_cannot_be_run_is_not_a_difference() {
    let world = World::new(&["broken", "hello"]);
    world.run(Mode::Accept, Unreferenced::Ignore, "", |_| ());
    let (code, said) = world.run(Mode::Check, Unreferenced::Ignore, "", |_| ());
    assert_eq!(code, 2);
    assert_eq!(
        said,
        "broken: could not be run: the scenario has\\u{1b}[2J no claims\n1 same, 1 could not be run\n"
    );
}

#[test]
fn only_our_snapshots_without_a_scenario_are_deleted() {
    let world = World::new(&["gone", "hello"]);
    world.run(Mode::Accept, Unreferenced::Ignore, "", |_| ());
    let foreign = world.snapshot("report-html.snap");
    std::fs::write(&foreign, "---\nsource: tests/report.rs\n---\nx\n").unwrap();
    std::fs::remove_dir_all(world.folder.path().join("scenarios/gone")).unwrap();
    assert_eq!(world.run(Mode::Check, Unreferenced::Ignore, "", |_| ()).0, 0);
    assert_eq!(world.run(Mode::Check, Unreferenced::Reject, "", |_| ()).0, 1);
    assert_eq!(world.run(Mode::Check, Unreferenced::Delete, "", |_| ()).0, 1, "check never deletes");
    assert_eq!(world.run(Mode::Propose, Unreferenced::Delete, "", |_| ()).0, 0);
    assert!(
        !world.snapshot("gone.snap").exists() && foreign.exists() && world.snapshot("hello.snap").exists()
    );
}
