//! Random models of what a phone does, each verdict held against the truth: no false verdict, and few that are left open
//! where the rules settle them.
//!
//! 200 models in an ordinary run, 2,000 with `EXHIBIT_SOAK=1` (a larger number: so many); `EXHIBIT_MODEL=17` plays one and prints what came of it.
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
    case::{Case, folder::Folder, scenario},
    engine,
    evidence::{Blob, Limits, Scratch},
    findings::{Findings, Status, Verdict},
    lab::{self, Model, Sent},
};

#[path = "models/behaviour.rs"]
mod behaviour;
#[path = "models/lots.rs"]
mod lots;
#[path = "models/mutations.rs"]
mod mutations;
#[path = "support/soak.rs"]
mod soak;
#[path = "models/truth.rs"]
mod truth;

use behaviour::Behaviour;
use lots::Lots;
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

/// A model of either kind.
#[derive(Debug)]
enum Drawn {
    Behaviour(Behaviour),
    Lots(Lots),
}

impl Drawn {
    /// Each fifth is watched by lot.
    fn new(number: u64) -> Self {
        if number % 5 == 2 {
            Self::Lots(Lots::drawn(number))
        } else {
            Self::Behaviour(Behaviour::drawn(number, FULL_EVERY))
        }
    }

    fn model(&self) -> String {
        match self {
            Self::Behaviour(behaviour) => behaviour.model(),
            Self::Lots(lots) => lots.model(),
        }
    }

    fn scenario(&self) -> String {
        match self {
            Self::Behaviour(behaviour) => behaviour.scenario(),
            Self::Lots(lots) => lots.scenario(),
        }
    }

    fn truths(&self, sent: &[Sent]) -> Truths {
        match self {
            Self::Behaviour(behaviour) => truth::of(behaviour, sent),
            Self::Lots(lots) => lots.truths(sent),
        }
    }
}

/// Plays a model and analyses what came of it.
fn play(drawn: &Drawn) -> (Vec<Sent>, Findings) {
    analyse(&drawn.model(), &drawn.scenario())
}

/// Plays a `lab.yaml` and analyses what came of it by a `scenario.yaml`.
fn analyse(model: &str, scenario: &str) -> (Vec<Sent>, Findings) {
    analyse_changed(model, scenario, |_| ())
}

/// The same with the folder's files changed in between.
fn analyse_changed(
    model: &str,
    scenario: &str,
    change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>),
) -> (Vec<Sent>, Findings) {
    let parsed =
        scenario::parse("scenario.yaml", scenario.as_bytes()).unwrap_or_else(|_| panic!("{scenario}"));
    let played = Model::parse(model)
        .map(|model| model.with_plan(&parsed.plan))
        .unwrap_or_else(|error| panic!("{error}\n{model}"));
    let played = lab::play(&played, played.seed).unwrap_or_else(|error| panic!("{error}\n{model}"));
    let mut files: BTreeMap<String, Vec<u8>> =
        played.files().map(|made| (made.path.clone(), made.bytes.clone())).collect();
    for (path, text) in BESIDE.into_iter().chain([("scenario.yaml", scenario)]) {
        files.insert(path.to_owned(), text.as_bytes().to_vec());
    }
    change(&mut files);
    let held = Held(files.into_iter().map(|(path, bytes)| (path, Arc::new(bytes))).collect());
    let scratch = Scratch::new(env::temp_dir());
    let case =
        Case::open(&held, "scenario.yaml", &scratch).unwrap_or_else(|error| panic!("{error}\n{scenario}"));
    let limits = Limits { threads: 1, ..Limits::default() };
    let findings = engine::analyze(&case, &scratch, &limits).unwrap().findings;
    (played.sent, findings)
}

/// One verdict beside what is true.
struct Judged {
    model: u64,
    verdict: Verdict,
    truth: Truth,
    watched: Watched,
}

/// How a model was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    /// Its content, as far as it can be read.
    Read,
    /// Its volume, without lots.
    Unordered,
    /// Its volume by lot, where nothing depends on the lots.
    Null,
    /// Its volume by lot.
    Lots,
}

