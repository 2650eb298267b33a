//! SQLite databases as they lie on a phone, read and never run (sqlite.org/fileformat2.html).
//!
//! A database of a phone is hostile input. What is wanted of it are the rows of ordinary tables, so pages are read
//! by number from the file, with committed pages of the write-ahead log in their place; no statement, trigger, view
//! or index is ever looked at. Every page is visited once at most, so that no damage makes a loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::evidence::{Blob, read_exact_at};

/// The first bytes of every database (section 1.3.1).
pub const MAGIC: &[u8] = b"SQLite format 3\0";
/// Interior pages above a leaf: with the fewest cells to a page, 20 levels hold more rows than any disk.
const MAX_DEPTH: u32 = 20;
/// Bytes of one row; SQLite allows a gigabyte, a message or a contact takes a few thousand.
const MAX_ROW: u64 = 1 << 20;
/// Rows read of one table: the messages of a lifetime.
const MAX_ROWS: u64 = 1_000_000;
/// Columns of one table (SQLite's own limit is 2,000 unless built otherwise).
const MAX_COLUMNS: usize = 2_000;
/// Tables of one database.
const MAX_TABLES: u64 = 10_000;
/// Frames of a write-ahead log that are looked at: 64 GiB of pages.
const MAX_FRAMES: u64 = 1 << 24;

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number, as its eight bytes.
    Real([u8; 8]),
    /// Text, in UTF-8 whatever the database's encoding; bytes that are no text are replaced.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Names of its columns, in lower case.
    pub columns: Vec<String>,
    root: u32,
    /// Which column is another name of the row's number (section 2.3, INTEGER PRIMARY KEY).
    row_id: Option<usize>,
}

/// A row: its number, and values in the order of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The row's number.
    pub id: i64,
    /// Its values; columns that were added later may be missing at the end.
    pub values: Vec<Value>,
}

/// A database, open for reading.
pub struct Database {
    file: Arc<dyn Blob>,
    log: Option<Arc<dyn Blob>>,
    /// Pages that stand in the log, with their place there.
    logged: BTreeMap<u32, u64>,
    page_size: u64,
    usable: u64,
    encoding: Encoding,
    /// What was odd, in plain words, each once.
    pub problems: BTreeSet<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// A variable-length integer (section 1.6): its value and its length.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (place, &byte) in bytes.iter().enumerate().take(9) {
        if place == 8 {
            return Some(((value << 8) | u64::from(byte), 9));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, place + 1));
        }
    }
    None
}

impl Database {
    /// Opens a database, with its write-ahead log where there is one. None where the header is not a database's.
    pub fn open(file: Arc<dyn Blob>, log: Option<Arc<dyn Blob>>) -> Option<Self> {
        let mut head = [0; 100];
        let first = read_exact_at(&*file, &mut head, 0).is_ok() && head.starts_with(MAGIC);
        // A database that was never checkpointed may have its first page in the log alone.
        let mut database = Self {
            file,
            log,
            logged: BTreeMap::new(),
            page_size: 0,
            usable: 0,
            encoding: Encoding::Utf8,
            problems: BTreeSet::new(),
        };
        if !first {
            return None;
        }
        database.page_size = match be16(&head, 16)? {
            1 => 65_536,
            size if size >= 512 && size.is_power_of_two() => u64::from(size),
            _ => return None,
        };
        database.read_log();
        if let Some(page) = database.logged.contains_key(&1).then(|| database.page(1)).flatten() {
            head = *page.first_chunk()?;
        }
        database.usable =
            database.page_size.checked_sub(u64::from(*head.get(20)?)).filter(|size| *size >= 480)?;
        database.encoding = match be32(&head, 56)? {
            2 => Encoding::Utf16Le,
            3 => Encoding::Utf16Be,
            _ => Encoding::Utf8,
        };
        Some(database)
    }

