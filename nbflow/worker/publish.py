"""Into the archive: what lies beside the notebook, the notebook, then its page; what an earlier attempt left makes way.

Where an attempt has secrets, all that is published is searched for their values first. Must not know kernels or what is
in a journal.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from nbflow.archive.files import FileArchive
from nbflow.archive.layout import attempt_path, notebook_path, page_path
from nbflow.archive.spools import spool_path, spooled
from nbflow.core.attempt import ArchivedFile, WorkOrder
from nbflow.core.masking import Masker
from nbflow.errors import NotFoundError, UnreachableError
from nbflow.worker.search import (
    FOUND,
    bare,
    clean_file,
    notebook_bytes,
    searched_document,
    with_warning,
    without_values,
)
from nbflow.worker.snapshot import dumps
from nbflow.worker.spool import spool_folder

T = TypeVar("T")
_KEPT = "in its place was a notebook that the store does not know, as of a time after a backup that was restored: "


def publish(order: WorkOrder, document: Mapping[str, Any], masker: Masker | None = None) -> tuple[ArchivedFile, ...]:
    """Publish the notebook of an attempt, its page, and what lies beside it, without the values that `masker` knows.

    Raises UnreachableError where the archive cannot be written.

    A notebook that cannot be made into a page is published all the same: the page then says so, and the notebook has a
    warning.
    """
    archive = FileArchive(Path(order.outputs))
    masker = masker or Masker({})
    for text in _make_way(archive, order, document, masker):
        document = with_warning(document, text)
    place = notebook_path(order.folder, order.slug)
    beside = []
    for one in spooled(document):
        if masker and clean_file(spool_folder(Path(order.journal)) / one.file, masker):
            document = with_warning(document, FOUND.format(one.file))
        if (file := _publish_spool(archive, order, spool_path(place, one.file), one.file)) is not None:
            beside.append(file)
        else:
            text = f"{one.file}, which should lie beside the notebook, was lost in a crash or removed"
            document = with_warning(document, text)
    document = searched_document(document, masker) if masker else document
    notebook = archive.publish(place, _bytes(document, masker))
    page, faults = _page(order, document, f"{order.slug}.ipynb", "index.html", masker)
    if faults:
        for fault in faults:
            document = with_warning(document, fault)
        notebook = archive.publish(place, _bytes(document, masker))
    return notebook, archive.publish(page_path(order.folder, order.slug), page), *beside


def _bytes(document: Mapping[str, Any], masker: Masker) -> bytes:
    return notebook_bytes(document, masker) if masker else dumps(document)


def _publish_spool(archive: FileArchive, order: WorkOrder, place: str, file: str) -> ArchivedFile | None:
    """Publish a file that lies beside the journal; it comes before the notebook that refers to it.

    None where there is none: it goes when it is out of date, and a worker may die before the journal tells so.
    """
    source = spool_folder(Path(order.journal)) / file
    try:
        with source.open("rb") as found:
            return archive.publish_from(place, found)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreachableError(f"cannot read {source}: {error.strerror}") from error


def warm_up(cell: str = "code") -> None:
    """Load what pages are made with, by making one: it takes longer than most pages.

    `cell` is the type of its cell: what reads Markdown is a library of its own, and the slower one to load.
    """
    from nbflow.archive.page import notebook_page

    code: dict[str, Any] = {"execution_count": None, "outputs": []} if cell == "code" else {}
    cells: list[dict[str, Any]] = [{"cell_type": cell, "metadata": {}, "source": "text = 1", **code}]
    notebook_page({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}, title="")


def _make_way(archive: FileArchive, order: WorkOrder, document: Mapping[str, Any], masker: Masker) -> list[str]:
    """Move what is in the place of a notebook aside: as a rule that of an earlier attempt. Gives what is to be told.

    Which attempt it was stands in the notebook, and when it was started: what this very execution has published is
    replaced.
    """
    place = notebook_path(order.folder, order.slug)
    if not archive.exists(place):
        return []
    found = _document(archive.read(place))
    attempt = _fact(found, "attempt", int) or order.attempt - 1 or order.attempt
    if attempt == order.attempt and _fact(found, "started", str) == _fact(document, "started", str):
        return [text for text in _fact(found, "warnings", list) or [] if str(text).startswith(_KEPT)]
    if attempt >= order.attempt:
        return [_keep(archive, order, place, attempt, masker=masker)]
    target = attempt_path(order.folder, order.slug, attempt)
    kept = [_keep(archive, order, target, attempt, masker=masker)] if archive.exists(target) else []
    _move(archive, order, place, target, document=found, masker=masker)
    return kept


def _keep(archive: FileArchive, order: WorkOrder, place: str, attempt: int, *, masker: Masker) -> str:
    """Move a notebook that the store does not know aside, under a name that no other has, and say where it is."""
    data = archive.read(place)
    target = attempt_path(order.folder, order.slug, attempt, f"-{sha256(data).hexdigest()[:8]}.ipynb")
    _move(archive, order, place, target, document=_document(data), masker=masker)
    return _KEPT + target.removeprefix(f"{order.folder}/")


def _move(
    archive: FileArchive, order: WorkOrder, place: str, target: str, *, document: Mapping[str, Any], masker: Masker
) -> None:
    """Give a notebook another path, with what lies beside it, and make its page there, with links that hold there."""
    for one in spooled(document):
        with suppress(NotFoundError):  # somebody has removed it: the notebook makes way all the same
            archive.move(spool_path(place, one.file), spool_path(target, one.file))
    archive.move(place, target)
    page, _ = _page(order, document, target.rpartition("/")[2], "../index.html", masker)
    archive.publish(f"{target.removesuffix('.ipynb')}.html", page)


def _document(data: bytes) -> dict[str, Any]:
    """A notebook of the archive; empty for what somebody else has put in its place."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _fact(document: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    """What a notebook says of its attempt; None where it does not say it."""
    try:
        found = document["metadata"]["nbflow"][name]
    except (LookupError, TypeError):
        return None
    return found if isinstance(found, kind) else None


def _page(
    order: WorkOrder, document: Mapping[str, Any], notebook: str, index: str, masker: Masker
) -> tuple[bytes, list[str]]:
    """The page of a notebook, and what its notebook has to say of it: why it is only a substitute, what it had shown.

    A page may join what stands apart in its notebook.
    """
    from nbflow.archive.page import Link, notebook_page

    links = (Link(label=order.run, href=index),)

    def made(shown: Mapping[str, Any]) -> bytes:
        page = notebook_page(shown, title=order.task, links=links, notebook=notebook, timezone=order.timezone)
        return page.encode("utf-8", "replace")

    try:
        page = made(document)
        searched = without_values(page, masker, lambda: made(bare(document))) if masker else page
    except Exception as error:  # noqa: BLE001 - nbconvert and its filters raise anything; the notebook counts
        fault = masker.text(f"the page could not be made: {type(error).__name__}: {error}")[:500]
        return _substitute(order, notebook, fault).encode("utf-8", "replace"), [fault]
    return searched, [] if searched == page else [FOUND.format("the page of this notebook")]


def _substitute(order: WorkOrder, notebook: str, reason: str) -> str:
    """A page for a notebook that has none: where to find it, and why."""
    task, run, why = (html.escape(text) for text in (order.task, order.run, reason))
    name = html.escape(notebook)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">\n'
        f"<title>{task}</title>\n<h1>{task}</h1>\n<p>Run {run}.</p>\n"
        f'<p>{why}</p>\n<p>The executed notebook itself is complete: <a href="{name}">{name}</a>.</p>\n</html>\n'
    )
