//! The signature of a picture, and how much alike two of them are.
//!
//! A grid of brightness goes through the discrete cosine transform (type II, both ways). Its coefficients are weighted by
//! their frequency, since in pictures of the world amplitude falls with it (Field, "Relations between the statistics of
//! natural images", 1987), and two signatures are compared by the correlation of two bands. Mean brightness is left out, and so is
//! contrast, by the division. Thresholds and the chance of a match by luck were measured: docs/decisions/008.

use crate::engine::codec::picture::{Grid, SIDE};

/// Coefficients with `u + v` below this are the coarse band.
const COARSE: usize = 16;
/// And below this the fine one.
const FINE: usize = 32;
/// From this likeness of the coarse bands on, in thousandths, two pictures are one.
const ALIKE: i32 = 850;
/// From this likeness of the fine bands on as well, an altered copy may carry a verdict: pages of text in one layout come to 0.64.
const SAME_DETAIL: i32 = 750;
/// Two neighbouring cells that differ by less than this many 256ths of a level are one flat area.
const FLAT: u32 = 128;
/// From this share of neighbours in flat areas on, in thousandths, a picture was drawn by a program: a screen, a page. Those
/// share layouts, and likeness says little of them. Measured: screens and pages 460 to 740, nine of ten photographs below 280.
const DRAWN: usize = 300;
/// The least root mean square of the coarse band, in levels of brightness: below, a picture shows nothing that tells it from
/// others (a sky, a page).
const LEAST_DETAIL: f64 = 6.0;
/// Ways in which a picture can be turned and mirrored.
pub(in super::super) const TURNS: u64 = 8;

/// What two pictures are compared by.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    drawn: bool,
    coarse: Band,
    fine: Band,
}

/// Weighted coefficients of one band, of length 1 together.
#[derive(Clone, Debug)]
struct Band(Vec<f32>);

/// How much alike two pictures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Likeness {
    /// Correlation of the coarse bands, in thousandths, in the best of eight turns.
    pub(in super::super) coarse: i32,
    /// Of the fine bands in that turn.
    pub(in super::super) fine: i32,
    /// Whether the photo is a picture that a program drew.
    pub(in super::super) drawn: bool,
}

impl Likeness {
    /// Distance as findings have it: thousandths, 0 for the same picture.
    pub(in super::super) fn distance(self) -> u32 {
        u32::try_from(1_000 - self.coarse).unwrap_or(0)
    }

    /// Minus the decimal logarithm, in thousandths, of the share of pairs of unrelated pictures that are at least this much
    /// alike in one turn: an upper bound.
    ///
    /// Nothing, where the fine bands differ or the photo was drawn by a program.
    ///
    /// Measured on 1,399,842 pairs of a picture and a 160-pixel copy of an unrelated one: shares fall about five times with
    /// each 0.1 of likeness. The lines below lie above every measured share and go on where nothing was found any
    /// more. The better of two bounds is taken, which costs a factor of two.
    pub(in super::super) fn weight(self) -> u64 {
        if self.drawn || self.fine < SAME_DETAIL {
            return 0;
        }
        let coarse = 2_850 + (self.coarse - 400) * 68 / 10;
        let fine = 3_650 + (self.fine - 400) * 68 / 10;
        u64::try_from(coarse.max(fine) - 302).unwrap_or(0)
    }
}

impl Signature {
    /// Makes the signature; `None` where the picture shows too little.
    pub(super) fn of(grid: &Grid) -> Option<Self> {
        let coefficients = transform(grid);
        let at = |u: usize, v: usize| coefficients.get(v * FINE + u).copied().unwrap_or(0.0);
        let energy: f64 = band(0, COARSE).map(|(u, v)| at(u, v) * at(u, v)).sum();
        if energy.sqrt() < LEAST_DETAIL {
            return None;
        }
        let weighted = |lower: usize, upper: usize| {
            let values: Vec<f64> = band(lower, upper).map(|(u, v)| at(u, v) * distance(u, v)).collect();
            let length = values.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            Band(values.into_iter().map(|value| narrow(value / length)).collect())
        };
        Some(Self { drawn: is_drawn(grid), coarse: weighted(0, COARSE), fine: weighted(COARSE, FINE) })
    }

