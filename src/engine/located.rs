//! Frames and times of hits, and the place of each uplink byte.
//!
//! Streams are put together a second time here, by reference: which frames carry which bytes is kept for
//! no longer than one flow.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, ptr,
};

use super::{
    analyze::{Road, side},
    correlate::{Artifact, FlowRef, Hit, Outcome},
    decode::LAST_VERSION,
    endpoints::{self, EndKey, Endpoints, Talk},
    ledger::{self, Destination, LedgerBuilder, PlaceMap},
    net::{
        Flow, FlowId, Index, Side,
        stream::{Conflict, Stream},
    },
    observe::Observation,
    timeline::{window_at, window_id},
    unasked::{self, Unasked},
    verdict,
    volume::{self, Burst, Uploads, Walked},
};
use crate::{
    case::scenario::plan::{ActionDone, Run},
    evidence::{ByteRange, Direction, FrameRange, ReadError, Scratch, Timestamp, Transport},
    findings::{FlowLines, FlowSummary, FlowWriter, Grade, Ledger, MAX_FLOWS, Places},
};

/// Where and when a hit was carried.
#[derive(Clone, Debug)]
pub(super) struct Carriage {
    /// The frames.
    pub(super) frames: Vec<FrameRange>,
    /// The earliest frame's time.
    pub(super) first: Timestamp,
    /// The latest frame's time.
    pub(super) last: Timestamp,
    /// Whether segments disagree about any of its bytes.
    pub(super) ambiguous: bool,
}

/// What tells a hit from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HitKey {
    flow: FlowRef,
    serial: u32,
    leaf: ByteRange,
    artifact: Artifact,
    range: ByteRange,
}

impl HitKey {
    /// The key of a hit.
    pub(super) fn of(hit: &Hit) -> Self {
        Self {
            flow: hit.leaf.flow,
            serial: hit.leaf.serial,
            leaf: hit.leaf_range,
            artifact: hit.artifact,
            range: hit.artifact_range,
        }
    }
}

/// What the second walk over the flows gives.
pub(super) struct Located {
    /// By hit; a hit whose bytes stand in no frame has none.
    pub(super) carriages: BTreeMap<HitKey, Carriage>,
    /// Flows of the phone, by capture and first frame: the first ones, those with hits, those that may carry a verdict.
    pub(super) flows: Vec<FlowSummary>,
    /// The ends of those that have hits or may carry a verdict.
    pub(super) judged: BTreeSet<EndKey>,
    /// Every flow of the phone.
    pub(super) lines: FlowLines,
    /// Endpoint families of flows with hits.
    pub(super) families: BTreeMap<FlowRef, String>,
    /// The place of each uplink byte.
    pub(super) ledger: Ledger,
    /// Remote ends.
    pub(super) endpoints: Endpoints,
    /// What was sent that nobody can read, by window.
    pub(super) uploads: Uploads,
}

/// Walks every flow once more.
///
/// # Errors
/// When a capture can't be read any more or is not what it was.
pub(super) fn locate(road: &Road<'_>, outcome: &Outcome, scratch: &Scratch) -> Result<Located, ReadError> {
    let mut by_flow: BTreeMap<FlowRef, Vec<&Hit>> = BTreeMap::new();
    for hit in &outcome.hits {
        by_flow.entry(hit.leaf.flow).or_default().push(hit);
    }
    let mut walk = Walk {
        road,
        carriages: BTreeMap::new(),
        flows: Vec::new(),
        judged: BTreeSet::new(),
        lines: FlowWriter::new(scratch),
        families: BTreeMap::new(),
        endpoints: Endpoints::default(),
        uploads: Uploads::default(),
        ledger: expected_windows(road),
        unasked: unasked::matters(&road.case.plan).then(Unasked::default),
    };
    for (capture, index) in (0..).zip(&road.indexes) {
        walk.unasked = walk.unasked.map(|_| Unasked::default());
        for flow in &index.flows {
            let flow_ref = FlowRef { capture, flow: flow.id.0 };
            walk.flow(index, flow, flow_ref, by_flow.get(&flow_ref).map_or(&[], Vec::as_slice))?;
        }
    }
    let Walk { carriages, flows, judged, lines, families, endpoints, uploads, ledger, .. } = walk;
    let lines = lines.finish().map_err(|error| ReadError::new("scratch file", 0, error))?;
    Ok(Located { carriages, flows, judged, lines, families, endpoints, uploads, ledger: ledger.finish() })
}

/// Windows stand in the ledger even when nothing was sent in them.
fn expected_windows(road: &Road<'_>) -> LedgerBuilder {
    let mut ledger = LedgerBuilder::default();
    for run in &road.case.runs {
        for action in &run.actions {
            ledger.expect_window(action.start, window_id(run, action));
        }
    }
    ledger
}

struct Walk<'r, 'c> {
    road: &'r Road<'c>,
    carriages: BTreeMap<HitKey, Carriage>,
    flows: Vec<FlowSummary>,
    judged: BTreeSet<EndKey>,
    lines: FlowWriter<'r>,
    families: BTreeMap<FlowRef, String>,
    endpoints: Endpoints,
    uploads: Uploads,
    ledger: LedgerBuilder,
    /// Of the capture that is walked, its flows in the order in which they began; none where no claim asks.
    unasked: Option<Unasked>,
}

