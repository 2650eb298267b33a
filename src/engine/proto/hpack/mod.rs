//! HPACK (RFC 7541): the header lists of HTTP/2, out of their blocks.
//!
//! Blocks of one direction enter in order, fields leave with their place in the block. Where a part of the
//! direction is missing, the fields that refer to it are unknown, and all others are not.

mod primitive;
mod table;

use std::{ops::Range, rc::Rc};

pub use primitive::{Broken, Coded, Cursor};
pub use table::{DEFAULT_SIZE, MAX_SIZE};

use table::{Entry, Lookup, Table};

/// One field of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; `None` where it was said in a part of the connection that is missing.
    pub name: Option<Rc<[u8]>>,
    /// Its value; `None` as for the name.
    pub value: Option<Rc<[u8]>>,
    /// Where in the block it is coded.
    pub place: Range<usize>,
    /// How.
    pub coded: Coded,
}

/// Why a block can't be read beyond a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Bytes that are no integer or string.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// An index of nothing (RFC 7541 section 2.3.3).
    #[error("index {0} names no field")]
    Index(u64),
    /// A size update after a field (section 4.2).
    #[error("a table size update stands after a field")]
    LateUpdate,
}

/// Decodes the blocks of one direction.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The largest table that an update asked for.
    largest: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Begins with a connection.
    pub fn new() -> Self {
        Self { table: Table::new(), largest: DEFAULT_SIZE }
    }

    /// A block is missing: what it said is not known.
    pub fn lose(&mut self) {
        self.table.lose();
    }

    /// The largest table that was asked for so far. The other side must have announced it.
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// Decodes a block. Fields are given as they come; none is longer than the block lets it be, or than an entry of the table.
    ///
    /// # Errors
    /// [`Damage`], after the fields before it. The table is lost then, and later blocks may be tried.
    pub fn decode(&mut self, block: &[u8], each: &mut dyn FnMut(Field)) -> Result<(), Damage> {
        let result = self.fields(block, each);
        if result.is_err() {
            self.lose();
        }
        result
    }

    fn fields(&mut self, block: &[u8], each: &mut dyn FnMut(Field)) -> Result<(), Damage> {
        let mut cursor = Cursor::new(block);
        let mut any = false;
        while let Some(first) = cursor.peek() {
            let start = cursor.begin();
            // Section 6: the leading bits tell what it is.
            let entry = match first.leading_zeros() {
                0 => self.indexed(cursor.integer(7)?)?,
                1 => {
                    let entry = self.literal(&mut cursor, 6)?;
                    self.table.insert(entry.clone());
                    entry
                }
                2 if any => return Err(Damage::LateUpdate),
                2 => {
                    let size = cursor.integer(5)?;
                    self.largest = self.largest.max(size);
                    self.table.resize(size);
                    continue;
                }
                // Without indexing, and never indexed.
                _ => self.literal(&mut cursor, 4)?,
            };
            any = true;
            let coded = cursor.coded(start, first & 0x80 == 0);
            each(Field { name: entry.name, value: entry.value, place: cursor.since(start), coded });
        }
        Ok(())
    }

    fn indexed(&self, index: u64) -> Result<Entry, Damage> {
        match self.table.get(index) {
            Lookup::Entry(entry) => Ok(entry),
            Lookup::Unknown => Ok(Entry { name: None, value: None }),
            Lookup::Nothing => Err(Damage::Index(index)),
        }
    }

    fn literal(&self, cursor: &mut Cursor<'_>, prefix: u32) -> Result<Entry, Damage> {
        let name = match cursor.integer(prefix)? {
            0 => Some(cursor.string(7)?),
            index => self.indexed(index)?.name,
        };
        Ok(Entry { name, value: Some(cursor.string(7)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn decoded(decoder: &mut Decoder, block: &[u8]) -> (Vec<String>, Result<(), Damage>) {
        let mut list = Vec::new();
        let text = |part: Option<Rc<[u8]>>| {
            part.map_or("?".to_owned(), |part| String::from_utf8(part.to_vec()).unwrap())
        };
        let result = decoder.decode(block, &mut |field| {
            list.push(format!("{}: {}", text(field.name), text(field.value)));
        });
        (list, result)
    }

    /// Blocks of one connection: hex, its list, the size of the table after it.
    fn connection(max: Option<u64>, blocks: &[(&str, &[&str], u64)]) {
        let mut decoder = Decoder::new();
        max.into_iter().for_each(|max| decoder.table.resize(max));
        for (hex, list, size) in blocks {
            let (fields, result) = decoded(&mut decoder, &bytes(hex));
            assert_eq!(
                (fields.as_slice(), result),
                (list.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice(), Ok(()))
            );
            assert_eq!(decoder.table.size(), *size, "{hex}");
        }
    }

    #[test]
    fn single_fields_of_rfc_7541_appendix_c_2() {
        connection(
            None,
            &[(
                "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
                &["custom-key: custom-header"],
                55,
            )],
        );
        connection(None, &[("040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"], 0)]);
        connection(None, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"], 0)]);
        connection(None, &[("82", &[":method: GET"], 0)]);
    }

    const REQUESTS: [&[&str]; 3] = [
        &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
        &[
            ":method: GET",
            ":scheme: http",
            ":path: /",
            ":authority: www.example.com",
            "cache-control: no-cache",
        ],
        &[
            ":method: GET",
            ":scheme: https",
            ":path: /index.html",
            ":authority: www.example.com",
            "custom-key: custom-value",
        ],
    ];

    #[test]
    fn requests_of_rfc_7541_appendix_c_3_and_c_4() {
        let [first, second, third] = REQUESTS;
        connection(
            None,
            &[
                ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", first, 57),
                ("8286 84be 5808 6e6f 2d63 6163 6865", second, 110),
                ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", third, 164),
            ],
        );
        connection(
            None,
            &[
                ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", first, 57),
                ("8286 84be 5886 a8eb 1064 9cbf", second, 110),
                ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", third, 164),
            ],
        );
    }

    #[test]
    fn responses_of_rfc_7541_appendix_c_5_and_c_6() {
        let lists: [&[&str]; 3] = [
            &[
                ":status: 302",
                "cache-control: private",
                "date: Mon, 21 Oct 2013 20:13:21 GMT",
                "location: https://www.example.com",
            ],
            &[
                ":status: 307",
                "cache-control: private",
                "date: Mon, 21 Oct 2013 20:13:21 GMT",
                "location: https://www.example.com",
            ],
            &[
                ":status: 200",
                "cache-control: private",
                "date: Mon, 21 Oct 2013 20:13:22 GMT",
                "location: https://www.example.com",
                "content-encoding: gzip",
                "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ],
        ];
        let [first, second, third] = lists;
        connection(
            Some(256),
            &[
                (
                    "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
                     2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
                     6c65 2e63 6f6d",
                    first,
                    222,
                ),
                ("4803 3330 37c1 c0bf", second, 222),
                (
                    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
                     54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
                     5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
                     3d31",
                    third,
                    215,
                ),
            ],
        );
        connection(
            Some(256),
            &[
                (
                    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
                     2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                    first,
                    222,
                ),
                ("4883 640e ffc1 c0bf", second, 222),
                (
                    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
                     77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
                     9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                    third,
                    215,
                ),
            ],
        );
    }

    #[test]
    fn fields_know_their_place_in_the_block() {
        let mut places = Vec::new();
        let block = bytes("20 3f e1 1f 82 86 0408 7a7a 7a7a 7a7a 7a7a");
        Decoder::new().decode(&block, &mut |field| places.push(field.place)).unwrap();
        assert_eq!(places, [4..5, 5..6, 6..16]);
    }

    #[test]
    fn values_know_their_place_and_form() {
        let mut forms = Vec::new();
        // An index; a literal as it stands; one in Huffman code; a name whose length takes a byte too many.
        let block = bytes("82 0402 2f61 0482 6402 007f8000");
        let block = [block, vec![b'a'; 127], vec![1, b'b']].concat();
        Decoder::new()
            .decode(&block, &mut |field| {
                let Coded { value, plain, shortest } = field.coded;
                forms.push((value, plain, shortest));
            })
            .unwrap();
        let wanted = [(0..1, false, true), (3..5, true, true), (7..9, false, true), (141..142, true, false)];
        assert_eq!(forms, wanted);
    }

    #[test]
    fn after_a_missing_block_only_what_refers_to_it_is_unknown() {
        let mut decoder = Decoder::new();
        let first = bytes("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d");
        decoded(&mut decoder, &first).1.unwrap();
        decoder.lose();
        // The authority of the first block, then a literal under a name that the missing block may have given.
        let (list, result) = decoded(&mut decoder, &bytes("82 be 7e0131 40016101 62 be"));
        assert_eq!(result, Ok(()));
        assert_eq!(list, [":method: GET", "?: ?", "?: 1", "a: b", "a: b"]);
        let (list, _) = decoded(&mut decoder, &bytes("be bf c0"));
        assert_eq!(list, ["a: b", "?: 1", "?: ?"]);
    }

    #[test]
    fn broken_blocks_are_named_and_later_ones_may_be_tried() {
        let damage = |hex: &str| decoded(&mut Decoder::new(), &bytes(hex));
        assert_eq!(damage("82 80"), (vec![":method: GET".to_owned()], Err(Damage::Index(0))));
        assert_eq!(damage("be").1, Err(Damage::Index(62)));
        assert_eq!(damage("82 20").1, Err(Damage::LateUpdate));
        assert_eq!(damage("00 05 61").1, Err(Damage::Broken(Broken::CutOff)));
        let mut decoder = Decoder::new();
        decoded(&mut decoder, &bytes("be")).1.unwrap_err();
        assert_eq!(decoded(&mut decoder, &bytes("82 be")).0, [":method: GET", "?: ?"]);
    }

    #[test]
    fn the_largest_table_is_remembered_and_a_huge_one_is_not_kept() {
        let mut decoder = Decoder::new();
        decoded(&mut decoder, &bytes("3f e1 ff 03")).1.unwrap();
        assert_eq!(decoder.largest(), 65_536);
        // 4 GiB: what stands beyond the cap is unknown, not an error.
        decoded(&mut decoder, &bytes("3f e1 ff ff ff 0f")).1.unwrap();
        assert_eq!(decoded(&mut decoder, &bytes("be")).0, ["?: ?"]);
    }
}
