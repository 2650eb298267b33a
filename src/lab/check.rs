//! What a behaviour model must keep to: every name in it declared, nothing larger than a world is made for.

use super::model::{Model, Phase, Pushed, Request, Send, Span};
use crate::case::scenario::words::Carrier;

/// Why a behaviour model can't be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The text is not the grammar's.
    #[error("read the behaviour model: {0}")]
    Yaml(String),
    /// Another version of the grammar.
    #[error("play a behaviour model of version {0}: this program plays version 1")]
    Version(u32),
    /// A span without a unit, or too long.
    #[error("read the time span {text}: it is digits and ms, s, m or h")]
    Span {
        /// What stands there.
        text: String,
    },
    /// No Ethernet address.
    #[error("read the Ethernet address {text}: it is six hex bytes with colons")]
    Mac {
        /// What stands there.
        text: String,
    },
    /// A name that nothing declares.
    #[error("play phase {phase}: no {kind} is called {name}")]
    Unknown {
        /// The phase.
        phase: String,
        /// `host`, `action`, `file`, `identifier`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A field must be exactly one of a text, an identifier and the message.
    #[error("play phase {phase}: field {name} needs one of a text, an identifier and `message: true`")]
    Field {
        /// The phase.
        phase: String,
        /// The field's name.
        name: String,
    },
    /// A path that leaves the scenario folder, or is none.
    #[error("write below the scenario folder: {path} is no path of plain names")]
    Path {
        /// What stands there.
        path: String,
    },
    /// More than a world is made for.
    #[error("play phase {phase}: more than {most} {what}")]
    TooMuch {
        /// The phase.
        phase: String,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// Something that the lab can't play.
    #[error("play phase {phase}: the lab sends nothing over {over}{why}")]
    Carrier {
        /// The phase.
        phase: String,
        /// What it was to travel in.
        over: &'static str,
        /// Why not, if not never.
        why: &'static str,
    },
    /// Two kinds of things in one send that can't share a connection.
    #[error("play phase {phase}: {what} is the only request of its send, over nothing else than {over}")]
    Alone {
        /// The phase.
        phase: String,
        /// `ntp` or `push`.
        what: &'static str,
        /// What it may travel in.
        over: &'static str,
    },
    /// A capture can't be taken at two points.
    #[error(
        "play the phone's own capture: it is not taken behind the access point's translation of addresses"
    )]
    TwoPoints,
    /// The phone never joins.
    #[error("play phase {phase}: no action joins the network")]
    NoJoin {
        /// The phase.
        phase: String,
    },
}

/// Runs of a phase; verdicts from absence need 59.
const MAX_RUNS: u64 = 1_000;
/// Bytes of one opaque message, which are held in memory.
const MAX_OPAQUE: u64 = 64 << 20;
/// Bytes of one pushed message.
const MAX_PUSHED: u64 = 1 << 20;
/// Signs of life on one connection, and messages pushed over it.
const MAX_PINGS: u64 = 10_000;
/// Machines beside the phone.
const MAX_OTHERS: u64 = 8;
/// An hour: clocks that are further off are no clocks.
const MAX_AHEAD_MS: u64 = 3_600_000;
/// Bytes of one photo.
const MAX_PHOTO: u64 = 16 << 20;
/// A week: times on the virtual clock stay far from overflowing.
const MAX_MICROS: u64 = 7 * 24 * 3_600_000_000;

/// Only names between single slashes; the empty path is the folder itself.
pub(super) fn plain(path: &str) -> Result<(), ModelError> {
    let bad = |name: &str| name.is_empty() || name.starts_with('.') || name.contains(['\\', ':', '\0']);
    if !path.is_empty() && path.split('/').any(bad) {
        return Err(ModelError::Path { path: path.to_owned() });
    }
    Ok(())
}

