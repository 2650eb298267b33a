//! The smallest case: one packet that carries a whole file, one file of the phone, one claim.
//!
//! The findings were written by hand for these tests; no engine made them.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use exhibit::{
    bundle::{
        self, Bundle, Reports, RerunError, SealOptions, Sealed, Verification, VerifyOptions, key::SealKey,
        trust::Signer,
    },
    case::{Input, InputRole},
    evidence::{Digest, Scratch, hex_bytes},
    findings::{Analysis, Findings, FlowWriter, InputDigest},
};

pub(crate) const EPOCH: u64 = 1_700_000_000;
pub(crate) const FILE: &[u8] = b"exhibit test vector: the bytes of a photo\n";
pub(crate) const SCENARIO: &[u8] =
    b"# The plan of the test vector; verification without a re-run does not read it.\n";

/// RFC 8032 section 7.1, TEST 1: public knowledge, for vectors only.
pub(crate) fn test_key() -> SealKey {
    let secret = hex_bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    SealKey::from_secret(&secret.unwrap().try_into().unwrap())
}

/// One Ethernet frame: 192.0.2.10 puts [`FILE`] to 198.51.100.7 over plain HTTP.
pub(crate) fn capture() -> Vec<u8> {
    let http =
        [&b"PUT /photo HTTP/1.1\r\nHost: cdn.example\r\nContent-Length: 42\r\n\r\n"[..], FILE].concat();
    let tcp =
        [&[0xc3, 0x50, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0][..], &http].concat();
    let total = (tcp.len() as u16 + 20).to_be_bytes();
    let ip = [
        &[0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 10, 198, 51, 100, 7][..],
        &tcp,
    ]
    .concat();
    let frame = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &ip].concat();
    let mut pcap = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1] {
        pcap.extend(u32::to_le_bytes(word));
    }
    for word in [EPOCH as u32 - 1, 0, frame.len() as u32, frame.len() as u32] {
        pcap.extend(word.to_le_bytes());
    }
    pcap.extend(frame);
    pcap
}

pub(crate) fn inputs() -> BTreeMap<String, Input> {
    let input = |role, bytes: &[u8]| Input { role, blob: Arc::new(bytes.to_vec()) };
    [
        ("scenario.yaml", input(InputRole::Scenario, SCENARIO)),
        ("Stock/first.pcap", input(InputRole::Capture, &capture())),
        ("DCIM/IMG_0001.jpg", input(InputRole::Device, FILE)),
        ("DCIM/IMG_0001 (copy).jpg", input(InputRole::Device, FILE)),
    ]
    .map(|(path, input)| (path.to_owned(), input))
    .into()
}

pub(crate) fn analysis() -> Analysis {
    let text = include_str!("minimal-findings.json")
        .replace("CAPTURE-SHA256", &Digest::of(&capture()).to_string())
        .replace("\"CAPTURE-BYTES\"", &capture().len().to_string())
        .replace("FILE-SHA256", &Digest::of(FILE).to_string());
    let findings: Findings = serde_json::from_str(&text).unwrap();
    let digest = |bytes: &[u8]| InputDigest { sha256: Digest::of(bytes), bytes: bytes.len() as u64 };
    let (scratch, flows) = (scratch(), &findings.flows);
    let mut lines = FlowWriter::new(&scratch);
    flows.iter().for_each(|flow| lines.push(flow).unwrap());
    Analysis {
        flows: lines.finish().unwrap(),
        findings,
        inputs: [
            ("Stock/first.pcap".to_owned(), digest(&capture())),
            ("DCIM/IMG_0001.jpg".to_owned(), digest(FILE)),
        ]
        .into(),
        address_rows: BTreeMap::new(),
        opened_connections: 0,
    }
}

pub(crate) fn reports(findings: &Findings) -> Reports {
    Reports {
        html: format!("<!doctype html><title>{}</title>\n", findings.case),
        markdown: format!("# {}\n", findings.case),
    }
}

pub(crate) fn seal(path: &Path, keys: &[&SealKey]) -> Sealed {
    let analysis = analysis();
    let options = SealOptions { epoch: EPOCH, plan: "scenario.yaml", keys, seed: Some([7; 32]), path };
    let folders = vec!["DCIM".to_owned(), "Empty".to_owned()];
    bundle::seal_inputs(&inputs(), folders, &analysis, &reports(&analysis.findings), &options).unwrap()
}

/// The bundle of the test vector.
pub(crate) fn sealed() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("minimal.tar.gz");
    seal(&path, &[&test_key()]);
    std::fs::read(path).unwrap()
}

pub(crate) fn scratch() -> Scratch {
    Scratch::new(std::env::temp_dir())
}

/// Stands for the engine: gives what the sealer's gave.
pub(crate) fn rerun(_: &Bundle) -> Result<Analysis, RerunError> {
    Ok(analysis())
}

/// Verifies with the test key named, the stand-in for the engine and the reports rendered again.
pub(crate) fn verify(bytes: &[u8]) -> Verification {
    verify_by(bytes, &[Signer::Key(test_key().public())])
}

pub(crate) fn verify_by(bytes: &[u8], signers: &[Signer]) -> Verification {
    let render = |findings: &Findings| Ok(reports(findings));
    let options =
        VerifyOptions { signers, rerun: Some(&rerun), render: Some(&render), ..VerifyOptions::default() };
    bundle::verify(io::Cursor::new(bytes), &scratch(), &options).unwrap()
}
