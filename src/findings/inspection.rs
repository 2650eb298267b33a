//! What `inspect` prints: the engine's view of one capture, without a scenario.
//!
//! The format is `exhibit-inspection/1`. Digests are SHA-256, offsets and lengths are bytes, times
//! are `seconds.nanoseconds` of the Unix epoch, as capture tools print them.

use std::{collections::BTreeMap, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evidence::{Anomaly, ByteRange, Digest, FrameNo};

/// The format of `inspect --format json`.
pub const FORMAT: &str = "exhibit-inspection/1";

macro_rules! record {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })+) => {
        $($(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($body)* })+
    };
}

/// States the document once: what stands before its lists, the lists with the kind of a line for each, and what
/// stands behind them.
macro_rules! document {
    (
        head { $($(#[$head_meta:meta])* $head:ident: $head_type:ty,)* }
        lists { $($(#[$list_meta:meta])* $list:ident: $item:ident = $kind:literal,)* }
        end { $($(#[$end_meta:meta])* $end:ident: $end_type:ty,)* }
    ) => {
        record! {
            /// Everything that was seen in one capture: what `--format json` prints.
            pub struct Inspection {
                $($(#[$head_meta])* pub $head: $head_type,)*
                $($(#[$list_meta])* pub $list: Vec<$item>,)*
                $($(#[$end_meta])* pub $end: $end_type,)*
            }

            /// What is known of a capture before its flows are looked into.
            pub struct Head {
                $($(#[$head_meta])* pub $head: $head_type,)*
            }

            /// What is known at the end.
            #[derive(Default)]
            pub struct End {
                $($(#[$end_meta])* pub $end: $end_type,)*
            }
        }

        /// What one flow shows, or the capture beside its flows: a part of each list.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Part {
            $($(#[$list_meta])* pub $list: Vec<$item>,)*
        }

        /// One line of `--format jsonl`: the capture first, then what each flow shows, in the order of their first
        /// frames, then the end.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind", content = "value")]
        #[expect(clippy::large_enum_variant, reason = "one line at a time")]
        pub enum Line {
            /// What is known of the capture before its flows.
            #[serde(rename = "capture")]
            Head(Head),
            $($(#[$list_meta])* #[serde(rename = $kind)] $item($item),)*
            /// What is known at the end.
            #[serde(rename = "end")]
            End(End),
        }

        impl Part {
            /// The lists, in the document's order: name, and the kind of a line that holds one of its items.
            pub const LISTS: &[(&str, &str)] = &[$((stringify!($list), $kind),)*];

            /// Writes each item as JSON, with the place of its list in [`Part::LISTS`]. `text` is where it is written: a
            /// buffer that all parts share.
            ///
            /// # Errors
            /// When `take` fails.
            pub fn items(
                &self,
                text: &mut Vec<u8>,
                take: &mut dyn FnMut(usize, &[u8]) -> io::Result<()>,
            ) -> io::Result<()> {
                let mut place = 0;
                $(
                    for item in &self.$list {
                        text.clear();
                        serde_json::to_writer(&mut *text, item)?;
                        take(place, text)?;
                    }
                    place += 1;
                )*
                let _ = place;
                Ok(())
            }
        }
    };
}

document! {
    head {
        /// [`FORMAT`].
        format: String,
        /// The capture's logical path.
        capture: String,
        /// Of the file as it stands.
        sha256: Digest,
        /// Its size.
        size: u64,
        /// The file's structure.
        container: Container,
        /// Packets read.
        packets: u64,
        /// The first packet's time.
        #[serde(skip_serializing_if = "Option::is_none")]
        first: Option<String>,
        /// The last packet's time.
        #[serde(skip_serializing_if = "Option::is_none")]
        last: Option<String>,
        /// Whose traffic counts as uplink.
        phone: Phone,
    }
    lists {
        /// Flows by first frame.
        flows: Flow = "flow",
        /// HTTP requests with their responses, by flow and number.
        transactions: Transaction = "transaction",
        /// Messages of other protocols, by flow and number.
        messages: Message = "message",
        /// DNS messages by flow and frame.
        dns: Dns = "dns",
        /// TLS hellos by flow and frame, those of DTLS and QUIC among them.
        tls_hellos: Hello = "tls_hello",
        /// TLS and DTLS connections by flow and first frame.
        tls: Tls = "tls",
        /// QUIC connections by flow; one that moves stands in each of its flows.
        quic_connections: QuicConnection = "quic_connection",
        /// Comments in the capture, in order.
        comments: Comment = "comment",
        /// Odd traffic: of the capture, then by flow.
        anomalies: Anomaly = "anomaly",
    }
    end {
        /// Anomalies in all (the list is limited).
        anomaly_count: u64,
    }
}

/// Takes an inspection part by part, so that nobody has to hold all of it.
pub trait View {
    /// Takes what is known before the flows.
    ///
    /// # Errors
    /// When it can't be written.
    fn head(&mut self, head: &Head) -> io::Result<()>;

    /// Takes what one flow shows, in the order of first frames; before the first, what is odd about the capture.
    ///
    /// # Errors
    /// When it can't be written.
    fn part(&mut self, part: &Part) -> io::Result<()>;

    /// Takes what is known at the end.
    ///
    /// # Errors
    /// When it can't be written.
    fn end(&mut self, end: &End) -> io::Result<()>;
}

record! {
    /// The file's structure.
    pub struct Container {
        /// `usLE`, `usBE`, `nsLE`, `nsBE`, `pcapng`.
        pub format: String,
        /// Whether it is compressed with gzip.
        pub gzip: bool,
        /// Whether it is compressed with zstd.
        pub zstd: bool,
        /// Link types in order of interface (`LINKTYPE_` numbers).
        pub link_types: Vec<u32>,
        /// Secrets blocks (key logs) inside the file.
        pub secrets: u64,
        /// Packets dropped, where the file says.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub dropped: Option<u64>,
        /// Where it was taken, where the file shows it: `vpn_app` (packets were made anew, so their times and sizes say
        /// nothing of the wire), `phone`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub vantage: Option<String>,
    }

    /// Whose traffic counts as uplink.
    pub struct Phone {
        /// Its addresses; empty where the initiator of each flow was taken.
        pub addresses: Vec<String>,
        /// How they were found.
        pub by: String,
    }

    /// One flow.
    pub struct Flow {
        /// `CAPTURE#FIRST-FRAME COMMUNITY-ID`.
        pub name: String,
        /// `tcp` or `udp`.
        pub transport: String,
        /// Who opened it (or was seen first).
        pub initiator: String,
        /// The other end.
        pub responder: String,
        /// Its first frame.
        pub first_frame: FrameNo,
        /// That frame's time.
        pub first: String,
        /// The latest time of a frame.
        pub last: String,
        /// Frames.
        pub frames: u64,
        /// What was recognised first, outermost.
        pub protocol: String,
        /// What was recognised after that, mostly inside it, in order of appearance.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub inner_protocols: Vec<String>,
        /// Names seen for the remote end.
        pub names: Vec<String>,
        /// The phone's app that it belongs to, where the capture says.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub app: Option<App>,
        /// The remote end's registered country.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub registered_country: Option<String>,
        /// Which end sends uplink: `initiator` or `responder`.
        pub uplink_from: String,
        /// From the initiator, then from the responder.
        pub directions: Vec<Side>,
        /// What decryption or a framing gave.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub inner: Vec<Inner>,
    }

    /// An app of the phone.
    pub struct App {
        /// Android's number for its user; several apps of one maker may share it.
        pub uid: i32,
        /// The name that people see, printable.
        pub name: String,
        /// The package, printable.
        #[serde(skip_serializing_if = "String::is_empty", default)]
        pub package: String,
    }

    /// A comment in the capture.
    pub struct Comment {
        /// The frame that it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub frame: Option<FrameNo>,
        /// The block it stands in: `section`, `interface`, `packet`, `names`, `statistics`, `secrets`.
        pub about: String,
        /// What it says, printable.
        pub text: String,
    }

    /// A pair of streams inside a flow.
    pub struct Inner {
        /// What it was inside of: `tls`, `dtls`, `quic`, `websocket`.
        pub protocol: String,
        /// Its number where there are several.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub id: Option<u64>,
        /// The connection that it belongs to, where a flow may hold several.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pub connection: Option<String>,
        /// From the flow's initiator, then from its responder.
        pub directions: Vec<Side>,
    }

    /// One direction of a flow.
    pub struct Side {
        /// The sender.
        pub from: String,
        /// Whether the stream's first byte was captured.
        pub from_start: bool,
        /// Bytes captured.
        pub bytes_present: u64,
        /// Runs of bytes without a gap; the first version of each byte that came.
        pub islands: Vec<Island>,
        /// The same with the last version of each byte, where overlaps disagree.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub islands_last_wins: Vec<Island>,
        /// Bytes that were not captured.
        pub gaps: Vec<ByteRange>,
        /// Bytes about which segments disagree.
        pub conflict_bytes: u64,
        /// Where they do: the first hundred.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub conflicts: Vec<Conflict>,
    }

    /// Two frames that disagree about the same bytes.
    pub struct Conflict {
        /// From the first byte that differs to the last.
        pub range: ByteRange,
        /// Whose version stands in `islands`.
        pub kept: FrameNo,
        /// Whose version differs.
        pub other: FrameNo,
        /// Which version a receiver takes, by its way to put segments together: `first`, `last`, `bsd`, `linux`, as the
        /// literature calls them, to `kept`, `other` or `mixed`. Absent where that was not asked.
        #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
        pub receivers: BTreeMap<String, String>,
        /// Those of the two frames whose checksum is wrong, so that receivers drop them.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub wrong_checksum: Vec<FrameNo>,
    }

    /// A run of bytes.
    pub struct Island {
        /// Where in the stream.
        pub offset: u64,
        /// Bytes.
        pub len: u64,
        /// Of those bytes.
        pub sha256: Digest,
    }

    /// One request with its response.
    pub struct Transaction {
        /// The flow's name.
        pub flow: String,
        /// Its number in the flow, from 0.
        pub n: u32,
        /// `http1`, `http2`, `http3`.
        pub protocol: String,
        /// The stream's number, where the protocol numbers streams.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stream: Option<u64>,
        /// Who sent the request: `initiator` or `responder`.
        pub from: String,
        /// The frame that carries the request's first byte.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub frame: Option<FrameNo>,
        /// The method; empty where only a response was seen.
        pub method: String,
        /// The request target, printable.
        pub uri: String,
        /// The Host field (or `:authority`), printable.
        pub host: String,
        /// `HTTP/1.1`.
        pub version: String,
        /// Where the request's head starts in the stream.
        pub stream_offset: u64,
        /// The head's bytes.
        pub header_bytes: u64,
        /// The Content-Type field, printable.
        pub content_type: String,
        /// Field lines in order, printable; trailers stand at the end.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub fields: Vec<[String; 2]>,
        /// The request's body.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub body: Option<Body>,
        /// The response.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub response: Option<Response>,
    }

    /// A response.
    pub struct Response {
        /// The status code.
        pub status: u16,
        /// The frame that carries its first byte.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub frame: Option<FrameNo>,
        /// Status codes of interim responses that came before.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub interim: Vec<u16>,
        /// The Content-Type field, printable.
        pub content_type: String,
        /// Field lines in order, printable; trailers stand at the end.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub fields: Vec<[String; 2]>,
        /// Its body.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub body: Option<Body>,
    }

    /// A body.
    pub struct Body {
        /// Whether it ended as its framing announced.
        pub complete: bool,
        /// Bytes captured of it as they stood on the wire, chunk framing included.
        pub wire_len: u64,
        /// Of those bytes; absent where a gap lies in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub wire_sha256: Option<Digest>,
        /// Bytes captured of it, without chunk framing.
        pub len: u64,
        /// Of those bytes; absent where a gap lies in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sha256: Option<Digest>,
        /// Bytes after its Content-Encoding was taken off; of a mail after the dots were that SMTP or POP3 stuffs into it (RFC 5321
        /// section 4.5.2), where there are any.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub decoded_len: Option<u64>,
        /// Of those bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub decoded_sha256: Option<Digest>,
        /// Parts of a multipart body.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        pub multipart: Vec<BodyPart>,
    }

    /// A part of a multipart body.
    pub struct BodyPart {
        /// Its name (or file name), printable.
        pub name: String,
        /// Bytes.
        pub len: u64,
        /// Of those bytes.
        pub sha256: Digest,
    }

    /// One message of a protocol that does not pair requests with responses.
    pub struct Message {
        /// The flow's name.
        pub flow: String,
        /// Its number in the flow, among transactions and messages, from 0.
        pub n: u32,
        /// `websocket`, `mqtt`, `smtp`, …
        pub protocol: String,
        /// The sender: `initiator` or `responder`.
        pub from: String,
        /// The frame that carries its first byte.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub frame: Option<FrameNo>,
        /// What it is: `text`, `PUBLISH`, `RETR`.
        pub kind: String,
        /// What it is about, printable: a topic, an argument, a file name.
        #[serde(skip_serializing_if = "String::is_empty", default)]
        pub name: String,
        /// Its content.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub body: Option<Body>,
        /// What its content begins with.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub begins: Option<Begins>,
    }

    /// The first bytes of a content, after its compression was taken off.
    pub struct Begins {
        /// How many they are: 64 at most.
        pub len: u64,
        /// The bytes.
        pub hex: String,
        /// The same as text, printable, where they are UTF-8 without control characters but tabs and ends of lines.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub text: Option<String>,
        /// Whether there are more.
        pub cut: bool,
    }

    /// One DNS message.
    pub struct Dns {
        /// Its frame.
        pub frame: FrameNo,
        /// Its id.
        pub id: u16,
        /// Whether it is a response.
        pub response: bool,
        /// The response code.
        pub rcode: u8,
        /// Names asked for, printable.
        pub query: Vec<String>,
        /// Their record types.
        pub qtype: Vec<String>,
        /// Answers: `NAME TYPE VALUE`, printable.
        pub answers: Vec<String>,
        /// Whether it came in HTTP (RFC 8484).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub over_https: bool,
    }

    /// One TLS connection.
    pub struct Tls {
        /// The flow's name.
        pub flow: String,
        /// Its first frame.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub frame: Option<FrameNo>,
        /// Who sent the client's hello: `initiator` or `responder`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub client: Option<String>,
        /// The version agreed on: `TLS 1.3`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub version: Option<String>,
        /// The cipher suite agreed on, by its IANA name (or number).
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cipher_suite: Option<String>,
        /// The server name asked for, printable.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sni: Option<String>,
        /// The application protocol agreed on, printable; in TLS 1.3 only where it could be decrypted.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub alpn: Option<String>,
        /// The client's random in hexadecimal: what a key log names the connection by.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub client_random: Option<String>,
        /// Whether an earlier session or a pre-shared key was taken up.
        pub resumed: bool,
        /// Whether the server's key took part: of the first handshake in which it answered.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pub server_signature: Option<Signature>,
        /// The certificate that the server showed. Whether an authority vouches for it is not checked.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pub certificate: Option<Certificate>,
        /// Certificates that it showed, that one among them.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pub chain_length: Option<u64>,
        /// From the flow's initiator, then from its responder.
        pub directions: Vec<TlsSide>,
    }

    /// What a server's signature in a handshake shows: that the holder of the certificate's key took part in it. It shows
    /// neither that the phone did, nor what was sent, nor whose key it is.
    pub struct Signature {
        /// `verified`; `failed`: something is not what was signed; `absent`: nothing is signed in such a handshake;
        /// `not checkable`.
        pub state: String,
        /// The signature's scheme, or the reason.
        pub detail: String,
    }

    /// What a certificate says (RFC 5280), printable.
    pub struct Certificate {
        /// The subject's distinguished name.
        pub subject: String,
        /// The issuer's.
        pub issuer: String,
        /// Host names and addresses among the subject's alternative names: the first 128.
        pub names: Vec<String>,
        /// The serial number in hexadecimal.
        pub serial: String,
        /// From when it is valid, seconds since 1970.
        pub not_before: i64,
        /// Until when.
        pub not_after: i64,
        /// Of its DER.
        pub sha256: Digest,
    }

    /// One direction of a TLS connection.
    pub struct TlsSide {
        /// The sender.
        pub from: String,
        /// Bytes of application data that were decrypted; they stand in the flow's `inner` with their digests.
        pub decrypted: u64,
        /// Why what was sent stayed closed, where it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub not_decrypted: Option<String>,
    }

    /// One TLS hello.
    pub struct Hello {
        /// The flow's name.
        pub flow: String,
        /// Its first frame.
        pub frame: FrameNo,
        /// `client` or `server`.
        pub from: String,
        /// The server name.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sni: Option<String>,
        /// Versions offered or chosen, `0x0304`.
        pub versions: Vec<String>,
        /// ALPN names.
        pub alpn: Vec<String>,
        /// Cipher suites offered or chosen, `0x1301`.
        pub ciphers: Vec<String>,
        /// Whether the records after it could be decrypted.
        pub decrypted: bool,
        /// The JA4 fingerprint of a client's hello.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pub ja4: Option<String>,
    }

    /// One QUIC connection, as far as it goes in one flow.
    pub struct QuicConnection {
        /// The flow's name.
        pub flow: String,
        /// The client's first destination id; empty where that was not captured.
        pub connection: String,
        /// The frame that showed it.
        pub frame: FrameNo,
        /// The version that is spoken: `1`, `2`, `draft-29`.
        pub version: String,
        /// The server name.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sni: Option<String>,
        /// The protocol that the server chose, or else the first that the client offers.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub alpn: Option<String>,
        /// The cipher suite that the server chose, `0x1301`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cipher: Option<String>,
        /// Its packets in this flow.
        pub packets: u64,
        /// Those that were opened; the keys of Initial packets are public.
        pub opened: u64,
        /// Whether data of an application was decrypted.
        pub decrypted: bool,
        /// Why it was not.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub why_not: Option<String>,
        /// How it ended, where that was seen.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ended: Option<String>,
        /// Whether the server's key took part.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pub server_signature: Option<Signature>,
        /// The certificate that the server showed. Whether an authority vouches for it is not checked.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pub certificate: Option<Certificate>,
        /// Certificates that it showed, that one among them.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pub chain_length: Option<u64>,
    }
}
