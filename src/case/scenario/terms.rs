//! Terms: what each word of a claim means, laid out flat.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    grammar,
    plan::{Declared, Term},
    problem::{Problem, did_you_mean, word},
    resolve::{Names, PathKind, PathUse},
    values::{At, Text},
};

/// What the grammar knows without a declaration: name, what it is in a sentence.
pub(crate) const BUILT_IN: [(&str, &str); 6] = [
    ("photo", "a photo"),
    ("file", "a file"),
    ("message", "a message body"),
    ("identifier", "an identifier"),
    ("personal", "a photo, a message body or an identifier"),
    ("anywhere", "any address that is not local"),
];

/// Every term, resolved.
pub(crate) struct Terms(BTreeMap<String, Term>);

impl Terms {
    pub(crate) fn resolve(
        declared: &BTreeMap<At<Text>, grammar::Term>,
        names: &Names<'_>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut reader = Reader { declared, names, problems, stack: Vec::new() };
        let mut terms = BTreeMap::new();
        for (name, written) in declared {
            reader.check_name(name);
            reader.check(written);
            let mut term = Term { name: name.0.clone(), ..Term::default() };
            reader.unite(name, &mut term);
            terms.insert(name.0.clone(), term);
        }
        for (name, _) in BUILT_IN {
            if !terms.contains_key(name) {
                let place = At { value: Text(name.to_owned()), place: super::values::Place::default() };
                let mut term = Term { name: name.to_owned(), ..Term::default() };
                reader.unite(&place, &mut term);
                terms.insert(name.to_owned(), term);
            }
        }
        Self(terms)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Term> {
        self.0.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What counts as personal, for `only_uploads`.
    pub(crate) fn personal(&self) -> Term {
        self.0.get("personal").cloned().unwrap_or_default()
    }

    /// Names of settings that terms declare, by term.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, term)| Some((name.as_str(), term.setting.as_deref()?)))
    }
}

/// Files that terms name.
pub(crate) fn paths(declared: &BTreeMap<At<Text>, grammar::Term>, names: &Names<'_>) -> Vec<PathUse> {
    let mut paths = Vec::new();
    for term in declared.values() {
        if let Some(schema) = &term.schema {
            paths.push(PathUse::new(schema, PathKind::Schema));
        }
        for artifact in term.artifacts.iter().flat_map(|artifacts| &artifacts.0) {
            if !names.canaries.contains(artifact.0.as_str()) {
                paths.push(PathUse::new(artifact, PathKind::DeviceFile));
            }
        }
    }
    paths
}

/// What terms declare that may be sent, by term.
pub(crate) fn may_be_sent(declared: &BTreeMap<At<Text>, grammar::Term>) -> Vec<Declared> {
    let all = declared.iter().map(|(name, term)| {
        let hosts = term.hosts.iter().flat_map(super::values::Names::texts);
        let texts = term.texts.iter().flat_map(super::values::Names::texts);
        Declared {
            term: name.0.clone(),
            texts: texts.chain(hosts.filter(|host| !host.starts_with("*."))).collect(),
            schema: term.schema.as_ref().map(|schema| schema.0.clone()),
        }
    });
    all.filter(|declared| !declared.texts.is_empty() || declared.schema.is_some()).collect()
}

struct Reader<'a, 'p> {
    declared: &'a BTreeMap<At<Text>, grammar::Term>,
    names: &'a Names<'a>,
    problems: &'p mut Vec<Problem>,
    stack: Vec<String>,
}

impl Reader<'_, '_> {
    fn check_name(&mut self, name: &At<Text>) {
        let fits = !name.is_empty()
            && name.chars().count() <= 64
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '));
        if !fits {
            self.problems.push(
                Problem::error(name.place, format!("{} can't be a term's name", word(name)))
                    .help("letters, digits, `_`, `-`, `.`; at most 64"),
            );
        }
    }

