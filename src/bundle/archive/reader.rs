//! The strict reader: an archive is taken only when the writer could have written exactly it.
//!
//! Members come out one after another; their bytes go to a sink of the caller's, never to a name that
//! the archive chose. [`Fault`] names everything that can be wrong with a bundle.

use std::io::{self, Read};

use super::{
    gzip::{GzipFault, GzipReader},
    header::{BLOCK, Header, HeaderFault},
    writer::padding,
};
use crate::{bundle::name::NameFault, evidence::printable};

/// Why a bundle could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file could not be read.
    #[error("read the bundle")]
    Read(#[source] io::Error),
    /// Its members could not be put aside.
    #[error("write a scratch file")]
    Scratch(#[source] io::Error),
    /// It is not a bundle, or not an untouched one.
    #[error("open the bundle: {}", list(.0))]
    Broken(Vec<Fault>),
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        Self::Broken(vec![fault])
    }
}

/// What is wrong with a bundle. Names in it are escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The first ten bytes.
    #[error("it does not start with the gzip header of a bundle")]
    GzipHeader,
    /// Deflate data.
    #[error("the compressed data is damaged")]
    GzipDamaged,
    /// The file ends too early.
    #[error("the file is cut off")]
    CutOff,
    /// The gzip trailer.
    #[error("the gzip checksum does not match")]
    GzipChecksum,
    /// More bytes after the gzip member.
    #[error("something follows the compressed data")]
    AfterGzip,
    /// The archive ends too early inside an intact gzip member.
    #[error("the archive is cut off at byte {at}")]
    TarCutOff {
        /// Uncompressed position.
        at: u64,
    },
    /// A header that is not written as bundles write it.
    #[error("the header at byte {at} is not canonical: {field}")]
    Header {
        /// Uncompressed position.
        at: u64,
        /// The field.
        field: &'static str,
    },
    /// A name outside the grammar.
    #[error("the name {name} is not allowed: {fault}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// A member with another time than the first.
    #[error("{name} has another time than the members before it")]
    Time {
        /// The member.
        name: String,
    },
    /// Bytes other than zero after a member.
    #[error("the padding after {name} is not zero")]
    Padding {
        /// The member.
        name: String,
    },
    /// Not exactly two zero blocks.
    #[error("the archive does not end with two zero blocks")]
    End,
    /// More data after the two zero blocks.
    #[error("something follows the end of the archive")]
    AfterEnd,
    /// A member that comes too early, too late or twice.
    #[error("{name} is not where it has to be")]
    Order {
        /// The member.
        name: String,
    },
    /// A name that is both a file and a folder.
    #[error("{name} is both a file and a folder")]
    FileAndFolder {
        /// The member.
        name: String,
    },
    /// More than a stated limit.
    #[error("{what} is larger than the limit of {limit}")]
    Limit {
        /// What is too large.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A tag file that does not say what it has to.
    #[error("{name} is not what it has to be: {why}")]
    Tag {
        /// The tag file.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A file that the manifest does not list.
    #[error("{name} is not in the manifest")]
    Unlisted {
        /// The member.
        name: String,
    },
    /// A file that the manifest lists and the archive does not hold.
    #[error("{name} is missing")]
    Missing {
        /// The member.
        name: String,
    },
    /// A file whose digest is not that of the manifest.
    #[error("{name} was changed")]
    Changed {
        /// The member.
        name: String,
    },
    /// The payload is not as large as declared.
    #[error("the payload is not as large as Payload-Oxum declares")]
    PayloadSize,
    /// A document inside that is not what it has to be.
    #[error("{name} is not what it has to be: {why}")]
    Document {
        /// The member.
        name: String,
        /// What is wrong; text from the bundle in it is escaped.
        why: String,
    },
}

impl From<GzipFault> for OpenError {
    fn from(fault: GzipFault) -> Self {
        match fault {
            GzipFault::Read(error) => Self::Read(error),
            GzipFault::Header => Fault::GzipHeader.into(),
            GzipFault::Damaged => Fault::GzipDamaged.into(),
            GzipFault::CutOff => Fault::CutOff.into(),
            GzipFault::Checksum => Fault::GzipChecksum.into(),
            GzipFault::After => Fault::AfterGzip.into(),
        }
    }
}

/// Reads members one after another.
pub struct ArchiveReader<R> {
    gzip: GzipReader<R>,
    at: u64,
    mtime: Option<u64>,
    buffer: Vec<u8>,
}

/// Bytes copied at a time.
const COPY: usize = 256 << 10;

impl<R: Read> ArchiveReader<R> {
    /// Starts at the first byte of the file.
    ///
    /// # Errors
    /// When the gzip header is not a bundle's.
    pub fn new(input: R) -> Result<Self, OpenError> {
        Ok(Self { gzip: GzipReader::new(input)?, at: 0, mtime: None, buffer: vec![0; COPY] })
    }

    /// Reads the next member's header; `None` after the exact end of archive and file.
    /// The bytes of the member before it have to be taken first, with [`ArchiveReader::data`].
    ///
    /// # Errors
    /// Each [`Fault`] of gzip, header and end.
    pub fn next_header(&mut self) -> Result<Option<Header>, OpenError> {
        let at = self.at;
        let block = self.block()?;
        if block == [0; BLOCK] {
            self.end()?;
            return Ok(None);
        }
        let header = Header::parse(&block).map_err(|fault| match fault {
            HeaderFault::Field(field) => Fault::Header { at, field },
            HeaderFault::Name(name, fault) => Fault::Name { name: printable(&name, 100), fault },
        })?;
        if *self.mtime.get_or_insert(header.mtime) != header.mtime {
            return Err(Fault::Time { name: header.name.to_string() }.into());
        }
        Ok(Some(header))
    }

    /// Hands the member's bytes to `sink`, piece by piece, and checks its padding.
    ///
    /// # Errors
    /// Each [`Fault`] of gzip, and what the sink says.
    pub fn data(
        &mut self,
        header: &Header,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let mut left = header.size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(COPY);
            let read = self.gzip.read(self.buffer.get_mut(..wanted).unwrap_or_default())?;
            if read == 0 {
                return Err(Fault::TarCutOff { at: self.at }.into());
            }
            self.at += read as u64;
            left -= read as u64;
            sink(self.buffer.get(..read).unwrap_or_default())?;
        }
        let mut padding = vec![0xff; padding(header.size)];
        self.fill(&mut padding)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(Fault::Padding { name: header.name.to_string() }.into());
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), OpenError> {
        let second = match self.block() {
            Err(OpenError::Broken(faults)) if matches!(*faults, [Fault::TarCutOff { .. }]) => {
                return Err(Fault::End.into());
            }
            other => other?,
        };
        if second != [0; BLOCK] {
            return Err(Fault::End.into());
        }
        if self.gzip.read(&mut [0])? != 0 {
            return Err(Fault::AfterEnd.into());
        }
        Ok(())
    }

    fn block(&mut self) -> Result<[u8; BLOCK], OpenError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(block)
    }

    fn fill(&mut self, mut out: &mut [u8]) -> Result<(), OpenError> {
        while !out.is_empty() {
            let read = self.gzip.read(out)?;
            if read == 0 {
                return Err(Fault::TarCutOff { at: self.at }.into());
            }
            self.at += read as u64;
            out = out.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }
}
