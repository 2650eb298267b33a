//! What comes out of a conversation: transactions, names, places of bytes, and leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Range,
};

use serde::{Deserialize, Serialize};

use crate::{
    engine::{net::stream::Stream, proto::tls},
    evidence::{AnomalyKind, ByteRange, Digest, Direction, FrameNo, ReadError, Step, Timestamp},
};

/// A leaf while it is open; given by the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafId(pub u32);

/// One request with its response, or one message, within a captured conversation and all that is inside it, from 0.
/// Numbers come from [`Shared::transaction`](super::Shared::transaction).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u32);

/// Whether a leaf's bytes are searched for parts of files, or only digested as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Digested, and searched for parts and values where it is no whole file.
    Search,
    /// Digested only: its bytes come again in leaves below it.
    Digest,
}

/// Where a leaf comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Which way its bytes went.
    pub direction: Direction,
    /// The transaction it belongs to.
    pub transaction: Option<TransactionId>,
    /// What was taken off, outermost first; empty for a raw stream. `input` and `output` of a step whose
    /// end is not known yet are mended by [`Sink::close`].
    pub steps: Vec<Step>,
    /// Searched or only digested.
    pub keep: Keep,
}

/// Where in the stream the bytes of a leaf come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Byte for byte from as many bytes: as they stand, or under a cipher that keeps each in its place.
    Copied(ByteRange),
    /// The input that was consumed for them, as a whole.
    Transformed(ByteRange),
}

impl Source {
    /// The bytes of the stream.
    pub fn range(self) -> ByteRange {
        match self {
            Self::Copied(range) | Self::Transformed(range) => range,
        }
    }
}

/// How a byte of a stream is accounted for where nothing matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Accounted for by protocol grammar.
    Understood,
    /// Decoded, but holding values nobody accounts for.
    Undetermined,
    /// Encrypted without keys, or an unknown format.
    Opaque,
}

/// What the first step of a message's content is called, behind the steps of the streams around it.
pub const CONTENT_OPS: [&str; 13] = [
    "http1.body",
    "http2.body",
    "http3.body",
    "websocket.message",
    "mqtt.payload",
    "mail.sent",
    "smtp.data",
    "smtp.bdat",
    "imap.literal",
    "pop3.message",
    "ftp.data",
    "tftp.data",
    "xmpp.stanza",
];

/// Steps that take a coding off a whole content: those of RFC 9110 section 8.4.1 and RFC 8878, and that of RFC 7692.
pub const CONTENT_CODINGS: [&str; 6] = ["gzip", "zlib", "deflate", "br", "zstd", "permessage-deflate"];

/// The step that puts bodies of several requests together: its parameter lists them.
pub const PARTS: &str = "parts";

/// The last step of a leaf that begins after bytes that are missing: its parameter says how many bytes of the layer stand before it.
pub const AFTER_GAP: &str = "after-gap";

/// The body of a request that says of which upload it is a part, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPart {
    /// The step that gave it: `http1.body`.
    pub op: String,
    /// Of the method, the authority and the target without the part's number.
    pub upload: Digest,
    /// Where in the upload it stands.
    pub position: Position,
    /// Bytes of its content.
    pub len: u64,
    /// Whether it came to its announced end.
    pub complete: bool,
    /// The codings that are declared, in the order in which they were applied.
    pub codings: Vec<String>,
    /// The Content-Type.
    pub media: Option<String>,
    /// The frame that carries its first byte.
    pub frame: FrameNo,
    /// The earliest frame's time.
    pub first: Timestamp,
    /// The latest frame's time.
    pub last: Timestamp,
    /// That its bytes are not in the coding that is declared, as it is said where no other part shows more: the anomaly's
    /// frame and detail.
    pub said: Vec<(Option<FrameNo>, String)>,
}

/// Where in its upload a part stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// From a byte on.
    Offset {
        /// The first byte.
        start: u64,
        /// Bytes of the part, where they are said.
        length: Option<u64>,
        /// Bytes of the whole, where they are said.
        total: Option<u64>,
    },
    /// One of those that are counted from 1.
    Number(u64),
    /// Nothing is said: it may go on with what came before.
    Unnamed,
}

