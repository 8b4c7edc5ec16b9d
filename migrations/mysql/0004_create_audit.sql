-- Who got or changed what, when, and from where.

CREATE TABLE IF NOT EXISTS audit_entries (
    sequence     BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at           BIGINT          NOT NULL,  -- milliseconds since the epoch
    actor        VARBINARY(1024) NOT NULL,
    action       VARBINARY(32)   NOT NULL,
    family       VARBINARY(32),
    subject_id   BINARY(16),
    subject      VARBINARY(2048) NOT NULL,
    secret_paths LONGBLOB        NOT NULL,  -- JSON array of JSON Pointers
    address      VARBINARY(64)   NOT NULL,
    request_id   VARBINARY(64)   NOT NULL
) ENGINE = InnoDB;
