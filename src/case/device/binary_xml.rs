//! Android's binary XML (since Android 12): events one after another, each a byte that says what it is (lower half) and of
//! which type its value is (upper half).
//!
//! As `com.android.internal.util.BinaryXmlSerializer` and `FastDataOutput` of the Android Open Source Project write it:
//! numbers in network order, a string as its length (two bytes) and UTF-8, a pooled string as its number in the pool or as
//! 0xffff and the string, which then takes the next number while there is one.

/// How it begins: `ABX` and the version, 0.
pub(super) const MAGIC: &[u8] = b"ABX\0";
/// The number that says that a string follows; so many strings the pool holds at most.
const NEW: u16 = u16::MAX;
/// Attributes kept of an element; packages have two dozen.
const MAX_ATTRIBUTES: usize = 1_000;

const START_TAG: u8 = 2;
const END_TAG: u8 = 3;
const ATTRIBUTE: u8 = 15;
/// Other events of `XmlPullParser` are the numbers 0 to 10.
const LAST_EVENT: u8 = 10;

/// The first element that is damaged, or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// An element's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// What it is called.
    pub(super) tag: &'a str,
    /// Attributes whose value is a string, in order.
    pub(super) attributes: Vec<(&'a str, &'a str)>,
}

impl Element<'_> {
    /// The value of an attribute.
    pub(super) fn attribute(&self, wanted: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
    }
}

/// Hands out the start of each element. Takes time and memory by the bytes alone: an event takes at least one of them, an
/// attribute three.
///
/// # Errors
/// Where the bytes are no binary XML any more; what came before was handed out.
pub(super) fn elements<'a>(bytes: &'a [u8], take: &mut dyn FnMut(Element<'a>)) -> Result<(), Damaged> {
    let mut reader = Reader { rest: bytes.strip_prefix(MAGIC).ok_or(Damaged)?, pool: Vec::new() };
    let mut open: Option<Element<'a>> = None;
    while let Some(byte) = reader.byte() {
        let (event, kind) = (byte & 15, byte >> 4);
        if event == ATTRIBUTE {
            let name = reader.pooled().ok_or(Damaged)?;
            let value = reader.value(kind).ok_or(Damaged)?;
            let element = open.as_mut().ok_or(Damaged)?;
            if element.attributes.len() < MAX_ATTRIBUTES {
                element.attributes.extend(value.map(|value| (name, value)));
            }
            continue;
        }
        if let Some(element) = open.take() {
            take(element);
        }
        match event {
            START_TAG => {
                open = Some(Element { tag: reader.pooled().ok_or(Damaged)?, attributes: Vec::new() })
            }
            END_TAG => drop(reader.pooled().ok_or(Damaged)?),
            0..=LAST_EVENT => drop(reader.value(kind).ok_or(Damaged)?),
            _ => return Err(Damaged),
        }
    }
    // An element ends with an event of its own.
    if open.is_some() { Err(Damaged) } else { Ok(()) }
}

struct Reader<'a> {
    rest: &'a [u8],
    pool: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(first)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a str> {
        let len = self.short()?;
        str::from_utf8(self.take(usize::from(len))?).ok()
    }

    fn pooled(&mut self) -> Option<&'a str> {
        let number = self.short()?;
        if number != NEW {
            return self.pool.get(usize::from(number)).copied();
        }
        let string = self.string()?;
        if self.pool.len() < usize::from(NEW) {
            self.pool.push(string);
        }
        Some(string)
    }

    /// A value by its type; what is no string is passed over.
    fn value(&mut self, kind: u8) -> Option<Option<&'a str>> {
        match kind {
            // Null, true, false.
            1 | 12 | 13 => {}
            2 => return self.string().map(Some),
            3 => return self.pooled().map(Some),
            // Bytes, to be shown in hexadecimal or base64.
            4 | 5 => {
                let len = self.short()?;
                self.take(usize::from(len))?;
            }
            // Integers and a float of 32 bits.
            6 | 7 | 10 => drop(self.take(4)?),
            // Integers and a float of 64 bits.
            8 | 9 | 11 => drop(self.take(8)?),
            _ => return None,
        }
        Some(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `<packages><package name="com.example.shop" codePath="/data/app/a" it="…" ft="…" on="true"/>` and one more, by hand.
    const PACKAGES: &[u8] = b"ABX\0\x10\
        \x32\xff\xff\0\x08packages\
        \x34\
        \x32\xff\xff\0\x07package\
        \x2f\xff\xff\0\x04name\0\x10com.example.shop\
        \x2f\xff\xff\0\x08codePath\0\x0b/data/app/a\
        \x9f\xff\xff\0\x02it\0\0\x01\x8a\0\0\0\0\
        \x6f\xff\xff\0\x05flags\0\0\0\x07\
        \xcf\xff\xff\0\x02on\
        \x5f\xff\xff\0\x03key\0\x03abc\
        \x33\0\x01\
        \x32\0\x01\x3f\0\x02\xff\xff\0\x03a.b\x33\0\x01\
        \x32\0\x01\x3f\0\x02\0\x08\x33\0\x01\
        \x33\0\0\x11";

    fn read(bytes: &[u8]) -> (Vec<Element<'_>>, Result<(), Damaged>) {
        let mut elements = Vec::new();
        let end = super::elements(bytes, &mut |element| elements.push(element));
        (elements, end)
    }

    #[test]
    fn elements_have_their_strings() {
        // White space between has the type of null.
        let bytes = PACKAGES.iter().map(|byte| if *byte == 0x34 { 0x17 } else { *byte }).collect::<Vec<_>>();
        let (elements, end) = read(&bytes);
        assert_eq!(end, Ok(()));
        let [root, shop, second, third] = elements.as_slice() else { panic!("{elements:?}") };
        assert_eq!((root.tag, root.attributes.len()), ("packages", 0));
        assert_eq!(shop.attributes, [("name", "com.example.shop"), ("codePath", "/data/app/a")]);
        assert_eq!(second.attribute("name"), Some("a.b"));
        assert_eq!(third.attribute("name"), Some("a.b"), "the ninth string of the pool");
    }

    #[test]
    fn every_cut_ends_in_order() {
        let whole = read(PACKAGES);
        for cut in 0..PACKAGES.len() {
            let (elements, _) = read(&PACKAGES[..cut]);
            assert!(whole.0.starts_with(&elements), "{cut}");
        }
        assert_eq!(read(b"ABX\x01").1, Err(Damaged), "another version");
        assert_eq!(read(b"ABX\0\x32\0\0").1, Err(Damaged), "a number that the pool does not hold");
        assert_eq!(read(b"ABX\0\x2f\xff\xff\0\x01a\0\x01b").1, Err(Damaged), "an attribute of no element");
        assert_eq!(read(b"ABX\0\x1b").1, Err(Damaged), "an event that there is none of");
    }
}
