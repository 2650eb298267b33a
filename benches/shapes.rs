//! Makes captures of awkward shapes, the same on every machine.
//!
//! `cargo bench --bench shapes -- --out FILE --shape SHAPE [--count N] [--seed 1]`
//!
//! | shape | what | count |
//! |---|---|---|
//! | `flood` | SYNs from as many addresses and ports to one server | flows |
//! | `flows` | small HTTP exchanges, ten packets each, some hundred under way at a time, DNS between | flows |
//! | `reverse` | one upload whose one-byte segments come last byte first | segments |
//! | `gap` | one upload with a hole of almost 4 GiB in its sequence numbers | bytes of each side |
//! | `gapless` | the same without the hole | bytes of each side |
//!
//! Nothing here uses the engine: packets are written by the code below, without checksums.
#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a generator of known sizes")]

use std::{
    error::Error,
    fs,
    io::{BufWriter, Write},
};

type Done = Result<(), Box<dyn Error>>;
type End = ([u8; 4], u16);

const PHONE: [u8; 4] = [192, 168, 43, 17];
const RESOLVER: End = ([192, 168, 43, 1], 53);
const SERVER: End = ([203, 0, 113, 9], 80);
/// 2026-11-20T10:00:00Z.
const START: u32 = 1_795_168_800;

const FIN: u8 = 1;
const SYN: u8 = 2;
const PUSH: u8 = 8;
const ACK: u8 = 16;

fn main() -> Done {
    let (mut out, mut shape, mut count, mut seed) = (String::new(), String::new(), 1_000_u32, 1_u64);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--out" => out = value()?,
            "--shape" => shape = value()?,
            "--count" => count = value()?.parse()?,
            "--seed" => seed = value()?.parse()?,
            "--bench" => {}
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    if out.is_empty() {
        return Err("--out FILE is needed".into());
    }
    let mut link = Link::new(&out)?;
    let mut random = Random(seed);
    match shape.as_str() {
        "flood" => flood(&mut link, &mut random, count)?,
        "flows" => flows(&mut link, &mut random, count)?,
        "reverse" => reverse(&mut link, count)?,
        // Four steps of just under 1 GiB, each within the largest window of the one before.
        "gap" => gap(&mut link, count, 0x3fff_0000)?,
        "gapless" => gap(&mut link, count, 0)?,
        other => return Err(format!("unknown shape {other:?}").into()),
    }
    link.out.flush()?;
    println!("{} packets", link.packets);
    Ok(())
}

/// Every SYN is a flow of its own.
fn flood(link: &mut Link, random: &mut Random, count: u32) -> Done {
    for flow in 0..count {
        // A different address for each, and a port of no meaning.
        let address = (0x0b00_0000 + flow).to_be_bytes();
        let port = 1_024 + (random.next() % 60_000) as u16;
        link.tcp((address, port), SERVER, (random.next() as u32, 0), SYN, &[])?;
    }
    Ok(())
}

/// Exchanges of ten packets: handshake, request, its acknowledgement, response, its acknowledgement, three to close.
fn flows(link: &mut Link, random: &mut Random, count: u32) -> Done {
    const TOGETHER: usize = 200;
    let mut under_way: Vec<(u32, u8, u32, u32)> = Vec::new();
    let mut next = 0;
    while next < count || !under_way.is_empty() {
        if next < count && under_way.len() < TOGETHER {
            under_way.push((next, 0, random.next() as u32, random.next() as u32));
            if next.is_multiple_of(50) {
                dns(link, next)?;
            }
            next += 1;
        }
        let place = (random.next() % under_way.len() as u64) as usize;
        let (flow, step, up, down) = &mut under_way[place];
        let phone = (PHONE, 1_025 + (*flow % 64_000) as u16);
        let server = ([203, 0, 113, 1 + (*flow / 64_000) as u8], 80);
        let request = format!(
            "POST /v1/events/{flow} HTTP/1.1\r\nHost: api.example\r\nContent-Type: application/json\r\n\
             Content-Length: 25\r\n\r\n{{\"n\":{flow:8},\"ok\":false}}"
        );
        let response =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";
        let (request, response) = (request.as_bytes(), response.as_bytes());
        let (sent, got) = (up.wrapping_add(1), down.wrapping_add(1));
        let (after, answered) =
            (sent.wrapping_add(request.len() as u32), got.wrapping_add(response.len() as u32));
        match *step {
            0 => link.tcp(phone, server, (*up, 0), SYN, &[])?,
            1 => link.tcp(server, phone, (*down, sent), SYN | ACK, &[])?,
            2 => link.tcp(phone, server, (sent, got), ACK, &[])?,
            3 => link.tcp(phone, server, (sent, got), ACK | PUSH, request)?,
            4 => link.tcp(server, phone, (got, after), ACK, &[])?,
            5 => link.tcp(server, phone, (got, after), ACK | PUSH, response)?,
            6 => link.tcp(phone, server, (after, answered), ACK, &[])?,
            7 => link.tcp(phone, server, (after, answered), ACK | FIN, &[])?,
            8 => link.tcp(server, phone, (answered, after.wrapping_add(1)), ACK | FIN, &[])?,
            _ => {
                link.tcp(phone, server, (after.wrapping_add(1), answered.wrapping_add(1)), ACK, &[])?;
                under_way.swap_remove(place);
                continue;
            }
        }
        *step += 1;
    }
    Ok(())
}

