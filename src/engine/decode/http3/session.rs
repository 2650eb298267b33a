//! What is known of a connection from flow to flow.

use std::collections::BTreeMap;

use crate::engine::{
    decode::facts::Room,
    proto::{
        http3::{Parser, Purpose},
        qpack::Table,
        quic::{ByRole, Role},
    },
};

use super::side::Half;

/// Streams of one connection that are kept to go on in another flow. An end allows some hundred at once.
const MAX_KEPT: usize = 4_096;

/// What a stream is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Request,
    Control,
    /// With the number of the push.
    Push(u64),
    Encoder,
    Decoder,
    /// What extensions and reserved types are for.
    Other,
}

impl From<Purpose> for Reading {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Control => Self::Control,
            Purpose::Push => Self::Push(0),
            Purpose::Encoder => Self::Encoder,
            Purpose::Decoder => Self::Decoder,
            Purpose::Other(_) => Self::Other,
        }
    }
}

/// One direction of a stream, as far as it was read.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) reading: Reading,
    pub(super) parser: Parser,
    /// How far it came in earlier flows.
    pub(super) seen: u64,
    pub(super) half: Half,
}

impl Kept {
    /// Begins with the frame or instruction that starts at `at`.
    pub(super) fn new(reading: Reading, at: u64) -> Self {
        Self { reading, parser: Parser::new(at), seen: 0, half: Half::default() }
    }
}

/// What one connection keeps.
#[derive(Debug, Default)]
pub(in crate::engine::decode) struct Session {
    /// What each end put into its table.
    pub(super) tables: ByRole<Table>,
    /// How large a table each end allows the other one, where its settings were captured.
    pub(super) capacities: ByRole<Option<u64>>,
    pub(super) rooms: ByRole<Room>,
    /// Frames of DATA of all streams.
    pub(super) frames: usize,
    kept: BTreeMap<(u64, Role), Kept>,
}

impl Session {
    /// What a stream was read as in earlier flows.
    pub(super) fn reading(&self, id: u64, sender: Role) -> Option<Reading> {
        self.kept.get(&(id, sender)).map(|kept| kept.reading)
    }

    /// Goes on with a stream.
    pub(super) fn take(&mut self, id: u64, sender: Role) -> Option<Kept> {
        self.kept.remove(&(id, sender))
    }

    /// Keeps a stream to go on with.
    pub(super) fn keep(&mut self, id: u64, sender: Role, kept: Kept) {
        if self.kept.len() < MAX_KEPT {
            self.kept.insert((id, sender), kept);
        }
    }
}
