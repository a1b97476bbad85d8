"""One attempt from order to outcome, as far as it needs no kernel: from every point there is a way to a notebook."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.messages import CellStart
from nbflow.worker import attempt as at
from nbflow.worker import engine
from nbflow.worker import journal as jr
from nbflow.worker.control import Control, Stop, StopCause
from nbflow.worker.fold import fold
from nbflow.worker.journal import JournalError
from nbflow.worker.session import Ending, Session
from support.attempts import archived, code, notebook, order, states

Act = Callable[[Session], Ending]


@pytest.fixture
def execute(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Executes an order; `act` stands for papermill and everything behind it."""

    def run(one: WorkOrder, act: Act | None = None) -> Outcome:
        monkeypatch.setattr(engine, "through_papermill", act or (lambda session: Ending(verdict=Verdict.SUCCEEDED)))
        return at.execute(one, Control(), lambda report: None)

    return run


def ran(session: Session) -> Ending:
    """A session in which the first cell ran."""
    session.journal.append("cell_started", cell=0, at=jr.instant())
    session.journal.append("cell_ended", cell=0, state="ok", at=jr.instant(), duration=0.1)
    return Ending(verdict=Verdict.SUCCEEDED)


def kind(outcome: Outcome) -> ErrorKind:
    assert outcome.verdict is Verdict.FAILED
    assert outcome.error is not None
    return outcome.error.kind


