//! SHA-256 digests that are worked out two at a time.
//!
//! Each step of SHA-256 (FIPS 180-4) waits for the one before, so a processor with instructions for it is idle half of
//! the time. The steps of two digests do not wait for each other: in turns, two take three quarters of the time that
//! they take one after the other. A byte of an upload is digested with its stream and with its body, so there is
//! mostly company; bytes that come alone wait for it.

use sha2::block_api::compress256;

use crate::evidence::Digest;

/// Bytes of a block.
const BLOCK: usize = 64;
/// Blocks of one digest before it is the other's turn: with more the processor runs out of the other's steps.
const TURN: usize = 2;
/// Bytes that wait for company: what a stream's reader gives at once.
const MAX_WAITING: usize = 64 << 10;

/// FIPS 180-4 section 5.3.3.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A digest that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

/// Digests under way. Slots are used again.
#[derive(Default)]
pub(super) struct Digests {
    running: Vec<Running>,
    free: Vec<usize>,
    /// Whose bytes wait.
    waiting: Option<Slot>,
    bytes: Vec<u8>,
    /// How many of them are done.
    done: usize,
}

impl Digests {
    /// Begins a digest.
    pub(super) fn open(&mut self) -> Slot {
        if let Some(free) = self.free.pop() {
            return Slot(free);
        }
        self.running.push(Running::default());
        Slot(self.running.len() - 1)
    }

    /// Adds bytes to a digest.
    pub(super) fn write(&mut self, slot: Slot, mut bytes: &[u8]) {
        match self.waiting {
            Some(other) if other != slot => {
                let waiting = self.bytes.get(self.done..).unwrap_or_default();
                let both = waiting.len().min(bytes.len());
                let (now, rest) = bytes.split_at(both);
                let (mut one, mut two) = (take(&mut self.running, slot), take(&mut self.running, other));
                together(&mut one, now, &mut two, waiting.get(..both).unwrap_or_default());
                put(&mut self.running, slot, one);
                put(&mut self.running, other, two);
                self.done += both;
                if self.done == self.bytes.len() {
                    self.waiting = None;
                }
                bytes = rest;
            }
            Some(_) if self.bytes.len() - self.done + bytes.len() <= MAX_WAITING => {
                self.bytes.drain(..self.done);
                self.done = 0;
                self.bytes.extend_from_slice(bytes);
                return;
            }
            Some(_) => self.alone(),
            None => {}
        }
        if bytes.is_empty() {
            return;
        }
        let (now, later) = bytes.split_at(bytes.len().saturating_sub(MAX_WAITING));
        let mut one = take(&mut self.running, slot);
        one.update(now);
        put(&mut self.running, slot, one);
        self.bytes.clear();
        self.bytes.extend_from_slice(later);
        (self.waiting, self.done) = (Some(slot), 0);
    }

    /// Works off what waits.
    fn alone(&mut self) {
        let Some(slot) = self.waiting.take() else { return };
        let mut one = take(&mut self.running, slot);
        one.update(self.bytes.get(self.done..).unwrap_or_default());
        put(&mut self.running, slot, one);
    }

    /// Ends a digest.
    pub(super) fn finish(&mut self, slot: Slot) -> Digest {
        if self.waiting == Some(slot) {
            self.alone();
        }
        self.free.push(slot.0);
        take(&mut self.running, slot).finish()
    }
}

/// Takes a digest out of its slot; what stays there has just begun.
fn take(running: &mut [Running], slot: Slot) -> Running {
    running.get_mut(slot.0).map(std::mem::take).unwrap_or_default()
}

fn put(running: &mut [Running], slot: Slot, one: Running) {
    if let Some(place) = running.get_mut(slot.0) {
        *place = one;
    }
}

/// One digest.
struct Running {
    state: [u32; 8],
    /// The beginning of a block.
    held: [u8; BLOCK],
    len: u64,
}

impl Default for Running {
    fn default() -> Self {
        Self { state: START, held: [0; BLOCK], len: 0 }
    }
}

impl Running {
    fn held(&self) -> usize {
        usize::try_from(self.len % BLOCK as u64).unwrap_or(0)
    }

