//! FTP control connections (RFC 959, RFC 2228, RFC 2389, RFC 2428, RFC 3659): commands, and where data connections go.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Commands of those specifications.
const VERBS: [&[u8]; 52] = [
    b"ABOR", b"ACCT", b"ADAT", b"ALLO", b"APPE", b"AUTH", b"CCC", b"CDUP", b"CLNT", b"CONF", b"CWD", b"DELE",
    b"ENC", b"EPRT", b"EPSV", b"FEAT", b"HELP", b"HOST", b"LANG", b"LIST", b"LPRT", b"LPSV", b"MDTM",
    b"MFMT", b"MIC", b"MKD", b"MLSD", b"MLST", b"MODE", b"NLST", b"NOOP", b"OPTS", b"PASS", b"PASV", b"PBSZ",
    b"PORT", b"PROT", b"PWD", b"QUIT", b"REIN", b"REST", b"RETR", b"RMD", b"RNFR", b"RNTO", b"SITE", b"SIZE",
    b"SMNT", b"STAT", b"STOR", b"STOU", b"STRU",
];
const MORE_VERBS: [&[u8]; 6] = [b"SYST", b"TYPE", b"USER", b"XCWD", b"XMKD", b"XPWD"];

/// Whether a word is a command, in any case.
pub fn is_verb(word: &[u8]) -> bool {
    VERBS.iter().chain(&MORE_VERBS).any(|verb| verb.eq_ignore_ascii_case(word))
}

/// Commands that a client begins a session with, or goes on with inside TLS.
pub fn begins(word: &[u8]) -> bool {
    [&b"USER"[..], b"AUTH", b"FEAT", b"HOST", b"OPTS", b"CLNT", b"SYST", b"PBSZ", b"PROT"]
        .iter()
        .any(|verb| verb.eq_ignore_ascii_case(word))
}

/// Commands that move data over a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Sent by the client: STOR, STOU, APPE.
    Up(&'static str),
    /// Sent by the server: RETR, LIST, NLST, MLSD.
    Down(&'static str),
}

impl Transfer {
    /// Which command a word is.
    pub fn of(word: &[u8]) -> Option<Self> {
        const ALL: [Transfer; 7] = [
            Transfer::Up("STOR"),
            Transfer::Up("STOU"),
            Transfer::Up("APPE"),
            Transfer::Down("RETR"),
            Transfer::Down("LIST"),
            Transfer::Down("NLST"),
            Transfer::Down("MLSD"),
        ];
        ALL.into_iter().find(|transfer| transfer.name().as_bytes().eq_ignore_ascii_case(word))
    }

    /// The command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up(name) | Self::Down(name) => name,
        }
    }
}

/// An end of a data connection: the address may be left to the control connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address, where one is named.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// Where a server listens, by its reply to PASV (227) or EPSV (229).
pub fn passive(code: u16, line: &[u8]) -> Option<Endpoint> {
    match code {
        // RFC 1123 section 4.1.2.6: the parentheses may be missing, so the digits are looked for.
        227 => {
            let text = line.get(3..)?;
            let start = text.iter().position(u8::is_ascii_digit)?;
            six_numbers(text.get(start..)?)
        }
        229 => {
            let open = memchr::memchr(b'(', line)?;
            extended(line.get(open + 1..)?)
        }
        _ => None,
    }
}

/// Where a client listens, by its PORT or EPRT.
pub fn active(verb: &[u8], argument: &[u8]) -> Option<Endpoint> {
    if verb.eq_ignore_ascii_case(b"PORT") {
        six_numbers(argument)
    } else if verb.eq_ignore_ascii_case(b"EPRT") {
        extended(argument)
    } else {
        None
    }
}

