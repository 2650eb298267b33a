//! Who the server says it is, and whether its key took part in the handshake.
//!
//! The server signs its part of a handshake with the key of its certificate: the parameters of an ephemeral key exchange
//! in TLS 1.2 (RFC 5246 section 7.4.3, RFC 8422 section 5.4), the transcript in TLS 1.3 (RFC 8446 section 4.4.3) and QUIC.
//! A signature that verifies shows that the holder of that key took part in this handshake, whose randoms are in the capture.
//! It does not show that the phone did, nor what was sent. Chains are not judged: whom an authority vouched for is left to
//! the reader.

use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use super::{
    Version,
    handshake::{CERTIFICATE, SERVER_HELLO, SERVER_KEY_EXCHANGE},
    hello::{Bytes, Hello},
    suite::{Signed, Suite},
};
use crate::{
    engine::{codec, proto::crypto::Hash},
    evidence::{Digest, printable},
};

/// RFC 8446 section 4.4.3.
const CERTIFICATE_VERIFY: u8 = 15;
/// RFC 8879 section 4.
const COMPRESSED_CERTIFICATE: u8 = 25;
/// Stands for the first hello after a HelloRetryRequest (RFC 8446 section 4.4.1).
const MESSAGE_HASH: u8 = 254;

/// Certificates of a chain that are kept: three are usual.
const MAX_CHAIN: usize = 16;
/// Names of one certificate that are kept; those of large hosters hold a hundred.
const MAX_NAMES: usize = 128;
/// Characters of a name.
const MAX_TEXT: usize = 256;
/// Bytes of a chain whose compression is taken off.
const MAX_CERTIFICATES: usize = 256 << 10;

/// Stands before what a server signs in TLS 1.3.
const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";

/// What a certificate says (RFC 5280).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's distinguished name.
    pub subject: String,
    /// The issuer's.
    pub issuer: String,
    /// Host names and addresses of the subject's alternative names.
    pub names: Vec<String>,
    /// The serial number, in hexadecimal with colons.
    pub serial: String,
    /// Seconds since 1970 from and until which it is valid.
    pub valid: (i64, i64),
    /// SHA-256 of its DER.
    pub sha256: Digest,
}

impl Certificate {
    /// Reads a certificate's DER.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        let text = |text: String| printable(text.as_bytes(), MAX_TEXT);
        let alternative = read.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|names| &names.value.general_names);
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some(printable(name.as_bytes(), MAX_TEXT).to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        };
        Some(Self {
            subject: text(read.subject().to_string()),
            issuer: text(read.issuer().to_string()),
            names: names.filter_map(name).take(MAX_NAMES).collect(),
            serial: text(read.raw_serial_as_string()),
            valid: (read.validity().not_before.timestamp(), read.validity().not_after.timestamp()),
            sha256: Digest::of(der),
        })
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
    four.ok().or_else(|| Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()))
}

/// Whether the server's key took part in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its signature verifies; with its scheme.
    Verified(&'static str),
    /// Its signature does not verify: something in the handshake is not what the server signed.
    Failed(&'static str),
    /// The server signs nothing in a handshake of this kind.
    Absent(&'static str),
    /// It can't be said.
    NotCheckable(&'static str),
}

impl Proof {
    /// `verified`, `failed`, `absent`, `not checkable`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Verified(_) => "verified",
            Self::Failed(_) => "failed",
            Self::Absent(_) => "absent",
            Self::NotCheckable(_) => "not checkable",
        }
    }

    /// The scheme, or the reason.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Verified(text) | Self::Failed(text) | Self::Absent(text) | Self::NotCheckable(text) => text,
        }
    }
}

/// The server's certificates and what its signature shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// DER, the server's own first.
    pub chain: Vec<Vec<u8>>,
    /// What its signature shows.
    pub proof: Proof,
}

impl Identity {
    /// The server's own certificate, where it can be read.
    pub fn certificate(&self) -> Option<Certificate> {
        Certificate::of(self.chain.first()?)
    }

    /// What can be said without any certificate.
    pub fn none(proof: Proof) -> Self {
        Self { chain: Vec::new(), proof }
    }

