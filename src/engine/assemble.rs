//! Hits united to findings, and everything put in its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::{
    analyze::{self, Road},
    correlate::{self, Artifact, Caveat, Group, Hit, Outcome},
    decoys,
    endpoints::EndKey,
    located::{Carriage, HitKey, Located},
    net::{FlowId, Index},
    provenance::{Own, Provenance},
    timeline,
    verdict::{self, Beside, Observed, gates},
    volume,
};
use crate::{
    case::{
        capture::Container,
        device::FileKind,
        scenario::plan::{Role, Run},
    },
    evidence::{
        Anomaly, AnomalyKind, ByteRange, Digest, Direction, FrameRange, Timestamp, hex, read_exact_at,
    },
    findings::{
        self, Analysis, Answer, ArtifactSummary, CaptureSummary, Control, Custody, DeclaredSummary,
        FileProbe, Finding, Findings, FlowSummary, Grade, InputDigest, MAX_FLOWS, Part, ReplyAsked, Settings,
        StatisticalTest, Subject, codes::Code,
    },
};

/// Bytes of an excerpt.
const EXCERPT: u64 = 128;
/// Parts listed of one finding; a file sent in more pieces than this is still counted whole.
pub(super) const MAX_PARTS: usize = 1_000;
/// Frame ranges that a filter names one by one; more are spanned.
const MAX_FILTER_RANGES: usize = 32;
/// Frame ranges listed of one part; more are spanned.
pub(super) const MAX_FRAME_RANGES: usize = 256;
/// Records listed beside those that were found.
const MAX_RECORDS: usize = 1_000;
/// Hashes of files listed with what was answered.
const MAX_PROBES: usize = 1_000;
/// Odd traffic listed.
const MAX_ANOMALIES: usize = 1_000;

/// What makes hits one finding: the phase, the endpoint family, whether the phone sent it, and whether segments
/// disagree about its bytes (a clean copy is not made worse by another one).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    phase: String,
    family: String,
    foreign: bool,
    ambiguous: bool,
}

