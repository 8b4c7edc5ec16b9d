-- What replicas follow: one row a change, in the transaction of the change. Numbers are not committed in order.

CREATE TABLE IF NOT EXISTS changes (
    sequence     BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    kind         VARBINARY(16)   NOT NULL,  -- service or access
    family       VARBINARY(32),
    subject_id   BINARY(16),
    fqn          VARBINARY(2048)
) ENGINE = InnoDB;
