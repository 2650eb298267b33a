//! The one road from a case to findings.
//!
//! 1. Device files and identifiers become a [`Catalog`]; captures become [`Index`]es, one pass each.
//! 2. [`Subject`] says which end of each flow is the phone.
//! 3. Conversations, several at once: streams are put together, decoded and peeled; leaves go to a
//!    [`Collector`], the rest to an [`Observation`].
//! 4. [`correlate::conclude`] looks for parts of files in what was no whole file.
//! 5. [`located`](super::located) finds frames and times of hits and the place of each uplink byte.
//! 6. [`assemble`](super::assemble) unites hits to findings; [`verdict`](super::verdict) judges.
//!
//! Everything is sorted by stated keys, so that threads never show.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{
    assemble, copies,
    correlate::{self, Catalog, Collector, FlowRef, Harvest, Spool},
    declared::{Declared, Watch},
    decode::{self, Context, Conversation, Shared, sink::Sink},
    decoys,
    endpoints::{self, HostTerms, NameBook},
    hidden,
    keys::keys,
    located,
    net::{self, FlowId, Groups, Index, Side},
    observe::{Observation, Observer},
    spikes,
    subject::{AmbiguousPhone, Subject},
    timeline::Timeline,
    verdict::gates::Recall,
};
use crate::{
    case::{Case, scenario::plan::Budget},
    evidence::{Anomaly, AnomalyKind, Digest, Direction, Limits, ReadError, Scratch, Timestamp},
    findings::{Analysis, Control, InputDigest},
};

/// Why there are no findings.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// An input could not be read to its end.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The phone can't be told from another machine.
    #[error(transparent)]
    Phone(#[from] AmbiguousPhone),
    /// Two captures are one: what was observed once would count twice.
    #[error(
        "use {second} beside {first}: they are the same capture, and the time that it shows would count twice"
    )]
    SameCapture {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// Captures of two runs hold the same conversation: what was observed once would count twice.
    #[error(
        "use {second} beside {first}: both hold {flow} from its first packet on, and what was seen once would count for two runs"
    )]
    SharedFlow {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// The conversation's name in the first.
        flow: String,
    },
    /// The case holds no capture.
    #[error("find a capture in the case")]
    NoCapture,
    /// What was found could not be handed on.
    #[error("write the result")]
    View(#[source] std::io::Error),
}

/// Goes from a case to findings. The result depends on the case and the limits alone.
///
/// # Errors
/// When an input can't be read or changed while it was read, or when two addresses could be the phone's.
pub fn analyze(case: &Case, scratch: &Scratch, limits: &Limits) -> Result<Analysis, AnalysisError> {
    let limits = &within_budget(limits, &case.plan.budget);
    let catalog =
        Catalog::build(&case.devices, &case.plan.phone.identifiers, &case.plan.phone.salts, limits)?;
    let indexes = index_all(case, limits)?;
    copies::refuse(case, &indexes)?;
    let subject = Subject::determine(&case.plan, &indexes)?;
    let spool = Spool::new(scratch.clone());
    let keys = keys(case, &indexes)?;
    let declared = Declared::of(case);
    let means = Means {
        case,
        subject: &subject,
        catalog: &catalog,
        spool: &spool,
        declared: &declared,
        context: Context::new(limits, &keys, scratch),
        only: None,
    };
    let (observations, harvests) = converse(&indexes, &groups(&indexes), &means)?;
    let mut controls = decoys_of(case, &indexes, &means)?;
    let recalls = spikes_of(case, &indexes, &means)?;
    controls.extend(spikes::controls(&recalls, case.plan.spike_recall));
    let outcome = correlate::conclude(&catalog, spool, harvests, limits)?;
    let road = Road {
        case,
        limits,
        timeline: Timeline::new(case),
        names: names(&observations),
        terms: HostTerms::of(&case.plan.claims),
        indexes,
        subject,
        catalog,
        observations,
    };
    let located = located::locate(&road, &outcome, scratch)?;
    let inputs = digests(case, &road)?;
    Ok(assemble::assemble(&road, &outcome, located, controls, recalls, inputs))
}

/// Walks everything once more for what was never on the phone, where the plan asks for it.
fn decoys_of(case: &Case, indexes: &[Index], means: &Means<'_>) -> Result<Vec<Control>, ReadError> {
    let Some(needles) = case.plan.decoys else { return Ok(Vec::new()) };
    let limits = means.context.limits;
    let draw = decoys::Draw::for_purpose(&case.plan, "decoys");
    let catalog = decoys::catalog(means.catalog, draw, needles, limits)?;
    let spool = Spool::new(means.context.scratch.clone());
    let means = Means { catalog: &catalog, spool: &spool, ..*means };
    let (_, harvests) = converse(indexes, &groups(indexes), &means)?;
    let outcome = correlate::conclude(&catalog, spool, harvests, limits)?;
    Ok(vec![decoys::control(&catalog, &outcome)])
}