/// Puts findings, flows, gates and verdicts together.
pub(super) fn assemble(
    road: &Road<'_>,
    outcome: &Outcome,
    located: Located,
    controls: Vec<Control>,
    recalls: Vec<gates::Recall>,
    inputs: BTreeMap<String, InputDigest>,
) -> Analysis {
    let case = road.case;
    let captures: Vec<CaptureSummary> = road.indexes.iter().map(|index| capture(road, index)).collect();
    let runs = road.timeline.summaries();
    let artifacts = artifacts(road, &outcome.hits);
    let (mut anomalies, mut anomaly_count) = analyze::anomalies(road);
    let limits_reached = analyze::limits_reached(road) + outcome.limits_reached.len() as u64;
    let finder = Finder { road, outcome, located: &located, captures: &captures };
    let (mut found, probes) = (finder.findings(), finder.probes());
    // No gate stands on tests of volume: what was not tested supports nothing.
    let (tested, untested) = match volume::tests(road, &located.uploads) {
        Ok(tested) => (tested, None),
        Err(too_much) => (Vec::new(), Some(too_much.to_string())),
    };
    for detail in outcome.limits_reached.iter().cloned().chain(untested) {
        let kind = AnomalyKind::LimitReached;
        anomalies.push(Anomaly { kind, capture: String::new(), frame: None, flow: None, detail });
        anomaly_count += 1;
    }
    found.extend(volume::findings(&tested));
    found.sort_by(|a, b| order(a).cmp(&order(b)));
    let statistics: Vec<StatisticalTest> = tested.into_iter().map(|one| one.test).collect();
    for probe in probes.iter().filter(|probe| probe.answer == Answer::AlreadyThere) {
        anomalies.push(Anomaly {
            kind: AnomalyKind::DeltaProtocol,
            capture: probe.capture.clone(),
            frame: None,
            flow: Some(probe.flow.clone()),
            detail: format!("the hash of {} was answered as that of a file already there", probe.artifact),
        });
        anomaly_count += 1;
    }
    anomalies.truncate(MAX_ANOMALIES);
    let Located { flows, judged, lines, ledger, endpoints, .. } = located;
    let carrying = found.iter().flat_map(|finding| &finding.parts).map(|part| part.flow.as_str());
    let mut named: BTreeSet<&str> = carrying.collect();
    let named_ends = remotes(flows.iter().filter(|flow| named.contains(flow.name.as_str())));
    let ends = endpoints.finish(&case.addresses, &road.names, &named_ends, &judged);
    let gates = gates::judge(&gates::Evidence {
        plan: &case.plan,
        runs: &runs,
        records: &case.runs,
        images: &case.images,
        findings: &found,
        flows: &flows,
        recalls: &recalls,
        captures: &captures,
        ledger: &ledger,
        chain_broken_at: case.chain_broken_at,
        limits_reached,
        decoys: controls.iter().find(|control| control.id == decoys::CONTROL),
        binding: &road.subject.binding,
    });
    let declared = declared(road);
    let claims = verdict::judge(&Observed {
        plan: &case.plan,
        captures: &captures,
        runs: &runs,
        artifacts: &artifacts,
        findings: &found,
        declared: &declared,
        statistics: &statistics,
        flows: &flows,
        endpoints: &ends.judged,
        table_date: case.addresses.date(),
        ledger: &ledger,
        recalls: &recalls,
        signs: &signs(road),
        beside: &beside(road),
        gates: &gates,
    });
    named.extend(claims.iter().flat_map(|claim| &claim.connections).map(String::as_str));
    let listed = listed(&flows, &named);
    let findings = Findings {
        format: findings::FORMAT.to_owned(),
        case: case.plan.id.clone(),
        title: case.plan.title.clone(),
        simulated: case.plan.simulated,
        reply: case
            .plan
            .reply
            .as_ref()
            .map(|reply| ReplyAsked { party: reply.party.clone(), days: reply.days }),
        subject: subject(road),
        settings: settings(road),
        captures,
        runs,
        unreported: timeline::unreported(&case.plan, &case.runs),
        ledger,
        endpoint_count: Some(ends.count).filter(|count| *count > ends.listed.len() as u64),
        endpoints: ends.listed,
        flow_count: lines.count,
        flows: listed,
        artifacts,
        findings: found,
        probes,
        statistics,
        declared,
        claims,
        gates,
        controls,
        custody: Custody { events: case.custody.0, head: case.custody.1 },
        anomalies,
        anomaly_count,
    };
    let opened_connections = road.observations.values().map(|seen| seen.opened_connections).sum();
    Analysis { findings, flows: lines, inputs, address_rows: ends.rows, opened_connections }
}

/// Signs that a copy might go unsent or hide, by phase, in what the phone sent.
fn signs(road: &Road<'_>) -> BTreeMap<String, BTreeSet<Code>> {
    let mut all: BTreeMap<String, BTreeSet<Code>> = BTreeMap::new();
    for (flow, seen) in &road.observations {
        if seen.signs.is_empty() {
            continue;
        }
        let Some(index) = road.index(*flow) else { continue };
        let Some(own) = index.flow(FlowId(flow.flow)) else { continue };
        if road.subject.uplink_side(own).is_none() {
            continue;
        }
        for run in road.timeline.runs_of(&index.capture) {
            all.entry(run.phase.clone()).or_default().extend(seen.signs.iter().map(|sign| match sign {
                AnomalyKind::ConstantRate => Code::CoverTraffic,
                _ => Code::Dedup,
            }));
        }
    }
    all
}

