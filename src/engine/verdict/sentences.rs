//! What an outcome permits writing, and what it does not.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observed, gates::SMALLEST_PHOTO, outcome::Outcome};
use crate::{
    case::scenario::plan::{Claim, Predicate},
    engine::statistics::binomial,
    findings::{EndpointSummary, Finding, Grade, MADE_BY, Method, Scope, Status, codes::Code},
};

/// The two sentences of a verdict.
pub(super) struct Sentences {
    /// What the evidence permits.
    pub(super) permits: String,
    /// What it does not.
    pub(super) does_not_permit: String,
}

/// Findings that a sentence names one by one; the rest are counted.
const NAMED: usize = 3;

/// Writes both sentences; every number in them becomes a figure.
pub(super) fn write(
    observed: &Observed<'_>,
    claim: &Claim,
    status: Status,
    outcome: &Outcome,
    scope: &Scope,
    figures: &mut BTreeMap<String, String>,
) -> Sentences {
    let carrying: Vec<&Finding> =
        observed.findings.iter().filter(|finding| outcome.findings.contains(&finding.id)).collect();
    let by_volume = carrying.iter().any(|finding| finding.grade == Grade::Statistical);
    figures.insert("findings".to_owned(), carrying.len().to_string());
    figures.insert("observed_seconds".to_owned(), scope.observed_seconds.to_string());
    let permits = match status {
        Status::Untestable => "Nothing: captured traffic can't show it.".to_owned(),
        Status::Inconclusive => format!(
            "This evidence did not settle whether this holds: “{}” ({}).",
            claim.reading,
            join(outcome.reasons.iter().map(|code| code.name().to_owned()))
        ),
        Status::Supported | Status::Refuted => {
            let what = seen(observed, &carrying, outcome, figures);
            let verdict = match status {
                Status::Refuted => "against the reading:",
                _ if by_volume => "which is consistent with the reading, and no more:",
                _ => "as the reading says:",
            };
            format!(
                "{}{what}, {verdict} “{}”. {}",
                prelude(observed, scope, outcome),
                claim.reading,
                custody(observed, scope)
            )
        }
    };
    // Whether it was an upload that was not found, and no connection.
    let absent = outcome.absent.values().map(|absent| absent.residual.is_some());
    let absent = absent.reduce(|one, other| one || other).filter(|_| status != Status::Inconclusive);
    let mut denies = does_not_permit(claim, status, absent);
    if by_volume {
        denies.insert_str(
            0,
            "That a photo was sent: nothing of one was read, and anything else of that size looks the same. ",
        );
    }
    Sentences { permits, does_not_permit: denies }
}

/// Names the phases in which it was seen: a claim may be judged in more.
fn prelude(observed: &Observed<'_>, scope: &Scope, outcome: &Outcome) -> String {
    let within: Vec<&String> = scope.phases.iter().filter(|phase| outcome.phases.contains(*phase)).collect();
    let day =
        if scope.from == scope.to { scope.from.clone() } else { format!("{} to {}", scope.from, scope.to) };
    let simulated = if observed.plan.simulated { "In a simulation: in " } else { "In " };
    let phases = if within.len() == 1 { "phase" } else { "phases" };
    format!("{simulated}{phases} {} ({day}) the phone under test ", join(within.into_iter().cloned()))
}

