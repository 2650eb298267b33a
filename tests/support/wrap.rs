//! Wrappers that a phone may put around what it sends: encoders of this test's own, or of well-known crates.

use std::io::Write as _;

use base64::Engine as _;

/// One way to wrap bytes.
pub(crate) struct Wrapper {
    /// A short name.
    pub(crate) name: &'static str,
    /// What it is, in words.
    pub(crate) what: &'static str,
    /// The Content-Encoding that HTTP declares for it.
    pub(crate) coding: Option<&'static str>,
    /// The Content-Type that HTTP declares for it.
    pub(crate) media: Option<&'static str>,
    /// What it can hold.
    holds: Holds,
    encode: fn(&[u8]) -> Vec<u8>,
}

/// What a wrapper can hold.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    Bytes,
    /// Text, with any characters.
    Characters,
    /// Text without control characters: neither XML (section 2.2) nor a text file holds others.
    Text,
}

impl Wrapper {
    /// Wraps, if the wrapper can hold the bytes.
    pub(crate) fn wrap(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let text = str::from_utf8(bytes);
        let plain =
            |text: &str| text.chars().all(|char| !char.is_control() || matches!(char, '\t' | '\r' | '\n'));
        let fits = match self.holds {
            Holds::Bytes => true,
            Holds::Characters => text.is_ok(),
            Holds::Text => text.is_ok_and(plain),
        };
        fits.then(|| (self.encode)(bytes))
    }
}

const fn any(name: &'static str, what: &'static str, encode: fn(&[u8]) -> Vec<u8>) -> Wrapper {
    Wrapper { name, what, coding: None, media: None, holds: Holds::Bytes, encode }
}

const fn text(name: &'static str, what: &'static str, encode: fn(&[u8]) -> Vec<u8>) -> Wrapper {
    Wrapper { holds: Holds::Text, ..any(name, what, encode) }
}

const fn characters(name: &'static str, what: &'static str, encode: fn(&[u8]) -> Vec<u8>) -> Wrapper {
    Wrapper { holds: Holds::Characters, ..any(name, what, encode) }
}

const fn coding(name: &'static str, what: &'static str, encode: fn(&[u8]) -> Vec<u8>) -> Wrapper {
    Wrapper { coding: Some(name), ..any(name, what, encode) }
}

const MULTIPART: &str = "multipart/form-data; boundary=----boundary7MA4YWxk";

