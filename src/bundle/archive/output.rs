//! The file that an archive is written to: beside its place first, in large aligned pieces.
//!
//! On Linux the pieces go past the page cache where the file system lets them (`O_DIRECT`). A bundle is as
//! large as all inputs together and is not read back here: to keep it in the cache costs more than to hash
//! it, and throws out what others need. Elsewhere, and where a file system declines, it is written as usual.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use tempfile::NamedTempFile;

/// Bytes written at a time: so many that the number of calls does not matter.
const PIECE: usize = 1 << 20;

/// What addresses, offsets and lengths of direct writes have to be multiples of: a page is enough everywhere.
const ALIGNMENT: usize = 4 << 10;

/// A file without its final name; when it is dropped, nothing is left of it.
pub(super) struct OutputFile {
    file: NamedTempFile,
    /// Never grows, so that it stays aligned.
    buffer: Vec<u8>,
    /// Where the next piece stands in the buffer.
    start: usize,
    filled: usize,
    direct: bool,
}

impl OutputFile {
    /// Makes the file in `folder`. Its owner alone can read it.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new().prefix(".exhibit-").tempfile_in(folder)?;
        let buffer = vec![0; PIECE + ALIGNMENT];
        let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let direct = set_direct(file.as_file(), true).is_ok();
        Ok(Self { file, buffer, start, filled: 0, direct })
    }

    /// Writes what is left and waits until the medium has everything.
    pub(super) fn finish(mut self) -> io::Result<NamedTempFile> {
        // The end is no whole number of blocks.
        self.end_direct()?;
        self.write_piece()?;
        self.file.as_file().sync_all()?;
        Ok(self.file)
    }

    fn write_piece(&mut self) -> io::Result<()> {
        let (mut from, end) = (self.start, self.start + self.filled);
        while from < end {
            match self.file.write(self.buffer.get(from..end).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => from += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Some file systems take the flag and decline the write; behind a short write nothing is
                // aligned any more.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && self.direct => {
                    self.end_direct()?;
                }
                Err(error) => return Err(error),
            }
        }
        self.filled = 0;
        Ok(())
    }

    fn end_direct(&mut self) -> io::Result<()> {
        if self.direct {
            set_direct(self.file.as_file(), false)?;
            self.direct = false;
        }
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let from = self.start + self.filled;
        let len = bytes.len().min(PIECE - self.filled);
        if let (Some(to), Some(bytes)) = (self.buffer.get_mut(from..from + len), bytes.get(..len)) {
            to.copy_from_slice(bytes);
        }
        self.filled += len;
        if self.filled == PIECE {
            self.write_piece()?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Pieces end by their length alone; the last one is written by `finish`.
        Ok(())
    }
}

/// Lets writes go past the page cache, or through it again.
#[cfg(target_os = "linux")]
fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(not(target_os = "linux"))]
fn set_direct(_: &File, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_written_stands_in_the_file_whatever_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * PIECE + 12_345).collect();
        for len in [0, 1, ALIGNMENT, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, bytes.len()] {
            for direct in [true, false] {
                let mut output = OutputFile::new(folder.path()).unwrap();
                if !direct {
                    output.end_direct().unwrap();
                }
                bytes[..len].chunks(100_003).for_each(|part| output.write_all(part).unwrap());
                let file = output.finish().unwrap();
                assert!(fs::read(file.path()).unwrap() == bytes[..len], "{len} bytes, direct: {direct}");
            }
        }
    }

    /// As when a file system takes the flag and declines the write: from an address that is not aligned.
    #[test]
    fn a_declined_direct_write_is_made_through_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = OutputFile::new(folder.path()).unwrap();
        output.start += usize::from(output.start < ALIGNMENT);
        let bytes = vec![7; 2 * PIECE];
        output.write_all(&bytes).unwrap();
        let file = output.finish().unwrap();
        assert!(fs::read(file.path()).unwrap() == bytes);
    }
}
