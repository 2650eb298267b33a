//! Values that are looked for, and the usual ways to spell them.

use std::collections::BTreeSet;

use super::place;
use crate::{engine::decode::says, findings::Grade};

/// What Android gives an app without permission instead of the access point's address
/// (`WifiInfo.DEFAULT_MAC_ADDRESS`).
const ANDROID_PLACEHOLDER: &str = "020000000000";
/// Shorter values would be found everywhere.
pub(super) const SHORTEST: usize = 4;
/// Bytes of a value that are looked for; of a longer one its beginning is.
pub(super) const LONGEST: usize = 4_000;

/// A value, by its place in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

/// One value as it is looked for: an identifier of the phone, or a value of one of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// As findings name it: `identifier:imei`, or the record's name.
    pub name: String,
    /// `imei`, `wifi_mac`, … as declared; of a record `message`, `number`, `name` or `mail`.
    pub kind: String,
    /// `Identifier` or `Record`.
    pub grade: Grade,
    /// Whether it is a constant that many phones share: Android's 02:00:00:00:00:00, one digit over and
    /// over, counting up or down. It identifies nobody.
    pub placeholder: bool,
    /// Whether it is looked for at all: values under four bytes would be found everywhere.
    pub searched: bool,
}

/// What may not stand next to a match, since it would then be part of a longer value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edge {
    /// Decimal digits.
    Digits,
    /// Hexadecimal digits.
    Hex,
    /// Letters of base64.
    Base64,
    /// Nothing.
    Any,
}

/// One spelling of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spelling {
    pub(super) text: Vec<u8>,
    pub(super) edge: Edge,
    /// Whether letters count in either case.
    pub(super) any_case: bool,
    /// Thousandths of a decade that a match weighs.
    pub(super) weight: u64,
}

impl Spelling {
    fn new(text: impl Into<Vec<u8>>, edge: Edge) -> Self {
        let text = text.into();
        let weight = weight(&text);
        Self { text, edge, any_case: true, weight }
    }
}

/// The spellings of a value in plain text, each once.
pub(super) fn spell(kind: &str, value: &str) -> Vec<Spelling> {
    let value = value.trim();
    if kind == "message" {
        let end = (0..=value.len().min(LONGEST)).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
        let text = value.get(..end).unwrap_or_default();
        return vec![Spelling { any_case: false, ..Spelling::new(text, Edge::Any) }];
    }
    if kind.contains("location") {
        return place::spell(value);
    }
    let mut all = BTreeSet::new();
    if let Some(digits) = hardware_address(value) {
        for (size, separator) in [(2, ":"), (2, "-"), (4, "."), (12, "")] {
            let groups: Vec<_> = digits.as_bytes().chunks(size).map(String::from_utf8_lossy).collect();
            all.insert(Spelling::new(groups.join(separator), Edge::Hex));
        }
    } else if is_number(kind, value) {
        all.extend(numbers(value));
    } else if is_uuid(value) {
        all.insert(Spelling::new(value, Edge::Hex));
        all.insert(Spelling::new(value.replace('-', ""), Edge::Hex));
    } else {
        let text = value.as_bytes();
        let digits = text.iter().all(u8::is_ascii_digit);
        let hex = text.len() >= 8 && text.iter().all(u8::is_ascii_hexdigit) && !digits;
        all.insert(Spelling::new(text, if hex { Edge::Hex } else { Edge::Digits }));
        // An IMEI is also given without its check digit (3GPP TS 23.003 section 6.2.1).
        if kind.contains("imei") && digits && text.len() == 15 {
            all.insert(Spelling::new(text.get(..14).unwrap_or_default(), Edge::Digits));
        }
    }
    all.into_iter().filter(|spelling| spelling.text.len() >= SHORTEST).collect()
}

/// The twelve hex digits of an EUI-48 written with colons, hyphens or (as a `…mac` or `bssid`) without.
fn hardware_address(value: &str) -> Option<String> {
    let digits: String = value.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let separators = value.len() - digits.len();
    let fits = digits.len() == 12 && digits.bytes().all(|c| c.is_ascii_hexdigit());
    (fits && separators == 5).then(|| digits.to_ascii_lowercase())
}

