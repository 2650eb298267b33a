//! The walk over a capture's frames, and what is known of the container at its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use sha2::{Digest as _, Sha256};

use super::{App, Capture, Family, Format, LinkType, pcap::Pcap, pcapng::PcapNg, window::Window};
use crate::evidence::{Anomaly, AnomalyKind, Digest, FrameNo, ReadError, Timestamp, printable};

/// Wireshark's and libpcap's bound on one frame (WTAP_MAX_PACKET_SIZE_STANDARD, MAXIMUM_SNAPLEN). A record that
/// says more is damage: real links end at 64 KiB, offloaded frames included.
pub(super) const MAX_FRAME: u32 = 262_144;
/// Anomalies of one container that are listed; a hostile file could hold one a record.
const MAX_ANOMALIES: usize = 1_000;
/// Key logs kept from one capture, in bytes: a line for each of a million sessions.
const MAX_SECRETS: usize = 256 << 20;
/// Comments kept of one capture; people write some dozens.
const MAX_COMMENTS: usize = 1_000;
/// Characters kept of a comment.
const MAX_COMMENT: usize = 4_096;
/// Names and apps kept of one capture.
const MAX_NAMES: usize = 65_536;

/// One frame; its bytes stay in the walk's buffer until the next is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'f> {
    /// Its number, from 1.
    pub no: FrameNo,
    /// When it was captured (zero where the container doesn't say).
    pub time: Timestamp,
    /// The interface, counted over all sections from 0.
    pub interface: u32,
    /// What its first header is.
    pub link: LinkType,
    /// Bytes it had on the wire.
    pub wire_len: u32,
    /// Where its bytes stand in the capture's uncompressed bytes.
    pub at: u64,
    /// Its bytes, as many as were stored.
    pub data: &'f [u8],
    /// The user number of the app it belongs to, where the container says.
    pub uid: Option<i32>,
}

/// Session keys found inside a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Where the block's payload stands in the uncompressed bytes.
    pub at: u64,
    /// The text of an NSS key log.
    pub text: Vec<u8>,
}

/// A comment that somebody wrote into a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The frame that it is about.
    pub frame: Option<FrameNo>,
    /// The kind of block it stands in: `section`, `interface`, `packet`, `names`, `statistics`, `secrets`.
    pub about: &'static str,
    /// What it says, printable.
    pub text: String,
}

/// Where a capture was taken, as far as the file itself shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// In an app on the phone that is its VPN and makes packets anew: their times and sizes say nothing of the wire.
    VpnApp,
    /// On the phone, below its apps.
    Phone,
}

impl Vantage {
    /// The scenario's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::VpnApp => "vpn_app",
            Self::Phone => "phone",
        }
    }
}

/// What a capture file is, told at the end of the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// SHA-256 of the file as it stands (compressed, if it is).
    pub digest: Digest,
    /// Its bytes as it stands.
    pub bytes: u64,
    /// Frames as Wireshark numbers them: custom blocks of pcapng take a number too.
    pub packets: u32,
    /// The kind of container.
    pub format: Format,
    /// Link types of interfaces, sorted, each once.
    pub link_types: Vec<LinkType>,
    /// Interfaces over all sections.
    pub interfaces: u32,
    /// Packets that the capturing machine says it dropped; `None` where the container doesn't say.
    pub dropped: Option<u64>,
    /// The earliest time of a frame.
    pub first: Option<Timestamp>,
    /// The latest time of a frame.
    pub last: Option<Timestamp>,
    /// Key logs inside the file, in order.
    pub secrets: Vec<Secrets>,
    /// Comments, in order.
    pub comments: Vec<Comment>,
    /// Names that the file itself gives addresses, sorted.
    pub names: BTreeSet<(IpAddr, String)>,
    /// The phone's apps, by user number.
    pub apps: BTreeMap<i32, App>,
    /// Where it was taken, where the file shows it.
    pub vantage: Option<Vantage>,
    /// What is odd about the container, in order.
    pub anomalies: Vec<Anomaly>,
}

/// A record as the walkers give it: positions instead of bytes.
pub(super) struct Record {
    /// `None` where the container doesn't say.
    pub(super) time: Option<Timestamp>,
    pub(super) interface: u32,
    pub(super) link: LinkType,
    pub(super) wire_len: u32,
    pub(super) at: u64,
    /// Position and length in the window's buffer.
    pub(super) position: usize,
    pub(super) len: usize,
    /// The user number of an app.
    pub(super) uid: Option<i32>,
}

/// What a walker finds next.
pub(super) enum Step {
    Frame(Record),
    /// No frame, but something that takes a number in Wireshark, whose numbers ours are.
    Number,
}

