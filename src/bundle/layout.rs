//! Where things stand in a bundle, and the documents that say so.
//!
//! Inputs keep their logical path in the inventory alone; in the archive they have neutral names, so
//! that a photo's name or a person's is no name of a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::statement::Tool;
use crate::{
    case::InputRole,
    evidence::Digest,
    findings::{AddressRow, Custody, Settings},
};

/// Format, epoch, tool, settings, sections.
pub const ABOUT: &str = "data/bundle.json";
/// Logical paths, roles, digests, neutral names.
pub const INVENTORY: &str = "data/inventory.json";
/// What came out.
pub const FINDINGS: &str = "data/findings.json";
/// Every flow, one line each.
pub const FLOWS: &str = "data/flows.jsonl";
/// Rows of the address table that the analysis used.
pub const ADDRESSES: &str = "data/reference/addresses.json";
/// The report for people.
pub const REPORT_HTML: &str = "data/report/report.html";
/// The report for people and programs.
pub const REPORT_MARKDOWN: &str = "data/report/report.md";
/// How to check the bundle by hand.
pub const HOWTO: &str = "data/howto.txt";
/// 32 bytes in hex, from which salts will be made.
pub const SEED: &str = "data/private/seed";
/// Where the record stands when there is one.
pub const RECORD: &str = "data/record.jsonl";

/// Files that every bundle holds once.
pub const FIXED: [&str; 9] =
    [ABOUT, INVENTORY, FINDINGS, FLOWS, ADDRESSES, REPORT_HTML, REPORT_MARKDOWN, HOWTO, SEED];

/// `data/bundle.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The format's name.
    pub format: String,
    /// The case's id.
    pub case: String,
    /// Whether the captures were made by the lab.
    pub simulated: bool,
    /// Seconds since 1970; the time of every member.
    pub epoch: u64,
    /// What made it.
    pub tool: Tool,
    /// The plan's logical path.
    pub plan: String,
    /// What the analysis was asked to do.
    pub settings: Settings,
    /// Lines of the record and the end of its chain.
    pub record: Custody,
    /// Files and bytes by section: the first component below `data/`. This file is not counted.
    pub sections: BTreeMap<String, Section>,
}

/// How large a section is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Adds up sections over names below `data/` and their sizes.
pub fn sections<'a>(files: impl Iterator<Item = (&'a str, u64)>) -> BTreeMap<String, Section> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    for (name, bytes) in files.filter(|(name, _)| *name != ABOUT) {
        let section = name.split('/').nth(1).unwrap_or_default().to_owned();
        let section = sections.entry(section).or_default();
        section.files += 1;
        section.bytes += bytes;
    }
    sections
}

/// `data/inventory.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Folders of the case by logical path, sorted: one may be empty.
    pub folders: Vec<String>,
    /// Inputs, sorted by logical path.
    pub inputs: Vec<InventoryEntry>,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryEntry {
    /// Its logical path: the one that scenario and findings use.
    pub path: String,
    /// What it is for.
    pub role: Role,
    /// Its digest.
    pub sha256: Digest,
    /// Its size.
    pub bytes: u64,
    /// Where it stands below the top folder. Equal files of one section stand once.
    pub member: String,
}

/// What an input is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The plan and files it names.
    Scenario,
    /// What happened.
    Record,
    /// Captured traffic.
    Capture,
    /// Session keys.
    Keys,
    /// A file of the phone.
    Device,
}

impl From<InputRole> for Role {
    fn from(role: InputRole) -> Self {
        match role {
            InputRole::Scenario => Self::Scenario,
            InputRole::Record => Self::Record,
            InputRole::Capture => Self::Capture,
            InputRole::Keys => Self::Keys,
            InputRole::Device => Self::Device,
        }
    }
}

