//! What a term declares that may be sent: a closed JSON Schema, held against bytes as they were sent.
//!
//! Of JSON Schema (draft 2020-12) the part is read that leaves a sender no room: objects with declared properties and
//! nothing beside them, and values out of a list. A value that is only typed (`string`, `integer`, …) is *free*: the schema
//! accounts for everything around it, never for the value.
//!
//! There is one spelling: no white space, properties in the order of the schema, strings escaped only where JSON demands
//! it. Any other one could carry a message, and nothing of it is accounted for.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

use crate::evidence::printable;

/// Objects in objects; what is declared is small.
const MAX_DEPTH: usize = 16;
/// Properties of one object.
const MAX_PROPERTIES: usize = 1_000;
/// Values of one list: a choice carries eight bits at most.
const MAX_CHOICES: usize = 256;

/// Why a schema can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the schema {path}: {what}")]
pub struct SchemaError {
    /// Its logical path.
    pub path: String,
    /// What is wrong.
    pub what: String,
}

/// What may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema(Vec<Property>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Property {
    name: String,
    /// The name as JSON, with its quotes and the colon.
    key: Vec<u8>,
    required: bool,
    node: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Object(Vec<Property>),
    /// Each value as JSON, and as a form spells it.
    Choice(Vec<(Vec<u8>, Vec<u8>)>),
    /// A string or a number that nobody accounts for.
    Free,
}

/// What a schema accounts for in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Bytes of the message, in order, without overlaps.
    pub understood: Vec<Range<usize>>,
    /// Whether that is all of them.
    pub whole: bool,
}

impl Account {
    fn of(understood: Vec<Range<usize>>, len: usize) -> Self {
        let mut united: Vec<Range<usize>> = Vec::new();
        for range in understood.into_iter().filter(|range| !range.is_empty()) {
            match united.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => united.push(range),
            }
        }
        let whole = united.as_slice() == std::slice::from_ref(&(0..len)) && len > 0;
        Self { understood: united, whole }
    }
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// Not JSON; an object that is open; a keyword that is not read.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self, SchemaError> {
        let fail = |what: String| SchemaError { path: path.to_owned(), what };
        let root: Json = serde_json::from_slice(bytes)
            .map_err(|error| fail(printable(error.to_string().as_bytes(), 300)))?;
        match node(&root, MAX_DEPTH).map_err(fail)? {
            Node::Object(properties) => Ok(Self(properties)),
            Node::Choice(_) | Node::Free => Err(fail("its `type` is not `object`".to_owned())),
        }
    }

    /// Holds JSON against it; none where it is spelled in any other way, or is something else.
    pub fn json(&self, bytes: &[u8]) -> Option<Account> {
        let mut reader = Reader { bytes, at: 0, from: 0, understood: Vec::new() };
        reader.object(&self.0)?;
        reader.account(reader.at)?;
        (reader.at == bytes.len()).then(|| Account::of(reader.understood, bytes.len()))
    }

    /// Holds form fields (`application/x-www-form-urlencoded`, or the query of a request) against it.
    pub fn form(&self, bytes: &[u8]) -> Option<Account> {
        let mut understood = Vec::new();
        let mut at = 0;
        let mut fields = bytes.split(|&byte| byte == b'&').peekable();
        for property in &self.0 {
            let value = fields.peek().and_then(|field| {
                let value = field.strip_prefix(form_text(&property.name).as_slice())?;
                value.strip_prefix(b"=")
            });
            let Some(value) = value else {
                if property.required {
                    return None;
                }
                continue;
            };
            let field = fields.next()?;
            let start = at + field.len() - value.len();
            // An ampersand before the field, but for the first.
            understood.push(at.saturating_sub(usize::from(at > 0))..start);
            match &property.node {
                Node::Object(_) => return None,
                Node::Free => {}
                Node::Choice(values) => {
                    values.iter().find(|(_, spelled)| spelled == value)?;
                    understood.push(start..start + value.len());
                }
            }
            at += field.len() + 1;
        }
        (fields.next().is_none() && at > 0).then(|| Account::of(understood, bytes.len()))
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where what is accounted for began.
    from: usize,
    understood: Vec<Range<usize>>,
}

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, text: &[u8]) -> Option<()> {
        self.rest().starts_with(text).then(|| self.at += text.len())
    }

    /// Everything since `from` is accounted for, up to `end`.
    fn account(&mut self, end: usize) -> Option<()> {
        self.understood.push(self.from..end);
        self.from = end;
        Some(())
    }

    fn object(&mut self, properties: &[Property]) -> Option<()> {
        self.take(b"{")?;
        let mut first = true;
        for property in properties {
            let there = {
                let rest = if first { Some(self.rest()) } else { self.rest().strip_prefix(b",") };
                rest.is_some_and(|rest| rest.starts_with(&property.key))
            };
            if !there {
                if property.required {
                    return None;
                }
                continue;
            }
            self.at += property.key.len() + usize::from(!first);
            first = false;
            match &property.node {
                Node::Object(inner) => self.object(inner)?,
                Node::Choice(values) => {
                    let rest = self.rest();
                    // The longest that fits: of 1 and 12 the second.
                    let fits = values.iter().map(|(json, _)| json).filter(|json| rest.starts_with(json));
                    self.at += fits.map(Vec::len).max()?;
                }
                Node::Free => self.free()?,
            }
        }
        self.take(b"}")
    }

    /// Passes a value that nobody accounts for; the quotes around a string are grammar.
    fn free(&mut self) -> Option<()> {
        if self.rest().first() == Some(&b'"') {
            self.at += 1;
            self.account(self.at)?;
            loop {
                match self.rest().first()? {
                    b'"' => break,
                    b'\\' => self.at += 2,
                    _ => self.at += 1,
                }
            }
            self.from = self.at;
            return self.take(b"\"");
        }
        self.account(self.at)?;
        let number = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.rest().iter().take_while(number).count();
        self.at += length;
        self.from = self.at;
        (length > 0).then_some(())
    }
}

