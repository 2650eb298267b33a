//! The twelve worlds: what each came to, cell by cell, against the truth table that was written before any of it was
//! built; and their captures as tshark reads them. `tests/scenarios.rs` plays and analyses them again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic, and reads the environment"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use exhibit::{
    case::{
        folder::{Disk, Folder},
        scenario,
    },
    lab::{self, Made, Model, Played},
};

mod support;
use support::{peer, run, write};

/// L1 L2 L3 L4 L5 N1 X1 X2 X3 X4 X5: supported, supported by statistics only (~), refuted, inconclusive.
const TABLE: [(&str, &str); 12] = [
    ("w1-all-in-clear", "S S S S S S R R R R R"),
    ("w2-opaque-size-coded", "S S~ i i S~ S~ i i i i i"),
    ("w3-opaque", "S i i i i i i i i i i"),
    ("w4-before-the-update", "S R R S i i R R R R R"),
    ("w5-after-the-update", "S R R R i i S i S S S"),
    ("w6-preferences-only", "S R R R R R S S S S S"),
    ("w7-silent", "R R R R R R S i S S S"),
    ("w8-lossy-capture", "S i i i i i i i i i i"),
    ("w9-other-image", "i i i i i i i i i i i"),
    ("w10-control-fails", "S i i i i i i i i i i"),
    ("w11-three-windows", "S i i i i i i i i i i"),
    ("w12-photos-in-keyed-tls", "S S R R S R R R R R S"),
];
const CLAIMS: [&str; 11] = ["L1", "L2", "L3", "L4", "L5", "N1", "X1", "X2", "X3", "X4", "X5"];
/// The worst that tshark may say of a frame; the next is a warning.
const NOTE: u32 = 4_194_304;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn folder(world: &str) -> PathBuf {
    root().join("scenarios/worlds").join(world)
}

/// The verdicts of a stored snapshot, as the table writes them.
fn verdicts(world: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join(format!("snapshots/{world}.snap"))).unwrap();
    let cell = |line: &str| {
        let (id, verdict) = line.split_once(' ')?;
        let letter = match verdict.split([' ', '(']).next()? {
            "supported" if verdict.contains("size and time only") => "S~",
            "supported" => "S",
            "refuted" => "R",
            "inconclusive" => "i",
            _ => return None,
        };
        Some((id.to_owned(), letter.to_owned()))
    };
    text.lines().filter_map(cell).filter(|(id, _)| CLAIMS.contains(&id.as_str())).collect()
}

#[test]
fn every_cell_is_that_of_the_truth_table() {
    let mut compared = 0;
    for (world, row) in TABLE {
        let expected =
            CLAIMS.iter().zip(row.split(' ')).map(|(id, cell)| ((*id).to_owned(), cell.to_owned()));
        let expected: Vec<_> = expected.collect();
        assert_eq!(verdicts(world), expected, "{world}");
        compared += expected.len();
    }
    assert_eq!(compared, 132);
}

#[test]
fn no_two_verdicts_of_a_world_contradict_each_other() {
    for (world, _) in TABLE {
        let verdicts: BTreeMap<String, String> = verdicts(world).into_iter().collect();
        let supported = |id: &&str| verdicts[*id].starts_with('S');
        for denial in ["X1", "X4"] {
            let sent: Vec<&str> = ["L2", "L3", "L4"].into_iter().filter(supported).collect();
            assert!(!supported(&denial) || sent.is_empty(), "{world}: {denial} and {sent:?}");
        }
    }
}

#[test]
fn each_world_says_in_its_readme_what_it_comes_to() {
    let disk = Disk::new(root().join("scenarios/worlds"));
    let folders: BTreeSet<String> =
        disk.list(".").unwrap().iter().map(|path| path.split('/').next().unwrap().to_owned()).collect();
    assert_eq!(folders, TABLE.iter().map(|(world, _)| (*world).to_owned()).collect());
    for (world, row) in TABLE {
        let readme = fs::read_to_string(folder(world).join("README.md")).unwrap();
        assert!(readme.contains(&format!("| {} |", CLAIMS.join(" | "))), "{world}");
        assert!(readme.contains(&format!("| {} |", row.replace(' ', " | "))), "{world}");
        assert!(readme.contains("**Simulated."), "{world}");
    }
}

