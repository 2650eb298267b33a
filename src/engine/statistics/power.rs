//! How many windows a test takes before it may hope to see what is there.

use super::{
    binomial::at_least,
    design::{Arm, Order, Window, compare},
};

/// The level of a single test (scenario.md, Statistics).
pub const ALPHA: f64 = 0.01;
/// What a plan should reach.
pub const POWER: f64 = 0.8;
/// Windows an arm that are tried; who needs more should make the background quieter.
const MAX_ARM: u32 = 400;

/// What is expected before a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// How often a sham window hits.
    pub background: f64,
    /// How often an action window hits, background and all.
    pub effect: f64,
    /// How many tests share the level.
    pub tests: u32,
}

/// The fewest windows an arm with which the test finds the effect with probability [`POWER`]; none where no number
/// up to a few hundred does.
pub fn windows_an_arm(expected: &Expected) -> Option<u32> {
    // Where the sham hits as often, there is nothing to find.
    let finds = |windows: &u32| power(*windows, expected) >= POWER;
    (expected.background < expected.effect).then(|| (1..=MAX_ARM).find(finds)).flatten()
}

/// The probability that the test with so many windows in each arm finds the effect.
pub fn power(windows: u32, expected: &Expected) -> f64 {
    let level = ALPHA / f64::from(expected.tests.max(1));
    let (sham, action) = (expected.background, expected.effect);
    let exactly = |hits, rate| at_least(hits, windows, rate) - at_least(hits + 1, windows, rate);
    // For each number of hits among shams the test needs at least so many among actions, and never fewer than for
    // one hit less.
    let (mut sum, mut needed) = (0.0, 0);
    for hits in 0..=windows {
        while needed <= windows && !is_found(windows, needed, hits, level) {
            needed += 1;
        }
        if needed > windows {
            break;
        }
        sum += exactly(hits, sham) * at_least(needed, windows, action);
    }
    sum
}

fn is_found(windows: u32, action_hits: u32, sham_hits: u32, level: f64) -> bool {
    let of = |arm, hits| (0..windows).map(move |no| Window { arm, hit: no < hits });
    let block = of(Arm::Action, action_hits).chain(of(Arm::Sham, sham_hits)).collect();
    compare(Order::Randomized, &[block]).is_ok_and(|comparison| comparison.probability <= level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(effect: f64, tests: u32) -> Vec<Option<u32>> {
        [0.0, 0.1, 0.3, 0.5]
            .iter()
            .map(|&background| windows_an_arm(&Expected { background, effect, tests }))
            .collect()
    }

    #[test]
    fn where_the_sham_hits_as_often_no_number_of_windows_will_do() {
        for (background, effect) in [(1.0, 1.0), (0.5, 0.5), (0.5, 0.2)] {
            assert_eq!(windows_an_arm(&Expected { background, effect, tests: 1 }), None);
        }
    }

    #[test]
    fn the_published_table_of_windows_is_reproduced() {
        let some = |counts: [u32; 4]| counts.map(Some).to_vec();
        assert_eq!(row(1.0, 1), some([5, 6, 10, 15]));
        assert_eq!(row(1.0, 5), some([6, 8, 13, 19]));
        assert_eq!(row(0.8, 1), some([9, 12, 22, 55]));
    }
}
