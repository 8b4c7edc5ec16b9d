"""Child processes that end with their test, and that run without root's rights where they must."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30

# Database servers refuse to run as root.
UNPRIVILEGED_USER = "nobody"


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unprivileged_directory() -> Path:
    """A new folder in which the processes of `unprivileged` may write; the caller removes it."""
    directory = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        os.chown(directory, user.pw_uid, user.pw_gid)
    return directory


def unprivileged(command: list[str], stop_signal: str = "KILL") -> list[str]:
    """The command as an ordinary user, who gets `stop_signal` when this process dies, however it dies."""
    prefix = ["setpriv", "--pdeathsig", stop_signal]
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        prefix += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [*prefix, *command]


def find_program(name: str, *folders: str) -> str:
    """The path of a program that may stand outside of PATH; a missing one is a failure, never a skip."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *folders])
    found = shutil.which(name, path=path)
    assert found, f"{name} is not installed: `make test-tools` installs what the tests need"
    return found


def stop(process: subprocess.Popen, with_signal: int = signal.SIGTERM) -> None:
    """Ends a process in its own way, or by force after a while; it is gone afterwards."""
    if process.poll() is None:
        process.send_signal(with_signal)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def wait_until(is_ready, process: subprocess.Popen, log: Path) -> None:
    """Waits until a server answers; fails with its log if it ended or never does."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_ready():
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            raise AssertionError(f"{process.args[-1]} did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.1)
