//! What `inspect` prints for people: the capture, its flows, requests, messages, DNS and odd traffic.

mod fold;
mod follow;
mod table;

use std::{fmt::Write as _, io};

use anstyle::Style;

pub use self::follow::Follow;
use self::{
    fold::fold,
    table::{Column, Table},
};
use crate::{
    evidence::{Anomaly, Digest, FrameNo, Timestamp, printable},
    findings::inspection::{
        Body, BodyPart, Comment, End, Flow, Head, Message, Part, Response, Side, Tls, Transaction, View,
    },
    report::quantity::{counted, grouped, moment},
};

const TITLE: Style = Style::new().bold();

/// Flows, transactions and messages shown; the rest are counted, and JSON holds all.
const MAX_SHOWN: usize = 200;
/// Characters kept of a request target.
const MAX_URI: usize = 120;
/// Characters kept of a text.
const MAX_TEXT: usize = 160;
/// Parts of a body that are named.
const MAX_PARTS: usize = 8;
/// Characters kept of a name.
const MAX_NAME: usize = 60;

/// Rows under each other.
const FLOWS: &[Column] = &[
    Column::right("frame"),
    Column::whole("time"),
    Column::address("from", 12),
    Column::address("to", 15),
    Column::text("name", 12),
    Column::whole("in"),
    Column::text("protocol", 8),
    Column::right("up"),
    Column::right("down"),
    Column::text("notes", 12),
];
/// The same where those do not fit: one column says whereto, and notes stand under the row.
const NARROW_FLOWS: &[Column] = &[
    Column::right("frame"),
    Column::whole("time"),
    Column::address("from", 7),
    Column::address("to", 14),
    Column::whole("in"),
    Column::text("protocol", 6),
    Column::right("up"),
    Column::right("down"),
];
const REQUESTS: &[Column] = &[
    Column::right("frame"),
    Column::text("method", 7),
    Column::text("target", 20),
    Column::right("status"),
    Column::right("sent"),
    Column::right("received"),
    Column::text("what was sent", 10),
];
const MESSAGES: &[Column] = &[
    Column::right("frame"),
    Column::whole("protocol"),
    Column::whole(""),
    Column::text("kind", 8),
    Column::text("about", 16),
    Column::right("bytes"),
    Column::text("sha256", 12),
];
const CONNECTIONS: &[Column] = &[
    Column::right("frame"),
    Column::whole("version"),
    Column::text("suite", 16),
    Column::text("server name", 12),
    Column::text("ALPN", 8),
    Column::text("opened", 16),
];
const ANSWERS: &[Column] = &[Column::right("frame"), Column::text("answer", 30)];
const COMMENTS: &[Column] = &[Column::right("frame"), Column::whole("about"), Column::text("comment", 30)];
const ODD: &[Column] = &[Column::right("frame"), Column::whole("what"), Column::text("detail", 30)];

/// The text while an inspection is made: of each list the first items, and how many there are.
pub struct Sheet {
    head: String,
    phone: Option<String>,
    /// Whether first and last frame are of different days, so that a time says little without its day.
    days: bool,
    flows: Section,
    requests: Section,
    messages: Section,
    connections: Section,
    answers: Section,
    comments: Section,
    anomalies: Section,
    up: u64,
    down: u64,
    lost: u64,
}

impl Default for Sheet {
    fn default() -> Self {
        Self {
            head: String::new(),
            phone: None,
            days: false,
            flows: Section::new("Flows", FLOWS),
            requests: Section::new("Requests", REQUESTS),
            messages: Section::new("Messages", MESSAGES),
            connections: Section::new("TLS", CONNECTIONS),
            answers: Section::new("DNS answers", ANSWERS),
            comments: Section::new("Comments", COMMENTS),
            anomalies: Section::new("Odd traffic", ODD),
            up: 0,
            down: 0,
            lost: 0,
        }
    }
}

impl Sheet {
    /// The whole text, on `room` columns of a terminal where there is one.
    pub fn text(&self, room: Option<usize>) -> String {
        let mut text = self.head.clone();
        if room.is_some_and(|room| !self.flows.table.fits(room)) {
            self.flows.write_as(&narrow(&self.flows.table, self.days), room, &mut text);
        } else {
            self.flows.write(room, &mut text);
        }
        if self.flows.count > 0 {
            let lost = if self.lost > 0 {
                format!(", {} lost by the capture", counted(self.lost, "byte"))
            } else {
                String::new()
            };
            let _ = writeln!(
                text,
                "{} up, {} down{lost}; follow one with --flow FRAME",
                counted(self.up, "byte"),
                counted(self.down, "byte"),
            );
        }
        let rest = [
            &self.requests,
            &self.messages,
            &self.connections,
            &self.answers,
            &self.comments,
            &self.anomalies,
        ];
        rest.into_iter().for_each(|section| section.write(room, &mut text));
        fold(&text, room)
    }
}

