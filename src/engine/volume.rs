//! Volume of what nobody can read: uploads by window, and the tests that hold them against the plan's lots.
//!
//! Photos alone are tested. A message or an identifier is smaller than the head of any request, so that an exchange
//! behind an action shows that something was sent and never that it was this; only where the least is some
//! thousands of bytes does volume say more than that. What comes out is "volume consistent with", nothing more.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    analyze::Road,
    assemble::{MAX_FRAME_RANGES, MAX_PARTS, filter, spanned},
    decoys::Draw,
    net::stream::Piece,
    statistics::{
        self,
        design::{self, Arm, Order},
        holm,
        power::{self, ALPHA, Expected, POWER},
        size_codes::{self, Matching},
    },
    verdict::gates::SMALLEST_PHOTO,
};
use crate::{
    case::{
        device::FileKind,
        scenario::{
            plan::{self, ActionDone, Phase, Plan, Run},
            seed,
            words::Section,
        },
    },
    evidence::{AnomalyKind, ByteRange, Digest, Direction, FrameNo, FrameRange, Timestamp},
    findings::{Finding, Grade, MADE_BY, Method, Part, StatisticalTest, TestOutcome},
};

/// Nanoseconds of silence that part two uploads of one connection.
const PAUSE: u64 = 2_000_000_000;
/// Uploads kept of a case; no experiment of one phone makes as many in windows that count.
const MAX_UPLOADS: usize = 200_000;
/// Tests of a case: with more than a thousand, size codes could not reach the level any more.
const MAX_TESTS: usize = 1_000;
/// Pairs of a design and a destination that are looked at: ten times the tests that may carry anything.
const MAX_PAIRS: usize = 10_000;
/// Steps of all tests together (one multiplication, or one size looked up in one window): about a minute.
const MAX_WORK: u64 = 20_000_000_000;
/// How an upload looks beside its photo, fixed here for every case: request head, form fields and framing add a few hundred
/// bytes, records and chunks less than five in a thousand.
const MATCHING: Matching = Matching { overhead: 1_500, permille: 5 };
/// What no capture shows: a time stamp on the digest of the frozen plan does.
const FROZEN_FIRST: &str = "the plan was frozen before the first run";
/// Sections that must be frozen, or a test was not fixed beforehand: how often, in which order, what for.
const FIXED: [Section; 3] = [Section::Phases, Section::Actions, Section::Claims];

/// What one connection sent in one window, between pauses, and nobody can read.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) phase: String,
    pub(super) run: String,
    pub(super) action: String,
    pub(super) family: String,
    pub(super) capture: String,
    pub(super) flow: String,
    pub(super) after_ms: i64,
    pub(super) bytes: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) range: ByteRange,
    pub(super) frames: Vec<FrameRange>,
}

/// Uploads of a case, as its flows are walked.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    list: Vec<Upload>,
    /// Families to which anything went that nobody can read, by phase.
    families: BTreeSet<(String, String)>,
    /// Those of them that hide volume.
    covered: BTreeSet<(String, String)>,
    left_out: u64,
}

/// The flow that is walked.
pub(super) struct Walked<'w> {
    pub(super) capture: &'w str,
    pub(super) flow: &'w str,
    pub(super) family: &'w str,
    pub(super) covers: bool,
}

/// What a flow sent in one window between pauses.
pub(super) struct Burst<'r> {
    run: &'r Run,
    action: &'r ActionDone,
    bytes: u64,
    first: Timestamp,
    last: Timestamp,
    /// Where in the stream; none of payload without a place in it.
    range: Option<ByteRange>,
    frames: Vec<FrameNo>,
}

