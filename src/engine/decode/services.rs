//! What hosts ask the network for in single datagrams: the time, an address, devices.

use crate::{
    engine::{
        net::stream::Chunk,
        proto::services::{self, Said},
    },
    evidence::{Direction, ReadError},
};

use super::{
    Context, Conversation, Shared,
    layers::Out,
    raw::Raw,
    session,
    sink::{Place, Sink},
};

/// A service: its name, its ports, how its datagrams are read.
type Service = (&'static str, &'static [u16], fn(&[u8]) -> Option<Said>);

/// Headers of NTP and DHCP hold too little that is fixed to be told by their bytes alone: port and bytes must agree.
const SERVICES: [Service; 4] = [
    ("ntp", &[123], services::ntp),
    ("dhcp", &[67, 68], services::dhcp),
    ("dhcpv6", &[546, 547], services::dhcpv6),
    ("ssdp", &[1900], services::ssdp),
];

/// Datagrams of each direction of which one must be of the service.
const PROBED: usize = 4;

/// Walks a conversation of such a service; false, and nothing done, where it is none.
pub(super) fn walk(
    conversation: &Conversation<'_>,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<bool, ReadError> {
    let Some((name, _, read)) = SERVICES.into_iter().find(|(_, ports, _)| conversation.has_port(ports))
    else {
        return Ok(false);
    };
    if !is_spoken(conversation, read)? {
        return Ok(false);
    }
    sink.protocol(name);
    for direction in [Direction::Up, Direction::Down] {
        let stream = conversation.stream(direction);
        let mut out = Out::new(sink, stream, direction, context.limits);
        let mut raw = Raw::new("datagram");
        let mut reader = stream.reader();
        while let Some(chunk) = reader.next_chunk()? {
            let Chunk::Bytes { range, data } = chunk else {
                raw.close(&mut out);
                continue;
            };
            raw.write(&mut out, data, range);
            let Some(said) = read(data) else {
                out.place(range, Place::Opaque);
                continue;
            };
            let words = (said.kind.as_bytes(), said.name.as_slice());
            session::tell(&mut out, name, shared.transaction(), range.start, words);
            for part in &said.understood {
                out.place(part.moved(range.start), Place::Understood);
            }
        }
        raw.close(&mut out);
    }
    Ok(true)
}

fn is_spoken(conversation: &Conversation<'_>, read: fn(&[u8]) -> Option<Said>) -> Result<bool, ReadError> {
    for direction in [Direction::Up, Direction::Down] {
        let mut reader = conversation.stream(direction).reader();
        let mut seen = 0;
        while seen < PROBED
            && let Some(chunk) = reader.next_chunk()?
        {
            if let Chunk::Bytes { data, .. } = chunk {
                if read(data).is_some() {
                    return Ok(true);
                }
                seen += 1;
            }
        }
    }
    Ok(false)
}
