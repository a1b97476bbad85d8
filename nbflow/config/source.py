"""One TOML file as text, values and places: `read_source(path, shown)`.

Everything that can be wrong with the bytes ends here as a `Problem`: size, encoding, nesting, syntax. Must not
know which keys nbflow has.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nbflow.config.locate import Place, locate
from nbflow.core.faults import NOT_YET, Fault, KeyPath
from nbflow.errors import Problem

MAX_BYTES = 5_000_000
MAX_DEPTH = 64
"""Levels of arrays, inline tables and dotted keys; tomllib recurses on the former and is quadratic in the latter."""
MAX_DIGITS = 4_000
MAX_SHOWN = 200
"""Characters of a source line that are shown for the caret: the first, or those around it."""

_TOKEN = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*(?:"""|\Z)'
    r"|'''(?:[^']++|'(?!''))*(?:'''|\Z)"
    r"|\"(?:[^\"\\\n]++|\\.)*\"?|'[^'\n]*+'?|#[^\n]*+|[\[\]{}.,\n]",
    re.DOTALL,
)
_LONG_NUMBER = re.compile(rf"[0-9](?:_?[0-9]){{{MAX_DIGITS},}}")
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_USER = r"(://[^\s/:@\"']*:)([^\s\"']+)(?=@)"
_QUERY = r"([?&]\w*password=)([^\s\"'&]+)"
_CONFLICT = re.compile(r"^(?:<{7} |={7}$|>{7} )", re.MULTILINE)
_KEY = "Invalid initial character for a key part"
_ADVICE = (
    ("Cannot overwrite a value", "", "", "the same key is given twice, or as a value and as a table"),
    ("Cannot declare", "", "", "the same table is declared twice: put its keys under one header"),
    ("Expected '=' after a key", "", "", 'a line is KEY = VALUE; text stands in quotes: "..."'),
    ("Invalid value", "", r"[^\s,=#\]}]", 'text stands in quotes: "..."; true and false are written small'),
    ("Unterminated string", "", "", "a closing quote is missing"),
    ("Expected ']", "", r"\]?\s*(#|$)", "a closing bracket is missing"),
    (_KEY, r",\s*$", "}", "an inline table takes no comma after its last key"),
    (_KEY, r"[{,]\s*$", r"[#\n]", "an inline table stands on one line, without a comment"),
)
"""How a message of tomllib begins, what has to stand before its place in the line, and from there on; what to do."""


@dataclass(frozen=True)
class Source:
    """A file that parsed: `file` is its name as shown, `text` has LF line ends, `data` is what tomllib read."""

    file: str
    text: str
    data: dict[str, Any]

    @cached_property
    def places(self) -> Mapping[KeyPath, Place]:
        """Places by key path, indices of arrays as text; made on first use, since most files have no fault."""
        return {tuple(map(str, path)): place for path, place in locate(self.text).items()}

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.split("\n")

    def place(self, at: KeyPath) -> Place | None:
        """Where a key stands, or the nearest table above it that is written in the file."""
        for length in range(len(at), 0, -1):
            if found := self.places.get(at[:length]):
                return found
        return None

    def problem(self, fault: Fault, at: KeyPath) -> Problem:
        """A fault at its place: the key where the key is wrong or missing or heads a table, else the value."""
        place = self.place(at)
        line, col = (None, None) if place is None else (place.line, place.col)
        if place is not None and not fault.on_key and at in self.places and not self._is_table(at):
            line, col = place.value_line, place.value_col
        message = fault.message
        if line is not None and message.startswith(NOT_YET):
            message += f", line {line}"
        found = problem(self, line, col, message, fault.hint, key=fault.key, warning=fault.warning)
        # The line of a wrong reference or URL may hold the secret itself, and terminals are logged.
        return replace(found, source=None) if _may_hold_secret(fault.key) else found

    def _is_table(self, at: KeyPath) -> bool:
        value: Any = self.data
        for part in at:
            value = value[int(part)] if isinstance(value, list) else value[part]
        return isinstance(value, dict)


def problem(
    source: Source,
    line: int | None,
    col: int | None,
    message: str,
    hint: str | None = None,
    *,
    key: KeyPath = (),
    warning: bool = False,
) -> Problem:
    """A problem at a place of a file; the key in it is the one that the user knows, not where a profile has it."""
    shown, offset = None, 0
    if line is not None and col is not None:
        offset = 0 if col <= MAX_SHOWN else col - MAX_SHOWN // 2
        text = _masked(source.lines[line - 1])[offset : offset + MAX_SHOWN]
        shown = "".join(
            char if char.isprintable() else " " if char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text
        )
    return Problem(
        file=source.file,
        line=line,
        col=col,
        key=dotted(key),
        message=message,
        hint=hint,
        source=shown,
        warning=warning,
        offset=offset,
    )


def _masked(line: str) -> str:
    """A line without what URLs in it tell of passwords, in its length: terminals are logged."""
    for pattern in (_USER, _QUERY):
        line = re.sub(pattern, lambda found: found[1] + "*" * len(found[2]), line)
    return line


