-- Service connections: documents with references in place of secrets, and their history. Text is ordered by its bytes.

CREATE TABLE IF NOT EXISTS services (
    id       UUID             NOT NULL PRIMARY KEY,
    family   TEXT COLLATE "C" NOT NULL,
    fqn      TEXT COLLATE "C" NOT NULL,     -- fully qualified name
    deleted  BIGINT           NOT NULL,     -- 0 or 1: soft-deleted
    version  BIGINT           NOT NULL,     -- in tenths
    revision BIGINT           NOT NULL,     -- grows with each write
    document TEXT             NOT NULL,
    secrets  TEXT             NOT NULL,     -- which secrets the document names, with their versions
    key_id   TEXT COLLATE "C" NOT NULL,     -- the key that made the MAC
    mac      BYTEA            NOT NULL
);

CREATE UNIQUE INDEX IF NOT EXISTS services_by_name ON services (family, fqn);
CREATE INDEX IF NOT EXISTS services_by_state ON services (family, deleted, fqn);
CREATE INDEX IF NOT EXISTS services_by_key ON services (key_id);

CREATE TABLE IF NOT EXISTS service_versions (
    service_id UUID   NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    version    BIGINT NOT NULL,
    document   TEXT   NOT NULL,             -- masked
    PRIMARY KEY (service_id, version)
);
