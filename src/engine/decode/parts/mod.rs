//! Uploads that are cut over several requests: bodies are put together, and read as one content.
//!
//! Each body is walked by itself first. Those that may be parts are remembered by reference, no byte of them is held. When the
//! requests of a connection are at their end, the parts of each upload are put in order ([`order`]) and the stream that they
//! make is read like the body of one request. Its own bytes are only digested, since each part was searched as it stands.
//!
//! Where requests say nothing of parts, bodies of one method, authority and target are put together only where the first one
//! begins as a compressed stream, and the stream ends, its checksum right, where one of those that follow does.

mod across;
mod gathered;
mod name;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    engine::{
        codec::{Brotli, Budget, Coding, Inflate, Part as Framed, Wrapper, Zstd},
        net::stream::{Chunk, Stream},
    },
    evidence::{AnomalyKind, ByteRange, Digest, Direction, Limits, ReadError},
};

use super::{
    body::Body,
    content::Declared,
    layers::{Out, Tally, Withheld},
    sink::{NamedPart, PARTS, Sink, TransactionId},
    within::{Places, Within, Wrap},
};

pub use across::{Sent, across};
pub(super) use gathered::Gathered;
pub(super) use name::{DROPBOX, Name, OFFSETS};
use order::{Effort, Taken};

/// Parts of one upload: 5 GB in the smallest that Amazon S3 takes (5 MiB), and a list that can still be read.
const MAX_PARTS: usize = 1_000;

/// Parts, and pieces of them, that are remembered of one connection: 1 MiB of places for 1 GiB in chunks of 16 KiB.
const MAX_HELD: usize = 1 << 16;

/// How a body stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// In chunks.
    Chunked,
    /// In frames of a stream.
    Stream(u64),
    /// On a connection of its own: the number of the part.
    Told(u32),
}

/// The body of one request, which may be a part of an upload.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) transaction: TransactionId,
    pub(super) form: Form,
    /// From its first byte to its last one, with what frames it.
    pub(super) range: ByteRange,
    /// Where its content stands.
    pub(super) content: Vec<ByteRange>,
    /// Whether it came to its announced end.
    pub(super) complete: bool,
    /// Whether the capture misses bytes of it.
    pub(super) gapped: bool,
    pub(super) declared: Declared,
    /// The coding that its content is in and that does not end in it.
    pub(super) torn: Option<&'static str>,
    /// What is to be said of its coding, unless it goes on in another part.
    pub(super) withheld: Vec<Withheld>,
}

impl Part {
    /// More of its content stands here.
    pub(super) fn came(&mut self, range: ByteRange) {
        let pieces = self.content.len();
        match self.content.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            // One piece more than are remembered: the body is no part then.
            _ if pieces <= MAX_HELD => self.content.push(range),
            _ => {}
        }
    }

    /// What is told of it where it says of which upload it is a part; `content` is where it stands in a stream. One of which
    /// bytes are missing or disputed is not told of.
    pub(super) fn told(
        &self,
        name: &Name,
        op: &str,
        (stream, content): (&Stream, &[ByteRange]),
    ) -> Option<NamedPart> {
        let Name { upload, position, .. } = *name;
        let hull = ByteRange::new(content.first()?.start, content.last()?.end);
        let (first, last) = stream.times(hull)?;
        let frame = stream.pieces_in(hull).first()?.frame;
        let said = self.withheld.iter().map(Withheld::words).collect();
        let len = content.iter().map(|range| range.len()).sum();
        let Declared { codings, media, .. } = self.declared.clone();
        let (op, complete) = (op.to_owned(), self.complete);
        let told =
            NamedPart { op, upload, position, len, complete, codings, media, frame, first, last, said };
        let disputed = stream.conflicts.iter().any(|conflict| conflict.range.intersection(hull).is_some());
        (name.is_told() && !self.gapped && !disputed).then_some(told)
    }

    fn len(&self) -> u64 {
        self.content.iter().map(|range| range.len()).sum()
    }

    /// Where its content from `start` to `end` stands.
    fn cut(&self, start: u64, end: u64) -> Vec<ByteRange> {
        let (mut at, mut found) = (0, Vec::new());
        for range in &self.content {
            let here = ByteRange::new(at, at + range.len());
            if let Some(both) = here.intersection(ByteRange::new(start, end)) {
                let from = range.start + (both.start - at);
                found.push(ByteRange::new(from, from + both.len()));
            }
            at = here.end;
        }
        found
    }

    /// How a reader cuts it out of the stream by hand, without its first `skipped` bytes.
    fn by_hand(&self, skipped: u64) -> String {
        let ByteRange { start, end } = self.range;
        let from = if skipped > 0 { format!(" from {skipped}") } else { String::new() };
        match self.form {
            Form::Plain => format!("{}-{end}", start + skipped),
            Form::Chunked => format!("chunked {start}-{end}{from}"),
            Form::Stream(stream) => format!("stream {stream}{from}"),
            Form::Told(number) => format!("{number}{from}"),
        }
    }
}

