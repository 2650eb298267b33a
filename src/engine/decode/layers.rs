//! The layers that stand around bytes, and the leaves that are written from inside them.

use std::{collections::BTreeMap, ops::Range, rc::Rc};

use crate::{
    engine::{
        codec::Budget,
        net::stream::{Chunk, Stream},
    },
    evidence::{AnomalyKind, ByteRange, Direction, FrameNo, Limits, ReadError, Step, printable},
};

use super::sink::{AFTER_GAP, Keep, LeafId, Origin, Place, RequestHead, Sink, Source, TransactionId};

/// Anomalies of one kind in one direction of a flow; a hostile stream could make one of each byte.
const MAX_ANOMALIES: u32 = 32;

/// Leaves in one direction of a flow beside those of whole bodies and parts. A form of a million escaped
/// values says no more than its body, which is searched in any case.
const MAX_VALUES: u32 = 100_000;

/// Layers around that may be read in several ways at once: with four ways each, bytes are read sixteen times at most.
const MAX_DOUBTS: u8 = 2;

/// Hosts listed of one request that names several.
const MAX_HOSTS: usize = 4;

/// Characters of a parameter in a step.
const MAX_PARAM: usize = 128;

/// What is said of the codings of one body and withheld: each of two that are declared can fail, and so can those of a few
/// parts inside.
const MAX_WITHHELD: usize = 8;

/// Where everything goes, and what stands around it at the moment.
pub(super) struct Out<'s> {
    pub(super) sink: &'s mut dyn Sink,
    pub(super) stream: &'s Stream,
    pub(super) direction: Direction,
    pub(super) transaction: Option<TransactionId>,
    pub(super) limits: &'s Limits,
    pub(super) budget: Rc<Budget>,
    /// Whether bytes come in blocks that do not depend on how the stream was cut.
    pub(super) blocked: bool,
    /// Layers around that are read in several ways.
    pub(super) doubts: u8,
    layers: Vec<Layer>,
    anomalies: BTreeMap<AnomalyKind, u32>,
    values: u32,
    /// Leaves of values that stand in their containers as they are.
    told: u32,
    /// What is not said yet, where something is withheld.
    withheld: Option<Vec<Withheld>>,
}

/// That bytes are not in the coding that is declared for them, said of a body that may go on in another one.
#[derive(Clone, Debug)]
pub(super) struct Withheld {
    frame: Option<FrameNo>,
    detail: String,
}

impl Withheld {
    /// Where it is said, and what.
    pub(super) fn words(&self) -> (Option<FrameNo>, String) {
        (self.frame, self.detail.clone())
    }
}

/// What is counted over all streams that one direction of a conversation holds: a thousand streams may not do more
/// than one.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    budget: Rc<Budget>,
    anomalies: BTreeMap<AnomalyKind, u32>,
    values: u32,
    /// Leaves of values that stand in their containers as they are.
    told: u32,
}

impl Tally {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            budget: Rc::new(Budget::new(limits.max_decoded)),
            anomalies: BTreeMap::new(),
            values: 0,
            told: 0,
        }
    }
}

/// One layer that was taken off, as far as it was.
#[derive(Clone, Debug)]
struct Layer {
    op: &'static str,
    param: Option<Rc<str>>,
    input: ByteRange,
    output: u64,
    /// Where bytes of the output stand in the input, for a layer that leaves some out: the latest runs of as many bytes.
    runs: Option<Rc<Vec<Run>>>,
}

/// From here on output and input go side by side, up to the next run.
#[derive(Clone, Copy, Debug)]
struct Run {
    output: u64,
    input: u64,
}

/// Runs of one layer that are kept. A leaf ends at most a delimiter's length before the last byte that was seen: the
/// boundary of a multipart with its padding has 140.
const MAX_RUNS: usize = 256;

impl Layer {
    /// Where output up to `needed` ends in the input, if that is known.
    fn mapped(&self, needed: u64) -> Option<u64> {
        let runs = self.runs.as_ref()?;
        let next = runs.partition_point(|run| run.output < needed);
        let run = runs.get(next.checked_sub(1)?)?;
        Some(run.input + (needed - run.output))
    }

    /// Whether it only cuts bytes out, so that positions in it follow from those in the layer before.
    fn is_a_cut(&self) -> bool {
        const CUTS: [&str; 28] = [
            "stream",
            super::LAST_VERSION,
            "http1.body",
            "http2.body",
            "http3.body",
            "http1.target",
            "http1.field",
            "multipart.part",
            "grpc.message",
            "mime.body",
            "mime.part",
            "mqtt.payload",
            "mqtt.connect",
            "imap.literal",
            "ftp.data",
            "http.target",
            "http.field",
            "form.value",
            "query.value",
            "xml.cdata",
            "protobuf.field",
            "msgpack.str",
            "msgpack.bin",
            "msgpack.ext",
            "cbor.text",
            "cbor.bytes",
            "zip.stored",
            "tar.member",
        ];
        CUTS.contains(&self.op)
    }
}

