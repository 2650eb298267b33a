//! Copied runs between leaves that are no whole file and the device's contents.
//!
//! Batch by batch the device's blocks are put into an [`Index`]; each leaf is read through it once a batch,
//! hashed at every byte. What the index holds is compared on the bytes and extended to both sides as far as
//! leaf and content agree. Results don't depend on the order of leaves, on threads or (where no limit was
//! reached) on the size of batches: a run is extended beyond its batch, and equal runs are one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{
    catalog::{Catalog, Content, ContentId},
    index::{self, BLOCK, Filter, Index},
    spool::{SCRATCH, Store},
};
use crate::evidence::{Blob, ByteRange, ReadError, read_exact_at};

/// Bytes of a leaf looked at in one go: its hashes stay in the cache.
const WINDOW: usize = 32 << 10;
/// Comparisons allowed for one leaf and batch: this many, and one for each [`BYTES_PER_CHECK`] bytes. Copied
/// content needs one for each run; only content made to collide needs more.
const CHECKS: u64 = 4_096;
const BYTES_PER_CHECK: u64 = 16;
/// Bytes that may be compared for each byte of a leaf in one batch: content that stands in more places of
/// the device than that is common.
const COMPARED_PER_BYTE: u64 = 64;
/// As much may always be compared, so that short leaves have their chance.
const COMPARED: u64 = 4 << 20;
/// Leaves of this many bytes together are few: their hashes are put into a filter first, and then hardly any
/// of the device's blocks need a place in memory, which costs more than reading and hashing them.
pub(super) const FEW: u64 = 4 << 20;
/// Runs kept of one leaf, longest first; a leaf in more pieces was not copied but mixed.
const MAX_RUNS: usize = 4_096;
/// Runs that end behind the current byte and spare comparing it again.
const MAX_ACTIVE: usize = 64;
/// Bytes compared at first and at most in one read while a run is extended.
const COMPARE: (usize, usize) = (1 << 10, 64 << 10);

/// A run of bytes that leaf and content share, as long as it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    /// The leaf, by its place in the store.
    pub(super) leaf: usize,
    pub(super) content: ContentId,
    /// Where it starts in the leaf.
    pub(super) at: u64,
    /// Where it starts in the content.
    pub(super) from: u64,
    pub(super) len: u64,
}

impl Run {
    pub(super) fn leaf_range(&self) -> ByteRange {
        ByteRange::new(self.at, self.at + self.len)
    }

    pub(super) fn artifact_range(&self) -> ByteRange {
        ByteRange::new(self.from, self.from + self.len)
    }
}

/// What the search may take, and how it is cut; sizes never show in results.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) min_run: u32,
    pub(super) threads: usize,
    pub(super) max_blocks: u64,
    /// Bytes of all leaves together up to which their hashes are put into a filter first.
    pub(super) few: u64,
}

/// What the search gave.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Runs {
    /// By leaf, content, place in the leaf. Of runs with one content in one leaf none lies inside another:
    /// a byte that was sent once is not counted for two places of a file.
    pub(super) runs: Vec<Run>,
    /// Blocks of the device left out as copies of others.
    pub(super) repeated: u64,
    /// Leaves whose comparisons were not carried to the end.
    pub(super) curtailed: BTreeSet<usize>,
}

/// Finds every copied run of at least `min_run` bytes, with the exceptions stated in [`super::index`].
///
/// # Errors
/// When a device file or the scratch file can't be read.
pub(super) fn search(catalog: &Catalog, store: &Store, effort: Effort) -> Result<Runs, ReadError> {
    let mut all = Runs::default();
    if store.leaves.is_empty() {
        return Ok(all);
    }
    let stride = index::stride(effort.min_run);
    let wanted = wanted(store, effort.few)?;
    for batch in index::batches(catalog, stride, effort.max_blocks) {
        let index = Index::build(catalog, batch, stride, wanted.as_ref(), effort.threads)?;
        all.repeated += index.repeated;
        let (runs, curtailed) = search_batch(&index, store, effort)?;
        all.runs.extend(runs);
        all.curtailed.extend(curtailed);
    }
    all.runs.sort_unstable();
    all.runs.dedup();
    all.runs = drop_inner(all.runs);
    Ok(all)
}

