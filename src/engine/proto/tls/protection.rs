//! Records opened: what each protection of TLS 1.0 to 1.3 looks like on the wire (RFC 5246 section 6.2.3, RFC 5288,
//! RFC 6655, RFC 7366, RFC 7905, RFC 8446 section 5.2).

use std::fmt;

use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit as _};

use super::suite::Block;
use crate::engine::proto::crypto::{Aead, AeadKey, Hash, NONCE, nonce};

/// Bytes of the nonce that stands in each record of GCM and CCM before TLS 1.3.
const EXPLICIT_NONCE: usize = 8;

/// Bytes of the largest block.
const MAX_BLOCK: usize = 16;

/// The keyed digest of records.
#[derive(Clone)]
pub struct Mac {
    /// The hash function.
    pub hash: Hash,
    /// The key.
    pub key: Vec<u8>,
    /// Bytes of it that stand in a record.
    pub len: usize,
}

impl Mac {
    fn verifies(&self, associated: &[u8], parts: &[&[u8]], mac: &[u8]) -> bool {
        let parts: Vec<&[u8]> = [associated].iter().chain(parts).copied().collect();
        mac.len() == self.len && self.hash.hmac(&self.key, &parts).starts_with(mac)
    }
}

/// The header of a record as it stood on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The content type.
    pub kind: u8,
    /// The version.
    pub version: u16,
}

/// What protects the records of one peer between two changes of keys.
pub struct Protection(Kind);

enum Kind {
    Null {
        mac: Mac,
    },
    Rc4 {
        start: Box<Rc4>,
        mac: Mac,
    },
    Cbc {
        key: BlockKey,
        first_iv: Option<Vec<u8>>,
        mac: Mac,
        encrypt_then_mac: bool,
    },
    /// GCM and CCM of TLS 1.2.
    Explicit {
        key: AeadKey,
        salt: [u8; 4],
        tag: usize,
    },
    /// ChaCha20-Poly1305 of TLS 1.2.
    Numbered {
        key: AeadKey,
        iv: [u8; NONCE],
        tag: usize,
    },
    /// TLS 1.3.
    Inner {
        key: AeadKey,
        iv: [u8; NONCE],
        header: bool,
    },
}

enum BlockKey {
    Aes128(Box<aes::Aes128Dec>),
    Aes256(Box<aes::Aes256Dec>),
    TripleDes(Box<des::TdesEde3>),
}

/// What the record before leaves for the next one, where a cipher needs that.
#[derive(Clone, Default)]
pub struct Chain {
    rc4: Option<Box<Rc4>>,
    /// The last bytes of the payload before.
    tail: Option<Vec<u8>>,
}

/// A record that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The content type; in TLS 1.3 the one inside.
    pub kind: u8,
    /// Where in the payload the content starts.
    pub at: usize,
    /// Bytes of content.
    pub len: usize,
}

impl Protection {
    /// A MAC and nothing else.
    pub fn null(mac: Mac) -> Self {
        Self(Kind::Null { mac })
    }

    /// RC4 with a MAC inside.
    pub fn rc4(key: &[u8], mac: Mac) -> Self {
        Self(Kind::Rc4 { start: Box::new(Rc4::new(key)), mac })
    }

    /// A block cipher; `first_iv` where IVs are chained (TLS 1.0).
    pub fn cbc(
        block: Block,
        key: &[u8],
        first_iv: Option<Vec<u8>>,
        mac: Mac,
        encrypt_then_mac: bool,
    ) -> Option<Self> {
        let key = match block {
            Block::Aes128 => BlockKey::Aes128(Box::new(aes::Aes128Dec::new_from_slice(key).ok()?)),
            Block::Aes256 => BlockKey::Aes256(Box::new(aes::Aes256Dec::new_from_slice(key).ok()?)),
            Block::TripleDes => BlockKey::TripleDes(Box::new(des::TdesEde3::new_from_slice(key).ok()?)),
        };
        Some(Self(Kind::Cbc { key, first_iv, mac, encrypt_then_mac }))
    }

    /// Authenticated encryption of TLS 1.2.
    pub fn aead(aead: Aead, key: &[u8], iv: &[u8]) -> Option<Self> {
        let (key, tag) = (aead.key(key)?, aead.tag_len());
        Some(Self(match aead {
            Aead::ChaCha20Poly1305 => Kind::Numbered { key, iv: iv.try_into().ok()?, tag },
            _ => Kind::Explicit { key, salt: iv.try_into().ok()?, tag },
        }))
    }

