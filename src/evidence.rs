//! The shared words: digests, timestamps, frame numbers, ranges, blobs.
//!
//! Every room speaks these and none owns them. They are plain values; the only effect
//! here is a positional read through [`Blob`].

use std::{fmt, io, str::FromStr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest (FIPS 180-4), written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digests one slice.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Ends a running SHA-256.
    pub fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 lower-case hex digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        hex_bytes(text).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(NotADigest)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Without a text of its own: reports hold a digest or more for each flow.
        let mut digits = [[0; 2]; 32];
        digits.iter_mut().zip(self.0).for_each(|(to, byte)| *to = hex_digits(byte));
        serializer.serialize_str(str::from_utf8(digits.as_flattened()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-f]{64}$"})
    }
}

/// Writes bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|&byte| hex_digits(byte));
    String::from_utf8(digits.collect()).unwrap_or_default()
}

/// Both digits of a byte.
fn hex_digits(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
    [digit(byte >> 4), digit(byte & 15)]
}

/// Reads lower-case hex of even length; `None` for anything else.
pub fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// Nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Written as RFC 3339 in UTC with nine digits (`2026-11-20T10:00:05.000000000Z`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Milliseconds from `earlier` to `self`, negative when `self` comes first, rounded toward zero.
    pub fn millis_since(self, earlier: Self) -> i64 {
        let nanos = i128::from(self.0) - i128::from(earlier.0);
        i64::try_from(nanos / 1_000_000).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whole seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// The start of its second.
    #[must_use]
    pub fn second(self) -> Self {
        Self(self.0 - self.0 % 1_000_000_000)
    }

    /// `seconds.nanoseconds`, as capture tools print it.
    pub fn epoch_text(self) -> String {
        let (mut digits, mut rest) = ([b'0'; 9], self.0 % 1_000_000_000);
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        let mut text = self.seconds().to_string();
        text.reserve_exact(1 + digits.len());
        text.push('.');
        text.push_str(str::from_utf8(&digits).unwrap_or_default());
        text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => write!(f, "{time:.9}"),
            Err(_) => f.write_str(&self.epoch_text()),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time like 2026-11-20T18:00:05+08:00")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    /// Reads RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let time: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        u64::try_from(time.as_nanosecond()).map(Self).map_err(|_| NotATime)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

/// A frame's number in its capture, from 1, as Wireshark counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FrameNo(pub u32);

impl fmt::Display for FrameNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Frames from `first` to `last`, both included; written `[first, last]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameRange {
    /// The first frame.
    pub first: FrameNo,
    /// The last frame, included.
    pub last: FrameNo,
}

impl FrameRange {
    /// Unites frame numbers into sorted ranges without neighbours that touch.
    pub fn unite(frames: impl IntoIterator<Item = FrameNo>) -> Vec<Self> {
        let mut numbers: Vec<FrameNo> = frames.into_iter().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut ranges: Vec<Self> = Vec::new();
        for no in numbers {
            match ranges.last_mut() {
                Some(range) if range.last.0.checked_add(1) == Some(no.0) => range.last = no,
                _ => ranges.push(Self { first: no, last: no }),
            }
        }
        ranges
    }
}

impl Serialize for FrameRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.first, self.last].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FrameRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [first, last] = <[FrameNo; 2]>::deserialize(deserializer)?;
        Ok(Self { first, last })
    }
}

impl JsonSchema for FrameRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FrameRange".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        <[u32; 2]>::json_schema(generator)
    }
}

/// Bytes from `start` up to, not including, `end`; written `[start, end]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// `start..end`; an end before the start gives the empty range at `start`.
    pub fn new(start: u64, end: u64) -> Self {
        Self { start, end: end.max(start) }
    }

    /// Bytes in the range.
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The range as far behind `start` as it is behind zero.
    pub fn moved(self, start: u64) -> Self {
        Self { start: start.saturating_add(self.start), end: start.saturating_add(self.end) }
    }

    /// What both hold, if anything.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        (start < end).then_some(Self { start, end })
    }

    /// Sorts ranges and unites those that touch or overlap; empty ones are dropped.
    pub fn unite(ranges: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut sorted: Vec<Self> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        sorted.sort_unstable();
        sorted.dedup_by(|range, last| {
            let touches = range.start <= last.end;
            if touches {
                last.end = last.end.max(range.end);
            }
            touches
        });
        sorted
    }

    /// Bytes covered by ranges, each counted once.
    pub fn covered(ranges: impl IntoIterator<Item = Self>) -> u64 {
        Self::unite(ranges).into_iter().map(Self::len).sum()
    }
}

