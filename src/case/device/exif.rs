//! What photos say of themselves (Exif 3.0): where they were taken, with which camera, whose it is.
//!
//! Only what points to one person or phone is a record. Times, models and settings are shared by many, and stand in
//! requests for other reasons.

use std::{io::Cursor, sync::Arc};

use exif::{Exif, In, Rational, Reader, Tag, Value};

use super::RecordKind;
use crate::evidence::{Blob, read_exact_at};

/// Bytes of a photo that are looked at: Exif stands in the first segment of a JPEG, which holds 64 KiB at most.
const HEAD: u64 = 68 << 10;
/// Characters of a field that are taken.
const MAX_TEXT: usize = 200;
/// Units of a degree.
const UNITS: i128 = 10_000_000;

/// Fields that name a device or a person, with the name that records give them.
const TEXTS: [(Tag, &str, RecordKind); 4] = [
    (Tag::BodySerialNumber, "body-serial", RecordKind::Serial),
    (Tag::LensSerialNumber, "lens-serial", RecordKind::Serial),
    (Tag::ImageUniqueID, "image-id", RecordKind::Serial),
    (Tag::CameraOwnerName, "owner", RecordKind::Name),
];

/// Reads a photo's fields: name, kind and value. What is no Exif, or is broken, gives none.
pub(super) fn fields(blob: &Arc<dyn Blob>) -> Vec<(&'static str, RecordKind, String)> {
    let mut head = vec![0; usize::try_from(blob.len().min(HEAD)).unwrap_or(0)];
    if read_exact_at(&**blob, &mut head, 0).is_err() {
        return Vec::new();
    }
    let Ok(exif) = Reader::new().read_from_container(&mut Cursor::new(head)) else { return Vec::new() };
    let mut fields = Vec::new();
    fields.extend(location(&exif).map(|place| ("location", RecordKind::Location, place)));
    for (tag, name, kind) in TEXTS {
        fields.extend(text(&exif, tag).map(|value| (name, kind, value)));
    }
    fields
}

