"""A real PostgreSQL server with a little shop in it."""

import glob
import shutil
import signal
import subprocess

import psycopg2

from support.processes import find_program, free_port, stop, unprivileged, unprivileged_directory, wait_until

class PostgreSql:
    """A server on loopback that asks everyone for a password; its data is gone when it is closed."""

    database = "shop"

    def __init__(self, user: str, password: str, tables: tuple[str, ...]) -> None:
        self.port = free_port()
        self.directory = unprivileged_directory()
        try:
            self._start()
            self._fill(user, password, tables)
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        # Debian keeps the server's programs out of PATH.
        folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
        data = self.directory / "data"
        password_file = self.directory / "password"
        password_file.write_text("postgres")
        password_file.chmod(0o644)
        initdb = [find_program("initdb", *folders), "--pgdata", data, "--username", "postgres", "--auth", "scram-sha-256"]
        initdb += ["--pwfile", password_file, "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        subprocess.run(unprivileged(initdb), check=True, capture_output=True, cwd=self.directory)
        self.log = self.directory / "log"
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", self.directory, "-c", "fsync=off"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                unprivileged([find_program("postgres", *folders), "-D", data, *options], "INT"),
                cwd=self.directory,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, self.process, self.log)

    def _connect(self, database: str):
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user="postgres", password="postgres", dbname=database
        )
        connection.autocommit = True
        return connection

    def _answers(self) -> bool:
        try:
            self._connect("postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def _fill(self, user: str, password: str, tables: tuple[str, ...]) -> None:
        with self._connect("postgres").cursor() as cursor:
            cursor.execute(f"CREATE ROLE {user} LOGIN PASSWORD %s", (password,))
            cursor.execute(f"CREATE DATABASE {self.database}")
        with self._connect(self.database).cursor() as cursor:
            for table in tables:
                cursor.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY, name text NOT NULL)")
                cursor.execute(f"GRANT SELECT ON {table} TO {user}")

    def give_to(self, user: str) -> None:
        """Lets this user make tables."""
        with self._connect(self.database).cursor() as cursor:
            cursor.execute(f"GRANT CREATE ON SCHEMA public TO {user}")

    def close(self) -> None:
        """Stops the server and removes its data."""
        if hasattr(self, "process"):
            stop(self.process, signal.SIGINT)  # "fast": does not wait for clients
        shutil.rmtree(self.directory, ignore_errors=True)
