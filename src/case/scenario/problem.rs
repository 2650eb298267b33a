//! What is wrong with a scenario, where, and the way out.
//!
//! A [`Problem`] holds facts; [`Problems::render`] draws them with the source line and a caret, without
//! colours. Text of the scenario is hostile: it is shown with control characters escaped.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::evidence::printable;

use super::values::Place;

/// Problems shown at once; more are counted.
const MAX_SHOWN: usize = 20;
/// Characters of a source line that are shown before the caret.
const SHOWN_BEFORE: usize = 72;
/// Characters of a source line that are shown from the caret on.
const SHOWN_AFTER: usize = 60;
/// Characters of a captured word in a message.
pub(crate) const MAX_WORD: usize = 80;
/// Names that a "there are" line lists.
const MAX_LISTED: usize = 12;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The scenario can't be used.
    Error,
    /// It can, and something should be known.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where, if it is at one place.
    pub place: Option<Place>,
    /// The way out.
    pub help: Option<String>,
}

impl Problem {
    /// Something that makes the scenario unusable.
    pub(crate) fn error(place: Place, message: impl Into<String>) -> Self {
        let place = (place.line > 0).then_some(place);
        Self { severity: Severity::Error, message: message.into(), place, help: None }
    }

    /// Something that should be known.
    pub(crate) fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// Adds the way out.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A text and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Problems {
    /// The text's logical path.
    pub name: String,
    /// The text.
    pub text: String,
    /// What is wrong, errors first, then by place.
    pub list: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(name: &str, text: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| (problem.severity, problem.place));
        Self { name: name.to_owned(), text: text.to_owned(), list }
    }

    /// Draws every problem: file, line, column, the line itself, a caret, a way out.
    pub fn render(&self) -> String {
        let mut shown: Vec<String> =
            self.list.iter().take(MAX_SHOWN).map(|problem| self.render_one(problem)).collect();
        if let Some(more) = self.list.len().checked_sub(MAX_SHOWN).filter(|&more| more > 0) {
            shown.push(format!("and {more} more"));
        }
        shown.join("\n\n")
    }

    fn render_one(&self, problem: &Problem) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let path = printable(self.name.as_bytes(), 200);
        let title = level.primary_title(problem.message.as_str());
        let line = problem.place.map(|place| ShownLine::new(&self.text, place));
        let mut group = match &line {
            Some(line) => title.element(
                Snippet::source(line.text.as_str())
                    .path(format!("{path}:{}:{}", line.place.line, line.place.column))
                    .line_start(line.place.line)
                    .annotation(AnnotationKind::Primary.span(line.start..line.end)),
            ),
            None => title.element(annotate_snippets::Origin::path(path)),
        };
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        // The snippet holds one line, cut to a window: its own columns would mislead, so the path carries them.
        let drawn = Renderer::plain().term_width(400).render(&[group]);
        match &line {
            Some(line) => {
                let place = format!("{}:{}", line.place.line, line.place.column);
                fix_origin(&drawn, &place)
            }
            None => drawn,
        }
    }
}

/// Removes the position within the window that the renderer adds behind the path, which names the true one.
fn fix_origin(drawn: &str, place: &str) -> String {
    let mut lines: Vec<String> = drawn.lines().map(str::to_owned).collect();
    if let Some(origin) = lines.iter_mut().find(|line| line.trim_start().starts_with("-->"))
        && let Some(at) = origin.find(&format!(":{place}"))
    {
        origin.truncate(at + place.len() + 1);
    }
    lines.join("\n")
}

impl fmt::Display for Problems {
    /// A fragment that fits after "cannot …": the first problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read {}", printable(self.name.as_bytes(), 200))?;
        let Some(first) = self.list.first() else { return Ok(()) };
        if let Some(place) = first.place {
            write!(f, ": line {}, column {}", place.line, place.column)?;
        }
        write!(f, ": {}", first.message)
    }
}

impl std::error::Error for Problems {}

/// One source line around a place, made fit to show.
struct ShownLine {
    text: String,
    start: usize,
    end: usize,
    place: Place,
}

