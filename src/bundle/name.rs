//! Names inside a bundle: a grammar so narrow that no two systems can read one name differently.

use std::{collections::BTreeSet, fmt};

use crate::evidence::printable;

/// The one folder at the top of the archive.
pub const TOP: &str = "exhibit/";

/// A name with its top folder fits ustar's name field; the prefix field stays empty.
const MAX_WITH_TOP: usize = 100;

/// A file's path below the top folder, such as `data/captures/0001.pcap`.
///
/// Components are `[a-z0-9][a-z0-9._-]*`, do not end in `.` and are no device name of Windows.
/// So there is no traversal, no letter case, no Unicode form and no stream name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(String);

/// Why a text is no name of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// Longer than the header's field.
    #[error("it is longer than 100 bytes")]
    Long,
    /// `//`, a leading or a trailing `/`.
    #[error("a component is empty")]
    EmptyComponent,
    /// Anything outside the grammar.
    #[error("a component is not [a-z0-9][a-z0-9._-]*")]
    Character,
    /// Windows drops such dots.
    #[error("a component ends in a dot")]
    TrailingDot,
    /// `con`, `nul`, `com1`, … with any ending open a device on Windows.
    #[error("a component is a device name of Windows")]
    Device,
}

impl MemberName {
    /// Takes a path below the top folder.
    ///
    /// # Errors
    /// When it is outside the grammar.
    pub fn new(path: &str) -> Result<Self, NameFault> {
        if TOP.len() + path.len() > MAX_WITH_TOP {
            return Err(NameFault::Long);
        }
        path.split('/').try_for_each(component)?;
        Ok(Self(path.to_owned()))
    }

    /// The path below the top folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folders it lies in, outermost first.
    fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').filter_map(|(at, _)| self.0.get(..at))
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(self.0.as_bytes(), MAX_WITH_TOP))
    }
}

fn component(text: &str) -> Result<(), NameFault> {
    let first = text.bytes().next().ok_or(NameFault::EmptyComponent)?;
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !plain(first) || !text.bytes().all(|c| plain(c) || b"._-".contains(&c)) {
        return Err(NameFault::Character);
    }
    if text.ends_with('.') {
        return Err(NameFault::TrailingDot);
    }
    let stem = text.split('.').next().unwrap_or(text);
    let numbered = |prefix| matches!(stem.strip_prefix(prefix), Some(n) if n.len() == 1 && n.bytes().all(|c| c.is_ascii_digit()));
    if matches!(stem, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt") {
        return Err(NameFault::Device);
    }
    Ok(())
}

/// Names seen so far; tells when one would be both a file and a folder.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeSet<MemberName>,
    folders: BTreeSet<String>,
}

impl Tree {
    /// Adds a file; `false` when it is there already or clashes with a folder.
    pub(super) fn add(&mut self, name: &MemberName) -> bool {
        let under_file = name.folders().any(|folder| self.files.contains(&MemberName(folder.to_owned())));
        if under_file || self.folders.contains(name.as_str()) {
            return false;
        }
        self.folders.extend(name.folders().map(str::to_owned));
        self.files.insert(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_grammar_are_refused_each_for_its_reason() {
        use NameFault::*;
        for (path, fault) in [
            ("data/../x", Character),
            ("/data/x", EmptyComponent),
            ("data//x", EmptyComponent),
            ("data/x/", EmptyComponent),
            ("", EmptyComponent),
            ("data/X", Character),
            ("data/.hidden", Character),
            ("data/-rf", Character),
            ("data/a\\b", Character),
            ("data/a:b", Character),
            ("data/a\0", Character),
            ("data/ä", Character),
            ("data/a.", TrailingDot),
            ("data/nul", Device),
            ("data/con.txt", Device),
            ("data/com1.tar.gz", Device),
            ("data/lpt0", Device),
        ] {
            assert_eq!(MemberName::new(path), Err(fault), "{path:?}");
        }
        assert_eq!(MemberName::new(&"a".repeat(93)), Err(Long));
        for path in ["data/console", "data/com10", "data/lpt", "data/0001.pcap", "a-b_c.d"] {
            assert!(MemberName::new(path).is_ok(), "{path}");
        }
        assert!(MemberName::new(&"a".repeat(92)).is_ok());
    }

    #[test]
    fn a_file_cannot_be_a_folder_too_in_either_order() {
        let name = |path| MemberName::new(path).unwrap();
        let mut tree = Tree::default();
        assert!(tree.add(&name("data/a")));
        assert!(tree.add(&name("data/a-b")));
        assert!(!tree.add(&name("data/a/b")));
        assert!(!tree.add(&name("data")));
        assert!(!tree.add(&name("data/a")));
    }
}
