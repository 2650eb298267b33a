//! Scenarios: the three forms, what is refused and how it is said.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic, and finds its own files"
)]

use std::{fs, path::PathBuf};

use exhibit::{
    case::{
        Case, CaseError, Draft, Parts, RECORD,
        folder::Disk,
        scenario::{
            self,
            plan::{Plan, Predicate, Role},
            record,
        },
    },
    evidence::{Digest, Scratch, Timestamp},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn plan(text: &str) -> Plan {
    scenario::parse("scenario.yaml", text.as_bytes())
        .unwrap_or_else(|problems| panic!("{}", problems.render()))
        .plan
}

fn refused(text: &str) -> String {
    match scenario::parse("scenario.yaml", text.as_bytes()) {
        Ok(_) => panic!("this was taken:\n{text}"),
        Err(problems) => problems.render(),
    }
}

const THREE_LINES: &str = "exhibit: 1
capture: hotspot.pcapng
files: DCIM/
claims:
  - {says: the phone will upload photos, uploads: photo}
";

#[test]
fn the_three_line_form_is_one_phase_and_one_claim() {
    let parsed = scenario::parse("scenario.yaml", THREE_LINES.as_bytes()).unwrap();
    let plan = &parsed.plan;
    assert_eq!((plan.id.as_str(), plan.title.as_str()), ("case", "the phone will upload photos"));
    assert_eq!(plan.phases.len(), 1);
    assert_eq!((plan.phases[0].id.as_str(), plan.phases[0].role), ("capture", Role::Subject));
    let claim = &plan.claims[0];
    assert_eq!((claim.id.as_str(), claim.reading.as_str()), ("C1", "uploads a photo"));
    assert_eq!(claim.predicate.kind(), "existential");
    assert_eq!(claim.phases, ["capture"]);
    let Predicate::Uploads { what, to } = &claim.predicate else { panic!("{:?}", claim.predicate) };
    assert!(what.photos && !what.files && !what.messages && to.is_empty());
    let runs = scenario::runs(&parsed.shorts, &|_| Vec::new()).unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].id.as_str(), runs[0].captures[0].as_str()), ("capture/01", "hotspot.pcapng"));
    assert_eq!(runs[0].files.as_deref(), Some("DCIM"));
    assert!(!runs[0].recorded, "without an action log nothing can be said about timing");
}

const TIME_LINE: &str = r#"exhibit: 1
title: Does the gallery upload photos by itself?
phone: {addresses: [192.168.43.17], identifiers: {imei: "867622014512347", own_number: "+85298765432"}}
phases:
  - id: stock
    capture: stock.pcapng
    keys: stock.keys
    files: device/stock/
    actions:
      - {id: shoot, at: "2026-11-20T18:00:05+08:00", do: take-photo, makes: DCIM/Camera/IMG_0001.jpg}
      - {id: wait,  at: "+60s", do: idle, for: 10m}
claims:
  - {id: L2, by: Kenny Li, says: "the phone will upload photos", uploads: photo}
"#;

#[test]
fn the_time_line_form_is_plan_and_run() {
    let parsed = scenario::parse("scenario.yaml", TIME_LINE.as_bytes()).unwrap();
    assert_eq!(parsed.plan.claims[0].reading, "uploads a photo, in phase stock");
    assert_eq!(parsed.plan.phases[0].actions, ["shoot", "wait"]);
    let runs = scenario::runs(&parsed.shorts, &|_| Vec::new()).unwrap();
    let run = &runs[0];
    assert!(run.recorded);
    assert_eq!((run.keys[0].as_str(), run.files.as_deref()), ("stock.keys", Some("device/stock")));
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let [shoot, wait] = run.actions.as_slice() else { panic!("{:?}", run.actions) };
    assert_eq!((shoot.start, shoot.end), (time("2026-11-20T10:00:05Z"), time("2026-11-20T10:00:05Z")));
    assert_eq!(shoot.window_end, wait.start, "a window ends when the next action begins");
    assert_eq!(shoot.makes, ["device/stock/DCIM/Camera/IMG_0001.jpg"]);
    assert_eq!((wait.start, wait.end), (time("2026-11-20T10:01:05Z"), time("2026-11-20T10:11:05Z")));
    assert_eq!(wait.window_end, wait.end);
    assert!(wait.is_idle() && !shoot.is_idle());
}

