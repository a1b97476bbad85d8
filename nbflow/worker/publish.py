"""Into the archive: what lies beside the notebook, the notebook, then its page; what an earlier attempt left makes way.

Where an attempt has secrets, all that is published is searched for their values first. Must not know kernels or what is
in a journal.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

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


def publish(order: WorkOrder, document: Mapping[str, Any], masker: Masker | None = None) -> tuple[ArchivedFile, ...]:
    """Publish the notebook of an attempt, its page, and what lies beside it, without the values that `masker` knows.

    Raises UnreachableError where the archive cannot be written.

    A notebook that cannot be made into a page is published all the same: the page then says so, and the notebook has a
    warning.
    """
    archive = FileArchive(Path(order.outputs))
    masker = masker or Masker({})
    _make_way(archive, order, masker)
    place = notebook_path(order.folder, order.slug)
    beside = []
    for one in spooled(document):
        if masker and clean_file(spool_folder(Path(order.journal)) / one.file, masker):
            document = with_warning(document, FOUND.format(one.file))
        if (file := _publish_spool(archive, order, spool_path(place, one.file), one.file)) is not None:
            beside.append(file)
        else:
            document = with_warning(document, f"{one.file}, which should lie beside the notebook, was lost in a crash")
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


def _make_way(archive: FileArchive, order: WorkOrder, masker: Masker) -> None:
    """Move an earlier attempt's notebook aside and make its page there, with links that hold in its new folder.

    Which attempt it was stands in the notebook.
    """
    place = notebook_path(order.folder, order.slug)
    if not archive.exists(place):
        return
    document = _document(archive.read(place))
    earlier = _attempt_of(document) or order.attempt - 1
    if earlier in {order.attempt, 0}:
        return
    target = attempt_path(order.folder, order.slug, earlier)
    for one in spooled(document):
        with suppress(NotFoundError):  # somebody has removed it: the notebook makes way all the same
            archive.move(spool_path(place, one.file), spool_path(target, one.file))
    archive.move(place, target)
    page, _ = _page(order, document, f"{order.slug}.{earlier}.ipynb", "../index.html", masker)
    archive.publish(attempt_path(order.folder, order.slug, earlier, ".html"), page)


def _document(data: bytes) -> dict[str, Any]:
    """A notebook of the archive; empty for what somebody else has put in its place."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _attempt_of(document: Mapping[str, Any]) -> int | None:
    try:
        number = document["metadata"]["nbflow"]["attempt"]
    except (LookupError, TypeError):
        return None
    return number if isinstance(number, int) else None


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
