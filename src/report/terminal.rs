//! Answers for a terminal: verdicts for `run`, the answer of `find`, `explain`, `show`.
//!
//! Colour is written as ANSI escapes of [`anstyle`]; the command line strips them where they aren't
//! wanted. Text from findings passes [`printable`] first, so those are the only escapes there are.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Color, Style};

use crate::{
    evidence::{Anomaly, AnomalyKind, printable},
    findings::{
        ArtifactSummary, Control, Finding, Findings, Gate, GateState, Grade, StatisticalTest, Status,
        TestOutcome, Verdict, codes::Explanation,
    },
    report::{
        proof,
        quantity::{byte_ranges, clock, counted, frames, grouped, moment, percent, seconds},
        words,
    },
};

const STRONG: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const ALARM: Style = Style::new().bold().fg_color(Some(Color::Ansi(AnsiColor::Red)));

/// Text columns; forum pages and mails keep this many.
const WIDTH: usize = 100;
/// Characters kept of a name; longer ones are attacks on the table's shape.
const MAX_NAME: usize = 120;
/// Characters kept of a sentence.
const MAX_SENTENCE: usize = 2_000;
/// Controls that are told one by one: three classes of known artifacts over each carrier.
const MAX_CONTROLS: usize = 18;
/// Tests of volume that are told one by one.
const MAX_TESTS: usize = 6;
/// Columns that names are padded to at most.
const MAX_PADDED: usize = 40;

fn name(text: &str) -> String {
    printable(text.as_bytes(), MAX_NAME)
}

fn sentence(text: &str) -> String {
    printable(text.as_bytes(), MAX_SENTENCE)
}

fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Verdicts say nothing good or bad about anybody, so none is green or red.
fn status_style(status: Status) -> Style {
    match status {
        Status::Supported => STRONG.fg_color(Some(Color::Ansi(AnsiColor::Blue))),
        Status::Refuted => STRONG.fg_color(Some(Color::Ansi(AnsiColor::Magenta))),
        Status::Inconclusive => Style::new().fg_color(Some(Color::Ansi(AnsiColor::Yellow))),
        Status::Untestable => QUIET,
    }
}

/// The verdicts of a case, as `run` prints them.
pub fn verdicts(findings: &Findings) -> String {
    let mut text = heading(findings);
    for claim in &findings.claims {
        text.push('\n');
        verdict(&mut text, claim);
        left_open(&mut text, claim);
    }
    text.push('\n');
    outside(&mut text, findings);
    for missing in &findings.unreported {
        wrapped(&mut text, "", &sentence(&words::unreported(missing)));
    }
    gates(&mut text, &findings.gates);
    controls(&mut text, &findings.controls);
    volume(&mut text, &findings.statistics);
    hanging(&mut text, &uplink(findings));
    wrapped(&mut text, "", &words::residual(findings));
    legend(&mut text, findings);
    text
}

/// Each claim with what its verdict permits writing, as `verify` prints them.
pub fn claims(findings: &Findings) -> String {
    let mut text = String::new();
    if findings.simulated {
        let _ = writeln!(text, "{}", painted(ALARM, words::SIMULATED));
    }
    for claim in &findings.claims {
        let _ = writeln!(text, "{}", verdict_line(claim));
        wrapped(&mut text, "    ", &format!("You may write: {}", sentence(&claim.permits)));
        wrapped(&mut text, "    ", &format!("You may not write: {}", sentence(&claim.does_not_permit)));
    }
    text
}

/// Each verdict on one line, as `verify` and snapshots want it: `L2  supported (whole file)`.
pub fn verdict_line(verdict: &Verdict) -> String {
    format!("{}  {}", name(&verdict.id), sentence(&words::status(verdict)))
}

fn heading(findings: &Findings) -> String {
    let mut text = String::new();
    if findings.simulated {
        let _ = writeln!(text, "{}", painted(ALARM, words::SIMULATED));
    }
    let _ = writeln!(text, "{}  {}", painted(STRONG, &name(&findings.case)), sentence(&findings.title));
    let _ = writeln!(text, "{}", sentence(&words::subject(findings)));
    not_whole(&mut text, findings);
    text
}

