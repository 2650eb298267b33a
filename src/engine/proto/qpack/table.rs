//! The static table (RFC 9204 appendix A), and every entry that the encoder stream put into the dynamic one.

use std::{collections::VecDeque, rc::Rc};

use crate::evidence::FrameNo;

/// Entries 0 to 98, in order.
const STATIC: [(&str, &str); 99] = [
    (":authority", ""),
    (":path", "/"),
    ("age", "0"),
    ("content-disposition", ""),
    ("content-length", "0"),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("referer", ""),
    ("set-cookie", ""),
    (":method", "CONNECT"),
    (":method", "DELETE"),
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "POST"),
    (":method", "PUT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "103"),
    (":status", "200"),
    (":status", "304"),
    (":status", "404"),
    (":status", "503"),
    ("accept", "*/*"),
    ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"),
    ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"),
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"),
    ("content-type", "application/javascript"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"),
    ("content-type", "image/jpeg"),
    ("content-type", "image/png"),
    ("content-type", "text/css"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    ("strict-transport-security", "max-age=31536000; includesubdomains"),
    ("strict-transport-security", "max-age=31536000; includesubdomains; preload"),
    ("vary", "accept-encoding"),
    ("vary", "origin"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    (":status", "100"),
    (":status", "204"),
    (":status", "206"),
    (":status", "302"),
    (":status", "400"),
    (":status", "403"),
    (":status", "421"),
    (":status", "425"),
    (":status", "500"),
    ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"),
    ("access-control-request-method", "get"),
    ("access-control-request-method", "post"),
    ("alt-svc", "clear"),
    ("authorization", ""),
    ("content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"),
    ("early-data", "1"),
    ("expect-ct", ""),
    ("forwarded", ""),
    ("if-range", ""),
    ("origin", ""),
    ("purpose", "prefetch"),
    ("server", ""),
    ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", ""),
    ("x-forwarded-for", ""),
    ("x-frame-options", "deny"),
    ("x-frame-options", "sameorigin"),
];

/// Bytes of entries that are kept, counted as RFC 9204 section 3.2.1 does. Decoders announce 4 to 64 KiB; entries that
/// left their table long ago are kept so that a block can be read whenever it was captured.
const MAX_KEPT: u64 = 16 << 20;

/// What an entry counts beside its name and value (section 3.2.1).
pub(super) const OVERHEAD: u64 = 32;

/// A name with a value; what is unknown was said where bytes are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Option<Rc<[u8]>>,
    pub(super) value: Option<Rc<[u8]>>,
}

impl Entry {
    /// What a reference to something unknown gives.
    pub(super) const UNKNOWN: Self = Self { name: None, value: None };

    fn size(&self) -> u64 {
        let len = |text: &Option<Rc<[u8]>>| text.as_ref().map_or(0, |text| text.len() as u64);
        len(&self.name) + len(&self.value) + OVERHEAD
    }
}

/// An entry of the static table.
pub(super) fn fixed(index: u64) -> Option<Entry> {
    let (name, value) = STATIC.get(usize::try_from(index).ok()?)?;
    Some(Entry { name: Some(name.as_bytes().into()), value: Some(value.as_bytes().into()) })
}

/// All entries of one direction by their absolute index (section 3.2.4), each with the frame that brought it.
#[derive(Clone, Debug, Default)]
pub(super) struct Inserted {
    entries: VecDeque<(Entry, FrameNo)>,
    /// Entries that are not kept any more.
    dropped: u64,
    size: u64,
}

impl Inserted {
    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.dropped + self.entries.len() as u64
    }

    /// How many there were once a frame had come.
    pub(super) fn count_at(&self, frame: FrameNo) -> u64 {
        self.dropped + self.entries.partition_point(|(_, brought)| *brought <= frame) as u64
    }

    pub(super) fn push(&mut self, entry: Entry, frame: FrameNo) {
        // Instructions take effect in the order of the stream: none before those before it.
        let frame = self.entries.back().map_or(frame, |(_, last)| frame.max(*last));
        self.size += entry.size();
        self.entries.push_back((entry, frame));
        while self.size > MAX_KEPT
            && let Some((old, _)) = self.entries.pop_front()
        {
            self.size -= old.size();
            self.dropped += 1;
        }
    }

    /// An entry by its absolute index.
    pub(super) fn get(&self, index: u64) -> Option<Entry> {
        let place = usize::try_from(index.checked_sub(self.dropped)?).ok()?;
        self.entries.get(place).map(|(entry, _)| entry.clone())
    }
}
