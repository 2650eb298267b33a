//! Uploads whose parts go over several connections, put together when all conversations are through.
//!
//! The content of each part is in the spool, as a leaf that is no whole file; where requests name their part
//! ([`Sink::part`]) it is remembered there which leaf that is. Parts of one upload become one stream by reference, and what is
//! found in it is told of each connection that carried bytes of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    catalog::Catalog,
    collector::{Collector, Harvest, Provenance, Told},
    hit::{Artifact, FlowRef, Hit, Leaf},
    origin::Run,
    spool::{Extent, SCRATCH, Spool, Store},
};
use crate::{
    engine::{
        decode::{
            self, Sent,
            sink::{LeafId, NamedPart, Origin, PARTS, Sink, Source, TransactionId},
        },
        net::stream::{Piece, Stream},
    },
    evidence::{AnomalyKind, ByteRange, Digest, FrameNo, Limits, ReadError, Step, Timestamp},
};

/// Parts that are put together in one case: some 30 MiB of places, for 320 GB in the smallest parts that Amazon S3 takes.
const MAX_PARTS: usize = 1 << 16;

/// Parts of one upload, as within one connection.
const MAX_OF_ONE: usize = 1_000;

/// The number of a capture that there is none of: flows of it are uploads that went over several connections.
const JOINED: u32 = u32::MAX;

impl FlowRef {
    /// The place of an upload among flows.
    fn joined(number: u32) -> Self {
        Self { capture: JOINED, flow: number }
    }

    /// Whether it stands for an upload that went over several flows.
    pub(super) fn is_joined(self) -> bool {
        self.capture == JOINED
    }
}

/// A part with the leaf that holds its content.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredPart {
    pub(super) part: NamedPart,
    pub(super) transaction: u32,
    /// Its number in the conversation.
    pub(super) serial: u32,
    pub(super) origin: Extent,
    pub(super) extents: Vec<Extent>,
}

/// The parts that an upload is made of, one after the other.
#[derive(Debug, Default)]
pub(super) struct Legs(Vec<Leg>);

/// A part of an upload.
#[derive(Debug)]
struct Leg {
    /// Where it stands among the others.
    range: ByteRange,
    flow: FlowRef,
    /// Where its leaf came from.
    origin: Extent,
}

/// What the parts of uploads give together.
#[derive(Debug, Default)]
pub struct Across {
    /// What was found.
    pub harvests: Vec<Harvest>,
    /// What was said of the coding of parts, by flow, and does not hold, since what they make was decoded to its end.
    pub settled: Vec<(FlowRef, Option<FrameNo>, String)>,
    /// Odd traffic, with the flow of the first part.
    pub odd: Vec<(FlowRef, AnomalyKind, Option<FrameNo>, String)>,
    /// Whether more parts were told of than are remembered.
    pub beyond: bool,
}

/// Puts together what went over several flows. Parts belong together where they are of one upload by method, host and target,
/// and `whose` gives one word for them: who sent it, where to, in which run. A part for which it gives none belongs to none.
///
/// # Errors
/// When the scratch file can't be read or written.
pub fn across(
    catalog: &Catalog,
    spool: &Spool,
    harvests: &[Harvest],
    limits: &Limits,
    whose: &dyn Fn(FlowRef, Timestamp, Timestamp) -> Option<String>,
) -> Result<Across, ReadError> {
    let mut all = Across::default();
    let mut uploads: BTreeMap<(String, Digest), Vec<(FlowRef, StoredPart)>> = BTreeMap::new();
    let mut held = 0;
    for Told { flow, listed, more } in harvests.iter().filter_map(|harvest| harvest.parts.as_deref()) {
        all.beyond |= *more;
        let (flow, listed) = (*flow, *listed);
        let parts: Vec<StoredPart> = serde_json::from_slice(&spool.read(listed)?)
            .map_err(|error| ReadError::new(SCRATCH, listed.at, error.into()))?;
        for stored in parts {
            if held >= MAX_PARTS {
                all.beyond = true;
                break;
            }
            let NamedPart { upload, first, last, .. } = stored.part;
            let Some(whose) = whose(flow, first, last) else { continue };
            held += 1;
            uploads.entry((whose, upload)).or_default().push((flow, stored));
        }
    }
    let mut number = 0;
    for mut parts in uploads.into_values() {
        let flows: BTreeSet<FlowRef> = parts.iter().map(|(flow, _)| *flow).collect();
        if flows.len() < 2 {
            continue;
        }
        parts.sort_by_key(|(flow, stored)| (stored.part.first, *flow, stored.serial));
        all.beyond |= parts.len() > MAX_OF_ONE;
        parts.truncate(MAX_OF_ONE);
        all.upload(catalog, spool, FlowRef::joined(number), &parts, limits)?;
        number += 1;
    }
    Ok(all)
}

