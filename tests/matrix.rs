//! Every artifact in every wrapper, and in every pair of them, whole, in part and in many parts, over every carrier: all
//! of it must be found, and nothing of what was not sent. The table goes to `docs/matrix.md`.
//!
//! What wraps here is written for this test or comes from well-known encoders; nothing of the engine encodes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::single_range_in_vec_init,
    reason = "tests may panic, and count small things"
)]

#[path = "support/carry.rs"]
mod carry;
#[allow(dead_code, reason = "another test's part")]
#[path = "support/uploads.rs"]
mod uploads;
#[path = "support/wrap.rs"]
mod wrap;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use exhibit::{
    case::device::{Device, DeviceFile},
    engine::{
        correlate::{Artifact, Catalog, Collector, FlowRef, Harvest, Hit, Spool, across, conclude},
        decode::{
            Context, Conversation, Shared,
            sink::{Keep, LeafId, NamedPart, Origin, Sink, Source, TransactionId},
            walk,
        },
        net::stream::Stream,
        proto::keylog::KeyLog,
    },
    evidence::{ByteRange, Digest, Direction, Limits, Scratch, Transport},
    findings::{Grade, Step},
};

use carry::{CARRIERS, Carrier, Cut, Declared};
use uploads::{Http, Naming, SCHEMES, Sent, in_parts, noise};
use wrap::WRAPPERS;

/// A picture as far as first bytes go, then bytes without pattern, as compressed pixels are.
fn photo() -> Vec<u8> {
    [b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".as_slice(), &noise(1, 940), b"\xff\xd9"]
        .concat()
}

/// Longer than what is held of any value before it is known what it is.
const LONG: usize = 70_000;

/// A long file without pattern.
fn film() -> Vec<u8> {
    [b"\0\0\0\x18ftypmp42".as_slice(), &noise(3, LONG)].concat()
}

/// A text file: lines, signs that wrappers escape, letters beyond ASCII.
fn note() -> Vec<u8> {
    prose("Notes\n", 2, 140)
}

/// A long text file.
fn book() -> Vec<u8> {
    prose("A book\n", 4, LONG / 5)
}

fn prose(title: &str, seed: u64, length: usize) -> Vec<u8> {
    let words = [
        "Müller",
        "meets",
        "<Chan>",
        "at",
        "\"five\"",
        "& pays",
        "100%",
        "to",
        "a+b=c",
        "微信",
        "back\\slash",
        "home",
    ];
    let mut text = String::from(title);
    for (no, byte) in noise(seed, length).into_iter().enumerate() {
        text.push_str(words[usize::from(byte) % words.len()]);
        text.push(if no % 9 == 8 { '\n' } else { ' ' });
    }
    text.into_bytes()
}

const IMEI: &str = "867622014512347";

/// Of a message that the phone received.
const BODY: &str = "Grüße! Meet me at the café <5th floor>, bring 100 & the \"keys\" – 微信: zhang_wei/7 👍";

const CONTACT: &[u8] =
    b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Alexander Wong Siu-Ming of Kowloon Tong\r\nTEL:+8613812345678\r\nEND:VCARD\r\n";
/// When a call began, in milliseconds.
const CALL: &str = "1789990000123";

fn facts() -> Vec<u8> {
    format!(
        "device facts: model Redmi Note, build JHACNBA10.0, imei {IMEI}, battery 77 percent, locale zh_HK\n"
    )
    .into_bytes()
}

/// What is sent of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Whole,
    Part,
    Parts,
}

const FORMS: [Form; 3] = [Form::Whole, Form::Part, Form::Parts];

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Part => "part",
            Self::Parts => "many parts",
        }
    }

    /// The ranges that are sent, each by itself.
    fn ranges(self, len: usize) -> Vec<std::ops::Range<usize>> {
        match self {
            Self::Whole => vec![0..len],
            Self::Part => vec![len / 4..len * 3 / 4 + 1],
            Self::Parts => vec![0..len / 3, len / 3..len * 2 / 3 + 1, len * 2 / 3 + 1..len],
        }
    }
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Photo,
    Note,
    /// Longer than any buffer.
    Film,
    Book,
    Message,
    /// In the middle of a sentence.
    Imei,
    /// Nothing but itself.
    ImeiAlone,
    /// A number and a name, as a vCard.
    Contact,
    /// A row of the call log.
    Call,
    /// The photo's SHA-256.
    Hash,
}

