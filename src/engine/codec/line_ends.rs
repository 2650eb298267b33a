//! Text with the line ends of the network: FTP's ASCII type (RFC 959 section 3.1.1.1), TFTP's netascii (RFC 1350
//! section 1, RFC 764).

use super::{Budget, Coding, Damage, Kind, Output};

/// Gives CRLF back as the LF that a phone's file has.
#[derive(Debug, Default)]
pub struct LineEnds {
    /// A CR was the last byte; it is given when it is clear what follows.
    cr: bool,
    /// Whether CR NUL stands for CR, as in netascii. FTP programs send a CR as it is.
    netascii: bool,
    decoded: Vec<u8>,
}

impl LineEnds {
    /// Of FTP.
    pub fn ftp() -> Self {
        Self::default()
    }

    /// Of TFTP.
    pub fn netascii() -> Self {
        Self { netascii: true, ..Self::default() }
    }
}

impl Coding for LineEnds {
    fn push(&mut self, input: &[u8], budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        self.decoded.clear();
        for &byte in input {
            let after_cr = std::mem::replace(&mut self.cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => self.decoded.push(b'\n'),
                0 if after_cr && self.netascii => self.decoded.push(b'\r'),
                _ => {
                    if after_cr {
                        self.decoded.push(b'\r');
                    }
                    if byte != b'\r' {
                        self.decoded.push(byte);
                    }
                }
            }
        }
        budget.output(self.decoded.len())?;
        if !self.decoded.is_empty() {
            let consumed = 0..input.len() - usize::from(self.cr);
            out(Output { consumed, bytes: &self.decoded, kind: Kind::Content });
        }
        Ok(())
    }

    fn finish(&mut self, budget: &Budget, out: &mut dyn FnMut(Output<'_>)) -> Result<(), Damage> {
        if std::mem::take(&mut self.cr) {
            budget.output(1)?;
            out(Output { consumed: 0..0, bytes: b"\r", kind: Kind::Content });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::codec::all;

    #[test]
    fn line_ends_come_back_however_they_are_cut() {
        let text = b"a\r\n\r\r\nb\r\0\rc\r";
        for at in 0..=text.len() {
            let (left, right) = text.split_at(at);
            let (content, _, result) = all(&mut LineEnds::ftp(), &[left, right], 99);
            assert_eq!((content.as_slice(), result), (&b"a\n\r\nb\r\0\rc\r"[..], Ok(())));
            let (content, _, _) = all(&mut LineEnds::netascii(), &[left, right], 99);
            assert_eq!(content, b"a\n\r\nb\r\rc\r");
        }
    }

    proptest! {
        #[test]
        fn what_a_sender_did_is_undone(file: Vec<u8>, cut: usize) {
            // As a program on Unix sends any file in ASCII mode.
            let sent: Vec<u8> = file.iter().flat_map(|&byte| if byte == b'\n' { b"\r\n".to_vec() } else { vec![byte] }).collect();
            let (left, right) = sent.split_at(cut % (sent.len() + 1));
            prop_assert_eq!(all(&mut LineEnds::ftp(), &[left, right], 1 << 20).0, file);
        }
    }
}
