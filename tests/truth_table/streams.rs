//! TCP connections, and each of their directions: islands of bytes, gaps, conflicts; the plaintext of TLS.

use exhibit::findings::inspection::{Island, Side};
use serde_json::Value;

use crate::{
    pair::{Pair, Sum, list, normal, side_of, text},
    tally::Tally,
};

pub(crate) fn compare(pair: &Pair<'_>, tally: &mut Tally) {
    for stream in list(&pair.truth["tcp_streams"]) {
        connection(pair, stream, tally);
        for reassembly in list(&stream["reassembly"]) {
            if reassembly["bytes_present"].as_u64().is_some_and(|bytes| bytes > 0) {
                direction(pair, &stream["stream"], reassembly, tally);
            }
        }
    }
    let ours = pair.ours.flows.iter().filter(|flow| flow.transport == "tcp");
    for flow in ours.filter(|flow| !pair.tcp().any(|(_, known)| known.name == flow.name)) {
        tally.beside("TCP connections", pair.name, &flow.name, format!("{} frames", flow.frames));
    }
    plaintexts(pair, tally);
}

fn connection(pair: &Pair<'_>, stream: &Value, tally: &mut Tally) {
    let frames: u64 = list(&stream["packets"]).iter().filter_map(Value::as_u64).sum();
    let ours = pair.flow(&stream["stream"]).map(|flow| flow.frames);
    let ours = ours.map_or_else(|| "no such connection".to_owned(), |frames| format!("{frames} frames"));
    tally.same("TCP connections", pair.name, &stream["stream"], ours, format!("{frames} frames"));
}

fn direction(pair: &Pair<'_>, number: &Value, truth: &Value, tally: &mut Tally) {
    let item = format!("{number} {}", text(&truth["from"]));
    let side = pair.flow(number).and_then(|flow| side_of(&flow.directions, &normal(text(&truth["from"]))));
    let last_wins = list(&truth["islands_last_wins"]);
    let Some(side) = side else {
        let missing = || Some("no such direction here".to_owned());
        tally.compared("TCP directions", pair.name, &item, missing());
        tally.compared("  conflict bytes", pair.name, &item, missing());
        if !last_wins.is_empty() {
            tally.compared("  last wins", pair.name, &item, missing());
        }
        return;
    };
    let syn = truth["syn_seen"].as_bool().unwrap();
    let ours = format!("{} (SYN {})", shape(&ours(&side.islands)), side.from_start);
    let theirs = format!("{} (SYN {syn})", shape(&theirs(list(&truth["islands"]), syn)));
    tally.same("TCP directions", pair.name, &item, ours, theirs);
    tally.same("  conflict bytes", pair.name, &item, side.conflict_bytes, &truth["conflict_bytes"]);
    if !last_wins.is_empty() {
        let ours = shape(&self::ours(&side.islands_last_wins));
        tally.same("  last wins", pair.name, &item, ours, shape(&self::theirs(last_wins, syn)));
    }
}

/// Offset, length and digest of a run of bytes.
type Run = (i64, Sum);

fn ours(islands: &[Island]) -> Vec<Run> {
    let run = |i: &Island| (i64::try_from(i.offset).unwrap(), Sum(i.len, i.sha256.to_string()));
    islands.iter().map(run).collect()
}

/// Truth counts from the first byte seen where there was no SYN; a stream counts from the lowest.
fn theirs(islands: &[Value], syn: bool) -> Vec<Run> {
    let lowest = islands.first().map_or(0, |island| island["offset"].as_i64().unwrap());
    let run = |i: &Value| {
        let offset = i["offset"].as_i64().unwrap();
        (if syn { offset } else { offset - lowest }, Sum::truth(i, "len", "sha256"))
    };
    islands.iter().map(run).collect()
}

/// All of it, for comparing; people read the beginning.
fn shape(runs: &[Run]) -> String {
    runs.iter().map(|(at, sum)| format!("{at}+{} {}", sum.0, sum.1)).collect::<Vec<_>>().join(", ")
}

fn plaintexts(pair: &Pair<'_>, tally: &mut Tally) {
    for stream in list(&pair.truth["tls_decrypted_streams"]) {
        let flow = pair.flow(&stream["tcp_stream"]);
        let inner = flow.and_then(|flow| flow.inner.iter().find(|inner| inner.protocol == "tls"));
        // One of the two ends is named; the other one is the other one.
        let known = |end: &str| flow.is_some_and(|flow| side_of(&flow.directions, end).is_some());
        let ends = ["node0", "node1"].map(|end| normal(text(&stream[end])));
        for (node, end, other) in [("node0", &ends[0], &ends[1]), ("node1", &ends[1], &ends[0])] {
            let side: Option<&Side> = inner.and_then(|inner| {
                let is_it = |side: &&Side| if known(end) { side.from == *end } else { side.from != *other };
                inner.directions.iter().find(is_it)
            });
            let ours = side.map_or_else(
                || "not decrypted".to_owned(),
                |side| {
                    let gaps = if side.gaps.is_empty() { "" } else { " and gaps" };
                    format!("{}{gaps}", Sum::start_of(&side.islands))
                },
            );
            let theirs = Sum::truth(&stream[format!("{node}_plain")], "len", "sha256");
            let item = format!("{} {node}", stream["tcp_stream"]);
            tally.same("TLS plaintext directions", pair.name, item, ours, theirs);
        }
    }
    // tshark lists what its follow gave; a connection that we decrypt and it does not is worth a look.
    for (number, flow) in pair.tcp() {
        let listed = list(&pair.truth["tls_decrypted_streams"]).iter().any(|s| s["tcp_stream"] == number);
        let bytes = |inner: &exhibit::findings::inspection::Inner| {
            inner.directions.iter().map(|side| side.bytes_present).sum::<u64>()
        };
        let decrypted: u64 = flow.inner.iter().filter(|inner| inner.protocol == "tls").map(bytes).sum();
        if !listed && decrypted > 0 {
            let how = format!("{decrypted} bytes decrypted");
            tally.beside("TLS plaintext directions", pair.name, number, how);
        }
    }
}
