//! Packet numbers, of which packets carry the lowest bits (RFC 9000 section 17.1 and appendix A.3).

/// Numbers have 62 bits.
const LIMIT: u64 = 1 << 62;

/// Numbers that are tried beside the likely one. A capture that lost many packets leaves the receiver's and our notion
/// of the latest number further apart than the bits that are sent can bridge; each step is one such distance.
const STEPS: u64 = 8;

/// The numbers that a truncated one of so many bytes may stand for, likeliest first, when `expected` is the next.
pub(super) fn candidates(truncated: u64, bytes: usize, expected: u64) -> impl Iterator<Item = u64> {
    let window = 1_u64 << (bytes.clamp(1, 4) * 8);
    let near = (expected & !(window - 1)) | (truncated & (window - 1));
    let (half, mut likely) = (window / 2, near);
    if near + half <= expected && near < LIMIT - window {
        likely = near + window;
    } else if near > expected + half && near >= window {
        likely = near - window;
    }
    let around = (1..=STEPS).flat_map(move |step| {
        let distance = step.saturating_mul(window);
        let later = likely.checked_add(distance).filter(|&number| number < LIMIT);
        [later, likely.checked_sub(distance)].into_iter().flatten()
    });
    std::iter::once(likely).chain(around)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_is_the_one_of_rfc_9000_appendix_a_3() {
        let first = |truncated, bytes, expected| candidates(truncated, bytes, expected).next().unwrap();
        assert_eq!(first(0x9b32, 2, 0xa82f_30ea + 1), 0xa82f_9b32);
        assert_eq!(first(0, 1, 0), 0);
        assert_eq!(first(0xff, 1, 0), 0xff);
        assert_eq!(first(0x01, 1, 0xff), 0x101);
        assert_eq!(first(0xff, 1, 0x101), 0xff);
        assert_eq!(first(0xffff_ffff, 4, LIMIT - 1), LIMIT - 1);
    }

    #[test]
    fn after_a_long_loss_later_numbers_are_tried_first() {
        let tried: Vec<u64> = candidates(7, 1, 20).collect();
        assert_eq!(&tried[..3], [7, 263, 519], "none below zero");
        assert_eq!(tried.len(), 9);
        let tried: Vec<u64> = candidates(7, 1, 1_000).collect();
        assert_eq!(&tried[..3], [1_031, 1_287, 775]);
    }
}
