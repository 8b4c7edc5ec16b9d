-- Who got or changed what. No index but the sequence: an entry is written before each plaintext answer, and an
-- index on random ids would make it several times as dear. Filters read backwards in bounded steps instead.

CREATE TABLE audit_entries (
    sequence     INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    actor        TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    family       TEXT,
    subject_id   BLOB,
    subject      TEXT    NOT NULL,
    secret_paths TEXT    NOT NULL,          -- JSON array of JSON Pointers
    address      TEXT    NOT NULL,
    request_id   TEXT    NOT NULL
) STRICT;