/// Walks what the lab sent itself once more for what it sent, where the record names any.
fn spikes_of(case: &Case, indexes: &[Index], means: &Means<'_>) -> Result<Vec<Recall>, ReadError> {
    let senders = spikes::senders(case);
    if senders.is_empty() {
        return Ok(Vec::new());
    }
    let limits = means.context.limits;
    let catalog = spikes::catalog(case, limits)?;
    let spool = Spool::new(means.context.scratch.clone());
    let subject = means.subject;
    let means = Means { catalog: &catalog, spool: &spool, only: Some(&senders), ..*means };
    let (_, harvests) = converse(indexes, &groups(indexes), &means)?;
    let outcome = correlate::conclude(&catalog, spool, harvests, limits)?;
    Ok(spikes::recalls(case, indexes, subject, &catalog, &outcome))
}

/// What the later stages of the road share.
pub(super) struct Road<'c> {
    pub(super) case: &'c Case,
    pub(super) limits: &'c Limits,
    pub(super) timeline: Timeline<'c>,
    pub(super) names: NameBook,
    pub(super) terms: HostTerms<'c>,
    pub(super) indexes: Vec<Index>,
    pub(super) subject: Subject,
    pub(super) catalog: Catalog,
    pub(super) observations: BTreeMap<FlowRef, Observation>,
}

impl Road<'_> {
    /// The capture that a flow belongs to.
    pub(super) fn index(&self, flow: FlowRef) -> Option<&Index> {
        self.indexes.get(flow.capture as usize)
    }
}

fn index_all(case: &Case, limits: &Limits) -> Result<Vec<Index>, ReadError> {
    case.captures.values().map(|capture| net::index(capture, limits)).collect()
}

/// What the plan lets decoding spend, where that is less than it would spend by itself, or a size of its own.
fn within_budget(limits: &Limits, budget: &Budget) -> Limits {
    Limits {
        max_depth: budget.depth.map_or(limits.max_depth, |depth| depth.min(limits.max_depth)),
        max_decoded: budget.decoded_bytes.unwrap_or(limits.max_decoded),
        ..*limits
    }
}

/// All flows, in order of capture and first frame; those that need each other stand together.
fn groups(indexes: &[Index]) -> Vec<Groups> {
    indexes.iter().map(Index::groups).collect()
}

/// A group by its number over all captures, with the capture's.
fn group(all: &[Groups], mut number: usize) -> Option<(u32, &[FlowId])> {
    for (capture, groups) in (0..).zip(all) {
        match number.checked_sub(groups.len()) {
            None => return Some((capture, groups.get(number)?)),
            Some(rest) => number = rest,
        }
    }
    None
}

type Conversed = (BTreeMap<FlowRef, Observation>, Vec<Harvest>);

/// What every conversation is walked with.
#[derive(Clone, Copy)]
struct Means<'m> {
    case: &'m Case,
    subject: &'m Subject,
    catalog: &'m Catalog,
    spool: &'m Spool,
    declared: &'m Declared<'m>,
    context: Context<'m>,
    /// Only what these machines sent and received, where it is asked for.
    only: Option<&'m BTreeSet<IpAddr>>,
}

/// Walks every conversation, several at once; each thread takes the next group that nobody has.
fn converse(indexes: &[Index], groups: &[Groups], means: &Means<'_>) -> Result<Conversed, ReadError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(FlowRef, Observation, Harvest)>, ReadError> {
        let mut done = Vec::new();
        while let Some((capture, group)) = group(groups, next.fetch_add(1, Ordering::Relaxed)) {
            let Some(index) = indexes.get(capture as usize) else { continue };
            let mut shared = Shared::default();
            let holds = |id: &FlowId| {
                index.flow(*id).is_some_and(|flow| {
                    let asked = |only: &BTreeSet<IpAddr>| {
                        only.contains(&flow.initiator.ip()) || only.contains(&flow.responder.ip())
                    };
                    means.only.is_none_or(asked) && Side::BOTH.into_iter().any(|side| flow.payload(side) > 0)
                })
            };
            for flow in group.iter().copied().filter(holds) {
                let task = FlowRef { capture, flow: flow.0 };
                let (seen, harvest) = conversation(index, task, means, &mut shared)?;
                done.push((task, seen, harvest));
            }
        }
        Ok(done)
    };
    let threads = means.context.limits.threads.clamp(1, groups.iter().map(Groups::len).sum::<usize>().max(1));
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut done: Vec<_> =
        results.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    done.sort_by_key(|(task, ..)| *task);
    let mut observations = BTreeMap::new();
    let mut harvests = Vec::with_capacity(done.len());
    for (task, seen, harvest) in done {
        observations.insert(task, seen);
        harvests.push(harvest);
    }
    across(indexes, means, &mut observations, &mut harvests)?;
    Ok((observations, harvests))
}

