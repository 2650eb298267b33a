//! pcap, pcapng, gz; frames by reference.
use crate::evidence::Blob;
use std::sync::Arc;
/// One capture.
pub struct Capture {
    /// Logical path.
    pub name: String,
    /// The file as it stands.
    pub file: Arc<dyn Blob>,
    /// Its uncompressed bytes.
    pub bytes: Arc<dyn Blob>,
}
