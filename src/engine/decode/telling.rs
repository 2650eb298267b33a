//! Names of fields that say what stands in them: a number, a device, an account, a place.
//!
//! A short value that stands in its container as it is is searched there and needs no leaf. In a field of such a name it
//! gets one all the same: that it fills the field is what makes eight digits a telephone number.

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

/// Whether a field's name says that it holds a value that names somebody or something.
pub fn is_telling(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    WORDS.iter().any(|word| says(&field, word))
}