    /// Authenticated encryption of TLS 1.3; `header` whether the record's header is authenticated.
    pub fn aead_13(aead: Aead, key: &[u8], iv: &[u8], header: bool) -> Option<Self> {
        Some(Self(Kind::Inner { key: aead.key(key)?, iv: iv.try_into().ok()?, header }))
    }

    /// Whether records can only be opened one after the other.
    pub fn is_sequential(&self) -> bool {
        matches!(self.0, Kind::Rc4 { .. })
    }

    /// What stands before a record: of this number, behind `tail` (the last bytes of the payload before), after
    /// `passed` bytes of payloads. `None` where it is not known.
    pub fn chain_at(&self, number: u64, tail: &[u8], passed: Option<usize>) -> Option<Chain> {
        let mut chain = self.chain();
        match &self.0 {
            Kind::Rc4 { .. } => chain.rc4.as_mut()?.skip(passed?),
            Kind::Cbc { first_iv: Some(iv), .. } if number > 0 => {
                chain.tail = Some(tail.get(tail.len().checked_sub(iv.len())?..)?.to_vec());
            }
            _ => {}
        }
        Some(chain)
    }

    /// Bytes before a record that it can't be opened without.
    pub fn needs_before(&self) -> usize {
        match &self.0 {
            Kind::Cbc { first_iv: Some(iv), .. } => iv.len(),
            _ => 0,
        }
    }

    /// The least that a record holds beside its content.
    pub fn overhead(&self) -> usize {
        match &self.0 {
            Kind::Null { mac } | Kind::Rc4 { mac, .. } => mac.len,
            Kind::Cbc { first_iv: Some(_), mac, .. } => mac.len + 1,
            Kind::Cbc { key, mac, .. } => mac.len + 1 + key.size(),
            Kind::Explicit { tag, .. } => EXPLICIT_NONCE + tag,
            Kind::Numbered { tag, .. } => *tag,
            Kind::Inner { .. } => 17,
        }
    }

    /// What stands before the first record.
    fn chain(&self) -> Chain {
        match &self.0 {
            Kind::Rc4 { start, .. } => Chain { rc4: Some(start.clone()), tail: None },
            Kind::Cbc { first_iv, .. } => Chain { rc4: None, tail: first_iv.clone() },
            _ => Chain::default(),
        }
    }

    /// Notes that a record has passed, whether it was opened or not.
    pub fn pass(&self, chain: &mut Chain, payload: &[u8]) {
        if let Some(rc4) = &mut chain.rc4 {
            rc4.skip(payload.len());
        }
        let size = self.needs_before();
        if size > 0
            && let Some(tail) = payload.len().checked_sub(size).and_then(|at| payload.get(at..))
        {
            chain.tail = Some(tail.to_vec());
        }
    }

