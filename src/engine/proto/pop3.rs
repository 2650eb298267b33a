//! POP3 (RFC 1939) with CAPA (RFC 2449), AUTH (RFC 5034) and STLS (RFC 2595): what a server answers, by the commands that
//! it answers.

use crate::{
    engine::{
        codec::{Dots, Part},
        net::stream::Chunk,
    },
    evidence::ByteRange,
};

use super::lines::{Lines, Text, split_word};

/// Commands of those specifications.
const VERBS: [&[u8]; 16] = [
    b"USER", b"PASS", b"APOP", b"STAT", b"LIST", b"RETR", b"DELE", b"NOOP", b"RSET", b"QUIT", b"TOP",
    b"UIDL", b"CAPA", b"AUTH", b"STLS", b"UTF8",
];

/// Lines of one client that are kept to pair them with answers, 32 bytes each; who fetches a hundred thousand mails over
/// one connection stays below it.
pub const MAX_COMMANDS: usize = 1 << 18;

/// Whether a word is a command, in any case.
pub fn is_verb(word: &[u8]) -> bool {
    VERBS.iter().any(|verb| verb.eq_ignore_ascii_case(word))
}

/// Whether a line is a status (RFC 1939 section 3) or a challenge (RFC 5034 section 4).
pub fn is_status(line: &[u8]) -> bool {
    status(line).is_some()
}

/// What a status line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ok,
    Error,
    Challenge,
}

fn status(line: &[u8]) -> Option<Status> {
    match split_word(line).0 {
        b"+OK" => Some(Status::Ok),
        b"-ERR" => Some(Status::Error),
        b"+" => Some(Status::Challenge),
        _ => None,
    }
}

/// What follows the status that accepts a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A mail, or its first lines, by its number.
    Message {
        /// RETR or TOP.
        verb: &'static str,
        /// The number of the mail, where it is one.
        number: Option<u32>,
    },
    /// Lines up to one of a single dot.
    List,
    /// TLS.
    Tls,
    /// Nothing.
    Other,
}

/// What the command of a line asks for.
pub fn asked(line: &[u8]) -> Asked {
    let (verb, argument) = split_word(line);
    let is = |wanted: &str| verb.eq_ignore_ascii_case(wanted.as_bytes());
    let mut words = argument.split(|byte| *byte == b' ');
    let number =
        words.next().and_then(|word| std::str::from_utf8(word).ok()).and_then(|word| word.parse().ok());
    let alone = argument.trim_ascii().is_empty();
    match () {
        () if is("RETR") => Asked::Message { verb: "RETR", number },
        () if is("TOP") => Asked::Message { verb: "TOP", number },
        () if is("CAPA") || (alone && (is("LIST") || is("UIDL") || is("AUTH"))) => Asked::List,
        () if is("STLS") => Asked::Tls,
        () => Asked::Other,
    }
}

/// A line of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it asks for, if it is a command.
    pub asked: Asked,
    /// One past its end.
    pub end: u64,
}

/// Takes what a [`Server`] finds, in the order of the stream.
pub trait Handler {
    /// A status line, or a challenge.
    fn status(&mut self, line: &[u8], range: ByteRange);

