//! HTTP/2: header lists and data of each stream, as python's hpack and an independent framer read them.

use std::collections::BTreeSet;

use exhibit::findings::inspection::{Body, Transaction};
use serde_json::Value;

use crate::{
    pair::{Pair, Sum, list, text},
    tally::Tally,
};

pub(crate) fn compare(pair: &Pair<'_>, tally: &mut Tally) {
    for value in list(&pair.truth["http2"]) {
        let sender = text(&value["sender"]);
        let item = format!("{}/{} {sender}", value["tcp_stream"], value["stream"]);
        let flow = pair.flow(&value["tcp_stream"]);
        let known = flow.is_some_and(|flow| {
            flow.protocol == "http2" || flow.inner_protocols.iter().any(|name| name == "http2")
        });
        if !known {
            let how = || Some("HTTP/2 is not recognised".to_owned());
            tally.compared("HTTP/2 headers", pair.name, &item, how());
            tally.compared("HTTP/2 data", pair.name, &item, how());
            continue;
        }
        let ours = pair.ours.transactions.iter().find(|transaction| {
            flow.is_some_and(|flow| flow.name == transaction.flow)
                && transaction.stream == value["stream"].as_u64()
        });
        // What an upgrade to h2c answers on stream 1 was asked for by HTTP/1: that list is none of HTTP/2.
        let asked = ours.is_some_and(|transaction| transaction.protocol == "http2");
        // A promise stands with the stream that it came on there, and here with the one that is promised.
        let is_promised = value["stream"].as_u64().is_some_and(|stream| stream.is_multiple_of(2));
        let half =
            Half::of(ours.filter(|_| sender == "server" || (asked && !is_promised)), sender == "client");
        let is_promise = |list: &&Value| sender == "server" && list[0][0] == ":method";
        let (promises, own): (Vec<&Value>, Vec<&Value>) =
            list(&value["headers"]).iter().partition(is_promise);
        let told = |promise: &&Value| {
            let wanted = headers(&Value::Array(vec![(*promise).clone()]));
            flow.is_some_and(|flow| {
                pair.transactions(flow).into_iter().any(|transaction| {
                    transaction.stream.is_some_and(|stream| stream.is_multiple_of(2))
                        && Half::of(Some(transaction), true).headers == wanted
                })
            })
        };
        let missing: Vec<Value> = promises.into_iter().filter(|p| !told(p)).cloned().collect();
        let own = missing.into_iter().chain(own.into_iter().cloned()).collect();
        tally.same("HTTP/2 headers", pair.name, &item, half.headers, headers(&Value::Array(own)));
        let theirs = match value["data_len"].as_u64() {
            Some(0) | None => Sum::of(b""),
            Some(_) => Sum::truth(value, "data_len", "data_sha256"),
        };
        tally.same("HTTP/2 data", pair.name, &item, half.data, theirs);
    }
    beside(pair, tally);
}

/// Streams of flows that the truth speaks of which it does not hold.
fn beside(pair: &Pair<'_>, tally: &mut Tally) {
    let truth = list(&pair.truth["http2"]);
    let numbers: BTreeSet<u64> = truth.iter().filter_map(|value| value["tcp_stream"].as_u64()).collect();
    for number in numbers {
        let Some(flow) = pair.flow(&number.into()) else { continue };
        for transaction in pair.transactions(flow) {
            let Some(stream) = transaction.stream else { continue };
            for (sender, own) in [("client", transaction.protocol == "http2"), ("server", true)] {
                let half = Half::of(Some(transaction), sender == "client");
                let held = truth.iter().any(|value| {
                    value["tcp_stream"] == number && value["stream"] == stream && value["sender"] == sender
                });
                if own && !held && !half.headers.is_empty() {
                    let item = format!("{number}/{stream} {sender}");
                    tally.beside("HTTP/2 headers", pair.name, item, half.headers);
                }
            }
        }
    }
}

/// What one end sent in a stream: header lists as text, and its body.
pub(crate) struct Half {
    pub(crate) headers: String,
    pub(crate) data: Sum,
}

impl Half {
    pub(crate) fn of(ours: Option<&Transaction>, request: bool) -> Self {
        let nothing: Vec<[String; 2]> = Vec::new();
        let (interim, fields, body) = match ours {
            Some(ours) if request => (&[][..], &ours.fields, ours.body.as_ref()),
            Some(ours) => match &ours.response {
                Some(response) => (&response.interim[..], &response.fields, response.body.as_ref()),
                None => (&[][..], &nothing, None),
            },
            None => (&[][..], &nothing, None),
        };
        let interim = interim.iter().filter(|status| **status != 101);
        let interim = interim.map(|status| format!(":status: {status}"));
        let fields = fields.iter().map(|[name, value]| format!("{name}: {value}"));
        let data =
            body.map_or_else(|| Sum::of(b""), |body: &Body| Sum::ours(body.wire_len, body.wire_sha256));
        Self { headers: interim.chain(fields).collect::<Vec<_>>().join("\n"), data }
    }
}

/// Header lists as text; of an interim response only its status is listed here.
pub(crate) fn headers(lists: &Value) -> String {
    let mut lines = Vec::new();
    for block in list(lists) {
        let fields: Vec<(&str, &str)> = list(block).iter().map(|f| (text(&f[0]), text(&f[1]))).collect();
        let interim = fields.iter().any(|(name, value)| *name == ":status" && value.starts_with('1'));
        let kept = fields.iter().filter(|(name, _)| !interim || *name == ":status");
        lines.extend(kept.map(|(name, value)| format!("{name}: {value}")));
    }
    lines.join("\n")
}
