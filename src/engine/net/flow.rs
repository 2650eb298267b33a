//! A flow: the frames between two endpoints, with a name that other tools can compute too.

use std::net::{IpAddr, SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

use crate::evidence::{FrameNo, Timestamp, Transport};

/// A flow's place in its index, in order of first frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u32);

/// One end of a flow; a stream is the bytes that it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end that opened the connection.
    Initiator,
    /// The other end.
    Responder,
}

impl Side {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::Initiator, Self::Responder];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// The frames between two endpoints: for TCP one connection, for UDP all datagrams of a capture.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its place in the index.
    pub id: FlowId,
    /// TCP or UDP.
    pub transport: Transport,
    /// Who opened it: the sender of the first SYN, or the receiver of a SYN+ACK. Where the capture holds
    /// neither, the end whose port is not below 1,024 while the other's is; else who sent first.
    pub initiator: SocketAddr,
    /// The other end.
    pub responder: SocketAddr,
    /// The first frame.
    pub first_frame: FrameNo,
    /// Frames of both directions.
    pub frames: u32,
    /// The first frame's time.
    pub first: Timestamp,
    /// The latest time of a frame.
    pub last: Timestamp,
    /// Whether the initiator's SYN was captured.
    pub syn_seen: bool,
    /// Whether SYN, SYN+ACK and the ACK of that were captured.
    pub handshake: bool,
    /// Whether either end sent a RST.
    pub reset: bool,
    /// The user number of the phone's app that it belongs to, where the capture says.
    pub uid: Option<i32>,
    /// The ends in the order in which they first sent.
    pub(super) ends: [End; 2],
    /// Whether the initiator is the second of `ends`.
    pub(super) flipped: bool,
    /// Whether a datagram looks like the first of a QUIC connection.
    pub(super) opens_quic: bool,
    /// Whether a segment looks like the greeting of an FTP server.
    pub(super) greets: bool,
}

/// What was seen from one end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    pub(super) frames: u32,
    /// Captured payload bytes, repeated ones included.
    pub(super) payload: u64,
    /// Payload bytes that the frames had but the capture does not hold.
    pub(super) missing: u64,
    /// The first sequence number as tshark counts: of the SYN, or one less than the first seen.
    pub(super) base: Option<u32>,
    /// The SYN's sequence number.
    pub(super) isn: Option<u32>,
    /// Whether that SYN came without an ACK.
    pub(super) opened: bool,
    /// One past the last byte before a FIN.
    pub(super) fin: Option<u32>,
    /// One past the highest byte seen.
    pub(super) next: Option<u32>,
    /// The first and the highest acknowledgement by the other end.
    pub(super) acked: Option<(u32, u32)>,
    /// The largest window that this end has offered, before its scale.
    pub(super) window: u16,
    /// The scale of its windows.
    pub(super) scale: Option<u8>,
    /// The hardware address that last sent in its name.
    pub(super) mac: Option<[u8; 6]>,
}

impl Flow {
    pub(super) fn place(&self, side: Side) -> usize {
        usize::from((side == Side::Responder) != self.flipped)
    }

    pub(super) fn end(&self, side: Side) -> &End {
        let [first, second] = &self.ends;
        if self.place(side) == 0 { first } else { second }
    }

    /// The address and port of a side.
    pub fn address(&self, side: Side) -> SocketAddr {
        match side {
            Side::Initiator => self.initiator,
            Side::Responder => self.responder,
        }
    }

    /// The side that has this address; where both have it, the initiator.
    pub fn side_of(&self, address: IpAddr) -> Option<Side> {
        Side::BOTH.into_iter().find(|&side| self.address(side).ip() == address)
    }

    /// The side whose frame came first.
    pub fn first_sender(&self) -> Side {
        if self.flipped { Side::Responder } else { Side::Initiator }
    }

    /// Captured payload bytes that a side sent, repeated ones included.
    pub fn payload(&self, side: Side) -> u64 {
        self.end(side).payload
    }

    /// Frames that a side sent.
    pub fn frames_of(&self, side: Side) -> u32 {
        self.end(side).frames
    }

    /// `CAPTURE#FIRST-FRAME COMMUNITY-ID`.
    pub fn name(&self, capture: &str) -> String {
        let mut name = String::with_capacity(capture.len() + ROOM);
        name.push_str(capture);
        name.push('#');
        name.push_str(&self.first_frame.0.to_string());
        name.push(' ');
        name.push_str(&self.community_id());
        name
    }

    /// Community ID version 1 with seed 0 (github.com/corelight/community-id-spec).
    pub fn community_id(&self) -> String {
        let protocol = match self.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
        };
        community_id(protocol, self.initiator, self.responder)
    }
}

/// Characters of a Community ID: twenty bytes in base64 behind the version.
const ID: usize = 30;
/// Characters of a name behind the capture's: a number of ten digits, two separators, the Community ID.
const ROOM: usize = 12 + ID;

/// SHA-1 over seed, lower end's address, higher end's, protocol, a zero byte, ports in the same order.
fn community_id(protocol: u8, one: SocketAddr, other: SocketAddr) -> String {
    const SEED: u16 = 0;
    let key = |end: SocketAddr| (end.ip(), end.port());
    // Octet by octet, as an address of its family is ordered.
    let (low, high) = if key(other) < key(one) { (other, one) } else { (one, other) };
    let mut hasher = Sha1::new();
    hasher.update(SEED.to_be_bytes());
    for end in [low, high] {
        match end.ip() {
            IpAddr::V4(ip) => hasher.update(ip.octets()),
            IpAddr::V6(ip) => hasher.update(ip.octets()),
        }
    }
    hasher.update([protocol, 0]);
    hasher.update(low.port().to_be_bytes());
    hasher.update(high.port().to_be_bytes());
    let mut id = String::with_capacity(ID);
    id.push_str("1:");
    STANDARD.encode_string(hasher.finalize(), &mut id);
    id
}