    /// Finds the pages of the log that were committed (section 4): each frame must carry the log's salts and the
    /// running checksum, and only those up to the last commit count.
    fn read_log(&mut self) {
        let Some(log) = self.log.clone() else { return };
        let mut head = [0; 32];
        if log.len() < 32 || read_exact_at(&*log, &mut head, 0).is_err() {
            return;
        }
        let big = match be32(&head, 0) {
            Some(0x377f_0682) => false,
            Some(0x377f_0683) => true,
            _ => {
                self.problems.insert("the write-ahead log does not begin like one");
                return;
            }
        };
        if be32(&head, 8).map(u64::from) != Some(self.page_size) {
            self.problems.insert("the write-ahead log has another page size");
            return;
        }
        let salts = head.get(16..24).unwrap_or_default().to_vec();
        let mut sum = checksum((0, 0), head.get(..24).unwrap_or_default(), big);
        let size = self.page_size + 24;
        let mut frame = vec![0; usize::try_from(size).unwrap_or(0)];
        let mut pending = Vec::new();
        for no in 0..((log.len() - 32) / size).min(MAX_FRAMES) {
            let at = 32 + no * size;
            if read_exact_at(&*log, &mut frame, at).is_err() {
                break;
            }
            let (front, page) = frame.split_at(24);
            sum = checksum(sum, front.get(..8).unwrap_or_default(), big);
            sum = checksum(sum, page, big);
            let same = front.get(8..16) == Some(salts.as_slice())
                && be32(front, 16) == Some(sum.0)
                && be32(front, 20) == Some(sum.1);
            if !same {
                break;
            }
            pending.push((be32(front, 0).unwrap_or(0), at + 24));
            if be32(front, 4) != Some(0) {
                self.logged.extend(pending.drain(..));
            }
        }
    }

    fn page(&self, number: u32) -> Option<Vec<u8>> {
        let mut page = vec![0; usize::try_from(self.page_size).ok()?];
        let (blob, at) = match (self.logged.get(&number), &self.log) {
            (Some(at), Some(log)) => (log, *at),
            _ => (&self.file, u64::from(number.checked_sub(1)?) * self.page_size),
        };
        read_exact_at(&**blob, &mut page, at).ok()?;
        Some(page)
    }

    /// The ordinary tables of the database.
    pub fn tables(&mut self) -> Vec<Table> {
        let mut tables = Vec::new();
        let schema = Table { name: "sqlite_schema".to_owned(), columns: Vec::new(), root: 1, row_id: None };
        let mut rows = 0;
        self.rows(&schema, &mut |row| {
            rows += 1;
            if let [Value::Text(kind), Value::Text(name), _, Value::Integer(root), Value::Text(sql), ..] =
                row.values.as_slice()
                && kind == "table"
                && let Ok(root) = u32::try_from(*root)
                && let Some((columns, row_id)) = columns(sql)
            {
                tables.push(Table { name: name.clone(), columns, root, row_id });
            }
            rows < MAX_TABLES
        });
        tables
    }

    /// Gives the rows of a table, in the order of their numbers, until `each` says that it is enough.
    pub fn rows(&mut self, table: &Table, each: &mut dyn FnMut(Row) -> bool) {
        let mut walk = Walk { visited: BTreeSet::new(), left: MAX_ROWS };
        self.walk(table, table.root, 0, &mut walk, each);
        if walk.left == 0 {
            self.problems.insert("a table has more rows than are read");
        }
    }

    fn walk(
        &mut self,
        table: &Table,
        number: u32,
        depth: u32,
        walk: &mut Walk,
        each: &mut dyn FnMut(Row) -> bool,
    ) -> bool {
        let page = if depth <= MAX_DEPTH && walk.visited.insert(number) { self.page(number) } else { None };
        let Some(page) = page else {
            self.problems.insert("a page is missing, or stands in two places");
            return true;
        };
        let start = if number == 1 { 100 } else { 0 };
        let (kind, cells) = (page.get(start).copied(), be16(&page, start + 3).unwrap_or(0));
        let front = match kind {
            Some(0x05) => 12,
            Some(0x0d) => 8,
            _ => {
                self.problems.insert("a page is of another kind than its place says");
                return true;
            }
        };
        for cell in 0..usize::from(cells) {
            let Some(at) = be16(&page, start + front + cell * 2).map(usize::from) else { break };
            let cell = page.get(at..).unwrap_or_default();
            let goes_on = if kind == Some(0x05) {
                be32(cell, 0).is_none_or(|child| self.walk(table, child, depth + 1, walk, each))
            } else {
                match self.row(table, cell) {
                    Some(row) => {
                        walk.left = walk.left.saturating_sub(1);
                        each(row) && walk.left > 0
                    }
                    None => {
                        self.problems.insert("a row breaks the format, or is larger than what is read");
                        true
                    }
                }
            };
            if !goes_on {
                return false;
            }
        }
        match be32(&page, start + 8).filter(|_| kind == Some(0x05)) {
            Some(last) => self.walk(table, last, depth + 1, walk, each),
            None => true,
        }
    }

