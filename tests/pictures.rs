//! Altered copies of photos: scaled, coded anew, turned and stripped ones are found; pictures of something else are not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
    sync::Arc,
};

use exhibit::{
    case::device::{Device, DeviceFile},
    engine::{
        correlate::{Artifact, Catalog, Collector, FlowRef, Outcome, Spool, conclude},
        decode::sink::{Keep, Origin, Source},
    },
    evidence::{ByteRange, Direction, Limits, Scratch},
    findings::Grade,
};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, codecs::jpeg::JpegEncoder, imageops::FilterType};

mod support;

use support::{Home, packets};

/// A picture with structure at every size, coarse ones strongest, as in pictures of the world; the same for the same seed.
fn scene(seed: u64, width: u32, height: u32) -> DynamicImage {
    let mut layers = Vec::new();
    for octave in 0..6_u32 {
        let cells = 2_usize << octave;
        let values: Vec<f64> = (0..(cells + 1) * (cells + 1) * 3)
            .map(|no| mixed(seed * 1_000_003 + u64::from(octave) * 65_537 + no as u64))
            .collect();
        layers.push((cells, values));
    }
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        Rgb([0, 1, 2].map(|channel| {
            let mut sum = 0.0;
            for (cells, values) in &layers {
                let (fx, fy) = (x * *cells as f64, y * *cells as f64);
                let (cx, cy) = (fx.floor() as usize, fy.floor() as usize);
                let at = |dx: usize, dy: usize| values[((cy + dy) * (cells + 1) + cx + dx) * 3 + channel / 2];
                let (tx, ty) = (fx.fract(), fy.fract());
                let top = at(0, 0) * (1.0 - tx) + at(1, 0) * tx;
                let low = at(0, 1) * (1.0 - tx) + at(1, 1) * tx;
                sum += (top * (1.0 - ty) + low * ty) / *cells as f64;
            }
            (128.0 + 200.0 * sum).clamp(0.0, 255.0) as u8
        }))
    });
    DynamicImage::ImageRgb8(picture)
}

/// Between -1 and 1 (splitmix64).
fn mixed(no: u64) -> f64 {
    let mut z = no.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn jpeg(picture: &DynamicImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)).unwrap();
    bytes
}

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.to_rgb8().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn thumbnail(picture: &DynamicImage) -> Vec<u8> {
    jpeg(&picture.resize(160, 160, FilterType::Triangle), 70)
}

/// Sends each leaf as a flow of its own from a phone that holds `photos`.
fn sent(photos: &[Vec<u8>], leaves: &[Vec<u8>], threads: usize) -> (Catalog, Outcome) {
    let limits = Limits { threads, ..Limits::default() };
    let file = |(no, bytes): (usize, &Vec<u8>)| {
        DeviceFile::new(format!("phone/{no:03}.jpg"), Arc::new(bytes.clone())).unwrap()
    };
    let device = Device { files: photos.iter().enumerate().map(file).collect() };
    let devices = BTreeMap::from([("phone".to_owned(), device)]);
    let catalog = Catalog::build(&devices, &BTreeMap::new(), &[], &limits).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(Scratch::new(folder.path()));
    let send = |(flow, leaf): (u32, &Vec<u8>)| {
        let mut collector = Collector::new(&catalog, &spool, FlowRef { capture: 0, flow }, &limits);
        let origin =
            Origin { direction: Direction::Up, transaction: None, steps: Vec::new(), keep: Keep::Search };
        let id = collector.open(origin);
        collector.write(id, leaf, Source::Copied(ByteRange::new(0, leaf.len() as u64)));
        collector.close(id, &[]);
        collector.finish().unwrap()
    };
    let harvests = (0..).zip(leaves).map(send).collect();
    let outcome = conclude(&catalog, spool, harvests, &limits).unwrap();
    (catalog, outcome)
}

/// Pairs of leaf and photo of which one is called an altered copy of the other.
fn copies(outcome: &Outcome) -> BTreeSet<(u32, u32)> {
    let copy = |hit: &exhibit::engine::correlate::Hit| match hit.artifact {
        Artifact::CopyOf(id) => Some((hit.leaf.flow.flow, id.0)),
        _ => None,
    };
    outcome.hits.iter().filter_map(copy).collect()
}

