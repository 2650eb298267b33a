//! A case and what came out of it, to one sealed file.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    archive::{
        Members, Source,
        writer::{self, WriteError},
    },
    bag::Bag,
    dsse, howto,
    key::{PublicKey, SealKey},
    layout::{self, About, Addresses, Inventory, InventoryEntry, Namer},
    manifest::Oxum,
    name::{MemberName, NameFault},
    open::MAX_DOCUMENT,
    statement::{Statement, Tool},
};
use crate::{
    case::{Case, Input},
    evidence::{Blob, Digest, hex},
    findings::{Analysis, FlowLines, InputDigest, canonical_json},
};

/// The report as it goes into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reports {
    /// For people.
    pub html: String,
    /// For people and programs.
    pub markdown: String,
}

/// How to seal.
#[derive(Debug)]
pub struct SealOptions<'a> {
    /// Seconds since 1970: SOURCE_DATE_EPOCH, else the end of the capture. The time of every member.
    pub epoch: u64,
    /// The plan's logical path, with which the case was opened.
    pub plan: &'a str,
    /// Keys that sign; none leaves the bundle unsigned.
    pub keys: &'a [&'a SealKey],
    /// The bundle seed; else it is derived from the first key and the inputs, or random without a key.
    pub seed: Option<[u8; 32]>,
    /// Where the bundle goes; a file there is replaced.
    pub path: &'a Path,
}

/// A bundle that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Where it stands.
    pub path: PathBuf,
    /// The bundle id D.
    pub id: Digest,
    /// Files of the payload.
    pub files: u64,
    /// Bytes of the payload, uncompressed.
    pub bytes: u64,
    /// Who signed it.
    pub signers: Vec<PublicKey>,
}

/// Why a case could not be sealed. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The archive could not be written, or an input is not what it was.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An input that the analysis did not digest could not be read.
    #[error("read {input}")]
    Read {
        /// Its logical path.
        input: String,
        /// What the medium said.
        #[source]
        source: io::Error,
    },
    /// A document could not be written as JSON.
    #[error("write a document of the bundle")]
    Json(#[from] serde_json::Error),
    /// A name of a member breaks the grammar.
    #[error("name a file of the bundle")]
    Name(#[from] NameFault),
    /// A document that readers would refuse.
    #[error("seal {name}: it is larger than {MAX_DOCUMENT} bytes")]
    DocumentTooLarge {
        /// The member.
        name: &'static str,
    },
    /// The system gives no random bytes.
    #[error("make a seed: the system gives no random bytes")]
    Entropy,
}

/// Seals a case with its findings.
///
/// The inputs are read once, while they are written; what is not as it was analyzed ends it.
///
/// # Errors
/// Each [`SealError`].
pub fn seal(
    case: &Case,
    analysis: &Analysis,
    reports: &Reports,
    options: &SealOptions<'_>,
) -> Result<Sealed, SealError> {
    let folders = case.devices.keys().cloned().collect();
    seal_inputs(&case.inputs, folders, analysis, reports, options)
}

/// Seals inputs with what came out of them. `folders` are the case's folders by logical path, sorted:
/// one may hold nothing.
///
/// # Errors
/// Each [`SealError`].
pub fn seal_inputs(
    inputs: &BTreeMap<String, Input>,
    folders: Vec<String>,
    analysis: &Analysis,
    reports: &Reports,
    options: &SealOptions<'_>,
) -> Result<Sealed, SealError> {
    let mut payload = Members::default();
    let inventory = take_inputs(inputs, &analysis.inputs, folders, &mut payload)?;
    let inventory = canonical_json(&inventory)?;
    let seed = match (options.seed, options.keys.first()) {
        (Some(seed), _) => Zeroizing::new(seed),
        (None, Some(key)) => derive_seed(key, &inventory),
        (None, None) => random_seed()?,
    };
    let mut add = |name, bytes: Vec<u8>| {
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(SealError::DocumentTooLarge { name });
        }
        payload.push(MemberName::new(name)?, Source::Bytes(bytes));
        Ok(())
    };
    for (name, bytes) in documents(analysis, reports)? {
        add(name, bytes)?;
    }
    let FlowLines { bytes: blob, sha256, .. } = &analysis.flows;
    let flows = Source::Input { blob: Arc::clone(blob), sha256: *sha256, bytes: blob.len() };
    add(layout::INVENTORY, inventory)?;
    add(layout::SEED, format!("{}\n", hex(seed.as_ref())).into_bytes())?;
    // Flows are not read whole; everything else is.
    payload.push(MemberName::new(layout::FLOWS)?, flows);
    let about = about(analysis, options, &payload);
    payload.push(MemberName::new(layout::ABOUT)?, Source::Bytes(canonical_json(&about)?));
    seal_payload(payload, &analysis.findings.case, options)
}

