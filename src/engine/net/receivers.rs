//! Which version of disputed bytes a receiver would take.
//!
//! RFC 9293 leaves it open what is done with segments that overlap and disagree, and operating systems differ (Ptacek
//! and Newsham, *Insertion, Evasion, and Denial of Service*, 1998; Shankar and Paxson, *Active Mapping*, 2003; Novak and
//! Sturges, *Target-Based TCP Stream Reassembly*, 2007). So each way that the literature names is tried on the segments as
//! they were captured. What was in order when it came has been handed to the application: no way takes it back.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use super::{
    fragments::Disputed,
    segments::Segment,
    stream::{Conflict, Stream},
};
use crate::evidence::{ByteRange, ReadError, read_exact_at};

/// A way to put overlapping segments together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// What came first stays.
    First,
    /// What came last stays.
    Last,
    /// What came first stays where it begins no later than what comes now: 4.4BSD and its heirs.
    Bsd,
    /// As BSD, but of two that begin together the longer one that came later stays.
    Linux,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::First, Self::Last, Self::Bsd, Self::Linux];

    /// The literature's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Bsd => "bsd",
            Self::Linux => "linux",
        }
    }
}

/// Which version a way of reassembly leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one that stands in the stream.
    Kept,
    /// The other one.
    Other,
    /// Some bytes of each, or a third version.
    Mixed,
}

impl Version {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Other => "other",
            Self::Mixed => "mixed",
        }
    }
}

/// What the ways come to, in the order of [`Policy::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receivers(pub [Version; 4]);

impl Receivers {
    /// What one way comes to.
    pub fn of(&self) -> impl Iterator<Item = (Policy, Version)> {
        Policy::ALL.into_iter().zip(self.0)
    }
}

impl fmt::Display for Receivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (policy, version)) in self.of().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", policy.name(), version.name())?;
        }
        Ok(())
    }
}

/// What a segment's checksum says (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It fits.
    Right,
    /// It does not, while others of the same sender do: a receiver drops the segment.
    Wrong,
    /// The capture can't tell: the sender's network card was to fill it in, or the header is not before the payload.
    Unknown,
}

/// A queue of segments, without overlaps.
struct Queue {
    policy: Policy,
    /// Start to end, and where the bytes stand in the capture.
    held: BTreeMap<u64, (u64, u64)>,
    /// What is below has been handed to the application.
    next: u64,
    /// Whether anything is, before all is there.
    hands_on: bool,
}

impl Queue {
    fn new(policy: Policy) -> Self {
        Self { policy, held: BTreeMap::new(), next: 0, hands_on: true }
    }

    /// Of a packet's fragments nothing is handed on before it is whole.
    fn of_fragments(policy: Policy) -> Self {
        Self { hands_on: false, ..Self::new(policy) }
    }

    fn insert(&mut self, range: ByteRange, at: u64) {
        let mut start = range.start.max(self.next);
        let end = range.end;
        let place = |start: u64| at + (start - range.start);
        if start >= end {
            return;
        }
        let before = self.held.range(..=start).next_back().map(|(&start, &(end, at))| (start, end, at));
        if let Some((held, held_end, held_at)) = before.filter(|&(_, held_end, _)| held_end > start) {
            match self.policy {
                Policy::Last => {
                    // The old one keeps what stands before, and what stands after.
                    self.held.remove(&held);
                    if held < start {
                        self.held.insert(held, (start, held_at));
                    }
                    if held_end > end {
                        self.held.insert(end, (held_end, held_at + (end - held)));
                    }
                }
                Policy::Linux if held == start && end > held_end => drop(self.held.remove(&held)),
                _ => start = held_end,
            }
        }
        if start >= end {
            return;
        }
        let after: Vec<(u64, (u64, u64))> =
            self.held.range(start..end).map(|(&s, &held)| (s, held)).collect();
        for (held, (held_end, held_at)) in after {
            if self.policy == Policy::First {
                if held > start {
                    self.held.insert(start, (held, place(start)));
                }
                start = held_end;
                continue;
            }
            self.held.remove(&held);
            if held_end > end {
                self.held.insert(end, (held_end, held_at + (end - held)));
            }
        }
        if start < end {
            self.held.insert(start, (end, place(start)));
        }
        while let Some((&first, &(end, _))) = self.held.range(..=self.next).next_back()
            && self.hands_on
            && end > self.next
            && first <= self.next
        {
            self.next = end;
        }
    }