impl Model {
    /// Whether a phase can be played.
    pub(super) fn check(&self, phase: &Phase) -> Result<(), ModelError> {
        let unknown = |kind, name: &str| {
            Err(ModelError::Unknown { phase: phase.id.clone(), kind, name: name.to_owned() })
        };
        plain(&phase.id)?;
        phase.photos().map(|(path, _)| path).chain(phase.messages()).try_for_each(plain)?;
        let requests = || phase.all_sends().flat_map(|send| &send.requests);
        let opaque = requests().map(|request| match request {
            Request::Opaque { up, down } => (*up).max(*down) as u64,
            _ => 0,
        });
        let pushes: Vec<(Span, u64, &[Pushed])> = requests()
            .filter_map(|request| match request {
                Request::Push { alive, pings, messages } => {
                    Some((*alive, u64::from(*pings), messages.as_slice()))
                }
                _ => None,
            })
            .collect();
        let pushed = || pushes.iter().flat_map(|(_, _, messages)| *messages);
        let bytes = pushed().map(|message| message.bytes.max(message.id.len()) as u64);
        let stays = pushes.iter().map(|(alive, pings, _)| alive.micros.saturating_mul(*pings));
        let spans = phase.actions.iter().map(|action| action.at.micros.max(action.lasts.micros));
        let spans = spans.chain(pushed().map(|message| message.after.micros)).chain(stays);
        let again = || phase.all_sends().filter_map(|send| send.again);
        let spans = spans.chain(again().map(|again| again.every.micros.saturating_mul(again.times.into())));
        let signs = pushes.iter().map(|(_, pings, messages)| (*pings).max(messages.len() as u64));
        let sizes = phase.actions.iter().flat_map(|action| &action.sizes);
        let most = [
            ("bytes of a photo", sizes.max().map_or(0, |size| *size as u64), MAX_PHOTO),
            ("bytes of a pushed message", bytes.max().unwrap_or(0), MAX_PUSHED),
            ("signs of life or messages of one push service", signs.max().unwrap_or(0), MAX_PINGS),
            ("times of one send", again().map(|again| again.times.into()).max().unwrap_or(0), MAX_PINGS),
            ("machines beside the phone", phase.others.len() as u64, MAX_OTHERS),
            ("milliseconds between clocks", self.phone.clock_ahead_ms.unsigned_abs(), MAX_AHEAD_MS),
            ("runs", u64::from(phase.runs) + u64::from(phase.twins), MAX_RUNS),
            ("bytes of no known format", opaque.max().unwrap_or(0), MAX_OPAQUE),
            ("microseconds", spans.chain([phase.tail.micros]).max().unwrap_or(0), MAX_MICROS),
        ];
        if let Some((what, _, most)) = most.into_iter().find(|(_, there, most)| there > most) {
            return Err(ModelError::TooMuch { phase: phase.id.clone(), what, most });
        }
        if let Some(spikes) = &phase.spikes {
            if !phase.actions.iter().any(|action| action.id == spikes.during) {
                return unknown("action", &spikes.during);
            }
            if !self.hosts.iter().any(|host| host.name == spikes.to) {
                return unknown("host", &spikes.to);
            }
        }
        let carriers = phase.all_sends().map(|send| send.over);
        for over in carriers.chain(phase.spikes.iter().flat_map(|spikes| spikes.over.iter().copied())) {
            if over == Carrier::Http3 {
                return Err(ModelError::Carrier { phase: phase.id.clone(), over: over.name(), why: "" });
            }
        }
        let opaque =
            |send: &&Send| send.requests.iter().any(|request| matches!(request, Request::Opaque { .. }));
        if let Some(send) = phase.all_sends().filter(opaque).find(|send| send.over != Carrier::Http1) {
            let why = ", if what it sends is of no known format";
            return Err(ModelError::Carrier { phase: phase.id.clone(), over: send.over.name(), why });
        }
        if !self.phone.fixed && !phase.actions.iter().any(|action| action.joins) {
            return Err(ModelError::NoJoin { phase: phase.id.clone() });
        }
        for message in pushed() {
            plain(&message.id)?;
            if !phase.actions.iter().any(|action| action.id == message.during) {
                return unknown("action", &message.during);
            }
        }
        for send in phase.all_sends() {
            send.alone(phase)?;
            if let Some(id) = send.on_push.as_ref().filter(|id| !pushed().any(|one| one.id == **id)) {
                return unknown("pushed message", id);
            }
            if !phase.actions.iter().any(|action| action.id == send.during) {
                return unknown("action", &send.during);
            }
            if !self.hosts.iter().any(|host| host.name == send.to) {
                return unknown("host", &send.to);
            }
            for request in &send.requests {
                match request.file() {
                    Some(file) if !phase.photos().any(|(photo, _)| photo == file) => {
                        return unknown("file", file);
                    }
                    _ => {}
                }
                for field in request.fields() {
                    match (&field.text, &field.identifier) {
                        (None, None) if field.message => {
                            if !phase.actions.iter().any(|action| action.receives.is_some()) {
                                return unknown("message", &field.name);
                            }
                        }
                        (Some(_), None) if !field.message => {}
                        (None, Some(kind)) if !field.message && self.phone.identifiers.contains_key(kind) => {
                        }
                        (None, Some(kind)) => return unknown("identifier", kind),
                        _ => {
                            return Err(ModelError::Field {
                                phase: phase.id.clone(),
                                name: field.name.clone(),
                            });
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Send {
    /// Whether what can't share a connection has one of its own, and one that it can travel in.
    fn alone(&self, phase: &Phase) -> Result<(), ModelError> {
        let alone = |what, over| Err(ModelError::Alone { phase: phase.id.clone(), what, over });
        let fits = |encrypted: &[Carrier]| {
            self.requests.len() == 1 && (self.over == Carrier::Http1 || encrypted.contains(&self.over))
        };
        for request in &self.requests {
            match request {
                Request::Ntp {} if !fits(&[]) => return alone("ntp", "its own UDP"),
                Request::Push { .. } if !fits(&[Carrier::Tls12, Carrier::Tls13]) => {
                    return alone("push", "tls12 and tls13");
                }
                _ => {}
            }
        }
        Ok(())
    }
}
