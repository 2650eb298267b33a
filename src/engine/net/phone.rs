//! Which addresses are the phone's, where nobody said.
//!
//! A guess is always shown as one, with how it was made. Where two answers are nearly as good there is none.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use super::index::{Index, MacAddr};

/// A second candidate with more than this part of the first one's frames makes the guess ambiguous:
/// two phones on one hot spot differ by less on most days.
const CLEAR_LEAD: u64 = 2;
/// Candidates named where none is clear: people can choose among a few, and a flood invents a million.
const MAX_CANDIDATES: usize = 16;

/// What could be told of the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneGuess {
    /// No private address opens connections.
    None,
    /// One candidate.
    Found(Phone),
    /// Several that are about as good, the busiest first: at most sixteen.
    Ambiguous {
        /// Each with what speaks for it.
        candidates: Vec<Phone>,
    },
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Phone {
    /// Its addresses, sorted.
    pub addresses: Vec<IpAddr>,
    /// Its hardware address, where the captures show it.
    pub mac: Option<MacAddr>,
    /// How it was found.
    pub how: Found,
}

/// How a phone was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// It was given its address by DHCP.
    Dhcp,
    /// It is the private address that opens most connections.
    Busiest,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dhcp => "dhcp",
            Self::Busiest => "busiest private address",
        })
    }
}

/// Guesses the phone from all captures of a case.
pub fn guess(indexes: &[&Index]) -> PhoneGuess {
    let seen = Seen::of(indexes);
    match seen.dhcp() {
        PhoneGuess::None => seen.busiest(),
        found => found,
    }
}

/// What the captures show together.
struct Seen {
    /// Frames of the flows that an address opened.
    opened: BTreeMap<IpAddr, u64>,
    addresses: BTreeMap<MacAddr, BTreeSet<IpAddr>>,
    macs: BTreeMap<IpAddr, BTreeSet<MacAddr>>,
    leases: BTreeMap<MacAddr, BTreeSet<IpAddr>>,
}

impl Seen {
    fn of(indexes: &[&Index]) -> Self {
        let mut seen = Self {
            opened: BTreeMap::new(),
            addresses: BTreeMap::new(),
            macs: BTreeMap::new(),
            leases: BTreeMap::new(),
        };
        for index in indexes {
            for flow in &index.flows {
                let (from, to) = (flow.initiator.ip(), flow.responder.ip());
                if is_private(from) && !is_group(to) && from != to {
                    *seen.opened.entry(from).or_default() += u64::from(flow.frames);
                }
            }
            for binding in index.mac_bindings() {
                seen.addresses.entry(binding.mac).or_default().insert(binding.address);
                seen.macs.entry(binding.address).or_default().insert(binding.mac);
            }
            for lease in index.leases() {
                seen.leases.entry(lease.mac).or_default().insert(lease.address.into());
            }
        }
        seen
    }

    /// Clients of DHCP; of several, those that opened connections.
    fn dhcp(&self) -> PhoneGuess {
        let mut clients: Vec<(u64, Phone)> = self
            .leases
            .iter()
            .map(|(&mac, leased)| {
                let addresses = leased | &self.own_ipv6(mac);
                (
                    self.frames(&addresses),
                    Phone { addresses: addresses.into_iter().collect(), mac: Some(mac), how: Found::Dhcp },
                )
            })
            .collect();
        if clients.len() > 1 {
            clients.retain(|&(frames, _)| frames > 0);
        }
        choose(clients, u64::MAX)
    }

    fn busiest(&self) -> PhoneGuess {
        // A host's addresses stand together; one whose hardware address is a router's stands alone.
        let mut hosts: BTreeMap<MacAddr, BTreeSet<IpAddr>> = BTreeMap::new();
        let mut alone: Vec<(Reverse<u64>, IpAddr)> = Vec::new();
        for (&address, &frames) in &self.opened {
            match self.mac_of(address) {
                Some(mac) => drop(hosts.entry(mac).or_default().insert(address)),
                None => alone.push((Reverse(frames), address)),
            }
        }
        if alone.len() > MAX_CANDIDATES {
            alone.select_nth_unstable(MAX_CANDIDATES);
            alone.truncate(MAX_CANDIDATES);
        }
        let hosts = hosts.into_iter().map(|(mac, addresses)| {
            let all = &addresses | &self.own_ipv6(mac);
            let phone = Phone { addresses: all.into_iter().collect(), mac: Some(mac), how: Found::Busiest };
            (self.frames(&addresses), phone)
        });
        let alone = alone.into_iter().map(|(Reverse(frames), address)| {
            (frames, Phone { addresses: vec![address], mac: None, how: Found::Busiest })
        });
        choose(hosts.chain(alone).collect(), CLEAR_LEAD)
    }

    fn frames(&self, addresses: &BTreeSet<IpAddr>) -> u64 {
        addresses.iter().filter_map(|address| self.opened.get(address)).sum()
    }

    /// The hardware address that alone sends for an address, unless it is a router's.
    fn mac_of(&self, address: IpAddr) -> Option<MacAddr> {
        let mut macs = self.macs.get(&address)?.iter();
        let (mac, None) = (*macs.next()?, macs.next()) else { return None };
        self.is_host(mac).then_some(mac)
    }

    /// Whether a hardware address sends for itself alone: a router sends for many IPv4 addresses.
    fn is_host(&self, mac: MacAddr) -> bool {
        let addresses = self.addresses.get(&mac).into_iter().flatten();
        addresses.filter(|address| address.is_ipv4() && !address.is_unspecified()).count() <= 1
    }

    /// IPv6 addresses that a host sends for: it makes them itself (RFC 4862), so DHCP doesn't tell.
    fn own_ipv6(&self, mac: MacAddr) -> BTreeSet<IpAddr> {
        let has_ipv4 = |address: &&IpAddr| address.is_ipv4() && !address.is_unspecified();
        let addresses = self.addresses.get(&mac).into_iter().flatten();
        if !self.is_host(mac) || addresses.clone().find(has_ipv4).is_none() {
            return BTreeSet::new();
        }
        addresses.filter(|address| address.is_ipv6() && !address.is_unspecified()).copied().collect()
    }
}

/// The busiest, if its lead is clear.
fn choose(mut candidates: Vec<(u64, Phone)>, lead: u64) -> PhoneGuess {
    candidates.sort_by(|(a, phone), (b, other)| b.cmp(a).then_with(|| phone.cmp(other)));
    let Some((most, first)) = candidates.first() else { return PhoneGuess::None };
    let close = |&(frames, _): &(u64, Phone)| frames.saturating_mul(lead) >= *most;
    if candidates.iter().skip(1).any(close) {
        let candidates = candidates.iter().filter(|candidate| close(candidate)).take(MAX_CANDIDATES);
        return PhoneGuess::Ambiguous { candidates: candidates.map(|(_, phone)| phone.clone()).collect() };
    }
    PhoneGuess::Found(first.clone())
}

/// Addresses of a local network: RFC 1918, RFC 4193, RFC 3927, RFC 4291 section 2.5.6.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Broadcast and multicast: every machine on a network sends there.
fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast() || ip.octets().ends_with(&[255]),
        IpAddr::V6(ip) => ip.is_multicast() || ip == Ipv6Addr::UNSPECIFIED,
    }
}
