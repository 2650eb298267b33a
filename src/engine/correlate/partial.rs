//! Copied runs between leaves that are no whole file and the device's contents.
//!
//! 1. The anchors of all windows of the leaves are sorted into parts by their hashes, and put into a filter.
//! 2. The anchors of the device's grid that the filter lets pass are sorted into the same parts.
//! 3. Part by part, equal hashes meet ([`super::meet`]): where the bytes agree, they are followed to both sides as
//!    far as leaf and content agree.
//!
//! Each step reads its input once, so time grows with leaves and device together, not with their product. Results
//! don't depend on threads or (where no limit was reached) on the number of parts and the width of windows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{
    anchor::{Anchor, Windows},
    catalog::{Catalog, ContentId},
    filter::Filter,
    known::Known,
    meet::Meeting,
    shuffle::{Shuffle, Shuffled, Writer},
    spool::{SCRATCH, Store},
};
use crate::evidence::{Blob, ByteRange, ReadError, read_exact_at};

/// Bytes read at a time: what is made of them stays in the cache.
const PIECE: usize = 128 << 10;
/// Anchors of leaves that one part should hold, so that it stays in the cache.
const PART: u64 = 32 << 10;
/// The most parts, in bits: each needs a buffer.
const MAX_PART_BITS: u32 = 8;
/// Bits of a word that hold a place, counted through all leaves or all contents: a tebibyte.
pub(super) const PLACE_BITS: u32 = 40;
/// Leaves of this many bytes together are few: every block of them is an anchor, so that the device's grid is as
/// wide as it can be. What stands between whole uploads are short texts.
const FEW: u64 = 1 << 20;
/// Blocks in a window where leaves are not few.
const WIDTH: usize = 56;
/// Runs kept of one leaf, longest first; a leaf in more pieces was not copied but mixed.
const MAX_RUNS: usize = 4_096;

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

/// What is looked for, with how many threads, and how the work is cut; the cut never shows in results.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) min_run: u32,
    pub(super) threads: usize,
    /// Blocks in a window.
    width: usize,
    /// Anchors of leaves that one part should hold.
    part: u64,
}

impl Effort {
    /// The effort for leaves of so many bytes.
    pub(super) fn new(min_run: u32, threads: usize, leaves: u64) -> Self {
        Self { min_run, threads, width: if leaves <= FEW { 1 } else { WIDTH }, part: PART }
    }
}

/// What the search gave.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Runs {
    /// By leaf, content, place in the leaf. Of runs with one content in one leaf none lies inside another:
    /// a byte that was sent once is not counted for two places of a file.
    pub(super) runs: Vec<Run>,
    /// Leaves whose comparisons were not carried to the end, or with more runs than are kept.
    pub(super) curtailed: BTreeSet<usize>,
    /// Bytes of the device beyond what can be looked through.
    pub(super) beyond: u64,
}

/// Finds every copied run of at least `min_run` bytes, with the exceptions stated in [`super::anchor`] and
/// [`super::meet`].
///
/// # Errors
/// When a device file or the scratch file can't be read.
pub(super) fn search(catalog: &Catalog, store: &Store, effort: Effort) -> Result<Runs, ReadError> {
    let mut runs = Runs::default();
    let leaves = Line::new(store.leaves.iter().map(|leaf| leaf.len));
    let contents = Line::new(catalog.contents.iter().map(|content| content.len));
    let last = 1 << PLACE_BITS;
    runs.beyond = contents.end().saturating_sub(last);
    runs.curtailed.extend((0..store.leaves.len()).filter(|&no| leaves.range(no).end > last));
    if store.leaves.is_empty() || catalog.contents.is_empty() {
        return Ok(runs);
    }
    let sorter = Sorter::new(effort, leaves.end());
    let (filter, sent) = sorter.leaves(store, &leaves)?;
    let held = sorter.device(catalog, &contents, &filter, store)?;
    drop(filter);
    let meeting = Meeting { catalog, store, leaves: &leaves, contents: &contents, min_run: sorter.min_run() };
    let found = meet(&meeting, &sorter, &sent, &held)?;
    runs.curtailed.extend(found.curtailed);
    runs.runs = drop_inner(found.runs);
    Ok(runs)
}

