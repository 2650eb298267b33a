//! Compressed captures, unpacked once: gzip (RFC 1952) of any number of members, zstd (RFC 8878) of any number of
//! frames.

use std::{
    fmt,
    io::{self, BufReader, Read, Seek, Write},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::{CaptureError, Unpacked, zstd::Zstd};
use crate::evidence::{
    Anomaly, AnomalyKind, Blob, BlobReader, Digest, FileBlob, ReadError, Scratch, printable,
};

/// What a capture is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Packing {
    /// Tells a compressed file by its start.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(&[0x1f, 0x8b]) {
            Some(Self::Gzip)
        } else {
            super::zstd::begins(head).then_some(Self::Zstd)
        }
    }

    /// `gzip`, `zstd`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Deflate shrinks at most 1,032 times and zstd without bound, so a small file could fill a disk. No phone's capture
/// of weeks is larger than this, and temporary folders seldom hold more.
const MAX_UNPACKED: u64 = 64 << 30;
const CHUNK: usize = 256 << 10;

/// Unpacks the whole file into a scratch file, digesting what is read.
pub(super) fn unpack(
    packing: Packing,
    name: &str,
    file: &Arc<dyn Blob>,
    scratch: &Scratch,
) -> Result<(Arc<dyn Blob>, Unpacked), CaptureError> {
    unpack_at_most(MAX_UNPACKED, packing, name, file, scratch)
}

pub(super) fn unpack_at_most(
    max: u64,
    packing: Packing,
    name: &str,
    file: &Arc<dyn Blob>,
    scratch: &Scratch,
) -> Result<(Arc<dyn Blob>, Unpacked), CaptureError> {
    let no_room = |source| CaptureError::Scratch { name: name.to_owned(), source };
    let mut out = scratch.file().map_err(no_room)?;
    let mut packed = Packed {
        reader: BlobReader::new(Arc::clone(file)),
        left: file.len(),
        hasher: Sha256::new(),
        failed: None,
    };
    let source = BufReader::with_capacity(CHUNK, &mut packed);
    let mut decoder: Box<dyn Read> = match packing {
        Packing::Gzip => Box::new(MultiGzDecoder::new(source)),
        Packing::Zstd => Box::new(Zstd::new(source)),
    };
    let mut buffer = vec![0; CHUNK];
    let (mut written, mut damage) = (0_u64, None);
    while damage.is_none() {
        // At the limit one more byte tells whether there is more.
        let room = usize::try_from(max - written).unwrap_or(CHUNK).clamp(1, CHUNK);
        match decoder.read(buffer.get_mut(..room).unwrap_or_default()) {
            Ok(0) => break,
            Ok(_) if written == max => {
                damage = Some((AnomalyKind::LimitReached, format!("more than {max} bytes when unpacked")));
            }
            Ok(read) => {
                out.write_all(buffer.get(..read).unwrap_or_default()).map_err(no_room)?;
                written += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let why = printable(error.to_string().as_bytes(), 80);
                let detail = format!("{packing} damaged after {written} unpacked bytes: {why}");
                damage = Some((AnomalyKind::CompressionDamaged, detail));
            }
        }
    }
    drop(decoder);
    let digest = packed.finish(name, file.len())?;
    out.rewind().map_err(no_room)?;
    let blob = FileBlob::new(out).map_err(no_room)?;
    let anomalies = damage
        .map(|(kind, detail)| Anomaly { kind, capture: name.to_owned(), frame: None, flow: None, detail })
        .into_iter()
        .collect();
    Ok((Arc::new(blob), Unpacked { digest, anomalies }))
}

/// The compressed file, digested as it is read.
struct Packed {
    reader: BlobReader<Arc<dyn Blob>>,
    left: u64,
    hasher: Sha256,
    /// A failure of the medium, kept apart: the decoder can't tell it from damage.
    failed: Option<io::Error>,
}

impl Read for Packed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.reader.read(buf) {
            Ok(read) => {
                self.hasher.update(buf.get(..read).unwrap_or_default());
                self.left = self.left.saturating_sub(read as u64);
                Ok(read)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed.get_or_insert(error);
                Err(kind.into())
            }
        }
    }
}

impl Packed {
    /// Reads what the decoder left and gives the digest of the whole file.
    fn finish(mut self, name: &str, len: u64) -> Result<Digest, ReadError> {
        let mut buffer = vec![0; CHUNK];
        while self.failed.is_none() && self.left > 0 {
            if matches!(self.read(&mut buffer), Ok(0)) {
                return Err(ReadError::changed(name, len - self.left));
            }
        }
        match self.failed {
            Some(error) => Err(ReadError::new(name, len - self.left, error)),
            None => Ok(Digest::finish(self.hasher)),
        }
    }
}
