"""Publishing: the notebook before all else, whatever its page does; earlier attempts make way, once."""

from __future__ import annotations

import gzip
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from nbflow.archive import page
from nbflow.archive.files import FileArchive
from nbflow.archive.spools import spooled, stream_text
from nbflow.core.attempt import WorkOrder
from nbflow.core.masking import Masker
from nbflow.errors import UnreachableError
from nbflow.worker import publish as pub
from nbflow.worker.publish import publish
from nbflow.worker.spool import spool_folder
from support.attempts import archived, notebook, order

FOLDER = "sales/sales-1"


def document(attempt: int = 1) -> dict[str, Any]:
    found = notebook("print(1)")
    facts = {"attempt": attempt, "state": "succeeded", "warnings": [], "error": None}
    found["metadata"]["nbflow"] = facts
    found["cells"][0]["metadata"]["nbflow"] = {"state": "ok"}
    return found


def names(one: WorkOrder) -> set[str]:
    """Files of the run's folder."""
    root = Path(one.outputs) / FOLDER
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_notebook_and_page(tmp_path: Path) -> None:
    one = order(tmp_path)
    files = publish(one, document())
    assert [file.path for file in files] == [f"{FOLDER}/clean.ipynb", f"{FOLDER}/clean.html"]
    assert "print" in (Path(one.outputs) / FOLDER / "clean.html").read_text("utf-8")
    assert archived(one)["metadata"]["nbflow"]["attempt"] == 1


def test_each_attempt_makes_way_for_the_next(tmp_path: Path) -> None:
    for attempt in (1, 2, 3):
        publish(order(tmp_path, attempt=attempt), document(attempt))
    one = order(tmp_path)
    kept = {f"attempts/clean.{attempt}.{suffix}" for attempt in (1, 2) for suffix in ("ipynb", "html")}
    assert names(one) == {"clean.ipynb", "clean.html", *kept}
    assert archived(one)["metadata"]["nbflow"]["attempt"] == 3
    assert archived(one, f"{FOLDER}/attempts/clean.2.ipynb")["metadata"]["nbflow"]["attempt"] == 2


def test_what_lies_beside_a_notebook_goes_with_it(tmp_path: Path) -> None:
    files = {}
    for attempt in (1, 2):
        journal = tmp_path / f"outputs/.nbflow/journals/r/clean.{attempt}.jsonl"
        one = order(tmp_path, attempt=attempt, journal=str(journal))
        folder = spool_folder(Path(one.journal))
        folder.mkdir(parents=True)
        (folder / "cell-1.stdout.txt.gz").write_bytes(gzip.compress(f"text {attempt}".encode()))
        made = document(attempt)
        made["metadata"]["nbflow"]["spooled"] = [{"cell": 0, "output": "stdout", "file": "cell-1.stdout.txt.gz"}]
        files = {file.path: file for file in publish(one, made)}
    place = f"{FOLDER}/clean.cell-1.stdout.txt.gz"
    data = (tmp_path / "outputs" / place).read_bytes()
    assert (files[place].size, files[place].sha256) == (len(data), sha256(data).hexdigest())
    archive = FileArchive(tmp_path / "outputs")
    for path, text in ((f"{FOLDER}/clean.ipynb", "text 2"), (f"{FOLDER}/attempts/clean.1.ipynb", "text 1")):
        (beside,) = spooled(json.loads(archive.read(path)))
        assert "".join(stream_text(archive, path, beside)) == text
    root = tmp_path / "outputs" / FOLDER
    assert "clean.cell-1.stdout.txt.gz" in links(root / "clean.html")
    assert "clean.1.cell-1.stdout.txt.gz" in links(root / "attempts/clean.1.html")


