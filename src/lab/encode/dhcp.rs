//! A DHCP exchange (RFC 2131, options of RFC 2132), each message in a whole Ethernet frame.
//!
//! The phone has no address yet, so these frames are built here down to Ethernet and don't pass
//! through the TCP/IP stack.

use std::net::Ipv4Addr;

const BROADCAST_MAC: [u8; 6] = [0xff; 6];
const BROADCAST: Ipv4Addr = Ipv4Addr::BROADCAST;
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
const LEASE_SECONDS: u32 = 3600;
/// Where the options start that a relay may not cut: BOOTP's 300 bytes (RFC 1542, section 2.1).
const SMALLEST_MESSAGE: usize = 300;

/// Who takes part.
pub(in crate::lab) struct Lease<'a> {
    /// The phone's Ethernet address.
    pub(in crate::lab) phone_mac: [u8; 6],
    /// What the phone calls itself (option 12).
    pub(in crate::lab) phone_name: &'a str,
    /// The gateway's Ethernet address.
    pub(in crate::lab) gateway_mac: [u8; 6],
    /// The gateway: router, name server and DHCP server.
    pub(in crate::lab) gateway: Ipv4Addr,
    /// The address that is leased.
    pub(in crate::lab) address: Ipv4Addr,
    /// The transaction's id.
    pub(in crate::lab) xid: u32,
}

/// The four messages, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::lab) enum Message {
    /// From the phone: who has an address?
    Discover = 1,
    /// From the gateway: this one.
    Offer = 2,
    /// From the phone: I take it.
    Request = 3,
    /// From the gateway: it is yours.
    Ack = 5,
}

impl Lease<'_> {
    /// The frame that carries `message`.
    pub(in crate::lab) fn frame(&self, message: Message) -> Vec<u8> {
        let from_phone = matches!(message, Message::Discover | Message::Request);
        let payload = self.bootp(message, from_phone);
        if from_phone {
            let udp = udp((NOBODY, CLIENT_PORT), (BROADCAST, SERVER_PORT), &payload);
            ethernet(BROADCAST_MAC, self.phone_mac, &ipv4(NOBODY, BROADCAST, &udp))
        } else {
            let udp = udp((self.gateway, SERVER_PORT), (self.address, CLIENT_PORT), &payload);
            ethernet(self.phone_mac, self.gateway_mac, &ipv4(self.gateway, self.address, &udp))
        }
    }

    fn bootp(&self, message: Message, from_phone: bool) -> Vec<u8> {
        let mut bytes = vec![if from_phone { 1 } else { 2 }, 1, 6, 0];
        bytes.extend(self.xid.to_be_bytes());
        bytes.extend([0; 4]); // seconds, flags: answers come to the Ethernet address
        let (yours, next) = if from_phone { (NOBODY, NOBODY) } else { (self.address, self.gateway) };
        for address in [NOBODY, yours, next, NOBODY] {
            bytes.extend(address.octets());
        }
        bytes.extend(self.phone_mac);
        bytes.extend([0; 10 + 64 + 128]); // rest of chaddr, sname, file
        bytes.extend(MAGIC_COOKIE);
        let mut option = |code: u8, value: &[u8]| {
            bytes.extend([code, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
            bytes.extend(value);
        };
        option(53, &[message as u8]);
        if from_phone {
            option(61, &[&[1], self.phone_mac.as_slice()].concat());
            if message == Message::Request {
                option(50, &self.address.octets());
                option(54, &self.gateway.octets());
            }
            option(12, self.phone_name.as_bytes());
            option(55, &[1, 3, 6, 15, 51]);
        } else {
            option(54, &self.gateway.octets());
            option(51, &LEASE_SECONDS.to_be_bytes());
            option(1, &[255, 255, 255, 0]);
            option(3, &self.gateway.octets());
            option(6, &self.gateway.octets());
        }
        bytes.push(255);
        bytes.resize(bytes.len().max(SMALLEST_MESSAGE), 0);
        bytes
    }
}

fn ethernet(to: [u8; 6], from: [u8; 6], packet: &[u8]) -> Vec<u8> {
    [&to[..], &from, &[0x08, 0x00], packet].concat()
}

/// RFC 791, section 3.1, without options.
fn ipv4(from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(length(20 + payload.len()));
    header.extend([0, 0, 0x40, 0, 64, 17]); // id 0, don't fragment, 64 hops, UDP
    let addresses = [from.octets(), to.octets()].concat();
    let sum = checksum(&[&header, &addresses]);
    header.extend(sum);
    header.extend(addresses);
    header.extend(payload);
    header
}

/// RFC 768, with its pseudo header.
fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let len = length(8 + payload.len());
    let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    let pseudo = [&from.0.octets()[..], &to.0.octets(), &[0, 17], &len].concat();
    let sum = checksum(&[&pseudo, &ports, &len, payload]);
    [&ports[..], &len, &sum, payload].concat()
}

fn length(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

/// RFC 1071 over parts of even length, but for the last.
pub(in crate::lab) fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|pair| match *pair {
            [high, low] => u32::from(u16::from_be_bytes([high, low])),
            [high] => u32::from(high) << 8,
            _ => 0,
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).map_or([0, 0], |sum| (!sum).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of RFC 1071, section 3.
    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        let words = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&[&words]), (!0xddf2_u16).to_be_bytes());
        assert_eq!(checksum(&[&[0x01]]), (!0x0100_u16).to_be_bytes());
    }

    #[test]
    fn the_four_messages_carry_what_the_phone_is_known_by() {
        let lease = Lease {
            phone_mac: [0x64, 9, 0x80, 0, 0, 1],
            phone_name: "phone",
            gateway_mac: [2, 0, 0, 0, 0, 1],
            gateway: Ipv4Addr::new(192, 168, 43, 1),
            address: Ipv4Addr::new(192, 168, 43, 17),
            xid: 0x0102_0304,
        };
        let discover = lease.frame(Message::Discover);
        assert_eq!(discover[..12], [255, 255, 255, 255, 255, 255, 0x64, 9, 0x80, 0, 0, 1]);
        let ack = lease.frame(Message::Ack);
        assert_eq!(ack[42 + 16..42 + 20], [192, 168, 43, 17]);
        assert_eq!(ack[42 + 236..42 + 243], [99, 130, 83, 99, 53, 1, 5]);
        let request = lease.frame(Message::Request);
        assert!(request.windows(6).any(|option| option == [50, 4, 192, 168, 43, 17]));
        assert!(!discover.windows(2).any(|option| option == [50, 4]));
    }
}
