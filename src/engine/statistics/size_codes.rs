//! Sizes of uploads that nobody can read, against the sizes of photos that were planted.
//!
//! Every photo of a size code has its own size, far from each other's. In each window one of them was made; what
//! is counted is in how many windows an upload of that size was seen. How likely that is by luck depends on what
//! the phone sends anyway, which no formula knows: so the same count is made for ten thousand codes that were
//! never planted, drawn from the same range, under the same matching. The rank of the true code among them is the
//! probability.

use std::collections::BTreeSet;

/// Decoy codes that the true one is ranked among.
pub const DECOYS: u32 = 10_000;
/// Uploads of one window that are looked at; a window with more of them matches any size by luck.
pub const MAX_UPLOADS: usize = 100_000;
/// Codes planted at most: what one experiment makes.
pub const MAX_CODES: usize = 1_000;
/// How far apart two codes must be, in thousandths.
const APART_PERMILLE: u64 = 30;
/// The largest multiple of a code that must stay clear of the others: an app may send a photo twice.
const MULTIPLES: u64 = 3;

/// How an upload of a file of known size looks on the wire, fixed before any window is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matching {
    /// Bytes that heads, framing and fields may add.
    pub overhead: u64,
    /// What grows with the file (chunks, padding), in thousandths of it.
    pub permille: u64,
}

impl Matching {
    /// Whether an upload of `seen` bytes is one of a file of `size` bytes.
    pub fn fits(&self, size: u64, seen: u64) -> bool {
        let most =
            size.saturating_add(self.overhead).saturating_add(size.saturating_mul(self.permille) / 1_000);
        (size..=most).contains(&seen)
    }
}

/// One window: the planted size, and the sizes of all uploads that were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Bytes of the photo that was made in it.
    pub planted: u64,
    /// Bytes of each upload: sums of record lengths between pauses.
    pub uploads: Vec<u64>,
}

/// What ranking gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank {
    /// Windows in which an upload of the planted size was seen.
    pub matched: u32,
    /// All windows.
    pub windows: u32,
    /// Decoy codes that matched at least as often.
    pub decoys_as_good: u32,
    /// Decoy codes in all.
    pub decoys: u32,
    /// (`decoys_as_good` + 1) / (`decoys` + 1).
    pub probability: f64,
}

/// Two codes that an upload could be mistaken between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an upload of {first} bytes and one of {second} look alike (within 3 %, alone, doubled, tripled or together)"
)]
pub struct Clash {
    /// One size.
    pub first: u64,
    /// The other.
    pub second: u64,
}

/// Checks that no code, its double or triple, nor the sum of two, comes within 3 % of another code.
///
/// # Errors
/// The first two that do, in the order given.
pub fn separated(codes: &[u64]) -> Result<(), Clash> {
    let near = |a: u64, b: u64| a.abs_diff(b).saturating_mul(1_000) < a.max(b).saturating_mul(APART_PERMILLE);
    let codes = codes.get(..codes.len().min(MAX_CODES)).unwrap_or_default();
    for (place, &first) in codes.iter().enumerate() {
        for (other, &second) in codes.iter().enumerate() {
            let multiple = (1..=MULTIPLES).any(|times| near(first.saturating_mul(times), second));
            let sum = codes.iter().enumerate().filter(|(third, _)| *third != other && *third > place);
            let sums = || sum.clone().any(|(_, &third)| near(first.saturating_add(third), second));
            if place != other && (multiple || sums()) {
                return Err(Clash { first, second });
            }
        }
    }
    Ok(())
}

/// Ranks the planted sizes among decoy codes that `draw` gives: uniform numbers below 2^64, the same for the same seed.
///
/// A decoy has one size for each planted one, drawn log-uniformly between the smallest and the largest planted size
/// (spread by 3 %), and windows that shared a planted size share the decoy's.
pub fn rank(windows: &[Window], matching: &Matching, draw: &mut dyn FnMut() -> u64) -> Option<Rank> {
    let planted: BTreeSet<u64> = windows.iter().map(|window| window.planted).take(MAX_CODES).collect();
    let (least, most) = (*planted.first()?, *planted.last()?);
    let sorted: Vec<Vec<u64>> = windows
        .iter()
        .map(|window| {
            let mut uploads: Vec<u64> = window.uploads.iter().copied().take(MAX_UPLOADS).collect();
            uploads.sort_unstable();
            uploads
        })
        .collect();
    let places: Vec<usize> = windows.iter().map(|window| planted.range(..window.planted).count()).collect();
    let score = |code: &[u64]| {
        let matched = places.iter().zip(&sorted).filter(|(place, uploads)| {
            code.get(**place).is_some_and(|&size| {
                let first = uploads.partition_point(|seen| *seen < size);
                uploads.get(first).is_some_and(|&seen| matching.fits(size, seen))
            })
        });
        u32::try_from(matched.count()).unwrap_or(u32::MAX)
    };
    let own: Vec<u64> = planted.iter().copied().collect();
    let matched = score(&own);
    let scale = Scale::new(least - least * APART_PERMILLE / 1_000, most + most * APART_PERMILLE / 1_000);
    if matched == 0 {
        // No code matches less often.
        return Some(Rank {
            matched,
            windows: count(windows),
            decoys_as_good: DECOYS,
            decoys: DECOYS,
            probability: 1.0,
        });
    }
    let decoys_as_good = (0..DECOYS)
        .filter(|_| {
            let code: Vec<u64> = own.iter().map(|_| scale.at(draw())).collect();
            score(&code) >= matched
        })
        .count();
    let decoys_as_good = u32::try_from(decoys_as_good).unwrap_or(u32::MAX);
    Some(Rank {
        matched,
        windows: count(windows),
        decoys_as_good,
        decoys: DECOYS,
        probability: f64::from(decoys_as_good + 1) / f64::from(DECOYS + 1),
    })
}

