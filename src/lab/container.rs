//! Existing captures, read as far as merging needs it: which frames stand when, and where others may be put between
//! them. What stood there is kept byte for byte.

use std::{collections::BTreeSet, net::Ipv4Addr};

/// Captures of one link type and up to this size are merged in memory.
pub const MAX_MERGED: u64 = 2 << 30;
const SECTION: u32 = 0x0a0d_0d0a;
const SECTION_ORDER: u32 = 0x1a2b_3c4d;
const DESCRIPTION: u32 = 1;
const PACKET: u32 = 6;
/// Options of an interface's description (draft-ietf-opsawg-pcapng, section 4.2).
const END_OF_OPTIONS: u16 = 0;
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
const NANOS: u64 = 1_000_000_000;

/// What frames begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkType {
    Ethernet,
    /// Linux cooked (113, 276).
    Cooked1,
    Cooked2,
    /// IP alone (12, 101, 228).
    Raw,
}

/// Why a capture can't take other frames.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeError {
    /// It is compressed, or nothing that is known here.
    #[error("merge into the capture: it is neither a pcap nor a pcapng as it stands")]
    Unknown,
    /// It is longer than what is merged in memory.
    #[error("merge into the capture: it has more than {MAX_MERGED} bytes")]
    TooLong,
    /// Frames would have to be of the interfaces of one section, and it has several.
    #[error("merge into the capture: it has several sections")]
    Sections,
    /// Frames could not be written for its (first interface's) link type.
    #[error("merge into the capture: no frames can be written for its link type {0}")]
    LinkType(u32),
    /// It ends within a frame, or holds lengths that can't be.
    #[error("merge into the capture: it is damaged at byte {0}")]
    Damaged(u64),
    /// Nothing in it says when and where it was taken.
    #[error("merge into the capture: it holds no IPv4 packets")]
    NoPackets,
    /// Every address beside the phone's is used.
    #[error("merge into the capture: no address of {0}/24 is free")]
    NoAddress(Ipv4Addr),
    /// The address that was asked for is used.
    #[error("merge into the capture: {0} is used in it")]
    Used(Ipv4Addr),
    /// The world of the spikes could not be played.
    #[error("play the spikes: {0}")]
    Play(String),
}

/// A frame of an existing capture.
struct Frame {
    /// Nanoseconds since 1970.
    time: u64,
    /// Where its record begins in the file.
    at: usize,
}

/// An existing capture.
pub(super) struct Existing<'f> {
    file: &'f [u8],
    shape: Shape,
    /// Of the first interface: other frames are written for it.
    pub(super) link: LinkType,
    frames: Vec<Frame>,
    /// Every IPv4 address that sent or was sent anything.
    pub(super) addresses: BTreeSet<Ipv4Addr>,
    /// Private addresses by the packets that they sent.
    senders: std::collections::BTreeMap<Ipv4Addr, u64>,
}

#[derive(Clone, Copy)]
enum Shape {
    Pcap { big: bool, nano: bool },
    PcapNg { big: bool, units: Units },
}

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Units {
    /// Ticks of a second.
    each: u64,
    /// Seconds that are added.
    offset: u64,
}

impl Units {
    fn nanos(self, ticks: u64) -> u64 {
        let nanos = u128::from(ticks) * u128::from(NANOS) / u128::from(self.each.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(self.offset.saturating_mul(NANOS))
    }

    fn ticks(self, nanos: u64) -> u64 {
        let since = nanos.saturating_sub(self.offset.saturating_mul(NANOS));
        u64::try_from(u128::from(since) * u128::from(self.each) / u128::from(NANOS)).unwrap_or(u64::MAX)
    }
}

impl<'f> Existing<'f> {
    /// Looks a capture over.
    ///
    /// # Errors
    /// What keeps frames from being merged into it.
    pub(super) fn read(file: &'f [u8]) -> Result<Self, MergeError> {
        if file.len() as u64 > MAX_MERGED {
            return Err(MergeError::TooLong);
        }
        let first: [u8; 4] = bytes(file, 0).ok_or(MergeError::Unknown)?;
        let mut existing = Self {
            file,
            shape: Shape::Pcap { big: false, nano: false },
            link: LinkType::Ethernet,
            frames: Vec::new(),
            addresses: BTreeSet::new(),
            senders: std::collections::BTreeMap::new(),
        };
        match first {
            [0xd4, 0xc3, 0xb2, 0xa1] => existing.pcap(false, false)?,
            [0xa1, 0xb2, 0xc3, 0xd4] => existing.pcap(true, false)?,
            [0x4d, 0x3c, 0xb2, 0xa1] => existing.pcap(false, true)?,
            [0xa1, 0xb2, 0x3c, 0x4d] => existing.pcap(true, true)?,
            [0x0a, 0x0d, 0x0d, 0x0a] => existing.pcapng()?,
            _ => return Err(MergeError::Unknown),
        }
        if existing.addresses.is_empty() { Err(MergeError::NoPackets) } else { Ok(existing) }
    }

