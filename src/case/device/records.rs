//! Records of the phone: messages, calls and contacts, out of its databases and out of exports.
//!
//! A device file enters; [`Record`]s leave, each one value of one row with the name by which findings call it. Which
//! file holds records is told by its content: SQLite databases with Android's tables, vCards, photos with Exif, lists of
//! packages, and CSV or JSON tables with columns of known names. Everything else holds none.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value as Json;

use super::{
    FileKind, binary_xml, exif, packages,
    sqlite::{Database, MAGIC, Row, Table, Value},
};
use crate::evidence::{Blob, Timestamp, read_exact_at};

/// Records of one device folder: the messages and contacts of a lifetime.
pub const MAX_RECORDS: usize = 200_000;
/// Bytes of a text export that are read; larger files are no export of records.
const MAX_TEXT: u64 = 64 << 20;
/// Places where photos were taken: each is looked for in seventy spellings, and every needle makes every other weaker.
const MAX_PLACES: usize = 10;
/// Packages of one phone; a list of a few is told as well as one of all.
const MAX_PACKAGES: usize = 500;
/// Bytes of one value; a message may be long, a field of megabytes is none of these.
const MAX_VALUE: usize = 64 << 10;

/// What a record's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// What somebody wrote: the body of a message.
    Message,
    /// The number or address of somebody: of a message, a call or a contact.
    Number,
    /// The name of a contact.
    Name,
    /// A mail address of a contact.
    Mail,
    /// Where a photo was taken: latitude and longitude in degrees.
    Location,
    /// The serial number of a camera or lens, or of one photo.
    Serial,
    /// The name of a program that is installed.
    Package,
    /// When a call began, in milliseconds since 1970: of all values of a call the one that no other call has.
    Call,
}

impl RecordKind {
    /// The kind as findings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Number => "number",
            Self::Name => "name",
            Self::Mail => "mail",
            Self::Location => "location",
            Self::Serial => "serial",
            Self::Package => "package",
            Self::Call => "call",
        }
    }
}

/// One value of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `PATH#TABLE/ROW/COLUMN`, or `PATH#ID` where the row says what it is called.
    pub name: String,
    /// What the value is.
    pub kind: RecordKind,
    /// The value as it stands there.
    pub value: String,
    /// When it was made, where its row says so.
    pub created: Option<Timestamp>,
}

/// What a device's files gave.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// In the order of files and rows.
    pub records: Vec<Record>,
    /// What was odd or left out, by file, in plain words.
    pub problems: BTreeMap<String, Vec<String>>,
}

impl Records {
    /// Reads one file; `beside` gives the file of another name in the same folder (a write-ahead log).
    pub fn read(&mut self, path: &str, blob: &Arc<dyn Blob>, beside: &dyn Fn(&str) -> Option<Arc<dyn Blob>>) {
        let mut head = [0; 32];
        let len = usize::try_from(blob.len()).unwrap_or(usize::MAX).min(head.len());
        let Some(head) = head.get_mut(..len) else { return };
        if read_exact_at(&**blob, head, 0).is_err() {
            return;
        }
        if head.starts_with(MAGIC) {
            self.database(path, blob, beside(&format!("{path}-wal")));
            return;
        }
        if FileKind::of(head) == FileKind::Photo {
            return self.photo(path, blob);
        }
        let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let vcard = head.get(..11).is_some_and(|start| start.eq_ignore_ascii_case(b"BEGIN:VCARD"));
        let table = matches!(ending.as_deref(), Some("csv" | "json"));
        let list = packages::is_list(path, head);
        if (!vcard && !table && !list) || blob.len() > MAX_TEXT {
            return;
        }
        let mut bytes = vec![0; usize::try_from(blob.len()).unwrap_or(0)];
        if read_exact_at(&**blob, &mut bytes, 0).is_err() {
            return;
        }
        if list && bytes.starts_with(binary_xml::MAGIC) {
            let (names, end) = packages::names_of_binary(&bytes);
            if end.is_err() {
                self.problem(path, "binary XML that is damaged; what follows is not read");
            }
            return self.packages(path, &names);
        }
        let text = String::from_utf8_lossy(&bytes);
        match ending.as_deref() {
            _ if vcard => self.vcards(path, &text),
            _ if list => self.packages(path, &packages::names(&text)),
            Some("csv") => self.csv(path, &text),
            _ => self.json(path, &text),
        }
    }

    fn packages(&mut self, path: &str, names: &[&str]) {
        let known = self.records.iter().filter(|record| record.kind == RecordKind::Package).count();
        if names.len() > MAX_PACKAGES.saturating_sub(known) {
            self.problem(path, "more packages than are looked for");
        }
        for name in names.iter().take(MAX_PACKAGES.saturating_sub(known)) {
            self.push(path, &format!("package/{name}"), RecordKind::Package, name, None);
        }
    }

