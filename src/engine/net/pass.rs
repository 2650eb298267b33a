//! The one pass over a capture that sorts its packets into flows.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    hash::{BuildHasher, RandomState},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hashbrown::HashTable;

use super::{
    anomalies::Oddities,
    dhcp::{self, Lease},
    flow::{End, Flow, FlowId},
    fragments::{Assembled, Disputed, Fragments, Source},
    groups,
    index::{Index, MacAddr, MacBinding},
    link,
    packet::{self, Fragment, Packet, Tcp, Unread, View},
    segments::{Collector, EndKey, Segment},
};
use crate::{
    case::capture::{App, Capture, Container, Frame, LinkType, Trailer, Vantage},
    evidence::{Anomaly, AnomalyKind, ByteRange, FrameNo, ReadError, Timestamp, Transport},
};

/// Hardware addresses remembered: a hot spot has dozens, an attacker invents one a frame.
const MAX_BINDINGS: usize = 65_536;
/// Apps remembered: Android gives out 10,000 user numbers for apps.
const MAX_APPS: usize = 65_536;
/// Disputes between fragments remembered; their packets are flagged beyond it too.
const MAX_DISPUTED: usize = 65_536;
/// Urgent bytes remembered: of today's protocols only Telnet and the r-commands send any.
const MAX_URGENT: usize = 65_536;
/// DHCP leases remembered.
const MAX_LEASES: usize = 4_096;

/// Seconds in which a source sent packets of protocols that are not read: three days of one that pings all the time.
const MAX_BESIDE: usize = 1 << 18;

/// Both ends in a fixed order.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    low: SocketAddr,
    high: SocketAddr,
    transport: Transport,
}

impl Key {
    fn new(a: SocketAddr, b: SocketAddr, transport: Transport) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        Self { low, high, transport }
    }

    fn of(packet: &Packet<'_>) -> Self {
        let transport = if packet.tcp.is_some() { Transport::Tcp } else { Transport::Udp };
        Self::new(packet.source, packet.destination, transport)
    }

    fn of_flow(flow: &Flow) -> Self {
        Self::new(flow.initiator, flow.responder, flow.transport)
    }

    /// Keyed anew for each pass, so that nobody can make a capture whose flows collide.
    fn hash(&self, state: &RandomState) -> u64 {
        let bits = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let ports = u32::from(self.low.port()) << 16 | u32::from(self.high.port());
        let tcp = self.transport == Transport::Tcp;
        match (self.low.ip(), self.high.ip()) {
            // In one word, which takes a third of the rounds.
            (IpAddr::V4(low), IpAddr::V4(high)) => {
                let ends = u64::from(low.to_bits()) << 32 | u64::from(high.to_bits());
                state.hash_one(u128::from(ends) << 64 | u128::from(ports) << 32 | u128::from(tcp))
            }
            (low, high) => state.hash_one((bits(low), bits(high), ports, tcp)),
        }
    }
}

/// What the pass has found so far.
pub(super) struct Pass {
    name: String,
    /// The latest flow of each pair of ends, by number. Never iterated over.
    latest: HashTable<u32>,
    hashes: RandomState,
    /// What the last packet found, since packets come in trains.
    recent: Option<(Key, u32)>,
    flows: Vec<Flow>,
    segments: Collector,
    /// Tunnels that are taken off one frame.
    depth: u32,
    fragments: Fragments,
    /// Datagrams and their parts so far.
    datagrams: u32,
    oddities: Oddities,
    /// Bytes of IP packets whose payload is not read, by second and source.
    beside: BTreeMap<(Timestamp, IpAddr), u64>,
    truncated: Option<(FrameNo, u64, u64)>,
    bindings: BTreeMap<(IpAddr, MacAddr), FrameNo>,
    hops_left: BTreeMap<IpAddr, u8>,
    leases: Vec<Lease>,
    /// Payload about which fragments disagree.
    disputed: Vec<(EndKey, Disputed)>,
    /// Bytes that were marked as urgent, by sequence number.
    urgent: Vec<(EndKey, FrameNo, u32)>,
    /// Apps that frames name, by user number.
    apps: BTreeMap<i32, App>,
}

