//! One direction of a connection, chunk by chunk.

use crate::{
    engine::{
        codec::{Chunked, Part},
        net::stream::Chunk,
    },
    evidence::ByteRange,
};

use super::{
    Framing, Head, Probe,
    head::{head_end, probe},
    seek::{self, Found, Seek},
};

/// A head with all its fields: large cookies make 16 KiB, common servers refuse more than 64.
const MAX_HEAD: usize = 64 << 10;

/// Which messages a direction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Of the client.
    Requests,
    /// Of the server.
    Responses,
}

/// What comes after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another one, or nothing.
    Head,
    /// Another protocol, or another message after all: its first bytes tell.
    Perhaps,
    /// Another protocol.
    Switch,
}

/// Takes what a [`Parser`] finds, in the order of the stream.
pub trait Handler {
    /// A head; the answer frames its body.
    fn head(&mut self, head: &Head<'_>) -> Framing;

    /// Bytes of the body of the last head.
    fn body(&mut self, part: Part, bytes: &[u8], range: ByteRange);

    /// Bytes of the body that were not captured.
    fn body_gap(&mut self, gap: ByteRange);

    /// The end of the body; `complete` when it ended as framed (it may still have gaps).
    fn body_end(&mut self, complete: bool);

    /// The end of a message; the answer says what comes.
    fn message_end(&mut self) -> Next {
        Next::Head
    }

    /// Another protocol begins at `at`: of what follows nothing is told.
    fn switched(&mut self, at: u64) {
        let _ = at;
    }

    /// Bytes that belong to no message.
    fn raw(&mut self, bytes: &[u8], range: ByteRange);

    /// Bytes outside a body that were not captured.
    fn raw_gap(&mut self, gap: ByteRange);

    /// The stream breaks the grammar at `at`.
    fn malformed(&mut self, at: u64, why: String);
}

#[derive(Debug)]
enum State {
    /// A head must come. After an Upgrade or CONNECT (`soft`) it may be another protocol.
    Head {
        soft: bool,
    },
    /// Anything may come, a head among it.
    Seek(Seek),
    /// A line that looked like a start line was found while seeking; its head is collected.
    Found,
    Length(u64),
    Chunked(Chunked),
    Close,
    /// Another protocol until the end.
    Switched,
}

/// Parses one direction.
#[derive(Debug)]
pub struct Parser {
    role: Role,
    state: State,
    /// What may become a head, and where it starts.
    held: Vec<u8>,
    held_at: u64,
}

impl Parser {
    /// Begins with a stream that starts with a message, if `from_start`, or else anywhere.
    pub fn new(role: Role, from_start: bool) -> Self {
        let state = if from_start { State::Head { soft: false } } else { State::Seek(Seek::Line) };
        Self { role, state, held: Vec::new(), held_at: 0 }
    }

    /// Takes some of the bytes that stand at `at`, at least one of them; gives how many.
    pub fn step(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        self.take(data, at, handler)
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &Chunk<'_>, handler: &mut dyn Handler) {
        match chunk {
            Chunk::Gap(gap) => self.gap(*gap, handler),
            Chunk::Bytes { range, data } => {
                let mut taken = 0;
                while let Some(rest) = data.get(taken..).filter(|rest| !rest.is_empty()) {
                    taken += self.take(rest, range.start + taken as u64, handler);
                }
            }
        }
    }

    /// Ends the stream.
    pub fn finish(&mut self, handler: &mut dyn Handler) {
        if matches!(self.state, State::Head { .. } | State::Found) && !self.held.is_empty() {
            handler.malformed(self.held_at, "HTTP head: cut off".to_owned());
        }
        self.give_up_held(handler);
        self.end_body(matches!(self.state, State::Close), handler);
        self.state = State::Switched;
    }

    /// Whether another protocol goes on from here.
    pub fn is_switched(&self) -> bool {
        matches!(self.state, State::Switched)
    }

    /// Takes bytes from the front of `data` (never none).
    fn take(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        let range = |taken: usize| ByteRange::new(at, at + taken as u64);
        match &mut self.state {
            State::Head { .. } | State::Found => self.take_head(data, at, handler),
            State::Seek(seek) => {
                let seek = *seek;
                self.seek(seek, data, at, handler)
            }
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= taken as u64;
                let ended = *left == 0;
                handler.body(Part::Data, data.get(..taken).unwrap_or_default(), range(taken));
                if ended {
                    self.end(at + taken as u64, handler);
                }
                taken
            }
            State::Chunked(chunked) => match chunked.take(data) {
                Ok((taken, part)) => {
                    let ended = chunked.is_done();
                    handler.body(part, data.get(..taken).unwrap_or_default(), range(taken));
                    if ended {
                        self.end(at + taken as u64, handler);
                    }
                    taken
                }
                Err(damage) => {
                    handler.malformed(at, format!("chunked body: {damage}"));
                    self.end_body(false, handler);
                    self.state = State::Seek(Seek::Within);
                    0
                }
            },
            State::Close => {
                handler.body(Part::Data, data, range(data.len()));
                data.len()
            }
            State::Switched => data.len(),
        }
    }

    /// Ends a body at `at`.
    fn end(&mut self, at: u64, handler: &mut dyn Handler) {
        handler.body_end(true);
        self.next(at, handler);
    }

