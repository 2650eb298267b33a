//! Uploads in parts: requests, and connections of them, put together by hand.

use std::ops::Range;

/// Bytes that look random and are the same on each machine (splitmix64).
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}

/// How requests say which part their body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `bytes 0-9/30` (RFC 9110 section 14.4).
    ContentRange,
    /// The same while the length of the whole is not said: `bytes 0-9/*`.
    OpenRange,
    /// tus 1.0.0, draft-ietf-httpbis-resumable-upload.
    UploadOffset,
    /// `?partNumber=1&uploadId=x`.
    PartNumber,
    /// `?resumableChunkNumber=1&resumableIdentifier=x`, and how long the part is (resumable.js).
    ChunkNumber,
    /// An upload session of Dropbox, which the first part opens.
    Session,
    None,
}

pub(crate) const SCHEMES: [Naming; 5] =
    [Naming::ContentRange, Naming::OpenRange, Naming::UploadOffset, Naming::PartNumber, Naming::None];

/// A request with a part.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    /// The same to another path.
    pub(crate) fn to(self, path: &str) -> Self {
        Self { target: self.target.replace("/up", path), ..self }
    }
}

/// Parts of as many bytes each.
pub(crate) fn in_parts(whole: &[u8], parts: usize, naming: Naming, coding: Option<&str>) -> Vec<Sent> {
    let size = whole.len().div_ceil(parts);
    let starts = (0..whole.len()).step_by(size);
    let cuts: Vec<Range<usize>> = starts.map(|start| start..(start + size).min(whole.len())).collect();
    ranges(whole, &cuts, naming, coding)
}

/// Parts of these bytes.
pub(crate) fn ranges(whole: &[u8], cuts: &[Range<usize>], naming: Naming, coding: Option<&str>) -> Vec<Sent> {
    let request = |(no, cut): (usize, &Range<usize>)| {
        let (start, last, total) = (cut.start, cut.end - 1, whole.len());
        let (method, target, field) = match naming {
            Naming::ContentRange => {
                ("PUT", "/up".to_owned(), Some(("content-range", format!("bytes {start}-{last}/{total}"))))
            }
            Naming::OpenRange => {
                let total = if last + 1 == total { total.to_string() } else { "*".to_owned() };
                (
                    "PUT",
                    "/up?upload_id=a".to_owned(),
                    Some(("content-range", format!("bytes {start}-{last}/{total}"))),
                )
            }
            Naming::UploadOffset => {
                ("PATCH", "/up/24e533e0".to_owned(), Some(("upload-offset", start.to_string())))
            }
            Naming::PartNumber => ("PUT", format!("/up?partNumber={}&uploadId=VXBsb2Fk", no + 1), None),
            Naming::ChunkNumber => (
                "POST",
                format!(
                    "/up?resumableChunkNumber={}&resumableCurrentChunkSize={}&resumableIdentifier=9-a",
                    no + 1,
                    cut.len()
                ),
                None,
            ),
            Naming::Session if start == 0 => (
                "POST",
                "/2/files/upload_session/start".to_owned(),
                Some(("dropbox-api-arg", r#"{"close":false}"#.to_owned())),
            ),
            Naming::Session => (
                "POST",
                "/2/files/upload_session/append_v2".to_owned(),
                Some((
                    "dropbox-api-arg",
                    format!(r#"{{"cursor":{{"session_id":"AAAA","offset":{start}}},"close":false}}"#),
                )),
            ),
            Naming::None => ("POST", "/up".to_owned(), None),
        };
        let coding = coding.map(|coding| ("content-encoding", coding.to_owned()));
        Sent {
            method: method.to_owned(),
            host: "collect.example".to_owned(),
            target,
            fields: field.into_iter().chain(coding).map(|(name, value)| (name.to_owned(), value)).collect(),
            body: whole[cut.clone()].to_vec(),
        }
    };
    cuts.iter().enumerate().map(request).collect()
}

/// What carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    OneInChunks,
    Two,
}

impl Http {
    /// What a client sends on one connection.
    pub(crate) fn connection(self, parts: &[Sent]) -> Vec<u8> {
        match self {
            Self::One => parts.iter().flat_map(|part| http1(part, false)).collect(),
            Self::OneInChunks => parts.iter().flat_map(|part| http1(part, true)).collect(),
            Self::Two => http2(parts),
        }
    }
}

fn http1(Sent { method, host, target, fields, body }: &Sent, chunked: bool) -> Vec<u8> {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}");
    if !chunked {
        return [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
    }
    let chunks = body
        .chunks(4_000)
        .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    [
        format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes(),
        chunks.collect::<Vec<_>>().concat(),
        b"0\r\n\r\n".to_vec(),
    ]
    .concat()
}

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field without index whose name is new (RFC 7541 section 6.2.2), in plain letters; both shorter than 127 bytes.
fn field(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], string(name), string(value)].concat()
}

