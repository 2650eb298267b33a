//! Remote ends: their names, where their addresses are registered to, and which belong together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use super::observe::Observation;
use crate::{
    case::{
        geoip::{Registration, Table},
        scenario::plan::{Claim, Predicate, Term},
    },
    evidence::Transport,
    findings::{AddressRow, EndpointSummary},
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
/// one name that the flow has, else the address.
pub(super) fn family(
    remote: SocketAddr,
    seen: &Observation,
    names: &NameBook,
    terms: &HostTerms<'_>,
) -> String {
    let own: Vec<&str> =
        seen.sni.iter().map(String::as_str).chain(seen.hosts.iter().map(String::as_str)).collect();
    let candidates: Vec<&str> = if own.is_empty() { names.of(remote.ip()).collect() } else { own };
    if let Some(term) = candidates.iter().find_map(|name| terms.holding(name)) {
        return term.name.clone();
    }
    let domains: BTreeSet<String> = candidates.iter().filter_map(|name| registrable(name)).collect();
    match domains.first() {
        Some(only) if domains.len() == 1 => only.clone(),
        _ => remote.ip().to_string(),
    }
}

/// `a.b.example.co.uk` to `example.co.uk`; `None` for addresses and for names that are a public suffix.
fn registrable(name: &str) -> Option<String> {
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    psl::domain_str(name).map(str::to_owned)
}

/// One remote end while it is added up.
#[derive(Debug, Default)]
pub(super) struct Endpoint {
    pub(super) names: BTreeSet<String>,
    pub(super) phases: BTreeSet<String>,
    pub(super) uplink_bytes: u64,
    pub(super) downlink_bytes: u64,
}

/// Remote ends by address, port and transport.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    by_end: BTreeMap<(IpAddr, u16, Transport), Endpoint>,
}

impl Endpoints {
    /// The end that a flow talks to.
    pub(super) fn entry(&mut self, remote: SocketAddr, transport: Transport) -> &mut Endpoint {
        self.by_end.entry((remote.ip(), remote.port(), transport)).or_default()
    }

    /// Ends the list, most uplink bytes first, with the rows of the table that it used.
    pub(super) fn finish(
        self,
        table: &Table,
        names: &NameBook,
    ) -> (Vec<EndpointSummary>, BTreeMap<String, AddressRow>) {
        let mut rows = BTreeMap::new();
        let mut ends: Vec<EndpointSummary> = self
            .by_end
            .into_iter()
            .map(|((address, port, transport), end)| {
                let Registration { country, special } = table.lookup(address);
                rows.insert(
                    address.to_string(),
                    AddressRow { country: country.clone(), special: special.clone() },
                );
                let mut all = end.names;
                all.extend(names.of(address).map(|name| format!("{name} (dns)")));
                EndpointSummary {
                    address: address.to_string(),
                    port,
                    transport,
                    names: all.into_iter().take(MAX_NAMES).collect(),
                    registered_country: country,
                    special,
                    table: table.label(),
                    phases: end.phases.into_iter().collect(),
                    uplink_bytes: end.uplink_bytes,
                    downlink_bytes: end.downlink_bytes,
                    server_signature: "not checked".to_owned(),
                }
            })
            .collect();
        ends.sort_by(|a, b| {
            b.uplink_bytes
                .cmp(&a.uplink_bytes)
                .then_with(|| (&a.address, a.port, a.transport).cmp(&(&b.address, b.port, b.transport)))
        });
        (ends, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_registrable_domain_are_one_family() {
        let remote: SocketAddr = "203.0.113.9:443".parse().unwrap();
        let mut seen = Observation::default();
        let none = HostTerms { terms: Vec::new() };
        let mut names = NameBook::default();
        assert_eq!(family(remote, &seen, &names, &none), "203.0.113.9");
        names.resolved(remote.ip(), "up2.cdn.co.uk");
        assert_eq!(family(remote, &seen, &names, &none), "cdn.co.uk");
        names.resolved(remote.ip(), "other.example");
        assert_eq!(
            family(remote, &seen, &names, &none),
            "203.0.113.9",
            "an address that two parties share is neither's"
        );
        seen.sni.insert("a.b.example.com".to_owned());
        assert_eq!(family(remote, &seen, &names, &none), "example.com");
    }

    #[test]
    fn a_plans_term_goes_before_the_domain() {
        let remote: SocketAddr = "203.0.113.9:443".parse().unwrap();
        let term = Term { name: "cloud".into(), hosts: vec!["*.example.com".into()], ..Term::default() };
        let seen = Observation { hosts: vec!["up.example.com".into()], ..Observation::default() };
        assert_eq!(family(remote, &seen, &NameBook::default(), &HostTerms { terms: vec![&term] }), "cloud");
    }
}
