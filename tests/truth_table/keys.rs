//! A key log opens what it was made for, and nothing else.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{inspect, key_log, names, pair::list, support::captures};

/// Captures whose key log is a file beside them: without it nothing of them may be read.
const BESIDE: usize = 10;

#[test]
fn without_keys_or_with_those_of_others_nothing_is_decrypted() {
    let Some(folder) = captures() else { return };
    let home = tempfile::tempdir().unwrap();
    let logs: Vec<String> = decrypted(&folder).iter().filter_map(|name| key_log(&folder, name)).collect();
    assert_eq!(logs.len(), BESIDE);
    for (at, log) in logs.iter().enumerate() {
        let name = log.strip_suffix(".keylog").unwrap();
        // Some captures hold the same connections: their logs are no others'.
        let own = fs::read_to_string(folder.join(log)).unwrap();
        let foreign = logs.iter().cycle().skip(at + 1).find(|other| {
            let other = fs::read_to_string(folder.join(other)).unwrap();
            !other.lines().any(|line| !line.starts_with('#') && own.contains(line))
        });
        for keys in [None, foreign.map(String::as_str)] {
            let inspection = inspect(home.path(), &folder, name, keys);
            assert!(!inspection.tls.is_empty(), "{name}: no TLS was seen");
            for connection in &inspection.tls {
                for side in &connection.directions {
                    assert_eq!(side.decrypted, 0, "{name} with {keys:?}: {connection:?}");
                    assert!(side.not_decrypted.is_some(), "{name} with {keys:?}: {connection:?}");
                }
            }
            assert!(inspection.tls_hellos.iter().all(|hello| !hello.decrypted), "{name} with {keys:?}");
            assert!(
                inspection.flows.iter().all(|flow| flow.inner.iter().all(|inner| inner.protocol != "tls"))
            );
        }
    }
}

/// Captures of which tshark decrypted TLS.
fn decrypted(folder: &Path) -> Vec<String> {
    let has = |name: &String| {
        let truth = fs::read(folder.join("truth").join(format!("{name}.json"))).unwrap();
        let truth: Value = serde_json::from_slice(&truth).unwrap();
        !list(&truth["tls_decrypted_streams"]).is_empty()
    };
    names(folder).into_iter().filter(has).collect()
}
