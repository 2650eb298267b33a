//! Message heads (RFC 9112 sections 2 to 5).

use std::{mem::MaybeUninit, ops::Range};

use crate::evidence::ByteRange;

use super::Role;

/// Field lines of one head: servers refuse more than about a hundred.
const MAX_FIELDS: usize = 256;

/// A start line without an end: RFC 9112 section 3 asks for 8000 octets at least.
const MAX_LINE: usize = 16 << 10;

/// Registered methods have up to 17 letters; more is some other text.
const MAX_METHOD: usize = 24;

/// Empty lines that are stepped over before a start line (RFC 9112 section 2.2 allows for one or more).
const MAX_EMPTY_LINES: usize = 8;

/// The head of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Its bytes, from any empty lines before it to the empty line that ends it.
    pub bytes: &'a [u8],
    /// Where `bytes` stand in the stream.
    pub at: u64,
    /// Bytes of empty lines before the start line.
    pub lead: usize,
    /// The start line.
    pub start: StartLine,
    /// 0 or 1: of HTTP/1.0 or HTTP/1.1.
    pub minor: u8,
    /// Its field lines, in order.
    pub fields: Vec<Field>,
    /// What in its field lines breaks the grammar and was read all the same, in words.
    pub odd: Option<&'static str>,
}

/// A start line. Ranges are positions in [`Head::bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// Of a request.
    Request {
        /// The method.
        method: Range<usize>,
        /// The request target.
        target: Range<usize>,
    },
    /// Of a response.
    Response {
        /// The status code.
        status: u16,
    },
}

/// A field line. Ranges are positions in [`Head::bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Range<usize>,
    /// Its value, without the white space around it.
    pub value: Range<usize>,
}

/// Whether bytes can start a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// They hold a start line.
    Yes,
    /// So far, but the line has not ended.
    Perhaps,
    /// No.
    No,
}

impl<'a> Head<'a> {
    /// Parses `bytes`, which end with the empty line.
    ///
    /// # Errors
    /// What breaks the grammar, in words.
    pub fn parse(bytes: &'a [u8], at: u64, role: Role) -> Result<Self, String> {
        let strict = Self::strict(bytes, at, role, bytes);
        let Err(error) = &strict else { return strict };
        let error = format!("HTTP head: {error}");
        // The copy has the same length, so positions hold.
        let Mended { flat, odd, left_out } = mended(bytes).ok_or_else(|| error.clone())?;
        let mut head = Self::strict(bytes, at, role, &flat).map_err(|_| error)?;
        head.odd = odd;
        head.fields.retain(|field| left_out.binary_search(&field.name.start).is_err());
        Ok(head)
    }

    fn strict(bytes: &'a [u8], at: u64, role: Role, text: &[u8]) -> Result<Self, String> {
        let lead = empty_lines(text);
        let message = text.get(lead..).unwrap_or_default();
        let mut headers = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let parser = httparse::ParserConfig::default();
        let span = |part: &[u8]| span_in(text, part);
        let (start, minor, fields) = match role {
            Role::Requests => {
                let mut request = httparse::Request::new(&mut []);
                parser
                    .parse_request_with_uninit_headers(&mut request, message, &mut headers)
                    .map_err(|error| error.to_string())?;
                let (Some(method), Some(target)) = (request.method, request.path) else {
                    return Err("no method".to_owned());
                };
                let start =
                    StartLine::Request { method: span(method.as_bytes()), target: span(target.as_bytes()) };
                (start, request.version, request.headers)
            }
            Role::Responses => {
                let mut response = httparse::Response::new(&mut []);
                parser
                    .parse_response_with_uninit_headers(&mut response, message, &mut headers)
                    .map_err(|error| error.to_string())?;
                let status = response.code.ok_or("no status")?;
                (StartLine::Response { status }, response.version, response.headers)
            }
        };
        let fields = fields
            .iter()
            .map(|field| Field { name: span(field.name.as_bytes()), value: span(field.value) })
            .collect();
        Ok(Self { bytes, at, lead, start, minor: minor.unwrap_or(1), fields, odd: None })
    }

    /// A part of the head.
    pub fn text(&self, range: &Range<usize>) -> &'a [u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// Where a part of the head stands in the stream.
    pub fn place(&self, range: &Range<usize>) -> ByteRange {
        ByteRange::new(self.at + range.start as u64, self.at + range.end as u64)
    }

