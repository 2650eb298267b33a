//! XMPP streams (RFC 6120): where the stanzas of one direction begin and end. What they hold is XML.

use crate::{engine::net::stream::Chunk, evidence::ByteRange};

/// Bytes of an element's name that are waited for; stanzas have shorter ones.
const MAX_NAME: usize = 64;

/// The namespace of streams (RFC 6120 section 4.8.1).
const STREAMS: &[u8] = b"http://etherx.jabber.org/streams";

/// The element that opens a stream.
const STREAM: &[u8] = b"stream:stream";

/// Whether a direction begins with a stream's header (RFC 6120 section 4.7).
pub fn begins(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    let header = [&b"<?xml "[..], b"<?xml\t", b"<stream:stream"].iter().any(|start| text.starts_with(start));
    header && [&b"<stream:stream"[..], STREAMS].iter().all(|part| memchr::memmem::find(text, part).is_some())
}

/// Names of stanzas (RFC 6120 section 8).
const STANZAS: [&[u8]; 3] = [b"message", b"presence", b"iq"];

/// Whether a direction whose start is missing goes on with a stanza.
pub fn goes_on(bytes: &[u8]) -> bool {
    let Some(tag) = bytes.trim_ascii_start().strip_prefix(b"<") else { return false };
    let end = tag.iter().position(|byte| matches!(byte, b' ' | b'>' | b'/')).unwrap_or(tag.len());
    tag.get(..end).is_some_and(|name| STANZAS.contains(&name))
}

/// Whether bytes name what only XMPP has: its namespaces, and stanzas that no other protocol has.
pub fn is_named(bytes: &[u8]) -> bool {
    let marks = [&b"jabber:"[..], b"urn:xmpp:", b"<presence", b"<iq "];
    marks.iter().any(|mark| memchr::memmem::find(bytes, mark).is_some())
}

/// Whether a stream's header is that of a server, which alone gives an id (RFC 6120 section 4.7.3).
pub fn answers(bytes: &[u8]) -> bool {
    let start = memchr::memmem::find(bytes, b"<stream:stream").unwrap_or(bytes.len());
    let header = bytes.get(start..).unwrap_or_default();
    let header = header.get(..memchr::memchr(b'>', header).unwrap_or(header.len())).unwrap_or_default();
    [&b" id="[..], b"\nid=", b"\tid="].iter().any(|id| memchr::memmem::find(header, id).is_some())
}

