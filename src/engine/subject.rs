//! Whose traffic counts as the phone's, how that is known, and what speaks against it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    case::scenario::plan::Plan,
    engine::{
        net::{
            Flow, Index, Side,
            phone::{self, Found, PhoneGuess},
        },
        verdict::gates::Binding,
    },
};

/// Several addresses could be the phone's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tell which address is the phone's: {} could be", .candidates.join(" and "))]
pub struct AmbiguousPhone {
    /// Their addresses, those of hardware behind them where the captures show them.
    pub candidates: Vec<String>,
}

/// The phone's addresses.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// Empty where each flow's initiator is taken.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// `declared`, `mac`, `dhcp`, `busiest private address`, `initiator (assumed)`.
    pub(super) bound_by: String,
    /// How far that can be relied on.
    pub(super) binding: Binding,
}

impl Subject {
    /// Takes what the plan declares, else what the captures tell.
    ///
    /// # Errors
    /// When two addresses could be the phone's.
    pub(super) fn determine(plan: &Plan, indexes: &[Index]) -> Result<Self, AmbiguousPhone> {
        let by_mac = by_mac(plan, indexes);
        let (addresses, bound_by) = if !plan.phone.addresses.is_empty() {
            (plan.phone.addresses.iter().copied().collect(), "declared")
        } else if !by_mac.is_empty() {
            (by_mac, "mac")
        } else {
            match phone::guess(&indexes.iter().collect::<Vec<_>>()) {
                PhoneGuess::Found(phone) => {
                    let how = if phone.how == Found::Dhcp { "dhcp" } else { "busiest private address" };
                    (phone.addresses.into_iter().collect(), how)
                }
                PhoneGuess::Ambiguous { candidates } => {
                    let candidates = candidates.iter().map(named).collect();
                    return Err(AmbiguousPhone { candidates });
                }
                PhoneGuess::None => (BTreeSet::new(), "initiator (assumed)"),
            }
        };
        let binding = binding(plan, indexes, &addresses, bound_by);
        Ok(Self { addresses, bound_by: bound_by.to_owned(), binding })
    }

    /// Nobody's address is known: each flow's initiator is taken.
    pub(super) fn initiators() -> Self {
        let how = "initiator (assumed)".to_owned();
        Self { addresses: BTreeSet::new(), bound_by: how.clone(), binding: Binding::Assumed { how } }
    }

    /// Whether packets from this address count as the phone's; where nobody's address is known all do.
    pub(super) fn sends_from(&self, source: IpAddr) -> bool {
        self.addresses.is_empty() || self.addresses.contains(&source)
    }

    /// The side of a flow that sends uplink; `None` where the flow is not the phone's. Where both ends are
    /// the phone's, or nobody's address is known, that is the initiator.
    pub(super) fn uplink_side(&self, flow: &Flow) -> Option<Side> {
        if self.addresses.is_empty() {
            return Some(Side::Initiator);
        }
        let has = |side: Side| self.addresses.contains(&flow.address(side).ip());
        Side::BOTH.into_iter().find(|&side| has(side))
    }
}

/// A candidate by its addresses; two machines may have had one address after the other.
fn named(phone: &phone::Phone) -> String {
    let addresses: Vec<String> = phone.addresses.iter().map(ToString::to_string).collect();
    let mac = phone.mac.map(|mac| format!(" ({mac})")).unwrap_or_default();
    format!("{}{mac}", addresses.join(", "))
}

/// Addresses that the declared hardware address sent for.
fn by_mac(plan: &Plan, indexes: &[Index]) -> BTreeSet<IpAddr> {
    let Some(mac) = &plan.phone.mac else { return BTreeSet::new() };
    let bindings = indexes.iter().flat_map(Index::mac_bindings);
    bindings
        .filter(|binding| binding.mac.to_string() == *mac && !binding.address.is_unspecified())
        .map(|binding| binding.address)
        .collect()
}

fn binding(plan: &Plan, indexes: &[Index], addresses: &BTreeSet<IpAddr>, bound_by: &str) -> Binding {
    // A network address that two hardware addresses used in one capture was two machines' (or a router's, for
    // addresses behind it).
    for index in indexes {
        let mut macs: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        for binding in index.mac_bindings().iter().filter(|binding| addresses.contains(&binding.address)) {
            macs.entry(binding.address).or_default().insert(binding.mac.to_string());
        }
        for (address, users) in macs {
            let stranger = plan.phone.mac.as_ref().is_some_and(|mac| !users.contains(mac));
            if users.len() > 1 || stranger {
                let users = users.into_iter().collect::<Vec<_>>().join(" and ");
                return Binding::Disputed {
                    figure: format!("{address} was used by {users} in {}", index.capture),
                };
            }
        }
    }
    // An address that is only guessed is bound to nobody anyway.
    let behind = indexes.iter().filter(|_| bound_by == "declared");
    let mut behind = behind.flat_map(|index| behind_a_router(plan, index, addresses)).peekable();
    if let Some((_, figure)) = behind.peek() {
        let figure = figure.clone();
        // One that is private may be translated once more; one that is not is everybody's behind the router.
        let shared = behind.any(|(address, _)| !is_private(address));
        return if shared { Binding::Disputed { figure } } else { Binding::Assumed { how: figure } };
    }
    match bound_by {
        "declared" | "mac" | "dhcp" if plan.phone.mac.is_none() && changes_hands(indexes, addresses) => {
            let how = format!("{bound_by}; different hardware addresses used it in different captures");
            Binding::Assumed { how }
        }
        "declared" | "mac" | "dhcp" => Binding::Bound { how: bound_by.to_owned() },
        other => Binding::Assumed { how: other.to_owned() },
    }
}

/// What systems begin to count hops from (Linux and Android 64, Windows 128, routers 255, old systems 32).
const FIRST_HOPS: [u8; 4] = [32, 64, 128, 255];

/// IPv4 addresses that stood behind a router where they were captured, each with words: such an address may be that of
/// everybody behind an address translation (RFC 3022), unless whoever recorded it says that nobody else was there.
fn behind_a_router<'i>(
    plan: &Plan,
    index: &'i Index,
    addresses: &'i BTreeSet<IpAddr>,
) -> impl Iterator<Item = (IpAddr, String)> + use<'i> {
    let told = plan.phone.only_client;
    addresses.iter().filter(move |_| !told).filter_map(|address| {
        let hops = index.hops_left(*address).filter(|hops| !FIRST_HOPS.contains(hops))?;
        let capture = &index.capture;
        let figure = format!(
            "{address} stood behind a router in {capture} ({hops} hops were left), so others may have used it; `phone: {{only_client: true}}` says that nobody did"
        );
        Some((*address, figure))
    })
}

fn is_private(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_private() || address.is_link_local())
}

/// Whether an address had one user in one capture and another in the next: one phone that changes its hardware
/// address, or two phones.
fn changes_hands(indexes: &[Index], addresses: &BTreeSet<IpAddr>) -> bool {
    let mut users: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for binding in
        indexes.iter().flat_map(Index::mac_bindings).filter(|binding| addresses.contains(&binding.address))
    {
        users.entry(binding.address).or_default().insert(binding.mac.to_string());
    }
    users.values().any(|users| users.len() > 1)
}
