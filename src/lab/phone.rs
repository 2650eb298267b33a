//! The phone's side: looks names up, connects, sends requests, waits for answers.

use std::{collections::BTreeMap, net::Ipv4Addr};

use smoltcp::{
    iface::SocketHandle,
    socket::{tcp, udp},
};

use super::{
    channel::Channel,
    encode::{dns, http, http2, mqtt, ntp, websocket},
    record::later,
    seeded::Seeded,
    stack::Stack,
    tls::Tls,
};
use crate::evidence::Timestamp;

const DNS_PORT: u16 = 53;
/// Android's resolver asks again after five seconds.
const ASK_AGAIN_US: u64 = 5_000_000;
/// Ports from here on are for connections that a host opens (RFC 6335, section 6).
const FIRST_FREE_PORT: u16 = 49_152;

/// A connection that will be made, with the bytes that go over it.
pub(super) struct Conversation {
    /// Not before this time; behind a push so long after its arrival.
    pub(super) at: u64,
    /// The pushed message that sets it off.
    pub(super) behind: Option<String>,
    /// The server's name.
    pub(super) host: String,
    /// The server's port.
    pub(super) port: u16,
    /// The phone's end of TLS, if the connection is encrypted.
    pub(super) tls: Option<Tls>,
    /// What is sent, each after the answer to the one before.
    pub(super) requests: Vec<Vec<u8>>,
    /// How long after its beginning each of them waits at least, where it does.
    pub(super) pauses: Vec<u64>,
    /// What is sent behind the last answer.
    pub(super) farewell: Vec<u8>,
    /// How it is known that an answer is whole.
    pub(super) answers: Answers,
}

/// How it is known that an answer is whole.
pub(super) enum Answers {
    /// HTTP/1.1 messages.
    Http,
    /// Streams of HTTP/2.
    Http2,
    /// An HTTP/1.1 message, and frames behind it.
    Websocket,
    /// So many bytes each, of no known format.
    Opaque(Vec<usize>),
    /// Packets of MQTT, between which others are pushed.
    Push,
    /// No connection: one packet of NTP asks, one answers.
    Time,
}

impl Answers {
    /// How many bytes the answer with number `index` has, once that is known.
    fn len(&self, index: usize, received: &[u8]) -> Option<usize> {
        match self {
            Self::Http => http::message_len(received),
            Self::Http2 => http2::message_len(received),
            Self::Websocket if index == 0 => http::message_len(received),
            Self::Websocket => websocket::frame_len(received),
            Self::Opaque(lens) => lens.get(index).copied(),
            Self::Push => mqtt::packet_len(received),
            Self::Time => None,
        }
    }
}

/// What became of a conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// The server's address.
    pub(super) address: Option<Ipv4Addr>,
    /// The phone's port.
    pub(super) local_port: u16,
    /// For each request, when its first byte was given to the stack and when its answer was whole.
    pub(super) times: Vec<(u64, u64)>,
    /// What was pushed over it, with the times of arrival.
    pub(super) pushed: Vec<(String, u64)>,
    /// How far the phone's clock was ahead when it asked for the time.
    pub(super) clock_ahead_ms: Option<i64>,
}

/// What the phone takes for the time of day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When the run began.
    pub(super) start: Timestamp,
    /// How far ahead it is.
    pub(super) ahead_ms: i64,
}

impl Clock {
    fn shows(self, now: u64) -> Timestamp {
        let Timestamp(right) = later(self.start, now);
        Timestamp(right.saturating_add_signed(self.ahead_ms.saturating_mul(1_000_000)))
    }
}

enum State {
    Waiting,
    Asking { socket: SocketHandle, id: u16, again: u64 },
    Talking(SocketHandle, Talk),
    Timing { socket: SocketHandle, shown: Timestamp, begun: u64, again: u64 },
    Done,
}

/// A conversation under way.
struct Talk {
    channel: Channel,
    /// When it was opened.
    opened: u64,
    /// The request that is sent or answered now.
    index: usize,
    /// When it was given to the stack.
    begun: Option<u64>,
    received: Vec<u8>,
}