/// By phase the most that the phone sent in one run, or between the runs of one capture, beside what the ledger counts.
fn beside(road: &Road<'_>) -> BTreeMap<String, Beside> {
    let mut sums: BTreeMap<(&str, Option<&str>), Beside> = BTreeMap::new();
    let run_at = |index: &Index, time| road.timeline.run_at(&index.capture, time).map(|run| run.id.as_str());
    for index in &road.indexes {
        for (second, _, bytes) in index.beside().filter(|(_, source, _)| road.subject.sends_from(*source)) {
            sums.entry((&index.capture, run_at(index, second))).or_default().unread += bytes;
        }
    }
    for (flow, seen) in &road.observations {
        let Some(index) = road.index(*flow) else { continue };
        let own = index.flow(FlowId(flow.flow)).filter(|own| road.subject.uplink_side(own).is_some());
        for (time, bytes) in seen.disputed.iter().filter(|_| own.is_some()) {
            sums.entry((&index.capture, run_at(index, *time))).or_default().disputed += bytes;
        }
    }
    let mut all: BTreeMap<String, Beside> = BTreeMap::new();
    for ((capture, id), sum) in sums {
        // What lies between runs may be any one's.
        let runs = road.timeline.runs_of(capture).iter();
        for run in runs.filter(|run| id.is_none_or(|id| run.id == id)) {
            let most = all.entry(run.phase.clone()).or_default();
            most.unread = most.unread.max(sum.unread);
            most.disputed = most.disputed.max(sum.disputed);
        }
    }
    all
}

/// What the phone sent that declared schemas account for, by term and phase.
fn declared(road: &Road<'_>) -> Vec<DeclaredSummary> {
    let mut all: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for (flow, seen) in &road.observations {
        let Some(index) = road.index(*flow) else { continue };
        let is_phones =
            index.flow(FlowId(flow.flow)).is_some_and(|flow| road.subject.uplink_side(flow).is_some());
        for message in seen.declared.iter().filter(|_| is_phones) {
            let Some(run) = road.timeline.run_at(&index.capture, message.time) else { continue };
            let (messages, bytes) = all.entry((&message.term, &run.phase)).or_default();
            *messages += 1;
            *bytes += message.range.len();
        }
    }
    let row = |((term, phase), (messages, bytes)): ((&str, &str), (u64, u64))| DeclaredSummary {
        term: term.to_owned(),
        phase: phase.to_owned(),
        messages,
        bytes,
    };
    all.into_iter().map(row).collect()
}

/// The flows that findings hold: the first, and those that carry something.
fn listed(flows: &[FlowSummary], carrying: &BTreeSet<&str>) -> Vec<FlowSummary> {
    let first = flows.iter().take(MAX_FLOWS);
    let named = flows.iter().skip(MAX_FLOWS).filter(|flow| carrying.contains(flow.name.as_str()));
    first.chain(named.take(MAX_FLOWS)).cloned().collect()
}

/// The remote ends of flows.
fn remotes<'f>(flows: impl Iterator<Item = &'f FlowSummary>) -> BTreeSet<EndKey> {
    let end = |flow: &FlowSummary| {
        let remote: SocketAddr = flow.remote.parse().ok()?;
        Some((remote.ip(), remote.port(), flow.transport))
    };
    flows.filter_map(end).collect()
}

fn subject(road: &Road<'_>) -> Subject {
    let phone = &road.case.plan.phone;
    let at = road.case.plan.captured_at.as_ref();
    Subject {
        model: phone.model.clone(),
        addresses: road.subject.addresses.iter().map(ToString::to_string).collect(),
        bound_by: road.subject.bound_by.clone(),
        identifiers: phone.identifiers.keys().cloned().collect(),
        captured_at: at.map(|at| at.point.clone()),
        blind_to: at.map_or_else(Vec::new, |at| at.blind_to.clone()),
    }
}

fn settings(road: &Road<'_>) -> Settings {
    Settings {
        min_run: road.limits.min_run,
        max_depth: road.limits.max_depth,
        max_decoded: road.limits.max_decoded,
        address_table: road.case.addresses.name().to_owned(),
        address_table_date: road.case.addresses.date().to_owned(),
    }
}

fn capture(road: &Road<'_>, index: &Index) -> CaptureSummary {
    let Container { digest, bytes, packets, first, last, dropped, .. } = &index.container;
    CaptureSummary {
        name: index.capture.clone(),
        sha256: *digest,
        bytes: *bytes,
        packets: u64::from(*packets),
        first: *first,
        last: *last,
        dropped: *dropped,
        runs: road.timeline.runs_of(&index.capture).iter().map(|run| run.id.clone()).collect(),
    }
}

