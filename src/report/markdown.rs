//! The report as Markdown (CommonMark with tables), for forums and repositories.

use std::fmt::Write as _;

use crate::{
    evidence::is_deceptive,
    findings::{Finding, Findings, GateState, LedgerRow, Places, Status, Verdict},
    report::{
        Provenance, proof,
        quantity::{counted, frames, grouped, moment, percent, seconds},
        words,
    },
};

/// Rows that a table prints; `findings.json` holds the rest.
const MAX_ROWS: usize = 200;

/// Renders the report.
pub fn markdown(findings: &Findings, provenance: &Provenance) -> String {
    let mut page = String::new();
    heading(&mut page, findings, provenance);
    verdict_table(&mut page, findings);
    findings.claims.iter().for_each(|claim| verdict(&mut page, claim));
    reasons(&mut page, findings);
    found(&mut page, findings);
    ledger(&mut page, findings);
    gates(&mut page, findings);
    volume(&mut page, findings);
    runs(&mut page, findings);
    endpoints(&mut page, findings);
    captures(&mut page, findings);
    anomalies(&mut page, findings);
    settings(&mut page, findings);
    page
}

fn heading(page: &mut String, findings: &Findings, provenance: &Provenance) {
    line(page, &format!("# {}\n", escape(&findings.title)));
    if findings.simulated {
        line(page, &format!("> **{}**\n", escape(words::SIMULATED)));
    }
    line(page, &format!("> {}\n", escape(&words::standing(provenance))));
    if let Provenance::Verified { checks, .. } = provenance {
        for check in checks {
            line(page, &format!("> - {}: {}", escape(&check.name), escape(&check.words)));
        }
        line(page, "");
    }
    line(page, &format!("- Case: {}", code(&findings.case)));
    line(page, &format!("- Phone: {}", escape(&words::subject(findings))));
    if let Some(point) = &findings.subject.captured_at {
        let blind = match findings.subject.blind_to.as_slice() {
            [] => String::new(),
            links => format!("; blind to {}", links.join(", ")),
        };
        line(page, &format!("- Captured at: {}", escape(&format!("{point}{blind}"))));
    }
    if let Some(reply) = &findings.reply {
        line(page, &format!("- Before publication: {}", escape(&words::reply(reply))));
    }
    line(page, &format!("- {}\n", escape(&words::residual(findings))));
}

fn verdict_table(page: &mut String, findings: &Findings) {
    line(page, "## Verdicts\n");
    if findings.claims.is_empty() {
        line(page, "No claims were put to the test.\n");
        return;
    }
    line(page, "| claim | by | words | verdict |\n|---|---|---|---|");
    for claim in &findings.claims {
        row(
            page,
            &[
                escape(&claim.id),
                escape(claim.by.as_deref().unwrap_or("–")),
                format!("“{}”", escape(&claim.says)),
                format!("**{}**", escape(&words::status(claim))),
            ],
        );
    }
    line(page, "");
}