/// Adds bytes of a moment to the bursts of a flow.
pub(super) fn add<'r>(
    bursts: &mut Vec<Burst<'r>>,
    (run, action): (&'r Run, &'r ActionDone),
    time: Timestamp,
    piece: Option<&Piece>,
    bytes: u64,
) {
    let goes_on = |last: &Burst<'_>| {
        std::ptr::eq(last.run, run)
            && std::ptr::eq(last.action, action)
            && time.0.saturating_sub(last.last.0) <= PAUSE
    };
    if !bursts.last().is_some_and(goes_on) {
        bursts.push(Burst {
            run,
            action,
            bytes: 0,
            first: time,
            last: time,
            range: None,
            frames: Vec::new(),
        });
    }
    let Some(burst) = bursts.last_mut() else { return };
    burst.bytes += bytes;
    burst.first = burst.first.min(time);
    burst.last = burst.last.max(time);
    if let Some(Piece { range, frame, .. }) = piece {
        let hull = burst
            .range
            .map_or(*range, |known| ByteRange::new(known.start.min(range.start), known.end.max(range.end)));
        burst.range = Some(hull);
        burst.frames.push(*frame);
    }
}

impl Uploads {
    /// Takes the bursts of a flow.
    pub(super) fn take(&mut self, walked: &Walked<'_>, bursts: Vec<Burst<'_>>) {
        for burst in bursts {
            let place = (burst.run.phase.clone(), walked.family.to_owned());
            if walked.covers {
                self.covered.insert(place.clone());
            }
            self.families.insert(place);
            if burst.bytes < SMALLEST_PHOTO {
                continue;
            }
            if self.list.len() >= MAX_UPLOADS {
                self.left_out += 1;
                continue;
            }
            self.list.push(Upload {
                phase: burst.run.phase.clone(),
                run: burst.run.id.clone(),
                action: burst.action.id.clone(),
                family: walked.family.to_owned(),
                capture: walked.capture.to_owned(),
                flow: walked.flow.to_owned(),
                after_ms: burst.first.millis_since(burst.action.start),
                bytes: burst.bytes,
                first: burst.first,
                last: burst.last,
                range: burst.range.unwrap_or(ByteRange::new(0, 0)),
                frames: FrameRange::unite(burst.frames),
            });
        }
    }
}

/// What a test gave, with the uploads behind it.
pub(super) struct Tested<'u> {
    pub(super) test: StatisticalTest,
    adjusted: f64,
    uploads: Vec<&'u Upload>,
}

impl Tested<'_> {
    /// What makes tests one finding: that more went there behind the action than luck gives.
    fn about(&self) -> (&str, &str, &str) {
        (&self.test.phase, &self.test.action, &self.test.destination)
    }
}

