//! The text of XML (W3C XML 1.0, fifth edition), and of HTML as far as it is alike: what stands between tags, in
//! attributes and in CDATA sections, without its references.

use super::{Budget, Container, Damage, Event};

/// Bytes of a name that are kept.
const MAX_NAME: usize = 64;

/// The longest reference that is read: `&#x10ffff;` and the names of section 4.6. A longer one is text.
const MAX_REFERENCE: usize = 10;

/// Finds text, attributes and CDATA. Nothing is an error: what is no markup is text.
#[derive(Debug, Default)]
pub struct Xml {
    state: State,
    /// What has been read of a reference, from `&` on; or of the start of a tag.
    held: Vec<u8>,
    /// The name of the last element or attribute.
    name: Vec<u8>,
    element: Vec<u8>,
    decoded: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between tags, where only white space stood so far.
    #[default]
    Blank,
    /// In text that is given on.
    Text,
    /// After `<`, while it is not clear what begins.
    Open,
    /// In a tag; the name is being read or was.
    Tag,
    /// In an attribute's value, which ends with this quote.
    Attribute(u8),
    /// In a comment, a processing instruction or a declaration, after so many bytes of its end.
    Skip(&'static [u8], usize),
    /// In a CDATA section, after so many bytes of its end.
    Cdata(usize),
}

const CDATA: &[u8] = b"![CDATA[";

impl Xml {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// What begins after `<`, as far as it is known.
    fn opens(&self) -> Option<State> {
        let held = self.held.as_slice();
        if CDATA.starts_with(held) && held.len() < CDATA.len() || held == b"!-" {
            return None;
        }
        Some(match held {
            _ if held.starts_with(CDATA) => State::Cdata(0),
            [b'!', b'-', b'-', ..] => State::Skip(b"-->", 0),
            [b'!', ..] => State::Skip(b">", 0),
            [b'?', ..] => State::Skip(b"?>", 0),
            _ => State::Tag,
        })
    }

    fn open(&mut self, byte: u8) {
        self.held.push(byte);
        let Some(state) = self.opens() else { return };
        self.state = state;
        if state == State::Tag {
            self.element.clear();
            self.name.clear();
            self.tag(byte);
        } else if state == State::Skip(b">", 0) && byte == b'>' {
            self.state = State::Blank;
        }
        self.held.clear();
    }

    fn tag(&mut self, byte: u8) {
        match byte {
            b'>' => {
                if self.element.is_empty() {
                    std::mem::swap(&mut self.element, &mut self.name);
                }
                self.state = State::Blank;
            }
            b'/' | b'=' => {}
            b' ' | b'\t' | b'\r' | b'\n' => {
                if self.element.is_empty() {
                    std::mem::swap(&mut self.element, &mut self.name);
                }
                self.name.clear();
            }
            _ if self.name.len() < MAX_NAME => self.name.push(byte),
            _ => {}
        }
    }

