//! Holds the code to the room table in `src/lib.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic, and lists its own sources"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// One row of the table.
struct Room {
    name: String,
    uses: Vec<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Reads the table out of the doc comment.
fn table(lib: &str) -> Vec<Room> {
    lib.lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .map(|row| {
            let (name, rest) = row.split_once('`').unwrap();
            let cells: Vec<&str> = rest.trim_matches([' ', '|']).split(" | ").collect();
            let uses = rest.trim_end().trim_end_matches('|').rsplit('|').next().unwrap();
            assert!(!cells.is_empty(), "row of {name} has no text");
            Room { name: name.to_owned(), uses: uses.split_whitespace().map(str::to_owned).collect() }
        })
        .collect()
}

/// Every source file below `src` with its module path, without the binary.
fn sources() -> Vec<(String, PathBuf)> {
    fn walk(folder: &Path, module: &str, found: &mut Vec<(String, PathBuf)>) {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let below =
                |name: &str| if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") };
            if path.is_dir() {
                if below(&stem) != "cli" {
                    walk(&path, &below(&stem), found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                match stem.as_str() {
                    "lib" | "main" if module.is_empty() => {}
                    // Test modules of their own file; a room's tests may look around.
                    "tests" => {}
                    "mod" => found.push((module.to_owned(), path)),
                    _ => found.push((below(&stem), path)),
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), "", &mut found);
    found
}

/// Source text without comments, string contents and test modules.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Every path below `crate::` or `super::` that a file names, as absolute module paths.
fn named(module: &str, text: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let (mut rest, mut depth_base);
    rest = text;
    while let Some(at) = rest.find("crate::").into_iter().chain(rest.find("super::")).min() {
        let boundary =
            rest[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        let tail = &rest[at..];
        if !boundary {
            rest = &tail[5..];
            continue;
        }
        depth_base = Vec::new();
        let mut tail = if let Some(tail) = tail.strip_prefix("crate::") {
            tail
        } else {
            depth_base = module.split("::").map(str::to_owned).collect();
            let mut tail = tail;
            while let Some(up) = tail.strip_prefix("super::") {
                depth_base.pop();
                tail = up;
            }
            tail
        };
        tail = tree(tail, &depth_base, &mut paths);
        rest = tail;
    }
    paths
}

/// Reads one use tree and returns what follows it.
fn tree<'t>(mut text: &'t str, base: &[String], paths: &mut BTreeSet<String>) -> &'t str {
    let mut path = base.to_vec();
    loop {
        text = text.trim_start();
        if let Some(inner) = text.strip_prefix('{') {
            text = inner;
            loop {
                text = tree(text, &path, paths).trim_start();
                if let Some(next) = text.strip_prefix(',') {
                    text = next;
                } else {
                    return text.strip_prefix('}').unwrap_or(text);
                }
            }
        }
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        if end > 0 && &text[..end] != "self" {
            path.push(text[..end].to_owned());
        }
        text = &text[end..];
        match text.strip_prefix("::") {
            Some(next) if !next.starts_with('<') => text = next,
            _ => {
                if path.len() > base.len() || end > 0 {
                    paths.insert(path.join("::"));
                }
                if let Some(alias) = text.strip_prefix(" as ") {
                    text = alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
                }
                return text;
            }
        }
    }
}

/// The room that a module path lies in: the row with the longest name that starts it.
fn room_of<'r>(path: &str, rooms: &'r [Room]) -> Option<(usize, &'r Room)> {
    rooms
        .iter()
        .enumerate()
        .filter(|(_, room)| path == room.name || path.starts_with(&format!("{}::", room.name)))
        .max_by_key(|(_, room)| room.name.len())
}

fn covers(name: &str, room: &str) -> bool {
    room == name || room.starts_with(&format!("{name}::"))
}

/// What breaks the table, in words.
fn faults(rooms: &[Room], files: &BTreeMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (module, text) in files {
        let Some((at, room)) = room_of(module, rooms) else {
            faults.push(format!("{module} lies in no room of the table"));
            continue;
        };
        seen.insert(room.name.clone());
        for path in named(module, text) {
            let Some((target_at, target)) = room_of(&path, rooms) else { continue };
            if target.name == room.name {
                continue;
            }
            let own = room.uses.iter().any(|name| name == "self") && covers(&room.name, &target.name);
            let allowed = own || room.uses.iter().any(|name| covers(name, &target.name));
            if !allowed {
                faults.push(format!(
                    "{module} uses {path}, but the row of `{}` does not name `{}`",
                    room.name, target.name
                ));
            } else if target_at > at {
                faults.push(format!(
                    "{module} uses {path}, but `{}` stands below `{}`",
                    target.name, room.name
                ));
            }
        }
    }
    for room in rooms {
        if !seen.contains(&room.name) {
            faults.push(format!("`{}` stands in the table and has no code", room.name));
        }
    }
    faults
}

fn files() -> BTreeMap<String, String> {
    sources().into_iter().map(|(module, path)| (module, code(&fs::read_to_string(path).unwrap()))).collect()
}

#[test]
fn every_room_uses_only_what_its_row_names() {
    let rooms = table(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    assert!(rooms.len() >= 18, "the table was not read: {} rows", rooms.len());
    let faults = faults(&rooms, &files());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_planted_fault_is_found() {
    let rooms = table(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    let mut planted = files();
    planted.insert(
        "report::planted".into(),
        "use crate::{evidence::Digest, engine::{self, net::index}};".into(),
    );
    planted.insert("lab::planted".into(), "fn f() { super::super::engine::analyze() }".into());
    planted.insert("engine::net::planted".into(), "use crate::engine::verdict;".into());
    planted.insert("stray".into(), String::new());
    let found = faults(&rooms, &planted).join("\n");
    for expected in [
        "report::planted uses engine::net",
        "lab::planted uses engine::analyze",
        "engine::net::planted uses engine::verdict",
        "stray lies in no room",
    ] {
        assert!(found.contains(expected), "{expected:?} is not among:\n{found}");
    }
}

#[test]
fn only_the_rim_touches_files_clock_and_environment() {
    // The rim within the library: what opens inputs by name, and what writes a bundle beside its target.
    const RIM: &[&str] = &["case::folder", "bundle::key", "bundle::archive::writer", "evidence"];
    for (module, text) in files() {
        let rim = RIM.iter().any(|name| covers(name, &module));
        for word in [
            "std::env",
            "SystemTime::now",
            "Instant::now",
            "std::process",
            "File::open",
            "File::create",
            "OpenOptions",
            "fs::read",
            "fs::write",
            "fs::metadata",
            "fs::rename",
            "fs::remove",
            "fs::create",
            "fs::copy",
        ] {
            assert!(rim || !text.contains(word), "{module} names {word}: only the rim may");
        }
    }
}

#[test]
fn the_top_level_holds_only_what_it_should() {
    const EXPECTED: &[&str] = &[
        ".ci",
        ".git",
        ".gitignore",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "benches",
        "clippy.toml",
        "docs",
        "rustfmt.toml",
        "scenarios",
        "snapshots",
        "src",
        "target",
        "tests",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(EXPECTED.contains(&name.as_str()), "{name} has no place at the top level");
    }
}
