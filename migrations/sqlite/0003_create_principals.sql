-- Users, bots and their tokens.

CREATE TABLE principals (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind       TEXT    NOT NULL,
    name       TEXT    NOT NULL UNIQUE,     -- over users and bots, compared by bytes
    email      TEXT,
    role       TEXT    NOT NULL,
    disabled   INTEGER NOT NULL,            -- 0 or 1
    created_at INTEGER NOT NULL,            -- milliseconds since the epoch, as everywhere
    key_id     TEXT    NOT NULL,
    mac        BLOB    NOT NULL
) STRICT;

CREATE INDEX principals_by_key ON principals (key_id);

CREATE TABLE tokens (
    id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),  -- SHA-256 of the token
    principal_id BLOB    NOT NULL REFERENCES principals (id),
    first_admin  INTEGER NOT NULL,          -- 0 or 1: made at the first start
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER,
    key_id       TEXT    NOT NULL,
    mac          BLOB    NOT NULL
) STRICT;

CREATE INDEX tokens_by_principal ON tokens (principal_id);
CREATE INDEX tokens_by_key ON tokens (key_id);