impl View for Sheet {
    fn head(&mut self, head: &Head) -> io::Result<()> {
        self::head(&mut self.head, head);
        if let [only] = head.phone.addresses.as_slice() {
            self.phone = Some(only.clone());
        }
        if let (Some(first), Some(last)) = (&head.first, &head.last) {
            self.days = day(first).get(..DAY) != day(last).get(..DAY);
        }
        Ok(())
    }

    fn part(&mut self, part: &Part) -> io::Result<()> {
        for flow in &part.flows {
            let [up, down] = by_way(flow);
            self.up += up.map_or(0, |side| side.bytes_present);
            self.down += down.map_or(0, |side| side.bytes_present);
            self.lost += flow.directions.iter().map(lost).sum::<u64>();
        }
        let (phone, days) = (self.phone.as_deref(), self.days);
        self.flows.take(&part.flows, |flow| flow_cells(flow, part, phone, days));
        self.requests.take(&part.transactions, request_cells);
        // Both ends' in the order of the capture.
        let mut messages: Vec<&Message> = part.messages.iter().collect();
        messages.sort_by_key(|message| message.frame);
        self.messages.take(&messages, |message| message_cells(message));
        self.connections.take(&part.tls, connection_cells);
        for message in part.dns.iter().filter(|message| message.response) {
            self.answers.take(&message.answers, |answer| vec![message.frame.to_string(), text(answer)]);
        }
        self.comments.take(&part.comments, |comment: &Comment| {
            vec![frame(comment.frame), comment.about.clone(), text(&comment.text)]
        });
        self.anomalies.take(&part.anomalies, |anomaly: &Anomaly| {
            vec![frame(anomaly.frame), anomaly.kind.to_string(), text(&anomaly.detail)]
        });
        Ok(())
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        self.anomalies.count = self.anomalies.count.max(end.anomaly_count);
        Ok(())
    }
}

/// The first items of a list.
struct Section {
    title: &'static str,
    table: Table,
    count: u64,
}

impl Section {
    fn new(title: &'static str, columns: &'static [Column]) -> Self {
        Self { title, table: Table::new(columns), count: 0 }
    }

    fn take<T>(&mut self, items: &[T], row: impl Fn(&T) -> Vec<String>) {
        let room = MAX_SHOWN.saturating_sub(self.table.len());
        items.iter().take(room).for_each(|item| self.table.row(row(item)));
        self.count += items.len() as u64;
    }

    fn write(&self, room: Option<usize>, text: &mut String) {
        self.write_as(&self.table, room, text);
    }

    /// Writes the list with this table.
    fn write_as(&self, table: &Table, room: Option<usize>, text: &mut String) {
        if self.count == 0 {
            return;
        }
        let _ = writeln!(text, "\n{TITLE}{} ({}){TITLE:#}", self.title, grouped(self.count));
        table.write(room, text);
        let shown = self.table.len() as u64;
        if self.count > shown {
            let _ = writeln!(text, "  … and {} more (--format json lists all)", grouped(self.count - shown));
        }
    }
}

/// What the phone sent, then what it was sent.
pub(super) fn by_way(flow: &Flow) -> [Option<&Side>; 2] {
    let (first, second) = (flow.directions.first(), flow.directions.get(1));
    if flow.uplink_from == "responder" { [second, first] } else { [first, second] }
}

/// Bytes that were not captured.
pub(super) fn lost(side: &Side) -> u64 {
    side.gaps.iter().map(|gap| gap.len()).sum()
}

fn frame(frame: Option<FrameNo>) -> String {
    frame.map_or_else(|| "-".to_owned(), |frame| frame.to_string())
}

fn text(text: &str) -> String {
    printable(text.as_bytes(), MAX_TEXT)
}

fn flow_cells(flow: &Flow, part: &Part, phone: Option<&str>, days: bool) -> Vec<String> {
    let [up, down] = by_way(flow);
    let own = |end: &str| match phone.and_then(|phone| end.strip_prefix(phone)) {
        Some(port) if port.starts_with(':') => port.to_owned(),
        _ => end.to_owned(),
    };
    let (from, to) = if flow.uplink_from == "responder" {
        (&flow.responder, &flow.initiator)
    } else {
        (&flow.initiator, &flow.responder)
    };
    let bytes = |side: Option<&Side>| grouped(side.map_or(0, |side| side.bytes_present));
    vec![
        flow.first_frame.to_string(),
        if days {
            day(&flow.first).get(..DAY + TO_THE_SECOND).unwrap_or_default().to_owned()
        } else {
            time(&flow.first)
        },
        own(from),
        to.clone(),
        best_name(flow).unwrap_or_default(),
        flow.registered_country.clone().unwrap_or_default(),
        protocols(flow),
        bytes(up),
        bytes(down),
        notes(flow, part),
    ]
}

