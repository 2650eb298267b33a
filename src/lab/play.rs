//! Plays a model: run by run, event by event.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{
    encode::{dhcp, http::Encoded},
    link::{End, Link},
    model::{self, Model, Phase},
    nat::Nat,
    pcapng,
    phone::{Clock, Outcome, Phone},
    record::{self, Carried, Run, Sent, later},
    script::{Planned, Script},
    seeded::Seeded,
    servers::Servers,
    stack::Stack,
    tls::{KeyLog, Setup},
};
use crate::evidence::{ByteRange, Digest};

/// What stands in each capture, so that it can't be taken for another.
const COMMENT: &str = "simulated by exhibit lab: no real phone, server or network took part";
/// Turns of the clock in one run; a run of the shipped scenarios takes some thousands, more means that a stack spins.
const MAX_TURNS: u32 = 2_000_000;
/// From joining until the lease holds, with the four messages between.
const DHCP_US: [u64; 4] = [180_000, 204_000, 209_000, 231_000];

/// A file of the scenario folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its path in the scenario folder.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Everything that came of playing a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// One pcapng a run, in the order of the runs.
    pub captures: Vec<Made>,
    /// One key log a run that used TLS and whose keys are kept.
    pub keys: Vec<Made>,
    /// What was on the phone, sorted by run.
    pub device: Vec<Made>,
    /// The hash-chained record, if the model has one.
    pub record: Option<Made>,
    /// The truth as JSON.
    pub truth: Made,
    /// The same truth, typed.
    pub sent: Vec<Sent>,
}

impl Played {
    /// All files that belong into the scenario folder.
    pub fn files(&self) -> impl Iterator<Item = &Made> {
        self.captures.iter().chain(&self.keys).chain(&self.device).chain(&self.record).chain([&self.truth])
    }
}

/// Why a model could not be played to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlayError {
    /// The run ended before the answer was there: too short a tail, or too much loss.
    #[error("play {run} to its end: the conversation with {host} did not finish")]
    Unfinished {
        /// `PHASE/NN`.
        run: String,
        /// The server's name.
        host: String,
    },
    /// A name that no certificate can hold.
    #[error("make certificates for the servers: {0}")]
    Certificates(String),
    /// The order of actions is the plan's, and no plan draws one for exactly these.
    #[error("play {run} in the order of the plan: no plan draws the order of just its actions")]
    Order {
        /// `PHASE/NN`.
        run: String,
    },
    /// The world no longer moves on.
    #[error("play {run} to its end: the world spins at {micros} microseconds")]
    Spins {
        /// `PHASE/NN`.
        run: String,
        /// The virtual clock.
        micros: u64,
    },
}

impl PlayError {
    pub(super) fn tls(error: impl std::error::Error) -> Self {
        Self::Certificates(error.to_string())
    }
}