impl Pass {
    pub(super) fn new(capture: &Capture, depth: u32) -> Self {
        Self {
            name: capture.name.clone(),
            latest: HashTable::new(),
            hashes: RandomState::new(),
            recent: None,
            flows: Vec::new(),
            segments: Collector::new(capture.scratch()),
            depth,
            fragments: Fragments::default(),
            datagrams: 0,
            oddities: Oddities::default(),
            beside: BTreeMap::new(),
            truncated: None,
            bindings: BTreeMap::new(),
            hops_left: BTreeMap::new(),
            leases: Vec::new(),
            disputed: Vec::new(),
            urgent: Vec::new(),
            apps: BTreeMap::new(),
        }
    }

    /// Takes the next frame.
    pub(super) fn frame(&mut self, frame: &Frame<'_>) -> Result<(), ReadError> {
        let stored = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
        if let Some(missing @ 1..) = frame.wire_len.checked_sub(stored) {
            let (_, count, bytes) = self.truncated.get_or_insert((frame.no, 0, 0));
            *count += 1;
            *bytes += u64::from(missing);
        }
        let sliced = packet::slice(frame.link, frame.data, frame.wire_len, self.depth);
        let frame = &Frame { uid: frame.uid.or_else(|| self.trailer(frame, &sliced.packet)), ..*frame };
        match sliced.packet {
            Err(Unread::Aggregate(view)) => {
                link::aggregated(view).try_for_each(|(mac, packet)| self.read(frame, packet, mac))
            }
            packet => self.read(frame, packet, sliced.mac),
        }
    }

    /// Takes what a frame, or a part of it, was read as.
    fn read(
        &mut self,
        frame: &Frame<'_>,
        packet: packet::Read<'_>,
        mac: Option<[u8; 6]>,
    ) -> Result<(), ReadError> {
        match packet {
            Ok(packet) => {
                let (at, len) = (frame.at + packet.payload.at as u64, packet.payload.data.len() as u64);
                let range = ByteRange::new(0, len);
                let source = Source { range, at, frame: frame.no, time: frame.time };
                self.packet(frame, &packet, mac, &[source])
            }
            Err(Unread::Fragment(fragment)) => self.fragment(frame, fragment, mac),
            Err(unread) => {
                self.unread(frame, &unread);
                Ok(())
            }
        }
    }

    /// The user number of the app that PCAPdroid's trailer names.
    fn trailer(&mut self, frame: &Frame<'_>, packet: &packet::Read<'_>) -> Option<i32> {
        let end = match packet {
            Ok(packet) => packet.payload.end(),
            Err(Unread::Fragment(fragment)) => fragment.part.end(),
            Err(_) => return None,
        };
        let Trailer { app, intact } = Trailer::read(frame.data, end)?;
        if !intact {
            let words = "PCAPdroid's trailer with another frame check sequence than the frame's".to_owned();
            self.oddities.add(AnomalyKind::HeaderMalformed, frame.no, words);
        }
        let uid = app.uid;
        if self.apps.len() < MAX_APPS {
            self.apps.entry(uid).or_insert(app);
        }
        Some(uid)
    }

    fn unread(&mut self, frame: &Frame<'_>, unread: &Unread<'_>) {
        let whole = u64::from(frame.wire_len) <= frame.data.len() as u64;
        if let Some((kind, words)) = unread_words(unread, whole) {
            self.oddities.add(kind, frame.no, words);
        }
        if let Unread::IpProtocol(beside) = unread
            && leaves_the_link(beside.destination)
        {
            let second = frame.time.second();
            let full = self.beside.len() >= MAX_BESIDE;
            match self.beside.entry((second, beside.source)) {
                Entry::Occupied(mut entry) => *entry.get_mut() += beside.bytes,
                Entry::Vacant(entry) if !full => drop(entry.insert(beside.bytes)),
                Entry::Vacant(_) => {
                    let words = "an IP packet of a protocol that is not read, and is not counted".to_owned();
                    self.oddities.add(AnomalyKind::LimitReached, frame.no, words);
                }
            }
        }
    }

