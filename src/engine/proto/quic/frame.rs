//! Frames (RFC 9000 section 19, RFC 9221).

use std::ops::Range;

use super::Cursor;

/// What a frame says; ranges count from the payload's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A run of PADDING frames.
    Padding,
    /// PING.
    Ping,
    /// ACK.
    Ack {
        /// The largest packet number that is acknowledged.
        largest: u64,
        /// How long it was held back, which the sender says as it likes.
        delay: Range<usize>,
        /// Ranges after the first, with what lies between them.
        more: Range<usize>,
        /// Counts of congestion marks.
        counts: Range<usize>,
    },
    /// RESET_STREAM.
    ResetStream {
        /// The stream.
        stream: u64,
        /// Why, in terms of the application.
        code: u64,
        /// Bytes that were sent of it.
        length: u64,
    },
    /// CRYPTO.
    Crypto {
        /// Where in the stream of its space.
        offset: u64,
        /// The bytes.
        data: Range<usize>,
    },
    /// STREAM.
    Stream {
        /// The stream.
        stream: u64,
        /// Where in it.
        offset: u64,
        /// The bytes.
        data: Range<usize>,
        /// Whether the stream ends here.
        last: bool,
    },
    /// NEW_CONNECTION_ID.
    NewConnectionId {
        /// The id.
        id: Range<usize>,
        /// Ends a packet that resets the connection (RFC 9000 section 10.3).
        reset_token: Range<usize>,
    },
    /// CONNECTION_CLOSE.
    Close {
        /// Whether the application says so.
        application: bool,
        /// Why.
        code: u64,
        /// Why, in words.
        reason: Range<usize>,
    },
    /// HANDSHAKE_DONE.
    HandshakeDone,
    /// DATAGRAM (RFC 9221).
    Datagram {
        /// The bytes.
        data: Range<usize>,
    },
    /// A known frame that changes nothing here: flow control, tokens, path validation.
    Other,
}

/// The payload can't be read on from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The first byte of the frame.
    pub at: usize,
    /// Its type, if that can be read.
    pub kind: Option<u64>,
    /// Whether it is a type that is not known, and not a frame that breaks off.
    pub unknown: bool,
}

/// Walks the frames of a packet: each with its place. After damage nothing more comes.
#[derive(Debug)]
pub struct Frames<'a> {
    cursor: Cursor<'a>,
    broken: bool,
}

impl<'a> Frames<'a> {
    /// Starts with the first frame.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(payload), broken: false }
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<(Range<usize>, Frame), Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken || self.cursor.is_empty() {
            return None;
        }
        let at = self.cursor.at();
        let kind = self.cursor.varint();
        let frame = match kind {
            Some(kind) => frame(kind, &mut self.cursor),
            None => Err(Broken::Off),
        };
        Some(match frame {
            Ok(frame) => Ok((at..self.cursor.at(), frame)),
            Err(broken) => {
                self.broken = true;
                Err(Damage { at, kind, unknown: broken == Broken::Unknown })
            }
        })
    }
}

#[derive(PartialEq)]
enum Broken {
    /// It ends before its end.
    Off,
    /// Nobody knows how long it is.
    Unknown,
}

fn frame(kind: u64, cursor: &mut Cursor<'_>) -> Result<Frame, Broken> {
    let known = match kind {
        0x00 => Some(padding(cursor)),
        0x01 | 0x1f => Some(Frame::Ping),
        0x02 | 0x03 => acknowledgement(cursor, kind == 0x03),
        0x04 => reset(cursor),
        0x06 => crypto(cursor),
        0x07 => skip_vector(cursor),
        0x08..=0x0f => stream(cursor, kind),
        0x18 => new_connection_id(cursor),
        0x1a | 0x1b => cursor.take(8).map(|_| Frame::Other),
        0x1c | 0x1d => close(cursor, kind == 0x1d),
        0x1e => Some(Frame::HandshakeDone),
        0x30 | 0x31 => datagram(cursor, kind == 0x31),
        // MAX_DATA, MAX_STREAMS, DATA_BLOCKED, STREAMS_BLOCKED, RETIRE_CONNECTION_ID.
        0x10 | 0x12..=0x14 | 0x16 | 0x17 | 0x19 => skip(cursor, 1),
        // STOP_SENDING, MAX_STREAM_DATA, STREAM_DATA_BLOCKED.
        0x05 | 0x11 | 0x15 => skip(cursor, 2),
        // TIME_STAMP (draft-huitema-quic-ts), which picoquic sends.
        0x02f5 => skip(cursor, 1),
        // ACK_FREQUENCY (draft-ietf-quic-ack-frequency).
        0xaf => skip(cursor, 4),
        _ => return Err(Broken::Unknown),
    };
    known.ok_or(Broken::Off)
}

fn padding(cursor: &mut Cursor<'_>) -> Frame {
    let zeros = cursor.rest().iter().take_while(|&&byte| byte == 0).count();
    let _ = cursor.take(zeros as u64);
    Frame::Padding
}

fn skip(cursor: &mut Cursor<'_>, integers: usize) -> Option<Frame> {
    for _ in 0..integers {
        cursor.varint()?;
    }
    Some(Frame::Other)
}

fn skip_vector(cursor: &mut Cursor<'_>) -> Option<Frame> {
    let length = cursor.varint()?;
    cursor.take(length)?;
    Some(Frame::Other)
}