#[test]
fn the_shared_example_resolves() {
    let path = std::env::var("EXHIBIT_CAPTURES").map_or_else(
        |_| root().join("../shared/scenario-example.yaml"),
        |captures| PathBuf::from(captures).join("../scenario-example.yaml"),
    );
    let Ok(text) = fs::read(&path) else {
        assert!(std::env::var("EXHIBIT_REQUIRE_PEERS").is_err(), "{} is not there", path.display());
        println!("skipped: {} is not there", path.display());
        return;
    };
    let parsed =
        scenario::parse("scenario.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render()));
    assert_eq!((parsed.plan.phases.len(), parsed.plan.claims.len()), (6, 15));
    assert_eq!(parsed.warnings, []);
    for claim in &parsed.plan.claims {
        println!(
            "{} {} {:?} {:?}: {}",
            claim.id,
            claim.predicate.kind(),
            claim.phases,
            claim.witness,
            claim.reading
        );
    }
    println!("{:?}", parsed.plan.not_acted_on);
}

/// Each file of `scenarios_bad` breaks what its name says; what is said of it stands in `snapshots/`.
#[test]
fn bad_scenarios_are_refused_with_place_and_way_out() {
    let folder = root().join("tests/scenarios_bad");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 40, "only {} bad scenarios", paths.len());
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        let said = match scenario::parse("scenario.yaml", &bytes) {
            Ok(_) => panic!("{name} was taken"),
            Err(problems) => format!("{}\n\ncannot {problems}", problems.render()),
        };
        assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{name} printed a control character");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(root().join("snapshots"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("scenario-bad-{name}"), said));
    }
}

const FULL: &str = include_str!("scenario_full.yaml");

#[test]
fn every_key_of_the_grammar_reaches_the_plan() {
    let parsed = scenario::parse("scenario.yaml", FULL.as_bytes())
        .unwrap_or_else(|problems| panic!("{}", problems.render()));
    let plan = parsed.plan;
    assert_eq!(plan.phone.mac.as_deref(), Some("64:09:80:aa:bb:01"));
    assert_eq!((plan.max_skew_ms, plan.windows_needed), (Some(1050), 60));
    assert_eq!((plan.probe_every_ms, plan.washout_ms), (Some(60_000), Some(120_000)));
    assert_eq!((plan.budget.depth, plan.budget.decoded_bytes), (Some(12), Some(8 << 30)));
    assert_eq!(plan.reply.as_ref().map(|reply| (reply.party.as_str(), reply.days)), Some(("the maker", 30)));
    assert_eq!(plan.beacon.as_ref().map(|beacon| beacon.value.as_str()), Some("9b2f64d1"));
    let frozen = plan.frozen.unwrap().0;
    assert_eq!(
        plan.seed(),
        Some(Digest::of(&[&frozen[..], b"9b2f64d1"].concat())),
        "the draw as it is written"
    );
    let required: Vec<String> = plan.phases[2].require.iter().map(ToString::to_string).collect();
    assert_eq!(
        required,
        ["packages_absent: com.example.a, com.example.b", "packages_present: com.example.c"]
    );
    assert_eq!(plan.phases[0].actions, Vec::<String>::new(), "nobody acts in a negative control");
    assert_eq!(plan.phases[1].actions, ["boot", "shoot", "text-in", "wake", "open", "rest"]);
    assert_eq!(plan.phases[3].actions, ["consent", "boot", "shoot", "text-in", "open", "rest"]);
    assert_eq!(plan.actions[1].sham.as_deref(), Some("open-camera"));
    let claims: Vec<(&str, &str, Option<&str>)> = plan
        .claims
        .iter()
        .map(|claim| (claim.id.as_str(), claim.predicate.kind(), claim.witness.as_deref()))
        .collect();
    assert_eq!(
        claims,
        [
            ("A", "existential", None),
            ("B", "existential", None),
            ("C3", "conjunction", Some("consented")),
            ("D", "disjunction", Some("stock")),
            ("E", "consent", Some("consented")),
            ("F", "untestable", None),
        ]
    );
    let Predicate::AllOf(parts) = &plan.claims[2].predicate else { panic!() };
    assert_eq!(
        parts[0],
        Predicate::Setting { setting: "backup".to_owned(), is: "off".to_owned() },
        "off is text"
    );
    let Predicate::NeverUploads { what, to } = &parts[1] else { panic!() };
    assert_eq!(what.artifacts, ["shot-1", "DCIM/Camera/old.jpg", "text-1"]);
    assert_eq!(what.identifiers, ["imei", "friend"]);
    assert!(!what.photos && !what.all_identifiers, "a redeclared term means what it lists");
    assert_eq!(to.len(), 2);
    assert_eq!(plan.claims[5].phases, Vec::<String>::new());
    assert!(plan.claims[5].reading_given && !plan.claims[4].reading_given);
    let readings: Vec<&str> = plan.claims.iter().map(|claim| claim.reading.as_str()).collect();
    insta::with_settings!({snapshot_path => root().join("snapshots"), prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("scenario-readings", readings.join("\n"));
    });
}

