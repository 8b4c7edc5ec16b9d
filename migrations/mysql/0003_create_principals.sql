-- Users, bots and their tokens. Times are milliseconds since the epoch.

CREATE TABLE IF NOT EXISTS principals (
    id           BINARY(16)      NOT NULL PRIMARY KEY,
    kind         VARBINARY(16)   NOT NULL,
    name         VARBINARY(2048) NOT NULL UNIQUE,  -- over users and bots
    email        LONGBLOB,
    role         VARBINARY(16)   NOT NULL,
    disabled     BIGINT          NOT NULL,  -- 0 or 1
    created_at   BIGINT          NOT NULL,
    key_id       VARBINARY(64)   NOT NULL,
    mac          VARBINARY(64)   NOT NULL,
    KEY principals_by_key (key_id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS tokens (
    id           BINARY(16)      NOT NULL PRIMARY KEY,
    hash         BINARY(32)      NOT NULL UNIQUE,  -- SHA-256 of the token
    principal_id BINARY(16)      NOT NULL,
    first_admin  BIGINT          NOT NULL,  -- 0 or 1: made at the first start
    created_at   BIGINT          NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT,
    key_id       VARBINARY(64)   NOT NULL,
    mac          VARBINARY(64)   NOT NULL,
    KEY tokens_by_principal (principal_id),
    KEY tokens_by_key (key_id),
    FOREIGN KEY (principal_id) REFERENCES principals (id)
) ENGINE = InnoDB;
