//! Tunnels above IP: GRE and what travels in UDP.

use super::{
    link::{ether_type, ethernet, ppp},
    packet::{Packet, Read, Unread, View, ip, ipv6},
};

/// RFC 2784 and RFC 2890, with PPTP's version (RFC 2637) and ERSPAN inside
/// (draft-foschiano-erspan).
pub(super) fn gre(view: View<'_>) -> Read<'_> {
    let (Some(flags), Some(kind)) = (view.u16(0), view.u16(2)) else {
        return Err(Unread::Truncated("GRE header"));
    };
    let has = |bit: u16| if flags & bit != 0 { 4 } else { 0 };
    if flags & 0x4000 != 0 {
        return Err(Unread::Malformed("GRE source routing"));
    }
    let (checksum, key, sequence) = (has(0x8000), has(0x2000), has(0x1000));
    let inside = view.inside()?;
    match (flags & 7, kind) {
        (1, 0x880b) => ppp(inside.skip(4 + key + sequence + has(0x0080))),
        (0, kind) => {
            let payload = inside.skip(4 + checksum + key + sequence);
            match kind {
                0x6558 => ethernet(payload),
                0x880b => ppp(payload),
                // ERSPAN type I has no sequence number and no header of its own; the others have both.
                0x88be if sequence == 0 => ethernet(payload),
                0x88be | 0x22eb => erspan(payload),
                other => ether_type(other, payload),
            }
        }
        _ => Err(Unread::Malformed("GRE version")),
    }
}

/// ERSPAN's own header (draft-foschiano-erspan): the version that it starts with tells type II from type III, as it does
/// for Wireshark, whatever protocol GRE names.
fn erspan(view: View<'_>) -> Read<'_> {
    match view.u8(0).ok_or(Unread::Truncated("ERSPAN header"))? >> 4 {
        1 => ethernet(view.skip(8)),
        2 => {
            let flags = view.u32(8).ok_or(Unread::Truncated("ERSPAN header"))?;
            // Its last bit announces eight more bytes.
            let payload = view.skip(if flags & 1 == 1 { 20 } else { 12 });
            match flags >> 10 & 0x1f {
                0 => ethernet(payload),
                2 => ip(payload),
                _ => Err(Unread::Malformed("ERSPAN frame type")),
            }
        }
        _ => Err(Unread::Malformed("ERSPAN version")),
    }
}

/// Gives what a tunnel in UDP carries, or the datagram itself where it is none. A port alone proves nothing, so
/// the tunnel's header has to fit and a TCP segment or a datagram has to stand inside.
pub(super) fn unless_udp_tunnel(packet: Packet<'_>) -> Read<'_> {
    let ports = [packet.source.port(), packet.destination.port()];
    let Ok(view) = packet.payload.inside() else { return Ok(packet) };
    let inside = if ports.contains(&4789) {
        vxlan(view)
    } else if ports.contains(&6081) {
        geneve(view)
    } else if ports.contains(&2152) {
        gtp(view)
    } else if ports.contains(&3544) {
        teredo(view)
    } else if ports.contains(&1701) {
        l2tp(view)
    } else {
        return Ok(packet);
    };
    match inside {
        Some(Ok(inside)) => Ok(inside),
        Some(Err(fragment @ Unread::Fragment(_))) => Err(fragment),
        _ => Ok(packet),
    }
}

/// RFC 7348: the flag of a valid network number, everything reserved zero.
fn vxlan(view: View<'_>) -> Option<Read<'_>> {
    let (flags, network) = (view.u32(0)?, view.u32(4)?);
    (flags == 0x0800_0000 && network & 0xff == 0).then(|| ethernet(view.skip(8)))
}

/// RFC 8926: version 0, options in units of four.
fn geneve(view: View<'_>) -> Option<Read<'_>> {
    let (first, kind) = (view.u8(0)?, view.u16(2)?);
    let payload = view.skip(8 + 4 * usize::from(first & 0x3f));
    let read = |payload| if kind == 0x6558 { ethernet(payload) } else { ether_type(kind, payload) };
    (first >> 6 == 0).then(|| read(payload))
}

/// 3GPP TS 29.281: version 1, a user's packet (message type 255).
fn gtp(view: View<'_>) -> Option<Read<'_>> {
    /// Extension headers of one packet; the specification names a handful.
    const MAX_EXTENSIONS: usize = 8;
    let (flags, kind) = (view.u8(0)?, view.u8(1)?);
    if flags & 0xf0 != 0x30 || kind != 0xff {
        return None;
    }
    let len = usize::from(view.u16(2)?);
    let view = view.limit(8 + len);
    if flags & 0x07 == 0 {
        return Some(ip(view.skip(8)));
    }
    let (mut next, mut payload) = (if flags & 0x04 == 0 { 0 } else { view.u8(11)? }, view.skip(12));
    for _ in 0..MAX_EXTENSIONS {
        if next == 0 {
            return Some(ip(payload));
        }
        let len = 4 * usize::from(payload.u8(0)?);
        next = payload.u8(len.checked_sub(1)?)?;
        payload = payload.skip(len);
    }
    None
}

/// L2TP's data: PPP in version 2 (RFC 2661 section 3.1), any link in version 3 (RFC 3931 section 4.1.2).
fn l2tp(view: View<'_>) -> Option<Read<'_>> {
    let flags = view.u16(0)?;
    let has = |bit: u16, bytes: usize| if flags & bit != 0 { bytes } else { 0 };
    let control = flags & 0x8000 != 0;
    match flags & 0x000f {
        2 if !control => {
            let length = has(0x4000, 2);
            let view = if length > 0 { view.limit(usize::from(view.u16(2)?)) } else { view };
            let header = 6 + length + has(0x0800, 4);
            let offset = if flags & 0x0200 != 0 { 2 + usize::from(view.u16(header)?) } else { 0 };
            Some(ppp(view.skip(header + offset)))
        }
        3 if !control => l2tp_session(view.skip(4)),
        _ => None,
    }
}

/// What a session of L2TP version 3 carries. How long its cookie is and whether a sublayer follows were agreed on in
/// control messages that the capture may not hold (RFC 3931 section 4.1): what leads to a packet is right.
pub(super) fn l2tp_session(view: View<'_>) -> Option<Read<'_>> {
    let session = view.u32(0)?;
    let inside = view.inside().ok()?.skip(4);
    let behind = [0, 4, 8, 12].map(|header| inside.skip(header));
    let links: [fn(View<'_>) -> Read<'_>; 2] = [ethernet, ppp];
    let mut tries = links.into_iter().flat_map(|link| behind.map(link));
    tries.find(Result::is_ok).filter(|_| session != 0)
}

/// RFC 4380 section 5.1.1: IPv6, perhaps behind an authentication or an origin.
fn teredo(mut view: View<'_>) -> Option<Read<'_>> {
    if view.u16(0)? == 1 {
        view = view.skip(13 + usize::from(view.u8(2)?) + usize::from(view.u8(3)?));
    }
    if view.u16(0)? == 0 {
        view = view.skip(8);
    }
    (view.u8(0)? >> 4 == 6).then(|| ipv6(view))
}
