//! What no wrapper of the list made: bytes behind XOR, a stream cipher or an encoding that nobody decodes. Nothing is
//! found in them, and nothing of them is called understood, whatever stands around them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code,
    reason = "a test may panic, and counts small things"
)]

#[path = "support/carry.rs"]
mod carry;
#[path = "support/wrap.rs"]
mod wrap;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use exhibit::{
    case::device::{Device, DeviceFile},
    engine::{
        correlate::{Catalog, Collector, FlowRef, Spool, conclude},
        decode::{
            Context, Conversation, Shared,
            sink::{LeafId, Origin, Place, Sink, Source},
            walk,
        },
        net::stream::Stream,
        proto::keylog::KeyLog,
    },
    evidence::{ByteRange, Digest, Direction, Limits, Scratch, Transport},
    findings::Step,
};

use carry::{CARRIERS, Carrier, Cut, Declared};
use wrap::WRAPPERS;

type Change = fn(&[u8]) -> Vec<u8>;

/// Ways to change bytes that nothing undoes, each with the bytes that must stay unaccounted for.
const UNKNOWN: [(&str, Change); 6] = [
    ("XOR with one byte", |bytes| bytes.iter().map(|byte| byte ^ 0x5a).collect()),
    ("XOR with four bytes", |bytes| {
        bytes.iter().zip(b"\x13\x9a\xc4\x77".iter().cycle()).map(|(a, b)| a ^ b).collect()
    }),
    // A hash in counter mode is a stream cipher: what comes out has no pattern.
    ("a stream cipher", |bytes| {
        bytes
            .chunks(32)
            .zip(0_u64..)
            .flat_map(|(block, no)| {
                let key = Digest::of(&[b"key".as_slice(), &no.to_be_bytes()].concat());
                block.iter().zip(key.0).map(|(a, b)| a ^ b).collect::<Vec<u8>>()
            })
            .collect()
    }),
    ("bytes turned round", |bytes| bytes.iter().rev().copied().collect()),
    // Ascii85 of four bytes a group, as PostScript has it; the rest stands as zeros.
    ("base 85", |bytes| {
        bytes
            .chunks(4)
            .flat_map(|group| {
                let mut word = [0; 4];
                word[..group.len()].copy_from_slice(group);
                let mut value = u32::from_be_bytes(word);
                let mut digits = [0; 5];
                for digit in digits.iter_mut().rev() {
                    *digit = b'!' + u8::try_from(value % 85).unwrap();
                    value /= 85;
                }
                digits
            })
            .collect()
    }),
    ("base 32", |bytes| {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let bits: Vec<u8> =
            bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
        bits.chunks(5)
            .map(|bits| ALPHABET[bits.iter().fold(0, |value, bit| value * 2 + usize::from(*bit))])
            .collect()
    }),
];

/// Hands leaves on, and keeps what was said of the uplink's bytes.
struct Said<'c> {
    collector: Collector<'c>,
    places: Vec<(ByteRange, Place)>,
}

impl Sink for Said<'_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        self.collector.open(origin)
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        self.collector.write(leaf, bytes, from);
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        self.collector.close(leaf, steps);
    }

    fn place(&mut self, direction: Direction, range: ByteRange, place: Place) {
        if direction == Direction::Up {
            self.places.push((range, place));
        }
    }
}

/// Bytes that were called understood, in the last word on each.
fn understood(places: &[(ByteRange, Place)], len: usize) -> usize {
    let mut bytes = vec![false; len];
    for (range, place) in places {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap().min(len);
        bytes[range].fill(*place == Place::Understood);
    }
    bytes.into_iter().filter(|understood| *understood).count()
}

/// Bytes without pattern, as compressed pixels are.
fn photo() -> Vec<u8> {
    let noise = (0_u64..40).flat_map(|no| Digest::of(&no.to_be_bytes()).0);
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".iter().copied().chain(noise).collect()
}

#[test]
fn unknown_encodings_stay_unknown_and_nothing_is_found_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let (limits, keys, scratch) = (Limits::default(), KeyLog::default(), Scratch::new(folder.path()));
    let content = photo();
    let file = DeviceFile::new("phone/photo.jpg".to_owned(), Arc::new(content.clone())).unwrap();
    let devices = BTreeMap::from([("phone".to_owned(), Device { files: vec![file] })]);
    let catalog = Catalog::build(&devices, &BTreeMap::new(), &[], &limits).unwrap();
    let mut cells = 0;
    for ((name, change), wrapper) in UNKNOWN.iter().flat_map(|way| WRAPPERS.iter().map(move |w| (way, w))) {
        let changed = change(&content);
        let Some(payload) = wrapper.wrap(&changed) else { continue };
        for (carrier, cut) in CARRIERS
            .into_iter()
            .flat_map(|carrier| [Cut::Whole, Cut::Pieces, Cut::Compressed].map(|cut| (carrier, cut)))
        {
            let declared = Declared { coding: wrapper.coding, media: wrapper.media };
            let (sent, received) = carrier.carry(&payload, declared, cut);
            let (up, down) = (Stream::of_bytes(&sent), Stream::of_bytes(&received));
            let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let conversation = Conversation {
                transport: Transport::Tcp,
                up: &up,
                down: &down,
                local: address(40_000),
                remote: address(8_080),
            };
            let spool = Spool::new(scratch.clone());
            let collector = Collector::new(&catalog, &spool, FlowRef { capture: 0, flow: 0 }, &limits);
            let mut said = Said { collector, places: Vec::new() };
            let context = Context::new(&limits, &keys, &scratch);
            walk(&conversation, &context, &mut Shared::default(), &mut said).unwrap();
            let known = understood(&said.places, sent.len());
            let what = format!("{name} in {} over {}, {cut:?}", wrapper.name, carrier.name());
            // The content can't be packed, so it takes its own length at the least.
            assert!(
                known + content.len() <= sent.len(),
                "{what}: {known} of {} bytes are understood",
                sent.len()
            );
            let harvest = said.collector.finish().unwrap();
            let outcome = conclude(&catalog, spool, vec![harvest], &limits).unwrap();
            assert!(outcome.hits.is_empty(), "{what}: {:?}", outcome.hits);
            cells += 1;
            if carrier == Carrier::Tcp {
                break;
            }
        }
    }
    println!("{cells} cells");
    assert!(cells > 1_500, "{cells} cells");
}
