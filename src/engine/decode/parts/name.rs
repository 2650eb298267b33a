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
    /// What first parts are named that do not know yet of which upload they are.
    pub(super) opening: Option<Digest>,
}

/// The field with the argument of a call to Dropbox, as JSON: its upload sessions name them by `cursor`.
pub(in crate::engine::decode) const DROPBOX: &str = "dropbox-api-arg";

/// The end of the path that opens such a session, with the first part.
const DROPBOX_START: &[u8] = b"/upload_session/start";

impl Name {
    /// Reads it from a head: Content-Range (RFC 9110 sections 14.4 and 14.5) goes before an offset, that before the number
    /// in the query (of [`QUERIES`]).
    pub(in crate::engine::decode) fn of(
        method: &[u8],
        authority: &[u8],
        target: &[u8],
        field: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Self {
        if let Some(name) = Self::of_dropbox(authority, target, field(DROPBOX)) {
            return name;
        }
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
        Self { upload, position, opening: None }
    }

    /// Of an upload session of Dropbox: the first part goes where the server gives it a name, the others say that name and
    /// how many bytes came before.
    fn of_dropbox(authority: &[u8], target: &[u8], argument: Option<Vec<u8>>) -> Option<Self> {
        let named = |word: &[u8]| Digest::of(&[b"dropbox".as_slice(), authority, word].join(&0));
        let argument: serde_json::Value = serde_json::from_slice(&argument?).ok()?;
        let opening = named(DROPBOX_START);
        let at = |start| Position::Offset { start, length: None, total: None };
        if target.ends_with(DROPBOX_START) {
            return Some(Self { upload: opening, position: at(0), opening: None });
        }
        let cursor = argument.get("cursor")?;
        let session = cursor.get("session_id")?.as_str()?;
        let upload = named(format!("session {session}").as_bytes());
        Some(Self { upload, position: at(cursor.get("offset")?.as_u64()?), opening: Some(opening) })
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

/// How the query of a target names a part.
struct Query {
    number: &'static [u8],
    /// The number of the first part.
    first: u64,
    upload: &'static [u8],
    /// Whether other fields of the query, which may say how long the part is, are none of the upload's name.
    alone: bool,
}

/// Amazon S3 (`UploadPart`), resumable.js and flow.js with parts as they are (`octet`), Baidu's `superfile2`.
const QUERIES: [Query; 4] = [
    Query { number: b"partNumber", first: 1, upload: b"uploadId", alone: false },
    Query { number: b"resumableChunkNumber", first: 1, upload: b"resumableIdentifier", alone: true },
    Query { number: b"flowChunkNumber", first: 1, upload: b"flowIdentifier", alone: true },
    Query { number: b"partseq", first: 0, upload: b"uploadid", alone: true },
];

/// The number of a part, counted from 1, and the target without it.
fn numbered(target: &[u8]) -> Option<(u64, Vec<u8>)> {
    let mark = memchr::memchr(b'?', target)?;
    let pairs: Vec<&[u8]> = target.get(mark + 1..)?.split(|byte| *byte == b'&').collect();
    QUERIES.iter().find_map(|Query { number: named, first, upload, alone }| {
        let value = |name: &[u8]| pairs.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="));
        let id = value(upload)?;
        let number = number(value(named)?)?.checked_add(1)?.checked_sub(*first)?;
        let is_number = |pair: &[u8]| pair.strip_prefix(*named).is_some_and(|rest| rest.starts_with(b"="));
        let others: Vec<&[u8]> = if *alone {
            vec![upload, id]
        } else {
            pairs.iter().copied().filter(|pair| !is_number(pair)).collect()
        };
        Some((number, [target.get(..=mark)?, &others.join(&b'&')].concat()))
    })
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
        let resumable =
            name("/up?resumableChunkNumber=3&resumableCurrentChunkSize=9&resumableIdentifier=9-a", &[]);
        assert_eq!(resumable.position, Position::Number(3));
        assert_eq!(name("/up?flowChunkNumber=1&flowIdentifier=9-a", &[]).position, Position::Number(1));
        assert_eq!(name("/f?type=tmpfile&partseq=0&uploadid=N1", &[]).position, Position::Number(1));
        assert_eq!(name("/up?flowChunkNumber=1&resumableIdentifier=9-a", &[]).position, Position::Unnamed);
        assert_eq!(name("/k?partNumber=18446744073709551615&uploadId=x", &[]).position, Position::Unnamed);
    }

    #[test]
    fn sessions_of_dropbox_are_read_from_their_argument() {
        let call = |path: &str, argument: &str| name(path, &[(DROPBOX, argument)]);
        let start = call("/2/files/upload_session/start", "{}");
        let next = |argument: &str| call("/2/files/upload_session/append_v2", argument);
        let append = next(r#"{"cursor":{"session_id":"a1","offset":70},"close":false}"#);
        let finish = call(
            "/2/files/upload_session/finish",
            r#"{"commit":{"path":"/a.jpg"},"cursor":{"offset":90,"session_id":"a1"}}"#,
        );
        assert_eq!((start.position, start.opening), (offset(0, None, None), None));
        assert_eq!((append.position, finish.position), (offset(70, None, None), offset(90, None, None)));
        assert_eq!((append.upload, append.opening), (finish.upload, Some(start.upload)));
        assert_ne!(append.upload, next(r#"{"cursor":{"session_id":"b2","offset":70}}"#).upload);
        for odd in [
            "",
            "{",
            r#"{"cursor":{"session_id":7,"offset":70}}"#,
            r#"{"cursor":{"session_id":"a","offset":-1}}"#,
        ] {
            assert_eq!(next(odd).position, Position::Unnamed, "{odd}");
        }
    }

    #[test]
    fn parts_of_one_upload_have_one_name_and_others_have_another() {
        let upload = |target: &str| name(target, &[]).upload;
        let one = upload("/k?partNumber=1&uploadId=x");
        assert_eq!(one, upload("/k?partNumber=2&uploadId=x"));
        assert_eq!(upload("/k?uploadId=x&partNumber=1"), upload("/k?uploadId=x&partNumber=2"));
        assert_ne!(one, upload("/k?partNumber=1&uploadId=y"));
        assert_ne!(upload("/a"), upload("/b"));
        // The last part is shorter, and says so.
        let chunk = |no: u8, size: u32, id: &str| {
            upload(&format!(
                "/up?resumableChunkNumber={no}&resumableCurrentChunkSize={size}&resumableIdentifier={id}"
            ))
        };
        assert_eq!(chunk(1, 100, "a"), chunk(2, 30, "a"));
        assert_ne!(chunk(1, 100, "a"), chunk(1, 100, "b"));
        assert_ne!(name("/a", &[]).upload, Name::of(b"POST", b"h", b"/a", |_| None).upload);
    }
}
