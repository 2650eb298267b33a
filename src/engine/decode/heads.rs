//! The leaves of an HTTP head, and which of its bytes are understood.

use std::{collections::BTreeSet, ops::Range, rc::Rc};

use crate::{
    engine::{
        codec::{Base64, Coding, Hex, Output, Percent},
        proto::{
            hpack,
            http1::{Field, Framing, Head, StartLine},
        },
    },
    evidence::ByteRange,
};

use super::{
    content::{Coded, Declared},
    doh,
    form::Form,
    layers::{Bytes, Out, Stage},
    runs::is_hex,
    sink::{Keep, Place},
    sniff::SNIFF,
};

/// Methods that say nothing but what they are (RFC 9110 section 9, RFC 5789).
const METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];

/// Field names that are ordinary (from the HTTP Field Name Registry, and a few that every client sends).
/// Any other name could spell a value.
const NAMES: [&str; 49] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "keep-alive",
    "last-modified",
    "location",
    "origin",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "server",
    "set-cookie",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// Those that a head holds are told by the bits of one word.
const _: () = assert!(NAMES.len() <= 64);

/// The field lines of a head, as the sink takes them.
pub(super) fn fields(head: &Head<'_>) -> Vec<(String, Vec<u8>)> {
    let line = |field: &Field| {
        let spelt = head.text(&field.name);
        let name = match str::from_utf8(spelt) {
            Ok(name) => name.to_owned(),
            Err(_) => String::from_utf8_lossy(spelt).into_owned(),
        };
        (name, head.text(&field.value).to_vec())
    };
    head.fields.iter().map(line).collect()
}

/// Writes the head as a leaf, and what is encoded in it as further ones.
pub(super) fn leaves(out: &mut Out<'_>, head: &Head<'_>, framing: Framing) {
    let whole = head.place(&(0..head.bytes.len()));
    let mut stage = Stage::new("http1.head", None, whole.start, Keep::Search);
    stage.consumed(whole.end);
    stage.write(out, Bytes::wire(head.bytes, whole));
    stage.close(out);
    places(out, head, framing);
    if let StartLine::Request { target, .. } = &head.start {
        target_leaves(out, head, target);
    }
    for field in &head.fields {
        field_leaves(out, head, field);
    }
}

/// The bytes of a part of the head.
fn part<'a>(head: &Head<'a>, range: &Range<usize>) -> Bytes<'a> {
    Bytes::wire(head.text(range), head.place(range))
}

/// A layer that cuts bytes out, which stand at `at` of the layer before.
fn layer(op: &'static str, param: Option<&[u8]>, bytes: Bytes<'_>, at: u64) -> Stage {
    let mut layer = Stage::new(op, param, at, Keep::Search);
    layer.consumed(at + bytes.len());
    layer.pass(bytes.len());
    layer
}

fn target_leaves(out: &mut Out<'_>, head: &Head<'_>, target: &Range<usize>) {
    let bytes = part(head, target);
    layer("http1.target", None, bytes, bytes.from.start).within(out, |out| in_target(out, bytes));
}

fn field_leaves(out: &mut Out<'_>, head: &Head<'_>, field: &Field) {
    let bytes = part(head, &field.value);
    let name = head.text(&field.name);
    let settings = name.eq_ignore_ascii_case(b"http2-settings");
    if !settings && !is_coded(bytes.data) {
        return;
    }
    layer("http1.field", Some(name), bytes, bytes.from.start).within(out, |out| {
        // The payload of SETTINGS in base64url, of any length (RFC 7540 section 3.2.1).
        if settings {
            base64_leaf(out, bytes, 0);
        } else {
            in_value(out, bytes);
        }
    });
}