impl Across {
    fn upload(
        &mut self,
        catalog: &Catalog,
        spool: &Spool,
        joined: FlowRef,
        parts: &[(FlowRef, StoredPart)],
        limits: &Limits,
    ) -> Result<(), ReadError> {
        let mut stream = Stream::empty(SCRATCH, spool.blob());
        stream.from_start = true;
        let (mut legs, mut at) = (Legs::default(), 0);
        for (flow, StoredPart { part, origin, extents, .. }) in parts {
            let start = at;
            for extent in extents {
                let range = ByteRange::new(at, at + extent.len);
                stream.pieces.push(Piece { range, at: extent.at, frame: part.frame, time: part.first });
                at = range.end;
            }
            legs.0.push(Leg { range: ByteRange::new(start, at), flow: *flow, origin: *origin });
        }
        let flows: BTreeSet<FlowRef> = parts.iter().map(|(flow, _)| *flow).collect();
        let flows: Vec<FlowRef> = flows.into_iter().collect();
        let sent: Vec<Sent<'_>> = (parts.iter().zip(&legs.0))
            .map(|((flow, stored), leg)| Sent {
                part: &stored.part,
                content: leg.range,
                connection: flows.partition_point(|other| other < flow),
            })
            .collect();
        let collector = Collector::new(catalog, spool, joined, limits);
        let mut taker = Taker { collector, odd: Vec::new() };
        let settled = decode::across(&stream, &sent, limits, &mut taker)?;
        let Taker { collector, odd } = taker;
        let mut harvest = collector.finish()?;
        harvest.legs = Some(Box::new((joined, legs)));
        self.harvests.push(harvest);
        if let Some((first, _)) = parts.first() {
            self.odd.extend(odd.into_iter().map(|(kind, frame, detail)| (*first, kind, frame, detail)));
        }
        for (flow, stored) in settled.into_iter().filter_map(|no| parts.get(no)) {
            let said = stored.part.said.iter().cloned();
            self.settled.extend(said.map(|(frame, detail)| (*flow, frame, detail)));
        }
        Ok(())
    }
}

/// Takes the leaves of an upload. Places of bytes were told with the parts.
struct Taker<'c> {
    collector: Collector<'c>,
    odd: Vec<(AnomalyKind, Option<FrameNo>, String)>,
}

impl Sink for Taker<'_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        self.collector.open(origin)
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        self.collector.write(leaf, bytes, from);
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        let _ = self.collector.close(leaf, steps);
    }

    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        self.odd.push((kind, frame, detail));
    }
}

/// Tells hits in uploads by the flows that carried them.
pub(super) struct Splitter<'s> {
    store: &'s Store,
    uploads: BTreeMap<FlowRef, Legs>,
    /// Leaves that went over several flows, by upload and number in it.
    leaves: BTreeMap<(FlowRef, u32), u32>,
}

impl<'s> Splitter<'s> {
    pub(super) fn new(store: &'s Store, harvests: &mut [Harvest]) -> Self {
        let uploads =
            harvests.iter_mut().filter_map(|harvest| harvest.legs.take()).map(|legs| *legs).collect();
        Self { store, uploads, leaves: BTreeMap::new() }
    }

