//! Sealing and verifying: the good vector holds, and each bad one fails for its one reason.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

use std::{io, path::Path};

use exhibit::{
    bundle::{
        self, CheckState, OpenLimits, Outcome, Verification, VerifyOptions, dsse,
        key::SealKey,
        trust::{Signer, Trust},
    },
    case::folder::Folder as _,
    evidence::{Digest, Scratch},
};
use proptest::prelude::*;

#[path = "bundles/minimal.rs"]
mod minimal;
#[path = "bundles/vectors.rs"]
mod vectors;

fn state(verification: &Verification, name: &str) -> (CheckState, String) {
    let check = verification.checks.iter().find(|check| check.name == name).unwrap();
    (check.state, check.words())
}

#[test]
fn the_good_vector_holds_in_five_lines() {
    let verification = minimal::verify(&minimal::sealed());
    let names: Vec<_> = verification.checks.iter().map(|check| check.name).collect();
    assert_eq!(names, ["Integrity", "Signature", "Time", "Re-run", "Origin"]);
    assert_eq!(verification.outcome(), Outcome::Holds, "{:?}", verification.checks);
    assert!(state(&verification, "Origin").1.contains("SIMULATED"));
    assert_eq!(
        verification.contents(),
        "Contains 1 photo, 1 other file of the phone, 1 capture and the private seed: do not pass on."
    );
}

#[test]
fn the_committed_vector_is_what_sealing_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bundles/minimal_ok.tar.gz");
    if std::env::var_os("EXHIBIT_WRITE_VECTORS").is_some() {
        std::fs::write(&path, minimal::sealed()).unwrap();
    }
    // Compressed bytes may differ between backends: what counts is the archive inside.
    let committed = vectors::unzip(&std::fs::read(path).unwrap());
    assert!(committed == vectors::unzip(&minimal::sealed()));
    let document = include_str!("../docs/bundle-format.md");
    let verification = minimal::verify(&minimal::sealed());
    let id = verification.bundle.as_ref().unwrap().id();
    let statement = vectors::statement(&minimal::sealed());
    let pae = Digest::of(&dsse::pae(dsse::PAYLOAD_TYPE, &statement));
    for text in [id.to_string(), pae.to_string(), minimal::test_key().public().fingerprint().to_string()] {
        assert!(document.contains(&text), "docs/bundle-format.md does not name {text}");
    }
    assert!(document.contains(std::str::from_utf8(&statement).unwrap().trim()));
}