fn count(windows: &[Window]) -> u32 {
    u32::try_from(windows.len()).unwrap_or(u32::MAX)
}

/// Steps of the scale of sizes.
const STEPS: usize = 4_096;

/// Sizes at equal ratios, made by multiplication alone.
struct Scale {
    sizes: Vec<u64>,
}

impl Scale {
    fn new(least: u64, most: u64) -> Self {
        let (least, most) = (least.max(1), most.max(2));
        // The ratio of neighbours: the STEPS-th root by halving an interval.
        let (mut low, mut high) = (1.0_f64, 2.0_f64);
        let reach = |ratio: f64| {
            let mut size = precise(least);
            for _ in 0..STEPS {
                size *= ratio;
            }
            size
        };
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if reach(middle) < precise(most) { low = middle } else { high = middle }
        }
        let mut size = precise(least);
        let sizes = (0..STEPS).map(|_| {
            let here = size;
            size *= low;
            whole(here)
        });
        Self { sizes: sizes.collect() }
    }

    /// The size at a place drawn below 2^64.
    fn at(&self, drawn: u64) -> u64 {
        let place = (u128::from(drawn) * self.sizes.len() as u128) >> 64;
        usize::try_from(place).ok().and_then(|place| self.sizes.get(place)).copied().unwrap_or(1)
    }
}

/// A size as a double: exact below 2^53, and files are smaller.
fn precise(size: u64) -> f64 {
    let (high, low) =
        (u32::try_from(size >> 32).unwrap_or(u32::MAX), u32::try_from(size & 0xffff_ffff).unwrap_or(0));
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// The whole part of a size.
fn whole(size: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a file's size, far below 2^63"
    )]
    let size = size as u64;
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    /// splitmix64 (S. Vigna).
    fn drawer(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    const CODES: [u64; 5] = [30_129, 32_459, 34_327, 56_843, 108_000];
    const MATCHING: Matching = Matching { overhead: 600, permille: 10 };

    fn windows(uploads: impl Fn(u64) -> Vec<u64>) -> Vec<Window> {
        CODES.iter().cycle().take(10).map(|&planted| Window { planted, uploads: uploads(planted) }).collect()
    }

    #[test]
    fn planted_sizes_that_were_sent_rank_first() {
        let sent = windows(|planted| vec![700, planted + 450, 12_000]);
        let rank = rank(&sent, &MATCHING, &mut drawer(1)).unwrap();
        assert_eq!((rank.matched, rank.windows, rank.decoys), (10, 10, DECOYS));
        assert!(rank.probability <= 3e-4, "{}", rank.probability);
    }

    #[test]
    fn what_was_not_sent_ranks_nowhere_and_crowded_background_helps_every_code() {
        let silent = rank(&windows(|_| vec![700]), &MATCHING, &mut drawer(2)).unwrap();
        assert_eq!((silent.matched, silent.probability), (0, 1.0));
        // Uploads of every size: the true code matches everywhere, and so does every decoy.
        let crowded = windows(|_| (0..500).map(|no| 20_000 + no * 200).collect());
        let rank = rank(&crowded, &MATCHING, &mut drawer(3)).unwrap();
        assert_eq!(rank.matched, 10);
        assert!(rank.probability > 0.9, "{}", rank.probability);
    }

    #[test]
    fn codes_that_could_be_mistaken_are_refused() {
        assert_eq!(separated(&[10_000, 14_000, 23_000]), Ok(()));
        assert_eq!(separated(&[30_000, 30_500]), Err(Clash { first: 30_000, second: 30_500 }));
        assert_eq!(separated(&[30_000, 60_200]), Err(Clash { first: 30_000, second: 60_200 }));
        assert_eq!(separated(&[10_000, 14_000, 24_100]), Err(Clash { first: 10_000, second: 24_100 }));
        assert_eq!(separated(&[]), Ok(()));
    }

    #[test]
    fn an_upload_is_never_smaller_than_its_file() {
        assert!(!MATCHING.fits(10_000, 9_999) && MATCHING.fits(10_000, 10_000));
        assert!(MATCHING.fits(10_000, 10_700) && !MATCHING.fits(10_000, 10_701));
    }

    #[test]
    fn the_scale_spans_its_range() {
        let scale = Scale::new(1_000, 100_000);
        assert_eq!(scale.at(0), 1_000);
        assert!((99_000..=100_000).contains(&scale.at(u64::MAX)));
        assert!((9_900..10_100).contains(&scale.at(1 << 63)));
    }
}
