//! What live tests need: photos that nobody has seen, and a recording of loopback.
#![allow(clippy::zombie_processes, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use super::{run, servers::Running, skip, write};

/// A photo that the world has not seen: a JPEG's first bytes, then the system's random ones.
pub fn fresh_photo(path: &Path, len: usize) {
    let mut bytes = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00".to_vec();
    let head = bytes.len();
    bytes.resize(len, 0);
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes[head..]).unwrap();
    write(path, bytes);
}

/// tcpdump, which records loopback until it is told to stop.
pub struct Recording {
    child: Running,
    file: PathBuf,
    /// What it says, line by line.
    words: Receiver<String>,
}

/// How long tcpdump may take to begin or to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl Recording {
    /// Records what fits a filter; `None` where this user may not capture.
    pub fn start(tcpdump: &Path, file: &Path, filter: &str) -> Option<Self> {
        let child = Command::new(tcpdump)
            // A buffer (KiB) that holds everything: a busy machine must not make the kernel drop packets.
            .args(["-i", "lo", "-s", "0", "-B", "65536", "-U", "--immediate-mode", "-w"])
            .arg(file)
            .arg(filter)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Running(child);
        let (told, words) = mpsc::channel();
        let lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| told.send(line)));
        let end = Instant::now() + PATIENCE;
        loop {
            match words.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains("listening on") => break,
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    skip("this user may not record loopback with tcpdump");
                    return None;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("tcpdump does not begin in {PATIENCE:?}"),
            }
        }
        Some(Self { child, file: file.to_owned(), words })
    }

    /// Stops once the file has not grown for a while.
    pub fn stop(mut self) -> PathBuf {
        let (mut len, mut quiet) = (0, 0);
        let end = Instant::now() + PATIENCE;
        while quiet < 6 {
            assert!(Instant::now() < end, "{} grows without end", self.file.display());
            thread::sleep(Duration::from_millis(100));
            let now = fs::metadata(&self.file).unwrap().len();
            quiet = if now == len { quiet + 1 } else { 0 };
            len = now;
        }
        run(Command::new("kill").args(["-INT", &self.child.0.id().to_string()]));
        let end = Instant::now() + PATIENCE;
        while self.child.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "tcpdump does not end in {PATIENCE:?}");
            thread::sleep(Duration::from_millis(20));
        }
        let last_words: Vec<String> = self.words.iter().collect();
        assert!(
            last_words.iter().any(|line| line.starts_with("0 packets dropped")),
            "tcpdump lost packets: {last_words:?}"
        );
        self.file
    }
}

/// tcpdump gives up root's rights unless it is told not to; then it could not write into our folder.
pub fn writable_by_all(folder: &Path) {
    run(Command::new("chmod").arg("0777").arg(folder));
}