/// What was seen, in words.
fn seen(
    observed: &Observed<'_>,
    carrying: &[&Finding],
    outcome: &Outcome,
    figures: &mut BTreeMap<String, String>,
) -> String {
    let mut parts = Vec::new();
    if !outcome.endpoints.is_empty() {
        figures.insert("endpoints".to_owned(), outcome.endpoints.len().to_string());
        let named = outcome.endpoints.iter().take(NAMED).map(|name| endpoint_words(observed, name));
        let dated = if outcome.reasons.contains(&Code::TableDate) {
            ", by a table more than 90 days from the capture"
        } else {
            ""
        };
        parts.push(format!("connected to {}{}{dated}", join(named), more(outcome.endpoints.len())));
    }
    let (volumes, read): (Vec<&Finding>, Vec<&Finding>) =
        carrying.iter().copied().partition(|finding| finding.grade == Grade::Statistical);
    if !volumes.is_empty() {
        let named = volumes.iter().take(NAMED).map(|finding| volume_words(observed, finding, figures));
        parts.push(format!("{}{}", join(named), more(volumes.len())));
    }
    if !read.is_empty() {
        let named = read.iter().take(NAMED).map(|finding| {
            figures.insert(format!("{}.matched_bytes", finding.id), finding.matched_bytes.to_string());
            figures.insert(format!("{}.artifact_bytes", finding.id), finding.artifact_bytes.to_string());
            finding_words(finding)
        });
        parts.push(format!("sent {}{}", join(named), more(read.len())));
    }
    if !outcome.absent.is_empty() {
        parts.push(absent_words(outcome, carrying.is_empty(), figures));
    }
    let witness = observed.findings.iter().filter(|finding| outcome.witness.contains(&finding.id));
    let phases: BTreeSet<&str> = witness.map(|finding| finding.phase.as_str()).collect();
    if !phases.is_empty() {
        figures.insert("witnesses".to_owned(), outcome.witness.len().to_string());
        parts.push(format!(
            "the same kind was seen where it is expected ({} findings in {})",
            outcome.witness.len(),
            join(phases.into_iter().map(str::to_owned))
        ));
    }
    if parts.is_empty() {
        parts.push("had the settings that the record lists".to_owned());
    }
    parts.join(", and ")
}

/// What was looked for and not found, with what is still possible.
fn absent_words(outcome: &Outcome, alone: bool, figures: &mut BTreeMap<String, String>) -> String {
    let windows = outcome.absent.values().map(|absent| absent.windows).min().unwrap_or(0);
    figures.insert("windows".to_owned(), windows.to_string());
    let mut words = String::from(if alone { "showed " } else { "beside that showed " });
    let spikes = outcome.absent.values().filter_map(|absent| absent.spikes).min();
    let residual = outcome.absent.values().filter_map(|absent| absent.residual).max();
    match (residual, spikes) {
        (Some((residual, least)), Some((sent, found))) => {
            let rate = binomial::rate_still_possible(windows, found, sent);
            // Rounded up: no more is excluded than was shown.
            let rate = format!("{:.1}", (rate * 1_000.0).ceil() / 10.0);
            words.push_str(&format!(
                "none of what is looked for in any of the encodings that are read (not found, which is not \"not sent\"), in \
                 {windows} windows with a fresh artifact each; at most {residual} bytes of a window are not accounted for, and \
                 {least} would be needed{}; {found} of {sent} known artifacts were found; up to {rate} % of such windows may \
                 still hold one (95 % certainty)",
                if least == SMALLEST_PHOTO { " (smaller thumbnails are left out)" } else { "" },
            ));
            for (key, figure) in [
                ("residual_bytes", residual.to_string()),
                ("smallest_carrier_bytes", least.to_string()),
                ("spikes_sent", sent.to_string()),
                ("spikes_found", found.to_string()),
                ("rate_still_possible_percent", rate),
            ] {
                figures.insert(key.to_owned(), figure);
            }
        }
        _ => {
            let rate = binomial::upper_bound(0, windows, 0.025);
            let rate = format!("{:.1}", (rate * 1_000.0).ceil() / 10.0);
            words.push_str(&format!(
                "no such connection in {windows} idle windows without a lost frame; up to {rate} % of them may still hold one \
                 (97.5 % certainty)"
            ));
            figures.insert("rate_still_possible_percent".to_owned(), rate);
        }
    }
    words
}

fn more(count: usize) -> String {
    if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() }
}

fn finding_words(finding: &Finding) -> String {
    let what = finding
        .artifact
        .strip_prefix("identifier:")
        .map_or_else(|| finding.artifact.clone(), |kind| format!("the phone's {kind}"));
    // A hash was sent, and nothing says that its value was.
    let what = match &finding.form {
        Some(form) if form.contains(" in ") => format!("{what} as its hash ({form})"),
        _ if finding.grade == Grade::Derived => format!("an altered copy of {what}"),
        _ => what,
    };
    let how = match finding.artifact_bytes {
        0 => finding.grade.plain().to_owned(),
        _ if finding.grade == Grade::Derived => {
            format!("distance {} of 1000", finding.distance.unwrap_or_default())
        }
        bytes if finding.matched_bytes == bytes => format!("{}, {bytes} bytes", finding.grade.plain()),
        bytes => format!("{}, {} of {bytes} bytes", finding.grade.plain(), finding.matched_bytes),
    };
    format!("{what} ({how}; {}) to {}", finding.id, finding.destination)
}

