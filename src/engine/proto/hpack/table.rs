//! The static table (RFC 7541 appendix A) and the dynamic one (section 2.3.2 and 4).

use std::{collections::VecDeque, rc::Rc};

/// Entries 1 to 61, in order.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The size of a dynamic table that nobody spoke about (RFC 9113 section 6.5.2).
pub const DEFAULT_SIZE: u64 = 4096;

/// The largest dynamic table that is kept. Browsers announce 64 KiB.
pub const MAX_SIZE: u64 = 1 << 20;

/// What an entry counts beside its bytes (section 4.1).
const OVERHEAD: u64 = 32;

/// A name with its value. Unknown where it was said in a part of the connection that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Option<Rc<[u8]>>,
    pub(super) value: Option<Rc<[u8]>>,
}

impl Entry {
    fn size(&self) -> u64 {
        let length = |text: &Option<Rc<[u8]>>| text.as_ref().map_or(0, |text| text.len() as u64);
        length(&self.name) + length(&self.value) + OVERHEAD
    }
}

/// What an index means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// This.
    Entry(Entry),
    /// Something that was said before what is known.
    Unknown,
    /// Nothing.
    Nothing,
}

/// The dynamic table.
#[derive(Debug)]
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: u64,
    max: u64,
    /// Whether entries may stand beyond those that are kept.
    more: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, max: DEFAULT_SIZE, more: false }
    }

    /// Forgets everything: what was said until now is not known.
    ///
    /// How large the table is isn't known either, and needs not be: the sender never names an entry that it evicted.
    pub(super) fn lose(&mut self) {
        *self = Self { entries: VecDeque::new(), size: 0, max: MAX_SIZE, more: true };
    }

    /// Changes its size, as a size update asks.
    pub(super) fn resize(&mut self, max: u64) {
        self.more |= max > MAX_SIZE;
        self.more &= max > 0;
        self.max = max.min(MAX_SIZE);
        self.evict();
    }

    /// Adds an entry; one that is larger than the table empties it (section 4.4).
    pub(super) fn insert(&mut self, entry: Entry) {
        self.size += entry.size();
        self.entries.push_front(entry);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.max
            && let Some(last) = self.entries.pop_back()
        {
            self.size -= last.size();
        }
    }

    /// The entry of an index, from 1.
    pub(super) fn get(&self, index: u64) -> Lookup {
        let Some(place) = index.checked_sub(1).and_then(|place| usize::try_from(place).ok()) else {
            return Lookup::Nothing;
        };
        if let Some(&(name, value)) = STATIC.get(place) {
            let text = |text: &str| Some(Rc::from(text.as_bytes()));
            return Lookup::Entry(Entry { name: text(name), value: text(value) });
        }
        match self.entries.get(place - STATIC.len()) {
            Some(entry) => Lookup::Entry(entry.clone()),
            None if self.more => Lookup::Unknown,
            None => Lookup::Nothing,
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: &str) -> Entry {
        Entry { name: Some(Rc::from(name.as_bytes())), value: Some(Rc::from(value.as_bytes())) }
    }

    #[test]
    fn static_entries_stand_first_and_the_newest_after_them() {
        let mut table = Table::new();
        table.insert(entry("a", "1"));
        table.insert(entry("b", "2"));
        assert_eq!(table.get(0), Lookup::Nothing);
        assert_eq!(table.get(2), Lookup::Entry(entry(":method", "GET")));
        assert_eq!(table.get(61), Lookup::Entry(entry("www-authenticate", "")));
        assert_eq!(table.get(62), Lookup::Entry(entry("b", "2")));
        assert_eq!(table.get(63), Lookup::Entry(entry("a", "1")));
        assert_eq!(table.get(64), Lookup::Nothing);
        assert_eq!(table.get(u64::MAX), Lookup::Nothing);
    }

    #[test]
    fn entries_leave_when_the_table_is_full_or_shrinks() {
        let mut table = Table::new();
        table.resize(2 * 34);
        for name in ["a", "b", "c"] {
            table.insert(entry(name, "x"));
        }
        assert_eq!((table.get(63), table.get(64)), (Lookup::Entry(entry("b", "x")), Lookup::Nothing));
        table.resize(34);
        assert_eq!((table.get(62), table.get(63)), (Lookup::Entry(entry("c", "x")), Lookup::Nothing));
        table.insert(entry("longer than the table", "x"));
        assert_eq!((table.get(62), table.size()), (Lookup::Nothing, 0));
    }

    #[test]
    fn what_was_said_before_a_loss_is_unknown_and_what_comes_after_is_known() {
        let mut table = Table::new();
        table.insert(entry("a", "1"));
        table.lose();
        assert_eq!(table.get(62), Lookup::Unknown);
        table.insert(entry("b", "2"));
        assert_eq!((table.get(62), table.get(63)), (Lookup::Entry(entry("b", "2")), Lookup::Unknown));
        // Emptied, nothing is unknown any more.
        table.resize(0);
        table.resize(4096);
        assert_eq!(table.get(62), Lookup::Nothing);
    }
}
