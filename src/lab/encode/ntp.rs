//! Questions for the time of day and their answers (SNTP version 4, RFC 4330; the packet of RFC 5905, section 7.3).

use crate::evidence::Timestamp;

/// Version 4, mode 3: a client's.
const ASKS: u8 = 4 << 3 | 3;
/// Version 4, mode 4: a server's.
const ANSWERS: u8 = 4 << 3 | 4;
/// One step from a clock that is right by itself.
const STRATUM: u8 = 1;
/// What that clock is (RFC 5905, figure 12).
const REFERENCE: &[u8; 4] = b"GPS\0";
/// Seconds from 1900 to 1970.
const ERA: u64 = 2_208_988_800;
const NANOS: u64 = 1_000_000_000;
const LEN: usize = 48;

/// A time as seconds since 1900 and their 2^32nd parts.
fn timestamp(time: Timestamp) -> [u8; 8] {
    let seconds = (time.0 / NANOS + ERA) & u64::from(u32::MAX);
    let parts = ((time.0 % NANOS) << 32) / NANOS;
    (seconds << 32 | parts).to_be_bytes()
}

/// Asks for the time, and says what the asking clock shows.
pub(in crate::lab) fn question(shows: Timestamp) -> Vec<u8> {
    let mut packet = vec![0; LEN - 8];
    if let Some(first) = packet.first_mut() {
        *first = ASKS;
    }
    packet.extend(timestamp(shows));
    packet
}

/// Answers a question that came at `received`, at once.
pub(in crate::lab) fn answer(question: &[u8], received: Timestamp) -> Option<Vec<u8>> {
    let asked = question.get(LEN - 8..LEN).filter(|_| question.first() == Some(&ASKS))?;
    // A poll every 64 s; a clock that is right to a millionth of a second.
    let mut packet = vec![ANSWERS, STRATUM, 6, 0xec];
    packet.extend([0; 8]);
    packet.extend(REFERENCE);
    packet.extend(timestamp(Timestamp(received.0 / NANOS * NANOS)));
    packet.extend(asked);
    packet.extend(timestamp(received));
    packet.extend(timestamp(received));
    Some(packet)
}

/// Whether a packet answers a question that showed `shows`.
pub(in crate::lab) fn is_answer(packet: &[u8], shows: Timestamp) -> bool {
    packet.len() == LEN && packet.first() == Some(&ANSWERS) && packet.get(24..32) == Some(&timestamp(shows))
}
