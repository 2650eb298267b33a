//! Plays a model: run by run, event by event.

use std::collections::BTreeMap;

use super::{
    encode::{dhcp, http},
    link::{End, Link},
    model::{self, Model, Phase},
    pcapng,
    phone::{Conversation, Outcome, Phone},
    photo,
    record::{self, Carried, Run, Sent, later},
    seeded::Seeded,
    servers::{Servers, Service, Services},
    stack::Stack,
};
use crate::{
    case::scenario::{
        record::Spike,
        words::{Carrier, SpikeClass},
    },
    evidence::{ByteRange, Digest},
};

/// What stands in each capture, so that it can't be taken for another.
const COMMENT: &str = "simulated by exhibit lab: no real phone, server or network took part";
/// Where spikes go.
const HTTP_PORT: u16 = 80;
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
        self.captures.iter().chain(&self.device).chain(&self.record).chain([&self.truth])
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
    /// The world no longer moves on.
    #[error("play {run} to its end: the world spins at {micros} microseconds")]
    Spins {
        /// `PHASE/NN`.
        run: String,
        /// The virtual clock.
        micros: u64,
    },
}

/// Plays a model; the same model and seed give the same bytes.
///
/// # Errors
/// When a run does not come to its end as the model says.
pub fn play(model: &Model, seed: u64) -> Result<Played, PlayError> {
    let (mut captures, mut device, mut sent, mut runs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let numbers = |phase: &'_ Phase| 1..=phase.runs.saturating_add(phase.twins);
    for (phase, number) in model.phases.iter().flat_map(|phase| numbers(phase).map(move |no| (phase, no))) {
        let fill =
            |template: &str| template.replace("{phase}", &phase.id).replace("{run}", &format!("{number:02}"));
        let start = later(model.start, model.every.micros.saturating_mul(runs.len() as u64));
        let id = format!("{}/{number:02}", phase.id);
        let mut run = Run {
            id,
            phase,
            start,
            capture: fill(&model.layout.capture),
            device: fill(&model.layout.device),
            keys: Vec::new(),
            twin: number > phase.runs,
            spikes: Vec::new(),
        };
        let stage = Stage { model, seed, run: &run };
        let photos = stage.photos();
        let scripts: Vec<Script> = stage.scripts(&photos);
        let spikes = stage.spikes();
        let (bytes, outcomes) = stage.play(&scripts, &spikes)?;
        captures.push(Made { path: run.capture.clone(), bytes });
        sent.extend(stage.truth(scripts, &outcomes));
        device.extend(photos.into_iter().map(|(path, bytes)| Made { path: run.on_device(&path), bytes }));
        device
            .extend(phase.messages().map(|path| Made { path: run.on_device(path), bytes: stage.messages() }));
        for Planned { spike, file, .. } in spikes {
            device.extend(spike.artifact.clone().zip(file).map(|(path, bytes)| Made { path, bytes }));
            run.spikes.push(spike);
        }
        runs.push(run);
    }
    let record = model.layout.record.clone().map(|path| Made { path, bytes: record::lines(&runs) });
    let truth = Made { path: model.layout.truth.clone(), bytes: record::truth(model, seed, &sent) };
    Ok(Played { captures, device, record, truth, sent })
}

impl Run<'_> {
    /// A device path as a path in the scenario folder.
    fn on_device(&self, path: &str) -> String {
        if self.device.is_empty() { path.to_owned() } else { format!("{}/{path}", self.device) }
    }
}

/// One run about to be played.
struct Stage<'a> {
    model: &'a Model,
    seed: u64,
    run: &'a Run<'a>,
}

/// A spike about to be sent.
struct Planned {
    spike: Spike,
    file: Option<Vec<u8>>,
    at: u64,
    request: Vec<u8>,
}

/// A planned send with its encoded requests.
struct Script<'a> {
    send: &'a model::Send,
    at: u64,
    requests: Vec<http::Encoded>,
}

impl<'a> Stage<'a> {
    fn seeded(&self, purpose: &str) -> Seeded {
        Seeded::new(self.seed, &format!("{} {purpose}", self.run.id))
    }