#[test]
fn small_copies_are_found_and_carry_a_verdict() {
    let (groups, of) = (30_u64, 10_u64);
    let mut found = 0;
    for group in 0..groups {
        let scenes: Vec<_> = (0..of).map(|no| scene(group * of + no + 1, 320, 240)).collect();
        let photos: Vec<_> = scenes.iter().map(|scene| jpeg(scene, 92)).collect();
        let thumbnails: Vec<_> = scenes.iter().map(thumbnail).collect();
        let (_, outcome) = sent(&photos, &thumbnails, 2);
        found += outcome
            .hits
            .iter()
            .filter(|hit| {
                hit.artifact == Artifact::CopyOf(exhibit::engine::correlate::ContentId(hit.leaf.flow.flow))
            })
            .filter(|hit| hit.grade == Grade::Derived && hit.probative)
            .count();
        assert!(copies(&outcome).iter().all(|(leaf, photo)| leaf == photo), "a copy of another photo");
    }
    println!("{found} of {} copies of 160 pixels at quality 70 are found", groups * of);
    assert!(found * 100 >= 99 * usize::try_from(groups * of).unwrap(), "{found} of {}", groups * of);
}

#[test]
fn pictures_of_something_else_are_not_found() {
    // 340 thumbnails of pictures that are not on the phone, and 300 photos: 102,000 pairs, each in eight turns.
    let photos: Vec<_> = (0..300).map(|no| jpeg(&scene(no + 10_001, 96, 96), 92)).collect();
    let others: Vec<_> = (0..340).map(|no| jpeg(&scene(no + 20_001, 96, 72), 70)).collect();
    let (_, outcome) = sent(&photos, &others, 2);
    println!("{} of {} unrelated pairs are alike", copies(&outcome).len(), photos.len() * others.len());
    assert!(copies(&outcome).len() <= 1, "{:?}", copies(&outcome));
}

#[test]
fn copies_are_found_however_they_are_coded_turned_or_scaled() {
    let photo = scene(1, 320, 240);
    let photos = [jpeg(&photo, 92), jpeg(&scene(2, 320, 240), 92), jpeg(&scene(3, 320, 240), 92)];
    let smaller = |picture: &DynamicImage| picture.resize_exact(213, 160, FilterType::Lanczos3);
    let leaves = [
        ("coded anew", jpeg(&photo, 60)),
        ("PNG", written(&photo, ImageFormat::Png)),
        ("WebP, smaller", written(&smaller(&photo), ImageFormat::WebP)),
        ("a quarter turn", jpeg(&photo.rotate90(), 80)),
        ("half a turn, smaller", jpeg(&smaller(&photo.rotate180()), 80)),
        ("three quarters", jpeg(&photo.rotate270(), 80)),
        ("mirrored", jpeg(&photo.fliph(), 80)),
        ("in grey", jpeg(&photo.grayscale(), 80)),
        ("squeezed", jpeg(&photo.resize_exact(96, 96, FilterType::Triangle), 70)),
    ];
    let bytes: Vec<Vec<u8>> = leaves.iter().map(|(_, bytes)| bytes.clone()).collect();
    let (_, outcome) = sent(&photos, &bytes, 2);
    for (no, (name, _)) in (0..).zip(&leaves) {
        assert!(copies(&outcome).contains(&(no, 0)), "{name}");
    }
    assert_eq!(copies(&outcome).len(), leaves.len());
    let (_, alone) = sent(&photos, &bytes, 1);
    assert_eq!(alone, outcome, "threads must not show");
}

/// A JPEG as other encoders write it.
fn encoded(picture: &DynamicImage, inks: Option<jpeg_encoder::ColorType>, progressive: bool) -> Vec<u8> {
    let (width, height) = (picture.width() as u16, picture.height() as u16);
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 75);
    encoder.set_progressive(progressive);
    let rgb = picture.to_rgb8();
    if let Some(kind) = inks {
        // What each colour takes away of white; of black a fifth of what all three take.
        let inks = rgb.pixels().flat_map(|Rgb(light)| {
            let taken = light.map(|light| 255 - light);
            let black = taken.into_iter().min().unwrap() / 5;
            let left = |ink: u8| (u16::from(ink - black) * 255 / u16::from(255 - black)) as u8;
            [left(taken[0]), left(taken[1]), left(taken[2]), black]
        });
        encoder.encode(&inks.collect::<Vec<u8>>(), width, height, kind).unwrap();
    } else {
        encoder.encode(rgb.as_raw(), width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    }
    bytes
}

/// With an orientation and a thumbnail of its own in Exif, as a gallery writes it.
fn with_thumbnail(jpeg: &[u8], thumbnail: &[u8]) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, value: u32| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &1_u32.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let second = 8 + 2 + 12 + 4;
    let data = second + 2 + 2 * 12 + 4;
    let len = u32::try_from(thumbnail.len()).unwrap();
    let tiff = [
        b"II*\0\x08\0\0\0\x01\0".to_vec(),
        entry(0x0112, 3, 6),
        u32::to_le_bytes(second).to_vec(),
        b"\x02\0".to_vec(),
        entry(0x0201, 4, data),
        entry(0x0202, 4, len),
        vec![0; 4],
        thumbnail.to_vec(),
    ]
    .concat();
    let size = u16::try_from(tiff.len() + 8).unwrap().to_be_bytes();
    [b"\xff\xd8\xff\xe1".as_slice(), &size, b"Exif\0\0", &tiff, &jpeg[2..]].concat()
}

