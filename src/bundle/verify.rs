//! What of a bundle holds: five lines, never one green tick.
//!
//! Integrity, signature, time, re-run and origin are asked one after another, and each answer stands for itself.
//! The re-run is handed in, since this room does not use the engine.

use std::io;

use super::{
    archive::reader::OpenError,
    contents::Bundle,
    dsse::{self, Signed},
    key::PublicKey,
    layout::{self, Role},
    open::{OpenLimits, Unverified, open},
    seal::{Reports, documents},
    statement::{Statement, Tool},
    trust::{Signer, Trust},
};
use crate::{
    evidence::{Digest, Scratch, printable},
    findings::{Analysis, Findings},
};

/// Faults that one line names; the count stands beside them.
const FAULTS_SHOWN: usize = 5;

/// Runs the analysis again on a bundle's inputs.
pub type Rerun<'a> = &'a dyn Fn(&Bundle) -> Result<Analysis, RerunError>;

/// Renders the reports again from findings.
pub type Render<'a> = &'a dyn Fn(&Findings) -> Result<Reports, String>;

/// Why the analysis could not be run again.
#[derive(Debug, thiserror::Error)]
pub enum RerunError {
    /// The inputs are not a case that can be analyzed; the words are escaped already.
    #[error("{0}")]
    Case(String),
    /// This machine could not do it (a full disk).
    #[error("run the analysis again")]
    Machine(#[source] io::Error),
}

/// What the verifier brings.
#[derive(Default, Clone, Copy)]
pub struct VerifyOptions<'a> {
    /// Sealers that were named for this bundle; all of them have to have signed.
    pub signers: &'a [Signer],
    /// The verifier's own keys.
    pub own_keys: &'a [PublicKey],
    /// Parties known locally.
    pub trust: Option<&'a Trust>,
    /// How to run the analysis again; `None` leaves it out.
    pub rerun: Option<Rerun<'a>>,
    /// How to render the reports again; `None` leaves it out.
    pub render: Option<Render<'a>>,
    /// What opening may cost.
    pub limits: OpenLimits,
}

/// Why a bundle could not be verified, which says nothing about the bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file could not be read.
    #[error("read the bundle")]
    Read(#[source] io::Error),
    /// Its members could not be put aside, or the analysis had no room.
    #[error("write a scratch file")]
    Scratch(#[source] io::Error),
}

/// How a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// It holds.
    Held,
    /// It does not.
    Failed,
    /// Nobody could tell, here or now.
    NotCheckable,
    /// The bundle does not claim it.
    NotClaimed,
}

/// One of the five lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `Integrity`, `Signature`, `Time`, `Re-run` or `Origin`.
    pub name: &'static str,
    /// How it stands.
    pub state: CheckState,
    /// Why, escaped; may be empty.
    pub text: String,
}

impl Check {
    /// The whole line behind the name: how it stands and why.
    pub fn words(&self) -> String {
        let state = match self.state {
            CheckState::Held => "held",
            CheckState::Failed => "FAILED",
            // The reason alone: "not proved: …", "signed by a key nobody vouched for: …".
            CheckState::NotCheckable => return self.text.clone(),
            CheckState::NotClaimed => "not claimed",
        };
        if self.text.is_empty() { state.to_owned() } else { format!("{state}: {}", self.text) }
    }
}

/// What the five lines come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Integrity, signature and re-run hold.
    Holds,
    /// Nothing failed, but something was not asked, not claimed or not checkable.
    HoldsInPart,
    /// Something failed.
    DoesNotHold,
}

/// What came out.
#[derive(Debug)]
pub struct Verification {
    /// The five lines, in order.
    pub checks: Vec<Check>,
    /// The bundle, if it agrees with itself.
    pub bundle: Option<Bundle>,
    /// Keys whose signatures verify.
    pub signers: Vec<PublicKey>,
}

impl Verification {
    /// What the lines come to. Time and origin do not lower it: nobody claimed the one, and the other
    /// can't be proved offline.
    pub fn outcome(&self) -> Outcome {
        if self.checks.iter().any(|check| check.state == CheckState::Failed) {
            return Outcome::DoesNotHold;
        }
        let counts = |check: &&Check| matches!(check.name, INTEGRITY | SIGNATURE | RERUN);
        if self.checks.iter().filter(counts).all(|check| check.state == CheckState::Held) {
            Outcome::Holds
        } else {
            Outcome::HoldsInPart
        }
    }

    /// What is private in it, in one sentence; empty without a bundle.
    pub fn contents(&self) -> String {
        self.bundle.as_ref().map(private_contents).unwrap_or_default()
    }
}

const INTEGRITY: &str = "Integrity";
const SIGNATURE: &str = "Signature";
const TIME: &str = "Time";
const RERUN: &str = "Re-run";
const ORIGIN: &str = "Origin";

fn check(name: &'static str, state: CheckState, text: impl Into<String>) -> Check {
    Check { name, state, text: text.into() }
}

