//! `inspect` on a terminal of 80 columns: no line of any real capture is wider, and of each message it is shown how it begins.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::{io, path::Path};

use exhibit::{
    case::{Case, Parts, folder::Disk},
    engine,
    evidence::{Limits, Scratch},
    findings::inspection::{End, Head, Message, Part, View},
    report::inspection::{Follow, Sheet},
};
use unicode_width::UnicodeWidthStr as _;

mod support;
use support::captures;

const COLUMNS: usize = 80;

/// Flows of one capture that are followed: captures of scans have thousands that differ in nothing.
const MAX_FOLLOWED: usize = 300;

/// What a capture shows: its sheet, and each flow followed.
#[derive(Default)]
struct Shown {
    sheet: Sheet,
    followed: Vec<String>,
    messages: Vec<Message>,
}

impl View for Shown {
    fn head(&mut self, head: &Head) -> io::Result<()> {
        self.sheet.head(head)
    }

    fn part(&mut self, part: &Part) -> io::Result<()> {
        self.sheet.part(part)?;
        self.messages.extend(part.messages.iter().take(1_000).cloned());
        let Some(flow) = part.flows.first().filter(|_| self.followed.len() < MAX_FOLLOWED) else {
            return Ok(());
        };
        let mut follow = Follow::new(flow.first_frame);
        follow.part(part)?;
        self.followed.push(follow.text(Some(COLUMNS)).unwrap());
        Ok(())
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        self.sheet.end(end)
    }
}

fn shown(folder: &Path, name: &str) -> Option<Shown> {
    let scratch = Scratch::new(std::env::temp_dir());
    let parts = Parts { captures: vec![name.to_owned()], ..Parts::default() };
    let case = Case::from_parts(&Disk::new(folder), parts, &scratch).ok()?;
    let mut shown = Shown::default();
    engine::inspect(&case, &Limits::default(), &mut shown).ok()?;
    Some(shown)
}

/// The captures that stand in the folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let is_capture = |name: &String| {
        [".pcap", ".pcapng", ".cap", ".pcap.gz", ".pcapng.gz"].iter().any(|end| name.ends_with(end))
    };
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> =
        entries.filter_map(|name| name.into_string().ok()).filter(is_capture).collect();
    names.sort();
    names
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let Some(folder) = captures() else { return };
    let (mut seen, mut wide) = (0, Vec::new());
    for name in names(&folder) {
        let Some(shown) = shown(&folder, &name) else { continue };
        seen += 1;
        for text in std::iter::once(shown.sheet.text(Some(COLUMNS))).chain(shown.followed) {
            let plain = anstream::adapter::strip_str(&text).to_string();
            let too = plain.lines().filter(|line| line.width() > COLUMNS);
            wide.extend(too.map(|line| format!("{name}: {} {line}", line.width())));
        }
    }
    assert!(seen > 200, "{seen} captures");
    assert!(
        wide.is_empty(),
        "{} lines, such as\n{}",
        wide.len(),
        wide.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
}

/// What TShark 4 says of frames of data (`websocket.payload.text`), or in which frame a message is compressed or binary.
#[test]
fn messages_show_how_they_begin() {
    let Some(folder) = captures() else { return };
    let begins = |name: &str, frame: u32| {
        let shown = shown(&folder, name).unwrap();
        let message = shown.messages.into_iter().find(|one| {
            one.protocol == "websocket" && one.frame.is_some_and(|at| at.to_string() == frame.to_string())
        });
        message.and_then(|message| message.begins).unwrap()
    };
    let hello = begins("arkime__websocket.pcap", 14);
    assert_eq!((hello.text.as_deref(), hello.len, hello.cut), (Some("hello websocket"), 15, false));
    assert_eq!(hello.hex, "68656c6c6f20776562736f636b6574");
    // Compressed on the wire, and longer than what is shown.
    let request = begins("wireshark44__websocket-compressed.pcapng.gz", 8);
    let text = "{\"type\":\"request\",\"data\":\"38574454358372973073871532252879404428";
    assert_eq!((request.text.as_deref(), request.len, request.cut), (text.get(..64), 64, true));
    let shown = shown(&folder, "arkime__websocket.pcap").unwrap();
    let all = shown.followed.concat();
    assert!(all.contains("begins \"hello websocket\""), "{all}");
}
