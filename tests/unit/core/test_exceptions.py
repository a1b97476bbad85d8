"""How errors of kernels are said in one line."""

from __future__ import annotations

import pytest

from nbflow.core.exceptions import exception_text


@pytest.mark.parametrize(
    ("ename", "evalue", "said"),
    [
        ("ValueError", "no", "ValueError: no"),
        ("KeyError", "", "KeyError"),
        ("", "2", "the last command ended with exit code 2"),
        ("", "Cell has trailing backslash", "Cell has trailing backslash"),
        ("ERROR", "Error in f(): no\n", "Error in f(): no"),
        ("ERROR", "no", "ERROR: no"),
        ("", "", ""),
    ],
)
def test_exceptions(ename: str, evalue: str, said: str) -> None:
    assert exception_text(ename, evalue) == said