/// Things in a line: each has a range of places of its own, in order.
pub(super) struct Line(Vec<u64>);

impl Line {
    fn new(lens: impl Iterator<Item = u64>) -> Self {
        let mut end: u64 = 0;
        let ends = lens.map(|len| {
            end = end.saturating_add(len);
            end
        });
        Self(std::iter::once(0).chain(ends.collect::<Vec<_>>()).collect())
    }

    fn end(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }

    /// The places of a thing.
    pub(super) fn range(&self, no: usize) -> ByteRange {
        let start = self.0.get(no).copied().unwrap_or(0);
        ByteRange::new(start, self.0.get(no + 1).copied().unwrap_or(start))
    }

    /// The thing at a place.
    pub(super) fn at(&self, place: u64) -> usize {
        self.0.partition_point(|&start| start <= place).saturating_sub(1)
    }
}

/// Sorts anchors into parts.
struct Sorter {
    effort: Effort,
    windows: Windows,
    /// Anchors of leaves that are expected.
    expected: usize,
    part_bits: u32,
}

impl Sorter {
    fn new(effort: Effort, leaves: u64) -> Self {
        let windows = Windows::new(effort.min_run, effort.width);
        let expected = leaves / windows.bytes_per_anchor();
        let parts = expected.div_ceil(effort.part.max(1)).max(1).next_power_of_two();
        let part_bits = parts.trailing_zeros().min(MAX_PART_BITS);
        Self { effort, windows, expected: usize::try_from(expected).unwrap_or(usize::MAX), part_bits }
    }

    fn parts(&self) -> usize {
        1 << self.part_bits
    }

    fn min_run(&self) -> u64 {
        self.windows.min_run() as u64
    }

    /// The part that a hash belongs to, and what stands in it: more of the hash, and the place.
    fn push(&self, to: &mut Writer<'_>, hash: u64, place: u64) {
        let part = usize::try_from(hash.unbounded_shr(u64::BITS - self.part_bits)).unwrap_or(0);
        to.push(part, hash << self.part_bits >> PLACE_BITS << PLACE_BITS | place);
    }

    /// Sorts the anchors of all windows of all leaves.
    fn leaves(&self, store: &Store, line: &Line) -> Result<(Filter, Shuffled), ReadError> {
        let shuffle = Shuffle::new(store.scratch.clone());
        let step = PIECE as u64;
        let pieces: Vec<(usize, u64)> = (0..store.leaves.len())
            .filter(|&no| line.range(no).end <= 1 << PLACE_BITS)
            .flat_map(|no| (0..line.range(no).len()).step_by(PIECE).map(move |from| (no, from)))
            .collect();
        let start = || (shuffle.writer(self.parts()), Filter::new(self.expected), Buffers::default());
        let done = share(&pieces, self.effort.threads, start, |(writer, filter, buffers), &(no, from)| {
            let Some(stored) = store.leaves.get(no) else { return Ok(()) };
            // A run that begins in this piece ends in it.
            let to = (from + step + self.min_run() - 1).min(stored.len);
            buffers
                .read(&store.leaf(stored), from, to)
                .map_err(|error| ReadError::new(SCRATCH, from, error))?;
            buffers.anchors.clear();
            self.windows.of_all(&buffers.bytes, &mut buffers.ranks, &mut buffers.anchors);
            let first = line.range(no).start + from;
            for anchor in &buffers.anchors {
                filter.insert(anchor.hash);
                self.push(writer, anchor.hash, first + anchor.at as u64);
            }
            Ok(())
        })?;
        let mut filters = Vec::new();
        for (writer, filter, _) in done {
            writer.finish()?;
            filters.push(filter);
        }
        let united = filters.into_iter().reduce(|mut all, filter| {
            all.unite(&filter);
            all
        });
        Ok((united.unwrap_or_else(|| Filter::new(0)), shuffle.close()?))
    }

