//! Ed25519 keys (RFC 8032) and the files they stand in (RFC 5958, RFC 8410, OpenSSH).
//!
//! A [`PublicKey`] is never weak: with a key of small order one fixed signature passes for any message in
//! OpenSSL, Python and node.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{
    Signature, Signer as _, SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
        KeypairBytes, spki::der::pem::LineEnding,
    },
};
use zeroize::Zeroizing;

use crate::evidence::Digest;

/// The name that OpenSSH gives this kind of key (RFC 8709).
const OPENSSH: &str = "ssh-ed25519";

/// A key file is some 120 bytes; a megabyte is not one.
const MAX_KEY_FILE: u64 = 64 << 10;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file could not be read.
    #[error("read the key {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the medium said.
        #[source]
        source: io::Error,
    },
    /// The file could not be written.
    #[error("write the key {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the medium said.
        #[source]
        source: io::Error,
    },
    /// Others than the owner can read it.
    #[error("use the key {path}: others can read it (mode {mode:04o})")]
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else.
    #[error("use the key {path}: {why}")]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: NotAKey,
    },
    /// The system gives no random bytes.
    #[error("make a key: the system gives no random bytes")]
    Entropy,
}

/// Why bytes are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAKey {
    /// Neither of the spellings that are read.
    #[error("it is not an Ed25519 key in PEM (PKCS#8 or SPKI) or OpenSSH form")]
    Spelling,
    /// A point of small order, or one spelled in a way that has another spelling.
    #[error("the key is weak: one signature would pass for any message")]
    Weak,
}

/// A key that seals.
pub struct SealKey(SigningKey);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey(sha256:{})", self.public().fingerprint())
    }
}

impl SealKey {
    /// Takes the 32 secret bytes of RFC 8032.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// Makes a new key.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut()).map_err(|_| KeyError::Entropy)?;
        Ok(Self::from_secret(&secret))
    }

    /// Reads a PKCS#8 PEM file of version 1 or 2.
    ///
    /// # Errors
    /// When it can't be read, others can read it, or it is no Ed25519 key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(failed)?;
        // Asked of the open file, so that nobody can swap it in between.
        refuse_readable_by_others(&file, path)?;
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(failed)?;
        let key = SigningKey::from_pkcs8_pem(&text)
            .map_err(|_| KeyError::NotAKey { path: path.to_owned(), why: NotAKey::Spelling })?;
        Ok(Self(key))
    }

    /// Writes the key to `path` with mode 0600 and its public half beside it (`.pub.pem`).
    /// A file that stands there is never overwritten.
    ///
    /// # Errors
    /// When a file stands there or can't be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        // Version 1, without the public half: what `openssl genpkey` writes and OpenSSL 3.0 can read.
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let text = bytes
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| KeyError::NotAKey { path: path.to_owned(), why: NotAKey::Spelling })?;
        write_new(path, text.as_bytes(), Readers::Owner)?;
        let public = public_path(path);
        write_new(&public, self.public().pem().as_bytes(), Readers::All)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a message (Ed25519, pure).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The 32 secret bytes, from which bundle seeds are derived.
    pub(super) fn secret(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

/// Whether a key was there or had to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was there.
    Before,
    /// It was made now.
    New,
}

/// Loads the key at `path`, or makes it when there is none, with the folders above it.
///
/// # Errors
/// Each [`KeyError`].
pub fn load_or_make(path: &Path) -> Result<(SealKey, Made), KeyError> {
    match SealKey::load(path) {
        Err(KeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return Ok((other?, Made::Before)),
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| KeyError::Write { path: path.to_owned(), source })?;
    }
    let key = SealKey::generate()?;
    match key.save(path) {
        // Another run made one in the meantime: both are to use that one.
        Err(KeyError::Write { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
            Ok((SealKey::load(path)?, Made::Before))
        }
        other => other.map(|()| (key, Made::New)),
    }
}

/// Where the public half of the key at `path` stands.
pub fn public_path(path: &Path) -> PathBuf {
    path.with_extension("pub.pem")
}

enum Readers {
    Owner,
    All,
}

/// Writes beside, then links into place: a key is there whole or not at all, and never over another.
fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), KeyError> {
    let failed = |source| KeyError::Write { path: path.to_owned(), source };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // tempfile gives mode 0600 on Unix.
    let mut file = tempfile::Builder::new().prefix(".key-").tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    #[cfg(unix)]
    if let Readers::All = readers {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(failed)?;
    }
    #[cfg(not(unix))]
    let _ = readers;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(unix)]
fn refuse_readable_by_others(file: &fs::File, path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata().map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::ReadableByOthers { path: path.to_owned(), mode }) }
}

/// Windows keeps a user's folders from others by access lists, which are not read here.
#[cfg(not(unix))]
fn refuse_readable_by_others(_: &fs::File, _: &Path) -> Result<(), KeyError> {
    Ok(())
}

/// A key that verifies; never a weak one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey(sha256:{})", self.fingerprint())
    }
}

