//! What is odd in a capture's frames, counted by kind and words.

use std::collections::BTreeMap;

use crate::evidence::{Anomaly, AnomalyKind, FrameNo};

/// Different oddities of one capture that are told apart; hostile frames could spell one each.
const MAX_KINDS: usize = 1_000;

/// Collects oddities: the first frame of each and how many there are.
#[derive(Default)]
pub(super) struct Oddities {
    seen: BTreeMap<(AnomalyKind, String), (FrameNo, u64)>,
    left_out: u64,
}

impl Oddities {
    pub(super) fn add(&mut self, kind: AnomalyKind, frame: FrameNo, words: String) {
        let full = self.seen.len() >= MAX_KINDS;
        match self.seen.entry((kind, words)) {
            std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
            std::collections::btree_map::Entry::Vacant(entry) if !full => {
                entry.insert((frame, 1));
            }
            std::collections::btree_map::Entry::Vacant(_) => self.left_out += 1,
        }
    }

    /// Sorted by kind and words.
    pub(super) fn finish(self, capture: &str) -> Vec<Anomaly> {
        let anomaly =
            |kind, frame, detail| Anomaly { kind, capture: capture.to_owned(), frame, flow: None, detail };
        let seen = self.seen.into_iter().map(|((kind, words), (frame, count))| {
            let frames = if count == 1 { "1 frame".to_owned() } else { format!("{count} frames") };
            anomaly(kind, Some(frame), format!("{words}: {frames}, the first is this one"))
        });
        let rest = (self.left_out > 0).then(|| {
            let detail = format!("{} frames are odd in other ways", self.left_out);
            anomaly(AnomalyKind::LimitReached, None, detail)
        });
        seen.chain(rest).collect()
    }
}