/// Verifies a bundle, reading it once.
///
/// # Errors
/// Only when this machine could not do it; whatever is wrong with the bundle is a failed check.
pub fn verify<R: io::Read>(
    input: R,
    scratch: &Scratch,
    options: &VerifyOptions<'_>,
) -> Result<Verification, VerifyError> {
    let file = match open(input, scratch, options.limits) {
        Ok(file) => file,
        Err(error) => return broken(error, None, None),
    };
    let size = format!("{} files, {} bytes, bundle id {}", file.oxum.files, file.oxum.bytes, file.id());
    let (mut signature, seal) = signature(&file, options);
    let bundle = match file.read_unverified() {
        Ok(bundle) => bundle,
        Err(error) => return broken(error, Some(signature), seal),
    };
    if seal.as_ref().is_some_and(|seal| seal.case != bundle.about().case) {
        signature = check(SIGNATURE, CheckState::Failed, "the seal is for another case");
    }
    let checks = vec![
        check(INTEGRITY, CheckState::Held, size),
        signature,
        check(TIME, CheckState::NotClaimed, ""),
        rerun(&bundle, options)?,
        origin(&bundle),
    ];
    Ok(Verification { checks, bundle: Some(bundle), signers: signers(seal) })
}

/// The five lines for something that is not an untouched bundle.
fn broken(
    error: OpenError,
    signature: Option<Check>,
    seal: Option<Seal>,
) -> Result<Verification, VerifyError> {
    let faults = match error {
        OpenError::Read(error) => return Err(VerifyError::Read(error)),
        OpenError::Scratch(error) => return Err(VerifyError::Scratch(error)),
        OpenError::Broken(faults) => faults,
    };
    let mut text = faults.iter().take(FAULTS_SHOWN).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if let Some(more) = faults.len().checked_sub(FAULTS_SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    let unasked = |name| check(name, CheckState::NotCheckable, "not checked: the bundle is not whole");
    let mut checks = vec![check(INTEGRITY, CheckState::Failed, text)];
    checks.push(signature.unwrap_or_else(|| unasked(SIGNATURE)));
    checks.extend([TIME, RERUN, ORIGIN].map(unasked));
    Ok(Verification { checks, bundle: None, signers: signers(seal) })
}

fn signers(seal: Option<Seal>) -> Vec<PublicKey> {
    seal.map(|seal| seal.keys).unwrap_or_default()
}

/// A seal that holds: who made it, and the case that it names in public.
struct Seal {
    keys: Vec<PublicKey>,
    case: String,
}

fn signature(file: &Unverified, options: &VerifyOptions<'_>) -> (Check, Option<Seal>) {
    let failed = |why: String| (check(SIGNATURE, CheckState::Failed, why), None);
    let signed = match (&file.envelope, &file.keys) {
        (Some(envelope), Some(keys)) => Signed { envelope: envelope.clone(), keys: keys.clone() },
        (None, None) if options.signers.is_empty() => {
            return (check(SIGNATURE, CheckState::NotClaimed, "the bundle is unsigned"), None);
        }
        (None, None) => return failed("the bundle is unsigned, and you named a signer".into()),
        _ => return failed("the envelope or the keys beside it are missing".into()),
    };
    let verified = match dsse::verify(&signed) {
        Ok(verified) => verified,
        Err(fault) => return failed(fault.to_string()),
    };
    // Only now is the payload parsed: from the very bytes that were verified.
    let statement = match Statement::read(&verified.payload) {
        Ok(statement) => statement,
        Err(why) => return failed(why),
    };
    if let Some(why) = statement.mismatch(file.id, file.oxum, file.epoch) {
        return failed(why.into());
    }
    let check = vouched(&verified.keys, options);
    (check, Some(Seal { keys: verified.keys, case: statement.predicate.case }))
}

/// Who stands behind keys whose signatures verify.
fn vouched(keys: &[PublicKey], options: &VerifyOptions<'_>) -> Check {
    let name = |key: &PublicKey| format!("key sha256:{}", key.fingerprint());
    let all = keys.iter().map(name).collect::<Vec<_>>().join(" and ");
    if let Some(key) = keys.iter().find(|key| options.trust.is_some_and(|trust| trust.is_revoked(key))) {
        return check(SIGNATURE, CheckState::Failed, format!("{} is revoked", name(key)));
    }
    if let Some(signer) = options.signers.iter().find(|signer| !keys.iter().any(|key| signer.names(key))) {
        let wanted = match signer {
            Signer::Fingerprint(start) => start.clone(),
            Signer::Key(key) => key.fingerprint().to_string(),
        };
        let text = format!("not signed by sha256:{wanted}, which you named, but by {all}");
        return check(SIGNATURE, CheckState::Failed, text);
    }
    let held = |key: &PublicKey, who: &str| {
        let others = match keys.len() - 1 {
            0 => String::new(),
            n => format!("; {n} more signed it"),
        };
        check(SIGNATURE, CheckState::Held, format!("{} ({who}){others}", name(key)))
    };
    for key in keys {
        if options.signers.iter().any(|signer| signer.names(key)) {
            return held(key, "you named it");
        }
        if options.own_keys.contains(key) {
            return held(key, "your own key");
        }
        if let Some(party) = options.trust.and_then(|trust| trust.sealer(key)) {
            return held(key, &format!("{}, by your trust file", party.name));
        }
    }
    check(SIGNATURE, CheckState::NotCheckable, format!("signed by a key nobody vouched for: {all}"))
}

fn rerun(bundle: &Bundle, options: &VerifyOptions<'_>) -> Result<Check, VerifyError> {
    let Some(rerun) = options.rerun else {
        return Ok(check(RERUN, CheckState::NotCheckable, "not checked: you asked for no re-run"));
    };
    let failed = |why: String| {
        let tool = &bundle.about().tool;
        let other = if *tool == Tool::this() {
            String::new()
        } else {
            let version = |tool: &Tool| printable(format!("{} {}", tool.name, tool.version).as_bytes(), 60);
            format!(" (sealed with {}, this is {})", version(tool), version(&Tool::this()))
        };
        Ok(check(RERUN, CheckState::Failed, format!("{why}{other}")))
    };
    let analysis = match rerun(bundle) {
        Ok(analysis) => analysis,
        Err(RerunError::Machine(error)) => return Err(VerifyError::Scratch(error)),
        Err(RerunError::Case(why)) => return failed(format!("the analysis can't be run again: {why}")),
    };
    if let Some(path) = other_input(bundle, &analysis) {
        return failed(format!("{} was read as something else than it is", printable(path.as_bytes(), 200)));
    }
    match differences(bundle, &analysis, options.render) {
        Err(why) => failed(why),
        Ok(names) if names.is_empty() => {
            let reports = if options.render.is_some() { ", flows and reports" } else { " and flows" };
            Ok(check(RERUN, CheckState::Held, format!("identical findings{reports}")))
        }
        Ok(names) => failed(format!("it gives other bytes for {}", names.join(", "))),
    }
}

/// An input that the re-run digested otherwise than the inventory says.
fn other_input<'a>(bundle: &Bundle, analysis: &'a Analysis) -> Option<&'a String> {
    let inputs = &bundle.inventory().inputs;
    analysis.inputs.iter().find_map(|(path, digest)| {
        let at = inputs.binary_search_by(|entry| entry.path.cmp(path)).ok();
        let entry = at.and_then(|at| inputs.get(at));
        let same = entry.is_some_and(|entry| (entry.sha256, entry.bytes) == (digest.sha256, digest.bytes));
        (!same).then_some(path)
    })
}

