//! Contents of a capture as files: names that are safe on every system, nothing overwritten, and a list of what is what.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use exhibit::{
    engine::extract::{Content, Take},
    evidence::{Digest, Direction},
    findings::Finding,
    report::quantity::counted,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Failure, shown};

/// The list of files.
pub(crate) const LIST: &str = "extracted.jsonl";
/// Characters of a name that come from the capture.
const MAX_NAME: usize = 80;
/// Files in all; a folder of more helps nobody.
const MAX_FILES: u64 = 100_000;
/// Files of one name.
const MAX_ALIKE: usize = 10_000;

/// Endings by media type (IANA), for what has none of its own.
const ENDINGS: [(&str, &str); 14] = [
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/css", "css"),
    ("application/json", "json"),
    ("application/xml", "xml"),
    ("text/xml", "xml"),
    ("application/javascript", "js"),
    ("text/javascript", "js"),
    ("application/zip", "zip"),
    ("application/pdf", "pdf"),
];

/// A message of a flow by its number, and whether it went up.
type Message = (Option<u32>, bool);

/// Writes contents into a folder.
pub(crate) struct Folder {
    root: PathBuf,
    list: BufWriter<File>,
    open: BTreeMap<u32, Writing>,
    /// Whole contents of messages in this flow: only those with the most codings taken off stay.
    wholes: BTreeMap<Message, Vec<(usize, Written)>>,
    next: u32,
    /// Files that stay.
    pub(crate) files: u64,
    /// Contents that were not written because there are too many.
    pub(crate) beyond: u64,
}

struct Writing {
    content: Content,
    file: BufWriter<File>,
    path: PathBuf,
    hasher: Sha256,
    bytes: u64,
}

struct Written {
    path: PathBuf,
    line: Line,
}

/// One line of the list.
#[derive(Serialize)]
struct Line {
    file: String,
    bytes: u64,
    sha256: Digest,
    flow: String,
    direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    media_type: String,
    steps: Vec<String>,
}

impl Folder {
    /// Begins in a folder that is made where it is not there; one that holds such a list already is refused.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let list = BufWriter::new(File::create_new(root.join(LIST))?);
        Ok(Self {
            root: root.to_owned(),
            list,
            open: BTreeMap::new(),
            wholes: BTreeMap::new(),
            next: 0,
            files: 0,
            beyond: 0,
        })
    }

    /// Ends the list.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn finish(mut self) -> io::Result<(u64, u64)> {
        self.list.flush()?;
        Ok((self.files, self.beyond))
    }

    /// A new file whose name begins with `stem`.
    fn file(&self, stem: &str, ending: &str) -> io::Result<(PathBuf, File)> {
        for no in 1..=MAX_ALIKE {
            let again = if no == 1 { String::new() } else { format!("~{no}") };
            let path = self.root.join(format!("{stem}{again}{ending}"));
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return Ok((path, made?)),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("too many files are named {stem}{ending}")))
    }

    fn keep(&mut self, written: &Written) -> io::Result<()> {
        serde_json::to_writer(&mut self.list, &written.line)?;
        self.list.write_all(b"\n")?;
        self.files += 1;
        Ok(())
    }
}

/// The last part of a path or target, of letters, digits, dots, hyphens and underscores alone: what no system takes for
/// anything else. It never stands alone, so that a reserved name (`CON`, `..`) means nothing.
fn safe(name: &str) -> String {
    let target = name.split(['?', '#']).next().unwrap_or_default();
    let last = target.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default();
    let tame = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let tamed: Vec<char> = last.chars().map(tame).collect();
    // The end of a name says what it is.
    let from = tamed.len().saturating_sub(MAX_NAME);
    let kept: String = tamed.get(from..).unwrap_or_default().iter().collect();
    kept.trim_matches('.').to_owned()
}

