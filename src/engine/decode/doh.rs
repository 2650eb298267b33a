//! DNS messages inside HTTP (RFC 8484): the body of a POST or of an answer, and the variable `dns` of a GET.
//!
//! The JSON that some resolvers answer with (`application/dns-json`) has no specification and is searched like other JSON.

use crate::{
    engine::{
        codec::{Base64, Coding as _, Output},
        proto::dns,
    },
    evidence::{AnomalyKind, ByteRange},
};

use super::{
    layers::{Bytes, Out},
    names,
    sink::{DnsOver, Place},
};

/// The type of such a body.
pub(super) const MEDIA: &str = "application/dns-message";

/// The longest message (RFC 1035 section 4.2.2).
const MAX_MESSAGE: usize = 65_535;

/// A body that holds one message.
#[derive(Debug, Default)]
pub(super) struct Doh {
    message: Vec<u8>,
    /// Where it stands.
    from: Option<ByteRange>,
    /// Whether it stands there as it is, without a break.
    moved: bool,
    /// Too long, or with a gap.
    broken: bool,
}

impl Doh {
    pub(super) fn push(&mut self, bytes: Bytes<'_>) {
        if bytes.data.is_empty() {
            return;
        }
        self.moved |= !bytes.copied || self.from.is_some_and(|from| from.end != bytes.from.start);
        let from = self.from.get_or_insert(bytes.from);
        *from = ByteRange::new(from.start.min(bytes.from.start), from.end.max(bytes.from.end));
        self.broken |= self.message.len() + bytes.data.len() > MAX_MESSAGE;
        if !self.broken {
            self.message.extend_from_slice(bytes.data);
        }
    }

    pub(super) fn gap(&mut self) {
        self.broken = true;
    }

    pub(super) fn finish(&mut self, out: &mut Out<'_>) {
        let Some(from) = self.from.take() else { return };
        if self.broken {
            out.anomaly(
                AnomalyKind::DnsMalformed,
                Some(from.start),
                "DNS message in HTTP: it is not whole".to_owned(),
            );
            return;
        }
        match dns::parse(&self.message) {
            Ok(parsed) => {
                let start = (!self.moved).then_some(from.start);
                for part in parsed.understood.iter().filter_map(|part| Some(part.moved(start?))) {
                    out.place(part, Place::Understood);
                }
                names::tell(out, parsed, from, start, DnsOver::Https);
            }
            Err(why) => out.anomaly(
                AnomalyKind::DnsMalformed,
                Some(from.start),
                format!("DNS message in HTTP: {why}"),
            ),
        }
    }
}

/// Tells of the question in the target of a GET (RFC 8484 section 4.1.1).
pub(super) fn target(out: &mut Out<'_>, target: Bytes<'_>) {
    let Some(mark) = memchr::memchr(b'?', target.data) else { return };
    let query = target.data.get(mark + 1..).unwrap_or_default();
    let Some(value) = query.split(|&byte| byte == b'&').find_map(|field| field.strip_prefix(b"dns=")) else {
        return;
    };
    if value.len() > MAX_MESSAGE {
        return;
    }
    let budget = out.budget.clone();
    let mut message = Vec::new();
    let mut coding = Base64::new();
    let mut take = |output: Output<'_>| message.extend_from_slice(output.bytes);
    let read = coding.push(value, &budget, &mut take).and_then(|()| coding.finish(&budget, &mut take));
    // Other variables have the same name: only a question counts.
    if read.is_ok()
        && let Ok(parsed) = dns::parse(&message)
        && !parsed.response
        && parsed.questions.len() == 1
    {
        names::tell(out, parsed, target.from, None, DnsOver::Https);
    }
}
