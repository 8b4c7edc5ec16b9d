-- Users, bots and their tokens. Times are milliseconds since the epoch.

CREATE TABLE IF NOT EXISTS principals (
    id         UUID             NOT NULL PRIMARY KEY,
    kind       TEXT             NOT NULL,
    name       TEXT COLLATE "C" NOT NULL UNIQUE,        -- over users and bots
    email      TEXT,
    role       TEXT             NOT NULL,
    disabled   BIGINT           NOT NULL,               -- 0 or 1
    created_at BIGINT           NOT NULL,
    key_id     TEXT COLLATE "C" NOT NULL,
    mac        BYTEA            NOT NULL
);

CREATE INDEX IF NOT EXISTS principals_by_key ON principals (key_id);

CREATE TABLE IF NOT EXISTS tokens (
    id           UUID             NOT NULL PRIMARY KEY,
    hash         BYTEA            NOT NULL UNIQUE,      -- SHA-256 of the token
    principal_id UUID             NOT NULL REFERENCES principals (id),
    first_admin  BIGINT           NOT NULL,             -- 0 or 1: made at the first start
    created_at   BIGINT           NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT,
    key_id       TEXT COLLATE "C" NOT NULL,
    mac          BYTEA            NOT NULL
);

CREATE INDEX IF NOT EXISTS tokens_by_principal ON tokens (principal_id);
CREATE INDEX IF NOT EXISTS tokens_by_key ON tokens (key_id);
