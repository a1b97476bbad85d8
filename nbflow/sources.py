"""`parse_source(data, path)`: the document in the bytes of a notebook's file: JSON, or text that jupytext reads.

What checks a notebook and what runs it both read it here, so that they see the same. The document is the same each
time, and holds nothing of the text file but its cells and metadata. Must not know what a document has to look like.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import PurePath
from typing import Any

from nbflow.loading import without

TEXT = (".py", ".md")
"""Endings of files that are notebooks as text."""
MAX_TEXT = 500_000
"""Bytes of text; jupytext takes seconds for as much, and four times as long for twice as much."""

_FOREIGN = {"marimo", "pandoc", "quarto"}
"""Formats that jupytext has other programs read: looking at a notebook runs nothing."""


class SourceFault(ValueError):
    """A text that cannot be read as a notebook: why, and what to do about it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.hint = hint


def parse_source(data: bytes, path: PurePath | str) -> Any:
    """What the bytes of a file hold, by its ending.

    Raises SourceFault for text that is no notebook, UnicodeDecodeError, and ValueError or RecursionError for bad JSON.
    """
    ending = PurePath(path).suffix.lower()
    if ending not in TEXT:
        return json.loads(data.decode("utf-8-sig"))
    if len(data) > MAX_TEXT:
        message = f"the notebook has more than {MAX_TEXT // 1000} kB of text"
        raise SourceFault(message, "convert it: jupytext --to ipynb FILE")
    return _from_text(data.decode("utf-8-sig"), ending)


def _from_text(text: str, ending: str) -> dict[str, Any]:
    try:
        read = _reader()
    except ImportError as error:
        message = f"{ending} notebooks are read by jupytext, which cannot be loaded: {error}"
        raise SourceFault(message, 'install it: pip install "jupyter-nbflow[text]"') from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _plain(read(text, ending))
    except SourceFault:
        raise
    except Exception as error:  # what people write into headers makes jupytext fail in any way
        raise SourceFault(_reason(error, text)) from error


@cache
def _reader() -> Callable[[str, str], Mapping[str, Any]]:
    """What reads a text by its file's ending. Raises ImportError."""
    with without():
        import jupytext
        from jupytext.formats import guess_format, read_format_from_metadata

    def read(text: str, ending: str) -> Mapping[str, Any]:
        name, options = read_format_from_metadata(text, ending), {}
        if not name:
            name, options = guess_format(text, ending)
        if name in _FOREIGN:
            raise SourceFault(f"the format {name} is not one that jupytext reads by itself", "convert it to .ipynb")
        found: Mapping[str, Any] = jupytext.reads(text, {"extension": ending, "format_name": name, **options})
        return found

    return read


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """The document as JSON has it: dates of a YAML header as text, and no ids, which jupytext draws by lot.

    What jupytext notes about the text file goes: an executed notebook is not to be paired with it.
    """
    document: dict[str, Any] = json.loads(json.dumps(found, default=str))
    for cell in document["cells"]:
        cell.pop("id", None)
    _check_tags(document["cells"])
    metadata = document["metadata"]
    about_text = metadata.pop("jupytext", {})
    language = about_text.get("main_language") or about_text.get("default_lexer")
    if language and "language" not in metadata.get("kernelspec", {}):
        name = "python" if language.startswith("ipython") else language
        metadata.setdefault("language_info", {"name": name})
    return document


def _check_tags(cells: Iterable[Mapping[str, Any]]) -> None:
    """Tags that jupytext could not read would be no tags: parameters would silently not arrive."""
    for number, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), start=1):
        unread = str(cell["metadata"].get("incorrectly_encoded_metadata", ""))
        if re.search(r"\btags\b", unread):
            raise SourceFault(f"the tags of code cell {number} cannot be read: {unread}", 'such as tags=["parameters"]')


def _reason(error: Exception, text: str) -> str:
    """Why jupytext could not read a text, with the line where that is known."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        lines = text.splitlines()
        first = next((index for index, line in enumerate(lines) if re.match(r"\W*jupyter:", line)), 0)
        problem = getattr(error, "problem", None) or "a mistake"
        return f"its header is not valid YAML at line {first + mark.line + 1}: {problem}"
    place = ".".join(str(part) for part in getattr(error, "absolute_path", ()))
    said = (str(error) or type(error).__name__).splitlines()[0]
    return f"jupytext cannot read it: {place}: {said}" if place else f"jupytext cannot read it: {said}"
