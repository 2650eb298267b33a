//! Field lines of MIME (RFC 5322 section 2.2, RFC 2045 section 5.1): names, folded values, parameters, encoded words.

use std::ops::Range;

use crate::engine::codec::{Base64, Budget, Coding, Output, Percent, QuotedPrintable};

/// A field line with the lines that continue it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// `Name: value`.
    Named {
        /// The name.
        name: Range<usize>,
        /// What stands behind the colon and white space, folds included.
        value: Range<usize>,
        /// The end of the last line.
        end: Range<usize>,
    },
    /// The empty line after the fields.
    Blank(Range<usize>),
    /// A line without a name.
    Other(Range<usize>),
}

/// Splits a head into its fields.
pub(super) fn split(head: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut start = 0;
    while start < head.len() {
        let mut end = line_end(head, start);
        while matches!(head.get(end), Some(b' ' | b'\t')) && !is_blank(head.get(start..end)) {
            end = line_end(head, end);
        }
        fields.push(field(head, start..end));
        start = end;
    }
    fields
}

fn line_end(head: &[u8], from: usize) -> usize {
    let rest = head.get(from..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(head.len(), |end| from + end + 1)
}

fn is_blank(line: Option<&[u8]>) -> bool {
    matches!(line, Some(b"\n" | b"\r\n"))
}

fn field(head: &[u8], range: Range<usize>) -> Field {
    let line = head.get(range.clone()).unwrap_or_default();
    if is_blank(Some(line)) {
        return Field::Blank(range);
    }
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let Some(colon) = memchr::memchr(b':', text).filter(|&colon| colon > 0) else {
        return Field::Other(range);
    };
    let blanks = text.iter().skip(colon + 1).take_while(|byte| byte.is_ascii_whitespace()).count();
    let value = (colon + 1 + blanks).min(text.len());
    let at = |offset: usize| range.start + offset;
    Field::Named { name: at(0)..at(colon), value: at(value)..at(text.len()), end: at(text.len())..range.end }
}

/// A value on one line (RFC 5322 section 2.2.3).
pub(super) fn unfold(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
}

/// The value of a parameter: `; name=value`, `; name="value"` (RFC 9110 section 5.6.6), and what RFC 2231 adds: in
/// several parts, with a character set, percent-encoded. Encoded words in it, which RFC 2047 forbids and many programs
/// write, are decoded.
pub(super) fn parameter(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let all = parameters(value);
    let get = |key: &str| {
        all.iter().find(|(known, _)| known.eq_ignore_ascii_case(key.as_bytes())).map(|(_, text)| text)
    };
    if let Some(text) = get(name) {
        return Some(encoded_words(text).unwrap_or_else(|| text.clone()));
    }
    if let Some(text) = get(&format!("{name}*")) {
        return Some(extended(text, true));
    }
    let mut joined: Option<Vec<u8>> = None;
    for number in 0..MAX_SECTIONS {
        let plain = get(&format!("{name}*{number}"));
        let section = match plain {
            Some(text) => text.clone(),
            None => match get(&format!("{name}*{number}*")) {
                Some(text) => extended(text, number == 0),
                None => break,
            },
        };
        joined.get_or_insert_default().extend(section);
    }
    joined
}

/// Sections of one parameter (RFC 2231 section 3): a path of 4,096 bytes has some sixty.
const MAX_SECTIONS: usize = 256;

/// `charset'language'text` with percent-encoding (RFC 2231 section 4).
fn extended(text: &[u8], first: bool) -> Vec<u8> {
    let mut text = text;
    if first {
        for _ in 0..2 {
            let quote = memchr::memchr(b'\'', text);
            text = quote.and_then(|quote| text.get(quote + 1..)).unwrap_or(text);
        }
    }
    Percent::uri().decode(text).unwrap_or_else(|| text.to_vec())
}

/// All parameters of a value, in order.
fn parameters(value: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(semicolon) = memchr::memchr(b';', rest) {
        rest = rest.get(semicolon + 1..).unwrap_or_default().trim_ascii_start();
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix(b"=") else {
            rest = after;
            continue;
        };
        let (text, after) = quoted_or_token(after.trim_ascii_start());
        found.push((key.trim_ascii().to_vec(), text));
        rest = after;
    }
    found
}

fn quoted_or_token(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return (token.trim_ascii_end().to_vec(), rest);
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((index, &byte)) = bytes.next() {
        match byte {
            b'"' => return (value, quoted.get(index + 1..).unwrap_or_default()),
            // Browsers write `\` in Windows paths without escaping it.
            b'\\' if matches!(quoted.get(index + 1), Some(b'"' | b'\\')) => {
                value.extend(bytes.next().map(|(_, byte)| *byte));
            }
            _ => value.push(byte),
        }
    }
    (value, b"")
}

/// A value with its encoded words decoded (RFC 2047), bytes in the character set that they name; `None` where it has
/// none.
pub(super) fn encoded_words(value: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut rest = value;
    let mut found = false;
    // White space between two encoded words is no part of the text (section 6.2).
    let mut after_word = false;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, from) = rest.split_at(start);
        let Some((word, after)) = encoded_word(from) else {
            text.extend_from_slice(before);
            text.extend_from_slice(b"=?");
            rest = from.get(2..).unwrap_or_default();
            after_word = false;
            continue;
        };
        if !after_word || !before.trim_ascii().is_empty() {
            text.extend_from_slice(before);
        }
        text.extend(word);
        (rest, found, after_word) = (after, true, true);
    }
    text.extend_from_slice(rest);
    found.then_some(text)
}

