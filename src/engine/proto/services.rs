//! What hosts ask the network for in single datagrams: the time (NTP, RFC 5905 and RFC 4330), an address (BOOTP, RFC 951;
//! DHCP, RFC 2131 and RFC 2132; DHCPv6, RFC 8415), devices (SSDP, UPnP Device Architecture 2.0 section 1).

use crate::evidence::ByteRange;

/// What one datagram says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What it is, in the words of its specification: `REQUEST`, `client`.
    pub kind: &'static str,
    /// Whom or what it names, as sent: a host's name, a search target.
    pub name: Vec<u8>,
    /// Bytes that grammar accounts for, in order.
    pub understood: Vec<ByteRange>,
}

impl Said {
    fn understand(&mut self, start: usize, len: usize) {
        let (start, end) = (start as u64, (start + len) as u64);
        match self.understood.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ if len > 0 => self.understood.push(ByteRange::new(start, end)),
            _ => {}
        }
    }

    /// Understands a field where it is all zeros: whoever does not use it leaves it so.
    fn zeros(&mut self, data: &[u8], start: usize, len: usize) {
        if data.get(start..start + len).is_some_and(|field| field.iter().all(|byte| *byte == 0)) {
            self.understand(start, len);
        }
    }
}

/// Bytes of a header of NTP (RFC 5905 section 7.3).
const NTP_HEADER: usize = 48;

/// A packet of NTP whose header is that of RFC 5905; those of management (modes 6 and 7) have others.
pub fn ntp(data: &[u8]) -> Option<Said> {
    const MODES: [&str; 5] = ["symmetric active", "symmetric passive", "client", "server", "broadcast"];
    let first = *data.first().filter(|_| data.len() >= NTP_HEADER && data.len().is_multiple_of(4))?;
    let (version, mode) = (first >> 3 & 7, first & 7);
    let kind = MODES.get(usize::from(mode).checked_sub(1)?).filter(|_| (1..=4).contains(&version))?;
    let mut said = Said { kind, ..Said::default() };
    said.understand(0, 1);
    // Stratum, poll, precision; root delay, root dispersion, reference id; reference, origin and receive timestamps. What
    // stands in the transmit timestamp of a client is a number of its choice.
    for (start, len) in [(1, 1), (2, 1), (3, 1), (4, 4), (8, 4), (12, 4), (16, 8), (24, 8), (32, 8)] {
        said.zeros(data, start, len);
    }
    Some(said)
}

/// Bytes before the options of DHCP, and the cookie that begins them (RFC 2131 section 3).
const BOOTP: usize = 236;
const COOKIE: &[u8] = &[99, 130, 83, 99];

/// Options whose code and length are ordinary (RFC 2132, RFC 2563, RFC 4702, RFC 3442, RFC 3397, RFC 7710, RFC 8925).
const OPTIONS: [u8; 32] = [
    1, 2, 3, 6, 12, 15, 23, 26, 28, 31, 33, 42, 43, 44, 46, 47, 50, 51, 52, 53, 54, 55, 57, 58, 59, 60, 61,
    81, 108, 116, 119, 121,
];

