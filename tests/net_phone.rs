//! Whom a capture shows to be the phone, and when it says nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test")]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use exhibit::{
    case::capture::Capture,
    engine::net::{
        self, Index, MacAddr,
        phone::{self, Found, Phone, PhoneGuess},
    },
    evidence::{FrameNo, Limits, Scratch},
};

const PHONE: [u8; 6] = [2, 0, 0, 0, 0, 0x11];
const LAPTOP: [u8; 6] = [2, 0, 0, 0, 0, 0x22];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A UDP datagram over Ethernet, of either IP version.
fn frame(mac: [u8; 6], from: (&str, u16), to: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16 + 8;
    let udp = [&from.1.to_be_bytes()[..], &to.1.to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload].concat();
    let (kind, header) = match (ip(from.0), ip(to.0)) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let start = [&[0x45, 0][..], &(len + 20).to_be_bytes(), &[0, 0, 0x40, 0, 64, 17, 0, 0]].concat();
            ([8, 0], [&start[..], &source.octets(), &destination.octets()].concat())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let start = [&[0x60, 0, 0, 0][..], &len.to_be_bytes(), &[17, 64]].concat();
            ([0x86, 0xdd], [&start[..], &source.octets(), &destination.octets()].concat())
        }
        _ => panic!("two versions"),
    };
    [&ROUTER[..], &mac, &kind, &header, &udp].concat()
}

/// A DHCP message (RFC 2131) of a type, for a client.
fn dhcp(op: u8, kind: u8, mac: [u8; 6], uses: &str, given: &str) -> Vec<u8> {
    let octets = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    let mut message = vec![0; 236];
    message[..4].copy_from_slice(&[op, 1, 6, 0]);
    message[12..16].copy_from_slice(&octets(uses));
    message[16..20].copy_from_slice(&octets(given));
    message[28..34].copy_from_slice(&mac);
    message.extend([99, 130, 83, 99, 0, 12, 2, b'h', b'i', 53, 1, kind, 255]);
    message
}

fn ack(mac: [u8; 6], given: &str) -> Vec<u8> {
    let message = dhcp(2, 5, mac, "0.0.0.0", given);
    frame(ROUTER, ("192.168.43.1", 67), ("255.255.255.255", 68), &message)
}

fn index(frames: &[Vec<u8>]) -> Index {
    let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for frame in frames {
        let len = frame.len() as u32;
        file.extend([1, 0, len, len].map(u32::to_le_bytes).concat());
        file.extend_from_slice(frame);
    }
    let capture = Capture::open("c", Arc::new(file), &Scratch::new(std::env::temp_dir())).unwrap();
    net::index(&capture, &Limits::default()).unwrap()
}

fn guess(frames: &[Vec<u8>]) -> PhoneGuess {
    phone::guess(&[&index(frames)])
}

fn asks(mac: [u8; 6], from: &str, count: u16) -> Vec<Vec<u8>> {
    (0..count).map(|port| frame(mac, (from, 5_000 + port), ("203.0.113.9", 443), b"hello")).collect()
}

fn found(addresses: &[&str], mac: Option<[u8; 6]>, how: Found) -> PhoneGuess {
    PhoneGuess::Found(Phone {
        addresses: addresses.iter().map(|a| ip(a)).collect(),
        mac: mac.map(MacAddr),
        how,
    })
}

#[test]
fn a_lease_names_the_phone_before_traffic_does() {
    let mut frames = asks(LAPTOP, "192.168.43.2", 50);
    frames.push(ack(PHONE, "192.168.43.17"));
    frames.extend(asks(PHONE, "192.168.43.17", 1));
    frames.push(frame(PHONE, ("2001:db8::17", 9), ("2001:db8::1", 443), b"x"));
    assert_eq!(guess(&frames), found(&["192.168.43.17", "2001:db8::17"], Some(PHONE), Found::Dhcp));
    assert_eq!(Found::Dhcp.to_string(), "dhcp");
}

