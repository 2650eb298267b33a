//! A bundle as a folder of inputs: the same logical paths as on the disk where the case was run.

use std::{collections::BTreeMap, io, sync::Arc};

use crate::{
    case::folder::Folder,
    evidence::{Blob, BlobSlice, ByteRange},
};

/// The inputs of one bundle.
pub struct BundleFolder {
    pub(super) spool: Arc<dyn Blob>,
    pub(super) inputs: BTreeMap<String, ByteRange>,
    pub(super) folders: Vec<String>,
}

impl Folder for BundleFolder {
    fn open(&self, path: &str) -> io::Result<Arc<dyn Blob>> {
        let range = self.inputs.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(BlobSlice::new(Arc::clone(&self.spool), *range)))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let path = path.trim_end_matches('/');
        if path == "." {
            return Ok(self.inputs.keys().cloned().collect());
        }
        let below = format!("{path}/");
        let is_listed = |name: &&String| *name == path || name.starts_with(&below);
        let paths: Vec<String> = self.inputs.keys().filter(is_listed).cloned().collect();
        let is_folder = self.folders.iter().any(|folder| folder.trim_end_matches('/') == path);
        if paths.is_empty() && !is_folder { Err(io::ErrorKind::NotFound.into()) } else { Ok(paths) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_opens_as_a_disk_does() {
        let inputs = [("DCIM/1.jpg", 0, 3), ("DCIM/2.jpg", 3, 5), ("DCIM2/1.jpg", 0, 1), ("a.pcap", 5, 6)];
        let folder = BundleFolder {
            spool: Arc::new(b"abcdef".to_vec()),
            inputs: inputs.map(|(path, from, to)| (path.to_owned(), ByteRange::new(from, to))).into(),
            folders: vec!["empty/".into()],
        };
        assert_eq!(folder.list("DCIM/").unwrap(), ["DCIM/1.jpg", "DCIM/2.jpg"]);
        assert_eq!(folder.list("a.pcap").unwrap(), ["a.pcap"]);
        assert_eq!(folder.list("empty").unwrap(), [""; 0]);
        assert_eq!(folder.list(".").unwrap().len(), 4);
        assert_eq!(folder.list("absent").unwrap_err().kind(), io::ErrorKind::NotFound);
        let mut bytes = [0; 9];
        let read = folder.open("DCIM/2.jpg").unwrap().read_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes[..read], b"de");
        assert!(folder.open("DCIM").is_err());
    }
}