/// Everything that was on the phone, by name.
fn artifacts(road: &Road<'_>, hits: &[Hit]) -> Vec<ArtifactSummary> {
    let case = road.case;
    let mut phases: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for run in &case.runs {
        if let Some(files) = &run.files {
            phases.entry(files).or_default().insert(run.phase.clone());
        }
    }
    let mut all = BTreeMap::new();
    for (device, held) in &case.devices {
        for file in &held.files {
            let Some((sha256, bytes)) = road.catalog.digests().get(&file.path) else { continue };
            let entry = all.entry(file.path.clone()).or_insert_with(|| ArtifactSummary {
                name: file.path.clone(),
                kind: kind(file.kind).to_owned(),
                phases: Vec::new(),
                bytes: *bytes,
                sha256: Some(*sha256),
                created: created(road, &file.path),
            });
            entry.phases.extend(phases.get(device.as_str()).into_iter().flatten().cloned());
            entry.phases.sort();
            entry.phases.dedup();
        }
    }
    let identifiers = case.plan.phone.identifiers.keys().map(|kind| ArtifactSummary {
        name: format!("identifier:{kind}"),
        kind: "identifier".to_owned(),
        phases: case.plan.phases.iter().map(|phase| phase.id.clone()).collect(),
        bytes: 0,
        sha256: None,
        created: None,
    });
    // Of records those that were found, and as many others as a reader may look through.
    let found: BTreeSet<&str> = hits
        .iter()
        .filter_map(|hit| match hit.artifact {
            Artifact::Value(id) | Artifact::HashOf(id) => Some(road.catalog.value(id)?.name.as_str()),
            Artifact::Content(_) | Artifact::CopyOf(_) | Artifact::DigestOf(_) => None,
        })
        .collect();
    let records = road.catalog.values().iter().filter(|value| value.grade == Grade::Record);
    let listed =
        records.enumerate().filter(|(no, value)| *no < MAX_RECORDS || found.contains(value.name.as_str()));
    let records = listed.map(|(_, value)| {
        let device = |run: &&Run| {
            let within = |files: &String| {
                files == "."
                    || value.name.starts_with(&format!("{files}/"))
                    || value.name.starts_with(&format!("{files}#"))
            };
            run.files.as_ref().is_some_and(within)
        };
        let phases: BTreeSet<String> = case.runs.iter().filter(device).map(|run| run.phase.clone()).collect();
        ArtifactSummary {
            name: value.name.clone(),
            kind: value.kind.clone(),
            phases: phases.into_iter().collect(),
            bytes: 0,
            sha256: None,
            created: None,
        }
    });
    all.into_values().chain(identifiers).chain(records).collect()
}

fn kind(kind: FileKind) -> &'static str {
    kind.name()
}

/// When an action made a file: the earliest start of an action that names it.
fn created(road: &Road<'_>, path: &str) -> Option<Timestamp> {
    let actions = road.case.runs.iter().flat_map(|run| &run.actions);
    actions.filter(|action| action.made(path)).map(|action| action.start).min()
}

struct Finder<'a, 'c> {
    road: &'a Road<'c>,
    outcome: &'a Outcome,
    located: &'a Located,
    captures: &'a [CaptureSummary],
}

impl Finder<'_, '_> {
    fn findings(&self) -> Vec<Finding> {
        let carriage = |hit: &Hit| self.located.carriages.get(&HitKey::of(hit));
        let provenance = Provenance::of(
            &self.outcome.hits,
            &self.located.carriages,
            |flow| self.located.families.get(&flow).map_or("", String::as_str),
            |hit, carriage| self.is_control(&self.phase(hit, carriage)),
        );
        let up = self
            .outcome
            .hits
            .iter()
            .filter(|hit| hit.leaf.direction == Direction::Up && carriage(hit).is_some());
        let mut groups = correlate::unite(up, |hit| self.key(hit, carriage(hit)));
        for group in groups.iter_mut().filter(|group| self.is_whole(group, &carriage)) {
            group.grade = Grade::Exact;
        }
        let findings: Vec<Finding> =
            groups.iter().map(|group| self.finding(group, &carriage, &provenance)).collect();
        findings
    }

