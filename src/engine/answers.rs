//! What servers answer to requests that hold the hash of a file: that they have it already, or that they do not.
//!
//! A status code or a few words of the answer tell. It is a sign and no proof: another protocol may mean something else by them.

use std::collections::BTreeMap;

use super::decode::sink::{
    CONTENT_CODINGS, CONTENT_OPS, LeafId, Origin, RequestHead, ResponseHead, TransactionId,
};
use crate::{evidence::Direction, findings::Answer};

/// Requests of one flow whose answers are kept.
const MAX_REQUESTS: usize = 10_000;
/// Bytes of an answer that are looked at; what says yes or no is short.
const LOOKED_AT: usize = 512;
/// Answers that are open at once: those of the streams of one connection.
const MAX_OPEN: usize = 256;

/// Words of an answer, in small letters and without blanks, that say that the content is there.
const THERE: &[&str] = &[
    "already",
    "duplicate",
    "dedup",
    "\"exist\":true",
    "\"exists\":true",
    "\"found\":true",
    "\"uploaded\":true",
    "\"rapid",
    "\"needupload\":false",
    "\"need_upload\":false",
];
/// Words that say that it is not.
const MISSING: &[&str] = &[
    "notexist",
    "notfound",
    "\"exist\":false",
    "\"exists\":false",
    "\"found\":false",
    "\"uploaded\":false",
    "\"needupload\":true",
    "\"need_upload\":true",
    "\"missing\":[\"",
];

/// Answers of one flow.
#[derive(Debug, Default)]
pub(super) struct Answers {
    of: BTreeMap<TransactionId, Seen>,
    open: BTreeMap<LeafId, (TransactionId, Vec<u8>)>,
}

/// What was seen of one request and its answer.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    is_head: bool,
    status: u16,
    there: bool,
    missing: bool,
}

impl Answers {
    pub(super) fn request(&mut self, head: &RequestHead) {
        if head.direction == Direction::Up && self.of.len() < MAX_REQUESTS {
            self.of.entry(head.transaction).or_default().is_head = head.method == "HEAD";
        }
    }

    pub(super) fn response(&mut self, head: &ResponseHead) {
        let last = (head.direction == Direction::Down && head.status >= 200).then_some(head.status);
        if let Some((seen, status)) = self.of.get_mut(&head.transaction).zip(last) {
            seen.status = status;
        }
    }

    /// The request that a leaf is the answer to, where it is content of one.
    pub(super) fn wants(&self, origin: &Origin) -> Option<TransactionId> {
        let transaction = origin.transaction.filter(|_| origin.direction == Direction::Down)?;
        let op = origin.steps.last()?.op.as_str();
        let content = CONTENT_OPS.contains(&op) || CONTENT_CODINGS.contains(&op);
        (content && self.open.len() < MAX_OPEN && self.of.contains_key(&transaction)).then_some(transaction)
    }

    /// Such a leaf begins.
    pub(super) fn open(&mut self, leaf: LeafId, transaction: TransactionId) {
        self.open.insert(leaf, (transaction, Vec::new()));
    }

    pub(super) fn write(&mut self, leaf: LeafId, bytes: &[u8]) {
        if self.open.is_empty() {
            return;
        }
        if let Some((_, text)) = self.open.get_mut(&leaf) {
            let room = LOOKED_AT.saturating_sub(text.len()).min(bytes.len());
            text.extend_from_slice(bytes.get(..room).unwrap_or_default());
        }
    }

    pub(super) fn close(&mut self, leaf: LeafId) {
        let Some((transaction, text)) = self.open.remove(&leaf) else { return };
        let text: String = String::from_utf8_lossy(&text)
            .chars()
            .filter(|c| !c.is_whitespace())
            .flat_map(char::to_lowercase)
            .collect();
        if let Some(seen) = self.of.get_mut(&transaction) {
            seen.there |= THERE.iter().any(|words| text.contains(words));
            seen.missing |= MISSING.iter().any(|words| text.contains(words));
        }
    }

    /// What was answered to a request.
    pub(super) fn to(&self, transaction: TransactionId) -> Answer {
        match self.of.get(&transaction).copied().unwrap_or_default() {
            Seen { status: 0, .. } => Answer::NotSeen,
            // Each word for itself is no answer where both stand there.
            Seen { there: true, missing: true, .. } => Answer::Other,
            Seen { missing: true, .. } | Seen { status: 404 | 410, .. } => Answer::NotThere,
            Seen { there: true, .. } => Answer::AlreadyThere,
            // RFC 9110 sections 15.4.5, 15.5.10 and 15.5.13, RFC 5842 section 7.1.
            Seen { status: 208 | 304 | 409 | 412, .. } => Answer::AlreadyThere,
            Seen { is_head: true, status: 200..=299, .. } => Answer::AlreadyThere,
            _ => Answer::Other,
        }
    }
}
