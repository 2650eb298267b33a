//! The lab against its own committed files and its truth, and its captures against tshark.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected has failed"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use exhibit::{
    case::{
        Case,
        folder::{Disk, Folder},
    },
    evidence::{Digest, Scratch},
    lab::{self, Made, Model, Played},
};

const SCENARIOS: [&str; 2] = ["hello", "redmi-note"];
/// Committed captures and photos stay small; a checkout is not a download.
const MOST_BYTES: usize = 1 << 20;

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name)
}

fn model(name: &str) -> Model {
    Model::parse(&fs::read_to_string(scenario(name).join("lab.yaml")).unwrap()).unwrap()
}

fn played(name: &str) -> Played {
    let model = model(name);
    lab::play(&model, model.seed).unwrap()
}

/// Whether a run of 128 bytes of `needle` stands in `hay`; two photos of the lab share shorter ones only.
fn leaks(hay: &[u8], needle: &[u8]) -> bool {
    let runs: BTreeSet<&[u8]> = needle.windows(128).collect();
    hay.windows(128).any(|window| runs.contains(window))
}

fn contains(hay: &[u8], needle: &str) -> bool {
    hay.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn committed_files_are_those_that_the_lab_makes() {
    for name in SCENARIOS {
        let played = played(name);
        for made in played.files() {
            let committed = fs::read(scenario(name).join(&made.path)).unwrap_or_default();
            let again = format!("`exhibit lab make scenarios/{name}` makes it again");
            assert!(committed == made.bytes, "{name}/{} differs; {again}", made.path);
        }
        let by_hand = ["README.md", "lab.yaml", "scenario.yaml", "schemas/preferences.json"];
        let paths: BTreeSet<&str> = played.files().map(|made| made.path.as_str()).chain(by_hand).collect();
        for path in Disk::new(scenario(name)).list(".").unwrap() {
            assert!(paths.contains(path.as_str()), "{name}/{path} is made by nobody");
        }
    }
}

#[test]
fn scenarios_open_as_cases_with_what_the_lab_made() {
    let scratch = tempfile::tempdir().unwrap();
    for (name, runs) in SCENARIOS.into_iter().zip([1, 9]) {
        let disk = Disk::new(scenario(name));
        let case = Case::open(&disk, "scenario.yaml", &Scratch::new(scratch.path())).unwrap();
        assert!(case.plan.simulated, "{name}");
        assert_eq!((case.runs.len(), case.captures.len(), case.devices.len()), (runs, runs, runs), "{name}");
        let photos: BTreeSet<&str> =
            case.devices.values().flat_map(|device| &device.files).map(|file| file.path.as_str()).collect();
        let played = played(name);
        let made: BTreeSet<&str> = played.device.iter().map(|made| made.path.as_str()).collect();
        assert_eq!(photos, made);
        for run in &case.runs {
            let taken: Vec<&str> =
                run.actions.iter().flat_map(|done| &done.makes).map(String::as_str).collect();
            assert!(taken.iter().all(|path| photos.contains(path)), "{run:?}");
            assert_eq!(taken.len(), usize::from(run.recorded), "{run:?}");
        }
        let model = model(name);
        let identifiers = &case.plan.phone.identifiers;
        assert!(name == "hello" || *identifiers == model.phone.identifiers, "{identifiers:?}");
    }
}

#[test]
fn committed_scenarios_stay_small() {
    let bytes: usize =
        SCENARIOS.iter().flat_map(|name| played(name).files().map(size).collect::<Vec<_>>()).sum();
    assert!(bytes < MOST_BYTES, "{bytes} bytes");
}

fn size(made: &Made) -> usize {
    made.bytes.len()
}

#[test]
fn one_seed_one_world_and_another_seed_another() {
    let model = model("redmi-note");
    let [one, same, other] = [7, 7, 8].map(|seed| lab::play(&model, seed).unwrap());
    assert!(one == same);
    for (one, other) in one.captures.iter().chain(&one.device).zip(other.captures.iter().chain(&other.device))
    {
        assert_eq!(one.path, other.path);
        assert!(one.bytes != other.bytes, "{} does not depend on the seed", one.path);
    }
}

#[test]
fn each_line_of_the_record_holds_the_digest_of_the_line_before() {
    let record = played("redmi-note").record.unwrap();
    let text = String::from_utf8(record.bytes).unwrap();
    let mut prev = Digest([0; 32]);
    for line in text.lines() {
        assert!(line.starts_with(&format!("{{\"prev\":\"{prev}\"")), "{line}");
        prev = Digest::of(line.as_bytes());
    }
    assert_eq!(text.lines().count(), 9);
}

#[test]
fn a_photo_is_in_its_own_capture_and_in_no_other() {
    for name in SCENARIOS {
        let played = played(name);
        for photo in &played.device {
            let sent =
                played.sent.iter().find(|sent| sent.carries.iter().any(|carried| carried.what == photo.path));
            for capture in &played.captures {
                let expected = sent.is_some_and(|sent| sent.capture == capture.path);
                let found = leaks(&capture.bytes, &photo.bytes);
                assert_eq!(found, expected, "{name}: {} in {}", photo.path, capture.path);
            }
        }
    }
    let unsent = played("hello").device.len()
        - played("hello").sent.iter().filter(|sent| !sent.carries.is_empty()).count();
    assert_eq!(unsent, 2);
}

#[test]
fn identifiers_leave_unasked_and_never_in_the_positive_control() {
    for capture in played("redmi-note").captures {
        let leaving = !capture.path.contains("cloud-on");
        assert_eq!(contains(&capture.bytes, "867622014512347"), leaving, "{}", capture.path);
        assert_eq!(contains(&capture.bytes, "%2B85298765432"), leaving, "{}", capture.path);
    }
}

#[test]
fn personal_things_go_to_mainland_addresses_before_consent_and_to_the_cloud_after_it() {
    for sent in played("redmi-note").sent.iter().filter(|sent| !sent.carries.is_empty()) {
        let country = iptocc::country_code(sent.address.as_str());
        let consented = sent.run.starts_with("cloud-on");
        assert_eq!(country, if consented { None } else { Some("CN") }, "{sent:?}");
        assert_eq!(sent.host.ends_with(".cloud.example"), consented, "{sent:?}");
        assert_eq!(sent.during, "idle");
        assert!(sent.cleartext);
    }
}

#[test]
fn a_model_that_names_what_is_not_there_or_asks_too_much_is_refused() {
    let yaml = fs::read_to_string(scenario("hello").join("lab.yaml")).unwrap();
    for (name, other, says) in [
        ("to: gallery.example", "to: galery.example", "play phase tonight: no host is called galery.example"),
        ("during: shoot", "during: shot", "play phase tonight: no action is called shot"),
        ("file: DCIM/Camera/IMG_0003", "file: DCIM/IMG_0003", "no file is called DCIM/IMG_0003.jpg"),
        (", joins: true", "", "no action joins the network"),
        ("lab: 1", "lab: 2", "a behaviour model of version 2"),
        ("tail: 30s", "tail: 30", "read the time span 30"),
        ("seed: 1", "sed: 1", "sed"),
        ("capture: hotspot", "capture: ../hotspot", "../hotspot.pcapng is no path of plain names"),
        ("library: [DCIM", "library: [/DCIM", "/DCIM/Camera/IMG_0001.jpg is no path of plain names"),
        ("runs: 1", "runs: 100000", "play phase tonight: more than 1000 runs"),
        ("lasts: 2s, joins", "lasts: 2000h, joins", "more than 604800000000 microseconds"),
    ] {
        assert!(yaml.contains(name), "{name}");
        let error = Model::parse(&yaml.replace(name, other)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_run_that_is_cut_short_is_an_error() {
    let mut model = model("hello");
    model.phases[0].tail = "1s".parse().unwrap();
    let error = lab::play(&model, 1).unwrap_err().to_string();
    assert_eq!(error, "play tonight/01 to its end: the conversation with gallery.example did not finish");
}

/// tshark on a capture, or nothing where it is not installed.
fn tshark(capture: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("tshark")
        .args(["-o", "tcp.reassemble_out_of_order:TRUE", "-o", "tcp.check_checksum:TRUE"])
        .args(["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"])
        .arg("-r")
        .arg(capture)
        .args(arguments)
        .output();
    match output {
        Ok(output) if output.status.success() => Some(String::from_utf8(output.stdout).unwrap()),
        Ok(output) => panic!("tshark: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            assert!(!peers_required(), "tshark is required: {error}");
            println!("skipped: tshark is not installed");
            None
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the switch by which a check run demands its peers")]
fn peers_required() -> bool {
    std::env::var("EXHIBIT_REQUIRE_PEERS").is_ok_and(|value| value == "1")
}

fn written(folder: &tempfile::TempDir, capture: &Made) -> PathBuf {
    let path = folder.path().join(capture.path.replace('/', "-"));
    fs::write(&path, &capture.bytes).unwrap();
    path
}

const FRAME: [&str; 7] = [
    "eth.src",
    "_ws.malformed",
    "_ws.expert.severity",
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "dhcp.option.dhcp",
];
/// Wireshark's severity of a warning; a connection's beginning is a chat, its end a note.
const WARNING: u32 = 0x0060_0000;

#[test]
fn tshark_has_nothing_to_complain_of() {
    let folder = tempfile::tempdir().unwrap();
    for name in SCENARIOS {
        let mac = if name == "hello" { "02:00:5e:10:00:11" } else { "64:09:80:00:00:01" };
        for capture in &played(name).captures {
            let fields = FRAME.iter().chain(&["tcp.analysis.flags"]).flat_map(|field| ["-e", field]);
            let arguments: Vec<&str> = ["-T", "fields"].into_iter().chain(fields).collect();
            let Some(frames) = tshark(&written(&folder, capture), &arguments) else { return };
            let mut dhcp = String::new();
            for (no, frame) in frames.lines().enumerate() {
                let values: Vec<&str> = frame.split('\t').collect();
                let place = format!("{name}/{} frame {}: {frame}", capture.path, no + 1);
                assert!([mac, "02:00:5e:10:00:01"].contains(&values[0]), "{place}");
                assert_eq!((values[1], values[7]), ("", ""), "{place}");
                let severe = values[2].split(',').filter_map(|severity| severity.parse().ok());
                assert!(severe.into_iter().all(|severity: u32| severity < WARNING), "{place}");
                assert!(["", "11"].contains(&values[3..6].concat().as_str()), "{place}");
                dhcp.push_str(values[6]);
            }
            assert_eq!(dhcp, "1235", "{name}/{}", capture.path);
            assert!(frames.lines().count() > 30);
        }
    }
}

/// The bytes that the phone sent over each connection, by its port, as tshark puts them together.
fn uplinks(path: &Path) -> Option<BTreeMap<u16, Vec<u8>>> {
    let opening = "tcp.flags.syn == 1 && tcp.flags.ack == 0";
    let opened = tshark(path, &["-Y", opening, "-T", "fields", "-e", "tcp.stream", "-e", "tcp.srcport"])?;
    let ports: BTreeMap<u32, u16> = opened
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(stream, port)| (stream.parse().unwrap(), port.parse().unwrap()))
        .collect();
    let follows: Vec<String> = ports.keys().map(|stream| format!("follow,tcp,raw,{stream}")).collect();
    let arguments: Vec<&str> = ["-q"].into_iter().chain(follows.iter().flat_map(|tap| ["-z", tap])).collect();
    let text = tshark(path, &arguments)?;
    let mut streams = BTreeMap::new();
    let mut port = 0;
    for line in text.lines() {
        if let Some(stream) = line.strip_prefix("Filter: tcp.stream eq ") {
            port = ports[&stream.parse::<u32>().unwrap()];
        } else if let Some(bytes) = exhibit::evidence::hex_bytes(line) {
            // What came down is indented.
            streams.entry(port).or_insert_with(Vec::new).extend(bytes);
        }
    }
    Some(streams)
}

fn truth_is_in_the_captures(played: &Played) {
    let folder = tempfile::tempdir().unwrap();
    let streams = played
        .captures
        .iter()
        .map(|capture| Some((capture.path.as_str(), uplinks(&written(&folder, capture))?)));
    let Some(streams) = streams.collect::<Option<BTreeMap<_, _>>>() else { return };
    let mut carried_in_all = 0;
    for sent in &played.sent {
        let stream = &streams[sent.capture.as_str()][&sent.local_port];
        let bytes = |range: exhibit::evidence::ByteRange| {
            &stream[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
        };
        let request = bytes(sent.stream_range);
        let begins = match sent.wrapper {
            "get" => request.starts_with(b"GET "),
            "opaque" => true,
            _ => request.starts_with(b"POST "),
        };
        assert!(begins, "{sent:?}");
        for carried in &sent.carries {
            assert_eq!(Digest::of(bytes(carried.stream_range)), carried.sha256, "{sent:?}");
            if let Some(photo) = played.device.iter().find(|photo| photo.path == carried.what) {
                assert!(bytes(carried.stream_range) == photo.bytes, "{sent:?}");
            }
            carried_in_all += 1;
        }
    }
    assert!(carried_in_all > 0);
}

#[test]
fn tshark_finds_what_was_sent_where_the_truth_says() {
    SCENARIOS.iter().for_each(|name| truth_is_in_the_captures(&played(name)));
}

#[test]
fn tshark_exports_the_photos_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let played = played("redmi-note");
    let mut exported = 0;
    for capture in &played.captures {
        let to = tempfile::tempdir().unwrap();
        let export = format!("http,{}", to.path().display());
        if tshark(&written(&folder, capture), &["-q", "--export-objects", &export]).is_none() {
            return;
        }
        let run = capture.path.trim_start_matches("captures/").trim_end_matches(".pcapng");
        let (phase, number) = run.rsplit_once('-').unwrap();
        let device = format!("device/{phase}/{number}/DCIM/Camera/IMG_0001.jpg");
        let photo = &played.device.iter().find(|photo| photo.path == device).unwrap().bytes;
        let objects = Disk::new(to.path()).list(".").unwrap();
        let objects = objects.iter().map(|object| fs::read(to.path().join(object)).unwrap());
        // A multipart body is exported whole, a plain body is the photo itself.
        let plain = phase == "apps-removed";
        exported += objects
            .filter(|object| {
                if plain {
                    object == photo
                } else {
                    object.windows(photo.len()).any(|part| part == photo.as_slice())
                }
            })
            .count();
    }
    assert_eq!(exported, 9);
}

#[test]
fn frames_lost_before_the_capture_are_sent_again_and_all_arrives() {
    let mut model = model("redmi-note");
    model.phases.truncate(1);
    (model.link.loss, model.link.reorder) = (40, 40);
    let played = lab::play(&model, 3).unwrap();
    truth_is_in_the_captures(&played);
    let folder = tempfile::tempdir().unwrap();
    let (mut again, mut missing, mut disorder) = (0, 0, 0);
    for capture in &played.captures {
        let Some(count) = analysis(&written(&folder, capture)) else { return };
        again += count["retransmission"];
        missing += count["lost_segment"];
        disorder += count["out_of_order"];
    }
    assert!(again > 0 && missing > 0 && disorder > 0, "{again} {missing} {disorder}");
}

#[test]
fn frames_that_the_capture_drops_are_missing_for_good_and_counted() {
    let mut model = model("redmi-note");
    model.phases.truncate(1);
    let whole = lab::play(&model, 3).unwrap();
    model.link.unrecorded = 60;
    let played = lab::play(&model, 3).unwrap();
    assert!(played.device == whole.device);
    let folder = tempfile::tempdir().unwrap();
    let mut missing = 0;
    for (capture, whole) in played.captures.iter().zip(&whole.captures) {
        let Some(count) = analysis(&written(&folder, capture)) else { return };
        missing += count["lost_segment"] + count["ack_lost_segment"];
        assert_eq!(count["retransmission"], 0, "nothing is sent again: the far end had it all");
        let dropped = analysis(&written(&folder, whole)).unwrap()["frames"] - count["frames"];
        // The last option of the last block counts what was dropped (pcapng, section 4.6).
        let counted = &capture.bytes[capture.bytes.len() - 20..][..12];
        assert_eq!(counted[..4], [5, 0, 8, 0]);
        assert_eq!(counted[4..], u64::try_from(dropped).unwrap().to_le_bytes());
    }
    assert!(missing > 0);
}

/// How many frames there are, and how many of them tshark finds odd, by its name for it.
fn analysis(path: &Path) -> Option<BTreeMap<&'static str, usize>> {
    const ODD: [&str; 4] = ["retransmission", "lost_segment", "out_of_order", "ack_lost_segment"];
    let fields: Vec<String> = ODD.iter().map(|odd| format!("tcp.analysis.{odd}")).collect();
    let fields = fields.iter().map(String::as_str).chain(["frame.number"]).flat_map(|field| ["-e", field]);
    let arguments: Vec<&str> = ["-T", "fields"].into_iter().chain(fields).collect();
    let frames = tshark(path, &arguments)?;
    let of = |column: usize| frames.lines().filter(|line| line.split('\t').nth(column) != Some("")).count();
    Some(ODD.into_iter().chain(["frames"]).enumerate().map(|(column, name)| (name, of(column))).collect())
}