/// Parts in the order in which they were sent, each with its place.
#[derive(Debug, Default)]
struct Upload {
    parts: Vec<(Name, Part)>,
}

/// The uploads of one direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    all: Vec<Upload>,
    /// Those that the next part may belong to.
    open: BTreeMap<Digest, usize>,
    held: usize,
    /// What is to be said of parts.
    withheld: usize,
    beyond: bool,
}

/// What stands around the parts.
pub(super) struct Around<'a> {
    pub(super) stream: &'a Stream,
    pub(super) direction: Direction,
    pub(super) limits: &'a Limits,
    /// What a whole body is called.
    pub(super) op: &'static str,
    /// Where the stream's bytes stand in what was captured, where each body had a stream of its own.
    pub(super) places: Option<&'a Places>,
}

impl Uploads {
    /// Whether any body is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A body that should be remembered is not.
    pub(super) fn refuse(&mut self) {
        self.beyond = true;
    }

    /// Whether a body with this name is remembered.
    pub(super) fn wants(&self, name: &Name, torn: Option<&str>) -> bool {
        name.is_told() || torn.is_some() || self.open.contains_key(&name.upload)
    }

    /// Remembers the body of a request. Gives back what is to be said of it now.
    pub(super) fn take(&mut self, name: Name, mut part: Part) -> Vec<Withheld> {
        if !self.wants(&name, part.torn) || part.content.is_empty() {
            return part.withheld;
        }
        if self.held + part.content.len() > MAX_HELD {
            self.beyond = true;
            return part.withheld;
        }
        self.held += part.content.len();
        let now = if self.withheld < MAX_PARTS { Vec::new() } else { std::mem::take(&mut part.withheld) };
        self.withheld += part.withheld.len();
        let full = |upload: &Upload| upload.parts.len() >= MAX_PARTS;
        let known = self.open.get(&name.upload).copied();
        match known.and_then(|at| self.all.get_mut(at)) {
            Some(upload) if !full(upload) => upload.parts.push((name, part)),
            Some(_) if name.is_told() => {
                self.beyond = true;
                return [now, part.withheld].concat();
            }
            // Bodies that follow one another for so long are no upload; one that is torn may begin another.
            Some(_) if part.torn.is_none() => {
                self.open.remove(&name.upload);
                return [now, part.withheld].concat();
            }
            _ => {
                self.open.insert(name.upload, self.all.len());
                self.all.push(Upload { parts: vec![(name, part)] });
            }
        }
        now
    }

