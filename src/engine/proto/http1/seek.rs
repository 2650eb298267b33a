//! Where a message starts in bytes of which the beginning is missing.
//!
//! A body has no line end, so the head after it stands in the middle of a line. At the start of a line a request of any
//! method is taken for one; elsewhere only one of RFC 9110 section 9 or 5789, since letters may be the body's last ones.

use super::{
    Probe, Role,
    head::{STATUS, probe, probe_request, probe_response, starts_status_line},
};

/// What is known of the line that bytes stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seek {
    /// They are at its start.
    Line,
    /// They are inside it.
    Within,
    /// It is no start line, wherever in it one would begin.
    Dead,
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A start line.
    Start,
    /// The beginning of what may be one: more must come.
    Perhaps(Seek),
    /// The end of the bytes.
    Nothing(Seek),
}

/// Methods of RFC 9110 section 9.3 and RFC 5789, each with the space after it.
const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"TRACE ", b"PATCH "];

/// The first place where a message may start. Looking at the bytes from there once more, with more behind them, gives
/// what all of them at once would have given.
pub(super) fn find(bytes: &[u8], role: Role, mut seek: Seek) -> (usize, Found) {
    let mut place = 0;
    while let Some(rest @ [first, ..]) = bytes.get(place..) {
        let verdict = match seek {
            Seek::Line => at_line(rest, role),
            Seek::Within => within(rest, role),
            Seek::Dead => Verdict::No,
        };
        match verdict {
            Verdict::Start => return (place, Found::Start),
            Verdict::Perhaps => return (place, Found::Perhaps(seek)),
            Verdict::No if seek == Seek::Line => {
                seek = Seek::Within;
                continue;
            }
            Verdict::No => {}
            Verdict::Dead => seek = Seek::Dead,
        }
        if is_control(*first) {
            seek = if *first == b'\n' { Seek::Line } else { Seek::Within };
            place += 1;
            continue;
        }
        let dead = seek == Seek::Dead;
        let worth_a_look = |byte: &u8| is_control(*byte) || (!dead && may_start(*byte, role));
        place += 1 + rest.iter().skip(1).take_while(|byte| !worth_a_look(byte)).count();
    }
    (bytes.len(), Found::Nothing(seek))
}

enum Verdict {
    Start,
    Perhaps,
    No,
    /// The line has an end that no start line has.
    Dead,
}

impl From<Probe> for Verdict {
    fn from(probe: Probe) -> Self {
        match probe {
            Probe::Yes => Self::Start,
            Probe::Perhaps => Self::Perhaps,
            Probe::No => Self::No,
        }
    }
}

/// Empty lines before a start line are left to what came before: they may be its end.
fn at_line(bytes: &[u8], role: Role) -> Verdict {
    match bytes {
        [b'\r'] => Verdict::Perhaps,
        [b'\r' | b'\n', ..] => Verdict::No,
        _ => probe(bytes, role).into(),
    }
}

fn within(bytes: &[u8], role: Role) -> Verdict {
    let probe = match role {
        Role::Requests => probe_request,
        Role::Responses => probe_response,
    };
    let (begins, whole) = match role {
        Role::Requests => {
            let begins = |method: &&&[u8]| method.iter().zip(bytes).all(|(a, b)| a == b);
            let method = METHODS.iter().find(begins);
            (method.is_some(), method.is_some_and(|method| bytes.len() >= method.len()))
        }
        Role::Responses => (starts_status_line(bytes), bytes.len() >= STATUS),
    };
    match (begins, whole) {
        (false, _) => Verdict::No,
        (true, false) => Verdict::Perhaps,
        (true, true) => match probe(bytes) {
            Probe::No => Verdict::Dead,
            other => other.into(),
        },
    }
}

fn may_start(byte: u8, role: Role) -> bool {
    match role {
        Role::Requests => matches!(byte, b'G' | b'H' | b'P' | b'D' | b'C' | b'O' | b'T'),
        Role::Responses => byte == b'H',
    }
}

/// What no start line holds (RFC 9112 section 3; the visible characters of RFC 5234 and space).
fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"\xff\xd9POST /b HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn a_head_after_the_rest_of_a_body_is_found_and_one_byte_less_is_not_enough() {
        assert_eq!(find(REQUEST, Role::Requests, Seek::Line), (2, Found::Start));
        for end in 3..REQUEST.len() - "\nHost: x\r\n\r\n".len() {
            assert_eq!(
                find(&REQUEST[..end], Role::Requests, Seek::Line),
                (2, Found::Perhaps(Seek::Within)),
                "{end}"
            );
        }
        let response = b"\x00\xd9HHTTP/1.1 200 OK\r\n";
        assert_eq!(find(response, Role::Responses, Seek::Within), (3, Found::Start));
    }

    #[test]
    fn words_inside_a_line_are_no_start() {
        for text in [
            &b"\xffGET out of here\n"[..],
            b"\xffGET /x HTTP/1.1\" 200\r\n",
            b"\xffFROB /x HTTP/1.1\r\n",
            b"\xffget /x HTTP/1.1\r\n",
            b"\xffGET /x HTTP/1.1\x00\r\n",
            b"\xffHTTP/1.1 200 OK\r\n",
        ] {
            let (_, found) = find(text, Role::Requests, Seek::Line);
            assert!(matches!(found, Found::Nothing(_)), "{text:?}: {found:?}");
        }
        let (_, found) = find(b"\xffHTTP/1.1 2000\n HTTP/2 200 OK\n", Role::Responses, Seek::Line);
        assert_eq!(found, Found::Nothing(Seek::Line));
    }

    #[test]
    fn a_line_is_read_once_however_often_a_method_stands_in_it() {
        // A quarter of a second at most where each word has the line read again: 64 MiB.
        let mut hostile = b"GET ".repeat(1 << 20);
        hostile.push(b'\n');
        assert_eq!(find(&hostile, Role::Requests, Seek::Within), (hostile.len(), Found::Nothing(Seek::Line)));
    }

    #[test]
    fn cut_anywhere_the_same_is_found() {
        let texts: [&[u8]; 6] = [
            REQUEST,
            b"xOPOST /a HTTP/1.0\r\n",
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaGET / HTTP/1.1\r\n",
            b"GET GET GET GET\x01GET / HTTP/1.1\n",
            b"PPPOPTIONS * HTTP/1.1\r\n",
            b"line\r\n\r\nCCM_POST / HTTP/1.1\r\n",
        ];
        for text in texts {
            let whole = find(text, Role::Requests, Seek::Line);
            assert_eq!(whole.1, Found::Start, "{text:?}");
            for cut in 0..text.len() {
                let (place, found) = find(&text[..cut], Role::Requests, Seek::Line);
                let (seek, from) = match found {
                    Found::Start => continue,
                    Found::Perhaps(seek) => (seek, place),
                    Found::Nothing(seek) => (seek, cut),
                };
                let (place, found) = find(&text[from..], Role::Requests, seek);
                assert_eq!((from + place, found), whole, "{text:?} cut at {cut}");
            }
        }
    }
}
