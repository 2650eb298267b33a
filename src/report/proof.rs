//! How to check a finding by hand with sha256sum, tshark and xxd, from findings alone.
//!
//! Captures and device files are named by their logical paths; in a bundle
//! `data/inventory.json` says under which neutral name each of them stands.

use crate::{
    evidence::{ByteRange, Transport, hex_bytes},
    findings::{ArtifactSummary, CaptureSummary, Finding, Findings, Grade, Part, Step},
    report::{
        quantity::{byte_ranges, counted, grouped},
        words,
    },
};

/// One command with what it must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it shows.
    pub shows: String,
    /// The command, one line for a POSIX shell with `$'…'` (bash, zsh, ksh, busybox).
    pub line: String,
}

/// Bytes of an artifact that a listing wants to set beside what was sent.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The finding, which names the artifact and its phase.
    pub finding: &'a Finding,
    /// The first byte's offset in the artifact.
    pub offset: u64,
    /// Bytes wanted.
    pub length: usize,
}

/// Parts of one finding for which commands are written out; the rest differs in numbers only.
pub const PARTS_SHOWN: usize = 4;

/// Commands that check a finding, capture first.
pub fn commands(findings: &Findings, finding: &Finding) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut captures: Vec<&str> = Vec::new();
    for part in words::sent(finding).take(PARTS_SHOWN) {
        if !captures.contains(&part.capture.as_str()) {
            captures.push(&part.capture);
            commands.extend(capture(findings, &part.capture).map(digest_of_capture));
        }
        commands.push(frames_of(part));
        commands.push(stream_of(findings, part));
        if finding.grade != Grade::Identifier && finding.grade != Grade::Record {
            commands.extend(excerpt_of(finding, part));
        }
    }
    commands.extend(artifact(findings, finding).and_then(|artifact| digest_of_artifact(finding, artifact)));
    commands
}

/// The capture of that logical path.
pub fn capture<'a>(findings: &'a Findings, name: &str) -> Option<&'a CaptureSummary> {
    findings.captures.iter().find(|capture| capture.name == name)
}

/// The artifact that a finding is about: that of its phase, where several phases name one path.
pub fn artifact<'a>(findings: &'a Findings, finding: &Finding) -> Option<&'a ArtifactSummary> {
    let named = || findings.artifacts.iter().filter(|artifact| artifact.name == finding.artifact);
    named().find(|artifact| artifact.phases.contains(&finding.phase)).or_else(|| named().next())
}

/// One step in words: `multipart.part photo: bytes 180-72,500 of it give 72,000 bytes`.
pub fn step(step: &Step) -> String {
    let param = step.param.as_deref().map(|param| format!(" {param}")).unwrap_or_default();
    format!("{}{param}: bytes {} give {}", step.op, span(step.input), counted(step.output, "byte"))
}

/// A part's way from stream to artifact, in words.
pub fn way(finding: &Finding, part: &Part) -> Vec<String> {
    let mut lines = vec![format!("stream bytes {}", span(part.stream_range))];
    lines.extend(part.steps.iter().map(step));
    let found = span(part.leaf_range);
    lines.push(match &finding.form {
        _ if finding.grade == Grade::Statistical => {
            "nobody can read them: their number and their time are all that is known".to_owned()
        }
        _ if finding.grade == Grade::Derived => {
            format!("bytes {found} of that are a picture that shows what the artifact shows")
        }
        Some(form) if words::is_hash(finding) => format!("bytes {found} of that are the artifact's {form}"),
        _ => format!("bytes {found} of that are bytes {} of the artifact", span(part.artifact_range)),
    });
    lines
}

fn span(range: ByteRange) -> String {
    byte_ranges(&[range])
}

fn digest_of_capture(capture: &CaptureSummary) -> Command {
    Command {
        shows: format!("the capture is the one that was analyzed: {}", capture.sha256),
        line: format!("sha256sum -- {}", shell_word(&capture.name)),
    }
}

fn digest_of_artifact(finding: &Finding, artifact: &ArtifactSummary) -> Option<Command> {
    let sha256 = artifact.sha256?;
    if let Some(hash) = finding.form.as_ref().and_then(|form| form.split_once(" in ")).map(|(hash, _)| hash) {
        return Some(Command {
            shows: format!("the hash of the device file, {}", counted(artifact.bytes, "byte")),
            line: format!("{}sum -- {}", hash, shell_word(&artifact.name)),
        });
    }
    Some(Command {
        shows: format!("the device file, {}: {sha256}", counted(artifact.bytes, "byte")),
        line: format!("sha256sum -- {}", shell_word(&artifact.name)),
    })
}

