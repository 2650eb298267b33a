//! Names of fields that say what stands in them: a number, a device, an account, a place.
//!
//! A short value that stands in its container as it is is searched there and needs no leaf. In a field of such a name it
//! gets one all the same: that it fills the field is what makes eight digits a telephone number.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// Words in names; `=word` is the whole name.
const WORDS: &[&str] = &[
    "phone",
    "mobile",
    "msisdn",
    "tel",
    "number",
    "sender",
    "recipient",
    "contact",
    "addr",
    "imei",
    "imsi",
    "iccid",
    "device",
    "serial",
    "sim",
    "android",
    "mac",
    "bssid",
    "wifi",
    "wlan",
    "account",
    "mail",
    "user",
    "login",
    "=lat",
    "=lng",
    "=lon",
    "latitude",
    "longitude",
    "gps",
    "geo",
    "coord",
    "location",
    "position",
];

/// Whether a field's name, in small letters, holds a word, or (`=word`) is one.
pub fn says(field: &str, word: &str) -> bool {
    word.strip_prefix('=').map_or_else(|| field.contains(word), |word| field == word)
}

/// All words that may stand anywhere in a name, found in one pass: every value of every document asks for this.
static ANYWHERE: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let words = WORDS.iter().filter(|word| !word.starts_with('='));
    AhoCorasick::builder().ascii_case_insensitive(true).build(words).ok()
});

/// Whether a field's name says that it holds a value that names somebody or something.
pub fn is_telling(field: &[u8]) -> bool {
    let whole =
        |word: &&str| word.strip_prefix('=').is_some_and(|word| field.eq_ignore_ascii_case(word.as_bytes()));
    !field.is_empty()
        && (ANYWHERE.as_ref().is_some_and(|words| words.is_match(field)) || WORDS.iter().any(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_in_either_case_and_short_words_by_themselves_alone() {
        for name in ["phone", "userPhone", "IMEI", "device_id", "lat", "LNG", "geo.position"] {
            assert!(is_telling(name.as_bytes()), "{name}");
        }
        for name in ["", "q", "platform", "size", "long", "template"] {
            assert!(!is_telling(name.as_bytes()), "{name}");
        }
    }
}
