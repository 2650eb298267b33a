//! The order of parts that say where they stand.

use crate::{
    engine::net::stream::{Chunk, Stream},
    evidence::ReadError,
};

use super::{super::sink::Position, Part, name::Name};

/// A part, and how many of its first bytes the parts before it gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken<'p> {
    pub(super) part: &'p Part,
    pub(super) skipped: u64,
}

/// The parts of one upload.
#[derive(Debug)]
pub(super) struct Ordered<'p> {
    /// From the first byte on, as far as none is missing.
    pub(super) taken: Vec<Taken<'p>>,
    /// Where the first byte is missing: the same from the first one that is there, each with its place.
    pub(super) late: Vec<(u64, Taken<'p>)>,
    /// Those that bring no byte that others did not.
    pub(super) again: Vec<&'p Part>,
}

/// Bytes of a connection that may be read again to hold parts against each other: a hostile one repeats each part with every
/// other, and begins a compressed stream in each body. An honest one needs each byte once or twice.
#[derive(Debug)]
pub(super) struct Effort(Option<u64>);

/// Bytes that may always be read again.
const FREE: u64 = 64 << 20;

impl Effort {
    pub(super) fn new(stream: &Stream) -> Self {
        Self(Some(stream.end().saturating_mul(4).saturating_add(FREE)))
    }

    /// Counts bytes; false where they are too many.
    pub(super) fn spend(&mut self, bytes: u64) -> bool {
        self.0 = self.0.and_then(|left| left.checked_sub(bytes));
        self.0.is_some()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0.is_none()
    }
}

/// Puts the parts of one name in order. Where a part says otherwise than those before it, another upload begins with it: the
/// same target takes one file after another, and versions that differ are not put together.
pub(super) fn named<'p>(
    stream: &Stream,
    parts: &[&'p (Name, Part)],
    effort: &mut Effort,
) -> Result<Vec<Ordered<'p>>, ReadError> {
    let mut uploads: Vec<(Vec<Placed<'p>>, Vec<&'p Part>)> = Vec::new();
    for placed in parts.iter().filter_map(|(name, part)| Placed::of(name, part)) {
        let Some((upload, again)) = uploads.last_mut() else {
            uploads.push((vec![placed], Vec::new()));
            continue;
        };
        match meet(stream, upload, &placed, effort)? {
            Meeting::New => upload.push(placed),
            Meeting::Known => again.push(placed.part),
            Meeting::Mends(other) => {
                if let Some(other) = upload.get_mut(other) {
                    *other = placed;
                }
            }
            Meeting::Differs => uploads.push((vec![placed], Vec::new())),
        }
    }
    let ordered = |(mut parts, again): (Vec<Placed<'p>>, Vec<&'p Part>)| {
        parts.sort_by_key(|placed| placed.start);
        let first = parts.first().map_or(0, |first| first.start);
        let numbered = u64::from(parts.first().is_some_and(|first| first.numbered));
        let taken = in_order(&parts, numbered).into_iter().map(|(_, taken)| taken).collect();
        let late = if first > numbered { in_order(&parts, first) } else { Vec::new() };
        Ordered { taken, late, again }
    };
    Ok(uploads.into_iter().map(ordered).collect())
}

/// A part with the place that it names: bytes, or numbers of parts.
#[derive(Clone, Copy, Debug)]
struct Placed<'p> {
    part: &'p Part,
    start: u64,
    end: u64,
    total: Option<u64>,
    numbered: bool,
}

impl<'p> Placed<'p> {
    /// `None` where the body is not as long as its range.
    fn of(name: &Name, part: &'p Part) -> Option<Self> {
        match name.position {
            Position::Offset { start, length, total } => {
                let came = part.len();
                let fits = length.is_none_or(|length| came == length || (came < length && !part.complete));
                let end = start.checked_add(came)?;
                fits.then_some(Self { part, start, end, total, numbered: false })
            }
            Position::Number(number) => {
                let end = number.checked_add(1)?;
                Some(Self { part, start: number, end, total: None, numbered: true })
            }
            Position::Unnamed => None,
        }
    }
}

/// How a part meets those before it.
enum Meeting {
    /// It brings bytes, and agrees with all others.
    New,
    /// It brings none.
    Known,
    /// The capture misses bytes of another one, of which it is the repetition.
    Mends(usize),
    /// It says otherwise than another one.
    Differs,
}

fn meet(
    stream: &Stream,
    upload: &[Placed<'_>],
    new: &Placed<'_>,
    effort: &mut Effort,
) -> Result<Meeting, ReadError> {
    let mut known = false;
    for (no, old) in upload.iter().enumerate() {
        let totals = old.total.zip(new.total);
        if totals.is_some_and(|(one, other)| one != other) || old.numbered != new.numbered {
            return Ok(Meeting::Differs);
        }
        let (start, end) = (old.start.max(new.start), old.end.min(new.end));
        if start >= end {
            continue;
        }
        if old.part.gapped && !new.part.gapped && old.start == new.start && old.end <= new.end {
            return Ok(Meeting::Mends(no));
        }
        let (from, length) = if new.numbered {
            ((0, 0), old.part.len().max(new.part.len()))
        } else {
            ((start - old.start, start - new.start), end - start)
        };
        if !same(stream, (old.part, from.0), (new.part, from.1), length, effort)? {
            return Ok(Meeting::Differs);
        }
        known |= old.start <= new.start && new.end <= old.end;
    }
    Ok(if known { Meeting::Known } else { Meeting::New })
}

/// Takes parts, which are sorted, from a place on as far as none is missing; each with its own place.
fn in_order<'p>(parts: &[Placed<'p>], from: u64) -> Vec<(u64, Taken<'p>)> {
    let (mut next, mut taken) = (from, Vec::new());
    for Placed { part, start, end, numbered, .. } in parts {
        if *end <= next {
            continue;
        }
        if *start > next {
            break;
        }
        taken.push((next, Taken { part, skipped: if *numbered { 0 } else { next - start } }));
        next = *end;
        if part.gapped || (*numbered && !part.complete) {
            break;
        }
    }
    taken
}

/// Whether `length` bytes of two parts, each from a place on, are there and equal.
pub(super) fn same(
    stream: &Stream,
    (one, from): (&Part, u64),
    (other, other_from): (&Part, u64),
    length: u64,
    effort: &mut Effort,
) -> Result<bool, ReadError> {
    let ends = (from.saturating_add(length), other_from.saturating_add(length));
    if one.len() < ends.0 || other.len() < ends.1 || !effort.spend(length.saturating_mul(2)) {
        return Ok(false);
    }
    let one = stream.parts(one.cut(from, ends.0));
    let other = stream.parts(other.cut(other_from, ends.1));
    let (mut ones, mut others) = (one.reader(), other.reader());
    // What one reader gave and the other did not yet.
    let (mut left, mut right): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    loop {
        for (held, reader) in [(&mut left, &mut ones), (&mut right, &mut others)] {
            if held.is_empty() {
                match reader.next_chunk()? {
                    Some(Chunk::Bytes { data, .. }) => held.extend_from_slice(data),
                    Some(Chunk::Gap(_)) => return Ok(false),
                    None => {}
                }
            }
        }
        let both = left.len().min(right.len());
        if both == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        if left.drain(..both).ne(right.drain(..both)) {
            return Ok(false);
        }
    }
}
