//! Pictures reduced to what altered copies of them share: a small grid of brightness.
//!
//! JPEG (ITU-T T.81), PNG and WebP. Arithmetic is in integers and the JPEG decoder uses no instructions of one kind of
//! processor, so that the grid is the same on every machine.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader};
use jpeg_decoder::{CodingProcess, PixelFormat};

/// Cells in a row and in a column of a grid.
pub const SIDE: usize = 64;
/// Bytes that a decoder may allocate for one picture. A photo of 16 megapixels in full colour needs 48 MB.
const MAX_ALLOCATED: u64 = 96 << 20;
/// Pixels in a row or a column: what JPEG can hold.
const MAX_EDGE: u32 = 65_535;
/// The least pixels of an edge. Below, nothing can be told apart.
const MIN_EDGE: u32 = 16;
/// What a JPEG is decoded down to, where it holds more; four pixels in each direction of a cell.
const ENOUGH: u16 = 4 * 64;

/// Mean brightness (ITU-R BT.601 luma) of `SIDE` × `SIDE` equal parts of a picture, row by row, in 256ths of a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid(pub Vec<u32>);

/// Why there is no grid of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoGrid {
    /// An edge has fewer than 16 pixels: nothing can be told apart in it.
    TooSmall,
    /// It is damaged, needs more than 96 MiB, or is coded in a way that is not read here.
    NotRead,
}

/// Whether bytes begin like a picture, whether or not [`grid`] reads it: JPEG, PNG and WebP; GIF, HEIC and AVIF.
pub fn is_picture(head: &[u8]) -> bool {
    const BRANDS: [&[u8]; 8] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif"];
    let brand = (head.get(4..8) == Some(b"ftyp")).then(|| head.get(8..12)).flatten();
    format(head).is_some()
        || head.starts_with(b"GIF87a")
        || head.starts_with(b"GIF89a")
        || brand.is_some_and(|brand| BRANDS.contains(&brand))
}

fn format(head: &[u8]) -> Option<ImageFormat> {
    if head.starts_with(b"\xff\xd8\xff") {
        Some(ImageFormat::Jpeg)
    } else if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(ImageFormat::Png)
    } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some(ImageFormat::WebP)
    } else {
        None
    }
}

/// Decodes a picture and reduces it.
///
/// # Errors
/// [`NoGrid`] for what is no such picture, is damaged, has an edge of fewer than 16 pixels or needs more than 96 MiB.
pub fn grid(bytes: &[u8]) -> Result<Grid, NoGrid> {
    let grid = match format(bytes).ok_or(NoGrid::NotRead)? {
        ImageFormat::Jpeg => jpeg(bytes),
        format => other(bytes, format),
    };
    grid.unwrap_or(Err(NoGrid::NotRead))
}

fn jpeg(bytes: &[u8]) -> Option<Result<Grid, NoGrid>> {
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(usize::try_from(MAX_ALLOCATED).ok()?);
    decoder.read_info().ok()?;
    let info = decoder.info()?;
    if u32::from(info.width.min(info.height)) < MIN_EDGE {
        return Some(Err(NoGrid::TooSmall));
    }
    // A progressive picture keeps all its coefficients, two bytes each, whatever it is decoded down to.
    let samples = u64::from(info.width) * u64::from(info.height) * info.pixel_format.pixel_bytes() as u64;
    if info.coding_process == CodingProcess::DctProgressive && samples.saturating_mul(2) > 2 * MAX_ALLOCATED {
        return None;
    }
    decoder.scale(ENOUGH, ENOUGH).ok()?;
    let pixels = decoder.decode().ok()?;
    let info = decoder.info()?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    let luma: Vec<u8> = match info.pixel_format {
        PixelFormat::L8 => pixels,
        PixelFormat::L16 => pixels.chunks_exact(2).filter_map(|pair| pair.first().copied()).collect(),
        PixelFormat::RGB24 => {
            pixels.as_chunks::<3>().0.iter().map(|&[r, g, b]| brightness(r, g, b)).collect()
        }
        PixelFormat::CMYK32 => pixels.as_chunks::<4>().0.iter().map(|&cmyk| of_inks(cmyk)).collect(),
    };
    reduce(&luma, width, height).map(Ok)
}

fn other(bytes: &[u8], format: ImageFormat) -> Option<Result<Grid, NoGrid>> {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_EDGE);
    limits.max_image_height = Some(MAX_EDGE);
    limits.max_alloc = Some(MAX_ALLOCATED);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    if width.min(height) < MIN_EDGE {
        return Some(Err(NoGrid::TooSmall));
    }
    if decoder.total_bytes() > MAX_ALLOCATED {
        return None;
    }
    let picture = DynamicImage::from_decoder(decoder).ok()?.into_rgba8();
    let (width, height) = (usize::try_from(width).ok()?, usize::try_from(height).ok()?);
    let luma: Vec<u8> = picture.pixels().map(|pixel| over_white(pixel.0)).collect();
    reduce(&luma, width, height).map(Ok)
}

/// ITU-R BT.601, section 2.5.1, in 256ths.
fn brightness(r: u8, g: u8, b: u8) -> u8 {
    let sum = 77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b) + 128;
    u8::try_from(sum >> 8).unwrap_or(u8::MAX)
}

/// Inks as the decoder gives them: 0 is none, whichever way they were stored.
fn of_inks([c, m, y, k]: [u8; 4]) -> u8 {
    let through = |ink: u8| u8::try_from(u16::from(255 - ink) * u16::from(255 - k) / 255).unwrap_or(u8::MAX);
    brightness(through(c), through(m), through(y))
}

