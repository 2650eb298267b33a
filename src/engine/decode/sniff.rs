//! What content is, by its first bytes.

use crate::engine::codec::{
    Base64, Brotli, Budget, Cbor, Coding, Container, DATA_URL, Damage, Endian, Event, Hex, Inflate, Json,
    Latin1, MessagePack, Output, Protobuf, TAR_BLOCK, Tar, Wrapper, ZIP_MAGIC, ZSTD_MAGIC, Zstd, is_zlib,
};

/// Bytes that tell text and most formats. Also the shortest base64 or hexadecimal that is decoded wherever it stands:
/// shorter runs of letters are words.
pub(super) const SNIFF: usize = 64;

/// Bytes that are looked at where the first ones say nothing: a block of tar, and enough for the tables at the start
/// of Brotli and deflate data.
pub(super) const LOOK: usize = TAR_BLOCK;

/// The shortest value that is decoded as base64 or hexadecimal when the value is nothing else and text comes out: a
/// phone number, an IMEI. From random letters text comes out once in some thousands.
const SHORT_BASE64: usize = 12;
const SHORT_HEX: usize = 16;

/// A shorter value that stands in its container as it is needs no leaf of its own: it is searched there, and as a whole
/// file it would carry no weight.
pub(super) const WORTH: usize = 32;

/// How content may be read. What is not sure is read beside what it is as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Gzip,
    Zlib,
    Deflate,
    Brotli,
    Zstd,
    Zip,
    Tar,
    Utf16(Endian),
    /// Bytes that were sent as characters of UTF-8.
    Latin1,
    /// Compressed behind a head of so many bytes: a length, a kind, a number of one program.
    Behind(usize, Packed),
    DataUrl,
    /// Parts between delimiter lines that the first line shows.
    Multipart,
    Json,
    Xml,
    Fields,
    Percent,
    QuotedPrintable,
    /// Hexadecimal with something between the pairs.
    Hex,
    /// A short value that is nothing but hexadecimal or base64.
    ShortHex,
    ShortBase64,
    Protobuf,
    MessagePack,
    Cbor,
    /// Text or unknown bytes, in which runs of base64 or hexadecimal may stand.
    Runs,
}

/// How what stands behind a head is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    Gzip,
    Zlib,
    Zstd,
}

/// What first bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// More of them are needed, up to [`LOOK`].
    More,
    /// It may be read as any of these; as none where it is known to hold nothing that could be taken off.
    Shapes(Vec<Shape>),
}

/// Says how content may be read that begins like this. `whole`: nothing follows.
pub(super) fn sniff(first: &[u8], whole: bool, media: &str) -> Verdict {
    let one = |form| Verdict::Shapes(vec![form]);
    let (marked, media_file) = (by_magic(first), is_media(first));
    // Marks in ASCII are the same where bytes were sent as characters.
    if (marked.is_some() || media_file) && characters(first, false).is_some() {
        if !whole && first.len() < LOOK {
            return Verdict::More;
        }
        if is_latin1(first, whole) {
            return one(Shape::Latin1);
        }
    }
    if let Some(form) = marked {
        return one(form);
    }
    if media_file {
        return Verdict::Shapes(Vec::new());
    }
    if is_text(first, whole) {
        if is_base64(first) && !whole && first.len() < LOOK {
            // An escape may follow: `%2B`.
            return Verdict::More;
        }
        return Verdict::Shapes(text(first, whole).into_iter().collect());
    }
    match first {
        [0xfe, 0xff, ..] => return one(Shape::Utf16(Endian::Big)),
        [0xff, 0xfe, ..] => return one(Shape::Utf16(Endian::Little)),
        _ => {}
    }
    if is_latin1(first, whole) {
        return one(Shape::Latin1);
    }
    let declared = match media {
        "application/x-protobuf" | "application/protobuf" | "application/vnd.google.protobuf" => {
            Some(Shape::Protobuf)
        }
        "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
            Some(Shape::MessagePack)
        }
        "application/cbor" => Some(Shape::Cbor),
        _ => None,
    };
    if let Some(form) = declared.filter(|form| holds(*form, first, whole)) {
        return one(form);
    }
    if !whole && first.len() < LOOK {
        return Verdict::More;
    }
    if Tar::is_header(first.get(..TAR_BLOCK).unwrap_or_default()) {
        return one(Shape::Tar);
    }
    // Nothing says what these are, so they may be several things at once.
    let compressed =
        [Shape::Zlib, Shape::Deflate, Shape::Brotli].into_iter().find(|shape| unpacks(*shape, first, whole));
    let mut shapes: Vec<Shape> = [Shape::Protobuf, Shape::MessagePack, Shape::Cbor]
        .into_iter()
        .filter(|shape| holds(*shape, first, whole))
        .chain(compressed)
        .chain(utf16(first, whole).map(Shape::Utf16))
        .collect();
    if let Some(behind) = behind(first, whole) {
        shapes.insert(0, behind);
    }
    if shapes.is_empty() {
        shapes.push(Shape::Runs);
    }
    Verdict::Shapes(shapes)
}

