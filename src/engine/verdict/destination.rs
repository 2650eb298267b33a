//! Where a flow went: what a term's hosts and countries say of it.

use crate::{
    case::scenario::plan::Term,
    findings::{EndpointSummary, FlowSummary},
};

/// Whether a flow went to what a term means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It did.
    There,
    /// Only some of its names are the term's: which of them its bytes went to can't be told.
    Shared,
    /// It did not.
    Elsewhere,
}

/// Holds a flow and its remote end against a term: by the names that the flow itself gives (server name, Host
/// fields), where it gives none by those that DNS gave its address for; by its address; by the country that it is
/// registered to. A term that names nothing at all is any address in no special-purpose range.
///
/// An address alone does not do for a name: behind one address of a content network stand thousands.
pub(super) fn reach(flow: &FlowSummary, endpoint: &EndpointSummary, term: &Term) -> Reach {
    if is_anywhere(term) {
        return if endpoint.special.is_none() { Reach::There } else { Reach::Elsewhere };
    }
    let is_term = |name: &str| term.hosts.iter().any(|pattern| host_matches(name, pattern));
    let registered = endpoint.registered_country.as_ref();
    if is_term(&endpoint.address)
        || registered.is_some_and(|country| term.registered_country.contains(country))
    {
        return Reach::There;
    }
    let bare = |name: &str| name.split(' ').next().unwrap_or_default().to_owned();
    let own: Vec<String> = flow.names.iter().map(|name| bare(name)).collect();
    let names = if own.is_empty() {
        endpoint.names.iter().filter(|name| name.ends_with("(dns)")).map(|name| bare(name)).collect()
    } else {
        own
    };
    match names.iter().filter(|name| is_term(name)).count() {
        0 => Reach::Elsewhere,
        all if all == names.len() => Reach::There,
        _ => Reach::Shared,
    }
}

/// Whether a term is the built-in `anywhere`, or as empty.
fn is_anywhere(term: &Term) -> bool {
    *term == Term { name: term.name.clone(), ..Term::default() }
}

/// `*.` at the front of a pattern stands for one or more labels; case does not count (RFC 4343).
pub(crate) fn host_matches(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.to_ascii_lowercase(), pattern.to_ascii_lowercase());
    match pattern.strip_prefix('*') {
        Some(suffix) => suffix.starts_with('.') && name.len() > suffix.len() && name.ends_with(suffix),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_by_whole_labels() {
        assert!(host_matches("A.cloud.example", "*.cloud.example"));
        assert!(!host_matches("cloud.example", "*.cloud.example"));
        assert!(!host_matches("evilcloud.example", "*.cloud.example"));
        assert!(!host_matches("a.cloud.example.org", "*.cloud.example"));
    }
}
