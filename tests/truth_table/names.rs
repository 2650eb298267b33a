//! DNS messages and TLS hellos.

use std::collections::{BTreeMap, BTreeSet};

use exhibit::findings::inspection::{Dns, Hello};
use serde_json::Value;

use crate::{
    pair::{Pair, list, text},
    tally::Tally,
};

pub(crate) fn compare(pair: &Pair<'_>, tally: &mut Tally) {
    dns(pair, tally);
    hellos(pair, tally);
}

fn dns(pair: &Pair<'_>, tally: &mut Tally) {
    let mut ours: BTreeMap<u64, Vec<&Dns>> = BTreeMap::new();
    for message in &pair.ours.dns {
        ours.entry(u64::from(message.frame.0)).or_default().push(message);
    }
    let mut nth: BTreeMap<u64, usize> = BTreeMap::new();
    for value in list(&pair.truth["dns"]) {
        let frame = value["frame"].as_u64().unwrap();
        let same = nth.entry(frame).or_default();
        let item = if *same == 0 { frame.to_string() } else { format!("{frame}/{same}") };
        *same += 1;
        let theirs = truth_message(value);
        let all = ours.entry(frame).or_default();
        // Several messages of one frame are told apart by what they say.
        let at =
            all.iter().position(|message| our_message(message) == theirs).or((!all.is_empty()).then_some(0));
        let said = at.map_or_else(|| "no such message".to_owned(), |at| our_message(all.remove(at)));
        tally.same("DNS messages", pair.name, item, said, theirs);
    }
    for (frame, left) in ours {
        for (n, message) in left.into_iter().enumerate() {
            tally.beside("DNS messages", pair.name, format!("{frame}/{n}"), our_message(message));
        }
    }
}

fn our_message(message: &Dns) -> String {
    // `NAME TYPE VALUE`; the names and types that the truth lists are those of addresses and aliases.
    let values: BTreeSet<&str> = message
        .answers
        .iter()
        .filter_map(|answer| {
            let (rest, value) = answer.rsplit_once(' ')?;
            let kind = rest.rsplit_once(' ').map_or(rest, |(_, kind)| kind);
            ["A", "AAAA", "CNAME"].contains(&kind).then_some(value)
        })
        .collect();
    let rcode = if message.response { message.rcode.to_string() } else { String::new() };
    let names: BTreeSet<&str> =
        message.query.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    said(message.response, &format!("0x{:04x}", message.id), &rcode, &names, &values)
}

fn truth_message(value: &Value) -> String {
    let lower = |value: &Value| text(value).to_lowercase().replace("<root>", "");
    let names: Vec<String> = list(&value["query"]).iter().map(lower).collect();
    let values: Vec<String> =
        ["a", "aaaa", "cname"].iter().flat_map(|kind| list(&value[kind])).map(lower).collect();
    let names = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let values = values.iter().map(String::as_str).collect();
    said(value["response"] == "1", text(&value["id"]), text(&value["rcode"]), &names, &values)
}

fn said(response: bool, id: &str, rcode: &str, names: &BTreeSet<&str>, values: &BTreeSet<&str>) -> String {
    let kind = if response { "response" } else { "query" };
    format!("{kind} {id} rcode {rcode:?} {names:?} {values:?}")
}

fn hellos(pair: &Pair<'_>, tally: &mut Tally) {
    let mut ours: Vec<&Hello> = pair.ours.tls_hellos.iter().collect();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for value in list(&pair.truth["tls_hellos"]) {
        let client = list(&value["types"]).iter().any(|kind| kind == "1");
        let from = if client { "client" } else { "server" };
        let sni = value["sni"].as_str().map(str::to_lowercase);
        let frame = value["frame"].as_u64().unwrap();
        let item = format!("{frame} {from}");
        let same = seen.entry(item.clone()).or_default();
        let item = if *same == 0 { item } else { format!("{item}/{same}") };
        *same += 1;
        // A hello over several frames is counted by its last one there, by its first one here.
        let fits =
            |hello: &&Hello| hello.from == from && hello.sni == sni && u64::from(hello.frame.0) <= frame;
        let Some(at) = ours.iter().rposition(fits) else {
            let how = format!("no such hello: {from} {sni:?}");
            tally.compared("TLS hellos", pair.name, item, Some(how));
            continue;
        };
        let hello = ours.remove(at);
        tally.same("TLS hellos", pair.name, item, our_hello(hello), truth_hello(value, client));
    }
    for hello in ours {
        let item = format!("{} {}", hello.frame, hello.from);
        tally.beside("TLS hellos", pair.name, item, our_hello(hello));
    }
}

fn our_hello(hello: &Hello) -> String {
    let cipher = hello.ciphers.first().filter(|_| hello.from == "server").map_or("", String::as_str);
    format!("versions {:?} alpn {:?} {cipher}", hello.versions, hello.alpn)
}

fn truth_hello(value: &Value, client: bool) -> String {
    let texts = |value: &Value| -> Vec<String> { list(value).iter().map(|v| text(v).to_owned()).collect() };
    let supported = texts(&value["supported_versions"]);
    let versions = if supported.is_empty() { vec![text(&value["version"]).to_owned()] } else { supported };
    let cipher = if client { "" } else { text(&value["server_cipher"]) };
    format!("versions {versions:?} alpn {:?} {cipher}", texts(&value["alpn"]))
}
