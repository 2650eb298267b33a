//! What the engine sees in one capture, without a scenario: a shorter walk on the same road.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

mod islands;
mod lockstep;
mod walk;

use super::{
    analyze::AnalysisError,
    decode::{
        self, Context, Conversation, Shared,
        sink::{DnsMessage, LeafId, Origin, Sink, Source},
    },
    keys::keys,
    net::{
        self, Flow, Index, Side,
        stream::{Conflict, Stream},
    },
    subject::Subject,
};
use crate::{
    case::{
        Case,
        capture::{self, ByteOrder, Family, Packing},
        geoip::Table,
    },
    evidence::{ByteRange, Limits, ReadError, Step, Timestamp, Transport, printable},
    findings::inspection::{self, App, Comment, Container, End, Head, Island, Part, Phone, View},
};
use islands::{Islands, islands};
use walk::{MAX_TEXT, Walk};

/// Odd traffic listed; the rest is counted.
const MAX_ANOMALIES: u64 = 1_000;
/// Names of addresses that are kept; a resolver's capture may hold millions.
const MAX_RESOLVED: usize = 1 << 18;

/// Walks the first capture of a case and hands on what each flow shows, in the order of first frames.
///
/// # Errors
/// When the capture can't be read, or the view can't take what it is given.
pub fn inspect(case: &Case, limits: &Limits, view: &mut dyn View) -> Result<(), AnalysisError> {
    let (plan, table) = (&case.plan, &case.addresses);
    let Some(capture) = case.captures.values().next() else { return Err(AnalysisError::NoCapture) };
    let index = net::index(capture, limits)?;
    let keys = keys(case, std::slice::from_ref(&index))?;
    // Without a phone every flow's initiator sends uplink; several candidates are no error here.
    let subject = Subject::determine(plan, std::slice::from_ref(&index));
    let subject = subject.unwrap_or_else(|_| Subject::initiators());
    let context = Context::new(limits, &keys, capture.scratch());
    let digests = islands::Shared::default();
    let inspector =
        Inspector { index: &index, subject: &subject, table, context: &context, digests: &digests };
    view.head(&inspector.head()).map_err(AnalysisError::View)?;
    let mut tally = Tally::default();
    inspector.resolve(&mut tally)?;
    let odd = index.container.anomalies.iter().chain(&index.anomalies).cloned().collect();
    let comments = comments(&index);
    tally.hand(view, Part { anomalies: odd, comments, ..Part::default() })?;
    // Flows that need each other are walked together, and wait for those before them.
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    for group in index.groups().iter() {
        let mut shared = Shared::default();
        for flow in group.iter().filter_map(|id| index.flow(*id)) {
            let (part, resolved) = inspector.flow(flow, &mut shared)?;
            tally.resolved(resolved);
            if flow.id.0 == next && waiting.is_empty() {
                tally.hand(view, part)?;
                next += 1;
                continue;
            }
            waiting.insert(flow.id.0, part);
            while let Some(part) = waiting.remove(&next) {
                tally.hand(view, part)?;
                next += 1;
            }
        }
    }
    for part in waiting.into_values() {
        tally.hand(view, part)?;
    }
    view.end(&End { anomaly_count: tally.anomalies }).map_err(AnalysisError::View)
}

/// Conflicts listed of one direction.
const MAX_CONFLICTS: usize = 100;

fn conflicts(stream: &Stream) -> Vec<inspection::Conflict> {
    let conflict = |conflict: &Conflict| {
        let receivers = conflict.receivers.iter().flat_map(net::Receivers::of);
        let sums = [(conflict.kept, conflict.kept_checksum), (conflict.other, conflict.other_checksum)];
        inspection::Conflict {
            range: conflict.range,
            kept: conflict.kept,
            other: conflict.other,
            receivers: receivers
                .map(|(policy, version)| (policy.name().to_owned(), version.name().to_owned()))
                .collect(),
            wrong_checksum: sums
                .into_iter()
                .filter(|(_, sum)| *sum == net::Checksum::Wrong)
                .map(|(frame, _)| frame)
                .collect(),
        }
    };
    stream.conflicts.iter().take(MAX_CONFLICTS).map(conflict).collect()
}

fn comments(index: &Index) -> Vec<Comment> {
    let comment = |comment: &capture::Comment| Comment {
        frame: comment.frame,
        about: comment.about.to_owned(),
        text: comment.text.clone(),
    };
    index.container.comments.iter().map(comment).collect()
}

