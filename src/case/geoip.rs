//! Offline address tables: which country an address is registered to, and in which table.
//!
//! "Registered to" is what the regional registries' delegation files say; it is neither where a
//! machine stands nor who runs it. Special-purpose ranges (IANA's registries, RFC 6890) come first.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What a table says of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// ISO 3166-1 alpha-2, where one is given.
    pub country: Option<String>,
    /// The special-purpose range it lies in (`private-use`, `loopback`, …).
    pub special: Option<String>,
}

/// A table of addresses.
#[derive(Debug, Clone)]
pub enum Table {
    /// The table inside the program.
    Embedded,
    /// The rows an earlier analysis used, kept with its bundle.
    Rows {
        /// The table they came from.
        name: String,
        /// Its date, `YYYY-MM-DD`; empty where unknown.
        date: String,
        /// Row by row.
        rows: BTreeMap<IpAddr, Registration>,
    },
}

/// The embedded table: the crate and its version, which Cargo.lock pins by digest.
const EMBEDDED: &str = "iptocc 1.4.175";
/// The day on which that version was published (`pubtime` in the package registry's index). The table says no
/// date of its own; its version is a counter that goes up each night.
const EMBEDDED_DATE: &str = "2026-11-01";

impl Table {
    /// What it says of an address. A table of kept rows answers from these alone.
    pub fn lookup(&self, address: IpAddr) -> Registration {
        match self {
            Self::Embedded => match special(address) {
                Some(range) => Registration { country: None, special: Some(range.name.to_owned()) },
                None => {
                    Registration { country: iptocc::country_code(address).map(str::to_owned), special: None }
                }
            },
            Self::Rows { rows, .. } => {
                rows.get(&address).cloned().unwrap_or(Registration { country: None, special: None })
            }
        }
    }

    /// The table's name and version.
    pub fn name(&self) -> &str {
        match self {
            Self::Embedded => EMBEDDED,
            Self::Rows { name, .. } => name,
        }
    }

    /// Its date, `YYYY-MM-DD`: for the embedded table the day of its publication, so its rows are no younger. Empty
    /// where unknown.
    pub fn date(&self) -> &str {
        match self {
            Self::Embedded => EMBEDDED_DATE,
            Self::Rows { date, .. } => date,
        }
    }

    /// Name and date in one text.
    pub fn label(&self) -> String {
        match self.date() {
            "" => format!("{}, date unknown", self.name()),
            date => format!("{} of {date}", self.name()),
        }
    }
}

/// One range of IANA's special-purpose address registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialRange {
    /// The first address.
    pub network: IpAddr,
    /// Bits of the prefix.
    pub prefix: u8,
    /// The registry's name for it, in lower case with hyphens.
    pub name: &'static str,
    /// Where it is defined.
    pub rfc: &'static str,
}

impl SpecialRange {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The narrowest special-purpose range that holds an address.
pub fn special(address: IpAddr) -> Option<&'static SpecialRange> {
    SPECIAL.iter().filter(|range| range.contains(address)).max_by_key(|range| range.prefix)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, name: &'static str, rfc: &'static str) -> SpecialRange {
    SpecialRange { network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix, name, rfc }
}

const fn v6(network: [u16; 8], prefix: u8, name: &'static str, rfc: &'static str) -> SpecialRange {
    let [a, b, c, d, e, f, g, h] = network;
    SpecialRange { network: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix, name, rfc }
}

