//! Contents handed out as bytes: bodies, messages, parts and members, as they come out of a capture.

use std::{collections::BTreeMap, io};

use super::{
    analyze::AnalysisError,
    decode::{
        self, Context, Conversation, Shared,
        sink::{
            AFTER_GAP, CONTENT_CODINGS, CONTENT_OPS, LeafId, Message, Origin, RequestHead, ResponseHead,
            Sink, Source, TransactionId,
        },
    },
    keys::keys,
    net::{self, Flow, Index, Side},
    subject::Subject,
};
use crate::{
    case::Case,
    evidence::{Direction, FrameNo, Limits, Step, printable},
};

/// Characters kept of a name.
const MAX_NAME: usize = 1_000;
/// Messages of one flow whose names are remembered.
const MAX_NAMED: usize = 1 << 18;
/// Contents inside a content.
const MEMBERS: [&str; 8] = [
    "grpc.message",
    "multipart.part",
    "mime.part",
    "mime.body",
    "zip.stored",
    "zip.deflated",
    "tar.member",
    "data-url",
];

/// A content that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The flow's name.
    pub flow: String,
    /// The flow's first frame.
    pub first_frame: FrameNo,
    /// Which way it went.
    pub direction: Direction,
    /// The number of its message in the flow.
    pub message: Option<u32>,
    /// What it is called: a file name, a request target, a topic; printable, perhaps empty.
    pub name: String,
    /// The media type that is declared, printable, perhaps empty.
    pub media_type: String,
    /// What was taken off, outermost first.
    pub steps: Vec<Step>,
    /// How many codings were taken off the message's content as a whole; `None` for a part or member.
    pub depth: Option<usize>,
}

/// Takes contents.
pub trait Take {
    /// Takes the beginning of a content; several may be open at once. Gives it a number.
    ///
    /// # Errors
    /// When it can't be kept.
    fn begin(&mut self, content: &Content) -> io::Result<u32>;

    /// Takes bytes of a content.
    ///
    /// # Errors
    /// When they can't be kept.
    fn bytes(&mut self, content: u32, bytes: &[u8]) -> io::Result<()>;

    /// Takes the end of a content.
    ///
    /// # Errors
    /// When it can't be kept.
    fn end(&mut self, content: u32) -> io::Result<()>;

    /// Takes the end of a flow.
    ///
    /// # Errors
    /// When what came of it can't be kept.
    fn flow_end(&mut self) -> io::Result<()>;
}

/// Walks the captures of a case and hands out the contents of the flows that are wanted, by capture and first frame. Says how
/// many flows were walked.
///
/// # Errors
/// When a capture can't be read, or a content can't be taken.
pub fn extract(
    case: &Case,
    limits: &Limits,
    wanted: &dyn Fn(&str, FrameNo) -> bool,
    take: &mut dyn Take,
) -> Result<u64, AnalysisError> {
    if case.captures.is_empty() {
        return Err(AnalysisError::NoCapture);
    }
    let indexes: Vec<Index> =
        case.captures.values().map(|capture| net::index(capture, limits)).collect::<Result<_, _>>()?;
    let keys = keys(case, &indexes)?;
    let subject = Subject::determine(&case.plan, &indexes).unwrap_or_else(|_| Subject::initiators());
    let mut walked = 0;
    for (capture, index) in case.captures.values().zip(&indexes) {
        let context = Context::new(limits, &keys, capture.scratch());
        walked += extract_from(index, &subject, &context, wanted, take)?;
    }
    Ok(walked)
}

fn extract_from(
    index: &Index,
    subject: &Subject,
    context: &Context<'_>,
    wanted: &dyn Fn(&str, FrameNo) -> bool,
    take: &mut dyn Take,
) -> Result<u64, AnalysisError> {
    let wanted = |flow: &Flow| wanted(&index.capture, flow.first_frame);
    let mut walked = 0;
    for group in index.groups().iter() {
        let flows: Vec<&Flow> = group.iter().filter_map(|id| index.flow(*id)).collect();
        // Flows of a group need each other, so that all of them are walked or none.
        if !flows.iter().any(|flow| wanted(flow)) {
            continue;
        }
        let mut shared = Shared::default();
        for flow in flows {
            let uplink = subject.uplink_side(flow).unwrap_or(Side::Initiator);
            let mut extractor = Extractor {
                index,
                flow,
                wanted: wanted(flow),
                take,
                next: 0,
                open: BTreeMap::new(),
                names: BTreeMap::new(),
                types: BTreeMap::new(),
                failure: None,
            };
            let (up, down) = (index.stream(flow.id, uplink)?, index.stream(flow.id, uplink.other())?);
            let conversation = Conversation {
                transport: flow.transport,
                local: flow.address(uplink),
                remote: flow.address(uplink.other()),
                up: &up,
                down: &down,
            };
            decode::walk(&conversation, context, &mut shared, &mut extractor)?;
            walked += u64::from(extractor.wanted);
            if let Some(error) = extractor.failure {
                return Err(AnalysisError::View(error));
            }
            take.flow_end().map_err(AnalysisError::View)?;
        }
    }
    Ok(walked)
}

