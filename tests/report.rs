//! Reports of findings written by hand: whole outputs under snapshots, and what no medium may let through.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test may panic and look around"
)]

#[path = "report/example.rs"]
mod example;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exhibit::{
    evidence::{ByteRange, Digest, FrameNo, FrameRange, is_deceptive},
    findings::{
        Findings, codes,
        inspection::{Inspection, Line},
    },
    report::{self, CheckLine, Provenance, proof, snapshot, terminal},
};

fn assert_snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!(name, text) });
}

/// Takes colour off, as the command line does.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn verified() -> Provenance {
    let check = |name: &str, words: &str| CheckLine { name: name.to_owned(), words: words.to_owned() };
    Provenance::Verified {
        bundle: "d".repeat(64),
        checks: vec![check("Integrity", "held"), check("Re-run", "held: identical findings")],
    }
}

fn not_at_hand(_: &proof::Wanted<'_>) -> Option<Vec<u8>> {
    None
}

// Whole outputs.

#[test]
fn terminal_verdicts() {
    assert_snapshot("report-terminal", &plain(&terminal::verdicts(&example::rich())));
}

#[test]
fn terminal_find() {
    assert_snapshot("report-find", &plain(&terminal::found(&example::rich())));
}

#[test]
fn markdown() {
    assert_snapshot("report-markdown", &report::markdown(&example::rich(), &Provenance::Unverified));
}

#[test]
fn html() {
    let page = report::html(&example::rich(), &Provenance::Unverified).unwrap();
    // The style is a file of its own, and its digest changes with it; the page is read without both.
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, tail) = rest.split_once("</style>").unwrap();
    let digest = style_digest(&page);
    assert_snapshot("report-html", &format!("{}<style></style>{tail}", head.replace(&digest, "DIGEST")));
}

#[test]
fn outcome() {
    assert_snapshot("report-outcome", &snapshot::text(&example::rich()));
}

// What no medium may let through.

/// Every text that can be made of findings, with its medium.
fn media(findings: &Findings) -> Vec<(&'static str, String)> {
    let mut shown = terminal::list(findings);
    for finding in &findings.findings {
        shown.push_str(&terminal::finding(findings, finding, &not_at_hand));
    }
    vec![
        ("terminal", plain_of_ours(&terminal::verdicts(findings))),
        ("find", plain_of_ours(&terminal::found(findings))),
        ("show", plain_of_ours(&shown)),
        ("markdown", report::markdown(findings, &Provenance::Unverified)),
        ("html", report::html(findings, &Provenance::Unverified).unwrap()),
        ("outcome", snapshot::text(findings)),
    ]
}

