//! The reference and the JSON Schemas are what the types say. EXHIBIT_BLESS=1 writes them anew.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic, and reads its own files"
)]

use std::{fs, path::PathBuf};

use exhibit::case::scenario::{grammar::Scenario, record::Entry, words::RequirementWord};
use serde_json::Value;

fn hold(name: &str, wanted: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("EXHIBIT_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, wanted).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == wanted,
        "docs/{name} is not what the types say: run the tests with EXHIBIT_BLESS=1 and read the change"
    );
}

fn schema<T: schemars::JsonSchema>(id: &str, title: &str) -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    schema["$id"] = Value::String(id.to_owned());
    schema["title"] = Value::String(title.to_owned());
    without_null(&mut schema);
    schema
}

/// A key may be left out, never be null.
fn without_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(any)) = map.get_mut("anyOf") {
                any.retain(|one| one["type"] != "null");
                if let [Value::Object(one)] = any.as_slice() {
                    let one = one.clone();
                    map.remove("anyOf");
                    for (key, value) in one {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.remove("default");
            map.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

fn scenario() -> Value {
    schema::<Scenario>("scenario.schema.json", "exhibit scenario, grammar 1")
}

fn record() -> Value {
    schema::<Entry>("record.schema.json", "one line of an exhibit record")
}

#[test]
fn the_schemas_are_what_the_types_say() {
    hold("schema/scenario.schema.json", &format!("{}\n", serde_json::to_string_pretty(&scenario()).unwrap()));
    hold("schema/record.schema.json", &format!("{}\n", serde_json::to_string_pretty(&record()).unwrap()));
}

#[test]
fn the_reference_is_what_the_types_say() {
    let mut text = String::from(INTRODUCTION);
    section(&mut text, "scenario.yaml", &scenario());
    let scenario = scenario();
    for (name, part) in scenario["$defs"].as_object().unwrap() {
        if part["properties"].is_object() && part["description"].is_string() {
            section(&mut text, name, part);
        } else if let Some(words) = part["oneOf"].as_array() {
            list(&mut text, name, part, words);
        } else if name == "Requirement" {
            let about = part["description"].as_str().unwrap();
            text.push_str(&format!("## {name}\n\n{about}\n\n| word | meaning |\n|---|---|\n"));
            for (_, word, about) in RequirementWord::ALL {
                text.push_str(&format!("| `{word}` | {} |\n", flat(about)));
            }
            text.push('\n');
        }
    }
    text.push_str(RECORD);
    let record = record();
    section(&mut text, "record.jsonl", &record);
    for (name, part) in record["$defs"].as_object().unwrap() {
        if part["properties"].is_object() {
            section(&mut text, name, part);
        } else if let Some(words) = part["oneOf"].as_array()
            && scenario["$defs"][name].is_null()
        {
            list(&mut text, name, part, words);
        }
    }
    for link in text.split("](#").skip(1) {
        let anchor = link.split(')').next().unwrap();
        let there = text
            .lines()
            .any(|line| line.strip_prefix("## ").is_some_and(|name| name.to_lowercase() == anchor));
        assert!(there, "the link to {anchor} leads nowhere");
    }
    assert!(text.contains("| `never_uploads` |") && text.contains("| `device_state` |"));
    hold("scenario-reference.md", &text);
}

const INTRODUCTION: &str = "\
# Scenario reference

Every key of a scenario and of a record, generated from the types that read them; an editor takes the same from
`schema/scenario.schema.json` and `schema/record.schema.json`.

YAML 1.2 core types: `off`, `NO` and `12:30` are text. Unknown keys, keys that stand twice, merge keys (`<<`), unknown
tags and a second document are errors. Text that YAML reads as a number is refused where text is wanted: put it in
quotes (`imei: \"867622014512347\"`), or leading zeros and plus signs would be lost.

| limit | at most | reason |
|---|---|---|
| size | 4 MiB | a scenario names captures and files, it doesn't hold them |
| nesting | 24 levels | deeper YAML is an attack on the stack |
| values | 200,000 | a thousand claims stay below this |
| aliases | 200, repeating 20,000 values, 4 inside each other | they save typing in a few places; a bomb needs many |
| phases, actions, claims, terms | 1,000 each | a plan that people can carry out has dozens |
| tests in one `all_of` or `any_of` | 100, nested 6 deep | a sentence has few |

Paths are relative to the scenario, with `/` between folders. Names: a phase, an action, a canary or an identifier is
`[a-z0-9][a-z0-9._-]*`, a claim `[A-Za-z0-9][A-Za-z0-9._-]*`.

**Times.** `at` takes RFC 3339 with any offset, or `+60s`: after the *start* of the action above it. An action ends
after `for`, or at once. Its window ends when the next action begins; before that, when `window` is over, counted from
the action's end. The last action is watched for its own time, or, where it takes none, for 5 minutes.

**Runs.** Each file of `captures` is one run, sorted by the bytes of its path: `PHASE/01`, `PHASE/02`, … Times in the
plan fit one run; several runs are recorded in `record.jsonl`. Without an action log nothing can be said about timing.

**Phases of a claim.** Without `in`, a claim is judged in the only phase, or in the only one whose role is `subject`.
Where there are several it must say so: \"in any\" and \"in all\" differ.

**Actions of a phase.** An action without `in` belongs to every phase that is not a negative control. Each run of a
phase must show each of its actions, or the action's sham.

";

const RECORD: &str = "\
# Record reference

`record.jsonl` stands beside the scenario: what happened, one JSON object a line, one line a run. Each line names in
`prev` the SHA-256 of the line before it (its bytes without the line feed), the first one 64 zeros. Where that does not
hold, the case is still read, the first such line is named, and the gate `integrity` fails. Unknown keys, keys that stand twice,
unknown phases or actions are errors. With a record, the plan names no captures of its own.

";

fn section(text: &mut String, name: &str, part: &Value) {
    let about = part["description"].as_str().unwrap_or_default();
    text.push_str(&format!(
        "## {name}\n\n{}\n\n| key | type | meaning | default |\n|---|---|---|---|\n",
        flat(about)
    ));
    let required: Vec<&str> =
        part["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, property) in part["properties"].as_object().unwrap() {
        let about = flat(property["description"].as_str().unwrap_or_default());
        let (meaning, default) = match about.split_once("Default: ") {
            Some((meaning, default)) => (meaning.trim(), default.trim_end_matches('.')),
            None => (about.as_str(), if required.contains(&key.as_str()) { "required" } else { "none" }),
        };
        assert!(!meaning.is_empty(), "{name}.{key} has no meaning");
        text.push_str(&format!("| `{key}` | {} | {} | {} |\n", kind(property), cell(meaning), cell(default)));
    }
    text.push('\n');
}

fn list(text: &mut String, name: &str, part: &Value, words: &[Value]) {
    let about = flat(part["description"].as_str().unwrap_or_default());
    text.push_str(&format!("## {name}\n\n{about}\n\n| word | meaning |\n|---|---|\n"));
    for word in words {
        let about = flat(word["description"].as_str().unwrap());
        text.push_str(&format!("| `{}` | {} |\n", word["const"].as_str().unwrap(), cell(&about)));
    }
    text.push('\n');
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A type in words.
fn kind(property: &Value) -> String {
    if let Some(name) = property["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return match name {
            "Digest" => "SHA-256".to_owned(),
            "Timestamp" => "time".to_owned(),
            _ => format!("[{name}](#{})", name.to_lowercase()),
        };
    }
    if let Some(any) = property["anyOf"].as_array() {
        let kinds: Vec<String> = any.iter().filter(|one| one["type"] != "null").map(kind).collect();
        return kinds.join(" or ");
    }
    match &property["type"] {
        Value::String(one) => one_kind(one, property),
        Value::Array(many) => {
            let many = many.iter().filter_map(Value::as_str).filter(|one| *one != "null");
            many.map(|one| one_kind(one, property)).collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    }
}

fn one_kind(one: &str, property: &Value) -> String {
    match one {
        "string" if property["pattern"].as_str().is_some_and(|pattern| pattern.contains("ms|")) => {
            "duration".to_owned()
        }
        "string" if property["pattern"].as_str().is_some_and(|pattern| pattern.contains("KiB")) => {
            "size".to_owned()
        }
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "array" => format!("list of {}", kind(&property["items"])),
        "object" => format!("names to {}", kind(&property["additionalProperties"])),
        other => other.to_owned(),
    }
}