    /// The same, where the bytes that it was read from were not all captured, or are disputed: a signature that verifies does
    /// so all the same, one that does not shows nothing.
    pub fn of_damaged(self) -> Self {
        let proof = match self.proof {
            Proof::Failed(_) => Proof::NotCheckable("the handshake was not captured whole"),
            proof => proof,
        };
        Self { proof, ..self }
    }
}

/// Handshake messages with their heads, as they stand one after the other.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (&[kind, a, b, c], _) = bytes.split_first_chunk::<4>()?;
        let (message, rest) = bytes.split_at_checked(4 + u32::from_be_bytes([0, a, b, c]) as usize)?;
        bytes = rest;
        Some((kind, message, message.get(4..)?))
    })
}

fn vector24<'a>(bytes: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let [a, b, c] = *bytes.take(3)?.first_chunk()?;
    bytes.take(u32::from_be_bytes([0, a, b, c]) as usize)
}

/// The certificates of a message of TLS 1.2 and before.
fn chain_12(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut body = Bytes(body);
    let mut list = Bytes(vector24(&mut body)?);
    let all = std::iter::from_fn(|| vector24(&mut list));
    Some(all.take(MAX_CHAIN).map(<[u8]>::to_vec).collect())
}

/// The certificates of a message of TLS 1.3.
fn chain_13(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut body = Bytes(body);
    body.vector8()?;
    let mut list = Bytes(vector24(&mut body)?);
    let all = std::iter::from_fn(|| {
        let certificate = vector24(&mut list)?;
        list.vector16()?;
        Some(certificate)
    });
    Some(all.take(MAX_CHAIN).map(<[u8]>::to_vec).collect())
}

/// The message inside a compressed one.
fn decompressed(body: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Bytes(body);
    let algorithm = rest.u16()?;
    let [a, b, c] = *rest.take(3)?.first_chunk()?;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let compressed = vector24(&mut rest)?;
    if length > MAX_CERTIFICATES {
        return None;
    }
    let mut coding: Box<dyn codec::Coding> = match algorithm {
        1 => Box::new(codec::Inflate::new(codec::Wrapper::ZlibOrNone)),
        2 => Box::<codec::Brotli>::default(),
        3 => Box::<codec::Zstd>::default(),
        _ => return None,
    };
    let budget = codec::Budget::new(MAX_CERTIFICATES as u64);
    let mut whole = Vec::new();
    let mut take = |output: codec::Output<'_>| {
        if output.kind == codec::Kind::Content {
            whole.extend_from_slice(output.bytes);
        }
    };
    coding.push(compressed, &budget, &mut take).ok()?;
    coding.finish(&budget, &mut take).ok()?;
    (whole.len() == length).then_some(whole)
}

const NOTHING_SIGNED: Proof = Proof::Absent("the key exchange signs nothing");
const RESUMED: Proof = Proof::Absent("an earlier session was taken up");
const NOT_SHOWN: Proof =
    Proof::NotCheckable("the server's certificate or its signature was not captured, or is encrypted");

/// A handshake of TLS 1.0 to 1.2: the messages of the server, from its hello on, and both randoms.
pub(super) fn of_12(
    version: Version,
    suite: Option<Suite>,
    randoms: [&[u8]; 2],
    server: &[u8],
    resumed: bool,
) -> Identity {
    if resumed {
        return Identity::none(RESUMED);
    }
    let body = |wanted: u8| messages(server).find(|(kind, ..)| *kind == wanted).map(|(_, _, body)| body);
    let chain = body(CERTIFICATE).and_then(chain_12).unwrap_or_default();
    let proof = match suite.map(|suite| (suite, suite.signed)) {
        None => Proof::NotCheckable("the cipher suite is not known"),
        Some((suite, Signed::Parameters)) => {
            let exchange = body(SERVER_KEY_EXCHANGE);
            exchange.map_or(NOT_SHOWN, |exchange| parameters(version, suite, randoms, exchange, &chain))
        }
        Some(_) => NOTHING_SIGNED,
    };
    Identity { chain, proof }
}

