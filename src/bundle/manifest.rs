//! The tag files of BagIt 1.0 (RFC 8493), each with exactly one spelling.

use std::collections::BTreeMap;

use super::name::MemberName;
use crate::evidence::{Digest, Timestamp};

/// `bagit.txt`, the first member.
pub const BAGIT: &str = "bagit.txt";
/// What it holds (RFC 8493 section 2.1.1).
pub const BAGIT_TEXT: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
/// `bag-info.txt`, the second.
pub const BAG_INFO: &str = "bag-info.txt";
/// The digests of all files below `data/`, the third.
pub const MANIFEST: &str = "manifest-sha256.txt";
/// The digests of the three above, the fourth; its own digest is the bundle's id.
pub const TAG_MANIFEST: &str = "tagmanifest-sha256.txt";

/// How large the payload is (RFC 8493 section 2.2.2, `Payload-Oxum`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oxum {
    /// Bytes of all files below `data/`.
    pub bytes: u64,
    /// Files.
    pub files: u64,
}

/// Writes `bag-info.txt`.
pub fn bag_info(epoch: u64, oxum: Oxum) -> String {
    let date = Timestamp(epoch.saturating_mul(1_000_000_000)).to_string();
    let date = date.split('T').next().unwrap_or_default();
    format!(
        "Bagging-Date: {date}\nExternal-Description: {} evidence bundle\nPayload-Oxum: {}.{}\n",
        super::FORMAT,
        oxum.bytes,
        oxum.files
    )
}

/// Reads `bag-info.txt` by writing it again.
pub fn read_bag_info(text: &[u8], epoch: u64) -> Option<Oxum> {
    let line = str::from_utf8(text).ok()?.lines().last()?;
    let (bytes, files) = line.strip_prefix("Payload-Oxum: ")?.split_once('.')?;
    let oxum = Oxum { bytes: bytes.parse().ok()?, files: files.parse().ok()? };
    (bag_info(epoch, oxum).as_bytes() == text).then_some(oxum)
}

/// Digests by name, sorted by the bytes of the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest(pub BTreeMap<MemberName, Digest>);

impl Manifest {
    /// Writes one line a file, as `sha256sum -c` reads it.
    pub fn text(&self) -> String {
        self.0.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect()
    }

    /// Reads what [`Manifest::text`] writes: names strictly increasing, all below `data/`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(text: &[u8]) -> Result<Self, &'static str> {
        let text = str::from_utf8(text).map_err(|_| "not UTF-8")?;
        let mut digests = BTreeMap::new();
        for line in text.split_inclusive('\n') {
            let line = line.strip_suffix('\n').ok_or("the last line does not end")?;
            let (digest, name) = line.split_once("  ").ok_or("a line is not a digest and a name")?;
            let digest = digest.parse().map_err(|_| "a digest is not 64 lower-case hex digits")?;
            let name = MemberName::new(name).map_err(|_| "a name is not allowed")?;
            if !name.as_str().starts_with("data/") {
                return Err("a name is not below data/");
            }
            if digests.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err("names are not sorted, each once");
            }
            digests.insert(name, digest);
        }
        Ok(Self(digests))
    }
}

/// Writes `tagmanifest-sha256.txt`.
pub fn tag_manifest(bag_info: &[u8], manifest: &[u8]) -> String {
    format!(
        "{}  {BAG_INFO}\n{}  {BAGIT}\n{}  {MANIFEST}\n",
        Digest::of(bag_info),
        Digest::of(BAGIT_TEXT.as_bytes()),
        Digest::of(manifest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bag_info_has_one_spelling() {
        let oxum = Oxum { bytes: 279_164_409_832, files: 1198 };
        let text = bag_info(1_795_168_805, oxum);
        assert_eq!(
            text,
            "Bagging-Date: 2026-11-20\nExternal-Description: exhibit/0 evidence bundle\nPayload-Oxum: 279164409832.1198\n"
        );
        assert_eq!(read_bag_info(text.as_bytes(), 1_795_168_805), Some(oxum));
        for (from, to) in
            [("2026-11-20", "2026-11-21"), ("oad-Ox", "oad-ox"), ("1198\n", "1198"), (".1198", ".01198")]
        {
            assert_eq!(read_bag_info(text.replace(from, to).as_bytes(), 1_795_168_805), None, "{to}");
        }
    }

    #[test]
    fn a_manifest_has_one_spelling() {
        let digest = Digest::of(b"").to_string();
        let good = format!("{digest}  data/a\n{digest}  data/b\n");
        assert_eq!(Manifest::read(good.as_bytes()).unwrap().text(), good);
        for bad in [
            format!("{digest}  data/b\n{digest}  data/a\n"),
            format!("{digest}  data/a\n{digest}  data/a\n"),
            format!("{digest}  data/a"),
            format!("{digest} *data/a\n"),
            format!("{}  data/a\n", digest.to_uppercase()),
            format!("{digest}  data/a\r\n"),
            format!("{digest}  bagit.txt\n"),
            format!("{digest}  data/../a\n"),
            format!("{digest}  data/a\n\n"),
        ] {
            assert!(Manifest::read(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