    /// The message head without empty lines before it.
    pub fn range(&self) -> ByteRange {
        self.place(&(self.lead..self.bytes.len()))
    }

    /// The values of all fields of a name, in order.
    pub fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'a [u8]> + 'h {
        self.fields
            .iter()
            .filter(move |field| self.text(&field.name).eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| self.text(&field.value))
    }

    /// The first value of a name as text; broken UTF-8 is replaced.
    pub fn value(&self, name: &str) -> Option<String> {
        self.values(name).next().map(|value| match str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(value).into_owned(),
        })
    }

    /// `HTTP/1.1`.
    pub fn version(&self) -> String {
        format!("HTTP/1.{}", self.minor)
    }
}

/// Where `part`, a slice of `whole`, stands in it.
fn span_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr()).min(whole.len());
    start..(start + part.len()).min(whole.len())
}

/// A head whose field lines are as the grammar wants them.
struct Mended {
    flat: Vec<u8>,
    /// What was wrong with them.
    odd: Option<&'static str>,
    /// Where fields stand that are none, in order.
    left_out: Vec<usize>,
}

/// A copy in which field lines are as the grammar wants them; `None` where nothing was found that can be mended. The
/// start line stays as it is.
///
/// - A fold is read as spaces, as RFC 9112 section 5.2 says.
/// - White space before a colon goes behind it: servers must refuse such a request and clients must not send it (section
///   5.1), but who sends it means a field, and the length of the body may stand there.
/// - A line that has no name before a colon, or other characters in it, is made an empty field and left out: nginx
///   ignores such lines, so that senders live with them.
fn mended(bytes: &[u8]) -> Option<Mended> {
    let lead = empty_lines(bytes);
    let start = lead + memchr::memchr(b'\n', bytes.get(lead..)?)? + 1;
    let (mut flat, mut odd, mut left_out) = (bytes.to_vec(), None, Vec::new());
    let mut at = start;
    while let Some(length) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let end = at + length;
        let line = bytes.get(at..end).unwrap_or_default();
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let wrong = match field_name(text) {
            _ if text.is_empty() => None,
            _ if matches!(text, [b' ' | b'\t', ..]) => {
                // The line end before it goes; a line that is no field is none of the value either.
                join(&mut flat, at);
                Some("a field line is folded; it was read as one line")
            }
            Some(name) if text.get(name) == Some(&b':') => None,
            Some(name) => {
                let colon = memchr::memchr(b':', text).unwrap_or(name);
                if let Some(gap) = flat.get_mut(at + name..=at + colon) {
                    gap.rotate_right(1);
                }
                Some("white space before the colon of a field line")
            }
            None => {
                let line = flat.get_mut(at..at + text.len()).unwrap_or_default();
                line.fill(b' ');
                if let [name, colon, ..] = line {
                    (*name, *colon) = (b'x', b':');
                }
                left_out.push(at);
                Some("a line that is no field; it was left out")
            }
        };
        odd = odd.or(wrong);
        at = end + 1;
    }
    odd.is_some().then_some(Mended { flat, odd, left_out })
}

/// The length of a field's name at the front of a line, where only white space stands between it and a colon.
fn field_name(line: &[u8]) -> Option<usize> {
    let token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let name = line.iter().take_while(token).count();
    let after = line.get(name..)?.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    (name > 0 && after == Some(&b':')).then_some(name)
}

/// Makes the line end before `at` spaces.
fn join(flat: &mut [u8], at: usize) {
    let end = flat.get_mut(at.saturating_sub(2)..at).unwrap_or_default();
    end.iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n')).for_each(|byte| *byte = b' ');
}

/// Bytes of empty lines at the front.
fn empty_lines(bytes: &[u8]) -> usize {
    let mut at = 0;
    for _ in 0..MAX_EMPTY_LINES {
        at += match bytes.get(at..).unwrap_or_default() {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => break,
        };
    }
    at
}

/// One past the empty line that ends a head, looking at line ends from `from` on.
pub(super) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let start = empty_lines(bytes).max(from);
    memchr::memchr_iter(b'\n', bytes.get(start..)?).find_map(|index| {
        match bytes.get(start + index + 1..).unwrap_or_default() {
            [b'\n', ..] => Some(start + index + 2),
            [b'\r', b'\n', ..] => Some(start + index + 3),
            _ => None,
        }
    })
}

