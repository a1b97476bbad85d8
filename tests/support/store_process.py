"""A process that uses a store, for tests that kill it, starve it or run many of it.

`python -m support.store_process WHAT ...`, from the folder of the tests.
It says on its output what has happened, a line each, as soon as the store has answered.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

from nbflow.core import messages as msg
from nbflow.errors import ConflictError, NbflowError
from nbflow.store.migrate import Migration, migrate, migrations
from nbflow.store.sqlite import SqliteStore
from support.build import RUN, planned
from support.stored import Kept, alive, cells, projected, rebuilt

FILL = len(migrations()) + 1
STEPS = (
    *migrations(),
    Migration(
        FILL,
        f"{FILL:04}_fill.sql",
        "CREATE TABLE words (word TEXT);"
        "INSERT INTO words SELECT hex(randomblob(500)) FROM events;"
        "UPDATE events SET body = replace(body, 'x', 'y');"
        f"DELETE FROM inbox; PRAGMA user_version = {FILL};",
    ),
)


def say(*words: object) -> None:
    print(*words, flush=True)


def go() -> None:
    """Wait until the test says so, so that many begin at once."""
    say("ready")
    sys.stdin.readline()


def append(path: str, run: str, batches: str) -> None:
    """Make a run and append to it, so many times or until killed; say the last event after each."""
    with closing(SqliteStore(Path(path))) as store:
        kept = Kept(store, planned("a"), planned("b", "a"), run=run, owner="writer")
        say("made", kept.state.seq)
        for number in range(int(batches)) if int(batches) else count():
            kept.send("resume" if kept.state.ended_at else "tick", "start")
            attempt = max(kept.state.tasks["a"].attempt, 1)
            kept.send(f"started a/{attempt}", f"cell a/{attempt} 1", f"celldone a/{attempt} 1 ok")
            if number % 5 == 4:
                kept.send(f"failed a/{attempt}")
            say("kept", kept.state.seq)


def make(path: str, run: str) -> None:
    """Open or make the store together with others, and make a run."""
    go()
    with closing(SqliteStore(Path(path))) as store:
        Kept(store, planned("a"), run=run)
    say("made")


def many(path: str, run: str) -> None:
    """Append fifty times together with others."""
    go()
    append(path, run, "50")


def claim(path: str, owner: str) -> None:
    """Claim a run together with others."""
    with closing(SqliteStore(Path(path))) as store:
        go()
        try:
            say("won", store.claim(RUN, owner, alive))
        except ConflictError as error:
            say("lost", error)


def take(path: str) -> None:
    """Take requests until the one to stop comes."""
    with closing(SqliteStore(Path(path))) as store:
        go()
        while True:
            for request in store.take(RUN):
                if request.by == "stop":
                    return
                say(request.by)


def hold(path: str) -> None:
    """Keep others from writing until the test says so."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        go()


def post(path: str, seconds: str) -> None:
    """Write one thing, waiting for others as long as is said."""
    with closing(SqliteStore(Path(path), busy_seconds=float(seconds))) as store:
        say("waiting")
        store.post(RUN, msg.Cancel(mode=msg.StopMode.CANCEL, by="late"))
        say("posted")


def read(path: str) -> None:
    """List runs and follow the events of one, without a pause, until killed."""
    seq = 0
    with closing(SqliteStore(Path(path))) as store:
        say("ready")
        while True:
            assert store.runs()
            seq = max([seq, *(stamped.seq for stamped in store.events(RUN, seq))])


def grow(path: str, batches: str, size: str) -> None:
    """Append many events; say how large the write-ahead log has been at most."""
    largest = 0
    with closing(SqliteStore(Path(path))) as store:
        kept = Kept(store, planned("a"))
        go()
        for _ in range(int(batches)):
            store.append(*cells(kept.state, int(size), "x" * 100), kept.fence)
            largest = max(largest, Path(f"{path}-wal").stat().st_size)
    say("largest", largest)