    /// Fills the block that was begun; gives what follows it.
    fn fill<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let held = self.held();
        if held == 0 {
            return bytes;
        }
        let (now, rest) = bytes.split_at(bytes.len().min(BLOCK - held));
        self.hold(held, now);
        if self.held() == 0 {
            let block = self.held;
            self.blocks(&[block]);
        }
        rest
    }

    fn hold(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.held.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.len += bytes.len() as u64;
    }

    fn blocks(&mut self, blocks: &[[u8; BLOCK]]) {
        compress256(&mut self.state, blocks);
    }

    /// Counts whole blocks and holds what follows them.
    fn rest(&mut self, blocks: usize, rest: &[u8]) {
        self.len += (blocks * BLOCK) as u64;
        if !rest.is_empty() {
            self.hold(0, rest);
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        let (blocks, rest) = self.fill(bytes).as_chunks();
        self.blocks(blocks);
        self.rest(blocks.len(), rest);
    }

    /// FIPS 180-4 section 5.1.1: a bit, zeros, and the length in bits.
    fn finish(mut self) -> Digest {
        let bits = self.len.wrapping_mul(8);
        let zeros = (BLOCK * 2 - 9 - self.held()) % BLOCK;
        let mut padding = [0; BLOCK * 2];
        padding[0] = 0x80;
        let end = 1 + zeros + 8;
        if let Some(length) = padding.get_mut(1 + zeros..end) {
            length.copy_from_slice(&bits.to_be_bytes());
        }
        self.update(padding.get(..end).unwrap_or_default());
        let mut digest = [0; 32];
        for (to, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *to = word.to_be_bytes();
        }
        Digest(digest)
    }
}

/// Two digests in turns.
fn together(one: &mut Running, first: &[u8], two: &mut Running, second: &[u8]) {
    let (first, first_rest) = one.fill(first).as_chunks();
    let (second, second_rest) = two.fill(second).as_chunks();
    let both = first.len().min(second.len());
    let (now, later) = first.split_at(both);
    let (also, afterwards) = second.split_at(both);
    for (first, second) in now.chunks(TURN).zip(also.chunks(TURN)) {
        one.blocks(first);
        two.blocks(second);
    }
    one.blocks(later);
    two.blocks(afterwards);
    one.rest(first.len(), first_rest);
    two.rest(second.len(), second_rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of no pattern (xorshift), and sizes.
    fn next(seed: &mut u64) -> u64 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }

    #[test]
    fn lengths_around_a_block_give_what_sha2_gives() {
        let bytes: Vec<u8> = (0..300).map(|n| u8::try_from(n % 251).unwrap()).collect();
        for len in 0..300 {
            let mut digests = Digests::default();
            let slot = digests.open();
            digests.write(slot, &bytes[..len]);
            assert_eq!(digests.finish(slot), Digest::of(&bytes[..len]), "{len}");
        }
    }

    #[test]
    fn however_digests_take_turns_each_is_its_own() {
        let mut seed = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..200 {
            let mut digests = Digests::default();
            let mut open: Vec<(Slot, Vec<u8>)> = Vec::new();
            for _ in 0..60 {
                match next(&mut seed) % 6 {
                    0 => open.push((digests.open(), Vec::new())),
                    1 if !open.is_empty() => {
                        let place = usize::try_from(next(&mut seed)).unwrap() % open.len();
                        let (slot, bytes) = open.swap_remove(place);
                        assert_eq!(digests.finish(slot), Digest::of(&bytes));
                    }
                    _ if !open.is_empty() => {
                        let place = usize::try_from(next(&mut seed)).unwrap() % open.len();
                        let most =
                            [3, 64, 200, 5_000, 200_000][usize::try_from(next(&mut seed) % 5).unwrap()];
                        let len = next(&mut seed) % most;
                        let bytes: Vec<u8> = (0..len).map(|n| (n ^ seed).to_le_bytes()[0]).collect();
                        let (slot, all) = &mut open[place];
                        digests.write(*slot, &bytes);
                        all.extend(bytes);
                    }
                    _ => {}
                }
            }
            for (slot, bytes) in open {
                assert_eq!(digests.finish(slot), Digest::of(&bytes));
            }
        }
    }
}
