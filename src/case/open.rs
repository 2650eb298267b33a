//! Loading a case from a folder, and refusing half of one.
//!
//! [`Draft::load`] reads the scenario and the record and looks for every file that they name; [`Case::open`]
//! opens those files. Paths are relative to the folder, which is the scenario's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use crate::evidence::{Blob, Digest, Scratch, printable, read_exact_at};

use super::{
    Case, Input, InputRole,
    capture::{Capture, CaptureError},
    device::Device,
    folder::Folder,
    geoip::Table,
    scenario::{
        self, Parsed, PathKind, Problem, Problems, Severity,
        plan::{Phase, Phone, Plan, Run},
        problem::did_you_mean,
        record::{self, Record, RecordError},
        schema::Schema,
    },
};

/// The record's logical path, beside the scenario.
pub const RECORD: &str = "record.jsonl";
/// A hundred thousand runs of some 600 bytes.
const MAX_RECORD: u64 = 64 << 20;
/// A schema or an image's digest is a small text.
const MAX_SIDE_FILE: u64 = 16 << 20;
/// The phase and the case of a capture without a scenario.
const FIND: &str = "find";

/// Why a case can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// Nothing stands at a path.
    #[error("open {path}: there is no such file or folder")]
    Missing {
        /// The logical path.
        path: String,
        /// What could have been meant.
        near: Option<String>,
    },
    /// A folder stands where a file is wanted.
    #[error("open {path}: it is a folder, not a file")]
    Folder {
        /// The logical path.
        path: String,
    },
    /// It can't be read.
    #[error("read {path}")]
    Unreadable {
        /// The logical path.
        path: String,
        /// What the medium said.
        #[source]
        source: io::Error,
    },
    /// It is larger than such a file ever is.
    #[error("read {path}: it is larger than {} MiB", limit >> 20)]
    TooLarge {
        /// The logical path.
        path: String,
        /// The most that is read.
        limit: u64,
    },
    /// The scenario has errors, or names files that are not there.
    #[error(transparent)]
    Scenario(Box<Problems>),
    /// The record has errors.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A capture is none.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The plan stands, and nothing was done yet.
    #[error("analyze {path}: nothing has been recorded yet")]
    NothingRecorded {
        /// The scenario's logical path.
        path: String,
    },
}

impl CaseError {
    /// The way out, for a line of its own.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { near, .. } => near.clone(),
            Self::Folder { .. } => Some("name the file in it".to_owned()),
            Self::Record(error) => error.help.clone(),
            Self::NothingRecorded { .. } => {
                Some(format!("add `capture: FILE` to a phase, or write what happened to {RECORD}"))
            }
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("your account may not read it".to_owned())
            }
            _ => None,
        }
    }
}

/// A scenario and its record, and whether the files that they name are there.
pub struct Draft {
    /// The scenario's logical path.
    pub name: String,
    /// Its text.
    pub text: String,
    /// The scenario.
    pub parsed: Parsed,
    /// What happened, where it was recorded.
    pub record: Option<Record>,
    /// Runs, of the record or of the short forms.
    pub runs: Vec<Run>,
    /// Files that are not there: errors for what a run names, warnings for what the plan will need.
    pub missing: Vec<Problem>,
}