impl Serialize for ByteRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.start, self.end].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ByteRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [start, end] = <[u64; 2]>::deserialize(deserializer)?;
        if end < start {
            Err(de::Error::custom("a range ends before it starts"))
        } else {
            Ok(Self { start, end })
        }
    }
}

impl JsonSchema for ByteRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteRange".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        <[u64; 2]>::json_schema(generator)
    }
}

/// One layer that was taken off; each can be repeated by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What was done: `http1.body`, `multipart.part`, `base64`, …
    pub op: String,
    /// Its parameter: a part's name, a field's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// Bytes of the layer before that went in.
    #[serde(rename = "in")]
    pub input: ByteRange,
    /// Bytes that came out.
    #[serde(rename = "out")]
    pub output: u64,
}

impl Step {
    /// What it is called that bodies which several connections carried are one content together. Its parameter says which of
    /// the parts this one is, and the order of all.
    pub const ACROSS: &'static str = "parts.across";
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the phone (or, where no phone is known, from the initiator).
    Up,
    /// To the phone.
    Down,
}

impl Direction {
    /// The way back.
    pub fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// The transport protocol of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// Bytes that can be read at any position: a file, a member of a bundle, a slice of memory.
///
/// Inputs are read this way only, so that a case in a folder and the same case in a bundle
/// are the same to the engine.
pub trait Blob: Send + Sync {
    /// Bytes in all.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads at `offset` as many bytes as are there, up to `buf.len()`; 0 at the end.
    ///
    /// # Errors
    /// What the medium says; interrupted reads are tried again.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// Fills `buf` from `offset`.
///
/// # Errors
/// `UnexpectedEof` when the blob ends before `buf` is full; else what the medium says.
pub fn read_exact_at(blob: &dyn Blob, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        let read = blob.read_at(buf, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset = offset.saturating_add(read as u64);
        buf = buf.get_mut(read..).unwrap_or_default();
    }
    Ok(())
}

/// A blob read from its start to its end.
pub struct BlobReader<B> {
    blob: B,
    offset: u64,
}

impl<B: AsRef<dyn Blob>> BlobReader<B> {
    /// Starts at the first byte.
    pub fn new(blob: B) -> Self {
        Self { blob, offset: 0 }
    }
}

impl<B: AsRef<dyn Blob>> io::Read for BlobReader<B> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.blob.as_ref().read_at(buf, self.offset)?;
        self.offset = self.offset.saturating_add(read as u64);
        Ok(read)
    }
}

/// Part of another blob.
pub struct BlobSlice {
    blob: Arc<dyn Blob>,
    range: ByteRange,
}

impl BlobSlice {
    /// The bytes `range` of `blob`; what lies beyond its end is left out.
    pub fn new(blob: Arc<dyn Blob>, range: ByteRange) -> Self {
        let len = blob.len();
        Self { range: ByteRange::new(range.start.min(len), range.end.min(len)), blob }
    }
}

impl Blob for BlobSlice {
    fn len(&self) -> u64 {
        self.range.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.range.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buf.len().min(left);
        match buf.get_mut(..wanted) {
            Some(part) if !part.is_empty() => {
                self.blob.read_at(part, self.range.start.saturating_add(offset))
            }
            _ => Ok(0),
        }
    }
}

