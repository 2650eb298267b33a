//! The phone's side: looks names up, connects, sends requests, waits for answers.

use std::{collections::BTreeMap, net::Ipv4Addr};

use smoltcp::{
    iface::SocketHandle,
    socket::{tcp, udp},
};

use super::{
    encode::{dns, http},
    seeded::Seeded,
    stack::Stack,
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
    /// What is sent, each after the answer to the one before.
    pub(super) requests: Vec<Vec<u8>>,
    /// Bytes of each answer of no known format; 0: an HTTP message.
    pub(super) opaque_answers: Vec<usize>,
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
    Talking { socket: SocketHandle, index: usize, sent: usize, begun: u64, received: Vec<u8> },
    Done,
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
            State::Talking { .. } | State::Done => None,
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
        todo: &Conversation,
        state: &mut State,
        outcome: &mut Outcome,
    ) -> Option<State> {
        match state {
            State::Waiting if now < todo.at => None,
            State::Waiting => match self.known.get(&todo.host) {
                Some(&address) => Some(self.connect(now, address, todo, outcome)),
                None => Some(self.ask(now, &todo.host)),
            },
            State::Asking { socket, id, again } => {
                let asking = self.stack.sockets.get_mut::<udp::Socket<'_>>(*socket);
                let answer = asking.recv().ok().and_then(|(message, _)| dns::read_answer(message));
                match answer {
                    Some((answered, Some(address))) if answered == *id => {
                        self.stack.sockets.remove(*socket);
                        self.known.insert(todo.host.clone(), address);
                        Some(self.connect(now, address, todo, outcome))
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
            State::Talking { socket, index, sent, begun, received } => {
                let socket = self.stack.sockets.get_mut::<tcp::Socket<'_>>(*socket);
                talk(now, todo, socket, (index, sent, begun, received), outcome)
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

    fn connect(&mut self, now: u64, address: Ipv4Addr, todo: &Conversation, outcome: &mut Outcome) -> State {
        let socket = self.stack.tcp();
        let local_port = self.free_port();
        self.stack.connect(socket, (address, todo.port), local_port);
        outcome.address = Some(address);
        outcome.local_port = local_port;
        State::Talking { socket, index: 0, sent: 0, begun: now, received: Vec::new() }
    }

    fn free_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
        port
    }
}

/// Sends the rest of the request; reads its answer; goes on to the next; closes behind the last.
fn talk(
    now: u64,
    todo: &Conversation,
    socket: &mut tcp::Socket<'_>,
    (index, sent, begun, received): (&mut usize, &mut usize, &mut u64, &mut Vec<u8>),
    outcome: &mut Outcome,
) -> Option<State> {
    while socket.can_recv() {
        let read = socket.recv(|bytes| {
            received.extend_from_slice(bytes);
            (bytes.len(), ())
        });
        if read.is_err() {
            break;
        }
    }
    while let Some(request) = todo.requests.get(*index) {
        if *sent < request.len() && socket.can_send() {
            if *sent == 0 {
                *begun = now;
            }
            *sent += socket.send_slice(request.get(*sent..).unwrap_or_default()).unwrap_or(0);
        }
        let len = match todo.opaque_answers.get(*index) {
            None | Some(0) => http::message_len(received),
            Some(&opaque) => Some(opaque),
        };
        let whole = len.filter(|len| received.len() >= *len && *sent == request.len())?;
        received.drain(..whole);
        outcome.times.push((*begun, now));
        (*index, *sent) = (*index + 1, 0);
    }
    socket.close();
    Some(State::Done)
}
