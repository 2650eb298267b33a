//! Bodies that stand in streams of their own, one after the other as one stream, by reference.

use std::sync::Arc;

use crate::{
    engine::{decode::within::Places, net::stream::Stream},
    evidence::ByteRange,
};

use super::MAX_HELD;

/// Bodies of one connection whose requests have a stream each.
#[derive(Default)]
pub(in crate::engine::decode) struct Gathered {
    /// All of them; none where none came yet.
    pub(in crate::engine::decode) stream: Option<Stream>,
    /// Where they stand in what was captured.
    pub(in crate::engine::decode) places: Places,
}

impl Gathered {
    /// Adds what stands in `content` of a stream, whose `places` are known; gives back where it stands among the others.
    /// `None` where they are too many pieces, or in other bytes than the ones before.
    pub(in crate::engine::decode) fn add(
        &mut self,
        stream: &Stream,
        places: &Places,
        content: &[ByteRange],
    ) -> Option<ByteRange> {
        let body = stream.parts(content.iter().copied());
        let all = self.stream.get_or_insert_with(|| stream.parts([]));
        if !Arc::ptr_eq(&all.blob, &stream.blob) || all.pieces.len() + body.pieces.len() > MAX_HELD {
            return None;
        }
        let start = all.end();
        all.append(&body);
        let (mut at, end) = (start, stream.end());
        for range in content {
            let range = ByteRange::new(range.start, range.end.min(end));
            for (inner, outer) in places.outer(range) {
                let from = at + (inner.start - range.start);
                self.places.push(ByteRange::new(from, from + inner.len()), outer.start);
            }
            at += range.len();
        }
        Some(ByteRange::new(start, at))
    }
}
