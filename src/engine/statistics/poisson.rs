//! How many rare things luck gives (S. D. Poisson, 1837).

/// Counts looked at: with more expected by luck, nothing is rare.
const MAX_COUNT: u32 = 1_000_000;

/// The smallest count that luck exceeds with probability `alpha` at most, where `expected` are expected.
pub fn most(expected: f64, alpha: f64) -> u64 {
    if expected <= 0.0 {
        return 0;
    }
    // Weights relative to the likeliest count; the factors never leave the range of a double.
    let likeliest = (0..MAX_COUNT).find(|count| f64::from(*count) + 1.0 > expected).unwrap_or(MAX_COUNT);
    let (mut below, mut weight) = (1.0, 1.0);
    for count in (1..=likeliest).rev() {
        weight *= f64::from(count) / expected;
        below += weight;
    }
    let mut above = Vec::new();
    weight = 1.0;
    for count in likeliest + 1..=MAX_COUNT {
        weight *= expected / f64::from(count);
        if weight < 1e-30 {
            break;
        }
        above.push(weight);
    }
    let total = below + above.iter().sum::<f64>();
    let mut tail: f64 = above.iter().sum();
    let mut most = likeliest;
    for weight in above {
        if tail / total <= alpha {
            break;
        }
        tail -= weight;
        most += 1;
    }
    u64::from(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_tables() {
        // Upper quantiles of the Poisson distribution at 0.999, as R's qpois gives them.
        for (expected, wanted) in [(0.001, 0), (0.1, 2), (1.0, 5), (5.0, 13), (10.0, 21), (100.0, 132)] {
            assert_eq!(most(expected, 0.001), wanted, "{expected}");
        }
        assert_eq!(most(0.0, 0.001), 0);
    }
}
