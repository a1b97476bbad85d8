"""What is left of an attempt when something dies under it: the kernel, its worker, its owner, the disk."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from nbflow.core import codec
from nbflow.core.attempt import ErrorKind, Outcome, Verdict, WorkOrder
from nbflow.core.messages import Started
from nbflow.core.spec import Limits
from nbflow.worker import journal as jr
from nbflow.worker.protocol import BEAT
from support.attempts import Bench, Watched, archived, bench, notebook, order, processes, states, text
from support.waiting import allowed, until
from support.zygotes import is_gone

BEGUN = '"text":"begun'
SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(100)"


@pytest.fixture(scope="module")
def runs() -> Iterator[Bench]:
    with bench(grace=1.0) as made:
        yield made


def said(done: WorkOrder, what: str) -> bool:
    """Whether the journal of a running attempt has a text."""
    return what in Path(done.journal).read_text("utf-8")


def kernel_of(watched: Watched) -> psutil.Process:
    """The kernel of a running attempt."""
    started = watched.reports[0]
    assert isinstance(started, Started)
    assert started.pid is not None
    return psutil.Process(started.pid)


def submit_and_sleep(runs: Bench, folder: Path, source: str = SLEEP) -> Watched:
    """An attempt whose second cell has begun and will not end, and which has told of itself."""
    watched = runs.submit(order(folder, "print('first')", source, "print('never')"))
    until(lambda: watched.started.is_set() and said(watched.order, BEGUN))
    return watched


class TestKernel:
    def test_its_death_is_noticed_at_once_with_its_last_words(self, runs: Bench, tmp_path: Path) -> None:
        watched = submit_and_sleep(
            runs, tmp_path, f"import sys\nprint('help', file=sys.__stderr__, flush=True)\n{SLEEP}"
        )
        kernel_of(watched).kill()
        began = time.monotonic()
        outcome = watched.outcome()
        assert time.monotonic() - began < allowed(5)
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.KERNEL_DIED
        runs.assert_clean(watched.order)

    def test_it_dies_between_two_cells(self, runs: Bench, tmp_path: Path) -> None:
        dying = "import os, threading\nthreading.Timer(0.2, os._exit, [4]).start()"
        outcome, document = runs.run(order(tmp_path, dying, "import time; time.sleep(5)", "1"))
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.KERNEL_DIED
        assert states(document)[0] == "ok"
        assert states(document)[2] == "not_run"

    @pytest.mark.parametrize("ignored", ["SIGINT", "SIGINT, signal.SIGTERM"])
    def test_a_loop_that_cannot_be_interrupted(self, runs: Bench, tmp_path: Path, ignored: str) -> None:
        source = f"""
        import signal, time
        for number in [signal.{ignored}]:
            signal.signal(number, signal.SIG_IGN)
        print("begun", flush=True)
        while True:
            time.sleep(1)
        """
        limits = Limits(cell_timeout=1)
        outcome, document = runs.run(order(tmp_path, textwrap.dedent(source), "1", limits=limits))
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.TIMEOUT
        assert "its kernel was killed" in outcome.error.message
        assert states(document) == ["killed", "not_run"]
        assert text(document["cells"][0]) == "begun\n"

    def test_many_at_once(self, runs: Bench, tmp_path: Path) -> None:
        many = []
        for number in range(6):
            folder = tmp_path / str(number)
            folder.mkdir()
            many.append(runs.submit(order(folder, f"print({number})", task=f"task{number}")))
        for number, watched in enumerate(many):
            assert watched.outcome().verdict is Verdict.SUCCEEDED
            assert text(archived(watched.order)["cells"][0]) == f"{number}\n"
            assert not processes(watched.order)


class TestWorker:
    def test_it_is_killed_in_a_flood(self, runs: Bench, tmp_path: Path) -> None:
        """What had reached the file beside the journal is published, and its end is in the notebook."""
        watched = runs.submit(order(tmp_path, "while True: print('x' * 99)", "print('never')"))
        spool = Path(watched.order.journal).with_suffix(".spool") / "cell-1.stdout.txt.gz"
        until(lambda: spool.exists() and spool.stat().st_size > 100_000)
        worker = kernel_of(watched).parent()
        assert worker is not None
        worker.kill()
        outcome = watched.outcome()
        self.assert_lost(outcome, "the worker of clean died: signal 9, SIGKILL")
        document = archived(watched.order)
        assert states(document) == ["killed", "not_run"]
        assert [Path(file.path).name for file in outcome.files][2:] == ["clean.cell-1.stdout.txt.gz"]
        whole = gzip.decompress((Path(watched.order.outputs) / outcome.files[2].path).read_bytes()).decode()
        assert len(whole) > 1_000_000
        head, tail = text(document["cells"][0]).split("\n[truncated: ")
        assert whole.startswith(head)
        assert tail.endswith(f"in clean.cell-1.stdout.txt.gz]\n{whole[-500_000:]}")
        runs.assert_clean(watched.order)

    def test_it_is_killed(self, runs: Bench, tmp_path: Path) -> None:
        """Also what the notebook started, and what left the kernel's session, is ended; the notebook is made."""
        source = f"import subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)\n{SLEEP}"
        watched = submit_and_sleep(runs, tmp_path, source)
        assert len(processes(watched.order)) == 2
        worker = kernel_of(watched).parent()
        assert worker is not None
        worker.kill()
        outcome = watched.outcome()
        self.assert_lost(outcome, "the worker of clean died: signal 9, SIGKILL")
        document = archived(watched.order)
        assert states(document) == ["ok", "killed", "not_run"]
        assert text(document["cells"][1]) == "begun\n"
        assert document["metadata"]["nbflow"]["error"]["cell"] == 1
        assert [file.path for file in outcome.files] == ["sales/sales-1/clean.ipynb", "sales/sales-1/clean.html"]
        runs.assert_clean(watched.order)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it(self, runs: Bench, tmp_path: Path, number: signal.Signals) -> None:
        watched = submit_and_sleep(runs, tmp_path)
        worker = kernel_of(watched).parent()
        assert worker is not None
        worker.send_signal(number)
        self.assert_lost(watched.outcome(), "stopped from outside of nbflow")
        document = archived(watched.order)
        assert states(document) == ["ok", "failed", "not_run"]
        assert document["metadata"]["nbflow"]["error"]["kind"] == "lost"
        runs.assert_clean(watched.order)

    def test_the_executor_is_closed(self, tmp_path: Path) -> None:
        with bench(grace=1.0) as closing:
            watched = submit_and_sleep(closing, tmp_path)
            closing.executor.close()
            self.assert_lost(watched.outcome(), "the process that ran it could not go on")
            assert states(archived(watched.order)) == ["ok", "killed", "not_run"]
            closing.assert_clean(watched.order)

    @staticmethod
    def assert_lost(outcome: Outcome, words: str) -> None:
        assert outcome.verdict is Verdict.FAILED
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.LOST
        assert words in outcome.error.message