const KINDS: [(Kind, &str); 10] = [
    (Kind::Photo, "photo"),
    (Kind::Note, "text file"),
    (Kind::Film, "long file"),
    (Kind::Book, "long text"),
    (Kind::Message, "message"),
    (Kind::Imei, "identifier"),
    (Kind::ImeiAlone, "identifier alone"),
    (Kind::Contact, "contact"),
    (Kind::Call, "call"),
    (Kind::Hash, "hash of the photo"),
];

impl Kind {
    /// Whether it is sent in parts as well.
    fn is_cut(self) -> bool {
        matches!(self, Self::Photo | Self::Note)
    }

    /// What carries it; short texts that others are like and long files go over one carrier each, by turns.
    fn carriers(self, turn: usize) -> &'static [Carrier] {
        match self {
            Self::Film | Self::Book | Self::Contact | Self::Call | Self::Hash => {
                let no = turn % CARRIERS.len();
                &CARRIERS[no..=no]
            }
            _ => &CARRIERS,
        }
    }
}

/// What the phone sends on one connection, and what it receives.
type Flow = (Vec<u8>, Vec<u8>);

/// One thing that is sent, in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    kind: Kind,
    outer: usize,
    inner: Option<usize>,
    form: Form,
    carrier: Carrier,
}

impl Cell {
    fn describe(&self) -> String {
        let inner = self.inner.map_or(String::new(), |inner| format!(" in {}", WRAPPERS[inner].name));
        let (kind, form) = (KINDS.iter().find(|(kind, _)| *kind == self.kind).unwrap().1, self.form.name());
        format!("{kind}, {form},{inner} in {} over {}", WRAPPERS[self.outer].name, self.carrier.name())
    }

    /// What both ends write where a payload of this cell is sent.
    fn carry(&self, payload: &[u8]) -> Flow {
        let outermost = &WRAPPERS[self.outer];
        let declared = Declared { coding: outermost.coding, media: outermost.media };
        let cut = match self.form {
            Form::Whole => Cut::Whole,
            Form::Part => Cut::Compressed,
            Form::Parts => Cut::Pieces,
        };
        self.carrier.carry(payload, declared, cut)
    }

    /// What travels, if the wrappers can hold it.
    fn payloads(&self, content: &[u8]) -> Option<Vec<Vec<u8>>> {
        let wrapped = |bytes: &[u8]| {
            let inner = match self.inner {
                Some(inner) => WRAPPERS[inner].wrap(bytes)?,
                None => bytes.to_vec(),
            };
            WRAPPERS[self.outer].wrap(&inner)
        };
        self.form.ranges(content.len()).into_iter().map(|range| wrapped(&content[range])).collect()
    }
}

/// Gives leaves to two collectors, which number them alike.
struct Leaves<'c>([Collector<'c>; 2]);

impl Sink for Leaves<'_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        let [own, decoys] = &mut self.0;
        decoys.open(origin.clone());
        own.open(origin)
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        self.0.iter_mut().for_each(|collector| collector.write(leaf, bytes, from));
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        self.0.iter_mut().for_each(|collector| {
            collector.close(leaf, steps);
        });
    }
}

/// Gives leaves to one collector, and tells it of parts of uploads.
struct Uploaded<'c>(Collector<'c>);

impl Sink for Uploaded<'_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        self.0.open(origin)
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        self.0.write(leaf, bytes, from);
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        self.0.close(leaf, steps);
    }

    fn part(&mut self, transaction: TransactionId, direction: Direction, part: &NamedPart) {
        self.0.part(transaction, direction, part);
    }
}

