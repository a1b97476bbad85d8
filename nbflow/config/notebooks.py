"""`read_notebook(path)`: the bytes, hash and document of a notebook file, or why it is none.

Reads the bytes once, so that the hash is that of the document. Judges the outer shape only: what runs a notebook
needs; what its parameters are is `core.contract`.
"""

from __future__ import annotations

import json
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from nbflow.core.cells import code_cells
from nbflow.sources import SourceFault, parse_source

MAX_BYTES = 200_000_000

_CONFLICT = re.compile(rb"^(?:<{7} |={7}\r?$|>{7} )", re.MULTILINE)
_MARKS = ("<<<<<<< ", "=======", ">>>>>>> ")
_MERGE = "finish the merge (nbdime can: nbdime mergetool)"
_LFS = b"version https://git-lfs.github.com/spec/"
_UPGRADE = "open and save it in JupyterLab, or: jupyter nbconvert --to notebook --nbformat 4 --inplace FILE"
_CELL_TYPES = ("code", "markdown", "raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookFault:
    """What is wrong with a notebook file. A warning does not keep it from running."""

    message: str
    hint: str | None = None
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookFile:
    """A notebook file as it was read: size in bytes, SHA-256 in hex; `document` is None where it cannot be run."""

    path: Path
    document: dict[str, Any] | None = None
    sha256: str | None = None
    size: int | None = None
    problems: tuple[NotebookFault, ...] = ()
    is_missing: bool = False

    @property
    def kernel(self) -> str | None:
        """Name of the kernel in the notebook's metadata."""
        spec = (self.document or {}).get("metadata", {}).get("kernelspec")
        name = spec.get("name") if isinstance(spec, dict) else None
        return name if isinstance(name, str) and name else None


def read_notebook(path: Path) -> NotebookFile:
    """Read a notebook. Never raises for what is in the file, or for its absence."""
    try:
        data = _read_bytes(path)
    except (OSError, ValueError) as error:
        is_missing = isinstance(error, FileNotFoundError)
        message = "there is no such notebook" if is_missing else f"cannot be read: {_reason(error)}"
        return NotebookFile(path=path, problems=(NotebookFault(message=message),), is_missing=is_missing)
    if isinstance(data, NotebookFault):
        return NotebookFile(path=path, problems=(data,))
    document = _parse(data, path)
    problems = (document,) if isinstance(document, NotebookFault) else tuple(_check(document))
    usable = isinstance(document, dict) and all(problem.warning for problem in problems)
    return NotebookFile(
        path=path,
        document=document if usable and isinstance(document, dict) else None,
        sha256=sha256(data).hexdigest(),
        size=len(data),
        problems=problems,
    )


def _read_bytes(path: Path) -> bytes | NotebookFault:
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        return NotebookFault(message="this is a folder, not a notebook")
    if not stat.S_ISREG(found.st_mode):
        return NotebookFault(message="this is not a regular file")
    data = b""
    if found.st_size <= MAX_BYTES:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    if found.st_size > MAX_BYTES or len(data) > MAX_BYTES:
        return NotebookFault(
            message=f"the notebook has more than {MAX_BYTES // 1_000_000} MB",
            hint="clear its outputs: jupyter nbconvert --clear-output --inplace FILE",
        )
    return data


def _parse(data: bytes, path: Path) -> dict[str, Any] | NotebookFault:
    """The document, or the likeliest reason why there is none."""
    if not data.strip():
        return NotebookFault(message="the notebook is empty (no bytes in it)", hint="create it anew in JupyterLab")
    if data.startswith(_LFS):
        return NotebookFault(
            message="this is a Git LFS pointer, not the notebook itself", hint="fetch it: git lfs pull"
        )
    try:
        document = parse_source(data, path)
    except SourceFault as fault:
        return NotebookFault(message=fault.message, hint=fault.hint)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return NotebookFault(message=f"the notebook is not UTF-8 (line {line})", hint="save it as UTF-8")
    except RecursionError:
        return NotebookFault(message="not a notebook: its JSON is nested too deep")
    except ValueError as error:
        if _CONFLICT.search(data):
            return NotebookFault(
                message="the notebook holds merge conflict markers",
                hint=_MERGE,
            )
        return NotebookFault(message=f"not a notebook: {_json_fault(error)}", hint="the file may be cut off or damaged")
    if not isinstance(document, dict) or not {"nbformat", "cells", "worksheets"} & document.keys():
        return NotebookFault(message="not a notebook: a JSON file without cells")
    return document


def _json_fault(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}"
    return f"not valid JSON: {error}"


def _check(document: dict[str, Any]) -> Iterator[NotebookFault]:
    """What is wrong with the shape of a document."""
    version = document.get("nbformat")
    if isinstance(version, bool) or not isinstance(version, int):
        yield NotebookFault(message="not a notebook: `nbformat` is missing or no number")
    elif version < 4:
        yield NotebookFault(message=f"the notebook has the old format {version}; format 4 is needed", hint=_UPGRADE)
    elif version > 4:
        hint = "save it as format 4 with the program that wrote it"
        yield NotebookFault(
            message=f"the notebook has format {version}, which is not known; format 4 is needed", hint=hint
        )
    elif not isinstance(document.get("metadata", {}), dict):
        yield NotebookFault(message="not a notebook: `metadata` is no object")
    elif not isinstance(document.get("cells"), list):
        yield NotebookFault(message="not a notebook: `cells` is missing or no list")
    else:
        cells = document["cells"]
        faults = [f"cells[{index}]: {fault}" for index, cell in enumerate(cells) if (fault := _cell_fault(cell))]
        yield from (NotebookFault(message=f"not a notebook: {fault}") for fault in faults[:3])
        if not faults:
            yield from _conflicts(document)
            yield from _double_ids(cells)


def _cell_fault(cell: Any) -> str | None:
    """What is wrong with a cell, None if nothing."""
    if not isinstance(cell, dict):
        return "it is no object"
    if cell.get("cell_type") not in _CELL_TYPES:
        return f"`cell_type` is none of {', '.join(_CELL_TYPES)}"
    source = cell.get("source")
    if not isinstance(source, str) and not (isinstance(source, list) and all(isinstance(line, str) for line in source)):
        return "`source` is missing or no text"
    if not isinstance(cell.get("metadata", {}), dict):
        return "`metadata` is no object"
    tags = cell.get("metadata", {}).get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        return "`metadata.tags` is no list of texts"
    if not isinstance(cell.get("id", ""), str):
        return "`id` is no text"
    outputs = cell.get("outputs", [])
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        return "`outputs` is no list of objects"
    return None


def _conflicts(document: dict[str, Any]) -> Iterator[NotebookFault]:
    """Code cells that a merge has left with both versions in them."""
    for cell in code_cells(document):
        lines = cell.source.splitlines()
        if all(any(line.startswith(mark) for line in lines) for mark in _MARKS):
            yield NotebookFault(message=f"code cell {cell.number} holds merge conflict markers", hint=_MERGE)


def _double_ids(cells: list[dict[str, Any]]) -> Iterator[NotebookFault]:
    double = [name for name, count in Counter(cell["id"] for cell in cells if "id" in cell).items() if count > 1]
    if double:
        more = f" and {len(double) - 3} more" if len(double) > 3 else ""
        shown = ", ".join(ascii(name)[1:-1] for name in double[:3])
        yield NotebookFault(
            message=f"cells share an id: {shown}{more}", hint="open and save it in JupyterLab", warning=True
        )


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