/// Every row of IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190), and the
/// multicast blocks, which have registries of their own.
pub const SPECIAL: &[SpecialRange] = &[
    v4(0, 0, 0, 0, 8, "this-network", "RFC 791 section 3.2"),
    v4(0, 0, 0, 0, 32, "this-host-on-this-network", "RFC 1122 section 3.2.1.3"),
    v4(10, 0, 0, 0, 8, "private-use", "RFC 1918"),
    v4(100, 64, 0, 0, 10, "shared-address-space", "RFC 6598"),
    v4(127, 0, 0, 0, 8, "loopback", "RFC 1122 section 3.2.1.3"),
    v4(169, 254, 0, 0, 16, "link-local", "RFC 3927"),
    v4(172, 16, 0, 0, 12, "private-use", "RFC 1918"),
    v4(192, 0, 0, 0, 24, "ietf-protocol-assignments", "RFC 6890 section 2.1"),
    v4(192, 0, 0, 0, 29, "ipv4-service-continuity-prefix", "RFC 7335"),
    v4(192, 0, 0, 8, 32, "ipv4-dummy-address", "RFC 7600"),
    v4(192, 0, 0, 9, 32, "port-control-protocol-anycast", "RFC 7723"),
    v4(192, 0, 0, 10, 32, "turn-anycast", "RFC 8155"),
    v4(192, 0, 0, 170, 32, "nat64-dns64-discovery", "RFC 8880, RFC 7050 section 2.2"),
    v4(192, 0, 0, 171, 32, "nat64-dns64-discovery", "RFC 8880, RFC 7050 section 2.2"),
    v4(192, 0, 2, 0, 24, "documentation", "RFC 5737"),
    v4(192, 31, 196, 0, 24, "as112-v4", "RFC 7535"),
    v4(192, 52, 193, 0, 24, "amt", "RFC 7450"),
    v4(192, 88, 99, 0, 24, "6to4-relay-anycast-deprecated", "RFC 7526"),
    v4(192, 88, 99, 2, 32, "6a44-relay-anycast", "RFC 6751"),
    v4(192, 168, 0, 0, 16, "private-use", "RFC 1918"),
    v4(192, 175, 48, 0, 24, "direct-delegation-as112-service", "RFC 7534"),
    v4(198, 18, 0, 0, 15, "benchmarking", "RFC 2544"),
    v4(198, 51, 100, 0, 24, "documentation", "RFC 5737"),
    v4(203, 0, 113, 0, 24, "documentation", "RFC 5737"),
    v4(224, 0, 0, 0, 4, "multicast", "RFC 5771"),
    v4(240, 0, 0, 0, 4, "reserved", "RFC 1112 section 4"),
    v4(255, 255, 255, 255, 32, "limited-broadcast", "RFC 8190, RFC 919 section 7"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", "RFC 4291"),
    v6([0; 8], 128, "unspecified", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "ipv4-mapped", "RFC 4291"),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "ipv4-ipv6-translation", "RFC 6052"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "ipv4-ipv6-translation", "RFC 8215"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard-only", "RFC 6666"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy-ipv6-prefix", "RFC 9780"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "ietf-protocol-assignments", "RFC 2928"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "teredo", "RFC 4380, RFC 8190"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, "port-control-protocol-anycast", "RFC 7723"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, "turn-anycast", "RFC 8155"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, "dns-sd-srp-anycast", "RFC 9665"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking", "RFC 5180, RFC errata 1752"),
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, "amt", "RFC 7450"),
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, "as112-v6", "RFC 7535"),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "orchid-deprecated", "RFC 4843"),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "orchidv2", "RFC 7343"),
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, "drone-remote-id-entity-tags", "RFC 9374"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation", "RFC 3849"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", "RFC 3056"),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "direct-delegation-as112-service", "RFC 7534"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation", "RFC 9637"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment-routing-srv6-sids", "RFC 9602"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique-local", "RFC 4193, RFC 8190"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local-unicast", "RFC 4291"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast", "RFC 4291 section 2.7"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(address: &str) -> (Option<String>, Option<String>) {
        let found = Table::Embedded.lookup(address.parse().unwrap());
        (found.country, found.special)
    }

    /// Debian's libloc-database 0~20221029 (created 2022-10-29) and geoip-database 20191224 both say CN for
    /// the first and agree with the embedded table on the public resolvers. For the two Amazon addresses both
    /// say DE, where the machines stand; the registries' delegations, which this table reads, say US for
    /// 18.0.0.0/8 and 3.0.0.0/8 (ARIN): registered is not located.
    #[test]
    fn known_addresses_are_registered_where_the_registries_say() {
        let country = |address| lookup(address).0.unwrap();
        assert_eq!(country("203.107.1.65"), "CN");
        assert_eq!(country("18.193.233.122"), "US");
        assert_eq!(country("3.127.176.74"), "US");
        assert_eq!(country("8.8.8.8"), "US");
        assert_eq!(country("1.0.16.1"), "JP");
        assert_eq!(country("240e::1"), "CN");
        assert_eq!(country("2a00:1450:4001::1"), "IE");
    }

    #[test]
    fn special_ranges_come_first_and_the_narrowest_names_them() {
        let special = |address: &str| {
            let (country, special) = lookup(address);
            assert_eq!(country, None, "{address}");
            special.unwrap()
        };
        assert_eq!(special("192.168.43.17"), "private-use");
        assert_eq!(special("172.31.255.255"), "private-use");
        assert_eq!(special("203.0.113.9"), "documentation");
        assert_eq!(special("192.0.0.9"), "port-control-protocol-anycast");
        assert_eq!(special("192.0.0.200"), "ietf-protocol-assignments");
        assert_eq!(special("255.255.255.255"), "limited-broadcast");
        assert_eq!(special("239.255.255.250"), "multicast");
        assert_eq!(special("0.0.0.0"), "this-host-on-this-network");
        assert_eq!(special("::"), "unspecified");
        assert_eq!(special("::ffff:8.8.8.8"), "ipv4-mapped");
        assert_eq!(special("2001:db8::1"), "documentation");
        assert_eq!(special("2001:0:1::1"), "teredo");
        assert_eq!(special("fe80::1"), "link-local-unicast");
        for ordinary in ["172.32.0.0", "100.128.0.0", "198.20.0.1", "2001:200::1", "9.9.9.9", "11.0.0.0"] {
            assert_eq!(lookup(ordinary).1, None, "{ordinary}");
        }
    }

    #[test]
    fn rows_answer_from_themselves_alone() {
        let kept = Registration { country: Some("XA".to_owned()), special: None };
        let rows = BTreeMap::from([("8.8.8.8".parse().unwrap(), kept.clone())]);
        let table = Table::Rows { name: "kept".to_owned(), date: String::new(), rows };
        assert_eq!(table.lookup("8.8.8.8".parse().unwrap()), kept);
        assert_eq!(table.lookup("1.0.16.1".parse().unwrap()), Registration { country: None, special: None });
        assert_eq!(table.lookup("127.0.0.1".parse().unwrap()).special, None);
        assert_eq!(table.name(), "kept");
    }

    #[test]
    fn networks_have_no_bits_beyond_their_prefix_and_stand_once() {
        let mut seen = std::collections::BTreeSet::new();
        for range in SPECIAL {
            assert!(range.contains(range.network), "{range:?}");
            let beyond = match range.network {
                IpAddr::V4(network) => network.to_bits().checked_shl(range.prefix.into()).unwrap_or(0) != 0,
                IpAddr::V6(network) => network.to_bits().checked_shl(range.prefix.into()).unwrap_or(0) != 0,
            };
            assert!(!beyond, "{range:?}");
            assert!(seen.insert((range.network, range.prefix)), "{range:?} stands twice");
        }
    }

    #[test]
    fn the_name_is_the_version_that_is_locked() {
        let lock = include_str!("../../Cargo.lock");
        let (name, version) = EMBEDDED.split_once(' ').unwrap();
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")));
    }
}
