//! The inside of a bundle: its documents, read and held against each other.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    FORMAT,
    archive::reader::{Fault, OpenError},
    folder::BundleFolder,
    json,
    layout::{self, About, Addresses, Inventory, InventoryEntry},
    name::MemberName,
    open::Unverified,
};
use crate::{
    evidence::{Digest, printable},
    findings::Findings,
};

/// A bundle whose documents fit each other. Whether its seal holds is another question: see
/// [`verify`](super::verify()).
pub struct Bundle {
    pub(super) file: Unverified,
    about: About,
    inventory: Inventory,
    findings: Findings,
    addresses: Addresses,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bundle({})", self.id())
    }
}

impl Unverified {
    /// Reads the documents. What they say is the sealer's word, and the seal is not looked at.
    ///
    /// # Errors
    /// Documents that are not in their one spelling, or that contradict each other.
    pub fn read_unverified(self) -> Result<Bundle, OpenError> {
        let about: About = document(&self, layout::ABOUT)?;
        let inventory: Inventory = document(&self, layout::INVENTORY)?;
        let findings: Findings = document(&self, layout::FINDINGS)?;
        let addresses: Addresses = document(&self, layout::ADDRESSES)?;
        check_about(&self, &about, &findings)?;
        check_inventory(&self, &inventory)?;
        check_closed(&self, &inventory)?;
        let settings = &findings.settings;
        if (&addresses.table, &addresses.date) != (&settings.address_table, &settings.address_table_date) {
            return Err(wrong(layout::ADDRESSES, "it is another table than that of the findings"));
        }
        Ok(Bundle { file: self, about, inventory, findings, addresses })
    }
}

impl Bundle {
    /// The bundle id D.
    pub fn id(&self) -> Digest {
        self.file.id()
    }

    /// Format, tool and settings.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Inputs by logical path.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// What the sealer says came out.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The rows of the address table that the analysis used.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The inputs as a folder, by logical path.
    pub fn folder(&self) -> BundleFolder {
        let range = |entry: &InventoryEntry| {
            let name = MemberName::new(&entry.member).ok()?;
            let (range, _) = self.file.files.get(&name)?;
            Some((entry.path.clone(), *range))
        };
        BundleFolder {
            spool: Arc::clone(&self.file.spool),
            inputs: self.inventory.inputs.iter().filter_map(range).collect(),
            folders: self.inventory.folders.clone(),
        }
    }
}

fn wrong(name: &str, why: impl Into<String>) -> OpenError {
    Fault::Document { name: name.into(), why: why.into() }.into()
}

fn document<T: DeserializeOwned + Serialize>(file: &Unverified, name: &str) -> Result<T, OpenError> {
    json::canonical(&file.document(name)?).map_err(|why| wrong(name, why))
}

fn check_about(file: &Unverified, about: &About, findings: &Findings) -> Result<(), OpenError> {
    if about.format != FORMAT {
        let format = printable(about.format.as_bytes(), 40);
        return Err(wrong(layout::ABOUT, format!("the format is {format}, this program reads {FORMAT}")));
    }
    if about.epoch != file.epoch {
        return Err(wrong(layout::ABOUT, "its epoch is not the time of the members"));
    }
    let names = file.files.iter().map(|(name, (range, _))| (name.as_str(), range.len()));
    if about.sections != layout::sections(names) {
        return Err(wrong(layout::ABOUT, "its sections are not those of the archive"));
    }
    let same = about.case == findings.case
        && about.simulated == findings.simulated
        && about.settings == findings.settings
        && about.record == findings.custody;
    if same { Ok(()) } else { Err(wrong(layout::ABOUT, "it contradicts the findings")) }
}

fn check_inventory(file: &Unverified, inventory: &Inventory) -> Result<(), OpenError> {
    let wrong = |why: &str| Err(wrong(layout::INVENTORY, why));
    if !inventory.inputs.is_sorted_by(|a, b| a.path < b.path) {
        return wrong("its inputs are not sorted by path, each once");
    }
    if !inventory.folders.is_sorted_by(|a, b| a < b) {
        return wrong("its folders are not sorted, each once");
    }
    for entry in &inventory.inputs {
        let member = MemberName::new(&entry.member).ok().and_then(|name| file.files.get(&name));
        let fits = member.is_some_and(|(range, digest)| {
            entry.role.stands_at(&entry.member) && range.len() == entry.bytes && *digest == entry.sha256
        });
        if !fits {
            return wrong("an input is not the file that it names");
        }
    }
    Ok(())
}

/// Every file of the payload is one of the layout's or an input's: nothing stows away.
fn check_closed(file: &Unverified, inventory: &Inventory) -> Result<(), OpenError> {
    let inputs: BTreeMap<&str, ()> =
        inventory.inputs.iter().map(|entry| (entry.member.as_str(), ())).collect();
    let stray =
        |name: &&MemberName| !layout::FIXED.contains(&name.as_str()) && !inputs.contains_key(name.as_str());
    if let Some(name) = file.files.keys().find(stray) {
        return Err(wrong(name.as_str(), "it is neither part of the layout nor an input"));
    }
    for name in layout::FIXED {
        if file.file(name).is_none() {
            return Err(Fault::Missing { name: name.into() }.into());
        }
    }
    let seed = file.document(layout::SEED)?;
    let digits = seed.strip_suffix(b"\n").and_then(|text| str::from_utf8(text).ok());
    match digits.and_then(|text| text.parse::<Digest>().ok()) {
        Some(_) => Ok(()),
        None => Err(wrong(layout::SEED, "it is not 64 lower-case hex digits and a line feed")),
    }
}
