//! Conversations in memory against the leaves they give.

mod dtls;
mod grpc;
mod http;
mod http2;
mod http3;
mod mail;
mod messaging;
mod names;
mod properties;
#[path = "../../../tests/support/soak.rs"]
mod soak;
mod upgrade;
mod websocket;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use crate::{
    engine::{
        net::stream::{Piece, Stream},
        proto::keylog::KeyLog,
    },
    evidence::Step,
    evidence::{AnomalyKind, ByteRange, Direction, FrameNo, Limits, Scratch, Timestamp, Transport},
};

use super::{Context, Conversation, Shared, sink::*, walk};

/// A leaf, whole.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    pub(super) direction: Direction,
    pub(super) transaction: Option<TransactionId>,
    pub(super) keep: Keep,
    pub(super) steps: Vec<Step>,
    pub(super) bytes: Vec<u8>,
    /// The stream bytes it was made of.
    pub(super) from: Vec<ByteRange>,
    closed: bool,
}

impl Leaf {
    /// `http1.body > multipart.part(photo)`.
    pub(super) fn path(&self) -> String {
        let step = |step: &Step| match &step.param {
            Some(param) => format!("{}({param})", step.op),
            None => step.op.clone(),
        };
        let keep = if self.keep == Keep::Digest { "digest " } else { "" };
        format!("{keep}{}", self.steps.iter().map(step).collect::<Vec<_>>().join(" > "))
    }
}

/// Keeps everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Collected {
    pub(super) leaves: Vec<Leaf>,
    pub(super) requests: Vec<RequestHead>,
    pub(super) responses: Vec<ResponseHead>,
    pub(super) ends: Vec<(TransactionId, Direction, BodyEnd, u64)>,
    pub(super) places: Vec<(Direction, ByteRange, Place)>,
    pub(super) sealed: Vec<(Direction, ByteRange)>,
    pub(super) anomalies: Vec<(AnomalyKind, String)>,
    pub(super) dns: Vec<DnsMessage>,
    pub(super) hellos: Vec<TlsHello>,
    pub(super) protocols: Vec<&'static str>,
    pub(super) messages: Vec<Message>,
}

impl Sink for Collected {
    fn open(&mut self, origin: Origin) -> LeafId {
        let Origin { direction, transaction, steps, keep } = origin;
        let (bytes, from, closed) = (Vec::new(), Vec::new(), false);
        self.leaves.push(Leaf { direction, transaction, keep, steps, bytes, from, closed });
        LeafId(u32::try_from(self.leaves.len() - 1).unwrap())
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        let leaf = &mut self.leaves[leaf.0 as usize];
        assert!(!leaf.closed, "written after it was closed: {}", leaf.path());
        leaf.bytes.extend_from_slice(bytes);
        leaf.from.push(from.range());
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        let leaf = &mut self.leaves[leaf.0 as usize];
        assert!(!leaf.closed, "closed twice: {}", leaf.path());
        leaf.closed = true;
        leaf.steps = steps.to_vec();
        leaf.from = ByteRange::unite(leaf.from.drain(..));
    }

    fn place(&mut self, direction: Direction, range: ByteRange, place: Place) {
        self.places.push((direction, range, place));
    }

    fn sealed(&mut self, direction: Direction, range: ByteRange) {
        self.sealed.push((direction, range));
    }

    fn protocol(&mut self, name: &'static str) {
        self.protocols.push(name);
    }

    fn request(&mut self, head: &RequestHead) {
        // Frames follow the segments, and nothing else may.
        self.requests.push(RequestHead { frame: None, ..head.clone() });
    }

    fn response(&mut self, head: &ResponseHead) {
        self.responses.push(ResponseHead { frame: None, ..head.clone() });
    }

    fn body_end(&mut self, transaction: TransactionId, direction: Direction, end: BodyEnd, wire: u64) {
        self.ends.push((transaction, direction, end, wire));
    }

    fn dns(&mut self, message: &DnsMessage) {
        self.dns.push(message.clone());
    }

    fn message(&mut self, message: &Message) {
        self.messages.push(message.clone());
    }

    fn tls_hello(&mut self, hello: &TlsHello) {
        self.hellos.push(hello.clone());
    }

    fn anomaly(&mut self, kind: AnomalyKind, _: Option<FrameNo>, detail: String) {
        self.anomalies.push((kind, detail));
    }
}