    /// Compares with a photo in all turns; `None` where they are not alike.
    pub(super) fn likeness(&self, photo: &Self) -> Option<Likeness> {
        let best = (0..8).map(|turn| (self.coarse.correlation(&photo.coarse, COARSE, 0, turn), turn));
        let (coarse, turn) = best.max_by_key(|&(likeness, turn)| (likeness, std::cmp::Reverse(turn)))?;
        (coarse >= ALIKE).then(|| Likeness {
            coarse,
            fine: self.fine.correlation(&photo.fine, FINE, COARSE, turn),
            drawn: photo.drawn,
        })
    }
}

/// Whether much of a picture is flat.
fn is_drawn(Grid(cells): &Grid) -> bool {
    let rows = cells.chunks_exact(SIDE);
    let beside = rows.clone().flat_map(|row| row.iter().zip(row.iter().skip(1)));
    let below = rows.clone().zip(rows.skip(1)).flat_map(|(row, next)| row.iter().zip(next));
    let flat = beside.chain(below).filter(|(one, two)| one.abs_diff(**two) < FLAT).count();
    flat * 1_000 >= DRAWN * 2 * SIDE * (SIDE - 1)
}

impl Band {
    /// Correlation with another band that is turned: bit 0 mirrors left and right, bit 1 top and bottom, bit 2 swaps rows
    /// and columns first. Mirroring changes the signs of odd coefficients.
    fn correlation(&self, other: &Self, upper: usize, lower: usize, turn: u8) -> i32 {
        let swap = turn & 4 != 0;
        let sum: f64 = band(lower, upper)
            .zip(&self.0)
            .zip(0_usize..)
            .map(|(((u, v), &one), place)| {
                let two = if swap { other.0.get(place_of(v, u, lower)) } else { other.0.get(place) };
                let odd = (usize::from(turn & 1) * u + usize::from(turn >> 1 & 1) * v) % 2 == 1;
                let two = two.copied().unwrap_or(0.0);
                f64::from(one) * f64::from(if odd { -two } else { two })
            })
            .sum();
        thousandths(sum)
    }
}

/// Pairs `(u, v)` with `lower <= u + v < upper` but for the mean, diagonal by diagonal.
fn band(lower: usize, upper: usize) -> impl Iterator<Item = (usize, usize)> {
    (lower.max(1)..upper).flat_map(|sum| (0..=sum).map(move |u| (u, sum - u)))
}

/// The place of a pair in [`band`].
fn place_of(u: usize, v: usize, lower: usize) -> usize {
    let diagonals = |sum: usize| sum * (sum + 1) / 2;
    diagonals(u + v) - diagonals(lower.max(1)) + u
}

/// Distance from the mean: the weight of a coefficient.
fn distance(u: usize, v: usize) -> f64 {
    let squared = u32::try_from(u * u + v * v).unwrap_or(u32::MAX);
    f64::from(squared).sqrt()
}

