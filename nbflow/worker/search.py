"""A last look at what is about to be published: the notebook, its page and what lies beside it hold no secret's value.

All has been masked where it was written; what is found here has got past that, or was put together since. Files and
pages are searched for values that do not stand there by chance. Must not know archives.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nbflow.core.masking import MaskedStream, Masker
from nbflow.errors import UnreachableError
from nbflow.worker.journal import JournalError
from nbflow.worker.masking import masked_document
from nbflow.worker.snapshot import dumps
from nbflow.worker.spool import TextSpool, unpacked

FOUND = "values of secrets were found in {} at its end, and masked"
"""The warning of a notebook, and of what belongs to it."""

_PIECE = 1_048_576


def searched_document(document: Mapping[str, Any], masker: Masker) -> Mapping[str, Any]:
    """The notebook, masked, with a warning where that has changed it."""
    masked, _ = masked_document(document, masker)
    return masked if masked == document else with_warning(masked, FOUND.format("this notebook"))


def notebook_bytes(document: Mapping[str, Any], masker: Masker) -> bytes:
    """The bytes of a notebook, without a value. Raises UnreachableError where they would be no notebook without it."""
    masked, _ = masked_document(document, masker)
    data = without_values(dumps(masked), masker, lambda: dumps(bare(masked)))
    try:
        json.loads(data)
    except ValueError:
        what = "the notebook holds the value of a secret where it cannot be masked, and is not published"
        raise UnreachableError(what, hint="choose another value for the secret") from None
    return data


def without_values(data: bytes, masker: Masker, words: Callable[[], bytes]) -> bytes:
    """The bytes of a text, masked. `words` makes what it would be without what the notebook says.

    A value that stands there too is one of nbflow's own words: it tells nothing, and is needed.
    """
    if not (found := masker.find(data)):
        return data
    only = masker.only(set(found).difference(masker.find(words())))
    return only.binary(data.decode("utf-8", "replace")).encode("utf-8", "replace") if only else data


def bare(document: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook of the same shape that says nothing."""
    cells = []
    for index, cell in enumerate(document["cells"]):
        facts = {key: value for key, value in cell["metadata"].items() if key == "nbflow"}
        kept: dict[str, Any] = {"cell_type": cell["cell_type"], "source": "", "metadata": {}}
        if "id" in cell:
            kept["id"] = f"cell-{index}"
        if cell["cell_type"] == "code":
            kept |= {"execution_count": cell["execution_count"], "metadata": facts}
            stream = {"output_type": "stream", "name": "stdout", "text": ""}
            shown = {"output_type": "display_data", "data": {}, "metadata": {}}
            error = {"output_type": "error", "ename": "", "evalue": "", "traceback": []}
            kept["outputs"] = [stream, shown, error] if cell["outputs"] else []
        cells.append(kept)
    metadata = document["metadata"]
    about = {key: metadata[key] for key in ("kernelspec", "language_info") if key in metadata}
    if "nbflow" in metadata:
        error = metadata["nbflow"].get("error")
        told = error and {**error, "message": "", "ename": ""}
        kept = {key: value for key, value in metadata["nbflow"].items() if key not in {"outputs_exact", "left_behind"}}
        about["nbflow"] = {**kept, "warnings": [], "parameters": {}, "outputs": {}, "error": told}
    return {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": document["nbformat_minor"]}


def clean_file(path: Path, masker: Masker) -> bool:
    """Rewrite a file that lies beside a journal where it holds a value; True where it did.

    Read and written piece by piece; what is packed is searched unpacked. One that is not there holds nothing.
    Raises UnreachableError.
    """
    is_text = path.suffix == ".gz"
    stream = masker.stream(is_text=is_text)
    try:
        for _ in _masked(_pieces(path, is_text=is_text), stream):
            pass
        if stream.found:
            _rewrite(path, _masked(_pieces(path, is_text=is_text), stream), is_text=is_text)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UnreachableError(f"cannot search {path}: {error.strerror}") from error
    except JournalError as error:
        raise UnreachableError(error.message) from error
    return bool(stream.found)


def with_warning(document: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The notebook with one more warning."""
    facts = document["metadata"]["nbflow"]
    changed = {**facts, "warnings": [*facts["warnings"], text]}
    return {**document, "metadata": {**document["metadata"], "nbflow": changed}}


def _pieces(path: Path, *, is_text: bool) -> Iterator[str]:
    """What a file holds. Bytes that are no text are kept as surrogates, from which they can be had back."""
    if is_text:
        yield from unpacked(path)
        return
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    with path.open("rb") as file:
        while data := file.read(_PIECE):
            yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def _masked(pieces: Iterator[str], stream: MaskedStream) -> Iterator[str]:
    for piece in pieces:
        yield stream.feed(piece)
    yield stream.end()


def _rewrite(path: Path, pieces: Iterator[str], *, is_text: bool) -> None:
    """Put a masked file in the place of an open one; a crash leaves one of them."""
    fresh = path.with_name(f"{path.name}.masked")
    fresh.unlink(missing_ok=True)
    if is_text:
        packed = TextSpool(fresh)
        for piece in pieces:
            packed.write(piece)
        packed.pause()
    else:
        fresh.touch(mode=0o600)
        with fresh.open("wb") as file:
            for piece in pieces:
                file.write(piece.encode("utf-8", "surrogateescape"))
    fresh.replace(path)
