//! What the engine sees in one capture, without a scenario: a shorter walk on the same road.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

mod walk;

use super::{
    analyze::AnalysisError,
    decode::{self, Context, Conversation, Shared},
    keys::keys,
    net::{
        self, Flow, Index, Side,
        stream::{Chunk, Stream},
    },
    subject::Subject,
};
use crate::{
    case::{
        Case,
        capture::{ByteOrder, Family},
        geoip::Table,
    },
    evidence::{ByteRange, Digest, Limits, ReadError, Scratch},
    findings::inspection::{self, Container, Inspection, Island, Phone},
};
use walk::Walk;

/// Odd traffic listed; the rest is counted.
const MAX_ANOMALIES: usize = 1_000;

/// Walks the first capture of a case.
///
/// # Errors
/// When the capture can't be read, or two addresses could be the phone's.
pub fn inspect(case: &Case, limits: &Limits) -> Result<Inspection, AnalysisError> {
    let (plan, table) = (&case.plan, &case.addresses);
    let indexes: Vec<Index> = case
        .captures
        .values()
        .take(1)
        .map(|capture| net::index(capture, limits))
        .collect::<Result<_, _>>()?;
    // Without a phone every flow's initiator sends uplink; several candidates are no error here.
    let subject = Subject::determine(plan, &indexes).unwrap_or_else(|_| Subject::initiators());
    let Some(index) = indexes.into_iter().next() else { return Err(AnalysisError::NoCapture) };
    let mut all = Inspection {
        format: inspection::FORMAT.to_owned(),
        capture: index.capture.clone(),
        sha256: index.container.digest,
        size: index.container.bytes,
        container: container(&index),
        packets: u64::from(index.container.packets),
        first: index.container.first.map(crate::evidence::Timestamp::epoch_text),
        last: index.container.last.map(crate::evidence::Timestamp::epoch_text),
        phone: Phone {
            addresses: subject.addresses.iter().map(ToString::to_string).collect(),
            by: subject.bound_by.clone(),
        },
        flows: Vec::new(),
        transactions: Vec::new(),
        messages: Vec::new(),
        dns: Vec::new(),
        tls_hellos: Vec::new(),
        anomalies: index.container.anomalies.iter().chain(&index.anomalies).cloned().collect(),
        anomaly_count: 0,
    };
    let mut names: BTreeMap<std::net::IpAddr, Vec<String>> = BTreeMap::new();
    let keys = keys(case, std::slice::from_ref(&index))?;
    let scratch =
        case.captures.values().next().map_or_else(|| Scratch::new("."), |capture| capture.scratch().clone());
    let context = Context::new(limits, &keys, &scratch);
    for group in index.groups() {
        let mut shared = Shared::default();
        for flow in group.into_iter().filter_map(|id| index.flow(id)) {
            inspect_flow(&index, flow, (&subject, table), (&context, &mut shared), &mut all, &mut names)?;
        }
    }
    all.flows.sort_by_key(|flow| flow.first_frame);
    for flow in &mut all.flows {
        let remote: Option<std::net::SocketAddr> =
            if flow.uplink_from == "initiator" { &flow.responder } else { &flow.initiator }.parse().ok();
        let known = remote.and_then(|remote| names.get(&remote.ip())).into_iter().flatten();
        flow.names.extend(known.map(|name| format!("{name} (dns)")));
        flow.names.sort();
        flow.names.dedup();
    }
    all.dns.sort_by_key(|message| message.frame);
    all.tls_hellos.sort_by_key(|hello| hello.frame);
    all.anomalies.sort();
    all.anomaly_count += all.anomalies.len() as u64;
    all.anomalies.truncate(MAX_ANOMALIES);
    Ok(all)
}

fn container(index: &Index) -> Container {
    let container = &index.container;
    let order = if container.format.order == ByteOrder::Little { "LE" } else { "BE" };
    Container {
        format: match container.format.family {
            Family::PcapMicro => format!("us{order}"),
            Family::PcapNano => format!("ns{order}"),
            Family::PcapNg => "pcapng".to_owned(),
        },
        gzip: container.format.gzip,
        link_types: container.link_types.iter().map(|link| link.0).collect(),
        secrets: container.secrets.len() as u64,
        dropped: container.dropped,
    }
}