/// ServerKeyExchange: parameters, then a signature over both randoms and the parameters.
fn parameters(
    version: Version,
    suite: Suite,
    randoms: [&[u8]; 2],
    exchange: &[u8],
    chain: &[Vec<u8>],
) -> Proof {
    if version < Version::TLS12 {
        return Proof::NotCheckable("signatures over MD5 and SHA-1 (before TLS 1.2) are not read here");
    }
    let mut rest = Bytes(exchange);
    let read = if suite.name.contains("_ECDHE_") {
        // A named curve (RFC 8422 section 5.4).
        rest.take(3).filter(|head| head.first() == Some(&3)).and_then(|_| rest.vector8())
    } else {
        rest.vector16().and_then(|_| rest.vector16()).and_then(|_| rest.vector16())
    };
    let parameters = exchange.len() - rest.0.len();
    let (Some(_), Some(scheme), Some(signed)) = (read, rest.u16(), rest.vector16()) else {
        return Proof::NotCheckable("the server's parameters break their grammar");
    };
    let [client, server] = randoms;
    let message = [client, server, exchange.get(..parameters).unwrap_or_default()].concat();
    verify(scheme, chain, &message, signed)
}

/// A handshake of TLS 1.3: the client's hellos (two after a HelloRetryRequest), and the messages of the server from its
/// first one on.
pub fn of_13(suite: Option<Suite>, hellos: &[Vec<u8>], server: &[u8], resumed: bool) -> Identity {
    if resumed {
        return Identity::none(RESUMED);
    }
    let Some(suite) = suite else {
        return Identity::none(Proof::NotCheckable("the cipher suite is not known"));
    };
    let transcript = match transcript_13(suite.hash, hellos, server) {
        Ok(transcript) => transcript,
        Err(proof) => return Identity::none(proof),
    };
    let mut chain = Vec::new();
    for (at, message) in transcript.iter().enumerate() {
        let (kind, body) =
            (message.first().copied().unwrap_or_default(), message.get(4..).unwrap_or_default());
        match kind {
            CERTIFICATE => chain = chain_13(body).unwrap_or_default(),
            COMPRESSED_CERTIFICATE => {
                chain = decompressed(body).and_then(|body| chain_13(&body)).unwrap_or_default();
            }
            CERTIFICATE_VERIFY => {
                let mut rest = Bytes(body);
                let (Some(scheme), Some(signed)) = (rest.u16(), rest.vector16()) else { break };
                let said = transcript.get(..at).unwrap_or_default();
                let proof = verify(scheme, &chain, &to_sign(suite.hash, said), signed);
                return Identity { chain, proof };
            }
            _ => {}
        }
    }
    Identity { chain, proof: NOT_SHOWN }
}

/// The messages of a handshake of TLS 1.3 in their order: the client's hellos, and the server's messages as far as they
/// are given. A hello before a HelloRetryRequest stands there as its digest (RFC 8446 section 4.4.1).
///
/// # Errors
/// When a hello of the client is missing.
pub(super) fn transcript_13(hash: Hash, hellos: &[Vec<u8>], server: &[u8]) -> Result<Vec<Vec<u8>>, Proof> {
    let [first, ..] = hellos else {
        return Err(Proof::NotCheckable("the client's hello was not captured"));
    };
    let mut transcript = vec![first.clone()];
    for (kind, message, body) in messages(server) {
        let retries = kind == SERVER_HELLO && Hello::of_server(body).is_some_and(|hello| hello.is_retry());
        if retries && transcript.len() == 1 {
            let Some(second) = hellos.get(1) else {
                return Err(Proof::NotCheckable("the client's second hello was not captured"));
            };
            let digest = hash.digest(&[first]);
            let head = [MESSAGE_HASH, 0, 0, u8::try_from(digest.len()).unwrap_or(0)];
            transcript = vec![[head.as_slice(), &digest].concat(), message.to_vec(), second.clone()];
        } else {
            transcript.push(message.to_vec());
        }
    }
    Ok(transcript)
}

/// What a server signs in TLS 1.3.
fn to_sign(hash: Hash, transcript: &[Vec<u8>]) -> Vec<u8> {
    let parts: Vec<&[u8]> = transcript.iter().map(Vec::as_slice).collect();
    [[0x20; 64].as_slice(), CONTEXT, &hash.digest(&parts)].concat()
}

/// The curves of keys (RFC 5480 section 2.1.1.1).
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";

