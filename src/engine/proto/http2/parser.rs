//! One direction of a connection, chunk by chunk.

use crate::{engine::net::stream::Chunk, evidence::ByteRange};

use super::frame::{HEADER_LEN, Header, Kind, PREFACE, starts_chain};

/// A header block with all its CONTINUATION frames. Servers refuse lists beyond 8 to 256 KiB; Huffman code does not
/// make them longer by more than the escapes of a few values.
pub(super) const MAX_BLOCK: usize = 1 << 20;

/// The payload of a frame that is neither DATA nor part of a header block. SETTINGS has 6 bytes a setting, GOAWAY
/// may hold a text.
const MAX_PAYLOAD: usize = 64 << 10;

/// What a direction starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The client's preface, then frames.
    Preface,
    /// Frames.
    Frames,
    /// Its start is missing: frames stand somewhere.
    Anywhere,
}

/// A header block, put together.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The stream it came on.
    pub stream: u32,
    /// The stream that it promises, of PUSH_PROMISE.
    pub promised: Option<u32>,
    /// Whether no more comes on the stream.
    pub end_stream: bool,
    /// The block, without padding and priority.
    pub fragment: &'a [u8],
    /// Where it stands, if it came in one frame.
    pub at: Option<u64>,
    /// Where a priority stands before it (RFC 7540 section 6.3), and the priority.
    pub priority: Option<(u64, [u8; 5])>,
    /// From the header of its first frame to the end of its last one.
    pub range: ByteRange,
    /// Whether nothing is missing of it.
    pub whole: bool,
}

/// Takes what a [`Parser`] finds, in the order of the stream.
pub trait Handler {
    /// Bytes beside the content of DATA, each once.
    fn framing(&mut self, bytes: &[u8], range: ByteRange);

    /// The preface stands here.
    fn preface(&mut self, range: ByteRange);

    /// A frame's header, which stands at `at`.
    fn frame(&mut self, header: &Header, at: u64);

    /// The content of DATA, without padding; the stream may end or have gaps inside it.
    fn data(&mut self, header: &Header, content: ByteRange);

    /// Padding, and whether it is all zeros as it must be (RFC 9113 section 6.1).
    fn padding(&mut self, range: ByteRange, zeros: bool);

    /// The payload of a frame that is neither DATA nor part of a header block.
    fn payload(&mut self, header: &Header, payload: &[u8], range: ByteRange);

    /// A header block.
    fn block(&mut self, block: &Block<'_>);

    /// Bytes are missing, and with them the place where the next frame starts.
    fn lost(&mut self, at: u64);

    /// Frames are found again from here.
    fn found(&mut self, at: u64);

    /// The stream breaks the grammar at `at`.
    fn malformed(&mut self, at: u64, why: String);

    /// More than a limit stated in this file.
    fn too_large(&mut self, at: u64, why: String);
}

#[derive(Clone, Copy, Debug)]
enum State {
    Preface,
    Header,
    /// The pad length of DATA, then its content.
    PadLength {
        header: Header,
        until: u64,
    },
    Padding {
        until: u64,
    },
    Payload {
        header: Header,
        until: u64,
        /// Whether it is kept, and nothing of it is missing.
        kept: bool,
    },
    /// Frames are looked for.
    Lost,
}

/// A header block while it is collected.
#[derive(Debug)]
struct Open {
    stream: u32,
    promised: Option<u32>,
    end_stream: bool,
    fragment: Vec<u8>,
    at: Option<u64>,
    priority: Option<(u64, [u8; 5])>,
    start: u64,
    whole: bool,
}

/// Parses one direction.
#[derive(Debug)]
pub struct Parser {
    state: State,
    /// The next byte that is wanted; those before it are stepped over.
    at: u64,
    /// The bytes before `at` that are not done with: of the preface, a header, a payload; when lost, of what is looked through.
    held: Vec<u8>,
    /// Where the frame being read starts.
    frame_at: u64,
    open: Option<Open>,
}

impl Parser {
    /// Begins at position 0.
    pub fn new(start: Start) -> Self {
        let state = match start {
            Start::Preface => State::Preface,
            Start::Frames => State::Header,
            Start::Anywhere => State::Lost,
        };
        Self { state, at: 0, held: Vec::new(), frame_at: 0, open: None }
    }

