//! Sealed bundles: archive, seal, keys, trust, verification. `docs/bundle-format.md` is the contract.
//!
//! A case with its findings goes in and one file comes out ([`seal()`]); a file goes in and an
//! [`Unverified`] bundle comes out ([`open()`]), which only [`verify`] turns into something believed.
//! Nothing here asks the clock, the environment or a terminal: epoch, keys and paths are arguments.

pub mod archive;
pub mod dsse;
pub mod json;
pub mod key;
pub mod manifest;
pub mod name;
mod open;

pub use archive::reader::{Fault, OpenError};
pub use open::{OpenLimits, Unverified, open};

/// The format's name. Until the commitment for redaction exists it stays 0.
pub const FORMAT: &str = "exhibit/0";
