//! The uplink ledger: each payload byte that the phone sent has one place, and the places add up.
//!
//! TCP counts unique sequence bytes, lost ones included; UDP counts payload. Matched goes before
//! every other place; what nothing is said of is undetermined.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{
    engine::{
        decode::sink::Place,
        net::stream::{Piece, Stream},
    },
    evidence::{ByteRange, Timestamp},
    findings::{Ledger, LedgerRow, MAX_ENDS, Places},
};

/// Ranges of one stream with their places; later ones win.
#[derive(Clone, Debug, Default)]
pub struct PlaceMap {
    ranges: Vec<(ByteRange, Place)>,
}

impl PlaceMap {
    /// Says how a range is accounted for.
    pub fn say(&mut self, range: ByteRange, place: Place) {
        match self.ranges.last_mut() {
            _ if range.is_empty() => {}
            Some((last, same)) if *same == place && last.end == range.start => last.end = range.end,
            _ => self.ranges.push((range, place)),
        }
    }

    /// Cuts what was said into sorted ranges without overlaps, the last word on each byte kept.
    fn settled(&self) -> Vec<(ByteRange, Place)> {
        let sorted = self.ranges.windows(2).all(|pair| match pair {
            [(a, _), (b, _)] => a.end <= b.start,
            _ => true,
        });
        if sorted {
            return self.ranges.clone();
        }
        let mut edges: Vec<u64> =
            self.ranges.iter().flat_map(|(range, _)| [range.start, range.end]).collect();
        edges.sort_unstable();
        edges.dedup();
        // The last word that covers an elementary interval wins: walk the words backwards and fill what is free.
        let mut free: BTreeMap<u64, u64> =
            edges.iter().zip(edges.iter().skip(1)).map(|(&a, &b)| (a, b)).collect();
        let mut settled = Vec::with_capacity(free.len());
        for (range, place) in self.ranges.iter().rev() {
            let inside: Vec<u64> = free.range(range.start..range.end).map(|(&start, _)| start).collect();
            for start in inside {
                if let Some(end) = free.remove(&start) {
                    settled.push((ByteRange::new(start, end), *place));
                }
            }
        }
        settled.sort_unstable();
        settled
    }
}

/// Gives the place of each byte of a stream, piece by piece with the piece's time.
///
/// `matched` and `sealed` (what stands in encrypted records) must be sorted and without overlaps. Payload without a place
/// in the stream is opaque. Lost bytes come with the time of the piece before them (or after, at the start). Both have no
/// piece of their own.
pub fn account(
    stream: &Stream,
    map: &PlaceMap,
    matched: &[ByteRange],
    sealed: &[ByteRange],
    mut each: impl FnMut(Timestamp, Option<&Piece>, Places),
) {
    let settled = map.settled();
    let (mut said, mut hit, mut seal) = (0, 0, 0);
    for piece in &stream.pieces {
        while settled.get(said).is_some_and(|(range, _)| range.end <= piece.range.start) {
            said += 1;
        }
        while matched.get(hit).is_some_and(|range| range.end <= piece.range.start) {
            hit += 1;
        }
        while sealed.get(seal).is_some_and(|range| range.end <= piece.range.start) {
            seal += 1;
        }
        let sealed = sealed.get(seal..).unwrap_or_default();
        let in_seals = |range: ByteRange| -> u64 {
            let near = sealed.iter().take_while(|seal| seal.start < range.end);
            near.filter_map(|seal| seal.intersection(range)).map(ByteRange::len).sum()
        };
        let mut places = Places { total: piece.range.len(), ..Places::default() };
        let mut told = 0;
        let mut accounted = 0;
        let mut hits = Vec::new();
        for range in
            matched.get(hit..).unwrap_or_default().iter().take_while(|range| range.start < piece.range.end)
        {
            if let Some(both) = range.intersection(piece.range) {
                places.matched += both.len();
                told += in_seals(both);
                hits.push(both);
            }
        }
        accounted += places.matched;
        for (range, place) in settled
            .get(said..)
            .unwrap_or_default()
            .iter()
            .take_while(|(range, _)| range.start < piece.range.end)
        {
            let Some(both) = range.intersection(piece.range) else { continue };
            let taken: u64 = hits.iter().filter_map(|hit| hit.intersection(both)).map(ByteRange::len).sum();
            let bytes = both.len() - taken;
            accounted += bytes;
            match place {
                Place::Understood => {
                    places.understood += bytes;
                    let taken: u64 = hits.iter().filter_map(|hit| hit.intersection(both)).map(in_seals).sum();
                    told += in_seals(both) - taken;
                }
                Place::Undetermined => places.undetermined += bytes,
                Place::Opaque => places.opaque += bytes,
            }
        }
        places.undetermined += places.total.saturating_sub(accounted);
        places.sealed = in_seals(piece.range).saturating_sub(told);
        each(piece.time, Some(piece), places);
    }
    // Payload without a place in the stream (outside any window, the text of a RST) was sent all the same.
    let strays: u64 = stream.strays.iter().map(|stray| u64::from(stray.len)).sum();
    if strays > 0 {
        let time = stream.pieces.first().map_or(Timestamp(0), |piece| piece.time);
        each(time, None, Places { opaque: strays, total: strays, ..Places::default() });
    }
    for gap in &stream.gaps {
        let before = stream.pieces.partition_point(|piece| piece.range.end <= gap.start);
        let piece =
            before.checked_sub(1).and_then(|at| stream.pieces.get(at)).or_else(|| stream.pieces.first());
        let lost = Places { lost: gap.len(), total: gap.len(), ..Places::default() };
        each(piece.map_or(Timestamp(0), |piece| piece.time), None, lost);
    }
}

