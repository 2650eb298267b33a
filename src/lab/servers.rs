//! The other side: the access point's name server and all servers behind it, on one stack.

use std::{collections::BTreeMap, net::Ipv4Addr};

use smoltcp::{
    iface::SocketHandle,
    socket::{tcp, udp},
    wire::IpListenEndpoint,
};

use super::{
    channel::Channel,
    encode::{dns, http, http2, websocket},
    model::Model,
    seeded::Seeded,
    stack::Stack,
    tls::Setup,
};

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
        services: Services,
        setup: Option<&'s Setup>,
        seed: u64,
        seeded: Seeded,
    ) -> Self {
        let mut stack = Stack::new(gateway.mac, seed);
        stack.set_address(gateway.address, gateway.address);
        stack.take_any_address();
        let name_server = stack.udp(DNS_PORT);
        let names = hosts.iter().map(|host| (host.name.clone(), host.address)).collect();
        let listening = services.into_iter().map(|service| (service, listen(&mut stack, service))).collect();
        Self { stack, setup, names, name_server, listening, talking: Vec::new(), seeded }
    }

    /// Answers what has arrived; whether anything was done.
    pub(super) fn step(&mut self) -> bool {
        let mut busy = self.answer_names();
        for (listener, socket) in &mut self.listening {
            if !self.stack.sockets.get::<tcp::Socket<'_>>(*socket).is_listening() {
                let taken = std::mem::replace(socket, listen(&mut self.stack, *listener));
                let ((address, _), service) = *listener;
                let tls = self
                    .setup
                    .filter(|_| service == Service::Https)
                    .and_then(|setup| setup.server(address, self.seeded.fork()));
                self.talking.push(Talk {
                    service,
                    speaks: Speaks::Http,
                    socket: taken,
                    channel: Channel::new(tls),
                    received: Vec::new(),
                    answered: 0,
                });
                busy = true;
            }
        }
        for talk in &mut self.talking {
            let socket = self.stack.sockets.get_mut::<tcp::Socket<'_>>(talk.socket);
            busy |= talk.step(socket, &mut self.seeded);
        }
        busy
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
    fn step(&mut self, socket: &mut tcp::Socket<'_>, seeded: &mut Seeded) -> bool {
        let mut busy = self.channel.turn(socket, &mut self.received);
        while let Some(answer) = self.take_request(seeded) {
            self.channel.send(&answer);
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
    fn take_request(&mut self, seeded: &mut Seeded) -> Option<Vec<u8>> {
        if self.answered == 0 && http2::opens(&self.received) {
            self.speaks = Speaks::Http2;
        }
        let len = match (self.service, self.speaks) {
            (Service::Opaque { up, .. }, _) => Some(up).filter(|up| *up > 0),
            (_, Speaks::Http) => http::message_len(&self.received),
            (_, Speaks::Http2) => http2::message_len(&self.received),
            (_, Speaks::Websocket) => websocket::frame_len(&self.received),
        };
        let len = len.filter(|len| *len <= self.received.len())?;
        let request: Vec<u8> = self.received.drain(..len).collect();
        if let Service::Opaque { down, .. } = self.service {
            return Some(seeded.bytes(down));
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
