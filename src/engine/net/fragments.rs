//! IP packets put together from fragments (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! Where fragments overlap the first that came is kept, as for segments; that they did is noted. The bytes
//! of a packet that waits for the rest are held, within limits; what was put together leads back to the
//! frames that carried it. A packet whose rest never comes is given as far as it was captured.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    packet::{Fragment, Whole},
    receivers::{self, Receivers, Version},
};
use crate::{
    case::capture::Frame,
    evidence::{ByteRange, FrameNo, Timestamp},
};

/// Packets that wait for fragments; a phone has a handful under way, a flood any number.
const MAX_PENDING: usize = 128;
/// Parts of one packet: the least MTU of RFC 791 (68) makes 1,366 of the largest packet.
const MAX_PARTS: usize = 1_400;
/// An IP packet's largest payload, and what an offset can reach.
const MAX_LEN: u32 = 65_535 + 8;
/// RFC 8200 section 4.5: what has not come after 60 seconds is given up, and its number may be used anew.
const PATIENCE: u64 = 60_000_000_000;

/// Where a run of a packet's bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Which bytes of the packet.
    pub(super) range: ByteRange,
    /// Where they stand in the capture.
    pub(super) at: u64,
    pub(super) frame: FrameNo,
    pub(super) time: Timestamp,
}

/// A packet's payload, whole or as much of it as came.
pub(super) struct Assembled {
    pub(super) packet: Whole,
    /// Zeros where nothing came.
    pub(super) bytes: Vec<u8>,
    /// Its bytes on the wire.
    pub(super) wire: u64,
    /// When its first fragment came.
    pub(super) since: Timestamp,
    pub(super) first: FrameNo,
    /// In order of the bytes.
    pub(super) sources: Vec<Source>,
    /// Whether fragments overlapped with other bytes.
    pub(super) ambiguous: bool,
    /// Where they did.
    pub(super) disputed: Vec<Disputed>,
}

/// Bytes of a packet about which two fragments disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disputed {
    /// From the first byte that differs to the last.
    pub(super) range: ByteRange,
    /// Where the version that came first stands in the capture, and whose it is.
    pub(super) kept_at: u64,
    pub(super) kept: FrameNo,
    /// The same of the other one.
    pub(super) other_at: u64,
    pub(super) other: FrameNo,
    pub(super) other_time: Timestamp,
    /// What receivers make of it.
    pub(super) receivers: Receivers,
}

/// IP's number of TCP.
const TCP: u8 = 6;

type Key = (IpAddr, IpAddr, u32, u8);

/// Packets that wait for the rest of their fragments.
#[derive(Default)]
pub(super) struct Fragments {
    pending: BTreeMap<Key, Pending>,
    /// What was given up and not taken yet.
    parts: Vec<Assembled>,
    /// Frames of fragments that were given up.
    given_up: u64,
    first_given_up: Option<FrameNo>,
}

struct Pending {
    packet: Whole,
    since: Timestamp,
    first: FrameNo,
    frames: u64,
    bytes: Vec<u8>,
    /// Sorted, without overlaps.
    sources: Vec<Source>,
    /// The packet's length, once its last fragment came.
    total: Option<u64>,
    ambiguous: bool,
    disputed: Vec<Disputed>,
    /// All fragments in order of capture, for as long as receivers may differ.
    came: Vec<(ByteRange, u64)>,
}

impl Fragments {
    /// Takes a fragment; gives the packet that it completes.
    pub(super) fn add(&mut self, fragment: &Fragment<'_>, frame: &Frame<'_>) -> Option<Assembled> {
        let key = (fragment.source, fragment.destination, fragment.id, fragment.protocol);
        let late = |pending: &Pending| frame.time.0.saturating_sub(pending.since.0) > PATIENCE;
        if self.pending.get(&key).is_some_and(late) {
            self.give_up(key);
        }
        if !self.pending.contains_key(&key) && self.pending.len() >= MAX_PENDING {
            let oldest = self.pending.iter().min_by_key(|(_, pending)| pending.first).map(|(&key, _)| key);
            oldest.into_iter().for_each(|key| self.give_up(key));
        }
        let pending = self.pending.entry(key).or_insert_with(|| Pending::new(fragment.whole(), frame));
        pending.frames += 1;
        if !pending.take(fragment, frame) {
            self.give_up(key);
            return None;
        }
        if !self.pending.get(&key)?.whole() {
            return None;
        }
        Some(self.pending.remove(&key)?.end())
    }

    fn give_up(&mut self, key: Key) {
        if let Some(pending) = self.pending.remove(&key) {
            self.given_up += pending.frames;
            let first = self.first_given_up.get_or_insert(pending.first);
            *first = pending.first.min(*first);
            // Without its beginning it is nobody's.
            if pending.sources.first().is_some_and(|source| source.range.start == 0) {
                self.parts.push(pending.end());
            }
        }
    }