/// Where bytes went: the family, where it is another name than the address, and the remote end.
pub type Destination = (Option<Arc<str>>, IpAddr, u16);

/// Adds up accounts by phase, destination and window.
#[derive(Debug, Default)]
pub struct LedgerBuilder {
    all: Places,
    by_phase: BTreeMap<String, Places>,
    by_destination: BTreeMap<Destination, Places>,
    by_window: BTreeMap<(Timestamp, String), Places>,
    /// By phase, what lies in no window.
    outside: BTreeMap<String, Places>,
    families: BTreeSet<Arc<str>>,
}

impl LedgerBuilder {
    /// Makes a row for a window even when nothing was sent in it: silence is a figure too.
    pub fn expect_window(&mut self, start: Timestamp, id: String) {
        self.by_window.entry((start, id)).or_default();
    }

    /// Names a destination by its family, `None` where that is the address: each family's name is held once.
    pub fn destination(&mut self, family: Option<&str>, remote: SocketAddr) -> Destination {
        let family = family.map(|family| {
            let known = self.families.get(family).cloned();
            known.unwrap_or_else(|| {
                let family: Arc<str> = family.into();
                self.families.insert(Arc::clone(&family));
                family
            })
        });
        (family, remote.ip(), remote.port())
    }

    /// Adds bytes.
    pub fn add(
        &mut self,
        phase: &str,
        destination: &Destination,
        window: Option<(Timestamp, String)>,
        places: Places,
    ) {
        self.all.add(places);
        match self.by_phase.get_mut(phase) {
            Some(row) => row.add(places),
            None => drop(self.by_phase.insert(phase.to_owned(), places)),
        }
        self.by_destination.entry(destination.clone()).or_default().add(places);
        match window {
            // What belongs to no run has a row by phase.
            None if phase == Ledger::OUTSIDE_RUNS => {}
            Some(window) => self.by_window.entry(window).or_default().add(places),
            None => match self.outside.get_mut(phase) {
                Some(row) => row.add(places),
                None => drop(self.outside.insert(phase.to_owned(), places)),
            },
        }
    }

    /// Ends the ledger. Destinations beyond the [`MAX_ENDS`] with the most bytes stand in one row together.
    pub fn finish(self) -> Ledger {
        let mut destinations: Vec<(Destination, Places)> = self.by_destination.into_iter().collect();
        destinations.sort_by(|(a, more), (b, less)| less.total.cmp(&more.total).then_with(|| a.cmp(b)));
        let rest = destinations.split_off(destinations.len().min(MAX_ENDS));
        let mut by_destination = rows(destinations.into_iter().map(|((family, address, port), bytes)| {
            let family = family.map_or_else(|| address.to_string(), |family| family.to_string());
            (format!("{family} ({})", SocketAddr::new(address, port)), bytes)
        }));
        by_destination.sort_by(|a, b| b.bytes.total.cmp(&a.bytes.total).then_with(|| a.of.cmp(&b.of)));
        if !rest.is_empty() {
            let mut bytes = Places::default();
            rest.iter().for_each(|(_, more)| bytes.add(*more));
            by_destination.push(LedgerRow { of: format!("{} more remote ends", rest.len()), bytes });
        }
        Ledger {
            all: self.all,
            by_phase: rows(self.by_phase),
            by_destination,
            by_window: rows(
                self.by_window
                    .into_iter()
                    .map(|((_, id), bytes)| (id, bytes))
                    .chain(self.outside.into_iter().map(|(phase, bytes)| (Ledger::outside(&phase), bytes))),
            ),
        }
    }
}

