-- From where rows are being copied into this database: nothing serves it while there is a row here.
CREATE TABLE unfinished_copies (
    source TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- A copy pages each table by one column, on every engine the same.
DROP INDEX ciphertexts_by_owner;
CREATE INDEX ciphertexts_by_owner ON ciphertexts (owner_id, owner_kind, path);
