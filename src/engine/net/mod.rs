//! Ethernet to TCP and UDP: packets sorted into flows, streams put together with gaps and overlaps.
pub mod stream;