    /// Sorts the anchors of the device's grid that a leaf may have as well.
    fn device(
        &self,
        catalog: &Catalog,
        line: &Line,
        filter: &Filter,
        store: &Store,
    ) -> Result<Shuffled, ReadError> {
        let shuffle = Shuffle::new(store.scratch.clone());
        let pieces: Vec<(ContentId, u64)> = catalog
            .iter()
            .filter(|(id, _)| line.range(id.0 as usize).end <= 1 << PLACE_BITS)
            .flat_map(|(id, content)| (0..content.len).step_by(self.step()).map(move |from| (id, from)))
            .collect();
        let start = || (shuffle.writer(self.parts()), Buffers::default());
        let done = share(&pieces, self.effort.threads, start, |(writer, buffers), &(id, from)| {
            let Some(content) = catalog.content(id) else { return Ok(()) };
            let margin = self.windows.margin() as u64;
            let before = from.saturating_sub(margin);
            let to = (from + self.step() as u64 + self.windows.bytes() as u64 + margin).min(content.len);
            buffers.read(&*content.blob, before, to).map_err(|error| content.failed(before, error))?;
            buffers.anchors.clear();
            let first = usize::try_from(from - before).unwrap_or(0);
            let count = self.step() / self.windows.stride();
            self.windows.of_grid(&buffers.bytes, first, count, &mut buffers.anchors);
            sift(&mut buffers.anchors, filter);
            let first = line.range(id.0 as usize).start + before;
            for anchor in &buffers.anchors {
                self.push(writer, anchor.hash, first + anchor.at as u64);
            }
            Ok(())
        })?;
        done.into_iter().try_for_each(|(writer, _)| writer.finish())?;
        shuffle.close()
    }

    /// Bytes of a piece of the device: whole strides of the grid.
    fn step(&self) -> usize {
        let stride = self.windows.stride();
        (PIECE / stride).max(1) * stride
    }
}

/// Keeps the anchors that the filter lets pass. Without branches, so that the processor waits for many words of
/// the filter at once.
fn sift(anchors: &mut Vec<Anchor>, filter: &Filter) {
    let mut passed = 0;
    for no in 0..anchors.len() {
        let Some(&anchor) = anchors.get(no) else { break };
        if let Some(to) = anchors.get_mut(passed) {
            *to = anchor;
        }
        passed += usize::from(filter.may_hold(anchor.hash));
    }
    anchors.truncate(passed);
}

/// What a thread works with.
#[derive(Default)]
struct Buffers {
    bytes: Vec<u8>,
    ranks: Vec<i16>,
    anchors: Vec<Anchor>,
}

impl Buffers {
    fn read(&mut self, blob: &dyn Blob, from: u64, to: u64) -> std::io::Result<()> {
        self.bytes.resize(usize::try_from(to - from).unwrap_or(0), 0);
        read_exact_at(blob, &mut self.bytes, from)
    }
}

/// Does pieces of work on several threads; what each thread made is given back in no order.
fn share<T: Sync, M: Send>(
    pieces: &[T],
    threads: usize,
    start: impl Fn() -> M + Sync,
    work: impl Fn(&mut M, &T) -> Result<(), ReadError> + Sync,
) -> Result<Vec<M>, ReadError> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut made = start();
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(&mut made, piece)?;
        }
        Ok(made)
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(pieces.len())).map(|_| scope.spawn(run)).collect();
        let mut all = vec![run()];
        for other in others {
            all.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all.into_iter().collect()
    })
}

/// What was found so far.
#[derive(Default)]
struct Found {
    runs: BTreeMap<usize, Vec<Run>>,
    curtailed: BTreeSet<usize>,
}

impl Found {
    fn add(&mut self, runs: impl IntoIterator<Item = Run>, curtailed: impl IntoIterator<Item = usize>) {
        self.curtailed.extend(curtailed);
        for run in runs {
            let of_leaf = self.runs.entry(run.leaf).or_default();
            of_leaf.push(run);
            if of_leaf.len() > 2 * MAX_RUNS {
                self.curtailed.extend(keep_longest(of_leaf).then_some(run.leaf));
            }
        }
    }
}

