//! SMTP (RFC 5321) with pipelining (RFC 2920), chunks (RFC 3030), AUTH (RFC 4954) and STARTTLS (RFC 3207), as the
//! client sends it; LMTP (RFC 2033) too.

use crate::{
    engine::{
        codec::{Dots, Part},
        net::stream::Chunk,
    },
    evidence::ByteRange,
};

use super::{
    lines::{Lines, Text, split_word},
    replies::{Replies, Reply},
};

/// Commands of RFC 5321 and its extensions.
const VERBS: [&[u8]; 17] = [
    b"EHLO",
    b"HELO",
    b"LHLO",
    b"MAIL",
    b"RCPT",
    b"DATA",
    b"BDAT",
    b"RSET",
    b"NOOP",
    b"QUIT",
    b"VRFY",
    b"EXPN",
    b"HELP",
    b"AUTH",
    b"STARTTLS",
    b"ETRN",
    b"TURN",
];

/// Whether a word is a command of SMTP, in any case.
pub fn is_verb(word: &[u8]) -> bool {
    VERBS.iter().any(|verb| verb.eq_ignore_ascii_case(word))
}

/// Whether a line can only be the first of a client: it greets.
pub fn greets(line: &[u8]) -> bool {
    let (verb, _) = split_word(line);
    [&b"EHLO"[..], b"HELO", b"LHLO"].iter().any(|known| known.eq_ignore_ascii_case(verb))
}

/// How a message is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriage {
    /// Lines up to one of a single dot.
    Data,
    /// Chunks of announced length.
    Bdat,
}

/// A command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// The first word.
    pub verb: &'a [u8],
    /// What follows it.
    pub argument: &'a [u8],
    /// The whole line.
    pub line: &'a [u8],
    /// Where it stands.
    pub range: ByteRange,
}

impl<'a> Command<'a> {
    /// Splits a line.
    pub fn of(line: &'a [u8], range: ByteRange) -> Self {
        let (verb, argument) = split_word(line);
        Self { verb, argument, line, range }
    }

    /// Whether it is this command, in any case.
    pub fn is(&self, verb: &str) -> bool {
        self.verb.eq_ignore_ascii_case(verb.as_bytes())
    }
}

