//! Flows that need each other: all flows of an end that speaks QUIC, since a connection goes on where its client moves
//! (RFC 9000 section 9); and all flows between two hosts of which one is the other's server of FTP or TFTP, since files
//! go over flows of their own (RFC 959 section 2.3, RFC 1350 section 4).

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use super::flow::{Flow, FlowId};
use crate::evidence::Transport;

/// A client's first datagram has at least so many bytes (RFC 9000 section 14.1).
const SMALLEST_FIRST: usize = 1_200;
/// Connection ids have at most so many (RFC 9000 section 17.2).
const MAX_ID: u8 = 20;

/// Whether a datagram may open a QUIC connection, of whatever version (RFC 8999 section 5.1): `wire` is its length on
/// the wire. That another protocol's datagram looks like it costs nothing but company.
pub(super) fn may_open_quic(data: &[u8], wire: usize) -> bool {
    let &[first, v0, v1, v2, v3, length, ..] = data else { return false };
    wire >= SMALLEST_FIRST
        && first & 0xc0 == 0xc0
        && [v0, v1, v2, v3] != [0; 4]
        && length <= MAX_ID
        && data.get(6 + usize::from(length)).is_some_and(|&length| length <= MAX_ID)
}

/// Control connections of FTP, in clear and in TLS (RFC 959 section 8, RFC 4217).
const FTP_PORTS: [u16; 2] = [21, 990];
/// RFC 1350 section 4.
const TFTP_PORT: u16 = 69;
/// Servers of mail greet with the same number as those of FTP.
const MAIL_PORTS: [u16; 2] = [25, 587];

/// Whether a segment may be the greeting of an FTP server (RFC 959 section 5.4). That another server's looks like it
/// costs nothing but company.
pub(super) fn may_greet(data: &[u8]) -> bool {
    matches!(data, [b'2', b'2', b'0', b' ' | b'-', ..])
}

/// Whether a flow may ask for others between the same hosts.
fn may_announce(flow: &Flow) -> bool {
    let has =
        |ports: &[u16]| ports.contains(&flow.initiator.port()) || ports.contains(&flow.responder.port());
    match flow.transport {
        Transport::Tcp => has(&FTP_PORTS) || (flow.greets && !has(&MAIL_PORTS)),
        Transport::Udp => has(&[TFTP_PORT]),
    }
}

/// Both hosts of a flow in a fixed order.
fn hosts(flow: &Flow) -> (IpAddr, IpAddr, Transport) {
    let (a, b) = (flow.initiator.ip(), flow.responder.ip());
    (a.min(b), a.max(b), flow.transport)
}

/// All flows of a capture, each in one group. Eight bytes a flow, since a scan makes a million groups of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Group after group.
    flows: Vec<FlowId>,
    /// Where in `flows` each group ends.
    ends: Vec<u32>,
}

impl Groups {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A group by its number.
    pub fn get(&self, number: usize) -> Option<&[FlowId]> {
        let end = *self.ends.get(number)?;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.flows.get(start as usize..end as usize)
    }

    /// Group by group.
    pub fn iter(&self) -> impl Iterator<Item = &[FlowId]> {
        (0..self.len()).filter_map(|number| self.get(number))
    }
}

/// Puts flows together that have an end of QUIC in common, or both hosts with a flow that announces others; all others
/// stand alone. Groups come in order of their first flows, and so do flows within a group.
pub(super) fn group(flows: &[Flow]) -> Groups {
    let mut ends: BTreeMap<SocketAddr, u32> = BTreeMap::new();
    for (place, flow) in (0..).zip(flows).filter(|(_, flow)| flow.opens_quic) {
        for end in [flow.initiator, flow.responder] {
            ends.entry(end).or_insert(place);
        }
    }
    let mut leaders: Vec<u32> = (0..).take(flows.len()).collect();
    for (place, flow) in (0..).zip(flows).filter(|(_, flow)| flow.transport == Transport::Udp) {
        for end in [flow.initiator, flow.responder] {
            if let Some(&other) = ends.get(&end) {
                join(&mut leaders, place, other);
            }
        }
    }
    let announcing: BTreeMap<_, u32> = (0..)
        .zip(flows)
        .filter(|(_, flow)| may_announce(flow))
        .map(|(place, flow)| (hosts(flow), place))
        .collect();
    if !announcing.is_empty() {
        for (place, flow) in (0..).zip(flows) {
            if let Some(&other) = announcing.get(&hosts(flow)) {
                join(&mut leaders, place, other);
            }
        }
    }
    for place in (0..).take(flows.len()) {
        leader(&mut leaders, place);
    }
    let mut order: Vec<FlowId> = flows.iter().map(|flow| flow.id).collect();
    let leader_of = |id: &FlowId| leaders.get(id.0 as usize).copied();
    order.sort_by_key(leader_of);
    let ends =
        (1..).zip(&order).filter(|&(next, id)| order.get(next as usize).and_then(leader_of) != leader_of(id));
    Groups { ends: ends.map(|(end, _)| end).collect(), flows: order }
}

