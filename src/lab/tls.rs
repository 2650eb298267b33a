//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) through rustls, with everything random in it drawn from a seed.
//!
//! Keys of servers and of the authority that signs them are Ed25519 (RFC 8032), the key exchange is X25519
//! (RFC 7748), clocks stand at the model's start, and no session is resumed: so the same seed gives the same bytes.

use std::{
    cell::Cell,
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use curve25519_dalek::MontgomeryPoint;
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey as _};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, Connection, NamedGroup, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
    client::Resumption,
    crypto::{
        ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
        ring::default_provider,
    },
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::NoServerSessionStorage,
    time_provider::TimeProvider,
};

use super::{model::Host, seeded::Seeded};
use crate::evidence::{Timestamp, hex};

/// How long certificates hold before and after the model's start, in seconds.
const VALID_SECONDS: u64 = 90 * 86_400;
/// What TLS carries in one record at most (RFC 8446, section 5.1), and so what is read at a time.
const RECORD: usize = 16_384;
const AUTHORITY: &str = "Simulated Authority (exhibit lab)";

/// What goes wrong where a certificate or a configuration is made: a host's name that no certificate can hold.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// The certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    /// rustls did not take it.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The key could not be written.
    #[error(transparent)]
    Key(#[from] ed25519_dalek::pkcs8::Error),
}

/// All servers' certificates, and what a client trusts.
pub(super) struct Setup {
    clients: [Arc<ClientConfig>; 2],
    servers: BTreeMap<Ipv4Addr, Arc<ServerConfig>>,
}

/// The version that a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Lines of an NSS key log, in the order in which the secrets came to be.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyLog(Arc<Mutex<String>>);

impl KeyLog {
    /// The file.
    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
    }
}

impl Setup {
    /// An authority and a certificate for each host, all from `seed`; the clocks stand at `now`.
    pub(super) fn new(hosts: &[Host], seed: u64, now: Timestamp) -> Result<Self, SetupError> {
        let mut seeded = Seeded::new(seed, "certificates");
        let clock = Arc::new(Clock(now.seconds()));
        let (authority, root) = authority(&mut seeded, now.seconds())?;
        let mut roots = RootCertStore::empty();
        roots.add(root)?;
        let client = |version: &'static SupportedProtocolVersion| -> Result<_, rustls::Error> {
            let config = ClientConfig::builder_with_details(provider(), clock.clone());
            let config = config.with_protocol_versions(&[version])?.with_root_certificates(roots.clone());
            let mut config = config.with_no_client_auth();
            config.resumption = Resumption::disabled();
            Ok(Arc::new(config))
        };
        let clients = [client(&rustls::version::TLS12)?, client(&rustls::version::TLS13)?];
        let mut servers = BTreeMap::new();
        for host in hosts {
            let (certificate, key) = leaf(host, &authority, &mut seeded, now.seconds())?;
            let config = ServerConfig::builder_with_details(provider(), clock.clone());
            let config =
                config.with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])?;
            let mut config = config.with_no_client_auth().with_single_cert(vec![certificate], key)?;
            config.alpn_protocols = ["h2", "http/1.1", "mqtt"].map(|name| name.as_bytes().to_vec()).into();
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            servers.insert(host.address, Arc::new(config));
        }
        Ok(Self { clients, servers })
    }

    /// A client's end towards the host called `name`.
    ///
    /// # Errors
    /// Where the name is none that a server could have.
    pub(super) fn client(
        &self,
        name: &str,
        (version, protocol): (Version, &str),
        keys: &KeyLog,
        mut seeded: Seeded,
    ) -> Result<Tls, rustls::Error> {
        let [tls12, tls13] = &self.clients;
        let mut config = ClientConfig::clone(if version == Version::Tls12 { tls12 } else { tls13 });
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        config.key_log = Arc::new(keys.clone());
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| rustls::Error::General(format!("{name} is no name of a server")))?;
        let end = lend(&mut seeded, || ClientConnection::new(Arc::new(config), name))?;
        Ok(Tls { end: end.into(), seeded, failed: None })
    }

    /// The end of the server at `address`, if it has a certificate.
    pub(super) fn server(&self, address: Ipv4Addr, seeded: Seeded) -> Option<Tls> {
        let end = ServerConnection::new(self.servers.get(&address)?.clone()).ok()?;
        Some(Tls { end: end.into(), seeded, failed: None })
    }
}