/// A file's name in two parts, the second one with its dot.
fn named(content: &Content) -> (String, String) {
    let way = if content.direction == Direction::Up { "up" } else { "down" };
    let message = content.message.map_or_else(String::new, |no| format!("-{no}"));
    let safe = safe(&content.name);
    let (stem, ending) = match safe.rsplit_once('.') {
        Some((stem, ending)) if !ending.is_empty() && ending.len() <= 8 => {
            (stem.to_owned(), format!(".{ending}"))
        }
        _ => {
            let plain = content.media_type.split(';').next().unwrap_or_default().trim();
            let known = ENDINGS.iter().find(|(kind, _)| plain.eq_ignore_ascii_case(kind));
            (safe.clone(), known.map_or_else(|| ".bin".to_owned(), |(_, ending)| format!(".{ending}")))
        }
    };
    let stem = if stem.is_empty() { String::new() } else { format!("-{stem}") };
    (format!("{}{message}-{way}{stem}", content.first_frame), ending)
}

/// A folder that can't take what was extracted.
pub(crate) fn not_extracted(folder: &Path, error: &io::Error) -> Failure {
    let failure = Failure::cannot(format!("write into {}", folder.display()), error);
    if error.kind() == io::ErrorKind::AlreadyExists {
        return failure.hint("a folder that holds an earlier extraction is left as it is: name another one");
    }
    failure
}

/// What came of it, in one line.
pub(crate) fn listed(files: u64, folder: &Path) -> String {
    format!("{} in {}, listed in {LIST}", counted(files, "file"), shown(&folder.display().to_string()))
}

/// Takes only the contents in which a finding stands: those whose steps lead to one of its parts.
pub(crate) struct Of<'f> {
    /// The finding.
    pub(crate) finding: &'f Finding,
    /// Where they go.
    pub(crate) folder: Folder,
}

impl Of<'_> {
    /// A content that is not taken.
    const NONE: u32 = u32::MAX;

    fn leads_to(&self, content: &Content) -> bool {
        self.finding.parts.iter().any(|part| {
            let pairs = || content.steps.iter().zip(&part.steps);
            part.flow == content.flow
                && part.direction == content.direction
                && pairs().count() == content.steps.len()
                && pairs().all(|(one, other)| {
                    one.op == other.op && one.param == other.param && one.input.start == other.input.start
                })
        })
    }
}

impl Take for Of<'_> {
    fn begin(&mut self, content: &Content) -> io::Result<u32> {
        if self.leads_to(content) { self.folder.begin(content) } else { Ok(Self::NONE) }
    }

    fn bytes(&mut self, content: u32, bytes: &[u8]) -> io::Result<()> {
        self.folder.bytes(content, bytes)
    }

    fn end(&mut self, content: u32) -> io::Result<()> {
        self.folder.end(content)
    }

    fn flow_end(&mut self) -> io::Result<()> {
        self.folder.flow_end()
    }
}

impl Take for Folder {
    fn begin(&mut self, content: &Content) -> io::Result<u32> {
        let no = self.next;
        self.next = self.next.saturating_add(1);
        if self.files + self.open.len() as u64 >= MAX_FILES {
            self.beyond += 1;
            return Ok(no);
        }
        let (stem, ending) = named(content);
        let (path, file) = self.file(&stem, &ending)?;
        let writing = Writing {
            content: content.clone(),
            file: BufWriter::new(file),
            path,
            hasher: Sha256::new(),
            bytes: 0,
        };
        self.open.insert(no, writing);
        Ok(no)
    }

    fn bytes(&mut self, content: u32, bytes: &[u8]) -> io::Result<()> {
        let Some(writing) = self.open.get_mut(&content) else { return Ok(()) };
        writing.hasher.update(bytes);
        writing.bytes += bytes.len() as u64;
        writing.file.write_all(bytes)
    }