/// A stream for each request; the frames of two that follow one another alternate.
fn http2(parts: &[Sent]) -> Vec<u8> {
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, b""));
    for (pair, no) in parts.chunks(2).zip((0_u32..).step_by(2)) {
        let streams: Vec<(u32, &Sent)> = (no..).map(|no| 2 * no + 1).zip(pair).collect();
        for (stream, part) in &streams {
            let pseudo = [
                (":method", &part.method),
                (":scheme", &"https".to_owned()),
                (":authority", &part.host),
                (":path", &part.target),
            ];
            let mut block: Vec<u8> = pseudo.iter().flat_map(|(name, value)| field(name, value)).collect();
            block.extend(part.fields.iter().flat_map(|(name, value)| field(name, value)));
            sent.extend(frame(1, 4, *stream, &block));
        }
        let mut data: Vec<_> =
            streams.iter().map(|(stream, part)| (*stream, part.body.chunks(6_000).peekable())).collect();
        while data.iter_mut().any(|(_, chunks)| chunks.peek().is_some()) {
            for (stream, chunks) in &mut data {
                if let Some(chunk) = chunks.next() {
                    sent.extend(frame(0, u8::from(chunks.peek().is_none()), *stream, chunk));
                }
            }
        }
    }
    sent
}

/// A variable-length integer (RFC 9000 section 16) of four bytes where one is not enough.
fn varint(value: usize) -> Vec<u8> {
    match u32::try_from(value).unwrap() {
        small @ 0..0x40 => vec![u8::try_from(small).unwrap()],
        large => (large | 0x8000_0000).to_be_bytes().to_vec(),
    }
}

/// What a client of HTTP/3 sends for each request, on a stream of its own: HEADERS without the table (RFC 9204 section
/// 4.5.6), then DATA frames.
pub(crate) fn http3(parts: &[Sent]) -> Vec<Vec<u8>> {
    let frame = |kind: u8, payload: &[u8]| [vec![kind], varint(payload.len()), payload.to_vec()].concat();
    let literal = |name: &str, value: &str| {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        assert!(name.len() >= 7 && name.len() < 127 + 7 && value.len() < 127, "a short form");
        let name = [&[0x27, u8::try_from(name.len() - 7).unwrap()], name].concat();
        [name, vec![u8::try_from(value.len()).unwrap()], value.to_vec()].concat()
    };
    let stream = |part: &Sent| {
        // ":path" is shorter than the others: the name with its length in three bits.
        let path = [&[0x25][..], b":path", &[u8::try_from(part.target.len()).unwrap()]].concat();
        let mut section =
            [vec![0, 0], literal(":method", &part.method), literal(":scheme", "https")].concat();
        section.extend([literal(":authority", &part.host), path, part.target.clone().into_bytes()].concat());
        section.extend(part.fields.iter().flat_map(|(name, value)| literal(name, value)));
        let data = part.body.chunks(6_000).flat_map(|chunk| frame(0, chunk));
        frame(1, &section).into_iter().chain(data).collect()
    };
    parts.iter().map(stream).collect()
}