/// A question and its answer (RFC 1035 section 4).
fn dns(link: &mut Link, n: u32) -> Done {
    let (id, phone) = ((n as u16).to_be_bytes(), (PHONE, 20_000 + (n % 10_000) as u16));
    let question = b"\x03api\x07example\x00\x00\x01\x00\x01";
    let query = [&id[..], b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", question].concat();
    link.udp(phone, RESOLVER, &query)?;
    let answer = [b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04".as_slice(), &SERVER.0].concat();
    let response = [&id[..], b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00", question, &answer].concat();
    link.udp(RESOLVER, phone, &response)
}

fn reverse(link: &mut Link, count: u32) -> Done {
    let phone = (PHONE, 40_000);
    let head = format!("PUT /upload HTTP/1.1\r\nHost: cdn.example\r\nContent-Length: {count}\r\n\r\n");
    link.tcp(phone, SERVER, (0xffff_0000, 0), SYN, &[])?;
    let start = 0xffff_0001_u32;
    for n in (0..count).rev() {
        let seq = start.wrapping_add(head.len() as u32).wrapping_add(n);
        link.tcp(phone, SERVER, (seq, 1), ACK, &[b'a' + (n % 26) as u8])?;
    }
    link.tcp(phone, SERVER, (start, 1), ACK, head.as_bytes())
}

/// The hole is larger than any window, so the other end has to acknowledge across it.
fn gap(link: &mut Link, count: u32, step: u32) -> Done {
    let phone = (PHONE, 40_000);
    link.tcp(phone, SERVER, (999, 0), SYN, &[])?;
    let mut seq = 1_000_u32;
    for piece in 0..count.div_ceil(1_400) {
        link.tcp(phone, SERVER, (seq, 1), ACK, &[b'a' + (piece % 26) as u8; 1_400])?;
        seq = seq.wrapping_add(1_400);
    }
    for _ in 0..4 {
        seq = seq.wrapping_add(step);
        link.tcp(phone, SERVER, (seq, 1), ACK, b"x")?;
        seq = seq.wrapping_add(1);
    }
    for piece in 0..count.div_ceil(1_400) {
        link.tcp(phone, SERVER, (seq, 1), ACK, &[b'A' + (piece % 26) as u8; 1_400])?;
        seq = seq.wrapping_add(1_400);
    }
    Ok(())
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Writes Ethernet frames into a pcap file.
struct Link {
    out: BufWriter<fs::File>,
    packets: u32,
}

impl Link {
    fn new(path: &str) -> Result<Self, Box<dyn Error>> {
        let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
        // Magic, version 2.4, no offset, no accuracy, snap length, LINKTYPE_ETHERNET.
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
            out.write_all(&word.to_le_bytes())?;
        }
        Ok(Self { out, packets: 0 })
    }

    fn frame(&mut self, from: [u8; 4], to: [u8; 4], protocol: u8, header: &[u8], data: &[u8]) -> Done {
        let len = 20 + header.len() + data.len();
        let mac = |address: [u8; 4]| [2, 0, address[0], address[1], address[2], address[3]];
        let frame = 14 + len as u32;
        let micros = self.packets % 10_000 * 100;
        for word in [START + self.packets / 10_000, micros, frame, frame] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(&mac(to))?;
        self.out.write_all(&mac(from))?;
        self.out.write_all(&[8, 0, 0x45, 0])?;
        self.out.write_all(&(len as u16).to_be_bytes())?;
        self.out.write_all(&[0, 0, 0x40, 0, 64, protocol, 0, 0])?;
        for part in [&from[..], &to, header, data] {
            self.out.write_all(part)?;
        }
        self.packets += 1;
        Ok(())
    }

    fn tcp(&mut self, from: End, to: End, (seq, ack): (u32, u32), flags: u8, data: &[u8]) -> Done {
        let mut header = [0_u8; 20];
        header[..2].copy_from_slice(&from.1.to_be_bytes());
        header[2..4].copy_from_slice(&to.1.to_be_bytes());
        header[4..8].copy_from_slice(&seq.to_be_bytes());
        header[8..12].copy_from_slice(&ack.to_be_bytes());
        header[12..16].copy_from_slice(&[0x50, flags, 0xff, 0xff]);
        self.frame(from.0, to.0, 6, &header, data)
    }

    fn udp(&mut self, from: End, to: End, data: &[u8]) -> Done {
        let header = [from.1, to.1, 8 + data.len() as u16, 0].map(u16::to_be_bytes).concat();
        self.frame(from.0, to.0, 17, &header, data)
    }
}