    /// The times between which it goes, in nanoseconds since 1970.
    pub(super) fn span(&self) -> (u64, u64) {
        let times = || self.frames.iter().map(|frame| frame.time);
        (times().min().unwrap_or(0), times().max().unwrap_or(0))
    }

    /// The private address that sent most packets: the phone's, more often than not.
    pub(super) fn busiest(&self) -> Option<Ipv4Addr> {
        let busiest =
            self.senders.iter().max_by_key(|(address, packets)| (**packets, std::cmp::Reverse(**address)));
        busiest.map(|(address, _)| *address)
    }

    fn pcap(&mut self, big: bool, nano: bool) -> Result<(), MergeError> {
        let link = number(self.file, 20, big).ok_or(MergeError::Unknown)?;
        self.link = link_type(link & 0x0fff_ffff)?;
        self.shape = Shape::Pcap { big, nano };
        let mut at = 24;
        while at < self.file.len() {
            let damaged = MergeError::Damaged(at as u64);
            let field = |offset| number(self.file, at + offset, big);
            let (Some(seconds), Some(parts), Some(len)) = (field(0), field(4), field(8)) else {
                return Err(damaged);
            };
            let parts = u64::from(parts) * if nano { 1 } else { 1_000 };
            let next = usize::try_from(len).ok().and_then(|len| (at + 16).checked_add(len));
            let Some((next, frame)) = next.and_then(|next| Some((next, self.file.get(at + 16..next)?)))
            else {
                return Err(damaged);
            };
            self.frames.push(Frame { time: u64::from(seconds) * NANOS + parts, at });
            self.look(frame, self.link);
            at = next;
        }
        Ok(())
    }

    fn pcapng(&mut self) -> Result<(), MergeError> {
        let order: [u8; 4] = bytes(self.file, 8).ok_or(MergeError::Unknown)?;
        let big = order == SECTION_ORDER.to_be_bytes();
        if !big && order != SECTION_ORDER.to_le_bytes() {
            return Err(MergeError::Unknown);
        }
        let mut interfaces: Vec<(u32, Units)> = Vec::new();
        let mut at = 0;
        while at < self.file.len() {
            let damaged = MergeError::Damaged(at as u64);
            let (Some(kind), Some(len)) = (number(self.file, at, big), number(self.file, at + 4, big)) else {
                return Err(damaged);
            };
            let next = usize::try_from(len).ok().filter(|len| *len >= 12).and_then(|len| at.checked_add(len));
            let Some((next, block)) = next.and_then(|next| Some((next, self.file.get(at..next)?))) else {
                return Err(damaged);
            };
            match kind {
                SECTION if at > 0 => return Err(MergeError::Sections),
                DESCRIPTION => {
                    let link: [u8; 2] = bytes(block, 8).ok_or(damaged)?;
                    let link = if big { u16::from_be_bytes(link) } else { u16::from_le_bytes(link) };
                    let options = block.get(16..block.len() - 4).unwrap_or_default();
                    interfaces.push((u32::from(link), resolution(options, big)));
                }
                PACKET => {
                    let field = |offset| number(block, offset, big);
                    let (Some(interface), Some(high), Some(low), Some(len)) =
                        (field(8), field(12), field(16), field(20))
                    else {
                        return Err(damaged);
                    };
                    let interface = usize::try_from(interface).ok().and_then(|no| interfaces.get(no));
                    let (link, units) = interface.ok_or(damaged)?;
                    let time = units.nanos(u64::from(high) << 32 | u64::from(low));
                    self.frames.push(Frame { time, at });
                    let end = usize::try_from(len).map_or(block.len(), |len| len.saturating_add(28));
                    // Nothing is written for links that are not known here; what passed on them is not looked at.
                    if let Ok(link) = link_type(*link) {
                        self.look(block.get(28..end).unwrap_or_default(), link);
                    }
                }
                _ => {}
            }
            at = next;
        }
        let &(link, units) = interfaces.first().ok_or(MergeError::NoPackets)?;
        self.link = link_type(link)?;
        self.shape = Shape::PcapNg { big, units };
        Ok(())
    }

