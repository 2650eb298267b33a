//! One flow from its first frame to its last: what each end said, in order.

use std::{fmt::Write as _, io};

use anstyle::{AnsiColor, Color, Style};

use super::{TITLE, by_way, fold::fold, lost, target, time};
use crate::{
    evidence::{FrameNo, printable},
    findings::inspection::{
        Begins, Body, Certificate, Dns, End, Flow, Head, Hello, Message, Part, QuicConnection, Side,
        Signature, Tls, Transaction, View,
    },
    report::quantity::{counted, grouped},
};

/// Characters kept of a line.
const MAX_LINE: usize = 2_000;
/// Events shown; JSON holds all.
const MAX_EVENTS: usize = 2_000;
const UP: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Blue)));
const DOWN: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Magenta)));

/// Keeps what the flow with a given first frame shows.
pub struct Follow {
    frame: FrameNo,
    found: Option<Part>,
}

impl Follow {
    /// Will follow the flow whose first frame this is.
    pub fn new(frame: FrameNo) -> Self {
        Self { frame, found: None }
    }

    /// What the flow shows, on `room` columns of a terminal where there is one; `None` where there is no such flow.
    pub fn text(&self, room: Option<usize>) -> Option<String> {
        let part = self.found.as_ref()?;
        let flow = part.flows.first()?;
        let mut text = String::new();
        heading(&mut text, flow);
        let mut events = events(part, flow);
        events.sort_by_key(|event| (event.frame, event.order));
        for event in events.iter().take(MAX_EVENTS) {
            let (style, arrow) = match event.up {
                Some(true) => (UP, ">"),
                Some(false) => (DOWN, "<"),
                None => (Style::new(), " "),
            };
            let frame = event.frame.map_or_else(|| "-".to_owned(), |frame| frame.to_string());
            let _ = writeln!(text, "\n{frame:>6} {style}{arrow} {}{style:#}", line(&event.title));
            for detail in &event.details {
                let _ = writeln!(text, "         {}", line(detail));
            }
        }
        if events.len() > MAX_EVENTS {
            let more = grouped((events.len() - MAX_EVENTS) as u64);
            let _ = writeln!(text, "\n  … and {more} more (--format json lists all)");
        }
        Some(fold(&text, room))
    }
}

impl View for Follow {
    fn head(&mut self, _: &Head) -> io::Result<()> {
        Ok(())
    }

    fn part(&mut self, part: &Part) -> io::Result<()> {
        if part.flows.iter().any(|flow| flow.first_frame == self.frame) {
            self.found = Some(part.clone());
        }
        Ok(())
    }

    fn end(&mut self, _: &End) -> io::Result<()> {
        Ok(())
    }
}

fn line(text: &str) -> String {
    printable(text.as_bytes(), MAX_LINE)
}

fn heading(text: &mut String, flow: &Flow) {
    let inner = flow.inner_protocols.iter().map(String::as_str);
    let protocols: Vec<&str> = std::iter::once(flow.protocol.as_str()).chain(inner).collect();
    let _ = writeln!(text, "{TITLE}{}{TITLE:#}", line(&flow.name));
    let _ = writeln!(
        text,
        "{} {} > {}  {}  {} from {} to {} UTC",
        flow.transport,
        flow.initiator,
        flow.responder,
        protocols.join("/"),
        counted(flow.frames, "frame"),
        time(&flow.first),
        time(&flow.last),
    );
    if !flow.names.is_empty() {
        let _ = writeln!(text, "names: {}", line(&flow.names.join(", ")));
    }
    if let Some(country) = &flow.registered_country {
        let _ = writeln!(text, "registered to {country}");
    }
    for (way, side) in ["up", "down"].into_iter().zip(by_way(flow)) {
        let Some(side) = side else { continue };
        let _ = writeln!(
            text,
            "{way:<5} {} from {}{}",
            counted(side.bytes_present, "byte"),
            side.from,
            state(side)
        );
        for island in &side.islands {
            let _ = writeln!(
                text,
                "      {} at {}  sha256 {}",
                counted(island.len, "byte"),
                island.offset,
                island.sha256
            );
        }
    }
}

