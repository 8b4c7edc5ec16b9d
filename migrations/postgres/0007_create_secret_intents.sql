-- Secrets in stores outside of the database: what is about to be put or deleted there, and which store is the active one.

CREATE TABLE IF NOT EXISTS secret_intents (
    token       UUID             NOT NULL PRIMARY KEY,
    place       TEXT COLLATE "C" NOT NULL,  -- in which store
    owner_kind  TEXT COLLATE "C" NOT NULL,
    owner_id    UUID             NOT NULL,
    path        TEXT COLLATE "C" NOT NULL,  -- JSON Pointer into the owner's document
    name        TEXT             NOT NULL,
    normal_name TEXT COLLATE "C" NOT NULL,  -- the form in which names are compared
    state       TEXT COLLATE "C" NOT NULL,  -- putting, moving, committed, withdrawing, deleting or removing
    due_at      BIGINT           NOT NULL   -- from when on anybody may deal with it
);

CREATE INDEX IF NOT EXISTS secret_intents_by_name ON secret_intents (normal_name);
CREATE INDEX IF NOT EXISTS secret_intents_by_owner ON secret_intents (owner_id);
CREATE INDEX IF NOT EXISTS secret_intents_by_time ON secret_intents (due_at);

-- One row, or none where secrets never left this database.
CREATE TABLE IF NOT EXISTS active_store (
    number      BIGINT           NOT NULL PRIMARY KEY CHECK (number = 1),
    place       TEXT COLLATE "C" NOT NULL,
    moving_from TEXT COLLATE "C",           -- from where secrets are still being moved
    progress    TEXT                        -- JSON
);

-- The place of the store that a replica is configured for; none: its version knows of no such thing.
ALTER TABLE replicas ADD COLUMN IF NOT EXISTS store TEXT;