/// A message of a protocol that does not pair requests with responses: a WebSocket message, an MQTT packet, a
/// command or a reply of SMTP or FTP, a mail. Leaves of its content name its transaction; [`Sink::body_end`] ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number.
    pub transaction: TransactionId,
    /// `websocket`, `mqtt`, `smtp`, …
    pub protocol: &'static str,
    /// Which way it went.
    pub direction: Direction,
    /// The frame that carries its first byte.
    pub frame: Option<FrameNo>,
    /// What it is, in the words of its specification: `text`, `PUBLISH`, `RETR`.
    pub kind: String,
    /// What it is about, as sent: a topic, an argument, a file name.
    pub name: Vec<u8>,
}

/// A pair of streams inside the conversation: what decryption or a framing gave.
pub struct Inner<'a> {
    /// What it was inside of: `tls`, `dtls`, `quic`, `websocket`.
    pub protocol: &'static str,
    /// Its number where there are several.
    pub id: Option<u64>,
    /// The name of the connection that it belongs to, where one conversation may hold several.
    pub connection: Option<&'a str>,
    /// What the phone sent in it.
    pub up: &'a Stream,
    /// What it was sent.
    pub down: &'a Stream,
}

/// The head of an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Its transaction.
    pub transaction: TransactionId,
    /// The method.
    pub method: String,
    /// The request target as sent.
    pub uri: Vec<u8>,
    /// `HTTP/1.1`.
    pub version: String,
    /// Field lines in order: name as sent, value as sent.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Where the head stands in the stream.
    pub range: ByteRange,
    /// The frame that carries its first byte.
    pub frame: Option<FrameNo>,
    /// Which way it went.
    pub direction: Direction,
    /// Whether a server made it up: it came down, and stands for one that its client would have sent (RFC 9113 section 8.4).
    pub promised: bool,
    /// `http1`, `http2`, `http3`.
    pub protocol: &'static str,
    /// The stream's number, where the protocol numbers streams.
    pub stream: Option<u64>,
}

impl RequestHead {
    /// Whom it is for, as sent, a port with it: a target in absolute form or of a CONNECT goes before all fields (RFC 9112
    /// section 3.2.2), `:authority` before Host (RFC 9113 section 8.3.1).
    pub fn authority(&self) -> Option<&[u8]> {
        let named = |wanted: &str| {
            let field = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            field.map(|(_, value)| value.as_slice())
        };
        // A CONNECT that opens a WebSocket has a path for its target (RFC 8441 section 4).
        if self.method == "CONNECT" && !self.uri.is_empty() && named(":path").is_none() {
            return Some(&self.uri);
        }
        absolute(&self.uri).or_else(|| named(":authority")).or_else(|| named("host"))
    }

    /// Whether one field at most says whom it is for, and its target and method say nothing else: then [`Self::hosts`] holds one
    /// host or none.
    pub fn names_one_host(&self) -> bool {
        let is_host = |(name, _): &&(String, Vec<u8>)| is_host(name);
        self.method != "CONNECT"
            && self.fields.iter().filter(is_host).nth(1).is_none()
            && absolute(&self.uri).is_none()
    }

    /// All hosts that it names, each in one spelling and once: of its target, of `:authority` and of every Host.
    pub fn hosts(&self) -> BTreeSet<Vec<u8>> {
        let fields = self.fields.iter().filter(|(name, _)| is_host(name)).map(|(_, value)| value.as_slice());
        self.authority().into_iter().chain(fields).map(plain_host).filter(|host| !host.is_empty()).collect()
    }
}

/// Whether a field says whom a request is for.
fn is_host(field: &str) -> bool {
    field == ":authority" || field.eq_ignore_ascii_case("host")
}

