//! Captures made by hand: Ethernet, IPv4, TCP and UDP without checksums, as sending machines capture them.

const SYN: u8 = 2;
/// The flag of an acknowledgement.
pub const ACK: u8 = 16;
const FIN_ACK: u8 = 17;

/// An address and a port.
pub type End = ([u8; 4], u16);

/// A pcap (microseconds) of Ethernet frames, a tenth of a second apart.
pub fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for (tenths, frame) in (0_u32..).zip(frames) {
        let len = u32::try_from(frame.len()).unwrap();
        let time = [1_790_000_000 + tenths / 10, tenths % 10 * 100_000];
        file.extend([time[0], time[1], len, len].map(u32::to_le_bytes).concat());
        file.extend_from_slice(frame);
    }
    file
}

/// A whole connection: handshake, what the client sends in segments, what the server answers, both ends closed.
pub fn connection(client: End, server: End, sent: &[u8], answered: &[u8]) -> Vec<Vec<u8>> {
    let (mut up, mut down) = (1_000_u32, 9_000_u32);
    let mut frames = vec![
        tcp(client, server, up, 0, SYN, &[]),
        tcp(server, client, down, up + 1, SYN | ACK, &[]),
        tcp(client, server, up + 1, down + 1, ACK, &[]),
    ];
    (up, down) = (up + 1, down + 1);
    for (from, to, bytes) in [(client, server, sent), (server, client, answered)] {
        for part in bytes.chunks(1_400) {
            let (seq, ack) = if from == client { (&mut up, down) } else { (&mut down, up) };
            frames.push(tcp(from, to, *seq, ack, ACK, part));
            *seq += u32::try_from(part.len()).unwrap();
        }
    }
    frames.push(tcp(client, server, up, down, FIN_ACK, &[]));
    frames.push(tcp(server, client, down, up + 1, FIN_ACK, &[]));
    frames.push(tcp(client, server, up + 1, down + 1, ACK, &[]));
    frames
}

/// A DNS answer (RFC 1035) that gives `name`, label by label, the address `address`.
pub fn dns_answer(client: End, resolver: [u8; 4], name: &[&[u8]], address: [u8; 4]) -> Vec<u8> {
    let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    for label in name {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend_from_slice(label);
    }
    message.extend([0, 0, 1, 0, 1]);
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    message.extend(address);
    udp((resolver, 53), client, &message)
}

/// A TCP segment.
pub fn tcp(from: End, to: End, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend_from_slice(payload);
    ethernet(from, to, 6, &segment)
}

/// A UDP datagram.
pub fn udp(from: End, to: End, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 8).unwrap();
    let mut datagram = [from.1, to.1, len, 0].map(u16::to_be_bytes).concat();
    datagram.extend_from_slice(payload);
    ethernet(from, to, 17, &datagram)
}

fn ethernet(from: End, to: End, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mac = |end: End| [[2, 0].as_slice(), end.0.as_slice()].concat();
    let mut frame = [mac(to), mac(from), vec![8, 0, 0x45, 0]].concat();
    frame.extend(u16::try_from(payload.len() + 20).unwrap().to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend(from.0);
    frame.extend(to.0);
    frame.extend_from_slice(payload);
    frame
}
