"""The life of kernels and processes, case by case: around one another, around their caller, with nothing left over.

Deaths are in `tests/faults`, limits and the empty surroundings in `test_attempt.py`, cancelling in `test_cli.py`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nbflow.core.attempt import ErrorKind, Verdict
from support.attempts import Bench, bench, order, states, text
from support.disks import cannot
from support.folders import Folder
from support.real import NBFLOW, finished, install_kernel, notebook_of, ran

ALONE = """
import sys
sys.modules["nbflow"] = None
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""
"""A Python kernel in whose environment nbflow is not installed."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    argv = [sys.executable, "-c", ALONE, "-f", "{connection_file}"]
    kernels = install_kernel(tmp_path_factory.mktemp("jupyter"), "alone", argv=argv)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(kernels))
        with bench(grace=10) as made:
            yield made


def test_the_kernel_needs_ipykernel_only(runs: Bench, tmp_path: Path) -> None:
    """The kernel imports the orchestrator: not here; `import nbflow` is a convenience, values go without it."""
    source = """
    import sys
    from IPython.display import display
    try:
        import nbflow
    except ImportError:
        print("not installed")
    display({"application/vnd.nbflow.output.v1+json": {"name": "rows", "value": 3}}, raw=True)
    """
    outcome, found = ran(runs, order(tmp_path, textwrap.dedent(source), kernel="alone"))
    assert outcome.verdict is Verdict.SUCCEEDED, outcome.error
    assert text(found["cells"][0]).startswith("not installed\n")
    assert outcome.outputs == {"rows": 3}


RESTARTING = """
import time
kernel = get_ipython().kernel
print("before", flush=True)
kernel.session.send(kernel.iopub_socket, "status", {"execution_state": "restarting"}, ident=b"kernel.status")
time.sleep(60)
"""


def test_the_kernel_restarts_behind_the_client(runs: Bench, tmp_path: Path) -> None:
    """A `restarting` status is a death, whoever looks after the kernel: its names are gone, nobody waits for ever."""
    begun = time.monotonic()
    outcome, found = ran(runs, order(tmp_path, RESTARTING, "print('never')"))
    assert time.monotonic() - begun < 45
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.cell) == (ErrorKind.KERNEL_DIED, 0)
    assert "restarted" in outcome.error.message
    assert states(found) == ["killed", "not_run"]
    assert text(found["cells"][0]) == "before\n"


INNER = """
import asyncio, threading
import nbflow
def inner():
    with nbflow.Project.open("inner/pipelines.toml") as project:
        return project.run("p")
assert asyncio.get_running_loop()
print("in the kernel's loop:", inner().state)
results = []
thread = threading.Thread(target=lambda: results.append(inner()))
thread.start()
thread.join()
print("in a thread:", results[0].state)
"""


def test_called_from_inside_jupyter(runs: Bench, tmp_path: Path) -> None:
    """Threads, event loops and forks of the caller do not matter: one clean process per attempt."""
    done = order(tmp_path, INNER)
    folder = Folder(Path(done.root) / "inner")
    source = "import asyncio, nbflow\nawait asyncio.sleep(0)\nprint(nbflow.run.task)"
    folder.notebook("a.ipynb", None, source)
    folder.write("pipelines.toml", '[pipelines.p.tasks]\na = { notebook = "a.ipynb" }\n')
    outcome, found = ran(runs, done)
    assert outcome.verdict is Verdict.SUCCEEDED, outcome.error
    assert text(found["cells"][0]) == "in the kernel's loop: succeeded\nin a thread: succeeded\n"
    for path in folder.root.glob("outputs/p/*/a.ipynb"):
        assert text(json.loads(path.read_text())["cells"][0]) == "a\n"


def test_a_long_lived_engine_does_not_grow(runs: Bench, tmp_path: Path) -> None:
    """Kernels and clients live in the attempt's process and die with it: nothing stays in that of the executor."""
    this = psutil.Process()
    seen = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        ran(runs, order(folder, "1"))
        time_out = time.monotonic() + 10
        while number and (this.num_fds(), this.num_threads()) > seen[0] and time.monotonic() < time_out:
            time.sleep(0.05)
        seen.append((this.num_fds(), this.num_threads()))
    assert max(seen[1:]) <= seen[0], seen


HOLDER = """
import sys
before = sorted(name for name in sys.modules if name.split(".")[0] == "nbflow")
print(before, flush=True)
import fcntl, nbflow, os, subprocess, time
lock = open(f"{nbflow.run.id}.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
subprocess.Popen(["sleep", "1000"], pass_fds=[lock.fileno()], start_new_session=True)
os._exit(1)
"""

