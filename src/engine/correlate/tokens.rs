//! Hashes of files: what is written like one is kept, and held against the device's files at the end.
//!
//! A backup that asks first whether the server has a file sends its hash and no content. Such a token is a run of exactly as
//! many hexadecimal digits or letters of base64 as MD5, SHA-1, SHA-256 or SHA-512 have (RFC 4648; RFC 9530 for base64 in HTTP), or
//! a value of exactly as many bytes. Files are hashed only with what some token could be, so that a case without tokens pays
//! nothing. SHA-256 is made of every file, so that of it the first 64 bits or more are known, too (design.md); only in hexadecimal, since
//! words are written like short base64.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha512};

use super::{
    catalog::{Catalog, ContentId},
    hit::Leaf,
    needles::{Hash, Written},
};
use crate::evidence::{ByteRange, ReadError};

/// Bytes of a leaf in which tokens are looked for. Values, heads and lists of values are shorter or come as leaves of their own;
/// what is longer is content.
const LOOKED_AT: u64 = 64 << 10;
/// Tokens kept of one conversation, first come. A list of that many files is enough to show what it is.
pub(super) const MAX_TOKENS: usize = 10_000;
/// Letters of the longest token: SHA-512 in hexadecimal.
const LONGEST: usize = 128;
/// Bytes of a file that are read at a time.
const READ: usize = 256 << 10;

/// Bytes of SHA-256 below which a part of it never counts.
const LEAST: usize = 8;

/// Letters of the shortest token: a part of a hash in hexadecimal.
const SHORTEST: usize = 2 * LEAST;

/// Bytes of the hashes that are looked for.
const KINDS: [(Hash, usize); 4] = [(Hash::Md5, 16), (Hash::Sha1, 20), (Hash::Sha256, 32), (Hash::Sha512, 64)];

/// What could be a hash, where it stood.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) leaf: Arc<Leaf>,
    pub(super) leaf_range: ByteRange,
    pub(super) stream_ranges: Vec<ByteRange>,
    pub(super) transformed: bool,
    pub(super) hash: Hash,
    pub(super) written: Written,
    /// Its bytes.
    pub(super) value: Vec<u8>,
}

/// A token within a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) range: ByteRange,
    pub(super) hash: Hash,
    pub(super) written: Written,
    pub(super) value: Vec<u8>,
}

impl Candidate {
    /// Whether it is as long as no hash, and can only be a part of one.
    pub(super) fn is_part(&self) -> bool {
        KINDS.iter().all(|(_, len)| *len != self.value.len())
    }

    /// The token that it is in a leaf.
    pub(super) fn into_token(
        self,
        leaf: Arc<Leaf>,
        (stream_ranges, transformed): (Vec<ByteRange>, bool),
    ) -> Token {
        let Self { range, hash, written, value } = self;
        Token { leaf, leaf_range: range, stream_ranges, transformed, hash, written, value }
    }
}

/// Looks for tokens in one leaf, chunk by chunk.
#[derive(Default)]
pub(super) struct Tokens {
    at: u64,
    /// The run of letters that goes on, as long as it can still be a token.
    run: Vec<u8>,
    /// Letters of it, also where there are too many.
    len: u64,
    /// The digits at the end of it, where they begin it or stand behind a sign: as the last part of a path does.
    digits: Vec<u8>,
    /// Whether letters stand before those, or there are too many.
    spoilt: bool,
    found: Vec<Candidate>,
    /// The first bytes: a leaf that is no longer than a hash may be one.
    head: Vec<u8>,
}

