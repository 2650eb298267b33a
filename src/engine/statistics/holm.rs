//! Several tests at once (S. Holm, Scandinavian Journal of Statistics 6, 1979).

/// Adjusts the probabilities of tests that were all fixed beforehand: each may be held against the level as if it
/// stood alone, and one of them is wrong by luck no more often than the level says. In the order given.
pub fn adjust(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = probabilities.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let mut adjusted = vec![1.0; probabilities.len()];
    let mut least = 0.0_f64;
    for (left, (place, probability)) in (1..=order.len()).rev().zip(order) {
        let factor = u32::try_from(left).map_or(f64::MAX, f64::from);
        least = least.max((probability * factor).min(1.0));
        if let Some(slot) = adjusted.get_mut(place) {
            *slot = least;
        }
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_is_held_to_the_strictest_level_and_order_is_kept() {
        assert_eq!(adjust(&[0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]);
        assert_eq!(adjust(&[0.9, 0.6]), [1.0, 1.0]);
        assert_eq!(adjust(&[0.25]), [0.25]);
        assert!(adjust(&[]).is_empty());
    }
}
