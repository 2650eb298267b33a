//! Places on the earth: the usual ways to spell latitude and longitude.

use super::value::{Edge, Spelling};

/// Decimals that are kept: seven are a centimetre.
const DECIMALS: usize = 7;
/// Fewer decimals than these name a street, and everybody in it.
const LEAST: usize = 5;

/// What stands between them as people write, and as JSON has it.
const LATITUDE_FIRST: [&str; 8] = [
    ",",
    ", ",
    ",\"lng\":",
    ",\"lon\":",
    ",\"longitude\":",
    ", \"lng\": ",
    ", \"lon\": ",
    ", \"longitude\": ",
];
/// The same, as GeoJSON (RFC 7946 section 3.1.1) and objects in the order of the alphabet have it.
const LONGITUDE_FIRST: [&str; 5] = [",", ",\"lat\":", ",\"latitude\":", ", \"lat\": ", ", \"latitude\": "];

/// One coordinate.
struct Coordinate {
    sign: &'static str,
    whole: String,
    /// As many as there are, `DECIMALS` at most.
    decimals: String,
}

impl Coordinate {
    /// Reads `-22.3193040`.
    fn read(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
        let (whole, decimals) = digits.split_once('.')?;
        let fits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let decimals = decimals.get(..decimals.len().min(DECIMALS))?;
        (fits(whole) && whole.len() <= 3 && fits(decimals) && decimals.len() >= LEAST).then(|| Self {
            sign,
            whole: whole.trim_start_matches('0').to_owned(),
            decimals: decimals.to_owned(),
        })
    }

    /// With so many decimals, cut off.
    fn cut(&self, decimals: usize) -> Option<String> {
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        Some(format!("{}{whole}.{}", self.sign, self.decimals.get(..decimals)?))
    }

    /// With so many decimals, the last one rounded.
    fn rounded(&self, decimals: usize) -> Option<String> {
        let next = self.decimals.as_bytes().get(decimals).copied().unwrap_or(b'0');
        let digits = format!("{}{}", self.whole, self.decimals.get(..decimals)?);
        let number: u64 = digits.parse().ok()?;
        let number = number + u64::from(next >= b'5');
        let text = format!("{number:0>width$}", width = decimals + 1);
        let (whole, decimals) = text.split_at_checked(text.len() - decimals)?;
        Some(format!("{}{whole}.{decimals}", self.sign))
    }

    /// As a whole number of units of the last decimal.
    fn units(&self, decimals: usize) -> Option<String> {
        let digits = format!("{}{}", self.whole, self.decimals.get(..decimals)?);
        Some(format!("{}{}", self.sign, digits.trim_start_matches('0')))
    }
}

/// What is spelled as a place: two coordinates with a comma, a semicolon, a slash or blanks between them.
fn coordinates(value: &str) -> Option<[Coordinate; 2]> {
    let mut parts = value.split([',', ';', '/', ' ']).filter(|part| !part.is_empty()).map(Coordinate::read);
    let (Some(first), Some(second), None) = (parts.next()?, parts.next()?, parts.next()) else { return None };
    Some([first, second])
}

/// Spellings of a place; none where it is none, or says no more than the street.
///
/// Only decimals weigh: whole degrees are those of everybody around. A spelling that is cut off is found in one with
/// more decimals too.
pub(super) fn spell(value: &str) -> Vec<Spelling> {
    let Some([latitude, longitude]) = coordinates(value) else { return Vec::new() };
    let weight = |decimals: usize| u64::try_from(decimals).unwrap_or(0) * 1_000;
    let spelling = |text: String, edge, weight| Spelling { text: text.into(), edge, any_case: false, weight };
    let mut all = Vec::new();
    for (one, decimals) in [&latitude, &longitude].into_iter().flat_map(|one| [(one, 6), (one, 7)]) {
        all.extend(one.cut(decimals).map(|text| spelling(text, Edge::Any, weight(decimals))));
        all.extend(one.units(decimals).map(|text| spelling(text, Edge::Digits, weight(decimals))));
    }
    let pairs = LATITUDE_FIRST.iter().map(|between| (&latitude, &longitude, between));
    let pairs = pairs.chain(LONGITUDE_FIRST.iter().map(|between| (&longitude, &latitude, between)));
    for (first, second, between) in pairs {
        for decimals in [5, 6, 7] {
            for write in [Coordinate::cut, Coordinate::rounded] {
                if let Some((first, second)) = write(first, decimals).zip(write(second, decimals)) {
                    let text = format!("{first}{between}{second}");
                    all.push(spelling(text, Edge::Any, 2 * weight(decimals)));
                }
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: &str) -> Vec<String> {
        spell(value).into_iter().map(|one| String::from_utf8(one.text).unwrap()).collect()
    }

    #[test]
    fn a_place_is_spelled_as_programs_do() {
        let all = texts("22.3193046,-114.1693615");
        for text in [
            "22.319304",
            "22.3193046",
            "-114.1693615",
            "22319304",
            "223193046",
            "-1141693615",
            "22.319305,-114.169362",
            "22.319304, -114.169361",
            "-114.1693615,22.3193046",
            "22.31930,-114.16936",
        ] {
            assert!(all.iter().any(|one| one == text), "{text}: {all:?}");
        }
        assert!(all.iter().all(|one| one.len() >= 8), "{all:?}");
        let weights = |value: &str| spell(value).into_iter().map(|one| one.weight).max();
        assert_eq!(weights("22.3193046,114.1693615"), Some(14_000));
        assert_eq!(weights("22.31934,114.16937"), Some(10_000), "nothing stands alone with five decimals");
    }

    #[test]
    fn streets_and_what_is_no_place_are_not_spelled() {
        for value in [
            "22.3193,114.1693",
            "22,114",
            "here",
            "",
            "1.23456,2.34567,3.45678",
            "a.12345,b.12345",
            "1234.12345,1.12345",
        ] {
            assert_eq!(texts(value), [""; 0], "{value}");
        }
        assert!(texts("0.0000010,0.9999999").iter().any(|text| text == "0.000001,1.000000"));
    }
}
