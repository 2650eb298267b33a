//! The body of one HTTP message: its wire bytes, what its framing adds, and its content.

use crate::{
    engine::{
        codec::{Chunked, Part},
        net::stream::{Chunk, Piece, Stream},
        proto::http1::{Framing, Head, tokens},
    },
    evidence::{ByteRange, ReadError},
};

use super::{
    content::{Content, Declared, Ended},
    layers::{Bytes, Out, Stage},
    sink::{Keep, Place},
};

/// Fields that say how the messages in a body are compressed: of gRPC, and of Connect.
pub(super) const MESSAGE_CODINGS: [&str; 2] = ["grpc-encoding", "connect-content-encoding"];

/// A body while it streams by.
pub(super) struct Body {
    /// What the root of its layers is called.
    op: &'static str,
    /// The chunked wire bytes and what frames them.
    chunked: Option<(Stage, Stage)>,
    content: Content,
    range: ByteRange,
    gapped: bool,
    /// Whether it is made of bodies that were searched.
    joined: bool,
}

/// What is known of a body at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    /// Where it stood.
    pub(super) range: ByteRange,
    /// Whether bytes are missing inside.
    pub(super) gapped: bool,
    /// The coding that its content is in and that goes on beyond its end.
    pub(super) torn: Option<&'static str>,
}

impl Body {
    pub(super) fn new(head: &Head<'_>, framing: Framing) -> Self {
        let start = head.range().end;
        let declared = Declared { again: true, ..declared(head) };
        let chunked = framing == Framing::Chunked;
        let stage = |op, at, keep| Stage::new(op, None, at, keep);
        let op = "http1.body";
        let content = if chunked { stage("chunked", 0, Keep::Search) } else { root(op, start) };
        Self {
            op,
            chunked: chunked.then(|| {
                let wire = stage("http1.body", start, Keep::Digest);
                (wire, stage("chunked.framing", 0, Keep::Search))
            }),
            content: Content::new(content, declared),
            range: ByteRange::new(start, start),
            gapped: false,
            joined: false,
        }
    }

    /// A body that is a whole stream of its own, without framing; its root is called `op`.
    pub(super) fn whole(op: &'static str, declared: Declared) -> Self {
        let content = Content::new(root(op, 0), Declared { again: true, ..declared });
        Self { op, chunked: None, content, range: ByteRange::new(0, 0), gapped: false, joined: false }
    }

    /// A body that was put together from others, each of which was searched: its own bytes are digested.
    pub(super) fn joined(op: &'static str, declared: Declared) -> Self {
        let stage = Stage::new(op, None, 0, Keep::Digest);
        let content = Content::new(stage, Declared { again: false, ..declared });
        Self { op, chunked: None, content, range: ByteRange::new(0, 0), gapped: false, joined: true }
    }

    pub(super) fn push(&mut self, out: &mut Out<'_>, part: Part, data: &[u8], range: ByteRange) {
        self.range.end = range.end;
        out.budget.input(range.len());
        let bytes = Bytes::wire(data, range);
        let Some((wire, lines)) = &mut self.chunked else {
            return self.content.push(out, bytes, range.end);
        };
        wire.consumed(range.end);
        wire.write(out, bytes);
        let end = wire.output();
        if part == Part::Framing {
            out.place(range, Place::Understood);
        }
        let content = &mut self.content;
        wire.within(out, |out| match part {
            Part::Data => content.push(out, bytes, end),
            Part::Framing | Part::Free => {
                lines.consumed(end);
                lines.write(out, bytes);
            }
        });
    }

    pub(super) fn gap(&mut self, out: &mut Out<'_>, gap: ByteRange) {
        self.gapped = true;
        self.range.end = gap.end;
        let Some((wire, _)) = &mut self.chunked else {
            return self.content.gap(out, gap.len(), gap.end);
        };
        let end = wire.output() + gap.len();
        wire.gap(out, gap.len());
        wire.consumed(gap.end);
        let content = &mut self.content;
        wire.within(out, |out| content.gap(out, gap.len(), end));
    }