/// Plays a model; the same model and seed give the same bytes.
///
/// # Errors
/// When a run does not come to its end as the model says.
pub fn play(model: &Model, seed: u64) -> Result<Played, PlayError> {
    let (mut captures, mut key_logs, mut device) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sent, mut runs) = (Vec::new(), Vec::new());
    let setup = model.uses_tls().then(|| Setup::new(&model.hosts, model.seed, model.start));
    let setup = setup.transpose().map_err(PlayError::tls)?;
    let numbers = |phase: &'_ Phase| 1..=phase.runs.saturating_add(phase.twins);
    for (phase, number) in model.phases.iter().flat_map(|phase| numbers(phase).map(move |no| (phase, no))) {
        let fill = |template: &str| model::Layout::fill(template, &phase.id, number);
        let start = later(model.start, model.every.micros.saturating_mul(runs.len() as u64));
        let id = format!("{}/{number:02}", phase.id);
        let schedule = model.schedule(phase, &id).ok_or_else(|| PlayError::Order { run: id.clone() })?;
        let mut run = Run {
            id,
            phase,
            schedule,
            start,
            capture: fill(&model.layout.capture),
            device: fill(&model.layout.device),
            keys: Vec::new(),
            twin: number > phase.runs,
            spikes: Vec::new(),
        };
        let stage = Stage { model, seed, run: &run };
        let photos = stage.photos();
        let scripts: Vec<Script> = stage.scripts(&phase.sends, "", &photos);
        let others: Vec<Vec<Script>> = stage.others(&photos);
        let spikes = stage.spikes();
        let key_log = KeyLog::default();
        let tls = setup.as_ref().map(|setup| (setup, &key_log));
        let ran = stage.play(&scripts, &others, &spikes, tls)?;
        let bytes = stage.capture(ran.link, ran.end);
        let keys = key_log.text();
        let kept = model.layout.keys.as_deref().filter(|_| !keys.is_empty() && stage.keeps_keys()).map(fill);
        captures.push(Made { path: run.capture.clone(), bytes });
        sent.extend(stage.truth(scripts, &ran.outcomes, None));
        for ((other, scripts), outcomes) in phase.others.iter().zip(others).zip(&ran.others) {
            sent.extend(stage.truth(scripts, outcomes, Some(other.address)));
        }
        device.extend(photos.into_iter().map(|(path, bytes)| Made { path: run.on_device(&path), bytes }));
        device
            .extend(phase.messages().map(|path| Made { path: run.on_device(path), bytes: stage.messages() }));
        if let Some(path) = kept {
            key_logs.push(Made { path: path.clone(), bytes: keys.into_bytes() });
            run.keys.push(path);
        }
        for Planned { spike, file, .. } in spikes {
            device.extend(spike.artifact.clone().zip(file).map(|(path, bytes)| Made { path, bytes }));
            run.spikes.push(spike);
        }
        runs.push(run);
    }
    let record = model
        .layout
        .record
        .clone()
        .map(|path| Made { path, bytes: record::lines(&runs, model.phone.clock_ahead_ms) });
    let truth = Made { path: model.layout.truth.clone(), bytes: record::truth(model, seed, &sent) };
    Ok(Played { captures, keys: key_logs, device, record, truth, sent })
}

impl Run<'_> {
    /// A device path as a path in the scenario folder.
    pub(super) fn on_device(&self, path: &str) -> String {
        if self.device.is_empty() { path.to_owned() } else { format!("{}/{path}", self.device) }
    }
}

/// One run about to be played.
pub(super) struct Stage<'a> {
    pub(super) model: &'a Model,
    pub(super) seed: u64,
    pub(super) run: &'a Run<'a>,
}

impl<'a> Stage<'a> {
    pub(super) fn seeded(&self, purpose: &str) -> Seeded {
        Seeded::new(self.seed, &format!("{} {purpose}", self.run.id))
    }

