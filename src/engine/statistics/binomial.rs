//! Bounds of a proportion (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934), one-sided.

/// Halvings of an interval: 2^-60 is below the resolution of what is printed.
const HALVINGS: u32 = 60;

/// Trials counted at most; more windows than this are no longer planned by anyone, and sums stay exact enough.
pub const MAX_TRIALS: u32 = 100_000;

/// The probability of at least `hits` of `trials`, each with probability `rate`.
pub fn at_least(hits: u32, trials: u32, rate: f64) -> f64 {
    let trials = trials.min(MAX_TRIALS);
    if hits == 0 {
        return 1.0;
    }
    if hits > trials || rate <= 0.0 {
        return 0.0;
    }
    if rate >= 1.0 {
        return 1.0;
    }
    // The terms from the largest count down or up, whichever side is the tail: each from the one before, the
    // first by factors that never leave the range of a double.
    let (start, odds) = (mode(trials, rate), rate / (1.0 - rate));
    let mut weights = Weights::around(trials, start, odds);
    weights.share(hits)
}

/// The probability of at most `hits` of `trials`.
pub fn at_most(hits: u32, trials: u32, rate: f64) -> f64 {
    at_least(trials.min(MAX_TRIALS).saturating_sub(hits), trials, 1.0 - rate)
}

fn mode(trials: u32, rate: f64) -> u32 {
    let expected = f64::from(trials) * rate;
    (0..=trials).rev().find(|count| f64::from(*count) <= expected).unwrap_or(0)
}

/// The relative weights of each count, the most likely one being 1: what is too small for a double counts as none.
struct Weights {
    of: Vec<f64>,
}

impl Weights {
    fn around(trials: u32, start: u32, odds: f64) -> Self {
        let mut of = vec![0.0; trials as usize + 1];
        let mut set = |count: u32, weight: f64| {
            if let Some(slot) = of.get_mut(count as usize) {
                *slot = weight;
            }
        };
        let mut weight = 1.0;
        set(start, weight);
        for count in start..trials {
            weight *= f64::from(trials - count) / f64::from(count + 1) * odds;
            set(count + 1, weight);
        }
        weight = 1.0;
        for count in (0..start).rev() {
            weight *= f64::from(count + 1) / f64::from(trials - count) / odds;
            set(count, weight);
        }
        Self { of }
    }

    /// The part of all weight at `from` and above.
    fn share(&mut self, from: u32) -> f64 {
        // Smallest first on either side, so that nothing small is lost beside the large.
        let (low, high) = self.of.split_at(from as usize);
        let sum = |weights: &[f64]| {
            let mut sorted = weights.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted.iter().sum::<f64>()
        };
        let (low, high) = (sum(low), sum(high));
        high / (low + high)
    }
}

/// The lower bound of a proportion: the largest rate at which `hits` or more of `trials` would come up with
/// probability `alpha` at most. Zero where nothing hit.
pub fn lower_bound(hits: u32, trials: u32, alpha: f64) -> f64 {
    if hits == 0 || trials == 0 {
        return 0.0;
    }
    bisect(|rate| at_least(hits, trials, rate) <= alpha)
}

/// The upper bound of a proportion: the smallest rate at which `hits` or fewer would come up with probability
/// `alpha` at most. One where everything hit.
pub fn upper_bound(hits: u32, trials: u32, alpha: f64) -> f64 {
    if hits >= trials {
        return 1.0;
    }
    1.0 - lower_bound(trials - hits, trials, alpha)
}

/// The largest rate for which `holds` is true, being true below it and false above.
fn bisect(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

/// The rate of uploads that is still possible where nothing was found in `windows` windows, each of which would have
/// shown one with the recall that `found` of `spikes` planted ones prove: the upper 97.5 % bound of the rate divided
/// by the lower 97.5 % bound of the recall, 95 % together. One where nothing is excluded.
pub fn rate_still_possible(windows: u32, found: u32, spikes: u32) -> f64 {
    let recall = lower_bound(found, spikes, 0.025);
    let rate = upper_bound(0, windows, 0.025);
    if recall <= 0.0 || rate >= recall { 1.0 } else { rate / recall }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, wanted: f64, within: f64) {
        assert!((value - wanted).abs() <= within, "{value} is not {wanted}");
    }

    #[test]
    fn tails_of_a_fair_coin_are_exact() {
        assert_eq!(at_least(0, 10, 0.5), 1.0);
        near(at_least(10, 10, 0.5), 1.0 / 1024.0, 1e-18);
        near(at_least(8, 10, 0.5), 56.0 / 1024.0, 1e-16);
        near(at_most(2, 10, 0.5), 56.0 / 1024.0, 1e-16);
        assert_eq!((at_least(11, 10, 0.5), at_least(1, 10, 0.0), at_least(3, 10, 1.0)), (0.0, 0.0, 1.0));
    }

    #[test]
    fn bounds_are_those_of_clopper_and_pearson() {
        // Nothing of n: 1 - alpha^(1/n); everything of n: alpha^(1/n).
        near(lower_bound(59, 59, 0.05), 0.950_492_4, 1e-6);
        near(lower_bound(58, 58, 0.05), 0.949_660_1, 1e-6);
        near(upper_bound(0, 60, 0.025), 0.059_630_0, 1e-6);
        // Two-sided 95 % interval of 10 of 100 in common tables: 0.0490 to 0.1762.
        near(lower_bound(10, 100, 0.025), 0.0490, 5e-5);
        near(upper_bound(10, 100, 0.025), 0.1762, 5e-5);
        assert_eq!((lower_bound(0, 9, 0.05), upper_bound(9, 9, 0.05)), (0.0, 1.0));
    }

    #[test]
    fn fifty_nine_of_fifty_nine_is_the_least_recall_that_counts() {
        assert!(lower_bound(59, 59, 0.05) >= 0.95 && lower_bound(58, 58, 0.05) < 0.95);
        assert!(lower_bound(59, 60, 0.05) < 0.95);
    }

    #[test]
    fn the_rate_that_is_still_possible_covers_the_truth() {
        near(rate_still_possible(60, 60, 60), 0.059_630 / 0.940_370, 1e-5);
        assert_eq!(rate_still_possible(60, 0, 60), 1.0);
        assert_eq!(rate_still_possible(0, 60, 60), 1.0);
        // A phone that uploads at the bound's rate shows nothing in 60 windows less often than 1 in 20.
        let rate = rate_still_possible(60, 60, 60);
        let silent = at_most(0, 60, rate * lower_bound(60, 60, 0.025));
        assert!(silent <= 0.025 + 1e-9);
    }

    #[test]
    fn many_trials_stay_in_range() {
        near(at_least(50_000, 100_000, 0.5), 0.501_26, 1e-4);
        assert!(at_least(99_999, 100_000, 0.001) >= 0.0);
    }

    #[test]
    fn the_bound_covers_the_rate_in_simulated_experiments() {
        // Uploads at a true rate, seen with a true recall; the bound from 60 windows and 60 spikes must lie below the
        // rate in no more than one of twenty experiments, summed exactly over what can come up.
        for (rate, recall) in [(0.03, 0.9), (0.06, 0.97), (0.08, 0.8), (0.2, 0.5), (0.05, 1.0)] {
            let nothing_seen = at_most(0, 60, rate * recall);
            let missed: f64 = (0..=60)
                .filter(|found| rate_still_possible(60, *found, 60) < rate)
                .map(|found| at_least(found, 60, recall) - at_least(found + 1, 60, recall))
                .sum();
            assert!(nothing_seen * missed <= 0.05, "{rate} {recall}: {}", nothing_seen * missed);
        }
    }
}
