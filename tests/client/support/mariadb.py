"""A real MariaDB server with a little shop in it."""

import shutil
import subprocess

import pymysql

from support.processes import find_program, free_port, stop, unprivileged, unprivileged_directory, wait_until

class MariaDb:
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
        data = self.directory / "data"
        install = [find_program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal", "--skip-name-resolve"]
        subprocess.run(unprivileged(install), check=True, capture_output=True, cwd=self.directory)
        options = [f"--datadir={data}", f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
        options += [f"--socket={self.directory}/socket", f"--pid-file={self.directory}/pid", "--innodb-fast-shutdown=2"]
        self.log = self.directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                unprivileged([find_program("mariadbd"), "--no-defaults", *options], "TERM"),
                cwd=self.directory,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, self.process, self.log)

    def _connect(self):
        # Without a name to resolve, root comes in through the socket only.
        return pymysql.connect(unix_socket=f"{self.directory}/socket", user="root", autocommit=True)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except pymysql.OperationalError:
            return False
        return True

    def _fill(self, user: str, password: str, tables: tuple[str, ...]) -> None:
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {self.database}")
            for table in tables:
                cursor.execute(f"CREATE TABLE {self.database}.{table} (id integer PRIMARY KEY, name text NOT NULL)")
            cursor.execute(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY %s", (password,))
            cursor.execute(f"GRANT SELECT, SHOW VIEW ON {self.database}.* TO {user}@'127.0.0.1'")

    def close(self) -> None:
        """Stops the server and removes its data."""
        if hasattr(self, "process"):
            stop(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)
