//! Chosen frames of captures as a pcapng of their own, with words beside each.
//!
//! Frames keep their bytes, lengths and times; each interface of each capture becomes one of the excerpt, with its link
//! type, and nanoseconds everywhere (draft-ietf-opsawg-pcapng). Nothing of a machine or of the present is written.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use pcap_file::{
    DataLink, Endianness,
    pcapng::{
        PcapNgWriteError, PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{
                InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
            },
            opt_common::CommonOption,
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use super::{Capture, frames::MAX_FRAME};
use crate::evidence::{FrameNo, FrameRange, ReadError};

/// Why an excerpt could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExcerptError {
    /// A capture can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The excerpt can't be written.
    #[error("write the excerpt")]
    Write(#[source] io::Error),
}

/// Frames, and what is to be written beside each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which frames.
    pub frames: Vec<FrameRange>,
    /// What they carry, printable.
    pub comment: String,
}

/// An excerpt while it is written.
pub struct Excerpt<W: Write> {
    writer: PcapNgWriter<W>,
    /// By capture and interface.
    interfaces: BTreeMap<(String, u32), u32>,
}

impl<W: Write> Excerpt<W> {
    /// Begins an excerpt; `about` says what it is, printable.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(out: W, about: &str) -> Result<Self, ExcerptError> {
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            major_version: 1,
            minor_version: 0,
            section_length: -1,
            options: vec![
                SectionHeaderOption::UserApplication(Cow::Borrowed("exhibit")),
                SectionHeaderOption::Common(CommonOption::Comment(Cow::Borrowed(about))),
            ],
        };
        let writer = PcapNgWriter::with_section_header(out, section).map_err(failed)?;
        Ok(Self { writer, interfaces: BTreeMap::new() })
    }

    /// Adds frames of one capture in their order; says how many.
    ///
    /// # Errors
    /// When the capture can't be read or the excerpt can't be written.
    pub fn add(&mut self, capture: &Capture, wanted: &[Wanted]) -> Result<u64, ExcerptError> {
        let last = wanted.iter().flat_map(|one| &one.frames).map(|range| range.last).max();
        let (mut frames, mut added) = (capture.frames(), 0);
        while let Some(frame) = frames.next_frame()? {
            if last.is_none_or(|last| frame.no > last) {
                break;
            }
            let here = wanted.iter().filter(|one| one.frames.iter().any(|range| holds(*range, frame.no)));
            let comments: Vec<String> =
                here.map(|one| format!("{} (frame {} of {})", one.comment, frame.no, capture.name)).collect();
            if comments.is_empty() {
                continue;
            }
            let interface = self.interface(&capture.name, frame.interface, frame.link.0)?;
            let option =
                |comment: String| EnhancedPacketOption::Common(CommonOption::Comment(Cow::Owned(comment)));
            let block = EnhancedPacketBlock {
                interface_id: interface,
                timestamp: Duration::from_nanos(frame.time.0),
                original_len: frame.wire_len.max(u32::try_from(frame.data.len()).unwrap_or(u32::MAX)),
                data: Cow::Borrowed(frame.data),
                options: comments.into_iter().map(option).collect(),
            };
            self.writer.write_pcapng_block(block).map_err(failed)?;
            added += 1;
        }
        Ok(added)
    }

    /// Ends the excerpt.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(self) -> Result<W, ExcerptError> {
        let mut out = self.writer.into_inner();
        out.flush().map_err(ExcerptError::Write)?;
        Ok(out)
    }

    fn interface(&mut self, capture: &str, interface: u32, link: u32) -> Result<u32, ExcerptError> {
        let key = (capture.to_owned(), interface);
        if let Some(known) = self.interfaces.get(&key) {
            return Ok(*known);
        }
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::from(link),
            snaplen: MAX_FRAME,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Owned(format!("interface {interface} of {capture}"))),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ],
        };
        self.writer.write_pcapng_block(block).map_err(failed)?;
        let no = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.interfaces.insert(key, no);
        Ok(no)
    }
}

fn holds(range: FrameRange, frame: FrameNo) -> bool {
    (range.first..=range.last).contains(&frame)
}

fn failed(error: PcapNgWriteError) -> ExcerptError {
    ExcerptError::Write(io::Error::other(error))
}