/// All of them.
pub(crate) const WRAPPERS: &[Wrapper] = &[
    any("plain", "nothing", |bytes| bytes.to_vec()),
    coding("gzip", "RFC 1952", gzip),
    any("zlib", "RFC 1950, undeclared", zlib),
    any("raw deflate", "RFC 1951, undeclared", deflate),
    coding("br", "RFC 7932", brotli),
    coding("zstd", "RFC 8878", zstd),
    any("base64", "standard alphabet, padded", |bytes| {
        base64::engine::general_purpose::STANDARD.encode(bytes).into_bytes()
    }),
    any("base64url", "URL-safe alphabet, unpadded", |bytes| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes).into_bytes()
    }),
    any("base64 lines", "lines of 76 characters with CRLF", base64_lines),
    any("hex", "small letters", |bytes| hex(bytes, "", "")),
    any("HEX:", "capitals, colons between", |bytes| hex(bytes, "", ":").to_ascii_uppercase()),
    any("\\x", "`\\xff\\xd8`", |bytes| hex(bytes, "\\x", "")),
    any("percent", "RFC 3986", percent),
    Wrapper {
        media: Some("application/x-www-form-urlencoded"),
        ..any("form", "a field of a form, declared by HTTP", |bytes| {
            [b"id=7&data=", form(bytes).as_slice(), b"&end=1"].concat()
        })
    },
    Wrapper { media: Some(MULTIPART), ..any("multipart", "a part of a form", |bytes| multipart("", bytes)) },
    Wrapper {
        media: Some(MULTIPART),
        ..any("quoted-printable", "a part in this transfer encoding", |bytes| {
            multipart("Content-Transfer-Encoding: quoted-printable\r\n", &quoted(bytes))
        })
    },
    characters("JSON", "a string of an object", |bytes| json(str::from_utf8(bytes).unwrap(), false)),
    characters("JSON \\u", "all but ASCII, `<`, `&` and `/` escaped", |bytes| {
        json(str::from_utf8(bytes).unwrap(), true)
    }),
    any("JSON bytes", "a list of numbers, as Java writes bytes", |bytes| {
        let numbers: Vec<String> = bytes.iter().map(|byte| byte.cast_signed().to_string()).collect();
        format!("{{\"n\":7,\"data\":[{}]}}", numbers.join(",")).into_bytes()
    }),
    text("XML", "text of an element", |bytes| {
        let text =
            str::from_utf8(bytes).unwrap().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        format!("<?xml version=\"1.0\"?>\n<message id=\"7\"><data>{text}</data></message>\n").into_bytes()
    }),
    text("XML @", "an attribute", |bytes| {
        let text =
            str::from_utf8(bytes).unwrap().replace('&', "&amp;").replace('<', "&#60;").replace('"', "&quot;");
        format!("<message id=\"7\" data=\"{}\"/>", text.replace('\n', "&#10;").replace('\r', "&#13;"))
            .into_bytes()
    }),
    text("CDATA", "a CDATA section", |bytes| {
        format!(
            "<message><![CDATA[{}]]></message>",
            str::from_utf8(bytes).unwrap().replace("]]>", "]]]]><![CDATA[>")
        )
        .into_bytes()
    }),
    any("protobuf", "a field of a message without schema", |bytes| {
        [b"\x08\x96\x01\x12".as_slice(), &varint(bytes.len()), bytes, b"\x1a\x02ok"].concat()
    }),
    any("msgpack", "a bin value of a map", |bytes| {
        let len = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [b"\x82\xa2id\x07\xa4data\xc6".as_slice(), &len, bytes].concat()
    }),
    any("CBOR", "a byte string of a map", |bytes| {
        let len = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [b"\xa2\x62id\x07\x64data\x5a".as_slice(), &len, bytes].concat()
    }),
    any("CBOR chunks", "a byte string of indefinite length", |bytes| {
        let chunks =
            bytes.chunks(200).map(|chunk| [&[0x58, u8::try_from(chunk.len()).unwrap()], chunk].concat());
        [b"\xa2\x62id\x07\x64data\x5f".as_slice(), &chunks.collect::<Vec<_>>().concat(), b"\xff"].concat()
    }),
    any("zip stored", "a member that is stored", |bytes| zip(bytes, Member::Stored)),
    any("zip", "a deflated member, sizes behind it", |bytes| zip(bytes, Member::Deflated)),
    any("tar", "a member", tar),
    any("data URL", "base64 in a data: URL", |bytes| {
        [
            b"data:application/octet-stream;base64,",
            base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes(),
        ]
        .concat()
    }),
    text("UTF-16LE", "with a byte-order mark", |bytes| {
        let units = str::from_utf8(bytes).unwrap().encode_utf16();
        [b"\xff\xfe".to_vec(), units.flat_map(u16::to_le_bytes).collect()].concat()
    }),
    text("UTF-16BE", "without a mark", |bytes| {
        str::from_utf8(bytes).unwrap().encode_utf16().flat_map(u16::to_be_bytes).collect()
    }),
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    brotli::CompressorWriter::new(&mut encoded, 4096, 5, 22).write_all(bytes).unwrap();
    encoded
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn base64_lines(bytes: &[u8]) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    text.as_bytes().chunks(76).map(|line| [line, b"\r\n"].concat()).collect::<Vec<_>>().concat()
}

fn hex(bytes: &[u8], before: &str, between: &str) -> Vec<u8> {
    bytes.iter().map(|byte| format!("{before}{byte:02x}")).collect::<Vec<_>>().join(between).into_bytes()
}

fn percent(bytes: &[u8]) -> Vec<u8> {
    let one = |&byte: &u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => vec![byte],
        _ => format!("%{byte:02X}").into_bytes(),
    };
    bytes.iter().flat_map(one).collect()
}

