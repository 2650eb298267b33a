//! One connection: its keys as they become known, and the packets that they open.

use std::{ops::Range, sync::Arc};

use super::{
    ByRole, BySpace, Keys, Role, Space, Suite, Version,
    handshake::{self, Hello, Messages},
    keys::Bare,
    number,
    packet::Kind,
};
use crate::engine::proto::{
    keylog::{KeyLog, Label},
    tls,
};

/// Key updates that are tried beyond the last one seen: more than one is missed only where a whole flight was not
/// captured (RFC 9001 section 6.1: an update waits for the last one's acknowledgement).
const UPDATES_AHEAD: usize = 3;
/// Generations of keys that are kept: the latest, and those before it for packets that come late.
const GENERATIONS_KEPT: usize = 4;
/// Packets of one connection for which more than the likeliest key and number are tried, in vain. Whoever sends rubbish under
/// a known connection id costs no more work than that.
const MAX_TRIALS: u32 = 4_096;
/// Versions in which Initial packets of one connection come: the client's and the one that the server chose (RFC 9368).
const MAX_VERSIONS: usize = 4;

/// A packet that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its number.
    pub number: u64,
    /// Whether no packet with this number or a higher one was opened before, and it is the next.
    pub next: bool,
    /// Where its payload starts.
    pub payload_at: usize,
    /// Its frames.
    pub payload: Vec<u8>,
    /// What opened it.
    pub keys: Arc<Keys>,
}

/// Why a packet could not even be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// The client's hello was not captured (yet): whose secrets to look for is not known.
    ClientHello,
    /// The server's hello was not captured (yet): the cipher is not known.
    ServerHello,
    /// No key log holds the secrets.
    Secrets,
    /// The suite is not known here.
    Suite,
}

/// What comes of a packet.
#[derive(Clone, Debug)]
pub enum Opening {
    /// It was opened.
    Opened(Opened),
    /// It can't be tried.
    Missing(Missing),
    /// No key opens it.
    Failed,
}

/// Keys under one secret of a log; several where logs disagree, until one of them opens a packet.
type Slot = Vec<Arc<Keys>>;

/// 1-RTT keys of one end.
#[derive(Clone, Debug, Default)]
struct Generations {
    /// The first generation, until one of them opens a packet.
    unproven: Slot,
    /// Generations from `first` on, the last of which is the latest seen.
    kept: Vec<Arc<Keys>>,
    first: usize,
    /// The one after the latest, once it was asked for.
    next: Option<Arc<Keys>>,
}

/// Keys to try, with their generation.
struct Candidates(Vec<(usize, Arc<Keys>)>);

impl Candidates {
    fn keys(&self) -> Vec<Arc<Keys>> {
        self.0.iter().map(|(_, keys)| keys.clone()).collect()
    }

    fn generation(&self, of: &Arc<Keys>) -> Option<usize> {
        self.0.iter().find(|(_, keys)| Arc::ptr_eq(keys, of)).map(|(generation, _)| *generation)
    }
}

/// Key phases alternate, and begin with zero (RFC 9001 section 6).
fn is_odd(generation: usize) -> bool {
    generation % 2 == 1
}

/// What is known of packet numbers of one end in one space.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    /// One past the largest that was opened.
    next: u64,
    /// One past the largest that the other end acknowledged.
    acknowledged: u64,
}

/// What a connection's handshake showed.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The client's first hello.
    pub client_hello: Option<tls::Hello>,
    /// Its random, by which key logs name secrets.
    pub random: Option<[u8; 32]>,
    /// The server's last hello.
    pub server_hello: Option<tls::Hello>,
    /// The protocol that the server chose.
    pub alpn: Option<String>,
    /// What a server's signature is about: the client's hellos, and what the server said.
    signed: Signed,
}