/// Writes a header list that came out of a compression as a leaf of field lines, and what is encoded in its values
/// as further ones. `from` is where its block stands; `op` is what taking the compression off is called.
pub(super) fn list(
    out: &mut Out<'_>,
    (op, param): (&'static str, &str),
    from: ByteRange,
    fields: &[(String, Vec<u8>)],
) {
    let mut text = Vec::new();
    let mut values = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        values.push((name, text.len()..text.len() + value.len()));
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    }
    let whole = Bytes { data: &text, from, copied: false };
    let mut stage = Stage::new(op, Some(param.as_bytes()), from.start, Keep::Search);
    stage.consumed(from.end);
    stage.write(out, whole);
    stage.within(out, |out| {
        for (name, range) in values {
            let (at, value) = (range.start as u64, whole.part(range));
            if name == ":path" {
                layer("http.target", None, value, at).within(out, |out| in_target(out, value));
            } else if is_coded(value.data) {
                let name = Some(name.as_bytes());
                layer("http.field", name, value, at).within(out, |out| in_value(out, value));
            }
        }
    });
    stage.close(out);
}

fn in_target(out: &mut Out<'_>, bytes: Bytes<'_>) {
    percent_leaf(out, bytes);
    doh::target(out, bytes);
    let path = memchr::memchr(b'?', bytes.data).unwrap_or(bytes.data.len());
    let mut start = 0;
    while start < path {
        let rest = bytes.data.get(start..path).unwrap_or_default();
        let end = start + memchr::memchr(b'/', rest).unwrap_or(rest.len());
        for run in base64_runs(bytes.data.get(start..end).unwrap_or_default()) {
            let run = start + run.start..start + run.end;
            run_leaves(out, bytes.part(run.clone()), run.start as u64);
        }
        start = end + 1;
    }
    if let Some(mark) = memchr::memchr(b'?', bytes.data) {
        let query = bytes.part(mark + 1..bytes.data.len());
        let mut form = Form::new("query.value", mark as u64 + 1);
        form.push(out, query, 0);
        form.finish(out);
    }
}

/// Whether a value may hold something encoded; of most fields none does, and no layer is made for them.
fn is_coded(value: &[u8]) -> bool {
    memchr::memchr(b'%', value).is_some() || !base64_runs(value).is_empty()
}

fn in_value(out: &mut Out<'_>, bytes: Bytes<'_>) {
    percent_leaf(out, bytes);
    for run in base64_runs(bytes.data) {
        run_leaves(out, bytes.part(run.clone()), run.start as u64);
    }
}

/// What a run of base64 or hexadecimal holds, and what is encoded in that.
fn run_leaves(out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) {
    if !out.admits_value() {
        return;
    }
    let (op, coding): (_, Box<dyn Coding>) = if bytes.data.len() >= SNIFF && is_hex(bytes.data) {
        ("hex", Box::<Hex>::default())
    } else {
        ("base64", Box::<Base64>::default())
    };
    let mut coded = Coded::guess_at(op, coding, Declared::default(), at);
    coded.push(out, bytes, at);
    coded.finish(out);
}

fn percent_leaf(out: &mut Out<'_>, bytes: Bytes<'_>) {
    if let Some(decoded) = Percent::uri().decode(bytes.data)
        && out.admits_value()
    {
        one_leaf(out, Stage::new("percent", None, 0, Keep::Search), bytes, 0, &decoded);
    }
}

/// Base64 of any length that stands in a line, as the layer `op`.
pub(super) fn credentials(out: &mut Out<'_>, op: &'static str, bytes: Bytes<'_>) {
    layer(op, None, bytes, bytes.from.start).within(out, |out| base64_leaf(out, bytes, 0));
}

fn base64_leaf(out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) {
    let budget = out.budget.clone();
    let mut decoded = Vec::new();
    let mut coding = Base64::new();
    let mut take = |output: Output<'_>| decoded.extend_from_slice(output.bytes);
    let result = coding.push(bytes.data, &budget, &mut take);
    let clean = result.and_then(|()| coding.finish(&budget, &mut take)).is_ok();
    if clean && !decoded.is_empty() && out.admits_value() {
        one_leaf(out, Stage::new("base64", None, at, Keep::Search), bytes, at, &decoded);
    }
}