    /// Puts the parts together and reads what they make.
    ///
    /// # Errors
    /// When the capture can't be read.
    pub(super) fn finish(
        self,
        around: &Around<'_>,
        tally: Tally,
        sink: &mut dyn Sink,
    ) -> Result<Tally, ReadError> {
        let mut effort = Effort::new(around.stream);
        let mut joined = Joined { tally, whole: BTreeSet::new() };
        for upload in &self.all {
            let (named, unnamed): (Vec<_>, Vec<_>) =
                upload.parts.iter().partition(|(name, _)| name.is_told());
            let opening = named.iter().find_map(|(name, _)| name.opening);
            for ordered in order::named(around.stream, &named, &mut effort)? {
                let opened = match opening.filter(|_| ordered.taken.is_empty()) {
                    Some(opening) => self.opened(around, opening, &ordered.late, &mut effort)?,
                    None => None,
                };
                let taken = opened.as_ref().unwrap_or(&ordered.taken);
                joined.join(around, taken, &ordered.again, sink)?;
            }
            let bodies: Vec<&Part> = unnamed.into_iter().map(|(_, part)| part).collect();
            let mut rest = bodies.as_slice();
            while let Some((first, others)) = rest.split_first() {
                let chain = first.torn.map(|_| chain(around, rest, &mut effort)).transpose()?.flatten();
                rest = match chain {
                    Some((taken, used)) => {
                        let (bodies, after) = rest.split_at_checked(used).unwrap_or((rest, &[]));
                        joined.join(around, &taken, bodies, sink)?;
                        after
                    }
                    None => others,
                };
            }
        }
        let Joined { tally, whole } = joined;
        let mut out = Out::going_on(sink, around.stream, around.direction, around.limits, tally);
        let parts = self.all.into_iter().flat_map(|upload| upload.parts);
        for (_, part) in parts.filter(|(_, part)| !whole.contains(&part.transaction)) {
            out.say(part.withheld);
        }
        if self.beyond || effort.is_spent() {
            let detail = "uploads in more parts, or with more repetitions, than are put together".to_owned();
            out.anomaly(AnomalyKind::LimitReached, None, detail);
        }
        Ok(out.tally())
    }
}

impl Uploads {
    /// Parts of an upload behind its first one, with that: of those that do not know their upload the only one that is as long as
    /// what is missing, and with which the parts are one compressed stream to its end.
    fn opened<'p>(
        &'p self,
        around: &Around<'_>,
        opening: Digest,
        late: &[(u64, Taken<'p>)],
        effort: &mut Effort,
    ) -> Result<Option<Vec<Taken<'p>>>, ReadError> {
        let Some((missing, _)) = late.first() else { return Ok(None) };
        if late.iter().any(|(_, taken)| taken.skipped > 0) {
            return Ok(None);
        }
        let parts = self.all.iter().flat_map(|upload| &upload.parts);
        let firsts = parts.filter(|(name, part)| {
            name.upload == opening && part.len() == *missing && !part.gapped && part.complete
        });
        let mut found: Option<Vec<Taken<'p>>> = None;
        for (_, first) in firsts {
            // One that came twice fits twice.
            if let Some(other) = found.as_ref().and_then(|found| found.first())
                && order::same(around.stream, (other.part, 0), (first, 0), *missing, effort)?
            {
                continue;
            }
            let bodies: Vec<&Part> =
                std::iter::once(first).chain(late.iter().map(|(_, taken)| taken.part)).collect();
            let chain = chain(around, &bodies, effort)?.filter(|(_, used)| *used == bodies.len());
            // Where others fit too, which it was is not known.
            if let Some((taken, _)) = chain
                && found.replace(taken).is_some()
            {
                return Ok(None);
            }
        }
        Ok(found)
    }
}

/// What was joined so far.
struct Joined {
    tally: Tally,
    /// Bodies that are parts of something that was read to its end.
    whole: BTreeSet<TransactionId>,
}

