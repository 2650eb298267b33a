//! What photos say of themselves is looked for as records: where they were taken, with which camera, whose it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use exhibit::findings::{Findings, Grade, Status};

mod support;
use support::{
    exhibit,
    packets::{connection, pcap},
    run, write,
};

const BYTE_ORDER: &[u8] = b"II*\0\x08\0\0\0";
const ASCII: u16 = 2;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;

/// A directory of TIFF 6.0 at `at`, what does not fit into its entries behind it. Fields stand in the order of tags.
fn directory(at: usize, fields: &[(u16, u16, u32, Vec<u8>)]) -> Vec<u8> {
    let behind = at + 2 + 12 * fields.len() + 4;
    let (mut table, mut data) = (u16::try_from(fields.len()).unwrap().to_le_bytes().to_vec(), Vec::new());
    for (tag, kind, count, value) in fields {
        table.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        table.extend(count.to_le_bytes());
        if value.len() <= 4 {
            table.extend(value.iter().copied().chain([0; 4]).take(4));
        } else {
            table.extend(u32::try_from(behind + data.len()).unwrap().to_le_bytes());
            data.extend(value);
        }
    }
    [table, vec![0; 4], data].concat()
}

fn ascii(tag: u16, text: &str) -> (u16, u16, u32, Vec<u8>) {
    let bytes = [text.as_bytes(), b"\0"].concat();
    (tag, ASCII, u32::try_from(bytes.len()).unwrap(), bytes)
}

/// Degrees, minutes and ten-thousandths of a second.
fn angle(tag: u16, parts: [u32; 3]) -> (u16, u16, u32, Vec<u8>) {
    let [degrees, minutes, seconds] = parts;
    (tag, RATIONAL, 3, [degrees, 1, minutes, 1, seconds, 10_000].map(u32::to_le_bytes).concat())
}

/// A photo with Exif (section 4.5): its own directory at 100, that of the place at 400.
fn photo(latitude: [u32; 3], longitude: [u32; 3], serial: &str) -> Vec<u8> {
    let pointer = |tag, at: u32| (tag, LONG, 1, at.to_le_bytes().to_vec());
    let mut tiff = BYTE_ORDER.to_vec();
    tiff.extend(directory(8, &[ascii(0x0110, "Redmi Note"), pointer(0x8769, 100), pointer(0x8825, 400)]));
    tiff.resize(100, 0);
    tiff.extend(directory(
        100,
        &[ascii(0x9003, "2026:11:20 18:00:05"), ascii(0xa430, "Ann Lee"), ascii(0xa431, serial)],
    ));
    tiff.resize(400, 0);
    tiff.extend(directory(400, &[ascii(1, "N"), angle(2, latitude), ascii(3, "E"), angle(4, longitude)]));
    let segment = [b"Exif\0\0".as_slice(), &tiff].concat();
    let len = u16::try_from(segment.len() + 2).unwrap().to_be_bytes();
    [b"\xff\xd8\xff\xe1".as_slice(), &len, &segment, b"\xff\xd9"].concat()
}

/// What is found of the photo in one request.
fn judge(target: &str, body: &str) -> Findings {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // 22 + 19/60 + 9.4944/3600 and 114 + 10/60 + 9.6996/3600, by bc: 22.319304 and 114.169361.
    write(&at.join("device/DCIM/1.jpg"), photo([22, 19, 94_944], [114, 10, 96_996], "A7C29F3381D0"));
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: up.example\r\nContent-Length: {}\r\n\r\n", body.len());
    let frames = connection(
        ([10, 0, 0, 2], 40_000),
        ([203, 0, 113, 7], 80),
        &[head.as_bytes(), body.as_bytes()].concat(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    write(&at.join("c.pcap"), pcap(&frames));
    write(
        &at.join("scenario.yaml"),
        "exhibit: 1\nid: facts\ncapture: c.pcap\nfiles: device/\ncontrols: {decoys: 1000}\n\
         claims:\n  - {id: value, says: identifiers, uploads: identifier}\n",
    );
    serde_json::from_str(&run(exhibit(at).args(["run", "--no-bundle", "--format", "json"]).arg(at))).unwrap()
}

/// Fields of the photo that were found, with whether they carry weight.
fn found(target: &str, body: &str) -> Vec<(String, bool)> {
    let findings = judge(target, body);
    let decoys = findings.controls.first().unwrap();
    assert_eq!(format!("{:?}", decoys.state), "Held", "{decoys:?}");
    let mut found: Vec<(String, bool)> = findings
        .findings
        .iter()
        .map(|finding| {
            assert_eq!(finding.grade, Grade::Record);
            (finding.artifact.rsplit("exif/").next().unwrap().to_owned(), finding.probative)
        })
        .collect();
    found.sort();
    let supported = found.iter().any(|(name, probative)| *probative && name != "owner");
    let status = if supported { Status::Supported } else { Status::Inconclusive };
    assert_eq!(findings.claims[0].status, status, "{:#?}", findings.findings);
    found
}

#[test]
fn a_place_is_found_in_the_ways_that_programs_write_it() {
    let place = [("location".to_owned(), true)];
    assert_eq!(found("/up", "{\"lat\":22.319304,\"lng\":114.169361}"), place);
    assert_eq!(found("/up", "{\"longitude\": 114.16936, \"latitude\": 22.31930, \"id\": 1}"), place);
    assert_eq!(found("/up?ll=22.319304%2C114.169361", ""), place);
    assert_eq!(found("/up", "{\"type\":\"Point\",\"coordinates\":\"114.169361,22.319304\"}"), place);
    assert_eq!(found("/up?latitude=22.319304&longitude=114.169361", ""), place);
    assert_eq!(found("/up", "{\"latitudeE7\":\"223193040\",\"longitudeE7\":\"1141693610\"}"), place);
    assert_eq!(found("/up", "<where>22.319304, 114.169361</where>"), place);
}

#[test]
fn a_place_that_others_are_at_too_is_not_found() {
    for body in [
        "{\"lat\":22.3193,\"lng\":114.1693}",
        "{\"lat\":22.319999,\"lng\":114.169999}",
        "{\"lat\":-22.419304,\"lng\":114.269361}",
    ] {
        assert_eq!(found("/up", body), [], "{body}");
    }
}

#[test]
fn a_serial_number_and_an_owner_are_found_and_times_and_models_are_none() {
    assert_eq!(found("/up", "{\"serial\":\"A7C29F3381D0\"}"), [("body-serial".to_owned(), true)]);
    assert_eq!(found("/up", "{\"camera\":\"Redmi Note\",\"taken\":\"2026:11:20 18:00:05\"}"), []);
    assert_eq!(found("/up", "{\"from\":\"Ann Lee\"}"), [("owner".to_owned(), false)]);
}
