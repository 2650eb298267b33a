//! Random models of what a phone does, each verdict held against the truth: no false verdict, and few that are left open
//! where the rules settle them.
//!
//! 200 models in an ordinary run, 2,000 with `EXHIBIT_SOAK=1`; `EXHIBIT_MODEL=17` plays one and prints what came of it.
//! The table of docs/error-rates.md is written anew with `EXHIBIT_BLESS=1`.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic and read the environment"
)]

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use exhibit::{
    case::{Case, folder::Folder},
    engine,
    evidence::{Blob, Limits, Scratch},
    findings::{Findings, Status, Verdict},
    lab::{self, Model, Sent},
};

#[path = "models/behaviour.rs"]
mod behaviour;
#[path = "models/truth.rs"]
mod truth;

use behaviour::Behaviour;
use truth::{Class, Truth, Truths};

/// Files beside the scenario.
const BESIDE: [(&str, &str); 3] = [
    (
        "preferences.json",
        r#"{"type": "object", "properties": {"theme": {"enum": ["light", "dark"]}}, "additionalProperties": false}"#,
    ),
    // What is only typed is not accounted for; its name is.
    (
        "device.json",
        r#"{"type": "object", "properties": {"imei": {"type": "string"}, "msisdn": {"type": "string"}, "id": {"type": "string"}, "text": {"type": "string"}}, "additionalProperties": false}"#,
    ),
    ("rom.sha256", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  rom.img\n"),
];

/// A scenario folder in memory.
struct Held(BTreeMap<String, Arc<Vec<u8>>>);

impl Folder for Held {
    fn open(&self, path: &str) -> io::Result<Arc<dyn Blob>> {
        let found = self.0.get(path).cloned();
        found.map(|bytes| bytes as Arc<dyn Blob>).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let below = format!("{}/", path.trim_end_matches('/'));
        let is_there = |name: &&String| *name == path || name.starts_with(&below) || path == ".";
        let found: Vec<String> = self.0.keys().filter(is_there).cloned().collect();
        if found.is_empty() { Err(io::Error::from(io::ErrorKind::NotFound)) } else { Ok(found) }
    }
}

/// Plays a model and analyses what came of it.
fn play(behaviour: &Behaviour) -> (Vec<Sent>, Findings) {
    let text = behaviour.model();
    let model = Model::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let played = lab::play(&model, model.seed).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut files: BTreeMap<String, Arc<Vec<u8>>> =
        played.files().map(|made| (made.path.clone(), Arc::new(made.bytes.clone()))).collect();
    let beside = BESIDE.map(|(path, text)| (path, text.to_owned()));
    for (path, text) in beside.into_iter().chain([("scenario.yaml", behaviour.scenario())]) {
        files.insert(path.to_owned(), Arc::new(text.into_bytes()));
    }
    let scratch = Scratch::new(env::temp_dir());
    let case = Case::open(&Held(files), "scenario.yaml", &scratch)
        .unwrap_or_else(|error| panic!("{error}\n{}", behaviour.scenario()));
    let limits = Limits { threads: 1, ..Limits::default() };
    let findings = engine::analyze(&case, &scratch, &limits).unwrap().findings;
    (played.sent, findings)
}

/// One verdict beside what is true.
struct Judged {
    model: u64,
    verdict: Verdict,
    truth: Truth,
}

impl Judged {
    fn is_statistical(&self) -> bool {
        self.verdict.grade.as_deref().is_some_and(|grade| grade.contains("statistical"))
    }

    fn is_false(&self) -> bool {
        match self.verdict.status {
            Status::Supported => !self.truth.holds,
            Status::Refuted => self.truth.holds,
            _ => false,
        }
    }

    fn is_open(&self) -> bool {
        self.verdict.status == Status::Inconclusive
    }
}

fn judged(number: u64, findings: &Findings, truths: &Truths) -> Vec<Judged> {
    let one = |verdict: &Verdict| Judged {
        model: number,
        truth: truths.of[verdict.id.as_str()],
        verdict: verdict.clone(),
    };
    findings.claims.iter().map(one).collect()
}

/// Pairs of supported verdicts that can't both be true.
fn contradictions(judged: &[Judged], clear: &std::collections::BTreeSet<Class>) -> Vec<String> {
    let is_supported =
        |id: &str| judged.iter().any(|one| one.verdict.id == id && one.verdict.status == Status::Supported);
    let mut pairs = Vec::new();
    for (id, class) in [("L2", Class::Photo), ("L3", Class::Message), ("L4", Class::Identifier)] {
        for (denied, counts) in [("X1", true), ("X4", true), ("X5", clear.contains(&class))] {
            if counts && is_supported(denied) && is_supported(id) {
                pairs.push(format!("model {}: {denied} and {id}", judged[0].model));
            }
        }
    }
    pairs
}

/// Plays models on all processors; results in the order of the models.
fn all(count: u64, full_every: u64) -> (Vec<Judged>, Vec<String>) {
    let next = AtomicU64::new(0);
    let done = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let behaviour = Behaviour::drawn(number, full_every);
                    let (sent, findings) = play(&behaviour);
                    let truths = truth::of(&behaviour, &sent);
                    let judged = judged(number, &findings, &truths);
                    let pairs = contradictions(&judged, &truths.clear);
                    done.lock().unwrap().insert(number, (judged, pairs));
                }
            });
        }
    });
    let done = done.into_inner().unwrap();
    assert_eq!(done.len() as u64, count, "a model was not played to its end");
    let (judged, pairs): (Vec<_>, Vec<_>) = done.into_values().unzip();
    (judged.into_iter().flatten().collect(), pairs.into_iter().flatten().collect())
}

