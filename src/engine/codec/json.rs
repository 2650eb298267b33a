//! The strings of JSON (RFC 8259), without its escapes, and the numbers that hold something: one document, or many that
//! follow each other.

use super::{Budget, Container, Damage, Event, numbers::Numbers};

/// Bytes of a key that are kept as a name.
const MAX_NAME: usize = 64;

/// Finds the strings of JSON by the grammar of its tokens alone; how they are nested does not matter for that. Outside
/// strings only what JSON can hold may stand; within them line breaks and tabs are let pass, as many senders write them.
#[derive(Debug, Default)]
pub struct Json {
    state: State,
    /// The first half of a surrogate pair.
    high: Option<u16>,
    decoded: Vec<u8>,
    /// The start of the last string: a key, if a colon follows.
    last: Vec<u8>,
    name: Vec<u8>,
    numbers: Numbers,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Outside,
    Inside,
    /// After a backslash.
    Escape,
    /// Within `\uXXXX`: so many digits, and their value.
    Unicode(u8, u16),
}

impl Json {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what stands between strings; gives where the next one begins.
    fn outside(
        &mut self,
        input: &[u8],
        from: usize,
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<usize>, Damage> {
        for (at, &byte) in input.iter().enumerate().skip(from) {
            match byte {
                b'0'..=b'9' | b'+' | b'-' | b'.' | b'E' | b'e' => {
                    self.numbers.digit(at, byte, &self.name, out);
                    continue;
                }
                b'"' | b':' | b'{' | b'}' | b'[' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' | 0x1e => {}
                // true, false, null
                b'a' | b'f' | b'l' | b'n' | b'r' | b's' | b't' | b'u' => {}
                _ => {
                    // What stands before the damage is given, in whatever pieces it came.
                    self.numbers.give((input, at), budget, out)?;
                    return Err(Damage::Corrupt);
                }
            }
            self.numbers.other((input, at), budget, out)?;
            match byte {
                b'"' => return Ok(Some(at)),
                b':' => std::mem::swap(&mut self.name, &mut self.last),
                b'{' | b'}' => self.name.clear(),
                _ => {}
            }
        }
        self.numbers.pause(input, budget, out)?;
        Ok(None)
    }

    /// Takes bytes of a string until its end, decoding them; gives where they end.
    fn escaped(&mut self, input: &[u8], from: usize) -> Result<usize, Damage> {
        for (at, &byte) in input.iter().enumerate().skip(from) {
            match (self.state, byte) {
                (State::Inside, b'"') => {
                    self.flush();
                    return Ok(at);
                }
                (State::Inside, b'\\') => self.state = State::Escape,
                (State::Inside, 0..=0x1f) if !matches!(byte, b'\t' | b'\r' | b'\n') => {
                    return Err(Damage::Corrupt);
                }
                (State::Inside, _) => {
                    self.flush();
                    self.decoded.push(byte);
                }
                (State::Escape, b'u') => self.state = State::Unicode(0, 0),
                (State::Escape, _) => {
                    self.flush();
                    self.decoded.push(match byte {
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        same => same,
                    });
                    self.state = State::Inside;
                }
                (State::Unicode(digits, value), _) => {
                    let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
                    let value = value << 4 | digit.ok_or(Damage::Corrupt)?;
                    self.state = if digits < 3 { State::Unicode(digits + 1, value) } else { State::Inside };
                    if digits == 3 {
                        self.unit(value);
                    }
                }
                (State::Outside, _) => return Ok(at),
            }
        }
        Ok(input.len())
    }

    fn unit(&mut self, unit: u16) {
        if let Some(high) = self.high.take() {
            if let Some(Ok(char)) = char::decode_utf16([high, unit]).next() {
                return self.char(char);
            }
            self.char(char::REPLACEMENT_CHARACTER);
        }
        match char::from_u32(u32::from(unit)) {
            Some(char) => self.char(char),
            None if unit < 0xdc00 => self.high = Some(unit),
            None => self.char(char::REPLACEMENT_CHARACTER),
        }
    }

    fn char(&mut self, char: char) {
        self.decoded.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// A first half that no second half follows.
    fn flush(&mut self) {
        if self.high.take().is_some() {
            self.char(char::REPLACEMENT_CHARACTER);
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        let room = MAX_NAME.saturating_sub(self.last.len());
        self.last.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }

    /// Takes bytes of a string, and says where they end: as they stand if there is nothing to decode.
    fn inside(
        &mut self,
        input: &[u8],
        from: usize,
        budget: &Budget,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, Damage> {
        let rest = input.get(from..).unwrap_or_default();
        let plain = self.state == State::Inside && self.high.is_none();
        let end = memchr::memchr2(b'"', b'\\', rest);
        let whole = end.is_none_or(|end| rest.get(end) == Some(&b'"'));
        if plain && whole {
            let until = end.unwrap_or(rest.len());
            let bytes = rest.get(..until).unwrap_or_default();
            let damage = bytes.iter().position(|byte| matches!(byte, 0..=8 | 11 | 12 | 14..=31));
            let bytes = bytes.get(..damage.unwrap_or(until)).unwrap_or_default();
            self.remember(bytes);
            if !bytes.is_empty() {
                out(Event::Data { consumed: from..from + bytes.len(), bytes, copied: true });
            }
            return if damage.is_some() { Err(Damage::Corrupt) } else { Ok(from + bytes.len()) };
        }
        self.decoded.clear();
        let end = self.escaped(input, from);
        let decoded = std::mem::take(&mut self.decoded);
        self.remember(&decoded);
        budget.output(decoded.len())?;
        if !decoded.is_empty() {
            let consumed = from..*end.as_ref().unwrap_or(&input.len());
            out(Event::Data { consumed, bytes: &decoded, copied: false });
        }
        self.decoded = decoded;
        end
    }
}

impl Container for Json {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        let mut at = 0;
        while at < input.len() {
            if self.state == State::Outside {
                let Some(quote) = self.outside(input, at, budget, out)? else { return Ok(()) };
                let name = Some(self.name.as_slice()).filter(|name| !name.is_empty());
                out(Event::Begin { op: "json.string", name, cut: false, at: quote });
                self.last.clear();
                self.state = State::Inside;
                at = quote + 1;
                continue;
            }
            at = self.inside(input, at, budget, out)?;
            if self.state == State::Inside && input.get(at) == Some(&b'"') {
                at += 1;
                out(Event::End { at: Some(at) });
                self.state = State::Outside;
            }
        }
        Ok(())
    }

    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Event<'_>)) -> Result<(), Damage> {
        self.numbers.finish(budget, out)?;
        if self.state == State::Outside { Ok(()) } else { Err(Damage::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::codec::{Value, values};

    fn strings(text: &str) -> Vec<String> {
        let (values, result) = values(&mut Json::new(), &[text.as_bytes()]);
        assert_eq!(result, Ok(()), "{text}");
        let text = |value: &Value| {
            format!("{}={}", value.name.as_deref().unwrap_or("-"), String::from_utf8_lossy(&value.bytes))
        };
        values.iter().map(text).collect()
    }

    #[test]
    fn the_examples_of_rfc_8259() {
        // Section 13.
        let image = r#"{"Image": {"Width": 800, "Title": "View from 15th Floor", "Animated" : false,
            "Thumbnail": {"Url": "http://www.example.com/image/481989943"}, "IDs": [116, 943]}}"#;
        let found = strings(image);
        assert!(found.contains(&"Title=View from 15th Floor".to_owned()), "{found:?}");
        assert!(found.contains(&"Url=http://www.example.com/image/481989943".to_owned()), "{found:?}");
        // Section 7: the G clef.
        assert_eq!(strings(r#""\uD834\uDD1E""#), ["-=\u{1d11e}"]);
        assert_eq!(strings("\"Hello world!\"\n42\ntrue"), ["-=Hello world!"]);
    }

    #[test]
    fn escapes_become_what_they_mean_and_keys_name_values() {
        let found = strings(r#"{"a\u0062":"\"\\\/\b\f\n\r\t\u00e9","l":["x","\ud800y\udc00"]}"#);
        let expected = ["-=ab", "ab=\"\\/\u{8}\u{c}\n\r\t\u{e9}", "ab=l", "l=x", "l=\u{fffd}y\u{fffd}"];
        assert_eq!(found, expected);
    }

    #[test]
    fn bytes_of_a_list_that_stand_before_damage_are_given_wherever_it_is_cut() {
        for cut in 1..8 {
            let pieces: Vec<&[u8]> = b"[1,2,3\x01".chunks(cut).collect();
            let (found, result) = values(&mut Json::new(), &pieces);
            assert_eq!((found[0].bytes.as_slice(), result), (&[1, 2][..], Err(Damage::Corrupt)), "{cut}");
        }
    }

    #[test]
    fn lists_of_bytes_and_long_numbers_are_values_wherever_they_are_cut() {
        let all = |text: &str, cut: usize| -> Vec<(String, Vec<u8>)> {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            let (values, result) = values(&mut Json::new(), &pieces);
            assert_eq!(result, Ok(()), "{text}");
            let other = values.into_iter().filter(|value| value.op != "json.string");
            other
                .map(|value| (format!("{} {}", value.op, value.name.unwrap_or_default()), value.bytes))
                .collect()
        };
        let of = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
        for cut in [1, 2, 3, 5, 7, 100] {
            assert_eq!(all("{\"a\":[-1,-40, 0 ,127]}", cut), [of("json.bytes a", &[255, 216, 0, 127])]);
            assert_eq!(
                all("[[255,\n216],[7]]", cut),
                [of("json.bytes ", &[255, 216]), of("json.bytes ", &[7])]
            );
            assert_eq!(all("[1,2,256,3]", cut), [of("json.bytes ", &[1, 2])]);
            assert_eq!(all("[1,2,\"x\",3]", cut), [of("json.bytes ", &[1, 2])]);
            assert_eq!(all("[1,0.5]", cut), [of("json.bytes ", &[1])]);
            assert_eq!(all("[-129]", cut), [of("json.bytes ", &[])]);
            let number = |name, text: &str| of(&format!("json.number {name}"), text.as_bytes());
            let named = "{\"phone\": 61234567, \"lat\":-22.319304,\"l\":[300,7]}";
            let wanted = [
                number("phone", "61234567"),
                number("lat", "-22.319304"),
                of("json.bytes l", &[]),
                number("l", "7"),
            ];
            assert_eq!(all(named, cut), wanted);
            assert_eq!(all("[true,61234567]", cut), []);
        }
    }

    #[test]
    fn what_is_no_json_breaks_it() {
        let result = |text: &str| values(&mut Json::new(), &[text.as_bytes()]).1;
        assert_eq!(result("{name: 1}"), Err(Damage::Corrupt));
        assert_eq!(result("[12:00] GET /"), Err(Damage::Corrupt));
        assert_eq!(result("\"\\u12g4\""), Err(Damage::Corrupt));
        assert_eq!(result("\"\0\""), Err(Damage::Corrupt));
        assert_eq!(result("\"abc"), Err(Damage::CutOff));
        // What stands before the damage is given, wherever it is cut.
        for at in 0..5 {
            let (left, right) = b"\"ab\0c".split_at(at);
            assert_eq!(values(&mut Json::new(), &[left, right]).0[0].bytes, b"ab", "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn how_it_is_cut_shows_nowhere(text in "[\\[\\]{},:\"a0-9.e\n-]{0,40}", size in 1..9_usize) {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let (whole, cut) = (values(&mut Json::new(), &[text.as_bytes()]), values(&mut Json::new(), &pieces));
            prop_assert_eq!(whole, cut);
        }

        #[test]
        fn what_serde_writes_is_read_wherever_it_is_cut(text: String, cut: usize) {
            let json = serde_json::to_string(&[&text, "x"]).unwrap();
            let (left, right) = json.as_bytes().split_at(cut % (json.len() + 1));
            let (found, result) = values(&mut Json::new(), &[left, right]);
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(&found[0].bytes, text.as_bytes());
            let value: String = serde_json::from_slice(&json.as_bytes()[found[0].at.clone()]).unwrap();
            prop_assert_eq!(value, text);
        }
    }
}
