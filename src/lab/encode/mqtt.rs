//! The push service's protocol: MQTT 3.1.1 (OASIS, 29 October 2014), as far as a client needs that only listens.

/// Control packets (section 2.2.1) with the flags that they must have.
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: u8 = 0xc0;
const PINGRESP: u8 = 0xd0;
const DISCONNECT: u8 = 0xe0;
/// Version 3.1.1 (section 3.1.2.2).
const LEVEL: u8 = 4;
const CLEAN_SESSION: u8 = 2;
const TOPIC: &str = "push";
const FIRST: [u8; 2] = [0, 1];

fn packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut packet = vec![kind];
    let mut rest = body.len();
    loop {
        let low = u8::try_from(rest % 128).unwrap_or(0);
        rest /= 128;
        packet.push(low | if rest > 0 { 0x80 } else { 0 });
        if rest == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// A string behind its length (section 1.5.3).
fn string(text: &str) -> Vec<u8> {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&len.to_be_bytes(), text.as_bytes()].concat()
}

/// A client says who it is, and how many seconds it may be silent.
pub(in crate::lab) fn connect(client: &str, alive: u16) -> Vec<u8> {
    packet(CONNECT, &[&string("MQTT"), &[LEVEL, CLEAN_SESSION], &alive.to_be_bytes(), &string(client)])
}

/// It asks for what is pushed.
pub(in crate::lab) fn subscribe() -> Vec<u8> {
    packet(SUBSCRIBE, &[&FIRST, &string(TOPIC), &[0]])
}

/// It is still there.
pub(in crate::lab) fn ping() -> Vec<u8> {
    packet(PINGREQ, &[])
}

/// It leaves.
pub(in crate::lab) fn disconnect() -> Vec<u8> {
    packet(DISCONNECT, &[])
}

/// The service pushes a message of so many bytes.
pub(in crate::lab) fn publish(id: &str, bytes: usize) -> Vec<u8> {
    let mut text = format!("{id} (simulated) ").into_bytes();
    text.resize(bytes.max(text.len()), b'.');
    packet(PUBLISH, &[&string(TOPIC), &text])
}

/// What the service answers to a packet; nothing to one who leaves.
pub(in crate::lab) fn answer(request: &[u8]) -> Option<Vec<u8>> {
    match *request.first()? {
        CONNECT => Some(packet(CONNACK, &[&[0, 0]])),
        SUBSCRIBE => Some(packet(SUBACK, &[&FIRST, &[0]])),
        PINGREQ => Some(packet(PINGRESP, &[])),
        _ => None,
    }
}

/// Whether a packet asks for what is pushed.
pub(in crate::lab) fn subscribes(request: &[u8]) -> bool {
    request.first() == Some(&SUBSCRIBE)
}

/// How long the first packet is, once that is known.
pub(in crate::lab) fn packet_len(bytes: &[u8]) -> Option<usize> {
    let mut len = 0;
    for (place, byte) in bytes.get(1..)?.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(len + place + 2);
        }
    }
    None
}

/// Takes a pushed message off the front of what was received; gives its id.
pub(in crate::lab) fn take_pushed(received: &mut Vec<u8>) -> Option<String> {
    let len =
        packet_len(received).filter(|len| *len <= received.len() && received.first() == Some(&PUBLISH))?;
    let message: Vec<u8> = received.drain(..len).collect();
    let text = String::from_utf8_lossy(&message).into_owned();
    let (_, behind) = text.split_once(TOPIC)?;
    behind.split(' ').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_those_of_the_standard() {
        // Section 3.1: the example's fields without user name, password and will.
        assert_eq!(connect("a", 10), *b"\x10\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01a");
        assert_eq!(subscribe(), *b"\x82\x09\0\x01\0\x04push\0");
        assert_eq!((ping(), disconnect()), (vec![0xc0, 0], vec![0xe0, 0]));
        assert_eq!(answer(&connect("a", 10)).as_deref(), Some(&[0x20, 2, 0, 0][..]));
        assert_eq!(answer(&subscribe()).as_deref(), Some(&[0x90, 3, 0, 1, 0][..]));
        assert_eq!(answer(&disconnect()), None);
        // Section 2.2.3: 200 bytes are the digits 72 and 1.
        let long = publish("now", 194);
        assert_eq!((long.len(), long[1], long[2]), (203, 0x80 | 72, 1));
    }

    #[test]
    fn a_pushed_message_is_taken_off_whole() {
        let message = publish("wake", 300);
        let mut received = message[..message.len() - 1].to_vec();
        assert_eq!(take_pushed(&mut received), None);
        received = [message.as_slice(), &[0xd0, 0]].concat();
        assert_eq!(take_pushed(&mut received).as_deref(), Some("wake"));
        assert_eq!((packet_len(&received), take_pushed(&mut received)), (Some(2), None));
    }
}
