//! The one pass over a capture that sorts its packets into flows.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use super::{
    anomalies::Oddities,
    dhcp::{self, Lease},
    flow::{End, Flow, FlowId, Side},
    packet::{self, Packet, Tcp, Unread},
    reassembly::{self, Choice},
    segments::{Collector, EndKey, Segment, Segments},
    stream::Stream,
};
use crate::{
    case::capture::{Capture, Container, Frame},
    evidence::{Anomaly, AnomalyKind, Blob, FrameNo, Limits, ReadError, Transport},
};

/// Hardware addresses remembered: a hot spot has dozens, an attacker invents one a frame.
const MAX_BINDINGS: usize = 65_536;
/// DHCP leases remembered.
const MAX_LEASES: usize = 4_096;

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A hardware address that sent in the name of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MacBinding {
    /// The network address.
    pub address: IpAddr,
    /// The hardware address (of the last hop: a router's for addresses behind it).
    pub mac: MacAddr,
    /// The first frame that shows it.
    pub frame: FrameNo,
}

/// A capture, sorted into flows.
pub struct Index {
    /// The capture's logical path.
    pub capture: String,
    /// The capture's uncompressed bytes.
    pub blob: Arc<dyn Blob>,
    /// What the file was.
    pub container: Container,
    /// Flows in order of their first frames.
    pub flows: Vec<Flow>,
    /// What is odd in its frames (the container's own anomalies stand in [`Index::container`]).
    pub anomalies: Vec<Anomaly>,
    segments: Segments,
    bindings: Vec<MacBinding>,
    leases: Vec<Lease>,
}

/// Walks a capture once and sorts its packets into flows.
///
/// # Errors
/// When the capture can't be read any more, or references to its payloads can't be written to scratch.
pub fn index(capture: &Capture, limits: &Limits) -> Result<Index, ReadError> {
    let _ = limits;
    let mut pass = Pass::new(capture);
    let mut frames = capture.frames();
    while let Some(frame) = frames.next_frame()? {
        pass.frame(&frame)?;
    }
    pass.finish(capture, frames.finish()?)
}

impl Index {
    /// A flow by its place.
    pub fn flow(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(usize::try_from(id.0).ok()?)
    }

    /// Puts together what one side of a flow sent. Where segments disagree, the first that was captured
    /// stands in the pieces.
    ///
    /// # Errors
    /// When the capture can't be read any more or is not what it was when it was indexed.
    pub fn stream(&self, flow: FlowId, side: Side) -> Result<Stream, ReadError> {
        self.build(flow, side, Choice::First)
    }

    /// The other version of an ambiguous stream: where segments disagree, the last that was captured
    /// stands in the pieces (garbage bytes of keep-alives included).
    ///
    /// # Errors
    /// As [`Index::stream`].
    pub fn stream_last_wins(&self, flow: FlowId, side: Side) -> Result<Stream, ReadError> {
        self.build(flow, side, Choice::Last)
    }

    fn build(&self, id: FlowId, side: Side, choice: Choice) -> Result<Stream, ReadError> {
        let Some(flow) = self.flow(id) else {
            return Ok(Stream::empty(&self.capture, Arc::clone(&self.blob)));
        };
        let key = EndKey::new(id.0, flow.place(side));
        let segments = self.segments.of(key).map_err(|error| ReadError::new("scratch file", 0, error))?;
        let stream = Stream::empty(&self.capture, Arc::clone(&self.blob));
        match flow.transport {
            Transport::Tcp => reassembly::tcp(stream, flow.end(side), segments, choice),
            Transport::Udp => Ok(reassembly::udp(stream, &segments)),
        }
    }

    /// Hardware addresses and the addresses they sent for, sorted by address.
    pub fn mac_bindings(&self) -> &[MacBinding] {
        &self.bindings
    }

    /// Addresses that DHCP gave out, in order.
    pub(super) fn leases(&self) -> &[Lease] {
        &self.leases
    }
}

/// Both ends in a fixed order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    low: IpAddr,
    high: IpAddr,
    ports: (u16, u16),
    transport: Transport,
}

impl Key {
    fn of(packet: &Packet<'_>) -> Self {
        let (a, b) = (packet.source, packet.destination);
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        let transport = if packet.tcp.is_some() { Transport::Tcp } else { Transport::Udp };
        Self { low: low.ip(), high: high.ip(), ports: (low.port(), high.port()), transport }
    }
}

struct Pass {
    name: String,
    /// The latest flow of each pair of ends. Never iterated over.
    latest: HashMap<Key, u32>,
    /// What the last packet found, since packets come in trains.
    recent: Option<(Key, u32)>,
    flows: Vec<Flow>,
    segments: Collector,
    oddities: Oddities,
    truncated: Option<(FrameNo, u64, u64)>,
    bindings: BTreeMap<(IpAddr, MacAddr), FrameNo>,
    leases: Vec<Lease>,
}

