//! The other side: the access point's name server and all servers behind it, on one stack.

use std::{collections::BTreeMap, net::Ipv4Addr};

use smoltcp::{
    iface::SocketHandle,
    socket::{tcp, udp},
    wire::IpListenEndpoint,
};

use super::{
    channel::Channel,
    encode::{dns, http, http2, mqtt, ntp, websocket},
    model::Model,
    record::later,
    seeded::Seeded,
    stack::Stack,
    tls::Setup,
};
use crate::evidence::Timestamp;

const DNS_PORT: u16 = 53;
/// What a server answers to whatever was posted.
const DONE: &str = "{\"ok\":true}";

/// What a server does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Answers each request of HTTP/1.1, HTTP/2 or a WebSocket, whichever the client speaks.
    Http,
    /// The same in TLS.
    Https,
    /// After so many bytes answers with so many, of no known format.
    Opaque {
        /// Bytes awaited.
        up: usize,
        /// Bytes answered.
        down: usize,
    },
    /// Pushes messages to whom asks for them, in TLS or not.
    Push {
        /// Which messages: their place among all lists of them.
        list: usize,
        /// Whether in TLS.
        encrypted: bool,
    },
}

/// A message that is pushed at its time.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// From the run's start.
    pub(super) at: u64,
    /// The packet.
    pub(super) packet: Vec<u8>,
}

/// What the servers do in a run.
#[derive(Default)]
pub(super) struct Duties {
    /// What listens where.
    pub(super) services: Services,
    /// Lists of messages that push services have.
    pub(super) pushes: Vec<Vec<Waiting>>,
    /// Where the time of day is asked for.
    pub(super) time: Option<u16>,
}

/// Where a service listens.
pub(super) type Services = BTreeMap<(Ipv4Addr, u16), Service>;

/// All servers.
pub(super) struct Servers<'s> {
    /// Their stack.
    pub(super) stack: Stack,
    setup: Option<&'s Setup>,
    names: BTreeMap<String, Ipv4Addr>,
    name_server: SocketHandle,
    /// When the run began, for whom asks.
    start: Timestamp,
    time_server: Option<SocketHandle>,
    pushes: Vec<Vec<Waiting>>,
    listening: Vec<(Listener, SocketHandle)>,
    talking: Vec<Talk>,
    seeded: Seeded,
}

type Listener = ((Ipv4Addr, u16), Service);

struct Talk {
    service: Service,
    speaks: Speaks,
    socket: SocketHandle,
    channel: Channel,
    received: Vec<u8>,
    answered: usize,
    /// Messages still to be pushed, once they are asked for.
    pushes: Option<Vec<Waiting>>,
}

/// What the client was seen to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http,
    Http2,
    Websocket,
}

impl<'s> Servers<'s> {
    /// Servers that wait.
    pub(super) fn new(
        Model { gateway, hosts, .. }: &Model,
        duties: Duties,
        setup: Option<&'s Setup>,
        (start, seed): (Timestamp, u64),
        seeded: Seeded,
    ) -> Self {
        let Duties { services, pushes, time } = duties;
        let mut stack = Stack::new(gateway.mac, seed);
        stack.set_address(gateway.address, gateway.address);
        stack.take_any_address();
        let name_server = stack.udp(DNS_PORT);
        let names = hosts.iter().map(|host| (host.name.clone(), host.address)).collect();
        let listening = services.into_iter().map(|service| (service, listen(&mut stack, service))).collect();
        let time_server = time.map(|port| stack.udp(port));
        let talking = Vec::new();
        Self { stack, setup, names, name_server, start, time_server, pushes, listening, talking, seeded }
    }

    /// When something is to be done that no frame brings about.
    pub(super) fn next(&self, now: u64) -> Option<u64> {
        let waiting =
            self.talking.iter().filter(|talk| talk.answered > 0).filter_map(|talk| talk.pushes.as_ref());
        waiting.flatten().map(|waiting| waiting.at).filter(|at| *at > now).min()
    }