/// Takes what a [`Client`] finds, in the order of the stream.
pub trait Handler {
    /// A command.
    fn command(&mut self, command: &Command<'_>);

    /// A line of an AUTH exchange.
    fn sasl(&mut self, line: &[u8], range: ByteRange);

    /// Bytes that are no whole line.
    fn text(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes between commands that were not captured.
    fn gap(&mut self, gap: ByteRange);

    /// A message begins at `at`.
    fn message(&mut self, carriage: Carriage, at: u64);

    /// Bytes of the message: content, or what transparency adds.
    fn content(&mut self, part: Part, bytes: &[u8], range: ByteRange);

    /// Bytes of the message that were not captured.
    fn content_gap(&mut self, gap: ByteRange);

    /// The end of the message; `complete` when it ended as it was framed.
    fn message_end(&mut self, complete: bool);
}

#[derive(Debug)]
enum State {
    Command,
    /// The next line answers a challenge.
    Sasl,
    Data(Dots),
    Chunk {
        left: u64,
        last: bool,
    },
    /// TLS from here on, if the bytes of the server agree.
    Secured,
}

/// Parses what the client sends, with the server's replies at hand: they tell whether a message or TLS follows.
#[derive(Debug)]
pub struct Client {
    lines: Lines,
    state: State,
    replies: Replies,
    /// Chunks of a message have come, the last has not.
    chunks: bool,
    /// Recipients that were accepted, each of which LMTP answers for.
    recipients: u32,
    lmtp: bool,
    secured: Option<(u64, Option<Reply>)>,
}

impl Client {
    /// Begins at the start of a line, or anywhere. `replies` are those that the server gives from there on.
    pub fn new(at_line: bool, mut replies: Replies) -> Self {
        // The greeting answers nothing; after STARTTLS there is none.
        let _ = replies.take_if(|code| code == 220 || code == 554 || code == 421);
        Self {
            lines: Lines::new(at_line),
            state: State::Command,
            replies,
            chunks: false,
            recipients: 0,
            lmtp: false,
            secured: None,
        }
    }

    /// Where TLS starts: the client's byte, and the reply that allows it where that is known.
    pub fn secured(&self) -> Option<(u64, Option<Reply>)> {
        self.secured
    }

    /// Takes the next chunk of the stream, up to where TLS starts.
    pub fn push(&mut self, chunk: &Chunk<'_>, handler: &mut dyn Handler) {
        match chunk {
            Chunk::Gap(gap) => self.gap(*gap, handler),
            Chunk::Bytes { range, data } => {
                let mut taken = 0;
                while let Some(rest) = data.get(taken..).filter(|rest| !rest.is_empty()) {
                    if matches!(self.state, State::Secured) {
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
        if let State::Data(dots) = &mut self.state {
            dots.end(&mut |part, bytes, range| handler.content(part, bytes, range));
        }
        if self.chunks || matches!(self.state, State::Data(_)) {
            handler.message_end(false);
        }
        self.chunks = false;
        self.state = State::Command;
    }

    fn take(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        match &mut self.state {
            State::Secured => data.len(),
            State::Command | State::Sasl => {
                let mut line = None;
                let mut lines = std::mem::take(&mut self.lines);
                let taken = lines.take(data, at, &mut |text| match text {
                    Text::Line(bytes, range) => line = Some(self.line(bytes, range, handler)),
                    Text::Part(bytes, range) => handler.text(bytes, range),
                });
                self.lines = lines;
                if let Some(state) = line {
                    self.state = state;
                }
                taken
            }
            State::Data(dots) => {
                let taken = dots.take(data, at, &mut |part, bytes, range| {
                    if !bytes.is_empty() {
                        handler.content(part, bytes, range);
                    }
                });
                if dots.is_done() {
                    handler.message_end(true);
                    self.answered();
                    self.state = State::Command;
                }
                taken
            }
            State::Chunk { left, last } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= taken as u64;
                let (done, last) = (*left == 0, *last);
                let range = ByteRange::new(at, at + taken as u64);
                handler.content(Part::Data, data.get(..taken).unwrap_or_default(), range);
                if done {
                    self.end_chunk(last, handler);
                }
                taken
            }
        }
    }

    /// Takes one whole line; says what follows it.
    fn line(&mut self, line: &[u8], range: ByteRange, handler: &mut dyn Handler) -> State {
        if matches!(self.state, State::Sasl) {
            handler.sasl(line, range);
            return self.challenged();
        }
        let command = Command::of(line, range);
        if self.chunks && ["MAIL", "RSET", "QUIT", "EHLO"].iter().any(|verb| command.is(verb)) {
            handler.message_end(false);
            self.chunks = false;
        }
        handler.command(&command);
        if command.is("AUTH") {
            return self.challenged();
        }
        let chunk = if command.is("BDAT") { chunk(command.argument) } else { None };
        let reply = self.replies.take();
        let accepted = reply.is_none_or(|reply| (200..300).contains(&reply.code));
        if command.is("DATA") && reply.is_none_or(|reply| reply.code == 354) {
            handler.message(Carriage::Data, range.end);
            return State::Data(Dots::new());
        }
        if let Some((left, last)) = chunk {
            if !self.chunks {
                handler.message(Carriage::Bdat, range.end);
            }
            self.chunks = true;
            if left == 0 {
                self.end_chunk(last, handler);
                return State::Command;
            }
            return State::Chunk { left, last };
        }
        if command.is("STARTTLS") && accepted {
            self.secured = Some((range.end, reply));
            return State::Secured;
        }
        self.lmtp |= command.is("LHLO");
        if command.is("RCPT") && accepted {
            self.recipients = self.recipients.saturating_add(1);
        } else if command.is("MAIL") || command.is("RSET") {
            self.recipients = 0;
        }
        State::Command
    }

    /// What follows a command or line that AUTH may go on after.
    fn challenged(&mut self) -> State {
        match self.replies.take() {
            Some(Reply { code: 334, .. }) => State::Sasl,
            _ => State::Command,
        }
    }

    /// A message was sent by DATA: the server answers once, in LMTP once for each recipient.
    fn answered(&mut self) {
        let replies = if self.lmtp { self.recipients } else { 1 };
        for _ in 0..replies {
            if self.replies.take().is_none() {
                break;
            }
        }
    }

    fn end_chunk(&mut self, last: bool, handler: &mut dyn Handler) {
        self.state = State::Command;
        if last {
            self.chunks = false;
            handler.message_end(true);
        }
    }

    fn gap(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        match &mut self.state {
            State::Secured => return,
            State::Command | State::Sasl => {
                self.cut_line(handler);
                handler.gap(gap);
                self.state = State::Command;
            }
            State::Data(dots) => {
                dots.gap(&mut |part, bytes, range| handler.content(part, bytes, range));
                handler.content_gap(gap);
            }
            State::Chunk { left, .. } if gap.len() < *left => {
                *left -= gap.len();
                handler.content_gap(gap);
            }
            State::Chunk { left, last } => {
                let (inside, last) = (*left, *last);
                let middle = gap.start + inside;
                handler.content_gap(ByteRange::new(gap.start, middle));
                self.end_chunk(last, handler);
                if middle < gap.end {
                    self.lines.cut(&mut |_| {});
                    handler.gap(ByteRange::new(middle, gap.end));
                }
            }
        }
        // Commands may be missing: which reply answers which is not known any more.
        self.replies.forget();
    }

    fn cut_line(&mut self, handler: &mut dyn Handler) {
        self.lines.cut(&mut |text| {
            let (Text::Line(bytes, range) | Text::Part(bytes, range)) = text;
            handler.text(bytes, range);
        });
    }
}

/// The size of a chunk, and whether it is the last (RFC 3030 section 2).
pub fn chunk(argument: &[u8]) -> Option<(u64, bool)> {
    let text = std::str::from_utf8(argument).ok()?;
    let mut words = text.split_ascii_whitespace();
    let size = words.next().filter(|size| size.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
    Some((size, words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Told {
        commands: Vec<String>,
        sasl: Vec<Vec<u8>>,
        text: Vec<u8>,
        messages: Vec<(Carriage, Vec<u8>, Option<bool>)>,
    }

    impl Handler for Told {
        fn command(&mut self, command: &Command<'_>) {
            self.commands.push(String::from_utf8_lossy(command.verb).to_ascii_uppercase());
        }

        fn sasl(&mut self, line: &[u8], _: ByteRange) {
            self.sasl.push(line.to_vec());
        }

        fn text(&mut self, bytes: &[u8], _: ByteRange) {
            self.text.extend_from_slice(bytes);
        }

        fn gap(&mut self, _: ByteRange) {}

        fn message(&mut self, carriage: Carriage, _: u64) {
            self.messages.push((carriage, Vec::new(), None));
        }

        fn content(&mut self, part: Part, bytes: &[u8], _: ByteRange) {
            if part == Part::Data {
                self.messages.last_mut().unwrap().1.extend_from_slice(bytes);
            }
        }

        fn content_gap(&mut self, _: ByteRange) {}

        fn message_end(&mut self, complete: bool) {
            self.messages.last_mut().unwrap().2 = Some(complete);
        }
    }

    fn told(client: &[u8], codes: &[u16], size: usize) -> (Told, Option<u64>) {
        let mut replies = Replies::default();
        for &code in codes {
            replies.push(Reply { code, range: ByteRange::new(0, 0) });
        }
        let (mut parser, mut told) = (Client::new(true, replies), Told::default());
        let mut at = 0;
        for data in client.chunks(size) {
            let range = ByteRange::new(at, at + data.len() as u64);
            parser.push(&Chunk::Bytes { range, data }, &mut told);
            at = range.end;
        }
        parser.finish(&mut told);
        (told, parser.secured().map(|(at, _)| at))
    }

    /// RFC 5321 appendix D.1, with the pipelining of RFC 2920 section 3.1.
    const MAIL: &[u8] = b"EHLO bar.com\r\nMAIL FROM:<Smith@bar.com>\r\nRCPT TO:<Jones@foo.com>\r\nRCPT TO:<Green@foo.com>\r\n\
        DATA\r\nBlah blah blah...\r\n..etc. etc. etc.\r\n.\r\nQUIT\r\n";

    #[test]
    fn a_message_goes_from_data_to_the_dot() {
        for size in 1..MAIL.len() {
            for codes in [&[][..], &[220, 250, 250, 250, 550, 354, 250, 221]] {
                let (told, _) = told(MAIL, codes, size);
                assert_eq!(told.commands, ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]);
                let content = b"Blah blah blah...\r\n.etc. etc. etc.\r\n".to_vec();
                assert_eq!(told.messages, [(Carriage::Data, content, Some(true))]);
            }
        }
    }

    #[test]
    fn data_that_was_refused_is_no_message() {
        let (told, _) = told(b"HELO a\r\nDATA\r\nQUIT\r\n", &[220, 250, 503, 221], 99);
        assert_eq!((told.commands.len(), told.messages.len()), (3, 0));
    }

    #[test]
    fn chunks_are_one_message_and_may_hold_anything() {
        let client = b"EHLO a\r\nBDAT 3\r\nQUIBDAT 6 LAST\r\nT\r\n.\r\nMAIL FROM:<b>\r\nBDAT 2\r\nxxRSET\r\n";
        for size in 1..client.len() {
            let (told, _) = told(client, &[], size);
            assert_eq!(told.commands, ["EHLO", "BDAT", "BDAT", "MAIL", "BDAT", "RSET"]);
            let first = (Carriage::Bdat, b"QUIT\r\n.\r\n".to_vec(), Some(true));
            assert_eq!(told.messages, [first, (Carriage::Bdat, b"xx".to_vec(), Some(false))]);
        }
    }

    #[test]
    fn lines_that_answer_challenges_are_no_commands() {
        let (told, _) =
            told(b"EHLO a\r\nAUTH LOGIN\r\nUVVJVA==\r\nQUIT\r\nNOOP\r\n", &[220, 250, 334, 334, 235], 99);
        assert_eq!(told.commands, ["EHLO", "AUTH", "NOOP"]);
        assert_eq!(told.sasl, [b"UVVJVA==\r\n".to_vec(), b"QUIT\r\n".to_vec()]);
    }

    #[test]
    fn after_starttls_nothing_is_read_unless_it_was_refused() {
        let client = b"EHLO a\r\nSTARTTLS\r\n\x16\x03\x01";
        assert_eq!(told(client, &[220, 250, 220], 99).1, Some(18));
        assert_eq!(told(client, &[], 2).1, Some(18));
        assert_eq!(told(client, &[220, 250, 454], 99).1, None);
    }

    #[test]
    fn lmtp_answers_for_each_recipient() {
        let client = b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\nDATA\r\n.\r\nDATA\r\nQUIT\r\n";
        let (told, _) = told(client, &[220, 250, 250, 250, 250, 354, 250, 250, 503, 221], 99);
        assert_eq!(told.commands.len(), 7);
        assert_eq!(told.messages.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_told_once(client: Vec<u8>, codes: Vec<u16>, size in 1..40usize) {
            let whole = told(&client, &codes, usize::MAX);
            prop_assert_eq!(told(&client, &codes, size), whole);
        }
    }
}
