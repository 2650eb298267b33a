//! The Huffman code of header compression (RFC 7541 section 5.2 and appendix B), which HPACK and QPACK share.
//!
//! The code is canonical: codes count up within a length, and from length to length with zeros appended, so that
//! the symbols of each length say everything.

/// The symbols of each code length, in order of their codes. Of the last length EOS is the last, and not listed.
const LENGTHS: [(u32, &[u8]); 21] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, &[92, 195, 208]),
    (20, &[128, 130, 131, 162, 184, 194, 224, 226]),
    (21, &[153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230]),
    (
        22,
        &[
            129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187,
            189, 190, 196, 198, 228, 232, 233,
        ],
    ),
    (
        23,
        &[
            1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174,
            175, 180, 182, 183, 188, 191, 197, 231, 239,
        ],
    ),
    (24, &[9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237]),
    (25, &[199, 207, 234, 235]),
    (26, &[192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255]),
    (27, &[203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254]),
    (
        28,
        &[
            2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31,
            127, 220, 249,
        ],
    ),
    (30, &[10, 13, 22]),
];

/// The longest code.
const LONGEST: u32 = 30;

/// Why a string is not in this code. What came before is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The symbol EOS stands in it.
    #[error("the Huffman code holds its end symbol")]
    Eos,
    /// It does not end with less than a byte of ones.
    #[error("the Huffman code is not padded with ones to its last byte")]
    Padding,
}

/// Decodes a string, which is at most 8/5 of its length.
///
/// # Errors
/// [`Damage`], with what came before it in `out`.
pub fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Damage> {
    // Bits that are not decoded yet stand at the top of `held`.
    let (mut held, mut bits) = (0_u64, 0_u32);
    let mut rest = bytes.iter();
    loop {
        while bits <= u64::BITS - u8::BITS
            && let Some(&byte) = rest.next()
        {
            held |= u64::from(byte) << (u64::BITS - u8::BITS - bits);
            bits += u8::BITS;
        }
        match symbol(held) {
            Some((length, byte)) if length <= bits => {
                out.push(byte);
                held <<= length;
                bits -= length;
            }
            None if bits >= LONGEST => return Err(Damage::Eos),
            // Not enough bits for a code: padding, which is the start of EOS.
            _ => break,
        }
    }
    let ones = held.leading_ones();
    if bits < u8::BITS && ones >= bits { Ok(()) } else { Err(Damage::Padding) }
}

/// The symbol whose code stands at the top of `held`, with the code's length; `None` is EOS.
fn symbol(held: u64) -> Option<(u32, u8)> {
    let (mut first, mut before) = (0_u64, 0);
    for (length, symbols) in LENGTHS {
        first <<= length - before;
        before = length;
        let code = held >> (u64::BITS - length);
        // Codes of this length and shorter ones are below `first` + their number; longer ones above.
        if let Some(&byte) =
            code.checked_sub(first).and_then(|place| symbols.get(usize::try_from(place).ok()?))
        {
            return Some((length, byte));
        }
        first += symbols.len() as u64;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> (Vec<u8>, Result<(), Damage>) {
        let mut out = Vec::new();
        let result = decode(bytes, &mut out);
        (out, result)
    }

    /// By the table: the code of each symbol and its length.
    fn codes() -> Vec<(u8, u32, u32)> {
        let (mut next, mut before, mut codes) = (0_u32, 0, Vec::new());
        for (length, symbols) in LENGTHS {
            next <<= length - before;
            before = length;
            for symbol in symbols {
                codes.push((*symbol, next, length));
                next += 1;
            }
        }
        codes
    }

    fn encoded(text: &[u8]) -> Vec<u8> {
        let codes = codes();
        let mut bits: Vec<u8> = Vec::new();
        for byte in text {
            let (_, code, length) = codes.iter().find(|(symbol, ..)| symbol == byte).unwrap();
            bits.extend((0..*length).rev().map(|bit| u8::try_from(code >> bit & 1).unwrap()));
        }
        bits.resize(bits.len().next_multiple_of(8), 1);
        bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect()
    }

    #[test]
    fn each_byte_has_one_code_and_the_last_code_is_that_of_the_end() {
        let mut codes = codes();
        assert_eq!(codes.last(), Some(&(22, 0x3fff_fffe, LONGEST)));
        // Single rows of appendix B.
        for row in
            [(0, 0x1ff8, 13), (b'a', 3, 5), (b'Z', 0xfd, 8), (b'\\', 0x7_fff0, 19), (249, 0xfff_fffe, 28)]
        {
            assert!(codes.contains(&row), "{row:?}");
        }
        codes.sort_unstable();
        assert_eq!(
            codes.iter().map(|(symbol, ..)| *symbol).collect::<Vec<_>>(),
            (0..=255).collect::<Vec<u8>>()
        );
    }

    #[test]
    fn strings_of_rfc_7541_appendix_c() {
        let host = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decoded(&host), (b"www.example.com".to_vec(), Ok(())));
        let value = [0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf];
        assert_eq!(decoded(&value), (b"custom-value".to_vec(), Ok(())));
        assert_eq!(decoded(&[0x64, 0x02]), (b"302".to_vec(), Ok(())));
        assert_eq!(decoded(&[]), (Vec::new(), Ok(())));
    }

    #[test]
    fn every_pair_of_bytes_comes_back() {
        for first in 0..=255 {
            for second in (0..=255).step_by(5).chain([10, 13, 22, 249]) {
                let text = [first, second, first];
                assert_eq!(decoded(&encoded(&text)), (text.to_vec(), Ok(())));
            }
        }
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones_and_the_end_symbol_is_an_error() {
        // "a" is 00011.
        assert_eq!(decoded(&[0b0001_1111]), (b"a".to_vec(), Ok(())));
        assert_eq!(decoded(&[0b0001_1110]), (b"a".to_vec(), Err(Damage::Padding)));
        assert_eq!(decoded(&[0b0001_1111, 0xff]), (b"a".to_vec(), Err(Damage::Padding)));
        assert_eq!(decoded(&[0xff, 0xff, 0xff]), (Vec::new(), Err(Damage::Padding)));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), (Vec::new(), Err(Damage::Eos)));
        assert_eq!(decoded(&[0x1f, 0xff, 0xff, 0xff, 0xf8]), (b"a".to_vec(), Err(Damage::Eos)));
    }
}
