"""An archive that cannot be used: found before any kernel starts; one that goes away meanwhile fails whom it hits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from support.disks import cannot, need_strace
from support.invariants import check_project
from support.projects import Project, project

TOML = """
[nbflow]
state = "records/state.db"

[pipelines.one.tasks]
only = { notebook = "ran.ipynb" }

[pipelines.p]
max_parallel = 2
[pipelines.p.tasks]
removes = { notebook = "removes.ipynb" }
beside = { notebook = "beside.ipynb" }
after = { notebook = "ran.ipynb", needs = ["removes"], run_if = "all_done" }

[pipelines.folder.tasks]
only = { notebook = "ran.ipynb" }
removes = { notebook = "folder.ipynb", needs = ["only"] }

[pipelines.journals]
max_parallel = 2
[pipelines.journals.tasks]
clears = { notebook = "clears.ipynb" }
beside = { notebook = "beside.ipynb" }
after = { notebook = "ran.ipynb", needs = ["beside", "clears"] }
"""
REMOVES = """
import os, shutil, time
if not os.path.exists("gone"):
    while not os.path.exists("ready"):
        time.sleep(0.02)
    shutil.rmtree("outputs")
    open("gone", "w").close()
"""
BESIDE = """
import os, time
open("ready", "w").close()
while not os.path.exists("gone"):
    time.sleep(0.02)
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project", TOML) as found:
        found.notebook("ran", "open('ran', 'w').close()")
        found.notebook("removes", REMOVES)
        found.notebook("folder", "import shutil; shutil.rmtree('outputs/folder')")
        found.notebook("clears", REMOVES.replace('"outputs"', '"outputs/.nbflow/journals"'))
        found.notebook("beside", BESIDE, "print('kept')")
        (found.root / "outputs").mkdir()
        yield found