/// Keeps what was taken off each leaf, to be shown where something is missed.
#[derive(Default)]
struct Paths(Vec<String>);

impl Sink for Paths {
    fn open(&mut self, origin: Origin) -> LeafId {
        let keep = if origin.keep == Keep::Digest { "digest " } else { "" };
        self.0.push(keep.to_owned());
        LeafId(self.0.len() as u32 - 1)
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], _: Source) {
        if self.0[leaf.0 as usize].len() < 8 {
            let start = &bytes[..bytes.len().min(12)];
            write!(self.0[leaf.0 as usize], "{} ", start.escape_ascii()).unwrap();
        }
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        let steps =
            steps.iter().map(|step| format!(" > {} {}..{}", step.op, step.input.start, step.input.end));
        self.0[leaf.0 as usize].extend(steps);
    }
}

struct Lab {
    /// What was on the phone.
    own: Catalog,
    /// What never was anywhere.
    decoys: Catalog,
    limits: Limits,
    folder: tempfile::TempDir,
}

/// Files that were never sent, and as many identifiers and messages, of the same kinds as those that were. They are
/// looked for in a pass of their own, so that how many there are does not make the phone's own less probative.
const DECOYS: u64 = 1_000;

impl Lab {
    fn new() -> Self {
        let limits = Limits::default();
        let catalog = |files: Vec<(String, Vec<u8>)>, identifiers: BTreeMap<String, String>| {
            let file = |(path, bytes)| DeviceFile::new(path, Arc::new(bytes)).unwrap();
            let files = files.into_iter().map(file).collect();
            let devices = BTreeMap::from([("phone".to_owned(), Device { files })]);
            Catalog::build(&devices, &identifiers, &[], &limits).unwrap()
        };
        let table = |bodies: Vec<String>| {
            let rows =
                bodies.iter().map(|body| format!("\"{}\"\n", body.replace('"', "\"\""))).collect::<String>();
            ("phone/sms.csv".to_owned(), format!("body\n{rows}").into_bytes())
        };
        let files = vec![
            ("phone/photo.jpg".to_owned(), photo()),
            ("phone/note.txt".to_owned(), note()),
            ("phone/film.mp4".to_owned(), film()),
            ("phone/book.txt".to_owned(), book()),
            table(vec![BODY.to_owned()]),
            ("phone/contacts.vcf".to_owned(), CONTACT.to_vec()),
            (
                "phone/calls.csv".to_owned(),
                format!("number,date,duration\n+8613927654321,{CALL},63\n").into_bytes(),
            ),
        ];
        let own = catalog(files, BTreeMap::from([("imei".to_owned(), IMEI.to_owned())]));
        let letters =
            |seed, len| noise(seed, len).iter().map(|byte| char::from(b'a' + byte % 26)).collect::<String>();
        let mut files = vec![table((0..DECOYS).map(|no| letters(9_000 + no, 60)).collect())];
        let mut identifiers = BTreeMap::new();
        for no in 0..DECOYS {
            let bytes = match no % 2 {
                0 => [&photo()[..20], &noise(1_000 + no, 300)].concat(),
                _ => letters(1_000 + no, 600).into_bytes(),
            };
            files.push((format!("phone/decoy{no:04}"), bytes));
            let digits: String =
                noise(5_000 + no, 15).iter().map(|byte| char::from(b'0' + byte % 10)).collect();
            identifiers.insert(format!("imei_decoy{no:04}"), digits);
        }
        Self { own, decoys: catalog(files, identifiers), limits, folder: tempfile::tempdir().unwrap() }
    }

    fn walk(&self, spools: &[Spool; 2], flow: u32, sent: &Flow) -> [Harvest; 2] {
        let flow = FlowRef { capture: 0, flow };
        let collector = |catalog, spool| Collector::new(catalog, spool, flow, &self.limits);
        let mut sink = Leaves([collector(&self.own, &spools[0]), collector(&self.decoys, &spools[1])]);
        self.walk_to(sent, &mut sink);
        sink.0.map(|collector| collector.finish().unwrap())
    }