fn verdict(page: &mut String, claim: &Verdict) {
    line(page, &format!("### {}: {}\n", escape(&claim.id), escape(&words::status(claim))));
    let item = |page: &mut String, label: &str, text: &str| line(page, &format!("- {label}: {text}"));
    item(page, "Words", &format!("“{}”", escape(&claim.says)));
    if claim.status != Status::Untestable {
        item(page, "What was tested", &escape(&claim.reading));
        item(page, "Scope", &escape(&words::scope(claim)));
    }
    if !claim.reasons.is_empty() {
        let codes: Vec<String> = claim.reasons.iter().map(|reason| code(reason)).collect();
        item(page, "Reasons", &codes.join(", "));
    }
    if !claim.findings.is_empty() || !claim.endpoints.is_empty() {
        let carriers: Vec<String> =
            claim.findings.iter().chain(&claim.endpoints).map(|id| code(id)).collect();
        item(page, "Rests on", &carriers.join(", "));
    }
    for (key, value) in &claim.figures {
        item(page, &format!("Figure {}", code(key)), &escape(value));
    }
    if !claim.permits.is_empty() {
        item(page, "**You may write**", &format!("“{}”", escape(&claim.permits)));
    }
    if !claim.does_not_permit.is_empty() {
        item(page, "**You may not write**", &format!("“{}”", escape(&claim.does_not_permit)));
    }
    for part in &claim.not_covered {
        let how = if part.test_by.is_empty() {
            String::new()
        } else {
            format!("; {} could show it", escape(&part.test_by))
        };
        item(page, "Not covered", &format!("{} ({}{how})", escape(&part.part), escape(&part.reason)));
    }
    for open in &claim.left_open {
        item(page, "Left open", &format!("{}: {}", code(&open.code), escape(&words::left_open(open))));
    }
    item(page, "What would change it", &escape(&words::challenge(claim)));
    if claim.status != Status::Untestable && !claim.scope.not_checkable.is_empty() {
        item(page, "Gates that could not be checked", &escape(&claim.scope.not_checkable.join(", ")));
    }
    line(page, "");
}

fn reasons(page: &mut String, findings: &Findings) {
    let reasons = words::reasons(findings);
    if reasons.is_empty() {
        return;
    }
    line(page, "### Reasons in plain words\n");
    for reason in reasons {
        line(page, &format!("- {}", escape(&words::code(reason))));
    }
    line(page, "");
}

fn found(page: &mut String, findings: &Findings) {
    line(page, "## What was found\n");
    line(page, &format!("{}\n", escape(words::NOT_FOUND)));
    for finding in findings.findings.iter().take(MAX_ROWS) {
        finding_section(page, findings, finding);
    }
    cut(page, findings.findings.len(), "findings");
}

fn finding_section(page: &mut String, findings: &Findings, finding: &Finding) {
    line(page, &format!("### {}: {}\n", escape(&finding.id), escape(&finding.artifact)));
    let item = |page: &mut String, label: &str, text: &str| line(page, &format!("- {label}: {text}"));
    item(page, "Seen", &format!("**{}**, {}", escape(&words::extent(finding)), proof::coverage(finding)));
    if let Some(digest) = finding.sha256 {
        item(page, "SHA-256 of the artifact", &code(&digest.to_string()));
    }
    item(page, "Phase", &escape(words::phase(finding)));
    item(page, "Sent to", &escape(&finding.destination));
    for end in words::endpoints(findings, finding) {
        let names = if end.names.is_empty() { String::new() } else { format!(" ({})", end.names.join(", ")) };
        item(
            page,
            "Endpoint",
            &escape(&format!("{}{names}, {}", words::socket(end), words::registration(end))),
        );
    }
    item(page, "Wrapped in", &escape(&finding.encoding));
    let probative = if finding.probative { "" } else { "; **not probative**" };
    item(page, "By chance", &format!("{}{probative}", escape(&words::chance(finding))));
    for caveat in &finding.caveats {
        item(page, "**Caveat**", &escape(&words::code(caveat)));
    }
    for part in words::sent(finding).take(proof::PARTS_SHOWN) {
        let after = match (&part.action, part.after_ms) {
            (Some(action), Some(after)) => format!(", {} after {}", seconds(after), escape(action)),
            _ => String::new(),
        };
        item(
            page,
            "Sent",
            &format!(
                "{}{after}, in {} frames {}, filter {}",
                moment(part.first),
                code(&part.capture),
                frames(&part.frames),
                code(&part.filter)
            ),
        );
        for step in proof::way(finding, part) {
            line(page, &format!("  - {}", escape(&step)));
        }
    }
    let more = words::sent(finding).count().saturating_sub(proof::PARTS_SHOWN);
    if more > 0 {
        item(page, "Sent", &format!("and in {more} more parts, listed in findings.json"));
    }
    line(page, "\nTo check by hand:\n");
    line(page, &fenced(&proof::commands(findings, finding)));
}

