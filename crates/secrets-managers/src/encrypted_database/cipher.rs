//! AES-256-GCM envelopes, each bound to the one secret, version and key that it was made for.
//!
//! Envelope: version byte 1, key id (4 bytes), nonce (12 random bytes), ciphertext, tag (16 bytes). Its length tells
//! the length of the value. Nonces are random: NIST SP 800-38D allows 2^32 messages for one key, and `keys rotate`
//! starts anew.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use rand::TryRng;
use rand::rngs::SysRng;
use strongroom_domain::{KeyId, SecretValue, StoredSecret};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::key_ring::KeyRing;
use super::ring_key::{KEY_ID_BYTES, key_id};

const ENVELOPE_VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// Never changed: every stored ciphertext is bound to it.
const LABEL: &[u8] = b"strongroom secret v1";

/// Why a value cannot be encrypted or an envelope not be opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum CipherError {
    /// Too short, or of a version that we do not write.
    #[error("it is no envelope of Strongroom")]
    NotAnEnvelope,
    /// Encrypted with a key that the ring has not.
    #[error("the key ring has no key {0}")]
    UnknownKey(KeyId),
    /// Changed, or made for another secret, version or key.
    #[error("it was changed or belongs to another secret")]
    Mismatch,
    /// The operating system gives no nonce, or the value is too long for the cipher.
    #[error("the value could not be encrypted")]
    NotEncrypted,
}

/// The parts of an envelope.
struct Envelope<'a> {
    key_id: [u8; KEY_ID_BYTES],
    nonce: [u8; NONCE_BYTES],
    ciphertext: &'a [u8],
    tag: [u8; TAG_BYTES],
}

impl<'a> Envelope<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, CipherError> {
        Self::split(bytes).ok_or(CipherError::NotAnEnvelope)
    }

    fn split(bytes: &'a [u8]) -> Option<Self> {
        let (&[ENVELOPE_VERSION], rest) = bytes.split_first_chunk()? else { return None };
        let (key_id, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some(Self { key_id: *key_id, nonce: *nonce, ciphertext, tag: *tag })
    }
}

/// Encrypts a value for one version of one secret with the newest key.
pub(super) fn seal(ring: &KeyRing, secret: &StoredSecret, value: &SecretValue) -> Result<Vec<u8>, CipherError> {
    let mut nonce = [0; NONCE_BYTES];
    SysRng.try_fill_bytes(&mut nonce).map_err(|_| CipherError::NotEncrypted)?;
    let key = ring.encrypting_key();
    let mut envelope = Vec::with_capacity(HEADER_BYTES + value.len() + TAG_BYTES);
    envelope.push(ENVELOPE_VERSION);
    envelope.extend_from_slice(&key.id_bytes());
    envelope.extend_from_slice(&nonce);
    // REVEAL: it is encrypted in place below, in a buffer that never grows.
    envelope.extend_from_slice(value.reveal().as_bytes());
    let associated = associated_data(secret, key.id_bytes());
    let (_, plaintext) = envelope.split_at_mut(HEADER_BYTES);
    let tag = key.encryption().encrypt_inout_detached((&nonce).into(), &associated, InOutBuf::from(&mut *plaintext));
    let Ok(tag) = tag else {
        envelope.zeroize();
        return Err(CipherError::NotEncrypted);
    };
    envelope.extend_from_slice(&tag);
    Ok(envelope)
}

/// Decrypts an envelope that was made for just this version of this secret.
pub(super) fn open(ring: &KeyRing, secret: &StoredSecret, envelope: &[u8]) -> Result<SecretValue, CipherError> {
    let envelope = Envelope::parse(envelope)?;
    let key = ring.key_of_envelope(envelope.key_id).ok_or_else(|| CipherError::UnknownKey(key_id(envelope.key_id)))?;
    let associated = associated_data(secret, envelope.key_id);
    // Exactly as long as its content, so that turning it into a boxed string copies nothing.
    let mut buffer = Zeroizing::new(envelope.ciphertext.to_vec());
    key.encryption()
        .decrypt_inout_detached(
            (&envelope.nonce).into(),
            &associated,
            InOutBuf::from(buffer.as_mut_slice()),
            (&envelope.tag).into(),
        )
        .map_err(|_| CipherError::Mismatch)?;
    let text = String::from_utf8(std::mem::take(&mut *buffer)).map_err(|error| {
        error.into_bytes().zeroize();
        CipherError::Mismatch
    })?;
    Ok(SecretValue::new(text))
}

/// The id of the key that an envelope names, where it is one.
pub(super) fn key_of(envelope: &[u8]) -> Option<[u8; KEY_ID_BYTES]> {
    Envelope::split(envelope).map(|envelope| envelope.key_id)
}

fn associated_data(secret: &StoredSecret, key_id: [u8; KEY_ID_BYTES]) -> Vec<u8> {
    let id = &secret.id;
    let parts: [&[u8]; 6] = [
        LABEL,
        id.owner_kind.as_str().as_bytes(),
        id.owner_id.as_bytes(),
        id.path.as_bytes(),
        secret.version.as_str().as_bytes(),
        &key_id,
    ];
    let mut data = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        // With its length before it, no part can lend bytes to its neighbour.
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}

#[cfg(test)]
#[path = "cipher_tests.rs"]
mod tests;