/// RFC 9562 section 4: as an advertising id is written.
fn is_uuid(value: &str) -> bool {
    let groups: Vec<&str> = value.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|c| c.is_ascii_hexdigit()))
}

/// Whether a value is written with signs that a program would leave out: `+852 9876-5432`.
fn is_number(kind: &str, value: &str) -> bool {
    let numeric = value.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.'));
    numeric && (value.starts_with('+') || kind.contains("number") || kind.contains("phone"))
}

/// A telephone number: with its country code, with the prefix for calls abroad, national with and without the 0 that
/// many countries put before it, in the usual groups. What stands in another one (a `+` before it) is not repeated.
fn numbers(value: &str) -> Vec<Spelling> {
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    let mut all = vec![digits.clone()];
    let international = value.starts_with('+');
    let national = if international { national(&digits) } else { Some(digits.as_str()) };
    if international {
        all.push(format!("00{digits}"));
    }
    if let Some(national) = national.filter(|national| national.len() >= 7) {
        all.extend([national.to_owned(), format!("0{national}")]);
        let sizes: &[usize] = match national.len() {
            7 => &[3, 4],
            8 => &[4, 4],
            9 => &[3, 3, 3],
            10 => &[3, 3, 4],
            11 => &[3, 4, 4],
            _ => &[],
        };
        for separator in [" ", "-", "."] {
            let mut rest = national;
            let groups: Vec<&str> = sizes
                .iter()
                .filter_map(|size| {
                    let (group, after) = rest.split_at_checked(*size)?;
                    rest = after;
                    Some(group)
                })
                .collect();
            if groups.len() > 1 {
                all.push(groups.join(separator));
            }
        }
    }
    if value.contains([' ', '-', '.', '(']) {
        all.push(value.trim_start_matches('+').to_owned());
    }
    all.into_iter().map(|text| Spelling::new(text, Edge::Digits)).collect()
}

/// A number without its country code (ITU-T E.164, list of assigned codes): codes of one digit are 1 and 7, those of
/// two are listed here, all others have three.
fn national(digits: &str) -> Option<&str> {
    const TWO: &[&str] = &[
        "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48",
        "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81",
        "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
    ];
    let code = match digits.get(..2)? {
        two if two.starts_with(['1', '7']) => 1,
        two if TWO.contains(&two) => 2,
        _ => 3,
    };
    digits.get(code..)
}

/// Whether a value identifies nobody.
pub(super) fn is_placeholder(value: &str) -> bool {
    let text: Vec<u8> = value.bytes().filter(u8::is_ascii_alphanumeric).collect();
    let steps = |by: u8| {
        text.windows(2).all(|pair| match pair {
            [one, next] if one.is_ascii_digit() && next.is_ascii_digit() => {
                (one - b'0' + by) % 10 == next - b'0'
            }
            _ => false,
        })
    };
    let same = text.windows(2).all(|pair| matches!(pair, [one, next] if one.eq_ignore_ascii_case(next)));
    same || steps(1) || steps(9) || text.eq_ignore_ascii_case(ANDROID_PLACEHOLDER.as_bytes())
}

/// Thousandths of a decade of one value: a decimal digit weighs 1000; a hex digit 1204 (log10 16) where the
/// value holds letters and digits and nothing else; any other letter 301, one bit, which is what English
/// text carries at most (Shannon 1951: 0.6 to 1.3 bits a letter); separators nothing.
fn weight(text: &[u8]) -> u64 {
    let text: Vec<u8> = text
        .iter()
        .copied()
        .filter(|c| !matches!(c, b':' | b'-' | b'+' | b' ' | b'.' | b'(' | b')'))
        .collect();
    let hex = text.iter().all(u8::is_ascii_hexdigit)
        && text.iter().any(u8::is_ascii_digit)
        && text.iter().any(u8::is_ascii_alphabetic);
    let one = |c: &u8| match c {
        _ if hex => 1_204,
        b'0'..=b'9' => 1_000,
        _ => 301,
    };
    text.iter().map(one).sum()
}

