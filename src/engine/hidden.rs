//! Signs that content may go where nobody sees it: flows that send at a constant rate whatever happens, and protocols
//! that send differences or hashes, so that what the other end holds already is not sent.
//!
//! They are listed as odd traffic. Of a protocol that no sign betrays nothing is said.

use super::{
    decode::sink::RequestHead,
    net::stream::{Chunk, Piece, Stream},
    statistics::cover::is_constant_rate,
    verdict::gates::SMALLEST_PHOTO,
};
use crate::evidence::ReadError;

/// Intervals of one flow at most; the flow of a day is counted in longer ones.
const INTERVALS: u64 = 3_600;
/// Nanoseconds of the shortest interval.
const SECOND: u64 = 1_000_000_000;
/// What both ends of rsync say first (rsyncd.conf(5); `@RSYNCD: 31.0`).
const RSYNC: &[u8] = b"@RSYNCD: ";
/// Media types of differences: RFC 3284, librsync, zsync.
const DIFFERENCES: [&str; 4] = [
    "application/vcdiff",
    "application/x-rsync-signature",
    "application/x-rsync-delta",
    "application/x-zsync",
];

/// What files of sums and differences begin with: librsync 2.3 (`rs_magic_number`), RFC 3284 section 4.1, bsdiff 4.3, zsync 0.6.
const MAGICS: [(&[u8], &str); 9] = [
    (b"rs\x01\x36", "sums of blocks (librsync)"),
    (b"rs\x01\x37", "sums of blocks (librsync)"),
    (b"rs\x01\x46", "sums of blocks (librsync)"),
    (b"rs\x01\x47", "sums of blocks (librsync)"),
    (b"rs\x02\x36", "differences (librsync)"),
    (b"\xd6\xc3\xc4\0", "differences (VCDIFF)"),
    (b"\xd6\xc3\xc4S", "differences (VCDIFF)"),
    (b"BSDIFF40", "differences (bsdiff)"),
    (b"zsync: ", "sums of blocks (zsync)"),
];

/// Which format of sums or differences content is in, by its first bytes.
pub(super) fn is_difference(first: &[u8]) -> Option<&'static str> {
    MAGICS.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, what)| *what)
}

/// How a flow hides what it could carry: bytes and intervals of a constant rate.
pub(super) fn constant_rate(up: &Stream) -> Option<String> {
    let (first, last) =
        (up.pieces.iter().map(|piece| piece.time).min()?, up.pieces.iter().map(|piece| piece.time).max()?);
    let length = ((last.0 - first.0) / INTERVALS).max(SECOND);
    // The last interval is not over.
    let whole = usize::try_from((last.0 - first.0) / length).ok()?;
    let mut bytes = vec![0_u64; whole];
    let place = |piece: &Piece| usize::try_from((piece.time.0 - first.0) / length).ok();
    for piece in &up.pieces {
        if let Some(sum) = place(piece).and_then(|place| bytes.get_mut(place)) {
            *sum += piece.range.len();
        }
    }
    let total: u64 = bytes.iter().sum();
    (total >= SMALLEST_PHOTO && is_constant_rate(&bytes))
        .then(|| format!("{total} bytes in {whole} intervals of {} ms", length / 1_000_000))
}

/// Which protocol of differences a flow begins with.
///
/// # Errors
/// When the capture can't be read.
pub(super) fn speaks_rsync(up: &Stream) -> Result<bool, ReadError> {
    if !up.from_start {
        return Ok(false);
    }
    let begins = |chunk: Chunk<'_>| matches!(chunk, Chunk::Bytes { data, .. } if data.starts_with(RSYNC));
    Ok(up.reader().next_chunk()?.is_some_and(begins))
}

/// Which sign of differences a request's head holds.
pub(super) fn asks_for_differences(head: &RequestHead) -> Option<String> {
    head.fields.iter().find_map(|(name, value)| {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        // RFC 3229 sections 10.5.2 and 10.5.3.
        if name.eq_ignore_ascii_case("a-im") || name.eq_ignore_ascii_case("im") {
            return Some(format!("delta encoding (RFC 3229): {}", name.to_ascii_lowercase()));
        }
        let media = value.split(';').next().unwrap_or_default().trim();
        (name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("accept"))
            .then(|| DIFFERENCES.iter().find(|one| **one == media))
            .flatten()
            .map(|media| (*media).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{ByteRange, FrameNo, Timestamp};

    /// A stream of `sizes`, one piece each `millis`.
    fn stream(sizes: &[u64], millis: u64) -> Stream {
        let mut stream = Stream::of_bytes(b"");
        let mut at = 0;
        for (no, size) in (0..).zip(sizes) {
            let time = Timestamp(1_790_000_000_000_000_000 + no * millis * 1_000_000);
            stream.pieces.push(Piece { range: ByteRange::new(at, at + size), at, frame: FrameNo(1), time });
            at += size;
        }
        stream
    }

    #[test]
    fn a_flow_that_always_sends_the_same_is_named_and_bursts_and_few_bytes_are_not() {
        let steady = constant_rate(&stream(&[160; 3_000], 20)).unwrap();
        assert!(steady.contains(" in 59 intervals of 1000 ms"), "{steady}");
        let bursts: Vec<u64> = (0..3_000).map(|no| if no % 400 < 100 { 1_400 } else { 20 }).collect();
        assert_eq!(constant_rate(&stream(&bursts, 20)), None);
        assert_eq!(constant_rate(&stream(&[160; 500], 20)), None, "ten seconds are too few");
        assert_eq!(constant_rate(&stream(&[1; 3_000], 20)), None, "no photo fits into it");
        assert_eq!(constant_rate(&stream(&[], 20)), None);
        let day = constant_rate(&stream(&[160; 86_400], 1_000)).unwrap();
        assert!(day.contains(" in 3600 intervals of 23999 ms"), "{day}");
    }
}
