"""The process of one attempt from outside: an order in, reports out; what it says to others."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from nbflow.core.attempt import ErrorKind, Verdict
from nbflow.core.messages import Finished, Started
from nbflow.worker.once import _Reports
from nbflow.worker.protocol import BEAT, decode_report, encode_order
from support.attempts import archived, order, states

COMMAND = [sys.executable, "-P", "-m", "nbflow.worker", "--grace", "2"]


def worker(stdin: bytes, *more: str) -> tuple[int, list[bytes], str]:
    """The exit code of a worker, the lines of its output but the empty ones, its stderr."""
    done = subprocess.run([*COMMAND, *more], input=stdin, capture_output=True, timeout=60, check=False)
    return done.returncode, [line for line in done.stdout.splitlines() if line], done.stderr.decode()


def test_it_shows_that_it_lives_before_it_is_asked_for_anything() -> None:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [BEAT] * 2
        process.kill()


def test_a_beat_never_comes_between_the_parts_of_a_line() -> None:
    read_end, write_end = os.pipe()
    reports = _Reports(write_end)
    with os.fdopen(read_end, "rb") as stream:
        writers = [threading.Thread(target=reports.write, args=(line,)) for line in (b"x" * 500_000 + BEAT, BEAT) * 3]
        for one in writers:
            one.start()
        lines = [len(stream.readline()) for _ in writers]
    assert sorted(lines) == [1] * 3 + [500_001] * 3
    os.close(write_end)


def test_without_an_order_it_ends() -> None:
    assert worker(b"") == (0, [], "")


def test_what_is_no_order_is_refused() -> None:
    code, lines, stderr = worker(b'{"v": 1}\n')
    assert (code, lines) == (2, [])
    assert stderr.startswith("not a work order")


def test_the_end_of_stdin_is_the_end_of_its_owner_and_the_notebook_is_kept(tmp_path: Path) -> None:
    done = order(tmp_path, "import time\ntime.sleep(100)")
    code, lines, _ = worker(encode_order(done))
    assert code == 0
    last = decode_report(lines[-1])
    assert isinstance(last, Finished)
    assert last.outcome.error is not None
    assert last.outcome.error.kind is ErrorKind.LOST
    assert states(archived(done))[0] in {"failed", "killed", "not_run"}


def test_an_attempt_that_is_to_be_recovered_is_not_executed(tmp_path: Path) -> None:
    done = order(tmp_path, "print('never')")
    code, (line,), _ = worker(encode_order(done, recover="its engine died"))
    assert code == 0
    last = decode_report(line)
    assert isinstance(last, Finished)
    assert last.outcome.verdict is Verdict.FAILED
    assert states(archived(done)) == ["not_run"]


def test_why_it_was_started_is_in_the_notebook(tmp_path: Path) -> None:
    done = order(tmp_path, "import time\ntime.sleep(100)")
    process = subprocess.Popen([*COMMAND, "--alone", "it is not wanted"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(encode_order(done))
        process.stdin.flush()
        first = next(line for line in process.stdout if line != BEAT)
        assert isinstance(decode_report(first), Started)
    said = archived(done)["metadata"]["nbflow"]["environment"]["kernel_start_reason"]
    assert said == "its worker was not forked: it is not wanted"
