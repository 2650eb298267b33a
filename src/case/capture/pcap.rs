//! Classic pcap (draft-ietf-opsawg-pcap), micro- and nanoseconds, both byte orders.

use pcap_file::{
    Endianness,
    pcap::{PcapHeader, PcapParser, PcapTsResolution, RawPcapPacket},
};

use super::{
    LinkType,
    frames::{Facts, MAX_FRAME, Record, Step},
    window::Window,
};
use crate::evidence::{AnomalyKind, ReadError, Timestamp};

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// The link type field's upper bits tell of a frame check sequence (libpcap's LT_LINKTYPE).
const LINK_TYPE_BITS: u32 = 0x03ff_ffff;

/// Walks a pcap. The library parses headers and records; its *checked* records would refuse one that is
/// longer than the header's snap length for ever, while such files are common and read by every tool.
#[derive(Default)]
pub(super) struct Pcap {
    parser: Option<PcapParser>,
    link: LinkType,
}

impl Pcap {
    pub(super) fn next(
        &mut self,
        window: &mut Window<'_>,
        facts: &mut Facts,
    ) -> Result<Option<Step>, ReadError> {
        if self.parser.is_none() {
            self.open(window, facts)?;
        }
        let Some(parser) = &self.parser else { return Ok(None) };
        let (at, position) = match Self::parse(parser, window) {
            Some(_) => (window.at(), window.position()),
            None => {
                window.ensure(RECORD_HEADER + MAX_FRAME as usize)?;
                (window.at(), window.position())
            }
        };
        let Some(raw) = Self::parse(parser, window) else {
            damaged(window.peek(), at, parser.header().endianness, facts);
            return Ok(None);
        };
        if raw.incl_len > MAX_FRAME {
            damaged(window.peek(), at, parser.header().endianness, facts);
            return Ok(None);
        }
        let len = raw.data.len();
        let record = Record {
            time: Some(time(&parser.header(), raw.ts_sec, raw.ts_frac)),
            interface: 0,
            link: self.link,
            wire_len: raw.orig_len,
            at: at + RECORD_HEADER as u64,
            position: position + RECORD_HEADER,
            len,
            uid: None,
        };
        window.advance(RECORD_HEADER + len);
        Ok(Some(Step::Frame(record)))
    }

    fn open(&mut self, window: &mut Window<'_>, facts: &mut Facts) -> Result<(), ReadError> {
        window.ensure(FILE_HEADER)?;
        match PcapParser::new(window.peek()) {
            Ok((_, parser)) => {
                self.link = LinkType(u32::from(parser.header().datalink) & LINK_TYPE_BITS);
                facts.interface(self.link);
                self.parser = Some(parser);
                window.advance(FILE_HEADER);
            }
            Err(_) => {
                let detail = format!("cut off at byte {} inside the file header", window.peek().len());
                facts.odd(AnomalyKind::CaptureCutOff, None, detail);
            }
        }
        Ok(())
    }

    /// The next record, if the window holds all of it.
    fn parse<'w>(parser: &PcapParser, window: &'w Window<'_>) -> Option<RawPcapPacket<'w>> {
        parser.next_raw_packet(window.peek()).ok().map(|(_, raw)| raw)
    }
}

fn time(header: &PcapHeader, seconds: u32, fraction: u32) -> Timestamp {
    let scale = match header.ts_resolution {
        PcapTsResolution::MicroSecond => 1_000,
        PcapTsResolution::NanoSecond => 1,
    };
    Timestamp(u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * scale)
}

/// Says why no record could be read where the file has not ended.
fn damaged(rest: &[u8], at: u64, order: Endianness, facts: &mut Facts) {
    if rest.is_empty() {
        return;
    }
    let len = rest.get(8..RECORD_HEADER).and_then(|field| field.first_chunk()).map(|&bytes| match order {
        Endianness::Big => u32::from_be_bytes(bytes),
        Endianness::Little => u32::from_le_bytes(bytes),
    });
    let end = at + rest.len() as u64;
    match len {
        Some(len @ MAX_FRAME..) if len > MAX_FRAME => facts.odd(
            AnomalyKind::ContainerDamaged,
            None,
            format!("the record at byte {at} says {len} bytes, more than the {MAX_FRAME} a frame may have; what follows was not read"),
        ),
        Some(_) => facts.odd(
            AnomalyKind::CaptureCutOff,
            None,
            format!("cut off at byte {end} inside the record that starts at byte {at}"),
        ),
        None => facts.odd(
            AnomalyKind::CaptureCutOff,
            None,
            format!("cut off at byte {end} inside a record header"),
        ),
    }
}
