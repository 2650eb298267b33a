//! The forms in which a value may stand in bytes: encoded, as a number, or as its hash.
//!
//! Codings that stand around whole contents are taken off before (`decode`); here are those that stand around a
//! value inside unknown bytes, where nobody says that they are there.

use std::fmt;

use base64::{Engine as _, engine::general_purpose};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

use super::value::{Edge, SHORTEST, Spelling};

/// Truncated hashes count from here on: 64 bits (design.md).
const LEAST_HASH_BITS: usize = 64;
/// Letters of base64 below which a part of it could be anything.
const LEAST_BASE64: usize = 8;
/// Bytes of a message's beginning that are found without the rest of it: previews and notifications hold so much at least.
const LEAST_BEGINNING: usize = 48;
/// Values longer than this are not looked for in coded forms, which are several times as long.
const LONGEST_CODED: usize = 1_000;

/// How a value stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// In plain text.
    Plain,
    /// UTF-16, least significant byte first.
    Utf16Le,
    /// UTF-16, most significant byte first.
    Utf16Be,
    /// In GB18030, which holds GBK and GB 2312.
    Gb18030,
    /// In Big5 with the characters of Hong Kong.
    Big5,
    /// In windows-1252, which holds the letters of ISO 8859-1.
    Latin1,
    /// Its bytes in hexadecimal.
    Hex,
    /// In the middle of base64, standard alphabet or that for URLs.
    Base64,
    /// With `%` and two hex digits for what is no letter or digit (RFC 3986 section 2.1).
    Percent,
    /// A number as a varint of protocol buffers.
    Varint,
    /// A number in eight bytes.
    Fixed64,
    /// A hardware address as its bytes.
    Bytes,
    /// Hexadecimal digits as a decimal number.
    Decimal,
    /// Its hash.
    Hash(Hash, Written),
}

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// RFC 1321.
    Md5,
    /// FIPS 180-4.
    Sha1,
    /// FIPS 180-4.
    Sha256,
    /// FIPS 180-4.
    Sha512,
}

/// How a hash was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Written {
    /// As bytes.
    Bytes,
    /// In hexadecimal.
    Hex,
    /// In base64.
    Base64,
    /// Sixteen digits from the middle of its hexadecimal: what many programs in China call MD5 of 16 digits.
    Middle,
}

impl Form {
    /// Whether it is the value's hash and not the value.
    pub fn is_hash(self) -> bool {
        matches!(self, Self::Hash(..))
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::Gb18030 => "gb18030",
            Self::Big5 => "big5",
            Self::Latin1 => "windows-1252",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Percent => "percent",
            Self::Varint => "varint",
            Self::Fixed64 => "fixed64",
            Self::Bytes => "bytes",
            Self::Decimal => "decimal",
            Self::Hash(hash, written) => {
                let hash = match hash {
                    Hash::Md5 => "md5",
                    Hash::Sha1 => "sha1",
                    Hash::Sha256 => "sha256",
                    Hash::Sha512 => "sha512",
                };
                let written = match written {
                    Written::Bytes => "bytes",
                    Written::Hex => "hex",
                    Written::Base64 => "base64",
                    Written::Middle => "hex, digits 9 to 24",
                };
                return write!(f, "{hash} in {written}");
            }
        })
    }
}

/// A spelling in one form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Coded {
    pub(super) form: Form,
    pub(super) text: Vec<u8>,
    pub(super) edge: Edge,
    pub(super) any_case: bool,
    /// Thousandths of a decade that a full match weighs.
    pub(super) weight: u64,
    /// Bytes that must match; of a hash the rest may be cut off.
    pub(super) least: usize,
}

impl Coded {
    /// The beginning of a message is looked for, too, where it is long enough.
    pub(super) fn with_beginning(mut self) -> Self {
        let by = if matches!(self.form, Form::Utf16Le | Form::Utf16Be) { 2 } else { 1 };
        let fits = matches!(self.form, Form::Plain | Form::Utf16Le | Form::Utf16Be);
        if fits {
            self.least = self.least.min(LEAST_BEGINNING * by);
        }
        self
    }

    fn new(form: Form, text: Vec<u8>, edge: Edge, any_case: bool, weight: u64) -> Self {
        let least = text.len();
        Self { form, text, edge, any_case, weight, least }
    }
}

