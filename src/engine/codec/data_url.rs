//! `data:` URLs (RFC 2397).

use std::ops::Range;

use super::{Base64, Budget, Coding, Damage, Output, Percent};

/// Bytes before the comma: a media type with its parameters.
const MAX_HEAD: usize = 256;

/// Takes a data URL off: percent-encoding, and base64 where the URL says so.
#[derive(Debug, Default)]
pub struct DataUrl {
    head: Vec<u8>,
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    percent: Percent,
    base64: Option<Base64>,
}

/// How a data URL begins.
pub const SCHEME: &[u8] = b"data:";

impl DataUrl {
    /// Begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes before the comma; gives how many.
    fn head(&mut self, input: &[u8]) -> Result<usize, Damage> {
        for (at, &byte) in input.iter().enumerate() {
            if byte == b',' {
                let head = self.head.trim_ascii_end().to_ascii_lowercase();
                if !head.starts_with(SCHEME) {
                    return Err(Damage::NotThis);
                }
                let base64 = head.ends_with(b";base64").then(Base64::new);
                self.body = Some(Body { percent: Percent::uri(), base64 });
                return Ok(at + 1);
            }
            if self.head.len() >= MAX_HEAD || !(b' '..=b'~').contains(&byte) {
                return Err(Damage::NotThis);
            }
            self.head.push(byte);
        }
        Ok(input.len())
    }
}

impl Body {
    /// Runs `percent` and hands on what comes out, decoded once more where that is said.
    fn take(
        &mut self,
        budget: &Budget,
        percent: impl FnOnce(&mut Percent, &mut dyn FnMut(Output<'_>)) -> Result<(), Damage>,
        out: &mut dyn FnMut(Output<'_>),
    ) -> Result<(), Damage> {
        let Self { percent: coding, base64 } = self;
        let mut result = Ok(());
        percent(coding, &mut |plain: Output<'_>| {
            let Some(base64) = base64 else { return out(plain) };
            if result.is_ok() {
                let Range { mut start, end } = plain.consumed;
                result = base64.push(plain.bytes, budget, &mut |output: Output<'_>| {
                    out(Output { consumed: start..end, ..output });
                    start = end;
                });
            }
        })?;
        result
    }
}

impl Coding for DataUrl {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        let start = if self.body.is_none() { self.head(input)? } else { 0 };
        let Some(body) = &mut self.body else { return Ok(()) };
        let rest = input.get(start..).unwrap_or_default();
        let push = |percent: &mut Percent, out: &mut dyn FnMut(Output<'_>)| percent.push(rest, budget, out);
        body.take(budget, push, &mut |output: Output<'_>| {
            let consumed = start + output.consumed.start..start + output.consumed.end;
            out(Output { consumed, ..output });
        })
    }

    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        let Some(body) = &mut self.body else { return Err(Damage::CutOff) };
        body.take(budget, |percent, out| percent.finish(budget, out), out)?;
        match &mut body.base64 {
            Some(base64) => base64.finish(budget, out),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::codec::all;

    #[test]
    fn the_examples_of_rfc_2397_and_of_browsers_wherever_they_are_cut() {
        let cases: [(&[u8], &[u8]); 4] = [
            (b"data:,A%20brief%20note", b"A brief note"),
            (b"data:text/plain;charset=iso-8859-7,%be%fg%be", b"\xbe%fg\xbe"),
            (b"data:image/png;base64,iVBORw0KGgo=", b"\x89PNG\r\n\x1a\n"),
            (b"DATA:;base64,Zm9v%59g%3D%3D", b"foob"),
        ];
        for (url, expected) in cases {
            for at in 0..=url.len() {
                let (left, right) = url.split_at(at);
                let (content, _, result) = all(&mut DataUrl::new(), &[left, right], 99);
                assert_eq!((content.as_slice(), result), (expected, Ok(())), "{at}");
            }
        }
    }

    #[test]
    fn what_is_no_data_url_is_told() {
        assert_eq!(all(&mut DataUrl::new(), &[b"date: 1, 2"], 99).2, Err(Damage::NotThis));
        assert_eq!(all(&mut DataUrl::new(), &[&[b'a'; 300]], 99).2, Err(Damage::NotThis));
        assert_eq!(all(&mut DataUrl::new(), &[b"data:text/plain"], 99).2, Err(Damage::CutOff));
    }
}
