//! A mail on its way, whatever carries it: as it was sent, without what transparency adds, and peeled.

use crate::{
    engine::codec::Part,
    evidence::{AnomalyKind, ByteRange},
};

use super::{
    content::{Content, Declared},
    layers::{Bytes, Out, Stage},
    sink::{BodyEnd, Keep, Place, TransactionId},
};

/// The operation of the leaf that holds a mail as it was sent, stuffed dots included.
const AS_SENT: &str = "mail.sent";

/// A mail while it streams by.
pub(super) struct Letter {
    sent: Stage,
    framing: Stage,
    content: Content,
    range: ByteRange,
    gapped: bool,
    /// A dot at the start of a line: stuffed, and sent with the mail, if more than the end of the line follows.
    dot: Option<ByteRange>,
}

impl Letter {
    /// A mail whose first byte stands at `at`; its leaf has the operation `op`, what frames it `framing`.
    pub(super) fn new(op: &'static str, framing: &'static str, at: u64) -> Self {
        let declared =
            Declared { media: Some("message/rfc822".to_owned()), mail: true, ..Declared::default() };
        Self {
            sent: Stage::new(AS_SENT, None, at, Keep::Digest),
            framing: Stage::new(framing, None, at, Keep::Search),
            content: Content::new(Stage::new(op, None, at, Keep::Search), declared).expect(),
            range: ByteRange::new(at, at),
            gapped: false,
            dot: None,
        }
    }

    /// Takes bytes of the mail, or of the line that ends it.
    pub(super) fn push(&mut self, out: &mut Out<'_>, part: Part, data: &[u8], range: ByteRange) {
        out.budget.input(range.len());
        let bytes = Bytes::wire(data, range);
        if part != Part::Data {
            self.framing.consumed(range.end);
            self.framing.write(out, bytes);
            out.place(range, Place::Understood);
            self.dot = (data == b".").then_some(range);
            return;
        }
        self.stuffed(out);
        self.range.end = range.end;
        self.sent.consumed(range.end);
        self.sent.write(out, bytes);
        self.content.runs(range.start);
        self.content.push(out, bytes, range.end);
    }

    fn stuffed(&mut self, out: &mut Out<'_>) {
        if let Some(range) = self.dot.take() {
            self.sent.consumed(range.end);
            self.sent.write(out, Bytes::wire(b".", range));
        }
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, out: &mut Out<'_>, gap: ByteRange) {
        self.stuffed(out);
        self.gapped = true;
        self.range.end = gap.end;
        self.sent.gap(out, gap.len());
        self.sent.consumed(gap.end);
        self.content.gap(out, gap.len(), gap.end);
    }

    /// Ends the mail and tells of it.
    pub(super) fn finish(mut self, out: &mut Out<'_>, transaction: TransactionId, complete: bool) {
        self.content.finish(out);
        self.framing.close(out);
        self.sent.close(out);
        if !complete {
            let detail = format!("a mail ends after {} bytes, before its end was said", self.range.len());
            out.anomaly(AnomalyKind::MailMalformed, self.range.end.checked_sub(1), detail);
        }
        let end = if complete && !self.gapped { BodyEnd::Complete } else { BodyEnd::Incomplete };
        out.sink.body_end(transaction, out.direction, end, self.sent.output());
    }
}
