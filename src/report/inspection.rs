//! What `inspect` prints for people: the capture, its flows, transactions, DNS and odd traffic.

use std::{fmt::Write as _, io};

use crate::{
    evidence::{Anomaly, printable},
    findings::inspection::{Body, Comment, End, Flow, Head, Hello, Part, Tls, Transaction, View},
    report::quantity::{counted, grouped},
};

/// Flows, transactions and messages shown; the rest are counted, and JSON holds all.
const MAX_SHOWN: u64 = 200;
/// Characters kept of a request target.
const MAX_URI: usize = 80;
/// Characters kept of a name.
const MAX_NAME: usize = 60;

/// The text while an inspection is made: of each list the first items, and how many there are.
#[derive(Default)]
pub struct Sheet {
    head: String,
    flows: Section,
    transactions: Section,
    answers: Section,
    hellos: Section,
    comments: Section,
    connections: Section,
    anomalies: Section,
}

impl Sheet {
    /// The whole text.
    pub fn text(&self) -> String {
        let mut text = self.head.clone();
        for (title, section) in [
            ("Flows", &self.flows),
            ("HTTP transactions", &self.transactions),
            ("DNS answers", &self.answers),
            ("TLS hellos", &self.hellos),
            ("Comments", &self.comments),
            ("TLS connections", &self.connections),
            ("Odd traffic", &self.anomalies),
        ] {
            section.write(title, &mut text);
        }
        text
    }
}

impl View for Sheet {
    fn head(&mut self, head: &Head) -> io::Result<()> {
        self::head(&mut self.head, head);
        Ok(())
    }

    fn part(&mut self, part: &Part) -> io::Result<()> {
        self.flows.take(&part.flows, flow);
        self.transactions.take(&part.transactions, transaction);
        for message in part.dns.iter().filter(|message| message.response) {
            self.answers.take(&message.answers, |text, answer| {
                let line = format!("{:>6}  {answer}", message.frame);
                let _ = writeln!(text, "{}", printable(line.as_bytes(), MAX_URI + MAX_NAME));
            });
        }
        self.hellos.take(&part.tls_hellos, hello);
        self.comments.take(&part.comments, comment);
        self.connections.take(&part.tls, connection);
        self.anomalies.take(&part.anomalies, anomaly);
        Ok(())
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        self.anomalies.count = self.anomalies.count.max(end.anomaly_count);
        Ok(())
    }
}

/// The first items of a list, in words.
#[derive(Default)]
struct Section {
    rows: String,
    shown: u64,
    count: u64,
}

impl Section {
    fn take<T>(&mut self, items: &[T], row: impl Fn(&mut String, &T)) {
        let room = usize::try_from(MAX_SHOWN.saturating_sub(self.shown)).unwrap_or(usize::MAX);
        for item in items.iter().take(room) {
            row(&mut self.rows, item);
            self.shown += 1;
        }
        self.count += items.len() as u64;
    }

    fn write(&self, title: &str, text: &mut String) {
        if self.count == 0 {
            return;
        }
        let _ = write!(text, "\n{title} ({})\n{}", self.count, self.rows);
        if self.count > self.shown {
            let more = grouped(self.count - self.shown);
            let _ = writeln!(text, "  … and {more} more (--format json lists all)");
        }
    }
}

fn hello(text: &mut String, hello: &Hello) {
    let sni = hello.sni.as_deref().unwrap_or("no server name");
    let _ = writeln!(
        text,
        "{:>6}  {}  {}  {}  {}",
        hello.frame,
        hello.from,
        printable(sni.as_bytes(), MAX_NAME),
        hello.versions.join(" "),
        printable(hello.alpn.join(" ").as_bytes(), MAX_NAME),
    );
}

fn comment(text: &mut String, comment: &Comment) {
    let frame = comment.frame.map_or_else(|| "-".to_owned(), |frame| frame.to_string());
    let _ =
        writeln!(text, "{frame:>6}  {}  {}", comment.about, printable(comment.text.as_bytes(), MAX_URI * 2));
}