    /// The bytes of a range that it holds, with `None` for what it does not.
    fn bytes(&self, stream: &Stream, range: ByteRange) -> Result<Vec<Option<u8>>, ReadError> {
        let mut all = Vec::new();
        let mut place = range.start;
        let before = self.held.range(..range.start).next_back();
        for (&start, &(end, at)) in before.into_iter().chain(self.held.range(range.start..range.end)) {
            let Some(part) = ByteRange::new(start, end).intersection(range) else { continue };
            all.resize(all.len() + length(part.start - place), None);
            all.extend(read(stream, at + (part.start - start), part.len())?.into_iter().map(Some));
            place = part.end;
        }
        all.resize(length(range.len()), None);
        Ok(all)
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn read(stream: &Stream, at: u64, len: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; length(len)];
    read_exact_at(&*stream.blob, &mut bytes, at)
        .map_err(|error| ReadError::new(&stream.capture, at, error))?;
    Ok(bytes)
}

/// Tries each way on segments in order of capture, and says what it makes of each conflict. What a receiver drops for
/// its checksum takes no part.
pub(super) fn judge(
    stream: &mut Stream,
    segments: &[(Segment, ByteRange, u64)],
    (from, to): (SocketAddr, SocketAddr),
) -> Result<(), ReadError> {
    let mut dropped: Vec<u32> = Vec::new();
    let mut conflicts = std::mem::take(&mut stream.conflicts);
    // Segments stand in order of their frames.
    let of = |frame: u32| {
        let place = segments.partition_point(|(segment, ..)| segment.frame < frame);
        segments.get(place).filter(|(segment, ..)| segment.frame == frame)
    };
    for conflict in conflicts.iter_mut().take(MAX_CHECKED) {
        for (frame, sum) in
            [(conflict.kept, &mut conflict.kept_checksum), (conflict.other, &mut conflict.other_checksum)]
        {
            let Some((segment, ..)) = of(frame.0) else { continue };
            *sum = checksum(stream, segment, from, to)?;
            if *sum == Checksum::Wrong {
                if others_are_right(stream, segments, frame.0, (from, to))? {
                    dropped.push(frame.0);
                } else {
                    *sum = Checksum::Unknown;
                }
            }
        }
    }
    dropped.sort_unstable();
    let taken = |frame: u32| dropped.binary_search(&frame).is_err();
    let mut versions: Vec<[Version; 4]> = vec![[Version::Kept; 4]; conflicts.len()];
    for (n, policy) in Policy::ALL.into_iter().enumerate() {
        let mut queue = Queue::new(policy);
        for (segment, range, at) in segments.iter().filter(|(segment, ..)| taken(segment.frame)) {
            if !segment.has(Segment::KEEP_ALIVE) {
                queue.insert(*range, *at);
            }
        }
        for (conflict, versions) in conflicts.iter().zip(&mut versions) {
            if let Some(version) = versions.get_mut(n) {
                *version = self::version(stream, conflict, &queue)?;
            }
        }
    }
    for (conflict, versions) in conflicts.iter_mut().zip(versions) {
        conflict.receivers = Some(Receivers(versions));
    }
    stream.conflicts = conflicts;
    Ok(())
}

/// Tries each way on the fragments of one packet, in order of capture, and says what it makes of each dispute.
pub(super) fn judge_fragments(disputed: &mut [Disputed], came: &[(ByteRange, u64)]) {
    for (n, policy) in Policy::ALL.into_iter().enumerate() {
        let mut queue = Queue::of_fragments(policy);
        came.iter().for_each(|&(range, at)| queue.insert(range, at));
        for disputed in disputed.iter_mut() {
            let Disputed { range, kept_at, other_at, .. } = *disputed;
            let (mut kept, mut other, mut third) = (false, false, false);
            let before = queue.held.range(..range.start).next_back();
            for (&start, &(end, at)) in before.into_iter().chain(queue.held.range(range.start..range.end)) {
                let Some(part) = ByteRange::new(start, end).intersection(range) else { continue };
                let (at, offset) = (at + (part.start - start), part.start - range.start);
                kept |= at == kept_at + offset;
                other |= at == other_at + offset;
                third |= at != kept_at + offset && at != other_at + offset;
            }
            if let Some(version) = disputed.receivers.0.get_mut(n) {
                *version = match (kept, other, third) {
                    (_, false, false) => Version::Kept,
                    (false, true, false) => Version::Other,
                    _ => Version::Mixed,
                };
            }
        }
    }
}

/// Conflicts of one stream whose checksums are looked at: more are an attack on the reader, or damage of the whole.
const MAX_CHECKED: usize = 1_000;

fn version(stream: &Stream, conflict: &Conflict, queue: &Queue) -> Result<Version, ReadError> {
    let range = conflict.range;
    let other = read(stream, conflict.other_at, range.len())?;
    let mut kept = vec![None; other.len()];
    for piece in stream.pieces_in(range) {
        let Some(part) = piece.range.intersection(range) else { continue };
        let bytes = read(stream, piece.at + (part.start - piece.range.start), part.len())?;
        let places = kept.iter_mut().skip(length(part.start - range.start));
        places.zip(bytes).for_each(|(place, byte)| *place = Some(byte));
    }
    let (mut takes_kept, mut takes_other, mut takes_third) = (false, false, false);
    for ((kept, other), taken) in kept.into_iter().zip(other).zip(queue.bytes(stream, range)?) {
        if kept == Some(other) {
            continue;
        }
        takes_kept |= taken == kept;
        takes_other |= taken == Some(other);
        takes_third |= taken != kept && taken != Some(other);
    }
    Ok(match (takes_kept, takes_other, takes_third) {
        (_, false, false) => Version::Kept,
        (false, true, false) => Version::Other,
        _ => Version::Mixed,
    })
}

/// Segments of the same sender that are looked at to tell a wrong checksum from one that nobody computed.
const SAMPLE: usize = 16;

fn others_are_right(
    stream: &Stream,
    segments: &[(Segment, ByteRange, u64)],
    frame: u32,
    (from, to): (SocketAddr, SocketAddr),
) -> Result<bool, ReadError> {
    for (segment, ..) in segments.iter().filter(|(segment, ..)| segment.frame != frame).take(SAMPLE) {
        if checksum(stream, segment, from, to)? == Checksum::Right {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks for the header that stands right before a payload, and adds up.
fn checksum(
    stream: &Stream,
    segment: &Segment,
    from: SocketAddr,
    to: SocketAddr,
) -> Result<Checksum, ReadError> {
    /// The longest header: fifteen words.
    const MOST: u64 = 60;
    if segment.missing() > 0 {
        return Ok(Checksum::Unknown);
    }
    let before = segment.at.min(MOST);
    let bytes = read(stream, segment.at - before, before + u64::from(segment.len))?;
    for words in 5..=15_u8 {
        let Some(start) = length(before).checked_sub(usize::from(words) * 4) else { break };
        let tcp = bytes.get(start..).unwrap_or_default();
        let Some((&[s0, s1, d0, d1, q0, q1, q2, q3, _, _, _, _, offset, _, _, _, c0, c1, _, _], _)) =
            tcp.split_first_chunk::<20>()
        else {
            continue;
        };
        let ports = [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])];
        let seq = u32::from_be_bytes([q0, q1, q2, q3]);
        let fits = ports == [from.port(), to.port()] && offset >> 4 == words;
        // Data in a SYN stand one behind its number.
        if !fits || segment.seq.wrapping_sub(seq) > 1 {
            continue;
        }
        let pseudo = pseudo_header(from, to, tcp.len());
        let stored = u16::from_be_bytes([c0, c1]);
        return Ok(match fold(pseudo + sum(tcp)) {
            0xffff => Checksum::Right,
            _ if stored == 0 || stored == fold(pseudo) => Checksum::Unknown,
            _ => Checksum::Wrong,
        });
    }
    Ok(Checksum::Unknown)
}

/// RFC 9293 section 3.1, RFC 8200 section 8.1: addresses, length, protocol.
fn pseudo_header(from: SocketAddr, to: SocketAddr, len: usize) -> u64 {
    const TCP: u64 = 6;
    let address = |end: SocketAddr| match end.ip() {
        std::net::IpAddr::V4(ip) => sum(&ip.octets()),
        std::net::IpAddr::V6(ip) => sum(&ip.octets()),
    };
    address(from) + address(to) + TCP + len as u64
}

/// Words of sixteen bits, added up.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let words: u64 = words.iter().map(|&word| u64::from(u16::from_be_bytes(word))).sum();
    words + rest.first().map_or(0, |&byte| u64::from(byte) << 8)
}

/// In ones' complement (RFC 1071).
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each segment's bytes are the digit of its place in the list.
    fn settle(policy: Policy, segments: &[(u64, u64)]) -> String {
        let mut queue = Queue::new(policy);
        let mut bytes = Vec::new();
        for (n, &(start, end)) in segments.iter().enumerate() {
            let at = bytes.len() as u64;
            bytes.resize(bytes.len() + length(end - start), b'0' + u8::try_from(n).unwrap());
            queue.insert(ByteRange::new(start, end), at);
        }
        let stream = Stream::of_bytes(&bytes);
        let end = segments.iter().map(|&(_, end)| end).max().unwrap();
        let held = queue.bytes(&stream, ByteRange::new(0, end)).unwrap();
        held.into_iter().map(|byte| byte.map_or('.', char::from)).collect()
    }

