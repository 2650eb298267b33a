//! Flows that send at a constant rate whatever happens: their volume can say nothing.

/// Intervals needed before a flow can be called constant.
const INTERVALS: usize = 20;
/// Of a thousand intervals, so many may be silent or stray from the middle.
const STRAY_PERMILLE: usize = 50;
/// How far an interval may lie from the middle one, in thousandths of it.
const WIDTH_PERMILLE: u64 = 50;

/// Whether uplink bytes counted in equal intervals are those of a constant-rate flow: nearly all lie close to the
/// middle one.
pub fn is_constant_rate(bytes: &[u64]) -> bool {
    if bytes.len() < INTERVALS {
        return false;
    }
    let mut sorted = bytes.to_vec();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let width = middle.saturating_mul(WIDTH_PERMILLE) / 1_000;
    let stray = bytes.iter().filter(|count| count.abs_diff(middle) > width).count();
    middle > 0 && stray.saturating_mul(1_000) <= bytes.len().saturating_mul(STRAY_PERMILLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_traffic_is_cover_and_bursts_or_silence_are_not() {
        let steady: Vec<u64> = (0..100).map(|no| 10_000 + no % 7 * 20).collect();
        assert!(is_constant_rate(&steady));
        let mut gap = steady.clone();
        gap[5] = 0;
        assert!(is_constant_rate(&gap), "one interval in a hundred may stray");
        let bursts: Vec<u64> = (0..100).map(|no| if no % 5 == 0 { 50_000 } else { 100 }).collect();
        assert!(!is_constant_rate(&bursts));
        assert!(!is_constant_rate(&[0; 100]) && !is_constant_rate(&steady[..10]));
    }
}