NEXT = """
import fcntl, nbflow
fcntl.flock(open(f"{nbflow.run.id}.lock", "w"), fcntl.LOCK_EX | fcntl.LOCK_NB)
print(nbflow.run.id)
"""

LOCKED = """
[pools]
gpu = 1
[pipelines.p.tasks]
holder = { notebook = "holder.ipynb", pool = "gpu" }
next = { notebook = "next.ipynb", pool = "gpu", needs = ["holder"], run_if = "all_done" }
"""


def test_two_runs_at_once_and_what_dead_kernels_hold(tmp_path: Path) -> None:
    """Two runs, one output path: a folder per run id. A GPU held by a dead kernel: free before the slot is."""
    folder = Folder(tmp_path)
    folder.notebook("holder.ipynb", None, HOLDER)
    folder.notebook("next.ipynb", None, NEXT)
    folder.write("pipelines.toml", LOCKED)
    begun = [
        subprocess.Popen([*NBFLOW, "run", "p", "--json"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    documents = []
    for process in begun:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 1
        documents.append(finished(tmp_path, out))
    assert documents[0]["run"] != documents[1]["run"]
    for document in documents:
        tasks = {task["task"]: task for task in document["tasks"]}
        assert tasks["holder"]["error"]["kind"] == "kernel_died"
        assert tasks["next"]["state"] == "succeeded"
        assert text(notebook_of(tmp_path, document, "next")["cells"][0]) == f"{document['run']}\n"
        # no module of nbflow is loaded before the notebook asks for one
        assert text(notebook_of(tmp_path, document, "holder")["cells"][0]) == "[]\n"
    assert not [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "1000"]]


def can_unshare() -> bool:
    """Whether a process tree with a first process of its own may be made here."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-pf", "--mount-proc", "true"], capture_output=True, check=False).returncode == 0


ORPHANS = """
import os, subprocess, time
print(os.getsid(0) == os.getpid())
for _ in range(3):
    subprocess.run("sleep 0.1 &", shell=True)
time.sleep(1)
"""


@pytest.mark.skipif(not can_unshare(), reason="needs the right to make a PID namespace")
def test_pid_1_in_a_container(tmp_path: Path) -> None:
    """nbflow is the first process: kernels start and end as elsewhere, and what they leave is adopted and reaped."""
    folder = Folder(tmp_path)
    folder.notebook("a.ipynb", None, ORPHANS)
    folder.write("pipelines.toml", '[pipelines.p.tasks]\na = { notebook = "a.ipynb" }\n')
    inside = "echo $$ > first; exec " + " ".join([*NBFLOW, "run", "p", "--json"])
    done = subprocess.run(
        ["unshare", "-pf", "--mount-proc", "sh", "-c", inside],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "first").read_text() == "1\n"
    document = finished(tmp_path, done.stdout)
    found = notebook_of(tmp_path, document, "a")
    assert text(found["cells"][0]) == "True\n"
    assert found["metadata"]["nbflow"]["warnings"] == []


ANOTHER_USERS = """
import subprocess
command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "60"]
child = subprocess.Popen(command, start_new_session=True)
while "sleep" not in open(f"/proc/{child.pid}/comm").read():
    continue
"""
WITHOUT_KILL = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")


@pytest.mark.parametrize("preload", ["[]", "false"])
def test_a_process_of_another_user_that_may_not_be_ended(tmp_path: Path, preload: str) -> None:
    """As `!sudo x &` leaves one: the notebook is what it was, and the warning says that the process still runs."""
    allowed = [*WITHOUT_KILL, "setpriv", "--reuid=65534", "--clear-groups", "true"]
    if shutil.which("setpriv") is None or subprocess.run(allowed, capture_output=True, check=False).returncode:
        cannot("a process of another user that may not be signalled needs setpriv, and the right to begin one")
    folder = Folder(tmp_path)
    folder.notebook("a.ipynb", None, ANOTHER_USERS)
    toml = f'[kernels.python3]\npreload = {preload}\n[pipelines.p.tasks]\na = {{ notebook = "a.ipynb" }}\n'
    folder.write("pipelines.toml", toml)
    command = [*WITHOUT_KILL, *NBFLOW, "run", "p", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = notebook_of(tmp_path, finished(tmp_path, done.stdout), "a")
    (warning,) = found["metadata"]["nbflow"]["warnings"]
    said = re.fullmatch(r"a process .* could not be ended: sleep \(pid (\d+), still running\)", warning)
    assert said, warning
    left = psutil.Process(int(said[1]))
    assert left.cmdline() == ["sleep", "60"]
    left.kill()