fn say(one: &Judged) -> String {
    let Judged { model, verdict, truth } = one;
    let said = format!("{} {:?} {:?} {:?}", verdict.id, verdict.status, verdict.grade, verdict.reasons);
    format!("model {model}: {said}; truly {truth:?}")
}

/// The most false ones of `tests` at `alpha` that 99.9 of 100 such series stay within (binomial).
fn bound(tests: usize, alpha: f64) -> usize {
    let mut mass = (1.0 - alpha).powi(i32::try_from(tests).unwrap());
    let (mut below, mut most) = (mass, 0_usize);
    while below < 0.999 && most < tests {
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let ratio = (tests - most) as f64 / (most + 1) as f64;
        mass *= ratio * alpha / (1.0 - alpha);
        most += 1;
        below += mass;
    }
    most
}

#[test]
fn no_verdict_is_false_and_few_are_left_open() {
    if let Some(number) = env::var("EXHIBIT_MODEL").ok().and_then(|number| number.parse().ok()) {
        return show(number);
    }
    let soak = env::var_os("EXHIBIT_SOAK").is_some();
    let count = if soak { 2_000 } else { 200 };
    let (judged, pairs) = all(count, FULL_EVERY);
    let table = table(count, &judged);
    println!("{table}");

    let statistical = |one: &&Judged| one.is_statistical();
    let wrong: Vec<String> =
        judged.iter().filter(|one| one.is_false() && !one.is_statistical()).map(say).collect();
    assert!(wrong.is_empty(), "{} false verdicts\n{}", wrong.len(), wrong.join("\n"));
    let untrue = judged.iter().filter(|one| !one.truth.holds).count();
    let by_chance = judged.iter().filter(statistical).filter(|one| one.is_false()).count();
    assert!(by_chance <= bound(untrue, 0.01), "{by_chance} false verdicts by statistics of {untrue}");
    assert!(pairs.is_empty(), "{}", pairs.join("\n"));
    for (how, settles) in
        [("presence", by_presence as fn(&Judged) -> bool), ("absence", by_absence as fn(&Judged) -> bool)]
    {
        let settled: Vec<&Judged> = judged.iter().filter(|one| settles(one)).collect();
        let open: Vec<String> = settled.iter().filter(|one| one.is_open()).map(|one| say(one)).collect();
        assert!(settled.len() >= 20, "{} are settled by {how}", settled.len());
        assert!(
            open.len() * 20 <= settled.len(),
            "{} of {} that {how} settles are left open\n{}",
            open.len(),
            settled.len(),
            open.join("\n")
        );
    }
    if !soak {
        is_written(&table);
    }
}

