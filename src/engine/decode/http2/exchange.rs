//! What is known of each stream of a connection.

use std::{collections::BTreeMap, rc::Rc};

use crate::{
    engine::proto::http1::{self, Role},
    evidence::{ByteRange, Direction},
};

use super::super::{content::Declared, sink::TransactionId, upgrade::Upgrade};

/// Streams that are remembered of one connection: some 50 MiB of them. Servers close a connection after a
/// thousand requests or so.
const MAX_EXCHANGES: usize = 1 << 18;

/// Frames of DATA that are remembered of one direction: 64 MiB of them, for 64 GiB in frames of the usual 16 KiB.
const MAX_CONTENT: usize = 1 << 22;

/// A value that is remembered of a head. A boundary has at most 70 characters (RFC 2046 section 5.1.1).
const MAX_VALUE: usize = 1 << 10;

/// Content codings that are remembered of a head; more than two are a joke.
const MAX_CODINGS: usize = 8;

/// What a head says about what follows it. Values are shared with the table of the compression.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) method: Option<Rc<[u8]>>,
    pub(super) path: Option<Rc<[u8]>>,
    pub(super) authority: Option<Rc<[u8]>>,
    /// Of an extended CONNECT (RFC 8441).
    pub(super) protocol: Option<Rc<[u8]>>,
    pub(super) status: Option<u16>,
    pub(super) media: Option<Rc<[u8]>>,
    /// Sec-WebSocket-Extensions.
    extensions: Option<Rc<[u8]>>,
    codings: Vec<Rc<[u8]>>,
    lengths: Vec<Rc<[u8]>>,
}

impl Facts {
    /// Takes a field.
    pub(super) fn take(&mut self, name: &[u8], value: &Rc<[u8]>) {
        if value.len() > MAX_VALUE && name != b":path" {
            return;
        }
        let place = match name {
            b":method" => &mut self.method,
            b":path" => &mut self.path,
            b":authority" => &mut self.authority,
            b":protocol" => &mut self.protocol,
            b"content-type" => &mut self.media,
            b"sec-websocket-extensions" => &mut self.extensions,
            b":status" => {
                self.status = str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                return;
            }
            b"content-encoding" | b"content-length" => {
                let list = if name == b"content-length" { &mut self.lengths } else { &mut self.codings };
                if list.len() < MAX_CODINGS {
                    list.push(value.clone());
                }
                return;
            }
            _ => return,
        };
        place.get_or_insert_with(|| value.clone());
    }

    /// What is declared about the content.
    pub(super) fn declared(&self) -> Declared {
        Declared {
            codings: http1::tokens(self.codings.iter().map(|value| &**value)),
            media: self.media.as_ref().map(|media| String::from_utf8_lossy(media).into_owned()),
            ..Declared::default()
        }
    }

    /// The length that is announced.
    pub(super) fn length(&self) -> Option<u64> {
        http1::content_length(self.lengths.iter().map(|value| &**value)).ok().flatten()
    }

    pub(super) fn is_connect(&self) -> bool {
        self.method.as_deref() == Some(b"CONNECT")
    }
}

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
    /// After how many losses of frames its head came.
    pub(super) since: Option<u32>,
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

    /// Whether the stream is a tunnel: a CONNECT that was not refused.
    pub(super) fn is_tunnel(&self) -> bool {
        let asked = self.client.head.as_ref().is_some_and(Facts::is_connect);
        let status = self.server.head.as_ref().and_then(|head| head.status);
        asked && status.is_none_or(|status| (200..300).contains(&status))
    }
}

impl Exchange {
    /// What an extended CONNECT leads to (RFC 8441 section 4).
    pub(super) fn upgrade(&self, request: TransactionId, client: Direction) -> Option<Upgrade> {
        let asked = self.client.head.as_ref()?;
        let protocol = String::from_utf8_lossy(asked.protocol.as_deref()?).to_ascii_lowercase();
        let answer = self.server.head.as_ref().unwrap_or(asked);
        let extensions = answer.extensions.as_deref().unwrap_or_default().to_vec();
        Some(Upgrade { protocol, request, client, extensions, settings: Vec::new() })
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