fn one_leaf(out: &mut Out<'_>, mut stage: Stage, bytes: Bytes<'_>, at: u64, decoded: &[u8]) {
    stage.consumed(at + bytes.len());
    stage.write(out, Bytes { data: decoded, from: bytes.from, copied: false });
    stage.close(out);
}

/// Long runs of base64, and the credentials of `Basic`, which are base64 of any length (RFC 7617).
fn base64_runs(value: &[u8]) -> Vec<Range<usize>> {
    let symbol = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    if value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic ")) {
        return std::iter::once(6..value.len()).collect();
    }
    let mut runs = Vec::new();
    let mut start = 0;
    while value.len() - start.min(value.len()) >= SNIFF {
        let rest = value.get(start..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| symbol(byte)).count();
        if length >= SNIFF {
            // `key=` before a value is no base64.
            let run = rest.get(..length).unwrap_or_default().trim_ascii_end();
            let padding = run.iter().rev().take_while(|byte| **byte == b'=').count();
            let body = run.get(..run.len() - padding).unwrap_or_default();
            let first = memchr::memrchr(b'=', body).map_or(0, |equals| equals + 1);
            if body.len() - first >= SNIFF {
                runs.push(start + first..start + length);
            }
        }
        start += length + 1;
    }
    runs
}

/// Says which bytes the grammar accounts for; all others are undetermined.
fn places(out: &mut Out<'_>, head: &Head<'_>, framing: Framing) {
    let mut understood: Vec<ByteRange> = Vec::new();
    let mut after = head.bytes.len();
    let line_end = |from: usize| {
        let rest = head.bytes.get(from..).unwrap_or_default();
        memchr::memchr(b'\n', rest).map_or(head.bytes.len(), |end| from + end + 1)
    };
    match &head.start {
        StartLine::Request { method, target } => {
            if METHODS.contains(&head.text(method)) && target.start == method.end + 1 {
                understood.push(head.place(&(method.start..target.start)));
            }
            let end = line_end(target.end);
            if matches!(head.bytes.get(target.end..end), Some(b" HTTP/1.0\r\n" | b" HTTP/1.1\r\n")) {
                understood.push(head.place(&(target.end..end)));
            }
        }
        // The reason phrase is free text.
        StartLine::Response { .. } => understood.push(head.place(&(head.lead..head.lead + 12))),
    }
    let mut seen = 0_u64;
    for field in &head.fields {
        let spelt = head.text(&field.name);
        let known = NAMES.iter().position(|name| spelt.eq_ignore_ascii_case(name.as_bytes()));
        let separator = field.name.end..field.value.start;
        let value = head.text(&field.value);
        let plain = matches!(head.text(&separator), b":" | b": ") && is_spelt_plainly(spelt);
        // Names in a row, each as often as one likes, could spell anything.
        let bit = known.map_or(0, |place| 1 << place);
        let first = seen & bit == 0;
        seen |= bit;
        if let Some(name) = known.and_then(|place| NAMES.get(place))
            && plain
            && first
            && !value.is_empty()
        {
            understood.push(head.place(&(field.name.start..field.value.start)));
            if value_is_framing(name, value, framing) {
                understood.push(head.place(&field.value));
            }
            if head.bytes.get(field.value.end..field.value.end + 2) == Some(b"\r\n") {
                understood.push(head.place(&(field.value.end..field.value.end + 2)));
            }
        }
        after = field.value.end;
    }
    let end = head.bytes.len();
    if after < end && head.bytes.ends_with(b"\r\n") {
        understood.push(head.place(&(end - 2..end)));
    }
    for range in ByteRange::unite(understood) {
        out.place(range, Place::Understood);
    }
}

/// Whether a field's name is in lower case, or in it but for the first letter of each word, or in one of the spellings that
/// their specifications use: any letter in either case would carry a bit.
pub(super) fn is_spelt_plainly(name: &[u8]) -> bool {
    const OWN: [&[u8]; 9] = [
        b"TE",
        b"ETag",
        b"MIME-Version",
        b"Content-ID",
        b"Message-ID",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Version",
        b"Sec-WebSocket-Extensions",
        b"Sec-WebSocket-Protocol",
    ];
    let words = || name.split(|&byte| byte == b'-');
    let lower = |word: &[u8]| !word.iter().any(u8::is_ascii_uppercase);
    let capital = |word: &[u8]| {
        word.split_first().is_none_or(|(first, rest)| !first.is_ascii_lowercase() && lower(rest))
    };
    lower(name) || words().all(capital) || OWN.contains(&name)
}