/// Every 25th model has 60 windows.
const FULL_EVERY: u64 = 25;

fn by_presence(one: &Judged) -> bool {
    one.truth.by_presence
}

fn by_absence(one: &Judged) -> bool {
    one.truth.by_absence && !one.truth.by_presence
}

/// One model in full, for whoever looks into it; its folder is written where `EXHIBIT_KEEP` says.
fn show(number: u64) {
    let behaviour = Behaviour::drawn(number, FULL_EVERY);
    if let Some(folder) = env::var_os("EXHIBIT_KEEP") {
        let at = Path::new(&folder);
        fs::create_dir_all(at).unwrap();
        BESIDE.iter().for_each(|(name, text)| fs::write(at.join(name), text).unwrap());
        fs::write(at.join("lab.yaml"), behaviour.model()).unwrap();
        fs::write(at.join("scenario.yaml"), behaviour.scenario()).unwrap();
    }
    let (sent, findings) = play(&behaviour);
    println!("{behaviour:#?}");
    for one in judged(number, &findings, &truth::of(&behaviour, &sent)) {
        println!("{}{}", say(&one), if one.is_false() { " FALSE" } else { "" });
    }
}

fn table(count: u64, judged: &[Judged]) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "# Error rates\n\n\
         <!-- EXHIBIT_BLESS=1 cargo test --test models -->\n\n\
         {count} random models of what a phone does, played by the laboratory and analysed like any case. A model draws what is \
         sent (photo, message, identifier, plain or hashed or behind a secret, preferences, public pages, bytes of no known \
         format, and things that look like one of these and are none), on which trigger, in which phases, in which wrapper and \
         carrier, with or without session keys, to whom, always or by chance; frames that the capture lost; another image than \
         the declared one. What is true of a claim is known from the model and from the laboratory's own list of what was sent. \
         One model in {FULL_EVERY} has 60 windows in `stock`, as absence needs; the others have one or two.\n\n\
         **Settled** counts verdicts that the rules settle: by something readable that was sent, or by nothing having been sent where \
         everything that absence needs was there. **Open** counts those of them that came out inconclusive.\n\n"
    );
    text.push_str(
        "| claim | truly | verdicts | supported | refuted | inconclusive | false | settled | open |\n",
    );
    text.push_str("|---|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for id in ["L1", "L2", "L3", "L4", "L5", "N1", "X1", "X2", "X3", "X4", "X5"] {
        for holds in [true, false] {
            let own: Vec<&Judged> =
                judged.iter().filter(|one| one.verdict.id == id && one.truth.holds == holds).collect();
            let count = |test: &dyn Fn(&Judged) -> bool| own.iter().filter(|one| test(one)).count();
            let status = |wanted: Status| count(&|one| one.verdict.status == wanted);
            let settled = |one: &Judged| one.truth.by_presence || one.truth.by_absence;
            let _ = writeln!(
                text,
                "| {id} | {} | {} | {} | {} | {} | {} | {} | {} |",
                if holds { "holds" } else { "does not" },
                own.len(),
                status(Status::Supported),
                status(Status::Refuted),
                status(Status::Inconclusive),
                count(&Judged::is_false),
                count(&settled),
                count(&|one| settled(one) && one.is_open()),
            );
        }
    }
    text.push_str("\nWhy verdicts were inconclusive (one verdict may have several reasons):\n\n| reason | verdicts |\n|---|---:|\n");
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in judged.iter().filter(|one| one.is_open()).flat_map(|one| &one.verdict.reasons) {
        *reasons.entry(reason).or_default() += 1;
    }
    for (reason, count) in reasons {
        let _ = writeln!(text, "| {reason} | {count} |");
    }
    text
}

/// Compares the published table with what came out; `EXHIBIT_BLESS=1` writes it.
fn is_written(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/error-rates.md");
    if env::var_os("EXHIBIT_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, table).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == table,
        "docs/error-rates.md says something else: EXHIBIT_BLESS=1 writes it anew\n{table}"
    );
}