/// A packet of BOOTP or DHCP for IPv4.
pub fn dhcp(data: &[u8]) -> Option<Said> {
    const KINDS: [&str; 8] = ["DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"];
    let &[op @ (1 | 2), hardware, length, hops, ..] = data else { return None };
    if length > 16 || data.len() < BOOTP {
        return None;
    }
    let mut said = Said { kind: if op == 1 { "BOOTREQUEST" } else { "BOOTREPLY" }, ..Said::default() };
    if (hardware, length, hops) == (1, 6, 0) {
        said.understand(0, 4);
    } else {
        said.understand(0, 1);
    }
    // Seconds; broadcast or not; addresses of the client, the lease, the next server and the relay.
    said.zeros(data, 8, 2);
    if matches!(data.get(10..12), Some([0 | 0x80, 0])) {
        said.understand(10, 2);
    }
    for start in [12, 16, 20, 24] {
        said.zeros(data, start, 4);
    }
    // What is left of the hardware address, the server's name, the boot file.
    let address = 28 + usize::from(length);
    for (start, end) in [(address, 44), (44, 108), (108, BOOTP)] {
        said.zeros(data, start, end - start);
    }
    if data.get(BOOTP..BOOTP + 4) != Some(COOKIE) {
        return Some(said);
    }
    said.understand(BOOTP, 4);
    let mut at = BOOTP + 4;
    while let Some(&code) = data.get(at) {
        if code == 0 {
            said.understand(at, 1);
            at += 1;
            continue;
        }
        if code == 255 {
            said.understand(at, 1);
            said.zeros(data, at + 1, data.len() - at - 1);
            break;
        }
        let Some((len, value)) = data
            .get(at + 1)
            .and_then(|len| Some((usize::from(*len), data.get(at + 2..at + 2 + usize::from(*len))?)))
        else {
            break;
        };
        if OPTIONS.contains(&code) {
            said.understand(at, 2);
        }
        match (code, value) {
            (53, &[kind]) => {
                if let Some(name) = KINDS.get(usize::from(kind).wrapping_sub(1)) {
                    said.kind = name;
                    said.understand(at + 2, 1);
                }
            }
            (12, name) => said.name = name.to_vec(),
            // RFC 4702 section 2: flags and two codes, then the name, in the form of DNS where a flag says so.
            (81, [flags, _, _, name @ ..]) if said.name.is_empty() => {
                said.name = if flags & 4 == 0 { name.to_vec() } else { labels(name) };
            }
            _ => {}
        }
        at += 2 + len;
    }
    Some(said)
}

/// A message of DHCPv6 between client and server; what relays wrap is not read.
pub fn dhcpv6(data: &[u8]) -> Option<Said> {
    const KINDS: [&str; 11] = [
        "SOLICIT",
        "ADVERTISE",
        "REQUEST",
        "CONFIRM",
        "RENEW",
        "REBIND",
        "REPLY",
        "RELEASE",
        "DECLINE",
        "RECONFIGURE",
        "INFORMATION-REQUEST",
    ];
    let kind = KINDS.get(usize::from(*data.first()?).checked_sub(1)?)?;
    let mut said = Said { kind, ..Said::default() };
    said.understand(0, 1);
    // A type and a transaction id.
    let mut at = 4;
    data.get(..at)?;
    while at < data.len() {
        let &[a, b, c, d, ..] = data.get(at..)? else { return None };
        let (code, len) = (u16::from_be_bytes([a, b]), usize::from(u16::from_be_bytes([c, d])));
        let value = data.get(at + 4..at + 4 + len)?;
        // RFC 8415 section 21, RFC 3646, RFC 4704, RFC 5908, RFC 8910.
        if matches!(code, 1..=25 | 31 | 32 | 39 | 56 | 82 | 83 | 103) {
            said.understand(at, 4);
        }
        if let (39, [_, name @ ..]) = (code, value) {
            said.name = labels(name);
        }
        at += 4 + len;
    }
    Some(said)
}

/// A name in the form of DNS (RFC 1035 section 3.1), with dots; as far as it keeps to it.
fn labels(mut name: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some((&len, rest)) = name.split_first() {
        let Some(label) = rest.get(..usize::from(len)).filter(|label| !label.is_empty()) else { break };
        if !text.is_empty() {
            text.push(b'.');
        }
        text.extend_from_slice(label);
        name = rest.get(label.len()..).unwrap_or_default();
    }
    text
}