#[test]
fn each_bad_vector_fails_for_its_one_reason() {
    let good = minimal::sealed();
    let vectors = vectors::bad(&good);
    assert!(vectors.len() >= 35, "{}", vectors.len());
    for vector in vectors {
        let verification = minimal::verify(&vector.bytes);
        let failed: Vec<_> =
            verification.checks.iter().filter(|check| check.state == CheckState::Failed).collect();
        assert_eq!(failed.len(), 1, "{}: {:?}", vector.name, verification.checks);
        assert_eq!(failed[0].name, vector.check, "{}: {}", vector.name, failed[0].words());
        assert!(failed[0].words().contains(vector.says), "{}: {}", vector.name, failed[0].words());
        assert_eq!(verification.outcome(), Outcome::DoesNotHold, "{}", vector.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_of_the_archive_is_noticed(at: prop::sample::Index, change in 1..=255_u8) {
        let mut tar = vectors::unzip(vectors::good());
        let at = at.index(tar.len());
        tar[at] ^= change;
        let verification = minimal::verify(&vectors::zip(&tar));
        prop_assert_eq!(verification.outcome(), Outcome::DoesNotHold, "byte {}", at);
    }

    #[test]
    fn any_changed_byte_of_the_file_is_noticed_or_changes_nothing(at: prop::sample::Index, change in 1..=255_u8) {
        let mut file = vectors::good().to_vec();
        let at = at.index(file.len());
        file[at] ^= change;
        let verification = minimal::verify(&file);
        // Deflate has bits that no byte depends on; whatever holds has to be the same archive.
        if verification.outcome() != Outcome::DoesNotHold {
            prop_assert!(vectors::unzip(&file) == vectors::unzip(vectors::good()), "byte {}", at);
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_refused(at: prop::sample::Index) {
        let file = vectors::good();
        let verification = minimal::verify(&file[..at.index(file.len())]);
        prop_assert_eq!(verification.outcome(), Outcome::DoesNotHold);
    }

    #[test]
    fn noise_is_no_bundle(noise in prop::collection::vec(any::<u8>(), 0..2000)) {
        let behind_a_header = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff][..], &noise].concat();
        for bytes in [&noise, &behind_a_header, &vectors::zip(&noise)] {
            prop_assert_eq!(minimal::verify(bytes).outcome(), Outcome::DoesNotHold);
        }
    }
}

#[test]
fn sealing_twice_gives_the_same_bytes_and_the_seed_follows_key_and_inputs() {
    assert!(minimal::sealed() == minimal::sealed());
    let folder = tempfile::tempdir().unwrap();
    let seal = |name: &str, key: &SealKey| {
        let path = folder.path().join(name);
        let analysis = minimal::analysis();
        let reports = minimal::reports(&analysis.findings);
        let options = bundle::SealOptions {
            epoch: minimal::EPOCH,
            plan: "scenario.yaml",
            keys: &[key],
            seed: None,
            path: &path,
        };
        bundle::seal_inputs(&minimal::inputs(), Vec::new(), &analysis, &reports, &options).unwrap().id
    };
    let (a, b) = (SealKey::from_secret(&[1; 32]), SealKey::from_secret(&[2; 32]));
    assert_eq!(seal("1", &a), seal("2", &a));
    assert_ne!(seal("3", &a), seal("4", &b));
}

#[test]
fn who_signed_is_said_and_counts() {
    let good = minimal::sealed();
    let key = minimal::test_key().public();
    let fingerprint = key.fingerprint().to_string();
    let other = SealKey::from_secret(&[9; 32]).public();
    let line = |signers: &[Signer]| {
        let verification = minimal::verify_by(&good, signers);
        (verification.outcome(), state(&verification, "Signature").1)
    };
    let (outcome, text) = line(&[]);
    assert_eq!(outcome, Outcome::HoldsInPart);
    assert_eq!(text, format!("signed by a key nobody vouched for: key sha256:{fingerprint}"));
    let (outcome, text) = line(&[Signer::fingerprint(&fingerprint[..32]).unwrap()]);
    assert_eq!((outcome, text), (Outcome::Holds, format!("held: key sha256:{fingerprint} (you named it)")));
    let (outcome, text) = line(&[Signer::Key(other)]);
    assert_eq!(outcome, Outcome::DoesNotHold);
    assert!(text.contains("which you named, but by"), "{text}");

    let trust = |revoked: &str| {
        let text = format!(
            r#"{{"format":"exhibit-trust/0","parties":[{{"name":"Lab \u001b[31m","roles":["sealer"],"keys":["{}"]}}],"revoked":[{revoked}]}}"#,
            key.openssh().trim()
        );
        Trust::read(text.as_bytes()).unwrap()
    };
    let verify = |options: VerifyOptions<'_>| {
        let options = VerifyOptions { rerun: Some(&minimal::rerun), ..options };
        bundle::verify(io::Cursor::new(&good), &minimal::scratch(), &options).unwrap()
    };
    let own = verify(VerifyOptions { own_keys: &[key], ..VerifyOptions::default() });
    assert_eq!(own.outcome(), Outcome::Holds);
    assert!(state(&own, "Signature").1.ends_with("(your own key)"));
    let party = trust("");
    let party = verify(VerifyOptions { trust: Some(&party), ..VerifyOptions::default() });
    assert_eq!(party.outcome(), Outcome::Holds);
    assert!(state(&party, "Signature").1.contains("(Lab \\u{1b}[31m, by your trust file)"));
    let revoked = trust(&format!("\"{fingerprint}\""));
    let revoked =
        verify(VerifyOptions { trust: Some(&revoked), own_keys: &[key], ..VerifyOptions::default() });
    assert_eq!(revoked.outcome(), Outcome::DoesNotHold);
}

#[test]
fn an_unsigned_bundle_holds_in_part_and_never_for_a_named_signer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unsigned.tar.gz");
    assert_eq!(minimal::seal(&path, &[]).signers, []);
    let bytes = std::fs::read(path).unwrap();
    let verification = minimal::verify_by(&bytes, &[]);
    assert_eq!(verification.outcome(), Outcome::HoldsInPart);
    assert_eq!(
        state(&verification, "Signature"),
        (CheckState::NotClaimed, "not claimed: the bundle is unsigned".into())
    );
    assert_eq!(minimal::verify(&bytes).outcome(), Outcome::DoesNotHold);
}