/// Every form of a spelling in which the value itself stands.
pub(super) fn coded(spelling: &Spelling) -> Vec<Coded> {
    let Spelling { text, edge, any_case, weight } = spelling;
    let mut all = vec![Coded::new(Form::Plain, text.clone(), *edge, *any_case, *weight)];
    if text.len() > LONGEST_CODED {
        return all;
    }
    if let Ok(letters) = std::str::from_utf8(text) {
        let units: Vec<u16> = letters.encode_utf16().collect();
        let wide =
            |bytes: fn(u16) -> [u8; 2]| units.iter().flat_map(|unit| bytes(*unit)).collect::<Vec<u8>>();
        all.push(Coded::new(Form::Utf16Le, wide(u16::to_le_bytes), Edge::Any, *any_case, *weight));
        all.push(Coded::new(Form::Utf16Be, wide(u16::to_be_bytes), Edge::Any, *any_case, *weight));
        all.extend(in_charsets(letters, *weight));
    }
    all.push(Coded::new(Form::Hex, hex(text), Edge::Hex, true, *weight));
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if !text.iter().all(plain) {
        let percent: Vec<u8> = text
            .iter()
            .flat_map(|byte| if plain(byte) { vec![*byte] } else { format!("%{byte:02X}").into_bytes() })
            .collect();
        let plus: Vec<u8> = String::from_utf8_lossy(&percent).replace("%20", "+").into_bytes();
        if plus != percent {
            all.push(Coded::new(Form::Percent, plus, Edge::Any, true, *weight));
        }
        all.push(Coded::new(Form::Percent, percent, Edge::Any, true, *weight));
    }
    all.extend(base64(text, *weight));
    all.extend(numeric(text, *edge, *weight));
    all
}

/// A text in charsets that hold all of it and write it otherwise than UTF-8 does.
fn in_charsets(text: &str, weight: u64) -> Vec<Coded> {
    if text.is_ascii() {
        return Vec::new();
    }
    let charsets = [
        (Form::Gb18030, encoding_rs::GB18030),
        (Form::Big5, encoding_rs::BIG5),
        (Form::Latin1, encoding_rs::WINDOWS_1252),
    ];
    let coded = |(form, charset): (Form, &'static encoding_rs::Encoding)| {
        let (bytes, _, replaced) = charset.encode(text);
        // A byte weighs a bit, as in UTF-8, which needs more of them.
        let weight = weight.min(bytes.len() as u64 * 301);
        (!replaced && bytes.len() >= SHORTEST)
            .then(|| Coded::new(form, bytes.into_owned(), Edge::Any, false, weight))
    };
    charsets.into_iter().filter_map(coded).collect()
}