    /// Takes a fragment, and the packet that it completes; what is inside may be a fragment again.
    fn fragment(
        &mut self,
        frame: &Frame<'_>,
        fragment: Fragment<'_>,
        mac: Option<[u8; 6]>,
    ) -> Result<(), ReadError> {
        // The flow begins here, whenever the rest comes.
        if fragment.offset == 0
            && let Ok(packet) = packet::assembled(&fragment.whole(), fragment.part.data, usize::MAX)
        {
            self.find(frame, &packet);
        }
        if let Some(whole) = self.fragments.add(&fragment, frame) {
            self.assembled(frame, &whole, mac)?;
        }
        self.parts(frame)
    }

    /// Takes packets whose rest never came.
    fn parts(&mut self, frame: &Frame<'_>) -> Result<(), ReadError> {
        for part in self.fragments.parts() {
            let frame = Frame { no: part.first, time: part.since, uid: None, ..*frame };
            self.assembled(&frame, &part, None)?;
        }
        Ok(())
    }

    fn assembled(
        &mut self,
        frame: &Frame<'_>,
        whole: &Assembled,
        mac: Option<[u8; 6]>,
    ) -> Result<(), ReadError> {
        if whole.ambiguous {
            let words = "IP fragments overlap with other bytes".to_owned();
            self.oddities.add(AnomalyKind::ConflictOverlap, frame.no, words);
        }
        match packet::assembled(&whole.packet, &whole.bytes, place(whole.wire)) {
            Ok(packet) => {
                let start = packet.payload.at as u64;
                let payload = ByteRange::new(start, start + packet.payload.data.len() as u64);
                let part = |source: &Source| {
                    let range = source.range.intersection(payload)?;
                    let at = source.at + (range.start - source.range.start);
                    let range = ByteRange::new(range.start - start, range.end - start);
                    Some(Source { range, at, ..*source })
                };
                let sources: Vec<Source> = whole.sources.iter().filter_map(part).collect();
                self.packet(frame, &packet, mac, &sources)?;
                self.dispute(frame, &packet, payload, &whole.disputed);
                Ok(())
            }
            Err(Unread::Fragment(_)) => {
                let words = "an IP fragment inside fragments".to_owned();
                self.oddities.add(AnomalyKind::FragmentNotReassembled, frame.no, words);
                Ok(())
            }
            Err(unread) => {
                self.unread(frame, &unread);
                Ok(())
            }
        }
    }

    /// Notes about which bytes of a packet's payload its fragments disagree.
    fn dispute(&mut self, frame: &Frame<'_>, packet: &Packet<'_>, payload: ByteRange, disputed: &[Disputed]) {
        if disputed.is_empty() {
            return;
        }
        let Some(number) = self.find(frame, packet) else { return };
        let from_second = self.flows.get(number as usize).is_some_and(|flow| packet.source != flow.initiator);
        let key = EndKey::new(number, usize::from(from_second));
        for disputed in disputed {
            let Some(range) = disputed.range.intersection(payload) else { continue };
            if self.disputed.len() >= MAX_DISPUTED {
                return;
            }
            let cut = range.start - disputed.range.start;
            let (kept_at, other_at) = (disputed.kept_at + cut, disputed.other_at + cut);
            self.disputed.push((key, Disputed { range, kept_at, other_at, ..*disputed }));
        }
    }

