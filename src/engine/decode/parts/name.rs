//! What a request says about the part that its body is: of which upload, and where in it.

use crate::{engine::decode::sink::Position, evidence::Digest};

/// Fields that say at which byte of an upload the body begins: of tus 1.0.0 and draft-ietf-httpbis-resumable-upload, and of
/// Google's resumable uploads.
pub(in crate::engine::decode) const OFFSETS: [&str; 2] = ["upload-offset", "x-goog-upload-offset"];

/// Part of a request's upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::decode) struct Name {
    /// Of the method, the authority and the target without the part's number.
    pub(super) upload: Digest,
    pub(super) position: Position,
}

impl Name {
    /// Reads it from a head: Content-Range (RFC 9110 sections 14.4 and 14.5) goes before an offset, that before the number
    /// in the query (`partNumber` and `uploadId` of Amazon S3).
    pub(in crate::engine::decode) fn of(
        method: &[u8],
        authority: &[u8],
        target: &[u8],
        field: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Self {
        let offset = |name: &&str| {
            let start = field(name).and_then(|value| number(value.trim_ascii()))?;
            Some(Position::Offset { start, length: None, total: None })
        };
        let told = field("content-range")
            .and_then(|value| content_range(&value))
            .or_else(|| OFFSETS.iter().find_map(offset));
        let numbered = if told.is_some() { None } else { numbered(target) };
        let (position, target) = match numbered {
            Some((number, rest)) => (Position::Number(number), rest),
            None => (told.unwrap_or(Position::Unnamed), target.to_vec()),
        };
        let upload = Digest::of(&[method, authority, &target].join(&0));
        Self { upload, position }
    }

    /// Whether the request says where its body stands in an upload.
    pub(in crate::engine::decode) fn is_told(&self) -> bool {
        self.position != Position::Unnamed
    }
}

/// `bytes 0-99/200`, or `*` for the whole's length (RFC 9110 section 14.4).
fn content_range(value: &[u8]) -> Option<Position> {
    let (unit, range) = value.trim_ascii().split_first_chunk::<6>()?;
    if !unit.eq_ignore_ascii_case(b"bytes ") {
        return None;
    }
    let slash = memchr::memchr(b'/', range)?;
    let dash = memchr::memchr(b'-', range)?;
    let start = number(range.get(..dash)?)?;
    let last = number(range.get(dash + 1..slash)?)?;
    let total = range.get(slash + 1..)?;
    let total = if total == b"*" { None } else { Some(number(total)?) };
    let length = last.checked_sub(start)?.checked_add(1)?;
    let fits = total.is_none_or(|total| last < total);
    fits.then_some(Position::Offset { start, length: Some(length), total })
}

/// The number of a part of Amazon's multipart uploads, and the target without it.
fn numbered(target: &[u8]) -> Option<(u64, Vec<u8>)> {
    let mark = memchr::memchr(b'?', target)?;
    let pairs: Vec<&[u8]> = target.get(mark + 1..)?.split(|byte| *byte == b'&').collect();
    let value = |name: &[u8]| pairs.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="));
    value(b"uploadId")?;
    let number = number(value(b"partNumber")?)?;
    let others: Vec<&[u8]> = pairs.iter().copied().filter(|pair| !pair.starts_with(b"partNumber=")).collect();
    Some((number, [target.get(..=mark)?, &others.join(&b'&')].concat()))
}

/// A number in digits, as long as offsets get.
fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(target: &str, fields: &[(&str, &str)]) -> Name {
        let field = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.as_bytes().to_vec())
        };
        Name::of(b"PUT", b"h", target.as_bytes(), field)
    }

    fn offset(start: u64, length: Option<u64>, total: Option<u64>) -> Position {
        Position::Offset { start, length, total }
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_writes_them() {
        let told = |value: &str| name("/", &[("content-range", value)]).position;
        // The examples of section 14.4.
        assert_eq!(told("bytes 42-1233/1234"), offset(42, Some(1_192), Some(1_234)));
        assert_eq!(told("bytes 42-1233/*"), offset(42, Some(1_192), None));
        for unsound in
            ["bytes */1234", "bytes 5-4/9", "bytes 0-9/9", "pages 0-9/10", "bytes 0-18446744073709551615/*"]
        {
            assert_eq!(told(unsound), Position::Unnamed, "{unsound}");
        }
    }

    #[test]
    fn offsets_and_numbers_are_read_and_a_range_goes_before() {
        assert_eq!(name("/", &[("upload-offset", "70")]).position, offset(70, None, None));
        assert_eq!(name("/", &[("x-goog-upload-offset", "0")]).position, offset(0, None, None));
        assert_eq!(name("/", &[("upload-offset", "-1")]).position, Position::Unnamed);
        let both = [("upload-offset", "70"), ("content-range", "bytes 0-9/10")];
        assert_eq!(name("/", &both).position, offset(0, Some(10), Some(10)));
        assert_eq!(name("/k?partNumber=12&uploadId=x", &[]).position, Position::Number(12));
        assert_eq!(name("/k?partNumber=12", &[]).position, Position::Unnamed, "of no upload");
    }

    #[test]
    fn parts_of_one_upload_have_one_name_and_others_have_another() {
        let upload = |target: &str| name(target, &[]).upload;
        let one = upload("/k?partNumber=1&uploadId=x");
        assert_eq!(one, upload("/k?partNumber=2&uploadId=x"));
        assert_eq!(upload("/k?uploadId=x&partNumber=1"), upload("/k?uploadId=x&partNumber=2"));
        assert_ne!(one, upload("/k?partNumber=1&uploadId=y"));
        assert_ne!(upload("/a"), upload("/b"));
        assert_ne!(name("/a", &[]).upload, Name::of(b"POST", b"h", b"/a", |_| None).upload);
    }
}