fn acknowledgement(cursor: &mut Cursor<'_>, counts: bool) -> Option<Frame> {
    let largest = cursor.varint()?;
    let start = cursor.at();
    cursor.varint()?;
    let delay = start..cursor.at();
    let ranges = cursor.varint()?;
    let _first = cursor.varint()?;
    let more = cursor.at();
    // However many are announced, the payload ends them.
    for _ in 0..ranges {
        let (_gap, _length) = (cursor.varint()?, cursor.varint()?);
    }
    let start = cursor.at();
    if counts {
        skip(cursor, 3)?;
    }
    Some(Frame::Ack { largest, delay, more: more..start, counts: start..cursor.at() })
}

fn reset(cursor: &mut Cursor<'_>) -> Option<Frame> {
    Some(Frame::ResetStream { stream: cursor.varint()?, code: cursor.varint()?, length: cursor.varint()? })
}

fn crypto(cursor: &mut Cursor<'_>) -> Option<Frame> {
    let (offset, length) = (cursor.varint()?, cursor.varint()?);
    Some(Frame::Crypto { offset, data: cursor.range(length)? })
}

fn stream(cursor: &mut Cursor<'_>, kind: u64) -> Option<Frame> {
    let stream = cursor.varint()?;
    let offset = if kind & 0x04 != 0 { cursor.varint()? } else { 0 };
    let length = if kind & 0x02 != 0 { cursor.varint()? } else { cursor.rest().len() as u64 };
    Some(Frame::Stream { stream, offset, data: cursor.range(length)?, last: kind & 0x01 != 0 })
}

fn new_connection_id(cursor: &mut Cursor<'_>) -> Option<Frame> {
    let (_sequence, _retire) = (cursor.varint()?, cursor.varint()?);
    let length = cursor.byte()?;
    let id = cursor.range(u64::from(length))?;
    Some(Frame::NewConnectionId { id, reset_token: cursor.range(16)? })
}

fn close(cursor: &mut Cursor<'_>, application: bool) -> Option<Frame> {
    let code = cursor.varint()?;
    if !application {
        let _frame = cursor.varint()?;
    }
    let length = cursor.varint()?;
    Some(Frame::Close { application, code, reason: cursor.range(length)? })
}

fn datagram(cursor: &mut Cursor<'_>, with_length: bool) -> Option<Frame> {
    let length = if with_length { cursor.varint()? } else { cursor.rest().len() as u64 };
    Some(Frame::Datagram { data: cursor.range(length)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(payload: &[u8]) -> Vec<Result<(Range<usize>, Frame), Damage>> {
        Frames::new(payload).collect()
    }

    #[test]
    fn frames_of_all_kinds_and_their_places() {
        let payload = [
            0, 0, 0, // PADDING
            0x02, 0x05, 0x00, 0x01, 0x01, 0x00, 0x01, // ACK of 4, 5 and 1, 2
            0x06, 0x40, 0x10, 0x02, 0xaa, 0xbb, // CRYPTO at 16
            0x0f, 0x04, 0x20, 0x01, 0xcc, // STREAM 4 at 32, the last
            0x31, 0x01, 0xdd, // DATAGRAM
            0x1d, 0x03, 0x02, b'o', b'k', // CONNECTION_CLOSE
            0x04, 0x08, 0x01, 0x21, // RESET_STREAM
            0x08, 0x00, 0x01, 0x02, // STREAM 0, to the end
        ];
        let frames: Vec<_> = all(&payload).into_iter().map(Result::unwrap).collect();
        let expected = [
            (0..3, Frame::Padding),
            (3..10, Frame::Ack { largest: 5, delay: 5..6, more: 8..10, counts: 10..10 }),
            (10..16, Frame::Crypto { offset: 16, data: 14..16 }),
            (16..21, Frame::Stream { stream: 4, offset: 32, data: 20..21, last: true }),
            (21..24, Frame::Datagram { data: 23..24 }),
            (24..29, Frame::Close { application: true, code: 3, reason: 27..29 }),
            (29..33, Frame::ResetStream { stream: 8, code: 1, length: 33 }),
            (33..37, Frame::Stream { stream: 0, offset: 0, data: 35..37, last: false }),
        ];
        assert_eq!(frames, expected);
    }

    #[test]
    fn unknown_types_and_frames_that_break_off_end_the_packet() {
        let payload = [0x01, 0x40, 0x21, 0x01, 0x01];
        let frames = all(&payload);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1], Err(Damage { at: 1, kind: Some(0x21), unknown: true }));
        let broken = all(&[0x06, 0x00, 0x05, 0x01]);
        assert_eq!(broken, [Err(Damage { at: 0, kind: Some(6), unknown: false })]);
        let endless = all(&[0x02, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00]);
        assert_eq!(endless, [Err(Damage { at: 0, kind: Some(2), unknown: false })]);
    }

    proptest! {
        #[test]
        fn any_bytes_end_and_frames_lie_side_by_side(payload: Vec<u8>) {
            let mut at = 0;
            for frame in all(&payload) {
                match frame {
                    Ok((range, _)) => {
                        prop_assert_eq!(range.start, at);
                        prop_assert!(range.end > at);
                        at = range.end;
                    }
                    Err(damage) => prop_assert_eq!(damage.at, at),
                }
            }
            prop_assert!(at <= payload.len());
        }
    }
}