    /// A message ended at `at`.
    fn next(&mut self, at: u64, handler: &mut dyn Handler) {
        match handler.message_end() {
            Next::Head => self.state = State::Head { soft: false },
            Next::Perhaps => self.state = State::Head { soft: true },
            Next::Switch => self.switch(at, handler),
        }
    }

    fn switch(&mut self, at: u64, handler: &mut dyn Handler) {
        handler.switched(at);
        self.state = State::Switched;
    }

    /// Collects a head and gives it on; while nothing is held and the head is whole in `data`, without a copy.
    fn take_head(&mut self, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        if self.held.is_empty() {
            self.held_at = at;
            if probe(data, self.role) == Probe::Yes
                && let Some(end) = head_end(data, 0).filter(|end| *end <= MAX_HEAD)
            {
                self.parse(data.get(..end).unwrap_or_default(), at, handler);
                return end;
            }
        }
        let before = self.held.len();
        let room = (MAX_HEAD - before.min(MAX_HEAD)).min(data.len());
        self.held.extend_from_slice(data.get(..room).unwrap_or_default());
        if probe(&self.held, self.role) == Probe::No {
            return self.not_a_head(before, handler);
        }
        if let Some(end) = head_end(&self.held, before.saturating_sub(2)) {
            let mut head = std::mem::take(&mut self.held);
            head.truncate(end);
            self.parse(&head, self.held_at, handler);
            return end - before;
        }
        if self.held.len() >= MAX_HEAD {
            handler.malformed(self.held_at, "HTTP head: longer than 64 KiB".to_owned());
            self.give_up_held(handler);
            self.state = State::Seek(Seek::Within);
        }
        room
    }

    /// What is held is no head. Bytes of this chunk (after the first `before`) are given back.
    fn not_a_head(&mut self, before: usize, handler: &mut dyn Handler) -> usize {
        self.held.truncate(before);
        match self.state {
            // What is held of earlier chunks belongs to what comes.
            State::Head { soft: true } => {
                self.held.clear();
                self.switch(self.held_at, handler);
            }
            State::Head { soft: false } => {
                handler.malformed(self.held_at, "no HTTP head where one must stand".to_owned());
                self.state = State::Seek(Seek::Within);
            }
            _ => {
                self.state = State::Seek(Seek::Within);
                self.give_up_held(handler);
            }
        }
        0
    }

    fn parse(&mut self, bytes: &[u8], at: u64, handler: &mut dyn Handler) {
        let head = match Head::parse(bytes, at, self.role) {
            Ok(head) => head,
            Err(why) => {
                handler.malformed(at, why);
                handler.raw(bytes, ByteRange::new(at, at + bytes.len() as u64));
                self.state = State::Seek(Seek::Line);
                return;
            }
        };
        let end = at + bytes.len() as u64;
        self.state = match handler.head(&head) {
            Framing::None => return self.next(end, handler),
            Framing::Tunnel => return self.switch(end, handler),
            Framing::Length(0) => return self.end(end, handler),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::UntilClose => State::Close,
            Framing::Unknown => State::Seek(Seek::Line),
        };
    }

    /// Gives bytes up to the next place where a head may start as raw.
    fn seek(&mut self, seek: Seek, data: &[u8], at: u64, handler: &mut dyn Handler) -> usize {
        let mut held = std::mem::take(&mut self.held);
        let before = held.len();
        let taken = MAX_HEAD.saturating_sub(before).min(data.len());
        // What is held is looked at again with what follows, as if it had come at once.
        let (bytes, start) = if before == 0 {
            (data, at)
        } else {
            held.extend_from_slice(data.get(..taken).unwrap_or_default());
            (held.as_slice(), self.held_at)
        };
        let taken = bytes.len() - before;
        let (place, found) = seek::find(bytes, self.role, seek);
        let raw = bytes.get(..place).unwrap_or_default();
        if !raw.is_empty() {
            handler.raw(raw, ByteRange::new(start, start + place as u64));
        }
        self.held_at = start + place as u64;
        match found {
            Found::Start => {
                self.state = State::Found;
                // Of the bytes of this chunk none is kept that is held.
                self.held = bytes.get(place..before).unwrap_or_default().to_vec();
                place.saturating_sub(before)
            }
            Found::Perhaps(seek) => {
                self.state = State::Seek(seek);
                self.held = bytes.get(place..).unwrap_or_default().to_vec();
                taken
            }
            Found::Nothing(seek) => {
                self.state = State::Seek(seek);
                taken
            }
        }
    }

    fn give_up_held(&mut self, handler: &mut dyn Handler) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            handler.raw(&held, ByteRange::new(self.held_at, self.held_at + held.len() as u64));
        }
    }

    fn end_body(&mut self, complete: bool, handler: &mut dyn Handler) {
        if matches!(self.state, State::Length(_) | State::Chunked(_) | State::Close) {
            handler.body_end(complete);
        }
    }

    fn gap(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        let inside = match &mut self.state {
            State::Length(left) if gap.len() <= *left => {
                *left -= gap.len();
                true
            }
            State::Chunked(chunked) => chunked.skip(gap.len()),
            State::Close => true,
            _ => false,
        };
        if inside {
            handler.body_gap(gap);
            if matches!(self.state, State::Length(0)) {
                self.end(gap.end, handler);
            }
            return;
        }
        if self.is_switched() {
            return;
        }
        self.give_up_held(handler);
        self.end_body(false, handler);
        handler.raw_gap(gap);
        self.state = State::Seek(Seek::Line);
    }
}