/// Captures that do not hold all that passed: what is missing could be the thing looked for.
fn not_whole(text: &mut String, findings: &Findings) {
    let of_the_file = |anomaly: &&Anomaly| {
        matches!(
            anomaly.kind,
            AnomalyKind::CaptureCutOff
                | AnomalyKind::ContainerDamaged
                | AnomalyKind::CompressionDamaged
                | AnomalyKind::NoPackets
                | AnomalyKind::PacketsDropped
        )
    };
    let lines: Vec<&Anomaly> = findings.anomalies.iter().filter(of_the_file).collect();
    for anomaly in lines.iter().take(LISTED) {
        let line = format!("{} is not whole: {}", name(&anomaly.capture), sentence(&anomaly.detail));
        wrapped(text, "", &line);
    }
    if lines.len() > LISTED {
        let _ = writeln!(text, "and {} more such remarks", lines.len() - LISTED);
    }
}

/// One verdict, and what would have to be missing for it to fall, as `show` prints them.
pub fn claim(findings: &Findings, claim: &Verdict) -> String {
    let mut text = heading(findings);
    text.push('\n');
    verdict(&mut text, claim);
    for open in &claim.left_open {
        wrapped(
            &mut text,
            "    ",
            &format!("left open: {} [{}]", sentence(&words::left_open(open)), name(&open.code)),
        );
    }
    wrapped(&mut text, "    ", &sentence(&words::challenge(claim)));
    text
}

fn verdict(text: &mut String, verdict: &Verdict) {
    let status = painted(status_style(verdict.status), &sentence(&words::status(verdict)));
    let _ = writeln!(text, "{}  {status}", painted(STRONG, &name(&verdict.id)));
    let by = verdict.by.as_deref().map(|by| format!("{} says: ", name(by))).unwrap_or_default();
    wrapped(text, "    ", &format!("{by}“{}”", sentence(&verdict.says)));
    if verdict.status == Status::Untestable {
        for part in &verdict.not_covered {
            wrapped(text, "    ", &format!("not covered: {}", sentence(&part.reason)));
        }
        return;
    }
    wrapped(text, "    ", &format!("tested: {}", sentence(&verdict.reading)));
    wrapped(text, "    ", &format!("scope: {}", sentence(&words::scope(verdict))));
    if verdict.grade.is_some() && !verdict.reasons.is_empty() {
        wrapped(text, "    ", &format!("beside it: {}", sentence(&verdict.reasons.join(", "))));
    }
    let carriers: Vec<String> =
        verdict.findings.iter().chain(&verdict.endpoints).map(|id| name(id)).collect();
    if !carriers.is_empty() {
        wrapped(text, "    ", &format!("rests on: {}", some(&carriers)));
    }
    if !verdict.permits.is_empty() {
        wrapped(text, "    ", &format!("you may write: “{}”", sentence(&verdict.permits)));
    }
    if !verdict.does_not_permit.is_empty() {
        wrapped(text, "    ", &format!("you may not write: “{}”", sentence(&verdict.does_not_permit)));
    }
    if !verdict.not_covered.is_empty() {
        let parts: Vec<String> = verdict.not_covered.iter().map(|part| sentence(&part.part)).collect();
        wrapped(text, "    ", &format!("not covered: {}", parts.join("; ")));
    }
}

/// The codes of what a verdict leaves open. Of an open verdict both answers are, which its status says.
fn left_open(text: &mut String, verdict: &Verdict) {
    if !verdict.left_open.is_empty() && verdict.status != Status::Inconclusive {
        let codes: Vec<String> = verdict.left_open.iter().map(|open| name(&open.code)).collect();
        wrapped(text, "    ", &format!("left open: {}", codes.join(", ")));
    }
}

/// What was found between runs: no claim rests on it, and "not observed" would otherwise be all that is said.
fn outside(text: &mut String, findings: &Findings) {
    let named = |finding: &Finding| {
        format!("{} {} ({})", name(&finding.id), name(&finding.artifact), sentence(&words::extent(finding)))
    };
    let all: Vec<String> = findings.findings.iter().filter(|one| one.phase.is_empty()).map(named).collect();
    if !all.is_empty() {
        wrapped(text, "", &format!("found {}, so no claim rests on it: {}", words::OUTSIDE, some(&all)));
    }
}

/// Items that a line lists before it counts the rest.
const LISTED: usize = 6;

fn some(items: &[String]) -> String {
    let mut text = items.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if items.len() > LISTED {
        let _ = write!(text, " and {} more", items.len() - LISTED);
    }
    text
}

/// Controls; of many those that failed.
fn controls(text: &mut String, controls: &[Control]) {
    let few = controls.len() <= MAX_CONTROLS;
    for control in
        controls.iter().filter(|control| few || control.state != GateState::Held).take(MAX_CONTROLS)
    {
        wrapped(text, "", &format!("control {}: {}", name(&control.id), sentence(&control.figure)));
    }
    let held = controls.iter().filter(|control| control.state == GateState::Held).count();
    if !few {
        wrapped(text, "", &format!("controls: {held} of {} held", controls.len()));
    }
}

