"""What was too long for an executed notebook and lies beside it: texts of streams, values of displays.

A notebook `x.ipynb` (or `attempts/x.1.ipynb`) names those files in its metadata, `nbflow.spooled`; on the disk they
bear its own name before theirs: `x.cell-3.stdout.txt.gz`, the number counting code cells from 1. To print the whole
text of a cell's stream:

    for one in spooled(document):                       # the notebook, as a dict
        if one.cell == index and one.output == "stdout":
            for text in stream_text(archive, "sales/sales-1/clean.ipynb", one):
                ...                                     # pieces of at most PIECE characters

A stream of a cell that is spooled is spooled whole: its text takes the place of all stream outputs of that name in the
cell. Must not know how the files are made.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nbflow.archive.files import FileArchive
from nbflow.errors import UnreachableError

PIECE = 1_000_000
"""Characters that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """One file beside a notebook. `cell` is an index among all cells; `output` a stream's name, or `output-1`."""

    cell: int
    output: str
    file: str

    @property
    def is_stream(self) -> bool:
        """True of the whole text of a stream."""
        return not self.output.startswith("output-")


def spooled(document: Mapping[str, Any]) -> list[Spooled]:
    """The files beside a notebook, in the order of its cells; what is no such entry is left out."""
    metadata = document.get("metadata")
    facts = metadata.get("nbflow") if isinstance(metadata, Mapping) else None
    entries = facts.get("spooled") if isinstance(facts, Mapping) else None
    found = []
    for entry in entries if isinstance(entries, list) else []:
        match entry:
            case {"cell": int(cell), "output": str(output), "file": str(file)}:
                found.append(Spooled(cell=cell, output=output, file=file))
            case _:
                continue
    return found


def spool_path(notebook: str, file: str) -> str:
    """The archived path of a file beside a notebook, whose own path is given."""
    return f"{notebook.removesuffix('.ipynb')}.{file}"


def stream_text(archive: FileArchive, notebook: str, one: Spooled) -> Iterator[str]:
    """The whole text of a stream, piece by piece; `notebook` is the archived path of the notebook.

    Raises NotFoundError where the file is not there, UnreachableError where it cannot be read.
    """
    path = spool_path(notebook, one.file)
    with archive.open(path) as packed:
        try:
            with io.TextIOWrapper(gzip.GzipFile(fileobj=packed), "utf-8", "replace", newline="") as text:
                while piece := text.read(PIECE):
                    yield piece
        except (OSError, EOFError, zlib.error) as error:
            raise UnreachableError(f"{archive.resolve(path)} cannot be read: {error}") from error
