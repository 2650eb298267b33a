//! What was on the phone: the files below a folder that a run names.
//!
//! Enters a folder by its logical path; leaves [`Device`], files sorted by path with the kind that their
//! content shows, and the records (messages, numbers, names, packages) that some of them hold. Digests are not made here: the
//! engine reads each file once and makes them then.

use std::{io, sync::Arc};

use crate::{case::folder::Folder, evidence::Blob};

mod binary_xml;
mod exif;
mod packages;
mod records;
pub mod sqlite;

pub use records::{MAX_RECORDS, Record, RecordKind, Records};

/// Bytes read from a file's start to tell what it is.
const HEAD: usize = 64;
/// A Git LFS pointer is a short text (its specification asks for less than 1024 bytes).
const MAX_POINTER: u64 = 1024;
/// How each pointer begins (git-lfs, docs/spec.md).
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// What a file is, told by its content and never by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// It begins like JPEG, PNG, GIF, WebP, HEIC or AVIF.
    Photo,
    /// Anything else, also when its name ends like an image's.
    File,
}

impl FileKind {
    /// The kind as findings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::File => "file",
        }
    }

    /// Tells the kind from a file's first bytes.
    pub fn of(head: &[u8]) -> Self {
        let starts = |magic: &[u8]| head.starts_with(magic);
        let at = |from: usize, magic: &[u8]| head.get(from..).is_some_and(|rest| rest.starts_with(magic));
        let photo = starts(b"\xff\xd8\xff")
            || starts(b"\x89PNG\r\n\x1a\n")
            || starts(b"GIF87a")
            || starts(b"GIF89a")
            || (starts(b"RIFF") && at(8, b"WEBP"))
            || (at(4, b"ftyp") && IMAGE_BRANDS.iter().any(|brand| at(8, *brand)));
        if photo { Self::Photo } else { Self::File }
    }
}

/// Major brands of still images in ISO base media files (ISO/IEC 23008-12 annex B, AVIF 1.1 section 8).
const IMAGE_BRANDS: [&[u8; 4]; 8] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif"];

/// Endings of names that promise an image.
const IMAGE_ENDINGS: [&str; 10] =
    [".jpg", ".jpeg", ".jpe", ".png", ".gif", ".webp", ".heic", ".heif", ".hif", ".avif"];

/// One file of the phone.
#[derive(Clone)]
pub struct DeviceFile {
    /// Logical path (the one findings use).
    pub path: String,
    /// Its bytes.
    pub blob: Arc<dyn Blob>,
    /// What its content shows.
    pub kind: FileKind,
}

impl DeviceFile {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// What the medium says; `InvalidData` for a Git LFS pointer.
    pub fn new(path: String, blob: Arc<dyn Blob>) -> io::Result<Self> {
        let mut head = [0; HEAD];
        let mut filled = 0;
        while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match blob.read_at(rest, filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        let head = head.get(..filled).unwrap_or_default();
        if blob.len() < MAX_POINTER && head.starts_with(POINTER) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{path} is a Git LFS pointer, not the file itself (git lfs pull fetches it)"),
            ));
        }
        Ok(Self { kind: FileKind::of(head), path, blob })
    }

    /// Whether the name promises an image that the content does not show; worth a line to the user, since
    /// such a file counts as a file and not as a photo.
    pub fn only_named_as_photo(&self) -> bool {
        let path = self.path.to_ascii_lowercase();
        self.kind == FileKind::File && IMAGE_ENDINGS.iter().any(|ending| path.ends_with(ending))
    }
}

/// What was on the phone in one or more runs.
pub struct Device {
    /// Files sorted by path.
    pub files: Vec<DeviceFile>,
}

impl Device {
    /// Reads the messages, calls and contacts that its files hold.
    pub fn records(&self) -> Records {
        let mut records = Records::default();
        let beside = |path: &str| {
            let place = self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()?;
            self.files.get(place).map(|file| Arc::clone(&file.blob))
        };
        for file in &self.files {
            records.read(&file.path, &file.blob, &beside);
        }
        records
    }

    /// Opens every file at or below a logical path.
    ///
    /// # Errors
    /// What the folder says, with the file's path in the text; `InvalidData` for a Git LFS pointer.
    pub fn open(folder: &dyn Folder, path: &str) -> io::Result<Self> {
        let files = folder.list(path)?.into_iter().map(|path| {
            let blob = folder
                .open(&path)
                .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
            DeviceFile::new(path, blob)
        });
        Ok(Self { files: files.collect::<io::Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::case::folder::Disk;

    #[test]
    fn kind_follows_content_and_not_the_name() {
        let kind = |path: &str, bytes: &[u8]| {
            let file = DeviceFile::new(path.to_owned(), Arc::new(bytes.to_vec())).unwrap();
            (file.kind, file.only_named_as_photo())
        };
        assert_eq!(kind("a.bin", b"\xff\xd8\xff\xe1rest"), (FileKind::Photo, false));
        assert_eq!(kind("a.heic", b"\0\0\0\x18ftypheic\0\0"), (FileKind::Photo, false));
        assert_eq!(kind("a.webp", b"RIFF\0\0\0\0WEBPVP8 "), (FileKind::Photo, false));
        assert_eq!(kind("A.JPG", b"not an image"), (FileKind::File, true));
        assert_eq!(kind("a.mp4", b"\0\0\0\x18ftypisom\0\0"), (FileKind::File, false));
        assert_eq!(kind("empty.png", b""), (FileKind::File, true));
    }

    #[test]
    fn a_folder_is_opened_sorted_and_below() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("phone/b")).unwrap();
        fs::write(root.path().join("phone/z.txt"), "z").unwrap();
        fs::write(root.path().join("phone/b/a.gif"), "GIF89a").unwrap();
        let device = Device::open(&Disk::new(root.path()), "phone").unwrap();
        let files: Vec<_> = device.files.iter().map(|file| (file.path.as_str(), file.kind)).collect();
        assert_eq!(files, [("phone/b/a.gif", FileKind::Photo), ("phone/z.txt", FileKind::File)]);
    }

    #[test]
    fn an_lfs_pointer_is_named() {
        let root = tempfile::tempdir().unwrap();
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
        fs::write(root.path().join("IMG.jpg"), pointer).unwrap();
        let error = Device::open(&Disk::new(root.path()), "IMG.jpg").err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("IMG.jpg is a Git LFS pointer"), "{error}");
    }
}