    /// Whether leaves that are nothing but parts of one file, and were sent in one run, hold every byte of it: one after the
    /// other they are the file. Bytes that other files hold too prove neither.
    fn is_whole<'h>(&self, group: &Group<'h, Key>, carriage: &impl Fn(&Hit) -> Option<&'h Carriage>) -> bool
    where
        Self: 'h,
    {
        let Artifact::Content(id) = group.artifact else { return false };
        let Some(content) = self.road.catalog.content(id) else { return false };
        let is_part = |hit: &Hit| {
            let whole = hit.leaf_range == ByteRange::new(0, hit.leaf.len);
            hit.grade == Grade::Partial && whole && hit.shared_ranges.is_empty()
        };
        let mut by_run: BTreeMap<Option<&str>, Vec<ByteRange>> = BTreeMap::new();
        for hit in group.hits.iter().copied().filter(|hit| is_part(hit)) {
            let Some(carriage) = carriage(hit) else { continue };
            let capture = self.road.index(hit.leaf.flow).map_or("", |index| &index.capture);
            let run = self.road.timeline.run_at(capture, carriage.first).map(|run| run.id.as_str());
            by_run.entry(run).or_default().push(hit.artifact_range);
        }
        let all = ByteRange::new(0, content.len);
        let whole = by_run.into_values().any(|ranges| ByteRange::unite(ranges) == [all]);
        whole && !group.key.ambiguous && group.probative && group.grade == Grade::Partial
    }

    /// Hashes of files that the phone sent, with what was answered.
    fn probes(&self) -> Vec<FileProbe> {
        let hits = self.outcome.hits.iter().filter(|hit| {
            matches!(hit.artifact, Artifact::DigestOf(_)) && hit.leaf.direction == Direction::Up
        });
        let mut probes: Vec<FileProbe> = hits.filter_map(|hit| self.probe(hit)).take(MAX_PROBES).collect();
        probes.sort_by(|a, b| {
            let key = |probe: &FileProbe| (probe.capture.clone(), probe.first, probe.flow.clone());
            (key(a), &a.artifact).cmp(&(key(b), &b.artifact))
        });
        probes.dedup();
        probes
    }

    fn probe(&self, hit: &Hit) -> Option<FileProbe> {
        let carriage = self.located.carriages.get(&HitKey::of(hit))?;
        let key = self.key(hit, Some(carriage));
        let flow = hit.leaf.flow;
        let index = self.road.index(flow)?;
        let seen = self.road.observations.get(&flow);
        let answer = seen.zip(hit.leaf.transaction).map(|(seen, of)| seen.answers.to(of));
        (!key.foreign).then(|| FileProbe {
            artifact: self.name(hit.artifact, &key.phase),
            run: self.road.timeline.run_at(&index.capture, carriage.first).map(|run| run.id.clone()),
            phase: key.phase,
            capture: index.capture.clone(),
            flow: index.flow(FlowId(flow.flow)).map(|flow| flow.name(&index.capture)).unwrap_or_default(),
            first: carriage.first,
            answer: answer.unwrap_or(Answer::NotSeen),
        })
    }

    /// The phase in which a hit was sent; empty where no run holds it.
    fn phase(&self, hit: &Hit, carriage: &Carriage) -> String {
        let capture = self.road.index(hit.leaf.flow).map_or("", |index| &index.capture);
        self.road.timeline.run_at(capture, carriage.first).map(|run| run.phase.clone()).unwrap_or_default()
    }

    /// Whether a phase must show nothing.
    fn is_control(&self, phase: &str) -> bool {
        let phases = &self.road.case.plan.phases;
        phases.iter().any(|one| one.id == phase && one.role == Role::NegativeControl)
    }