    fn phase(&self) -> &'a Phase {
        self.run.phase
    }

    /// Photos by their path on the phone, each new.
    fn photos(&self) -> BTreeMap<String, Vec<u8>> {
        let take = |path: &str| (path.to_owned(), photo::take(&mut self.seeded(&format!("photo {path}"))));
        self.phase().photos().map(take).collect()
    }

    /// The text of the run's message: words that nobody sent before.
    fn message(&self) -> String {
        let fresh = crate::evidence::hex(&self.seeded("message").bytes(12));
        format!("A simulated message, fresh in this run: {fresh}.")
    }

    /// The list of messages on the phone.
    fn messages(&self) -> Vec<u8> {
        format!("body\n\"{}\"\n", self.message()).into_bytes()
    }

    /// What another machine sends in this run.
    fn spikes(&self) -> Vec<Planned> {
        let Some(spikes) = self.phase().spikes.as_ref().filter(|_| !self.run.twin) else { return Vec::new() };
        let at = self.action_at(&spikes.during) + spikes.after.micros;
        let classes = [SpikeClass::Photo, SpikeClass::Message, SpikeClass::Identifier];
        let each = spikes.over.iter().flat_map(|over| classes.map(|class| (*over, class)));
        each.map(|(over, class)| {
            let model::Carrier::Http1 = over;
            let id = format!("{}-{}-http1", self.run.id.replace('/', "-"), class.name());
            let photo = class == SpikeClass::Photo;
            let file = photo.then(|| photo::take(&mut self.seeded(&format!("spike {id}"))));
            let value =
                (!photo).then(|| crate::evidence::hex(&self.seeded(&format!("spike {id}")).bytes(12)));
            let artifact = photo.then(|| format!("spikes/{id}.jpg"));
            let field = |value: &String| http::Field {
                name: class.name().to_owned(),
                value: value.clone(),
                label: None,
            };
            let fields: Vec<http::Field> = value.iter().map(field).collect();
            let filename = format!("{id}.jpg");
            let body = match &file {
                Some(bytes) => {
                    http::Body::File(http::Part { field: "", filename: &filename, bytes, label: id.clone() })
                }
                None => http::Body::Form(&fields),
            };
            let request = http::request(&spikes.to, "/spike", &[], &body, true);
            let spike = Spike {
                id,
                class,
                artifact,
                value,
                over: Carrier::Http1,
                keyed: false,
                wrapper: if photo { "body" } else { "form" }.to_owned(),
                from: spikes.address.into(),
                at: later(self.run.start, at),
            };
            Planned { spike, file, at, request: request.bytes }
        })
        .collect()
    }

    fn action_at(&self, id: &str) -> u64 {
        let found = self.phase().actions.iter().find(|action| action.id == id);
        found.map_or(0, |action| action.at.micros)
    }

    fn scripts(&self, photos: &BTreeMap<String, Vec<u8>>) -> Vec<Script<'a>> {
        let sends = self.phase().sends.iter().enumerate();
        let script = |(no, send): (usize, &'a model::Send)| {
            let last = send.requests.len().saturating_sub(1);
            let encode = |(index, request): (usize, &model::Request)| {
                self.encode(&format!("send {no} {index}"), &send.to, request, photos, index == last)
            };
            let millis = u32::try_from(send.spread.micros / 1000).unwrap_or(u32::MAX);
            let spread = u64::from(self.seeded(&format!("spread {no}")).below(millis)) * 1000;
            Script {
                send,
                at: self.action_at(&send.during) + send.after.micros + spread,
                requests: send.requests.iter().enumerate().map(encode).collect(),
            }
        };
        sends.map(script).collect()
    }

    fn encode(
        &self,
        purpose: &str,
        host: &str,
        request: &model::Request,
        photos: &BTreeMap<String, Vec<u8>>,
        last: bool,
    ) -> http::Encoded {
        let fields = |fields: &[model::Field]| -> Vec<http::Field> {
            fields.iter().map(|field| self.field(field)).collect()
        };
        let file = |path: &'_ str| photos.get(path).map(Vec::as_slice).unwrap_or_default();
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        match request {
            model::Request::Get { path, query } => {
                http::request(host, path, &fields(query), &http::Body::None, last)
            }
            model::Request::Form { path, query, fields: form } => {
                http::request(host, path, &fields(query), &http::Body::Form(&fields(form)), last)
            }
            model::Request::Body { path, query, file: photo } => {
                let filename = name(photo);
                let label = self.run.on_device(photo);
                let part = http::Part { field: "", filename: &filename, bytes: file(photo), label };
                http::request(host, path, &fields(query), &http::Body::File(part), last)
            }
            model::Request::Multipart { path, fields: form, file: photo, field } => {
                let filename = name(photo);
                let label = self.run.on_device(photo);
                let part = http::Part { field, filename: &filename, bytes: file(photo), label };
                let boundary = format!("simulated-{}", crate::evidence::hex(&self.seeded(purpose).bytes(12)));
                let body = http::Body::Multipart { boundary: &boundary, fields: &fields(form), file: part };
                http::request(host, path, &[], &body, last)
            }
            model::Request::Opaque { up, .. } => {
                http::Encoded { bytes: self.seeded(purpose).bytes(*up), places: Vec::new() }
            }
        }
    }

    fn field(&self, field: &model::Field) -> http::Field {
        let identifier = field.identifier.as_ref();
        let known = identifier.and_then(|kind| self.model.phone.identifiers.get(kind));
        if field.message {
            let label = Some("message".to_owned());
            return http::Field { name: field.name.clone(), value: self.message(), label };
        }
        let value = known.or(field.text.as_ref()).cloned().unwrap_or_default();
        http::Field { name: field.name.clone(), value, label: identifier.cloned() }
    }

    fn services(&self) -> Services {
        let address =
            |name: &str| self.model.hosts.iter().find(|host| host.name == name).map(|host| host.address);
        let service = |send: &model::Send| {
            let service = match send.requests.first() {
                Some(model::Request::Opaque { up, down }) => Service::Opaque { up: *up, down: *down },
                _ => Service::Http,
            };
            Some(((address(&send.to)?, send.port), service))
        };
        let spikes = self.phase().spikes.iter();
        let spikes = spikes.filter_map(|spikes| Some(((address(&spikes.to)?, HTTP_PORT), Service::Http)));
        self.phase().sends.iter().filter_map(service).chain(spikes).collect()
    }

    /// Turns the clock from event to event until the run's end.
    fn play(&self, scripts: &[Script<'_>], spikes: &[Planned]) -> Result<(Vec<u8>, Vec<Outcome>), PlayError> {
        let model = self.model;
        let mut link = Link::new(model.link, self.seeded("link"));
        let lease_at = if model.phone.fixed { 0 } else { self.join(&mut link) };
        let mut random = self.seeded("stacks");
        let mut number = || u64::from(random.below(u32::MAX));
        let mut servers =
            Servers::new(&model.gateway, &model.hosts, self.services(), number(), self.seeded("servers"));
        let stack = Stack::new(model.phone.mac, number());
        let todo = scripts.iter().map(Script::conversation).collect();
        let mut phone = Phone::new(stack, model.gateway.address, self.seeded("phone"), todo);
        let mut other = self.phase().spikes.as_ref().filter(|_| !spikes.is_empty()).map(|planned| {
            let mut stack = Stack::new(planned.mac, number());
            stack.set_address(planned.address, model.gateway.address);
            let todo = spikes.iter().map(|spike| Conversation {
                at: spike.at,
                host: planned.to.clone(),
                port: HTTP_PORT,
                requests: vec![spike.request.clone()],
                opaque_answers: Vec::new(),
            });
            Phone::new(stack, model.gateway.address, self.seeded("spikes"), todo.collect())
        });

        let ends = self.phase().actions.iter().map(|action| action.at.micros + action.lasts.micros);
        let end = ends.max().unwrap_or(0) + self.phase().tail.micros;
        let mut now = lease_at;
        phone.stack.set_address(model.phone.address, model.gateway.address);
        for _ in 0..MAX_TURNS {
            if now >= end {
                let unfinished = |host| PlayError::Unfinished { run: self.run.id.clone(), host };
                other.map_or(Ok(Vec::new()), Phone::into_outcomes).map_err(unfinished)?;
                return Ok((self.capture(link, end), phone.into_outcomes().map_err(unfinished)?));
            }
            now = turn(now, &mut link, &mut phone, other.as_mut(), &mut servers).unwrap_or(end).min(end);
        }
        Err(PlayError::Spins { run: self.run.id.clone(), micros: now })
    }

    /// The capture as a file: it runs from the run's start to its end.
    fn capture(&self, link: Link, end: u64) -> Vec<u8> {
        let start = self.run.start.0 / 1000;
        let (mut frames, dropped) = link.into_captured();
        frames.iter_mut().for_each(|captured| captured.micros += start);
        let received = frames.len() as u64 + dropped;
        let statistics = pcapng::Statistics { from_to: [start, start + end], received, dropped };
        pcapng::write(COMMENT, "wlan0", &frames, &statistics)
    }

    /// Writes the DHCP exchange into the capture; says when the lease holds.
    fn join(&self, link: &mut Link) -> u64 {
        let join = self.phase().actions.iter().find(|action| action.joins);
        let start = join.map_or(0, |action| action.at.micros);
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

    fn truth(&self, scripts: Vec<Script<'_>>, outcomes: &[Outcome]) -> Vec<Sent> {
        let mut sent = Vec::new();
        for (script, outcome) in scripts.into_iter().zip(outcomes) {
            let mut offset = 0;
            let requests = script.requests.iter().zip(&script.send.requests).zip(&outcome.times);
            for ((encoded, request), (begun, answered)) in requests {
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
                    port: script.send.port,
                    local_port: outcome.local_port,
                    wrapper: request.wrapper(),
                    cleartext: !matches!(request, model::Request::Opaque { .. }),
                    stream_range: shift(ByteRange::new(0, encoded.bytes.len() as u64)),
                    carries: encoded.places.iter().map(carried).collect(),
                });
                offset += encoded.bytes.len() as u64;
            }
        }
        sent
    }
}