/// A host in lower case, without white space, the final dot of its name and the ports that HTTP has by itself.
fn plain_host(host: &[u8]) -> Vec<u8> {
    let host = host.trim_ascii().to_ascii_lowercase();
    let bare = [&b":80"[..], b":443", b":"].iter().find_map(|port| host.strip_suffix(*port)).unwrap_or(&host);
    bare.strip_suffix(b".").unwrap_or(bare).to_vec()
}

/// The authority of a URI with a scheme, without user and password (RFC 3986 section 3.2).
fn absolute(uri: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', uri)?;
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    uri.get(..colon).filter(|scheme| !scheme.is_empty() && scheme.iter().all(is_scheme))?;
    let rest = uri.get(colon..)?.strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    let host = memchr::memrchr(b'@', authority).map_or(0, |at| at + 1);
    authority.get(host..).filter(|host| !host.is_empty())
}

/// The head of an HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The transaction it answers.
    pub transaction: TransactionId,
    /// The status code.
    pub status: u16,
    /// `HTTP/1.1`.
    pub version: String,
    /// Field lines in order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Where the head stands in the stream.
    pub range: ByteRange,
    /// The frame that carries its first byte.
    pub frame: Option<FrameNo>,
    /// Which way it went.
    pub direction: Direction,
    /// `http1`, `http2`, `http3`.
    pub protocol: &'static str,
    /// The stream's number, where the protocol numbers streams.
    pub stream: Option<u64>,
}

/// How an HTTP body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// As its framing announced.
    Complete,
    /// Before that.
    Incomplete,
}

/// One DNS message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsMessage {
    /// The frame it came in (the last one for TCP).
    pub frame: FrameNo,
    /// When.
    pub time: Timestamp,
    /// The message's id.
    pub id: u16,
    /// Whether it is a response.
    pub response: bool,
    /// The response code.
    pub rcode: u8,
    /// Questions: name in lower case without the final dot, record type.
    pub questions: Vec<(String, String)>,
    /// Answers: name, record type, value in text.
    pub answers: Vec<(String, String, String)>,
    /// What carried it.
    pub over: DnsOver,
}

/// What carries DNS messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsOver {
    /// Datagrams or a stream of messages, to a server and back.
    Itself,
    /// HTTP (RFC 8484).
    Https,
    /// The local link, where whoever listens may answer: RFC 6762, RFC 4795.
    Link,
}

impl DnsMessage {
    /// The name asked for, and the addresses that an answer gives for it, hints of service records (RFC 9460 section 7.3)
    /// among them.
    ///
    /// A record counts where its owner is that name, or one that aliases and service records lead to from there (RFC 1034
    /// section 3.6.2, RFC 9460 section 2.4): beside these an answer holds addresses of name servers and mail servers
    /// (RFC 1035 section 4.1.3), which are not those of the name asked for. What is said on the local link names addresses of
    /// that link only.
    pub fn resolved(&self) -> impl Iterator<Item = (IpAddr, &str)> {
        let name = self.questions.first().filter(|_| self.response).map(|(name, _)| name.as_str());
        let owners = name.map(|name| self.owners(name)).unwrap_or_default();
        let records = self.answers.iter().filter(move |(owner, ..)| owners.contains(owner.as_str()));
        let addresses = records.flat_map(|(_, kind, value)| {
            let service = is_service(kind);
            let hint = |word: &'_ str| word.split_once("hint=").map(|(_, list)| list.to_owned());
            let hints = value.split(' ').filter(move |_| service).filter_map(hint);
            let lists = hints.chain(Some(value.clone()).filter(|_| !service));
            lists.flat_map(|list| {
                list.split(',').filter_map(|text| text.parse().ok()).collect::<Vec<IpAddr>>()
            })
        });
        let may_name = |address: &IpAddr| self.over != DnsOver::Link || is_of_link(*address);
        addresses.filter(may_name).filter_map(move |address| Some((address, name?)))
    }

