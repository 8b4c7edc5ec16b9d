-- Secrets in stores outside of the database: what is about to be put or deleted there, and which store is the active one.

CREATE TABLE IF NOT EXISTS secret_intents (
    token        BINARY(16)      NOT NULL PRIMARY KEY,
    place        VARBINARY(2048) NOT NULL,  -- in which store
    owner_kind   VARBINARY(16)   NOT NULL,
    owner_id     BINARY(16)      NOT NULL,
    path         LONGBLOB        NOT NULL,  -- JSON Pointer into the owner's document
    name         VARBINARY(2048) NOT NULL,
    normal_name  VARBINARY(2048) NOT NULL,  -- the form in which names are compared
    state        VARBINARY(16)   NOT NULL,  -- putting, moving, committed, withdrawing, deleting or removing
    due_at       BIGINT          NOT NULL,  -- from when on anybody may deal with it
    KEY secret_intents_by_name (normal_name),
    KEY secret_intents_by_owner (owner_id),
    KEY secret_intents_by_time (due_at)
) ENGINE = InnoDB;

-- One row, or none where secrets never left this database.
CREATE TABLE IF NOT EXISTS active_store (
    number       BIGINT          NOT NULL PRIMARY KEY CHECK (number = 1),
    place        VARBINARY(2048) NOT NULL,
    moving_from  VARBINARY(2048),           -- from where secrets are still being moved
    progress     LONGBLOB                   -- JSON
) ENGINE = InnoDB;

-- The place of the store that a replica is configured for; none: its version knows of no such thing. MySQL itself has no
-- ADD COLUMN IF NOT EXISTS.
SET @add_store = (
    SELECT IF(count(*) = 0, 'ALTER TABLE replicas ADD COLUMN store VARBINARY(2048)', 'DO 0')
    FROM information_schema.columns
    WHERE table_schema = database() AND table_name = 'replicas' AND column_name = 'store'
);
PREPARE add_store FROM @add_store;
EXECUTE add_store;
DEALLOCATE PREPARE add_store;