impl Pass {
    fn new(capture: &Capture) -> Self {
        Self {
            name: capture.name.clone(),
            latest: HashMap::new(),
            recent: None,
            flows: Vec::new(),
            segments: Collector::new(capture.scratch()),
            oddities: Oddities::default(),
            truncated: None,
            bindings: BTreeMap::new(),
            leases: Vec::new(),
        }
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), ReadError> {
        let stored = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
        if let Some(missing @ 1..) = frame.wire_len.checked_sub(stored) {
            let (_, count, bytes) = self.truncated.get_or_insert((frame.no, 0, 0));
            *count += 1;
            *bytes += u64::from(missing);
        }
        let sliced = packet::slice(frame.link, frame.data, frame.wire_len);
        match sliced.packet {
            Ok(packet) => self.packet(frame, &packet, sliced.mac),
            Err(Unread::Nothing) => Ok(()),
            Err(unread) => {
                let (kind, words) = unread_words(unread);
                self.oddities.add(kind, frame.no, words);
                Ok(())
            }
        }
    }

    fn packet(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        mac: Option<[u8; 6]>,
    ) -> Result<(), ReadError> {
        let Some(number) = self.find(frame, packet) else {
            let words = format!("a flow beyond the first {}", EndKey::MAX_FLOWS);
            self.oddities.add(AnomalyKind::LimitReached, frame.no, words);
            return Ok(());
        };
        let Some(flow) = self.flows.get_mut(number as usize) else { return Ok(()) };
        flow.frames += 1;
        flow.last = flow.last.max(frame.time);
        let from_second = usize::from(packet.source != flow.initiator);
        let [first, second] = &mut flow.ends;
        let (end, other) = if from_second == 0 { (first, second) } else { (second, first) };
        if mac.is_some() && end.mac != mac {
            end.mac = mac;
            bind(&mut self.bindings, packet.source.ip(), mac, frame.no);
        }
        end.frames += 1;
        let len = u32::try_from(packet.payload.data.len()).unwrap_or(u32::MAX);
        let missing =
            u32::try_from(packet.payload.wire - packet.payload.data.len()).unwrap_or(u32::MAX) & !Segment::KEEP_ALIVE;
        let mut segment = Segment {
            key: EndKey::new(number, from_second),
            frame: frame.no.0,
            at: frame.at + packet.payload.at as u64,
            time: frame.time.0,
            seq: 0,
            len,
            crc: 0,
            tail: missing,
        };
        match &packet.tcp {
            Some(tcp) => {
                flow.reset |= tcp.flags.rst();
                if !tcp_state(end, other, tcp, &mut segment) {
                    return Ok(());
                }
            }
            None => dhcp::lease(packet, frame, &mut self.leases, MAX_LEASES),
        }
        if len == 0 && missing == 0 {
            return Ok(());
        }
        end.payload += u64::from(len);
        end.missing += u64::from(missing);
        segment.crc = crc32fast::hash(packet.payload.data);
        self.segments.push(segment).map_err(|error| ReadError::new("scratch file", 0, error))
    }

    /// The flow that a packet belongs to, made where there is none yet.
    fn find(&mut self, frame: &Frame<'_>, packet: &Packet<'_>) -> Option<u32> {
        let key = Key::of(packet);
        let known = match self.recent {
            Some((recent, number)) if recent == key => Some(number),
            _ => self.latest.get(&key).copied(),
        };
        let known = known.filter(|&number| !self.reopens(number, packet));
        let number = match known {
            Some(number) => number,
            None => self.open(key, frame, packet)?,
        };
        self.recent = Some((key, number));
        Some(number)
    }

    /// Whether a SYN opens the ends' next connection: its number is not the one this direction began with
    /// (as Wireshark numbers its tcp.stream).
    fn reopens(&self, number: u32, packet: &Packet<'_>) -> bool {
        let Some(tcp) = packet.tcp.filter(|tcp| tcp.flags.syn() && !tcp.flags.ack()) else { return false };
        let Some(flow) = self.flows.get(number as usize) else { return false };
        let [first, second] = &flow.ends;
        let end = if packet.source == flow.initiator { first } else { second };
        end.base.is_some_and(|base| base != tcp.seq)
    }

    fn open(&mut self, key: Key, frame: &Frame<'_>, packet: &Packet<'_>) -> Option<u32> {
        let number = u32::try_from(self.flows.len()).ok().filter(|&number| number < EndKey::MAX_FLOWS)?;
        // Until the pass ends, the initiator is who sent first.
        self.flows.push(Flow {
            id: FlowId(number),
            transport: key.transport,
            initiator: packet.source,
            responder: packet.destination,
            first_frame: frame.no,
            frames: 0,
            first: frame.time,
            last: frame.time,
            syn_seen: false,
            handshake: false,
            reset: false,
            ends: [End::default(); 2],
            flipped: false,
        });
        self.latest.insert(key, number);
        Some(number)
    }

