//! Small drawings for the page: the ledger as a bar, an artifact's ranges, a run as a time line.
//!
//! Shapes are rectangles on a scale that stretches with the page; all words stand in the page itself and in
//! each drawing's title and description, so nothing is told by a drawing alone.

use askama::Template;

use crate::{
    evidence::Timestamp,
    findings::{Finding, Findings, Places, RunSummary},
    report::{
        quantity::{byte_ranges, clock, counted, percent, scaled, seconds},
        words,
    },
};

/// Units across; shapes round down to one of them.
const WIDTH: u32 = 1_000;
/// Units that anything present is wide at least, so that it can be seen.
const VISIBLE: u32 = 3;
/// Shapes in one drawing: more can't be told apart at this width.
const MAX_SHAPES: usize = 2_000;

/// One drawing.
#[derive(Template)]
#[template(path = "drawing.svg", config = "src/report/askama.toml")]
pub(super) struct Drawing {
    title: String,
    description: String,
    height: u32,
    shapes: Vec<Shape>,
}

/// One rectangle. `class` is one of the style's own names.
struct Shape {
    class: &'static str,
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    words: String,
}

/// The five places of the ledger side by side.
pub(super) fn places(of: &str, bytes: Places) -> Drawing {
    let mut shapes = Vec::new();
    let mut before = 0_u64;
    let described: Vec<String> = words::places(bytes)
        .iter()
        .map(|place| format!("{} {}", place.name, percent(place.bytes, bytes.total)))
        .collect();
    for place in words::places(bytes) {
        let x = scaled(before, bytes.total, WIDTH);
        before = before.saturating_add(place.bytes);
        let end = scaled(before, bytes.total, WIDTH);
        if place.bytes > 0 {
            let width = end.saturating_sub(x).max(VISIBLE);
            let words = format!("{}: {}", place.name, counted(place.bytes, "byte"));
            shapes.push(Shape {
                class: place.name,
                x: x.min(WIDTH - VISIBLE),
                y: 0,
                width,
                height: 20,
                words,
            });
        }
    }
    Drawing {
        title: format!("Uplink bytes by place: {of}"),
        description: format!("{} of {}", described.join(", "), counted(bytes.total, "byte")),
        height: 20,
        shapes,
    }
}

/// Which bytes of an artifact were seen.
pub(super) fn ranges(finding: &Finding) -> Drawing {
    let total = finding.artifact_bytes;
    let shapes = finding.artifact_ranges.iter().take(MAX_SHAPES).map(|range| {
        let x = scaled(range.start, total, WIDTH).min(WIDTH - VISIBLE);
        let width = scaled(range.end, total, WIDTH).saturating_sub(x).max(VISIBLE);
        Shape {
            class: "matched",
            x,
            y: 0,
            width,
            height: 16,
            words: format!("bytes {}", byte_ranges(&[*range])),
        }
    });
    Drawing {
        title: format!("Which bytes of {} were seen", finding.artifact),
        description: format!("bytes {} of {}", byte_ranges(&finding.artifact_ranges), counted(total, "byte")),
        height: 16,
        shapes: shapes.collect(),
    }
}

/// When a run began and ended, as far as its captures, actions and windows tell.
pub(super) fn span(findings: &Findings, run: &RunSummary) -> (Option<Timestamp>, Timestamp) {
    let captures = findings.captures.iter().filter(|capture| capture.runs.contains(&run.id));
    let mut times: Vec<Timestamp> =
        captures.flat_map(|capture| [capture.first, capture.last]).flatten().collect();
    times.extend(run.actions.iter().flat_map(|action| [action.start, action.end]));
    times.extend(run.windows.iter().flat_map(|window| [window.start, window.end]));
    (times.iter().min().copied(), times.iter().max().copied().unwrap_or_default())
}

/// One run from its start to its end: windows below (idle ones half as high), actions and uploads as marks.
pub(super) fn run(findings: &Findings, run: &RunSummary) -> Drawing {
    let (start, end) = span(findings, run);
    let start = start.unwrap_or_default();
    let total = end.0.saturating_sub(start.0);
    let at = |time: Timestamp| scaled(time.0.saturating_sub(start.0), total, WIDTH).min(WIDTH - VISIBLE);
    let mut shapes = Vec::new();
    for window in &run.windows {
        let (x, height) = (at(window.start), if window.idle { 9 } else { 18 });
        let width = at(window.end).saturating_sub(x).max(VISIBLE);
        let what = if window.idle { "idle window" } else { "window" };
        let words = format!("{what} {}, {} to {}", window.id, clock(window.start), clock(window.end));
        shapes.push(Shape { class: "window", x, y: 28 - height, width, height, words });
    }
    for action in &run.actions {
        let words = format!("{} ({}) at {}", action.id, action.verb, clock(action.start));
        shapes.push(Shape { class: "action", x: at(action.start), y: 4, width: VISIBLE, height: 24, words });
    }
    let mut uploads = 0_u64;
    for finding in &findings.findings {
        for part in words::sent(finding).filter(|part| part.run.as_ref() == Some(&run.id)) {
            uploads += 1;
            let after = part
                .after_ms
                .map(|after| format!(", {} after the action", seconds(after)))
                .unwrap_or_default();
            let words = format!("{} seen at {}{after}", finding.artifact, clock(part.first));
            let width = at(part.last).saturating_sub(at(part.first)).max(2 * VISIBLE);
            shapes.push(Shape { class: "upload", x: at(part.first), y: 0, width, height: 12, words });
        }
    }
    shapes.truncate(MAX_SHAPES);
    let count = |number: usize, noun: &str| counted(u64::try_from(number).unwrap_or(u64::MAX), noun);
    Drawing {
        title: format!("Time line of {}", run.id),
        description: format!(
            "{}, {}, {} seen",
            count(run.actions.len(), "action"),
            count(run.windows.len(), "window"),
            counted(uploads, "upload")
        ),
        height: 28,
        shapes,
    }
}
