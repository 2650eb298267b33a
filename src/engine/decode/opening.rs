//! The first bytes of both directions, by which protocols are told apart.

use crate::{
    engine::net::stream::{Chunk, Stream},
    evidence::{Direction, ReadError},
};

/// Bytes of each direction that are looked at: a greeting, or the head of an XML stream.
const LOOKED_AT: usize = 2 << 10;

/// How a direction begins.
#[derive(Debug)]
pub(super) struct Opening {
    /// The first bytes, as far as they are looked at and no gap comes.
    pub(super) bytes: Vec<u8>,
    /// Whether they are the stream's first.
    pub(super) from_start: bool,
    /// Whether bytes before them are known to be missing.
    pub(super) after_gap: bool,
}

impl Opening {
    pub(super) fn of(stream: &Stream) -> Result<Self, ReadError> {
        let mut bytes = Vec::new();
        let mut reader = stream.reader();
        let mut after_gap = false;
        while bytes.len() < LOOKED_AT {
            match reader.next_chunk()? {
                Some(Chunk::Bytes { data, .. }) => bytes.extend_from_slice(data),
                Some(Chunk::Gap(_)) if bytes.is_empty() => after_gap = true,
                _ => break,
            }
        }
        bytes.truncate(LOOKED_AT);
        Ok(Self { bytes, from_start: stream.from_start && !after_gap, after_gap })
    }

    /// Tests the bytes from the first one that was sent, as far as that is known: those that are looked at, then more of them
    /// until there are enough. `None` where there never are.
    pub(super) fn test<T>(
        &self,
        stream: &Stream,
        test: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, ReadError> {
        if self.after_gap || self.bytes.is_empty() {
            return Ok(None);
        }
        if let Some(verdict) = test(&self.bytes) {
            return Ok(Some(verdict));
        }
        let mut held = Vec::new();
        let mut reader = stream.reader();
        while self.bytes.len() >= LOOKED_AT
            && let Some(Chunk::Bytes { data, .. }) = reader.next_chunk()?
        {
            held.extend_from_slice(data);
            if let Some(verdict) = test(&held) {
                return Ok(Some(verdict));
            }
        }
        Ok(None)
    }

    /// The first line, with its end.
    pub(super) fn line(&self) -> Option<&[u8]> {
        let end = memchr::memchr(b'\n', &self.bytes)?;
        self.bytes.get(..=end)
    }
}

/// How both directions begin.
#[derive(Debug)]
pub(super) struct Openings {
    pub(super) up: Opening,
    pub(super) down: Opening,
}

impl Openings {
    /// One direction.
    pub(super) fn side(&self, direction: Direction) -> &Opening {
        self.sides(direction).0
    }

    /// One direction and the other one.
    pub(super) fn sides(&self, client: Direction) -> (&Opening, &Opening) {
        match client {
            Direction::Up => (&self.up, &self.down),
            Direction::Down => (&self.down, &self.up),
        }
    }

    /// The direction of the client, if `is_client` says so of either.
    pub(super) fn client(&self, is_client: impl Fn(&Opening, &Opening) -> bool) -> Option<Direction> {
        [Direction::Up, Direction::Down].into_iter().find(|&direction| {
            let (client, server) = self.sides(direction);
            is_client(client, server)
        })
    }
}
