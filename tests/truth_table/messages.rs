//! WebSocket, MQTT, SMTP, FTP, mails and files of TFTP.

use std::collections::{BTreeMap, BTreeSet};

use exhibit::findings::inspection::{Flow, Message};
use serde_json::Value;

use crate::{
    pair::{Pair, Sum, list, text},
    tally::Tally,
};

pub(crate) fn compare(pair: &Pair<'_>, tally: &mut Tally) {
    websocket(pair, tally);
    mqtt(pair, tally);
    commands(pair, "smtp", "SMTP commands", &pair.truth["smtp_commands"], tally);
    commands(pair, "ftp", "FTP commands", &pair.truth["ftp_commands"], tally);
    objects(pair, "mails", &pair.truth["export_objects_imf"], tally);
    objects(pair, "TFTP files", &pair.truth["export_objects_tftp"], tally);
}

/// Messages of a protocol in a flow, of one sender where it is given by its port.
fn messages<'a>(
    pair: &Pair<'a>,
    flow: Option<&Flow>,
    protocol: &str,
    port: Option<&str>,
) -> Vec<&'a Message> {
    let Some(flow) = flow else { return Vec::new() };
    let sent = |message: &&Message| {
        let end = if message.from == "initiator" { &flow.initiator } else { &flow.responder };
        port.is_none_or(|port| end.rsplit_once(':').is_some_and(|(_, of_it)| of_it == port))
    };
    pair.messages(flow).into_iter().filter(|m| m.protocol == protocol).filter(sent).collect()
}