    fn key(&self, hit: &Hit, carriage: Option<&Carriage>) -> Key {
        let flow = hit.leaf.flow;
        let index = self.road.index(flow);
        let phase = carriage.map(|carriage| self.phase(hit, carriage));
        let foreign = index
            .and_then(|index| index.flow(FlowId(flow.flow)))
            .is_some_and(|flow| self.road.subject.uplink_side(flow).is_none());
        Key {
            phase: phase.unwrap_or_default(),
            family: self.located.families.get(&flow).cloned().unwrap_or_default(),
            foreign,
            ambiguous: carriage.is_some_and(|carriage| carriage.ambiguous),
        }
    }

    fn finding<'h>(
        &self,
        group: &Group<'h, Key>,
        carriage: &impl Fn(&Hit) -> Option<&'h Carriage>,
        provenance: &Provenance<'_>,
    ) -> Finding
    where
        Self: 'h,
    {
        let named = self.artifact(group);
        let mut carried: Vec<(&Hit, &Carriage)> =
            group.hits.iter().filter_map(|hit| Some((*hit, carriage(hit)?))).collect();
        carried
            .sort_by_key(|(hit, carriage)| (carriage.first, hit.leaf.flow, hit.leaf.serial, hit.leaf_range));
        let key = &group.key;
        let own = provenance.own(group.artifact, &carried, &key.family, self.is_control(&key.phase));
        let caveats = self.caveats(group, &named, &carried, &own);
        let parts: Vec<Part> =
            carried.iter().take(MAX_PARTS).map(|(hit, carriage)| self.part(hit, carriage, &named)).collect();
        let probative = group.probative && !caveats.contains(&Code::NotProbative.name().to_owned());
        let whole = group.grade == Grade::Exact && probative;
        let probative_bytes = if whole { named.bytes } else { group.probative_bytes() };
        // A copy holds none of the photo's bytes.
        let altered = matches!(group.artifact, Artifact::CopyOf(_));
        Finding {
            id: self.id(group, &named),
            grade: group.grade,
            artifact: named.name.clone(),
            phase: group.key.phase.clone(),
            destination: group.key.family.clone(),
            matched_bytes: if altered { 0 } else { group.matched_bytes() },
            probative_bytes: probative_bytes.min(own.bytes),
            artifact_bytes: named.bytes,
            artifact_ranges: if altered { Vec::new() } else { group.ranges.clone() },
            sha256: named.sha256,
            encoding: encoding(&carried),
            form: form(&carried),
            distance: carried.iter().filter_map(|(hit, _)| hit.distance).min(),
            tests: Vec::new(),
            chance: group.chance.to_string(),
            probative,
            caveats,
            parts,
        }
    }

    fn artifact(&self, group: &Group<'_, Key>) -> NamedArtifact {
        let name = self.name(group.artifact, &group.key.phase);
        let (Artifact::Content(id) | Artifact::CopyOf(id) | Artifact::DigestOf(id)) = group.artifact else {
            return NamedArtifact { name, bytes: 0, sha256: None, content: None };
        };
        let Some(content) = self.road.catalog.content(id) else {
            return NamedArtifact { name, bytes: 0, sha256: None, content: None };
        };
        let same = matches!(group.artifact, Artifact::Content(_));
        NamedArtifact {
            name,
            // Of its hash, not of the file, something was sent.
            bytes: if matches!(group.artifact, Artifact::DigestOf(_)) { 0 } else { content.len },
            sha256: Some(content.digest),
            content: same.then_some(id),
        }
    }

    /// What an artifact is called: a file by the name that it had in the phase in which it was sent, else by its first.
    fn name(&self, artifact: Artifact, phase: &str) -> String {
        match artifact {
            Artifact::Value(id) | Artifact::HashOf(id) => {
                self.road.catalog.value(id).map_or_else(String::new, |value| value.name.clone())
            }
            Artifact::Content(id) | Artifact::CopyOf(id) | Artifact::DigestOf(id) => {
                let names = self.road.catalog.content(id).map_or(&[][..], |content| &content.names);
                let runs = self.road.case.runs.iter().filter(|run| run.phase == phase);
                let devices: BTreeSet<&str> = runs.filter_map(|run| run.files.as_deref()).collect();
                let there = names.iter().find(|name| devices.contains(name.device.as_str()));
                there.or_else(|| names.first()).map(|name| name.path.clone()).unwrap_or_default()
            }
        }
    }

    fn caveats(
        &self,
        group: &Group<'_, Key>,
        named: &NamedArtifact,
        carried: &[(&Hit, &Carriage)],
        own: &Own,
    ) -> Vec<String> {
        let mut codes: BTreeSet<&str> = group.caveats.iter().map(|caveat: &Caveat| caveat.code()).collect();
        let first = carried.iter().map(|(_, carriage)| carriage.first).min();
        if carried.iter().any(|(_, carriage)| carriage.ambiguous) {
            codes.insert(Code::AmbiguousBytes.name());
        }
        codes.extend(own.caveats.iter().map(|code| code.name()));
        let skew = i64::try_from(self.road.case.plan.max_skew_ms.unwrap_or(0)).unwrap_or(i64::MAX);
        if created(self.road, &named.name)
            .zip(first)
            .is_some_and(|(created, up)| up.millis_since(created) < -skew)
        {
            codes.insert(Code::PrecedesCreation.name());
        }
        if group.key.foreign {
            codes.insert(Code::OtherDevice.name());
        }
        codes.into_iter().map(str::to_owned).collect()
    }

    fn part(&self, hit: &Hit, carriage: &Carriage, named: &NamedArtifact) -> Part {
        let index = self.road.index(hit.leaf.flow);
        let capture = index.map_or("", |index| &index.capture);
        let flow = index.and_then(|index| index.flow(FlowId(hit.leaf.flow.flow)));
        let run = self.road.timeline.run_at(capture, carriage.first);
        let after = run.and_then(|run| timeline::action_before(run, carriage.first));
        let frames = spanned(&carriage.frames, MAX_FRAME_RANGES);
        Part {
            capture: capture.to_owned(),
            flow: flow.map(|flow| flow.name(capture)).unwrap_or_default(),
            direction: hit.leaf.direction,
            run: run.map(|run| run.id.clone()),
            action: after.map(|(action, _)| action.id.clone()),
            after_ms: after.map(|(_, millis)| millis),
            first: carriage.first,
            last: carriage.last,
            filter: filter(&carriage.frames),
            frames,
            stream_range: hull(&hit.stream_ranges),
            artifact_range: hit.artifact_range,
            steps: hit.leaf.steps.clone(),
            leaf_range: hit.leaf_range,
            excerpt: self.excerpt(hit, named),
        }
    }

    /// The first matched bytes; they are the artifact's, so its file is where they are read. Of an identifier
    /// nothing is shown.
    fn excerpt(&self, hit: &Hit, named: &NamedArtifact) -> String {
        let Some(content) = named.content.and_then(|id| self.road.catalog.content(id)) else {
            return String::new();
        };
        let len = usize::try_from(hit.artifact_range.len().min(EXCERPT)).unwrap_or(0);
        let mut bytes = vec![0; len];
        match read_exact_at(&*content.blob, &mut bytes, hit.artifact_range.start) {
            Ok(()) => hex(&bytes),
            Err(_) => String::new(),
        }
    }

    /// Ten hex digits of a digest over what the finding is about, so that one more finding renumbers nothing.
    fn id(&self, group: &Group<'_, Key>, named: &NamedArtifact) -> String {
        use std::fmt::Write as _;
        let hashed = if matches!(group.artifact, Artifact::HashOf(_) | Artifact::DigestOf(_)) {
            "hash of "
        } else {
            ""
        };
        let (grade, name) = (group.grade.name(), &named.name);
        let mut text = format!("{grade}\n{hashed}{name}\n{}\n{}\n", group.key.phase, group.key.family);
        for hit in &group.hits {
            let index = self.road.index(hit.leaf.flow);
            let digest =
                self.captures.get(hit.leaf.flow.capture as usize).map(|capture| capture.sha256.to_string());
            let flow = index.and_then(|index| index.flow(FlowId(hit.leaf.flow.flow)));
            let _ = writeln!(
                text,
                "{} {} {:?} {:?}",
                digest.unwrap_or_default(),
                flow.map(|flow| flow.first_frame.0).unwrap_or_default(),
                hit.artifact_range,
                hit.stream_ranges
            );
        }
        let digest = Digest::of(text.as_bytes()).to_string();
        format!("F-{}", digest.chars().take(10).collect::<String>())
    }
}