#[test]
fn two_keys_sign_and_both_have_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.tar.gz");
    let (a, b) = (minimal::test_key(), SealKey::from_secret(&[3; 32]));
    minimal::seal(&path, &[&a, &b]);
    let bytes = std::fs::read(path).unwrap();
    let both = [Signer::Key(a.public()), Signer::Key(b.public())];
    let verification = minimal::verify_by(&bytes, &both);
    assert_eq!(verification.outcome(), Outcome::Holds);
    assert_eq!(verification.signers.len(), 2);
    assert!(state(&verification, "Signature").1.ends_with("; 1 more signed it"));
}

#[test]
fn a_re_run_that_differs_in_anything_fails_and_none_is_said_so() {
    let good = minimal::sealed();
    let verify = |change: &dyn Fn(&mut exhibit::findings::Analysis)| {
        let rerun = |_: &bundle::Bundle| {
            let mut analysis = minimal::analysis();
            change(&mut analysis);
            Ok(analysis)
        };
        let options = VerifyOptions {
            own_keys: &[minimal::test_key().public()],
            rerun: Some(&rerun),
            ..VerifyOptions::default()
        };
        let verification = bundle::verify(io::Cursor::new(&good), &minimal::scratch(), &options).unwrap();
        (verification.outcome(), state(&verification, "Re-run").1)
    };
    assert_eq!(verify(&|_| ()), (Outcome::Holds, "held: identical findings and flows".into()));
    let (outcome, text) = verify(&|analysis| analysis.findings.ledger.all.matched += 1);
    assert_eq!(
        (outcome, text.as_str()),
        (Outcome::DoesNotHold, "FAILED: it gives other bytes for data/findings.json")
    );
    let (_, text) = verify(&|analysis| {
        let row = exhibit::findings::AddressRow { country: None, special: None };
        analysis.address_rows.insert("192.0.2.1".into(), row);
    });
    assert_eq!(text, "FAILED: it gives other bytes for data/reference/addresses.json");
    let (_, text) = verify(&|analysis| analysis.inputs.values_mut().for_each(|input| input.bytes += 1));
    assert_eq!(text, "FAILED: DCIM/IMG_0001.jpg was read as something else than it is");
    let options = VerifyOptions { own_keys: &[minimal::test_key().public()], ..VerifyOptions::default() };
    let without = bundle::verify(io::Cursor::new(&good), &minimal::scratch(), &options).unwrap();
    assert_eq!(without.outcome(), Outcome::HoldsInPart);
    assert_eq!(state(&without, "Re-run").1, "not checked: you asked for no re-run");
}

#[test]
fn a_bundle_is_a_folder_with_the_logical_paths_of_the_case() {
    let file = bundle::open(io::Cursor::new(minimal::sealed()), &minimal::scratch(), OpenLimits::default());
    let inside = file.unwrap().read_unverified().unwrap();
    let folder = inside.folder();
    assert_eq!(folder.list("DCIM").unwrap(), ["DCIM/IMG_0001 (copy).jpg", "DCIM/IMG_0001.jpg"]);
    assert_eq!(folder.list("Empty").unwrap(), [""; 0]);
    for (path, input) in minimal::inputs() {
        let blob = folder.open(&path).unwrap();
        let read = |blob: &dyn exhibit::evidence::Blob| {
            let mut bytes = vec![0; blob.len() as usize];
            exhibit::evidence::read_exact_at(blob, &mut bytes, 0).unwrap();
            bytes
        };
        assert_eq!(read(&*blob), read(&*input.blob), "{path}");
    }
    // Equal files of the phone stand once.
    let members: Vec<_> = inside.inventory().inputs.iter().map(|entry| entry.member.as_str()).collect();
    assert_eq!(
        members,
        [
            "data/device/0001.bin",
            "data/device/0001.bin",
            "data/captures/0001.pcap",
            "data/scenario/0001.yaml"
        ]
    );
}

#[test]
fn what_is_too_large_or_cannot_be_put_aside_is_said() {
    let good = minimal::sealed();
    let small = OpenLimits { max_bytes: 1000 };
    let options = VerifyOptions { limits: small, ..VerifyOptions::default() };
    let verification = bundle::verify(io::Cursor::new(&good), &minimal::scratch(), &options).unwrap();
    assert!(state(&verification, "Integrity").1.contains("the payload is larger than the limit of 1000"));
    let nowhere = Scratch::new("/nonexistent/folder");
    let result = bundle::verify(io::Cursor::new(&good), &nowhere, &VerifyOptions::default());
    assert!(matches!(result, Err(bundle::VerifyError::Scratch(_))), "{result:?}");
}
