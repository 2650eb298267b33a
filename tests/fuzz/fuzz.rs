//! libFuzzer around the targets of `tests/support/fuzz`; `EXHIBIT_FUZZ` names the one that is run.
#![no_main]

use std::sync::OnceLock;

#[path = "../support/fuzz/mod.rs"]
mod fuzz;

static TARGET: OnceLock<fuzz::Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("EXHIBIT_FUZZ").unwrap_or_default();
        match fuzz::all().into_iter().find(|(known, _)| *known == name) {
            Some((_, target)) => TARGET.get_or_init(|| target),
            None => {
                let names: Vec<_> = fuzz::all().into_iter().map(|(name, _)| name).collect();
                eprintln!("EXHIBIT_FUZZ is to name one of {}", names.join(" "));
                std::process::exit(2);
            }
        };
    },
    |data: &[u8]| {
        if let Some(target) = TARGET.get() {
            target(data);
        }
    }
);
