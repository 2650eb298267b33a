//! Hellos (RFC 5246 section 7.4.1, RFC 8446 section 4.1), with the extensions that matter here.

use super::Version;

/// ServerHello.random of a HelloRetryRequest (RFC 8446 section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

pub(super) const SERVER_NAME: u16 = 0;
const TRUNCATED_HMAC: u16 = 4;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(super) const ALPN: u16 = 16;
const ENCRYPT_THEN_MAC: u16 = 22;
const EXTENDED_MASTER_SECRET: u16 = 23;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;

/// What a hello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Whether it is a client's.
    pub client: bool,
    /// The server name, of a client's hello.
    pub sni: Option<String>,
    /// Versions offered, or the one chosen: of `supported_versions`, or else of the hello itself.
    pub versions: Vec<u16>,
    /// ALPN names.
    pub alpn: Vec<String>,
    /// The first of them as it was sent.
    pub first_alpn: Vec<u8>,
    /// Cipher suites offered, or the one chosen.
    pub ciphers: Vec<u16>,
    /// The random.
    pub random: Vec<u8>,
    /// The session id.
    pub session: Vec<u8>,
    /// Compression methods offered, or the one chosen.
    pub compression: Vec<u8>,
    /// Types of the extensions in their order.
    pub extensions: Vec<u16>,
    /// Signature algorithms in their order, of a client's hello.
    pub signature_algorithms: Vec<u16>,
}

impl Hello {
    /// Reads the body of a ClientHello.
    pub fn of_client(body: &[u8]) -> Option<Self> {
        let mut rest = Bytes(body);
        let version = rest.u16()?;
        let mut hello = Self {
            client: true,
            versions: vec![version],
            random: rest.take(32)?.to_vec(),
            session: rest.vector8()?.to_vec(),
            ciphers: u16s(rest.vector16()?),
            compression: rest.vector8()?.to_vec(),
            ..Self::default()
        };
        hello.read_extensions(rest);
        Some(hello)
    }

    /// Reads the body of a ServerHello.
    pub fn of_server(body: &[u8]) -> Option<Self> {
        let mut rest = Bytes(body);
        let version = rest.u16()?;
        let mut hello = Self { versions: vec![version], random: rest.take(32)?.to_vec(), ..Self::default() };
        // Drafts of TLS 1.3 before 22 leave out the session and the compression.
        let early_draft = (0x7f00..0x7f16).contains(&version);
        if !early_draft {
            hello.session = rest.vector8()?.to_vec();
        }
        hello.ciphers = vec![rest.u16()?];
        if !early_draft {
            hello.compression = vec![rest.u8()?];
        }
        hello.read_extensions(rest);
        Some(hello)
    }

    /// Reads an SSLv2-style ClientHello (RFC 5246 appendix E.2), its two bytes of length included.
    pub fn of_sslv2(bytes: &[u8]) -> Option<Self> {
        let mut rest = Bytes(bytes.get(3..)?);
        let version = rest.u16()?;
        let (ciphers, session, _) = (rest.u16()?, rest.u16()?, rest.u16()?);
        let (specs, _) = rest.take(ciphers.into())?.as_chunks::<3>();
        // Only specifications that start with zero are those of SSLv3 and TLS.
        let specs = specs.iter().filter(|spec| spec.first() == Some(&0));
        let ciphers = specs.map(|&[_, high, low]| u16::from_be_bytes([high, low])).collect();
        let session = rest.take(session.into())?.to_vec();
        // What is left is the challenge: the random, padded with zeros on the left.
        let random = [vec![0; 32_usize.saturating_sub(rest.0.len())], rest.0.to_vec()].concat();
        Some(Self { client: true, versions: vec![version], ciphers, session, random, ..Self::default() })
    }

    /// The version that a server chose.
    pub fn version(&self) -> Version {
        Version(self.versions.first().copied().unwrap_or_default())
    }

    /// The suite that a server chose.
    pub fn cipher(&self) -> u16 {
        self.ciphers.first().copied().unwrap_or_default()
    }

    /// Whether a server asks for another hello.
    pub fn is_retry(&self) -> bool {
        !self.client && self.random == RETRY
    }

    /// Whether the hello holds an extension of this type.
    fn has(&self, extension: u16) -> bool {
        self.extensions.contains(&extension)
    }

    /// Whether MACs are over the ciphertext (RFC 7366).
    pub fn encrypt_then_mac(&self) -> bool {
        self.has(ENCRYPT_THEN_MAC)
    }

    /// Whether the master secret is the extended one (RFC 7627).
    pub fn extended_master_secret(&self) -> bool {
        self.has(EXTENDED_MASTER_SECRET)
    }

    /// Whether MACs are cut (RFC 6066 section 7).
    pub fn truncated_hmac(&self) -> bool {
        self.has(TRUNCATED_HMAC)
    }

    /// Whether a client sends early data, or a server takes it (RFC 8446 section 4.2.10).
    pub fn early_data(&self) -> bool {
        self.has(EARLY_DATA)
    }

    /// Whether a pre-shared key is offered, or was chosen (RFC 8446 section 4.2.11).
    pub fn pre_shared_key(&self) -> bool {
        self.has(PRE_SHARED_KEY)
    }

    fn read_extensions(&mut self, mut rest: Bytes<'_>) {
        let Some(list) = rest.vector16() else { return };
        self.read_extension_list(list);
    }

    /// Reads a list of extensions, also that of EncryptedExtensions. What breaks its grammar ends the list.
    pub fn read_extension_list(&mut self, list: &[u8]) {
        let mut rest = Bytes(list);
        while let (Some(kind), Some(data)) = (rest.u16(), rest.vector16()) {
            self.extensions.push(kind);
            self.read_extension(kind, Bytes(data));
        }
    }

    fn read_extension(&mut self, kind: u16, mut data: Bytes<'_>) {
        match kind {
            SERVER_NAME if self.client => self.sni = data.vector16().and_then(host_name),
            ALPN => {
                let list = data.vector16().unwrap_or_default();
                self.alpn = names(list);
                self.first_alpn = Bytes(list).vector8().unwrap_or_default().to_vec();
            }
            SIGNATURE_ALGORITHMS => {
                self.signature_algorithms = data.vector16().map(u16s).unwrap_or_default();
            }
            SUPPORTED_VERSIONS => {
                let list = if self.client { data.vector8() } else { data.take(2) };
                let versions = list.map(u16s).unwrap_or_default();
                if !versions.is_empty() {
                    self.versions = versions;
                }
            }
            _ => {}
        }
    }
}

/// The first host name of a list of server names (RFC 6066 section 3).
fn host_name(list: &[u8]) -> Option<String> {
    let mut rest = Bytes(list);
    loop {
        let (kind, name) = (rest.u8()?, rest.vector16()?);
        if kind == 0 {
            return Some(String::from_utf8_lossy(name).to_ascii_lowercase());
        }
    }
}

fn names(list: &[u8]) -> Vec<String> {
    let mut rest = Bytes(list);
    std::iter::from_fn(|| rest.vector8()).map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

fn u16s(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
}

/// Reads from the front of a slice (the presentation language of RFC 8446 section 3).
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(super) fn vector8(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(len.into())
    }

    pub(super) fn vector16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }
}