fn rows(rows: impl IntoIterator<Item = (String, Places)>) -> Vec<LedgerRow> {
    rows.into_iter().map(|(of, bytes)| LedgerRow { of, bytes }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(stream: &Stream, map: &PlaceMap, matched: &[ByteRange]) -> Places {
        let mut sum = Places::default();
        account(stream, map, matched, &[], |_, _, places| {
            assert_eq!(
                places.matched + places.understood + places.undetermined + places.opaque + places.lost,
                places.total
            );
            sum.add(places);
        });
        sum
    }

    #[test]
    fn the_five_places_add_up_and_matched_goes_first() {
        let stream = Stream::of_bytes(&[0; 100]);
        let mut map = PlaceMap::default();
        map.say(ByteRange::new(0, 20), Place::Understood);
        map.say(ByteRange::new(20, 60), Place::Opaque);
        map.say(ByteRange::new(10, 30), Place::Undetermined);
        let sum = total(&stream, &map, &[ByteRange::new(5, 25)]);
        assert_eq!(
            sum,
            Places {
                matched: 20,
                understood: 5,
                undetermined: 5 + 40,
                opaque: 30,
                total: 100,
                ..Places::default()
            }
        );
    }

    #[test]
    fn destinations_beyond_the_limit_stand_in_one_row_and_nothing_is_lost() {
        let mut builder = LedgerBuilder::default();
        let sent = |bytes| Places { opaque: bytes, total: bytes, ..Places::default() };
        let large: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        let destination = builder.destination(Some("up.example"), large);
        builder.add("stock", &destination, None, sent(1_000));
        for n in 0..MAX_ENDS as u64 + 4 {
            let remote: SocketAddr = format!("10.0.{}.{}:80", n / 250, n % 250).parse().unwrap();
            let destination = builder.destination(None, remote);
            builder.add("stock", &destination, None, sent(1));
        }
        let ledger = builder.finish();
        let rows = &ledger.by_destination;
        assert_eq!(rows[0], LedgerRow { of: "up.example ([2001:db8::1]:443)".into(), bytes: sent(1_000) });
        assert_eq!(rows[1], LedgerRow { of: "10.0.0.0 (10.0.0.0:80)".into(), bytes: sent(1) });
        assert_eq!((rows.len(), &rows[MAX_ENDS].of[..]), (MAX_ENDS + 1, "5 more remote ends"));
        let all: u64 = rows.iter().map(|row| row.bytes.total).sum();
        assert_eq!((all, ledger.by_phase[0].bytes.total), (ledger.all.total, ledger.all.total));
    }

    #[test]
    fn what_is_neither_matched_nor_understood_in_a_record_is_sealed() {
        let stream = Stream::of_bytes(&[0; 100]);
        let mut map = PlaceMap::default();
        map.say(ByteRange::new(0, 50), Place::Understood);
        map.say(ByteRange::new(50, 70), Place::Opaque);
        let seals = [ByteRange::new(30, 60), ByteRange::new(65, 90)];
        let mut sum = Places::default();
        account(&stream, &map, &[ByteRange::new(25, 55)], &seals, |_, _, places| sum.add(places));
        // Of the 55 bytes in records 25 are matched; none of those that are understood is left; 30 are sealed.
        assert_eq!((sum.matched, sum.understood, sum.sealed), (30, 25, 5 + 25));
        assert_eq!((sum.residual(), sum.residual_in_clear()), (45, 15));
    }

    #[test]
    fn gaps_are_lost_and_counted() {
        let mut stream = Stream::of_bytes(&[0; 10]);
        stream.gaps.push(ByteRange::new(10, 4_000_000_010));
        let sum = total(&stream, &PlaceMap::default(), &[]);
        assert_eq!(
            sum,
            Places { undetermined: 10, lost: 4_000_000_000, total: 4_000_000_010, ..Places::default() }
        );
    }
}
