//! Requirements as they are written: `cloud_off`, or `packages_absent: [com.example.app]`.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{grammar::Requirement, values::Names, words::RequirementWord};

const TAKE_PACKAGES: [RequirementWord; 2] =
    [RequirementWord::PackagesAbsent, RequirementWord::PackagesPresent];

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word.name())?;
        if self.packages.is_empty() { Ok(()) } else { write!(f, ": {}", self.packages.join(", ")) }
    }
}

struct Visitor;

impl Visitor {
    fn word<E: de::Error>(text: &str) -> Result<RequirementWord, E> {
        let names: &'static [&'static str] = &[
            "rom_matches",
            "cloud_off",
            "backup_off",
            "no_account",
            "packages_absent",
            "packages_present",
            "wifi_only",
        ];
        let known = RequirementWord::ALL.iter().find(|(_, name, _)| *name == text);
        known.map(|(word, ..)| *word).ok_or_else(|| E::unknown_variant(text, names))
    }
}

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Requirement;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a requirement such as cloud_off, or packages_absent: [com.example.app]")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Requirement, E> {
        let word = Self::word(text)?;
        if TAKE_PACKAGES.contains(&word) {
            return Err(E::custom(format_args!("`{text}` needs packages: `{text}: [com.example.app]`")));
        }
        Ok(Requirement { word, packages: Vec::new() })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Requirement, A::Error> {
        let text: String = map.next_key()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let word = Self::word(&text)?;
        if !TAKE_PACKAGES.contains(&word) {
            return Err(de::Error::custom(format_args!("`{text}` takes no packages: write it alone")));
        }
        let packages: Names = map.next_value()?;
        if map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom(
                "one requirement an entry: put the next one into braces of its own",
            ));
        }
        Ok(Requirement { word, packages: packages.texts() })
    }
}

impl<'de> Deserialize<'de> for Requirement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Requirement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        if self.packages.is_empty() {
            return serializer.serialize_str(self.word.name());
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.word.name(), &self.packages)?;
        map.end()
    }
}

impl JsonSchema for Requirement {
    fn schema_name() -> Cow<'static, str> {
        "Requirement".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = |with_packages: bool| {
            let wanted = move |word: RequirementWord| TAKE_PACKAGES.contains(&word) == with_packages;
            RequirementWord::ALL.iter().filter(move |(word, ..)| wanted(*word)).map(|&(_, name, _)| name)
        };
        let alone: Vec<&str> = names(false).collect();
        let packages =
            json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
        let properties: serde_json::Map<_, _> =
            names(true).map(|name| (name.to_owned(), packages.clone().to_value())).collect();
        json_schema!({
            "description": "What must be so in a phase: a word, or a word with packages.",
            "anyOf": [
                {"type": "string", "enum": alone},
                {"type": "object", "properties": properties, "minProperties": 1, "maxProperties": 1, "additionalProperties": false},
            ]
        })
    }
}
