//! Sentences that every medium says the same way. Nothing here is escaped: the medium does that.

use crate::{
    evidence::Direction,
    findings::{
        EndpointSummary, Finding, Findings, Grade, LeftOpen, Method, Part, Places, ReplyAsked,
        StatisticalTest, Status, TestOutcome, Unreported, Verdict,
        codes::{self, Explanation},
    },
    report::{
        Provenance,
        quantity::{byte_ranges, counted, duration, grouped, percent, whole_percent},
    },
};

/// Heads every report of a simulated case.
pub const SIMULATED: &str =
    "SIMULATED: these captures were made by the laboratory. Nothing here was observed on a real phone.";

/// Heads every report that nobody verified.
pub const UNVERIFIED: &str = "Not verified: rendered from findings alone. Whether they follow from the \
     captures was not checked; exhibit verify BUNDLE --report FILE does that.";

/// The rule that stands beside every list of findings.
pub const NOT_FOUND: &str = "“Not found” means not found in the listed encodings; it never means “not sent”.";

/// What the plan promises the party that is accused.
pub fn reply(asked: &ReplyAsked) -> String {
    let days = counted(u64::from(asked.days), "day");
    format!("{} is to be asked for a reply and given {days}; these findings hold none.", asked.party)
}

/// What stands over a report about its own standing.
pub fn standing(provenance: &Provenance) -> String {
    match provenance {
        Provenance::Unverified => UNVERIFIED.to_owned(),
        Provenance::Verified { bundle, .. } => format!("Rendered by a verification of the bundle {bundle}."),
    }
}

/// A verdict's status with its grade in plain words, or with its reasons: `supported (whole file)`,
/// `inconclusive (residual_capacity)`.
pub fn status(verdict: &Verdict) -> String {
    let note = match (&verdict.grade, verdict.reasons.as_slice()) {
        (Some(grade), _) => plain_grade(grade),
        (None, []) => return verdict.status.name().to_owned(),
        (None, reasons) => reasons.join(", "),
    };
    format!("{} ({note})", verdict.status.name())
}

/// A grade as findings spell it, in plain words; a conjunction's several grades each once.
pub fn plain_grade(grade: &str) -> String {
    const GRADES: [Grade; 6] =
        [Grade::Exact, Grade::Partial, Grade::Record, Grade::Identifier, Grade::Derived, Grade::Statistical];
    let mut plain: Vec<&str> = Vec::new();
    for word in grade.split(" + ").filter(|word| !word.is_empty()) {
        let words = GRADES.iter().find(|grade| grade.name() == word).map_or(word, |grade| grade.plain());
        if !plain.contains(&words) {
            plain.push(words);
        }
    }
    plain.join(", ")
}

/// Where a verdict holds, in one line.
pub fn scope(verdict: &Verdict) -> String {
    let scope = &verdict.scope;
    let mut parts = Vec::new();
    match scope.phases.as_slice() {
        [] => {}
        [phase] => parts.push(format!("phase {phase}")),
        phases => parts.push(format!("phases {}", phases.join(", "))),
    }
    if !scope.captured_at.is_empty() {
        parts.push(format!("captured at {}", scope.captured_at));
    }
    match (scope.from.as_str(), scope.to.as_str()) {
        ("", _) => parts.push("no packets".to_owned()),
        (from, to) if from == to => parts.push(from.to_owned()),
        (from, to) => parts.push(format!("{from} to {to}")),
    }
    parts.push(format!("{} observed", duration(scope.observed_seconds)));
    parts.join("; ")
}

/// One place of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: u64,
}

/// The five places, in the order in which every medium prints them.
pub fn places(bytes: Places) -> [Place; 5] {
    let place = |name, bytes| Place { name, bytes };
    [
        place("matched", bytes.matched),
        place("understood", bytes.understood),
        place("undetermined", bytes.undetermined),
        place("opaque", bytes.opaque),
        place("lost", bytes.lost),
    ]
}

/// An explanation that a verdict leaves open: what it means, and what did not close it.
pub fn left_open(open: &LeftOpen) -> String {
    let why = if open.why.is_empty() { String::new() } else { format!(" ({})", open.why) };
    match codes::explain(&open.code) {
        Some(explanation) => format!("{}{why}", explanation.means),
        None => format!("{}{why}", open.code),
    }
}

/// Carriers that a sentence names one by one.
const NAMED: usize = 6;

/// What would have to be missing for a verdict to fall.
pub fn challenge(verdict: &Verdict) -> String {
    let absent = verdict.status == Status::Supported
        && (verdict.kind == "universal" || verdict.kind == "consent" || verdict.findings.is_empty());
    let carriers: Vec<&str> = verdict.findings.iter().chain(&verdict.endpoints).map(String::as_str).collect();
    match verdict.status {
        Status::Supported if absent && verdict.endpoints.is_empty() => {
            "to fall: one counterexample in these phases would do, in what the captures lost or nobody could read"
                .to_owned()
        }
        Status::Supported | Status::Refuted if carriers.is_empty() => {
            "to fall: a condition that it rests on would have to have failed".to_owned()
        }
        Status::Supported | Status::Refuted => {
            let more = carriers.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = carriers.get(..carriers.len().min(NAMED)).unwrap_or_default().join(", ");
            format!("to fall: without all of {named}{more} it would not stand")
        }
        Status::Inconclusive => {
            "to be settled: what stands in the way has to be mended, see `exhibit explain CODE` for each".to_owned()
        }
        Status::Untestable => "no capture of traffic can settle it".to_owned(),
    }
}

