//! One key of the ring: which ones are refused, and what is derived from it.

use std::fmt;

use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hkdf::Hkdf;
use hmac::Hmac;
use sha2::{Digest, Sha256};
use strongroom_domain::KeyId;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a key: 256 bits.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes of a key id in an envelope; its text is twice as many hex characters.
pub(super) const KEY_ID_BYTES: usize = 4;

/// Random keys have about 30 distinct bytes of 32; fewer than 12 has a chance below 2^-90.
const FEWEST_DISTINCT_BYTES: usize = 12;

const ID_LABEL: &[u8] = b"strongroom key id";
const ENCRYPTION_LABEL: &[u8] = b"strongroom v1: encryption of secrets";
const MAC_LABEL: &[u8] = b"strongroom v1: macs of rows";

/// Keys that stand in manuals and images, so that everyone has them.
const PUBLICLY_KNOWN: [&str; 4] = [
    "jJ/9sz0g0OHxsfxOoSfdFdmk3ysNmPRnH3TUAbz3IHA=", // OpenMetadata's default FERNET_KEY
    "46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=", // docker-airflow's compose file
    "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs=", // Airflow's example
    "cw/0x689RpI+jtRR7oE8h/eQsKImvJapLeSbXpwF4e4=", // the Fernet specification's
];

/// The raw bytes of a key, zeroed on drop.
pub(super) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// Why a text is no key that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WeakKey {
    /// Neither the standard nor the URL-safe alphabet.
    #[error("it is not base64")]
    NotBase64,
    /// Not 256 bits.
    #[error("it has {0} bytes and a key has {KEY_BYTES}")]
    WrongLength(usize),
    /// Printed in a manual or shipped in an image.
    #[error("it is publicly known, so that it protects nothing")]
    PubliclyKnown,
    /// Repeated or counted bytes, or text.
    #[error("its bytes are not random (repeated, counted or plain text), so that it can be guessed")]
    Guessable,
}

/// One key of the ring, as what is derived from it; the raw bytes are not kept.
pub(super) struct RingKey {
    id: KeyId,
    id_bytes: [u8; KEY_ID_BYTES],
    encryption: Aes256Gcm,
    mac: Hmac<Sha256>,
}

impl RingKey {
    /// Derives the id and one key for each purpose.
    pub(super) fn derive(raw: &KeyBytes) -> Self {
        let id_bytes = id_bytes(raw);
        // The key is uniformly random, so no salt is needed; the label keeps the purposes apart.
        let (mut pseudorandom, derivation) = Hkdf::<Sha256>::extract(None, raw.as_slice());
        pseudorandom.as_mut_slice().zeroize();
        let encryption_key = expand(&derivation, ENCRYPTION_LABEL);
        let mac_key = expand(&derivation, MAC_LABEL);
        Self {
            id: key_id(id_bytes),
            id_bytes,
            encryption: Aes256Gcm::new((&*encryption_key).into()),
            mac: <Hmac<Sha256> as KeyInit>::new_from_slice(mac_key.as_slice())
                .unwrap_or_else(|_| unreachable!("HMAC takes keys of every length")),
        }
    }

    pub(super) fn id(&self) -> &KeyId {
        &self.id
    }

    pub(super) fn id_bytes(&self) -> [u8; KEY_ID_BYTES] {
        self.id_bytes
    }

    pub(super) fn encryption(&self) -> &Aes256Gcm {
        &self.encryption
    }

    /// A MAC under way, keyed and empty.
    pub(super) fn mac(&self) -> Hmac<Sha256> {
        self.mac.clone()
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RingKey({}, redacted)", self.id)
    }
}

/// The text of a key id.
pub(super) fn key_id(bytes: [u8; KEY_ID_BYTES]) -> KeyId {
    KeyId::new(format!("{:08x}", u32::from_be_bytes(bytes)))
}

/// Reads a key from base64 of either alphabet, with or without padding, and refuses weak ones.
pub(super) fn decode(text: &str) -> Result<KeyBytes, WeakKey> {
    let decoded = decode_base64(text).ok_or(WeakKey::NotBase64)?;
    if decoded.len() != KEY_BYTES {
        return Err(WeakKey::WrongLength(decoded.len()));
    }
    let mut raw = KeyBytes::default();
    raw.copy_from_slice(&decoded);
    refuse_weak(&raw)?;
    Ok(raw)
}

/// Says whether a key can be guessed or looked up.
pub(super) fn refuse_weak(raw: &[u8; KEY_BYTES]) -> Result<(), WeakKey> {
    if PUBLICLY_KNOWN.iter().any(|known| decode_base64(known).is_some_and(|known| known.as_slice() == raw)) {
        return Err(WeakKey::PubliclyKnown);
    }
    if is_guessable(raw) {
        return Err(WeakKey::Guessable);
    }
    Ok(())
}

fn is_guessable(raw: &[u8; KEY_BYTES]) -> bool {
    let mut distinct = Zeroizing::new(raw.to_vec());
    distinct.sort_unstable();
    distinct.dedup();
    let few = distinct.len() < FEWEST_DISTINCT_BYTES;
    let (left, right) = raw.split_at(KEY_BYTES / 2);
    // A random key is all printable once in 10^13, so that a passphrase or hex text is told apart safely.
    let is_text = raw.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    few || left == right || is_counted(raw) || is_text
}

/// Says whether each byte is its neighbour plus a constant, such as 0x00..0x1f.
fn is_counted(raw: &[u8]) -> bool {
    let mut steps = raw.iter().zip(raw.iter().skip(1)).map(|(left, right)| right.wrapping_sub(*left));
    steps.next().is_some_and(|first| steps.all(|step| step == first))
}

fn decode_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
        .map(Zeroizing::new)
}

fn id_bytes(raw: &KeyBytes) -> [u8; KEY_ID_BYTES] {
    let digest = Sha256::new().chain_update(ID_LABEL).chain_update(raw.as_slice()).finalize();
    let mut bytes = [0; KEY_ID_BYTES];
    bytes.iter_mut().zip(digest).for_each(|(byte, digested)| *byte = digested);
    bytes
}

fn expand(derivation: &Hkdf<Sha256>, label: &[u8]) -> KeyBytes {
    let mut derived = KeyBytes::default();
    derivation.expand(label, derived.as_mut_slice()).unwrap_or_else(|_| unreachable!("HKDF gives up to 8160 bytes"));
    derived
}
