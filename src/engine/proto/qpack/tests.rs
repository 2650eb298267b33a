//! The examples of RFC 9204 appendix B, and what hostile or gapped streams give.

use proptest::prelude::*;

use super::*;
use crate::evidence::hex_bytes;

fn bytes(hex: &str) -> Vec<u8> {
    hex_bytes(&hex.split_whitespace().collect::<String>()).unwrap()
}

fn text(part: Option<&[u8]>) -> String {
    part.map_or("?".to_owned(), |part| String::from_utf8_lossy(part).into_owned())
}

/// What the instructions put in.
fn insert(table: &mut Table, hex: &str, frame: u32) -> Vec<String> {
    let mut list = Vec::new();
    let each = &mut |insert: Insert<'_>| list.push(format!("{}: {}", text(insert.name), text(insert.value)));
    table.push(&bytes(hex), FrameNo(frame), each).unwrap();
    list
}

fn decoded(
    table: &Table,
    section: &[u8],
    frame: u32,
    capacity: Option<u64>,
) -> (Vec<String>, Result<(), Damage>) {
    let mut list = Vec::new();
    let result = table.decode(section, FrameNo(frame), capacity, &mut |field| {
        list.push(format!("{}: {}", text(field.name.as_deref()), text(field.value.as_deref())));
    });
    (list, result)
}

/// The capacity of the examples.
const CAPACITY: Option<u64> = Some(220);

fn section(table: &Table, hex: &str) -> Vec<String> {
    let (list, result) = decoded(table, &bytes(hex), 100, CAPACITY);
    assert_eq!(result, Ok(()), "{hex}");
    list
}

#[test]
fn the_exchange_of_rfc_9204_appendix_b() {
    let mut table = Table::default();
    assert_eq!(section(&table, "0000 510b 2f69 6e64 6578 2e68 746d 6c"), [":path: /index.html"]);
    let put = "3fbd01 c00f 7777 772e 6578 616d 706c 652e 636f 6d c10c 2f73 616d 706c 652f 7061 7468";
    assert_eq!(insert(&mut table, put, 1), [":authority: www.example.com", ":path: /sample/path"]);
    assert_eq!(table.capacity, 220);
    assert_eq!(section(&table, "0381 10 11"), [":authority: www.example.com", ":path: /sample/path"]);
    let put = "4a63 7573 746f 6d2d 6b65 790c 6375 7374 6f6d 2d76 616c 7565";
    assert_eq!(insert(&mut table, put, 2), ["custom-key: custom-value"]);
    assert_eq!(insert(&mut table, "02", 3), [":authority: www.example.com"]);
    let fields = [":authority: www.example.com", ":path: /", "custom-key: custom-value"];
    assert_eq!(section(&table, "0500 80 c1 81"), fields);
    assert_eq!(insert(&mut table, "810d 6375 7374 6f6d 2d76 616c 7565 32", 4), ["custom-key: custom-value2"]);
    assert_eq!(table.count(), 5);
}

#[test]
fn the_required_insert_count_is_that_of_rfc_9204_section_4_5_1_1() {
    // "If the dynamic table is 100 bytes, ... has received 10 inserts, then an encoded value of 4 indicates 9."
    assert_eq!(required(4, 3, 10), Ok(9));
    assert_eq!(required(7, 3, 10), Err(Damage::Prefix), "beyond the full range");
    assert_eq!(required(1, 3, 0), Err(Damage::Prefix), "none at all");
    for (inserted, entries) in [(0_u64, 5_u64), (3, 1), (17, 4), (1_000, 128)] {
        for count in (inserted + 1).saturating_sub(entries).max(1)..=inserted + entries {
            assert_eq!(
                required(count % (2 * entries) + 1, entries, inserted),
                Ok(count),
                "{inserted} {entries}"
            );
        }
    }
}

