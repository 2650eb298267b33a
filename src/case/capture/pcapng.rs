//! pcapng (draft-ietf-opsawg-pcapng): sections, interfaces, packets of three kinds, names, statistics, secrets,
//! comments, and the custom blocks of PCAPdroid.
//!
//! The blocks are walked here, not by `pcap-file`: its reader decodes every interface block strictly (a
//! reserved field that is not zero or a name that is not UTF-8 ends the file), refuses packets whose
//! original length is below their captured one, gives no file offsets, and holds no block larger than its
//! buffer. tshark reads all of these, and a phone's capture must not be lost to a decoration.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    ByteOrder, LinkType,
    frames::{Facts, MAX_FRAME, Record, Step},
    pcapdroid,
    window::Window,
};
use crate::evidence::{AnomalyKind, ReadError, Timestamp};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAMES: u32 = 4;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const JOURNAL: u32 = 9;
const SECRETS: u32 = 10;
const CUSTOM: u32 = 0x0bad;
const CUSTOM_LOCAL: u32 = 0x4000_0bad;

const BLOCK_HEADER: usize = 8;
const BLOCK_TRAILER: usize = 4;
/// Blocks that are looked into: Wireshark's bound (16 MiB) on any block it holds in memory.
const MAX_BLOCK: u32 = 16 << 20;
/// Interfaces of one section: a machine has some dozens, a hostile file a million.
const MAX_INTERFACES: usize = 65_536;
/// Options read of one block; a hostile block of 16 MiB could hold four million.
const MAX_OPTIONS: usize = 1_024;
/// The option of a comment, in every block.
const COMMENT: u16 = 1;
/// Secrets type of an NSS key log ("TLSK").
const TLS_KEY_LOG: u32 = 0x544c_534b;

/// One interface of the current section.
#[derive(Clone, Copy)]
struct Interface {
    /// Its number over all sections.
    number: u32,
    link: LinkType,
    snap_len: u32,
    /// Ticks in a second.
    ticks: u128,
    /// Seconds to add.
    offset: i64,
}

/// Walks a pcapng.
#[derive(Default)]
pub(super) struct PcapNg {
    order: Option<ByteOrder>,
    interfaces: Vec<Interface>,
    ended: bool,
    /// The last counters of each interface (over all sections).
    statistics: BTreeMap<u32, u64>,
    /// Drops counted packet by packet.
    counted: Option<u64>,
}

/// A block's frame, before its body is looked at.
struct Block {
    kind: u32,
    at: u64,
    /// Bytes in all, rounded up to four as Wireshark does.
    len: u32,
}

impl PcapNg {
    pub(super) fn next(
        &mut self,
        window: &mut Window<'_>,
        facts: &mut Facts,
    ) -> Result<Option<Step>, ReadError> {
        while !self.ended {
            let Some(block) = self.block(window, facts)? else { break };
            if block.len > MAX_BLOCK {
                if !self.pass_over(&block, window, facts)? {
                    break;
                }
                continue;
            }
            let len = block.len as usize;
            if !window.ensure(len)? {
                self.cut_off(window, &block, facts);
                break;
            }
            let position = window.position();
            let order = self.order.unwrap_or(ByteOrder::Little);
            let body = window.slice(position + BLOCK_HEADER, len - BLOCK_HEADER - BLOCK_TRAILER);
            let trailer = window.slice(position + len - BLOCK_TRAILER, BLOCK_TRAILER).first_chunk();
            let claimed = trailer.and_then(|&bytes| order.u32(bytes).checked_next_multiple_of(4));
            if claimed != Some(block.len) {
                let detail =
                    format!("the block at byte {} has two lengths; what follows was not read", block.at);
                facts.odd(AnomalyKind::ContainerDamaged, None, detail);
                break;
            }
            let step = self.take(&block, Body { bytes: body, order, at: block.at + 8 }, facts);
            window.advance(len);
            match step {
                Some(Step::Frame(mut record)) => {
                    record.position += position + BLOCK_HEADER;
                    return Ok(Some(Step::Frame(record)));
                }
                Some(Step::Number) => return Ok(Some(Step::Number)),
                None => {}
            }
        }
        self.ended = true;
        Ok(None)
    }

    /// Packets dropped by the capturing machine, if the file says: from interface statistics, else from
    /// the counters of packets.
    pub(super) fn dropped(&self) -> Option<u64> {
        if self.statistics.is_empty() {
            self.counted
        } else {
            Some(self.statistics.values().copied().fold(0, u64::saturating_add))
        }
    }

