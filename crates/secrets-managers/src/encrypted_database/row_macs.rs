//! MACs of the rows that decide who gets what, under keys derived from the ring.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use strongroom_domain::{RowKind, RowMac, RowSigner, SignatureError};

use super::SharedKeyRing;
use super::ring_key::RingKey;

/// Never changed: every stored MAC covers it.
const LABEL: &[u8] = b"strongroom row v1";

impl RowSigner for SharedKeyRing {
    fn sign(&self, kind: RowKind, fields: &[&[u8]]) -> RowMac {
        let ring = self.current();
        let key = ring.encrypting_key();
        let tag = mac_of(key, kind, fields).finalize().into_bytes().to_vec();
        RowMac { key_id: key.id().clone(), tag }
    }

    fn verify(&self, kind: RowKind, fields: &[&[u8]], mac: &RowMac) -> Result<(), SignatureError> {
        let unknown = || SignatureError::UnknownKey(mac.key_id.clone());
        let ring = self.ring_with(|ring| ring.contains(&mac.key_id)).ok_or_else(unknown)?;
        let key = ring.key(&mac.key_id).ok_or_else(unknown)?;
        mac_of(key, kind, fields).verify_slice(&mac.tag).map_err(|_| SignatureError::Mismatch)
    }
}

fn mac_of(key: &RingKey, kind: RowKind, fields: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = key.mac();
    for part in [LABEL, kind.as_str().as_bytes()].into_iter().chain(fields.iter().copied()) {
        // With its length before it, no part can lend bytes to its neighbour.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use strongroom_domain::KeyId;

    use super::*;
    use crate::KeyRing;

    fn signer() -> SharedKeyRing {
        SharedKeyRing::fixed(KeyRing::parse(&KeyRing::generate_line().unwrap()).unwrap())
    }

    #[test]
    fn a_row_verifies_as_it_was_signed() {
        let signer = signer();

        let mac = signer.sign(RowKind::Service, &[b"shop", b"", b"{}"]);

        assert_eq!(mac.tag.len(), 32);
        assert_eq!(&mac.key_id, signer.current().newest());
        assert_eq!(signer.verify(RowKind::Service, &[b"shop", b"", b"{}"], &mac), Ok(()));
    }

    #[test]
    fn a_mac_of_the_first_release_verifies_for_ever() {
        // Made by another implementation, Python's `hmac`.
        let tag = [
            0xc2, 0x35, 0x0a, 0x06, 0x6a, 0xca, 0xda, 0x37, 0x81, 0x08, 0xfb, 0x38, 0xc2, 0x72, 0x6b, 0x5d, 0xd3, 0xbc,
            0x5c, 0x4b, 0x9b, 0x03, 0x78, 0xc9, 0xc1, 0x0e, 0x5c, 0x7f, 0xd5, 0xb4, 0x84, 0x92,
        ];
        let ring = KeyRing::parse("u+Xv5qfJbFMeBuhAN9RS1kM0dIKNE9gzt+nZBKX6cAM=").unwrap();
        let mac = RowMac { key_id: ring.newest().clone(), tag: tag.to_vec() };

        assert_eq!(SharedKeyRing::fixed(ring).verify(RowKind::Service, &[b"shop", b"{}"], &mac), Ok(()));
    }

    #[test]
    fn a_row_that_was_changed_in_any_way_does_not() {
        let signer = signer();
        let mac = signer.sign(RowKind::Service, &[b"shop", b"{}"]);

        let changed: [(RowKind, &[&[u8]]); 5] = [
            (RowKind::Service, &[b"shop", b"{ }"]),
            (RowKind::Service, &[b"shop{", b"}"]),
            (RowKind::Service, &[b"shop", b"{}", b""]),
            (RowKind::Service, &[b"shop{}"]),
            (RowKind::Principal, &[b"shop", b"{}"]),
        ];

        for (kind, fields) in changed {
            assert_eq!(signer.verify(kind, fields, &mac), Err(SignatureError::Mismatch), "{fields:?}");
        }
        let cut = RowMac { tag: mac.tag[..16].to_vec(), ..mac };
        assert_eq!(signer.verify(RowKind::Service, &[b"shop", b"{}"], &cut), Err(SignatureError::Mismatch));
    }

    #[test]
    fn an_older_key_still_verifies_and_an_unknown_one_is_named() {
        let (old, new) = (KeyRing::generate_line().unwrap(), KeyRing::generate_line().unwrap());
        let before = SharedKeyRing::fixed(KeyRing::parse(&old).unwrap());
        let mac = before.sign(RowKind::Token, &[b"row"]);

        let rotated = SharedKeyRing::fixed(KeyRing::parse(&format!("{}\n{}", *new, *old)).unwrap());
        let without = SharedKeyRing::fixed(KeyRing::parse(&new).unwrap());

        assert_eq!(rotated.verify(RowKind::Token, &[b"row"], &mac), Ok(()));
        let unknown = SignatureError::UnknownKey(KeyId::new(before.current().newest().as_str()));
        assert_eq!(without.verify(RowKind::Token, &[b"row"], &mac), Err(unknown));
    }
}
