//! What several integration tests share: peers that may be missing, the program under test, folders.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "each test uses its own part; a test may panic and read the environment"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

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
