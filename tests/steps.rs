//! Every step that a finding can name stands in docs/steps.md, with how it is repeated by hand; and what stands there is
//! done by Python, from the stream to the file.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    dead_code,
    reason = "a test may panic"
)]

#[path = "support/carry.rs"]
mod carry;
mod support;
#[path = "support/uploads.rs"]
mod uploads;
#[path = "support/wrap.rs"]
mod wrap;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::Arc,
};

use exhibit::{
    case::device::{Device, DeviceFile},
    engine::{
        correlate::{Catalog, Collector, FlowRef, Spool, conclude},
        decode::{
            Context, Conversation, Shared,
            sink::{LeafId, Origin, Sink, Source},
            walk,
        },
        net::stream::Stream,
        proto::keylog::KeyLog,
    },
    evidence::{Digest, Limits, Scratch, Transport, hex},
    findings::{Grade, Step},
};
use serde_json::json;

use carry::{CARRIERS, Cut, Declared};
use support::{peer, run, write};
use uploads::{Http, Naming, ranges};
use wrap::WRAPPERS;

/// A note with what coders escape, or a picture without pattern.
fn contents() -> [Vec<u8>; 2] {
    let noise = (0_u64..30).flat_map(|no| Digest::of(&no.to_be_bytes()).0);
    let words =
        ["Müller", "meets", "<Chan>", "at", "\"five\"", "& pays", "100%", "a+b=c", "微信", "back\\slash"];
    let note: String = (0..120_usize)
        .map(|no| {
            format!(
                "{}{}",
                words[usize::from(Digest::of(&no.to_be_bytes()).0[0]) % 10],
                if no % 9 == 8 { '\n' } else { ' ' }
            )
        })
        .collect();
    [b"\xff\xd8\xff\xe0\0\x10JFIF\0".iter().copied().chain(noise).collect(), note.into_bytes()]
}

/// Hands leaves on.
struct Leaves<'c>(Collector<'c>);

impl Sink for Leaves<'_> {
    fn open(&mut self, origin: Origin) -> LeafId {
        self.0.open(origin)
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], from: Source) {
        self.0.write(leaf, bytes, from);
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        self.0.close(leaf, steps);
    }
}

/// One way of a file out of a stream.
struct Way {
    name: String,
    sent: Vec<u8>,
    steps: Vec<Step>,
    leaf: std::ops::Range<usize>,
    digest: Digest,
}

/// Every whole file that is found in every wrapper over every carrier.
fn ways() -> Vec<Way> {
    let limits = Limits::default();
    let mut ways = Vec::new();
    for content in contents() {
        let digest = Digest::of(&content);
        let file = DeviceFile::new("file".to_owned(), Arc::new(content.clone())).unwrap();
        let devices = BTreeMap::from([("phone".to_owned(), Device { files: vec![file] })]);
        let catalog = Catalog::build(&devices, &BTreeMap::new(), &[], &limits).unwrap();
        for wrapper in WRAPPERS {
            let Some(payload) = wrapper.wrap(&content) else { continue };
            for (carrier, cut) in CARRIERS
                .iter()
                .flat_map(|one| [(one, Cut::Whole), (one, Cut::Pieces), (one, Cut::Compressed)])
            {
                let declared = Declared { coding: wrapper.coding, media: wrapper.media };
                let (sent, received) = carrier.carry(&payload, declared, cut);
                let name = format!("{} over {}, {cut:?}", wrapper.name, carrier.name());
                find(&catalog, (name, sent, received), digest, &mut ways);
            }
        }
        if str::from_utf8(&content).is_err() {
            // A "binary string": no wrapper for any bytes, since text without control characters is text as it stands.
            let sent = content.iter().copied().map(char::from).collect::<String>().into_bytes();
            find(&catalog, ("latin-1".to_owned(), sent, Vec::new()), digest, &mut ways);
        }
        for (http, coding) in HTTPS.into_iter().flat_map(|http| [(http, "gzip"), (http, "zstd")]) {
            let wrapper = WRAPPERS.iter().find(|wrapper| wrapper.name == coding).unwrap();
            let payload = wrapper.wrap(&content).unwrap();
            // The second part sends some bytes again.
            let len = payload.len();
            let cuts = [0..len / 3, len / 4..len / 2, len / 2..len];
            let sent = http.connection(&ranges(&payload, &cuts, Naming::ContentRange, None));
            let name = format!("{coding} in parts, {http:?}");
            let before = ways.len();
            find(&catalog, (name.clone(), sent, Vec::new()), digest, &mut ways);
            let new = &ways[before..];
            assert!(new.iter().any(|way| way.steps.iter().any(|step| step.op == "parts")), "{name}");
        }
    }
    ways
}

const HTTPS: [Http; 3] = [Http::One, Http::OneInChunks, Http::Two];