fn played(world: &str) -> Played {
    let read = |name: &str| fs::read(folder(world).join(name)).unwrap();
    let model = Model::parse(&String::from_utf8(read("lab.yaml")).unwrap()).unwrap();
    let plan = scenario::parse("scenario.yaml", &read("scenario.yaml")).unwrap().plan;
    let model = model.with_plan(&plan);
    lab::play(&model, model.seed).unwrap()
}

fn tshark(capture: &Path, keys: Option<&Path>, more: &[&str]) -> Option<String> {
    let mut tshark = Command::new(peer("tshark")?);
    tshark
        .args(["-o", "tcp.reassemble_out_of_order:TRUE", "-o", "tcp.check_checksum:TRUE", "-r"])
        .arg(capture);
    if let Some(keys) = keys {
        tshark.args(["-o", &format!("tls.keylog_file:{}", keys.display())]);
    }
    Some(run(tshark.args(more)))
}

/// Of each world the first run of each phase; all of them where `EXHIBIT_SOAK` is set.
#[test]
fn tshark_reads_the_captures_and_exports_the_photos_that_the_truth_names() {
    let all = support::soak::asked().is_some();
    for (world, _) in TABLE {
        let played = played(world);
        let lossy = world == "w8-lossy-capture";
        let (mut expected, mut exported) = (0, 0);
        for capture in played.captures.iter().filter(|capture| all || capture.path.ends_with("-01.pcapng")) {
            let laid = tempfile::tempdir().unwrap();
            let lay = |made: &Made| {
                let path = laid.path().join(&made.path);
                write(&path, &made.bytes);
                path
            };
            let keys = capture.path.replace("captures/", "keys/").replace(".pcapng", ".keys");
            let keys = played.keys.iter().find(|made| made.path == keys).map(lay);
            let path = lay(capture);
            let odd = ["-T", "fields", "-e", "_ws.malformed", "-e", "_ws.expert.severity"];
            let Some(odd) = tshark(&path, keys.as_deref(), &odd) else { return };
            assert!(!odd.contains("Malformed"), "{world}/{}", capture.path);
            let worst = odd.split(['\t', ',', '\n']).filter_map(|word| word.parse::<u32>().ok()).max();
            assert!(lossy || worst.is_none_or(|worst| worst <= NOTE), "{world}/{}: {worst:?}", capture.path);
            let objects = laid.path().join("objects");
            tshark(
                &path,
                keys.as_deref(),
                &["-q", "--export-objects", &format!("http,{}", objects.display())],
            );
            let objects: Vec<Vec<u8>> = match Disk::new(&objects).list(".") {
                Ok(names) => names.iter().map(|name| fs::read(objects.join(name)).unwrap()).collect(),
                Err(_) => Vec::new(),
            };
            let sent = played.sent.iter().filter(|sent| sent.capture == capture.path);
            let readable = sent.filter(|sent| sent.cleartext || keys.is_some());
            let photos =
                readable.flat_map(|sent| &sent.carries).filter(|carried| carried.what.ends_with(".jpg"));
            for carried in photos {
                let photo = &played.device.iter().find(|made| made.path == carried.what).unwrap().bytes;
                expected += 1;
                exported += usize::from(objects.contains(photo));
            }
        }
        assert!(lossy || exported == expected, "{world}: {exported} of {expected} photos");
        let some_are_readable = !["w2-opaque-size-coded", "w3-opaque", "w10-control-fails"].contains(&world);
        assert_eq!(expected > 0, some_are_readable, "{world}");
    }
}
