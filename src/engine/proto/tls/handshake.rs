//! Handshake messages over records (RFC 8446 section 4): several in one, or one over several.

pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const END_OF_EARLY_DATA: u8 = 5;
pub(super) const ENCRYPTED_EXTENSIONS: u8 = 8;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(super) const SERVER_HELLO_DONE: u8 = 14;
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;
pub(super) const FINISHED: u8 = 20;
pub(super) const KEY_UPDATE: u8 = 24;

/// Bytes of a message's type and length.
pub(super) const HEAD: usize = 4;

/// A message that is read: a chain of ten certificates has 20 KiB, lists of certificate authorities up to 64.
const MAX_MESSAGE: usize = 256 << 10;

/// Puts the messages of one direction together.
#[derive(Debug, Default)]
pub(super) struct Messages {
    held: Vec<u8>,
    /// Bytes of a message too long to be read that are still to come.
    skip: usize,
    /// Where in the stream the held message starts.
    at: u64,
    /// Whether it came in more than one piece.
    spread: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// Its head and its body.
    pub(super) bytes: Vec<u8>,
    /// Where in the stream its first byte stands.
    pub(super) at: u64,
    /// Whether it goes over several records, so that not all of its bytes follow each other in the stream.
    pub(super) spread: bool,
}

impl Message {
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(HEAD..).unwrap_or_default()
    }
}

/// What a record's content gives.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) messages: Vec<Message>,
    /// Where a message too long to be read starts.
    pub(super) too_long: Option<u64>,
}

impl Messages {
    /// Takes content that stands at `at`.
    pub(super) fn push(&mut self, mut content: &[u8], mut at: u64) -> Given {
        let mut given = Given::default();
        self.spread = !self.held.is_empty();
        while !content.is_empty() {
            let taken = self.take(content, at, &mut given);
            content = content.get(taken..).unwrap_or_default();
            at += taken as u64;
        }
        given
    }

    fn take(&mut self, content: &[u8], at: u64, given: &mut Given) -> usize {
        if self.skip > 0 {
            let taken = self.skip.min(content.len());
            self.skip -= taken;
            return taken;
        }
        if self.held.is_empty() {
            self.at = at;
        }
        let whole = self.whole();
        let taken = (whole - self.held.len()).min(content.len());
        self.held.extend_from_slice(content.get(..taken).unwrap_or_default());
        let whole = self.whole();
        if whole - HEAD > MAX_MESSAGE {
            given.too_long = Some(self.at);
            self.skip = whole - self.held.len();
            self.held.clear();
        } else if self.held.len() >= HEAD && self.held.len() == whole {
            let bytes = std::mem::take(&mut self.held);
            let kind = bytes.first().copied().unwrap_or_default();
            let spread = std::mem::take(&mut self.spread);
            given.messages.push(Message { kind, bytes, at: self.at, spread });
        }
        taken
    }

    /// Bytes of the held message, as far as that is known.
    fn whole(&self) -> usize {
        match self.held.as_slice() {
            &[_, a, b, c, ..] => HEAD + u32::from_be_bytes([0, a, b, c]) as usize,
            _ => HEAD,
        }
    }

    /// Content is missing: a message that was begun does not end.
    pub(super) fn lose(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let bytes = [1, 0, 0, 2, 7, 8, 20, 0, 0, 0, 11, 0, 0, 1, 9];
        for cut in 0..=bytes.len() {
            let mut messages = Messages::default();
            let (left, right) = bytes.split_at(cut);
            let mut given = messages.push(left, 100).messages;
            given.extend(messages.push(right, 100 + cut as u64).messages);
            let seen: Vec<_> =
                given.iter().map(|message| (message.kind, message.body(), message.at)).collect();
            assert_eq!(
                seen,
                [(1, &[7, 8][..], 100), (20, &[][..], 106), (11, &[9][..], 110)],
                "cut at {cut}"
            );
            assert!(messages.held.is_empty());
        }
    }

    #[test]
    fn a_message_too_long_is_passed_over() {
        let mut messages = Messages::default();
        let long = [&[11, 0x10, 0, 0][..], &vec![0; 0x10_0000], &[20, 0, 0, 0]].concat();
        let (mut kinds, mut too_long) = (Vec::new(), 0);
        for (number, part) in long.chunks(1000).enumerate() {
            let given = messages.push(part, number as u64 * 1000);
            kinds.extend(given.messages.iter().map(|message| message.kind));
            too_long += usize::from(given.too_long.is_some());
        }
        assert_eq!((kinds, too_long), (vec![20], 1));
    }
}
