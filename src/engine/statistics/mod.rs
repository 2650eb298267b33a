//! Exact tests and bounds on numbers of windows and on sizes: what volume and timing can say, and how surely.
//!
//! Counts and sizes enter, probabilities leave. Only addition, multiplication and division of floating-point
//! numbers are used, which IEEE 754 fixes to the last bit, and none of the functions of a mathematical library, so
//! that every machine gives the same figures. Nothing here sees a packet, and a small probability says no more
//! than "volume consistent with".
//!
//! - [`binomial`]: Clopper-Pearson bounds, the rate that is still possible where nothing was found.
//! - [`design`]: action windows against sham windows by re-randomizing the recorded design.
//! - [`holm`]: many tests at once.
//! - [`poisson`]: how many rare things luck gives.
//! - [`power`]: how many windows a test takes.
//! - [`size_codes`]: sizes of uploads against the sizes that were planted, ranked among decoy codes.
//! - [`cover`]: flows whose rate hides volume.

pub mod binomial;
pub mod cover;
pub mod design;
pub mod holm;
pub mod poisson;
pub mod power;
pub mod size_codes;

/// A probability as findings print it: four significant digits, rounded up, so that the bound holds as printed.
pub fn text(probability: f64) -> String {
    if probability >= 1.0 {
        return "1".to_owned();
    }
    if probability <= 0.0 {
        return "0".to_owned();
    }
    let (mut mantissa, mut exponent) = (probability, 0_i32);
    while mantissa < 1.0 {
        mantissa *= 10.0;
        exponent -= 1;
    }
    let mut digits = (mantissa * 1_000.0).ceil();
    if digits >= 10_000.0 {
        digits = 1_000.0;
        exponent += 1;
    }
    // From 1,000 to 9,999: four digits, without loss.
    let digits = format!("{digits:.0}");
    let (whole, fraction) = digits.split_at(1);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    if exponent == 0 {
        format!("{whole}{point}{fraction}")
    } else {
        format!("{whole}{point}{fraction}e{exponent}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_printed_rounded_up() {
        assert_eq!(text(0.5), "5e-1");
        assert_eq!(text(1.0 / 3.0), "3.334e-1");
        assert_eq!(text(0.001_234_1), "1.235e-3");
        assert_eq!(text(0.999_99), "1");
        assert_eq!(text(0.000_099_999), "1e-4");
        assert_eq!((text(0.0), text(2.0)), ("0".to_owned(), "1".to_owned()));
    }
}
