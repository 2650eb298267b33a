//! Payloads peeled recursively into leaves, each with its steps.
pub mod sink;