/// Whether `bytes` (after empty lines) can start a message of this side.
pub fn probe(bytes: &[u8], role: Role) -> Probe {
    let lead = empty_lines(bytes);
    let bytes = bytes.get(lead..).unwrap_or_default();
    if matches!(bytes, [] | [b'\r']) {
        return Probe::Perhaps;
    }
    match role {
        Role::Requests => probe_request(bytes),
        Role::Responses => probe_response(bytes),
    }
}

/// `METHOD SP target SP HTTP/1.x`; methods of letters and hyphens, as all registered ones are.
pub(super) fn probe_request(bytes: &[u8]) -> Probe {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
    let method = bytes.iter().take(MAX_METHOD + 1).take_while(|byte| is_letter(byte)).count();
    match bytes.get(method) {
        None if method <= MAX_METHOD => return Probe::Perhaps,
        Some(b' ') if (1..=MAX_METHOD).contains(&method) => {}
        _ => return Probe::No,
    }
    let rest = bytes.get(method + 1..).unwrap_or_default();
    let line = rest.get(..MAX_LINE.min(rest.len())).unwrap_or_default();
    match line.iter().position(|&byte| byte < b' ' || byte == 0x7f) {
        Some(end) => {
            let whole = match line.get(end..).unwrap_or_default() {
                [b'\n', ..] | [b'\r', b'\n', ..] => true,
                [b'\r'] => return Probe::Perhaps,
                _ => false,
            };
            let line = line.get(..end).unwrap_or_default();
            let version = line.get(line.len().saturating_sub(9)..).unwrap_or_default();
            let is_http = version.starts_with(b" HTTP/1.") && matches!(version.last(), Some(b'0' | b'1'));
            if whole && is_http { Probe::Yes } else { Probe::No }
        }
        None if rest.len() < MAX_LINE => Probe::Perhaps,
        None => Probe::No,
    }
}

/// A line that begins as [`starts_status_line`] says.
pub(super) fn probe_response(bytes: &[u8]) -> Probe {
    if !starts_status_line(bytes) {
        return Probe::No;
    }
    let line = bytes.get(..MAX_LINE.min(bytes.len())).unwrap_or_default();
    match memchr::memchr(b'\n', line) {
        Some(_) if bytes.len() >= STATUS => Probe::Yes,
        None if bytes.len() < MAX_LINE => Probe::Perhaps,
        _ => Probe::No,
    }
}

/// Bytes of a status line as far as the one after its code.
pub(super) const STATUS: usize = 13;

/// `HTTP/1.x SP 3DIGIT`, then a space or the end of the line; as far as there are bytes.
pub(super) fn starts_status_line(bytes: &[u8]) -> bool {
    let pattern: [fn(&u8) -> bool; STATUS] = [
        |byte| *byte == b'H',
        |byte| *byte == b'T',
        |byte| *byte == b'T',
        |byte| *byte == b'P',
        |byte| *byte == b'/',
        |byte| *byte == b'1',
        |byte| *byte == b'.',
        |byte| matches!(byte, b'0' | b'1'),
        |byte| *byte == b' ',
        u8::is_ascii_digit,
        u8::is_ascii_digit,
        u8::is_ascii_digit,
        |byte| matches!(byte, b' ' | b'\r' | b'\n'),
    ];
    bytes.iter().zip(pattern).all(|(byte, fits)| fits(byte))
}

/// Reads a Content-Length: digits only, or a list of the same digits (RFC 9110 section 8.6).
pub fn content_length<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<Option<u64>, &'static str> {
    let mut length = None;
    for value in values.flat_map(|value| value.split(|&byte| byte == b',')) {
        let digits = value.trim_ascii();
        let number = str::from_utf8(digits)
            .ok()
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u64>().ok())
            .ok_or("a Content-Length is no number")?;
        if length.is_some_and(|known| known != number) {
            return Err("several Content-Length fields differ");
        }
        length = Some(number);
    }
    Ok(length)
}