#[test]
fn copies_are_found_in_every_coding_that_phones_and_servers_write() {
    use jpeg_encoder::ColorType::{Cmyk, CmykAsYcck};
    let photo = scene(1, 320, 240);
    let photos =
        [jpeg(&photo, 92), encoded(&scene(2, 320, 240), Some(Cmyk), false), jpeg(&scene(3, 320, 240), 92)];
    let mut deep = Cursor::new(Vec::new());
    DynamicImage::ImageRgb16(photo.to_rgb16()).write_to(&mut deep, ImageFormat::Png).unwrap();
    let small = photo.resize(160, 160, FilterType::Triangle);
    let mirrored =
        [photo.flipv(), photo.rotate90().fliph(), photo.rotate270().fliph()].map(|one| (jpeg(&one, 70), 0));
    let leaves = [
        (encoded(&photo, None, true), 0),
        (encoded(&small, None, true), 0),
        (encoded(&photo, Some(Cmyk), false), 0),
        (encoded(&photo, Some(CmykAsYcck), true), 0),
        (deep.into_inner(), 0),
        (written(&small.to_luma_alpha8().into(), ImageFormat::Png), 0),
        (with_thumbnail(&jpeg(&small, 60), &thumbnail(&scene(77, 96, 96))), 0),
        // Of a photo in inks.
        (jpeg(&scene(2, 200, 150), 70), 1),
    ];
    let leaves: Vec<(Vec<u8>, u32)> = leaves.into_iter().chain(mirrored).collect();
    let bytes: Vec<Vec<u8>> = leaves.iter().map(|(bytes, _)| bytes.clone()).collect();
    let (_, outcome) = sent(&photos, &bytes, 2);
    let wanted: BTreeSet<(u32, u32)> = (0..).zip(&leaves).map(|(no, (_, of))| (no, *of)).collect();
    assert_eq!(copies(&outcome), wanted);
    assert_eq!(outcome.limits_reached, [""; 0]);
}

#[test]
fn pictures_that_are_not_decoded_are_counted_and_said() {
    let photo = jpeg(&scene(1, 320, 240), 92);
    let heic = [b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".as_slice(), &[7; 900]].concat();
    let gif = [b"GIF89a".as_slice(), &[9; 300]].concat();
    let said = |photos: &[Vec<u8>], leaves: &[Vec<u8>]| sent(photos, leaves, 2).1.limits_reached;
    let other = jpeg(&scene(2, 160, 120), 70);
    let both = said(&[photo.clone(), heic.clone()], &[gif, heic[..900].to_vec(), other.clone()]);
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both[0].starts_with("1 pictures that were sent"), "{both:?}");
    assert!(both[1].starts_with("1 photos of the device"), "{both:?}");
    // Whole files, parts of photos, and films are no such pictures; nor is there anything to say where no picture was sent.
    let film = [b"\0\0\0\x18ftypisom".as_slice(), &[1; 500]].concat();
    assert_eq!(said(&[photo.clone(), heic.clone()], &[heic.clone(), film]), [""; 0]);
    assert_eq!(said(std::slice::from_ref(&photo), &[photo[..4_000].to_vec(), other]), [""; 0]);
}

/// A screen of a list: rows with a round picture and two lines of words, all of one layout.
fn screen(seed: u64) -> DynamicImage {
    let mut no = seed * 10_007;
    let mut below = |most: u32| {
        no += 1;
        ((mixed(no) + 1.0) / 2.0 * f64::from(most)) as u32
    };
    let mut picture = RgbImage::from_pixel(540, 1_080, Rgb([250, 250, 250]));
    let mut fill = |x: u32, y: u32, width: u32, height: u32, level: u8| {
        for (x, y) in (y..y + height).flat_map(|y| (x..x + width).map(move |x| (x, y))) {
            if x < 540 && y < 1_080 {
                picture.put_pixel(x, y, Rgb([level; 3]));
            }
        }
    };
    fill(0, 0, 540, 40, 60);
    fill(0, 40, 540, 70, 90);
    for row in 0..14 {
        let y = 130 + row * 66;
        fill(15, y + 8, 50, 50, below(200) as u8);
        for (line, height, level, least) in [(10, 18, 20, 80), (38, 13, 120, 140)] {
            let (mut x, end) = (80, 80 + least + below(150));
            while x < end {
                let word = 10 + below(40);
                fill(x, y + line, word, height, level);
                x += word + 8;
            }
        }
        fill(80, y + 65, 460, 1, 220);
    }
    DynamicImage::ImageRgb8(picture)
}

