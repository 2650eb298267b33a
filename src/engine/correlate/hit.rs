//! Hits: which bytes of which artifact were seen where, how likely by luck, and what lowers it.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    catalog::{Catalog, ContentId},
    chance::Chance,
    collector::Harvest,
    needles::IdentifierId,
    spool::Spool,
};
use crate::{
    engine::decode::sink::TransactionId,
    evidence::{ByteRange, Direction, Limits, ReadError},
    findings::{Grade, Step},
};

/// A flow, by numbers that the caller gives: they are the first part of every sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowRef {
    /// The capture.
    pub capture: u32,
    /// The flow within it.
    pub flow: u32,
}

/// A leaf in which something was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Its flow.
    pub flow: FlowRef,
    /// Its number in the conversation, in the order in which leaves were opened.
    pub serial: u32,
    /// Which way it went.
    pub direction: Direction,
    /// The transaction it belongs to.
    pub transaction: Option<TransactionId>,
    /// What was taken off, outermost first.
    pub steps: Vec<Step>,
    /// Its bytes.
    pub len: u64,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Artifact {
    /// A content of the device.
    Content(ContentId),
    /// An identifier of the phone.
    Identifier(IdentifierId),
}

/// What stands beside a hit and lowers it. Codes are part of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Caveat {
    /// Some of its bytes stand in several contents of the device, and don't count for this one.
    CommonContent,
    /// The value goes on: it is part of a longer number.
    InsideLonger,
    /// A constant that many phones share.
    Placeholder,
    /// Luck, or content without information, explains it.
    NotProbative,
}

impl Caveat {
    /// The code as findings spell it.
    pub fn code(self) -> &'static str {
        match self {
            Self::CommonContent => "common_content",
            Self::InsideLonger => "inside_longer",
            Self::Placeholder => "placeholder",
            Self::NotProbative => "not_probative",
        }
    }
}

/// One run of an artifact's bytes in one leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Where it was found.
    pub leaf: Arc<Leaf>,
    /// What was found.
    pub artifact: Artifact,
    /// How: `Exact`, `Partial` or `Identifier`.
    pub grade: Grade,
    /// Which bytes of the leaf.
    pub leaf_range: ByteRange,
    /// Which bytes of the artifact.
    pub artifact_range: ByteRange,
    /// Which bytes of the stream, sorted.
    pub stream_ranges: Vec<ByteRange>,
    /// Whether the stream's bytes are another form of the leaf's (unpacked, decoded): its ranges then hold
    /// what was consumed for them.
    pub transformed: bool,
    /// Which of the artifact's bytes carry weight: not repeated, not shared with another content. For a
    /// whole file at least this much; the count stops where it is plenty.
    pub probative_ranges: Vec<ByteRange>,
    /// Which of the artifact's bytes stand in the same bytes of the leaf for another content as well.
    pub shared_ranges: Vec<ByteRange>,
    /// Matches like this expected by luck in the whole case.
    pub chance: Chance,
    /// Whether it may carry a verdict by itself: [`Chance::is_probative`], and no placeholder.
    pub probative: bool,
    /// What lowers it.
    pub caveats: BTreeSet<Caveat>,
}

impl Hit {
    /// The order of hits: by flow, leaf, place in the leaf, artifact, place in the artifact.
    fn key(&self) -> impl Ord {
        let leaf = (self.leaf.flow, self.leaf.serial);
        (leaf, self.leaf_range, self.artifact, self.artifact_range, self.grade)
    }

    /// Bytes of the artifact that carry weight.
    pub fn probative_bytes(&self) -> u64 {
        ByteRange::covered(self.probative_ranges.iter().copied())
    }
}

/// A hit before it is weighed.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) leaf: Arc<Leaf>,
    pub(super) artifact: Artifact,
    pub(super) grade: Grade,
    pub(super) leaf_range: ByteRange,
    pub(super) artifact_range: ByteRange,
    pub(super) stream_ranges: Vec<ByteRange>,
    pub(super) transformed: bool,
    pub(super) inside_longer: bool,
}

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
    harvests: Vec<Harvest>,
    limits: &Limits,
) -> Result<Outcome, ReadError> {
    let _ = (spool.close()?, limits);
    let searched = harvests.iter().map(|harvest| harvest.searched).sum();
    let omitted: u64 = harvests.iter().map(|harvest| harvest.omitted).sum();
    let found = harvests.into_iter().flat_map(|harvest| harvest.found);
    let mut hits: Vec<Hit> = found.map(|found| weigh(found, catalog, searched)).collect();
    hits.sort_by(|one, other| one.key().cmp(&other.key()));
    let mut limits_reached = Vec::new();
    if omitted > 0 {
        limits_reached.push(format!("{omitted} more places of identifiers already found are not listed"));
    }
    Ok(Outcome { hits, searched, limits_reached })
}

fn weigh(found: Found, catalog: &Catalog, searched: u64) -> Hit {
    let mut caveats = BTreeSet::new();
    let (chance, ranges) = match found.artifact {
        Artifact::Identifier(id) => {
            let needles = &catalog.needles;
            let identifier = needles.identifiers().get(id.0 as usize);
            if identifier.is_some_and(|identifier| identifier.placeholder) {
                caveats.insert(Caveat::Placeholder);
            }
            let weight = identifier.map_or(0, |identifier| identifier.weight);
            (Chance::of_millidecades(&[needles.spellings(), searched], weight), Vec::new())
        }
        Artifact::Content(_) => {
            let bits = found.artifact_range.len() * 1_000;
            (Chance::of_bits(&[searched, catalog.bytes()], bits), vec![found.artifact_range])
        }
    };
    if found.inside_longer {
        caveats.insert(Caveat::InsideLonger);
    }
    let probative = chance.is_probative() && !caveats.contains(&Caveat::Placeholder);
    if !probative {
        caveats.insert(Caveat::NotProbative);
    }
    Hit {
        leaf: found.leaf,
        artifact: found.artifact,
        grade: found.grade,
        leaf_range: found.leaf_range,
        artifact_range: found.artifact_range,
        stream_ranges: found.stream_ranges,
        transformed: found.transformed,
        probative_ranges: ranges,
        shared_ranges: Vec::new(),
        chance,
        probative,
        caveats,
    }
}

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
    let mut groups = std::collections::BTreeMap::<(Artifact, K), Vec<&Hit>>::new();
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
    let grade = hits.iter().map(|hit| hit.grade).min().unwrap_or(Grade::Partial);
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
