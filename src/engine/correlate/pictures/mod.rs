//! Altered copies: pictures among the leaves that show what a photo of the device shows.
//!
//! 1. Every leaf that begins like a picture and is no whole file is decoded and reduced to a [`Signature`].
//! 2. Only if there is one, the device's photos are, too.
//! 3. Each pair is compared; of the photos that a picture is like, the one most like it is named.
//!
//! A likeness of screens and pages, which share layouts, is listed and carries nothing (docs/decisions/008).
//!
//! Found are copies that were scaled, coded anew, turned or mirrored, or lost their metadata. A copy that was cut, written
//! on or filtered is not looked for. GIF, HEIC, AVIF and what is damaged are not decoded; how many there are is said. Time grows with the pictures' bytes; the pairs cost little beside it.

mod signature;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

pub(super) use signature::{Likeness, TURNS};

use self::signature::Signature;
use super::{
    catalog::{Catalog, ContentId},
    collector::Provenance,
    partial::Run,
    spool::{SCRATCH, Store},
};
use crate::{
    case::device::FileKind,
    engine::codec::picture::{self, NoGrid},
    evidence::{Blob, ByteRange, Direction, ReadError, read_exact_at},
};

/// Bytes of a file that is decoded: a photo of 100 megapixels.
const MAX_BYTES: u64 = 64 << 20;
/// Pictures among the leaves that are compared, in the order of leaves.
const MAX_LEAVES: usize = 20_000;
/// Photos of the device that are compared, in the order of their names.
const MAX_PHOTOS: usize = 100_000;
/// Bytes of photos of the device that are decoded: a telephone that is full.
const MAX_DEVICE: u64 = 256 << 30;
/// Enough of the start of a leaf to tell a picture.
const HEAD: usize = 16;

/// One leaf that shows what a photo shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// The leaf, by its place in the store.
    pub(super) leaf: usize,
    /// The photo that it is most like.
    pub(super) content: ContentId,
    pub(super) likeness: Likeness,
    /// Whether it is like another photo, too.
    pub(super) shared: bool,
}

/// What the search gave.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// By leaf.
    pub(super) copies: Vec<Copy>,
    /// Pictures among the leaves, and photos of the device, that were compared.
    pub(super) compared: [u64; 2],
    /// Pictures that were left out because there are too many, or too much of them.
    pub(super) beyond: u64,
    /// Pictures that went up, and photos of the device that they were to be compared with, that can't be decoded here.
    pub(super) unread: [u64; 2],
}

/// What became of one picture.
enum Seen {
    Signed(Signature),
    /// Nothing in it can be told apart.
    Plain,
    NotRead,
}

/// Looks for altered copies. A leaf of which half or more was copied byte for byte from a photo is not compared with it again.
///
/// # Errors
/// When a device file or the scratch file can't be read.
pub(super) fn search(
    catalog: &Catalog,
    store: &Store,
    runs: &[Run],
    threads: usize,
) -> Result<Copies, ReadError> {
    let mut copies = Copies::default();
    let photos: Vec<ContentId> = photos(catalog, &mut copies.beyond);
    if photos.is_empty() {
        return Ok(copies);
    }
    let leaves = leaves(store, &mut copies.beyond)?;
    let of_leaf = |no: usize| {
        let stored = store.leaves.get(no)?;
        Some(signature(&store.leaf(stored)).map_err(|error| ReadError::new(SCRATCH, 0, error)))
    };
    let (sent, mut unread) = each(&leaves, threads, of_leaf)?;
    // A part of a photo begins like one and breaks off.
    let copied = copied(runs, store);
    unread.retain(|leaf| copied.iter().all(|(of, _)| of != leaf));
    copies.unread = [count_up(store, unread.iter().copied())?, 0];
    if sent.is_empty() {
        return Ok(copies);
    }
    let of_photo = |id: ContentId| {
        let content = catalog.content(id)?;
        Some(signature(&*content.blob).map_err(|error| content.failed(0, error)))
    };
    let (held, unread) = each(&photos, threads, of_photo)?;
    if let [_, photos] = &mut copies.unread
        && count_up(store, sent.iter().map(|(leaf, _)| *leaf))? > 0
    {
        *photos = unread.len() as u64;
    }
    copies.compared = [sent.len() as u64, held.len() as u64];
    for (leaf, picture) in &sent {
        let alike = held.iter().filter_map(|(id, photo)| Some((picture.likeness(photo)?, *id)));
        let mut alike: Vec<_> = alike.collect();
        alike.sort_by_key(|&(likeness, id)| (std::cmp::Reverse(likeness), id));
        let Some(&(likeness, content)) = alike.first() else { continue };
        if !copied.contains(&(*leaf, content)) {
            copies.copies.push(Copy { leaf: *leaf, content, likeness, shared: alike.len() > 1 });
        }
    }
    for copy in &copies.copies {
        if let Some(content) = catalog.content(copy.content) {
            content.check_unchanged()?;
        }
    }
    Ok(copies)
}

