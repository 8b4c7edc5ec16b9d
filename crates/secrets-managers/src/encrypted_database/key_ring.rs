//! The key ring: all keys decrypt and verify; one encrypts and signs, the first unless that must wait for others.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::TryRng;
use rand::rngs::SysRng;
use strongroom_domain::KeyId;
use thiserror::Error;
use zeroize::Zeroizing;

use super::key_ring_file::KeyRingFileError;
use super::ring_key::{self, KEY_BYTES, KEY_ID_BYTES, KeyBytes, RingKey, WeakKey};

/// Some keys of 256 bits, at least one. Redacted in `Debug`; what is derived from the keys is zeroed on drop.
#[derive(Debug)]
pub struct KeyRing {
    newest: RingKey,
    older: Vec<RingKey>,
    /// Which of the keys, the newest first, encrypts.
    encrypting: AtomicUsize,
}

/// Why a key ring is refused. Never quotes a key.
#[derive(Debug, Error)]
pub enum KeyRingError {
    /// No line holds a key.
    #[error(
        "the key ring holds no key; put the keys back from your backup, or `openssl rand -base64 32` for a new one"
    )]
    Empty,
    /// A line that is no key, or one that protects nothing.
    #[error("line {line} of the key ring is refused: {reason}; a key is what `openssl rand -base64 32` prints")]
    Weak {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: WeakKey,
    },
    /// Two lines with one key.
    #[error("line {line} of the key ring repeats the key of line {first}; remove one of them")]
    Repeated {
        /// The later line, from 1.
        line: usize,
        /// The earlier line, from 1.
        first: usize,
    },
    /// The operating system gave no random numbers.
    #[error("the operating system gives no random numbers")]
    NoRandomness,
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] KeyRingFileError),
}

impl KeyRing {
    /// Reads a ring: one key a line as base64, `#` starts a comment line, the newest key stands first.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let mut keys: Vec<(usize, RingKey)> = Vec::new();
        for (line, encoded) in key_lines(text) {
            let raw = ring_key::decode(encoded).map_err(|reason| KeyRingError::Weak { line, reason })?;
            let key = RingKey::derive(&raw);
            if let Some((first, _)) = keys.iter().find(|(_, known)| known.id() == key.id()) {
                return Err(KeyRingError::Repeated { line, first: *first });
            }
            keys.push((line, key));
        }
        let mut keys = keys.into_iter().map(|(_, key)| key);
        let newest = keys.next().ok_or(KeyRingError::Empty)?;
        Ok(Self { newest, older: keys.collect(), encrypting: AtomicUsize::new(0) })
    }

    /// Makes a random key and gives the line that holds it.
    pub fn generate_line() -> Result<Zeroizing<String>, KeyRingError> {
        let mut raw = KeyBytes::new([0; KEY_BYTES]);
        SysRng.try_fill_bytes(raw.as_mut_slice()).map_err(|_| KeyRingError::NoRandomness)?;
        // Never happens with a working source of randomness, and says so if it does not work.
        ring_key::refuse_weak(&raw).map_err(|_| KeyRingError::NoRandomness)?;
        Ok(Zeroizing::new(base64::Engine::encode(&base64::prelude::BASE64_STANDARD, raw.as_slice())))
    }

    /// The id of the newest key, the first of the ring.
    pub fn newest(&self) -> &KeyId {
        self.newest.id()
    }

    /// The id of the key that encrypts and signs.
    pub fn encrypting(&self) -> &KeyId {
        self.encrypting_key().id()
    }

    /// Encrypts and signs with this key from now on; says whether the ring has it.
    pub fn encrypt_with(&self, id: &KeyId) -> bool {
        let place = self.keys().position(|key| key.id() == id);
        if let Some(place) = place {
            self.encrypting.store(place, Ordering::Relaxed);
        }
        place.is_some()
    }

    /// The ids of all keys, the newest first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.keys().map(|key| key.id().clone()).collect()
    }

    /// Says whether the ring has this key.
    pub fn contains(&self, id: &KeyId) -> bool {
        self.key(id).is_some()
    }

    pub(super) fn encrypting_key(&self) -> &RingKey {
        self.keys().nth(self.encrypting.load(Ordering::Relaxed)).unwrap_or(&self.newest)
    }

    pub(super) fn key(&self, id: &KeyId) -> Option<&RingKey> {
        self.keys().find(|key| key.id() == id)
    }

    pub(super) fn key_of_envelope(&self, id_bytes: [u8; KEY_ID_BYTES]) -> Option<&RingKey> {
        self.keys().find(|key| key.id_bytes() == id_bytes)
    }

    fn keys(&self) -> impl Iterator<Item = &RingKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

