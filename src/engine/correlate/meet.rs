//! Where anchors of leaves and of the device meet, bytes are compared and followed to both sides.
//!
//! A block that many contents hold is followed in the first sixteen that share a run there, and at four places
//! of each. Such content is common: the leaf holds it, that several contents hold it is known by then, and so it
//! carries no weight for any. Runs that reach `min_run` bytes beyond it are found by other anchors.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::{
    anchor::BLOCK,
    catalog::{Catalog, Content, ContentId},
    known::{Known, Recent},
    partial::{Line, PLACE_BITS, Run},
    spool::Store,
};
use crate::evidence::{Blob, ByteRange, ReadError, read_exact_at};

/// Comparisons that one leaf may take in one part: so many, and one for each [`BYTES_PER_CHECK`] bytes. Copied
/// content needs one for each run; only content made to collide needs more.
const CHECKS: u64 = 1_024;
const BYTES_PER_CHECK: u64 = 1_024;
/// Bytes that may be compared for a leaf in one part: so many, and these for each of its bytes.
const COMPARED: u64 = 4 << 20;
const COMPARED_PER_BYTE: u64 = 16;
/// Contents in which one block of a leaf is followed, and places in each.
const CONTENTS: usize = 16;
const PLACES: usize = 4;
/// Bytes compared at first and at most in one read while a run is extended.
const COMPARE: (usize, usize) = (1 << 10, 64 << 10);

/// What is compared with what.
pub(super) struct Meeting<'m> {
    pub(super) catalog: &'m Catalog,
    pub(super) store: &'m Store,
    pub(super) leaves: &'m Line,
    pub(super) contents: &'m Line,
    pub(super) min_run: u64,
}

impl<'m> Meeting<'m> {
    /// A table at which parts are joined; `known` runs are not looked for.
    pub(super) fn table(&'m self, known: &'m Known) -> Table<'m> {
        Table {
            meeting: self,
            known,
            own: Known::default(),
            recent: Recent::new(),
            budgets: BTreeMap::new(),
            runs: Vec::new(),
            curtailed: BTreeSet::new(),
        }
    }

    /// A run's diagonal and its places among all leaves.
    pub(super) fn in_line(&self, run: &Run) -> (u64, ByteRange) {
        let start = self.leaves.range(run.leaf).start + run.at;
        let from = self.contents.range(run.content.0 as usize).start + run.from;
        (from.wrapping_sub(start), ByteRange::new(start, start + run.len))
    }
}

/// What may still be spent on a leaf.
struct Budget {
    checks: u64,
    compared: u64,
}

/// Joins parts.
pub(super) struct Table<'m> {
    meeting: &'m Meeting<'m>,
    /// Found before.
    known: &'m Known,
    /// Found in this part.
    own: Known,
    recent: Recent,
    budgets: BTreeMap<usize, Budget>,
    /// Found.
    pub(super) runs: Vec<Run>,
    /// Leaves whose budget did not do.
    pub(super) curtailed: BTreeSet<usize>,
}

/// What came of following a block.
enum Followed {
    Run,
    Nothing,
    OutOfBudget,
}

impl Table<'_> {
    /// Joins one part: words of leaves and of the device, each sorted.
    pub(super) fn join(&mut self, sent: &[u64], held: &[u64]) -> Result<(), ReadError> {
        self.own.clear();
        self.recent.clear();
        self.budgets.clear();
        let mut rest = held;
        for blocks in sent.chunk_by(|&one, &next| key(one) == key(next)) {
            let Some(&first) = blocks.first() else { continue };
            rest = skip(rest, |&word| key(word) < key(first));
            if rest.first().is_none_or(|&word| key(word) != key(first)) {
                continue;
            }
            // Hardly ever more than one: looking from the start touches what is at hand.
            let after = skip(rest, |&word| key(word) == key(first));
            let (equal, _) = rest.split_at(rest.len() - after.len());
            for &block in blocks {
                self.follow_all(place(block), equal)?;
            }
        }
        Ok(())
    }

    /// Follows a block of a leaf in all places of the device that may hold it, as long as they are not too many.
    fn follow_all(&mut self, at: u64, places: &[u64]) -> Result<(), ReadError> {
        let (mut rest, mut contents) = (places, 0);
        while let Some(&first) = rest.first()
            && contents < CONTENTS
        {
            let (mut of_one, mut runs) = (rest, 0);
            if rest.len() > PLACES {
                let end = self.meeting.contents.range(self.meeting.contents.at(place(first))).end;
                of_one = rest.get(..rest.partition_point(|&word| place(word) < end)).unwrap_or_default();
            }
            rest = rest.get(of_one.len()..).unwrap_or_default();
            for &word in of_one {
                match self.follow(at, place(word))? {
                    Followed::Run => runs += 1,
                    Followed::Nothing => {}
                    Followed::OutOfBudget => return Ok(()),
                }
                if runs == PLACES {
                    break;
                }
            }
            contents += usize::from(runs > 0);
        }
        Ok(())
    }

    /// Follows a block of a leaf in one place of the device.
    fn follow(&mut self, at: u64, from: u64) -> Result<Followed, ReadError> {
        let diagonal = from.wrapping_sub(at);
        if self.recent.holds(diagonal, at) {
            return Ok(Followed::Run);
        }
        if let Some(run) = self.known.at(diagonal, at).or_else(|| self.own.at(diagonal, at)) {
            self.recent.remember(diagonal, run);
            return Ok(Followed::Run);
        }
        let meeting = self.meeting;
        let (leaf, id) = (meeting.leaves.at(at), meeting.contents.at(from));
        let (Some(stored), Some(content)) =
            (meeting.store.leaves.get(leaf), meeting.catalog.contents.get(id))
        else {
            return Ok(Followed::Nothing);
        };
        let budget = self.budgets.entry(leaf).or_insert_with(|| Budget {
            checks: CHECKS + stored.len / BYTES_PER_CHECK,
            compared: COMPARED.saturating_add(stored.len.saturating_mul(COMPARED_PER_BYTE)),
        });
        if budget.checks == 0 || budget.compared == 0 {
            self.curtailed.insert(leaf);
            return Ok(Followed::OutOfBudget);
        }
        budget.checks -= 1;
        let (at, from) = (at - meeting.leaves.range(leaf).start, from - meeting.contents.range(id).start);
        let Some((before, after)) = agreement(&meeting.store.leaf(stored), at, content, from)? else {
            return Ok(Followed::Nothing);
        };
        let len = before + after;
        budget.compared = budget.compared.saturating_sub(len);
        if len < meeting.min_run {
            return Ok(Followed::Nothing);
        }
        let content = ContentId(u32::try_from(id).unwrap_or(u32::MAX));
        let run = Run { leaf, content, at: at - before, from: from - before, len };
        let (diagonal, range) = meeting.in_line(&run);
        self.own.add(diagonal, range);
        self.recent.remember(diagonal, range);
        self.runs.push(run);
        Ok(Followed::Run)
    }
}

