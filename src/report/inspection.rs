//! What `inspect` prints for people: the capture, its flows, transactions, DNS and odd traffic.

use std::fmt::Write as _;

use crate::{
    evidence::printable,
    findings::inspection::{Body, Flow, Inspection, Transaction},
    report::quantity::{counted, grouped},
};

/// Flows, transactions and messages shown; the rest are counted, and JSON holds all.
const MAX_SHOWN: usize = 200;
/// Characters kept of a request target.
const MAX_URI: usize = 80;
/// Characters kept of a name.
const MAX_NAME: usize = 60;

/// Writes the whole inspection.
pub fn text(inspection: &Inspection) -> String {
    let mut text = String::new();
    head(&mut text, inspection);
    section(&mut text, "Flows", &inspection.flows, flow);
    section(&mut text, "HTTP transactions", &inspection.transactions, transaction);
    let names: Vec<String> = inspection
        .dns
        .iter()
        .filter(|message| message.response)
        .flat_map(|message| message.answers.iter().map(|answer| format!("{:>6}  {answer}", message.frame)))
        .collect();
    section(&mut text, "DNS answers", &names, |text, line| {
        let _ = writeln!(text, "{}", printable(line.as_bytes(), MAX_URI + MAX_NAME));
    });
    section(&mut text, "TLS hellos", &inspection.tls_hellos, |text, hello| {
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
    });
    section(&mut text, "Odd traffic", &inspection.anomalies, |text, anomaly| {
        let frame = anomaly.frame.map_or_else(|| "-".to_owned(), |frame| frame.to_string());
        let _ = writeln!(
            text,
            "{frame:>6}  {}  {}",
            anomaly.kind,
            printable(anomaly.detail.as_bytes(), MAX_URI * 2)
        );
    });
    text
}

fn head(text: &mut String, inspection: &Inspection) {
    let container = &inspection.container;
    let _ = writeln!(
        text,
        "{}  {}{}  {}  {}",
        printable(inspection.capture.as_bytes(), MAX_NAME),
        container.format,
        if container.gzip { " in gzip" } else { "" },
        counted(inspection.packets, "packet"),
        counted(inspection.size, "byte"),
    );
    let _ = writeln!(text, "sha256 {}", inspection.sha256);
    let phone = &inspection.phone;
    let whose = if phone.addresses.is_empty() {
        "each flow's initiator".to_owned()
    } else {
        phone.addresses.join(", ")
    };
    let _ = writeln!(text, "uplink is what {whose} sends ({})", phone.by);
}

fn section<T>(text: &mut String, title: &str, rows: &[T], mut row: impl FnMut(&mut String, &T)) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title} ({})", rows.len());
    for item in rows.iter().take(MAX_SHOWN) {
        row(text, item);
    }
    if rows.len() > MAX_SHOWN {
        let _ = writeln!(
            text,
            "  … and {} more (--format json lists all)",
            grouped((rows.len() - MAX_SHOWN) as u64)
        );
    }
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
    let names = if flow.names.is_empty() {
        String::new()
    } else {
        format!("  {}", printable(flow.names.join(", ").as_bytes(), MAX_NAME))
    };
    let _ = writeln!(
        text,
        "{:>6}  {} {} > {}  {}  {} bytes{names}{place}",
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