impl Joined {
    /// Reads parts as one body. Where that is whole, the coding of each part is that of the first: `again` are bodies that
    /// came twice.
    fn join(
        &mut self,
        around: &Around<'_>,
        taken: &[Taken<'_>],
        again: &[&Part],
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        let (whole, tally) = join(around, taken, self.tally.clone(), sink)?;
        self.tally = tally;
        let codings = taken.first().filter(|_| whole).map(|first| &first.part.declared.codings);
        let bodies = taken.iter().map(|taken| taken.part).chain(again.iter().copied());
        let alike = bodies.filter(|part| codings == Some(&part.declared.codings));
        self.whole.extend(alike.map(|part| part.transaction));
        Ok(())
    }
}

/// The first of the bodies with those that follow it, where they are one compressed stream to its end: what is taken of
/// them, and how many they are. One that came twice is taken once.
fn chain<'p>(
    around: &Around<'_>,
    bodies: &[&'p Part],
    effort: &mut Effort,
) -> Result<Option<(Vec<Taken<'p>>, usize)>, ReadError> {
    let Some(mut coding) = bodies.first().and_then(|first| coding(first.torn?)) else { return Ok(None) };
    let budget = Budget::new(around.limits.max_decoded);
    let mut taken: Vec<Taken<'p>> = Vec::new();
    for (no, body) in bodies.iter().enumerate() {
        if let Some(last) = taken.last()
            && order::same(around.stream, (last.part, 0), (body, 0), last.part.len().max(body.len()), effort)?
        {
            continue;
        }
        let stream = around.stream.parts(body.content.iter().copied());
        let mut reader = stream.reader();
        while let Some(chunk) = reader.next_chunk()? {
            let Chunk::Bytes { data, .. } = chunk else { return Ok(None) };
            budget.input(data.len() as u64);
            if !effort.spend(data.len() as u64) || coding.push(data, &budget, &mut |_| {}).is_err() {
                return Ok(None);
            }
        }
        taken.push(Taken { part: body, skipped: 0 });
        if coding.push(&[], &budget, &mut |_| {}).is_ok() && coding.is_at_end() {
            return Ok((taken.len() > 1).then_some((taken, no + 1)));
        }
    }
    Ok(None)
}

/// A coding by the name of its step.
fn coding(op: &str) -> Option<Box<dyn Coding>> {
    Some(match op {
        "gzip" => Box::new(Inflate::new(Wrapper::Gzip)),
        "zlib" | "deflate" => Box::new(Inflate::new(Wrapper::ZlibOrNone)),
        "br" => Box::<Brotli>::default(),
        "zstd" => Box::<Zstd>::default(),
        _ => return None,
    })
}

/// Reads parts, one after the other, as one body; whether all of it came, and was decoded to its end.
fn join(
    around: &Around<'_>,
    taken: &[Taken<'_>],
    tally: Tally,
    sink: &mut dyn Sink,
) -> Result<(bool, Tally), ReadError> {
    let (Some(first), true) = (taken.first(), taken.len() > 1) else { return Ok((false, tally)) };
    let (mut ranges, mut seams, mut at, mut words) = (Vec::new(), Vec::new(), 0, Vec::new());
    for Taken { part, skipped } in taken {
        seams.push(at);
        ranges.extend(part.cut(*skipped, part.len()));
        at += part.len() - skipped;
        words.push(part.by_hand(*skipped));
    }
    let (stream, wrap) = Wrap::parts(around.stream, &ranges, PARTS, Some(words.join(", ")));
    let mut wrap = Wrap { seams, ..wrap };
    for (step, places) in wrap.steps.iter_mut().zip(around.places) {
        step.input = places.hull(step.input);
    }
    let mut within = Within::new(sink, &wrap, &wrap);
    let mut out = Out::going_on(&mut within, &stream, around.direction, around.limits, tally);
    out.transaction = Some(first.part.transaction);
    let wrong =
        |out: &Out<'_>| [AnomalyKind::CodingMismatch, AnomalyKind::LimitReached].map(|kind| out.said(kind));
    let before = wrong(&out);
    out.withhold();
    let mut body = Body::joined(around.op, first.part.declared.clone());
    let mut reader = stream.reader();
    while let Some(chunk) = reader.next_chunk()? {
        match chunk {
            Chunk::Bytes { range, data } => body.push(&mut out, Framed::Data, data, range),
            Chunk::Gap(gap) => body.gap(&mut out, gap),
        }
    }
    let gapped = body.finish(&mut out)?.gapped;
    let withheld = out.withheld();
    for said in withheld.iter().map(Withheld::words) {
        out.sink.part_said(first.part.transaction, &said);
    }
    out.say(withheld);
    Ok((!gapped && wrong(&out) == before, out.tally()))
}
