-- What replicas follow: one row a change, in the transaction of the change. Numbers are not committed in order.

CREATE TABLE IF NOT EXISTS changes (
    sequence     BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    kind         VARBINARY(16)   NOT NULL,  -- service or access
    family       VARBINARY(32),
    subject_id   BINARY(16),
    fqn          VARBINARY(2048)
) ENGINE = InnoDB;

-- Who is there, and which keys everyone has. Times are the server's, in milliseconds since the epoch.
CREATE TABLE IF NOT EXISTS replicas (
    id           BINARY(16)      NOT NULL PRIMARY KEY,
    key_ids      LONGBLOB        NOT NULL,  -- JSON array of key ids
    encrypts     VARBINARY(64)   NOT NULL,  -- the id of the key that it encrypts with
    seen_at      BIGINT          NOT NULL
) ENGINE = InnoDB;
