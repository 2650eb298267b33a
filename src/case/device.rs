//! What was on the phone.
use crate::evidence::Blob;
use std::sync::Arc;
/// One file of the phone.
pub struct DeviceFile {
    /// Logical path (the one findings use).
    pub path: String,
    /// Its bytes.
    pub blob: Arc<dyn Blob>,
}
/// What was on the phone in one or more runs.
pub struct Device {
    /// Files sorted by path.
    pub files: Vec<DeviceFile>,
}