    fn block(&mut self, window: &mut Window<'_>, facts: &mut Facts) -> Result<Option<Block>, ReadError> {
        window.ensure(BLOCK_HEADER + 4)?;
        let at = window.at();
        let head = window.peek();
        if head.is_empty() {
            return Ok(None);
        }
        let fields = head.get(..12).and_then(|head| head.as_chunks::<4>().0.first_chunk::<3>());
        let Some(&[kind, len, magic]) = fields else {
            let detail = format!("cut off at byte {} inside a block header", at + head.len() as u64);
            facts.odd(AnomalyKind::CaptureCutOff, None, detail);
            return Ok(None);
        };
        if u32::from_be_bytes(kind) == SECTION {
            self.order = match magic {
                [0x1a, 0x2b, 0x3c, 0x4d] => Some(ByteOrder::Big),
                [0x4d, 0x3c, 0x2b, 0x1a] => Some(ByteOrder::Little),
                _ => None,
            };
            self.interfaces.clear();
        }
        let Some(order) = self.order else {
            let detail = format!("the section at byte {at} has no byte order; what follows was not read");
            facts.odd(AnomalyKind::ContainerDamaged, None, detail);
            return Ok(None);
        };
        let len = order.u32(len).checked_next_multiple_of(4).filter(|&len| len >= 12);
        let Some(len) = len else {
            let detail =
                format!("the block at byte {at} has an impossible length; what follows was not read");
            facts.odd(AnomalyKind::ContainerDamaged, None, detail);
            return Ok(None);
        };
        Ok(Some(Block { kind: order.u32(kind), at, len }))
    }

    fn cut_off(&mut self, window: &Window<'_>, block: &Block, facts: &mut Facts) {
        let end = window.at() + window.peek().len() as u64;
        let detail = format!("cut off at byte {end} inside the block that starts at byte {}", block.at);
        facts.odd(AnomalyKind::CaptureCutOff, None, detail);
    }

    /// Passes over a block that is too large to hold; false where the walk ends.
    fn pass_over(
        &mut self,
        block: &Block,
        window: &mut Window<'_>,
        facts: &mut Facts,
    ) -> Result<bool, ReadError> {
        let (at, len) = (block.at, block.len);
        if matches!(block.kind, SECTION | INTERFACE | PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
            let detail = format!(
                "the block at byte {at} says {len} bytes, more than the {MAX_BLOCK} it may have; what follows was not read"
            );
            facts.odd(AnomalyKind::ContainerDamaged, None, detail);
            return Ok(false);
        }
        if !window.skip(u64::from(len))? {
            self.cut_off(window, block, facts);
            return Ok(false);
        }
        let detail =
            format!("the block at byte {at} (type {:#x}) has {len} bytes and was left out", block.kind);
        facts.odd(AnomalyKind::LimitReached, None, detail);
        Ok(true)
    }

    /// Takes a block's body; gives a step for what has a frame number.
    fn take(&mut self, block: &Block, body: Body<'_>, facts: &mut Facts) -> Option<Step> {
        let taken = match block.kind {
            INTERFACE => self.interface(&body, facts).map(|()| None),
            PACKET => self.packet(&body, facts).map(|record| Some(Step::Frame(record))),
            SIMPLE_PACKET => self.simple_packet(&body).map(|record| Some(Step::Frame(record))),
            ENHANCED_PACKET => self.enhanced_packet(&body, facts).map(|record| Some(Step::Frame(record))),
            JOURNAL | CUSTOM | CUSTOM_LOCAL => {
                custom(&body, facts);
                Some(Some(Step::Number))
            }
            SECTION => {
                body.comments(16, "section", facts);
                facts.by_pcapdroid |= body.options(16).any(pcapdroid::is_author);
                Some(None)
            }
            NAMES => {
                names(&body, facts);
                Some(None)
            }
            STATISTICS => {
                self.statistics(&body);
                body.comments(12, "statistics", facts);
                Some(None)
            }
            SECRETS => {
                secrets(&body, facts);
                Some(None)
            }
            _ => Some(None),
        };
        if taken.is_none() {
            // As tshark: numbers of later frames would not be those that other tools show.
            let detail = format!("the block at byte {} is malformed; what follows was not read", block.at);
            facts.odd(AnomalyKind::ContainerDamaged, None, detail);
            self.ended = true;
        }
        taken.flatten()
    }

