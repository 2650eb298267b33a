//! Bad bundles, each with exactly one thing broken, made from a good one.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    sync::OnceLock,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use exhibit::bundle::{dsse, key::SealKey, manifest};
use flate2::{Compression, read::GzDecoder, write::DeflateEncoder};
use sha2::{Digest as _, Sha256};

use crate::minimal;

pub(crate) struct Vector {
    /// What is broken; ends in `_fail`.
    pub(crate) name: &'static str,
    /// The line that has to fail.
    pub(crate) check: &'static str,
    /// What the line has to say.
    pub(crate) says: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// The good vector, made once.
pub(crate) fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(minimal::sealed)
}

pub(crate) fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut tar).unwrap();
    tar
}

/// Another encoder than the bundle's: readers take any deflate data behind the fixed header.
pub(crate) fn zip(tar: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut deflate = DeflateEncoder::new(&mut out, Compression::fast());
    deflate.write_all(tar).unwrap();
    deflate.finish().unwrap();
    out.extend(crc32fast::hash(tar).to_le_bytes());
    out.extend((tar.len() as u32).to_le_bytes());
    out
}

/// A member as it stands: 512 bytes of header, then its data without padding.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) header: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Entry {
    pub(crate) fn name(&self) -> String {
        let name = self.header[..100].split(|&c| c == 0).next().unwrap();
        String::from_utf8_lossy(name).into_owned()
    }

    /// Puts text into a header field, fills it with NUL, and mends the checksum.
    pub(crate) fn set(&mut self, at: usize, width: usize, text: &[u8]) {
        self.header[at..at + width].fill(0);
        self.header[at..at + text.len()].copy_from_slice(text);
        self.mend();
    }

    fn mend(&mut self) {
        self.header[148..156].fill(b' ');
        let sum: u32 = self.header.iter().map(|&c| u32::from(c)).sum();
        self.header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    fn set_data(&mut self, data: Vec<u8>) {
        self.set(124, 12, format!("{:011o}", data.len()).as_bytes());
        self.data = data;
    }
}

pub(crate) fn entries(tar: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut at = 0;
    while tar[at] != 0 {
        let header = tar[at..at + 512].to_vec();
        let size = usize::from_str_radix(std::str::from_utf8(&header[124..135]).unwrap(), 8).unwrap();
        entries.push(Entry { header, data: tar[at + 512..at + 512 + size].to_vec() });
        at += 512 + size.next_multiple_of(512);
    }
    entries
}

pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        tar.extend(&entry.header);
        tar.extend(&entry.data);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn find<'a>(entries: &'a mut [Entry], name: &str) -> &'a mut Entry {
    entries.iter_mut().find(|entry| entry.name() == format!("exhibit/{name}")).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Which of the things that hang on the payload are written anew after a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reseal {
    Manifest,
    Tags,
    Seal,
}

/// Writes manifest, tags and seal anew, up to a stage, with an own encoder.
pub(crate) fn reseal(entries: &mut [Entry], upto: Reseal, key: &SealKey) {
    let data = entries.iter().filter(|entry| entry.name().starts_with("exhibit/data/"));
    let data: Vec<(String, Vec<u8>)> =
        data.map(|entry| (entry.name()["exhibit/".len()..].to_owned(), entry.data.clone())).collect();
    let lines: String = data.iter().map(|(name, data)| format!("{}  {name}\n", sha256(data))).collect();
    find(entries, "manifest-sha256.txt").set_data(lines.into_bytes());
    if upto < Reseal::Tags {
        return;
    }
    let bytes: usize = data.iter().map(|(_, data)| data.len()).sum();
    let oxum = format!("Payload-Oxum: {bytes}.{}\n", data.len());
    let info = String::from_utf8(find(entries, "bag-info.txt").data.clone()).unwrap();
    let info =
        info.split_inclusive('\n').filter(|line| !line.starts_with("Payload-Oxum")).collect::<String>();
    find(entries, "bag-info.txt").set_data((info + &oxum).into_bytes());
    tag_manifest(entries);
    if upto < Reseal::Seal {
        return;
    }
    let id = sha256(&find(entries, "tagmanifest-sha256.txt").data);
    let statement = format!(
        "{{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicate\":{{\"bytes\":{bytes},\"case\":\"minimal\",\"commitment\":null,\
         \"epoch\":{},\"files\":{},\"format\":\"exhibit/0\",\"supersedes\":[],\"tool\":{{\"name\":\"exhibit\",\"version\":\"0.1.0\"}}}},\
         \"predicateType\":\"https://exhibit.example/seal/v0\",\"subject\":[{{\"digest\":{{\"sha256\":\"{id}\"}},\"name\":\"tagmanifest-sha256.txt\"}}]}}\n",
        minimal::EPOCH,
        data.len(),
    );
    sign(entries, statement.as_bytes(), key);
}