/// The part of the hash that stands in a word.
fn key(word: u64) -> u64 {
    word >> PLACE_BITS
}

fn place(word: u64) -> u64 {
    word & ((1 << PLACE_BITS) - 1)
}

/// Sorted words without those at the start that are too small; looks ahead in growing steps.
fn skip(words: &[u64], small: impl Fn(&u64) -> bool) -> &[u64] {
    let mut step = 1;
    let mut rest = words;
    while let Some(far) = rest.get(step)
        && small(far)
    {
        rest = rest.get(step..).unwrap_or_default();
        step *= 2;
    }
    let near = rest.get(..=step).unwrap_or(rest);
    rest.get(near.partition_point(small)..).unwrap_or_default()
}

/// How many bytes leaf and content agree in before and from a place on; nothing where not even a block does.
fn agreement(
    leaf: &dyn Blob,
    at: u64,
    content: &Content,
    from: u64,
) -> Result<Option<(u64, u64)>, ReadError> {
    let failed = |error| content.failed(from, error);
    let after = common_after(leaf, at, &*content.blob, from).map_err(failed)?;
    if after < BLOCK as u64 {
        return Ok(None);
    }
    let before = common_before(leaf, at, &*content.blob, from).map_err(failed)?;
    Ok(Some((before, after)))
}
/// How many bytes agree from `at` in one and `from` in the other.
fn common_after(one: &dyn Blob, at: u64, other: &dyn Blob, from: u64) -> io::Result<u64> {
    let most = one.len().saturating_sub(at).min(other.len().saturating_sub(from));
    let (mut common, mut step) = (0, COMPARE.0);
    let mut buffers = (Vec::new(), Vec::new());
    while common < most {
        let len = usize::try_from(most - common).unwrap_or(usize::MAX).min(step);
        buffers.0.resize(len, 0);
        buffers.1.resize(len, 0);
        read_exact_at(one, &mut buffers.0, at + common)?;
        read_exact_at(other, &mut buffers.1, from + common)?;
        if buffers.0 != buffers.1 {
            let pairs = buffers.0.iter().zip(&buffers.1);
            return Ok(common + pairs.take_while(|(one, other)| one == other).count() as u64);
        }
        common += len as u64;
        step = (step * 4).min(COMPARE.1);
    }
    Ok(common)
}

/// How many bytes agree before `at` in one and `from` in the other.
fn common_before(one: &dyn Blob, at: u64, other: &dyn Blob, from: u64) -> io::Result<u64> {
    let most = at.min(from);
    let (mut common, mut step) = (0, COMPARE.0 / 8);
    let mut buffers = (Vec::new(), Vec::new());
    while common < most {
        let len = usize::try_from(most - common).unwrap_or(usize::MAX).min(step);
        buffers.0.resize(len, 0);
        buffers.1.resize(len, 0);
        read_exact_at(one, &mut buffers.0, at - common - len as u64)?;
        read_exact_at(other, &mut buffers.1, from - common - len as u64)?;
        if buffers.0 != buffers.1 {
            let pairs = buffers.0.iter().rev().zip(buffers.1.iter().rev());
            return Ok(common + pairs.take_while(|(one, other)| one == other).count() as u64);
        }
        common += len as u64;
        step = (step * 4).min(COMPARE.1);
    }
    Ok(common)
}