/// The table of flows for a terminal on which [`FLOWS`] does not fit: the clock without its milliseconds, a name in place
/// of the address, notes under the row.
fn narrow(wide: &Table, days: bool) -> Table {
    let mut table = Table::new(NARROW_FLOWS);
    for row in wide.rows() {
        let [frame, time, from, to, name, country, protocol, up, down, notes] = row.as_slice() else {
            continue;
        };
        // `04-18 12:06` of a day and time, `12:06:18` of a time.
        let time = if days { time.get(5..16) } else { time.get(..8) }.unwrap_or(time);
        let port = to.rsplit_once(':').map_or("", |(_, port)| port);
        let to = if name.is_empty() { to.clone() } else { format!("{name}:{port}") };
        let cells: [&str; 8] = [frame, time, from, &to, country, protocol, up, down];
        table.row_above(cells.map(str::to_owned).to_vec(), notes.clone());
    }
    table
}

/// A name for the other end: what the client asked for before what an address was looked up by.
fn best_name(flow: &Flow) -> Option<String> {
    let of = |source: &str| flow.names.iter().find_map(|name| name.strip_suffix(source));
    let name = [" (sni)", " (http host)", " (dns)", " (capture file)"].into_iter().find_map(of);
    let address = flow.responder.rsplit_once(':').map_or("", |(address, _)| address);
    name.filter(|name| *name != address && *name != flow.responder)
        .map(|name| printable(name.as_bytes(), MAX_NAME))
        .or_else(|| flow.names.first().filter(|name| !name.ends_with(')')).map(|name| text(name)))
}

/// `tls/http2`, from the outside in.
fn protocols(flow: &Flow) -> String {
    let inner = flow.inner_protocols.iter().map(String::as_str);
    std::iter::once(flow.protocol.as_str()).chain(inner).collect::<Vec<_>>().join("/")
}

/// What is worth a look.
fn notes(flow: &Flow, part: &Part) -> String {
    let mut notes = Vec::new();
    if let Some(app) = &flow.app {
        let name = if app.name.is_empty() { &app.package } else { &app.name };
        notes.push(format!("app {} (uid {})", printable(name.as_bytes(), MAX_NAME), app.uid));
    }
    let closed = part.tls.iter().any(|tls| tls.directions.iter().any(|side| side.not_decrypted.is_some()))
        || part.quic_connections.iter().any(|quic| !quic.decrypted);
    let opened = part.tls.iter().any(|tls| tls.directions.iter().any(|side| side.decrypted > 0))
        || part.quic_connections.iter().any(|quic| quic.decrypted);
    notes.extend(match (opened, closed) {
        (true, true) => Some("decrypted in part".to_owned()),
        (true, false) => Some("decrypted".to_owned()),
        (false, true) => Some("encrypted".to_owned()),
        (false, false) => None,
    });
    let uploads = part.transactions.iter().filter(|one| one.from == flow.uplink_from);
    let bodies: Vec<u64> = uploads.filter_map(|one| one.body.as_ref()).map(|body| body.len).collect();
    if !bodies.is_empty() {
        notes.push(format!(
            "{} of {} bytes",
            counted(bodies.len() as u64, "upload"),
            grouped(bodies.iter().sum())
        ));
    }
    let lost: u64 = flow.directions.iter().map(lost).sum();
    if lost > 0 {
        notes.push(format!("{} lost", grouped(lost)));
    }
    let disputed: u64 = flow.directions.iter().map(|side| side.conflict_bytes).sum();
    if disputed > 0 {
        notes.push(format!("{} disputed", grouped(disputed)));
    }
    if !part.anomalies.is_empty() {
        notes.push(counted(part.anomalies.len() as u64, "oddity").replace("odditys", "oddities"));
    }
    notes.join(", ")
}

/// Characters of `2026-11-20`.
const DAY: usize = 10;
/// Characters of ` 10:00:41`.
const TO_THE_SECOND: usize = 9;

/// `10:00:41.123` of `seconds.nanoseconds`.
pub(super) fn time(epoch: &str) -> String {
    day(epoch).split(' ').nth(1).unwrap_or_default().to_owned()
}

/// `2026-11-20 10:00:41.123 UTC` of `seconds.nanoseconds`.
fn day(epoch: &str) -> String {
    let (seconds, nanos) = epoch.split_once('.').unwrap_or((epoch, "0"));
    let whole = seconds.parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1_000_000_000));
    match whole.zip(nanos.parse::<u64>().ok()) {
        Some((whole, nanos)) => moment(Timestamp(whole.saturating_add(nanos))),
        None => epoch.to_owned(),
    }
}