/// One finding for each phase, action and destination of which a test is significant.
pub(super) fn findings(tested: &[Tested<'_>]) -> Vec<Finding> {
    let significant = |tested: &&Tested<'_>| tested.test.outcome == TestOutcome::Significant;
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&Tested<'_>>> = BTreeMap::new();
    for one in tested.iter().filter(significant) {
        groups.entry(one.about()).or_default().push(one);
    }
    groups.into_values().filter_map(|group| finding(&group)).collect()
}

fn finding(group: &[&Tested<'_>]) -> Option<Finding> {
    // All stand behind the same: the one that luck gives least often speaks.
    let best = group.iter().min_by(|a, b| a.adjusted.total_cmp(&b.adjusted))?;
    let StatisticalTest { phase, action, destination, adjusted, .. } = &best.test;
    let ids: Vec<String> = group.iter().map(|one| one.test.id.clone()).collect();
    let digest = Digest::of(format!("statistical\n{}\n", ids.join("\n")).as_bytes()).to_string();
    let part = |upload: &&Upload| Part {
        capture: upload.capture.clone(),
        flow: upload.flow.clone(),
        direction: Direction::Up,
        run: Some(upload.run.clone()),
        action: Some(upload.action.clone()),
        after_ms: Some(upload.after_ms),
        first: upload.first,
        last: upload.last,
        frames: spanned(&upload.frames, MAX_FRAME_RANGES),
        filter: filter(&upload.frames),
        stream_range: upload.range,
        artifact_range: ByteRange::new(0, 0),
        steps: Vec::new(),
        leaf_range: upload.range,
        excerpt: String::new(),
    };
    Some(Finding {
        id: format!("F-{}", digest.chars().take(10).collect::<String>()),
        grade: Grade::Statistical,
        artifact: format!("{MADE_BY}{action}"),
        phase: phase.clone(),
        destination: destination.clone(),
        matched_bytes: 0,
        probative_bytes: 0,
        artifact_bytes: 0,
        artifact_ranges: Vec::new(),
        sha256: None,
        encoding: String::new(),
        form: None,
        distance: None,
        tests: ids,
        chance: format!("<={adjusted}"),
        probative: true,
        caveats: Vec::new(),
        parts: best.uploads.iter().take(MAX_PARTS).map(part).collect(),
    })
}

/// Why a case's volume is not tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMuch {
    /// More than [`MAX_UPLOADS`].
    #[error("volume was not tested: there are more than {MAX_UPLOADS} uploads that nobody can read")]
    Uploads,
    /// More than [`MAX_PAIRS`].
    #[error("volume was not tested: there are more than {MAX_PAIRS} pairs of an action and a destination")]
    Pairs,
    /// More than [`MAX_WORK`].
    #[error("volume was not tested: the tests would take more than {MAX_WORK} steps")]
    Work,
}

/// Everything that is tested in a case, adjusted over all of it; sorted by phase, action, destination and method.
///
/// # Errors
/// [`TooMuch`], before anything is tested.
pub(super) fn tests<'u>(road: &Road<'_>, uploads: &'u Uploads) -> Result<Vec<Tested<'u>>, TooMuch> {
    let plan = &road.case.plan;
    let mut designs = Vec::new();
    for phase in &plan.phases {
        for action in plan.actions.iter().filter(|action| phase.actions.contains(&action.id)) {
            designs.extend(Design::of(road, phase, action));
        }
    }
    let pairs: Vec<(&Design<'_, '_>, &String)> = designs
        .iter()
        .flat_map(|design| {
            let families = uploads.families.iter().filter(|(phase, _)| *phase == design.phase.id);
            families.map(move |(_, family)| (design, family))
        })
        .take(MAX_PAIRS + 1)
        .collect();
    affordable(uploads.left_out, pairs.iter().map(|(design, _)| design.work()))?;
    let sent = Sent::all(uploads);
    let mut raw: Vec<Raw<'_>> =
        pairs.iter().flat_map(|(design, family)| design.test(uploads, &sent, family)).collect();
    if raw.len() > MAX_TESTS {
        for one in &mut raw {
            one.trouble
                .get_or_insert((TestOutcome::NotCheckable, "more tests than can be adjusted for".to_owned()));
        }
    }
    let adjusted = holm::adjust(&raw.iter().map(|one| one.probability).collect::<Vec<_>>());
    let mut powers = Powers { tests: u32::try_from(raw.len()).unwrap_or(u32::MAX), known: BTreeMap::new() };
    Ok(raw.into_iter().zip(adjusted).map(|(one, adjusted)| one.finish(adjusted, &mut powers)).collect())
}

/// Whether tests of so much work can be done, uploads left out beforehand.
fn affordable(left_out: u64, work: impl ExactSizeIterator<Item = u64>) -> Result<(), TooMuch> {
    if left_out > 0 {
        Err(TooMuch::Uploads)
    } else if work.len() > MAX_PAIRS {
        Err(TooMuch::Pairs)
    } else if work.fold(0, u64::saturating_add) > MAX_WORK {
        Err(TooMuch::Work)
    } else {
        Ok(())
    }
}

/// An action that makes photos, with its sham, in one phase.
struct Design<'r, 'c> {
    plan: &'r Plan,
    phase: &'r Phase,
    action: &'r plan::Action,
    sham: &'r str,
    blocks: Vec<Block<'c>>,
    /// Why it carries no verdict, if it does not.
    exploratory: Option<String>,
}

/// One run.
struct Block<'c> {
    run: &'c Run,
    /// Bytes of the photo that its action made.
    planted: Option<u64>,
}