OWNER = """
import json, sys, threading
from nbflow.core import codec
from nbflow.core.attempt import WorkOrder
from nbflow.core.spec import Preload
from nbflow.executors.local import LocalExecutor
executor = LocalExecutor(grace=1.0)
if sys.argv[2:]:
    executor.prepare({"python3": Preload()}, sys.argv[2])
executor.open(lambda report: print(type(report).__name__, flush=True))
executor.submit(codec.load(WorkOrder, json.loads(sys.argv[1])))
threading.Event().wait()
"""


def workers_of(owner: int) -> list[psutil.Process]:
    """The worker server of an owner, and the worker that it has forked."""
    children = psutil.Process(owner).children(recursive=True)
    return [process for process in children if "nbflow.worker" in process.cmdline()]


class TestOwner:
    def start(self, done: WorkOrder, *, forked: bool = False, **variables: str) -> subprocess.Popen[bytes]:
        """Another process that owns the attempt, with these variables besides."""
        argv = [sys.executable, "-c", OWNER, json.dumps(codec.dump(done)), *([done.root] if forked else [])]
        owner = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env={**os.environ, **variables})
        until(lambda: Path(done.journal).exists() and said(done, BEGUN))
        return owner

    def test_it_is_killed_and_somebody_comes_after_it(self, runs: Bench, tmp_path: Path) -> None:
        done = order(tmp_path, "print('first')", SLEEP, "print('never')")
        owner = self.start(done)
        owner.kill()
        owner.wait()
        outcome = runs.executor.recover(done, "the engine is gone")
        TestWorker.assert_lost(outcome, "the process that had started this attempt is gone")
        assert states(archived(done))[2] == "not_run"
        runs.assert_clean(done)

    def test_everything_is_killed_at_once(self, runs: Bench, tmp_path: Path) -> None:
        done = order(tmp_path, "print('first')", SLEEP, "print('never')")
        owner = self.start(done)
        server, worker = workers_of(owner.pid)
        for process in (psutil.Process(owner.pid), server, worker):
            process.kill()
        owner.wait()
        outcome = runs.executor.recover(done, "the machine went down")
        TestWorker.assert_lost(outcome, "the machine went down")
        assert states(archived(done)) == ["ok", "killed", "not_run"]
        assert outcome.cells.failed == 1
        runs.assert_clean(done)

    @pytest.mark.skipif(sys.platform != "linux", reason="sessions are looked into on Linux only")
    @pytest.mark.parametrize("forked", [True, False])
    def test_everything_is_killed_and_what_bears_no_mark_is_ended(
        self, forked: bool, runs: Bench, tmp_path: Path
    ) -> None:
        """A child without the environment of its kernel, in the midst of which all that is nbflow's is killed."""
        temporary = tempfile.mkdtemp(prefix="nbt-", dir="/tmp")  # what is killed leaves files there
        bare = "import subprocess\nprint(subprocess.Popen(['env', '-i', 'sleep', '1006']).pid, flush=True)"
        done = order(tmp_path, bare, SLEEP)
        owner = self.start(done, forked=forked, TMPDIR=temporary)
        (pid,) = re.findall(r'"text":"(\d+)', Path(done.journal).read_text("utf-8"))
        child = psutil.Process(int(pid))
        try:
            started = next(one for one in jr.records(Path(done.journal)) if one["type"] == "kernel_started")
            assert started["forked"] is forked, started["reason"]
            ours = [psutil.Process(owner.pid), *psutil.Process(owner.pid).children(recursive=True)]
            ours.remove(child)
            for act in (psutil.Process.suspend, psutil.Process.kill):  # none gets to see the end of another
                for process in ours:
                    act(process)
            owner.wait()
            assert not is_gone(child.pid)
            outcome = runs.executor.recover(done, "the machine went down")
            TestWorker.assert_lost(outcome, "the machine went down")
            assert is_gone(child.pid)
            told = f"a process that the attempt had left behind was ended: sleep (pid {child.pid})"
            assert archived(done)["metadata"]["nbflow"]["warnings"] == [told]
            runs.assert_clean(done)
        finally:
            with suppress(psutil.NoSuchProcess):
                child.kill()
            shutil.rmtree(temporary)

    def test_an_attempt_that_never_began(self, runs: Bench, tmp_path: Path) -> None:
        done = order(tmp_path, "1")
        TestWorker.assert_lost(runs.executor.recover(done, "never begun"), "never begun")
        assert states(archived(done)) == ["not_run"]

    def test_an_attempt_that_had_ended_keeps_its_outcome(self, runs: Bench, tmp_path: Path) -> None:
        done = order(tmp_path, "print('done')")
        outcome, document = runs.run(done)
        assert runs.executor.recover(done, "the engine is gone") == outcome
        assert archived(done) == document