fn tag_manifest(entries: &mut [Entry]) {
    let line = |entries: &mut [Entry], name: &str| format!("{}  {name}\n", sha256(&find(entries, name).data));
    let text =
        line(entries, "bag-info.txt") + &line(entries, "bagit.txt") + &line(entries, "manifest-sha256.txt");
    find(entries, "tagmanifest-sha256.txt").set_data(text.into_bytes());
}

fn sign(entries: &mut [Entry], statement: &[u8], key: &SealKey) {
    let signed = dsse::sign(statement, &[key]).unwrap();
    find(entries, dsse::ENVELOPE).set_data(signed.envelope);
    find(entries, dsse::KEYS).set_data(signed.keys);
}

/// What was signed in a bundle.
pub(crate) fn statement(bundle: &[u8]) -> Vec<u8> {
    let mut entries = entries(&unzip(bundle));
    let envelope = String::from_utf8(find(&mut entries, dsse::ENVELOPE).data.clone()).unwrap();
    let payload = envelope.split("\"payload\":\"").nth(1).unwrap().split('"').next().unwrap();
    BASE64_STANDARD.decode(payload).unwrap()
}

struct Maker {
    tar: Vec<u8>,
    vectors: Vec<Vector>,
}

impl Maker {
    fn add(&mut self, name: &'static str, check: &'static str, says: &'static str, bytes: Vec<u8>) {
        assert!(name.ends_with("_fail"), "{name}");
        self.vectors.push(Vector { name, check, says, bytes });
    }

    /// Changes members; nothing is written anew.
    fn members(&mut self, name: &'static str, says: &'static str, change: impl FnOnce(&mut Vec<Entry>)) {
        let mut entries = entries(&self.tar);
        change(&mut entries);
        self.add(name, "Integrity", says, zip(&tar(&entries)));
    }

    /// Changes one member's header.
    fn header(&mut self, name: &'static str, says: &'static str, change: impl FnOnce(&mut Entry)) {
        self.members(name, says, |entries| change(find(entries, "data/findings.json")));
    }

    /// Changes the uncompressed archive.
    fn archive(&mut self, name: &'static str, says: &'static str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut tar = self.tar.clone();
        change(&mut tar);
        self.add(name, "Integrity", says, zip(&tar));
    }

    /// Changes the compressed file.
    fn file(&mut self, name: &'static str, says: &'static str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut file = zip(&self.tar);
        change(&mut file);
        self.add(name, "Integrity", says, file);
    }

    /// Changes the payload and seals it anew with the same key: a dishonest sealer's bundle.
    fn sealed(&mut self, name: &'static str, says: &'static str, change: impl FnOnce(&mut Vec<Entry>)) {
        let mut entries = entries(&self.tar);
        change(&mut entries);
        reseal(&mut entries, Reseal::Seal, &minimal::test_key());
        self.add(name, "Integrity", says, zip(&tar(&entries)));
    }

    /// Changes what stands in `attestations/`.
    fn seal(&mut self, name: &'static str, says: &'static str, change: impl FnOnce(&mut Vec<Entry>)) {
        let mut entries = entries(&self.tar);
        change(&mut entries);
        self.add(name, "Signature", says, zip(&tar(&entries)));
    }