/// Brings equal hashes together, part by part. Long runs show in each part, so the first part is looked through
/// alone, and what it finds is known to all others.
fn meet(
    meeting: &Meeting<'_>,
    sorter: &Sorter,
    sent: &Shuffled,
    held: &Shuffled,
) -> Result<Found, ReadError> {
    let (mut found, mut known) = (Found::default(), Known::default());
    let nothing = Known::default();
    let mut first = meeting.table(&nothing);
    let words = (&mut Vec::new(), &mut Vec::new());
    sent.read(0, words.0)?;
    held.read(0, words.1)?;
    first.join(words.0, words.1)?;
    for run in &first.runs {
        let (diagonal, range) = meeting.in_line(run);
        known.add(diagonal, range);
    }
    found.add(first.runs, first.curtailed);
    let parts: Vec<usize> = (1..sorter.parts()).collect();
    let start = || (meeting.table(&known), Found::default(), (Vec::new(), Vec::new()));
    let done = share(&parts, sorter.effort.threads, start, |(table, found, words), &part| {
        sent.read(part, &mut words.0)?;
        held.read(part, &mut words.1)?;
        table.join(&words.0, &words.1)?;
        found.add(table.runs.drain(..), std::mem::take(&mut table.curtailed));
        Ok(())
    })?;
    for (_, of_thread, _) in done {
        found.add(of_thread.runs.into_values().flatten(), of_thread.curtailed);
    }
    for (leaf, runs) in &mut found.runs {
        found.curtailed.extend(keep_longest(runs).then_some(*leaf));
    }
    Ok(found)
}

/// Sorts the runs of a leaf, each once, and keeps the longest; says whether there were more.
fn keep_longest(runs: &mut Vec<Run>) -> bool {
    runs.sort_unstable_by_key(|run| (std::cmp::Reverse(run.len), *run));
    runs.dedup();
    let more = runs.len() > MAX_RUNS;
    runs.truncate(MAX_RUNS);
    more
}

/// Drops runs that lie, in the leaf, inside another run with the same content; of equal ones the first in
/// the content stays.
fn drop_inner(runs: BTreeMap<usize, Vec<Run>>) -> Vec<Run> {
    let mut kept = Vec::new();
    for (_, runs) in runs {
        let mut by_content: BTreeMap<ContentId, Vec<Run>> = BTreeMap::new();
        for run in runs {
            by_content.entry(run.content).or_default().push(run);
        }
        for (_, mut runs) in by_content {
            runs.sort_unstable_by_key(|run| (run.at, std::cmp::Reverse(run.len), run.from));
            let mut reached = 0;
            runs.retain(|run| {
                let beyond = run.at + run.len > reached;
                reached = reached.max(run.at + run.len);
                beyond
            });
            kept.extend(runs);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        case::device::{Device, DeviceFile},
        engine::correlate::{FlowRef, Spool, anchor, spool::Stored},
        evidence::{Limits, Scratch},
    };

    fn noise(seed: usize, len: usize) -> Vec<u8> {
        let mut hash = anchor::hash(&seed.to_le_bytes()) | 1;
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
    fn runs_are_the_same_for_any_threads_windows_and_parts() {
        let files: Vec<Vec<u8>> = (0..30).map(|no| noise(no, 3_000 + 2_111 * no)).collect();
        let leaves: Vec<Vec<u8>> = (0..29)
            .map(|no| [&noise(no + 900, 50 * no), &files[no][no * 31..], &files[no + 1][..900]].concat())
            .chain([files[29].repeat(3), noise(77, 100_000)])
            .collect();
        let (catalog, (store, _folder)) = (catalog(&files), store(&leaves));
        let run = |threads, width, part| {
            search(&catalog, &store, Effort { min_run: 128, threads, width, part }).unwrap()
        };
        let expected = run(1, WIDTH, PART);
        assert_eq!(expected.runs.len(), 29 * 2 + 3, "{expected:?}");
        assert!(expected.curtailed.is_empty());
        for (threads, width, part) in
            [(2, WIDTH, PART), (1, WIDTH, 1_000), (3, WIDTH, 50), (2, 1, PART), (2, 1, 50), (1, 17, 5_000)]
        {
            let again = run(threads, width, part);
            assert_eq!(again, expected, "{threads} threads, windows of {width}, parts of {part}");
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
        let kept = drop_inner([(0, runs)].into());
        assert_eq!(kept, [run(0, 100, 0, 500), run(0, 550, 5_000, 200), run(1, 150, 3_000, 200)]);
    }
}