    /// A cell of a leaf page (section 1.6): the size, the row's number, and the start of the row's bytes.
    fn row(&self, table: &Table, cell: &[u8]) -> Option<Row> {
        let (size, taken) = varint(cell)?;
        let cell = cell.get(taken..)?;
        let (id, taken) = varint(cell)?;
        let cell = cell.get(taken..)?;
        if size > MAX_ROW {
            return None;
        }
        let bytes = self.payload(cell, size)?;
        let id = i64::from_be_bytes(id.to_be_bytes());
        let mut values = self.record(&bytes)?;
        if let Some(value) = table.row_id.and_then(|place| values.get_mut(place))
            && *value == Value::Null
        {
            *value = Value::Integer(id);
        }
        Some(Row { id, values })
    }

    /// The bytes of a row, from its page and the overflow pages after it.
    fn payload(&self, cell: &[u8], size: u64) -> Option<Vec<u8>> {
        let most = self.usable - 35;
        let local = if size <= most {
            size
        } else {
            let least = (self.usable - 12) * 32 / 255 - 23;
            let fitting = least + (size - least) % (self.usable - 4);
            if fitting <= most { fitting } else { least }
        };
        let local = usize::try_from(local).ok()?;
        let size = usize::try_from(size).ok()?;
        let mut bytes = cell.get(..local)?.to_vec();
        let mut next = if bytes.len() < size { be32(cell, local)? } else { 0 };
        // Each page gives bytes, so the size ends this.
        while bytes.len() < size {
            let page = self.page(next)?;
            next = be32(&page, 0)?;
            let end = usize::try_from(self.usable).ok()?;
            let part = page.get(4..end)?;
            let wanted = part.len().min(size - bytes.len());
            bytes.extend_from_slice(part.get(..wanted)?);
        }
        Some(bytes)
    }

    /// A record (section 2.1).
    fn record(&self, bytes: &[u8]) -> Option<Vec<Value>> {
        let (head, taken) = varint(bytes)?;
        let mut types = bytes.get(taken..usize::try_from(head).ok()?)?;
        let mut body = bytes.get(usize::try_from(head).ok()?..)?;
        let mut values = Vec::new();
        while !types.is_empty() && values.len() < MAX_COLUMNS {
            let (kind, taken) = varint(types)?;
            types = types.get(taken..)?;
            let len = match kind {
                0 | 8 | 9 => 0,
                1..=4 => usize::try_from(kind).ok()?,
                5 => 6,
                6 | 7 => 8,
                10 | 11 => return None,
                _ => usize::try_from((kind - 12) / 2).ok()?,
            };
            let (value, rest) = body.split_at_checked(len)?;
            body = rest;
            values.push(match kind {
                0 => Value::Null,
                7 => Value::Real(*value.first_chunk()?),
                8 => Value::Integer(0),
                9 => Value::Integer(1),
                1..=6 => Value::Integer(integer(value)),
                _ if kind % 2 == 0 => Value::Blob(value.to_vec()),
                _ => Value::Text(self.text(value)),
            });
        }
        Some(values)
    }

    fn text(&self, bytes: &[u8]) -> String {
        let units = |read: fn([u8; 2]) -> u16| {
            let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|pair| read(*pair)).collect();
            String::from_utf16_lossy(&units)
        };
        match self.encoding {
            Encoding::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Encoding::Utf16Le => units(u16::from_le_bytes),
            Encoding::Utf16Be => units(u16::from_be_bytes),
        }
    }
}

struct Walk {
    visited: BTreeSet<u32>,
    left: u64,
}

/// A big-endian integer of up to eight bytes, with its sign.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |value, &byte| (value << 8) | i64::from(byte))
}