    /// Signs another statement with the right key.
    fn statement(&mut self, name: &'static str, says: &'static str, from: &str, to: &str) {
        let statement = String::from_utf8(statement(&zip(&self.tar))).unwrap();
        assert!(statement.contains(from), "{statement}");
        let statement = statement.replacen(from, to, 1);
        self.seal(name, says, |entries| sign(entries, statement.as_bytes(), &minimal::test_key()));
    }
}

/// Every bad vector.
pub(crate) fn bad(good: &[u8]) -> Vec<Vector> {
    let mut maker = Maker { tar: unzip(good), vectors: Vec::new() };
    names(&mut maker);
    headers(&mut maker);
    ends(&mut maker);
    closed_world(&mut maker);
    documents(&mut maker);
    seals(&mut maker);
    maker.vectors
}

fn names(maker: &mut Maker) {
    let named = |name: &'static str| move |entry: &mut Entry| entry.set(0, 100, name.as_bytes());
    let said = "a component is not";
    maker.header("name-traversal_fail", said, named("exhibit/data/../../findings.json"));
    maker.header("name-absolute_fail", "is not allowed", named("/exhibit/data/findings.json"));
    maker.header("name-other-top_fail", "is not allowed", named("elsewhere/data/findings.json"));
    maker.header("name-uppercase_fail", said, named("exhibit/data/Findings.json"));
    maker.header("name-backslash_fail", said, named("exhibit/data\\findings.json"));
    maker.header("name-trailing-dot_fail", "ends in a dot", named("exhibit/data/findings."));
    maker.header("name-device_fail", "device name", named("exhibit/data/nul.json"));
    maker.header("name-empty-component_fail", "a component is empty", named("exhibit/data//findings.json"));
    maker.header("name-terminal-escape_fail", "\\u{1b}[2J", named("exhibit/data/\x1b[2J"));
    maker.members("name-twice_fail", "data/findings.json is not where it has to be", |entries| {
        let at = entries.iter().position(|entry| entry.name().ends_with("findings.json")).unwrap();
        entries.insert(at, entries[at].clone());
    });
    maker.members("order-swapped_fail", "is not where it has to be", |entries| {
        let len = entries.len();
        entries.swap(len - 1, len - 2);
    });
    maker.members("order-tags-late_fail", "is not where it has to be", |entries| entries.swap(0, 1));
    maker.members("order-seal-late_fail", "is not where it has to be", |entries| {
        let seal = entries.remove(4);
        entries.push(seal);
    });
}

