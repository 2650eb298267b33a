//! Text that ends with a line of one dot (RFC 5321 section 4.5.2, RFC 1939 section 3).

use crate::evidence::ByteRange;

use super::Part;

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Its first byte, after CRLF or at the start of the text.
    Start,
    /// After a dot that began the line.
    Dot,
    /// After a dot and a CR that began the line; the CR, which is held, stands here.
    DotCr(u64),
    /// After a CR.
    Cr,
    Middle,
    /// After the line of one dot.
    End,
}

/// Takes off what transparency adds: a dot before each line that begins with one, and the last line.
///
/// Only CRLF ends a line. Servers that also took LF alone could be made to read two messages where one was sent.
#[derive(Clone, Debug)]
pub struct Dots {
    at: At,
}

impl Default for Dots {
    fn default() -> Self {
        Self::new()
    }
}

impl Dots {
    /// Begins at the start of a text.
    pub fn new() -> Self {
        Self { at: At::Start }
    }

    /// Whether the last line has come.
    pub fn is_done(&self) -> bool {
        self.at == At::End
    }

    /// Takes bytes that stand at `position` of a stream and gives them on as content and framing, up to the end of the
    /// text; says how many were taken.
    pub fn take(&mut self, data: &[u8], position: u64, out: &mut dyn FnMut(Part, &[u8], ByteRange)) -> usize {
        let range = |start: usize, end: usize| ByteRange::new(position + start as u64, position + end as u64);
        // Content from here on was not given on yet.
        let mut from = 0;
        let mut next = 0;
        while let Some(&byte) = data.get(next) {
            match (self.at, byte) {
                (At::End, _) => break,
                (At::Start, b'.') => {
                    out(Part::Data, data.get(from..next).unwrap_or_default(), range(from, next));
                    out(Part::Framing, b".", range(next, next + 1));
                    from = next + 1;
                    self.at = At::Dot;
                }
                // The CR is held: it is framing if LF follows.
                (At::Dot, b'\r') => {
                    from = next + 1;
                    self.at = At::DotCr(position + next as u64);
                }
                (At::DotCr(_), b'\n') => {
                    let end = position + next as u64 + 1;
                    out(Part::Framing, b"\r\n", ByteRange::new(end - 2, end));
                    from = next + 1;
                    self.at = At::End;
                }
                (At::DotCr(_), _) => {
                    self.end(out);
                    continue;
                }
                (At::Cr, b'\n') => self.at = At::Start,
                (_, b'\r') => self.at = At::Cr,
                _ => {
                    self.at = At::Middle;
                    let rest = data.get(next..).unwrap_or_default();
                    next += memchr::memchr(b'\r', rest).unwrap_or(rest.len());
                    continue;
                }
            }
            next += 1;
        }
        out(Part::Data, data.get(from..next).unwrap_or_default(), range(from.min(next), next));
        next
    }

    /// Gives on what is held, the CR after a dot, as content: no LF follows.
    pub fn end(&mut self, out: &mut dyn FnMut(Part, &[u8], ByteRange)) {
        if let At::DotCr(at) = self.at {
            out(Part::Data, b"\r", ByteRange::new(at, at + 1));
            self.at = At::Cr;
        }
    }

    /// Bytes are missing: the next ones may stand anywhere in a line.
    pub fn gap(&mut self, out: &mut dyn FnMut(Part, &[u8], ByteRange)) {
        self.end(out);
        if self.at != At::End {
            self.at = At::Middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Content, framing, and how many bytes were taken of slices of this size.
    fn taken(text: &[u8], size: usize) -> (Vec<u8>, Vec<u8>, usize, bool) {
        let (mut dots, mut content, mut framing) = (Dots::new(), Vec::new(), Vec::new());
        let (mut position, mut covered) = (0, 0);
        for slice in text.chunks(size) {
            let mut give = |part: Part, bytes: &[u8], range: ByteRange| {
                assert_eq!(range.len(), bytes.len() as u64);
                assert_eq!(&text[covered..covered + bytes.len()], bytes);
                assert!(range.start == covered as u64 || bytes.is_empty());
                covered += bytes.len();
                match part {
                    Part::Data => content.extend_from_slice(bytes),
                    _ => framing.extend_from_slice(bytes),
                }
            };
            let now = dots.take(slice, position as u64, &mut give);
            position += now;
            if now < slice.len() {
                break;
            }
        }
        dots.gap(&mut |_, bytes, _| content.extend_from_slice(bytes));
        (content, framing, position, dots.is_done())
    }

    #[test]
    fn stuffed_dots_and_the_last_line_come_off_however_the_text_is_cut() {
        let text = b"..\r\n.a\r\n.\rb\r\n\r\n.\n.\r\r\na.\r\n.\r\nQUIT\r\n";
        for size in 1..text.len() {
            let (content, framing, position, done) = taken(text, size);
            assert_eq!(content, b".\r\na\r\n\rb\r\n\r\n\n.\r\r\na.\r\n", "by {size}");
            assert_eq!(framing, b".....\r\n", "by {size}");
            assert_eq!((position, done), (text.len() - 6, true));
        }
        assert_eq!(taken(b".\r\nx", 9), (b"".to_vec(), b".\r\n".to_vec(), 3, true));
        assert_eq!(
            taken(b"a\n.\n", 9),
            (b"a\n.\n".to_vec(), b"".to_vec(), 4, false),
            "LF alone ends no line"
        );
        assert_eq!(taken(b".\r", 1), (b"\r".to_vec(), b".".to_vec(), 2, false));
    }

    /// What a sender does, section 4.5.2.
    fn stuffed(text: &[u8]) -> Vec<u8> {
        let (mut stuffed, mut start) = (Vec::new(), true);
        for (index, &byte) in text.iter().enumerate() {
            if start && byte == b'.' {
                stuffed.push(b'.');
            }
            stuffed.push(byte);
            start = byte == b'\n' && index > 0 && text[index - 1] == b'\r';
        }
        stuffed.extend(b"\r\n.\r\n");
        stuffed
    }

    proptest! {
        #[test]
        fn what_a_sender_stuffs_comes_back(words: Vec<prop::sample::Index>, size in 1..9usize) {
            let alphabet = [&b"."[..], b"\r", b"\n", b"\r\n", b"a", b"\r\n."];
            let text: Vec<u8> = words.iter().flat_map(|word| alphabet[word.index(alphabet.len())]).copied().collect();
            let (content, _, _, done) = taken(&stuffed(&text), size);
            prop_assert!(done);
            prop_assert_eq!(content, [&text[..], b"\r\n"].concat());
        }
    }
}
