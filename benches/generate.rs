//! Makes a phone's folder and a capture of its uploads, the same on every machine.
//!
//! `cargo bench --bench generate -- --out DIR --megabytes 100 [--seed 1] [--changed PERCENT]`
//!
//! `DIR/phone/` gets incompressible files of 0.2 to 4 MB that begin like JPEG; `DIR/capture.pcap` their
//! upload over HTTP/1.1 (PUT, POST, multipart), four connections at a time, DNS and small JSON requests
//! between; 1 % of the segments come out of order, twice, or late. Of files that hold `--changed` percent of the bytes
//! (the same share at any size, so that sizes can be compared) only a part is sent, or a copy with one byte changed.
//! Nothing here uses the engine: packets are written by the code below.
#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a generator of known sizes")]

use std::{
    collections::VecDeque,
    error::Error,
    fs,
    io::{BufWriter, Write},
    path::PathBuf,
};

const PHONE: [u8; 4] = [192, 168, 43, 17];
const RESOLVER: [u8; 4] = [192, 168, 43, 1];
const PHONE_MAC: [u8; 6] = [0x64, 0x09, 0x80, 0, 0, 1];
const ROUTER_MAC: [u8; 6] = [0x02, 0x1a, 0x11, 0, 0, 2];
const SEGMENT: usize = 1_460;
/// 2026-11-20T10:00:00Z.
const START: u64 = 1_795_168_800;
const BOUNDARY: &str = "----7f3c1e5b9a";

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read()?;
    let phone = options.out.join("phone");
    fs::create_dir_all(&phone)?;
    let sizes = sizes(options.seed, options.megabytes * 1_000_000);
    for (no, &size) in sizes.iter().enumerate() {
        fs::write(phone.join(name(no)), content(options.seed, no, size))?;
    }
    let file = fs::File::create(options.out.join("capture.pcap"))?;
    let mut link = Link::new(BufWriter::with_capacity(1 << 20, file))?;
    let mut jobs = jobs(&sizes, options.changed);
    let mut random = Random(options.seed ^ 0xc0ff_ee00);
    let mut connections: Vec<Option<Connection>> = (0..4).map(|_| None).collect();
    let mut port = 40_000;
    while !jobs.is_empty() || connections.iter().any(Option::is_some) {
        let place = random.below(4);
        match &mut connections[place] {
            Some(connection) if connection.is_done() => {
                connection.close(&mut link)?;
                connections[place] = None;
            }
            Some(connection) => connection.step(&mut link, &mut random, &mut jobs, &options)?,
            None if !jobs.is_empty() => {
                port = if port == 60_000 { 40_001 } else { port + 1 };
                connections[place] = Some(Connection::open(&mut link, &mut random, port)?);
            }
            None => {}
        }
    }
    link.out.flush()?;
    println!("{} files, {} packets", sizes.len(), link.packets);
    Ok(())
}

struct Options {
    out: PathBuf,
    megabytes: u64,
    seed: u64,
    changed: u64,
}

impl Options {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut options = Self { out: PathBuf::new(), megabytes: 5, seed: 1, changed: 0 };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--out" => options.out = value()?.into(),
                "--megabytes" => options.megabytes = value()?.parse()?,
                "--seed" => options.seed = value()?.parse()?,
                "--changed" => options.changed = value()?.parse()?,
                "--bench" => {}
                other => return Err(format!("unknown argument {other}").into()),
            }
        }
        if options.out.as_os_str().is_empty() {
            return Err("--out DIR is needed".into());
        }
        Ok(options)
    }
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

    fn below(&mut self, limit: u64) -> usize {
        (self.next() % limit) as usize
    }
}

fn sizes(seed: u64, total: u64) -> Vec<usize> {
    let mut random = Random(seed);
    let mut left = total as usize;
    let mut sizes = Vec::new();
    while left > 0 {
        // Small ones more often than large ones, as photos beside films: 200 KB shifted by 0 to 3, and more.
        let base = 200_000 << random.below(4);
        let size = (base + random.below(base as u64) * 3 / 2).min(4_000_000);
        sizes.push(size.min(left));
        left -= size.min(left);
    }
    sizes
}

fn name(no: usize) -> String {
    format!("IMG_{no:05}.jpg")
}

fn content(seed: u64, no: usize, size: usize) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(1_000_003) ^ (no as u64) << 32);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend(random.next().to_le_bytes());
    }
    bytes.truncate(size);
    let magic = &[0xff, 0xd8, 0xff, 0xe0][..size.min(4)];
    bytes[..magic.len()].copy_from_slice(magic);
    bytes
}