fn headers(maker: &mut Maker) {
    maker.header("header-mode_fail", "not canonical: mode", |entry| entry.set(100, 8, b"0000755"));
    maker.header("header-uid_fail", "not canonical: uid", |entry| entry.set(108, 8, b"0001750"));
    maker.header("header-user-name_fail", "not canonical: uname", |entry| entry.set(265, 32, b"root"));
    maker.header("header-size-base-256_fail", "not canonical: size", |entry| {
        let size = (entry.data.len() as u32).to_be_bytes();
        entry.set(124, 12, &[&[0x80, 0, 0, 0, 0, 0, 0, 0][..], &size].concat());
    });
    maker.header("header-size-spaces_fail", "not canonical: size", |entry| {
        let size = format!("{:11o} ", entry.data.len());
        entry.set(124, 12, size.as_bytes());
    });
    maker.header("header-mtime-differs_fail", "has another time", |entry| {
        entry.set(136, 12, format!("{:011o}", minimal::EPOCH + 1).as_bytes());
    });
    maker.header("header-checksum-spelling_fail", "not canonical: checksum", |entry| {
        let sum = String::from_utf8(entry.header[148..154].to_vec()).unwrap();
        entry.header[148..156].copy_from_slice(format!("0{sum}\0").as_bytes());
    });
    maker.header("header-checksum-wrong_fail", "not canonical: checksum", |entry| entry.header[153] ^= 1);
    maker.header("header-gnu-magic_fail", "not canonical: magic", |entry| entry.set(257, 8, b"ustar  "));
    maker.header("header-prefix_fail", "not canonical: prefix", |entry| entry.set(345, 155, b"exhibit"));
    maker.header("header-old-file-type_fail", "not canonical: typeflag", |entry| entry.set(156, 1, b"\0"));
    maker.header("link-symbolic_fail", "not canonical: typeflag", |entry| {
        entry.set(157, 100, b"/etc/passwd");
        entry.set(156, 1, b"2");
    });
    maker.header("link-name_fail", "not canonical: linkname", |entry| entry.set(157, 100, b"x"));
    let before = |flag: &'static [u8], name: &'static [u8], data: &'static [u8]| {
        move |entries: &mut Vec<Entry>| {
            let at = entries.iter().position(|entry| entry.name().ends_with("findings.json")).unwrap();
            let mut extra = entries[at].clone();
            extra.set(0, 100, name);
            extra.set_data(data.to_vec());
            extra.set(156, 1, flag);
            entries.insert(at, extra);
        }
    };
    let said = "not canonical: typeflag";
    maker.members("extension-pax_fail", said, before(b"x", b"exhibit/data/x", b"20 path=../../x.json\n"));
    maker.members("extension-pax-global_fail", said, before(b"g", b"exhibit/data/x", b"18 comment=hello!\n"));
    maker.members("extension-gnu-long-name_fail", said, before(b"L", b"././@LongLink", b"../../x\0"));
    maker.members("extension-folder_fail", said, before(b"5", b"exhibit/data/device/", b""));
}

fn ends(maker: &mut Maker) {
    maker.archive("padding-not-zero_fail", "padding after", |tar| {
        // The first member, bagit.txt, is 55 bytes long.
        tar[512 + 55] = 1;
    });
    maker.archive("end-lone-zero-block_fail", "does not end with two zero blocks", |tar| {
        tar.truncate(tar.len() - 512);
    });
    maker.archive("end-no-zero-block_fail", "cut off at byte", |tar| tar.truncate(tar.len() - 1024));
    maker.archive("end-third-zero-block_fail", "follows the end of the archive", |tar| {
        tar.extend([0; 512]);
    });
    maker.archive("end-second-archive_fail", "follows the end of the archive", |tar| {
        tar.extend(tar.clone());
    });
    maker.archive("end-zero-block-inside_fail", "does not end with two zero blocks", |tar| {
        tar.splice(1024..1024, [0; 512]);
    });
    maker.archive("cut-inside-member_fail", "cut off at byte", |tar| tar.truncate(tar.len() / 2));
    maker.file("cut-file_fail", "the file is cut off", |file| file.truncate(file.len() - 9));
    maker.file("gzip-trailing-byte_fail", "follows the compressed data", |file| file.push(0));
    maker.file("gzip-second-member_fail", "follows the compressed data", |file| file.extend(zip(b"")));
    maker.file("gzip-checksum_fail", "gzip checksum", |file| {
        let at = file.len() - 6;
        file[at] ^= 1;
    });
    maker.file("gzip-flags_fail", "gzip header", |file| {
        file[3] = 8;
        file.splice(10..10, *b"name\0");
    });
    maker.file("gzip-time_fail", "gzip header", |file| file[4] = 1);
    maker.file("gzip-system_fail", "gzip header", |file| file[9] = 3);
    maker.archive("bomb-behind-the-end_fail", "follows the end of the archive", |tar| {
        tar.resize(tar.len() + (64 << 20), 0);
    });
    maker.members("bomb-declared-small_fail", "not as large as Payload-Oxum", |entries| {
        find(entries, "data/captures/0001.pcap").set_data(vec![0; 64 << 20]);
    });
    maker.members("bomb-tag-file_fail", "larger than the limit", |entries| {
        find(entries, "bagit.txt").set_data(vec![b'\n'; (64 << 20) + 1]);
    });
    maker.members("bomb-envelope_fail", "larger than the limit", |entries| {
        find(entries, dsse::ENVELOPE).set_data(vec![b' '; (1 << 20) + 1]);
    });
}