/// Messages with their heads.
#[derive(Clone, Debug, Default)]
struct Signed {
    hellos: Vec<Vec<u8>>,
    server: Vec<u8>,
    /// What the client said between its hellos and its Finished.
    client: Vec<u8>,
    /// The client's hellos and its Finished, each with where in the CRYPTO of its space it starts.
    placed: Vec<(Space, u64, Vec<u8>)>,
    /// Whether the client's Finished was said.
    finished: bool,
    /// Whether there was more than is kept.
    cut: bool,
}

/// A message of the client, and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prescribed {
    /// Whose CRYPTO it stands in.
    pub space: Space,
    /// Where in it the message starts.
    pub at: u64,
    /// The message, head included.
    pub bytes: Vec<u8>,
    /// What the protocol prescribes in it; nothing unless the client's Finished verifies.
    pub ranges: Vec<Range<usize>>,
    /// Where it holds a server name.
    pub name: Option<Range<usize>>,
}

/// Bytes kept of what a server says up to its Finished: a chain of certificates has some ten KiB.
const MAX_SIGNED: usize = 256 << 10;

/// Hellos of one handshake: a second one follows a HelloRetryRequest.
const MAX_HELLOS: usize = 2;

/// CLIENT_HELLO of RFC 8446 section 4.
const CLIENT_HELLO: u8 = 1;

impl Signed {
    fn take(&mut self, sender: Role, (space, at): (Space, u64), kind: u8, body: &[u8]) {
        let [_, a, b, c] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let head = [kind, a, b, c];
        match sender {
            Role::Server if self.server.len() + body.len() > MAX_SIGNED => self.cut = true,
            Role::Server => {
                self.server.extend(head);
                self.server.extend_from_slice(body);
            }
            Role::Client if kind == CLIENT_HELLO && self.hellos.len() < MAX_HELLOS => {
                let hello = [&head, body].concat();
                self.place(space, at, &hello);
                // After a Retry the same one comes again (RFC 9000 section 17.2.5.2).
                if self.hellos.last() != Some(&hello) {
                    self.hellos.push(hello);
                }
            }
            Role::Client if kind == FINISHED && !self.finished => {
                self.finished = true;
                self.place(space, at, &[&head, body].concat());
            }
            Role::Client if kind != CLIENT_HELLO && !self.finished => {
                if self.client.len() + body.len() > MAX_SIGNED {
                    self.cut = true;
                    return;
                }
                self.client.extend(head);
                self.client.extend_from_slice(body);
            }
            Role::Client => {}
        }
    }

    /// A later message at one place takes it: after a Retry the CRYPTO begins anew.
    fn place(&mut self, space: Space, at: u64, bytes: &[u8]) {
        self.placed.retain(|(known, start, _)| (*known, *start) != (space, at));
        self.placed.push((space, at, bytes.to_vec()));
    }

    /// Whether the client's Finished verifies under one of some secrets.
    fn is_genuine(&self, suite: tls::Suite, secrets: &[Vec<u8>]) -> bool {
        let finished = self.placed.iter().find(|(_, _, bytes)| bytes.first() == Some(&FINISHED));
        let Some(finished) = finished.and_then(|(_, _, bytes)| bytes.get(4..)) else { return false };
        let said = (self.hellos.as_slice(), self.server.as_slice(), self.client.as_slice());
        !self.cut
            && secrets.iter().take(MAX_SECRETS).any(|secret| tls::verifies_13(suite, secret, said, finished))
    }
}

/// FINISHED of RFC 8446 section 4.
const FINISHED: u8 = 20;

/// Secrets of one handshake that are tried: one, or some where logs disagree.
const MAX_SECRETS: usize = 16;

/// One connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The version of the client's first packet.
    pub version: Version,
    /// The version that the server answered with.
    pub negotiated: Option<Version>,
    /// The client's first destination id, which a Retry is held to.
    pub original: Vec<u8>,
    /// What the handshake showed.
    pub facts: Facts,
    /// The id that Initial keys come from: the first, or that of the Retry (RFC 9001 section 5.2).
    keyed_by: Vec<u8>,
    initial: Vec<(Version, ByRole<Arc<Keys>>)>,
    early: Slot,
    handshake: ByRole<Slot>,
    data: ByRole<Generations>,
    messages: ByRole<BySpace<Messages>>,
    numbers: ByRole<BySpace<Numbers>>,
    trials: u32,
    /// A Retry was followed, and the client's hello did not come since.
    comes_again: bool,
}

