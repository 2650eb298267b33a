//! Leaves matched with artifacts: whole files, parts of files, altered copies of photos, identifiers.
//!
//! Enter the device's files and the phone's identifiers ([`Catalog`]) and, conversation by conversation,
//! the leaves that decoding gives ([`Collector`]); leave [`Hit`]s, sorted, each with the place in the
//! artifact, in the leaf and in the stream. The road: a catalogue is built, each conversation's collector
//! gives a [`Harvest`], [`across`] puts together what went over several of them, [`conclude`] looks for parts of files in what was no whole file and weighs every hit.
//!
//! This room doesn't know phases, endpoints or verdicts. It says how likely a hit is by chance and which of
//! its bytes carry weight; what follows from that is decided above.

mod across;
mod anchor;
mod catalog;
mod chance;
mod collector;
mod conclude;
mod filter;
mod group;
mod hit;
mod known;
mod lists;
mod meet;
mod needles;
mod origin;
mod partial;
mod pictures;
mod shuffle;
mod spool;
mod tokens;
mod weight;

pub use across::{Across, across};
pub use catalog::{Catalog, Content, ContentId, Name};
pub use chance::Chance;
pub use collector::{Closed, Collector, Harvest};
pub use conclude::{Outcome, conclude};
pub use group::{Group, unite};
pub use hit::{Artifact, Caveat, FlowRef, Hit, Leaf};
pub use needles::{Form, Hash, Value, ValueId, Written};
pub use spool::Spool;
