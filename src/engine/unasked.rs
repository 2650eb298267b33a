//! What a server sent without being asked: what the phone does right behind it may be the answer to a push.
//!
//! A push hides in any connection that stays open, most of them encrypted, so that its times are all there is: payload
//! that came down on a connection on which nothing had moved for a while.

use std::collections::BTreeSet;

use super::net::stream::Stream;
use crate::{
    case::scenario::plan::{Plan, Predicate},
    evidence::Timestamp,
};

/// Nanoseconds without payload either way, behind which nobody waits for an answer any more: Android's resolver, for one,
/// asks again after 5 s.
const STILL: u64 = 5_000_000_000;
/// Milliseconds within which a phone answers a push: a radio that sleeps wakes up within a few seconds.
const ANSWERS: u64 = 10_000;
/// Moments kept of one capture. Behind each lie 5 s of silence on one connection; beyond these every connection counts as one
/// that may be an answer.
const MAX_MOMENTS: usize = 1_000_000;

/// The moments of one capture at which something came down unasked.
#[derive(Debug, Default)]
pub(super) struct Unasked {
    moments: BTreeSet<Timestamp>,
    over: bool,
}

/// Whether any claim asks for it: what the phone does by itself is no answer.
pub(super) fn matters(plan: &Plan) -> bool {
    let mut tests = plan.claims.iter().flat_map(|claim| claim.predicate.tests());
    tests.any(|test| matches!(test, Predicate::Connects { attended: Some(false), .. }))
}

impl Unasked {
    /// Takes the two directions of a flow.
    pub(super) fn add(&mut self, up: &Stream, down: &Stream) {
        let mut moved: Vec<(Timestamp, bool)> = up.pieces.iter().map(|piece| (piece.time, false)).collect();
        moved.extend(down.pieces.iter().map(|piece| (piece.time, true)));
        moved.sort_unstable();
        for pair in moved.windows(2) {
            let [(before, _), (time, is_down)] = pair else { continue };
            if *is_down && time.0.saturating_sub(before.0) > STILL {
                self.over |= self.moments.len() >= MAX_MOMENTS;
                if !self.over {
                    self.moments.insert(*time);
                }
            }
        }
    }

    /// Milliseconds from the last such moment to `time`, if they are few enough for an answer.
    pub(super) fn before(&self, time: Timestamp) -> Option<u64> {
        if self.over {
            return Some(0);
        }
        let moment = self.moments.range(..=time).next_back()?;
        let millis = (time.0 - moment.0) / 1_000_000;
        (millis <= ANSWERS).then_some(millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::net::stream::Piece,
        evidence::{ByteRange, FrameNo},
    };

    fn stream(seconds: &[u64]) -> Stream {
        let piece = |second: &u64| Piece {
            range: ByteRange::new(*second, second + 1),
            at: 0,
            frame: FrameNo(1),
            time: at(*second),
        };
        let mut stream = Stream::of_bytes(&[]);
        stream.pieces = seconds.iter().map(piece).collect();
        stream
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    fn after(up: &[u64], down: &[u64], seconds: u64) -> Option<u64> {
        let mut unasked = Unasked::default();
        unasked.add(&stream(up), &stream(down));
        unasked.before(at(seconds))
    }

    #[test]
    fn what_came_down_on_a_still_connection_was_not_asked_for() {
        assert_eq!(after(&[1], &[2, 60], 63), Some(3_000));
        assert_eq!(after(&[1], &[2, 60], 60), Some(0));
        assert_eq!(after(&[1], &[2, 60], 71), None, "too long ago to be answered now");
        assert_eq!(after(&[1], &[2, 60], 59), None, "it came later");
    }

    #[test]
    fn answers_long_answers_and_first_words_are_no_pushes() {
        assert_eq!(after(&[1, 58], &[2, 60], 61), None, "asked two seconds before");
        let long: Vec<u64> = (2..60).collect();
        assert_eq!(after(&[1], &long, 60), None, "a long answer");
        assert_eq!(after(&[], &[60], 61), None, "a server that speaks first");
    }
}