/// Takes what a [`Parser`] finds, in the order of the stream.
pub trait Handler {
    /// Bytes between stanzas: headers and ends of streams, white space.
    fn between(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes between stanzas that were not captured.
    fn gap(&mut self);

    /// A stanza, or another child of the stream, begins at `at`.
    fn stanza(&mut self, name: &[u8], at: u64);

    /// Bytes of it.
    fn content(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes of it that were not captured, where its end is not found.
    fn lost(&mut self, gap: ByteRange);

    /// Its end; `complete` when its last tag came.
    fn stanza_end(&mut self, complete: bool);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between tags.
    Text,
    /// After `<`, while what begins is not known; the bytes are held.
    Open,
    /// In a tag, after its name.
    Tag { quote: u8, slash: bool, closing: bool },
    /// In what ends with these bytes, of which so many stood last.
    Until(&'static [u8], usize),
}

/// Cuts one direction into stanzas.
#[derive(Debug)]
pub struct Parser {
    state: State,
    /// A tag's start, from `<` on, and where it stands.
    held: Vec<u8>,
    at: u64,
    /// Open elements, the stream among them.
    depth: u32,
    inside: bool,
    /// After a gap, until a stanza is found again.
    lost: bool,
    /// The name of the child of the stream that stops the parser, and where it did.
    stop: Option<&'static str>,
    stopping: bool,
    stopped: Option<u64>,
}

impl Parser {
    /// Begins after the header, at the first stanza that is found.
    pub fn late() -> Self {
        Self { depth: 1, lost: true, ..Self::new(None) }
    }

    /// Begins with a stream's header. After a child of the stream with the name `stop` nothing is read.
    pub fn new(stop: Option<&'static str>) -> Self {
        let (held, state) = (Vec::new(), State::Text);
        Self {
            state,
            held,
            at: 0,
            depth: 0,
            inside: false,
            lost: false,
            stop,
            stopping: false,
            stopped: None,
        }
    }

    /// One past the element that stopped the parser.
    pub fn stopped(&self) -> Option<u64> {
        self.stopped
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &Chunk<'_>, handler: &mut dyn Handler) {
        let (range, data) = match chunk {
            Chunk::Gap(gap) => return self.gap(*gap, handler),
            Chunk::Bytes { range, data } => (range, *data),
        };
        // What is not yet given on.
        let mut from = 0;
        let mut at = 0;
        while self.stopped.is_none()
            && let Some(&byte) = data.get(at)
        {
            if self.state == State::Text && byte != b'<' {
                let rest = data.get(at..).unwrap_or_default();
                at += memchr::memchr(b'<', rest).unwrap_or(rest.len());
                continue;
            }
            if self.state == State::Text {
                self.give(data.get(from..at).unwrap_or_default(), range.start + from as u64, handler);
                (self.state, self.at) = (State::Open, range.start + at as u64);
                self.held.push(byte);
                at += 1;
                from = at;
                continue;
            }
            if self.state == State::Open {
                at += self.open(byte, handler);
                from = at;
                continue;
            }
            at += 1;
            if self.within(byte) {
                let end = range.start + at as u64;
                self.give(data.get(from..at).unwrap_or_default(), range.start + from as u64, handler);
                from = at;
                self.end(end, handler);
            }
        }
        if self.stopped.is_none() && self.state != State::Open {
            self.give(data.get(from..).unwrap_or_default(), range.start + from as u64, handler);
        }
    }

    /// Ends the stream.
    pub fn finish(&mut self, handler: &mut dyn Handler) {
        self.give_held(handler);
        if std::mem::take(&mut self.inside) {
            handler.stanza_end(false);
        }
    }

    fn give(&mut self, bytes: &[u8], at: u64, handler: &mut dyn Handler) {
        let range = ByteRange::new(at, at + bytes.len() as u64);
        match bytes {
            [] => {}
            _ if self.inside => handler.content(bytes, range),
            _ => handler.between(bytes, range),
        }
    }

    fn give_held(&mut self, handler: &mut dyn Handler) {
        let held = std::mem::take(&mut self.held);
        self.give(&held, self.at, handler);
    }

    /// Takes a byte after `<`, or decides by it; says whether it was taken.
    fn open(&mut self, byte: u8, handler: &mut dyn Handler) -> usize {
        let name = self.held.get(1..).unwrap_or_default();
        let ended = matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'>') || (byte == b'/' && !name.is_empty());
        let until: Option<&'static [u8]> = match name {
            b"?" => Some(b"?>"),
            b"!--" => Some(b"-->"),
            b"![CDATA[" => Some(b"]]>"),
            [b'!', ..] if ended => Some(b">"),
            _ => None,
        };
        if let Some(until) = until {
            self.give_held(handler);
            self.state = State::Until(until, 0);
            return 0;
        }
        if !ended && name.len() < MAX_NAME {
            self.held.push(byte);
            return 1;
        }
        let closing = name.first() == Some(&b'/');
        if !closing {
            self.element(handler);
        }
        self.give_held(handler);
        self.state = State::Tag { quote: 0, slash: false, closing };
        0
    }

    /// An element begins whose start is held.
    fn element(&mut self, handler: &mut dyn Handler) {
        let name = self.held.get(1..).unwrap_or_default();
        // After TLS and SASL a stream begins anew (RFC 6120 section 4.3.3).
        if name == STREAM && !self.inside {
            (self.depth, self.lost) = (0, false);
        }
        let known = !self.lost || STANZAS.contains(&name);
        if self.depth == 1 && !self.inside && known {
            (self.inside, self.lost) = (true, false);
            self.stopping = self.stop.is_some_and(|stop| stop.as_bytes() == name);
            handler.stanza(name, self.at);
        }
        if !self.lost {
            self.depth = self.depth.saturating_add(1);
        }
    }

    /// Takes a byte in a tag or in what is skipped; whether it ends there.
    fn within(&mut self, byte: u8) -> bool {
        match &mut self.state {
            State::Until(end, seen) => {
                while *seen > 0 && end.get(*seen) != Some(&byte) {
                    // `]]]>` and `--->` still end.
                    *seen = if end.get(*seen - 1) == Some(&byte) && *seen > 1 { break } else { 0 };
                }
                *seen += usize::from(end.get(*seen) == Some(&byte));
                *seen == end.len()
            }
            State::Tag { quote, slash, .. } => {
                match byte {
                    b'"' | b'\'' if *quote == 0 => *quote = byte,
                    _ if byte == *quote => *quote = 0,
                    b'>' if *quote == 0 => return true,
                    _ => {}
                }
                *slash = *quote == 0 && byte == b'/';
                false
            }
            State::Text | State::Open => false,
        }
    }

    /// A tag, or what was skipped, ends at `end`.
    fn end(&mut self, end: u64, handler: &mut dyn Handler) {
        let state = std::mem::replace(&mut self.state, State::Text);
        if let State::Tag { slash, closing, .. } = state
            && (slash || closing)
            && !self.lost
        {
            self.depth = self.depth.saturating_sub(1);
        }
        if self.inside && self.depth <= 1 {
            self.inside = false;
            handler.stanza_end(true);
            if self.stopping {
                self.stopped = Some(end);
            }
        }
    }

    fn gap(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        if self.stopped.is_some() {
            return;
        }
        self.give_held(handler);
        if std::mem::take(&mut self.inside) {
            handler.lost(gap);
            handler.stanza_end(false);
        } else {
            handler.gap();
        }
        (self.state, self.depth, self.lost) = (State::Text, 1, true);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Told {
        between: Vec<u8>,
        stanzas: Vec<(String, String, Option<bool>)>,
    }

    impl Handler for Told {
        fn between(&mut self, bytes: &[u8], _: ByteRange) {
            self.between.extend_from_slice(bytes);
        }

        fn gap(&mut self) {}

        fn stanza(&mut self, name: &[u8], _: u64) {
            self.stanzas.push((String::from_utf8_lossy(name).into_owned(), String::new(), None));
        }

        fn content(&mut self, bytes: &[u8], _: ByteRange) {
            self.stanzas.last_mut().unwrap().1.extend(bytes.iter().map(|byte| char::from(*byte)));
        }

        fn lost(&mut self, _: ByteRange) {}

        fn stanza_end(&mut self, complete: bool) {
            self.stanzas.last_mut().unwrap().2 = Some(complete);
        }
    }

    fn told(stream: &[&[u8]], size: usize) -> (Told, Option<u64>) {
        let (mut parser, mut told, mut at) = (Parser::new(Some("starttls")), Told::default(), 0);
        for (number, part) in stream.iter().enumerate() {
            if number > 0 {
                parser.push(&Chunk::Gap(ByteRange::new(at, at + 5)), &mut told);
                at += 5;
            }
            for data in part.chunks(size) {
                let range = ByteRange::new(at, at + data.len() as u64);
                parser.push(&Chunk::Bytes { range, data }, &mut told);
                at = range.end;
            }
        }
        parser.finish(&mut told);
        (told, parser.stopped())
    }

    const HEADER: &str = "<?xml version='1.0'?><stream:stream to='a>b' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

    #[test]
    fn children_of_the_stream_are_stanzas() {
        let message =
            "<message to='x'><body>a &lt; b</body><![CDATA[</message>]]]><!-- > --><x y='/>'/></message>";
        let text = format!("{HEADER}<presence/> \n{message}{HEADER}<iq><q/></iq></stream:stream>");
        assert!(begins(text.as_bytes()) && !begins(b"<?xml version='1.0'?><html>"));
        assert!(answers(b"<stream:stream id='1'>") && !answers(text.as_bytes()));
        for size in 1..40 {
            let (told, _) = told(&[text.as_bytes()], size);
            let expected = [("presence", "<presence/>"), ("message", message), ("iq", "<iq><q/></iq>")]
                .map(|(name, text)| (name.to_owned(), text.to_owned(), Some(true)));
            assert_eq!(told.stanzas, expected, "by {size}");
            assert_eq!(told.between, format!("{HEADER} \n{HEADER}</stream:stream>").into_bytes());
        }
    }

    #[test]
    fn nothing_is_read_after_starttls() {
        let text = format!("{HEADER}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\u{16}<iq/>");
        for size in [1, 9, 999] {
            let (told, stopped) = told(&[text.as_bytes()], size);
            assert_eq!((told.stanzas.len(), stopped), (1, Some(text.len() as u64 - 6)));
        }
        assert_eq!(told(&[b"<starttls/>"], 9).1, None, "no child of a stream");
    }

    #[test]
    fn after_a_gap_stanzas_are_found_again() {
        let (told, _) =
            told(&[format!("{HEADER}<iq><a>").as_bytes(), b"c</a></iq><b/><message>d</message>"], 7);
        let ends: Vec<_> = told.stanzas.iter().map(|(name, _, end)| (name.as_str(), *end)).collect();
        assert_eq!(ends, [("iq", Some(false)), ("message", Some(true))]);
    }

    #[test]
    fn a_late_start_is_told_by_stanzas() {
        assert!(
            goes_on(b" <iq type='get'>") && goes_on(b"<presence/>") && !goes_on(b"<iqx>") && !goes_on(b"iq")
        );
        assert!(is_named(b"<presence/>") && is_named(b"<message><x xmlns='jabber:x'/>"));
        assert!(!is_named(b"<message to='a'>"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_told_once(text in "[<>/!?a\\-\\[\\]CDAT'\" ]{0,80}", size in 1..40usize) {
            let text = format!("{HEADER}{text}").into_bytes();
            let (whole, _) = told(&[&text], usize::MAX);
            let all = whole.between.len() + whole.stanzas.iter().map(|stanza| stanza.1.len()).sum::<usize>();
            prop_assert_eq!(all, text.len());
            prop_assert_eq!(told(&[&text], size).0, whole);
        }
    }
}
