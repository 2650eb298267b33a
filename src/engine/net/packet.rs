//! One frame's headers from IP to the transport, and the shapes that links and tunnels share.
//!
//! Pure functions of a slice. A header that does not fit ends a frame with its reason.

use std::net::{IpAddr, SocketAddr};

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use super::{link, tunnel};
use crate::case::capture::LinkType;

/// IPv6 extension headers in one packet (RFC 8200 section 4.1 names eight, each at most once or twice).
const MAX_EXTENSIONS: usize = 16;

/// Captured bytes of a layer, and how many it had on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'p> {
    pub(super) data: &'p [u8],
    /// Where in the frame `data` starts.
    pub(super) at: usize,
    pub(super) wire: usize,
    /// Tunnels that may still be taken off.
    depth: u32,
}

impl<'p> View<'p> {
    fn frame(data: &'p [u8], wire_len: u32, depth: u32) -> Self {
        let wire = usize::try_from(wire_len).unwrap_or(usize::MAX).max(data.len());
        Self { data, at: 0, wire, depth }
    }

    /// One past its last captured byte in the frame.
    pub(super) fn end(&self) -> usize {
        self.at.saturating_add(self.data.len())
    }

    /// What a tunnel carries.
    pub(super) fn inside(self) -> Result<Self, Unread<'p>> {
        let depth = self.depth.checked_sub(1).ok_or(Unread::Malformed("tunnels nested too deeply"))?;
        Ok(Self { depth, ..self })
    }

    /// What follows a header.
    pub(super) fn skip(self, bytes: usize) -> Self {
        Self {
            data: self.data.get(bytes..).unwrap_or_default(),
            at: self.at.saturating_add(bytes),
            wire: self.wire.saturating_sub(bytes),
            ..self
        }
    }

    /// Without what a header's length leaves out (Ethernet's padding).
    pub(super) fn limit(self, bytes: usize) -> Self {
        let wire = self.wire.min(bytes);
        Self { data: self.data.get(..wire).unwrap_or(self.data), wire, ..self }
    }

    pub(super) fn u16(&self, at: usize) -> Option<u16> {
        self.data.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&self, at: usize) -> Option<u32> {
        self.data.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
    }

    pub(super) fn u8(&self, at: usize) -> Option<u8> {
        self.data.get(at).copied()
    }
}

/// Bits of the TCP header's thirteenth byte (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TcpFlags(pub(super) u8);

impl TcpFlags {
    pub(super) fn fin(self) -> bool {
        self.0 & 0x01 != 0
    }
    pub(super) fn syn(self) -> bool {
        self.0 & 0x02 != 0
    }
    pub(super) fn rst(self) -> bool {
        self.0 & 0x04 != 0
    }
    pub(super) fn urg(self) -> bool {
        self.0 & 0x20 != 0
    }
    pub(super) fn ack(self) -> bool {
        self.0 & 0x10 != 0
    }
}

/// What TCP says beside ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tcp {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: TcpFlags,
    /// As it stands in the header, without scale.
    pub(super) window: u16,
    /// The shift of later windows, of a SYN that gives one (RFC 7323 section 2.2).
    pub(super) scale: Option<u8>,
    /// How far from its first byte the urgent data end, where it has any (RFC 6093).
    pub(super) urgent: Option<u16>,
}

/// A frame that carries TCP or UDP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'p> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// `None` for UDP.
    pub(super) tcp: Option<Tcp>,
    /// The time to live of the innermost IPv4 header: each router takes one off it (RFC 791).
    pub(super) hops_left: Option<u8>,
    pub(super) payload: View<'p>,
}

/// Why a frame gives no packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unread<'p> {
    /// It carries no payload of anyone's (ARP).
    Nothing,
    /// A link type that is not read here.
    Link(u32),
    /// An EtherType or PPP protocol that is not read here.
    Protocol(u16),
    /// An IEEE 802.3 frame that carries no IP.
    Llc,
    /// An IEEE 802.11 frame that is encrypted.
    Encrypted,
    /// An IP protocol that is not read here.
    IpProtocol(Beside),
    /// An IP fragment.
    Fragment(Fragment<'p>),
    /// Several packets in one IEEE 802.11 frame (A-MSDU): what follows its header.
    Aggregate(View<'p>),
    /// A header that breaks its own lengths.
    Malformed(&'static str),
    /// A header that was not stored as a whole.
    Truncated(&'static str),
}

/// An IP packet whose payload is not read here: ICMP, IPsec, SCTP and others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub(super) protocol: u8,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Bytes behind the headers of IP.
    pub(super) bytes: u64,
}

pub(super) type Read<'p> = Result<Packet<'p>, Unread<'p>>;

/// A part of an IP packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'p> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Of IPv4 sixteen bits (RFC 791), of IPv6 thirty-two (RFC 8200 section 4.5).
    pub(super) id: u32,
    /// What the packet carries.
    pub(super) protocol: u8,
    /// Where in the packet's payload, in bytes.
    pub(super) offset: u32,
    /// Whether more follows.
    pub(super) more: bool,
    pub(super) part: View<'p>,
}

/// A frame's outcome, with the sender's hardware address where the link has one.
pub(super) struct Sliced<'p> {
    pub(super) mac: Option<[u8; 6]>,
    pub(super) packet: Read<'p>,
}

