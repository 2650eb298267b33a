//! Databases that SQLite itself wrote, read back: the same rows, whatever the page size, the encoding, the length of
//! a value or the state of the write-ahead log; and damaged ones end in a problem that is named, never in a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "a test")]

use std::{fs, path::Path, process::Command, sync::Arc};

use exhibit::{
    case::{
        device::{Device, RecordKind, sqlite::Database, sqlite::Value},
        folder::Disk,
    },
    evidence::Blob,
};

mod support;

/// Writes databases of a phone with Python's SQLite, and what `SELECT` gives of them.
const SCRIPT: &str = r#"
import json, os, shutil, sqlite3, sys
root = sys.argv[1]
def make(name, page, encoding, rows, wal):
    path = os.path.join(root, 'made.db')
    for end in ('', '-wal', '-shm'):
        if os.path.exists(path + end): os.remove(path + end)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f'PRAGMA page_size={page}')
    db.execute(f'PRAGMA encoding="{encoding}"')
    if wal: db.execute('PRAGMA journal_mode=WAL')
    db.execute('PRAGMA wal_autocheckpoint=0')
    db.execute('CREATE TABLE android_metadata (locale TEXT)')
    db.execute('CREATE TABLE sms (_id INTEGER PRIMARY KEY AUTOINCREMENT, thread_id INTEGER, address TEXT, date INTEGER, body TEXT)')
    db.execute('CREATE INDEX by_thread ON sms (thread_id)')
    db.execute('CREATE VIEW everything AS SELECT * FROM sms')
    db.execute('CREATE TABLE odd (a TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID')
    for no in range(rows):
        body = f'message {no} Grüße 你好 ' + 'x' * (no * 37 % 9000)
        db.execute('INSERT INTO sms (thread_id, address, date, body) VALUES (?, ?, ?, ?)', (no % 7 - 3, f'+8529876{no:04}', 1790000000000 + no, body))
    if wal: db.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    db.execute('DELETE FROM sms WHERE _id % 3 = 0')
    db.execute("UPDATE sms SET body = 'changed' WHERE _id % 5 = 0")
    db.execute('ALTER TABLE sms ADD COLUMN seen INTEGER DEFAULT 0')
    db.execute("INSERT INTO sms (address, body, seen) VALUES ('12345', 'after the change', 1)")
    rows = db.execute('SELECT _id, address, date, body FROM sms ORDER BY _id').fetchall()
    shutil.copy(path, os.path.join(root, name))
    if wal:
        assert os.path.getsize(path + '-wal') > 0
        shutil.copy(path + '-wal', os.path.join(root, name + '-wal'))
    db.close()
    return rows
out = {}
for name, page, encoding, rows, wal in [
    ('small.db', 512, 'UTF-8', 40, False), ('plain.db', 4096, 'UTF-8', 900, False), ('wide.db', 65536, 'UTF-16le', 300, False),
    ('big.db', 1024, 'UTF-16be', 300, False), ('logged.db', 4096, 'UTF-8', 300, True)]:
    out[name] = make(name, page, encoding, rows, wal)
os.remove(os.path.join(root, 'made.db'))
for end in ('-wal', '-shm'):
    if os.path.exists(os.path.join(root, 'made.db' + end)): os.remove(os.path.join(root, 'made.db' + end))
json.dump(out, open(os.path.join(root, 'rows.json'), 'w'))
"#;

