//! The end of correlation: parts of files are looked for, and every hit is weighed.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use super::{
    across::Splitter,
    catalog::{Catalog, ContentId},
    chance::Chance,
    collector::{Harvest, Provenance},
    hit::{Artifact, Caveat, FlowRef, Found, Hit, Leaf},
    lists::{self, Lists},
    needles::Form,
    origin::StreamMap,
    partial::{self, Effort, Run, Runs},
    pictures::{self, Copies},
    spool::{SCRATCH, Spool, Store},
    tokens::{self, Token},
    weight::Weight,
};
use crate::{
    engine::decode::sink::{PARTS, TransactionId},
    evidence::{ByteRange, Limits, ReadError, Step},
    findings::Grade,
};

/// What correlation gives.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// Sorted by flow, leaf, place in the leaf, artifact and place in the artifact.
    pub hits: Vec<Hit>,
    /// Bytes of leaves that were searched, both directions.
    pub searched: u64,
    /// Stated limits that were reached, in plain words; each belongs into the findings as an anomaly
    /// (`limit_reached`), since something may have been left out.
    pub limits_reached: Vec<String>,
}

/// Looks for parts of files in what was no whole file, and weighs every hit.
///
/// # Errors
/// When a device file or the scratch file can't be read, or a file is not what it was.
pub fn conclude(
    catalog: &Catalog,
    spool: Spool,
    mut harvests: Vec<Harvest>,
    limits: &Limits,
) -> Result<Outcome, ReadError> {
    let store = spool.close()?;
    let mut splitter = Splitter::new(&store, &mut harvests);
    let leaves = store.leaves.iter().map(|leaf| leaf.len).sum();
    let effort = Effort::new(limits.min_run, limits.threads, leaves);
    let runs = partial::search(catalog, &store, effort)?;
    let copies = pictures::search(catalog, &store, &runs.runs, limits.threads)?;
    let totals = Totals {
        searched: harvests.iter().map(|harvest| harvest.searched).sum(),
        leaves: harvests.iter().map(|harvest| harvest.leaves).sum(),
        named_fields: harvests.iter().map(|harvest| harvest.named_fields).sum(),
        device: catalog.bytes(),
        pictures: copies.compared,
        tokens: harvests.iter().map(|harvest| harvest.tokens.len() as u64).sum(),
    };
    let limits_reached = limits_reached(catalog, &harvests, &runs, &copies);
    let (mut found, mut candidates) = (Vec::new(), Vec::new());
    for harvest in harvests {
        found.extend(harvest.found);
        candidates.extend(harvest.tokens);
    }
    found.extend(describe_digests(catalog, &candidates, limits.threads)?);
    found.extend(describe(&store, &runs.runs)?);
    found.extend(describe_copies(catalog, &store, &copies)?);
    let scales = Scales::new(catalog, &found)?;
    let beside = Beside::new(catalog, &found);
    let lists = Lists::new(catalog, &found, totals.searched);
    let mut hits: Vec<Hit> = Vec::with_capacity(found.len());
    for mut found in found {
        let runs = std::mem::take(&mut found.runs);
        let hit = weigh(found, catalog, &scales, (&totals, &beside, &lists));
        hits.extend(splitter.split(hit, &runs)?);
    }
    hits.sort_by(|one, other| one.key().cmp(&other.key()));
    let hits = each_part_once(each_place_once(hits));
    Ok(Outcome { hits, searched: totals.searched, limits_reached })
}