#[test]
fn a_section_that_came_before_its_entries_is_read_with_them() {
    let mut table = Table::default();
    insert(&mut table, "3fbd01 c00f 7777 772e 6578 616d 706c 652e 636f 6d", 50);
    // Captured in frame 10, blocked until frame 50 (section 2.1.2).
    let fields = vec![":authority: www.example.com".to_owned()];
    assert_eq!(decoded(&table, &bytes("0200 80"), 10, CAPACITY), (fields.clone(), Ok(())));
    // Without the other end's settings, what the encoder set stands in for them.
    assert_eq!(decoded(&table, &bytes("0200 80"), 10, None), (fields, Ok(())));
    // Without either, what refers to the table is unknown and all else is not.
    let unknown = vec!["?: ?".to_owned(), ":method: GET".to_owned()];
    assert_eq!(decoded(&Table::default(), &bytes("0200 80 d1"), 10, None), (unknown, Ok(())));
}

#[test]
fn after_a_gap_only_what_refers_to_it_is_unknown() {
    let mut table = Table::default();
    insert(&mut table, "3fbd01 c00f 7777 772e 6578 616d 706c 652e 636f 6d", 1);
    table.gap(1);
    assert_eq!(insert(&mut table, "c10161", 2), [""; 0]);
    let (fields, result) = decoded(&table, &bytes("0381 10 11 d1 2161 01 62 0000"), 3, CAPACITY);
    assert_eq!(result, Ok(()));
    let known = [":authority: www.example.com", "?: ?", ":method: GET", "a: b", ":authority: "];
    assert_eq!(fields, known);
}

#[test]
fn which_entry_is_meant_is_unknown_where_missing_ones_may_have_carried_the_count_further() {
    // A table of 3 entries at most: counts come round after 6.
    let section = |table: &Table, frame| decoded(table, &bytes("0200 80 d1"), frame, Some(100));
    let mut table = Table::default();
    table.push(&bytes("3f45 41 61 01 62"), FrameNo(1), &mut |_| ()).unwrap();
    assert_eq!(section(&table, 2).0, ["a: b", ":method: GET"]);
    // Two more bytes can put two more in: the first entry is still the only one that is meant.
    table.gap(2);
    assert_eq!(section(&table, 2), (vec!["a: b".to_owned(), ":method: GET".to_owned()], Ok(())));
    // With three more it may be the seventh.
    let _ = table.push(&[0], FrameNo(2), &mut |_| ());
    assert_eq!(section(&table, 2), (vec!["?: ?".to_owned(), ":method: GET".to_owned()], Ok(())));
}

#[test]
fn instructions_may_be_cut_anywhere() {
    let whole = bytes("3fbd01 c00f 7777 772e 6578 616d 706c 652e 636f 6d 02 80 0131");
    for cut in 0..whole.len() {
        let mut table = Table::default();
        let mut count = 0;
        for part in [&whole[..cut], &whole[cut..]] {
            // Only the last one is wrong: it names an entry that is not there.
            let _ = table.push(part, FrameNo(1), &mut |_| count += 1);
        }
        assert_eq!((count, table.count()), (1, 1), "cut at {cut}");
    }
}

#[test]
fn broken_sections_are_named_after_the_fields_before() {
    let table = Table::default();
    let damage = |hex: &str| decoded(&table, &bytes(hex), 1, CAPACITY);
    assert_eq!(damage("0000 d1 ff24"), (vec![":method: GET".to_owned()], Err(Damage::Index(99))));
    assert_eq!(damage("0000 80").1, Err(Damage::Index(0)), "no table is referred to");
    assert_eq!(damage("0000 51 05 61").1, Err(Damage::Broken(Broken::CutOff)));
    assert_eq!(damage("00").1, Err(Damage::Broken(Broken::CutOff)));
    assert_eq!(damage("0f00").1, Err(Damage::Prefix));
    assert_eq!(damage("0281 80").1, Err(Damage::Prefix), "a base below zero");
    let mut table = Table::default();
    assert!(table.push(&bytes("ff24 00"), FrameNo(1), &mut |_| ()).is_err(), "static entry 99");
    assert_eq!(insert(&mut table, "c10161", 2), [""; 0], "nothing more is put in");
}

proptest! {
    #[test]
    fn any_bytes_end(instructions: Vec<u8>, section: Vec<u8>, capacity in 0_u64..1_000) {
        let mut table = Table::default();
        let _ = table.push(&instructions, FrameNo(1), &mut |_| ());
        let _ = table.decode(&section, FrameNo(1), Some(capacity), &mut |_| ());
    }
}