impl ShownLine {
    fn new(source: &str, place: Place) -> Self {
        let line: Vec<char> =
            source.lines().nth(place.line.saturating_sub(1)).unwrap_or_default().chars().collect();
        let at = place.column.saturating_sub(1).min(line.len());
        let until = at.saturating_add(place.len).min(line.len());
        let from = at.saturating_sub(SHOWN_BEFORE);
        let to = at.saturating_add(SHOWN_AFTER).min(line.len());
        let shown = |range: std::ops::Range<usize>| -> String {
            line.get(range).unwrap_or_default().iter().map(|&c| shown_char(c)).collect()
        };
        let mut text = if from > 0 { "… ".to_owned() } else { String::new() };
        text.push_str(&shown(from..at));
        let start = text.len();
        text.push_str(&shown(at..until.min(to)));
        let end = text.len();
        text.push_str(&shown(until.min(to)..to));
        if to < line.len() {
            text.push_str(" …");
        }
        Self { text, start, end, place }
    }
}

fn shown_char(c: char) -> String {
    if c == '\\' { c.to_string() } else { printable(c.encode_utf8(&mut [0; 4]).as_bytes(), 1) }
}

/// Makes a word of the scenario fit for a message.
pub(crate) fn word(text: &str) -> String {
    format!("`{}`", printable(text.as_bytes(), MAX_WORD))
}

/// The help line for a word that is none of those allowed: what it could have been, or what there is.
pub(crate) fn did_you_mean<'a>(typed: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let allowed: Vec<&str> = allowed.into_iter().collect();
    let near = allowed
        .iter()
        .map(|&name| (distance(typed, name), name))
        .filter(|&(distance, name)| distance <= 1 + name.chars().count() / 4)
        .min();
    match near {
        Some((_, name)) => Some(format!("did you mean {}?", word(name))),
        None if allowed.is_empty() => None,
        None => Some(format!("there {}", listed(&allowed))),
    }
}

fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(MAX_LISTED).map(|name| word(name)).collect();
    let more = names.len().saturating_sub(MAX_LISTED);
    let are = if names.len() == 1 { "is" } else { "are" };
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{are} {}{tail}", shown.join(", "))
}

/// Edit distance with insertions, deletions, replacements and swaps of neighbours (optimal string
/// alignment), ignoring case and the difference between `-` and `_`.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| -> Vec<char> {
        text.chars()
            .take(MAX_WORD)
            .flat_map(char::to_lowercase)
            .map(|c| if c == '-' { '_' } else { c })
            .collect()
    };
    let (a, b) = (letters(a), letters(b));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_offered_and_far_ones_listed() {
        assert_eq!(distance("phsae", "phase"), 1);
        assert_eq!(distance("never-uploads", "never_uploads"), 0);
        assert_eq!(distance("", "abc"), 3);
        let names = ["stock", "cloud-on"];
        assert_eq!(did_you_mean("stok", names).as_deref(), Some("did you mean `stock`?"));
        assert_eq!(did_you_mean("elsewhere", names).as_deref(), Some("there are `stock`, `cloud-on`"));
        assert_eq!(did_you_mean("x", []), None);
    }

    #[test]
    fn hostile_text_is_escaped_and_the_caret_stays_below_it() {
        let text = "a: 1\n\"\u{1b}[31m\": 2\n";
        let place = Place { line: 2, column: 1, len: 7 };
        let drawn =
            Problems::new("x.yaml", text, vec![Problem::error(place, "wrong").help("right")]).render();
        assert!(!drawn.contains('\u{1b}'), "{drawn}");
        assert!(drawn.contains("2 | \"\\u{1b}[31m\": 2"), "{drawn}");
        assert!(drawn.contains("x.yaml:2:1\n"), "{drawn}");
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}wrong{}", "a".repeat(500), "b".repeat(500));
        let drawn =
            Problems::new("x", &text, vec![Problem::error(Place { line: 1, column: 501, len: 5 }, "m")])
                .render();
        assert!(drawn.contains("wrong") && drawn.contains("^^^^^"), "{drawn}");
        assert!(drawn.lines().all(|line| line.chars().count() < 160), "{drawn}");
        assert!(drawn.contains("--> x:1:501\n"), "{drawn}");
    }
}