impl Blob for Vec<u8> {
    fn len(&self) -> u64 {
        Vec::len(self) as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.get(start..).unwrap_or_default();
        let len = bytes.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }
}

/// An open file as a blob. Its length is the one it had when it was opened.
#[derive(Debug)]
pub struct FileBlob {
    file: std::fs::File,
    len: u64,
}

impl FileBlob {
    /// Takes an open file.
    ///
    /// # Errors
    /// When its length can't be told.
    pub fn new(file: std::fs::File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    /// The file's length now, which it should have had all the time.
    ///
    /// # Errors
    /// When it can't be told any more.
    pub fn len_now(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl Blob for FileBlob {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            #[cfg(unix)]
            let read = std::os::unix::fs::FileExt::read_at(&self.file, buf, offset);
            #[cfg(windows)]
            let read = std::os::windows::fs::FileExt::seek_read(&self.file, buf, offset);
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// Where the engine puts what does not fit in memory: unlinked files in one folder.
///
/// The road takes this as an argument, so that it never looks for a folder itself.
#[derive(Debug, Clone)]
pub struct Scratch {
    folder: std::path::PathBuf,
}

impl Scratch {
    /// Scratch files will be made in `folder` and have no name there.
    pub fn new(folder: impl Into<std::path::PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Makes one more file, empty and open for reading and writing, gone when it is dropped.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn file(&self) -> io::Result<std::fs::File> {
        tempfile::tempfile_in(&self.folder)
    }
}

/// Why an input could not be read to its end; ends the analysis.
#[derive(Debug, thiserror::Error)]
#[error("read {input} at byte {offset}")]
pub struct ReadError {
    /// The input's logical path.
    pub input: String,
    /// Where reading stopped.
    pub offset: u64,
    /// What the medium said, or that the bytes are not those read before.
    #[source]
    pub source: io::Error,
}

impl ReadError {
    /// The medium said no.
    pub fn new(input: &str, offset: u64, source: io::Error) -> Self {
        Self { input: input.to_owned(), offset, source }
    }

    /// The bytes differ from those that were read before.
    pub fn changed(input: &str, offset: u64) -> Self {
        Self::new(input, offset, io::Error::other("the input changed while it was read"))
    }
}

/// What an analysis may spend. Never time: results must not depend on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Every copied run of at least this many bytes is found.
    pub min_run: u32,
    /// Layers that are taken off at most.
    pub max_depth: u32,
    /// Bytes that decoding may produce from one stream.
    pub max_decoded: u64,
    /// Threads; never shows in results.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { min_run: 128, max_depth: 12, max_decoded: 8 << 30, threads: 2 }
    }
}

/// Odd traffic and odd containers: recorded, never an error.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Anomaly {
    /// What happened.
    pub kind: AnomalyKind,
    /// The capture's logical path.
    pub capture: String,
    /// The frame where it was seen, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<FrameNo>,
    /// The flow's name, if it belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The facts, in plain words; captured text in it is already escaped.
    pub detail: String,
}

macro_rules! anomaly_kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Names of odd traffic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[non_exhaustive]
        pub enum AnomalyKind {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl AnomalyKind {
            /// Every kind, with its name and what it means.
            pub const ALL: &[(Self, &str, &str)] = &[$((Self::$variant, $name, concat!($($doc),+)),)+];
        }
    };
}

anomaly_kinds! {
    /// The file ends inside a record; what stands before it was read.
    CaptureCutOff = "capture_cut_off",
    /// The container's structure breaks; what stands before it was read.
    ContainerDamaged = "container_damaged",
    /// A compressed capture ends early or is damaged; what could be unpacked was read.
    CompressionDamaged = "compression_damaged",
    /// The file holds no packets.
    NoPackets = "no_packets",
    /// The capturing machine reports dropped packets.
    PacketsDropped = "packets_dropped",
    /// A frame was stored shorter than it was on the wire.
    FrameTruncated = "frame_truncated",
    /// A link type, tunnel or network protocol that is not read here.
    LinkNotRead = "link_not_read",
    /// A header that breaks its own lengths or its specification.
    HeaderMalformed = "header_malformed",
    /// An IP fragment; fragments are not put together here.
    FragmentNotReassembled = "fragment_not_reassembled",
    /// Two segments give different bytes for the same sequence numbers (both are kept).
    ConflictOverlap = "conflict_overlap",
    /// A byte that its sender marked as urgent: a receiver may read it apart from the stream (RFC 6093).
    UrgentData = "urgent_data",
    /// A flow sends the same amount in each interval, in which an upload would not show.
    ConstantRate = "constant_rate",
    /// A protocol that sends differences or hashes instead of content: what the other end holds already is not sent.
    DeltaProtocol = "delta_protocol",
    /// A RST outside its receiver's window, which ignores it (RFC 9293 section 3.10.7.4, RFC 5961): often injected.
    ResetOutsideWindow = "reset_outside_window",
    /// Bytes of a stream that the capture does not hold.
    StreamGap = "stream_gap",
    /// The capture starts inside a connection.
    MidStreamStart = "mid_stream_start",
    /// HTTP that breaks its grammar; the bytes stay a raw stream.
    HttpMalformed = "http_malformed",
    /// HTTP/2 that breaks its grammar (RFC 9113, RFC 7541); what can be read is read on.
    Http2Malformed = "http2_malformed",
    /// HTTP/2 frames are not found after a part that is missing; the bytes are searched as they stand.
    Http2FramesLost = "http2_frames_lost",
    /// HTTP/2 header fields that refer to a part of the connection that is missing, or are missing themselves.
    Http2HeadersUnknown = "http2_headers_unknown",
    /// HTTP/3 that breaks its grammar (RFC 9114, RFC 9204); what can be read is read on.
    Http3Malformed = "http3_malformed",
    /// HTTP/3 frames are not found after a part of their stream that is missing; the bytes are searched as they stand.
    Http3FramesLost = "http3_frames_lost",
    /// HTTP/3 header fields that refer to a part of the connection that is missing, or are missing themselves.
    Http3HeadersUnknown = "http3_headers_unknown",
    /// Lengths of one HTTP message contradict each other (RFC 9112 section 6.3).
    HttpAmbiguousLength = "http_ambiguous_length",
    /// One HTTP request names several hosts, in its target and in fields (RFC 9112 section 3.2.2, RFC 9113 section 8.3.1):
    /// servers on the way may take it for different ones.
    HttpAmbiguousHost = "http_ambiguous_host",
    /// An HTTP body ends before its announced length.
    HttpBodyIncomplete = "http_body_incomplete",
    /// A declared coding is absent or damaged; the bytes were kept as they are.
    CodingMismatch = "coding_mismatch",
    /// A multipart body that breaks its grammar (RFC 2046 section 5.1).
    MultipartMalformed = "multipart_malformed",
    /// A mail, or the session that carries it (SMTP, IMAP, POP3), that breaks its grammar or its own lengths.
    MailMalformed = "mail_malformed",
    /// Bytes in clear between the command that asks for TLS and its first record: a peer that takes them for protected ones can
    /// be made to obey (RFC 3207 section 6).
    ClearBeforeTls = "clear_before_tls",
    /// MQTT that breaks its grammar; the bytes stay a raw stream.
    MqttMalformed = "mqtt_malformed",
    /// WebSocket frames that break their grammar (RFC 6455, RFC 7692); what no frame can be made of stays a raw stream.
    WebsocketMalformed = "websocket_malformed",
    /// A body of gRPC messages that breaks its framing.
    GrpcMalformed = "grpc_malformed",
    /// A DNS message that breaks its grammar.
    DnsMalformed = "dns_malformed",
    /// A TLS record or hello that breaks its grammar.
    TlsMalformed = "tls_malformed",
    /// A TLS record that does not verify under keys that open others: it was changed, or is none of the sender's.
    TlsRecordNotDecrypted = "tls_record_not_decrypted",
    /// A key log holds secrets of a TLS connection, and none of them opens a record.
    TlsSecretsDoNotFit = "tls_secrets_do_not_fit",
    /// A QUIC packet or frame that breaks its grammar, or does not open under the keys of its connection.
    QuicMalformed = "quic_malformed",
    /// A stated limit was reached and something was left out.
    LimitReached = "limit_reached",
    /// Timestamps of the capture run backwards, by a millisecond or more.
    ClockBackwards = "clock_backwards",
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(kind, ..)| kind == self).map_or("?", |(_, name, _)| name);
        f.write_str(name)
    }
}