/// Truth lists frames; a message is one or several of them (RFC 6455 section 5.4).
fn websocket(pair: &Pair<'_>, tally: &mut Tally) {
    let mut senders: BTreeMap<(u64, String), Vec<&Value>> = BTreeMap::new();
    for frame in list(&pair.truth["websocket"]) {
        let key = (frame["tcp_stream"].as_u64().unwrap(), text(&frame["src_port"]).to_owned());
        senders.entry(key).or_default().push(frame);
    }
    for ((stream, port), frames) in senders {
        let ours = messages(pair, pair.flow(&stream.into()), "websocket", Some(&port));
        // Which message each frame belongs to, and what all of its frames say.
        let (mut theirs, mut of): (Vec<(String, u64)>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut open = None;
        for frame in &frames {
            let len = text(&frame["payload_length"]).parse::<u64>().unwrap();
            let opcode = text(&frame["opcode"]);
            let at = match (opcode, open) {
                ("0", Some(at)) => at,
                _ => {
                    theirs.push((kind(opcode).to_owned(), 0));
                    theirs.len() - 1
                }
            };
            theirs[at].1 += len;
            of.push(at);
            match opcode {
                "0" | "1" | "2" => open = (frame["fin"] != "1").then_some(at),
                _ => {}
            }
        }
        for (frame, at) in frames.iter().zip(of) {
            let (kind, len) = &theirs[at];
            let mut said = "no such message".to_owned();
            if let Some(m) = ours.get(at) {
                let mut ours = m.body.as_ref().map_or(0, |body| body.wire_len);
                // tshark's field is the seven bits of the header: 126 says that the length stands elsewhere.
                if *len == 126 && (126..=0xffff).contains(&ours) {
                    ours = 126;
                }
                said = format!("{} of {ours} bytes", m.kind);
            }
            let item = format!("{stream}/{port} {}", frame["frame"]);
            let item = unique(pair, tally, "WebSocket frames", item);
            tally.same("WebSocket frames", pair.name, item, said, format!("{kind} of {len} bytes"));
        }
        for message in ours.iter().skip(theirs.len()) {
            let item = format!("{stream}/{port} {}", message.n);
            tally.beside("WebSocket frames", pair.name, item, message.kind.clone());
        }
    }
}

/// RFC 6455 section 11.8.
fn kind(opcode: &str) -> &str {
    match opcode {
        "0" => "continuation",
        "1" => "text",
        "2" => "binary",
        "8" => "close",
        "9" => "ping",
        "10" => "pong",
        other => other,
    }
}

/// A second thing of one frame gets another name.
fn unique(pair: &Pair<'_>, tally: &Tally, category: &'static str, item: String) -> String {
    let mut name = item.clone();
    let mut n = 1;
    while tally.has(category, pair.name, &name) {
        n += 1;
        name = format!("{item}/{n}");
    }
    name
}

/// MQTT 3.1.1 section 2.2.1.
const MQTT: [&str; 16] = [
    "0",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

fn mqtt(pair: &Pair<'_>, tally: &mut Tally) {
    let truth = list(&pair.truth["mqtt"]);
    for stream in streams(pair, "mqtt", truth.iter().map(|packet| &packet["tcp_stream"])) {
        let theirs: Vec<&Value> = truth.iter().filter(|packet| packet["tcp_stream"] == stream).collect();
        let mut ours = messages(pair, pair.flow(&stream.into()), "mqtt", None);
        ours.sort_by_key(|message| (message.frame, message.n));
        for (n, packet) in theirs.iter().enumerate() {
            let kind = MQTT[text(&packet["msgtype"]).parse::<usize>().unwrap()];
            let data = if packet["msg_len"].is_u64() {
                Sum::truth(packet, "msg_len", "msg_sha256").to_string()
            } else {
                String::new()
            };
            let frame = packet["frame"].as_u64().unwrap();
            let said = ours.get(n).map_or_else(
                || "no such packet".to_owned(),
                |message| {
                    let body = message.body.as_ref().filter(|_| !data.is_empty());
                    let body = body.map(|body| Sum::ours(body.len, body.sha256).to_string());
                    let begun = message.frame.map(|frame| frame.to_string()).unwrap_or_default();
                    format!("{begun} {} {} {}", message.kind, message.name, body.unwrap_or_default())
                },
            );
            let theirs = format!("{frame} {kind} {} {data}", text(&packet["topic"]));
            tally.same("MQTT packets", pair.name, format!("{stream}/{n}"), said, theirs);
        }
        for message in ours.iter().skip(theirs.len()) {
            tally.beside("MQTT packets", pair.name, format!("{stream}/{}", message.n), message.kind.clone());
        }
    }
}

/// The numbers of TCP streams that a list speaks of, and of those in which we see a protocol.
fn streams<'a>(pair: &Pair<'_>, protocol: &str, truth: impl Iterator<Item = &'a Value>) -> BTreeSet<u64> {
    let theirs = truth.filter_map(|stream| stream.as_u64().or_else(|| stream.as_str()?.parse().ok()));
    let ours = pair.tcp().filter(|(_, flow)| !messages(pair, Some(flow), protocol, None).is_empty());
    theirs.chain(ours.map(|(number, _)| number)).collect()
}

/// Truth lists frames: several commands of one frame stand in one text with `|` between.
fn commands(pair: &Pair<'_>, protocol: &str, category: &'static str, truth: &Value, tally: &mut Tally) {
    for stream in streams(pair, protocol, list(truth).iter().map(|command| &command[1])) {
        let of_it = |command: &&Value| text(&command[1]).parse() == Ok(stream);
        let theirs: Vec<&Value> = list(truth).iter().filter(of_it).collect();
        let flow = pair.flow(&stream.into());
        let mut ours = messages(pair, flow, protocol, None);
        // Commands, not what answers them, and not the files of FTP. DATA of SMTP is a command with a mail.
        ours.retain(|message| {
            let file = protocol == "ftp" && message.body.is_some();
            message.kind.starts_with(|c: char| c.is_ascii_alphabetic()) && !file
        });
        let mut next = 0;
        for (n, command) in theirs.iter().enumerate() {
            let verbs: Vec<&str> = text(&command[2]).split('|').collect();
            let said: Vec<&Message> = ours.iter().skip(next).take(verbs.len()).copied().collect();
            next += verbs.len();
            let kinds: Vec<&str> = said.iter().map(|message| message.kind.as_str()).collect();
            let names: Vec<&str> =
                said.iter().map(|message| message.name.as_str()).filter(|name| !name.is_empty()).collect();
            let frame = said.first().and_then(|message| message.frame).map(|frame| frame.to_string());
            let frame = frame.unwrap_or_default();
            let ours = format!("{frame} {} {}", kinds.join("|"), names.join("|"));
            let theirs = format!("{} {} {}", command[0], verbs.join("|"), text(&command[3]));
            tally.same(category, pair.name, format!("{stream}/{n}"), ours.trim(), theirs.trim());
        }
        for message in ours.iter().skip(next) {
            tally.beside(category, pair.name, format!("{stream}/{}", message.n), message.kind.clone());
        }
    }
}

/// What tshark exports must be the content of a message or of an HTTP body, or a part of one.
fn objects(pair: &Pair<'_>, category: &'static str, truth: &Value, tally: &mut Tally) {
    let messages = pair.ours.messages.iter().filter_map(|message| message.body.as_ref());
    let requests = pair.ours.transactions.iter().filter_map(|one| one.body.as_ref());
    let responses = pair.ours.transactions.iter().filter_map(|one| one.response.as_ref()?.body.as_ref());
    let bodies: Vec<_> = messages.chain(requests).chain(responses).collect();
    let wholes = bodies.iter().flat_map(|body| {
        let decoded = body.decoded_len.zip(body.decoded_sha256).map(|(len, digest)| (len, Some(digest)));
        [(body.wire_len, body.wire_sha256), (body.len, body.sha256)].into_iter().chain(decoded)
    });
    let parts = bodies.iter().flat_map(|body| &body.multipart).map(|part| (part.len, Some(part.sha256)));
    let forms: BTreeSet<(u64, String)> =
        wholes.chain(parts).filter_map(|(len, digest)| Some((len, digest?.to_string()))).collect();
    for (n, object) in list(truth).iter().enumerate() {
        let Sum(len, sha256) = Sum::truth(object, "size", "sha256");
        let found = forms.contains(&(len, sha256));
        let item = format!("{n} {}", text(&object["name"]));
        tally.compared(category, pair.name, item, (!found).then(|| format!("nothing of {len} bytes is it")));
    }
}