impl Tokens {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = usize::try_from(LOOKED_AT.saturating_sub(self.at)).unwrap_or(0);
        let looked_at = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        let most = KINDS.map(|(_, len)| len).into_iter().max().unwrap_or(0) + 1;
        let head = most.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..head).unwrap_or_default());
        let mut no = 0;
        loop {
            if self.len == 0 {
                let skipped = to_next_run(looked_at.get(no..).unwrap_or_default());
                self.at += skipped as u64;
                no += skipped;
            }
            let Some(&byte) = looked_at.get(no) else { break };
            no += 1;
            self.at += 1;
            if is_letter(byte) {
                self.len += 1;
                if self.len <= LONGEST as u64 {
                    self.run.push(byte);
                }
                match byte {
                    b'+' | b'/' | b'-' | b'_' | b'=' => self.end_digits(self.at - 1),
                    _ if !byte.is_ascii_hexdigit() || self.digits.len() >= LONGEST => self.spoilt = true,
                    _ => self.digits.push(byte),
                }
            } else if self.len > 0 {
                self.end(self.at - 1);
            }
        }
        if looked_at.len() < bytes.len() {
            // Whatever run was open goes beyond what is looked at.
            self.run.clear();
            self.digits.clear();
            self.len = 0;
            self.at = self.at.max(LOOKED_AT + 1);
        }
    }

    /// The tokens of the leaf, by place; a leaf of so many bytes may be one itself.
    pub(super) fn finish(mut self, leaf: u64) -> Vec<Candidate> {
        self.end(self.at);
        let whole = KINDS.iter().find(|(_, len)| *len as u64 == leaf);
        if let Some(&(hash, _)) = whole
            && !self.head.iter().all(|byte| byte.is_ascii_graphic())
        {
            let value = std::mem::take(&mut self.head);
            self.found.push(Candidate {
                range: ByteRange::new(0, leaf),
                hash,
                written: Written::Bytes,
                value,
            });
        }
        self.found
    }

    fn end(&mut self, at: u64) {
        let len = std::mem::replace(&mut self.len, 0);
        let whole = (len == self.run.len() as u64).then(|| decoded(&self.run)).flatten();
        if let Some((hash, written, value)) = whole {
            self.found(at - len..at, hash, written, value);
            self.digits.clear();
        }
        self.end_digits(at);
        self.run.clear();
    }

    /// Digits that signs stand around: they are a hash by themselves.
    fn end_digits(&mut self, at: u64) {
        let digits = std::mem::take(&mut self.digits);
        let spoilt = std::mem::replace(&mut self.spoilt, false);
        let value = decoded(&digits).filter(|(_, written, _)| !spoilt && *written == Written::Hex);
        if let Some((hash, written, value)) = value {
            self.found(at - digits.len() as u64..at, hash, written, value);
        }
    }

    fn found(&mut self, range: std::ops::Range<u64>, hash: Hash, written: Written, value: Vec<u8>) {
        if self.found.len() < MAX_TOKENS {
            let range = ByteRange::new(range.start, range.end);
            self.found.push(Candidate { range, hash, written, value });
        }
    }
}

/// How many bytes come before the next run that is long enough for a token; what is too short to say stays.
fn to_next_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(run) = bytes.get(at..at + SHORTEST) {
        // Whatever run is long enough and begins here or before holds the last of these bytes.
        match run.iter().rposition(|&byte| !is_letter(byte)) {
            Some(place) => at += place + 1,
            None => break,
        }
    }
    at
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// The hash that a run of letters could be. A name before an equals sign (`sha256=…`) is left away.
fn decoded(run: &[u8]) -> Option<(Hash, Written, Vec<u8>)> {
    let body = run.strip_suffix(b"==").or_else(|| run.strip_suffix(b"=")).unwrap_or(run);
    let start = body.iter().rposition(|&byte| byte == b'=').map_or(0, |place| place + 1);
    let body = body.get(start..)?;
    let hexadecimal = body.len() == run.len() - start && body.iter().all(u8::is_ascii_hexdigit);
    let kind = |letters: fn(usize) -> usize| KINDS.into_iter().find(|(_, len)| letters(*len) == body.len());
    let part = (2 * LEAST..64).contains(&body.len()) && body.len().is_multiple_of(2);
    let part = part.then_some((Hash::Sha256, body.len() / 2));
    if hexadecimal && let Some((hash, _)) = kind(|len| 2 * len).or(part) {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let value = body.as_chunks::<2>().0.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?));
        return Some((hash, Written::Hex, value.collect::<Option<Vec<u8>>>()?));
    }
    let (hash, len) = kind(|len| (len * 8).div_ceil(6))?;
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone);
    let standard = !body.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let alphabet = if standard { &alphabet::STANDARD } else { &alphabet::URL_SAFE };
    let value = GeneralPurpose::new(alphabet, config).decode(body).ok()?;
    (value.len() == len).then_some((hash, Written::Base64, value))
}