/// The phone.
pub(super) struct Phone {
    /// Its stack.
    pub(super) stack: Stack,
    name_server: Ipv4Addr,
    known: BTreeMap<String, Ipv4Addr>,
    seeded: Seeded,
    next_port: u16,
    clock: Clock,
    pushed: BTreeMap<String, u64>,
    conversations: Vec<(Conversation, State, Outcome)>,
}

impl Phone {
    /// A phone with things to do.
    pub(super) fn new(
        stack: Stack,
        name_server: Ipv4Addr,
        mut seeded: Seeded,
        clock: Clock,
        todo: Vec<Conversation>,
    ) -> Self {
        let next_port = FIRST_FREE_PORT + u16::try_from(seeded.below(8192)).unwrap_or(0);
        let conversations = todo.into_iter().map(|todo| (todo, State::Waiting, Outcome::default())).collect();
        let (known, pushed) = (BTreeMap::new(), BTreeMap::new());
        Self { stack, name_server, known, seeded, next_port, clock, pushed, conversations }
    }

    /// Goes on with whatever can go on; whether anything was done.
    pub(super) fn step(&mut self, now: u64) -> bool {
        if !self.stack.has_address() {
            return false;
        }
        let mut conversations = std::mem::take(&mut self.conversations);
        let mut busy = false;
        for (todo, state, outcome) in &mut conversations {
            if let Some(next) = self.advance(now, todo, state, outcome) {
                *state = next;
                busy = true;
            }
            for (id, at) in outcome.pushed.drain(..) {
                self.pushed.entry(id).or_insert(at);
                busy = true;
            }
        }
        self.conversations = conversations;
        busy
    }

    /// When something is to be done that no frame brings about.
    pub(super) fn next(&self, now: u64) -> Option<u64> {
        let times = self.conversations.iter().filter_map(|(todo, state, _)| match state {
            State::Waiting => self.due(todo).map(|at| at.max(now + 1)),
            State::Asking { again, .. } | State::Timing { again, .. } => Some(*again),
            State::Talking(_, talk) => talk.waits(todo).filter(|at| *at > now),
            State::Done => None,
        });
        times.min().filter(|_| self.stack.has_address())
    }

    /// What became of each conversation, or the host of the first that did not end.
    pub(super) fn into_outcomes(self) -> Result<Vec<Outcome>, String> {
        let ended = self.conversations.into_iter().map(|(todo, state, outcome)| match state {
            State::Done => Ok(outcome),
            _ => Err(todo.host),
        });
        ended.collect()
    }

    /// When a conversation is to begin, once that is known.
    fn due(&self, todo: &Conversation) -> Option<u64> {
        match &todo.behind {
            Some(id) => self.pushed.get(id).map(|at| at.saturating_add(todo.at)),
            None => Some(todo.at),
        }
    }

