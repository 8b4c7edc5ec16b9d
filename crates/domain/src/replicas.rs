//! The servers that share one database, and the keys that each has: nobody encrypts with a key that another lacks.

use async_trait::async_trait;
use uuid::Uuid;

use crate::row_signer::KeyId;
use crate::store_error::StoreError;

/// One server, as it announces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Made anew at each start.
    pub id: Uuid,
    /// The keys of its ring.
    pub keys: Vec<KeyId>,
    /// The one that it encrypts with.
    pub encrypts: KeyId,
    /// The place of the store that it is configured for; none: its version knows of no such thing.
    pub store: Option<String>,
}

/// Who is there.
#[async_trait]
pub trait ReplicaRegistry: Send + Sync {
    /// Notes that a replica is there; it counts as live for fifteen seconds.
    async fn announce(&self, replica: &Replica) -> Result<(), StoreError>;

    /// Takes a replica off the list that ends in an orderly way.
    async fn leave(&self, id: Uuid) -> Result<(), StoreError>;

    /// All that are live.
    async fn live(&self) -> Result<Vec<Replica>, StoreError>;
}

/// The first of these keys, the newest first, that all live replicas have.
pub fn newest_common_key<'a>(keys: &'a [KeyId], live: &[Replica]) -> Option<&'a KeyId> {
    keys.iter().find(|key| live.iter().all(|replica| replica.keys.contains(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(keys: &[&str]) -> Replica {
        let keys: Vec<_> = keys.iter().map(|key| KeyId::new(*key)).collect();
        Replica { id: Uuid::new_v4(), encrypts: keys[0].clone(), keys, store: None }
    }

    #[test]
    fn a_key_that_a_live_replica_lacks_does_not_encrypt() {
        let ring = ["new", "old"].map(KeyId::new);

        assert_eq!(newest_common_key(&ring, &[]), Some(&ring[0]));
        assert_eq!(newest_common_key(&ring, &[replica(&["new", "old"])]), Some(&ring[0]));
        assert_eq!(newest_common_key(&ring, &[replica(&["new", "old"]), replica(&["old"])]), Some(&ring[1]));
        assert_eq!(newest_common_key(&ring, &[replica(&["other"])]), None);
    }
}
