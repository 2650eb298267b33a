//! Streams that are not understood: leaves as they stand.

use crate::{
    engine::net::stream::{Chunk, Stream},
    evidence::{ByteRange, Direction, Limits, ReadError},
};

use super::{
    Conversation,
    content::{Content, Declared},
    layers::{Bytes, Out, Stage},
    sink::{Keep, Place, Sink},
};

/// Writes bytes as leaves, one for each run without gap.
pub(super) struct Raw {
    op: &'static str,
    run: Option<(Content, u64)>,
    /// Whether no protocol gives meaning to the bytes, so that they may be content.
    unknown: bool,
    keep: Keep,
}

impl Default for Raw {
    fn default() -> Self {
        Self::new("stream")
    }
}

impl Raw {
    /// Leaves of this operation.
    pub(super) fn new(op: &'static str) -> Self {
        Self { op, run: None, unknown: false, keep: Keep::Search }
    }

    /// For bytes whose content comes again in other leaves.
    pub(super) fn digested() -> Self {
        Self { keep: Keep::Digest, ..Self::default() }
    }

    /// For bytes that belong to no protocol: what they are wrapped in is taken off.
    pub(super) fn unknown() -> Self {
        Self { unknown: true, ..Self::default() }
    }

    /// Adds bytes; those that do not follow the last ones start a new leaf.
    pub(super) fn write(&mut self, out: &mut Out<'_>, data: &[u8], range: ByteRange) {
        if self.run.as_ref().is_some_and(|(_, end)| *end != range.start) {
            self.close(out);
        }
        let (content, end) = self.run.get_or_insert_with(|| {
            let stage = Stage::new(self.op, None, range.start, self.keep);
            let content = Content::new(stage, Declared::default());
            (if self.unknown { content } else { content.unread() }, range.start)
        });
        *end = range.end;
        content.push(out, Bytes::wire(data, range), range.end);
    }

    /// Whether a leaf is open.
    pub(super) fn is_open(&self) -> bool {
        self.run.is_some()
    }

    /// Ends the leaf, if one is open.
    pub(super) fn close(&mut self, out: &mut Out<'_>) {
        if let Some((mut content, _)) = self.run.take() {
            content.finish(out);
        }
    }
}

/// Both directions of a TCP flow: a leaf for each run without gap.
pub(super) fn streams(
    conversation: &Conversation<'_>,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    for direction in [Direction::Up, Direction::Down] {
        stream(conversation.stream(direction), direction, limits, sink)?;
    }
    Ok(())
}

/// Both directions of a UDP flow: a leaf for each, of all payloads one after the other.
pub(super) fn datagrams(
    conversation: &Conversation<'_>,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    streams(conversation, limits, sink)
}

/// How much of what stands around disputed bytes comes along: a value or a run of a file may begin before them.
const AROUND: u64 = 4 << 10;

/// The other version of disputed bytes: leaves beside those of the first version. `last` holds the version that was
/// captured last, `disputed` is where it differs.
///
/// # Errors
/// When the capture can't be read.
pub fn disputed(
    last: &Stream,
    disputed: impl Iterator<Item = ByteRange>,
    direction: Direction,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let around = |range: ByteRange| ByteRange::new(range.start.saturating_sub(AROUND), range.end + AROUND);
    let mut out = Out::new(sink, last, direction, limits);
    let mut raw = Raw { unknown: true, ..Raw::new(super::LAST_VERSION) };
    let mut reader = last.reader();
    for wanted in ByteRange::unite(disputed.map(around)) {
        reader.skip_to(wanted.start);
        while reader.offset() < wanted.end {
            let Some(chunk) = reader.next_chunk()? else { break };
            let Chunk::Bytes { range, data } = chunk else { continue };
            let Some(part) = range.intersection(wanted) else { continue };
            let place = |at: u64| usize::try_from(at - range.start).unwrap_or(usize::MAX);
            raw.write(&mut out, data.get(place(part.start)..place(part.end)).unwrap_or_default(), part);
        }
    }
    raw.close(&mut out);
    Ok(())
}

fn stream(
    stream: &Stream,
    direction: Direction,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let mut out = Out::new(sink, stream, direction, limits);
    let mut raw = Raw::unknown();
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        match chunk {
            Chunk::Bytes { range, data } => {
                raw.write(&mut out, data, range);
                out.place(range, Place::Opaque);
            }
            Chunk::Gap(_) => raw.close(&mut out),
        }
    }
    raw.close(&mut out);
    Ok(())
}