class TestDisk:
    def test_the_archive_is_removed_during_the_attempt(self, runs: Bench, tmp_path: Path) -> None:
        done = order(tmp_path, "import shutil; shutil.rmtree('../outputs')")
        kept = str(tmp_path / "journals/clean.1.jsonl")
        outcome = runs.submit(order(tmp_path, "import shutil; shutil.rmtree('../outputs')", journal=kept)).outcome()
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.ARCHIVE
        assert outcome.files == ()
        assert outcome.cells.ok == 1
        assert said(order(tmp_path, "1", journal=kept), '"type":"ended"')
        runs.assert_clean(done)

    def test_its_journal_is_removed_during_the_attempt(self, runs: Bench, tmp_path: Path) -> None:
        """With all that lies beside it: nothing is lost of what has no other place, and what is, is told."""
        flood = f"for _ in range(30_000): print('{'x' * 99}')"
        removes = "import shutil; shutil.rmtree('../journals'); print('removed')"
        kept = str(tmp_path / "journals/sales-1/clean.1.jsonl")
        outcome, document = runs.run(order(tmp_path, flood, removes, flood, "print('after')", journal=kept))
        assert outcome.verdict is Verdict.SUCCEEDED
        assert states(document) == ["ok"] * 4
        assert [text(cell) for cell in document["cells"][1::2]] == ["removed\n", "after\n"]
        lost = "clean.cell-1.stdout.txt.gz, which should lie beside the notebook, was lost in a crash or removed"
        assert document["metadata"]["nbflow"]["warnings"] == [lost.removeprefix("clean.")]
        assert [file.path.rpartition("/")[2] for file in outcome.files][2:] == ["clean.cell-3.stdout.txt.gz"]

    def test_a_journal_that_is_there_already_belongs_to_somebody_else(self, runs: Bench, tmp_path: Path) -> None:
        done = order(tmp_path, "print('ran')")
        Path(done.journal).parent.mkdir(parents=True)
        Path(done.journal).write_text("not mine")
        outcome = runs.submit(done).outcome()
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.ARCHIVE
        assert done.journal in outcome.error.message
        assert Path(done.journal).read_text() == "not mine"

    def test_it_is_full(self, runs: Bench, tmp_path: Path) -> None:
        """Of the archive: the journal keeps the work. Of the journal: the notebook has what came before."""
        small = tmp_path / "outputs"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", small], check=False)
        if mounted.returncode != 0:
            pytest.skip("a small disk needs the right to mount one")
        try:
            document = notebook("print('kept')", "import os\nprint(os.urandom(80_000).hex())", "print('never')")
            elsewhere = str(tmp_path / "journals/clean.1.jsonl")
            full = runs.submit(order(tmp_path, document=document, journal=elsewhere)).outcome()
            assert full.error is not None
            assert full.error.kind is ErrorKind.ARCHIVE
            assert "No space left" in full.error.message
            assert full.files == ()
            assert list(small.rglob("*.ipynb")) == []
            assert said(order(tmp_path, "1", journal=elsewhere), '"verdict":"succeeded"')

            torn = runs.submit(order(tmp_path, document=document, attempt=2)).outcome()
            assert torn.error is not None
            assert torn.error.kind is ErrorKind.ARCHIVE
            assert "cannot write the journal" in torn.error.message or "No space left" in torn.error.message
            assert torn.cells.ok == 1
        finally:
            subprocess.run(["umount", small], check=True)
        assert not processes(order(tmp_path, "1"))


def test_a_worker_ends_with_an_owner_that_sends_no_order() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "nbflow.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(30) == 0
    assert worker.stdout is not None
    assert worker.stdout.read().strip(BEAT) == b"", "it says that it lives, and nothing else"
    worker.stdout.close()
    assert os.getpid()