    /// Notes the addresses of a frame.
    fn look(&mut self, frame: &[u8], link: LinkType) {
        let skipped: usize = match link {
            LinkType::Ethernet if frame.get(12..14) == Some(&[8, 0]) => 14,
            LinkType::Cooked1 if frame.get(14..16) == Some(&[8, 0]) => 16,
            LinkType::Cooked2 if frame.get(..2) == Some(&[8, 0]) => 20,
            LinkType::Raw if frame.first().is_some_and(|first| first >> 4 == 4) => 0,
            _ => return,
        };
        let address = |at: usize| bytes::<4>(frame, skipped + at).map(Ipv4Addr::from);
        let (Some(from), Some(to)) = (address(12), address(16)) else { return };
        self.addresses.extend([from, to]);
        if from.is_private() {
            *self.senders.entry(from).or_default() += 1;
        }
    }

    /// The capture with other frames (Ethernet, sorted by their nanoseconds) at their times. What stood there keeps its
    /// bytes and its order.
    pub(super) fn merged(&self, others: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut merged = Vec::with_capacity(self.file.len());
        let mut waiting = others.iter().peekable();
        let mut copied = 0;
        for frame in &self.frames {
            while let Some((time, other)) = waiting.next_if(|(time, _)| *time < frame.time) {
                merged.extend(self.file.get(copied..frame.at).unwrap_or_default());
                copied = copied.max(frame.at);
                self.record(&mut merged, *time, other);
            }
        }
        // Behind the last frame, and before what may follow it: statistics of the interface.
        let end = self.frames.last().map_or(self.file.len(), |frame| self.end_of(frame.at));
        merged.extend(self.file.get(copied..end).unwrap_or_default());
        for (time, other) in waiting {
            self.record(&mut merged, *time, other);
        }
        merged.extend(self.file.get(end..).unwrap_or_default());
        merged
    }

    fn end_of(&self, at: usize) -> usize {
        let (field, more) = match self.shape {
            Shape::Pcap { big, .. } => (number(self.file, at + 8, big), 16),
            Shape::PcapNg { big, .. } => (number(self.file, at + 4, big), 0),
        };
        at + more + field.and_then(|len| usize::try_from(len).ok()).unwrap_or(0)
    }

    /// Writes a frame, as the capture's link type has it; none for what only Ethernet has.
    fn record(&self, to: &mut Vec<u8>, nanos: u64, ethernet: &[u8]) {
        let Some(frame) = relinked(self.link, ethernet) else { return };
        let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let word = |big: bool, number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
        match self.shape {
            Shape::Pcap { big, nano } => {
                let parts = nanos % NANOS / if nano { 1 } else { 1_000 };
                for number in [nanos / NANOS, parts] {
                    to.extend(word(big, u32::try_from(number).unwrap_or(u32::MAX)));
                }
                to.extend([word(big, len), word(big, len)].concat());
                to.extend(frame);
            }
            Shape::PcapNg { big, units } => {
                let ticks = units.ticks(nanos);
                let half = |ticks: u64| u32::try_from(ticks & u64::from(u32::MAX)).unwrap_or(u32::MAX);
                let padded = frame.len().next_multiple_of(4);
                let total = u32::try_from(padded + 32).unwrap_or(u32::MAX);
                for number in [PACKET, total, 0, half(ticks >> 32), half(ticks), len, len] {
                    to.extend(word(big, number));
                }
                to.extend(&frame);
                to.resize(to.len() + padded - frame.len(), 0);
                to.extend(word(big, total));
            }
        }
    }
}

/// An Ethernet frame as another link type has it (linktype registry: LINUX_SLL, LINUX_SLL2, RAW).
fn relinked(link: LinkType, ethernet: &[u8]) -> Option<Vec<u8>> {
    let (from, kind, rest) = (ethernet.get(6..12)?, ethernet.get(12..14)?, ethernet.get(14..)?);
    Some(match link {
        LinkType::Ethernet => ethernet.to_vec(),
        LinkType::Cooked1 => [&[0, 0, 0, 1, 0, 6], from, &[0, 0], kind, rest].concat(),
        LinkType::Cooked2 => [kind, &[0, 0, 0, 0, 0, 1, 0, 1, 0, 6], from, &[0, 0], rest].concat(),
        LinkType::Raw if kind == [8, 0] => rest.to_vec(),
        LinkType::Raw => return None,
    })
}

fn link_type(number: u32) -> Result<LinkType, MergeError> {
    match number {
        1 => Ok(LinkType::Ethernet),
        113 => Ok(LinkType::Cooked1),
        276 => Ok(LinkType::Cooked2),
        12 | 101 | 228 => Ok(LinkType::Raw),
        other => Err(MergeError::LinkType(other)),
    }
}

/// How an interface counts time, by its options.
fn resolution(mut options: &[u8], big: bool) -> Units {
    let short = |bytes: [u8; 2]| if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
    let mut units = Units { each: 1_000_000, offset: 0 };
    while let (Some(code), Some(len)) = (bytes(options, 0).map(short), bytes(options, 2).map(short)) {
        let len = usize::from(len);
        let value = options.get(4..4 + len).unwrap_or_default();
        match (code, value) {
            (END_OF_OPTIONS, _) => break,
            (RESOLUTION, &[power, ..]) if power & 0x80 > 0 => {
                units.each = 1_u64.checked_shl(u32::from(power & 0x7f)).unwrap_or(1);
            }
            (RESOLUTION, &[power, ..]) => units.each = 10_u64.checked_pow(u32::from(power)).unwrap_or(1),
            (OFFSET, value) => {
                let seconds: Option<[u8; 8]> = bytes(value, 0);
                units.offset = seconds.map_or(0, |seconds| {
                    if big { u64::from_be_bytes(seconds) } else { u64::from_le_bytes(seconds) }
                });
            }
            _ => {}
        }
        options = options.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
    }
    units
}

fn bytes<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..)?.first_chunk().copied()
}

