"""Comments of Python source that describe what stands beside or below them.

Must not know parameters.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator

_NO_WORDS = re.compile(
    r"(noqa|type:\s*ignore|pylint:|pragma:|fmt:|mypy:|ruff:|%%|parameters$|[-=#*+]{3,})", re.IGNORECASE
)
"""Comments for tools, separators, and the heading that nearly every parameters cell has."""
_TYPE = re.compile(r"type:\s*(\S+)\s*(.*)", re.DOTALL)
"""papermill's way to give a type: `limit = 5  # type: int  How many rows`."""


def words_of(comment: str) -> str | None:
    """What a comment tells people; None for one that tells them nothing."""
    words = comment.lstrip("#").strip()
    return words if words and not _NO_WORDS.match(words) else None


class Comments:
    """The comments of a source that parses, by line (from 1)."""

    def __init__(self, text: str) -> None:
        self._trailing: dict[int, str] = {}
        self._alone: dict[int, str] = {}
        for token in _tokens(text):
            if token.type == tokenize.COMMENT:
                line, column = token.start
                if (words := words_of(token.string)) is not None:
                    (self._trailing if token.line[:column].strip() else self._alone)[line] = words

    def beside(self, first: int, last: int) -> tuple[str | None, str | None]:
        """The type and the description that stand at the end of a statement's last or first line, else above it."""
        words = self._trailing.get(last) or self._trailing.get(first) or self._above(first)
        if words and (found := _TYPE.match(words)):
            return found[1], found[2].strip() or None
        return None, words

    def _above(self, line: int) -> str | None:
        found: list[str] = []
        while (line := line - 1) in self._alone:
            found.insert(0, self._alone[line])
        return " ".join(found) or None


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    lines = iter([f"{line}\n" for line in text.split("\n")])
    try:
        yield from tokenize.generate_tokens(lambda: next(lines, ""))
    except (tokenize.TokenError, SyntaxError):
        return