    /// What a photo says of itself. Of photos of one place the first is enough.
    fn photo(&mut self, path: &str, blob: &Arc<dyn Blob>) {
        for (name, kind, value) in exif::fields(blob) {
            if kind == RecordKind::Location {
                let mut places = self.records.iter().filter(|record| record.kind == kind);
                let known = places.clone().any(|place| exif::is_near(&place.value, &value));
                if known || places.nth(MAX_PLACES - 1).is_some() {
                    continue;
                }
            }
            self.push(path, &format!("exif/{name}"), kind, &value, None);
        }
    }

    fn problem(&mut self, path: &str, what: &str) {
        let problems = self.problems.entry(path.to_owned()).or_default();
        if !problems.iter().any(|known| known == what) {
            problems.push(what.to_owned());
        }
    }

    fn push(&mut self, path: &str, row: &str, kind: RecordKind, value: &str, created: Option<Timestamp>) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        if value.len() > MAX_VALUE || self.records.len() >= MAX_RECORDS {
            self.problem(path, "more or longer values than are looked for");
            return;
        }
        self.records.push(Record { name: format!("{path}#{row}"), kind, value: value.to_owned(), created });
    }

    fn database(&mut self, path: &str, blob: &Arc<dyn Blob>, log: Option<Arc<dyn Blob>>) {
        let Some(mut database) = Database::open(Arc::clone(blob), log) else {
            return self.problem(path, "not a database that can be read");
        };
        for table in database.tables() {
            let columns = known_columns(&table.name.to_ascii_lowercase(), &table);
            if columns.is_empty() {
                continue;
            }
            database.rows(&table, &mut |row| {
                self.row(path, &table, &columns, &row);
                self.records.len() < MAX_RECORDS
            });
        }
        for problem in std::mem::take(&mut database.problems) {
            self.problem(path, problem);
        }
    }

    fn row(&mut self, path: &str, table: &Table, columns: &[(usize, RecordKind)], row: &Row) {
        let place = |name: &str| table.columns.iter().position(|column| column == name);
        let date = ["date", "date_sent", "timestamp"].iter().find_map(|name| {
            match row.values.get(place(name)?)? {
                Value::Integer(millis) => since_epoch(*millis),
                _ => None,
            }
        });
        for &(column, kind) in columns {
            let mut kind = kind;
            let name = table.columns.get(column).map_or("", String::as_str);
            if let (RecordKind::Call, Some(Value::Integer(millis))) = (kind, row.values.get(column)) {
                let row = format!("{}/{}/{name}", table.name, row.id);
                self.push(path, &row, kind, &millis.to_string(), date);
                continue;
            }
            let Some(Value::Text(value)) = row.values.get(column) else { continue };
            let whole;
            let value = if name.eq_ignore_ascii_case("sub") {
                whole = subject(value);
                &whole
            } else {
                value
            };
            if table.name.eq_ignore_ascii_case("data") {
                match by_value(value) {
                    Some(told) => kind = told,
                    None => continue,
                }
            }
            self.push(path, &format!("{}/{}/{name}", table.name, row.id), kind, value, date);
        }
    }

    /// Contacts (RFC 6350, and versions 2.1 and 3.0): numbers, names and mail addresses.
    fn vcards(&mut self, path: &str, text: &str) {
        let mut card = 0;
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for line in unfolded(text) {
            let Some((head, value)) = line.split_once(':') else { continue };
            let property = head.split(';').next().unwrap_or_default();
            let property = property.rsplit('.').next().unwrap_or_default().to_ascii_uppercase();
            let (kind, name) = match property.as_str() {
                "BEGIN" => {
                    card += 1;
                    counts.clear();
                    continue;
                }
                "TEL" => (RecordKind::Number, "tel"),
                "FN" => (RecordKind::Name, "fn"),
                "EMAIL" => (RecordKind::Mail, "email"),
                _ => continue,
            };
            let count = counts.entry(name).or_default();
            *count += 1;
            let value = value.strip_prefix("tel:").unwrap_or(value).replace("\\,", ",").replace("\\;", ";");
            self.push(path, &format!("vcard/{card}/{name}-{count}"), kind, &value, None);
        }
    }

    fn csv(&mut self, path: &str, text: &str) {
        let mut rows = comma_separated(text.trim_start_matches('\u{feff}')).into_iter();
        let Some(head) = rows.next() else { return };
        let head: Vec<String> = head.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
        for (no, row) in (1..).zip(rows) {
            let fields = head.iter().map(String::as_str).zip(row.iter().map(String::as_str)).collect();
            self.fields(path, no, &fields);
        }
    }

    fn json(&mut self, path: &str, text: &str) {
        let Ok(rows) = serde_json::from_str::<Vec<BTreeMap<String, Json>>>(text) else { return };
        for (no, row) in (1..).zip(&rows) {
            let texts: Vec<(&str, String)> = row
                .iter()
                .filter_map(|(name, value)| match value {
                    Json::String(text) => Some((name.as_str(), text.clone())),
                    // A number stands as it is written.
                    Json::Number(number) => Some((name.as_str(), number.to_string())),
                    _ => None,
                })
                .collect();
            let fields = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
            self.fields(path, no, &fields);
        }
    }

    /// A row of an export, by the names of its columns.
    fn fields(&mut self, path: &str, no: usize, fields: &BTreeMap<&str, &str>) {
        let date =
            fields.get("date").and_then(|date| date.parse().ok().or_else(|| since_epoch(date.parse().ok()?)));
        let id = fields.get("id").copied().filter(|id| !id.is_empty());
        let mut told = 0;
        for (column, kind) in EXPORT_COLUMNS {
            let Some(value) = fields.get(column) else { continue };
            // The first value of a row that says what it is called has that name; the others say which column.
            let row = match id {
                Some(id) if told == 0 => id.to_owned(),
                Some(id) => format!("{id}/{column}"),
                None => format!("{no}/{column}"),
            };
            told += 1;
            self.push(path, &row, *kind, value, date);
        }
        // Only a call has a length.
        if let Some(date) = date.filter(|_| fields.contains_key("duration") && told > 0) {
            let row = id.map_or_else(|| no.to_string(), str::to_owned);
            let millis = (date.0 / 1_000_000).to_string();
            self.push(path, &format!("{row}/date"), RecordKind::Call, &millis, Some(date));
        }
    }
}

