//! Link types: what the first header of a frame is.

use std::fmt;

/// A link type as capture files number them (the LINKTYPE_ registry of tcpdump.org).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LinkType(pub u32);

macro_rules! link_types {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal $text:literal,)+) => {
        impl LinkType {
            $($(#[doc = $doc])+ pub const $name: Self = Self($number);)+

            /// The registry's name, where this program knows it.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)+
                    _ => None,
                }
            }
        }
    };
}

link_types! {
    /// BSD loopback: four bytes of address family in the capturing machine's byte order.
    NULL = 0 "NULL",
    /// Ethernet II and IEEE 802.3.
    ETHERNET = 1 "ETHERNET",
    /// PPP, perhaps with HDLC-like framing (RFC 1662).
    PPP = 9 "PPP",
    /// Raw IP, as some systems number it inside libpcap.
    RAW_DLT = 12 "RAW (12)",
    /// Raw IP, as OpenBSD numbers it.
    RAW_OPENBSD = 14 "RAW (14)",
    /// PPP with HDLC-like framing.
    PPP_HDLC = 50 "PPP_HDLC",
    /// PPPoE without the Ethernet header (RFC 2516).
    PPP_ETHER = 51 "PPP_ETHER",
    /// Raw IPv4 or IPv6.
    RAW = 101 "RAW",
    /// Cisco HDLC.
    C_HDLC = 104 "C_HDLC",
    /// IEEE 802.11.
    IEEE802_11 = 105 "IEEE802_11",
    /// OpenBSD loopback: address family in network byte order.
    LOOP = 108 "LOOP",
    /// Linux "cooked" version 1.
    LINUX_SLL = 113 "LINUX_SLL",
    /// IEEE 802.11 behind a radiotap header.
    IEEE802_11_RADIOTAP = 127 "IEEE802_11_RADIOTAP",
    /// Raw IPv4.
    IPV4 = 228 "IPV4",
    /// Raw IPv6.
    IPV6 = 229 "IPV6",
    /// Linux netfilter log.
    NFLOG = 239 "NFLOG",
    /// Linux netlink.
    NETLINK = 253 "NETLINK",
    /// Linux "cooked" version 2.
    LINUX_SLL2 = 276 "LINUX_SLL2",
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}"),
            None => write!(f, "link type {}", self.0),
        }
    }
}
