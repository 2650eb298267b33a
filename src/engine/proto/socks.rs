//! SOCKS handshakes: version 4 with and without names, and 5 (RFC 1928, RFC 1929).
//!
//! [`handshake`] reads the first bytes of both directions at once: they have at most some hundred.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

/// What came of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What follows goes to and comes from the place that was asked for.
    Granted,
    /// The proxy did not do what it was asked.
    Refused,
    /// It is cut off, breaks its grammar, or goes on in a way that is not read (GSS-API).
    Unfinished,
}

/// A handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// 4 or 5.
    pub version: u8,
    /// How many bytes of the client belong to it.
    pub client: usize,
    /// How many of the server.
    pub server: usize,
    /// What the client asks for.
    pub command: &'static str,
    /// Where to: `host:port`; empty where that did not come.
    pub target: Vec<u8>,
    /// What came of it.
    pub outcome: Outcome,
    /// Bytes of the client that say nothing but what they are.
    pub understood: Vec<Range<usize>>,
}

/// RFC 1928 section 4; version 4 has the first two.
const COMMANDS: [(u8, &str); 3] = [(1, "CONNECT"), (2, "BIND"), (3, "UDP ASSOCIATE")];

/// A name of a user or a host in version 4.
const MAX_NAME: usize = 255;

/// Reads the beginning of both directions; `None` where it is no SOCKS, or one side alone, which tells too little.
pub fn handshake(client: &[u8], server: &[u8]) -> Option<Handshake> {
    match client.first()? {
        4 => version_4(client, server),
        5 => version_5(client, server),
        _ => None,
    }
}

fn command(code: u8) -> Option<&'static str> {
    COMMANDS.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

fn target(host: &[u8], port: u16) -> Vec<u8> {
    [host, b":", port.to_string().as_bytes()].concat()
}

/// Text up to a zero, of characters that names have; with it the position after the zero.
fn name(bytes: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let text = bytes.get(from..)?;
    let end = memchr::memchr(0, text.get(..text.len().min(MAX_NAME + 1))?)?;
    let text = text.get(..end)?;
    text.iter().all(|byte| !byte.is_ascii_control()).then_some((text, from + end + 1))
}

fn version_4(client: &[u8], server: &[u8]) -> Option<Handshake> {
    let &[_, code, high, low, a, b, c, d, ..] = client else { return None };
    let command = command(code).filter(|_| code < 3)?;
    let (_, mut end) = name(client, 8)?;
    let mut host = Ipv4Addr::new(a, b, c, d).to_string().into_bytes();
    // Version 4A: an address of 0.0.0.x stands for a name.
    if let ([0, 0, 0], 1..) = ([a, b, c], d) {
        let named = name(client, end)?;
        (host, end) = (named.0.to_vec(), named.1);
    }
    let &[0, status @ 0x5a..=0x5d, _, _, _, _, _, _, ..] = server else { return None };
    Some(Handshake {
        version: 4,
        client: end,
        server: 8,
        command,
        target: target(&host, u16::from_be_bytes([high, low])),
        outcome: if status == 0x5a { Outcome::Granted } else { Outcome::Refused },
        understood: std::iter::once(0..2).collect(),
    })
}

fn version_5(client: &[u8], server: &[u8]) -> Option<Handshake> {
    let &[_, count, ref rest @ ..] = client else { return None };
    let methods = rest.get(..count.into()).filter(|methods| !methods.is_empty())?;
    let &[5, method, ..] = server else { return None };
    if !methods.contains(&method) && method != NONE {
        return None;
    }
    let mut read = Handshake {
        version: 5,
        client: 2 + methods.len(),
        server: 2,
        command: "",
        target: Vec::new(),
        outcome: if method == NONE { Outcome::Refused } else { Outcome::Unfinished },
        understood: std::iter::once(0..1).collect(),
    };
    let known = match method {
        0 => true,
        2 => password(client, server, &mut read) == Some(true),
        _ => false,
    };
    if known {
        request(client, server, &mut read);
    }
    Some(read)
}

/// No method of those that the client offers (RFC 1928 section 3).
const NONE: u8 = 0xff;

/// Steps over a name and a password (RFC 1929); whether they were accepted.
fn password(client: &[u8], server: &[u8], read: &mut Handshake) -> Option<bool> {
    let rest = client.get(read.client..)?;
    let &[1, user, ..] = rest else { return None };
    let word = 2 + usize::from(user);
    let end = word + 1 + usize::from(*rest.get(word)?);
    rest.get(..end)?;
    read.client += end;
    let &[1, status, ..] = server.get(read.server..)? else { return None };
    read.server += 2;
    if status != 0 {
        read.outcome = Outcome::Refused;
    }
    Some(status == 0)
}

/// Reads the request and its reply (RFC 1928 sections 4 and 6).
fn request(client: &[u8], server: &[u8], read: &mut Handshake) -> Option<()> {
    let start = read.client;
    let &[5, code, 0, ..] = client.get(start..)? else { return None };
    let command = command(code)?;
    let (host, port, end) = address(client, start + 3)?;
    (read.client, read.command, read.target) = (end, command, target(&host, port));
    read.understood.push(start..start + 4);
    let &[5, reply, 0, ..] = server.get(read.server..)? else { return None };
    let (.., end) = address(server, read.server + 3)?;
    read.server = end;
    read.outcome = if reply == 0 { Outcome::Granted } else { Outcome::Refused };
    Some(())
}