    /// Answers what has arrived; whether anything was done.
    pub(super) fn step(&mut self, now: u64) -> bool {
        let mut busy = self.answer_names() | self.tell_time(now);
        for (listener, socket) in &mut self.listening {
            if !self.stack.sockets.get::<tcp::Socket<'_>>(*socket).is_listening() {
                let taken = std::mem::replace(socket, listen(&mut self.stack, *listener));
                let ((address, _), service) = *listener;
                let encrypted = matches!(service, Service::Https | Service::Push { encrypted: true, .. });
                let tls = self
                    .setup
                    .filter(|_| encrypted)
                    .and_then(|setup| setup.server(address, self.seeded.fork()));
                self.talking.push(Talk {
                    service,
                    speaks: Speaks::Http,
                    socket: taken,
                    channel: Channel::new(tls),
                    received: Vec::new(),
                    answered: 0,
                    pushes: None,
                });
                busy = true;
            }
        }
        for talk in &mut self.talking {
            let socket = self.stack.sockets.get_mut::<tcp::Socket<'_>>(talk.socket);
            busy |= talk.step(now, socket, &self.pushes, &mut self.seeded);
        }
        busy
    }

    fn tell_time(&mut self, now: u64) -> bool {
        let Some(handle) = self.time_server else { return false };
        let socket = self.stack.sockets.get_mut::<udp::Socket<'_>>(handle);
        let Ok((message, from)) = socket.recv() else { return false };
        if let Some(answer) = ntp::answer(message, later(self.start, now)) {
            // From the address that was asked. A full buffer loses the answer.
            let _ = socket.send_slice(&answer, from);
        }
        true
    }

    fn answer_names(&mut self) -> bool {
        let socket = self.stack.sockets.get_mut::<udp::Socket<'_>>(self.name_server);
        let Ok((message, from)) = socket.recv() else { return false };
        let Some((id, name)) = dns::read_question(message) else { return true };
        let answer = dns::answer(id, &name, self.names.get(&name).copied());
        // A full buffer loses the answer, as on a busy line; the phone asks again.
        let _ = socket.send_slice(&answer, from.endpoint);
        true
    }
}

fn listen(stack: &mut Stack, ((address, port), _): Listener) -> SocketHandle {
    let handle = stack.tcp();
    let socket = stack.sockets.get_mut::<tcp::Socket<'_>>(handle);
    let at = IpListenEndpoint { addr: Some(address.into()), port };
    // Fails for port 0 and for an open socket only.
    let _ = socket.listen(at);
    handle
}

impl Talk {
    fn step(
        &mut self,
        now: u64,
        socket: &mut tcp::Socket<'_>,
        pushes: &[Vec<Waiting>],
        seeded: &mut Seeded,
    ) -> bool {
        let mut busy = self.channel.turn(socket, &mut self.received);
        while let Some(answer) = self.take_request(pushes, seeded) {
            self.channel.send(&answer);
            busy = true;
        }
        for due in
            self.pushes.iter_mut().flat_map(|waiting| waiting.extract_if(.., |waiting| waiting.at <= now))
        {
            self.channel.send(&due.packet);
            busy = true;
        }
        busy |= self.channel.turn(socket, &mut self.received);
        if self.channel.is_idle() && socket.state() == tcp::State::CloseWait {
            self.channel.close(socket);
            socket.close();
            busy = true;
        }
        busy
    }

    /// Takes a whole request off what was received, and gives its answer; a WebSocket's last frame has none.
    fn take_request(&mut self, pushes: &[Vec<Waiting>], seeded: &mut Seeded) -> Option<Vec<u8>> {
        if self.answered == 0 && http2::opens(&self.received) {
            self.speaks = Speaks::Http2;
        }
        let len = match (self.service, self.speaks) {
            (Service::Push { .. }, _) => mqtt::packet_len(&self.received),
            (Service::Opaque { up, .. }, _) => Some(up).filter(|up| *up > 0),
            (_, Speaks::Http) => http::message_len(&self.received),
            (_, Speaks::Http2) => http2::message_len(&self.received),
            (_, Speaks::Websocket) => websocket::frame_len(&self.received),
        };
        let len = len.filter(|len| *len <= self.received.len())?;
        let request: Vec<u8> = self.received.drain(..len).collect();
        match self.service {
            Service::Opaque { down, .. } => return Some(seeded.bytes(down)),
            Service::Push { list, .. } => {
                if mqtt::subscribes(&request) {
                    self.pushes = pushes.get(list).cloned();
                }
                self.answered += 1;
                return mqtt::answer(&request);
            }
            Service::Http | Service::Https => {}
        }
        let answer = match self.speaks {
            Speaks::Websocket if websocket::is_close(&request) => return None,
            Speaks::Websocket => websocket::answer(DONE),
            Speaks::Http2 if http2::is_get(&request) => http2::response("204", "", self.answered),
            Speaks::Http2 => http2::response("200", DONE, self.answered),
            Speaks::Http => match websocket::accept(&request) {
                Some(accepted) => {
                    self.speaks = Speaks::Websocket;
                    accepted
                }
                None => {
                    let last = request.windows(17).any(|line| line == b"Connection: close");
                    let is_get = request.starts_with(b"GET ");
                    let (status, body) = if is_get { ("204 No Content", "") } else { ("200 OK", DONE) };
                    http::response(status, body, last)
                }
            },
        };
        self.answered += 1;
        Some(answer)
    }
}