/// Tokens that are the hash of a content, or the beginning of its SHA-256, with the content; in the order of tokens, each with the hash.
///
/// # Errors
/// When a device file can't be read.
pub(super) fn matched(
    catalog: &Catalog,
    tokens: &[Token],
    threads: usize,
) -> Result<Vec<(usize, ContentId, Hash)>, ReadError> {
    let wanted: BTreeSet<Hash> = tokens.iter().map(|token| token.hash).collect();
    let known = known(catalog, &wanted, threads)?;
    let digests: BTreeMap<[u8; 32], ContentId> =
        catalog.iter().map(|(id, content)| (content.digest.0, id)).collect();
    let begins = |value: &[u8]| {
        let mut least = [0; 32];
        let (front, _) = least.split_at_mut_checked(value.len())?;
        front.copy_from_slice(value);
        let (digest, id) = digests.range(least..).next()?;
        (value.len() >= LEAST && digest.starts_with(value)).then_some(*id)
    };
    let content = |(no, token): (usize, &Token)| {
        let whole = known.get(&(token.hash, token.value.clone())).map(|&content| (no, content, token.hash));
        let hexadecimal = token.written == Written::Hex;
        whole.or_else(|| Some((no, begins(&token.value).filter(|_| hexadecimal)?, Hash::Sha256)))
    };
    Ok(tokens.iter().enumerate().filter_map(content).collect())
}

type Known = BTreeMap<(Hash, Vec<u8>), ContentId>;