/// Volume says no more than what it is consistent with.
fn volume_words(
    observed: &Observed<'_>,
    finding: &Finding,
    figures: &mut BTreeMap<String, String>,
) -> String {
    let tests = observed.statistics.iter().filter(|test| finding.tests.contains(&test.id));
    let details: Vec<String> = tests
        .map(|test| {
            for (key, figure) in [
                ("least_bytes", test.least_bytes.to_string()),
                ("action_hits", test.action_hits.to_string()),
                ("action_windows", test.action_windows.to_string()),
                ("sham_hits", test.sham_hits.to_string()),
                ("sham_windows", test.sham_windows.to_string()),
                ("decoys_as_good", test.decoys_as_good.to_string()),
                ("decoys", test.decoys.to_string()),
                ("adjusted", test.adjusted.clone()),
                ("tests", test.tests.to_string()),
            ] {
                figures.insert(format!("{}.{key}", test.id), figure);
            }
            let seen = match test.method {
                Method::Windows => format!(
                    "an upload of at least {} bytes that nobody can read in {} of {} windows of it and {} of {} of its sham {}",
                    test.least_bytes, test.action_hits, test.action_windows, test.sham_hits, test.sham_windows, test.sham
                ),
                Method::SizeCodes => format!(
                    "one of the size of the photo made in {} of {} windows, where {} of {} codes that were never planted do as well",
                    test.action_hits, test.action_windows, test.decoys_as_good, test.decoys
                ),
            };
            format!("{seen}: p at most {} over {} tests", test.adjusted, test.tests)
        })
        .collect();
    format!(
        "showed volume to {} in {} consistent with uploads of the photos that {} makes, by size and time alone ({}; {})",
        finding.destination,
        finding.phase,
        finding.artifact.strip_prefix(MADE_BY).unwrap_or(&finding.artifact),
        details.join("; "),
        finding.id
    )
}

fn endpoint_words(observed: &Observed<'_>, name: &str) -> String {
    let endpoint =
        observed.endpoints.iter().find(|endpoint| name == format!("{}:{}", endpoint.address, endpoint.port));
    match endpoint {
        Some(EndpointSummary { registered_country: Some(country), table, .. }) => {
            format!("{name} (registered to {country} in {table})")
        }
        _ => name.to_owned(),
    }
}

/// Every permitted sentence ends with who vouches for the capture.
fn custody(observed: &Observed<'_>, scope: &Scope) -> String {
    let by = if scope.captured_at == "undeclared" {
        "the capture at an undeclared point"
    } else {
        scope.captured_at.as_str()
    };
    let fabricate = "whoever holds the session keys could fabricate content";
    if observed.plan.simulated {
        format!("As made by a simulation, standing at: {by}; it shows nothing about any real phone.")
    } else {
        format!("As recorded by: {by}; {fabricate}.")
    }
}

/// What absence leaves open: the encodings that are not read, and the covert capacity of protocols, which no verdict speaks of.
const NOT_EXCLUDED: &str = "That it was not sent: it was not found in what is read here, and whoever wants to hide it finds room in \
    what protocols leave to chance or choice (sequence numbers, ports and identifications; random fields, key shares and nonces \
    of TLS; ids of DNS; masks and keys of WebSocket; sizes, times, order and number of messages). ";

fn does_not_permit(claim: &Claim, status: Status, absent: Option<bool>) -> String {
    match status {
        Status::Untestable => "That traffic shows it, or that traffic shows its opposite.".to_owned(),
        Status::Inconclusive => {
            "That it happens, or that it does not: nothing found in what could be read is not \"not sent\"."
                .to_owned()
        }
        Status::Supported | Status::Refuted => format!(
            "{}{}That other phones, firmware, places or days behave the same; who operates the server; what was done with the data there; why.",
            match absent {
                Some(true) => NOT_EXCLUDED,
                Some(false) => "That it was not sent: it was not found in what is read here. ",
                None => "",
            },
            subject(&claim.predicate)
        ),
    }
}

fn subject(predicate: &Predicate) -> &'static str {
    match predicate {
        Predicate::Connects { .. } => {
            "That the server stands in the country its address is registered to, or that the user was not told. "
        }
        Predicate::Encrypted { .. } => "Anything about encryption at rest or who holds keys. ",
        Predicate::NeedsConsent { .. } => "Whether a consent was informed. ",
        _ => "",
    }
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