class TestExecute:
    def test_what_the_cells_came_to_is_published_and_told(
        self, execute: Callable[..., Outcome], tmp_path: Path
    ) -> None:
        one = order(tmp_path, "1", "2")
        outcome = execute(one, ran)
        assert outcome.verdict is Verdict.SUCCEEDED
        assert (outcome.cells.ok, outcome.cells.not_run) == (1, 1)
        assert states(archived(one)) == ["ok", "not_run"]
        assert archived(one)["metadata"]["nbflow"]["state"] == "succeeded"
        assert [record["type"] for record in jr.read(Path(one.journal))][-2:] == ["ended", "published"]

    def test_the_session_is_what_the_order_says(self, execute: Callable[..., Outcome], tmp_path: Path) -> None:
        seen: list[Session] = []
        one = order(tmp_path, code("day = None", "parameters"), "day", params={"day": date(2026, 1, 31)})
        execute(one, lambda session: seen.append(session) or Ending(verdict=Verdict.SUCCEEDED))
        (session,) = seen
        assert session.kernel.name == "python3"
        assert session.root == one.root
        assert session.variables == {
            "NBFLOW_RUN": "sales-1",
            "NBFLOW_PIPELINE": "sales",
            "NBFLOW_TASK": "clean",
            "NBFLOW_ATTEMPT": "1",
            "NBFLOW_LOGICAL_DATE": "2026-01-31T05:00:00+00:00",
            "NBFLOW_JOURNAL": one.journal,
        }
        assert session.document["cells"][1]["metadata"]["tags"] == ["injected-parameters"]
        assert "datetime.date(2026, 1, 31)" in session.document["cells"][1]["source"]

    def test_a_failure_is_data(self, execute: Callable[..., Outcome], tmp_path: Path) -> None:
        error = TaskError(kind=ErrorKind.KERNEL_DIED, message="gone", signal=9)
        one = order(tmp_path, "1")
        assert execute(one, lambda session: Ending(verdict=Verdict.FAILED, error=error)).error == error
        assert archived(one)["metadata"]["nbflow"]["error"]["signal"] == 9

    def test_a_journal_that_cannot_be_begun(self, execute: Callable[..., Outcome], tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        outcome = execute(order(tmp_path, "1", journal=str(tmp_path / "file/journal")))
        assert kind(outcome) is ErrorKind.ARCHIVE
        assert outcome.files == ()

    def test_a_journal_that_breaks_leaves_what_came_before(
        self, execute: Callable[..., Outcome], tmp_path: Path
    ) -> None:
        def breaks(session: Session) -> Ending:
            ran(session)
            raise JournalError("cannot write the journal: No space left on device")

        one = order(tmp_path, "1", "2")
        outcome = execute(one, breaks)
        assert kind(outcome) is ErrorKind.ARCHIVE
        assert outcome.cells.ok == 1
        assert states(archived(one)) == ["ok", "not_run"]
        assert archived(one)["metadata"]["nbflow"]["error"]["kind"] == "archive"

    def test_a_journal_that_is_removed_takes_nothing_with_it(
        self, execute: Callable[..., Outcome], tmp_path: Path
    ) -> None:
        def removes(session: Session) -> Ending:
            ending = ran(session)
            shutil.rmtree(Path(session.journal.path).parent)
            return ending

        one = order(tmp_path, "1", "2", journal=str(tmp_path / "journals/sales-1/clean.1.jsonl"))
        outcome = execute(one, removes)
        assert outcome.verdict is Verdict.SUCCEEDED
        assert (outcome.cells.ok, outcome.cells.not_run) == (1, 1)
        assert states(archived(one)) == ["ok", "not_run"]

    def test_what_fails_since_the_journal_was_removed_is_no_failure_of_the_archive(
        self, execute: Callable[..., Outcome], tmp_path: Path
    ) -> None:
        def removes(session: Session) -> Ending:
            ran(session)
            shutil.rmtree(Path(session.journal.path).parent)
            raise JournalError("cannot write x.spool/cell-1.txt.gz: No such file or directory")

        one = order(tmp_path, "1", "2", journal=str(tmp_path / "journals/sales-1/clean.1.jsonl"))
        outcome = execute(one, removes)
        assert kind(outcome) is ErrorKind.LOST
        assert outcome.error is not None
        assert outcome.error.message.startswith("its journal was removed while it ran: cannot write x.spool")
        assert states(archived(one)) == ["ok", "not_run"]

    def test_an_archive_that_cannot_be_written_keeps_the_journal(
        self, execute: Callable[..., Outcome], tmp_path: Path
    ) -> None:
        journal = str(tmp_path / "kept/journal")
        one = order(tmp_path, "1", journal=journal, outputs=str(tmp_path / "none"))
        outcome = execute(one, ran)
        assert kind(outcome) is ErrorKind.ARCHIVE
        assert outcome.files == ()
        assert outcome.cells.ok == 1
        folded = fold(jr.read(Path(journal)))
        assert folded.outcome.verdict is Verdict.SUCCEEDED

    def test_the_journal_is_given_free_whatever_happens(self, execute: Callable[..., Outcome], tmp_path: Path) -> None:
        def bug(session: Session) -> Ending:
            raise ZeroDivisionError

        one = order(tmp_path, "1")
        with pytest.raises(ZeroDivisionError):
            execute(one, bug)
        jr.Journal.reopen(one.journal, patience=0, evict=lambda: None).close()


class TestSecrets:
    SECRETS: ClassVar = {"DB_URL": "env:NBT_SECRET"}

    @pytest.fixture(autouse=True)
    def canary(self, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("NBT_SECRET", "hunter2-canary")
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        return "hunter2-canary"

    def test_the_kernel_gets_the_values_and_what_is_kept_is_masked(
        self, execute: Callable[..., Outcome], tmp_path: Path, canary: str
    ) -> None:
        seen: list[Session] = []

        def act(session: Session) -> Ending:
            seen.append(session)
            session.report(CellStart(task="clean", attempt=1, cell=0, number=1, title=canary))
            error = TaskError(kind=ErrorKind.EXCEPTION, message=f"E: {canary}", ename="E", cell=0)
            return Ending(verdict=Verdict.FAILED, error=error)

        document = notebook(code("url = ''", "parameters"), f"x = {canary!r}")
        one = order(
            tmp_path, document=document, params={"url": canary}, secrets=self.SECRETS, withheld=("NBT_SECRET", "B")
        )
        outcome = execute(one, act)
        (session,) = seen
        assert session.variables["DB_URL"] == canary
        assert session.variables["NBFLOW_RUN"] == "sales-1"
        assert session.withheld == ("NBT_SECRET", "B")
        assert canary in session.document["cells"][1]["source"]
        assert canary in session.document["cells"][2]["source"]
        assert "variables=" not in repr(session)
        assert outcome.error is not None
        assert outcome.error.message == "E: [secret DB_URL]"
        assert canary not in Path(one.journal).read_text("utf-8")
        archive = json.dumps(archived(one))
        assert canary not in archive
        assert archive.count("the value of the secret DB_URL: masked here, open in the notebook itself") == 2

    def test_one_without_a_value_fails_before_anything_starts(
        self, execute: Callable[..., Outcome], tmp_path: Path, canary: str
    ) -> None:
        one = order(tmp_path, f"x = {canary!r}", secrets={**self.SECRETS, "OTHER": "env:NBT_ABSENT"})
        outcome = execute(one, ran)
        assert kind(outcome) is ErrorKind.START_FAILED
        assert outcome.error is not None
        assert outcome.error.message.startswith("the secret OTHER has no value: env:NBT_ABSENT: there is no such")
        assert states(archived(one)) == ["not_run"]
        assert canary not in Path(one.journal).read_text("utf-8")

    def test_one_that_is_stopped_meanwhile_ends_as_such(self, tmp_path: Path) -> None:
        control = Control()
        control.request(Stop(cause=StopCause.CANCELLED))
        one = order(tmp_path, "1", secrets={"X": "cmd:sleep 100"})
        prepared = at._with_secrets(at.prepare(one), one, control)
        assert prepared.refused is None
        assert prepared.secrets.refused is not None

    def test_a_notebook_is_searched_once_more_before_it_is_published(
        self, execute: Callable[..., Outcome], tmp_path: Path, canary: str
    ) -> None:
        def act(session: Session) -> Ending:
            output = {"output_type": "stream", "name": "stdout", "text": f"past all masking: {canary}"}
            session.journal.append("output", cell=0, output=output)
            return ran(session)

        one = order(tmp_path, "1", secrets=self.SECRETS)
        assert execute(one, act).verdict is Verdict.SUCCEEDED
        document = archived(one)
        assert document["cells"][0]["outputs"][0]["text"] == ["past all masking: [secret DB_URL]"]
        assert document["metadata"]["nbflow"]["warnings"] == [
            "values of secrets were found in this notebook at its end, and masked"
        ]
        assert canary not in (Path(one.outputs) / "sales/sales-1/clean.html").read_text("utf-8")


class TestPrepare:
    def test_the_header_holds_all_that_is_known(self, tmp_path: Path) -> None:
        one = order(tmp_path, code("a = 0", "parameters"), params={"a": (1, 2)}, sha256="0" * 64)
        journal = jr.Journal.create(one.journal)
        at.write_header(journal, one, at.prepare(one))
        journal.close()
        (header,) = jr.read(Path(one.journal))
        assert header["parameters"] == {"a": [1, 2]}
        assert header["source"]["path"] == "source.ipynb"
        assert header["source"]["changed"] is True
        assert header["kernel"]["name"] == "python3"
        assert header["worker"]["pid"] == os.getpid()
        assert abs(header["worker"]["started"] - psutil.Process().create_time()) < 1
        assert "params" not in header["order"]
        known = {"interpreter", "nbflow", "platform", "host", "locale", "timezone", "packages"}
        assert set(header["environment"]) == known

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"kernel": "no-such"}, "is not installed"),
            ({"params": {"b": 1}}, "does not declare the parameter 'b'"),
            ({"params": {"class": 1}}, "class"),
        ],
    )
    def test_what_is_refused_still_has_a_document(self, tmp_path: Path, fields: dict[str, Any], said: str) -> None:
        prepared = at.prepare(order(tmp_path, code("a = 0", "parameters"), **fields))
        assert prepared.refused is not None
        assert said in prepared.refused
        assert [cell["source"] for cell in prepared.document["cells"]] == ["a = 0"]

    def test_values_that_are_damaged_are_refused(self, tmp_path: Path) -> None:
        one = order(tmp_path, code("a = 0", "parameters"))
        broken = WorkOrder(**{**{name: getattr(one, name) for name in one.__slots__}, "params": {"a": {"$what": 1}}})
        assert at.prepare(broken).refused == "unknown kind of value '$what'"

    def test_a_source_that_is_gone_leaves_an_empty_document(self, tmp_path: Path) -> None:
        one = order(tmp_path, "1")
        Path(one.notebook).unlink()
        prepared = at.prepare(one)
        assert "cannot be read" in (prepared.refused or "")
        assert prepared.document["cells"] == []
        assert prepared.source.sha256 is None

    def test_a_language_without_literals_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        place = tmp_path / "jupyter/kernels/odd"
        place.mkdir(parents=True)
        spec = {"argv": ["odd"], "display_name": "Odd", "language": "brainfuck"}
        (place / "kernel.json").write_text(json.dumps(spec))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        cell = code("a = 0", "parameters")
        assert "brainfuck" in (at.prepare(order(tmp_path, cell, params={"a": 1}, kernel="odd")).refused or "")
        assert at.prepare(order(tmp_path, cell, kernel="odd")).refused is None

    def test_a_source_outside_of_the_project_keeps_its_whole_path(self, tmp_path: Path) -> None:
        one = order(tmp_path, "1", root=str(tmp_path / "elsewhere"))
        journal = jr.Journal.create(one.journal)
        at.write_header(journal, one, at.prepare(one))
        journal.close()
        assert jr.read(Path(one.journal))[0]["source"]["path"] == one.notebook


def test_a_process_is_known_by_its_start() -> None:
    assert at.process_start(os.getpid()) == at.process_start(os.getpid())
    with pytest.raises(psutil.NoSuchProcess):
        at.process_start(2**22 + 1)