/// What is found in a part of an upload is found again in the parts together. Content that lies in what was found there of
/// the same file, byte for byte, is listed with that; a value is listed with the part.
fn each_part_once(hits: Vec<Hit>) -> Vec<Hit> {
    let joined = |hit: &Hit| hit.leaf.steps.iter().any(|step| step.op == PARTS || step.op == Step::ACROSS);
    if !hits.iter().any(joined) {
        return hits;
    }
    let whose = |hit: &Hit| (hit.leaf.flow, hit.leaf.direction, hit.artifact);
    let is_content = |hit: &Hit| matches!(hit.artifact, Artifact::Content(_));
    let mut together: BTreeMap<_, (Vec<ByteRange>, Vec<ByteRange>)> = BTreeMap::new();
    for hit in hits.iter().filter(|hit| joined(hit) && is_content(hit)) {
        let (stream, artifact) = together.entry(whose(hit)).or_default();
        stream.extend(&hit.stream_ranges);
        artifact.push(hit.artifact_range);
    }
    for (stream, artifact) in together.values_mut() {
        *stream = ByteRange::unite(std::mem::take(stream));
        *artifact = ByteRange::unite(std::mem::take(artifact));
    }
    let place = |hit: &Hit| {
        (whose(hit), hit.form, hit.leaf_range, hit.stream_ranges.first().map(|range| range.start))
    };
    let alone: BTreeSet<_> = hits.iter().filter(|hit| !joined(hit) && !is_content(hit)).map(place).collect();
    let told = |hit: &Hit| match (is_content(hit), joined(hit)) {
        (true, false) => together.get(&whose(hit)).is_some_and(|(stream, artifact)| {
            // What was consumed for bytes is told roughly where chunks lie between.
            let stands = |range: &ByteRange| match hit.transformed {
                true => meets(stream, *range),
                false => holds(stream, *range),
            };
            let is_part = hit.grade == Grade::Partial && holds(artifact, hit.artifact_range);
            is_part && hit.stream_ranges.iter().all(stands)
        }),
        (false, true) => alone.contains(&place(hit)),
        _ => false,
    };
    let keep: Vec<bool> = hits.iter().map(|hit| !told(hit)).collect();
    hits.into_iter().zip(keep).filter_map(|(hit, keep)| keep.then_some(hit)).collect()
}

/// Whether one of the ranges, which are sorted and apart, holds all of another.
fn holds(ranges: &[ByteRange], range: ByteRange) -> bool {
    let first = ranges.partition_point(|one| one.end < range.end);
    ranges.get(first).is_some_and(|one| one.start <= range.start)
}

/// Whether one of such ranges shares bytes with another.
fn meets(ranges: &[ByteRange], range: ByteRange) -> bool {
    let first = ranges.partition_point(|one| one.end <= range.start);
    ranges.get(first).is_some_and(|one| one.start < range.end)
}

/// A value that stands in its container as it is, and fills a field of it, is found in both. Of hits of one value in the
/// same bytes of the stream the least likely by luck is kept, else the first.
fn each_place_once(hits: Vec<Hit>) -> Vec<Hit> {
    let place = |hit: &Hit| {
        let is_value = matches!(hit.artifact, Artifact::Value(_) | Artifact::HashOf(_));
        let plain = is_value && !hit.transformed;
        plain.then(|| (hit.leaf.flow, hit.leaf.direction, hit.artifact, hit.form, hit.stream_ranges.clone()))
    };
    let mut best: BTreeMap<_, (Chance, usize)> = BTreeMap::new();
    for (no, hit) in hits.iter().enumerate() {
        if let Some(place) = place(hit) {
            let kept = best.entry(place).or_insert((hit.chance, no));
            *kept = (*kept).min((hit.chance, no));
        }
    }
    let kept = |(no, hit): (usize, &Hit)| {
        place(hit).is_none_or(|place| best.get(&place).is_some_and(|one| one.1 == no))
    };
    let keep: Vec<bool> = hits.iter().enumerate().map(kept).collect();
    hits.into_iter().zip(keep).filter_map(|(hit, keep)| keep.then_some(hit)).collect()
}

fn limits_reached(catalog: &Catalog, harvests: &[Harvest], runs: &Runs, copies: &Copies) -> Vec<String> {
    let omitted: u64 = harvests.iter().map(|harvest| harvest.omitted).sum();
    let mut reached = Vec::new();
    if catalog.needles.omitted > 0 {
        reached.push(format!(
            "{} values of records were not looked for, because there are too many",
            catalog.needles.omitted
        ));
    }
    for (path, problems) in catalog.record_problems() {
        reached.push(format!("{path}: records may be missing: {}", problems.join("; ")));
    }
    if omitted > 0 {
        reached.push(format!("{omitted} more places of identifiers already found are not listed"));
    }
    if runs.beyond > 0 {
        reached.push(format!("{} bytes of device files were not looked for in part", runs.beyond));
    }
    if copies.beyond > 0 {
        reached.push(format!("{} pictures were not compared with photos", copies.beyond));
    }
    let [sent, held] = copies.unread;
    if sent > 0 {
        reached.push(format!(
            "{sent} pictures that were sent can't be decoded (GIF, HEIC, AVIF, damaged): whether they \
             are altered copies of photos was not looked at"
        ));
    }
    if held > 0 {
        reached.push(format!(
            "{held} photos of the device can't be decoded (GIF, HEIC, AVIF, damaged): altered copies of them were not \
             looked for"
        ));
    }
    if !runs.curtailed.is_empty() {
        reached.push(format!(
            "{} leaves resemble the device in too many places and were not compared to the end",
            runs.curtailed.len()
        ));
    }
    reached
}

