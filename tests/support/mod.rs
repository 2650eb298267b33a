//! What several integration tests share: peers that may be missing, the program under test, folders.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "each test uses its own part; a test may panic and read the environment"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

pub mod packets;
pub mod quic;
pub mod recording;
pub mod servers;
pub mod soak;
pub mod streams;

/// Whether peers must be there.
pub fn required() -> bool {
    env::var("EXHIBIT_REQUIRE_PEERS").is_ok_and(|value| value == "1")
}

/// Says that a test was skipped, or fails where nothing may be missing.
pub fn skip(what: &str) {
    assert!(!required(), "required, but {what}");
    println!("skipped: {what}");
    // Captured by the test harness unless it goes past it.
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "skipped: {what}");
}

/// A peer's program, where it is installed.
pub fn peer(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// The folder of real captures, where it is.
pub fn captures() -> Option<PathBuf> {
    let folder = env::var_os("EXHIBIT_CAPTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures"), PathBuf::from);
    if folder.join("truth").is_dir() {
        return Some(folder);
    }
    skip("the folder of real captures is not there (EXHIBIT_CAPTURES names it)");
    None
}

/// The program under test, with nothing of this machine's person in its environment.
pub fn exhibit(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit"));
    command
        .env_clear()
        .env("EXHIBIT_CONFIG", home.join("config"))
        .env("TMPDIR", env::temp_dir())
        .env("PATH", env::var_os("PATH").unwrap_or_default());
    command
}

/// Runs a command that must end well and gives what it printed.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Runs a command, whatever comes of it.
pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes a file and the folders above it.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Stdout.
    pub out: String,
    /// Stderr.
    pub err: String,
}

/// Runs a command, whatever comes of it: never a panic, and nothing but line ends and colours that controls a
/// terminal.
pub fn said(command: &mut Command) -> Said {
    let output = output(command);
    let said = Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) };
    for text in [&said.out, &said.err] {
        assert!(
            !text.contains("panicked at") && !text.contains("RUST_BACKTRACE"),
            "{command:?} panicked\n{text}"
        );
        if let Some(found) = control(text) {
            panic!("{command:?} lets {found:?} through to the terminal:\n{text:?}");
        }
    }
    said
}

/// Runs a command that must end with this code.
pub fn ends(code: i32, command: &mut Command) -> Said {
    let said = said(command);
    assert_eq!(said.code, Some(code), "{command:?}\n{}\n{}", said.out, said.err);
    said
}

/// Runs a command that could not be done: exit code 2, an error that holds `why`, and the way out `hint`.
pub fn refused(why: &str, hint: &str, command: &mut Command) -> Said {
    let said = ends(2, command);
    let line = |begin: &str| said.err.lines().any(|line| line.starts_with(begin));
    assert!(line("exhibit: error: "), "{command:?} names no error:\n{}", said.err);
    assert!(said.err.contains(why), "{command:?} does not say {why:?}:\n{}", said.err);
    if !hint.is_empty() {
        assert!(said.err.contains(hint), "{command:?} gives no way out {hint:?}:\n{}", said.err);
        assert!(
            line("exhibit: hint: ") || said.err.contains("= help: "),
            "{command:?} gives no hint:\n{}",
            said.err
        );
    }
    said
}

/// The first character that would control a terminal or deceive a reader, colours (SGR) aside.
pub fn control(text: &str) -> Option<char> {
    let mut rest = text;
    loop {
        let at = rest.find(|c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        })?;
        rest = &rest[at..];
        let colour = rest.strip_prefix("\u{1b}[").and_then(|sgr| {
            let end = sgr.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            sgr[end..].strip_prefix('m')
        });
        match colour {
            Some(after) => rest = after,
            None => return rest.chars().next(),
        }
    }
}

/// A scenario of the repository, copied: its folder.
pub fn case(home: &Path, name: &str) -> PathBuf {
    let folder = home.join(name);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name), &folder);
    folder
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let into = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &into);
        } else {
            fs::write(into, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// All paths below a folder, relative to it, sorted; folders end in `/`.
pub fn listing(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, above: &str, paths: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{above}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                paths.push(format!("{path}/"));
                walk(&entry.path(), &format!("{path}/"), paths);
            } else {
                paths.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(folder, "", &mut paths);
    paths.sort();
    paths
}

/// The uncompressed archive of a bundle.
pub fn unpacked(bundle: &Path) -> Vec<u8> {
    use std::io::Read as _;
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(bundle).unwrap()).read_to_end(&mut tar).unwrap();
    tar
}

/// One member of a bundle's archive, by its path behind `exhibit/`.
pub fn member(bundle: &Path, name: &str) -> Vec<u8> {
    use std::io::Read as _;
    let tar = unpacked(bundle);
    let mut archive = tar::Archive::new(&tar[..]);
    let mut entry = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find(|entry| entry.path().unwrap() == Path::new("exhibit").join(name))
        .unwrap_or_else(|| panic!("{} has no {name}", bundle.display()));
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A folder of one's own, with the hello case in it.
pub struct Home {
    pub folder: tempfile::TempDir,
    pub case: PathBuf,
}

impl Home {
    pub fn new() -> Self {
        Self::with("hello")
    }

    pub fn with(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let case = case(folder.path(), name);
        Self { folder, case }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, started in this folder.
    pub fn exhibit(&self, arguments: &[&str]) -> Command {
        let mut command = exhibit(self.folder.path());
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    /// Seals the case and gives the bundle's path.
    pub fn seal(&self, name: &str, more: &[&str]) -> PathBuf {
        let path = self.path(name);
        ends(0, self.exhibit(&["run"]).arg(&self.case).arg("-o").arg(&path).args(more));
        path
    }

    pub fn fingerprint(&self) -> String {
        ends(0, &mut self.exhibit(&["key"])).out.trim().to_owned()
    }
}