/// `=?charset?encoding?text?=` at the start: the bytes, and what follows.
fn encoded_word(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let rest = bytes.strip_prefix(b"=?")?;
    let (_, rest) = rest.split_at_checked(memchr::memchr(b'?', rest)?)?;
    let (head, rest) = rest.split_first_chunk::<3>()?;
    let end = memchr::memmem::find(rest, b"?=")?;
    let (text, after) = rest.split_at_checked(end)?;
    let after = after.get(2..)?;
    let decoded = match head {
        b"?B?" | b"?b?" => all(&mut Base64::new(), text)?,
        b"?Q?" | b"?q?" => {
            // Section 4.2: an underscore is a space.
            let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'_' { b' ' } else { byte }).collect();
            all(&mut QuotedPrintable::new(), &spaced)?
        }
        _ => return None,
    };
    Some((decoded, after))
}

fn all(coding: &mut dyn Coding, text: &[u8]) -> Option<Vec<u8>> {
    // Neither coding gives more bytes than it takes.
    let budget = Budget::new(text.len() as u64);
    let mut decoded = Vec::new();
    let mut take = |output: Output<'_>| decoded.extend_from_slice(output.bytes);
    coding.push(text, &budget, &mut take).and_then(|()| coding.finish(&budget, &mut take)).ok()?;
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_quoted_or_not() {
        let value = br#"form-data; name="a\"b"; filename=C:\x.jpg ; x"#;
        assert_eq!(parameter(value, "name").unwrap(), b"a\"b");
        assert_eq!(parameter(value, "filename").unwrap(), b"C:\\x.jpg");
        assert_eq!(parameter(value, "x"), None);
        assert_eq!(parameter(b"a; name=\"b; filename=c\"", "filename"), None);
    }

    /// The examples of RFC 2231 sections 3 and 4.1.
    #[test]
    fn parameters_in_sections_and_character_sets() {
        let value = b"message/external-body; access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\"";
        assert_eq!(
            parameter(value, "url").unwrap(),
            b"ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"
        );
        let value = b"application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A";
        assert_eq!(parameter(value, "title").unwrap(), b"This is ***fun***");
        let value = b"application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"";
        assert_eq!(parameter(value, "title").unwrap(), b"This is even more ***fun*** isn't it!");
    }

    /// The examples of RFC 2047 section 8.
    #[test]
    fn encoded_words_become_bytes() {
        let decoded = |text: &str| {
            encoded_words(text.as_bytes()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        assert_eq!(decoded("(=?ISO-8859-1?Q?a?=)").unwrap(), "(a)");
        assert_eq!(decoded("(=?ISO-8859-1?Q?a?= b)").unwrap(), "(a b)");
        assert_eq!(decoded("(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)").unwrap(), "(ab)");
        assert_eq!(decoded("(=?ISO-8859-1?Q?a_b?=)").unwrap(), "(a b)");
        let subject = "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=";
        assert_eq!(decoded(subject).unwrap(), "If you can read this you understand the example.");
        assert_eq!(decoded("=?x?= =?a?Z?b?="), None);
    }

    #[test]
    fn folded_lines_belong_to_their_field() {
        let head = b"Subject: a\r\n b\r\nX\r\nTo:c\r\n\r\n";
        let fields = split(head);
        assert_eq!(fields[0], Field::Named { name: 0..7, value: 9..14, end: 14..16 });
        assert_eq!(unfold(&head[9..14]), b"a b");
        assert_eq!(
            fields[1..],
            [
                Field::Other(16..19),
                Field::Named { name: 19..21, value: 22..23, end: 23..25 },
                Field::Blank(25..27)
            ]
        );
    }
}