    fn walk_to(&self, (up, down): &Flow, sink: &mut dyn Sink) {
        let (up, down) = (Stream::of_bytes(up), Stream::of_bytes(down));
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (local, remote) = (address(40_000), address(8_080));
        let conversation = Conversation { transport: Transport::Tcp, up: &up, down: &down, local, remote };
        let (keys, scratch) = (KeyLog::default(), Scratch::new(self.folder.path()));
        let context = Context::new(&self.limits, &keys, &scratch);
        walk(&conversation, &context, &mut Shared::default(), sink).unwrap();
    }

    /// Sends everything, and gives the hits of each cell, and those of decoys.
    fn run(&self, cells: &[(Cell, Vec<Vec<u8>>)]) -> [Vec<Vec<Hit>>; 2] {
        let spools = [0, 1].map(|_| Spool::new(Scratch::new(self.folder.path())));
        let mut sent: Vec<(usize, Flow)> = Vec::new();
        for (no, (cell, payloads)) in cells.iter().enumerate() {
            sent.extend(payloads.iter().map(|payload| (no, cell.carry(payload))));
        }
        let half = sent.len().div_ceil(2);
        let harvests: Vec<[Harvest; 2]> = std::thread::scope(|scope| {
            let spools = &spools;
            let walk = move |first: usize, part: &[(usize, Flow)]| {
                let flows = (first as u32..).zip(part);
                flows.map(|(flow, (_, bytes))| self.walk(spools, flow, bytes)).collect::<Vec<_>>()
            };
            let (left, right) = sent.split_at(half);
            let other = scope.spawn(move || walk(half, right));
            let mut all = walk(0, left);
            all.extend(other.join().unwrap());
            all
        });
        let (own, decoys): (Vec<_>, Vec<_>) = harvests.into_iter().map(<(Harvest, Harvest)>::from).unzip();
        let [own_spool, decoy_spool] = spools;
        let sorted = |catalog, spool, harvests| {
            let outcome = conclude(catalog, spool, harvests, &self.limits).unwrap();
            // The photo is one by its first bytes alone, which matters where it is none of the device's files.
            let decoded = |line: &&String| !line.contains("pictures that were sent can't be decoded");
            assert_eq!(outcome.limits_reached.iter().filter(decoded).collect::<Vec<_>>(), [""; 0]);
            let mut hits = vec![Vec::new(); cells.len()];
            for hit in outcome.hits {
                hits[sent[hit.leaf.flow.flow as usize].0].push(hit);
            }
            hits
        };
        [sorted(&self.own, own_spool, own), sorted(&self.decoys, decoy_spool, decoys)]
    }

    /// Whether a file is found whole that goes up in four parts; `over` so many connections.
    fn uploads(&self, kind: Kind, coding: &str, naming: Naming, http: Http, over: usize) -> bool {
        // On the wire "deflate" is zlib (RFC 9110 section 8.4.1.2).
        let wrapper = if coding == "deflate" { "zlib" } else { coding };
        let wrapper = WRAPPERS.iter().find(|one| one.name == wrapper).unwrap();
        let body = wrapper.wrap(&content(kind)).unwrap();
        let parts: Vec<Sent> = in_parts(&body, 4, naming, Some(coding));
        let spool = Spool::new(Scratch::new(self.folder.path()));
        let walked = |(flow, parts): (u32, &[Sent])| {
            let flow = FlowRef { capture: 0, flow };
            let mut sink = Uploaded(Collector::new(&self.own, &spool, flow, &self.limits));
            self.walk_to(&(http.connection(parts), Vec::new()), &mut sink);
            sink.0.finish().unwrap()
        };
        let mut harvests: Vec<Harvest> = (0..).zip(parts.chunks(4 / over)).map(walked).collect();
        let one = |_: FlowRef, _, _| Some(String::new());
        let joined = across(&self.own, &spool, &harvests, &self.limits, &one).unwrap();
        harvests.extend(joined.harvests);
        let hits = conclude(&self.own, spool, harvests, &self.limits).unwrap().hits;
        assert!(hits.iter().all(|hit| self.is(hit, kind)), "another file");
        let exact = hits.iter().filter(|hit| hit.grade == Grade::Exact && hit.probative);
        let ranges = ByteRange::unite(exact.map(|hit| hit.artifact_range));
        ranges == [ByteRange::new(0, content(kind).len() as u64)]
    }