/// The longest head before something compressed that is looked behind.
const MAX_HEAD: usize = 64;
/// Bytes that have to stand behind it: of fewer, luck would make a beginning now and then.
const MIN_BEHIND: usize = 24;

/// Something compressed that says what it is, behind a head, if it gives anything.
fn behind(first: &[u8], whole: bool) -> Option<Shape> {
    (1..=MAX_HEAD).find_map(|skip| {
        let rest = first.get(skip..).filter(|rest| rest.len() >= MIN_BEHIND)?;
        let packed = match rest {
            // RFC 1952 section 2.3.1: three of the flags are reserved.
            [0x1f, 0x8b, 8, 0..=0x1f, ..] => Packed::Gzip,
            _ if rest.starts_with(&ZSTD_MAGIC) => Packed::Zstd,
            &[cmf, flags, ..] if is_zlib(cmf, flags) => Packed::Zlib,
            _ => return None,
        };
        let mut coding: Box<dyn Coding> = match packed {
            Packed::Gzip => Box::new(Inflate::new(Wrapper::Gzip)),
            Packed::Zlib => Box::new(Inflate::new(Wrapper::ZlibOrNone)),
            Packed::Zstd => Box::<Zstd>::default(),
        };
        let (mut given, budget) = (0, Budget::new(PROBED));
        let taken = coding.push(rest, &budget, &mut |output: Output<'_>| given += output.bytes.len());
        let goes_on = matches!(taken, Ok(()) | Err(Damage::Budget));
        // A block of zstd gives nothing before its end, but its mark is long.
        let gives = given > 0 || packed == Packed::Zstd;
        (goes_on && gives && (!whole || coding.is_at_end())).then_some(Shape::Behind(skip, packed))
    })
}

/// Formats that say what they are.
fn by_magic(first: &[u8]) -> Option<Shape> {
    match first {
        [0x1f, 0x8b, 8, ..] => Some(Shape::Gzip),
        _ if first.starts_with(&ZSTD_MAGIC) => Some(Shape::Zstd),
        _ if first.starts_with(&ZIP_MAGIC) => Some(Shape::Zip),
        _ => None,
    }
}

/// Pictures, sound, films, documents and archives that are compressed within: nothing is taken off them.
fn is_media(first: &[u8]) -> bool {
    let at = |place: usize, magic: &[u8]| first.get(place..).is_some_and(|rest| rest.starts_with(magic));
    let starts: [&[u8]; 19] = [
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF87a",
        b"GIF89a",
        b"II*\0",
        b"MM\0*",
        b"OggS",
        b"fLaC",
        b"ID3\x02",
        b"ID3\x03",
        b"ID3\x04",
        b"\x1a\x45\xdf\xa3",
        b"#!AMR",
        b"BZh91AY&SY",
        b"\xfd7zXZ\0",
        b"7z\xbc\xaf\x27\x1c",
        b"Rar!\x1a\x07",
        b"\x04\x22\x4d\x18",
        b"SQLite format 3\0",
    ];
    starts.iter().any(|magic| first.starts_with(magic))
        || at(4, b"ftyp")
        || (at(0, b"RIFF") && (at(8, b"WEBP") || at(8, b"WAVE") || at(8, b"AVI ")))
}

/// Whether bytes are UTF-8 text without control characters; `whole` or not, it may end within a character.
pub(super) fn is_text(bytes: &[u8], whole: bool) -> bool {
    is_utf8(bytes, whole)
        && !bytes.is_empty()
        && !bytes.iter().any(|byte| matches!(byte, 0..=8 | 11 | 12 | 14..=26 | 28..=31 | 127))
}

/// Whether bytes are UTF-8; `whole` or not, they may end within a character.
fn is_utf8(bytes: &[u8], whole: bool) -> bool {
    match str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => !whole && error.error_len().is_none(),
    }
}

