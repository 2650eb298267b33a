//! Remote ends: their names, where their addresses are registered to, and which belong together.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use super::observe::{Observation, Signatures, Signed};
use crate::{
    case::{
        geoip::{Registration, Table},
        scenario::plan::{Claim, Predicate, Term},
    },
    evidence::Transport,
    findings::{AddressRow, EndpointSummary, MAX_ENDS},
};

/// Names listed of one remote end.
const MAX_NAMES: usize = 32;

/// Names of addresses, over all captures of a case.
#[derive(Debug, Default)]
pub(super) struct NameBook {
    by_address: BTreeMap<IpAddr, BTreeSet<String>>,
}

impl NameBook {
    /// Notes that DNS gave an address for a name.
    pub(super) fn resolved(&mut self, address: IpAddr, name: &str) {
        self.by_address.entry(address).or_default().insert(name.to_owned());
    }

    /// The names that DNS gave an address for.
    pub(super) fn of(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        self.by_address.get(&address).into_iter().flatten().map(String::as_str)
    }
}

/// Host terms that the claims name: what a plan unites belongs together.
pub(super) struct HostTerms<'p> {
    terms: Vec<&'p Term>,
}

impl<'p> HostTerms<'p> {
    /// Collects them, each name once.
    pub(super) fn of(claims: &'p [Claim]) -> Self {
        let mut terms: Vec<&Term> = Vec::new();
        for claim in claims {
            collect(&claim.predicate, &mut terms);
        }
        terms.sort_by(|a, b| a.name.cmp(&b.name));
        terms.dedup_by(|a, b| a.name == b.name);
        Self { terms }
    }

    fn holding(&self, name: &str) -> Option<&'p Term> {
        self.terms.iter().copied().find(|term| {
            term.hosts.iter().any(|pattern| crate::engine::verdict::destination::host_matches(name, pattern))
        })
    }
}

fn collect<'p>(predicate: &'p Predicate, terms: &mut Vec<&'p Term>) {
    let mut take = |term: &'p Term| {
        if !term.hosts.is_empty() {
            terms.push(term);
        }
    };
    match predicate {
        Predicate::Connects { to, .. } => take(to),
        Predicate::Uploads { to, .. } | Predicate::NeverUploads { to, .. } => to.iter().for_each(take),
        Predicate::AllOf(parts) | Predicate::AnyOf(parts) => {
            parts.iter().for_each(|part| collect(part, terms))
        }
        Predicate::EachPhase(inner) => collect(inner, terms),
        _ => {}
    }
}

/// The endpoint family of a flow: the plan's host term, else the registrable domain (Public Suffix List) of the
/// one name that the flow has; `None` where it is the address.
pub(super) fn family(
    remote: SocketAddr,
    seen: Option<&Observation>,
    names: &NameBook,
    terms: &HostTerms<'_>,
) -> Option<String> {
    let sni = seen.into_iter().flat_map(|seen| &seen.sni);
    let hosts = seen.into_iter().flat_map(|seen| &seen.hosts);
    let own: Vec<&str> = sni.chain(hosts).map(String::as_str).collect();
    let candidates: Vec<&str> = if own.is_empty() { names.of(remote.ip()).collect() } else { own };
    if let Some(term) = candidates.iter().find_map(|name| terms.holding(name)) {
        return Some(term.name.clone());
    }
    let domains: BTreeSet<String> = candidates.iter().filter_map(|name| registrable(name)).collect();
    domains.first().filter(|_| domains.len() == 1).cloned()
}

/// `a.b.example.co.uk` to `example.co.uk`; `None` for addresses and for names that are a public suffix.
fn registrable(name: &str) -> Option<String> {
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    psl::domain_str(name).map(str::to_owned)
}

/// A remote end.
pub(super) type EndKey = (IpAddr, u16, Transport);

/// One remote end while it is added up: some fifty bytes with its key, since a scan meets a million.
#[derive(Debug, Default)]
struct Endpoint {
    /// Few ends have any.
    #[expect(
        clippy::box_collection,
        reason = "eight bytes instead of twenty-four in each of a million ends"
    )]
    names: Option<Box<BTreeSet<String>>>,
    phases: PhaseSet,
    uplink_bytes: u64,
    downlink_bytes: u64,
    /// Few ends have any.
    signatures: Option<Box<Signatures>>,
}

