"""Files that are no project and no notebook, made from good ones by chance: each is refused with a place and a hint.

No traceback, no control character, never more than five lines a problem; what is still good is still taken.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbflow.cli.main import call
from support.folders import document

GOOD = (Path(__file__).parents[1] / "unit/config/complete.toml").read_text("utf-8")
SMALL = '[pipelines.p.tasks]\na = { notebook = "a.ipynb", params = { n = 2 } }\n'
NOTEBOOK = document("n: int = 1", "print(n)", "x = {'a': [1, 2]}")

PIECES = (
    *(
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        '"""',
        "=",
        ".",
        ",",
        "#",
        "\\",
        "\n",
        "\r",
        "\r\n",
        "\t",
        "\x00",
        "\x1b[31m",
        "\ufeff",
    ),
    *(
        "inf",
        "-nan",
        "1" * 5_000,
        "0x" + "f" * 4_000,
        "1e999",
        "-0.0",
        "true",
        "yes",
        "99999999999999999999",
        "1979-05-27",
    ),
    *(
        "[" * 500 + "]" * 500,
        "{a=" * 500 + "1" + "}" * 500,
        "a." * 300 + "b = 1\n",
        "[[a]]\n",
        "[pipelines]\n",
        "{}",
        "[]",
    ),
    *('"{{ run.id }}"', '"{{ tasks.nobody.outputs.x }}"', '"{{"', '"../../etc/passwd"', '"\\ud800"', "'é\u202e'", "🙈"),
    *(
        "needs = ['extract', 'extract']\n",
        "notebook = 7\n",
        "retries = -1\n",
        "<<<<<<< HEAD\n",
        "matrix = { a = [] }\n",
    ),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(PIECES)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def damaged(draw: st.DrawFn, text: str) -> bytes:
    """A good text in which some spans are cut out, doubled, or replaced by a piece; in the end maybe cut off."""
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.sampled_from([0, 0, 1, 5, 40, 400])))
        text = text[:begin] + draw(st.sampled_from([*PIECES, "", text[begin:end] * 2])) + text[end:]
    data = text.encode("utf-8", "surrogatepass")
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


@st.composite
def twisted(draw: st.DrawFn) -> bytes:
    """A notebook that has something else in some of its places, as JSON."""
    found: Any = json.loads(json.dumps(NOTEBOOK))
    for _ in range(draw(st.integers(1, 3))):
        at: Any = found
        while True:
            key = draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
            if not isinstance(at[key], dict | list) or not at[key] or draw(st.integers(0, 3)) == 0:
                break
            at = at[key]
        at[key] = draw(VALUES)
        if not found:
            break
    return json.dumps(found).encode("utf-8")


def said(*arguments: str) -> tuple[int, str]:
    """The exit code of a command, and all that it says, which is fit to be read."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        code = call(arguments)
    text = out.getvalue()
    assert "Traceback" not in text, text
    assert "a bug of nbflow" not in text, text
    assert not {"\x1b", "\x00", "\x07", "\u202e"} & set(text), text
    return code, text


def check_refused(folder: Path) -> None:
    """What `validate` says of a project: it is good, or each fault has a place."""
    place = ("--file", str(folder / "pipelines.toml"))
    code, text = said(*place, "validate", "--json")
    verdict = json.loads(text)
    assert code == (0 if verdict["ok"] else 2), text
    assert verdict["ok"] == (verdict["problems"] == [])
    for problem in verdict["problems"]:
        assert problem["file"]
        assert problem["message"]
        assert len(problem["message"].splitlines()) <= 3, problem
        assert problem["line"] is None or problem["line"] >= 1
    as_text, lines = said(*place, "validate")
    assert as_text == code
    most = 5 * (len(verdict["problems"]) + len(verdict["warnings"]))
    assert len(lines.splitlines()) <= most + 1, lines
    for command in (("list",), ("plan", "p"), ("graph", "p")):
        assert said(*place, *command)[0] in (0, 2, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


def check_toml(folder: Path, data: bytes) -> None:
    (folder / "pipelines.toml").write_bytes(data)
    (folder / "a.ipynb").write_text(json.dumps(NOTEBOOK))
    check_refused(folder)


def check_notebook(folder: Path, data: bytes) -> None:
    (folder / "pipelines.toml").write_text(SMALL)
    (folder / "a.ipynb").write_bytes(data)
    check_refused(folder)


@given(damaged(GOOD))
@example(GOOD.encode("utf-8-sig").replace(b"\n", b"\r\n"))
def test_toml(folder: Path, data: bytes) -> None:
    check_toml(folder, data)


@given(st.one_of(twisted(), damaged(json.dumps(NOTEBOOK))))
@example(json.dumps({**NOTEBOOK, "nbformat": 3}).encode())
@example(json.dumps({**NOTEBOOK, "nbformat": 99}).encode())
@example(json.dumps({**NOTEBOOK, "cells": [{**cell, "id": "same"} for cell in NOTEBOOK["cells"]]}).encode())
@example(json.dumps(document("n: int = 1", "x = '" + "y" * 10_000_000 + "'")).encode())
@example(b'{"cells": ' + b"[" * 5_000 + b"]" * 5_000 + b"}")
def test_notebooks(folder: Path, data: bytes) -> None:
    check_notebook(folder, data)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=10_000)
@given(st.one_of(damaged(GOOD), damaged(SMALL)))
def test_toml_for_long(folder: Path, data: bytes) -> None:
    check_toml(folder, data)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=10_000)
@given(st.one_of(twisted(), damaged(json.dumps(NOTEBOOK))))
def test_notebooks_for_long(folder: Path, data: bytes) -> None:
    check_notebook(folder, data)