/// What is missing of a direction or disputed in it.
fn state(side: &Side) -> String {
    let mut words = Vec::new();
    if !side.from_start && side.bytes_present > 0 {
        words.push("its beginning was not captured".to_owned());
    }
    if !side.gaps.is_empty() {
        words.push(format!(
            "{} lost in {}",
            counted(lost(side), "byte"),
            counted(side.gaps.len() as u64, "gap")
        ));
    }
    if side.conflict_bytes > 0 {
        words.push(format!("segments disagree about {}", counted(side.conflict_bytes, "byte")));
    }
    if words.is_empty() { String::new() } else { format!(" ({})", words.join("; ")) }
}

/// Something that was said, or is to be said of it.
struct Event {
    frame: Option<FrameNo>,
    /// Among what one frame carries.
    order: u32,
    up: Option<bool>,
    title: String,
    details: Vec<String>,
}

fn events(part: &Part, flow: &Flow) -> Vec<Event> {
    let up = |from: &str| Some(from == flow.uplink_from);
    let mut events = Vec::new();
    events.extend(part.tls_hellos.iter().map(hello));
    events.extend(part.tls.iter().map(connection));
    events.extend(part.quic_connections.iter().map(quic));
    for request in &part.transactions {
        events.extend(exchange(request, up(&request.from)));
    }
    events.extend(part.messages.iter().map(|one| message(one, up(&one.from))));
    events.extend(part.dns.iter().map(dns));
    events.extend(part.anomalies.iter().map(|anomaly| Event {
        frame: anomaly.frame,
        order: u32::MAX,
        up: None,
        title: format!("odd: {}", anomaly.kind),
        details: vec![anomaly.detail.clone()],
    }));
    events
}

fn hello(hello: &Hello) -> Event {
    let mut details = vec![format!(
        "versions {}",
        hello.versions.iter().map(|code| version(code)).collect::<Vec<_>>().join(", ")
    )];
    details.extend((!hello.alpn.is_empty()).then(|| format!("ALPN {}", hello.alpn.join(" "))));
    details.extend(hello.ja4.iter().map(|ja4| format!("JA4 {ja4}")));
    let name = hello.sni.as_deref().map_or_else(String::new, |name| format!(" for {name}"));
    Event {
        frame: Some(hello.frame),
        order: 0,
        up: None,
        title: format!("TLS {} hello{name}", hello.from),
        details,
    }
}

/// The name of a version that a hello gives as its number (RFC 8446 section 4.2.1, RFC 9147 section 5.3).
fn version(code: &str) -> &str {
    match code {
        "0x0300" => "SSL 3.0",
        "0x0301" => "TLS 1.0",
        "0x0302" => "TLS 1.1",
        "0x0303" => "TLS 1.2",
        "0x0304" => "TLS 1.3",
        "0xfeff" => "DTLS 1.0",
        "0xfefd" => "DTLS 1.2",
        "0xfefc" => "DTLS 1.3",
        other => other,
    }
}

fn quic(quic: &QuicConnection) -> Event {
    let read = match (&quic.why_not, quic.decrypted) {
        (Some(why), _) => format!("not decrypted: {why}"),
        (None, true) => "decrypted".to_owned(),
        (None, false) => "no data of an application was seen".to_owned(),
    };
    let mut details =
        vec![format!("{read} ({} of {} opened)", grouped(quic.opened), counted(quic.packets, "packet"))];
    details.extend(quic.certificate.iter().map(certificate));
    details.extend(quic.server_signature.iter().map(signature));
    details.extend(quic.ended.iter().map(|how| format!("ended: {how}")));
    let name = quic.sni.as_deref().map_or_else(String::new, |name| format!(" for {name}"));
    let alpn = quic.alpn.as_deref().map_or_else(String::new, |alpn| format!(", ALPN {alpn}"));
    Event {
        frame: Some(quic.frame),
        order: 1,
        up: None,
        title: format!("QUIC connection{name}, version {}{alpn}", quic.version),
        details,
    }
}

