//! Takes the leaves of one conversation: digests them, searches them, keeps what is no whole file.

use std::{collections::BTreeMap, mem, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    across::{Legs, StoredPart},
    catalog::{Catalog, ContentId, PREFIX},
    hit::{Artifact, FlowRef, Found, Leaf},
    needles::{self, Form, MAX_HITS, Scanner, Spotted},
    origin::StreamMap,
    spool::{Extent, SCRATCH, Spool, Stored},
    tokens::{MAX_TOKENS, Token, Tokens},
};
use crate::{
    engine::decode::sink::{Keep, LeafId, NamedPart, Origin, Source, TransactionId},
    evidence::{ByteRange, Digest, Direction, FrameNo, Limits, ReadError, Step},
    findings::Grade,
};

/// Bytes of a leaf held in memory before they go to the spool: photos fit, films do not.
const HELD: usize = 4 << 20;

/// What became of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Its bytes.
    pub len: u64,
    /// Of its bytes; absent where its first bytes or its length already show that it is no device file.
    pub digest: Option<Digest>,
    /// The content that it is.
    pub content: Option<ContentId>,
}

/// What one conversation gave.
#[derive(Debug, Default)]
pub struct Harvest {
    pub(super) found: Vec<Found>,
    pub(super) tokens: Vec<Token>,
    /// Bytes of leaves that were searched.
    pub searched: u64,
    /// Leaves in all: each was held against the device's files as a whole.
    pub leaves: u64,
    /// Leaves among them that are fields named like one that holds a number or a device's name.
    pub named_fields: u64,
    pub(super) omitted: u64,
    /// Parts of uploads that requests name; few conversations have any.
    pub(super) parts: Option<Box<Told>>,
    /// Of an upload that went over several flows: its place among flows, and its parts.
    pub(super) legs: Option<Box<(FlowRef, Legs)>>,
}

impl Harvest {
    /// The flow, where named parts of uploads went over it.
    pub fn tells_of_parts(&self) -> Option<FlowRef> {
        self.parts.as_ref().map(|told| told.flow)
    }
}

/// Takes leaves as [`crate::engine::decode::sink::Sink`] gives them; the engine's sink hands them on.
///
/// Every leaf is compared with the device's files as a whole, also one that is only digested. A leaf that
/// is to be searched and is no whole file is kept for [`super::conclude`]; one that is a whole file is not
/// searched for parts of other files. Empty leaves match nothing.
pub struct Collector<'c> {
    catalog: &'c Catalog,
    spool: &'c Spool,
    flow: FlowRef,
    min_run: u64,
    next: u32,
    open: BTreeMap<LeafId, OpenLeaf>,
    harvest: Harvest,
    /// Hits of each identifier so far.
    hits: BTreeMap<u32, usize>,
    /// A buffer to be used again.
    spare: Vec<u8>,
    failure: Option<ReadError>,
    /// The last content of a request's body, which may be a part of an upload.
    body: Option<Content>,
    parts: Vec<StoredPart>,
    more_parts: bool,
}

/// Where it is written which parts of uploads went over a flow.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) flow: FlowRef,
    pub(super) listed: Extent,
    /// Whether there were more.
    pub(super) more: bool,
}

/// A leaf as it was kept.
struct Content {
    transaction: TransactionId,
    serial: u32,
    len: u64,
    origin: Extent,
    extents: Vec<Extent>,
}

/// Parts of uploads that are remembered of one conversation: four times as many as are put together of one upload.
const MAX_PARTS: usize = 4_096;

/// What is said of a part and of others together: a few words of each.
const MAX_SAID: usize = 16;

struct OpenLeaf {
    origin: Origin,
    len: u64,
    hashing: Hashing,
    map: StreamMap,
    scanner: Scanner,
    tokens: Tokens,
    spotted: Vec<Spotted>,
    held: Vec<u8>,
    spilled: Vec<Extent>,
}

/// A leaf is digested only while it can still be a device file.
enum Hashing {
    Undecided([u8; PREFIX]),
    On(Box<Sha256>),
    Off,
}

/// Where a kept leaf came from: what stands in the spool beside it.
#[derive(Serialize, Deserialize)]
pub(super) struct Provenance {
    pub(super) direction: Direction,
    pub(super) transaction: Option<u32>,
    pub(super) steps: Vec<Step>,
    pub(super) map: StreamMap,
}