    /// Opens the record of this number. Its content stands in `out`, which holds nothing of worth where the record
    /// does not verify.
    pub fn open(
        &self,
        number: u64,
        header: Header,
        payload: &[u8],
        chain: &Chain,
        out: &mut Vec<u8>,
    ) -> Option<Opened> {
        out.clear();
        match &self.0 {
            Kind::Null { mac } => {
                out.extend_from_slice(payload);
                content_then_mac(mac, number, header, 0, out)
            }
            Kind::Rc4 { mac, .. } => {
                out.extend_from_slice(payload);
                chain.rc4.clone()?.apply(out);
                content_then_mac(mac, number, header, 0, out)
            }
            Kind::Cbc { key, first_iv, mac, encrypt_then_mac } => {
                let body = Body { payload, iv: first_iv.as_ref().map(|_| chain.tail.as_deref()) };
                if *encrypt_then_mac {
                    open_then_strip(key, mac, number, header, body, out)
                } else {
                    strip_then_verify(key, mac, number, header, body, out)
                }
            }
            Kind::Explicit { key, salt, tag } => {
                let (explicit, sealed) = payload.split_first_chunk::<EXPLICIT_NONCE>()?;
                out.extend_from_slice(sealed);
                let len = sealed.len().checked_sub(*tag)?;
                let mut nonce = [0; NONCE];
                nonce.iter_mut().zip(salt.iter().chain(explicit)).for_each(|(to, from)| *to = *from);
                let associated = pseudo_header(number, header, len)?;
                key.open(&nonce, &associated, out).then_some(Opened {
                    kind: header.kind,
                    at: EXPLICIT_NONCE,
                    len,
                })
            }
            Kind::Numbered { key, iv, tag } => {
                out.extend_from_slice(payload);
                let len = payload.len().checked_sub(*tag)?;
                let associated = pseudo_header(number, header, len)?;
                key.open(&nonce(iv, number), &associated, out).then_some(Opened {
                    kind: header.kind,
                    at: 0,
                    len,
                })
            }
            Kind::Inner { key, iv, header: authenticated } => {
                out.extend_from_slice(payload);
                let length = u16::try_from(payload.len()).ok()?.to_be_bytes();
                let [major, minor] = header.version.to_be_bytes();
                let [high, low] = length;
                let associated = [header.kind, major, minor, high, low];
                let associated = if *authenticated { associated.as_slice() } else { &[] };
                if !key.open(&nonce(iv, number), associated, out) {
                    return None;
                }
                // RFC 8446 section 5.4: zeros, and before them the type.
                let len = out.iter().rposition(|byte| *byte != 0)?;
                let kind = *out.get(len)?;
                out.truncate(len);
                Some(Opened { kind, at: 0, len })
            }
        }
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Null { .. } => "null",
            Kind::Rc4 { .. } => "rc4",
            Kind::Cbc { .. } => "cbc",
            Kind::Explicit { .. } => "aead with explicit nonce",
            Kind::Numbered { .. } => "aead",
            Kind::Inner { .. } => "aead of TLS 1.3",
        })
    }
}

/// Number, type, version and length, which MACs and tags before TLS 1.3 cover (RFC 5246 section 6.2.3.3).
fn pseudo_header(number: u64, header: Header, len: usize) -> Option<[u8; 13]> {
    let mut bytes = [0; 13];
    let parts = number
        .to_be_bytes()
        .into_iter()
        .chain([header.kind])
        .chain(header.version.to_be_bytes())
        .chain(u16::try_from(len).ok()?.to_be_bytes());
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    Some(bytes)
}

/// Cuts the MAC off decrypted content and verifies it.
fn content_then_mac(mac: &Mac, number: u64, header: Header, at: usize, out: &mut Vec<u8>) -> Option<Opened> {
    let len = out.len().checked_sub(mac.len)?;
    let (content, tag) = out.split_at_checked(len)?;
    if !mac.verifies(&pseudo_header(number, header, len)?, &[content], tag) {
        return None;
    }
    out.truncate(len);
    Some(Opened { kind: header.kind, at, len })
}

/// A CBC payload; `iv` where it stands outside (and `Some(None)` where it is not known).
struct Body<'a> {
    payload: &'a [u8],
    iv: Option<Option<&'a [u8]>>,
}

impl<'a> Body<'a> {
    /// The IV, what is encrypted, and where that starts.
    fn split(&self, payload: &'a [u8], block: usize) -> Option<(&'a [u8], &'a [u8], usize)>
    where
        Self: 'a,
    {
        match self.iv {
            Some(iv) => iv.map(|iv| (iv, payload, 0)),
            None => payload.split_at_checked(block).map(|(iv, rest)| (iv, rest, block)),
        }
    }
}

/// Encrypt-then-MAC (RFC 7366).
fn open_then_strip(
    key: &BlockKey,
    mac: &Mac,
    number: u64,
    header: Header,
    body: Body<'_>,
    out: &mut Vec<u8>,
) -> Option<Opened> {
    let covered = body.payload.len().checked_sub(mac.len)?;
    let (covered, tag) = body.payload.split_at_checked(covered)?;
    if !mac.verifies(&pseudo_header(number, header, covered.len())?, &[covered], tag) {
        return None;
    }
    let (iv, encrypted, at) = body.split(covered, key.size())?;
    key.decrypt(iv, encrypted, out)?;
    let len = unpadded(out)?;
    out.truncate(len);
    Some(Opened { kind: header.kind, at, len })
}

/// MAC-then-encrypt (RFC 5246 section 6.2.3.2).
fn strip_then_verify(
    key: &BlockKey,
    mac: &Mac,
    number: u64,
    header: Header,
    body: Body<'_>,
    out: &mut Vec<u8>,
) -> Option<Opened> {
    let (iv, encrypted, at) = body.split(body.payload, key.size())?;
    key.decrypt(iv, encrypted, out)?;
    let len = unpadded(out)?;
    out.truncate(len);
    content_then_mac(mac, number, header, at, out)
}

/// How much stands before the padding; `None` if that is none.
fn unpadded(out: &[u8]) -> Option<usize> {
    let padding = *out.last()?;
    let len = out.len().checked_sub(usize::from(padding) + 1)?;
    out.get(len..)?.iter().all(|byte| *byte == padding).then_some(len)
}

impl BlockKey {
    fn size(&self) -> usize {
        match self {
            Self::Aes128(_) | Self::Aes256(_) => MAX_BLOCK,
            Self::TripleDes(_) => 8,
        }
    }

