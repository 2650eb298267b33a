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
    /// The fourteen digits of an IMEI: a check digit of 0, which signalling has there, or two digits of a software version
    /// may follow (3GPP TS 23.003 section 6.2).
    Imei,
    /// Hexadecimal digits.
    Hex,
    /// Letters, digits, dots and underscores: parts of a longer name.
    Name,
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
        let text = value.get(..end).filter(|text| text.len() >= SHORTEST);
        // Mails have other line ends than databases.
        let lines = text.filter(|text| text.contains('\n') && !text.contains('\r'));
        let texts = text.map(str::to_owned).into_iter().chain(lines.map(|text| text.replace('\n', "\r\n")));
        return texts.map(|text| Spelling { any_case: false, ..Spelling::new(text, Edge::Any) }).collect();
    }
    if kind.contains("location") {
        return place::spell(value);
    }
    if is_package(kind) {
        return vec![Spelling { any_case: false, weight: names(value), ..Spelling::new(value, Edge::Name) }];
    }
    if is_mail(value) {
        return vec![Spelling { weight: names(value), ..Spelling::new(value, Edge::Digits) }];
    }
    if kind == "call" || kind.starts_with("call-") {
        // Ten digits are the milliseconds of four months; before them stands what the times of all calls begin with.
        let weight = if value.ends_with("000") { 7_000 } else { 10_000 };
        let digits = (12..=13).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
        return digits
            .then(|| Spelling { weight, ..Spelling::new(value, Edge::Digits) })
            .into_iter()
            .collect();
    }
    let mut all = BTreeSet::new();
    if let Some(digits) = hardware_address(kind, value) {
        for (size, separator) in [(2, ":"), (2, "-"), (4, "."), (12, "")] {
            let groups: Vec<_> = digits.as_bytes().chunks(size).map(String::from_utf8_lossy).collect();
            all.insert(Spelling::new(groups.join(separator), Edge::Hex));
            if separator == ":" {
                // Octets as numbers, which ether_ntoa(3) writes.
                let short = groups.iter().map(|group| group.strip_prefix('0').unwrap_or(group));
                all.insert(Spelling::new(short.collect::<Vec<_>>().join(separator), Edge::Hex));
            }
        }
    } else if let Some(digits) = imei(kind, value) {
        all.extend(imeis(&digits));
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
    }
    all.into_iter().filter(|spelling| spelling.text.len() >= SHORTEST).collect()
}

/// The value as programs hash it where they don't leave out what spellings do: as declared, and a number as E.164
/// writes it, with its plus.
pub(super) fn written_out(kind: &str, value: &str) -> Vec<String> {
    let value = value.trim();
    let mut all = vec![value.to_owned()];
    if value.starts_with('+') && is_number(kind, value) {
        let digits: String = value.chars().filter(char::is_ascii_digit).collect();
        all.push(format!("+{digits}"));
    }
    all.retain(|text| (SHORTEST..=LONGEST).contains(&text.len()));
    all.dedup();
    all
}

/// Whether a value is an address of mail, as far as that matters: two words around one `@`.
fn is_mail(value: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b'+'))
    };
    value.split_once('@').is_some_and(|(user, host)| word(user) && word(host))
}

/// What names weigh. Single words hold 2.6 bits a letter (Shannon 1951, F-word); two are the careful figure.
fn names(value: &str) -> u64 {
    value.bytes().filter(u8::is_ascii_alphanumeric).count() as u64 * 602
}

/// Whether a value of this kind is the name of a program that is installed.
pub(in super::super) fn is_package(kind: &str) -> bool {
    kind.starts_with("package")
}

/// The twelve hex digits of an EUI-48 written with colons, hyphens, in groups of four, or (as a `…mac` or `bssid`) without
/// anything between.
fn hardware_address(kind: &str, value: &str) -> Option<String> {
    let digits: String = value.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    let separators = value.len() - digits.len();
    let named = kind.contains("mac") || kind.contains("bssid");
    let fits = digits.len() == 12 && digits.bytes().all(|c| c.is_ascii_hexdigit());
    (fits && (separators == 5 || named)).then(|| digits.to_ascii_lowercase())
}

/// The digits of an IMEI, with or without its check digit, or with a software version: 14 to 16.
fn imei(kind: &str, value: &str) -> Option<String> {
    let digits: String = value.chars().filter(|c| !matches!(c, ' ' | '-' | '/' | '.')).collect();
    let fits = (14..=16).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    (fits && kind.contains("imei")).then_some(digits)
}

/// An IMEI (3GPP TS 23.003 section 6.2): without check digit, with it, with the software version that is declared; and in
/// the groups in which it is printed (GSMA TS.06).
fn imeis(digits: &str) -> Vec<Spelling> {
    let Some((body, rest)) = digits.split_at_checked(14) else { return Vec::new() };
    // A check digit that does not fit stands there all the same.
    let whole = if rest.len() == 1 { digits.to_owned() } else { format!("{body}{}", luhn(body)) };
    let mut all = vec![Spelling::new(body, Edge::Imei), Spelling::new(whole.as_str(), Edge::Digits)];
    all.push(Spelling::new(digits, if rest.is_empty() { Edge::Imei } else { Edge::Digits }));
    for separator in ["-", " "] {
        let mut left = whole.as_str();
        let groups = [2, 6, 6, 1].iter().filter_map(|size| {
            let (group, after) = left.split_at_checked(*size)?;
            left = after;
            Some(group)
        });
        all.push(Spelling::new(groups.collect::<Vec<_>>().join(separator), Edge::Digits));
    }
    if rest.len() == 2 {
        all.push(Spelling::new(format!("{body}-{rest}"), Edge::Digits));
    }
    all
}

