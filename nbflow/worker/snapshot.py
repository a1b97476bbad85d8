"""The source of an attempt: its bytes read once, made ready to run, and written back the way Jupyter writes.

What earlier executions left in it (outputs, counts, times, states) is taken out; the injected cell is put in; ids are
only ever made from content. Must not know kernels, journals or archives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from nbflow.sources import SourceFault, parse_source

PARAMETERS = "parameters"
INJECTED = "injected-parameters"
SKIP = "skip-execution"
RAISES = "raises-exception"

_RESIDUES = ("execution", "nbflow", "papermill")
"""Metadata that tell of another execution: times by JupyterLab, states by ourselves and by papermill."""
_SPLIT_MIMES = ("application/javascript", "image/svg+xml")
_EMPTY: dict[str, Any] = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


class SourceError(ValueError):
    """The source cannot be run; the message names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What was read: the document as it stands in the file, and the SHA-256 (hex) of the file's bytes."""

    document: dict[str, Any]
    sha256: str | None


def read_source(path: str) -> Source:
    """Read a notebook of format 4, once. Raises SourceError."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    return Source(document=_parse(data, path), sha256=sha256(data).hexdigest())


def empty_source() -> Source:
    """What stands in for a source that cannot be read: the archive still gets a notebook that says what happened."""
    return Source(document=json.loads(json.dumps(_EMPTY)), sha256=None)


def _parse(data: bytes, path: str) -> dict[str, Any]:
    try:
        document = parse_source(data, path)
    except SourceFault as fault:
        raise SourceError(f"{path}: {fault}") from fault
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not a notebook: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise SourceError(f"{path} is not a notebook of format 4: it has no list of cells")
    if document.get("nbformat") != 4:
        raise SourceError(f"{path} has notebook format {document.get('nbformat')}; only format 4 can be run")
    for number, cell in enumerate(document["cells"]):
        if not _is_cell(cell):
            raise SourceError(f"{path}: cells[{number}] is not a cell of notebook format 4")
    return document


def _is_cell(cell: object) -> bool:
    return (
        isinstance(cell, dict)
        and cell.get("cell_type") in {"code", "markdown", "raw"}
        and isinstance(cell.get("metadata", {}), dict)
        and isinstance(_text(cell.get("source", "")), str)
    )


def _text(value: object) -> str | None:
    """Multi-line text may be stored as a list of lines."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value if isinstance(value, str) else None


def prepare(source: Mapping[str, Any], injected: str | None) -> dict[str, Any]:
    """The document that runs: nothing of an earlier execution, and `injected` in a cell after the parameters.

    Raises SourceError where there is something to inject and no cell tagged `parameters`.
    """
    cells = [_cleaned(cell) for cell in source["cells"]]
    metadata = {
        key: value for key, value in _mapping(source.get("metadata")).items() if key not in {*_RESIDUES, "widgets"}
    }
    minor = source.get("nbformat_minor")
    document = {
        **source,
        "cells": cells,
        "metadata": metadata,
        "nbformat_minor": minor if isinstance(minor, int) else _EMPTY["nbformat_minor"],
    }
    if injected is not None:
        document["cells"] = _inject(cells, injected)
    if document["nbformat_minor"] >= 5:
        _give_ids(document["cells"])
    return document


def _cleaned(cell: Mapping[str, Any]) -> dict[str, Any]:
    kept = {**cell, "source": _text(cell.get("source", "")), "metadata": dict(_mapping(cell.get("metadata")))}
    if cell["cell_type"] == "code":
        kept |= {"outputs": [], "execution_count": None}
        for key in _RESIDUES:
            kept["metadata"].pop(key, None)
    return kept


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _inject(cells: list[dict[str, Any]], code: str) -> list[dict[str, Any]]:
    """An injected cell of an earlier execution makes way for the new one."""
    kept = [cell for cell in cells if not has_tag(cell, INJECTED)]
    places = [index for index, cell in enumerate(kept) if is_code(cell) and has_tag(cell, PARAMETERS)]
    if not places:
        raise SourceError(f"parameters are given, but no code cell is tagged `{PARAMETERS}`")
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": [INJECTED]},
        "outputs": [],
        "source": code,
    }
    place = places[-1] + 1
    return [*kept[:place], cell, *kept[place:]]


