//! Opened packets by reference: their plaintext is decrypted again whenever it is read.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    engine::{
        net::stream::Stream,
        proto::quic::{Keys, Opened},
    },
    evidence::{Blob, ByteRange, read_exact_at},
};

/// Where one packet stands, and what opens it.
#[derive(Debug)]
struct Packet {
    /// Its first byte in the captured stream.
    outer: u64,
    /// Its first byte in the capture's (uncompressed) bytes.
    at: u64,
    /// Its bytes.
    len: u32,
    /// Where its number starts.
    number_at: u32,
    /// Where its payload starts.
    payload_at: u32,
    /// Which of the keys open it.
    keys: u32,
    number: u64,
    /// Where its payload stands among all payloads.
    plain: u64,
}

/// All packets of one direction of one flow that were opened, in the order in which they were.
#[derive(Debug, Default)]
pub(super) struct Packets {
    list: Vec<Packet>,
    keys: Vec<Arc<Keys>>,
    /// Packets that do not stand in one run (IP fragments): place and length of each part.
    scattered: BTreeMap<u32, Vec<(u64, u64)>>,
    plain: u64,
}

impl Packets {
    /// Adds a packet that stands at `range` of `stream`; `None` when there are more than can be numbered.
    pub(super) fn add(
        &mut self,
        stream: &Stream,
        range: ByteRange,
        number_at: usize,
        opened: &Opened,
    ) -> Option<u32> {
        let id = u32::try_from(self.list.len()).ok()?;
        let parts = stream.pieces_in(range).iter().filter_map(|piece| {
            let part = piece.range.intersection(range)?;
            Some((piece.at + (part.start - piece.range.start), part.len()))
        });
        let parts: Vec<(u64, u64)> = parts.collect();
        let (at, _) = *parts.first()?;
        if parts.len() > 1 {
            self.scattered.insert(id, parts);
        }
        let narrow = |number: usize| u32::try_from(number).ok();
        let keys = self.keys_of(&opened.keys)?;
        self.list.push(Packet {
            outer: range.start,
            at,
            len: u32::try_from(range.len()).ok()?,
            number_at: narrow(number_at)?,
            payload_at: narrow(opened.payload_at)?,
            keys,
            number: opened.number,
            plain: self.plain,
        });
        self.plain += opened.payload.len() as u64;
        Some(id)
    }

    fn keys_of(&mut self, keys: &Arc<Keys>) -> Option<u32> {
        let known = self.keys.iter().rposition(|known| Arc::ptr_eq(known, keys));
        let place = known.unwrap_or_else(|| {
            self.keys.push(keys.clone());
            self.keys.len() - 1
        });
        u32::try_from(place).ok()
    }

    fn packet(&self, id: u32) -> Option<&Packet> {
        self.list.get(usize::try_from(id).ok()?)
    }

    /// Where a packet's payload starts in the captured stream.
    pub(super) fn outer(&self, id: u32) -> u64 {
        self.packet(id).map_or(0, |packet| packet.outer + u64::from(packet.payload_at))
    }

    /// Where a packet's payload starts among all payloads.
    pub(super) fn plain(&self, id: u32) -> u64 {
        self.packet(id).map_or(0, |packet| packet.plain)
    }

    /// What of the captured stream was opened: payloads without their tags, sorted.
    pub(super) fn opened(&self) -> Vec<ByteRange> {
        let payload = |(place, packet): (usize, &Packet)| {
            let end = self.list.get(place + 1).map_or(self.plain, |next| next.plain);
            let start = packet.outer + u64::from(packet.payload_at);
            ByteRange::new(start, start + (end - packet.plain))
        };
        ByteRange::unite(self.list.iter().enumerate().map(payload))
    }
}

/// The payloads of packets, one after the other.
pub(super) struct Plain {
    packets: Arc<Packets>,
    capture: Arc<dyn Blob>,
    /// The packet that was read last.
    last: Mutex<Option<(usize, Vec<u8>)>>,
}

impl Plain {
    pub(super) fn new(packets: Arc<Packets>, capture: Arc<dyn Blob>) -> Self {
        Self { packets, capture, last: Mutex::new(None) }
    }

    /// Opens a packet once more. That its tag verifies shows that the bytes are those that were read before.
    fn open(&self, place: usize) -> io::Result<Vec<u8>> {
        let changed = || io::Error::other("a packet does not open any more");
        let packet = self.packets.list.get(place).ok_or_else(changed)?;
        let mut sealed = vec![0; usize::try_from(packet.len).map_err(|_| changed())?];
        let id = u32::try_from(place).map_err(|_| changed())?;
        let whole = [(packet.at, u64::from(packet.len))];
        let mut rest = sealed.as_mut_slice();
        for (at, len) in self.packets.scattered.get(&id).map_or(whole.as_slice(), Vec::as_slice) {
            let len = usize::try_from(*len).map_err(|_| changed())?;
            let (part, after) = rest.split_at_mut_checked(len).ok_or_else(changed)?;
            read_exact_at(&*self.capture, part, *at)?;
            rest = after;
        }
        let keys = usize::try_from(packet.keys).ok().and_then(|keys| self.packets.keys.get(keys));
        let number_at = usize::try_from(packet.number_at).map_err(|_| changed())?;
        keys.and_then(|keys| keys.reopen(&sealed, number_at, packet.number)).ok_or_else(changed)
    }
}

impl Blob for Plain {
    fn len(&self) -> u64 {
        self.packets.plain
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.packets.plain || buf.is_empty() {
            return Ok(0);
        }
        let after = self.packets.list.partition_point(|packet| packet.plain <= offset);
        let Some(place) = after.checked_sub(1) else { return Ok(0) };
        let start = self.packets.list.get(place).map_or(0, |packet| packet.plain);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(known, _)| *known != place) {
            *last = Some((place, self.open(place)?));
        }
        let payload = last.as_ref().map_or(&[][..], |(_, payload)| payload);
        let from = usize::try_from(offset - start).unwrap_or(usize::MAX);
        let bytes = payload.get(from..).unwrap_or_default();
        let len = bytes.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }
}
