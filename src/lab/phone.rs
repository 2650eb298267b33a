//! The phone's side: looks names up, connects, sends requests, waits for answers.

use std::{collections::BTreeMap, net::Ipv4Addr};

use smoltcp::{
    iface::SocketHandle,
    socket::{tcp, udp},
};

use super::{
    channel::Channel,
    encode::{dns, http, http2, websocket},
    seeded::Seeded,
    stack::Stack,
    tls::Tls,
};

const DNS_PORT: u16 = 53;
/// Android's resolver asks again after five seconds.
const ASK_AGAIN_US: u64 = 5_000_000;
/// Ports from here on are for connections that a host opens (RFC 6335, section 6).
const FIRST_FREE_PORT: u16 = 49_152;

/// A connection that will be made, with the bytes that go over it.
pub(super) struct Conversation {
    /// Not before this time.
    pub(super) at: u64,
    /// The server's name.
    pub(super) host: String,
    /// The server's port.
    pub(super) port: u16,
    /// The phone's end of TLS, if the connection is encrypted.
    pub(super) tls: Option<Tls>,
    /// What is sent, each after the answer to the one before.
    pub(super) requests: Vec<Vec<u8>>,
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
}

enum State {
    Waiting,
    Asking { socket: SocketHandle, id: u16, again: u64 },
    Talking(SocketHandle, Talk),
    Done,
}

/// A conversation under way.
struct Talk {
    channel: Channel,
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
    conversations: Vec<(Conversation, State, Outcome)>,
}

impl Phone {
    /// A phone with things to do.
    pub(super) fn new(
        stack: Stack,
        name_server: Ipv4Addr,
        mut seeded: Seeded,
        todo: Vec<Conversation>,
    ) -> Self {
        let next_port = FIRST_FREE_PORT + u16::try_from(seeded.below(8192)).unwrap_or(0);
        let conversations = todo.into_iter().map(|todo| (todo, State::Waiting, Outcome::default())).collect();
        Self { stack, name_server, known: BTreeMap::new(), seeded, next_port, conversations }
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
        }
        self.conversations = conversations;
        busy
    }

    /// When something is to be done that no frame brings about.
    pub(super) fn next(&self, now: u64) -> Option<u64> {
        let times = self.conversations.iter().filter_map(|(todo, state, _)| match state {
            State::Waiting => Some(todo.at.max(now + 1)),
            State::Asking { again, .. } => Some(*again),
            State::Talking(..) | State::Done => None,
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

    fn advance(
        &mut self,
        now: u64,
        todo: &mut Conversation,
        state: &mut State,
        outcome: &mut Outcome,
    ) -> Option<State> {
        match state {
            State::Waiting if now < todo.at => None,
            State::Waiting => match self.known.get(&todo.host) {
                Some(&address) => Some(self.connect(address, todo, outcome)),
                None => Some(self.ask(now, &todo.host)),
            },
            State::Asking { socket, id, again } => {
                let asking = self.stack.sockets.get_mut::<udp::Socket<'_>>(*socket);
                let answer = asking.recv().ok().and_then(|(message, _)| dns::read_answer(message));
                match answer {
                    Some((answered, Some(address))) if answered == *id => {
                        self.stack.sockets.remove(*socket);
                        self.known.insert(todo.host.clone(), address);
                        Some(self.connect(address, todo, outcome))
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

    fn connect(&mut self, address: Ipv4Addr, todo: &mut Conversation, outcome: &mut Outcome) -> State {
        let socket = self.stack.tcp();
        let local_port = self.free_port();
        self.stack.connect(socket, (address, todo.port), local_port);
        outcome.address = Some(address);
        outcome.local_port = local_port;
        let channel = Channel::new(todo.tls.take());
        State::Talking(socket, Talk { channel, index: 0, begun: None, received: Vec::new() })
    }

    fn free_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
        port
    }
}

impl Talk {
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
            if self.begun.is_none() && self.channel.is_ready(socket) {
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