impl Script<'_> {
    fn conversation(&self) -> Conversation {
        let opaque = |request: &model::Request| match request {
            model::Request::Opaque { down, .. } => *down,
            _ => 0,
        };
        Conversation {
            at: self.at,
            host: self.send.to.clone(),
            port: self.send.port,
            requests: self.requests.iter().map(|encoded| encoded.bytes.clone()).collect(),
            opaque_answers: self.send.requests.iter().map(opaque).collect(),
        }
    }
}

/// Does everything that is due at `now`; says when something is due next.
fn turn(
    now: u64,
    link: &mut Link,
    phone: &mut Phone,
    other: Option<&mut Phone>,
    servers: &mut Servers,
) -> Option<u64> {
    let mut clients: Vec<&mut Phone> = [phone].into_iter().chain(other).collect();
    while let Some((to, frame)) = link.arrived(now) {
        if to == End::Net {
            servers.stack.card.received.push_back(frame);
            continue;
        }
        // All on the air hear it; each takes what is its own.
        for client in &mut clients {
            client.stack.card.received.push_back(frame.clone());
        }
    }
    clients.iter_mut().for_each(|client| client.stack.poll(now));
    servers.stack.poll(now);
    let mut busy = false;
    for client in &mut clients {
        busy |= client.step(now);
    }
    busy |= servers.step();
    clients.iter_mut().for_each(|client| client.stack.poll(now));
    servers.stack.poll(now);
    for client in &mut clients {
        for frame in std::mem::take(&mut client.stack.card.sent) {
            link.send(now, End::Phone, frame);
        }
    }
    for frame in std::mem::take(&mut servers.stack.card.sent) {
        link.send(now, End::Net, frame);
    }
    let again = busy.then_some(now);
    let mut next = vec![again, link.next(), servers.stack.poll_at(now)];
    for client in &mut clients {
        next.extend([client.next(now), client.stack.poll_at(now)]);
    }
    next.into_iter().flatten().min().map(|next| next.max(now + 1))
}

fn slice(bytes: &[u8], range: ByteRange) -> &[u8] {
    let at = |place| usize::try_from(place).unwrap_or(usize::MAX);
    bytes.get(at(range.start)..at(range.end)).unwrap_or_default()
}
