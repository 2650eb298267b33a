//! Ethernet to TCP and UDP: packets sorted into flows, streams put together with gaps and overlaps.
//!
//! [`index`] walks a capture once and gives an [`Index`]: its flows, and for each payload a reference of
//! forty bytes instead of the payload. [`Index::stream`] puts one direction of one flow together from
//! those references; its bytes are read when they are asked for. Odd traffic is counted and named, never
//! an error. What a flow's bytes mean is not known here.

mod anomalies;
mod dhcp;
pub mod flow;
mod fragments;
mod groups;
mod index;
mod link;
mod near;
mod packet;
mod pass;
pub mod phone;
mod reassembly;
mod receivers;
mod segments;
pub mod stream;
mod tunnel;

pub use flow::{Flow, FlowId, Side};
pub use groups::Groups;
pub use index::{Index, MacAddr, MacBinding, index};
pub use receivers::{Checksum, Policy, Receivers, Version};
