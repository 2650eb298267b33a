//! What DHCP, NTP, DHCPv6 and SSDP say in real captures is what TShark reads there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{collections::BTreeMap, path::Path, process::Command};

use exhibit::findings::inspection::Inspection;

mod support;
use support::{captures, exhibit, peer, run};

/// Captures that hold them whole. Not among them: `gopacket__le-test202.pcapng`, whose frames are cut off before the
/// options, and `zeek__fragmented-1.pcap`, whose one packet to port 123 has ten bytes and no version.
const CAPTURES: [&str; 9] = [
    "ndpi__1kxun.pcap",
    "ndpi__android.pcap",
    "pcapplusplus__raw_ip.pcap",
    "tcpflow__test1.pcap",
    "wireshark44__dns-mdns.pcap",
    "wireshark__dhcp-nanosecond.pcap",
    "zeek__gre-sample.pcap",
    "zeek__pppoe.pcap",
    "zeek__raw_packets.pcap",
];

const DHCP: [&str; 8] = ["DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"];
const NTP: [&str; 5] = ["symmetric active", "symmetric passive", "client", "server", "broadcast"];
const DHCPV6: [&str; 11] = [
    "SOLICIT",
    "ADVERTISE",
    "REQUEST",
    "CONFIRM",
    "RENEW",
    "REBIND",
    "REPLY",
    "RELEASE",
    "DECLINE",
    "RECONFIGURE",
    "INFORMATION-REQUEST",
];

/// How many datagrams say what: protocol, kind, name of the host.
type Counts = BTreeMap<(String, String, String), usize>;

fn theirs(tshark: &Path, capture: &Path) -> Counts {
    let mut counts = Counts::new();
    let protocols: [(&str, &[&str], &[&str]); 4] = [
        ("dhcp", &["dhcp.option.dhcp", "dhcp.option.hostname"], &DHCP),
        ("ntp", &["ntp.flags.mode"], &NTP),
        ("dhcpv6", &["dhcpv6.msgtype"], &DHCPV6),
        ("ssdp", &["http.request.method"], &[]),
    ];
    for (protocol, fields, kinds) in protocols {
        let mut command = Command::new(tshark);
        // Errors of ICMP quote the head of what they answer.
        let filter = format!("{protocol} && !icmp && !icmpv6");
        command.arg("-r").arg(capture).args(["-Y", &filter, "-T", "fields"]);
        fields.iter().for_each(|field| _ = command.args(["-e", field]));
        for line in run(&mut command).lines() {
            let (first, name) = line.split_once('\t').unwrap_or((line, ""));
            let number = first.parse().ok().and_then(|number: usize| number.checked_sub(1));
            let kind = match number {
                Some(number) => kinds[number],
                None if first.is_empty() => "200",
                None => first,
            };
            *counts.entry((protocol.to_owned(), kind.to_owned(), name.to_owned())).or_default() += 1;
        }
    }
    counts
}

fn ours(at: &Path, capture: &Path) -> Counts {
    let printed = run(exhibit(at).args(["inspect", "--format", "json"]).arg(capture));
    let seen: Inspection = serde_json::from_str(&printed).unwrap();
    let mut counts = Counts::new();
    for message in seen.messages {
        // A name in a message of SSDP is what it looks for.
        let name = if message.protocol == "dhcp" { message.name } else { String::new() };
        if ["dhcp", "ntp", "dhcpv6", "ssdp"].contains(&message.protocol.as_str()) {
            *counts.entry((message.protocol, message.kind, name)).or_default() += 1;
        }
    }
    counts
}

#[test]
fn datagrams_say_what_tshark_reads_in_them() {
    let (Some(folder), Some(tshark)) = (captures(), peer("tshark")) else { return };
    let home = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for name in CAPTURES {
        let capture = folder.join(name);
        let (ours, theirs) = (ours(home.path(), &capture), theirs(&tshark, &capture));
        assert_eq!(ours, theirs, "{name}");
        seen += ours.values().sum::<usize>();
    }
    assert!(seen > 200, "{seen} datagrams");
}
