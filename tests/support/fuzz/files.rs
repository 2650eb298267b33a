//! Files that people hand over: scenarios, records, what is on a phone, bundles.

use std::{io::Write as _, sync::Arc};

use exhibit::{
    bundle::{
        self, OpenLimits, VerifyOptions,
        archive::gzip::{GzipReader, GzipWriter},
        dsse, json,
        manifest::Manifest,
        name::MemberName,
        statement::Statement,
        trust::Trust,
    },
    case::{
        capture::Trailer,
        device::{Records, sqlite::Database},
        scenario,
    },
    evidence::{Blob, Scratch},
};

use super::{Target, split};

pub const TARGETS: &[(&str, Target)] = &[
    ("bundle", bundle),
    ("bundle_json", bundle_json),
    ("bundle_tar", bundle_tar),
    ("csv", |data| records(data, "calls.csv")),
    ("dsse", dsse),
    ("json_records", |data| records(data, "messages.json")),
    ("pcapdroid", pcapdroid),
    ("record", record),
    ("scenario", scenario),
    ("sqlite", sqlite),
    ("vcard", vcard),
];

fn scenario(data: &[u8]) {
    let run = || match scenario::parse("scenario.yaml", data) {
        Ok(parsed) => {
            let text = scenario::expanded(&parsed).unwrap();
            // What was written out in full is a scenario again, and the same; the frozen digest is that of the sections as
            // they are written.
            let again = scenario::parse("scenario.yaml", text.as_bytes());
            let mut again = again.unwrap_or_else(|problems| panic!("{}\n{text}", problems.render()));
            assert_eq!(again.plan.frozen.is_some(), parsed.plan.frozen.is_some());
            again.plan.frozen = parsed.plan.frozen;
            assert_eq!(again.plan, parsed.plan);
            text
        }
        Err(problems) => problems.render(),
    };
    assert_eq!(run(), run());
}

fn record(data: &[u8]) {
    let plan =
        scenario::parse("scenario.yaml", include_bytes!("../../../scenarios/redmi-note/scenario.yaml"));
    let Ok(parsed) = plan else { panic!("the plan of the target is none") };
    let run = || match scenario::record::parse("record.jsonl", data, &parsed.plan) {
        Ok(record) => format!("{record:?}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(run(), run());
}

fn records(data: &[u8], name: &str) {
    let run = || {
        let mut records = Records::default();
        records.read(name, &(Arc::new(data.to_vec()) as Arc<dyn Blob>), &|_| None);
        let bytes: usize = records.records.iter().map(|record| record.value.len()).sum();
        // Each character that is no UTF-8 is replaced by one of three bytes.
        assert!(bytes <= data.len() * 3 + 64, "{bytes} bytes of values from {}", data.len());
        format!("{records:?}")
    };
    assert_eq!(run(), run());
}

fn vcard(data: &[u8]) {
    records(&[b"BEGIN:VCARD\n", data].concat(), "contacts.vcf");
    records(data, "contacts.vcf");
}

/// A database, and after `|||` its write-ahead log.
fn sqlite(data: &[u8]) {
    let parts = split(data, b"|||");
    let blob = |bytes: &[u8]| Arc::new(bytes.to_vec()) as Arc<dyn Blob>;
    let log = parts.get(1).map(|log| blob(log));
    let run = || {
        let mut database = Database::open(blob(parts[0]), log.clone())?;
        let (mut rows, mut bytes) = (0, 0);
        let tables = database.tables();
        for table in &tables {
            database.rows(table, &mut |row| {
                rows += 1;
                bytes += format!("{row:?}").len();
                rows < 10_000
            });
        }
        Some((format!("{tables:?} {:?}", database.problems), rows, bytes))
    };
    assert_eq!(run(), run());
    let mut records = Records::default();
    records.read("mmssms.db", &blob(parts[0]), &|_| log.clone());
}

fn opened(bytes: &[u8]) {
    let scratch = Scratch::new(std::env::temp_dir());
    let limits = OpenLimits { max_bytes: 1 << 20 };
    let options = VerifyOptions { limits, ..VerifyOptions::default() };
    let run = || {
        let verification = bundle::verify(bytes, &scratch, &options).unwrap();
        let _ = (verification.outcome(), verification.contents());
        format!("{:?}", verification.checks)
    };
    assert_eq!(run(), run());
}

fn bundle(data: &[u8]) {
    opened(data);
    let read = |step: usize| {
        let (mut all, mut part) = (Vec::new(), vec![0; step]);
        let mut reader = GzipReader::new(data).map_err(|fault| format!("{fault:?}"))?;
        while all.len() < 4 << 20 {
            match reader.read(&mut part).map_err(|fault| format!("{fault:?}"))? {
                0 => return Ok(all),
                read => all.extend_from_slice(&part[..read]),
            }
        }
        Err(String::new())
    };
    assert!(read(4_096) == read(1_000), "another member with other reads");
}

/// The archive, which is put into gzip here.
fn bundle_tar(data: &[u8]) {
    let mut writer = GzipWriter::new(Vec::new()).unwrap();
    writer.write_all(data).unwrap();
    opened(&writer.finish().unwrap());
}

fn bundle_json(data: &[u8]) {
    let _ = (json::strict::<serde_json::Value>(data), json::canonical::<serde_json::Value>(data));
    let _ = (Statement::read(data), Trust::read(data), Manifest::read(data));
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(name) = MemberName::new(text)
    {
        assert_eq!(name.as_str(), text);
        assert!(!text.starts_with('/') && !text.split('/').any(|part| part == ".."));
    }
}

fn dsse(data: &[u8]) {
    let parts = split(data, b"|||");
    let keys = parts.get(1).map_or(&[][..], |keys| keys).to_vec();
    let _ = dsse::verify(&dsse::Signed { envelope: parts[0].to_vec(), keys });
}

fn pcapdroid(data: &[u8]) {
    for end in [0, 14, data.len().saturating_sub(32), data.len()] {
        let _ = Trailer::read(data, end);
    }
}
