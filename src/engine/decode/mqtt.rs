//! MQTT sessions: what is published, and the fields of other packets.

use std::collections::BTreeMap;

use crate::{
    engine::proto::mqtt::{self, Handler, Packet, Parser, Publish},
    evidence::{AnomalyKind, ByteRange, Direction, ReadError},
};

use super::{
    Context, Conversation, Shared,
    content::{Content, Declared},
    layers::{Bytes, Out, Stage},
    opening::{Opening, Openings},
    raw::Raw,
    session,
    sink::{BodyEnd, Keep, Place, Sink, TransactionId},
};

/// Aliases of topics that are remembered of one direction; servers allow some tens.
const MAX_ALIASES: usize = 1_024;

/// Whole packets of both directions that tell MQTT where its CONNECT was not captured.
const ENOUGH_PACKETS: usize = 3;

/// The direction of the client, if the conversation is MQTT.
pub(super) fn client(openings: &Openings) -> Option<Direction> {
    openings.client(|client, _| mqtt::opens(&client.bytes)).or_else(|| openings.client(runs_on))
}

/// Whether a session that began before the capture goes on here.
fn runs_on(client: &Opening, server: &Opening) -> bool {
    let whole = |opening: &Opening, from_client| mqtt::packets(&opening.bytes, from_client);
    let counted = whole(client, true).zip(whole(server, false));
    !client.from_start
        && !server.from_start
        && counted.is_some_and(|(up, down)| up > 0 && down > 0 && up + down >= ENOUGH_PACKETS)
}

/// Walks a conversation whose client sends in direction `client`.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    client: Direction,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    sink.protocol("mqtt");
    let mut version = None;
    for direction in [client, client.other()] {
        let stream = conversation.stream(direction);
        let mut parser = Parser::new(version);
        let mut side = Side {
            out: Out::new(sink, stream, direction, context.limits),
            shared,
            packets: Raw::new("mqtt.packets"),
            payload: None,
            len: 0,
            gapped: false,
            aliases: BTreeMap::new(),
            version,
        };
        let mut reader = stream.reader();
        while let Some(chunk) = reader.next_chunk()? {
            parser.push(&chunk, &mut side);
        }
        parser.finish(&mut side);
        side.packets.close(&mut side.out);
        version = side.version;
    }
    Ok(())
}

/// One direction while it is read.
struct Side<'s, 'e> {
    out: Out<'s>,
    shared: &'e mut Shared,
    /// Everything but payloads.
    packets: Raw,
    payload: Option<Content>,
    /// Bytes of the payload that came by, or were missing.
    len: u64,
    gapped: bool,
    aliases: BTreeMap<u16, Vec<u8>>,
    version: Option<u8>,
}

impl Side<'_, '_> {
    fn tell(&mut self, kind: u8, at: u64, topic: &[u8]) -> TransactionId {
        let transaction = self.shared.transaction();
        let name = mqtt::name(kind).as_bytes();
        session::tell(&mut self.out, "mqtt", transaction, at, (name, topic));
        transaction
    }

    /// The fields of a CONNECT, each a leaf of its own.
    fn connect(&mut self, packet: &Packet<'_>) {
        let body = packet.body();
        let Some(connect) = mqtt::connect(body) else {
            let detail = "MQTT: a CONNECT that breaks its grammar".to_owned();
            return self.out.anomaly(AnomalyKind::MqttMalformed, Some(packet.at), detail);
        };
        self.version = Some(connect.level & 0x7f);
        let start = packet.at + packet.header as u64;
        self.out.place(ByteRange::new(start, start + connect.fixed as u64), Place::Understood);
        let whole = Bytes::wire(body, ByteRange::new(start, start + body.len() as u64));
        let (topic, will) = connect.will.unzip();
        let fields = [
            ("client_id", Some(connect.client)),
            ("will_topic", topic),
            ("will", will),
            ("user", connect.user),
            ("password", connect.password),
        ];
        for (name, field) in fields {
            let Some(bytes) = field.map(|field| whole.part(field)).filter(|bytes| !bytes.data.is_empty())
            else {
                continue;
            };
            let stage = Stage::new("mqtt.connect", Some(name.as_bytes()), bytes.from.start, Keep::Search);
            let mut content = Content::new(stage, Declared::default());
            content.push(&mut self.out, bytes, bytes.from.end);
            content.finish(&mut self.out);
        }
    }