fn frames_of(part: &Part) -> Command {
    Command {
        shows: "the frames that carry it, with time and remote end".to_owned(),
        line: format!(
            "tshark -r {} -Y {} -T fields -e frame.number -e frame.time_epoch -e ip.dst -e ipv6.dst -e tcp.len",
            shell_word(&part.capture),
            shell_word(&part.filter),
        ),
    }
}

/// tshark indents the second speaker's lines with a tab, so the phone's lines are those that start with a
/// digit where the phone spoke first.
fn stream_of(findings: &Findings, part: &Part) -> Command {
    let flow = findings.flows.iter().find(|flow| flow.name == part.flow);
    let protocol = match flow.map(|flow| flow.transport) {
        Some(Transport::Udp) => "udp",
        _ => "tcp",
    };
    let first = part.frames.first().map_or(0, |range| range.first.0);
    let capture = shell_word(&part.capture);
    Command {
        shows: format!(
            "what the phone sent in this connection; the finding is in its bytes {}",
            span(part.stream_range)
        ),
        line: format!(
            "tshark -r {capture} -o tcp.reassemble_out_of_order:TRUE -q -z follow,{protocol},raw,$(tshark -r {capture} \
             -Y frame.number=={first} -T fields -e {protocol}.stream) | grep -E '^[0-9a-f]+$' | xxd -r -p > stream.bin",
        ),
    }
}

fn excerpt_of(finding: &Finding, part: &Part) -> Option<Command> {
    let count = hex_bytes(&part.excerpt)?.len();
    (count > 0).then(|| Command {
        shows: format!(
            "the first {count} bytes of this part in the device file are the excerpt {}",
            part.excerpt
        ),
        line: format!(
            "tail -c +{} -- {} | head -c {count} | xxd -p -c 256",
            part.artifact_range.start.saturating_add(1),
            shell_word(&finding.artifact),
        ),
    })
}

/// Makes one shell word of any text. What isn't plainly harmless is written as `\xNN` inside `$'…'`, so that
/// neither a shell nor a page that shows the command can read it as anything else.
pub fn shell_word(text: &str) -> String {
    let bare = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-' | ':' | '@' | ',' | '%' | '+')
    };
    if !text.is_empty() && text.chars().all(bare) {
        return text.to_owned();
    }
    if is_tame(text) {
        return format!("'{text}'");
    }
    let escaped: String = text
        .bytes()
        .map(|byte| match char::from(byte) {
            c if bare(c) || c == ' ' => c.to_string(),
            _ => format!("\\x{byte:02x}"),
        })
        .collect();
    format!("$'{escaped}'")
}

/// Display filters stay readable (`frame.number>=12 && frame.number<=80`); a `<` that could open a tag does not.
fn is_tame(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let tame = match c {
            '<' => chars.peek() == Some(&'='),
            ' ' | '.' | '_' | '/' | '-' | ':' | '@' | ',' | '%' | '+' | '=' | '>' | '&' | '(' | ')' | '{'
            | '}' => true,
            c => c.is_ascii_alphanumeric(),
        };
        if !tame {
            return false;
        }
    }
    true
}

/// Sizes of an artifact and of what was seen of it: `72,000 of 96,000 bytes`.
pub fn coverage(finding: &Finding) -> String {
    if finding.grade == Grade::Statistical {
        return "size and time alone".to_owned();
    }
    if finding.grade == Grade::Derived {
        return format!("a copy, not bytes, of {}", counted(finding.artifact_bytes, "byte"));
    }
    if words::is_hash(finding) {
        return "its hash alone".to_owned();
    }
    format!("{} of {}", grouped(finding.matched_bytes), counted(finding.artifact_bytes, "byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_become_one_harmless_word() {
        assert_eq!(shell_word("DCIM/IMG_1.jpg"), "DCIM/IMG_1.jpg");
        assert_eq!(shell_word("a b.jpg"), "'a b.jpg'");
        assert_eq!(shell_word("a'$(reboot)`|\n"), "$'a\\x27\\x24\\x28reboot\\x29\\x60\\x7c\\x0a'");
        assert_eq!(shell_word("<script>"), "$'\\x3cscript\\x3e'");
        assert_eq!(
            shell_word("frame.number>=12 && frame.number<=80"),
            "'frame.number>=12 && frame.number<=80'"
        );
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("é"), "$'\\xc3\\xa9'");
    }
}