def _give_ids(cells: list[dict[str, Any]]) -> None:
    taken = {str(cell["id"]) for cell in cells if cell.get("id")}
    for index, cell in enumerate(cells):
        attempt = 0
        while not cell.get("id"):
            digest = sha256(f"{index}/{attempt}/{cell['cell_type']}/{cell['source']}".encode("utf-8", "replace"))
            name = digest.hexdigest()[:8]
            attempt += 1
            if name not in taken:
                cell["id"] = name
                taken.add(name)


def is_code(cell: Mapping[str, Any]) -> bool:
    """True of a code cell."""
    return bool(cell["cell_type"] == "code")


def has_tag(cell: Mapping[str, Any], tag: str) -> bool:
    """True where a cell bears a tag."""
    tags = cell["metadata"].get("tags")
    return isinstance(tags, list) and tag in tags


def code_cells(document: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Code cells with their positions among all cells."""
    return ((index, cell) for index, cell in enumerate(document["cells"]) if is_code(cell))


def kernel_name(document: Mapping[str, Any], override: str | None) -> str:
    """The kernel to run a notebook with. Raises SourceError where neither side names one."""
    spec = document["metadata"].get("kernelspec")
    name = override or (spec.get("name") if isinstance(spec, dict) else None)
    if not isinstance(name, str) or not name:
        raise SourceError('the notebook names no kernel: set `kernel = "..."` for the task')
    return name


def dumps(document: Mapping[str, Any]) -> bytes:
    """The bytes of a notebook's file, as Jupyter writes it: sorted keys, lines split, one newline at the end."""
    split = {**document, "cells": [_split_cell(cell) for cell in document["cells"]]}
    text = _written(split, "\n")
    # A lone surrogate has no UTF-8 form; backslashreplace makes it the escape that JSON has for it.
    return (text + "\n").encode("utf-8", "backslashreplace")


def _written(value: Any, margin: str) -> str:
    """As `json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)`, whose indenting is slow."""
    if isinstance(value, str):
        return encode_basestring(value)
    inner = margin + " "
    if isinstance(value, dict) and value:
        parts = (f"{_key(key)}: {_written(value[key], inner)}" for key in sorted(value))
        return f"{{{inner}{f',{inner}'.join(parts)}{margin}}}"
    if isinstance(value, list | tuple) and value:
        return f"[{inner}{f',{inner}'.join([_written(one, inner) for one in value])}{margin}]"
    return json.dumps(value)


def _key(key: Any) -> str:
    """Keys that are no text are written as text."""
    return encode_basestring(key) if isinstance(key, str) else encode_basestring(json.dumps(key))


def _split_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    found = {**cell, "source": cell["source"].splitlines(keepends=True)}
    if isinstance(cell.get("attachments"), dict):
        found["attachments"] = {
            name: _split_bundle(bundle) if isinstance(bundle, dict) else bundle
            for name, bundle in cell["attachments"].items()
        }
    if is_code(cell):
        found["outputs"] = [_split_output(output) for output in cell["outputs"]]
    return found


def _split_output(output: Mapping[str, Any]) -> dict[str, Any]:
    match output["output_type"]:
        case "stream":
            return {**output, "text": output["text"].splitlines(keepends=True)}
        case "display_data" | "execute_result":
            return {**output, "data": _split_bundle(output["data"])}
        case _:
            return dict(output)


def _split_bundle(bundle: Mapping[str, Any]) -> dict[str, Any]:
    return {
        mime: value.splitlines(keepends=True)
        if isinstance(value, str) and (mime.startswith("text/") or mime in _SPLIT_MIMES)
        else value
        for mime, value in bundle.items()
    }
