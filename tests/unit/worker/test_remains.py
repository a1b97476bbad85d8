"""The session of a kernel in the journal, and what is found by it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nbflow.worker import journal as jr
from nbflow.worker.remains import last_moment, noted, remains

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sessions are looked into on Linux only")


@pytest.fixture
def kernel() -> Iterator[tuple[dict[str, Any], psutil.Process]]:
    """What is noted of a kernel that is dead by now, and a process that it has left."""
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '1007'], stdout=2).pid, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    try:
        session = noted(process.pid)
        process.kill()
        process.communicate()
        yield {"pid": process.pid, "session": session}, child
    finally:
        child.kill()


def written(folder: Path, *records: dict[str, Any]) -> Path:
    journal = jr.Journal.create(str(folder / "a.1.jsonl"))
    for record in records:
        journal.append("kernel_started", **record)
    journal.close()
    return journal.path


def test_what_is_left_of_a_kernel(tmp_path: Path, kernel: tuple[dict[str, Any], psutil.Process]) -> None:
    record, child = kernel
    find = remains(written(tmp_path, record), time.time())
    assert find() == [child]


def test_of_another_boot_or_container_nothing_is(tmp_path: Path, kernel: tuple[dict[str, Any], psutil.Process]) -> None:
    record, _ = kernel
    record["session"]["place"] = "another.1"
    assert remains(written(tmp_path, record), time.time())() == []


@pytest.mark.parametrize("records", [[], [{"pid": 1}], [{"pid": 1, "session": None}]])
def test_a_journal_that_tells_of_no_session(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    assert remains(written(tmp_path, *records), time.time())() == []


def test_who_leads_no_session_has_none() -> None:
    with subprocess.Popen(["sleep", "1008"]) as child:
        assert noted(child.pid) is None
        child.kill()


def test_the_last_moment(tmp_path: Path) -> None:
    """A minute behind the last sign of life; of a worker that lives, now."""
    path = tmp_path / "a.1.jsonl"
    assert last_moment(str(path)) == 0.0
    journal = jr.Journal.create(str(path))
    os.utime(path, (1000.0, 1000.0))
    assert last_moment(str(path)) >= time.time() - 60.0
    journal.close()
    os.utime(path, (1000.0, 1000.0))
    assert last_moment(str(path)) == 1060.0
