//! JSON that may be hostile: typed, one spelling, no duplicate keys, no unknown fields.
//!
//! serde refuses duplicate and unknown fields of structs but keeps the last of two equal keys of a
//! map, so every document is first walked once for duplicates and depth, and then typed.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Serialize,
    de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use crate::{evidence::printable, findings::canonical_json};

/// Findings nest nine deep; what is deeper comes from elsewhere.
const MAX_DEPTH: u8 = 24;

/// Reads a document of a known shape, refusing duplicate keys at every level.
///
/// # Errors
/// What is wrong, escaped.
pub fn strict<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let escape = |error: serde_json::Error| printable(error.to_string().as_bytes(), 300);
    let mut walker = serde_json::Deserializer::from_slice(bytes);
    Walk { depth: 0 }.deserialize(&mut walker).and_then(|()| walker.end()).map_err(escape)?;
    serde_json::from_slice(bytes).map_err(escape)
}

/// Reads a document that has exactly one spelling: the canonical one.
///
/// # Errors
/// What is wrong, escaped.
pub fn canonical<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, String> {
    let value: T = strict(bytes)?;
    match canonical_json(&value) {
        Ok(again) if again == bytes => Ok(value),
        Ok(_) => Err("it is not canonical JSON (sorted keys, no spaces, one line feed at the end)".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Walks a document and keeps nothing.
#[derive(Clone, Copy)]
struct Walk {
    depth: u8,
}

impl Walk {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Err(E::custom("numbers are integers"))
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while sequence.next_element_seed(deeper)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        let mut keys = BTreeSet::new();
        while let Some(Key(key)) = map.next_key()? {
            if !keys.insert(key) {
                return Err(de::Error::custom("a key stands twice"));
            }
            map.next_value_seed(deeper)?;
        }
        Ok(())
    }
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Key(String);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        map: BTreeMap<String, String>,
    }

    #[test]
    fn two_equal_keys_are_refused_where_serde_keeps_the_last() {
        let text = br#"{"map":{"a":"1","a":"2"}}"#;
        assert_eq!(serde_json::from_slice::<Shape>(text).unwrap().map["a"], "2");
        assert!(strict::<Shape>(text).unwrap_err().contains("a key stands twice"));
        // The same key in another spelling is the same key.
        assert!(strict::<Shape>(br#"{"map":{"a":"1","\u0061":"2"}}"#).is_err());
        assert!(strict::<Shape>(br#"{"map":{"a":"1","b":"2"}}"#).is_ok());
    }

    #[test]
    fn documents_have_one_spelling() {
        assert!(canonical::<Shape>(b"{\"map\":{\"a\":\"1\"}}\n").is_ok());
        for bad in [
            "{\"map\":{\"a\":\"1\"}}",
            "{\"map\": {\"a\":\"1\"}}\n",
            "{\"map\":{\"a\":\"\\u0031\"}}\n",
            "{\"map\":{\"b\":\"1\",\"a\":\"1\"}}\n",
            "{\"map\":{\"a\":\"1\"}}\n\n",
            "{\"map\":{\"a\":\"1\"}}\n{}",
            "{\"map\":{},\"more\":1}\n",
            "\u{feff}{\"map\":{}}\n",
        ] {
            assert!(canonical::<Shape>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn deep_documents_and_fractions_are_refused() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(strict::<Shape>(deep.as_bytes()).unwrap_err().contains("nested"));
        assert!(strict::<Shape>(br#"{"map":1.5}"#).unwrap_err().contains("integers"));
    }
}
