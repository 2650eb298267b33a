//! The way between phone and servers, with the capture point on it and a virtual clock.
//!
//! Times are microseconds since the run began. Nothing here waits.

use std::collections::{BTreeMap, VecDeque};

use smoltcp::{
    phy::{self, Device, DeviceCapabilities, Medium},
    time::Instant,
};

use super::{model, pcapng::Captured, seeded::Seeded};

/// Ethernet's largest frame without its check sequence.
const LARGEST_FRAME: usize = 1514;
/// How far behind a reordered frame arrives: more than one frame's time, less than a retransmission's.
const REORDER_US: u32 = 8_000;
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];

/// An end of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The phone.
    Phone,
    /// The access point and all servers behind it.
    Net,
}

/// Frames under way and frames captured.
pub(super) struct Link {
    faults: model::Link,
    seeded: Seeded,
    /// The phone's Ethernet address, where the capture is taken on it.
    on_phone: Option<[u8; 6]>,
    under_way: BTreeMap<(u64, u64), (End, Vec<u8>)>,
    sent: u64,
    air_free: u64,
    passed: [u64; 2],
    captured: Vec<Captured>,
    unrecorded: u64,
}

impl Link {
    /// A quiet way.
    pub(super) fn new(faults: model::Link, phone: model::Mac, seeded: Seeded) -> Self {
        Self {
            faults,
            seeded,
            on_phone: (faults.capture == model::Point::Phone).then_some(phone.0),
            under_way: BTreeMap::new(),
            sent: 0,
            air_free: 0,
            passed: [0; 2],
            captured: Vec::new(),
            unrecorded: 0,
        }
    }

    /// Takes a frame from one end at `now`; it may be lost, late, or missing in the capture.
    pub(super) fn send(&mut self, now: u64, from: End, frame: Vec<u8>) {
        let lost = self.seeded.happens(self.faults.loss);
        let late = if self.seeded.happens(self.faults.reorder) { u64::from(REORDER_US) } else { 0 };
        let jitter = u64::from(self.seeded.below(self.faults.jitter_us));
        let recorded = !self.seeded.happens(self.faults.unrecorded);
        let wire = if frame.get(12..14) == Some(&ETHERTYPE_ARP) { 0 } else { self.faults.wire_us };
        let (captured_at, arrives) = match from {
            End::Phone => {
                let across = self.on_air(now, &frame);
                let at = self.in_order(0, across + jitter, late);
                (at, at + wire)
            }
            End::Net => {
                let at = self.in_order(1, now + wire + jitter, late);
                (at, self.on_air(at, &frame))
            }
        };
        let (captured_at, reached_capture) = match (self.on_phone, from) {
            (None, _) => (captured_at, !(lost && from == End::Phone)),
            (Some(own), End::Phone) => (now, frame.get(6..12) == Some(&own)),
            (Some(own), End::Net) => {
                // The lowest bit of an address says that it is a group's (IEEE 802, section 8.2).
                let heard = frame.get(..6) == Some(&own) || frame.first().is_some_and(|first| first & 1 > 0);
                (arrives, heard && !lost)
            }
        };
        match (reached_capture, recorded) {
            (true, true) => self.record(captured_at, frame.clone()),
            (true, false) => self.unrecorded += 1,
            (false, _) => {}
        }
        if !lost {
            let to = if from == End::Phone { End::Net } else { End::Phone };
            self.under_way.insert((arrives, self.sent), (to, frame));
        }
        self.sent += 1;
    }

    /// Puts a frame into the capture that neither end's stack has to see.
    pub(super) fn record(&mut self, micros: u64, frame: Vec<u8>) {
        self.captured.push(Captured { micros, frame });
    }

