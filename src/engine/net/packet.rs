//! One frame's headers, from the link to the transport. Pure functions of a slice.

use std::net::{IpAddr, SocketAddr};

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use crate::case::capture::LinkType;

/// IPv6 extension headers in one packet (RFC 8200 section 4.1 names eight, each at most once or twice).
const MAX_EXTENSIONS: usize = 16;
/// VLAN tags and MPLS labels on one frame; networks stack two or three.
const MAX_TAGS: usize = 16;

/// Captured bytes of a layer, and how many it had on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'p> {
    pub(super) data: &'p [u8],
    /// Where in the frame `data` starts.
    pub(super) at: usize,
    pub(super) wire: usize,
}

impl<'p> View<'p> {
    pub(super) fn frame(data: &'p [u8], wire_len: u32) -> Self {
        let wire = usize::try_from(wire_len).unwrap_or(usize::MAX).max(data.len());
        Self { data, at: 0, wire }
    }

    /// What follows a header.
    fn skip(self, bytes: usize) -> Self {
        Self {
            data: self.data.get(bytes..).unwrap_or_default(),
            at: self.at.saturating_add(bytes),
            wire: self.wire.saturating_sub(bytes),
        }
    }

    /// Without what a header's length leaves out (Ethernet's padding).
    fn limit(self, bytes: usize) -> Self {
        let wire = self.wire.min(bytes);
        Self { data: self.data.get(..wire).unwrap_or(self.data), wire, ..self }
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.data.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.data.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
    }

    fn u8(&self, at: usize) -> Option<u8> {
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
}

/// A frame that carries TCP or UDP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'p> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// `None` for UDP.
    pub(super) tcp: Option<Tcp>,
    pub(super) payload: View<'p>,
}

/// Why a frame gives no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unread {
    /// It carries no payload of anyone's (ARP).
    Nothing,
    /// A link type that is not read here.
    Link(u32),
    /// An EtherType or PPP protocol that is not read here.
    Protocol(u16),
    /// An IEEE 802.3 frame that carries no IP.
    Llc,
    /// An IP protocol that is not read here.
    IpProtocol(u8),
    /// An IP fragment.
    Fragment,
    /// A header that breaks its own lengths.
    Malformed(&'static str),
    /// A header that was not stored as a whole.
    Truncated(&'static str),
}

type Read<'p> = Result<Packet<'p>, Unread>;

/// A frame's outcome, with the sender's hardware address where the link has one.
pub(super) struct Sliced<'p> {
    pub(super) mac: Option<[u8; 6]>,
    pub(super) packet: Read<'p>,
}

/// Slices a frame.
pub(super) fn slice(link: LinkType, data: &[u8], wire_len: u32) -> Sliced<'_> {
    let view = View::frame(data, wire_len);
    let mac = match link {
        LinkType::ETHERNET => mac_at(data, 6),
        LinkType::LINUX_SLL if view.u16(4) == Some(6) => mac_at(data, 6),
        LinkType::LINUX_SLL2 if view.u8(11) == Some(6) => mac_at(data, 12),
        _ => None,
    };
    Sliced { mac, packet: of_link(link, view) }
}

fn mac_at(data: &[u8], at: usize) -> Option<[u8; 6]> {
    data.get(at..)?.first_chunk().copied()
}

