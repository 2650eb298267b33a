//! Values as a scenario writes them: text that is text, names with their place, durations, sizes.
//!
//! YAML 1.2 core types only. A text that YAML reads as a number, a truth value or nothing is refused
//! where text is wanted: a leading zero or a plus sign of a phone number would be lost silently.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_saphyr::{Location, Spanned};

/// Where something stands in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Line, from 1; 0 where unknown.
    pub line: usize,
    /// Character column, from 1.
    pub column: usize,
    /// Characters, at least 1.
    pub len: usize,
}

impl Place {
    pub(crate) fn new(location: Location) -> Self {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            line: number(location.line()),
            column: number(location.column()),
            len: number(location.span().len()).max(1),
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub place: Place,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Two values are the same wherever they stand.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T: Ord> Ord for At<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value.cmp(&other.value)
    }
}

impl<T: PartialOrd> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, place: Place::new(spanned.referenced) })
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Text: never a number, a truth value or nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// What [`Text`] says when YAML means something else; the help line is found by its words.
pub(crate) const QUOTE_IT: &str = "is not text to YAML";

struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Text, E> {
        Err(E::custom(format_args!("`{value}` {QUOTE_IT} but a truth value")))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Text, E> {
        Err(E::custom(format_args!("this {QUOTE_IT} but a number")))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Text, E> {
        self.visit_u64(0)
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Text, E> {
        self.visit_u64(0)
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Text, E> {
        self.visit_u64(0)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Text, E> {
        self.visit_u64(0)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Text, E> {
        Err(E::custom(format_args!("this {QUOTE_IT} but nothing (null)")))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

/// One name or a list of names, each with its place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Names(pub Vec<At<Text>>);

impl Names {
    /// The names alone.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|name| name.value.0.clone()).collect()
    }
}

enum OneOrMany {
    One(Text),
    Many(Vec<At<Text>>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                TextVisitor.visit_str(text).map(OneOrMany::One)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<OneOrMany, E> {
                TextVisitor.visit_bool(value).map(OneOrMany::One)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<OneOrMany, E> {
                TextVisitor.visit_u64(value).map(OneOrMany::One)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<OneOrMany, E> {
                TextVisitor.visit_i64(value).map(OneOrMany::One)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<OneOrMany, E> {
                TextVisitor.visit_f64(value).map(OneOrMany::One)
            }

            fn visit_unit<E: de::Error>(self) -> Result<OneOrMany, E> {
                TextVisitor.visit_unit().map(OneOrMany::One)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(OneOrMany::Many(names))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<OneOrMany>::deserialize(deserializer)?;
        Ok(Self(match spanned.value {
            OneOrMany::One(value) => vec![At { value, place: Place::new(spanned.referenced) }],
            OneOrMany::Many(names) => names,
        }))
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl JsonSchema for Names {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
    }
}

/// A value that is written as text with a unit.
pub trait Unit: Sized {
    /// What it looks like.
    const LOOKS_LIKE: &'static str;
    /// A regular expression for editors.
    const PATTERN: &'static str;

    /// Reads it.
    fn read(text: &str) -> Option<u64>;
}

/// A value with a unit, kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured<U> {
    /// In the unit's base.
    pub value: u64,
    text: String,
    unit: PhantomData<U>,
}

impl<U: Unit> Measured<U> {
    /// Reads it.
    pub fn read(text: &str) -> Option<Self> {
        Some(Self { value: U::read(text)?, text: text.to_owned(), unit: PhantomData })
    }
}

impl<'de, U: Unit> Deserialize<'de> for Measured<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<U>(PhantomData<U>);
        impl<U: Unit> de::Visitor<'_> for Visitor<U> {
            type Value = Measured<U>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(U::LOOKS_LIKE)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Measured<U>, E> {
                Measured::read(text)
                    .ok_or_else(|| E::custom(format_args!("`{text}` is not {}", U::LOOKS_LIKE)))
            }
        }
        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

impl<U> Serialize for Measured<U> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<U: Unit> JsonSchema for Measured<U> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Measured".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": U::PATTERN})
    }
}

/// Milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Millis;

/// Longer spans are typing errors: a year of one phone's time.
const MAX_MILLIS: u64 = 366 * 24 * 3_600_000;

impl Unit for Millis {
    const LOOKS_LIKE: &'static str = "a duration like 500ms, 60s, 5m, 2h or 3d";
    const PATTERN: &'static str = "^[0-9]+(ms|s|m|h|d)$";

    fn read(text: &str) -> Option<u64> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let each = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(each).filter(|&millis| millis <= MAX_MILLIS)
    }
}

/// Bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes;

impl Unit for Bytes {
    const LOOKS_LIKE: &'static str = "a size like 4096B, 64KiB, 512MiB or 8GiB";
    const PATTERN: &'static str = "^[0-9]+(B|KiB|MiB|GiB)$";

    fn read(text: &str) -> Option<u64> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let each = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(each)
    }
}

/// A duration such as `5m`.
pub type Duration = Measured<Millis>;
/// A size such as `8GiB`.
pub type Size = Measured<Bytes>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_their_unit() {
        assert_eq!(Millis::read("5m"), Some(300_000));
        assert_eq!(Millis::read("500ms"), Some(500));
        for bad in ["5", "m", "5 m", "5min", "-5m", "1.5h", "99999999999999999999s", "400d", ""] {
            assert_eq!(Millis::read(bad), None, "{bad}");
        }
        assert_eq!(Bytes::read("8GiB"), Some(8 << 30));
        assert_eq!(Bytes::read("8GB"), None);
    }
}