fn fenced(commands: &[proof::Command]) -> String {
    let mut text = String::from("```sh\n");
    for command in commands {
        // The fence can't be closed from inside: deceptive characters, line ends among them, are escaped, each
        // line starts with `#` or a command, and shell words hold no backtick.
        let _ = writeln!(text, "# {}\n{}", plain(&command.shows), command.line);
    }
    text.push_str("```\n");
    text
}

fn ledger(page: &mut String, findings: &Findings) {
    line(page, "## Where each uplink byte is accounted for\n");
    line(page, "| place | bytes | share | meaning |\n|---|--:|--:|---|");
    let all = findings.ledger.all;
    for place in words::places(all) {
        let means = crate::findings::codes::explain(place.name).map_or("", |explanation| explanation.means);
        row(
            page,
            &[place.name.to_owned(), grouped(place.bytes), percent(place.bytes, all.total), escape(means)],
        );
    }
    row(page, &["**all**".to_owned(), grouped(all.total), percent(all.total, all.total), String::new()]);
    line(page, "");
    ledger_rows(page, "phase", &findings.ledger.by_phase);
    ledger_rows(page, "destination", &findings.ledger.by_destination);
}

fn ledger_rows(page: &mut String, of: &str, rows: &[LedgerRow]) {
    if rows.is_empty() {
        return;
    }
    line(
        page,
        &format!(
            "| {of} | matched | understood | undetermined | opaque | lost | all |\n|---|--:|--:|--:|--:|--:|--:|"
        ),
    );
    for LedgerRow { of, bytes } in rows.iter().take(MAX_ROWS) {
        let Places { matched, understood, undetermined, opaque, lost, total, .. } = *bytes;
        let cells = [matched, understood, undetermined, opaque, lost, total].map(grouped);
        row(page, &[vec![escape(of)], cells.to_vec()].concat());
    }
    line(page, "");
    cut(page, rows.len(), "rows");
}

fn gates(page: &mut String, findings: &Findings) {
    line(page, "## Gates and controls\n");
    line(page, "| gate | phase | state | figure |\n|---|---|---|---|");
    for gate in findings.gates.iter().take(MAX_ROWS) {
        row(page, &[code(&gate.id), escape(&gate.phase), state(gate.state).to_owned(), escape(&gate.figure)]);
    }
    for control in findings.controls.iter().take(MAX_ROWS) {
        row(
            page,
            &[code(&control.id), "–".to_owned(), state(control.state).to_owned(), escape(&control.figure)],
        );
    }
    line(page, "");
    cut(page, findings.gates.len().max(findings.controls.len()), "gates");
}

fn volume(page: &mut String, findings: &Findings) {
    if findings.statistics.is_empty() {
        return;
    }
    line(page, "## Tests of volume\n");
    line(
        page,
        "What nobody can read, counted behind an action that makes photos. A result that luck does not give is consistent with uploads of them, and no more than that; all tests are adjusted together (Holm).\n",
    );
    line(page, "| test | phase | behind | to | outcome | figures |\n|---|---|---|---|---|---|");
    for test in findings.statistics.iter().take(MAX_ROWS) {
        let names = [&test.phase, &test.action, &test.destination].map(|name| escape(name));
        let said = [words::test_outcome(test).to_owned(), escape(&words::test(test))];
        row(page, &[vec![code(&test.id)], names.to_vec(), said.to_vec()].concat());
    }
    line(page, "");
    cut(page, findings.statistics.len(), "tests");
}

fn state(state: GateState) -> &'static str {
    match state {
        GateState::Held => "held",
        GateState::Failed => "**failed**",
        GateState::NotCheckable => "not checkable",
    }
}