impl<'r, 'c> Design<'r, 'c> {
    fn of(road: &'r Road<'c>, phase: &'r Phase, action: &'r plan::Action) -> Option<Self> {
        let sham = action.sham.as_deref()?;
        let case: &'c _ = road.case;
        let blocks: Vec<Block<'c>> = case
            .runs
            .iter()
            .filter(|run| run.phase == phase.id && !run.twin && run.recorded)
            .map(|run| Block { run, planted: planted(road, run, &action.id) })
            .collect();
        if !blocks.iter().any(|block| block.planted.is_some()) {
            return None;
        }
        let plan = &case.plan;
        let exploratory = exploratory(plan, phase, &blocks);
        Some(Self { plan, phase, action, sham, blocks, exploratory })
    }

    /// The smallest photo that was made: an upload from there on may be one.
    fn least(&self) -> u64 {
        self.blocks.iter().filter_map(|block| block.planted).min().unwrap_or(0).max(SMALLEST_PHOTO)
    }

    /// Steps that the tests of one destination take: drawing the lots again, and looking up decoy codes.
    fn work(&self) -> u64 {
        let blocks = self.blocks.len() as u64;
        let codes = blocks.saturating_mul(2).saturating_mul(u64::from(size_codes::DECOYS));
        blocks.saturating_mul(blocks).saturating_add(codes)
    }

    fn test<'u>(&self, uploads: &'u Uploads, sent: &Sent<'u>, family: &str) -> Vec<Raw<'u>> {
        let least = self.least();
        let sent = sent.to(&self.phase.id, family);
        let blocks: Vec<Vec<design::Window>> =
            self.blocks.iter().map(|block| self.windows(block, least, sent)).collect();
        let trouble = self.trouble(uploads, family);
        // The lots are drawn in any case; whether that was so is said by `exploratory`.
        let Ok(compared) = design::compare(Order::Randomized, &blocks) else { return Vec::new() };
        let blank = StatisticalTest {
            id: String::new(),
            phase: self.phase.id.clone(),
            action: self.action.id.clone(),
            sham: self.sham.to_owned(),
            class: FileKind::Photo.name().to_owned(),
            destination: family.to_owned(),
            method: Method::Windows,
            least_bytes: least,
            action_windows: compared.action_windows,
            action_hits: compared.action_hits,
            sham_windows: compared.sham_windows,
            sham_hits: compared.sham_hits,
            decoys: 0,
            decoys_as_good: 0,
            probability: String::new(),
            adjusted: String::new(),
            tests: 0,
            outcome: TestOutcome::NotSignificant,
            why: String::new(),
            windows_needed: None,
            assumptions: Vec::new(),
        };
        let mut raw = vec![Raw {
            test: StatisticalTest {
                assumptions: vec![
                    FROZEN_FIRST.to_owned(),
                    "which window was the action's and which its sham's was drawn by lot".to_owned(),
                    format!(
                        "an upload is what one connection sends without a pause of {} s, and counts from the smallest photo on",
                        PAUSE / 1_000_000_000
                    ),
                ],
                ..blank.clone()
            },
            probability: compared.probability,
            trouble: trouble.clone(),
            uploads: self.behind(sent, |_, upload| upload.bytes >= least),
        }];
        raw.extend(self.codes(sent, blank, trouble));
        raw
    }

