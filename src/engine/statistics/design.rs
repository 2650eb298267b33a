//! Action windows against sham windows: the exact test that re-randomizes the recorded design.
//!
//! In each block (a run, or all runs among which the arm was drawn) the plan gave a fixed number of windows to the
//! action and the others to its sham, by chance. If the action made no difference, every such assignment was as likely
//! as the one on record; the share of assignments under which the action windows hit at least as often as they did
//! is the probability of the result by luck (R. A. Fisher, The Design of Experiments, 1935, chapter 2). The background
//! may be bursty, drift or depend on the hour: the assignment was random, not the traffic. Without a random
//! assignment there is no test.

/// Windows of all blocks together; a record that holds more is no experiment of one phone.
pub const MAX_WINDOWS: usize = 100_000;

/// What was done in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arm {
    /// The action.
    Action,
    /// Everything but what matters of it.
    Sham,
}

/// One window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// What was done.
    pub arm: Arm,
    /// Whether it showed what the test counts, such as an upload of at least the photo's size.
    pub hit: bool,
}

/// How windows got their arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By chance, as the plan laid down.
    Randomized,
    /// In a fixed order, or nobody says how.
    Fixed,
}

/// What the test gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Action windows that hit.
    pub action_hits: u32,
    /// Action windows.
    pub action_windows: u32,
    /// Sham windows that hit.
    pub sham_hits: u32,
    /// Sham windows.
    pub sham_windows: u32,
    /// The share of assignments with at least as many hits in action windows.
    pub probability: f64,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTest {
    /// Arms were not given by chance.
    #[error("the order of actions and shams was not random")]
    NotRandomized,
    /// No block holds both arms.
    #[error("no block holds an action window and a sham window")]
    NoContrast,
    /// More windows than [`MAX_WINDOWS`].
    #[error("more than {MAX_WINDOWS} windows")]
    TooMany,
}

/// Tests whether action windows hit more often than sham windows.
///
/// # Errors
/// [`NoTest`] where the design allows none.
pub fn compare(order: Order, blocks: &[Vec<Window>]) -> Result<Comparison, NoTest> {
    if order != Order::Randomized {
        return Err(NoTest::NotRandomized);
    }
    if blocks.iter().map(Vec::len).sum::<usize>() > MAX_WINDOWS {
        return Err(NoTest::TooMany);
    }
    let count = |arm, hit: Option<bool>| {
        let counted = blocks
            .iter()
            .flatten()
            .filter(|window| window.arm == arm && hit.is_none_or(|hit| window.hit == hit));
        u32::try_from(counted.count()).unwrap_or(u32::MAX)
    };
    let contrast = |block: &Vec<Window>| {
        [Arm::Action, Arm::Sham].iter().all(|arm| block.iter().any(|window| window.arm == *arm))
    };
    if !blocks.iter().any(contrast) {
        return Err(NoTest::NoContrast);
    }
    let mut distribution = vec![1.0];
    for block in blocks {
        distribution = convolve(&distribution, &hypergeometric(block));
    }
    let action_hits = count(Arm::Action, Some(true));
    let tail = distribution.get(action_hits as usize..).unwrap_or_default();
    // Smallest first, so that nothing small is lost.
    let mut tail = tail.to_vec();
    tail.sort_by(f64::total_cmp);
    Ok(Comparison {
        action_hits,
        action_windows: count(Arm::Action, None),
        sham_hits: count(Arm::Sham, Some(true)),
        sham_windows: count(Arm::Sham, None),
        probability: tail.iter().sum::<f64>().min(1.0),
    })
}