    fn decrypt(&self, iv: &[u8], encrypted: &[u8], out: &mut Vec<u8>) -> Option<()> {
        fn decrypt<C>(cipher: &C, iv: &[u8], out: &mut [u8]) -> Option<()>
        where
            C: BlockCipherDecrypt + Clone,
        {
            let mut cbc = cbc::Decryptor::<C>::inner_iv_slice_init(cipher.clone(), iv).ok()?;
            let (blocks, []) = aes::cipher::Block::<C>::slice_as_chunks_mut(out) else { return None };
            cbc.decrypt_blocks(blocks);
            Some(())
        }
        out.clear();
        out.extend_from_slice(encrypted);
        match self {
            Self::Aes128(cipher) => decrypt(&**cipher, iv, out),
            Self::Aes256(cipher) => decrypt(&**cipher, iv, out),
            Self::TripleDes(cipher) => decrypt(&**cipher, iv, out),
        }
    }
}

/// RC4 (RFC 6229 has its vectors). Its own few lines, because a state must be kept while a record is tried: the
/// crate's can't be copied.
#[derive(Clone)]
struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    fn new(key: &[u8]) -> Self {
        let mut state = [0; 256];
        state.iter_mut().zip(0..=255).for_each(|(to, value)| *to = value);
        let mut this = Self { state, i: 0, j: 0 };
        for (i, key) in (0..=255).zip(key.iter().cycle()) {
            this.j = this.j.wrapping_add(this.at(i)).wrapping_add(*key);
            this.state.swap(usize::from(i), usize::from(this.j));
        }
        this.j = 0;
        this
    }

    fn at(&self, place: u8) -> u8 {
        *self.state.get(usize::from(place)).expect("a byte is below 256")
    }

    fn next(&mut self) -> u8 {
        self.i = self.i.wrapping_add(1);
        self.j = self.j.wrapping_add(self.at(self.i));
        self.state.swap(usize::from(self.i), usize::from(self.j));
        self.at(self.at(self.i).wrapping_add(self.at(self.j)))
    }

    fn apply(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte ^= self.next());
    }

    fn skip(&mut self, count: usize) {
        (0..count).for_each(|_| {
            self.next();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{hex, hex_bytes};

    #[test]
    fn rc4_gives_the_test_vectors_of_rfc_6229() {
        let mut rc4 = Rc4::new(&hex_bytes("0102030405060708090a0b0c0d0e0f10").unwrap());
        let mut stream = [0; 16];
        rc4.apply(&mut stream);
        assert_eq!(hex(&stream), "9ac7cc9a609d1ef7b2932899cde41b97");
        rc4.skip(4096 - 16);
        let mut stream = [0; 16];
        rc4.apply(&mut stream);
        assert_eq!(hex(&stream), "a36a4c301ae8ac13610ccbc12256cacc");
        let mut short = Rc4::new(&hex_bytes("0102030405").unwrap());
        let mut stream = [0; 16];
        short.apply(&mut stream);
        assert_eq!(hex(&stream), "b2396305f03dc027ccc3524a0a1118a8");
    }

    #[test]
    fn padding_is_counted_only_where_all_of_it_says_the_same() {
        assert_eq!(unpadded(&[7, 0]), Some(1));
        assert_eq!(unpadded(&[7, 2, 2, 2]), Some(1));
        assert_eq!(unpadded(&[7, 1, 2, 2]), None);
        assert_eq!(unpadded(&[2, 2]), None, "longer than the record");
        assert_eq!(unpadded(&[]), None);
    }
}