    /// The next byte that is wanted: what stands before it need not be pushed.
    pub fn wanted(&self) -> u64 {
        self.at
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &Chunk<'_>, handler: &mut dyn Handler) {
        match chunk {
            Chunk::Gap(gap) => self.gap(*gap, handler),
            Chunk::Bytes { range, data } => self.bytes(range.start, data, handler),
        }
    }

    /// Ends the stream.
    pub fn finish(&mut self, handler: &mut dyn Handler) {
        if matches!(self.state, State::Lost) {
            self.look(true, handler);
        }
        match self.state {
            State::Payload { header, .. } => self.interrupt(&header, handler),
            State::Padding { .. } => self.padding(handler),
            _ => {}
        }
        self.break_block(handler);
    }

    fn bytes(&mut self, start: u64, data: &[u8], handler: &mut dyn Handler) {
        loop {
            let skip = usize::try_from(self.at.saturating_sub(start)).unwrap_or(usize::MAX);
            let Some(rest) = data.get(skip..).filter(|rest| !rest.is_empty()) else { return };
            let taken = self.take(rest, handler);
            self.at += taken as u64;
            self.settle(handler);
        }
    }

    /// Takes bytes from the front of `data`, at least one; gives how many.
    fn take(&mut self, data: &[u8], handler: &mut dyn Handler) -> usize {
        let wanted = match self.state {
            State::Preface => PREFACE.len() - self.held.len().min(PREFACE.len()),
            State::Header => HEADER_LEN - self.held.len().min(HEADER_LEN),
            State::PadLength { .. } => 1,
            State::Padding { until } | State::Payload { until, .. } => {
                usize::try_from(until - self.at).unwrap_or(usize::MAX)
            }
            State::Lost => {
                self.held.extend_from_slice(data);
                return data.len();
            }
        };
        let bytes = data.get(..wanted.min(data.len())).unwrap_or_default();
        let range = ByteRange::new(self.at, self.at + bytes.len() as u64);
        handler.framing(bytes, range);
        match self.state {
            State::Payload { kept: false, .. } => {}
            _ => self.held.extend_from_slice(bytes),
        }
        bytes.len()
    }

    /// Goes on to the next state where the one at hand has all its bytes.
    fn settle(&mut self, handler: &mut dyn Handler) {
        match self.state {
            State::Preface if self.held.len() == PREFACE.len() => {
                let range = ByteRange::new(self.at - PREFACE.len() as u64, self.at);
                if self.held == PREFACE {
                    handler.preface(range);
                    return self.next_frame();
                }
                handler.malformed(range.start, "no connection preface where one must stand".to_owned());
                handler.lost(range.start);
                self.state = State::Lost;
            }
            State::Header => {
                if let Some(header) = self.held.first_chunk::<HEADER_LEN>() {
                    let header = Header::read(*header);
                    self.held.clear();
                    self.frame_at = self.at - HEADER_LEN as u64;
                    self.header(header, handler);
                }
            }
            State::PadLength { header, until } => {
                if let Some(&pad) = self.held.first() {
                    self.content(&header, until, u64::from(pad), handler);
                }
            }
            State::Padding { until } if self.at >= until => {
                self.padding(handler);
                self.next_frame();
            }
            State::Payload { header, until, kept } if self.at >= until => {
                self.payload(&header, kept, handler);
                self.next_frame();
            }
            State::Lost => self.look(false, handler),
            _ => {}
        }
    }

    fn next_frame(&mut self) {
        self.held.clear();
        self.state = State::Header;
    }

