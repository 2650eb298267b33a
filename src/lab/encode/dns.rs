//! DNS questions for an address and their answers (RFC 1035, section 4).

use std::net::Ipv4Addr;

const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
const RECURSION_DESIRED: u16 = 0x0100;
/// Response, recursion desired and available, no error.
const ANSWERED: u16 = 0x8180;
/// As [`ANSWERED`], with the code for "no such name".
const NO_SUCH_NAME: u16 = 0x8183;
/// A pointer to the first name of the message (section 4.1.4).
const FIRST_NAME: u16 = 0xc00c;
const TTL_SECONDS: u32 = 300;

/// Asks for the address of `name`.
pub(in crate::lab) fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = header(id, RECURSION_DESIRED, 0);
    asked(&mut message, name);
    message
}

/// Answers a question; `None` for an address says that there is no such name.
pub(in crate::lab) fn answer(id: u16, name: &str, address: Option<Ipv4Addr>) -> Vec<u8> {
    let Some(address) = address else {
        let mut message = header(id, NO_SUCH_NAME, 0);
        asked(&mut message, name);
        return message;
    };
    let mut message = header(id, ANSWERED, 1);
    asked(&mut message, name);
    for word in [FIRST_NAME, TYPE_A, CLASS_IN] {
        message.extend(word.to_be_bytes());
    }
    message.extend(TTL_SECONDS.to_be_bytes());
    message.extend(4_u16.to_be_bytes());
    message.extend(address.octets());
    message
}

/// What a question made by [`question`] asks: its id and name.
pub(in crate::lab) fn read_question(message: &[u8]) -> Option<(u16, String)> {
    let (id, _) = message.split_first_chunk()?;
    let mut rest = message.get(12..)?;
    let mut labels = Vec::new();
    loop {
        let (&len, after) = rest.split_first()?;
        if len == 0 {
            return Some((u16::from_be_bytes(*id), labels.join(".")));
        }
        let (label, after) = after.split_at_checked(usize::from(len))?;
        labels.push(String::from_utf8(label.to_vec()).ok()?);
        rest = after;
    }
}

/// The id of an answer made by [`answer`], and the address in it.
pub(in crate::lab) fn read_answer(message: &[u8]) -> Option<(u16, Option<Ipv4Addr>)> {
    let (id, rest) = message.split_first_chunk()?;
    let answers = rest.get(4..6)?;
    let address = message.last_chunk::<4>().filter(|_| answers == [0, 1]).map(|octets| (*octets).into());
    Some((u16::from_be_bytes(*id), address))
}

fn header(id: u16, flags: u16, answers: u16) -> Vec<u8> {
    [id, flags, 1, answers, 0, 0].into_iter().flat_map(u16::to_be_bytes).collect()
}

fn asked(message: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(63));
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(TYPE_A.to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_label_by_label() {
        let message = question(0x1234, "a.example");
        assert_eq!(
            message,
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01"
        );
        assert_eq!(read_question(&message), Some((0x1234, "a.example".to_owned())));
    }

    #[test]
    fn an_answer_carries_the_address_or_says_that_there_is_none() {
        let address = Ipv4Addr::new(203, 0, 113, 9);
        assert_eq!(read_answer(&answer(7, "a.example", Some(address))), Some((7, Some(address))));
        assert_eq!(read_answer(&answer(7, "a.example", None)), Some((7, None)));
        assert_eq!(read_answer(&[0; 3]), None);
    }
}
