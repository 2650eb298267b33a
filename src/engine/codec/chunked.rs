//! The chunked transfer coding (RFC 9112 section 7.1).

use super::Damage;

/// A chunk line with its extensions: nobody needs more, and a server's own limits are of this order.
const MAX_LINE: usize = 16 << 10;

/// All trailer fields: as much as a head may have.
const MAX_TRAILERS: usize = 64 << 10;

/// What bytes of a chunked body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Content.
    Data,
    /// Sizes and line ends, as the grammar asks for.
    Framing,
    /// Extensions and trailer fields: free text.
    Free,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the hex digits of a size.
    Size,
    /// After the size, before the end of its line.
    Extension,
    /// After a CR that must be followed by LF.
    SizeEnd,
    /// In chunk data.
    Data,
    /// After chunk data: an optional CR, then LF.
    DataEnd {
        cr: bool,
    },
    /// At the start of a trailer line.
    TrailerStart,
    /// At the start of a trailer line, after a CR.
    LastLine,
    /// In a trailer line.
    Trailer,
    Done,
}

/// Takes chunked framing off. A line may end in LF alone, as RFC 9112 section 2.2 lets recipients accept.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    /// Of the chunk: its size while that is read, then what is left of it.
    left: u64,
    digits: usize,
    line: usize,
    trailers: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunked {
    /// Begins.
    pub fn new() -> Self {
        Self { state: State::Size, left: 0, digits: 0, line: 0, trailers: 0 }
    }

    /// Whether the last chunk and the trailers have ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Steps over bytes of chunk data that are missing; false (and nothing done) where they are more than that.
    pub fn skip(&mut self, bytes: u64) -> bool {
        if self.state != State::Data || bytes > self.left {
            return false;
        }
        self.left -= bytes;
        if self.left == 0 {
            self.state = State::DataEnd { cr: false };
        }
        true
    }

    /// Takes bytes from the front of `input`: how many, and what they are. Zero when `input` is empty or all is done.
    ///
    /// # Errors
    /// [`Damage`] at the first byte of `input` that breaks the grammar.
    pub fn take(&mut self, input: &[u8]) -> Result<(usize, Part), Damage> {
        if self.state == State::Data {
            let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
            self.skip(taken as u64);
            return Ok((taken, Part::Data));
        }
        let mut part = None;
        let mut taken = 0;
        for &byte in input {
            if matches!(self.state, State::Data | State::Done) {
                break;
            }
            let mut next = self.clone();
            let kind = match next.step(byte) {
                Ok(kind) => kind,
                Err(damage) if taken == 0 => return Err(damage),
                Err(_) => break,
            };
            if part.is_some_and(|part| part != kind) {
                break;
            }
            part = Some(kind);
            *self = next;
            taken += 1;
        }
        Ok((taken, part.unwrap_or(Part::Framing)))
    }

    fn step(&mut self, byte: u8) -> Result<Part, Damage> {
        self.line += 1;
        if self.line > MAX_LINE {
            return Err(Damage::TooLong);
        }
        let (state, part) = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                // A size with leading zeros could spell anything in their number.
                let plain = self.digits == 0 || self.left > 0;
                self.left = self.left.checked_mul(16).ok_or(Damage::TooLong)? | digit;
                self.digits += 1;
                (State::Size, if plain { Part::Framing } else { Part::Free })
            }
            (State::Size, _) if self.digits == 0 => return Err(Damage::Corrupt),
            (State::Size | State::Extension, b'\r') => (State::SizeEnd, Part::Framing),
            (State::Size | State::Extension | State::SizeEnd, b'\n') => (self.after_size(), Part::Framing),
            (State::Size, b';' | b' ' | b'\t') | (State::Extension, _) => (State::Extension, Part::Free),
            (State::DataEnd { cr: false }, b'\r') => (State::DataEnd { cr: true }, Part::Framing),
            (State::DataEnd { .. }, b'\n') => {
                self.line = 0;
                (State::Size, Part::Framing)
            }
            (State::TrailerStart, b'\r') => (State::LastLine, Part::Framing),
            (State::TrailerStart | State::LastLine, b'\n') => (State::Done, Part::Framing),
            (State::TrailerStart | State::Trailer, _) => {
                self.trailers += 1;
                if self.trailers > MAX_TRAILERS {
                    return Err(Damage::TooLong);
                }
                if byte == b'\n' {
                    self.line = 0;
                    (State::TrailerStart, Part::Free)
                } else {
                    (State::Trailer, Part::Free)
                }
            }
            _ => return Err(Damage::Corrupt),
        };
        self.state = state;
        Ok(part)
    }

    fn after_size(&mut self) -> State {
        self.line = 0;
        self.digits = 0;
        if self.left == 0 { State::TrailerStart } else { State::Data }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Content, framing, free text and the unread rest.
    fn read(pieces: &[&[u8]]) -> Result<[Vec<u8>; 4], Damage> {
        let mut chunked = Chunked::new();
        let [mut data, mut framing, mut free, mut rest] = [const { Vec::new() }; 4];
        for piece in pieces {
            let mut piece = *piece;
            while !piece.is_empty() && !chunked.is_done() {
                let (taken, part) = chunked.take(piece)?;
                let (bytes, left) = piece.split_at(taken);
                match part {
                    Part::Data => data.extend_from_slice(bytes),
                    Part::Framing => framing.extend_from_slice(bytes),
                    Part::Free => free.extend_from_slice(bytes),
                }
                piece = left;
            }
            rest.extend_from_slice(piece);
        }
        if chunked.is_done() { Ok([data, framing, free, rest]) } else { Err(Damage::CutOff) }
    }

    #[test]
    fn extensions_and_trailers_are_free_text_and_the_next_message_is_left() {
        let body = b"4;n=\"v\"\r\nWiki\r\nB\r\npedia in  \n\r\n0\r\nExpires: never\r\n\r\nGET";
        for at in 0..body.len() {
            let (left, right) = body.split_at(at);
            let [data, framing, free, rest] = read(&[left, right]).unwrap();
            assert_eq!(data, b"Wikipedia in  \n");
            assert_eq!(framing, b"4\r\n\r\nB\r\n\r\n0\r\n\r\n");
            assert_eq!(free, b";n=\"v\"Expires: never\r\n");
            assert_eq!(rest, b"GET");
        }
    }

    #[test]
    fn broken_framing_is_damage() {
        assert_eq!(read(&[b"x\r\n"]), Err(Damage::Corrupt));
        assert_eq!(read(&[b"3\r\nabcd\r\n"]), Err(Damage::Corrupt));
        assert_eq!(read(&[b"11111111111111111\r\n"]), Err(Damage::TooLong));
        assert_eq!(read(&[b"3\r\nab"]), Err(Damage::CutOff));
        assert_eq!(read(&[b"1;", &[b'a'; MAX_LINE]]), Err(Damage::TooLong));
    }

    #[test]
    fn zeros_before_a_size_are_free_text() {
        let [data, framing, free, _] = read(&[b"001\nx\n0\n\n"]).unwrap();
        assert_eq!((&data[..], &framing[..], &free[..]), (&b"x"[..], &b"0\n\n0\n\n"[..], &b"01"[..]));
    }

    proptest! {
        #[test]
        fn encoding_and_decoding_give_the_same(chunks: Vec<Vec<u8>>, cut: usize) {
            let mut body = Vec::new();
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let (left, right) = body.split_at(cut % (body.len() + 1));
            let [data, _, free, _] = read(&[left, right]).unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert!(free.is_empty());
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>) {
            let _ = read(&[&bytes]);
        }
    }
}
