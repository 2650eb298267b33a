//! What a run's phone and the machine beside it will send, written out before the run is played.

use std::collections::BTreeMap;

use super::{
    encode::{
        http::{self, Encoded},
        http2, mqtt, websocket,
    },
    model::{self, is_encrypted, port},
    phone::{Answers, Conversation},
    photo,
    play::Stage,
    record::later,
    servers::{Duties, Service, Waiting},
    tls::{KeyLog, Setup, Version},
};
use crate::case::scenario::{
    record::Spike,
    words::{Carrier, SpikeClass},
};

/// Where a WebSocket is opened.
const SOCKET_PATH: &str = "/socket";

/// A spike about to be sent.
pub(super) struct Planned {
    /// What the record says of it.
    pub(super) spike: Spike,
    /// The photo, if it is one.
    pub(super) file: Option<Vec<u8>>,
    at: u64,
    wire: Wire,
}

/// A planned send with its encoded requests.
pub(super) struct Script<'a> {
    /// What the model says of it.
    pub(super) send: &'a model::Send,
    /// Its requests, as they are given to the stack or to TLS.
    pub(super) wire: Wire,
    at: u64,
    /// What the machine that sends it is called in draws.
    who: String,
}

/// What goes over one connection.
pub(super) struct Wire {
    over: Carrier,
    /// What is spoken inside TLS (RFC 7301).
    speaks: &'static str,
    /// How long after the opening each request waits at least, where it does.
    pauses: Vec<u64>,
    /// What comes before the first request and has an answer of its own: the handshake of a WebSocket.
    pub(super) opening: Option<Vec<u8>>,
    /// The requests.
    pub(super) requests: Vec<Encoded>,
    farewell: Vec<u8>,
}

/// A request that is not encoded yet.
struct Plain<'p> {
    path: &'p str,
    query: Vec<http::Field>,
    body: http::Body<'p>,
}

impl<'a> Stage<'a> {
    /// Whether the run's session keys are kept.
    pub(super) fn keeps_keys(&self) -> bool {
        self.model.layout.keys.is_some() && self.phase().keys && !self.run.twin
    }

    /// Photos by their path on the phone, each new.
    pub(super) fn photos(&self) -> BTreeMap<String, Vec<u8>> {
        let photos = self.phase().photos();
        photos.map(|(path, sizes)| (path.to_owned(), self.photo(path, sizes))).collect()
    }

    fn photo(&self, path: &str, sizes: &[usize]) -> Vec<u8> {
        let purpose = format!("photo {path}");
        let drawn = self.seeded(&format!("{purpose} size")).below(u32::try_from(sizes.len()).unwrap_or(0));
        match usize::try_from(drawn).ok().and_then(|drawn| sizes.get(drawn)) {
            Some(&size) => {
                let noise = |len| self.seeded(&format!("{purpose} noise")).bytes(len);
                photo::take_sized(|| self.seeded(&purpose), size, noise)
            }
            None => photo::take(&mut self.seeded(&purpose)),
        }
    }

    /// The text of the run's message: words that nobody sent before.
    pub(super) fn message(&self) -> String {
        let fresh = crate::evidence::hex(&self.seeded("message").bytes(12));
        format!("A simulated message, fresh in this run: {fresh}.")
    }

    /// The list of messages on the phone.
    pub(super) fn messages(&self) -> Vec<u8> {
        format!("body\n\"{}\"\n", self.message()).into_bytes()
    }

    /// What another machine sends in this run.
    pub(super) fn spikes(&self) -> Vec<Planned> {
        let Some(spikes) = self.phase().spikes.as_ref().filter(|_| !self.run.twin) else { return Vec::new() };
        let at = self.action_at(&spikes.during) + spikes.after.micros;
        let classes = [SpikeClass::Photo, SpikeClass::Message, SpikeClass::Identifier];
        let each = spikes.over.iter().flat_map(|over| classes.map(|class| (*over, class)));
        each.map(|(over, class)| {
            let id = format!("{}-{}-{}", self.run.id.replace('/', "-"), class.name(), over.name());
            self.planned(id, (class, over), spikes, at)
        })
        .collect()
    }