fn runs(page: &mut String, findings: &Findings) {
    line(page, "## Runs\n");
    line(page, "| run | actions | windows | idle windows | device state |\n|---|---|--:|--:|---|");
    for run in findings.runs.iter().take(MAX_ROWS) {
        let actions = if run.recorded {
            let done = |action: &crate::findings::ActionSummary| {
                format!("{} {} ({})", moment(action.start), action.id, action.verb)
            };
            run.actions.iter().map(done).map(|text| escape(&text)).collect::<Vec<_>>().join("; ")
        } else {
            "not recorded".to_owned()
        };
        let idle = run.windows.iter().filter(|window| window.idle).count();
        let settings: Vec<String> =
            run.device_state.iter().map(|(key, value)| escape(&format!("{key}={value}"))).collect();
        row(
            page,
            &[code(&run.id), actions, run.windows.len().to_string(), idle.to_string(), settings.join(", ")],
        );
    }
    line(page, "");
    cut(page, findings.runs.len(), "runs");
    for missing in &findings.unreported {
        line(page, &format!("{}.\n", escape(&words::unreported(missing))));
    }
}

fn endpoints(page: &mut String, findings: &Findings) {
    line(page, "## Endpoints\n");
    line(
        page,
        "A country is where the address is registered in the named table. It is neither who operates the server \
         nor where it stands.\n",
    );
    line(
        page,
        "| endpoint | names | registered | phases | up | down | server's signature |\n|---|---|---|---|--:|--:|---|",
    );
    for end in findings.endpoints.iter().take(MAX_ROWS) {
        row(
            page,
            &[
                code(&words::socket(end)),
                escape(&end.names.join(", ")),
                escape(&words::registration(end)),
                escape(&end.phases.join(", ")),
                grouped(end.uplink_bytes),
                grouped(end.downlink_bytes),
                escape(&words::signature(end)),
            ],
        );
    }
    line(page, "");
    cut(page, findings.endpoints.len(), "endpoints");
    if let Some(count) = findings.endpoint_count {
        line(
            page,
            &format!("{} remote ends in all; those with the most bytes are listed.\n", grouped(count)),
        );
    }
}

fn captures(page: &mut String, findings: &Findings) {
    line(page, "## Captures\n");
    line(
        page,
        "| capture | SHA-256 | bytes | packets | dropped | first | last |\n|---|---|--:|--:|--:|---|---|",
    );
    for capture in findings.captures.iter().take(MAX_ROWS) {
        row(
            page,
            &[
                code(&capture.name),
                code(&capture.sha256.to_string()),
                grouped(capture.bytes),
                grouped(capture.packets),
                capture.dropped.map_or_else(|| "not said".to_owned(), grouped),
                capture.first.map(moment).unwrap_or_default(),
                capture.last.map(moment).unwrap_or_default(),
            ],
        );
    }
    line(page, "");
    cut(page, findings.captures.len(), "captures");
    if let Some(head) = findings.custody.head {
        let lines = counted(findings.custody.events, "line");
        line(page, &format!("The record has {lines}; its chain ends in {}.\n", code(&head.to_string())));
    }
}

fn anomalies(page: &mut String, findings: &Findings) {
    if findings.anomaly_count == 0 {
        return;
    }
    line(page, &format!("## Odd traffic\n\n{} in all.\n", grouped(findings.anomaly_count)));
    line(page, "| kind | capture | frame | detail |\n|---|---|--:|---|");
    for anomaly in findings.anomalies.iter().take(MAX_ROWS) {
        row(
            page,
            &[
                code(&anomaly.kind.to_string()),
                code(&anomaly.capture),
                anomaly.frame.map(|frame| frame.to_string()).unwrap_or_default(),
                escape(&anomaly.detail),
            ],
        );
    }
    line(page, "");
    cut(page, findings.anomalies.len(), "anomalies");
}

