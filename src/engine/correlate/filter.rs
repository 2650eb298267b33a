//! Tells off nearly every hash that was not put in.

/// The most words, 8 MiB: what is more would leave the cache for good.
const MAX_WORDS_BITS: u32 = 20;
/// The fewest words.
const MIN_WORDS_BITS: u32 = 10;

/// A Bloom filter whose bits for one hash stand in one word, so that a look costs one load. What was put in is
/// always recognised.
#[derive(Clone)]
pub(super) struct Filter {
    words: Vec<u64>,
    shift: u32,
}

impl Filter {
    /// Room for about `count` hashes, at 16 to 32 bits each as long as that fits.
    pub(super) fn new(count: usize) -> Self {
        let bits = (count / 4).next_power_of_two().trailing_zeros().clamp(MIN_WORDS_BITS, MAX_WORDS_BITS);
        Self { words: vec![0; 1 << bits], shift: u64::BITS - bits }
    }

    /// Puts a hash in.
    pub(super) fn insert(&mut self, hash: u64) {
        let word = self.word(hash);
        if let Some(word) = self.words.get_mut(word) {
            *word |= mask(hash);
        }
    }

    /// Whether the hash may have been put in.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        self.words.get(self.word(hash)).is_some_and(|word| word & mask(hash) == mask(hash))
    }

    /// Puts in what another filter of the same size holds.
    pub(super) fn unite(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    fn word(&self, hash: u64) -> usize {
        usize::try_from(hash >> self.shift).unwrap_or(0)
    }
}

/// Three bits by the low end of the hash; its high end chooses the word.
fn mask(hash: u64) -> u64 {
    1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63)
}
