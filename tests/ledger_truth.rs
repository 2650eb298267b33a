//! The ledger on every real capture: its five parts add up to the uplink payload of each flow, and that is what tshark
//! counts. Of TCP the truth files hold it (`tcp.len` in all, less what came again); of UDP the table beside this file
//! does, which `EXHIBIT_BLESS=1` has tshark write anew. What differs stands in `ledger_truth.expected`, with the reason.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic and read the environment"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::BufRead as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use exhibit::{
    case::{Case, Parts, capture::Capture, folder::Disk, scenario::plan::Phone},
    engine::{
        self,
        net::{self, Side},
    },
    evidence::{BlobReader, FileBlob, Limits, Scratch, Transport},
    findings::{FlowSummary, Places},
};
use serde_json::Value;

mod support;
use support::{captures, peer, run};

/// Payload by sender and receiver.
type Datagrams = BTreeMap<(SocketAddr, SocketAddr), u64>;

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Lines of a table, split at tabs, without comments.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(beside(name)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn truths(folder: &Path) -> BTreeMap<String, Value> {
    let paths = fs::read_dir(folder.join("truth")).unwrap().map(|entry| entry.unwrap().path());
    let truth = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    };
    paths.map(truth).collect()
}

/// Who opens flows in a capture, and who answers.
fn addresses(folder: &Path, name: &str) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
    let blob = Arc::new(FileBlob::new(fs::File::open(folder.join(name)).unwrap()).unwrap());
    let capture = Capture::open(name, blob, &Scratch::new(std::env::temp_dir())).unwrap();
    let index = net::index(&capture, &Limits::default()).unwrap();
    let sides = |side| index.flows.iter().map(|flow| flow.address(side).ip()).collect();
    (sides(Side::Initiator), sides(Side::Responder))
}

/// Every flow of a capture; uplink is what these addresses send.
fn flows(folder: &Path, name: &str, phone: &BTreeSet<IpAddr>) -> Vec<FlowSummary> {
    let scratch = Scratch::new(std::env::temp_dir());
    let phone = Phone { addresses: phone.iter().copied().collect(), ..Phone::default() };
    let parts = Parts { captures: vec![name.to_owned()], phone, ..Parts::default() };
    let case = Case::from_parts(&Disk::new(folder), parts, &scratch).unwrap();
    let analysis = engine::analyze(&case, &scratch, &Limits::default()).unwrap();
    let lines = std::io::BufReader::new(BlobReader::new(analysis.flows.bytes));
    let flows: Vec<FlowSummary> =
        lines.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let mut sum = Places::default();
    for flow in &flows {
        let Places { matched, understood, undetermined, opaque, lost, total, .. } = flow.uplink;
        assert_eq!(matched + understood + undetermined + opaque + lost, total, "{}", flow.name);
        sum.add(flow.uplink);
    }
    let ledger = &analysis.findings.ledger;
    for (part, rows) in [("phase", &ledger.by_phase), ("destination", &ledger.by_destination)] {
        let mut all = Places::default();
        rows.iter().for_each(|row| all.add(row.bytes));
        assert_eq!(all, ledger.all, "{name}: by {part}");
    }
    assert_eq!(sum, ledger.all, "{name}: the flows and the ledger");
    flows
}

/// What one direction comes to, here and elsewhere.
struct Row {
    what: String,
    ours: u64,
    theirs: u64,
}

/// Truth writes IPv6 ends without brackets.
fn end_of(value: &Value) -> SocketAddr {
    let (address, port) = value.as_str().unwrap().rsplit_once(':').unwrap();
    SocketAddr::new(address.parse().unwrap(), port.parse().unwrap())
}

fn ends(flow: &FlowSummary) -> (SocketAddr, SocketAddr) {
    (flow.local.parse().unwrap(), flow.remote.parse().unwrap())
}

