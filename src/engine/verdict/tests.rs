//! Each rule of the verdicts in both directions, on observations made by hand.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Beside, Observed,
    evaluate::Evaluation,
    gates::{Recall, SMALLEST_PHOTO},
    outcome::Outcome,
};
use crate::{
    case::scenario::plan::{Action, Claim, Phase, Plan, PlannedSpikes, Predicate, Role, Term},
    evidence::{ByteRange, Direction, FrameNo, Timestamp, Transport},
    findings::{
        ActionSummary, ArtifactSummary, CaptureSummary, DeclaredSummary, EndpointSummary, Finding,
        FlowSummary, Gate, GateState, Grade, Ledger, Part, Places, RunSummary, StatisticalTest, Step, Window,
        codes::Code,
    },
};

mod absence;
mod explanations;
mod volume;

const SIZE: u64 = 100_000;

/// Seconds.
fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000_000_000)
}

/// What was observed, to be changed by a test: in `stock` (from a factory reset) and `cloud-on` (from `stock`) a photo
/// went to 203.0.113.9:80 under the name `up.cloud.example`; `cloud-on` begins with consent at 1,000 s.
struct World {
    plan: Plan,
    captures: Vec<CaptureSummary>,
    runs: Vec<RunSummary>,
    artifacts: Vec<ArtifactSummary>,
    findings: Vec<Finding>,
    flows: Vec<FlowSummary>,
    endpoints: Vec<EndpointSummary>,
    ledger: Ledger,
    declared: Vec<DeclaredSummary>,
    statistics: Vec<StatisticalTest>,
    recalls: Vec<Recall>,
    signs: BTreeMap<String, BTreeSet<Code>>,
    beside: BTreeMap<String, Beside>,
    gates: Vec<Gate>,
}

impl World {
    fn new() -> Self {
        let places = Places::default();
        Self {
            plan: plan(),
            captures: Vec::new(),
            runs: vec![
                run("stock", &[("shoot", "take-photo", 100), ("rest", "idle", 200)]),
                run("cloud-on", &[("consent", "consent-cloud", 1_000), ("shoot", "take-photo", 1_100)]),
            ],
            artifacts: vec![
                artifact("DCIM/1.jpg", "photo"),
                artifact("notes.txt", "file"),
                artifact("identifier:imei", "identifier"),
            ],
            findings: vec![photo("stock", 110), photo("cloud-on", 1_110)],
            flows: vec![
                flow("stock", 250, &["up.cloud.example (http host)"]),
                flow("cloud-on", 1_110, &["up.cloud.example (http host)"]),
            ],
            endpoints: vec![endpoint()],
            ledger: Ledger {
                all: places,
                by_phase: Vec::new(),
                by_destination: Vec::new(),
                by_window: Vec::new(),
            },
            declared: Vec::new(),
            statistics: Vec::new(),
            recalls: Vec::new(),
            signs: BTreeMap::new(),
            beside: BTreeMap::new(),
            gates: Vec::new(),
        }
    }

    fn decide(&self, predicate: &Predicate, phases: &[&str]) -> Outcome {
        self.observe(phases, |observed, claim| Evaluation::new(observed, claim).decide(predicate))
    }