    fn header(&mut self, header: Header, handler: &mut dyn Handler) {
        if let Some(why) = header.broken() {
            handler.malformed(self.frame_at, format!("{}: {why}", header.kind.name()));
        }
        let continues = self.open.as_ref().map(|open| open.stream);
        let is_continuation = header.kind == Kind::Continuation;
        if let Some(stream) = continues
            && !(is_continuation && header.stream == stream)
        {
            let why = format!("{} inside a header block", header.kind.name());
            handler.malformed(self.frame_at, why);
            self.break_block(handler);
        } else if continues.is_none() && is_continuation {
            handler.malformed(self.frame_at, "CONTINUATION outside a header block".to_owned());
        }
        handler.frame(&header, self.frame_at);
        let until = self.at + u64::from(header.length);
        self.state = match header.kind {
            Kind::Data if header.padded() && header.length > 0 => State::PadLength { header, until },
            Kind::Data => return self.content(&header, until, 0, handler),
            _ => State::Payload { header, until, kept: self.keeps(&header, handler) },
        };
        self.settle(handler);
    }

    /// Whether the payload of this frame is read as a whole.
    fn keeps(&mut self, header: &Header, handler: &mut dyn Handler) -> bool {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let before = self.open.as_ref().map_or(0, |open| open.fragment.len());
        match header.kind {
            Kind::Other(_) => false,
            Kind::Headers | Kind::PushPromise | Kind::Continuation => {
                let fits = length <= MAX_BLOCK - before.min(MAX_BLOCK);
                if !fits {
                    handler.too_large(self.frame_at, "a header block of more than 1 MiB".to_owned());
                }
                fits
            }
            _ => length <= MAX_PAYLOAD,
        }
    }

    /// DATA, from its content on.
    fn content(&mut self, header: &Header, until: u64, pad: u64, handler: &mut dyn Handler) {
        let end = match until.checked_sub(pad).filter(|&end| end >= self.at) {
            Some(end) => end,
            None => {
                handler.malformed(self.frame_at, "DATA: the padding is longer than the frame".to_owned());
                until
            }
        };
        handler.data(header, ByteRange::new(self.at, end));
        self.at = end;
        self.held.clear();
        self.state = if end < until { State::Padding { until } } else { State::Header };
    }

    /// Gives the padding that is held: at once, since one byte decides for all of them.
    fn padding(&mut self, handler: &mut dyn Handler) {
        if !self.held.is_empty() {
            let range = ByteRange::new(self.at - self.held.len() as u64, self.at);
            handler.padding(range, self.held.iter().all(|&byte| byte == 0));
            self.held.clear();
        }
    }

    fn payload(&mut self, header: &Header, kept: bool, handler: &mut dyn Handler) {
        if kept {
            let payload = std::mem::take(&mut self.held);
            let start = self.at - u64::from(header.length);
            match header.kind {
                Kind::Headers | Kind::PushPromise => self.block(header, &payload, start, handler),
                Kind::Continuation => {
                    if let Some(open) = &mut self.open {
                        open.fragment.extend_from_slice(&payload);
                        open.at = None;
                    }
                }
                _ => handler.payload(header, &payload, ByteRange::new(start, self.at)),
            }
        } else {
            self.interrupt(header, handler);
        }
        if header.end_headers() {
            self.end_block(handler);
        }
    }