/// What could have hidden what was looked for.
pub fn residual(findings: &Findings) -> String {
    let all = findings.ledger.all;
    let residual = all.residual();
    if all.total == 0 {
        return "The captures hold no uplink byte of the phone, so nothing can be said from not finding something."
            .to_owned();
    }
    if residual == 0 {
        return format!(
            "Residual capacity: none of the {} could have hidden what was looked for. {NOT_FOUND}",
            counted(all.total, "uplink byte"),
        );
    }
    format!(
        "Residual capacity: {} of {} ({}) could have hidden what was looked for: {} undetermined, {} opaque, {} lost. {NOT_FOUND}",
        grouped(residual),
        counted(all.total, "uplink byte"),
        percent(residual, all.total),
        grouped(all.undetermined),
        grouped(all.opaque),
        grouped(all.lost),
    )
}

/// What the unread share forbids saying, as `find` answers it.
pub(super) fn not_the_same_as_not_sent(all: Places) -> String {
    if all.total == 0 {
        return "the capture holds no upload of this phone, so nothing can be said".to_owned();
    }
    let shares: Vec<String> = [
        (all.opaque, "is encrypted or in an unknown format"),
        (all.undetermined, "holds values nobody accounts for"),
        (all.lost, "was lost by the capture"),
    ]
    .into_iter()
    .filter(|(bytes, _)| *bytes > 0)
    .enumerate()
    .map(|(index, (bytes, what))| {
        let of = if index == 0 { " of what was uploaded" } else { "" };
        format!("{}{of} {what}", whole_percent(bytes, all.total))
    })
    .collect();
    if shares.is_empty() {
        "everything uploaded was read, and still this is \"not found in the listed encodings\"".to_owned()
    } else {
        format!("{}, so this is NOT \"not sent\"", shares.join(", "))
    }
}

/// Runs that a sentence names one by one.
const MAX_RUNS: usize = 8;

/// Planned runs that nobody reports: `3 of 60 planned runs of stock are unreported: stock/02, stock/07, stock/09`.
pub fn unreported(missing: &Unreported) -> String {
    let Unreported { phase, planned, missing, runs } = missing;
    let are = if *missing == 1 { "is" } else { "are" };
    let planned = counted(u64::from(*planned), "planned run");
    if runs.len() as u64 == u64::from(*missing) && runs.len() <= MAX_RUNS {
        format!("{missing} of {planned} of {phase} {are} unreported: {}", runs.join(", "))
    } else {
        format!(
            "{missing} of {planned} of {phase} {are} unreported, {} first",
            runs.first().map_or("", String::as_str)
        )
    }
}

/// Where several runs share a capture, what lies between them; the ledger calls it the same.
pub const OUTSIDE: &str = "outside any run";

/// The phase in which it was seen; between runs there is none, and no claim rests on it.
pub fn phase(finding: &Finding) -> &str {
    if finding.phase.is_empty() { OUTSIDE } else { &finding.phase }
}

/// What was sent of an artifact: `whole file`, `part of the file: bytes 0-71,999 of 96,000 (75.0 %)`.
pub fn extent(finding: &Finding) -> String {
    match finding.grade {
        Grade::Partial => format!(
            "part of the file: bytes {} of {} ({})",
            byte_ranges(&finding.artifact_ranges),
            grouped(finding.artifact_bytes),
            percent(finding.matched_bytes, finding.artifact_bytes),
        ),
        Grade::Statistical => "volume consistent with uploads of them; nothing of them was read".to_owned(),
        Grade::Derived => {
            format!(
                "altered copy: shows the same picture, at a distance of {} in 1,000",
                finding.distance.unwrap_or(0)
            )
        }
        grade if is_hash(finding) => {
            format!(
                "{}: its hash ({}), not itself",
                grade.plain(),
                finding.form.as_deref().unwrap_or_default()
            )
        }
        grade => grade.plain().to_owned(),
    }
}

/// How often chance gives the like of a finding.
pub fn chance(finding: &Finding) -> String {
    if finding.grade == Grade::Statistical {
        format!("p {}, adjusted over all tests", finding.chance)
    } else {
        format!("{} matches expected", finding.chance)
    }
}