    /// One spike, to be sent `at` microseconds after the run's start.
    pub(super) fn planned(
        &self,
        id: String,
        (class, over): (SpikeClass, Carrier),
        spikes: &model::Spikes,
        at: u64,
    ) -> Planned {
        let photo = class == SpikeClass::Photo;
        let file = photo.then(|| photo::take(&mut self.seeded(&format!("spike {id}"))));
        let value = (!photo).then(|| crate::evidence::hex(&self.seeded(&format!("spike {id}")).bytes(12)));
        let artifact = photo.then(|| format!("spikes/{id}.jpg"));
        let field =
            |value: &String| http::Field { name: class.name().to_owned(), value: value.clone(), label: None };
        let fields: Vec<http::Field> = value.iter().map(field).collect();
        let filename = format!("{id}.jpg");
        let body = match &file {
            Some(bytes) => {
                http::Body::File(http::Part { field: "", filename: &filename, bytes, label: id.clone() })
            }
            None => http::Body::Form(fields),
        };
        let plain = Plain { path: "/spike", query: Vec::new(), body };
        let mut wire = self.opening(over, &spikes.to, &format!("spike {id}"));
        wire.requests.push(self.encode_over(over, &spikes.to, &plain, (0, true), &format!("spike {id}")));
        let spike = Spike {
            id,
            class,
            artifact,
            value,
            over,
            keyed: is_encrypted(over) && self.keeps_keys(),
            wrapper: if photo { "body" } else { "form" }.to_owned(),
            from: spikes.address.into(),
            at: later(self.run.start, at),
        };
        Planned { spike, file, at, wire }
    }

    fn action_at(&self, id: &str) -> u64 {
        let found = self.run.schedule.iter().find(|(action, _)| action.id == id);
        found.map_or(0, |(_, at)| *at)
    }