#[test]
fn what_is_not_acted_on_is_named() {
    let not = plan(FULL).not_acted_on;
    assert!(not.windows(2).all(|pair| pair[0] < pair[1]), "{not:?}");
    assert_eq!(not, ["actions.evidence", "redaction"]);
    for key in [
        "actions.washout",
        "beacon",
        "clocks.probe",
        "gates.budget",
        "reply",
        "freeze",
        "actions.order",
        "actions.sham",
        "terms.schema",
        "canaries",
        "controls.spikes",
        "controls.twin",
        "phases.require",
        "phases.rom",
    ] {
        assert!(!not.iter().any(|there| there == key), "{key}: {not:?}");
    }
    assert_eq!(plan(THREE_LINES).not_acted_on, Vec::<String>::new());
}

#[test]
fn the_expanded_plan_reads_as_the_same_plan() {
    let one = THREE_LINES.replace("uploads: photo", "encrypted: photo, not_covered: [{part: a, test_by: b}]");
    for text in [THREE_LINES, TIME_LINE, FULL, &one] {
        let parsed = scenario::parse("scenario.yaml", text.as_bytes()).unwrap();
        let printed = scenario::expanded(&parsed).unwrap();
        let again = scenario::parse("printed.yaml", printed.as_bytes())
            .unwrap_or_else(|problems| panic!("{}\n{printed}", problems.render()));
        // The frozen digest is that of the sections as written, so a plan with its defaults written out has another.
        assert_eq!(again.plan.frozen.is_some(), parsed.plan.frozen.is_some());
        assert_eq!(parsed.plan.frozen.is_some(), text.contains("\nfreeze:"), "{printed}");
        let again_plan = Plan { frozen: parsed.plan.frozen, ..again.plan.clone() };
        assert_eq!(again_plan, parsed.plan, "{printed}");
        assert_eq!(scenario::expanded(&again).unwrap(), printed, "printing twice changes nothing");
        let runs = |parsed: &scenario::Parsed| scenario::runs(&parsed.shorts, &|_| Vec::new()).unwrap();
        assert_eq!(runs(&again), runs(&parsed));
    }
}

