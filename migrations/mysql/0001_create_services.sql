-- Service connections: documents with references in place of secrets, and their history. Text is kept as bytes (UTF-8):
-- no collation takes two names for one.

CREATE TABLE IF NOT EXISTS services (
    id           BINARY(16)      NOT NULL PRIMARY KEY,
    family       VARBINARY(32)   NOT NULL,
    fqn          VARBINARY(2048) NOT NULL,  -- fully qualified name
    deleted      BIGINT          NOT NULL,  -- 0 or 1: soft-deleted
    version      BIGINT          NOT NULL,  -- in tenths
    revision     BIGINT          NOT NULL,  -- grows with each write
    document     LONGBLOB        NOT NULL,
    secrets      LONGBLOB        NOT NULL,  -- which secrets the document names, with their versions
    key_id       VARBINARY(64)   NOT NULL,  -- the key that made the MAC
    mac          VARBINARY(64)   NOT NULL,
    UNIQUE KEY services_by_name (family, fqn),
    KEY services_by_state (family, deleted, fqn),
    KEY services_by_key (key_id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS service_versions (
    service_id   BINARY(16)      NOT NULL,
    version      BIGINT          NOT NULL,
    document     LONGBLOB        NOT NULL,  -- masked
    PRIMARY KEY (service_id, version),
    FOREIGN KEY (service_id) REFERENCES services (id) ON DELETE CASCADE
) ENGINE = InnoDB;
