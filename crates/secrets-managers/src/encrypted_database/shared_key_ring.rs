//! The ring that a running server uses: swapped when another process added a key to the file.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::key_ring::{KeyRing, KeyRingError};
use super::key_ring_file::{Fingerprint, KeyRingFile};

/// A key ring that many share and that follows its file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SharedKeyRing {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    current: RwLock<Arc<KeyRing>>,
    source: Option<Source>,
}

#[derive(Debug)]
struct Source {
    file: KeyRingFile,
    /// What the file looked like when it was last read, well or badly; nothing where it was not there.
    seen: Mutex<Option<Fingerprint>>,
}

impl SharedKeyRing {
    /// A ring that never changes, without a file.
    pub fn fixed(ring: KeyRing) -> Self {
        Self { shared: Arc::new(Shared { current: RwLock::new(Arc::new(ring)), source: None }) }
    }

    /// Loads a ring from its file and follows it.
    pub fn load(file: KeyRingFile) -> Result<Self, KeyRingError> {
        // The fingerprint first: a change between the two is then seen as one.
        let seen = file.fingerprint()?;
        let ring = file.load()?;
        let source = Source { file, seen: Mutex::new(Some(seen)) };
        Ok(Self { shared: Arc::new(Shared { current: RwLock::new(Arc::new(ring)), source: Some(source) }) })
    }

    /// The ring as it is now.
    pub fn current(&self) -> Arc<KeyRing> {
        Arc::clone(&self.shared.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again if it changed since it was last read, and says whether the ring was swapped.
    ///
    /// A file that cannot be read or is broken leaves the ring as it is; that is an error once for each change of the
    /// file, so that neither a caller in a loop nor a row with an unknown key makes us read it over and over.
    pub fn reload_if_changed(&self) -> Result<bool, KeyRingError> {
        let Some(source) = &self.shared.source else { return Ok(false) };
        let mut seen = source.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (fingerprint, absence) = match source.file.fingerprint() {
            Ok(fingerprint) => (Some(fingerprint), None),
            Err(error) => (None, Some(error)),
        };
        if *seen == fingerprint {
            return Ok(false);
        }
        *seen = fingerprint;
        if let Some(error) = absence {
            return Err(error);
        }
        let ring = Arc::new(source.file.load()?);
        // Whoever is asked which key encrypts asks the other replicas first.
        ring.encrypt_with(self.current().encrypting());
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(true)
    }

    /// The ring with this key, read again from the file once where the key is unknown.
    pub(super) fn ring_with(&self, knows: impl Fn(&KeyRing) -> bool) -> Option<Arc<KeyRing>> {
        let ring = self.current();
        if knows(&ring) {
            return Some(ring);
        }
        if let Err(error) = self.reload_if_changed() {
            tracing::warn!(error = %error, "the key ring changed and cannot be read; the keys read before stay in use");
        }
        // Even where this call swapped nothing, another thread may have done so just before.
        Some(self.current()).filter(|ring| knows(ring))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use strongroom_domain::KeyId;
    use tempfile::TempDir;

    use super::*;

    fn shared_ring() -> (TempDir, KeyRingFile, SharedKeyRing) {
        let directory = TempDir::new().unwrap();
        let file = KeyRingFile::new(directory.path().join("keys"));
        file.create_new(0).unwrap();
        let ring = SharedKeyRing::load(file.clone()).unwrap();
        (directory, file, ring)
    }

    #[test]
    fn a_key_added_by_another_process_is_picked_up() {
        let (_directory, file, ring) = shared_ring();
        assert!(!ring.reload_if_changed().unwrap());

        let added = file.add_key(0).unwrap();

        assert!(ring.reload_if_changed().unwrap());
        assert_eq!(ring.current().newest(), &added);
        assert_ne!(ring.current().encrypting(), &added, "others may not have it yet");
        assert!(!ring.reload_if_changed().unwrap());
    }

    #[test]
    fn an_unknown_key_is_looked_for_in_the_file() {
        let (_directory, file, ring) = shared_ring();
        let added = file.add_key(0).unwrap();

        assert!(ring.ring_with(|ring| ring.contains(&added)).is_some());
        assert!(ring.ring_with(|ring| ring.contains(&KeyId::new("ffffffff"))).is_none());
    }

    #[test]
    fn a_broken_file_is_reported_once_and_the_old_ring_stays() {
        let (_directory, file, ring) = shared_ring();
        let before = ring.current().ids();
        let good = fs::read(file.path()).unwrap();

        fs::write(file.path(), "not a key").unwrap();

        assert!(matches!(ring.reload_if_changed(), Err(KeyRingError::Weak { line: 1, .. })));
        assert!(!ring.reload_if_changed().unwrap());
        assert_eq!(ring.current().ids(), before);
        fs::write(file.path(), good).unwrap();
        assert!(ring.reload_if_changed().unwrap());
    }

    #[test]
    fn a_file_that_is_gone_is_reported_and_the_old_ring_stays() {
        let (_directory, file, ring) = shared_ring();
        let before = ring.current().ids();

        fs::remove_file(file.path()).unwrap();

        assert!(ring.reload_if_changed().is_err());
        assert_eq!(ring.current().ids(), before);
    }
}
