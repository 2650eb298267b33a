//! The road from a case to findings.

pub mod codec;
pub mod correlate;
pub mod decode;
pub mod ledger;
pub mod net;
pub mod proto;
pub mod timeline;
pub mod verdict;
