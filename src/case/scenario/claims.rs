//! Claims: one test each, with its reading, its phases and what it does not cover.

use std::collections::BTreeSet;

use super::{
    grammar::{self, Test},
    plan::{Claim, NotCovered, Phase, Predicate, Role, Term},
    problem::{Problem, word},
    reading::reading,
    resolve::Resolver,
    terms::Terms,
    values::{At, Place, Text},
};

/// `all_of` inside `any_of` inside `each_phase` is as deep as a sentence goes.
const MAX_DEPTH: usize = 6;
/// Parts of one conjunction; a sentence has few.
const MAX_PARTS: usize = 100;
/// Settings that requirements know without a declaration.
const BUILT_IN_SETTINGS: [&str; 2] = ["backup", "cloud"];
/// Keys that make a test, as the help names them.
const TESTS: &str = "connects, uploads, never_uploads, only_uploads, encrypted, needs_consent, setting with is, all_of, any_of, each_phase, untestable";

/// Reads every claim.
pub(crate) fn read(resolver: &mut Resolver<'_>, terms: &Terms, phases: &[Phase]) -> Vec<Claim> {
    let taken: BTreeSet<&str> =
        resolver.scenario.claims.iter().flat_map(|claim| &claim.id).map(|id| id.0.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut claims = Vec::new();
    for (index, written) in resolver.scenario.claims.iter().enumerate() {
        let id = match &written.id {
            Some(id) => {
                check_id(resolver, id);
                if !seen.insert(id.0.clone()) {
                    resolver.error(
                        id.place,
                        format!("a second claim named {}", word(id)),
                        "give each its own name",
                    );
                }
                id.0.clone()
            }
            None => free_id(index, &taken),
        };
        let mut reader = Reader { resolver, terms, phases, written };
        claims.push(reader.claim(id));
    }
    claims
}

fn free_id(index: usize, taken: &BTreeSet<&str>) -> String {
    let mut id = format!("C{}", index + 1);
    while taken.contains(id.as_str()) {
        id.push('\'');
    }
    id
}

fn check_id(resolver: &mut Resolver<'_>, id: &At<Text>) {
    let fits = id.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
        && id.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && id.len() <= 32;
    if !fits {
        resolver.error(
            id.place,
            format!("{} can't be a claim's name", word(id)),
            "letters, digits, `.`, `_`, `-`; at most 32, such as `L2`",
        );
    }
}

struct Reader<'r, 'a, 't> {
    resolver: &'r mut Resolver<'a>,
    terms: &'t Terms,
    phases: &'t [Phase],
    written: &'a grammar::Claim,
}

