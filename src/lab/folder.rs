//! A scenario folder's simulated files, made again from its `lab.yaml`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Model, ModelError, PlayError, Played, play};

/// The behaviour model's name in a scenario folder.
const MODEL: &str = "lab.yaml";

/// Why a folder's files could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// A file could not be read or written.
    #[error("{doing} {}", path.display())]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the medium said.
        #[source]
        source: io::Error,
    },
    /// The model is wrong.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model could not be played to its end.
    #[error(transparent)]
    Play(#[from] PlayError),
}

/// Plays `lab.yaml` of `folder` with its own seed and writes all its files there.
///
/// Each file is written beside its place and renamed. Files that the model no longer makes stay.
///
/// # Errors
/// A file that can't be read or written, a wrong model, a world that doesn't come to its end.
pub fn make(folder: &Path) -> Result<Played, MakeError> {
    let at = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| MakeError::File { doing, path, source }
    };
    let model = folder.join(MODEL);
    let yaml = fs::read_to_string(&model).map_err(at("read", &model))?;
    let model = Model::parse(&yaml)?;
    let played = play(&model, model.seed)?;
    for made in played.files() {
        let path = folder.join(&made.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at("write", parent))?;
        }
        let beside = path.with_extension("part");
        fs::write(&beside, &made.bytes).map_err(at("write", &beside))?;
        fs::rename(&beside, &path).map_err(at("write", &path))?;
    }
    Ok(played)
}