/// Uplink bytes of TCP connections: captured ones here, `tcp.len` less what came again in truth. `done` holds the
/// directions that were compared.
fn tcp(flows: &[FlowSummary], truth: &Value, done: &mut BTreeSet<(u64, SocketAddr)>) -> Vec<Row> {
    // Connections of the same ends come in the same order as Wireshark's streams.
    let mut by_ends: BTreeMap<BTreeSet<SocketAddr>, Vec<&FlowSummary>> = BTreeMap::new();
    for flow in flows.iter().filter(|flow| flow.transport == Transport::Tcp) {
        let (local, remote) = ends(flow);
        by_ends.entry([local, remote].into()).or_default().push(flow);
    }
    let cut = truth["counts"]["frames_shorter_than_wire"].as_u64() > Some(0);
    let mut rows = Vec::new();
    let mut seen: BTreeMap<BTreeSet<SocketAddr>, usize> = BTreeMap::new();
    for stream in truth["tcp_streams"].as_array().unwrap() {
        let number = stream["stream"].as_u64().unwrap();
        let pair = ["first_sender", "other"].map(|end| end_of(&stream[end]));
        let nth = seen.entry(pair.into()).or_default();
        let flow = by_ends.get(&pair.into()).and_then(|flows| flows.get(*nth)).copied();
        *nth += 1;
        let Some((flow, local)) = flow.map(|flow| (flow, ends(flow).0)) else { continue };
        if !done.insert((number, local)) {
            continue;
        }
        let side =
            stream["reassembly"].as_array().into_iter().flatten().find(|side| end_of(&side["from"]) == local);
        // The truth's reader gave up on a stream that spans 1.5 GB of sequence numbers.
        if side.is_some_and(|side| side["error"].is_string()) {
            continue;
        }
        let place = usize::from(pair[0] != local);
        let sent = stream["tcp_len_sum"][place].as_u64().unwrap();
        let again = side.map_or(0, |side| side["overlap_bytes"].as_u64().unwrap());
        let held = side.map_or(0, |side| side["bytes_present"].as_u64().unwrap());
        let what = format!("tcp {number} from {local}");
        rows.push(Row { what: what.clone(), ours: flow.uplink.total - flow.uplink.lost, theirs: held });
        // Wireshark's own count says the same, where frames were stored whole.
        if cut {
            continue;
        }
        rows.push(Row { what: format!("{what} by tcp.len"), ours: held, theirs: sent.saturating_sub(again) });
    }
    rows
}

/// UDP payload by sender and receiver, lost parts of cut frames included: `udp.length` less the header, of the
/// innermost datagram.
fn ask(tshark: &Path, capture: &Path) -> Datagrams {
    let fields = [
        "frame.protocols",
        "ip.src",
        "ipv6.src",
        "udp.srcport",
        "ip.dst",
        "ipv6.dst",
        "udp.dstport",
        "udp.length",
    ];
    let mut command = Command::new(tshark);
    command.args(["-o", "tcp.reassemble_out_of_order:TRUE", "-r"]).arg(capture);
    command.args(["-Y", "udp", "-T", "fields", "-E", "occurrence=a"]);
    command.args(fields.iter().flat_map(|field| ["-e", *field]));
    // Of a damaged file what was readable is printed all the same.
    let text = support::text(&support::output(&mut command).stdout);
    let mut datagrams = Datagrams::new();
    for line in text.lines() {
        let field: Vec<Vec<&str>> = line.split('\t').map(|field| field.split(',').collect()).collect();
        // What ICMP quotes was not sent, and a tunnel with TCP inside carries no datagram.
        let layers = field[0][0].split(':').take_while(|layer| !layer.starts_with("icmp"));
        let layers: Vec<&str> = layers.collect();
        let last = |wanted: &str| layers.iter().rposition(|layer| *layer == wanted);
        let Some(udp) = last("udp").filter(|udp| last("tcp") < Some(*udp)) else { continue };
        let above = |wanted: &str| layers[..udp].iter().rposition(|layer| *layer == wanted);
        // Of several layers of a kind the last one above.
        let count = |wanted: &str| layers[..udp].iter().filter(|layer| **layer == wanted).count();
        let (source, destination, version) =
            if above("ipv6") > above("ip") { (2, 5, "ipv6") } else { (1, 4, "ip") };
        let value =
            |place: usize, layer: &str, more: usize| field[place].get((count(layer) + more).wrapping_sub(1));
        let end = |address, port| {
            let (address, port) = (value(address, version, 0)?, value(port, "udp", 1)?);
            Some(SocketAddr::new(address.parse().unwrap(), port.parse().unwrap()))
        };
        let len = value(7, "udp", 1).and_then(|len| len.parse::<u64>().ok()?.checked_sub(8));
        let (Some(from), Some(to), Some(len)) = (end(source, 3), end(destination, 6), len) else { continue };
        *datagrams.entry((from, to)).or_default() += len;
    }
    datagrams
}

