//! Names that stand in clear: DNS and TLS hellos.

use crate::evidence::{Limits, ReadError};

use super::{Conversation, sink::Sink};

pub(super) fn dns(_: &Conversation<'_>, _: &Limits, _: &mut dyn Sink) -> Result<bool, ReadError> {
    Ok(false)
}

pub(super) fn is_tls(_: &Conversation<'_>) -> Result<bool, ReadError> {
    Ok(false)
}

pub(super) fn tls(_: &Conversation<'_>, _: &Limits, _: &mut dyn Sink) -> Result<(), ReadError> {
    Ok(())
}