    /// What the phone sends in this run, or another machine, whose draws are called otherwise.
    pub(super) fn scripts(
        &self,
        sends: &'a [model::Send],
        who: &str,
        photos: &BTreeMap<String, Vec<u8>>,
    ) -> Vec<Script<'a>> {
        let script = |(no, send, round): (usize, &'a model::Send, u32)| {
            let who = if round == 0 { who.to_owned() } else { format!("{who}again {round} ") };
            if !self.happens(no, &who, send) {
                return None;
            }
            let last = send.requests.len().saturating_sub(1);
            let millis = u32::try_from(send.spread.micros / 1000).unwrap_or(u32::MAX);
            let spread = u64::from(self.seeded(&format!("{who}spread {no}")).below(millis)) * 1000;
            let mut wire = self.opening(send.over, &send.to, &format!("{who}send {no}"));
            let encode = |(index, request): (usize, &model::Request)| {
                self.encode(&format!("{who}send {no} {index}"), send, request, photos, (index, index == last))
            };
            match send.requests.first() {
                Some(model::Request::Push { alive, pings, .. }) => {
                    self.stay(&mut wire, &format!("{who}send {no}"), *alive, *pings);
                }
                Some(model::Request::Ntp {}) => {}
                _ => wire.requests = send.requests.iter().enumerate().map(encode).collect(),
            }
            let begins = if send.on_push.is_some() { 0 } else { self.action_at(&send.during) };
            let later = send.again.map_or(0, |again| again.every.micros.saturating_mul(round.into()));
            Some(Script { send, at: begins + send.after.micros + spread + later, wire, who })
        };
        let rounds = |(no, send): (usize, &'a model::Send)| {
            (0..=send.again.map_or(0, |again| again.times)).map(move |round| (no, send, round))
        };
        sends.iter().enumerate().flat_map(rounds).filter_map(script).collect()
    }

    /// Whether a send happens in this run.
    fn happens(&self, no: usize, who: &str, send: &model::Send) -> bool {
        send.chance.is_none_or(|percent| self.seeded(&format!("{who}chance {no}")).below(100) < percent)
    }

    /// A connection to a push service: the phone says who it is, asks, and shows that it is there.
    fn stay(&self, wire: &mut Wire, purpose: &str, alive: model::Span, pings: u32) {
        let client = format!("simulated-{}", crate::evidence::hex(&self.seeded(purpose).bytes(6)));
        let seconds = u16::try_from(alive.micros / 1_000_000).unwrap_or(u16::MAX);
        let packets = [mqtt::connect(&client, seconds), mqtt::subscribe()].into_iter();
        let pinged = (1..=u64::from(pings)).map(|no| (mqtt::ping(), alive.micros.saturating_mul(no)));
        for (bytes, pause) in packets.map(|packet| (packet, 0)).chain(pinged) {
            wire.requests.push(Encoded { bytes, places: Vec::new() });
            wire.pauses.push(pause);
        }
        wire.speaks = "mqtt";
        wire.farewell = mqtt::disconnect();
    }

    /// A connection over `over` on which nothing is asked yet.
    fn opening(&self, over: Carrier, host: &str, purpose: &str) -> Wire {
        let seeded = || self.seeded(&format!("{purpose} opening"));
        let (opening, farewell) = match over {
            Carrier::Websocket => (
                Some(websocket::opening(host, SOCKET_PATH, &mut seeded())),
                websocket::close(&mut self.seeded(&format!("{purpose} close"))),
            ),
            Carrier::Http2 => (None, http2::farewell()),
            _ => (None, Vec::new()),
        };
        let speaks = if over == Carrier::Http2 { "h2" } else { "http/1.1" };
        Wire { over, speaks, pauses: Vec::new(), opening, requests: Vec::new(), farewell }
    }

    /// The request with its number on the connection, and whether it is the last one.
    fn encode_over(
        &self,
        over: Carrier,
        host: &str,
        plain: &Plain<'_>,
        (index, last): (usize, bool),
        purpose: &str,
    ) -> Encoded {
        match over {
            Carrier::Http2 => http2::request(host, plain.path, &plain.query, &plain.body, index),
            Carrier::Websocket => {
                websocket::message(&plain.body, &mut self.seeded(&format!("{purpose} mask")))
            }
            _ => http::request(host, plain.path, &plain.query, &plain.body, last),
        }
    }

    fn encode(
        &self,
        purpose: &str,
        send: &model::Send,
        request: &model::Request,
        photos: &BTreeMap<String, Vec<u8>>,
        place: (usize, bool),
    ) -> Encoded {
        let fields = |fields: &[model::Field]| -> Vec<http::Field> {
            fields.iter().map(|field| self.field(field)).collect()
        };
        let boundary;
        let (path, query, body) = match request {
            model::Request::Get { path, query } => (path, query.as_slice(), http::Body::None),
            model::Request::Form { path, query, fields: form } => {
                (path, query.as_slice(), http::Body::Form(fields(form)))
            }
            model::Request::Body { path, query, file } => {
                (path, query.as_slice(), http::Body::File(self.part(photos, file, "")))
            }
            model::Request::Multipart { path, fields: form, file, field } => {
                boundary = format!("simulated-{}", crate::evidence::hex(&self.seeded(purpose).bytes(12)));
                let (fields, file) = (fields(form), self.part(photos, file, field));
                (path, [].as_slice(), http::Body::Multipart { boundary: &boundary, fields, file })
            }
            model::Request::Opaque { up, .. } => {
                return Encoded { bytes: self.seeded(purpose).bytes(*up), places: Vec::new() };
            }
            // These are no requests that stand among others.
            model::Request::Ntp {} | model::Request::Push { .. } => {
                return Encoded { bytes: Vec::new(), places: Vec::new() };
            }
        };
        let plain = Plain { path, query: fields(query), body };
        self.encode_over(send.over, &send.to, &plain, place, purpose)
    }

    fn part<'p>(
        &self,
        photos: &'p BTreeMap<String, Vec<u8>>,
        path: &'p str,
        field: &'p str,
    ) -> http::Part<'p> {
        http::Part {
            field,
            filename: path.rsplit('/').next().unwrap_or_default(),
            bytes: photos.get(path).map(Vec::as_slice).unwrap_or_default(),
            label: self.run.on_device(path),
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

    /// What the servers do in this run.
    pub(super) fn duties(&self) -> Duties {
        let address =
            |name: &str| self.model.hosts.iter().find(|host| host.name == name).map(|host| host.address);
        let http = |over| if is_encrypted(over) { Service::Https } else { Service::Http };
        let mut pushes = Vec::new();
        let mut time = None;
        let mut service = |send: &model::Send| {
            let service = match send.requests.first() {
                Some(model::Request::Opaque { up, down }) => Service::Opaque { up: *up, down: *down },
                Some(model::Request::Ntp {}) => {
                    time = Some(send.port());
                    return None;
                }
                Some(model::Request::Push { messages, .. }) => {
                    pushes.push(messages.iter().map(|message| self.waiting(message)).collect());
                    Service::Push { list: pushes.len() - 1, encrypted: is_encrypted(send.over) }
                }
                _ => http(send.over),
            };
            Some(((address(&send.to)?, send.port()), service))
        };
        let spikes = self.phase().spikes.iter();
        let each = spikes.flat_map(|spikes| spikes.over.iter().map(move |over| (&spikes.to, *over)));
        let spikes = each.filter_map(|(to, over)| Some(((address(to)?, port(over)), http(over))));
        let services = self.phase().all_sends().filter_map(&mut service).chain(spikes).collect();
        Duties { services, pushes, time }
    }

    fn waiting(&self, message: &model::Pushed) -> Waiting {
        let at = self.action_at(&message.during) + message.after.micros;
        Waiting { at, packet: mqtt::publish(&message.id, message.bytes) }
    }
}

