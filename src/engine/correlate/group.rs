//! Hits united: parts of one artifact over leaves, requests and connections.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    chance::Chance,
    hit::{Artifact, Caveat, Hit},
};
use crate::{evidence::ByteRange, findings::Grade};

/// Hits of one artifact that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<'h, K> {
    /// What was found.
    pub artifact: Artifact,
    /// The caller's key: a phase and an endpoint family, say.
    pub key: K,
    /// `Exact` as soon as one hit is.
    pub grade: Grade,
    /// The hits, in their order.
    pub hits: Vec<&'h Hit>,
    /// Bytes of the artifact that were seen, each counted once.
    pub ranges: Vec<ByteRange>,
    /// Those that carry weight.
    pub probative_ranges: Vec<ByteRange>,
    /// The best hit's.
    pub chance: Chance,
    /// Whether any hit is probative.
    pub probative: bool,
    /// What lowers every hit of the group, or (common content) any.
    pub caveats: BTreeSet<Caveat>,
}

impl<K> Group<'_, K> {
    /// Bytes of the artifact that were seen, each counted once.
    pub fn matched_bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.len()).sum()
    }

    /// Bytes of the artifact that carry weight, each counted once.
    pub fn probative_bytes(&self) -> u64 {
        self.probative_ranges.iter().map(|range| range.len()).sum()
    }
}

/// Unites hits by artifact and the caller's key, over leaves, requests and connections. Groups are sorted
/// by artifact and key.
pub fn unite<'h, K: Ord + Clone>(
    hits: impl IntoIterator<Item = &'h Hit>,
    key: impl Fn(&Hit) -> K,
) -> Vec<Group<'h, K>> {
    let mut groups = BTreeMap::<(Artifact, K), Vec<&Hit>>::new();
    for hit in hits {
        groups.entry((hit.artifact, key(hit))).or_default().push(hit);
    }
    groups.into_iter().map(|((artifact, key), hits)| group(artifact, key, hits)).collect()
}

fn group<K>(artifact: Artifact, key: K, hits: Vec<&Hit>) -> Group<'_, K> {
    let ranges = |part: fn(&Hit) -> &[ByteRange]| {
        ByteRange::unite(hits.iter().flat_map(|hit| part(hit)).copied().collect::<Vec<_>>())
    };
    let in_all = |caveat: &Caveat| hits.iter().all(|hit| hit.caveats.contains(caveat));
    let any = hits.iter().flat_map(|hit| &hit.caveats).copied().collect::<BTreeSet<_>>();
    let best = hits.iter().map(|hit| hit.grade).min().unwrap_or(Grade::Partial);
    // What several flows carried of a whole is the whole where all of it is here.
    let part = |hit: &&Hit| hit.grade == Grade::Exact && hit.leaf.joined.is_some();
    let alone = hits.iter().any(|hit| hit.grade == best && !part(hit));
    let mut together: BTreeMap<Option<u32>, (u64, Vec<ByteRange>)> = BTreeMap::new();
    for hit in hits.iter().copied().filter(part) {
        let (len, ranges) = together.entry(hit.leaf.joined).or_default();
        *len = hit.leaf.len;
        ranges.push(hit.artifact_range);
    }
    let whole = |(len, ranges): (u64, Vec<ByteRange>)| ByteRange::unite(ranges) == [ByteRange::new(0, len)];
    let is_whole = alone || together.into_values().any(whole);
    let grade = if best == Grade::Exact && !is_whole { Grade::Partial } else { best };
    let chance = hits.iter().map(|hit| hit.chance).min();
    Group {
        artifact,
        key,
        grade,
        ranges: ranges(|hit| std::slice::from_ref(&hit.artifact_range)),
        probative_ranges: ranges(|hit| &hit.probative_ranges),
        chance: chance.unwrap_or(Chance::of_bits(&[], 0)),
        probative: hits.iter().any(|hit| hit.probative),
        caveats: any.into_iter().filter(|c| *c == Caveat::CommonContent || in_all(c)).collect(),
        hits,
    }
}