impl From<&Layer> for Step {
    fn from(layer: &Layer) -> Self {
        Self {
            op: layer.op.to_owned(),
            param: layer.param.as_deref().map(ToOwned::to_owned),
            input: layer.input,
            output: layer.output,
        }
    }
}

impl<'s> Out<'s> {
    pub(super) fn new(
        sink: &'s mut dyn Sink,
        stream: &'s Stream,
        direction: Direction,
        limits: &'s Limits,
    ) -> Self {
        Self::going_on(sink, stream, direction, limits, Tally::new(limits))
    }

    /// Begins a stream, with what others have used up before it.
    pub(super) fn going_on(
        sink: &'s mut dyn Sink,
        stream: &'s Stream,
        direction: Direction,
        limits: &'s Limits,
        Tally { budget, anomalies, values, told }: Tally,
    ) -> Self {
        Self {
            sink,
            stream,
            direction,
            transaction: None,
            limits,
            budget,
            blocked: false,
            doubts: 0,
            layers: Vec::new(),
            anomalies,
            values,
            told,
            withheld: None,
        }
    }

    /// From here on what is said of codings is withheld: the body may be a part of an upload.
    pub(super) fn withhold(&mut self) {
        self.withheld = Some(Vec::new());
    }

    /// What was withheld; nothing is any more.
    pub(super) fn withheld(&mut self) -> Vec<Withheld> {
        self.withheld.take().unwrap_or_default()
    }

    /// Says what was withheld.
    pub(super) fn say(&mut self, withheld: Vec<Withheld>) {
        for Withheld { frame, detail } in withheld {
            self.odd(AnomalyKind::CodingMismatch, frame, detail);
        }
    }

    /// How often something odd of a kind was said of this direction.
    pub(super) fn said(&self, kind: AnomalyKind) -> u32 {
        self.anomalies.get(&kind).copied().unwrap_or_default()
    }

    /// What the next stream goes on with.
    pub(super) fn tally(self) -> Tally {
        Tally { budget: self.budget, anomalies: self.anomalies, values: self.values, told: self.told }
    }

    /// Whether so many layers stand around `bytes` that no more is taken off.
    pub(super) fn is_deep(&mut self, bytes: Bytes<'_>) -> bool {
        let depth = self.layers.len();
        let deep = depth >= usize::try_from(self.limits.max_depth).unwrap_or(usize::MAX);
        if deep {
            let detail = format!("more than {depth} layers; the rest is searched as it is");
            self.anomaly(AnomalyKind::LimitReached, Some(bytes.from.start), detail);
        }
        deep
    }

    /// Whether bytes may be read in several ways here.
    pub(super) fn admits_doubt(&self) -> bool {
        self.doubts < MAX_DOUBTS
    }

    /// Whether one more leaf of a value may be opened.
    pub(super) fn admits_value(&mut self) -> bool {
        self.values += 1;
        if self.values == MAX_VALUES + 1 {
            let detail = format!("more than {MAX_VALUES} encoded values; the rest was not decoded");
            self.anomaly(AnomalyKind::LimitReached, None, detail);
        }
        self.values <= MAX_VALUES
    }

    /// Whether a value that stands in its container as it is may be a leaf too. One that may not is searched there.
    pub(super) fn admits_told(&mut self) -> bool {
        self.told = self.told.saturating_add(1);
        self.told <= MAX_VALUES
    }

    pub(super) fn place(&mut self, range: ByteRange, place: Place) {
        if !range.is_empty() {
            self.sink.place(self.direction, range, place);
        }
    }

    pub(super) fn frame(&self, at: u64) -> Option<FrameNo> {
        let range = ByteRange::new(at, at.saturating_add(1));
        self.stream.pieces_in(range).first().map(|piece| piece.frame)
    }

    /// Tells of a request, and whether it names several hosts.
    pub(super) fn request(&mut self, head: &RequestHead) {
        self.sink.request(head);
        if head.names_one_host() {
            return;
        }
        let hosts = head.hosts();
        if hosts.len() > 1 {
            let listed = hosts.iter().take(MAX_HOSTS).map(|host| printable(host, MAX_PARAM));
            let detail = format!("a request for {}", listed.collect::<Vec<_>>().join(" and "));
            self.anomaly(AnomalyKind::HttpAmbiguousHost, Some(head.range.start), detail);
        }
    }