/// Takes off exactly the escapes that we write, so that a stranger's would stay.
fn plain_of_ours(text: &str) -> String {
    let mut text = text.to_owned();
    for ours in
        ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[33m", "\u{1b}[34m", "\u{1b}[35m"]
    {
        // `[31m` is among the hostile bytes too: it must come escaped, not be taken off here.
        text = text.replace(ours, "");
    }
    text
}

#[test]
fn no_medium_prints_what_hides_or_turns_text() {
    for (medium, text) in media(&example::hostile()) {
        let bad = text.chars().find(|&c| c != '\n' && is_deceptive(c));
        assert_eq!(bad, None, "{medium}");
        assert!(
            text.contains("\\u{202e}") || text.contains("\\xe2\\x80\\xae"),
            "{medium} shows what was hidden"
        );
    }
    // The hostile `ESC [31m` equals one of ours: count them.
    let ours = terminal::verdicts(&example::rich()).matches("\u{1b}[31m").count();
    assert_eq!(terminal::verdicts(&example::hostile()).matches("\u{1b}[31m").count(), ours);
}

#[test]
fn markdown_holds_no_tag_link_or_code_of_others() {
    let text = report::markdown(&example::hostile(), &Provenance::Unverified);
    // Nothing becomes a link in a code block; everything else must hold everywhere.
    let prose: String = text.split("```").step_by(2).collect();
    for (text, bad) in [(&text, "<script"), (&text, "<img"), (&prose, "[a]("), (&prose, "http://")] {
        assert!(!text.contains(bad), "{bad}");
    }
    assert!(text.lines().filter(|line| line.contains("```")).all(|line| line == "```sh" || line == "```"));
    assert!(text.contains("&lt;script&gt;"));
    // Each table row has the cells of its head: no name ends a cell.
    let mut cells = None;
    for line in text.lines() {
        if !line.starts_with('|') {
            cells = None;
            continue;
        }
        let count = line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        assert_eq!(*cells.get_or_insert(count), count, "{line}");
    }
}

#[test]
fn html_runs_nothing_and_asks_for_nothing() {
    for findings in [example::rich(), example::hostile()] {
        let page = report::html(&findings, &verified()).unwrap();
        for bad in ["<script", "<img", "<link", "<base", "<iframe", "<object", "javascript:", "url("] {
            assert!(!page.contains(bad), "{bad}");
        }
        for bad in [" on", " style=", " src=", "xlink"] {
            assert!(!attributes(&page).contains(bad), "{bad}");
        }
        let hrefs: Vec<_> =
            page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(hrefs.len() > 10);
        assert!(hrefs.iter().all(|href| href.starts_with('#')), "{hrefs:?}");
        for href in hrefs {
            assert!(page.contains(&format!("id=\"{}\"", &href[1..])), "{href} leads nowhere");
        }
    }
}

/// What stands inside tags, quoted values taken out.
fn attributes(page: &str) -> String {
    let mut text = String::new();
    for tag in page.split('<').skip(1) {
        for (index, part) in tag.split('>').next().unwrap().split('"').enumerate() {
            if index % 2 == 0 {
                text.push_str(part);
            }
        }
    }
    text
}

fn style_digest(page: &str) -> String {
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    STANDARD.encode(Digest::of(style.as_bytes()).0)
}

#[test]
fn the_policy_names_the_style_that_stands_there() {
    let page = report::html(&example::rich(), &Provenance::Unverified).unwrap();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        style_digest(&page)
    );
    assert!(page.contains(&format!("content=\"{policy}\"")));
    assert_eq!(page.matches("<style").count(), 1);
}

/// Balance, headings, tables and names as `html.parser` sees them.
const CHECK_HTML: &str = r#"
import sys, html.parser
VOID = {"meta", "br"}
class P(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.level, self.bad = [], set(), 0, []
    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ("script", "img", "link", "base"): self.bad.append("tag " + tag)
        if any(k.startswith("on") or k == "style" for k in attrs): self.bad.append("attribute in " + tag)
        if "id" in attrs:
            if attrs["id"] in self.ids: self.bad.append("id twice: " + attrs["id"])
            self.ids.add(attrs["id"])
        if tag in ("h1", "h2", "h3"):
            n = int(tag[1])
            if n > self.level + 1: self.bad.append("heading skips to " + tag)
            self.level = n
        if tag == "th" and attrs.get("scope") not in ("col", "row"): self.bad.append("th without scope")
        if tag == "html" and attrs.get("lang") != "en": self.bad.append("no language")
        if tag == "svg" and not (attrs.get("role") == "img" and attrs.get("aria-label")): self.bad.append("svg without words")
        if tag not in VOID: self.open.append(tag)
    def handle_startendtag(self, tag, attrs):
        if tag != "rect": self.bad.append("self-closed " + tag)
    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag: self.bad.append("unbalanced " + tag)
p = P(); p.feed(sys.stdin.read()); p.close()
print(len(p.ids), p.open, p.bad)
sys.exit(1 if p.open or p.bad or len(p.ids) < 15 else 0)
"#;

#[test]
fn a_foreign_parser_finds_the_page_well_formed() {
    for findings in [example::rich(), example::hostile()] {
        let page = report::html(&findings, &verified()).unwrap();
        let Some((held, said)) = piped("python3", &["-c", CHECK_HTML], page.as_bytes()) else {
            skipped("python3");
            return;
        };
        assert!(held, "{said}");
    }
}

/// Whether a program accepts its input, and what it said; `None` where it isn't installed.
fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Option<(bool, String)> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some((output.status.success(), said))
}

fn skipped(what: &str) {
    assert!(std::env::var_os("EXHIBIT_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{what} is missing");
    println!("skipped: {what} is missing");
}

// What reports must say.

#[test]
fn every_report_says_whether_it_is_simulated_and_verified() {
    let mut real = example::rich();
    real.simulated = false;
    for (medium, text) in media(&example::rich()).into_iter().filter(|(medium, _)| *medium != "outcome") {
        assert!(text.contains("SIMULATED"), "{medium}");
    }
    for (medium, text) in media(&real) {
        assert!(!text.to_lowercase().contains("simulated:"), "{medium}");
    }
    for (unverified, checked) in [
        (report::markdown(&real, &Provenance::Unverified), report::markdown(&real, &verified())),
        (report::html(&real, &Provenance::Unverified).unwrap(), report::html(&real, &verified()).unwrap()),
    ] {
        assert!(unverified.contains("Not verified") && !unverified.contains("identical findings"));
        assert!(!checked.contains("Not verified") && checked.contains("held: identical findings"));
    }
}

#[test]
fn nothing_found_never_reads_as_not_sent() {
    let mut findings = example::rich();
    findings.findings.clear();
    let answer = plain(&terminal::found(&findings)).replace('\n', " ");
    assert!(answer.contains("5 files: not seen; 59 % of what was uploaded is encrypted"), "{answer}");
    assert!(answer.contains("so this is NOT \"not sent\""), "{answer}");
    let all = &mut findings.ledger.all;
    (all.matched, all.understood, all.undetermined, all.opaque, all.lost) = (0, all.total, 0, 0, 0);
    let answer = plain(&terminal::found(&findings)).replace('\n', " ");
    assert!(
        answer.contains("\"not found in the listed encodings\"") && !answer.contains("encrypted"),
        "{answer}"
    );
    findings.ledger.all = exhibit::findings::Places::default();
    let answer = plain(&terminal::found(&findings)).replace('\n', " ");
    assert!(answer.contains("holds no upload of this phone, so nothing can be said"), "{answer}");
}

#[test]
fn every_reason_and_caveat_is_explained_in_each_report() {
    let findings = example::rich();
    let page = report::html(&findings, &Provenance::Unverified).unwrap();
    let text = report::markdown(&findings, &Provenance::Unverified);
    for code in ["residual_capacity", "seen_downlink_first", "placeholder"] {
        let means = codes::explain(code).unwrap().means;
        assert!(text.contains(means), "{code}");
        assert!(page.contains(&means.replace('\'', "&#39;")), "{code}");
    }
    assert!(plain(&terminal::explanation(&codes::explain("residual_capacity").unwrap())).contains("absence"));
}

// The commands to check by hand, done.

fn capture(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("EXHIBIT_CAPTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures"), PathBuf::from);
    Some(folder.join(name)).filter(|path| path.exists())
}

#[test]
fn commands_to_check_by_hand_give_the_bytes() {
    let Some(path) = capture("pcapplusplus__one_tcp_stream.pcap") else {
        return skipped("the folder of captures");
    };
    if piped("tshark", &["--version"], b"").is_none() {
        return skipped("tshark");
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "a 'capture'.pcap";
    std::fs::copy(&path, folder.path().join(name)).unwrap();
    let mut findings = example::rich();
    findings.captures[1].name = name.to_owned();
    findings.captures[1].sha256 = Digest::of(&std::fs::read(&path).unwrap());
    let finding = &mut findings.findings[0];
    finding.artifact = "photo $(date).jpg".to_owned();
    finding.parts[0].capture = name.to_owned();
    finding.parts[0].frames = vec![FrameRange { first: FrameNo(1), last: FrameNo(9) }];
    finding.parts[0].filter = "frame.number>=1 && frame.number<=9".to_owned();
    finding.parts[0].artifact_range = ByteRange::new(3, 53);
    finding.parts[0].excerpt = "61".repeat(50);
    let artifact = [b"xyz".as_slice(), &[b'a'; 60]].concat();
    std::fs::write(folder.path().join(&finding.artifact), &artifact).unwrap();
    let finding = findings.findings[0].clone();
    findings.artifacts[0].name.clone_from(&finding.artifact);
    findings.artifacts[0].sha256 = Some(Digest::of(&artifact));
    let mut said = Vec::new();
    for command in proof::commands(&findings, &finding) {
        let line = format!("cd '{}' && {}", folder.path().display(), command.line);
        let output = Command::new("bash").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        said.push((command.shows, String::from_utf8(output.stdout).unwrap()));
    }
    assert_eq!(said.len(), 5);
    assert!(said[0].1.contains(&findings.captures[1].sha256.to_string()));
    assert_eq!(said[1].1.lines().count(), 9);
    assert_eq!(said[3].1.trim(), finding.parts[0].excerpt);
    assert!(said[4].1.contains(&Digest::of(&artifact).to_string()));
    let stream = std::fs::read(folder.path().join("stream.bin")).unwrap();
    assert!(
        stream.starts_with(b"POST ") || stream.starts_with(b"GET "),
        "{:?}",
        &stream[..20.min(stream.len())]
    );
}

// Snapshots of scenarios.

#[test]
fn insta_accepts_our_snapshot_files() {
    let folder = tempfile::tempdir().unwrap();
    let text = snapshot::text(&example::rich());
    std::fs::write(
        folder.path().join("redmi-note.snap"),
        snapshot::file("scenarios/a b/scenario.yaml", &text),
    )
    .unwrap();
    let check = |text: &str| {
        let text = text.to_owned();
        let snapshots = folder.path().to_owned();
        std::panic::catch_unwind(move || {
            let mut settings = insta::Settings::new();
            settings.set_snapshot_path(snapshots);
            settings.set_prepend_module_to_snapshot(false);
            settings.bind(|| insta::assert_snapshot!("redmi-note", text));
        })
    };
    assert!(check(&text).is_ok());
    if std::env::var_os("INSTA_UPDATE").is_none_or(|mode| mode == "no") {
        assert!(check(&text.replace("L2 supported", "L2 refuted")).is_err(), "insta reads what stands in it");
    }
}

// The published schema.

fn published(name: &str, schema: &schemars::Schema) {
    let mut schema = serde_json::to_string_pretty(schema).unwrap();
    schema.push('\n');
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema").join(name);
    if std::env::var_os("EXHIBIT_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &schema).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(stored == schema, "docs/schema/{name} differs: EXHIBIT_BLESS=1 cargo test --test report schemas");
}

#[test]
fn the_published_schemas_are_those_of_the_types() {
    published("findings.schema.json", &schemars::schema_for!(Findings));
    published("inspection.schema.json", &schemars::schema_for!(Inspection));
    published("inspection-line.schema.json", &schemars::schema_for!(Line));
}
