"""The fixtures of all client tests."""

import os

import pytest

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


def pytest_sessionfinish(session, exitstatus):
    """On CI a skipped test is a failed one."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
