//! exhibit

pub mod bundle;
pub mod case;
pub mod engine;
pub mod evidence;
pub mod findings;
pub mod lab;
pub mod report;