/// How many hits fall to the action windows of a block when arms are drawn again: by number of hits.
fn hypergeometric(block: &[Window]) -> Vec<f64> {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let all = number(block.len());
    let hits = number(block.iter().filter(|window| window.hit).count());
    let action = number(block.iter().filter(|window| window.arm == Arm::Action).count());
    let least = (hits + action).saturating_sub(all);
    let most = hits.min(action);
    let mut weights = vec![0.0; most as usize + 1];
    // From one count to the next the weight changes by a ratio of small whole numbers; begun at the likeliest count,
    // no weight leaves the range of a double upwards.
    let ratio = |count: u32| {
        f64::from(hits - count) * f64::from(action - count)
            / (f64::from(count + 1) * f64::from(all + count + 1 - hits - action))
    };
    let likeliest = (least..most).find(|count| ratio(*count) <= 1.0).unwrap_or(most);
    let mut set = |count: u32, weight: f64| {
        if let Some(slot) = weights.get_mut(count as usize) {
            *slot = weight;
        }
    };
    let mut weight = 1.0;
    set(likeliest, weight);
    for count in likeliest..most {
        weight *= ratio(count);
        set(count + 1, weight);
    }
    weight = 1.0;
    for count in (least..likeliest).rev() {
        weight /= ratio(count);
        set(count, weight);
    }
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// The distribution of a sum of two independent counts.
fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; (a.len() + b.len()).saturating_sub(1)];
    for (i, x) in a.iter().enumerate() {
        for (slot, y) in sum.iter_mut().skip(i).zip(b) {
            *slot += x * y;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(action: &[bool], sham: &[bool]) -> Vec<Window> {
        let of = |arm, hits: &[bool]| hits.iter().map(|&hit| Window { arm, hit }).collect::<Vec<_>>();
        [of(Arm::Action, action), of(Arm::Sham, sham)].concat()
    }

    fn probability(blocks: &[Vec<Window>]) -> f64 {
        compare(Order::Randomized, blocks).unwrap().probability
    }

    #[test]
    fn the_lady_tasting_tea() {
        // Fisher 1935: eight cups, all four told right: 1 in 70; three of four: 17 in 70.
        let all = [block(&[true; 4], &[false; 4])];
        assert!((probability(&all) - 1.0 / 70.0).abs() < 1e-15);
        let three = [block(&[true, true, true, false], &[true, false, false, false])];
        assert!((probability(&three) - 17.0 / 70.0).abs() < 1e-15);
    }

    #[test]
    fn pairs_are_the_sign_test() {
        let pair = block(&[true], &[false]);
        let pairs = vec![pair; 7];
        assert!((probability(&pairs) - 1.0 / 128.0).abs() < 1e-15);
        let mut mixed = pairs;
        mixed.push(block(&[false], &[true]));
        // Seven or more of eight: 9 of 256.
        assert!((probability(&mixed) - 9.0 / 256.0).abs() < 1e-15);
    }

    #[test]
    fn no_difference_and_the_wrong_direction_say_nothing() {
        assert_eq!(probability(&[block(&[true; 5], &[true; 5])]), 1.0);
        assert!(probability(&[block(&[false; 5], &[true; 5])]) > 0.99);
    }

    #[test]
    fn without_chance_or_contrast_there_is_no_test() {
        let blocks = [block(&[true; 5], &[false; 5])];
        assert_eq!(compare(Order::Fixed, &blocks), Err(NoTest::NotRandomized));
        assert_eq!(compare(Order::Randomized, &[block(&[true; 5], &[])]), Err(NoTest::NoContrast));
        assert_eq!(
            compare(Order::Randomized, &[block(&[true], &[]), block(&[], &[false])]),
            Err(NoTest::NoContrast)
        );
        let many = vec![block(&[true], &[false]); MAX_WINDOWS];
        assert_eq!(compare(Order::Randomized, &many), Err(NoTest::TooMany));
    }

    #[test]
    fn large_blocks_stay_in_range() {
        let hits: Vec<bool> = (0..2_000).map(|no| no % 10 == 0).collect();
        let same = probability(&[block(&hits, &hits)]);
        assert!((0.4..0.6).contains(&same), "{same}");
        assert!(probability(&[block(&[true; 2_000], &[false; 2_000])]) >= 0.0);
    }

    /// splitmix64 (S. Vigna), as a number from 0 to below 1.
    fn drawer(mut state: u64) -> impl FnMut() -> f64 {
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap()) / 4_294_967_296.0
        }
    }

    /// How often the test finds an effect at 0.01 where there is none, in 2,000 experiments of twenty windows whose
    /// background is busy for a while after the start.
    fn false_positives(shuffled: bool) -> usize {
        let mut draw = drawer(20_261_125);
        let experiment = |_: &i32| {
            let busy = 4.0 + draw() * 8.0;
            let mut arms: Vec<Arm> =
                (0..20).map(|no| if no < 10 { Arm::Action } else { Arm::Sham }).collect();
            for last in (1..arms.len()).rev().filter(|_| shuffled) {
                let other = (0..=last).rev().find(|no| draw() < 1.0 / (*no as f64 + 1.0)).unwrap_or(0);
                arms.swap(last, other);
            }
            let windows = arms.into_iter().enumerate().map(|(no, arm)| {
                let rate = if (no as f64) < busy { 0.9 } else { 0.15 };
                Window { arm, hit: draw() < rate }
            });
            compare(Order::Randomized, &[windows.collect()]).unwrap().probability <= 0.01
        };
        (0..2_000).filter(experiment).count()
    }

    #[test]
    fn bursts_fool_a_fixed_order_and_not_a_random_one() {
        use crate::engine::statistics::binomial::upper_bound;
        let (fixed, random) = (false_positives(false), false_positives(true));
        assert!(fixed > 200, "{fixed} of 2,000 in a fixed order");
        let lower = 1.0 - upper_bound(2_000 - u32::try_from(random).unwrap(), 2_000, 0.001);
        assert!(lower <= 0.01, "{random} of 2,000 in a random order");
    }
}