    fn advance(
        &mut self,
        now: u64,
        todo: &mut Conversation,
        state: &mut State,
        outcome: &mut Outcome,
    ) -> Option<State> {
        match state {
            State::Waiting if self.due(todo).is_none_or(|at| now < at) => None,
            State::Waiting => match self.known.get(&todo.host) {
                Some(&address) => Some(self.begin(now, address, todo, outcome)),
                None => Some(self.ask(now, &todo.host)),
            },
            State::Asking { socket, id, again } => {
                let asking = self.stack.sockets.get_mut::<udp::Socket<'_>>(*socket);
                let answer = asking.recv().ok().and_then(|(message, _)| dns::read_answer(message));
                match answer {
                    Some((answered, Some(address))) if answered == *id => {
                        self.stack.sockets.remove(*socket);
                        self.known.insert(todo.host.clone(), address);
                        Some(self.begin(now, address, todo, outcome))
                    }
                    _ if now >= *again => {
                        let question = dns::question(*id, &todo.host);
                        let _ = asking.send_slice(&question, (self.name_server, DNS_PORT));
                        *again = now + ASK_AGAIN_US;
                        None
                    }
                    _ => None,
                }
            }
            State::Timing { socket, shown, begun, again } => {
                let timing = self.stack.sockets.get_mut::<udp::Socket<'_>>(*socket);
                if timing.recv().is_ok_and(|(packet, _)| ntp::is_answer(packet, *shown)) {
                    outcome.times.push((*begun, now));
                    self.clock.ahead_ms = 0;
                    self.stack.sockets.remove(*socket);
                    return Some(State::Done);
                }
                if now >= *again {
                    let to = (outcome.address?, todo.port);
                    *shown = self.clock.shows(now);
                    let _ = timing.send_slice(&ntp::question(*shown), to);
                    *again = now + ASK_AGAIN_US;
                }
                None
            }
            State::Talking(socket, talk) => {
                talk.advance(now, todo, self.stack.sockets.get_mut::<tcp::Socket<'_>>(*socket), outcome)
            }
            State::Done => None,
        }
    }

    fn ask(&mut self, now: u64, name: &str) -> State {
        let id = u16::try_from(self.seeded.below(0x1_0000)).unwrap_or(0);
        let port = self.free_port();
        let socket = self.stack.udp(port);
        let asking = self.stack.sockets.get_mut::<udp::Socket<'_>>(socket);
        // A full buffer loses the question; it is asked again.
        let _ = asking.send_slice(&dns::question(id, name), (self.name_server, DNS_PORT));
        State::Asking { socket, id, again: now + ASK_AGAIN_US }
    }

    fn begin(
        &mut self,
        now: u64,
        address: Ipv4Addr,
        todo: &mut Conversation,
        outcome: &mut Outcome,
    ) -> State {
        let local_port = self.free_port();
        outcome.address = Some(address);
        outcome.local_port = local_port;
        if matches!(todo.answers, Answers::Time) {
            outcome.clock_ahead_ms = Some(self.clock.ahead_ms);
            let shown = self.clock.shows(now);
            let socket = self.stack.udp(local_port);
            let timing = self.stack.sockets.get_mut::<udp::Socket<'_>>(socket);
            // A full buffer loses the question; it is asked again.
            let _ = timing.send_slice(&ntp::question(shown), (address, todo.port));
            return State::Timing { socket, shown, begun: now, again: now + ASK_AGAIN_US };
        }
        let socket = self.stack.tcp();
        self.stack.connect(socket, (address, todo.port), local_port);
        let channel = Channel::new(todo.tls.take());
        State::Talking(socket, Talk { channel, opened: now, index: 0, begun: None, received: Vec::new() })
    }

    fn free_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
        port
    }
}

impl Talk {
    /// When the next request may be sent, if it waits for its time.
    fn waits(&self, todo: &Conversation) -> Option<u64> {
        let pause = todo.pauses.get(self.index).filter(|_| self.begun.is_none())?;
        Some(self.opened.saturating_add(*pause))
    }

    /// Sends the rest of the request; reads its answer; goes on to the next; closes behind the last.
    fn advance(
        &mut self,
        now: u64,
        todo: &Conversation,
        socket: &mut tcp::Socket<'_>,
        outcome: &mut Outcome,
    ) -> Option<State> {
        self.channel.turn(socket, &mut self.received);
        while let Some(request) = todo.requests.get(self.index) {
            while let Answers::Push = todo.answers
                && let Some(id) = mqtt::take_pushed(&mut self.received)
            {
                outcome.pushed.push((id, now));
            }
            let waits = self.waits(todo).is_some_and(|at| now < at);
            if self.begun.is_none() && !waits && self.channel.is_ready(socket) {
                self.begun = Some(now);
                self.channel.send(request);
                self.channel.turn(socket, &mut self.received);
            }
            let begun = self.begun.filter(|_| self.channel.is_idle())?;
            let len = todo.answers.len(self.index, &self.received);
            let whole = len.filter(|len| self.received.len() >= *len)?;
            self.received.drain(..whole);
            outcome.times.push((begun, now));
            (self.index, self.begun) = (self.index + 1, None);
        }
        self.channel.send(&todo.farewell);
        self.channel.close(socket);
        socket.close();
        Some(State::Done)
    }
}