    /// Other bytes: lines of lists, or no whole lines.
    fn text(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes outside of mails that were not captured.
    fn gap(&mut self);

    /// A mail begins at `at`; by which command, and its number where that is known.
    fn message(&mut self, verb: &'static str, number: Option<u32>, at: u64);

    /// Bytes of the mail: content, or what transparency adds.
    fn content(&mut self, part: Part, bytes: &[u8], range: ByteRange);

    /// Bytes of the mail that were not captured.
    fn content_gap(&mut self, gap: ByteRange);

    /// The end of the mail; `complete` when its last line came.
    fn message_end(&mut self, complete: bool);
}

#[derive(Debug)]
enum State {
    Status,
    /// After a status whose command is not known: what comes next tells.
    Perhaps,
    List,
    Message(Dots),
    /// TLS from here on.
    Secured,
}

/// Parses what the server sends.
#[derive(Debug)]
pub struct Server {
    lines: Lines,
    state: State,
    /// Whether the next status answers no command.
    greets: bool,
    commands: Vec<Command>,
    /// How many of them were answered.
    answered: usize,
    /// Whether statuses are still paired with commands.
    paired: bool,
    /// Numbers of lines that answer challenges.
    sasl: Vec<usize>,
    secured: Option<(u64, u64)>,
}

impl Server {
    /// Begins at the start of a line, or anywhere. `commands` are the client's lines from the first on, if they are known;
    /// `greets`: the first status answers none.
    pub fn new(at_line: bool, greets: bool, commands: Option<Vec<Command>>) -> Self {
        Self {
            lines: Lines::new(at_line),
            state: State::Status,
            greets,
            paired: at_line && commands.is_some(),
            commands: commands.unwrap_or_default(),
            answered: 0,
            sasl: Vec::new(),
            secured: None,
        }
    }

    /// The client's and the server's byte where TLS starts.
    pub fn secured(&self) -> Option<(u64, u64)> {
        self.secured
    }

    /// Whether the client's line of this number, from 0, answers a challenge.
    pub fn is_answer(&self, number: usize) -> bool {
        self.sasl.binary_search(&number).is_ok()
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
        if let State::Message(dots) = &mut self.state {
            dots.end(&mut |part, bytes, range| handler.content(part, bytes, range));
            handler.message_end(false);
        }
        self.state = State::Secured;
    }

    fn take(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        if let State::Message(dots) = &mut self.state {
            let taken = dots.take(data, at, &mut |part, bytes, range| {
                if !bytes.is_empty() {
                    handler.content(part, bytes, range);
                }
            });
            if dots.is_done() {
                handler.message_end(true);
                self.state = State::Status;
            }
            return taken;
        }
        let mut lines = std::mem::take(&mut self.lines);
        let taken = lines.take(data, at, &mut |text| match text {
            Text::Line(bytes, range) => self.line(bytes, range, handler),
            Text::Part(bytes, range) => handler.text(bytes, range),
        });
        self.lines = lines;
        taken
    }

    fn line(&mut self, line: &[u8], range: ByteRange, handler: &mut dyn Handler) {
        match self.state {
            State::List => {
                handler.text(line, range);
                if matches!(line, b".\r\n" | b".\n") {
                    self.state = State::Status;
                }
                return;
            }
            State::Perhaps if !is_status(line) && is_field(line) => {
                handler.message("RETR", None, range.start);
                let mut dots = Dots::new();
                let mut taken = 0;
                while let Some(rest) = line.get(taken..).filter(|rest| !rest.is_empty()) {
                    taken += dots.take(rest, range.start + taken as u64, &mut |part, bytes, range| {
                        if !bytes.is_empty() {
                            handler.content(part, bytes, range);
                        }
                    });
                }
                self.state = State::Message(dots);
                return;
            }
            _ => {}
        }
        let Some(status) = status(line) else {
            // Not as the commands have it: which answer is whose is not known any more.
            handler.text(line, range);
            self.paired &= line.trim_ascii().is_empty();
            return;
        };
        handler.status(line, range);
        self.state = self.after(status, range.end, handler);
    }

    /// What follows a status that ends at `end`.
    fn after(&mut self, status: Status, end: u64, handler: &mut dyn Handler) -> State {
        if std::mem::take(&mut self.greets) {
            return State::Status;
        }
        let command = self.commands.get(self.answered).copied().filter(|_| self.paired);
        let Some(command) = command else {
            self.paired = false;
            return if status == Status::Ok { State::Perhaps } else { State::Status };
        };
        self.answered += 1;
        match (status, command.asked) {
            (Status::Challenge, _) => {
                // The next line of the client answers it, whatever it looks like.
                if let Some(answer) = self.commands.get_mut(self.answered) {
                    answer.asked = Asked::Other;
                }
                self.sasl.push(self.answered);
                State::Status
            }
            (Status::Error, _) | (Status::Ok, Asked::Other) => State::Status,
            (Status::Ok, Asked::List) => State::List,
            (Status::Ok, Asked::Message { verb, number }) => {
                handler.message(verb, number, end);
                State::Message(Dots::new())
            }
            (Status::Ok, Asked::Tls) => {
                self.secured = Some((command.end, end));
                State::Secured
            }
        }
    }

    fn gap(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        match &mut self.state {
            State::Secured => return,
            State::Message(dots) => {
                dots.gap(&mut |part, bytes, range| handler.content(part, bytes, range));
                handler.content_gap(gap);
            }
            _ => {
                self.cut_line(handler);
                handler.gap();
                self.state = State::Status;
            }
        }
        // Answers may be missing.
        (self.paired, self.greets) = (false, false);
    }

    fn cut_line(&mut self, handler: &mut dyn Handler) {
        self.lines.cut(&mut |text| {
            let (Text::Line(bytes, range) | Text::Part(bytes, range)) = text;
            handler.text(bytes, range);
        });
    }
}

/// Whether a line is a field of a mail's head (RFC 5322 section 2.2).
fn is_field(line: &[u8]) -> bool {
    let colon = memchr::memchr(b':', line).unwrap_or_default();
    colon > 0 && line.iter().take(colon).all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Mail = (&'static str, Option<u32>, Vec<u8>, Option<bool>);

    #[derive(Debug, Default, PartialEq)]
    struct Told {
        statuses: Vec<String>,
        text: Vec<u8>,
        mails: Vec<Mail>,
    }

    impl Handler for Told {
        fn status(&mut self, line: &[u8], _: ByteRange) {
            self.statuses.push(String::from_utf8_lossy(line).trim_end().to_owned());
        }

        fn text(&mut self, bytes: &[u8], _: ByteRange) {
            self.text.extend_from_slice(bytes);
        }

        fn gap(&mut self) {}

        fn message(&mut self, verb: &'static str, number: Option<u32>, _: u64) {
            self.mails.push((verb, number, Vec::new(), None));
        }

        fn content(&mut self, part: Part, bytes: &[u8], _: ByteRange) {
            if part == Part::Data {
                self.mails.last_mut().unwrap().2.extend_from_slice(bytes);
            }
        }

        fn content_gap(&mut self, _: ByteRange) {}

        fn message_end(&mut self, complete: bool) {
            self.mails.last_mut().unwrap().3 = Some(complete);
        }
    }

    fn commands(client: &[u8]) -> Vec<Command> {
        let mut end = 0;
        client
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| {
                end += line.len() as u64;
                Command { asked: asked(line), end }
            })
            .collect()
    }

    fn told(client: Option<&[u8]>, server: &[u8], size: usize) -> (Told, Server) {
        let mut parser = Server::new(true, true, client.map(commands));
        let (mut told, mut at) = (Told::default(), 0);
        for data in server.chunks(size) {
            let range = ByteRange::new(at, at + data.len() as u64);
            parser.push(&Chunk::Bytes { range, data }, &mut told);
            at = range.end;
        }
        parser.finish(&mut told);
        (told, parser)
    }

    /// The session of RFC 1939 section 10, with a mail that holds stuffed dots.
    const CLIENT: &[u8] =
        b"APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\nSTAT\r\nLIST\r\nretr 1\r\nTOP 2 1\r\nQUIT\r\n";
    const SERVER: &[u8] = b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n+OK mrose's maildrop has 2 messages (320 octets)\r\n\
        +OK 2 320\r\n+OK 2 messages (320 octets)\r\n1 120\r\n2 200\r\n.\r\n+OK 120 octets\r\nA: b\r\n\r\n..\r\n+OK not a status\r\n.\r\n\
        +OK\r\nC: d\r\n\r\n.\r\n+OK dewey POP3 server signing off (maildrop empty)\r\n";

    #[test]
    fn mails_go_from_a_status_to_the_dot() {
        for size in 1..SERVER.len() {
            let (told, _) = told(Some(CLIENT), SERVER, size);
            let first = ("RETR", Some(1), b"A: b\r\n\r\n.\r\n+OK not a status\r\n".to_vec(), Some(true));
            assert_eq!(told.mails, [first, ("TOP", Some(2), b"C: d\r\n\r\n".to_vec(), Some(true))]);
            assert_eq!((told.statuses.len(), &told.text[..]), (7, &b"1 120\r\n2 200\r\n.\r\n"[..]));
        }
    }

    #[test]
    fn without_the_commands_a_mail_is_told_by_its_head() {
        for size in [1, 7, 999] {
            let (told, _) = told(None, SERVER, size);
            assert_eq!(told.mails.iter().map(|mail| mail.2.len()).collect::<Vec<_>>(), [29, 8]);
            assert_eq!((told.mails[0].1, told.statuses.len()), (None, 7));
        }
    }

    #[test]
    fn a_refused_command_is_followed_by_nothing() {
        let (told, _) = told(Some(b"RETR 1\r\nNOOP\r\n"), b"+OK\r\n-ERR no\r\n+OK\r\n", 99);
        assert_eq!((told.mails.len(), told.statuses.len()), (0, 3));
    }

    #[test]
    fn tls_starts_after_the_status_that_allows_it() {
        let server = b"+OK\r\n+OK begin\r\n\x16\x03\x03";
        assert_eq!(told(Some(b"STLS\r\n\x16\x03\x01"), server, 3).1.secured(), Some((6, 16)));
        assert_eq!(told(Some(b"STLS\r\nQUIT\r\n"), b"+OK\r\n-ERR\r\n+OK\r\n", 3).1.secured(), None);
    }

    /// RFC 5034 section 6; an answer that looks like a command is none.
    #[test]
    fn lines_that_answer_challenges_are_no_commands() {
        let (told, parser) =
            told(Some(b"AUTH PLAIN\r\nSTLS\r\nRETR 1\r\n"), b"+OK\r\n+ \r\n+OK in\r\n+OK\r\nx\r\n.\r\n", 99);
        assert_eq!((parser.is_answer(0), parser.is_answer(1), parser.is_answer(2)), (false, true, false));
        assert_eq!((told.mails.len(), parser.secured()), (1, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_told_once(client: Vec<u8>, server: Vec<u8>, size in 1..40usize) {
            let whole = told(Some(&client), &server, usize::MAX).0;
            prop_assert_eq!(told(Some(&client), &server, size).0, whole);
        }
    }
}