fn form(bytes: &[u8]) -> Vec<u8> {
    let one = |&byte: &u8| match byte {
        b' ' => vec![b'+'],
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'*' => vec![byte],
        _ => format!("%{byte:02X}").into_bytes(),
    };
    bytes.iter().flat_map(one).collect()
}

fn multipart(field: &str, bytes: &[u8]) -> Vec<u8> {
    let head = "------boundary7MA4YWxk\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n7\r\n\
        ------boundary7MA4YWxk\r\nContent-Disposition: form-data; name=\"data\"; filename=\"a\"\r\n";
    [head.as_bytes(), field.as_bytes(), b"\r\n", bytes, b"\r\n------boundary7MA4YWxk--\r\n"].concat()
}

/// RFC 2045 section 6.7, for bytes: line ends are escaped too.
fn quoted(bytes: &[u8]) -> Vec<u8> {
    let (mut text, mut line) = (Vec::new(), 0);
    for &byte in bytes {
        let one = match byte {
            b'!'..=b'<' | b'>'..=b'~' => vec![byte],
            _ => format!("={byte:02X}").into_bytes(),
        };
        if line + one.len() > 75 {
            text.extend_from_slice(b"=\r\n");
            line = 0;
        }
        line += one.len();
        text.extend(one);
    }
    text
}

fn json(value: &str, escape: bool) -> Vec<u8> {
    let value = serde_json::to_string(value).unwrap();
    if !escape {
        return format!("{{\"id\":7,\"data\":{value},\"end\":true}}").into_bytes();
    }
    let mut text = String::new();
    for char in value.chars() {
        match char {
            '/' => text.push_str("\\/"),
            '<' | '&' | '\u{80}'.. => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => text.push(char),
        }
    }
    format!("{{\"id\":7,\"data\":{text}}}").into_bytes()
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let digit = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(if number > 0 { digit | 0x80 } else { digit });
        if number == 0 {
            return bytes;
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Member {
    Stored,
    Deflated,
}

/// An archive with two members, the second in question (APPNOTE.TXT).
fn zip(bytes: &[u8], member: Member) -> Vec<u8> {
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for (name, content, member) in
        [("info.txt", b"small".as_slice(), Member::Stored), ("data.bin", bytes, member)]
    {
        let offset = u32::try_from(body.len()).unwrap();
        let packed = if member == Member::Deflated { deflate(content) } else { content.to_vec() };
        let numbers = [crc32fast::hash(content), packed.len() as u32, content.len() as u32]
            .map(u32::to_le_bytes)
            .concat();
        let (flags, method) = if member == Member::Deflated { (8_u16, 8_u16) } else { (0, 0) };
        let before = [20, flags, method, 0, 0x5a21].map(u16::to_le_bytes).concat();
        let length = u16::try_from(name.len()).unwrap();
        body.extend_from_slice(b"PK\x03\x04");
        body.extend_from_slice(&before);
        body.extend_from_slice(if flags == 8 { &[0; 12] } else { &numbers });
        body.extend([length, 0].map(u16::to_le_bytes).concat());
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&packed);
        if flags == 8 {
            body.extend_from_slice(b"PK\x07\x08");
            body.extend_from_slice(&numbers);
        }
        directory.extend_from_slice(b"PK\x01\x02\x14\0");
        directory.extend_from_slice(&before);
        directory.extend_from_slice(&numbers);
        directory.extend([length, 0, 0, 0, 0, 0, 0].map(u16::to_le_bytes).concat());
        directory.extend(offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let (start, size) = (body.len() as u32, directory.len() as u32);
    let end = [
        b"PK\x05\x06\0\0\0\0\x02\0\x02\0".to_vec(),
        [size, start].map(u32::to_le_bytes).concat(),
        vec![0; 2],
    ];
    [body, directory, end.concat()].concat()
}

fn tar(bytes: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in [("info.txt", b"small".as_slice()), ("data.bin", bytes)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content).unwrap();
    }
    builder.into_inner().unwrap()
}
