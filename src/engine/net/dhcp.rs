//! DHCP for IPv4, as far as it says which hardware address has which address (RFC 2131, RFC 2132).

use std::net::Ipv4Addr;

use super::{index::MacAddr, packet::Packet};
use crate::{case::capture::Frame, evidence::FrameNo};

const CLIENT: u16 = 68;
const SERVER: u16 = 67;
/// RFC 2131 section 3: the first four octets of the options.
const MAGIC: [u8; 4] = [99, 130, 83, 99];
/// Options of one message; it is a datagram, and each takes two octets.
const MAX_OPTIONS: usize = 256;

/// An address given to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) mac: MacAddr,
    pub(super) address: Ipv4Addr,
    pub(super) frame: FrameNo,
}

/// Records the lease that an acknowledgement tells of.
pub(super) fn lease(packet: &Packet<'_>, frame: &Frame<'_>, leases: &mut Vec<Lease>, max: usize) {
    let ports = (packet.source.port(), packet.destination.port());
    if !matches!(ports, (SERVER, CLIENT | SERVER) | (CLIENT, SERVER)) || leases.len() >= max {
        return;
    }
    let Some((mac, address)) = parse(packet.payload.data) else { return };
    if !leases.iter().any(|lease| (lease.mac, lease.address) == (mac, address)) {
        leases.push(Lease { mac, address, frame: frame.no });
    }
}

/// The client's hardware address and the address it has: of an ACK the given one, of a REQUEST the one
/// that the client already uses (renewing).
fn parse(message: &[u8]) -> Option<(MacAddr, Ipv4Addr)> {
    let address = |at: usize| message.get(at..)?.first_chunk::<4>().map(|&ip| Ipv4Addr::from(ip));
    let (&kind, &hardware, &len) = (message.first()?, message.get(1)?, message.get(2)?);
    if hardware != 1 || len != 6 || message.get(236..240)? != MAGIC {
        return None;
    }
    let mac = MacAddr(*message.get(28..)?.first_chunk()?);
    let (client, yours) = (address(12)?, address(16)?);
    let given = match (kind, message_type(message.get(240..)?)?) {
        (2, 5) if !yours.is_unspecified() => yours,
        (2, 5) | (1, 3) => client,
        _ => return None,
    };
    (!given.is_unspecified()).then_some((mac, given))
}

/// Option 53.
fn message_type(mut options: &[u8]) -> Option<u8> {
    for _ in 0..MAX_OPTIONS {
        let (&code, rest) = options.split_first()?;
        match code {
            0 => options = rest,
            255 => return None,
            _ => {
                let (&len, rest) = rest.split_first()?;
                let value = rest.get(..usize::from(len))?;
                if code == 53 {
                    return value.first().copied();
                }
                options = rest.get(usize::from(len)..)?;
            }
        }
    }
    None
}