#[test]
fn core_types_of_yaml_1_2_are_kept_apart() {
    let with = |value: &str| THREE_LINES.replace("files: DCIM/", &format!("files: DCIM/\ntitle: {value}"));
    for text in ["off", "NO", "yes", "12:30", "0o", "1_000x", "é", "\"1\"", "'true'"] {
        assert_eq!(plan(&with(text)).title, text.trim_matches(['"', '\'']), "{text}");
    }
    for other in ["true", "False", "1", "-1.5", "0x1f", ".inf", "null", "~", ""] {
        let said = refused(&with(other));
        assert!(said.contains("title:"), "{other}: {said}");
    }
    for key in ["terms", "phases", "captures", "keys", "epoch", "simulated", "clocks", "freeze", "gates"] {
        let text = THREE_LINES.replace("files: DCIM/", &format!("{key}:"));
        assert!(
            scenario::parse("scenario.yaml", text.as_bytes()).is_err(),
            "an empty `{key}:` means something"
        );
    }
    for key in ["to", "in", "attended", "witness", "not_covered"] {
        let text = THREE_LINES.replace("uploads: photo", &format!("uploads: photo, {key}: "));
        assert!(
            scenario::parse("scenario.yaml", text.as_bytes()).is_err(),
            "an empty `{key}:` means something"
        );
    }
}

#[test]
fn an_example_with_any_line_cut_out_never_panics() {
    let lines: Vec<&str> = FULL.lines().collect();
    for cut in 0..lines.len() {
        let text: Vec<&str> =
            lines.iter().enumerate().filter(|(index, _)| *index != cut).map(|(_, line)| *line).collect();
        if let Err(problems) = scenario::parse("scenario.yaml", text.join("\n").as_bytes()) {
            assert!(!problems.render().is_empty());
        }
    }
    for end in (0..FULL.len()).step_by(7) {
        if let Err(problems) = scenario::parse("scenario.yaml", &FULL.as_bytes()[..end]) {
            assert!(!problems.render().is_empty());
        }
    }
}

fn entry(run: &str, at: &str) -> record::Entry {
    let time = |seconds: u64| Timestamp(at.parse::<Timestamp>().unwrap().0 + seconds * 1_000_000_000);
    let action = |id: &str, from: u64, to: u64| record::EntryAction {
        id: id.to_owned(),
        start: time(from),
        end: time(to),
        by: "operator".to_owned(),
        makes: (id == "shoot").then(|| vec!["DCIM/new.jpg".to_owned(), "shot-1".to_owned()]),
    };
    record::Entry {
        run: run.to_owned(),
        captures: vec![format!("captures/{run}.pcap")],
        keys: Vec::new(),
        files: Some("device/".to_owned()),
        actions: Some(vec![
            action("boot", 0, 10),
            action("shoot", 60, 61),
            action("open-camera", 70, 71),
            action("rest", 600, 900),
        ]),
        device_state: [("cloud".to_owned(), "off".to_owned())].into(),
        twin: false,
        rom: None,
        spikes: Vec::new(),
        clock_probes: Vec::new(),
        custody: Vec::new(),
        prev: Digest([9; 32]),
    }
}

#[test]
fn a_record_is_chained_and_its_windows_end_as_planned() {
    let plan = plan(FULL);
    let bytes = record::chain([
        entry("stock/01", "2026-11-20T18:00:00+08:00"),
        entry("stock/02", "2026-11-21T18:00:00+08:00"),
    ])
    .unwrap();
    let read = record::parse(RECORD, &bytes, &plan).unwrap();
    assert_eq!((read.lines, read.broken_at), (2, None));
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    assert_eq!(read.head, Some(Digest::of(lines[1])));
    assert!(lines[1].ends_with(format!("\"prev\":\"{}\"}}", Digest::of(lines[0])).as_bytes()));
    let run = &read.runs[0];
    assert_eq!(
        (run.id.as_str(), run.phase.as_str(), run.files.as_deref(), run.recorded),
        ("stock/01", "stock", Some("device"), true)
    );
    let ends: Vec<u64> = run
        .actions
        .iter()
        .map(|action| (action.window_end.0 - run.actions[0].start.0) / 1_000_000_000)
        .collect();
    assert_eq!(ends, [60, 70, 371, 1200], "the next action, or five minutes after the action's end");
    assert_eq!(run.actions[1].makes, ["device/DCIM/new.jpg", "shot-1"]);
    assert_eq!(run.actions[2].verb, "open-camera", "a sham is an action too");
}

