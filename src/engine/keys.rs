//! Session secrets of a case: key logs beside captures, and those that stand inside them.

use super::{net::Index, proto::keylog::KeyLog};
use crate::{
    case::{Case, InputRole},
    evidence::{ReadError, read_exact_at},
};

/// Bytes read of one key log: a million secrets take 200 MB; what follows is not read.
const MAX_LOG: u64 = 256 << 20;

/// Gathers every key log. A secret belongs to one client random, so logs of several runs can't be confused.
///
/// # Errors
/// When a log can't be read.
pub(super) fn keys(case: &Case, indexes: &[Index]) -> Result<KeyLog, ReadError> {
    let mut keys = KeyLog::default();
    for (path, input) in case.inputs.iter().filter(|(_, input)| input.role == InputRole::Keys) {
        let mut text = vec![0; usize::try_from(input.blob.len().min(MAX_LOG)).unwrap_or(0)];
        read_exact_at(&*input.blob, &mut text, 0).map_err(|error| ReadError::new(path, 0, error))?;
        keys.add(&text);
    }
    for secrets in indexes.iter().flat_map(|index| &index.container.secrets) {
        keys.add(&secrets.text);
    }
    Ok(keys)
}