/// Puts together uploads whose parts went over several flows: from one machine to one endpoint family, in one run.
fn across(
    indexes: &[Index],
    means: &Means<'_>,
    observations: &mut BTreeMap<FlowRef, Observation>,
    harvests: &mut Vec<Harvest>,
) -> Result<(), ReadError> {
    let Some(first) = harvests.iter().find_map(Harvest::tells_of_parts) else { return Ok(()) };
    let (timeline, names) = (Timeline::new(means.case), names(observations));
    let terms = HostTerms::of(&means.case.plan.claims);
    let whose = |of: FlowRef, first: Timestamp, last: Timestamp| {
        let index = indexes.get(of.capture as usize)?;
        let flow = index.flow(FlowId(of.flow))?;
        let uplink = means.subject.uplink_side(flow);
        let sender = match uplink {
            Some(_) => "the phone".to_owned(),
            None => flow.address(Side::Initiator).ip().to_string(),
        };
        let remote = flow.address(uplink.unwrap_or(Side::Initiator).other());
        let family = endpoints::family(remote, observations.get(&of), &names, &terms);
        let run = |time| timeline.run_at(&index.capture, time).map(|run| run.id.as_str());
        // What goes on while one run ends and another begins is of neither.
        let run = Some(run(first)).filter(|one| *one == run(last))?;
        let family = family.unwrap_or_else(|| remote.ip().to_string());
        let within = run.map_or_else(|| format!("capture {}", of.capture), |run| format!("run {run}"));
        Some(format!("{sender}\n{family}\n{within}"))
    };
    let Means { catalog, spool, context, .. } = *means;
    let across = correlate::across(catalog, spool, harvests, context.limits, &whose)?;
    for (flow, frame, detail) in &across.settled {
        if let Some(seen) = observations.get_mut(flow) {
            seen.settle(AnomalyKind::CodingMismatch, *frame, detail);
        }
    }
    let detail = "uploads in more parts than are put together over several connections".to_owned();
    let beyond = across.beyond.then_some((first, AnomalyKind::LimitReached, None, detail));
    for (of, kind, frame, detail) in across.odd.into_iter().chain(beyond) {
        let index = indexes.get(of.capture as usize);
        let flow = index.and_then(|index| Some((index, index.flow(FlowId(of.flow))?)));
        let (Some((index, flow)), Some(seen)) = (flow, observations.get_mut(&of)) else { continue };
        let (capture, flow) = (index.capture.clone(), Some(flow.name(&index.capture)));
        seen.odd(Anomaly { kind, capture, frame, flow, detail });
    }
    harvests.extend(across.harvests);
    Ok(())
}

fn conversation(
    index: &Index,
    task: FlowRef,
    means: &Means<'_>,
    shared: &mut Shared,
) -> Result<(Observation, Harvest), ReadError> {
    let id = FlowId(task.flow);
    let Some(flow) = index.flow(id) else { return Ok(Default::default()) };
    // A flow between other machines is walked all the same: what another device sent is worth knowing.
    let uplink = means.subject.uplink_side(flow).unwrap_or(Side::Initiator);
    let (up, down) = (index.stream(id, uplink)?, index.stream(id, uplink.other())?);
    let name = flow.name(&index.capture);
    let mut collector = Collector::new(means.catalog, means.spool, task, means.context.limits);
    let mut observer = Observer {
        collector: &mut collector,
        capture: &index.capture,
        flow: &name,
        declared: means.declared,
        watch: Watch::new(means.declared),
        seen: Observation::default(),
    };
    let conversation = Conversation {
        transport: flow.transport,
        local: flow.address(uplink),
        remote: flow.address(uplink.other()),
        up: &up,
        down: &down,
    };
    decode::walk(&conversation, &means.context, shared, &mut observer)?;
    // What segments disagree about is no ground for what other connections carried.
    if !up.conflicts.is_empty() {
        observer.collector.forget_parts();
    }
    if means.subject.uplink_side(flow).is_some() {
        let frame = up.pieces.first().map(|piece| piece.frame);
        if let Some(detail) = hidden::constant_rate(&up) {
            Sink::anomaly(&mut observer, AnomalyKind::ConstantRate, frame, detail);
        }
        if hidden::speaks_rsync(&up)? {
            Sink::anomaly(&mut observer, AnomalyKind::DeltaProtocol, frame, "rsync".to_owned());
        }
    }
    // What was sent in another version was sent too.
    for (direction, side) in [(Direction::Up, uplink), (Direction::Down, uplink.other())] {
        let conflicts = &conversation.stream(direction).conflicts;
        if !conflicts.is_empty() {
            let last = index.stream_last_wins(id, side)?;
            let ranges = conflicts.iter().map(|conflict| conflict.range);
            decode::disputed(&last, ranges, direction, means.context.limits, &mut observer)?;
        }
    }
    let mut seen = observer.seen;
    for message in &mut seen.declared {
        message.time = up.pieces_in(message.range).first().map_or(Timestamp(0), |piece| piece.time);
    }
    // Where the segment that stands in the stream was sent: the other one came later, most often within the round trip.
    for conflict in &up.conflicts {
        let time = up.pieces_in(conflict.range).first().map_or(Timestamp(0), |piece| piece.time);
        *seen.disputed.entry(time.second()).or_default() += conflict.range.len();
    }
    seen.anomalies.extend(up.anomalies(&name));
    seen.anomalies.extend(down.anomalies(&name));
    Ok((seen, collector.finish()?))
}