/// The lines that hold a key, trimmed, each with its number from 1.
pub(super) fn key_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .map(str::trim)
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use rstest::rstest;

    use super::*;

    const A_KEY: &str = "u+Xv5qfJbFMeBuhAN9RS1kM0dIKNE9gzt+nZBKX6cAM=";

    fn refusal(text: &str) -> KeyRingError {
        KeyRing::parse(text).unwrap_err()
    }

    #[test]
    fn an_older_key_encrypts_where_it_must() {
        let lines = [KeyRing::generate_line().unwrap(), KeyRing::generate_line().unwrap()];
        let ring = KeyRing::parse(&format!("{}\n{}", *lines[0], *lines[1])).unwrap();
        let older = ring.ids()[1].clone();

        assert_eq!(ring.encrypting(), ring.newest());
        assert!(ring.encrypt_with(&older));

        assert_eq!(ring.encrypting(), &older);
        assert!(!ring.encrypt_with(&KeyId::new("ffffffff")));
        assert_eq!(ring.encrypting(), &older);
    }

    #[test]
    fn the_first_key_is_the_newest_and_all_are_in_the_ring() {
        let first = KeyRing::generate_line().unwrap();
        let second = KeyRing::generate_line().unwrap();

        let ring = KeyRing::parse(&format!("# mine\n\n{}\n  {}  \n", *first, *second)).unwrap();

        assert_eq!(ring.ids().len(), 2);
        assert_eq!(ring.newest(), KeyRing::parse(&first).unwrap().newest());
        assert!(ring.contains(KeyRing::parse(&second).unwrap().newest()));
    }

    #[test]
    fn the_id_of_a_key_never_changes() {
        assert_eq!(KeyRing::parse(A_KEY).unwrap().newest().as_str(), "ae7bc651");
    }

    #[test]
    fn both_alphabets_with_and_without_padding_are_the_same_key() {
        let raw = BASE64_STANDARD.decode(A_KEY).unwrap();
        let url_safe = BASE64_URL_SAFE_NO_PAD.encode(raw);

        assert_eq!(KeyRing::parse(&url_safe).unwrap().newest(), KeyRing::parse(A_KEY).unwrap().newest());
        assert!(KeyRing::parse(A_KEY.trim_end_matches('=')).is_ok());
    }

    #[test]
    fn a_text_without_keys_is_refused() {
        assert!(matches!(refusal(""), KeyRingError::Empty));
        assert!(matches!(refusal("# only a comment\n\n"), KeyRingError::Empty));
    }

    #[test]
    fn the_same_key_twice_is_refused_by_its_lines() {
        let error = refusal(&format!("# one\n{A_KEY}\n# two\n{}\n", A_KEY.trim_end_matches('=')));

        assert_eq!(error.to_string(), "line 4 of the key ring repeats the key of line 2; remove one of them");
    }

    #[rstest]
    #[case::openmetadata("jJ/9sz0g0OHxsfxOoSfdFdmk3ysNmPRnH3TUAbz3IHA=")]
    #[case::openmetadata_without_padding("jJ/9sz0g0OHxsfxOoSfdFdmk3ysNmPRnH3TUAbz3IHA")]
    #[case::openmetadata_url_safe("jJ_9sz0g0OHxsfxOoSfdFdmk3ysNmPRnH3TUAbz3IHA=")]
    #[case::fernet_specification("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")]
    fn a_publicly_known_key_is_refused(#[case] key: &str) {
        assert!(matches!(refusal(key), KeyRingError::Weak { line: 1, reason: WeakKey::PubliclyKnown }));
    }

    #[rstest]
    #[case::zeros([0; 32])]
    #[case::one_byte([0xa7; 32])]
    #[case::counted_up(std::array::from_fn(|index| u8::try_from(index).unwrap()))]
    #[case::counted_down(std::array::from_fn(|index| 255 - u8::try_from(index).unwrap()))]
    #[case::passphrase(*b"correct horse battery staple 123")]
    #[case::hex_text(*b"0f1e2d3c4b5a69788796a5b4c3d2e1f0")]
    #[case::one_half_twice(std::array::from_fn(|index| [3, 200, 17, 91, 254, 6, 77, 130, 99, 45, 161, 222, 8, 64, 39, 112][index % 16]))]
    fn a_guessable_key_is_refused(#[case] raw: [u8; 32]) {
        let key = BASE64_STANDARD.encode(raw);

        let error = refusal(&key);

        assert!(matches!(error, KeyRingError::Weak { line: 1, reason: WeakKey::Guessable }), "{error}");
    }

    #[rstest]
    #[case::short("c2hvcnQgb25lIG9mIDE2IQ==", "it has 16 bytes and a key has 32")]
    #[case::long_hex(
        "bbe5efe6a7c96c531e06e84037d452d6bbe5efe6a7c96c531e06e84037d452d6",
        "it has 48 bytes and a key has 32"
    )]
    #[case::not_base64("not base64!", "it is not base64")]
    fn what_is_no_key_is_refused_by_its_line_and_never_quoted(#[case] key: &str, #[case] reason: &str) {
        let error = refusal(&format!("{A_KEY}\n# next\n{key}"));

        assert!(error.to_string().starts_with(&format!("line 3 of the key ring is refused: {reason}")), "{error}");
        assert!(!format!("{error} {error:?}").contains(key));
    }

    #[test]
    fn debug_shows_ids_only() {
        let ring = KeyRing::parse(A_KEY).unwrap();

        assert_eq!(format!("{ring:?}"), "KeyRing { newest: RingKey(ae7bc651, redacted), older: [], encrypting: 0 }");
    }
}