/// What a test of volume counted, and what came of it.
pub fn test(test: &StatisticalTest) -> String {
    let seen = match test.method {
        Method::Windows => format!(
            "an upload of {} bytes or more in {} of {} windows and in {} of {} of the sham",
            grouped(test.least_bytes),
            test.action_hits,
            test.action_windows,
            test.sham_hits,
            test.sham_windows
        ),
        Method::SizeCodes => format!(
            "one of the photo's size in {} of {} windows, as in {} of {} codes that were never planted",
            test.action_hits,
            test.action_windows,
            grouped(test.decoys_as_good.into()),
            grouped(test.decoys.into())
        ),
    };
    let why = if test.why.is_empty() { String::new() } else { format!("; {}", test.why) };
    let needed = test.windows_needed.map(|needed| format!("; {needed} windows of each would do"));
    format!(
        "{seen}; p {}, over {} tests {}{why}{}",
        test.probability,
        test.tests,
        test.adjusted,
        needed.unwrap_or_default()
    )
}

/// What a test came to, in words.
pub fn test_outcome(test: &StatisticalTest) -> &'static str {
    match test.outcome {
        TestOutcome::Significant => "more than luck gives",
        TestOutcome::NotSignificant => "luck may have given it",
        TestOutcome::Underpowered => "too few windows",
        TestOutcome::Exploratory => "exploratory: carries no verdict",
        TestOutcome::NotCheckable => "not checkable",
    }
}

/// Whether the hash of something was sent, and not the thing.
pub fn is_hash(finding: &Finding) -> bool {
    finding.form.as_ref().is_some_and(|form| form.contains(" in "))
}

/// Parts that went up, in order of time.
pub fn sent(finding: &Finding) -> impl Iterator<Item = &Part> {
    finding.parts.iter().filter(|part| part.direction == Direction::Up)
}

/// The endpoints that a finding's parts went to: through their flows, else by the destination's name.
pub fn endpoints<'a>(findings: &'a Findings, finding: &Finding) -> Vec<&'a EndpointSummary> {
    let remotes: Vec<&str> = findings
        .flows
        .iter()
        .filter(|flow| sent(finding).any(|part| part.flow == flow.name))
        .map(|flow| flow.remote.as_str())
        .collect();
    let through_flows: Vec<_> =
        findings.endpoints.iter().filter(|end| remotes.contains(&socket(end).as_str())).collect();
    if !through_flows.is_empty() {
        return through_flows;
    }
    let named = |end: &&EndpointSummary| {
        let mut names = end.names.iter().filter_map(|name| name.split(" (").next());
        socket(end) == finding.destination
            || end.address == finding.destination
            || names.any(|name| name == finding.destination)
    };
    findings.endpoints.iter().filter(named).collect()
}

/// `ADDRESS:PORT`, with brackets around IPv6.
pub fn socket(end: &EndpointSummary) -> String {
    if end.address.contains(':') {
        format!("[{}]:{}", end.address, end.port)
    } else {
        format!("{}:{}", end.address, end.port)
    }
}

/// What is known of an end's own signatures. The key is that of a certificate that nobody was asked about.
pub fn signature(end: &EndpointSummary) -> String {
    let names: Vec<&str> = end.signed_by.iter().map(|signer| signer.name.as_str()).collect();
    match (end.server_signature.as_str(), names.as_slice()) {
        (word, []) => word.to_owned(),
        (word, names) => {
            format!("{word}, by the key of the certificate for {} (chain not checked)", names.join(", "))
        }
    }
}

/// What the address table says: `registered to CN (TABLE)`; never who operates it or where it stands.
pub fn registration(end: &EndpointSummary) -> String {
    match (&end.registered_country, &end.special) {
        (Some(country), _) => format!("registered to {country} ({})", end.table),
        (None, Some(special)) => format!("{special} (special-purpose range)"),
        (None, None) => format!("not in the table ({})", end.table),
    }
}

/// A code with its explanation; codes that this version doesn't know stay as they are.
pub fn code(name: &str) -> String {
    codes::explain(name)
        .map_or_else(|| name.to_owned(), |Explanation { means, .. }| format!("{name}: {means}"))
}

/// Reasons of all verdicts, each once, sorted.
pub(super) fn reasons(findings: &Findings) -> Vec<&str> {
    let mut names: Vec<&str> =
        findings.claims.iter().flat_map(|claim| claim.reasons.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// How the phone was told from the rest.
pub fn subject(findings: &Findings) -> String {
    let subject = &findings.subject;
    let mut text = subject.model.clone().unwrap_or_else(|| "phone".to_owned());
    if subject.addresses.is_empty() {
        text.push_str(", no address");
    } else {
        text.push_str(&format!(" at {}", subject.addresses.join(", ")));
    }
    text.push_str(&format!(" ({})", bound_by(&subject.bound_by)));
    text
}

/// How the address was bound to the phone, in words.
pub(super) fn bound_by(how: &str) -> String {
    match how {
        "declared" => "declared in the scenario".to_owned(),
        "dhcp" => "guessed from DHCP".to_owned(),
        "busiest private address" => "guessed: the busiest private address".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_of_a_conjunction_stand_each_once_and_whole() {
        assert_eq!(
            plain_grade("absence + exact + recorded setting"),
            "absence, whole file, recorded setting"
        );
        assert_eq!(plain_grade("exact + exact + flow"), "whole file, flow");
    }
}