impl Connection {
    /// Begins with a client's first packet.
    pub fn new(version: Version, destination: &[u8]) -> Self {
        Self {
            version,
            negotiated: None,
            original: destination.to_vec(),
            facts: Facts::default(),
            keyed_by: destination.to_vec(),
            initial: Vec::new(),
            early: Slot::default(),
            handshake: ByRole::default(),
            data: ByRole::default(),
            messages: ByRole::default(),
            numbers: ByRole::default(),
            trials: 0,
            comes_again: false,
        }
    }

    /// The version that is spoken.
    pub fn spoken(&self) -> Version {
        self.negotiated.unwrap_or(self.version)
    }

    /// The suite that the server chose.
    pub fn suite(&self) -> Option<Suite> {
        self.facts.server_hello.as_ref().and_then(|hello| Suite::of(*hello.ciphers.first()?))
    }

    /// The protocol: the one that the server chose, or the first one that the client offers.
    pub fn protocol(&self) -> Option<&str> {
        let offered = || self.facts.client_hello.as_ref().and_then(|hello| hello.alpn.first());
        self.facts.alpn.as_deref().or_else(|| offered().map(String::as_str))
    }

    /// Who the server says it is, where it was heard.
    pub fn identity(&self) -> Option<tls::Identity> {
        let server = self.facts.server_hello.as_ref()?;
        let suite = tls::Suite::of(*server.ciphers.first()?);
        let Signed { hellos, server: said, cut, .. } = &self.facts.signed;
        let identity = tls::identity_13(suite, hellos, said, server.pre_shared_key());
        Some(if *cut { identity.of_damaged() } else { identity })
    }

    /// What the protocol prescribes in the client's handshake, where its Finished verifies under what a key log holds: who
    /// could make that took part in the handshake as it was captured.
    pub fn prescribed(&self, log: &KeyLog) -> Vec<Prescribed> {
        let Signed { placed, .. } = &self.facts.signed;
        let suite =
            self.facts.server_hello.as_ref().and_then(|hello| tls::Suite::of(*hello.ciphers.first()?));
        let random = self.facts.random.as_ref().map_or(&[][..], |random| random);
        let secrets = log.get(Label::ClientHandshakeTraffic, random);
        let genuine = suite.is_some_and(|suite| self.facts.signed.is_genuine(suite, secrets));
        let of = |(space, at, bytes): &(Space, u64, Vec<u8>)| {
            let (ranges, name) = match bytes.first() {
                Some(&FINISHED) => (std::iter::once(0..bytes.len()).collect(), None),
                _ => tls::prescribed_in(bytes),
            };
            let ranges = if genuine { ranges } else { Vec::new() };
            Prescribed { space: *space, at: *at, bytes: bytes.clone(), ranges, name }
        };
        placed.iter().map(of).collect()
    }

    /// Whether keys or numbers were tried so often in vain that only the likeliest are tried from now on.
    pub fn gave_up(&self) -> bool {
        self.trials >= MAX_TRIALS
    }

    /// Follows a genuine Retry: the client comes again, and Initial keys come from the new id. It is to say the same
    /// hello again (RFC 9000 section 17.2.5.3), and there are clients that say another one: that one counts.
    pub fn retry(&mut self, source: &[u8]) {
        self.keyed_by = source.to_vec();
        self.initial.clear();
        *self.messages.get_mut(Role::Client).get_mut(Space::Initial) = Messages::default();
        self.comes_again = true;
    }

    /// Takes what an end acknowledges of a space; false where that was not seen.
    pub fn acknowledged(&mut self, by: Role, space: Space, largest: u64) -> bool {
        let numbers = self.numbers.get_mut(by.other()).get_mut(space);
        numbers.acknowledged = numbers.acknowledged.max(largest.saturating_add(1));
        largest < numbers.next
    }

