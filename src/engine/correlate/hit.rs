//! Hits: which bytes of which artifact were seen where, how likely by luck, and what lowers it.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    catalog::ContentId,
    chance::Chance,
    needles::{Form, ValueId},
    origin::Run,
};
use crate::{
    engine::decode::sink::TransactionId,
    evidence::{ByteRange, Direction, Step},
    findings::Grade,
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
    /// Where it was put together from parts that went over several flows, of which this is one: the number of the whole.
    pub joined: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Artifact {
    /// A content of the device.
    Content(ContentId),
    /// A picture that shows what a content of the device shows.
    CopyOf(ContentId),
    /// A value: an identifier of the phone, or of one of its records.
    Value(ValueId),
    /// The hash of a value.
    HashOf(ValueId),
    /// The hash of a content of the device.
    DigestOf(ContentId),
}

/// What stands beside a hit and lowers it. Codes are part of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Caveat {
    /// Some of its bytes stand in several contents of the device, and don't count for this one.
    CommonContent,
    /// The value goes on: it is part of a longer number.
    InsideLonger,
    /// Of a message only the beginning is there, which others may share.
    BeginningOnly,
    /// A constant that many phones share.
    Placeholder,
    /// The hash of a file, by which a server may know the file without being sent it.
    Dedup,
    /// Luck, or content without information, explains it.
    NotProbative,
}

impl Caveat {
    /// The code as findings spell it.
    pub fn code(self) -> &'static str {
        match self {
            Self::CommonContent => "common_content",
            Self::InsideLonger => "inside_longer",
            Self::BeginningOnly => "beginning_only",
            Self::Placeholder => "placeholder",
            Self::Dedup => "dedup",
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
    /// How: `Exact`, `Partial`, `Record`, `Identifier` or `Derived`.
    pub grade: Grade,
    /// In which form a value stood there; plain for content.
    pub form: Form,
    /// How far an altered copy is from its photo, in thousandths: 0 for the same picture.
    pub distance: Option<u32>,
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
    pub(super) fn key(&self) -> impl Ord {
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
    pub(super) shared: Vec<ByteRange>,
    pub(super) inside_longer: bool,
    pub(super) beginning: bool,
    pub(super) form: Form,
    pub(super) distance: Option<u32>,
    /// Thousandths of a decade that a value, or the likeness of a picture, weighs.
    pub(super) weight: u64,
    /// Whether the leaf is a field whose name says that it holds such a value, and nothing else stands in it.
    pub(super) in_context: bool,
    /// Where a leaf's bytes came from, of one that was put together from parts of several flows.
    pub(super) runs: Vec<Run>,
}
