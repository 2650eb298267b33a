//! What one handshake has said: its hellos, its messages as they stood, and what follows from them: secrets, who the server
//! is, whether the client's Finished verifies.

use super::{
    Hello, Version,
    handshake::Message,
    identity::{self, Identity, Proof},
    keys::MAX_CANDIDATES,
    schedule::{self, Terms},
    suite::Suite,
};
use crate::engine::proto::keylog::{KeyLog, Label};

/// Handshake messages kept of one handshake for signatures and the extended master secret: a chain of certificates
/// has 20 KiB.
const MAX_TRANSCRIPT: usize = 512 << 10;

/// What one handshake has said so far.
#[derive(Default)]
pub(super) struct Handshake {
    pub(super) client: Option<Hello>,
    pub(super) server: Option<Hello>,
    /// A HelloRetryRequest.
    pub(super) retry: Option<Hello>,
    pub(super) early_data_accepted: bool,
    /// The body of ClientKeyExchange.
    pub(super) key_exchange: Option<Vec<u8>>,
    /// Whether the server showed a certificate or parameters of its own, and did not take up an earlier session.
    pub(super) full: bool,
    pub(super) transcript: Transcript,
}

/// Messages of one handshake, heads included, in their order within a direction.
#[derive(Default)]
pub(super) struct Transcript {
    pub(super) hellos: Vec<Vec<u8>>,
    pub(super) server: Vec<u8>,
    /// Whether the server's first flight ended: a ticket may follow.
    pub(super) server_done: bool,
    pub(super) client: Vec<u8>,
    /// Whether a message was too long to be kept.
    pub(super) cut: bool,
}

impl Transcript {
    /// Everything up to ClientKeyExchange of a handshake of TLS 1.2 and before; `None` where it was too long.
    pub(super) fn up_to_key_exchange(&self) -> Option<Vec<u8>> {
        let hello = self.hellos.last()?;
        self.is_whole().then(|| [hello.as_slice(), &self.server, &self.client].concat())
    }

    /// Whether all of that was kept.
    pub(super) fn is_whole(&self) -> bool {
        let hello = self.hellos.last().map_or(0, Vec::len);
        hello + self.server.len() + self.client.len() < MAX_TRANSCRIPT
    }

    pub(super) fn keep(part: &mut Vec<u8>, bytes: &[u8]) {
        if part.len() < MAX_TRANSCRIPT {
            part.extend_from_slice(bytes);
        }
    }
}

impl Handshake {
    pub(super) fn version(&self) -> Option<Version> {
        self.server.as_ref().or(self.retry.as_ref()).map(Hello::version)
    }

    pub(super) fn is_13(&self) -> bool {
        self.version().is_some_and(Version::is_13)
    }

    pub(super) fn is_resumed(&self) -> bool {
        match &self.server {
            Some(server) if server.version().is_13() => server.pre_shared_key(),
            Some(_) => !self.full,
            None => false,
        }
    }

    /// Who the server says it is.
    pub(super) fn identity(&self) -> Option<Identity> {
        let identity = self.shown()?;
        Some(if self.transcript.cut || !self.transcript.is_whole() {
            identity.of_damaged()
        } else {
            identity
        })
    }

    pub(super) fn shown(&self) -> Option<Identity> {
        let server = self.server.as_ref()?;
        let suite = Suite::of(server.cipher());
        let Transcript { hellos, server: messages, .. } = &self.transcript;
        if server.version().is_13() {
            return Some(identity::of_13(suite, hellos, messages, self.is_resumed()));
        }
        let client = self.client.as_ref();
        let Some(client) = client else {
            return Some(Identity::none(Proof::NotCheckable("the client's hello was not captured")));
        };
        let randoms = [client.random.as_slice(), &server.random];
        Some(identity::of_12(server.version(), suite, randoms, messages, self.is_resumed()))
    }

    /// Whether a client's Finished of it verifies (RFC 5246 section 7.4.9, RFC 8446 section 4.4.4); `next` is what followed the
    /// change of keys.
    pub(super) fn verifies(&self, finished: &Finished, next: Option<&Self>) -> bool {
        let Finished { message, secret, before } = finished;
        let (Some(terms), Transcript { hellos, server, client, .. }) = (self.terms(), &self.transcript)
        else {
            return false;
        };
        let client = client.get(..*before).unwrap_or_default();
        let holds = if terms.version.is_13() {
            let hash = terms.suite.hash;
            let Ok(mut said) = identity::transcript_13(hash, hellos, server) else { return false };
            said.push(client.to_vec());
            schedule::finished_13(hash, secret, &said)
        } else {
            // Where an earlier session is taken up, the server's Finished comes first; it belongs to what follows its change
            // of keys.
            let servers = next.filter(|_| self.is_resumed()).map_or(&[][..], |next| &next.transcript.server);
            let hello = hellos.last().map_or(&[][..], Vec::as_slice);
            schedule::finished_12(&terms, secret, &[hello, server, servers, client])
        };
        holds.is_some_and(|holds| holds == message.body())
    }

