-- From where rows are being copied into this database: nothing serves it while there is a row here.
CREATE TABLE IF NOT EXISTS unfinished_copies (
    source TEXT NOT NULL PRIMARY KEY
);
