//! TFTP: a photo that a phone writes comes out whole, with the blocks in which it came; also where blocks come twice, and not
//! where one is missing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use exhibit::{evidence::Digest, findings::inspection::Inspection};

mod support;

use support::{Home, ends, packets, write};

const PHONE: ([u8; 4], u16) = ([192, 168, 1, 2], 40_000);
const SERVER: [u8; 4] = [203, 0, 113, 9];

fn photo() -> Vec<u8> {
    let noise = (0..3_000_u32).map(|no| (no.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]);
    [0xff, 0xd8, 0xff, 0xe0].into_iter().chain(noise).collect()
}

/// A transfer to the server (RFC 1350 section 2): request, then blocks and acknowledgements with the server's own port.
fn transfer(file: &[u8], change: impl Fn(usize, Vec<u8>) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let other = (SERVER, 55_000);
    let mut frames = vec![packets::udp(PHONE, (SERVER, 69), b"\0\x02IMG_0001.jpg\0octet\0")];
    let ack = |no: u16| packets::udp(other, PHONE, &[&[0, 4][..], &no.to_be_bytes()].concat());
    frames.push(ack(0));
    for (no, block) in file.chunks(512).enumerate() {
        let number = u16::try_from(no + 1).unwrap();
        let data = packets::udp(PHONE, other, &[&[0, 3][..], &number.to_be_bytes(), block].concat());
        frames.extend(change(no, data));
        frames.push(ack(number));
    }
    frames
}

fn inspected(home: &Home, frames: &[Vec<u8>]) -> Inspection {
    write(&home.path("c.pcap"), packets::pcap(frames));
    let text =
        ends(0, &mut home.exhibit(&["inspect", "c.pcap", "--phone", "192.168.1.2", "--format", "json"])).out;
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_file_that_was_written_comes_out_whole_also_when_blocks_come_twice() {
    let home = Home::new();
    for twice in [false, true] {
        let again =
            |no: usize, data: Vec<u8>| if twice && no == 2 { vec![data.clone(), data] } else { vec![data] };
        let seen = inspected(&home, &transfer(&photo(), again));
        let file = seen.messages.iter().find_map(|message| message.body.as_ref()).unwrap();
        assert_eq!((file.len, file.sha256, file.complete), (3_004, Some(Digest::of(&photo())), true));
        let told: Vec<(&str, &str)> =
            seen.messages.iter().map(|message| (message.kind.as_str(), message.name.as_str())).collect();
        assert_eq!(told, [("WRQ", "IMG_0001.jpg"), ("WRQ data", "IMG_0001.jpg")]);
    }
    write(&home.path("phone/IMG_0001.jpg"), photo());
    let found = ends(0, &mut home.exhibit(&["find", "c.pcap", "phone", "--phone", "192.168.1.2"])).out;
    assert!(found.contains("IMG_0001.jpg   whole file sent"), "{found}");
}

#[test]
fn a_missing_block_is_a_hole_and_no_request_no_transfer() {
    let home = Home::new();
    let without = |no: usize, data: Vec<u8>| if no == 2 { Vec::new() } else { vec![data] };
    let frames = transfer(&photo(), without);
    let seen = inspected(&home, &frames);
    let file = seen.messages.iter().find_map(|message| message.body.as_ref()).unwrap();
    assert_eq!((file.len, file.complete, file.sha256), (2_492, false, None));
    write(&home.path("phone/IMG_0001.jpg"), photo());
    let found = ends(0, &mut home.exhibit(&["find", "c.pcap", "phone", "--phone", "192.168.1.2"])).out;
    assert!(found.contains("IMG_0001.jpg   part sent"), "{found}");
    // The same datagrams without the request are no transfer of anything.
    let seen = inspected(&home, &frames[1..]);
    assert!(seen.messages.is_empty() && seen.flows.iter().all(|flow| flow.protocol != "tftp"));
}
