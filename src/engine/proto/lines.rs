//! Streams of text lines, as FTP, SMTP, POP3 and IMAP send their commands.

use crate::evidence::ByteRange;

/// A line that is held until it is whole: IMAP clients send lists of some thousand numbers, SMTP allows 12,288 bytes
/// (RFC 4954 section 4). More is given on in parts.
const MAX_LINE: usize = 64 << 10;

/// What comes out of a stream of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// A whole line with its end.
    Line(&'a [u8], ByteRange),
    /// Bytes of a line that is too long, cut off, or whose start is missing.
    Part(&'a [u8], ByteRange),
}

/// Cuts a stream into lines, which LF ends.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    at: u64,
    /// In a line whose start is not known, up to its end.
    skipping: bool,
}

impl Lines {
    /// Begins at a line's start, or anywhere in a line.
    pub fn new(at_start: bool) -> Self {
        Self { skipping: !at_start, ..Self::default() }
    }

    /// Takes bytes that stand at `at`, up to the end of a line; says how many.
    pub fn take(&mut self, data: &[u8], at: u64, give: &mut dyn FnMut(Text<'_>)) -> usize {
        let end = memchr::memchr(b'\n', data).map(|end| end + 1);
        let taken = end.unwrap_or(data.len());
        let bytes = data.get(..taken).unwrap_or_default();
        let range = ByteRange::new(at, at + taken as u64);
        if self.skipping {
            self.skipping = end.is_none();
            give(Text::Part(bytes, range));
        } else if self.held.len() + taken > MAX_LINE {
            self.give_held(give);
            self.skipping = end.is_none();
            give(Text::Part(bytes, range));
        } else if self.held.is_empty() && end.is_some() {
            give(Text::Line(bytes, range));
        } else {
            if self.held.is_empty() {
                self.at = at;
            }
            self.held.extend_from_slice(bytes);
            if end.is_some() {
                let line = std::mem::take(&mut self.held);
                give(Text::Line(&line, ByteRange::new(self.at, range.end)));
            }
        }
        taken
    }

    /// Bytes are missing, or no more come: what is held is no line.
    pub fn cut(&mut self, give: &mut dyn FnMut(Text<'_>)) {
        self.give_held(give);
        self.skipping = true;
    }

    /// Whether bytes are held that may become a line.
    pub fn is_inside(&self) -> bool {
        self.skipping || !self.held.is_empty()
    }

    fn give_held(&mut self, give: &mut dyn FnMut(Text<'_>)) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            give(Text::Part(&held, ByteRange::new(self.at, self.at + held.len() as u64)));
        }
    }
}

/// The first word of a line, and what follows its space; without the line's end.
pub fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match memchr::memchr(b' ', line) {
        None => (line, b""),
        Some(space) => {
            let (word, rest) = line.split_at(space);
            (word, rest.get(1..).unwrap_or_default())
        }
    }
}

/// The number at the start of a server's line (RFC 959 section 4.2, RFC 5321 section 4.2), and whether it is the last
/// line of its reply.
pub fn reply_code(line: &[u8]) -> Option<(u16, bool)> {
    let (digits, rest) = line.split_first_chunk::<3>()?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(digits, [b'1'..=b'6', ..]) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.first() {
        Some(b'-') => Some((code, false)),
        Some(b' ' | b'\r' | b'\n') => Some((code, true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], size: usize) -> Vec<(bool, Vec<u8>, u64)> {
        let (mut lines, mut found) = (Lines::new(true), Vec::new());
        let mut give = |text: Text<'_>| match text {
            Text::Line(bytes, range) => found.push((true, bytes.to_vec(), range.start)),
            Text::Part(bytes, range) => found.push((false, bytes.to_vec(), range.start)),
        };
        let mut at = 0;
        for mut slice in text.chunks(size) {
            while !slice.is_empty() {
                let taken = lines.take(slice, at, &mut give);
                at += taken as u64;
                slice = &slice[taken..];
            }
        }
        lines.cut(&mut give);
        found
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let text = b"EHLO a\r\n\nlast";
        for size in 1..=text.len() {
            let expected = [(true, b"EHLO a\r\n".to_vec(), 0), (true, b"\n".to_vec(), 8)];
            let found = lines(text, size);
            assert_eq!(found[..2], expected, "by {size}");
            assert_eq!(found[2], (false, b"last".to_vec(), 9), "by {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_held() {
        let long = vec![b'x'; 3 * MAX_LINE];
        assert!(lines(&long, 1_000).iter().all(|(whole, ..)| !whole));
        assert_eq!(lines(&long, 1_000).iter().map(|(_, bytes, _)| bytes.len()).sum::<usize>(), long.len());
    }

    #[test]
    fn words_and_codes() {
        assert_eq!(split_word(b"MAIL FROM:<a>\r\n"), (&b"MAIL"[..], &b"FROM:<a>"[..]));
        assert_eq!(split_word(b"quit\n"), (&b"quit"[..], &b""[..]));
        assert_eq!(reply_code(b"250-x\r\n"), Some((250, false)));
        assert_eq!(reply_code(b"354\r\n"), Some((354, true)));
        assert_eq!(reply_code(b"2500 x\r\n"), None);
        assert_eq!(reply_code(b"954 x\r\n"), None);
    }
}
