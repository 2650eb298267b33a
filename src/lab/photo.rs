//! Photos that are new to the world: small baseline JPEGs (ITU-T T.81) of a seeded landscape.
//!
//! No float and no library takes part, so that a photo's bytes are the same on every machine.
//! The tables are small, and a comment that is new in each photo parts them: two photos of the lab
//! share no run of 128 bytes, as photos of one real phone do in their headers.

use super::seeded::Seeded;
use crate::evidence::hex;

/// Blocks of 8 by 8 pixels, across and down: 320 by 240 pixels in all.
const SMALL: (u32, u32) = (40, 30);
/// Bytes that a block takes at most, and of everything else: for a first guess of a photo's size.
const BLOCK_BYTES: usize = 7;
const HEAD_BYTES: usize = 320;
/// Bytes of one segment's body at most.
const MAX_BODY: usize = 65_533;
/// Each coefficient counts this much; 8 makes the DC coefficient the block's mean less 128.
const QUANTIZER: u8 = 8;
/// Texture: AC coefficients of each brightness block.
const TEXTURE: u32 = 5;

/// Takes a photo; `seeded` says what is on it.
pub(super) fn take(seeded: &mut Seeded) -> Vec<u8> {
    shot(seeded, SMALL, &[])
}

/// Takes a photo of exactly `len` bytes (2,000 at least): as many pixels as fit, the rest in comments, which `noise`
/// fills.
pub(super) fn take_sized(
    purpose: impl Fn() -> Seeded,
    len: usize,
    noise: impl Fn(usize) -> Vec<u8>,
) -> Vec<u8> {
    let blocks = u32::try_from(len.saturating_sub(HEAD_BYTES) / BLOCK_BYTES).unwrap_or(u32::MAX);
    let mut wide = (blocks.saturating_mul(4) / 3).isqrt().clamp(4, 1_000);
    loop {
        let size = (wide, (wide * 3 / 4).max(3));
        let bare = shot(&mut purpose(), size, &[]).len();
        match len.checked_sub(bare) {
            Some(0) => return shot(&mut purpose(), size, &[]),
            // A comment takes its marker and its length too.
            Some(spare @ 4..) => {
                let whole = spare / (MAX_BODY + 4);
                let last = spare - whole * (MAX_BODY + 4);
                // What is left is too short for a comment: the one before it is cut.
                let (cut, last) = if whole > 0 && (1..4).contains(&last) { (4, last + 4) } else { (0, last) };
                let mut sizes = vec![MAX_BODY; whole];
                if let Some(first) = sizes.first_mut() {
                    *first -= cut;
                }
                sizes.extend(last.checked_sub(4));
                return shot(&mut purpose(), size, &sizes.into_iter().map(&noise).collect::<Vec<_>>());
            }
            _ if wide == 4 => return shot(&mut purpose(), size, &[]),
            _ => wide -= 1,
        }
    }
}