    fn packet(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        mac: Option<[u8; 6]>,
        sources: &[Source],
    ) -> Result<(), ReadError> {
        let Some(number) = self.find(frame, packet) else {
            let words = format!("a flow beyond the first {}", EndKey::MAX_FLOWS);
            self.oddities.add(AnomalyKind::LimitReached, frame.no, words);
            return Ok(());
        };
        let Some(flow) = self.flows.get_mut(number as usize) else { return Ok(()) };
        flow.frames += 1;
        flow.last = flow.last.max(frame.time);
        // Below zero the app was not known; a connection can be found to be an app's while it runs.
        if let Some(uid) = frame.uid.filter(|&uid| uid >= 0)
            && *flow.uid.get_or_insert(uid) != uid
        {
            let words = "a packet of another app than the flow's first".to_owned();
            self.oddities.add(AnomalyKind::HeaderMalformed, frame.no, words);
        }
        let from_second = packet.source != flow.initiator;
        let [first, second] = &mut flow.ends;
        let (end, other) = if from_second { (second, first) } else { (first, second) };
        if mac.is_some() && end.mac != mac {
            end.mac = mac;
            bind(&mut self.bindings, packet.source.ip(), mac, frame.no);
        }
        end.frames += 1;
        let View { data, wire, .. } = packet.payload;
        flow.opens_quic |= packet.tcp.is_none() && groups::may_open_quic(data, wire);
        flow.greets |= packet.tcp.is_some() && groups::may_greet(data);
        let missing = Segment::tail(wire - data.len());
        let held: u64 = sources.iter().map(|source| source.range.len()).sum();
        let (seq, mark) = match &packet.tcp {
            Some(tcp) => {
                if let Some(hops) = packet.hops_left.filter(|_| tcp.flags.syn() && !tcp.flags.ack())
                    && (self.hops_left.len() < MAX_BINDINGS)
                {
                    self.hops_left.entry(packet.source.ip()).or_insert(hops);
                }
                flow.reset |= tcp.flags.rst();
                if tcp.flags.rst() && is_outside_window(end, other, tcp) {
                    let words = "a RST outside its receiver's window, which ignores it".to_owned();
                    self.oddities.add(AnomalyKind::ResetOutsideWindow, frame.no, words);
                }
                if let Some(past) = tcp.urgent.filter(|_| self.urgent.len() < MAX_URGENT) {
                    let at = tcp.seq.wrapping_add(u32::from(past)).wrapping_sub(1);
                    self.urgent.push((EndKey::new(number, usize::from(from_second)), frame.no, at));
                }
                let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
                tcp_state(end, other, tcp, len, missing)
            }
            None => {
                dhcp::lease(packet, frame, &mut self.leases, MAX_LEASES);
                (self.datagrams, Segment::DATAGRAM)
            }
        };
        end.payload += held;
        end.missing += u64::from(missing) + (data.len() as u64 - held);
        let key = EndKey::new(number, usize::from(from_second));
        for (part, source) in sources.iter().enumerate() {
            let bytes = data.get(place(source.range.start)..place(source.range.end)).unwrap_or_default();
            let datagram = mark == Segment::DATAGRAM;
            // A fragment that never came: sequence numbers show it, datagrams have to be told.
            let tail = match sources.get(part + 1) {
                None => missing,
                Some(next) if datagram => Segment::tail(place(next.range.start - source.range.end)),
                Some(_) => 0,
            };
            if bytes.is_empty() && tail == 0 {
                continue;
            }
            let offset = u32::try_from(source.range.start).unwrap_or(u32::MAX);
            let continues = if datagram && part > 0 { Segment::CONTINUES } else { 0 };
            let segment = Segment {
                key,
                frame: source.frame.0,
                at: source.at,
                time: source.time.0,
                seq: if datagram { self.datagrams } else { seq.wrapping_add(offset) },
                len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                crc: crc32fast::hash(bytes),
                tail: tail | mark | continues,
            };
            self.datagrams = self.datagrams.wrapping_add(u32::from(datagram));
            self.segments.push(segment).map_err(|error| ReadError::new("scratch file", 0, error))?;
        }
        Ok(())
    }