/// Gives each run the provenance of its leaf and what of it is shared.
fn describe(store: &Store, runs: &[Run]) -> Result<Vec<Found>, ReadError> {
    let mut found = Vec::with_capacity(runs.len());
    for runs in runs.chunk_by(|one, other| one.leaf == other.leaf) {
        let Some((leaf, map)) = runs.first().map(|run| provenance(store, run.leaf)).transpose()?.flatten()
        else {
            continue;
        };
        let common = common(runs);
        for run in runs {
            let (stream_ranges, transformed) = map.trace(run.leaf_range());
            let runs = if leaf.flow.is_joined() { map.runs(run.leaf_range()).to_vec() } else { Vec::new() };
            found.push(Found {
                leaf: leaf.clone(),
                artifact: Artifact::Content(run.content),
                grade: Grade::Partial,
                leaf_range: run.leaf_range(),
                artifact_range: run.artifact_range(),
                stream_ranges,
                transformed,
                shared: shared(run, &common),
                inside_longer: false,
                beginning: false,
                form: Form::Plain,
                distance: None,
                weight: 0,
                in_context: false,
                runs,
            });
        }
    }
    Ok(found)
}

/// A leaf that was kept, and where in the stream its bytes come from.
fn provenance(store: &Store, no: usize) -> Result<Option<(Arc<Leaf>, StreamMap)>, ReadError> {
    let Some(stored) = store.leaves.get(no) else { return Ok(None) };
    let origin: Provenance = serde_json::from_slice(&store.read(stored.origin)?)
        .map_err(|error| ReadError::new(SCRATCH, stored.origin.at, error.into()))?;
    let leaf = Arc::new(Leaf {
        flow: stored.flow,
        serial: stored.serial,
        direction: origin.direction,
        transaction: origin.transaction.map(TransactionId),
        steps: origin.steps,
        len: stored.len,
        joined: None,
    });
    Ok(Some((leaf, origin.map)))
}

/// Gives each altered copy the provenance of its leaf.
fn describe_copies(catalog: &Catalog, store: &Store, copies: &Copies) -> Result<Vec<Found>, ReadError> {
    let mut found = Vec::with_capacity(copies.copies.len());
    for copy in &copies.copies {
        let Some((leaf, map)) = provenance(store, copy.leaf)? else { continue };
        let Some(content) = catalog.content(copy.content) else { continue };
        let (picture, photo) = (ByteRange::new(0, leaf.len), ByteRange::new(0, content.len));
        let (stream_ranges, transformed) = map.trace(picture);
        found.push(Found {
            leaf,
            artifact: Artifact::CopyOf(copy.content),
            grade: Grade::Derived,
            leaf_range: picture,
            artifact_range: photo,
            stream_ranges,
            transformed,
            shared: if copy.shared { vec![photo] } else { Vec::new() },
            inside_longer: false,
            beginning: false,
            form: Form::Plain,
            distance: Some(copy.likeness.distance()),
            weight: copy.likeness.weight(),
            in_context: false,
            runs: Vec::new(),
        });
    }
    Ok(found)
}

/// Tokens that are the hash of a file.
fn describe_digests(catalog: &Catalog, tokens: &[Token], threads: usize) -> Result<Vec<Found>, ReadError> {
    let matched = tokens::matched(catalog, tokens, threads)?;
    let found = matched.into_iter().filter_map(|(no, content, hash)| {
        let token = tokens.get(no)?;
        Some(Found {
            leaf: token.leaf.clone(),
            artifact: Artifact::DigestOf(content),
            grade: Grade::Identifier,
            leaf_range: token.leaf_range,
            artifact_range: ByteRange::new(0, token.leaf_range.len()),
            stream_ranges: token.stream_ranges.clone(),
            transformed: token.transformed,
            shared: Vec::new(),
            inside_longer: false,
            beginning: false,
            form: Form::Hash(hash, token.written),
            distance: None,
            // 301 thousandths of a decade a bit; more than MD5 has adds nothing.
            weight: (token.value.len() as u64 * 8 * 301).min(38_500),
            in_context: false,
            runs: Vec::new(),
        })
    });
    Ok(found.collect())
}