    /// The topic of a PUBLISH, also where an alias stands for it.
    fn resolve(&mut self, publish: &Publish<'_>) -> Vec<u8> {
        match publish.alias {
            Some(alias) if publish.topic.is_empty() => self.aliases.get(&alias).cloned().unwrap_or_default(),
            Some(alias) => {
                if self.aliases.len() < MAX_ALIASES || self.aliases.contains_key(&alias) {
                    self.aliases.insert(alias, publish.topic.to_vec());
                }
                publish.topic.to_vec()
            }
            None => publish.topic.to_vec(),
        }
    }

    fn header(&mut self, bytes: &[u8], header: usize, at: u64) {
        self.packets.write(&mut self.out, bytes, ByteRange::new(at, at + bytes.len() as u64));
        // A length in more bytes than it needs could say something.
        let shortest = header <= 2 || bytes.get(header - 1).is_some_and(|last| *last != 0);
        if shortest {
            self.out.place(ByteRange::new(at, at + header as u64), Place::Understood);
        }
    }
}

impl Handler for Side<'_, '_> {
    fn packet(&mut self, packet: &Packet<'_>) {
        self.header(packet.bytes, packet.header, packet.at);
        let topics = match packet.kind {
            mqtt::SUBSCRIBE | mqtt::UNSUBSCRIBE => mqtt::filters(packet.kind, packet.body(), self.version),
            _ => None,
        };
        self.tell(packet.kind, packet.at, &topics.unwrap_or_default().join(&b','));
        if packet.kind == mqtt::CONNECT {
            self.connect(packet);
        }
    }

    fn publish(&mut self, publish: &Publish<'_>) {
        self.header(publish.bytes, publish.header, publish.at);
        let topic = self.resolve(publish);
        self.out.transaction = Some(self.tell(mqtt::PUBLISH, publish.at, &topic));
        (self.len, self.gapped) = (0, false);
        let start = publish.at + publish.bytes.len() as u64;
        let stage = Stage::new("mqtt.payload", Some(&topic), start, Keep::Search);
        let media = publish.content_type.map(|text| String::from_utf8_lossy(text).into_owned());
        self.payload = Some(Content::new(stage, Declared { media, ..Declared::default() }));
    }

    fn payload(&mut self, bytes: &[u8], range: ByteRange) {
        self.out.budget.input(range.len());
        self.len += range.len();
        if let Some(payload) = &mut self.payload {
            payload.push(&mut self.out, Bytes::wire(bytes, range), range.end);
        }
    }

    fn payload_gap(&mut self, gap: ByteRange) {
        (self.len, self.gapped) = (self.len + gap.len(), true);
        if let Some(payload) = &mut self.payload {
            payload.gap(&mut self.out, gap.len(), gap.end);
        }
    }

    fn payload_end(&mut self, complete: bool) {
        if let Some(mut payload) = self.payload.take() {
            payload.finish(&mut self.out);
        }
        let end = if complete && !self.gapped { BodyEnd::Complete } else { BodyEnd::Incomplete };
        if let Some(transaction) = self.out.transaction.take() {
            self.out.sink.body_end(transaction, self.out.direction, end, self.len);
        }
        if !complete {
            self.malformed(self.out.stream.end().saturating_sub(1), "the capture ends within a PUBLISH");
        }
    }

    fn lost(&mut self, bytes: &[u8], range: ByteRange) {
        self.packets.write(&mut self.out, bytes, range);
        self.out.place(range, Place::Opaque);
    }

    fn gap(&mut self, _: ByteRange) {
        self.packets.close(&mut self.out);
    }

    fn malformed(&mut self, at: u64, why: &'static str) {
        self.out.anomaly(AnomalyKind::MqttMalformed, Some(at), format!("MQTT: {why}"));
    }
}
