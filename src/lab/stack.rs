//! A host: smoltcp's TCP/IP stack on a card.

use std::net::Ipv4Addr;

use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    socket::{tcp, udp},
    time::Instant,
    wire::{EthernetAddress, HardwareAddress, IpCidr},
};

use super::{link::Card, model::Mac};

/// Room for bytes under way in each direction of a connection.
const TCP_BUFFER: usize = 65_535;
/// Room for a few DNS messages.
const UDP_BUFFER: usize = 2_048;
const UDP_PACKETS: usize = 4;
/// The hosts share a /24.
const PREFIX: u8 = 24;

/// A stack, its card and its sockets.
pub(super) struct Stack {
    interface: Interface,
    pub(super) card: Card,
    pub(super) sockets: SocketSet<'static>,
}

impl Stack {
    /// A host without address; `seed` makes its initial sequence numbers.
    pub(super) fn new(mac: Mac, seed: u64) -> Self {
        let mut card = Card::default();
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac.0)));
        config.random_seed = seed;
        let interface = Interface::new(config, &mut card, instant(0));
        Self { interface, card, sockets: SocketSet::new(Vec::new()) }
    }

    /// Gives it an address and a default route.
    pub(super) fn set_address(&mut self, address: Ipv4Addr, router: Ipv4Addr) {
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            // Its capacity is at least one.
            let _ = addresses.push(IpCidr::new(address.into(), PREFIX));
        });
        let _ = self.interface.routes_mut().add_default_ipv4_route(router);
    }

    /// Whether it has an address.
    pub(super) fn has_address(&self) -> bool {
        self.interface.ipv4_addr().is_some()
    }

    /// Takes packets for any address that is routed through itself: it stands for all servers.
    pub(super) fn take_any_address(&mut self) {
        self.interface.set_any_ip(true);
    }

    /// Reads what arrived, sends what waits.
    pub(super) fn poll(&mut self, now: u64) {
        self.interface.poll(instant(now), &mut self.card, &mut self.sockets);
    }

    /// When it wants to be polled next, if by time.
    pub(super) fn poll_at(&mut self, now: u64) -> Option<u64> {
        let at = self.interface.poll_at(instant(now), &self.sockets)?;
        Some(u64::try_from(at.total_micros()).unwrap_or(0))
    }

    /// A new TCP socket.
    pub(super) fn tcp(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; TCP_BUFFER]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    /// A new UDP socket on `port`.
    pub(super) fn udp(&mut self, port: u16) -> SocketHandle {
        let buffer =
            || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; UDP_PACKETS], vec![0; UDP_BUFFER]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        // Fails for port 0 and for an open socket only.
        let _ = socket.bind(port);
        self.sockets.add(socket)
    }

    /// Opens a connection from `port`; whether that could be begun.
    pub(super) fn connect(&mut self, socket: SocketHandle, to: (Ipv4Addr, u16), port: u16) -> bool {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(socket);
        socket.connect(self.interface.context(), to, port).is_ok()
    }
}

fn instant(micros: u64) -> Instant {
    Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}