    /// Records odd traffic seen at a position of the stream.
    pub(super) fn anomaly(&mut self, kind: AnomalyKind, at: Option<u64>, detail: String) {
        let frame = at.and_then(|at| self.frame(at));
        match &mut self.withheld {
            Some(withheld) if kind == AnomalyKind::CodingMismatch && withheld.len() < MAX_WITHHELD => {
                withheld.push(Withheld { frame, detail });
            }
            _ => self.odd(kind, frame, detail),
        }
    }

    fn odd(&mut self, kind: AnomalyKind, frame: Option<FrameNo>, detail: String) {
        let count = self.anomalies.entry(kind).or_default();
        *count += 1;
        match (*count).cmp(&MAX_ANOMALIES) {
            std::cmp::Ordering::Less => self.sink.anomaly(kind, frame, detail),
            std::cmp::Ordering::Equal => {
                let detail = format!("more of {kind} in this direction is not listed");
                self.sink.anomaly(AnomalyKind::LimitReached, None, detail);
            }
            std::cmp::Ordering::Greater => {}
        }
    }
}

/// Bytes on their way through the layers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a> {
    pub(super) data: &'a [u8],
    /// Where in the stream they come from.
    pub(super) from: ByteRange,
    /// Whether they stand there as they are.
    pub(super) copied: bool,
}

impl<'a> Bytes<'a> {
    /// Bytes of the stream itself.
    pub(super) fn wire(data: &'a [u8], from: ByteRange) -> Self {
        Self { data, from, copied: true }
    }

    pub(super) fn len(&self) -> u64 {
        self.data.len() as u64
    }

    /// Where in the stream a part comes from.
    pub(super) fn origin(&self, range: &Range<usize>) -> ByteRange {
        if self.copied {
            ByteRange::new(self.from.start + range.start as u64, self.from.start + range.end as u64)
        } else {
            self.from
        }
    }

    pub(super) fn part(&self, range: Range<usize>) -> Self {
        let from = self.origin(&range);
        Self { data: self.data.get(range).unwrap_or_default(), from, copied: self.copied }
    }

    pub(super) fn split(&self, at: usize) -> (Self, Self) {
        (self.part(0..at), self.part(at..self.data.len()))
    }
}

/// Bytes that are kept until it is clear what they are, with where they come from.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) data: Vec<u8>,
    from: Option<ByteRange>,
    transformed: bool,
}

impl Held {
    pub(super) fn push(&mut self, bytes: Bytes<'_>) {
        if bytes.data.is_empty() {
            return;
        }
        let from = self.from.get_or_insert(bytes.from);
        from.start = from.start.min(bytes.from.start);
        from.end = from.end.max(bytes.from.end);
        self.transformed |= !bytes.copied;
        self.data.extend_from_slice(bytes.data);
    }

    /// Forgets all, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.data.clear();
        (self.from, self.transformed) = (None, false);
    }

    pub(super) fn bytes(&self) -> Bytes<'_> {
        let from = self.from.unwrap_or_default();
        // Copied bytes may come from two sides of a chunk's framing: then the range is longer than they are.
        let copied = !self.transformed && from.len() == self.data.len() as u64;
        Bytes { data: &self.data, from, copied }
    }
}

/// A layer with the leaf that is written from its output.
#[derive(Debug)]
pub(super) struct Stage {
    layer: Layer,
    keep: Keep,
    leaf: Option<LeafId>,
    /// After a gap: how far from the start of the content, and where in the output, this leaf starts.
    resumed: Option<(u64, u64)>,
}

impl Stage {
    /// A layer whose input starts at `at` in the layer before.
    pub(super) fn new(op: &'static str, param: Option<&[u8]>, at: u64, keep: Keep) -> Self {
        let param = param.map(|param| Rc::from(printable(param, MAX_PARAM)));
        let layer = Layer { op, param, input: ByteRange::new(at, at), output: 0, runs: None };
        Self { layer, keep, leaf: None, resumed: None }
    }

    /// A layer whose first bytes come after a gap, at `offset` of the layer before: how much of it is missing is unknown.
    pub(super) fn after_gap(op: &'static str, offset: u64) -> Self {
        Self { resumed: Some((offset, 0)), ..Self::new(op, None, offset, Keep::Search) }
    }

    pub(super) fn keep(&mut self, keep: Keep) {
        self.keep = keep;
    }

    pub(super) fn kept(&self) -> Keep {
        self.keep
    }

    pub(super) fn output(&self) -> u64 {
        self.layer.output
    }

    /// How far the layer before was consumed.
    pub(super) fn consumed_to(&self) -> u64 {
        self.layer.input.end
    }

