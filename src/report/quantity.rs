//! Numbers and times as people read them. Integers only, one rule for all media.

use crate::evidence::{ByteRange, FrameRange, Timestamp};

/// Writes a number with commas between thousands: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a count with its noun: `1 byte`, `2,048 bytes`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Writes a share in tenths of a percent, never rounding something to nothing or nearly all to all.
pub fn percent(part: u64, total: u64) -> String {
    if total == 0 {
        return "–".to_owned();
    }
    let (part, total) = (u128::from(part), u128::from(total));
    let tenths = (part * 1_000 + total / 2) / total;
    match tenths {
        0 if part > 0 => "<0.1 %".to_owned(),
        1_000 if part < total => ">99.9 %".to_owned(),
        _ => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// Writes a share in whole percent, under the same rule.
pub fn whole_percent(part: u64, total: u64) -> String {
    if total == 0 {
        return "–".to_owned();
    }
    let (part, total) = (u128::from(part), u128::from(total));
    match (part * 100 + total / 2) / total {
        0 if part > 0 => "<1 %".to_owned(),
        100 if part < total => ">99 %".to_owned(),
        share => format!("{share} %"),
    }
}

/// `part` of `total` on a scale of `width`, rounded down; something is never drawn as nothing.
pub(super) fn scaled(part: u64, total: u64, width: u32) -> u32 {
    if total == 0 {
        return 0;
    }
    let length = u128::from(part.min(total)) * u128::from(width) / u128::from(total);
    let length = u32::try_from(length).unwrap_or(width);
    if part > 0 { length.max(1) } else { length }
}

/// Writes day and time to the millisecond: `2026-11-20 10:00:05.123 UTC`.
pub fn moment(time: Timestamp) -> String {
    let text = time.to_string();
    match (text.get(..10), text.get(11..23)) {
        (Some(day), Some(clock)) if text.ends_with('Z') => format!("{day} {clock} UTC"),
        _ => format!("{text} s since 1970"),
    }
}

/// Writes the time of day to the second: `10:00:05`.
pub fn clock(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(11..19).filter(|_| text.ends_with('Z')).map_or(text.clone(), str::to_owned)
}

/// Writes milliseconds as seconds: `36.123 s`, `-0.004 s`.
pub fn seconds(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    format!("{sign}{}.{:03} s", grouped(millis / 1_000), millis % 1_000)
}

/// Writes a duration in the two largest units: `2 h 5 min`, `59 s`.
pub fn duration(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) if rest == 0 => format!("{minutes} min"),
        (0, _) => format!("{minutes} min {rest} s"),
        _ if minutes == 0 => format!("{} h", grouped(hours)),
        _ => format!("{} h {minutes} min", grouped(hours)),
    }
}

/// Ranges that a line of text lists; the rest is counted.
const LISTED: usize = 8;

/// Writes frame ranges: `12-80, 95`.
pub fn frames(ranges: &[FrameRange]) -> String {
    listed(ranges, |range| {
        if range.first == range.last {
            range.first.to_string()
        } else {
            format!("{}-{}", range.first, range.last)
        }
    })
}

/// Writes byte ranges with both ends included, as people count: `0-71,999`.
pub fn byte_ranges(ranges: &[ByteRange]) -> String {
    listed(ranges, |range| match range.len() {
        0 => format!("none at {}", grouped(range.start)),
        1 => grouped(range.start),
        _ => format!("{}-{}", grouped(range.start), grouped(range.end - 1)),
    })
}

fn listed<T>(items: &[T], write: impl Fn(&T) -> String) -> String {
    let mut text = items.iter().take(LISTED).map(write).collect::<Vec<_>>().join(", ");
    if items.len() > LISTED {
        text.push_str(&format!(" and {} more", items.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::FrameNo;

    #[test]
    fn shares_never_round_something_to_nothing_or_all() {
        assert_eq!(percent(1, 1_000_000), "<0.1 %");
        assert_eq!(percent(999_999, 1_000_000), ">99.9 %");
        assert_eq!(percent(0, 10), "0.0 %");
        assert_eq!(percent(10, 10), "100.0 %");
        assert_eq!(percent(613, 1_000), "61.3 %");
        assert_eq!(percent(0, 0), "–");
        assert_eq!(whole_percent(1, 1_000), "<1 %");
        assert_eq!(whole_percent(999, 1_000), ">99 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0 %");
    }

    #[test]
    fn ranges_are_written_with_both_ends_included() {
        assert_eq!(
            byte_ranges(&[ByteRange::new(0, 72_000), ByteRange::new(80_000, 80_001)]),
            "0-71,999, 80,000"
        );
        let frame = |first, last| FrameRange { first: FrameNo(first), last: FrameNo(last) };
        assert_eq!(frames(&[frame(12, 80), frame(95, 95)]), "12-80, 95");
        assert_eq!(frames(&[frame(1, 1); 10]), "1, 1, 1, 1, 1, 1, 1, 1 and 2 more");
    }

    #[test]
    fn times_are_utc_and_beyond_the_calendar_stay_readable() {
        assert_eq!(moment(Timestamp(1_795_168_805_123_000_000)), "2026-11-20 10:00:05.123 UTC");
        assert_eq!(clock(Timestamp(1_795_168_805_123_000_000)), "10:00:05");
        assert!(moment(Timestamp(u64::MAX)).ends_with("UTC"));
        assert_eq!(seconds(-4), "-0.004 s");
        assert_eq!(seconds(1_036_123), "1,036.123 s");
        assert_eq!(duration(1_200), "20 min");
        assert_eq!(duration(7_500), "2 h 5 min");
    }

    #[test]
    fn drawn_lengths_stay_inside_and_show_what_is_there() {
        assert_eq!(scaled(1, 1_000_000, 500), 1);
        assert_eq!(scaled(0, 10, 500), 0);
        assert_eq!(scaled(20, 10, 500), 500);
        assert_eq!(scaled(5, 0, 500), 0);
    }
}
