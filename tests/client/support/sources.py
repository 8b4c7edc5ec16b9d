"""Databases that workflows read: each one really runs, and asks for a password of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support.mariadb import MariaDb
from support.postgresql import PostgreSql

TABLES = ("customers", "orders")


@dataclass(frozen=True)
class Source:
    """A database to be read, and how to reach it."""

    kind: str
    config: dict

    @property
    def password(self) -> str:
        """The password of its reader."""
        return self.config["authType"]["password"]


@contextmanager
def postgresql() -> Iterator[Source]:
    """A PostgreSQL with the tables of the shop."""
    password = "canary-of-the-postgresql"
    server = PostgreSql("reader", password, TABLES)
    address = {"hostPort": f"127.0.0.1:{server.port}", "database": server.database, "username": "reader"}
    try:
        yield Source("postgres", {"type": "Postgres", **address, "authType": {"password": password}})
    finally:
        server.close()


@contextmanager
def mariadb() -> Iterator[Source]:
    """A MariaDB with the tables of the shop."""
    password = "canary-of-the-mariadb"
    server = MariaDb("reader", password, TABLES)
    address = {"hostPort": f"127.0.0.1:{server.port}", "username": "reader"}
    try:
        yield Source("mysql", {"type": "Mysql", **address, "authType": {"password": password}})
    finally:
        server.close()
