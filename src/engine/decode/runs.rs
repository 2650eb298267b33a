//! Runs of base64 and of hexadecimal that stand in text or in unknown bytes.

use crate::engine::codec::{Base64, Budget, Coding, Hex};

use super::{
    content::{Coded, Declared},
    layers::{Bytes, Held, Out},
    sniff::{SNIFF, is_something},
};

/// Bytes between the places that are looked at: half of the shortest run, so that none lies between two.
const STRIDE: usize = SNIFF / 2;

/// Readings of one run: base64 that may begin at any of four symbols, or hexadecimal at two.
const MAX_READINGS: usize = 6;

/// Different symbols below which hexadecimal digits may as well be base64 of something very monotonous, such as zeros.
const MIN_DIGITS: u32 = 6;

/// Finds runs and decodes them.
#[derive(Default)]
pub(super) struct Runs {
    /// A run that is too short so far to be one.
    held: Held,
    /// Where it starts in the layer before.
    start: u64,
    /// The readings of the run that is open, with the symbols that each still leaves out.
    open: Vec<Reading>,
    state: State,
    lines: Lines,
}

struct Reading {
    coded: Coded,
    skip: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between runs.
    #[default]
    Outside,
    /// In what may become a run.
    Perhaps,
    Inside,
}

/// The shortest line of a run that has more than one: 64 is usual in PEM, 76 in MIME, 60 in old encoders. What stands
/// before on shorter lines are words.
const MIN_LINE: usize = 60;

/// Where lines of a run end: all are as long as the first but for the last one (RFC 2045 section 6.8). They may be
/// indented, as in a document.
#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    current: usize,
    length: Option<usize>,
    padded: bool,
    carriage: bool,
}

impl Lines {
    /// Takes a byte; false where the run ends before it.
    fn take(&mut self, byte: u8) -> bool {
        match byte {
            b'\r' => !std::mem::replace(&mut self.carriage, true) && self.goes_on(),
            b'\n' => {
                if !std::mem::take(&mut self.carriage) && !self.goes_on() {
                    return false;
                }
                self.length = self.length.or(Some(self.current));
                self.current = 0;
                true
            }
            _ if self.carriage => false,
            b' ' | b'\t' => self.length.is_some() && self.current == 0 && !self.padded,
            b'=' => {
                self.padded = true;
                self.current > 0
            }
            // Padded groups may follow each other, as in grpc-web-text.
            _ => {
                self.padded = false;
                self.current += 1;
                is_symbol(byte)
            }
        }
    }

    /// Whether another line may follow the one that ends.
    fn goes_on(&self) -> bool {
        !self.padded && self.current >= self.length.unwrap_or(MIN_LINE)
    }
}

fn is_symbol(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

impl Runs {
    /// Takes bytes that stand at `at` of the layer before.
    pub(super) fn push(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) {
        let mut position = 0;
        while position < bytes.data.len() {
            if self.state == State::Outside {
                let Some(start) = next_run(bytes.data, position) else { return };
                self.state = State::Perhaps;
                self.lines = Lines::default();
                self.start = at + start as u64;
                position = start;
            }
            let rest = bytes.data.get(position..).unwrap_or_default();
            let taken = rest.iter().position(|&byte| !self.lines.take(byte)).unwrap_or(rest.len());
            self.extend(out, bytes.part(position..position + taken), at + position as u64);
            position += taken;
            if position < bytes.data.len() {
                self.close(out);
                // The byte that ended the run may be one of the next.
                if taken == 0 {
                    position += 1;
                }
            }
        }
    }

    /// Ends the run that is open.
    pub(super) fn close(&mut self, out: &mut Out<'_>) {
        for mut reading in self.open.drain(..) {
            reading.coded.finish(out);
        }
        self.held.clear();
        self.state = State::Outside;
    }

    fn extend(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) {
        if self.state == State::Inside {
            return self.feed(out, bytes, at);
        }
        let room = SNIFF.saturating_sub(self.held.data.len()).min(bytes.data.len());
        let (first, rest) = bytes.split(room);
        self.held.push(first);
        if self.held.data.len() < SNIFF {
            return;
        }
        let held = std::mem::take(&mut self.held);
        self.state = State::Inside;
        self.begin(out, &held);
        self.feed(out, held.bytes(), self.start);
        self.held = held;
        self.held.clear();
        self.feed(out, rest, at + room as u64);
    }

    /// Chooses how the run is read, by its first bytes.
    fn begin(&mut self, out: &mut Out<'_>, held: &Held) {
        let symbols: Vec<u8> = held.data.iter().copied().filter(|byte| is_symbol(*byte)).collect();
        if symbols.len() < MIN_LINE || held.data.contains(&b'=') {
            return;
        }
        let hex = symbols.iter().all(u8::is_ascii_hexdigit);
        let mut readings = Vec::new();
        if hex {
            readings.extend(starts(&symbols, 2, || Box::<Hex>::default()).map(|skip| ("hex", skip)));
        }
        if !hex || different(&symbols) < MIN_DIGITS {
            readings.extend(starts(&symbols, 4, || Box::<Base64>::default()).map(|skip| ("base64", skip)));
        }
        let many = readings.len() > 1;
        if many && !out.admits_doubt() {
            readings.truncate(1);
        }
        for (op, skip) in readings.into_iter().take(MAX_READINGS) {
            if !out.admits_value() {
                return;
            }
            // Where the symbols before the start stand among line breaks does not matter: they are stepped over.
            let at = self.start + after_symbols(&held.data, skip) as u64;
            let coding: Box<dyn Coding> =
                if op == "hex" { Box::<Hex>::default() } else { Box::<Base64>::default() };
            let coded = Coded::guess_at(op, coding, Declared::default(), at).doubted(many);
            self.open.push(Reading { coded, skip });
        }
    }

    fn feed(&mut self, out: &mut Out<'_>, bytes: Bytes<'_>, at: u64) {
        for reading in &mut self.open {
            let skipped = match reading.skip {
                0 => 0,
                skip => after_symbols(bytes.data, skip),
            };
            reading.skip = 0;
            let rest = bytes.part(skipped..bytes.data.len());
            reading.coded.push(out, rest, at + skipped as u64);
        }
    }
}

/// Where the first `count` symbols end.
fn after_symbols(bytes: &[u8], count: usize) -> usize {
    let mut left = count;
    for (at, &byte) in bytes.iter().enumerate() {
        if left == 0 {
            return at;
        }
        left -= usize::from(is_symbol(byte));
    }
    bytes.len()
}

/// Whether text is hexadecimal digits in lines, and hardly base64 of something monotonous.
pub(super) fn is_hex(text: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'\r' | b'\n');
    text.iter().all(digit) && different(text) >= MIN_DIGITS
}