/// tshark's table of datagrams, by capture.
fn datagrams(folder: &Path, truths: &BTreeMap<String, Value>) -> BTreeMap<String, Datagrams> {
    const NAME: &str = "ledger_truth.udp";
    let with_udp = |truth: &Value| truth["counts"]["udp_streams"].as_u64() > Some(0);
    if std::env::var_os("EXHIBIT_BLESS").is_some_and(|value| value == "1") {
        let tshark = peer("tshark").unwrap();
        let version = run(Command::new(&tshark).arg("--version"));
        let mut text = format!(
            "# UDP payload by capture, sender and receiver, as {} counts it; tabs between.\n# EXHIBIT_BLESS=1 cargo test --test ledger_truth\n",
            version.lines().next().unwrap()
        );
        for name in truths.iter().filter(|(_, truth)| with_udp(truth)).map(|(name, _)| name) {
            for ((from, to), bytes) in ask(&tshark, &folder.join(name)) {
                writeln!(text, "{name}\t{from}\t{to}\t{bytes}").unwrap();
            }
        }
        fs::write(beside(NAME), text).unwrap();
    }
    let mut all: BTreeMap<String, Datagrams> = BTreeMap::new();
    for row in table(NAME) {
        let key = (row[1].parse().unwrap(), row[2].parse().unwrap());
        all.entry(row[0].clone()).or_default().insert(key, row[3].parse().unwrap());
    }
    all
}

/// Datagrams that the phone's ends sent.
fn udp(flows: &[FlowSummary], theirs: &Datagrams, done: &mut BTreeSet<(SocketAddr, SocketAddr)>) -> Vec<Row> {
    let mut ours = Datagrams::new();
    for flow in flows.iter().filter(|flow| flow.transport == Transport::Udp) {
        *ours.entry(ends(flow)).or_default() += flow.uplink.total;
    }
    let mut rows = Vec::new();
    for ((from, to), bytes) in ours {
        if done.insert((from, to)) {
            let theirs = theirs.get(&(from, to)).copied().unwrap_or(0);
            rows.push(Row { what: format!("udp {from} to {to}"), ours: bytes, theirs });
        }
    }
    rows
}

#[test]
fn the_five_parts_add_up_to_what_tshark_counts_on_every_capture() {
    let Some(folder) = captures() else { return };
    let truths = truths(&folder);
    let datagrams = datagrams(&folder, &truths);
    let nothing = Datagrams::new();
    let (mut directions, mut bytes, mut udp_directions, mut udp_bytes) = (0, 0, 0, 0);
    let mut different = BTreeMap::new();
    for (name, truth) in &truths {
        let theirs = datagrams.get(name).unwrap_or(&nothing);
        let (mut tcp_done, mut udp_done) = (BTreeSet::new(), BTreeSet::new());
        let (asking, answering) = addresses(&folder, name);
        // First every flow's initiator sends uplink, then those that answer and never ask.
        for phone in [&asking, &(&answering - &asking)].into_iter().filter(|phone| !phone.is_empty()) {
            let flows = flows(&folder, name, phone);
            let tcp = tcp(&flows, truth, &mut tcp_done);
            let udp = udp(&flows, theirs, &mut udp_done);
            let first = tcp.iter().filter(|row| !row.what.ends_with("tcp.len"));
            directions += first.clone().count();
            bytes += first.map(|row| row.theirs).sum::<u64>();
            udp_directions += udp.len();
            udp_bytes += udp.iter().map(|row| row.theirs).sum::<u64>();
            for Row { what, ours, theirs } in tcp.into_iter().chain(udp).filter(|row| row.ours != row.theirs)
            {
                different.insert((name.clone(), what), (ours, theirs));
            }
        }
        // An address that both asks and answers is uplink once: what it answered is not in the ledger. Everything else is.
        for ((from, to), bytes) in
            theirs.iter().filter(|(pair, bytes)| **bytes > 0 && !udp_done.contains(*pair))
        {
            if !udp_done.contains(&(*to, *from)) {
                different.insert((name.clone(), format!("udp {from} to {to}")), (0, *bytes));
            }
        }
    }
    println!(
        "TCP: {directions} directions, {bytes} bytes; UDP: {udp_directions} directions, {udp_bytes} bytes"
    );
    let found: BTreeSet<String> = different
        .iter()
        .map(|((name, what), (ours, theirs))| format!("{name}\t{what}\t{ours}\t{theirs}"))
        .collect();
    let explained: BTreeSet<String> =
        table("ledger_truth.expected").iter().map(|row| row[..4].join("\t")).collect();
    assert_eq!(found, explained, "differences, and those that are explained");
    assert!(directions > 1_000 && udp_directions > 500, "{directions} {udp_directions}");
}
