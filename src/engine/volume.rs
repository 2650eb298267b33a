//! Volume of what nobody can read: uploads by window, and the tests that hold them against the plan's lots.
//!
//! Photos alone are tested. A message or an identifier is smaller than the head of any request, so that an exchange
//! behind an action shows that something was sent and never that it was this; only where the least is some
//! thousands of bytes does volume say more than that. What comes out is "volume consistent with", nothing more.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    analyze::Road,
    assemble::{MAX_FRAME_RANGES, MAX_PARTS, filter, spanned},
    net::stream::Stream,
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
    evidence::{AnomalyKind, ByteRange, Digest, Direction, FrameRange, Timestamp},
    findings::{Finding, Grade, MADE_BY, Method, Part, StatisticalTest, TestOutcome},
};

/// Nanoseconds of silence that part two uploads of one connection.
const PAUSE: u64 = 2_000_000_000;
/// Uploads kept of a case; no experiment of one phone makes as many in windows that count.
const MAX_UPLOADS: usize = 200_000;
/// Tests of a case: with more than a thousand, size codes could not reach the level any more.
const MAX_TESTS: usize = 1_000;
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
}

/// Adds bytes of a moment to the bursts of a flow.
pub(super) fn add<'r>(
    bursts: &mut Vec<Burst<'r>>,
    (run, action): (&'r Run, &'r ActionDone),
    time: Timestamp,
    bytes: u64,
) {
    match bursts.last_mut() {
        Some(last)
            if std::ptr::eq(last.run, run)
                && std::ptr::eq(last.action, action)
                && time.0.saturating_sub(last.last.0) <= PAUSE =>
        {
            last.bytes += bytes;
            last.last = last.last.max(time);
            last.first = last.first.min(time);
        }
        _ => bursts.push(Burst { run, action, bytes, first: time, last: time }),
    }
}

impl Uploads {
    /// Takes the bursts of a flow.
    pub(super) fn take(&mut self, walked: &Walked<'_>, up: &Stream, bursts: Vec<Burst<'_>>) {
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
            let within = |time: Timestamp| burst.first <= time && time <= burst.last;
            let pieces = || up.pieces.iter().filter(|piece| within(piece.time));
            let start = pieces().map(|piece| piece.range.start).min().unwrap_or(0);
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
                range: ByteRange::new(start, pieces().map(|piece| piece.range.end).max().unwrap_or(start)),
                frames: FrameRange::unite(pieces().map(|piece| piece.frame)),
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

/// Everything that is tested in a case, adjusted over all of it; sorted by phase, action, destination and method.
pub(super) fn tests<'u>(road: &Road<'_>, uploads: &'u Uploads) -> Vec<Tested<'u>> {
    let plan = &road.case.plan;
    let mut designs = Vec::new();
    for phase in &plan.phases {
        for action in plan.actions.iter().filter(|action| phase.actions.contains(&action.id)) {
            designs.extend(Design::of(road, phase, action));
        }
    }
    let mut raw = Vec::new();
    for design in &designs {
        let families = uploads.families.iter().filter(|(phase, _)| *phase == design.phase.id);
        for (_, family) in families {
            raw.extend(design.test(uploads, family));
        }
    }
    if raw.len() > MAX_TESTS || uploads.left_out > 0 {
        for one in &mut raw {
            one.trouble
                .get_or_insert((TestOutcome::NotCheckable, "more tests or uploads than are held".to_owned()));
        }
    }
    let adjusted = holm::adjust(&raw.iter().map(|one| one.probability).collect::<Vec<_>>());
    let tests = u32::try_from(raw.len()).unwrap_or(u32::MAX);
    raw.into_iter().zip(adjusted).map(|(one, adjusted)| one.finish(adjusted, tests)).collect()
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

    fn test<'u>(&self, uploads: &'u Uploads, family: &str) -> Vec<Raw<'u>> {
        let least = self.least();
        let sent = Sent::of(uploads, &self.phase.id, family);
        let blocks: Vec<Vec<design::Window>> =
            self.blocks.iter().map(|block| self.windows(block, least, &sent)).collect();
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
            uploads: self.behind(&sent, |_, upload| upload.bytes >= least),
        }];
        raw.extend(self.codes(&sent, blank, trouble));
        raw
    }

    /// Uploads in windows of the action that a test counts.
    fn behind<'u>(&self, sent: &Sent<'u>, hit: impl Fn(&Block<'_>, &Upload) -> bool) -> Vec<&'u Upload> {
        let of = |block: &Block<'_>| -> Vec<&'u Upload> {
            let all = sent.of_window(&block.run.id, &self.action.id).iter().copied();
            all.filter(|upload| hit(block, upload)).collect()
        };
        self.blocks.iter().flat_map(of).collect()
    }

    /// The windows of both arms in a run.
    fn windows(&self, block: &Block<'_>, least: u64, sent: &Sent<'_>) -> Vec<design::Window> {
        let arms = [(Arm::Action, self.action.id.as_str()), (Arm::Sham, self.sham)];
        let done = arms.into_iter().filter(|(_, id)| block.run.actions.iter().any(|done| done.id == *id));
        done.map(|(arm, id)| {
            let hit = sent.of_window(&block.run.id, id).iter().any(|upload| upload.bytes >= least);
            design::Window { arm, hit }
        })
        .collect()
    }

    /// Sizes of uploads ranked among codes that were never planted, where the photos have sizes far from each other.
    fn codes<'u>(
        &self,
        sent: &Sent<'u>,
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
                let uploads = sent
                    .of_window(&block.run.id, &self.action.id)
                    .iter()
                    .map(|upload| upload.bytes)
                    .collect();
                Some(size_codes::Window { planted: block.planted?, uploads })
            })
            .collect();
        let rank = size_codes::rank(&windows, &MATCHING, &mut draw(self.plan, &self.phase.id, &blank))?;
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

