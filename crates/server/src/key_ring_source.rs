//! Where the key ring comes from: a file in the data directory, a mounted one, or the configuration itself.

use std::fmt;

use anyhow::{Context, bail};
use strongroom_domain::{Clock, SecretValue};
use strongroom_secrets_managers::{KeyRing, KeyRingError, KeyRingFile, SharedKeyRing};

use crate::config::KeyRingConfig;
use crate::system_clock::SystemClock;

/// The place of the key ring; its `Display` names it.
#[derive(Clone, Debug)]
pub(crate) enum KeyRingSource {
    /// Our own file, which may be made.
    File(KeyRingFile),
    /// A file that somebody else fills.
    Mounted(KeyRingFile),
    /// A text that never changes.
    Text(SecretValue),
}

impl fmt::Display for KeyRingSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) | Self::Mounted(file) => write!(out, "{}", file.path().display()),
            Self::Text(_) => out.write_str("in keyRing.keys (STRONGROOM_KEY_RING)"),
        }
    }
}

impl KeyRingSource {
    pub(crate) fn of(config: &KeyRingConfig) -> Self {
        match &config.keys {
            Some(keys) => Self::Text(keys.clone()),
            None if config.is_mounted => Self::Mounted(KeyRingFile::mounted(&config.file)),
            None => Self::File(KeyRingFile::new(&config.file)),
        }
    }

    /// Says whether there is a ring.
    pub(crate) fn exists(&self) -> bool {
        match self {
            Self::File(file) | Self::Mounted(file) => file.exists(),
            Self::Text(_) => true,
        }
    }

    /// Loads the ring and follows it.
    pub(crate) fn load(&self) -> Result<SharedKeyRing, KeyRingError> {
        match self {
            Self::File(file) | Self::Mounted(file) => SharedKeyRing::load(file.clone()),
            // REVEAL: the ring derives its keys from it.
            Self::Text(keys) => KeyRing::parse(keys.reveal()).map(SharedKeyRing::fixed),
        }
    }

    /// Makes a ring with one new key.
    pub(crate) fn create(&self) -> anyhow::Result<()> {
        match self {
            Self::File(file) => file.create_new(SystemClock.now()).map(drop).context("the key ring cannot be made"),
            Self::Mounted(_) | Self::Text(_) => {
                bail!("the key ring {self} is to be filled by you; leave keyRing out to have one made")
            }
        }
    }

    /// Puts a new key first; says no where the ring is read-only. A mounted one is, also where its file could be written:
    /// whoever fills it would fill it again, without the new key.
    pub(crate) fn add_key(&self) -> anyhow::Result<bool> {
        let Self::File(file) = self else { return Ok(false) };
        match file.add_key(SystemClock.now()) {
            Ok(_) => Ok(true),
            Err(KeyRingError::File(error)) if error.is_read_only() => Ok(false),
            Err(error) => Err(error).context("no key was added"),
        }
    }
}