/// Names of the documents that came out otherwise.
fn differences(
    bundle: &Bundle,
    analysis: &Analysis,
    render: Option<Render<'_>>,
) -> Result<Vec<&'static str>, String> {
    let reports = render.map(|render| render(&analysis.findings)).transpose()?;
    let skipped = reports.is_none();
    let empty = Reports { html: String::new(), markdown: String::new() };
    let documents = documents(analysis, &reports.unwrap_or(empty)).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    let digests = documents.iter().map(|(name, bytes)| (*name, Digest::of(bytes)));
    for (name, digest) in digests.chain([(layout::FLOWS, analysis.flows.sha256)]) {
        if skipped && matches!(name, layout::REPORT_HTML | layout::REPORT_MARKDOWN) {
            continue;
        }
        if bundle.file.digest(name) != Some(digest) {
            names.push(name);
        }
    }
    Ok(names)
}

fn origin(bundle: &Bundle) -> Check {
    let findings = bundle.findings();
    let signed = findings.endpoints.iter().filter(|end| end.server_signature == "verified").count();
    let simulated = if findings.simulated {
        "SIMULATED: the captures were made by a lab, no phone was recorded"
    } else {
        "not declared as simulated"
    };
    let text = format!(
        "not proved: whoever sealed this could have invented the capture; {signed} of {} servers' own signatures seen; {simulated}",
        findings.endpoint_count.unwrap_or(findings.endpoints.len() as u64)
    );
    check(ORIGIN, CheckState::NotCheckable, text)
}

fn private_contents(bundle: &Bundle) -> String {
    let role = |role| bundle.inventory().inputs.iter().filter(move |entry| entry.role == role).count();
    let photos = bundle.findings().artifacts.iter().filter(|artifact| artifact.kind == "photo").count();
    let counted = |n: usize, one: &str, many: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {many}")),
    };
    let photos = photos.min(role(Role::Device));
    let files = role(Role::Device) - photos;
    let parts = [
        counted(photos, "photo", "photos"),
        counted(files, "other file of the phone", "other files of the phone"),
        counted(role(Role::Capture), "capture", "captures"),
        counted(role(Role::Keys), "key log", "key logs"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let parts = if parts.is_empty() { String::new() } else { format!("{} and ", parts.join(", ")) };
    format!("Contains {parts}the private seed: do not pass on.")
}