/// Columns of exports, most telling first.
const EXPORT_COLUMNS: &[(&str, RecordKind)] = &[
    ("body", RecordKind::Message),
    ("text", RecordKind::Message),
    ("number", RecordKind::Number),
    ("address", RecordKind::Number),
    ("phone", RecordKind::Number),
    ("name", RecordKind::Name),
    ("email", RecordKind::Mail),
];

/// Columns of Android's providers that hold values of people: `mmssms.db` (sms, part, addr, canonical_addresses),
/// `calllog.db` and the older `contacts2.db` (calls, data, raw_contacts).
fn known_columns(name: &str, table: &Table) -> Vec<(usize, RecordKind)> {
    let wanted: &[(&str, RecordKind)] = match name {
        "sms" => &[("body", RecordKind::Message), ("address", RecordKind::Number)],
        "pdu" => &[("sub", RecordKind::Message)],
        "part" => &[("text", RecordKind::Message)],
        "addr" | "canonical_addresses" => &[("address", RecordKind::Number)],
        "calls" => &[("number", RecordKind::Number), ("name", RecordKind::Name), ("date", RecordKind::Call)],
        "raw_contacts" => &[("display_name", RecordKind::Name)],
        "data" => &[("data1", RecordKind::Number)],
        _ => &[],
    };
    let place = |name: &str| table.columns.iter().position(|column| column == name);
    wanted.iter().filter_map(|(column, kind)| Some((place(column)?, *kind))).collect()
}

/// The subject of an MMS: Android keeps the bytes of its UTF-8 as if they were Latin-1 (`PduPersister.toIsoString`).
fn subject(kept: &str) -> String {
    let bytes: Option<Vec<u8>> = kept.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| kept.to_owned())
}

/// What a value of a contact's `data` row is: its type stands in another table, so its shape tells.
fn by_value(value: &str) -> Option<RecordKind> {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let number = |c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.' | '#' | '*');
    if digits >= 5 && value.chars().all(number) {
        Some(RecordKind::Number)
    } else if value.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.')) {
        Some(RecordKind::Mail)
    } else {
        (value.chars().filter(|c| c.is_alphabetic()).count() >= 2).then_some(RecordKind::Name)
    }
}

/// Milliseconds or seconds since 1970; smaller numbers than a year of seconds are no date.
fn since_epoch(number: i64) -> Option<Timestamp> {
    let number = u64::try_from(number).ok()?;
    let millis = match number {
        31_536_000..=99_999_999_999 => number.checked_mul(1_000)?,
        100_000_000_000.. => number,
        _ => return None,
    };
    millis.checked_mul(1_000_000).map(Timestamp)
}