    /// Uploads in windows of the action that a test counts.
    fn behind<'u>(
        &self,
        sent: Option<&ByRun<'u>>,
        hit: impl Fn(&Block<'_>, &Upload) -> bool,
    ) -> Vec<&'u Upload> {
        let of = |block: &Block<'_>| -> Vec<&'u Upload> {
            let all = of_window(sent, &block.run.id, &self.action.id).iter().copied();
            all.filter(|upload| hit(block, upload)).collect()
        };
        self.blocks.iter().flat_map(of).collect()
    }

    /// The windows of both arms in a run.
    fn windows(&self, block: &Block<'_>, least: u64, sent: Option<&ByRun<'_>>) -> Vec<design::Window> {
        let arms = [(Arm::Action, self.action.id.as_str()), (Arm::Sham, self.sham)];
        let done = arms.into_iter().filter(|(_, id)| block.run.actions.iter().any(|done| done.id == *id));
        done.map(|(arm, id)| {
            let hit = of_window(sent, &block.run.id, id).iter().any(|upload| upload.bytes >= least);
            design::Window { arm, hit }
        })
        .collect()
    }

    /// Sizes of uploads ranked among codes that were never planted, where the photos have sizes far from each other.
    fn codes<'u>(
        &self,
        sent: Option<&ByRun<'u>>,
        blank: StatisticalTest,
        trouble: Option<(TestOutcome, String)>,
    ) -> Option<Raw<'u>> {
        let planted: BTreeSet<u64> = self.blocks.iter().filter_map(|block| block.planted).collect();
        let codes: Vec<u64> = planted.into_iter().collect();
        if codes.len() < 2 || size_codes::separated(&codes).is_err() {
            return None;
        }
        let windows: Vec<size_codes::Window> = self
            .blocks
            .iter()
            .filter_map(|block| {
                let uploads = of_window(sent, &block.run.id, &self.action.id);
                let uploads = uploads.iter().map(|upload| upload.bytes).collect();
                Some(size_codes::Window { planted: block.planted?, uploads })
            })
            .collect();
        let purpose = format!("size codes {} {} {}", self.phase.id, self.action.id, blank.destination);
        let mut draw = Draw::for_purpose(self.plan, &purpose);
        let rank = size_codes::rank(&windows, &MATCHING, &mut || draw.number())?;
        Some(Raw {
            test: StatisticalTest {
                method: Method::SizeCodes,
                action_windows: rank.windows,
                action_hits: rank.matched,
                sham_windows: 0,
                sham_hits: 0,
                decoys: rank.decoys,
                decoys_as_good: rank.decoys_as_good,
                assumptions: vec![
                    FROZEN_FIRST.to_owned(),
                    "which photo was made in which window was drawn by lot".to_owned(),
                    format!(
                        "an upload has the photo's size and at most {} bytes and {} in a thousand more",
                        MATCHING.overhead, MATCHING.permille
                    ),
                ],
                ..blank
            },
            probability: rank.probability,
            trouble,
            uploads: self.behind(sent, |block, upload| {
                block.planted.is_some_and(|size| MATCHING.fits(size, upload.bytes))
            }),
        })
    }

    fn trouble(&self, uploads: &Uploads, family: &str) -> Option<(TestOutcome, String)> {
        if uploads.covered.contains(&(self.phase.id.clone(), family.to_owned())) {
            return Some((TestOutcome::NotCheckable, "a flow to there sends at a constant rate".to_owned()));
        }
        self.exploratory.clone().map(|why| (TestOutcome::Exploratory, why))
    }
}

/// Uploads by run and action.
type ByRun<'u> = BTreeMap<&'u str, BTreeMap<&'u str, Vec<&'u Upload>>>;

/// Uploads by phase and family.
struct Sent<'u> {
    by_place: BTreeMap<&'u str, BTreeMap<&'u str, ByRun<'u>>>,
}

impl<'u> Sent<'u> {
    fn all(uploads: &'u Uploads) -> Self {
        let mut by_place: BTreeMap<&str, BTreeMap<&str, ByRun<'_>>> = BTreeMap::new();
        for upload in &uploads.list {
            let by_run = by_place.entry(&upload.phase).or_default().entry(&upload.family).or_default();
            by_run.entry(&upload.run).or_default().entry(&upload.action).or_default().push(upload);
        }
        Self { by_place }
    }

    fn to(&self, phase: &str, family: &str) -> Option<&ByRun<'u>> {
        self.by_place.get(phase)?.get(family)
    }
}

fn of_window<'s, 'u>(sent: Option<&'s ByRun<'u>>, run: &str, action: &str) -> &'s [&'u Upload] {
    sent.and_then(|sent| sent.get(run)?.get(action)).map_or(&[], Vec::as_slice)
}

/// A test before it is adjusted.
struct Raw<'u> {
    test: StatisticalTest,
    probability: f64,
    trouble: Option<(TestOutcome, String)>,
    uploads: Vec<&'u Upload>,
}

