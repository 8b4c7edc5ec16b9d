//! A digest over rows, the same on every engine.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{Cell, Row};

/// SHA-256 over rows in their order. Each value is preceded by its kind and length, so that no two lists of rows give
/// the same bytes.
#[derive(Default)]
pub(super) struct Digest(Sha256);

impl Digest {
    pub(super) fn add(&mut self, row: &Row) {
        for cell in row {
            match cell {
                Cell::Null => self.value(b'0', &[]),
                Cell::Integer(number) => self.value(b'i', &number.to_be_bytes()),
                Cell::Text(text) => self.value(b't', text.as_bytes()),
                Cell::Bytes(bytes) => self.value(b'b', bytes),
                Cell::Id(id) => self.value(b'u', id.as_bytes()),
            }
        }
    }

    fn value(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update([kind]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    pub(super) fn into_hex(self) -> String {
        self.0.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
