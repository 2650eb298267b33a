//! placeholder until the scenario branch lands
use clap::Args;
use super::{Failure, Terminal};
#[derive(Args)]
pub(crate) struct Arguments {}
pub(crate) fn run(_: &Arguments, _: &mut Terminal) -> Result<u8, Failure> { Err(Failure::new("not yet")) }