struct NamedArtifact {
    name: String,
    bytes: u64,
    sha256: Option<Digest>,
    content: Option<correlate::ContentId>,
}

/// Findings stand in the order of their first part.
fn order(finding: &Finding) -> impl Ord + '_ {
    let first = finding.parts.first();
    (
        first.map(|part| (part.first, part.capture.as_str(), part.frames.first().copied())),
        finding.artifact.as_str(),
        finding.id.as_str(),
    )
}

fn hull(ranges: &[ByteRange]) -> ByteRange {
    let start = ranges.iter().map(|range| range.start).min().unwrap_or(0);
    ByteRange::new(start, ranges.iter().map(|range| range.end).max().unwrap_or(start))
}

/// Ranges as they are, or one that spans them where there are too many to list.
pub(super) fn spanned(frames: &[FrameRange], most: usize) -> Vec<FrameRange> {
    match (frames.first(), frames.last()) {
        (Some(first), Some(last)) if frames.len() > most => {
            vec![FrameRange { first: first.first, last: last.last }]
        }
        _ => frames.to_vec(),
    }
}

/// A display filter in Wireshark's grammar that shows the frames.
pub(super) fn filter(frames: &[FrameRange]) -> String {
    let ranges = spanned(frames, MAX_FILTER_RANGES);
    match ranges.as_slice() {
        [only] if only.first == only.last => format!("frame.number=={}", only.first),
        [only] => format!("frame.number>={} && frame.number<={}", only.first, only.last),
        several => {
            let members: Vec<String> = several
                .iter()
                .map(|range| {
                    if range.first == range.last {
                        range.first.to_string()
                    } else {
                        format!("{}..{}", range.first, range.last)
                    }
                })
                .collect();
            format!("frame.number in {{{}}}", members.join(", "))
        }
    }
}

