//! QUIC streams, put together by their offsets from tshark's frames, and the HTTP/3 in them.

use exhibit::findings::inspection::Side;

use crate::{
    http2::{Half, headers},
    pair::{Pair, Sum, list, normal, text},
    tally::Tally,
};

pub(crate) fn compare(pair: &Pair<'_>, tally: &mut Tally) {
    for value in list(&pair.truth["quic_streams"]) {
        let sender = normal(text(&value["sender"]));
        let item = format!("{}/{} {sender}", value["connection"], value["stream"]);
        let theirs = Sum::truth(value, "contiguous_len", "sha256");
        let flows = pair.ours.flows.iter().filter(|flow| flow.transport == "udp");
        let sides: Vec<&Side> = flows
            .flat_map(|flow| &flow.inner)
            .filter(|inner| inner.protocol == "quic" && inner.id == value["stream"].as_u64())
            .flat_map(|inner| &inner.directions)
            .filter(|side| side.from == sender)
            .collect();
        // A sender may open the same stream in several connections.
        let same = sides.iter().find(|side| Sum::start_of(&side.islands) == theirs);
        let said = same
            .or(sides.first())
            .map_or_else(|| "no such stream".to_owned(), |side| Sum::start_of(&side.islands).to_string());
        tally.same("QUIC streams", pair.name, item, said, theirs);
    }
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