/// A message of SSDP: the head of a message of HTTP in a datagram.
pub fn ssdp(data: &[u8]) -> Option<Said> {
    const STARTS: [(&[u8], &str); 3] = [
        (b"M-SEARCH * HTTP/1.1\r\n", "M-SEARCH"),
        (b"NOTIFY * HTTP/1.1\r\n", "NOTIFY"),
        (b"HTTP/1.1 200 OK\r\n", "200"),
    ];
    let (start, kind) = STARTS.into_iter().find(|(start, _)| data.starts_with(start))?;
    let mut said = Said { kind, ..Said::default() };
    said.understand(0, start.len());
    let mut rest = data.get(start.len()..).unwrap_or_default();
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at(end + 1);
        let colon = memchr::memchr(b':', line).unwrap_or_default();
        let field = line.get(..colon).unwrap_or_default();
        if said.name.is_empty() && (field.eq_ignore_ascii_case(b"ST") || field.eq_ignore_ascii_case(b"NT")) {
            said.name = line.get(colon + 1..).unwrap_or_default().trim_ascii().to_vec();
        }
        rest = after;
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn understood(said: &Said, data: &[u8]) -> Vec<u8> {
        let stands = |at: &u64| said.understood.iter().any(|range| range.start <= *at && *at < range.end);
        (0..).zip(data).filter(|(at, _)| stands(at)).map(|(_, byte)| *byte).collect()
    }

    /// RFC 4330 section 5: a client sets the first byte, and the transmit timestamp if it likes.
    #[test]
    fn only_the_transmit_timestamp_of_a_simple_client_is_its_choice() {
        let mut packet = [0; 48];
        packet[0] = 0x23;
        packet[40..].fill(7);
        let said = ntp(&packet).unwrap();
        assert_eq!((said.kind, &said.understood[..]), ("client", &[ByteRange::new(0, 40)][..]));
        packet[13] = 1;
        assert_eq!(understood(&ntp(&packet).unwrap(), &packet).len(), 36, "a reference id is a value");
        packet[0] = 0x26;
        assert_eq!((ntp(&packet), ntp(&packet[..47]), ntp(&[0x3b; 48])), (None, None, None));
    }

    fn discover() -> Vec<u8> {
        let mut packet = vec![1, 1, 6, 0, 0xaa, 0xbb, 0xcc, 0xdd];
        packet.resize(28, 0);
        packet.extend(b"\x02SECRT");
        packet.resize(236, 0);
        packet.extend(b"\x63\x82\x53\x63\x35\x01\x01\x0c\x05phone\x37\x02\x01\x03\xe0\x01!\xff\0\0");
        packet
    }

    #[test]
    fn values_of_dhcp_are_nobodys_and_its_frame_is_understood() {
        let packet = discover();
        let said = dhcp(&packet).unwrap();
        assert_eq!((said.kind, &said.name[..]), ("DISCOVER", &b"phone"[..]));
        let text = understood(&said, &packet);
        for value in [&b"phone"[..], b"SECRT", b"\xaa", b"\xe0", b"!", b"\x01\x03"] {
            assert!(!text.windows(value.len()).any(|bytes| bytes == value), "{value:?}");
        }
        // Transaction, hardware address, name, list of options, an option that is not listed.
        assert_eq!(packet.len() - text.len(), 4 + 6 + 5 + 2 + 3);
        assert_eq!(dhcp(&packet[..200]), None);
        assert_eq!(dhcp(&packet[..236]).unwrap().kind, "BOOTREQUEST");
        // An option that is cut off is undetermined.
        assert!(dhcp(&packet[..247]).unwrap().name.is_empty());
    }

    #[test]
    fn dhcpv6_names_its_host() {
        let packet = b"\x01abc\0\x08\0\x02\0\0\0\x27\0\x07\x01\x05phone\xff\xff\0\x01x";
        // The length of the name counts its flags.
        assert_eq!(dhcpv6(packet).unwrap().kind, "SOLICIT");
        assert_eq!(dhcpv6(packet).unwrap().name, b"phone");
        assert_eq!(understood(&dhcpv6(packet).unwrap(), packet), b"\x01\0\x08\0\x02\0\x27\0\x07");
        assert_eq!((dhcpv6(&packet[..12]), dhcpv6(b"\x0cabc")), (None, None));
    }

    #[test]
    fn ssdp_says_what_is_looked_for() {
        let said =
            ssdp(b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nst: ssdp:all\r\n\r\n").unwrap();
        assert_eq!((said.kind, &said.name[..], said.understood.len()), ("M-SEARCH", &b"ssdp:all"[..], 1));
        assert_eq!(ssdp(b"GET / HTTP/1.1\r\n"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_in_order(bytes: Vec<u8>, cut in 0..300usize) {
            let mut packet = discover();
            packet.truncate(cut);
            packet.extend(&bytes);
            for data in [&bytes, &packet] {
                for read in [ntp, dhcp, dhcpv6, ssdp] {
                    let mut end = 0;
                    for range in read(data).unwrap_or_default().understood {
                        prop_assert!(range.start >= end && range.start < range.end);
                        end = range.end;
                    }
                    prop_assert!(end <= data.len() as u64);
                }
            }
        }
    }
}