/// One end of a connection.
pub(super) struct Tls {
    end: Connection,
    seeded: Seeded,
    failed: Option<rustls::Error>,
}

impl Tls {
    /// Whether what is sent now is sent encrypted.
    pub(super) fn is_ready(&self) -> bool {
        !self.end.is_handshaking() && self.failed.is_none()
    }

    /// Takes `plaintext` to be sent.
    pub(super) fn send(&mut self, plaintext: &[u8]) {
        use std::io::Write as _;
        self.end.set_buffer_limit(None);
        // Without a limit it takes all.
        let _ = self.end.writer().write_all(plaintext);
    }

    /// Says that nothing more will be sent.
    pub(super) fn close(&mut self) {
        self.end.send_close_notify();
    }

    /// Takes records that arrived; what they held is put behind `plaintext`.
    pub(super) fn receive(&mut self, mut records: &[u8], plaintext: &mut Vec<u8>) {
        use std::io::Read as _;
        while !records.is_empty() && self.failed.is_none() {
            let (end, seeded) = (&mut self.end, &mut self.seeded);
            let state = lend(seeded, || {
                end.read_tls(&mut records).map_err(|error| rustls::Error::General(error.to_string()))?;
                end.process_new_packets()
            });
            if let Err(error) = state {
                self.failed = Some(error);
            }
            let mut piece = [0; RECORD];
            while let Ok(len @ 1..) = self.end.reader().read(&mut piece) {
                plaintext.extend(piece.iter().take(len));
            }
        }
    }

    /// Records that are to be sent.
    pub(super) fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        let (end, seeded) = (&mut self.end, &mut self.seeded);
        lend(seeded, || {
            while end.wants_write() && end.write_tls(&mut records).is_ok_and(|written| written > 0) {}
        });
        records
    }
}

thread_local! {
    /// The stream that rustls draws from while one of its functions runs.
    static LENT: Cell<Option<Seeded>> = const { Cell::new(None) };
}

/// Lets what `act` calls draw from `seeded`.
fn lend<T>(seeded: &mut Seeded, act: impl FnOnce() -> T) -> T {
    LENT.set(Some(seeded.clone()));
    let result = act();
    if let Some(drawn) = LENT.take() {
        *seeded = drawn;
    }
    result
}

/// What was lent, as rustls asks for it.
#[derive(Debug)]
struct Lent;

impl SecureRandom for Lent {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        let mut seeded = LENT.take().ok_or(GetRandomFailed)?;
        bytes.copy_from_slice(&seeded.bytes(bytes.len()));
        LENT.set(Some(seeded));
        Ok(())
    }
}