/// An address with its type and port (RFC 1928 section 5); with it the position after it.
fn address(bytes: &[u8], at: usize) -> Option<(Vec<u8>, u16, usize)> {
    let rest = bytes.get(at + 1..)?;
    let (host, len) = match bytes.get(at)? {
        1 => (Ipv4Addr::from(*rest.first_chunk::<4>()?).to_string().into_bytes(), 4),
        3 => {
            let len = usize::from(*rest.first()?);
            (rest.get(1..=len)?.to_vec(), len + 1)
        }
        4 => {
            let address = Ipv6Addr::from(*rest.first_chunk::<16>()?);
            (format!("[{address}]").into_bytes(), 16)
        }
        _ => return None,
    };
    let port = u16::from_be_bytes(*rest.get(len..)?.first_chunk()?);
    Some((host, port, at + 1 + len + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_4_asks_for_an_address_or_a_name() {
        let granted = [0, 0x5a, 0, 0, 0, 0, 0, 0];
        let by_address = [&[4, 1, 0, 80, 192, 0, 2, 1][..], b"me\0GET"].concat();
        let read = handshake(&by_address, &granted).unwrap();
        assert_eq!((read.client, read.server, read.outcome), (11, 8, Outcome::Granted));
        assert_eq!((read.command, &read.target[..]), ("CONNECT", &b"192.0.2.1:80"[..]));
        let by_name = [&[4, 2, 1, 187, 0, 0, 0, 7][..], b"\0h.example\0"].concat();
        let refused = [0, 0x5b, 0, 0, 0, 0, 0, 0];
        let read = handshake(&by_name, &refused).unwrap();
        assert_eq!((read.client, read.outcome), (by_name.len(), Outcome::Refused));
        assert_eq!((read.command, &read.target[..]), ("BIND", &b"h.example:443"[..]));
    }

    #[test]
    fn version_5_with_a_password_as_rfc_1929_says() {
        let client =
            [&[5, 2, 0, 2][..], b"\x01\x02me\x03abc", &[5, 1, 0, 3, 9], b"h.example", &[0, 80], b"GET"]
                .concat();
        let server = [&[5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"HTTP"].concat();
        let read = handshake(&client, &server).unwrap();
        assert_eq!((read.client, read.server), (client.len() - 3, server.len() - 4));
        assert_eq!((read.command, &read.target[..]), ("CONNECT", &b"h.example:80"[..]));
        assert_eq!((read.outcome, read.understood), (Outcome::Granted, vec![0..1, 12..16]));
        let wrong = handshake(&client, &[5, 2, 1, 1]).unwrap();
        assert_eq!((wrong.client, wrong.server, wrong.outcome), (12, 4, Outcome::Refused));
    }

    #[test]
    fn an_address_of_version_6_and_what_is_not_read_to_its_end() {
        let address = Ipv6Addr::LOCALHOST.octets();
        let client = [&[5, 1, 0, 5, 3, 0, 4][..], &address, &[0, 53]].concat();
        let reply = [&[5, 0, 5, 0, 0, 4][..], &address, &[0, 53]].concat();
        let read = handshake(&client, &reply).unwrap();
        assert_eq!((read.command, &read.target[..]), ("UDP ASSOCIATE", &b"[::1]:53"[..]));
        for cut in 2..reply.len() {
            let read = handshake(&client, &reply[..cut]).unwrap();
            assert_eq!((read.outcome, read.server), (Outcome::Unfinished, 2), "{cut}");
        }
        for cut in 3..client.len() {
            let read = handshake(&client[..cut], &reply).unwrap();
            assert_eq!((read.outcome, read.client), (Outcome::Unfinished, 3), "{cut}");
        }
        assert_eq!(handshake(&[5, 1, 1], &[5, 1]).unwrap().outcome, Outcome::Unfinished, "GSS-API");
        assert_eq!(handshake(&[5, 1, 0], &[5, 0xff]).unwrap().outcome, Outcome::Refused);
    }

    #[test]
    fn what_only_begins_like_it_is_none() {
        for (client, server) in [
            (&[5, 1, 0][..], &[5, 2][..]),
            (&[5, 1, 0], &[4, 0]),
            (&[5, 0], &[5, 0]),
            (&[5, 1, 0], &[]),
            (&[4, 3, 0, 80, 1, 2, 3, 4, 0], &[0, 0x5a, 0, 0, 0, 0, 0, 0]),
            (&[4, 1, 0, 80, 1, 2, 3, 4, 7, 0], &[0, 0x5a, 0, 0, 0, 0, 0, 0]),
            (&[4, 1, 0, 80, 1, 2, 3, 4, 0], &[0, 0x5e, 0, 0, 0, 0, 0, 0]),
            (&[4, 1, 0, 80, 1, 2, 3, 4, 0], &[0, 0x5a]),
        ] {
            assert_eq!(handshake(client, server), None, "{client:?} {server:?}");
        }
    }
}
