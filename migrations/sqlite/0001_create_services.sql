-- Services: documents with references in place of secrets, their history, and how many there are.

CREATE TABLE services (
    id       BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    family   TEXT    NOT NULL,
    fqn      TEXT    NOT NULL,              -- fully qualified name, compared by bytes
    deleted  INTEGER NOT NULL,              -- 0 or 1: soft-deleted
    version  INTEGER NOT NULL,              -- in tenths
    revision INTEGER NOT NULL,              -- grows with each write
    document TEXT    NOT NULL,
    secrets  TEXT    NOT NULL,              -- which secrets the document names, with their versions
    key_id   TEXT    NOT NULL,              -- the key that made the MAC
    mac      BLOB    NOT NULL
) STRICT;

-- Names, and lists with include=all.
CREATE UNIQUE INDEX services_by_name ON services (family, fqn);
-- Lists of what is deleted or is not.
CREATE INDEX services_by_state ON services (family, deleted, fqn);
-- Rotation of keys.
CREATE INDEX services_by_key ON services (key_id);

CREATE TABLE service_versions (
    service_id BLOB    NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    document   TEXT    NOT NULL             -- masked
) STRICT;

CREATE UNIQUE INDEX service_versions_by_service ON service_versions (service_id, version);

-- Counting 100,000 services for each list would cost more than the list. Triggers cannot forget one,
-- whichever process writes.
CREATE TABLE service_totals (
    family   TEXT    NOT NULL,
    deleted  INTEGER NOT NULL,
    services INTEGER NOT NULL,
    PRIMARY KEY (family, deleted)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER services_count_new AFTER INSERT ON services BEGIN
    INSERT INTO service_totals (family, deleted, services) VALUES (new.family, new.deleted, 1)
    ON CONFLICT (family, deleted) DO UPDATE SET services = services + 1;
END;

CREATE TRIGGER services_count_gone AFTER DELETE ON services BEGIN
    UPDATE service_totals SET services = services - 1 WHERE family = old.family AND deleted = old.deleted;
END;

CREATE TRIGGER services_count_moved AFTER UPDATE OF family, deleted ON services
WHEN old.family <> new.family OR old.deleted <> new.deleted BEGIN
    UPDATE service_totals SET services = services - 1 WHERE family = old.family AND deleted = old.deleted;
    INSERT INTO service_totals (family, deleted, services) VALUES (new.family, new.deleted, 1)
    ON CONFLICT (family, deleted) DO UPDATE SET services = services + 1;
END;