    fn is(&self, hit: &Hit, kind: Kind) -> bool {
        let file = |id| self.own.content(id).unwrap().names[0].path.as_str();
        match (hit.artifact, kind) {
            (Artifact::Content(id), Kind::Photo) => file(id) == "phone/photo.jpg",
            (Artifact::Content(id), Kind::Note) => file(id) == "phone/note.txt",
            (Artifact::Content(id), Kind::Film) => file(id) == "phone/film.mp4",
            (Artifact::Content(id), Kind::Book) => file(id) == "phone/book.txt",
            (Artifact::Value(id), Kind::Message) => self.own.value(id).unwrap().kind == "message",
            (Artifact::Value(id), Kind::Imei | Kind::ImeiAlone) => self.own.value(id).unwrap().kind == "imei",
            (Artifact::Value(id), Kind::Contact) => {
                self.own.value(id).unwrap().name == "phone/contacts.vcf#vcard/1/tel-1"
            }
            (Artifact::Value(id), Kind::Call) => self.own.value(id).unwrap().kind == "call",
            (Artifact::DigestOf(id), Kind::Hash) => file(id) == "phone/photo.jpg",
            _ => false,
        }
    }

    /// Whether a cell's hits show all that was sent.
    fn found(&self, cell: &Cell, hits: &[Hit], content: &[u8]) -> bool {
        let own = hits.iter().filter(|hit| self.is(hit, cell.kind) && hit.probative);
        let any = |grade| own.clone().any(|hit| hit.grade == grade);
        match (cell.kind, cell.form) {
            (Kind::Message | Kind::Contact | Kind::Call, _) => any(Grade::Record),
            (Kind::Imei | Kind::ImeiAlone | Kind::Hash, _) => any(Grade::Identifier),
            (_, Form::Whole) => any(Grade::Exact),
            _ => {
                let seen = ByteRange::unite(own.map(|hit| hit.artifact_range));
                self.covers(&seen, &cell.form.ranges(content.len()))
            }
        }
    }

    fn covers(&self, seen: &[ByteRange], sent: &[std::ops::Range<usize>]) -> bool {
        sent.iter().all(|sent| {
            seen.iter().any(|seen| seen.start <= sent.start as u64 && sent.end as u64 <= seen.end)
        })
    }
}

fn content(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Photo => photo(),
        Kind::Note => note(),
        Kind::Film => film(),
        Kind::Book => book(),
        Kind::Message => BODY.as_bytes().to_vec(),
        Kind::Imei => facts(),
        Kind::ImeiAlone => IMEI.as_bytes().to_vec(),
        // The file's beginning, so that it is no whole file.
        Kind::Contact => [CONTACT, b"BEGIN:VCARD\r\nFN:Nobody\r\nEND:VCARD\r\n"].concat(),
        Kind::Call => {
            format!("{{\"number\":\"+8613927654321\",\"date\":{CALL},\"duration\":63}}\n").into_bytes()
        }
        Kind::Hash => format!("name=photo.jpg size=968 sha256={} new=1\n", Digest::of(&photo())).into_bytes(),
    }
}

/// Every cell of a wrapper, around what it can hold, with what travels for it.
fn cells(outer: usize) -> Vec<(Cell, Vec<Vec<u8>>)> {
    let mut cells = Vec::new();
    for (kind, _) in KINDS {
        let content = content(kind);
        for inner in std::iter::once(None).chain((0..WRAPPERS.len()).map(Some)) {
            for form in FORMS {
                if !kind.is_cut() && form != Form::Whole {
                    continue;
                }
                for &carrier in kind.carriers(outer + inner.unwrap_or(0)) {
                    let cell = Cell { kind, outer, inner, form, carrier };
                    cells.extend(cell.payloads(&content).map(|payloads| (cell, payloads)));
                }
            }
        }
    }
    cells
}

