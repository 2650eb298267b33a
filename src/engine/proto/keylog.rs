//! NSS key logs (draft-ietf-tls-keylogfile): session secrets by label and client random.

use std::collections::BTreeMap;

/// Secrets kept of all logs: some ten for each connection of a day's capture, 128 MiB of memory.
const MAX_SECRETS: usize = 1 << 20;

/// A secret: 48 bytes of TLS 1.2, up to 48 of TLS 1.3; RFC 8446 hashes give no more than 64.
const MAX_SECRET: usize = 64;

/// A line: label, random or session id, secret, all in hexadecimal; what is longer is no such line.
const MAX_LINE: usize = 1_024;

/// What a key log says of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// `CLIENT_RANDOM`: the master secret of TLS 1.2 and before, by client random.
    ClientRandom,
    /// `CLIENT_EARLY_TRAFFIC_SECRET`.
    ClientEarlyTraffic,
    /// `CLIENT_HANDSHAKE_TRAFFIC_SECRET`.
    ClientHandshakeTraffic,
    /// `SERVER_HANDSHAKE_TRAFFIC_SECRET`.
    ServerHandshakeTraffic,
    /// `CLIENT_TRAFFIC_SECRET_0`.
    ClientTraffic,
    /// `SERVER_TRAFFIC_SECRET_0`.
    ServerTraffic,
    /// `RSA`: a premaster secret, by the first eight bytes of its encrypted form.
    RsaPremaster,
    /// `RSA Session-ID:… Master-Key:…`: a master secret, by session id.
    SessionId,
    /// `PMS_CLIENT_RANDOM`: a premaster secret, by client random.
    PremasterByClientRandom,
}

impl Label {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "CLIENT_RANDOM" => Self::ClientRandom,
            "CLIENT_EARLY_TRAFFIC_SECRET" | "QUIC_CLIENT_EARLY_TRAFFIC_SECRET" => Self::ClientEarlyTraffic,
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET" | "QUIC_CLIENT_HANDSHAKE_TRAFFIC_SECRET" => {
                Self::ClientHandshakeTraffic
            }
            "SERVER_HANDSHAKE_TRAFFIC_SECRET" | "QUIC_SERVER_HANDSHAKE_TRAFFIC_SECRET" => {
                Self::ServerHandshakeTraffic
            }
            "CLIENT_TRAFFIC_SECRET_0" | "QUIC_CLIENT_TRAFFIC_SECRET_0" => Self::ClientTraffic,
            "SERVER_TRAFFIC_SECRET_0" | "QUIC_SERVER_TRAFFIC_SECRET_0" => Self::ServerTraffic,
            "RSA" => Self::RsaPremaster,
            "PMS_CLIENT_RANDOM" => Self::PremasterByClientRandom,
            _ => return None,
        })
    }
}

/// Session secrets of any number of logs. Where two logs disagree, all versions are kept: whether one is right
/// shows in the tag that it verifies.
#[derive(Debug, Default)]
pub struct KeyLog {
    secrets: BTreeMap<(Label, Vec<u8>), Vec<Vec<u8>>>,
    count: usize,
    /// Lines that hold a secret which was not kept, because there were too many.
    pub omitted: u64,
}

impl KeyLog {
    /// Adds a log. Comments, other labels and lines that end in junk give what they can; the rest is ignored.
    pub fn add(&mut self, text: &[u8]) {
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            if line.len() <= MAX_LINE
                && let Ok(line) = std::str::from_utf8(line)
            {
                self.line(line);
            }
        }
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let (Some(label), Some(key), Some(secret)) = (words.next(), words.next(), words.next()) else {
            return;
        };
        let (label, key, secret) = match (key.strip_prefix("Session-ID:"), secret.strip_prefix("Master-Key:"))
        {
            (Some(id), Some(master)) if label == "RSA" => (Some(Label::SessionId), id, master),
            _ => (Label::of(label), key, secret),
        };
        let (Some(label), Some(key), Some(secret)) = (label, unhex(key), unhex(secret)) else { return };
        let known = self.secrets.entry((label, key)).or_default();
        if known.contains(&secret) {
            return;
        }
        if self.count >= MAX_SECRETS {
            self.omitted += 1;
            return;
        }
        self.count += 1;
        known.push(secret);
    }

    /// Whether no log held a secret.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Every secret under a label and a client random (or session id, or start of an encrypted premaster secret).
    pub fn get(&self, label: Label, key: &[u8]) -> &[Vec<u8>] {
        self.secrets.get(&(label, key.to_vec())).map_or(&[], Vec::as_slice)
    }
}

/// The bytes of the hexadecimal digits that a word starts with: logs that several programs write at once may
/// run one line into the next.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().map_while(|byte| char::from(byte).to_digit(16)).collect::<Vec<_>>();
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .take(MAX_SECRET)
        .filter_map(|pair| u8::try_from(pair.iter().fold(0, |sum, digit| sum * 16 + digit)).ok())
        .collect();
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_kinds_are_read_and_junk_is_passed_over() {
        let mut log = KeyLog::default();
        log.add(b"# comment\nCLIENT_RANDOM 0a0B ff00\r\nCLIENT_TRAFFIC_SECRET_0 01 02zz\nNONSENSE 01 02\nRSA 0102 03");
        log.add(b"CLIENT_RANDOM 0a0b ff00\nCLIENT_RANDOM 0a0b ff01\nRSA Session-ID:aabb Master-Key:ccdd\n");
        assert_eq!(log.get(Label::ClientRandom, &[0x0a, 0x0b]), [vec![0xff, 0], vec![0xff, 1]]);
        assert_eq!(log.get(Label::ClientTraffic, &[1]), [vec![2]]);
        assert_eq!(log.get(Label::RsaPremaster, &[1, 2]), [vec![3]]);
        assert_eq!(log.get(Label::SessionId, &[0xaa, 0xbb]), [vec![0xcc, 0xdd]]);
        assert!(log.get(Label::ClientRandom, &[9]).is_empty());
        assert_eq!((log.is_empty(), KeyLog::default().is_empty()), (false, true));
    }
}