    /// A hit as it is, or for each part of an upload what it carried of it. `runs` say which bytes of the leaf came from where.
    pub(super) fn split(&mut self, hit: Hit, runs: &[Run]) -> Result<Vec<Hit>, ReadError> {
        if !hit.leaf.flow.is_joined() {
            return Ok(vec![hit]);
        }
        let next = u32::try_from(self.leaves.len()).unwrap_or(u32::MAX);
        let joined = *self.leaves.entry((hit.leaf.flow, hit.leaf.serial)).or_insert(next);
        let Some(Legs(legs)) = self.uploads.get(&hit.leaf.flow) else { return Ok(Vec::new()) };
        let mut split = Vec::new();
        for (no, leg) in legs.iter().enumerate() {
            if let Some(carried) = self.carried(&hit, runs, (no, leg), joined)? {
                split.push(carried);
            }
        }
        Ok(split)
    }

    /// What a part carried of a hit.
    fn carried(
        &self,
        hit: &Hit,
        runs: &[Run],
        (no, leg): (usize, &Leg),
        joined: u32,
    ) -> Result<Option<Hit>, ReadError> {
        let here: Vec<ByteRange> =
            hit.stream_ranges.iter().filter_map(|range| range.intersection(leg.range)).collect();
        if here.is_empty() {
            return Ok(None);
        }
        let is_content = matches!(hit.artifact, Artifact::Content(_));
        let parts = runs.iter().filter_map(|run| run.within(leg.range));
        let leaf_range = parts.filter_map(|part| part.intersection(hit.leaf_range)).reduce(hull);
        let leaf_range = leaf_range.filter(|_| is_content).unwrap_or(hit.leaf_range);
        let moved = |at: u64| hit.artifact_range.start + (at - hit.leaf_range.start);
        let artifact_range = if is_content {
            ByteRange::new(moved(leaf_range.start), moved(leaf_range.end))
        } else {
            hit.artifact_range
        };
        let of: Provenance = serde_json::from_slice(&self.store.read(leg.origin)?)
            .map_err(|error| ReadError::new(SCRATCH, leg.origin.at, error.into()))?;
        let (mut stream_ranges, mut transformed) = (Vec::new(), hit.transformed);
        for range in here {
            let own = ByteRange::new(range.start - leg.range.start, range.end - leg.range.start);
            let (ranges, other) = of.map.trace(own);
            stream_ranges.extend(ranges);
            transformed |= other;
        }
        let mut steps = hit.leaf.steps.clone();
        for step in steps.iter_mut().filter(|step| step.op == PARTS) {
            let listed = step.param.take().unwrap_or_default();
            Step::ACROSS.clone_into(&mut step.op);
            step.param = Some(format!("{} of {listed}", no + 1));
            step.input = ByteRange::new(0, leg.range.len());
        }
        let leaf = Leaf {
            flow: leg.flow,
            // Conversations count theirs from 0.
            serial: u32::MAX.saturating_sub(joined),
            direction: of.direction,
            transaction: of.transaction.map(TransactionId),
            steps: of.steps.into_iter().chain(steps).collect(),
            len: hit.leaf.len,
            joined: Some(joined),
        };
        let within = |ranges: &[ByteRange]| -> Vec<ByteRange> {
            ranges.iter().filter_map(|range| range.intersection(artifact_range)).collect()
        };
        Ok(Some(Hit {
            leaf: leaf.into(),
            leaf_range,
            artifact_range,
            stream_ranges: ByteRange::unite(stream_ranges),
            transformed,
            probative_ranges: within(&hit.probative_ranges),
            shared_ranges: within(&hit.shared_ranges),
            ..hit.clone()
        }))
    }
}

fn hull(one: ByteRange, other: ByteRange) -> ByteRange {
    ByteRange::new(one.start.min(other.start), one.end.max(other.end))
}