#[test]
fn a_broken_chain_is_a_fact_and_a_broken_line_an_error() {
    let plan = plan(FULL);
    let entries = || ["stock/01", "stock/02", "removed/01"].map(|run| entry(run, "2026-11-20T18:00:00Z"));
    let bytes = record::chain(entries()).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let changed = text.replacen("operator", "somebody", 1);
    assert_eq!(record::parse(RECORD, changed.as_bytes(), &plan).unwrap().broken_at, Some(2));
    let without_first: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
    assert_eq!(record::parse(RECORD, without_first.as_bytes(), &plan).unwrap().broken_at, Some(1));
    let cut_at_the_end: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    let cut = record::parse(RECORD, cut_at_the_end.as_bytes(), &plan).unwrap();
    assert_eq!(
        (cut.lines, cut.broken_at),
        (2, None),
        "a cut tail shows in the count and head that the case states"
    );

    let refused = |from: &str, to: &str| {
        record::parse(RECORD, text.replacen(from, to, 1).as_bytes(), &plan).unwrap_err()
    };
    assert!(refused("\"run\"", "\"rnu\"").what.contains("unknown field"));
    assert!(refused("stock/02", "stock/01").what.contains("twice"));
    assert!(refused("stock/01", "stok/01").help.unwrap().contains("did you mean `stock`"));
    assert!(refused("stock/01", "stock/x").what.contains("no number"));
    assert!(refused("\"boot\"", "\"boto\"").help.unwrap().contains("`boot`"));
    assert!(refused("\"cloud\":\"off\"", "\"cloud\":\"off\",\"cloud\":\"on\"").what.contains("twice"));
    assert!(refused("\"by\":\"operator\"", "\"by\":\"a\",\"by\":\"b\"").what.contains("duplicate"));
    assert!(refused("2026-11-20T18:00:10", "2026-11-20T17:00:10").what.contains("ends before"));
    assert_eq!(refused("{", "").line, 1);
    let none = record::parse(RECORD, b"", &plan).unwrap();
    assert_eq!((none.lines, none.head), (0, None));
}