    fn interface(&mut self, body: &Body<'_>, facts: &mut Facts) -> Option<()> {
        let link = LinkType(u32::from(body.u16(0)?));
        if self.interfaces.len() >= MAX_INTERFACES {
            return None;
        }
        let mut interface = Interface {
            number: facts.interface(link),
            link,
            snap_len: body.u32(4)?,
            ticks: 1_000_000,
            offset: 0,
        };
        for (code, value) in body.options(8) {
            match (code, value) {
                (9, &[resolution, ..]) => {
                    let base = if resolution & 0x80 == 0 { 10_u128 } else { 2 };
                    // The largest power below 2^128 is 10^38; a resolution beyond is no clock's.
                    interface.ticks = base.checked_pow(u32::from(resolution & 0x7f))?;
                }
                (14, value) => {
                    let seconds = value.first_chunk().map(|&bytes| body.order.u64(bytes).cast_signed());
                    interface.offset = seconds.unwrap_or(0);
                }
                _ => {}
            }
        }
        body.comments(8, "interface", facts);
        self.interfaces.push(interface);
        Some(())
    }

    fn enhanced_packet(&mut self, body: &Body<'_>, facts: &mut Facts) -> Option<Record> {
        let interface = self.at(body.u32(0)?)?;
        let ticks = u64::from(body.u32(4)?) << 32 | u64::from(body.u32(8)?);
        let (len, wire_len) = (body.u32(12)?, body.u32(16)?);
        let mut record = body.record(&interface, Some(interface.time(ticks)), 20, len, wire_len)?;
        let options = usize::try_from(len).ok()?.checked_next_multiple_of(4)?.checked_add(20)?;
        for (code, value) in body.options(options) {
            match (code, value.first_chunk()) {
                (COMMENT, _) => packet_comment(value, &mut record, facts),
                // epb_flags: the lowest two bits say which way the packet went.
                (2, _) if value.first_chunk().is_some_and(|&flags| body.order.u32(flags) & 3 != 0) => {
                    facts.directed = true;
                }
                (4, Some(&count)) => {
                    let counted = self.counted.get_or_insert(0);
                    *counted = counted.saturating_add(body.order.u64(count));
                }
                _ => {}
            }
        }
        Some(record)
    }

    /// A simple packet has neither time nor interface: it belongs to the section's first one.
    fn simple_packet(&self, body: &Body<'_>) -> Option<Record> {
        let interface = self.at(0)?;
        let wire_len = body.u32(0)?;
        let limit = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
        let room = u32::try_from(body.bytes.len()).ok()?.checked_sub(4)?;
        body.record(&interface, None, 4, wire_len.min(limit).min(room), wire_len)
    }

    /// The obsolete packet block (draft-ietf-opsawg-pcapng appendix A).
    fn packet(&mut self, body: &Body<'_>, facts: &mut Facts) -> Option<Record> {
        let interface = self.at(u32::from(body.u16(0)?))?;
        let drops = body.u16(2)?;
        if drops != u16::MAX {
            let counted = self.counted.get_or_insert(0);
            *counted = counted.saturating_add(u64::from(drops));
        }
        let ticks = u64::from(body.u32(4)?) << 32 | u64::from(body.u32(8)?);
        let len = body.u32(12)?;
        let mut record = body.record(&interface, Some(interface.time(ticks)), 20, len, body.u32(16)?)?;
        let options = usize::try_from(len).ok()?.checked_next_multiple_of(4)?.checked_add(20)?;
        for (_, comment) in body.options(options).filter(|(code, _)| *code == COMMENT) {
            packet_comment(comment, &mut record, facts);
        }
        Some(record)
    }

    fn statistics(&mut self, body: &Body<'_>) {
        let Some(interface) = body.u32(0).and_then(|id| self.at(id)) else { return };
        // isb_ifdrop and isb_osdrop: different counters of the same way in.
        let drops = body.options(12).filter(|(code, _)| matches!(code, 5 | 7));
        let values: Vec<u64> =
            drops.filter_map(|(_, value)| Some(body.order.u64(*value.first_chunk()?))).collect();
        if !values.is_empty() {
            let sum = values.into_iter().fold(0, u64::saturating_add);
            self.statistics.insert(interface.number, sum);
        }
    }

    fn at(&self, id: u32) -> Option<Interface> {
        self.interfaces.get(usize::try_from(id).ok()?).copied()
    }
}