/// Words in a field's name that say what its value is, by what the kind of a value contains.
const CONTEXTS: &[(&[&str], &[&str])] = &[
    (
        &["number", "phone", "msisdn"],
        &["phone", "mobile", "msisdn", "tel", "number", "sender", "recipient", "contact", "addr"],
    ),
    (
        &["imei", "imsi", "iccid", "serial", "android"],
        &["imei", "imsi", "iccid", "device", "serial", "sim", "android"],
    ),
    (&["mac", "bssid"], &["mac", "bssid", "wifi", "wlan"]),
    (&["account", "mail", "user"], &["account", "mail", "user", "login"]),
    (
        &["location"],
        &["=lat", "=lng", "=lon", "latitude", "longitude", "gps", "geo", "coord", "location", "position"],
    ),
];

/// Whether a field's name says that it holds a value of this kind.
pub(super) fn is_context(kind: &str, field: &str) -> bool {
    let (kind, field) = (kind.to_ascii_lowercase(), field.to_ascii_lowercase());
    CONTEXTS.iter().any(|(kinds, words)| {
        kinds.iter().any(|part| kind.contains(part)) && words.iter().any(|word| says(&field, word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(kind: &str, value: &str) -> Vec<String> {
        spell(kind, value).into_iter().map(|spelling| String::from_utf8(spelling.text).unwrap()).collect()
    }

    #[test]
    fn a_number_is_spelled_with_and_without_its_country() {
        let got = texts("own_number", "+852 9876-5432");
        for wanted in ["85298765432", "0085298765432", "98765432", "098765432", "9876 5432", "9876-5432"] {
            assert!(got.contains(&wanted.to_owned()), "{wanted} in {got:?}");
        }
        assert!(texts("number", "+8613812345678").contains(&"138-1234-5678".to_owned()));
        assert!(texts("number", "+12025550143").contains(&"202.555.0143".to_owned()));
        assert_eq!(national("4420"), Some("20"));
        assert_eq!(texts("number", "123"), [""; 0], "too short");
    }

    #[test]
    fn other_values_have_their_own_spellings() {
        assert_eq!(texts("imei", "867622014512347"), ["86762201451234", "867622014512347"]);
        let mac = texts("wifi_mac", "64:09:80:00:00:01");
        assert_eq!(mac, ["64-09-80-00-00-01", "6409.8000.0001", "640980000001", "64:09:80:00:00:01"]);
        let id = texts("advertising_id", "38400000-8cf0-11bd-b23e-10b96e40000d");
        assert_eq!(id, ["38400000-8cf0-11bd-b23e-10b96e40000d", "384000008cf011bdb23e10b96e40000d"]);
        assert_eq!(texts("message", " Hello "), ["Hello"]);
        assert_eq!(spell("message", &"é".repeat(3_000))[0].text.len(), 4_000);
    }

    #[test]
    fn names_of_fields_say_what_they_hold() {
        for word in CONTEXTS.iter().flat_map(|(_, words)| *words) {
            assert!(crate::engine::decode::is_telling(word.trim_start_matches('=').as_bytes()), "{word}");
        }
        assert!(is_context("own_number", "user_phone") && is_context("imei", "deviceId"));
        assert!(!is_context("own_number", "size") && !is_context("imei", "phone"));
        use crate::engine::decode::is_telling;
        assert!(is_telling(b"bssid") && is_telling(b"lat") && !is_telling(b"q") && !is_telling(b"platform"));
    }

    #[test]
    fn digits_weigh_more_than_letters_and_separators_nothing() {
        assert_eq!(weight(b"867622014512347"), 15_000);
        assert_eq!(weight(b"64:09:8a:00:00:01"), 12 * 1_204);
        assert_eq!(weight(b"64:09:80:00:00:01"), 12_000);
        assert_eq!(weight(b"good evening"), 11 * 301);
    }
}
