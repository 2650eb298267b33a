//! JA4, the fingerprint of a client's hello (FoxIO's `technical_details/JA4.md`): what a client offers, told apart from the
//! names and randoms in it. Programs that use the same TLS library in the same way have the same one.

use std::fmt::Write as _;

use super::{
    Version,
    hello::{ALPN, Hello, SERVER_NAME},
};
use crate::evidence::{Digest, hex};

/// What carries the hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// TLS over TCP.
    Tcp,
    /// QUIC.
    Quic,
    /// DTLS.
    Dtls,
}

/// Values that only grease (RFC 8701): `0a0a`, `1a1a`, …
pub(super) fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// The fingerprint of a client's hello.
pub fn ja4(hello: &Hello, over: Over) -> String {
    let real =
        |values: &[u16]| -> Vec<u16> { values.iter().copied().filter(|value| !is_grease(*value)).collect() };
    let (ciphers, extensions) = (real(&hello.ciphers), real(&hello.extensions));
    let transport = match over {
        Over::Tcp => 't',
        Over::Quic => 'q',
        Over::Dtls => 'd',
    };
    let name = if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
    let count = |values: &[u16]| values.len().min(99);
    let head = format!(
        "{transport}{}{name}{:02}{:02}{}",
        version(&real(&hello.versions)),
        count(&ciphers),
        count(&extensions),
        protocol(&hello.first_alpn)
    );
    let sorted = |mut values: Vec<u16>| {
        values.sort_unstable();
        list(&values)
    };
    let told = extensions.iter().copied().filter(|kind| ![SERVER_NAME, ALPN].contains(kind)).collect();
    let mut offers = sorted(told);
    let algorithms = real(&hello.signature_algorithms);
    if !algorithms.is_empty() {
        let _ = write!(offers, "_{}", list(&algorithms));
    }
    let offers = if extensions.is_empty() { String::new() } else { offers };
    format!("{head}_{}_{}", short(&sorted(ciphers)), short(&offers))
}

/// The newest version that is offered.
fn version(versions: &[u16]) -> &'static str {
    // Numbers of DTLS count down.
    let dtls = versions.iter().copied().filter(|version| version >> 8 == 0xfe).min();
    let newest = dtls.or_else(|| versions.iter().copied().max()).unwrap_or_default();
    match Version(newest) {
        Version::TLS13 => "13",
        Version::TLS12 => "12",
        Version::TLS11 => "11",
        Version::TLS10 => "10",
        Version::SSL30 => "s3",
        Version(0x0002) => "s2",
        Version(0xfeff) => "d1",
        Version(0xfefd) => "d2",
        Version(0xfefc) => "d3",
        _ => "00",
    }
}

/// The first and the last character of the first protocol name; of its hexadecimal digits where one of them is no letter or
/// digit.
fn protocol(name: &[u8]) -> String {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return "00".to_owned() };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [*first, *last].map(char::from).iter().collect();
    }
    let digits = hex(name);
    digits.chars().next().into_iter().chain(digits.chars().last()).collect()
}

fn list(values: &[u16]) -> String {
    values.iter().map(|value| format!("{value:04x}")).collect::<Vec<_>>().join(",")
}

fn short(text: &str) -> String {
    if text.is_empty() {
        return "000000000000".to_owned();
    }
    Digest::of(text.as_bytes()).to_string().chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hello that FoxIO's description works through, with GREASE put back where Chrome puts it.
    fn chrome() -> Hello {
        Hello {
            client: true,
            versions: vec![0x4a4a, 0x0304, 0x0303],
            first_alpn: b"h2".to_vec(),
            ciphers: vec![
                0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
                0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x2a2a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023,
                0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x3a3a,
            ],
            signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            ..Hello::default()
        }
    }

    #[test]
    fn the_published_example_comes_out() {
        assert_eq!(ja4(&chrome(), Over::Tcp), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn what_is_missing_is_zeros_and_odd_names_are_digits() {
        let bare = Hello { client: true, versions: vec![0x0303], ..Hello::default() };
        assert_eq!(ja4(&bare, Over::Quic), "q12i000000_000000000000_000000000000");
        let odd =
            |name: &[u8]| ja4(&Hello { first_alpn: name.to_vec(), ..chrome() }, Over::Tcp)[8..10].to_owned();
        assert_eq!([odd(b"\xab"), odd(b"\x30\xab"), odd(b"h"), odd(b"http/1.1")], ["ab", "3b", "hh", "h1"]);
        let dtls = Hello { versions: vec![0xfefd, 0xfeff], ..chrome() };
        assert!(ja4(&dtls, Over::Dtls).starts_with("dd2d1516h2_"));
        let many = Hello { ciphers: vec![1; 120], ..chrome() };
        assert!(ja4(&many, Over::Tcp).starts_with("t13d9916h2_"));
    }
}
