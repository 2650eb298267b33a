//! QUIC version 1 (RFC 9000, RFC 9001), version 2 (RFC 9369) and the drafts 29 to 34 that came before.
//!
//! A [`Connection`] takes packets one after the other, in the order of capture and from both ends, and opens those
//! that it has keys for: Initial packets always (their keys are public), the others with a key log. Its frames are
//! told by [`frame::Frames`], and [`stream::assemble`] puts pieces of a stream together. Where bytes stand in the
//! capture, and what a stream means, is for `decode`.

mod connection;
mod cursor;
mod handshake;
mod keys;
mod number;
mod version;

pub mod frame;
pub mod packet;
pub mod stream;

#[cfg(test)]
mod tests;

pub use connection::{Connection, Facts, Missing, Opened, Opening, Prescribed};
pub use cursor::Cursor;
pub use handshake::{Hello, Parameters};
pub use keys::{Keys, Suite, retry_is_genuine};
pub use version::Version;

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Who opened it.
    Client,
    /// The other end.
    Server,
}

impl Role {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Something of each end.
#[derive(Clone, Debug, Default)]
pub struct ByRole<T> {
    /// The client's.
    pub client: T,
    /// The server's.
    pub server: T,
}

impl<T> ByRole<T> {
    /// That of one end.
    pub fn get(&self, role: Role) -> &T {
        match role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        }
    }

    /// That of one end, to be changed.
    pub fn get_mut(&mut self, role: Role) -> &mut T {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }
}

/// Packets that are numbered together (RFC 9000 section 12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Initial packets.
    Initial,
    /// Handshake packets.
    Handshake,
    /// 0-RTT and 1-RTT packets.
    Application,
}

/// Something of each space.
#[derive(Clone, Debug, Default)]
pub(crate) struct BySpace<T> {
    initial: T,
    handshake: T,
    application: T,
}

impl<T> BySpace<T> {
    pub(crate) fn get_mut(&mut self, space: Space) -> &mut T {
        match space {
            Space::Initial => &mut self.initial,
            Space::Handshake => &mut self.handshake,
            Space::Application => &mut self.application,
        }
    }

    pub(crate) fn get(&self, space: Space) -> &T {
        match space {
            Space::Initial => &self.initial,
            Space::Handshake => &self.handshake,
            Space::Application => &self.application,
        }
    }
}