/// What a walker finds beside records.
pub(super) struct Facts {
    name: String,
    pub(super) link_types: Vec<LinkType>,
    pub(super) interfaces: u32,
    pub(super) secrets: Vec<Secrets>,
    secret_bytes: usize,
    comments: Vec<Comment>,
    names: BTreeSet<(IpAddr, String)>,
    pub(super) apps: BTreeMap<i32, App>,
    /// Whether packets say which way they went.
    pub(super) directed: bool,
    /// Whether PCAPdroid says that it wrote the file.
    pub(super) by_pcapdroid: bool,
    anomalies: Vec<Anomaly>,
    left_out: u64,
    /// Comments, names and apps beyond what is kept.
    notes_left_out: u64,
}

impl Facts {
    /// Records something odd about the container.
    pub(super) fn odd(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        if self.anomalies.len() < MAX_ANOMALIES {
            self.anomalies.push(Anomaly { kind, capture: self.name.clone(), frame, flow: None, detail });
        } else {
            self.left_out += 1;
        }
    }

    /// Records one more interface and gives its number over all sections.
    pub(super) fn interface(&mut self, link: LinkType) -> u32 {
        if let Err(place) = self.link_types.binary_search(&link) {
            self.link_types.insert(place, link);
        }
        self.interfaces += 1;
        self.interfaces - 1
    }

    /// Keeps a comment; one about a packet is told its number when that is known.
    pub(super) fn comment(&mut self, about: &'static str, text: &[u8]) {
        if self.comments.len() >= MAX_COMMENTS {
            self.notes_left_out += 1;
            return;
        }
        self.comments.push(Comment { frame: None, about, text: printable(text, MAX_COMMENT) });
    }

    /// Keeps a name.
    pub(super) fn named(&mut self, address: IpAddr, name: &[u8]) {
        if self.names.len() >= MAX_NAMES {
            self.notes_left_out += 1;
            return;
        }
        self.names.insert((address, printable(name, MAX_COMMENT)));
    }

    /// Keeps an app; the first that a number is given to counts.
    pub(super) fn app(&mut self, app: App) {
        if self.apps.len() >= MAX_NAMES {
            self.notes_left_out += 1;
            return;
        }
        self.apps.entry(app.uid).or_insert(app);
    }

    /// The comments of the last packet are about this frame.
    fn number(&mut self, frame: FrameNo) {
        let about_packet = |comment: &&mut Comment| comment.about == "packet" && comment.frame.is_none();
        for comment in self.comments.iter_mut().rev().take_while(about_packet) {
            comment.frame = Some(frame);
        }
    }

    /// Keeps the text of a key log.
    pub(super) fn secret(&mut self, at: u64, text: &[u8]) {
        self.secret_bytes = self.secret_bytes.saturating_add(text.len());
        if self.secret_bytes > MAX_SECRETS {
            let detail =
                format!("key logs of more than {MAX_SECRETS} bytes; the block at byte {at} was left out");
            return self.odd(AnomalyKind::LimitReached, None, detail);
        }
        self.secrets.push(Secrets { at, text: text.to_vec() });
    }
}

enum Walker {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// Walks the frames of a capture in order, reading and digesting the file once.
pub struct Frames<'c> {
    capture: &'c Capture,
    window: Window<'c>,
    walker: Walker,
    facts: Facts,
    packets: u32,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    previous: Option<Timestamp>,
    backwards: u64,
    ended: bool,
}

impl<'c> Frames<'c> {
    pub(super) fn new(capture: &'c Capture) -> Self {
        let hasher = capture.unpacked.is_none().then(Sha256::new);
        Self {
            capture,
            window: Window::new(&capture.name, &*capture.bytes, hasher),
            walker: match capture.format.family {
                Family::PcapMicro | Family::PcapNano => Walker::Pcap(Pcap::default()),
                Family::PcapNg => Walker::PcapNg(PcapNg::default()),
            },
            facts: Facts {
                name: capture.name.clone(),
                link_types: Vec::new(),
                interfaces: 0,
                secrets: Vec::new(),
                secret_bytes: 0,
                comments: Vec::new(),
                names: BTreeSet::new(),
                apps: BTreeMap::new(),
                directed: false,
                by_pcapdroid: false,
                anomalies: capture.unpacked.as_ref().map_or_else(Vec::new, |facts| facts.anomalies.clone()),
                left_out: 0,
                notes_left_out: 0,
            },
            packets: 0,
            first: None,
            last: None,
            previous: None,
            backwards: 0,
            ended: false,
        }
    }