fn of_link(link: LinkType, view: View<'_>) -> Read<'_> {
    let cut = Unread::Truncated("link header");
    match link {
        LinkType::ETHERNET => ethernet(view),
        LinkType::RAW | LinkType::RAW_DLT | LinkType::RAW_OPENBSD => ip(view),
        LinkType::IPV4 => ipv4(view),
        LinkType::IPV6 => ipv6(view),
        LinkType::NULL | LinkType::LOOP => loopback(view),
        LinkType::LINUX_SLL => ether_type(view.u16(14).ok_or(cut)?, view.skip(16)),
        LinkType::LINUX_SLL2 => ether_type(view.u16(0).ok_or(cut)?, view.skip(20)),
        LinkType(other) => Err(Unread::Link(other)),
    }
}

fn ethernet(view: View<'_>) -> Read<'_> {
    ether_type(view.u16(12).ok_or(Unread::Truncated("Ethernet header"))?, view.skip(14))
}

/// The address family stands in the byte order of the machine that captured, or in network order.
fn loopback(view: View<'_>) -> Read<'_> {
    let family = view.u32(0).ok_or(Unread::Truncated("loopback header"))?;
    let family = if family > 0xffff { family.swap_bytes() } else { family };
    match family {
        2 => ipv4(view.skip(4)),
        // AF_INET6 of Linux, of NetBSD and OpenBSD, of FreeBSD, of Darwin.
        10 | 24 | 28 | 30 => ipv6(view.skip(4)),
        other => Err(Unread::Protocol(u16::try_from(other).unwrap_or(u16::MAX))),
    }
}

/// What follows an EtherType (IEEE 802 numbers); below 0x600 it is a length and LLC follows.
fn ether_type(mut kind: u16, mut view: View<'_>) -> Read<'_> {
    for _ in 0..MAX_TAGS {
        match kind {
            0x0800 => return ipv4(view),
            0x86dd => return ipv6(view),
            // IEEE 802.1Q, 802.1ad and their forerunners.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                kind = view.u16(2).ok_or(Unread::Truncated("VLAN tag"))?;
                view = view.skip(4);
            }
            ..0x0600 => {
                // RFC 1042: SNAP with the organization code of EtherTypes.
                match view.data.first_chunk::<8>() {
                    Some(&[0xaa, 0xaa, 0x03, 0, 0, 0, high, low]) => {
                        kind = u16::from_be_bytes([high, low]);
                        view = view.skip(8);
                    }
                    _ => return Err(Unread::Llc),
                }
            }
            0x0806 => return Err(Unread::Nothing),
            other => return Err(Unread::Protocol(other)),
        }
    }
    Err(Unread::Malformed("more VLAN tags than a network stacks"))
}

fn ip(view: View<'_>) -> Read<'_> {
    match view.u8(0).ok_or(Unread::Truncated("IP header"))? >> 4 {
        4 => ipv4(view),
        6 => ipv6(view),
        _ => Err(Unread::Malformed("IP version")),
    }
}

/// RFC 791. Checksums are not judged: offloading cards leave them wrong on what the phone's own side sends.
fn ipv4(view: View<'_>) -> Read<'_> {
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
    if header.is_fragmenting_payload() {
        return Err(Unread::Fragment);
    }
    let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
    transport(header.protocol().0, source, destination, payload)
}

/// RFC 8200, with the extension headers of IANA's registry.
fn ipv6(view: View<'_>) -> Read<'_> {
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
            0 | 43 | 60 | 135 | 139 | 140 => (payload.u8(0), payload.u8(1).map(|len| 8 + 8 * usize::from(len))),
            // Authentication header: length in units of four (RFC 4302).
            51 => (payload.u8(0), payload.u8(1).map(|len| 8 + 4 * usize::from(len))),
            44 => {
                let place = payload.u16(2).ok_or(Unread::Truncated("IPv6 fragment header"))?;
                // An atomic fragment (RFC 6946) is whole.
                if place & 0xfff9 != 0 {
                    return Err(Unread::Fragment);
                }
                (payload.u8(0), Some(8))
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
    match protocol {
        6 => tcp(source, destination, view),
        17 => udp(source, destination, view),
        // The IPv4 authentication header (RFC 4302) stands before what it protects.
        51 => {
            let (Some(next), Some(len)) = (view.u8(0), view.u8(1)) else {
                return Err(Unread::Truncated("authentication header"));
            };
            match next {
                6 | 17 => transport(next, source, destination, view.skip(8 + 4 * usize::from(len))),
                other => Err(Unread::IpProtocol(other)),
            }
        }
        other => Err(Unread::IpProtocol(other)),
    }
}

/// RFC 9293 section 3.1.
fn tcp(source: IpAddr, destination: IpAddr, view: View<'_>) -> Read<'_> {
    let &[s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, ..] =
        view.data.first_chunk::<20>().ok_or(Unread::Truncated("TCP header"))?;
    let header = usize::from(offset >> 4) * 4;
    if header < 20 || header > view.wire {
        return Err(Unread::Malformed("TCP data offset"));
    }
    Ok(Packet {
        source: SocketAddr::new(source, u16::from_be_bytes([s0, s1])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([d0, d1])),
        tcp: Some(Tcp {
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            flags: TcpFlags(flags),
        }),
        payload: view.skip(header),
    })
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
        payload,
    })
}
