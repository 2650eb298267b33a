//! Sealed bundles: archive, seal, keys, trust, verification. `docs/bundle-format.md` is the contract.
//!
//! A case with its findings goes in and one file comes out ([`seal()`]); a file goes in and an
//! [`Unverified`] bundle comes out ([`open()`]), whose documents make a [`Bundle`]; [`verify()`] says what
//! of it holds. Nothing here asks the clock, the environment or a terminal: epoch, keys and paths are
//! arguments, and the engine is handed to `verify` as a function.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use exhibit::{
//!     bundle::{self, Outcome, VerifyOptions, trust::Signer},
//!     evidence::Scratch,
//! };
//!
//! let signer = Signer::fingerprint("06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9")?;
//! let options = VerifyOptions { signers: &[signer], ..VerifyOptions::default() };
//! let file = std::fs::File::open("tests/bundles/minimal_ok.tar.gz")?;
//! let verification = bundle::verify(file, &Scratch::new(std::env::temp_dir()), &options)?;
//! // Integrity and signature hold; the analysis was not run again, so it holds in part.
//! assert_eq!(verification.outcome(), Outcome::HoldsInPart);
//! # Ok(())
//! # }
//! ```

pub mod archive;
mod bag;
mod contents;
pub mod dsse;
mod folder;
pub mod howto;
pub mod json;
pub mod key;
pub mod layout;
pub mod manifest;
pub mod name;
mod open;
mod seal;
pub mod statement;
pub mod trust;
mod verify;

pub use archive::{
    reader::{Fault, OpenError},
    writer::WriteError,
};
pub use bag::Bag;
pub use contents::Bundle;
pub use folder::BundleFolder;
pub use open::{OpenLimits, Unverified, open};
pub use seal::{Reports, SealError, SealOptions, Sealed, seal, seal_inputs, seal_payload};
pub use verify::{
    Check, CheckState, Outcome, Render, Rerun, RerunError, Verification, VerifyError, VerifyOptions, verify,
};

/// The format's name. Until the commitment for redaction exists it stays 0.
pub const FORMAT: &str = "exhibit/0";