/// The letters of base64 that a text settles, at each of the three places where it may begin within the groups of
/// three bytes, in both alphabets.
fn base64(text: &[u8], weight: u64) -> Vec<Coded> {
    let mut all = Vec::new();
    for shift in 0..3_usize {
        let shifted = [vec![0; shift], text.to_vec()].concat();
        let encoded = general_purpose::STANDARD_NO_PAD.encode(&shifted).into_bytes();
        // Letters that hold a bit of what stands before or after it are not settled.
        let first = (shift * 8).div_ceil(6);
        let last = shifted.len() * 8 / 6;
        let Some(settled) = encoded.get(first..last).filter(|letters| letters.len() >= LEAST_BASE64) else {
            continue;
        };
        // What is left of the value at the edges weighs nothing.
        let bits = settled.len() as u64 * 6;
        let weight = weight * bits / (text.len() as u64 * 8);
        let url: Vec<u8> = settled
            .iter()
            .map(|letter| match letter {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        if url != settled {
            all.push(Coded::new(Form::Base64, url, Edge::Any, false, weight));
        }
        all.push(Coded::new(Form::Base64, settled.to_vec(), Edge::Any, false, weight));
    }
    all
}

/// Digits as a number, and hex digits as bytes; short ones are left out, since they would be found everywhere.
fn numeric(text: &[u8], edge: Edge, weight: u64) -> Vec<Coded> {
    let mut all = Vec::new();
    // No value weighs more than its bytes.
    let binary =
        |form, bytes: Vec<u8>, bits: u64| Coded::new(form, bytes, Edge::Any, false, weight.min(bits * 301));
    let number = std::str::from_utf8(text).ok().and_then(|digits| digits.parse::<u64>().ok());
    if let Some(number) = number.filter(|_| text.iter().all(u8::is_ascii_digit) && text.len() >= 10) {
        let bytes = varint(number);
        // A byte of a varint holds seven bits.
        let bits = bytes.len() as u64 * 7;
        all.push(binary(Form::Varint, bytes, bits));
        let bits = u64::from(u64::BITS - number.leading_zeros());
        for bytes in [number.to_le_bytes(), number.to_be_bytes()] {
            all.push(binary(Form::Fixed64, bytes.to_vec(), bits));
        }
    }
    if edge == Edge::Hex
        && text.len().is_multiple_of(2)
        && text.iter().all(u8::is_ascii_hexdigit)
        && text.len() >= 12
    {
        let bytes: Vec<u8> = text
            .chunks_exact(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        let bits = bytes.len() as u64 * 8;
        // A hardware address and an Android id are numbers of 48 and 64 bits, too.
        if let 6 | 8 = bytes.len() {
            let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            let mut texts = vec![number.to_string()];
            if number > i64::MAX.unsigned_abs() {
                texts.push(number.cast_signed().to_string());
            }
            all.extend(texts.into_iter().filter(|text| text.len() >= 10).map(|text| {
                let weight = weight.min(text.len() as u64 * 1_000);
                Coded::new(Form::Decimal, text.into_bytes(), Edge::Digits, false, weight)
            }));
            let bytes = varint(number);
            let bits_of_varint = bytes.len() as u64 * 7;
            all.push(binary(Form::Varint, bytes, bits_of_varint));
            all.push(binary(
                Form::Bytes,
                number.to_le_bytes().get(..text.len() / 2).unwrap_or_default().to_vec(),
                bits,
            ));
        }
        all.push(binary(Form::Bytes, bytes, bits));
    }
    all
}

/// A number as protocol buffers write it.
fn varint(number: u64) -> Vec<u8> {
    let (mut bytes, mut left) = (Vec::new(), number);
    while left >= 0x80 {
        bytes.extend(u8::try_from(left & 0x7f).map(|low| low | 0x80));
        left >>= 7;
    }
    bytes.extend(u8::try_from(left));
    bytes
}

/// The hashes of a text, alone and with each salt before and after it.
pub(super) fn hashed(text: &[u8], salts: &[String]) -> Vec<Coded> {
    let mut all = Vec::new();
    // Programs hash what they hold: letters as they stand, in lower or in upper case.
    let mut texts = vec![text.to_vec()];
    for other in [text.to_ascii_lowercase(), text.to_ascii_uppercase()] {
        if !texts.contains(&other) {
            texts.push(other);
        }
    }
    for text in texts {
        let salted = salts.iter().flat_map(|salt| {
            [[salt.as_bytes(), &text].concat(), [text.as_slice(), salt.as_bytes()].concat()]
        });
        for message in std::iter::once(text.clone()).chain(salted) {
            for (hash, digest) in [
                (Hash::Md5, Md5::digest(&message).to_vec()),
                (Hash::Sha1, Sha1::digest(&message).to_vec()),
                (Hash::Sha256, Sha256::digest(&message).to_vec()),
                (Hash::Sha512, Sha512::digest(&message).to_vec()),
            ] {
                all.extend(written(hash, &digest));
            }
        }
    }
    all
}

fn written(hash: Hash, digest: &[u8]) -> Vec<Coded> {
    // 301 thousandths of a decade a bit: rounded down, since a smaller weight is the careful one.
    let weight = digest.len() as u64 * 8 * 301;
    let coded = |written, text, edge, any_case, least| Coded {
        form: Form::Hash(hash, written),
        text,
        edge,
        any_case,
        weight,
        least,
    };
    let standard = general_purpose::STANDARD_NO_PAD.encode(digest).into_bytes();
    let url = general_purpose::URL_SAFE_NO_PAD.encode(digest).into_bytes();
    let mut all = vec![
        coded(Written::Bytes, digest.to_vec(), Edge::Any, false, LEAST_HASH_BITS / 8),
        coded(Written::Hex, hex(digest), Edge::Hex, true, LEAST_HASH_BITS / 4),
        coded(Written::Base64, standard.clone(), Edge::Base64, false, LEAST_HASH_BITS.div_ceil(6)),
    ];
    if url != standard {
        all.push(coded(Written::Base64, url, Edge::Base64, false, LEAST_HASH_BITS.div_ceil(6)));
    }
    if let Some(middle) = digest.get(4..12).filter(|_| hash == Hash::Md5) {
        let weight = middle.len() as u64 * 8 * 301;
        all.push(Coded {
            weight,
            ..coded(Written::Middle, hex(middle), Edge::Hex, true, LEAST_HASH_BITS / 4)
        });
    }
    all
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    crate::evidence::hex(bytes).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::correlate::needles::value::spell;

    fn forms(kind: &str, value: &str) -> Vec<(String, Vec<u8>)> {
        let spellings = spell(kind, value);
        spellings.iter().flat_map(coded).map(|coded| (coded.form.to_string(), coded.text)).collect()
    }

    #[test]
    fn base64_is_settled_at_each_alignment() {
        let value = b"867622014512347";
        for before in 0..7 {
            for after in 0..5 {
                let around = [vec![b'<'; before], value.to_vec(), vec![b'>'; after]].concat();
                let encoded = general_purpose::STANDARD.encode(around);
                let found = base64(value, 15_000)
                    .into_iter()
                    .any(|coded| encoded.as_bytes().windows(coded.text.len()).any(|part| part == coded.text));
                assert!(found, "{before} before, {after} after");
            }
        }
    }

    #[test]
    fn numbers_and_addresses_have_binary_forms() {
        let imei = forms("imei", "867622014512347");
        // 867622014512347 as a varint, from Google's encoding: seven bits a byte, least significant first.
        let number = 867_622_014_512_347_u64;
        let varint: Vec<u8> = (0..8).map(|no| u8::try_from((number >> (7 * no)) & 0x7f).unwrap()).collect();
        let varint: Vec<u8> =
            varint.iter().enumerate().map(|(no, low)| if no < 7 { low | 0x80 } else { *low }).collect();
        let wanted = varint.get(..varint.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1).unwrap();
        assert!(imei.contains(&("varint".to_owned(), wanted.to_vec())), "{imei:?}");
        assert!(imei.contains(&("fixed64".to_owned(), number.to_be_bytes().to_vec())));
        let mac = forms("wifi_mac", "64:09:80:00:00:01");
        assert!(mac.contains(&("bytes".to_owned(), vec![0x64, 9, 0x80, 0, 0, 1])));
        assert!(mac.contains(&("bytes".to_owned(), vec![1, 0, 0, 0x80, 9, 0x64])), "the other way round");
        // 0x640980000001 by bc.
        assert!(mac.contains(&("decimal".to_owned(), b"109991964966913".to_vec())));
        let id = forms("android_id", "9774d56d682e549c");
        for number in ["10913582462901572764", "-7533161610807978852"] {
            assert!(id.contains(&("decimal".to_owned(), number.as_bytes().to_vec())), "{number}: {id:?}");
        }
        assert!(mac.iter().any(|(form, text)| form == "utf-16le" && text.starts_with(b"6\x004\x00:\x00")));
    }

    #[test]
    fn what_is_not_ascii_is_looked_for_in_the_charsets_that_hold_it() {
        // GB 2312 rows 36 and 26, Big5 A741 A66E.
        let hello = forms("message", "你好");
        assert!(hello.contains(&("gb18030".to_owned(), b"\xc4\xe3\xba\xc3".to_vec())));
        assert!(hello.contains(&("big5".to_owned(), b"\xa7A\xa6n".to_vec())));
        assert!(hello.iter().all(|(form, _)| form != "windows-1252"));
        let greeting = forms("message", "Grüße");
        assert!(greeting.contains(&("windows-1252".to_owned(), b"Gr\xfc\xdfe".to_vec())));
        let ascii = forms("message", "Greetings");
        assert!(ascii.iter().all(|(form, _)| !["gb18030", "big5", "windows-1252"].contains(&form.as_str())));
    }

    #[test]
    fn hashes_are_those_of_the_standards() {
        let all = hashed(b"abc", &[]);
        let hex = |digits: &str| all.iter().any(|coded| coded.text == digits.as_bytes());
        // RFC 1321 appendix A.5, FIPS 180 examples.
        assert!(hex("900150983cd24fb0d6963f7d28e17f72") && hex("3cd24fb0d6963f7d"));
        assert!(hex("a9993e364706816aba3e25717850c26c9cd0d89d"));
        assert!(hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        assert_eq!(
            all.iter().filter(|coded| coded.form == Form::Hash(Hash::Sha512, Written::Hex)).count(),
            2
        );
        let salted = hashed(b"abc", &["s".to_owned()]);
        let sabc = crate::evidence::hex(&Sha256::digest(b"sabc"));
        assert!(salted.iter().any(|coded| coded.text == sabc.as_bytes()));
        assert!(all.iter().all(|coded| coded.least < coded.text.len() || matches!(coded.text.len(), 8 | 16)));
    }
}
