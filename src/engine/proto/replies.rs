//! Replies of servers that begin with three digits: FTP (RFC 959 section 4.2) and SMTP (RFC 5321 section 4.2).

use std::collections::VecDeque;

use crate::evidence::ByteRange;

use super::lines::reply_code;

/// Replies of one connection that are kept to pair them with commands, 24 bytes each; a server that sends
/// thousands of mails over one connection stays below it. What comes later counts as not seen.
const MAX_REPLIES: usize = 1 << 18;

/// One reply, over however many lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its number.
    pub code: u16,
    /// Where it stands.
    pub range: ByteRange,
}

/// Puts the lines of replies together.
#[derive(Debug, Default)]
pub struct Joiner {
    open: Option<Reply>,
}

impl Joiner {
    /// Takes a line; gives the reply that it ends, or the line's own number where it breaks the grammar (`Err`).
    pub fn line(&mut self, line: &[u8], range: ByteRange) -> Option<Result<Reply, ()>> {
        let code = reply_code(line);
        match (self.open, code) {
            (None, None) => Some(Err(())),
            (None, Some((code, true))) => Some(Ok(Reply { code, range })),
            (None, Some((code, false))) => {
                self.open = Some(Reply { code, range });
                None
            }
            // Of a reply over several lines only the first and the last need the number (RFC 959).
            (Some(open), Some((code, true))) if open.code == code => {
                self.open = None;
                Some(Ok(Reply { code, range: ByteRange::new(open.range.start, range.end) }))
            }
            (Some(_), _) => None,
        }
    }
}

/// The replies of a server in order, as far as they are known.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    list: VecDeque<Reply>,
}

impl Replies {
    /// Adds the next one; false when there are too many.
    pub fn push(&mut self, reply: Reply) -> bool {
        let room = self.list.len() < MAX_REPLIES;
        if room {
            self.list.push_back(reply);
        }
        room
    }

    /// Takes the next one, if it is known.
    pub fn take(&mut self) -> Option<Reply> {
        self.list.pop_front()
    }

    /// Takes the next one if it has one of these numbers.
    pub fn take_if(&mut self, wanted: impl Fn(u16) -> bool) -> Option<Reply> {
        self.list.front().filter(|reply| wanted(reply.code))?;
        self.take()
    }

    /// Nothing is known about what follows: commands may be missing.
    pub fn forget(&mut self) {
        self.list.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_to_replies() {
        let mut joiner = Joiner::default();
        let text: [&[u8]; 6] =
            [b"220-a\r\n", b"250 not this\r\n", b"text\r\n", b"220 b\r\n", b"354\r\n", b"x\r\n"];
        let mut at = 0;
        let mut found = Vec::new();
        for line in text {
            let range = ByteRange::new(at, at + line.len() as u64);
            at = range.end;
            found.extend(
                joiner.line(line, range).map(|reply| reply.map(|reply| (reply.code, reply.range.start))),
            );
        }
        assert_eq!(found, [Ok((220, 0)), Ok((354, 34)), Err(())]);
    }

    #[test]
    fn replies_are_taken_in_order_or_unknown() {
        let mut replies = Replies::default();
        let reply = |code| Reply { code, range: ByteRange::new(0, 5) };
        for code in [220, 250, 354] {
            assert!(replies.push(reply(code)));
        }
        assert_eq!(replies.take_if(|code| code == 220), Some(reply(220)));
        assert_eq!(replies.take_if(|code| code == 220), None);
        assert_eq!(replies.take(), Some(reply(250)));
        replies.forget();
        assert_eq!(replies.take(), None);
    }
}