impl Draft {
    /// Reads the scenario and the record, and looks for every file that they name.
    ///
    /// # Errors
    /// When one of the two can't be read or has errors.
    pub fn load(folder: &dyn Folder, scenario: &str) -> Result<Self, CaseError> {
        let bytes = small_file(folder, scenario, scenario::MAX_TEXT)?;
        let parsed =
            scenario::parse(scenario, &bytes).map_err(|problems| CaseError::Scenario(Box::new(problems)))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let record = match small_file(folder, RECORD, MAX_RECORD) {
            Ok(bytes) => Some(record::parse(RECORD, &bytes, &parsed.plan)?),
            Err(CaseError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut missing = missing_files(folder, &parsed);
        let runs = match (&record, parsed.shorts.first()) {
            (Some(_), Some(short)) => {
                missing.push(short.beside_a_record());
                Vec::new()
            }
            (Some(record), None) => record.runs.clone(),
            (None, _) => {
                match scenario::runs(&parsed.shorts, &|path| folder.list(path).unwrap_or_default()) {
                    Ok(runs) => runs,
                    Err(problems) => {
                        missing.extend(problems);
                        Vec::new()
                    }
                }
            }
        };
        Ok(Self { name: scenario.to_owned(), text, parsed, record, runs, missing })
    }

    /// Everything that is to be said about it, to be drawn.
    pub fn problems(&self) -> Problems {
        let list = self.parsed.warnings.iter().chain(&self.missing).cloned().collect();
        Problems::new(&self.name, &self.text, list)
    }
}

/// Looks for the files that a scenario names. Patterns are left to the short forms.
fn missing_files(folder: &dyn Folder, parsed: &Parsed) -> Vec<Problem> {
    let mut problems = Vec::new();
    let device: Vec<String> = parsed
        .paths
        .iter()
        .filter(|path| path.kind == PathKind::Files)
        .flat_map(|path| folder.list(&path.path).unwrap_or_default())
        .collect();
    for path in parsed.paths.iter().filter(|path| !path.path.contains('*')) {
        let (what, severity) = match path.kind {
            PathKind::Capture => ("capture", Severity::Error),
            PathKind::Keys => ("key log", Severity::Error),
            PathKind::Files => ("folder", Severity::Error),
            PathKind::DeviceFile => {
                if !parsed.shorts.is_empty() && !device.iter().any(|there| ends_with_path(there, &path.path))
                {
                    let below = parsed.paths.iter().filter(|path| path.kind == PathKind::Files);
                    let names: Vec<String> = below
                        .flat_map(|files| device.iter().filter_map(|there| strip_folder(there, &files.path)))
                        .collect();
                    problems.push(Problem {
                        help: did_you_mean(&path.path, names.iter().map(String::as_str))
                            .or(Some("give the folder of the phone's files as `files`".to_owned())),
                        ..Problem::error(path.place, format!("no file of the phone at {}", shown(&path.path)))
                    });
                }
                continue;
            }
            PathKind::Provenance => ("image digest", Severity::Warning),
            PathKind::Schema => ("schema", Severity::Warning),
        };
        let found = match path.kind {
            PathKind::Files => folder.list(&path.path).map(|_| ()),
            _ => folder.open(&path.path).map(|_| ()),
        };
        if path.kind == PathKind::Schema
            && let Ok(bytes) = small_file(folder, &path.path, MAX_SIDE_FILE)
            && let Err(error) = Schema::parse(&path.path, &bytes)
        {
            problems.push(Problem::error(path.place, error.to_string()));
        }
        if let Err(error) = found {
            let help = near(folder, &path.path).or_else(|| match severity {
                Severity::Warning => Some("the plan needs it before the first run".to_owned()),
                Severity::Error => None,
            });
            let message = match error.kind() {
                io::ErrorKind::NotFound => format!("missing: no {what} at {}", shown(&path.path)),
                _ => format!("the {what} {} can't be opened: {error}", shown(&path.path)),
            };
            problems.push(Problem { severity, help, ..Problem::error(path.place, message) });
        }
    }
    problems
}

fn shown(path: &str) -> String {
    printable(path.as_bytes(), 200)
}

fn ends_with_path(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

fn strip_folder(path: &str, folder: &str) -> Option<String> {
    let folder = folder.trim_start_matches("./").trim_end_matches('/');
    path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned)
}

/// A file in the same folder with almost the same name.
fn near(folder: &dyn Folder, path: &str) -> Option<String> {
    let parent = path.trim_end_matches('/').rsplit_once('/').map_or(".", |(parent, _)| parent);
    let there = folder.list(parent).ok()?;
    // Names directly in the folder, and the folders that stand in it.
    let depth = if parent == "." { 1 } else { parent.split('/').count() + 1 };
    let names: BTreeSet<String> =
        there.iter().map(|path| path.split('/').take(depth).collect::<Vec<_>>().join("/")).collect();
    did_you_mean(path.trim_end_matches('/'), names.iter().map(String::as_str))
}

fn open_file(folder: &dyn Folder, path: &str) -> Result<Arc<dyn Blob>, CaseError> {
    folder.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CaseError::Missing { path: path.to_owned(), near: near(folder, path) },
        io::ErrorKind::IsADirectory => CaseError::Folder { path: path.to_owned() },
        _ => CaseError::Unreadable { path: path.to_owned(), source },
    })
}