#[test]
fn everything_is_found_in_every_wrapper_and_nothing_else() {
    let started = std::time::Instant::now();
    let lab = Lab::new();
    let mut tally: BTreeMap<Cell, bool> = BTreeMap::new();
    let (mut missed, mut wrong, mut decoys) = (Vec::new(), Vec::new(), 0);
    for cells in (0..WRAPPERS.len()).map(cells) {
        let [hits, decoy_hits] = lab.run(&cells);
        decoys += decoy_hits.iter().map(Vec::len).sum::<usize>();
        for ((cell, payloads), hits) in cells.iter().zip(&hits) {
            let found = lab.found(cell, hits, &content(cell.kind));
            if !found {
                let mut paths = Paths::default();
                if missed.len() < 10 {
                    lab.walk_to(&cell.carry(&payloads[0]), &mut paths);
                }
                missed.push(format!("{}\n  {}", cell.describe(), paths.0.join("\n  ")));
            }
            tally.insert(*cell, found);
        }
        for ((cell, _), hits) in cells.iter().zip(&decoy_hits) {
            let probative = hits.iter().filter(|hit| hit.probative);
            wrong.extend(probative.map(|hit| format!("{}: {:?}", cell.describe(), hit.artifact)));
        }
    }
    println!("{} cells in {:.1} s", tally.len(), started.elapsed().as_secs_f64());
    for line in missed.iter().take(60) {
        println!("missed: {line}");
    }
    assert!(missed.is_empty(), "{} of {} cells were missed", missed.len(), tally.len());
    assert!(wrong.is_empty(), "{} probative findings of what was not sent: {:?}", wrong.len(), wrong.first());
    compare("docs/matrix.md", &(table(&tally, decoys) + &in_parts_table(&lab)));
}

/// Uploads in parts that were compressed before they were cut, by how requests name parts and by what carries them.
fn in_parts_table(lab: &Lab) -> String {
    let mut text = String::from(IN_PARTS);
    for (naming, name) in SCHEMES.into_iter().zip(NAMINGS) {
        write!(text, "| {name} |").unwrap();
        for over in [1, 2, 4] {
            for http in [Http::One, Http::OneInChunks, Http::Two] {
                let tried = ["gzip", "deflate", "br", "zstd"].into_iter();
                let tried = tried.flat_map(|coding| [Kind::Photo, Kind::Note].map(|kind| (coding, kind)));
                let all: Vec<bool> =
                    tried.map(|(coding, kind)| lab.uploads(kind, coding, naming, http, over)).collect();
                let found = all.iter().filter(|found| **found).count();
                let expected = if naming == Naming::None && over > 1 { 0 } else { all.len() };
                assert_eq!(found, expected, "{name} over {over} connections, {http:?}");
                write!(text, " {found}/{} |", all.len()).unwrap();
            }
        }
        text.push('\n');
    }
    text
}

/// What [`SCHEMES`] are called.
const NAMINGS: [&str; 5] = [
    "`Content-Range: bytes 0-9/30`",
    "`Content-Range: bytes 0-9/*`",
    "`Upload-Offset: 10`",
    "`?partNumber=2&uploadId=x`",
    "nothing",
];

const IN_PARTS: &str = "
## Uploads in parts

The photo and the text file are compressed (gzip, zlib, Brotli, zstd), then cut into four parts, each the body of a request that declares the coding, and come out as `exact`
over one connection, over two and over four. Rows are what a request says of its part.
`tests/parts.rs` holds more: HTTP/3, other orders, parts that come twice, overlap or are missing, and what must not be put together.

| | one connection: HTTP/1 | in chunks | HTTP/2 | two connections: HTTP/1 | in chunks | HTTP/2 | four connections: HTTP/1 | in chunks | HTTP/2 |
|---|---|---|---|---|---|---|---|---|---|
";