fn photos(catalog: &Catalog, beyond: &mut u64) -> Vec<ContentId> {
    let all = catalog.iter().filter(|(_, content)| content.kind == FileKind::Photo);
    let (mut bytes, mut taken) = (0_u64, Vec::new());
    for (id, content) in all {
        let fits = content.len <= MAX_BYTES && bytes + content.len <= MAX_DEVICE && taken.len() < MAX_PHOTOS;
        if fits {
            bytes += content.len;
            taken.push(id);
        } else {
            *beyond += 1;
        }
    }
    taken
}

fn leaves(store: &Store, beyond: &mut u64) -> Result<Vec<usize>, ReadError> {
    let mut taken = Vec::new();
    for (no, stored) in store.leaves.iter().enumerate().filter(|(_, stored)| stored.len >= HEAD as u64) {
        let mut head = [0; HEAD];
        read_exact_at(&store.leaf(stored), &mut head, 0)
            .map_err(|error| ReadError::new(SCRATCH, 0, error))?;
        if !picture::is_picture(&head) {
            continue;
        }
        if stored.len <= MAX_BYTES && taken.len() < MAX_LEAVES {
            taken.push(no);
        } else {
            *beyond += 1;
        }
    }
    Ok(taken)
}

fn signature(blob: &dyn Blob) -> std::io::Result<Seen> {
    let mut bytes = vec![0; usize::try_from(blob.len()).unwrap_or(0)];
    read_exact_at(blob, &mut bytes, 0)?;
    Ok(match picture::grid(&bytes) {
        Ok(grid) => Signature::of(&grid).map_or(Seen::Plain, Seen::Signed),
        Err(NoGrid::TooSmall) => Seen::Plain,
        Err(NoGrid::NotRead) => Seen::NotRead,
    })
}

/// How many of these leaves went up.
fn count_up(store: &Store, leaves: impl Iterator<Item = usize>) -> Result<u64, ReadError> {
    let mut count = 0;
    for stored in leaves.filter_map(|no| store.leaves.get(no)) {
        let origin: Provenance = serde_json::from_slice(&store.read(stored.origin)?)
            .map_err(|error| ReadError::new(SCRATCH, stored.origin.at, error.into()))?;
        count += u64::from(origin.direction == Direction::Up);
    }
    Ok(count)
}

/// Pairs of leaf and content of which at least half of the leaf was copied.
fn copied(runs: &[Run], store: &Store) -> std::collections::BTreeSet<(usize, ContentId)> {
    let mut ranges: BTreeMap<(usize, ContentId), Vec<ByteRange>> = BTreeMap::new();
    for run in runs {
        ranges.entry((run.leaf, run.content)).or_default().push(run.leaf_range());
    }
    let half = |leaf: usize| store.leaves.get(leaf).map_or(0, |stored| stored.len / 2);
    let whole = ranges
        .into_iter()
        .filter(|((leaf, _), ranges)| ByteRange::covered(ranges.iter().copied()) >= half(*leaf));
    whole.map(|(pair, _)| pair).collect()
}

/// Signatures, and what can't be read.
type Made<T> = (Vec<(T, Signature)>, Vec<T>);

/// Makes the signature of each thing on several threads; those without one are left out, and those that can't be read are
/// listed. The order is that of the things.
fn each<T: std::marker::Copy + Sync + Send>(
    things: &[T],
    threads: usize,
    make: impl Fn(T) -> Option<Result<Seen, ReadError>> + Sync,
) -> Result<Made<T>, ReadError> {
    let next = AtomicUsize::new(0);
    type Done<T> = (Vec<(usize, T, Signature)>, Vec<(usize, T)>);
    let work = || -> Result<Done<T>, ReadError> {
        let (mut done, mut unread) = (Vec::new(), Vec::new());
        loop {
            let no = next.fetch_add(1, Ordering::Relaxed);
            let Some(&thing) = things.get(no) else { return Ok((done, unread)) };
            match make(thing).transpose()? {
                Some(Seen::Signed(signature)) => done.push((no, thing, signature)),
                Some(Seen::NotRead) => unread.push((no, thing)),
                Some(Seen::Plain) | None => {}
            }
        }
    };
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads.clamp(1, things.len().max(1))).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let (mut done, mut unread) = (Vec::new(), Vec::new());
    for result in results {
        let (some, others) = result?;
        done.extend(some);
        unread.extend(others);
    }
    done.sort_unstable_by_key(|&(no, ..)| no);
    unread.sort_unstable_by_key(|&(no, _)| no);
    let done = done.into_iter().map(|(_, thing, signature)| (thing, signature)).collect();
    Ok((done, unread.into_iter().map(|(_, thing)| thing).collect()))
}