/// A capture of one empty pcap header (pcap-savefile(5)): little-endian, microseconds, Ethernet.
const EMPTY_PCAP: [u8; 24] =
    [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn open(folder: &tempfile::TempDir) -> Result<Case, CaseError> {
    Case::open(&Disk::new(folder.path()), "scenario.yaml", &Scratch::new(folder.path()))
}

#[test]
fn a_case_holds_every_input_by_its_logical_path() {
    let there = folder(&[
        ("scenario.yaml", THREE_LINES.as_bytes()),
        ("hotspot.pcapng", &EMPTY_PCAP),
        ("DCIM/Camera/IMG_0001.jpg", b"\xff\xd8\xff\xe0 a photo"),
        ("unrelated.txt", b"not named"),
    ]);
    let case = open(&there).unwrap();
    let inputs: Vec<String> =
        case.inputs.iter().map(|(path, input)| format!("{path} {:?}", input.role)).collect();
    assert_eq!(
        inputs,
        ["DCIM/Camera/IMG_0001.jpg Device", "hotspot.pcapng Capture", "scenario.yaml Scenario"]
    );
    assert_eq!(case.devices["DCIM"].files.len(), 1);
    assert_eq!((case.runs.len(), case.custody, case.chain_broken_at), (1, (0, None), None));
    assert!(case.captures.contains_key("hotspot.pcapng"));
}

#[test]
fn a_pattern_makes_one_run_a_file_in_the_order_of_bytes() {
    let text = "exhibit: 1\nphases:\n  - {id: stock, captures: stock/*.pcap, files: d}\nclaims:\n  - {says: photos, uploads: photo}\n";
    let there = folder(&[
        ("scenario.yaml", text.as_bytes()),
        ("stock/b.pcap", &EMPTY_PCAP),
        ("stock/B.pcap", &EMPTY_PCAP),
        ("stock/a.pcap", &EMPTY_PCAP),
        ("stock/deep/c.pcap", &EMPTY_PCAP),
        ("d/x", b"x"),
    ]);
    let case = open(&there).unwrap();
    let runs: Vec<(&str, &str)> =
        case.runs.iter().map(|run| (run.id.as_str(), run.captures[0].as_str())).collect();
    assert_eq!(
        runs,
        [("stock/01", "stock/B.pcap"), ("stock/02", "stock/a.pcap"), ("stock/03", "stock/b.pcap")]
    );
}

#[test]
fn half_a_case_is_refused_with_a_way_out() {
    let said = |files: &[(&str, &[u8])]| {
        let there = folder(files);
        match open(&there) {
            Ok(_) => panic!("taken"),
            Err(CaseError::Scenario(problems)) => problems.render(),
            Err(error) => format!("{error} / {}", error.hint().unwrap_or_default()),
        }
    };
    let yaml = ("scenario.yaml", THREE_LINES.as_bytes());
    let photo: (&str, &[u8]) = ("DCIM/a.jpg", b"x");
    let missing = said(&[yaml, ("hotpsot.pcapng", &EMPTY_PCAP), photo]);
    assert!(
        missing.contains("no capture at hotspot.pcapng")
            && missing.contains("did you mean `hotpsot.pcapng`?"),
        "{missing}"
    );
    assert!(missing.contains("scenario.yaml:2:10"), "{missing}");
    let no_files = said(&[yaml, ("hotspot.pcapng", &EMPTY_PCAP)]);
    assert!(no_files.contains("no folder at DCIM/"), "{no_files}");
    let a_folder = said(&[yaml, ("hotspot.pcapng/x", b"x"), photo]);
    assert!(a_folder.contains("it is a folder"), "{a_folder}");
    let not_a_capture = said(&[yaml, ("hotspot.pcapng", b"GIF89a"), photo]);
    assert!(not_a_capture.contains("neither pcap nor pcapng"), "{not_a_capture}");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    assert!(said(&[yaml, ("hotspot.pcapng", pointer), photo]).contains("Git LFS pointer"));
    assert!(said(&[photo]).contains("open scenario.yaml: there is no such file"));
    let nothing = said(&[("scenario.yaml", FULL.as_bytes())]);
    assert!(nothing.contains("nothing has been recorded yet"), "{nothing}");
    let bytes = record::chain([entry("stock/01", "2026-11-20T18:00:00Z")]).unwrap();
    let both = said(&[yaml, ("hotspot.pcapng", &EMPTY_PCAP), photo, (RECORD, &bytes)]);
    assert!(both.contains("belongs to no phase") || both.contains("beside it"), "{both}");
    let no_capture = said(&[("scenario.yaml", FULL.as_bytes()), (RECORD, &bytes)]);
    assert!(no_capture.contains("captures/stock/01.pcap: there is no such file"), "{no_capture}");
    let made = TIME_LINE.replace("IMG_0001", "IMG_0002");
    let wrong = said(&[
        ("scenario.yaml", made.as_bytes()),
        ("stock.pcapng", &EMPTY_PCAP),
        ("stock.keys", b""),
        ("device/stock/DCIM/Camera/IMG_0001.jpg", b"x"),
    ]);
    assert!(wrong.contains("did you mean `DCIM/Camera/IMG_0001.jpg`?"), "{wrong}");
}

#[test]
fn a_record_makes_the_runs_of_a_full_plan() {
    let bytes = record::chain([entry("stock/01", "2026-11-20T18:00:00Z")]).unwrap();
    let there = folder(&[
        ("scenario.yaml", FULL.as_bytes()),
        (RECORD, &bytes),
        ("captures/stock/01.pcap", &EMPTY_PCAP),
        ("device/DCIM/new.jpg", b"x"),
        ("images/stock.sha256", b"00"),
    ]);
    let case = open(&there).unwrap();
    assert_eq!(case.custody.0, 1);
    assert!(case.custody.1.is_some());
    let inputs: Vec<&str> = case.inputs.keys().map(String::as_str).collect();
    assert_eq!(
        inputs,
        ["captures/stock/01.pcap", "device/DCIM/new.jpg", "images/stock.sha256", RECORD, "scenario.yaml"]
    );
    let draft = Draft::load(&Disk::new(there.path()), "scenario.yaml").unwrap();
    assert!(draft.problems().render().contains("missing: no schema at schemas/declared.json"));
}

#[test]
fn captures_and_files_alone_make_a_case_without_claims() {
    let there = folder(&[("a.pcap", &EMPTY_PCAP), ("DCIM/x.jpg", b"x"), ("note.txt", b"y")]);
    let disk = Disk::new(there.path());
    let parts = |captures: &[&str], files: &[&str]| Parts {
        captures: captures.iter().map(|path| (*path).to_owned()).collect(),
        files: files.iter().map(|path| (*path).to_owned()).collect(),
        ..Parts::default()
    };
    let scratch = Scratch::new(there.path());
    let case = Case::from_parts(&disk, parts(&["a.pcap"], &["DCIM/", "note.txt"]), &scratch).unwrap();
    assert_eq!(
        (case.plan.id.as_str(), case.plan.claims.len(), case.runs[0].id.as_str()),
        ("find", 0, "find/01")
    );
    let device = &case.devices[case.runs[0].files.as_deref().unwrap()];
    let paths: Vec<&str> = device.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["DCIM/x.jpg", "note.txt"]);
    let Err(error) = Case::from_parts(&disk, parts(&["a.pcpa"], &[]), &scratch) else { panic!() };
    assert_eq!(error.to_string(), "open a.pcpa: there is no such file or folder");
    assert_eq!(error.hint().as_deref(), Some("did you mean `a.pcap`?"));
    let Err(error) = Case::from_parts(&disk, parts(&["DCIM"], &[]), &scratch) else { panic!() };
    assert_eq!(error.to_string(), "open DCIM: it is a folder, not a file");
}