    /// A name, and those that aliases and service records of this message lead to from it, each once.
    fn owners<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let mut ways: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (owner, kind, value) in &self.answers {
            let to = match kind.as_str() {
                "CNAME" => Some(value.as_str()),
                // Priority and target; a dot stands for the owner itself.
                kind if is_service(kind) => value.split(' ').nth(1),
                _ => None,
            };
            ways.entry(owner).or_default().extend(to);
        }
        let (mut owners, mut next) = (BTreeSet::from([name]), vec![name]);
        while let Some(owner) = next.pop() {
            // Taken away, so that each record is followed once.
            let targets = ways.remove(owner).unwrap_or_default();
            next.extend(targets.into_iter().filter(|target| owners.insert(target)));
        }
        owners
    }
}

/// The record types of RFC 9460.
fn is_service(kind: &str) -> bool {
    ["HTTPS", "SVCB"].contains(&kind)
}

/// Whether an address is one of private networks or of the link itself (RFC 1918, RFC 3927, RFC 4193, RFC 4291 section
/// 2.5.6).
fn is_of_link(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// A TLS hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsHello {
    /// The frame that carries its first byte.
    pub frame: FrameNo,
    /// Whether the client sent it.
    pub client: bool,
    /// The server name (RFC 6066), of a client's hello.
    pub sni: Option<String>,
    /// Versions offered, or the one chosen.
    pub versions: Vec<u16>,
    /// ALPN names (RFC 7301).
    pub alpn: Vec<String>,
    /// Cipher suites offered, or the one chosen.
    pub ciphers: Vec<u16>,
    /// Whether records of its sender could be decrypted.
    pub decrypted: bool,
    /// The JA4 fingerprint, of a client's hello.
    pub ja4: Option<String>,
}

impl TlsHello {
    /// What a hello says, of the frame that carries its first byte.
    pub fn of(hello: tls::Hello, frame: FrameNo, over: tls::Over) -> Self {
        let ja4 = hello.client.then(|| tls::ja4(&hello, over));
        let tls::Hello { client, sni, versions, alpn, ciphers, .. } = hello;
        Self { frame, client, sni, versions, alpn, ciphers, decrypted: false, ja4 }
    }
}

/// What is known of a TLS connection at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConnection {
    /// The frame that carries its first byte.
    pub frame: Option<FrameNo>,
    /// Which way the client's records went; `None` where only a server was seen.
    pub client: Option<Direction>,
    /// The version agreed on, as it stands on the wire.
    pub version: Option<u16>,
    /// The cipher suite agreed on.
    pub cipher: Option<u16>,
    /// The server name asked for.
    pub sni: Option<String>,
    /// The application protocol agreed on; in TLS 1.3 it is encrypted.
    pub alpn: Option<String>,
    /// The client's random: what a key log names the connection by.
    pub client_random: Option<Vec<u8>>,
    /// Whether an earlier session or a pre-shared key was taken up.
    pub resumed: bool,
    /// Whether a secret of a key log opened records of either direction.
    pub opened: bool,
    /// Bytes of application data that were decrypted, sent and received by the phone.
    pub decrypted: [u64; 2],
    /// Why what was sent and received stayed closed, where it did.
    pub unread: [Option<tls::Unread>; 2],
    /// The server's certificates, and what its signature shows.
    pub identity: Option<tls::Identity>,
}

/// A QUIC connection, as far as it goes in one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicConnection {
    /// The client's first destination id, in hexadecimal; empty where that was not captured.
    pub name: String,
    /// The frame that showed it.
    pub frame: FrameNo,
    /// The version that is spoken: `1`, `2`, `draft-29`.
    pub version: String,
    /// The server name of the client's hello.
    pub sni: Option<String>,
    /// The protocol that the server chose, or else the first that the client offers.
    pub alpn: Option<String>,
    /// The cipher suite that the server chose.
    pub cipher: Option<u16>,
    /// Its packets in this flow.
    pub packets: u64,
    /// Those that were opened, Initial packets among them, whose keys are public.
    pub opened: u64,
    /// Whether packets with data of an application were opened.
    pub decrypted: bool,
    /// Why none were.
    pub why_not: Option<String>,
    /// How it ended, where that was seen.
    pub ended: Option<String>,
    /// Which way its client sends, where that was seen.
    pub client: Option<Direction>,
    /// The server's certificates, and what its signature shows.
    pub identity: Option<tls::Identity>,
}