fn connection(text: &mut String, connection: &Tls) {
    let word =
        |word: &Option<String>, none: &str| printable(word.as_deref().unwrap_or(none).as_bytes(), MAX_NAME);
    let frame = connection.frame.map_or_else(|| "-".to_owned(), |frame| frame.to_string());
    let _ = writeln!(
        text,
        "{frame:>6}  {}  {}  {}  {}{}",
        word(&connection.version, "no version agreed on"),
        word(&connection.cipher_suite, "no suite"),
        word(&connection.sni, "no server name"),
        word(&connection.alpn, "no ALPN"),
        if connection.resumed { "  resumed" } else { "" },
    );
    for side in &connection.directions {
        let _ = match &side.not_decrypted {
            Some(why) => writeln!(text, "        from {}  not decrypted: {why}", side.from),
            None => {
                writeln!(text, "        from {}  {} decrypted", side.from, counted(side.decrypted, "byte"))
            }
        };
    }
}

fn anomaly(text: &mut String, anomaly: &Anomaly) {
    let frame = anomaly.frame.map_or_else(|| "-".to_owned(), |frame| frame.to_string());
    let detail = printable(anomaly.detail.as_bytes(), MAX_URI * 2);
    let _ = writeln!(text, "{frame:>6}  {}  {detail}", anomaly.kind);
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
    let phone = &inspection.phone;
    let whose = if phone.addresses.is_empty() {
        "each flow's initiator".to_owned()
    } else {
        phone.addresses.join(", ")
    };
    let _ = writeln!(text, "uplink is what {whose} sends ({})", phone.by);
}

fn flow(text: &mut String, flow: &Flow) {
    let bytes: Vec<String> = flow
        .directions
        .iter()
        .map(|side| {
            let lost: u64 = side.gaps.iter().map(|gap| gap.len()).sum();
            let lost = if lost > 0 { format!(" (+{} lost)", grouped(lost)) } else { String::new() };
            let conflict = if side.conflict_bytes > 0 {
                format!(" ({} disputed)", side.conflict_bytes)
            } else {
                String::new()
            };
            format!("{}{lost}{conflict}", grouped(side.bytes_present))
        })
        .collect();
    let place = flow
        .registered_country
        .as_deref()
        .map_or_else(String::new, |country| format!("  registered to {country}"));
    let app = flow.app.as_ref().map_or_else(String::new, |app| {
        let name = if app.name.is_empty() { &app.package } else { &app.name };
        format!("  app {} (uid {})", printable(name.as_bytes(), MAX_NAME), app.uid)
    });
    let names = if flow.names.is_empty() {
        String::new()
    } else {
        format!("  {}", printable(flow.names.join(", ").as_bytes(), MAX_NAME))
    };
    let _ = writeln!(
        text,
        "{:>6}  {} {} > {}  {}  {} bytes{app}{names}{place}",
        flow.first_frame,
        flow.transport,
        flow.initiator,
        flow.responder,
        flow.protocol,
        bytes.join(" > "),
    );
}

fn transaction(text: &mut String, transaction: &Transaction) {
    let status = transaction
        .response
        .as_ref()
        .map_or_else(|| "no response".to_owned(), |response| response.status.to_string());
    let _ = writeln!(
        text,
        "  {} {}{}  {status}",
        printable(transaction.method.as_bytes(), MAX_NAME),
        printable(transaction.host.as_bytes(), MAX_NAME),
        printable(transaction.uri.as_bytes(), MAX_URI),
    );
    if let Some(sent) = &transaction.body {
        body(text, "sent", sent);
    }
    if let Some(received) = transaction.response.as_ref().and_then(|response| response.body.as_ref()) {
        body(text, "received", received);
    }
}

fn body(text: &mut String, way: &str, body: &Body) {
    let incomplete = if body.complete { "" } else { "  INCOMPLETE" };
    let digest = body.sha256.map_or_else(|| "not whole".to_owned(), |digest| digest.to_string());
    let _ = writeln!(text, "      {way} {}  {digest}{incomplete}", counted(body.len, "byte"));
    if let (Some(len), Some(digest)) = (body.decoded_len, body.decoded_sha256) {
        let _ = writeln!(text, "      decoded {}  {digest}", counted(len, "byte"));
    }
    for part in &body.multipart {
        let _ = writeln!(
            text,
            "      part {}  {}  {}",
            printable(part.name.as_bytes(), MAX_NAME),
            counted(part.len, "byte"),
            part.sha256
        );
    }
}
