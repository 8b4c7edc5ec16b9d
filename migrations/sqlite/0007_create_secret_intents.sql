-- Secrets in stores outside of the database: what is about to be put or deleted there, and which store is the active one.

CREATE TABLE secret_intents (
    token       BLOB    NOT NULL PRIMARY KEY CHECK (length(token) = 16),
    place       TEXT    NOT NULL,           -- in which store
    owner_kind  TEXT    NOT NULL,
    owner_id    BLOB    NOT NULL CHECK (length(owner_id) = 16),
    path        TEXT    NOT NULL,           -- JSON Pointer into the owner's document
    name        TEXT    NOT NULL,
    normal_name TEXT    NOT NULL,           -- the form in which names are compared
    state       TEXT    NOT NULL,           -- putting, moving, committed, withdrawing, deleting or removing
    due_at      INTEGER NOT NULL            -- from when on anybody may deal with it
) STRICT;

CREATE INDEX secret_intents_by_name ON secret_intents (normal_name);
CREATE INDEX secret_intents_by_owner ON secret_intents (owner_id);
CREATE INDEX secret_intents_by_time ON secret_intents (due_at);

-- One row, or none where secrets never left this database.
CREATE TABLE active_store (
    number      INTEGER NOT NULL PRIMARY KEY CHECK (number = 1),
    place       TEXT    NOT NULL,
    moving_from TEXT,                       -- from where secrets are still being moved
    progress    TEXT                        -- JSON
) STRICT;