impl<'r> Walk<'r, '_> {
    fn flow(&mut self, index: &Index, flow: &Flow, at: FlowRef, hits: &[&Hit]) -> Result<(), ReadError> {
        let road = self.road;
        let Some((id, up_side)) = side(road, at, Direction::Up) else { return Ok(()) };
        let up = index.stream(id, up_side)?;
        self.carry_both(index, &up, (id, up_side), Direction::Up, hits)?;
        if hits.iter().any(|hit| hit.leaf.direction == Direction::Down) {
            let side = up_side.other();
            self.carry_both(index, &index.stream(id, side)?, (id, side), Direction::Down, hits)?;
        }
        let remote = flow.address(up_side.other());
        let seen = road.observations.get(&at);
        let family = endpoints::family(remote, seen, &road.names, &road.terms);
        if !hits.is_empty() {
            self.families.insert(at, family.clone().unwrap_or_else(|| remote.ip().to_string()));
        }
        // A flow of other machines is none of the phone's uplink.
        if road.subject.uplink_side(flow).is_none() {
            return Ok(());
        }
        if let Some(unasked) = &mut self.unasked {
            unasked.add(&up, &index.stream(id, up_side.other())?);
        }
        let destination = self.ledger.destination(family.as_deref(), remote);
        let (sum, bursts) = self.account(index, &up, hits, seen, &destination);
        if !bursts.is_empty() {
            let address = remote.ip().to_string();
            let walked = Walked {
                capture: &index.capture,
                flow: &flow.name(&index.capture),
                family: family.as_deref().unwrap_or(&address),
                covers: seen.is_some_and(|seen| volume::covers(&seen.signs)),
            };
            self.uploads.take(&walked, bursts);
        }
        self.summarize(index, flow, at, up_side, sum, !hits.is_empty())
            .map_err(|error| ReadError::new("scratch file", 0, error))
    }

    /// Finds frames and times of the hits of one direction, in whichever version they stand.
    fn carry_both(
        &mut self,
        index: &Index,
        stream: &Stream,
        (id, side): (FlowId, Side),
        direction: Direction,
        hits: &[&Hit],
    ) -> Result<(), ReadError> {
        let own = hits.iter().copied().filter(|hit| hit.leaf.direction == direction);
        let (last, first): (Vec<&Hit>, Vec<&Hit>) = own.partition(|hit| is_last_version(hit));
        self.carry(stream, stream, first.into_iter());
        if !last.is_empty() {
            // What stands around disputed bytes was found in the first version.
            let touches = |hit: &&Hit| {
                let ranges = &hit.stream_ranges;
                let meets = |conflict: &Conflict| {
                    ranges.iter().any(|range| range.intersection(conflict.range).is_some())
                };
                stream.conflicts.iter().any(meets)
            };
            let other = index.stream_last_wins(id, side)?;
            self.carry(&other, stream, last.into_iter().filter(touches));
        }
        Ok(())
    }

    /// Finds the frames of hits in a version of a stream; `first` is its first version.
    fn carry<'h>(&mut self, stream: &Stream, first_version: &Stream, hits: impl Iterator<Item = &'h Hit>) {
        for hit in hits {
            let pieces = || hit.stream_ranges.iter().flat_map(|range| stream.pieces_in(*range));
            let (Some(first), Some(last)) =
                (pieces().map(|piece| piece.time).min(), pieces().map(|piece| piece.time).max())
            else {
                continue;
            };
            let ambiguous = first_version.conflicts.iter().any(|conflict| {
                hit.stream_ranges.iter().any(|range| range.intersection(conflict.range).is_some())
            });
            let frames = FrameRange::unite(pieces().map(|piece| piece.frame));
            self.carriages.insert(HitKey::of(hit), Carriage { frames, first, last, ambiguous });
        }
    }

    /// Whether a hit's bytes are matched in the ledger: probative, not disputed, and (unless the whole leaf was found)
    /// byte for byte in the stream.
    fn counts(&self, hit: &Hit) -> bool {
        hit.leaf.direction == Direction::Up
            && hit.probative
            && (!hit.transformed || hit.grade == Grade::Exact || is_whole_leaf(hit))
            && self.carriages.get(&HitKey::of(hit)).is_some_and(|carriage| !carriage.ambiguous)
    }

    /// Puts each uplink byte of a flow into the ledger, and adds them up.
    fn account(
        &mut self,
        index: &Index,
        up: &Stream,
        hits: &[&Hit],
        seen: Option<&Observation>,
        destination: &Destination,
    ) -> (Places, Vec<Burst<'r>>) {
        let road = self.road;
        let mut bursts = Vec::new();
        let matched = ByteRange::unite(
            hits.iter().filter(|hit| self.counts(hit)).flat_map(|hit| hit.stream_ranges.clone()),
        );
        let nothing = PlaceMap::default();
        let places = seen.map_or(&nothing, |seen| &seen.places);
        let mut sum = Places::default();
        // Segment after segment lies in the same run and window: they are added as one.
        let mut together: Option<(Moment<'_>, Places)> = None;
        let mut add = |moment: Moment<'_>, places: Places| {
            let window =
                moment.run.zip(moment.action).map(|(run, action)| (action.start, window_id(run, action)));
            let phase = moment.run.map_or(Ledger::OUTSIDE_RUNS, |run| &run.phase);
            self.ledger.add(phase, destination, window, places);
        };
        let sealed = ByteRange::unite(seen.into_iter().flat_map(|seen| seen.sealed.iter().copied()));
        ledger::account(up, places, &matched, &sealed, |time, piece, places| {
            sum.add(places);
            let moment = Moment::of(road, &index.capture, time);
            if let Some(window) = moment.run.zip(moment.action).filter(|_| places.opaque > 0) {
                volume::add(&mut bursts, window, time, piece, places.opaque);
            }
            match &mut together {
                Some((same, sum)) if *same == moment => sum.add(places),
                other => {
                    if let Some((moment, places)) = other.replace((moment, places)) {
                        add(moment, places);
                    }
                }
            }
        });
        if let Some((moment, places)) = together {
            add(moment, places);
        }
        (sum, bursts)
    }

    /// Writes a flow down, and keeps it where findings may list it or a verdict may ask for it.
    fn summarize(
        &mut self,
        index: &Index,
        flow: &Flow,
        at: FlowRef,
        up_side: Side,
        uplink: Places,
        has_hits: bool,
    ) -> io::Result<()> {
        let road = self.road;
        let seen = road.observations.get(&at);
        let remote = flow.address(up_side.other());
        let run = road.timeline.run_at(&index.capture, flow.first);
        let downlink = flow.payload(up_side.other());
        let names = seen.map_or_else(Vec::new, Observation::names);
        let talk = Talk {
            phase: run.map(|run| run.phase.as_str()),
            names: &names,
            signatures: seen.map(|seen| &seen.signatures),
            uplink_bytes: uplink.total,
            downlink_bytes: downlink,
        };
        self.endpoints.add(remote, flow.transport, &talk);
        let opened_by = match opener(flow) {
            None => "not seen",
            Some(side) if side == up_side => "phone",
            Some(_) => "remote",
        };
        let summary = FlowSummary {
            name: flow.name(&index.capture),
            capture: index.capture.clone(),
            first_frame: flow.first_frame,
            community_id: flow.community_id(),
            transport: flow.transport,
            local: flow.address(up_side).to_string(),
            remote: remote.to_string(),
            names,
            protocol: seen.and_then(|seen| seen.protocol).unwrap_or("unknown").to_owned(),
            frames: u64::from(flow.frames),
            first: flow.first,
            last: flow.last,
            uplink,
            downlink_bytes: downlink,
            handshake: flow.handshake,
            opened_by: opened_by.to_owned(),
            run: run.map(|run| run.id.clone()),
            unasked_ms: self.unasked.as_ref().and_then(|unasked| unasked.before(flow.first)),
        };
        self.lines.push(&summary)?;
        let judged = has_hits || verdict::may_connect(&summary);
        if judged {
            self.judged.insert((remote.ip(), remote.port(), flow.transport));
        }
        if judged || self.flows.len() < MAX_FLOWS {
            self.flows.push(summary);
        }
        Ok(())
    }
}