    /// Ends the body.
    ///
    /// # Errors
    /// When bytes that must be searched after all can't be read again.
    pub(super) fn finish(mut self, out: &mut Out<'_>) -> Result<Finished, ReadError> {
        let content = &mut self.content;
        let ended = match &mut self.chunked {
            None => content.finish(out),
            Some((wire, lines)) => {
                let ended = wire.within(out, |out| {
                    let ended = content.finish(out);
                    lines.close(out);
                    ended
                });
                wire.close(out);
                ended
            }
        };
        if ended == Ended::Again && !self.joined {
            as_it_is(out, self.op, self.range, self.chunked.is_some())?;
        }
        Ok(Finished { range: self.range, gapped: self.gapped, torn: self.content.torn() })
    }
}

/// What a head declares about its body.
pub(super) fn declared(head: &Head<'_>) -> Declared {
    let mut codings = tokens(head.values("content-encoding"));
    codings.extend(tokens(head.values("transfer-encoding")).into_iter().filter(|name| name != "chunked"));
    let messages = MESSAGE_CODINGS.iter().find_map(|name| head.value(name));
    let media = head.value("content-type");
    Declared { codings, media, messages, ..Declared::default() }
}

fn root(op: &'static str, start: u64) -> Stage {
    Stage::new(op, None, start, Keep::Search)
}

/// Reads a body once more and gives it to be searched without taking anything off but chunks.
fn as_it_is(out: &mut Out<'_>, op: &'static str, range: ByteRange, chunked: bool) -> Result<(), ReadError> {
    let stream = cut(out.stream, range);
    let mut reader = stream.reader();
    let mut framing = chunked.then(Chunked::new);
    let mut wire = root(op, range.start);
    let mut content =
        if chunked { Stage::new("chunked", None, 0, Keep::Search) } else { root(op, range.start) };
    while let Some(chunk) = reader.next_chunk()? {
        match (chunk, &mut framing) {
            (Chunk::Bytes { range, data }, None) => {
                content.consumed(range.end);
                content.write(out, Bytes::wire(data, range));
            }
            (Chunk::Gap(gap), None) => {
                content.gap(out, gap.len());
                content.consumed(gap.end);
            }
            (Chunk::Bytes { range, data }, Some(framing)) => {
                let mut bytes = Bytes::wire(data, range);
                while !bytes.data.is_empty() && !framing.is_done() {
                    // Where the framing broke the first time it breaks again; the parser gave the rest as raw.
                    let Ok((taken, part)) = framing.take(bytes.data) else { break };
                    let (now, rest) = bytes.split(taken);
                    wire.consumed(now.from.end);
                    wire.pass(now.len());
                    if part == Part::Data {
                        content.consumed(wire.output());
                        wire.within(out, |out| content.write(out, now));
                    }
                    bytes = rest;
                }
            }
            (Chunk::Gap(gap), Some(framing)) => {
                framing.skip(gap.len());
                wire.within(out, |out| content.gap(out, gap.len()));
                wire.consumed(gap.end);
                wire.pass(gap.len());
            }
        }
    }
    if chunked {
        wire.within(out, |out| content.close(out));
    } else {
        content.close(out);
    }
    Ok(())
}

/// A part of a stream as a stream; positions stay.
fn cut(stream: &Stream, range: ByteRange) -> Stream {
    // What is read here was read and checked before, so it is not held to its checksums again.
    let pieces = stream.pieces_in(range).iter().filter_map(|piece| {
        let kept = piece.range.intersection(range)?;
        let at = piece.at + (kept.start - piece.range.start);
        Some(Piece { range: kept, at, ..*piece })
    });
    let gaps = stream.gaps.iter().filter_map(|gap| gap.intersection(range));
    let mut part = Stream::empty(&stream.capture, stream.blob.clone());
    part.pieces = pieces.collect();
    part.gaps = gaps.collect();
    part.from_start = stream.from_start;
    part
}