/// What a request's list of fields has in place of a start line (RFC 9113 section 8.3.1, RFC 9114 section 4.3.1).
const PSEUDO: [&[u8]; 4] = [b":method", b":scheme", b":authority", b":path"];

/// A Content-Length in a compressed list.
#[derive(Clone, Debug)]
pub(super) struct Length {
    at: ByteRange,
    value: Rc<[u8]>,
}

impl Length {
    /// Where it stands, if it says only what the content shows, which has this many bytes.
    pub(super) fn of(&self, bytes: u64) -> Option<ByteRange> {
        (*self.value == *bytes.to_string().as_bytes()).then_some(self.at)
    }
}

/// Says which bytes are understood of a compressed header list, a request's, that stands from `start` on in one piece: of each
/// field with an ordinary name what names it, and its value where the protocol or what is known beside it accounts for all
/// of it, or for parts of it that stand as they are. Gives back the first Content-Length.
pub(super) fn compressed(out: &mut Out<'_>, start: u64, fields: &[hpack::Field]) -> Option<Length> {
    let place = |range: Range<usize>| ByteRange::new(start + range.start as u64, start + range.end as u64);
    let mut length = None;
    let mut seen: BTreeSet<&[u8]> = BTreeSet::new();
    for field in fields {
        let (Some(name), Some(value)) = (&field.name, &field.value) else { continue };
        let ordinary = PSEUDO.contains(&&**name) || NAMES.iter().any(|known| known.as_bytes() == &**name);
        // A byte names a field, or all of a field that stands in a table: a list in which names come again, or have no
        // value, could spell anything out of a few of them.
        if !seen.insert(name) || !ordinary || !field.coded.shortest || value.is_empty() {
            continue;
        }
        let at = field.coded.value.clone();
        out.place(place(field.place.start..at.start), Place::Understood);
        let accounted = match &**name {
            b":method" if METHODS.contains(&&**value) => std::iter::once(0..value.len()).collect(),
            b":scheme" if [&b"http"[..], b"https"].contains(&&**value) => {
                std::iter::once(0..value.len()).collect()
            }
            b"content-length" => {
                length.get_or_insert_with(|| Length { at: place(at.clone()), value: value.clone() });
                continue;
            }
            _ => out.sink.field(out.direction, place(field.place.clone()), name, value),
        };
        if field.coded.plain {
            for part in accounted {
                out.place(place(at.start + part.start..at.start + part.end), Place::Understood);
            }
        } else if ByteRange::covered(
            accounted.iter().map(|part| ByteRange::new(part.start as u64, part.end as u64)),
        ) == value.len() as u64
        {
            out.place(place(at), Place::Understood);
        }
    }
    length
}

/// Whether a value says only what the body shows.
fn value_is_framing(name: &str, value: &[u8], framing: Framing) -> bool {
    match (name, framing) {
        ("content-length", Framing::Length(length)) => value == length.to_string().as_bytes(),
        ("transfer-encoding", Framing::Chunked) => value == b"chunked",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_and_credentials_are_base64_and_words_are_not() {
        let long = "A".repeat(64);
        let runs = |value: &str| -> Vec<(usize, usize)> {
            base64_runs(value.as_bytes()).into_iter().map(|run| (run.start, run.end)).collect()
        };
        assert_eq!(runs(&format!("t={long}==; u=1")), [(2, 68)]);
        assert_eq!(runs("Basic dTpw"), [(6, 10)]);
        assert_eq!(runs("text/html, application/xhtml+xml"), []);
        assert_eq!(runs(&format!("{long}.{long}.x")), [(0, 64), (65, 129)]);
    }
}