/// The lowest 32 × 32 coefficients of the orthonormal transform, in levels per cell: their squares add up to the mean square of
/// the grid's brightness.
fn transform(grid: &Grid) -> Vec<f64> {
    let cosines = cosines();
    let basis = |k: usize, x: usize| {
        let scale = if k == 0 { 1.0 } else { std::f64::consts::SQRT_2 };
        scale * cosines.get((2 * x + 1) * k % (4 * SIDE)).copied().unwrap_or(0.0)
    };
    let table: Vec<f64> =
        (0..FINE).flat_map(|k| (0..SIDE).map(move |x| (k, x))).map(|(k, x)| basis(k, x)).collect();
    let cells: Vec<f64> = grid.0.iter().map(|&cell| f64::from(cell) / 256.0).collect();
    let side = SIDE as f64;
    // Rows first: `rows[y][u]`.
    let project = |line: &[f64]| -> Vec<f64> {
        table.chunks_exact(SIDE).map(|basis| dot(basis, line) / side).collect()
    };
    let rows: Vec<Vec<f64>> = cells.chunks_exact(SIDE).map(project).collect();
    let columns =
        (0..FINE).map(|u| rows.iter().map(|row| row.get(u).copied().unwrap_or(0.0)).collect::<Vec<_>>());
    let by_u: Vec<Vec<f64>> = columns.map(|column| project(&column)).collect();
    (0..FINE).flat_map(|v| by_u.iter().map(move |of_u| of_u.get(v).copied().unwrap_or(0.0))).collect()
}

fn dot(one: &[f64], two: &[f64]) -> f64 {
    one.iter().zip(two).map(|(a, b)| a * b).sum()
}

