//! TCP segments and datagrams of raw IPv4, the captures that hold them, and the streams that come out.
#![allow(clippy::cast_possible_truncation, reason = "lengths of a test")]

use std::{net::SocketAddr, sync::Arc};

use exhibit::{
    case::capture::Capture,
    engine::net::{
        self, FlowId, Index, Side,
        stream::{Chunk, Stream},
    },
    evidence::{Blob, Limits, Scratch},
};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

pub(crate) fn client() -> SocketAddr {
    "10.0.0.1:40000".parse().unwrap()
}

pub(crate) fn server() -> SocketAddr {
    "203.0.113.9:80".parse().unwrap()
}

/// A TCP segment of raw IPv4, without checksums.
pub(crate) fn tcp(
    from: SocketAddr,
    to: SocketAddr,
    seq: u32,
    ack: u32,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend_from_slice(payload);
    ip(from, to, 6, &segment)
}

pub(crate) fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(from.port().to_be_bytes());
    datagram.extend(to.port().to_be_bytes());
    datagram.extend((payload.len() as u16 + 8).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend_from_slice(payload);
    ip(from, to, 17, &datagram)
}

pub(crate) fn ip(from: SocketAddr, to: SocketAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (SocketAddr::V4(source), SocketAddr::V4(destination)) = (from, to) else { panic!("IPv4 here") };
    let mut packet = vec![0x45, 0];
    packet.extend((payload.len() as u16 + 20).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(source.ip().octets());
    packet.extend(destination.ip().octets());
    packet.extend_from_slice(payload);
    packet
}

pub(crate) fn up(seq: u32, payload: &[u8]) -> Vec<u8> {
    tcp(client(), server(), seq, 0, PSH, payload)
}

pub(crate) fn down(seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    tcp(server(), client(), seq, ack, ACK, payload)
}

/// A pcap of frames, each with the bytes that were not stored.
pub(crate) fn pcap(link: u32, frames: &[(Vec<u8>, u32)]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, link].map(u32::to_le_bytes).concat();
    for (second, (frame, missing)) in frames.iter().enumerate() {
        let len = frame.len() as u32;
        file.extend([second as u32, 0, len, len + missing].map(u32::to_le_bytes).concat());
        file.extend_from_slice(frame);
    }
    file
}

pub(crate) fn index_of(blob: Arc<dyn Blob>) -> Index {
    let capture = Capture::open("c.pcap", blob, &Scratch::new(std::env::temp_dir())).unwrap();
    net::index(&capture, &Limits::default()).unwrap()
}

pub(crate) fn index(frames: &[Vec<u8>]) -> Index {
    let frames: Vec<(Vec<u8>, u32)> = frames.iter().map(|frame| (frame.clone(), 0)).collect();
    index_of(Arc::new(pcap(101, &frames)))
}

pub(crate) fn upload(index: &Index) -> Stream {
    index.stream(FlowId(0), Side::Initiator).unwrap()
}

/// Bytes with `.` for what was not captured.
pub(crate) fn text(stream: &Stream) -> String {
    let mut text = String::new();
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        match chunk {
            Chunk::Bytes { data, range } => {
                assert_eq!(range.start, text.len() as u64);
                text.push_str(std::str::from_utf8(data).unwrap());
            }
            Chunk::Gap(gap) => text.push_str(&".".repeat(gap.len() as usize)),
        }
    }
    assert_eq!(text.len() as u64, stream.end());
    text
}

pub(crate) fn opened(isn: u32) -> [Vec<u8>; 3] {
    [
        tcp(client(), server(), isn, 0, SYN, b""),
        tcp(server(), client(), 700, isn.wrapping_add(1), SYN | ACK, b""),
        tcp(client(), server(), isn.wrapping_add(1), 701, ACK, b""),
    ]
}

pub(crate) fn after_syn(isn: u32, frames: &[Vec<u8>]) -> Index {
    index(&[&opened(isn)[..], frames].concat())
}

/// Which version each receiver takes of the first disputed bytes.
pub(crate) fn receivers(stream: &Stream) -> [&'static str; 4] {
    stream.conflicts.first().unwrap().receivers.unwrap().0.map(|version| version.name())
}