fn closed_world(maker: &mut Maker) {
    maker.members("file-changed_fail", "data/captures/0001.pcap was changed", |entries| {
        find(entries, "data/captures/0001.pcap").data[60] ^= 1;
    });
    maker.members("file-missing_fail", "data/findings.json is missing", |entries| {
        entries.retain(|entry| !entry.name().ends_with("findings.json"));
    });
    let added = |name: &'static str| {
        move |entries: &mut Vec<Entry>| {
            let mut extra = entries.last().unwrap().clone();
            extra.set(0, 100, format!("exhibit/{name}").as_bytes());
            extra.set_data(b"extra\n".to_vec());
            let after = |entry: &Entry| entry.name() > extra.name();
            let at = entries.iter().skip(4).position(after).map_or(entries.len(), |at| at + 4);
            entries.insert(at, extra);
        }
    };
    maker.members("file-unlisted_fail", "data/zzz is not in the manifest", added("data/zzz"));
    maker.members("file-fetch-txt_fail", "fetch.txt is not in the manifest", added("fetch.txt"));
    maker.members("file-other-manifest_fail", "manifest-md5.txt is not in", added("manifest-md5.txt"));
    maker.members(
        "file-stray-attestation_fail",
        "is not in the manifest",
        added("attestations/0001.dsse.json"),
    );
    maker.sealed("file-beside-layout_fail", "neither part of the layout nor an input", |entries| {
        added("data/readme.html")(entries);
        mend_sections(entries);
    });
    maker.members("manifest-digest-flipped_fail", "tagmanifest-sha256.txt is not", |entries| {
        let manifest = find(entries, manifest::MANIFEST);
        manifest.data[0] = if manifest.data[0] == b'0' { b'1' } else { b'0' };
    });
    maker.members("manifest-for-changed-file_fail", "tagmanifest-sha256.txt is not", |entries| {
        find(entries, "data/captures/0001.pcap").data[60] ^= 1;
        reseal(entries, Reseal::Manifest, &minimal::test_key());
    });
    maker.members("bagit-version_fail", "bagit.txt is not", |entries| {
        find(entries, "bagit.txt").set_data(manifest::BAGIT_TEXT.replace("1.0", "0.97").into_bytes());
        tag_manifest(entries);
    });
    let info = |entries: &mut Vec<Entry>, from: &str, to: &str| {
        let entry = find(entries, "bag-info.txt");
        let text = String::from_utf8(entry.data.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        entry.set_data(text.replace(from, to).into_bytes());
        tag_manifest(entries);
    };
    maker.members("bag-info-date_fail", "bag-info.txt is not", |entries| {
        info(entries, "2023-11-14", "2023-11-15")
    });
    maker.members("bag-info-extra-line_fail", "bag-info.txt is not", |entries| {
        info(entries, "Payload", "Contact-Name: x\nPayload");
    });
    maker.members("bag-info-oxum-files_fail", "not as large as Payload-Oxum", |entries| {
        info(entries, ".12\n", ".13\n")
    });
    maker.members("bag-info-oxum-bytes_fail", "not as large as Payload-Oxum", |entries| {
        info(entries, "Oxum: ", "Oxum: 1");
    });
}

/// Replaces text in a member, once.
fn edit(name: &'static str, from: &'static str, to: &'static str) -> impl Fn(&mut Vec<Entry>) {
    move |entries| {
        let entry = find(entries, name);
        let text = String::from_utf8(entry.data.clone()).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        entry.set_data(text.replacen(from, to, 1).into_bytes());
    }
}