/// The check digit of ISO/IEC 7812-1 annex B.
fn luhn(digits: &str) -> u32 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(no, digit)| match u32::from(digit.wrapping_sub(b'0')) {
            digit if no % 2 == 1 => digit,
            digit if digit > 4 => digit * 2 - 9,
            digit => digit * 2,
        })
        .sum();
    (10 - sum % 10) % 10
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
                let groups = groups.join(separator);
                // With its country code, as people and RFC 3966 write it.
                if international
                    && separator != "."
                    && let Some(code) = digits.strip_suffix(national)
                {
                    all.push(format!("{code}{separator}{groups}"));
                }
                all.push(groups);
            }
        }
        // The North American way.
        if let Some((area, (exchange, line))) = national
            .split_at_checked(3)
            .and_then(|(area, rest)| Some((area, rest.split_at_checked(3)?)))
            .filter(|_| national.len() == 10)
        {
            all.push(format!("{area}) {exchange}-{line}"));
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
    // Letters of any script: a message need not hold one of ASCII.
    let text: Vec<char> = value.chars().filter(|char| char.is_alphanumeric()).collect();
    let steps = |by: u32| {
        text.windows(2).all(|pair| match pair {
            [one, next] => one.to_digit(10).is_some_and(|digit| next.to_digit(10) == Some((digit + by) % 10)),
            _ => false,
        })
    };
    let same = text.windows(2).all(|pair| matches!(pair, [one, next] if one.eq_ignore_ascii_case(next)));
    let android = text.iter().copied().eq(ANDROID_PLACEHOLDER.chars());
    same || steps(1) || steps(9) || android
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
        for wanted in [
            "852-9876-5432",
            "852 9876 5432",
            "85298765432",
            "0085298765432",
            "98765432",
            "098765432",
            "9876 5432",
            "9876-5432",
        ] {
            assert!(got.contains(&wanted.to_owned()), "{wanted} in {got:?}");
        }
        assert!(texts("number", "+8613812345678").contains(&"138-1234-5678".to_owned()));
        assert!(texts("number", "+12025550143").contains(&"202.555.0143".to_owned()));
        assert!(texts("number", "+12025550143").contains(&"202) 555-0143".to_owned()));
        assert_eq!(national("4420"), Some("20"));
        assert_eq!(texts("number", "123"), [""; 0], "too short");
    }

    #[test]
    fn other_values_have_their_own_spellings() {
        let imei = ["86 762201 451234 7", "86-762201-451234-7", "86762201451234", "867622014512347"];
        assert_eq!(texts("imei", "867622014512347"), imei);
        assert_eq!(
            texts("imei", "49015420323751"),
            ["49 015420 323751 8", "49-015420-323751-8", "49015420323751", "490154203237518"],
            "its check digit is made"
        );
        let mac =
            ["64-09-80-00-00-01", "6409.8000.0001", "640980000001", "64:09:80:00:00:01", "64:9:80:0:0:1"];
        for value in ["64:09:80:00:00:01", "64-09-80-00-00-01", "6409.8000.0001", "640980000001"] {
            assert_eq!(texts("wifi_mac", value), mac);
        }
        let id = texts("advertising_id", "38400000-8cf0-11bd-b23e-10b96e40000d");
        assert_eq!(id, ["38400000-8cf0-11bd-b23e-10b96e40000d", "384000008cf011bdb23e10b96e40000d"]);
        assert_eq!(texts("message", " Hello "), ["Hello"]);
        assert_eq!(texts("message", "Hello\nyou"), ["Hello\nyou", "Hello\r\nyou"]);
        assert_eq!(texts("message", "OK"), [""; 0], "it would be found everywhere");
        // By hand: 4 9 0 1 5 4 2 0 3 2 3 7 5 1, every second one doubled, makes 52.
        assert_eq!(luhn("49015420323751"), 8);
        let version = texts("imei", "49015420323751 01");
        assert!(
            version.contains(&"4901542032375101".to_owned())
                && version.contains(&"490154203237518".to_owned())
        );
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
        let mail = spell("account", "chan.tai-man@mail.example");
        assert_eq!(mail.iter().map(|spelling| spelling.weight).collect::<Vec<_>>(), [21 * 602]);
        assert_eq!(spell("account", "a name @ home")[0].weight, 9 * 301 + 301, "words, and a sign");
    }

    #[test]
    fn programs_hash_numbers_with_their_plus() {
        assert_eq!(written_out("own_number", "+852 9876-5432"), ["+852 9876-5432", "+85298765432"]);
        assert_eq!(written_out("own_number", "+85298765432"), ["+85298765432"]);
        assert_eq!(written_out("imei", "867622014512347"), ["867622014512347"]);
        assert_eq!(written_out("imei", "123"), [""; 0]);
    }

    #[test]
    fn text_of_any_script_is_no_placeholder_but_one_sign_over_and_over_is() {
        for value in [
            "今晚八點喺旺角地鐵站E出口等",
            "你好",
            "До свидания",
            "chan@example.hk",
            "9774d56d682e549c",
            "1239",
        ] {
            assert!(!is_placeholder(value), "{value}");
        }
        for value in
            ["哈哈哈哈哈哈", "000000000000000", "0123456789", "98765", "AaaA", "02:00:00:00:00:00", "--"]
        {
            assert!(is_placeholder(value), "{value}");
        }
    }
}