#[test]
fn a_renewal_names_the_address_in_use_and_an_offer_none() {
    let renew = dhcp(1, 3, PHONE, "192.168.43.17", "0.0.0.0");
    let renew = frame(PHONE, ("192.168.43.17", 68), ("192.168.43.1", 67), &renew);
    assert_eq!(guess(&[renew]), found(&["192.168.43.17"], Some(PHONE), Found::Dhcp));
    let offer = dhcp(2, 2, PHONE, "0.0.0.0", "192.168.43.17");
    let offer = frame(ROUTER, ("192.168.43.1", 67), ("255.255.255.255", 68), &offer);
    assert_eq!(guess(&[offer]), PhoneGuess::None);
}

#[test]
fn two_clients_of_dhcp_that_both_talk_are_ambiguous() {
    let mut frames = vec![ack(PHONE, "192.168.43.17"), ack(LAPTOP, "192.168.43.2")];
    frames.extend(asks(PHONE, "192.168.43.17", 9));
    assert_eq!(guess(&frames), found(&["192.168.43.17"], Some(PHONE), Found::Dhcp), "the other is silent");
    frames.extend(asks(LAPTOP, "192.168.43.2", 1));
    let PhoneGuess::Ambiguous { candidates } = guess(&frames) else { panic!("{:?}", guess(&frames)) };
    assert_eq!(candidates.iter().map(|phone| phone.mac.unwrap().0).collect::<Vec<_>>(), [PHONE, LAPTOP]);
}

#[test]
fn the_busiest_private_address_needs_a_clear_lead() {
    let both = |laptop| [asks(PHONE, "192.168.43.17", 9), asks(LAPTOP, "192.168.43.2", laptop)].concat();
    assert_eq!(guess(&both(4)), found(&["192.168.43.17"], Some(PHONE), Found::Busiest));
    assert!(matches!(guess(&both(5)), PhoneGuess::Ambiguous { candidates } if candidates.len() == 2));
}

#[test]
fn addresses_behind_a_router_are_told_apart_by_address_alone() {
    let frames = [asks(ROUTER, "10.0.0.5", 9), asks(ROUTER, "10.0.0.6", 2), asks(ROUTER, "198.51.100.1", 99)];
    assert_eq!(guess(&frames.concat()), found(&["10.0.0.5"], None, Found::Busiest));
}

#[test]
fn of_a_flood_of_addresses_a_few_are_named() {
    let frames: Vec<Vec<u8>> =
        (0..40).flat_map(|n| asks(ROUTER, &format!("10.0.0.{}", 100 - n), 1 + n / 30)).collect();
    let PhoneGuess::Ambiguous { candidates } = guess(&frames) else { panic!("{:?}", guess(&frames)) };
    let busiest: Vec<String> = (61..=70).map(|n| format!("10.0.0.{n}")).collect();
    let named: Vec<String> = candidates.iter().map(|phone| phone.addresses[0].to_string()).collect();
    assert_eq!((&named[..10], named.len()), (&busiest[..], 16));
}

#[test]
fn public_addresses_loopback_and_group_traffic_make_no_phone() {
    let frames = [
        asks(PHONE, "198.51.100.7", 9),
        asks(PHONE, "127.0.0.1", 9),
        vec![frame(PHONE, ("192.168.43.17", 5353), ("224.0.0.251", 5353), b"x")],
        vec![frame(PHONE, ("192.168.43.17", 138), ("192.168.43.255", 138), b"x")],
    ];
    assert_eq!(guess(&frames.concat()), PhoneGuess::None);
    assert_eq!(phone::guess(&[]), PhoneGuess::None);
}

#[test]
fn another_machine_that_uses_the_phones_address_is_seen() {
    let frames = [asks(PHONE, "192.168.43.17", 2), asks(LAPTOP, "192.168.43.17", 1)].concat();
    let index = index(&frames);
    let seen: Vec<(IpAddr, [u8; 6], FrameNo)> =
        index.mac_bindings().iter().map(|binding| (binding.address, binding.mac.0, binding.frame)).collect();
    let address = ip("192.168.43.17");
    assert_eq!(seen, [(address, PHONE, FrameNo(1)), (address, LAPTOP, FrameNo(3))]);
}
