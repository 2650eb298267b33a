//! QUIC connections, their streams, put together by their offsets from tshark's frames, and the HTTP/3 in them.

use exhibit::findings::inspection::Side;

use crate::{
    http2::{Half, headers},
    pair::{Pair, Sum, list, normal, text},
    tally::Tally,
};

pub(crate) fn compare(pair: &Pair<'_>, tally: &mut Tally) {
    if let Some(theirs) = pair.truth["counts"]["quic_connections"].as_u64().filter(|&count| count > 0) {
        tally.same("QUIC connections", pair.name, "-", pair.ours.quic_connections.len(), theirs);
    }
    for connection in pair.ours.quic_connections.iter().filter(|connection| connection.decrypted) {
        let name = pair.name;
        assert_eq!(connection.opened, connection.packets, "{name}: a packet does not open: {connection:?}");
    }
    streams(pair, tally);
    http3(pair, tally);
}

fn streams(pair: &Pair<'_>, tally: &mut Tally) {
    let flows = pair.ours.flows.iter().filter(|flow| flow.transport == "udp");
    let inner = flows.flat_map(|flow| &flow.inner).filter(|inner| inner.protocol == "quic");
    let sides = inner.flat_map(|inner| inner.directions.iter().map(|side| (inner.id.unwrap(), side)));
    let mut ours: Vec<(u64, &Side)> =
        sides.filter(|(_, side)| side.bytes_present > 0 || !side.gaps.is_empty()).collect();
    let mut theirs: Vec<_> = list(&pair.truth["quic_streams"]).iter().collect();
    // Where tshark shows one port for both ends, the truth has none for one of them: those take what is left.
    theirs.sort_by_key(|value| text(&value["sender"]).ends_with(":None"));
    for value in theirs {
        let (id, sender) = (value["stream"].as_u64().unwrap(), normal(text(&value["sender"])));
        let item = format!("{}/{id} {sender}", value["connection"]);
        let sum = Sum::truth(value, "contiguous_len", "sha256");
        let fits =
            |(of, side): &(u64, &Side)| *of == id && (side.from == sender || sender.ends_with(":None"));
        // A sender may open the same stream in several connections.
        let same = |one: &(u64, &Side)| fits(one) && Sum::start_of(&one.1.islands) == sum;
        let said = match ours.iter().position(same).or_else(|| ours.iter().position(fits)) {
            Some(at) => Sum::start_of(&ours.remove(at).1.islands).to_string(),
            // The truth lists what holds no bytes as well.
            None if sum == Sum::of(b"") => sum.to_string(),
            None => "no such stream".to_owned(),
        };
        tally.same("QUIC streams", pair.name, item, said, sum);
    }
    for (id, side) in ours {
        let item = format!("{id} {}", side.from);
        tally.beside("QUIC streams", pair.name, item, Sum::start_of(&side.islands).to_string());
    }
}

fn http3(pair: &Pair<'_>, tally: &mut Tally) {
    for value in list(&pair.truth["http3"]) {
        let request = value["node"] == 0;
        let item = format!("{}/{} node {}", value["connection"], value["stream"], value["node"]);
        let theirs = (headers(&value["headers"]), Sum::truth(value, "data_len", "data_sha256"));
        let halves: Vec<Half> = pair
            .ours
            .transactions
            .iter()
            .filter(|t| t.protocol == "http3" && t.stream == value["stream"].as_u64())
            .map(|transaction| Half::of(Some(transaction), request))
            .collect();
        let same = halves.iter().find(|half| half.headers == theirs.0 && half.data == theirs.1);
        let (head, data) = match same.or(halves.first()) {
            Some(half) => (half.headers.clone(), half.data.to_string()),
            None => ("no such stream".to_owned(), "no such stream".to_owned()),
        };
        tally.same("HTTP/3 headers", pair.name, &item, head, theirs.0);
        tally.same("HTTP/3 data", pair.name, &item, data, theirs.1);
    }
}
