"""Object storage that takes requests and never answers (A4): no command hangs on it, and Ctrl-C is heard at once."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.projects import Project, project
from support.storage import Harm, Storage, serving
from support.waiting import allowed, until

PIPELINES = """
[nbflow]
outputs = "s3://bucket/team"

[pipelines.sales.tasks]
extract = { notebook = "extract.ipynb" }
"""
AT_ONCE = 5.0
"""Seconds in which a command ends on an idle machine once nothing keeps it."""


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    with serving() as found:
        found.put("bucket")
        yield found


@pytest.fixture
def sales(tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name, value in storage.environment.items():
        monkeypatch.setenv(name, value)
    with project(tmp_path / "project", PIPELINES) as made:
        made.notebook("extract", "print('extracted')")
        yield made
    storage.proxy.hurt(None)


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process says that gets Ctrl-C, and ends at once."""
    process.send_signal(signal.SIGINT)
    begun, most = time.monotonic(), allowed(AT_ONCE)
    try:
        said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert time.monotonic() - begun < most
    return said


def test_a_run_begins_and_ends_without_an_answer(sales: Project, storage: Storage) -> None:
    storage.proxy.hurt(Harm(silent=True))
    with sales.start("run", "sales", "--json", NBFLOW_ARCHIVE_WAIT="inf") as process:
        until(lambda: any(one["state"] == "succeeded" for one in sales.runs()), 60)
        assert process.poll() is None, "it waits as it is asked to"
        out, err = interrupted(process)
    document = json.loads(out.splitlines()[-1])
    assert (process.returncode, document["state"], document["archived"]) == (0, "succeeded", "pending")
    assert err.count("warning: s3://bucket/team has not answered for 5 s: what is published waits") == 1
    assert "extracted" in sales.call("logs", f"{document['run']}/extract").out, "it is read here"
    begun, most = time.monotonic(), allowed(AT_ONCE)
    assert sales.call("report", document["run"], NBFLOW_ARCHIVE_WAIT="0.5").code == 6
    assert time.monotonic() - begun < most
    storage.proxy.hurt(None)
    assert sales.call("report", document["run"], NBFLOW_ARCHIVE_WAIT="60").code == 0
    assert sales.runs()[0]["archived"] == "done"
    sales.until_nobody_lives()


def test_ctrl_c_is_heard_while_nothing_answers(sales: Project, storage: Storage) -> None:
    assert sales.call("run", "sales", NBFLOW_ARCHIVE_WAIT="60").code == 0
    harm = storage.proxy.hurt(Harm(silent=True))
    assert harm is not None
    with sales.start("run", "sales") as process:
        until(lambda: harm.seen)
        _, err = interrupted(process)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert len(sales.runs()) == 1
    for folder in ("spool", "uploads"):
        shutil.rmtree(sales.root / "outputs/.nbflow" / folder)
    with sales.start("logs", "@last/extract") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "fetching from s3://bucket/team; Ctrl-C ends the wait\n"
        _, err = interrupted(process)
    assert (process.returncode, err) == (130, "interrupted\n")
    sales.until_nobody_lives()
