-- Secrets: envelopes (never plaintext), and who holds which name.

-- No index holds the version: a changed secret then touches its row and nothing else. Versions are random, and the
-- signed index of a service says which one counts.
CREATE TABLE ciphertexts (
    owner_kind TEXT NOT NULL,
    owner_id   BLOB NOT NULL CHECK (length(owner_id) = 16),
    path       TEXT NOT NULL,               -- JSON Pointer into the owner's document
    version    TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    ciphertext BLOB NOT NULL
) STRICT;

CREATE INDEX ciphertexts_by_owner ON ciphertexts (owner_kind, owner_id, path);
-- Rotation of keys.
CREATE INDEX ciphertexts_by_key ON ciphertexts (key_id);

-- Names of secrets that Strongroom keeps.
CREATE TABLE secret_names (
    normal_name TEXT NOT NULL PRIMARY KEY,  -- the form in which names are compared
    name        TEXT NOT NULL,
    service_id  BLOB NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    path        TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX secret_names_by_service ON secret_names (service_id);

-- References that users typed: names that Strongroom must never give to a secret.
CREATE TABLE typed_references (
    normal_name TEXT NOT NULL,
    name        TEXT NOT NULL,
    service_id  BLOB NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    path        TEXT NOT NULL,
    PRIMARY KEY (normal_name, service_id, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX typed_references_by_service ON typed_references (service_id);