/// Whether decoded bytes are something that a wrong guess would not give.
pub(super) fn is_something(bytes: &[u8]) -> bool {
    (bytes.len() >= 8 && is_text(bytes, false)) || by_magic(bytes).is_some() || is_media(bytes)
}

/// How text may be read.
fn text(first: &[u8], whole: bool) -> Option<Shape> {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let scheme = first.get(..DATA_URL.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(DATA_URL));
    if whole && let Some(shape) = short(first) {
        return Some(shape);
    }
    match text {
        _ if scheme => Some(Shape::DataUrl),
        _ if is_base64(first) => Some(if is_percent(first) { Shape::Percent } else { Shape::Runs }),
        [b'{' | b'[' | b'"', ..] if parses(&mut Json::new(), first).is_some() => Some(Shape::Json),
        [b'<', b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'?' | b'/', ..] => Some(Shape::Xml),
        [b'-', b'-', ..] if delimiter(text).is_some() => Some(Shape::Multipart),
        _ if is_latin1(first, whole) => Some(Shape::Latin1),
        _ if separated_hex(first) => Some(Shape::Hex),
        _ if is_fields(first) => Some(Shape::Fields),
        _ if is_percent(first) => Some(Shape::Percent),
        _ if is_quoted(first) => Some(Shape::QuotedPrintable),
        _ if whole && first.len() < SNIFF => None,
        _ => Some(Shape::Runs),
    }
}

/// Whether bytes look like the beginning of long base64 or hexadecimal: no line shorter than the sniffed length but
/// for line breaks.
pub(super) fn is_base64(first: &[u8]) -> bool {
    let first = first.get(..SNIFF).unwrap_or_default();
    let symbols = first.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).count();
    let plain = |&byte: &u8| Base64::may_hold(byte) && !matches!(byte, b' ' | b'\t' | b'=');
    first.len() >= SNIFF && symbols + 2 >= SNIFF && first.iter().all(plain)
}

/// Whether a short value is nothing but hexadecimal or base64 of something.
pub(super) fn short(value: &[u8]) -> Option<Shape> {
    if value.len() >= SNIFF {
        return None;
    }
    let hex = value.len() >= SHORT_HEX && value.iter().all(u8::is_ascii_hexdigit);
    if hex && is_anything(&decoded(&mut Hex::new(), value)?) {
        return Some(Shape::ShortHex);
    }
    let symbol = |byte: &u8| Base64::may_hold(*byte) && !matches!(byte, b' ' | b'\t');
    let base64 = value.len() >= SHORT_BASE64 && value.iter().all(symbol);
    (base64 && is_anything(&decoded(&mut Base64::new(), value)?)).then_some(Shape::ShortBase64)
}

/// Whether a short binary value could be read further.
pub(super) fn short_binary(value: &[u8]) -> bool {
    value.len() >= SHORT_BASE64 && !is_text(value, true) && is_anything(value)
}

/// Whether all bytes of a short value are text, or something that could be read further.
fn is_anything(bytes: &[u8]) -> bool {
    let binary =
        [Shape::Protobuf, Shape::MessagePack, Shape::Cbor].iter().any(|shape| holds(*shape, bytes, true))
            || [Shape::Zlib, Shape::Deflate, Shape::Brotli].iter().any(|shape| unpacks(*shape, bytes, true));
    bytes.len() >= 8
        && (is_text(bytes, true) || by_magic(bytes).is_some() || utf16(bytes, true).is_some() || binary)
}