/// Whether every byte of a leaf was copied from one place of a file: a part that came in a coding of its own.
fn is_whole_leaf(hit: &Hit) -> bool {
    hit.grade == Grade::Partial && hit.leaf_range == ByteRange::new(0, hit.leaf.len)
}

/// Whether a hit stands in the version of disputed bytes that was captured last.
fn is_last_version(hit: &Hit) -> bool {
    hit.leaf.steps.first().is_some_and(|step| step.op == LAST_VERSION)
}

/// Where in the record a moment lies.
#[derive(Clone, Copy)]
struct Moment<'r> {
    run: Option<&'r Run>,
    action: Option<&'r ActionDone>,
}

impl<'r> Moment<'r> {
    fn of(road: &Road<'r>, capture: &str, time: Timestamp) -> Self {
        let run = road.timeline.run_at(capture, time);
        Self { run, action: run.and_then(|run| window_at(run, time)) }
    }
}

/// The same entries of the record.
impl PartialEq for Moment<'_> {
    fn eq(&self, other: &Self) -> bool {
        let same_run = self.run.map(ptr::from_ref) == other.run.map(ptr::from_ref);
        same_run && self.action.map(ptr::from_ref) == other.action.map(ptr::from_ref)
    }
}

/// Who opened a flow: who sent the SYN, where it was captured; of datagrams, who sent the first.
fn opener(flow: &Flow) -> Option<Side> {
    match flow.transport {
        Transport::Tcp => flow.syn_seen.then_some(Side::Initiator),
        Transport::Udp => Some(flow.first_sender()),
    }
}