#[test]
fn screens_of_one_layout_carry_no_verdict() {
    let photos: Vec<_> = (1..=10).map(|no| written(&screen(no), ImageFormat::Png)).collect();
    let own = thumbnail(&screen(1));
    let others = (101..=110).map(|no| thumbnail(&screen(no)));
    let leaves: Vec<Vec<u8>> = others.chain([own, jpeg(&screen(102), 85)]).collect();
    let (_, outcome) = sent(&photos, &leaves, 2);
    // They are alike, which is why it must not count; one of them is a copy, and still nothing tells it from the rest.
    assert!(copies(&outcome).len() >= 6 && copies(&outcome).contains(&(10, 0)), "{:?}", copies(&outcome));
    let carrying: Vec<_> =
        outcome.hits.iter().filter(|hit| hit.grade == Grade::Derived && hit.probative).collect();
    assert!(carrying.is_empty(), "{carrying:?}");
}

#[test]
fn a_copied_file_is_no_altered_copy_and_an_empty_page_is_none() {
    let photo = jpeg(&scene(1, 320, 240), 92);
    let page = DynamicImage::ImageRgb8(RgbImage::from_pixel(320, 240, Rgb([250, 250, 250])));
    // Metadata taken away or put in: the picture's own bytes are there, and say more than a likeness.
    let comment = [&photo[..2], b"\xff\xfe\x00\x0aexhibit!", &photo[2..]].concat();
    let (_, outcome) = sent(&[photo.clone(), jpeg(&page, 92)], &[photo, comment, jpeg(&page, 50)], 1);
    assert_eq!(copies(&outcome), BTreeSet::new());
    let grades: Vec<Grade> = outcome.hits.iter().map(|hit| hit.grade).collect();
    assert!(grades.contains(&Grade::Exact) && grades.contains(&Grade::Partial), "{grades:?}");
}

#[test]
fn a_smaller_copy_in_a_capture_supports_that_a_photo_was_uploaded() {
    let home = Home::new();
    let photo = scene(7, 640, 480);
    support::write(&home.path("case/phone/IMG_0001.jpg"), jpeg(&photo, 92));
    support::write(&home.path("case/phone/IMG_0002.jpg"), jpeg(&scene(8, 640, 480), 92));
    let thumbnail = thumbnail(&photo);
    let head = format!(
        "POST /preview HTTP/1.1\r\nHost: cdn.example\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
        thumbnail.len()
    );
    let frames = packets::connection(
        ([192, 168, 43, 17], 40_000),
        ([203, 0, 113, 9], 80),
        &[head.as_bytes(), &thumbnail].concat(),
        b"HTTP/1.1 204 No Content\r\n\r\n",
    );
    support::write(&home.path("case/capture.pcap"), packets::pcap(&frames));
    let scenario = "exhibit: 1\ncapture: capture.pcap\nfiles: phone/\nclaims:\n  - {id: L2, says: uploads photos, uploads: photo}\n";
    support::write(&home.path("case/scenario.yaml"), scenario);
    let case = home.path("case");
    let text = support::run(&mut home.exhibit(&["run", "--no-bundle", case.to_str().unwrap()]));
    assert!(text.contains("altered copy"), "{text}");
    let page = support::run(&mut home.exhibit(&["report", case.to_str().unwrap(), "--format", "md"]));
    assert!(page.contains("are a picture that shows what the artifact shows"), "{page}");
    let json =
        support::run(&mut home.exhibit(&["run", "--no-bundle", "--format", "json", case.to_str().unwrap()]));
    let findings: serde_json::Value = serde_json::from_str(&json).unwrap();
    let derived: Vec<_> = findings["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["grade"] == "derived")
        .collect();
    let [finding] = derived.as_slice() else { panic!("{json}") };
    assert_eq!(finding["artifact"], "phone/IMG_0001.jpg");
    assert_eq!((finding["matched_bytes"].as_u64(), finding["probative"].as_bool()), (Some(0), Some(true)));
    assert!(finding["distance"].as_u64().unwrap() < 150);
    let permits = findings["claims"][0]["permits"].as_str().unwrap();
    assert!(permits.contains("sent an altered copy of phone/IMG_0001.jpg"), "{permits}");
    assert_eq!(findings["claims"][0]["status"], "supported");
    assert_eq!(findings["claims"][0]["grade"], "derived");
}