/// Slices a frame; of tunnels the innermost packet that is TCP or UDP counts.
pub(super) fn slice(link: LinkType, data: &[u8], wire_len: u32, depth: u32) -> Sliced<'_> {
    let view = View::frame(data, wire_len, depth);
    Sliced { mac: link::sender(link, &view), packet: link::read(link, view) }
}

/// What fragments say of the packet that they are parts of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    source: IpAddr,
    destination: IpAddr,
    pub(super) protocol: u8,
    depth: u32,
}

impl Fragment<'_> {
    /// What it says of its packet.
    pub(super) fn whole(&self) -> Whole {
        let Self { source, destination, protocol, part: View { depth, .. }, .. } = *self;
        Whole { source, destination, protocol, depth }
    }
}

/// Reads the payload of an IP packet that was put together from fragments, of so many bytes.
pub(super) fn assembled<'p>(whole: &Whole, data: &'p [u8], wire: usize) -> Read<'p> {
    let view = View { data, at: 0, wire: wire.max(data.len()), depth: whole.depth };
    transport(whole.protocol, whole.source, whole.destination, view)
}

/// IPv4 or IPv6, by the version.
pub(super) fn ip(view: View<'_>) -> Read<'_> {
    match view.u8(0).ok_or(Unread::Truncated("IP header"))? >> 4 {
        4 => ipv4(view),
        6 => ipv6(view),
        _ => Err(Unread::Malformed("IP version")),
    }
}

/// RFC 791. Checksums are not judged: offloading cards leave them wrong on what the phone's own side sends.
pub(super) fn ipv4(view: View<'_>) -> Read<'_> {
    let header = Ipv4HeaderSlice::from_slice(view.data).map_err(|error| match error {
        etherparse::err::ipv4::HeaderSliceError::Len(_) => Unread::Truncated("IPv4 header"),
        etherparse::err::ipv4::HeaderSliceError::Content(_) => Unread::Malformed("IPv4 header"),
    })?;
    let (total, len) = (usize::from(header.total_len()), header.slice().len());
    let payload = match total {
        // A segment larger than 64 KiB before offloading splits it.
        0 => view.skip(len),
        total if total < len => return Err(Unread::Malformed("IPv4 total length")),
        total => view.limit(total).skip(len),
    };
    let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
    let protocol = header.protocol().0;
    if header.is_fragmenting_payload() {
        return Err(Unread::Fragment(Fragment {
            source,
            destination,
            id: u32::from(header.identification()),
            protocol,
            offset: u32::from(header.fragments_offset().value()) * 8,
            more: header.more_fragments(),
            part: payload,
        }));
    }
    let mut packet = transport(protocol, source, destination, payload)?;
    packet.hops_left.get_or_insert(header.ttl());
    Ok(packet)
}

/// RFC 8200, with the extension headers of IANA's registry.
pub(super) fn ipv6(view: View<'_>) -> Read<'_> {
    let header = Ipv6HeaderSlice::from_slice(view.data).map_err(|error| match error {
        etherparse::err::ipv6::HeaderSliceError::Len(_) => Unread::Truncated("IPv6 header"),
        etherparse::err::ipv6::HeaderSliceError::Content(_) => Unread::Malformed("IPv6 header"),
    })?;
    let mut payload = match usize::from(header.payload_length()) {
        // A jumbogram (RFC 2675) or a segment before offloading splits it.
        0 => view.skip(40),
        len => view.skip(40).limit(len),
    };
    let mut next = header.next_header().0;
    let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
    for _ in 0..MAX_EXTENSIONS {
        let (following, len) = match next {
            // Hop-by-hop, routing, destination options, mobility, HIP, Shim6: length in units of eight.
            0 | 43 | 60 | 135 | 139 | 140 => {
                (payload.u8(0), payload.u8(1).map(|len| 8 + 8 * usize::from(len)))
            }
            // Authentication header: length in units of four (RFC 4302).
            51 => (payload.u8(0), payload.u8(1).map(|len| 8 + 4 * usize::from(len))),
            44 => {
                let header = (payload.u8(0), payload.u16(2), payload.u32(4));
                let (Some(protocol), Some(place), Some(id)) = header else {
                    return Err(Unread::Truncated("IPv6 fragment header"));
                };
                let (offset, more) = (u32::from(place & 0xfff8), place & 1 != 0);
                // An atomic fragment (RFC 6946) is whole.
                if offset != 0 || more {
                    let part = payload.skip(8);
                    return Err(Unread::Fragment(Fragment {
                        source,
                        destination,
                        id,
                        protocol,
                        offset,
                        more,
                        part,
                    }));
                }
                (Some(protocol), Some(8))
            }
            other => return transport(other, source, destination, payload),
        };
        let (Some(following), Some(len)) = (following, len) else {
            return Err(Unread::Truncated("IPv6 extension header"));
        };
        if len > payload.wire {
            return Err(Unread::Malformed("IPv6 extension header"));
        }
        (next, payload) = (following, payload.skip(len));
    }
    Err(Unread::Malformed("more IPv6 extension headers than a packet may have"))
}

fn transport(protocol: u8, source: IpAddr, destination: IpAddr, view: View<'_>) -> Read<'_> {
    let beside = Beside { protocol, source, destination, bytes: view.wire as u64 };
    match protocol {
        6 => tcp(source, destination, view),
        17 => tunnel::unless_udp_tunnel(udp(source, destination, view)?),
        // IP in IP (RFC 2003), 6in4 and 4in6 (RFC 4213, RFC 2473).
        4 => ipv4(view.inside()?),
        41 => ipv6(view.inside()?),
        47 => tunnel::gre(view),
        // L2TP version 3 (RFC 3931 section 4.1.1); its control messages are no traffic of anyone's.
        115 => tunnel::l2tp_session(view).unwrap_or(Err(Unread::IpProtocol(beside))),
        // The authentication header (RFC 4302) stands before what it protects.
        51 => {
            let (Some(next), Some(len)) = (view.u8(0), view.u8(1)) else {
                return Err(Unread::Truncated("authentication header"));
            };
            transport(next, source, destination, view.skip(8 + 4 * usize::from(len)).inside()?)
        }
        _ => Err(Unread::IpProtocol(beside)),
    }
}

/// RFC 9293 section 3.1.
fn tcp(source: IpAddr, destination: IpAddr, view: View<'_>) -> Read<'_> {
    let &[s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1, _, _, u0, u1] =
        view.data.first_chunk::<20>().ok_or(Unread::Truncated("TCP header"))?;
    let header = usize::from(offset >> 4) * 4;
    if header < 20 || header > view.wire {
        return Err(Unread::Malformed("TCP data offset"));
    }
    let flags = TcpFlags(flags);
    let urgent = u16::from_be_bytes([u0, u1]);
    Ok(Packet {
        source: SocketAddr::new(source, u16::from_be_bytes([s0, s1])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([d0, d1])),
        tcp: Some(Tcp {
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            flags,
            window: u16::from_be_bytes([w0, w1]),
            scale: if flags.syn() { scale(view.data.get(20..header).unwrap_or_default()) } else { None },
            urgent: (flags.urg() && urgent > 0).then_some(urgent),
        }),
        hops_left: None,
        payload: view.skip(header),
    })
}

/// The window scale among the options of a SYN (RFC 7323 section 2.2), at most 14 (section 2.3).
fn scale(mut options: &[u8]) -> Option<u8> {
    loop {
        options = match options {
            [1, rest @ ..] => rest,
            [3, 3, shift, ..] => return Some((*shift).min(14)),
            [kind, len, ..] if *kind > 1 => options.get(usize::from(*len).max(2)..)?,
            _ => return None,
        }
    }
}

/// RFC 768; a length of zero is a jumbogram's (RFC 2675 section 4).
fn udp(source: IpAddr, destination: IpAddr, view: View<'_>) -> Read<'_> {
    let &[s0, s1, d0, d1, l0, l1, ..] =
        view.data.first_chunk::<8>().ok_or(Unread::Truncated("UDP header"))?;
    let payload = match usize::from(u16::from_be_bytes([l0, l1])) {
        0 => view.skip(8),
        len if len < 8 => return Err(Unread::Malformed("UDP length")),
        len => view.limit(len).skip(8),
    };
    Ok(Packet {
        source: SocketAddr::new(source, u16::from_be_bytes([s0, s1])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([d0, d1])),
        tcp: None,
        hops_left: None,
        payload,
    })
}