/// The hashes of all leaves, if they are few.
fn wanted(store: &Store, few: u64) -> Result<Option<Filter>, ReadError> {
    let total: u64 = store.leaves.iter().map(|leaf| leaf.len).sum();
    if total > few {
        return Ok(None);
    }
    let mut filter = Filter::new(usize::try_from(total).unwrap_or(usize::MAX));
    let mut window = Window::default();
    for stored in &store.leaves {
        let (leaf, mut at) = (store.leaf(stored), 0);
        while window.read(&leaf, at)? {
            window.hashes.iter().for_each(|&hash| filter.insert(hash));
            at += window.hashes.len() as u64;
        }
    }
    Ok(Some(filter))
}

/// Some bytes of a leaf and the hash of each block in them.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    hashes: Vec<u64>,
}

impl Window {
    /// Reads and hashes the bytes from `at` on; says whether there was a block left.
    fn read(&mut self, leaf: &dyn Blob, at: u64) -> Result<bool, ReadError> {
        self.hashes.clear();
        let len = usize::try_from(leaf.len() - at).unwrap_or(usize::MAX).min(WINDOW + BLOCK - 1);
        self.bytes.resize(len, 0);
        if len < BLOCK {
            return Ok(false);
        }
        read_exact_at(leaf, &mut self.bytes, at).map_err(|error| ReadError::new(SCRATCH, at, error))?;
        let (first, news) = self.bytes.split_at(BLOCK);
        let mut hash = index::hash(first);
        self.hashes.push(hash);
        self.hashes.extend(news.iter().zip(&self.bytes).map(|(&new, &old)| {
            hash = index::roll(hash, old, new);
            hash
        }));
        Ok(true)
    }
}

/// Drops runs that lie, in the leaf, inside another run with the same content; of equal ones the first in
/// the content stays. Then keeps the longest of each leaf.
fn drop_inner(runs: Vec<Run>) -> Vec<Run> {
    let mut groups: BTreeMap<(usize, ContentId), Vec<Run>> = BTreeMap::new();
    for run in runs {
        groups.entry((run.leaf, run.content)).or_default().push(run);
    }
    let mut kept: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
    for ((leaf, _), mut runs) in groups {
        runs.sort_unstable_by_key(|run| (run.at, std::cmp::Reverse(run.len), run.from));
        let mut reached = 0;
        runs.retain(|run| {
            let beyond = run.at + run.len > reached;
            reached = reached.max(run.at + run.len);
            beyond
        });
        kept.entry(leaf).or_default().extend(runs);
    }
    for runs in kept.values_mut() {
        keep_longest(runs);
        runs.sort_unstable();
    }
    kept.into_values().flatten().collect()
}

fn keep_longest(runs: &mut Vec<Run>) {
    runs.sort_unstable_by_key(|run| (std::cmp::Reverse(run.len), *run));
    runs.truncate(MAX_RUNS);
}

type Part = (Vec<Run>, BTreeSet<usize>);

fn search_batch(index: &Index<'_>, store: &Store, effort: Effort) -> Result<Part, ReadError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut runs, mut curtailed) = (Vec::new(), BTreeSet::new());
        let mut search = Search::new(index, u64::from(effort.min_run.max(index::MIN_RUN)));
        loop {
            let no = next.fetch_add(1, Ordering::Relaxed);
            let Some(leaf) = store.leaves.get(no) else { return Ok((runs, curtailed)) };
            if search.leaf(no, &store.leaf(leaf))? {
                curtailed.insert(no);
            }
            runs.append(&mut search.runs);
        }
    };
    let parts: Vec<Result<Part, ReadError>> = thread::scope(|scope| {
        let others: Vec<_> = (1..effort.threads.min(store.leaves.len())).map(|_| scope.spawn(work)).collect();
        let mut parts = vec![work()];
        for other in others {
            parts.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        parts
    });
    let mut all = (Vec::new(), BTreeSet::new());
    for part in parts {
        let (runs, curtailed) = part?;
        all.0.extend(runs);
        all.1.extend(curtailed);
    }
    Ok(all)
}

