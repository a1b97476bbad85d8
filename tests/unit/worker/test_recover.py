"""The notebook of an attempt whose worker is dead: made of what the journal holds, once, and never made worse."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbflow.core import codec
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.kernels.environ import OWNER_MARK
from nbflow.kernels.memory import MemoryWatch
from nbflow.kernels.runtime import RuntimeFolder
from nbflow.worker import attempt as at
from nbflow.worker import journal as jr
from nbflow.worker.recover import recover
from nbflow.worker.session import Ending
from nbflow.worker.spool import Spools, TextSpool, spool_folder
from support.attempts import archived, code, notebook, order, processes, states


def begun(one: WorkOrder, *records: dict[str, Any]) -> None:
    """The journal of a worker that died after these records."""
    journal = jr.Journal.create(one.journal)
    at.write_header(journal, one, at.prepare(one))
    for record in records:
        journal.append(record.pop("type"), **record)
    journal.close()


def lost(outcome: Outcome) -> str:
    assert outcome.verdict is Verdict.FAILED
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.LOST
    return outcome.error.message


def test_the_running_cell_was_killed_and_the_rest_is_not_run(tmp_path: Path) -> None:
    one = order(tmp_path, "1", "2", "3")
    output = {"output_type": "stream", "name": "stdout", "text": "so far\n"}
    begun(
        one,
        {"type": "cell_started", "cell": 0, "at": jr.instant()},
        {"type": "cell_ended", "cell": 0, "state": "ok", "at": jr.instant(), "duration": 1.0},
        {"type": "cell_started", "cell": 1, "at": jr.instant()},
        {"type": "output", "cell": 1, "output": output},
    )
    outcome = recover(one, "the power went")
    assert lost(outcome) == "the power went"
    assert outcome.error is not None
    assert outcome.error.cell == 1
    document = archived(one)
    assert states(document) == ["ok", "killed", "not_run"]
    assert document["cells"][1]["outputs"] == [{**output, "text": ["so far\n"]}]
    assert document["metadata"]["nbflow"]["duration"] is None
    assert [file.path for file in outcome.files] == ["sales/sales-1/clean.ipynb", "sales/sales-1/clean.html"]


def with_a_long_text(one: WorkOrder) -> None:
    """The journal of a worker that died while a cell wrote more than the journal takes."""
    begun(
        one,
        {"type": "cell_started", "cell": 0, "at": jr.instant()},
        {"type": "output", "cell": 0, "output": {"output_type": "stream", "name": "stdout", "text": "head"}},
        {"type": "spool", "cell": 0, "name": "stdout", "file": "cell-1.stdout.txt.gz", "head": 4, "tail": 3},
    )
    text = Spools(Path(one.journal), one.slug, {0: 1}).text(0, "stdout")
    text.write("head" + "x" * 100_000 + "end")
    text.sync()


def test_what_lay_beside_the_journal_may_be_gone(tmp_path: Path) -> None:
    """With the power: the name of a folder is on the disk later than what is in it."""
    one = order(tmp_path, "1", "2")
    with_a_long_text(one)
    shutil.rmtree(spool_folder(Path(one.journal)))
    assert lost(recover(one, "the power went")) == "the power went"
    assert states(archived(one)) == ["killed", "not_run"]
    assert archived(one)["cells"][0]["outputs"][0]["text"] == ["head"]


@pytest.mark.parametrize("had_ended", [True, False])
@pytest.mark.parametrize("is_all_full", [True, False])
def test_the_journal_cannot_be_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, had_ended: bool, is_all_full: bool
) -> None:
    """Its disk is full, and that of the archive is not: what the journal holds can still be read."""
    one = order(tmp_path, "1", "2")
    with_a_long_text(one)
    journal = jr.Journal.reopen(one.journal, patience=0.0, evict=pytest.fail)
    if had_ended:
        at.write_ending(journal, Ending(verdict=Verdict.SUCCEEDED), 1.5)
    journal.close()

    def full(self: object, *_: object, **__: object) -> None:
        raise jr.JournalError("no room")

    monkeypatch.setattr(jr.Journal, "append", full)
    if is_all_full:
        monkeypatch.setattr(TextSpool, "pause", full)
    outcome = recover(one, "the power went")
    assert [file.path.rpartition("/")[2] for file in outcome.files][:1] == ["clean.ipynb"]
    if had_ended:
        assert (outcome.verdict, outcome.duration) == (Verdict.SUCCEEDED, 1.5)
    else:
        assert lost(outcome) == "the power went; no room"
    text = "".join(archived(one)["cells"][0]["outputs"][0]["text"])
    assert (text.startswith("head"), "end" in text) == (True, not is_all_full)
    assert archived(one)["metadata"]["nbflow"]["warnings"] == (["no room"] if is_all_full else [])


def test_a_second_time_nothing_changes(tmp_path: Path) -> None:
    one = order(tmp_path, "1")
    begun(one)
    first = recover(one, "the first reason")
    document = archived(one)
    assert recover(one, "another reason") == first
    assert archived(one) == document


def test_an_attempt_that_had_ended_keeps_its_outcome(tmp_path: Path) -> None:
    one = order(tmp_path)
    begun(one)
    journal = jr.Journal.reopen(one.journal, patience=0, evict=lambda: None)
    at.write_ending(journal, Ending(verdict=Verdict.SUCCEEDED), 2.0)
    journal.close()
    outcome = recover(one, "never mind")
    assert (outcome.verdict, outcome.duration) == (Verdict.SUCCEEDED, 2.0)
    assert archived(one)["metadata"]["nbflow"]["state"] == "succeeded"


def of_cell(index: int, state: str = "ok") -> list[dict[str, Any]]:
    over = {"type": "cell_ended", "cell": index, "state": state, "at": jr.instant(), "duration": 1.5, "cpu": 0.5}
    return [{"type": "cell_started", "cell": index, "at": jr.instant()}, over]


def settled(one: WorkOrder, ending: Ending | None, *records: dict[str, Any]) -> Outcome:
    """Bring an attempt to its end with a text beside its notebook; with no `ending`, it is lost."""
    begun(one, *(dict(record) for record in records))
    text = Spools(Path(one.journal), one.slug, {0: 1}).text(0, "stdout")
    text.write("head" + "x" * 100_000 + "end")
    text.sync()
    if ending is None:
        return recover(one, "killed")
    journal = jr.Journal.reopen(one.journal, patience=0.0, evict=pytest.fail)
    at.write_ending(journal, ending, 2.5)
    outcome = at.settle(one, journal)
    journal.close()
    return outcome


def files(one: WorkOrder) -> dict[str, bytes]:
    root = Path(one.outputs) / one.folder
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


RAISED = TaskError(kind=ErrorKind.EXCEPTION, message="no rows", cell=1, ename="ValueError")
SPOOL = {"type": "spool", "cell": 0, "name": "stdout", "file": "cell-1.stdout.txt.gz", "head": 4, "tail": 3}
VALUES = [
    {"type": "value", "name": "day", "value": {"$date": "2026-01-31"}},
    {"type": "value", "name": "rows", "value": 3},
]


@pytest.mark.parametrize("torn", [None, b"", b'{"type":"attempt","vers'])
@pytest.mark.parametrize(
    ("ending", "records"),
    [
        (Ending(verdict=Verdict.SUCCEEDED), [*of_cell(0), SPOOL, *VALUES, *of_cell(1)]),
        (Ending(verdict=Verdict.SUCCEEDED, stopped_at=0), [*of_cell(0), SPOOL]),
        (Ending(verdict=Verdict.SUCCEEDED), [*of_cell(0)[:1], SPOOL, *of_cell(0)[1:], *of_cell(1, "skipped")[1:]]),
        (Ending(verdict=Verdict.FAILED, error=RAISED), [*of_cell(0), SPOOL, *of_cell(1, "failed")]),
        (Ending(verdict=Verdict.CANCELLED), [*of_cell(0)[:1], SPOOL, {"type": "left_behind", "process": "sh (pid 7)"}]),
        (None, [*of_cell(0), SPOOL, *of_cell(1)[:1]]),
    ],
    ids=["succeeded", "stopped early", "skipped", "failed", "cancelled", "killed"],
)
def test_without_a_journal_a_whole_notebook_tells_the_outcome(
    tmp_path: Path, ending: Ending | None, records: list[dict[str, Any]], torn: bytes | None
) -> None:
    """As after a backup of the store was restored: the journal went when the notebook was archived."""
    one = order(tmp_path, "1", "2")
    outcome = settled(one, ending, *records)
    assert [Path(file.path).name for file in outcome.files] == [
        "clean.ipynb",
        "clean.html",
        "clean.cell-1.stdout.txt.gz",
    ]
    shutil.rmtree(Path(one.journal).parent)
    if torn is not None:
        Path(one.journal).parent.mkdir(parents=True)
        Path(one.journal).write_bytes(torn)
    before = files(one)
    for _ in range(2):
        assert recover(one, "the process that ran it is gone") == outcome
        assert files(one) == before


def test_an_archived_notebook_of_something_else_is_kept(tmp_path: Path) -> None:
    """The order of another attempt, say; what there is of this one is its source."""
    one = order(tmp_path, "1", "2")
    settled(replace(one, run="sales-0"), Ending(verdict=Verdict.SUCCEEDED), *of_cell(0))
    shutil.rmtree(Path(one.journal).parent)
    before = files(one)["clean.ipynb"]
    assert lost(recover(one, "never begun")) == "never begun"
    assert states(archived(one)) == ["not_run", "not_run"]
    assert before in files(one).values()


@pytest.mark.parametrize("torn", [b"", b'{"type":"attempt","vers'])
def test_without_a_journal_the_source_is_what_there_is(tmp_path: Path, torn: bytes) -> None:
    one = order(tmp_path, "1", "2")
    if torn:
        Path(one.journal).parent.mkdir(parents=True)
        Path(one.journal).write_bytes(torn)
    assert lost(recover(one, "never begun")) == "never begun"
    assert states(archived(one)) == ["not_run", "not_run"]


@pytest.mark.parametrize("other", [{}, {"KEY": "cmd:false"}, {"KEY": "env:NBT_ABSENT"}, {"KEY": "nonsense"}])
def test_what_never_began_is_masked_or_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, str]
) -> None:
    """No program is started for the value of a secret; without one, nothing can be masked."""
    monkeypatch.setenv("NBT_SECRET", "hunter2-canary")
    document = notebook(code("url = ''", "parameters"), "x = 'hunter2-canary'", "y = 'the key'")
    secrets = {"DB_URL": "env:NBT_SECRET", **other}
    one = order(tmp_path, document=document, params={"url": "hunter2-canary"}, secrets=secrets)
    assert lost(recover(one, "never begun")) == "never begun"
    assert "hunter2-canary" not in Path(one.journal).read_text()
    found = archived(one)
    assert "hunter2-canary" not in json.dumps(found)
    assert states(found) == ["not_run"] * 4
    sources = ["".join(cell["source"]) for cell in found["cells"]]
    warnings = found["metadata"]["nbflow"]["warnings"]
    if other:
        assert sources == [""] * 4
        assert found["metadata"]["nbflow"]["parameters"] == {}
        assert warnings == ["the cells and the parameters are left out, since nothing can mask the secret KEY in them"]
    else:
        assert sources[2:] == ["x = '[secret DB_URL]'", "y = 'the key'"]
        assert found["metadata"]["nbflow"]["parameters"] == {"url": "[secret DB_URL]"}
        assert len(warnings) == 2


def test_a_dead_worker_is_no_way_past_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBT_SECRET", "hunter2-canary")
    one = order(tmp_path, "1", secrets={"DB_URL": "env:NBT_SECRET"})
    output = {"output_type": "stream", "name": "stdout", "text": "hunter2-canary"}
    begun(one, {"type": "cell_started", "cell": 0, "at": jr.instant()}, {"type": "output", "cell": 0, "output": output})
    lost(recover(one, "killed"))
    assert archived(one)["cells"][0]["outputs"][0]["text"] == ["[secret DB_URL]"]


def test_what_was_left_behind_is_ended_and_removed(tmp_path: Path) -> None:
    one = order(tmp_path, "1")
    runtime = RuntimeFolder.create()
    begun(one, {"type": "kernel_started", "pid": 1, "runtime": str(runtime.path), "forked": False})
    left = subprocess.Popen(["sleep", "1000"], env={**os.environ, OWNER_MARK: one.journal}, start_new_session=True)
    recover(one, "killed")
    left.wait(10)
    assert not processes(one)
    assert not runtime.path.exists()
    (warning,) = archived(one)["metadata"]["nbflow"]["warnings"]
    assert f"sleep (pid {left.pid})" in warning


def test_processes_that_the_system_has_ended_meanwhile_are_evidence(tmp_path: Path) -> None:
    """A worker may have been one of them; then nobody else can tell."""
    mark = MemoryWatch(os.getpid()).mark
    if mark is None:
        pytest.skip("this machine does not count processes that it ends for lack of memory")
    count = tmp_path / "memory.events"
    count.write_text("oom 1\noom_kill 3\n")
    for before, said in ((1, "killed; possibly out of memory: the system ended 2 "), (3, "killed")):
        folder = tmp_path / str(before)
        folder.mkdir()
        one = order(folder, "1")
        memory = {"file": str(count), "kills": before, "boot": mark.boot}
        begun(one, {"type": "kernel_started", "pid": 1, "runtime": "/no/such", "forked": False, "memory": memory})
        message = lost(recover(one, "killed"))
        assert message.startswith(said)
        assert ("out of memory" in message) == (before == 1)


def test_a_worker_that_does_not_let_go_is_killed(tmp_path: Path) -> None:
    one = order(tmp_path, "1")
    holder = (
        "import json, sys, time\n"
        "from nbflow.core import codec\n"
        "from nbflow.core.attempt import WorkOrder\n"
        "from nbflow.worker import attempt as at, journal as jr\n"
        "one = codec.load(WorkOrder, json.loads(sys.argv[1]))\n"
        "journal = jr.Journal.create(one.journal)\n"
        "at.write_header(journal, one, at.prepare(one))\n"
        "print('held', flush=True)\n"
        "time.sleep(1000)\n"
    )
    argv = [sys.executable, "-c", holder, json.dumps(codec.dump(one))]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"held\n"
    assert lost(recover(one, "it hangs", patience=0.3)) == "it hangs"
    assert process.wait(10) == -signal.SIGKILL


def test_a_worker_is_only_killed_where_it_is_still_the_same_process(tmp_path: Path) -> None:
    one = order(tmp_path, "1")
    bystander = subprocess.Popen(["sleep", "1000"])
    held = jr.Journal.create(one.journal)
    at.write_header(held, one, at.prepare(one))
    header = json.loads(Path(one.journal).read_text())
    header["worker"] = {"pid": bystander.pid, "started": at.process_start(bystander.pid) - 100}
    Path(one.journal).write_text(json.dumps(header) + "\n")
    assert "still in use" in lost(recover(one, "it hangs", patience=0.1))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    held.close()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"type":"attempt","version":99}\n', "its journal is of version 99, and this nbflow reads version 1"),
        (b'{"type":"ended"}\n', "its journal does not begin as one does"),
    ],
)
def test_a_journal_of_another_version_is_left_alone(tmp_path: Path, line: bytes, reason: str) -> None:
    one = order(tmp_path, "1")
    Path(one.journal).parent.mkdir(parents=True)
    Path(one.journal).write_bytes(line)
    assert f"its notebook cannot be made: {reason}" in lost(recover(one, "old"))
    assert Path(one.journal).read_bytes() == line


def test_an_archive_that_cannot_be_written(tmp_path: Path) -> None:
    one = order(tmp_path, "1", outputs=str(tmp_path / "none"), journal=str(tmp_path / "kept/journal"))
    begun(one)
    outcome = recover(one, "the disk is gone")
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.ARCHIVE
    assert outcome.files == ()
