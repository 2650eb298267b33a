//! The short forms: captures and actions that stand in the plan itself, and the runs they stand for.

use super::{
    grammar,
    plan::{Action, ActionDone, Run},
    problem::{Problem, word},
    resolve::{ONLY_PHASE, PathKind, PathUse, Resolver, straight},
    values::{At, Millis, Names, Place, Text, Unit as _},
};
use crate::evidence::Timestamp;

/// How long the last action of a run is watched where the plan says nothing.
pub(crate) const DEFAULT_WINDOW_MS: u64 = 300_000;
/// Runs that one pattern may stand for.
const MAX_RUNS: usize = 100_000;

/// What one phase records in its short form.
#[derive(Debug, Clone, PartialEq)]
pub struct ShortRuns {
    phase: String,
    place: Place,
    captures: Vec<At<Text>>,
    keys: Vec<String>,
    files: Option<String>,
    actions: Vec<ActionDone>,
    recorded: bool,
}

/// Reads the short forms of every phase, and adds their actions to the plan's.
pub(crate) fn read(resolver: &mut Resolver<'_>, actions: &mut Vec<Action>) -> Vec<ShortRuns> {
    let scenario = resolver.scenario;
    let only;
    let written: Vec<&grammar::Phase> = match &scenario.phases {
        Some(phases) => phases.iter().collect(),
        None => {
            only = the_only_phase(scenario);
            vec![&only]
        }
    };
    written.into_iter().filter_map(|phase| short(resolver, phase, actions)).collect()
}

fn the_only_phase(scenario: &grammar::Scenario) -> grammar::Phase {
    grammar::Phase {
        id: At { value: Text(ONLY_PHASE.to_owned()), place: Place::default() },
        role: None,
        from: None,
        rom: None,
        require: None,
        repeat: None,
        window: None,
        starts_with: None,
        capture: scenario.capture.clone(),
        captures: scenario.captures.clone(),
        keys: scenario.keys.clone(),
        files: scenario.files.clone(),
        actions: None,
    }
}

fn short(
    resolver: &mut Resolver<'_>,
    phase: &grammar::Phase,
    actions: &mut Vec<Action>,
) -> Option<ShortRuns> {
    let captures: Vec<At<Text>> = match (&phase.capture, &phase.captures) {
        (Some(one), Some(_)) => {
            resolver.error(one.place, "`capture` beside `captures`", "keep one of the two");
            return None;
        }
        (Some(one), None) => vec![one.clone()],
        (None, Some(many)) => many.0.clone(),
        (None, None) => Vec::new(),
    };
    resolver.paths.extend(captures.iter().map(|path| PathUse::new(path, PathKind::Capture)));
    resolver
        .paths
        .extend(phase.keys.iter().flat_map(|keys| &keys.0).map(|path| PathUse::new(path, PathKind::Keys)));
    resolver.paths.extend(phase.files.iter().map(|path| PathUse::new(path, PathKind::Files)));
    let deeds = phase.actions.as_deref().unwrap_or_default();
    let done = times(resolver, phase, deeds, actions);
    if captures.is_empty() {
        let beside = phase.keys.iter().flat_map(|keys| &keys.0).map(|key| key.place);
        let beside = beside
            .chain(deeds.first().map(|deed| deed.id.place))
            .chain(phase.files.iter().map(|files| files.place));
        if let Some(place) = beside.min() {
            resolver.error(place, "what was done, and no capture of it", "add `capture: FILE`");
        }
        return None;
    }
    Some(ShortRuns {
        phase: phase.id.0.clone(),
        place: captures.first().map_or_else(Place::default, |capture| capture.place),
        captures,
        keys: phase.keys.iter().flat_map(Names::texts).map(|path| straight(&path)).collect(),
        files: phase.files.as_ref().map(|files| trimmed(files)),
        actions: done,
        recorded: phase.actions.is_some(),
    })
}

fn trimmed(path: &str) -> String {
    straight(path).trim_end_matches('/').to_owned()
}