/// What comes out of a whole value, if it is undamaged.
fn decoded(coding: &mut dyn Coding, value: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, budget) = (Vec::new(), Budget::new(LOOK as u64));
    let mut take = |output: Output<'_>| bytes.extend_from_slice(output.bytes);
    coding.push(value, &budget, &mut take).ok()?;
    coding.finish(&budget, &mut take).ok()?;
    Some(bytes)
}

/// How many values begin in the first bytes, if they do not break the format.
fn parses(container: &mut dyn Container, first: &[u8]) -> Option<u32> {
    let mut values = 0;
    let budget = Budget::new(LOOK as u64);
    let mut count = |event: Event<'_>| values += u32::from(matches!(event, Event::Begin { .. }));
    container.push(first, &budget, &mut count).ok()?;
    Some(values)
}

/// Whether the first bytes (or all) hold a value of a binary format that has no mark of its own.
fn holds(shape: Shape, first: &[u8], whole: bool) -> bool {
    let mut container: Box<dyn Container> = match shape {
        Shape::Protobuf => Box::<Protobuf>::default(),
        Shape::MessagePack => Box::<MessagePack>::default(),
        _ => Box::<Cbor>::default(),
    };
    let holds = parses(&mut *container, first).is_some_and(|values| values > 0);
    holds && (!whole || container.finish(&Budget::new(0), &mut |_| {}).is_ok())
}

/// Output that a probe may give.
const PROBED: u64 = 64 << 10;

/// Whether a coding gives something for the first bytes, or (`whole`) ends where they end. Random bytes do not stay
/// valid for so long.
fn unpacks(shape: Shape, first: &[u8], whole: bool) -> bool {
    let mut coding: Box<dyn Coding> = match (shape, first) {
        // RFC 1950 section 2.2: deflate with a window, and a checksum of these two bytes.
        (Shape::Zlib, &[cmf, flags, ..]) if is_zlib(cmf, flags) => {
            Box::new(Inflate::new(Wrapper::ZlibOrNone))
        }
        (Shape::Zlib, _) => return false,
        (Shape::Deflate, _) => Box::new(Inflate::new(Wrapper::None)),
        _ => Box::<Brotli>::default(),
    };
    let (mut given, budget) = (0, Budget::new(PROBED));
    match coding.push(first, &budget, &mut |output: Output<'_>| given += output.bytes.len()) {
        Err(Damage::Budget) => true,
        Err(_) => false,
        Ok(()) if whole => {
            coding.finish(&budget, &mut |output| given += output.bytes.len()).is_ok() && given > 0
        }
        Ok(()) => given > 0 || shape == Shape::Zlib,
    }
}

/// Control characters from U+0080 to U+009F, or characters beyond ASCII of what is UTF-8 once more, that show that bytes
/// were sent as characters. Text that is meant as it stands has none of the first, its accents stand alone, and luck
/// hardly ever gives so many in UTF-8.
const MIN_CHARACTERS: usize = 4;

/// Whether bytes were sent as characters: all of them below U+0100, and it is no text.
fn is_latin1(first: &[u8], whole: bool) -> bool {
    let Some(bytes) = characters(first, whole) else { return false };
    let again = is_utf8(&bytes, whole);
    let shows = |byte: &&u8| matches!(byte, 0x80..=0x9f) || (again && !byte.is_ascii());
    bytes.iter().filter(shows).count() >= MIN_CHARACTERS
}

/// The bytes that characters below U+0100 stand for, if all are such.
fn characters(text: &[u8], whole: bool) -> Option<Vec<u8>> {
    let (mut bytes, budget) = (Vec::new(), Budget::new(text.len() as u64));
    let mut coding = Latin1::new();
    coding.push(text, &budget, &mut |output| bytes.extend_from_slice(output.bytes)).ok()?;
    (!whole || coding.finish(&budget, &mut |_| {}).is_ok()).then_some(bytes)
}

