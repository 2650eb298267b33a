//! The keys of one direction: those in use, and those that may come next. Which secret of a key log is right shows in
//! the tag or MAC that verifies; nothing else is believed.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Version,
    protection::{Chain, Header, Opened, Protection},
    schedule,
    suite::Suite,
};

/// Secrets tried for one purpose: logs of several runs may disagree, and hostile ones may hold any number.
pub(super) const MAX_CANDIDATES: usize = 16;

/// Records that failed before one verifies which are still counted back: one damaged record, a few injected ones.
const MAX_FAILED: u64 = 32;

/// Bytes of ciphertext that may be tried in vain in one direction, beside once for each record that stands where one must:
/// a gap or a damaged record costs some hundred tries of 16 KiB. A stream cipher that is brought to its place counts too.
const MAX_WASTE: u64 = 128 << 20;

/// Changes of keys in one direction. RFC 8446 section 5.5 asks for one each 24 million records.
const MAX_EPOCHS: usize = 1_024;

/// Bytes of the largest block, which stands before a chained record.
const MAX_BLOCK: usize = 16;

/// What records are protected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// 0-RTT data (RFC 8446 section 2.3).
    Early,
    /// Handshake messages of TLS 1.3.
    Handshake,
    /// Everything after the handshake.
    Application,
}

/// A secret that may be the right one.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) protection: Arc<Protection>,
    /// The master secret, or in TLS 1.3 the traffic secret.
    pub(super) secret: Vec<u8>,
}

struct Pending {
    phase: Phase,
    candidates: Vec<Candidate>,
}

struct Live {
    phase: Phase,
    candidate: Candidate,
    /// The number of the next record.
    number: u64,
    chain: Chain,
}

/// A record that was opened, with what it was opened with.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) opened: Opened,
    pub(super) protection: Arc<Protection>,
    pub(super) phase: Phase,
    pub(super) number: u64,
    /// Records that were not seen between the last one and this one, where that is known.
    pub(super) missing: Option<u64>,
}