fn number(file: &[u8], at: usize, big: bool) -> Option<u32> {
    let bytes = bytes(file, at)?;
    Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let body = [body, &vec![0; body.len().next_multiple_of(4) - body.len()]].concat();
        let len = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &len, &body, &len].concat()
    }

    fn section() -> Vec<u8> {
        block(SECTION, &[&SECTION_ORDER.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat())
    }

    fn interface(link: u8) -> Vec<u8> {
        block(DESCRIPTION, &[link, 0, 0, 0, 0, 0, 0, 0])
    }

    /// An Ethernet frame of an interface at a microsecond, from 192.168.1.`from` to 198.51.100.1.
    fn packet(interface: u32, micros: u32, from: u8) -> Vec<u8> {
        let mut frame = [[2; 12].as_slice(), &[8, 0, 0x45], &[0; 11]].concat();
        frame.extend([192, 168, 1, from, 198, 51, 100, 1]);
        let len = u32::try_from(frame.len()).unwrap();
        let words = [interface, 0, micros, len, len].map(u32::to_le_bytes).concat();
        block(PACKET, &[words, frame].concat())
    }

    #[test]
    fn frames_of_every_interface_have_their_place_and_their_addresses() {
        let parts =
            [section(), interface(1), interface(1), packet(0, 10, 7), packet(1, 20, 8), packet(1, 30, 8)];
        let file = parts.concat();
        let existing = Existing::read(&file).unwrap();
        assert_eq!(existing.span(), (10_000, 30_000));
        assert!(existing.addresses.contains(&Ipv4Addr::new(192, 168, 1, 8)));
        assert_eq!(existing.busiest(), Some(Ipv4Addr::new(192, 168, 1, 8)));
        let other = [[2; 12].as_slice(), &[8, 0], b"other"].concat();
        let merged = existing.merged(&[(25_000, other.clone())]);
        let at = parts[..5].concat().len();
        assert_eq!(merged[..at], file[..at], "it stands behind what came before it, on either interface");
        assert!(merged[at..].windows(other.len()).any(|part| part == other));
        assert_eq!(merged[merged.len() - parts[5].len()..], parts[5]);
    }

    #[test]
    fn new_frames_are_of_the_first_interface_and_its_section() {
        let wifi_first = [section(), interface(105), interface(1), packet(1, 1, 7)].concat();
        assert_eq!(Existing::read(&wifi_first).err(), Some(MergeError::LinkType(105)));
        let wifi_second =
            [section(), interface(1), interface(105), packet(0, 1, 7), packet(1, 2, 8)].concat();
        let existing = Existing::read(&wifi_second).unwrap();
        assert_eq!(existing.span(), (1_000, 2_000));
        assert!(!existing.addresses.contains(&Ipv4Addr::new(192, 168, 1, 8)), "no Ethernet was read there");
        let again = [section(), interface(1), packet(0, 1, 7), section()].concat();
        assert_eq!(Existing::read(&again).err(), Some(MergeError::Sections));
        let strange = [section(), interface(1), packet(3, 1, 7)].concat();
        assert!(matches!(Existing::read(&strange), Err(MergeError::Damaged(_))));
    }
}
