//! The road from a case to findings: `analyze`, and shorter walks on it.
//!
//! A [`crate::case::Case`] enters, a [`crate::findings::Analysis`] leaves. Nothing here asks for the time, the
//! environment or a file by name.

mod analyze;
mod answers;
mod assemble;
pub mod codec;
mod copies;
pub mod correlate;
mod declared;
pub mod decode;
mod decoys;
mod endpoints;
pub mod extract;
mod hidden;
mod inspect;
mod keys;
pub mod ledger;
mod located;
pub mod net;
mod observe;
pub mod proto;
mod provenance;
mod spikes;
pub mod statistics;
mod subject;
pub mod timeline;
mod unasked;
pub mod verdict;
mod volume;
pub mod witness;

pub use analyze::{AnalysisError, analyze};
pub use inspect::inspect;
pub use subject::AmbiguousPhone;