def upgrade(path: str) -> None:
    """Bring the store to a schema that the tests made up."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, 1.0, STEPS)
    say("upgraded")


def open_old(path: str) -> None:
    """Open a store of an earlier schema together with others: it is backed up and upgraded."""
    go()
    with closing(SqliteStore(Path(path))) as store:
        assert projected(store, RUN) == rebuilt(store, RUN)
    say("opened")


def see(path: str) -> None:
    """List the runs, and try to write."""
    with closing(SqliteStore(Path(path), create=False)) as store:
        for row in store.runs():
            say("run", row.run, len(list(store.events(row.run))))
        store.claim(RUN, "me", lambda _: False)


def fill(folder: str) -> None:
    """Append until the disk is full; then make room and go on with the same store."""
    path, ballast = Path(folder, "state.db"), Path(folder, "ballast")
    ballast.write_bytes(b"x" * 200_000)
    with closing(SqliteStore(path)) as store:
        kept = Kept(store, planned("a"), planned("b", "a"))
        kept.send("start")
        while True:
            batch = cells(kept.state, 5, "x" * 2000)
            try:
                store.append(*batch, kept.fence)
            except NbflowError as error:
                say("full", error.exit_code, error.message, "|", error.hint)
                break
        row = store.run(RUN)
        assert row is not None
        assert row.seq == batch[0][0].seq - 1
        assert projected(store, RUN) == rebuilt(store, RUN)
        ballast.unlink()
        store.append(*batch, kept.fence)
        assert projected(store, RUN) == rebuilt(store, RUN)
    with closing(SqliteStore(path)) as store:
        assert [stamped.seq for stamped in store.events(RUN)] == list(range(1, kept.state.seq + 1))
    say("went on")


def read_full(folder: str, how: str, is_dead: str) -> None:
    """Read a store, and write to it as soon as that is possible, where not a byte, or not one more file, fits on the
    disk.

    With `is_dead`, it is as a writer that was killed leaves it: all is in the log alone, and the index of that is gone.
    """
    path, log = Path(folder, "state.db"), Path(folder, "state.db-wal")
    with closing(SqliteStore(path)) as store:
        run = Kept(store, planned("a"))
        run.send("start")
        left = path.read_bytes(), log.read_bytes()
    if int(is_dead):
        path.write_bytes(left[0])
        log.write_bytes(left[1])
    ballast = occupy(Path(folder), how)
    with closing(SqliteStore(path)) as store:
        assert list(store.events(RUN)) == run.history
        assert projected(store, RUN) == rebuilt(store, RUN)
        say("read")
        batch = cells(run.state, 1)
        try:
            store.append(*batch, run.fence)
        except NbflowError as error:
            say("full", error.exit_code, error.message, "|", error.hint)
            assert list(store.events(RUN)) == run.history
            for one in ballast:
                one.unlink()
            store.append(*batch, run.fence)
        assert projected(store, RUN) == rebuilt(store, RUN)
    say("wrote")


def crowd(folder: str) -> None:
    """Have four processes read a store at once, again and again, where not a byte fits on the disk."""
    path = Path(folder, "state.db")
    with closing(SqliteStore(path)) as store:
        Kept(store, planned("a")).send("start")
    occupy(Path(folder), "bytes")
    made = [subprocess.Popen([sys.executable, "-m", "support.store_process", "look", path]) for _ in range(4)]
    say("ended", *[one.wait() for one in made])


def look(path: str) -> None:
    """Read the events of a run often."""
    for _ in range(5):
        with closing(SqliteStore(Path(path), create=False)) as store:
            for _ in range(5):
                assert len(list(store.events(RUN))) == 4


def occupy(folder: Path, how: str) -> list[Path]:
    """Fill a disk to its last byte, or with so many files that no other one can be made; what it is filled with."""
    made = []
    try:
        while True:
            made.append(folder / f"ballast-{len(made)}")
            with made[-1].open("wb", buffering=0) as file:
                while how == "bytes":
                    file.write(b"x" * 4096)
    except OSError:
        return [one for one in made if one.exists()]


def fill_first(folder: str) -> None:
    """Make a store where there is no room for one."""
    ballast = Path(folder, "ballast")
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    try:
        SqliteStore(Path(folder, "state.db"))
    except NbflowError as error:
        say("full", error.exit_code, error.message, "|", error.hint)
    say(*(entry.name for entry in Path(folder).iterdir()))
    ballast.unlink()
    SqliteStore(Path(folder, "state.db")).close()
    say("made")


WHAT: dict[str, Callable[..., None]] = {
    one.__name__: one
    for one in (
        append,
        make,
        many,
        claim,
        take,
        hold,
        post,
        read,
        grow,
        upgrade,
        open_old,
        see,
        fill,
        read_full,
        crowd,
        look,
        fill_first,
    )
}

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background commands begin deaf to it
    try:
        WHAT[sys.argv[1]](*sys.argv[2:])
    except NbflowError as error:
        say("error", error.exit_code, error.message, "|", error.hint)
        sys.exit(error.exit_code)
