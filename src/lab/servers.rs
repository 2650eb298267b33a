//! The other side: the access point's name server and all servers behind it, on one stack.

use std::{collections::BTreeMap, net::Ipv4Addr};

use smoltcp::{
    iface::SocketHandle,
    socket::{tcp, udp},
    wire::IpListenEndpoint,
};

use super::{
    encode::{dns, http},
    model::{Gateway, Host},
    seeded::Seeded,
    stack::Stack,
};

const DNS_PORT: u16 = 53;

/// What a server does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Answers each HTTP request.
    Http,
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
pub(super) struct Servers {
    /// Their stack.
    pub(super) stack: Stack,
    names: BTreeMap<String, Ipv4Addr>,
    name_server: SocketHandle,
    listening: Vec<(Listener, SocketHandle)>,
    talking: Vec<Talk>,
    seeded: Seeded,
}

type Listener = ((Ipv4Addr, u16), Service);

struct Talk {
    service: Service,
    socket: SocketHandle,
    received: Vec<u8>,
    answer: Vec<u8>,
}

impl Servers {
    /// Servers that wait.
    pub(super) fn new(
        gateway: &Gateway,
        hosts: &[Host],
        services: Services,
        seed: u64,
        seeded: Seeded,
    ) -> Self {
        let mut stack = Stack::new(gateway.mac, seed);
        stack.set_address(gateway.address, gateway.address);
        stack.take_any_address();
        let name_server = stack.udp(DNS_PORT);
        let names = hosts.iter().map(|host| (host.name.clone(), host.address)).collect();
        let listening = services.into_iter().map(|service| (service, listen(&mut stack, service))).collect();
        Self { stack, names, name_server, listening, talking: Vec::new(), seeded }
    }

    /// Answers what has arrived; whether anything was done.
    pub(super) fn step(&mut self) -> bool {
        let mut busy = self.answer_names();
        for (listener, socket) in &mut self.listening {
            if !self.stack.sockets.get::<tcp::Socket<'_>>(*socket).is_listening() {
                let taken = std::mem::replace(socket, listen(&mut self.stack, *listener));
                let (received, answer) = (Vec::new(), Vec::new());
                self.talking.push(Talk { service: listener.1, socket: taken, received, answer });
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
        let before = self.received.len();
        while socket.can_recv() {
            let read = socket.recv(|bytes| {
                self.received.extend_from_slice(bytes);
                (bytes.len(), ())
            });
            if read.is_err() {
                break;
            }
        }
        let mut busy = self.received.len() > before;
        while let Some(answer) = self.take_request(seeded) {
            self.answer.extend(answer);
        }
        if !self.answer.is_empty() && socket.can_send() {
            let sent = socket.send_slice(&self.answer).unwrap_or(0);
            self.answer.drain(..sent);
            busy |= sent > 0;
        }
        if self.answer.is_empty() && socket.state() == tcp::State::CloseWait {
            socket.close();
            busy = true;
        }
        busy
    }

    /// Takes a whole request off what was received, and gives its answer.
    fn take_request(&mut self, seeded: &mut Seeded) -> Option<Vec<u8>> {
        match self.service {
            Service::Http => {
                let len = http::message_len(&self.received).filter(|len| *len <= self.received.len())?;
                let request: Vec<u8> = self.received.drain(..len).collect();
                let last = request.windows(17).any(|line| line == b"Connection: close");
                let is_get = request.starts_with(b"GET ");
                let (status, body) =
                    if is_get { ("204 No Content", "") } else { ("200 OK", "{\"ok\":true}") };
                Some(http::response(status, body, last))
            }
            Service::Opaque { up, down } => (self.received.len() >= up && up > 0).then(|| {
                self.received.drain(..up);
                seeded.bytes(down)
            }),
        }
    }
}