/// UTF-16 by its byte-order mark, or by what its units are.
fn utf16(first: &[u8], whole: bool) -> Option<Endian> {
    let (pairs, rest) = first.as_chunks::<2>();
    let ascii = |at: usize| {
        pairs.iter().all(|pair| pair.get(1 - at) == Some(&0) && pair.get(at).is_some_and(is_sign))
    };
    if whole && !rest.is_empty() || pairs.len() < MIN_ASCII_UNITS {
        return None;
    }
    match first {
        [0xfe, 0xff, ..] => return Some(Endian::Big),
        [0xff, 0xfe, ..] => return Some(Endian::Little),
        _ if ascii(1) => return Some(Endian::Big),
        _ if ascii(0) => return Some(Endian::Little),
        _ if pairs.len() < MIN_UNITS => return None,
        _ => {}
    }
    let fits = |unit: fn([u8; 2]) -> u16| pairs.iter().all(|pair| is_letter(unit(*pair)));
    let zeros = |at: usize| pairs.iter().filter(|pair| pair.get(at) == Some(&0)).count();
    match (fits(u16::from_be_bytes), fits(u16::from_le_bytes)) {
        (true, false) => Some(Endian::Big),
        (false, true) => Some(Endian::Little),
        // Small letters of ASCII are ideographs the other way round.
        (true, true) => Some(if zeros(0) >= zeros(1) { Endian::Big } else { Endian::Little }),
        (false, false) => None,
    }
}

/// Units that must be letters before text is taken for UTF-16 without a mark. About half of all units are, so that
/// luck gives this many once in ten million times.
const MIN_UNITS: usize = 24;

/// Units that must be signs of ASCII, each beside a zero: luck gives these once in 10^18 times.
const MIN_ASCII_UNITS: usize = 6;

/// Whether a byte is a sign of ASCII.
fn is_sign(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')
}

/// Whether a unit is a character of a living script, a sign of ASCII, or half a pair.
fn is_letter(unit: u16) -> bool {
    matches!(unit, 9 | 10 | 13 | 0x20..=0x7e | 0xa0..=0x24f | 0x370..=0x52f | 0x590..=0x6ff | 0x900..=0xe7f)
        || matches!(unit, 0x2010..=0x206f | 0x20a0..=0x20bf | 0x3000..=0x30ff | 0x4e00..=0x9fff | 0xac00..=0xd7a3)
        || matches!(unit, 0xd83c..=0xd83e | 0xdc00..=0xdfff | 0xff00..=0xffef)
}

/// The boundary of a multipart body that nobody declared: its first line is a delimiter, and a field that parts have
/// (RFC 7578 section 4.8) begins the next one.
pub(super) fn delimiter(first: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', first)?;
    let (line, rest) = first.split_at(end);
    let boundary = line.strip_suffix(b"\r").unwrap_or(line).strip_prefix(b"--")?;
    let field = rest.get(1..).unwrap_or_default();
    let known = b"content-";
    let length = field.len().min(known.len());
    let fits = length > 0 && field.get(..length)?.eq_ignore_ascii_case(known.get(..length)?);
    (fits && !boundary.is_empty()).then_some(boundary)
}

/// Whether bytes are pairs of hexadecimal digits with something between them: `ff:d8`, `FF D8`, `\xff\xd8`.
fn separated_hex(first: &[u8]) -> bool {
    let digits = first.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
    let hex =
        first.len() >= SHORT_HEX && first.iter().all(|&byte| Hex::may_hold(byte)) && digits < first.len();
    // The last pair may be cut in two.
    let clean = |text: &[u8]| {
        decoded(&mut Hex::new(), text).is_some_and(|bytes| bytes.len() * 4 >= text.len().min(SNIFF))
    };
    let head = first.get(..SNIFF).unwrap_or(first);
    hex && (clean(head)
        || (1..4).any(|cut| {
            head.len().checked_sub(cut).is_some_and(|end| clean(head.get(..end).unwrap_or_default()))
        }))
}

/// RFC 3986 section 2.3, and what else stands in forms.
fn is_form_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'*')
}

/// Bytes of a key before its `=` that make it a form: more are no key.
const MAX_KEY: usize = 48;