/// A run that goes on behind the current byte.
#[derive(Clone, Copy)]
struct Active {
    content: ContentId,
    /// Place in the content minus place in the leaf.
    diagonal: i128,
    end: u64,
}

/// Reads leaves through one index.
struct Search<'i, 'c> {
    index: &'i Index<'c>,
    min_run: u64,
    window: Window,
    /// Places whose hash the index may hold.
    passed: Vec<usize>,
    active: Vec<Active>,
    runs: Vec<Run>,
    checks: u64,
    compared: u64,
}

impl<'i, 'c> Search<'i, 'c> {
    fn new(index: &'i Index<'c>, min_run: u64) -> Self {
        Self {
            index,
            min_run,
            window: Window::default(),
            passed: vec![0; WINDOW],
            active: Vec::new(),
            runs: Vec::new(),
            checks: 0,
            compared: 0,
        }
    }

    /// Searches one leaf; says whether a limit ended it early.
    fn leaf(&mut self, no: usize, leaf: &dyn Blob) -> Result<bool, ReadError> {
        self.active.clear();
        self.checks = CHECKS + leaf.len() / BYTES_PER_CHECK;
        self.compared = COMPARED.saturating_add(leaf.len().saturating_mul(COMPARED_PER_BYTE));
        let mut at = 0;
        while self.window.read(leaf, at)? {
            for no_passed in 0..self.sift() {
                let Some(&offset) = self.passed.get(no_passed) else { break };
                if self.checks == 0 || self.compared == 0 {
                    return Ok(true);
                }
                self.look_up(no, leaf, at, offset)?;
            }
            at += self.window.hashes.len() as u64;
        }
        Ok(false)
    }

    /// Notes the places of the window whose hash the index may hold; says how many. Without branches, so that
    /// the processor waits for many words of the filter at once.
    fn sift(&mut self) -> usize {
        let mut passed = 0;
        for (place, &hash) in self.window.hashes.iter().enumerate() {
            if let Some(next) = self.passed.get_mut(passed) {
                *next = place;
            }
            passed += usize::from(self.index.may_hold(hash));
        }
        passed
    }

    fn look_up(&mut self, no: usize, leaf: &dyn Blob, base: u64, offset: usize) -> Result<(), ReadError> {
        let hash = self.window.hashes.get(offset).copied().unwrap_or(0);
        let at = base + offset as u64;
        let index = self.index;
        for (id, grid) in index.candidates(hash) {
            if self.covers(id, at, grid) || self.checks == 0 {
                continue;
            }
            let Some(content) = index.content(id) else { continue };
            self.checks -= 1;
            let window = self.window.bytes.get(offset..offset + BLOCK).unwrap_or_default();
            let places = index.places(content, grid, window).map_err(|error| content.failed(grid, error))?;
            for from in places {
                if !self.covers(id, at, from) {
                    self.extend(no, leaf, (id, content), at, from)?;
                }
            }
        }
        Ok(())
    }

    fn covers(&self, content: ContentId, at: u64, from: u64) -> bool {
        let diagonal = i128::from(from) - i128::from(at);
        let same = |run: &&Active| run.content == content && run.diagonal == diagonal;
        self.active.iter().find(same).is_some_and(|run| at < run.end)
    }