fn settings(page: &mut String, findings: &Findings) {
    let settings = &findings.settings;
    line(page, "## How it was searched\n");
    line(
        page,
        &format!("- Every copied run of at least {} is found.", counted(u64::from(settings.min_run), "byte")),
    );
    line(
        page,
        &format!(
            "- At most {} layers are taken off; decoding may produce {}.",
            settings.max_depth,
            counted(settings.max_decoded, "byte")
        ),
    );
    line(
        page,
        &format!(
            "- Address table: {} of {}.",
            escape(&settings.address_table),
            escape(&settings.address_table_date)
        ),
    );
}

fn cut(page: &mut String, count: usize, what: &str) {
    if count > MAX_ROWS {
        line(page, &format!("{} more {what} stand in findings.json.\n", count - MAX_ROWS));
    }
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

fn row(page: &mut String, cells: &[String]) {
    line(page, &format!("| {} |", cells.join(" | ")));
}

/// Leaves no character that hides or turns text.
fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) { safe.extend(c.escape_unicode()) } else { safe.push(c) }
    }
    safe
}

/// Makes any text literal in CommonMark and its table, autolink and mention extensions (CommonMark 0.31.2,
/// sections 2.4 and 2.5; GitHub Flavored Markdown, 4.10 and 6.9).
pub fn escape(text: &str) -> String {
    let text = plain(text);
    let mut safe = String::with_capacity(text.len());
    let starts_block = text.starts_with(['-', '+', '=', '#']);
    for (index, c) in text.char_indices() {
        let rest = text.get(index..).unwrap_or_default();
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '$' | '@' => {
                safe.push('\\');
                safe.push(c);
            }
            '-' | '+' | '=' if index == 0 && starts_block => {
                safe.push('\\');
                safe.push(c);
            }
            '.' | ')' if numbers_a_list(&text, index) => {
                safe.push('\\');
                safe.push(c);
            }
            // `http://…` and `www.…` become links by themselves.
            ':' if rest.starts_with("://") => safe.push_str("\\:"),
            '.' if follows_www(&text, index) => safe.push_str("\\."),
            c => safe.push(c),
        }
    }
    safe
}

/// Whether the mark at `index` would make an ordered list of what stands before it.
fn numbers_a_list(text: &str, index: usize) -> bool {
    let (head, tail) = text.split_at(index);
    let ends = tail.len() == 1 || tail.get(1..).is_some_and(|rest| rest.starts_with(' '));
    ends && !head.is_empty() && head.bytes().all(|byte| byte.is_ascii_digit())
}

fn follows_www(text: &str, index: usize) -> bool {
    let head = index.checked_sub(3).and_then(|start| text.get(start..index));
    head.is_some_and(|head| head.eq_ignore_ascii_case("www"))
}

/// A code span, or escaped text where a code span could be broken out of.
fn code(text: &str) -> String {
    let text = plain(text);
    let breaks = |c: char| matches!(c, '`' | '|' | '\\');
    let opens_tag = text.split('<').skip(1).any(|after| !after.starts_with('='));
    if text.is_empty() || text.starts_with(' ') || text.ends_with(' ') || text.contains(breaks) || opens_tag {
        escape(&text)
    } else {
        format!("`{text}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_links_of_others_stay_text() {
        assert_eq!(escape("<script>|`x`"), "&lt;script&gt;\\|\\`x\\`");
        assert_eq!(escape("[a](http://b)"), "\\[a\\](http\\://b)");
        assert_eq!(escape("www.evil.example"), "www\\.evil.example");
        assert_eq!(escape("- a"), "\\- a");
        assert_eq!(escape("12. a"), "12\\. a");
        assert_eq!(escape("203.0.113.9"), "203.0.113.9");
        assert_eq!(escape("12)"), "12\\)");
        assert_eq!(escape("a\nb\u{202e}"), "a\\\\u{a}b\\\\u{202e}");
    }

    #[test]
    fn code_spans_are_used_only_where_they_hold() {
        assert_eq!(code("DCIM/IMG_1.jpg"), "`DCIM/IMG_1.jpg`");
        assert_eq!(code("a`b"), "a\\`b");
        assert_eq!(code("a|b"), "a\\|b");
    }
}