/// Whether bytes are fields of a form: a key, `=`, and nothing that would have been escaped.
fn is_fields(first: &[u8]) -> bool {
    let key = memchr::memchr(b'=', first).unwrap_or(0);
    let safe = |&byte: &u8| is_form_safe(byte) || matches!(byte, b'%' | b'+' | b'&' | b'=' | b'[' | b']');
    let keyed = (1..=MAX_KEY).contains(&key) && first.get(..key).is_some_and(|key| !key.contains(&b'+'));
    keyed && first.iter().all(safe)
}

/// Whether bytes are percent-encoded: an escape, and nothing that would have been one.
fn is_percent(first: &[u8]) -> bool {
    let safe = |&byte: &u8| is_form_safe(byte) || matches!(byte, b'%' | b'/' | b'(' | b')' | b'!' | b'\'');
    first.iter().all(safe)
        && first
            .windows(3)
            .any(|three| matches!(three, [b'%', rest @ ..] if rest.iter().all(u8::is_ascii_hexdigit)))
}

/// Escapes that make text quoted-printable.
const MIN_ESCAPES: usize = 3;

/// Whether each `=` begins an escape in capitals or ends a line, as RFC 2045 section 6.7 writes them.
fn is_quoted(first: &[u8]) -> bool {
    let capital = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let mut escapes = 0;
    for at in memchr::memchr_iter(b'=', first) {
        match first.get(at + 1..).unwrap_or_default() {
            [high, low, ..] if capital(high) && capital(low) => escapes += 1,
            [b'\r', b'\n', ..] | [b'\n', ..] => escapes += MIN_ESCAPES,
            [] | [_] => {}
            _ => return false,
        }
    }
    escapes >= MIN_ESCAPES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(first: &[u8]) -> Vec<Shape> {
        match sniff(first, true, "") {
            Verdict::Shapes(shapes) => shapes,
            Verdict::More => panic!("more is needed"),
        }
    }

    #[test]
    fn text_is_what_it_begins_with() {
        let cases: &[(&str, &[Shape])] = &[
            ("{\"a\":1}", &[Shape::Json]),
            (" [\"x\", 2]", &[Shape::Json]),
            ("{name: 1}", &[]),
            ("[12:00] GET /", &[]),
            ("<?xml version=\"1.0\"?>", &[Shape::Xml]),
            ("< 5", &[]),
            ("data:,x", &[Shape::DataUrl]),
            ("ff:d8:ff:e0:00:10:4a:46", &[Shape::Hex]),
            ("a=1&b%5B%5D=x+y", &[Shape::Fields]),
            ("IMG%5F0001%2Ejpg", &[Shape::Percent]),
            ("=46=58=20 and more", &[Shape::QuotedPrintable]),
            ("OTg3NjU0MzIxMDEyMzQ1", &[Shape::ShortBase64]),
            ("393837363534333231303132333435", &[Shape::ShortHex]),
            ("internationalization", &[]),
            ("867622014512347", &[]),
            ("just some words", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(&shapes(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(shapes("words and more words ".repeat(4).as_bytes()), [Shape::Runs]);
        assert_eq!(shapes(&[b'Q'; 70]), [Shape::Runs]);
    }

    #[test]
    fn binary_formats_are_known_by_their_marks_or_by_holding_together() {
        assert_eq!(shapes(b"\x1f\x8b\x08\0"), [Shape::Gzip]);
        assert_eq!(shapes(b"\x28\xb5\x2f\xfd\0"), [Shape::Zstd]);
        assert_eq!(shapes(b"PK\x03\x04\x14\0"), [Shape::Zip]);
        assert_eq!(shapes(b"\xff\xd8\xff\xe0\0\x10JFIF\0"), []);
        assert_eq!(shapes(b"\0\0\0\x18ftypmp42"), []);
        assert_eq!(shapes(b"\x0a\x05hello\x10\x01"), [Shape::Protobuf]);
        assert_eq!(shapes(b"\x82\xa1a\x01\xa4data\xc4\x02\xff\xd8"), [Shape::MessagePack]);
        assert_eq!(shapes(b"\xa2\x61a\x01\x64data\x42\xff\xd8"), [Shape::Cbor]);
        assert_eq!(shapes(b"\xff\xfeh\0i\0"), [Shape::Utf16(Endian::Little)]);
        let wide: Vec<u8> = "a longer text without a mark".bytes().flat_map(|byte| [0, byte]).collect();
        assert_eq!(shapes(&wide), [Shape::Utf16(Endian::Big)]);
        assert_eq!(shapes(b"\0\x01binary\r\nGET"), [Shape::Runs]);
        assert_eq!(sniff(&[0; 64], false, ""), Verdict::More);
    }

    #[test]
    fn what_is_compressed_behind_a_head_is_known_if_it_holds_together() {
        use std::io::Write as _;
        let text = b"{\"model\":\"Redmi Note\",\"text\":\"some words that a phone sends, some words again\"}";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(text).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(text).unwrap();
        let zlib = zlib.finish().unwrap();
        let behind = |head: &[u8], rest: &[u8]| shapes(&[head, rest].concat())[0];
        let lost = |head: &[u8], rest: &[u8]| !matches!(behind(head, rest), Shape::Behind(..));
        assert_eq!(behind(b"\0\0\0\x60", &gzip), Shape::Behind(4, Packed::Gzip));
        assert_eq!(behind(&[0xee; MAX_HEAD], &zlib), Shape::Behind(MAX_HEAD, Packed::Zlib));
        assert!(lost(&[0xee; MAX_HEAD + 1], &gzip));
        assert!(lost(b"\0\0\0\x60", &[&gzip[..10], &[0xff; 80]].concat()), "a mark and nothing behind it");
        assert!(lost(b"\0\0\0\x60", &gzip[..40]), "whole, and cut off");
    }

    #[test]
    fn bytes_that_were_sent_as_characters_are_known_and_text_with_accents_is_not() {
        let sent = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>().into_bytes();
        let photo: Vec<u8> = (0..200_u8).map(|no| no.wrapping_mul(57) ^ 0xff).collect();
        assert_eq!(shapes(&sent(&photo)), [Shape::Latin1]);
        assert_eq!(shapes(&sent("我在尖沙咀等你".as_bytes())), [Shape::Latin1]);
        assert_eq!(
            shapes("Ça été très agréable, à bientôt, où que tu ailles; voilà où ça mène".as_bytes()),
            [Shape::Runs]
        );
        // A message of Protocol Buffers that holds such text.
        let french = "Ça été très agréable, à bientôt, où que tu ailles";
        let message = [&[0x0a, u8::try_from(french.len()).unwrap()], french.as_bytes(), &[0x10, 1]].concat();
        assert_eq!(shapes(&message), [Shape::Protobuf]);
        let within =
            [b"{\"data\": \"", sent(&[0xff, 0xd8, 0xff, 0xe0, 0x91, 0x92, 0x93, 0x94]).as_slice(), b"\"}"]
                .concat();
        assert_eq!(shapes(&within), [Shape::Json]);
        assert_ne!(shapes("我在尖沙咀等你，我在尖沙咀等你，我在尖沙咀等你".as_bytes()), [Shape::Latin1]);
    }

    #[test]
    fn compressed_text_is_known_by_what_comes_out() {
        use std::io::Write as _;
        let text = b"{\"model\":\"Redmi Note\",\"text\":\"some words that a phone sends, some words again\"}";
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(text).unwrap();
        assert_eq!(shapes(&zlib.finish().unwrap()), [Shape::Zlib]);
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        bare.write_all(text).unwrap();
        assert_eq!(shapes(&bare.finish().unwrap()), [Shape::Deflate]);
        let mut brotli = Vec::new();
        brotli::CompressorWriter::new(&mut brotli, 4096, 5, 22).write_all(text).unwrap();
        assert_eq!(shapes(&brotli), [Shape::Brotli]);
    }

    #[test]
    fn few_of_many_random_bytes_are_taken_for_anything() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u8::try_from(state >> 56).unwrap()
        };
        let mut guessed = 0;
        for _ in 0..500 {
            let bytes: Vec<u8> = (0..LOOK).map(|_| next()).collect();
            guessed += usize::from(shapes(&bytes) != [Shape::Runs]);
        }
        assert!(guessed < 100, "{guessed} of 500");
    }
}