    /// Says that the layer before was consumed up to `end`.
    pub(super) fn consumed(&mut self, end: u64) {
        self.layer.input.end = self.layer.input.end.max(end);
    }

    /// Says that the output from `output` on stands in the input from `input` on, byte for byte.
    pub(super) fn runs(&mut self, output: u64, input: u64) {
        let goes_on = |run: &Run| input.checked_sub(run.input) == output.checked_sub(run.output);
        let runs = self.layer.runs.get_or_insert_default();
        if runs.last().is_some_and(goes_on) {
            return;
        }
        let runs = Rc::make_mut(runs);
        if runs.len() >= 2 * MAX_RUNS {
            runs.drain(..MAX_RUNS);
        }
        runs.push(Run { output, input });
    }

    /// Writes output to the leaf, which opens with its first byte.
    pub(super) fn write(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>) {
        if bytes.data.is_empty() {
            return;
        }
        let leaf = self.open(out);
        self.layer.output += bytes.len();
        let copied = bytes.copied && bytes.from.len() == bytes.len();
        let from = if copied { Source::Copied(bytes.from) } else { Source::Transformed(bytes.from) };
        out.sink.write(leaf, bytes.data, from);
    }

    /// Counts output without a leaf.
    pub(super) fn pass(&mut self, bytes: u64) {
        self.layer.output += bytes;
    }

    /// Opens the leaf, also without bytes.
    pub(super) fn open(&mut self, out: &mut Out<'_>) -> LeafId {
        if let Some(leaf) = self.leaf {
            return leaf;
        }
        let origin = Origin {
            direction: out.direction,
            transaction: out.transaction,
            steps: self.steps(out),
            keep: self.keep,
        };
        *self.leaf.insert(out.sink.open(origin))
    }

    /// `missing` bytes of output are not there: the leaf ends, and the next starts after them.
    pub(super) fn gap(&mut self, out: &mut Out<'_>, missing: u64) {
        self.close(out);
        self.layer.output += missing;
        self.resumed = Some((self.layer.output, self.layer.output));
    }

    /// Writes all of a stream, as it stands, and ends.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub(super) fn whole(mut self, stream: &Stream, out: &mut Out<'_>) -> Result<(), ReadError> {
        let mut reader = stream.reader();
        while let Some(chunk) = reader.next_chunk()? {
            match chunk {
                Chunk::Bytes { range, data } => {
                    self.consumed(range.end);
                    self.write(out, Bytes::wire(data, range));
                }
                Chunk::Gap(gap) => self.gap(out, gap.len()),
            }
        }
        self.close(out);
        Ok(())
    }

    /// Ends the leaf, if one is open.
    pub(super) fn close(&mut self, out: &mut Out<'_>) {
        if let Some(leaf) = self.leaf.take() {
            let steps = self.steps(out);
            out.sink.close(leaf, &steps);
        }
    }

    /// Does something within this layer.
    pub(super) fn within<T>(&self, out: &mut Out<'_>, inside: impl FnOnce(&mut Out<'_>) -> T) -> T {
        out.layers.push(self.layer.clone());
        let result = inside(out);
        out.layers.pop();
        result
    }

    /// Does something within this layer as it was when it had given `output` bytes for its input up to `input_end`.
    pub(super) fn within_at<T>(
        &self,
        out: &mut Out<'_>,
        input_end: u64,
        output: u64,
        inside: impl FnOnce(&mut Out<'_>) -> T,
    ) -> T {
        let mut layer = self.layer.clone();
        (layer.input.end, layer.output) = (input_end.max(layer.input.start), output);
        out.layers.push(layer);
        let result = inside(out);
        out.layers.pop();
        result
    }

    /// The steps to what this leaf holds. A layer that goes on after it is given as far as the leaf needs it.
    fn steps(&self, out: &Out<'_>) -> Vec<Step> {
        let mut needed = self.layer.input.end;
        let mut steps = vec![Step::from(&self.layer)];
        for layer in out.layers.iter().rev() {
            let mut step = Step::from(layer);
            if layer.is_a_cut() {
                step.output = needed;
                step.input.end = layer.input.start + needed;
            } else if let Some(end) = layer.mapped(needed) {
                step.output = needed;
                step.input.end = end;
            }
            needed = step.input.end;
            steps.push(step);
        }
        steps.reverse();
        if let Some((offset, start)) = self.resumed {
            let input = ByteRange::new(start, self.layer.output);
            let param = Some(offset.to_string());
            steps.push(Step { op: AFTER_GAP.to_owned(), param, input, output: input.len() });
        }
        steps
    }
}