impl<'u> Raw<'u> {
    fn finish(self, adjusted: f64, powers: &mut Powers) -> Tested<'u> {
        let mut test = self.test;
        let text = format!("{}\n{}\n{}\n{}\n", test.phase, test.action, test.destination, test.method.name());
        let digest = Digest::of(text.as_bytes()).to_string();
        test.id = format!("T-{}", digest.chars().take(10).collect::<String>());
        test.probability = statistics::text(self.probability);
        test.adjusted = statistics::text(adjusted);
        test.tests = powers.tests;
        (test.outcome, test.why) = match self.trouble {
            Some(trouble) => trouble,
            None if adjusted <= ALPHA => (TestOutcome::Significant, String::new()),
            None => match powers.needed(&test) {
                Needed::More(windows) => {
                    test.windows_needed = windows;
                    (TestOutcome::Underpowered, "too few windows to expect a result".to_owned())
                }
                Needed::Enough => (TestOutcome::NotSignificant, "luck may have given it".to_owned()),
            },
        };
        Tested { test, adjusted, uploads: self.uploads }
    }
}

/// How many windows an effect in each of them would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needed {
    /// There are as many.
    Enough,
    /// So many an arm; none where no number would do.
    More(Option<u32>),
}

/// What the power of each kind of test came to: tests of one case share the number of windows, and mostly the background.
struct Powers {
    tests: u32,
    known: BTreeMap<(u32, u64), Needed>,
}

impl Powers {
    fn needed(&mut self, test: &StatisticalTest) -> Needed {
        let background = match test.method {
            Method::Windows => f64::from(test.sham_hits) / f64::from(test.sham_windows.max(1)),
            Method::SizeCodes => f64::from(test.decoys_as_good) / f64::from(test.decoys.max(1)),
        };
        let expected = Expected { background: background.min(1.0), effect: 1.0, tests: self.tests };
        *self.known.entry((test.action_windows, expected.background.to_bits())).or_insert_with(|| {
            if power::power(test.action_windows, &expected) < POWER {
                Needed::More(power::windows_an_arm(&expected))
            } else {
                Needed::Enough
            }
        })
    }
}

/// Why a design carries no verdict.
fn exploratory(plan: &Plan, phase: &Phase, blocks: &[Block<'_>]) -> Option<String> {
    let Some(seed) = plan.seed() else { return Some("the plan freezes nothing".to_owned()) };
    if let Some(open) = FIXED.iter().find(|section| !plan.frozen_sections.contains(section)) {
        return Some(format!("the plan does not freeze its {}", open.name()));
    }
    if !plan.randomized {
        return Some("the order of actions was not drawn by lot".to_owned());
    }
    if u32::try_from(blocks.len()) != Ok(phase.repeat) {
        return Some(format!("{} runs are on record, {} were planned", blocks.len(), phase.repeat));
    }
    let departs = |block: &&Block<'_>| {
        let done: Vec<&str> = block.run.actions.iter().map(|action| action.id.as_str()).collect();
        done != seed::order(seed, &block.run.id, plan)
    };
    if let Some(departed) = blocks.iter().find(departs) {
        return Some(format!("{} was not done in the order that the lots gave", departed.run.id));
    }
    blocks.iter().find_map(|block| without_rest(plan, block.run))
}

/// Where actions of a run stand closer than the plan's washout: what one of them sent late would count for the next.
fn without_rest(plan: &Plan, run: &Run) -> Option<String> {
    let planned = i64::try_from(plan.washout_ms?).unwrap_or(i64::MAX);
    let mut actions: Vec<_> = run.actions.iter().collect();
    actions.sort_by_key(|action| action.start);
    actions.iter().zip(actions.iter().skip(1)).find_map(|(before, after)| {
        let rest = after.start.millis_since(before.end);
        (rest < planned).then(|| {
            format!(
                "{} began {rest} ms after {} ended in {}; a rest of {planned} ms is planned",
                after.id, before.id, run.id
            )
        })
    })
}

/// Bytes of the photo that an action made in a run: one, or it has no size to look for.
fn planted(road: &Road<'_>, run: &Run, action: &str) -> Option<u64> {
    let files = run.files.as_deref()?;
    let device = road.case.devices.get(files)?;
    let done = run.actions.iter().find(|done| done.id == action)?;
    let mut photos = device.files.iter().filter(|file| file.kind == FileKind::Photo && done.made(&file.path));
    let only = photos.next().filter(|_| photos.next().is_none())?;
    road.catalog.digests().get(&only.path).map(|(_, bytes)| *bytes)
}