impl Interface {
    /// Ticks as nanoseconds since 1970; times outside of what can be written are clamped.
    fn time(&self, ticks: u64) -> Timestamp {
        let ticks = u128::from(ticks);
        let seconds = i128::try_from(ticks / self.ticks).unwrap_or(i128::MAX);
        let rest = (ticks % self.ticks).saturating_mul(1_000_000_000) / self.ticks;
        let nanos = seconds
            .saturating_add(i128::from(self.offset))
            .saturating_mul(1_000_000_000)
            .saturating_add(i128::try_from(rest).unwrap_or(0));
        Timestamp(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

/// A packet's comment: somebody's, or PCAPdroid's user number where such a number was mapped before.
fn packet_comment(comment: &[u8], record: &mut Record, facts: &mut Facts) {
    match pcapdroid::uid_comment(comment).filter(|uid| facts.apps.contains_key(uid)) {
        Some(uid) => record.uid = Some(uid),
        None => facts.comment("packet", comment),
    }
}

/// A custom block begins with its enterprise number; whose it is not known is only counted.
fn custom(body: &Body<'_>, facts: &mut Facts) {
    if body.u32(0) == Some(pcapdroid::ENTERPRISE)
        && let Some(app) = pcapdroid::uid_map(body.bytes.get(4..).unwrap_or_default(), body.order)
    {
        facts.app(app);
    }
}

/// Name resolution: records of an address and the names it has, each ended by a zero.
fn names(body: &Body<'_>, facts: &mut Facts) {
    /// Records of one block.
    const MAX_RECORDS: usize = 65_536;
    let mut at = 0_usize;
    for _ in 0..MAX_RECORDS {
        let (Some(kind), Some(len)) = (body.u16(at), body.u16(at.saturating_add(2))) else { return };
        at += 4;
        if kind == 0 {
            return body.comments(at, "names", facts);
        }
        let Some(value) = body.bytes.get(at..at + usize::from(len)) else { return };
        let (address, names): (IpAddr, &[u8]) = match kind {
            1 => match value.split_first_chunk::<4>() {
                Some((address, names)) => ((*address).into(), names),
                None => return,
            },
            2 => match value.split_first_chunk::<16>() {
                Some((address, names)) => ((*address).into(), names),
                None => return,
            },
            _ => (IpAddr::from([0; 4]), &[]),
        };
        for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            facts.named(address, name);
        }
        at += usize::from(len).next_multiple_of(4);
    }
}

fn secrets(body: &Body<'_>, facts: &mut Facts) {
    let (Some(kind), Some(len)) = (body.u32(0), body.u32(4)) else { return };
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if let Some(options) = len.checked_next_multiple_of(4).and_then(|len| len.checked_add(8)) {
        body.comments(options, "secrets", facts);
    }
    if kind != TLS_KEY_LOG {
        return;
    }
    let text = body.bytes.get(8..).unwrap_or_default();
    facts.secret(body.at + 8, text.get(..len).unwrap_or(text));
}

/// A block's body.
struct Body<'b> {
    bytes: &'b [u8],
    order: ByteOrder,
    /// Where it stands in the file.
    at: u64,
}

impl<'b> Body<'b> {
    fn u16(&self, at: usize) -> Option<u16> {
        self.bytes.get(at..)?.first_chunk().map(|&bytes| self.order.u16(bytes))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.bytes.get(at..)?.first_chunk().map(|&bytes| self.order.u32(bytes))
    }

    /// A record whose `len` bytes stand at `start` of this body; `None` where they don't fit.
    fn record(
        &self,
        interface: &Interface,
        time: Option<Timestamp>,
        start: usize,
        len: u32,
        wire_len: u32,
    ) -> Option<Record> {
        let size = usize::try_from(len).ok()?;
        self.bytes.get(start..start.checked_add(size)?)?;
        (len <= MAX_FRAME).then_some(Record {
            time,
            interface: interface.number,
            link: interface.link,
            wire_len,
            at: self.at + start as u64,
            position: start,
            len: size,
            uid: None,
        })
    }

    /// Keeps the comments among the options that begin at `start`.
    fn comments(&self, start: usize, about: &'static str, facts: &mut Facts) {
        for (_, comment) in self.options(start).filter(|(code, _)| *code == COMMENT) {
            facts.comment(about, comment);
        }
    }

    /// Option codes and values from `start`, up to the end mark or the first that does not fit.
    fn options(&self, start: usize) -> impl Iterator<Item = (u16, &'b [u8])> {
        let (mut rest, order) = (self.bytes.get(start..).unwrap_or_default(), self.order);
        std::iter::from_fn(move || {
            let (head, after) = rest.split_first_chunk::<4>()?;
            let [code, len] = head.as_chunks::<2>().0.first_chunk::<2>()?;
            let (code, len) = (order.u16(*code), usize::from(order.u16(*len)));
            if code == 0 {
                return None;
            }
            let value = after.get(..len)?;
            rest = after.get(len.next_multiple_of(4)..).unwrap_or_default();
            Some((code, value))
        })
        .take(MAX_OPTIONS)
    }
}