fn small_file(folder: &dyn Folder, path: &str, limit: u64) -> Result<Vec<u8>, CaseError> {
    let blob = open_file(folder, path)?;
    let len = usize::try_from(blob.len()).ok().filter(|_| blob.len() <= limit);
    let Some(len) = len else { return Err(CaseError::TooLarge { path: path.to_owned(), limit }) };
    let mut bytes = vec![0; len];
    read_exact_at(&*blob, &mut bytes, 0)
        .map_err(|source| CaseError::Unreadable { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// A capture and files, without a scenario. Paths are logical paths of the folder.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Captures.
    pub captures: Vec<String>,
    /// NSS key logs.
    pub keys: Vec<String>,
    /// Files, or folders of files.
    pub files: Vec<String>,
    /// What is known of the phone.
    pub phone: Phone,
}

impl Case {
    /// Opens a case: the scenario, its record and every file that they name. `folder` is the scenario's own.
    ///
    /// # Errors
    /// When any of it is missing, can't be read or has errors; when nothing was recorded yet.
    pub fn open(folder: &dyn Folder, scenario: &str, scratch: &Scratch) -> Result<Self, CaseError> {
        let draft = Draft::load(folder, scenario)?;
        if draft.missing.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(CaseError::Scenario(Box::new(draft.problems())));
        }
        if draft.runs.is_empty() {
            return Err(CaseError::NothingRecorded { path: scenario.to_owned() });
        }
        let mut opener = Opener::new(folder, scratch);
        opener.input(scenario, InputRole::Scenario)?;
        if draft.record.is_some() {
            opener.input(RECORD, InputRole::Record)?;
        }
        for path in &draft.parsed.paths {
            if matches!(path.kind, PathKind::Schema | PathKind::Provenance) {
                opener.side_file(&path.path)?;
            }
        }
        for path in draft.parsed.paths.iter().filter(|path| path.kind == PathKind::Schema) {
            // One with errors was refused above; one that is missing accounts for nothing.
            let bytes = small_file(folder, &path.path, MAX_SIDE_FILE).unwrap_or_default();
            if let Ok(schema) = Schema::parse(&path.path, &bytes) {
                opener.schemas.insert(path.path.clone(), schema);
            }
        }
        for path in draft.parsed.paths.iter().filter(|path| path.kind == PathKind::Provenance) {
            let bytes = small_file(folder, &path.path, MAX_SIDE_FILE).unwrap_or_default();
            if let Some(digest) = image_digest(&bytes) {
                opener.images.insert(path.path.clone(), digest);
            }
        }
        opener.runs(&draft.runs)?;
        let record = draft.record.as_ref();
        Ok(opener.case(
            draft.parsed.plan,
            draft.runs,
            (record.map_or(0, |record| record.lines), record.and_then(|record| record.head)),
            record.and_then(|record| record.broken_at),
        ))
    }

    /// Makes a case of captures and files, without a scenario: no claims, one phase, one run.
    ///
    /// # Errors
    /// When any of it is missing or can't be read.
    pub fn from_parts(folder: &dyn Folder, parts: Parts, scratch: &Scratch) -> Result<Self, CaseError> {
        let mut opener = Opener::new(folder, scratch);
        let files = match parts.files.as_slice() {
            [] => None,
            [one] => Some(one.trim_end_matches('/').to_owned()),
            _ => Some("files".to_owned()),
        };
        let run = Run {
            id: format!("{FIND}/01"),
            phase: FIND.to_owned(),
            captures: parts.captures,
            keys: parts.keys,
            ..Run::default()
        };
        opener.runs(std::slice::from_ref(&run))?;
        if let Some(name) = &files {
            opener.device(name, &parts.files)?;
        }
        Ok(opener.case(find_plan(parts.phone), vec![Run { files, ..run }], (0, None), None))
    }
}

/// The digest of an image in a file whose first word it is, as `sha256sum` writes it.
fn image_digest(bytes: &[u8]) -> Option<Digest> {
    let text = str::from_utf8(bytes).ok()?;
    text.split_ascii_whitespace().next()?.to_ascii_lowercase().parse().ok()
}

fn find_plan(phone: Phone) -> Plan {
    Plan {
        id: FIND.to_owned(),
        title: "Did any of these files leave?".to_owned(),
        simulated: false,
        phone,
        phases: vec![Phase { id: FIND.to_owned(), repeat: 1, ..Phase::default() }],
        windows_needed: 59,
        spike_recall: 0.95,
        ..Plan::default()
    }
}

/// Opens inputs, each path once.
struct Opener<'a> {
    folder: &'a dyn Folder,
    scratch: &'a Scratch,
    captures: BTreeMap<String, Capture>,
    devices: BTreeMap<String, Device>,
    inputs: BTreeMap<String, Input>,
    schemas: BTreeMap<String, Schema>,
    images: BTreeMap<String, Digest>,
    spiked: BTreeMap<String, Arc<dyn Blob>>,
}

