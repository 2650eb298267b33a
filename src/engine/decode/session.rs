//! What sessions in lines of text have in common: lines of a direction, a server's replies, words that are understood.

use std::ops::Range;

use crate::{
    engine::{
        net::stream::{Chunk, Stream},
        proto::{
            lines::{Lines, Text, reply_code},
            replies::{Joiner, Replies},
        },
    },
    evidence::{ByteRange, Direction, ReadError},
};

use super::{
    Context, Conversation, heads,
    layers::{Bytes, Out},
    opening::Opening,
    raw::Raw,
    sink::{Message, Place, Sink, TransactionId},
};

/// What comes next in a direction of lines.
pub(super) enum Item<'a> {
    /// A whole line with its end.
    Line(&'a [u8], ByteRange),
    /// Bytes of no whole line.
    Part(&'a [u8], ByteRange),
    /// Bytes are missing.
    Gap,
}

/// Gives the lines of a stream up to `until`, as long as `take` wants more. `at_line`: the first byte begins a line.
pub(super) fn lines(
    stream: &Stream,
    at_line: bool,
    until: Option<u64>,
    take: &mut dyn FnMut(Item<'_>) -> bool,
) -> Result<(), ReadError> {
    let mut lines = Lines::new(at_line);
    let mut goes_on = true;
    let until = until.unwrap_or(u64::MAX);
    let mut reader = stream.reader();
    while goes_on && let Some(chunk) = reader.next_chunk()? {
        match chunk {
            Chunk::Gap(_) => {
                lines.cut(&mut |text| goes_on &= take(item(text)));
                goes_on = goes_on && take(Item::Gap);
            }
            Chunk::Bytes { range, data } => {
                let end = usize::try_from(until.saturating_sub(range.start)).unwrap_or(usize::MAX);
                let data = data.get(..end.min(data.len())).unwrap_or_default();
                let mut taken = 0;
                while let Some(rest) = data.get(taken..).filter(|rest| goes_on && !rest.is_empty()) {
                    taken +=
                        lines.take(rest, range.start + taken as u64, &mut |text| goes_on &= take(item(text)));
                }
            }
        }
    }
    if goes_on {
        lines.cut(&mut |text| {
            take(item(text));
        });
    }
    Ok(())
}

/// Whether a stream begins with a line: its start was captured, or the first line says so.
pub(super) fn begins_line(stream: &Stream, is_line: &dyn Fn(&[u8]) -> bool) -> Result<bool, ReadError> {
    if stream.from_start {
        return Ok(true);
    }
    Ok(Opening::of(stream)?.line().is_some_and(is_line))
}

fn item(text: Text<'_>) -> Item<'_> {
    match text {
        Text::Line(bytes, range) => Item::Line(bytes, range),
        Text::Part(bytes, range) => Item::Part(bytes, range),
    }
}

/// A server's replies, up to the first gap or line that is none.
pub(super) fn replies(stream: &Stream) -> Result<Replies, ReadError> {
    let (mut replies, mut joiner) = (Replies::default(), Joiner::default());
    if !stream.from_start {
        return Ok(replies);
    }
    lines(stream, true, None, &mut |item| match item {
        Item::Line(line, range) => match joiner.line(line, range) {
            Some(Ok(reply)) => replies.push(reply),
            Some(Err(())) => false,
            None => true,
        },
        Item::Part(..) | Item::Gap => false,
    })?;
    Ok(replies)
}

/// What a server says in lines that begin with a number, up to `until`: one leaf, of which the numbers are understood.
pub(super) fn answers(
    conversation: &Conversation<'_>,
    server: Direction,
    until: Option<u64>,
    context: &Context<'_>,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let stream = conversation.stream(server);
    let mut out = Out::new(sink, stream, server, context.limits);
    let mut raw = Raw::new("replies");
    let at_line = begins_line(stream, &|line| reply_code(line).is_some())?;
    lines(stream, at_line, until, &mut |item| {
        match item {
            Item::Line(line, range) => {
                raw.write(&mut out, line, range);
                if reply_code(line).is_some() {
                    out.place(ByteRange::new(range.start, range.start + 4), Place::Understood);
                }
            }
            Item::Part(bytes, range) => raw.write(&mut out, bytes, range),
            Item::Gap => raw.close(&mut out),
        }
        true
    })?;
    raw.close(&mut out);
    Ok(())
}

/// Says of a command line that its word at `word` is understood, with its space and the end of the line.
pub(super) fn understood(out: &mut Out<'_>, line: Bytes<'_>, word: &Range<usize>) {
    let space = usize::from(line.data.get(word.end) == Some(&b' '));
    out.place(line.part(word.start..word.end + space).from, Place::Understood);
    let text = line.data.strip_suffix(b"\n").unwrap_or(line.data);
    let text = text.strip_suffix(b"\r").unwrap_or(text).len();
    out.place(line.part(text..line.data.len()).from, Place::Understood);
}

/// Tells the sink of a command or of what it carries.
pub(super) fn tell(
    out: &mut Out<'_>,
    protocol: &'static str,
    transaction: TransactionId,
    at: u64,
    (kind, name): (&[u8], &[u8]),
) {
    let (kind, name) = (String::from_utf8_lossy(kind).into_owned(), name.to_vec());
    let frame = out.frame(at);
    out.sink.message(&Message { transaction, protocol, direction: out.direction, frame, kind, name });
}

/// A line or word of an authentication exchange, which is base64: what it stands for is a leaf.
pub(super) fn credentials(out: &mut Out<'_>, text: &[u8], at: u64) {
    let text = text.trim_ascii_end();
    let range = ByteRange::new(at, at + text.len() as u64);
    heads::credentials(out, "sasl", Bytes::wire(text, range));
}