/// One file to be sent.
struct Job {
    no: usize,
    size: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Whole,
    /// One byte in the middle is another.
    Altered,
    /// Three ranges, of which the middle one is left out.
    Ranges,
}

/// Files are changed while those before hold less than their share of the bytes; in which of both ways, too.
fn jobs(sizes: &[usize], percent: u64) -> VecDeque<Job> {
    let (mut all, mut altered, mut cut) = (0, 0, 0);
    let job = |(no, &size): (usize, &usize)| {
        all += size as u64;
        let kind = match (altered + cut) * 100 < all * percent {
            false => Kind::Whole,
            true if altered <= cut => Kind::Altered,
            true => Kind::Ranges,
        };
        match kind {
            Kind::Whole => {}
            Kind::Altered => altered += size as u64,
            Kind::Ranges => cut += size as u64,
        }
        Job { no, size, kind }
    };
    sizes.iter().enumerate().map(job).collect()
}

impl Job {
    /// The requests that send it, in order.
    fn requests(&self, options: &Options, random: &mut Random) -> Vec<Vec<u8>> {
        let mut bytes = content(options.seed, self.no, self.size);
        let path = format!("/upload/{}", name(self.no));
        match self.kind {
            Kind::Ranges => {
                let third = self.size / 3;
                [(2 * third, self.size), (0, third)]
                    .map(|(from, to)| {
                        let range = format!("Content-Range: bytes {from}-{}/{}\r\n", to - 1, self.size);
                        request("PUT", &path, "application/octet-stream", &range, &bytes[from..to])
                    })
                    .into()
            }
            kind => {
                if kind == Kind::Altered {
                    bytes[self.size / 2] ^= 0xff;
                }
                vec![match random.below(3) {
                    0 => request("PUT", &path, "application/octet-stream", "", &bytes),
                    1 => request("POST", &path, "application/octet-stream", "", &bytes),
                    _ => multipart(&name(self.no), &bytes),
                }]
            }
        }
    }
}

