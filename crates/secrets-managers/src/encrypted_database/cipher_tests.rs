//! Tests of the envelope: what opens, and all that must not.

use proptest::prelude::*;
use strongroom_domain::{OwnerKind, SecretId, SecretVersion};
use uuid::Uuid;

use super::*;

const A_KEY: &str = "u+Xv5qfJbFMeBuhAN9RS1kM0dIKNE9gzt+nZBKX6cAM=";
const OTHER_KEY: &str = "Pm7kQ0r3x2Vw4bq9sJ1nYtC8uXfZaLhE5gDoR6iTzSU=";

fn ring(keys: &[&str]) -> KeyRing {
    KeyRing::parse(&keys.join("\n")).unwrap()
}

fn password() -> StoredSecret {
    let id = SecretId::of_service(Uuid::from_u128(7), "/config/authType/password");
    StoredSecret { id, version: SecretVersion::new("v1") }
}

fn opened(ring: &KeyRing, secret: &StoredSecret, envelope: &[u8]) -> Result<String, CipherError> {
    // REVEAL: tests compare values.
    open(ring, secret, envelope).map(|value| value.reveal().to_owned())
}

#[test]
fn an_envelope_opens_for_the_secret_it_was_made_for() {
    let ring = ring(&[A_KEY]);

    let envelope = seal(&ring, &password(), &SecretValue::new("hunter2".into())).unwrap();

    assert_eq!(envelope.len(), HEADER_BYTES + "hunter2".len() + TAG_BYTES);
    assert_eq!(envelope.capacity(), envelope.len());
    assert_eq!(key_of(&envelope).map(key_id).as_ref(), Some(ring.newest()));
    assert_eq!(opened(&ring, &password(), &envelope), Ok("hunter2".to_owned()));
}

/// Made by another implementation (Python's `cryptography`) from `A_KEY`, with twelve nines as its nonce.
const OF_THE_FIRST_RELEASE: &str = "01ae7bc651090909090909090909090909033df1c0ec91d8bac7fd1231c067677b5fefb20029f8e5";

#[test]
fn an_envelope_of_the_first_release_opens_for_ever() {
    let envelope: Vec<u8> = (0..OF_THE_FIRST_RELEASE.len())
        .step_by(2)
        .map(|index| u8::from_str_radix(&OF_THE_FIRST_RELEASE[index..index + 2], 16).unwrap())
        .collect();

    assert_eq!(opened(&ring(&[A_KEY]), &password(), &envelope), Ok("hunter2".to_owned()));
}

#[test]
fn an_envelope_moved_to_another_secret_does_not_open() {
    let ring = ring(&[A_KEY]);
    let made_for = password();
    let envelope = seal(&ring, &made_for, &SecretValue::new("hunter2".into())).unwrap();
    let of = |id: SecretId| StoredSecret { id, version: made_for.version.clone() };

    let others = [
        of(SecretId { owner_id: Uuid::from_u128(8), ..made_for.id.clone() }),
        of(SecretId { owner_kind: OwnerKind::Probe, ..made_for.id.clone() }),
        of(SecretId { path: "/config/authType/Password".into(), ..made_for.id.clone() }),
        of(SecretId { path: "/config/authType/passwordv1".into(), ..made_for.id.clone() }),
        StoredSecret { version: SecretVersion::new("v2"), ..made_for.clone() },
        StoredSecret { version: SecretVersion::new(""), ..made_for.clone() },
    ];

    for other in others {
        assert_eq!(opened(&ring, &other, &envelope), Err(CipherError::Mismatch), "{other:?}");
    }
}

#[test]
fn bytes_do_not_move_between_path_and_version() {
    let ring = ring(&[A_KEY]);
    let made_for = StoredSecret { version: SecretVersion::new("xv1"), ..password() };
    let envelope = seal(&ring, &made_for, &SecretValue::new("hunter2".into())).unwrap();

    let mut other = password();
    other.id.path.push('x');

    assert_eq!(opened(&ring, &other, &envelope), Err(CipherError::Mismatch));
}

#[test]
fn an_envelope_that_names_another_key_does_not_open() {
    let ring = ring(&[A_KEY, OTHER_KEY]);
    let mut envelope = seal(&ring, &password(), &SecretValue::new("hunter2".into())).unwrap();

    let other = ring.ids()[1].as_str().to_owned();
    envelope[1..5].copy_from_slice(&u32::from_str_radix(&other, 16).unwrap().to_be_bytes());

    assert_eq!(opened(&ring, &password(), &envelope), Err(CipherError::Mismatch));
}

#[test]
fn an_older_key_of_the_ring_opens_and_a_missing_one_is_named() {
    let old = ring(&[A_KEY]);
    let envelope = seal(&old, &password(), &SecretValue::new("hunter2".into())).unwrap();

    assert_eq!(opened(&ring(&[OTHER_KEY, A_KEY]), &password(), &envelope), Ok("hunter2".to_owned()));
    let missing = CipherError::UnknownKey(old.newest().clone());
    assert_eq!(opened(&ring(&[OTHER_KEY]), &password(), &envelope), Err(missing));
}

#[test]
fn an_envelope_with_any_byte_flipped_or_cut_off_does_not_open() {
    let ring = ring(&[A_KEY]);
    let envelope = seal(&ring, &password(), &SecretValue::new("hunter2".into())).unwrap();

    for index in 0..envelope.len() {
        for bit in 0..8 {
            let mut flipped = envelope.clone();
            flipped[index] ^= 1 << bit;
            assert!(opened(&ring, &password(), &flipped).is_err(), "bit {bit} of byte {index}");
        }
        assert!(opened(&ring, &password(), &envelope[..index]).is_err(), "cut to {index} bytes");
    }
}

#[test]
fn no_two_envelopes_share_a_nonce() {
    let ring = ring(&[A_KEY]);
    let nonce_of = |envelope: Vec<u8>| envelope[5..17].to_vec();

    let nonces: std::collections::HashSet<_> =
        (0..1000).map(|_| nonce_of(seal(&ring, &password(), &SecretValue::new("same".into())).unwrap())).collect();

    assert_eq!(nonces.len(), 1000);
}

proptest! {
    #[test]
    fn every_value_reads_back_and_never_shows_in_its_envelope(value in ".{0,300}", path in ".{0,80}") {
        let ring = ring(&[A_KEY]);
        let secret = StoredSecret { id: SecretId::of_service(Uuid::from_u128(7), path), ..password() };

        let envelope = seal(&ring, &secret, &SecretValue::new(value.clone())).unwrap();

        let shows = value.len() >= 8 && envelope.windows(value.len()).any(|window| window == value.as_bytes());
        prop_assert!(!shows);
        prop_assert_eq!(opened(&ring, &secret, &envelope), Ok(value));
    }

    #[test]
    fn bytes_from_elsewhere_never_open_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(opened(&ring(&[A_KEY]), &password(), &bytes).is_err());
    }
}
