//! Parts that went over several connections, each of which was walked by itself.

use std::collections::BTreeSet;

use crate::{
    engine::{
        decode::{
            content::Declared,
            layers::{Out, Tally},
            sink::{NamedPart, Sink, TransactionId},
        },
        net::stream::Stream,
    },
    evidence::{AnomalyKind, ByteRange, Direction, Limits, ReadError},
};

use super::{
    Around, Form, Joined, Name, Part,
    order::{self, Effort},
};

/// A part that was told of ([`Sink::part`]), with its content.
pub struct Sent<'p> {
    /// What was told.
    pub part: &'p NamedPart,
    /// Where its content stands in a stream that holds those of all.
    pub content: ByteRange,
    /// The number of its connection.
    pub connection: usize,
}

/// Puts the parts of one upload in order, and reads what they make, where several connections carried it. `sent` are in the
/// order of time, and come out numbered from 1. Gives the places in `sent` of those that are decoded to the end of the whole:
/// what was said of their codings by themselves does not hold.
///
/// # Errors
/// When the content can't be read.
pub fn across(
    stream: &Stream,
    sent: &[Sent<'_>],
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Vec<usize>, ReadError> {
    let parts: Vec<(Name, Part)> = (0..).zip(sent).map(|(no, sent)| part(no, sent)).collect();
    let of = |part: &Part| usize::try_from(part.transaction.0).unwrap_or(usize::MAX);
    let connection = |part: &Part| sent.get(of(part)).map(|sent| sent.connection);
    let mut effort = Effort::new(stream);
    let mut joined = Joined { tally: Tally::new(limits), whole: BTreeSet::new() };
    for ordered in order::named(stream, &parts.iter().collect::<Vec<_>>(), &mut effort)? {
        let over: BTreeSet<_> = ordered.taken.iter().map(|taken| connection(taken.part)).collect();
        let Some(first) = ordered.taken.first().filter(|_| over.len() > 1) else { continue };
        let op = sent.get(of(first.part)).map_or("", |sent| op(&sent.part.op));
        let around = Around { stream, direction: Direction::Up, limits, op, places: None };
        joined.join(&around, &ordered.taken, &ordered.again, sink)?;
    }
    if effort.is_spent() {
        let mut out = Out::going_on(sink, stream, Direction::Up, limits, joined.tally);
        let detail =
            "an upload over several connections with more repetitions than are held against each other";
        out.anomaly(AnomalyKind::LimitReached, None, detail.to_owned());
    }
    Ok(joined.whole.into_iter().filter_map(|part| usize::try_from(part.0).ok()).collect())
}

fn part(no: u32, Sent { part, content, .. }: &Sent<'_>) -> (Name, Part) {
    let NamedPart { upload, position, complete, codings, media, .. } = part;
    let declared = Declared { codings: codings.clone(), media: media.clone(), ..Declared::default() };
    let body = Part {
        transaction: TransactionId(no),
        form: Form::Told(no.saturating_add(1)),
        range: *content,
        content: vec![*content],
        complete: *complete,
        gapped: false,
        declared,
        torn: None,
        withheld: Vec::new(),
    };
    (Name { upload: *upload, position: *position, opening: None }, body)
}

/// The step that gave a body.
fn op(name: &str) -> &'static str {
    const BODIES: [&str; 3] = ["http1.body", "http2.body", "http3.body"];
    BODIES.into_iter().find(|op| *op == name).unwrap_or("http1.body")
}
