-- Envelopes of secrets, and who holds which name.

CREATE TABLE IF NOT EXISTS ciphertexts (
    owner_kind   VARBINARY(16)   NOT NULL,
    owner_id     BINARY(16)      NOT NULL,
    path         LONGBLOB        NOT NULL,  -- JSON Pointer into the owner's document
    version      VARBINARY(64)   NOT NULL,
    key_id       VARBINARY(64)   NOT NULL,
    ciphertext   LONGBLOB        NOT NULL,
    KEY ciphertexts_by_owner (owner_id, owner_kind),
    KEY ciphertexts_by_key (key_id)
) ENGINE = InnoDB;

-- One row for each name that was ever held or typed: whoever takes or types a name locks its row first.
CREATE TABLE IF NOT EXISTS known_names (
    normal_name  VARBINARY(2048) NOT NULL PRIMARY KEY
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS secret_names (
    normal_name  VARBINARY(2048) NOT NULL PRIMARY KEY,  -- the form in which names are compared
    name         VARBINARY(2048) NOT NULL,
    service_id   BINARY(16)      NOT NULL,
    path         LONGBLOB        NOT NULL,
    KEY secret_names_by_service (service_id),
    FOREIGN KEY (service_id) REFERENCES services (id) ON DELETE CASCADE
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS typed_references (
    service_id   BINARY(16)      NOT NULL,
    normal_name  VARBINARY(2048) NOT NULL,
    name         VARBINARY(2048) NOT NULL,
    path         LONGBLOB        NOT NULL,
    KEY typed_references_by_service (service_id),
    KEY typed_references_by_name (normal_name),
    FOREIGN KEY (service_id) REFERENCES services (id) ON DELETE CASCADE
) ENGINE = InnoDB;
