//! IMAP (RFC 9051, RFC 3501): lines with literals in them, in both directions.

use std::collections::VecDeque;

use crate::{engine::net::stream::Chunk, evidence::ByteRange};

use super::lines::{Lines, Text};

/// Commands of RFC 9051 and RFC 3501, and extensions that phones use.
const VERBS: [&[u8]; 38] = [
    b"APPEND",
    b"AUTHENTICATE",
    b"CAPABILITY",
    b"CHECK",
    b"CLOSE",
    b"COMPRESS",
    b"COPY",
    b"CREATE",
    b"DELETE",
    b"DONE",
    b"ENABLE",
    b"EXAMINE",
    b"EXPUNGE",
    b"FETCH",
    b"GETQUOTA",
    b"GETQUOTAROOT",
    b"ID",
    b"IDLE",
    b"LIST",
    b"LOGIN",
    b"LOGOUT",
    b"LSUB",
    b"MOVE",
    b"NAMESPACE",
    b"NOOP",
    b"RENAME",
    b"SEARCH",
    b"SELECT",
    b"SORT",
    b"STARTTLS",
    b"STATUS",
    b"STORE",
    b"SUBSCRIBE",
    b"THREAD",
    b"UID",
    b"UNAUTHENTICATE",
    b"UNSELECT",
    b"UNSUBSCRIBE",
];

/// Whether a word is a command, in any case.
pub fn is_verb(word: &[u8]) -> bool {
    VERBS.iter().any(|verb| verb.eq_ignore_ascii_case(word))
}

/// What a server sends that decides about the client's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `+`: go on.
    GoOn,
    /// The end of the command with this tag.
    Tagged {
        /// The tag.
        tag: Vec<u8>,
        /// Whether it is `OK`.
        ok: bool,
        /// One past the line.
        end: u64,
    },
}

impl Answer {
    /// Reads a server's line, which is not one that goes on after a literal.
    pub fn of(line: &[u8], range: ByteRange) -> Option<Self> {
        if line.first() == Some(&b'+') {
            return Some(Self::GoOn);
        }
        let mut words = line.trim_ascii_end().splitn(3, |byte| *byte == b' ');
        let (tag, status) = (words.next()?, words.next()?);
        let known = [&b"OK"[..], b"NO", b"BAD"].iter().any(|known| known.eq_ignore_ascii_case(status));
        (tag != b"*" && known).then(|| Self::Tagged {
            tag: tag.to_vec(),
            ok: status.eq_ignore_ascii_case(b"OK"),
            end: range.end,
        })
    }
}

/// Answers that are kept: of a session of days. What comes later counts as not seen.
const MAX_ANSWERS: usize = 1 << 16;
/// A tag; nobody sends more than some characters.
const MAX_TAG: usize = 64;

/// A server's answers in order, as far as they are known.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    list: VecDeque<Answer>,
}

impl Answers {
    /// Adds the next one; false when there are too many.
    pub fn push(&mut self, answer: Answer) -> bool {
        let short = !matches!(&answer, Answer::Tagged { tag, .. } if tag.len() > MAX_TAG);
        let room = short && self.list.len() < MAX_ANSWERS;
        if room {
            self.list.push_back(answer);
        }
        room
    }

    /// Whether the server asks the command with this tag to go on; `None` where that is not known.
    fn goes_on(&mut self, tag: &[u8]) -> Option<bool> {
        while let Some(answer) = self.list.front() {
            match answer {
                Answer::GoOn => {
                    self.list.pop_front();
                    return Some(true);
                }
                Answer::Tagged { tag: ended, .. } if ended == tag => return Some(false),
                Answer::Tagged { .. } => {
                    self.list.pop_front();
                }
            }
        }
        None
    }

    /// Whether the command with this tag ended well, and where its answer ends.
    fn ended(&self, tag: &[u8]) -> Option<(bool, u64)> {
        self.list.iter().find_map(|answer| match answer {
            Answer::Tagged { tag: ended, ok, end } if ended == tag => Some((*ok, *end)),
            _ => None,
        })
    }
}

