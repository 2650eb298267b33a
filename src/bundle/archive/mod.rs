//! The canonical archive: ustar members in one fixed encoding, inside one gzip member.
//!
//! [`Members`] go in and bytes come out in one pass over the inputs; [`reader`] takes back only
//! what the writer could have written. Nothing here knows what a member means.

use std::sync::Arc;

use super::name::MemberName;
use crate::evidence::{Blob, Digest};

pub mod gzip;
pub mod header;
mod output;
pub mod reader;
pub mod writer;

/// What goes into an archive, in the order in which it is written.
#[derive(Default)]
pub struct Members(Vec<Member>);

/// One file to be written.
pub struct Member {
    /// Its name.
    pub name: MemberName,
    /// Its bytes.
    pub source: Source,
}

/// Where a member's bytes are.
pub enum Source {
    /// In memory.
    Bytes(Vec<u8>),
    /// In an input that was read before and is to be the same still.
    Input {
        /// The input.
        blob: Arc<dyn Blob>,
        /// The digest it had.
        sha256: Digest,
        /// The size it had.
        bytes: u64,
    },
}

impl Source {
    /// Bytes it has to give.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Input { bytes, .. } => *bytes,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The digest it has to have.
    pub fn sha256(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::Input { sha256, .. } => *sha256,
        }
    }
}

impl Members {
    /// Adds a file at the end.
    pub fn push(&mut self, name: MemberName, source: Source) {
        self.0.push(Member { name, source });
    }

    /// Sorts by the bytes of the names.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// The files in order.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter()
    }

    /// Files.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|member| member.source.len()).sum()
    }
}

impl Extend<Member> for Members {
    fn extend<I: IntoIterator<Item = Member>>(&mut self, members: I) {
        self.0.extend(members);
    }
}

impl IntoIterator for Members {
    type Item = Member;
    type IntoIter = std::vec::IntoIter<Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
