//! The grammar's types to the plan: every name looked up, every default filled in.
//!
//! All problems are gathered, so that one look at `check` shows them all.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    claims, deeds,
    deeds::ShortRuns,
    grammar::{self, Scenario},
    plan::{
        Action, Beacon, Budget, CapturePoint, Epoch, Phase, Phone, Plan, PlannedSpikes, PlannedTwin, Reply,
        Role, Source,
    },
    problem::{Problem, Severity, did_you_mean, word},
    seed::frozen_digest,
    terms::{self, Terms},
    values::{At, Place, Text},
    words::{EpochKind, Order, RoleWord, Sham},
};

/// A plan that people can carry out has dozens.
const MAX_PHASES: usize = 1_000;
/// Layers that are taken off at most (`Limits`): bytes that are wrapped more often are no upload that anybody wrote.
const MAX_LAYERS: u32 = 12;
/// An operator does a dozen in a run.
const MAX_ACTIONS: usize = 1_000;
/// The longest list of claims from one article had fifteen.
const MAX_CLAIMS: usize = 1_000;
/// Each word of a claim takes one.
const MAX_TERMS: usize = 1_000;
/// Windows that absence needs: with 59 of 59, the lower 95 % bound of a rate reaches 0.95.
const MIN_WINDOWS: u32 = 59;
/// The lower 95 % bound that spike recall must reach at least.
const MIN_RECALL: f64 = 0.95;
/// Random content below this many bits meets itself by chance in a gigabyte.
const MIN_ENTROPY_BITS: u64 = 70;

/// The phase of a scenario that names none.
pub(crate) const ONLY_PHASE: &str = "capture";

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// Captured traffic, perhaps with `*`.
    Capture,
    /// Session keys.
    Keys,
    /// A folder of the phone's files.
    Files,
    /// One of the phone's files, below such a folder.
    DeviceFile,
    /// An image's digest.
    Provenance,
    /// A schema of what is declared public.
    Schema,
}

/// A path that a scenario names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathUse {
    /// The path as written, without a leading `./`: an input has one logical path.
    pub path: String,
    /// What it is for.
    pub kind: PathKind,
    /// Where it is written.
    pub place: Place,
}

impl PathUse {
    pub(crate) fn new(path: &At<Text>, kind: PathKind) -> Self {
        Self { path: straight(path), kind, place: path.place }
    }
}

/// A path without a leading `./`, under which the bundle will know the input too.
pub(crate) fn straight(path: &str) -> String {
    match path.trim_start_matches("./") {
        "" if !path.is_empty() => ".".to_owned(),
        straight => straight.to_owned(),
    }
}

/// Names that other parts of a scenario may use.
#[derive(Default)]
pub(crate) struct Names<'a> {
    pub(crate) phases: BTreeSet<&'a str>,
    pub(crate) actions: BTreeSet<&'a str>,
    pub(crate) canaries: BTreeSet<&'a str>,
    pub(crate) identifiers: BTreeSet<&'a str>,
    pub(crate) sources: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(scenario: &'a Scenario) -> Self {
        let mut names = Self::default();
        for phase in scenario.phases.iter().flatten() {
            names.phases.insert(&phase.id);
            names.actions.extend(phase.actions.iter().flatten().map(|deed| deed.id.0.as_str()));
        }
        if scenario.phases.is_none() {
            names.phases.insert(ONLY_PHASE);
        }
        names.actions.extend(
            scenario.actions.iter().flat_map(|actions| &actions.list).map(|action| action.id.0.as_str()),
        );
        names.canaries.extend(
            scenario.canaries.iter().flat_map(|canaries| canaries.keys()).map(|name| name.0.as_str()),
        );
        names
            .sources
            .extend(scenario.sources.iter().flat_map(|sources| sources.keys()).map(|name| name.0.as_str()));
        let identifiers = scenario.phone.iter().filter_map(|phone| phone.identifiers.as_ref());
        names.identifiers.extend(identifiers.flat_map(|map| map.keys()).map(|name| name.0.as_str()));
        names
    }
}