/// The first flow of the group that a flow is in.
fn leader(leaders: &mut [u32], place: u32) -> u32 {
    let mut first = place;
    while let Some(&next) = leaders.get(first as usize)
        && next != first
    {
        first = next;
    }
    // The next one who asks finds it at once.
    if let Some(known) = leaders.get_mut(place as usize) {
        *known = first;
    }
    first
}

fn join(leaders: &mut [u32], one: u32, other: u32) {
    let (one, other) = (leader(leaders, one), leader(leaders, other));
    if let Some(later) = leaders.get_mut(one.max(other) as usize) {
        *later = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::net::flow::End,
        evidence::{FrameNo, Timestamp},
    };

    fn flow(id: u32, transport: Transport, client: &str, server: &str, opens_quic: bool) -> Flow {
        Flow {
            id: FlowId(id),
            transport,
            initiator: client.parse().unwrap(),
            responder: server.parse().unwrap(),
            first_frame: FrameNo(id + 1),
            frames: 1,
            first: Timestamp(0),
            last: Timestamp(0),
            syn_seen: false,
            handshake: false,
            reset: false,
            uid: None,
            ends: [End::default(); 2],
            flipped: false,
            opens_quic,
            greets: false,
        }
    }

    fn grouped(flows: &[Flow]) -> Vec<Vec<u32>> {
        group(flows).iter().map(|group| group.iter().map(|id| id.0).collect()).collect()
    }

    #[test]
    fn flows_between_the_hosts_of_an_ftp_session_stand_together() {
        let (tcp, udp) = (Transport::Tcp, Transport::Udp);
        let mut flows = [
            flow(0, tcp, "10.0.0.1:50000", "192.0.2.1:21", false),
            flow(1, tcp, "10.0.0.1:50001", "192.0.2.9:443", false),
            flow(2, tcp, "192.0.2.1:20", "10.0.0.1:50002", false),
            flow(3, udp, "10.0.0.1:50003", "192.0.2.1:53", false),
            flow(4, tcp, "10.0.0.1:50004", "192.0.2.9:2121", false),
            flow(5, udp, "10.0.0.1:50005", "192.0.2.3:69", false),
            flow(6, udp, "192.0.2.3:40000", "10.0.0.1:50005", false),
        ];
        assert_eq!(grouped(&flows), [vec![0, 2], vec![1], vec![3], vec![4], vec![5, 6]]);
        flows[4].greets = true;
        assert_eq!(grouped(&flows), [vec![0, 2], vec![1, 4], vec![3], vec![5, 6]]);
        assert!(may_greet(b"220-hello") && !may_greet(b"2200") && !may_greet(b"200 ok"));
    }

    #[test]
    fn flows_of_one_end_of_quic_stand_together_and_no_others() {
        let (tcp, udp) = (Transport::Tcp, Transport::Udp);
        let flows = [
            flow(0, udp, "10.0.0.1:50000", "192.0.2.1:443", false),
            flow(1, udp, "10.0.0.1:5353", "192.0.2.9:53", false),
            flow(2, tcp, "10.0.0.1:50001", "192.0.2.1:443", false),
            flow(3, udp, "10.0.0.1:50002", "192.0.2.1:443", true),
            flow(4, udp, "10.0.0.1:50002", "192.0.2.2:443", false),
            flow(5, udp, "10.0.0.1:50003", "192.0.2.3:443", true),
            flow(6, udp, "10.0.0.7:50003", "192.0.2.1:443", false),
        ];
        assert_eq!(grouped(&flows), [vec![0, 3, 4, 6], vec![1], vec![2], vec![5]]);
    }

    #[test]
    fn a_first_datagram_is_long_and_has_ids() {
        let mut data = vec![0; 1_200];
        data[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
        assert!(may_open_quic(&data, 1_200));
        assert!(!may_open_quic(&data, 1_199), "too short on the wire");
        data[5] = 21;
        assert!(!may_open_quic(&data, 1_200), "an id of 21 bytes");
        data[..6].copy_from_slice(&[0xc3, 0, 0, 0, 0, 8]);
        assert!(!may_open_quic(&data, 1_200), "version negotiation opens nothing");
        data[..6].copy_from_slice(&[0x43, 0, 0, 0, 1, 8]);
        assert!(!may_open_quic(&data, 1_200), "a short header");
        assert!(!may_open_quic(&[0xc3, 0, 0, 0, 1], 1_200));
    }
}
