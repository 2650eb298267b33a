//! Mail, file transfer and messaging in public captures, held to what tshark made of them: commands, mails, payloads.
//!
//! Everything that a truth file lists must come out of the road from capture to leaves. What differs stands, with its
//! reason, in `apps_truth.expected`; a line there that no longer differs fails too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
    sync::Arc,
};

use exhibit::{
    case::capture::Capture,
    engine::{
        decode::{Context, Conversation, Shared, sink::*, walk},
        net::{self, Side},
        proto::keylog::KeyLog,
    },
    evidence::{AnomalyKind, Blob, Digest, FileBlob, FrameNo, Limits, Scratch},
    findings::Step,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

mod support;

/// What all truth files hold; fewer compared is a failure.
const COUNTS: [(&str, usize); 5] =
    [("SMTP commands", 63), ("mails", 35), ("FTP commands", 47), ("MQTT packets", 32), ("MQTT payloads", 6)];

/// Bytes by length and digest.
type Sum = (u64, String);

struct Leaf {
    transaction: Option<TransactionId>,
    conversation: usize,
    ops: Vec<String>,
    hasher: Sha256,
    len: u64,
}

impl Leaf {
    fn sum(&self) -> Sum {
        (self.len, Digest::finish(self.hasher.clone()).to_string())
    }
}

/// What came out of one capture.
#[derive(Default)]
struct Seen {
    leaves: Vec<Leaf>,
    protocols: BTreeSet<&'static str>,
    messages: Vec<(usize, Message)>,
    /// Conversations that were walked so far.
    conversations: usize,
    anomalies: Vec<(AnomalyKind, String)>,
}

impl Sink for Seen {
    fn open(&mut self, origin: Origin) -> LeafId {
        let (transaction, conversation) = (origin.transaction, self.conversations);
        self.leaves.push(Leaf { transaction, conversation, ops: Vec::new(), hasher: Sha256::new(), len: 0 });
        LeafId(u32::try_from(self.leaves.len() - 1).unwrap())
    }

    fn write(&mut self, leaf: LeafId, bytes: &[u8], _: Source) {
        let leaf = &mut self.leaves[leaf.0 as usize];
        leaf.hasher.update(bytes);
        leaf.len += bytes.len() as u64;
    }

    fn close(&mut self, leaf: LeafId, steps: &[Step]) {
        let leaf = &mut self.leaves[leaf.0 as usize];
        leaf.ops = steps.iter().map(|step| step.op.clone()).collect();
        assert_eq!(steps.last().unwrap().output, leaf.len, "{steps:?}");
    }

    fn protocol(&mut self, name: &'static str) {
        self.protocols.insert(name);
    }

    fn message(&mut self, message: &Message) {
        self.messages.push((self.conversations, message.clone()));
    }

    fn anomaly(&mut self, kind: AnomalyKind, _: Option<FrameNo>, detail: String) {
        self.anomalies.push((kind, detail));
    }
}

impl Seen {
    fn of(folder: &Path, name: &str) -> Self {
        let file: Arc<dyn Blob> = Arc::new(FileBlob::new(File::open(folder.join(name)).unwrap()).unwrap());
        let scratch = Scratch::new(std::env::temp_dir());
        let capture = Capture::open(name, file, &scratch).unwrap();
        let index = net::index(&capture, &Limits::default()).unwrap();
        let (limits, keys) = (Limits::default(), KeyLog::default());
        let context = Context::new(&limits, &keys, &scratch);
        let mut seen = Self::default();
        for group in index.groups().iter() {
            let mut shared = Shared::default();
            for flow in group.iter().filter_map(|id| index.flow(*id)) {
                let up = index.stream(flow.id, Side::Initiator).unwrap();
                let down = index.stream(flow.id, Side::Responder).unwrap();
                let conversation = Conversation {
                    transport: flow.transport,
                    up: &up,
                    down: &down,
                    local: flow.initiator,
                    remote: flow.responder,
                };
                seen.conversations += 1;
                walk(&conversation, &context, &mut shared, &mut seen).unwrap();
            }
        }
        seen
    }

    /// Leaves whose last operation is this one.
    fn sums(&self, op: &str) -> Vec<Sum> {
        let ends = |leaf: &&Leaf| leaf.ops.last().is_some_and(|last| last == op);
        self.leaves.iter().filter(ends).map(Leaf::sum).collect()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What was compared, and what differs: capture, item and how.
#[derive(Default)]
struct Tally {
    compared: BTreeMap<&'static str, usize>,
    different: BTreeMap<(String, String), String>,
}

impl Tally {
    fn count(&mut self, what: &'static str, number: usize) {
        *self.compared.entry(what).or_default() += number;
    }

    fn differs(&mut self, capture: &str, item: String, how: String) {
        self.different.insert((capture.to_owned(), item), how);
    }
}

/// Commands by frame, in order; several of a frame stand with `|` between them in the truth, and so do those of their
/// arguments that are not empty.
fn commands(
    tally: &mut Tally,
    name: &str,
    (what, protocol): (&'static str, &str),
    truth: &[Value],
    seen: &Seen,
) {
    let mut ours: BTreeMap<u64, (Vec<String>, Vec<String>)> = BTreeMap::new();
    // What a data connection carries is told as a message too.
    let carries = |conversation: usize| {
        let data = |leaf: &Leaf| leaf.conversation == conversation && leaf.ops == ["ftp.data"];
        seen.leaves.iter().any(data)
    };
    let session = |(conversation, message): &&(usize, Message)| {
        message.protocol == protocol && !(protocol == "ftp" && carries(*conversation))
    };
    for (_, message) in seen.messages.iter().filter(session) {
        let (verbs, arguments) = ours.entry(u64::from(message.frame.unwrap().0)).or_default();
        verbs.push(message.kind.clone());
        if !message.name.is_empty() {
            arguments.push(String::from_utf8_lossy(&message.name).into_owned());
        }
    }
    for value in truth {
        let frame = value[0].as_u64().unwrap();
        let (verbs, arguments) = (text(&value[2]), text(&value[3]));
        tally.count(what, verbs.split('|').count());
        let got = ours.remove(&frame).map(|(verbs, arguments)| (verbs.join("|"), arguments.join("|")));
        if got.as_ref() != Some(&(verbs.clone(), arguments.clone())) {
            let how = format!("{got:?} and not {verbs:?} {arguments:?}");
            tally.differs(name, format!("{protocol} {frame}"), how);
        }
    }
    for (frame, (verbs, arguments)) in ours {
        tally.differs(
            name,
            format!("{protocol} {frame}"),
            format!("not in the truth: {verbs:?} {arguments:?}"),
        );
    }
}

/// Mails that tshark exports, by length and digest.
fn mails(tally: &mut Tally, name: &str, truth: &[Value], seen: &Seen) {
    let mut ours: BTreeSet<Sum> = BTreeSet::new();
    for op in ["smtp.data", "smtp.bdat", "imap.literal", "mime.part", "http1.body"] {
        ours.extend(seen.sums(op));
    }
    for value in truth {
        tally.count("mails", 1);
        let sum = (value["size"].as_u64().unwrap(), text(&value["sha256"]));
        if !ours.contains(&sum) {
            let item = format!("mail {}", text(&value["name"]));
            tally.differs(name, item, format!("{sum:?} is not among {ours:?}"));
        }
    }
}

/// MQTT packets by frame and in order, with topic and the payload's length and digest.
fn mqtt(tally: &mut Tally, name: &str, truth: &[Value], seen: &Seen) {
    const KINDS: [&str; 15] = [
        "",
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
    ];
    type Shown = (u64, String, String, Option<Sum>);
    let payload = |conversation: usize, message: &Message| {
        let own =
            |leaf: &&Leaf| leaf.conversation == conversation && leaf.transaction == Some(message.transaction);
        seen.leaves.iter().filter(own).find(|leaf| leaf.ops == ["mqtt.payload"]).map(Leaf::sum)
    };
    let mut ours: Vec<Shown> = Vec::new();
    for (conversation, message) in seen.messages.iter().filter(|(_, message)| message.protocol == "mqtt") {
        let topic = String::from_utf8_lossy(&message.name).into_owned();
        let frame = u64::from(message.frame.unwrap().0);
        ours.push((frame, message.kind.clone(), topic, payload(*conversation, message)));
    }
    for value in truth {
        tally.count("MQTT packets", 1);
        let frame = value["frame"].as_u64().unwrap();
        let kind = KINDS[text(&value["msgtype"]).parse::<usize>().unwrap()].to_owned();
        let sum = value["msg_len"].as_u64().map(|len| (len, text(&value["msg_sha256"])));
        tally.count("MQTT payloads", usize::from(sum.is_some()));
        // A packet over several frames is counted by its last one there, by its first one here.
        let (topic, before) = (text(&value["topic"]), |shown: &Shown| shown.0 <= frame);
        let same = |shown: &Shown| before(shown) && (&shown.1, &shown.2, &shown.3) == (&kind, &topic, &sum);
        match ours.iter().rposition(same) {
            Some(at) => drop(ours.remove(at)),
            None => tally.differs(name, format!("mqtt {frame} {kind}"), format!("{topic} {sum:?}: {ours:?}")),
        }
    }
    for (frame, kind, topic, _) in ours {
        tally.differs(name, format!("mqtt {frame} {kind} beside"), format!("not in the truth: {topic}"));
    }
}

#[test]
fn commands_and_contents_are_those_of_the_truth() {
    let Some(folder) = support::captures() else { return };
    let mut names: Vec<String> = std::fs::read_dir(folder.join("truth"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    let mut tally = Tally::default();
    for name in &names {
        let file = File::open(folder.join("truth").join(format!("{name}.json"))).unwrap();
        let truth: Value = serde_json::from_reader(std::io::BufReader::new(file)).unwrap();
        let seen = Seen::of(&folder, name);
        commands(&mut tally, name, ("SMTP commands", "smtp"), list(&truth["smtp_commands"]), &seen);
        commands(&mut tally, name, ("FTP commands", "ftp"), list(&truth["ftp_commands"]), &seen);
        mqtt(&mut tally, name, list(&truth["mqtt"]), &seen);
        mails(&mut tally, name, list(&truth["export_objects_imf"]), &seen);
    }
    judge(&tally);
    for (what, number) in COUNTS {
        assert_eq!(tally.compared.get(what), Some(&number), "{what}");
    }
}

/// Prints what was compared, and fails where a difference has no reason or a reason no difference.
fn judge(tally: &Tally) {
    for (what, number) in &tally.compared {
        println!("{number:>6}  {what}");
    }
    let mut expected: BTreeMap<(String, String), &str> = BTreeMap::new();
    for line in include_str!("apps_truth.expected").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), 3, "{line}");
        expected.insert((fields[0].to_owned(), fields[1].to_owned()), fields[2]);
    }
    let mut wrong = 0;
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for ((capture, item), how) in &tally.different {
        // `mail *` stands for every item of that kind.
        let kind = format!("{} *", item.split(' ').next().unwrap());
        let keys = [(capture.clone(), item.clone()), (capture.clone(), kind)];
        match keys.iter().find_map(|key| expected.get_key_value(key)) {
            Some((key, reason)) => {
                used.insert(key.clone());
                println!("explained: {capture}: {item}: {reason}");
            }
            None => {
                wrong += 1;
                println!("DIFFERS: {capture}\t{item}\t{how}");
            }
        }
    }
    for (capture, item) in expected.keys().filter(|key| !used.contains(key)) {
        wrong += 1;
        println!("no longer differs: {capture}\t{item}");
    }
    assert_eq!(wrong, 0, "differences that nothing explains");
}