    /// Gives the next frame, or `None` at the end of what can be read.
    ///
    /// # Errors
    /// When the medium fails or the file is shorter than it was. Damage ends the walk without an error.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let Some((record, no)) = self.next_record()? else { return Ok(None) };
        if let Some(time) = record.time {
            self.clock(time);
        }
        Ok(Some(Frame {
            no,
            time: record.time.unwrap_or_default(),
            interface: record.interface,
            link: record.link,
            wire_len: record.wire_len,
            at: record.at,
            data: self.window.slice(record.position, record.len),
            uid: record.uid,
        }))
    }

    fn next_record(&mut self) -> Result<Option<(Record, FrameNo)>, ReadError> {
        while !self.ended {
            let step = match &mut self.walker {
                Walker::Pcap(pcap) => pcap.next(&mut self.window, &mut self.facts)?,
                Walker::PcapNg(pcapng) => pcapng.next(&mut self.window, &mut self.facts)?,
            };
            let (Some(step), Some(number)) = (step, self.packets.checked_add(1)) else { break };
            self.packets = number;
            if let Step::Frame(record) = step {
                self.facts.number(FrameNo(number));
                return Ok(Some((record, FrameNo(number))));
            }
        }
        self.ended = true;
        Ok(None)
    }

    fn clock(&mut self, time: Timestamp) {
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
        let back = self.previous.map_or(0, |previous| previous.millis_since(time));
        // Several processor cores stamp the frames that one file takes in, so neighbours may be out of order by
        // microseconds. That is no clock that was set back, and nothing here tells an order as fine as that.
        if back >= 1 {
            if self.backwards == 0 {
                let detail = format!("this frame is {back} ms before the one before it");
                self.facts.odd(AnomalyKind::ClockBackwards, Some(FrameNo(self.packets)), detail);
            }
            self.backwards += 1;
        }
        self.previous = Some(time);
    }

    /// Walks what is left and tells what the file was.
    ///
    /// # Errors
    /// As [`Frames::next_frame`].
    pub fn finish(mut self) -> Result<Container, ReadError> {
        while self.next_frame()?.is_some() {}
        let dropped = match &self.walker {
            Walker::Pcap(_) => None,
            Walker::PcapNg(pcapng) => pcapng.dropped(),
        };
        self.sum_up(dropped);
        // Only its VPN leaves out which way a packet went.
        let vantage = if self.facts.directed { Vantage::Phone } else { Vantage::VpnApp };
        let by_pcapdroid = self.facts.by_pcapdroid || !self.facts.apps.is_empty();
        let vantage = by_pcapdroid.then_some(vantage);
        let digest = match (self.window.finish()?, &self.capture.unpacked) {
            (_, Some(unpacked)) => unpacked.digest,
            (Some(digest), None) => digest,
            (None, None) => unreachable!("a file that was not unpacked is digested while it is walked"),
        };
        Ok(Container {
            digest,
            bytes: self.capture.file.len(),
            packets: self.packets,
            format: self.capture.format,
            link_types: self.facts.link_types,
            interfaces: self.facts.interfaces,
            dropped,
            first: self.first,
            last: self.last,
            secrets: self.facts.secrets,
            comments: self.facts.comments,
            names: self.facts.names,
            apps: self.facts.apps,
            vantage,
            anomalies: self.facts.anomalies,
        })
    }

    fn sum_up(&mut self, dropped: Option<u64>) {
        let facts = &mut self.facts;
        if self.packets == 0 {
            facts.odd(AnomalyKind::NoPackets, None, "no packets".to_owned());
        }
        if self.packets == u32::MAX {
            facts.odd(AnomalyKind::LimitReached, None, format!("more than {} frames", u32::MAX));
        }
        if let Some(dropped @ 1..) = dropped {
            let detail = format!("the capturing machine dropped {dropped} packets");
            facts.odd(AnomalyKind::PacketsDropped, None, detail);
        }
        if self.backwards > 1 {
            let detail = format!("{} frames stand before the frame that precedes them", self.backwards);
            facts.odd(AnomalyKind::ClockBackwards, None, detail);
        }
        if facts.notes_left_out > 0 {
            let detail = format!("{} more comments, names and apps of the container", facts.notes_left_out);
            facts.odd(AnomalyKind::LimitReached, None, detail);
        }
        if facts.left_out > 0 {
            let detail = format!("{} more anomalies of the container", facts.left_out);
            let capture = facts.name.clone();
            let kind = AnomalyKind::LimitReached;
            facts.anomalies.push(Anomaly { kind, capture, frame: None, flow: None, detail });
        }
    }
}
