//! Nonces and IVs that stand in records before TLS 1.3: which of them say nothing.

/// Values of one direction that a sender may make up: those of CBC must be unpredictable (RFC 5246 section 6.2.3.2), and those of
/// GCM and CCM begin anywhere (RFC 5288 section 3). So many hold 128 bytes at most, somewhat more than the random fields of a hello;
/// beyond them a record of one byte would carry 16 that its sender chooses.
const FREE: u32 = 8;

/// The nonces or IVs of one direction.
#[derive(Debug, Default)]
pub struct Nonces {
    last: Option<u64>,
    /// What a nonce and the number of its record differ by.
    base: Option<u64>,
    free: u32,
}

impl Nonces {
    /// Whether what stands before the content of record `number` says nothing: a count that goes on, by one or with the number of
    /// the record, or one of the first few values.
    pub fn say_nothing(&mut self, number: u64, explicit: &[u8]) -> bool {
        if explicit.is_empty() {
            return true;
        }
        let nonce = explicit.as_array().map(|bytes: &[u8; 8]| u64::from_be_bytes(*bytes));
        let (last, base) = (self.last, self.base);
        self.last = nonce;
        self.base = nonce.map(|nonce| nonce ^ number);
        let counts = nonce.is_some_and(|nonce| {
            last.is_some_and(|last| last.wrapping_add(1) == nonce) || base == Some(nonce ^ number)
        });
        if counts {
            return true;
        }
        self.free += u32::from(self.free < FREE + 1);
        self.free <= FREE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_say_nothing_and_of_other_values_few_are_believed() {
        let mut nonces = Nonces::default();
        let mut say = |number: u64, nonce: u64| nonces.say_nothing(number, &nonce.to_be_bytes());
        // From anywhere by one, and with the number of the record, whose base stays.
        assert!((0..100).all(|number| say(number, 0x8676_2201_4512_3470 + number)));
        assert!((100..200).all(|number| say(number, 0x0123_4567_89ab_cdef ^ number)));
        // Two values began a count; six more may be any, and no other one.
        let made_up = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let believed = (200..300).filter(|&number| say(number, made_up(number))).count();
        assert_eq!(believed, 6);
        assert!(say(300, made_up(299) + 1), "a count goes on");
    }

    #[test]
    fn of_the_ivs_of_blocks_the_first_are_believed() {
        let mut nonces = Nonces::default();
        let believed =
            (0..20).filter(|&number: &u8| nonces.say_nothing(number.into(), &[number; 16])).count();
        assert_eq!(believed, 8);
        assert!(nonces.say_nothing(20, &[]), "a record without one");
    }
}
