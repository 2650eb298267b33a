//! Codings and containers: how the input is cut never changes what comes out.

use std::ops::Range;

use exhibit::engine::codec::{
    Base64, Brotli, Budget, Cbor, Coding, Container, Damage, DataUrl, Endian, Event, Hex, Inflate, Json,
    Kind, Latin1, LineEnds, MessageDeflate, MessagePack, Output, Percent, Protobuf, QuotedPrintable, Tar,
    Utf16, Wrapper, Xml, Zip, Zstd, picture,
};

use super::{Random, Target, pieces};

pub const TARGETS: &[(&str, Target)] = &[
    ("base64", |data| coding(data, &|| Box::new(Base64::new()))),
    ("brotli", brotli),
    ("cbor", |data| container(data, &|| Box::new(Cbor::new()))),
    ("data_url", |data| coding(data, &|| Box::new(DataUrl::new()))),
    ("gzip", |data| coding(data, &|| Box::new(Inflate::new(Wrapper::Gzip)))),
    ("hex", |data| coding(data, &|| Box::new(Hex::new()))),
    ("inflate", inflate),
    ("json", |data| container(data, &|| Box::new(Json::new()))),
    ("latin1", |data| coding(data, &|| Box::new(Latin1::new()))),
    ("line_ends", line_ends),
    ("message_deflate", message_deflate),
    ("msgpack", |data| container(data, &|| Box::new(MessagePack::new()))),
    ("percent", percent),
    ("picture", picture),
    ("protobuf", |data| container(data, &|| Box::new(Protobuf::new()))),
    ("quoted", |data| coding(data, &|| Box::new(QuotedPrintable::new()))),
    ("tar", |data| container(data, &|| Box::new(Tar::new()))),
    ("utf16", utf16),
    ("xml", |data| container(data, &|| Box::new(Xml::new()))),
    ("zip", |data| container(data, &|| Box::new(Zip::new()))),
    ("zstd", |data| coding(data, &|| Box::new(Zstd::new()))),
];

/// What may come out of one input.
const MOST: u64 = 4 << 20;

/// What came out: runs of a kind, the input that was consumed, how it ended.
#[derive(Debug, PartialEq)]
struct Came {
    runs: Vec<(Kind, Vec<u8>)>,
    result: Result<(), Damage>,
}

fn decoded(coding: &mut dyn Coding, data: &[u8], cuts: &[Range<usize>]) -> Came {
    let budget = Budget::new(MOST);
    let mut runs: Vec<(Kind, Vec<u8>)> = Vec::new();
    let (mut result, mut total, mut before) = (Ok(()), 0, 0);
    let mut take = |output: Output<'_>, base: usize, piece: usize| {
        assert!(output.consumed.start <= output.consumed.end && output.consumed.end <= piece);
        assert!(base + output.consumed.start >= before, "consumed twice");
        before = base + output.consumed.end;
        total += output.bytes.len() as u64;
        match runs.last_mut() {
            Some((kind, run)) if *kind == output.kind => run.extend_from_slice(output.bytes),
            _ if output.bytes.is_empty() => {}
            _ => runs.push((output.kind, output.bytes.to_vec())),
        }
    };
    for cut in cuts {
        let piece = &data[cut.clone()];
        budget.input(piece.len() as u64);
        result = coding.push(piece, &budget, &mut |output| take(output, cut.start, piece.len()));
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = coding.finish(&budget, &mut |output| take(output, data.len(), 0));
    }
    // Free text of a header is not counted, but is never more than the input.
    assert!(total <= MOST + data.len() as u64, "{total} bytes came out");
    Came { runs, result }
}

fn coding(data: &[u8], new: &dyn Fn() -> Box<dyn Coding>) {
    let whole = decoded(&mut *new(), data, std::slice::from_ref(&(0..data.len())));
    let cut = decoded(&mut *new(), data, &pieces(data, &mut Random::of(data)));
    if whole.result != Err(Damage::Budget) {
        assert_eq!(whole.result, cut.result);
        for (one, other) in whole.runs.iter().zip(&cut.runs) {
            assert!(one == other, "{:?} {} and {:?} {}", one.0, one.1.len(), other.0, other.1.len());
        }
        assert_eq!(whole.runs.len(), cut.runs.len());
    }
}