    /// Opens a packet that `sender` sent.
    pub fn open(
        &mut self,
        sender: Role,
        kind: Kind,
        version: Version,
        packet: &[u8],
        number_at: usize,
    ) -> Opening {
        match kind {
            Kind::Initial => self.open_initial(sender, version, packet, number_at),
            Kind::ZeroRtt | Kind::Handshake => self.open_slot(sender, kind, packet, number_at),
            Kind::OneRtt => self.open_data(sender, packet, number_at),
            Kind::Retry | Kind::VersionNegotiation | Kind::OtherVersion => Opening::Failed,
        }
    }

    fn open_initial(&mut self, sender: Role, version: Version, packet: &[u8], number_at: usize) -> Opening {
        let known = self.initial.iter().find(|(known, _)| *known == version);
        let keys = match known {
            Some((_, keys)) => keys.get(sender).clone(),
            None => {
                let of = |role| Keys::initial(version, &self.keyed_by, role).map(Arc::new);
                let (Some(client), Some(server)) = (of(Role::Client), of(Role::Server)) else {
                    return Opening::Failed;
                };
                if self.initial.len() >= MAX_VERSIONS {
                    return Opening::Failed;
                }
                let keys = ByRole { client, server };
                self.initial.push((version, keys.clone()));
                keys.get(sender).clone()
            }
        };
        let opening = self.try_keys(sender, Space::Initial, &[keys], packet, number_at);
        if let Opening::Opened(_) = opening
            && sender == Role::Server
        {
            self.negotiated.get_or_insert(version);
        }
        opening
    }

    fn open_slot(&mut self, sender: Role, kind: Kind, packet: &[u8], number_at: usize) -> Opening {
        let slot = match kind {
            Kind::Handshake => self.handshake.get(sender),
            // Only clients send early data.
            _ if sender == Role::Client => &self.early,
            _ => return Opening::Failed,
        };
        if slot.is_empty() {
            return Opening::Missing(self.missing());
        }
        let candidates = slot.clone();
        let space = if kind == Kind::Handshake { Space::Handshake } else { Space::Application };
        let opening = self.try_keys(sender, space, &candidates, packet, number_at);
        if let Opening::Opened(opened) = &opening {
            let proven = vec![opened.keys.clone()];
            match kind {
                Kind::Handshake => *self.handshake.get_mut(sender) = proven,
                _ => self.early = proven,
            }
        }
        opening
    }

    fn open_data(&mut self, sender: Role, packet: &[u8], number_at: usize) -> Opening {
        let generations = self.data.get_mut(sender);
        if generations.is_empty() {
            return Opening::Missing(self.missing());
        }
        let phase = |keys: &Arc<Keys>| keys.bare(packet, number_at).is_some_and(Bare::phase);
        let likely = generations.likely(phase);
        let mut opening = self.try_keys(sender, Space::Application, &likely.keys(), packet, number_at);
        let mut tried = likely;
        if let Opening::Failed = opening
            && !self.gave_up()
        {
            tried = self.data.get(sender).unlikely(phase);
            opening = self.try_keys(sender, Space::Application, &tried.keys(), packet, number_at);
        }
        if let Opening::Opened(opened) = &opening
            && let Some(generation) = tried.generation(&opened.keys)
        {
            self.data.get_mut(sender).proven(generation, &opened.keys);
        }
        opening
    }