    /// The flow that a packet belongs to, made where there is none yet.
    fn find(&mut self, frame: &Frame<'_>, packet: &Packet<'_>) -> Option<u32> {
        let key = Key::of(packet);
        let known = match self.recent {
            Some((recent, number)) if recent == key => Some(number),
            _ => {
                let same = |&number: &u32| self.is_between(number, &key);
                self.latest.find(key.hash(&self.hashes), same).copied()
            }
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
            uid: None,
            ends: [End::default(); 2],
            flipped: false,
            opens_quic: false,
            greets: false,
        });
        let Self { latest, hashes, flows, .. } = self;
        let key_of = |&number: &u32| flows.get(number as usize).map(Key::of_flow);
        let rehash = |number: &u32| key_of(number).map_or(0, |key| key.hash(hashes));
        latest
            .entry(key.hash(hashes), |number| key_of(number) == Some(key), rehash)
            .and_modify(|known| *known = number)
            .or_insert(number);
        Some(number)
    }

    fn is_between(&self, number: u32, key: &Key) -> bool {
        self.flows.get(number as usize).is_some_and(|flow| Key::of_flow(flow) == *key)
    }

    /// Sums up.
    pub(super) fn finish(mut self, capture: &Capture, mut container: Container) -> Result<Index, ReadError> {
        self.fragments.give_up_all();
        let (no, time, link) = (FrameNo(0), Timestamp(0), LinkType::default());
        self.parts(&Frame { no, time, interface: 0, link, wire_len: 0, at: 0, data: &[], uid: None })?;
        // A trailer says nothing of the way a packet went, which PCAPdroid's VPN leaves out.
        if !self.apps.is_empty() {
            container.vantage.get_or_insert(Vantage::VpnApp);
        }
        for (uid, app) in std::mem::take(&mut self.apps) {
            container.apps.entry(uid).or_insert(app);
        }
        for flow in &mut self.flows {
            settle(flow);
        }
        let mut anomalies = self.oddities.finish(&self.name);
        if let Some((frame, count)) = self.fragments.finish() {
            let frames = if count == 1 { "1 frame".to_owned() } else { format!("{count} frames") };
            let detail =
                format!("parts of IP packets that never became whole: {frames}, the first is this one");
            let (kind, frame) = (AnomalyKind::FragmentNotReassembled, Some(frame));
            anomalies.push(Anomaly { kind, capture: self.name.clone(), frame, flow: None, detail });
        }
        if let Some((frame, count, bytes)) = self.truncated {
            let detail =
                format!("{count} frames were stored without {bytes} of their bytes, the first is this one");
            let (kind, frame) = (AnomalyKind::FrameTruncated, Some(frame));
            anomalies.push(Anomaly { kind, capture: self.name.clone(), frame, flow: None, detail });
        }
        let bindings = self.bindings.into_iter();
        let segments = self.segments.finish().map_err(|error| ReadError::new("scratch file", 0, error))?;
        Ok(Index {
            near: Arc::default(),
            capture: self.name,
            blob: Arc::clone(&capture.bytes),
            container,
            flows: self.flows,
            anomalies,
            beside: self.beside,
            segments,
            hops_left: self.hops_left,
            bindings: bindings.map(|((address, mac), frame)| MacBinding { address, mac, frame }).collect(),
            leases: self.leases,
            urgent: {
                self.urgent.sort_unstable();
                self.urgent
            },
            disputed: {
                self.disputed.sort_by_key(|(key, disputed)| (*key, disputed.other));
                self.disputed
            },
        })
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Whether a RST's number lies outside what its receiver would take (RFC 9293 section 3.10.7.4). Unknown is no.
fn is_outside_window(sender: &End, receiver: &End, tcp: &Tcp) -> bool {
    // What the receiver has acknowledged; without an acknowledgement nothing is known, and a RST may answer a SYN.
    let Some((_, next)) = sender.acked else { return false };
    // Both ends have to give a scale for it to hold, and a SYN that was not captured may have given the largest.
    let scale = match (sender.isn, receiver.isn) {
        (Some(_), Some(_)) => sender.scale.and(receiver.scale).unwrap_or(0),
        _ => 14,
    };
    let window = u32::from(receiver.window.max(1)) << scale;
    // Acknowledgements may have been missed, as far as the sender's own numbers go.
    let reach = sender.next.map_or(0, |sent| if after(sent, next) { sent.wrapping_sub(next) } else { 0 });
    tcp.seq.wrapping_sub(next) > window.saturating_add(reach)
}

/// Takes what a segment says of its connection; gives its data's sequence number and mark.
fn tcp_state(end: &mut End, other: &mut End, tcp: &Tcp, len: u32, missing: u32) -> (u32, u32) {
    let (syn, fin, ack) = (tcp.flags.syn(), tcp.flags.fin(), tcp.flags.ack());
    end.base.get_or_insert(if syn { tcp.seq } else { tcp.seq.wrapping_sub(1) });
    // A RST's numbers may be anyone's: it is often injected.
    if tcp.flags.rst() {
        return (tcp.seq, Segment::RESET);
    }
    end.window = end.window.max(tcp.window);
    if syn {
        end.scale = end.scale.or(tcp.scale);
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
    let seq = if syn { tcp.seq.wrapping_add(1) } else { tcp.seq };
    let past = seq.wrapping_add(len).wrapping_add(missing);
    if fin {
        end.fin.get_or_insert(past);
    }
    // RFC 9293 section 3.8.4: one octet below the next number, which the other end has acknowledged.
    let acknowledged = end.acked.is_some_and(|(_, highest)| end.next == Some(highest));
    let keep_alive = len == 1 && missing == 0 && acknowledged && end.next == Some(past);
    if end.next.is_none_or(|next| after(past, next)) {
        end.next = Some(past);
    }
    let mark = if keep_alive { Segment::KEEP_ALIVE } else { 0 };
    (seq, mark)
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
            if first.opened {
                false
            } else {
                second.opened || first.isn.is_some()
            }
        }
        _ => first_port < 1_024 && second_port >= 1_024,
    };
    let (opener, answerer) = if flow.flipped { (second, first) } else { (first, second) };
    flow.syn_seen = opener.isn.is_some();
    let acknowledged =
        answerer.isn.zip(answerer.acked).is_some_and(|(isn, (ack, _))| ack == isn.wrapping_add(1));
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

/// Whether a packet to this address may be carried beyond the link that it was captured on: neighbours and groups of hosts are
/// told and asked there alone (RFC 4861, RFC 3376, RFC 3810).
fn leaves_the_link(destination: IpAddr) -> bool {
    match destination {
        IpAddr::V4(to) => !to.is_multicast() && !to.is_broadcast(),
        IpAddr::V6(to) => !to.is_multicast() && !to.is_unicast_link_local(),
    }
}

/// The kind and words of what is not read; `None` for what carries nothing of anyone's.
fn unread_words(unread: &Unread<'_>, whole: bool) -> Option<(AnomalyKind, String)> {
    let (kind, words) = match unread {
        Unread::Nothing => return None,
        Unread::Link(link) => (AnomalyKind::LinkNotRead, LinkType(*link).to_string()),
        Unread::Protocol(number) => (AnomalyKind::LinkNotRead, format!("network protocol {number:#06x}")),
        Unread::Llc => (AnomalyKind::LinkNotRead, "IEEE 802.2 without IP".to_owned()),
        Unread::Encrypted => (AnomalyKind::LinkNotRead, "encrypted IEEE 802.11".to_owned()),
        Unread::IpProtocol(beside) => (AnomalyKind::LinkNotRead, format!("IP protocol {}", beside.protocol)),
        Unread::Aggregate(_) => (AnomalyKind::LinkNotRead, "an aggregate inside an aggregate".to_owned()),
        Unread::Fragment(_) => (AnomalyKind::FragmentNotReassembled, "an IP fragment".to_owned()),
        Unread::Malformed(what) => (AnomalyKind::HeaderMalformed, (*what).to_owned()),
        Unread::Truncated(what) if whole => {
            (AnomalyKind::HeaderMalformed, format!("{what} longer than its frame"))
        }
        Unread::Truncated(what) => (AnomalyKind::FrameTruncated, format!("{what} not stored as a whole")),
    };
    Some((kind, words))
}