/// Seals any payload: tag files, statement, signatures, archive.
///
/// # Errors
/// Each [`SealError`].
pub fn seal_payload(payload: Members, case: &str, options: &SealOptions<'_>) -> Result<Sealed, SealError> {
    let bag = Bag::new(payload, options.epoch);
    let (id, Oxum { bytes, files }) = (bag.id, bag.oxum);
    let signed = if options.keys.is_empty() {
        None
    } else {
        let statement = Statement::new(id, bag.oxum, options.epoch, case).bytes()?;
        Some(dsse::sign(&statement, options.keys)?)
    };
    writer::write_file(&bag.members(signed)?, options.epoch, options.path)?;
    let signers = options.keys.iter().map(|key| key.public()).collect();
    Ok(Sealed { path: options.path.to_owned(), id, files, bytes, signers })
}

fn take_inputs(
    inputs: &BTreeMap<String, Input>,
    digests: &BTreeMap<String, InputDigest>,
    folders: Vec<String>,
    payload: &mut Members,
) -> Result<Inventory, SealError> {
    let mut namer = Namer::default();
    let mut inventory = Inventory { folders, inputs: Vec::with_capacity(inputs.len()) };
    for (path, input) in inputs {
        let InputDigest { sha256, bytes } = match digests.get(path) {
            Some(digest) => *digest,
            None => digest(input.blob.as_ref())
                .map_err(|source| SealError::Read { input: path.clone(), source })?,
        };
        let role = input.role.into();
        let (member, is_new) = namer.name(role, path, sha256);
        if is_new {
            let blob = Arc::clone(&input.blob);
            payload.push(MemberName::new(&member)?, Source::Input { blob, sha256, bytes });
        }
        inventory.inputs.push(InventoryEntry { path: path.clone(), role, sha256, bytes, member });
    }
    Ok(inventory)
}

/// Digests what the analysis had no need to read.
fn digest(blob: &dyn Blob) -> io::Result<InputDigest> {
    let (mut hasher, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        let read = blob.read_at(&mut buffer, bytes)?;
        if read == 0 {
            return Ok(InputDigest { sha256: Digest::finish(hasher), bytes });
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
}

/// Documents that follow from the analysis alone: what a re-run has to give again, beside the flows.
pub(super) fn documents(
    analysis: &Analysis,
    reports: &Reports,
) -> Result<[(&'static str, Vec<u8>); 5], serde_json::Error> {
    let settings = &analysis.findings.settings;
    let addresses = Addresses {
        table: settings.address_table.clone(),
        date: settings.address_table_date.clone(),
        rows: analysis.address_rows.clone(),
    };
    Ok([
        (layout::FINDINGS, canonical_json(&analysis.findings)?),
        (layout::ADDRESSES, canonical_json(&addresses)?),
        (layout::REPORT_HTML, reports.html.clone().into_bytes()),
        (layout::REPORT_MARKDOWN, reports.markdown.clone().into_bytes()),
        (layout::HOWTO, howto::TEXT.into()),
    ])
}

fn about(analysis: &Analysis, options: &SealOptions<'_>, payload: &Members) -> About {
    let findings = &analysis.findings;
    About {
        format: super::FORMAT.into(),
        case: findings.case.clone(),
        simulated: findings.simulated,
        epoch: options.epoch,
        tool: Tool::this(),
        plan: options.plan.into(),
        settings: findings.settings.clone(),
        record: findings.custody.clone(),
        sections: layout::sections(payload.iter().map(|member| (member.name.as_str(), member.source.len()))),
    }
}

/// HKDF-SHA256 (RFC 5869): the same key and inputs give the same seed, and nobody else can tell it.
fn derive_seed(key: &SealKey, inventory: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    let hkdf = Hkdf::<Sha256>::new(Some(b"exhibit/0 bundle seed"), key.secret());
    // 32 bytes are far below the 255 blocks that HKDF can give.
    let _ = hkdf.expand(&Digest::of(inventory).0, seed.as_mut());
    seed
}

fn random_seed() -> Result<Zeroizing<[u8; 32]>, SealError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|_| SealError::Entropy)?;
    Ok(seed)
}