fn inspect_flow(
    index: &Index,
    flow: &Flow,
    (subject, table): (&Subject, &Table),
    (context, shared): (&Context<'_>, &mut Shared),
    all: &mut Inspection,
    names: &mut BTreeMap<std::net::IpAddr, Vec<String>>,
) -> Result<(), ReadError> {
    let uplink = subject.uplink_side(flow).unwrap_or(Side::Initiator);
    let name = flow.name(&index.capture);
    let up = index.stream(flow.id, uplink)?;
    let down = index.stream(flow.id, uplink.other())?;
    let mut walk = Walk::new(&index.capture, &name, flow, uplink);
    let local = flow.address(uplink);
    let remote = flow.address(uplink.other());
    let conversation = Conversation { transport: flow.transport, local, remote, up: &up, down: &down };
    decode::walk(&conversation, context, shared, &mut walk)?;
    walk.finish();
    let mut directions = Vec::new();
    for (side, stream) in if uplink == Side::Initiator {
        [(Side::Initiator, &up), (Side::Responder, &down)]
    } else {
        [(Side::Initiator, &down), (Side::Responder, &up)]
    } {
        directions.push(direction(index, flow, side, stream)?);
        walk.anomalies.extend(stream.anomalies(&name));
    }
    let mut seen: Vec<String> = walk
        .hellos
        .iter()
        .filter_map(|hello| hello.sni.clone())
        .map(|name| format!("{name} (sni)"))
        .collect();
    seen.extend(
        walk.transactions
            .values()
            .filter(|tx| !tx.host.is_empty())
            .map(|tx| format!("{} (http host)", tx.host)),
    );
    for (address, name) in walk.resolved {
        names.entry(address).or_default().push(name);
    }
    all.flows.push(inspection::Flow {
        name: name.clone(),
        transport: match flow.transport {
            crate::evidence::Transport::Tcp => "tcp",
            crate::evidence::Transport::Udp => "udp",
        }
        .to_owned(),
        initiator: flow.initiator.to_string(),
        responder: flow.responder.to_string(),
        first_frame: flow.first_frame,
        first: flow.first.epoch_text(),
        last: flow.last.epoch_text(),
        frames: u64::from(flow.frames),
        protocol: walk.protocols.first().copied().unwrap_or("unknown").to_owned(),
        inner_protocols: walk.protocols.iter().skip(1).map(|&name| name.to_owned()).collect(),
        names: seen,
        registered_country: table.lookup(remote.ip()).country,
        uplink_from: if uplink == Side::Initiator { "initiator" } else { "responder" }.to_owned(),
        directions,
        inner: walk.inner,
    });
    all.messages.extend(walk.messages.into_values());
    all.transactions.extend(walk.transactions.into_values());
    all.dns.extend(walk.dns);
    all.tls_hellos.extend(walk.hellos);
    let room = MAX_ANOMALIES.saturating_sub(all.anomalies.len());
    all.anomaly_count += walk.anomalies.len().saturating_sub(room) as u64;
    all.anomalies.extend(walk.anomalies.into_iter().take(room));
    Ok(())
}

fn direction(index: &Index, flow: &Flow, side: Side, stream: &Stream) -> Result<inspection::Side, ReadError> {
    let conflict_bytes = ByteRange::covered(stream.conflicts.iter().map(|conflict| conflict.range));
    let last =
        if conflict_bytes > 0 { islands(&index.stream_last_wins(flow.id, side)?)? } else { Vec::new() };
    Ok(inspection::Side {
        from: flow.address(side).to_string(),
        from_start: stream.from_start,
        bytes_present: stream.present(),
        islands: islands(stream)?,
        islands_last_wins: last,
        gaps: stream.gaps.clone(),
        conflict_bytes,
    })
}

/// Digests every run of bytes without a gap.
fn islands(stream: &Stream) -> Result<Vec<Island>, ReadError> {
    let mut islands = Vec::new();
    let mut open: Option<(ByteRange, Sha256)> = None;
    let mut reader = stream.reader();
    let mut end = |open: &mut Option<(ByteRange, Sha256)>| {
        if let Some((range, hasher)) = open.take() {
            islands.push(Island { offset: range.start, len: range.len(), sha256: Digest::finish(hasher) });
        }
    };
    while let Some(chunk) = reader.next_chunk()? {
        match chunk {
            Chunk::Gap(_) => end(&mut open),
            Chunk::Bytes { range, data } => {
                if open.as_ref().is_some_and(|(before, _)| before.end != range.start) {
                    end(&mut open);
                }
                let (whole, hasher) =
                    open.get_or_insert_with(|| (ByteRange::new(range.start, range.start), Sha256::new()));
                whole.end = range.end;
                hasher.update(data);
            }
        }
    }
    end(&mut open);
    Ok(islands)
}