/// Makes the sections of `bundle.json` those of the archive, so that only the edit before is wrong.
fn mend_sections(entries: &mut [Entry]) {
    let mut sections: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for entry in entries.iter() {
        let name = entry.name();
        let Some(inside) = name.strip_prefix("exhibit/data/").filter(|name| *name != "bundle.json") else {
            continue;
        };
        let (bytes, files) = sections.entry(inside.split('/').next().unwrap().to_owned()).or_default();
        *bytes += entry.data.len() as u64;
        *files += 1;
    }
    let sections: Vec<String> = sections
        .iter()
        .map(|(name, (bytes, files))| format!("\"{name}\":{{\"bytes\":{bytes},\"files\":{files}}}"))
        .collect();
    let about = find(entries, "data/bundle.json");
    let text = String::from_utf8(about.data.clone()).unwrap();
    let from = text.find("\"sections\":{").unwrap() + "\"sections\":{".len();
    let to = text[from..].find("}}").unwrap() + from;
    about.set_data(
        [&text[..from], sections.join(",").trim_end_matches('}'), &text[to..]].concat().into_bytes(),
    );
}

fn documents(maker: &mut Maker) {
    const ABOUT: &str = "data/bundle.json";
    let mut about = |name, says, from, to| maker.sealed(name, says, edit(ABOUT, from, to));
    about("bundle-json-other-format_fail", "the format is exhibit/9", "exhibit/0", "exhibit/9");
    about("bundle-json-other-epoch_fail", "its epoch is not the time", "1700000000", "1700000001");
    about("bundle-json-unknown-field_fail", "unknown field", "{\"case\"", "{\"aaa\":1,\"case\"");
    about(
        "bundle-json-denies-simulation_fail",
        "it contradicts",
        "\"simulated\":true",
        "\"simulated\":false",
    );
    about("bundle-json-other-sections_fail", "its sections are not those", "\"files\":1", "\"files\":2");
    let mut document = |name, says, file, from, to| {
        maker.sealed(name, says, |entries| {
            edit(file, from, to)(entries);
            mend_sections(entries);
        });
    };
    let (findings, inventory) = ("data/findings.json", "data/inventory.json");
    let twice = "\"bytes\":\"42\",\"bytes\":\"43\"";
    document("findings-duplicate-key_fail", "a key stands twice", findings, "\"bytes\":\"42\"", twice);
    document("findings-not-canonical_fail", "not canonical JSON", findings, "\"title\":", "\"title\": ");
    document("findings-fraction_fail", "numbers are integers", findings, "\"packets\":1", "\"packets\":1.0");
    let said = "an input is not the file that it names";
    document("inventory-other-role_fail", said, inventory, "\"capture\"", "\"device\"");
    document("inventory-other-member_fail", said, inventory, "device/0001.bin", "device/0002.bin");
    document("inventory-other-size_fail", said, inventory, "\"bytes\":42", "\"bytes\":43");
    document(
        "inventory-not-sorted_fail",
        "not sorted by path",
        inventory,
        "IMG_0001.jpg",
        "IMG_0001 (copy).jpg",
    );
    document("addresses-other-table_fail", "another table", "data/reference/addresses.json", "none", "some");
    document("seed-not-hex_fail", "64 lower-case hex digits", "data/private/seed", "0707", "07XX");
    maker.sealed("inventory-forgets-file_fail", "neither part of the layout nor an input", |entries| {
        let inventory = find(entries, "data/inventory.json");
        let text = String::from_utf8(inventory.data.clone()).unwrap();
        let at = text.find("\"member\":\"data/captures/0001.pcap\"").unwrap();
        let (from, to) = (text[..at].rfind(",{").unwrap(), at + text[at..].find('}').unwrap() + 1);
        inventory.set_data([&text[..from], &text[to..]].concat().into_bytes());
        mend_sections(entries);
    });
    maker.sealed("seed-missing_fail", "data/private/seed is missing", |entries| {
        entries.retain(|entry| !entry.name().ends_with("private/seed"));
        mend_sections(entries);
    });
}