    /// Follows a block that agrees to both sides and notes the run.
    fn extend(
        &mut self,
        no: usize,
        leaf: &dyn Blob,
        (id, content): (ContentId, &Content),
        at: u64,
        from: u64,
    ) -> Result<(), ReadError> {
        let failed = |error| content.failed(from, error);
        let block = BLOCK as u64;
        let ahead = common_after(leaf, at + block, &*content.blob, from + block).map_err(failed)?;
        let behind = common_before(leaf, at, &*content.blob, from).map_err(failed)?;
        let len = behind + block + ahead;
        self.compared = self.compared.saturating_sub(len);
        if len >= self.min_run {
            self.runs.push(Run { leaf: no, content: id, at: at - behind, from: from - behind, len });
        }
        let end = at + block + ahead;
        let diagonal = i128::from(from) - i128::from(at);
        self.active.retain(|run| run.end > at && !(run.content == id && run.diagonal == diagonal));
        if self.active.len() >= MAX_ACTIVE
            && let Some(soonest) =
                (0..self.active.len()).min_by_key(|&no| self.active.get(no).map(|run| run.end))
        {
            self.active.swap_remove(soonest);
        }
        self.active.push(Active { content: id, diagonal, end });
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        case::device::{Device, DeviceFile},
        engine::correlate::{FlowRef, Spool, spool::Stored},
        evidence::{Limits, Scratch},
    };

    fn noise(seed: usize, len: usize) -> Vec<u8> {
        let mut hash = index::hash(&seed.to_le_bytes()) | 1;
        let mut next = || {
            hash ^= hash << 13;
            hash ^= hash >> 7;
            hash ^= hash << 17;
            hash.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
        };
        (0..len).map(|_| next()).collect()
    }

    fn catalog(files: &[Vec<u8>]) -> Catalog {
        let file = |(no, bytes): (usize, &Vec<u8>)| {
            DeviceFile::new(format!("phone/{no:03}"), Arc::new(bytes.clone())).unwrap()
        };
        let device = Device { files: files.iter().enumerate().map(file).collect() };
        let limits = Limits::default();
        Catalog::build(&[("phone".to_owned(), device)].into(), &BTreeMap::new(), &[], &limits).unwrap()
    }

    fn store(leaves: &[Vec<u8>]) -> (Store, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(Scratch::new(folder.path()));
        for (serial, leaf) in (0..).zip(leaves) {
            let extent = spool.append(leaf).unwrap();
            spool.keep(Stored {
                flow: FlowRef { capture: 0, flow: 0 },
                serial,
                len: extent.len,
                origin: extent,
                extents: [extent].into(),
            });
        }
        (spool.close().unwrap(), folder)
    }

    #[test]
    fn runs_are_the_same_for_any_threads_and_any_batches() {
        let files: Vec<Vec<u8>> = (0..30).map(|no| noise(no, 3_000 + 2_111 * no)).collect();
        let leaves: Vec<Vec<u8>> = (0..29)
            .map(|no| [&noise(no + 900, 50 * no), &files[no][no * 31..], &files[no + 1][..900]].concat())
            .chain([files[29].repeat(3), noise(77, 100_000)])
            .collect();
        let (catalog, (store, _folder)) = (catalog(&files), store(&leaves));
        let run = |threads, max_blocks, few| {
            search(&catalog, &store, Effort { min_run: 128, threads, max_blocks, few }).unwrap()
        };
        let expected = run(1, index::MAX_BLOCKS, FEW);
        assert!(store.leaves.iter().map(|leaf| leaf.len).sum::<u64>() < FEW);
        assert_eq!(expected.runs.len(), 29 * 2 + 3, "{expected:?}");
        assert!(expected.repeated == 0 && expected.curtailed.is_empty());
        for (threads, max_blocks) in [(2, index::MAX_BLOCKS), (1, 1_000), (3, 397)] {
            for few in [0, FEW] {
                assert_eq!(run(threads, max_blocks, few), expected, "{threads} threads, {max_blocks} blocks");
            }
        }
    }

    #[test]
    fn runs_inside_others_are_dropped_and_overlapping_ones_stay() {
        let run = |content, at, from, len| Run { leaf: 0, content: ContentId(content), at, from, len };
        let runs = vec![
            run(0, 100, 0, 500),
            run(0, 100, 9_000, 500),
            run(0, 150, 3_000, 200),
            run(0, 550, 5_000, 200),
            run(1, 150, 3_000, 200),
        ];
        let kept = drop_inner(runs);
        assert_eq!(kept, [run(0, 100, 0, 500), run(0, 550, 5_000, 200), run(1, 150, 3_000, 200)]);
    }
}
