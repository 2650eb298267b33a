//! All inputs: the plan, the record, captures, device files and the address table, by logical path.
//!
//! [`Case::open`] reads a folder and refuses half a case; the engine then takes the whole.

use std::{collections::BTreeMap, sync::Arc};

use crate::evidence::{Blob, Digest};

pub mod capture;
pub mod device;
pub mod folder;
pub mod geoip;
mod open;
pub mod outlook;
pub mod scenario;

pub use open::{CaseError, Draft, Parts, RECORD};

/// Everything that goes in.
pub struct Case {
    /// What was to be done and what is claimed.
    pub plan: scenario::plan::Plan,
    /// What happened, in the order of the record.
    pub runs: Vec<scenario::plan::Run>,
    /// Lines of the record and the digest at the end of their chain.
    pub custody: (u64, Option<Digest>),
    /// The first line of the record whose link to the line before does not fit; none when the chain holds.
    pub chain_broken_at: Option<u64>,
    /// Captures by logical path, each once.
    pub captures: BTreeMap<String, capture::Capture>,
    /// Device folders by logical path, as runs name them.
    pub devices: BTreeMap<String, device::Device>,
    /// What terms declare that may be sent, by the schema's logical path.
    pub schemas: BTreeMap<String, scenario::schema::Schema>,
    /// Digests of images that the plan declares, by the logical path of the file that holds it.
    pub images: BTreeMap<String, Digest>,
    /// Files that the lab sent itself beside the phone, by logical path.
    pub spiked: BTreeMap<String, Arc<dyn Blob>>,
    /// The address table.
    pub addresses: geoip::Table,
    /// Every input by logical path: what a bundle holds.
    pub inputs: BTreeMap<String, Input>,
}

/// One input.
#[derive(Clone)]
pub struct Input {
    /// What it is for.
    pub role: InputRole,
    /// Its bytes.
    pub blob: Arc<dyn Blob>,
}

/// What an input is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputRole {
    /// The plan, and files that it or the record names beside those below.
    Scenario,
    /// What happened.
    Record,
    /// Captured traffic.
    Capture,
    /// Session keys.
    Keys,
    /// A file of the phone.
    Device,
}