/// A set of phases, by its number; none of them has the number 0.
#[derive(Clone, Copy, Debug, Default)]
struct PhaseSet(u32);

/// The sets of phases that occur: few, however many ends have each.
#[derive(Debug, Default)]
struct PhaseSets {
    /// Number 1 and those after it.
    sets: Vec<BTreeSet<String>>,
    numbers: BTreeMap<BTreeSet<String>, PhaseSet>,
}

impl PhaseSets {
    fn of(&self, PhaseSet(number): PhaseSet) -> impl Iterator<Item = &String> {
        let set = number.checked_sub(1).and_then(|place| self.sets.get(place as usize));
        set.into_iter().flatten()
    }

    fn with(&mut self, set: PhaseSet, phase: &str) -> PhaseSet {
        if self.of(set).any(|held| held == phase) {
            return set;
        }
        let larger: BTreeSet<String> = self.of(set).cloned().chain([phase.to_owned()]).collect();
        if let Some(known) = self.numbers.get(&larger) {
            return *known;
        }
        self.sets.push(larger.clone());
        let number = PhaseSet(u32::try_from(self.sets.len()).unwrap_or(0));
        self.numbers.insert(larger, number);
        number
    }
}

/// Remote ends by address, port and transport.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    by_end: BTreeMap<EndKey, Endpoint>,
    phases: PhaseSets,
}

/// What one flow adds to its remote end.
pub(super) struct Talk<'t> {
    pub(super) phase: Option<&'t str>,
    pub(super) names: &'t [String],
    pub(super) signatures: Option<&'t Signatures>,
    pub(super) uplink_bytes: u64,
    pub(super) downlink_bytes: u64,
}

/// Remote ends for people, and for verdicts.
pub(super) struct Ends {
    /// The ends with the most uplink bytes and those that are named, most uplink bytes first.
    pub(super) listed: Vec<EndpointSummary>,
    /// The ends that verdicts ask for.
    pub(super) judged: Vec<EndpointSummary>,
    /// How many there are in all.
    pub(super) count: u64,
    /// The rows of the table that these used.
    pub(super) rows: BTreeMap<String, AddressRow>,
}

impl Endpoints {
    /// Adds what a flow says of the end that it talks to.
    pub(super) fn add(&mut self, remote: SocketAddr, transport: Transport, talk: &Talk<'_>) {
        let end = self.by_end.entry((remote.ip(), remote.port(), transport)).or_default();
        end.uplink_bytes += talk.uplink_bytes;
        end.downlink_bytes += talk.downlink_bytes;
        if let Some(phase) = talk.phase {
            end.phases = self.phases.with(end.phases, phase);
        }
        if !talk.names.is_empty() {
            end.names.get_or_insert_default().extend(talk.names.iter().cloned());
        }
        if let Some(signatures) = talk.signatures.filter(|signatures| signatures.word.is_some()) {
            end.signatures.get_or_insert_default().unite(signatures);
        }
    }

    /// Ends the list. `named` ends are listed whatever they got, `judged` ones are what verdicts ask for.
    pub(super) fn finish(
        self,
        table: &Table,
        names: &NameBook,
        named: &BTreeSet<EndKey>,
        judged: &BTreeSet<EndKey>,
    ) -> Ends {
        let mut most: Vec<(Reverse<u64>, &EndKey)> =
            self.by_end.iter().map(|(key, end)| (Reverse(end.uplink_bytes), key)).collect();
        if most.len() > MAX_ENDS {
            most.select_nth_unstable(MAX_ENDS);
            most.truncate(MAX_ENDS);
        }
        let listed: BTreeSet<&EndKey> = most.into_iter().map(|(_, key)| key).chain(named).collect();
        let mut rows = BTreeMap::new();
        let mut summaries = |keys: &mut dyn Iterator<Item = &EndKey>| -> Vec<EndpointSummary> {
            let found = keys.filter_map(|key| Some((key, self.by_end.get(key)?)));
            found.map(|(key, end)| self.summary(*key, end, table, names, &mut rows)).collect()
        };
        let mut listed = summaries(&mut listed.into_iter());
        let judged = summaries(&mut judged.iter());
        listed.sort_by(|a, b| {
            b.uplink_bytes
                .cmp(&a.uplink_bytes)
                .then_with(|| (&a.address, a.port, a.transport).cmp(&(&b.address, b.port, b.transport)))
        });
        Ends { listed, judged, count: self.by_end.len() as u64, rows }
    }