    pub(super) fn terms(&self) -> Option<Terms<'_>> {
        let (client, server) = (self.client.as_ref()?, self.server.as_ref()?);
        Some(Terms {
            version: server.version(),
            suite: Suite::of(server.cipher())?,
            client_random: &client.random,
            server_random: &server.random,
            encrypt_then_mac: server.encrypt_then_mac(),
            truncated_hmac: server.truncated_hmac(),
        })
    }

    /// Master secrets that a key log holds for it.
    pub(super) fn masters(&self, keys: &KeyLog) -> Vec<Vec<u8>> {
        let (Some(client), Some(server)) = (&self.client, &self.server) else { return Vec::new() };
        let mut masters = keys.get(Label::ClientRandom, &client.random).to_vec();
        if !server.session.is_empty() {
            masters.extend_from_slice(keys.get(Label::SessionId, &server.session));
        }
        masters.extend(self.premasters(keys));
        masters.truncate(MAX_CANDIDATES);
        masters
    }

    /// Premaster secrets that a key log holds.
    pub(super) fn premasters_of<'k>(
        &self,
        client: &Hello,
        keys: &'k KeyLog,
    ) -> impl Iterator<Item = &'k Vec<u8>> + use<'k> {
        let encrypted = self.key_exchange.as_ref().and_then(|body| body.get(2..10)).unwrap_or_default();
        keys.get(Label::PremasterByClientRandom, &client.random)
            .iter()
            .chain(keys.get(Label::RsaPremaster, encrypted))
            .take(MAX_CANDIDATES)
    }

    /// Whether [`Self::masters`] gives any, without making them: that may cost half a megabyte of digest each.
    pub(super) fn has_masters(&self, keys: &KeyLog) -> bool {
        let (Some(client), Some(server)) = (&self.client, &self.server) else { return false };
        let by_session =
            !server.session.is_empty() && !keys.get(Label::SessionId, &server.session).is_empty();
        let makes =
            self.terms().is_some() && (!server.extended_master_secret() || self.transcript.is_whole());
        by_session
            || !keys.get(Label::ClientRandom, &client.random).is_empty()
            || makes && self.premasters_of(client, keys).next().is_some()
    }

    /// Master secrets of premaster secrets that a key log holds.
    pub(super) fn premasters(&self, keys: &KeyLog) -> Vec<Vec<u8>> {
        let (Some(client), Some(server), Some(terms)) = (&self.client, &self.server, self.terms()) else {
            return Vec::new();
        };
        let handshake = self.transcript.up_to_key_exchange();
        let premasters = self.premasters_of(client, keys);
        premasters
            .filter_map(|premaster| {
                if !server.extended_master_secret() {
                    return Some(schedule::master(&terms, premaster));
                }
                handshake.as_ref().map(|bytes| schedule::extended_master(&terms, premaster, bytes))
            })
            .collect()
    }
}

/// The client's first Finished, to be verified when the server's messages are known.
pub(super) struct Finished {
    pub(super) message: Message,
    /// The master secret, or in TLS 1.3 the traffic secret that protects it.
    pub(super) secret: Vec<u8>,
    /// Bytes of the client's messages that were kept before it.
    pub(super) before: usize,
}

/// Whether a client's Finished of TLS 1.3 verifies under its handshake traffic secret, after its hellos, what the server said
/// up to its own Finished, and the client's messages between (RFC 8446 section 4.4.4); all but `finished` with their heads.
pub fn verifies_13(
    suite: Suite,
    secret: &[u8],
    (hellos, server, client): (&[Vec<u8>], &[u8], &[u8]),
    finished: &[u8],
) -> bool {
    let Ok(mut said) = identity::transcript_13(suite.hash, hellos, server) else { return false };
    said.push(client.to_vec());
    schedule::finished_13(suite.hash, secret, &said).is_some_and(|holds| holds == finished)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENDED_MASTER_SECRET: u16 = 23;

    fn handshake(extended: bool, session: bool, transcript: usize) -> Handshake {
        let hello = |client| Hello {
            client,
            versions: vec![Version::TLS12.0],
            ciphers: vec![0x002f],
            random: vec![if client { 1 } else { 2 }; 32],
            session: if session { vec![3; 32] } else { Vec::new() },
            extensions: if extended { vec![EXTENDED_MASTER_SECRET] } else { Vec::new() },
            ..Hello::default()
        };
        Handshake {
            client: Some(hello(true)),
            server: Some(hello(false)),
            key_exchange: Some([&[0, 128][..], &[4; 128]].concat()),
            transcript: Transcript {
                hellos: vec![vec![1; 40]],
                server: vec![2; transcript],
                ..Transcript::default()
            },
            ..Handshake::default()
        }
    }

    #[test]
    fn whether_there_are_master_secrets_is_known_without_making_them() {
        let hex = |byte: u8, len: usize| format!("{byte:02x}").repeat(len);
        let logs = [
            String::new(),
            format!("CLIENT_RANDOM {} {}", hex(1, 32), hex(9, 48)),
            format!("CLIENT_RANDOM {} {}", hex(7, 32), hex(9, 48)),
            format!("RSA Session-ID:{} Master-Key:{}", hex(3, 32), hex(9, 48)),
            format!("PMS_CLIENT_RANDOM {} {}", hex(1, 32), hex(9, 48)),
            format!("RSA {} {}", hex(4, 8), hex(9, 48)),
        ];
        let mut seen = [0, 0];
        for log in logs {
            let mut keys = KeyLog::default();
            keys.add(log.as_bytes());
            for (extended, session, transcript) in [
                (false, false, 9),
                (true, false, 9),
                (true, true, 9),
                (true, false, MAX_TRANSCRIPT),
                (false, true, MAX_TRANSCRIPT),
            ] {
                let handshake = handshake(extended, session, transcript);
                let made = !handshake.masters(&keys).is_empty();
                assert_eq!(handshake.has_masters(&keys), made, "{log} {extended} {session} {transcript}");
                seen[usize::from(made)] += 1;
            }
        }
        assert_eq!(seen, [15, 15]);
    }
}