/// X25519 (RFC 7748) with a private key that was lent.
#[derive(Debug)]
struct X25519;

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        let mut private = [0; 32];
        Lent.fill(&mut private)?;
        let public = MontgomeryPoint::mul_base_clamped(private).to_bytes();
        Ok(Box::new(Exchange { private, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    private: [u8; 32],
    public: [u8; 32],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, rustls::Error> {
        let bad = || rustls::Error::General("a share of X25519 has 32 bytes and a large order".to_owned());
        let peer: [u8; 32] = peer.try_into().map_err(|_| bad())?;
        let shared = MontgomeryPoint(peer).mul_clamped(self.private).to_bytes();
        if shared == [0; 32] {
            return Err(bad()); // RFC 8446, section 7.4.2
        }
        Ok(SharedSecret::from(shared.as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: vec![&X25519], secure_random: &Lent, ..default_provider() })
}

/// A clock that stands still.
#[derive(Debug)]
struct Clock(u64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

/// A new Ed25519 key as PKCS#8 (RFC 8410).
fn key(seeded: &mut Seeded) -> Result<PrivatePkcs8KeyDer<'static>, SetupError> {
    let mut private = [0; 32];
    private.copy_from_slice(&seeded.bytes(32));
    Ok(PrivatePkcs8KeyDer::from(SigningKey::from_bytes(&private).to_pkcs8_der()?.as_bytes().to_vec()))
}

/// What both kinds of certificate share; each has its own serial number.
fn params(name: &str, serial: &mut Seeded, now: u64) -> Result<CertificateParams, SetupError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // Not negative, and not above 20 octets (RFC 5280, section 4.1.2.2).
    params.serial_number = Some([&[1], serial.bytes(15).as_slice()].concat().into());
    let day = |seconds: u64| {
        let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        let date = time.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(
            i32::from(date.year()),
            u8::try_from(date.month()).unwrap_or(1),
            u8::try_from(date.day()).unwrap_or(1),
        )
    };
    params.not_before = day(now.saturating_sub(VALID_SECONDS));
    params.not_after = day(now + VALID_SECONDS);
    Ok(params)
}

fn authority(
    seeded: &mut Seeded,
    now: u64,
) -> Result<(Issuer<'static, KeyPair>, CertificateDer<'static>), SetupError> {
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&key(seeded)?, &rcgen::PKCS_ED25519)?;
    let mut params = params(AUTHORITY, seeded, now)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let certificate = params.self_signed(&key)?.der().clone();
    Ok((Issuer::new(params, key), certificate))
}

fn leaf(
    host: &Host,
    authority: &Issuer<'static, KeyPair>,
    seeded: &mut Seeded,
    now: u64,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), SetupError> {
    let der = key(seeded)?;
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)?;
    let mut params = params(&host.name, seeded, now)?;
    params.subject_alt_names = vec![rcgen::SanType::DnsName(host.name.as_str().try_into()?)];
    Ok((params.signed_by(&key, authority)?.der().clone(), der.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Vec<Host> {
        vec![Host { name: "up.example".to_owned(), address: Ipv4Addr::new(203, 0, 113, 9) }]
    }

    /// Plays one exchange; gives what the server read, what the client read, all records, and the key log.
    fn exchange(version: Version, seed: u64) -> (Vec<u8>, Vec<u8>, Vec<Vec<u8>>, String) {
        let hosts = hosts();
        let setup = Setup::new(&hosts, seed, Timestamp(1_763_632_800_000_000_000)).unwrap();
        let keys = KeyLog::default();
        let seeded = Seeded::new(seed, "client");
        let mut client = setup.client("up.example", (version, "http/1.1"), &keys, seeded).unwrap();
        let mut server = setup.server(hosts[0].address, Seeded::new(seed, "server")).unwrap();
        let (mut up, mut down, mut flights) = (Vec::new(), Vec::new(), Vec::new());
        client.send(b"a photo");
        for _ in 0..6 {
            let flight = client.records();
            server.receive(&flight, &mut up);
            flights.push(flight);
            if up == b"a photo" && down.is_empty() {
                server.send(b"thanks");
            }
            let flight = server.records();
            client.receive(&flight, &mut down);
            flights.push(flight);
        }
        assert_eq!((&client.failed, &server.failed), (&None, &None));
        (up, down, flights, keys.text())
    }

    #[test]
    fn both_versions_carry_both_ways_and_one_seed_gives_the_same_bytes() {
        for (version, labels) in [(Version::Tls12, 1), (Version::Tls13, 5)] {
            let (up, down, flights, keys) = exchange(version, 7);
            assert_eq!((up.as_slice(), down.as_slice()), (b"a photo".as_slice(), b"thanks".as_slice()));
            assert!(flights.iter().all(|flight| !flight.windows(7).any(|window| window == b"a photo")));
            assert_eq!(exchange(version, 7), (up, down, flights.clone(), keys.clone()));
            assert_ne!(exchange(version, 8).2, flights);
            assert_eq!(keys.lines().count(), labels, "{keys}");
        }
    }

    #[test]
    fn a_name_that_the_certificate_does_not_hold_is_refused() {
        let hosts = hosts();
        let setup = Setup::new(&hosts, 1, Timestamp(1_763_632_800_000_000_000)).unwrap();
        let keys = KeyLog::default();
        let how = (Version::Tls13, "h2");
        let mut client = setup.client("other.example", how, &keys, Seeded::new(1, "client")).unwrap();
        let mut server = setup.server(hosts[0].address, Seeded::new(1, "server")).unwrap();
        server.receive(&client.records(), &mut Vec::new());
        client.receive(&server.records(), &mut Vec::new());
        assert!(matches!(client.failed, Some(rustls::Error::InvalidCertificate(_))), "{:?}", client.failed);
        assert!(!client.is_ready());
        assert!(setup.server(Ipv4Addr::LOCALHOST, Seeded::new(1, "server")).is_none());
    }
}