/// A field's text, without what fills it up.
fn text(exif: &Exif, tag: Tag) -> Option<String> {
    let Value::Ascii(strings) = &exif.get_field(tag, In::PRIMARY)?.value else { return None };
    let text = String::from_utf8_lossy(strings.first()?);
    let text: String = text.trim_matches(['\0', ' ']).chars().take(MAX_TEXT).collect();
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

/// Latitude and longitude in degrees with seven decimals, south and west negative: `22.3193040,114.1693610`.
fn location(exif: &Exif) -> Option<String> {
    let one = |tag, reference, negative: &[u8]| {
        let Value::Rational(parts) = &exif.get_field(tag, In::PRIMARY)?.value else { return None };
        let Value::Ascii(letters) = &exif.get_field(reference, In::PRIMARY)?.value else { return None };
        degrees(parts, letters.first()?.starts_with(negative))
    };
    let latitude = one(Tag::GPSLatitude, Tag::GPSLatitudeRef, b"S")?;
    let longitude = one(Tag::GPSLongitude, Tag::GPSLongitudeRef, b"W")?;
    Some(format!("{latitude},{longitude}"))
}

/// Whether two places are the same in three decimals: 100 metres.
pub(super) fn is_near(one: &str, other: &str) -> bool {
    let cut = |place: &str| {
        let street = |degrees: &str| degrees.get(..degrees.len().saturating_sub(4)).map(str::to_owned);
        place.split(',').map(street).collect::<Vec<_>>()
    };
    cut(one) == cut(other)
}

/// Degrees, minutes and seconds, each a fraction, as degrees with seven decimals, the rest cut off.
fn degrees(parts: &[Rational], negative: bool) -> Option<String> {
    let [degrees, minutes, seconds] = parts else { return None };
    let part = |part: &Rational, per_degree: i128| {
        // What a camera leaves open stands there as 0/0.
        let parts = i128::from(part.denom) * per_degree;
        (parts != 0).then(|| i128::from(part.num) * UNITS * 3_600 / parts)
    };
    let sum = part(degrees, 1)? + part(minutes, 60)? + part(seconds, 3_600)?;
    let units = sum / 3_600;
    let sign = if negative && units != 0 { "-" } else { "" };
    (units <= 180 * UNITS).then(|| format!("{sign}{}.{:07}", units / UNITS, units % UNITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A photo with a place and a serial number, byte order II, as `tests/photo_facts.rs` puts one together.
    fn photo() -> Vec<u8> {
        let mut tiff = b"II*\0\x08\0\0\0\x02\0".to_vec();
        tiff.extend(b"\x69\x87\x04\0\x01\0\0\0\x26\0\0\0\x25\x88\x04\0\x01\0\0\0\x40\0\0\0\0\0\0\0");
        tiff.extend(b"\x01\0\x31\xa4\x02\0\x08\0\0\0\x38\0\0\0\0\0\0\0A7C29F3\0");
        tiff.extend(b"\x04\0\x01\0\x02\0\x02\0\0\0N\0\0\0\x02\0\x05\0\x03\0\0\0\x76\0\0\0");
        tiff.extend(b"\x03\0\x02\0\x02\0\0\0E\0\0\0\x04\0\x05\0\x03\0\0\0\x8e\0\0\0\0\0\0\0");
        tiff.extend(
            [22_u32, 1, 19, 1, 94_944, 10_000, 114, 1, 10, 1, 96_996, 10_000].map(u32::to_le_bytes).concat(),
        );
        let segment = [b"Exif\0\0".as_slice(), &tiff].concat();
        let len = u16::try_from(segment.len() + 2).unwrap().to_be_bytes();
        [b"\xff\xd8\xff\xe1".as_slice(), &len, &segment, b"\xff\xd9"].concat()
    }

    fn read(bytes: Vec<u8>) -> Vec<(&'static str, String)> {
        let blob: Arc<dyn Blob> = Arc::new(bytes);
        fields(&blob).into_iter().map(|(name, _, value)| (name, value)).collect()
    }

    #[test]
    fn fields_are_read_and_broken_ones_do_no_harm() {
        let whole = photo();
        let wanted = [("location", "22.3193040,114.1693610"), ("body-serial", "A7C29F3")];
        assert_eq!(read(whole.clone()), wanted.map(|(name, value)| (name, value.to_owned())));
        for len in 0..whole.len() {
            read(whole[..len].to_vec());
        }
        // Every byte takes every value.
        for at in 2..whole.len() {
            for value in 0..=255 {
                let mut broken = whole.clone();
                broken[at] = value;
                read(broken);
            }
        }
        let other = |head: &[u8]| read([head, &whole].concat());
        for head in [
            b"\x89PNG\r\n\x1a\n".as_slice(),
            b"RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xff",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\xff\xff\xff\xffmeta",
        ] {
            assert_eq!(other(head), []);
        }
    }

    #[test]
    fn degrees_minutes_and_seconds_become_decimals() {
        let parts = |degrees, minutes, (num, denom)| {
            [
                Rational { num: degrees, denom: 1 },
                Rational { num: minutes, denom: 1 },
                Rational { num, denom },
            ]
        };
        // 22 + 19/60 + 9.4944/3600 by bc.
        assert_eq!(degrees(&parts(22, 19, (94_944, 10_000)), false).unwrap(), "22.3193040");
        assert_eq!(degrees(&parts(33, 51, (3_591, 100)), true).unwrap(), "-33.8599750");
        assert_eq!(degrees(&parts(0, 0, (0, 1)), true).unwrap(), "0.0000000");
        assert_eq!(degrees(&parts(22, 19, (0, 0)), false), None);
        assert_eq!(degrees(&parts(u32::MAX, 0, (0, 1)), false), None);
        assert_eq!(degrees(&parts(22, 19, (1, 1))[..2], false), None);
        assert!(is_near("22.3193040,114.1693610", "22.3199999,114.1690000"));
        assert!(!is_near("22.3193040,114.1693610", "22.3203040,114.1693610"));
    }
}
