//! The lab against its own committed files, and its captures against tshark.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use exhibit::lab::{self, Model};

const SCENARIOS: [&str; 1] = ["hello"];

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name)
}

fn model(name: &str) -> Model {
    Model::parse(&fs::read_to_string(scenario(name).join("lab.yaml")).unwrap()).unwrap()
}

#[test]
fn committed_files_are_those_that_the_lab_makes() {
    for name in SCENARIOS {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(scenario(name).join("lab.yaml"), folder.path().join("lab.yaml")).unwrap();
        let played = lab::make(folder.path()).unwrap();
        for made in played.files() {
            let committed = fs::read(scenario(name).join(&made.path)).unwrap_or_default();
            assert!(
                committed == made.bytes,
                "{name}/{} differs; `exhibit lab make scenarios/{name}` makes it again",
                made.path
            );
            assert_eq!(fs::read(folder.path().join(&made.path)).unwrap(), made.bytes);
        }
    }
}