impl Role {
    /// The folder its inputs stand in.
    fn folder(self) -> &'static str {
        match self {
            Self::Scenario => "data/scenario",
            Self::Record => "data/record",
            Self::Capture | Self::Keys => "data/captures",
            Self::Device => "data/device",
        }
    }

    /// Whether an input of this role may stand at `member`.
    pub fn stands_at(self, member: &str) -> bool {
        (self == Self::Record && member == RECORD)
            || member.strip_prefix(self.folder()).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Endings that neutral names keep, so that other tools know captures by them.
const ENDINGS: [&str; 11] =
    ["pcapng.gz", "pcap.gz", "pcapng", "pcap", "cap", "keys", "log", "txt", "yaml", "yml", "jsonl"];

/// Gives neutral names, `FOLDER/NNNN.ENDING`, in the order in which inputs come.
#[derive(Debug, Default)]
pub struct Namer {
    counts: BTreeMap<&'static str, u64>,
    known: BTreeMap<(&'static str, Digest), String>,
    record_named: bool,
}

impl Namer {
    /// The name for an input, and whether it is a new one: equal files of a folder share one.
    pub fn name(&mut self, role: Role, path: &str, sha256: Digest) -> (String, bool) {
        let folder = role.folder();
        if let Some(name) = self.known.get(&(folder, sha256)) {
            return (name.clone(), false);
        }
        let name = if role == Role::Record && !self.record_named {
            self.record_named = true;
            RECORD.to_owned()
        } else {
            let count = self.counts.entry(folder).or_default();
            *count += 1;
            format!("{folder}/{count:04}.{}", ending(role, path))
        };
        self.known.insert((folder, sha256), name.clone());
        (name, true)
    }
}

/// Files of the phone lose their ending: nobody is to open one by a double click.
fn ending(role: Role, path: &str) -> &'static str {
    let path = path.to_ascii_lowercase();
    let has = |ending: &&&str| path.strip_suffix(**ending).is_some_and(|stem| stem.ends_with('.'));
    match role {
        Role::Device => "bin",
        _ => ENDINGS.iter().find(has).copied().unwrap_or("bin"),
    }
}

/// `data/reference/addresses.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// The table's name.
    pub table: String,
    /// Its date, `YYYY-MM-DD`, where known.
    pub date: String,
    /// The rows that were used, by address.
    pub rows: BTreeMap<String, AddressRow>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_nothing_of_the_input_but_its_kind() {
        let mut namer = Namer::default();
        let mut name = |role, path: &str, byte| namer.name(role, path, Digest([byte; 32]));
        let new = |name: &str| (name.to_owned(), true);
        assert_eq!(name(Role::Capture, "stock/01.PCAP.gz", 1), new("data/captures/0001.pcap.gz"));
        assert_eq!(name(Role::Keys, "stock/sslkeys.log", 2), new("data/captures/0002.log"));
        assert_eq!(name(Role::Device, "DCIM/me-at-home.jpg", 3), new("data/device/0001.bin"));
        assert_eq!(name(Role::Device, "DCIM/copy.jpg", 3), ("data/device/0001.bin".into(), false));
        assert_eq!(name(Role::Capture, "pcap", 3), new("data/captures/0003.bin"));
        assert_eq!(name(Role::Record, "record.jsonl", 4), new(RECORD));
        assert_eq!(name(Role::Record, "old.jsonl", 5), new("data/record/0001.jsonl"));
        assert_eq!(name(Role::Scenario, "scenario.yaml", 6), new("data/scenario/0001.yaml"));
    }

    #[test]
    fn inputs_stand_where_their_role_puts_them() {
        assert!(Role::Device.stands_at("data/device/0001.bin"));
        assert!(!Role::Device.stands_at("data/captures/0001.pcap"));
        assert!(!Role::Device.stands_at("data/devices/0001.bin"));
        assert!(Role::Record.stands_at(RECORD));
        assert!(!Role::Scenario.stands_at(FINDINGS));
    }

    #[test]
    fn sections_are_counted_without_the_file_that_says_so() {
        let files = [(ABOUT, 9), (FINDINGS, 5), ("data/device/0001.bin", 1), ("data/device/0002.bin", 2)];
        let sections = sections(files.into_iter());
        assert_eq!(sections.keys().collect::<Vec<_>>(), ["device", "findings.json"]);
        assert_eq!(sections["device"], Section { files: 2, bytes: 3 });
    }
}