fn certificate(shown: &Certificate) -> String {
    let Certificate { subject, issuer, names, sha256, .. } = shown;
    let names = if names.is_empty() { String::new() } else { format!(" for {}", names.join(" ")) };
    format!("certificate of {subject}{names}, issued by {issuer} (not checked), sha256 {sha256}")
}

fn signature(said: &Signature) -> String {
    format!("server's signature {}: {}", said.state, said.detail)
}

fn connection(tls: &Tls) -> Event {
    let words = [&tls.version, &tls.cipher_suite, &tls.alpn].into_iter().flatten().cloned();
    let side = |side: &crate::findings::inspection::TlsSide| match &side.not_decrypted {
        Some(why) => format!("from {}: not decrypted: {why}", side.from),
        None => format!("from {}: {} decrypted", side.from, counted(side.decrypted, "byte")),
    };
    let mut details: Vec<String> = tls.directions.iter().map(side).collect();
    details.extend(tls.certificate.iter().map(certificate));
    details.extend(tls.server_signature.iter().map(signature));
    Event {
        frame: tls.frame,
        order: 1,
        up: None,
        title: format!("TLS connection {}", words.collect::<Vec<_>>().join(" ")),
        details,
    }
}

fn exchange(request: &Transaction, up: Option<bool>) -> Vec<Event> {
    let mut events = Vec::new();
    if !request.method.is_empty() {
        events.push(Event {
            frame: request.frame,
            order: request.n.saturating_mul(2).saturating_add(2),
            up,
            title: format!("{} {} {}", request.method, target(request), request.version),
            details: fields(&request.fields).chain(request.body.iter().flat_map(body)).collect(),
        });
    }
    if let Some(response) = &request.response {
        events.push(Event {
            frame: response.frame,
            order: request.n.saturating_mul(2).saturating_add(3),
            up: up.map(|up| !up),
            title: format!("{} for {} {}", response.status, request.method, target(request)),
            details: fields(&response.fields).chain(response.body.iter().flat_map(body)).collect(),
        });
    }
    events
}

fn fields(fields: &[[String; 2]]) -> impl Iterator<Item = String> + '_ {
    fields.iter().map(|[name, value]| format!("{name}: {value}"))
}

fn body(body: &Body) -> Vec<String> {
    let digest = body.sha256.map_or_else(|| "not whole".to_owned(), |digest| format!("sha256 {digest}"));
    let incomplete = if body.complete { "" } else { ", INCOMPLETE" };
    let mut lines = vec![format!("[body of {}{incomplete}, {digest}]", counted(body.len, "byte"))];
    if let (Some(len), Some(digest)) = (body.decoded_len, body.decoded_sha256) {
        lines.push(format!("[decoded: {}, sha256 {digest}]", counted(len, "byte")));
    }
    lines.extend(
        body.multipart.iter().map(|part| {
            format!("[part {}: {}, sha256 {}]", part.name, counted(part.len, "byte"), part.sha256)
        }),
    );
    lines
}

fn message(message: &Message, up: Option<bool>) -> Event {
    Event {
        frame: message.frame,
        order: message.n.saturating_mul(2).saturating_add(2),
        up,
        title: format!("{} {} {}", message.protocol, message.kind, message.name).trim_end().to_owned(),
        details: message.body.iter().flat_map(body).chain(message.begins.iter().map(begins)).collect(),
    }
}

/// The first bytes of a message: as text in quotes, or in hexadecimal.
fn begins(begins: &Begins) -> String {
    let (of, more) = (counted(begins.len, "byte"), if begins.cut { " …" } else { "" });
    match &begins.text {
        Some(text) => format!("begins \"{}\"{more}", line(text)),
        None => format!("begins with {of}: {}{more}", begins.hex),
    }
}

fn dns(message: &Dns) -> Event {
    let asked: Vec<String> =
        message.query.iter().zip(&message.qtype).map(|(name, kind)| format!("{name} {kind}")).collect();
    let what = if message.response { "answer" } else { "question" };
    Event {
        frame: Some(message.frame),
        order: u32::from(message.response),
        up: Some(!message.response),
        title: format!("DNS {what}: {}", asked.join(", ")),
        details: message.answers.clone(),
    }
}