/// Adds the ways of a file out of what both ends sent.
fn find(
    catalog: &Catalog,
    (name, sent, received): (String, Vec<u8>, Vec<u8>),
    digest: Digest,
    ways: &mut Vec<Way>,
) {
    let (limits, keys, scratch) = (Limits::default(), KeyLog::default(), Scratch::new(std::env::temp_dir()));
    let (up, down) = (Stream::of_bytes(&sent), Stream::of_bytes(&received));
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (local, remote) = (address(40_000), address(8_080));
    let conversation = Conversation { transport: Transport::Tcp, up: &up, down: &down, local, remote };
    let spool = Spool::new(scratch.clone());
    let collector = Collector::new(catalog, &spool, FlowRef { capture: 0, flow: 0 }, &limits);
    let mut leaves = Leaves(collector);
    let context = Context::new(&limits, &keys, &scratch);
    walk(&conversation, &context, &mut Shared::default(), &mut leaves).unwrap();
    let harvest = leaves.0.finish().unwrap();
    let outcome = conclude(catalog, spool, vec![harvest], &limits).unwrap();
    let exact = outcome.hits.into_iter().filter(|hit| hit.grade == Grade::Exact);
    let before = ways.len();
    ways.extend(exact.map(|hit| Way {
        name: name.clone(),
        sent: sent.clone(),
        steps: hit.leaf.steps.clone(),
        leaf: hit.leaf_range.start as usize..hit.leaf_range.end as usize,
        digest,
    }));
    assert!(ways.len() > before, "{name}");
}

/// The page.
fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/steps.md")).unwrap()
}

/// The steps that the page's table names.
fn documented() -> BTreeSet<String> {
    let page = page();
    let rows =
        page.lines().skip_while(|line| *line != "## Every step").filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2));
    names.map(str::to_owned).collect()
}

/// What looks like a step's name in the code that gives steps: words with a dot between, outside tests.
fn in_code(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            in_code(&path, names);
        }
        if path.is_dir() || name == "tests.rs" || !name.ends_with(".rs") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        for text in code.split('"').skip(1).step_by(2) {
            let is_word = |word: &str| {
                word.starts_with(|c: char| c.is_ascii_lowercase())
                    && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            };
            if text.split_once('.').is_some_and(|(first, second)| is_word(first) && is_word(second)) {
                names.insert(text.to_owned());
            }
        }
    }
}

#[test]
fn every_step_that_can_be_named_is_explained() {
    let documented = documented();
    let mut names = BTreeSet::new();
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine");
    in_code(&engine.join("decode"), &mut names);
    in_code(&engine.join("codec"), &mut names);
    assert!(names.len() > 50 && names.contains("zip.deflated"), "{names:?}");
    // Names without a dot, those that are put together, as they come out, and the one that other rooms know.
    names.extend(
        ["stream.last", "tls.decrypt", "dtls.decrypt", "after-gap", "starttls", "parts", Step::ACROSS]
            .map(str::to_owned),
    );
    names.extend(ways().into_iter().flat_map(|way| way.steps).map(|step| step.op));
    let missing: Vec<&String> = names.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/steps.md does not explain {missing:?}");
    let gone: Vec<&String> = documented.difference(&names).collect();
    assert!(gone.is_empty(), "docs/steps.md explains what the code does not name: {gone:?}");
}

#[test]
fn python_repeats_the_steps_from_the_stream_to_the_file() {
    let Some(python) = peer("python3") else { return };
    let missing = |op: &str, tool: &str| op == tool && !on_path(if op == "br" { "brotli" } else { tool });
    let folder = tempfile::tempdir().unwrap();
    let program = page().split("```python\n").nth(1).unwrap().split("```").next().unwrap().to_owned();
    write(&folder.path().join("steps.py"), program);
    // One run for all: a list of streams, steps and what must come out.
    let driver = "import hashlib, json, steps\n\
        for way in json.load(open('ways.json')):\n\
        \x20   layer = steps.replay(bytes.fromhex(way['sent']), way['steps'])\n\
        \x20   leaf = layer[way['leaf'][0]:way['leaf'][1]]\n\
        \x20   print(hashlib.sha256(leaf).hexdigest() == way['digest'], way['name'])\n";
    write(&folder.path().join("driver.py"), driver);
    let mut done = BTreeSet::new();
    let ways: Vec<Way> = ways()
        .into_iter()
        .filter(|way| way.steps.iter().all(|step| !missing(&step.op, "br") && !missing(&step.op, "zstd")))
        .collect();
    let list: Vec<_> = ways
        .iter()
        .map(|way| {
            done.extend(way.steps.iter().map(|step| step.op.clone()));
            json!({"name": way.name, "sent": hex(&way.sent), "steps": way.steps, "leaf": [way.leaf.start, way.leaf.end],
                "digest": way.digest.to_string()})
        })
        .collect();
    write(&folder.path().join("ways.json"), serde_json::to_string(&list).unwrap());
    let printed = run(Command::new(python).arg("driver.py").current_dir(folder.path()));
    let wrong: Vec<&str> = printed.lines().filter(|line| !line.starts_with("True ")).collect();
    assert_eq!(printed.lines().count(), ways.len());
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), ways.len());
    assert!(done.len() >= 28, "{done:?}");
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
