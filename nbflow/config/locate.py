"""Where each key of a TOML text stands: `locate(text)`, a small scanner that is linear in the text.

Expects text that `tomllib` has accepted, with LF line ends; it finds places and reads no value. Must not know
which keys nbflow has.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

KeyPath = tuple[str | int, ...]
"""Keys of tables and indices of arrays, from the top: ("pipelines", "a", "tasks", "b", "needs", 0)."""


class Place(NamedTuple):
    """Where a key and its value begin; lines and columns count from 1, columns in characters.

    An element of an array has no key: both places are the element's. A table made by a `[header]` or a dotted
    key has no value of its own: both places are the key's.
    """

    line: int
    col: int
    value_line: int
    value_col: int


_SPACE = re.compile(r"[ \t]*+")
_BLANK = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*")
_KEY = re.compile(r"[A-Za-z0-9_-]++|\"(?:[^\"\\]++|\\.)*\"|'[^']*+'")
_STRING = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*"{3,5}' r"|'''(?:[^']++|'(?!''))*'{3,5}" r"|\"(?:[^\"\\\n]++|\\.)*\"|'[^'\n]*+'",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\n]++")


def locate(text: str) -> Mapping[KeyPath, Place]:
    """Place of every key, table and array element of a valid TOML text."""
    scanner = _Scanner(text)
    scanner.scan()
    starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(offset: int) -> tuple[int, int]:
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    return {path: Place(*place(key), *place(value)) for path, (key, value) in scanner.offsets.items()}


class _Scanner:
    """Walks the text once. `offsets` maps each path to the offsets of its key and of its value."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.offsets: dict[KeyPath, tuple[int, int]] = {}
        self.lengths: dict[KeyPath, int] = {}

    def scan(self) -> None:
        table: KeyPath = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_BLANK)

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Go past what the pattern matches here; its text."""
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"not valid TOML at offset {self.at}")
        self.at = match.end()
        return match.group()

    def header(self) -> KeyPath:
        """`[a.b]` or `[[a.b]]`: the path that the pairs below it belong to."""
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        path: KeyPath = ()
        keys = self.keys()
        for key, offset in keys[:-1]:
            path = (*path, key)
            self.offsets.setdefault(path, (offset, offset))
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)
        key, offset = keys[-1]
        path = (*path, key)
        if is_array:
            self.offsets.setdefault(path, (offset, offset))
            self.lengths[path] = self.lengths.get(path, 0) + 1
            path = (*path, self.lengths[path] - 1)
        self.offsets[path] = (offset, offset)
        self.at += 2 if is_array else 1
        return path

    def keys(self) -> list[tuple[str, int]]:
        """The parts of a dotted key, each with its offset; ends after the spaces that follow."""
        parts = []
        while True:
            self.skip(_SPACE)
            offset = self.at
            parts.append((_plain(self.skip(_KEY)), offset))
            self.skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def pair(self, table: KeyPath) -> None:
        """`a.b = value` inside a table."""
        keys = self.keys()
        self.at += 1
        self.skip(_SPACE)
        path = table
        for key, offset in keys[:-1]:
            path = (*path, key)
            self.offsets.setdefault(path, (offset, offset))
        path = (*path, keys[-1][0])
        self.offsets[path] = (keys[-1][1], self.at)
        self.value(path)

    def value(self, path: KeyPath) -> None:
        match self.text[self.at]:
            case "[":
                self.array(path)
            case "{":
                self.inline_table(path)
            case '"' | "'":
                self.skip(_STRING)
            case _:
                self.skip(_BARE)

    def array(self, path: KeyPath) -> None:
        self.at += 1
        self.skip(_BLANK)
        index = 0
        while self.text[self.at] != "]":
            self.offsets[(*path, index)] = (self.at, self.at)
            self.value((*path, index))
            index += 1
            self.comma()
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        self.skip(_BLANK)
        while self.text[self.at] != "}":
            self.pair(path)
            self.comma()
        self.at += 1

    def comma(self) -> None:
        """Go past what separates two elements, if there is another one."""
        self.skip(_BLANK)
        if self.text[self.at] == ",":
            self.at += 1
            self.skip(_BLANK)


def _plain(key: str) -> str:
    """The name that a key's text stands for."""
    match key[0]:
        case "'":
            return key[1:-1]
        case '"' if "\\" in key:
            return str(tomllib.loads(f"key = {key}")["key"])
        case '"':
            return key[1:-1]
        case _:
            return key