#[test]
fn a_case_says_what_it_can_still_settle() {
    use exhibit::case::outlook::{hours, outlook};
    let parsed = scenario::parse("scenario.yaml", FULL.as_bytes()).unwrap();
    let nothing = outlook(&parsed.plan, &[]);
    assert!(nothing.iter().all(|claim| !claim.supported.is_empty() && !claim.refuted.is_empty()));
    let bytes = record::chain([entry("stock/01", "2026-11-20T18:00:00Z")]).unwrap();
    let runs = record::parse(RECORD, &bytes, &parsed.plan).unwrap().runs;
    let with_one = outlook(&parsed.plan, &runs);
    let of = |id: &str| with_one.iter().find(|outlook| outlook.claim == id).unwrap();
    assert_eq!(of("A").supported, Vec::<String>::new(), "presence in a captured phase");
    assert!(of("A").refuted.iter().any(|obstacle| obstacle.contains("1 of 60 idle windows")));
    assert_eq!(of("B").supported, ["nothing is captured of removed"], "each phase means each");
    assert_eq!(of("C3").refuted.len(), 0, "one recorded counterexample refutes a conjunction");
    assert!(!of("C3").supported.is_empty(), "\"never\" is never supported by presence");
    assert_eq!(of("E").refuted, Vec::<String>::new());
    assert!(of("E").supported.iter().any(|obstacle| obstacle.contains("witness consented")));
    assert!(of("F").supported[0].contains("a judgement of law"));
    let time = hours(&parsed.plan, &runs, parsed.washout_ms());
    // stock: 60 runs of six actions, each watched for five minutes and followed by two of rest.
    assert_eq!((time[1].planned, time[1].captured, time[1].millis), (60, 1, 60 * 6 * 7 * 60_000));
}