    fn check(&mut self, term: &grammar::Term) {
        for identifier in term.identifiers.iter().flat_map(|names| &names.0) {
            let known = self.names.identifiers.iter().chain(&self.names.canaries).copied();
            if !self.names.identifiers.contains(identifier.0.as_str())
                && !self.names.canaries.contains(identifier.0.as_str())
            {
                self.problems.push(Problem {
                    help: did_you_mean(identifier, known)
                        .or(Some("declare it: `phone: {identifiers: {imei: \"…\"}}`".to_owned())),
                    ..Problem::error(identifier.place, format!("no identifier named {}", word(identifier)))
                });
            }
        }
        for artifact in term.artifacts.iter().flat_map(|names| &names.0) {
            self.check_artifact(artifact);
        }
        for host in term.hosts.iter().flat_map(|names| &names.0) {
            self.check_host(host);
        }
        for country in term.registered_country.iter().flat_map(|names| &names.0) {
            let letters = country.len() == 2 && country.bytes().all(|c| c.is_ascii_uppercase());
            if !letters {
                let upper = country.to_uppercase();
                let help = if upper.len() == 2 && upper.bytes().all(|c| c.is_ascii_uppercase()) {
                    format!("did you mean `{upper}`?")
                } else {
                    "write an ISO 3166-1 alpha-2 code, such as `CN`".to_owned()
                };
                self.problems.push(
                    Problem::error(country.place, format!("{} is no country code", word(country))).help(help),
                );
            }
        }
    }

    /// A name without a dot or slash is a canary; others are paths, looked for when the files are there.
    fn check_artifact(&mut self, artifact: &At<Text>) {
        let is_path = artifact.contains(['/', '.']);
        if !is_path && !self.names.canaries.contains(artifact.0.as_str()) {
            self.problems.push(Problem {
                help: did_you_mean(artifact, self.names.canaries.iter().copied())
                    .or(Some("declare it under `canaries`, or give the path of a file".to_owned())),
                ..Problem::error(artifact.place, format!("no canary or file named {}", word(artifact)))
            });
        }
    }

    fn check_host(&mut self, host: &At<Text>) {
        let name = host.strip_prefix("*.").unwrap_or(host);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
        };
        let fits = name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label));
        if !fits {
            let help = if host.contains("://") || host.contains('/') {
                "the host's name alone, without scheme and path"
            } else {
                "a host name such as `upload.cloud.example`, `*.cloud.example`, or an IP address"
            };
            self.problems.push(Problem::error(host.place, format!("{} is no host", word(host))).help(help));
        }
    }

    /// Adds what `name` means to `term`.
    fn unite(&mut self, name: &At<Text>, term: &mut Term) {
        if self.stack.iter().any(|above| *above == name.0) {
            let round = self.stack.join("` -> `");
            self.problems.push(
                Problem::error(name.place, format!("the term {} means itself", word(name)))
                    .help(format!("it goes round: `{round}` -> {}", word(name))),
            );
            return;
        }
        let Some(written) = self.declared.get(name) else {
            self.unite_built_in(name, term);
            return;
        };
        let add = |to: &mut Vec<String>, from: &Option<super::values::Names>| {
            for text in from.iter().flat_map(super::values::Names::texts) {
                if !to.contains(&text) {
                    to.push(text);
                }
            }
        };
        add(&mut term.artifacts, &written.artifacts);
        add(&mut term.identifiers, &written.identifiers);
        add(&mut term.hosts, &written.hosts);
        add(&mut term.registered_country, &written.registered_country);
        term.schema = term.schema.take().or_else(|| written.schema.as_ref().map(|schema| schema.0.clone()));
        term.setting = term.setting.take().or_else(|| written.setting.as_ref().map(|name| name.0.clone()));
        self.stack.push(name.0.clone());
        for other in written.terms.iter().flat_map(|names| &names.0) {
            self.unite(other, term);
        }
        self.stack.pop();
    }

    fn unite_built_in(&mut self, name: &At<Text>, term: &mut Term) {
        match name.0.as_str() {
            "photo" => term.photos = true,
            "file" => term.files = true,
            "message" => term.messages = true,
            "identifier" => term.all_identifiers = true,
            "anywhere" => {}
            "personal" => {
                self.stack.push("personal".to_owned());
                for part in ["photo", "message", "identifier"] {
                    self.unite(&At { value: Text(part.to_owned()), place: name.place }, term);
                }
                self.stack.pop();
            }
            _ => {
                let known =
                    self.declared.keys().map(|name| name.0.as_str()).chain(BUILT_IN.map(|(name, _)| name));
                self.problems.push(Problem {
                    help: did_you_mean(name, known),
                    ..Problem::error(name.place, format!("no term named {}", word(name)))
                });
            }
        }
    }
}
