//! The compression of WebSocket messages (RFC 7692 section 7.2): deflate without its last four bytes, whose window may
//! go on from one message to the next.

use std::{cell::RefCell, rc::Rc};

use flate2::{Decompress, Status};

use super::{
    Budget, Coding, Damage, Kind, Output,
    inflate::{Inflated, inflate},
};

/// Output is given in pieces of this size.
const BUFFER: usize = 32 << 10;

/// How far back deflate refers (RFC 1951 section 2).
const WINDOW: usize = 32 << 10;

/// What a sender takes away from the end of each message (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// All messages of one direction.
pub struct MessageDeflate(Rc<RefCell<Shared>>);

/// What goes on from message to message. A smaller window than deflate's own needs nothing else: all of it is kept.
struct Shared {
    inflate: Decompress,
    /// Whether the window goes on.
    takeover: bool,
    /// The last output, a window of it or up to two: after a last block a new stream begins with the same window.
    history: Vec<u8>,
    buffer: Box<[u8]>,
}

impl MessageDeflate {
    /// Begins a direction; `takeover`: its window goes on from message to message.
    pub fn new(takeover: bool) -> Self {
        Self(Rc::new(RefCell::new(Shared {
            inflate: Decompress::new(false),
            takeover,
            history: Vec::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
        })))
    }

    /// The coding of the next message. Where that is not finished, messages after it are read without what it held: what
    /// refers to it is damage, never other bytes.
    pub fn message(&self) -> Box<dyn Coding> {
        Box::new(Message { shared: self.0.clone(), finished: false })
    }
}

impl Shared {
    fn lose(&mut self) {
        self.inflate.reset(false);
        self.history.clear();
    }

    fn keep(history: &mut Vec<u8>, bytes: &[u8]) {
        if history.len() + bytes.len() > 2 * WINDOW {
            // Now and then: a short message must not move a whole window.
            let old = (history.len() + bytes.len()).saturating_sub(WINDOW).min(history.len());
            history.drain(..old);
        }
        history.extend_from_slice(bytes.get(bytes.len().saturating_sub(WINDOW)..).unwrap_or_default());
    }

    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        let (mut position, mut given) = (0, 0);
        loop {
            let rest = input.get(position..).unwrap_or_default();
            let Inflated { consumed, produced, status } = inflate(&mut self.inflate, rest, &mut self.buffer);
            position += consumed;
            let bytes = self.buffer.get(..produced).unwrap_or_default();
            if !bytes.is_empty() {
                budget.output(produced)?;
                Self::keep(&mut self.history, bytes);
                out(Output { consumed: given..position, bytes, kind: Kind::Content });
                given = position;
            }
            match status.map_err(|_| Damage::Corrupt)? {
                Status::StreamEnd => {
                    self.inflate.reset(false);
                    let window = self.history.get(self.history.len().saturating_sub(WINDOW)..);
                    if let Some(window) = window.filter(|window| !window.is_empty()) {
                        self.inflate.set_dictionary(window).map_err(|_| Damage::Corrupt)?;
                    }
                    if position == input.len() {
                        return Ok(());
                    }
                }
                _ if produced == self.buffer.len() => {}
                _ if position == input.len() => return Ok(()),
                _ if consumed == 0 && produced == 0 => return Err(Damage::Corrupt),
                _ => {}
            }
        }
    }
}

struct Message {
    shared: Rc<RefCell<Shared>>,
    finished: bool,
}

impl Coding for Message {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        self.shared.borrow_mut().push(input, budget, out)
    }

    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        let mut shared = self.shared.borrow_mut();
        shared.push(&TAIL, budget, &mut |output| out(Output { consumed: 0..0, ..output }))?;
        if !shared.takeover {
            shared.lose();
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if !self.finished {
            self.shared.borrow_mut().lose();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(direction: &MessageDeflate, message: &[u8]) -> Result<String, Damage> {
        let (budget, mut text, mut coding) = (Budget::new(1 << 20), Vec::new(), direction.message());
        let mut take = |output: Output<'_>| text.extend_from_slice(output.bytes);
        for byte in message.chunks(1) {
            coding.push(byte, &budget, &mut take)?;
        }
        coding.finish(&budget, &mut take)?;
        Ok(String::from_utf8(text).unwrap())
    }

    const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

    #[test]
    fn the_examples_of_rfc_7692_section_7_2_3() {
        for takeover in [true, false] {
            let direction = MessageDeflate::new(takeover);
            // 7.2.3.1, and 7.2.3.2: the second message refers to the first.
            assert_eq!(read(&direction, &HELLO).as_deref(), Ok("Hello"));
            let again = read(&direction, &[0xf2, 0x00, 0x11, 0x00, 0x00]);
            assert_eq!(again.as_deref(), if takeover { Ok("Hello") } else { Err(&Damage::Corrupt) });
        }
        let direction = MessageDeflate::new(true);
        // 7.2.3.3: a block that is not compressed.
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        assert_eq!(read(&direction, &stored).as_deref(), Ok("Hello"));
        // 7.2.3.4: a last block; the window goes on after it.
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        assert_eq!(read(&direction, &last).as_deref(), Ok("Hello"));
        assert_eq!(read(&direction, &[0xf2, 0x00, 0x11, 0x00, 0x00]).as_deref(), Ok("Hello"));
        // 7.2.3.5: two blocks.
        let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(read(&direction, &two).as_deref(), Ok("Hello"));
    }

    #[test]
    fn after_a_message_that_was_not_finished_nothing_is_taken_from_before_it() {
        let direction = MessageDeflate::new(true);
        assert_eq!(read(&direction, &HELLO).as_deref(), Ok("Hello"));
        let budget = Budget::new(100);
        direction.message().push(&HELLO[..3], &budget, &mut |_| {}).unwrap();
        assert_eq!(read(&direction, &[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(Damage::Corrupt));
        assert_eq!(read(&direction, &HELLO).as_deref(), Ok("Hello"));
    }

    #[test]
    fn a_bomb_stops_at_the_budget() {
        use std::io::Write as _;
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        let mut count = 0;
        let mut coding = MessageDeflate::new(false).message();
        let result = coding.push(&bomb, &Budget::new(100_000), &mut |output| count += output.bytes.len());
        assert_eq!(result, Err(Damage::Budget));
        assert!(count <= 100_000);
    }
}