def need(wrap: Sequence[str]) -> Sequence[str]:
    """A prefix for commands, if it can be used here."""
    if shutil.which(wrap[0]) is None:
        cannot(f"{wrap[0]} is not there")
    tried = subprocess.run([*wrap, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        cannot(f"{wrap[0]} may not do that: {tried.stderr.strip()}")
    return wrap


def read_only(outputs: Path) -> Sequence[str]:
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$1" && shift && exec "$@"'
    return need(["unshare", "-m", "sh", "-c", mount, str(outputs), str(outputs.parent)])


def of_somebody_else(outputs: Path) -> Sequence[str]:
    """Also for root, which has to do without its right to write everywhere."""
    if os.geteuid() != 0:
        cannot("to give a folder to somebody else takes root")
    os.chown(outputs, 12_345, 12_345)
    return without_rights("fowner")


def without_rights(*more: str) -> Sequence[str]:
    """Root then may read and write only where anybody else may."""
    taken = ",".join(f"-{one}" for one in ("dac_override", "dac_read_search", *more))
    return need(["setpriv", f"--bounding-set={taken}", f"--inh-caps={taken}"])


def over_quota(outputs: Path) -> Sequence[str]:
    need_strace()
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "inject=fsync:error=EDQUOT"]


@pytest.mark.parametrize(
    ("fault", "said", "hint"),
    [
        (read_only, "Read-only file system", "the file system is read-only: set `outputs` in [nbflow] to a folder"),
        (of_somebody_else, "Permission denied", "check the owner and the permissions of the folder"),
        (over_quota, "Disk quota exceeded", "your disk quota is used up: free some space"),
    ],
)
def test_one_that_cannot_be_used(made: Project, fault: object, said: str, hint: str) -> None:
    assert callable(fault)
    outputs = made.root / "outputs"
    refused = replace(made, wrap=fault(outputs)).call("run", "one")
    assert refused.code == 6, refused.out + refused.err
    assert f"error: cannot use the archive {outputs}: {said}" in refused.err
    assert f"hint: {hint}" in refused.err
    assert len(refused.err.splitlines()) <= 5
    assert not (made.root / "ran").exists(), "a kernel was started"
    assert list(outputs.rglob("*.ipynb")) == []


def test_a_store_in_a_folder_of_somebody_else(made: Project) -> None:
    """The archive is everybody's, as in a project that is shared; the store, which only its owner may enter, is not."""
    own = made.root / "records"
    own.mkdir(mode=0o700)
    (own / "state.db").touch()
    kept = replace(made, wrap=of_somebody_else(own))
    for command in (("run", "one"), ("run", "one", "--json"), ("resume", "@last"), ("runs",), ("doctor",)):
        said = kept.call(*command)
        assert said.code == 6, (command, said.out, said.err)
        assert "Permission denied" in said.out + said.err, command
        assert "bug" not in said.out + said.err, command
    assert not (made.root / "ran").exists(), "a kernel was started"


def test_folders_that_nobody_may_look_into(made: Project) -> None:
    """Such as lost+found, where the archive is a disk of its own; what is told by the store is told."""
    for _ in range(2):
        assert made.call("run", "one").code == 0
    one = replace(made, wrap=without_rights() if os.geteuid() == 0 else ())
    lost, runs = made.root / "outputs/lost+found", made.root / "outputs/one"
    lost.mkdir(mode=0)
    runs.chmod(0)
    try:
        for command in (("show", "@last"), ("show", "@last", "--json"), ("runs",), ("logs", "@last")):
            assert one.call(*command).code == 0, command
        for command in (("open", "@last"), ("report", "@last"), ("run", "one")):
            said = one.call(*command)
            assert (said.code, "Permission denied" in said.err) == (6, True), (command, said.err)
        kept = one.call("prune", "--keep", "1", "--yes", "--json").json["kept"]
        assert [one["reason"].rpartition(": ")[2] for one in kept] == ["Permission denied"]
    finally:
        runs.chmod(0o755)
    assert len(one.call("prune", "--keep", "1", "--yes", "--json").json["runs"]) == 1
    lost.rmdir()
    check_project(made.root, made.temporary, made.root / "records/state.db")


def test_one_that_is_removed_during_a_run(made: Project) -> None:
    """Those at work fail by it, named; the others go on, and `resume` has the rest."""
    said = made.call("run", "p", "--json")
    assert said.code == 1, said.out + said.err
    tasks = {task["task"]: task for task in said.lines[-1]["tasks"]}
    assert {name: task["state"] for name, task in tasks.items()} == {
        "removes": "failed",
        "beside": "failed",
        "after": "succeeded",
    }
    for name in ("removes", "beside"):
        assert tasks[name]["error"]["kind"] == "archive"
        assert str(made.root / "outputs") in tasks[name]["error"]["message"]
    resumed = made.call("resume", said.lines[-1]["run"], "--json")
    assert resumed.code == 0, resumed.out + resumed.err
    assert [task["attempts"] for task in resumed.lines[-1]["tasks"]] == [2, 2, 1]
    for task in resumed.lines[-1]["tasks"]:
        assert (
            json.loads((made.root / task["notebook"]).read_text("utf-8"))["metadata"]["nbflow"]["state"] == "succeeded"
        )
    made.until_nobody_lives()


def test_the_folder_of_a_run_that_is_removed_during_it(made: Project) -> None:
    """What was archived in it by then is gone: that is said, then and by `resume`."""
    said = made.call("run", "folder")
    assert said.code == 0, said.out + said.err
    run = made.runs()[0]["run"]
    missing = ", ".join(f"outputs/folder/{run}/only{ending}" for ending in (".ipynb", ".html"))
    assert said.err == f"warning: archived files are missing: {missing}\n"
    again = made.call("resume", run, "--json")
    assert (again.code, again.err) == (0, said.err)
    assert (made.root / f"outputs/folder/{run}/removes.ipynb").is_file()


def test_journals_that_are_removed_during_a_run(made: Project) -> None:
    """By a notebook that clears too much: whoever runs beside it keeps its notebook, and the run goes on."""
    done = made.call("run", "journals", "--json")
    assert done.code == 0, done.err
    tasks = {task["task"]: task for task in done.lines[-1]["tasks"]}
    assert [task["state"] for task in tasks.values()] == ["succeeded"] * 3
    found = {name: json.loads((made.root / tasks[name]["notebook"]).read_text("utf-8")) for name in tasks}
    for document in found.values():
        assert {cell["metadata"]["nbflow"]["state"] for cell in document["cells"]} == {"ok"}
    assert found["beside"]["cells"][-1]["outputs"][0]["text"] == ["kept\n"]
    made.until_nobody_lives()
    check_project(made.root, made.temporary, made.root / "records/state.db")