fn known(catalog: &Catalog, wanted: &BTreeSet<Hash>, threads: usize) -> Result<Known, ReadError> {
    let mut known = Known::new();
    if wanted.contains(&Hash::Sha256) {
        known.extend(catalog.iter().map(|(id, content)| ((Hash::Sha256, content.digest.0.to_vec()), id)));
    }
    let others: BTreeSet<Hash> = wanted.iter().copied().filter(|hash| *hash != Hash::Sha256).collect();
    if others.is_empty() {
        return Ok(known);
    }
    let next = AtomicUsize::new(0);
    let work = || -> Result<Known, ReadError> {
        let (mut done, mut buffer) = (Known::new(), vec![0; READ]);
        loop {
            let no = next.fetch_add(1, Ordering::Relaxed);
            let Some(content) = catalog.contents.get(no) else { return Ok(done) };
            let id = ContentId(u32::try_from(no).unwrap_or(u32::MAX));
            let (mut md5, mut sha1, mut sha512) = (Md5::new(), Sha1::new(), Sha512::new());
            let mut at = 0;
            while at < content.len {
                let read =
                    content.blob.read_at(&mut buffer, at).map_err(|error| content.failed(at, error))?;
                let bytes = buffer.get(..read).filter(|bytes| !bytes.is_empty());
                let Some(bytes) = bytes else { return Err(content.changed(at)) };
                for hash in &others {
                    match hash {
                        Hash::Md5 => md5.update(bytes),
                        Hash::Sha1 => sha1.update(bytes),
                        Hash::Sha512 => sha512.update(bytes),
                        Hash::Sha256 => {}
                    }
                }
                at += read as u64;
            }
            for (hash, value) in [
                (Hash::Md5, md5.finalize().to_vec()),
                (Hash::Sha1, sha1.finalize().to_vec()),
                (Hash::Sha512, sha512.finalize().to_vec()),
            ] {
                if others.contains(&hash) {
                    done.insert((hash, value), id);
                }
            }
        }
    };
    let results: Vec<_> = thread::scope(|scope| {
        let threads = threads.clamp(1, catalog.contents.len().max(1));
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    for result in results {
        known.extend(result?);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &[u8], chunk: usize) -> Vec<(u64, u64, Hash, Written)> {
        let mut tokens = Tokens::default();
        text.chunks(chunk).for_each(|chunk| tokens.push(chunk));
        let found = tokens.finish(text.len() as u64);
        found.iter().map(|one| (one.range.start, one.range.end, one.hash, one.written)).collect()
    }

    #[test]
    fn what_is_written_like_a_hash_is_kept_wherever_it_is_cut() {
        // The hashes of the empty string: RFC 1321 appendix A.5, FIPS 180-4's examples.
        let text = b"etag: \"d41d8cd98f00b204e9800998ecf8427e\", x=2jmj7l5rSw0yVb/vlWAYkK/YBwk=; \
            sha256=E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855 47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let wanted = [
            (7, 39, Hash::Md5, Written::Hex),
            (42, 72, Hash::Sha1, Written::Base64),
            (74, 145, Hash::Sha256, Written::Hex),
            (146, 189, Hash::Sha256, Written::Base64),
        ];
        for chunk in [1, 3, 50, 1_000] {
            assert_eq!(found(text, chunk), wanted, "{chunk}");
        }
        let mut tokens = Tokens::default();
        tokens.push(text);
        let values: Vec<_> = tokens.finish(0).into_iter().map(|one| one.value).collect();
        assert_eq!(values[1], Sha1::digest(b"").to_vec());
        assert_eq!(values[2], values[3]);
    }

    #[test]
    fn short_runs_are_stepped_over_and_long_ones_are_not_missed() {
        let letters = "d41d8cd98f00b204";
        for before in 0..40 {
            let text = [&b"\0".repeat(before)[..], letters.as_bytes(), b"\0", &b"ab\0".repeat(9)].concat();
            assert_eq!(to_next_run(&text), before, "{before}");
            let hash = [&b"ab\0".repeat(before)[..], b"d41d8cd98f00b204e9800998ecf8427e\0"].concat();
            let at = before as u64 * 3;
            for chunk in [1, 7, 16, 17, 1_000] {
                assert_eq!(found(&hash, chunk), [(at, at + 32, Hash::Md5, Written::Hex)], "{before} {chunk}");
            }
        }
        assert_eq!(to_next_run(&letters.as_bytes()[1..]), 0, "the next bytes may go on with it");
    }

    #[test]
    fn other_lengths_and_what_lies_deep_in_content_are_no_tokens() {
        assert!(found(b"d41d8cd98f00b204e9800998ecf8427 d41d8cd98f00b204e9800998ecf8427e0", 9).is_empty());
        assert!(found(b"d41d8cd98f00b2 1Qf8pTxYbYIJ", 9).is_empty());
        let in_path = [(7, 39, Hash::Md5, Written::Hex)];
        for path in [
            &b"/files/d41d8cd98f00b204e9800998ecf8427e HTTP"[..],
            b"/files/d41d8cd98f00b204e9800998ecf8427e/there",
            b"/f/x-y/d41d8cd98f00b204e9800998ecf8427e.jpg",
            b"/fffff_d41d8cd98f00b204e9800998ecf8427e_",
        ] {
            for chunk in [1, 9, 99] {
                assert_eq!(found(path, chunk), in_path, "{}", path.escape_ascii());
            }
        }
        assert!(found(b"/files/xd41d8cd98f00b204e9800998ecf8427e", 9).is_empty());
        let part = [(0, 16, Hash::Sha256, Written::Hex)];
        assert_eq!(found(b"d41d8cd98f00b204 ", 9), part, "64 bits may be a part");
        let deep = [vec![b' '; 70_000], b"d41d8cd98f00b204e9800998ecf8427e".to_vec()].concat();
        assert!(found(&deep, 1_000).is_empty());
        let across = [vec![b' '; 65_520], b"d41d8cd98f00b204e9800998ecf8427e".to_vec()].concat();
        assert!(found(&across, 1_000).is_empty());
    }

    #[test]
    fn a_value_of_as_many_bytes_may_be_one_and_text_is_not() {
        assert_eq!(found(&Sha1::digest(b"photo"), 7), [(0, 20, Hash::Sha1, Written::Bytes)]);
        assert!(found(b"twenty letters, or so", 7).is_empty());
        assert!(found(b"twenty-letters-or-so", 7).is_empty());
    }
}
