//! Words in parts, so that what belongs together fits into memory, and into the cache, a part at a time.
//!
//! The first megabytes stay in memory, the rest goes to an unlinked scratch file: memory does not grow with the
//! number of words, and time grows with nothing else.

use std::{
    fs::File,
    io::{self, Write as _},
    mem,
    sync::{Mutex, PoisonError},
};

use super::spool::SCRATCH;
use crate::evidence::{FileBlob, ReadError, Scratch, read_exact_at};

/// Bytes gathered for one part before they are put away.
const GATHER: usize = 8 << 10;
/// Bytes kept in memory before a scratch file is made.
const IN_MEMORY: usize = 8 << 20;

/// Words that are sorted as they are.
const SHORT: usize = 1 << 10;
/// Bits by which more are dealt out before they are sorted: a few words for each value.
const DEAL_BITS: u32 = 12;

/// Takes words for parts, from any thread.
pub(super) struct Shuffle {
    scratch: Scratch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Pieces with the part that each is of.
    pieces: Vec<(usize, Piece)>,
    in_memory: usize,
    file: Option<File>,
    end: u64,
}

enum Piece {
    Memory(Vec<u8>),
    File { at: u64, len: usize },
}

impl Shuffle {
    pub(super) fn new(scratch: Scratch) -> Self {
        Self { scratch, state: Mutex::default() }
    }

    /// Adds words from one thread.
    pub(super) fn writer(&self, parts: usize) -> Writer<'_> {
        Writer { shuffle: self, parts: vec![Vec::new(); parts], failure: None }
    }

    /// Ends writing.
    pub(super) fn close(self) -> Result<Shuffled, ReadError> {
        let State { mut pieces, file, end, .. } =
            self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        pieces.sort_by_key(|&(part, _)| part);
        let file =
            file.map(FileBlob::new).transpose().map_err(|error| ReadError::new(SCRATCH, end, error))?;
        Ok(Shuffled { pieces, file })
    }

    fn put(&self, part: usize, bytes: Vec<u8>) -> Result<(), ReadError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.end;
        let piece = state.put(bytes, &self.scratch).map_err(|error| ReadError::new(SCRATCH, at, error))?;
        state.pieces.push((part, piece));
        Ok(())
    }
}

impl State {
    fn put(&mut self, bytes: Vec<u8>, scratch: &Scratch) -> io::Result<Piece> {
        if self.in_memory + bytes.len() <= IN_MEMORY {
            self.in_memory += bytes.len();
            return Ok(Piece::Memory(bytes));
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(scratch.file()?),
        };
        file.write_all(&bytes)?;
        let piece = Piece::File { at: self.end, len: bytes.len() };
        self.end = self.end.saturating_add(bytes.len() as u64);
        Ok(piece)
    }
}

/// Gathers the words of one thread.
pub(super) struct Writer<'s> {
    shuffle: &'s Shuffle,
    parts: Vec<Vec<u8>>,
    failure: Option<ReadError>,
}

impl Writer<'_> {
    /// Adds a word to a part.
    pub(super) fn push(&mut self, part: usize, word: u64) {
        let Some(bytes) = self.parts.get_mut(part) else { return };
        bytes.extend_from_slice(&word.to_le_bytes());
        if bytes.len() >= GATHER {
            let full = mem::replace(bytes, Vec::with_capacity(GATHER));
            let result = self.shuffle.put(part, full);
            self.failure = self.failure.take().or(result.err());
        }
    }

    /// Puts away what is left.
    pub(super) fn finish(self) -> Result<(), ReadError> {
        match self.failure {
            Some(error) => Err(error),
            None => (0..)
                .zip(self.parts)
                .filter(|(_, bytes)| !bytes.is_empty())
                .try_for_each(|(part, bytes)| self.shuffle.put(part, bytes)),
        }
    }
}

/// Words in parts, to be read from any thread.
pub(super) struct Shuffled {
    /// By part.
    pieces: Vec<(usize, Piece)>,
    file: Option<FileBlob>,
}