fn different(symbols: &[u8]) -> u32 {
    let mut seen = 0_u128;
    symbols.iter().for_each(|symbol| seen |= 1 << (symbol & 0x7f));
    seen.count_ones()
}

/// The symbols at which decoding may start: the one whose output is something, or else all `group` of them, since a
/// part of an encoded file begins anywhere.
fn starts(symbols: &[u8], group: usize, new: fn() -> Box<dyn Coding>) -> std::ops::Range<usize> {
    let gives = |skip: usize| {
        let text = symbols.get(skip..).unwrap_or_default();
        let text = text.get(..text.len() / 4 * 4).unwrap_or_default();
        let (mut bytes, budget) = (Vec::new(), Budget::new(SNIFF as u64));
        let result = new().push(text, &budget, &mut |output| bytes.extend_from_slice(output.bytes));
        result.is_ok() && is_something(&bytes)
    };
    match (0..group).find(|&skip| gives(skip)) {
        Some(skip) => skip..skip + 1,
        None => 0..group,
    }
}

/// Where the next run may begin: at a symbol that enough others follow, or as many as there are.
fn next_run(data: &[u8], from: usize) -> Option<usize> {
    let mut from = from;
    while from < data.len() {
        let probe = (from + STRIDE - 1).min(data.len() - 1);
        if !data.get(probe).is_some_and(|&byte| is_symbol(byte)) {
            from = probe + 1;
            continue;
        }
        let before = data.get(from..probe).unwrap_or_default();
        let start = probe - before.iter().rev().take_while(|&&byte| is_symbol(byte)).count();
        let after = data.get(probe..).unwrap_or_default();
        let end = probe + after.iter().take_while(|&&byte| is_symbol(byte)).count();
        if end - start >= MIN_LINE || end == data.len() {
            return Some(start);
        }
        from = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_run_lies_between_two_places_that_are_looked_at() {
        for before in 0..100 {
            for length in [MIN_LINE, SNIFF, 100] {
                let text = [" ".repeat(before), "A".repeat(length), " ".repeat(70)].concat();
                assert_eq!(next_run(text.as_bytes(), 0), Some(before), "{before} {length}");
                let short = [" ".repeat(before), "A".repeat(MIN_LINE - 1), " ".repeat(70)].concat();
                assert_eq!(next_run(short.as_bytes(), 0), None, "{before}");
            }
            let end = [" ".repeat(before), "A".to_owned()].concat();
            assert_eq!(next_run(end.as_bytes(), 0), Some(before));
        }
    }

    #[test]
    fn a_run_ends_where_its_lines_say() {
        let run = |text: &str| {
            let mut lines = Lines::default();
            text.bytes().position(|byte| !lines.take(byte)).unwrap_or(text.len())
        };
        let (one, two) = ("A".repeat(64), "B".repeat(64));
        assert_eq!(run(&format!("{one}\r\n{two}\r\nCC==\r\n\r\nWords")), 64 + 2 + 64 + 2 + 4);
        assert_eq!(run(&format!("{one}\n{two}\nCC\nWords")), 64 + 1 + 64 + 1 + 2);
        assert_eq!(run(&format!("{one}\r\n\r\nBBBB")), 66);
        assert_eq!(run(&format!("{one}\n\t  {two}\n\tCC==\n\tWords")), 64 + 4 + 64 + 2 + 4);
        assert_eq!(run(&format!("{one} {two}")), 64);
        assert_eq!(run(&format!("{one}\n CC DD")), 64 + 4);
        assert_eq!(run(&format!("{one}, BBBB")), 64);
        assert_eq!(run("AAAA==BBBB"), 10);
        assert_eq!(run("Word\nBBBB"), 4);
    }
}