fn request_cells(request: &Transaction) -> Vec<String> {
    let status = |response: &Response| response.status.to_string();
    let len = |body: Option<&Body>| body.map_or_else(String::new, |body| grouped(body.len));
    let received = request.response.as_ref().and_then(|response| response.body.as_ref());
    vec![
        frame(request.frame),
        printable(request.method.as_bytes(), MAX_NAME),
        target(request),
        request.response.as_ref().map_or_else(|| "none".to_owned(), status),
        len(request.body.as_ref()),
        len(received),
        request.body.as_ref().map(contents).unwrap_or_default(),
    ]
}

/// `host/path`.
pub(super) fn target(request: &Transaction) -> String {
    printable(format!("{}{}", request.host, request.uri).as_bytes(), MAX_URI)
}

/// What a body is: its parts, or its digest.
fn contents(body: &Body) -> String {
    let digest =
        |digest: Option<Digest>| digest.map_or_else(|| "not whole".to_owned(), |digest| digest.to_string());
    let incomplete = if body.complete { "" } else { "INCOMPLETE " };
    if body.multipart.is_empty() {
        return format!("{incomplete}{}", digest(body.decoded_sha256.or(body.sha256)));
    }
    let part = |part: &BodyPart| {
        let name = printable(part.name.as_bytes(), MAX_NAME);
        format!("{name} ({}) {}", counted(part.len, "byte"), part.sha256)
    };
    let parts: Vec<String> = body.multipart.iter().take(MAX_PARTS).map(part).collect();
    format!("{incomplete}{}", parts.join(", "))
}

fn message_cells(message: &Message) -> Vec<String> {
    let body = message.body.as_ref();
    vec![
        frame(message.frame),
        message.protocol.clone(),
        if message.from == "initiator" { ">" } else { "<" }.to_owned(),
        printable(message.kind.as_bytes(), MAX_NAME),
        text(&message.name),
        body.map_or_else(String::new, |body| grouped(body.len)),
        body.map(contents).unwrap_or_default(),
    ]
}

fn connection_cells(connection: &Tls) -> Vec<String> {
    let word = |word: &Option<String>| printable(word.as_deref().unwrap_or("-").as_bytes(), MAX_NAME);
    let open: u64 = connection.directions.iter().map(|side| side.decrypted).sum();
    let mut why: Vec<&str> =
        connection.directions.iter().filter_map(|side| side.not_decrypted.as_deref()).collect();
    why.dedup();
    let mut opened = Vec::new();
    if open > 0 {
        opened.push(format!("{} decrypted", counted(open, "byte")));
    }
    if !why.is_empty() {
        opened.push(format!("not decrypted: {}", why.join("; ")));
    }
    if connection.resumed {
        opened.push("resumed".to_owned());
    }
    opened.extend(signed(connection));
    vec![
        frame(connection.frame),
        word(&connection.version),
        word(&connection.cipher_suite),
        word(&connection.sni),
        word(&connection.alpn),
        opened.join("; "),
    ]
}

/// What is known of the server's signature where it says something: whose key it is was asked of nobody.
fn signed(connection: &Tls) -> Option<String> {
    match connection.server_signature.as_ref()?.state.as_str() {
        "verified" => Some(format!("signed by the key of the certificate for {}", certified(connection)?)),
        "failed" => Some("THE SERVER'S SIGNATURE DOES NOT VERIFY".to_owned()),
        _ => None,
    }
}

/// Whom a certificate names.
fn certified(connection: &Tls) -> Option<String> {
    let certificate = connection.certificate.as_ref()?;
    let name = certificate.names.first().unwrap_or(&certificate.subject);
    Some(format!("{} (chain not checked)", printable(name.as_bytes(), MAX_NAME)))
}

fn head(text: &mut String, inspection: &Head) {
    let container = &inspection.container;
    let _ = writeln!(
        text,
        "{}  {}{}  {}  {}",
        printable(inspection.capture.as_bytes(), MAX_NAME),
        container.format,
        match (container.gzip, container.zstd) {
            (true, _) => " in gzip",
            (_, true) => " in zstd",
            _ => "",
        },
        counted(inspection.packets, "packet"),
        counted(inspection.size, "byte"),
    );
    let _ = writeln!(text, "sha256 {}", inspection.sha256);
    if let Some(vantage) = &container.vantage {
        let _ = writeln!(text, "captured at {vantage}");
    }
    if let (Some(first), Some(last)) = (&inspection.first, &inspection.last) {
        let _ = writeln!(text, "from {} to {}", day(first), day(last));
    }
    let phone = &inspection.phone;
    let whose = if phone.addresses.is_empty() {
        "each flow's initiator".to_owned()
    } else {
        phone.addresses.join(", ")
    };
    let _ = writeln!(text, "uplink is what {whose} sends ({})", phone.by);
}