/// cos(2π n / 256) for n from 0 to 255, by its series: only additions, products and quotients, so that no platform's library shows.
fn cosines() -> Vec<f64> {
    let all = 4 * SIDE;
    let cosine = |n: usize| {
        // Into the first eighth of a turn and a half at most, where the series is short.
        let n = if n > all / 2 { all - n } else { n };
        let (n, sign) = if n > all / 4 { (all / 2 - n, -1.0) } else { (n, 1.0) };
        let angle = std::f64::consts::TAU * n as f64 / all as f64;
        let (mut term, mut sum) = (1.0, 1.0);
        for k in 1..14_u32 {
            let k = f64::from(k);
            term *= -angle * angle / ((2.0 * k - 1.0) * (2.0 * k));
            sum += term;
        }
        sign * sum
    };
    (0..all).map(cosine).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a half of the memory, with seven digits left")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[expect(clippy::cast_possible_truncation, reason = "a correlation lies between -1 and 1")]
fn thousandths(correlation: f64) -> i32 {
    (correlation * 1_000.0).floor() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of soft random blots, the same for the same seed.
    fn scene(seed: u64) -> Grid {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % below
        };
        let mut cells = vec![128_i64 * 256; SIDE * SIDE];
        for no in 0..60_u64 {
            let radius = i64::try_from(next(20 - no / 4) + 2).unwrap();
            let (x, y) = (i64::try_from(next(64)).unwrap(), i64::try_from(next(64)).unwrap());
            let level = i64::try_from(next(160)).unwrap() - 80;
            for (place, cell) in cells.iter_mut().enumerate() {
                let (dx, dy) =
                    (i64::try_from(place % SIDE).unwrap() - x, i64::try_from(place / SIDE).unwrap() - y);
                let off = dx * dx + dy * dy;
                if off < radius * radius {
                    *cell += level * 256 * (radius * radius - off) / (radius * radius);
                }
            }
        }
        Grid(cells.into_iter().map(|cell| u32::try_from(cell.clamp(0, 255 * 256)).unwrap()).collect())
    }

    fn turned(grid: &Grid, place: impl Fn(usize, usize) -> (usize, usize)) -> Grid {
        let at = |x: usize, y: usize| {
            let (x, y) = place(x, y);
            grid.0[y * SIDE + x]
        };
        Grid((0..SIDE * SIDE).map(|cell| at(cell % SIDE, cell / SIDE)).collect())
    }

    #[test]
    fn coefficients_keep_the_energy_of_what_they_hold() {
        // cos of one frequency in each direction, written as a grid: one coefficient holds everything.
        let cosines = cosines();
        let level = |x: usize, y: usize| {
            128.0 + 60.0 * cosines[(2 * x + 1) * 3 % 256] * cosines[(2 * y + 1) * 5 % 256]
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 255 levels"
        )]
        let cells = (0..SIDE * SIDE).map(|cell| (level(cell % SIDE, cell / SIDE) * 256.0).round() as u32);
        let coefficients = transform(&Grid(cells.collect()));
        for (place, value) in coefficients.iter().enumerate() {
            let expected = match (place % FINE, place / FINE) {
                (0, 0) => 128.0,
                (3, 5) => 30.0,
                _ => 0.0,
            };
            assert!((value - expected).abs() < 0.01, "{place}: {value}");
        }
        for (no, cosine) in cosines.iter().enumerate() {
            let angle = std::f64::consts::TAU * f64::from(u32::try_from(no).unwrap()) / 256.0;
            assert!((cosine - angle.cos()).abs() < 1e-14, "{no}");
        }
    }

    #[test]
    fn places_follow_the_order_of_a_band() {
        for (lower, upper) in [(0, COARSE), (COARSE, FINE)] {
            for (place, (u, v)) in band(lower, upper).enumerate() {
                assert_eq!(place_of(u, v, lower), place);
            }
        }
    }

    #[test]
    fn a_picture_is_itself_however_it_is_turned_and_no_other() {
        let last = SIDE - 1;
        let picture = scene(1);
        let signature = Signature::of(&picture).unwrap();
        type Turn = fn(usize, usize) -> (usize, usize);
        let turns: [(&str, Turn); 4] = [
            ("as it is", |x, y| (x, y)),
            ("a quarter", |x, y| (y, 63 - x)),
            ("half", |x, y| (63 - x, 63 - y)),
            ("mirrored", |x, y| (63 - x, y)),
        ];
        assert_eq!(last, 63);
        for (name, turn) in turns {
            let likeness = Signature::of(&turned(&picture, turn)).unwrap().likeness(&signature).unwrap();
            assert!(likeness.coarse >= 999 && likeness.fine >= 999, "{name}: {likeness:?}");
        }
        let others = (2..200).filter_map(|seed| Signature::of(&scene(seed)).unwrap().likeness(&signature));
        assert_eq!(others.count(), 0);
    }

    #[test]
    fn an_empty_page_has_no_signature() {
        assert!(Signature::of(&Grid(vec![200 * 256; SIDE * SIDE])).is_none());
        let faint =
            Grid((0..SIDE * SIDE).map(|cell| 30_000 + u32::try_from(cell % SIDE).unwrap() * 8).collect());
        assert!(Signature::of(&faint).is_none());
    }

    #[test]
    fn weights_lie_above_every_measured_share() {
        // Of 1,399,842 pairs: (likeness, pairs at least as much alike). The line is the better of two bands; where the fine one is
        // at its least the coarse one decides.
        let bound = |coarse: i32, fine: i32| {
            let likeness = Likeness { coarse, fine, drawn: false };
            10_f64.powf(-f64::from(u32::try_from(likeness.weight()).unwrap()) / 1_000.0)
        };
        // At 0.75 and above none of the pairs was alike in the fine band: at most three in 1,399,842 (95 %).
        assert!(bound(850, SAME_DETAIL) < 3.0 / 1_399_842.0);
        for (likeness, coarse, fine) in
            [(400, 1_808.0, 252.0), (500, 379.0, 16.0), (600, 65.0, 2.0), (700, 12.0, 0.0)]
        {
            let line =
                |start: i32| 10_f64.powf(-f64::from(start + (likeness - 400) * 68 / 10 - 302) / 1_000.0);
            assert!(line(2_850) > coarse / 1_399_842.0, "coarse, {likeness}");
            assert!(line(3_650) > fine / 1_399_842.0, "fine, {likeness}");
        }
        let weight = |fine, drawn| Likeness { coarse: 990, fine, drawn }.weight();
        assert_eq!((weight(SAME_DETAIL - 1, false), weight(990, true)), (0, 0));
        assert!(weight(990, false) > weight(SAME_DETAIL, false));
    }
}