impl Reader<'_, '_, '_> {
    fn claim(&mut self, id: String) -> Claim {
        let written = self.written;
        if let Some(source) = &written.source
            && !self.resolver.names.sources.contains(source.0.as_str())
        {
            let known: Vec<&str> = self.resolver.names.sources.iter().copied().collect();
            self.resolver.dangling("source", source, known);
        }
        for (name, text) in [("says", Some(&written.says)), ("reading", written.reading.as_ref())] {
            if let Some(text) = text.filter(|text| text.trim().is_empty()) {
                self.resolver.error(text.place, format!("`{name}` is empty"), "write the words");
            }
        }
        let predicate = self.whole_test();
        let phases = self.judged_in(&predicate);
        self.consent_in(&predicate, &phases);
        let reading_given = written.reading.is_some();
        Claim {
            id,
            by: written.by.as_ref().map(|by| by.0.clone()),
            source: written.source.as_ref().map(|source| source.0.clone()),
            says: written.says.0.clone(),
            reading: written
                .reading
                .as_ref()
                .map_or_else(|| reading(&predicate, &phases), |text| text.0.clone()),
            reading_given,
            witness: self.witness(&predicate),
            predicate,
            phases,
            not_covered: written
                .not_covered
                .iter()
                .flatten()
                .map(|part| NotCovered { part: part.part.0.clone(), test_by: part.test_by.0.clone() })
                .collect(),
        }
    }

    /// The claim's one test: `untestable`, `each_phase` or a plain one.
    fn whole_test(&mut self) -> Predicate {
        let written = self.written;
        let test = written.test();
        let mut keys = keys(&test);
        keys.extend(written.each_phase.as_ref().map(|inner| ("each_phase", inner.place)));
        keys.extend(written.untestable.as_ref().map(|why| ("untestable", why.place)));
        let nothing = Predicate::AllOf(Vec::new());
        if !self.one_of(&keys, written.says.place) {
            return nothing;
        }
        if let Some(why) = &written.untestable {
            self.untestable_alone();
            return Predicate::Untestable { why: why.0.clone() };
        }
        if let Some(inner) = &written.each_phase {
            self.companions(&test);
            if written.phases.is_none() {
                self.resolver.error(
                    inner.place,
                    "`each_phase` without `in`",
                    "name the phases: `in: [a, b]`",
                );
            }
            return Predicate::EachPhase(Box::new(self.test(inner, inner.place, 1)));
        }
        self.test(&test, written.says.place, 0)
    }

    fn untestable_alone(&mut self) {
        let beside =
            [self.written.phases.as_ref().and_then(|names| names.0.first()), self.written.witness.as_ref()];
        for name in beside.into_iter().flatten() {
            self.resolver.error(
                name.place,
                "an untestable claim is judged in no phase",
                "leave `in` and `witness` out",
            );
        }
        self.companions(&self.written.test());
    }

    /// Exactly one test.
    fn one_of(&mut self, keys: &[(&'static str, Place)], place: Place) -> bool {
        match keys {
            [_] => true,
            [] => {
                self.resolver.error(place, "nothing is tested here", format!("add one of: {TESTS}"));
                false
            }
            [(first, _), (second, at), ..] => {
                let help = if *first == "untestable" || *second == "untestable" {
                    "what traffic can't show stands alone; parts that it can't show go to `not_covered`"
                        .to_owned()
                } else {
                    format!("unite them: `all_of: [{{{first}: …}}, {{{second}: …}}]`, or make two claims")
                };
                self.resolver.error(
                    *at,
                    format!("`{second}` beside `{first}`: a claim takes one test"),
                    help,
                );
                false
            }
        }
    }

    /// Keys that only mean something beside another.
    fn companions(&mut self, test: &Test) {
        if let Some(attended) = &test.attended
            && test.connects.is_none()
        {
            self.resolver.error(
                attended.place,
                "`attended` without `connects`",
                "it says whether somebody touches the phone while it connects",
            );
        }
        if let Some(to) = test.to.as_ref().and_then(|to| to.0.first())
            && test.uploads.is_none()
            && test.never_uploads.is_none()
        {
            self.resolver.error(
                to.place,
                "`to` without `uploads` or `never_uploads`",
                "with `connects` the destination is its own value",
            );
        }
        match (&test.setting, &test.is) {
            (Some(setting), None) => self.resolver.error(
                setting.place,
                "`setting` without `is`",
                "such as `setting: cloud, is: \"off\"`",
            ),
            (None, Some(is)) => self.resolver.error(
                is.place,
                "`is` without `setting`",
                "such as `setting: cloud, is: \"off\"`",
            ),
            _ => {}
        }
    }

    fn test(&mut self, test: &Test, place: Place, depth: usize) -> Predicate {
        let nothing = Predicate::AllOf(Vec::new());
        if depth > MAX_DEPTH {
            self.resolver.error(place, "tests nest too deep", format!("at most {MAX_DEPTH} levels"));
            return nothing;
        }
        self.companions(test);
        if !self.one_of(&keys(test), place) {
            return nothing;
        }
        if let Some(to) = &test.connects {
            let attended = test.attended.as_ref().map(|attended| attended.value);
            return Predicate::Connects { to: self.destination(to), attended };
        }
        if let Some(what) = &test.uploads {
            return Predicate::Uploads { what: self.thing(what), to: self.destinations(test) };
        }
        if let Some(what) = &test.never_uploads {
            return Predicate::NeverUploads { what: self.thing(what), to: self.destinations(test) };
        }
        if let Some(what) = &test.only_uploads {
            return Predicate::OnlyUploads { allowed: self.thing(what), personal: self.terms.personal() };
        }
        if let Some(what) = &test.encrypted {
            return Predicate::Encrypted { what: self.thing(what) };
        }
        if let Some(consent) = &test.needs_consent {
            self.resolver.action_known(&consent.action);
            return Predicate::NeedsConsent {
                what: self.thing(&consent.uploads),
                action: consent.action.0.clone(),
            };
        }
        if let (Some(setting), Some(is)) = (&test.setting, &test.is) {
            return Predicate::Setting { setting: self.setting(setting), is: is.0.clone() };
        }
        if let Some(parts) = &test.all_of {
            return Predicate::AllOf(self.parts("all_of", parts, depth));
        }
        match &test.any_of {
            Some(parts) => Predicate::AnyOf(self.parts("any_of", parts, depth)),
            None => nothing,
        }
    }

    fn parts(&mut self, key: &str, parts: &At<Vec<At<Test>>>, depth: usize) -> Vec<Predicate> {
        if parts.is_empty() || parts.len() > MAX_PARTS {
            self.resolver.error(
                parts.place,
                format!("`{key}` holds {} tests", parts.len()),
                format!("from 1 to {MAX_PARTS}"),
            );
            return Vec::new();
        }
        parts.iter().map(|part| self.test(part, part.place, depth + 1)).collect()
    }

    fn term(&mut self, name: &At<Text>) -> Option<Term> {
        let term = self.terms.get(name).cloned();
        if term.is_none() {
            let known: Vec<&str> = self.terms.names().collect();
            self.resolver.dangling("term", name, known);
        }
        term
    }

    /// A term as something that is sent.
    fn thing(&mut self, name: &At<Text>) -> Term {
        let Some(term) = self.term(name) else { return Term::default() };
        let sent =
            term.photos || term.files || term.messages || term.all_identifiers || term.schema.is_some();
        if !sent && term.artifacts.is_empty() && term.identifiers.is_empty() {
            self.resolver.error(
                name.place,
                format!("{} is nothing that is sent", word(name)),
                "a term with `artifacts`, `identifiers` or `schema`; destinations go to `to`",
            );
        }
        term
    }

    /// A term as a place that is sent to.
    fn destination(&mut self, name: &At<Text>) -> Term {
        let Some(term) = self.term(name) else { return Term::default() };
        if name.0 != "anywhere" && term.hosts.is_empty() && term.registered_country.is_empty() {
            self.resolver.error(
                name.place,
                format!("{} is no destination", word(name)),
                "a term with `hosts` or `registered_country`, or the word `anywhere`",
            );
        }
        term
    }

    fn destinations(&mut self, test: &Test) -> Vec<Term> {
        let names: Vec<At<Text>> = test.to.iter().flat_map(|to| to.0.clone()).collect();
        names.iter().map(|name| self.destination(name)).filter(|term| term.name != "anywhere").collect()
    }

    /// A term's setting, or a setting's own name.
    fn setting(&mut self, name: &At<Text>) -> String {
        let mut known: Vec<&str> = BUILT_IN_SETTINGS.to_vec();
        for (term, setting) in self.terms.settings() {
            if term == name.0 {
                return setting.to_owned();
            }
            known.push(setting);
        }
        if !known.contains(&name.0.as_str()) {
            self.resolver.dangling("setting", name, known);
        }
        name.0.clone()
    }

    /// Where the claim is judged; several phases must be named, since any and all differ.
    fn judged_in(&mut self, predicate: &Predicate) -> Vec<String> {
        if matches!(predicate, Predicate::Untestable { .. }) {
            return Vec::new();
        }
        if let Some(names) = &self.written.phases {
            let mut seen = BTreeSet::new();
            for name in &names.0 {
                self.resolver.phase_known(name);
                if !seen.insert(name.0.as_str()) {
                    self.resolver.error(
                        name.place,
                        format!("the phase {} is named twice", word(name)),
                        "once is enough",
                    );
                }
            }
            if names.0.is_empty() {
                self.resolver.error(
                    self.written.says.place,
                    "`in` names no phase",
                    "name one, or leave it out",
                );
            }
            return names.texts();
        }
        let subjects: Vec<&Phase> = self.phases.iter().filter(|phase| phase.role == Role::Subject).collect();
        match (self.phases, subjects.as_slice()) {
            ([only], _) => vec![only.id.clone()],
            (_, [only]) => vec![only.id.clone()],
            _ => {
                let ids: Vec<String> = self.phases.iter().map(|phase| phase.id.clone()).collect();
                let help = format!(
                    "say where it is judged: `in: {}`, or `in: [{}]`",
                    ids.first().cloned().unwrap_or_default(),
                    ids.join(", ")
                );
                self.resolver.error(
                    self.written.says.place,
                    "several phases, and the claim names none",
                    help,
                );
                Vec::new()
            }
        }
    }

    /// A consent that no phase of the claim contains can be followed by nothing.
    fn consent_in(&mut self, predicate: &Predicate, phases: &[String]) {
        let Predicate::NeedsConsent { action, .. } = predicate else { return };
        let scenario = self.resolver.scenario;
        let planned = scenario.actions.iter().flat_map(|actions| &actions.list);
        let named = |names: &super::values::Names| names.0.iter().any(|name| phases.contains(&name.0));
        let done =
            scenario.phases.iter().flatten().filter(|phase| phases.contains(&phase.id.0)).any(|phase| {
                phase.starts_with.as_ref().is_some_and(|first| first.0 == *action)
                    || phase.actions.iter().flatten().any(|deed| deed.id.0 == *action)
            });
        let listed = planned
            .filter(|planned| planned.id.0 == *action)
            .any(|planned| planned.phases.as_ref().is_none_or(named));
        if !done && !listed && self.resolver.names.actions.contains(action.as_str()) {
            let place = self
                .written
                .needs_consent
                .as_ref()
                .map_or_else(Place::default, |consent| consent.action.place);
            self.resolver.error(
                place,
                format!("the action {} is in none of the claim's phases", word(action)),
                "add the phase where consent is given to `in`",
            );
        }
    }

    fn witness(&mut self, predicate: &Predicate) -> Option<String> {
        if let Some(named) = &self.written.witness {
            self.resolver.phase_known(named);
            if !wants_witness(predicate) {
                self.resolver.problems.push(
                    Problem::warning(named.place, "`witness` beside a test that asks for none")
                        .help("universal tests ask where the event is expected; others don't"),
                );
            }
            return Some(named.0.clone());
        }
        let mut controls = self.phases.iter().filter(|phase| phase.role == Role::PositiveControl);
        let first = controls.next().filter(|_| wants_witness(predicate))?;
        controls.next().is_none().then(|| first.id.clone())
    }
}

/// Whether a test speaks of "never", "only" or "each" somewhere.
fn wants_witness(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::AllOf(parts) | Predicate::AnyOf(parts) => parts.iter().any(wants_witness),
        Predicate::EachPhase(inner) => wants_witness(inner),
        other => matches!(other.kind(), "universal" | "consent"),
    }
}

/// The tests that are written, with their places.
fn keys(test: &Test) -> Vec<(&'static str, Place)> {
    let named = [
        ("connects", &test.connects),
        ("uploads", &test.uploads),
        ("never_uploads", &test.never_uploads),
        ("only_uploads", &test.only_uploads),
        ("encrypted", &test.encrypted),
        ("setting", &test.setting),
    ];
    let mut keys: Vec<(&'static str, Place)> =
        named.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?.place))).collect();
    keys.extend(test.needs_consent.as_ref().map(|consent| ("needs_consent", consent.place)));
    keys.extend(test.all_of.as_ref().map(|parts| ("all_of", parts.place)));
    keys.extend(test.any_of.as_ref().map(|parts| ("any_of", parts.place)));
    keys.sort_by_key(|(_, place)| *place);
    keys
}