    /// A byte is missing before, so nothing has been handed on.
    #[test]
    fn each_way_leaves_what_the_literature_says() {
        let all = |segments: &[(u64, u64)]| Policy::ALL.map(|policy| settle(policy, segments));
        // Later and inside; later and before; later and behind; the same place and longer; the same place and as long.
        assert_eq!(
            all(&[(2, 8), (4, 6)]),
            ["..".to_owned() + "000000", "..001100".into(), "..000000".into(), "..000000".into()]
        );
        assert_eq!(all(&[(4, 8), (2, 6)]), ["..110000", "..111100", "..111100", "..111100"]);
        assert_eq!(all(&[(2, 6), (4, 8)]), ["..000011", "..001111", "..000011", "..000011"]);
        assert_eq!(all(&[(2, 5), (2, 8)]), ["..000111", "..111111", "..000111", "..111111"]);
        assert_eq!(all(&[(2, 5), (2, 5)]), ["..000", "..111", "..000", "..000"]);
        // One that covers several.
        assert_eq!(all(&[(3, 4), (6, 7), (2, 8)]), ["..202212", "..222222", "..222222", "..222222"]);
    }

    #[test]
    fn what_was_handed_on_is_never_taken_back() {
        let all = |segments: &[(u64, u64)]| Policy::ALL.map(|policy| settle(policy, segments));
        assert_eq!(all(&[(0, 4), (2, 6)]), ["000011"; 4]);
        assert_eq!(all(&[(2, 4), (0, 2), (0, 6)]), ["110022"; 4]);
    }

    #[test]
    fn sums_are_those_of_rfc_1071() {
        // Its section 3.
        let words = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&words)), 0xddf2);
        assert_eq!(fold(sum(&[0xff])), 0xff00);
    }
}