    fn summary(
        &self,
        (address, port, transport): EndKey,
        end: &Endpoint,
        table: &Table,
        names: &NameBook,
        rows: &mut BTreeMap<String, AddressRow>,
    ) -> EndpointSummary {
        let Registration { country, special } = table.lookup(address);
        rows.insert(address.to_string(), AddressRow { country: country.clone(), special: special.clone() });
        let mut all: BTreeSet<String> = end.names.as_deref().cloned().unwrap_or_default();
        all.extend(names.of(address).map(|name| format!("{name} (dns)")));
        let signatures = end.signatures.as_deref();
        EndpointSummary {
            address: address.to_string(),
            port,
            transport,
            names: all.into_iter().take(MAX_NAMES).collect(),
            registered_country: country,
            special,
            table: table.label(),
            phases: self.phases.of(end.phases).cloned().collect(),
            uplink_bytes: end.uplink_bytes,
            downlink_bytes: end.downlink_bytes,
            server_signature: signatures
                .and_then(|all| all.word)
                .map_or("not checked", Signed::word)
                .to_owned(),
            signed_by: signatures.into_iter().flat_map(Signatures::signers).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn names_of_one_registrable_domain_are_one_family() {
        let remote: SocketAddr = "203.0.113.9:443".parse().unwrap();
        let mut seen = Observation::default();
        let none = HostTerms { terms: Vec::new() };
        let mut names = NameBook::default();
        let family = |seen: &Observation, names: &NameBook| super::family(remote, Some(seen), names, &none);
        assert_eq!(family(&seen, &names), None);
        names.resolved(remote.ip(), "up2.cdn.co.uk");
        assert_eq!(family(&seen, &names).unwrap(), "cdn.co.uk");
        names.resolved(remote.ip(), "other.example");
        assert_eq!(family(&seen, &names), None, "an address that two parties share is neither's");
        seen.sni.insert("a.b.example.com".to_owned());
        assert_eq!(family(&seen, &names).unwrap(), "example.com");
    }

    #[test]
    fn a_plans_term_goes_before_the_domain() {
        let remote: SocketAddr = "203.0.113.9:443".parse().unwrap();
        let term = Term { name: "cloud".into(), hosts: vec!["*.example.com".into()], ..Term::default() };
        let seen = Observation { hosts: vec!["up.example.com".into()], ..Observation::default() };
        let terms = HostTerms { terms: vec![&term] };
        assert_eq!(family(remote, Some(&seen), &NameBook::default(), &terms).unwrap(), "cloud");
    }

    #[test]
    fn of_many_ends_the_busiest_and_the_named_are_listed_and_all_are_counted() {
        let mut ends = Endpoints::default();
        let end =
            |n: u64| SocketAddr::new(Ipv4Addr::from(0x0a00_0000 + u32::try_from(n).unwrap()).into(), 80);
        let key = |n: u64| (end(n).ip(), 80, Transport::Tcp);
        let most = MAX_ENDS as u64 + 500;
        for n in 0..most {
            let talk = |phase| Talk {
                phase: Some(phase),
                names: &[],
                signatures: None,
                uplink_bytes: n,
                downlink_bytes: 1,
            };
            ends.add(end(n), Transport::Tcp, &talk("stock"));
            if n == most - 1 {
                ends.add(end(n), Transport::Tcp, &talk("cloud-on"));
            }
        }
        let Ends { listed, judged, count, rows } =
            ends.finish(&Table::Embedded, &NameBook::default(), &[key(3)].into(), &[key(4)].into());
        assert_eq!((listed.len(), count, rows.len()), (MAX_ENDS + 1, most, MAX_ENDS + 2));
        assert_eq!(
            (listed[0].uplink_bytes, &listed[0].phases[..]),
            (2 * (most - 1), &["cloud-on".to_owned(), "stock".to_owned()][..])
        );
        assert_eq!((listed[MAX_ENDS].uplink_bytes, listed[MAX_ENDS - 1].uplink_bytes), (3, 500));
        assert_eq!(judged[0].address, "10.0.0.4");
    }
}