impl<'c> Collector<'c> {
    /// Starts on one conversation, which is one flow here.
    pub fn new(catalog: &'c Catalog, spool: &'c Spool, flow: FlowRef, limits: &Limits) -> Self {
        Self {
            catalog,
            spool,
            flow,
            min_run: u64::from(limits.min_run),
            next: 0,
            open: BTreeMap::new(),
            harvest: Harvest::default(),
            hits: BTreeMap::new(),
            spare: Vec::new(),
            failure: None,
            body: None,
            parts: Vec::new(),
            more_parts: false,
        }
    }

    /// A body that came to its end says that it is a part of an upload. One that is a whole file by itself, or of which
    /// bytes are missing, is not remembered.
    pub fn part(&mut self, transaction: TransactionId, direction: Direction, part: &NamedPart) {
        let body = self.body.take().filter(|body| body.transaction == transaction && body.len == part.len);
        let Some(body) = body.filter(|_| direction == Direction::Up) else { return };
        if self.parts.len() >= MAX_PARTS {
            self.more_parts = true;
            return;
        }
        let Content { serial, origin, extents, .. } = body;
        let (TransactionId(transaction), part) = (transaction, part.clone());
        self.parts.push(StoredPart { part, transaction, serial, origin, extents });
    }

    /// More is said of such a body, and of others together with it.
    pub fn part_said(&mut self, transaction: TransactionId, said: &(Option<FrameNo>, String)) {
        let part = self.parts.iter_mut().find(|part| part.transaction == transaction.0);
        if let Some(part) = part.filter(|part| part.part.said.len() < MAX_SAID) {
            part.part.said.push(said.clone());
        }
    }

    /// Forgets the parts that it was told of.
    pub fn forget_parts(&mut self) {
        self.parts.clear();
    }

    /// Opens a leaf.
    pub fn open(&mut self, origin: Origin) -> LeafId {
        let id = LeafId(self.next);
        self.next = self.next.saturating_add(1);
        let hashing =
            if self.catalog.contents.is_empty() { Hashing::Off } else { Hashing::Undecided([0; PREFIX]) };
        let leaf = OpenLeaf {
            origin,
            len: 0,
            hashing,
            map: StreamMap::default(),
            scanner: Scanner::default(),
            tokens: Tokens::default(),
            spotted: Vec::new(),
            held: mem::take(&mut self.spare),
            spilled: Vec::new(),
        };
        self.open.insert(id, leaf);
        id
    }

