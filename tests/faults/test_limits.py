"""An attempt that takes more memory than it may: it alone fails, with a name and a line; and cores that it gets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.core.attempt import ErrorKind, Verdict
from nbflow.core.spec import Limits
from support.attempts import Bench, archived, bench, order, processes, states, text
from support.consistent import assert_consistent

MEMORY = Limits(memory=300_000_000)
GRADUAL = """
import time
kept = [bytearray(120_000_000)]
while True:
    kept.append(bytearray(500_000))
    time.sleep(0.01)
"""
AT_ONCE = """
import subprocess, sys
hog = "import os; os.setsid(); x = b'x' * 2_000_000_000; input()"
done = subprocess.run([sys.executable, '-c', hog], stdin=subprocess.PIPE)
print('went on with', done.returncode)
"""
WAIT = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.05)\nprint('went on')"


@pytest.fixture(scope="module")
def runs() -> Iterator[Bench]:
    with bench(grace=1.0) as made:
        yield made


def test_more_memory_than_allowed(runs: Bench, tmp_path: Path) -> None:
    """Slowly by the kernel, and at once by a child that has left its session; one beside them goes on."""
    sibling = runs.submit(order(tmp_path, WAIT, task="sibling", limits=MEMORY, slug="sibling"))
    attempts = []
    for name, source in (("gradual", GRADUAL), ("child", AT_ONCE)):
        folder = tmp_path / name
        folder.mkdir()
        attempts.append(runs.submit(order(folder, "print('first')", source, "1", task=name, limits=MEMORY)))
    for watched in attempts:
        outcome = watched.outcome()
        document = archived(watched.order)
        assert_consistent(outcome, document)
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.cell, outcome.error.signal) == (ErrorKind.KERNEL_DIED, 1, None)
        assert outcome.error.message.startswith("memory limit: the kernel and what it started ")
        assert "300 MB allowed" in outcome.error.message
        assert states(document) == ["ok", "killed", "not_run"]
        assert not processes(watched.order)
    gradual = attempts[0].outcome().error
    assert gradual is not None
    assert "used 3" in gradual.message
    assert any(f"at line {line}: " in gradual.message for line in (5, 6)), gradual.message
    assert not sibling.ended.is_set()
    (tmp_path / "project/go").touch()
    assert sibling.outcome().verdict is Verdict.SUCCEEDED
    runs.assert_clean(sibling.order)


CORES = """
import os, pathlib
print(len(os.sched_getaffinity(0)), os.environ["OMP_NUM_THREADS"])
print("nbflow-" in pathlib.Path("/proc/self/cgroup").read_text())
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core only")
def test_fewer_cores_than_there_are(runs: Bench, tmp_path: Path) -> None:
    """The kernel is started with as many threads as it has cores, so it is not forked; the record says why."""
    outcome, document = runs.run(order(tmp_path, CORES, limits=Limits(cpu=0.5)))
    assert outcome.verdict is Verdict.SUCCEEDED
    cores, threads, grouped = text(document["cells"][0]).split()
    assert threads == "1"
    assert cores == "1" or grouped == "True"
    assert "resources.cpu" in json.dumps(document["metadata"]["nbflow"])