impl Shuffled {
    /// Reads and sorts the words of a part: in which order they were added never shows.
    pub(super) fn read(&self, part: usize, words: &mut Vec<u64>) -> Result<(), ReadError> {
        words.clear();
        let (mut buffer, mut dealt) = (Vec::new(), Vec::new());
        let first = self.pieces.partition_point(|&(of, _)| of < part);
        for (_, piece) in self.pieces.iter().skip(first).take_while(|&&(of, _)| of == part) {
            let bytes = match (piece, &self.file) {
                (Piece::Memory(bytes), _) => bytes,
                (Piece::File { at, len }, Some(file)) => {
                    buffer.resize(*len, 0);
                    read_exact_at(file, &mut buffer, *at)
                        .map_err(|error| ReadError::new(SCRATCH, *at, error))?;
                    &buffer
                }
                // A piece of a file was written to it.
                (Piece::File { .. }, None) => continue,
            };
            words.extend(bytes.as_chunks::<8>().0.iter().map(|&word| u64::from_le_bytes(word)));
        }
        sort(words, &mut dealt);
        Ok(())
    }
}

/// Sorts words whose high bits are as good as random: dealt out by those, few are left to be compared. Any words
/// are sorted; those that are alike just take longer.
fn sort(words: &mut Vec<u64>, dealt: &mut Vec<u64>) {
    let of = |word: u64| usize::try_from(word >> (u64::BITS - DEAL_BITS)).unwrap_or(0);
    if words.len() < SHORT {
        words.sort_unstable();
        return;
    }
    let mut ends = vec![0_usize; 1 << DEAL_BITS];
    for &word in &*words {
        if let Some(count) = ends.get_mut(of(word)) {
            *count += 1;
        }
    }
    let mut start = 0;
    for end in &mut ends {
        start += mem::replace(end, start);
    }
    dealt.clear();
    dealt.resize(words.len(), 0);
    for &word in &*words {
        if let Some(end) = ends.get_mut(of(word)) {
            if let Some(to) = dealt.get_mut(*end) {
                *to = word;
            }
            *end += 1;
        }
    }
    let mut start = 0;
    for end in ends {
        if let Some(alike) = dealt.get_mut(start..end) {
            alike.sort_unstable();
        }
        start = end;
    }
    mem::swap(words, dealt);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_whatever_their_high_bits_are() {
        let mixed = |no: u64| no.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let cases: [&dyn Fn(u64) -> u64; 4] =
            [&mixed, &|no| mixed(no) >> 20, &|no| mixed(no) | 7 << 61, &|_| 5];
        for word in cases {
            for count in [0, 1, SHORT as u64 - 1, SHORT as u64, 50_000] {
                let mut words: Vec<u64> = (0..count).map(word).collect();
                let mut expected = words.clone();
                expected.sort_unstable();
                sort(&mut words, &mut Vec::new());
                assert!(words == expected, "{count} words");
            }
        }
    }

    #[test]
    fn every_part_gives_its_words_sorted_from_memory_and_file() {
        let folder = tempfile::tempdir().unwrap();
        let shuffle = Shuffle::new(Scratch::new(folder.path()));
        let word = |no: u64| no.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let shuffle = &shuffle;
                scope.spawn(move || {
                    let mut writer = shuffle.writer(3);
                    (0..900_000_u64).for_each(|no| writer.push((no % 3) as usize, word(no * 2 + thread)));
                    writer.finish().unwrap();
                });
            }
        });
        let shuffled = shuffle.close().unwrap();
        assert!(shuffled.file.is_some() && matches!(shuffled.pieces[0].1, Piece::Memory(_)));
        for part in 0..4 {
            let mut words = vec![1];
            shuffled.read(part, &mut words).unwrap();
            let mut expected: Vec<u64> =
                (0..1_800_000).filter(|no| part < 3 && no / 2 % 3 == part as u64).map(word).collect();
            expected.sort_unstable();
            assert!(words == expected, "part {part}");
        }
    }
}