    /// Adds bytes to an open leaf; nothing happens when it is not open.
    pub fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        if self.failure.is_some() {
            return;
        }
        let Some(leaf) = self.open.get_mut(&leaf) else { return };
        if bytes.is_empty() {
            if let Source::Transformed(range) = from {
                leaf.map.also(range);
            }
            return;
        }
        leaf.map.push(bytes.len() as u64, from);
        leaf.digest(bytes, self.catalog);
        if leaf.origin.keep == Keep::Search {
            if !self.catalog.needles.is_empty() {
                leaf.scanner.push(&self.catalog.needles, bytes, &mut leaf.spotted);
            }
            if !self.catalog.contents.is_empty() {
                leaf.tokens.push(bytes);
            }
            if self.catalog.longest() >= self.min_run
                && let Err(error) = leaf.hold(bytes, self.spool)
            {
                self.failure = Some(error);
            }
        }
    }

    /// Ends a leaf. The steps are those it ends with.
    pub fn close(&mut self, leaf: LeafId, steps: &[Step]) -> Option<Closed> {
        let LeafId(serial) = leaf;
        let mut leaf = self.open.remove(&leaf)?;
        let digest = leaf.end_digest();
        let content = digest.and_then(|digest| self.catalog.find(leaf.len, digest));
        let facts = Arc::new(Leaf {
            flow: self.flow,
            serial,
            direction: leaf.origin.direction,
            transaction: leaf.origin.transaction,
            steps: steps.to_vec(),
            len: leaf.len,
            joined: None,
        });
        self.harvest.leaves += 1;
        if let Some(content) = content {
            let whole = ByteRange::new(0, leaf.len);
            let found = leaf.found(&facts, Artifact::Content(content), Grade::Exact, whole, whole);
            self.harvest.found.push(found);
        }
        if leaf.origin.keep == Keep::Search {
            self.harvest.searched += leaf.len;
            self.identifiers(&mut leaf, &facts);
            self.tokens(&mut leaf, &facts);
            let kept = self.keep(&mut leaf, &facts, content);
            self.failure = mem::take(&mut self.failure).or(kept.err());
        }
        leaf.held.clear();
        self.spare = mem::take(&mut leaf.held);
        Some(Closed { len: leaf.len, digest, content })
    }

    fn identifiers(&mut self, leaf: &mut OpenLeaf, facts: &Arc<Leaf>) {
        leaf.scanner.finish(&self.catalog.needles, &mut leaf.spotted);
        needles::longest_of_each(&mut leaf.spotted);
        let field = field(&facts.steps);
        self.harvest.named_fields += u64::from(field.is_some_and(needles::is_named_field));
        for spotted in mem::take(&mut leaf.spotted) {
            let Some(value) = self.catalog.value(spotted.value) else { continue };
            let hits = self.hits.entry(spotted.value.0).or_default();
            if *hits >= MAX_HITS {
                self.harvest.omitted += 1;
                continue;
            }
            *hits += 1;
            let hash = spotted.form.is_hash();
            let artifact =
                if hash { Artifact::HashOf(spotted.value) } else { Artifact::Value(spotted.value) };
            let whole = ByteRange::new(0, spotted.leaf.len());
            let mut found = leaf.found(facts, artifact, value.grade, spotted.leaf, whole);
            found.inside_longer = spotted.inside_longer;
            found.beginning = spotted.beginning;
            found.form = spotted.form;
            found.weight = spotted.weight;
            found.in_context = spotted.leaf.len() + u64::from(spotted.after_plus) == leaf.len
                && field.is_some_and(|field| needles::names_kind(&value.kind, field));
            self.harvest.found.push(found);
        }
    }

    fn tokens(&mut self, leaf: &mut OpenLeaf, facts: &Arc<Leaf>) {
        for candidate in mem::take(&mut leaf.tokens).finish(leaf.len) {
            // Numbers that are as long as no hash never take the place of those that are.
            let room = if candidate.is_part() { MAX_TOKENS / 2 } else { MAX_TOKENS };
            if self.harvest.tokens.len() >= room {
                self.harvest.omitted += 1;
                continue;
            }
            let place = leaf.map.trace(candidate.range);
            self.harvest.tokens.push(candidate.into_token(facts.clone(), place));
        }
    }

    /// Puts a leaf that is no whole file into the spool, or forgets it.
    fn keep(
        &mut self,
        leaf: &mut OpenLeaf,
        facts: &Leaf,
        content: Option<ContentId>,
    ) -> Result<(), ReadError> {
        let body = leaf.origin.direction == Direction::Up && !self.flow.is_joined() && is_body(&facts.steps);
        let held = self.catalog.longest() >= self.min_run && leaf.len > 0;
        let searchable = held && leaf.len >= self.min_run;
        if content.is_some() || !held || !(searchable || body) || self.failure.is_some() {
            self.spool.release(mem::take(&mut leaf.spilled));
            return Ok(());
        }
        if !leaf.held.is_empty() {
            leaf.spilled.push(self.spool.append(&leaf.held)?);
        }
        let provenance = Provenance {
            direction: facts.direction,
            transaction: facts.transaction.map(|TransactionId(no)| no),
            steps: facts.steps.clone(),
            map: mem::take(&mut leaf.map),
        };
        let text =
            serde_json::to_vec(&provenance).map_err(|error| ReadError::new(SCRATCH, 0, error.into()))?;
        let origin = self.spool.append(&text)?;
        let extents = mem::take(&mut leaf.spilled);
        if let Some(transaction) = facts.transaction.filter(|_| body) {
            let (serial, len, extents) = (facts.serial, leaf.len, extents.clone());
            self.body = Some(Content { transaction, serial, len, origin, extents });
        }
        // What is shorter is kept as the part of an upload alone.
        if searchable {
            let (flow, serial, len, extents) = (self.flow, facts.serial, leaf.len, extents.into());
            self.spool.keep(Stored { flow, serial, len, origin, extents });
        }
        Ok(())
    }

    /// Ends the conversation; leaves that are still open end here with the steps they have.
    ///
    /// # Errors
    /// When the scratch file could not be written.
    pub fn finish(mut self) -> Result<Harvest, ReadError> {
        while let Some((&id, leaf)) = self.open.first_key_value() {
            let steps = leaf.origin.steps.clone();
            self.close(id, &steps);
        }
        if !self.parts.is_empty() {
            let text =
                serde_json::to_vec(&self.parts).map_err(|error| ReadError::new(SCRATCH, 0, error.into()))?;
            let (flow, listed, more) = (self.flow, self.spool.append(&text)?, self.more_parts);
            self.harvest.parts = Some(Box::new(Told { flow, listed, more }));
        }
        match self.failure {
            Some(error) => Err(error),
            None => Ok(self.harvest),
        }
    }
}