/// Gives each action its times, and the plan the action.
fn times(
    resolver: &mut Resolver<'_>,
    phase: &grammar::Phase,
    deeds: &[grammar::Deed],
    actions: &mut Vec<Action>,
) -> Vec<ActionDone> {
    let mut done: Vec<ActionDone> = Vec::new();
    for deed in deeds {
        resolver.check_id("id of an action", &deed.id);
        if done.iter().any(|before| before.id == deed.id.0) {
            resolver.error(
                deed.id.place,
                format!("a second action named {} in this phase", word(&deed.id)),
                "give each its own name",
            );
        }
        let made: Vec<String> = deed.makes.as_ref().map(Names::texts).unwrap_or_default();
        for path in deed.makes.iter().flat_map(|names| &names.0) {
            resolver.made(path);
        }
        plan_it(resolver, phase, deed, &made, actions);
        let before = done.last().map(|action| action.start);
        let Some(start) = start(resolver, deed, before) else { continue };
        let lasts = deed.lasts.as_ref().map_or(0, |lasts| lasts.value.value);
        let end = later(start, lasts);
        done.push(ActionDone {
            id: deed.id.0.clone(),
            verb: deed.verb.value.name().to_owned(),
            start,
            end,
            window_end: end,
            by: deed.by.as_ref().map_or_else(|| "operator".to_owned(), |by| by.0.clone()),
            makes: made
                .iter()
                .map(|path| {
                    below(
                        phase.files.as_ref().map(|files| trimmed(files)).as_deref(),
                        path,
                        &resolver.names.canaries,
                    )
                })
                .collect(),
        });
    }
    close_windows(&mut done, phase.window.as_ref().map(|window| window.value.value));
    done
}

/// The logical path of one of the phone's files; canaries keep their name.
pub(crate) fn below(files: Option<&str>, made: &str, canaries: &std::collections::BTreeSet<&str>) -> String {
    match files {
        Some(folder) if !canaries.contains(made) && folder != "." => format!("{folder}/{made}"),
        _ => made.to_owned(),
    }
}

fn plan_it(
    resolver: &mut Resolver<'_>,
    phase: &grammar::Phase,
    deed: &grammar::Deed,
    made: &[String],
    actions: &mut Vec<Action>,
) {
    let verb = deed.verb.value.name();
    match actions.iter_mut().find(|action| action.id == deed.id.0) {
        Some(action) if action.verb != verb => {
            let message = format!("the action {} is `{}` elsewhere", word(&deed.id), action.verb);
            resolver.error(deed.verb.place, message, "one name, one thing done: rename one of them");
        }
        Some(action) => {
            if !action.phases.contains(&phase.id.0) {
                action.phases.push(phase.id.0.clone());
            }
            for path in made.iter().filter(|path| !action.makes.contains(path)).cloned().collect::<Vec<_>>() {
                action.makes.push(path);
            }
        }
        None => actions.push(Action {
            id: deed.id.0.clone(),
            verb: verb.to_owned(),
            phases: vec![phase.id.0.clone()],
            makes: made.to_vec(),
            sham: None,
        }),
    }
}

/// `+60s` counts from the start of the action before.
fn start(resolver: &mut Resolver<'_>, deed: &grammar::Deed, before: Option<Timestamp>) -> Option<Timestamp> {
    let at = &deed.at;
    let start = match at.strip_prefix('+') {
        Some(span) => match (Millis::read(span), before) {
            (Some(millis), Some(before)) => later(before, millis),
            (Some(_), None) => {
                resolver.error(
                    at.place,
                    "nothing stands before the first action",
                    "give its time: `at: \"2026-11-20T18:00:05+08:00\"`",
                );
                return None;
            }
            (None, _) => {
                resolver.error(
                    at.place,
                    format!("{} is no duration", word(at)),
                    "such as `+60s`, `+5m` after the start of the action before",
                );
                return None;
            }
        },
        None => match at.parse::<Timestamp>() {
            Ok(time) => time,
            Err(_) => {
                resolver.error(
                    at.place,
                    format!("{} is no time", word(at)),
                    "date, time and offset such as `2026-11-20T18:00:05+08:00`, or `+60s` after the start of the action before",
                );
                return None;
            }
        },
    };
    if before.is_some_and(|before| start < before) {
        resolver.error(
            at.place,
            format!("the action {} begins before the one above it", word(&deed.id)),
            "write actions in order of time",
        );
    }
    Some(start)
}

fn later(time: Timestamp, millis: u64) -> Timestamp {
    Timestamp(time.0.saturating_add(millis.saturating_mul(1_000_000)))
}

/// An action's window ends when the next action begins, or, before that, when the planned window after
/// the action's end is over; the last one is watched for [`DEFAULT_WINDOW_MS`] where the plan says nothing
/// and the action takes no time of its own.
pub(crate) fn close_windows(actions: &mut [ActionDone], window_ms: Option<u64>) {
    let mut next: Option<Timestamp> = None;
    for action in actions.iter_mut().rev() {
        let planned = match (window_ms, next) {
            (Some(window), _) => later(action.end, window),
            (None, Some(next)) => next,
            (None, None) if action.end > action.start => action.end,
            (None, None) => later(action.end, DEFAULT_WINDOW_MS),
        };
        action.window_end = next.map_or(planned, |next| planned.min(next)).max(action.start);
        next = Some(action.start);
    }
}