fn made() -> Option<tempfile::TempDir> {
    support::peer("python3")?;
    let root = tempfile::tempdir().unwrap();
    let made = Command::new("python3").arg("-c").arg(SCRIPT).arg(root.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(root)
}

fn blob(path: &Path) -> Option<Arc<dyn Blob>> {
    fs::read(path).ok().map(|bytes| Arc::new(bytes) as Arc<dyn Blob>)
}

#[test]
fn rows_are_those_that_sqlite_selects() {
    let Some(root) = made() else { return };
    let rows: serde_json::Value =
        serde_json::from_slice(&fs::read(root.path().join("rows.json")).unwrap()).unwrap();
    for (name, wanted) in rows.as_object().unwrap() {
        let path = root.path().join(name);
        let log = blob(&root.path().join(format!("{name}-wal")));
        assert_eq!(log.is_some(), name == "logged.db");
        let mut database = Database::open(blob(&path).unwrap(), log).unwrap();
        let tables = database.tables();
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["android_metadata", "sms", "sqlite_sequence"], "{name}");
        let sms = &tables[1];
        assert_eq!(sms.columns, ["_id", "thread_id", "address", "date", "body", "seen"]);
        let mut got = Vec::new();
        database.rows(sms, &mut |row| {
            got.push(row);
            true
        });
        let wanted = wanted.as_array().unwrap();
        assert_eq!(got.len(), wanted.len(), "{name}");
        for (row, wanted) in got.iter().zip(wanted) {
            let text = |value: &serde_json::Value| {
                value.as_str().map_or(Value::Null, |text| Value::Text(text.to_owned()))
            };
            let number = |value: &serde_json::Value| value.as_i64().map_or(Value::Null, Value::Integer);
            assert_eq!(row.id, wanted[0].as_i64().unwrap());
            assert_eq!(row.values[0], Value::Integer(row.id), "the row's number stands in its column");
            assert_eq!(row.values[2], text(&wanted[1]));
            assert_eq!(row.values[3], number(&wanted[2]));
            assert_eq!(row.values[4], text(&wanted[3]));
        }
        assert!(database.problems.is_empty(), "{name}: {:?}", database.problems);
    }
}

#[test]
fn a_write_ahead_log_counts_up_to_its_last_whole_commit() {
    let Some(root) = made() else { return };
    let (file, log) = (
        fs::read(root.path().join("logged.db")).unwrap(),
        fs::read(root.path().join("logged.db-wal")).unwrap(),
    );
    let count = |log: Option<Vec<u8>>| {
        let log = log.map(|log| Arc::new(log) as Arc<dyn Blob>);
        let mut database = Database::open(Arc::new(file.clone()), log).unwrap();
        let tables = database.tables();
        let sms = tables.iter().find(|table| table.name == "sms").unwrap().clone();
        let mut rows = 0;
        database.rows(&sms, &mut |_| {
            rows += 1;
            true
        });
        rows
    };
    assert_eq!(count(None), 300, "without the log the deleted rows are still there");
    assert_eq!(count(Some(log.clone())), 201);
    let mut stale = log.clone();
    stale[32 + 24 + 100] ^= 1;
    assert_eq!(count(Some(stale)), 300, "a frame whose checksum is wrong ends the log");
    assert_eq!(count(Some(log[..40].to_vec())), 300);
}

#[test]
fn records_of_a_folder_have_names_kinds_and_times() {
    let Some(root) = made() else { return };
    let device = Device::open(&Disk::new(root.path()), "small.db").unwrap();
    let records = device.records();
    assert!(records.problems.is_empty());
    let first = records.records.iter().find(|record| record.kind == RecordKind::Message).unwrap();
    assert_eq!(first.name, "small.db#sms/1/body");
    assert!(first.value.starts_with("message 0 Grüße 你好"));
    assert_eq!(first.created.unwrap().to_string(), "2026-09-21T14:13:20.000000000Z");
    assert!(
        records.records.iter().any(|record| record.kind == RecordKind::Number && record.value == "12345")
    );
    // The log beside the database is found by name.
    let device = Device::open(&Disk::new(root.path()), ".").unwrap();
    let logged =
        device.records().records.into_iter().filter(|record| record.name.starts_with("logged.db#")).count();
    assert_eq!(logged, 201 * 2);
}

#[test]
fn damaged_databases_say_so_and_never_panic() {
    let Some(root) = made() else { return };
    let good = fs::read(root.path().join("small.db")).unwrap();
    let mut state = 7_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let (mut opened, mut named) = (0, 0);
    for round in 0..400 {
        let mut bad = good.clone();
        for _ in 0..=draw(8) {
            let at = draw(bad.len());
            bad[at] = u8::try_from(draw(256)).unwrap();
        }
        if round % 4 == 0 {
            bad.truncate(draw(good.len()));
        }
        let Some(mut database) = Database::open(Arc::new(bad), None) else { continue };
        opened += 1;
        for table in database.tables() {
            database.rows(&table, &mut |_| true);
        }
        named += usize::from(!database.problems.is_empty());
    }
    assert!(opened > 200 && named > 50, "{opened} opened, {named} with a problem");
}