    /// A header block begins: its fragment stands between what the flags announce and the padding. Of the payload
    /// only the front may be there.
    fn block(&mut self, header: &Header, payload: &[u8], start: u64, handler: &mut dyn Handler) {
        let mut front = 0;
        let mut pad = 0;
        if header.padded() {
            pad = payload.first().map_or(0, |&pad| usize::from(pad));
            front += 1;
        }
        let mut priority = None;
        if header.has_priority() {
            let bytes = payload.get(front..).and_then(|rest| rest.first_chunk::<5>());
            priority = bytes.map(|bytes| (start + front as u64, *bytes));
            front += 5;
        }
        let mut promised = None;
        if header.kind == Kind::PushPromise {
            let id = payload.get(front..).and_then(|rest| rest.first_chunk::<4>());
            promised = id.map(|id| u32::from_be_bytes(*id) & 0x7fff_ffff);
            front += 4;
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let all_there = payload.len() == length;
        let end = length.saturating_sub(pad);
        let fragment = payload.get(front..end.min(payload.len()));
        if all_there && fragment.is_none() {
            let why = format!("{}: the payload is shorter than what it announces", header.kind.name());
            handler.malformed(self.frame_at, why);
        } else if let Some(padding) = payload.get(end..).filter(|padding| !padding.is_empty()) {
            let range = ByteRange::new(start + end as u64, start + length as u64);
            handler.padding(range, padding.iter().all(|&byte| byte == 0));
        }
        self.open = Some(Open {
            stream: header.stream,
            promised,
            end_stream: header.end_stream(),
            fragment: fragment.unwrap_or_default().to_vec(),
            at: (fragment.is_some() && all_there).then_some(start + front as u64),
            priority,
            start: self.frame_at,
            whole: fragment.is_some() && all_there,
        });
    }

    /// Of a payload only the front was read, or nothing: a header block is not whole.
    fn interrupt(&mut self, header: &Header, handler: &mut dyn Handler) {
        let front = std::mem::take(&mut self.held);
        match (header.kind, &mut self.open) {
            (Kind::Headers | Kind::PushPromise, _) => {
                let front = if front.len() as u64 == u64::from(header.length) { &[][..] } else { &front };
                self.block(header, front, self.frame_at + HEADER_LEN as u64, handler);
                if let Some(open) = &mut self.open {
                    open.whole = false;
                }
            }
            (Kind::Continuation, Some(open)) => {
                open.whole = false;
            }
            _ => {}
        }
    }

    /// Ends a header block that is not at its end.
    fn break_block(&mut self, handler: &mut dyn Handler) {
        if let Some(open) = &mut self.open {
            open.whole = false;
            self.end_block(handler);
        }
    }

    fn end_block(&mut self, handler: &mut dyn Handler) {
        if let Some(open) = self.open.take() {
            handler.block(&Block {
                stream: open.stream,
                promised: open.promised,
                end_stream: open.end_stream,
                fragment: &open.fragment,
                at: open.at,
                priority: open.priority,
                range: ByteRange::new(open.start, self.at),
                whole: open.whole,
            });
        }
    }

    fn gap(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        if gap.end <= self.at {
            // Inside the content of DATA.
            return;
        }
        match &mut self.state {
            State::Padding { until } if gap.end <= *until => {
                self.padding(handler);
                self.at = gap.end;
            }
            State::Payload { until, kept, .. } if gap.end <= *until => {
                *kept = false;
                self.at = gap.end;
            }
            State::Lost => {
                self.look(true, handler);
                if !matches!(self.state, State::Lost) {
                    // Found before the gap; lost again, unless the gap is inside a frame.
                    return self.gap(gap, handler);
                }
                self.held.clear();
                self.at = gap.end;
                return;
            }
            _ => return self.lose(gap, handler),
        }
        self.settle(handler);
    }

    /// The place where the next frame starts is missing.
    fn lose(&mut self, gap: ByteRange, handler: &mut dyn Handler) {
        match self.state {
            State::Payload { header, .. } => self.interrupt(&header, handler),
            State::Padding { .. } => self.padding(handler),
            _ => {}
        }
        self.break_block(handler);
        self.held.clear();
        self.at = gap.end;
        self.state = State::Lost;
        handler.lost(gap.start);
    }

    /// Looks for a chain of frames in what is held; `last` where a gap or the end comes next.
    fn look(&mut self, last: bool, handler: &mut dyn Handler) {
        let mut tried = 0;
        while let Some(rest) = self.held.get(tried..).filter(|rest| !rest.is_empty()) {
            match starts_chain(rest, last) {
                None => break,
                Some(false) => tried += 1,
                Some(true) => {
                    let held = std::mem::take(&mut self.held);
                    let rest = held.get(tried..).unwrap_or_default();
                    self.at -= rest.len() as u64;
                    self.state = State::Header;
                    handler.found(self.at);
                    return self.bytes(self.at, rest, handler);
                }
            }
        }
        self.held.drain(..tried);
    }
}