/// Turns short forms into runs: one for each capture, sorted by the bytes of its path.
///
/// `files` lists the logical paths of all files that a pattern could mean.
///
/// # Errors
/// Patterns that match nothing, and times that would have to fit several runs.
pub fn runs(shorts: &[ShortRuns], files: &dyn Fn(&str) -> Vec<String>) -> Result<Vec<Run>, Vec<Problem>> {
    let (mut runs, mut problems) = (Vec::new(), Vec::new());
    for short in shorts {
        let mut captures = Vec::new();
        for pattern in &short.captures {
            match expand(pattern, files) {
                Ok(paths) => captures.extend(paths),
                Err(problem) => problems.push(problem),
            }
        }
        captures.sort_unstable();
        captures.dedup();
        if captures.len() > 1 && short.recorded {
            problems.push(
                Problem::error(
                    short.place,
                    format!("{} captures, and one list of times for all of them", captures.len()),
                )
                .help("what was done in each run stands in `record.jsonl`"),
            );
        }
        if captures.len() > MAX_RUNS {
            problems
                .push(Problem::error(short.place, format!("{} runs: more than {MAX_RUNS}", captures.len())));
            continue;
        }
        runs.extend(captures.into_iter().enumerate().map(|(index, capture)| short.run(index, capture)));
    }
    if problems.is_empty() { Ok(runs) } else { Err(problems) }
}

impl ShortRuns {
    /// Two stories of what happened.
    pub(crate) fn beside_a_record(&self) -> Problem {
        Problem::error(self.place, "a capture in the plan, and `record.jsonl` beside it")
            .help("the record says what happened: remove the capture from the plan, or the record")
    }

    fn run(&self, index: usize, capture: String) -> Run {
        Run {
            id: format!("{}/{:02}", self.phase, index + 1),
            phase: self.phase.clone(),
            captures: vec![capture],
            keys: self.keys.clone(),
            files: self.files.clone(),
            actions: self.actions.clone(),
            recorded: self.recorded,
            ..Run::default()
        }
    }
}

fn expand(pattern: &At<Text>, files: &dyn Fn(&str) -> Vec<String>) -> Result<Vec<String>, Problem> {
    let text = straight(pattern);
    let text = text.as_str();
    let Some(star) = text.find('*') else { return Ok(vec![text.to_owned()]) };
    let folder =
        text.get(..star).and_then(|before| before.rfind('/')).and_then(|end| text.get(..end)).unwrap_or(".");
    let found: Vec<String> = files(folder).into_iter().filter(|path| matches_pattern(text, path)).collect();
    if found.is_empty() {
        return Err(Problem::error(pattern.place, format!("no file matches {}", word(pattern)))
            .help("`*` stands for any characters but `/`; the path is relative to the scenario"));
    }
    Ok(found)
}

/// `*` stands for any characters but `/`.
fn matches_pattern(pattern: &str, path: &str) -> bool {
    // Greedy with one point of return: linear for each star, never exponential.
    let (pattern, path) = (pattern.as_bytes(), path.as_bytes());
    let (mut p, mut t, mut back) = (0, 0, None);
    while let Some(&c) = path.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(&wanted) if wanted == c => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((star, from)) if path.get(from) != Some(&b'/') => {
                    (p, t) = (star, from + 1);
                    back = Some((star, from + 1));
                }
                _ => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stops_at_a_slash() {
        assert!(matches_pattern("stock/*.pcapng", "stock/01.pcapng"));
        assert!(matches_pattern("*/a*b*.pcap", "x/aabb.pcap"));
        assert!(!matches_pattern("stock/*.pcapng", "stock/old/01.pcapng"));
        assert!(!matches_pattern("stock/*.pcapng", "stock/01.pcap"));
        assert!(!matches_pattern("*", "a/b"));
    }

    #[test]
    fn windows_end_at_the_next_action_or_when_the_plan_says() {
        let action = |id: &str, start: u64, end: u64| ActionDone {
            id: id.to_owned(),
            verb: "idle".to_owned(),
            start: Timestamp(start * 1_000_000),
            end: Timestamp(end * 1_000_000),
            window_end: Timestamp(0),
            by: "operator".to_owned(),
            makes: Vec::new(),
        };
        let ends = |window| {
            let mut actions = vec![action("a", 0, 10), action("b", 100, 100), action("c", 500, 700)];
            close_windows(&mut actions, window);
            actions.iter().map(|action| action.window_end.0 / 1_000_000).collect::<Vec<_>>()
        };
        assert_eq!(ends(None), [100, 500, 700]);
        assert_eq!(ends(Some(50)), [60, 150, 750]);
        assert_eq!(ends(Some(1_000)), [100, 500, 1_700]);
        let mut one = vec![action("a", 0, 0)];
        close_windows(&mut one, None);
        assert_eq!(one[0].window_end.0 / 1_000_000, DEFAULT_WINDOW_MS);
    }
}
