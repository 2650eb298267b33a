//! Link layers: what stands before the first IP header.

use super::packet::{Read, Unread, View, ip, ipv4, ipv6};
use crate::case::capture::LinkType;

/// VLAN tags, MPLS labels and the like on one frame; networks stack two or three.
const MAX_TAGS: usize = 16;

/// The sender's hardware address.
pub(super) fn sender(link: LinkType, view: &View<'_>) -> Option<[u8; 6]> {
    let at = match link {
        LinkType::ETHERNET => 6,
        LinkType::LINUX_SLL if view.u16(4) == Some(6) => 6,
        LinkType::LINUX_SLL2 if view.u8(11) == Some(6) => 12,
        _ => return None,
    };
    view.data.get(at..)?.first_chunk().copied()
}

/// Reads a frame of a link type.
pub(super) fn read(link: LinkType, view: View<'_>) -> Read<'_> {
    let cut = Unread::Truncated("link header");
    match link {
        LinkType::ETHERNET => ethernet(view),
        LinkType::RAW | LinkType::RAW_DLT | LinkType::RAW_OPENBSD => ip(view),
        LinkType::IPV4 => ipv4(view),
        LinkType::IPV6 => ipv6(view),
        LinkType::NULL | LinkType::LOOP => loopback(view),
        LinkType::LINUX_SLL => ether_type(view.u16(14).ok_or(cut)?, view.skip(16)),
        LinkType::LINUX_SLL2 => ether_type(view.u16(0).ok_or(cut)?, view.skip(20)),
        LinkType::PPP | LinkType::PPP_HDLC => ppp(view),
        LinkType::PPP_ETHER => pppoe(view),
        // RFC 1547 era framing: address, control, EtherType.
        LinkType::C_HDLC => ether_type(view.u16(2).ok_or(cut)?, view.skip(4)),
        LinkType::NFLOG => nflog(view),
        LinkType::IEEE802_11 => wlan(view),
        // Its length stands in the third and fourth byte, least significant first.
        LinkType::IEEE802_11_RADIOTAP => wlan(view.skip(usize::from(view.u16(2).ok_or(cut)?.swap_bytes()))),
        LinkType(other) => Err(Unread::Link(other)),
    }
}

/// Ethernet II and IEEE 802.3.
pub(super) fn ethernet(view: View<'_>) -> Read<'_> {
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
        // Some writers put an EtherType behind sixteen bits of their own, and Wireshark reads it.
        other => match view.u16(2) {
            Some(0x0800) => ipv4(view.skip(4)),
            Some(0x86dd) => ipv6(view.skip(4)),
            _ => Err(Unread::Protocol(u16::try_from(other).unwrap_or(u16::MAX))),
        },
    }
}

/// What follows an EtherType (IEEE 802 numbers); below 0x600 it is a length and LLC follows.
pub(super) fn ether_type(mut kind: u16, mut view: View<'_>) -> Read<'_> {
    for _ in 0..MAX_TAGS {
        match kind {
            0x0800 => return ipv4(view),
            0x86dd => return ipv6(view),
            // IEEE 802.1Q, 802.1ad and their forerunners.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                kind = view.u16(2).ok_or(Unread::Truncated("VLAN tag"))?;
                view = view.skip(4);
            }
            0x8847 | 0x8848 => return mpls(view),
            0x8864 => return pppoe(view),
            ..0x0600 => {
                kind = snap(&view)?;
                view = view.skip(8);
            }
            0x0806 => return Err(Unread::Nothing),
            other => return Err(Unread::Protocol(other)),
        }
    }
    Err(Unread::Malformed("more VLAN tags than a network stacks"))
}

/// The EtherType behind an LLC header with SNAP (RFC 1042), without an organization's own code.
fn snap<'p>(view: &View<'p>) -> Result<u16, Unread<'p>> {
    match view.data.first_chunk::<8>() {
        Some(&[0xaa, 0xaa, 0x03, 0, 0, 0, high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(Unread::Llc),
    }
}

/// RFC 3032. What follows the last label is told by its first bits, as every reader guesses.
fn mpls(mut view: View<'_>) -> Read<'_> {
    for _ in 0..MAX_TAGS {
        let label = view.u32(0).ok_or(Unread::Truncated("MPLS label"))?;
        view = view.skip(4);
        if label & 0x100 == 0 {
            continue;
        }
        let inside = view.inside()?;
        return match view.u8(0).ok_or(Unread::Truncated("MPLS payload"))? >> 4 {
            4 => ipv4(inside),
            6 => ipv6(inside),
            // The control word of an Ethernet pseudowire (RFC 4448 section 4.6).
            0 => ethernet(inside.skip(4)).or_else(|_| ethernet(inside)),
            _ => ethernet(inside),
        };
    }
    Err(Unread::Malformed("more MPLS labels than a network stacks"))
}

/// RFC 2516: version and type, code, session, length; then PPP.
fn pppoe(view: View<'_>) -> Read<'_> {
    let len = view.u16(4).ok_or(Unread::Truncated("PPPoE header"))?;
    ppp(view.skip(6).limit(usize::from(len)))
}

/// RFC 1661, perhaps with the address and control of RFC 1662, perhaps with a protocol of one byte.
pub(super) fn ppp(view: View<'_>) -> Read<'_> {
    let view = if view.u16(0) == Some(0xff03) { view.skip(2) } else { view };
    let first = view.u8(0).ok_or(Unread::Truncated("PPP header"))?;
    let (protocol, payload) = if first & 1 == 1 {
        (u16::from(first), view.skip(1))
    } else {
        (view.u16(0).ok_or(Unread::Truncated("PPP header"))?, view.skip(2))
    };
    match protocol {
        0x0021 => ipv4(payload),
        0x0057 => ipv6(payload),
        0x0281 | 0x0283 => mpls(payload),
        other => Err(Unread::Protocol(other)),
    }
}

/// Linux netfilter log: fields of length, type and value in the capturing machine's byte order, the packet in
/// the field of type 9. Both orders are tried, since no other length fits.
fn nflog(view: View<'_>) -> Read<'_> {
    const PAYLOAD: u16 = 9;
    const MAX_FIELDS: usize = 64;
    let mut fields = view.skip(4);
    for _ in 0..MAX_FIELDS {
        let (Some(len), Some(kind)) = (fields.u16(0), fields.u16(2)) else { break };
        let little = usize::from(len) > fields.wire || kind > 0xff;
        let (len, kind) = if little { (len.swap_bytes(), kind.swap_bytes()) } else { (len, kind) };
        let len = usize::from(len);
        if len < 4 {
            break;
        }
        if kind == PAYLOAD {
            return ip(fields.limit(len).skip(4));
        }
        fields = fields.skip(len.next_multiple_of(4));
    }
    Err(Unread::Malformed("netfilter log fields"))
}

/// IEEE 802.11 data frames that are not encrypted (IEEE 802.11-2020 section 9.2).
fn wlan(view: View<'_>) -> Read<'_> {
    let control = view.u16(0).ok_or(Unread::Truncated("IEEE 802.11 header"))?;
    let [kind, flags] = control.to_be_bytes();
    let data = kind & 0x0c == 0x08;
    let without_data = kind & 0x40 != 0;
    if !data || without_data {
        return Err(Unread::Nothing);
    }
    if flags & 0x40 != 0 {
        return Err(Unread::Encrypted);
    }
    let fourth_address = if flags & 0x03 == 0x03 { 6 } else { 0 };
    let qos = match (kind & 0x80 != 0, flags & 0x80 != 0) {
        (true, true) => 6,
        (true, false) => 2,
        (false, _) => 0,
    };
    let body = view.skip(24 + fourth_address + qos);
    // The bit "A-MSDU present" of the QoS control field (section 9.2.4.5).
    if qos > 0 && view.u8(24 + fourth_address).is_some_and(|control| control & 0x80 != 0) {
        return Err(Unread::Aggregate(body));
    }
    ether_type(snap(&body)?, body.skip(8))
}

/// The packets of an A-MSDU (IEEE 802.11-2020 section 9.3.2.2): each behind two addresses and its length, filled up to
/// a multiple of four.
pub(super) fn aggregated(mut view: View<'_>) -> impl Iterator<Item = (Option<[u8; 6]>, Read<'_>)> {
    const HEADER: usize = 14;
    std::iter::from_fn(move || {
        let len = usize::from(view.u16(12)?);
        let sender = view.data.get(6..)?.first_chunk().copied();
        let packet = view.limit(HEADER + len).skip(HEADER);
        view = view.skip((HEADER + len).next_multiple_of(4));
        Some((sender, snap(&packet).and_then(|kind| ether_type(kind, packet.skip(8)))))
    })
}