/// One line of a command or response: those after the first go on behind a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line with its end.
    pub bytes: &'a [u8],
    /// Where it stands.
    pub range: ByteRange,
    /// Whether it is the first.
    pub first: bool,
}

impl<'a> Line<'a> {
    /// Tag (or `*`), command, and where the command stands in the line.
    pub fn words(&self) -> (&'a [u8], &'a [u8], usize) {
        let text = self.bytes.trim_ascii_end();
        let space = memchr::memchr(b' ', text).unwrap_or(text.len());
        let (tag, rest) = text.split_at(space);
        let rest = rest.get(1..).unwrap_or_default();
        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        (tag, rest.get(..end).unwrap_or_default(), text.len() - rest.len())
    }
}

/// Takes what a [`Parser`] finds, in the order of the stream.
pub trait Handler {
    /// A line.
    fn line(&mut self, line: Line<'_>);

    /// A line that answers a challenge of AUTHENTICATE, or ends IDLE.
    fn answer(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes that are no whole line.
    fn text(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes outside literals that were not captured.
    fn gap(&mut self, gap: ByteRange);

    /// A literal follows the last line, at `at`.
    fn literal(&mut self, at: u64);

    /// Bytes of the literal.
    fn content(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes of the literal that were not captured.
    fn content_gap(&mut self, gap: ByteRange);

    /// The end of the literal; `complete` when all its bytes came by.
    fn literal_end(&mut self, complete: bool);
}

#[derive(Debug)]
enum State {
    Line {
        first: bool,
    },
    /// The next line answers a challenge.
    Challenged,
    Literal(u64),
    /// Another protocol from here on.
    Switched,
}

/// Where another protocol starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The client's first byte of it.
    pub client: u64,
    /// The server's first byte of it, where that is known.
    pub server: Option<u64>,
    /// Whether it is TLS; otherwise it is deflate (RFC 4978).
    pub tls: bool,
}

/// Parses one direction. The client's needs the server's answers: they tell whether a literal follows.
#[derive(Debug)]
pub struct Parser {
    lines: Lines,
    state: State,
    /// `None` for the server's direction.
    answers: Option<Answers>,
    tag: Vec<u8>,
    switch: Option<Switch>,
    /// Where to stop.
    until: u64,
}

impl Parser {
    /// For the client's direction.
    pub fn client(from_start: bool, answers: Answers) -> Self {
        Self { answers: Some(answers), ..Self::server(from_start, None) }
    }

    /// For the server's direction, up to a byte.
    pub fn server(from_start: bool, until: Option<u64>) -> Self {
        Self {
            lines: Lines::new(from_start),
            state: State::Line { first: true },
            answers: None,
            tag: Vec::new(),
            switch: None,
            until: until.unwrap_or(u64::MAX),
        }
    }

    /// Where another protocol starts.
    pub fn switch(&self) -> Option<Switch> {
        self.switch
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &Chunk<'_>, handler: &mut dyn Handler) {
        match chunk {
            Chunk::Gap(gap) => self.gap(*gap, handler),
            Chunk::Bytes { range, data } => {
                let end = usize::try_from(self.until.saturating_sub(range.start)).unwrap_or(usize::MAX);
                let data = data.get(..end.min(data.len())).unwrap_or_default();
                let mut taken = 0;
                while let Some(rest) = data.get(taken..).filter(|rest| !rest.is_empty()) {
                    if matches!(self.state, State::Switched) {
                        break;
                    }
                    taken += self.take(rest, range.start + taken as u64, handler);
                }
            }
        }
    }

    /// Ends the stream.
    pub fn finish(&mut self, handler: &mut dyn Handler) {
        self.cut_line(handler);
        if matches!(self.state, State::Literal(_)) {
            handler.literal_end(false);
        }
        self.state = State::Switched;
    }

    fn take(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        if let State::Literal(left) = &mut self.state {
            let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
            *left -= taken as u64;
            let done = *left == 0;
            handler.content(data.get(..taken).unwrap_or_default(), ByteRange::new(at, at + taken as u64));
            if done {
                handler.literal_end(true);
                self.state = State::Line { first: false };
            }
            return taken;
        }
        let mut lines = std::mem::take(&mut self.lines);
        let taken = lines.take(data, at, &mut |text| match text {
            Text::Line(bytes, range) => self.line(bytes, range, handler),
            Text::Part(bytes, range) => {
                handler.text(bytes, range);
                self.state = State::Line { first: true };
            }
        });
        self.lines = lines;
        taken
    }

    fn line(&mut self, bytes: &[u8], range: ByteRange, handler: &mut dyn Handler) {
        let first = match self.state {
            State::Challenged => {
                handler.answer(bytes, range);
                self.challenged();
                return;
            }
            State::Line { first } => first,
            State::Literal(_) | State::Switched => true,
        };
        let line = Line { bytes, range, first };
        let (tag, verb, _) = line.words();
        handler.line(line);
        if first {
            self.tag = tag.get(..MAX_TAG.min(tag.len())).unwrap_or_default().to_vec();
        }
        self.state = State::Line { first: true };
        if let Some((size, waits)) = literal(bytes) {
            let refused = waits
                && self.answers.as_mut().is_some_and(|answers| answers.goes_on(&self.tag) == Some(false));
            if !refused {
                handler.literal(range.end);
                self.state = if size == 0 { State::Line { first: false } } else { State::Literal(size) };
                if size == 0 {
                    handler.literal_end(true);
                }
            }
            return;
        }
        if self.answers.is_some() && first {
            self.command(verb, range);
        }
    }

    /// What a command of the client brings about.
    fn command(&mut self, verb: &[u8], range: ByteRange) {
        if verb.eq_ignore_ascii_case(b"AUTHENTICATE") || verb.eq_ignore_ascii_case(b"IDLE") {
            self.challenged();
            return;
        }
        let tls = verb.eq_ignore_ascii_case(b"STARTTLS");
        if !tls && !verb.eq_ignore_ascii_case(b"COMPRESS") {
            return;
        }
        let ended = self.answers.as_ref().and_then(|answers| answers.ended(&self.tag));
        if ended.is_none_or(|(ok, _)| ok) {
            self.switch = Some(Switch { client: range.end, server: ended.map(|(_, end)| end), tls });
            self.state = State::Switched;
        }
    }

    fn challenged(&mut self) {
        let goes_on = self.answers.as_mut().and_then(|answers| answers.goes_on(&self.tag));
        self.state = if goes_on == Some(true) { State::Challenged } else { State::Line { first: true } };
    }

    fn gap(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        match &mut self.state {
            State::Switched => {}
            State::Literal(left) if gap.len() < *left => {
                *left -= gap.len();
                handler.content_gap(gap);
            }
            State::Literal(left) => {
                let middle = gap.start + *left;
                handler.content_gap(ByteRange::new(gap.start, middle));
                handler.literal_end(true);
                self.state = State::Line { first: false };
                if middle < gap.end {
                    self.cut_line(handler);
                    handler.gap(ByteRange::new(middle, gap.end));
                }
            }
            State::Line { .. } | State::Challenged => {
                self.cut_line(handler);
                handler.gap(gap);
                self.state = State::Line { first: true };
            }
        }
    }

    fn cut_line(&mut self, handler: &mut dyn Handler) {
        self.lines.cut(&mut |text| {
            let (Text::Line(bytes, range) | Text::Part(bytes, range)) = text;
            handler.text(bytes, range);
        });
    }
}

/// The size of the literal that a line announces at its end, and whether the sender waits for the other end
/// (RFC 9051 section 4.3).
pub fn literal(line: &[u8]) -> Option<(u64, bool)> {
    let text = line.strip_suffix(b"\n")?;
    let text = text.strip_suffix(b"\r").unwrap_or(text).strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', text)?;
    let size = text.get(open + 1..)?;
    let (digits, waits) = match size.split_last() {
        Some((b'+' | b'-', digits)) => (digits, false),
        _ => (size, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, waits))
}

/// What part of a mail a FETCH response gives in the literal that its line announces: `BODY[HEADER]`, `RFC822`.
pub fn section(line: &[u8]) -> &[u8] {
    let open = memchr::memrchr(b'{', line).unwrap_or(line.len());
    let text = line.get(..open).unwrap_or_default().trim_ascii_end();
    let text = text.strip_suffix(b"~").unwrap_or(text).trim_ascii_end();
    let bracket = memchr::memrchr(b'[', text).unwrap_or(text.len());
    let start =
        text.iter().take(bracket).rposition(|byte| matches!(byte, b' ' | b'(')).map_or(0, |space| space + 1);
    text.get(start..).unwrap_or_default()
}

/// Whether that part begins with the head of a mail.
pub fn is_message(section: &[u8]) -> bool {
    let section = section.to_ascii_uppercase();
    let section = section.strip_suffix(b"<0>").unwrap_or(&section);
    let Some(inside) = section.strip_prefix(b"BODY[").and_then(|rest| rest.strip_suffix(b"]")) else {
        return section == b"RFC822" || section == b"RFC822.HEADER";
    };
    // `1.2.HEADER`: of a part.
    let numbers = inside.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let what = inside.get(numbers..).unwrap_or_default();
    inside.is_empty() || what.starts_with(b"HEADER") || what == b"MIME"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Told {
        lines: Vec<(bool, String)>,
        answers: Vec<Vec<u8>>,
        text: Vec<u8>,
        literals: Vec<(Vec<u8>, Option<bool>)>,
    }

    impl Handler for Told {
        fn line(&mut self, line: Line<'_>) {
            self.lines.push((line.first, String::from_utf8_lossy(line.bytes).trim_end().to_owned()));
        }

        fn answer(&mut self, bytes: &[u8], _: ByteRange) {
            self.answers.push(bytes.to_vec());
        }

        fn text(&mut self, bytes: &[u8], _: ByteRange) {
            self.text.extend_from_slice(bytes);
        }

        fn gap(&mut self, _: ByteRange) {}

        fn literal(&mut self, _: u64) {
            self.literals.push((Vec::new(), None));
        }

        fn content(&mut self, bytes: &[u8], _: ByteRange) {
            self.literals.last_mut().unwrap().0.extend_from_slice(bytes);
        }

        fn content_gap(&mut self, _: ByteRange) {}

        fn literal_end(&mut self, complete: bool) {
            self.literals.last_mut().unwrap().1 = Some(complete);
        }
    }

    fn told(mut parser: Parser, bytes: &[u8], size: usize) -> (Told, Option<Switch>) {
        let (mut told, mut at) = (Told::default(), 0);
        for data in bytes.chunks(size) {
            let range = ByteRange::new(at, at + data.len() as u64);
            parser.push(&Chunk::Bytes { range, data }, &mut told);
            at = range.end;
        }
        parser.finish(&mut told);
        (told, parser.switch())
    }

    fn answers(lines: &[&str]) -> Answers {
        let mut answers = Answers::default();
        for line in lines {
            let range = ByteRange::new(0, line.len() as u64);
            answers.push(Answer::of(line.as_bytes(), range).unwrap());
        }
        answers
    }

    /// The example of RFC 9051 section 6.3.12, with a literal that doesn't wait and one of no bytes.
    #[test]
    fn literals_stand_in_their_lines() {
        let client = b"A003 APPEND saved-messages (\\Seen) {7}\r\nSubject\r\nA4 LOGIN {3+}\r\nfoo {0+}\r\n\r\nA5 NOOP\r\n";
        for size in 1..client.len() {
            let (told, _) =
                told(Parser::client(true, answers(&["+ Ready\r\n", "A003 OK\r\n"])), client, size);
            let lines: Vec<&str> = told.lines.iter().map(|(_, line)| line.as_str()).collect();
            assert_eq!(
                lines,
                ["A003 APPEND saved-messages (\\Seen) {7}", "", "A4 LOGIN {3+}", " {0+}", "", "A5 NOOP"]
            );
            let all = |text: &[u8]| (text.to_vec(), Some(true));
            assert_eq!(told.literals, [all(b"Subject"), all(b"foo"), all(b"")]);
        }
    }

    #[test]
    fn a_literal_that_was_refused_is_not_there() {
        let client = b"a APPEND x {9}\r\nb NOOP\r\n";
        let (told, _) = told(Parser::client(true, answers(&["a NO full\r\n"])), client, 99);
        assert_eq!((told.lines.len(), told.literals.len()), (2, 0));
    }

    #[test]
    fn lines_after_a_challenge_are_no_commands() {
        let client = b"a AUTHENTICATE PLAIN\r\nAHUAcA==\r\nb IDLE\r\nDONE\r\nc NOOP\r\n";
        let known = answers(&["+ \r\n", "a OK\r\n", "+ idling\r\n", "b OK\r\n"]);
        let (told, _) = told(Parser::client(true, known), client, 5);
        assert_eq!(told.answers, [b"AHUAcA==\r\n".to_vec(), b"DONE\r\n".to_vec()]);
        assert_eq!(told.lines.len(), 3);
    }

    #[test]
    fn after_starttls_nothing_is_read() {
        let client = b"a STARTTLS\r\n\x16\x03";
        let switch = Switch { client: 12, server: Some(6), tls: true };
        assert_eq!(told(Parser::client(true, answers(&["a OK\r\n"])), client, 3).1, Some(switch));
        assert_eq!(told(Parser::client(true, answers(&["a NO\r\n"])), client, 3).1, None);
        assert!(told(Parser::client(true, answers(&[])), client, 3).1.is_some());
    }

    #[test]
    fn sections_that_are_mails() {
        for (line, wanted, message) in [
            (&b"* 1 FETCH (UID 10 BODY[HEADER] {666}\r\n"[..], &b"BODY[HEADER]"[..], true),
            (b"* 1 FETCH (BODY[] {6}\r\n", b"BODY[]", true),
            (b"* 1 FETCH (BODY[]<0> {6}\r\n", b"BODY[]<0>", true),
            (b"* 1 FETCH (BODY[]<20> {6}\r\n", b"BODY[]<20>", false),
            (b"* 1 FETCH (RFC822 {6}\r\n", b"RFC822", true),
            (b"* 1 FETCH (RFC822.TEXT {6}\r\n", b"RFC822.TEXT", false),
            (b"* 1 FETCH (BODY[HEADER.FIELDS (DATE FROM)] {6}\r\n", b"BODY[HEADER.FIELDS (DATE FROM)]", true),
            (b"* 1 FETCH (BODY[1.2] {6}\r\n", b"BODY[1.2]", false),
            (b"* 1 FETCH (BODY[1.MIME] {6}\r\n", b"BODY[1.MIME]", true),
        ] {
            assert_eq!(section(line), wanted);
            assert_eq!(is_message(wanted), message, "{}", String::from_utf8_lossy(wanted));
        }
        assert_eq!(literal(b"x {12}\r\n"), Some((12, true)));
        assert_eq!(literal(b"x {12-}\n"), Some((12, false)));
        assert_eq!(literal(b"x {}\r\n"), None);
        assert_eq!(literal(b"x {99999999999999999999}\r\n"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_told_the_same(bytes: Vec<u8>, size in 1..40usize) {
            let whole = told(Parser::client(true, Answers::default()), &bytes, usize::MAX);
            prop_assert_eq!(told(Parser::client(true, Answers::default()), &bytes, size), whole);
        }
    }
}