    /// Tries each key with the likeliest number, then the likeliest key with other numbers.
    fn try_keys(
        &mut self,
        sender: Role,
        space: Space,
        candidates: &[Arc<Keys>],
        packet: &[u8],
        number_at: usize,
    ) -> Opening {
        let known = *self.numbers.get(sender).get(space);
        let patient = !self.gave_up();
        let attempt = |keys: &Arc<Keys>, tried: &dyn Fn(Bare) -> Vec<u64>| {
            let bare = keys.bare(packet, number_at)?;
            let open = |number| {
                let payload = keys.open(packet, number_at, bare, number)?;
                let (payload_at, next) = (number_at + bare.bytes, number == known.next);
                Some(Opened { number, next, payload_at, payload, keys: keys.clone() })
            };
            tried(bare).into_iter().find_map(open)
        };
        let likely =
            |bare: Bare| number::candidates(bare.truncated, bare.bytes, known.next).take(1).collect();
        let others = |bare: Bare| {
            let acknowledged = number::candidates(bare.truncated, bare.bytes, known.acknowledged).take(1);
            acknowledged.chain(number::candidates(bare.truncated, bare.bytes, known.next).skip(1)).collect()
        };
        let opened = candidates
            .iter()
            .take(if patient { usize::MAX } else { 1 })
            .find_map(|keys| attempt(keys, &likely))
            .or_else(|| candidates.first().filter(|_| patient).and_then(|keys| attempt(keys, &others)));
        let Some(opened) = opened else {
            self.trials = self.trials.saturating_add(1);
            return Opening::Failed;
        };
        let numbers = self.numbers.get_mut(sender).get_mut(space);
        numbers.next = numbers.next.max(opened.number + 1);
        Opening::Opened(opened)
    }

    /// Why there are no keys.
    fn missing(&self) -> Missing {
        match (&self.facts.random, &self.facts.server_hello) {
            (None, _) => Missing::ClientHello,
            (_, None) => Missing::ServerHello,
            _ if self.suite().is_none() => Missing::Suite,
            _ => Missing::Secrets,
        }
    }

    /// Takes a piece of a CRYPTO stream: the hellos that it completes, with where in the stream they start. False with
    /// them when something had to be left out.
    pub fn crypto(
        &mut self,
        sender: Role,
        space: Space,
        offset: u64,
        data: &[u8],
    ) -> (Vec<(u64, Hello)>, bool) {
        let version = self.spoken();
        let mut found = Vec::new();
        let messages = self.messages.get_mut(sender).get_mut(space);
        let signed = &mut self.facts.signed;
        let whole = messages.push(offset, data, &mut |at, kind, body| {
            if space != Space::Application {
                signed.take(sender, (space, at), kind, body);
            }
            found.extend(handshake::hello(kind, body, version).map(|hello| (at, hello)));
        });
        if sender == Role::Client && self.comes_again {
            self.renewed(&mut found);
        }
        for (_, hello) in &found {
            match hello {
                Hello::Client(hello, random) if sender == Role::Client => {
                    // After a HelloRetryRequest a second hello comes with the same random (RFC 8446 section 4.1.2).
                    self.facts.client_hello.get_or_insert_with(|| hello.clone());
                    self.facts.random.get_or_insert(*random);
                }
                Hello::Server(hello) if sender == Role::Server => {
                    self.facts.server_hello = Some(hello.clone());
                }
                Hello::Encrypted(alpn, _) if sender == Role::Server => self.facts.alpn.clone_from(alpn),
                _ => {}
            }
        }
        (found, whole)
    }

    /// Takes the hello that follows a Retry: the same one says nothing new, another one counts.
    fn renewed(&mut self, found: &mut Vec<(u64, Hello)>) {
        let random = found.iter().enumerate().find_map(|(place, (_, hello))| match hello {
            Hello::Client(_, random) => Some((place, *random)),
            _ => None,
        });
        let Some((place, random)) = random else { return };
        self.comes_again = false;
        if self.facts.random == Some(random) {
            found.remove(place);
        } else {
            (self.facts.client_hello, self.facts.random) = (None, None);
            self.facts.signed.hellos.drain(..self.facts.signed.hellos.len().saturating_sub(1));
            self.early.clear();
        }
    }