/// What is see-through lies on white, as programs that make a JPEG of it mostly have it.
fn over_white([r, g, b, a]: [u8; 4]) -> u8 {
    let light = u32::from(brightness(r, g, b)) * u32::from(a) + 255 * (255 - u32::from(a));
    u8::try_from(light / 255).unwrap_or(u8::MAX)
}

/// Means over equal areas; a pixel on a border counts on both sides for what lies there.
fn reduce(luma: &[u8], width: usize, height: usize) -> Option<Grid> {
    if width == 0 || height == 0 || luma.len() < width.checked_mul(height)? {
        return None;
    }
    let columns = shares(width);
    let mut sums = vec![0_u64; SIDE * SIDE];
    let mut row_sums = vec![0_u64; SIDE];
    for (row, shares_of_row) in luma.chunks_exact(width).zip(shares(height)) {
        row_sums.fill(0);
        for (&pixel, shares) in row.iter().zip(&columns) {
            for &(cell, share) in shares.iter().flatten() {
                if let Some(sum) = row_sums.get_mut(cell) {
                    *sum += u64::from(pixel) * share;
                }
            }
        }
        for (cell, share) in shares_of_row.into_iter().flatten() {
            let cells = sums.get_mut(cell * SIDE..(cell + 1) * SIDE).unwrap_or_default();
            cells.iter_mut().zip(&row_sums).for_each(|(sum, &row)| *sum += row * share);
        }
    }
    // A cell is `width` × `height` in units in which a pixel is `SIDE` × `SIDE`.
    let area = (width * height) as u64;
    Some(Grid(sums.into_iter().map(|sum| u32::try_from(sum * 256 / area).unwrap_or(u32::MAX)).collect()))
}

/// Which cells each of `len` pixels lies in and how much of it: a pixel has the length `SIDE`, a cell the length `len`.
/// A pixel lies in two cells at most, or in more where there are fewer pixels than cells.
fn shares(len: usize) -> Vec<Vec<Option<(usize, u64)>>> {
    let share = |pixel: usize| {
        let (start, end) = (pixel * SIDE, (pixel + 1) * SIDE);
        let cells = start / len..=(end - 1) / len;
        let part = move |cell: usize| {
            let overlap = end.min((cell + 1) * len).saturating_sub(start.max(cell * len));
            (cell < SIDE && overlap > 0).then_some((cell, overlap as u64))
        };
        cells.map(part).collect()
    };
    (0..len).map(share).collect()
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, ImageFormat, Luma, RgbImage};

    use super::*;

    fn written(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_grid_holds_means_of_equal_areas() {
        // Left half black, right half white; 96 pixels on 64 cells, so that every third pixel lies on a border.
        let picture = GrayImage::from_fn(96, 32, |x, _| Luma([if x < 48 { 0 } else { 255 }]));
        let Grid(cells) = grid(&written(picture, ImageFormat::Png)).unwrap();
        assert_eq!(cells.len(), SIDE * SIDE);
        for row in cells.chunks(SIDE) {
            assert!(row[..32].iter().all(|&cell| cell == 0), "{row:?}");
            assert!(row[32..].iter().all(|&cell| cell == 255 * 256), "{row:?}");
        }
        let ramp = GrayImage::from_fn(16, 16, |x, _| Luma([u8::try_from(x).unwrap() * 16]));
        let Grid(cells) = grid(&written(ramp, ImageFormat::WebP)).unwrap();
        assert_eq!([cells[0], cells[3], cells[4], cells[63]], [0, 0, 16 * 256, 240 * 256]);
    }

    #[test]
    fn formats_agree_on_one_picture() {
        let picture = RgbImage::from_fn(640, 480, |x, y| {
            image::Rgb([
                u8::try_from(x / 3).unwrap(),
                u8::try_from(y / 2).unwrap(),
                u8::try_from((x + y) / 5).unwrap(),
            ])
        });
        let Grid(png) = grid(&written(picture.clone(), ImageFormat::Png)).unwrap();
        let Grid(webp) = grid(&written(picture.clone(), ImageFormat::WebP)).unwrap();
        let Grid(jpeg) = grid(&written(picture, ImageFormat::Jpeg)).unwrap();
        assert_eq!(png, webp);
        let worst = png.iter().zip(&jpeg).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst < 6 * 256, "JPEG is off by {worst} 256ths of a level");
    }

    #[test]
    fn what_is_no_picture_gives_nothing() {
        assert_eq!(grid(b""), Err(NoGrid::NotRead));
        assert_eq!(grid(b"\xff\xd8\xff\xe0 and then nothing"), Err(NoGrid::NotRead));
        assert_eq!(grid(b"GIF89a and more"), Err(NoGrid::NotRead));
        assert!(is_picture(b"GIF89a and more") && is_picture(b"\0\0\0\x18ftypheic\0\0"));
        assert!(!is_picture(b"\0\0\0\x18ftypisom\0\0"), "a film");
        let tiny = GrayImage::from_pixel(15, 200, Luma([7]));
        assert_eq!(grid(&written(tiny, ImageFormat::Png)), Err(NoGrid::TooSmall));
        let whole = written(GrayImage::from_pixel(64, 64, Luma([7])), ImageFormat::Png);
        assert_eq!(grid(&whole[..whole.len() / 2]), Err(NoGrid::NotRead), "cut off");
    }

    #[test]
    fn a_picture_that_promises_too_much_is_not_decoded() {
        let mut png = written(GrayImage::from_pixel(64, 64, Luma([7])), ImageFormat::Png);
        png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let crc = crc32fast::hash(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(grid(&png), Err(NoGrid::NotRead));
    }
}