/// A text as a form spells it (WHATWG URL, application/x-www-form-urlencoded serializing).
fn form_text(text: &str) -> Vec<u8> {
    let mut spelled = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => spelled.push(b'+'),
            b'*' | b'-' | b'.' | b'_' => spelled.push(byte),
            _ if byte.is_ascii_alphanumeric() => spelled.push(byte),
            _ => spelled.extend(format!("%{byte:02X}").bytes()),
        }
    }
    spelled
}

fn json_text(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

/// Keywords that say nothing about what may be sent.
const NOTES: [&str; 6] = ["$schema", "$id", "$comment", "title", "description", "examples"];

fn node(json: &Json, depth: usize) -> Result<Node, String> {
    let Json::Object(members) = json else { return Err("a schema is an object".to_owned()) };
    if depth == 0 {
        return Err(format!("more than {MAX_DEPTH} objects stand in each other"));
    }
    let member = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let known = |name: &&str| {
        NOTES.contains(name)
            || ["type", "properties", "required", "additionalProperties", "enum", "const"].contains(name)
    };
    if let Some(unknown) = members.iter().map(|(key, _)| key.as_str()).find(|name| !known(name)) {
        return Err(format!("the keyword {} is not read", printable(unknown.as_bytes(), 60)));
    }
    if let Some(only) = member("const") {
        return Ok(Node::Choice(vec![choice(only)?]));
    }
    if let Some(Json::List(values)) = member("enum") {
        if values.len() > MAX_CHOICES {
            return Err(format!("a list has more than {MAX_CHOICES} values"));
        }
        return Ok(Node::Choice(values.iter().map(choice).collect::<Result<_, _>>()?));
    }
    match member("type") {
        Some(Json::Text(kind)) if kind == "object" => {
            let open =
                "an object needs `additionalProperties: false`: what else may stand in it would be anything";
            if member("additionalProperties") != Some(&Json::Other(serde_json::Value::Bool(false))) {
                return Err(open.to_owned());
            }
            properties(member("properties"), member("required"), depth).map(Node::Object)
        }
        Some(Json::Text(kind)) if kind == "boolean" => {
            let words = [true, false].map(|word| word.to_string().into_bytes());
            Ok(Node::Choice(words.into_iter().map(|word| (word.clone(), word)).collect()))
        }
        Some(Json::Text(kind)) if ["string", "integer", "number"].contains(&kind.as_str()) => Ok(Node::Free),
        _ => Err("a value needs `enum`, `const`, or a `type` of object, string, integer, number or boolean"
            .to_owned()),
    }
}

fn properties(all: Option<&Json>, required: Option<&Json>, depth: usize) -> Result<Vec<Property>, String> {
    let Some(Json::Object(all)) = all else { return Err("an object needs `properties`".to_owned()) };
    if all.len() > MAX_PROPERTIES {
        return Err(format!("an object has more than {MAX_PROPERTIES} properties"));
    }
    let required: Vec<&str> = match required {
        None => Vec::new(),
        Some(Json::List(names)) => names.iter().filter_map(Json::text).collect(),
        Some(_) => return Err("`required` is a list of names".to_owned()),
    };
    if let Some(missing) = required.iter().find(|name| !all.iter().any(|(key, _)| key == *name)) {
        return Err(format!(
            "`required` names {}, which no property is called",
            printable(missing.as_bytes(), 60)
        ));
    }
    let property = |(name, json): &(String, Json)| {
        let mut key = json_text(name);
        key.push(b':');
        let required = required.contains(&name.as_str());
        Ok(Property { name: name.clone(), key, required, node: node(json, depth - 1)? })
    };
    all.iter().map(property).collect()
}

fn choice(value: &Json) -> Result<(Vec<u8>, Vec<u8>), String> {
    match value {
        Json::Text(text) => Ok((json_text(text), form_text(text))),
        Json::Other(value) => {
            let text = value.to_string();
            Ok((text.clone().into_bytes(), form_text(&text)))
        }
        Json::List(_) | Json::Object(_) => {
            Err("a choice is a text, a number, true, false or null".to_owned())
        }
    }
}

/// JSON whose members keep their order.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Object(Vec<(String, Json)>),
    List(Vec<Json>),
    Text(String),
    Other(serde_json::Value),
}

