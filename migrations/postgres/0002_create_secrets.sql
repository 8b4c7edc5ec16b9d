-- Envelopes of secrets, and who holds which name.

CREATE TABLE IF NOT EXISTS ciphertexts (
    owner_kind TEXT COLLATE "C" NOT NULL,
    owner_id   UUID             NOT NULL,
    path       TEXT COLLATE "C" NOT NULL,   -- JSON Pointer into the owner's document
    version    TEXT COLLATE "C" NOT NULL,
    key_id     TEXT COLLATE "C" NOT NULL,
    ciphertext BYTEA            NOT NULL
);

CREATE INDEX IF NOT EXISTS ciphertexts_by_owner ON ciphertexts (owner_id, owner_kind);
CREATE INDEX IF NOT EXISTS ciphertexts_by_key ON ciphertexts (key_id);

-- One row for each name that was ever held or typed: whoever takes or types a name locks its row first.
CREATE TABLE IF NOT EXISTS known_names (
    normal_name TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

CREATE TABLE IF NOT EXISTS secret_names (
    normal_name TEXT COLLATE "C" NOT NULL PRIMARY KEY,  -- the form in which names are compared
    name        TEXT             NOT NULL,
    service_id  UUID             NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    path        TEXT             NOT NULL
);

CREATE INDEX IF NOT EXISTS secret_names_by_service ON secret_names (service_id);

CREATE TABLE IF NOT EXISTS typed_references (
    service_id  UUID             NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    normal_name TEXT COLLATE "C" NOT NULL,
    name        TEXT             NOT NULL,
    path        TEXT             NOT NULL
);

CREATE INDEX IF NOT EXISTS typed_references_by_service ON typed_references (service_id);
CREATE INDEX IF NOT EXISTS typed_references_by_name ON typed_references (normal_name);
