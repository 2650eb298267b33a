//! A capture sorted into flows, and the streams of each.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use super::{
    dhcp::Lease,
    flow::{Flow, FlowId, Side},
    fragments::Disputed,
    groups::{self, Groups},
    near::Near,
    pass::Pass,
    reassembly::{self, Choice},
    segments::{EndKey, Segments},
    stream::Stream,
};
use crate::{
    case::capture::{Capture, Container},
    evidence::{Anomaly, Blob, FrameNo, Limits, ReadError, Timestamp, Transport},
};

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

/// Disputes between fragments of one stream that are looked up: more are an attack on the reader.
const MAX_DISPUTED: usize = 1_000;

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
    /// Bytes of IP packets whose payload is not read and which may leave their link, by second and source.
    pub(super) beside: BTreeMap<(Timestamp, IpAddr), u64>,
    pub(super) segments: Segments,
    /// What its streams have read lately.
    pub(super) near: Arc<Mutex<Near>>,
    pub(super) bindings: Vec<MacBinding>,
    /// Hops that are left to the first SYN of an IPv4 address.
    pub(super) hops_left: BTreeMap<IpAddr, u8>,
    pub(super) leases: Vec<Lease>,
    /// By end and frame.
    pub(super) urgent: Vec<(EndKey, FrameNo, u32)>,
    /// By end and frame.
    pub(super) disputed: Vec<(EndKey, Disputed)>,
}

/// Walks a capture once and sorts its packets into flows.
///
/// # Errors
/// When the capture can't be read any more, or references to its payloads can't be written to scratch.
pub fn index(capture: &Capture, limits: &Limits) -> Result<Index, ReadError> {
    let mut pass = Pass::new(capture, limits.max_depth);
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

    /// All flows, each once: those that need each other stand together, in order of their first frames.
    pub fn groups(&self) -> Groups {
        groups::group(&self.flows)
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
        let stream = Stream::beside(&self.capture, Arc::clone(&self.blob), Arc::clone(&self.near));
        let mut stream = match flow.transport {
            Transport::Tcp => {
                let addresses = (flow.address(side), flow.address(side.other()));
                let from = self.urgent.partition_point(|(other, ..)| *other < key);
                let urgent = self.urgent.iter().skip(from).take_while(|(other, ..)| *other == key);
                let urgent = urgent.map(|&(_, frame, number)| (frame, number)).collect();
                reassembly::tcp(stream, flow.end(side), addresses, segments, urgent, choice)?
            }
            Transport::Udp => reassembly::udp(stream, &segments),
        };
        let from = self.disputed.partition_point(|(other, _)| *other < key);
        let disputed = self.disputed.iter().skip(from).take_while(|(other, _)| *other == key);
        for (_, disputed) in disputed.take(MAX_DISPUTED) {
            stream.dispute(disputed, choice)?;
        }
        Ok(stream)
    }

    /// Hardware addresses and the addresses they sent for, sorted by address.
    pub fn mac_bindings(&self) -> &[MacBinding] {
        &self.bindings
    }

    /// Bytes behind the headers of IP packets of protocols that are not read (ICMP, IPsec, …), by the second in which they were
    /// captured and their source; without those to neighbours and groups, which stay on their link.
    pub fn beside(&self) -> impl Iterator<Item = (Timestamp, IpAddr, u64)> + '_ {
        self.beside.iter().map(|((second, source), bytes)| (*second, *source, *bytes))
    }

    /// The time to live of an IPv4 address's first SYN, as it stood at the point of capture.
    pub fn hops_left(&self, address: IpAddr) -> Option<u8> {
        self.hops_left.get(&address).copied()
    }

    /// Addresses that DHCP gave out, in order.
    pub(super) fn leases(&self) -> &[Lease] {
        &self.leases
    }
}