    fn finish(mut self, capture: &Capture, container: Container) -> Result<Index, ReadError> {
        for flow in &mut self.flows {
            settle(flow);
        }
        let mut anomalies = self.oddities.finish(&self.name);
        if let Some((frame, count, bytes)) = self.truncated {
            let detail = format!("{count} frames were stored without {bytes} of their bytes, the first is this one");
            let (kind, frame) = (AnomalyKind::FrameTruncated, Some(frame));
            anomalies.push(Anomaly { kind, capture: self.name.clone(), frame, flow: None, detail });
        }
        let bindings = self.bindings.into_iter();
        let segments = self.segments.finish().map_err(|error| ReadError::new("scratch file", 0, error))?;
        Ok(Index {
            capture: self.name,
            blob: Arc::clone(&capture.bytes),
            container,
            flows: self.flows,
            anomalies,
            segments,
            bindings: bindings.map(|((address, mac), frame)| MacBinding { address, mac, frame }).collect(),
            leases: self.leases,
        })
    }
}

/// Takes what a segment says of its connection; false where its payload is no data.
fn tcp_state(end: &mut End, other: &mut End, tcp: &Tcp, segment: &mut Segment) -> bool {
    let (syn, fin, ack) = (tcp.flags.syn(), tcp.flags.fin(), tcp.flags.ack());
    end.base.get_or_insert(if syn { tcp.seq } else { tcp.seq.wrapping_sub(1) });
    if syn {
        end.isn.get_or_insert(tcp.seq);
        end.opened |= !ack;
    }
    if ack {
        let (_, highest) = other.acked.get_or_insert((tcp.ack, tcp.ack));
        if after(tcp.ack, *highest) {
            *highest = tcp.ack;
        }
    }
    // A SYN takes a sequence number itself, and data may follow it (RFC 9293 section 3.4, RFC 7413).
    segment.seq = if syn { tcp.seq.wrapping_add(1) } else { tcp.seq };
    let past = segment.seq.wrapping_add(segment.len).wrapping_add(segment.missing());
    if fin {
        end.fin.get_or_insert(past);
    }
    // RFC 9293 section 3.8.4: one octet below the next number, which the other end has acknowledged.
    let acknowledged = end.acked.is_some_and(|(_, highest)| end.next == Some(highest));
    if segment.len == 1 && segment.missing() == 0 && acknowledged && end.next == Some(past) {
        segment.tail |= Segment::KEEP_ALIVE;
    }
    if end.next.is_none_or(|next| after(past, next)) {
        end.next = Some(past);
    }
    // Text in a RST explains it and is no data (RFC 9293 section 3.5.3).
    !tcp.flags.rst()
}

/// Whether a sequence number follows another within half of their circle (RFC 1982).
fn after(number: u32, other: u32) -> bool {
    number.wrapping_sub(other).cast_signed() > 0
}

/// Decides who opened a flow, and whether its handshake was seen.
fn settle(flow: &mut Flow) {
    let [first, second] = &flow.ends;
    let (first_port, second_port) = (flow.initiator.port(), flow.responder.port());
    flow.flipped = match flow.transport {
        // A SYN+ACK alone shows its sender to be the responder.
        Transport::Tcp if first.isn.is_some() || second.isn.is_some() => {
            if first.opened { false } else { second.opened || first.isn.is_some() }
        }
        _ => first_port < 1_024 && second_port >= 1_024,
    };
    let (opener, answerer) = if flow.flipped { (second, first) } else { (first, second) };
    flow.syn_seen = opener.isn.is_some();
    let acknowledged = answerer.isn.zip(answerer.acked).is_some_and(|(isn, (ack, _))| ack == isn.wrapping_add(1));
    flow.handshake = flow.syn_seen && acknowledged;
    if flow.flipped {
        std::mem::swap(&mut flow.initiator, &mut flow.responder);
    }
}

fn bind(
    bindings: &mut BTreeMap<(IpAddr, MacAddr), FrameNo>,
    address: IpAddr,
    mac: Option<[u8; 6]>,
    frame: FrameNo,
) {
    let Some(mac) = mac else { return };
    let full = bindings.len() >= MAX_BINDINGS;
    if let std::collections::btree_map::Entry::Vacant(entry) = bindings.entry((address, MacAddr(mac)))
        && !full
    {
        entry.insert(frame);
    }
}

fn unread_words(unread: Unread) -> (AnomalyKind, String) {
    match unread {
        Unread::Nothing => (AnomalyKind::LinkNotRead, "nothing".to_owned()),
        Unread::Link(link) => {
            (AnomalyKind::LinkNotRead, crate::case::capture::LinkType(link).to_string())
        }
        Unread::Protocol(number) => (AnomalyKind::LinkNotRead, format!("network protocol {number:#06x}")),
        Unread::Llc => (AnomalyKind::LinkNotRead, "IEEE 802.2 without IP".to_owned()),
        Unread::IpProtocol(number) => (AnomalyKind::LinkNotRead, format!("IP protocol {number}")),
        Unread::Fragment => (AnomalyKind::FragmentNotReassembled, "an IP fragment".to_owned()),
        Unread::Malformed(what) => (AnomalyKind::HeaderMalformed, what.to_owned()),
        Unread::Truncated(what) => (AnomalyKind::FrameTruncated, format!("{what} not stored as a whole")),
    }
}
