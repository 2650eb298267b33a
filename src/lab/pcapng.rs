//! Writes pcapng (draft-ietf-opsawg-pcapng): one section, one Ethernet interface, microseconds.

/// Link type of Ethernet.
const ETHERNET: u16 = 1;
const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const ISB_STARTTIME: u16 = 2;
const ISB_ENDTIME: u16 = 3;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// A captured frame.
pub(super) struct Captured {
    /// Microseconds since 1970.
    pub(super) micros: u64,
    /// From the Ethernet header on, without the check sequence.
    pub(super) frame: Vec<u8>,
}

/// What the capturing interface counted.
pub(super) struct Statistics {
    /// When capturing began and ended, in microseconds since 1970.
    pub(super) from_to: [u64; 2],
    /// Frames that passed, those dropped included.
    pub(super) received: u64,
    /// Frames that passed and are not in the file.
    pub(super) dropped: u64,
}

/// Writes frames, in the order given and each up to the interface's `snap` bytes, between a header that carries `comment`
/// and the interface's statistics.
pub(super) fn write(
    comment: &str,
    (interface, snap): (&str, usize),
    frames: &[Captured],
    statistics: &Statistics,
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut section = Vec::new();
    section.extend(0x1a2b_3c4d_u32.to_le_bytes());
    section.extend(1_u16.to_le_bytes());
    section.extend(0_u16.to_le_bytes());
    section.extend(u64::MAX.to_le_bytes()); // length not given
    option(&mut section, OPT_COMMENT, comment.as_bytes());
    option(&mut section, SHB_USERAPPL, b"exhibit lab");
    end_of_options(&mut section);
    block(&mut file, 0x0a0d_0d0a, &section);

    let mut description = Vec::new();
    description.extend(ETHERNET.to_le_bytes());
    description.extend(0_u16.to_le_bytes());
    description.extend(u32::try_from(snap).unwrap_or(u32::MAX).to_le_bytes());
    option(&mut description, IF_NAME, interface.as_bytes());
    end_of_options(&mut description);
    block(&mut file, 1, &description);

    for Captured { micros, frame } in frames {
        let mut packet = Vec::new();
        packet.extend(0_u32.to_le_bytes());
        packet.extend(time(*micros));
        let held = frame.get(..snap).unwrap_or(frame);
        packet.extend(length(held).to_le_bytes());
        packet.extend(length(frame).to_le_bytes());
        padded(&mut packet, held);
        block(&mut file, 6, &packet);
    }

    let [from, to] = statistics.from_to;
    let mut counted = Vec::new();
    counted.extend(0_u32.to_le_bytes());
    counted.extend(time(to));
    option(&mut counted, ISB_STARTTIME, &time(from));
    option(&mut counted, ISB_ENDTIME, &time(to));
    option(&mut counted, ISB_IFRECV, &statistics.received.to_le_bytes());
    option(&mut counted, ISB_IFDROP, &statistics.dropped.to_le_bytes());
    end_of_options(&mut counted);
    block(&mut file, 5, &counted);
    file
}

/// A time stamp: the high half first, each half little-endian.
fn time(micros: u64) -> [u8; 8] {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = micros.to_le_bytes();
    [b4, b5, b6, b7, b0, b1, b2, b3]
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn padded(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(bytes);
    to.resize(to.len().next_multiple_of(4), 0);
}

fn option(to: &mut Vec<u8>, code: u16, value: &[u8]) {
    to.extend(code.to_le_bytes());
    to.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    padded(to, value);
}

fn end_of_options(to: &mut Vec<u8>) {
    to.extend([0; 4]);
}

fn block(to: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let total = length(body).saturating_add(12).to_le_bytes();
    to.extend(kind.to_le_bytes());
    to.extend(total);
    to.extend(body);
    to.extend(total);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_and_statistics_are_laid_out_as_the_draft_says() {
        let frame = Captured { micros: 0x0006_1234_89ab_cdef, frame: vec![1, 2, 3, 4, 5] };
        let statistics = Statistics { from_to: [1, 0x2_0000_0003], received: 7, dropped: 6 };
        let file = write("c", ("wlan0", 262_144), &[frame], &statistics);
        let (rest, counted) = file.split_at(file.len() - 76);
        let packet = &rest[rest.len() - 40..];
        assert_eq!(packet[..8], [6, 0, 0, 0, 40, 0, 0, 0]);
        assert_eq!(packet[8..20], [0, 0, 0, 0, 0x34, 0x12, 0x06, 0, 0xef, 0xcd, 0xab, 0x89]);
        assert_eq!(packet[20..28], [5, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(packet[28..], [1, 2, 3, 4, 5, 0, 0, 0, 40, 0, 0, 0]);
        assert_eq!(counted[..12], [5, 0, 0, 0, 76, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(counted[12..20], [2, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(counted[56..68], [5, 0, 8, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
    }
}