/// Tests of volume; what came of those that carry a verdict stands there.
fn volume(text: &mut String, tests: &[StatisticalTest]) {
    let told = || tests.iter().filter(|test| test.outcome != TestOutcome::Significant);
    for test in told().take(MAX_TESTS) {
        let line = format!(
            "volume to {} behind {} in {}, {}: {}",
            name(&test.destination),
            name(&test.action),
            name(&test.phase),
            words::test_outcome(test),
            sentence(&words::test(test))
        );
        wrapped(text, "", &line);
    }
    let more = told().count().saturating_sub(MAX_TESTS);
    if more > 0 {
        wrapped(text, "", &format!("{more} more tests of volume stand in findings.json"));
    }
}

fn gates(text: &mut String, gates: &[Gate]) {
    for gate in gates.iter().filter(|gate| gate.state == GateState::Failed) {
        let line =
            format!("gate {} failed in {}: {}", name(&gate.id), name(&gate.phase), sentence(&gate.figure));
        wrapped(text, "", &line);
    }
    let mut unchecked: Vec<String> = gates
        .iter()
        .filter(|gate| gate.state == GateState::NotCheckable)
        .map(|gate| name(&gate.id))
        .collect();
    unchecked.sort_unstable();
    unchecked.dedup();
    if !unchecked.is_empty() {
        wrapped(text, "", &format!("gates that could not be checked: {}", unchecked.join(", ")));
    }
}

fn uplink(findings: &Findings) -> String {
    let all = findings.ledger.all;
    let parts: Vec<String> = words::places(all)
        .iter()
        .map(|place| format!("{} {} ({})", place.name, grouped(place.bytes), percent(place.bytes, all.total)))
        .collect();
    format!("uplink {}: {}", counted(all.total, "byte"), parts.join(", "))
}

fn legend(text: &mut String, findings: &Findings) {
    let reasons = words::reasons(findings);
    if !reasons.is_empty() {
        text.push('\n');
    }
    for reason in reasons {
        hanging(text, &sentence(&words::code(reason)));
    }
}

/// The answer of `find`: one line for each file that left, one for all others.
pub fn found(findings: &Findings) -> String {
    let mut text = String::new();
    if findings.simulated {
        let _ = writeln!(text, "{}", painted(ALARM, words::SIMULATED));
    }
    let guessed = findings.subject.bound_by != "declared";
    let _ = writeln!(
        text,
        "phone {} ({}{})",
        if findings.subject.addresses.is_empty() {
            "not told apart".to_owned()
        } else {
            findings.subject.addresses.iter().map(|address| name(address)).collect::<Vec<_>>().join(", ")
        },
        // There is no scenario that could have declared it.
        if guessed { name(&words::bound_by(&findings.subject.bound_by)) } else { "as given".to_owned() },
        if guessed { "; --phone to change" } else { "" },
    );
    not_whole(&mut text, findings);
    let seen: Vec<&Finding> =
        findings.findings.iter().filter(|finding| words::sent(finding).next().is_some()).collect();
    let width = seen.iter().map(|finding| name(&finding.artifact).chars().count()).max().unwrap_or(0);
    for finding in &seen {
        found_line(&mut text, findings, finding, width.min(MAX_PADDED));
    }
    text.push_str(&others(findings, &seen));
    text
}

fn found_line(text: &mut String, findings: &Findings, finding: &Finding, width: usize) {
    let what = match finding.grade {
        Grade::Exact if !finding.probative => "whole file, perhaps by luck".to_owned(),
        _ if !finding.probative => "possible match".to_owned(),
        Grade::Exact => "whole file sent".to_owned(),
        Grade::Partial => format!(
            "part sent: bytes {} of {} ({})",
            byte_ranges(&finding.artifact_ranges),
            grouped(finding.artifact_bytes),
            percent(finding.matched_bytes, finding.artifact_bytes),
        ),
        Grade::Record | Grade::Identifier if words::is_hash(finding) => "its hash sent".to_owned(),
        Grade::Record | Grade::Identifier => "value sent".to_owned(),
        Grade::Derived => "altered copy sent".to_owned(),
        Grade::Statistical => "size and time fit".to_owned(),
    };
    let when = words::sent(finding).next().map(|part| clock(part.first)).unwrap_or_default();
    let carried: Vec<_> = words::sent(finding).flat_map(|part| part.frames.iter().copied()).collect();
    let _ = writeln!(
        text,
        "{:width$}   {}   {}   {when} UTC   frames {}",
        name(&finding.artifact),
        painted(STRONG, &what),
        destination(findings, finding),
        frames(&carried),
    );
    let copies: Vec<String> = copies(findings, finding).map(|copy| name(&copy.name)).collect();
    if !copies.is_empty() {
        wrapped(text, "    ", &format!("the same content: {}", some(&copies)));
    }
    if !finding.probative {
        let _ =
            writeln!(text, "    not probative (chance {}): it may be there by luck", name(&finding.chance));
    }
    for caveat in finding.caveats.iter().filter(|caveat| finding.probative || *caveat != "not_probative") {
        wrapped(text, "    ", &format!("but {}", sentence(&words::code(caveat))));
    }
}