/// Ranges of one leaf that were found in more than one content.
fn common(runs: &[Run]) -> Vec<ByteRange> {
    let mut of_content: BTreeMap<ContentId, Vec<ByteRange>> = BTreeMap::new();
    for run in runs {
        of_content.entry(run.content).or_default().push(run.leaf_range());
    }
    let mut ends: Vec<(u64, i32)> = Vec::new();
    for ranges in of_content.into_values() {
        for range in ByteRange::unite(ranges) {
            ends.extend([(range.start, 1), (range.end, -1)]);
        }
    }
    ends.sort_unstable();
    let (mut depth, mut since, mut common) = (0, 0, Vec::new());
    for (place, change) in ends {
        if depth >= 2 {
            common.push(ByteRange::new(since, place));
        }
        depth += change;
        since = place;
    }
    ByteRange::unite(common)
}

/// What of a run's bytes in the artifact lies in common ranges of the leaf.
fn shared(run: &Run, common: &[ByteRange]) -> Vec<ByteRange> {
    let leaf = run.leaf_range();
    let first = common.partition_point(|range| range.end <= leaf.start);
    let inside = common.iter().skip(first).map_while(|range| range.intersection(leaf));
    let moved = |place: u64| place - run.at + run.from;
    inside.map(|range| ByteRange::new(moved(range.start), moved(range.end))).collect()
}

/// What the bound of chance is taken over.
struct Totals {
    searched: u64,
    leaves: u64,
    named_fields: u64,
    device: u64,
    /// Pictures among the leaves and photos of the device that were compared.
    pictures: [u64; 2],
    /// What is written like a hash.
    tokens: u64,
}

/// The weights of every content that was found.
struct Scales {
    whole: BTreeMap<ContentId, Weight>,
    parts: BTreeMap<ContentId, Weight>,
}

impl Scales {
    fn new(catalog: &Catalog, found: &[Found]) -> Result<Self, ReadError> {
        let mut ranges: BTreeMap<ContentId, Vec<ByteRange>> = BTreeMap::new();
        let mut scales = Self { whole: BTreeMap::new(), parts: BTreeMap::new() };
        for found in found {
            let Artifact::Content(id) = found.artifact else { continue };
            let Some(content) = catalog.content(id) else { continue };
            if found.grade == Grade::Partial {
                ranges.entry(id).or_default().push(found.artifact_range);
            } else if let Entry::Vacant(place) = scales.whole.entry(id) {
                place.insert(Weight::of_whole(content)?);
            }
        }
        for (id, ranges) in ranges {
            let Some(content) = catalog.content(id) else { continue };
            scales.parts.insert(id, Weight::of_parts(content, &ByteRange::unite(ranges))?);
            content.check_unchanged()?;
        }
        Ok(scales)
    }
}