/// What is added up over flows.
#[derive(Default)]
struct Tally {
    names: BTreeMap<IpAddr, BTreeSet<String>>,
    resolved: usize,
    anomalies: u64,
}

impl Tally {
    fn resolved(&mut self, pairs: Vec<(IpAddr, String)>) {
        for (address, name) in pairs {
            if self.resolved < MAX_RESOLVED {
                self.resolved += usize::from(self.names.entry(address).or_default().insert(name));
            }
        }
    }

    /// Hands a part on: with the names of its flows, and as many anomalies as there is room for.
    fn hand(&mut self, view: &mut dyn View, mut part: Part) -> Result<(), AnalysisError> {
        for flow in &mut part.flows {
            let remote = if flow.uplink_from == "initiator" { &flow.responder } else { &flow.initiator };
            let remote: Option<SocketAddr> = remote.parse().ok();
            let known = remote.and_then(|remote| self.names.get(&remote.ip())).into_iter().flatten();
            flow.names.extend(known.map(|name| format!("{name} (dns)")));
            flow.names.sort();
            flow.names.dedup();
        }
        let room = usize::try_from(MAX_ANOMALIES.saturating_sub(self.anomalies)).unwrap_or(usize::MAX);
        self.anomalies += part.anomalies.len() as u64;
        part.anomalies.sort();
        part.anomalies.truncate(room);
        view.part(&part).map_err(AnalysisError::View)
    }
}

/// Collects the addresses that DNS gives for names.
#[derive(Default)]
struct Resolver(Vec<(IpAddr, String)>);

impl Sink for Resolver {
    fn open(&mut self, _: Origin) -> LeafId {
        LeafId(0)
    }

    fn write(&mut self, _: LeafId, _: &[u8], _: Source) {}

    fn close(&mut self, _: LeafId, _: &[Step]) {}

    fn dns(&mut self, message: &DnsMessage) {
        let named = message.resolved().map(|(address, name)| (address, printable(name.as_bytes(), MAX_TEXT)));
        self.0.extend(named);
    }
}

/// What every flow is inspected with.
struct Inspector<'i> {
    index: &'i Index,
    subject: &'i Subject,
    table: &'i Table,
    context: &'i Context<'i>,
    digests: &'i islands::Shared,
}