    fn end(&mut self, content: u32) -> io::Result<()> {
        let Some(Writing { content, mut file, path, hasher, bytes }) = self.open.remove(&content) else {
            return Ok(());
        };
        file.flush()?;
        drop(file);
        if bytes == 0 {
            return fs::remove_file(&path);
        }
        let up = content.direction == Direction::Up;
        let line = Line {
            file: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            bytes,
            sha256: Digest(hasher.finalize().into()),
            flow: content.flow,
            direction: if up { "up" } else { "down" },
            message: content.message,
            name: content.name,
            media_type: content.media_type,
            steps: content.steps.into_iter().map(|step| step.op).collect(),
        };
        let written = Written { path, line };
        match content.depth {
            Some(depth) => {
                self.wholes.entry((content.message, up)).or_default().push((depth, written));
                Ok(())
            }
            None => self.keep(&written),
        }
    }

    fn flow_end(&mut self) -> io::Result<()> {
        for written in std::mem::take(&mut self.wholes).into_values() {
            let deepest = written.iter().map(|(depth, _)| *depth).max().unwrap_or(0);
            for (depth, written) in written {
                if depth == deepest { self.keep(&written)? } else { fs::remove_file(&written.path)? }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use exhibit::evidence::FrameNo;

    use super::*;

    fn content(name: &str, media_type: &str) -> Content {
        Content {
            flow: "c.pcap#7".to_owned(),
            first_frame: FrameNo(7),
            direction: Direction::Up,
            message: Some(2),
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            steps: Vec::new(),
            depth: None,
        }
    }

    #[test]
    fn names_from_captures_are_made_safe() {
        let name = |name: &str, media_type: &str| {
            let (stem, ending) = named(&content(name, media_type));
            stem + &ending
        };
        assert_eq!(name("/up/IMG_0001.jpg?x=/../y", ""), "7-2-up-IMG_0001.jpg");
        assert_eq!(name("../../etc/passwd", ""), "7-2-up-passwd.bin");
        assert_eq!(name("..\\..\\boot.ini", ""), "7-2-up-boot.ini");
        assert_eq!(name("..", ""), "7-2-up.bin");
        assert_eq!(name("CON", "text/html; charset=utf-8"), "7-2-up-CON.html");
        assert_eq!(name("a\u{202e}gpj.exe", ""), "7-2-up-a_gpj.exe");
        assert_eq!(name("a\0b\nc:d|e*.txt", ""), "7-2-up-a_b_c_d_e_.txt");
        assert_eq!(name(&format!("/{}.png", "x".repeat(500)), "").len(), "7-2-up-".len() + MAX_NAME);
        assert_eq!(name("/", "image/JPEG"), "7-2-up.jpg");
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("7-2-up-a.txt"), "mine").unwrap();
        let mut files = Folder::new(folder.path()).unwrap();
        for text in ["one", "two"] {
            let no = files.begin(&content("a.txt", "")).unwrap();
            files.bytes(no, text.as_bytes()).unwrap();
            files.end(no).unwrap();
        }
        assert_eq!(files.finish().unwrap(), (2, 0));
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            [read("7-2-up-a.txt"), read("7-2-up-a~2.txt"), read("7-2-up-a~3.txt")],
            ["mine", "one", "two"]
        );
        assert_eq!(read(LIST).lines().count(), 2);
        assert!(Folder::new(folder.path()).is_err(), "a folder that holds such a list");
    }

    #[test]
    fn of_one_body_the_form_with_the_most_codings_taken_off_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Folder::new(folder.path()).unwrap();
        for (depth, text) in [(0, "packed"), (1, "plain")] {
            let no = files.begin(&Content { depth: Some(depth), ..content("a.txt", "") }).unwrap();
            files.bytes(no, text.as_bytes()).unwrap();
            files.end(no).unwrap();
        }
        files.flow_end().unwrap();
        assert_eq!(files.finish().unwrap(), (1, 0));
        assert_eq!(fs::read_to_string(folder.path().join("7-2-up-a~2.txt")).unwrap(), "plain");
        assert!(!folder.path().join("7-2-up-a.txt").exists());
    }
}
