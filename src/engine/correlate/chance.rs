//! How many matches luck would give: upper bounds in integer arithmetic.
//!
//! Figures are thousandths of a decade (log10 × 1000), rounded toward "more likely", so that no platform's
//! floating point shows in findings. docs/decisions/004-probative-matches.md has the rule and its reasons.

use std::fmt;

/// Findings are probative when luck gives at most a thousandth of a match in the whole case.
const PROBATIVE: i64 = -3_000;
/// Exponents below this say no more to anyone.
const FLOOR: i64 = -99_000;

/// An upper bound of the expected number of matches by luck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance {
    /// Thousandths of a decade.
    millidecades: i64,
}

impl Chance {
    /// `tries` places where a match could begin, each hit by luck with probability 2^-(`millibits` / 1000).
    pub(super) fn of_bits(tries: &[u64], millibits: u64) -> Self {
        // log10(2) = 0.30102999…; cut off, since a smaller weight is the careful one.
        let weight = u128::from(millibits) * 30_102 / 100_000;
        Self::of_millidecades(tries, u64::try_from(weight).unwrap_or(u64::MAX))
    }

    /// `tries` as above, each hit by luck with probability 10^-(`weight` / 1000).
    pub(super) fn of_millidecades(tries: &[u64], weight: u64) -> Self {
        let tries: i64 = tries.iter().map(|&factor| log10_above(factor)).sum();
        let weight = i64::try_from(weight).unwrap_or(i64::MAX);
        Self { millidecades: tries.saturating_sub(weight).max(FLOOR) }
    }

    /// Whether the bound is at most 1e-3.
    pub fn is_probative(self) -> bool {
        self.millidecades <= PROBATIVE
    }
}

impl fmt::Display for Chance {
    /// `<=1e-9`: the exponent rounded up, so that the bound holds as printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = -(-self.millidecades).div_euclid(1_000);
        write!(f, "<=1e{exponent}")
    }
}

/// log10 × 1000, rounded up to the next power of two.
fn log10_above(number: u64) -> i64 {
    let bits = i64::from(u64::BITS - number.saturating_sub(1).leading_zeros());
    (bits * 30_103 + 99) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_digits_in_a_gigabyte_carry_weight_and_eight_do_not() {
        let imei = Chance::of_millidecades(&[40, 1 << 30], 15_000);
        assert_eq!((imei.to_string().as_str(), imei.is_probative()), ("<=1e-4", true));
        let short = Chance::of_millidecades(&[40, 1 << 30], 8_000);
        assert_eq!((short.to_string().as_str(), short.is_probative()), ("<=1e3", false));
    }

    #[test]
    fn bounds_are_rounded_toward_more_likely() {
        assert_eq!(Chance { millidecades: -3_000 }.to_string(), "<=1e-3");
        assert_eq!(Chance { millidecades: -2_999 }.to_string(), "<=1e-2");
        assert_eq!(Chance { millidecades: 1 }.to_string(), "<=1e1");
        assert_eq!(log10_above(1), 0);
        assert!(log10_above(1_000) >= 3_000 && log10_above(u64::MAX) >= 19_266);
        assert_eq!(Chance::of_bits(&[1], 8_000_000).to_string(), "<=1e-99");
    }
}