/// The checksum of a write-ahead log (section 4.2).
fn checksum((mut one, mut two): (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    for pair in bytes.as_chunks::<8>().0 {
        let [a, b, c, d, e, f, g, h] = *pair;
        let read = |word: [u8; 4]| if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
        one = one.wrapping_add(read([a, b, c, d])).wrapping_add(two);
        two = two.wrapping_add(read([e, f, g, h])).wrapping_add(one);
    }
    (one, two)
}

/// The names of the columns that a CREATE TABLE statement lists, and which of them is the row's number. None for a
/// table without rows of its own (virtual, or WITHOUT ROWID, which is kept as an index).
fn columns(sql: &str) -> Option<(Vec<String>, Option<usize>)> {
    let lower = sql.to_ascii_lowercase();
    if lower.trim_start().starts_with("create virtual") {
        return None;
    }
    let open = sql.find('(')?;
    let close = sql.rfind(')')?;
    if lower.get(close..)?.contains("without") {
        return None;
    }
    let (mut names, mut row_id) = (Vec::new(), None);
    for part in parts(sql.get(open + 1..close)?).into_iter().take(MAX_COLUMNS) {
        let (name, rest) = name(part.trim());
        let word = name.to_ascii_lowercase();
        let quoted = part.trim().starts_with(['"', '`', '[', '\'']);
        if !quoted && matches!(word.as_str(), "primary" | "unique" | "check" | "foreign" | "constraint") {
            continue;
        }
        let rest = rest.to_ascii_lowercase();
        let mut words = rest.split_ascii_whitespace();
        if words.next() == Some("integer") && rest.contains("primary key") {
            row_id = Some(names.len());
        }
        names.push(word);
    }
    Some((names, row_id))
}

/// Splits at commas outside brackets and quotes.
fn parts(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut quote, mut start) = (Vec::new(), 0_u32, None, 0);
    for (at, c) in list.char_indices() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '[') => quote = Some(']'),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(list.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list.get(start..).unwrap_or_default());
    parts
}

/// The name at the front of a column's definition, without its quotes, and what follows.
fn name(definition: &str) -> (&str, &str) {
    let end = match definition.chars().next() {
        Some('[') => ']',
        Some(quote @ ('"' | '`' | '\'')) => quote,
        _ => {
            let end = definition.find(|c: char| c.is_ascii_whitespace()).unwrap_or(definition.len());
            return definition.split_at(end);
        }
    };
    let inner = definition.get(1..).unwrap_or_default();
    let close = inner.find(end).unwrap_or(inner.len());
    (inner.get(..close).unwrap_or_default(), inner.get(close + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_length_integers_are_those_of_the_format() {
        assert_eq!(varint(&[0x7f]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0x81]), None);
        assert_eq!((integer(&[0xff, 0xfe]), integer(&[0x01, 0x00]), integer(&[])), (-2, 256, 0));
    }

    #[test]
    fn columns_are_named_however_they_are_quoted() {
        let sql = "CREATE TABLE sms (_id INTEGER PRIMARY KEY, \"body\" TEXT, [odd, name] TEXT DEFAULT 'a,b', \
                   n NUMERIC(10,2), CHECK (n > 0), PRIMARY KEY (n))";
        let (names, row_id) = columns(sql).unwrap();
        assert_eq!(names, ["_id", "body", "odd, name", "n"]);
        assert_eq!(row_id, Some(0));
        assert_eq!(columns("CREATE TABLE t (a PRIMARY KEY) WITHOUT ROWID"), None);
        assert_eq!(columns("CREATE VIRTUAL TABLE t USING fts4(a)"), None);
    }

    #[test]
    fn what_is_no_database_is_none() {
        assert!(Database::open(Arc::new(b"SQLite format 3".to_vec()), None).is_none());
        let mut head = [MAGIC, &[0; 84]].concat();
        assert!(Database::open(Arc::new(head.clone()), None).is_none(), "page size 0");
        head[16] = 0x10;
        let mut database = Database::open(Arc::new(head), None).unwrap();
        assert!(database.tables().is_empty());
        assert!(!database.problems.is_empty());
    }
}