    pub(super) fn phase(&self) -> &'a Phase {
        self.run.phase
    }

    /// What other machines send, each its own; a run without instruments has them too.
    fn others(&self, photos: &BTreeMap<String, Vec<u8>>) -> Vec<Vec<Script<'a>>> {
        let others = self.phase().others.iter().enumerate();
        others.map(|(no, other)| self.scripts(&other.sends, &format!("other {no} "), photos)).collect()
    }

    /// Turns the clock from event to event until the run's end.
    pub(super) fn play(
        &self,
        scripts: &[Script<'_>],
        others: &[Vec<Script<'_>>],
        spikes: &[Planned],
        tls: Option<(&Setup, &KeyLog)>,
    ) -> Result<Ran, PlayError> {
        let model = self.model;
        let mut link = Link::new(model.link, model.phone.mac, self.seeded("link"));
        let lease_at = if model.phone.fixed { 0 } else { self.join(&mut link) };
        let mut random = self.seeded("stacks");
        let mut number = || u64::from(random.below(u32::MAX));
        let setup = tls.map(|(setup, _)| setup);
        let start = (self.run.start, number());
        let mut servers = Servers::new(model, self.duties(), setup, start, self.seeded("servers"));
        let stack = Stack::new(model.phone.mac, number());
        let todo = |scripts: &[Script<'_>]| -> Result<Vec<_>, PlayError> {
            let todo = scripts.iter().enumerate().map(|(no, script)| script.conversation(self, no, tls));
            todo.collect::<Result<_, _>>().map_err(PlayError::tls)
        };
        let clock = Clock { start: self.run.start, ahead_ms: model.phone.clock_ahead_ms };
        let right = Clock { ahead_ms: 0, ..clock };
        let gateway = model.gateway.address;
        // The phone is the first of them.
        let mut clients = vec![Phone::new(stack, gateway, self.seeded("phone"), clock, todo(scripts)?)];
        if let Some(planned) = self.phase().spikes.as_ref().filter(|_| !spikes.is_empty()) {
            let mut stack = Stack::new(planned.mac, number());
            stack.set_address(planned.address, model.gateway.address);
            let todo = spikes.iter().map(|spike| spike.conversation(&planned.to, self, tls));
            let todo = todo.collect::<Result<_, _>>().map_err(PlayError::tls)?;
            clients.push(Phone::new(stack, gateway, self.seeded("spikes"), right, todo));
        }
        let beside = clients.len();
        for (no, (other, scripts)) in self.phase().others.iter().zip(others).enumerate() {
            let mut stack = Stack::new(other.mac, number());
            stack.set_address(other.address, gateway);
            let seeded = self.seeded(&format!("other {no}"));
            clients.push(Phone::new(stack, gateway, seeded, right, todo(scripts)?));
        }

        let ends = self.run.schedule.iter().map(|(action, at)| at + action.lasts.micros);
        let end = ends.max().unwrap_or(0) + self.phase().tail.micros;
        let mut now = lease_at;
        if let Some(phone) = clients.first_mut() {
            phone.stack.set_address(model.phone.address, gateway);
        }
        for _ in 0..MAX_TURNS {
            if now >= end {
                let unfinished = |host| PlayError::Unfinished { run: self.run.id.clone(), host };
                let ended = clients.into_iter().map(Phone::into_outcomes);
                let mut ended = ended.collect::<Result<Vec<_>, _>>().map_err(unfinished)?;
                let others = ended.split_off(beside);
                let outcomes = ended.into_iter().next().unwrap_or_default();
                return Ok(Ran { link, end, outcomes, others });
            }
            now = turn(now, &mut link, &mut clients, &mut servers).unwrap_or(end).min(end);
        }
        Err(PlayError::Spins { run: self.run.id.clone(), micros: now })
    }

    /// The capture as a file: it runs from the run's start to its end.
    fn capture(&self, link: Link, end: u64) -> Vec<u8> {
        let start = self.run.start.0 / 1000;
        let (mut frames, dropped) = link.into_captured();
        if let Some(outside) = self.model.gateway.outside {
            let mut nat = Nat::new(outside, self.model.gateway.address);
            frames = frames.into_iter().filter_map(|captured| nat.translated(captured)).collect();
        }
        frames.iter_mut().for_each(|captured| captured.micros += start);
        let received = frames.len() as u64 + dropped;
        let statistics = pcapng::Statistics { from_to: [start, start + end], received, dropped };
        pcapng::write(COMMENT, ("wlan0", self.model.link.snap), &frames, &statistics)
    }

    /// Writes the DHCP exchange into the capture; says when the lease holds.
    fn join(&self, link: &mut Link) -> u64 {
        let join = self.run.schedule.iter().find(|(action, _)| action.joins);
        let start = join.map_or(0, |(_, at)| *at);
        let lease = dhcp::Lease {
            phone_mac: self.model.phone.mac.0,
            phone_name: &self.model.phone.name,
            gateway_mac: self.model.gateway.mac.0,
            gateway: self.model.gateway.address,
            address: self.model.phone.address,
            xid: self.seeded("dhcp").below(u32::MAX),
        };
        use dhcp::Message::{Ack, Discover, Offer, Request};
        for (message, after) in [Discover, Offer, Request, Ack].into_iter().zip(DHCP_US) {
            link.record(start + after, lease.frame(message));
        }
        start + DHCP_US.iter().max().copied().unwrap_or(0)
    }

    fn truth(&self, scripts: Vec<Script<'_>>, outcomes: &[Outcome], by: Option<Ipv4Addr>) -> Vec<Sent> {
        let mut sent = Vec::new();
        for (script, outcome) in scripts.into_iter().zip(outcomes) {
            let mut offset = 0;
            let opening = script.wire.opening.as_ref();
            offset += opening.map_or(0, |opening| opening.len() as u64);
            let times = outcome.times.iter().skip(usize::from(opening.is_some()));
            // A question for the time is no stream: its packet is in no list.
            let asked = Encoded { bytes: Vec::new(), places: Vec::new() };
            let is_time = matches!(script.send.requests.first(), Some(model::Request::Ntp {}));
            let requests = script.wire.requests.iter().chain(is_time.then_some(&asked));
            for (no, (encoded, (begun, answered))) in requests.zip(times).enumerate() {
                // All packets to a push service are of its one request.
                let of = script.send.requests.get(no).or(script.send.requests.last());
                let Some(request) = of else { continue };
                let shift = |range: ByteRange| ByteRange::new(range.start + offset, range.end + offset);
                let carried = |(what, place): &(String, ByteRange)| Carried {
                    what: what.clone(),
                    stream_range: shift(*place),
                    sha256: Digest::of(slice(&encoded.bytes, *place)),
                };
                sent.push(Sent {
                    run: self.run.id.clone(),
                    capture: self.run.capture.clone(),
                    during: script.send.during.clone(),
                    begun: later(self.run.start, *begun),
                    answered: later(self.run.start, *answered),
                    host: script.send.to.clone(),
                    address: outcome.address.map(|address| address.to_string()).unwrap_or_default(),
                    port: script.send.port(),
                    local_port: outcome.local_port,
                    by,
                    over: script.send.carrier(),
                    wrapper: request.wrapper(),
                    cleartext: !matches!(request, model::Request::Opaque { .. })
                        && !model::is_encrypted(script.send.over),
                    stream_range: shift(ByteRange::new(0, encoded.bytes.len() as u64)),
                    clock_ahead_ms: outcome.clock_ahead_ms,
                    carries: encoded.places.iter().map(carried).collect(),
                });
                offset += encoded.bytes.len() as u64;
            }
        }
        sent
    }
}

/// What a run came to.
pub(super) struct Ran {
    /// What passed.
    pub(super) link: Link,
    /// When it ended.
    pub(super) end: u64,
    /// What became of each script of the phone.
    pub(super) outcomes: Vec<Outcome>,
    /// And of other machines.
    others: Vec<Vec<Outcome>>,
}

/// Does everything that is due at `now`; says when something is due next.
fn turn(now: u64, link: &mut Link, clients: &mut [Phone], servers: &mut Servers) -> Option<u64> {
    while let Some((to, frame)) = link.arrived(now) {
        if to == End::Net {
            servers.stack.card.received.push_back(frame);
            continue;
        }
        // All on the air hear it; each takes what is its own.
        for client in clients.iter_mut() {
            client.stack.card.received.push_back(frame.clone());
        }
    }
    clients.iter_mut().for_each(|client| client.stack.poll(now));
    servers.stack.poll(now);
    let mut busy = false;
    for client in clients.iter_mut() {
        busy |= client.step(now);
    }
    busy |= servers.step(now);
    clients.iter_mut().for_each(|client| client.stack.poll(now));
    servers.stack.poll(now);
    for client in clients.iter_mut() {
        for frame in std::mem::take(&mut client.stack.card.sent) {
            link.send(now, End::Phone, frame);
        }
    }
    for frame in std::mem::take(&mut servers.stack.card.sent) {
        link.send(now, End::Net, frame);
    }
    let again = busy.then_some(now);
    let mut next = vec![again, link.next(), servers.next(now), servers.stack.poll_at(now)];
    for client in clients.iter_mut() {
        next.extend([client.next(now), client.stack.poll_at(now)]);
    }
    next.into_iter().flatten().min().map(|next| next.max(now + 1))
}

fn slice(bytes: &[u8], range: ByteRange) -> &[u8] {
    let at = |place| usize::try_from(place).unwrap_or(usize::MAX);
    bytes.get(at(range.start)..at(range.end)).unwrap_or_default()
}