fn seals(maker: &mut Maker) {
    maker.seal("signature-flipped_fail", "the signature does not match key", |entries| {
        let envelope = find(entries, dsse::ENVELOPE);
        let text = String::from_utf8(envelope.data.clone()).unwrap();
        let at = text.find("\"sig\":\"").unwrap() + 12;
        envelope.data[at] = if envelope.data[at] == b'A' { b'B' } else { b'A' };
    });
    maker.seal("signature-other-key_fail", "which you named, but by", |entries| {
        reseal(entries, Reseal::Seal, &SealKey::from_secret(&[4; 32]));
    });
    maker.seal("key-swapped_fail", "not those of its signatures", |entries| {
        let other = SealKey::from_secret(&[4; 32]).public().pem();
        find(entries, dsse::KEYS).set_data(other.into_bytes());
    });
    maker.seal("key-missing_fail", "the envelope or the keys beside it are missing", |entries| {
        entries.retain(|entry| !entry.name().ends_with("seal.keys.pem"));
    });
    maker.seal("seal-stripped_fail", "the bundle is unsigned, and you named a signer", |entries| {
        entries.retain(|entry| !entry.name().contains("/attestations/"));
    });
    maker.seal(
        "payload-type-changed_fail",
        "not an in-toto statement",
        edit(dsse::ENVELOPE, "application/vnd.in-toto+json", "application/json"),
    );
    maker.seal(
        "envelope-unknown-field_fail",
        "unknown field",
        edit(dsse::ENVELOPE, "{\"payload\"", "{\"a\":1,\"payload\""),
    );
    maker.seal(
        "envelope-duplicate-key_fail",
        "a key stands twice",
        edit(dsse::ENVELOPE, "{\"payload\":", "{\"payload\":\"\",\"payload\":"),
    );
    maker.seal(
        "envelope-spaces_fail",
        "not canonical JSON",
        edit(dsse::ENVELOPE, "\"signatures\":", "\"signatures\": "),
    );
    maker.seal("envelope-no-signature_fail", "no signature", |entries| {
        let envelope = find(entries, dsse::ENVELOPE);
        let text = String::from_utf8(envelope.data.clone()).unwrap();
        let at = text.find("\"signatures\":[").unwrap() + 14;
        envelope.set_data(format!("{}]}}\n", &text[..at]).into_bytes());
    });
    maker.seal("envelope-signature-twice_fail", "not sorted by key, each once", |entries| {
        let envelope = find(entries, dsse::ENVELOPE);
        let text = String::from_utf8(envelope.data.clone()).unwrap();
        let at = text.find("\"signatures\":[").unwrap() + 14;
        let entry = &text[at..text.len() - 3];
        envelope.set_data(format!("{}{entry},{entry}]}}\n", &text[..at]).into_bytes());
    });
    maker.seal("seal-of-another-bundle_fail", "the seal is that of another bundle", |entries| {
        let other = "0".repeat(64);
        let statement = String::from_utf8(statement(good())).unwrap();
        let at = statement.find("\"sha256\":\"").unwrap() + 10;
        let statement = [&statement[..at], &other, &statement[at + 64..]].concat();
        sign(entries, statement.as_bytes(), &minimal::test_key());
    });
    maker.statement(
        "statement-duplicate-key_fail",
        "a key stands twice",
        "\"case\":\"minimal\"",
        "\"case\":\"minimal\",\"case\":\"minimal\"",
    );
    maker.statement("statement-unknown-field_fail", "unknown field", "\"case\"", "\"aside\":1,\"case\"");
    maker.statement("statement-not-canonical_fail", "not canonical JSON", "\"case\":", "\"case\": ");
    maker.statement(
        "statement-other-predicate_fail",
        "it is not a https://exhibit.example/seal/v0",
        "seal/v0",
        "seal/v9",
    );
    maker.statement(
        "statement-other-case_fail",
        "the seal is for another case",
        "\"minimal\"",
        "\"maximal\"",
    );
    maker.statement(
        "statement-other-format_fail",
        "the seal is for another format",
        "exhibit/0",
        "exhibit/9",
    );
    maker.statement("statement-other-size_fail", "another size or time", "\"bytes\":", "\"bytes\":1");
    maker.statement("statement-other-epoch_fail", "another size or time", "1700000000", "1700000001");
    maker.statement(
        "statement-commitment_fail",
        "invalid type",
        "\"commitment\":null",
        "\"commitment\":\"x\"",
    );
}
