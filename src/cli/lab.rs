//! `exhibit lab`: a simulated phone with known truth.

use std::{io, io::Write, path::Path};

use exhibit::lab;

/// Makes the simulated files of a scenario folder again and lists them, with their digests, as `sha256sum` would.
pub(crate) fn make(folder: &Path, out: &mut dyn Write) -> Result<io::Result<()>, lab::MakeError> {
    let played = lab::make(folder)?;
    Ok(played.files().try_for_each(|made| {
        writeln!(out, "{}  {}", exhibit::evidence::Digest::of(&made.bytes), made.path)
    }))
}
