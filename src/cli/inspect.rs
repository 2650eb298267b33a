//! `inspect CAPTURE`: what the engine sees.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, ValueEnum};
use exhibit::{
    case::{Case, Parts, folder::Disk},
    engine,
    findings::{canonical_json, inspection::Inspection},
    report,
};
use serde::Serialize;

use super::{
    DONE, Failure, Terminal, environment,
    run::{failed, not_analyzed},
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The capture: pcap, pcapng, either in gzip.
    capture: PathBuf,
    /// An NSS key log (SSLKEYLOGFILE).
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The phone's address (IP or MAC): its traffic is uplink.
    #[arg(long, value_name = "IP|MAC")]
    phone: Option<String>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Tables.
    Text,
    /// One JSON document.
    Json,
    /// One JSON object a line: the capture, then each flow, transaction, message, DNS message, TLS hello, anomaly.
    Jsonl,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let parts = Parts {
        captures: vec![super::find::logical(&arguments.capture)?],
        keys: arguments.keys.iter().map(super::find::logical).collect::<Result<_, _>>()?,
        phone: arguments.phone.as_deref().map(super::find::phone).transpose()?.unwrap_or_default(),
        ..Parts::default()
    };
    let case =
        Case::from_parts(&Disk::new("."), parts, &environment::scratch()).map_err(|error| failed(&error))?;
    let limits = environment::limits(None, None);
    let inspection = engine::inspect(&case, &limits).map_err(|error| not_analyzed(&error))?;
    match arguments.format {
        Format::Text => write!(terminal.out, "{}", report::inspection::text(&inspection))?,
        Format::Json => terminal.json(&canonical_json(&inspection).map_err(|error| Failure::of(&error))?)?,
        Format::Jsonl => lines(&inspection, terminal)?,
    }
    Ok(DONE)
}

/// One line of `--format jsonl`.
#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    kind: &'a str,
    value: T,
}

fn lines(inspection: &Inspection, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut text = Vec::new();
    let mut line = |bytes: Result<Vec<u8>, serde_json::Error>| -> Result<(), Failure> {
        text.append(&mut bytes.map_err(|error| Failure::of(&error))?);
        Ok(())
    };
    let head = Inspection {
        flows: Vec::new(),
        transactions: Vec::new(),
        messages: Vec::new(),
        dns: Vec::new(),
        tls_hellos: Vec::new(),
        anomalies: Vec::new(),
        ..inspection.clone()
    };
    line(canonical_json(&Line { kind: "capture", value: head }))?;
    for value in &inspection.flows {
        line(canonical_json(&Line { kind: "flow", value }))?;
    }
    for value in &inspection.transactions {
        line(canonical_json(&Line { kind: "transaction", value }))?;
    }
    for value in &inspection.messages {
        line(canonical_json(&Line { kind: "message", value }))?;
    }
    for value in &inspection.dns {
        line(canonical_json(&Line { kind: "dns", value }))?;
    }
    for value in &inspection.tls_hellos {
        line(canonical_json(&Line { kind: "tls_hello", value }))?;
    }
    for value in &inspection.anomalies {
        line(canonical_json(&Line { kind: "anomaly", value }))?;
    }
    Ok(terminal.json(&text)?)
}
