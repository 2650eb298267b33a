//! HPACK beside another decoder: blocks that nobody wrote by hand give the same lists.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use exhibit::engine::proto::{hpack, huffman};
use fluke_hpack::decoder::DecoderError;
use proptest::prelude::*;

/// One representation of RFC 7541 section 6.
#[derive(Clone, Debug)]
enum Piece {
    Indexed(u64),
    Literal { bits: u8, prefix: u32, index: u64, name: Text, value: Text },
    Resize(u64),
    Any(Vec<u8>),
}

#[derive(Clone, Debug)]
enum Text {
    Plain(Vec<u8>),
    /// Bytes said to be Huffman code; most are not.
    Coded(Vec<u8>),
}

fn integer(bits: u8, prefix: u32, value: u64, block: &mut Vec<u8>) {
    let most = (1_u64 << prefix) - 1;
    if value < most {
        return block.push(bits | u8::try_from(value).unwrap());
    }
    block.push(bits | u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

fn encode(piece: &Piece, block: &mut Vec<u8>) {
    let string = |text: &Text, block: &mut Vec<u8>| {
        let (bits, bytes) = match text {
            Text::Plain(bytes) => (0, bytes),
            Text::Coded(bytes) => (0x80, bytes),
        };
        integer(bits, 7, bytes.len() as u64, block);
        block.extend_from_slice(bytes);
    };
    match piece {
        Piece::Indexed(index) => integer(0x80, 7, *index, block),
        Piece::Resize(size) => integer(0x20, 5, *size, block),
        Piece::Any(bytes) => block.extend_from_slice(bytes),
        Piece::Literal { bits, prefix, index, name, value } => {
            integer(*bits, *prefix, *index, block);
            if *index == 0 {
                string(name, block);
            }
            string(value, block);
        }
    }
}

fn text() -> impl Strategy<Value = Text> {
    // Each 5-bit code is one of `012aceiost`; ones at the end are padding.
    let coded = proptest::collection::vec(0_u8..10, 0..40).prop_map(|codes| {
        let mut bits: Vec<u8> =
            codes.iter().flat_map(|code| (0..5).rev().map(move |bit| code >> bit & 1)).collect();
        bits.resize(bits.len().next_multiple_of(8), 1);
        Text::Coded(bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect())
    });
    prop_oneof![
        60 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Text::Plain),
        60 => coded,
        1 => proptest::collection::vec(any::<u8>(), 0..12).prop_map(Text::Coded),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    let index = || prop_oneof![12 => Just(0), 12 => 1_u64..62, 1 => 62_u64..75];
    let kind = prop_oneof![3 => Just((0x40_u8, 6_u32)), 1 => Just((0x00, 4)), 1 => Just((0x10, 4))];
    prop_oneof![
        10 => (1_u64..62).prop_map(Piece::Indexed),
        4 => (62_u64..66).prop_map(Piece::Indexed),
        30 => (kind, index(), text(), text())
            .prop_map(|((bits, prefix), index, name, value)| Piece::Literal { bits, prefix, index, name, value }),
        1 => proptest::collection::vec(any::<u8>(), 0..8).prop_map(Piece::Any),
    ]
}

fn blocks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let resize =
        proptest::option::weighted(0.3, prop_oneof![0_u64..400, 0_u64..5_000].prop_map(Piece::Resize));
    let block = (resize, proptest::collection::vec(piece(), 1..12)).prop_map(|(resize, pieces)| {
        let mut block = Vec::new();
        resize.iter().chain(&pieces).for_each(|piece| encode(piece, &mut block));
        block
    });
    proptest::collection::vec(block, 1..8)
}

type List = Vec<(Vec<u8>, Vec<u8>)>;

fn ours(decoder: &mut hpack::Decoder, block: &[u8]) -> Result<List, hpack::Damage> {
    let mut list = List::new();
    decoder.decode(block, &mut |field| {
        list.push((field.name.unwrap().to_vec(), field.value.unwrap().to_vec()));
    })?;
    Ok(list)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_same_lists_as_fluke_hpack(blocks in blocks()) {
        let (mut decoder, mut peer) = (hpack::Decoder::new(), fluke_hpack::Decoder::new());
        for block in blocks {
            // Where bytes drawn at random hold a size update, the peer lets it pass after a field and refuses it at
            // the end; we do the opposite. After an error a connection is over.
            let list = ours(&mut decoder, &block);
            // The peer panics on a size update that is cut off or too long.
            if matches!(list, Err(hpack::Damage::LateUpdate | hpack::Damage::Broken(hpack::Broken::CutOff | hpack::Broken::IntegerTooLong))) {
                break;
            }
            match (list, peer.decode(&block)) {
                (Ok(_), Err(DecoderError::SizeUpdateAtEnd)) => break,
                (Err(_), Err(_)) => break,
                (Ok(list), theirs) => prop_assert_eq!(Ok(list), theirs, "{:02x?}", block),
                (Err(damage), Ok(theirs)) => prop_assert!(false, "{damage}: {theirs:?} {block:02x?}"),
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..6), lost in any::<bool>()) {
        let mut decoder = hpack::Decoder::new();
        if lost {
            decoder.lose();
        }
        for block in blocks {
            let mut last = 0;
            let _ = decoder.decode(&block, &mut |field| {
                assert!(field.place.start >= last && field.place.end <= block.len());
                last = field.place.end;
            });
            let mut text = Vec::new();
            let _ = huffman::decode(&block, &mut text);
            assert!(text.len() <= block.len() * 8 / 5);
        }
    }
}

/// What the peer's encoder makes comes back.
#[test]
fn lists_of_another_encoder_come_back() {
    let (mut encoder, mut decoder) = (fluke_hpack::Encoder::new(), hpack::Decoder::new());
    for round in 0..200_u32 {
        let value = (round % 7).to_string();
        let list: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":path", b"/upload"),
            (b"x-round", value.as_bytes()),
            (b"cookie", &[b'c'; 300]),
        ];
        let block = encoder.encode(list.iter().copied());
        let expected: List = list.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        assert_eq!(ours(&mut decoder, &block), Ok(expected), "round {round}");
    }
}