/// How the first part was wrapped, outermost first.
fn encoding(carried: &[(&Hit, &Carriage)]) -> String {
    let steps = carried.first().map(|(hit, _)| hit.leaf.steps.as_slice()).unwrap_or_default();
    if steps.is_empty() {
        "stream".to_owned()
    } else {
        steps.iter().map(|step| step.op.as_str()).collect::<Vec<_>>().join(" > ")
    }
}

/// The form in which a value stood in the first part, where it was not plain.
fn form(carried: &[(&Hit, &Carriage)]) -> Option<String> {
    carried
        .first()
        .map(|(hit, _)| hit.form)
        .filter(|form| *form != correlate::Form::Plain)
        .map(|form| form.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::FrameNo;

    fn range(first: u32, last: u32) -> FrameRange {
        FrameRange { first: FrameNo(first), last: FrameNo(last) }
    }

    #[test]
    fn filters_are_in_wiresharks_grammar() {
        assert_eq!(filter(&[range(7, 7)]), "frame.number==7");
        assert_eq!(filter(&[range(7, 9)]), "frame.number>=7 && frame.number<=9");
        assert_eq!(filter(&[range(1, 2), range(5, 5)]), "frame.number in {1..2, 5}");
        let many: Vec<FrameRange> = (0..40).map(|no| range(no * 2 + 1, no * 2 + 1)).collect();
        assert_eq!(filter(&many), "frame.number>=1 && frame.number<=79");
    }
}