/// Lines of a vCard; one that begins with a blank goes on with the last (RFC 6350 section 3.2).
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some(last)) => last.push_str(rest),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// Rows of RFC 4180.
fn comma_separated(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field).trim_end_matches('\r').to_owned());
                rows.push(std::mem::take(&mut row));
            }
            _ => field.push(letter),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, bytes: &[u8]) -> Vec<(String, RecordKind, String)> {
        let mut records = Records::default();
        let blob: Arc<dyn Blob> = Arc::new(bytes.to_vec());
        records.read(path, &blob, &|_| None);
        assert!(records.problems.is_empty(), "{:?}", records.problems);
        records.records.into_iter().map(|record| (record.name, record.kind, record.value)).collect()
    }

    fn one(name: &str, kind: RecordKind, value: &str) -> (String, RecordKind, String) {
        (name.to_owned(), kind, value.to_owned())
    }

    #[test]
    fn vcards_give_numbers_names_and_mail() {
        let card =
            b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ann\r\n  Example\r\nitem1.TEL;TYPE=CELL:+852 9876 5432\r\n\
                     TEL:2345\r\nEMAIL:ann@post.example\r\nEND:VCARD\r\n";
        let wanted = [
            one("c.vcf#vcard/1/fn-1", RecordKind::Name, "Ann Example"),
            one("c.vcf#vcard/1/tel-1", RecordKind::Number, "+852 9876 5432"),
            one("c.vcf#vcard/1/tel-2", RecordKind::Number, "2345"),
            one("c.vcf#vcard/1/email-1", RecordKind::Mail, "ann@post.example"),
        ];
        assert_eq!(read("c.vcf", card), wanted);
    }

    #[test]
    fn tables_of_known_columns_give_records_and_others_none() {
        let csv =
            b"id,date,address,body\nsms-body-1,1790000000000,+85298765432,\"Hello, \"\"you\"\"\"\n,,,\n";
        let wanted = [
            one("m.csv#sms-body-1", RecordKind::Message, "Hello, \"you\""),
            one("m.csv#sms-body-1/address", RecordKind::Number, "+85298765432"),
        ];
        assert_eq!(read("m.csv", csv), wanted);
        let json = br#"[{"body": "Good evening", "number": 98765432, "other": {}}]"#;
        let wanted = [
            one("m.json#1/body", RecordKind::Message, "Good evening"),
            one("m.json#1/number", RecordKind::Number, "98765432"),
        ];
        assert_eq!(read("m.json", json), wanted);
        assert!(read("x.csv", b"a,b\n1,2\n").is_empty());
        assert!(read("x.json", b"{\"body\": 1}").is_empty());
        assert!(read("x.txt", b"body\nhello\n").is_empty());
    }

    #[test]
    fn calls_have_the_moment_at_which_they_began() {
        let csv = b"number,date,duration\n+85261234567,2026-11-20T10:00:00.123Z,63\n";
        let wanted = [
            one("c.csv#1/number", RecordKind::Number, "+85261234567"),
            one("c.csv#1/date", RecordKind::Call, "1795168800123"),
        ];
        assert_eq!(read("c.csv", csv), wanted);
    }

    #[test]
    fn packages_are_records_and_what_cannot_be_read_is_said() {
        let wanted = [one("p#package/com.example.shop", RecordKind::Package, "com.example.shop")];
        assert_eq!(read("p", b"package:com.example.shop\npackage:android\n"), wanted);
        let mut records = Records::default();
        let blob: Arc<dyn Blob> = Arc::new(b"ABX\0rest".to_vec());
        records.read("packages.xml", &blob, &|_| None);
        assert!(records.records.is_empty() && records.problems.contains_key("packages.xml"));
    }

    #[test]
    fn the_subject_of_a_mms_is_what_was_written() {
        assert_eq!(subject("GrÃ¼Ã\u{9f}e"), "Grüße");
        assert_eq!(subject("Grüße"), "Grüße");
        assert_eq!(subject("你好"), "你好");
    }

    #[test]
    fn a_contact_row_is_told_by_its_shape() {
        assert_eq!(by_value("+852 9876-5432"), Some(RecordKind::Number));
        assert_eq!(by_value("a@b.example"), Some(RecordKind::Mail));
        assert_eq!(by_value("Ann"), Some(RecordKind::Name));
        assert_eq!(by_value("7"), None);
    }

    #[test]
    fn dates_are_milliseconds_or_seconds() {
        assert_eq!(since_epoch(1_790_000_000), since_epoch(1_790_000_000_000));
        assert_eq!(since_epoch(5), None);
        assert_eq!(since_epoch(-5), None);
    }
}