    /// Packets that were given up since this was asked last.
    pub(super) fn parts(&mut self) -> Vec<Assembled> {
        std::mem::take(&mut self.parts)
    }

    /// Gives up what still waits.
    pub(super) fn give_up_all(&mut self) {
        let keys: Vec<Key> = self.pending.keys().copied().collect();
        keys.into_iter().for_each(|key| self.give_up(key));
    }

    /// How many frames held fragments that came to nothing, and the first of them.
    pub(super) fn finish(self) -> Option<(FrameNo, u64)> {
        Some((self.first_given_up?, self.given_up))
    }
}

impl Pending {
    fn new(packet: Whole, frame: &Frame<'_>) -> Self {
        Self {
            packet,
            since: frame.time,
            first: frame.no,
            frames: 0,
            bytes: Vec::new(),
            sources: Vec::new(),
            total: None,
            ambiguous: false,
            disputed: Vec::new(),
            came: Vec::new(),
        }
    }

    fn end(self) -> Assembled {
        let Self { packet, since, first, bytes, sources, total, ambiguous, mut disputed, came, .. } = self;
        if !disputed.is_empty() {
            receivers::judge_fragments(&mut disputed, &came);
        }
        // A length that is not known is what the header inside says; TCP's says none.
        let wire = match total {
            Some(total) => total,
            None if packet.protocol == TCP => bytes.len() as u64,
            None => u64::from(MAX_LEN),
        };
        Assembled { packet, bytes, wire, since, first, sources, ambiguous, disputed }
    }

    /// Adds what is new in a fragment; false where the packet can't be one.
    fn take(&mut self, fragment: &Fragment<'_>, frame: &Frame<'_>) -> bool {
        let data = fragment.part.data;
        let start = u64::from(fragment.offset);
        let end = start + data.len() as u64;
        let announced = start + fragment.part.wire as u64;
        if announced > u64::from(MAX_LEN) || self.sources.len().max(self.came.len()) >= MAX_PARTS {
            return false;
        }
        if !fragment.more && *self.total.get_or_insert(announced) != announced {
            self.ambiguous = true;
        }
        let at = frame.at + fragment.part.at as u64;
        self.came.push((ByteRange::new(start, end), at));
        let mut place = start;
        let known = self.sources.clone();
        for source in known {
            let Some(overlap) = source.range.intersection(ByteRange::new(start, end)) else { continue };
            self.keep(ByteRange::new(place, overlap.start), start, at, data, frame);
            self.compare(&source, overlap, (start, at), data, frame);
            place = overlap.end;
        }
        self.keep(ByteRange::new(place, end), start, at, data, frame);
        self.sources.sort_unstable_by_key(|source| source.range);
        true
    }

    /// Notes where a fragment disagrees with what came before.
    fn compare(
        &mut self,
        source: &Source,
        overlap: ByteRange,
        (start, at): (u64, u64),
        data: &[u8],
        frame: &Frame<'_>,
    ) {
        let (kept, other) = (slice(&self.bytes, overlap, 0), slice(data, overlap, start));
        let differs = |(a, b): (&u8, &u8)| a != b;
        let Some(first) = kept.iter().zip(other).position(differs) else { return };
        let last = kept.iter().zip(other).rposition(differs).unwrap_or(first);
        self.ambiguous = true;
        if self.disputed.len() >= MAX_PARTS {
            return;
        }
        let range = ByteRange::new(overlap.start + first as u64, overlap.start + last as u64 + 1);
        self.disputed.push(Disputed {
            range,
            kept_at: source.at + (range.start - source.range.start),
            kept: source.frame,
            other_at: at + (range.start - start),
            other: frame.no,
            other_time: frame.time,
            receivers: Receivers([Version::Kept; 4]),
        });
    }

    fn keep(&mut self, range: ByteRange, start: u64, at: u64, data: &[u8], frame: &Frame<'_>) {
        let (Ok(from), Ok(to)) = (usize::try_from(range.start), usize::try_from(range.end)) else { return };
        if range.is_empty() {
            return;
        }
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        if let Some(target) = self.bytes.get_mut(from..to) {
            target.copy_from_slice(slice(data, range, start));
        }
        let at = at + (range.start - start);
        self.sources.push(Source { range, at, frame: frame.no, time: frame.time });
    }

    /// Whether every byte is there.
    fn whole(&self) -> bool {
        let mut place = 0;
        let joined = self.sources.iter().all(|source| {
            let touches = source.range.start == place;
            place = source.range.end;
            touches
        });
        joined && self.total == Some(place)
    }
}

/// The bytes of `range` from a slice that starts at `start`.
fn slice(bytes: &[u8], range: ByteRange, start: u64) -> &[u8] {
    let place = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
    bytes.get(place(range.start)..place(range.end)).unwrap_or_default()
}
