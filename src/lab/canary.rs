//! Canaries: content that is new to the world, to be planted on a phone and looked for in what it sends.
//!
//! Everything follows from a seed of 256 bits, so that the plan can promise it before the first run and anybody can
//! make it again. Bits of chance are counted, not guessed: each is a bit of SHA-256 in counter mode over the seed.
//! Sizes of photos are codes: no code, its double or triple, nor the sum of two comes within 3 % of another.

use std::fmt::Write as _;

use super::{photo, play::Made, seeded::Seeded};
use crate::evidence::Digest;

/// How many of each are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Photos.
    pub photos: usize,
    /// Messages, each with a number.
    pub messages: usize,
    /// Contacts, each with a number and a mail address.
    pub contacts: usize,
}

/// Photos at most: more codes don't stay 3 % apart from each other and each other's sums.
pub const MAX_PHOTOS: usize = 8;
/// Messages and contacts at most.
pub const MAX_RECORDS: usize = 1_000;
/// The smallest and the largest photo, in bytes.
const PHOTO_BYTES: (u64, u64) = (24_000, 1_500_000);
/// How far codes are apart, in thousandths.
const APART_PERMILLE: u64 = 30;
/// Codes that are tried for one photo, and sets that are begun anew where none is left.
const TRIES: usize = 1_000;
const SETS: usize = 100;
/// A syllable is one of sixteen consonants and one of four vowels.
const SYLLABLE_BITS: usize = 6;
/// Digits of a number behind its prefix: 26 bits.
const NUMBER_DIGITS: usize = 8;
const NUMBER_BITS: usize = 26;

/// What is planted: files of the device, and the words of the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canaries {
    /// Photos, messages and contacts, by their path in the folder of the phone's files.
    pub files: Vec<Made>,
    /// `files`, `phone.identifiers` and `canaries` of the scenario, in YAML.
    pub plan: String,
}

/// Why canaries can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanaryError {
    /// Too many are wanted.
    #[error("{wanted} {what} are too many: at most {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are wanted.
        wanted: usize,
        /// How many there can be.
        most: usize,
    },
    /// No size is left that stays apart from the others.
    #[error("no size is left for another photo")]
    NoSize,
    /// A prefix that numbers can't begin with.
    #[error("a number begins with `+` and one to seven digits")]
    Prefix,
}

/// Makes canaries for the phone's files in `folder`. Numbers begin with `prefix`: `+999` is assigned to no country
/// (ITU-T E.164), so nobody is called by it.
///
/// # Errors
/// When too many are wanted, or the prefix is none.
pub fn canaries(
    seed: &[u8; 32],
    wanted: &Wanted,
    folder: &str,
    prefix: &str,
) -> Result<Canaries, CanaryError> {
    let most = [
        ("photos", wanted.photos, MAX_PHOTOS),
        ("messages", wanted.messages, MAX_RECORDS),
        ("contacts", wanted.contacts, MAX_RECORDS),
    ];
    if let Some((what, wanted, most)) = most.into_iter().find(|(_, wanted, most)| wanted > most) {
        return Err(CanaryError::TooMany { what, wanted, most });
    }
    let digits = prefix.strip_prefix('+').ok_or(CanaryError::Prefix)?;
    if !(1..=7).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CanaryError::Prefix);
    }
    let draw = |purpose: &str| Draw::new(seed, purpose);
    let mut files = Vec::new();
    let mut plan = format!("files: {folder}\nphone:\n  identifiers:\n");
    // Six of twelve syllables are 72 bits.
    let _ = writeln!(plan, "    account: \"{}@canary.invalid\" # 72 bits", draw("account").word(12));
    let _ = writeln!(plan, "    advertising_id: \"{}\" # 122 bits", draw("advertising_id").uuid());
    plan.push_str("canaries:\n");
    for (no, size) in (1..).zip(sizes(&mut draw("sizes"), wanted.photos)?) {
        let name = format!("cam-{no:02}");
        let purpose = format!("photo {no}");
        let numbers = draw(&purpose).number();
        let noise = |len| draw(&format!("{purpose} noise")).bytes(len);
        let len = usize::try_from(size).unwrap_or(0);
        let bytes = photo::take_sized(|| Seeded::new(numbers, "canary"), len, noise);
        files.push(Made { path: format!("DCIM/Camera/{name}.jpg"), bytes });
        // What is drawn is one number of 64 bits, and its comments fill the rest.
        let _ = writeln!(plan, "  {name}: {{kind: photo, size_code: {size}}} # DCIM/Camera/{name}.jpg");
    }
    let mut rows = String::from("id,body,number\n");
    for no in 1..=wanted.messages {
        let mut draw = draw(&format!("message {no}"));
        // Seven words of two syllables are 84 bits.
        let words: Vec<String> = (0..7).map(|_| draw.word(2)).collect();
        let _ = writeln!(rows, "sms-{no:02},{},{}", words.join(" "), number(prefix, &mut draw));
        let _ = writeln!(plan, "  sms-{no:02}: {{kind: sms, entropy_bits: {}}}", 14 * SYLLABLE_BITS);
        let _ = writeln!(
            plan,
            "  sms-number-{no:02}: {{kind: number, entropy_bits: {NUMBER_BITS}, needs: field_context}}"
        );
    }
    let mut cards = String::new();
    for no in 1..=wanted.contacts {
        let mut draw = draw(&format!("contact {no}"));
        let (given, family) = (capital(&draw.word(6)), capital(&draw.word(6)));
        let mail = draw.word(12);
        let number = number(prefix, &mut draw);
        let _ = write!(
            cards,
            "BEGIN:VCARD\r\nVERSION:3.0\r\nN:{family};{given};;;\r\nFN:{given} {family}\r\nTEL;TYPE=CELL:{number}\r\n\
             EMAIL:{mail}@canary.invalid\r\nEND:VCARD\r\n"
        );
        let _ = writeln!(plan, "  contact-{no:02}: {{kind: contact, entropy_bits: {}}}", 12 * SYLLABLE_BITS);
        let _ = writeln!(
            plan,
            "  contact-number-{no:02}: {{kind: number, entropy_bits: {NUMBER_BITS}, needs: field_context}}"
        );
    }
    if wanted.messages > 0 {
        files.push(Made { path: "sms.csv".to_owned(), bytes: rows.into_bytes() });
    }
    if wanted.contacts > 0 {
        files.push(Made { path: "contacts.vcf".to_owned(), bytes: cards.into_bytes() });
    }
    if wanted.photos + wanted.messages + wanted.contacts == 0 {
        plan.truncate(plan.len() - "canaries:\n".len());
    }
    Ok(Canaries { files, plan })
}

