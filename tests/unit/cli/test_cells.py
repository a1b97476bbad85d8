"""Executed notebooks as text."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.cli.cells import read_executed, show_failure, show_notebook
from nbflow.cli.output import Output
from nbflow.errors import NotFoundError, UnreachableError
from support.commands import Terminal, TextFile, executed

OUTPUT = "application/vnd.nbflow.output.v1+json"


def stream_of(text: str | list[str]) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def display(**data: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": {}}


def shown(document: Any, tmp_path: Path, stream: io.StringIO | None = None) -> str:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(document))
    stream = stream or TextFile()
    show_notebook(Output(stream), path)
    return stream.getvalue()


def test_source_outputs_and_traceback(tmp_path: Path) -> None:
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mE\x1b[0m", "line 1"]}
    document = executed(
        ("x = 1\nprint(x)", "ok", [stream_of(["1\n", "2\n"])]),
        ("raise E", "failed", [error]),
        ("", "not_run", []),
    )
    assert shown(document, tmp_path).splitlines() == [
        "✓ cell 1/3  ok  0.5s",
        "  │ x = 1",
        "  │ print(x)",
        "1",
        "2",
        "",
        "✗ cell 2/3  failed  0.5s",
        "  │ raise E",
        "E",
        "line 1",
        "",
        "· cell 3/3  not run  0.5s",
        "  │",
        "",
    ]


def test_what_no_cell_tells_comes_at_the_end(tmp_path: Path) -> None:
    """How the attempt failed, unless a traceback above says it, and what is odd about it."""
    document = executed(("x = 1", "killed", []))
    about = {"error": {"kind": "kernel_died", "message": "signal 9\x1b[2J"}, "warnings": ["sleep (pid 7)\nwas ended"]}
    document["metadata"]["nbflow"] = about
    assert shown(document, tmp_path).splitlines()[-2:] == [
        r"✗ kernel_died: signal 9\x1b[2J",
        "! sleep (pid 7) was ended",
    ]
    about["error"] = {"kind": "exception", "message": "signal 9"}
    assert "signal 9" not in shown(document, tmp_path)


def test_only_the_cells_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(executed(("good", "ok", []), ("bad", "killed", []))))
    stream = TextFile()
    show_failure(Output(stream), path)
    assert "bad" in stream.getvalue()
    assert "good" not in stream.getvalue()


def test_displays_are_shown_as_text_or_named(tmp_path: Path) -> None:
    outputs = [
        display(**{"text/plain": "a frame", "text/html": "<b>"}),
        display(**{"image/png": "iVBOR"}),
        display(**{OUTPUT: {"name": "rows", "value": 10}, "text/plain": "rows = 10"}),
    ]
    text = shown(executed(("x", "ok", outputs)), tmp_path)
    assert "a frame\n[image/png]\n" in text
    assert "output rows = 10\n" in text


def spooled(tmp_path: Path, text: str, **metadata: Any) -> dict[str, Any]:
    """A notebook whose second cell has its whole output beside it."""
    kept = [stream_of("head\n"), display(**{"text/plain": "a frame"}), stream_of("[truncated]\ntail\n")]
    document = executed(("x", "ok", [stream_of("first\n")]), ("y", "ok", kept))
    entry = {"cell": 1, "output": "stdout", "file": "cell-2.stdout.txt.gz", **metadata}
    document["metadata"] = {"nbflow": {"spooled": [entry, {"cell": 1}, "odd"]}}
    (tmp_path / "a.cell-2.stdout.txt.gz").write_bytes(gzip.compress(text.encode()))
    return document


def test_what_was_too_long_for_the_notebook_is_shown_whole(tmp_path: Path) -> None:
    middle = "".join(f"{number} ž\n" for number in range(300_000))
    lines = shown(spooled(tmp_path, f"head\n{middle}tail"), tmp_path).splitlines()
    assert lines[:6] == ["✓ cell 1/2  ok  0.5s", "  │ x", "first", "", "✓ cell 2/2  ok  0.5s", "  │ y"]
    assert lines[6] == "head"
    assert lines[7:-3] == middle.splitlines()
    assert lines[-3:] == ["tail", "a frame", ""]


def test_a_stream_of_which_the_notebook_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.cell-2.stderr.txt.gz").write_bytes(gzip.compress(b"warned\n"))
    text = shown(spooled(tmp_path, "", output="stderr", file="cell-2.stderr.txt.gz"), tmp_path)
    assert "tail\nwarned\n" in text


def test_where_the_file_beside_is_gone_the_notebook_is_shown(tmp_path: Path) -> None:
    assert "[truncated]\ntail" in shown(spooled(tmp_path, "", file="cell-2.gone.txt.gz"), tmp_path)
    assert "[truncated]\ntail" in shown(spooled(tmp_path, "whole", output="output-1"), tmp_path)
    document = spooled(tmp_path, "whole")
    (tmp_path / "a.cell-2.stdout.txt.gz").write_bytes(b"not packed")
    with pytest.raises(UnreachableError, match=r"cell-2\.stdout\.txt\.gz cannot be read"):
        shown(document, tmp_path)


def test_a_long_text_is_never_held_in_memory(tmp_path: Path) -> None:
    document = spooled(tmp_path, "")
    with gzip.open(tmp_path / "a.cell-2.stdout.txt.gz", "wt", compresslevel=1) as file:
        for _ in range(40):
            file.write(f"{'x' * 99}\n" * 10_000)
    (tmp_path / "a.ipynb").write_text(json.dumps(document))

    class Counting(TextFile):
        size = 0

        def write(self, text: str) -> int:
            type(self).size += len(text)
            return len(text)

    tracemalloc.start()
    show_notebook(Output(Counting()), tmp_path / "a.ipynb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert Counting.size > 40_000_000
    assert peak < 15_000_000


def test_progress_bars_are_shown_as_a_terminal_leaves_them(tmp_path: Path) -> None:
    bar = "".join(f"\r{percent}%" for percent in range(200_000))
    assert "\n199999%\ndone\n" in shown(spooled(tmp_path, f"{bar}\ndone\n"), tmp_path)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"name": "v", "value": {"$date": "2026-01-31"}}, 'output v = "2026-01-31"'),
        ({"name": "v", "value": [1, "ž"]}, 'output v = [1, "ž"]'),
        ({"name": "v", "value": {"$date": "never"}}, '[output.v1+json] {"name": "v", "value": {"$date": "never"}}'),
        ("odd", '[output.v1+json] "odd"'),
    ],
)
def test_an_output_is_shown_as_people_write_it(value: Any, line: str, tmp_path: Path) -> None:
    assert line in shown(executed(("x", "ok", [display(**{OUTPUT: value})])), tmp_path).splitlines()


def test_colours_are_kept_on_a_terminal_and_control_characters_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    document = executed(("\x1b[2Jx", "ok", [stream_of("\x1b[32mgreen\x1b[0m\x1b]0;title\x07")]))
    on_terminal = shown(document, tmp_path, Terminal())
    assert "\x1b[32mgreen\x1b[0m" in on_terminal
    assert r"\x1b[2Jx" in on_terminal
    assert "title" not in on_terminal
    assert "\x1b" not in shown(document, tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CELL = st.fixed_dictionaries(
    {"cell_type": st.just("code")}, optional=dict.fromkeys(("source", "outputs", "metadata"), JSON)
)


@given(st.fixed_dictionaries({"cells": st.lists(CELL | JSON, max_size=4) | JSON}))
def test_odd_notebooks_are_shown_as_far_as_they_go(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    shown(document, tmp_path_factory.mktemp("odd"))


def test_files_that_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file .*none\.ipynb"):
        read_executed(tmp_path / "none.ipynb")
    for text in ('{"cells": ', "[]", "[" * 100_000):
        (tmp_path / "bad.ipynb").write_text(text)
        with pytest.raises(UnreachableError, match=r"bad\.ipynb"):
            read_executed(tmp_path / "bad.ipynb")