    /// Lets `act` see what was observed, and a claim about these phases.
    fn observe<T>(&self, phases: &[&str], act: impl FnOnce(&Observed<'_>, &Claim) -> T) -> T {
        let claim = Claim {
            id: "L".into(),
            by: None,
            source: None,
            says: String::new(),
            reading: String::new(),
            reading_given: false,
            phases: phases.iter().map(|&phase| phase.to_owned()).collect(),
            witness: None,
            predicate: Predicate::AllOf(Vec::new()),
            not_covered: Vec::new(),
        };
        let observed = Observed {
            plan: &self.plan,
            captures: &self.captures,
            runs: &self.runs,
            artifacts: &self.artifacts,
            statistics: &self.statistics,
            declared: &self.declared,
            findings: &self.findings,
            flows: &self.flows,
            endpoints: &self.endpoints,
            ledger: &self.ledger,
            table_date: "1970-01-01",
            recalls: &self.recalls,
            signs: &self.signs,
            beside: &self.beside,
            gates: &self.gates,
        };
        act(&observed, &claim)
    }

    /// What "uploads a photo" and "never uploads a photo" come to in `stock`, which must be each other's opposite.
    fn photo(&self) -> Outcome {
        let uploads = self.decide(&uploads(photos(), &[]), &["stock"]);
        let never = self.decide(&Predicate::NeverUploads { what: photos(), to: Vec::new() }, &["stock"]);
        assert_eq!(uploads.truth.map(|truth| !truth), never.truth);
        uploads
    }

    fn gate(mut self, phase: &str, id: Code, state: GateState) -> Self {
        self.gates.push(Gate { id: id.name().into(), phase: phase.into(), state, figure: String::new() });
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn plan() -> Plan {
    let phase = |id: &str, from: &str, actions: &[&str]| Phase {
        id: id.into(),
        from: Some(from.into()),
        repeat: 1,
        actions: actions.iter().map(|&action| action.to_owned()).collect(),
        ..Phase::default()
    };
    let action = |id: &str, verb: &str, phases: &[&str]| Action {
        id: id.into(),
        verb: verb.into(),
        phases: phases.iter().map(|&phase| phase.to_owned()).collect(),
        makes: Vec::new(),
        sham: None,
    };
    Plan {
        id: "hand-made".into(),
        max_skew_ms: Some(1_000),
        phases: vec![
            phase("stock", "factory-reset", &["shoot"]),
            phase("cloud-on", "stock", &["consent", "shoot"]),
        ],
        actions: vec![action("consent", "consent-cloud", &["cloud-on"]), action("shoot", "take-photo", &[])],
        windows_needed: 59,
        ..Plan::default()
    }
}

fn run(phase: &str, actions: &[(&str, &str, u64)]) -> RunSummary {
    let id = format!("{phase}/01");
    RunSummary {
        windows: actions
            .iter()
            .map(|(action, verb, start)| Window {
                id: format!("{id}/{action}"),
                start: at(*start),
                end: at(start + 100),
                idle: *verb == "idle",
            })
            .collect(),
        actions: actions
            .iter()
            .map(|(id, verb, start)| ActionSummary {
                id: (*id).into(),
                verb: (*verb).into(),
                start: at(*start),
                end: at(start + 1),
                by: "operator".into(),
                makes: Vec::new(),
            })
            .collect(),
        id,
        phase: phase.into(),
        recorded: true,
        device_state: BTreeMap::new(),
    }
}

fn artifact(name: &str, kind: &str) -> ArtifactSummary {
    let bytes = if kind == "identifier" { 0 } else { SIZE };
    ArtifactSummary {
        name: name.into(),
        kind: kind.into(),
        phases: Vec::new(),
        bytes,
        sha256: None,
        created: None,
    }
}

fn part(phase: &str, time: u64, range: ByteRange) -> Part {
    Part {
        capture: "c".into(),
        flow: phase.into(),
        direction: Direction::Up,
        run: Some(format!("{phase}/01")),
        action: None,
        after_ms: None,
        first: at(time),
        last: at(time + 5),
        frames: Vec::new(),
        stream_range: range,
        artifact_range: range,
        steps: vec![Step { op: "http1.body".into(), param: None, input: range, output: range.len() }],
        leaf_range: range,
        filter: String::new(),
        excerpt: String::new(),
    }
}

fn photo(phase: &str, time: u64) -> Finding {
    let whole = ByteRange::new(0, SIZE);
    Finding {
        id: format!("F-{phase}"),
        grade: Grade::Exact,
        artifact: "DCIM/1.jpg".into(),
        phase: phase.into(),
        destination: "cloud.example".into(),
        matched_bytes: SIZE,
        probative_bytes: SIZE,
        artifact_bytes: SIZE,
        artifact_ranges: vec![whole],
        sha256: None,
        encoding: String::new(),
        form: None,
        tests: Vec::new(),
        distance: None,
        chance: "<=1e-99".into(),
        probative: true,
        caveats: Vec::new(),
        parts: vec![part(phase, time, whole)],
    }
}

/// Makes a finding one of ranges, each its own part of a flow.
fn ranges(finding: &mut Finding, parts: &[(&str, u64, u64, u64)]) {
    finding.grade = Grade::Partial;
    finding.parts = parts
        .iter()
        .map(|(flow, time, start, end)| part(flow, *time, ByteRange::new(*start, *end)))
        .collect();
    finding.artifact_ranges = ByteRange::unite(finding.parts.iter().map(|part| part.artifact_range));
    finding.matched_bytes = ByteRange::covered(finding.artifact_ranges.iter().copied());
    finding.probative_bytes = finding.matched_bytes;
}

fn flow(phase: &str, first: u64, names: &[&str]) -> FlowSummary {
    FlowSummary {
        name: phase.into(),
        capture: "c".into(),
        first_frame: FrameNo(1),
        community_id: String::new(),
        transport: Transport::Tcp,
        local: "192.168.43.17:40000".into(),
        remote: "203.0.113.9:80".into(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        protocol: "http1".into(),
        frames: 1,
        first: at(first),
        last: at(first + 5),
        uplink: Places { total: 1, undetermined: 1, ..Places::default() },
        downlink_bytes: 1,
        handshake: true,
        opened_by: "phone".into(),
        run: Some(format!("{phase}/01")),
        unasked_ms: None,
    }
}

fn endpoint() -> EndpointSummary {
    EndpointSummary {
        address: "203.0.113.9".into(),
        port: 80,
        transport: Transport::Tcp,
        names: vec!["up.cloud.example (http host)".into(), "up.cloud.example (dns)".into()],
        registered_country: Some("CN".into()),
        special: None,
        table: String::new(),
        phases: Vec::new(),
        uplink_bytes: 0,
        downlink_bytes: 0,
        server_signature: String::new(),
        signed_by: Vec::new(),
    }
}

fn photos() -> Term {
    Term { name: "photo".into(), photos: true, ..Term::default() }
}

fn cloud() -> Term {
    Term { name: "cloud".into(), hosts: vec!["*.cloud.example".into()], ..Term::default() }
}

fn mainland() -> Term {
    Term { name: "mainland".into(), registered_country: vec!["CN".into()], ..Term::default() }
}

fn uploads(what: Term, to: &[Term]) -> Predicate {
    Predicate::Uploads { what, to: to.to_vec() }
}

fn connects(to: Term, attended: Option<bool>) -> Predicate {
    Predicate::Connects { to, attended }
}

fn consent() -> Predicate {
    Predicate::NeedsConsent { what: photos(), action: "consent".into() }
}

/// That nothing is settled, and this is among the reasons.
#[track_caller]
fn open(outcome: &Outcome, reason: Code) {
    assert_eq!(outcome.truth, None, "{outcome:?}");
    assert!(outcome.reasons.contains(&reason), "{reason}: {outcome:?}");
}

#[test]
fn a_probative_upload_is_presence_and_nothing_found_is_not_absence() {
    let world = World::new();
    assert_eq!(world.photo().truth, Some(true));
    let none = World::new().change(|world| world.findings.clear());
    open(&none.photo(), Code::NotObserved);
    open(&none.photo(), Code::SpikeRecall);
    // Even with every gate of this version held, what it can't check still stands in the way.
    let held = [Code::Loss, Code::ResidualCapacity, Code::Windows, Code::Budget];
    let none = held.into_iter().fold(none, |world, code| world.gate("stock", code, GateState::Held));
    open(&none.photo(), Code::PositiveControl);
}

#[test]
fn a_finding_counts_in_its_own_phase_alone() {
    let world = World::new().change(|world| world.findings.retain(|finding| finding.phase == "cloud-on"));
    open(&world.photo(), Code::NotObserved);
    let predicate = uploads(photos(), &[]);
    assert_eq!(world.decide(&predicate, &["stock", "cloud-on"]).truth, Some(true), "any of the phases");
    let each = Predicate::EachPhase(Box::new(predicate));
    assert_eq!(world.decide(&each, &["stock", "cloud-on"]).truth, None, "each of the phases");
    assert_eq!(World::new().decide(&each, &["stock", "cloud-on"]).truth, Some(true));
    let never = Predicate::NeverUploads { what: photos(), to: Vec::new() };
    assert_eq!(world.decide(&never, &["stock", "cloud-on"]).truth, Some(false), "a universal speaks of all");
    let seen = world.decide(&uploads(photos(), &[]), &["stock", "cloud-on"]);
    assert_eq!(seen.phases, ["cloud-on".to_owned()].into(), "the sentence names where it was seen");
}

#[test]
fn each_disabling_caveat_takes_a_findings_weight() {
    for code in [
        Code::AmbiguousBytes,
        Code::SeenDownlinkFirst,
        Code::Echo,
        Code::IdenticalInOtherPhases,
        Code::PrecedesCreation,
        Code::OtherDevice,
        Code::Placeholder,
        Code::InsideLonger,
        Code::BeginningOnly,
    ] {
        let world = World::new().change(|world| world.findings[0].caveats.push(code.name().into()));
        open(&world.photo(), code);
    }
    let shared =
        World::new().change(|world| world.findings[0].caveats.push(Code::CommonContent.name().into()));
    assert_eq!(shared.photo().truth, Some(true), "what is shared is not counted; what is left decides");
    let thin = World::new().change(|world| world.findings[0].probative = false);
    open(&thin.photo(), Code::NotProbative);
}

#[test]
fn a_part_of_a_photo_needs_as_many_probative_bytes_as_the_smallest_carrier() {
    for (bytes, truth) in [(SMALLEST_PHOTO - 1, None), (SMALLEST_PHOTO, Some(true))] {
        let world = World::new().change(|world| ranges(&mut world.findings[0], &[("stock", 110, 0, bytes)]));
        assert_eq!(world.photo().truth, truth, "{bytes}");
    }
    let small = |world: &mut World| {
        ranges(&mut world.findings[0], &[("stock", 110, 0, 2_000)]);
        world.findings[0].artifact_bytes = 2_000;
    };
    assert_eq!(World::new().change(small).photo().truth, Some(true), "all of a photo that is smaller");
    let file = |world: &mut World| {
        ranges(&mut world.findings[0], &[("stock", 110, 0, 300)]);
        world.findings[0].artifact = "notes.txt".into();
    };
    let files = Term { files: true, ..Term::default() };
    assert_eq!(
        World::new().change(file).decide(&uploads(files, &[]), &["stock"]).truth,
        Some(true),
        "chance alone"
    );
}

#[test]
fn a_failed_gate_blocks_the_phase_and_one_that_cant_be_checked_only_absence() {
    for code in
        [Code::Integrity, Code::Provenance, Code::Clock, Code::Decoys, Code::Attribution, Code::PhaseRan]
    {
        let reason = if code == Code::PhaseRan { Code::PhaseNotRun } else { code };
        let failed = World::new().gate("stock", code, GateState::Failed);
        // Clocks stand only under what needs time.
        if code == Code::Clock {
            assert_eq!(failed.photo().truth, Some(true));
            assert_eq!(failed.decide(&connects(mainland(), None), &["stock"]).truth, Some(true));
        } else {
            open(&failed.photo(), reason);
            open(&failed.decide(&connects(mainland(), None), &["stock"]), reason);
        }
        open(&failed.decide(&connects(mainland(), Some(false)), &["stock"]), reason);
        open(&failed.decide(&consent(), &["stock"]), reason);
        assert_eq!(
            World::new().gate("cloud-on", code, GateState::Failed).photo().truth,
            Some(true),
            "another phase"
        );
        assert_eq!(World::new().gate("stock", code, GateState::NotCheckable).photo().truth, Some(true));
    }
    for code in [Code::Loss, Code::ResidualCapacity, Code::Windows, Code::Budget, Code::Epoch] {
        assert_eq!(
            World::new().gate("stock", code, GateState::Failed).photo().truth,
            Some(true),
            "presence stands"
        );
    }
}

#[test]
fn an_upload_goes_where_its_own_connection_says() {
    let to_cloud = |world: &World| world.decide(&uploads(photos(), &[cloud()]), &["stock"]);
    assert_eq!(to_cloud(&World::new()).truth, Some(true));
    let named = |names: &'static [&'static str]| {
        World::new()
            .change(|world| world.flows[0].names = names.iter().map(|&name| name.to_owned()).collect())
    };
    // The address has the cloud's name from another connection and from DNS; this one went to somebody else.
    assert_eq!(to_cloud(&named(&["www.other.example (sni)"])).truth, None);
    open(&to_cloud(&named(&["up.cloud.example (sni)", "www.other.example (http host)"])), Code::SharedHost);
    assert_eq!(
        to_cloud(&named(&[])).truth,
        Some(true),
        "no name of its own: DNS gave one name for the address"
    );
    let shared = named(&[]).change(|world| world.endpoints[0].names.push("www.other.example (dns)".into()));
    open(&to_cloud(&shared), Code::SharedHost);
    let everyone = Term { name: "anywhere".into(), ..Term::default() };
    let setting = Term { name: "backup".into(), setting: Some("backup".into()), ..Term::default() };
    assert_eq!(World::new().decide(&uploads(photos(), &[everyone]), &["stock"]).truth, Some(true));
    assert_eq!(
        World::new().decide(&uploads(photos(), &[setting]), &["stock"]).truth,
        None,
        "a setting is no place"
    );
}

#[test]
fn ranges_that_went_elsewhere_are_not_counted_to_a_destination() {
    let world = |elsewhere: u64| {
        World::new().change(|world| {
            world.flows.push(FlowSummary {
                name: "other".into(),
                names: vec!["www.other.example (sni)".into()],
                ..world.flows[0].clone()
            });
            ranges(
                &mut world.findings[0],
                &[("stock", 110, 0, 5_000), ("other", 111, 5_000, 5_000 + elsewhere)],
            );
        })
    };
    let to_cloud = uploads(photos(), &[cloud()]);
    assert_eq!(
        world(50_000).decide(&to_cloud, &["stock"]).truth,
        Some(true),
        "5,000 bytes are enough by themselves"
    );
    let thin = world(50_000).change(|world| world.findings[0].probative_bytes = 50_000);
    open(&thin.decide(&to_cloud, &["stock"]), Code::NotProbative);
    assert_eq!(thin.photo().truth, Some(true), "to anywhere it is enough");
}

#[test]
fn a_connection_is_opened_by_the_phone_completed_and_sends_a_byte() {
    let outcome = |change: fn(&mut FlowSummary)| {
        World::new()
            .change(|world| change(&mut world.flows[0]))
            .decide(&connects(mainland(), None), &["stock"])
    };
    let seen = outcome(|_| {});
    assert_eq!((seen.truth, seen.endpoints), (Some(true), ["203.0.113.9:80".to_owned()].into()));
    open(&outcome(|flow| flow.handshake = false), Code::NotObserved);
    open(&outcome(|flow| flow.opened_by = "remote".into()), Code::NotObserved);
    open(&outcome(|flow| flow.opened_by = "not seen".into()), Code::NotObserved);
    open(&outcome(|flow| flow.uplink = Places::default()), Code::NotObserved);
    open(&outcome(|flow| flow.uplink = Places { total: 9, lost: 9, ..Places::default() }), Code::NotObserved);
    open(&outcome(|flow| flow.run = None), Code::NotObserved);
    let foreign = World::new().change(|world| world.endpoints[0].registered_country = Some("SG".into()));
    open(&foreign.decide(&connects(mainland(), None), &["stock"]), Code::NotObserved);
    let local = World::new().change(|world| world.endpoints[0].special = Some("private".into()));
    open(&local.decide(&connects(Term::default(), None), &["stock"]), Code::NotObserved);
}

#[test]
fn datagrams_connect_when_the_phone_asked_and_was_answered() {
    let outcome = |opened_by: &str, answered: u64| {
        let world = World::new().change(|world| {
            world.endpoints[0].transport = Transport::Udp;
            let flow = &mut world.flows[0];
            (flow.transport, flow.handshake, flow.downlink_bytes) = (Transport::Udp, false, answered);
            flow.opened_by = opened_by.into();
        });
        world.decide(&connects(mainland(), None), &["stock"]).truth
    };
    assert_eq!(outcome("phone", 1), Some(true));
    assert_eq!(outcome("phone", 0), None, "nobody answered");
    assert_eq!(outcome("remote", 1), None, "somebody else asked");
}

#[test]
fn unattended_means_within_an_idle_window_by_more_than_the_clocks_uncertainty() {
    let outcome = |first: Timestamp| {
        let world = World::new().change(|world| world.flows[0].first = first);
        world.decide(&connects(mainland(), Some(false)), &["stock"])
    };
    // Idle from 200 s to 300 s; clocks within 1 s.
    assert_eq!(outcome(at(250)).truth, Some(true));
    assert_eq!(outcome(at(201)).truth, Some(true));
    open(&outcome(Timestamp(at(201).0 - 1_000_000)), Code::OrderUnknown);
    open(&outcome(Timestamp(at(299).0 + 1_000_000)), Code::OrderUnknown);
    assert_eq!(outcome(at(150)).truth, None, "while a photo was taken");
    assert!(!outcome(at(150)).reasons.contains(&Code::OrderUnknown));
    let silent = World::new().change(|world| world.runs[0].recorded = false);
    open(&silent.decide(&connects(mainland(), Some(false)), &["stock"]), Code::NoActions);
    assert_eq!(silent.decide(&connects(mainland(), None), &["stock"]).truth, Some(true));
}

#[test]
fn a_registration_from_a_table_of_another_time_is_said() {
    let near = World::new().decide(&connects(mainland(), None), &["stock"]);
    assert!(!near.reasons.contains(&Code::TableDate));
    let far = World::new().change(|world| world.flows[0].first = at(91 * 24 * 60 * 60));
    let far = far.decide(&connects(mainland(), None), &["stock"]);
    assert_eq!(far.truth, Some(true));
    assert!(far.reasons.contains(&Code::TableDate));
}

#[test]
fn consent_is_refuted_by_what_was_sent_before_it_and_never_supported() {
    let refuted = World::new().decide(&consent(), &["stock", "cloud-on"]);
    assert_eq!((refuted.truth, refuted.findings), (Some(false), ["F-stock".to_owned()].into()));
    let later = World::new().change(|world| world.findings.retain(|finding| finding.phase == "cloud-on"));
    let later = later.decide(&consent(), &["stock", "cloud-on"]);
    open(&later, Code::SpikeRecall);
    assert_eq!(later.findings, ["F-cloud-on".to_owned()].into(), "the witness is shown");
    let none = World::new().change(|world| world.findings.clear());
    open(&none.decide(&consent(), &["stock", "cloud-on"]), Code::NoWitness);
}

#[test]
fn the_order_of_upload_and_consent_is_told_only_where_clocks_can() {
    let sent = |last: u64| {
        let world = World::new().change(|world| {
            world.findings = vec![photo("cloud-on", 990)];
            world.findings[0].parts[0].last = Timestamp(last * 1_000_000);
        });
        world.decide(&consent(), &["cloud-on"])
    };
    assert_eq!(sent(998_999).truth, Some(false), "1,001 ms before");
    open(&sent(999_000), Code::OrderUnknown);
    open(&sent(1_000_500), Code::OrderUnknown);
    let undeclared = World::new().change(|world| {
        world.findings = vec![photo("cloud-on", 900)];
        world.plan.max_skew_ms = None;
    });
    open(&undeclared.decide(&consent(), &["cloud-on"]), Code::OrderUnknown);
}

#[test]
fn a_phase_that_goes_on_from_consent_is_not_without_it() {
    let phase = |from: Option<&str>, time: u64| {
        World::new().change(|world| {
            world.plan.phases.push(Phase {
                id: "later".into(),
                from: from.map(str::to_owned),
                actions: Vec::new(),
                ..world.plan.phases[0].clone()
            });
            world.runs.push(run("later", &[("shoot", "take-photo", time - 10)]));
            world.findings = vec![photo("later", time)];
        })
    };
    let outcome = |from, time| phase(from, time).decide(&consent(), &["later"]);
    assert_eq!(outcome(Some("wipe"), 5_000).truth, Some(false), "a wiped phone remembers nothing");
    assert_eq!(outcome(Some("stock"), 5_000).truth, Some(false), "nor one that goes on from stock");
    assert_eq!(outcome(Some("cloud-on"), 5_000).truth, None, "consent was given before");
    assert_eq!(outcome(None, 5_000).truth, None, "nobody says where it began");
    assert_eq!(outcome(None, 500).truth, Some(false), "before any consent on record");
    let never = |from| {
        let strike = |world: &mut World| {
            world.runs.iter_mut().for_each(|run| run.actions.retain(|done| done.id != "consent"))
        };
        phase(from, 5_000).change(strike).decide(&consent(), &["later"])
    };
    assert_eq!(never(Some("wipe")).truth, Some(false), "a wiped phone, and no consent on record");
    open(&never(None), Code::OrderUnknown);
    let unrecorded =
        phase(Some("wipe"), 5_000).change(|world| world.runs.iter_mut().for_each(|run| run.recorded = false));
    open(&unrecorded.decide(&consent(), &["later"]), Code::NoActions);
    let elsewhere = phase(Some("wipe"), 5_000).change(|world| {
        world.runs[2].actions.push(run("later", &[("consent", "consent-cloud", 4_000)]).actions.remove(0))
    });
    assert_eq!(elsewhere.decide(&consent(), &["later"]).truth, None, "consent that the plan did not foresee");
}

#[test]
fn ranges_before_and_after_consent_need_enough_before() {
    let world = |before: u64| {
        World::new().change(|world| {
            world.findings = vec![photo("cloud-on", 0)];
            ranges(
                &mut world.findings[0],
                &[("cloud-on", 900, 0, before), ("cloud-on", 1_200, before, 50_000)],
            );
        })
    };
    assert_eq!(world(5_000).decide(&consent(), &["cloud-on"]).truth, Some(false));
    assert_eq!(world(200).decide(&consent(), &["cloud-on"]).truth, None, "200 bytes before are no photo");
}

#[test]
fn encrypted_is_refuted_by_what_went_in_the_clear() {
    let encrypted = Predicate::Encrypted { what: photos() };
    assert_eq!(World::new().decide(&encrypted, &["stock"]).truth, Some(false));
    let tls = |world: &mut World| {
        world.findings[0].parts[0]
            .steps
            .insert(0, Step { op: "tls13".into(), param: None, input: ByteRange::new(0, 1), output: 1 })
    };
    assert_eq!(World::new().change(tls).decide(&encrypted, &["stock"]).truth, None);
    let mostly = World::new().change(|world| {
        ranges(&mut world.findings[0], &[("stock", 110, 0, 200), ("stock", 111, 200, 50_000)]);
        let tls = Step { op: "tls13".into(), param: None, input: ByteRange::new(0, 1), output: 1 };
        world.findings[0].parts[1].steps.insert(0, tls);
    });
    open(&mostly.decide(&encrypted, &["stock"]), Code::NotProbative);
}

#[test]
fn what_connections_carried_together_is_whole_where_all_of_it_passes() {
    let encrypted = Predicate::Encrypted { what: photos() };
    let step = |op: &str| Step { op: op.into(), param: None, input: ByteRange::new(0, 1), output: 1 };
    // Each of two parts of one compressed block stands for all of the file.
    let carried = |sealed: usize| {
        World::new().change(|world| {
            let finding = &mut world.findings[0];
            finding.parts = [110, 111].map(|time| part("stock", time, ByteRange::new(0, SIZE))).to_vec();
            finding.parts.iter_mut().for_each(|part| part.steps.push(step(Step::ACROSS)));
            finding.parts.iter_mut().take(sealed).for_each(|part| part.steps.insert(0, step("tls13")));
        })
    };
    assert_eq!(carried(0).decide(&encrypted, &["stock"]).truth, Some(false));
    open(&carried(1).decide(&encrypted, &["stock"]), Code::NotProbative);
    // Parts that hold their bytes as they are are whole together.
    let mut tiled = World::new();
    ranges(&mut tiled.findings[0], &[("stock", 110, 0, SIZE / 2), ("stock", 111, SIZE / 2, SIZE)]);
    tiled.findings[0].grade = Grade::Exact;
    assert_eq!(tiled.decide(&encrypted, &["stock"]).truth, Some(false));
    tiled.findings[0].parts[1].steps.insert(0, step("tls13"));
    open(&tiled.decide(&encrypted, &["stock"]), Code::NotProbative);
}

#[test]
fn only_uploads_leaves_out_what_is_allowed() {
    let imei = Term { identifiers: vec!["imei".into()], ..Term::default() };
    let personal = Term { photos: true, all_identifiers: true, ..Term::default() };
    let only = Predicate::OnlyUploads { allowed: imei, personal };
    assert_eq!(World::new().decide(&only, &["stock"]).truth, Some(false));
    let allowed = World::new().change(|world| {
        world.findings[0].artifact = "identifier:imei".into();
        world.findings[0].grade = Grade::Identifier;
    });
    assert_eq!(allowed.decide(&only, &["stock"]).truth, None);
}

#[test]
fn a_conjunction_with_a_universal_is_refuted_by_either_and_needs_both() {
    let off = |value: &'static str| {
        World::new().change(move |world| {
            world.runs[0].device_state.insert("cloud".into(), value.into());
        })
    };
    let claim = |never: Term| {
        Predicate::AllOf(vec![
            Predicate::Setting { setting: "cloud".into(), is: "off".into() },
            Predicate::NeverUploads { what: never, to: vec![cloud()] },
        ])
    };
    let nothing = Term { artifacts: vec!["DCIM/2.jpg".into()], ..Term::default() };
    assert_eq!(
        off("off").decide(&claim(photos()), &["stock"]).truth,
        Some(false),
        "settings off, and a photo went"
    );
    assert_eq!(off("on").decide(&claim(nothing.clone()), &["stock"]).truth, Some(false), "the setting is on");
    assert_eq!(
        off("off").decide(&claim(nothing), &["stock"]).truth,
        None,
        "off, and nothing seen is not never"
    );
    let setting = Predicate::Setting { setting: "cloud".into(), is: "off".into() };
    assert_eq!(World::new().decide(&setting, &["stock"]).truth, None, "nobody read it");
    let half = off("off").change(|world| world.runs.push(run("stock", &[])));
    assert_eq!(half.decide(&setting, &["stock"]).truth, None, "read in one run of two");
}
