//! Frames of a client that say nothing but what clients usually say: numbers out of short lists.
//!
//! A number out of such a list is a choice of a few bits, made once for a connection; any other number is one that the sender
//! made up, and undetermined.

use crate::engine::proto::http2::{Header, Kind, Setting, settings};

/// Values of settings as clients send them: switches, tables, counts of streams, frames and lists, windows (RFC 9113
/// section 6.5.2; the larger windows are those of common browsers and libraries).
const SETTINGS: [u32; 25] = [
    0,
    1,
    100,
    128,
    250,
    256,
    1_000,
    4_096,
    8_192,
    16_384,
    32_768,
    65_535,
    65_536,
    131_072,
    262_144,
    1 << 20,
    2 << 20,
    4 << 20,
    6 << 20,
    10 << 20,
    16 << 20,
    (16 << 20) - 1,
    32 << 20,
    64 << 20,
    (1 << 31) - 1,
];

/// How far clients open the window of a connection at once: to one of these sizes, or by one of them.
const WINDOWS: [u32; 12] = [
    1 << 20,
    2 << 20,
    4 << 20,
    6 << 20,
    10 << 20,
    12 << 20,
    15 << 20,
    16 << 20,
    32 << 20,
    64 << 20,
    1_000 << 20,
    1 << 30,
];

/// The window that a connection begins with (RFC 9113 section 6.9.2).
const INITIAL_WINDOW: u32 = 65_535;

/// Weights less one: the default, and those that browsers give to what they need first (RFC 7540 section 5.3).
const WEIGHTS: [u8; 6] = [255, 219, 182, 146, 109, 15];

/// Error codes that are registered (RFC 9113 section 7).
const ERRORS: u32 = 13;

/// What a client says once for a connection, and whether it was said.
#[derive(Debug, Default)]
pub(super) struct Usual {
    settings: bool,
    window: bool,
}

impl Usual {
    /// Whether a payload says nothing but what is usual. `newest` is the last stream that the other side opened.
    pub(super) fn holds(&mut self, header: &Header, payload: &[u8], newest: u32) -> bool {
        let number = |at: usize| {
            let bytes = payload.get(at..).and_then(|rest| rest.first_chunk::<4>());
            bytes.map(|bytes| u32::from_be_bytes(*bytes))
        };
        match header.kind {
            Kind::Settings => !std::mem::replace(&mut self.settings, true) && are_usual(payload),
            Kind::WindowUpdate if header.stream == 0 => {
                !std::mem::replace(&mut self.window, true) && number(0).is_some_and(opens_usually)
            }
            Kind::RstStream => number(0).is_some_and(|code| code <= ERRORS),
            Kind::GoAway => {
                payload.len() == 8
                    && number(0).is_some_and(|last| last == newest)
                    && number(4).is_some_and(|code| code <= ERRORS)
            }
            _ => false,
        }
    }
}

/// Settings in the order of their numbers, each once.
fn are_usual(payload: &[u8]) -> bool {
    let mut last = 0;
    payload.len().is_multiple_of(6)
        && settings(payload).all(|setting| {
            let Setting { id, value } = setting;
            std::mem::replace(&mut last, id) < id && id <= 9 && SETTINGS.contains(&value)
        })
}

fn opens_usually(by: u32) -> bool {
    WINDOWS.iter().any(|&size| by == size || by == size - INITIAL_WINDOW)
}

/// Whether a priority depends on no stream and has a usual weight (RFC 7540 section 6.3).
pub(super) fn is_usual_priority([a, b, c, d, weight]: [u8; 5]) -> bool {
    [a & 0x7f, b, c, d] == [0; 4] && WEIGHTS.contains(&weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: Kind, stream: u32) -> Header {
        Header { length: 0, kind, flags: 0, reserved: false, stream }
    }

    fn setting(id: u16, value: u32) -> Vec<u8> {
        [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
    }

    #[test]
    fn the_first_settings_of_a_browser_are_usual_and_made_up_ones_are_not() {
        let holds = |payload: &[u8]| Usual::default().holds(&header(Kind::Settings, 0), payload, 0);
        let browser =
            [setting(1, 65_536), setting(2, 0), setting(4, 6_291_456), setting(6, 262_144)].concat();
        assert!(holds(&browser) && holds(&[]));
        assert!(!holds(&setting(4, 0x3836_3736)), "digits");
        assert!(!holds(&setting(0x3836, 0)), "a number of no setting");
        assert!(!holds(&[setting(4, 65_535), setting(4, 65_536)].concat()), "one setting twice");
        assert!(!holds(&[setting(4, 65_535), setting(3, 100)].concat()), "another order");
        assert!(!holds(&browser[..5]), "cut off");
        let mut usual = Usual::default();
        assert!(usual.holds(&header(Kind::Settings, 0), &browser, 0));
        assert!(!usual.holds(&header(Kind::Settings, 0), &browser, 0), "again");
    }

    #[test]
    fn a_window_is_opened_once_to_a_usual_size() {
        let holds = |stream, by: u32| {
            Usual::default().holds(&header(Kind::WindowUpdate, stream), &by.to_be_bytes(), 0)
        };
        assert!(holds(0, 15_663_105) && holds(0, 12_517_377) && holds(0, 64 << 20));
        assert!(!holds(0, 15_663_106) && !holds(1, 15_663_105) && !holds(0, 0x3836_3736));
        let mut usual = Usual::default();
        let mut again = || usual.holds(&header(Kind::WindowUpdate, 0), &(64_u32 << 20).to_be_bytes(), 0);
        assert_eq!([again(), again()], [true, false]);
    }

    #[test]
    fn ends_name_a_registered_error_and_no_text() {
        let mut usual = Usual::default();
        let reset = header(Kind::RstStream, 5);
        assert!(
            usual.holds(&reset, &8_u32.to_be_bytes(), 0) && !usual.holds(&reset, &14_u32.to_be_bytes(), 0)
        );
        let away = header(Kind::GoAway, 0);
        assert!(usual.holds(&away, &[0; 8], 0));
        assert!(!usual.holds(&away, &[0, 0, 0, 2, 0, 0, 0, 0], 0), "a stream that the server never opened");
        assert!(!usual.holds(&away, &[0; 9], 0), "debug data");
        assert!(!usual.holds(&header(Kind::Ping, 0), &[0; 8], 0));
    }

    #[test]
    fn priorities_depend_on_nothing() {
        assert!(is_usual_priority([0x80, 0, 0, 0, 255]) && is_usual_priority([0, 0, 0, 0, 15]));
        assert!(!is_usual_priority([0, 0, 0, 3, 15]) && !is_usual_priority([0, 0, 0, 0, 65]));
    }
}