impl Script<'_> {
    /// The connection that carries it; `no` tells it from the run's others.
    pub(super) fn conversation(
        &self,
        stage: &Stage<'_>,
        no: usize,
        tls: Option<(&Setup, &KeyLog)>,
    ) -> Result<Conversation, rustls::Error> {
        let opaque = |request: &model::Request| match request {
            model::Request::Opaque { down, .. } => Some(*down),
            _ => None,
        };
        let to = (self.send.to.as_str(), self.send.port());
        let purpose = format!("{}tls {no}", self.who);
        let mut conversation = self.wire.conversation(self.at, to, stage, &purpose, tls)?;
        conversation.behind.clone_from(&self.send.on_push);
        let opaque: Option<Vec<usize>> = self.send.requests.iter().map(opaque).collect();
        conversation.answers = match (self.send.requests.first(), opaque) {
            (Some(model::Request::Ntp {}), _) => Answers::Time,
            (Some(model::Request::Push { .. }), _) => Answers::Push,
            (_, Some(lens)) => Answers::Opaque(lens),
            _ => conversation.answers,
        };
        Ok(conversation)
    }
}

impl Planned {
    /// The connection to `host` that carries it.
    pub(super) fn conversation(
        &self,
        host: &str,
        stage: &Stage<'_>,
        tls: Option<(&Setup, &KeyLog)>,
    ) -> Result<Conversation, rustls::Error> {
        let purpose = format!("tls {}", self.spike.id);
        self.wire.conversation(self.at, (host, port(self.wire.over)), stage, &purpose, tls)
    }
}

impl Wire {
    fn conversation(
        &self,
        at: u64,
        (host, port): (&str, u16),
        stage: &Stage<'_>,
        purpose: &str,
        tls: Option<(&Setup, &KeyLog)>,
    ) -> Result<Conversation, rustls::Error> {
        let how = match self.over {
            Carrier::Tls12 => Some((Version::Tls12, self.speaks)),
            Carrier::Tls13 | Carrier::Http2 => Some((Version::Tls13, self.speaks)),
            _ => None,
        };
        let tls = tls.zip(how);
        let tls = tls.map(|((setup, keys), how)| setup.client(host, how, keys, stage.seeded(purpose)));
        let requests = self.requests.iter().map(|encoded| encoded.bytes.clone());
        Ok(Conversation {
            at,
            behind: None,
            host: host.to_owned(),
            port,
            tls: tls.transpose()?,
            requests: self.opening.iter().cloned().chain(requests).collect(),
            pauses: self.pauses.clone(),
            farewell: self.farewell.clone(),
            answers: match self.over {
                Carrier::Http2 => Answers::Http2,
                Carrier::Websocket => Answers::Websocket,
                _ => Answers::Http,
            },
        })
    }
}