/// The keys of one direction.
pub(super) struct Keys {
    terms: Option<(Version, Suite)>,
    live: Option<Live>,
    pending: VecDeque<Pending>,
    /// Records since the last one that was opened, and the bytes of their payloads.
    failed: u64,
    passed: usize,
    /// The last bytes of the payload before.
    tail: Vec<u8>,
    waste: u64,
    epochs: usize,
    /// Whether a record was ever opened.
    pub(super) proven: bool,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self {
            terms: None,
            live: None,
            pending: VecDeque::new(),
            failed: 0,
            passed: 0,
            tail: Vec::new(),
            waste: 0,
            epochs: 0,
            proven: false,
        }
    }

    /// Whether there is anything to try.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_none() && self.pending.is_empty()
    }

    /// Keys that follow those in use.
    pub(super) fn expect(&mut self, terms: (Version, Suite), phase: Phase, candidates: Vec<Candidate>) {
        self.terms = Some(terms);
        if !candidates.is_empty() {
            self.pending.push_back(Pending { phase, candidates });
        }
    }

    /// The peer changes its keys here: those in use end.
    pub(super) fn change(&mut self) {
        self.live = None;
        (self.failed, self.passed) = (0, 0);
    }

    /// What the keys in use are for.
    pub(super) fn phase(&self) -> Option<Phase> {
        self.live.as_ref().map(|live| live.phase)
    }

    /// The secret that the keys in use are made from.
    pub(super) fn secret(&self) -> Option<&[u8]> {
        self.live.as_ref().map(|live| live.candidate.secret.as_slice())
    }

    /// The peer updates its traffic secret here (RFC 8446 section 4.6.3).
    pub(super) fn update(&mut self) {
        if let (Some(next), Some(live)) = (self.next_generation(), &mut self.live) {
            (live.candidate, live.number, live.chain) = (next, 0, Chain::default());
            self.epochs += 1;
        }
    }

    fn next_generation(&self) -> Option<Candidate> {
        let ((version, suite), live) = (self.terms?, self.live.as_ref()?);
        if !version.is_13() || self.epochs >= MAX_EPOCHS {
            return None;
        }
        let secret = schedule::updated(suite.hash, &live.candidate.secret)?;
        let protection = Arc::new(schedule::protection_13(version, suite, &secret)?);
        Some(Candidate { protection, secret })
    }

    /// The least that a record holds beside its content.
    pub(super) fn overhead(&self) -> usize {
        let live = self.live.iter().map(|live| &live.candidate);
        let pending = self.pending.iter().flat_map(|pending| &pending.candidates);
        live.chain(pending).map(|candidate| candidate.protection.overhead()).min().unwrap_or_default()
    }

    /// Opens a record before which up to `missing` records were not seen; `before` what stands before it, where it
    /// does not follow the last one.
    pub(super) fn open(
        &mut self,
        header: Header,
        payload: &[u8],
        missing: u64,
        before: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Option<Found> {
        // Where records are looked for, any byte may look like the start of one.
        if missing > 0 && self.waste > MAX_WASTE {
            return None;
        }
        let found = self
            .open_live(header, payload, missing, before, out)
            .or_else(|| self.open_pending(header, payload, missing, before, out))
            .or_else(|| self.open_updated(header, payload, missing, out))?;
        (self.failed, self.passed) = (0, 0);
        self.proven = true;
        self.keep_tail(payload);
        if let Some(live) = &mut self.live {
            live.number = found.number + 1;
            found.protection.pass(&mut live.chain, payload);
        }
        Some(found)
    }

    /// Notes that a record passed that could not be opened; of a broken one the payload is not there.
    pub(super) fn fail(&mut self, payload: &[u8]) {
        self.failed = (self.failed + 1).min(MAX_FAILED);
        self.passed = self.passed.saturating_add(payload.len());
        self.keep_tail(payload);
        if let Some(live) = &mut self.live {
            let protection = live.candidate.protection.clone();
            protection.pass(&mut live.chain, payload);
        }
    }

    fn keep_tail(&mut self, payload: &[u8]) {
        self.tail.clear();
        self.tail
            .extend_from_slice(payload.get(payload.len().saturating_sub(MAX_BLOCK)..).unwrap_or_default());
    }

    /// Counts a try in vain; false when there were too many.
    fn may_waste(&mut self, bytes: usize) -> bool {
        self.waste = self.waste.saturating_add(bytes as u64 + 64);
        self.waste <= MAX_WASTE
    }

    fn open_live(
        &mut self,
        header: Header,
        payload: &[u8],
        missing: u64,
        before: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Option<Found> {
        let live = self.live.as_ref()?;
        let (protection, phase, next) = (live.candidate.protection.clone(), live.phase, live.number);
        let chain = match before {
            Some(before) if !protection.is_sequential() => protection.chain_at(next + 1, before, None)?,
            _ => live.chain.clone(),
        };
        // The most probable number first: each record that failed had one.
        let likely = next + self.failed;
        let numbers =
            std::iter::once(likely).chain((next..=likely + missing).filter(|number| *number != likely));
        for number in numbers {
            if let Some(opened) = protection.open(number, header, payload, &chain, out) {
                let missing = number.checked_sub(likely);
                return Some(Found { opened, protection, phase, number, missing });
            }
            if (number != likely || missing > 0) && !self.may_waste(payload.len()) {
                break;
            }
        }
        None
    }

    fn open_pending(
        &mut self,
        header: Header,
        payload: &[u8],
        missing: u64,
        before: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Option<Found> {
        for at in 0..self.pending.len() {
            let pending = self.pending.get(at)?;
            let (phase, candidates) = (pending.phase, pending.candidates.clone());
            let first_try = self.live.is_none() && at == 0;
            for candidate in candidates {
                let protection = candidate.protection.clone();
                let likely = if first_try { self.failed } else { 0 };
                // A stream cipher stands at one place only, and what it passed has to be made again for each try.
                let sequential = protection.is_sequential();
                let passed_before = if sequential { self.passed } else { 0 };
                if sequential && self.waste > MAX_WASTE {
                    continue;
                }
                let others = if sequential { 0 } else { self.failed + missing + 1 };
                let numbers = std::iter::once(likely).chain((0..others).filter(|number| *number != likely));
                for number in numbers {
                    let passed = (missing == 0).then_some(if first_try { self.passed } else { 0 });
                    let tail = before.unwrap_or(&self.tail);
                    let Some(chain) = protection.chain_at(number, tail, passed) else { continue };
                    if let Some(opened) = protection.open(number, header, payload, &chain, out) {
                        let missing = if first_try { number.checked_sub(self.failed) } else { None };
                        self.live = Some(Live { phase, candidate, number, chain });
                        self.pending.drain(..=at);
                        self.epochs += 1;
                        return Some(Found { opened, protection, phase, number, missing });
                    }
                    if !self.may_waste(payload.len().saturating_add(passed_before)) {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// A KeyUpdate may be among records that are missing.
    fn open_updated(
        &mut self,
        header: Header,
        payload: &[u8],
        missing: u64,
        out: &mut Vec<u8>,
    ) -> Option<Found> {
        if missing == 0 && self.failed == 0 {
            return None;
        }
        let next = self.next_generation()?;
        let phase = self.phase()?;
        for number in 0..=missing + self.failed {
            let protection = next.protection.clone();
            if let Some(opened) = protection.open(number, header, payload, &Chain::default(), out) {
                self.live = Some(Live { phase, candidate: next, number, chain: Chain::default() });
                self.epochs += 1;
                return Some(Found { opened, protection, phase, number, missing: None });
            }
            if !self.may_waste(payload.len()) {
                break;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{super::protection::Mac, *};
    use crate::engine::proto::crypto::{Aead, Hash};

    const APPLICATION_DATA: Header = Header { kind: 23, version: 0x0303 };

    /// Keys that open nothing, close to the end of what may be tried in vain.
    fn wrong(protection: impl Fn(u8) -> Protection) -> Keys {
        let candidate = |secret| Candidate { protection: Arc::new(protection(secret)), secret: Vec::new() };
        let mut keys = Keys::new();
        let suite = Suite::of(0x0005).unwrap();
        keys.expect((Version::TLS12, suite), Phase::Application, (0..16).map(candidate).collect());
        keys.waste = MAX_WASTE - (4 << 20);
        keys
    }

    #[test]
    fn a_stream_cipher_is_not_made_again_from_its_start_for_ever() {
        let mac = || Mac { hash: Hash::Sha1, key: vec![0; 20], len: 20 };
        let mut keys = wrong(|secret| Protection::rc4(&[secret; 16], mac()));
        let (payload, mut out, mut wasted) = (vec![7; 16 << 10], Vec::new(), Vec::new());
        for _ in 0..300 {
            assert!(keys.open(APPLICATION_DATA, &payload, 0, None, &mut out).is_none());
            keys.fail(&payload);
            wasted.push(keys.waste);
        }
        assert!(wasted[0] < MAX_WASTE, "the first record is tried with all that there are");
        assert!(wasted[20] > MAX_WASTE, "what is passed counts: {}", wasted[20]);
        assert_eq!(wasted[299], wasted[20], "no more tries");
    }

    #[test]
    fn bytes_that_look_like_records_behind_a_gap_are_not_tried_for_ever() {
        let mut keys =
            wrong(|secret| Protection::aead(Aead::Aes128Gcm, &[secret; 16], &[secret; 4]).unwrap());
        let (payload, mut out) = (vec![7; 1 << 10], Vec::new());
        let mut search = |keys: &mut Keys| {
            assert!(keys.open(APPLICATION_DATA, &payload, 1, None, &mut out).is_none());
            keys.waste
        };
        let end = (0..1_000).map(|_| search(&mut keys)).last().unwrap();
        assert!(end > MAX_WASTE);
        assert_eq!(search(&mut keys), end);
        // A record that stands where one must is still tried once.
        assert!(keys.open(APPLICATION_DATA, &payload, 0, None, &mut out).is_none());
        assert!(keys.waste > end);
    }
}
