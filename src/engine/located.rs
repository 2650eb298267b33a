//! Frames and times of hits, and the place of each uplink byte.
//!
//! Streams are put together a second time here, by reference: which frames carry which bytes is kept for
//! no longer than one flow.

use std::collections::BTreeMap;

use super::{
    analyze::{Road, side},
    correlate::{Artifact, FlowRef, Hit, Outcome},
    endpoints::{self, Endpoints},
    ledger::{self, LedgerBuilder, PlaceMap},
    net::{Flow, FlowId, Index, Side, stream::Stream},
    observe::Observation,
    timeline::{window_at, window_id},
};
use crate::{
    evidence::{ByteRange, Direction, FrameRange, ReadError, Timestamp, Transport},
    findings::{FlowSummary, Grade, Ledger, Places},
};

/// What stands for a phase where a moment lies in no run.
const NO_PHASE: &str = "outside any run";

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
    /// Every flow of the phone, by capture and first frame.
    pub(super) flows: Vec<FlowSummary>,
    /// Endpoint families, by flow.
    pub(super) families: BTreeMap<FlowRef, String>,
    /// The place of each uplink byte.
    pub(super) ledger: Ledger,
    /// Remote ends.
    pub(super) endpoints: Endpoints,
}

/// Walks every flow once more.
///
/// # Errors
/// When a capture can't be read any more or is not what it was.
pub(super) fn locate(road: &Road<'_>, outcome: &Outcome) -> Result<Located, ReadError> {
    let mut by_flow: BTreeMap<FlowRef, Vec<&Hit>> = BTreeMap::new();
    for hit in &outcome.hits {
        by_flow.entry(hit.leaf.flow).or_default().push(hit);
    }
    let mut walk = Walk {
        road,
        located: Located {
            carriages: BTreeMap::new(),
            flows: Vec::new(),
            families: BTreeMap::new(),
            ledger: LedgerBuilder::default().finish(),
            endpoints: Endpoints::default(),
        },
        ledger: expected_windows(road),
    };
    for (capture, index) in (0..).zip(&road.indexes) {
        for flow in &index.flows {
            let flow_ref = FlowRef { capture, flow: flow.id.0 };
            walk.flow(index, flow, flow_ref, by_flow.get(&flow_ref).map_or(&[], Vec::as_slice))?;
        }
    }
    walk.located.ledger = walk.ledger.finish();
    Ok(walk.located)
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
    located: Located,
    ledger: LedgerBuilder,
}

impl Walk<'_, '_> {
    fn flow(&mut self, index: &Index, flow: &Flow, at: FlowRef, hits: &[&Hit]) -> Result<(), ReadError> {
        let road = self.road;
        let uplink = road.subject.uplink_side(flow);
        let Some((id, up_side)) = side(road, at, Direction::Up) else { return Ok(()) };
        let up = index.stream(id, up_side)?;
        self.carry(&up, Direction::Up, hits);
        if hits.iter().any(|hit| hit.leaf.direction == Direction::Down) {
            let down = index.stream(id, up_side.other())?;
            self.carry(&down, Direction::Down, hits);
        }
        let family = self.family(flow, at, up_side);
        self.located.families.insert(at, family.clone());
        // A flow of other machines is none of the phone's uplink.
        if uplink.is_none() {
            return Ok(());
        }
        let matched = ByteRange::unite(
            hits.iter().filter(|hit| self.counts(hit)).flat_map(|hit| hit.stream_ranges.clone()),
        );
        let nothing = PlaceMap::default();
        let places = road.observations.get(&at).map_or(&nothing, |seen| &seen.places);
        let mut sum = Places::default();
        let destination = format!("{family} ({})", flow.address(up_side.other()));
        ledger::account(&up, places, &matched, |time, places| {
            let run = road.timeline.run_at(&index.capture, time);
            let window =
                run.and_then(|run| window_at(run, time).map(|action| (action.start, window_id(run, action))));
            self.ledger.add(run.map_or(NO_PHASE, |run| &run.phase), &destination, window, places);
            sum.add(places);
        });
        self.summarize(index, flow, id, at, up_side, sum);
        Ok(())
    }