/// A scenario with its names resolved.
pub(crate) struct Resolved {
    pub(crate) plan: Plan,
    pub(crate) shorts: Vec<ShortRuns>,
    pub(crate) paths: Vec<PathUse>,
    pub(crate) warnings: Vec<Problem>,
}

/// Looks up every name and fills in every default.
///
/// # Errors
/// Every problem, warnings among them.
pub(crate) fn resolve(scenario: &Scenario) -> Result<Resolved, Vec<Problem>> {
    let mut resolver =
        Resolver { scenario, names: Names::of(scenario), problems: Vec::new(), paths: Vec::new() };
    let resolved = resolver.resolve();
    let problems = resolver.problems;
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(problems);
    }
    Ok(Resolved { warnings: problems, paths: resolver.paths, ..resolved })
}

pub(crate) struct Resolver<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) names: Names<'a>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) paths: Vec<PathUse>,
}

impl Resolver<'_> {
    fn resolve(&mut self) -> Resolved {
        let scenario = self.scenario;
        self.version(&scenario.exhibit);
        self.counts();
        let no_terms = BTreeMap::new();
        let declared = scenario.terms.as_ref().unwrap_or(&no_terms);
        let terms = Terms::resolve(declared, &self.names, &mut self.problems);
        self.paths.extend(terms::paths(declared, &self.names));
        self.canaries();
        let mut phases = self.phases();
        let mut actions = self.actions(&phases);
        let shorts = deeds::read(self, &mut actions);
        require_actions(scenario, &mut phases, &actions);
        self.controls();
        let claims = claims::read(self, &terms, &phases);
        let title = scenario.title.as_ref().map(|title| title.0.clone());
        let plan = Plan {
            id: self.id(),
            title: title.or_else(|| claims.first().map(|claim| claim.says.clone())).unwrap_or_default(),
            simulated: scenario.simulated.unwrap_or(false),
            epoch: scenario.epoch.as_ref().map(|epoch| match epoch.kind {
                EpochKind::Live => Epoch::Live,
                EpochKind::Relab => Epoch::Relab,
            }),
            sources: self.sources(),
            phone: self.phone(),
            captured_at: scenario.captured_at.as_ref().map(|at| CapturePoint {
                point: at.point.name().to_owned(),
                sees: at.sees.iter().flatten().map(|link| link.name().to_owned()).collect(),
                blind_to: at.blind_to.iter().flatten().map(|link| link.name().to_owned()).collect(),
            }),
            max_skew_ms: scenario.clocks.as_ref().and_then(skew),
            probe_every_ms: scenario.clocks.as_ref().and_then(probe_every),
            phases,
            actions,
            claims,
            declared: terms::may_be_sent(declared),
            windows_needed: self.windows(),
            spike_recall: scenario
                .gates
                .as_ref()
                .and_then(|gates| gates.spike_recall.as_ref())
                .map_or(MIN_RECALL, |recall| recall.value.max(MIN_RECALL)),
            spikes: scenario.controls.as_ref().and_then(|controls| controls.spikes.as_ref()).map(|spikes| {
                PlannedSpikes {
                    over: spikes.over.iter().map(|carrier| carrier.name().to_owned()).collect(),
                    each: spikes.each.value,
                }
            }),
            twin: scenario
                .controls
                .as_ref()
                .and_then(|controls| controls.twin.as_ref())
                .map(|twin| PlannedTwin { phase: twin.phase.0.clone(), compare: twin.compare.clone() }),
            entropy_bits: scenario
                .canaries
                .iter()
                .flatten()
                .filter_map(|(name, canary)| Some((name.0.clone(), canary.entropy_bits.as_ref()?.value)))
                .collect(),
            decoys: scenario
                .controls
                .as_ref()
                .and_then(|controls| controls.decoys.as_ref())
                .map(|decoys| decoys.value),
            randomized: randomized(scenario),
            washout_ms: washout(scenario),
            beacon: scenario
                .beacon
                .as_ref()
                .map(|beacon| Beacon { value: beacon.value.0.clone(), source: beacon.source.0.clone() }),
            budget: self.budget(),
            reply: scenario
                .reply
                .as_ref()
                .map(|reply| Reply { party: reply.party.0.clone(), days: reply.days.value }),
            frozen: frozen_digest(scenario),
            frozen_sections: scenario.freeze.clone().unwrap_or_default(),
            not_acted_on: not_acted_on(scenario),
        };
        self.check_paths();
        Resolved { plan, shorts, paths: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::error(place, message).help(help));
    }

    pub(crate) fn dangling<'n>(
        &mut self,
        kind: &str,
        name: &At<Text>,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        self.problems.push(Problem {
            help: did_you_mean(name, known).or_else(|| Some(format!("the scenario declares no {kind}"))),
            ..Problem::error(name.place, format!("no {kind} named {}", word(name)))
        });
    }

    pub(crate) fn phase_known(&mut self, name: &At<Text>) {
        if !self.names.phases.contains(name.0.as_str()) {
            let known: Vec<&str> = self.names.phases.iter().copied().collect();
            self.dangling("phase", name, known);
        }
    }

    pub(crate) fn action_known(&mut self, name: &At<Text>) {
        if !self.names.actions.contains(name.0.as_str()) {
            let known: Vec<&str> = self.names.actions.iter().copied().collect();
            self.dangling("action", name, known);
        }
    }

    fn version(&mut self, version: &At<u64>) {
        if version.value != 1 {
            self.error(
                version.place,
                format!("grammar version {} is not known here", version.value),
                "this version reads `exhibit: 1`",
            );
        }
    }

    fn counts(&mut self) {
        let scenario = self.scenario;
        let counts = [
            ("phases", scenario.phases.as_ref().map_or(0, Vec::len), MAX_PHASES),
            ("actions", scenario.actions.as_ref().map_or(0, |actions| actions.list.len()), MAX_ACTIONS),
            ("claims", scenario.claims.len(), MAX_CLAIMS),
            ("terms", scenario.terms.as_ref().map_or(0, BTreeMap::len), MAX_TERMS),
        ];
        for (name, count, most) in counts {
            if count > most {
                self.error(
                    Place::default(),
                    format!("{count} {name}: more than {most}"),
                    "split the scenario",
                );
            }
        }
        if scenario.claims.is_empty() {
            self.error(Place::default(), "no claims", "a scenario tests at least one: `claims: [{says: the phone will upload photos, uploads: photo}]`");
        }
    }

    fn id(&mut self) -> String {
        match &self.scenario.id {
            Some(id) => {
                self.check_id("id", id);
                id.0.clone()
            }
            None => "case".to_owned(),
        }
    }

    /// Ids stand in file names and in window names, so they are plain.
    pub(crate) fn check_id(&mut self, kind: &str, id: &At<Text>) {
        let start = id.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let rest = id
            .bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'_' | b'-'));
        if !(start && rest && id.len() <= 64) {
            self.error(
                id.place,
                format!("{} can't be the {kind}", word(id)),
                "lower-case letters, digits, `.`, `_`, `-`, a letter or digit first; at most 64",
            );
        }
    }

    fn unique<'n>(&mut self, kind: &str, ids: impl IntoIterator<Item = &'n At<Text>>) {
        let mut seen = BTreeSet::new();
        for id in ids {
            if !seen.insert(id.0.as_str()) {
                self.error(id.place, format!("a second {kind} named {}", word(id)), "give each its own name");
            }
        }
    }

    fn sources(&mut self) -> BTreeMap<String, Source> {
        let source = |source: &grammar::Source| Source {
            title: source.title.0.clone(),
            publisher: source.publisher.as_ref().map(|name| name.0.clone()),
        };
        self.scenario
            .sources
            .iter()
            .flatten()
            .map(|(name, written)| (name.0.clone(), source(written)))
            .collect()
    }

    fn phone(&mut self) -> Phone {
        let Some(phone) = &self.scenario.phone else { return Phone::default() };
        let mut addresses = Vec::new();
        for text in phone.addresses.iter().flat_map(|names| &names.0) {
            match text.parse::<IpAddr>() {
                Ok(address) => addresses.push(address),
                Err(_) => self.error(
                    text.place,
                    format!("{} is no IP address", word(text)),
                    "such as `192.168.43.17`",
                ),
            }
        }
        let mac = phone.mac.as_ref().and_then(|mac| self.mac(mac));
        if let Some(rom) = phone.provenance.iter().find_map(|provenance| provenance.rom.as_ref()) {
            self.paths.push(PathUse::new(rom, PathKind::Provenance));
        }
        let mut identifiers = BTreeMap::new();
        for (name, value) in phone.identifiers.iter().flatten() {
            self.check_id("name of an identifier", name);
            if value.trim().is_empty() {
                self.error(
                    value.place,
                    format!("the identifier {} is empty", word(name)),
                    "leave it out, or give its value",
                );
            }
            identifiers.insert(name.0.clone(), value.0.clone());
        }
        let salts = phone.salts.iter().flatten().map(|salt| salt.0.clone()).collect();
        Phone {
            model: phone.model.as_ref().map(|model| model.0.clone()),
            mac,
            addresses,
            only_client: phone.only_client == Some(true),
            identifiers,
            salts,
            rom: phone
                .provenance
                .iter()
                .find_map(|provenance| provenance.rom.as_deref())
                .map(|rom| straight(rom)),
        }
    }

    fn mac(&mut self, mac: &At<Text>) -> Option<String> {
        let parts: Vec<&str> = mac.split([':', '-']).collect();
        let octet = |part: &&str| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit());
        if parts.len() == 6 && parts.iter().all(octet) {
            return Some(parts.join(":").to_lowercase());
        }
        self.error(
            mac.place,
            format!("{} is no hardware address", word(mac)),
            "six pairs of hex digits: \"64:09:80:00:00:01\"",
        );
        None
    }

    fn canaries(&mut self) {
        for (name, canary) in self.scenario.canaries.iter().flatten() {
            self.check_id("name of a canary", name);
            if let Some(bits) = &canary.entropy_bits
                && bits.value < MIN_ENTROPY_BITS
                && canary.needs.is_none()
            {
                self.error(
                    bits.place,
                    format!("{} bits are too few for {}", bits.value, word(name)),
                    format!("at least {MIN_ENTROPY_BITS}, or `needs: field_context`"),
                );
            }
        }
    }

    fn phases(&mut self) -> Vec<Phase> {
        let scenario = self.scenario;
        let Some(written) = &scenario.phases else {
            return vec![Phase { id: ONLY_PHASE.to_owned(), repeat: 1, ..Phase::default() }];
        };
        for key in [&scenario.capture, &scenario.files].into_iter().flatten() {
            self.error(
                key.place,
                "beside `phases` this can't be told to belong to one",
                "move it into its phase",
            );
        }
        for key in [&scenario.captures, &scenario.keys].into_iter().flatten().flat_map(|names| &names.0) {
            self.error(
                key.place,
                "beside `phases` this can't be told to belong to one",
                "move it into its phase",
            );
        }
        if written.is_empty() {
            self.error(
                Place::default(),
                "`phases` is empty",
                "leave the key out for one capture without phases",
            );
        }
        self.unique("phase", written.iter().map(|phase| &phase.id));
        written.iter().map(|phase| self.phase(phase)).collect()
    }

    fn phase(&mut self, phase: &grammar::Phase) -> Phase {
        self.check_id("id of a phase", &phase.id);
        if let Some(from) = &phase.from
            && !matches!(from.0.as_str(), "factory-reset" | "wipe")
        {
            if from.0 == phase.id.0 {
                self.error(
                    from.place,
                    "the phase starts from itself",
                    "name another, `factory-reset` or `wipe`",
                );
            } else if !self.names.phases.contains(from.0.as_str()) {
                let known: Vec<&str> =
                    self.names.phases.iter().copied().chain(["factory-reset", "wipe"]).collect();
                self.dangling("phase", from, known);
            }
        }
        if let Some(rom) = &phase.rom {
            self.paths.push(PathUse::new(rom, PathKind::Provenance));
        }
        if let Some(first) = &phase.starts_with {
            self.action_known(first);
        }
        if let Some(repeat) =
            phase.repeat.as_ref().filter(|repeat| repeat.value == 0 || repeat.value > 100_000)
        {
            self.error(repeat.place, format!("{} runs", repeat.value), "from 1 to 100000");
        }
        Phase {
            id: phase.id.0.clone(),
            role: match phase.role.unwrap_or(RoleWord::Subject) {
                RoleWord::Subject => Role::Subject,
                RoleWord::NegativeControl => Role::NegativeControl,
                RoleWord::PositiveControl => Role::PositiveControl,
            },
            from: phase.from.as_ref().map(|from| from.0.clone()),
            rom: phase.rom.as_deref().map(|rom| straight(rom)),
            require: phase.require.iter().flatten().map(|requirement| requirement.value.clone()).collect(),
            repeat: phase.repeat.as_ref().map_or(1, |repeat| repeat.value),
            window_ms: phase.window.as_ref().map(|window| window.value.value),
            actions: Vec::new(),
        }
    }

    fn actions(&mut self, phases: &[Phase]) -> Vec<Action> {
        let Some(actions) = &self.scenario.actions else { return Vec::new() };
        self.unique("action", actions.list.iter().map(|action| &action.id));
        actions.list.iter().map(|action| self.action(action, phases)).collect()
    }

    fn action(&mut self, action: &grammar::Action, phases: &[Phase]) -> Action {
        self.check_id("id of an action", &action.id);
        for phase in action.phases.iter().flat_map(|names| &names.0) {
            self.phase_known(phase);
        }
        if let Some(sham) = &action.sham {
            let built_in = Sham::ALL.iter().map(|(_, name, _)| *name);
            if !self.names.actions.contains(sham.0.as_str()) && !built_in.clone().any(|name| name == sham.0) {
                let known: Vec<&str> = self.names.actions.iter().copied().chain(built_in).collect();
                self.dangling("sham", sham, known);
            }
        }
        if let Some(of) = &action.of {
            self.artifact_known(of);
        }
        for made in action.makes.iter().flat_map(|names| &names.0) {
            self.made(made);
        }
        let everywhere =
            phases.iter().filter(|phase| phase.role != Role::NegativeControl).map(|phase| phase.id.clone());
        Action {
            id: action.id.0.clone(),
            verb: action.verb.name().to_owned(),
            phases: action.phases.as_ref().map_or_else(|| everywhere.collect(), super::values::Names::texts),
            makes: action.makes.as_ref().map(super::values::Names::texts).unwrap_or_default(),
            sham: action.sham.as_ref().map(|sham| sham.0.clone()),
        }
    }

    /// What an action makes: a canary, or a path of the phone's files.
    pub(crate) fn made(&mut self, made: &At<Text>) {
        if self.names.canaries.contains(made.0.as_str()) {
            return;
        }
        if made.contains(['/', '.']) {
            self.paths.push(PathUse::new(made, PathKind::DeviceFile));
            return;
        }
        let known: Vec<&str> = self.names.canaries.iter().copied().collect();
        self.dangling("canary or file", made, known);
    }

    fn artifact_known(&mut self, name: &At<Text>) {
        if !self.names.canaries.contains(name.0.as_str()) && !self.names.identifiers.contains(name.0.as_str())
        {
            let known: Vec<&str> =
                self.names.canaries.iter().chain(&self.names.identifiers).copied().collect();
            self.dangling("canary or identifier", name, known);
        }
    }

    fn controls(&mut self) {
        let scenario = self.scenario;
        if let Some(controls) = &scenario.controls {
            for name in controls.spikes.iter().flat_map(|spikes| &spikes.artifacts.0) {
                self.artifact_known(name);
            }
            if let Some(twin) = &controls.twin {
                self.phase_known(&twin.phase);
            }
        }
        for secret in scenario.redaction.iter().flat_map(|redaction| &redaction.secret.0) {
            self.artifact_known(secret);
        }
    }

    fn windows(&mut self) -> u32 {
        let gates = self.scenario.gates.as_ref();
        if let Some(recall) = gates.and_then(|gates| gates.spike_recall.as_ref())
            && !(0.0..=1.0).contains(&recall.value)
        {
            self.error(recall.place, format!("{} is no share", recall.value), "from 0 to 1, such as `0.95`");
        }
        let Some(windows) = gates.and_then(|gates| gates.windows.as_ref()) else { return MIN_WINDOWS };
        if windows.value < MIN_WINDOWS {
            self.problems.push(
                Problem::warning(windows.place, format!("{} windows are too few: {MIN_WINDOWS} are asked for", windows.value))
                    .help("59 of 59 put the lower 95 % bound of a rate at 0.95; a plan can ask for more, not for less"),
            );
        }
        windows.value.max(MIN_WINDOWS)
    }

    /// What decoding may spend: less than this version spends by itself, or as much.
    fn budget(&mut self) -> Budget {
        let planned = self.scenario.gates.as_ref().and_then(|gates| gates.budget.as_ref());
        let Some(planned) = planned else { return Budget::default() };
        if let Some(depth) = planned.depth.as_ref().filter(|depth| depth.value > MAX_LAYERS) {
            self.error(
                depth.place,
                format!("{} layers are more than are taken off", depth.value),
                format!("at most {MAX_LAYERS}"),
            );
        }
        Budget {
            depth: planned.depth.as_ref().map(|depth| depth.value),
            decoded_bytes: planned.decoded_bytes.as_ref().map(|bytes| bytes.value.value),
        }
    }

    /// Paths are relative to the scenario, so that the case can be moved and bundled.
    fn check_paths(&mut self) {
        for index in 0..self.paths.len() {
            let Some(path) = self.paths.get(index).cloned() else { return };
            let wrong = if path.path.is_empty() {
                "the path is empty"
            } else if path.path.starts_with('/')
                || path.path.get(1..3).is_some_and(|part| part == ":\\" || part == ":/")
            {
                "an absolute path"
            } else if path.path.contains('\\') {
                "a path with `\\`"
            } else {
                continue;
            };
            self.error(path.place, wrong, "write it relative to the scenario, with `/` between folders");
        }
    }
}