fn names(observations: &BTreeMap<FlowRef, Observation>) -> NameBook {
    let mut names = NameBook::default();
    for (address, name) in observations.values().flat_map(|seen| &seen.resolved) {
        names.resolved(*address, name);
    }
    names
}

/// The digest of every input as it was read: captures and device files were digested on the way, small inputs
/// are digested here.
fn digests(case: &Case, road: &Road<'_>) -> Result<BTreeMap<String, InputDigest>, ReadError> {
    let mut digests = BTreeMap::new();
    for index in &road.indexes {
        let digest = InputDigest { sha256: index.container.digest, bytes: index.container.bytes };
        digests.insert(index.capture.clone(), digest);
    }
    for (path, (sha256, bytes)) in road.catalog.digests() {
        digests.insert(path.clone(), InputDigest { sha256: *sha256, bytes: *bytes });
    }
    for (path, input) in &case.inputs {
        if digests.contains_key(path) {
            continue;
        }
        let mut hasher = sha2::Sha256::default();
        let mut buffer = vec![0; 64 << 10];
        let mut offset = 0;
        loop {
            let read = input
                .blob
                .read_at(&mut buffer, offset)
                .map_err(|error| ReadError::new(path, offset, error))?;
            if read == 0 {
                break;
            }
            sha2::Digest::update(&mut hasher, buffer.get(..read).unwrap_or_default());
            offset = offset.saturating_add(read as u64);
        }
        digests.insert(path.clone(), InputDigest { sha256: Digest::finish(hasher), bytes: offset });
    }
    Ok(digests)
}

/// Odd traffic of the whole case, sorted: of containers, of frames, of conversations.
pub(super) fn anomalies(road: &Road<'_>) -> (Vec<Anomaly>, u64) {
    let mut all: Vec<Anomaly> = road
        .indexes
        .iter()
        .flat_map(|index| index.container.anomalies.iter().chain(&index.anomalies))
        .chain(road.observations.values().flat_map(|seen| &seen.anomalies))
        .cloned()
        .collect();
    all.sort_by(|a, b| {
        (&a.capture, a.frame, a.kind, &a.flow, &a.detail)
            .cmp(&(&b.capture, b.frame, b.kind, &b.flow, &b.detail))
    });
    let more: u64 = road.observations.values().map(|seen| seen.more_anomalies).sum();
    let count = all.len() as u64 + more;
    (all, count)
}

/// How often a stated limit was reached, in what is listed and what is not.
pub(super) fn limits_reached(road: &Road<'_>) -> u64 {
    let of_indexes =
        road.indexes.iter().flat_map(|index| index.container.anomalies.iter().chain(&index.anomalies));
    let of_indexes = of_indexes.filter(|anomaly| anomaly.kind == AnomalyKind::LimitReached).count() as u64;
    of_indexes + road.observations.values().map(|seen| seen.limits_reached).sum::<u64>()
}

/// Which stream of a flow a direction is.
pub(super) fn side(road: &Road<'_>, flow: FlowRef, direction: Direction) -> Option<(FlowId, Side)> {
    let id = FlowId(flow.flow);
    let uplink = road.subject.uplink_side(road.index(flow)?.flow(id)?).unwrap_or(Side::Initiator);
    Some((id, if direction == Direction::Up { uplink } else { uplink.other() }))
}
