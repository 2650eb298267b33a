//! The connections of one group of flows, and the ids that their packets are told by.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    engine::decode::http3::Session,
    engine::proto::quic::{self, ByRole, Connection, Role, Version, packet::Kind},
    evidence::{ByteRange, Direction, FrameNo},
};

/// Connections of one group of flows: one server's with one phone in a day are some hundreds.
const MAX_CONNECTIONS: usize = 16_384;
/// Connection ids of all connections of a group: ends keep a few each, and replace them when they move.
const MAX_IDS: usize = 262_144;
/// Connections that have the same id; ids are chosen at random, so that more than one is chance or intent.
const MAX_SAME_ID: usize = 4;
/// Tokens of resets of one connection: as many as it may have ids at once (RFC 9000 section 18.2 names no limit;
/// implementations keep 2 to 8).
const MAX_TOKENS: usize = 64;
/// Packets of one connection that wait for keys: 0-RTT before the hello is whole, a flight that comes before its keys.
const MAX_WAITING: usize = 1_024;

/// A packet that waits for keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) direction: Direction,
    /// Where in that direction's stream.
    pub(super) range: ByteRange,
    pub(super) number_at: usize,
    pub(super) sender: Role,
    pub(super) kind: Kind,
    pub(super) version: Version,
}

/// How a connection ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// An end closed it: which, whether the application did, the code, the reason.
    Closed(Role, bool, u64, Vec<u8>),
    /// An end that had lost its state did (RFC 9000 section 10.3).
    Reset(Role),
}

/// A connection with what is known of it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) state: Connection,
    /// The frame that showed it.
    pub(super) frame: FrameNo,
    /// Whether an end has ids without bytes.
    pub(super) nameless: ByRole<bool>,
    /// Tokens that end packets which reset the connection, by who sends them.
    tokens: ByRole<Vec<[u8; 16]>>,
    pub(super) waiting: Vec<Waiting>,
    /// Whether packets that wait were left out.
    pub(super) crowded: bool,
    /// A Version Negotiation packet came: the client begins anew.
    pub(super) refused: bool,
    /// Whether a Retry was followed.
    pub(super) retried: bool,
    pub(super) end: Option<End>,
    /// What came of each stream in earlier flows.
    pub(super) delivered: BTreeMap<(u64, Role), Vec<ByteRange>>,
    /// What HTTP/3 in it goes on with.
    pub(super) http3: Session,
}

impl Known {
    fn new(version: Version, destination: &[u8], frame: FrameNo) -> Self {
        Self {
            state: Connection::new(version, destination),
            frame,
            nameless: ByRole::default(),
            tokens: ByRole::default(),
            waiting: Vec::new(),
            crowded: false,
            refused: false,
            retried: false,
            end: None,
            delivered: BTreeMap::new(),
            http3: Session::default(),
        }
    }

    /// What it is called: the client's first destination id.
    pub(super) fn name(&self) -> String {
        crate::evidence::hex(&self.state.original)
    }

    pub(super) fn wait(&mut self, packet: Waiting) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push(packet);
        } else {
            self.crowded = true;
        }
    }

    pub(super) fn token(&mut self, sender: Role, token: [u8; 16]) {
        let tokens = self.tokens.get_mut(sender);
        if tokens.len() < MAX_TOKENS && !tokens.contains(&token) {
            tokens.push(token);
        }
    }

    /// Whether a packet that does not open is a reset (RFC 9000 section 10.3.1), and whose.
    pub(super) fn is_reset(&self, packet: &[u8]) -> Option<Role> {
        let token = packet.last_chunk::<16>()?;
        Role::BOTH.into_iter().find(|&role| self.tokens.get(role).contains(token))
    }
}

/// A connection's place among those of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) usize);

/// The connections of a group of flows.
#[derive(Debug, Default)]
pub(in crate::engine::decode) struct Connections {
    list: Vec<Known>,
    /// By an id: the connection, and the end that gave the id and that packets with it go to.
    ids: BTreeMap<Vec<u8>, Vec<(Place, Role)>>,
    /// Their lengths.
    lengths: BTreeSet<usize>,
    /// Whether something was left out.
    pub(super) full: bool,
}

impl Connections {
    pub(super) fn get(&self, Place(place): Place) -> Option<&Known> {
        self.list.get(place)
    }

    pub(super) fn get_mut(&mut self, Place(place): Place) -> Option<&mut Known> {
        self.list.get_mut(place)
    }

    /// Adds a connection that begins with a client's packet to this destination.
    pub(super) fn begin(&mut self, version: Version, destination: &[u8], frame: FrameNo) -> Option<Place> {
        if self.list.len() >= MAX_CONNECTIONS {
            self.full = true;
            return None;
        }
        let place = Place(self.list.len());
        self.list.push(Known::new(version, destination, frame));
        self.name(place, Role::Server, destination);
        Some(place)
    }

    /// Forgets the connection that was added last: its first packet is none.
    pub(super) fn forget(&mut self, place: Place) {
        if place.0 + 1 == self.list.len()
            && let Some(known) = self.list.pop()
            && let Some(named) = self.ids.get_mut(&known.state.original)
        {
            named.retain(|(other, _)| *other != place);
            if named.is_empty() {
                self.ids.remove(&known.state.original);
            }
        }
    }

    /// An end has an id from now on.
    pub(super) fn name(&mut self, place: Place, owner: Role, id: &[u8]) {
        if id.is_empty() {
            if let Some(known) = self.get_mut(place) {
                *known.nameless.get_mut(owner) = true;
            }
            return;
        }
        if self.ids.len() >= MAX_IDS && !self.ids.contains_key(id) {
            self.full = true;
            return;
        }
        let named = self.ids.entry(id.to_vec()).or_default();
        if named.contains(&(place, owner)) {
            return;
        }
        if named.len() >= MAX_SAME_ID {
            self.full = true;
            return;
        }
        named.push((place, owner));
        self.lengths.insert(id.len());
    }

    /// A Version Negotiation packet refused a connection: its client begins anew, perhaps with the same id.
    pub(super) fn refuse(&mut self, place: Place) {
        let Some(known) = self.get_mut(place) else { return };
        known.refused = true;
        let id = known.state.original.clone();
        if let Some(named) = self.ids.get_mut(&id) {
            named.retain(|(other, _)| *other != place);
        }
    }

    /// The connections that a packet to this id may belong to, with its sender.
    pub(super) fn of_id(&self, id: &[u8]) -> Vec<(Place, Role)> {
        let named = self.ids.get(id).map_or(&[][..], Vec::as_slice);
        named.iter().map(|&(place, owner)| (place, owner.other())).collect()
    }

    /// The connections that a packet with a short header may belong to, with its sender and where its number
    /// starts; the longest ids first.
    pub(super) fn of_short(&self, packet: &[u8]) -> Vec<(Place, Role, usize)> {
        let mut found = Vec::new();
        for &length in self.lengths.iter().rev() {
            if let Some(id) = packet.get(1..1 + length) {
                found.extend(self.of_id(id).into_iter().map(|(place, sender)| (place, sender, 1 + length)));
            }
        }
        found
    }

    /// Whether a datagram belongs to a connection that is known.
    pub(super) fn knows(&self, datagram: &[u8]) -> bool {
        match datagram.first() {
            Some(first) if first & 0x80 == 0 => !self.of_short(datagram).is_empty(),
            Some(_) => quic::packet::Long::parse(datagram)
                .and_then(|header| datagram.get(header.destination))
                .is_some_and(|id| self.ids.contains_key(id)),
            None => false,
        }
    }
}
