//! The plan and the record: YAML to phases, actions and claims.
pub mod plan;
