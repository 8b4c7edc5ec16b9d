"""`metadata ingest -c file.yaml`: workflows of the unmodified client, against sources that really run."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from support.openmetadata import FAMILIES, Ingestion, client, ingest, plain_config, workflow
from support.sources import TABLES, Source

DATABASE = FAMILIES["database"].service


def create_tables(file: Path) -> None:
    """Makes an SQLite file with the tables of the shop."""
    with closing(sqlite3.connect(file)) as connection:
        for table in TABLES:
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")


@pytest.fixture
def sqlite_source(folder):
    file = folder / "shop.sqlite"
    create_tables(file)
    return Source("sqlite", {"type": "SQLite", "databaseMode": str(file), "database": "main"})


@pytest.fixture(params=["postgresql_source", "mariadb_source"])
def source_with_password(request):
    return request.getfixturevalue(request.param)


class Runs:
    """Runs workflows of one source against one server, as different bots."""

    def __init__(self, server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.admin_token = server.bot("admin-bot", "admin")
        self.worker_token = server.bot("worker-bot", "worker")

    def with_full_connection(self, source: Source) -> Ingestion:
        """A worker's run with everything in its file."""
        file = workflow(self.server.url, self.worker_token, source.kind, "shop", source.config)
        return ingest(file, self.folder)

    def with_name_only(self, source: Source, token: str) -> Ingestion:
        """A run whose file says nothing but the service's name."""
        return ingest(workflow(self.server.url, token, source.kind, "shop"), self.folder)

    def stored(self):
        """The service as an admin sees it."""
        service = client(self.server.url, self.admin_token).get_by_name(DATABASE, "shop")
        assert service, "the service was not created"
        return service


@pytest.fixture
def runs(server, folder):
    return Runs(server, folder)


def test_a_worker_creates_the_service_of_its_file(runs, sqlite_source):
    run = runs.with_full_connection(sqlite_source)

    run.expect_all_read(TABLES)
    assert runs.stored().updatedBy == "worker-bot"
    assert plain_config(runs.stored()).items() >= sqlite_source.config.items()


def test_a_file_that_names_only_the_service_reads_with_what_is_stored(runs, sqlite_source):
    admin = client(runs.server.url, runs.admin_token)
    admin.create(FAMILIES["database"].request("shop", "SQLite", sqlite_source.config))

    # Without a secret in the connection there is nothing to hide from a worker.
    for token in (runs.admin_token, runs.worker_token):
        runs.with_name_only(sqlite_source, token).expect_all_read(TABLES)


def test_a_second_run_with_another_connection_changes_nothing_stored(runs, sqlite_source, folder):
    runs.with_full_connection(sqlite_source).expect_all_read(TABLES)
    before = runs.stored()
    elsewhere = folder / "elsewhere.sqlite"
    create_tables(elsewhere)

    pointed_elsewhere = replace(sqlite_source, config={**sqlite_source.config, "databaseMode": str(elsewhere)})
    run = runs.with_full_connection(pointed_elsewhere)

    run.expect_all_read(TABLES)
    assert runs.stored() == before


def test_a_source_with_a_password_is_read_again_with_the_stored_one(runs, source_with_password):
    password = source_with_password.password
    runs.with_full_connection(source_with_password).expect_all_read(TABLES)
    assert runs.stored().connection.config.authType.password.get_secret_value() == password
    assert runs.server.files_with(password) == []

    runs.server.restart()
    runs.with_name_only(source_with_password, runs.admin_token).expect_all_read(TABLES)

    assert runs.server.files_with(password) == []
    audit = runs.server.get("/audit?actor=admin-bot&service=shop", runs.admin_token).json()
    assert "/config/authType/password" in str(audit["data"])
    assert password not in str(audit)


def test_a_wrong_stored_password_fails_the_run(runs, source_with_password):
    # Or else the test above would prove nothing about the password.
    wrong = {**source_with_password.config, "authType": {"password": "canary-wrong"}}
    service_type = source_with_password.config["type"]
    client(runs.server.url, runs.admin_token).create(FAMILIES["database"].request("shop", service_type, wrong))

    run = runs.with_name_only(source_with_password, runs.admin_token)

    assert run.exit_code != 0, run.output