/// `h1,h2,h3,h4,p1,p2` (RFC 959 section 4.1.2).
fn six_numbers(text: &[u8]) -> Option<Endpoint> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit() && !matches!(byte, b',' | b' '))
        .unwrap_or(text.len());
    let text = std::str::from_utf8(text.get(..end)?).ok()?;
    let mut numbers = text.split(',').map(|number| number.trim().parse::<u8>());
    let mut next = || numbers.next()?.ok();
    let address = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    let port = u16::from_be_bytes([next()?, next()?]);
    // Some servers leave their address out.
    let address = (!address.is_unspecified()).then_some(IpAddr::V4(address));
    (port > 0).then_some(Endpoint { address, port })
}

/// `|protocol|address|port|` with any delimiter (RFC 2428 sections 2 and 3).
fn extended(text: &[u8]) -> Option<Endpoint> {
    let delimiter = *text.first()?;
    let mut fields = text.split(|byte| *byte == delimiter).skip(2);
    let mut next = || std::str::from_utf8(fields.next()?).ok();
    let address = next()?;
    let port = next()?.parse().ok().filter(|port| *port > 0)?;
    Some(Endpoint { address: address.parse().ok(), port })
}

impl Endpoint {
    /// Whether this is the announced end: at the named address, or at that of the control connection's end, since a
    /// server behind address translation names one that nobody else can reach.
    pub fn is(&self, end: SocketAddr, control: IpAddr) -> bool {
        end.port() == self.port && (end.ip() == control || Some(end.ip()) == self.address)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(address: &str, port: u16) -> Option<Endpoint> {
        Some(Endpoint { address: address.parse().ok(), port })
    }

    /// The examples of RFC 959 and RFC 2428.
    #[test]
    fn endpoints_are_read() {
        assert_eq!(active(b"port", b"132,235,1,2,24,131"), endpoint("132.235.1.2", 6275));
        assert_eq!(active(b"EPRT", b"|1|132.235.1.2|6275|"), endpoint("132.235.1.2", 6275));
        assert_eq!(
            active(b"EPRT", b"|2|1080::8:800:200C:417A|5282|"),
            endpoint("1080::8:800:200c:417a", 5282)
        );
        assert_eq!(passive(229, b"229 Entering Extended Passive Mode (|||6446|)\r\n"), endpoint("", 6446));
        assert_eq!(
            passive(227, b"227 Entering Passive Mode (127,0,0,1,156,67).\r\n"),
            endpoint("127.0.0.1", 40003)
        );
        assert_eq!(passive(227, b"227 =127,0,0,1,156,67\r\n"), endpoint("127.0.0.1", 40003));
        assert_eq!(passive(227, b"227 (0,0,0,0,1,2)\r\n"), endpoint("", 258));
        for wrong in
            [&b"227 (1,2,3,4,5)\r\n"[..], b"227 (1,2,3,4,500,6)\r\n", b"227 no\r\n", b"227 (1,2,3,4,0,0)\r\n"]
        {
            assert_eq!(passive(227, wrong), None);
        }
    }

    #[test]
    fn an_end_is_told_by_port_and_either_address() {
        let announced = endpoint("10.0.0.1", 2000).unwrap();
        let end = |text: &str| text.parse::<SocketAddr>().unwrap();
        let control = "192.0.2.1".parse().unwrap();
        assert!(announced.is(end("10.0.0.1:2000"), control) && announced.is(end("192.0.2.1:2000"), control));
        assert!(
            !announced.is(end("192.0.2.1:2001"), control) && !announced.is(end("192.0.2.2:2000"), control)
        );
    }

    #[test]
    fn words_in_any_case() {
        assert!(is_verb(b"stor") && is_verb(b"USER") && !is_verb(b"EHLO"));
        assert_eq!(Transfer::of(b"retr"), Some(Transfer::Down("RETR")));
        assert_eq!(Transfer::of(b"PASV"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_an_endpoint_or_none(line: Vec<u8>) {
            for code in [227, 229] {
                let _ = passive(code, &line);
            }
            let _ = (active(b"PORT", &line), active(b"EPRT", &line));
        }
    }
}