impl OpenLeaf {
    fn digest(&mut self, bytes: &[u8], catalog: &Catalog) {
        let before = self.len;
        self.len = before.saturating_add(bytes.len() as u64);
        if self.len > catalog.longest() {
            self.hashing = Hashing::Off;
        }
        match &mut self.hashing {
            Hashing::Off => {}
            Hashing::On(hasher) => hasher.update(bytes),
            Hashing::Undecided(prefix) => {
                let filled = usize::try_from(before).unwrap_or(PREFIX).min(PREFIX);
                let room = prefix.get_mut(filled..).unwrap_or_default();
                let (head, rest) = bytes.split_at(room.len().min(bytes.len()));
                room.iter_mut().zip(head).for_each(|(to, &from)| *to = from);
                if self.len < PREFIX as u64 {
                    return;
                }
                self.hashing = if catalog.may_begin(prefix) {
                    let mut hasher = Box::new(Sha256::new());
                    hasher.update(*prefix);
                    hasher.update(rest);
                    Hashing::On(hasher)
                } else {
                    Hashing::Off
                };
            }
        }
    }

    fn end_digest(&mut self) -> Option<Digest> {
        match mem::replace(&mut self.hashing, Hashing::Off) {
            Hashing::On(hasher) => Some(Digest::finish(*hasher)),
            Hashing::Undecided(prefix) if self.len > 0 => {
                let len = usize::try_from(self.len).unwrap_or(PREFIX);
                prefix.get(..len).map(Digest::of)
            }
            _ => None,
        }
    }

    fn hold(&mut self, bytes: &[u8], spool: &Spool) -> Result<(), ReadError> {
        let mut bytes = bytes;
        while self.held.len() + bytes.len() >= HELD {
            let (now, later) = bytes.split_at(HELD - self.held.len());
            self.held.extend_from_slice(now);
            self.spilled.push(spool.append(&self.held)?);
            self.held.clear();
            bytes = later;
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn found(
        &self,
        leaf: &Arc<Leaf>,
        artifact: Artifact,
        grade: Grade,
        leaf_range: ByteRange,
        artifact_range: ByteRange,
    ) -> Found {
        let (stream_ranges, transformed) = self.map.trace(leaf_range);
        let runs = if leaf.flow.is_joined() { self.map.runs(leaf_range).to_vec() } else { Vec::new() };
        Found {
            leaf: leaf.clone(),
            artifact,
            grade,
            leaf_range,
            artifact_range,
            stream_ranges,
            transformed,
            shared: Vec::new(),
            inside_longer: false,
            beginning: false,
            form: Form::Plain,
            distance: None,
            weight: 0,
            in_context: false,
            runs,
        }
    }
}

/// Whether a leaf is the content of a request's body.
fn is_body(steps: &[Step]) -> bool {
    const BODIES: [&str; 4] = ["http1.body", "chunked", "http2.body", "http3.body"];
    steps.last().is_some_and(|step| BODIES.contains(&step.op.as_str()))
}

/// The name of the field that a leaf is, where it is one.
fn field(steps: &[Step]) -> Option<&str> {
    const FIELDS: &[&str] = &[
        "form.value",
        "query.value",
        "json.string",
        "json.number",
        "multipart.part",
        "http1.field",
        "http.field",
        "xml.text",
        "xml.attribute",
        "xml.cdata",
        "msgpack.str",
        "cbor.text",
    ];
    // What a form encodes is the field's value all the same.
    let last = steps.iter().rfind(|step| step.op != "percent")?;
    FIELDS.contains(&last.op.as_str()).then_some(last.param.as_deref()).flatten()
}