/// Hands on the contents of one flow.
struct Extractor<'e> {
    index: &'e Index,
    flow: &'e Flow,
    wanted: bool,
    take: &'e mut dyn Take,
    next: u32,
    /// Numbers that were given, by leaf.
    open: BTreeMap<LeafId, u32>,
    names: BTreeMap<TransactionId, String>,
    types: BTreeMap<(TransactionId, Direction), String>,
    failure: Option<io::Error>,
}

impl Extractor<'_> {
    fn name(&mut self, transaction: TransactionId, name: &[u8]) {
        if self.names.len() < MAX_NAMED && !name.is_empty() {
            self.names.insert(transaction, printable(name, MAX_NAME));
        }
    }

    fn media_type(&mut self, transaction: TransactionId, direction: Direction, fields: &[(String, Vec<u8>)]) {
        let value = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if let Some((_, value)) = value
            && self.types.len() < MAX_NAMED
        {
            self.types.insert((transaction, direction), printable(value, MAX_NAME));
        }
    }

    fn content(&self, origin: &Origin) -> Option<Content> {
        let Origin { direction, transaction, steps, .. } = origin;
        let all: Vec<&Step> = steps.iter().filter(|step| step.op != AFTER_GAP).collect();
        let ops: Vec<&str> = all.iter().map(|step| step.op.as_str()).collect();
        let message = ops.iter().rposition(|op| CONTENT_OPS.contains(op))?;
        let inside = ops.get(message + 1..)?;
        let last = all.last()?;
        let depth = if inside.iter().all(|op| *op == "chunked" || CONTENT_CODINGS.contains(op)) {
            Some(inside.len())
        } else if MEMBERS.contains(&last.op.as_str()) {
            None
        } else {
            return None;
        };
        let own = last
            .param
            .as_deref()
            .filter(|_| depth.is_none())
            .map(|name| printable(name.as_bytes(), MAX_NAME));
        let known = transaction.and_then(|transaction| self.names.get(&transaction).cloned());
        let media_type = transaction.and_then(|transaction| self.types.get(&(transaction, *direction)));
        Some(Content {
            flow: self.flow.name(&self.index.capture),
            first_frame: self.flow.first_frame,
            direction: *direction,
            message: transaction.map(|TransactionId(no)| no),
            name: own.or(known).unwrap_or_default(),
            media_type: media_type.filter(|_| depth.is_some()).cloned().unwrap_or_default(),
            steps: steps.clone(),
            depth,
        })
    }

    fn attempt(&mut self, act: impl FnOnce(&mut dyn Take) -> io::Result<()>) {
        if self.failure.is_none() {
            self.failure = act(self.take).err();
        }
    }
}

impl Sink for Extractor<'_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        let id = LeafId(self.next);
        self.next = self.next.saturating_add(1);
        let content = self.content(&origin).filter(|_| self.wanted && self.failure.is_none());
        if let Some(content) = content {
            match self.take.begin(&content) {
                Ok(no) => {
                    self.open.insert(id, no);
                }
                Err(error) => self.failure = Some(error),
            }
        }
        id
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], _: Source) {
        if let Some(no) = self.open.get(&leaf).copied() {
            self.attempt(|take| take.bytes(no, bytes));
        }
    }

    fn close(&mut self, leaf: LeafId, _: &[Step]) {
        if let Some(no) = self.open.remove(&leaf) {
            self.attempt(|take| take.end(no));
        }
    }

    fn request(&mut self, head: &RequestHead) {
        self.name(head.transaction, &head.uri);
        self.media_type(head.transaction, head.direction, &head.fields);
    }

    fn response(&mut self, head: &ResponseHead) {
        self.media_type(head.transaction, head.direction, &head.fields);
    }

    fn message(&mut self, message: &Message) {
        self.name(message.transaction, &message.name);
    }
}