/// Takes what a conversation gives. Only leaves must be handled; the rest may be ignored.
///
/// The order of calls within a conversation is fixed by its bytes alone.
pub trait Sink {
    /// Opens a leaf. Several may be open at once (a part and the body around it).
    fn open(&mut self, origin: Origin) -> LeafId;

    /// Adds bytes to an open leaf. No bytes: `from` was consumed for those before, too.
    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source);

    /// Ends a leaf, with its steps' final ranges.
    fn close(&mut self, leaf: LeafId, steps: &[Step]);

    /// Says how bytes of a stream are accounted for. What nothing is said of is undetermined.
    fn place(&mut self, direction: Direction, range: ByteRange, place: Place) {
        let _ = (direction, range, place);
    }

    /// The protocol was recognised: `http1`, `tls`, `dns`.
    fn protocol(&mut self, name: &'static str) {
        let _ = name;
    }

    /// A request's head.
    fn request(&mut self, head: &RequestHead) {
        let _ = head;
    }

    /// A response's head.
    fn response(&mut self, head: &ResponseHead) {
        let _ = head;
    }

    /// Field lines that come after a body.
    fn trailer(&mut self, transaction: TransactionId, direction: Direction, fields: &[(String, Vec<u8>)]) {
        let _ = (transaction, direction, fields);
    }

    /// A message beside requests and responses.
    fn message(&mut self, message: &Message) {
        let _ = message;
    }

    /// Streams inside the conversation, to their end. They are walked as well; this call is for who wants to show them.
    ///
    /// # Errors
    /// When they can't be read.
    fn inner(&mut self, inner: &Inner<'_>) -> Result<(), ReadError> {
        let _ = inner;
        Ok(())
    }

    /// The end of a body or of a message's content; `wire` is its length as framed on the wire.
    fn body_end(&mut self, transaction: TransactionId, direction: Direction, end: BodyEnd, wire: u64) {
        let _ = (transaction, direction, end, wire);
    }

    /// A whole body of a request says that it is a part of an upload. It comes when the body is at its end, the last leaf of
    /// which that is searched is its content.
    fn part(&mut self, transaction: TransactionId, direction: Direction, part: &NamedPart) {
        let _ = (transaction, direction, part);
    }

    /// Of such a body, and of others that go on where it ends, it is said that they are not in their coding: an anomaly's frame
    /// and detail.
    fn part_said(&mut self, transaction: TransactionId, said: &(Option<FrameNo>, String)) {
        let _ = (transaction, said);
    }

    /// A DNS message.
    fn dns(&mut self, message: &DnsMessage) {
        let _ = message;
    }

    /// A name stands in clear, in its usual spelling, in a place where the protocol has a name: the question of a DNS
    /// message, the server name of a hello.
    fn name(&mut self, direction: Direction, range: ByteRange, name: &str) {
        let _ = (direction, range, name);
    }

    /// A field of a request's head that stands compressed in `range`. Gives back which parts of its value are accounted
    /// for by what is known beside the conversation; of the bytes that they stand in, none other stands for anything else.
    fn field(
        &mut self,
        direction: Direction,
        range: ByteRange,
        name: &[u8],
        value: &[u8],
    ) -> Vec<Range<usize>> {
        let _ = (direction, range, name, value);
        Vec::new()
    }

    /// Bytes that stand in an encrypted record or packet, whether it was opened or not.
    fn sealed(&mut self, direction: Direction, range: ByteRange) {
        let _ = (direction, range);
    }

    /// A TLS hello.
    fn tls_hello(&mut self, hello: &TlsHello) {
        let _ = hello;
    }

    /// A QUIC connection.
    fn quic_connection(&mut self, connection: &QuicConnection) {
        let _ = connection;
    }

    /// A TLS connection, after its hellos and before what is inside.
    fn tls(&mut self, connection: &TlsConnection) {
        let _ = connection;
    }

    /// Odd traffic.
    fn anomaly(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        let _ = (kind, frame, detail);
    }
}