impl Inspector<'_> {
    fn head(&self) -> Head {
        let (index, subject) = (self.index, self.subject);
        Head {
            format: inspection::FORMAT.to_owned(),
            capture: index.capture.clone(),
            sha256: index.container.digest,
            size: index.container.bytes,
            container: container(index),
            packets: u64::from(index.container.packets),
            first: index.container.first.map(Timestamp::epoch_text),
            last: index.container.last.map(Timestamp::epoch_text),
            phone: Phone {
                addresses: subject.addresses.iter().map(ToString::to_string).collect(),
                by: subject.bound_by.clone(),
            },
        }
    }

    /// The names that plain DNS gives anywhere in the capture: a connection may be older than the answer. Those that
    /// stand inside other flows are known when these were walked.
    fn resolve(&self, tally: &mut Tally) -> Result<(), ReadError> {
        let plain = |flow: &&Flow| decode::on_dns_port(flow.initiator, flow.responder);
        for flow in self.index.flows.iter().filter(plain) {
            let mut resolver = Resolver::default();
            let streams = self.streams(flow)?;
            decode::walk(&streams.conversation(flow), self.context, &mut Shared::default(), &mut resolver)?;
            tally.resolved(resolver.0);
        }
        Ok(())
    }

    /// Adds the names that the capture file itself gives an address.
    fn named(&self, mut names: Vec<String>, address: IpAddr) -> Vec<String> {
        let given = self.index.container.names.range((address, String::new())..);
        let given = given.take_while(|(named, _)| *named == address);
        names.extend(given.map(|(_, name)| format!("{name} (capture file)")));
        names
    }

    fn app(&self, uid: i32) -> App {
        let app = self.index.container.apps.get(&uid);
        let (name, package) = app.map(|app| (app.name.clone(), app.package.clone())).unwrap_or_default();
        App { uid, name, package }
    }

    fn streams(&self, flow: &Flow) -> Result<Streams, ReadError> {
        let uplink = self.subject.uplink_side(flow).unwrap_or(Side::Initiator);
        let up = self.index.stream(flow.id, uplink)?;
        let down = self.index.stream(flow.id, uplink.other())?;
        Ok(Streams { uplink, up, down })
    }

    /// What a flow shows, and the addresses that it gives for names.
    fn flow(&self, flow: &Flow, shared: &mut Shared) -> Result<(Part, Vec<(IpAddr, String)>), ReadError> {
        let name = flow.name(&self.index.capture);
        let mut streams = self.streams(flow)?;
        let islands = [&mut streams.up, &mut streams.down].map(|stream| Islands::watch(stream, self.digests));
        let mut walk = Walk::new(&self.index.capture, &name, flow, streams.uplink, self.digests);
        decode::walk(&streams.conversation(flow), self.context, shared, &mut walk)?;
        walk.finish();
        let (initiator, responder) = (flow.initiator.to_string(), flow.responder.to_string());
        let mut directions = Vec::with_capacity(Side::BOTH.len());
        for (side, from) in Side::BOTH.into_iter().zip([&initiator, &responder]) {
            let stream = streams.of(side);
            let [up, down] = &islands;
            let islands = if side == streams.uplink { up } else { down };
            let first = Islands::finish(islands, stream)?;
            directions.push(self.direction(flow, (side, from), stream, first)?);
            walk.anomalies.extend(stream.anomalies(&name));
        }
        let remote = flow.address(streams.uplink.other()).ip();
        let view = inspection::Flow {
            transport: match flow.transport {
                Transport::Tcp => "tcp",
                Transport::Udp => "udp",
            }
            .to_owned(),
            initiator,
            responder,
            first_frame: flow.first_frame,
            first: flow.first.epoch_text(),
            last: flow.last.epoch_text(),
            frames: u64::from(flow.frames),
            protocol: walk.protocols.first().copied().unwrap_or("unknown").to_owned(),
            inner_protocols: walk.protocols.iter().skip(1).map(|&name| name.to_owned()).collect(),
            names: self.named(walk.names(), remote),
            app: flow.uid.map(|uid| self.app(uid)),
            registered_country: self.table.lookup(remote).country,
            uplink_from: if streams.uplink == Side::Initiator { "initiator" } else { "responder" }.to_owned(),
            directions,
            inner: walk.inner,
            name: name.clone(),
        };
        let Walk {
            transactions,
            messages,
            mut dns,
            mut hellos,
            mut tls,
            quic_connections,
            anomalies,
            resolved,
            ..
        } = walk;
        dns.sort_by_key(|message| message.frame);
        hellos.sort_by_key(|hello| hello.frame);
        tls.sort_by_key(|connection| connection.frame);
        let part = Part {
            flows: vec![view],
            transactions: transactions.into_values().map(|transaction| *transaction).collect(),
            messages: messages.into_values().collect(),
            dns,
            tls_hellos: hellos,
            tls,
            quic_connections,
            anomalies,
            ..Part::default()
        };
        Ok((part, resolved))
    }

    fn direction(
        &self,
        flow: &Flow,
        (side, from): (Side, &str),
        stream: &Stream,
        first: Vec<Island>,
    ) -> Result<inspection::Side, ReadError> {
        let conflict_bytes = ByteRange::covered(stream.conflicts.iter().map(|conflict| conflict.range));
        let last = if conflict_bytes > 0 {
            islands(&self.index.stream_last_wins(flow.id, side)?, self.digests)?
        } else {
            Vec::new()
        };
        Ok(inspection::Side {
            from: from.to_owned(),
            from_start: stream.from_start,
            bytes_present: stream.present(),
            islands: first,
            islands_last_wins: last,
            gaps: stream.gaps.clone(),
            conflict_bytes,
            conflicts: conflicts(stream),
        })
    }
}

/// Both directions of a flow.
struct Streams {
    uplink: Side,
    up: Stream,
    down: Stream,
}

impl Streams {
    fn of(&self, side: Side) -> &Stream {
        if side == self.uplink { &self.up } else { &self.down }
    }

    fn conversation(&self, flow: &Flow) -> Conversation<'_> {
        Conversation {
            transport: flow.transport,
            local: flow.address(self.uplink),
            remote: flow.address(self.uplink.other()),
            up: &self.up,
            down: &self.down,
        }
    }
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
        gzip: container.format.packing == Some(Packing::Gzip),
        zstd: container.format.packing == Some(Packing::Zstd),
        link_types: container.link_types.iter().map(|link| link.0).collect(),
        secrets: container.secrets.len() as u64,
        dropped: container.dropped,
        vantage: container.vantage.map(|vantage| vantage.name().to_owned()),
    }
}