/// Uploads to one family in one phase, by run and action.
struct Sent<'u> {
    by_run: BTreeMap<&'u str, BTreeMap<&'u str, Vec<&'u Upload>>>,
}

impl<'u> Sent<'u> {
    fn of(uploads: &'u Uploads, phase: &str, family: &str) -> Self {
        let mut by_run: BTreeMap<&str, BTreeMap<&str, Vec<&Upload>>> = BTreeMap::new();
        for upload in uploads.list.iter().filter(|upload| upload.phase == phase && upload.family == family) {
            by_run.entry(&upload.run).or_default().entry(&upload.action).or_default().push(upload);
        }
        Self { by_run }
    }

    fn of_window(&self, run: &str, action: &str) -> &[&'u Upload] {
        self.by_run.get(run).and_then(|run| run.get(action)).map_or(&[], Vec::as_slice)
    }
}

/// A test before it is adjusted.
struct Raw<'u> {
    test: StatisticalTest,
    probability: f64,
    trouble: Option<(TestOutcome, String)>,
    uploads: Vec<&'u Upload>,
}

impl<'u> Raw<'u> {
    fn finish(self, adjusted: f64, tests: u32) -> Tested<'u> {
        let mut test = self.test;
        let text = format!("{}\n{}\n{}\n{}\n", test.phase, test.action, test.destination, test.method.name());
        let digest = Digest::of(text.as_bytes()).to_string();
        test.id = format!("T-{}", digest.chars().take(10).collect::<String>());
        test.probability = statistics::text(self.probability);
        test.adjusted = statistics::text(adjusted);
        test.tests = tests;
        (test.outcome, test.why) = match self.trouble {
            Some(trouble) => trouble,
            None if adjusted <= ALPHA => (TestOutcome::Significant, String::new()),
            None => match needed(&test) {
                Some(needed) => {
                    test.windows_needed = needed;
                    (TestOutcome::Underpowered, "too few windows to expect a result".to_owned())
                }
                None => (TestOutcome::NotSignificant, "luck may have given it".to_owned()),
            },
        };
        Tested { test, adjusted, uploads: self.uploads }
    }
}

/// How many windows an arm an effect in each window would take, where there are too few; none where there are enough.
fn needed(test: &StatisticalTest) -> Option<Option<u32>> {
    let background = match test.method {
        Method::Windows => f64::from(test.sham_hits) / f64::from(test.sham_windows.max(1)),
        Method::SizeCodes => f64::from(test.decoys_as_good) / f64::from(test.decoys.max(1)),
    };
    let expected = Expected { background: background.min(1.0), effect: 1.0, tests: test.tests };
    (power::power(test.action_windows, &expected) < POWER).then(|| power::windows_an_arm(&expected))
}

/// Why a design carries no verdict.
fn exploratory(plan: &Plan, phase: &Phase, blocks: &[Block<'_>]) -> Option<String> {
    let Some(frozen) = plan.frozen else { return Some("the plan freezes nothing".to_owned()) };
    if let Some(open) = FIXED.iter().find(|section| !plan.frozen_sections.contains(section)) {
        return Some(format!("the plan does not freeze its {}", open.name()));
    }
    if !plan.randomized {
        return Some("the order of actions was not drawn by lot".to_owned());
    }
    if u32::try_from(blocks.len()) != Ok(phase.repeat) {
        return Some(format!("{} runs are on record, {} were planned", blocks.len(), phase.repeat));
    }
    let seed = seed::plan_seed(frozen, None);
    let departs = |block: &&Block<'_>| {
        let done: Vec<&str> = block.run.actions.iter().map(|action| action.id.as_str()).collect();
        done != seed::order(seed, &block.run.id, plan)
    };
    let departed = blocks.iter().find(departs)?;
    Some(format!("{} was not done in the order that the lots gave", departed.run.id))
}

/// Bytes of the photo that an action made in a run: one, or it has no size to look for.
fn planted(road: &Road<'_>, run: &Run, action: &str) -> Option<u64> {
    let files = run.files.as_deref()?;
    let device = road.case.devices.get(files)?;
    let done = run.actions.iter().find(|done| done.id == action)?;
    let made = |path: &str| {
        done.makes.iter().any(|made| {
            path == made || path.strip_suffix(made.as_str()).is_some_and(|before| before.ends_with('/'))
        })
    };
    let mut photos = device.files.iter().filter(|file| file.kind == FileKind::Photo && made(&file.path));
    let only = photos.next().filter(|_| photos.next().is_none())?;
    road.catalog.digests().get(&only.path).map(|(_, bytes)| *bytes)
}

/// Numbers below 2^64 from the plan seed: the decoys of one test.
fn draw(plan: &Plan, phase: &str, test: &StatisticalTest) -> impl FnMut() -> u64 + use<> {
    let seed = plan.frozen.map_or(Digest::of(plan.id.as_bytes()), |frozen| seed::plan_seed(frozen, None));
    let label = format!("size codes {phase} {} {}", test.action, test.destination);
    let Digest(seed) = seed::labelled(seed, &label);
    // SplitMix64 (Steele, Lea and Flood 2014): decoys need no more than to be spread evenly.
    let mut state = seed.first_chunk().map_or(0, |start| u64::from_be_bytes(*start));
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Whether a flow hides its volume.
pub(super) fn covers(signs: &BTreeSet<AnomalyKind>) -> bool {
    signs.contains(&AnomalyKind::ConstantRate)
}