    /// Finds frames and times of the hits of one direction.
    fn carry(&mut self, stream: &Stream, direction: Direction, hits: &[&Hit]) {
        for hit in hits.iter().filter(|hit| hit.leaf.direction == direction) {
            let pieces = || hit.stream_ranges.iter().flat_map(|range| stream.pieces_in(*range));
            let (Some(first), Some(last)) =
                (pieces().map(|piece| piece.time).min(), pieces().map(|piece| piece.time).max())
            else {
                continue;
            };
            let ambiguous = stream.conflicts.iter().any(|conflict| {
                hit.stream_ranges.iter().any(|range| range.intersection(conflict.range).is_some())
            });
            let frames = FrameRange::unite(pieces().map(|piece| piece.frame));
            self.located.carriages.insert(HitKey::of(hit), Carriage { frames, first, last, ambiguous });
        }
    }

    /// Whether a hit's bytes are matched in the ledger: probative, not disputed, and (unless the whole leaf was the
    /// file) byte for byte in the stream.
    fn counts(&self, hit: &Hit) -> bool {
        hit.leaf.direction == Direction::Up
            && hit.probative
            && (!hit.transformed || hit.grade == Grade::Exact)
            && self.located.carriages.get(&HitKey::of(hit)).is_some_and(|carriage| !carriage.ambiguous)
    }

    fn family(&self, flow: &Flow, at: FlowRef, up_side: Side) -> String {
        let nothing = Observation::default();
        let seen = self.road.observations.get(&at).unwrap_or(&nothing);
        endpoints::family(flow.address(up_side.other()), seen, &self.road.names, &self.road.terms)
    }

    fn summarize(
        &mut self,
        index: &Index,
        flow: &Flow,
        id: FlowId,
        at: FlowRef,
        up_side: Side,
        uplink: Places,
    ) {
        let road = self.road;
        let seen = road.observations.get(&at);
        let remote = flow.address(up_side.other());
        let run = road.timeline.run_at(&index.capture, flow.first);
        let downlink = flow.payload(up_side.other());
        let endpoint = self.located.endpoints.entry(remote, flow.transport);
        endpoint.uplink_bytes += uplink.total;
        endpoint.downlink_bytes += downlink;
        endpoint.phases.extend(run.map(|run| run.phase.clone()));
        let names = seen.map_or_else(Vec::new, Observation::names);
        endpoint.names.extend(names.iter().cloned());
        let opened_by = match opener(flow) {
            None => "not seen",
            Some(side) if side == up_side => "phone",
            Some(_) => "remote",
        };
        self.located.flows.push(FlowSummary {
            name: flow.name(&index.capture),
            capture: index.capture.clone(),
            first_frame: flow.first_frame,
            community_id: flow.community_id(),
            transport: flow.transport,
            local: flow.address(up_side).to_string(),
            remote: remote.to_string(),
            names,
            protocol: seen.and_then(|seen| seen.protocol).unwrap_or("unknown").to_owned(),
            frames: u64::from(index.flow(id).map_or(0, |flow| flow.frames)),
            first: flow.first,
            last: flow.last,
            uplink,
            downlink_bytes: downlink,
            handshake: flow.handshake,
            opened_by: opened_by.to_owned(),
            run: run.map(|run| run.id.clone()),
        });
    }
}

/// Who opened a flow: who sent the SYN, where it was captured; of datagrams, who sent the first.
fn opener(flow: &Flow) -> Option<Side> {
    match flow.transport {
        Transport::Tcp => flow.syn_seen.then_some(Side::Initiator),
        Transport::Udp => Some(flow.first_sender()),
    }
}
