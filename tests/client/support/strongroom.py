"""The real server process, in a folder of its own."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import requests

from support.processes import stop

REPOSITORY = Path(__file__).resolve().parents[3]

# Each secret of these tests contains this word, and nothing else does.
CANARY = "canary"

MOVE_TIMEOUT_S = 60


def binary() -> Path:
    """The program that `make test` built, or another one to be tested."""
    path = Path(os.environ.get("STRONGROOM_BINARY", REPOSITORY / "target" / "debug" / "strongroom"))
    assert path.exists(), f"{path} is missing: run `cargo build` first, as `make test` does"
    return path


class Strongroom:
    """A running server with an empty data directory, and its command line."""

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        # Nothing of this process's environment may decide what the server does.
        self.environment = {"STRONGROOM_DATA_DIR": str(self.data), "LOG_LEVEL": "trace", **(settings or {})}
        self._start()

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", binary(), "serve", "--port", "0"],
                cwd=self.directory,
                env={**self.environment, "PATH": os.environ["PATH"]},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        first_line = self.process.stdout.readline()
        assert first_line, f"the server did not start:\n{self.log.read_text(errors='replace')}"
        # "Strongroom 0.1.0 listens on http://127.0.0.1:1234"
        self.url = first_line.split()[-1]
        # The rest is read on, or the server would wait for a reader.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def restart(self, settings: dict[str, str] | None = None) -> None:
        """Stops the server and starts it again on the same data, on another port; with these settings from then on."""
        stop(self.process)
        self.environment |= settings or {}
        self._start()

    def configure(self, configuration: dict) -> None:
        """Writes the configuration file, which the next start reads."""
        file = self.directory / "strongroom.yaml"
        file.write_text(json.dumps(configuration, indent=2))  # each JSON document is a YAML document
        self.environment["STRONGROOM_CONFIG"] = str(file)

    def wait_for_move(self, token: str) -> dict:
        """Waits until every secret that can be moved to the configured store lies there; gives what the move came to."""
        deadline = time.monotonic() + MOVE_TIMEOUT_S
        while (move := self.get("/secretsManager/migration", token).json()).get("status") != "done":
            assert time.monotonic() < deadline, f"{move}\n{self.log.read_text(errors='replace')[-2000:]}"
            time.sleep(0.1)
        return move

    def run(self, *arguments: str) -> str:
        """Runs a command of `strongroom` beside the server; gives what it printed."""
        done = subprocess.run(
            [binary(), *arguments], cwd=self.directory, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout.strip()

    def bot(self, name: str, role: str) -> str:
        """A new bot of this role; gives a token for it."""
        self.run("bot", "create", name, "--role", role)
        return self.run("token", "create", name)

    def user(self, name: str) -> str:
        """A new user who is no admin; gives a token for it."""
        self.run("user", "create", name, "--email", f"{name}@example.com")
        return self.run("token", "create", name)

    def get(self, path: str, token: str) -> requests.Response:
        """A plain GET, for what the client cannot show; `path` begins behind `/api/v1`."""
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{self.url}/api/v1{path}", headers=headers, timeout=30)

    def files_with(self, text: str) -> list[str]:
        """The files that contain this text: database, write-ahead log, log, everything the server wrote."""
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        assert self.data / "strongroom.db" in files or "STRONGROOM_DATABASE_URL" in self.environment
        return [str(path.relative_to(self.directory)) for path in files if text.encode() in path.read_bytes()]

    def close(self) -> None:
        """Stops the server and removes what it wrote, after a look whether any of it shows a secret."""
        try:
            leaks = self.files_with(CANARY)
            stop(self.process, signal.SIGTERM)
            leaks += self.files_with(CANARY)
            log = self.log.read_text(errors="replace")
        finally:
            self.process.kill()
            shutil.rmtree(self.directory)
        assert not leaks, f"secrets in clear text in {leaks}"
        assert "panicked" not in log, log
        assert self.process.returncode == 0, f"the server ended with {self.process.returncode}:\n{log[-2000:]}"