fn weigh(
    found: Found,
    catalog: &Catalog,
    scales: &Scales,
    (totals, beside, lists): (&Totals, &Beside, &Lists),
) -> Hit {
    let mut caveats = BTreeSet::new();
    let (chance, probative_ranges) = match found.artifact {
        artifact if lists::package(catalog, artifact).is_some() => {
            let list = lists.around(&found);
            if list.is_none() {
                caveats.insert(Caveat::NotProbative);
            }
            let needles = catalog.needles.packages();
            let alone = Chance::of_millidecades(&[needles, totals.searched], found.weight);
            (list.unwrap_or(alone), Vec::new())
        }
        Artifact::Value(id) | Artifact::HashOf(id) => {
            if catalog.value(id).is_some_and(|value| value.placeholder) {
                caveats.extend([Caveat::Placeholder, Caveat::NotProbative]);
            }
            (weigh_value(&found, catalog.needles.count(), totals, beside), Vec::new())
        }
        Artifact::DigestOf(_) => {
            caveats.insert(Caveat::Dedup);
            let contents = catalog.contents.len() as u64;
            (Chance::of_millidecades(&[totals.tokens, contents], found.weight), Vec::new())
        }
        Artifact::CopyOf(_) => {
            let [sent, held] = totals.pictures;
            (Chance::of_millidecades(&[sent, held, pictures::TURNS], found.weight), Vec::new())
        }
        Artifact::Content(id) => {
            let partial = found.grade == Grade::Partial;
            let scale = if partial { scales.parts.get(&id) } else { scales.whole.get(&id) };
            let weight = scale.map(|weight| weight.within(found.artifact_range, &found.shared));
            let weight = weight.unwrap_or_default();
            let contents = catalog.contents.len() as u64;
            let tries = if partial { [totals.searched, totals.device] } else { [totals.leaves, contents] };
            (Chance::of_bits(&tries, weight.millibits()), weight.ranges())
        }
    };
    let flags = [
        (found.inside_longer, Caveat::InsideLonger),
        (found.beginning, Caveat::BeginningOnly),
        (!found.shared.is_empty(), Caveat::CommonContent),
        (!chance.is_probative(), Caveat::NotProbative),
    ];
    caveats.extend(flags.into_iter().filter(|&(set, _)| set).map(|(_, caveat)| caveat));
    Hit {
        probative: !caveats.contains(&Caveat::NotProbative),
        leaf: found.leaf,
        artifact: found.artifact,
        grade: found.grade,
        form: found.form,
        distance: found.distance,
        leaf_range: found.leaf_range,
        artifact_range: found.artifact_range,
        stream_ranges: found.stream_ranges,
        transformed: found.transformed,
        probative_ranges,
        shared_ranges: found.shared,
        chance,
        caveats,
    }
}

/// The bound of chance of a value: anywhere in what was searched, or, where it fills a field whose name says that it
/// holds such a value, in all fields of such names. Two values that stand apart in one leaf weigh together: luck
/// would have to put the second anywhere in that leaf.
fn weigh_value(found: &Found, needles: u64, totals: &Totals, beside: &Beside) -> Chance {
    let alone = Chance::of_millidecades(&[needles, totals.searched], found.weight);
    let field = found
        .in_context
        .then(|| Chance::of_millidecades(&[needles, totals.named_fields.max(1)], found.weight));
    let together = beside.best(found).map(|weight| {
        let tries = [needles, needles, totals.searched, found.leaf.len];
        Chance::of_millidecades(&tries, found.weight.saturating_add(weight))
    });
    [Some(alone), field, together].into_iter().flatten().min().unwrap_or(alone)
}

/// A value, where it stands in its leaf, and what it weighs.
type Heavy = (Artifact, ByteRange, u64);

/// Values that stand beside each other, by leaf.
struct Beside {
    by_leaf: BTreeMap<(FlowRef, u32), Vec<Heavy>>,
}

impl Beside {
    fn new(catalog: &Catalog, found: &[Found]) -> Self {
        let mut by_leaf: BTreeMap<_, Vec<Heavy>> = BTreeMap::new();
        // A constant says nothing of this phone, and lends no weight to what stands beside it.
        let tells = |artifact: Artifact| match artifact {
            Artifact::Value(id) | Artifact::HashOf(id) => {
                // So does the name of a program.
                catalog
                    .value(id)
                    .is_some_and(|value| !value.placeholder && lists::package(catalog, artifact).is_none())
            }
            Artifact::Content(_) | Artifact::CopyOf(_) | Artifact::DigestOf(_) => false,
        };
        for one in found.iter().filter(|one| !one.inside_longer && tells(one.artifact)) {
            let leaf = by_leaf.entry((one.leaf.flow, one.leaf.serial)).or_default();
            leaf.push((one.artifact, one.leaf_range, one.weight));
        }
        Self { by_leaf }
    }

    /// The weight of the heaviest other value in the same leaf that does not overlap.
    fn best(&self, found: &Found) -> Option<u64> {
        let leaf = self.by_leaf.get(&(found.leaf.flow, found.leaf.serial))?;
        let same = |artifact: Artifact| match (artifact, found.artifact) {
            (Artifact::Value(a) | Artifact::HashOf(a), Artifact::Value(b) | Artifact::HashOf(b)) => a == b,
            _ => false,
        };
        let others = leaf.iter().filter(|(artifact, range, _)| {
            !same(*artifact) && range.intersection(found.leaf_range).is_none()
        });
        others.map(|(.., weight)| *weight).max()
    }
}
