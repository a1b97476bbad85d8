"""The store among real processes: killed at any moment, on failing and full disks, many at once."""

from __future__ import annotations

import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from nbflow.store.backup import backups
from nbflow.store.migrate import migrations
from nbflow.store.sqlite import BUSY_SECONDS, SqliteStore
from support.build import RUN, planned
from support.earlier import make_earlier
from support.projects import project
from support.stored import Kept, cells, dead, projected, rebuilt
from support.waiting import until

TESTS = Path(__file__).parents[1]
PROCESS = [sys.executable, "-m", "support.store_process"]

can_trace = pytest.mark.skipif(
    shutil.which("strace") is None
    or subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode != 0,
    reason="strace is not there, or may not trace",
)
"""System calls are made to fail, and processes killed in them, by strace."""

WRITES = "pwrite64,fdatasync,fsync,ftruncate"
WAIT_FOR_GO = "while not os.path.exists('go'):\n    time.sleep(0.01)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@contextmanager
def process(*arguments: object, wrap: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """One that uses a store; it is gone afterwards."""
    command = [*wrap, *PROCESS, *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as made:
        try:
            yield made
        finally:
            made.kill()


def say_go(made: subprocess.Popen[str]) -> None:
    assert made.stdin is not None
    made.stdin.write("go\n")
    made.stdin.flush()


def next_line(made: subprocess.Popen[str]) -> str:
    assert made.stdout is not None
    line = made.stdout.readline()
    assert line, made.stderr.read() if made.stderr else ""
    return line.strip()


def ended(made: subprocess.Popen[str]) -> list[str]:
    """What one that ends by itself still says."""
    out, error = made.communicate(timeout=120)
    assert made.returncode == 0, error or out
    return out.splitlines()


def all_at_once(*commands: tuple[object, ...]) -> list[list[str]]:
    """What processes say that begin together."""
    with ExitStack() as stack:
        made = [stack.enter_context(process(*command)) for command in commands]
        for one in made:
            assert next_line(one) == "ready"
        for one in made:
            say_go(one)
        return [ended(one) for one in made]


def struck(fault: str, path: Path, *command: object, calls: str = WRITES) -> tuple[int, list[str]]:
    """How a process ends (below 0: by that signal) and what it says when its calls on a store's files meet a fault.

    `fault` is what strace injects, such as `signal=KILL:when=3`: into the third of the calls.
    """
    files = [part for suffix in ("", "-wal", "-journal") for part in ("-P", f"{path}{suffix}")]
    wrap = ("strace", "-f", "-o", "/dev/null", *files, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}")
    with process(*command, wrap=wrap) as made:
        out, error = made.communicate(timeout=120)
    assert "Traceback" not in error, error
    return made.returncode, out.splitlines()


def said(lines: list[str], word: str) -> list[int]:
    return [int(line.split()[1]) for line in lines if line.startswith(f"{word} ")]


def check(path: Path, acknowledged: int, run: str = "killed") -> None:
    """Whatever was acknowledged is there, events and projections agree, and somebody else can go on."""
    with closing(SqliteStore(path)) as store:
        row = store.run(run)
        if row is None:
            assert acknowledged == 0
            return
        history = list(store.events(run))
        assert [stamped.seq for stamped in history] == list(range(1, row.seq + 1))
        assert row.seq >= acknowledged
        assert projected(store, run) == rebuilt(store, run)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with closing(SqliteStore(path)) as store:
        from nbflow.core.state import fold

        state = fold(history)
        store.append(*cells(state, 1), store.claim(run, "next", dead))
        assert projected(store, run) == rebuilt(store, run)


class TestKilled:
    @pytest.mark.parametrize("seed", range(6))
    def test_at_a_random_moment(self, path: Path, seed: int) -> None:
        chance = random.Random(seed)
        with process("append", path, "killed", 0) as made:
            for _ in range(chance.randrange(1, 60)):
                last = said([next_line(made)], "kept")
            time.sleep(chance.random() * 0.003)  # the fault's own moment, not a wait for anything
            made.kill()
            out, _ = made.communicate()
        check(path, max([*last, *said(out.splitlines(), "kept")], default=0))

    @can_trace
    @pytest.mark.parametrize("number", [*range(1, 12, 2), *range(12, 60, 6)])
    def test_in_each_kind_of_write_of_an_append(self, path: Path, number: int) -> None:
        SqliteStore(path).close()
        code, lines = struck(f"signal=KILL:when={number}", path, "append", path, "killed", 40)
        assert code == -signal.SIGKILL
        check(path, max(said(lines, "kept") + said(lines, "made"), default=0))

    @can_trace
    @pytest.mark.parametrize("number", [1, 6, 18, 28, 33, 34, 35, 36, 40])
    def test_while_the_store_is_made(self, path: Path, number: int) -> None:
        """There is no store, or there is a whole one."""
        calls = "pwrite64,fdatasync,link,linkat,unlink,fsync"
        wrap = ("strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}")
        with process(
            "append", path, "killed", 1, wrap=(*wrap, "-e", f"inject={calls}:signal=KILL:when={number * 3}")
        ) as made:
            out, _ = made.communicate(timeout=60)
        if path.exists():
            check(path, max(said(out.splitlines(), "kept") + said(out.splitlines(), "made"), default=0))
        else:
            assert out == ""
            with closing(SqliteStore(path)) as store:
                assert store.runs() == []

    @can_trace
    @pytest.mark.parametrize("number", [1, 4, 20, 60, 120, 200, 260, 320])
    def test_while_it_is_upgraded(self, path: Path, number: int) -> None:
        """The old schema or the new one, never something between."""
        with closing(SqliteStore(path)) as store:
            run = Kept(store, planned("a"))
            store.append(*cells(run.state, 500, "x" * 50), run.fence)
        code, lines = struck(f"signal=KILL:when={number}", path, "upgrade", path)
        assert (code, lines) in [(-signal.SIGKILL, []), (0, ["upgraded"]), (-signal.SIGKILL, ["upgraded"])]
        with closing(sqlite3.connect(path)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            changed = connection.execute("SELECT count(*) FROM events WHERE body LIKE '%yyy%'").fetchone()[0]
            whole = connection.execute("PRAGMA integrity_check").fetchone()
        newest = migrations()[-1].number
        assert (version, "words" in tables, changed) in [(newest, False, 0), (newest + 1, True, 500)]
        assert whole == ("ok",)
        assert version == newest + 1 or "upgraded" not in lines
        if version == newest:
            with closing(SqliteStore(path)) as store:
                assert projected(store, RUN) == rebuilt(store, RUN)


class TestUpgraded:
    """A store of an earlier schema is opened: it is backed up, then upgraded."""

    def check(self, path: Path, kept: dict[str, Any]) -> list[int]:
        """The store is whole, and so is every backup; the versions of all."""
        found = []
        for one in (path, *backups(path)):
            with closing(sqlite3.connect(one)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                found.append(connection.execute("PRAGMA user_version").fetchone()[0])
                assert connection.execute("SELECT count(*) FROM events").fetchone()[0] > 600
        with closing(SqliteStore(path)) as store:
            assert projected(store, RUN) == rebuilt(store, RUN) == kept
        return found

    @can_trace
    @pytest.mark.parametrize("number", [1, 13, 40, *range(62, 68), *range(71, 75), 80, 88, 89, 98])
    def test_killed_on_the_way(self, path: Path, number: int) -> None:
        kept = make_earlier(path, events=600)
        calls = "pwrite64,fdatasync,fsync,rename,unlink,ftruncate"
        strace = ("strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}")
        with process("open_old", path, wrap=(*strace, "-e", f"inject={calls}:signal=KILL:when={number}")) as made:
            say_go(made)
            made.communicate(timeout=120)
        first, *others = self.check(path, kept)
        assert first in (1, len(migrations()))
        assert set(others) <= {1}
        assert others or first == 1, "it was upgraded without a backup"
        assert len(backups(path)) == 1

    def test_by_four_at_once(self, path: Path) -> None:
        kept = make_earlier(path, events=600)
        assert all_at_once(*[("open_old", path)] * 4) == [["opened"]] * 4
        assert self.check(path, kept) == [len(migrations()), 1]
        assert len(list(path.parent.iterdir())) == 2


@can_trace
class TestFailingDisk:
    @pytest.mark.parametrize(
        ("calls", "number"), [("fdatasync", 2), ("fdatasync", 9), ("pwrite64", 5), ("pwrite64", 40)]
    )
    def test_an_error_stops_it_and_nothing_is_said_to_be_kept(self, path: Path, number: int, calls: str) -> None:
        SqliteStore(path).close()
        code, lines = struck(f"error=EIO:when={number}+", path, "append", path, "killed", 40, calls=calls)
        assert code == 6
        assert re.match(rf"error 6 {re.escape(str(path))}: the store cannot be used: disk I/O error \|", lines[-1])
        check(path, max(said(lines, "kept") + said(lines, "made"), default=0))

    def test_one_sync_for_one_append(self, path: Path, tmp_path: Path) -> None:
        syncs = []
        for batches in (10, 30):
            log = tmp_path / "log"
            store = tmp_path / f"{batches}.db"
            wrap = ("strace", "-f", "-o", str(log), "-e", "trace=fdatasync,fsync", "-P", f"{store}-wal")
            with process("grow", store, batches, 5, wrap=wrap) as made:
                say_go(made)
                ended(made)
            syncs.append(log.read_text().count("sync("))
        assert syncs[1] - syncs[0] == 20


class TestFullDisk:
    @pytest.fixture
    def small(self, tmp_path: Path) -> tuple[str, ...]:
        """A command that runs another one in a name space where `tmp_path/disk` is a disk of 800 KB, and 30 files."""
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = f'mount -t tmpfs -o size=800k,nr_inodes=30,mode=700 tmpfs "{disk}" && exec "$@"'
        wrap = ("unshare", "-m", "sh", "-c", mount, "sh")
        if shutil.which("unshare") is None:
            pytest.skip("unshare is not there")
        tried = subprocess.run([*wrap, "true"], capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            pytest.skip(f"a small disk cannot be mounted: {tried.stderr.strip()}")
        return wrap

    def test_it_is_named_and_work_goes_on_once_there_is_room(self, tmp_path: Path, small: tuple[str, ...]) -> None:
        with process("fill", tmp_path / "disk", wrap=small) as made:
            full, then = ended(made)
        full_disk = rf"the disk of {re.escape(str(tmp_path / 'disk'))} is full \| make room .*"
        assert re.fullmatch(rf"full 6 \S+/state\.db: the store cannot be used: {full_disk}", full)
        assert then == "went on"

    @pytest.mark.parametrize("how", ["bytes", "files"])
    @pytest.mark.parametrize("is_dead", [False, True])
    def test_it_is_read_though_nothing_fits_any_more(
        self, tmp_path: Path, small: tuple[str, ...], how: str, is_dead: bool
    ) -> None:
        """Also what is in the log alone, without its index. Whoever writes is told, and does so once there is room, as
        there is where the log is taken in.
        """
        with process("read_full", tmp_path / "disk", how, int(is_dead), wrap=small) as made:
            seen, *refused, then = ended(made)
        assert (seen, then) == ("read", "wrote")
        assert len(refused) == (0 if is_dead else 1)
        assert all(f"the disk of {tmp_path / 'disk'} is full" in text for text in refused)

    def test_many_read_at_once_though_nothing_fits_any_more(self, tmp_path: Path, small: tuple[str, ...]) -> None:
        """Each of them alone, so they take turns."""
        with process("crowd", tmp_path / "disk", wrap=small) as made:
            assert ended(made) == ["ended 0 0 0 0"]

    def test_no_room_for_a_new_store(self, tmp_path: Path, small: tuple[str, ...]) -> None:
        with process("fill_first", tmp_path / "disk", wrap=small) as made:
            full, left, then = ended(made)
        assert re.fullmatch(r"full 6 \S+/state\.db: the store cannot be used: .* \| .*room.*", full)
        assert left == "ballast"
        assert then == "made"


def test_a_read_only_mount_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "disk" / "state.db"
    with closing(SqliteStore(path)) as store:
        run = Kept(store, planned("a"))
        run.send("start")
    mount = f'mount --bind "{path.parent}" "{path.parent}" && mount -o remount,ro,bind "{path.parent}" && exec "$@"'
    wrap = ("unshare", "-m", "sh", "-c", mount, "sh")
    if shutil.which("unshare") is None or subprocess.run([*wrap, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    before = path.read_bytes()
    with process("see", path, wrap=wrap) as made:
        out, error = made.communicate(timeout=60)
    assert made.returncode == 6, error
    seen, refused = out.splitlines()
    assert seen == f"run {RUN} {len(run.history)}"
    assert "the store cannot be written" in refused
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


class TestMany:
    def test_ten_make_one_store(self, path: Path) -> None:
        path = path.parent / "outputs" / ".nbflow" / "state.db"
        assert all_at_once(*(("make", path, f"run-{number}") for number in range(10))) == [["made"]] * 10
        with closing(SqliteStore(path)) as store:
            assert sorted(row.run for row in store.runs()) == [f"run-{number}" for number in range(10)]
        assert [entry.name for entry in path.parent.iterdir()] == ["state.db"]

    def test_ten_write_fifty_times_and_none_is_locked_out(self, path: Path) -> None:
        results = all_at_once(*(("many", path, f"run-{number}") for number in range(10)))
        with closing(SqliteStore(path)) as store:
            for number, lines in enumerate(results):
                run = f"run-{number}"
                assert len(said(lines, "kept")) == 50
                assert [one.seq for one in store.events(run)] == list(range(1, said(lines, "kept")[-1] + 1))
                assert projected(store, run) == rebuilt(store, run)

    def test_of_eight_that_claim_a_run_one_gets_it(self, path: Path) -> None:
        with closing(SqliteStore(path)) as store:
            run = Kept(store, planned("a"))
            store.release(RUN, run.fence)
            results = all_at_once(*(("claim", path, f"owner-{number}") for number in range(8)))
            won = [number for number, (line,) in enumerate(results) if line.startswith("won")]
            row = store.run(RUN)
            assert row is not None
            assert [row.owner] == [f"owner-{number}" for number in won]
            assert all(f"owned by {row.owner}" in line for (line,) in results if not line.startswith("won"))

    def test_two_takers_get_each_request_once(self, path: Path) -> None:
        from nbflow.core.messages import Cancel, StopMode

        with closing(SqliteStore(path)) as store, ExitStack() as stack:
            Kept(store, planned("a"))
            takers = [stack.enter_context(process("take", path)) for _ in range(2)]
            for one in takers:
                assert next_line(one) == "ready"
                say_go(one)
            for number in range(60):
                store.post(RUN, Cancel(mode=StopMode.CANCEL, by=str(number)))
            taken: list[list[str]] = []
            while takers:  # who takes the word to stop ends; what it had with it was said before
                store.post(RUN, Cancel(mode=StopMode.CANCEL, by="stop"))
                gone = wait_for_one(takers)
                takers.remove(gone)
                taken.append(ended(gone))
        assert sorted(int(one) for lines in taken for one in lines) == list(range(60))
        assert all(lines == sorted(lines, key=int) for lines in taken)


def wait_for_one(processes: list[subprocess.Popen[str]], seconds: float = 60.0) -> subprocess.Popen[str]:
    """The first of some processes that ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for one in processes:
            if one.poll() is not None:
                return one
        time.sleep(0.01)
    raise AssertionError("none has ended")


class TestLocked:
    @pytest.fixture
    def holder(self, path: Path) -> Iterator[subprocess.Popen[str]]:
        """A process that keeps others from writing."""
        with closing(SqliteStore(path)) as store:
            Kept(store, planned("a"))
        with process("hold", path) as made:
            assert next_line(made) == "ready"
            yield made

    def test_it_is_waited_for(self, path: Path, holder: subprocess.Popen[str]) -> None:
        with process("post", path, 60) as made:
            assert next_line(made) == "waiting"
            time.sleep(1.2)  # longer than one slice of patience
            assert made.poll() is None
            say_go(holder)
            assert ended(made) == ["posted"]

    def test_not_for_ever(self, path: Path, holder: subprocess.Popen[str]) -> None:
        with process("post", path, 0.6) as made:
            out, _ = made.communicate(timeout=60)
        assert made.returncode == 6
        assert "database is locked | another process has been writing to it for 0.6 s" in out
        say_go(holder)
        holder.wait(timeout=60)
        with closing(SqliteStore(path)) as store:
            assert store.take(RUN) == []

    def test_one_that_is_killed_is_not_waited_for(self, path: Path, holder: subprocess.Popen[str]) -> None:
        with process("post", path, 60) as made:
            assert next_line(made) == "waiting"
            holder.kill()
            assert ended(made) == ["posted"]

    def test_an_interrupt_is_heard_while_it_waits(self, path: Path, holder: subprocess.Popen[str]) -> None:
        with process("post", path, 60) as made:
            assert next_line(made) == "waiting"
            began = time.monotonic()
            made.send_signal(signal.SIGINT)
            _, error = made.communicate(timeout=50)
        assert error.rstrip().endswith("KeyboardInterrupt")
        assert time.monotonic() - began < 40  # its patience would be 60 s
        assert holder.poll() is None


HELD = """
[nbflow]
state = "state.db"

[pipelines.p.tasks]
a = { notebook = "a.ipynb" }
b = { notebook = "b.ipynb", needs = ["a"] }
"""


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [50, 75])
def test_a_run_whose_store_is_locked_for_a_minute(tmp_path: Path, seconds: int) -> None:
    """Shorter, it is waited for; longer, the run stops and says why. In both cases nothing that it knew is lost."""
    with project(tmp_path / "project", HELD) as place:
        place.notebook("a", "import os, pathlib, time", "pathlib.Path('began').touch()", WAIT_FOR_GO)
        place.notebook("b", "print(1)")
        with place.start("run", "p") as run:
            until((place.root / "began").exists, 60)
            with process("hold", place.root / "state.db") as holder:
                assert next_line(holder) == "ready"
                locked = time.monotonic()
                (place.root / "go").touch()
                until(lambda: time.monotonic() - locked >= seconds, seconds + 10)
                say_go(holder)
                holder.wait(timeout=60)
            out, error = run.communicate(timeout=60)
        if seconds < BUSY_SECONDS:
            assert run.returncode == 0, out + error
        else:
            assert run.returncode == 6, out + error
            assert "database is locked" in error
            assert "another process has been writing to it for 60 s; look for it with: nbflow doctor" in error
            place.until_nobody_lives()
            assert place.runs()[0]["state"] == "interrupted"
            assert place.call("resume", "@last").code == 0
        place.check_from_within(place.root / "state.db")


def test_a_store_of_a_newer_nbflow_is_left_alone(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        Kept(store, planned("a"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
    before = path.read_bytes()
    for command in (("see", path), ("append", path, "late", 1)):
        with process(*command) as made:
            out, _ = made.communicate(timeout=60)
        assert made.returncode == 6
        assert "this nbflow knows up to" in out
        assert "upgrade nbflow" in out
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_log_stays_small_while_others_read(path: Path) -> None:
    """Some 20 MB go through it (100,000 events were tried too: 4.4 MB at most)."""
    with process("grow", path, 800, 40) as writer:
        assert next_line(writer) == "ready"
        with process("read", path) as one, process("read", path) as two:
            assert next_line(one) == next_line(two) == "ready"
            say_go(writer)
            (largest,) = said(ended(writer), "largest")
            assert one.poll() is two.poll() is None
    assert largest < 8 * 1024 * 1024