impl Watched {
    fn of(drawn: &Drawn) -> Self {
        match drawn {
            Drawn::Behaviour(_) => Self::Read,
            Drawn::Lots(lots) if lots.is_null() => Self::Null,
            Drawn::Lots(lots) if lots.is_by_lot() => Self::Lots,
            Drawn::Lots(_) => Self::Unordered,
        }
    }
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

fn judged(number: u64, drawn: &Drawn, findings: &Findings, truths: &Truths) -> Vec<Judged> {
    let one = |verdict: &Verdict| Judged {
        model: number,
        watched: Watched::of(drawn),
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
fn all(count: u64) -> (Vec<Judged>, Vec<String>) {
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
                    let drawn = Drawn::new(number);
                    let (sent, findings) = play(&drawn);
                    let truths = drawn.truths(&sent);
                    let judged = judged(number, &drawn, &findings, &truths);
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
    let Judged { model, verdict, truth, .. } = one;
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
    let count = match soak::asked() {
        None => 200,
        Some(..=1) => 2_000,
        Some(count) => count,
    };
    let (judged, pairs) = all(count);
    let table = table(count, &judged);
    println!("{table}");

    let wrong: Vec<String> =
        judged.iter().filter(|one| one.is_false() && !one.is_statistical()).map(say).collect();
    assert!(wrong.is_empty(), "{} false verdicts\n{}", wrong.len(), wrong.join("\n"));
    // Each case keeps to 0.01 over all its tests.
    let Volume { null, by_chance, unordered, .. } = Volume::of(&judged);
    assert!(null >= 15, "{null} models whose volume means nothing");
    assert!(by_chance <= bound(null, 0.01), "{by_chance} of {null} models are supported by luck");
    assert_eq!(unordered, 0, "models supported by volume without lots");
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
    if soak::asked().is_none() {
        is_written(&table);
    }
}

/// What came of models that are watched by volume.
struct Volume {
    /// By lot, and nothing depends on the lots.
    null: usize,
    /// Of those: supported.
    by_chance: usize,
    /// Without lots: supported.
    unordered: usize,
    /// By lot, with photos: all, supported.
    with_photos: (usize, usize),
}

impl Volume {
    fn of(judged: &[Judged]) -> Self {
        let of = |watched: Watched, supported: bool| {
            let own = judged.iter().filter(|one| one.watched == watched && one.verdict.id == "L2");
            own.filter(|one| !supported || one.verdict.status == Status::Supported).count()
        };
        Self {
            null: of(Watched::Null, false),
            by_chance: of(Watched::Null, true),
            unordered: of(Watched::Unordered, true),
            with_photos: (of(Watched::Lots, false), of(Watched::Lots, true)),
        }
    }
}

/// Every 30th model has 60 windows.
const FULL_EVERY: u64 = 30;

fn by_presence(one: &Judged) -> bool {
    one.truth.by_presence
}

fn by_absence(one: &Judged) -> bool {
    one.truth.by_absence && !one.truth.by_presence
}

/// One model in full, for whoever looks into it; its folder is written where `EXHIBIT_KEEP` says.
fn show(number: u64) {
    let drawn = Drawn::new(number);
    if let Some(folder) = env::var_os("EXHIBIT_KEEP") {
        let at = Path::new(&folder);
        fs::create_dir_all(at).unwrap();
        BESIDE.iter().for_each(|(name, text)| fs::write(at.join(name), text).unwrap());
        fs::write(at.join("lab.yaml"), drawn.model()).unwrap();
        fs::write(at.join("scenario.yaml"), drawn.scenario()).unwrap();
    }
    let (sent, findings) = play(&drawn);
    println!("{drawn:#?}");
    for test in &findings.statistics {
        println!("{test:?}");
    }
    for one in judged(number, &drawn, &findings, &drawn.truths(&sent)) {
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
    let Volume { null, by_chance, with_photos: (with, supported), .. } = Volume::of(judged);
    let _ = writeln!(
        text,
        "\nOne model in five sends what nobody can read and is watched by lot. In {null} of them the volume has nothing to do with \
         photos: {by_chance} are supported by statistics (level 0.01). In {with} photos are sent, in some behind the sham as well: \
         {supported} are supported. Without lots none is."
    );
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

/// Model 59: a number that was all that its field held weighed as if it stood anywhere, since its plus is no part of it.
#[test]
fn a_number_fills_its_field_with_its_plus_and_without() {
    let mut behaviour = Behaviour::drawn(0, FULL_EVERY);
    let sends = |over, wrapper| behaviour::Rule {
        phases: vec![behaviour::STOCK],
        during: "rest",
        after_s: 3,
        what: behaviour::What::OwnNumber,
        wrapper,
        over,
        to: behaviour::CLOUD,
        chance: None,
    };
    let chance = |behaviour: &Behaviour, value: &str| {
        let field = format!("text: \"{value}\"");
        let model = behaviour.model().replace("identifier: own_number", &field);
        let findings = analyse(&model, &behaviour.scenario()).1;
        let finding = findings.findings.iter().find(|one| one.artifact == "identifier:own_number").unwrap();
        finding.chance.clone()
    };
    behaviour.phases = vec![(behaviour::STOCK, 1), (behaviour::CLOUD_ON, 1)];
    (behaviour.unrecorded, behaviour.other_image) = (0, false);
    for (over, wrapper) in [("http1", 0), ("http1", 1), ("tls13", 0)] {
        behaviour.keyed = vec![behaviour::STOCK];
        behaviour.rules = vec![sends(over, wrapper)];
        let bare = chance(&behaviour, "85298765432");
        assert_eq!(chance(&behaviour, "+85298765432"), bare, "{over}");
        assert_ne!(chance(&behaviour, "+852987654321, and more"), bare, "{over}");
    }
}