/// The members of a comma-separated list, in lower case, without parameters and empty members.
pub fn tokens<'v>(values: impl Iterator<Item = &'v [u8]>) -> Vec<String> {
    values
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(|member| member.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii())
        .filter(|member| !member.is_empty())
        .map(|member| String::from_utf8_lossy(member).to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_lines_are_recognised_and_other_text_is_not() {
        let request = |bytes: &[u8]| probe(bytes, Role::Requests);
        assert_eq!(request(b"GET / HTTP/1.1\r\nHost"), Probe::Yes);
        assert_eq!(request(b"\r\n\nM-SEARCH * HTTP/1.0\n"), Probe::Yes);
        assert_eq!(request(b"GET / HTTP/1.1\r"), Probe::Perhaps);
        assert_eq!(request(b""), Probe::Perhaps);
        for other in
            ["EHLO example\r\n", "GET / HTTP/2.0\r\n", "\x16\x03\x01", "OPTIONS rtsp://a RTSP/1.0\r\n"]
        {
            assert_eq!(request(other.as_bytes()), Probe::No, "{other:?}");
        }
        let response = |bytes: &[u8]| probe(bytes, Role::Responses);
        assert_eq!(response(b"HTTP/1.1 200\r\n"), Probe::Yes);
        assert_eq!(response(b"HTTP/1.1 2"), Probe::Perhaps);
        assert_eq!(response(b"HTTP/1.1 2x0 OK\r\n"), Probe::No);
        assert_eq!(response(b"ICY 200 OK\r\n"), Probe::No);
    }

    #[test]
    fn parts_of_a_head_know_their_place() {
        let bytes = b"\r\nPOST /a?b HTTP/1.1\r\nHost:  h \r\nX: 1,\r\n 2\r\n\r\n";
        let head = Head::parse(bytes, 100, Role::Requests).unwrap();
        let StartLine::Request { method, target } = &head.start else { panic!("{head:?}") };
        assert_eq!((head.text(method), head.text(target)), (&b"POST"[..], &b"/a?b"[..]));
        assert_eq!(head.place(target), ByteRange::new(107, 111));
        assert_eq!(head.value("host").as_deref(), Some("h"));
        assert!(head.odd.is_some_and(|odd| odd.contains("folded")));
        assert_eq!(head.value("x").as_deref(), Some("1,\r\n 2"));
        assert_eq!(head.range(), ByteRange::new(102, 100 + bytes.len() as u64));
    }

    #[test]
    fn field_lines_that_break_the_grammar_are_read_as_they_are_meant() {
        let head = |text: &'static str| Head::parse(text.as_bytes(), 0, Role::Requests).unwrap();
        // RFC 9112 section 5.1: white space before a colon.
        let spaced = head("POST / HTTP/1.1\r\nHost : h\r\nContent-Length \t: 5\r\n\r\n");
        assert_eq!(spaced.value("content-length").as_deref(), Some("5"));
        assert_eq!(spaced.value("host").as_deref(), Some("h"));
        assert!(spaced.odd.is_some_and(|odd| odd.contains("before the colon")));
        // Lines that are no fields.
        for line in ["User Agent: x", "no colon here", ": no name", "a\u{e9}b: c"] {
            let text = format!("POST / HTTP/1.1\r\nHost: h\r\n{line}\r\nContent-Length: 5\r\n\r\n");
            let odd = Head::parse(text.as_bytes(), 0, Role::Requests).unwrap();
            assert_eq!(odd.value("content-length").as_deref(), Some("5"), "{line}");
            assert!(odd.odd.is_some_and(|odd| odd.contains("no field")), "{line}");
        }
        // RFC 9112 section 2.2: a bare line feed is a line end too.
        let bare = head("POST / HTTP/1.1\nHost: h\nContent-Length: 5\n\n");
        assert_eq!((bare.value("content-length").as_deref(), bare.odd), (Some("5"), None));
        let folded = head("POST / HTTP/1.1\nX: a\n b\nContent-Length: 5\n\n");
        assert_eq!(folded.value("x").as_deref(), Some("a\n b"));
        assert_eq!(folded.value("content-length").as_deref(), Some("5"));
        // What is wrong in the start line is not mended.
        assert!(Head::parse(b"POST /\x01 HTTP/1.1\r\nA : b\r\n\r\n", 0, Role::Requests).is_err());
    }

    #[test]
    fn lengths_that_differ_or_are_no_numbers_are_refused() {
        let length = |values: &[&str]| content_length(values.iter().map(|value| value.as_bytes()));
        assert_eq!(length(&["5", " 5, 5"]), Ok(Some(5)));
        assert_eq!(length(&[]), Ok(None));
        assert!(length(&["5", "6"]).is_err());
        assert!(length(&["+5"]).is_err());
        assert!(length(&["99999999999999999999"]).is_err());
    }
}
