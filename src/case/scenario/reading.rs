//! The reading of a claim that gives none, written from its test in plain words.

use super::{
    plan::{Predicate, Term},
    resolve::ONLY_PHASE,
    terms::BUILT_IN,
};

/// Hosts that a sentence names; more are counted.
const MAX_NAMED: usize = 3;
/// Artifacts and identifiers that a sentence names; more are counted.
const MAX_LISTED: usize = 6;

/// Writes what is tested. Phases are named unless the plan left them out.
pub(crate) fn reading(test: &Predicate, phases: &[String]) -> String {
    let sentence = sentence(test, phases);
    match (test, phases) {
        (Predicate::Untestable { .. } | Predicate::EachPhase(_), _) | (_, []) => sentence,
        (_, [only]) if only == ONLY_PHASE => sentence,
        (_, [one]) => format!("{sentence}, in phase {one}"),
        (Predicate::Connects { .. } | Predicate::Uploads { .. }, many) => {
            format!("{sentence}, in any of the phases {}", many.join(", "))
        }
        (_, many) => format!("{sentence}, in all of the phases {}", many.join(", ")),
    }
}

fn sentence(test: &Predicate, phases: &[String]) -> String {
    match test {
        Predicate::Connects { to, attended } => {
            let when = match attended {
                Some(false) => " while nobody touches the phone",
                Some(true) => " while somebody uses the phone",
                None => "",
            };
            format!("connects to {}{when}", destination(to))
        }
        Predicate::Uploads { what, to } => format!("uploads {}{}", thing(what), destinations(to)),
        Predicate::NeverUploads { what, to } => format!("never uploads {}{}", thing(what), destinations(to)),
        Predicate::OnlyUploads { allowed, .. } => format!("uploads nothing personal but {}", thing(allowed)),
        Predicate::Encrypted { what } => format!("encrypts each upload of {} in transit", thing(what)),
        Predicate::NeedsConsent { what, action } => {
            format!("never uploads {} before the action {action}, and does after it", thing(what))
        }
        Predicate::Setting { setting, is } => format!("the setting {setting} is {is}"),
        Predicate::AllOf(parts) => joined(parts, phases, "; and "),
        Predicate::AnyOf(parts) => joined(parts, phases, "; or "),
        Predicate::EachPhase(inner) => {
            format!("{}, in each of the phases {}", self::sentence(inner, phases), phases.join(", "))
        }
        Predicate::Untestable { why } => format!("not tested: {why}"),
    }
}

fn joined(parts: &[Predicate], phases: &[String], word: &str) -> String {
    parts.iter().map(|part| sentence(part, phases)).collect::<Vec<_>>().join(word)
}

/// A built-in word as it is; a declared one with what it lists.
fn thing(term: &Term) -> String {
    let built_in = BUILT_IN.iter().find(|(name, _)| *name == term.name).map(|(_, words)| *words);
    let listed: Vec<&str> = term.artifacts.iter().chain(&term.identifiers).map(String::as_str).collect();
    let name = term.name.replace(['_', '-'], " ");
    match (built_in, listed.as_slice()) {
        (Some(words), []) => words.to_owned(),
        (Some(words), _) if term.name != "personal" => words.to_owned(),
        (_, []) => name,
        (_, few) if few.len() <= MAX_LISTED => format!("{name} ({})", few.join(", ")),
        (_, many) => format!("{name} ({} artifacts and identifiers)", many.len()),
    }
}

fn destinations(to: &[Term]) -> String {
    if to.is_empty() {
        return String::new();
    }
    format!(" to {}", to.iter().map(destination).collect::<Vec<_>>().join(" or "))
}

fn destination(term: &Term) -> String {
    let mut parts = Vec::new();
    if !term.registered_country.is_empty() {
        parts.push(format!("an address registered in {}", term.registered_country.join(" or ")));
    }
    match term.hosts.as_slice() {
        [] => {}
        few if few.len() <= MAX_NAMED => parts.push(few.join(" or ")),
        many => parts.push(format!("one of the {} hosts of {}", many.len(), term.name)),
    }
    if parts.is_empty() { thing(term) } else { parts.join(" or ") }
}