/// Whether a flow hides its volume.
pub(super) fn covers(signs: &BTreeSet<AnomalyKind>) -> bool {
    signs.contains(&AnomalyKind::ConstantRate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let action = |id: &str, start: u64| ActionDone {
            id: id.into(),
            verb: "take-photo".into(),
            start: Timestamp(start * 1_000_000_000),
            end: Timestamp(start * 1_000_000_000),
            window_end: Timestamp((start + 60) * 1_000_000_000),
            by: "simulated".into(),
            makes: Vec::new(),
        };
        Run {
            id: "stock/01".into(),
            phase: "stock".into(),
            actions: vec![action("a", 0), action("b", 60)],
            ..Run::default()
        }
    }

    fn piece(start: u64, frame: u32, millis: u64) -> Piece {
        let range = ByteRange::new(start, start + 5_000);
        Piece { range, at: 0, frame: FrameNo(frame), time: Timestamp(millis * 1_000_000) }
    }

    #[test]
    fn uploads_part_at_pauses_and_windows_and_know_their_frames() {
        let run = run();
        let mut bursts = Vec::new();
        for (action, piece) in [
            (0, piece(0, 3, 1_000)),
            // Two seconds are no pause yet; a retransmission is older than what came before it.
            (0, piece(9_000, 5, 3_000)),
            (0, piece(5_000, 4, 2_000)),
            (0, piece(14_000, 9, 5_001)),
            (1, piece(19_000, 10, 5_002)),
        ] {
            add(&mut bursts, (&run, &run.actions[action]), piece.time, Some(&piece), 4_500);
        }
        add(&mut bursts, (&run, &run.actions[1]), Timestamp(5_003_000_000), None, 100);
        let mut uploads = Uploads::default();
        let walked = Walked { capture: "c", flow: "f", family: "up.example", covers: false };
        uploads.take(&walked, bursts);
        let seen: Vec<_> = uploads
            .list
            .iter()
            .map(|one| (one.action.as_str(), one.bytes, one.after_ms, one.range, one.frames.as_slice()))
            .collect();
        let frames = |first, last| FrameRange { first: FrameNo(first), last: FrameNo(last) };
        assert_eq!(
            seen,
            [
                ("a", 13_500, 1_000, ByteRange::new(0, 14_000), [frames(3, 5)].as_slice()),
                ("a", 4_500, 5_001, ByteRange::new(14_000, 19_000), [frames(9, 9)].as_slice()),
                ("b", 4_600, -54_998, ByteRange::new(19_000, 24_000), [frames(10, 10)].as_slice()),
            ]
        );
    }

    #[test]
    fn what_would_take_too_long_is_not_begun() {
        let work = |pairs: usize, each: u64| affordable(0, vec![each; pairs].into_iter());
        assert_eq!(work(MAX_PAIRS, 1_000), Ok(()));
        assert_eq!(work(MAX_PAIRS + 1, 1), Err(TooMuch::Pairs));
        assert_eq!(work(2, MAX_WORK / 2), Ok(()));
        assert_eq!(work(2, MAX_WORK / 2 + 1), Err(TooMuch::Work));
        assert_eq!(work(2, u64::MAX), Err(TooMuch::Work));
        assert_eq!(affordable(1, vec![1].into_iter()), Err(TooMuch::Uploads));
    }

    #[test]
    fn what_is_smaller_than_any_photo_is_no_upload() {
        let run = run();
        let mut bursts = Vec::new();
        add(&mut bursts, (&run, &run.actions[0]), Timestamp(0), Some(&piece(0, 1, 0)), SMALLEST_PHOTO - 1);
        let mut uploads = Uploads::default();
        uploads.take(&Walked { capture: "c", flow: "f", family: "up.example", covers: false }, bursts);
        assert!(uploads.list.is_empty());
        assert_eq!(uploads.families, [("stock".to_owned(), "up.example".to_owned())].into());
    }
}
