//! One capture: its truth and what the program said.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use exhibit::{
    evidence::Digest,
    findings::inspection::{Flow, Inspection, Island, Message, Side, Transaction},
};
use serde_json::Value;

/// The items of a list; none where there is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty where there is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Truth writes IPv6 ends without brackets.
pub(crate) fn normal(end: &str) -> String {
    let Some((address, port)) = end.rsplit_once(':') else { return end.to_owned() };
    match (address.parse::<IpAddr>(), port.parse()) {
        (Ok(ip), Ok(port)) => SocketAddr::new(ip, port).to_string(),
        _ => end.to_owned(),
    }
}

/// Length and digest of bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sum(pub(crate) u64, pub(crate) String);

impl Sum {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(bytes.len() as u64, Digest::of(bytes).to_string())
    }

    pub(crate) fn ours(len: u64, digest: Option<Digest>) -> Self {
        Self(len, digest.map_or_else(|| "no digest".to_owned(), |digest| digest.to_string()))
    }

    pub(crate) fn truth(value: &Value, len: &str, sha256: &str) -> Self {
        Self(value[len].as_u64().unwrap_or(0), value[sha256].as_str().unwrap_or("no digest").to_owned())
    }

    /// Bytes from the first one to the first gap.
    pub(crate) fn start_of(islands: &[Island]) -> Self {
        match islands.first() {
            Some(island) if island.offset == 0 => Self(island.len, island.sha256.to_string()),
            _ => Self::of(b""),
        }
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0, self.1.get(..12).unwrap_or(&self.1))
    }
}

pub(crate) struct Pair<'a> {
    pub(crate) name: &'a str,
    pub(crate) truth: &'a Value,
    pub(crate) ours: &'a Inspection,
    /// Our flow for each of Wireshark's TCP streams.
    flows: BTreeMap<u64, &'a Flow>,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(name: &'a str, truth: &'a Value, ours: &'a Inspection) -> Self {
        // Flows of the same ends come in the same order as Wireshark's streams.
        let mut by_ends: BTreeMap<BTreeSet<String>, Vec<&Flow>> = BTreeMap::new();
        for flow in ours.flows.iter().filter(|flow| flow.transport == "tcp") {
            let ends = [flow.initiator.clone(), flow.responder.clone()];
            by_ends.entry(ends.into_iter().collect()).or_default().push(flow);
        }
        let mut seen: BTreeMap<BTreeSet<String>, usize> = BTreeMap::new();
        let mut flows = BTreeMap::new();
        for stream in list(&truth["tcp_streams"]) {
            let ends: BTreeSet<String> =
                ["first_sender", "other"].into_iter().map(|end| normal(text(&stream[end]))).collect();
            let nth = seen.entry(ends.clone()).or_default();
            if let Some(flow) = by_ends.get(&ends).and_then(|flows| flows.get(*nth)) {
                flows.insert(stream["stream"].as_u64().unwrap(), *flow);
            }
            *nth += 1;
        }
        Self { name, truth, ours, flows }
    }

    /// Our flow for the TCP stream of this number, which truth writes as number or text.
    pub(crate) fn flow(&self, stream: &Value) -> Option<&'a Flow> {
        let number = stream.as_u64().or_else(|| stream.as_str()?.parse().ok())?;
        self.flows.get(&number).copied()
    }

    /// All flows with their numbers.
    pub(crate) fn tcp(&self) -> impl Iterator<Item = (u64, &'a Flow)> + '_ {
        self.flows.iter().map(|(number, flow)| (*number, *flow))
    }

    pub(crate) fn transactions(&self, flow: &Flow) -> Vec<&'a Transaction> {
        self.ours.transactions.iter().filter(|transaction| transaction.flow == flow.name).collect()
    }

    pub(crate) fn messages(&self, flow: &Flow) -> Vec<&'a Message> {
        self.ours.messages.iter().filter(|message| message.flow == flow.name).collect()
    }
}

/// Which of two directions an end sends.
pub(crate) fn side_of<'s>(directions: &'s [Side], from: &str) -> Option<&'s Side> {
    directions.iter().find(|side| side.from == from)
}

/// Pairs two sequences so that as many as possible of the same key stand together, in order.
pub(crate) fn aligned<K: PartialEq>(ours: &[K], theirs: &[K]) -> Vec<(Option<usize>, Option<usize>)> {
    let (n, m) = (ours.len(), theirs.len());
    let mut longest = vec![vec![0_u32; m + 1]; n + 1];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            longest[i][j] = if ours[i] == theirs[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < n || j < m {
        if i < n && j < m && ours[i] == theirs[j] {
            pairs.push((Some(i), Some(j)));
            (i, j) = (i + 1, j + 1);
        } else if j == m || (i < n && longest[i + 1][j] >= longest[i][j + 1]) {
            pairs.push((Some(i), None));
            i += 1;
        } else {
            pairs.push((None, Some(j)));
            j += 1;
        }
    }
    pairs
}
