"""What a project asks of its archive, in a folder and on object storage in memory."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from nbflow.archiving import PATIENCE, Archiving, ledgers_folder, patience
from nbflow.core.attempt import ArchivedFile, Outcome, Verdict
from nbflow.core.messages import Finished
from nbflow.core.spec import ProjectSpec
from nbflow.core.state import RunState
from nbflow.core.views import run_document
from nbflow.errors import NotFoundError, UnreachableError
from nbflow.results import RunResult
from nbflow.runs import Runs
from nbflow.store.memory import MemoryStore
from support.build import RUN, Story, planned
from support.held import HeldFileSystem, held_files, held_url

FOLDER = f"sales/{RUN}"
NOTEBOOK, PAGE = f"{FOLDER}/a.ipynb", f"{FOLDER}/a.html"


def spec_of(root: Path, outputs: str) -> ProjectSpec:
    return ProjectSpec(root=str(root), file="pipelines.toml", pipelines={}, outputs=outputs, state=str(root / "s.db"))


@pytest.fixture
def url() -> str:
    return held_url()


@pytest.fixture
def archiving(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Archiving:
    monkeypatch.setenv("NBFLOW_ARCHIVE_WAIT", "5")
    made = Archiving(spec_of(tmp_path, url))
    made.check()
    return made


def finished(archiving: Archiving, verdict: Verdict = Verdict.SUCCEEDED) -> Finished:
    """A report of `a`, with its files published as a worker would."""
    files = []
    for path in (NOTEBOOK, PAGE):
        data = f"{path} {verdict}".encode()
        archiving.files.publish(path, data)
        files.append(ArchivedFile(path=path, size=len(data), sha256=sha256(data).hexdigest()))
    return Finished(task="a", attempt=1, outcome=Outcome(verdict=verdict, files=tuple(files)))


def carried_out(archiving: Archiving, url: str, verdict: Verdict = Verdict.SUCCEEDED) -> RunState:
    """A run with one task, published and given to the uploads, as an engine does it."""
    story = Story(planned("a"), outputs=url, spool="outputs/.nbflow/spool", root=str(archiving.files.root))
    feeds = archiving.feeds(story.state)
    story.send("start")
    story.send(finished(archiving, verdict))
    for name in ("run.json", "index.html"):
        archiving.files.publish(f"{FOLDER}/{name}", b'{"run": "x", "created": "y"}')
    for stamped in story.history:
        for feed in feeds:
            feed(stamped)
    return story.state


class OneRun(Runs):
    """Runs of a store that has one."""

    def __init__(self, state: RunState) -> None:
        from nbflow.core.views import project

        super().__init__(MemoryStore(), lambda _: False)
        self.only = state
        self.row = project(state).row
        self.store.run = lambda run: self.row if run == RUN else None  # type: ignore[method-assign]

    def state(self, row: Any) -> RunState:
        return self.only

    __slots__ = ("only", "row")
    __setattr__ = object.__setattr__


def test_a_folder_is_just_a_folder(tmp_path: Path) -> None:
    archiving = Archiving(spec_of(tmp_path, str(tmp_path / "outputs")))
    archiving.check()
    assert archiving.files.root == tmp_path / "outputs"
    assert archiving.url is None
    state = Story(planned("a")).state
    assert archiving.feeds(state) == ()
    archiving.restore(state)
    archiving.catch_up(OneRun(state))
    archiving.fetch_page(OneRun(state).row, OneRun(state))
    assert archiving.settle()
    assert archiving.trouble(RUN) is None
    assert archiving.waiting(FOLDER) == ()
    document = run_document(state)
    assert archiving.mark(document) == document
    assert archiving.place("outputs/sales/a.html") == tmp_path / "outputs/sales/a.html"
    assert archiving.notebook("outputs/sales/a.ipynb") == tmp_path / "outputs/sales/a.ipynb"
    with pytest.raises(UnreachableError, match="lies in another archive"):
        archiving.place("s3://bucket/sales/a.html")
    with pytest.raises(NotFoundError):
        _ = archiving.uploader
    assert archiving.finish(RunResult(document), wait=True) == document
    assert archiving.for_sealing(RUN) is archiving.files
    archiving.close()


def test_a_run_goes_to_object_storage(archiving: Archiving, url: str, tmp_path: Path) -> None:
    assert archiving.files.root == tmp_path / "outputs/.nbflow/spool"
    state = carried_out(archiving, url)
    assert archiving.settle()
    names = {path.removeprefix(f"{FOLDER}/") for path in held_files(url)}
    assert names == {"a.ipynb", "a.html", "run.json", "index.html"}
    assert archiving.trouble(RUN) is None
    marked = archiving.finish(RunResult(run_document(state)), wait=False)
    assert marked["archived"] == marked["tasks"][0]["archived"] == "done"
    archiving.for_sealing(RUN)
    assert archiving.mark(run_document(state))["archived"] == "pending", "until the new page is there"
    assert marked["tasks"][0]["notebook"] == f"{url}/{NOTEBOOK}"


def test_what_waits_is_told_and_goes_at_the_next_start(
    archiving: Archiving, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    HeldFileSystem.down = ConnectionRefusedError("down")
    state = carried_out(archiving, url)
    monkeypatch.setenv("NBFLOW_ARCHIVE_WAIT", "0.2")
    assert not archiving.settle()
    assert "cannot be reached" in str(archiving.trouble(RUN))
    archiving.close()
    later = Archiving(spec_of(tmp_path, url))
    later.check()  # down is no reason not to begin
    marked = later.mark(run_document(state))
    assert marked["archived"] == marked["tasks"][0]["archived"] == "pending"
    assert len(later.waiting(FOLDER)) == 4
    assert later.place(f"{url}/{PAGE}").read_bytes() == f"{PAGE} succeeded".encode(), "it is read here"
    assert "is not yet in" in str(later.trouble(RUN))
    HeldFileSystem.down = None
    later.catch_up(OneRun(state))
    assert later.settle(5)
    assert len(held_files(url)) == 4
    assert later.mark(run_document(state))["archived"] == "done"


def test_a_run_that_goes_on_is_left_to_its_engine(archiving: Archiving, url: str) -> None:
    story = Story(planned("a"), outputs=url, spool="outputs/.nbflow/spool")
    archiving.feeds(story.state)
    story.send("start")
    other = Archiving(spec_of(archiving._root, url))
    other.catch_up(OneRun(story.state))
    other.catch_up(OneRun(Story(planned("b")).state))
    assert other.settle()
    assert archiving.mark(run_document(story.state))["tasks"][0]["archived"] is None
    assert held_files(url) == {}


def test_what_is_not_here_any_more_is_fetched(archiving: Archiving, url: str) -> None:
    state = carried_out(archiving, url, Verdict.FAILED)
    assert archiving.settle()
    assert archiving.uploads is not None
    assert archiving.uploads.make_room(0) == [RUN]
    place = archiving.files.resolve
    runs = OneRun(state)
    archiving.fetch_page(runs.row, runs)
    assert place(f"{FOLDER}/index.html").exists()
    assert place(PAGE).exists(), "the page of the run leads to it"
    assert not place(NOTEBOOK).exists()
    archiving.restore(state)
    assert place(NOTEBOOK).exists(), "a new attempt will move it aside"
    assert archiving.mark(run_document(state))["archived"] == "done"


def test_a_notebook_is_fetched_with_what_lies_beside_it(archiving: Archiving, url: str) -> None:
    file = "cell-1.stdout.txt.gz"
    spooled = '{"metadata": {"nbflow": {"spooled": [{"cell": 0, "output": "stdout", "file": "' + file + '"}]}}}'
    archiving.files.publish(NOTEBOOK, spooled.encode())
    archiving.files.publish(f"{FOLDER}/a.{file}", b"all")
    assert archiving.uploads is not None
    for path in (NOTEBOOK, f"{FOLDER}/a.{file}"):
        archiving.uploads.upload(path)
        archiving.files.resolve(path).unlink()
    assert archiving.notebook(f"{url}/{NOTEBOOK}").read_text() == spooled
    assert archiving.files.resolve(f"{FOLDER}/a.{file}").read_bytes() == b"all"
    archiving.files.publish(NOTEBOOK, b"no notebook")
    archiving.notebook(f"{url}/{NOTEBOOK}")


def test_storage_that_says_no_for_good_is_found_before_anything_runs(tmp_path: Path, url: str) -> None:
    HeldFileSystem.down = PermissionError("no")
    archiving = Archiving(spec_of(tmp_path, url))
    archiving.ahead()
    archiving.ahead()
    for _ in range(2):
        with pytest.raises(UnreachableError, match="access is denied"):
            archiving.check()
    HeldFileSystem.down = None
    archiving.check()


def test_patience(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text, seconds in (("", PATIENCE), ("x", PATIENCE), ("2.5", 2.5), ("-1", 0.0)):
        monkeypatch.setenv("NBFLOW_ARCHIVE_WAIT", text)
        assert patience() == seconds
    assert ledgers_folder(spec_of(tmp_path, "s3://bucket")) == tmp_path / "outputs/.nbflow/uploads"