fn number(prefix: &str, draw: &mut Draw) -> String {
    let digits = (0..NUMBER_DIGITS).map(|_| char::from(b'0' + draw.below(10))).collect::<String>();
    format!("{prefix}{digits}")
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// Sizes of photos, spread over octaves; each is kept where it can't be mistaken for the others.
fn sizes(draw: &mut Draw, wanted: usize) -> Result<Vec<u64>, CanaryError> {
    let mut set = || -> Option<Vec<u64>> {
        let mut kept: Vec<u64> = Vec::new();
        for _ in 0..wanted {
            let next = (0..TRIES).find_map(|_| {
                let size = draw.size();
                let with: Vec<u64> = kept.iter().copied().chain([size]).collect();
                is_apart(&with).then_some(size)
            });
            kept.push(next?);
        }
        kept.sort_unstable();
        Some(kept)
    };
    (0..SETS).find_map(|_| set()).ok_or(CanaryError::NoSize)
}

/// Whether no size, its double or triple, nor the sum of two comes within 3 % of another one.
fn is_apart(sizes: &[u64]) -> bool {
    let near = |a: u64, b: u64| a.abs_diff(b) * 1_000 < a.max(b) * APART_PERMILLE;
    let pairs =
        || sizes.iter().enumerate().flat_map(|(at, a)| sizes.iter().skip(at + 1).map(move |b| (*a, *b)));
    let clashes = |made: u64, of: &[u64]| sizes.iter().any(|size| !of.contains(size) && near(made, *size));
    let equal = pairs().any(|(a, b)| a == b);
    let multiple = sizes.iter().any(|size| (1..=3).any(|times| clashes(size * times, &[*size])));
    !equal && !multiple && !pairs().any(|(a, b)| clashes(a + b, &[a, b]))
}

/// Bits of SHA-256 in counter mode over the seed and a purpose, each used once.
struct Draw {
    key: Digest,
    count: u64,
    block: Vec<u8>,
}

impl Draw {
    fn new(seed: &[u8; 32], purpose: &str) -> Self {
        let key = Digest::of(&[b"exhibit canary\0".as_slice(), seed, purpose.as_bytes()].concat());
        Self { key, count: 0, block: Vec::new() }
    }

    fn byte(&mut self) -> u8 {
        if self.block.is_empty() {
            self.block = Digest::of(&[&self.key.0[..], &self.count.to_be_bytes()].concat()).0.to_vec();
            self.count += 1;
        }
        self.block.pop().unwrap_or_default()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// A number below `bound`, each as likely.
    fn below(&mut self, bound: u8) -> u8 {
        let whole = u8::MAX - u8::MAX % bound.max(1);
        loop {
            let byte = self.byte();
            if byte < whole {
                return byte % bound.max(1);
            }
        }
    }

    /// A size between the smallest and the largest photo: its octave by chance, and its place in it.
    fn size(&mut self) -> u64 {
        let (least, most) = PHOTO_BYTES;
        loop {
            let octave = least << (self.byte() % 6);
            let size = octave + self.number() % octave;
            if size <= most {
                return size;
            }
        }
    }

    /// A word that can be said: consonants and vowels in turn.
    fn word(&mut self, syllables: usize) -> String {
        let mut word = String::new();
        for _ in 0..syllables {
            let bits = usize::from(self.byte());
            word.extend(
                "bdfghjklmnprstvz"
                    .chars()
                    .nth(bits & 15)
                    .into_iter()
                    .chain("aeiu".chars().nth(bits >> 4 & 3)),
            );
        }
        word
    }

    /// A random UUID (RFC 9562 section 5.4).
    fn uuid(&mut self) -> String {
        let mut number = u128::from(self.number()) << 64 | u128::from(self.number());
        number = number & !(0xf << 76) | 0x4 << 76;
        number = number & !(0x3 << 62) | 0x2 << 62;
        let text = format!("{number:032x}");
        let (mut uuid, mut rest) = (String::new(), text.as_str());
        for len in [8, 4, 4, 4, 12] {
            let (part, after) = rest.split_at(len);
            uuid.push_str(part);
            uuid.push_str(if after.is_empty() { "" } else { "-" });
            rest = after;
        }
        uuid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted { photos: 5, messages: 4, contacts: 2 };

    #[test]
    fn one_seed_gives_one_set_and_another_seed_shares_nothing_with_it() {
        let made = |seed: u8| canaries(&[seed; 32], &WANTED, "device/", "+999").unwrap();
        assert_eq!(made(1), made(1));
        let (one, two) = (made(1), made(2));
        let words = |canaries: &Canaries| -> Vec<String> {
            let texts = canaries.files.iter().filter(|file| !file.path.ends_with("jpg"));
            let texts =
                texts.map(|file| String::from_utf8_lossy(&file.bytes).into_owned()).collect::<String>();
            let words = texts.split([',', '\n', ':', ' ']).filter(|word| word.len() > 6);
            words.filter(|word| !["VERSION", "TEL;TYPE=CELL"].contains(word)).map(str::to_owned).collect()
        };
        let shared: Vec<String> = words(&one).into_iter().filter(|word| words(&two).contains(word)).collect();
        assert!(shared.is_empty(), "{shared:?}");
    }

    #[test]
    fn sizes_are_as_many_as_promised_for_many_seeds() {
        for seed in 0..100 {
            let sizes = sizes(&mut Draw::new(&[seed; 32], "sizes"), MAX_PHOTOS).unwrap();
            assert_eq!(sizes.len(), MAX_PHOTOS, "{sizes:?}");
        }
    }

    #[test]
    fn sizes_that_could_be_mistaken_are_not_apart() {
        assert!(is_apart(&[30_129, 32_459, 34_327, 56_843, 108_000]));
        assert!(!is_apart(&[30_000, 30_800]), "3 %");
        assert!(!is_apart(&[30_000, 90_500]), "the triple");
        assert!(!is_apart(&[30_000, 45_000, 76_000]), "the sum");
    }

    #[test]
    fn a_uuid_says_that_it_is_random() {
        let uuid = Draw::new(&[7; 32], "uuid").uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!((&uuid[14..15], "89ab".contains(&uuid[19..20])), ("4", true), "{uuid}");
    }

    #[test]
    fn what_can_not_be_made_is_refused() {
        let wanted = |photos, messages| Wanted { photos, messages, contacts: 0 };
        let refused = |wanted, prefix| canaries(&[1; 32], &wanted, ".", prefix).unwrap_err();
        assert!(matches!(refused(wanted(13, 0), "+999"), CanaryError::TooMany { what: "photos", .. }));
        assert!(matches!(refused(wanted(0, 1_001), "+999"), CanaryError::TooMany { what: "messages", .. }));
        for prefix in ["", "999", "+", "+12345678", "+99a"] {
            assert_eq!(refused(wanted(0, 0), prefix), CanaryError::Prefix);
        }
    }
}
