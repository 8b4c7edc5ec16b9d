"""The fixtures of all client tests."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from support import sources
from support.openmetadata import client
from support.strongroom import Strongroom


@pytest.fixture
def server():
    """A server of the test's own."""
    server = Strongroom()
    yield server
    server.close()


@pytest.fixture
def admin(server):
    """The client with the token of a bot that is an admin."""
    return client(server.url, server.bot("admin-bot", "admin"))


@pytest.fixture
def worker(server):
    """The client with the token of an ingestion bot."""
    return client(server.url, server.bot("worker-bot", "worker"))


@pytest.fixture
def bystander(server):
    """The client with the token of a user who is no admin."""
    return client(server.url, server.user("bystander"))


@pytest.fixture
def folder():
    """Where workflow files and the client's own files go."""
    folder = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql_source():
    """A PostgreSQL to be read."""
    with sources.postgresql() as source:
        yield source


@pytest.fixture(scope="session")
def mariadb_source():
    """A MariaDB to be read."""
    with sources.mariadb() as source:
        yield source


def pytest_sessionfinish(session, exitstatus):
    """On CI a skipped test is a failed one."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