fn shot(seeded: &mut Seeded, (blocks_wide, blocks_high): (u32, u32), comments: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0xff, 0xd8];
    segment(&mut file, 0xe0, b"JFIF\0\x01\x01\x00\x00\x01\x00\x01\x00\x00");
    segment(&mut file, 0xdb, &[&[0], [QUANTIZER; 64].as_slice()].concat());
    let (wide, high) = ((blocks_wide * 8).to_be_bytes(), (blocks_high * 8).to_be_bytes());
    let ([_, _, w1, w0], [_, _, h1, h0]) = (wide, high);
    segment(&mut file, 0xc0, &[8, h1, h0, w1, w0, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
    let comment = format!("{} simulated by exhibit lab", hex(&seeded.bytes(8)));
    segment(&mut file, 0xfe, comment.as_bytes());
    comments.iter().for_each(|comment| segment(&mut file, 0xfe, comment));
    segment(&mut file, 0xc4, &huffman(0x00, DC_CODE_BITS, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
    segment(&mut file, 0xc4, &huffman(0x10, AC_CODE_BITS, &[0, 1, 2, 3, 4]));
    segment(&mut file, 0xda, &[3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    file.extend(scan(seeded, blocks_wide, blocks_high));
    file.extend([0xff, 0xd9]);
    file
}

/// Twelve sizes of a DC difference, each with a code of four bits: its own number.
const DC_CODE_BITS: u8 = 4;
/// End of block and four sizes of an AC coefficient, each with a code of three bits: its own number.
const AC_CODE_BITS: u8 = 3;

/// A table (section B.2.4.2) in which all codes are `bits` long.
fn huffman(class_and_id: u8, bits: u8, symbols: &[u8]) -> Vec<u8> {
    let counts = (1..=16).map(|len| if len == bits { u8::try_from(symbols.len()).unwrap_or(0) } else { 0 });
    std::iter::once(class_and_id).chain(counts).chain(symbols.iter().copied()).collect()
}

fn segment(file: &mut Vec<u8>, marker: u8, body: &[u8]) {
    file.extend([0xff, marker]);
    file.extend(u16::try_from(body.len() + 2).unwrap_or(u16::MAX).to_be_bytes());
    file.extend(body);
}

/// The landscape: sky above a horizon, land below, a sun.
fn scan(seeded: &mut Seeded, wide: u32, high: u32) -> Vec<u8> {
    let horizon = high / 3 + seeded.below(high / 3);
    let sun = (wide / 10 + seeded.below(wide * 4 / 5), high / 15 + seeded.below(high / 5));
    let land = (i32::from(seeded.happens(500)) * 20 - 30, -20 + drawn(seeded, 30));
    let mut bits = Bits::default();
    let mut before = [0; 3];
    for row in 0..high {
        for column in 0..wide {
            let in_sun = column.abs_diff(sun.0).pow(2) + row.abs_diff(sun.1).pow(2) < 6;
            let level = i32::try_from(row * 30 / high.max(1)).unwrap_or(0);
            let (means, roughness) = match (in_sun, row < horizon) {
                (true, _) => ([110, -40, 20], 2),
                (false, true) => ([40 + level * 2, 30 - level, -15], 3),
                (false, false) => ([-40 + level + drawn(seeded, 16), land.0, land.1], 15),
            };
            for (component, mean) in means.into_iter().enumerate() {
                let mean = mean + drawn(seeded, 6);
                if let Some(last) = before.get_mut(component) {
                    bits.number(DC_CODE_BITS, mean - *last);
                    *last = mean;
                }
                for _ in 0..if component == 0 { TEXTURE } else { 0 } {
                    let size = 1 + drawn(seeded, roughness);
                    bits.number(AC_CODE_BITS, if seeded.happens(500) { size } else { -size });
                }
                bits.put(0, AC_CODE_BITS); // end of block
            }
        }
    }
    bits.finish()
}

fn drawn(seeded: &mut Seeded, bound: u32) -> i32 {
    i32::try_from(seeded.below(bound)).unwrap_or(0)
}

/// Entropy-coded bits (section F.1.2), with a zero stuffed behind each 0xff.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    partial: u8,
    filled: u8,
}

impl Bits {
    /// The size of `value` as a code of `code_bits`, then the value in so many bits.
    fn number(&mut self, code_bits: u8, value: i32) {
        let magnitude = value.unsigned_abs();
        let size = u8::try_from(u32::BITS - magnitude.leading_zeros()).unwrap_or(0);
        self.put(u32::from(size), code_bits);
        let negative = (1_u32 << size) - 1 - magnitude.min((1 << size) - 1);
        self.put(if value < 0 { negative } else { magnitude }, size);
    }

    fn put(&mut self, value: u32, bits: u8) {
        for shift in (0..bits).rev() {
            self.partial = self.partial << 1 | u8::from(value >> shift & 1 == 1);
            self.filled += 1;
            if self.filled == 8 {
                self.bytes.push(self.partial);
                if self.partial == 0xff {
                    self.bytes.push(0);
                }
                (self.partial, self.filled) = (0, 0);
            }
        }
    }

    /// Pads the last byte with ones.
    fn finish(mut self) -> Vec<u8> {
        while self.filled != 0 {
            self.put(1, 1);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_coded_as_size_and_value() {
        let coded = |value| {
            let mut bits = Bits::default();
            bits.number(4, value);
            bits.finish()
        };
        assert_eq!(coded(0), [0b0000_1111]);
        assert_eq!(coded(5), [0b0011_1011]);
        assert_eq!(coded(-5), [0b0011_0101]);
    }

    #[test]
    fn a_byte_of_ones_is_stuffed() {
        let mut bits = Bits::default();
        bits.put(0xff, 8);
        assert_eq!(bits.finish(), [0xff, 0]);
    }

    #[test]
    fn a_photo_has_the_size_that_is_asked_for() {
        let noise = |len: usize| vec![7; len];
        for len in [2_000, 2_001, 2_003, 9_999, 30_129, 108_000, 400_001] {
            assert_eq!(take_sized(|| Seeded::new(7, "1"), len, noise).len(), len);
        }
    }

    #[test]
    fn photos_are_fresh_about_eight_kilobytes_and_share_no_long_run() {
        let [one, two] = ["1", "2"].map(|name| take(&mut Seeded::new(7, name)));
        assert!((6_000..12_000).contains(&one.len()), "{}", one.len());
        let shared = one.windows(128).filter(|run| two.windows(128).any(|other| other == *run)).count();
        assert_eq!(shared, 0);
        assert_eq!(one, take(&mut Seeded::new(7, "1")));
    }
}
