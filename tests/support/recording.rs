//! What live tests need: photos that nobody has seen, and a recording of loopback.
#![allow(clippy::zombie_processes, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
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
    last_words: JoinHandle<Vec<String>>,
}

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
        let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
        loop {
            match lines.next() {
                Some(Ok(line)) if line.contains("listening on") => break,
                Some(Ok(_)) => {}
                _ => {
                    skip("this user may not record loopback with tcpdump");
                    return None;
                }
            }
        }
        let last_words = thread::spawn(move || lines.map_while(Result::ok).collect());
        Some(Self { child, file: file.to_owned(), last_words })
    }

    /// Stops once the file has not grown for a while.
    pub fn stop(mut self) -> PathBuf {
        let (mut len, mut quiet) = (0, 0);
        while quiet < 6 {
            thread::sleep(Duration::from_millis(100));
            let now = fs::metadata(&self.file).unwrap().len();
            quiet = if now == len { quiet + 1 } else { 0 };
            len = now;
        }
        run(Command::new("kill").args(["-INT", &self.child.0.id().to_string()]));
        self.child.0.wait().unwrap();
        let last_words = self.last_words.join().unwrap();
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
