//! What the command line takes from the machine: the user's configuration folder, the scratch folder,
//! SOURCE_DATE_EPOCH, random bytes. The library asks for none of it.

use std::{env, path::PathBuf};

use exhibit::evidence::{Limits, Scratch};

use super::Failure;

/// What helps when the scratch folder has no room.
pub(crate) const ROOM: &str = "TMPDIR names the folder for scratch files: is it there, and has it room?";

/// The folder of the user's keys: EXHIBIT_CONFIG, else the platform's configuration folder.
#[expect(clippy::disallowed_methods, reason = "the command line is the rim")]
pub(crate) fn configuration_folder() -> Result<PathBuf, Failure> {
    let named = |name: &str| env::var(name).ok().filter(|value| !value.is_empty()).map(PathBuf::from);
    named("EXHIBIT_CONFIG")
        .or_else(|| named("XDG_CONFIG_HOME").map(|folder| folder.join("exhibit")))
        .or_else(|| named("APPDATA").map(|folder| folder.join("exhibit")))
        .or_else(|| named("HOME").map(|folder| folder.join(".config").join("exhibit")))
        .ok_or_else(|| {
            Failure::new("cannot find your configuration folder: HOME is not set")
                .hint("set EXHIBIT_CONFIG to a folder of yours, or use --key or --unsigned")
        })
}

/// SOURCE_DATE_EPOCH, in whole seconds.
#[expect(clippy::disallowed_methods, reason = "the command line is the rim")]
pub(crate) fn source_date_epoch() -> Result<Option<u64>, Failure> {
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) if !text.is_empty() => text.parse().map(Some).map_err(|_| {
            Failure::new(format!("cannot use SOURCE_DATE_EPOCH={text}: it is not a number of whole seconds"))
                .hint("unset it, or give seconds since 1970")
        }),
        _ => Ok(None),
    }
}

/// Where the engine puts what does not fit in memory: TMPDIR or the system's folder.
pub(crate) fn scratch() -> Scratch {
    Scratch::new(env::temp_dir())
}

/// Limits with as many threads as the machine has, or as were asked for.
pub(crate) fn limits(min_run: Option<u32>, threads: Option<usize>) -> Limits {
    // More than a few threads only wait for each other's reads.
    const MOST: usize = 8;
    let available = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let default = Limits::default();
    Limits {
        min_run: min_run.unwrap_or(default.min_run),
        threads: threads.unwrap_or_else(|| available().min(MOST)).max(1),
        ..default
    }
}
