//! What is known of each stream of a connection.

use std::collections::BTreeMap;

use crate::{
    engine::proto::http1::Role,
    evidence::{ByteRange, Direction},
};

use super::super::{
    facts::{self, Facts},
    heads::Length,
    parts::Name,
    sink::TransactionId,
    upgrade::Upgrade,
};

/// Streams that are remembered of one connection: some 50 MiB of them. Servers close a connection after a
/// thousand requests or so.
const MAX_EXCHANGES: usize = 1 << 18;

/// Frames of DATA that are remembered of one direction: 64 MiB of them, for 64 GiB in frames of the usual 16 KiB.
const MAX_CONTENT: usize = 1 << 22;

/// How one side of a stream ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// Not that we know.
    #[default]
    Open,
    /// With END_STREAM.
    Complete,
    /// With RST_STREAM, of either side.
    Reset,
    /// With END_STREAM, but frames were lost before it, which may have been its own.
    Torn,
}

/// What one side sent on a stream.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Its head, but for interim ones.
    pub(super) head: Option<Facts>,
    /// What its content may be a part of.
    pub(super) name: Option<Name>,
    /// After how many losses of frames its head came.
    pub(super) since: Option<u32>,
    /// The Content-Length of its head.
    pub(super) length: Option<Length>,
    /// Where its content stands.
    pub(super) content: Vec<ByteRange>,
    /// The same after frames were lost: how much is missing before it is not known.
    pub(super) late: Vec<ByteRange>,
    pub(super) end: End,
}

impl Half {
    /// Whether frames were lost since its head, of `losses` in all.
    pub(super) fn is_torn(&self, losses: u32) -> bool {
        losses > 0 && self.since != Some(losses)
    }

    /// How it ends with END_STREAM.
    pub(super) fn ends(&self, losses: u32) -> End {
        if self.is_torn(losses) { End::Torn } else { End::Complete }
    }
}

/// A request with its response.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) transaction: Option<TransactionId>,
    client: Half,
    server: Half,
}

impl Exchange {
    pub(super) fn half(&mut self, role: Role) -> &mut Half {
        match role {
            Role::Requests => &mut self.client,
            Role::Responses => &mut self.server,
        }
    }

    /// Whether the stream is a tunnel.
    pub(super) fn is_tunnel(&self) -> bool {
        facts::is_tunnel(self.client.head.as_ref(), self.server.head.as_ref())
    }

    /// What an extended CONNECT leads to.
    pub(super) fn upgrade(&self, request: TransactionId, client: Direction) -> Option<Upgrade> {
        facts::upgrade((self.client.head.as_ref(), self.server.head.as_ref()), request, client)
    }
}

/// A limit stated in this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany(pub(super) &'static str);

/// All streams of a connection.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    pub(super) all: BTreeMap<u32, Exchange>,
    /// The highest stream so far that the client opened, and the server.
    newest: (u32, u32),
    frames: usize,
}

impl Exchanges {
    /// The stream of a number.
    pub(super) fn get(&mut self, stream: u32) -> Result<&mut Exchange, TooMany> {
        if self.all.len() >= MAX_EXCHANGES && !self.all.contains_key(&stream) {
            return Err(TooMany("more than 262144 streams in one connection"));
        }
        let newest = if stream.is_multiple_of(2) { &mut self.newest.1 } else { &mut self.newest.0 };
        *newest = stream.max(*newest);
        Ok(self.all.entry(stream).or_default())
    }

    /// The highest stream so far that the server opened.
    pub(super) fn pushed(&self) -> u32 {
        self.newest.1
    }

    /// A direction begins.
    pub(super) fn begin(&mut self) {
        self.frames = 0;
    }

    /// Content of a stream.
    pub(super) fn content(&mut self, stream: u32, content: ByteRange) -> Result<&mut Exchange, TooMany> {
        self.frames += usize::from(!content.is_empty());
        if self.frames > MAX_CONTENT {
            return Err(TooMany("more than 4194304 frames of DATA in one direction"));
        }
        self.get(stream)
    }

    /// Whether the number of a stream says nothing: it is known, or the next that there is.
    pub(super) fn expects(&self, stream: u32) -> bool {
        let newest = if stream.is_multiple_of(2) { self.newest.1 } else { self.newest.0 };
        stream == 0
            || self.all.contains_key(&stream)
            || (newest < stream && stream <= newest.saturating_add(2))
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn the_next_stream_of_each_side_is_expected_and_a_far_one_is_not() {
        let mut exchanges = Exchanges::default();
        assert!(exchanges.expects(0) && exchanges.expects(1) && exchanges.expects(2));
        assert!(!exchanges.expects(3));
        exchanges.get(5).unwrap();
        assert!(
            exchanges.expects(5) && exchanges.expects(7) && !exchanges.expects(3) && !exchanges.expects(9)
        );
    }

    #[test]
    fn only_a_connect_that_was_not_refused_is_a_tunnel() {
        let mut exchange = Exchange::default();
        let head = |name: &[u8], value: &str| {
            let mut facts = Facts::default();
            facts.take(name, &Rc::from(value.as_bytes()));
            Some(facts)
        };
        assert!(!exchange.is_tunnel());
        exchange.client.head = head(b":method", "CONNECT");
        assert!(exchange.is_tunnel(), "the response was not captured");
        exchange.server.head = head(b":status", "407");
        assert!(!exchange.is_tunnel());
        exchange.server.head = head(b":status", "200");
        assert!(exchange.is_tunnel());
    }
}