/// Compares a document with what it should say; with EXHIBIT_BLESS set it is written.
fn compare(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("EXHIBIT_BLESS").is_some_and(|value| !value.is_empty()) {
        fs::write(&path, text).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "{} is not what the test gives; EXHIBIT_BLESS=1 writes it", path.display());
}

fn table(tally: &BTreeMap<Cell, bool>, decoys: usize) -> String {
    let mut text = String::from(INTRODUCTION);
    let carriers = CARRIERS.map(Carrier::name).join(", ");
    let cells = tally.len();
    writeln!(text, "Carriers: {carriers}. Cells: {cells}, all found.\n").unwrap();
    writeln!(
        text,
        "Decoys that were never sent: {DECOYS} files, {DECOYS} identifiers, {DECOYS} messages. Findings of"
    )
    .unwrap();
    writeln!(text, "them that carry weight: 0; that carry none: {decoys}.\n").unwrap();
    text.push_str("## One wrapper\n\n| wrapper | what it is |");
    for (_, kind) in KINDS {
        write!(text, " {kind} |").unwrap();
    }
    writeln!(text, "\n|---|---|{}", "---|".repeat(KINDS.len())).unwrap();
    for (no, wrapper) in WRAPPERS.iter().enumerate() {
        write!(text, "| {} | {} |", wrapper.name, wrapper.what).unwrap();
        for (kind, _) in KINDS {
            write!(
                text,
                " {} |",
                sum(tally, |cell| cell.kind == kind && cell.outer == no && cell.inner.is_none())
            )
            .unwrap();
        }
        text.push('\n');
    }
    text.push_str("\n## Pairs\n\nRows hold columns: the row's wrapper stands around the column's.\n\n| |");
    for wrapper in WRAPPERS {
        write!(text, " {} |", wrapper.name).unwrap();
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(WRAPPERS.len()));
    text.push('\n');
    for (outer, wrapper) in WRAPPERS.iter().enumerate() {
        write!(text, "| **{}** |", wrapper.name).unwrap();
        for inner in 0..WRAPPERS.len() {
            write!(text, " {} |", sum(tally, |cell| cell.outer == outer && cell.inner == Some(inner)))
                .unwrap();
        }
        text.push('\n');
    }
    text
}

/// `10/10`, or nothing where the wrapper can't hold it.
fn sum(tally: &BTreeMap<Cell, bool>, wanted: impl Fn(&Cell) -> bool) -> String {
    let all: Vec<bool> = tally.iter().filter(|(cell, _)| wanted(cell)).map(|(_, found)| *found).collect();
    match all.len() {
        0 => "–".to_owned(),
        len => format!("{}/{len}", all.iter().filter(|found| **found).count()),
    }
}

const INTRODUCTION: &str = "# What is found in which wrapper

`tests/matrix.rs` writes this page. A photo, a text file, a file and a text longer than any buffer, the body of a message, an identifier (in a sentence, and
alone), a contact, a row of the call log and the photo's hash are put into every wrapper and every pair of wrappers; the short
files also in part (the middle half) and in three parts that are sent one by one; and sent over every carrier: as a body of HTTP/1 or HTTP/2 whose head declares the outermost
wrapper, as a WebSocket message without a word of what it is, or as the bytes of a TCP stream. Parts are deflated by the
WebSocket itself (RFC 7692); many parts come in pieces: chunks, padded DATA frames, fragments. A whole file must come
out as `exact`, parts as `partial` with every byte of them, message, contact and call as `record`, identifier and hash as
`identifier`, all of it probative. Long files, contact, call and hash go over one carrier each, by turns. A number is cells found of cells sent; `–` says that the wrapper cannot hold it (JSON holds no bytes
that are not text).

`tests/matrix_unknown.rs` sends what no wrapper made (XOR, a stream cipher, bytes turned round, base 85, base 32) in each
wrapper and over each carrier: nothing is found, and at least as many bytes as were changed are not called understood.

";