/// The decoder keeps its last bytes where damage follows them in the same piece.
fn brotli(data: &[u8]) {
    let whole = decoded(&mut Brotli::new(), data, std::slice::from_ref(&(0..data.len())));
    let cut = decoded(&mut Brotli::new(), data, &pieces(data, &mut Random::of(data)));
    let bytes = |came: &Came| came.runs.iter().flat_map(|(_, run)| run.iter().copied()).collect::<Vec<_>>();
    let (one, other) = (bytes(&whole), bytes(&cut));
    match whole.result {
        Err(Damage::Budget) => {}
        Err(Damage::Corrupt) => assert!(other.starts_with(&one) && cut.result == whole.result),
        _ => assert_eq!((one, whole.result), (other, cut.result)),
    }
}

fn inflate(data: &[u8]) {
    for wrapper in [Wrapper::ZlibOrNone, Wrapper::None] {
        coding(data, &|| Box::new(Inflate::new(wrapper)));
    }
}

fn line_ends(data: &[u8]) {
    coding(data, &|| Box::new(LineEnds::ftp()));
    coding(data, &|| Box::new(LineEnds::netascii()));
}

fn utf16(data: &[u8]) {
    coding(data, &|| Box::new(Utf16::new(Endian::Little)));
    coding(data, &|| Box::new(Utf16::new(Endian::Big)));
}

fn percent(data: &[u8]) {
    coding(data, &|| Box::new(Percent::uri()));
    coding(data, &|| Box::new(Percent::form()));
    let _ = Percent::uri().decode(data);
}

/// Messages of one connection, which share a window.
fn message_deflate(data: &[u8]) {
    let Some((&options, data)) = data.split_first() else { return };
    let run = |cut: bool| {
        let (shared, mut random) = (MessageDeflate::new(options & 1 == 0), Random::of(data));
        let came = super::split(data, b"|||").into_iter().map(|message| {
            let whole = std::iter::once(0..message.len()).collect();
            let cuts = if cut { pieces(message, &mut random) } else { whole };
            decoded(&mut *shared.message(), message, &cuts)
        });
        came.collect::<Vec<_>>()
    };
    let (whole, cut) = (run(false), run(true));
    if whole.iter().all(|came| came.result != Err(Damage::Budget)) {
        assert_eq!(whole, cut);
    }
}

#[derive(Debug, PartialEq)]
struct Value {
    op: &'static str,
    name: Option<Vec<u8>>,
    at: usize,
    end: usize,
    bytes: Vec<u8>,
}

fn values(
    container: &mut dyn Container,
    data: &[u8],
    cuts: &[Range<usize>],
) -> (Vec<Value>, Result<(), Damage>) {
    let budget = Budget::new(MOST);
    let mut found: Vec<Value> = Vec::new();
    let (mut open, mut total, mut result) = (false, 0, Ok(()));
    let mut take = |event: Event<'_>, base: usize, piece: &[u8]| match event {
        Event::Begin { op, name, at, .. } => {
            assert!(!std::mem::replace(&mut open, true), "a value in a value");
            assert!(at <= piece.len());
            let name = name.map(<[u8]>::to_vec);
            found.push(Value { op, name, at: base + at, end: base + at, bytes: Vec::new() });
        }
        Event::Data { consumed, bytes, copied } => {
            assert!(open && (!copied || piece[consumed.clone()] == *bytes), "not as it stands");
            total += bytes.len();
            let value = found.last_mut().unwrap();
            value.bytes.extend_from_slice(bytes);
            value.end = value.end.max(base + consumed.end);
        }
        Event::End { at } => {
            assert!(std::mem::replace(&mut open, false), "no value ends");
            let value = found.last_mut().unwrap();
            value.end = at.map_or(value.end, |at| base + at);
            assert!(value.end >= value.at || at.is_none(), "{value:?}");
        }
    };
    for cut in cuts {
        let piece = &data[cut.clone()];
        budget.input(piece.len() as u64);
        result = container.push(piece, &budget, &mut |event| take(event, cut.start, piece));
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = container.finish(&budget, &mut |event| take(event, data.len(), &[]));
    }
    assert!(total as u64 <= MOST + data.len() as u64, "{total} bytes came out");
    // Where a value is cut off, its end is where data came last, which follows the pieces.
    if let (Err(_), Some(value)) = (&result, found.last_mut()) {
        value.end = value.at;
    }
    (found, result)
}

fn container(data: &[u8], new: &dyn Fn() -> Box<dyn Container>) {
    let whole = values(&mut *new(), data, std::slice::from_ref(&(0..data.len())));
    let cut = values(&mut *new(), data, &pieces(data, &mut Random::of(data)));
    if whole.1 != Err(Damage::Budget) {
        assert_eq!(whole, cut);
    }
}

fn picture(data: &[u8]) {
    let grid = picture::grid(data);
    assert!(grid.is_err() || picture::is_picture(data));
    if data.len() < 4_096 {
        assert_eq!(grid, picture::grid(data));
    }
}