/// Other files with the content of a finding's.
fn copies<'a>(findings: &'a Findings, finding: &'a Finding) -> impl Iterator<Item = &'a ArtifactSummary> {
    let digest = |name: &str| findings.artifacts.iter().find(|artifact| artifact.name == name)?.sha256;
    let content = digest(&finding.artifact);
    findings
        .artifacts
        .iter()
        .filter(move |other| content.is_some() && other.sha256 == content && other.name != finding.artifact)
}

fn destination(findings: &Findings, finding: &Finding) -> String {
    let ends = words::endpoints(findings, finding);
    match ends.as_slice() {
        [] => name(&finding.destination),
        [end, rest @ ..] => {
            let names: Vec<String> =
                end.names.iter().filter_map(|host| host.split(" (").next()).map(name).collect();
            let mut text = name(&words::socket(end));
            if let Some(first) = names.first() {
                let _ = write!(text, " ({first})");
            }
            if !rest.is_empty() {
                let _ = write!(text, " and {} more", rest.len());
            }
            text
        }
    }
}

/// What was looked for and not seen, and what that is worth.
fn others(findings: &Findings, seen: &[&Finding]) -> String {
    // A copy of what was sent was sent.
    let known = |artifact: &&ArtifactSummary| {
        let same = |finding: &&Finding| {
            finding.artifact == artifact.name
                || copies(findings, finding).any(|copy| copy.name == artifact.name)
        };
        seen.iter().any(same)
    };
    let unseen: Vec<_> = findings.artifacts.iter().filter(|artifact| !known(artifact)).collect();
    let note = words::not_the_same_as_not_sent(findings.ledger.all);
    let noun = match (unseen.len(), unseen.iter().all(|artifact| artifact.kind == "photo")) {
        (0, _) if seen.is_empty() => return "no files were given to look for\n".to_owned(),
        (0, _) => return String::new(),
        (_, true) => "photo",
        (_, false) if unseen.iter().all(|artifact| artifact.kind == "identifier") => "identifier",
        (_, false) => "file",
    };
    let count = u64::try_from(unseen.len()).unwrap_or(u64::MAX);
    let other = if seen.is_empty() { "" } else { "other " };
    let counted = counted(count, &format!("{other}{noun}"));
    let mut text = String::new();
    wrapped(&mut text, "", &format!("{counted}: not seen; {note}"));
    text
}

/// What `explain CODE` answers.
pub fn explanation(explanation: &Explanation) -> String {
    let mut text = format!("{}  ({})\n", painted(STRONG, explanation.name), explanation.kind.words());
    wrapped(&mut text, "    ", explanation.means);
    if !explanation.mend.is_empty() {
        wrapped(&mut text, "    ", explanation.mend);
    }
    text
}

/// `in stock`, `outside any run`.
fn phase(finding: &Finding) -> String {
    let within = if finding.phase.is_empty() { "" } else { "in " };
    format!("{within}{}", name(words::phase(finding)))
}

/// Findings one a line, as `show BUNDLE` lists them.
pub fn list(findings: &Findings) -> String {
    let mut text = heading(findings);
    text.push('\n');
    if findings.findings.is_empty() {
        wrapped(&mut text, "", &format!("no findings. {}", words::residual(findings)));
    }
    for finding in &findings.findings {
        let _ = writeln!(
            text,
            "{}  {}  {}  {}  to {}{}",
            painted(STRONG, &name(&finding.id)),
            name(&finding.artifact),
            sentence(&words::extent(finding)),
            phase(finding),
            destination(findings, finding),
            if finding.probative { "" } else { "  (not probative)" },
        );
    }
    text
}