/// Names for each phase the actions that each of its runs must show.
fn require_actions(scenario: &Scenario, phases: &mut [Phase], actions: &[Action]) {
    for phase in phases {
        let written = scenario.phases.iter().flatten().find(|written| written.id.0 == phase.id);
        let first = written.and_then(|written| written.starts_with.as_ref()).map(|first| first.0.clone());
        phase.actions.extend(first);
        for action in actions {
            if action.phases.contains(&phase.id) && !phase.actions.contains(&action.id) {
                phase.actions.push(action.id.clone());
            }
        }
    }
}

/// Both clocks may be off, each by its own largest offset.
fn skew(clocks: &grammar::Clocks) -> Option<u64> {
    let of = |clock: &Option<grammar::Clock>| clock.as_ref()?.max_skew_ms.as_ref().map(|skew| skew.value);
    of(&clocks.phone).map(|phone| phone.saturating_add(of(&clocks.gateway).unwrap_or(0)))
}

/// How often clocks are compared: as the stricter one asks.
fn probe_every(clocks: &grammar::Clocks) -> Option<u64> {
    let of = |clock: &Option<grammar::Clock>| clock.as_ref()?.probe.as_ref().map(|every| every.value.value);
    [of(&clocks.phone), of(&clocks.gateway)].into_iter().flatten().min()
}

fn washout(scenario: &Scenario) -> Option<u64> {
    scenario.actions.as_ref()?.washout.as_ref().map(|washout| washout.value.value)
}

fn randomized(scenario: &Scenario) -> bool {
    scenario.actions.as_ref().is_some_and(|actions| actions.order == Some(Order::Randomized))
}

/// Keys that are read and checked, and that this version does nothing with.
fn not_acted_on(scenario: &Scenario) -> Vec<String> {
    let actions = || scenario.actions.iter().flat_map(|actions| &actions.list);
    let mut keys: Vec<String> = [
        ("redaction", scenario.redaction.is_some()),
        ("actions.evidence", actions().any(|action| action.evidence.is_some())),
    ]
    .into_iter()
    .filter(|(_, there)| *there)
    .map(|(key, _)| key.to_owned())
    .collect();
    keys.sort_unstable();
    keys
}
