//! Links, tunnels and fragments: each leads to the same segment, as Wireshark reads it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test")]

use std::{net::SocketAddr, sync::Arc};

use exhibit::{
    engine::net::{FlowId, Side, stream::Chunk},
    evidence::{AnomalyKind, ByteRange, FrameNo, hex_bytes},
};

mod support;
use support::streams::{self, client, index_of, ip, pcap, receivers, server, text, udp, up, upload};

fn reads(link: u32, header: &[u8], packet: &[u8]) -> Option<String> {
    let frame = [header, packet].concat();
    let index = index_of(Arc::new(pcap(link, &[(frame, 0)])));
    index.flows.first().map(|_| text(&upload(&index)))
}

/// The same segment over IPv6, behind `extensions` of which the first has number `next`.
fn ipv6(next: u8, extensions: &[u8]) -> Vec<u8> {
    in_ipv6(next, extensions, &up(1, b"hi")[20..])
}

/// A packet of IPv6 (RFC 8200 section 3): `extensions`, of which the first has number `next`, and what follows them.
fn in_ipv6(next: u8, extensions: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((extensions.len() as u16 + payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([0x20; 32]);
    packet.extend_from_slice(extensions);
    packet.extend_from_slice(payload);
    packet
}

/// Wireshark reads `hi` in each of these frames too, `count` times in all.
fn confirmed(link: u32, frames: &[Vec<u8>], count: usize) {
    let Some(tshark) = support::peer("tshark") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.pcap");
    let frames: Vec<(Vec<u8>, u32)> = frames.iter().map(|frame| (frame.clone(), 0)).collect();
    support::write(&path, pcap(link, &frames));
    let mut command = std::process::Command::new(tshark);
    // A session's cookie is agreed on in messages that are not here.
    command.args(["-o", "l2tp.cookie_size:4 Byte Cookie", "-o", "l2tp.l2_specific:None"]);
    command.args(["-d", "l2tp.pw_type==0,eth"]);
    command.arg("-r").arg(&path).args(["-T", "fields", "-e", "frame.number", "-e", "tcp.payload"]);
    let text = support::run(&mut command);
    let seen = text.lines().map(|line| line.matches("6869").count()).sum::<usize>();
    assert_eq!(seen, count, "{text}");
}

#[test]
fn l2tp_leads_to_the_same_segment() {
    let v4 = up(1, b"hi");
    let ethernet = [&[1; 12][..], &[8, 0], &v4].concat();
    let (a, b) = (client(), SocketAddr::new(server().ip(), 1_701));
    let datagram = |header: &[u8], inner: &[u8]| udp(a, b, &[header, inner].concat());
    let len = (v4.len() + 10) as u8;
    let frames = [
        // Version 2: bare, with PPP's address; with length; with numbers; with an offset.
        datagram(&[0, 2, 0, 7, 0, 9, 0xff, 3, 0, 0x21], &v4),
        datagram(&[0x40, 2, 0, len, 0, 7, 0, 9, 0, 0x21], &v4),
        datagram(&[0x08, 2, 0, 7, 0, 9, 0, 1, 0, 0, 0, 0x21], &v4),
        datagram(&[0x02, 2, 0, 7, 0, 9, 0, 2, 0, 0, 0, 0x21], &v4),
    ];
    for frame in &frames {
        assert_eq!(reads(101, &[], frame).as_deref(), Some("hi"), "{frame:02x?}");
    }
    confirmed(101, &frames, 4);
    // Version 3 in UDP and in IP, with cookies of each length.
    for cookie in [&[][..], &[1, 2, 3, 4], &[1, 2, 3, 4, 5, 6, 7, 8]] {
        let inside = [cookie, &ethernet].concat();
        let frame = datagram(&[0, 3, 0, 0, 0, 0, 0, 9], &inside);
        assert_eq!(reads(101, &[], &frame).as_deref(), Some("hi"), "{frame:02x?}");
        let frame = ip(a, b, 115, &[&[0, 0, 0, 9][..], &inside].concat());
        assert_eq!(reads(101, &[], &frame).as_deref(), Some("hi"), "{frame:02x?}");
    }
    // A control message is the datagram that it is.
    let control = [0xc8, 2, 0, 12, 0, 7, 0, 0, 0, 0, 0, 0];
    let index = streams::index(&[datagram(&control, b"")]);
    assert_eq!((index.flows[0].responder.port(), index.flows[0].payload(Side::Initiator)), (1_701, 12));
}

#[test]
fn an_aggregate_of_802_11_holds_several_packets() {
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let subframe = |packet: &[u8]| {
        let msdu = [&snap[..], packet].concat();
        let mut part = [&[2; 12][..], &(msdu.len() as u16).to_be_bytes(), &msdu].concat();
        part.resize(part.len().next_multiple_of(4), 0);
        part
    };
    let parts = [subframe(&up(1, b"hi")), subframe(&up(3, b"hi!")), subframe(&up(6, b"hi"))].concat();
    // QoS data to the access point, with the bit that says so; with and without a high-throughput control field.
    let frame = [&[0x88, 1][..], &[0; 22], &[0x80, 0], &parts].concat();
    let throughput = [&[0x88, 0x81][..], &[0; 22], &[0x80, 0], &[0; 4], &parts].concat();
    for frame in [&frame, &throughput] {
        let index = index_of(Arc::new(pcap(105, &[(frame.clone(), 0)])));
        assert_eq!(text(&upload(&index)), "hihi!hi");
        assert_eq!((index.flows[0].frames, index.anomalies.len()), (3, 0));
    }
    confirmed(105, &[frame], 3);
}

#[test]
fn every_link_type_leads_to_the_same_segment() {
    let v4 = up(1, b"hi");
    let v6 = ipv6(6, &[]);
    let hi = Some("hi".to_owned());
    for link in [12, 14, 101] {
        assert_eq!((reads(link, &[], &v4), reads(link, &[], &v6)), (hi.clone(), hi.clone()));
    }
    assert_eq!((reads(228, &[], &v4), reads(229, &[], &v6)), (hi.clone(), hi.clone()));
    assert_eq!((reads(228, &[], &v6), reads(229, &[], &v4)), (None, None));
    for (family, packet) in [(2_u32, &v4), (10, &v6), (24, &v6), (28, &v6), (30, &v6)] {
        assert_eq!(reads(0, &family.to_le_bytes(), packet), hi);
        assert_eq!(reads(0, &family.to_be_bytes(), packet), hi);
        assert_eq!(reads(108, &family.to_be_bytes(), packet), hi);
    }
    let ethernet = |tail: &[u8]| [&[1; 12], tail].concat();
    assert_eq!(reads(1, &ethernet(&[8, 0]), &v4), hi);
    assert_eq!(reads(1, &ethernet(&[0x86, 0xdd]), &v6), hi);
    assert_eq!(reads(1, &ethernet(&[0x81, 0, 0, 5, 8, 0]), &v4), hi);
    assert_eq!(reads(1, &ethernet(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0]), &v4), hi);
    assert_eq!(reads(1, &ethernet(&[0, 50, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]), &v4), hi);
    let cooked = [&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0][..], &[8, 0]].concat();
    assert_eq!(reads(113, &cooked, &v4), hi);
    let cooked = [&[0x86, 0xdd, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6][..], &[2; 8]].concat();
    assert_eq!(reads(276, &cooked, &v6), hi);
    // Ethernet's padding is no payload.
    assert_eq!(reads(1, &ethernet(&[8, 0]), &[&v4[..], &[0; 6]].concat()), hi);
}