/// One finding with its proof. `bytes` gives bytes of the artifact, where its caller has them, to be set beside
/// the excerpt of what was sent.
pub fn finding(
    findings: &Findings,
    finding: &Finding,
    bytes: &dyn Fn(&proof::Wanted<'_>) -> Option<Vec<u8>>,
) -> String {
    let mut text = heading(findings);
    let _ =
        writeln!(text, "\n{}  {}", painted(STRONG, &name(&finding.id)), sentence(&words::extent(finding)));
    let mut row = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<12}{value}");
    };
    row("artifact", &name(&finding.artifact));
    row("seen", &proof::coverage(finding));
    if let Some(digest) = finding.sha256 {
        row("sha256", &digest.to_string());
    }
    row("phase", &name(words::phase(finding)));
    row("to", &destination(findings, finding));
    for end in words::endpoints(findings, finding) {
        row("", &sentence(&words::registration(end)));
    }
    row(
        "chance",
        &format!(
            "{}{}",
            sentence(&words::chance(finding)),
            if finding.probative { "" } else { " (not probative)" }
        ),
    );
    for caveat in &finding.caveats {
        hanging(&mut text, &format!("  caveat      {}", sentence(&words::code(caveat))));
    }
    let shown = words::sent(finding).take(proof::PARTS_SHOWN);
    for (index, part) in shown.enumerate() {
        let _ = writeln!(text, "\npart {}  {}", index + 1, name(&part.flow));
        part_rows(&mut text, finding, part);
        excerpts(&mut text, finding, part, bytes);
    }
    let more = words::sent(finding).count().saturating_sub(proof::PARTS_SHOWN);
    if more > 0 {
        let _ = writeln!(text, "\nand {more} more parts (`--format json` lists them)");
    }
    let _ = writeln!(text, "\nby hand");
    for command in proof::commands(findings, finding) {
        let _ = writeln!(text, "  # {}\n  {}", sentence(&command.shows), command.line);
    }
    text
}

fn part_rows(text: &mut String, finding: &Finding, part: &crate::findings::Part) {
    let mut row = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<12}{value}");
    };
    row("capture", &name(&part.capture));
    row("frames", &frames(&part.frames));
    row("filter", &sentence(&part.filter));
    row("time", &format!("{} to {}", moment(part.first), moment(part.last)));
    if let (Some(action), Some(after)) = (&part.action, part.after_ms) {
        row("after", &format!("{} (action {})", seconds(after), name(action)));
    }
    for (index, line) in proof::way(finding, part).iter().enumerate() {
        row(if index == 0 { "steps" } else { "" }, &sentence(line));
    }
}

/// Bytes on one line of a hex listing.
const HEX_LINE: usize = 32;

fn excerpts(
    text: &mut String,
    finding: &Finding,
    part: &crate::findings::Part,
    bytes: &dyn Fn(&proof::Wanted<'_>) -> Option<Vec<u8>>,
) {
    let Some(sent) = crate::evidence::hex_bytes(&part.excerpt).filter(|sent| !sent.is_empty()) else {
        return;
    };
    let wanted = proof::Wanted { finding, offset: part.artifact_range.start, length: sent.len() };
    let held = bytes(&wanted);
    for (index, line) in sent.chunks(HEX_LINE).enumerate() {
        let start = index * HEX_LINE;
        let _ = writeln!(text, "  sent        {}", crate::evidence::hex(line));
        let Some(held) = &held else { continue };
        let other = held.get(start..held.len().min(start + line.len())).unwrap_or_default();
        let verdict = if other == line { "same" } else { "DIFFERS" };
        let _ = writeln!(text, "  artifact    {}  {verdict}", crate::evidence::hex(other));
    }
    if held.is_none() {
        let _ = writeln!(text, "  artifact    not at hand");
    }
}

/// Writes a paragraph under one indent.
fn wrapped(text: &mut String, indent: &str, paragraph: &str) {
    let deeper = format!("{indent}{}", if indent.is_empty() { "" } else { "  " });
    wrap(text, indent, &deeper, paragraph);
}

/// Writes a paragraph whose later lines hang.
fn hanging(text: &mut String, paragraph: &str) {
    wrap(text, "", "    ", paragraph);
}

/// Breaks at spaces; a word longer than a line stands alone.
fn wrap(text: &mut String, first: &str, later: &str, paragraph: &str) {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in paragraph.split(' ') {
        let length = line.chars().count() + usize::from(!empty) + word.chars().count();
        if !empty && length > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            line = later.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}