    /// When the next frame arrives.
    pub(super) fn next(&self) -> Option<u64> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// A frame that has arrived by `now`.
    pub(super) fn arrived(&mut self, now: u64) -> Option<(End, Vec<u8>)> {
        let first = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// All captured frames in the order of their times, and how many passed that the capture does not hold.
    pub(super) fn into_captured(mut self) -> (Vec<Captured>, u64) {
        self.captured.sort_by_key(|captured| captured.micros);
        (self.captured, self.unrecorded)
    }

    /// Waits until the air is free and takes the frame's time on it; says when it is across.
    fn on_air(&mut self, now: u64, frame: &[u8]) -> u64 {
        let start = self.air_free.max(now);
        self.air_free = start + (frame.len() as u64 * 8_000).div_ceil(self.faults.rate_kbps.max(1));
        self.air_free + self.faults.air_us
    }

    /// Keeps a direction's order, but for frames that are `late`.
    fn in_order(&mut self, direction: usize, at: u64, late: u64) -> u64 {
        let Some(passed) = self.passed.get_mut(direction).filter(|_| late == 0) else { return at + late };
        *passed = at.max(*passed + 1);
        *passed
    }
}

/// A network card: what arrived for the stack, and what the stack wants to send.
#[derive(Default)]
pub(super) struct Card {
    /// Arrived, not yet read.
    pub(super) received: VecDeque<Vec<u8>>,
    /// To be sent.
    pub(super) sent: Vec<Vec<u8>>,
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        self.received.pop_front().map(|frame| (Received(frame), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LARGEST_FRAME;
        capabilities
    }
}

/// A frame handed to the stack.
pub(super) struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// Room for a frame from the stack.
pub(super) struct Sending<'a>(&'a mut Vec<Vec<u8>>);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.push(frame);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: model::Mac = model::Mac([2; 6]);

    fn link(change: impl FnOnce(&mut model::Link)) -> Link {
        let mut faults = model::Link::default();
        change(&mut faults);
        Link::new(faults, PHONE, Seeded::new(1, "link"))
    }

    fn send_hundred(link: &mut Link, from: End) -> Vec<u8> {
        (0..100).for_each(|no| link.send(u64::from(no) * 1000, from, vec![no; 100]));
        std::iter::from_fn(|| link.arrived(u64::MAX)).map(|(_, frame)| frame[0]).collect()
    }

    #[test]
    fn frames_arrive_in_order_in_spite_of_jitter() {
        let mut link = link(|faults| faults.jitter_us = 5000);
        assert!(send_hundred(&mut link, End::Phone).is_sorted());
        let (captured, unrecorded) = link.into_captured();
        assert_eq!((captured.len(), unrecorded), (100, 0));
        assert!(captured.windows(2).all(|pair| pair[0].micros < pair[1].micros));
    }

    #[test]
    fn a_frame_lost_on_the_air_is_captured_only_on_its_way_down() {
        let mut up = link(|faults| faults.loss = 1000);
        assert!(send_hundred(&mut up, End::Phone).is_empty());
        assert_eq!(up.into_captured().0.len(), 0);
        let mut down = link(|faults| faults.loss = 1000);
        assert!(send_hundred(&mut down, End::Net).is_empty());
        assert_eq!(down.into_captured().0.len(), 100);
    }

    #[test]
    fn a_capture_on_the_phone_holds_what_it_sends_and_what_reaches_it() {
        let frame = |to: u8, from: u8| [[to; 6], [from; 6], [0; 6]].concat();
        let captured = |loss: u32, end: End, frame: Vec<u8>| {
            let mut link = link(|faults| (faults.capture, faults.loss) = (model::Point::Phone, loss));
            link.send(5_000, end, frame);
            link.into_captured().0.iter().map(|captured| captured.micros).collect::<Vec<_>>()
        };
        assert_eq!(captured(1_000, End::Phone, frame(8, 2)), [5_000], "it was sent, and lost then");
        assert!(captured(0, End::Phone, frame(8, 6)).is_empty(), "another machine sent it");
        assert!(captured(0, End::Net, frame(6, 8)).is_empty(), "and got the answer");
        assert!(captured(1_000, End::Net, frame(2, 8)).is_empty(), "it never came");
        assert!(captured(0, End::Net, frame(2, 8))[0] > 24_000, "it came over wire and air");
        assert_eq!(captured(0, End::Net, frame(0xff, 8)).len(), 1, "it was for all");
    }

    #[test]
    fn an_unrecorded_frame_arrives() {
        let mut link = link(|faults| faults.unrecorded = 1000);
        assert_eq!(send_hundred(&mut link, End::Phone).len(), 100);
        let (captured, unrecorded) = link.into_captured();
        assert_eq!((captured.len(), unrecorded), (0, 100));
    }

    #[test]
    fn some_frames_arrive_behind_later_ones() {
        let mut link = link(|faults| faults.reorder = 100);
        let arrived = send_hundred(&mut link, End::Phone);
        assert_eq!(arrived.len(), 100);
        assert!(!arrived.is_sorted());
    }
}