/// What a signature scheme (the IANA registry of TLS) is checked with. A scheme of TLS 1.2 names no curve, so the key's
/// decides.
fn algorithm(scheme: u16, curve: Option<&str>) -> Option<(&'static str, &'static dyn VerificationAlgorithm)> {
    Some(match (scheme, curve) {
        (0x0201, _) => ("rsa_pkcs1_sha1", &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
        (0x0401, _) => ("rsa_pkcs1_sha256", &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        (0x0501, _) => ("rsa_pkcs1_sha384", &signature::RSA_PKCS1_2048_8192_SHA384),
        (0x0601, _) => ("rsa_pkcs1_sha512", &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        (0x0804 | 0x0809, _) => ("rsa_pss_sha256", &signature::RSA_PSS_2048_8192_SHA256),
        (0x0805 | 0x080a, _) => ("rsa_pss_sha384", &signature::RSA_PSS_2048_8192_SHA384),
        (0x0806 | 0x080b, _) => ("rsa_pss_sha512", &signature::RSA_PSS_2048_8192_SHA512),
        (0x0403, Some(P256)) => ("ecdsa_p256_sha256", &signature::ECDSA_P256_SHA256_ASN1),
        (0x0403, Some(P384)) => ("ecdsa_p384_sha256", &signature::ECDSA_P384_SHA256_ASN1),
        (0x0503, Some(P256)) => ("ecdsa_p256_sha384", &signature::ECDSA_P256_SHA384_ASN1),
        (0x0503, Some(P384)) => ("ecdsa_p384_sha384", &signature::ECDSA_P384_SHA384_ASN1),
        (0x0807, _) => ("ed25519", &signature::ED25519),
        _ => return None,
    })
}

/// Keys of Ed25519 (RFC 8410 section 3).
const ED25519: &str = "1.3.101.112";

/// Whether a key is one that the algorithm of a scheme takes: what is refused for its size must not count as a signature
/// that does not verify.
fn fits(scheme: u16, key: &SubjectPublicKeyInfo<'_>) -> bool {
    let least = match scheme {
        0x0201 | 0x0401 | 0x0601 => 1_024,
        0x0501 | 0x0804..=0x0806 | 0x0809..=0x080b => 2_048,
        0x0807 => return key.algorithm.algorithm.to_id_string() == ED25519,
        // The curve was looked at.
        _ => return true,
    };
    let Ok(PublicKey::RSA(rsa)) = key.parsed() else { return false };
    let exponent =
        rsa.try_exponent().is_ok_and(|exponent| (3..1 << 33).contains(&exponent) && exponent % 2 == 1);
    exponent && (least..=8_192).contains(&bits(rsa.modulus))
}

/// The length of a number.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    let first = number.first().map_or(0, |first| usize::try_from(first.leading_zeros()).unwrap_or(0));
    number.len() * 8 - first
}

fn verify(scheme: u16, chain: &[Vec<u8>], message: &[u8], signed: &[u8]) -> Proof {
    let Some(leaf) = chain.first() else { return NOT_SHOWN };
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else {
        return Proof::NotCheckable("the server's certificate breaks its grammar");
    };
    let key = certificate.public_key();
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let curve = curve.map(|curve| curve.to_id_string());
    let Some((name, algorithm)) = algorithm(scheme, curve.as_deref()) else {
        return Proof::NotCheckable("the signature's scheme is not read here");
    };
    if !fits(scheme, key) {
        return Proof::NotCheckable("the kind or size of the server's key does not fit the scheme");
    }
    let key = UnparsedPublicKey::new(algorithm, key.subject_public_key.data.as_ref());
    match key.verify(message, signed) {
        Ok(()) => Proof::Verified(name),
        Err(_) => Proof::Failed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::hex_bytes;

    // Certificates and signatures that openssl made over what the tests below put together.
    const P256_CERTIFICATE: &str = "\
        308201bd30820162a00302010202145ca806cca3ed916c645ff12c96696ee7ceab3765300a06082a8648ce3d04030230\
        143112301006035504030c09702e6578616d706c653020170d3236313132363135303135385a180f3230353130373138\
        3135303135385a30143112301006035504030c09702e6578616d706c653059301306072a8648ce3d020106082a8648ce\
        3d0301070342000497a5a1af022144377941e55e30112d7adbb1b5a7fcf567fbb389907fa9b5e5b6ecf036ffc02f4bfa\
        8ede98774b7ca69deda8278728be9bc9670c0cfdcb58599aa3818f30818c301d0603551d0e0416041402eb1354ee5232\
        ae13d6ece4e52e1c1674de54c6301f0603551d2304183016801402eb1354ee5232ae13d6ece4e52e1c1674de54c6300f\
        0603551d130101ff040530030101ff30390603551d11043230308209502e6578616d706c658704c0000201871020010d\
        b8000000000000000000000001810b6140702e6578616d706c65300a06082a8648ce3d0403020349003046022100e9f1\
        15c5fe7699fb2268ca450a6a704030e48c3889b185f3c4e2c0915b782557022100f6b61082dae07d7ca1046c054045ca\
        dc61fc001f8ccafad4fd7594edfb06d3a9";
    const P256_SIGNATURE: &str = "\
        3046022100bbd2ee2bb9b0687e18f9d2d2d4c65e0683516f3eeef1b7f5fbb00928874a21df0221008bf8d9e8ae465913\
        64ba2de3fae72ef2683203829ab4c509e4d7826482e86a50";
    const ED25519_CERTIFICATE: &str = "\
        308201593082010ba00302010202144806f2b2cde6a191f57b6172ea01e88177a415d0300506032b65703021310b3009\
        0603550406130258583112301006035504030c09652e6578616d706c653020170d3236313132363135303135385a180f\
        32303531303731383135303135385a3021310b30090603550406130258583112301006035504030c09652e6578616d70\
        6c65302a300506032b65700321004cb75836f9154f1c51f3ddaaaf00c0a9bb02a84cd695d0f0526974da8b45d140a353\
        3051301d0603551d0e04160414cf2e167f1336f449ca08c9c2601e471cfcbba8bf301f0603551d23041830168014cf2e\
        167f1336f449ca08c9c2601e471cfcbba8bf300f0603551d130101ff040530030101ff300506032b6570034100edf3cd\
        c56233df21dcdac34580a284d8b610f78b8404fea6e63650e7fc0af3ef44d7da41ee36fd857d80d93ec7d8a520c53b78\
        b4c1d1c484b41a05e951af2d01";
    const ED25519_SIGNATURE: &str = "\
        cf022560b01bc141d9a5757c20a0a20fcd05a7b59aaecd6455c745a9da6397fcad05a3db5886da70d93569ad24c023ea\
        fce2a7960921c35fb05f11811ee97800";

    const CLIENT_RANDOM: [u8; 32] = [1; 32];
    const SERVER_RANDOM: [u8; 32] = [2; 32];

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind], vector(body).as_slice()].concat()
    }

    fn vector(bytes: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[a, b, c], bytes].concat()
    }

    fn signed(scheme: u16, signature: &[u8]) -> Vec<u8> {
        let length = u16::try_from(signature.len()).unwrap().to_be_bytes();
        [&scheme.to_be_bytes()[..], &length, signature].concat()
    }

    /// Certificate and ServerKeyExchange with the key of P-256.
    fn flight_12(scheme: u16) -> Vec<u8> {
        let chain = vector(&vector(&hex_bytes(P256_CERTIFICATE).unwrap()));
        let parameters = [&[3, 0, 23, 65, 4][..], &(0..64).collect::<Vec<u8>>()].concat();
        let signature = signed(scheme, &hex_bytes(P256_SIGNATURE).unwrap());
        [message(CERTIFICATE, &chain), message(SERVER_KEY_EXCHANGE, &[parameters, signature].concat())]
            .concat()
    }

    fn said_12(client: [u8; 32], flight: &[u8]) -> Identity {
        let suite = Suite::of(0xc02b);
        of_12(Version::TLS12, suite, [&client, &SERVER_RANDOM], flight, false)
    }

    #[test]
    fn parameters_verify_as_openssl_signed_them_and_not_with_a_bit_changed() {
        let flight = flight_12(0x0403);
        let identity = said_12(CLIENT_RANDOM, &flight);
        assert_eq!(identity.proof, Proof::Verified("ecdsa_p256_sha256"));
        let certificate = identity.certificate().unwrap();
        assert_eq!(
            (certificate.subject.as_str(), certificate.issuer.as_str()),
            ("CN=p.example", "CN=p.example")
        );
        assert_eq!(certificate.names, ["p.example", "192.0.2.1", "2001:db8::1"]);
        assert!(certificate.valid.0 < certificate.valid.1);
        // Another random, another parameter, another signature.
        let failed = Proof::Failed("ecdsa_p256_sha256");
        assert_eq!(said_12([3; 32], &flight).proof, failed);
        let end = flight.len();
        for place in [end - 100, end - 1] {
            let mut changed = flight.clone();
            changed[place] ^= 1;
            assert_eq!(said_12(CLIENT_RANDOM, &changed).proof, failed, "{place}");
            // Of a handshake that was not captured whole, that shows nothing.
            let damaged = said_12(CLIENT_RANDOM, &changed).of_damaged().proof;
            assert!(matches!(damaged, Proof::NotCheckable(_)), "{damaged:?}");
        }
        assert_eq!(said_12(CLIENT_RANDOM, &flight).of_damaged().proof, identity.proof);
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        let word = |identity: Identity| identity.proof.word();
        // A scheme of RSA does not fit the key, and one is not known.
        for scheme in [0x0401, 0x0804, 0x0807, 0x0603, 0x0202, 0xfefe] {
            assert_eq!(word(said_12(CLIENT_RANDOM, &flight_12(scheme))), "not checkable", "{scheme:04x}");
        }
        let flight = flight_12(0x0403);
        let other = |suite, version, resumed| {
            word(of_12(version, Suite::of(suite), [&CLIENT_RANDOM, &SERVER_RANDOM], &flight, resumed))
        };
        assert_eq!(other(0xc02b, Version::TLS12, true), "absent", "an earlier session");
        assert_eq!(other(0x002f, Version::TLS12, false), "absent", "RSA key exchange");
        assert_eq!(other(0x0a0a, Version::TLS12, false), "not checkable");
        assert_eq!(other(0xc02b, Version::TLS11, false), "not checkable");
        // Only a certificate, only a signature, nothing; and what is cut anywhere.
        let key_exchange = messages(&flight).nth(1).unwrap().1.to_vec();
        assert_eq!(word(said_12(CLIENT_RANDOM, &key_exchange)), "not checkable");
        for end in (0..flight.len()).step_by(7) {
            assert_eq!(word(said_12(CLIENT_RANDOM, &flight[..end])), "not checkable", "{end}");
        }
    }

    #[test]
    fn a_transcript_verifies_as_openssl_signed_it_and_not_with_a_message_changed() {
        let hello = message(1, b"hello of a client");
        let server = [&[3, 3][..], &SERVER_RANDOM, &[0, 0x13, 0x01, 0, 0, 0]].concat();
        let list = vector(&[vector(&hex_bytes(ED25519_CERTIFICATE).unwrap()), vec![0, 0]].concat());
        let flight = |extensions: &[u8]| {
            [
                message(SERVER_HELLO, &server),
                message(8, extensions),
                message(CERTIFICATE, &[&[0], list.as_slice()].concat()),
                message(CERTIFICATE_VERIFY, &signed(0x0807, &hex_bytes(ED25519_SIGNATURE).unwrap())),
                message(20, &[0; 32]),
            ]
            .concat()
        };
        let suite = Suite::of(0x1301);
        let identity = of_13(suite, std::slice::from_ref(&hello), &flight(&[0, 0]), false);
        assert_eq!(identity.proof, Proof::Verified("ed25519"));
        assert_eq!(identity.certificate().unwrap().subject, "C=XX, CN=e.example");
        let proof = |hellos: &[Vec<u8>], extensions: &[u8], resumed| {
            of_13(suite, hellos, &flight(extensions), resumed).proof
        };
        assert_eq!(proof(&[message(1, b"hello of a Client")], &[0, 0], false), Proof::Failed("ed25519"));
        assert_eq!(proof(std::slice::from_ref(&hello), &[0, 1], false), Proof::Failed("ed25519"));
        assert_eq!(proof(&[], &[0, 0], false).word(), "not checkable");
        assert_eq!(proof(std::slice::from_ref(&hello), &[0, 0], true).word(), "absent");
    }
}
