//! Bytes that look random and are the same for the same seed, on every machine.

use crate::evidence::Digest;

/// A stream of numbers from a seed and a purpose (SplitMix64, Steele, Lea and Flood 2014).
///
/// Each purpose has its own stream, so that one more draw in one place moves nothing elsewhere.
#[derive(Clone)]
pub(super) struct Seeded(u64);

impl Seeded {
    /// Starts the stream for `purpose`.
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        let digest = Digest::of(format!("exhibit lab\0{seed}\0{purpose}").as_bytes());
        Self(digest.0.first_chunk().map_or(0, |start| u64::from_be_bytes(*start)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where `bound` is 0. The bias is below 2^-32 for the bounds used here.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let high = ((self.next() >> 32) * u64::from(bound)) >> 32;
        u32::try_from(high).unwrap_or(0)
    }

    /// Whether something that happens `permille` times in a thousand happens now.
    pub(super) fn happens(&mut self, permille: u32) -> bool {
        self.below(1000) < permille
    }

    /// Another stream, which draws nothing more from this one.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// `len` bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_be_bytes()).flatten().take(len).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_stream_and_each_purpose_its_own() {
        let draw = |seed, purpose| Seeded::new(seed, purpose).bytes(100);
        assert_eq!(draw(1, "photo"), draw(1, "photo"));
        assert_ne!(draw(1, "photo"), draw(2, "photo"));
        assert_ne!(draw(1, "photo"), draw(1, "link"));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut seeded = Seeded::new(7, "bound");
        let mut seen = [0_u32; 10];
        (0..1000).for_each(|_| seen[usize::try_from(seeded.below(10)).unwrap()] += 1);
        assert!(seen.iter().all(|&count| count > 60), "{seen:?}");
        assert_eq!(seeded.below(0), 0);
        assert!((0..1000).all(|_| !seeded.happens(0)));
        assert!((0..1000).all(|_| seeded.happens(1000)));
    }
}