/// Makes captured text fit for any single line: control characters, bidirectional controls and
/// broken UTF-8 are written as escapes, and no more than `max` characters are kept.
pub fn printable(bytes: &[u8], max: usize) -> String {
    // All bytes are looked at, without a branch for each: almost all text is plain.
    let plain = |all, &byte: &u8| all & matches!(byte, b' '..=b'~') & (byte != b'\\');
    if bytes.len() <= max
        && bytes.iter().fold(true, plain)
        && let Ok(text) = str::from_utf8(bytes)
    {
        return text.to_owned();
    }
    let mut text = String::new();
    let mut count = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if count >= max {
                text.push('…');
                return text;
            }
            count += 1;
            match c {
                '\\' => text.push_str("\\\\"),
                c if is_deceptive(c) => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            if count >= max {
                text.push('…');
                return text;
            }
            count += 1;
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Characters that change how the text around them is shown: controls, Unicode bidirectional
/// controls, zero-width characters, line and paragraph separators, tags. No medium prints them.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_abc_is_that_of_fips_180() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), expected);
        assert_eq!(expected.parse(), Ok(Digest::of(b"abc")));
        assert_eq!(expected.to_uppercase().parse::<Digest>(), Err(NotADigest));
    }

    #[test]
    fn times_take_any_offset_and_are_written_in_utc() {
        let time: Timestamp = "2026-11-20T18:00:05+08:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-20T10:00:05.000000000Z");
        assert_eq!("2026-11-20 18:00".parse::<Timestamp>(), Err(NotATime));
    }

    #[test]
    fn times_of_the_epoch_have_nine_digits_behind_the_point() {
        assert_eq!(Timestamp(1_795_168_800_000_000_070).epoch_text(), "1795168800.000000070");
        assert_eq!(Timestamp(0).epoch_text(), "0.000000000");
        assert_eq!(Timestamp(u64::MAX).epoch_text(), "18446744073.709551615");
    }

    #[test]
    fn ranges_unite_when_they_touch_and_not_across_a_byte() {
        let range = ByteRange::new;
        assert_eq!(
            ByteRange::unite([range(5, 7), range(0, 3), range(3, 4), range(9, 9)]),
            [range(0, 4), range(5, 7)]
        );
    }

    #[test]
    fn terminal_escapes_and_bidi_controls_do_not_survive() {
        let text = printable("a\u{1b}[31m\u{202e}b\\\u{fe0f}".as_bytes(), 80);
        assert_eq!(text, "a\\u{1b}[31m\\u{202e}b\\\\\u{fe0f}");
        assert_eq!(printable(&[0xff, b'x'], 80), "\\xffx");
        assert_eq!(printable(b"abcdef", 3), "abc…");
    }

    #[test]
    fn a_slice_of_a_blob_ends_where_it_should() {
        let blob: Arc<dyn Blob> = Arc::new(b"0123456789".to_vec());
        let slice = BlobSlice::new(blob, ByteRange::new(2, 6));
        let mut buf = [0; 10];
        assert_eq!(slice.read_at(&mut buf, 1).unwrap(), 3);
        assert_eq!(&buf[..3], b"345");
        assert_eq!(slice.read_at(&mut buf, 4).unwrap(), 0);
    }
}