#[test]
fn ipv6_extension_headers_are_passed_over() {
    let hop_by_hop = [6, 0, 0, 0, 0, 0, 0, 0];
    let both = [60, 0, 0, 0, 0, 0, 0, 0, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let authentication = [6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let atomic = [6, 0, 0, 0, 0, 0, 0, 7];
    for (next, extensions) in [(0, &hop_by_hop[..]), (0, &both), (51, &authentication), (44, &atomic)] {
        assert_eq!(reads(101, &[], &ipv6(next, extensions)).as_deref(), Some("hi"), "{next}");
    }
    // More than a packet may have, and one longer than the packet.
    let endless: Vec<u8> = std::iter::repeat_n([0, 0, 0, 0, 0, 0, 0, 0], 40).flatten().collect();
    assert_eq!(reads(101, &[], &ipv6(0, &endless)), None);
    assert_eq!(reads(101, &[], &ipv6(0, &[6, 200, 0, 0, 0, 0, 0, 0])), None);
}

#[test]
fn tunnels_lead_to_the_same_segment() {
    let (v4, v6) = (up(1, b"hi"), ipv6(6, &[]));
    let ethernet = [&[1; 12][..], &[8, 0], &v4].concat();
    let (a, b) = (client(), server());
    let behind = |protocol, header: &[u8], inner: &[u8]| ip(a, b, protocol, &[header, inner].concat());
    let in_udp =
        |port, header: &[u8], inner: &[u8]| udp(a, SocketAddr::new(b.ip(), port), &[header, inner].concat());
    let mut frames = Vec::new();
    let mut hi = |frame: Vec<u8>| {
        assert_eq!(reads(101, &[], &frame).as_deref(), Some("hi"), "{frame:02x?}");
        frames.push(frame);
    };
    hi(behind(4, &[], &v4));
    hi(behind(41, &[], &v6));
    hi(behind(47, &[0, 0, 8, 0], &v4));
    hi(behind(47, &[0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2], &ethernet));
    hi(behind(47, &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0], &ethernet));
    hi(behind(47, &[0x30, 1, 0x88, 0x0b, 0, 99, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21], &v4));
    hi(in_udp(4789, &[8, 0, 0, 0, 0, 0, 7, 0], &ethernet));
    hi(in_udp(6081, &[1, 0, 0x65, 0x58, 0, 0, 7, 0, 0, 0, 0, 0], &ethernet));
    hi(in_udp(2152, &[0x30, 255, 0, v4.len() as u8, 0, 0, 0, 9], &v4));
    // GTP-U with an extension header (PDU session container), Geneve with an option, Teredo behind an origin.
    hi(in_udp(2152, &[0x34, 255, 0, v4.len() as u8 + 8, 0, 0, 0, 9, 0, 0, 0, 0x85, 1, 0x10, 5, 0], &v4));
    hi(in_udp(6081, &[0, 0, 8, 0, 0, 0, 7, 0], &v4));
    hi(in_udp(3544, &[], &v6));
    hi(in_udp(3544, &[0, 0, 0x9c, 0x3f, 0xf5, 0xff, 0xff, 0xfe], &v6));
    confirmed(101, &frames, frames.len());
    // A port alone makes no tunnel.
    assert_eq!(reads(101, &[], &in_udp(4789, b"not a tunnel", b"")).as_deref(), Some("not a tunnel"));
    let reserved = in_udp(4789, &[8, 0, 0, 1, 0, 0, 7, 0], &ethernet);
    assert_eq!(streams::index(&[reserved]).flows[0].responder.port(), 4789);
    // Nor does any depth.
    let nested = (0..40).fold(v4.clone(), |inner, _| behind(4, &[], &inner));
    assert_eq!(reads(101, &[], &nested), None);
}

/// What Wireshark and this engine make of each frame, alone in a capture: the innermost addresses, and the payload.
/// Where Wireshark is not installed, the engine alone.
fn both_read(link: u32, frames: &[Vec<u8>]) -> Vec<Option<(SocketAddr, SocketAddr, String)>> {
    let read = |frame: &Vec<u8>| {
        let index = index_of(Arc::new(pcap(link, &[(frame.clone(), 0)])));
        let flow = index.flows.first()?;
        Some((flow.initiator, flow.responder, text(&upload(&index))))
    };
    let ours: Vec<_> = frames.iter().map(read).collect();
    let Some(tshark) = support::peer("tshark") else { return ours };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.pcap");
    let frames: Vec<(Vec<u8>, u32)> = frames.iter().map(|frame| (frame.clone(), 0)).collect();
    support::write(&path, pcap(link, &frames));
    let mut command = std::process::Command::new(tshark);
    command.args(["-o", "tcp.reassemble_out_of_order:TRUE", "-o", "ip.defragment:TRUE"]);
    command.arg("-r").arg(&path).args(["-T", "fields", "-E", "occurrence=l"]);
    for field in ["ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "tcp.payload"] {
        command.args(["-e", field]);
    }
    let theirs = support::run(&mut command);
    let theirs = theirs.lines().map(|line| {
        let [source, from, destination, to, payload] =
            *line.split('\t').collect::<Vec<_>>().as_array().unwrap();
        let bytes = hex_bytes(payload).filter(|bytes| !bytes.is_empty())?;
        let address = |host: &str, port: &str| format!("{host}:{port}").parse().unwrap();
        Some((address(source, from), address(destination, to), String::from_utf8(bytes).unwrap()))
    });
    assert_eq!(ours, theirs.collect::<Vec<_>>());
    ours
}

#[test]
fn erspan_of_each_type_holds_the_mirrored_segment() {
    let ethernet = [&[1; 12][..], &[8, 0], &up(1, b"hi")].concat();
    // The mirror stands between switches of its own.
    let (a, b) = ("192.0.2.1:0".parse().unwrap(), "192.0.2.2:0".parse().unwrap());
    let gre = |header: &[u8], inner: &[u8]| ip(a, b, 47, &[header, inner].concat());
    let second = [0x10, 0x64, 0xa0, 5, 0, 0, 0, 9];
    // Version, VLAN and session; a time stamp; a group's tag; the flags, which end with the frame's type, the
    // hardware, the direction, the clock's granularity and whether a platform's subheader follows.
    let third = |flags: u16| [&[0x20, 0x64, 0xa0, 5, 0, 0, 0, 1, 0, 0][..], &flags.to_be_bytes()].concat();
    let numbered = |kind: [u8; 2], header: &[u8]| [&[0x10, 0], &kind[..], &[0, 0, 0, 1], header].concat();
    let platform = [0x14, 0, 0, 0, 0, 0, 0, 0];
    let frames = [
        // Type I: GRE without a sequence number, nothing else.
        gre(&[0, 0, 0x88, 0xbe], &ethernet),
        // Type II, and with GRE's key before its sequence number.
        gre(&numbered([0x88, 0xbe], &second), &ethernet),
        gre(&[&[0x30, 0, 0x88, 0xbe, 0, 0, 0, 7, 0, 0, 0, 1], &second[..]].concat(), &ethernet),
        // Type III: bare; every flag that says nothing of the frame; with a subheader.
        gre(&numbered([0x22, 0xeb], &third(0)), &ethernet),
        gre(&numbered([0x22, 0xeb], &third(0x83fe)), &ethernet),
        gre(&numbered([0x22, 0xeb], &[&third(1)[..], &platform].concat()), &ethernet),
    ];
    let hi = Some((client(), server(), "hi".to_owned()));
    assert_eq!(both_read(101, &frames), vec![hi; frames.len()]);
    // A version or a type of frame that the draft does not know, and headers that end too early.
    let mut unknown = second;
    unknown[0] = 0x30;
    let frames = [
        gre(&numbered([0x88, 0xbe], &unknown), &ethernet),
        gre(&numbered([0x22, 0xeb], &third(1 << 10)), &ethernet),
        gre(&numbered([0x88, 0xbe], &second[..6]), &[]),
        gre(&numbered([0x22, 0xeb], &third(0)[..10]), &[]),
    ];
    assert_eq!(both_read(101, &frames), vec![None; frames.len()]);
    // Type III may mirror a packet without its link; Wireshark 4.0 leaves such frames as data.
    let bare = gre(&numbered([0x22, 0xeb], &third(2 << 10)), &up(1, b"hi"));
    assert_eq!(reads(101, &[], &bare).as_deref(), Some("hi"));
}

#[test]
fn ipv4_travels_in_ipv6() {
    let v4 = up(1, b"hi");
    // RFC 2473 section 4.1.1: how many more tunnels may follow, padded to eight bytes.
    let limit = [4, 0, 4, 1, 4, 1, 1, 0];
    let (a, b) = ("192.0.2.1:0".parse().unwrap(), "192.0.2.2:0".parse().unwrap());
    let frames = [
        in_ipv6(4, &[], &v4),
        in_ipv6(60, &limit, &v4),
        // In another tunnel of each kind.
        ip(a, b, 41, &in_ipv6(4, &[], &v4)),
        in_ipv6(41, &[], &in_ipv6(60, &limit, &v4)),
    ];
    let hi = Some((client(), server(), "hi".to_owned()));
    assert_eq!(both_read(101, &frames), vec![hi; frames.len()]);
    // A packet too large for the tunnel is cut by its entry (section 7.2): what is inside comes whole, or not at all.
    let part = |from: usize, to: usize, more: u8| {
        let header = [4, 0, (from >> 8) as u8, from as u8 | more, 0, 0, 0, 7];
        in_ipv6(44, &header, &v4[from..to])
    };
    let parts = [part(24, v4.len(), 0), part(0, 24, 1)];
    assert_eq!(text(&upload(&streams::index(&parts))), "hi");
    confirmed(101, &parts, 1);
    assert!(streams::index(&parts[..1]).flows.is_empty());
    // What is no IPv4 is not made one, and a packet of IPv4 is none of IPv6.
    let frames = [in_ipv6(41, &[], &v4), in_ipv6(4, &[], &[0x40; 40]), in_ipv6(4, &[], &v4[..12])];
    assert_eq!(both_read(101, &frames), [None, None, None]);
}

#[test]
fn links_with_labels_and_sessions_lead_to_the_same_segment() {
    let v4 = up(1, b"hi");
    let ethernet = |tail: &[u8]| [&[1; 12], tail].concat();
    let mut frames = std::collections::BTreeMap::<u32, Vec<Vec<u8>>>::new();
    let mut hi = |link, header: &[u8]| {
        assert_eq!(reads(link, header, &v4).as_deref(), Some("hi"), "{header:02x?}");
        frames.entry(link).or_default().push([header, &v4].concat());
    };
    hi(1, &ethernet(&[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64]));
    let pseudowire = [&[0x88, 0x47, 0, 2, 1, 64, 0, 0, 0, 0][..], &ethernet(&[8, 0])].concat();
    hi(1, &ethernet(&pseudowire));
    hi(1, &ethernet(&[0x88, 0x64, 0x11, 0, 0, 1, 0, v4.len() as u8 + 2, 0, 0x21]));
    hi(9, &[0xff, 3, 0, 0x21]);
    hi(9, &[0x21]);
    hi(104, &[0x0f, 0, 8, 0]);
    hi(239, &[&[2, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0][..], &[v4.len() as u8 + 4, 0, 9, 0]].concat());
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    hi(105, &[&[0x88, 1][..], &[0; 24], &snap].concat());
    hi(127, &[&[0, 0, 8, 0, 0, 0, 0, 0, 0x08, 2][..], &[0; 22], &snap].concat());
    for (link, frames) in frames {
        confirmed(link, &frames, frames.len());
    }
    assert_eq!(reads(105, &[&[0x88, 0x41][..], &[0; 24], &snap].concat(), &v4), None, "encrypted");
}

fn fragment(packet: &[u8], from: usize, to: usize, more: bool) -> Vec<u8> {
    let mut fragment = [&packet[..20], &packet[20 + from..20 + to]].concat();
    let len = fragment.len() as u16;
    fragment[2..4].copy_from_slice(&len.to_be_bytes());
    let place = (from / 8) as u16 | if more { 0x2000 } else { 0 };
    fragment[6..8].copy_from_slice(&place.to_be_bytes());
    fragment
}

#[test]
fn fragments_in_any_order_give_their_segment_and_its_frames() {
    let packet = up(1, b"abcdefghijklmnopqrst");
    let parts =
        [fragment(&packet, 32, 40, false), fragment(&packet, 0, 24, true), fragment(&packet, 24, 32, true)];
    let index = streams::index(&parts);
    let stream = upload(&index);
    assert_eq!(text(&stream), "abcdefghijklmnopqrst");
    let frames: Vec<u32> = stream.pieces.iter().map(|piece| piece.frame.0).collect();
    assert_eq!(frames, [2, 3, 1]);
    assert_eq!(index.anomalies, []);
    // One datagram stays one chunk, in its own order.
    let datagram = udp(client(), server(), b"abcdefghijklmnopqrst");
    let parts = [
        fragment(&datagram, 16, 28, false),
        fragment(&datagram, 0, 16, true),
        udp(client(), server(), b"next"),
    ];
    let index = streams::index(&parts);
    let stream = upload(&index);
    let mut reader = stream.reader();
    let Some(Chunk::Bytes { data, .. }) = reader.next_chunk().unwrap() else { panic!("bytes") };
    assert_eq!(data, b"abcdefghijklmnopqrst");
    let Some(Chunk::Bytes { data, .. }) = reader.next_chunk().unwrap() else { panic!("bytes") };
    assert_eq!(data, b"next");
}

#[test]
fn of_fragments_whose_rest_never_comes_stands_what_was_captured() {
    let datagram = udp(client(), server(), b"abcdefghijklmnopqrst");
    let next = udp("10.0.0.9:9".parse().unwrap(), server(), b"x");
    let parts = [fragment(&datagram, 0, 16, true), next, fragment(&datagram, 24, 28, false)];
    let index = streams::index(&parts);
    assert_eq!(text(&upload(&index)), "abcdefgh........qrst");
    let frames: Vec<u32> = index.flows.iter().map(|flow| flow.first_frame.0).collect();
    assert_eq!(frames, [1, 2]);
    assert_eq!((index.flows[0].payload(Side::Initiator), index.flows[0].frames), (12, 1));
    let kinds: Vec<AnomalyKind> = index.anomalies.iter().map(|a| a.kind).collect();
    assert_eq!(kinds, [AnomalyKind::FragmentNotReassembled]);
    // UDP's own length tells what its last fragment would have; TCP has none, and nothing is invented.
    let index = streams::index(&[fragment(&datagram, 0, 16, true)]);
    assert_eq!(text(&upload(&index)), "abcdefgh............");
    let index = streams::index(&[fragment(&up(1, b"abcdefghijkl"), 0, 24, true)]);
    assert_eq!(text(&upload(&index)), "abcd");
    // Without its beginning it is nobody's.
    assert!(streams::index(&[fragment(&datagram, 16, 28, false)]).flows.is_empty());
}

#[test]
fn fragments_that_overlap_with_other_bytes_are_noted() {
    let (packet, other) = (up(1, b"abcdefghijkl"), up(1, b"abcdXXXXijkl"));
    let parts = [fragment(&packet, 0, 32, true), fragment(&other, 24, 32, false)];
    let index = streams::index(&parts);
    let stream = upload(&index);
    assert_eq!(text(&stream), "abcdefghijkl");
    assert_eq!(index.anomalies.iter().map(|a| a.kind).collect::<Vec<_>>(), [AnomalyKind::ConflictOverlap]);
    // Both versions are kept, with their frames, and what receivers make of them.
    let [conflict] = &stream.conflicts[..] else { panic!("{:?}", stream.conflicts) };
    let whose = (conflict.range, conflict.kept, conflict.other);
    assert_eq!(whose, (ByteRange::new(4, 8), FrameNo(1), FrameNo(2)));
    assert_eq!(receivers(&stream), ["kept", "other", "kept", "kept"]);
    let last = index.stream_last_wins(FlowId(0), Side::Initiator).unwrap();
    assert_eq!(text(&last), "abcdXXXXijkl");
    let frames: Vec<u32> = last.pieces.iter().map(|piece| piece.frame.0).collect();
    assert_eq!(frames, [1, 2, 1]);
    // A later fragment that begins earlier goes over the other on all but one way.
    let (datagram, other) =
        (udp(client(), server(), b"abcdefghijkl"), udp(client(), server(), b"abcdefXXXXkl"));
    let parts =
        [fragment(&datagram, 16, 20, false), fragment(&other, 8, 20, true), fragment(&datagram, 0, 8, true)];
    let index = streams::index(&parts);
    let stream = upload(&index);
    assert_eq!(receivers(&stream), ["kept", "other", "other", "other"]);
    assert_eq!((stream.datagrams, text(&stream).as_str()), (true, "abcdefXXijkl"));
    assert_eq!(text(&index.stream_last_wins(FlowId(0), Side::Initiator).unwrap()), "abcdefXXXXkl");
    // The same bytes again are no conflict.
    let parts = [fragment(&packet, 0, 32, true), fragment(&packet, 24, 32, false)];
    assert_eq!(streams::index(&parts).anomalies, []);
}

#[test]
fn what_is_not_read_is_named_and_counted() {
    let arp = [&[1; 12][..], &[8, 6], &[0; 28]].concat();
    let lldp = [&[1; 12][..], &[0x88, 0xcc], &[0; 28]].concat();
    let mut fragment = up(1, b"hi");
    fragment[6] = 0x20;
    let fragment = [&[1; 12][..], &[8, 0], &fragment].concat();
    let frames: Vec<(Vec<u8>, u32)> =
        [arp, lldp.clone(), lldp, fragment].into_iter().map(|f| (f, 0)).collect();
    let index = index_of(Arc::new(pcap(1, &frames)));
    let seen: Vec<(AnomalyKind, Option<FrameNo>, &str)> =
        index.anomalies.iter().map(|a| (a.kind, a.frame, a.detail.as_str())).collect();
    let expected = [
        (
            AnomalyKind::LinkNotRead,
            Some(FrameNo(2)),
            "network protocol 0x88cc: 2 frames, the first is this one",
        ),
        (
            AnomalyKind::FragmentNotReassembled,
            Some(FrameNo(4)),
            "parts of IP packets that never became whole: 1 frame, the first is this one",
        ),
    ];
    assert_eq!(seen, expected);
}
