//! How long a body is (RFC 9112 section 6.3).

use super::{Head, StartLine, content_length, tokens};

/// What frames a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// All that follows until the connection ends.
    UntilClose,
    /// There is none, and what follows is another protocol (CONNECT, Upgrade).
    Tunnel,
    /// The head does not say it in a way that can be believed.
    Unknown,
}

/// What a response must know of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// HEAD: its response has no body.
    Head,
    /// CONNECT: its response may open a tunnel.
    Connect,
    /// Any other method.
    Other,
}

impl Asked {
    /// What a request asks.
    pub fn of(head: &Head<'_>) -> Self {
        match &head.start {
            StartLine::Request { method, .. } => match head.text(method) {
                b"HEAD" => Self::Head,
                b"CONNECT" => Self::Connect,
                _ => Self::Other,
            },
            StartLine::Response { .. } => Self::Other,
        }
    }
}

/// Whether a request asks for another protocol in this connection (RFC 9110 sections 7.8 and 9.3.6).
pub fn asks_to_switch(head: &Head<'_>) -> bool {
    Asked::of(head) == Asked::Connect || head.values("upgrade").next().is_some()
}

/// Frames the body of a request; beside it what is ambiguous, in words.
pub fn request_framing(head: &Head<'_>) -> (Framing, Option<&'static str>) {
    let (framing, ambiguous) = announced(head);
    let framing = match framing {
        // Without a length a request has no body.
        None => Framing::None,
        // Only a response may end with the connection.
        Some(Framing::UntilClose) => Framing::Unknown,
        Some(framing) => framing,
    };
    (framing, ambiguous)
}

/// Frames the body of a response; beside it what is ambiguous, in words.
pub fn response_framing(head: &Head<'_>, asked: Asked) -> (Framing, Option<&'static str>) {
    let StartLine::Response { status } = head.start else { return (Framing::Unknown, None) };
    match (status, asked) {
        (101, _) | (200..=299, Asked::Connect) => (Framing::Tunnel, None),
        (100..=199 | 204 | 304, _) | (_, Asked::Head) => (Framing::None, None),
        _ => {
            let (framing, ambiguous) = announced(head);
            (framing.unwrap_or(Framing::UntilClose), ambiguous)
        }
    }
}

fn announced(head: &Head<'_>) -> (Option<Framing>, Option<&'static str>) {
    let codings = tokens(head.values("transfer-encoding"));
    let length = content_length(head.values("content-length"));
    if let Some(last) = codings.last() {
        // Chunked wins over a length; a body with both may be an attempt at smuggling.
        let both = head.values("content-length").next().is_some();
        let framing = if last == "chunked" { Framing::Chunked } else { Framing::UntilClose };
        let doubled = codings.iter().filter(|coding| *coding == "chunked").count() > 1;
        let ambiguous = match (both, doubled, framing) {
            // Section 6.1: who speaks HTTP/1.0 may not know it.
            _ if head.minor == 0 => Some("Transfer-Encoding in HTTP/1.0; it is followed"),
            (true, ..) => Some("both Transfer-Encoding and Content-Length; Transfer-Encoding is followed"),
            (_, true, _) => Some("chunked is named more than once"),
            (.., Framing::UntilClose) => Some("the last transfer coding is not chunked"),
            _ => None,
        };
        return (Some(framing), ambiguous);
    }
    match length {
        Ok(length) => (length.map(Framing::Length), None),
        Err(why) => (Some(Framing::Unknown), Some(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::proto::http1::Role;

    fn request(fields: &str) -> (Framing, bool) {
        let text = format!("POST / HTTP/1.1\r\n{fields}\r\n");
        let head = Head::parse(text.as_bytes(), 0, Role::Requests).unwrap();
        let (framing, ambiguous) = request_framing(&head);
        (framing, ambiguous.is_some())
    }

    #[test]
    fn the_rules_of_rfc_9112_section_6_3_for_requests() {
        assert_eq!(request(""), (Framing::None, false));
        assert_eq!(request("Content-Length: 3\r\n"), (Framing::Length(3), false));
        assert_eq!(request("Transfer-Encoding: gzip, Chunked\r\n"), (Framing::Chunked, false));
        assert_eq!(request("Transfer-Encoding: ,\tchunked,\r\n"), (Framing::Chunked, false));
        let both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(request(both), (Framing::Chunked, true));
        assert_eq!(request("Transfer-Encoding: gzip\r\n"), (Framing::Unknown, true));
        assert_eq!(request("Content-Length: 3\r\nContent-Length: 4\r\n"), (Framing::Unknown, true));
        assert_eq!(request("Content-Length: 3\r\nContent-Length: 3\r\n"), (Framing::Length(3), false));
        let old = Head::parse(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 0, Role::Requests);
        assert_eq!(request_framing(&old.unwrap()).0, Framing::Chunked);
    }

    #[test]
    fn connect_and_an_upgrade_field_ask_for_another_protocol() {
        let asks = |text: &str| asks_to_switch(&Head::parse(text.as_bytes(), 0, Role::Requests).unwrap());
        assert!(asks("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"));
        assert!(asks("CONNECT h:1 HTTP/1.1\r\n\r\n"));
        assert!(!asks("GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n"));
    }

    #[test]
    fn responses_without_a_body() {
        let framing = |status: u16, asked| {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 3\r\n\r\n");
            response_framing(&Head::parse(text.as_bytes(), 0, Role::Responses).unwrap(), asked).0
        };
        assert_eq!(framing(200, Asked::Other), Framing::Length(3));
        assert_eq!(framing(200, Asked::Head), Framing::None);
        assert_eq!(framing(100, Asked::Other), Framing::None);
        assert_eq!(framing(304, Asked::Other), Framing::None);
        assert_eq!(framing(101, Asked::Other), Framing::Tunnel);
        assert_eq!(framing(200, Asked::Connect), Framing::Tunnel);
        assert_eq!(framing(407, Asked::Connect), Framing::Length(3));
    }
}