impl PublicKey {
    /// Takes the 32 bytes of RFC 8032.
    ///
    /// # Errors
    /// When they are no point, a point of small order, or not its one spelling.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, NotAKey> {
        if !is_reduced(bytes) {
            return Err(NotAKey::Weak);
        }
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| NotAKey::Spelling)?;
        if key.is_weak() { Err(NotAKey::Weak) } else { Ok(Self(key)) }
    }

    /// Reads a file with a key in SPKI PEM or OpenSSH form.
    ///
    /// # Errors
    /// When it can't be read or is no key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let file = fs::File::open(path).map_err(failed)?;
        file.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(failed)?;
        text.parse().map_err(|why| KeyError::NotAKey { path: path.to_owned(), why })
    }

    /// SHA-256 of the SPKI DER: the key's id everywhere.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der())
    }

    /// SPKI in DER (RFC 8410): twelve fixed bytes and the key.
    fn der(&self) -> Vec<u8> {
        const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
        [&SPKI[..], self.0.as_bytes()].concat()
    }

    /// SPKI in PEM, as OpenSSL reads it.
    pub fn pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// One line as OpenSSH writes it (RFC 8709), without a comment.
    pub fn openssh(&self) -> String {
        let field = |bytes: &[u8]| {
            let len = u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
            [&len[..], bytes].concat()
        };
        let blob = [field(OPENSSH.as_bytes()), field(self.0.as_bytes())].concat();
        format!("{OPENSSH} {}\n", BASE64_STANDARD.encode(blob))
    }

    /// Whether `signature` is this key's over `message`, by the strict rules (no small order, one spelling).
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    /// Reads SPKI PEM or a line of OpenSSH.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let bytes = match text.trim().strip_prefix(OPENSSH) {
            Some(rest) => openssh_bytes(rest).ok_or(NotAKey::Spelling)?,
            None => VerifyingKey::from_public_key_pem(text).map_err(|_| NotAKey::Spelling)?.to_bytes(),
        };
        Self::from_bytes(&bytes)
    }
}

fn openssh_bytes(rest: &str) -> Option<[u8; 32]> {
    let blob = BASE64_STANDARD.decode(rest.split_whitespace().next()?).ok()?;
    let key = blob.strip_prefix(b"\0\0\0\x0bssh-ed25519\0\0\0\x20")?;
    key.try_into().ok()
}

/// Whether y is below 2^255 - 19: other spellings of the same point are refused.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    *first < 0xed || middle.iter().any(|&byte| byte != 0xff) || last & 0x7f != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::hex_bytes;

    /// RFC 8032 section 7.1, TEST 1.
    fn test_1() -> SealKey {
        let secret = hex_bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        SealKey::from_secret(&secret.try_into().unwrap())
    }

    #[test]
    fn signs_as_rfc_8032_says() {
        let key = test_1();
        assert_eq!(
            key.public().0.to_bytes().to_vec(),
            hex_bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap()
        );
        let signature = hex_bytes(concat!(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ));
        assert_eq!(Some(key.sign(b"").to_vec()), signature);
        assert!(key.public().verifies(b"", &key.sign(b"")));
        assert!(!key.public().verifies(b"x", &key.sign(b"")));
    }

    #[test]
    fn weak_keys_and_second_spellings_are_refused() {
        // Points of small order (RFC 8032 and draft-ietf-cfrg-eddsa test sets), and y = 2^255 - 18, another spelling of 1.
        let mut one = [0; 32];
        one[0] = 1;
        assert_eq!(PublicKey::from_bytes(&one), Err(NotAKey::Weak));
        assert_eq!(PublicKey::from_bytes(&[0; 32]), Err(NotAKey::Weak));
        let mut again = [0xff; 32];
        (again[0], again[31]) = (0xee, 0x7f);
        assert_eq!(PublicKey::from_bytes(&again), Err(NotAKey::Weak));
    }

    #[test]
    fn public_keys_are_read_in_both_spellings() {
        let key = test_1().public();
        assert_eq!(key.pem().parse(), Ok(key));
        assert_eq!(key.openssh().parse(), Ok(key));
        assert_eq!(format!("{} me@there", key.openssh().trim()).parse(), Ok(key));
        assert_eq!("ssh-ed25519 AAAA".parse::<PublicKey>(), Err(NotAKey::Spelling));
        assert_eq!("".parse::<PublicKey>(), Err(NotAKey::Spelling));
    }

    #[test]
    fn a_key_file_is_made_once_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/exhibit.key.pem");
        let (made, now) = load_or_make(&path).unwrap();
        let (again, before) = load_or_make(&path).unwrap();
        assert_eq!((now, before), (Made::New, Made::Before));
        assert_eq!(made.public(), again.public());
        assert_eq!(PublicKey::load(&public_path(&path)).unwrap(), made.public());
        assert!(matches!(test_1().save(&path), Err(KeyError::Write { .. })));
        assert_eq!(SealKey::load(&path).unwrap().public(), made.public());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        test_1().save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(SealKey::load(&path), Err(KeyError::ReadableByOthers { .. })));
            assert!(matches!(load_or_make(&path), Err(KeyError::ReadableByOthers { .. })));
        }
    }
}
