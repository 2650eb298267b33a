//! YAML text to the grammar's types, with every fault of the text as a [`Problem`].
//!
//! Strict: YAML 1.2 core types, one document, no merge keys, no unknown tags, no duplicate keys.

use serde::de::DeserializeOwned;
use serde_saphyr::{
    Error, MessageFormatter as _, Options, UserMessageFormatter,
    budget::BudgetBreach,
    options::{DuplicateKeyPolicy, MergeKeyPolicy},
};

use crate::evidence::printable;

use super::{
    problem::{MAX_WORD, Problem, did_you_mean, word},
    values::{Place, QUOTE_IT},
};

/// A scenario is written by hand; ten thousand claims fit into this.
pub const MAX_TEXT: u64 = 4 << 20;
/// Claims nest `all_of` twice at most in practice; deeper YAML is an attack on the stack.
const MAX_NESTING: usize = 24;
/// Keys, values and containers of a scenario with a thousand claims stay below this.
const MAX_NODES: usize = 200_000;
/// Aliases (`*name`) save typing in a few places; a bomb needs many.
const MAX_ALIASES: usize = 200;
/// What all aliases together may repeat.
const MAX_REPEATED: usize = 20_000;
/// Aliases inside aliases.
const MAX_ALIAS_DEPTH: usize = 4;

/// What stands in the smallest scenario.
const MINIMAL: &str = "the smallest scenario: `exhibit: 1`, `capture: FILE`, `files: FOLDER`, `claims: [{says: the phone will upload photos, uploads: photo}]`";

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            // Two, so that a second one is told as such.
            max_documents: 2,
            max_depth: MAX_NESTING,
            flow_nesting_limit: MAX_NESTING,
            max_nodes: MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_recorded_anchor_events: MAX_REPEATED,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPEATED,
            max_replay_stack_depth: MAX_ALIAS_DEPTH,
            max_alias_expansions_per_anchor: MAX_ALIASES,
        },
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// Reads one document.
///
/// # Errors
/// The first fault.
pub(crate) fn document<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    if text.len() as u64 > MAX_TEXT {
        return Err(Problem::error(
            Place::default(),
            format!("the file is larger than {} MiB", MAX_TEXT >> 20),
        )
        .help("a scenario names captures and files, it doesn't hold them"));
    }
    characters(text)?;
    if text.trim().is_empty() {
        return Err(Problem::error(Place::default(), "the file is empty").help(MINIMAL));
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| problem(error.without_snippet()))
}

/// YAML 1.2 section 5.1: a stream holds printable characters only.
fn characters(text: &str) -> Result<(), Problem> {
    let printable_in_yaml = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    for (line, content) in text.split('\n').enumerate() {
        if let Some((column, c)) = content.chars().enumerate().find(|&(_, c)| !printable_in_yaml(c)) {
            let place = Place { line: line + 1, column: column + 1, len: 1 };
            return Err(Problem::error(
                place,
                format!("a control character (U+{:04X}) in the text", u32::from(c)),
            )
            .help("YAML takes printable characters only; is this a text file?"));
        }
    }
    Ok(())
}

fn problem(error: &Error) -> Problem {
    let place = error.location().map_or_else(Place::default, Place::new);
    match error {
        Error::AliasError { error, .. } => problem(error),
        Error::SerdeUnknownField { field, expected, .. } => {
            let problem = Problem::error(place, format!("unknown key {}", word(field)));
            with_help(problem, did_you_mean(field, expected.iter().copied()))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let problem = Problem::error(place, format!("unknown word {}", word(variant)));
            with_help(problem, did_you_mean(variant, expected.iter().copied()))
        }
        Error::SerdeMissingField { field: "exhibit", .. } => {
            let top = Place { line: 1, column: 1, len: 1 };
            Problem::error(top, "the key `exhibit` is missing").help("a scenario begins with `exhibit: 1`")
        }
        Error::SerdeMissingField { field, .. } => {
            let problem = Problem::error(place, format!("the key {} is missing", word(field)));
            with_help(problem, missing_help(field))
        }
        Error::DuplicateMappingKey { key, .. } => {
            let name = key.as_deref().map_or_else(|| "a key".to_owned(), word);
            Problem::error(place, format!("{name} stands twice in the same place"))
                .help("keep one of the two; lists are written `[a, b]`")
        }
        Error::MergeKeyNotAllowed { .. } => Problem::error(place, "a merge key (`<<`)")
            .help("YAML 1.2 has none: write the keys out"),
        Error::MultipleDocuments { .. } => {
            Problem::error(place, "a second document").help("one file holds one scenario: remove `---`")
        }
        Error::Budget { breach, .. } => {
            let (message, most) = too_much(breach);
            with_help(Problem::error(place, message), most)
        }
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Problem::error(place, "aliases repeat too much").help(format!(
            "at most {MAX_ALIASES} aliases, {MAX_ALIAS_DEPTH} inside each other, repeating {MAX_REPEATED} values in all"
        )),
        Error::InvalidBooleanStrict { .. } => {
            Problem::error(place, "this is no truth value").help("write `true` or `false`")
        }
        Error::Unexpected { expected: "mapping start", .. } => Problem::error(place, "keys and values are wanted here")
            .help("`key: value` lines, or `{key: value}`"),
        other => {
            let message = printable(UserMessageFormatter.format_message(other).as_bytes(), 4 * MAX_WORD);
            let help = help_for(&message);
            with_help(Problem::error(place, message), help)
        }
    }
}

fn too_much(breach: &BudgetBreach) -> (&'static str, Option<String>) {
    match breach {
        BudgetBreach::Depth { .. } => {
            ("the text nests too deep", Some(format!("at most {MAX_NESTING} levels")))
        }
        BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } => {
            ("too many aliases", Some(format!("at most {MAX_ALIASES}: write the values out")))
        }
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
            ("too many values", Some(format!("at most {MAX_NODES}: split the scenario")))
        }
        _ => ("the text is larger than a scenario may be", None),
    }
}

fn missing_help(field: &str) -> Option<String> {
    let help = match field {
        "claims" => "what is claimed: `claims: [{says: the phone will upload photos, uploads: photo}]`",
        "says" => "the claim's own words: `says: the phone will upload photos`",
        _ => return None,
    };
    Some(help.to_owned())
}

fn help_for(message: &str) -> Option<String> {
    let has = |part: &str| message.contains(part);
    if has("recursion limit") {
        Some(format!("brackets nest too deep: at most {MAX_NESTING} levels"))
    } else if has(QUOTE_IT) {
        Some("put it in quotes: leading zeros and a plus sign would be lost otherwise".to_owned())
    } else if has("tab") {
        Some("indent with spaces: YAML takes no tabs there".to_owned())
    } else {
        None
    }
}

fn with_help(problem: Problem, help: Option<String>) -> Problem {
    Problem { help: help.or(problem.help.clone()), ..problem }
}