impl Json {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members: Vec<(String, Json)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Json>()? {
                    if members.iter().any(|(other, _)| *other == key) {
                        let key = printable(key.as_bytes(), 60);
                        return Err(de::Error::custom(format_args!("{key} stands twice")));
                    }
                    members.push((key, value));
                }
                Ok(Json::Object(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Other(value.into()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Other(value.into()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Other(value.into()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Other(value.into()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
                Ok(Json::Other(serde_json::Value::Null))
            }
        }
        deserializer.deserialize_any(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFERENCES: &str = r#"{
        "type": "object",
        "properties": {
            "theme": {"enum": ["light", "dark"]},
            "size": {"enum": [1, 12]},
            "where": {"type": "object", "properties": {"zone": {"const": "a b"}}, "additionalProperties": false},
            "imei": {"type": "string"},
            "on": {"type": "boolean"}
        },
        "required": ["theme"],
        "additionalProperties": false
    }"#;

    fn schema() -> Schema {
        Schema::parse("preferences.json", PREFERENCES.as_bytes()).unwrap()
    }

    fn parts(bytes: &str, account: &Account) -> Vec<String> {
        account.understood.iter().map(|range| bytes[range.clone()].to_owned()).collect()
    }

    #[test]
    fn json_in_its_one_spelling_is_accounted_for() {
        for whole in
            [r#"{"theme":"dark"}"#, r#"{"theme":"light","size":12,"where":{"zone":"a b"},"on":false}"#]
        {
            assert_eq!(
                schema().json(whole.as_bytes()),
                Some(Account { understood: std::iter::once(0..whole.len()).collect(), whole: true })
            );
        }
    }

    #[test]
    fn a_value_that_is_only_typed_is_not_accounted_for() {
        let text = r#"{"theme":"dark","imei":"86\"76","on":true}"#;
        let account = schema().json(text.as_bytes()).unwrap();
        assert_eq!(parts(text, &account), [r#"{"theme":"dark","imei":""#, r#"","on":true}"#]);
        assert!(!account.whole);
        let number = Schema::parse(
            "s",
            br#"{"type":"object","properties":{"n":{"type":"integer"}},"additionalProperties":false}"#,
        )
        .unwrap();
        let account = number.json(br#"{"n":-12}"#).unwrap();
        assert_eq!(parts(r#"{"n":-12}"#, &account), [r#"{"n":"#, "}"]);
    }

    #[test]
    fn what_leaves_the_sender_a_choice_is_not_accounted_for() {
        for other in [
            r#"{"size":1,"theme":"dark"}"#,
            r#"{"theme": "dark"}"#,
            r#"{"theme":"dark"} "#,
            r#"{"theme":"blue"}"#,
            r#"{"theme":"d\u0061rk"}"#,
            r#"{"theme":"dark","theme":"dark"}"#,
            r#"{"theme":"dark","more":1}"#,
            r#"{"size":1}"#,
            r#"{"theme":"dark","size":123}"#,
            r#"{"theme":"dark","imei":"86}"#,
            r#"{"theme":"dark","imei":"86\"#,
            r#"{"theme":"dark""#,
            "{}",
            "",
            "[]",
        ] {
            assert_eq!(schema().json(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn form_fields_are_accounted_for_in_their_order() {
        let flat = Schema::parse(
            "s",
            br#"{"type":"object","properties":{"a b":{"enum":["x y","\u00e9"]},"imei":{"type":"string"},"z":{"const":1}},
                "required":["z"],"additionalProperties":false}"#,
        )
        .unwrap();
        let whole = |text: &str| flat.form(text.as_bytes()).map(|account| account.whole);
        assert_eq!(whole("a+b=x+y&z=1"), Some(true));
        assert_eq!(whole("a+b=%C3%A9&z=1"), Some(true));
        let text = "a+b=x+y&imei=8676&z=1";
        assert_eq!(parts(text, &flat.form(text.as_bytes()).unwrap()), ["a+b=x+y&imei=", "&z=1"]);
        for other in ["z=1&a+b=x+y", "a+b=%c3%a9&z=1", "a+b=x+y", "z=1&", "&z=1", "z=1&q=1", "z=1=1", ""] {
            assert_eq!(whole(other), None, "{other}");
        }
    }

    #[test]
    fn open_objects_and_other_keywords_are_refused() {
        let refused = |text: &str| Schema::parse("s", text.as_bytes()).unwrap_err().what;
        assert!(refused(r#"{"type":"object","properties":{}}"#).contains("additionalProperties"));
        assert!(
            refused(r#"{"type":"object","properties":{},"patternProperties":{}}"#)
                .contains("patternProperties")
        );
        assert!(
            refused(r#"{"type":"object","properties":{"a":{}},"additionalProperties":false}"#)
                .contains("enum")
        );
        assert!(refused(r#"{"enum":["a"]}"#).contains("object"));
        assert!(
            refused(r#"{"type":"object","properties":{},"required":["a"],"additionalProperties":false}"#)
                .contains("required")
        );
        assert!(refused("[").contains("EOF"));
        let deep = format!(
            "{}{}",
            r#"{"type":"object","additionalProperties":false,"properties":{"a":"#.repeat(20),
            "1"
        );
        assert!(refused(&format!("{deep}{}", "}}".repeat(20))).contains("16"));
        let many: Vec<String> = (0..257).map(|no| no.to_string()).collect();
        let list = format!(
            r#"{{"type":"object","properties":{{"a":{{"enum":[{}]}}}},"additionalProperties":false}}"#,
            many.join(",")
        );
        assert!(refused(&list).contains("256"));
    }
}