    /// Looks for secrets that what was learned asks for; true when there are new keys.
    pub fn learn(&mut self, log: &KeyLog) -> bool {
        let Some(random) = self.facts.random else { return false };
        let keys_of = |version: Version, suite: Suite, label: Label| -> Slot {
            let secrets = log.get(label, &random).iter();
            secrets.filter_map(|secret| Keys::of(version, suite, secret).map(Arc::new)).collect()
        };
        let mut new = false;
        if self.early.is_empty() {
            // The suite is that of the session that is resumed, which need not be in the capture.
            let suites = Suite::ALL.into_iter();
            self.early =
                suites.flat_map(|suite| keys_of(self.version, suite, Label::ClientEarlyTraffic)).collect();
            new |= !self.early.is_empty();
        }
        let Some(suite) = self.suite() else { return new };
        for (role, handshake, data) in [
            (Role::Client, Label::ClientHandshakeTraffic, Label::ClientTraffic),
            (Role::Server, Label::ServerHandshakeTraffic, Label::ServerTraffic),
        ] {
            let version = self.spoken();
            let slot = self.handshake.get_mut(role);
            if slot.is_empty() {
                *slot = keys_of(version, suite, handshake);
                new |= !slot.is_empty();
            }
            let generations = self.data.get_mut(role);
            if generations.is_empty() {
                generations.unproven = keys_of(version, suite, data);
                new |= !generations.is_empty();
            }
        }
        new
    }
}

impl Generations {
    fn is_empty(&self) -> bool {
        self.unproven.is_empty() && self.kept.is_empty()
    }

    /// The latest generation.
    fn last(&self) -> usize {
        self.first + self.kept.len().saturating_sub(1)
    }

    /// The keys that a packet of this key phase is most likely under: the latest generation, or the next and the one
    /// before.
    fn likely(&mut self, phase: impl Fn(&Arc<Keys>) -> bool) -> Candidates {
        let last = self.last();
        let Some(latest) = self.kept.last().cloned() else {
            // Of all secrets that logs give; a packet of another phase comes after an update.
            let fits = self.unproven.iter().filter(|keys| !phase(keys));
            return Candidates(fits.map(|keys| (0, keys.clone())).collect());
        };
        if phase(&latest) == is_odd(last) {
            return Candidates(vec![(last, latest)]);
        }
        if self.next.is_none() {
            self.next = latest.updated().map(Arc::new);
        }
        let before = self.kept.iter().rev().nth(1).map(|keys| (last - 1, keys.clone()));
        Candidates(self.next.clone().map(|keys| (last + 1, keys)).into_iter().chain(before).collect())
    }

    /// The other keys that are kept or follow.
    fn unlikely(&self, phase: impl Fn(&Arc<Keys>) -> bool) -> Candidates {
        let latest = self.kept.last().map_or(self.unproven.as_slice(), std::slice::from_ref);
        let odd = latest.first().is_some_and(&phase);
        let mut candidates = Vec::new();
        for keys in latest {
            let mut following = keys.clone();
            for generation in self.last() + 1..=self.last() + UPDATES_AHEAD {
                let Some(keys) = following.updated().map(Arc::new) else { break };
                candidates.push((generation, keys.clone()));
                following = keys;
            }
        }
        let older = self.kept.iter().enumerate().rev().skip(1);
        candidates.extend(older.map(|(place, keys)| (self.first + place, keys.clone())));
        candidates.retain(|(generation, _)| is_odd(*generation) == odd);
        Candidates(candidates)
    }

    /// A packet of this generation was opened.
    fn proven(&mut self, generation: usize, keys: &Arc<Keys>) {
        if self.kept.is_empty() {
            self.first = generation;
            self.kept.push(keys.clone());
            self.unproven.clear();
            return;
        }
        while self.last() < generation {
            // Generations that were missed stand between, since each follows from the one before.
            let next = if self.last() + 1 == generation {
                Some(keys.clone())
            } else {
                self.kept.last().and_then(|keys| keys.updated()).map(Arc::new)
            };
            let Some(next) = next else { return };
            self.kept.push(next);
            self.next = None;
            if self.kept.len() > GENERATIONS_KEPT {
                self.kept.remove(0);
                self.first += 1;
            }
        }
    }
}
