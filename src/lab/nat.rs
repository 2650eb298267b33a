//! What a capture shows behind an access point that translates addresses and ports (NAPT, RFC 3022).

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{encode::dhcp::checksum, model::Outside, pcapng::Captured};

/// Where the IPv4 header begins, and the bytes that it has here: the stacks send no options.
const IP: usize = 14;
const IP_LEN: usize = 20;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Ports that are given where a client's own is another one's already (RFC 6335, section 6).
const FIRST_FREE_PORT: u16 = 49_152;

type Inside = (u8, Ipv4Addr, u16);

/// The access point's table.
pub(super) struct Nat {
    outside: Outside,
    gateway: Ipv4Addr,
    ports: BTreeMap<Inside, u16>,
    taken: BTreeMap<(u8, u16), Inside>,
}

impl Nat {
    /// An access point that has seen nothing yet.
    pub(super) fn new(outside: Outside, gateway: Ipv4Addr) -> Self {
        Self { outside, gateway, ports: BTreeMap::new(), taken: BTreeMap::new() }
    }

    /// A frame of the air as it looks outside; none of what stays inside (ARP, DHCP, names).
    pub(super) fn translated(&mut self, captured: Captured) -> Option<Captured> {
        let mut frame = captured.frame;
        if frame.get(12..14)? != [8, 0] || *frame.get(IP)? != 0x45 {
            return None;
        }
        let kind = *frame.get(IP + 9)?;
        let (from, to) = (address(&frame, IP + 12)?, address(&frame, IP + 16)?);
        let is_inside = |address: Ipv4Addr| address.octets().get(..3) == self.gateway.octets().get(..3);
        let ports = IP + IP_LEN;
        let (at, port, macs) = match (is_inside(from), is_inside(to)) {
            (true, false) => {
                let port = self.port((kind, from, word(&frame, ports)?))?;
                // It was forwarded once.
                let hops = frame.get_mut(IP + 8)?;
                *hops = hops.saturating_sub(1);
                (12, port, [self.outside.router.0, self.outside.mac.0])
            }
            (false, true) => {
                let port = *self.ports.get(&(kind, to, word(&frame, ports + 2)?))?;
                (16, port, [self.outside.mac.0, self.outside.router.0])
            }
            _ => return None,
        };
        frame.get_mut(..12)?.copy_from_slice(&macs.concat());
        frame.get_mut(IP + at..IP + at + 4)?.copy_from_slice(&self.outside.address.octets());
        let port_at = if at == 12 { ports } else { ports + 2 };
        frame.get_mut(port_at..port_at + 2)?.copy_from_slice(&port.to_be_bytes());
        sum(&mut frame, kind)?;
        Some(Captured { frame, ..captured })
    }

    /// The port that a client's port has outside: the same, unless that is another client's already.
    fn port(&mut self, inside: Inside) -> Option<u16> {
        if let Some(port) = self.ports.get(&inside) {
            return Some(*port);
        }
        let (kind, _, own) = inside;
        let mut all = std::iter::once(own).chain(FIRST_FREE_PORT..=u16::MAX);
        let port = all.find(|port| !self.taken.contains_key(&(kind, *port)))?;
        self.taken.insert((kind, port), inside);
        self.ports.insert(inside, port);
        Some(port)
    }
}

/// Makes the checksums of a frame anew (RFC 791, RFC 9293 section 3.1, RFC 768).
fn sum(frame: &mut [u8], kind: u8) -> Option<()> {
    let total = usize::from(word(frame, IP + 2)?);
    frame.get_mut(IP + 10..IP + 12)?.fill(0);
    let header = checksum(&[frame.get(IP..IP + IP_LEN)?]);
    frame.get_mut(IP + 10..IP + 12)?.copy_from_slice(&header);
    let start = IP + IP_LEN;
    let place = start
        + match kind {
            TCP => 16,
            UDP => 6,
            _ => return None,
        };
    frame.get_mut(place..place + 2)?.fill(0);
    let segment = frame.get(start..IP + total)?;
    let len = u16::try_from(segment.len()).ok()?.to_be_bytes();
    let sum = checksum(&[frame.get(IP + 12..IP + 20)?, &[0, kind], &len, segment]);
    frame.get_mut(place..place + 2)?.copy_from_slice(&sum);
    Some(())
}

fn address(frame: &[u8], at: usize) -> Option<Ipv4Addr> {
    frame.get(at..)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets))
}

fn word(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}