    /// Takes bytes of a value until `end`, and gives them on; gives where they end.
    fn value(
        &mut self,
        end: u8,
        input: &[u8],
        from: usize,
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, Damage> {
        let rest = input.get(from..).unwrap_or_default();
        let rest = rest.get(..memchr::memchr(end, rest).unwrap_or(rest.len())).unwrap_or_default();
        let stop = from + rest.len();
        if rest.is_empty() && self.held.is_empty() {
            return Ok(stop);
        }
        if self.held.is_empty() && memchr::memchr(b'&', rest).is_none() {
            out(Event::Data { consumed: from..stop, bytes: rest, copied: true });
            return Ok(stop);
        }
        for &byte in rest {
            self.referenced(byte);
        }
        if stop < input.len() {
            self.decoded.append(&mut self.held);
        }
        let decoded = std::mem::take(&mut self.decoded);
        budget.output(decoded.len())?;
        if !decoded.is_empty() {
            out(Event::Data { consumed: from..stop, bytes: &decoded, copied: false });
        }
        self.decoded = decoded;
        self.decoded.clear();
        Ok(stop)
    }

    fn referenced(&mut self, byte: u8) {
        match (self.held.is_empty(), byte) {
            (_, b'&') => {
                self.decoded.append(&mut self.held);
                self.held.push(byte);
            }
            (true, _) => self.decoded.push(byte),
            (false, b';') => match reference(self.held.get(1..).unwrap_or_default()) {
                Some(char) => {
                    self.held.clear();
                    self.decoded.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
                None => {
                    self.decoded.append(&mut self.held);
                    self.decoded.push(byte);
                }
            },
            (false, _) => {
                self.held.push(byte);
                if self.held.len() > MAX_REFERENCE {
                    self.decoded.append(&mut self.held);
                }
            }
        }
    }

    /// Takes bytes of a CDATA section; gives how many, and whether it ended.
    fn cdata(&mut self, seen: usize, input: &[u8], from: usize, out: &mut dyn FnMut(Event<'_>)) -> usize {
        const END: &[u8] = b"]]>";
        let mut give = |bytes: &[u8], consumed: std::ops::Range<usize>, copied| {
            if !bytes.is_empty() {
                out(Event::Data { consumed, bytes, copied });
            }
        };
        let rest = input.get(from..).unwrap_or_default();
        if seen > 0 {
            // What may be the end stood at the end of the push before.
            let held = END.get(..seen).unwrap_or_default();
            let Some(&byte) = rest.first() else { return input.len() };
            match (seen, byte) {
                (1, b']') => self.state = State::Cdata(2),
                (2, b'>') => self.state = State::Blank,
                (2, b']') => give(b"]", from..from, false),
                _ => {
                    give(held, from..from, false);
                    self.state = State::Cdata(0);
                    return from;
                }
            }
            return from + 1;
        }
        let end = memchr::memmem::find(rest, END);
        let keep = match end {
            Some(end) => end,
            None if rest.ends_with(b"]]") => rest.len() - 2,
            None if rest.ends_with(b"]") => rest.len() - 1,
            None => rest.len(),
        };
        give(rest.get(..keep).unwrap_or_default(), from..from + keep, true);
        match end {
            Some(end) => {
                self.state = State::Blank;
                from + end + END.len()
            }
            None => {
                self.state = State::Cdata(rest.len() - keep);
                input.len()
            }
        }
    }

    fn skip(&mut self, end: &'static [u8], mut seen: usize, input: &[u8], from: usize) -> usize {
        for (at, &byte) in input.iter().enumerate().skip(from) {
            seen = if end.get(seen) == Some(&byte) {
                seen + 1
            } else if end == b"-->" && byte == b'-' && seen == 2 {
                2
            } else {
                usize::from(end.first() == Some(&byte))
            };
            if seen == end.len() {
                self.state = State::Blank;
                return at + 1;
            }
        }
        self.state = State::Skip(end, seen);
        input.len()
    }

    fn begin(&self, op: &'static str, at: usize, out: &mut dyn FnMut(Event<'_>)) {
        let name = if op == "xml.attribute" { &self.name } else { &self.element };
        let name = Some(name.as_slice()).filter(|name| !name.is_empty());
        out(Event::Begin { op, name, cut: op == "xml.cdata", at });
    }

    /// Takes some bytes from `at` on; gives where it goes on.
    fn step(
        &mut self,
        input: &[u8],
        at: usize,
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, Damage> {
        let byte = input.get(at).copied().unwrap_or(0);
        match self.state {
            State::Blank => match byte {
                b'<' => self.state = State::Open,
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ => {
                    self.begin("xml.text", at, out);
                    self.state = State::Text;
                    return Ok(at);
                }
            },
            State::Text => {
                let end = self.value(b'<', input, at, budget, out)?;
                if end < input.len() {
                    out(Event::End { at: None });
                    self.state = State::Open;
                }
                return Ok(end + 1);
            }
            State::Open => {
                self.open(byte);
                if matches!(self.state, State::Cdata(_)) {
                    self.begin("xml.cdata", at + 1, out);
                }
            }
            State::Tag if matches!(byte, b'"' | b'\'') => {
                self.begin("xml.attribute", at + 1, out);
                self.state = State::Attribute(byte);
            }
            State::Tag => self.tag(byte),
            State::Attribute(quote) => {
                let end = self.value(quote, input, at, budget, out)?;
                if end < input.len() {
                    out(Event::End { at: None });
                    self.state = State::Tag;
                    self.name.clear();
                }
                return Ok(end + 1);
            }
            State::Skip(end, seen) => return Ok(self.skip(end, seen, input, at)),
            State::Cdata(seen) => {
                let next = self.cdata(seen, input, at, out);
                if self.state == State::Blank {
                    // Its end mark is counted to it, as quotes are: where it begins may not be known in this push.
                    out(Event::End { at: Some(next) });
                }
                return Ok(next);
            }
        }
        Ok(at + 1)
    }
}

/// What a reference stands for: its text between `&` and `;`.
fn reference(text: &[u8]) -> Option<char> {
    let text = str::from_utf8(text).ok()?;
    Some(match text {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = text.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)?
        }
    })
}

impl Container for Xml {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let mut at = 0;
        while at < input.len() {
            at = self.step(input, at, budget, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        if !self.held.is_empty() && matches!(self.state, State::Text | State::Attribute(_)) {
            let held = std::mem::take(&mut self.held);
            budget.output(held.len())?;
            out(Event::Data { consumed: 0..0, bytes: &held, copied: false });
        }
        if matches!(self.state, State::Blank | State::Text) { Ok(()) } else { Err(Damage::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::codec::values;

    const SAMPLE: &str = "<?xml version=\"1.0\"?><!-- a > b -- c --><!DOCTYPE x>\n<sms body='a &amp; b &lt;&#60;&#x3C;' n=\"1\">\
        one &amp; two <b>three</b> &bogus; &toolongtobeareference; <![CDATA[<raw> & ]] ]>]]]>four</sms>\n";

    fn texts(pieces: &[&[u8]]) -> Vec<String> {
        let (values, result) = values(&mut Xml::new(), pieces);
        assert_eq!(result, Ok(()));
        let text = |name: Option<&str>, bytes: &[u8]| {
            format!("{}={}", name.unwrap_or("-"), String::from_utf8_lossy(bytes))
        };
        values.iter().map(|value| text(value.name.as_deref(), &value.bytes)).collect()
    }

    #[test]
    fn text_attributes_and_cdata_are_read_wherever_they_are_cut() {
        let expected = [
            "body=a & b <<<",
            "n=1",
            "sms=one & two ",
            "b=three",
            "/b=&bogus; &toolongtobeareference; ",
            "/b=<raw> & ]] ]>]",
            "/b=four",
        ];
        let expected: Vec<String> = expected.iter().map(|text| text.replace("/b", "b")).collect();
        let whole = texts(&[SAMPLE.as_bytes()]);
        assert_eq!(whole, expected);
        for at in 0..=SAMPLE.len() {
            let (left, right) = SAMPLE.as_bytes().split_at(at);
            assert_eq!(texts(&[left, right]), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = SAMPLE.as_bytes().chunks(1).collect();
        assert_eq!(texts(&single), whole);
    }

    #[test]
    fn a_value_stands_where_it_is_said_to() {
        let (found, _) = values(&mut Xml::new(), &[SAMPLE.as_bytes()]);
        let at = |index: usize| &SAMPLE[found[index].at.clone()];
        assert_eq!(at(0), "a &amp; b &lt;&#60;&#x3C;");
        assert_eq!(at(2), "one &amp; two ");
        assert_eq!(at(5), "<raw> & ]] ]>]]]>", "its end mark included");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>, cut: usize) {
            let (left, right) = bytes.split_at(cut % (bytes.len() + 1));
            let plain = |pieces: &[&[u8]]| {
                let (found, result) = values(&mut Xml::new(), pieces);
                (found.into_iter().map(|value| (value.at, value.bytes)).collect::<Vec<_>>(), result)
            };
            prop_assert_eq!(plain(&[left, right]), plain(&[&bytes]));
        }

        #[test]
        fn text_in_markup_comes_out(text in "[a-z<>&\"' ;#x0-9]{0,40}", cut: usize) {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
            let xml = format!("<a b=\"{escaped}\">.{escaped}</a>");
            let (left, right) = xml.as_bytes().split_at(cut % (xml.len() + 1));
            let found = texts(&[left, right]);
            prop_assert_eq!(&found[0], &format!("b={text}"));
            prop_assert_eq!(&found[1], &format!("a=.{text}"));
        }
    }
}
