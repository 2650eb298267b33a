//! Where files go that a command writes: whole or not at all, also when it is interrupted.
//!
//! A file is written beside its place, in a folder of its own, and renamed. An interrupt (SIGINT, SIGTERM,
//! SIGHUP; Ctrl-C on Windows) removes such folders and ends the program with 130.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tempfile::TempDir;

use super::{Failure, INTERRUPTED};

/// Folders that hold something half-written. Whoever holds the lock can't be interrupted.
static HALF_WRITTEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn half_written() -> MutexGuard<'static, Vec<PathBuf>> {
    HALF_WRITTEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Heeds interrupts from now on.
///
/// Where they are ignored already (`nohup`, a background job) they stay so.
pub(crate) fn heed_interrupts() {
    let _ = ctrlc::try_set_handler(|| {
        // Never released: nothing new is begun.
        let folders = half_written();
        for folder in folders.iter() {
            clear(folder);
        }
        process::exit(i32::from(INTERRUPTED));
    });
}

/// Removes a folder that another thread may still be writing to.
fn clear(folder: &Path) {
    /// A file made between listing and removing costs one more try.
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {}
            _ => return,
        }
    }
}

/// Does something short that must not be interrupted in its middle.
pub(crate) fn undisturbed<T>(act: impl FnOnce() -> T) -> T {
    let _held = half_written();
    act()
}

/// Refuses a place where no file can come to stand, before the work whose result it is to hold.
///
/// # Errors
/// When something else than a file stands there (a folder, a device, a pipe: a rename would put the file in
/// its place), or the folder above is not there.
pub(crate) fn refuse(path: &Path) -> Result<(), Failure> {
    let cannot = |why: &str| Failure::new(format!("cannot write {}: {why}", path.display()));
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => {
            return Err(cannot("it is a folder").hint("-o takes the file's own name"));
        }
        Ok(there) if !there.is_file() => {
            return Err(cannot("it is a device or a pipe")
                .hint("-o takes a file, which is written beside its place and renamed"));
        }
        _ => {}
    }
    let folder = above(path);
    match fs::metadata(folder) {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(_) => Err(cannot(&format!("{} is not a folder", folder.display()))),
        Err(error) => Err(cannot(&format!("its folder can't be opened: {error}"))
            .hint("make it first, or choose another with -o")),
    }
}

fn above(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file on its way to its place.
pub(crate) struct Beside {
    /// `None` once it has been removed.
    folder: Option<TempDir>,
    name: PathBuf,
    target: PathBuf,
}

impl Beside {
    /// Makes a folder beside `target` in which the file is to be written; only its owner may look into it.
    pub(crate) fn new(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut list = half_written();
        let folder = tempfile::Builder::new().prefix(".exhibit-").tempdir_in(above(target))?;
        list.push(folder.path().to_owned());
        let name = folder.path().join(name);
        Ok(Self { folder: Some(folder), name, target: target.to_owned() })
    }

    /// Where the file is to be written.
    pub(crate) fn path(&self) -> &Path {
        &self.name
    }

    /// Puts the file in its place, over an older one.
    pub(crate) fn place(self) -> io::Result<()> {
        undisturbed(|| fs::rename(&self.name, &self.target))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let mut list = half_written();
        if let Some(folder) = self.folder.take() {
            list.retain(|path| path != folder.path());
            // A folder that can't be removed is empty or was removed by somebody else.
            let _ = folder.close();
        }
    }
}

/// Writes a whole file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    refuse(path)?;
    let write = || {
        let beside = Beside::new(path)?;
        let mut file = fs::File::create_new(beside.path())?;
        file.write_all(bytes)?;
        file.sync_all()?;
        beside.place()
    };
    write().map_err(|error| {
        Failure::cannot(format!("write {}", path.display()), &error).hint("nothing was left behind")
    })
}