impl Collected {
    /// The one leaf with this path.
    pub(super) fn leaf(&self, path: &str) -> &Leaf {
        let found: Vec<&Leaf> = self.leaves.iter().filter(|leaf| leaf.path() == path).collect();
        match found.as_slice() {
            [leaf] => leaf,
            _ => panic!("{} leaves {path:?} in {:#?}", found.len(), self.paths()),
        }
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.leaves.iter().map(Leaf::path).collect()
    }

    pub(super) fn kinds(&self) -> Vec<AnomalyKind> {
        self.anomalies.iter().map(|(kind, _)| *kind).collect()
    }

    /// Everything but where writes were cut; places united, so that cutting does not show.
    pub(super) fn settled(mut self) -> Self {
        let mut places: BTreeMap<(Direction, Place), Vec<ByteRange>> = BTreeMap::new();
        for (direction, range, place) in self.places.drain(..) {
            places.entry((direction, place)).or_default().push(range);
        }
        self.places = places
            .into_iter()
            .flat_map(|((direction, place), ranges)| {
                ByteRange::unite(ranges).into_iter().map(move |range| (direction, range, place))
            })
            .collect();
        assert!(self.leaves.iter().all(|leaf| leaf.closed), "open leaves: {:?}", self.paths());
        self
    }
}

/// A stream in pieces: each of `parts` is a frame, or a gap of so many bytes.
pub(super) fn stream(parts: &[Result<&[u8], u64>]) -> Stream {
    let mut stream = Stream::of_bytes(b"");
    // The reader joins pieces of TCP that touch, which would undo every cut made here.
    stream.datagrams = true;
    let mut bytes = Vec::new();
    let mut at = 0;
    for (index, part) in parts.iter().enumerate() {
        match *part {
            Ok(part) if !part.is_empty() => {
                let range = ByteRange::new(at, at + part.len() as u64);
                let frame = FrameNo(u32::try_from(index + 1).unwrap());
                let time = Timestamp(0);
                stream.pieces.push(Piece { range, at: bytes.len() as u64, frame, time });
                bytes.extend_from_slice(part);
                at = range.end;
            }
            Ok(_) => {}
            Err(gap) => {
                stream.gaps.push(ByteRange::new(at, at + gap));
                at += gap;
            }
        }
    }
    stream.blob = Arc::new(bytes);
    stream
}

/// The bytes of a range.
pub(super) fn part(bytes: &[u8], range: ByteRange) -> &[u8] {
    let at = |position| usize::try_from(position).unwrap();
    &bytes[at(range.start)..at(range.end)]
}

/// Compares all but where in the stream decoded bytes come from, which follows the chunks.
#[track_caller]
pub(super) fn assert_same(got: Collected, expected: &Collected, what: &str) {
    let plain = |collected: &Collected| -> Vec<Leaf> {
        collected.leaves.iter().map(|leaf| Leaf { from: Vec::new(), ..leaf.clone() }).collect()
    };
    let (mine, theirs) = (plain(&got), plain(expected));
    assert_eq!(got.paths(), expected.paths(), "{what}");
    for (mine, theirs) in mine.iter().zip(&theirs) {
        assert_eq!(mine, theirs, "{what}");
    }
    assert_eq!(got.places, expected.places, "{what}");
    let rest = |collected: Collected| Collected { leaves: Vec::new(), ..collected };
    assert_eq!(rest(got), rest(expected.clone()), "{what}");
}

pub(super) fn walked(up: &Stream, down: &Stream, transport: Transport, port: u16) -> Collected {
    walked_with(&KeyLog::default(), up, down, transport, port)
}

pub(super) fn walked_with(
    keys: &KeyLog,
    up: &Stream,
    down: &Stream,
    transport: Transport,
    port: u16,
) -> Collected {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let conversation = Conversation { transport, up, down, local: address(40000), remote: address(port) };
    let mut collected = Collected::default();
    let (limits, scratch) = (Limits::default(), Scratch::new("."));
    let context = Context::new(&limits, keys, &scratch);
    walk(&conversation, &context, &mut Shared::default(), &mut collected).unwrap();
    collected.settled()
}

pub(super) fn tcp(up: &[u8], down: &[u8]) -> Collected {
    walked(&Stream::of_bytes(up), &Stream::of_bytes(down), Transport::Tcp, 8080)
}