impl<'a> Opener<'a> {
    fn new(folder: &'a dyn Folder, scratch: &'a Scratch) -> Self {
        Self {
            folder,
            scratch,
            captures: BTreeMap::new(),
            devices: BTreeMap::new(),
            inputs: BTreeMap::new(),
            schemas: BTreeMap::new(),
            images: BTreeMap::new(),
            spiked: BTreeMap::new(),
        }
    }

    fn input(&mut self, path: &str, role: InputRole) -> Result<Arc<dyn Blob>, CaseError> {
        if let Some(input) = self.inputs.get(path) {
            return Ok(Arc::clone(&input.blob));
        }
        let blob = open_file(self.folder, path)?;
        self.inputs.insert(path.to_owned(), Input { role, blob: Arc::clone(&blob) });
        Ok(blob)
    }

    /// A file that the plan names and this version doesn't need: sealed with the rest where it is there.
    fn side_file(&mut self, path: &str) -> Result<(), CaseError> {
        match self.input(path, InputRole::Scenario) {
            Ok(blob) if blob.len() > MAX_SIDE_FILE => {
                Err(CaseError::TooLarge { path: path.to_owned(), limit: MAX_SIDE_FILE })
            }
            Ok(_) | Err(CaseError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn runs(&mut self, runs: &[Run]) -> Result<(), CaseError> {
        for run in runs {
            for path in &run.captures {
                if !self.captures.contains_key(path) {
                    let file = self.input(path, InputRole::Capture)?;
                    self.captures.insert(path.clone(), Capture::open(path, file, self.scratch)?);
                }
            }
            for path in &run.keys {
                self.input(path, InputRole::Keys)?;
            }
            for path in run.spikes.iter().filter_map(|spike| spike.artifact.as_ref()) {
                let file = self.input(path, InputRole::Scenario)?;
                self.spiked.insert(path.clone(), file);
            }
            if let Some(files) = &run.files
                && !self.devices.contains_key(files)
            {
                self.device(files, std::slice::from_ref(files))?;
            }
        }
        Ok(())
    }

    fn device(&mut self, name: &str, paths: &[String]) -> Result<(), CaseError> {
        let mut files = Vec::new();
        for path in paths {
            let device = Device::open(self.folder, path).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => {
                    CaseError::Missing { path: path.clone(), near: near(self.folder, path) }
                }
                _ => CaseError::Unreadable { path: path.clone(), source },
            })?;
            files.extend(device.files);
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        // A scenario or a capture inside the folder of the phone's files was not on the phone.
        files.retain(|file| self.inputs.get(&file.path).is_none_or(|input| input.role == InputRole::Device));
        for file in &files {
            let input = Input { role: InputRole::Device, blob: Arc::clone(&file.blob) };
            self.inputs.entry(file.path.clone()).or_insert(input);
        }
        self.devices.insert(name.to_owned(), Device { files });
        Ok(())
    }

    fn case(
        self,
        plan: Plan,
        runs: Vec<Run>,
        custody: (u64, Option<Digest>),
        chain_broken_at: Option<u64>,
    ) -> Case {
        Case {
            plan,
            runs,
            custody,
            chain_broken_at,
            captures: self.captures,
            devices: self.devices,
            schemas: self.schemas,
            images: self.images,
            spiked: self.spiked,
            addresses: Table::Embedded,
            inputs: self.inputs,
        }
    }
}