def test_nothing_is_published_with_a_value_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the notebook nor what lies beside it nor the page, which may join what stands apart in the notebook."""
    value = "hunter2-of-the-database"
    made_page = page.notebook_page

    def joining(shown: dict[str, Any], **options: Any) -> str:
        return made_page(shown, **options) + (value if shown["cells"][0]["source"] else "")

    monkeypatch.setattr(page, "notebook_page", joining)
    one = order(tmp_path)
    folder = spool_folder(Path(one.journal))
    folder.mkdir(parents=True)
    (folder / "cell-1.stdout.txt.gz").write_bytes(gzip.compress(f"a {value}".encode()))
    made = document()
    facts = made["metadata"]["nbflow"]
    facts["spooled"] = [{"cell": 0, "output": "stdout", "file": "cell-1.stdout.txt.gz"}]
    made["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": value}]
    files = {Path(file.path).name: file for file in publish(one, made, Masker({"DB": value}))}
    root = Path(one.outputs) / FOLDER
    assert gzip.decompress((root / "clean.cell-1.stdout.txt.gz").read_bytes()) == b"a [secret DB]"
    for name, file in files.items():
        assert sha256((root / name).read_bytes()).hexdigest() == file.sha256
        assert value.encode() not in (root / name).read_bytes()
    assert archived(one)["metadata"]["nbflow"]["warnings"] == [
        f"values of secrets were found in {what} at its end, and masked"
        for what in ("cell-1.stdout.txt.gz", "this notebook", "the page of this notebook")
    ]


def test_a_file_that_should_lie_beside_it_and_is_not_there(tmp_path: Path) -> None:
    made = document()
    made["metadata"]["nbflow"]["spooled"] = [{"cell": 0, "output": "stdout", "file": "cell-1.stdout.txt.gz"}]
    files = publish(order(tmp_path), made)
    assert [file.path for file in files] == [f"{FOLDER}/clean.ipynb", f"{FOLDER}/clean.html"]
    (warning,) = archived(order(tmp_path))["metadata"]["nbflow"]["warnings"]
    assert warning.startswith("cell-1.stdout.txt.gz")
    spool_folder(Path(order(tmp_path).journal)).mkdir(parents=True)
    (spool_folder(Path(order(tmp_path).journal)) / "cell-1.stdout.txt.gz").mkdir()
    with pytest.raises(UnreachableError, match="cannot read"):
        publish(order(tmp_path), made)


def test_links_of_an_earlier_attempt_hold_in_its_folder(tmp_path: Path) -> None:
    for attempt in (1, 2):
        publish(order(tmp_path, attempt=attempt), document(attempt))
    folder = tmp_path / "outputs" / FOLDER
    assert links(folder / "attempts/clean.1.html") == {"../index.html", "clean.1.ipynb"}
    assert links(folder / "clean.html") == {"index.html", "clean.ipynb"}


def links(page: Path) -> set[str]:
    """Where a page leads to; the empty icon does not count."""
    return set(re.findall(r'href="([^"#]+)"', page.read_text("utf-8"))) - {"data:,"}


def test_publishing_again_changes_nothing(tmp_path: Path) -> None:
    publish(order(tmp_path), document())
    first = publish(order(tmp_path, attempt=2), document(2))
    assert publish(order(tmp_path, attempt=2), document(2)) == first
    assert archived(order(tmp_path), f"{FOLDER}/attempts/clean.1.ipynb")["metadata"]["nbflow"]["attempt"] == 1


def of(started: str, attempt: int = 1, *, beside: bool = False) -> dict[str, Any]:
    """A notebook of an execution, which is told by its start."""
    made = document(attempt)
    made["metadata"]["nbflow"]["started"] = started
    if beside:
        made["metadata"]["nbflow"]["spooled"] = [{"cell": 0, "output": "stdout", "file": "cell-1.stdout.txt.gz"}]
    return made


def told(one: WorkOrder) -> list[str]:
    warnings: list[str] = archived(one)["metadata"]["nbflow"]["warnings"]
    return warnings


def test_a_notebook_of_another_execution_is_kept(tmp_path: Path) -> None:
    """The same attempt by its number: the store was restored from a backup that does not know it."""
    one = order(tmp_path)
    folder = spool_folder(Path(one.journal))
    folder.mkdir(parents=True)
    (folder / "cell-1.stdout.txt.gz").write_bytes(gzip.compress(b"all of it"))
    publish(one, of("2026-01-31T02:00:00Z", beside=True))
    before = (tmp_path / "outputs" / FOLDER / "clean.ipynb").read_bytes()
    kept = f"clean.1-{sha256(before).hexdigest()[:8]}"
    first = publish(one, of("2026-01-31T03:00:00Z"))
    root = tmp_path / "outputs" / FOLDER
    moved = {f"attempts/{kept}.{suffix}" for suffix in ("ipynb", "html", "cell-1.stdout.txt.gz")}
    assert names(one) == {"clean.ipynb", "clean.html", *moved}
    assert (root / f"attempts/{kept}.ipynb").read_bytes() == before
    assert links(root / f"attempts/{kept}.html") == {
        "../index.html",
        f"{kept}.ipynb",
        f"{kept}.cell-1.stdout.txt.gz",
    }
    (warning,) = told(one)
    assert f"attempts/{kept}.ipynb" in warning
    assert publish(one, of("2026-01-31T03:00:00Z")) == first, "the same execution once more"
    assert names(one) == {"clean.ipynb", "clean.html", *moved}


def test_what_another_execution_left_of_an_earlier_attempt_is_kept(tmp_path: Path) -> None:
    """In its place among the attempts, or in that of the notebook with a number that the store has not come to."""
    for attempt in (1, 2):
        publish(order(tmp_path, attempt=attempt), of(f"2026-01-31T0{attempt}:00:00Z", attempt))
    root = tmp_path / "outputs" / FOLDER
    there = {(root / name).read_bytes() for name in ("clean.ipynb", "attempts/clean.1.ipynb")}
    for attempt in (1, 2):
        publish(order(tmp_path, attempt=attempt), of(f"2026-02-01T0{attempt}:00:00Z", attempt))
        assert len(told(order(tmp_path))) == 1
    assert there < {path.read_bytes() for path in root.rglob("*.ipynb")}
    started = {
        path.name: json.loads(path.read_bytes())["metadata"]["nbflow"]["started"] for path in root.rglob("*.ipynb")
    }
    assert started.pop("clean.ipynb") == "2026-02-01T02:00:00Z"
    assert started.pop("clean.1.ipynb") == "2026-02-01T01:00:00Z"
    assert sorted(started.values()) == ["2026-01-31T01:00:00Z", "2026-01-31T02:00:00Z"]


@pytest.mark.parametrize("passage", ["move", "publish"])
def test_killed_while_it_makes_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passage: str) -> None:
    one = order(tmp_path)
    publish(one, of("2026-01-31T02:00:00Z"))
    before = (tmp_path / "outputs" / FOLDER / "clean.ipynb").read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FileArchive, passage, killed)
        with pytest.raises(KeyboardInterrupt):
            publish(one, of("2026-01-31T03:00:00Z"))
    publish(one, of("2026-01-31T03:00:00Z"))
    (kept,) = (tmp_path / "outputs" / FOLDER / "attempts").glob("*.ipynb")
    assert kept.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"[]", b'{"metadata": {"nbflow": {"attempt": "x"}}}'])
def test_a_notebook_that_does_not_say_its_attempt_is_taken_for_the_one_before(tmp_path: Path, data: bytes) -> None:
    publish(order(tmp_path), document())
    place = tmp_path / "outputs" / FOLDER / "clean.ipynb"
    place.write_bytes(data)
    publish(order(tmp_path, attempt=2), document(2))
    assert (place.parent / "attempts/clean.1.ipynb").read_bytes() == data


def test_a_page_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> str:
        raise ValueError("<no way>")

    monkeypatch.setattr(page, "notebook_page", broken)
    notebook_file, page_file = publish(order(tmp_path), document())
    assert archived(order(tmp_path))["metadata"]["nbflow"]["warnings"] == [
        "the page could not be made: ValueError: <no way>"
    ]
    assert notebook_file.size == (tmp_path / "outputs" / notebook_file.path).stat().st_size
    text = (tmp_path / "outputs" / page_file.path).read_text("utf-8")
    assert "&lt;no way&gt;" in text
    assert 'href="clean.ipynb"' in text
    assert "default-src 'none'" in text


def test_an_archive_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="has gone"):
        publish(order(tmp_path, outputs=str(tmp_path / "none")), document())


def test_the_page_cannot_take_the_notebook_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook is in its place before its page is begun."""
    seen: list[dict[str, Any]] = []

    def page_of(one: WorkOrder, *_: object) -> tuple[bytes, None]:
        seen.append(archived(one))
        return b"<html></html>", None

    monkeypatch.setattr(pub, "_page", page_of)
    publish(order(tmp_path), document())
    assert seen == [json.loads(json.dumps(archived(order(tmp_path))))]


@pytest.mark.parametrize("cell", ["code", "markdown"])
def test_warming_up_makes_a_page_and_leaves_nothing(cell: str) -> None:
    pub.warm_up(cell)