def dotted(at: KeyPath) -> str:
    """A key path as TOML writes it, parts in quotes where they need them, control characters escaped."""
    return ".".join(part if _BARE_KEY.fullmatch(part) else _quoted(part) for part in at)


def _may_hold_secret(key: KeyPath) -> bool:
    return "secrets" in key[:-1] or key[-2:] == ("nbflow", "outputs")


def read_source(path: Path, shown: str) -> Source | Problem:
    """Read and parse a file; `shown` is its name in messages. Never raises for what is in the file."""
    try:
        data = _read_bytes(path)
    except OSError as error:
        hint = "`nbflow init` writes a first pipelines.toml" if isinstance(error, FileNotFoundError) else None
        return _unplaced(shown, f"cannot be read: {error.strerror or error}", hint)
    if isinstance(data, str):
        return _unplaced(shown, data)
    return parse_source(data, shown)


def parse_source(data: bytes, shown: str) -> Source | Problem:
    """Parse the bytes of a file. A byte order mark and CRLF line ends are accepted."""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = (
            "it looks like UTF-16: save it as UTF-8" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "save it as UTF-8"
        )
        return Problem(file=shown, line=line, col=None, key="", message="the text is not UTF-8", hint=hint)
    blank = Source(shown, text, {})
    if (offset := _too_deep(text)) is not None:
        return _at_offset(blank, offset, f"nested more than {MAX_DEPTH} levels deep")
    try:
        return Source(shown, text, tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        return _explained(blank, str(error))


def _read_bytes(path: Path) -> bytes | str:
    """The bytes, or why they are not read. A pipe is never opened, a huge file never read."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        return "this is a folder, not a file"
    if not stat.S_ISREG(found.st_mode):
        return "this is not a regular file"
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return f"the file has {found.st_size / 1e6:.1f} MB; at most {MAX_BYTES // 1_000_000} MB are read"
    return data


def _explained(source: Source, message: str) -> Problem:
    """Why tomllib refused the text. Its own message ends with the place, or has none."""
    text = source.text
    if (offset := text.find("\0")) >= 0:
        return _at_offset(source, offset, "a NUL character", "the file is damaged, or is not a text file")
    if match := _CONFLICT.search(text):
        return _at_offset(source, match.start(), "a merge conflict marker", "finish the merge, then try again")
    if match := _PLACE.search(message):
        return _syntax_problem(source, message[: match.start()], match)
    if match := _LONG_NUMBER.search(text):
        return _at_offset(source, match.start(), f"a number of more than {MAX_DIGITS:,} digits")
    return _unplaced(source.file, f"not valid TOML: {_printable(message)}")


def _too_deep(text: str) -> int | None:
    """Offset at which arrays, inline tables and dotted keys are nested more than MAX_DEPTH levels deep."""
    depth = dots = 0
    opened: list[int] = []
    for match in _TOKEN.finditer(text):
        match match[0]:
            case "[" | "{":
                opened.append(dots + 1)
                depth += dots + 1
                dots = 0
            case "]" | "}":
                depth -= opened.pop() if opened else 0
                dots = 0
            case ".":
                dots += 1
            case "," | "\n":
                dots = 0
            case _:
                continue
        if depth + dots > MAX_DEPTH:
            return match.start()
    return None


def _syntax_problem(source: Source, message: str, at: re.Match[str]) -> Problem:
    text = source.text.rstrip("\n")
    is_key = message.startswith("Cannot")
    if at[1]:
        line, col = int(at[1]), int(at[2])
    else:
        line, col = text.count("\n") + 1, len(text) - text.rfind("\n")
        message += "" if is_key else " at the end of the file"
    if is_key:  # tomllib's place is behind the value
        start = source.lines[line - 1]
        col = len(start) - len(start.lstrip()) + 1
    shown = source.lines[line - 1]
    hint = _advice(message, shown[: col - 1], shown[col - 1 :] + ("\n" if at[1] else ""))
    return problem(source, line, col, f"not valid TOML: {_printable(message)}", hint)


def _advice(message: str, before: str, rest: str) -> str | None:
    """What to do about a message, by what stands before its place in the line and from there on; None: nobody knows."""
    for begin, ahead, there, hint in _ADVICE:
        if message.startswith(begin) and re.search(ahead, before) and re.match(there, rest):
            return hint
    return None


def _at_offset(source: Source, offset: int, message: str, hint: str | None = None) -> Problem:
    line = source.text.count("\n", 0, offset) + 1
    return problem(source, line, offset - source.text.rfind("\n", 0, offset), message, hint)


def _unplaced(shown: str, message: str, hint: str | None = None) -> Problem:
    return Problem(file=shown, line=None, col=None, key="", message=message, hint=hint)


def _quoted(part: str) -> str:
    return '"' + _printable(part.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _printable(text: str) -> str:
    """The text with control and other unprintable characters escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