fn request(method: &str, path: &str, kind: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: cdn.example\r\nUser-Agent: Gallery/2.1\r\nContent-Type: {kind}\r\n\
         {more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn multipart(name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"album\"\r\n\r\nCamera\r\n--{BOUNDARY}\r\n\
         Content-Disposition: form-data; name=\"photo\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let body = [head.as_bytes(), bytes, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat();
    request("POST", "/form", &format!("multipart/form-data; boundary={BOUNDARY}"), "", &body)
}

fn small_talk(random: &mut Random) -> Vec<u8> {
    let body = format!(
        "{{\"event\":\"screen_on\",\"count\":{},\"app\":\"com.example.gallery\",\"battery\":{},\"session\":\"{:016x}\"}}",
        random.below(1_000),
        random.below(100),
        random.next()
    );
    request("POST", "/v1/events", "application/json", "", body.as_bytes())
}

/// One TCP connection, phone to server.
struct Connection {
    port: u16,
    server: [u8; 4],
    /// Next sequence numbers of phone and server.
    seq: u32,
    ack: u32,
    requests: VecDeque<Vec<u8>>,
    sent: usize,
    /// Segments held back: how many more are sent before each, and what it is.
    held: Vec<(usize, u32, Vec<u8>)>,
    jobs_left: usize,
}

impl Connection {
    fn open(link: &mut Link, random: &mut Random, port: u16) -> Result<Self, Box<dyn Error>> {
        let server = [203, 0, 113, 9 + random.below(4) as u8];
        link.dns(random.next() as u16, server)?;
        let (seq, ack) = (random.next() as u32, random.next() as u32);
        let connection = Self {
            port,
            server,
            seq: seq.wrapping_add(1),
            ack: ack.wrapping_add(1),
            requests: VecDeque::new(),
            sent: 0,
            held: Vec::new(),
            jobs_left: 3 + random.below(6),
        };
        connection.up(link, seq, 0, SYN, &[])?;
        connection.down(link, ack, seq.wrapping_add(1), SYN | ACK, &[])?;
        connection.up(link, seq.wrapping_add(1), ack.wrapping_add(1), ACK, &[])?;
        Ok(connection)
    }

    fn is_done(&self) -> bool {
        self.requests.is_empty() && self.jobs_left == 0
    }

    /// Sends a few segments, or takes the next job.
    fn step(
        &mut self,
        link: &mut Link,
        random: &mut Random,
        jobs: &mut VecDeque<Job>,
        options: &Options,
    ) -> Result<(), Box<dyn Error>> {
        let Some(request) = self.requests.pop_front() else {
            match jobs.pop_front() {
                Some(job) => {
                    self.jobs_left -= 1;
                    self.requests.extend(job.requests(options, random));
                    self.requests.push_back(small_talk(random));
                }
                None => self.jobs_left = 0,
            }
            return Ok(());
        };
        for _ in 0..1 + random.below(12) {
            let end = (self.sent + SEGMENT).min(request.len());
            self.segment(link, random, &request[self.sent..end])?;
            self.sent = end;
            if end == request.len() {
                return self.answer(link);
            }
        }
        self.down(link, self.ack, self.received(), ACK, &[])?;
        self.requests.push_front(request);
        Ok(())
    }

    fn segment(&mut self, link: &mut Link, random: &mut Random, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        let seq = self.seq;
        self.seq = seq.wrapping_add(bytes.len() as u32);
        match random.below(300) {
            0 => self.held.push((1 + random.below(3), seq, bytes.to_vec())),
            1 => self.held.push((10 + random.below(40), seq, bytes.to_vec())),
            2 => {
                self.up(link, seq, self.ack, ACK, bytes)?;
                self.up(link, seq, self.ack, ACK, bytes)?;
            }
            _ => self.up(link, seq, self.ack, ACK, bytes)?,
        }
        self.held.iter_mut().for_each(|held| held.0 -= 1);
        self.release(link, |after| after == 0)
    }

    fn release(&mut self, link: &mut Link, due: impl Fn(usize) -> bool) -> Result<(), Box<dyn Error>> {
        let (now, later) = std::mem::take(&mut self.held).into_iter().partition(|held| due(held.0));
        self.held = later;
        let now: Vec<(usize, u32, Vec<u8>)> = now;
        now.iter().try_for_each(|(_, seq, bytes)| self.up(link, *seq, self.ack, ACK, bytes))
    }

    /// What the server has without a hole.
    fn received(&self) -> u32 {
        let first = self.held.iter().map(|held| held.1).min_by_key(|seq| seq.wrapping_sub(self.seq));
        first.unwrap_or(self.seq)
    }

    fn answer(&mut self, link: &mut Link) -> Result<(), Box<dyn Error>> {
        self.release(link, |_| true)?;
        self.sent = 0;
        let body = "{\"ok\":true}";
        let answer = format!(
            "HTTP/1.1 200 OK\r\nServer: example\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.down(link, self.ack, self.seq, ACK | PUSH, answer.as_bytes())?;
        self.ack = self.ack.wrapping_add(answer.len() as u32);
        self.up(link, self.seq, self.ack, ACK, &[])
    }

    fn close(&mut self, link: &mut Link) -> Result<(), Box<dyn Error>> {
        self.up(link, self.seq, self.ack, ACK | FIN, &[])?;
        self.down(link, self.ack, self.seq.wrapping_add(1), ACK | FIN, &[])?;
        self.up(link, self.seq.wrapping_add(1), self.ack.wrapping_add(1), ACK, &[])
    }

    fn up(&self, link: &mut Link, seq: u32, ack: u32, flags: u8, data: &[u8]) -> Result<(), Box<dyn Error>> {
        link.tcp((PHONE, self.port), (self.server, 80), (seq, ack), flags, data)
    }

    fn down(
        &self,
        link: &mut Link,
        seq: u32,
        ack: u32,
        flags: u8,
        data: &[u8],
    ) -> Result<(), Box<dyn Error>> {
        link.tcp((self.server, 80), (PHONE, self.port), (seq, ack), flags, data)
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const PUSH: u8 = 8;
const ACK: u8 = 16;

/// Writes Ethernet frames into a pcap file.
struct Link {
    out: BufWriter<fs::File>,
    packets: u64,
    micros: u64,
    id: u16,
}

impl Link {
    fn new(mut out: BufWriter<fs::File>) -> Result<Self, Box<dyn Error>> {
        // Magic, version 2.4, no offset, no accuracy, snap length, LINKTYPE_ETHERNET.
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
            out.write_all(&word.to_le_bytes())?;
        }
        Ok(Self { out, packets: 0, micros: 0, id: 1 })
    }

    fn frame(
        &mut self,
        from: [u8; 4],
        to: [u8; 4],
        protocol: u8,
        body: &[&[u8]],
    ) -> Result<(), Box<dyn Error>> {
        let len: usize = body.iter().map(|part| part.len()).sum();
        let mut header = [0_u8; 34];
        let (target, source) = if from == PHONE { (ROUTER_MAC, PHONE_MAC) } else { (PHONE_MAC, ROUTER_MAC) };
        header[..6].copy_from_slice(&target);
        header[6..12].copy_from_slice(&source);
        header[12..14].copy_from_slice(&0x0800_u16.to_be_bytes());
        let ip = &mut header[14..];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&(20 + len as u16).to_be_bytes());
        ip[4..6].copy_from_slice(&self.id.to_be_bytes());
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = protocol;
        ip[12..16].copy_from_slice(&from);
        ip[16..20].copy_from_slice(&to);
        let sum = !fold(sum(ip, 0));
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        self.id = self.id.wrapping_add(1);
        self.micros += 20 + u64::from(self.id % 180);
        let total = (header.len() + len) as u32;
        let seconds = (START + self.micros / 1_000_000) as u32;
        for word in [seconds, (self.micros % 1_000_000) as u32, total, total] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(&header)?;
        body.iter().try_for_each(|part| self.out.write_all(part))?;
        self.packets += 1;
        Ok(())
    }

    fn tcp(
        &mut self,
        (from, source): ([u8; 4], u16),
        (to, target): ([u8; 4], u16),
        (seq, ack): (u32, u32),
        flags: u8,
        data: &[u8],
    ) -> Result<(), Box<dyn Error>> {
        let mut header = [0_u8; 20];
        header[..2].copy_from_slice(&source.to_be_bytes());
        header[2..4].copy_from_slice(&target.to_be_bytes());
        header[4..8].copy_from_slice(&seq.to_be_bytes());
        header[8..12].copy_from_slice(&ack.to_be_bytes());
        header[12] = 0x50;
        header[13] = flags;
        header[14..16].copy_from_slice(&65_535_u16.to_be_bytes());
        let checksum = checksum(from, to, 6, &header, data);
        header[16..18].copy_from_slice(&checksum.to_be_bytes());
        self.frame(from, to, 6, &[&header, data])
    }

    fn udp(
        &mut self,
        (from, source): ([u8; 4], u16),
        (to, target): ([u8; 4], u16),
        data: &[u8],
    ) -> Result<(), Box<dyn Error>> {
        let mut header = [0_u8; 8];
        header[..2].copy_from_slice(&source.to_be_bytes());
        header[2..4].copy_from_slice(&target.to_be_bytes());
        header[4..6].copy_from_slice(&(8 + data.len() as u16).to_be_bytes());
        let checksum = checksum(from, to, 17, &header, data);
        header[6..8].copy_from_slice(&checksum.to_be_bytes());
        self.frame(from, to, 17, &[&header, data])
    }

    /// Asks for cdn.example and is told the server's address (RFC 1035 section 4).
    fn dns(&mut self, id: u16, server: [u8; 4]) -> Result<(), Box<dyn Error>> {
        let question = b"\x03cdn\x07example\x00\x00\x01\x00\x01";
        let port = 30_000 + id % 20_000;
        let query = [&id.to_be_bytes()[..], b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", question].concat();
        self.udp((PHONE, port), (RESOLVER, 53), &query)?;
        let answer = [b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04".as_slice(), &server].concat();
        let head = b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00";
        let response = [&id.to_be_bytes()[..], head, question, &answer].concat();
        self.udp((RESOLVER, 53), (PHONE, port), &response)
    }
}

/// The Internet checksum (RFC 1071) with the pseudo header of RFC 9293 section 3.1.
fn checksum(from: [u8; 4], to: [u8; 4], protocol: u8, header: &[u8], data: &[u8]) -> u16 {
    let pseudo = u64::from(protocol) + (header.len() + data.len()) as u64;
    let total = sum(data, sum(header, sum(&to, sum(&from, pseudo))));
    match (protocol, !fold(total)) {
        // "No checksum" in UDP (RFC 768).
        (17, 0) => 0xffff,
        (_, checksum) => checksum,
    }
}

fn sum(bytes: &[u8], start: u64) -> u64 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |&byte| u64::from(byte) << 8);
    pairs.iter().fold(start + last, |sum, pair| sum + u64::from(u16::from_be_bytes(*pair)))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
